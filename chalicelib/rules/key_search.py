"""Finding the holder of a key in the account, by the key's value or by its last five characters."""

from typing import NamedTuple

from chalicelib.rules import key_format, limits, permissions
from chalicelib.rules.context import AuthContext
from chalicelib.rules.model import Principal
from chalicelib.rules.ports import Directory
from chalicelib.rules.roles import KeyType

MAX_FOUND = 25
"""The most keys that a search by last five characters finds: more than ever have the same ones by chance."""


class FoundKey(NamedTuple):
    """A key that was found. ``is_predecessor``: it is the one that the holder's current key replaced."""

    holder: Principal
    key_type: KeyType
    is_predecessor: bool


def by_value(directory: Directory, auth: AuthContext, secret: str) -> tuple[FoundKey, ...]:
    """Return the account's key with this value; empty if there is none. It may have expired.

    Reads nothing for a key with a wrong checksum. Raises Forbidden, and TooManyRequests if the caller has
    searched too often.
    """
    permissions.require_can_find_keys(auth)
    if not key_format.well_formed(secret, key_format.KEY_PREFIX):
        return ()
    _count(directory, auth)
    digest = key_format.digest(secret)
    username = directory.username_of(digest)
    holder = None if username is None else directory.principal(username)
    if holder is None or holder.account != auth.caller.account:
        return ()
    return tuple(
        FoundKey(holder, key_type, is_predecessor)
        for key_type, is_predecessor, other, _ in keys_of(holder)
        if key_format.same(other, digest)
    )


def by_last5(directory: Directory, auth: AuthContext, last5: str) -> tuple[FoundKey, ...]:
    """Return the account's keys that end in these five characters, by username.

    Raises Forbidden, and TooManyRequests if the caller has searched too often.
    """
    permissions.require_can_find_keys(auth)
    _count(directory, auth)
    account = auth.caller.account
    holders = directory.principals(directory.usernames_by_last5(account, last5, MAX_FOUND))
    return tuple(
        FoundKey(holder, key_type, is_predecessor)
        for _, holder in sorted(holders.items())
        for key_type, is_predecessor, _, other in keys_of(holder)
        if holder.account == account and other == last5
    )


def _count(directory: Directory, auth: AuthContext) -> None:
    directory.count_call(limits.key_search(auth.caller, directory.limits, auth.origin.second))


class StoredSecret(NamedTuple):
    """What is stored of the secret of a key or predecessor, with the key's type."""

    key_type: KeyType
    is_predecessor: bool
    digest: bytes
    last5: str


def keys_of(holder: Principal) -> tuple[StoredSecret, ...]:
    """Return each stored key and predecessor of a holder."""
    found: list[StoredSecret] = []
    for key_type, key in holder.keys.items():
        found.append(StoredSecret(key_type, False, key.digest, key.last5))
        if key.predecessor is not None:
            found.append(StoredSecret(key_type, True, key.predecessor.digest, key.predecessor.last5))
    return tuple(found)
