"""Who is notified of an event by email, and when to retry.

``NOTIFIED`` decides who an event is addressed to when it is written; :func:`administrators`,
:func:`owners` and :func:`person` decide who of them is still entitled when the email is sent.

The events are their own outbox. An event is pending until every recipient has been notified; whoever
mails it first claims it for a while (a lease), then marks each recipient as notified.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from chalicelib.rules import permissions
from chalicelib.rules.model import (
    Account,
    AccountSummary,
    Action,
    Actor,
    Audience,
    Event,
    KeyChange,
    Principal,
    ServiceUser,
    User,
    UserSummary,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import Role

SHARDS = tuple("01234567")
"""The values of ``waiting``: the index of waiting events is spread over so many partitions."""

LEASE = 120
"""Seconds for which a claimed event is left to whoever claimed it; each mark renews them."""

FIRST_PAUSE = 60
LONGEST_PAUSE = 21_600
"""Seconds between two tries: one minute, doubled at each try, and never more than six hours."""


class Occurrence(NamedTuple):
    """What a rule decides on who is notified.

    The subject as it was before (as created, if it is new), what happened to its keys, the subject as it is
    from now on (None if that is gone, or the same), and who did it.
    """

    subject: Principal | Account
    keys: tuple[KeyChange, ...]
    new: Principal | Account | None = None
    actor: Actor | None = None


class Addressees(NamedTuple):
    """Whom an event is addressed to. ``administrators`` maps folded usernames to membership ids."""

    audience: Audience
    administrators: dict[str, str] = {}


AudienceRule = Callable[[Occurrence], Addressees]
"""Decides who is notified of one action."""


def nobody(_occurrence: Occurrence) -> Addressees:
    """Notify nobody."""
    return Addressees(Audience.NOBODY)


def holder(occurrence: Occurrence) -> Addressees:
    """Notify the Administrators of a Service User; a User of what concerns themselves."""
    subject = occurrence.subject
    if isinstance(subject, ServiceUser):
        return Addressees(Audience.ADMINISTRATORS, subject.administrators)
    return Addressees(Audience.PERSON)


def holder_if_keys_changed(occurrence: Occurrence) -> Addressees:
    """Notify as :func:`holder` does, but only of keys that were issued or revoked."""
    return holder(occurrence) if occurrence.keys else nobody(occurrence)


def person_if_signed_in_elsewhere(occurrence: Occurrence) -> Addressees:
    """Notify a User of a sign-in by a passkey from another address than the last one by it."""
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, User) and isinstance(new, User):
        addresses = {id_: passkey.last_ip for id_, passkey in old.passkeys.items()}
        if any(passkey.last_ip != addresses.get(id_) for id_, passkey in new.passkeys.items()):
            return holder(occurrence)
    return nobody(occurrence)


def for_every_action(rules: Mapping[Action, AudienceRule]) -> Mapping[Action, AudienceRule]:
    """Return ``rules``. Raises ValueError if an action has none: nobody is left out by mistake."""
    if missing := [action.value for action in Action if action not in rules]:
        raise ValueError(f"NOTIFIED has no entry for {', '.join(missing)}")
    return rules


NOTIFIED = for_every_action(
    {
        Action.ACCOUNT_CREATED: holder,
        Action.ACCOUNT_UPDATED: nobody,
        Action.SERVICE_USER_CREATED: holder_if_keys_changed,
        Action.SERVICE_USER_UPDATED: holder_if_keys_changed,
        Action.SERVICE_USER_DELETED: holder_if_keys_changed,
        Action.API_KEY_GENERATED: holder,
        Action.API_KEY_ROTATED: holder,
        Action.API_KEY_REVOKED: holder,
        Action.API_KEY_UPDATED: nobody,
        Action.API_KEY_REFUSED: nobody,
        Action.API_KEY_ENDING: holder,
        Action.USER_INVITED: holder,
        Action.USER_ACTIVATED: holder,
        Action.USER_UPDATED: holder_if_keys_changed,
        Action.USER_REVOKED: holder_if_keys_changed,
        Action.PASSKEY_ADDED: holder,
        Action.PASSKEY_REMOVED: holder,
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
    """Which event."""

    account: str
    id: str


class RecipientLookup(NamedTuple):
    """People by folded username and accounts by id, as a strongly consistent read found them."""

    people: dict[str, UserSummary]
    accounts: dict[str, AccountSummary]


class RecipientReason(NamedTuple):
    """Why somebody is told."""

    owner: bool = False
    """They are an OWNER, and no Administrator of the Service User is left."""
    person: bool = False
    """It is about themselves."""


ADMINISTRATOR = RecipientReason()
OWNER = RecipientReason(owner=True)
PERSON = RecipientReason(person=True)


class Recipient(NamedTuple):
    """Somebody to be told. ``name`` is their folded username, by which the event remembers them.

    ``role`` is what an Administrator or OWNER can do about it; None for the person it is about.
    """

    name: str
    username: str
    email: str
    why: RecipientReason
    role: Role | None = None


class Outbox(Protocol):
    """The events as an outbox. ``chalicelib.store`` keeps these promises on DynamoDB.

    ``lease`` is the end of a claim, by which it is told from every other claim of the event. A
    method that answers False found that the lease is no longer ours, and left the outbox to whoever
    holds the next one; a mark is made all the same, for what it says has happened.
    """

    def claim(self, key: EventKey, now: int, lease: int) -> Event | None:
        """Take a waiting event that is due until ``lease``; None if it is not waiting, or not due."""
        ...

    def told(self, key: EventKey, name: str, now: int, lease: int, renewed: int | None) -> bool:
        """Mark somebody as told, and renew the lease, or with None end the waiting."""
        ...

    def refused(self, key: EventKey, name: str, why: str, lease: int, renewed: int | None) -> bool:
        """Mark somebody as one whom mail cannot reach, and renew the lease, or with None end the waiting."""
        ...

    def postpone(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Give a claimed event back, to be tried at ``due_at``."""
        ...

    def finish(self, key: EventKey, lease: int) -> bool:
        """End the waiting of a claimed event that leaves nobody to be told."""
        ...

    def due(self, shard: str, now: int, limit: int, after: object) -> tuple[list[EventKey], object]:
        """Return up to ``limit`` waiting events of a shard that are due, the longest due first.

        Starts after what an earlier call answered beside them (None: from the first), and answers
        None there when there are no more.
        """
        ...

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        """Return the Users among folded usernames, and accounts, strongly consistent."""
        ...

    def invite(self, name: str, invitation: str, digest: str, until: int) -> bool:
        """Let a token of this digest (hex) open an invitation until then; False if the invitation is void."""
        ...


def administrators(event: Event, directory: RecipientLookup) -> list[Recipient]:
    """Return the Administrators that an event names and who are still entitled, by username."""
    return [
        Recipient(name, user.username, user.email, ADMINISTRATOR, user.role)
        for name, user in _found(event.administrators, directory)
        if permissions.is_administrator(user, event)
    ]


def owners(event: Event, directory: RecipientLookup) -> list[Recipient]:
    """Return the OWNERs of an event's account, by username: they are notified if no Administrator is left."""
    account = directory.accounts.get(event.account)
    links = account.owners if account else {}
    return [
        Recipient(name, user.username, user.email, OWNER, user.role)
        for name, user in _found(links, directory)
        if permissions.is_owner(user, event.account, links)
    ]


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
