"""The bodies of responses, with the names and shapes that clients know.

The types are the contract: the OpenAPI document takes its descriptions from them.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, structs

from chalicelib.rules.api_keys import IssuedKey, below_role, current_predecessor, overlap_end
from chalicelib.rules.catalogue import CATALOGUE, DEFAULT
from chalicelib.rules.context import AuthContext
from chalicelib.rules.key_search import FoundKey
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    ApiKey,
    Change,
    CredentialKind,
    EmailFailure,
    Event,
    KeyChange,
    Kind,
    Outcome,
    Principal,
    ShownKey,
    Subject,
    UsedCredential,
    User,
)
from chalicelib.rules.offboarding import EndedKeys
from chalicelib.rules.ports import UnknownEvent
from chalicelib.rules.roles import KeyType, Role, in_order
from chalicelib.rules.service_users import View
from chalicelib.rules.users import InvitationState, Person

MASK = "•••…"
_LAST_MOMENT = 253_402_300_799

Time = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]
AccountId = Annotated[str, Meta(description="The account's id.", extra_json_schema={"format": "uuid"})]
Masked = Annotated[str, Meta(description="A key, masked to its last five characters.")]
Last5 = Annotated[
    str, Meta(description="The last five characters of the key, by which people tell keys apart.")
]
DisplayName = Annotated[str, Meta(description="Display name.")]
Address = Annotated[str, Meta(description="The email address.", extra_json_schema={"format": "email"})]
SuspendedAt = (
    Annotated[Time, Meta(description="Since when it is suspended: refused wherever it signs in; else null.")]
    | None
)
SuspendedBy = Annotated[str, Meta(description="The username of whoever suspended it.")] | None
Days = Annotated[int, Meta(description="Days; null for no limit.")]
Whose = Annotated[
    str,
    Meta(
        description="Open set: one of the examples, or a value added later.",
        examples=[kind.value for kind in Kind],
    ),
]


_COUNTED = "Null until an account from before 1.1 is counted, which its next change of them does."


class ResponseBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a response."""


class AllowedKeyType(ResponseBody, frozen=True, kw_only=True):
    """A key type that the holder's role allows."""

    name: KeyType
    display_name: DisplayName


class PredecessorResponse(ResponseBody, frozen=True, kw_only=True):
    """The key that a rotation replaced, during the overlap in which both work."""

    key: Masked
    last5: Last5
    valid_until: Annotated[Time, Meta(description="When it stops working.")]
    last_used_at: Annotated[Time, Meta(description="Last use, to the hour.")] | None
    shown_to: (
        Annotated[str, Meta(description="The username of who was shown it; null where that was not kept.")]
        | None
    )


class ApiKeyResponse(ResponseBody, frozen=True, kw_only=True):
    """An API key, masked to its last five characters; only the response that issues it has the secret."""

    account: AccountId
    key_type: KeyType
    username: Annotated[str, Meta(description="The holder's username.")]
    key: Annotated[str, Meta(description="The secret, or the key masked to its last five characters.")]
    last5: Last5
    created_at: Annotated[Time, Meta(description="When a key of this type was generated for the holder.")]
    created_by: (
        Annotated[str, Meta(description="The username of whoever generated it; null for the operator.")]
        | None
    )
    rotated_at: Annotated[Time, Meta(description="When the last rotation replaced the secret.")] | None
    rotated_by: Annotated[str, Meta(description="The username of whoever rotated it last.")] | None
    expires_at: Annotated[Time, Meta(description="Expiry; null for no expiry.")] | None
    last_used_at: Annotated[Time, Meta(description="Last use, to the hour; null until the first.")] | None
    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(description="CIDRs from which the key works; an empty list allows every address."),
    ]
    predecessor: PredecessorResponse | None
    ceiling: (
        Annotated[
            Role,
            Meta(
                description=(
                    "The highest role that the key may act with: that of whoever was shown it. If it is "
                    "below the holder's role, an OWNER can rotate the key to raise it. Null for no ceiling."
                )
            ),
        ]
        | None
    )


class ApiKeysResponse(ResponseBody, frozen=True, kw_only=True):
    """The key types that the role allows, and the keys."""

    allowed_api_key_types: tuple[AllowedKeyType, ...]
    api_keys: tuple[ApiKeyResponse, ...]


class ServiceUserResponse(ResponseBody, frozen=True, kw_only=True):
    """A Service User. If none of its Administrators is left, the OWNERs administer it."""

    account: AccountId
    username: str
    display_name: DisplayName
    email: Address
    role: Role
    administrators: Annotated[
        tuple[str, ...], Meta(description="Usernames of the Administrators who are still entitled.")
    ]
    created_at: Time
    api_keys: ApiKeysResponse
    keys_below_role: Annotated[
        tuple[KeyType, ...],
        Meta(
            description=(
                "The types of its keys whose `ceiling` is below its role: they act with the ceiling until an "
                "OWNER rotates them."
            )
        ),
    ]
    suspended_at: SuspendedAt
    suspended_by: SuspendedBy
    description: Annotated[str, Meta(description="What it is for; null for none.")] | None
    labels: Annotated[dict[str, str], Meta(description="Its labels, values by name.")]


class EmailFailureResponse(ResponseBody, frozen=True, kw_only=True):
    """That emails to a User fail, as their account's OWNERs were last notified of it."""

    outcome: Annotated[
        str,
        Meta(
            description=(
                "`PERMANENT_BOUNCE`: the address rejects emails. `COMPLAINT`: one was marked as spam. Open "
                "set: one of these, or a value added later."
            ),
            examples=[Outcome.PERMANENT_BOUNCE.value, Outcome.COMPLAINT.value],
        ),
    ]
    at: Time


class UserResponse(ResponseBody, frozen=True, kw_only=True):
    """A User of the account: INVITED until they activate, then ACTIVE."""

    account: AccountId
    username: str
    display_name: DisplayName
    email: Address
    role: Role
    status: Literal["INVITED", "ACTIVE"]
    invited_by: (
        Annotated[str, Meta(description="The username of whoever invited them; null for the first OWNER.")]
        | None
    )
    created_at: Time
    suspended_at: SuspendedAt
    suspended_by: SuspendedBy
    email_failure: Annotated[
        EmailFailureResponse | None,
        Meta(description="The last failure of emails to the address; null if none is known."),
    ]


class PersonResponse(UserResponse, frozen=True, kw_only=True):
    """A User of the account, with what has become of their invitation."""

    invitation: (
        Annotated[
            InvitationState,
            Meta(
                description="The state of the invitation of a User who has not activated; null for one who "
                "has. `OPEN`: they can activate. `EXPIRED`: it was sent more than 72 hours ago. `WITHDRAWN`: "
                "its sender is no longer an OWNER of the account, is suspended, or is a Service User that "
                "may no longer invite OWNERs. Unless it is open, send a new invitation."
            ),
        ]
        | None
    )


class ActivatedResponse(UserResponse, frozen=True, kw_only=True):
    """A User who has just activated, with the secrets of their first keys."""

    api_keys: ApiKeysResponse


class ShownKeyResponse(ResponseBody, frozen=True, kw_only=True):
    """A working key of a Service User whose secret somebody was the last to be shown."""

    username: Annotated[str, Meta(description="The Service User.")]
    key_type: KeyType
    key: Masked
    last5: Last5
    valid_until: (
        Annotated[Time, Meta(description="For a predecessor, when its overlap ends; null for a current key.")]
        | None
    )


class EndedKeysResponse(ResponseBody, frozen=True, kw_only=True):
    """The keys that a call ended. Unless ``complete``, call again by the ``Link`` to end the rest."""

    ended: tuple[ShownKeyResponse, ...]
    complete: Annotated[bool, Meta(description="Whether all Service Users were looked at.")]


class WhoamiResponse(ResponseBody, frozen=True, kw_only=True):
    """The caller, and the key used to sign in."""

    account: AccountId
    username: str
    kind: Literal["USER", "SERVICE_USER"]
    role: Role
    display_name: DisplayName
    email: Address
    key_type: KeyType
    key: ApiKeyResponse


class FoundKeyResponse(ResponseBody, frozen=True, kw_only=True):
    """A key that was found, and whose it is."""

    username: str
    kind: Literal["USER", "SERVICE_USER"]
    role: Role
    display_name: DisplayName
    is_predecessor: Annotated[
        bool, Meta(description="Whether it is the key that `apiKey` replaced, its `predecessor`.")
    ]
    api_key: ApiKeyResponse


class AccountResponse(ResponseBody, frozen=True, kw_only=True):
    """An account: its name, its OWNERs (activated and not suspended), and its policy on keys."""

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
        bool,
        Meta(description="Whether a reported leaked key is revoked; if not, people are only notified."),
    ]
    user_count: Annotated[int, Meta(description=f"How many Users it has. {_COUNTED}")] | None
    service_user_count: Annotated[int, Meta(description=f"How many Service Users it has. {_COUNTED}")] | None


class ReceivedResponse(ResponseBody, frozen=True, kw_only=True):
    """A report was received. What it contains is sent only to the recipients of the keys' emails."""

    received: Annotated[int, Meta(description="How many keys were reported, known or not.")]


class Who(ResponseBody, frozen=True, kw_only=True):
    """The actor or subject of an event."""

    kind: Whose
    username: Annotated[str, Meta(description="Null if it has none, such as an account.")] | None
    display_name: DisplayName | None
    id: (
        Annotated[
            str,
            Meta(
                description=(
                    "Tells a Service User or a User from a later one of the same username. Null if it has "
                    "none, and in events from before 1.1."
                )
            ),
        ]
        | None
    )


class KeyChangeResponse(ResponseBody, frozen=True, kw_only=True):
    """A change of one key, which is identified by its last five characters."""

    change: Annotated[
        str,
        Meta(
            description="The change. Open set: one of the examples, or a value added later.",
            examples=[change.value for change in Change],
        ),
    ]
    key_type: KeyType
    key: Masked
    last5: Last5
    previous_key: Annotated[Masked, Meta(description="The key that this one replaced, masked.")] | None
    previous_last5: Annotated[Last5, Meta(description="The last five characters of that key.")] | None
    previous_valid_until: (
        Annotated[Time, Meta(description="Until when that key keeps working; null if it does not.")] | None
    )
    also_ended: (
        Annotated[
            Last5,
            Meta(
                description=(
                    "The last five characters of another key of the type that stopped working with the "
                    "change: the one that the key had replaced and that still worked, or one whose response "
                    "was lost. Null if there is none, and in events from before 1.1."
                )
            ),
        ]
        | None
    )
    ends_at: Annotated[Time, Meta(description="The expiry that an expiry notice announces.")] | None


FieldValue = Annotated[
    bool | int | str | tuple[str, ...] | None,
    Meta(
        description=(
            "The value as the field has it elsewhere: an array for `allowedNetworks` and `administrators`, a "
            "time (RFC 3339) for `expiresAt`, a number or a boolean for the policy; null for none. `labels` "
            "are an array of `name=value`."
        )
    ),
]


class FieldChange(ResponseBody, frozen=True, kw_only=True):
    """A field that an update changed."""

    field: str
    old: Annotated[str, Meta(description="As text; empty if there is none.")]
    new: Annotated[str, Meta(description="As text; empty if there is none.")]
    old_value: FieldValue
    new_value: FieldValue


class FeedbackResponse(ResponseBody, frozen=True, kw_only=True):
    """What became of an email to one recipient, although it was sent."""

    username: str
    outcome: Annotated[
        str,
        Meta(
            description=(
                "`PERMANENT_BOUNCE`: the address rejects emails. `TRANSIENT_BOUNCE`: this one could not be "
                "delivered, also after retries, or was replied to automatically. `COMPLAINT`: it was marked "
                "as spam. Open set: one of these, or a value added later."
            ),
            examples=[outcome.value for outcome in Outcome],
        ),
    ]


class MailResponse(ResponseBody, frozen=True, kw_only=True):
    """Who has been notified of an event. ``waiting`` is true while a recipient has still to be notified."""

    waiting: bool
    told: Annotated[tuple[str, ...], Meta(description="Usernames of those who were notified.")]
    undeliverable: Annotated[
        tuple[str, ...], Meta(description="Usernames of those whose address rejects email.")
    ]
    feedback: Annotated[
        tuple[FeedbackResponse, ...],
        Meta(description="What became of emails that were not simply delivered, for each recipient."),
    ]


class CredentialResponse(ResponseBody, frozen=True, kw_only=True):
    """The credential that the actor of an event used."""

    kind: Annotated[
        str,
        Meta(
            description=(
                "`API_KEY`: a call with that key. `SESSION`: in the console, in a session that the passkey "
                "started. `PASSKEY`: the sign-in to the console. `INVITATION`: an invitation's token. "
                "`CODE`: a code for a passkey, which was mailed for an API key. Open set: one of these, or a "
                "value added later."
            ),
            examples=[kind.value for kind in CredentialKind],
        ),
    ]
    key_type: Annotated[KeyType, Meta(description="The type of an API key.")] | None
    key: Masked | None
    last5: Last5 | None
    passkey: Annotated[str, Meta(description="The name of the passkey, if there still was one.")] | None


class EventResponse(ResponseBody, frozen=True, kw_only=True):
    """One event of the audit trail."""

    id: Annotated[str, Meta(description="The event's id; ids sort by time.")]
    at: Time
    action: Annotated[
        str,
        Meta(
            description="What happened. Open set: one of the examples, or a value added later.",
            examples=[action.value for action in Action],
        ),
    ]
    actor: Who
    credential: (
        Annotated[
            CredentialResponse,
            Meta(
                description=(
                    "The credential that the actor used. Null for whoever has none, such as a policy or the "
                    "operator, for a key that was refused, and in events from before 1.1."
                )
            ),
        ]
        | None
    )
    subject: Who
    keys: tuple[KeyChangeResponse, ...]
    changes: tuple[FieldChange, ...]
    reason: Annotated[str, Meta(description="Why it happened, if the action does not say it.")] | None
    source_ip: Annotated[str, Meta(description="The IP address of the call.")] | None
    request_id: Annotated[str, Meta(description="The `requestId` of the call.")] | None
    mail: MailResponse


def service_user(view: View, now: float, shown: tuple[IssuedKey, ...] = ()) -> ServiceUserResponse:
    """Return a Service User; keys in ``shown`` with their secrets."""
    it = view.service_user
    return ServiceUserResponse(
        account=it.account,
        username=it.username,
        display_name=it.display_name,
        email=it.email,
        role=it.role,
        administrators=view.administrators,
        created_at=moment(it.created_at),
        api_keys=api_keys(it, now, shown),
        keys_below_role=below_role(it),
        suspended_at=maybe(it.suspended_at),
        suspended_by=it.suspended_by or None,
        description=it.description or None,
        labels=dict(sorted(it.labels.items())),
    )


def is_in_contract(key_type: KeyType) -> bool:
    """Return whether a response may name a key type.

    The contract of a stack that was given a catalogue, be it the default one, allows types that an earlier
    one had. That of a stack that never was has the same four types as ever, and clients that check it.
    """
    return CATALOGUE is not DEFAULT or key_type in list(KeyType)


def api_keys(holder: Principal, now: float, shown: tuple[IssuedKey, ...] = ()) -> ApiKeysResponse:
    """Return a holder's keys in the published order; those in ``shown`` with their secrets."""
    return ApiKeysResponse(
        allowed_api_key_types=tuple(
            AllowedKeyType(name=kind, display_name=kind.display_name) for kind in holder.role.key_types()
        ),
        api_keys=tuple(
            api_key(holder, kind, now, shown) for kind in in_order(holder.keys) if is_in_contract(kind)
        ),
    )


def api_key(
    holder: Principal, key_type: KeyType, now: float, shown: tuple[IssuedKey, ...] = ()
) -> ApiKeyResponse:
    """Return one key of a holder; with its secret if it is in ``shown``."""
    key = holder.keys[key_type]
    clear = next((it.secret for it in shown if it.key_type is key_type), None)
    return ApiKeyResponse(
        account=holder.account,
        key_type=key_type,
        username=holder.username,
        key=clear or MASK + key.last5,
        last5=key.last5,
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


def user(it: User) -> UserResponse:
    """Return a User."""
    return UserResponse(
        account=it.account,
        username=it.username,
        display_name=it.display_name,
        email=it.email,
        role=it.role,
        status="ACTIVE" if it.invitation is None else "INVITED",
        invited_by=it.invited_by or None,
        created_at=moment(it.created_at),
        suspended_at=maybe(it.suspended_at),
        suspended_by=it.suspended_by or None,
        email_failure=_email_failure(it.email_failure),
    )


def _email_failure(it: EmailFailure | None) -> EmailFailureResponse | None:
    return None if it is None else EmailFailureResponse(outcome=it.outcome.value, at=moment(it.at))


def person(it: Person) -> PersonResponse:
    """Return a User with the state of their invitation."""
    return PersonResponse(**structs.asdict(user(it.user)), invitation=it.invitation)


def shown_key(it: ShownKey) -> ShownKeyResponse:
    """Return a key that somebody was the last to be shown."""
    return ShownKeyResponse(
        username=it.username,
        key_type=it.key_type,
        key=MASK + it.last5,
        last5=it.last5,
        valid_until=maybe(it.until),
    )


def ended_keys(it: EndedKeys) -> EndedKeysResponse:
    """Return what a call ended, and whether that is all."""
    return EndedKeysResponse(ended=tuple(map(shown_key, it.keys)), complete=not it.left)


def activated(it: User, now: float, shown: tuple[IssuedKey, ...]) -> ActivatedResponse:
    """Return a User with the secrets of their first keys."""
    return ActivatedResponse(**structs.asdict(user(it)), api_keys=api_keys(it, now, shown))


def whoami(auth: AuthContext) -> WhoamiResponse:
    """Return the caller and the key used to sign in."""
    caller = auth.caller
    return WhoamiResponse(
        account=caller.account,
        username=caller.username,
        kind="USER" if isinstance(caller, User) else "SERVICE_USER",
        role=auth.role,
        display_name=caller.display_name,
        email=caller.email,
        key_type=auth.key_type,
        key=api_key(caller, auth.key_type, auth.origin.now),
    )


def found_key(it: FoundKey, now: float) -> FoundKeyResponse:
    """Return a key that was found, masked, and its holder."""
    holder = it.holder
    return FoundKeyResponse(
        username=holder.username,
        kind="USER" if isinstance(holder, User) else "SERVICE_USER",
        role=holder.role,
        display_name=holder.display_name,
        is_predecessor=it.is_predecessor,
        api_key=api_key(holder, it.key_type, now),
    )


def account(it: Account) -> AccountResponse:
    """Return an account."""
    return AccountResponse(
        account=it.id,
        name=it.name,
        owners=tuple(sorted(it.owners)),
        created_at=moment(it.created_at),
        max_key_age_days=it.policy.max_key_age_days,
        revoke_inactive_after_days=it.policy.revoke_inactive_after_days,
        pci_compliance=it.policy.pci_compliance,
        machines_manage_owners=it.machines_manage_owners,
        revoke_leaked_keys=not it.policy.keep_leaked_keys,
        user_count=it.user_count if it.counted else None,
        service_user_count=it.service_user_count if it.counted else None,
    )


def event(it: Event | UnknownEvent) -> EventResponse:
    """Return an event; if this version does not know its action, every field that can be read."""
    if isinstance(it, UnknownEvent):
        return _unknown_event(it.fields)
    return EventResponse(
        id=it.id,
        at=moment(it.at),
        action=it.action.value,
        actor=_who(it.actor),
        credential=_credential(it.actor.credential),
        subject=_who(it.subject),
        keys=tuple(_key_change(key) for key in it.keys if is_in_contract(key.key_type)),
        changes=tuple(_field_change(name, old, new) for name, (old, new) in it.changes.items()),
        reason=it.reason or None,
        source_ip=it.source_ip or None,
        request_id=it.request_id or None,
        mail=MailResponse(
            waiting=it.due_at is not None,
            told=tuple(sorted(it.told)),
            undeliverable=tuple(sorted(it.refused)),
            feedback=_feedback(it.feedback.items()),
        ),
    )


def _feedback(outcomes: Iterable[tuple[str, str]]) -> tuple[FeedbackResponse, ...]:
    return tuple(
        FeedbackResponse(username=name, outcome=_unknown_text(getattr(outcome, "value", outcome)) or "")
        for name, outcome in sorted(outcomes)
    )


def _who(it: Actor | Subject) -> Who:
    return Who(
        kind=it.kind.value,
        username=it.username or None,
        display_name=it.display_name or None,
        id=it.id or None,
    )


def _credential(it: UsedCredential | None) -> CredentialResponse | None:
    if it is None:
        return None
    return CredentialResponse(
        kind=it.kind.value,
        key_type=it.key_type if it.key_type is not None and is_in_contract(it.key_type) else None,
        key=MASK + it.last5 if it.last5 else None,
        last5=it.last5 or None,
        passkey=it.passkey or None,
    )


def _key_change(key: KeyChange) -> KeyChangeResponse:
    return KeyChangeResponse(
        change=key.change.value,
        key_type=key.key_type,
        key=MASK + key.last5,
        last5=key.last5,
        previous_key=MASK + key.previous_last5 if key.previous_last5 else None,
        previous_last5=key.previous_last5 or None,
        previous_valid_until=maybe(key.previous_until),
        also_ended=key.also_ended or None,
        ends_at=maybe(key.ends_at),
    )


_LIST_FIELDS = frozenset({"allowedNetworks", "administrators", "labels"})
_TIME_FIELDS = frozenset({"expiresAt"})
_NUMBER_FIELDS = frozenset({"maxKeyAgeDays", "revokeInactiveAfterDays"})
_BOOLEAN_FIELDS = frozenset({"pciCompliance", "machinesManageOwners", "revokeLeakedKeys"})


def _field_change(name: str, old: str, new: str) -> FieldChange:
    """Return a changed field: its stored texts, and the values they stand for.

    A text in a form that this version does not know stands for itself.
    """
    try:
        old_value, new_value = _value(name, old), _value(name, new)
    except ValueError:
        return _unknown_change(name, [old, new])
    return FieldChange(
        field=name, old=_text(name, old), new=_text(name, new), old_value=old_value, new_value=new_value
    )


def _value(name: str, text: str) -> bool | int | str | tuple[str, ...] | None:
    if name in _LIST_FIELDS:
        return tuple(text.replace(",", " ").split())
    if not text:
        return None
    if name in _TIME_FIELDS:
        return moment(int(text))
    if name in _NUMBER_FIELDS:
        return int(text)
    return text == "true" if name in _BOOLEAN_FIELDS else text


def _text(name: str, text: str) -> str:
    return moment(int(text)) if text and name in _TIME_FIELDS else text


def _unknown_event(fields: dict[str, Any]) -> EventResponse:
    """Return an event as it is stored, field by field; keys of a type that the contract allows are shown.

    A field in a form that this version does not know is shown as text, or left out.
    """
    keys = []
    for each in _entries(fields.get("keys")):
        try:
            key = msgspec.convert(each, KeyChange)
        except msgspec.ValidationError:
            continue
        if is_in_contract(key.key_type):
            keys.append(_key_change(key))
    at = fields.get("at")
    return EventResponse(
        id=fields["id"],
        at=moment(at if isinstance(at, int) else int(fields["id"][:12], 16) // 1000),
        action=str(fields.get("action", "")),
        actor=_unknown_who(fields.get("actor")),
        credential=_unknown_credential(dict(_members(fields.get("actor"))).get("credential")),
        subject=_unknown_who(fields.get("subject")),
        keys=tuple(keys),
        changes=tuple(_unknown_change(name, it) for name, it in _members(fields.get("changes"))),
        reason=_unknown_text(fields.get("reason")),
        source_ip=_unknown_text(fields.get("sourceIp")),
        request_id=_unknown_text(fields.get("requestId")),
        mail=MailResponse(
            waiting=False,
            told=tuple(sorted(name for name, _ in _members(fields.get("told")))),
            undeliverable=tuple(sorted(name for name, _ in _members(fields.get("refused")))),
            feedback=_feedback(_members(fields.get("feedback"))),
        ),
    )


def _unknown_who(it: Any) -> Who:
    """Return an actor or a subject of an event that this version does not know."""
    known = dict(_members(it))
    return Who(
        kind=str(known.get("kind", "")),
        username=_unknown_text(known.get("username")),
        display_name=_unknown_text(known.get("displayName")),
        id=_unknown_text(known.get("id")),
    )


def _unknown_credential(it: Any) -> CredentialResponse | None:
    """Return the credential in an event that this version does not know: of a later kind, that alone."""
    try:
        return _credential(msgspec.convert(it, UsedCredential | None))
    except msgspec.ValidationError:
        kind = _unknown_text(dict(_members(it)).get("kind")) or ""
        return CredentialResponse(kind=kind, key_type=None, key=None, last5=None, passkey=None)


def _unknown_change(name: str, it: Any) -> FieldChange:
    """Return a changed field as text: its old and new value, or one value as the new one."""
    pair = it if isinstance(it, list) and len(it) == 2 else ["", it]
    old, new = (_unknown_text(one) or "" for one in pair)
    return FieldChange(field=name, old=old, new=new, old_value=old, new_value=new)


def _unknown_text(it: Any) -> str | None:
    return None if it is None else it if isinstance(it, str) else str(it)


def _members(it: Any) -> tuple[tuple[str, Any], ...]:
    """Return the members of an object; none of anything else."""
    return tuple(it.items()) if isinstance(it, dict) else ()


def _entries(it: Any) -> list[Any]:
    """Return the entries of an array; none of anything else."""
    return it if isinstance(it, list) else []


def moment(seconds: int) -> str:
    """Return a time in RFC 3339, UTC; one before 1970 or after 9999, as the nearest that it can write."""
    seconds = min(max(seconds, 0), _LAST_MOMENT)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def maybe(seconds: int | None) -> str | None:
    """Return a time in RFC 3339, or None for none."""
    return None if seconds is None else moment(seconds)


def _predecessor(key: ApiKey, now: float) -> PredecessorResponse | None:
    before = current_predecessor(key, now)
    if before is None:
        return None
    return PredecessorResponse(
        key=MASK + before.last5,
        last5=before.last5,
        valid_until=moment(overlap_end(key, before.until)),
        last_used_at=maybe(before.last_used_at),
        shown_to=before.shown_to or None,
    )
