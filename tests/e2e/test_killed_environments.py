"""Environments that die in the middle of a call, at every place where they wait for AWS.

Before a call: it is made by nobody. After it: AWS has done it, and nobody heard. The client tries
again, the stream tries again, the schedule goes on; and then there is one event for each change, a
mail for everybody who is to have one, and at most one too many.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from local.package.aws_proxy import Call, Cut, Refuse
from local.package.emulator import Answer, Cloud, Key
from tests.e2e.test_customer_journey import keys_of, mails

When = Literal["before", "after"]


@pytest.fixture
def owner(cloud: Cloud) -> Iterator[Key]:
    made = cloud.account()
    cloud.stream()
    yield made
    cloud.stream()  # nothing is left for another test's stream


@contextmanager
def dying(cloud: Cloud, function: str, place: int, when: When, *, ses: bool = False) -> Iterator[list[str]]:
    """Kill the environment at its ``place``-th call of DynamoDB (or SES), once; tell which call that was."""
    proxy = cloud.proxies[function][1 if ses else 0]
    hit: list[str] = []
    seen = 0

    def at(call: Call) -> None:
        nonlocal seen
        seen += 1
        if seen == place and not hit:
            hit.append(call.operation)
            cloud.functions[function].kill_busy()
            raise Cut

    with proxy.hooked(**{when: at}):
        yield hit


def retried(cloud: Cloud, *call: Any) -> Answer:
    """Call as a client does that tries again after a 502."""
    answer = cloud.call(*call)
    return cloud.call(*call) if answer.status == 502 else answer


def actions(cloud: Cloud, owner: Key, name: str) -> list[str]:
    return [event["action"] for event in cloud.call("GET", f"/v1/events?username={name}", owner).json][::-1]


def time_passes(cloud: Cloud) -> None:
    """Have every waiting event be due: as if its lease or its pause were over."""
    for item in cloud.items(cloud.events):
        if "waiting" in item:
            cloud.dynamodb.update_item(
                TableName=cloud.events,
                Key={"account": item["account"], "id": item["id"]},
                UpdateExpression="SET dueAt = :past",
                ConditionExpression="attribute_exists(waiting)",
                ExpressionAttributeValues={":past": {"N": "1"}},
            )


def waiting(cloud: Cloud) -> int:
    return sum("waiting" in item for item in cloud.items(cloud.events))


def service_user(cloud: Cloud, owner: Key) -> tuple[str, Key]:
    """Make a Service User whose mail is out; answer its name and its key."""
    name = f"bot-{owner.username}"
    body = {
        "username": name,
        "email": f"{name}@machines.example",
        "role": "READ_ONLY",
        "keyTypes": ["MONITORING"],
    }
    key = keys_of(cloud.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    cloud.stream()
    return name, key


Act = Callable[[Cloud, Key, str, Key], Answer]
ACTS: dict[str, tuple[Act, set[int], set[int]]] = {
    # What is asked, what the try that died may be followed by where it had no effect, and where it had.
    "rotate": (
        lambda cloud, owner, name, _: retried(
            cloud, "POST", f"/v1/service-users/{name}/api-keys/rotate", owner, {"keyType": "MONITORING"}
        ),
        {200},
        {200},
    ),
    "rotate one's own": (
        lambda cloud, _, __, key: retried(cloud, "POST", "/v1/api-keys/rotate", key),
        {200},
        {401},
    ),
    "generate": (
        lambda cloud, owner, name, _: retried(
            cloud, "POST", f"/v1/service-users/{name}/api-keys", owner, {"keyType": "PROVISIONING_READONLY"}
        ),
        {201},
        {409},
    ),
    "revoke": (
        lambda cloud, owner, name, _: retried(
            cloud, "DELETE", f"/v1/service-users/{name}/api-keys", owner, {"keyType": "MONITORING"}
        ),
        {204},
        {404},
    ),
    "delete": (
        lambda cloud, owner, name, _: retried(cloud, "DELETE", f"/v1/service-users/{name}", owner),
        {204},
        {404},
    ),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_api_dies_at_any_call_of_an_act(cloud: Cloud, owner: Key, act: str, when: When) -> None:
    do, without_effect, with_effect = ACTS[act]
    place = 0
    while True:
        place += 1
        name, key = service_user(cloud, owner)
        history = actions(cloud, owner, name)
        with dying(cloud, "APIHandler", place, when) as hit:
            answer = do(cloud, owner, name, key)
        if not hit:
            assert answer.status in without_effect  # every place has had its turn
            break
        took_effect = when == "after" and hit == ["TransactWriteItems"]
        assert answer.status in (with_effect if took_effect else without_effect), (hit, answer.body)
        # One event for each change that happened, and none for one that did not.
        done = int(took_effect) + (answer.status < 300)
        assert len(actions(cloud, owner, name)) == len(history) + done, hit
        before = len(cloud.mail.taken())
        cloud.stream()
        assert len(mails(cloud, f"{owner.username}@example.com", before)) == done
        cloud.call("DELETE", f"/v1/service-users/{name}", owner)
        cloud.stream()
    assert place > 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("service", ["dynamodb", "ses"])
def test_the_mailer_dies_at_any_call(cloud: Cloud, owner: Key, when: When, service: str) -> None:
    name, _ = service_user(cloud, owner)
    place = 0
    while True:
        place += 1
        path, asked = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
        assert cloud.call("POST", path, owner, asked).status == 200
        before = len(cloud.mail.taken())
        with dying(cloud, "Notify", place, when, ses=service == "ses") as hit:
            cloud.stream()
        time_passes(cloud)
        cloud.schedule("Resend")
        told = mails(cloud, f"{owner.username}@example.com", before)
        assert waiting(cloud) == 0
        if not hit:
            assert len(told) == 1
            break
        # SES had taken it and nobody had heard: the one case of a second copy, and known as one.
        assert 1 <= len(told) <= 2, hit
        assert len({mail.message["Service-Users-Event"] for mail in told}) == 1
        if len(told) == 2:
            assert hit == (["SendEmail"] if service == "ses" else ["UpdateItem"])
    assert place > 1


def test_the_schedule_dies_at_any_call_and_goes_on_the_next_time(cloud: Cloud, owner: Key) -> None:
    name, _ = service_user(cloud, owner)
    place = 0
    while True:
        place += 1
        path, asked = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
        with cloud.proxies["Notify"][1].hooked(before=ses_is_away):
            assert cloud.call("POST", path, owner, asked).status == 200
            cloud.stream()
        time_passes(cloud)
        before = len(cloud.mail.taken())
        with dying(cloud, "Resend", place, "after") as hit:
            try:
                cloud.schedule("Resend")
            except Exception:
                assert hit
        time_passes(cloud)
        cloud.schedule("Resend")
        assert waiting(cloud) == 0
        assert 1 <= len(mails(cloud, f"{owner.username}@example.com", before)) <= 2
        if not hit:
            break
    assert place > 1


def ses_is_away(_call: Call) -> None:
    raise Refuse(503, "ServiceUnavailable", "away")


def test_what_ses_is_too_ill_to_take_goes_out_once_it_is_well(cloud: Cloud, owner: Key) -> None:
    name, _ = service_user(cloud, owner)
    before = len(cloud.mail.taken())
    changes = 4
    notify, resend = cloud.proxies["Notify"][1], cloud.proxies["Resend"][1]
    with notify.hooked(before=ses_is_away), resend.hooked(before=ses_is_away):
        for _ in range(changes):
            path, asked = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
            assert cloud.call("POST", path, owner, asked).status == 200
            cloud.stream()
        for _ in range(3):  # days
            time_passes(cloud)
            cloud.schedule("Resend")
        assert len(cloud.mail.taken()) == before
        assert waiting(cloud) == changes
    time_passes(cloud)
    cloud.schedule("Resend")
    told = mails(cloud, f"{owner.username}@example.com", before)
    assert Counter(mail.message["Service-Users-Event"] for mail in told).most_common(1)[0][1] == 1
    assert len(told) == changes
    assert waiting(cloud) == 0
    assert not cloud.source.dead_letters


def test_a_lost_answer_of_the_engine_is_no_second_change(cloud: Cloud, owner: Key) -> None:
    """The same environment tries again by itself: the transaction is known by its token."""
    name, _ = service_user(cloud, owner)
    lost: list[str] = []

    def lose(call: Call) -> None:
        if call.operation == "TransactWriteItems" and not lost:
            lost.append(call.input["ClientRequestToken"])
            raise Cut

    path, asked = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
    with cloud.proxies["APIHandler"][0].hooked(after=lose):
        answer = cloud.call("POST", path, owner, asked)
    assert lost
    assert answer.status == 200
    assert cloud.call("GET", "/v1/whoami", Key(name, answer.json["key"])).status == 200
    assert actions(cloud, owner, name).count("API_KEY_ROTATED") == 1


def test_an_engine_that_is_away_is_a_problem_with_a_name(cloud: Cloud, owner: Key) -> None:
    def away(_call: Call) -> None:
        raise Refuse(400, "ProvisionedThroughputExceededException", "too much")

    with cloud.proxies["APIHandler"][0].hooked(before=away):
        answer = cloud.call("GET", "/v1/whoami", owner)
    assert answer.status == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert cloud.call("GET", "/v1/whoami", owner).status == 200
