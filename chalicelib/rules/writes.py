"""Writes that several operations build alike."""

from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Conflict
from chalicelib.rules.model import Principal
from chalicelib.rules.permissions import is_same_principal
from chalicelib.rules.ports import Add


def add_principal(principal: Principal) -> Add:
    """Return the write that adds a principal, with the refusals if its username or email is taken."""
    return Add(
        principal,
        _username_taken(principal),
        Conflict(
            f"The email '{principal.email}' is taken (case, '+tag's and Gmail's dots do not count). "
            "Choose another."
        ),
    )


def add_principal_by(auth: AuthContext, principal: Principal) -> Add:
    """Return the write by which the caller adds a principal.

    Raises Conflict for the caller's own username, because a transaction cannot name an item twice.
    """
    if is_same_principal(auth.caller, principal):
        raise _username_taken(principal)
    return add_principal(principal)


def _username_taken(principal: Principal) -> Conflict:
    return Conflict(f"The username '{principal.username}' is taken (case does not count). Choose another.")
