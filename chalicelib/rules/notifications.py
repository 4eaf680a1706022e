"""Who is told of an event, and when to try again: decided on what was read, told to a store.

The events are their own outbox. An event that people are to be told of waits until each of them
has been; whoever mails it first claims it for a while, then marks each person as they are told.
"""

from typing import NamedTuple, Protocol

from chalicelib.rules.model import Event, Value
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import Role

SHARDS = tuple("01234567")
"""The values of ``waiting``: the index of waiting events is spread over so many partitions."""

LEASE = 120
"""Seconds for which a claimed event is left to whoever claimed it; each mark renews them."""

FIRST_PAUSE = 60
LONGEST_PAUSE = 21_600
"""Seconds between two tries: one minute, doubled at each try, and never more than six hours."""


class EventKey(NamedTuple):
    """Which event."""

    account: str
    id: str


class Person(Value, frozen=True, kw_only=True):
    """What the mail needs to know of a User as they are now."""

    username: str
    account: str
    email: str
    role: Role
    membership: str


class AccountSummary(Value, frozen=True, kw_only=True):
    """What the mail needs to know of an account as it is now."""

    id: str
    name: str
    owners: dict[str, str] = {}


class RecipientLookup(NamedTuple):
    """People by folded username and accounts by id, as a strongly consistent read found them."""

    people: dict[str, Person]
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
        """Answer up to ``limit`` waiting events of a shard that are due, the longest due first.

        Starts after what an earlier call answered beside them (None: from the first), and answers
        None there when there are no more.
        """
        ...

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        """Answer the Users among folded usernames, and accounts, strongly consistent."""
        ...

    def invite(self, name: str, invitation: str, digest: str, until: int) -> bool:
        """Let a token of this digest (hex) open an invitation until then; False if the invitation is void."""
        ...


def administrators(event: Event, directory: RecipientLookup) -> list[Recipient]:
    """Answer the Administrators an event names who are entitled still.

    They are in the account, with the membership they were made Administrator with, and their role
    is CLUSTER_ADMIN or OWNER (product page: an Administrator revoked from the account loses access).
    """
    return _entitled(event, event.administrators, directory, Role.CLUSTER_ADMIN, ADMINISTRATOR)


def owners(event: Event, directory: RecipientLookup) -> list[Recipient]:
    """Answer the OWNERs of an event's account, who hear of it when no Administrator is left."""
    tenancy = directory.accounts.get(event.account)
    links = tenancy.owners if tenancy else {}
    return _entitled(event, links, directory, Role.OWNER, OWNER)


def person(event: Event) -> list[Recipient]:
    """Answer the person whom an event is about, at the address they had: also one just revoked."""
    subject = event.subject
    return [Recipient(fold_username(subject.username), subject.username, subject.email, PERSON)]


def retry_delay(attempts: int, chance: float) -> int:
    """Answer the seconds to wait after so many tries; ``chance`` in [0, 1) spreads those who wait.

    Between three quarters of the pause and all of it, so that what failed together is not tried together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(max(attempts, 1) - 1, 16))
    return int(longest * (0.75 + 0.25 * chance))


def _entitled(
    event: Event, links: dict[str, str], directory: RecipientLookup, least: Role, why: RecipientReason
) -> list[Recipient]:
    return [
        Recipient(name, found.username, found.email, why, found.role)
        for name, membership in sorted(links.items())
        if (found := directory.people.get(name)) is not None
        and found.account == event.account
        and found.membership == membership
        and found.role.covers(least)
    ]
