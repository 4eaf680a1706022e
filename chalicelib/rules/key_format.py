"""API keys, invitation tokens and the secrets of cookies: how they are made, recognised and compared.

A secret is a prefix, 43 base62 characters (256 random bits) and six base62 characters of CRC-32
over all that stands before them. The prefix lets a scanner find a leaked one, the checksum lets
us refuse a mistyped one before any database call. Only the SHA-256 digest and the last five
characters are ever kept.
"""

import hashlib
import hmac
import re
import secrets
import zlib

KEY_PREFIX = "suk_"
TOKEN_PREFIX = "sui_"  # noqa: S105 - the published beginning of a token, not one
SESSION_PREFIX = "sus_"
CODE_PREFIX = "sue_"
CHALLENGE_PREFIX = "suc_"
SHAPE = r"suk_[0-9A-Za-z]{49}"
"""The form of an API key."""
PATTERN = r"su[ki]_[0-9A-Za-z]{49}"
"""What a secret scanner looks for; confirm a hit by its checksum."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY = 43
_CHECK = 6
_SHAPE = re.compile(r"su[kisce]_[0-9A-Za-z]{49}")


def new_key() -> str:
    """Return a new API key in the clear."""
    return _sealed(KEY_PREFIX)


def new_token() -> str:
    """Return a new invitation token in the clear."""
    return _sealed(TOKEN_PREFIX)


def new_secret(prefix: str) -> str:
    """Return a new secret with a prefix: a cookie's."""
    return _sealed(prefix)


def well_formed(secret: str, prefix: str) -> bool:
    """Return whether ``secret`` has the prefix, the alphabet, the length and a right checksum."""
    if not (secret.startswith(prefix) and _SHAPE.fullmatch(secret)):
        return False
    return _checksum(secret[:-_CHECK]) == secret[-_CHECK:]


def digest(secret: str) -> bytes:
    """Return the SHA-256 digest (32 bytes): with 256 random bits inside, a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).digest()


def same(one: bytes, other: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(one, other)


def last5(secret: str) -> str:
    """Return the characters by which people tell a key from another."""
    return secret[-5:]


def _sealed(prefix: str) -> str:
    body = prefix + _base62(int.from_bytes(secrets.token_bytes(32), "big"), _BODY)
    return body + _checksum(body)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
