"""What a call costs: DynamoDB calls, sign-in included, and the capacity a sign-in reads.

The first use of a key in an hour costs one UpdateItem more, its note; here every key was used before.
"""

import re
from collections import Counter
from typing import Any

import pytest

import app as application
from contract.document import is_console
from tests.support.accounts import (
    PATH,
    Accounts,
    service_user_body,
    unused_username,
)
from tests.support.api_client import NO_BODY, Key, Stack

GET, BATCH, QUERY, WRITE = "GetItem", "BatchGetItem", "Query", "TransactWriteItems"
NOTE = "UpdateItem"
BOT = f"{PATH}/bot"
KEYS = f"{BOT}/api-keys"
USERS = "/v1/users"
OWN = f"{USERS}/owner/api-keys"
MONITORING = {"keyType": "MONITORING"}
MANAGEMENT = {"keyType": "USER_MANAGEMENT"}
END = {"expiresAt": "2031-01-01T00:00:00Z"}
NEW, KEY = object(), object()

# what is called, by whom, and every DynamoDB call it makes
BUDGET: dict[str, tuple[str, str, str, Any, list[str]]] = {
    "health": ("nobody", "GET", "/health", NO_BODY, []),
    "health, and the tables": ("nobody", "GET", "/health?check=state", NO_BODY, [GET, QUERY]),
    "whoami": ("machine-reader", "GET", "/v1/whoami", NO_BODY, [GET]),
    "rotate one's own key": ("machine-reader", "POST", "/v1/api-keys/rotate", NO_BODY, [GET, WRITE]),
    "create": ("owner", "POST", PATH, NEW, [GET, WRITE]),
    "create, with an end": ("owner", "POST", PATH, END, [GET, GET, WRITE]),
    "list": ("owner", "GET", PATH, NO_BODY, [GET, QUERY, BATCH]),
    "list, nobody there": ("neighbour", "GET", PATH, NO_BODY, [GET, QUERY]),
    "read": ("owner", "GET", BOT, NO_BODY, [GET, GET, BATCH]),
    "list its keys": ("owner", "GET", KEYS, NO_BODY, [GET, GET]),
    "list by prefix": ("owner", "GET", f"{PATH}?prefix=b", NO_BODY, [GET, QUERY, BATCH]),
    "list by conditions": (
        "owner",
        "GET",
        f"{PATH}?role=READ_ONLY&administrator=admin&withoutNetworks=true&endingWithinDays=3650",
        NO_BODY,
        [GET, QUERY, BATCH],  # the third reads the policy too
    ),
    "list by conditions that nobody fulfils": ("owner", "GET", f"{PATH}?role=OWNER", NO_BODY, [GET, QUERY]),
    "list by creation": ("owner", "GET", f"{PATH}?sort=newest", NO_BODY, [GET, QUERY, BATCH, BATCH]),
    "list by conditions that hold": (
        "owner",
        "GET",
        f"{PATH}?role=READ_ONLY&administrator=admin&withoutNetworks=true",
        NO_BODY,
        [GET, QUERY, BATCH],
    ),
    "list people by conditions": (
        "owner",
        "GET",
        f"{USERS}?role=CLUSTER_ADMIN&status=ACTIVE&suspended=false",
        NO_BODY,
        [GET, QUERY],
    ),
    "read oneself": ("bot", "GET", BOT, NO_BODY, [GET, BATCH]),
    "rename": ("admin", "PUT", BOT, {"displayName": "x"}, [GET, GET, BATCH, WRITE]),
    "change role": ("admin", "PUT", BOT, {"role": "CLUSTER_ADMIN"}, [GET, GET, BATCH, WRITE]),
    "change Administrators": ("owner", "PUT", BOT, {"administrators": ["owner"]}, [GET, GET, BATCH, WRITE]),
    "update nothing": ("owner", "PUT", BOT, {}, [GET, GET, BATCH]),
    "suspend": ("admin", "POST", f"{BOT}/suspend", NO_BODY, [GET, GET, WRITE, BATCH]),
    "resume what is not suspended": ("admin", "POST", f"{BOT}/resume", NO_BODY, [GET, GET, BATCH]),
    "delete": ("admin", "DELETE", BOT, NO_BODY, [GET, GET, WRITE]),
    "generate": ("admin", "POST", KEYS, {"keyType": "PROVISIONING_READONLY"}, [GET, GET, WRITE]),
    "generate, with an end": (
        "admin",
        "POST",
        KEYS,
        {"keyType": "PROVISIONING_READONLY", **END},
        [GET, GET, GET, WRITE],
    ),
    "revoke": ("admin", "DELETE", KEYS, MONITORING, [GET, GET, WRITE]),
    "revoke by query": ("admin", "DELETE", f"{KEYS}?keyType=MONITORING", NO_BODY, [GET, GET, WRITE]),
    "restrict": ("admin", "PATCH", KEYS, {**MONITORING, "allowedNetworks": ["::/0"]}, [GET, GET, WRITE]),
    "restrict, with an end": ("admin", "PATCH", KEYS, {**MONITORING, **END}, [GET, GET, GET, WRITE]),
    "read a key": ("owner", "GET", f"{KEYS}/MONITORING", NO_BODY, [GET, GET]),
    "read one's own key": ("bot", "GET", f"{KEYS}/MONITORING", NO_BODY, [GET]),
    "read a key of no type": ("owner", "GET", f"{KEYS}/NONSENSE", NO_BODY, [GET, GET]),
    "revoke by path": ("admin", "DELETE", f"{KEYS}/MONITORING", NO_BODY, [GET, GET, WRITE]),
    "restrict by path": (
        "admin",
        "PATCH",
        f"{KEYS}/MONITORING",
        {"allowedNetworks": ["::/0"]},
        [GET, GET, WRITE],
    ),
    "rotate": ("admin", "POST", f"{KEYS}/rotate", MONITORING, [GET, GET, WRITE]),
    # People, by the OWNER; "second" is another.
    "invite": (
        "owner",
        "POST",
        USERS,
        {"username": "eve", "email": "eve@a.example", "role": "OWNER"},
        [GET, WRITE],
    ),
    "list people": ("owner", "GET", USERS, NO_BODY, [GET, QUERY]),
    "list people, one invited by another": ("second", "GET", USERS, NO_BODY, [GET, QUERY, BATCH]),
    "read a person who is invited": ("second", "GET", f"{USERS}/fay", NO_BODY, [GET, GET, BATCH]),
    "read a person": ("owner", "GET", f"{USERS}/second", NO_BODY, [GET, GET]),
    "change a person": ("owner", "PUT", f"{USERS}/second", {"role": "READ_ONLY"}, [GET, GET, WRITE]),
    "revoke a person": ("owner", "DELETE", f"{USERS}/second", NO_BODY, [GET, GET, QUERY, WRITE]),
    "suspend a person": ("owner", "POST", f"{USERS}/second/suspend", NO_BODY, [GET, GET, WRITE]),
    "resume a person who is not": ("owner", "POST", f"{USERS}/second/resume", NO_BODY, [GET, GET]),
    "list shown keys": ("owner", "GET", f"{USERS}/second/shown-keys", NO_BODY, [GET, QUERY]),
    "end shown keys, none there": ("owner", "DELETE", f"{USERS}/second/shown-keys", NO_BODY, [GET, QUERY]),
    "invite again": ("owner", "POST", f"{USERS}/second/invitation", NO_BODY, [GET, GET, WRITE]),
    "activate, with a wrong token": (
        "nobody",
        "POST",
        f"{USERS}/activate",
        {"username": "second", "token": "x"},
        [],
    ),
    "list one's own keys": ("owner", "GET", OWN, NO_BODY, [GET]),
    "generate for oneself": ("owner", "POST", OWN, MONITORING, [GET, WRITE]),
    "generate for oneself, with an end": ("owner", "POST", OWN, {**MONITORING, **END}, [GET, GET, WRITE]),
    "restrict one's own": (
        "owner",
        "PATCH",
        OWN,
        {**MANAGEMENT, "allowedNetworks": ["0.0.0.0/0"]},
        [GET, WRITE],
    ),
    "rotate one's own by type": ("owner", "POST", f"{OWN}/rotate", MANAGEMENT, [GET, WRITE]),
    "revoke one's own": ("owner", "DELETE", OWN, {**MANAGEMENT, "evenIfLockedOut": True}, [GET, WRITE]),
    "read one's own key of a type": ("owner", "GET", f"{OWN}/USER_MANAGEMENT", NO_BODY, [GET]),
    "restrict one's own by path": (
        "owner",
        "PATCH",
        f"{OWN}/USER_MANAGEMENT",
        {"allowedNetworks": ["0.0.0.0/0"]},
        [GET, WRITE],
    ),
    "revoke one's own by path": (
        "owner",
        "DELETE",
        f"{OWN}/USER_MANAGEMENT?evenIfLockedOut=true",
        NO_BODY,
        [GET, WRITE],
    ),
    # The account.
    "read the account": ("owner", "GET", "/v1/account", NO_BODY, [GET, GET]),
    "set its policy": ("owner", "PUT", "/v1/account", {"maxKeyAgeDays": 90}, [GET, GET, WRITE]),
    "find a key by its last five": (
        "owner",
        "POST",
        "/v1/api-keys/find",
        {"last5": "zzzzz"},
        [GET, NOTE, QUERY],
    ),
    "find a key nobody has": (
        "owner",
        "POST",
        "/v1/api-keys/find",
        {"key": "suk_" + "0" * 43 + "2ZLkuB"},
        [GET, NOTE, GET],
    ),
    "find a key": ("owner", "POST", "/v1/api-keys/find", KEY, [GET, NOTE, GET, GET]),
    "find a key that was mistyped": (
        "owner",
        "POST",
        "/v1/api-keys/find",
        {"key": "suk_" + "0" * 49},
        [GET],
    ),
    "events": ("owner", "GET", "/v1/events", NO_BODY, [GET, QUERY, QUERY]),
    "a page of events": ("owner", "GET", "/v1/events?limit=1", NO_BODY, [GET, QUERY, QUERY]),
    "events of one": ("owner", "GET", "/v1/events?username=bot&limit=2", NO_BODY, [GET, QUERY]),
    "events of an actor": ("owner", "GET", "/v1/events?actor=admin", NO_BODY, [GET, QUERY, BATCH]),
    # Anybody.
    "report what is no key": ("nobody", "POST", "/v1/leaked-keys", [{"token": "x"}], [NOTE, BATCH]),
    "report a key nobody has": (
        "nobody",
        "POST",
        "/v1/leaked-keys",
        [{"token": "suk_" + "0" * 43 + "2ZLkuB"}],
        [NOTE, BATCH, BATCH],
    ),
    # The API itself.
    "the document": ("nobody", "GET", "/openapi.json", NO_BODY, []),
    "the reference": ("nobody", "GET", "/docs", NO_BODY, []),
    # Refusals cost no more than what it takes to refuse.
    "nobody": ("nobody", "GET", "/v1/whoami", NO_BODY, []),
    "a wrong key": ("wrong-key", "GET", "/v1/whoami", NO_BODY, [GET]),
    "a role too low": ("reader", "DELETE", BOT, NO_BODY, [GET]),
    "a Service User": ("machine-owner", "DELETE", BOT, NO_BODY, [GET]),
    "a wrong body": ("owner", "POST", PATH, {"username": 5}, [GET]),
    "a foreign one": ("neighbour", "DELETE", BOT, NO_BODY, [GET, GET]),
    "not its Administrator": ("bystander", "DELETE", BOT, NO_BODY, [GET, GET]),
    "a key it has": ("owner", "POST", KEYS, MONITORING, [GET, GET]),
    "a name taken": ("owner", "POST", PATH, {"username": "bot"}, [GET, WRITE]),
}


@pytest.mark.parametrize("name", BUDGET)
def test_each_call_makes_these_calls_to_dynamodb(accounts: Accounts, name: str) -> None:
    caller, method, path, body, wanted = BUDGET[name]
    stack = accounts.stack
    accounts.keys["bot"] = stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])["MONITORING"]
    stack.call("GET", "/v1/whoami", accounts["bot"])
    accounts.keys["second"] = stack.user(accounts["owner"], "second", "CLUSTER_ADMIN")
    stack.call("GET", "/v1/whoami", accounts["second"])
    if caller == "second":
        invited = {"username": "fay", "email": "fay@people.example", "role": "READ_ONLY"}
        assert accounts.call("POST", USERS, "owner", invited).status == 201
    accounts.caller(caller)
    if path == PATH and method == "POST":
        body = {**service_user_body(unused_username()), **({} if body is NEW else body)}
    if body is KEY:
        body = {"key": accounts["bot"].secret}
    with stack.counted() as calls:
        response = stack.call(method, path, accounts.caller(caller), body)
    assert calls == Counter(wanted), response.text
    # The index by creation has names alone: who they are, and who administers them, are one read each.
    limits = {"whoami": 1, "rotate one's own key": 2, "list by creation": 4}
    limit = limits.get(name, 3 if method == "GET" else 4)
    assert len(wanted) <= limit


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/v1/whoami", [GET, "UpdateItem"]),
        ("POST", "/v1/api-keys/rotate", [GET, WRITE]),  # which writes the key anew, and so its use
    ],
)
def test_the_first_use_of_a_key_in_an_hour_is_noted_with_one_call_more_at_most(
    stack: Stack, method: str, path: str, wanted: list[str]
) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    with stack.counted() as calls:
        assert stack.call(method, path, key).status == 200
    assert calls == Counter(wanted)


def test_every_call_has_its_budget() -> None:
    told = {
        (
            method,
            re.sub(
                r"/(MONITORING|NONSENSE|USER_MANAGEMENT)\b",
                "/{keyType}",
                re.sub(r"/(bot|second|owner|fay)\b", "/{username}", path.partition("?")[0]),
            ),
        )
        for _, method, path, _, _ in BUDGET.values()
    }
    routes = {
        (method, path)
        for path, methods in application.app.routes.items()
        for method in methods
        if not is_console(path)  # tests/console/test_budget.py
    }
    others = {
        (method, path)
        for method, path in routes
        if application.app.routes[path][method].view_name in ("other_methods", "docs_asset")
    }
    assert routes - others == told


def test_activating_costs_two_calls(stack: Stack) -> None:
    owner = stack.account()
    invited = {"username": "bea", "email": "bea@people.example", "role": "READ_ONLY"}
    assert stack.call("POST", USERS, owner, invited).status == 201
    told = {"username": "bea", "token": stack.token("bea")}
    with stack.counted() as calls:
        assert stack.call("POST", f"{USERS}/activate", None, told).status == 200
    assert calls == Counter([GET, WRITE])


def test_late_pages_of_events_cost_what_the_first_does(stack: Stack) -> None:
    owner = stack.account()
    for number in range(5):
        stack.service_user(owner, f"bot-{number}", keyTypes=[])
    path: str | None = "/v1/events?limit=2"
    pages = 0
    while path is not None:
        with stack.counted() as calls:
            path = stack.call("GET", path, owner).next_path
        assert calls == Counter([GET, QUERY, QUERY])
        pages += 1
    assert pages == 3


def test_a_page_costs_the_same_however_long_it_is(stack: Stack) -> None:
    accounts = Accounts(stack)
    for name in ("admin", "bystander"):
        accounts.caller(name)
    for number in range(12):
        by = accounts[["owner", "admin", "bystander"][number % 3]]
        stack.service_user(by, f"bot-{number}", keyTypes=[])
    for limit in (1, 5, 100):
        with stack.counted() as calls:
            stack.call("GET", f"{PATH}?limit={limit}", accounts["owner"])
        assert calls == Counter([GET, QUERY, BATCH])


@pytest.mark.engine
def test_a_sign_in_reads_one_unit_of_capacity(stack: Stack) -> None:
    """A strongly consistent read of up to 4 KB: a principal of four keys with their ends and networks."""
    accounts = Accounts(stack)
    keys = accounts.service_user(
        "OWNER",
        displayName="M" * 128,
        allowedNetworks=[f"198.51.{number}.0/24" for number in range(99, 101)] + ["2001:db8::/32"],
        expiresAt="2031-01-01T00:00:00Z",
    )
    units: list[float] = []

    def ask(params: dict[str, Any], **_more: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def read(parsed: dict[str, Any], **_more: Any) -> None:
        units.append(parsed["ConsumedCapacity"]["CapacityUnits"])

    events = stack.client.meta.events
    events.register("provide-client-params.dynamodb.GetItem", ask)
    events.register("after-call.dynamodb.GetItem", read)
    try:
        for key in (accounts["owner"], accounts["reader"], *keys.values()):
            units.clear()
            assert stack.call("GET", "/v1/whoami", Key(key.username, key.secret)).status == 200
            assert units == [1.0]
    finally:
        events.unregister("provide-client-params.dynamodb.GetItem", ask)
        events.unregister("after-call.dynamodb.GetItem", read)
