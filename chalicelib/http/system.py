"""Calls without sign-in: the health check, the OpenAPI document, and the API reference as a page."""

import os
import re
from typing import Annotated

import msgspec
from chalice.app import Response
from msgspec import Meta

from chalicelib.http.call import Call, reply
from chalicelib.rules.errors import NotFound, Unavailable, ValidationError
from chalicelib.version import VERSION

SERVER = "https://api.service-users.example"
"""The address in the document, replaced when it is served by the real one."""

_HERE = os.path.dirname(__file__)
_DOCUMENT = os.path.join(_HERE, "openapi.json")
_VIEWER = os.path.join(_HERE, "viewer")

_ASSETS = {
    "swagger-ui-5.35.0.js": "text/javascript; charset=utf-8",
    "swagger-ui-5.35.0.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
}
"""The files of the page, and their types. One with a version in its name never changes."""

_BRIEFLY = "public, max-age=300"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)


class TableStates(msgspec.Struct, frozen=True):
    """The state of the tables."""

    directory: Annotated[str, Meta(description="`ok`: principals and keys can be read.")]
    events: Annotated[str, Meta(description="`ok`: events can be read.")]


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The health of the API, and its version."""

    status: Annotated[str, Meta(description="Health status.")]
    version: Annotated[str, Meta(description="The version of the contract that this stack serves.")]
    release: Annotated[
        str | msgspec.UnsetType,
        Meta(description="The deployed release: the version, and the commit if it is not a tag."),
    ] = msgspec.UNSET
    tables: Annotated[
        TableStates | msgspec.UnsetType, Meta(description="With `check=state`, the state of the tables.")
    ] = msgspec.UNSET


def health(call: Call) -> Response:
    """Respond with the health of the API and, if asked to, of its tables; otherwise reads no table.

    Raises ValidationError, and Unavailable if a table cannot be read.
    """
    check = call.query("check").get("check")
    if check is None:
        return reply(200, Health("ok", VERSION, _release()))
    if check != "state":
        raise ValidationError("'check' must be 'state', or left out.")
    readable = {
        "Directory": call.directory.is_readable(call.origin.second),
        "Events": call.trail.is_readable(call.origin.second),
    }
    if broken := [name for name, works in readable.items() if not works]:
        tables = f"The table {broken[0]}" if len(broken) == 1 else "Both tables"
        raise Unavailable(f"{tables} cannot be read. The log of the API says why; ask again in ten seconds.")
    return reply(200, Health("ok", VERSION, _release(), TableStates("ok", "ok")))


def _release() -> str | msgspec.UnsetType:
    """Return the name of the release; nothing where this is not deployed."""
    return os.environ.get("RELEASE") or msgspec.UNSET


def front_door(call: Call) -> Response:
    """Redirect to the console, or to the API reference if the stack has no console."""
    page = "/docs" if os.environ.get("CONSOLE") == "off" else "/console"
    headers: dict[str, str | list[str]] = {"Location": call.address(page), "Cache-Control": "no-store"}
    return Response(body="", status_code=303, headers=headers)


def openapi(call: Call) -> Response:
    """Respond with the OpenAPI document, with the API's public address."""
    call.query()
    document = _read(_DOCUMENT)
    if call.service.public_url:
        document = document.replace(SERVER, call.service.public_url)
    return _file(document, "application/json", _BRIEFLY)


def docs(call: Call) -> Response:
    """Respond with the API reference as a page; it loads nothing from another host."""
    call.query()
    page = _read(os.path.join(_VIEWER, "page.html"))
    # So that relative links work from /docs and from /docs/, with and without a stage in the path.
    page = page.replace("{base}", "../" if call.path.endswith("/") else "./")
    headers = {
        "Content-Security-Policy": _POLICY,
        # No page that opened this one keeps a hold of its window, in which somebody may sign in with a key.
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return _file(page, "text/html; charset=utf-8", _BRIEFLY, headers)


def docs_asset(call: Call, name: str) -> Response:
    """Respond with a file of the page. Raise NotFound."""
    call.query()
    if name not in _ASSETS:
        raise NotFound(f"The reference has no file '{name}'. Its page is at /docs.")
    cache_control = "public, max-age=31536000, immutable" if re.search(r"\d", name) else _BRIEFLY
    return _file(_read(os.path.join(_VIEWER, name)), _ASSETS[name], cache_control)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _file(text: str, media_type: str, cache_control: str, headers: dict[str, str] | None = None) -> Response:
    return Response(
        body=text,
        status_code=200,
        headers={
            "Content-Type": media_type,
            "Cache-Control": cache_control,
            "Vary": "Accept-Encoding",  # API Gateway compresses what is large
            **(headers or {}),
        },
    )
