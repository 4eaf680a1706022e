"""Listing and revoking the keys of Service Users that a leaving person was shown, and so still knows."""

from collections.abc import Iterator
from typing import NamedTuple

from chalicelib.rules import api_keys, permissions, sessions, users
from chalicelib.rules.audit import caller_as_actor, new_event
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import (
    ConcurrentChange,
    Conflict,
    Forbidden,
    NotFound,
    Unavailable,
    concurrent_change,
)
from chalicelib.rules.model import Action, Cause, ServiceUser, ShownKey
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Directory, Replace

MAX_SERVICE_USERS_CHANGED = 25
"""The most Service Users whose keys one call revokes: a read and a transaction each, seconds at worst."""

PAGE = 500
MAX_PAGES = 4
"""The most pages of Service Users that one call reads: one Query each, of at most a megabyte."""

_TRIES = 3


class EndedKeys(NamedTuple):
    """The keys that a call revoked. ``left``: there is more to do, for the next call, from ``after`` on."""

    keys: tuple[ShownKey, ...]
    left: bool
    after: str | None


def listing(
    directory: Directory, auth: AuthContext, username: str, limit: int, after: str | None
) -> tuple[tuple[ShownKey, ...], str | None]:
    """Return the keys of ``limit`` Service Users that somebody was shown, and where the next page starts.

    That somebody need not be in the account any more. Raises Forbidden.
    """
    permissions.require_can_see_shown_keys(auth)
    page = directory.page(auth.caller.account, ServiceUser, limit, after)
    name, now = fold_username(username), auth.origin.now
    return tuple(key for it in page.members for key in api_keys.shown_keys(it, name, now)), page.after


def search(
    directory: Directory, auth: AuthContext, username: str, after: str | None
) -> tuple[tuple[ShownKey, ...], str | None]:
    """Return the keys that somebody was shown, as :func:`listing` does, from the first page that has some.

    Reads at most ``MAX_PAGES`` pages. Raises Forbidden.
    """
    shown: tuple[ShownKey, ...] = ()
    for _ in range(MAX_PAGES):
        shown, after = listing(directory, auth, username, PAGE, after)
        if shown or after is None:
            break
    return shown, after


def end(
    directory: Directory, auth: AuthContext, username: str, after: str | None, *, revoke_user: bool
) -> EndedKeys:
    """Revoke the keys that somebody was shown; with ``revoke_user``, first revoke that User.

    Once the User is revoked, a failure raises no error: the rest is left for the next call. Raises Forbidden,
    NotFound if there is neither such a User nor such a key, and Conflict for the last OWNER.
    """
    permissions.require_can_see_shown_keys(auth)
    sessions.require_confirmed(auth)
    name = fold_username(username)
    missing: NotFound | None = None
    if revoke_user:
        if name == fold_username(auth.caller.username):
            raise Forbidden("You cannot revoke yourself and then end keys. Ask another OWNER to do it.")
        try:
            users.revoke(directory, auth, username)
        except NotFound as error:  # an earlier call may have revoked them
            missing = error
    ended: list[ShownKey] = []
    left, done, held = True, 0, False
    try:
        for service_user, looked in _service_users(directory, auth, name, after):
            if service_user is not None:
                if done == MAX_SERVICE_USERS_CHANGED:
                    break
                done += 1
                # One event for each, a millisecond apart, so that the trail has them in order.
                origin = auth.origin._replace(now=auth.origin.now + done / 1000)
                try:
                    ended += _end(directory, auth._replace(origin=origin), service_user, name)
                except ConcurrentChange:
                    held = True  # the next call continues there; those after it do not wait
            if not held:
                after, left = looked, looked is not None
        if held and not ended:
            raise concurrent_change()
    except (Unavailable, Conflict):
        if not ended and (missing is not None or not revoke_user):
            raise
    if missing is not None and not ended and not left:
        raise missing
    return EndedKeys(tuple(ended), left, after)


def _service_users(
    directory: Directory, auth: AuthContext, name: str, after: str | None
) -> Iterator[tuple[str | None, str | None]]:
    """Yield the username of each Service User that has such keys, and where to continue once it is done.

    At the end of each page, yields None and where the next page starts.
    """
    for _ in range(MAX_PAGES):
        page = directory.page(auth.caller.account, ServiceUser, PAGE, after)
        for member in page.members:
            if api_keys.shown_keys(member, name, auth.origin.now):
                yield member.username, fold_username(member.username)
        after = page.after
        yield None, after
        if after is None:
            return


def _end(directory: Directory, auth: AuthContext, service_user: str, name: str) -> tuple[ShownKey, ...]:
    """Revoke such keys of one Service User. Raises ConcurrentChange if it changes at every try."""
    for _ in range(_TRIES):
        old = directory.principal(service_user)
        if not isinstance(old, ServiceUser) or old.account != auth.caller.account:
            return ()
        shown = api_keys.shown_keys(old, name, auth.origin.now)
        if not shown:
            return ()
        new, changes = api_keys.revoke_shown(old, shown, auth.origin.now)
        event = new_event(
            auth.origin,
            caller_as_actor(auth),
            Action.API_KEY_REVOKED,
            old,
            changes,
            cause=Cause.SHOWN_KEYS_ENDED,
            reason=f"{name} was shown the secret",
        )
        replaced = Replace(old, new, concurrent_change())
        try:
            directory.commit(event, replaced, auth.still_entitled(), patient=True)
        except ConcurrentChange:
            continue
        return shown
    raise concurrent_change()
