"""Usernames and email addresses: what they may be, and which two are the same."""

USERNAME = r"^[A-Za-z0-9._-]{3,64}\Z"
"""3 to 64 of letters, digits, ``.``, ``_``, ``-`` (ASCII)."""

RESERVED = frozenset({"activate"})
"""Folded usernames no User may have: ``/v1/users/activate`` is a call, and hides them from the others."""

_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = rf"^(?=.{{3,254}}\Z)(?=.{{1,64}}@){_WORD}(\.{_WORD})*@({_LABEL}\.)+(?=[A-Za-z]){_LABEL}\Z"
"""A dot-atom at a domain name (RFC 5321 and 5322 without quoted strings, comments and literals)."""

_GMAIL = frozenset({"gmail.com", "googlemail.com"})


def fold_username(username: str) -> str:
    """Answer what two usernames must differ in: they are unique without regard to case."""
    return username.lower()


def not_for_people(username: str) -> str | None:
    """Answer why no User may have a username; None for one that they may have."""
    if fold_username(username) in RESERVED:
        return f"'{username}' is a word of this API's own paths. Choose another."
    return None


def fold_email(email: str) -> str:
    """Answer what two addresses must differ in: case, ``+tag``s and Gmail's dots do not count.

    An address whose whole local part is a tag (``+x@``) keeps it, so that it is not folded to none.
    """
    local, _, domain = email.lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _GMAIL:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"
