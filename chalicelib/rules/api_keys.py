"""Changes to API keys, the same for Users and Service Users, as values.

Each function returns the new holder and what to record about the change; nothing is stored here.
"""

from typing import Generic, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from chalicelib.rules import key_format
from chalicelib.rules.errors import Conflict, FieldError, NotFound, validation_error_of
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import (
    ApiKey,
    Cause,
    Change,
    KeyChange,
    Notice,
    Predecessor,
    Principal,
    ServiceUser,
    ShownKey,
)
from chalicelib.rules.names import fold_username, with_article
from chalicelib.rules.networks import are_all, halve, within
from chalicelib.rules.roles import KeyType, Role, in_order

Holder = TypeVar("Holder", bound=Principal)

MAX_REVOKED_PREDECESSORS = 20
"""The most revoked predecessors that a key remembers. Only an OWNER could have more of them revoked."""

MAX_OVERLAP = 604_800
"""The most seconds (7 days) for which the predecessor, the old key, may keep working after a rotation."""


class KeyRestrictions(NamedTuple):
    """Where and until when a key may be used.

    ``networks`` are canonical CIDRs, none for any address; ``expires_at`` is None for no expiry.
    """

    networks: tuple[str, ...] = ()
    expires_at: int | None = None


class IssuedKey(NamedTuple):
    """A key with its secret, to be shown once and never stored."""

    key_type: KeyType
    secret: str


class Rotation(NamedTuple, Generic[Holder]):
    """What a rotation makes of a holder.

    ``replaced_unused``: the replaced key was treated as lost because it was never used, and the predecessor
    keeps working in its place. So the rotation may be stored only if that key is still unused.
    """

    holder: Holder
    issued: IssuedKey
    change: KeyChange
    replaced_unused: bool


def changed_restrictions(
    new: KeyRestrictions | ApiKey, old: KeyRestrictions | ApiKey | None = None
) -> dict[str, tuple[str, str]]:
    """Return the restrictions that differ, the old value and the new one as text, as an event records them.

    ``old`` are those that the key had, or those of a key that this one replaces; None for none.
    """
    old = old or KeyRestrictions()
    recorded: dict[str, tuple[str, str]] = {}
    if set(new.networks) != set(old.networks):  # another order is no change
        recorded["allowedNetworks"] = (" ".join(old.networks), " ".join(new.networks))
    if new.expires_at != old.expires_at:
        recorded["expiresAt"] = (str(old.expires_at or ""), str(new.expires_at or ""))
    return recorded


def is_expired(key: ApiKey, now: float) -> bool:
    """Return whether a key has expired; from the second of its expiry on."""
    return key.expires_at is not None and now >= key.expires_at


def lacks_pointer(key: ApiKey) -> bool:
    """Return whether a key or its predecessor has no pointer, because an earlier version stored it."""
    return not key.has_pointer or (key.predecessor is not None and not key.predecessor.has_pointer)


def current_predecessor(key: ApiKey, now: float) -> Predecessor | None:
    """Return the predecessor of a key while the overlap lasts; None otherwise."""
    predecessor = key.predecessor
    if predecessor is None or now >= predecessor.until or is_expired(key, now):
        return None
    return predecessor


def overlap_end(key: ApiKey, until: int) -> int:
    """Return when the predecessor of a key stops working: at ``until``, or earlier if the key expires."""
    return until if key.expires_at is None else min(until, key.expires_at)


def lifetime_start(key: ApiKey) -> int:
    """Return when the current secret was made; a key's age is counted from then."""
    return key.rotated_at or key.created_at


def generate(
    holder: Holder,
    key_type: KeyType,
    restrictions: KeyRestrictions,
    by: str,
    now: int,
    ceiling: Role | None = None,
) -> tuple[Holder, IssuedKey, KeyChange]:
    """Generate a key of a type of which the holder has no key, or only an expired one.

    ``ceiling`` is the role of the principal that is shown the secret; None for a User's own key. Without an
    expiry, the key gets the longest life of its type, if that has one.

    Raises ValidationError if the holder's role may not hold the type, or the type does not allow the
    restrictions, and Conflict if there is such a key.
    """
    errors = (*key_type_errors(holder, key_type), *restriction_errors(key_type, restrictions, now))
    if errors:
        raise validation_error_of(errors)
    current = holder.keys.get(key_type)
    if current is not None and not is_expired(current, now):
        a_key = f"{with_article(key_type.value)} key"
        raise Conflict(f"'{holder.username}' already has {a_key}. Rotate it, or revoke it first.")
    secret = key_format.new_key()
    digest = key_format.digest(secret)
    life_days = key_type.max_life_days if restrictions.expires_at is None else None
    key = ApiKey(
        digest=digest,
        last5=key_format.last5(secret),
        created_at=now,
        created_by=by,
        expires_at=restrictions.expires_at if life_days is None else now + life_days * DAY,
        networks=restrictions.networks,
        ceiling=ceiling,
        has_pointer=True,
        life_days=life_days,
        first=beginning(digest),
    )
    change = KeyChange(
        Change.GENERATED, key_type, key.last5, previous_last5="" if current is None else current.last5
    )
    return with_key(holder, key_type, key), IssuedKey(key_type, secret), change


def types_shown(holder: Principal) -> tuple[KeyType, ...]:
    """Return the types that the holder's role may hold, and those of its keys, in published order."""
    return in_order({*holder.role.key_types(), *holder.keys})


def key_type_errors(holder: Principal, key_type: KeyType) -> tuple[FieldError, ...]:
    """Return the error of a key type that the holder's role may not hold; none if it may."""
    if key_type in holder.role.key_types():
        return ()
    allowed = ", ".join(kind.value for kind in holder.role.key_types())
    return (FieldError("/keyType", f"A {holder.role.value} may hold {allowed}; not {key_type.value}."),)


def restriction_errors(
    key_type: KeyType, restrictions: KeyRestrictions, since: int
) -> tuple[FieldError, ...]:
    """Return why a new key of a type, made ``since``, may not have these restrictions; none if it may."""
    return (
        *_network_errors(key_type, restrictions.networks),
        *_life_errors(key_type, restrictions.expires_at, since),
    )


def _network_errors(key_type: KeyType, networks: tuple[str, ...]) -> tuple[FieldError, ...]:
    if not key_type.requires_networks or not are_all(networks):
        return ()
    why = f"{with_article(key_type.value, 'A')} key needs allowed networks: name those that it is used from."
    return (FieldError("/allowedNetworks", why),)


def _life_errors(key_type: KeyType, expires_at: int | None, since: int) -> tuple[FieldError, ...]:
    days = key_type.max_life_days
    if days is None or expires_at is None or expires_at <= since + days * DAY:
        return ()
    a_key = f"{with_article(key_type.value, 'A')} key"
    why = f"{a_key} ends at most {days} days after its secret was made. Give an earlier time."
    return (FieldError("/expiresAt", why),)


def loosening_errors(
    key_type: KeyType,
    key: ApiKey,
    networks: tuple[str, ...] | UnsetType,
    expires_at: int | UnsetType | None,
) -> tuple[FieldError, ...]:
    """Return why a key of a type may not get these restrictions; UNSET leaves one as it is.

    What the key has already, it may keep, and it may always get less: a catalogue may have become stricter
    since it was made.
    """
    found: tuple[FieldError, ...] = ()
    if networks is not UNSET and not within(networks, key.networks):
        found += _network_errors(key_type, networks)
    if expires_at is UNSET or key.expires_at is None:
        return found
    if expires_at is None and key_type.max_life_days is not None:
        days = key_type.max_life_days
        a_key = f"{with_article(key_type.value, 'A')} key"
        why = f"{a_key} has an expiry, at most {days} days after its secret was made."
        found += (FieldError("/expiresAt", why),)
    if expires_at is not None and expires_at > key.expires_at:
        found += _life_errors(key_type, expires_at, lifetime_start(key))
    return found


def revoke(holder: Holder, key_type: KeyType, now: float) -> tuple[Holder, KeyChange]:
    """Revoke a key and its predecessor. Raises NotFound if there is no key of the type."""
    change = revocation(find(holder, key_type), key_type, now)
    return with_key(holder, key_type, None), change


def revocation(key: ApiKey, key_type: KeyType, now: float) -> KeyChange:
    """Return what to record of a key that is revoked, with its predecessor if that one still works."""
    predecessor = current_predecessor(key, now)
    return KeyChange(Change.REVOKED, key_type, key.last5, also_ended=predecessor.last5 if predecessor else "")


def without_predecessor(key: ApiKey) -> ApiKey:
    """Return a key without its predecessor, which is revoked alone."""
    assert key.predecessor is not None  # noqa: S101 - for mypy; whoever revokes it has found it
    return replace(with_revoked_predecessor(key, key.predecessor.digest), predecessor=None)


def with_revoked_predecessor(key: ApiKey, digest: bytes) -> ApiKey:
    """Return a key that records one that it replaced as revoked, with what was sent with that one."""
    revoked = (*key.revoked_predecessors, beginning(digest))
    return replace(key, revoked_predecessors=revoked[-MAX_REVOKED_PREDECESSORS:])


def beginning(digest: bytes) -> bytes:
    """Return the part of a key's digest that tells it from others of the same holder."""
    return digest[:8]


def rotate(
    holder: Holder,
    key_type: KeyType,
    overlap: int,
    now: int,
    presented_digest: bytes | None = None,
    ceiling: Role | None = None,
    by: str = "",
) -> Rotation[Holder]:
    """Replace the secret of a key; its restrictions stay, but for an expiry that nobody chose.

    That one is the longest life of the key's type, which begins anew with the secret. ``ceiling`` is the
    new key's, and ``by`` the username of the principal that rotates it.

    With an ``overlap`` (seconds), the replaced key becomes the predecessor and works for that time; an
    earlier predecessor stops working. There is one exception: if the caller signed in with the predecessor
    (``presented_digest``) and the key was never used, then the response that carried that key was lost. In
    that case that key stops working at once, and the predecessor keeps the time it had left. So a caller who
    never received a response can retry (product page: lost-response).

    Raises NotFound if there is no usable key of the type.
    """
    key = find_usable(holder, key_type, now)
    secret = key_format.new_key()
    predecessor: Predecessor | None = None
    previous_predecessor = current_predecessor(key, now)
    also_ended = previous_predecessor.last5 if previous_predecessor else ""
    response_was_lost = False
    if overlap:
        until = overlap_end(key, now + overlap)
        predecessor = Predecessor(
            key.digest,
            key.last5,
            until,
            last_used_at=key.last_used_at,
            ceiling=key.ceiling,
            has_pointer=key.has_pointer,
            shown_to=shown_to(key),
            leaked_at=key.leaked_at,
        )
        if (
            previous_predecessor is not None
            and presented_digest == previous_predecessor.digest
            and key.last_used_at is None
        ):
            response_was_lost = True
            predecessor = previous_predecessor
            also_ended = key.last5
    rotated = replace(
        key,
        digest=key_format.digest(secret),
        last5=key_format.last5(secret),
        rotated_at=now,
        last_used_at=None,
        refused_at=None,
        predecessor=predecessor,
        notice=_kept_notice(key),
        ceiling=ceiling,
        rotated_by=by,
        has_pointer=True,
        leaked_at=None,
        **_renewed_life(key, key_type, now),
    )
    change = KeyChange(
        Change.ROTATED,
        key_type,
        rotated.last5,
        previous_last5=predecessor.last5 if predecessor else key.last5,
        previous_until=predecessor.until if predecessor else None,
        also_ended=also_ended,
    )
    return Rotation(
        with_key(holder, key_type, rotated), IssuedKey(key_type, secret), change, response_was_lost
    )


def _kept_notice(key: ApiKey) -> Notice | None:
    """Return what the notice of a key says of an expiry that a rotation does not change; None if nothing."""
    if key.notice is None or key.expires_at is None or key.life_days is not None:
        return None
    if Cause.EXPIRY not in key.notice.causes:
        return None
    return replace(key.notice, causes=(Cause.EXPIRY,))


def restrict(
    holder: Holder,
    key_type: KeyType,
    networks: tuple[str, ...] | UnsetType,
    expires_at: int | UnsetType | None,
) -> tuple[Holder, KeyChange, dict[str, tuple[str, str]]]:
    """Change a key's allowed networks and expiry; UNSET leaves one as it is.

    The third value returned maps each changed field to its old and new value, as text; it is empty if nothing
    changed. Raises NotFound if there is no key of the type.
    """
    key = new = find(holder, key_type)
    if networks is not UNSET:
        new = replace(new, networks=networks)
    if expires_at is not UNSET and expires_at != key.expires_at:
        new = replace(new, expires_at=expires_at, life_days=None)
    changes = changed_restrictions(new, key)
    return with_key(holder, key_type, new), KeyChange(Change.UPDATED, key_type, key.last5), changes


def change_role(holder: Holder, role: Role, now: float) -> tuple[Holder, tuple[KeyChange, ...]]:
    """Give the holder another role, and revoke the keys that a lower one may not hold.

    A role that is not lower keeps every key, also one that its holder could not get now, because the
    catalogue has become stricter since.

    When a Service User's role is raised, its keys without a ceiling get the old role as their ceiling,
    because it was not recorded who was shown them. A User's own keys were shown to nobody else, so they need
    none.
    """
    allowed = in_order(holder.keys) if role.covers(holder.role) else role.key_types()
    revoked = tuple(change for change in revoke_all(holder, now) if change.key_type not in allowed)
    keys = {key_type: key for key_type, key in holder.keys.items() if key_type in allowed}
    if isinstance(holder, ServiceUser) and role.covers(holder.role):
        keys = {key_type: _with_ceiling(key, holder.role) for key_type, key in keys.items()}
    return replace(holder, role=role, keys=keys, version=new_version()), revoked


def shown_to(key: ApiKey) -> str:
    """Return the username of the principal that was shown a key's secret: by rotating or generating it."""
    return key.rotated_by or key.created_by


def shown_keys(holder: ServiceUser, username: str, now: float) -> tuple[ShownKey, ...]:
    """Return the working keys of a Service User that a User (by folded username) was the last to be shown.

    A predecessor that was stored without ``shown_to`` counts as shown to the creator of the key.
    """
    found: list[ShownKey] = []
    for key_type in KeyType:
        key = holder.keys.get(key_type)
        if key is None or is_expired(key, now):
            continue
        if fold_username(shown_to(key)) == username:
            found.append(ShownKey(holder.username, key_type, key.last5))
        predecessor = current_predecessor(key, now)
        if predecessor and fold_username(predecessor.shown_to or key.created_by) == username:
            found.append(
                ShownKey(holder.username, key_type, predecessor.last5, overlap_end(key, predecessor.until))
            )
    return tuple(found)


def revoke_shown(
    holder: ServiceUser, shown: tuple[ShownKey, ...], now: float
) -> tuple[ServiceUser, tuple[KeyChange, ...]]:
    """Revoke the keys of a Service User that somebody was shown. A predecessor is revoked without its key."""
    keys = {**holder.keys}
    changes: list[KeyChange] = []
    predecessors = {one.key_type for one in shown if one.until is not None}
    for one in shown:
        change = KeyChange(Change.REVOKED, one.key_type, one.last5)
        if one.until is None:
            key = keys.pop(one.key_type)
            if one.key_type not in predecessors:  # else it has a change of its own
                change = revocation(key, one.key_type, now)
        elif one.key_type in keys:
            keys[one.key_type] = without_predecessor(keys[one.key_type])
        changes.append(change)
    return replace(holder, keys=keys, version=new_version()), tuple(changes)


def below_role(holder: Principal) -> tuple[KeyType, ...]:
    """Return the types of a holder's keys whose ceiling is below its role, in published order."""
    return tuple(
        key_type
        for key_type in KeyType
        if key_type in holder.keys and holder.role.at_most(holder.keys[key_type].ceiling) is not holder.role
    )


def is_looser(old: ApiKey, new: ApiKey) -> bool:
    """Return whether a change of restrictions lets a key be used from more addresses, or for longer."""
    return are_looser(old.networks, old.expires_at, new.networks, new.expires_at)


def are_looser(old: tuple[str, ...], old_end: int | None, new: tuple[str, ...], new_end: int | None) -> bool:
    """Return whether new networks and a new expiry (None: never) allow more than the old ones."""
    longer = old_end is not None and (new_end is None or new_end > old_end)
    return longer or not within(new, old)


def halves(old: ApiKey, new: ApiKey, now: int) -> bool:
    """Return whether a change leaves a key at most half of its addresses, or of its time from ``now`` on.

    An expiry where there was none does.
    """
    sooner = new.expires_at is not None and (
        old.expires_at is None or 2 * (new.expires_at - now) <= old.expires_at - now
    )
    return (sooner and new.expires_at != old.expires_at) or halve(new.networks, old.networks)


def revoke_all(holder: Principal, now: float) -> tuple[KeyChange, ...]:
    """Return the revocation of every key of a holder, in published order (a stored map has no order)."""
    return tuple(revocation(holder.keys[key_type], key_type, now) for key_type in in_order(holder.keys))


def find(holder: Principal, key_type: KeyType) -> ApiKey:
    """Return a holder's key of a type, expired or not. Raises NotFound if there is none."""
    key = holder.keys.get(key_type)
    if key is None:
        raise NotFound(f"'{holder.username}' has no {key_type.value} key.")
    return key


def find_usable(holder: Principal, key_type: KeyType, now: int) -> ApiKey:
    """Return a holder's key of a type. Raises NotFound if there is none or it has expired.

    A key whose type is not in the catalogue counts as expired: it can only be revoked.
    """
    key = find(holder, key_type)
    if not key_type.is_listed:
        raise NotFound(
            f"There are no {key_type.value} keys any more, and that of '{holder.username}' does not sign in. "
            "Revoke it, and generate one of another type."
        )
    if is_expired(key, now):
        raise NotFound(f"The {key_type.value} key of '{holder.username}' has expired. Generate a new one.")
    return key


def _renewed_life(key: ApiKey, key_type: KeyType, now: int) -> dict[str, int]:
    """Return the fields of a rotated key whose expiry nobody chose: its life, and the expiry that follows."""
    if key.life_days is None:
        return {}
    days = min(key.life_days, key_type.max_life_days or key.life_days)
    return {"expires_at": now + days * DAY, "life_days": days}


def _with_ceiling(key: ApiKey, ceiling: Role) -> ApiKey:
    """Return a key with a ceiling for it and for its predecessor, unless they have one already."""
    predecessor = key.predecessor
    if predecessor is not None and predecessor.ceiling is None:
        predecessor = replace(predecessor, ceiling=ceiling)
    return replace(key, predecessor=predecessor, ceiling=key.ceiling or ceiling)


def with_key(holder: Holder, key_type: KeyType, key: ApiKey | None) -> Holder:
    """Return a holder with a key of a type in place of what there was; None for none."""
    keys = {**holder.keys}
    if key is None:
        del keys[key_type]
    else:
        keys[key_type] = key
    return replace(holder, keys=keys, version=new_version())
