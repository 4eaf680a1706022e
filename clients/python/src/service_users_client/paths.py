"""The parts of a path: usernames and key types, as an address has them."""

from __future__ import annotations

from urllib.parse import quote

from service_users_client.errors import InvalidName


def quoted_part(part: str) -> str:
    """Return one part of a path, percent-encoded.

    Raises InvalidName for "", "." and "..": an address is resolved before it is called (RFC 3986, 5.2.4), so
    that revoking the key ".." of a Service User would be deleting the Service User.
    """
    if part in ("", ".", ".."):
        raise InvalidName(
            f"'{part}' is no username and no key type: the call would go to another address. Nothing was "
            "sent. Give the name as the API lists it."
        )
    return quote(part, safe="")
