"""The format of API keys, invitation tokens and cookie secrets: how to generate, recognise and compare them.

A secret is a prefix, 43 base62 characters (256 random bits), and six base62 characters with the CRC-32 of
everything before them. The prefix lets a scanner find a leaked secret. The checksum lets this service refuse
a mistyped one without a database call. Only the SHA-256 digest and the last five characters are ever stored.
"""

import base64
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
"""The pattern for secret scanners; confirm a hit by its checksum."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY = 43
_CHECK = 6
_SHAPE = re.compile(r"su[kisce]_[0-9A-Za-z]{49}")
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{72,}")
"""What may be the credentials of an ``Authorization: Basic`` header; a secret has 72 characters there."""
_ANYWHERE = re.compile(rf"(?=({_SHAPE.pattern}))")


_URL_SAFE = str.maketrans("-_", "+/")


def new_key() -> str:
    """Return a new API key."""
    return new_secret(KEY_PREFIX)


def new_token() -> str:
    """Return a new invitation token."""
    return new_secret(TOKEN_PREFIX)


def new_secret(prefix: str) -> str:
    """Return a new secret with a prefix."""
    body = prefix + _base62(int.from_bytes(secrets.token_bytes(32), "big"), _BODY)
    return body + _checksum(body)


def well_formed(secret: str, prefix: str) -> bool:
    """Return whether ``secret`` has the prefix, the alphabet, the length and a valid checksum."""
    if not (secret.startswith(prefix) and _SHAPE.fullmatch(secret)):
        return False
    return _checksum(secret[:-_CHECK]) == secret[-_CHECK:]


def contains_secret(text: str) -> bool:
    """Return whether a text has a key, a token or another secret of this service in it, by its checksum.

    Also one that is broken by characters that are not ASCII: pages put invisible ones into long words, and
    emails leave them out. And one in the credentials of HTTP Basic (RFC 7617), which are base64.
    """
    plain = text.encode("ascii", "ignore").decode()
    return any(map(_has_secret, (plain, *map(_decoded, _BASE64.findall(plain)))))


def _decoded(credentials: str) -> str:
    whole = credentials[:-1] if len(credentials) % 4 == 1 else credentials  # which is no base64
    padded = whole + "=" * (-len(whole) % 4)
    return base64.b64decode(padded.translate(_URL_SAFE)).decode("latin-1")


def _has_secret(plain: str) -> bool:
    return any(_checksum(it[:-_CHECK]) == it[-_CHECK:] for it in _ANYWHERE.findall(plain))


def digest(secret: str) -> bytes:
    """Return the SHA-256 digest (32 bytes). Secrets have 256 random bits, so a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).digest()


def same(one: bytes, other: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(one, other)


def last5(secret: str) -> str:
    """Return the last five characters, by which people tell keys apart."""
    return secret[-5:]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
