"""HTTP Basic authentication (RFC 7617): the credentials of a request."""

import base64
import binascii
import re

from chalicelib.rules.errors import Unauthenticated
from chalicelib.rules.names import USERNAME

_USERNAME = re.compile(USERNAME)
_MISSING = "Sign in by HTTP Basic with a username and one of its API keys: curl -u USERNAME:API_KEY …"
_MALFORMED = "The Authorization header is not HTTP Basic: 'Basic ' and base64 of 'USERNAME:API_KEY' in UTF-8."


def credentials(header: str | None) -> tuple[str, str]:
    """Return the username and the API key of an ``Authorization`` header.

    Raises Unauthenticated if there are none, or the header is malformed.
    """
    if not header:
        raise Unauthenticated(_MISSING)
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(_MISSING)
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthenticated(_MALFORMED) from None
    username, _, key = text.partition(":")
    if not _USERNAME.match(username):
        raise Unauthenticated(_MALFORMED)
    return username, key
