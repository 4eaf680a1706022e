"""The life of an API key, for Users and Service Users alike: what each change makes of its holder.

Everything here answers a new holder and what to put on record; nothing is kept yet.
"""

from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from chalicelib.rules import key_format
from chalicelib.rules.errors import Conflict, FieldError, NotFound, validation_error_of
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.model import ApiKey, Change, KeyChange, Predecessor, Principal
from chalicelib.rules.roles import KeyType, Role

Holder = TypeVar("Holder", bound=Principal)

LONGEST_OVERLAP = 604_800
"""Seconds (7 days) for which the key before a rotation may go on working."""


class Unset:
    """The type of a field the caller did not give, where null means something."""


UNSET = Unset()


class KeyRestrictions(NamedTuple):
    """What a key may be asked to keep to. ``networks`` are canonical CIDRs; None means any, or no end."""

    networks: tuple[str, ...] = ()
    expires_at: int | None = None


class IssuedKey(NamedTuple):
    """A key in the clear, to be answered once and forgotten."""

    key_type: KeyType
    secret: str


def is_expired(key: ApiKey, now: float) -> bool:
    """Answer whether a key's time is over: at the very second it expires."""
    return key.expires_at is not None and now >= key.expires_at


def current_predecessor(key: ApiKey, now: float) -> Predecessor | None:
    """Answer the key before, while it still works beside this one."""
    before = key.predecessor
    return before if before is not None and now < before.until and not is_expired(key, now) else None


def no_later(key: ApiKey, until: int) -> int:
    """Answer when the key before a key stops working: with the key itself at the latest."""
    return until if key.expires_at is None else min(until, key.expires_at)


def lifetime_start(key: ApiKey) -> int:
    """Answer when the present secret was made, which is what its age is counted from."""
    return key.rotated_at or key.created_at


def generate(
    holder: Holder, key_type: KeyType, terms: KeyRestrictions, by: str, now: int
) -> tuple[Holder, IssuedKey, KeyChange]:
    """Give a holder its first key of a type, or one in place of a key whose time is over.

    Raises Invalid where the role may not hold the type, Conflict where there is a key of it.
    """
    if faults := type_faults(holder, key_type):
        raise validation_error_of(faults)
    present = holder.keys.get(key_type)
    if present is not None and not is_expired(present, now):
        raise Conflict(
            f"'{holder.username}' has a {key_type.value} key already. Rotate it, or revoke it first."
        )
    secret = key_format.new_key()
    key = ApiKey(
        digest=key_format.digest(secret),
        last5=key_format.last5(secret),
        created_at=now,
        created_by=by,
        expires_at=terms.expires_at,
        networks=terms.networks,
    )
    change = KeyChange(Change.GENERATED, key_type, key.last5)
    return _with(holder, key_type, key), IssuedKey(key_type, secret), change


def type_faults(holder: Principal, key_type: KeyType) -> tuple[FieldError, ...]:
    """Answer that a holder's role may not hold a type of key."""
    if key_type in holder.role.key_types():
        return ()
    allowed = ", ".join(kind.value for kind in holder.role.key_types())
    return (FieldError("/keyType", f"A {holder.role.value} may hold {allowed}; not {key_type.value}."),)


def revoke(holder: Holder, key_type: KeyType) -> tuple[Holder, KeyChange]:
    """Take a key away, and the one before it with it. Raises NotFound where there is none."""
    key = find(holder, key_type)
    return _with(holder, key_type, None), KeyChange(Change.REVOKED, key_type, key.last5)


def rotate(
    holder: Holder, key_type: KeyType, overlap: int, now: int, presented: bytes | None = None
) -> tuple[Holder, IssuedKey, KeyChange]:
    """Replace a key's secret; its networks and its end stay.

    For ``overlap`` seconds the key before works too. Of two such, the older ends; but where the caller
    presented that older one and the newer was never used, the answer that carried it was lost: then the
    newer ends and the presented one keeps the time it had left, so that a caller who never got an
    answer can ask again. Raises NotFound where there is no living key of the type.
    """
    key = find_usable(holder, key_type, now)
    secret = key_format.new_key()
    before: Predecessor | None = None
    older = current_predecessor(key, now)
    if overlap:
        before = Predecessor(key.digest, key.last5, no_later(key, now + overlap), key.last_used_at)
        lost = older is not None and presented == older.digest and key.last_used_at is None
        if older is not None and lost:
            before = older
    rotated = replace(
        key,
        digest=key_format.digest(secret),
        last5=key_format.last5(secret),
        rotated_at=now,
        last_used_at=None,
        refused_at=None,
        predecessor=before,
        notice=None,
    )
    change = KeyChange(
        Change.ROTATED,
        key_type,
        rotated.last5,
        previous_last5=before.last5 if before else key.last5,
        previous_until=before.until if before else None,
    )
    return _with(holder, key_type, rotated), IssuedKey(key_type, secret), change


def restrict(
    holder: Holder,
    key_type: KeyType,
    networks: tuple[str, ...] | Unset,
    expires_at: int | Unset | None,
) -> tuple[Holder, KeyChange, dict[str, tuple[str, str]]]:
    """Change where and until when a key may be used; what is Unset stays.

    Answers what changed, old and new, as text. Raises NotFound where there is no key of the type.
    """
    key = find(holder, key_type)
    changes: dict[str, tuple[str, str]] = {}
    new = key
    if not isinstance(networks, Unset) and networks != key.networks:
        changes["allowedNetworks"] = (" ".join(key.networks), " ".join(networks))
        new = replace(new, networks=networks)
    if not isinstance(expires_at, Unset) and expires_at != key.expires_at:
        changes["expiresAt"] = (str(key.expires_at or ""), str(expires_at or ""))
        new = replace(new, expires_at=expires_at)
    return _with(holder, key_type, new), KeyChange(Change.UPDATED, key_type, key.last5), changes


def lower(holder: Holder, role: Role) -> tuple[Holder, tuple[KeyChange, ...]]:
    """Give a holder a role, and take the keys away that it may not hold."""
    allowed = role.key_types()
    lost = tuple(change for change in revoke_all(holder) if change.key_type not in allowed)
    keys = {key_type: key for key_type, key in holder.keys.items() if key_type in allowed}
    return replace(holder, role=role, keys=keys, version=new_version()), lost


def revoke_all(holder: Principal) -> tuple[KeyChange, ...]:
    """Answer that every key a holder has is revoked, in the published order (a stored map has none)."""
    return tuple(
        KeyChange(Change.REVOKED, key_type, holder.keys[key_type].last5)
        for key_type in KeyType
        if key_type in holder.keys
    )


def find(holder: Principal, key_type: KeyType) -> ApiKey:
    """Answer a holder's key of a type; raises NotFound where there is none."""
    key = holder.keys.get(key_type)
    if key is None:
        raise NotFound(f"'{holder.username}' has no {key_type.value} key.")
    return key


def find_usable(holder: Principal, key_type: KeyType, now: int) -> ApiKey:
    """Answer a holder's key of a type; raises NotFound where there is none or its time is over."""
    key = find(holder, key_type)
    if is_expired(key, now):
        raise NotFound(f"The {key_type.value} key of '{holder.username}' has expired. Generate a new one.")
    return key


def _with(holder: Holder, key_type: KeyType, key: ApiKey | None) -> Holder:
    keys = {**holder.keys}
    if key is None:
        del keys[key_type]
    else:
        keys[key_type] = key
    return replace(holder, keys=keys, version=new_version())
