"""Leaked keys: anybody can report keys that they found, without signing in. Working ones are revoked at once.

Having the key is proof enough: its finder could do worse with it than have it revoked. Every report gets the
same response, so that nobody learns more from it than from trying the key.
"""

import re
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, key_format, limits
from chalicelib.rules.audit import new_event
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import concurrent_change
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import (
    Action,
    Actor,
    ApiKey,
    Cause,
    Change,
    KeyChange,
    Kind,
    Predecessor,
    Principal,
    ServiceUser,
    User,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Directory, Replace, RevokeKey, Write
from chalicelib.rules.roles import KeyType
from chalicelib.rules.writes import until_revoked

MAX_REPORTED = 100
"""The most keys of one report: as many as one read takes."""

_NOBODY = frozenset({"-"})
"""Not a username. It is read if no reported key was found, so that every report takes two reads."""

_PLACE = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/@:+-]*)?")
_MAX_PLACE = 200


class Report(NamedTuple):
    """A key that somebody found, and where. ``url`` is empty if they did not say."""

    token: str
    url: str


def report(directory: Directory, reports: tuple[Report, ...], origin: Origin) -> None:
    """Revoke the keys that were found or, if the account's policy says so, only notify of them.

    Ignores what is not a key, or does not work. Raises TooManyRequests for a sender of too many reports, and
    Unavailable; keys revoked by then stay revoked, and the report can be sent again.
    """
    directory.count_call(limits.leak_report(origin.source_ip, directory.limits, origin.second))
    found = {
        key_format.digest(it.token): it.url
        for it in reports
        if key_format.well_formed(it.token, key_format.KEY_PREFIX)
    }
    usernames = directory.usernames_of(frozenset(found))
    holders = directory.principals(frozenset(usernames.values()) or _NOBODY)
    for digest, username in usernames.items():
        holder = holders.get(username)
        if holder is not None and _leak(holder, digest, origin.now) is not None:
            _handle(directory, holder, digest, found[digest], origin)


class _Leak(NamedTuple):
    """The key of a holder that leaked; with ``predecessor``, its predecessor was reported.

    ``revokes_key``: the key itself counts as leaked, and not only its predecessor.
    """

    key_type: KeyType
    predecessor: Predecessor | None
    revokes_key: bool


def _leak(holder: Principal, digest: bytes, now: float) -> _Leak | None:
    """Return the key that leaked; None if it does not work.

    If a leaked predecessor was replaced by a self-rotation, the current key counts as leaked too: the
    rotation may have been the machine's or the thief's, and nobody can tell which.
    """
    for key_type, key in holder.keys.items():
        predecessor = api_keys.current_predecessor(key, now)
        if key_format.same(key.digest, digest) and not api_keys.is_expired(key, now):
            return _Leak(key_type, None, revokes_key=True)
        if predecessor is not None and key_format.same(predecessor.digest, digest):
            by_another = key.rotated_by and fold_username(key.rotated_by) != fold_username(holder.username)
            return _Leak(key_type, predecessor, revokes_key=not by_another)
    return None


def _handle(directory: Directory, first: Principal, digest: bytes, url: str, origin: Origin) -> None:
    account = directory.account(first.account)
    notify_only = account is not None and account.policy.keep_leaked_keys

    def attempt(*, any_version: bool) -> None:
        holder = directory.principal(first.username) if any_version else first
        if not isinstance(holder, ServiceUser | User):
            return
        leak = _leak(holder, digest, origin.now)
        if leak is None:
            return
        key = holder.keys[leak.key_type]
        reported = leak.predecessor or key
        change = KeyChange(Change.REVOKED, leak.key_type, reported.last5)
        if notify_only:
            if reported.leaked_at is not None and origin.second - reported.leaked_at < DAY:
                return
            change = KeyChange(Change.LEAKED, leak.key_type, reported.last5)
            new = api_keys.with_key(holder, leak.key_type, _reported(key, leak, origin.second))
        elif not leak.revokes_key:
            new = api_keys.with_key(holder, leak.key_type, api_keys.without_predecessor(key))
        else:
            new, change = api_keys.revoke(holder, leak.key_type, origin.now)
            if leak.predecessor is not None:
                change = replace(change, previous_last5=leak.predecessor.last5, also_ended="")
        write: Write = Replace(holder, new, concurrent_change())
        if any_version and not notify_only:
            predecessor = None if leak.revokes_key else digest
            changed = concurrent_change()
            write = RevokeKey(holder, leak.key_type, new.version, changed, predecessor=predecessor)
        event = new_event(
            origin,
            Actor(Kind.LEAK_REPORT),
            Action.API_KEY_LEAKED,
            holder,
            (change,),
            cause=Cause.LEAKED,
            reason=f"It was found at {_place(url)}" if _place(url) else "It was found by somebody",
        )
        directory.commit(event, write, patient=True)

    until_revoked(attempt)


def _reported(key: ApiKey, leak: _Leak, now: int) -> ApiKey:
    """Return a key that records when it, or its predecessor, was last reported."""
    if leak.predecessor is None:
        return replace(key, leaked_at=now)
    return replace(key, predecessor=replace(leak.predecessor, leaked_at=now))


def _place(url: str) -> str:
    """Return the part of a URL to record: no query, and nothing that is formed like a key."""
    place = _PLACE.match(url[:_MAX_PLACE])
    return re.sub(r"su[kisce]_[0-9A-Za-z]*", "…", place.group()) if place else ""
