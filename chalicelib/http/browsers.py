"""Security headers of every response, and the refusal of requests that browsers make for other sites."""

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
    """Return a response with the security headers; HTTPS_ONLY is left out if PUBLIC_URL is http."""
    by_https = not os.environ.get("PUBLIC_URL", "").startswith("http:")
    headers = SECURITY_HEADERS | (HTTPS_ONLY if by_https else {})
    response.headers = {**headers, **response.headers}
    return response


def refuse_other_sites(method: str, path: str, headers: Mapping[str, str], own: tuple[str, ...]) -> None:
    """Raise HttpError (403) for a request that a browser makes for a page of another site.

    A browser can remember a username and key that its user typed once, and send them with requests that any
    page makes. Browsers, and no other clients, say where a request comes from (Fetch metadata, ``Origin``).
    ``own`` are the URLs of this service. Other sites may link to every path that is not below ``/v1``.
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
