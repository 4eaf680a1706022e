"""Concurrent calls: several environments of the API, on the real engine."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from local.package.aws_proxy import AwsCall
from local.package.emulator import ApiResponse, Emulator, Key
from tests.e2e.test_customer_journey import invite, keys_of

AT_ONCE = 6


@pytest.fixture
def owner(emulator: Emulator) -> Key:
    made = emulator.create_account()
    with ThreadPoolExecutor(AT_ONCE) as pool:  # start as many environments before the race
        assert {a.status for a in pool.map(lambda _: emulator.call("GET", "/health"), range(AT_ONCE))} == {
            200
        }
    return made


def at_once(emulator: Emulator, calls: "list[tuple[Any, ...]]") -> list[ApiResponse]:
    """Make calls concurrently, and return their responses."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: emulator.call(*call), calls))


def statuses(responses: list[ApiResponse]) -> list[int]:
    return sorted(response.status for response in responses)


def test_one_of_many_gets_the_username(emulator: Emulator, owner: Key) -> None:
    name = f"Bot-{owner.username}"
    bodies = [
        {
            "username": name if n % 2 else name.lower(),
            "email": f"{n}.{name}@machines.example",
            "role": "OWNER",
        }
        for n in range(AT_ONCE)
    ]
    responses = at_once(emulator, [("POST", "/v1/service-users", owner, body) for body in bodies])
    assert statuses(responses) == [201] + [409] * (AT_ONCE - 1)
    trail = emulator.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail] == ["SERVICE_USER_CREATED"]


def test_one_of_many_gets_the_address(emulator: Emulator, owner: Key) -> None:
    bodies = [
        {"username": f"{n}-{owner.username}", "email": f"{owner.username}+{n}@gmail.com", "role": "READ_ONLY"}
        for n in range(AT_ONCE)
    ]
    responses = at_once(emulator, [("POST", "/v1/service-users", owner, body) for body in bodies])
    assert statuses(responses) == [201] + [409] * (AT_ONCE - 1)
    listed = emulator.call("GET", "/v1/service-users", owner).json
    assert len(listed) == 1


def test_of_many_rotations_each_key_dies_or_is_the_one(emulator: Emulator, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    first = keys_of(emulator.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    path, key_type = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
    responses = at_once(emulator, [("POST", path, owner, key_type)] * AT_ONCE)
    given = [Key(name, response.json["key"]) for response in responses if response.status == 200]
    assert given
    assert set(statuses(responses)) <= {200, 409}
    alive = [key for key in [first, *given] if emulator.call("GET", "/v1/whoami", key).status == 200]
    assert len(alive) == 1
    assert alive[0] in given
    trail = emulator.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail].count("API_KEY_ROTATED") == len(given)


def test_one_of_many_rotations_of_ones_own_key(emulator: Emulator, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    first = keys_of(emulator.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    responses = at_once(emulator, [("POST", "/v1/api-keys/rotate", first)] * AT_ONCE)
    (given,) = [Key(name, response.json["key"]) for response in responses if response.status == 200]
    assert set(statuses(responses)[1:]) <= {401, 409}
    assert [emulator.call("GET", "/v1/whoami", key).status for key in (first, given)] == [401, 200]
    trail = emulator.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail].count("API_KEY_ROTATED") == 1


def test_a_key_that_is_revoked_while_it_is_rotated_is_revoked_in_the_end(
    emulator: Emulator, owner: Key
) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    first = keys_of(emulator.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    keys = f"/v1/service-users/{name}/api-keys"
    key_type = {"keyType": "MONITORING"}
    rotation, revocation = ("POST", "/v1/api-keys/rotate", first), ("DELETE", keys, owner, key_type)
    rotated, revoked = at_once(emulator, [rotation, revocation])
    assert (rotated.status, revoked.status) in ((200, 204), (200, 409), (401, 204), (409, 204))
    if revoked.status == 409:  # the rotation was first: what is there now is revoked for good
        assert emulator.call(*revocation).status == 204
    left = [first, *([Key(name, rotated.json["key"])] if rotated.status == 200 else [])]
    assert {emulator.call("GET", "/v1/whoami", key).status for key in left} == {401}
    assert "MONITORING" not in keys_of(emulator.call("GET", f"/v1/service-users/{name}", owner))


def test_one_key_of_a_type(emulator: Emulator, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {
        "username": name,
        "email": f"{name}@machines.example",
        "role": "READ_ONLY",
        "keyTypes": ["MONITORING"],
    }
    emulator.call("POST", "/v1/service-users", owner, body)
    path, key_type = f"/v1/service-users/{name}/api-keys", {"keyType": "PROVISIONING_READONLY"}
    responses = at_once(emulator, [("POST", path, owner, key_type)] * AT_ONCE)
    assert statuses(responses) == [201] + [409] * (AT_ONCE - 1)


def test_an_account_keeps_an_owner(emulator: Emulator, owner: Key) -> None:
    other = invite(emulator, owner, f"other-{owner.username}", "OWNER")
    responses = at_once(
        emulator,
        [
            ("PUT", f"/v1/users/{other.username}", owner, {"role": "READ_ONLY"}),
            ("PUT", f"/v1/users/{owner.username}", other, {"role": "READ_ONLY"}),
        ],
    )
    assert sum(response.status == 200 for response in responses) == 1, [a.body for a in responses]
    roles = [emulator.call("GET", "/v1/whoami", key) for key in (owner, other)]
    assert [response.json["role"] for response in roles if response.status == 200].count("OWNER") == 1


def test_a_revoked_caller_changes_nothing_more(emulator: Emulator, owner: Key) -> None:
    """A caller who is revoked during their call, after signing in, is refused at the commit."""
    person = invite(emulator, owner, f"person-{owner.username}", "CLUSTER_ADMIN")
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    arrived, released = Event(), Event()

    def hold(call: AwsCall) -> None:
        if call.operation == "TransactWriteItems" and f"USER#{name}" in str(call.input):
            arrived.set()
            assert released.wait(2.5)  # the function waits three seconds for a response

    with emulator.proxies["APIHandler"].dynamodb.hooked(before=hold), ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(emulator.call, "POST", "/v1/service-users", person, body)
        assert arrived.wait(30)
        revoked = emulator.call("DELETE", f"/v1/users/{person.username}", owner)
        released.set()
    assert revoked.status == 204
    assert under_way.result().status in (401, 403), under_way.result().body
    assert emulator.call("GET", f"/v1/service-users/{name}", owner).status == 404
