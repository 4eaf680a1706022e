"""What was read of a User or the account can be sent back: docs/rules.md, ``read-only``."""

from typing import Any

import pytest

from tests.support.accounts import Accounts, assert_nothing_written, assert_problem
from tests.support.api_client import Key, Stack

ACCOUNT = "/v1/account"

pytestmark = pytest.mark.in_memory


@pytest.fixture
def accounts(stack: Stack) -> Accounts:
    return Accounts(stack)


def unchanged(accounts: Accounts, path: str, caller: str) -> Any:
    """Return what is read, which sent back is answered alike and writes nothing."""
    read = accounts.call("GET", path, caller)
    with assert_nothing_written(accounts.stack):
        again = accounts.call("PUT", path, caller, read.json)
    assert again.status == 200, again.text
    assert again.json.items() <= read.json.items()
    assert again.headers["ETag"] == read.headers["ETag"]
    return read.json


def test_what_was_read_of_a_user_can_be_sent_back_and_changes_nothing(accounts: Accounts) -> None:
    for name in ("admin", "owner"):  # the first OWNER was invited by nobody
        path = f"/v1/users/{accounts[name].username}"
        assert unchanged(accounts, path, "owner")["invitation"] is None
    read = accounts.call("GET", "/v1/users/admin", "owner").json
    changed = accounts.call("PUT", "/v1/users/admin", "owner", {**read, "displayName": "Another"})
    assert (changed.status, changed.json["displayName"]) == (200, "Another")
    assert accounts.call("PUT", "/v1/users/admin", "owner", changed.json).json == changed.json


def test_what_was_read_of_the_account_can_be_sent_back_and_changes_nothing(accounts: Accounts) -> None:
    accounts.stack.user(accounts["owner"], "second", "OWNER")
    assert unchanged(accounts, ACCOUNT, "owner")["owners"] == ["owner", "second"]
    assert accounts.call("PUT", ACCOUNT, "owner", {"pciCompliance": True}).status == 200
    read = unchanged(accounts, ACCOUNT, "owner")
    assert read["maxKeyAgeDays"] == 90
    changed = accounts.call("PUT", ACCOUNT, "owner", {**read, "name": "Another"})
    assert changed.json == {**read, "name": "Another"}


def test_an_invitation_that_ended_since_it_was_read_is_no_change(accounts: Accounts) -> None:
    stack, path = accounts.stack, "/v1/users/new"
    body = {"username": "new", "email": "new@people.example", "role": "READ_ONLY"}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    token = stack.token("new")
    read = unchanged(accounts, path, "owner")
    assert (read["status"], read["invitation"]) == ("INVITED", "OPEN")
    stack.clock.forward(73 * 3600)
    assert accounts.call("GET", path, "owner").json["invitation"] == "EXPIRED"
    assert accounts.call("PUT", path, "owner", read).status == 200
    for wrong in (None, "SOON", 7):
        refused = accounts.call("PUT", path, "owner", {**read, "invitation": wrong})
        assert (refused.status, refused.pointers) == (400, ["/invitation"])
    assert token
    stack.activate("new")
    refused = accounts.call("PUT", path, "owner", read)
    assert (refused.status, refused.pointers) == (400, ["/status", "/invitation"])


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/v1/users/admin", "account", "another"),
        ("/v1/users/admin", "username", "Admin2"),
        ("/v1/users/admin", "email", "another@people.example"),
        ("/v1/users/admin", "email", None),
        ("/v1/users/admin", "status", "INVITED"),
        ("/v1/users/admin", "invitedBy", None),
        ("/v1/users/admin", "createdAt", "2020-01-01T00:00:00Z"),
        ("/v1/users/admin", "invitation", "OPEN"),
        (ACCOUNT, "account", "another"),
        (ACCOUNT, "owners", []),
        (ACCOUNT, "owners", {"owner": 1}),
        (ACCOUNT, "createdAt", 7),
    ],
)
def test_read_only_fields_are_refused_by_name_where_they_changed(
    accounts: Accounts, path: str, field: str, value: Any
) -> None:
    assert accounts["admin"]
    read = accounts.call("GET", path, "owner").json
    body = {**read, "displayName" if "users" in path else "name": "Changed", field: value}
    with assert_nothing_written(accounts.stack):
        refused = accounts.call("PUT", path, "owner", body)
    assert_problem(refused, 400)
    assert refused.pointers == [f"/{field}"]
    assert "cannot be changed" in refused.json["errors"][0]["detail"]
    changed = accounts.call("PUT", path, "owner", {**body, field: read[field]})
    assert changed.status == 200


def test_sending_back_what_was_read_gives_no_right(accounts: Accounts) -> None:
    """Whoever may not change is refused as before, and learns nothing of what is there."""
    accounts.stack.clock.forward(3600)
    for path in ("/v1/users/admin", ACCOUNT):
        assert accounts["admin"]
        read = accounts.call("GET", path, "owner").json
        for wrong in (read, {**read, "account": "another"}):
            for caller in ("admin", "reader"):
                assert accounts.call("PUT", path, caller, wrong).status == 403
            machine: Key = accounts.service_user("READ_ONLY")["MONITORING"]
            assert accounts.stack.call("PUT", path, machine, wrong).status == 403
    read = accounts.call("GET", "/v1/users/admin", "owner").json
    foreign = accounts.stack.account("stranger")
    assert accounts.stack.call("PUT", "/v1/users/admin", foreign, read).status == 404
    refused = accounts.stack.call("PUT", ACCOUNT, foreign, accounts.call("GET", ACCOUNT, "owner").json)
    assert (refused.status, refused.pointers) == (400, ["/account", "/owners"])
