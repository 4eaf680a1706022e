"""What the sweep (``chalicelib.expiry``) asks of a store; ``chalicelib.store`` implements it on DynamoDB."""

from typing import NamedTuple, Protocol

from chalicelib.rules.model import Account, Event, Notice, Principal, User
from chalicelib.rules.roles import KeyType


class Position(NamedTuple):
    """How far the sweep of a day has come: ``after`` a position in the table, or ``done``.

    ``version`` is new at every move. ``contended`` are the folded usernames of principals that others kept
    changing, which the day's later runs come back to.
    """

    day: int
    version: str
    after: str | None = None
    done: bool = False
    contended: tuple[str, ...] = ()


class Page(NamedTuple):
    """A page of the table: principals with their position, None for one that cannot be read."""

    entries: tuple[tuple[str, Principal | None], ...]
    after: str | None


class SweepChange(NamedTuple):
    """A change of a principal's keys, and the items that must not have changed since the decision.

    ``notices`` are the new notices, None to remove one; ``revoked`` are the keys to revoke.
    ``passkey_notices`` and ``removed_passkeys`` are the same for a User's passkeys, by their ids. The change
    is made only if the principal, its keys' uses, the ``others`` and the ``account``, if given, are still
    what they were at the decision.
    """

    old: Principal
    version: str
    notices: dict[KeyType, Notice | None]
    revoked: tuple[KeyType, ...]
    events: tuple[Event, ...]
    account: Account | None = None
    others: tuple[Principal, ...] = ()
    passkey_notices: dict[str, Notice | None] = {}
    removed_passkeys: tuple[str, ...] = ()


class SweepStore(Protocol):
    """The store as the sweep sees it."""

    def position(self) -> Position | None:
        """Return the position of the sweep; None before the first one."""
        ...

    def move(self, old: Position | None, new: Position) -> bool:
        """Store the new position. Return False if another run has moved it from ``old``."""
        ...

    def page(self, after: str | None) -> Page:
        """Return the principals after a position in the table, eventually consistent."""
        ...

    def principal(self, username: str) -> Principal | None:
        """Return a principal, strongly consistent."""
        ...

    def users(self, usernames: frozenset[str]) -> dict[str, User]:
        """Return the Users with these folded usernames, strongly consistent."""
        ...

    def account(self, account: str) -> Account | None:
        """Return an account, strongly consistent."""
        ...

    def notices(self, account: str, ids: tuple[str, str]) -> tuple[Event | None, Event | None]:
        """Return two events of an account, strongly consistent; None for one that has been deleted."""
        ...

    def add_pointers(self, principal: Principal) -> bool:
        """Store a pointer for every key of a principal. Return False if the principal has changed since."""
        ...

    def move_address(self, principal: Principal) -> bool:
        """Make an email unique in its account. Return False if the principal has changed since."""
        ...

    def apply(self, change: SweepChange) -> bool:
        """Make a change, all of it or nothing. Return False if an item has changed since the decision."""
        ...
