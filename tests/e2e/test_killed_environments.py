"""Environments that are killed in the middle of an invocation, at each of their AWS calls.

Before a call, it never happens. After it, AWS has done the work and the function never learns of it. The
client retries, the stream retries, the schedule runs again. Then there is one event for each change and
one email for each recipient, with at most one duplicate.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from local.package.aws_proxy import AwsCall, DropConnectionError, ServiceError
from local.package.emulator import ApiResponse, Emulator, Key
from tests.e2e.test_customer_journey import keys_of, mails

When = Literal["before", "after"]


@pytest.fixture
def owner(emulator: Emulator) -> Iterator[Key]:
    made = emulator.create_account()
    emulator.deliver_stream()
    yield made
    emulator.deliver_stream()  # leave nothing for another test


@contextmanager
def killed_at(
    emulator: Emulator, function: str, place: int, when: When, *, ses: bool = False
) -> Iterator[list[str]]:
    """Kill the environment at its ``place``-th call of DynamoDB (or SES), once; yield a list of that call."""
    proxies = emulator.proxies[function]
    proxy = proxies.ses if ses else proxies.dynamodb
    hit: list[str] = []
    count = 0

    def kill(call: AwsCall) -> None:
        nonlocal count
        count += 1
        if count == place and not hit:
            hit.append(call.operation)
            emulator.functions[function].kill_busy()
            raise DropConnectionError

    with proxy.hooked(**{when: kill}):
        yield hit


def call_with_retry(emulator: Emulator, *call: Any) -> ApiResponse:
    """Call as a client that retries after a 502."""
    response = emulator.call(*call)
    return emulator.call(*call) if response.status == 502 else response


def actions(emulator: Emulator, owner: Key, name: str) -> list[str]:
    return [event["action"] for event in emulator.call("GET", f"/v1/events?username={name}", owner).json][
        ::-1
    ]


def make_pending_due(emulator: Emulator) -> None:
    """Make every pending event due, as if its lease or retry delay had passed."""
    for item in emulator.items(emulator.events):
        if "waiting" in item:
            emulator.dynamodb.update_item(
                TableName=emulator.events,
                Key={"account": item["account"], "id": item["id"]},
                UpdateExpression="SET dueAt = :past",
                ConditionExpression="attribute_exists(waiting)",
                ExpressionAttributeValues={":past": {"N": "1"}},
            )


def pending_count(emulator: Emulator) -> int:
    return sum("waiting" in item for item in emulator.items(emulator.events))


def create_service_user(emulator: Emulator, owner: Key) -> tuple[str, Key]:
    """Create a Service User and deliver its emails; return its username and its key."""
    name = f"bot-{owner.username}"
    body = {
        "username": name,
        "email": f"{name}@machines.example",
        "role": "READ_ONLY",
        "keyTypes": ["MONITORING"],
    }
    key = keys_of(emulator.call("POST", "/v1/service-users", owner, body))["MONITORING"]
    emulator.deliver_stream()
    return name, key


Operation = Callable[[Emulator, Key, str, Key], ApiResponse]
OPERATIONS: dict[str, tuple[Operation, set[int], set[int]]] = {
    # The call; the statuses of its retry if the killed attempt had no effect; and if it had.
    "rotate": (
        lambda emulator, owner, name, _: call_with_retry(
            emulator, "POST", f"/v1/service-users/{name}/api-keys/rotate", owner, {"keyType": "MONITORING"}
        ),
        {200},
        {200},
    ),
    "rotate one's own": (
        lambda emulator, _, __, key: call_with_retry(emulator, "POST", "/v1/api-keys/rotate", key),
        {200},
        {401},
    ),
    "generate": (
        lambda emulator, owner, name, _: call_with_retry(
            emulator,
            "POST",
            f"/v1/service-users/{name}/api-keys",
            owner,
            {"keyType": "PROVISIONING_READONLY"},
        ),
        {201},
        {409},
    ),
    "revoke": (
        lambda emulator, owner, name, _: call_with_retry(
            emulator, "DELETE", f"/v1/service-users/{name}/api-keys", owner, {"keyType": "MONITORING"}
        ),
        {204},
        {404},
    ),
    "delete": (
        lambda emulator, owner, name, _: call_with_retry(
            emulator, "DELETE", f"/v1/service-users/{name}", owner
        ),
        {204},
        {404},
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_api_is_killed_at_any_call_of_an_operation(
    emulator: Emulator, owner: Key, operation: str, when: When
) -> None:
    do, without_effect, with_effect = OPERATIONS[operation]
    place = 0
    while True:
        place += 1
        name, key = create_service_user(emulator, owner)
        history = actions(emulator, owner, name)
        with killed_at(emulator, "APIHandler", place, when) as hit:
            response = do(emulator, owner, name, key)
        if not hit:
            assert response.status in without_effect  # every call has been tried
            break
        took_effect = when == "after" and hit == ["TransactWriteItems"]
        assert response.status in (with_effect if took_effect else without_effect), (hit, response.body)
        # One event for each change that took effect, and no other.
        done = int(took_effect) + (response.status < 300)
        assert len(actions(emulator, owner, name)) == len(history) + done, hit
        before = len(emulator.mail.sent())
        emulator.deliver_stream()
        assert len(mails(emulator, f"{owner.username}@example.com", before)) == done
        emulator.call("DELETE", f"/v1/service-users/{name}", owner)
        emulator.deliver_stream()
    assert place > 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("service", ["dynamodb", "ses"])
def test_the_mailer_is_killed_at_any_call(emulator: Emulator, owner: Key, when: When, service: str) -> None:
    name, _ = create_service_user(emulator, owner)
    place = 0
    while True:
        place += 1
        path, body = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
        assert emulator.call("POST", path, owner, body).status == 200
        before = len(emulator.mail.sent())
        with killed_at(emulator, "Notify", place, when, ses=service == "ses") as hit:
            emulator.deliver_stream()
        make_pending_due(emulator)
        emulator.run_schedule("Resend")
        sent = mails(emulator, f"{owner.username}@example.com", before)
        assert pending_count(emulator) == 0
        if not hit:
            assert len(sent) == 1
            break
        # SES had accepted it and the function had not learned of it: the one case of a second copy, which
        # carries the same event id.
        assert 1 <= len(sent) <= 2, hit
        assert len({mail.message["Service-Users-Event"] for mail in sent}) == 1
        if len(sent) == 2:
            assert hit == (["SendEmail"] if service == "ses" else ["UpdateItem"])
    assert place > 1


def test_the_schedule_is_killed_at_any_call_and_continues_at_its_next_run(
    emulator: Emulator, owner: Key
) -> None:
    name, _ = create_service_user(emulator, owner)
    place = 0
    while True:
        place += 1
        path, body = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
        with emulator.proxies["Notify"].ses.hooked(before=ses_is_unavailable):
            assert emulator.call("POST", path, owner, body).status == 200
            emulator.deliver_stream()
        make_pending_due(emulator)
        before = len(emulator.mail.sent())
        with killed_at(emulator, "Resend", place, "after") as hit:
            try:
                emulator.run_schedule("Resend")
            except Exception:
                assert hit
        make_pending_due(emulator)
        emulator.run_schedule("Resend")
        assert pending_count(emulator) == 0
        assert 1 <= len(mails(emulator, f"{owner.username}@example.com", before)) <= 2
        if not hit:
            break
    assert place > 1


def ses_is_unavailable(_call: AwsCall) -> None:
    raise ServiceError(503, "ServiceUnavailable", "unavailable")


def test_emails_that_ses_cannot_accept_are_sent_once_it_recovers(emulator: Emulator, owner: Key) -> None:
    name, _ = create_service_user(emulator, owner)
    before = len(emulator.mail.sent())
    changes = 4
    notify, resend = emulator.proxies["Notify"].ses, emulator.proxies["Resend"].ses
    with notify.hooked(before=ses_is_unavailable), resend.hooked(before=ses_is_unavailable):
        for _ in range(changes):
            path, body = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
            assert emulator.call("POST", path, owner, body).status == 200
            emulator.deliver_stream()
        for _ in range(3):  # days
            make_pending_due(emulator)
            emulator.run_schedule("Resend")
        assert len(emulator.mail.sent()) == before
        assert pending_count(emulator) == changes
    make_pending_due(emulator)
    emulator.run_schedule("Resend")
    sent = mails(emulator, f"{owner.username}@example.com", before)
    assert Counter(mail.message["Service-Users-Event"] for mail in sent).most_common(1)[0][1] == 1
    assert len(sent) == changes
    assert pending_count(emulator) == 0
    assert not emulator.event_source.dead_letters


def test_a_lost_response_of_the_engine_causes_no_second_change(emulator: Emulator, owner: Key) -> None:
    """The same environment retries by itself; the transaction is recognised by its token."""
    name, _ = create_service_user(emulator, owner)
    dropped: list[str] = []

    def drop(call: AwsCall) -> None:
        if call.operation == "TransactWriteItems" and not dropped:
            dropped.append(call.input["ClientRequestToken"])
            raise DropConnectionError

    path, body = f"/v1/service-users/{name}/api-keys/rotate", {"keyType": "MONITORING"}
    with emulator.proxies["APIHandler"].dynamodb.hooked(after=drop):
        response = emulator.call("POST", path, owner, body)
    assert dropped
    assert response.status == 200
    assert emulator.call("GET", "/v1/whoami", Key(name, response.json["key"])).status == 200
    assert actions(emulator, owner, name).count("API_KEY_ROTATED") == 1


def test_an_unavailable_engine_is_a_503_problem(emulator: Emulator, owner: Key) -> None:
    def unavailable(_call: AwsCall) -> None:
        raise ServiceError(400, "ProvisionedThroughputExceededException", "too much")

    with emulator.proxies["APIHandler"].dynamodb.hooked(before=unavailable):
        response = emulator.call("GET", "/v1/whoami", owner)
    assert response.status == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert emulator.call("GET", "/v1/whoami", owner).status == 200
