"""API keys over HTTP: one code for Service Users', people's own, and the key one signs in with."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from chalice.app import Response
from msgspec import UNSET, UnsetType

from chalicelib.http import bodies, responses
from chalicelib.http.call import Call, conditional, etag, nothing, reply
from chalicelib.rules import key_operations
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.context import AuthContext
from chalicelib.rules.model import Principal, ServiceUser, User
from chalicelib.rules.roles import KeyType

T = TypeVar("T")
D = TypeVar("D")


class KeyHolderLookup(NamedTuple):
    """How a call comes to the holder of the keys: whom it lets in at all, and to which holder."""

    guard: Callable[[AuthContext], Any]
    holder: Callable[[Call, AuthContext], ServiceUser | User]


def generate(call: Call, door: KeyHolderLookup) -> Response:
    """201, the key in the clear, once."""
    auth = call.authenticate(door.guard)
    call.query()
    body = call.body(bodies.GenerateKey)
    holder, shown = key_operations.generate(
        call.directory, auth, door.holder(call, auth), body.key_type, key_restrictions(body)
    )
    return _reply(call, 201, holder, shown.key_type, shown)


def revoke(call: Call, door: KeyHolderLookup) -> Response:
    """204; the key is dead when the answer arrives."""
    auth = call.authenticate(door.guard)
    body = call.body_or_query(bodies.RevokeKey)
    key_operations.revoke(
        call.directory,
        auth,
        lambda: door.holder(call, auth),
        body.key_type,
        this_version=call.if_match() is not None,
    )
    return nothing()


def restrict(call: Call, door: KeyHolderLookup) -> Response:
    """200, the key as it is now, masked."""
    auth = call.authenticate(door.guard)
    call.query()
    body = call.body(bodies.RestrictKey)
    holder = key_operations.restrict(
        call.directory,
        auth,
        door.holder(call, auth),
        body.key_type,
        UNSET if body.allowed_networks is UNSET else _networks(body),
        UNSET if body.expires_at is UNSET else _end(body),
    )
    return _reply(call, 200, holder, body.key_type)


def rotate(call: Call, door: KeyHolderLookup) -> Response:
    """200, the new key in the clear, once."""
    auth = call.authenticate(door.guard)
    call.query()
    body = call.body(bodies.RotateKey)
    holder, shown = key_operations.rotate(
        call.directory, auth, door.holder(call, auth), body.key_type, body.overlap_seconds
    )
    return _reply(call, 200, holder, shown.key_type, shown)


@conditional
def rotate_own(call: Call) -> Response:
    """200, the successor of the key the caller signed in with, in the clear, once."""
    auth = call.authenticate(record_use=False)  # the rotation writes the key anew, with its last use
    call.query()
    body = call.body_or_none(bodies.RotateOwnKey)
    holder, shown = key_operations.rotate_own(call.directory, auth, body.overlap_seconds, call.if_match())
    return _reply(call, 200, holder, shown.key_type, shown)


def _reply(call: Call, status: int, holder: Principal, key_type: KeyType, *shown: IssuedKey) -> Response:
    """Return a key, with the version of its holder as the ``ETag``: that is what a change depends on."""
    answer = responses.api_key(holder, key_type, call.origin.now, shown)
    return reply(status, answer, {"ETag": etag(holder.version)})


def key_restrictions(body: bodies.KeyTerms) -> KeyRestrictions:
    """Return what a body asks a new key to keep to."""
    return KeyRestrictions(_networks(body), _end(body))


def or_default(value: T | UnsetType, default: D) -> T | D:
    """Return a field of a body, or what stands for one that was not given."""
    return default if value is UNSET else value


def _networks(body: bodies.KeyTerms) -> tuple[str, ...]:
    """Return the networks a body names, as the plain strings they are kept as."""
    return tuple(str(network) for network in or_default(body.allowed_networks, ()))


def _end(body: bodies.KeyTerms) -> int | None:
    """Return the end a body names, as the plain number it is kept as."""
    end = or_default(body.expires_at, None)
    return None if end is None else int(end)
