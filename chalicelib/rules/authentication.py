"""Signing in by API key: one read, then either the caller's context or an error in always the same words.

A key alone (Bearer) takes one more read before that, of the pointer to its holder.
"""

from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, key_format, networks, suspension
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.errors import Forbidden, SignInRefusal, Unauthenticated
from chalicelib.rules.model import (
    Action,
    ApiKey,
    Cause,
    Change,
    KeyChange,
    Predecessor,
    Principal,
    ServiceUser,
    User,
)
from chalicelib.rules.ports import Directory
from chalicelib.rules.roles import KeyType

HOUR = 3600
"""Seconds before another use, or another refusal, of a key is recorded."""

_WHO_HELPS: dict[type[Principal], str] = {
    ServiceUser: "have an Administrator change them",
    User: "ask an OWNER for a new invitation, which replaces your keys",
}
NOT_VALID = (
    "The username or the API key is not valid. Sign in by HTTP Basic with a username and one of its API "
    "keys, or with the key alone as Bearer."
)


def sign_in(
    directory: Directory,
    username: str | None,
    secret: str,
    origin: Origin,
    *,
    record_use: bool = True,
    people_only: bool = False,
) -> AuthContext:
    """Authenticate and return the caller's context. Without a ``username``, by the key alone.

    Records ``lastUsedAt``, unless the caller passes ``record_use=False`` to write it itself. Raises
    Unauthenticated in the same words whatever is wrong, and Forbidden for a valid key used from a network
    that it does not allow, or of a suspended principal. A secret that is not formed like a key is refused
    without a read. With ``people_only``, a Service User's key is refused like a wrong one, and nothing of it
    is recorded.
    """
    if not key_format.well_formed(secret, key_format.KEY_PREFIX):
        raise Unauthenticated(NOT_VALID, SignInRefusal.MALFORMED)
    digest = key_format.digest(secret)
    if username is None:
        username = directory.username_of(digest)
    principal = directory.principal(username) if username is not None else None
    if principal is None:
        raise Unauthenticated(NOT_VALID, SignInRefusal.WRONG)
    match = _match(principal, digest, origin.now)
    if isinstance(match, SignInRefusal):
        raise Unauthenticated(NOT_VALID, match)
    if people_only and not isinstance(principal, User):
        raise Unauthenticated(NOT_VALID, SignInRefusal.WRONG)
    key = match.key
    if not networks.admits(key.networks, origin.source_ip):
        why = f"{origin.source_ip} is in none of the key's allowed networks"
        _record_refusal(directory, principal, match, origin, Cause.NETWORK_NOT_ALLOWED, why)
        raise Forbidden(
            f"This {match.key_type.value} key may not be used from {origin.source_ip or 'this address'}. "
            f"Call from one of its allowed networks, or {_WHO_HELPS[type(principal)]}.",
            SignInRefusal.NETWORK,
        )
    if principal.suspended_at is not None:
        why = "Its holder is suspended"
        _record_refusal(directory, principal, match, origin, Cause.SUSPENDED, why)
        suspension.require_not_suspended(principal)
    last_used_at = match.predecessor.last_used_at if match.predecessor else key.last_used_at
    if last_used_at is None or origin.second - last_used_at >= HOUR:
        if record_use:
            directory.record_use(principal, digest, origin.second)
        principal = _with_use(principal, match, origin.second)
    return AuthContext(principal, PresentedKey(match.key_type, digest), origin)


def is_valid(principal: Principal, digest: bytes, origin: Origin) -> bool:
    """Return whether a principal's key or predecessor with this digest signs in from where the call is."""
    match = _match(principal, digest, origin.now)
    if isinstance(match, SignInRefusal) or principal.suspended_at is not None:
        return False
    return networks.admits(match.key.networks, origin.source_ip)


def _with_use(principal: Principal, match: "_Match", now: int) -> Principal:
    """Return the principal with the use recorded, so that writing it back does not undo the record."""
    key = match.key
    if match.predecessor is None:
        key = replace(key, last_used_at=now)
    else:
        key = replace(key, predecessor=replace(match.predecessor, last_used_at=now))
    return replace(principal, keys={**principal.keys, match.key_type: key})


class _Match(NamedTuple):
    """The key found, and its predecessor if that is what was presented."""

    key_type: KeyType
    key: ApiKey
    predecessor: Predecessor | None


def _match(principal: Principal, digest: bytes, now: float) -> "_Match | SignInRefusal":
    """Return the usable key or predecessor with this digest, or why there is none.

    Compares all of them, in constant time: how long it takes tells nothing of which was right, or whether it
    has expired. A key whose type is not in the catalogue is not usable.
    """
    found: _Match | SignInRefusal = SignInRefusal.WRONG
    for key_type, key in principal.keys.items():
        is_key = key_format.same(key.digest, digest)
        is_predecessor = key.predecessor is not None and key_format.same(key.predecessor.digest, digest)
        if not key_type.is_listed:
            continue
        if is_key:
            found = SignInRefusal.EXPIRED if api_keys.is_expired(key, now) else _Match(key_type, key, None)
        elif is_predecessor:
            predecessor = api_keys.current_predecessor(key, now)
            found = SignInRefusal.EXPIRED if predecessor is None else _Match(key_type, key, predecessor)
    return found


def _record_refusal(
    directory: Directory, principal: Principal, match: _Match, origin: Origin, cause: Cause, reason: str
) -> None:
    since = origin.second - HOUR
    if match.key.refused_at is None or match.key.refused_at <= since:
        event = new_event(
            origin,
            actor(principal),
            Action.API_KEY_REFUSED,
            principal,
            (KeyChange(Change.REFUSED, match.key_type, (match.predecessor or match.key).last5),),
            cause=cause,
            reason=reason,
        )
        directory.record_refusal(principal, match.key_type, since, event)
