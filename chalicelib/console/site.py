"""The map of the console: every page, and its view."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from chalice.app import Response

from chalicelib.console import (
    account_pages,
    pages,
    people_pages,
    service_user_pages,
    sign_in_pages,
    you_pages,
)
from chalicelib.console.settings import settings
from chalicelib.console.visit import ASKED, Visit, respond
from chalicelib.http.problems import HttpError
from chalicelib.rules.errors import ApiError, NotFound

if TYPE_CHECKING:
    from chalicelib.http.call import Call

_LOG = logging.getLogger(__name__)

View = Callable[..., Response]


def _passkey_call(visit: Visit, step: str) -> Response:
    # Imported here: no page needs it, and an environment's first page should be quick.
    from chalicelib.console import passkey_calls

    return passkey_calls.call(visit, step)


PAGES: dict[str, tuple[View | None, View | None]] = {
    "": (sign_in_pages.first, None),
    "sign-in": (sign_in_pages.sign_in, None),
    "enrol": (sign_in_pages.enrol, sign_in_pages.enrol),
    "sign-out": (None, sign_in_pages.sign_out),
    "seen": (None, sign_in_pages.seen),
    "passkey/{step}": (None, _passkey_call),
    "service-users": (service_user_pages.listing, None),
    "service-users/{username}": (service_user_pages.detail, None),
    "service-users/{username}/{action}": (service_user_pages.key_form, service_user_pages.key_form),
    "create/service-user": (service_user_pages.create, service_user_pages.create),
    "create/user": (people_pages.invite, people_pages.invite),
    "people": (people_pages.listing, None),
    "people/{username}/{action}": (people_pages.form, people_pages.form),
    "events": (account_pages.events, None),
    "account": (account_pages.show, account_pages.show),
    "you": (you_pages.show, None),
    "you/{action}": (you_pages.form, you_pages.form),
}
"""The views for GET and POST of each page, below ``/console``."""

_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")
"""A part of a page's path: a name of this console or of the API. None is "." or "..", or needs an escape."""

_HAS_BUTTONS = ("you",)
"""Pages with buttons, beside those that take a POST themselves."""

_WITHOUT_SESSION = ("sign-in", "enrol")
"""Pages whose forms do nothing without a passkey, a key or a token."""


def show(call: "Call", *path: str) -> Response:
    """Return a page of the console. Raises NotFound if the stack has no console."""
    chosen = settings()
    if not chosen.on:
        raise NotFound("This stack has no console; its operator can turn it on (parameter Console).")
    visit = Visit(call, chosen, path)
    try:
        return _show(visit)
    except ApiError as error:
        return pages.refusal(visit, error)
    except Exception:
        _LOG.exception("a page failed", extra={"apiRequestId": visit.origin.request_id})
        detail = "An internal error occurred, and was logged. Give your operator the request's id."
        return pages.page(
            visit, "problem.html", 500, detail=detail, status_code=500, request_id=visit.origin.request_id
        )


def _show(visit: Visit) -> Response:
    if visit.path[:1] == ("static",) and len(visit.path) == 2:
        file = pages.static(visit, visit.path[1])
        if file is None:
            raise NotFound("The console has no such file.")
        return file
    if not visit.is_on_own_host():
        return respond("", 303, {"Location": visit.home})
    visit.require_not_embedded()
    if not all(map(_SEGMENT.fullmatch, visit.path)):
        raise NotFound("There is no such page in the console.")
    for pattern, (get, post) in PAGES.items():
        parameters = _match(pattern, visit.path)
        if parameters is None:
            continue
        view = get if visit.method == "GET" else post
        if view is None:
            detail = "This page cannot be used that way. Use the links and forms of the console."
            raise HttpError(405, detail, {"Allow": "POST" if get is None else "GET"})
        if visit.method == "POST":
            visit.require_same_origin()
        elif visit.path and visit.path[0] not in _WITHOUT_SESSION:
            asks = post is not None or pattern in _HAS_BUTTONS or visit.query().get("format") == "csv"
            if visit.is_from_elsewhere() or (asks and visit.is_typed()):
                return _ask_first(visit)
        return view(visit, *parameters)
    raise NotFound("There is no such page in the console.")


_SHOWN = 80
"""The most characters of an address that the page has in its link."""


def _ask_first(visit: Visit) -> Response:
    """Return a page that links to the one asked for. Raises Unauthenticated.

    A sibling host's link is sent with the session's cookie (``SameSite=Strict`` allows it), and its page can
    have somebody click twice, so that the second click meets a button of the console ("double-clickjacking",
    which no header prevents). So no such link leads to a page with a form; nor does an address that was
    typed, since a page that was itself opened by typing can be reloaded, or gone back to, as a redirect to
    the console, and browsers call that typed; nor to a download, so that no page of another site has one
    made. The link stands where other pages have their heading, and is short whatever was asked for, so that a
    third click meets no button either; and the page that it opens sends nothing for a second
    (``console.js``).
    """
    visit.sign_in()
    visit.auth, visit.csrf = None, ""  # The page has no button either, not even the one that signs out.
    path, _, query = visit.address().partition("?")
    parts = [it for it in query.split("&") if it not in ("", ASKED)]
    shown = (path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…") + ("?…" if parts else "")
    address = f"{path}?{'&'.join([*parts, ASKED])}"
    return pages.page(visit, "from-elsewhere.html", address=address, shown=shown)


def _match(pattern: str, path: tuple[str, ...]) -> list[str] | None:
    parts = pattern.split("/") if pattern else []
    if len(parts) != len(path):
        return None
    found = list(_parameters(parts, path))
    return None if None in found else [it for it in found if it]


def _parameters(parts: list[str], path: tuple[str, ...]) -> Iterator[str | None]:
    for part, given in zip(parts, path, strict=True):
        if part.startswith("{"):
            yield given
        else:
            yield "" if part == given else None
