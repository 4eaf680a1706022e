"""The stored items, as immutable values.

Times are whole seconds since 1970 (UTC) unless a name says otherwise. Field names are
snake_case here and camelCase where they are stored; nothing here knows where that is.
"""

from enum import Enum

import msgspec

from chalicelib.rules.roles import KeyType, Role


class Value(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An immutable value; fields at their default are not stored."""


class Cause(str, Enum):
    """Why something happened, if it is not simply what the actor asked for."""

    EXPIRY = "EXPIRY"
    POLICY_AGE = "POLICY_AGE"
    POLICY_INACTIVITY = "POLICY_INACTIVITY"
    ROLE_LOWERED = "ROLE_LOWERED"
    NETWORK_NOT_ALLOWED = "NETWORK_NOT_ALLOWED"
    USER_REVOKED = "USER_REVOKED"
    USER_INVITED_AGAIN = "USER_INVITED_AGAIN"
    SERVICE_USER_DELETED = "SERVICE_USER_DELETED"
    OPERATOR = "OPERATOR"
    LEAKED = "LEAKED"
    SHOWN_KEYS_ENDED = "SHOWN_KEYS_ENDED"
    SUSPENDED = "SUSPENDED"


ENDS = (Cause.EXPIRY, Cause.POLICY_AGE, Cause.POLICY_INACTIVITY)
"""The causes of which notices announce the end of a key."""


class Predecessor(Value, frozen=True):
    """The key a rotation replaced, which still works until ``until``.

    ``shown_to`` is the username of the principal that was shown it; empty if that was not recorded.
    ``leaked_at`` is when it was last reported as leaked, where the account does not revoke leaked keys.
    """

    digest: bytes
    last5: str
    until: int
    last_used_at: int | None = None
    ceiling: Role | None = None
    has_pointer: bool = False
    shown_to: str = ""
    leaked_at: int | None = None


class Notice(Value, frozen=True):
    """The expiry notices of a key.

    ``ends_at`` is the announced expiry; ``first_at`` and ``last_at`` are when the notices of 10 days and
    1 day were recorded, ``first_event`` and ``last_event`` the ids of those events. ``causes`` are
    why the announced ends were to come, ``last_causes`` those of the last notice; of what an earlier version
    recorded, any of them.
    """

    ends_at: int
    first_at: int
    last_at: int | None = None
    first_event: str = ""
    last_event: str = ""
    causes: tuple[Cause, ...] = ENDS
    last_causes: tuple[Cause, ...] = ENDS


class ApiKey(Value, frozen=True):
    """A credential of one type, without its secret: SHA-256 digest and last five characters.

    Empty ``networks`` allow every address. ``created_at`` is when the key was generated, ``rotated_at`` when
    the current secret replaced an earlier one, and ``rotated_by`` the username of the principal that rotated
    it.

    The key acts with the lower of its holder's role and its ``ceiling``: the role of the principal that was
    shown the secret. So when a Service User's role is raised, nobody who knows a secret gains rights by it.
    None is no ceiling: a User's own key, or one stored before keys had ceilings.

    ``revoked_predecessors`` are the beginnings of the digests of predecessors that were revoked alone: what
    was invited with one of them is withdrawn.

    ``first`` is the beginning of the digest of the first secret, which the key keeps when it is rotated: by
    it, two keys that were generated one after the other in one second are not the same. It is empty in keys
    that were stored before it was recorded.

    ``has_pointer``: the key has a pointer, by which it is found by its value. A key stored before there were
    pointers gets one from the daily sweep.

    ``life_days``: nobody chose ``expires_at``. It is that many days after the secret was made, the longest
    life of the key's type, and a rotation counts them anew.
    """

    digest: bytes
    last5: str
    created_at: int
    created_by: str
    rotated_at: int | None = None
    expires_at: int | None = None
    last_used_at: int | None = None
    refused_at: int | None = None
    networks: tuple[str, ...] = ()
    predecessor: Predecessor | None = None
    notice: Notice | None = None
    ceiling: Role | None = None
    rotated_by: str = ""
    has_pointer: bool = False
    leaked_at: int | None = None
    revoked_predecessors: tuple[bytes, ...] = ()
    life_days: int | None = None
    first: bytes = b""


class Principal(Value, frozen=True, kw_only=True, tag_field="kind"):
    """A principal: a User or a Service User.

    ``version`` is a random string, new at every change except a use. Writes are conditional on it, and it is
    a Service User's ETag. ``stale`` belongs to the store: attributes of removed secrets, which the next
    change removes. ``budget_full_at`` is when the budget of changes is full again, ``names_full_at`` that of
    changes of names for people (:mod:`chalicelib.rules.limits`). ``email_by_account``: the email is stored as
    unique in its account; version 1.0 stored it as unique in the whole table.

    While ``suspended_at`` is set, the principal is refused wherever it signs in; nothing else of it changes.
    ``suspended_by`` is the username of whoever suspended it.
    """

    username: str
    account: str
    email: str
    role: Role
    version: str
    created_at: int
    display_name: str = ""
    keys: dict[KeyType, ApiKey] = {}
    budget_full_at: int | None = None
    names_full_at: int | None = None
    stale: tuple[tuple[str, ...], ...] = ()
    email_by_account: bool = False
    suspended_at: int | None = None
    suspended_by: str = ""


class ServiceUser(Principal, frozen=True, kw_only=True, tag="SERVICE_USER"):
    """A machine identity. ``administrators`` maps folded usernames to membership ids.

    ``id`` tells it from an earlier or later Service User of the same username. ``description`` and ``labels``
    (values by name) are for people and their tools; no rule reads them.
    """

    id: str
    administrators: dict[str, str] = {}
    description: str = ""
    labels: dict[str, str] = {}


class Inviter(Value, frozen=True):
    """The OWNER who invited somebody. ``id`` is a User's membership, or the id of a Service User.

    They did so with a USER_MANAGEMENT key or, in the console, with a ``passkey``, which is its id.
    ``key_created_at`` is when the key was generated (Unix time) and ``key_first`` its ``first``: a rotation
    changes neither. ``key`` is the beginning of the digest of the secret that was presented. All four are
    empty if they were not recorded (version 1.0), or if somebody invited themselves.
    """

    machine: bool
    username: str
    id: str
    key_created_at: int | None = None
    key: bytes = b""
    key_first: bytes = b""
    passkey: str = ""


class Invitation(Value, frozen=True):
    """An open invitation. ``digests`` maps each mailed token's digest (hex) to its expiry.

    It is valid only while the ``inviter`` is an OWNER of the account, and while the key or passkey that they
    sent it with is not revoked; None if it was stored before inviters were recorded. A token is generated
    with its email, so that it exists nowhere else. An email that is sent again has a new token, and the
    earlier one stays valid.

    ``again``: the User had activated before, by an earlier invitation.
    """

    id: str
    digests: dict[str, int] = {}
    inviter: Inviter | None = None
    again: bool = False


class Passkey(Value, frozen=True, kw_only=True):
    """A person's public key, with which they sign in to the console (WebAuthn).

    ``public_key`` is a SubjectPublicKeyInfo (DER), ``algorithm`` its COSE number. ``counter`` is the
    authenticator's signature counter, 0 for one that has none. ``last_ip`` is the address of the last
    sign-in. ``budget_full_at`` is when the budget of its uses is full again (:mod:`chalicelib.rules.limits`).
    """

    credential_id: bytes
    public_key: bytes
    algorithm: int
    name: str
    created_at: int
    counter: int = 0
    backed_up: bool = False
    transports: tuple[str, ...] = ()
    last_used_at: int | None = None
    last_ip: str = ""
    notice: Notice | None = None
    budget_full_at: int | None = None


class Session(Value, frozen=True, kw_only=True):
    """A browser in which a person is signed in, without its secret.

    ``seen_at``, the last use, is updated at most once a minute. ``confirmed_at`` is when a passkey was last
    touched, and ``passkey`` the id of the one that started the session.
    """

    digest: bytes
    started_at: int
    seen_at: int
    confirmed_at: int
    passkey: str
    source_ip: str = ""
    browser: str = ""


class Enrolment(Value, frozen=True, kw_only=True):
    """A User's request for a passkey, made with one of their API keys, whose digest is ``key``.

    ``browser`` is the digest of a secret that the browser has that asked: a code is of use there alone.
    ``digests`` maps the digest (hex) of each mailed code to its expiry, as those of an invitation's tokens.
    """

    id: str
    key: bytes
    asked_at: int
    digests: dict[str, int] = {}
    browser: bytes = b""


class Purpose(str, Enum):
    """What a challenge is for."""

    SIGN_IN = "SIGN_IN"
    CONFIRM = "CONFIRM"
    ACTIVATE = "ACTIVATE"
    ADD = "ADD"
    ENROL = "ENROL"


class Challenge(Value, frozen=True, kw_only=True):
    """A challenge that a browser signs with a passkey, once, until ``ends_at``.

    ``username`` and ``membership`` are of the User it is for. ``proof`` is what allowed them to ask for it:
    the digest (hex) of an invitation's token or of a mailed code, or the id of a session. All three are empty
    for a sign-in, where the User is not known yet.
    """

    purpose: Purpose
    challenge: bytes
    ends_at: int
    username: str = ""
    membership: str = ""
    proof: str = ""


class Outcome(str, Enum):
    """What became of an email after SES took it, if anything did. A later one overrides an earlier one.

    A TRANSIENT_BOUNCE is final too: SES has retried, and gave up; or the recipient's absence was reported.
    """

    TRANSIENT_BOUNCE = "TRANSIENT_BOUNCE"
    PERMANENT_BOUNCE = "PERMANENT_BOUNCE"
    COMPLAINT = "COMPLAINT"


class EmailFailure(Value, frozen=True):
    """That emails to a person's address bounce, or that the person complained of one, and when that was."""

    outcome: Outcome
    at: int


class User(Principal, frozen=True, kw_only=True, tag="USER"):
    """A person in an account.

    ``membership`` is a random id, new when a person who is not in the account is invited, and when a role is
    lowered to READ_ONLY. Administrator links name the membership, so a new one voids them. A User with an
    open ``invitation`` has not activated and holds no key. ``invited_by`` is the username of the last
    inviter, empty for the first OWNER of an account.

    ``passkeys`` and ``sessions`` map ids to values. ``handle`` is the random id that authenticators know the
    User by. ``sign_in_emails_full_at`` is when the budget of emails about sign-ins is full again.
    ``email_failure`` is the last one that the account's OWNERs were notified of.
    """

    membership: str
    invitation: Invitation | None = None
    invited_by: str = ""
    passkeys: dict[str, Passkey] = {}
    sessions: dict[str, Session] = {}
    handle: bytes = b""
    enrolment: Enrolment | None = None
    sign_in_emails_full_at: int | None = None
    email_failure: EmailFailure | None = None


class Policy(Value, frozen=True):
    """An account's policy on keys, in days; None for no limit.

    ``keep_leaked_keys``: if a key is reported as leaked, notify and do not revoke it.
    """

    max_key_age_days: int | None = None
    revoke_inactive_after_days: int | None = None
    pci_compliance: bool = False
    keep_leaked_keys: bool = False


class Account(Value, frozen=True, kw_only=True):
    """A customer's account.

    ``owners`` maps each activated OWNER User to their membership id, without those whom somebody of the
    account has suspended.
    ``machines_manage_owners``: a Service User with the role OWNER may invite, change and revoke OWNERs.
    ``user_count`` and ``service_user_count`` are valid if ``counted``. An account of the first release is not
    counted until it needs to be; before that, both hold the (negative) number of those removed since.
    """

    id: str
    name: str
    version: str
    created_at: int
    owners: dict[str, str] = {}
    policy: Policy = Policy()
    machines_manage_owners: bool = False
    budget_full_at: int | None = None
    user_count: int = 0
    service_user_count: int = 0
    counted: bool = False


class UserSummary(Value, frozen=True, kw_only=True):
    """The part of a User that decides who receives an email, and where.

    The digests of ``invitation`` and ``enrolment`` are not among it.
    """

    username: str
    account: str
    email: str
    role: Role
    membership: str
    suspended_at: int | None = None
    email_failure: EmailFailure | None = None
    invitation: Invitation | None = None
    enrolment: Enrolment | None = None


class AccountSummary(Value, frozen=True, kw_only=True):
    """The part of an account that decides who receives an email, and names it."""

    id: str
    name: str
    owners: dict[str, str] = {}


class Kind(str, Enum):
    """The kind of an actor or subject."""

    USER = "USER"
    SERVICE_USER = "SERVICE_USER"
    POLICY = "POLICY"
    OPERATOR = "OPERATOR"
    ACCOUNT = "ACCOUNT"
    LEAK_REPORT = "LEAK_REPORT"
    EMAIL_FEEDBACK = "EMAIL_FEEDBACK"


class Action(str, Enum):
    """What happened. ``notifications.NOTIFIED`` says who is notified of each."""

    SERVICE_USER_CREATED = "SERVICE_USER_CREATED"
    SERVICE_USER_UPDATED = "SERVICE_USER_UPDATED"
    SERVICE_USER_DELETED = "SERVICE_USER_DELETED"
    SERVICE_USER_SUSPENDED = "SERVICE_USER_SUSPENDED"
    SERVICE_USER_RESUMED = "SERVICE_USER_RESUMED"
    API_KEY_GENERATED = "API_KEY_GENERATED"
    API_KEY_ROTATED = "API_KEY_ROTATED"
    API_KEY_REVOKED = "API_KEY_REVOKED"
    API_KEY_UPDATED = "API_KEY_UPDATED"
    API_KEY_REFUSED = "API_KEY_REFUSED"
    API_KEY_ENDING = "API_KEY_ENDING"
    USER_INVITED = "USER_INVITED"
    USER_ACTIVATED = "USER_ACTIVATED"
    USER_UPDATED = "USER_UPDATED"
    USER_REVOKED = "USER_REVOKED"
    USER_SUSPENDED = "USER_SUSPENDED"
    USER_RESUMED = "USER_RESUMED"
    API_KEY_LEAKED = "API_KEY_LEAKED"
    ACCOUNT_CREATED = "ACCOUNT_CREATED"
    ACCOUNT_UPDATED = "ACCOUNT_UPDATED"
    ALL_API_KEYS_REVOKED = "ALL_API_KEYS_REVOKED"
    PASSKEY_ADDED = "PASSKEY_ADDED"
    PASSKEY_REMOVED = "PASSKEY_REMOVED"
    PASSKEY_ENDING = "PASSKEY_ENDING"
    PASSKEY_CODE_REQUESTED = "PASSKEY_CODE_REQUESTED"
    SIGNED_IN = "SIGNED_IN"
    SIGNED_OUT = "SIGNED_OUT"
    EMAIL_BOUNCED = "EMAIL_BOUNCED"
    EMAIL_COMPLAINT = "EMAIL_COMPLAINT"


class Change(str, Enum):
    """The change of one key."""

    GENERATED = "GENERATED"
    ROTATED = "ROTATED"
    REVOKED = "REVOKED"
    UPDATED = "UPDATED"
    REFUSED = "REFUSED"
    ENDING = "ENDING"
    LEAKED = "LEAKED"


class CredentialKind(str, Enum):
    """What an actor showed that they are who they are."""

    API_KEY = "API_KEY"
    SESSION = "SESSION"
    PASSKEY = "PASSKEY"
    INVITATION = "INVITATION"
    CODE = "CODE"


class UsedCredential(Value, frozen=True):
    """The credential that an actor used. ``key_type`` and ``last5`` are those of an API key.

    ``passkey`` is the name of the passkey that was used or that started the session; empty if it has been
    removed since.
    """

    kind: CredentialKind
    key_type: KeyType | None = None
    last5: str = ""
    passkey: str = ""


class Actor(Value, frozen=True):
    """Who did it. ``username`` is empty for a POLICY, an OPERATOR, a LEAK_REPORT and EMAIL_FEEDBACK.

    ``id`` is a Service User's id or a User's membership. It, ``display_name`` and ``credential`` are empty in
    events stored before they were recorded, and ``credential`` where nobody was signed in.
    """

    kind: Kind
    username: str = ""
    display_name: str = ""
    id: str = ""
    credential: UsedCredential | None = None


class Subject(Value, frozen=True):
    """To whom or what it was done. ``email`` is a User's own address, empty otherwise.

    ``id`` is a Service User's id or a User's membership, which distinguishes them from a later one with the
    same username. It is empty for an account, and in events stored before it was recorded.
    """

    kind: Kind
    username: str = ""
    display_name: str = ""
    email: str = ""
    id: str = ""


class KeyChange(Value, frozen=True):
    """The change of one key in an event. ``last5`` is the key's after the change (before it, if revoked).

    ``previous_last5`` is that of the key that was replaced, by a rotation or, if it had expired, by a new
    one, and ``previous_until`` the end of its overlap, if it has one. Of a leak, it is the predecessor that
    was reported, if its successor was revoked with it. ``also_ended`` is that of another key of the type
    that stopped working with the change: the predecessor of a key that ends or is rotated again, or the one
    whose response was lost.
    ``ends_at`` is the announced expiry of an ENDING key.
    """

    change: Change
    key_type: KeyType
    last5: str
    previous_last5: str = ""
    previous_until: int | None = None
    ends_at: int | None = None
    also_ended: str = ""


class ShownKey(Value, frozen=True):
    """A working key of a Service User that a User was the last to be shown.

    ``until`` is the end of a predecessor's overlap; None for a current key.
    """

    username: str
    key_type: KeyType
    last5: str
    until: int | None = None


class Audience(str, Enum):
    """Who is to be notified of an event.

    ADMINISTRATORS are those that the event names, OWNERS all OWNERs of the account when the email is sent,
    and PERSON the User whom the event is about.
    """

    NOBODY = "NOBODY"
    ADMINISTRATORS = "ADMINISTRATORS"
    PERSON = "PERSON"
    OWNERS = "OWNERS"
    PERSON_AND_OWNERS = "PERSON_AND_OWNERS"
    ADMINISTRATORS_AND_OWNERS = "ADMINISTRATORS_AND_OWNERS"

    @property
    def has_every_owner(self) -> bool:
        """Return whether all OWNERs of the account are to be notified."""
        return self.value.endswith("OWNERS")


class Event(Value, frozen=True, kw_only=True):
    """An audit event; also its own notification outbox entry until all recipients are notified.

    ``id`` sorts by time. ``below_role`` are the types of the keys that a raised role does not raise.
    ``shown_keys`` are the keys of Service Users that a revoked User knows, and ``more_shown_keys`` says
    whether there may be more. ``changes`` maps each field that an update changed to its old and new value, as
    text. ``administrators`` are those of the Service User at the time; if the event changed them, those
    before and after. ``told`` maps the folded username of each notified recipient to the time, and
    ``refused`` that of each undeliverable one to the reason. ``feedback`` maps it to what became of an email
    that SES took, if it was not simply delivered. ``due_at`` is when to try next, None once nobody is left to
    be notified. It is later than ``at`` if the event is held from the start, because one email will notify
    its recipients of many events.

    ``holders`` are the usernames of the first of ``holder_count`` principals of which an operator revoked
    every key, in the event that notifies one User of all of them.
    """

    id: str
    account: str
    at: int
    action: Action
    actor: Actor
    subject: Subject
    keys: tuple[KeyChange, ...] = ()
    below_role: tuple[KeyType, ...] = ()
    shown_keys: tuple[ShownKey, ...] = ()
    more_shown_keys: bool = False
    changes: dict[str, tuple[str, str]] = {}
    cause: Cause | None = None
    reason: str = ""
    source_ip: str = ""
    request_id: str = ""
    audience: Audience = Audience.NOBODY
    administrators: dict[str, str] = {}
    invitation: str = ""
    attempts: int = 0
    due_at: int | None = None
    told: dict[str, int] = {}
    refused: dict[str, str] = {}
    feedback: dict[str, Outcome] = {}
    holders: tuple[str, ...] = ()
    holder_count: int = 0
