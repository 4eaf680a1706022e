"""What a browser is told with every answer, and the pages of other sites that it is not to call for."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from chalice.app import Response

from chalicelib.http.problems import HttpError

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer", with which a browser sends our own pages' forms with the Origin "null".
    "Referrer-Policy": "same-origin",
}
HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}


def with_security_headers(response: Response) -> Response:
    """Return a response with the headers that every response has; HTTPS alone unless PUBLIC_URL is http."""
    by_https = not os.environ.get("PUBLIC_URL", "").startswith("http:")
    headers = SECURITY_HEADERS | (HTTPS_ONLY if by_https else {})
    response.headers = {**headers, **response.headers}
    return response


def refuse_other_sites(method: str, path: str, headers: Mapping[str, str], own: tuple[str, ...]) -> None:
    """Raise HttpError (403) for a request that a browser makes for a page of another site.

    A browser may keep a username and key that its user typed once, and send them with whatever any page makes
    it send. It says where a request comes from (Fetch metadata, ``Origin``), and no other client
    does. ``own`` are the URLs of this service. What is not below ``/v1`` may be linked to from anywhere.
    """
    if method in ("GET", "HEAD") and path.split("/")[1:2] != ["v1"]:
        return
    origin = headers.get("origin")
    foreign = origin is not None and origin not in map(_origin, own)
    if foreign or headers.get("sec-fetch-site", "").strip().lower() in ("cross-site", "same-site"):
        raise HttpError(
            403,
            "A page of another site may not call this API. Call it from a program, or from its own pages.",
        )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
