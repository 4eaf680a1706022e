"""Usernames and email addresses: what they may be, and which two count as the same."""

import re

USERNAME = r"^[A-Za-z0-9._-]{3,64}\Z"
"""3 to 64 of letters, digits, ``.``, ``_``, ``-`` (ASCII)."""

RESERVED = frozenset({"activate"})
"""Folded usernames no User may have: the path ``/v1/users/activate`` would hide ``/v1/users/{username}``."""

LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
"""A label's name and value, as Kubernetes has the values of labels; a name may also have '/'."""

_NOT_IN_NAMES = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
"""Control characters, line ends, what changes the direction of the text around it, and invisible tags."""

_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = rf"^(?=.{{3,254}}\Z)(?=.{{1,64}}@){_WORD}(\.{_WORD})*@({_LABEL}\.)+(?=[A-Za-z]){_LABEL}\Z"
"""A dot-atom at a domain name (RFC 5321 and 5322 without quoted strings, comments and literals)."""

_GMAIL = frozenset({"gmail.com", "googlemail.com"})


def fold_username(username: str) -> str:
    """Return the form in which usernames are compared and must be unique: case does not count."""
    return username.lower()


def reserved_username_error(username: str) -> str | None:
    """Return the error of a reserved username, whose User nobody could revoke; None if it is not reserved."""
    if fold_username(username) in RESERVED:
        return f"'{username}' is reserved, because it is part of a path of this API. Choose another."
    return None


def display_name_error(name: str, what: str = "A display name") -> str | None:
    """Return the error of a display name or another ``what`` that would not be shown as it is; or None.

    Whoever reads it in a log, a terminal or a table must not take it for something else.
    """
    found = _NOT_IN_NAMES.search(name)
    if found is None:
        return None
    return (
        f"Character {found.start() + 1} is U+{ord(found[0]):04X}. {what} has no control characters, "
        "no line ends and nothing that changes the direction of text."
    )


def with_article(name: str, article: str = "a") -> str:
    """Return a name that the catalogue gives with its article: "a" or "an", or "A" or "An"."""
    return f"{article}{'n' if name[:1] in 'AEIOaeio' else ''} {name}"


def fold_email(email: str) -> str:
    """Return the form in which addresses must be unique: case, ``+tag``s and Gmail's dots do not count.

    An address whose whole local part is a tag (``+x@``) keeps it, so that the folded one is not empty.
    """
    local, _, domain = email.lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _GMAIL:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"
