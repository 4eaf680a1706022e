"""Changing keys: one code for a Service User's, a person's own, and the key one signs in with."""

from typing import TypeVar

from chalicelib.rules import api_keys, lifetimes, permissions
from chalicelib.rules.api_keys import UNSET, IssuedKey, KeyRestrictions, Unset
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Conflict, validation_error_of
from chalicelib.rules.model import Action, KeyChange, Principal
from chalicelib.rules.ports import Directory, Replace, Write
from chalicelib.rules.roles import KeyType

Holder = TypeVar("Holder", bound=Principal)


def concurrent_change() -> Conflict:
    """Answer the refusal of a change to what is no longer as it was read.

    Made anew each time: a fault that is raised keeps the frames it came through, and the keys in them.
    """
    return Conflict(
        "Somebody else changed this at the same moment; nothing was done. Read it again and retry."
    )


def generate(
    directory: Directory, auth: AuthContext, holder: Holder, key_type: KeyType, terms: KeyRestrictions
) -> tuple[Holder, IssuedKey]:
    """Give a holder a key of a type it has none of. Answers the holder and the key in the clear."""
    now = auth.origin.second
    faults = api_keys.type_faults(holder, key_type)
    faults += lifetimes.expiry_errors(directory, auth, terms.expires_at, now)
    if faults:
        raise validation_error_of(faults)
    new, shown, change = api_keys.generate(holder, key_type, terms, auth.caller.username, now)
    _commit(directory, auth, holder, new, Action.API_KEY_GENERATED, change)
    return new, shown


def revoke(directory: Directory, auth: AuthContext, holder: Principal, key_type: KeyType) -> None:
    """Take a key away, and the one before it: both are dead when this answers."""
    new, change = api_keys.revoke(holder, key_type)
    _commit(directory, auth, holder, new, Action.API_KEY_REVOKED, change)


def rotate(
    directory: Directory, auth: AuthContext, holder: Holder, key_type: KeyType, overlap: int
) -> tuple[Holder, IssuedKey]:
    """Replace a key. Answers the holder and the new key in the clear.

    Without ``overlap`` (seconds) the old one is dead when this answers.
    """
    presented = auth.digest if holder is auth.caller else None
    new, shown, change = api_keys.rotate(holder, key_type, overlap, auth.origin.second, presented)
    kept = new.keys[key_type].predecessor
    # The newer key ends in place of the presented one: only if it still was never used when that is written.
    unused = key_type if kept is not None and kept == holder.keys[key_type].predecessor else None
    _commit(directory, auth, holder, new, Action.API_KEY_ROTATED, change, unused=unused)
    return new, shown


def rotate_own(directory: Directory, auth: AuthContext, overlap: int) -> tuple[Principal, IssuedKey]:
    """Replace the key the caller signed in with (product page: self-rotate)."""
    return rotate(directory, auth, auth.caller, auth.key_type, overlap)


def restrict(
    directory: Directory,
    auth: AuthContext,
    holder: Holder,
    key_type: KeyType,
    networks: tuple[str, ...] | Unset = UNSET,
    expires_at: int | Unset | None = UNSET,
) -> Holder:
    """Change where and until when a key may be used; what is Unset stays. Answers the holder."""
    key = api_keys.find_usable(holder, key_type, auth.origin.second)
    if isinstance(expires_at, int):
        lifetimes.require_valid_expiry(directory, auth, expires_at, api_keys.lifetime_start(key))
    new, change, changes = api_keys.restrict(holder, key_type, networks, expires_at)
    if not changes:
        return holder
    _commit(directory, auth, holder, new, Action.API_KEY_UPDATED, change, changes)
    return new


def _commit(
    directory: Directory,
    auth: AuthContext,
    old: Principal,
    new: Principal,
    action: Action,
    change: KeyChange,
    changes: dict[str, tuple[str, str]] | None = None,
    unused: KeyType | None = None,
) -> None:
    record = new_event(
        auth.origin,
        actor(auth.caller),
        action,
        old,
        (change,),
        mailed=action is not Action.API_KEY_UPDATED,
        changes=changes or {},
    )
    writes: list[Write] = [Replace(old, new, concurrent_change(), unused)]
    if not permissions.is_same_principal(auth.caller, old):
        writes.append(auth.still_entitled())
    directory.commit(record, *writes)
