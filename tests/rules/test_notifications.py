"""Who is notified of each action: one table, complete, and an email for whatever notifies."""

import pytest
from msgspec.structs import replace

from chalicelib.mail.messages import email_of
from chalicelib.rules import notifications
from chalicelib.rules.model import (
    Account,
    Action,
    Audience,
    Change,
    Event,
    KeyChange,
    Passkey,
    Principal,
    ServiceUser,
    User,
)
from chalicelib.rules.notifications import Addressees, Occurrence
from chalicelib.rules.roles import KeyType, Role
from tests.support.mail import make_event

BOT = ServiceUser(
    id="i",
    username="bot",
    account="acme",
    email="bot@machines.example",
    role=Role.READ_ONLY,
    version="v",
    created_at=0,
    administrators={"ann": "m"},
)
ANN = User(
    username="ann",
    account="acme",
    email="ann@people.example",
    role=Role.OWNER,
    version="v",
    created_at=0,
    membership="m",
)
ACME = Account(id="acme", name="Acme", version="v", created_at=0)
KEYS = (KeyChange(Change.REVOKED, KeyType.MONITORING, "7ac6a"),)
NOBODY = Addressees(Audience.NOBODY)
ADMINISTRATORS = Addressees(Audience.ADMINISTRATORS, {"ann": "m"})
HERSELF = Addressees(Audience.PERSON)

EXPECTED: dict[Action, tuple[Principal | Account, Addressees, Addressees]] = {
    # action: its subject, whom it notifies with keys changed, and without
    Action.SERVICE_USER_CREATED: (BOT, ADMINISTRATORS, NOBODY),
    Action.SERVICE_USER_UPDATED: (BOT, ADMINISTRATORS, NOBODY),
    Action.SERVICE_USER_DELETED: (BOT, ADMINISTRATORS, NOBODY),
    Action.API_KEY_GENERATED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_ROTATED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_REVOKED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_UPDATED: (BOT, NOBODY, NOBODY),
    Action.API_KEY_REFUSED: (BOT, NOBODY, NOBODY),
    Action.API_KEY_ENDING: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.USER_INVITED: (ANN, HERSELF, HERSELF),
    Action.USER_ACTIVATED: (ANN, HERSELF, HERSELF),
    Action.USER_UPDATED: (ANN, HERSELF, NOBODY),
    Action.USER_REVOKED: (ANN, HERSELF, NOBODY),
    Action.ACCOUNT_CREATED: (ANN, HERSELF, HERSELF),
    Action.ACCOUNT_UPDATED: (ACME, NOBODY, NOBODY),
    Action.PASSKEY_ADDED: (ANN, HERSELF, HERSELF),
    Action.PASSKEY_REMOVED: (ANN, HERSELF, HERSELF),
    Action.SIGNED_IN: (ANN, NOBODY, NOBODY),
    Action.SIGNED_OUT: (ANN, NOBODY, NOBODY),
}
SOMETIMES = {Action.SIGNED_IN}
"""Actions that notify only where something else is so too, with a test of their own below."""


@pytest.mark.parametrize("action", Action)
def test_each_action_notifies_whom_the_table_says(action: Action) -> None:
    subject, with_keys, without = EXPECTED[action]
    assert notifications.addressees(action, Occurrence(subject, KEYS)) == with_keys
    assert notifications.addressees(action, Occurrence(subject, ())) == without


@pytest.mark.parametrize(
    "action", [it for it in Action if it.name.startswith("API_KEY_") and EXPECTED[it][1] != NOBODY]
)
def test_a_key_of_a_person_notifies_that_person(action: Action) -> None:
    assert notifications.addressees(action, Occurrence(ANN, KEYS)) == HERSELF


@pytest.mark.parametrize("action", Action)
def test_an_action_that_notifies_has_an_email_and_no_other_has(action: Action) -> None:
    event: Event = make_event(action=action, keys=KEYS)
    assert (email_of(event) is not None) == (EXPECTED[action][1] != NOBODY or action in SOMETIMES)


def test_a_sign_in_from_another_address_than_the_last_notifies_its_person() -> None:
    def signed_in(address: str) -> User:
        passkey = Passkey(
            credential_id=b"c", public_key=b"p", algorithm=-7, name="Laptop", created_at=0, last_ip=address
        )
        return replace(ANN, passkeys={"one": passkey})

    old = signed_in("192.0.2.1")
    same, elsewhere = signed_in("192.0.2.1"), signed_in("192.0.2.2")
    assert notifications.addressees(Action.SIGNED_IN, Occurrence(old, (), same)) == NOBODY
    assert notifications.addressees(Action.SIGNED_IN, Occurrence(old, (), elsewhere)) == HERSELF


def test_an_action_without_an_entry_stops_the_start() -> None:
    incomplete = {it: rule for it, rule in notifications.NOTIFIED.items() if it is not Action.USER_REVOKED}
    with pytest.raises(ValueError, match=r"NOTIFIED has no entry for USER_REVOKED\Z"):
        notifications.for_every_action(incomplete)
