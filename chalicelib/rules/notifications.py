"""Who is notified of an event by email, and when to retry.

``NOTIFIED`` decides who an event is addressed to when it is written; :func:`administrators`,
:func:`owners` and :func:`person` decide who of them is still entitled when the email is sent.

The events are their own outbox. An event is pending until every recipient has been notified; whoever
mails it first claims it for a while (a lease), then marks each recipient as notified.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from chalicelib.rules import permissions
from chalicelib.rules.api_keys import is_looser
from chalicelib.rules.model import (
    Account,
    AccountSummary,
    Action,
    Actor,
    Audience,
    Event,
    KeyChange,
    Kind,
    Principal,
    ServiceUser,
    User,
    UserSummary,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import Role

SHARDS = tuple("01234567")
"""The values of ``waiting``: the partitions of the index of pending events."""

HELD_SHARDS = ("held0", "held1")
"""The values of ``waiting`` of events that are held for a digest: nobody is late in mailing them."""

LEASE = 120
"""Seconds of a lease: how long a claimed event belongs to whoever claimed it; each mark renews it."""

FIRST_PAUSE = 60
LONGEST_PAUSE = 21_600
"""Seconds between two tries: one minute, doubled at each try, up to six hours."""


class Occurrence(NamedTuple):
    """What a rule decides on who is notified.

    The subject as it was before (as created, if it is new), what happened to its keys, the subject as it is
    from now on (None if that is gone, or the same), who did it, and whether a revoked User may know keys of
    Service Users.
    """

    subject: Principal | Account
    keys: tuple[KeyChange, ...]
    new: Principal | Account | None = None
    actor: Actor | None = None
    knows_keys: bool = False


class Addressees(NamedTuple):
    """Whom an event is addressed to. ``administrators`` maps folded usernames to membership ids."""

    audience: Audience
    administrators: dict[str, str] = {}


AudienceRule = Callable[[Occurrence], Addressees]
"""Decides who is notified of one action."""


def nobody(_occurrence: Occurrence) -> Addressees:
    """Notify nobody."""
    return Addressees(Audience.NOBODY)


def administrators_or_person(occurrence: Occurrence) -> Addressees:
    """Notify the Administrators of a Service User; a User of what concerns themselves."""
    subject = occurrence.subject
    if isinstance(subject, ServiceUser):
        return Addressees(Audience.ADMINISTRATORS, subject.administrators)
    return Addressees(Audience.PERSON)


def administrators_or_person_if_keys_changed(occurrence: Occurrence) -> Addressees:
    """Notify as :func:`administrators_or_person` does, but only of keys that were issued or revoked."""
    return administrators_or_person(occurrence) if occurrence.keys else nobody(occurrence)


def person_if_signed_in_elsewhere(occurrence: Occurrence) -> Addressees:
    """Notify a User of a sign-in by a passkey from another address than the last one by it."""
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, User) and isinstance(new, User):
        addresses = {id_: passkey.last_ip for id_, passkey in old.passkeys.items()}
        if any(passkey.last_ip != addresses.get(id_) for id_, passkey in new.passkeys.items()):
            return administrators_or_person(occurrence)
    return nobody(occurrence)


def administrators_or_person_and_owners_if_by_operator(occurrence: Occurrence) -> Addressees:
    """Notify as :func:`administrators_or_person`; if the operator did it for an OWNER, all OWNERs too."""
    if occurrence.actor is not None and occurrence.actor.kind is Kind.OPERATOR:
        return Addressees(Audience.PERSON_AND_OWNERS)
    return administrators_or_person(occurrence)


def administrators_or_person_and_owners(occurrence: Occurrence) -> Addressees:
    """Notify as :func:`administrators_or_person` does, and all OWNERs."""
    addressees = administrators_or_person(occurrence)
    by_audience = {
        Audience.PERSON: Audience.PERSON_AND_OWNERS,
        Audience.ADMINISTRATORS: Audience.ADMINISTRATORS_AND_OWNERS,
    }
    return addressees._replace(audience=by_audience[addressees.audience])


def key_holder_if_loosened(occurrence: Occurrence) -> Addressees:
    """Notify the Administrators of looser restrictions; a User of any change to those of their own key."""
    subject, new = occurrence.subject, occurrence.new
    if isinstance(subject, User):
        return Addressees(Audience.PERSON)
    if isinstance(subject, ServiceUser) and isinstance(new, ServiceUser):
        kept = subject.keys.keys() & new.keys.keys()
        if any(is_looser(subject.keys[key_type], new.keys[key_type]) for key_type in kept):
            return administrators_or_person(occurrence)
    return nobody(occurrence)


def administrators_before_and_after(occurrence: Occurrence) -> Addressees:
    """Notify the Administrators before and after of another role, other Administrators, or keys revoked.

    So nobody is dropped as an Administrator without hearing of it.
    """
    old, new = occurrence.subject, occurrence.new
    if not isinstance(old, ServiceUser) or not isinstance(new, ServiceUser):
        return administrators_or_person_if_keys_changed(occurrence)
    if (old.role, old.administrators) == (new.role, new.administrators):
        return nobody(occurrence)
    return Addressees(Audience.ADMINISTRATORS, {**old.administrators, **new.administrators})


def person_and_owners_if_owner(occurrence: Occurrence) -> Addressees:
    """Notify a User of what gives them power; if they are an OWNER with it, all OWNERs too."""
    return Addressees(Audience.PERSON_AND_OWNERS if _is_owner(occurrence.subject) else Audience.PERSON)


def person_if_role_changed(occurrence: Occurrence) -> Addressees:
    """Notify a User of another role; if they become an OWNER or were one, all OWNERs too."""
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, User) and isinstance(new, User) and old.role is not new.role:
        owner = _is_owner(old) or _is_owner(new)
        return Addressees(Audience.PERSON_AND_OWNERS if owner else Audience.PERSON)
    return administrators_or_person_if_keys_changed(occurrence)


def person_on_revocation(occurrence: Occurrence) -> Addressees:
    """Notify a revoked User, unless they never activated.

    All OWNERs too, if that was an OWNER or knows keys of Service Users.
    """
    subject = occurrence.subject
    invited = isinstance(subject, User) and subject.invitation is not None and not occurrence.keys
    if _is_owner(subject) or occurrence.knows_keys:
        return Addressees(Audience.OWNERS if invited else Audience.PERSON_AND_OWNERS)
    return nobody(occurrence) if invited else administrators_or_person(occurrence)


def owners_if_loosened(occurrence: Occurrence) -> Addressees:
    """Notify all OWNERs of an account's looser policy."""
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, Account) and isinstance(new, Account) and is_policy_looser(old, new):
        return Addressees(Audience.OWNERS)
    return nobody(occurrence)


def is_policy_looser(old: Account, new: Account) -> bool:
    """Return whether keys may live longer by the new policy, or machines may now manage OWNERs.

    Leaked keys live longer if they are no longer revoked.
    """
    was, now = old.policy, new.policy
    return (
        _is_longer(was.max_key_age_days, now.max_key_age_days)
        or _is_longer(was.revoke_inactive_after_days, now.revoke_inactive_after_days)
        or (was.pci_compliance and not now.pci_compliance)
        or (new.machines_manage_owners and not old.machines_manage_owners)
        or (now.keep_leaked_keys and not was.keep_leaked_keys)
    )


def _is_longer(old: int | None, new: int | None) -> bool:
    return old is not None and (new is None or new > old)


def _is_owner(subject: Principal | Account) -> bool:
    return isinstance(subject, User) and subject.role is Role.OWNER


def for_every_action(rules: Mapping[Action, AudienceRule]) -> Mapping[Action, AudienceRule]:
    """Return ``rules``. Raises ValueError if an action has none: nobody is left out by mistake."""
    if missing := [action.value for action in Action if action not in rules]:
        raise ValueError(f"NOTIFIED has no entry for {', '.join(missing)}")
    return rules


NOTIFIED = for_every_action(
    {
        Action.ACCOUNT_CREATED: administrators_or_person,
        Action.ACCOUNT_UPDATED: owners_if_loosened,
        Action.SERVICE_USER_CREATED: administrators_or_person_if_keys_changed,
        Action.SERVICE_USER_UPDATED: administrators_before_and_after,
        Action.SERVICE_USER_DELETED: administrators_or_person_if_keys_changed,
        Action.API_KEY_GENERATED: administrators_or_person_and_owners_if_by_operator,
        Action.API_KEY_ROTATED: administrators_or_person_and_owners_if_by_operator,
        Action.API_KEY_REVOKED: administrators_or_person,
        Action.API_KEY_UPDATED: key_holder_if_loosened,
        Action.API_KEY_REFUSED: nobody,
        Action.API_KEY_ENDING: administrators_or_person,
        Action.API_KEY_LEAKED: administrators_or_person_and_owners,
        Action.USER_INVITED: person_and_owners_if_owner,
        Action.USER_ACTIVATED: person_and_owners_if_owner,
        Action.USER_UPDATED: person_if_role_changed,
        Action.USER_REVOKED: person_on_revocation,
        Action.PASSKEY_ADDED: administrators_or_person,
        Action.PASSKEY_REMOVED: administrators_or_person,
        Action.PASSKEY_ENDING: administrators_or_person,
        Action.PASSKEY_CODE_REQUESTED: administrators_or_person,
        Action.SIGNED_IN: person_if_signed_in_elsewhere,
        Action.SIGNED_OUT: nobody,
    }
)
"""Who is notified of each action (product page: who-is-notified).

To notify somebody else, add a rule above and name it here.
An action whose rule notifies anybody also needs an email in ``chalicelib.mail.messages``.
"""


def addressees(action: Action, occurrence: Occurrence) -> Addressees:
    """Return whom an event is addressed to."""
    return NOTIFIED[action](occurrence)


class EventKey(NamedTuple):
    """The key of an event."""

    account: str
    id: str


class RecipientLookup(NamedTuple):
    """People by folded username and accounts by id, as a strongly consistent read found them."""

    people: dict[str, UserSummary]
    accounts: dict[str, AccountSummary]


class RecipientReason(NamedTuple):
    """Why somebody is notified."""

    owner: bool = False
    """They are an OWNER, and the Service User has no Administrator left."""
    person: bool = False
    """It is about themselves."""
    every_owner: bool = False
    """They are an OWNER, and every OWNER is told."""


ADMINISTRATOR = RecipientReason()
OWNER = RecipientReason(owner=True)
PERSON = RecipientReason(person=True)
EVERY_OWNER = RecipientReason(every_owner=True)


class Recipient(NamedTuple):
    """Somebody to be notified. ``name`` is their folded username, under which the event records them.

    ``role`` is what an Administrator or OWNER can do about it; None for the person it is about.
    """

    name: str
    username: str
    email: str
    why: RecipientReason
    role: Role | None = None


class Outbox(Protocol):
    """The events as an outbox. ``chalicelib.store`` implements it on DynamoDB.

    ``lease`` is the end of a claim, by which it is told from every other claim of the event. A
    method that answers False found that the lease is no longer ours, and left the outbox to whoever
    holds the next one; a mark is made all the same, for what it says has happened.
    """

    def claim(self, key: EventKey, now: int, lease: int, *, held: bool = False) -> Event | None:
        """Claim a pending event that is due, until ``lease``; None if it is not pending, or not due.

        With ``held``, also one that is held for a digest and not due yet. It is held no longer once claimed.
        """
        ...

    def mark_notified(self, key: EventKey, name: str, now: int, lease: int, renewed: int | None) -> bool:
        """Mark somebody as notified, and renew the lease; with None the event is no longer pending."""
        ...

    def mark_undeliverable(self, key: EventKey, name: str, why: str, lease: int, renewed: int | None) -> bool:
        """Mark somebody as undeliverable, and renew the lease; with None the event is no longer pending."""
        ...

    def postpone(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Release a claimed event, to be retried at ``due_at``."""
        ...

    def hold(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Give a claimed event back, to go into a digest at ``due_at``."""
        ...

    def held(self, event: Event, limit: int) -> list[EventKey]:
        """Return up to ``limit`` other events about the same subject that are held.

        They may be as they were a moment ago.
        """
        ...

    def notified_since(self, event: Event, since: int) -> dict[str, list[int]]:
        """Return when each recipient was notified of events like this one, made since then.

        That is of the same action about the same subject. They may be as they were a moment ago.
        """
        ...

    def finish(self, key: EventKey, lease: int) -> bool:
        """End a claimed event of which everybody has been notified: it is no longer pending."""
        ...

    def due(self, shard: str, now: int, limit: int, after: object) -> tuple[list[EventKey], object]:
        """Return up to ``limit`` pending events of a shard that are due, the longest due first.

        Starts after what an earlier call answered beside them (None: from the first), and answers
        None there when there are no more.
        """
        ...

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        """Return the Users among folded usernames, and accounts, strongly consistent."""
        ...

    def enrol(self, name: str, enrolment: str, digest: str, until: int) -> bool:
        """Let a code of this digest (hex) get a passkey until then; False if the wish for one is void."""
        ...

    def invite(self, name: str, invitation: str, digest: str, until: int) -> bool:
        """Add a token's digest (hex) to an invitation, valid until then; False if it has ended."""
        ...


def administrators(event: Event, directory: RecipientLookup) -> list[Recipient]:
    """Return the Administrators that an event names and who are still entitled, by username."""
    return [
        Recipient(name, user.username, user.email, ADMINISTRATOR, user.role)
        for name, user in _found(event.administrators, directory)
        if permissions.is_administrator(user, event)
    ]


def owners_stand_in(event: Event, administrators: list[Recipient]) -> bool:
    """Return whether the OWNERs are told of an event for want of Administrators.

    Where the event changed them, of those before: who heard of it until then hears of the change.
    """
    if "administrators" not in event.changes:
        return not administrators
    before = event.changes["administrators"][0].split(", ")
    return not any(one.name in before for one in administrators)


def owners(event: Event, directory: RecipientLookup, why: RecipientReason = OWNER) -> list[Recipient]:
    """Return the OWNERs of an event's account, by username: all, or those told for want of Administrators.

    The person whom the event is about is not among them: they are told as that person.
    """
    account = directory.accounts.get(event.account)
    links = account.owners if account else {}
    about = fold_username(event.subject.username) if event.audience is Audience.PERSON_AND_OWNERS else ""
    return [
        Recipient(name, user.username, user.email, why, user.role)
        for name, user in _found(links, directory)
        if name != about and permissions.is_owner(user, event.account, links)
    ]


def changes_owners(event: Event) -> bool:
    """Return whether an event is about who is an OWNER: invited, activated, raised, lowered, revoked, let in.

    The operator has an alarm of it.
    """
    if event.action in (Action.USER_INVITED, Action.USER_UPDATED, Action.USER_REVOKED):
        return Role.OWNER.value in event.changes.get("role", ())
    if event.action is Action.ACCOUNT_CREATED:
        return True
    return event.audience is Audience.PERSON_AND_OWNERS


def person(event: Event) -> list[Recipient]:
    """Return the User whom an event is about, at the address they had then: also one just revoked."""
    subject = event.subject
    return [Recipient(fold_username(subject.username), subject.username, subject.email, PERSON)]


def retry_delay(attempts: int, chance: float) -> int:
    """Return the seconds to wait after so many tries; ``chance`` in [0, 1) spreads those who wait.

    Between three quarters of the pause and all of it, so that what failed together is not tried together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(max(attempts, 1) - 1, 16))
    return int(longest * (0.75 + 0.25 * chance))


def _found(links: Mapping[str, str], directory: RecipientLookup) -> Iterator[tuple[str, UserSummary]]:
    for name in sorted(links):
        if (user := directory.people.get(name)) is not None:
            yield name, user
