"""Operations on keys: those of a Service User, a User's own, and the key the caller signed in with."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import UNSET, UnsetType

from chalicelib.rules import api_keys, lifetimes, limits, lockout, permissions, sessions
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import caller_as_actor, new_event
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import concurrent_change, validation_error_of
from chalicelib.rules.model import Action, KeyChange, Principal, ServiceUser, User
from chalicelib.rules.ports import Directory, Replace, RevokeKey, Write
from chalicelib.rules.preconditions import IfMatch, require_match
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.writes import until_revoked

Holder = TypeVar("Holder", bound=Principal)


def generate(
    directory: Directory, auth: AuthContext, holder: Holder, key_type: KeyType, restrictions: KeyRestrictions
) -> tuple[Holder, IssuedKey]:
    """Generate a key of a type of which the holder has none. Return the holder and the key with its secret.

    Raises ValidationError for a type that the role may not hold, restrictions that the type does not allow,
    or an invalid expiry, Conflict if there is a key of the type, and TooManyRequests if the budget of key
    changes is used up.
    """
    sessions.require_confirmed(auth)
    now = auth.origin.second
    errors = api_keys.key_type_errors(holder, key_type)
    errors += api_keys.restriction_errors(key_type, restrictions, now)
    errors += lifetimes.expiry_errors(directory, auth, restrictions.expires_at, now)
    if errors:
        raise validation_error_of(errors)
    new, issued, change = api_keys.generate(
        holder, key_type, restrictions, auth.caller.username, now, _ceiling(auth, holder)
    )
    recorded = api_keys.changed_restrictions(new.keys[key_type], holder.keys.get(key_type))
    _commit(directory, auth, holder, new, Action.API_KEY_GENERATED, change, recorded)
    return new, issued


def revoke(
    directory: Directory,
    auth: AuthContext,
    find_holder: Callable[[], ServiceUser | User],
    key_type: KeyType,
    *,
    this_version: bool = False,
    even_if_locked_out: bool = False,
) -> None:
    """Revoke a key and its predecessor. Both are refused once this returns.

    ``find_holder`` reads and returns the holder. A concurrent change does not stop the revocation, unless the
    caller named ``this_version``: nobody can keep a key from being revoked by rotating it in a loop.

    Raises NotFound, and Conflict for what :func:`lockout.require_not_locked_out` refuses, unless
    ``even_if_locked_out``; with that, raises ConfirmationNeeded, so that a stolen cookie locks nobody out.
    """
    if even_if_locked_out:
        sessions.require_confirmed(auth)

    def attempt(*, any_version: bool) -> None:
        nonlocal auth
        holder = find_holder()
        is_own = permissions.is_same_principal(auth.caller, holder)
        if is_own and any_version and not this_version:
            # The caller is as read at sign-in. The event must name what is revoked now.
            auth = auth.read_again(directory.principal(holder.username))
            assert isinstance(auth.caller, User)  # noqa: S101 - for mypy; nobody else revokes keys of their own
            holder = auth.caller
        caller = auth.still_entitled() if is_own else None
        new, change = api_keys.revoke(holder, key_type, auth.origin.now)
        write: Write = Replace(holder, new, concurrent_change())
        if any_version and not this_version:
            write = RevokeKey(holder, key_type, new.version, concurrent_change(), caller)
        event = new_event(auth.origin, caller_as_actor(auth), Action.API_KEY_REVOKED, holder, (change,))
        entitled = () if caller else (auth.still_entitled(),)
        conditions = (
            ()
            if even_if_locked_out
            else lockout.require_not_locked_out(auth, holder, key_type, holder.keys[key_type], None)
        )
        directory.commit(event, write, *entitled, *conditions, patient=True)

    until_revoked(attempt)


def rotate(
    directory: Directory, auth: AuthContext, holder: Holder, key_type: KeyType, overlap: int
) -> tuple[Holder, IssuedKey]:
    """Replace the secret of a key. Return the holder and the new key with its secret.

    Without ``overlap`` (seconds) the replaced key is refused once this returns. Raises NotFound, and
    TooManyRequests if the budget of key changes is used up.
    """
    sessions.require_confirmed(auth)
    presented_digest = auth.digest if holder is auth.caller else None
    ceiling = _ceiling(auth, holder)
    rotation = api_keys.rotate(
        holder, key_type, overlap, auth.origin.second, presented_digest, ceiling, auth.caller.username
    )
    unused = key_type if rotation.replaced_unused else None
    _commit(directory, auth, holder, rotation.holder, Action.API_KEY_ROTATED, rotation.change, unused=unused)
    return rotation.holder, rotation.issued


def rotate_own(
    directory: Directory, auth: AuthContext, overlap: int, if_match: IfMatch | None = None
) -> tuple[Principal, IssuedKey]:
    """Replace the key the caller signed in with, of any type (product page: self-rotation)."""
    require_match(if_match, auth.caller.version, auth.caller.username)
    return rotate(directory, auth, auth.caller, auth.key_type, overlap)


def restrict(
    directory: Directory,
    auth: AuthContext,
    holder: Holder,
    key_type: KeyType,
    networks: tuple[str, ...] | UnsetType = UNSET,
    expires_at: int | UnsetType | None = UNSET,
    *,
    even_if_locked_out: bool = False,
) -> Holder:
    """Change a key's allowed networks and expiry; UNSET leaves one as it is. Return the holder.

    Raises NotFound if there is no usable key of the type, ValidationError for an invalid expiry or
    restrictions that the type does not allow, Forbidden for loosening a key of a Service User above the
    caller's role, Conflict for what :func:`lockout.require_not_locked_out` refuses, unless
    ``even_if_locked_out``, and TooManyRequests if the budget of key changes is used up. A change that halves
    what the key allows has no budget: a thief who has used it up keeps nobody from making the key useless to
    them. There are only so many halves. A change that tightens the restrictions by less, again and again,
    would have no end.
    """
    if even_if_locked_out:
        sessions.require_confirmed(auth)
    key = api_keys.find_usable(holder, key_type, auth.origin.second)
    if errors := api_keys.loosening_errors(key_type, key, networks, expires_at):
        raise validation_error_of(errors)
    if expires_at is not UNSET:
        lifetimes.require_valid_expiry(directory, auth, expires_at, api_keys.lifetime_start(key))
    new, change, changes = api_keys.restrict(holder, key_type, networks, expires_at)
    if not changes:
        return holder
    is_looser = api_keys.is_looser(key, new.keys[key_type])
    halves = not is_looser and api_keys.halves(key, new.keys[key_type], auth.origin.second)
    if is_looser:
        if isinstance(holder, ServiceUser):
            permissions.require_can_change_rights(auth, holder)
        sessions.require_confirmed(auth)
    conditions: tuple[Write, ...] = ()
    if not even_if_locked_out:
        conditions = lockout.require_not_locked_out(auth, holder, key_type, key, new.keys[key_type])
    _commit(
        directory,
        auth,
        holder,
        new,
        Action.API_KEY_UPDATED,
        change,
        changes,
        conditions=conditions,
        has_budget=not halves,
    )
    return new


def _ceiling(auth: AuthContext, holder: Principal) -> Role | None:
    """Return the ceiling of a new key, from the role of the caller, who is shown it.

    A self-rotation passes on the ceiling of the key that the caller signed in with, which may be the
    predecessor: that of the key that is replaced can be higher.
    """
    if holder is auth.caller:
        return auth.ceiling
    return auth.role if isinstance(holder, ServiceUser) else None


def _commit(
    directory: Directory,
    auth: AuthContext,
    old: Principal,
    new: Principal,
    action: Action,
    change: KeyChange,
    changes: dict[str, tuple[str, str]] | None = None,
    unused: KeyType | None = None,
    conditions: tuple[Write, ...] = (),
    *,
    has_budget: bool = True,
) -> None:
    now = auth.origin.second
    if has_budget:
        new = limits.spend(new, directory.limits, now)
    event = new_event(auth.origin, caller_as_actor(auth), action, old, (change,), changes=changes, new=new)
    writes: list[Write] = [Replace(old, new, concurrent_change(), unused)]
    if not permissions.is_same_principal(auth.caller, old):
        writes.append(auth.still_entitled())
    if has_budget:
        writes.append(limits.account_change(old.account, directory.limits, now))
    directory.commit(event, *writes, *conditions)
