"""What the rules ask of a store. ``chalicelib.store`` keeps these promises on DynamoDB."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from chalicelib.rules.credentials import Credential
from chalicelib.rules.errors import ApiError
from chalicelib.rules.model import Account, Challenge, Event, Inviter, Principal, ServiceUser, User
from chalicelib.rules.roles import KeyType

if TYPE_CHECKING:
    from chalicelib.rules.limits import Limits

P = TypeVar("P", bound=Principal)


class Add(NamedTuple):
    """A new Principal; refused where the username or the email is taken."""

    principal: Principal
    username_taken: ApiError
    email_taken: ApiError


class Replace(NamedTuple):
    """A Principal as it is from now on; refused where it is no longer the version that was read.

    Refused too where the key of type ``unused`` was used meanwhile, of which no version tells.
    """

    old: Principal
    new: Principal
    changed: ApiError
    unused: KeyType | None = None


class StillEntitled(NamedTuple):
    """The caller is at the commit what they were at sign-in: same account, role, membership and credential.

    So a call that was under way when its caller was revoked, or their session ended, changes nothing
    afterwards.
    """

    caller: Principal
    credential: Credential
    ended: ApiError


class Remove(NamedTuple):
    """A Principal that goes, and its address with it; refused where it has changed since it was read.

    With ``any_version`` it is refused only where it is another Principal by now, or a User of another role
    or invitation: of those, other writes depend. ``caller`` are the caller's rights where they remove
    themselves, since a transaction cannot name an item twice.
    """

    old: ServiceUser | User
    changed: ApiError
    any_version: bool = False
    caller: StillEntitled | None = None


class RevokeKey(NamedTuple):
    """A key that goes, and its predecessor with it, whatever version of the Principal there is.

    Refused where there is no key of the type, or another Principal by now. ``caller`` are the caller's rights
    where the key is their own.
    """

    holder: ServiceUser | User
    key_type: KeyType
    version: str
    changed: ApiError
    caller: StillEntitled | None = None


class AddAccount(NamedTuple):
    """A new account."""

    account: Account
    taken: ApiError


class UpdateAccount(NamedTuple):
    """An account's name, policy and ``machines_manage_owners`` from now on.

    Refused where it is no longer the version that was read, or has fewer than ``owners`` OWNERs who have
    activated.
    """

    old: Account
    new: Account
    owners: int
    refused: ApiError


class GainOwner(NamedTuple):
    """A User counts among the account's OWNERs.

    Refused where it has ``most`` already.
    """

    user: User
    gone: ApiError
    most: int
    full: ApiError


class LoseOwner(NamedTuple):
    """A User leaves the account's list of activated OWNERs; refused if they are the only one on it."""

    user: User
    last: ApiError


class MachineMayManageOwners(NamedTuple):
    """The account still lets machines manage OWNERs."""

    account: str
    refused: ApiError


class OtherOwner(NamedTuple):
    """The account has at least two OWNERs who have activated."""

    account: str
    refused: ApiError


class InviterIsOwner(NamedTuple):
    """Whoever invited somebody is still an OWNER of the account, and the same one."""

    account: str
    inviter: Inviter
    ended: ApiError


class Count(NamedTuple):
    """Principals of a kind that an account has more of, or with a negative ``by`` fewer.

    More are refused where it has ``most`` already; fewer never are.
    """

    account: str
    kind: type[Principal]
    by: int
    most: int
    full: ApiError


class CountChange(NamedTuple):
    """A change in a minute (since 1970) of an account; refused where there were ``most`` already.

    The count is spread, and so approximate: it refuses below ``most`` by a rare chance, and lets at most half
    as many again through.
    """

    account: str
    minute: int
    most: int
    used_up: ApiError


class CountInvitation(NamedTuple):
    """An invitation to a folded address.

    Refused within ``pause`` seconds of the last, or where ``most`` were sent that day.
    ``used_up`` returns the refusal, told when the last was sent and how many were that day.
    """

    account: str
    email: str
    now: int
    pause: int
    most: int
    used_up: Callable[[int, int], ApiError]


class UseChallenge(NamedTuple):
    """A challenge that is used up; refused where it was already."""

    digest: bytes
    used: ApiError


Write = (
    Add
    | Replace
    | Remove
    | RevokeKey
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
    | CountInvitation
    | UseChallenge
)


class Page(NamedTuple, Generic[P]):
    """Part of a list. ``after`` is where the next part starts, None at the end."""

    members: tuple[P, ...]
    after: str | None


class EventQuery(NamedTuple):
    """Which events of an account are asked for: those that meet every condition given.

    ``username`` is whom it was done to and ``actor`` who did it, ``action`` what was done; ``since`` and
    ``until`` are times in seconds, the first included and the last not. Newest first unless ``oldest_first``.
    """

    username: str | None = None
    actor: str | None = None
    action: str | None = None
    since: int | None = None
    until: int | None = None
    oldest_first: bool = False


class UnknownEvent(NamedTuple):
    """An event that this version has no type for, such as one a later version stored before a roll-back.

    ``fields`` are as they are stored, without what only the outbox needs.
    """

    fields: dict[str, Any]


class EventPage(NamedTuple):
    """Part of the trail, in the order asked for. ``after`` is where the next part starts, None at the end.

    A page can have fewer events than asked for, or none, while there is more: a condition without an index
    is judged on a bounded number of events.
    """

    events: tuple[Event | UnknownEvent, ...]
    after: str | None


class Directory(Protocol):
    """Principals and accounts, and what the operator lets them do."""

    @property
    def limits(self) -> "Limits":
        """The budgets and quotas of the stack."""
        ...

    def principal(self, username: str) -> Principal | None:
        """Return the Principal of a username in any case, strongly consistent, in one read; None if none."""
        ...

    def username_of(self, digest: bytes) -> str | None:
        """Return the folded username that a key's pointer names, strongly consistent, in one read.

        None if there is no pointer. It decides nothing: the key is good only if that principal has a key of
        the digest.
        """
        ...

    def usernames_of(self, digests: "frozenset[bytes]") -> dict[bytes, str]:
        """Return the folded usernames that pointers name, by digest, in one read (100 at most)."""
        ...

    def usernames_by_last5(self, account: str, last5: str, most: int) -> frozenset[str]:
        """Return the folded usernames that pointers of an account name for a last five, in one read.

        At most ``most`` pointers are read; they may be as they were a moment ago.
        """
        ...

    def principals(self, usernames: "frozenset[str]") -> dict[str, Principal]:
        """Return the Principals among folded usernames, strongly consistent, in one read (100 at most)."""
        ...

    def users(self, usernames: "frozenset[str]") -> dict[str, User]:
        """Return the Users among folded usernames, strongly consistent, in one read (100 at most)."""
        ...

    def account(self, account: str) -> Account | None:
        """Return an account, strongly consistent, in one read; None if there is none."""
        ...

    def page(self, account: str, kind: type[P], limit: int, after: str | None, prefix: str = "") -> Page[P]:
        """Return up to ``limit`` of an account's Users or ServiceUsers, by folded username, in one read.

        Only those whose folded username begins with ``prefix``.
        """
        ...

    def commit(self, event: Event | None, *writes: Write, patient: bool = False) -> None:
        """Make all writes and put the event on record, or none of it.

        No event is for what changes nobody's rights: that a passkey confirmed a session.

        ``patient`` waits for other transactions in the way for seconds, as a revocation does.

        Raises the fault of the first write that is refused; Conflict where another transaction is
        always in the way; Busy where DynamoDB did not answer in time.
        """
        ...

    def record_use(self, principal: Principal, digest: bytes, now: int) -> None:
        """Note that the secret of a key, or of a predecessor, was used.

        Never raises: no note is worth a sign-in.
        """
        ...

    def store_challenge(self, digest: bytes, challenge: Challenge) -> None:
        """Keep a challenge by the digest of its cookie's secret until it ends."""
        ...

    def challenge(
        self, digest: bytes, credential_id: bytes | None = None
    ) -> tuple[Challenge | None, str | None]:
        """Return a challenge, and the folded username that a credential id belongs to, in one read.

        Strongly consistent; None for what there is not.
        """
        ...

    def record_session_use(self, user: User, session: str, digest: bytes, now: int) -> None:
        """Note that a session was used. Never raises: no note is worth a page."""
        ...

    def record_refusal(self, principal: Principal, key_type: KeyType, since: int, event: Event) -> None:
        """Put a refusal on record, unless one of this key is there since ``since``. Never raises."""
        ...


class Trail(Protocol):
    """The events."""

    def events(self, account: str, query: EventQuery, limit: int, after: str | None) -> EventPage:
        """Return up to ``limit`` of an account's events, from the one after the id ``after``.

        One read, and with an ``actor`` alone two. Raise ValidationError for an ``after`` that is not
        between ``since`` and ``until``.
        """
        ...
