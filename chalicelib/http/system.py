"""What anyone may ask: that the API answers, its OpenAPI document, and the reference as a page."""

import os
import re
from typing import Annotated

import msgspec
from chalice.app import Response
from msgspec import Meta

from chalicelib.http.call import Call, reply
from chalicelib.rules.errors import NotFound
from chalicelib.version import VERSION

SERVER = "https://api.service-users.example"
"""The address the document names where it does not know the real one."""

_HERE = os.path.dirname(__file__)
_DOCUMENT = os.path.join(_HERE, "openapi.json")
_VIEWER = os.path.join(_HERE, "viewer")

_ASSETS = {
    "swagger-ui-5.35.0.js": "text/javascript; charset=utf-8",
    "swagger-ui-5.35.0.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
}
"""The files the page is made of, and their types. One with a version in its name never changes."""

_BRIEFLY = "public, max-age=300"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)


class Health(msgspec.Struct, frozen=True):
    """That the API answers, and in which version."""

    status: str
    version: Annotated[str, Meta(description="The version of the contract that this stack serves.")]


def health(call: Call) -> Response:
    """200 where the API answers; reads no table."""
    call.query()
    return reply(200, Health("ok", VERSION))


def openapi(call: Call) -> Response:
    """200, this document, with the address customers know the API by."""
    call.query()
    document = _read(_DOCUMENT)
    if call.service.public_url:
        document = document.replace(SERVER, call.service.public_url)
    return _file(document, "application/json", _BRIEFLY)


def docs(call: Call) -> Response:
    """200, the reference as a page; everything on it comes from here."""
    call.query()
    page = _read(os.path.join(_VIEWER, "page.html"))
    # So that what the page asks for is found from /docs and /docs/ alike, whatever stage is before it.
    page = page.replace("{base}", "../" if call.path.endswith("/") else "./")
    return _file(page, "text/html; charset=utf-8", _BRIEFLY, {"Content-Security-Policy": _POLICY})


def docs_asset(call: Call, name: str) -> Response:
    """200, a file the page is made of. Raises NotFound."""
    call.query()
    if name not in _ASSETS:
        raise NotFound(f"The reference has no file '{name}'. Its page is at /docs.")
    kept = "public, max-age=31536000, immutable" if re.search(r"\d", name) else _BRIEFLY
    return _file(_read(os.path.join(_VIEWER, name)), _ASSETS[name], kept)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _file(text: str, media_type: str, kept: str, headers: dict[str, str] | None = None) -> Response:
    return Response(
        body=text,
        status_code=200,
        headers={
            "Content-Type": media_type,
            "Cache-Control": kept,
            **(headers or {}),
        },
    )
