"""The interfaces of the store, as the rules use it. ``chalicelib.store`` implements them on DynamoDB."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from chalicelib.rules.credentials import Credential
from chalicelib.rules.errors import ApiError
from chalicelib.rules.model import Account, Challenge, Event, Inviter, Principal, ServiceUser, User
from chalicelib.rules.roles import KeyType

if TYPE_CHECKING:
    from chalicelib.rules.limits import Limits

P = TypeVar("P", bound=Principal)


class Add(NamedTuple):
    """Add a principal. Refused if the username is taken, or the email within its account.

    ``email_taken`` is None for the first principal of a new account.
    """

    principal: Principal
    username_taken: ApiError
    email_taken: ApiError | None


class Replace(NamedTuple):
    """Replace a principal. Refused if it is no longer the version that was read.

    Also refused if the key of type ``unused`` has been used since it was read (a use makes no new version),
    or if somebody has a new passkey's credential id already (``passkey_taken``).
    """

    old: Principal
    new: Principal
    changed: ApiError
    unused: KeyType | None = None
    passkey_taken: ApiError | None = None


class StillEntitled(NamedTuple):
    """Require that the caller's account, role, membership and credential are still what they were at sign-in.

    And that the caller was not suspended since.

    So a call that is in progress when its caller is revoked, or their session ends, changes nothing.
    """

    caller: Principal
    credential: Credential
    ended: ApiError


class Remove(NamedTuple):
    """Remove a principal and its email address. Refused if it has changed since it was read.

    With ``any_version``, refused only if the username has another principal now, or the User another role,
    invitation or suspension, on which other writes of the transaction depend. ``caller`` is the check of the
    caller's rights if they remove themselves: a transaction may name an item only once.
    """

    old: ServiceUser | User
    changed: ApiError
    any_version: bool = False
    caller: StillEntitled | None = None


class RevokeKey(NamedTuple):
    """Revoke a key and its predecessor, whatever version the principal has.

    Refused if there is no key of the type, or the username has another principal now. ``caller`` is the check
    of the caller's rights if the key is their own. With ``predecessor``, only the predecessor with this
    digest is revoked; refused if the key has no such one now.
    """

    holder: ServiceUser | User
    key_type: KeyType
    version: str
    changed: ApiError
    caller: StillEntitled | None = None
    predecessor: bytes | None = None


class Suspend(NamedTuple):
    """Write that a principal is suspended, whatever version it has; a User's sessions and code end.

    Refused if it is suspended already, if the username has another principal now, or the User another role or
    invitation, on which other writes of the transaction depend. ``new`` has what is written.
    """

    old: ServiceUser | User
    new: Principal
    changed: ApiError


class AddAccount(NamedTuple):
    """Add an account."""

    account: Account
    taken: ApiError


class UpdateAccount(NamedTuple):
    """Change an account's name, policy and ``machines_manage_owners``.

    Refused if it is no longer the version that was read, or has fewer than ``owners`` in
    ``Account.owners``.
    """

    old: Account
    new: Account
    owners: int
    refused: ApiError


class GainOwner(NamedTuple):
    """Add a User to ``Account.owners``. Refused if it already has ``most``."""

    user: User
    gone: ApiError
    most: int
    full: ApiError


class LoseOwner(NamedTuple):
    """Remove a User from ``Account.owners``. Refused if they are the last OWNER in it."""

    user: User
    last: ApiError


class MachineMayManageOwners(NamedTuple):
    """Require that the account still lets machines manage OWNERs."""

    account: str
    refused: ApiError


class OtherOwner(NamedTuple):
    """Require that the account has at least two OWNERs in ``Account.owners``."""

    account: str
    refused: ApiError


class InviterIsOwner(NamedTuple):
    """Require that the inviter is still an OWNER of the account, not suspended, and the same principal.

    They must still have the key with which they invited, or its successor, or the passkey: whoever revokes a
    credential that somebody else has ends the invitations that were sent with it. At ``now`` (Unix time) the
    key must not have expired.
    """

    account: str
    inviter: Inviter
    now: int
    ended: ApiError


class Count(NamedTuple):
    """Add ``by`` to the number of an account's principals of a kind; ``by`` is negative for a removal.

    An addition is refused if the account already has ``most``. A removal never is.
    """

    account: str
    kind: type[Principal]
    by: int
    most: int
    full: ApiError


class CountChange(NamedTuple):
    """Count a change of an account in a minute (since 1970). Refused if there were ``most`` already.

    The count is spread over several counters, so it is approximate: rarely, it refuses a change below
    ``most``, and it accepts at most 1.5 times ``most``. Changes of another ``kind`` are counted apart.
    """

    account: str
    minute: int
    most: int
    used_up: ApiError
    kind: str = ""


class Emails(str, Enum):
    """Emails that a caller has sent to an address, and that have a budget."""

    INVITATION = "INVITATION"
    ACCOUNT_INVITATIONS = "ACCOUNT_INVITATIONS"
    PASSKEY_CODE = "PASSKEY_CODE"


class CountEmail(NamedTuple):
    """Count an email to a folded address or, if that is empty, to any address of an account.

    Refused within ``pause`` seconds of the last one, or if ``most`` were sent that day. ``used_up`` returns
    the error, given the time of the last one and the number sent that day.
    """

    account: str
    emails: Emails
    email: str
    now: int
    pause: int
    most: int
    used_up: Callable[[int, int], ApiError]


class CountCall(NamedTuple):
    """Count a call in a minute (since 1970) against the budget ``name``. Refused if there were ``most``."""

    name: str
    minute: int
    most: int
    used_up: ApiError


class UseChallenge(NamedTuple):
    """Use a challenge, which can be done once. Refused if it was used already."""

    digest: bytes
    used: ApiError


Write = (
    Add
    | Replace
    | Remove
    | RevokeKey
    | Suspend
    | StillEntitled
    | AddAccount
    | UpdateAccount
    | GainOwner
    | LoseOwner
    | MachineMayManageOwners
    | OtherOwner
    | InviterIsOwner
    | Count
    | CountChange
    | CountEmail
    | UseChallenge
)


class Page(NamedTuple, Generic[P]):
    """A page of a list. ``after`` is where the next page starts, None at the end."""

    members: tuple[P, ...]
    after: str | None


class Creation(NamedTuple):
    """A place in the index by creation: when a principal was created, and its folded username."""

    at: int
    username: str


class EventQuery(NamedTuple):
    """A query of an account's events: those that meet every condition given.

    ``username`` is the subject's and ``actor`` the actor's. ``since`` (inclusive) and ``until`` (exclusive)
    are in seconds. Newest first, unless ``oldest_first``.
    """

    username: str | None = None
    actor: str | None = None
    action: str | None = None
    since: int | None = None
    until: int | None = None
    oldest_first: bool = False


class UnknownEvent(NamedTuple):
    """An event that this version cannot read, such as one that a later version stored before a rollback.

    ``fields`` are as stored, without those that only the outbox needs.
    """

    fields: dict[str, Any]


class EventPage(NamedTuple):
    """A page of the trail, in the order asked for. ``after`` is where the next page starts, None at the end.

    A page can have fewer events than asked for, or none, although more follow: for a condition without an
    index, a bounded number of events is read for each page.
    """

    events: tuple[Event | UnknownEvent, ...]
    after: str | None


class Directory(Protocol):
    """The store of principals and accounts, and the limits that the operator set."""

    @property
    def limits(self) -> "Limits":
        """The budgets and quotas of the stack."""
        ...

    def is_readable(self, now: int) -> bool:
        """Return whether the store can be read, as seen a few seconds ago at most."""
        ...

    def principal(self, username: str) -> Principal | None:
        """Return the principal with a username, in any case, or None. Strongly consistent, in one read."""
        ...

    def username_of(self, digest: bytes) -> str | None:
        """Return the folded username in a key's pointer, strongly consistent, in one read.

        None if there is no pointer. A pointer proves nothing: the key is valid only if that principal has a
        key with the digest.
        """
        ...

    def usernames_of(self, digests: "frozenset[bytes]") -> dict[bytes, str]:
        """Return the folded usernames in the pointers of keys, by digest, in one read (100 at most)."""
        ...

    def usernames_by_last5(self, account: str, last5: str, most: int) -> frozenset[str]:
        """Return the folded usernames in an account's pointers with a last five, in one read.

        Reads at most ``most`` pointers, eventually consistent.
        """
        ...

    def principals(self, usernames: "frozenset[str]") -> dict[str, Principal]:
        """Return the principals with these folded usernames, strongly consistent, in one read (up to 100)."""
        ...

    def users(self, usernames: "frozenset[str]") -> dict[str, User]:
        """Return the Users with these folded usernames, strongly consistent, in one read (at most 100)."""
        ...

    def account(self, account: str) -> Account | None:
        """Return an account, strongly consistent, in one read; None if there is none."""
        ...

    def page(self, account: str, kind: type[P], limit: int, after: str | None, prefix: str = "") -> Page[P]:
        """Return up to ``limit`` of an account's Users or ServiceUsers, by folded username, in one read.

        Only those whose folded username begins with ``prefix``.
        """
        ...

    def account_and_users(
        self, account: str, usernames: "frozenset[str]"
    ) -> tuple[Account | None, dict[str, User]]:
        """Return an account, and the Users with these folded usernames: both in one read (99 at most)."""
        ...

    def creations(
        self, account: str, kind: type[Principal], most: int, after: Creation | None, *, newest_first: bool
    ) -> tuple[tuple[Creation, ...], Creation | None]:
        """Return the creations of an account's Users or ServiceUsers, in order, in one read.

        Also returns where the next read starts, None at the end. Reads at most ``most`` principals of both
        kinds, eventually consistent.
        """
        ...

    def commit(self, event: Event | None, *writes: Write, patient: bool = False) -> None:
        """Make all writes and record the event, or do nothing.

        ``event`` is None only for a change of nobody's rights: a passkey confirmed a session. With
        ``patient``, as for a revocation, retries for seconds while other transactions conflict.

        Raises the error of the first write that is refused, Conflict if other transactions always conflict,
        and Unavailable if DynamoDB does not respond in time.
        """
        ...

    def count_call(self, call: CountCall) -> None:
        """Count a call, in one write. Raises its error if its budget is used up."""
        ...

    def record_use(self, principal: Principal, digest: bytes, now: int) -> None:
        """Record that the secret of a key, or of a predecessor, was used.

        Never raises: a sign-in must not fail because its use could not be recorded.
        """
        ...

    def store_challenge(self, digest: bytes, challenge: Challenge) -> None:
        """Store a challenge under the digest of its cookie's secret, until it expires."""
        ...

    def challenge(
        self, digest: bytes, credential_id: bytes | None = None
    ) -> tuple[Challenge | None, str | None]:
        """Return a challenge, and the folded username that has a credential id; each None if there is none.

        Strongly consistent, in one read.
        """
        ...

    def record_session_use(self, user: User, session: str, digest: bytes, now: int) -> None:
        """Record that a session was used.

        Never raises: a page must not fail because the use could not be recorded.
        """
        ...

    def record_refusal(self, principal: Principal, key_type: KeyType, since: int, event: Event) -> None:
        """Record a refusal, unless one of this key was recorded since ``since``. Never raises."""
        ...


class Trail(Protocol):
    """The store of events."""

    def is_readable(self, now: int) -> bool:
        """Return whether the store can be read, as seen a few seconds ago at most."""
        ...

    def events(self, account: str, query: EventQuery, limit: int, after: str | None) -> EventPage:
        """Return up to ``limit`` of an account's events, starting after the event id ``after``.

        Raises ValidationError for an ``after`` that is not between ``since`` and ``until``.
        """
        ...
