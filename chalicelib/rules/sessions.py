"""Sessions: how long a person stays signed in to the console, and what ends a session.

A session is part of the User's item. So the write that revokes the User, or replaces their credentials by a
new invitation, also ends their sessions.
"""

import hmac
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import key_format
from chalicelib.rules.audit import caller_as_actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.credentials import PresentedSession
from chalicelib.rules.errors import (
    ConfirmationNeeded,
    NotFound,
    Unauthenticated,
    concurrent_change,
)
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.model import Action, Session, User
from chalicelib.rules.ports import Directory, Replace
from chalicelib.rules.writes import until_revoked

IDLE_SECONDS = 15 * 60
"""A session ends if it is not used for this time."""

NOTE_SECONDS = 60
"""Seconds before another use of a session is recorded. An idle session may end this much too early."""

MAX_SECONDS = 8 * 3600
"""A session ends after this time, even if it is used."""

CONFIRMED_SECONDS = 5 * 60
"""How long after a touch of a passkey a session may issue keys and change rights."""

MAX_SESSIONS = 5
"""The most sessions of a person. One more ends one of the same passkey if there is one, else any: of these
the one that was used longest ago. So whoever has one passkey cannot end the sessions of another by signing in
again and again."""

_NOT_SIGNED_IN = "You are not signed in, or your session has ended. Sign in with a passkey."


class Entry(NamedTuple):
    """A new session: the User who has it, its id, and the secret of its cookie."""

    user: User
    id: str
    secret: str


def ends_at(session: Session) -> int:
    """Return when a session ends if it is not used again."""
    return min(session.seen_at + IDLE_SECONDS, session.started_at + MAX_SECONDS)


def is_over(session: Session, now: float) -> bool:
    """Return whether a session has ended; from the second of its end on."""
    return now >= ends_at(session)


def start(user: User, passkey: str, origin: Origin, browser: str) -> Entry:
    """Return a User with one more session, confirmed now, without ended sessions and the one too many."""
    secret = key_format.new_secret(key_format.SESSION_PREFIX)
    now = origin.second
    new = Session(
        digest=key_format.digest(secret),
        started_at=now,
        seen_at=now,
        confirmed_at=now,
        passkey=passkey,
        source_ip=origin.source_ip,
        browser=browser,
    )
    live = {id_: it for id_, it in user.sessions.items() if not is_over(it, now)}
    while len(live) >= MAX_SESSIONS:
        same = {id_: it for id_, it in live.items() if it.passkey == passkey}
        del live[_used_longest_ago(same or live)]
    session_id = new_id()
    sessions = {**live, session_id: new}
    return Entry(replace(user, sessions=sessions, version=new_version()), session_id, secret)


def _used_longest_ago(sessions: dict[str, Session]) -> str:
    return min(sessions, key=lambda id_: (sessions[id_].seen_at, sessions[id_].started_at))


def resume(
    directory: Directory, username: str, secret: str, origin: Origin, *, record_use: bool = True
) -> AuthContext:
    """Authenticate by a session and return the caller's context. Records the use, at most once a minute.

    Without ``record_use`` it records nothing, and the session ends when it would have ended anyway.
    Raises Unauthenticated in the same words whatever is wrong. A secret that is not formed like a session's
    is refused without a read.
    """
    if not key_format.well_formed(secret, key_format.SESSION_PREFIX):
        raise Unauthenticated(_NOT_SIGNED_IN)
    digest = key_format.digest(secret)
    user = directory.principal(username)
    found: tuple[str, Session] | None = None
    if isinstance(user, User) and user.suspended_at is None:
        for session_id, session in user.sessions.items():
            if key_format.same(session.digest, digest) and not is_over(session, origin.now):
                found = session_id, session
    if not isinstance(user, User) or found is None:
        raise Unauthenticated(_NOT_SIGNED_IN)
    session_id, session = found
    if record_use and origin.second - session.seen_at >= NOTE_SECONDS:
        directory.record_session_use(user, session_id, digest, origin.second)
        used = {**user.sessions, session_id: replace(session, seen_at=origin.second)}
        user = replace(user, sessions=used)
    return AuthContext(user, PresentedSession(session_id, digest, session.confirmed_at), origin)


def current(auth: AuthContext) -> tuple[User, Session]:
    """Return the User and the session of a page. Raises Unauthenticated if the caller used an API key."""
    if isinstance(auth.caller, User) and isinstance(auth.credential, PresentedSession):
        return auth.caller, auth.caller.sessions[auth.credential.id]
    raise Unauthenticated(_NOT_SIGNED_IN)


def id_of(auth: AuthContext) -> str:
    """Return the id of the caller's session; empty if the caller used an API key."""
    return auth.credential.id if isinstance(auth.credential, PresentedSession) else ""


def confirmed_until(auth: AuthContext) -> int | None:
    """Return until when a session counts as confirmed; None if the caller used an API key."""
    if isinstance(auth.credential, PresentedSession):
        return auth.credential.confirmed_at + CONFIRMED_SECONDS
    return None


def require_confirmed(auth: AuthContext) -> None:
    """Raise ConfirmationNeeded for a session whose passkey was touched over 5 minutes ago.

    A call with an API key needs no confirmation, because it presents the secret each time.
    """
    until = confirmed_until(auth)
    if until is not None and auth.origin.now >= until:
        raise ConfirmationNeeded


def until_done(directory: Directory, auth: AuthContext, attempt: Callable[[AuthContext], None]) -> None:
    """Try what gives no new rights up to three times, while concurrent calls change the caller.

    Otherwise whoever signs in again and again with one of a person's passkeys could keep them from removing
    it, or from the confirmation that comes first. Each further try has the caller as read again. Raises
    Unauthenticated if their session has ended by then, or their rights have changed.
    """

    def tried(*, any_version: bool) -> None:
        attempt(auth.read_again(directory.principal(auth.caller.username)) if any_version else auth)

    until_revoked(tried)


def end(directory: Directory, auth: AuthContext, session_id: str) -> None:
    """End one of the caller's sessions, also while they sign in. Raises NotFound if they have none such.

    Raises ConfirmationNeeded for another than the one they are in: whoever has no more than a stolen cookie
    must not end the sessions of its person.
    """
    if session_id != id_of(auth):
        require_confirmed(auth)

    def attempt(auth: AuthContext) -> None:
        user, _ = current(auth)
        if session_id not in user.sessions:
            raise NotFound("There is no such session; it may have ended already.")
        left = {id_: it for id_, it in user.sessions.items() if id_ != session_id}
        _replace(directory, auth, user, left)

    until_done(directory, auth, attempt)


def end_all(directory: Directory, auth: AuthContext) -> None:
    """End all of the caller's sessions, including this one, also while they sign in."""

    def attempt(auth: AuthContext) -> None:
        user, _ = current(auth)
        _replace(directory, auth, user, {})

    until_done(directory, auth, attempt)


def _replace(directory: Directory, auth: AuthContext, old: User, left: dict[str, Session]) -> None:
    ended = len(old.sessions) - len(left)
    new = replace(old, sessions=left, version=new_version())
    changes = {"sessions": (str(ended), "")}
    event = new_event(auth.origin, caller_as_actor(auth), Action.SIGNED_OUT, old, changes=changes)
    directory.commit(event, Replace(old, new, concurrent_change()), patient=True)


def csrf_token(secret: str) -> str:
    """Return the CSRF token of a session's forms: an HMAC that does not reveal the cookie's secret."""
    return hmac.digest(secret.encode(), b"form", "sha256").hex()[:32]
