"""Signing in: one read, and either a Principal or one and the same refusal."""

from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, key_format, networks
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import Forbidden, Unauthenticated
from chalicelib.rules.model import Action, ApiKey, Change, KeyChange, Predecessor, Principal
from chalicelib.rules.ports import Directory
from chalicelib.rules.roles import KeyType

HOUR = 3600
"""Seconds a use, or a refusal, of a key stays on record before the next is written."""

_REFUSAL = (
    "The username or the API key is not valid. Sign in by HTTP Basic with a username and one of its API keys."
)


def sign_in(
    directory: Directory, username: str, secret: str, origin: Origin, *, record_use: bool = True
) -> AuthContext:
    """Authenticate a username and ``secret``, and return the caller's context.

    Records the use of the key (``lastUsedAt``) unless ``record_use`` is False: a rotation writes it itself.

    Raises Unauthenticated, in the same words whatever is wrong, and Forbidden for a right key at a
    network it may not be used from. A secret that is not formed like a key costs no read.
    """
    if not key_format.well_formed(secret, key_format.KEY_PREFIX):
        raise Unauthenticated(_REFUSAL)
    digest = key_format.digest(secret)
    principal = directory.principal(username)
    match = _match(principal, digest, origin.now) if principal is not None else None
    if principal is None or match is None:
        raise Unauthenticated(_REFUSAL)
    key = match.key
    if not networks.admits(key.networks, origin.source_ip):
        _record_refusal(directory, principal, match, origin)
        raise Forbidden(
            f"This {match.key_type.value} key may not be used from {origin.source_ip or 'this address'}. "
            "Call from one of its allowed networks, or have an Administrator change them."
        )
    used = match.before.last_used_at if match.before else key.last_used_at
    if used is None or origin.second - used >= HOUR:
        if record_use:
            directory.used(principal, match.key_type, digest, origin.second, before=match.before is not None)
        principal = _noted(principal, match, origin.second)
    return AuthContext(principal, match.key_type, digest, origin)


def _noted(principal: Principal, match: "_Match", now: int) -> Principal:
    """Answer a Principal with the use noted, as it is kept: what this act writes back must not undo that."""
    key = match.key
    if match.before is None:
        key = replace(key, last_used_at=now)
    else:
        key = replace(key, predecessor=replace(match.before, last_used_at=now))
    return replace(principal, keys={**principal.keys, match.key_type: key})


class _Match(NamedTuple):
    key_type: KeyType
    key: ApiKey
    before: Predecessor | None


def _match(principal: Principal, digest: bytes, now: float) -> _Match | None:
    """Answer the living key of a digest, or the one before it; every key is looked at, in constant time."""
    found = None
    for key_type, key in principal.keys.items():
        before = api_keys.current_predecessor(key, now)
        is_key = key_format.same(key.digest, digest)
        is_before = before is not None and key_format.same(before.digest, digest)
        if is_key and not api_keys.is_expired(key, now):
            found = _Match(key_type, key, None)
        elif is_before:
            found = _Match(key_type, key, before)
    return found


def _record_refusal(directory: Directory, principal: Principal, match: _Match, origin: Origin) -> None:
    since = origin.second - HOUR
    if match.key.refused_at is None or match.key.refused_at <= since:
        record = new_event(
            origin,
            actor(principal),
            Action.API_KEY_REFUSED,
            principal,
            (KeyChange(Change.REFUSED, match.key_type, (match.before or match.key).last5),),
            reason=f"{origin.source_ip} is in none of the key's allowed networks",
        )
        directory.refused(principal, match.key_type, since, record)
