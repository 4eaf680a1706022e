"""Display names: whatever would not be shown as it is, is refused, and the response names the character."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from tests.support.accounts import PATH, Accounts, assert_problem, service_user_body

CONTROLS = {
    "NUL": ("\x00", "U+0000"),
    "BEL": ("\x07", "U+0007"),
    "a tab": ("\t", "U+0009"),
    "a line feed": ("\n", "U+000A"),
    "a carriage return": ("\r", "U+000D"),
    "ESC": ("\x1b", "U+001B"),
    "DEL": ("\x7f", "U+007F"),
    "CSI": ("\x9b", "U+009B"),
    "a line separator": ("\u2028", "U+2028"),
    "a paragraph separator": ("\u2029", "U+2029"),
    "a right-to-left override": ("\u202e", "U+202E"),
    "an isolate": ("\u2066", "U+2066"),
}
NEW_USER = {"username": "ann", "email": "ann@people.example", "role": "READ_ONLY"}
CALLS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "create": ("POST", PATH, service_user_body("new"), "displayName"),
    "update": ("PUT", f"{PATH}/bot", {}, "displayName"),
    "invite": ("POST", "/v1/users", NEW_USER, "displayName"),
    "update a User": ("PUT", "/v1/users/admin", {}, "displayName"),
    "rename the account": ("PUT", "/v1/account", {}, "name"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", CONTROLS)
def test_a_name_with_a_control_character_is_refused(accounts: Accounts, what: str, call: str) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    character, code = CONTROLS[what]
    method, path, body, field = CALLS[call]
    if path == f"{PATH}/bot":
        stack.service_user(owner, "bot", keyTypes=[])
    accounts.caller("admin")
    before = stack.snapshot()
    refused = stack.call(method, path, owner, {**body, field: f"Metrics{character} bot"})
    [error] = assert_problem(refused, 400)["errors"]
    assert error["pointer"] == f"/{field}"
    assert f"Character 8 is {code}." in error["detail"]
    assert character not in refused.text
    assert stack.snapshot() == before


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", PATH, {"username": "KEY"}),
        ("POST", PATH, {"email": "KEY@machines.example"}),
        ("POST", PATH, {"displayName": "The key is KEY."}),
        ("POST", PATH, {"description": "suk_KEY"}),
        ("POST", PATH, {"description": "BROKEN"}),
        ("POST", PATH, {"labels": {"key": "KEY"}}),
        ("POST", PATH, {"labels": {"KEY": "key"}}),
        ("PUT", f"{PATH}/bot", {"labels": {"key": "KEY"}}),
        ("PUT", f"{PATH}/bot", {"description": "KEY"}),
        ("PUT", f"{PATH}/bot", {"description": "curl -H 'Authorization: Basic HEADER'"}),
        ("PUT", f"{PATH}/bot", {"description": "URL-SAFE"}),
        ("POST", "/v1/users", {"username": "KEY"}),
        ("POST", "/v1/users", {"displayName": "KEY"}),
        ("PUT", "/v1/users/admin", {"displayName": "KEY"}),
        ("PUT", "/v1/account", {"name": "KEY"}),
    ],
)
def test_a_key_that_somebody_pastes_into_a_field_is_neither_stored_nor_shown(
    accounts: Accounts, method: str, path: str, more: dict[str, Any]
) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"].secret
    accounts.caller("admin")
    bodies = {("POST", PATH): service_user_body("new"), ("POST", "/v1/users"): NEW_USER}
    body = json.dumps({**bodies.get((method, path), {}), **more})
    before = stack.snapshot()
    broken = f"{key[:20]}\u200b{key[20:40]}\u00ad{key[40:]}"  # as pages break long words; emails leave it out
    header = b64encode(f"bot:{key}".encode()).decode()
    pasted = {"HEADER": header, "URL-SAFE": urlsafe_b64encode(f"x>:{key}".encode()).decode()}
    pasted |= {"KEY": key, "BROKEN": broken}
    sent = re.sub("|".join(pasted), lambda found: pasted[found[0]], body)
    refused = stack.call(method, path, owner, json.loads(sent))
    [error] = assert_problem(refused, 400)["errors"]
    assert error["pointer"] == f"/{next(iter(more))}"
    assert "secret" in error["detail"]
    assert key not in refused.text
    assert header not in refused.text
    assert stack.snapshot() == before
    if "label" not in body:  # a wrong checksum is no key
        accepted = stack.call(method, path, owner, json.loads(body.replace("KEY", key[:-1] + "_")))
        assert accepted.status < 300


@pytest.mark.parametrize(
    "name",
    [
        "Zoë's bot",
        "测试机器人",
        "روبوت",
        "Bot \N{ROBOT FACE}",
        "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}",
        "a\u00a0b",
        "x",
    ],
)
def test_names_of_every_script_are_taken(accounts: Accounts, name: str) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    made = stack.call("POST", PATH, owner, service_user_body("bot", displayName=name, keyTypes=[]))
    assert made.json["displayName"] == name
    assert stack.call("PUT", "/v1/account", owner, {"name": name}).json["name"] == name


def test_an_account_is_not_created_with_such_a_name(accounts: Accounts) -> None:
    import app

    event = {"accountName": "Ac\x00me", "username": "boss", "email": "boss@people.example"}
    with pytest.raises(Exception, match=r"U\+0000"):
        app.create_account(event, None)
