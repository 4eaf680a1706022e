"""Emulates API Gateway for a Chalice app: routes, events, and responses made of the app's results.

Built on ``chalice.local`` (the app, its authorizers, the Lambda context, CORS preflight). It adds what
is missing there: decoded path parameters, request ids, binary bodies, the caller's address, and problem
details (RFC 9457) for requests that match no route. What the app returns is passed on unchanged.
``local/server.py`` is the HTTP server in front of it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import time
import traceback
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec
from chalice.config import Config
from chalice.local import LambdaContext, LocalChalice, LocalGateway, LocalGatewayException

from chalicelib.http import problems
from chalicelib.http.http_api import find_route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chalice.app import Chalice

_INTEGRATION_SECONDS = 29


class HttpRequest(NamedTuple):
    """A request as received. ``target`` is the path and query, still percent-encoded."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"


class HttpResponse(NamedTuple):
    """A response to send. Names in ``headers`` may repeat."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    request_id: str


class Refusal(Exception):
    """A request that is refused before the app is called. ``close``: close the connection after it."""

    def __init__(
        self, status: int, detail: str, *, close: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.close = close
        self.headers = headers or {}


class Gateway(LocalGateway):
    """Turns a request into API Gateway's event, and the app's result into a response.

    ``lock`` is held while the app runs; without one, requests run concurrently. ``compress_from`` is the
    API's MinimumCompressionSize.
    """

    def __init__(
        self,
        app: Chalice,
        lock: contextlib.AbstractContextManager[Any] | None = None,
        compress_from: int | None = None,
    ) -> None:
        if not isinstance(app, LocalChalice):
            # A deployed app handles one request at a time; here each thread has its own ``current_request``.
            app.__class__ = type("LocalApp", (LocalChalice, type(app)), {})
        super().__init__(app, Config())
        self._app = app
        self._lock = lock or contextlib.nullcontext()
        self._compress_from = compress_from

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the app's response to ``request``, or a problem if no route matches."""
        request_id = str(uuid.uuid4())
        try:
            response = http_response(self._invoke(request, request_id), request_id)
            return compressed(request, response, self._compress_from)
        except Refusal as refusal:
            return problem_response(refusal, request_id)
        except Exception:  # as API Gateway does: whatever fails in the function is a 502 to the caller
            traceback.print_exc()
            return problem_response(Refusal(502, "The function failed. Try again."), request_id)

    def _invoke(self, request: HttpRequest, request_id: str) -> Mapping[str, Any]:
        path = request.target.partition("?")[0]
        route, parameters = match_route(path, self._app.routes)
        if request.method not in self._app.routes[route]:
            if request.method != "OPTIONS" or not _has_cors(self._app.routes[route]):
                allowed = sorted(self._app.routes[route])
                raise Refusal(
                    405,
                    f"{path} does not take {request.method}. Use {', '.join(allowed)}.",
                    headers={"Allow": ", ".join(allowed)},
                )
            preflight = self._autogen_options_headers({"requestContext": {"resourcePath": route}})
            return {"statusCode": 200, "headers": preflight, "body": ""}
        context = LambdaContext("api", 512, _INTEGRATION_SECONDS * 1000)
        event = rest_event(request, route, parameters, request_id, self._app.api.binary_types)
        with self._lock:
            try:
                event, context = self._authorizer.authorize(path, event, context)
            except LocalGatewayException as refused:
                status = HTTPStatus(refused.CODE)
                raise Refusal(status, f"Refused by the authorizer: {status.phrase}.") from refused
            result: Mapping[str, Any] = self._app(event, context)
            return result


def match_route(path: str, routes: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the route that matches ``path`` (percent-encoded, no query) and its decoded path parameters.

    Raises Refusal (404) if no route matches.
    """
    found = find_route(path, routes)
    if found is None:
        raise Refusal(404, f"There is nothing at {path}.")
    return found[0], {name: unquote(value) for name, value in found[1].items()}


def rest_event(
    request: HttpRequest,
    route: str,
    parameters: dict[str, str],
    request_id: str,
    binary_types: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the Lambda event of a REST API's proxy integration for ``request``.

    A body of a binary media type, or one that is not UTF-8, is passed in base64.
    """
    path, _, query = request.target.partition("?")
    arguments = parse_qs(query, keep_blank_values=True)
    multi: dict[str, list[str]] = {}
    for name, value in request.headers:
        multi.setdefault(name, []).append(value)
    by_name = {name.lower(): values[-1] for name, values in multi.items()}
    body, encoded = _event_body(request.body, by_name.get("content-type", ""), binary_types)
    now = time.time()
    return {
        "resource": route,
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in multi.items()},
        "multiValueHeaders": multi,
        "queryStringParameters": {k: v[-1] for k, v in arguments.items()} or None,
        "multiValueQueryStringParameters": arguments or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "stage": "api",
            "protocol": request.protocol,
            "resourcePath": route,
            "path": path,
            "httpMethod": request.method,
            "requestId": request_id,
            "extendedRequestId": request_id,
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "requestTimeEpoch": int(now * 1000),
            "domainName": by_name.get("host", "localhost"),
            "identity": {"sourceIp": request.source_ip, "userAgent": by_name.get("user-agent", "")},
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


_TEXT_TYPES = ("application/json", "application/javascript", "application/xml")
"""What an HTTP API passes on as text, beside text/*. It passes on everything else in base64."""


def http_api_event(event: Mapping[str, Any], *, routed: bool = True) -> dict[str, Any]:
    """Return the event that an HTTP API sends in payload format 1.0, where a REST API sends ``event``.

    Its stage is ``$default``, which is in no path; a REST API's is in the path of its ``requestContext``.
    ``routed``: whether a route of the API matches.
    """
    context, headers = event["requestContext"], event["headers"]
    body, encoded = event["body"], event["isBase64Encoded"]
    by_name = {name.lower(): value for name, value in headers.items()}
    kind = by_name.get("content-type", "").partition(";")[0].strip().lower()
    is_text = kind.startswith("text/") or kind in _TEXT_TYPES
    if body is not None and not encoded and not is_text:
        body, encoded = base64.b64encode(body.encode()).decode(), True
    elif encoded and is_text:
        with contextlib.suppress(UnicodeDecodeError):
            body, encoded = base64.b64decode(body).decode(), False
    path = str(context["path"]).removeprefix(f"/{context.get('stage', 'api')}") or "/"
    route = event["resource"] if routed else "$default"
    return {
        **event,
        "version": "1.0",
        "resource": route,
        "path": path,
        "pathParameters": event["pathParameters"] if routed else None,
        "requestContext": {
            **context,
            "stage": "$default",
            "path": path,
            "resourceId": f"ANY {route}" if routed else route,
            "resourcePath": route,
            "extendedRequestId": context["requestId"],
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def http_response(result: Mapping[str, Any], request_id: str) -> HttpResponse:
    """Return the response that API Gateway makes of a function's result (proxy integration)."""
    headers = [
        *((name, str(value)) for name, value in (result.get("headers") or {}).items()),
        *(
            (name, str(value))
            for name, values in (result.get("multiValueHeaders") or {}).items()
            for value in values
        ),
    ]
    text = result.get("body") or ""
    body = base64.b64decode(text) if result.get("isBase64Encoded") else text.encode()
    return HttpResponse(int(result["statusCode"]), headers, body, request_id)


def compressed(request: HttpRequest, response: HttpResponse, least: int | None) -> HttpResponse:
    """Return a response as API Gateway compresses it, if it has at least ``least`` bytes (None: never).

    It does so for whoever names gzip in Accept-Encoding, unless the function has encoded the body itself.
    """
    accepted = ",".join(value for name, value in request.headers if name.lower() == "accept-encoding")
    names = {it.partition(";")[0].strip().lower() for it in accepted.split(",")}
    is_encoded = any(name.lower() == "content-encoding" for name, _ in response.headers)
    if least is None or len(response.body) < least or "gzip" not in names or is_encoded:
        return response
    headers = [*response.headers, ("Content-Encoding", "gzip")]
    return response._replace(headers=headers, body=gzip.compress(response.body, 6, mtime=0))


def problem_response(refusal: Refusal, request_id: str) -> HttpResponse:
    """Return ``refusal`` as problem details (RFC 9457)."""
    document = problems.problem(refusal.status, refusal.detail, request_id)
    headers = [("Content-Type", problems.MEDIA_TYPE), *refusal.headers.items()]
    return HttpResponse(refusal.status, headers, msgspec.json.encode(document), request_id)


def _event_body(body: bytes, content_type: str, binary_types: Sequence[str]) -> tuple[str | None, bool]:
    if not body:
        return None, False
    if content_type.partition(";")[0].strip().lower() not in binary_types:
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(), False
    return base64.b64encode(body).decode(), True


def _has_cors(methods: Mapping[str, Any]) -> bool:
    return any(entry.cors is not None for entry in methods.values())
