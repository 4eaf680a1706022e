"""API keys over HTTP: of Service Users, of Users themselves, and the key used to sign in."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from chalice.app import Response
from msgspec import UNSET, UnsetType

from chalicelib.http import bodies, responses, validation
from chalicelib.http.call import Call, conditional, etag, nothing, reply
from chalicelib.rules import api_keys, key_operations, key_search, leaked_keys, permissions
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import NotFound, validation_error
from chalicelib.rules.leaked_keys import Report
from chalicelib.rules.model import Principal, ServiceUser, User
from chalicelib.rules.roles import KeyType

T = TypeVar("T")
D = TypeVar("D")


class KeyHolderLookup(NamedTuple):
    """How a call finds the holder of the keys: the guard it applies first, and the lookup."""

    guard: Callable[[AuthContext], Any]
    holder: Callable[[Call, AuthContext], ServiceUser | User]


def generate(call: Call, lookup: KeyHolderLookup) -> Response:
    """Generate a key; respond with its secret."""
    auth = call.authenticate(lookup.guard)
    call.query()
    body = call.body(bodies.GenerateKey)
    holder, shown = key_operations.generate(
        call.directory, auth, lookup.holder(call, auth), body.key_type, key_restrictions(body)
    )
    return _reply(call, 201, holder, shown.key_type, shown)


def revoke(call: Call, lookup: KeyHolderLookup) -> Response:
    """Revoke a key."""
    auth = call.authenticate(lookup.guard)
    body = call.body_or_query(bodies.RevokeKey, flags=("evenIfLockedOut",))
    return _revoke(call, auth, lookup, body.key_type, even_if_locked_out=body.even_if_locked_out is True)


def revoke_of_type(call: Call, lookup: KeyHolderLookup, name: str) -> Response:
    """Revoke the key of the type that the path names."""
    auth = call.authenticate(lookup.guard)
    call.query("evenIfLockedOut")
    body = call.body_or_query(bodies.RevokeKeyOfType, flags=("evenIfLockedOut",))
    key_type = KeyType(name) if body.key_type is UNSET else _same_type(name, body.key_type)

    def holder(call: Call, auth: AuthContext) -> ServiceUser | User:
        found = lookup.holder(call, auth)
        # A key can be revoked when the catalogue no longer has its type.
        if key_type not in found.keys or not responses.is_in_contract(key_type):
            named_type(name)
        return found

    of_type = lookup._replace(holder=holder)
    return _revoke(call, auth, of_type, key_type, even_if_locked_out=body.even_if_locked_out is True)


def _revoke(
    call: Call,
    auth: AuthContext,
    lookup: KeyHolderLookup,
    key_type: KeyType,
    *,
    even_if_locked_out: bool = False,
) -> Response:
    key_operations.revoke(
        call.directory,
        auth,
        lambda: lookup.holder(call, auth),
        key_type,
        this_version=call.if_match() is not None,
        even_if_locked_out=even_if_locked_out,
    )
    return nothing()


def restrict(call: Call, lookup: KeyHolderLookup) -> Response:
    """Change a key's restrictions; respond with the key, masked."""
    auth = call.authenticate(lookup.guard)
    call.query()
    body = call.body(bodies.RestrictKey)
    return _restrict(
        call, auth, lookup, body.key_type, body, even_if_locked_out=body.even_if_locked_out is True
    )


def restrict_of_type(call: Call, lookup: KeyHolderLookup, name: str) -> Response:
    """Change the restrictions of the key of the type that the path names; respond with it, masked."""
    auth = call.authenticate(lookup.guard)
    call.query()
    body = call.body(bodies.KeyRestrictions)
    key_type = _same_type(name, body.key_type)
    return _restrict(call, auth, lookup, key_type, body, even_if_locked_out=body.even_if_locked_out is True)


def _restrict(
    call: Call,
    auth: AuthContext,
    lookup: KeyHolderLookup,
    key_type: KeyType,
    body: bodies.KeyTerms,
    *,
    even_if_locked_out: bool = False,
) -> Response:
    holder = key_operations.restrict(
        call.directory,
        auth,
        lookup.holder(call, auth),
        key_type,
        UNSET if body.allowed_networks is UNSET else _networks(body),
        UNSET if body.expires_at is UNSET else _expiry(body),
        even_if_locked_out=even_if_locked_out,
    )
    return _reply(call, 200, holder, key_type)


def named_type(name: str) -> KeyType:
    """Return the key type that a path names. Raise NotFound if there is none of that name."""
    key_type = KeyType(name)
    if not key_type.is_listed:
        known = validation.list_names(KeyType)
        raise NotFound(f"There is no key type '{name}'; the key types are {known}.")
    return key_type


def _same_type(name: str, given: KeyType | UnsetType) -> KeyType:
    """Return the key type that a path names, and a body may name too.

    Raises NotFound if there is none of that name, and ValidationError if the body names another.
    """
    key_type = named_type(name)
    if given is not UNSET and given != key_type:
        raise validation_error("/keyType", f"The path names another type, {name}. Leave this out.")
    return key_type


def read_of_type(call: Call, holder: Principal, name: str) -> Response:
    """Respond with the holder's key of the type that the path names, masked."""
    key_type = named_type(name)
    api_keys.find(holder, key_type)
    return _reply(call, 200, holder, key_type)


def rotate(call: Call, lookup: KeyHolderLookup) -> Response:
    """Rotate a key; respond with the new secret."""
    auth = call.authenticate(lookup.guard)
    call.query()
    body = call.body(bodies.RotateKey)
    holder, shown = key_operations.rotate(
        call.directory, auth, lookup.holder(call, auth), body.key_type, body.overlap_seconds
    )
    return _reply(call, 200, holder, shown.key_type, shown)


@conditional
def rotate_own(call: Call) -> Response:
    """Rotate the key used to sign in; respond with the new secret."""
    auth = call.authenticate(record_use=False)  # the rotation itself writes the last use
    call.query()
    body = call.body_or_none(bodies.RotateOwnKey)
    holder, shown = key_operations.rotate_own(call.directory, auth, body.overlap_seconds, call.if_match())
    return _reply(call, 200, holder, shown.key_type, shown)


def _reply(call: Call, status: int, holder: Principal, key_type: KeyType, *shown: IssuedKey) -> Response:
    """Return a key, with its holder's version as the ``ETag``, on which changes are conditional."""
    body = responses.api_key(holder, key_type, call.origin.now, shown)
    return reply(status, body, {"ETag": etag(holder.version)})


def find(call: Call) -> Response:
    """Respond with the keys that match, masked, and their holders."""
    auth = call.authenticate(permissions.require_can_find_keys)
    call.query()
    body = call.body(bodies.FindKey)
    if isinstance(body.key, str):
        found = key_search.by_value(call.directory, auth, body.key)
    else:
        found = key_search.by_last5(call.directory, auth, str(body.last5))
    return reply(200, tuple(responses.found_key(it, call.origin.now) for it in found))


def report_leaked(call: Call) -> Response:
    """Report leaked keys; respond with the number of keys received, and nothing about the result."""
    call.query()
    body = call.body_list(bodies.LeakedKey, leaked_keys.MAX_REPORTED)
    reports = tuple(Report(it.token.strip(), or_default(it.url, "")) for it in body)
    leaked_keys.report(call.directory, reports, call.origin)
    return reply(200, responses.ReceivedResponse(received=len(body)))


def key_restrictions(body: bodies.KeyTerms) -> KeyRestrictions:
    """Return the restrictions that a body gives to a new key."""
    return KeyRestrictions(_networks(body), _expiry(body))


def or_default(value: T | UnsetType, default: D) -> T | D:
    """Return the value of a field of a body, or ``default`` if it was not given."""
    return default if value is UNSET else value


def _networks(body: bodies.KeyTerms) -> tuple[str, ...]:
    """Return the networks of a body as plain strings."""
    return tuple(str(network) for network in or_default(body.allowed_networks, ()))


def _expiry(body: bodies.KeyTerms) -> int | None:
    """Return the expiry of a body as a plain number."""
    expires_at = or_default(body.expires_at, None)
    return None if expires_at is None else int(expires_at)
