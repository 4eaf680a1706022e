"""Accounts: making one, its name, its OWNERs and its policy on the life of keys."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import app as application
from chalicelib.functions.operator import create_account_function
from chalicelib.rules.errors import Conflict, NotFound, ValidationError
from tests.support.api_client import Key, Response, Stack
from tests.support.browser import Browser
from tests.support.dynamodb_faults import before_commit

RESOURCES = Path(__file__).parent.parent.parent / ".chalice" / "resources.json"
ASKED = {"accountName": "Acme", "username": "Ann", "email": "ann@acme.example"}
PATH = "/v1/account"

pytestmark = pytest.mark.in_memory


def put(stack: Stack, key: Key, **body: Any) -> Response:
    return stack.call("PUT", PATH, key, body)


def policy(response: Response) -> tuple[Any, Any, Any]:
    said = response.json
    return said["maxKeyAgeDays"], said["revokeInactiveAfterDays"], said["pciCompliance"]


# Making an account


def test_creating_an_account_returns_its_first_owners_key_once(stack: Stack) -> None:
    made = application.create_account({**ASKED, "displayName": "Ann A"}, None)

    assert {name: it for name, it in made.items() if name not in ("account", "apiKey")} == {
        "accountName": "Acme",
        "username": "Ann",
        "keyType": "USER_MANAGEMENT",
    }
    owner = Key("ann", made["apiKey"])
    said = stack.call("GET", "/v1/whoami", owner).json
    assert (said["account"], said["kind"], said["role"], said["displayName"]) == (
        made["account"],
        "USER",
        "OWNER",
        "Ann A",
    )
    account = stack.call("GET", PATH, owner)
    assert (account.json["account"], account.json["name"]) == (made["account"], "Acme")
    assert policy(account) == (None, None, False)
    person = {"username": "bea", "email": "bea@acme.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, person).status == 201
    for path in (PATH, "/v1/users/ann", "/v1/users/ann/api-keys", "/v1/events", "/v1/whoami"):
        assert made["apiKey"] not in stack.call("GET", path, owner).text
    assert made["apiKey"] not in str(stack.snapshot())


def test_creating_an_account_is_one_transaction_with_one_event(stack: Stack) -> None:
    class Context:
        aws_request_id = "r-1"

    with stack.counted() as counter:
        create_account_function(dict(ASKED), Context(), stack.service)

    assert counter == {"TransactWriteItems": 1}
    (event,) = stack.items(stack.tables.events)
    assert (event["action"], event["actor"], event["requestId"]) == (
        "ACCOUNT_CREATED",
        {"kind": "OPERATOR"},
        "r-1",
    )
    assert [(key["change"], key["keyType"]) for key in event["keys"]] == [("GENERATED", "USER_MANAGEMENT")]
    assert (event["audience"], event["subject"]["email"]) == ("PERSON", "ann@acme.example")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"username": "ANN"}, "The username 'ANN' is taken"),
        ({"username": "worker"}, "The username 'worker' is taken"),
    ],
)
def test_a_taken_username_creates_no_account(stack: Stack, change: dict[str, str], says: str) -> None:
    made = application.create_account(dict(ASKED), None)
    stack.service_user(Key("Ann", made["apiKey"]), "worker")
    before = stack.snapshot()

    with pytest.raises(Conflict, match=re.escape(says)):
        application.create_account({**ASKED, **change}, None)

    assert stack.snapshot() == before


@pytest.mark.parametrize(
    ("event", "faults"),
    [
        ({}, ["/accountName", "/username", "/email"]),
        ({**ASKED, "accountName": ""}, ["/accountName"]),
        ({**ASKED, "accountName": None}, ["/accountName"]),
        ({**ASKED, "username": "an", "email": "ann"}, ["/username", "/email"]),
        ({**ASKED, "username": "ann smith"}, ["/username"]),
        ({**ASKED, "username": "Activate"}, ["/username"]),
        ({**ASKED, "email": ["ann@acme.example"]}, ["/email"]),
        ({**ASKED, "displayName": ""}, ["/displayName"]),
        ({**ASKED, "role": "OWNER"}, ["/role"]),
        ({**ASKED, "accountName": "\ud800"}, ["unpaired surrogate"]),
        ([], ["the event: This must be a JSON object."]),
        (None, ["the event: This must be a JSON object."]),
        ("Acme", ["the event: This must be a JSON object."]),
    ],
)
def test_invalid_input_creates_no_account_and_the_message_has_every_error(
    stack: Stack, event: Any, faults: list[str]
) -> None:
    with pytest.raises(ValidationError) as refused:
        application.create_account(event, None)

    message = str(refused.value)  # all that Lambda shows of it
    assert message.startswith("No account was made. ")
    assert [message.index(fault) for fault in faults] == sorted(message.index(fault) for fault in faults)
    assert stack.snapshot() == ([], [])


def test_an_account_is_created_only_with_iam_permissions() -> None:
    """It is on no route, and the stack gives its function neither an event source nor a permission."""
    assert not [path for path in application.app.routes if "accounts" in path]
    resources = json.loads(RESOURCES.read_text())["Resources"]
    opened = [
        it for it in resources.values() if it["Type"] in ("AWS::Lambda::Permission", "AWS::Lambda::Url")
    ]
    for function in ("CreateAccount", "RecoverOwner"):
        assert "Events" not in resources[function]["Properties"]
        assert function not in json.dumps(opened)


# Letting an OWNER back in


def recover(username: str) -> Key:
    made = application.recover_owner({"username": username}, None)
    assert made.keys() == {"account", "username", "keyType", "apiKey"}
    return Key(made["username"], made["apiKey"])


def test_an_owner_who_lost_their_key_gets_a_new_one_and_the_lost_one_is_refused(stack: Stack) -> None:
    lost = stack.account("Ann")
    other = stack.own_key(lost, "MONITORING")

    key = recover("ANN")

    assert key.username == "Ann"
    assert stack.call("GET", "/v1/whoami", lost).status == 401
    said = stack.call("GET", "/v1/whoami", key).json
    assert (said["role"], said["keyType"]) == ("OWNER", "USER_MANAGEMENT")
    assert stack.call("GET", "/v1/whoami", other).status == 200
    assert stack.call("GET", PATH, key).json["owners"] == ["ann"]
    (event,) = [it for it in stack.items(stack.tables.events) if it["action"] == "API_KEY_ROTATED"]
    assert (event["actor"], event["audience"]) == ({"kind": "OPERATOR"}, "PERSON_AND_OWNERS")
    assert event["subject"]["email"] == "Ann@people.example"
    assert event["keys"] == [
        {
            "change": "ROTATED",
            "keyType": "USER_MANAGEMENT",
            "last5": key.secret[-5:],
            "previousLast5": lost.secret[-5:],
        }
    ]


@pytest.mark.parametrize("overlap", [0, 3600])
def test_what_was_invited_with_any_secret_of_the_lost_key_is_withdrawn(stack: Stack, overlap: int) -> None:
    lost = stack.account()
    body = {"username": "eve", "email": "eve@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", lost, body).status == 201
    token = stack.token("eve")
    for _ in range(2):
        rotated = stack.call(
            "POST",
            "/v1/users/owner/api-keys/rotate",
            lost,
            {"keyType": "USER_MANAGEMENT", "overlapSeconds": overlap},
        )
        lost = Key("owner", rotated.json["key"])
    stack.clock.forward(60)
    key = recover("owner")
    [invited] = [it for it in stack.call("GET", "/v1/users", key).json if it["username"] == "eve"]
    assert invited["invitation"] == "WITHDRAWN"
    asked = {"username": "eve", "token": token}
    assert stack.call("POST", "/v1/users/activate", body=asked).status == 400


@pytest.mark.parametrize("how", ["revoked", "expired", "networks", "overlapping"])
def test_an_owner_is_recovered_whatever_locked_them_out(stack: Stack, how: str) -> None:
    owner = stack.account()
    path = "/v1/users/owner/api-keys"
    body, meant = {"keyType": "USER_MANAGEMENT"}, {"keyType": "USER_MANAGEMENT", "evenIfLockedOut": True}
    if how == "revoked":
        assert stack.call("DELETE", path, owner, meant).status == 204
    elif how == "expired":
        soon = {**meant, "expiresAt": "2030-03-17T17:47:00Z"}
        assert stack.call("PATCH", path, owner, soon).status == 200
        stack.clock.forward(60)
    elif how == "networks":
        assert stack.call("PATCH", path, owner, {**meant, "allowedNetworks": ["192.0.2.0/24"]}).status == 200
    else:
        assert stack.call("POST", f"{path}/rotate", owner, {**body, "overlapSeconds": 600}).status == 200
    assert stack.call("GET", "/v1/users", owner).status == (
        200 if how == "overlapping" else 403 if how == "networks" else 401
    )

    key = recover("owner")

    assert stack.call("GET", "/v1/users", owner).status == 401
    assert stack.call("GET", "/v1/users", key).status == 200
    (kept,) = [
        it for it in stack.call("GET", path, key).json["apiKeys"] if it["keyType"] == "USER_MANAGEMENT"
    ]
    assert (kept.get("allowedNetworks"), kept.get("expiresAt"), kept.get("predecessor")) == ([], None, None)


def test_only_an_activated_owner_is_recovered(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "cal", "CLUSTER_ADMIN")
    stack.service_user(owner, "worker", "OWNER")
    stack.call("POST", "/v1/users", owner, {"username": "dan", "email": "dan@a.example", "role": "OWNER"})
    before = stack.snapshot()

    for username, fault, says in (
        ("cal", Conflict, "'cal' is not an activated OWNER"),
        ("dan", Conflict, "'dan' is not an activated OWNER"),
        ("worker", NotFound, "There is no User 'worker'."),
        ("nobody", NotFound, "There is no User 'nobody'."),
    ):
        with pytest.raises(fault, match=re.escape(says)):
            application.recover_owner({"username": username}, None)

    assert stack.snapshot() == before


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({}, "/username"),
        ({"username": "o"}, "/username"),
        ({"username": "owner", "x": 1}, "/x"),
        (None, "the event"),
    ],
)
def test_invalid_input_recovers_nobody(stack: Stack, event: Any, fault: str) -> None:
    stack.account()
    before = stack.snapshot()
    with pytest.raises(ValidationError, match=f"^No key was made. {fault}: "):
        application.recover_owner(event, None)
    assert stack.snapshot() == before


def test_a_recovery_ends_the_passkeys_and_sessions_of_whoever_took_the_owners_place(stack: Stack) -> None:
    """A thief of a passkey adds their own, until there is room for none of the OWNER's."""
    owner = stack.account()
    assert stack.call("POST", "/v1/users/owner/invitation", stack.user(owner, "bea", "OWNER")).status == 200
    thief = Browser(stack)
    assert thief.activate("owner").status == 200
    assert thief.open("you").status == 200
    key = recover("owner")
    assert thief.open("you", follow=False).status == 303
    assert thief.sign_in().status == 401
    item = stack.item("owner")
    assert not item.get("passkeys")
    assert not item.get("sessions")
    assert stack.call("GET", "/v1/users", key).status == 200


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_recovery_is_tried_again_while_somebody_changes_the_owner(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    owner = stack.account()
    changed: list[Response] = []

    def change() -> None:
        changed.append(stack.call("PUT", "/v1/users/owner", owner, {"displayName": f"Ann {len(changed)}"}))
        if len(changed) < times:
            before_commit(stack, monkeypatch, change)

    before_commit(stack, monkeypatch, change)
    if times == 3:
        with pytest.raises(Conflict, match="concurrent call changed"):
            recover("owner")
    else:
        assert stack.call("GET", "/v1/users", recover("owner")).status == 200
    assert [it.status for it in changed] == [200] * times


def test_a_recovery_and_a_concurrent_change_exclude_each_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    second = stack.user(owner, "second", "OWNER")
    before_commit(stack, monkeypatch, lambda: stack.call("DELETE", "/v1/users/owner", second))

    with pytest.raises(NotFound):
        recover("owner")

    assert stack.call("GET", "/v1/users", second).json[0]["username"] == "second"
    assert len(stack.call("GET", "/v1/users", second).json) == 1


# Reading and naming it


def test_the_account_shows_its_activated_owners(stack: Stack) -> None:
    owner = stack.account("Ann")
    stack.user(owner, "Bea", "OWNER")
    stack.user(owner, "cal", "CLUSTER_ADMIN")
    for name in ("dan", "eve"):
        person = {"username": name, "email": f"{name}@people.example", "role": "OWNER"}
        stack.call("POST", "/v1/users", owner, person)
    stack.activate("eve")
    stack.call("POST", "/v1/users/eve/invitation", owner)

    owners = stack.call("GET", PATH, owner).json["owners"]

    assert [name.lower() for name in owners] == ["ann", "bea"]


def test_a_new_name_has_an_event(stack: Stack) -> None:
    owner = stack.account()

    response = put(stack, owner, name="Ajax")

    assert response.json["name"] == "Ajax" == stack.call("GET", PATH, owner).json["name"]
    (event,) = [it for it in stack.items(stack.tables.events) if it["action"] == "ACCOUNT_UPDATED"]
    assert event["changes"] == {"name": ["Account of owner", "Ajax"]}
    assert event["actor"].items() >= {"kind": "USER", "username": "owner"}.items()
    assert event["subject"]["kind"] == "ACCOUNT"
    assert "waiting" not in event


def test_an_update_that_changes_nothing_writes_nothing(stack: Stack) -> None:
    owner = stack.account()
    put(stack, owner, maxKeyAgeDays=30)
    before = stack.snapshot()

    for body in ({}, {"name": "Account of owner"}, {"maxKeyAgeDays": 30, "pciCompliance": False}):
        assert put(stack, owner, **body).status == 200

    assert stack.snapshot() == before


# Its policy


def test_a_policy_is_set_and_lifted_field_by_field(stack: Stack) -> None:
    owner = stack.account()

    assert policy(put(stack, owner, maxKeyAgeDays=30)) == (30, None, False)
    assert policy(put(stack, owner, revokeInactiveAfterDays=14)) == (30, 14, False)
    assert policy(put(stack, owner, name="Ajax")) == (30, 14, False)
    assert policy(put(stack, owner, maxKeyAgeDays=None)) == (None, 14, False)
    assert policy(stack.call("GET", PATH, owner)) == (None, 14, False)
    assert [
        it["changes"] for it in stack.items(stack.tables.events) if it["action"] == "ACCOUNT_UPDATED"
    ].count({"maxKeyAgeDays": ["30", ""]}) == 1


@pytest.mark.parametrize("days", [14, 3650])
@pytest.mark.parametrize("field", ["maxKeyAgeDays", "revokeInactiveAfterDays"])
def test_a_policy_is_14_days_to_ten_years(stack: Stack, field: str, days: int) -> None:
    assert put(stack, stack.account(), **{field: days}).json[field] == days


@pytest.mark.parametrize(
    "body",
    [
        {"maxKeyAgeDays": 13},
        {"maxKeyAgeDays": 3651},
        {"maxKeyAgeDays": 0},
        {"maxKeyAgeDays": -90},
        {"maxKeyAgeDays": "90"},
        {"maxKeyAgeDays": 90.5},
        {"maxKeyAgeDays": True},
        {"revokeInactiveAfterDays": 13},
        {"revokeInactiveAfterDays": 3651},
        {"revokeInactiveAfterDays": []},
        {"pciCompliance": "true"},
        {"pciCompliance": 1},
        {"pciCompliance": None},
        {"name": ""},
        {"name": "x" * 129},
        {"name": None},
        {"owners": ["nobody"]},
        {"account": "another"},
    ],
)
def test_an_invalid_policy_is_refused_with_the_field(stack: Stack, body: dict[str, Any]) -> None:
    owner = stack.account()
    assert stack.call("GET", "/v1/whoami", owner).status == 200
    before = stack.snapshot()

    response = put(stack, owner, **body)

    assert response.status == 400
    assert response.pointers == [f"/{name}" for name in body]
    assert stack.snapshot() == before


def test_every_error_in_an_update_is_reported(stack: Stack) -> None:
    response = put(
        stack, stack.account(), name="", maxKeyAgeDays=1, revokeInactiveAfterDays="", pciCompliance=0, x=1
    )

    assert sorted(response.pointers) == [
        "/maxKeyAgeDays",
        "/name",
        "/pciCompliance",
        "/revokeInactiveAfterDays",
        "/x",
    ]


# pciCompliance


def test_pci_compliance_needs_two_owners_who_have_activated(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")
    person = {"username": "cal", "email": "cal@people.example", "role": "OWNER"}
    stack.call("POST", "/v1/users", owner, person)

    response = put(stack, owner, pciCompliance=True)

    assert response.status == 409
    assert "two OWNERs who are activated and not suspended" in response.json["detail"]
    assert policy(stack.call("GET", PATH, owner)) == (None, None, False)
    stack.activate("cal")
    assert stack.call("POST", "/v1/users/cal/suspend", owner).status == 200
    assert put(stack, owner, pciCompliance=True).status == 409
    assert stack.call("POST", "/v1/users/cal/resume", owner).status == 200
    assert put(stack, owner, pciCompliance=True).status == 200


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ({}, {}, (90, 90, True)),
        ({"maxKeyAgeDays": 365, "revokeInactiveAfterDays": 91}, {}, (90, 90, True)),
        ({"maxKeyAgeDays": 30}, {}, (30, 90, True)),
        ({"maxKeyAgeDays": 365}, {"maxKeyAgeDays": 60}, (60, 90, True)),
        ({}, {"maxKeyAgeDays": 90, "revokeInactiveAfterDays": 14}, (90, 14, True)),
    ],
)
def test_pci_compliance_brings_both_to_90_days_or_leaves_them_shorter(
    stack: Stack, before: dict[str, int], given: dict[str, int], after: tuple[int, int, bool]
) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")
    put(stack, owner, **before)

    response = put(stack, owner, pciCompliance=True, **given)

    assert policy(response) == after == policy(stack.call("GET", PATH, owner))


@pytest.mark.parametrize("days", [91, 3650, None])
def test_under_pci_compliance_no_key_lives_longer(stack: Stack, days: int | None) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")
    at_once = put(stack, owner, pciCompliance=True, maxKeyAgeDays=days, revokeInactiveAfterDays=days)
    put(stack, owner, pciCompliance=True)
    later = put(stack, owner, revokeInactiveAfterDays=days)
    both = put(stack, owner, pciCompliance=True, maxKeyAgeDays=days)

    assert (at_once.status, later.status, both.status) == (400, 400, 400)
    assert at_once.pointers == ["/maxKeyAgeDays", "/revokeInactiveAfterDays"]
    assert later.pointers == ["/revokeInactiveAfterDays"]
    assert policy(stack.call("GET", PATH, owner)) == (90, 90, True)


def test_turned_off_pci_compliance_leaves_the_days_until_they_are_changed(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")
    put(stack, owner, pciCompliance=True)

    assert policy(put(stack, owner, pciCompliance=False)) == (90, 90, False)
    assert policy(put(stack, owner, maxKeyAgeDays=None, revokeInactiveAfterDays=365)) == (None, 365, False)


def test_pci_compliance_turned_off_and_the_days_lifted_in_one_call(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")
    put(stack, owner, pciCompliance=True)

    assert policy(put(stack, owner, pciCompliance=False, maxKeyAgeDays=None)) == (None, 90, False)


def test_pci_compliance_once_on_outlives_the_second_owner(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")
    put(stack, owner, pciCompliance=True)

    assert stack.call("DELETE", "/v1/users/bea", owner).status == 204

    assert policy(put(stack, owner, maxKeyAgeDays=30, pciCompliance=True)) == (30, 90, True)


def test_pci_compliance_is_not_turned_on_where_an_owner_goes_meanwhile(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")

    before_commit(stack, monkeypatch, lambda: stack.call("DELETE", "/v1/users/bea", owner))
    response = put(stack, owner, pciCompliance=True)

    assert response.status == 409
    assert policy(stack.call("GET", PATH, owner)) == (None, None, False)


def test_of_two_updates_at_once_neither_undoes_the_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()

    before_commit(stack, monkeypatch, lambda: put(stack, owner, maxKeyAgeDays=30))
    response = put(stack, owner, name="Ajax")

    assert response.status == 409
    assert policy(stack.call("GET", PATH, owner)) == (30, None, False)
    assert put(stack, owner, name="Ajax").json["maxKeyAgeDays"] == 30


def test_a_missing_account_item_is_an_internal_error_and_logged(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    owner = stack.account()
    account = stack.call("GET", PATH, owner).json["account"]
    stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": {"S": f"ACCOUNT#{account}"}})

    response = stack.call("GET", PATH, owner)

    assert response.status == 500
    assert account not in response.text
    assert "a call failed" in caplog.text


def test_events_of_an_invalid_username_are_refused(stack: Stack) -> None:
    owner = stack.account()

    for asked in ("x", "owner%20", "x" * 65, ""):
        response = stack.call("GET", f"/v1/events?username={asked}", owner)
        assert response.status == 400
        assert "'username' must be 3 to 64" in response.json["detail"]
