"""The OWNER of another account, who knows everything of this one but its keys: nothing tells that it exists.

Each call is made with the names of this account and with names that nobody has. Both have the same response,
and nothing of this account changes.
"""

import base64
import json
import re
from typing import Any

import pytest

import app as application
from tests.support.accounts import PATH, Accounts
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.browser import Browser

USERS, EVENTS = "/v1/users", "/v1/events"
THERE = {"{machine}": "acme-bot", "{person}": "acme-ann", "{invited}": "acme-fay"}
NOWHERE = {"{machine}": "none-bot", "{person}": "none-ann", "{invited}": "none-fay"}
MONITORING = {"keyType": "MONITORING"}
CALLS: list[tuple[str, str, Any]] = [
    ("GET", PATH + "/{machine}", NO_BODY),
    ("PUT", PATH + "/{machine}", {"displayName": "x"}),
    ("PUT", PATH + "/{machine}", {"role": "OWNER", "administrators": ["neighbour"]}),
    ("DELETE", PATH + "/{machine}", NO_BODY),
    ("GET", PATH + "/{machine}/api-keys", NO_BODY),
    ("POST", PATH + "/{machine}/api-keys", {"keyType": "PROVISIONING_READONLY"}),
    ("DELETE", PATH + "/{machine}/api-keys", MONITORING),
    ("DELETE", PATH + "/{machine}/api-keys?keyType=MONITORING", NO_BODY),
    ("PATCH", PATH + "/{machine}/api-keys", {**MONITORING, "allowedNetworks": []}),
    ("POST", PATH + "/{machine}/api-keys/rotate", MONITORING),
    *(
        (method, PATH + "/{machine}/api-keys/" + key_type, body)
        for key_type in ("MONITORING", "PROVISIONING", "NONSENSE")
        for method, body in (("GET", NO_BODY), ("PATCH", {"allowedNetworks": []}), ("DELETE", NO_BODY))
    ),
    ("POST", PATH + "/{machine}/suspend", NO_BODY),
    ("POST", PATH + "/{machine}/resume", NO_BODY),
    ("GET", PATH + "/{person}", NO_BODY),
    ("PUT", PATH + "/own-bot", {"administrators": ["{person}"]}),
    ("PUT", PATH + "/own-bot", {"administrators": ["neighbour", "{machine}"]}),
    *(
        (method, f"{USERS}/{who}{path}", body)
        for who in ("{person}", "{invited}", "{machine}")
        for method, path, body in (
            ("GET", "", NO_BODY),
            ("PUT", "", {"displayName": "x"}),
            ("PUT", "", {"role": "OWNER"}),
            ("DELETE", "", NO_BODY),
            ("POST", "/invitation", NO_BODY),
            ("POST", "/suspend", NO_BODY),
            ("POST", "/resume", NO_BODY),
            ("GET", "/shown-keys", NO_BODY),
            ("DELETE", "/shown-keys", NO_BODY),
            ("DELETE", "/shown-keys?revokeUser=true", NO_BODY),
            ("GET", "/api-keys", NO_BODY),
            ("POST", "/api-keys", MONITORING),
            ("DELETE", "/api-keys", MONITORING),
            ("PATCH", "/api-keys", {**MONITORING, "allowedNetworks": []}),
            ("POST", "/api-keys/rotate", MONITORING),
            ("GET", "/api-keys/MONITORING", NO_BODY),
            ("PATCH", "/api-keys/MONITORING", {"allowedNetworks": []}),
            ("DELETE", "/api-keys/MONITORING", NO_BODY),
        )
    ),
    ("GET", EVENTS + "?username={machine}", NO_BODY),
    ("GET", EVENTS + "?username={person}&actor={person}", NO_BODY),
    ("GET", EVENTS + "?actor={person}", NO_BODY),
]


def test_every_call_that_names_somebody_is_tried() -> None:
    """Those of the console are tried below, and those whose name is in the body by hand."""
    tried = {
        (
            method,
            re.sub(r"\{\w+\}|own-bot", "{username}", path.partition("?")[0]).replace(
                "MONITORING", "{keyType}"
            ),
        )
        for method, path, _ in CALLS
    }
    routes = {
        (method, path)
        for path, views in application.app.routes.items()
        for method, view in views.items()
        if path.startswith("/v1/") and "{username}" in path and view.view_name != "other_methods"
    }
    assert routes - tried == set()


@pytest.fixture
def neighbour(accounts: Accounts) -> Key:
    """Acme has a Service User, a User and an invited one. The neighbour has a Service User of their own."""
    stack, owner = accounts.stack, accounts["owner"]
    accounts.keys["acme-bot"] = stack.service_user(owner, "acme-bot", keyTypes=["MONITORING"])["MONITORING"]
    accounts.keys["acme-ann"] = ann = stack.user(owner, "acme-ann", "CLUSTER_ADMIN")
    stack.service_user(ann, "acme-fox", keyTypes=["MONITORING"])  # so that she was shown a key
    invited = {"username": "acme-fay", "email": "fay@acme.example", "role": "READ_ONLY"}
    assert stack.call("POST", USERS, owner, invited).status == 201
    neighbour = accounts["neighbour"]
    stack.service_user(neighbour, "own-bot", keyTypes=["MONITORING"])
    return neighbour


def named(text: str, names: dict[str, str]) -> str:
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text


def told(response: Response, names: dict[str, str]) -> tuple[int, Any]:
    """Return what a caller can tell apart: the status and the body, without the names they sent."""
    text = response.text
    for placeholder, name in names.items():
        text = text.replace(name, placeholder)
    body = json.loads(text) if text else None
    if isinstance(body, dict):
        body.pop("requestId", None)
    return response.status, body


def of_acme(stack: Stack) -> tuple[list[Any], list[Any]]:
    """Return what is stored of Acme."""
    account = stack.item("owner")["account"]
    directory, events = stack.snapshot()
    mine = [it for it in directory if it.get("account") == account or account in it["pk"]]
    return mine, [it for it in events if it["account"] == account]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_what_another_account_has_is_as_if_nobody_had_it(
    accounts: Accounts, neighbour: Key, method: str, path: str, body: Any
) -> None:
    stack = accounts.stack
    before = of_acme(stack)
    etag = stack.call("GET", f"{PATH}/acme-bot", accounts["owner"]).headers["ETag"]

    def call(names: dict[str, str], **headers: str) -> tuple[int, Any]:
        sent = body if body is NO_BODY else json.loads(named(json.dumps(body), names))
        return told(stack.call(method, named(path, names), neighbour, sent, headers=headers), names)

    assert call(THERE) == call(NOWHERE)
    status, _ = call(THERE)
    assert (
        status == 404
        or (method, status) in {("GET", 200), ("PUT", 400)}
        or "/api-keys" in path
        or ("/shown-keys" in path)
    )
    assert call(THERE, **{"if-match": etag}) == call(NOWHERE, **{"if-match": etag})
    assert of_acme(stack) == before
    assert stack.signs_in(accounts["acme-bot"])
    assert stack.signs_in(accounts["acme-ann"])


def test_keys_emails_cursors_and_versions_of_another_account_lead_nowhere(
    accounts: Accounts, neighbour: Key
) -> None:
    stack = accounts.stack
    before = of_acme(stack)
    bot = accounts["acme-bot"]
    for body in ({"key": bot.secret}, {"last5": bot.secret[-5:]}):
        assert stack.call("POST", "/v1/api-keys/find", neighbour, body).json == []
    # The same addresses are free here.
    new = {"username": "zeta-ann", "email": "acme-ann@people.example", "role": "READ_ONLY"}
    assert stack.call("POST", USERS, neighbour, new).status == 201
    # A page that starts after a name or an event of the other account has what is one's own.
    event = stack.events("SERVICE_USER_CREATED")[0]["id"]
    for path, after in ((PATH, "acme-bot"), (USERS, "acme-ann"), (EVENTS, event)):
        cursor = base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")
        page = stack.call("GET", f"{path}?cursor={cursor}", neighbour)
        assert page.status == 200
        assert not set(re.findall(r'"acme-(?:bot|fox|ann|fay)"', page.text))
    etag = stack.call("GET", f"{PATH}/acme-bot", accounts["owner"]).headers["ETag"]
    refused = stack.call("DELETE", f"{PATH}/own-bot", neighbour, headers={"if-match": etag})
    assert refused.status == 412
    assert of_acme(stack) == before


def test_a_session_and_a_passkey_of_another_account_lead_nowhere(accounts: Accounts, neighbour: Key) -> None:
    stack = accounts.stack
    for by, name in ((accounts["owner"], "acme-eve"), (neighbour, "zeta-eve")):
        body = {"username": name, "email": f"{name}@people.example", "role": "OWNER"}
        assert stack.call("POST", USERS, by, body).status == 201
    eve, zeta = Browser(stack), Browser(stack)
    assert eve.activate("acme-eve").status == 200
    assert zeta.activate("zeta-eve").status == 200
    before = of_acme(stack)
    for there, nowhere in (
        ("service-users/acme-bot", "service-users/none-bot"),
        ("service-users/acme-bot/rotate?key=MONITORING", "service-users/none-bot/rotate?key=MONITORING"),
        ("people/acme-ann/revoke", "people/none-ann/revoke"),
    ):
        pages = zeta.open(there), zeta.open(nowhere)
        assert {page.status for page in pages} == {404}
        one, other = (re.sub(r"request-\w+", "", page.words.replace("acme-", "none-")) for page in pages)
        assert one == other
    assert "acme" not in zeta.open("service-users").text + zeta.open("people").text + zeta.open("events").text
    # The secret of one's session is no session of another name, and a foreign passkey confirms nothing.
    for name, value in list(zeta.cookies.items()):
        if "session" in name:
            stolen = Browser(stack, cookies={name: value.replace("zeta-eve", "acme-eve")})
            assert stolen.open("you", follow=False).status == 303
    begun = zeta.call("confirm-begin")
    signed = eve.passkey.get(begun.json["challenge"])
    assert zeta.call("confirm-finish", signed).status == 401
    assert of_acme(stack) == before
