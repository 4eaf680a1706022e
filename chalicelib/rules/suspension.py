"""Suspending a principal, and resuming it.

A suspended principal is refused wherever it signs in, from the moment at which the suspension returns. It
keeps its keys, passkeys and links, so that resuming it brings everything back. A User's sessions end.
"""

from typing import TypeVar

from msgspec.structs import replace

from chalicelib.rules.audit import caller_as_actor, new_event
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Forbidden, SignInRefusal, concurrent_change
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.model import Action, Event, Principal, ServiceUser, User
from chalicelib.rules.ports import Replace, Suspend, Write

P = TypeVar("P", bound=Principal)

OPERATOR = "(operator)"
"""Who suspended the principals of an account that the operator suspended. No username has parentheses."""

_BY_OPERATOR = (
    "The operator of this service has suspended the account, so every key and passkey of it is refused. Ask "
    "the operator; once the account is resumed, they work again."
)

_SUSPENDED: dict[type[Principal], str] = {
    ServiceUser: (
        "This Service User is suspended, so its keys are refused. One of its Administrators or an OWNER of "
        "the account can resume it; then they work again."
    ),
    User: (
        "You are suspended, so your keys and passkeys are refused. An OWNER of the account can resume you; "
        "then they work again."
    ),
}


def require_not_suspended(principal: Principal) -> None:
    """Raise Forbidden for a suspended principal. To be called only for who presented a valid credential."""
    if principal.suspended_at is not None:
        by_operator = principal.suspended_by == OPERATOR
        detail = _BY_OPERATOR if by_operator else _SUSPENDED[type(principal)]
        raise Forbidden(detail, SignInRefusal.SUSPENDED)


def is_by_account(principal: Principal) -> bool:
    """Return whether somebody of the account suspended a principal; the operator resumes no such one."""
    return principal.suspended_at is not None and principal.suspended_by != OPERATOR


def suspended(principal: P, by: Principal, now: int) -> P:
    """Return a principal as it is once suspended: as before, but for a User's sessions and codes."""
    new = replace(principal, suspended_at=now, suspended_by=by.username, version=new_version())
    if isinstance(new, User):
        new = replace(new, sessions={}, enrolment=None)
    return new


def write_of(old: ServiceUser | User, new: ServiceUser | User, *, any_version: bool) -> Write:
    """Return the write of a suspension: of the version that was read or, with ``any_version``, of any."""
    return (Suspend if any_version else Replace)(old, new, concurrent_change())


def resumed(principal: P) -> P:
    """Return a principal as it is once resumed."""
    return replace(principal, suspended_at=None, suspended_by="", version=new_version())


def event_of(auth: AuthContext, old: Principal, new: Principal) -> Event:
    """Return the event of a suspension or a resumption."""
    person = isinstance(old, User)
    if new.suspended_at is None:
        action = Action.USER_RESUMED if person else Action.SERVICE_USER_RESUMED
    else:
        action = Action.USER_SUSPENDED if person else Action.SERVICE_USER_SUSPENDED
    return new_event(auth.origin, caller_as_actor(auth), action, old, new=new)
