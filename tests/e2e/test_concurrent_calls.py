"""What holds when calls meet: several environments of the API, on the engine's own concurrency."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from local.package.aws_proxy import Call
from local.package.emulator import Answer, Cloud, Key
from tests.e2e.test_customer_journey import invite, keys_of

AT_ONCE = 6


@pytest.fixture
def owner(cloud: Cloud) -> Key:
    made = cloud.account()
    with ThreadPoolExecutor(AT_ONCE) as pool:  # so that as many environments are there before the race
        assert {a.status for a in pool.map(lambda _: cloud.call("GET", "/health"), range(AT_ONCE))} == {200}
    return made


def at_once(cloud: Cloud, calls: "list[tuple[Any, ...]]") -> list[Answer]:
    """Make calls side by side; answer their answers."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: cloud.call(*call), calls))


def statuses(answers: list[Answer]) -> list[int]:
    return sorted(answer.status for answer in answers)


def test_one_of_many_gets_the_username(cloud: Cloud, owner: Key) -> None:
    name = f"Bot-{owner.username}"
    bodies = [
        {
            "username": name if n % 2 else name.lower(),
            "email": f"{n}.{name}@machines.example",
            "role": "OWNER",
        }
        for n in range(AT_ONCE)
    ]
    answers = at_once(cloud, [("POST", "/v1/service-users", owner, body) for body in bodies])
    assert statuses(answers) == [201] + [409] * (AT_ONCE - 1)
    trail = cloud.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail] == ["SERVICE_USER_CREATED"]


def test_one_of_many_gets_the_address(cloud: Cloud, owner: Key) -> None:
    bodies = [
        {"username": f"{n}-{owner.username}", "email": f"{owner.username}+{n}@gmail.com", "role": "READ_ONLY"}
        for n in range(AT_ONCE)
    ]
    answers = at_once(cloud, [("POST", "/v1/service-users", owner, body) for body in bodies])
    assert statuses(answers) == [201] + [409] * (AT_ONCE - 1)
    listed = cloud.call("GET", "/v1/service-users", owner).json
    assert len(listed) == 1


def test_of_many_rotations_each_key_dies_or_is_the_one(cloud: Cloud, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    first = keys_of(cloud.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    path, asked = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
    answers = at_once(cloud, [("POST", path, owner, asked)] * AT_ONCE)
    given = [Key(name, answer.json["key"]) for answer in answers if answer.status == 200]
    assert given
    assert set(statuses(answers)) <= {200, 409}
    alive = [key for key in [first, *given] if cloud.call("GET", "/v1/whoami", key).status == 200]
    assert len(alive) == 1
    assert alive[0] in given
    trail = cloud.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail].count("API_KEY_ROTATED") == len(given)


def test_one_of_many_rotations_of_ones_own_key(cloud: Cloud, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    first = keys_of(cloud.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    answers = at_once(cloud, [("POST", "/v1/api-keys/rotate", first)] * AT_ONCE)
    (given,) = [Key(name, answer.json["key"]) for answer in answers if answer.status == 200]
    assert set(statuses(answers)[1:]) <= {401, 409}
    assert [cloud.call("GET", "/v1/whoami", key).status for key in (first, given)] == [401, 200]
    trail = cloud.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail].count("API_KEY_ROTATED") == 1


def test_a_key_that_is_revoked_while_it_is_rotated_is_dead_in_the_end(cloud: Cloud, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    first = keys_of(cloud.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    keys = f"/v1/service-users/{name}/api-keys"
    asked = {"keyType": "MONITORING"}
    rotation, revocation = ("POST", "/v1/api-keys/rotate", first), ("DELETE", keys, owner, asked)
    rotated, revoked = at_once(cloud, [rotation, revocation])
    assert (rotated.status, revoked.status) in ((200, 204), (200, 409), (401, 204), (409, 204))
    if revoked.status == 409:  # the rotation was first: what is there now is revoked for good
        assert cloud.call(*revocation).status == 204
    left = [first, *([Key(name, rotated.json["key"])] if rotated.status == 200 else [])]
    assert {cloud.call("GET", "/v1/whoami", key).status for key in left} == {401}
    assert "MONITORING" not in keys_of(cloud.call("GET", f"/v1/service-users/{name}", owner))


def test_one_key_of_a_type(cloud: Cloud, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {
        "username": name,
        "email": f"{name}@machines.example",
        "role": "READ_ONLY",
        "keyTypes": ["MONITORING"],
    }
    cloud.call("POST", "/v1/service-users", owner, body)
    path, asked = f"/v1/service-users/{name}/api-keys", {"keyType": "PROVISIONING_READONLY"}
    answers = at_once(cloud, [("POST", path, owner, asked)] * AT_ONCE)
    assert statuses(answers) == [201] + [409] * (AT_ONCE - 1)


def test_an_account_keeps_an_owner(cloud: Cloud, owner: Key) -> None:
    other = invite(cloud, owner, f"other-{owner.username}", "OWNER")
    answers = at_once(
        cloud,
        [
            ("PUT", f"/v1/users/{other.username}", owner, {"role": "READ_ONLY"}),
            ("PUT", f"/v1/users/{owner.username}", other, {"role": "READ_ONLY"}),
        ],
    )
    assert sum(answer.status == 200 for answer in answers) == 1, [a.body for a in answers]
    roles = [cloud.call("GET", "/v1/whoami", key) for key in (owner, other)]
    assert [answer.json["role"] for answer in roles if answer.status == 200].count("OWNER") == 1


def test_a_revoked_caller_changes_nothing_more(cloud: Cloud, owner: Key) -> None:
    """Whose call is under way when they are revoked, signed in and all, is refused at its commit."""
    person = invite(cloud, owner, f"person-{owner.username}", "CLUSTER_ADMIN")
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    arrived, released = Event(), Event()

    def hold(call: Call) -> None:
        if call.operation == "TransactWriteItems" and f"USER#{name}" in str(call.input):
            arrived.set()
            assert released.wait(2.5)  # the function waits three seconds for an answer

    with cloud.proxies["APIHandler"][0].hooked(before=hold), ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(cloud.call, "POST", "/v1/service-users", person, body)
        assert arrived.wait(30)
        revoked = cloud.call("DELETE", f"/v1/users/{person.username}", owner)
        released.set()
    assert revoked.status == 204
    assert under_way.result().status in (401, 403), under_way.result().body
    assert cloud.call("GET", f"/v1/service-users/{name}", owner).status == 404
