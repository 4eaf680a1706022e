"""Building audit events. Every change has one, written in the transaction that makes the change."""

from chalicelib.rules import api_keys, notifications
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.identifiers import new_event_id
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    Audience,
    Cause,
    CredentialKind,
    Event,
    KeyChange,
    Kind,
    Principal,
    ServiceUser,
    ShownKey,
    Subject,
    UsedCredential,
    User,
)
from chalicelib.rules.notifications import Occurrence
from chalicelib.rules.roles import KeyType

_OLD_EXPIRY_REASON = "The key was given this end when it was made or changed (expiresAt)"
"""The ``reason`` of events about a key's own expiry that were stored before events had a ``cause``.

It must not change: stored events are recognised by it (see :func:`cause_of`).
"""


def new_event(
    origin: Origin,
    actor: Actor,
    action: Action,
    subject: Principal | Account,
    keys: tuple[KeyChange, ...] = (),
    *,
    changes: dict[str, tuple[str, str]] | None = None,
    cause: Cause | None = None,
    reason: str = "",
    invitation: str = "",
    new: Principal | Account | None = None,
    below_role: tuple[KeyType, ...] = (),
    shown_keys: tuple[ShownKey, ...] = (),
    more_shown_keys: bool = False,
) -> Event:
    """Return the audit event of an action. It is due at once if ``notifications.NOTIFIED`` names anybody.

    ``subject`` is the principal or account before the change (as created, if it is new). ``new`` is the one
    after it, if who is notified depends on both.
    """
    knows_keys = bool(shown_keys) or more_shown_keys
    recipients = notifications.recipients(
        action, Occurrence(subject, keys, new, actor, knows_keys, origin.second)
    )
    account = subject.id if isinstance(subject, Account) else subject.account
    return Event(
        id=new_event_id(origin.now),
        account=account,
        at=origin.second,
        action=action,
        actor=actor,
        subject=_subject(subject),
        keys=keys,
        below_role=below_role,
        shown_keys=shown_keys,
        more_shown_keys=more_shown_keys,
        changes=changes or {},
        cause=cause,
        reason=reason,
        source_ip=origin.source_ip,
        request_id=origin.request_id,
        audience=recipients.audience,
        administrators=recipients.administrators,
        invitation=invitation,
        due_at=None if recipients.audience is Audience.NOBODY else origin.second,
    )


def update_event(
    auth: AuthContext,
    action: Action,
    old: Principal,
    new: Principal,
    changes: dict[str, tuple[str, str]],
    revoked_keys: tuple[KeyChange, ...],
) -> Event:
    """Return the event of a principal's update; ``revoked_keys`` are those its new role may not hold."""
    return new_event(
        auth.origin,
        caller_as_actor(auth),
        action,
        old,
        revoked_keys,
        changes=changes,
        cause=Cause.ROLE_LOWERED if revoked_keys else None,
        reason=f"The role is now {new.role.value}" if revoked_keys else "",
        new=new,
        below_role=api_keys.below_role(new) if new.role is not old.role else (),
    )


def actor(principal: Principal, credential: UsedCredential | None = None) -> Actor:
    """Return a principal as the actor of an event, with the credential that they used."""
    return Actor(_kind(principal), principal.username, principal.display_name, _id(principal), credential)


def caller_as_actor(auth: AuthContext) -> Actor:
    """Return the caller as the actor of an event, with the key or the session that they signed in with."""
    return actor(auth.caller, _credential(auth))


def _credential(auth: AuthContext) -> UsedCredential:
    principal, presented = auth.caller, auth.credential
    if isinstance(presented, PresentedKey):
        key = principal.keys[presented.key_type]
        predecessor = key.predecessor
        is_old = predecessor is not None and predecessor.digest == presented.digest
        last5 = predecessor.last5 if predecessor is not None and is_old else key.last5
        return UsedCredential(CredentialKind.API_KEY, presented.key_type, last5)
    assert isinstance(principal, User)  # noqa: S101 - for mypy; nobody else has sessions
    passkey = principal.passkeys.get(principal.sessions[presented.id].passkey)
    return UsedCredential(CredentialKind.SESSION, passkey=passkey.name if passkey else "")


def cause_of(event: Event) -> Cause | None:
    """Return the cause of an event, including one stored before events had a ``cause``.

    None if the actor asked for it, or if an old event does not say.
    """
    if event.cause is None and event.reason == _OLD_EXPIRY_REASON:
        return Cause.EXPIRY
    return event.cause


def _subject(subject: Principal | Account) -> Subject:
    if isinstance(subject, Account):
        return Subject(Kind.ACCOUNT, display_name=subject.name)
    email = subject.email if isinstance(subject, User) else ""
    return Subject(_kind(subject), subject.username, subject.display_name, email, _id(subject))


def _id(principal: Principal) -> str:
    """Return the id that distinguishes a principal from an earlier or later one with the same username."""
    if isinstance(principal, User):
        return principal.membership
    return principal.id if isinstance(principal, ServiceUser) else ""


def _kind(principal: Principal) -> Kind:
    return Kind.USER if isinstance(principal, User) else Kind.SERVICE_USER
