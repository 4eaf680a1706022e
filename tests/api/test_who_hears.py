"""Every change of rights is mailed to those who had a say before it, so that nobody can be left out."""

from typing import Any

import pytest

from chalicelib.rules import accounts as account_rules
from chalicelib.rules.context import Origin
from tests.support.accounts import PATH
from tests.support.api_client import Key, Stack
from tests.support.catalogue import LABELS
from tests.support.mail import MailFixture
from tests.support.reference_model import moment

USERS = "/v1/users"
OFFICE = ["203.0.113.0/24"]


def hears(stack: Stack) -> list[tuple[str, str]]:
    """Mail the pending events; return the recipients and the subjects."""
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    return sorted((to.partition("@")[0], str(message["Subject"])) for to, message in mail.ses.sent)


def told(stack: Stack, words: str) -> list[str]:
    """Mail the pending events; return the recipients of emails with these words in the subject."""
    return [who for who, subject in hears(stack) if words in subject]


def change(stack: Stack, key: Key, method: str, path: str, **body: Any) -> Any:
    response = stack.call(method, path, key, body)
    assert response.status in (200, 201), response.text
    return response.json


@pytest.fixture
def owner(stack: Stack) -> Key:
    """The OWNER of an account with another, alice; mallory and carol administer a Service User with them.

    Earlier events are already mailed.
    """
    owner = stack.account()
    stack.user(owner, "alice", "OWNER")
    mallory = stack.user(owner, "mallory", "CLUSTER_ADMIN")
    stack.user(owner, "carol", "CLUSTER_ADMIN")
    stack.service_user(mallory, "bot", keyTypes=["MONITORING"], allowedNetworks=OFFICE)
    change(stack, mallory, "PUT", f"{PATH}/bot", administrators=["mallory", "carol", "alice"])
    hears(stack)
    return owner


def test_a_removed_administrator_is_notified(stack: Stack, owner: Key) -> None:
    change(stack, owner, "PUT", f"{PATH}/bot", administrators=["mallory"])
    assert told(stack, "Administrators of bot changed") == ["alice", "carol", "mallory"]


@pytest.mark.parametrize(
    ("key_types", "subject"), [(["MONITORING"], "API key generated"), ([], "Administrators of fox changed")]
)
def test_administrators_named_at_a_creation_are_notified_and_so_is_who_made_it(
    stack: Stack, owner: Key, key_types: list[str], subject: str
) -> None:
    body = {"username": "fox", "email": "fox@machines.example", "role": "READ_ONLY", "keyTypes": key_types}
    change(stack, owner, "POST", PATH, **body, administrators=["carol"])
    assert told(stack, subject) == ["carol", "owner"]


def test_nobody_is_notified_of_a_creation_without_keys_and_other_administrators(
    stack: Stack, owner: Key
) -> None:
    body = {"username": "fox", "email": "fox@machines.example", "role": "READ_ONLY", "keyTypes": []}
    change(stack, owner, "POST", PATH, **body, administrators=["owner"])
    assert hears(stack) == []


def test_a_removal_and_a_lower_role_in_one_call_are_both_notified(stack: Stack, owner: Key) -> None:
    change(stack, owner, "PUT", f"{PATH}/bot", administrators=["mallory"], role="OWNER")
    assert told(stack, "Administrators and role of bot changed") == ["alice", "carol", "mallory"]


def test_owners_are_notified_of_new_administrators_where_none_was_left(stack: Stack, owner: Key) -> None:
    for name in ("mallory", "carol"):
        change(stack, owner, "PUT", f"{USERS}/{name}", role="READ_ONLY")
    change(stack, owner, "PUT", f"{USERS}/alice", role="READ_ONLY")
    dan = stack.user(owner, "dan", "CLUSTER_ADMIN")
    hears(stack)
    change(stack, owner, "PUT", f"{PATH}/bot", administrators=["dan"])
    assert told(stack, "Administrators of bot changed") == ["dan", "owner"]
    assert stack.signs_in(dan)


@pytest.mark.parametrize("comes_back", ["lowered and raised", "revoked and invited"])
def test_owners_are_notified_of_a_new_administrator_whose_earlier_link_has_ended(
    stack: Stack, owner: Key, comes_back: str
) -> None:
    """The OWNERs stood in for them meanwhile, and stop it with this change."""
    dora = stack.user(owner, "dora", "CLUSTER_ADMIN")
    stack.service_user(dora, "ant", keyTypes=["MONITORING"])
    if comes_back == "lowered and raised":
        for role in ("READ_ONLY", "CLUSTER_ADMIN"):
            change(stack, owner, "PUT", f"{USERS}/dora", role=role)
    else:
        assert stack.call("DELETE", f"{USERS}/dora", owner).status == 204
        stack.user(owner, "dora", "CLUSTER_ADMIN")
    hears(stack)
    change(stack, owner, "PUT", f"{PATH}/ant", administrators=["dora"])
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    assert sorted(to.partition("@")[0] for to, _ in mail.ses.sent) == ["alice", "dora", "owner"]
    text = str(dict(mail.ses.sent)["alice@people.example"].get_body(("plain",)).get_content())
    assert '-d \'{"administrators":["alice"]}\'' in text
    assert "Set it back (it had none; this names you)" in " ".join(text.split())
    [said] = stack.call("GET", "/v1/events?username=ant&action=SERVICE_USER_UPDATED", owner).json
    assert [(it["oldValue"], it["newValue"]) for it in said["changes"]] == [([], ["dora"])]


@pytest.mark.parametrize("role", ["CLUSTER_ADMIN", "OWNER"])
def test_administrators_are_notified_of_a_raised_role(stack: Stack, owner: Key, role: str) -> None:
    change(stack, owner, "PUT", f"{PATH}/bot", role=role)
    assert told(stack, "Role of bot changed") == ["alice", "carol", "mallory"]


@pytest.mark.parametrize("looser", [{"allowedNetworks": []}, {"allowedNetworks": ["0.0.0.0/0"]}])
def test_administrators_are_notified_of_looser_networks(
    stack: Stack, owner: Key, looser: dict[str, Any]
) -> None:
    change(stack, owner, "PATCH", f"{PATH}/bot/api-keys", keyType="MONITORING", **looser)
    assert told(stack, "API key loosened") == ["alice", "carol", "mallory"]


def test_administrators_are_notified_of_a_removed_expiry_and_not_of_a_new_one(
    stack: Stack, owner: Key
) -> None:
    keys = f"{PATH}/bot/api-keys"
    change(stack, owner, "PATCH", keys, keyType="MONITORING", expiresAt="2031-01-01T00:00:00Z")
    assert hears(stack) == []
    change(stack, owner, "PATCH", keys, keyType="MONITORING", expiresAt=None)
    assert told(stack, "API key loosened") == ["alice", "carol", "mallory"]


def test_a_user_is_notified_of_changes_to_their_own_key(stack: Stack, owner: Key) -> None:
    networks = ["198.51.100.0/24"]
    change(
        stack, owner, "PATCH", f"{USERS}/owner/api-keys", keyType="USER_MANAGEMENT", allowedNetworks=networks
    )
    assert hears(stack) == [
        ("owner", "Your API key changed: USER_MANAGEMENT …" + owner.secret[-5:] + " (Account of owner)")
    ]


def test_owners_are_notified_of_an_owner_invited_and_activated(stack: Stack, owner: Key) -> None:
    change(stack, owner, "POST", USERS, username="evil", email="evil@people.example", role="OWNER")
    assert [who for who, _ in hears(stack)] == ["alice", "evil", "owner"]
    stack.activate("evil")
    assert told(stack, "evil is an OWNER now") == ["alice", "owner"]


def test_owners_are_notified_of_an_owners_invitation_even_if_it_is_void_by_then(
    stack: Stack, owner: Key
) -> None:
    change(stack, owner, "POST", USERS, username="evil", email="evil@people.example", role="OWNER")
    assert stack.call("DELETE", f"{USERS}/evil", owner).status == 204
    assert hears(stack) == [
        ("alice", "Access of evil revoked (Account of owner)"),
        ("alice", "evil is invited as an OWNER (Account of owner)"),
        ("owner", "Access of evil revoked (Account of owner)"),
        ("owner", "evil is invited as an OWNER (Account of owner)"),
    ]


def test_an_owner_invited_again_is_notified_of_their_keys_even_if_the_invitation_is_void(
    stack: Stack, owner: Key
) -> None:
    change(stack, owner, "POST", f"{USERS}/alice/invitation")
    stack.activate("alice")
    said = [(who, subject[:16]) for who, subject in hears(stack)]
    assert said == [
        ("alice", "Your API key gen"),
        ("alice", "Your API key rev"),
        ("owner", "alice is an OWNE"),
        ("owner", "alice is invited"),
    ]


def test_owners_are_notified_of_a_promotion_to_owner_and_of_a_lowered_owner(stack: Stack, owner: Key) -> None:
    change(stack, owner, "PUT", f"{USERS}/mallory", role="OWNER")
    assert told(stack, "mallory is an OWNER now") == ["alice", "owner"]
    change(stack, owner, "PUT", f"{USERS}/mallory", role="CLUSTER_ADMIN")
    assert told(stack, "mallory is no longer an OWNER") == ["alice", "owner"]


def test_a_revoked_owner_is_notified_as_a_user_and_the_others_as_owners(stack: Stack, owner: Key) -> None:
    assert stack.call("DELETE", f"{USERS}/alice", owner).status == 204
    assert [(who, subject[:11]) for who, subject in hears(stack)] == [
        ("alice", "Your access"),
        ("owner", "Access of a"),
    ]


def test_a_user_is_notified_of_a_new_role_that_changes_no_key(stack: Stack, owner: Key) -> None:
    change(stack, owner, "PUT", f"{USERS}/carol", role="OWNER")
    assert told(stack, f"Your role in Account of owner is now {LABELS['OWNER']}") == ["carol"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"maxKeyAgeDays": 30}, {"maxKeyAgeDays": 60}),
        ({"revokeInactiveAfterDays": 30}, {"revokeInactiveAfterDays": None}),
        ({"pciCompliance": True}, {"pciCompliance": False}),
        ({}, {"machinesManageOwners": True}),
    ],
)
def test_owners_are_notified_of_a_looser_policy_and_not_of_a_stricter_one(
    stack: Stack, owner: Key, first: dict[str, Any], then: dict[str, Any]
) -> None:
    change(stack, owner, "PUT", "/v1/account", **first)
    assert hears(stack) == []
    change(stack, owner, "PUT", "/v1/account", **then)
    assert told(stack, "rules loosened") == ["alice", "owner"]


def test_owners_are_notified_of_an_owner_whom_the_operator_recovers(stack: Stack, owner: Key) -> None:
    account_rules.recover(stack.service.directory, "alice", Origin("", "r", stack.clock()))
    assert told(stack, "The operator let alice back in") == ["owner"]
    assert stack.signs_in(owner)


def test_the_log_line_of_the_operators_alarm(
    stack: Stack, owner: Key, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    change(stack, owner, "PUT", f"{USERS}/carol", role="READ_ONLY")
    change(stack, owner, "PUT", f"{USERS}/mallory", role="OWNER")
    assert stack.call("DELETE", f"{USERS}/mallory", owner).status == 204
    change(stack, owner, "POST", USERS, username="eve", email="eve@people.example", role="OWNER")
    stack.activate("eve")
    change(stack, owner, "PUT", "/v1/account", machinesManageOwners=True)
    account_rules.recover(stack.service.directory, "alice", Origin("", "r", stack.clock()))
    for what in ("suspend", "resume"):  # who is no OWNER
        change(stack, owner, "POST", f"{USERS}/carol/{what}")
    hears(stack)
    said = [vars(line).get("ownersChange") for line in caplog.records]
    assert sorted(filter(None, said)) == [
        "API_KEY_ROTATED",
        "USER_ACTIVATED",
        "USER_INVITED",
        "USER_REVOKED",
        "USER_UPDATED",
    ]


def test_an_owner_removed_as_administrator_first_is_still_notified_of_the_takeover(
    stack: Stack, owner: Key
) -> None:
    """The attacker first removes the OWNER as Administrator, to be the only recipient from then on."""
    stack.service_user(owner, "prov", "CLUSTER_ADMIN")
    change(stack, owner, "PUT", f"{PATH}/prov", administrators=["owner", "mallory"])
    hears(stack)
    change(stack, owner, "POST", f"{USERS}/mallory/invitation")
    mallory = stack.activate("mallory")
    hears(stack)
    change(stack, mallory, "PUT", f"{PATH}/prov", administrators=["mallory"])
    assert told(stack, "Administrators of prov changed") == ["mallory", "owner"]


def test_administrators_are_notified_at_once_of_an_end_that_leaves_no_time_for_notices(
    stack: Stack, owner: Key
) -> None:
    """Whoever sets an end seconds ahead revokes the key as surely as by DELETE, and is as little silent."""
    keys, now = f"{PATH}/bot/api-keys", int(stack.clock())
    for seconds, heard in ((12 * 86_400, False), (11 * 86_400, True), (5, True)):
        change(stack, owner, "PATCH", keys, keyType="MONITORING", expiresAt=moment(now + seconds))
        told_of = ["alice", "carol", "mallory"] if heard else []
        assert told(stack, "API key ends soon") == told_of


def test_the_revocation_of_who_is_suspended_is_mailed_to_all_owners(stack: Stack, owner: Key) -> None:
    """A machine whose key they know could revoke them and invite them again, although it resumes nobody."""
    machine = stack.service_user(owner, "opsbot", "OWNER", keyTypes=["USER_MANAGEMENT"])["USER_MANAGEMENT"]
    stack.user(owner, "eve", "CLUSTER_ADMIN")
    assert stack.call("POST", f"{USERS}/eve/suspend", owner).status == 200
    hears(stack)
    assert stack.call("DELETE", f"{USERS}/eve", machine).status == 204
    assert {who for who, subject in hears(stack) if "eve" in subject.lower()} >= {"owner", "alice"}
