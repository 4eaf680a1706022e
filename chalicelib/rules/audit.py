"""Building audit events."""

from typing import Any

from chalicelib.rules.context import Origin
from chalicelib.rules.identifiers import new_event_id
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    Audience,
    Event,
    KeyChange,
    Kind,
    Principal,
    ServiceUser,
    Subject,
    User,
)


def new_event(
    origin: Origin,
    actor: Actor,
    action: Action,
    subject: Principal | Account,
    keys: tuple[KeyChange, ...] = (),
    *,
    mailed: bool = False,
    **more: Any,
) -> Event:
    """Return the audit event of an action; ``mailed`` if somebody is to be notified.

    Notifies the Administrators of a Service User, and a User of what concerns them.
    """
    audience = Audience.NOBODY
    administrators: dict[str, str] = {}
    if mailed:
        audience = Audience.ADMINISTRATORS if isinstance(subject, ServiceUser) else Audience.PERSON
    if isinstance(subject, ServiceUser) and mailed:
        administrators = subject.administrators
    account = subject.id if isinstance(subject, Account) else subject.account
    return Event(
        id=new_event_id(origin.now),
        account=account,
        at=origin.second,
        action=action,
        actor=actor,
        subject=_subject(subject),
        keys=keys,
        source_ip=origin.source_ip,
        request_id=origin.request_id,
        audience=audience,
        administrators=administrators,
        due_at=origin.second if mailed else None,
        **more,
    )


def actor(principal: Principal) -> Actor:
    """Return a principal as the actor of an event."""
    return Actor(_kind(principal), principal.username)


def _subject(subject: Principal | Account) -> Subject:
    if isinstance(subject, Account):
        return Subject(Kind.ACCOUNT, display_name=subject.name)
    email = subject.email if isinstance(subject, User) else ""
    return Subject(_kind(subject), subject.username, subject.display_name, email)


def _kind(principal: Principal) -> Kind:
    return Kind.USER if isinstance(principal, User) else Kind.SERVICE_USER
