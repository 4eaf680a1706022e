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

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace

from chalicelib.rules.model import (
    ApiKey,
    EmailFailure,
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
Notes = dict[str, Any]
"""What notes say, by their names."""

USED, REFUSED, NOTICE, ENDED, POINTER = "used_", "refused_", "notice_", "ended_", "pointer_"
MAILED = "mailed_"
_KEY_NOTES = (USED, REFUSED, NOTICE, ENDED, POINTER)
_NOTES = (*_KEY_NOTES, MAILED)
EMAIL_FAILURE = "emailFailure"
"""The note that emails to a person fail (:class:`chalicelib.rules.model.EmailFailure`)."""
_LAST_TIME = 253_402_300_799
"""The last second of the year 9999; no note has a later time."""

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


def is_principal(item: "Mapping[str, AttributeValue]") -> bool:
    """Return whether an item is a principal's, and no note alone.

    A note that is written without a condition makes an item of a username that nobody has.
    """
    return "kind" in item


def principal_from_item(item: "Mapping[str, AttributeValue]") -> ServiceUser | User:
    """Return an item's principal, without the keys and passkeys that the sweep ended.

    Raises msgspec.ValidationError, TypeError or ValueError if the item is not a valid principal.
    """
    noted = {name for name in item if name.startswith(_NOTES)}
    fields = with_email_failure({name: it for name, it in item.items() if name not in noted})
    principal: ServiceUser | User = from_item(fields, ServiceUser | User)  # type: ignore[arg-type]
    notes, malformed = _read_notes(item, noted)
    if EMAIL_FAILURE in item and EMAIL_FAILURE not in fields:
        malformed.add(EMAIL_FAILURE)
    if not noted and not malformed:
        return principal
    keys: dict[KeyType, ApiKey] = {}
    stale: list[tuple[str, ...]] = []
    for key_type, key in principal.keys.items():
        if note(ENDED, key.digest) in notes:
            stale.append(("keys", key_type.value))
        else:
            keys[key_type] = _with_notes(notes, key)
            noted -= set(_notes_of(key))
    if isinstance(principal, User):
        passkeys: dict[str, Passkey] = {}
        for passkey_id, passkey in principal.passkeys.items():
            digest = as_key(passkey).digest
            if note(ENDED, digest) in notes:
                # With its notes: they name the credential, and the person may register it again.
                stale.append(("passkeys", passkey_id))
            else:
                passkeys[passkey_id] = replace(passkey, notice=_notice(notes, digest, passkey.notice))
                noted.discard(note(NOTICE, digest))
        invitation = _with_mailed(notes, principal.invitation)
        enrolment = _with_mailed(notes, principal.enrolment)
        noted -= {mailed(it.id) for it in (invitation, enrolment) if it is not None}
        principal = replace(principal, passkeys=passkeys, invitation=invitation, enrolment=enrolment)
    stale += [(name,) for name in sorted(noted | malformed)]
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


def with_email_failure(item: "Item") -> "Item":
    """Return an item as it is, or without its note that emails fail if that is not of its form."""
    if EMAIL_FAILURE not in item:
        return item
    try:
        failure = msgspec.convert(from_attribute(item[EMAIL_FAILURE]), EmailFailure)
        _time_of(failure.at)
    except (msgspec.ValidationError, TypeError, ValueError):
        return {name: it for name, it in item.items() if name != EMAIL_FAILURE}
    return item


def _read_notes(item: "Mapping[str, AttributeValue]", names: set[str]) -> tuple[Notes, set[str]]:
    """Return what some notes say, and the names of those that are not of their form."""
    notes: Notes = {}
    for name in names:
        try:
            notes[name] = _said(name, from_attribute(item[name]))
        except (msgspec.ValidationError, TypeError, ValueError):
            continue  # it counts as absent
    return notes, names - notes.keys()


def _said(name: str, value: object) -> object:
    """Return what a note says. Raises ValueError, as msgspec's errors are, if it is not of its form."""
    if name.startswith(NOTICE):
        return msgspec.convert(value, Notice | None)
    if name.startswith(MAILED):
        return msgspec.convert(value, tuple[MailedSecret, ...], builtin_types=(bytes,))
    if name.startswith((USED, REFUSED)):
        return _time_of(msgspec.convert(value, int))
    if name == ENDED_MANAGEMENT_KEY:
        return msgspec.convert(value, bytes, builtin_types=(bytes,))
    if value is not True:
        raise ValueError("it is no mark")
    return True


def _time_of(at: int) -> int:
    if not 0 <= at <= _LAST_TIME:
        raise ValueError(f"{at} is no time")
    return at


def _with_mailed(notes: Notes, request: M | None) -> M | None:
    """Return an invitation or enrolment with the digests in the note about it."""
    if request is None:
        return None
    secrets: tuple[MailedSecret, ...] = notes.get(mailed(request.id), ())
    return replace(request, digests=request.digests | {it.digest.hex(): it.until for it in secrets})


def _with_notes(notes: Notes, key: ApiKey) -> ApiKey:
    """Return a key with the notes about it and about its predecessor."""
    predecessor: Predecessor | None = key.predecessor
    if predecessor is not None:
        predecessor = replace(
            predecessor,
            last_used_at=_time(notes, note(USED, predecessor.digest), predecessor.last_used_at),
            has_pointer=predecessor.has_pointer or note(POINTER, predecessor.digest) in notes,
        )
    return replace(
        key,
        last_used_at=_time(notes, note(USED, key.digest), key.last_used_at),
        refused_at=_time(notes, note(REFUSED, key.digest), key.refused_at),
        notice=_notice(notes, key.digest, key.notice),
        predecessor=predecessor,
        has_pointer=key.has_pointer or note(POINTER, key.digest) in notes,
    )


def _notice(notes: Notes, digest: bytes, in_key: Notice | None) -> Notice | None:
    """Return the noted expiry notices, or those that version 1.0 stored inside the key."""
    noted: Notice | None = notes.get(note(NOTICE, digest), in_key)
    return noted


def _notes_of(key: ApiKey) -> "Iterator[str]":
    for kind in _KEY_NOTES:
        yield note(kind, key.digest)
        if key.predecessor is not None:
            yield note(kind, key.predecessor.digest)


def _time(notes: Notes, name: str, in_key: int | None) -> int | None:
    """Return the later of a noted time and the one that version 1.0 stored inside the key."""
    noted: int | None = notes.get(name)
    return in_key if noted is None else max(noted, in_key or 0)


def _move(fields: "Item", field: str, item: "Item", name: str) -> None:
    if field in fields:
        item[name] = fields.pop(field)
