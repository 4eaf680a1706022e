"""The store when things go wrong: conditions fail, others are in the way, DynamoDB does not respond."""

import gc
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.rules import key_format
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import Origin
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.errors import ApiError, Conflict, Unauthenticated
from chalicelib.rules.model import Action
from chalicelib.rules.ports import StillEntitled, UpdateAccount
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store.items import from_attribute, to_attribute
from tests.support.accounts import PATH, Accounts, AccountTemplates, assert_problem, service_user_body
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.dynamodb_faults import (
    Step,
    assert_events_match_keys,
    before_next_call,
    connects_too_slowly,
    hangs,
    inject_faults,
    is_out_of_reach,
    loses_the_response,
    passes,
    refuses,
)

BOT = f"{PATH}/bot"
KEYS = f"{BOT}/api-keys"
MONITORING = {"keyType": "MONITORING"}
MUTATIONS: dict[str, tuple[str, str, Any]] = {
    "create": ("POST", PATH, service_user_body("new")),
    "update": ("PUT", BOT, {"displayName": "x"}),
    "lower": ("PUT", BOT, {"role": "READ_ONLY"}),
    "administrators": ("PUT", BOT, {"administrators": ["owner", "admin"]}),
    "delete": ("DELETE", BOT, NO_BODY),
    "generate": ("POST", KEYS, {"keyType": "PROVISIONING_READONLY"}),
    "revoke": ("DELETE", KEYS, MONITORING),
    "restrict": ("PATCH", KEYS, {**MONITORING, "allowedNetworks": ["10.0.0.0/8"]}),
    "rotate": ("POST", f"{KEYS}/rotate", MONITORING),
    "rotate-own": ("POST", "/v1/api-keys/rotate", NO_BODY),
}


@pytest.fixture
def accounts(stack: Stack, account_templates: AccountTemplates) -> Accounts:
    """A CLUSTER_ADMIN Service User "bot" that the "admin" administers, with all keys but one."""

    def build(accounts: Accounts) -> None:
        types = ["MONITORING", "PROVISIONING", "USER_MANAGEMENT"]
        keys = stack.service_user(accounts["admin"], "bot", "CLUSTER_ADMIN", keyTypes=types)
        accounts.keys["bot"] = keys["MONITORING"]

    return account_templates.make(stack, "bot without one key", build)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the calls would have waited; no test does."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def pairs(ones: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    """Return every pair. Those without the first of either are left to the real engine, which is quick."""
    ones, others = list(ones), list(others)
    return [
        pytest.param(one, other, marks=() if one == ones[0] or other == others[0] else pytest.mark.engine)
        for one in ones
        for other in others
    ]


def mutate(accounts: Accounts, name: str, caller: str = "admin") -> Response:
    method, path, body = MUTATIONS[name]
    return accounts.call(method, path, caller, body)


# One transaction, conditional on what was read


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_is_one_transaction_with_one_event_and_every_write_conditional(
    accounts: Accounts, name: str
) -> None:
    accounts["owner"]
    with inject_faults(accounts.stack, "TransactWriteItems") as bodies, accounts.stack.counted() as calls:
        assert mutate(accounts, name).status < 300
    assert calls.keys() <= {"GetItem", "BatchGetItem", "TransactWriteItems"}
    (sent,) = [json.loads(body) for body in bodies]
    assert sent["ClientRequestToken"]
    operations = [next(iter(item.items())) for item in sent["TransactItems"]]
    events = [it for kind, it in operations if it["TableName"] == accounts.stack.tables.events]
    assert [it["ConditionExpression"] for it in events] == ["attribute_not_exists(id)"]
    # A pointer is to one key, so nobody else has written it; its holder's own condition holds both.
    unconditional = [
        kind
        for kind, it in operations
        if "ConditionExpression" not in it and not it.get("Item", it.get("Key"))["pk"]["S"].startswith("KEY#")
    ]
    assert unconditional == []
    checks = [it["Key"]["pk"]["S"] for kind, it in operations if kind == "ConditionCheck"]
    caller = [] if name == "rotate-own" else ["USER#admin"]
    # An address that version 1.0 kept is noticed, whichever account it is of.
    assert checks == (["EMAIL#new@machines.example", *caller] if name == "create" else caller)


# The caller loses what they signed in with, between sign-in and commit


def revoke_person(accounts: Accounts) -> Response:
    return accounts.call("DELETE", "/v1/users/admin", "owner")


def lower_person(accounts: Accounts) -> Response:
    return accounts.call("PUT", "/v1/users/admin", "owner", {"role": "READ_ONLY"})


def raise_person(accounts: Accounts) -> Response:
    return accounts.call("PUT", "/v1/users/admin", "owner", {"role": "OWNER"})


def invite_again(accounts: Accounts) -> Response:
    return accounts.call("POST", "/v1/users/admin/invitation", "owner")


def revoke_and_invite(accounts: Accounts) -> Response:
    assert revoke_person(accounts).status == 204
    body = {"username": "admin", "email": "admin@people.example", "role": "CLUSTER_ADMIN"}
    return accounts.call("POST", "/v1/users", "owner", body)


def rotate_key(accounts: Accounts) -> Response:
    return accounts.call("POST", "/v1/api-keys/rotate", "admin")


def revoke_key(accounts: Accounts) -> Response:
    path = "/v1/users/admin/api-keys?keyType=USER_MANAGEMENT&evenIfLockedOut=true"
    return accounts.call("DELETE", path, "admin")


LOSSES = {
    "revoked": revoke_person,
    "lowered": lower_person,
    "raised": raise_person,
    "invited again": invite_again,
    "revoked and invited": revoke_and_invite,
    "key rotated": rotate_key,
    "key revoked": revoke_key,
}


@pytest.mark.parametrize(("name", "loses"), pairs(MUTATIONS, LOSSES))
def test_a_caller_revoked_before_the_commit_changes_nothing(
    accounts: Accounts, name: str, loses: str
) -> None:
    accounts["owner"]
    after: list[Any] = []

    def lose() -> None:
        assert LOSSES[loses](accounts).status < 300
        after.append(accounts.stack.snapshot())

    with before_next_call(accounts.stack, "TransactWriteItems", lose):
        response = mutate(accounts, name)

    # A rotation of one's own key is conditional on the very item that was changed.
    problem = assert_problem(response, 409 if name == "rotate-own" else 401)
    assert name == "rotate-own" or "while the call was under way" in problem["detail"]
    assert [accounts.stack.snapshot()] == after
    assert_events_match_keys(accounts.stack)


def test_a_key_that_was_rotated_with_overlap_under_way_is_still_good(accounts: Accounts) -> None:
    def roll() -> None:
        body = {"overlapSeconds": 60}
        assert accounts.call("POST", "/v1/api-keys/rotate", "admin", body).status == 200

    with before_next_call(accounts.stack, "TransactWriteItems", roll):
        assert mutate(accounts, "update").status == 200


@pytest.mark.parametrize(
    "other",
    [
        {"account": "another"},
        {"role": Role.OWNER},
        {"role": Role.READ_ONLY},
        {"membership": "another"},
        {"username": "owner"},
        {"username": "bot"},
        {"username": "nobody-1"},
        {},
    ],
    ids=lambda it: str(it) if it else "as it is",
)
def test_a_caller_is_held_to_all_they_were_at_sign_in(accounts: Accounts, other: dict[str, Any]) -> None:
    """Each alone, and whether or not a call can bring it about today."""
    accounts["owner"]
    directory = accounts.stack.service.directory
    admin = directory.principal("admin")
    account = directory.account(admin.account)
    was = StillEntitled(
        replace(admin, **other),
        PresentedKey(KeyType.USER_MANAGEMENT, admin.keys[KeyType.USER_MANAGEMENT].digest),
        Unauthenticated("no longer"),
    )
    change = UpdateAccount(account, replace(account, name="Renamed", version="new"), 0, Conflict("changed"))
    record = new_event(Origin("", "", accounts.stack.clock()), actor(admin), Action.ACCOUNT_UPDATED, account)
    before = accounts.stack.snapshot()
    if other:
        with pytest.raises(Unauthenticated, match="no longer"):
            directory.commit(record, change, was)
        assert accounts.stack.snapshot() == before
    else:
        directory.commit(record, change, was)
        assert directory.account(admin.account).name == "Renamed"


# The target changes between read and commit

CHANGES: dict[str, tuple[str, str, Any]] = {
    "renamed": ("PUT", BOT, {"displayName": "other"}),
    "handed over": ("PUT", BOT, {"administrators": ["owner"]}),
    "raised": ("PUT", BOT, {"role": "OWNER"}),
    "deleted": ("DELETE", BOT, NO_BODY),
    "rotated": ("POST", f"{KEYS}/rotate", MONITORING),
    "revoked": ("DELETE", KEYS, {"keyType": "PROVISIONING"}),
}


REVOCATIONS = ("delete", "revoke")
DECISIONS = [name for name in list(MUTATIONS)[1:-1] if name not in REVOCATIONS]


@pytest.mark.parametrize(("name", "change"), pairs(DECISIONS, CHANGES))
def test_a_decision_on_outdated_data_is_not_committed(accounts: Accounts, name: str, change: str) -> None:
    method, path, body = CHANGES[change]
    accounts["owner"]
    after: list[Any] = []

    def alter() -> None:
        assert accounts.call(method, path, "owner", body).status < 300
        after.append(accounts.stack.snapshot())

    with before_next_call(accounts.stack, "TransactWriteItems", alter):
        response = mutate(accounts, name)

    assert "nothing was done" in assert_problem(response, 409)["detail"]
    assert [accounts.stack.snapshot()] == after
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("name", REVOCATIONS)
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("renamed", 204),
        ("handed over", 403),
        ("raised", 204),
        ("deleted", 404),
        ("rotated", 204),
        ("revoked", 204),
    ],
)
def test_a_revocation_is_done_whatever_else_changed(
    accounts: Accounts, name: str, change: str, status: int
) -> None:
    """But only by who may still do it, to what is still there."""
    method, path, body = CHANGES[change]
    accounts["owner"]

    def alter() -> None:
        assert accounts.call(method, path, "owner", body).status < 300

    with before_next_call(accounts.stack, "TransactWriteItems", alter):
        assert mutate(accounts, name).status == status
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize(
    ("change", "status", "there"),
    [({"displayName": "B"}, 204, False), ({"role": "READ_ONLY"}, 204, False)],
)
def test_a_user_is_revoked_whatever_else_changed(
    accounts: Accounts, change: dict[str, Any], status: int, there: bool
) -> None:
    accounts["bystander"]
    users = "/v1/users/bystander"

    def alter() -> None:
        assert accounts.call("PUT", users, "owner", change).status == 200

    with before_next_call(accounts.stack, "TransactWriteItems", alter):
        assert accounts.call("DELETE", users, "owner").status == status
    assert accounts.call("GET", users, "owner").status == (200 if there else 404)
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("key_type", ["USER_MANAGEMENT", "MONITORING"])
def test_a_user_revokes_their_own_key_though_a_thief_rotates_it(accounts: Accounts, key_type: str) -> None:
    """Unless it is the one they signed in with: that one is no longer theirs."""
    mine = accounts["admin"]
    stolen = mine if key_type == "USER_MANAGEMENT" else accounts.stack.own_key(mine, key_type)

    def rotate() -> None:
        assert accounts.stack.call("POST", "/v1/api-keys/rotate", stolen).status == 200

    with before_next_call(accounts.stack, "TransactWriteItems", rotate):
        body = {"keyType": key_type, "evenIfLockedOut": True}
        revoked = accounts.call("DELETE", "/v1/users/admin/api-keys", "admin", body)
    if key_type == "USER_MANAGEMENT":
        assert_problem(revoked, 401)
    else:
        assert revoked.status == 204
        assert key_type not in accounts.stack.item("admin")["keys"]
        assert accounts.stack.sign_in(mine) == 200
    assert len(accounts.stack.events("API_KEY_REVOKED")) == (key_type == "MONITORING")


def test_an_owner_leaves_though_a_thief_rotates_their_key(accounts: Accounts) -> None:
    """And not with a key that is revoked meanwhile."""
    second = accounts.stack.user(accounts["owner"], "second", "OWNER")
    other = accounts.stack.own_key(second, "MONITORING")

    def rotate() -> None:
        assert accounts.stack.call("POST", "/v1/api-keys/rotate", other).status == 200

    def revoke() -> None:
        body = {"keyType": "USER_MANAGEMENT", "evenIfLockedOut": True}
        assert accounts.stack.call("DELETE", "/v1/users/second/api-keys", second, body).status == 204

    with before_next_call(accounts.stack, "TransactWriteItems", revoke):
        assert_problem(accounts.stack.call("DELETE", "/v1/users/second", second), 409)
    third = accounts.stack.user(accounts["owner"], "third", "OWNER")
    other = accounts.stack.own_key(third, "MONITORING")
    with before_next_call(accounts.stack, "TransactWriteItems", rotate):
        assert accounts.stack.call("DELETE", "/v1/users/third", third).status == 204
    assert_events_match_keys(accounts.stack)


def test_a_self_rotation_and_an_administrators_exclude_each_other(accounts: Accounts) -> None:
    with before_next_call(accounts.stack, "TransactWriteItems", lambda: mutate(accounts, "rotate")):
        assert_problem(mutate(accounts, "rotate-own", "bot"), 409)
    assert_problem(accounts.call("GET", "/v1/whoami", "bot"), 401)
    assert_events_match_keys(accounts.stack)


def test_an_administrator_revoked_while_being_named_administers_nothing(accounts: Accounts) -> None:
    """Their link is to a membership that is no more."""
    accounts["bystander"]

    def revoke() -> None:
        assert accounts.call("DELETE", "/v1/users/bystander", "owner").status == 204

    with before_next_call(accounts.stack, "TransactWriteItems", revoke):
        body = {"administrators": ["admin", "bystander"]}
        assert accounts.call("PUT", BOT, "owner", body).status == 200
    assert accounts.call("GET", BOT, "owner").json["administrators"] == ["admin"]
    again = accounts.stack.user(accounts["owner"], "bystander", "CLUSTER_ADMIN")
    assert_problem(accounts.stack.call("DELETE", BOT, again), 403)


@pytest.mark.parametrize(
    ("taken", "email"), [("new", "other@x.example"), ("other", "new+1@machines.example")]
)
def test_a_name_taken_by_a_concurrent_creation_is_409(accounts: Accounts, taken: str, email: str) -> None:
    after: list[Any] = []

    def take() -> None:
        accounts.stack.service_user(accounts["owner"], taken, email=email)
        after.append(accounts.stack.snapshot())

    accounts["owner"]
    with before_next_call(accounts.stack, "TransactWriteItems", take):
        assert "is taken" in assert_problem(mutate(accounts, "create"), 409)["detail"]
    assert [accounts.stack.snapshot()] == after


# Others in the way

CONFLICT = refuses("TransactionCanceledException", reasons=["None", "TransactionConflict", "None"])


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_transaction_conflict_is_retried(accounts: Accounts, pauses: list[float], times: int) -> None:
    with inject_faults(accounts.stack, "TransactWriteItems", *[CONFLICT] * times) as bodies:
        assert mutate(accounts, "create").status == 201
    assert len(bodies) == times + 1
    assert len({json.loads(body)["ClientRequestToken"] for body in bodies}) == times + 1
    assert len(pauses) == times
    assert sum(pauses) < 1
    assert_events_match_keys(accounts.stack)


def test_endless_transaction_conflicts_are_a_409(accounts: Accounts, pauses: list[float]) -> None:
    accounts["admin"]
    before = accounts.stack.snapshot()
    with inject_faults(accounts.stack, "TransactWriteItems", CONFLICT, repeat_last=True) as bodies:
        problem = assert_problem(mutate(accounts, "create"), 409)
    assert problem["detail"] == "Concurrent calls keep changing this; nothing was done. Try again."
    assert len(bodies) == 5
    assert sum(pauses) < 1
    assert accounts.stack.snapshot() == before


def test_a_failed_condition_takes_precedence_over_a_conflict(accounts: Accounts, pauses: list[float]) -> None:
    both = refuses(
        "TransactionCanceledException",
        reasons=["TransactionConflict", "ConditionalCheckFailed", "None", "None"],
    )
    with inject_faults(accounts.stack, "TransactWriteItems", both) as bodies:
        assert "email" in assert_problem(mutate(accounts, "create"), 409)["detail"]
    assert (len(bodies), pauses) == (1, [])


# DynamoDB does not respond

THROTTLED: dict[str, Step] = {
    "throttled": refuses("ProvisionedThroughputExceededException"),
    "slowed down": refuses("ThrottlingException"),
    "limited": refuses("RequestLimitExceeded"),
    "broken": refuses("InternalServerError", 500),
    "unavailable": refuses("ServiceUnavailable", 503),
    "hanging": hangs,
    "out of reach": is_out_of_reach,
    "slow to connect": connects_too_slowly,
}
CALLS = {
    "TransactWriteItems": MUTATIONS["rotate"],
    "GetItem": ("GET", "/v1/whoami", NO_BODY),
    "Query": ("GET", PATH, NO_BODY),
    "BatchGetItem": ("GET", BOT, NO_BODY),
}


@pytest.mark.parametrize(("operation", "step"), pairs(CALLS, THROTTLED))
def test_a_caller_is_told_to_retry_when_dynamodb_does_not_respond(
    accounts: Accounts, pauses: list[float], operation: str, step: str
) -> None:
    method, path, body = CALLS[operation]
    accounts["admin"]
    before = accounts.stack.snapshot()
    with inject_faults(accounts.stack, operation, THROTTLED[step], repeat_last=True) as bodies:
        response = accounts.call(method, path, "admin", body)
    problem = assert_problem(response, 503)
    assert problem["detail"] == "The database did not respond in time. " + (
        "The change may or may not have been made: read before you try again."
        if operation == "TransactWriteItems"
        else "Nothing was changed; try again."
    )
    assert response.headers["Retry-After"] == "1"
    assert len(bodies) == 3
    assert sum(pauses) < 10
    assert accounts.stack.snapshot() == before


@pytest.mark.parametrize(("operation", "step"), pairs(CALLS, THROTTLED))
def test_one_failed_attempt_is_retried(
    accounts: Accounts, pauses: list[float], operation: str, step: str
) -> None:
    method, path, body = CALLS[operation]
    accounts["admin"]
    with inject_faults(accounts.stack, operation, THROTTLED[step]) as bodies:
        assert accounts.call(method, path, "admin", body).status == 200
    tokens = {json.loads(body).get("ClientRequestToken") for body in bodies[:2]}
    assert len(tokens) == 1, "the tries of one transaction carry one token"
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize(
    "step",
    [
        refuses("TransactionCanceledException", reasons=["None", "ThrottlingError", "None"]),
        refuses("TransactionCanceledException", reasons=["ProvisionedThroughputExceeded", "None"]),
        refuses("TransactionInProgressException"),
    ],
    ids=["throttled item", "exceeded item", "in progress"],
)
def test_a_transaction_in_progress_is_a_503_to_retry(
    accounts: Accounts, pauses: list[float], step: Step
) -> None:
    with inject_faults(accounts.stack, "TransactWriteItems", step, repeat_last=True):
        assert_problem(mutate(accounts, "rotate"), 503)


@pytest.mark.parametrize(
    "step",
    [
        refuses("AccessDeniedException"),
        refuses("ResourceNotFoundException"),
        refuses("ValidationException"),
        refuses("TransactionCanceledException", reasons=["ValidationError", "None", "None"]),
        refuses("TransactionCanceledException", reasons=["ItemCollectionSizeLimitExceeded"]),
    ],
    ids=["denied", "no table", "invalid", "invalid item", "too large"],
)
def test_an_error_only_the_operator_can_fix_is_a_500(
    accounts: Accounts, step: Step, caplog: pytest.LogCaptureFixture, pauses: list[float]
) -> None:
    accounts["admin"]
    before = accounts.stack.snapshot()
    with inject_faults(accounts.stack, "TransactWriteItems", step, repeat_last=True):
        response = mutate(accounts, "rotate")
    assert "in trouble" not in assert_problem(response, 500)["detail"]
    assert "in trouble" in caplog.text
    assert accounts.stack.snapshot() == before


# Answers lost on their way


@pytest.mark.engine
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_transaction_whose_response_was_lost_is_made_once_and_succeeds(
    accounts: Accounts, pauses: list[float], name: str
) -> None:
    accounts["owner"]
    accounts["admin"]
    events = len(accounts.stack.items(accounts.stack.tables.events))
    with inject_faults(accounts.stack, "TransactWriteItems", loses_the_response) as bodies:
        response = mutate(accounts, name)
    assert response.status < 300
    assert len(bodies) == 2
    assert len(accounts.stack.items(accounts.stack.tables.events)) == events + 1
    assert_events_match_keys(accounts.stack)
    if name in {"generate", "rotate"}:
        assert accounts.stack.call("GET", "/v1/whoami", Key("bot", response.json["key"])).status == 200


@pytest.mark.engine
def test_a_transaction_whose_responses_are_all_lost_is_made_once_and_reported_as_uncertain(
    accounts: Accounts, pauses: list[float]
) -> None:
    accounts["admin"]
    with inject_faults(accounts.stack, "TransactWriteItems", loses_the_response, repeat_last=True):
        response = mutate(accounts, "rotate")
    assert "may or may not have been made" in assert_problem(response, 503)["detail"]
    assert_problem(accounts.call("GET", "/v1/whoami", "bot"), 401)
    assert_events_match_keys(accounts.stack)


# Parts that DynamoDB leaves for later


def leave_some(stack: Stack, times: int) -> Callable[..., None]:
    left = [times]

    def cut(parsed: dict[str, Any], **_more: Any) -> None:
        found = parsed["Responses"].get(stack.tables.directory, [])
        if left[0] and found:
            left[0] -= 1
            kept, later = found[:1], found[1:]
            keys = [{"pk": it["pk"]} for it in later] or [{"pk": {"S": "USER#nobody-1"}}]
            parsed["Responses"][stack.tables.directory] = kept
            parsed["UnprocessedKeys"] = {stack.tables.directory: {"Keys": keys, "ConsistentRead": True}}
        elif left[0]:
            left[0] -= 1
            parsed["UnprocessedKeys"] = {
                stack.tables.directory: {"Keys": [{"pk": {"S": "USER#nobody-1"}}], "ConsistentRead": True}
            }

    return cut


@pytest.mark.parametrize(("times", "status"), [(1, 200), (5, 200), (6, 503), (99, 503)])
def test_people_left_unprocessed_are_asked_for_again(
    accounts: Accounts, pauses: list[float], times: int, status: int
) -> None:
    administrators = ["admin", "bystander", "owner"]
    for name in administrators:
        accounts.caller(name)
    assert accounts.call("PUT", BOT, "owner", {"administrators": administrators}).status == 200
    cut = leave_some(accounts.stack, times)
    accounts.stack.client.meta.events.register("after-call.dynamodb.BatchGetItem", cut)
    try:
        with accounts.stack.counted() as calls:
            response = accounts.call("GET", BOT, "owner")
    finally:
        accounts.stack.client.meta.events.unregister("after-call.dynamodb.BatchGetItem", cut)
    assert response.status == status
    assert calls["BatchGetItem"] == min(times + 1, 6)
    assert len(pauses) == min(times, 5)
    if status == 200:
        assert response.json["administrators"] == administrators


def test_a_page_that_dynamodb_cuts_short_goes_on_where_it_was_cut(accounts: Accounts) -> None:
    """It answers up to one megabyte, however many items are asked for."""
    for number in range(4):
        accounts.stack.service_user(accounts["admin"], f"bot-{number}", keyTypes=[])

    def cut(params: dict[str, Any], **_more: Any) -> None:
        params["Limit"] = 2

    accounts.stack.client.meta.events.register("provide-client-params.dynamodb.Query", cut)
    try:
        page: str | None = PATH
        found = []
        while page:
            response = accounts.call("GET", page, "owner")
            found += [it["username"] for it in response.json]
            page = response.next_path
    finally:
        accounts.stack.client.meta.events.unregister("provide-client-params.dynamodb.Query", cut)
    assert found == ["bot", "bot-0", "bot-1", "bot-2", "bot-3"]


# Notes, which are worth no sign-in


DENIED = refuses("AccessDeniedException")


@pytest.mark.parametrize("step", [*THROTTLED.values(), DENIED, refuses("ConditionalCheckFailedException")])
def test_a_sign_in_succeeds_even_if_its_use_cannot_be_recorded(
    accounts: Accounts, pauses: list[float], step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.stack.clock.forward(3600)
    with (
        caplog.at_level(logging.INFO),
        inject_faults(accounts.stack, "UpdateItem", step, repeat_last=True) as bodies,
    ):
        assert accounts.call("GET", "/v1/whoami", "bot").status == 200
    assert bodies
    assert_logged(caplog, "a use was not recorded", step)
    assert accounts["bot"].secret not in caplog.text


@pytest.mark.parametrize(
    "step",
    [
        *THROTTLED.values(),
        DENIED,
        refuses("TransactionCanceledException", reasons=["ConditionalCheckFailed"]),
    ],
)
def test_a_call_is_refused_even_if_its_refusal_cannot_be_recorded(
    accounts: Accounts, pauses: list[float], step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    restricted = {**MONITORING, "allowedNetworks": ["10.0.0.0/8"]}
    assert accounts.call("PATCH", KEYS, "admin", restricted).status == 200
    with (
        caplog.at_level(logging.INFO),
        inject_faults(accounts.stack, "TransactWriteItems", step, repeat_last=True),
    ):
        assert_problem(accounts.call("GET", "/v1/whoami", "bot"), 403)
    assert_logged(caplog, "a refusal was not recorded", step)


def assert_logged(caplog: pytest.LogCaptureFixture, message: str, step: Step) -> None:
    """Assert that one line says so: an ERROR with the code, for an alarm, if it is the role's fault."""
    (record,) = [it for it in caplog.records if it.name == "chalicelib.store.directory"]
    assert record.message == message
    if step is DENIED:
        assert (record.levelname, record.__dict__["code"]) == ("ERROR", "AccessDeniedException")
    else:
        assert record.levelname == "INFO"


def test_a_note_of_a_key_that_was_just_replaced_is_not_made_on_its_successor(accounts: Accounts) -> None:
    accounts.stack.clock.forward(3600)

    def rotate() -> None:
        mutate(accounts, "rotate")

    with before_next_call(accounts.stack, "UpdateItem", rotate):
        assert accounts.call("GET", "/v1/whoami", "bot").status == 200
    assert "lastUsedAt" not in accounts.stack.stored_keys("bot")["MONITORING"]


def test_a_use_that_is_noted_during_a_change_stays(accounts: Accounts) -> None:
    """A note changes no version, so what is written must not be all that was read."""
    owner = accounts["owner"]
    other = {"keyType": "PROVISIONING", "allowedNetworks": ["198.51.100.0/24"]}
    for method, path, body in (
        ("PATCH", f"{BOT}/api-keys", other),
        ("POST", f"{BOT}/api-keys/rotate", {"keyType": "PROVISIONING"}),
        ("PATCH", f"{BOT}/api-keys", {"keyType": "MONITORING", "allowedNetworks": ["0.0.0.0/0"]}),
        ("PUT", BOT, {"displayName": "Bot", "role": "READ_ONLY"}),
    ):
        accounts.stack.clock.forward(3601)
        with before_next_call(
            accounts.stack, "TransactWriteItems", lambda: accounts.call("GET", "/v1/whoami", "bot")
        ):
            assert accounts.stack.call(method, path, owner, body).status == 200
        used = accounts.stack.stored_keys("bot")["MONITORING"]["lastUsedAt"]
        assert used == int(accounts.stack.clock()), (method, path)


def test_a_use_of_a_key_that_is_just_replaced_is_no_use_of_its_successor(accounts: Accounts) -> None:
    """Whether the newer key was used decides who is told that a response was lost."""
    rotate = {"keyType": "MONITORING"}
    with before_next_call(
        accounts.stack, "TransactWriteItems", lambda: accounts.call("GET", "/v1/whoami", "bot")
    ):
        assert accounts.call("POST", f"{BOT}/api-keys/rotate", "owner", rotate).status == 200
    key = accounts.stack.stored_keys("bot")["MONITORING"]
    assert "lastUsedAt" not in key
    assert "rotatedAt" in key


# Small things


def test_no_error_stays_in_memory_after_its_call(accounts: Accounts, pauses: list[float]) -> None:
    """One that did would keep the frames it came through, and the keys in them, and grow at every raise."""
    accounts["owner"]
    others = raised_faults()  # of other tests, which may keep theirs
    for number in range(3):
        rename = {"displayName": f"x{number}"}
        with before_next_call(
            accounts.stack, "TransactWriteItems", lambda it=rename: accounts.call("PUT", BOT, "owner", it)
        ):
            assert_problem(mutate(accounts, "rotate"), 409)
        with inject_faults(accounts.stack, "GetItem", hangs, repeat_last=True):
            assert_problem(mutate(accounts, "rotate"), 503)
        assert_problem(mutate(accounts, "rotate", "nobody"), 401)
        assert_problem(mutate(accounts, "rotate", "reader"), 403)
    assert [it for it in raised_faults() if not any(it is other for other in others)] == []


def raised_faults() -> list[ApiError]:
    """Return the faults that were raised and are still in memory."""
    gc.collect()
    return [it for it in gc.get_objects() if isinstance(it, ApiError) and it.__traceback__]


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        ("x", {"S": "x"}),
        (5, {"N": "5"}),
        (True, {"BOOL": True}),
        (None, {"NULL": True}),
        (b"\0\xff", {"B": b"\0\xff"}),
        ([1, "x"], {"L": [{"N": "1"}, {"S": "x"}]}),
        ({"a": [None]}, {"M": {"a": {"L": [{"NULL": True}]}}}),
    ],
)
def test_plain_values_become_attributes_and_come_back(value: object, attribute: dict[str, Any]) -> None:
    assert to_attribute(value) == attribute
    assert from_attribute(attribute) == value


@pytest.mark.parametrize("value", [1.5, {1, 2}, object()])
def test_a_value_of_another_kind_is_kept_nowhere(value: object) -> None:
    with pytest.raises(TypeError, match="no attribute for"):
        to_attribute(value)


def test_a_well_formed_key_of_nobody_reads_one_item(accounts: Accounts) -> None:
    with inject_faults(accounts.stack, "GetItem", passes) as bodies:
        assert_problem(accounts.stack.call("GET", "/v1/whoami", Key("nobody-1", key_format.new_key())), 401)
    (asked,) = [json.loads(body) for body in bodies]
    assert asked == {
        "TableName": accounts.stack.tables.directory,
        "Key": {"pk": {"S": "USER#nobody-1"}},
        "ConsistentRead": True,
    }
