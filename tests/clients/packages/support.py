"""``make run`` in a process of its own, and a proxy in front of it that loses, cuts and refuses."""

import http.client
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from service_users_client import Client

from local import budgets

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
SOURCES = os.pathsep.join(str(ROOT / "clients" / name / "src") for name in ("python", "cli"))
CONTRACT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))


@dataclass
class Server:
    """A running ``make run``."""

    url: str
    home: Path
    owner: dict[str, str]

    def client(self, url: str | None = None, **options: Any) -> Client:
        """Return a client of the OWNER."""
        return Client(url or self.url, self.owner["username"], self.owner["apiKey"], **options)

    def mailed(self, username: str, pattern: str) -> str:
        """Return what the newest email to a person has that matches; waits for it."""
        import email
        import email.policy

        end = time.monotonic() + 60
        while time.monotonic() < end:
            for file in sorted((self.home / "outbox").glob(f"*{username}@*.eml"), reverse=True):
                message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
                body = message.get_body(("plain",))
                if body and (found := re.search(pattern, body.get_content())):
                    return found[0]
            time.sleep(0.05)  # a function mails it, a moment later
        raise AssertionError(f"no email to {username}")


@contextmanager
def served(home: Path, **environment: str) -> Iterator[Server]:
    """Serve the API while the block runs, with budgets that no test uses up, and emails that are not held."""
    log = home.with_suffix(".log")
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [PYTHON, "-m", "tests.clients.serve", "--port", "0", "--home", home],
            cwd=ROOT,
            env={**os.environ, **budgets.HIGHEST, **environment, "PYTHONPATH": ""},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + 90
        while "Requests, emails and events" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < end, "make run does not start"
            time.sleep(0.05)  # its start is what is waited for
        owner = json.loads((home / "owner.json").read_text(encoding="utf-8"))
        yield Server(owner["baseUrl"], home, owner)
    finally:
        process.terminate()
        process.wait(timeout=30)


@dataclass
class Fault:
    """What happens to the next call that matches.

    ``kind`` is a status, "lost" (done, and no response), "cut" (half of it), "refused", or "garbled" (done,
    and a response that says it is JSON, and is not).
    """

    kind: str
    path: str = ""
    method: str = ""
    retry_after: str = "1"

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("", method) and re.search(self.path, path) is not None


@dataclass
class Proxy:
    """A socket in front of the server that records its calls, and can fail."""

    upstream: str
    calls: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda *_: None
    after: Callable[[str, str], None] = lambda *_: None
    url: str = ""

    def fault(self, method: str, path: str) -> str:
        """Return the kind of the fault planned for this call, which is used up; "" for none."""
        for each in self.faults:
            if each.matches(method, path):
                self.faults.remove(each)
                return f"{each.kind} {each.retry_after}"
        return ""

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(self.upstream.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_: Any) -> None: ...

    def handle_call(self) -> None:
        proxy, method, path = self.proxy, self.command, self.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.calls.append((method, path))
        kind, _, wait = proxy.fault(method, path).partition(" ")
        proxy.before(method, path)
        if kind == "refused":
            self.close_connection = True
            return
        if kind.isdigit():
            problem = {"type": "about:blank", "title": "Planned", "status": int(kind), "detail": "Later."}
            self.respond(int(kind), [("Retry-After", wait)] if wait else [], json.dumps(problem).encode())
            return
        status, headers, content = proxy.forward(method, path, dict(self.headers), body)
        proxy.after(method, path)
        if kind == "lost":
            self.close_connection = True
            return
        if kind == "garbled":
            content = b"<html>Sign in to the hotel"
        self.respond(status, headers, content, cut=kind == "cut")

    def respond(self, status: int, headers: Any, content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = cut or self.close_connection

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_call  # noqa: N815 - http.server's names


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """Put a proxy in front of the server while the block runs."""
    proxy = Proxy(upstream)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    setattr(server, "handle_error", lambda *_: None)  # noqa: B010 - a client that was killed is no error
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
