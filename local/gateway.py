"""An HTTP server that behaves, for a Chalice app, as API Gateway would in front of it.

It stands on ``chalice.local`` (the app, its authorizers, the Lambda context, CORS preflight) and
does itself what that leaves open: HTTP framing, the true peer address, decoded path parameters,
request ids, bodies that are not text, and answers to whatever no route takes, as problem details
(RFC 9457). What the app answers is passed on as it is.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import sys
import threading
import time
import traceback
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qs, unquote

import msgspec
from chalice.config import Config
from chalice.local import LambdaContext, LocalChalice, LocalGateway, LocalGatewayException

from chalicelib.http import problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from email.message import Message

    from chalice.app import Chalice

MAX_BODY = 10 * 1024 * 1024
"""API Gateway's limit on a request's payload, in bytes."""

_MAX_LINE = 8192
_DRAIN_BYTES = 8 * MAX_BODY
_DRAIN_SECONDS = 5.0
_INTEGRATION_SECONDS = 29


class HttpRequest(NamedTuple):
    """One request as it came over the wire. ``target`` is the path and query, still escaped."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"


class HttpResponse(NamedTuple):
    """One answer to put on the wire. Names in ``headers`` may repeat."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    request_id: str


class Refusal(Exception):
    """A request that no app gets to see. ``close`` where the rest of the connection is of no use."""

    def __init__(
        self, status: int, detail: str, *, close: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.close = close
        self.headers = headers or {}


def problem(refusal: Refusal, request_id: str) -> HttpResponse:
    """Answer ``refusal`` as problem details (RFC 9457)."""
    document = problems.problem(refusal.status, refusal.detail, request_id)
    headers = [("Content-Type", problems.MEDIA_TYPE), *refusal.headers.items()]
    return HttpResponse(refusal.status, headers, msgspec.json.encode(document), request_id)


class Gateway(LocalGateway):
    """Turns a request into the event API Gateway would make of it, and the app's answer into a response.

    ``lock`` is held while the app runs; without one, requests run side by side.
    """

    def __init__(self, app: Chalice, lock: contextlib.AbstractContextManager[Any] | None = None) -> None:
        if not isinstance(app, LocalChalice):
            # A deployed app sees one request at a time; this makes ``current_request`` one per thread.
            app.__class__ = type("LocalApp", (LocalChalice, type(app)), {})
        super().__init__(app, Config())
        self._app = app
        self._lock = lock or contextlib.nullcontext()

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer ``request`` with what the app says, or with a problem where no route takes it."""
        request_id = str(uuid.uuid4())
        try:
            return _response(self._invoke(request, request_id), request_id)
        except Refusal as refusal:
            return problem(refusal, request_id)
        except Exception:  # as API Gateway: whatever befell the function, the caller gets a 502
            traceback.print_exc()
            return problem(Refusal(502, "The function did not answer. Try again."), request_id)

    def _invoke(self, request: HttpRequest, request_id: str) -> Mapping[str, Any]:
        path = request.target.partition("?")[0]
        route, parameters = match(path, self._app.routes)
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
        event = event_of(request, route, parameters, request_id, self._app.api.binary_types)
        with self._lock:
            try:
                event, context = self._authorizer.authorize(path, event, context)
            except LocalGatewayException as refused:
                status = HTTPStatus(refused.CODE)
                raise Refusal(status, f"The authorizer says: {status.phrase}.") from refused
            answer: Mapping[str, Any] = self._app(event, context)
            return answer


def match(path: str, routes: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Answer the route that takes ``path`` (escaped, no query) and its decoded path parameters.

    As API Gateway does it: a fixed segment wins over a parameter, one slash at the end does not count,
    and a parameter is never empty. Raises Refusal (404) where no route takes it.
    """
    parts = (path[:-1] if path != "/" and path.endswith("/") else path).split("/")
    for route in sorted(routes):  # "{" sorts behind everything that a fixed segment has
        wanted = route.split("/")
        if len(wanted) != len(parts):
            continue
        parameters: dict[str, str] = {}
        for part, want in zip(parts, wanted, strict=True):
            if want.startswith("{") and part:
                parameters[want[1:-1]] = unquote(part)
            elif want != part:
                break
        else:
            return route, parameters
    raise Refusal(404, f"There is nothing at {path}.")


def event_of(
    request: HttpRequest,
    route: str,
    parameters: dict[str, str],
    request_id: str,
    binary_types: Sequence[str] = (),
) -> dict[str, Any]:
    """Answer the Lambda event of a REST API's proxy integration for ``request``.

    A body that is not text, by its type or in fact, is passed base64-encoded.
    """
    path, _, query = request.target.partition("?")
    arguments = parse_qs(query, keep_blank_values=True)
    multi: dict[str, list[str]] = {}
    for name, value in request.headers:
        multi.setdefault(name, []).append(value)
    by_name = {name.lower(): values[-1] for name, values in multi.items()}
    body, encoded = _body_of(request.body, by_name.get("content-type", ""), binary_types)
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


def _body_of(body: bytes, content_type: str, binary_types: Sequence[str]) -> tuple[str | None, bool]:
    if not body:
        return None, False
    if content_type.partition(";")[0].strip().lower() not in binary_types:
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(), False
    return base64.b64encode(body).decode(), True


def _response(answer: Mapping[str, Any], request_id: str) -> HttpResponse:
    headers = [
        *((name, str(value)) for name, value in (answer.get("headers") or {}).items()),
        *(
            (name, str(value))
            for name, values in (answer.get("multiValueHeaders") or {}).items()
            for value in values
        ),
    ]
    text = answer.get("body") or ""
    body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    return HttpResponse(int(answer["statusCode"]), headers, body, request_id)


def _has_cors(methods: Mapping[str, Any]) -> bool:
    return any(entry.cors is not None for entry in methods.values())


class Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes the answers, one after the other."""

    server: GatewayServer
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # headers and body leave in one packet …
    disable_nagle_algorithm = True  # … at once

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks for ``do_<METHOD>``; which methods there are is the routes' affair.
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        started = time.perf_counter()
        try:
            request = self._read()
            response = self.server.gateway.answer(request)
        except Refusal as refusal:
            response = problem(refusal, str(uuid.uuid4()))
            self.close_connection = self.close_connection or refusal.close
        self._write(response)
        self.server.log(self.command, self.path, response.status, time.perf_counter() - started)

    def _read(self) -> HttpRequest:
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"  # so that the refusal has headers
            raise Refusal(400, "The request line names no HTTP version.", close=True)
        body = self._read_body()
        return HttpRequest(
            method=self.command,
            target=_target(self.path),
            headers=self.headers.items(),
            body=body,
            source_ip=str(self.client_address[0]).removeprefix("::ffff:"),
            protocol=self.request_version,
        )

    def _read_body(self) -> bytes:
        length = body_length(self.headers)
        try:
            if length is None:
                return self._read_chunks()
            body = self.rfile.read(length)
        except TimeoutError:
            raise Refusal(408, "The body did not arrive in time.", close=True) from None
        if len(body) < length:
            raise Refusal(400, "The body is shorter than its Content-Length says.", close=True)
        return body

    def _read_chunks(self) -> bytes:
        """Read a chunked body (RFC 9112, 7.1); extensions and trailers are read and dropped."""
        body = bytearray()
        while True:
            size_text = self._read_line().partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size_text):
                raise Refusal(400, "The chunked body has a chunk without a proper size.", close=True)
            size = int(size_text, 16)
            if not size:
                break
            if len(body) + size > MAX_BODY:
                raise _too_large()
            body += self.rfile.read(size)
            if self._read_line():  # also refuses a chunk cut short: there is no line's end either
                raise Refusal(400, "The chunked body has a chunk of another size than it says.", close=True)
        while self._read_line():
            pass
        return bytes(body)

    def _read_line(self) -> bytes:
        line = self.rfile.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise Refusal(400, "The chunked body ends too soon or has too long a line.", close=True)
        return line.rstrip(b"\r\n")

    def handle_expect_100(self) -> bool:
        """Ask for the body only where it will be read (RFC 9110, 10.1.1)."""
        try:
            body_length(self.headers)
        except Refusal as refusal:
            self.close_connection = True
            self._write(problem(refusal, str(uuid.uuid4())))
            return False
        answer: bool = super().handle_expect_100()
        self.wfile.flush()
        return answer

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that the base class cannot read (line, version, headers) with a problem."""
        status = code if code < HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"
        self.close_connection = True
        detail = f"The request cannot be read: {message or explain or HTTPStatus(status).phrase}."
        self._write(problem(Refusal(status, detail), str(uuid.uuid4())))

    def _write(self, response: HttpResponse) -> None:
        self.send_response(response.status)
        names = set()
        for name, value in response.headers:
            names.add(name.lower())
            # As UTF-8, where the base class would have Latin-1 or an error.
            self.send_header(name, value.encode().decode("latin-1"))
        bodiless = response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if "content-type" not in names and not bodiless:
            self.send_header("Content-Type", "application/json")
        if "content-length" not in names and not bodiless:
            self.send_header("Content-Length", str(len(response.body)))
        self.send_header("x-amzn-RequestId", response.request_id)
        if self.close_connection:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0":
            self.send_header("Connection", "keep-alive")
        self.end_headers()
        if self.command != "HEAD" and not bodiless:
            self.wfile.write(response.body)
        self.wfile.flush()
        if self.close_connection:
            self._drain()

    def _drain(self) -> None:
        """Take what the client is still sending, within bounds.

        A connection closed on unread bytes is reset, and a client that was still sending
        would see that and never our answer.
        """
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            deadline = time.monotonic() + _DRAIN_SECONDS
            left = _DRAIN_BYTES
            while left > 0 and time.monotonic() < deadline and (read := self.rfile.read1(65536)):
                left -= len(read)

    def version_string(self) -> str:
        """Answer what the Server header says."""
        return "local-gateway"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay silent: the server logs what it has answered, one line each."""


class GatewayServer(ThreadingHTTPServer):
    """Serves ``app`` on ``host:port`` (0: any free port) until :meth:`shutdown`, a thread a connection.

    ``log(method, target, status, seconds)`` hears of every answer. Raises OSError where the address
    cannot be had.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        app: Chalice,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        lock: contextlib.AbstractContextManager[Any] | None = None,
        log: Callable[[str, str, int, float], None] | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.gateway = Gateway(app, lock)
        self.log = log or (lambda *_: None)
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        """The address to call it at."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind, without the base class's look-up of the host's name, which can take seconds."""
        if self.allow_reuse_address and sys.platform != "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong on a connection, unless it is only that the client has gone."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @contextlib.contextmanager
    def serving(self) -> Any:
        """Serve in a thread while the block runs, then stop and close."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


def body_length(headers: Message[str, str]) -> int | None:
    """Answer how many bytes of body ``headers`` announce, None where the body is chunked.

    Raises Refusal: 400 where they contradict themselves or make no sense, 413 where it is too large.
    """
    lengths = headers.get_all("Content-Length", [])
    codings = headers.get_all("Transfer-Encoding", [])
    if codings:
        if lengths:
            _refuse_framing("Content-Length and Transfer-Encoding exclude each other")
        if [coding.strip().lower() for coding in codings] != ["chunked"]:
            _refuse_framing("the only Transfer-Encoding taken is chunked")
        return None
    if not lengths:
        return 0
    if len(set(lengths)) > 1 or not re.fullmatch(r"[0-9]+", lengths[0].strip()):
        _refuse_framing("Content-Length must be one whole number")
    digits = lengths[0].strip().lstrip("0")
    if len(digits) > len(str(MAX_BODY)) or int(digits or "0") > MAX_BODY:
        raise _too_large()
    return int(digits or "0")


def _refuse_framing(why: str) -> NoReturn:
    raise Refusal(400, f"The body's length is not clear: {why}.", close=True)


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MAX_BODY} bytes.", close=True)


def _target(path: str) -> str:
    """Answer the path and query of a request line's target, which may be a whole URL (RFC 9112, 3.2)."""
    if not path.isascii() or not path.isprintable():
        raise Refusal(400, "The path must be ASCII; percent-encode everything else as UTF-8.")
    path = re.sub(r"^https?://[^/?]*", "", path, flags=re.IGNORECASE).partition("#")[0]
    return path if path.startswith("/") else f"/{path}"
