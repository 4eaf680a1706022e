"""Writes that several operations share."""

from typing import Protocol

from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import ConcurrentChange, Conflict
from chalicelib.rules.model import Principal, User
from chalicelib.rules.permissions import is_same_principal
from chalicelib.rules.ports import Add


def add_first_principal(principal: Principal) -> Add:
    """Return the write that adds the first principal of a new account, in which no email is taken."""
    return Add(principal, _username_taken(principal), None)


def add_principal_by(auth: AuthContext, principal: Principal) -> Add:
    """Return the write by which the caller adds a principal.

    Raises Conflict for the caller's own username, because a transaction may name an item only once.
    """
    if is_same_principal(auth.caller, principal):
        raise _username_taken(principal)
    return Add(
        principal,
        _username_taken(principal),
        Conflict(
            f"The email '{principal.email}' is taken in this account (case, '+tag's and Gmail's dots do not "
            "count). Choose another."
        ),
    )


class Revocation(Protocol):
    """One try to revoke something: read it, then revoke it."""

    def __call__(self, *, any_version: bool) -> None:
        """Revoke the version that was read or, with ``any_version``, whichever version there is by then.

        Raises ConcurrentChange if the item has changed in a way that matters.
        """
        ...


def until_revoked(attempt: Revocation) -> None:
    """Try a revocation up to three times, while concurrent changes get there first.

    The first try records exactly what it revoked. The others revoke whatever version there is, and record
    what they read just before.
    """
    for any_version in (False, True):
        try:
            attempt(any_version=any_version)
        except ConcurrentChange:
            continue
        return
    attempt(any_version=True)


def _username_taken(principal: Principal) -> Conflict:
    """Return the refusal of a username that is taken, which says how to get on after a lost response."""
    name = principal.username
    lost = (
        f"If you invited them and the response was lost: GET /v1/users/{name}; the email is sent "
        "nevertheless."
        if isinstance(principal, User)
        else f"If you created it and the response was lost: GET /v1/service-users/{name}, then rotate its "
        "keys, or delete it and create it again."
    )
    return Conflict(f"The username '{name}' is taken (case does not count). Choose another. {lost}")
