"""The ``Authorization`` header: credentials as HTTP Basic (RFC 7617) or Bearer (RFC 6750)."""

import base64
import binascii
import re

from chalicelib.rules.errors import SignInRefusal, Unauthenticated
from chalicelib.rules.names import USERNAME

_USERNAME = re.compile(USERNAME)
_MISSING = (
    "Sign in by HTTP Basic with a username and one of its API keys (curl -u USERNAME:API_KEY …), "
    "or with the key alone as 'Authorization: Bearer API_KEY'."
)
_MALFORMED = "The Authorization header is not HTTP Basic: 'Basic ' and base64 of 'USERNAME:API_KEY' in UTF-8."
_CONTRADICTORY = "There is more than one Authorization header. Sign in by HTTP Basic, or as Bearer, once."


def credentials(header: str | None) -> tuple[str | None, str]:
    """Return the username and the API key of an ``Authorization`` header; for Bearer, None and the key.

    Raises Unauthenticated if there is no header, or another scheme.
    """
    if not header:
        raise Unauthenticated(_MISSING, SignInRefusal.MISSING)
    scheme, _, rest = header.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return _basic(rest.strip())
        case "bearer":
            return None, rest.strip()
    raise Unauthenticated(_MISSING, SignInRefusal.MISSING)


def only_one(values: list[str]) -> str | None:
    """Return the value that all Authorization headers of a request share; None if there is no header.

    Raises Unauthenticated if they differ: a proxy in between may have checked another one.
    """
    if len(set(values)) > 1:
        raise Unauthenticated(_CONTRADICTORY, SignInRefusal.MISSING)
    return values[0] if values else None


def _basic(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthenticated(_MALFORMED, SignInRefusal.MISSING) from None
    username, _, key = text.partition(":")
    if not _USERNAME.match(username):
        raise Unauthenticated(_MALFORMED, SignInRefusal.MISSING)
    return username, key
