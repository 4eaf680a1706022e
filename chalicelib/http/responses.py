"""The bodies of responses, with the names and shapes that clients know.

The types are the contract: what they say of their fields, the OpenAPI document says.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, structs

from chalicelib.rules.api_keys import IssuedKey, current_predecessor, overlap_end
from chalicelib.rules.context import AuthContext
from chalicelib.rules.key_search import FoundKey
from chalicelib.rules.model import Account, Action, ApiKey, Change, Event, Kind, Principal, User
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.service_users import View

MASK = "•••…"

Time = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]
AccountId = Annotated[str, Meta(description="The account's id.", extra_json_schema={"format": "uuid"})]
Masked = Annotated[str, Meta(description="A key, masked to its last five characters.")]
DisplayName = Annotated[str, Meta(description="What people read.")]
Address = Annotated[str, Meta(description="The email address.", extra_json_schema={"format": "email"})]
Days = Annotated[int, Meta(description="Days; null is no rule.")]
Whose = Annotated[
    str,
    Meta(
        description="Who or what it is: one of the examples. More may come.",
        examples=[kind.value for kind in Kind],
    ),
]


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a call answers."""


class AllowedKeyType(Answer, frozen=True, kw_only=True):
    """A key type the holder's role allows."""

    name: KeyType
    display_name: DisplayName


class PredecessorAnswer(Answer, frozen=True, kw_only=True):
    """The key a rotation replaced, while it works beside the new one."""

    key: Masked
    valid_until: Annotated[Time, Meta(description="When it ends.")]
    last_used_at: Annotated[Time, Meta(description="To the hour.")] | None


class ApiKeyAnswer(Answer, frozen=True, kw_only=True):
    """An API key: in the clear in the one answer that made it, masked to its last five characters after."""

    account: AccountId
    key_type: KeyType
    username: Annotated[str, Meta(description="Whose key it is.")]
    key: Annotated[str, Meta(description="The key in the clear, or masked to its last five characters.")]
    created_at: Annotated[Time, Meta(description="When its holder was given a key of the type.")]
    created_by: (
        Annotated[str, Meta(description="The username of who did that; null for the operator.")] | None
    )
    rotated_at: Annotated[Time, Meta(description="When the present key replaced an earlier one.")] | None
    rotated_by: Annotated[str, Meta(description="The username of who rotated it last.")] | None
    expires_at: Annotated[Time, Meta(description="When it ends; null is never.")] | None
    last_used_at: Annotated[Time, Meta(description="To the hour; null until it is used.")] | None
    allowed_networks: Annotated[
        tuple[str, ...], Meta(description="CIDRs the key may be used from; none means every address.")
    ]
    predecessor: PredecessorAnswer | None
    ceiling: (
        Annotated[
            Role,
            Meta(
                description=(
                    "The highest role the key may act with: that of whoever was shown it. Where it is below "
                    "the holder's role, an OWNER rotates the key to raise it. Null is no ceiling."
                )
            ),
        ]
        | None
    )


class ApiKeysAnswer(Answer, frozen=True, kw_only=True):
    """The key types a role allows, and the keys there are."""

    allowed_api_key_types: tuple[AllowedKeyType, ...]
    api_keys: tuple[ApiKeyAnswer, ...]


class ServiceUserAnswer(Answer, frozen=True, kw_only=True):
    """A Service User. ``administrators`` are those still entitled; none means the OWNERs run it."""

    account: AccountId
    username: str
    display_name: DisplayName
    email: Address
    role: Role
    administrators: Annotated[tuple[str, ...], Meta(description="The usernames of its Administrators.")]
    created_at: Time
    api_keys: ApiKeysAnswer


class UserAnswer(Answer, frozen=True, kw_only=True):
    """A person of the account: INVITED until they activate, then ACTIVE."""

    account: AccountId
    username: str
    display_name: DisplayName
    email: Address
    role: Role
    status: Literal["INVITED", "ACTIVE"]
    invited_by: (
        Annotated[str, Meta(description="The username of who invited them; null for the first OWNER.")] | None
    )
    created_at: Time


class ActivatedAnswer(UserAnswer, frozen=True, kw_only=True):
    """A person who has just activated, with their first keys in the clear."""

    api_keys: ApiKeysAnswer


class WhoamiAnswer(Answer, frozen=True, kw_only=True):
    """Who signed in, and with what."""

    account: AccountId
    username: str
    kind: Literal["USER", "SERVICE_USER"]
    role: Role
    display_name: DisplayName
    email: Address
    key_type: KeyType
    key: ApiKeyAnswer


class FoundKeyAnswer(Answer, frozen=True, kw_only=True):
    """A key that was found, and whose it is."""

    username: str
    kind: Literal["USER", "SERVICE_USER"]
    role: Role
    display_name: DisplayName
    is_predecessor: Annotated[
        bool, Meta(description="Whether it is the key that `apiKey` replaced, its `predecessor`.")
    ]
    api_key: ApiKeyAnswer


class AccountAnswer(Answer, frozen=True, kw_only=True):
    """An account's name, its OWNERs who have activated, and its policy on keys (days; null is no rule)."""

    account: AccountId
    name: str
    owners: Annotated[tuple[str, ...], Meta(description="The usernames of its OWNERs, in lower case.")]
    created_at: Time
    max_key_age_days: Days | None
    revoke_inactive_after_days: Days | None
    pci_compliance: bool
    machines_manage_owners: Annotated[
        bool,
        Meta(description="Whether a Service User with the role OWNER may invite, change and revoke OWNERs."),
    ]
    revoke_leaked_keys: Annotated[
        bool, Meta(description="Whether a key that is reported as leaked is revoked, or only told of.")
    ]


class ReceivedAnswer(Answer, frozen=True, kw_only=True):
    """That a report was taken; what is in it is told to those concerned alone."""

    received: Annotated[int, Meta(description="How many keys were reported, known or not.")]


class Who(Answer, frozen=True, kw_only=True):
    """Who did something, or to whom it was done."""

    kind: Whose
    username: Annotated[str, Meta(description="Null for what has none, such as an account.")] | None
    display_name: DisplayName | None


class KeyChangeAnswer(Answer, frozen=True, kw_only=True):
    """What an act did to one key, told by its last five characters."""

    change: Annotated[
        str,
        Meta(
            description="What was done to it: one of the examples. More may come.",
            examples=[change.value for change in Change],
        ),
    ]
    key_type: KeyType
    key: Masked
    previous_key: Annotated[Masked, Meta(description="The key a rotation replaced, masked.")] | None
    previous_valid_until: (
        Annotated[Time, Meta(description="Until when that one works too; null is not at all.")] | None
    )
    ends_at: Annotated[Time, Meta(description="When a key ends that is told to be ending.")] | None


class FieldChange(Answer, frozen=True, kw_only=True):
    """A field an update changed."""

    field: str
    old: Annotated[str, Meta(description="As text; empty for none.")]
    new: Annotated[str, Meta(description="As text; empty for none.")]


class MailAnswer(Answer, frozen=True, kw_only=True):
    """Who has been mailed about an event. ``waiting`` while somebody has still to be."""

    waiting: bool
    told: Annotated[tuple[str, ...], Meta(description="Usernames of those mailed.")]
    undeliverable: Annotated[
        tuple[str, ...], Meta(description="Usernames of those whose address takes no mail.")
    ]


class EventAnswer(Answer, frozen=True, kw_only=True):
    """One act on record."""

    id: Annotated[str, Meta(description="Sorts by time.")]
    at: Time
    action: Annotated[
        str,
        Meta(
            description="What happened: one of the examples. More may come.",
            examples=[action.value for action in Action],
        ),
    ]
    actor: Who
    subject: Who
    keys: tuple[KeyChangeAnswer, ...]
    changes: tuple[FieldChange, ...]
    reason: Annotated[str, Meta(description="Why, where it is not told by the action.")] | None
    source_ip: Annotated[str, Meta(description="The address the call came from.")] | None
    request_id: Annotated[str, Meta(description="The `requestId` of the call.")] | None
    mail: MailAnswer


def service_user(view: View, now: float, shown: tuple[IssuedKey, ...] = ()) -> ServiceUserAnswer:
    """Return a Service User; keys in ``shown`` are in the clear."""
    it = view.service_user
    return ServiceUserAnswer(
        account=it.account,
        username=it.username,
        display_name=it.display_name,
        email=it.email,
        role=it.role,
        administrators=view.administrators,
        created_at=moment(it.created_at),
        api_keys=api_keys(it, now, shown),
    )


def api_keys(holder: Principal, now: float, shown: tuple[IssuedKey, ...] = ()) -> ApiKeysAnswer:
    """Return a holder's keys in the published order; those in ``shown`` in the clear."""
    return ApiKeysAnswer(
        allowed_api_key_types=tuple(
            AllowedKeyType(name=kind, display_name=kind.display_name) for kind in holder.role.key_types()
        ),
        api_keys=tuple(api_key(holder, kind, now, shown) for kind in KeyType if kind in holder.keys),
    )


def api_key(
    holder: Principal, key_type: KeyType, now: float, shown: tuple[IssuedKey, ...] = ()
) -> ApiKeyAnswer:
    """Return one key of a holder; in the clear where it is in ``shown``."""
    key = holder.keys[key_type]
    clear = next((it.secret for it in shown if it.key_type is key_type), None)
    return ApiKeyAnswer(
        account=holder.account,
        key_type=key_type,
        username=holder.username,
        key=clear or MASK + key.last5,
        created_at=moment(key.created_at),
        created_by=key.created_by or None,
        rotated_at=maybe(key.rotated_at),
        rotated_by=key.rotated_by or None,
        expires_at=maybe(key.expires_at),
        last_used_at=maybe(key.last_used_at),
        allowed_networks=key.networks,
        predecessor=_predecessor(key, now),
        ceiling=key.ceiling,
    )


def user(it: User) -> UserAnswer:
    """Return a person."""
    return UserAnswer(
        account=it.account,
        username=it.username,
        display_name=it.display_name,
        email=it.email,
        role=it.role,
        status="ACTIVE" if it.invitation is None else "INVITED",
        invited_by=it.invited_by or None,
        created_at=moment(it.created_at),
    )


def activated(it: User, now: float, shown: tuple[IssuedKey, ...]) -> ActivatedAnswer:
    """Return a person with their first keys in the clear."""
    return ActivatedAnswer(**structs.asdict(user(it)), api_keys=api_keys(it, now, shown))


def whoami(auth: AuthContext) -> WhoamiAnswer:
    """Return who signed in."""
    caller = auth.caller
    return WhoamiAnswer(
        account=caller.account,
        username=caller.username,
        kind="USER" if isinstance(caller, User) else "SERVICE_USER",
        role=auth.role,
        display_name=caller.display_name,
        email=caller.email,
        key_type=auth.key_type,
        key=api_key(caller, auth.key_type, auth.origin.now),
    )


def found_key(it: FoundKey, now: float) -> FoundKeyAnswer:
    """Return a key that was found, masked, and its holder."""
    holder = it.holder
    return FoundKeyAnswer(
        username=holder.username,
        kind="USER" if isinstance(holder, User) else "SERVICE_USER",
        role=holder.role,
        display_name=holder.display_name,
        is_predecessor=it.is_predecessor,
        api_key=api_key(holder, it.key_type, now),
    )


def account(it: Account) -> AccountAnswer:
    """Return an account."""
    return AccountAnswer(
        account=it.id,
        name=it.name,
        owners=tuple(sorted(it.owners)),
        created_at=moment(it.created_at),
        max_key_age_days=it.policy.max_key_age_days,
        revoke_inactive_after_days=it.policy.revoke_inactive_after_days,
        pci_compliance=it.policy.pci_compliance,
        machines_manage_owners=it.machines_manage_owners,
        revoke_leaked_keys=not it.policy.keep_leaked_keys,
    )


def event(it: Event) -> EventAnswer:
    """Return an act on record."""
    return EventAnswer(
        id=it.id,
        at=moment(it.at),
        action=it.action.value,
        actor=Who(kind=it.actor.kind.value, username=it.actor.username or None, display_name=None),
        subject=Who(
            kind=it.subject.kind.value,
            username=it.subject.username or None,
            display_name=it.subject.display_name or None,
        ),
        keys=tuple(
            KeyChangeAnswer(
                change=key.change.value,
                key_type=key.key_type,
                key=MASK + key.last5,
                previous_key=MASK + key.previous_last5 if key.previous_last5 else None,
                previous_valid_until=maybe(key.previous_until),
                ends_at=maybe(key.ends_at),
            )
            for key in it.keys
        ),
        changes=tuple(FieldChange(field=name, old=old, new=new) for name, (old, new) in it.changes.items()),
        reason=it.reason or None,
        source_ip=it.source_ip or None,
        request_id=it.request_id or None,
        mail=MailAnswer(
            waiting=it.due_at is not None,
            told=tuple(sorted(it.told)),
            undeliverable=tuple(sorted(it.refused)),
        ),
    )


def moment(seconds: int) -> str:
    """Return a time in RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def maybe(seconds: int | None) -> str | None:
    """Return a time in RFC 3339, or None for none."""
    return None if seconds is None else moment(seconds)


def _predecessor(key: ApiKey, now: float) -> PredecessorAnswer | None:
    before = current_predecessor(key, now)
    if before is None:
        return None
    return PredecessorAnswer(
        key=MASK + before.last5,
        valid_until=moment(overlap_end(key, before.until)),
        last_used_at=maybe(before.last_used_at),
    )
