"""Takes the events of an HTTP API of API Gateway too, in payload format 1.0.

They have the form of a REST API's events, which Chalice reads. What a REST API does by itself is done here:
it finds the route of a path that ends with a slash, responds to other paths with a problem, and compresses
large responses.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from chalice.app import Chalice

from chalicelib.http.browsers import with_security_headers
from chalicelib.http.call import refusal
from chalicelib.http.problems import HttpError

OWN_LIMIT = frozenset({"/health", "/v1/leaked-keys"})
"""Routes with a limit of their own in API Gateway, which holds only for what API Gateway sends to them."""

MIN_COMPRESSED_BYTES = 120_000
"""Responses from this size on are compressed, as by a REST API. None that has a secret is as large."""


class Application(Chalice):
    """A Chalice application behind a REST API, or behind an HTTP API."""

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Return the response to API Gateway's event."""
        if event.get("version") != "1.0":  # a REST API's events have no version
            return super().__call__(event, context)
        found = _with_route(event, self.routes)
        response = _not_found(event) if found is None else super().__call__(found, context)
        return _compressed(event, response)


def find_route(path: str, routes: Iterable[str]) -> tuple[str, dict[str, str]] | None:
    """Return the route of a path, and the path's parameters as they are in it; None if there is none.

    As in a REST API, a fixed segment takes precedence over a parameter, one slash at the end is ignored, and
    a parameter is never empty.
    """
    parts = (path[:-1] if path != "/" and path.endswith("/") else path).split("/")
    for route in sorted(routes):  # "{" sorts after every character that a fixed segment may have
        segments = route.split("/")
        if len(segments) != len(parts):
            continue
        parameters: dict[str, str] = {}
        for part, segment in zip(parts, segments, strict=True):
            if segment.startswith("{") and part:
                parameters[segment[1:-1]] = part
            elif segment != part:
                break
        else:
            return route, parameters
    return None


def _with_route(
    event: Mapping[str, Any], routes: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Return an event with the route of its path; None if it has none, or not for this method."""
    context = event["requestContext"]
    route = context.get("resourcePath")
    if route not in routes:  # it is "$default" for what API Gateway has no route for
        found = find_route(event["path"], routes.keys() - OWN_LIMIT)
        if found is None:
            return None
        route, parameters = found
        event = {
            **event,
            "pathParameters": parameters,
            "requestContext": {**context, "resourcePath": route},
        }
    return event if context["httpMethod"] in routes[route] else None


def _not_found(event: Mapping[str, Any]) -> dict[str, Any]:
    error = HttpError(404, "There is nothing at this path. /openapi.json lists what there is.")
    context = event["requestContext"]
    response = with_security_headers(refusal(error, str(context.get("requestId") or "")))
    if context["httpMethod"] == "HEAD":
        response.body = ""
    return response.to_dict()


def _compressed(event: Mapping[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """Return a response compressed, if it is large and the client accepts that."""
    body = response["body"]
    if len(body) < MIN_COMPRESSED_BYTES or not _accepts_gzip(event):
        return response
    import gzip

    headers = {**response["headers"], "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    encoded = base64.b64encode(gzip.compress(body.encode(), 6, mtime=0)).decode()
    return {**response, "headers": headers, "body": encoded, "isBase64Encoded": True}


def _accepts_gzip(event: Mapping[str, Any]) -> bool:
    named = [value for name, value in event["headers"].items() if name.lower() == "accept-encoding"]
    codings = [it.partition(";") for value in named for it in value.lower().split(",")]
    return any(
        name.strip() == "gzip" and not re.fullmatch(r"\s*q\s*=\s*0(\.0{0,3})?\s*", weight)
        for name, _, weight in codings
    )
