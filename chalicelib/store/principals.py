"""The item of a principal: its fields, and notes about each of its secrets.

A note is a top-level attribute, named after the secret it is about: when the secret was used (``used_``) or
refused by network (``refused_``), its expiry notices (``notice_``), and that the sweep ended it (``ended_``)
or wrote its pointer (``pointer_``). IAM can restrict writes to named top-level attributes, but not to parts
of one. So the roles of the authorizer and the sweep may write notes, and cannot write keys.

The digests of the tokens or codes that were mailed (``mailed_``) are named after the id of the invitation or
enrolment that they are for, and count only while that is open. So the mailers' roles cannot open one.

Version 1.0 stored the first three inside the key, and these digests inside the invitation. They are still
read there, until the key is replaced or the invitation ends.
"""

from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from chalicelib.rules.model import (
    ApiKey,
    Enrolment,
    Invitation,
    Notice,
    Passkey,
    Predecessor,
    Principal,
    ServiceUser,
    User,
    Value,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.policies import as_key
from chalicelib.store.items import from_attribute, from_item, to_attribute, to_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chalicelib.rules.roles import KeyType
    from chalicelib.store.items import AttributeValue, Item

P = TypeVar("P", bound=Principal)
M = TypeVar("M", Invitation, Enrolment)

USED, REFUSED, NOTICE, ENDED, POINTER = "used_", "refused_", "notice_", "ended_", "pointer_"
MAILED = "mailed_"
_KEY_NOTES = (USED, REFUSED, NOTICE, ENDED, POINTER)
_NOTES = (*_KEY_NOTES, MAILED)

ENDED_MANAGEMENT_KEY = f"{ENDED}management"
"""The note with the digest of a USER_MANAGEMENT key that the sweep ended, for a condition."""

LIST_PREFIX: dict[type[Principal], str] = {ServiceUser: "SERVICE_USER#", User: "USER#"}
"""The prefix, before the folded username, of a principal's sort key in the index by account."""


def note(kind: str, digest: bytes) -> str:
    """Return the name of the attribute of a note; it has the first bytes of the secret's digest."""
    return f"{kind}{digest[:8].hex()}"


class MailedSecret(Value, frozen=True):
    """The digest of a mailed token or code, and its expiry. A note has a list of them."""

    digest: bytes
    until: int


def mailed(id_: str) -> str:
    """Return the name of the note with the digests that were mailed for an invitation or enrolment."""
    return f"{MAILED}{id_}"


def principal_key(username: str) -> "Item":
    """Return the primary key of the principal with a username, in any case."""
    return {"pk": {"S": f"USER#{fold_username(username)}"}}


def principal_from_item(item: "Mapping[str, AttributeValue]") -> ServiceUser | User:
    """Return an item's principal, without the keys and passkeys that the sweep ended.

    Raises msgspec.ValidationError, TypeError or ValueError if the item is not a valid principal.
    """
    principal: ServiceUser | User = from_item(item, ServiceUser | User)  # type: ignore[arg-type]
    noted = {name for name in item if name.startswith(_NOTES)}
    if not noted:
        return principal
    keys: dict[KeyType, ApiKey] = {}
    stale: list[tuple[str, ...]] = []
    for key_type, key in principal.keys.items():
        if note(ENDED, key.digest) in noted:
            stale.append(("keys", key_type.value))
        else:
            keys[key_type] = _with_notes(item, key)
            noted -= set(_notes_of(key))
    if isinstance(principal, User):
        passkeys: dict[str, Passkey] = {}
        for passkey_id, passkey in principal.passkeys.items():
            digest = as_key(passkey).digest
            if note(ENDED, digest) in noted:
                # With its notes: they name the credential, and the person may register it again.
                stale.append(("passkeys", passkey_id))
            else:
                passkeys[passkey_id] = replace(passkey, notice=_notice(item, digest, passkey.notice))
                noted.discard(note(NOTICE, digest))
        invitation = _with_mailed(item, principal.invitation)
        enrolment = _with_mailed(item, principal.enrolment)
        noted -= {mailed(it.id) for it in (invitation, enrolment) if it is not None}
        principal = replace(principal, passkeys=passkeys, invitation=invitation, enrolment=enrolment)
    stale += [(name,) for name in sorted(noted)]
    return replace(principal, keys=keys, stale=tuple(stale))


def item_from_principal(principal: Principal) -> "Item":
    """Return a principal's item, with any digests that were mailed inside the invitation or enrolment.

    No write changes those of an open one: only an update of its note adds some.
    """
    name = fold_username(principal.username)
    item = to_item(principal, pk=f"USER#{name}", listKey=f"{LIST_PREFIX[type(principal)]}{name}")
    item.pop("stale", None)
    for key_type, key in principal.keys.items():
        fields = item["keys"]["M"][key_type.value]["M"]
        _move(fields, "lastUsedAt", item, note(USED, key.digest))
        _move(fields, "refusedAt", item, note(REFUSED, key.digest))
        _move(fields, "notice", item, note(NOTICE, key.digest))
        if key.predecessor is not None:
            _move(fields["predecessor"]["M"], "lastUsedAt", item, note(USED, key.predecessor.digest))
    if isinstance(principal, User):
        for passkey_id, passkey in principal.passkeys.items():
            fields = item["passkeys"]["M"][passkey_id]["M"]
            _move(fields, "notice", item, note(NOTICE, as_key(passkey).digest))
    return item


def mailed_attribute(*secrets: MailedSecret) -> "AttributeValue":
    """Return the attribute of a note with the digests of mailed tokens or codes."""
    return to_attribute(msgspec.to_builtins(secrets, builtin_types=(bytes,)))


def ended_requests(old: Principal, new: Principal) -> "Iterator[str]":
    """Yield the notes about the invitation and the enrolment of ``old`` that are not those of ``new``."""
    after = {it.id for it in _requests(new)}
    yield from (mailed(it.id) for it in _requests(old) if it.id not in after)


def _requests(principal: Principal) -> "tuple[Invitation | Enrolment, ...]":
    if not isinstance(principal, User):
        return ()
    return tuple(it for it in (principal.invitation, principal.enrolment) if it is not None)


def _with_mailed(item: "Mapping[str, AttributeValue]", request: M | None) -> M | None:
    """Return an invitation or enrolment with the digests in the note about it."""
    if request is None or (noted := item.get(mailed(request.id))) is None:
        return request
    secrets = msgspec.convert(from_attribute(noted), tuple[MailedSecret, ...], builtin_types=(bytes,))
    return replace(request, digests=request.digests | {it.digest.hex(): it.until for it in secrets})


def _with_notes(item: "Mapping[str, AttributeValue]", key: ApiKey) -> ApiKey:
    """Return a key with the notes about it and about its predecessor."""
    predecessor: Predecessor | None = key.predecessor
    if predecessor is not None:
        predecessor = replace(
            predecessor,
            last_used_at=_time(item, note(USED, predecessor.digest), predecessor.last_used_at),
            has_pointer=predecessor.has_pointer or note(POINTER, predecessor.digest) in item,
        )
    return replace(
        key,
        last_used_at=_time(item, note(USED, key.digest), key.last_used_at),
        refused_at=_time(item, note(REFUSED, key.digest), key.refused_at),
        notice=_notice(item, key.digest, key.notice),
        predecessor=predecessor,
        has_pointer=key.has_pointer or note(POINTER, key.digest) in item,
    )


def _notice(item: "Mapping[str, AttributeValue]", digest: bytes, in_key: Notice | None) -> Notice | None:
    """Return the noted expiry notices, or those that version 1.0 stored inside the key."""
    noted = item.get(note(NOTICE, digest))
    return in_key if noted is None else msgspec.convert(from_attribute(noted), Notice | None)


def _notes_of(key: ApiKey) -> "Iterator[str]":
    for kind in _KEY_NOTES:
        yield note(kind, key.digest)
        if key.predecessor is not None:
            yield note(kind, key.predecessor.digest)


def _time(item: "Mapping[str, AttributeValue]", name: str, in_key: int | None) -> int | None:
    """Return the later of a noted time and the one that version 1.0 stored inside the key."""
    noted = item.get(name)
    return in_key if noted is None else max(int(noted["N"]), in_key or 0)


def _move(fields: "Item", field: str, item: "Item", name: str) -> None:
    if field in fields:
        item[name] = fields.pop(field)
