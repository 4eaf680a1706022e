"""Invariants that hold wherever a function is killed, however often a call is repeated, and under attack."""

import base64
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chalicelib.rules import key_format
from tests.support.accounts import (
    ALL_TYPES,
    PATH,
    Accounts,
    AccountTemplates,
    assert_problem,
    service_user_body,
)
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.dynamodb_faults import (
    FunctionKilled,
    assert_events_match_keys,
    hangs,
    inject_faults,
    killed_before_call,
    without_last_used,
)

BOT = f"{PATH}/bot"
KEYS = f"{BOT}/api-keys"
MONITORING = {"keyType": "MONITORING"}
MUTATIONS: dict[str, tuple[str, str, str, Any, int]] = {
    # name: who, what, and the status of the same call made a second time
    "create": ("owner", "POST", PATH, service_user_body("new"), 409),
    "rename": ("admin", "PUT", BOT, {"displayName": "x"}, 200),
    "lower": ("owner", "PUT", BOT, {"role": "READ_ONLY"}, 200),
    "hand over": ("owner", "PUT", BOT, {"administrators": ["owner"]}, 200),
    "delete": ("admin", "DELETE", BOT, NO_BODY, 404),
    "generate": ("admin", "POST", KEYS, {"keyType": "PROVISIONING_READONLY"}, 409),
    "revoke": ("admin", "DELETE", KEYS, MONITORING, 404),
    "restrict": ("admin", "PATCH", KEYS, {**MONITORING, "allowedNetworks": ["10.0.0.0/8"]}, 200),
    "rotate": ("admin", "POST", f"{KEYS}/rotate", MONITORING, 200),
    "rotate-own": ("bot", "POST", "/v1/api-keys/rotate", NO_BODY, 401),
    "own generate": ("admin", "POST", "/v1/users/admin/api-keys", {"keyType": "PROVISIONING"}, 409),
    "own revoke": ("admin", "DELETE", "/v1/users/admin/api-keys?keyType=MONITORING", NO_BODY, 404),
    "invite": (
        "owner",
        "POST",
        "/v1/users",
        {"username": "iris", "email": "iris@people.example", "role": "OWNER"},
        409,
    ),
    "raise a person": ("owner", "PUT", "/v1/users/admin", {"role": "OWNER"}, 200),
    "lower a person": ("owner", "PUT", "/v1/users/admin", {"role": "READ_ONLY"}, 200),
    "revoke a person": ("owner", "DELETE", "/v1/users/admin", NO_BODY, 404),
    "rename the account": ("owner", "PUT", "/v1/account", {"name": "Renamed"}, 200),
}


@pytest.fixture
def accounts(stack: Stack, account_templates: AccountTemplates) -> Accounts:
    """A CLUSTER_ADMIN Service User "bot" that the "admin" administers, with all keys but one."""

    def build(accounts: Accounts) -> None:
        stack.own_key(accounts["admin"], "MONITORING")
        types = [kind for kind in ALL_TYPES if kind != "PROVISIONING_READONLY"]
        keys = stack.service_user(accounts["admin"], "bot", "CLUSTER_ADMIN", keyTypes=types)
        accounts.keys["bot"] = keys["MONITORING"]

    return account_templates.make(stack, "bot and a key of the admin's own", build)


def make(accounts: Accounts, name: str) -> Response:
    caller, method, path, body, _ = MUTATIONS[name]
    return accounts.call(method, path, caller, body)


# Killed functions


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_killed_function_leaves_a_change_complete_or_not_made(accounts: Accounts, name: str) -> None:
    """Killed right before each of its calls to DynamoDB in turn, until it completes."""
    before = without_last_used(accounts.stack.snapshot())
    for number in range(1, 9):
        try:
            with killed_before_call(accounts.stack, number):
                response = make(accounts, name)
        except FunctionKilled:
            assert without_last_used(accounts.stack.snapshot()) == before
        else:
            break
    assert response.status < 300, response.text
    assert 3 <= number <= 6
    assert_events_match_keys(accounts.stack)
    events = len(before[1]) + 1
    assert len(accounts.stack.items(accounts.stack.tables.events)) == events


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_function_killed_after_its_transaction_has_made_the_change_and_its_event(
    accounts: Accounts, name: str
) -> None:
    before = accounts.stack.snapshot()
    with accounts.stack.counted() as calls, pytest.raises(FunctionKilled), dying_after_write(accounts.stack):
        make(accounts, name)
    assert calls["TransactWriteItems"] == 1
    after = accounts.stack.snapshot()
    assert without_last_used(after)[0] != without_last_used(before)[0]
    assert len(after[1]) == len(before[1]) + 1
    assert_events_match_keys(accounts.stack)
    # A repeated call gets the response that it would get after a change whose response arrived.
    assert make(accounts, name).status == MUTATIONS[name][4]
    assert_events_match_keys(accounts.stack)


@contextmanager
def dying_after_write(stack: Stack) -> Iterator[None]:
    def die(**_more: Any) -> None:
        raise FunctionKilled

    stack.client.meta.events.register("after-call.dynamodb.TransactWriteItems", die)
    try:
        yield
    finally:
        stack.client.meta.events.unregister("after-call.dynamodb.TransactWriteItems", die)


# The same call twice


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_repeated_call_is_carried_out_once_and_gets_the_current_state(
    accounts: Accounts, name: str
) -> None:
    first = make(accounts, name)
    assert first.status < 300
    once = without_last_used(accounts.stack.snapshot())
    second = make(accounts, name)
    assert second.status == MUTATIONS[name][4]
    if name != "rotate":
        assert without_last_used(accounts.stack.snapshot()) == once
    if second.status == 200 and second.text:
        assert second.json.keys() == first.json.keys()
    assert_events_match_keys(accounts.stack)


# No secret anywhere


def test_no_secret_is_stored_logged_or_shown_twice_and_no_digest_leaves_the_directory(
    accounts: Accounts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every secret of a day of calls is searched for in both tables, every log line and every response."""
    stack = accounts.stack
    made: list[str] = []
    for maker in ("new_key", "new_token"):
        monkeypatch.setattr(key_format, maker, remembering(getattr(key_format, maker), made))
    responses: list[Response] = []
    caplog.set_level(logging.DEBUG, "chalicelib")
    caplog.set_level(logging.DEBUG, "app")

    def call(method: str, path: str, key: Key | None, body: Any = NO_BODY, **more: Any) -> Response:
        responses.append(stack.call(method, path, key, body, **more))
        return responses[-1]

    owner = accounts["neighbour"]
    user = {"username": "iris", "email": "iris@people.example", "role": "CLUSTER_ADMIN"}
    call("POST", "/v1/users", owner, user)
    iris = stack.activate("iris")
    call("POST", "/v1/users/activate", None, {"username": "iris", "token": made[-1]})
    machine = call("POST", PATH, owner, service_user_body("worker", "OWNER"))
    keys = {it["keyType"]: Key("worker", it["key"]) for it in machine.json["apiKeys"]["apiKeys"]}
    path = f"{PATH}/worker/api-keys"
    call("POST", f"{path}/rotate", owner, MONITORING)
    call("POST", "/v1/api-keys/rotate", keys["PROVISIONING"], {"overlapSeconds": 60})
    call("DELETE", path, owner, MONITORING)
    call("POST", path, owner, {**MONITORING, "allowedNetworks": ["10.0.0.0/8"]})
    call("GET", "/v1/whoami", Key("worker", made[-1]))
    call("POST", "/v1/users/iris/api-keys", iris, MONITORING)
    call("POST", path, owner, {"keyType": "X", "key": made[0], made[0]: made[0]})
    call("GET", f"/v1/whoami?key={made[0]}", owner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _seconds: None)
        with inject_faults(stack, "TransactWriteItems", hangs, repeat_last=True):
            call("POST", f"{path}/rotate", owner, MONITORING)
        patch.setattr(stack.service.directory, "commit", lambda *_: 1 / 0)
        call("POST", f"{path}/rotate", owner, MONITORING)
    for listed in (
        PATH,
        f"{PATH}/worker",
        "/v1/users",
        "/v1/users/norma/api-keys",
        "/v1/events",
        "/v1/account",
    ):
        call("GET", listed, owner)

    assert [response.status for response in responses].count(500) == 1
    assert len(made) >= 13
    kept = json.dumps(stack.snapshot(), default=lambda value: base64.b64encode(bytes(value)).decode())
    events = json.dumps(stack.snapshot()[1], default=str)
    said = "\n".join(response.text + json.dumps(response.headers) for response in responses)
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for secret in made:
        asked_back = 2 if secret == made[0] else 0  # A refusal may quote the caller's own input.
        assert said.count(secret) <= 1 + asked_back
        for digest in (key_format.digest(secret).hex(), base64.b64encode(key_format.digest(secret)).decode()):
            assert digest not in said + logged + events
        for part in (secret, secret[:-6], secret[4:-6]):
            assert part not in kept + logged
    for response in responses:
        if "suk_" in response.text:
            assert response.headers["Cache-Control"] == "no-store"


def remembering(make_secret: Any, made: list[str]) -> Any:
    def maker() -> str:
        made.append(make_secret())
        return made[-1]

    return maker


# Attacks


def test_a_read_only_service_user_gets_nowhere(accounts: Accounts) -> None:
    """Each call of the API with either of its keys, on itself, on others, and on unknown names."""
    stack = accounts.stack
    keys = stack.service_user(accounts["owner"], "spy")
    accounts["reader"]
    for key in keys.values():
        assert stack.call("GET", "/v1/whoami", key).status == 200
    before = stack.snapshot()
    allowed = set()
    for key in keys.values():
        for name in ("spy", "bot", "owner", "reader", "nobody-1"):
            for method, path, body in (
                ("POST", PATH, service_user_body("mine")),
                ("GET", PATH, NO_BODY),
                ("GET", f"{PATH}/{name}", NO_BODY),
                ("PUT", f"{PATH}/{name}", {"role": "OWNER"}),
                ("DELETE", f"{PATH}/{name}", NO_BODY),
                ("POST", f"{PATH}/{name}/api-keys", {"keyType": "USER_MANAGEMENT"}),
                ("DELETE", f"{PATH}/{name}/api-keys", MONITORING),
                ("PATCH", f"{PATH}/{name}/api-keys", {**MONITORING, "allowedNetworks": []}),
                ("POST", f"{PATH}/{name}/api-keys/rotate", MONITORING),
                ("GET", "/v1/users", NO_BODY),
                ("POST", "/v1/users", {"username": "mine", "email": "m@x.example", "role": "OWNER"}),
                ("GET", f"/v1/users/{name}", NO_BODY),
                ("PUT", f"/v1/users/{name}", {"role": "OWNER"}),
                ("DELETE", f"/v1/users/{name}", NO_BODY),
                ("POST", f"/v1/users/{name}/invitation", NO_BODY),
                ("GET", f"/v1/users/{name}/api-keys", NO_BODY),
                ("POST", f"/v1/users/{name}/api-keys", {"keyType": "USER_MANAGEMENT"}),
                ("DELETE", f"/v1/users/{name}/api-keys", MONITORING),
                ("PATCH", f"/v1/users/{name}/api-keys", {**MONITORING, "allowedNetworks": []}),
                ("POST", f"/v1/users/{name}/api-keys/rotate", MONITORING),
                ("GET", "/v1/account", NO_BODY),
                ("PUT", "/v1/account", {"name": "Mine"}),
                ("GET", "/v1/events", NO_BODY),
                ("POST", "/v1/users/activate", {"username": name, "token": key_format.new_token()}),
            ):
                status = stack.call(method, path, key, body).status
                assert status in {200, 400, 403, 404}
                if status == 200:
                    allowed.add((method, path))
    assert allowed == {("GET", f"{PATH}/spy")}
    assert stack.snapshot() == before


def test_an_owner_of_another_account_reads_and_changes_nothing(accounts: Accounts) -> None:
    stack = accounts.stack
    neighbour = accounts["neighbour"]
    accounts["owner"]
    before = stack.snapshot()
    for method, path, body in (
        ("GET", BOT, NO_BODY),
        ("PUT", BOT, {"administrators": ["neighbour"]}),
        ("DELETE", BOT, NO_BODY),
        ("POST", KEYS, {"keyType": "PROVISIONING_READONLY"}),
        ("DELETE", KEYS, MONITORING),
        ("PATCH", KEYS, {**MONITORING, "allowedNetworks": []}),
        ("POST", f"{KEYS}/rotate", MONITORING),
        ("GET", "/v1/users/owner", NO_BODY),
        ("PUT", "/v1/users/admin", {"role": "READ_ONLY"}),
        ("DELETE", "/v1/users/admin", NO_BODY),
        ("POST", "/v1/users/admin/invitation", NO_BODY),
    ):
        assert_problem(stack.call(method, path, neighbour, body), 404)
    for path in (PATH, "/v1/users", "/v1/events", "/v1/account", "/v1/events?username=bot"):
        text = stack.call("GET", path, neighbour).text
        assert "bot" not in text
        assert "admin@" not in text
    assert stack.snapshot() == before


def test_an_ended_right_is_refused_at_the_next_call(accounts: Accounts) -> None:
    """Nothing is cached: each right is used once, withdrawn, and tried again."""
    stack = accounts.stack
    owner, admin = accounts["owner"], accounts["admin"]

    def renames() -> int:
        return stack.call("PUT", BOT, admin, {"displayName": key_format.new_token()[:9]}).status

    assert renames() == 200
    stack.call("PUT", BOT, owner, {"administrators": ["owner"]})
    assert renames() == 403
    stack.call("PUT", BOT, owner, {"administrators": ["admin"]})
    assert renames() == 200
    stack.call("PUT", "/v1/users/admin", owner, {"role": "READ_ONLY"})
    assert renames() == 401

    for path, body in (
        (f"{KEYS}/rotate", MONITORING),
        (None, {"role": "READ_ONLY"}),
    ):
        type_now = "MONITORING" if path else "PROVISIONING"
        rotated = stack.call("POST", f"{KEYS}/rotate", owner, {"keyType": type_now})
        key = Key("bot", rotated.json["key"])
        assert stack.call("GET", "/v1/whoami", key).status == 200
        response = stack.call("POST", path, owner, body) if path else stack.call("PUT", BOT, owner, body)
        assert response.status == 200
        assert stack.call("GET", "/v1/whoami", key).status == 401
