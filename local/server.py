"""The HTTP server of the local gateway: sockets, threads, and the framing of requests and responses.

Built on the standard library's ``http.server``. It adds what that leaves open: chunked request bodies,
limits, ``Expect: 100-continue``, persistent connections, and problem details (RFC 9457) for requests that
cannot be read.

werkzeug's development server (installed with moto) cannot take its place. It closes every connection
after one response. Its reader of chunked bodies refuses chunk extensions and trailers, and crashes the
interpreter on a chunk that is cut short. It asks for a body (``Expect``) before the application can
refuse it, and describes unreadable requests in HTML. What it could provide is the listening socket and
the thread for each connection, which ``ThreadingHTTPServer`` provides as well.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NoReturn

from local.gateway import HttpRequest, HttpResponse, Refusal, problem_response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

Respond = Callable[[HttpRequest], HttpResponse]

MAX_BODY = 10 * 1024 * 1024
"""API Gateway's limit on a request's payload, in bytes."""

_MAX_LINE = 8192
_DRAIN_BYTES = 8 * MAX_BODY
_DRAIN_SECONDS = 5.0


class HttpServer(ThreadingHTTPServer):
    """Serves ``respond`` on ``host:port`` (0: any free port), one thread for each connection.

    ``log(method, target, status, seconds)`` is called after every response. Raises OSError if the
    address is not available.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        respond: Respond,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        log: Callable[[str, str, int, float], None] | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.respond = respond
        self.log = log or (lambda *_: None)
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """The server's base URL."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without the base class's reverse look-up of the host name, which can take seconds."""
        if self.allow_reuse_address and sys.platform != "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error on a connection, unless the client merely went away."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @contextlib.contextmanager
    def serving(self) -> Iterator[HttpServer]:
        """Serve in a thread while the block runs, then stop and close."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Reads the requests of one connection and writes their responses, in order."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # headers and body leave in one packet …
    disable_nagle_algorithm = True  # … at once

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks for ``do_<METHOD>``; which methods exist is for the routes to decide.
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        started = time.perf_counter()
        try:
            request = self._read()
            response = self.server.respond(request)
        except Refusal as refusal:
            response = problem_response(refusal, str(uuid.uuid4()))
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
            raise Refusal(400, "The body is shorter than its Content-Length.", close=True)
        return body

    def _read_chunks(self) -> bytes:
        """Read a chunked body (RFC 9112, 7.1); extensions and trailers are read and ignored."""
        body = bytearray()
        while True:
            size_text = self._read_line().partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size_text):
                raise Refusal(400, "The chunked body has a chunk without a valid size.", close=True)
            size = int(size_text, 16)
            if not size:
                break
            if len(body) + size > MAX_BODY:
                raise _too_large()
            body += self.rfile.read(size)
            if self._read_line():  # also refuses a chunk that is cut short: its line end is missing
                raise Refusal(400, "The chunked body has a chunk that differs from its size.", close=True)
        while self._read_line():
            pass
        return bytes(body)

    def _read_line(self) -> bytes:
        line = self.rfile.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise Refusal(400, "The chunked body ends too soon or has too long a line.", close=True)
        return line.rstrip(b"\r\n")

    def handle_expect_100(self) -> bool:
        """Ask for the body only if it will be read (RFC 9110, 10.1.1)."""
        try:
            body_length(self.headers)
        except Refusal as refusal:
            self.close_connection = True
            self._write(problem_response(refusal, str(uuid.uuid4())))
            return False
        proceed: bool = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond with a problem to a request that the base class cannot read (line, version, headers)."""
        status = code if code < HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"
        self.close_connection = True
        detail = f"The request cannot be read: {message or explain or HTTPStatus(status).phrase}."
        self._write(problem_response(Refusal(status, detail), str(uuid.uuid4())))

    def _write(self, response: HttpResponse) -> None:
        self.send_response(response.status)
        names = set()
        for name, value in response.headers:
            names.add(name.lower())
            # As UTF-8; the base class would use Latin-1, or fail.
            self.send_header(name, value.encode().decode("latin-1"))
        bodiless = response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if "content-type" not in names and not bodiless:
            self.send_header("Content-Type", "application/json")
        # The function does not tell what GET would return, so the length is unknown (RFC 9110, 8.6).
        unknown = self.command == "HEAD" and not response.body
        if "content-length" not in names and not bodiless and not unknown:
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
        """Read what the client is still sending, within bounds.

        Closing a connection with unread bytes resets it, and a client that was still sending
        would see the reset and never the response.
        """
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            deadline = time.monotonic() + _DRAIN_SECONDS
            remaining = _DRAIN_BYTES
            while remaining > 0 and time.monotonic() < deadline and (read := self.rfile.read1(65536)):
                remaining -= len(read)

    def version_string(self) -> str:
        """Return the value of the Server header."""
        return "local-gateway"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing: the server logs its responses, one line each."""


def body_length(headers: Message[str, str]) -> int | None:
    """Return the length of the body that ``headers`` announce, in bytes; None if the body is chunked.

    Raises Refusal: 400 if they are contradictory or invalid, 413 if the body is too large.
    """
    lengths = headers.get_all("Content-Length", [])
    codings = headers.get_all("Transfer-Encoding", [])
    if codings:
        if lengths:
            _refuse_framing("Content-Length and Transfer-Encoding exclude each other")
        if [coding.strip().lower() for coding in codings] != ["chunked"]:
            _refuse_framing("the only supported Transfer-Encoding is chunked")
        return None
    if not lengths:
        return 0
    if len(set(lengths)) > 1 or not re.fullmatch(r"[0-9]+", lengths[0].strip()):
        _refuse_framing("Content-Length must be one whole number")
    digits = lengths[0].strip().lstrip("0")
    if len(digits) > len(str(MAX_BODY)) or int(digits or "0") > MAX_BODY:
        raise _too_large()
    return int(digits or "0")


def _refuse_framing(reason: str) -> NoReturn:
    raise Refusal(400, f"The length of the body is not clear: {reason}.", close=True)


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MAX_BODY} bytes.", close=True)


def _target(path: str) -> str:
    """Return the path and query of a request line's target, which may be a whole URL (RFC 9112, 3.2)."""
    if not path.isascii() or not path.isprintable():
        raise Refusal(400, "The path must be ASCII; percent-encode everything else as UTF-8.")
    path = re.sub(r"^https?://[^/?]*", "", path, flags=re.IGNORECASE).partition("#")[0]
    return path if path.startswith("/") else f"/{path}"
