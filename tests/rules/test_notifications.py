"""Who is notified of each action: one table, complete, and an email for whatever notifies."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.mail.messages import email_of
from chalicelib.rules import limits, notifications
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    ApiKey,
    Audience,
    Change,
    Event,
    Invitation,
    KeyChange,
    Kind,
    Policy,
    Principal,
    ServiceUser,
    User,
)
from chalicelib.rules.notifications import Occurrence, Recipients
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
NOBODY = Recipients(Audience.NOBODY)
ADMINISTRATORS = Recipients(Audience.ADMINISTRATORS, {"ann": "m"})
HERSELF = Recipients(Audience.PERSON)
HERSELF_AND_OWNERS = Recipients(Audience.PERSON_AND_OWNERS)
OWNERS = Recipients(Audience.OWNERS)
ADMINISTRATORS_AND_OWNERS = Recipients(Audience.ADMINISTRATORS_AND_OWNERS, {"ann": "m"})
BEA = replace(ANN, username="bea", role=Role.CLUSTER_ADMIN)

EXPECTED: dict[Action, tuple[Principal | Account, Recipients, Recipients]] = {
    # action: its subject, whom it notifies with keys changed, and without
    Action.SERVICE_USER_CREATED: (BOT, ADMINISTRATORS, NOBODY),
    Action.SERVICE_USER_UPDATED: (BOT, ADMINISTRATORS, NOBODY),
    Action.SERVICE_USER_DELETED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_GENERATED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_ROTATED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_REVOKED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_UPDATED: (BOT, NOBODY, NOBODY),
    Action.API_KEY_REFUSED: (BOT, NOBODY, NOBODY),
    Action.API_KEY_ENDING: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.API_KEY_LEAKED: (BOT, ADMINISTRATORS_AND_OWNERS, ADMINISTRATORS_AND_OWNERS),
    Action.USER_INVITED: (BEA, HERSELF, HERSELF),
    Action.USER_ACTIVATED: (BEA, HERSELF, HERSELF),
    Action.USER_UPDATED: (BEA, HERSELF, NOBODY),
    Action.USER_REVOKED: (BEA, HERSELF, HERSELF),
    Action.USER_SUSPENDED: (BEA, HERSELF, HERSELF),
    Action.USER_RESUMED: (BEA, HERSELF, HERSELF),
    Action.SERVICE_USER_SUSPENDED: (BOT, ADMINISTRATORS, ADMINISTRATORS),
    Action.SERVICE_USER_RESUMED: (BOT, ADMINISTRATORS_AND_OWNERS, ADMINISTRATORS_AND_OWNERS),
    Action.ACCOUNT_CREATED: (ANN, HERSELF, HERSELF),
    Action.ACCOUNT_UPDATED: (ACME, NOBODY, NOBODY),
    Action.ALL_API_KEYS_REVOKED: (ANN, HERSELF, HERSELF),
    Action.PASSKEY_ADDED: (ANN, HERSELF, HERSELF),
    Action.PASSKEY_REMOVED: (ANN, HERSELF, HERSELF),
    Action.PASSKEY_ENDING: (ANN, HERSELF, HERSELF),
    Action.PASSKEY_CODE_REQUESTED: (ANN, HERSELF, HERSELF),
    Action.SIGNED_IN: (ANN, NOBODY, NOBODY),
    Action.SIGNED_OUT: (ANN, NOBODY, NOBODY),
    Action.EMAIL_BOUNCED: (BEA, OWNERS, OWNERS),
    Action.EMAIL_COMPLAINT: (BEA, OWNERS, OWNERS),
}


@pytest.mark.parametrize("action", Action)
def test_each_action_notifies_whom_the_table_says(action: Action) -> None:
    subject, with_keys, without = EXPECTED[action]
    assert notifications.recipients(action, Occurrence(subject, KEYS)) == with_keys
    assert notifications.recipients(action, Occurrence(subject, ())) == without


@pytest.mark.parametrize(
    "action",
    [
        Action.USER_INVITED,
        Action.USER_ACTIVATED,
        Action.USER_REVOKED,
        Action.USER_SUSPENDED,
        Action.USER_RESUMED,
    ],
    ids=lambda it: it.name,
)
def test_every_owner_is_notified_of_an_owner(action: Action) -> None:
    assert notifications.recipients(action, Occurrence(ANN, KEYS)) == HERSELF_AND_OWNERS
    assert notifications.recipients(action, Occurrence(ANN, ())) == HERSELF_AND_OWNERS


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (Role.OWNER, Role.CLUSTER_ADMIN, HERSELF_AND_OWNERS),
        (Role.READ_ONLY, Role.OWNER, HERSELF_AND_OWNERS),
        (Role.CLUSTER_ADMIN, Role.READ_ONLY, HERSELF),
        (Role.READ_ONLY, Role.CLUSTER_ADMIN, HERSELF),
        (Role.OWNER, Role.OWNER, NOBODY),
    ],
)
def test_a_user_is_notified_of_a_new_role_and_owners_of_an_owners(
    old: Role, new: Role, told: Recipients
) -> None:
    occurrence = Occurrence(replace(ANN, role=old), (), replace(ANN, role=new, display_name="Ann A"))
    assert notifications.recipients(Action.USER_UPDATED, occurrence) == told


def test_a_revocation_before_activation_notifies_only_the_owners_of_an_owners() -> None:
    opened = Invitation("i")
    bea = Occurrence(replace(BEA, invitation=opened), ())
    assert notifications.recipients(Action.USER_REVOKED, bea) == NOBODY
    ann = Occurrence(replace(ANN, invitation=opened), ())
    assert notifications.recipients(Action.USER_REVOKED, ann) == OWNERS


@pytest.mark.parametrize("action", [Action.API_KEY_GENERATED, Action.API_KEY_ROTATED])
def test_every_owner_is_notified_of_a_recovery_by_the_operator(action: Action) -> None:
    occurrence = Occurrence(ANN, KEYS, actor=Actor(Kind.OPERATOR))
    assert notifications.recipients(action, occurrence) == HERSELF_AND_OWNERS


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"role": Role.OWNER}, {"ann": "m"}),
        ({"administrators": {"bea": "n"}}, {"ann": "m", "bea": "n"}),
        ({"administrators": {"ann": "m", "bea": "n"}}, {"ann": "m", "bea": "n"}),
        ({"administrators": {"ann": "another"}}, {"ann": "another"}),
        ({"display_name": "Bot"}, None),
    ],
)
def test_administrators_before_and_after_are_notified(
    change: dict[str, Any], told: dict[str, str] | None
) -> None:
    found = notifications.recipients(Action.SERVICE_USER_UPDATED, Occurrence(BOT, (), replace(BOT, **change)))
    assert found == (NOBODY if told is None else Recipients(Audience.ADMINISTRATORS, told))


DAY = 86_400
OFFICE, EVERYWHERE = ("203.0.113.0/24",), ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ((OFFICE, 9), (EVERYWHERE, 9), True),
        ((OFFICE, 9), (("198.51.100.0/24",), 9), True),
        ((OFFICE, 9), (OFFICE, None), True),
        ((OFFICE, 9), (OFFICE, 10), True),
        # Sooner, and there is time for the first notice; then there is not.
        ((EVERYWHERE, None), (OFFICE, 11 * DAY + 1), False),
        ((OFFICE, 12 * DAY), (OFFICE, 11 * DAY), True),
        ((EVERYWHERE, None), (EVERYWHERE, 1), True),
        ((EVERYWHERE, 9), (OFFICE, 9), False),
    ],
)
def test_administrators_are_notified_of_looser_restrictions_and_a_user_of_any(
    old: tuple[tuple[str, ...], int | None], new: tuple[tuple[str, ...], int | None], told: bool
) -> None:
    def holding(holder: Any, restrictions: tuple[tuple[str, ...], int | None]) -> Any:
        key = ApiKey(b"d", "7ac6a", 0, "ann", networks=restrictions[0], expires_at=restrictions[1])
        return replace(holder, keys={KeyType.MONITORING: key})

    of_bot = Occurrence(holding(BOT, old), KEYS, holding(BOT, new))
    found = notifications.recipients(Action.API_KEY_UPDATED, of_bot)
    assert found == (ADMINISTRATORS if told else NOBODY)
    of_ann = Occurrence(holding(ANN, old), KEYS, holding(ANN, new))
    assert notifications.recipients(Action.API_KEY_UPDATED, of_ann) == HERSELF


def steps_told(holder: Any, first: int, last: int, step: int) -> int:
    """Return of how many of these ever earlier expiries of a key its people are notified."""
    told = 0
    for at in range(first - step, last - 1, -step):
        old, new = (
            replace(holder, keys={KeyType.MONITORING: ApiKey(b"d", "7ac6a", 0, "ann", expires_at=it)})
            for it in (at + step, at)
        )
        found = notifications.recipients(Action.API_KEY_UPDATED, Occurrence(old, KEYS, new, at=0))
        told += found != NOBODY
    return told


@pytest.mark.parametrize(
    ("first", "last", "step", "of_bot", "of_ann"),
    [
        (12 * DAY, 11 * DAY + 1, DAY - 1, 0, 0),  # there is time for the notices
        (11 * DAY, 11 * DAY - 1000, 1, 1, 1),  # at the first, which is on an earlier day
        (11 * DAY, 0, 600, 63, 63),  # each day, in the last two each hour, in the last hour every 10 minutes
        (5, 1, 1, 0, 0),
        (12 * DAY, 11 * DAY, 3600, 1, 1),
        (400 * 365 * DAY, 12 * DAY, DAY // 2, 0, 14),  # to a User, at about half the time
    ],
)
def test_an_expiry_that_is_a_little_earlier_at_each_call_is_no_flood(
    first: int, last: int, step: int, of_bot: int, of_ann: int
) -> None:
    assert steps_told(BOT, first, last, step) == of_bot
    assert steps_told(ANN, first, last, step) == of_ann


STRICT = Policy(90, 90, True)


@pytest.mark.parametrize(
    ("policy", "machines", "told"),
    [
        (Policy(None, 90, True), False, True),
        (Policy(91, 90, True), False, True),
        (Policy(90, None, True), False, True),
        (Policy(90, 91, True), False, True),
        (Policy(90, 90, False), False, True),
        (STRICT, True, True),
        (Policy(89, 30, True), False, False),
        (STRICT, False, False),
    ],
)
def test_every_owner_is_notified_of_a_looser_policy(policy: Policy, machines: bool, told: bool) -> None:
    old, new = replace(ACME, policy=STRICT), replace(ACME, policy=policy, machines_manage_owners=machines)
    found = notifications.recipients(Action.ACCOUNT_UPDATED, Occurrence(old, (), new))
    assert found == (OWNERS if told else NOBODY)
    assert notifications.recipients(Action.ACCOUNT_UPDATED, Occurrence(new, (), new)) == NOBODY


@pytest.mark.parametrize(
    "action", [it for it in Action if it.name.startswith("API_KEY_") and EXPECTED[it][1] != NOBODY]
)
def test_a_key_of_a_person_notifies_that_person(action: Action) -> None:
    told = HERSELF_AND_OWNERS if action is Action.API_KEY_LEAKED else HERSELF
    assert notifications.recipients(action, Occurrence(ANN, KEYS)) == told


@pytest.mark.parametrize("action", Action)
def test_an_action_that_notifies_has_an_email_and_no_other_has(action: Action) -> None:
    event: Event = make_event(action=action, keys=KEYS)
    assert (email_of(event) is not None) == (notifications.NOTIFIED[action] is not notifications.nobody)


def test_a_sign_in_from_another_address_notifies_its_person_as_often_as_the_budget_pays() -> None:
    assert notifications.recipients(Action.SIGNED_IN, Occurrence(ANN, (), ANN)) == NOBODY
    user, told = ANN, 0
    for second in range(0, 3600, 10):
        paid = limits.pay_for_sign_in_email(user, second)
        told += notifications.recipients(Action.SIGNED_IN, Occurrence(user, (), paid)) == HERSELF
        user = paid
    assert 10 <= told <= 20
    assert limits.pay_for_sign_in_email(user, 7200) is not user


def test_an_action_without_an_entry_stops_the_start() -> None:
    incomplete = {it: rule for it, rule in notifications.NOTIFIED.items() if it is not Action.USER_REVOKED}
    with pytest.raises(ValueError, match=r"NOTIFIED has no entry for USER_REVOKED\Z"):
        notifications.for_every_action(incomplete)  # type: ignore[arg-type]
