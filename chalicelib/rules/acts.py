"""An act: who does something, from where and when; and the event that puts it on record."""

import secrets
from typing import Any, NamedTuple

from chalicelib.rules.errors import Unauthenticated
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
from chalicelib.rules.ports import StillEntitled
from chalicelib.rules.roles import KeyType


class Origin(NamedTuple):
    """Where a call comes from. ``now`` is seconds since 1970, with its fraction."""

    source_ip: str
    request_id: str
    now: float

    @property
    def second(self) -> int:
        """The whole second of the call, as times are kept."""
        return int(self.now)


class AuthContext(NamedTuple):
    """A call by a Principal that has signed in with a key of ``key_type`` and ``digest``."""

    caller: Principal
    key_type: KeyType
    digest: bytes
    origin: Origin

    def still_entitled(self) -> StillEntitled:
        """Answer the condition that the caller has not lost what they signed in with meanwhile."""
        return StillEntitled(
            self.caller,
            self.key_type,
            self.digest,
            Unauthenticated(
                "The key was revoked, or its holder's rights changed, while the call was under way."
            ),
        )


def new_version() -> str:
    """Answer a version no item has had before."""
    return secrets.token_hex(8)


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
    """Answer the record of an act; ``mailed`` for one that people are to be told of.

    A Service User's Administrators are told of it, and a person of what is their own.
    """
    audience = Audience.NOBODY
    administrators: dict[str, str] = {}
    if mailed:
        audience = Audience.ADMINISTRATORS if isinstance(subject, ServiceUser) else Audience.PERSON
    if isinstance(subject, ServiceUser) and mailed:
        administrators = subject.administrators
    account = subject.id if isinstance(subject, Account) else subject.account
    return Event(
        id=f"{int(origin.now * 1000):012x}{secrets.token_hex(8)}",
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
    """Answer a Principal as the one who acts."""
    return Actor(_kind(principal), principal.username)


def _subject(subject: Principal | Account) -> Subject:
    if isinstance(subject, Account):
        return Subject(Kind.ACCOUNT, display_name=subject.name)
    email = subject.email if isinstance(subject, User) else ""
    return Subject(_kind(subject), subject.username, subject.display_name, email)


def _kind(principal: Principal) -> Kind:
    return Kind.USER if isinstance(principal, User) else Kind.SERVICE_USER
