"""A proxy between a function and an AWS service: records every call, and can delay, fail or drop it.

It shows what a function asks of AWS, as sent. A test can also end an environment at the worst moment:
with its call made and the response not yet received.
"""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class AwsCall(NamedTuple):
    """One call of an AWS service: the operation's name and its input."""

    operation: str
    input: dict[str, Any]


class DropConnectionError(Exception):
    """Raised by a hook to close the connection without a response."""


class ServiceError(Exception):
    """Raised by a hook to respond with this error instead. ``more`` are further members of the response."""

    def __init__(self, status: int, code: str, message: str = "", **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.more = more


Hook = Callable[[AwsCall], None]


class AwsProxy(ThreadingHTTPServer):
    """Forwards every call to ``upstream`` and records it in ``calls``.

    The hook ``before`` is called with a call that has arrived and is not forwarded yet, ``after`` with one
    to which the service has responded and the function has not received the response. Either may raise
    DropConnectionError or ServiceError.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.calls: list[AwsCall] = []
        self.before: Hook = _no_hook
        self.after: Hook = _no_hook
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The proxy's base URL."""
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def hooked(self, before: Hook | None = None, after: Hook | None = None) -> Iterator[None]:
        """Call these hooks while the block runs."""
        self.before, self.after = before or _no_hook, after or _no_hook
        try:
            yield
        finally:
            self.before = self.after = _no_hook

    def close(self) -> None:
        """Stop the proxy."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: environments are ended in the middle of a call."""


class _Handler(BaseHTTPRequestHandler):
    server: AwsProxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        operation = target.partition(".")[2] or _REST_OPERATIONS.get((self.command, self.path), self.path)
        call = AwsCall(operation, json.loads(body or b"{}"))
        self.server.calls.append(call)
        try:
            self.server.before(call)
            status, headers, payload = self._forward(body)
            self.server.after(call)
        except DropConnectionError:
            self.close_connection = True
            return
        except ServiceError as error:
            status = error.status
            payload = json.dumps({"__type": error.code, "message": error.message, **error.more}).encode()
            headers = [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", error.code)]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_POST = _handle  # noqa: N815 - the base class's name

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            payload = response.read()
        except (OSError, http.client.HTTPException):
            raise ServiceError(503, "ServiceUnavailable", "The service is not available.") from None
        finally:
            connection.close()
        kept = [
            (name, value)
            for name, value in response.getheaders()
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server")
        ]
        return response.status, kept, payload

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def _no_hook(_call: AwsCall) -> None:
    pass


_REST_OPERATIONS = {("POST", "/v2/email/outbound-emails"): "SendEmail"}
