"""Stands between a function and an AWS service: sees every call, and can hold, fail or cut it.

What a function asked of AWS is read off here, on the wire; and a test can end an environment at the
worst moment there is: with its call made and its answer not yet there.
"""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Call(NamedTuple):
    """One call: the operation's name, its input, and where it is in the order of calls."""

    operation: str
    input: dict[str, Any]


class Cut(Exception):
    """Raised by a hook: the connection ends here, without an answer."""


class Refuse(Exception):
    """Raised by a hook: the call is answered with this error instead."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


Hook = Callable[[Call], None]


class Proxy(ThreadingHTTPServer):
    """Passes every call on to ``upstream`` and records it.

    ``before`` is called with a call that has arrived and not been passed on, ``after`` with one that the
    service has answered and the function has not heard of yet. Either may raise Cut or Refuse.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.calls: list[Call] = []
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def hooked(self, before: "Hook | None" = None, after: "Hook | None" = None) -> Iterator[None]:
        """Have the hooks called while the block runs."""
        self.before, self.after = before or _nothing, after or _nothing
        try:
            yield
        finally:
            self.before = self.after = _nothing

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: what calls dies in the middle of it."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        operation = target.partition(".")[2] or _REST_OPERATIONS.get((self.command, self.path), self.path)
        call = Call(operation, json.loads(body or b"{}"))
        self.server.calls.append(call)
        try:
            self.server.before(call)
            status, headers, answer = self._pass_on(body)
            self.server.after(call)
        except Cut:
            self.close_connection = True
            return
        except Refuse as refusal:
            status = refusal.status
            answer = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
            headers = [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", refusal.code)]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = _handle  # noqa: N815 - the base class's name

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            raise Refuse(503, "ServiceUnavailable", "The service is away.") from None
        finally:
            connection.close()
        kept = [
            (name, value)
            for name, value in response.getheaders()
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server")
        ]
        return response.status, kept, answer

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


def _nothing(_call: Call) -> None:
    pass


_REST_OPERATIONS = {("POST", "/v2/email/outbound-emails"): "SendEmail"}
