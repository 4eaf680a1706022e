"""Events say with which credential somebody acted: after a theft, that is what one wants to know."""

import csv
import io
from typing import Any

import pytest

from tests.console.test_enrolment import ask, code, enrol
from tests.support.accounts import Accounts
from tests.support.api_client import Key
from tests.support.browser import Browser

NONE = {"keyType": None, "key": None, "last5": None, "passkey": None}
SESSION = {**NONE, "kind": "SESSION", "passkey": "Laptop"}


def latest(accounts: Accounts, action: str) -> dict[str, Any]:
    """Return the last event of an action as the API shows it."""
    found = accounts.call("GET", f"/v1/events?action={action}&limit=1", "owner")
    event: dict[str, Any] = found.json[0]
    return event


def used(accounts: Accounts, action: str) -> Any:
    return latest(accounts, action)["credential"]


def with_key(key: Key, key_type: str = "USER_MANAGEMENT") -> dict[str, Any]:
    last5 = key.secret[-5:]
    return {"kind": "API_KEY", "keyType": key_type, "key": f"•••…{last5}", "last5": last5, "passkey": None}


def test_a_call_with_a_key_says_which_one(accounts: Accounts) -> None:
    admin = accounts["admin"]
    accounts.stack.service_user(admin, "bot", keyTypes=["MONITORING"])
    assert used(accounts, "SERVICE_USER_CREATED") == with_key(admin)
    changes = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 600}
    assert accounts.call("POST", "/v1/users/admin/api-keys/rotate", "admin", changes).status == 200
    for about in ("one", "two"):
        accounts.stack.clock.forward(1)
        body = {"displayName": about}
        assert accounts.stack.call("PUT", "/v1/service-users/bot", admin, body).status == 200
        assert used(accounts, "SERVICE_USER_UPDATED") == with_key(admin), "the predecessor, in the overlap"


def test_a_machine_that_rotates_itself_says_with_what(accounts: Accounts) -> None:
    keys = accounts.stack.service_user(accounts["owner"], "bot", keyTypes=["MONITORING"])
    assert accounts.stack.call("POST", "/v1/api-keys/rotate", keys["MONITORING"], {}).status == 200
    assert used(accounts, "API_KEY_ROTATED") == with_key(keys["MONITORING"], "MONITORING")


def test_what_is_done_in_the_console_names_the_passkey_of_the_session(accounts: Accounts) -> None:
    ann = Browser(accounts.stack)
    invited = {"username": "ann", "email": "ann@demo.example", "role": "OWNER"}
    assert accounts.call("POST", "/v1/users", "owner", invited).status == 201
    assert used(accounts, "USER_INVITED") == with_key(accounts["owner"])
    assert ann.activate("ann").status == 200
    assert used(accounts, "USER_ACTIVATED") == {**NONE, "kind": "INVITATION"}
    assert ann.sign_in().status == 200
    assert used(accounts, "SIGNED_IN") == {**NONE, "kind": "PASSKEY", "passkey": "Laptop"}
    fields = {"username": "bot", "email": "bot@demo.example", "role": "READ_ONLY", "expiry": "never"}
    assert ann.post("create/service-user", fields).status in (200, 303)
    assert used(accounts, "SERVICE_USER_CREATED") == SESSION
    words = ann.open("events").words
    assert 'by ann in the console (passkey "Laptop" ) from 198.51.100.7' in words, "its name is quoted"
    assert f"by owner with the key USER_MANAGEMENT …{accounts['owner'].secret[-5:]} from" in words
    table = accounts.stack.call("GET", "/v1/events", accounts["owner"], headers={"accept": "text/csv"}).text
    assert "SESSION Laptop" in [row["credential"] for row in csv.DictReader(io.StringIO(table))]


def test_a_session_whose_passkey_was_removed_names_none(accounts: Accounts) -> None:
    ann = Browser(accounts.stack)
    assert ask(ann, accounts["owner"]).status == 200
    assert used(accounts, "PASSKEY_CODE_REQUESTED") == with_key(accounts["owner"])
    assert enrol(ann, "owner", code(accounts.stack, "owner")).status == 200
    assert used(accounts, "PASSKEY_ADDED") == {**NONE, "kind": "CODE"}
    phone = Browser(accounts.stack)
    made = phone.passkey.create(ann.call("add-begin").json["challenge"])
    accounts.stack.clock.forward(1)
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    assert used(accounts, "PASSKEY_ADDED") == SESSION
    passkeys = accounts.stack.item("owner")["passkeys"]
    [laptop] = [id_ for id_, it in passkeys.items() if it["name"] == "Laptop"]
    assert ann.post(f"you/passkey?id={laptop}").status == 303
    assert used(accounts, "PASSKEY_REMOVED") == SESSION
    assert ann.post("sign-out").status == 303
    assert used(accounts, "SIGNED_OUT") == {**NONE, "kind": "SESSION"}


def test_nobody_who_signed_in_with_nothing_has_one(accounts: Accounts) -> None:
    assert used(accounts, "ACCOUNT_CREATED") is None


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (None, None),
        ({"M": {"kind": {"S": "PIGEON"}, "feathers": {"N": "7"}}}, {**NONE, "kind": "PIGEON"}),
        ({"S": "odd"}, {**NONE, "kind": ""}),
    ],
)
def test_events_of_other_versions_stay_readable(accounts: Accounts, stored: Any, shown: Any) -> None:
    accounts.stack.clock.forward(1)
    accounts.stack.service_user(accounts["owner"], "bot", keyTypes=[])
    event = accounts.stack.events("SERVICE_USER_CREATED")[0]
    change: dict[str, Any] = {"UpdateExpression": "REMOVE actor.credential"}
    if stored is not None:
        change = {
            "UpdateExpression": "SET actor.credential = :it",
            "ExpressionAttributeValues": {":it": stored},
        }
    accounts.stack.client.update_item(
        TableName=accounts.stack.tables.events,
        Key={"account": {"S": event["account"]}, "id": {"S": event["id"]}},
        **change,
    )
    assert used(accounts, "SERVICE_USER_CREATED") == shown
    assert latest(accounts, "SERVICE_USER_CREATED")["actor"]["username"] == "owner"
