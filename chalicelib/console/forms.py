"""Forms: the fields of a page as the API's bodies, and a page shown again with what is wrong with them."""

from collections.abc import Callable
from typing import Any

from chalice.app import Response

from chalicelib.console.pages import page
from chalicelib.console.visit import Visit
from chalicelib.http.problems import status_of
from chalicelib.http.responses import moment
from chalicelib.rules.errors import (
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    ValidationError,
    validation_error,
)
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import ApiKey
from chalicelib.rules.roles import KeyType

_FIELDS = (("The username '", "username"), ("The email '", "email"), ("The role ", "role"))
"""Refusals that the API gives of the whole call, by how they begin, and the field that they are about."""

Act = Callable[[], Response]


def submit(visit: Visit, template: str, act: Act, **values: Any) -> Response:
    """Do what a form asks for; where that is refused, show it again with what was typed, and why."""
    visit.require_form_token(visit.field("csrf"))
    try:
        return act()
    except (ValidationError, Conflict, PreconditionFailed, Forbidden) as fault:
        typed = {name: "\n".join(given) for name, given in visit.form().items()}
        return page(visit, template, status_of(fault), errors=errors_of(fault), form=typed, **values)


def errors_of(fault: ApiError) -> dict[str, list[str]]:
    """Return a refusal by the fields it stands at; under '' what is about no one field."""
    if not isinstance(fault, ValidationError) or not fault.errors:
        name = next((name for start, name in _FIELDS if fault.detail.startswith(start)), "")
        return {name: [fault.detail]}
    found: dict[str, list[str]] = {}
    for error in fault.errors:
        found.setdefault(error.pointer.strip("/").partition("/")[0], []).append(error.detail)
    return found


def lines(text: str) -> list[str]:
    """Return what stands on the lines of a field, or between its commas."""
    return [it for line in text.replace(",", "\n").splitlines() if (it := line.strip())]


def is_number(text: str) -> bool:
    """Return whether a field has a whole number of up to eight digits; int() refuses thousands of them."""
    return text.isascii() and text.isdecimal() and len(text) < 9


def restrictions(visit: Visit) -> dict[str, Any]:
    """Return where and until when a key may be used, as the API's body has it.

    Raises ValidationError where the end was not chosen: a key without one must be meant.
    """
    networks = {"allowedNetworks": lines(visit.field("allowedNetworks"))}
    match visit.field("expiry"):
        case "keep":
            return networks
        case "never":
            return {**networks, "expiresAt": None}
        case "date":
            return {**networks, "expiresAt": f"{visit.field('expiresAt')}T23:59:59Z"}
        case "30" | "90" | "365" as days:
            return {**networks, "expiresAt": moment(visit.origin.second + int(days) * DAY)}
    raise validation_error("/expiry", "Choose when the key ends.")


def key_type(given: str) -> KeyType:
    """Return a key type by its name. Raises NotFound."""
    try:
        return KeyType(given)
    except ValueError:
        raise NotFound("There is no such type of key.") from None


def state_of(key: ApiKey | None) -> str:
    """Return what tells a key from what it becomes: its last five, networks and end."""
    return "" if key is None else f"{key.last5} {key.expires_at or ''} {' '.join(key.networks)}".strip()


def require_unchanged(visit: Visit, key: ApiKey | None) -> None:
    """Raise Conflict where a key is not the one that the form was shown for: so nothing is done twice."""
    if visit.field("was") != state_of(key):
        raise Conflict(
            "This was done already, or somebody else changed the key meanwhile; nothing was done now. "
            "A new key is shown once: if it was lost, rotate the key again."
        )
