"""Whose key is this: by its value, by its last five characters, and never of another account."""

from collections import Counter
from typing import Any

import pytest

from chalicelib.rules import key_format
from tests.support.accounts import PATH, Accounts, assert_problem
from tests.support.api_client import Key, Response, Stack

FIND = "/v1/api-keys/find"
GET, BATCH, QUERY = "GetItem", "BatchGetItem", "Query"
COUNT = "UpdateItem"


def find(stack: Stack, by: Key, **body: Any) -> list[dict[str, Any]]:
    response = stack.call("POST", FIND, by, body)
    assert response.status == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    found: list[dict[str, Any]] = response.json
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[str, str, str, bool]]:
    return [(it["username"], it["kind"], it["apiKey"]["keyType"], it["isPredecessor"]) for it in found]


def test_a_key_is_found_by_its_value_and_by_its_last_five(stack: Stack) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "bot", "CLUSTER_ADMIN")
    second = stack.user(owner, "second", "READ_ONLY")
    for key, kind, key_type in (
        (keys["PROVISIONING"], "SERVICE_USER", "PROVISIONING"),
        (second, "USER", "MONITORING"),
        (owner, "USER", "USER_MANAGEMENT"),
    ):
        by_value = find(stack, owner, key=key.secret)
        assert told(by_value) == [(key.username, kind, key_type, False)]
        assert find(stack, owner, last5=key.secret[-5:]) == by_value
        assert key.secret not in str(by_value)


def test_what_it_costs(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    stack.sign_in(owner)
    with stack.counted() as calls:
        find(stack, owner, key=key.secret)
    assert calls == Counter([GET, COUNT, GET, GET])
    with stack.counted() as calls:
        find(stack, owner, last5=key.secret[-5:])
    assert calls == Counter([GET, COUNT, QUERY, BATCH])


def test_a_predecessor_is_found_as_one_and_an_ended_key_is_not_found(stack: Stack) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    made = stack.call("POST", "/v1/api-keys/rotate", old, {"overlapSeconds": 60})
    new = Key("bot", made.json["key"])
    for key, predecessor in ((old, True), (new, False)):
        expected = [("bot", "SERVICE_USER", "MONITORING", predecessor)]
        assert told(find(stack, owner, key=key.secret)) == expected
        assert told(find(stack, owner, last5=key.secret[-5:])) == expected
    assert stack.call("DELETE", f"{PATH}/bot/api-keys?keyType=MONITORING", owner).status == 204
    for key in (old, new):
        assert find(stack, owner, key=key.secret) == find(stack, owner, last5=key.secret[-5:]) == []


def test_a_key_of_another_account_is_not_found(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    key = stack.service_user(neighbour, "foreign")["MONITORING"]
    for other in (key, neighbour):
        assert find(stack, owner, key=other.secret) == find(stack, owner, last5=other.secret[-5:]) == []
    assert find(stack, owner, key=key_format.new_key()) == []


def test_a_mistyped_key_is_not_found_and_costs_no_read(stack: Stack) -> None:
    owner = stack.account()
    stack.sign_in(owner)
    mistyped = owner.secret[:-1] + ("a" if owner.secret[-1] != "a" else "b")
    with stack.counted() as calls:
        assert find(stack, owner, key=mistyped) == []
    assert calls == Counter([GET])


def test_a_pointer_to_a_name_that_another_account_has_now_finds_nothing_of_it(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    items = stack.client.scan(TableName=stack.tables.directory)["Items"]
    [left] = [it for it in items if it["pk"]["S"].startswith("KEY#") and it["username"]["S"] == "bot"]
    assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
    stack.service_user(neighbour, "bot", keyTypes=["MONITORING"])
    stack.client.put_item(TableName=stack.tables.directory, Item=left)
    for by in (owner, neighbour):
        assert find(stack, by, key=old.secret) == find(stack, by, last5=old.secret[-5:]) == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/key"),
        ({"key": key_format.new_key(), "last5": "abcde"}, "/key"),
        ({"key": "suk_short"}, "/key"),
        ({"key": key_format.new_token()}, "/key"),
        ({"key": 5}, "/key"),
        ({"last5": "abcd"}, "/last5"),
        ({"last5": "abcdef"}, "/last5"),
        ({"last5": "ab\u00e9de"}, "/last5"),
        ({"last5": "abcde\n"}, "/last5"),
        ({"last6": "abcdef"}, "/last6"),
    ],
)
def test_a_body_that_names_no_key_is_refused(stack: Stack, body: dict[str, Any], pointer: str) -> None:
    response: Response = stack.call("POST", FIND, stack.account(), body)
    assert_problem(response, 400)
    assert pointer in response.pointers
    assert "suk_short" not in response.text


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        ("owner", 200),
        ("admin", 200),
        ("machine-owner", 200),
        ("machine-admin", 200),
        ("reader", 403),
        ("machine-reader", 403),
        ("owner/MONITORING", 403),
        ("nobody", 401),
    ],
)
def test_who_may_ask(accounts: Accounts, caller: str, status: int) -> None:
    assert accounts.call("POST", FIND, caller, {"last5": "abcde"}).status == status
