"""Pointers: items of table Directory that lead from a key's digest to its holder.

Each key and predecessor has one, written and deleted in the transaction that makes or ends the key. A pointer
proves nothing: code that follows it compares the digest with the principal's keys, so a pointer that was left
behind finds nobody. Its ``pk`` is a hash of the digest, because CloudTrail can log the keys of items, and no
digest may be logged. ``account`` and ``listKey`` put it into the index by account, by last five.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from chalicelib.rules.names import fold_username

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chalicelib.rules.model import ApiKey, Principal
    from chalicelib.rules.roles import KeyType
    from chalicelib.store.items import Item

PREFIX = "KEY#"


def name(digest: bytes) -> str:
    """Return the ``pk`` of the pointer for a digest."""
    return PREFIX + hashlib.sha256(b"pointer:" + digest).hexdigest()


def list_key(last5: str) -> str:
    """Return the sort key, in the index by account, of the pointers for a last five."""
    return PREFIX + last5


def item(holder: "Principal", digest: bytes, last5: str) -> "Item":
    """Return the pointer to a holder's key."""
    return {
        "pk": {"S": name(digest)},
        "username": {"S": fold_username(holder.username)},
        "account": {"S": holder.account},
        "listKey": {"S": list_key(last5)},
    }


def changes(
    table: str, holder: "Principal", old: "Mapping[KeyType, ApiKey]", new: "Mapping[KeyType, ApiKey]"
) -> "Iterator[dict[str, Any]]":
    """Return the operations that replace the pointers of a holder's ``old`` keys by those of the ``new``.

    They need no condition: no two keys have the same digest, so no two holders share a pointer.
    """
    before, after = secrets(old), secrets(new)
    for digest in after.keys() - before.keys():
        yield {"Put": {"TableName": table, "Item": item(holder, digest, after[digest])}}
    for digest in before.keys() - after.keys():
        yield {"Delete": {"TableName": table, "Key": {"pk": {"S": name(digest)}}}}


def secrets(keys: "Mapping[KeyType, ApiKey]") -> dict[bytes, str]:
    """Return the digest and last five of each key and predecessor."""
    found: dict[bytes, str] = {}
    for key in keys.values():
        found[key.digest] = key.last5
        if key.predecessor is not None:
            found[key.predecessor.digest] = key.predecessor.last5
    return found
