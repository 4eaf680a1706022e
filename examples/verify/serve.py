"""``make example PROXY=nginx``: Service Users, and a service behind nginx or Envoy that its keys protect.

nginx is the real one. Of Envoy there is the protocol: the requests that it sends to the adapter.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import adapter  # noqa: E402

from local.event_sources import lambda_context  # noqa: E402
from local.run import HOST, StartError, Terminal, free_port, local_system  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from local.run import LocalSystem

HOME = ROOT / ".local" / "example"


class ExampleCall(NamedTuple):
    """A call to try, with the status that it must return. ``{key}`` is the bot's key."""

    title: str
    method: str
    path: str
    status: int
    headers: dict[str, str] = {}


ALONE = {"Authorization": "Bearer {key}"}
CALLS = (
    ExampleCall("no credentials", "GET", "/monitoring/clusters", 401),
    ExampleCall(
        "with username and key", "GET", "/monitoring/clusters", 200, {"Authorization": "Basic {basic}"}
    ),
    ExampleCall("with the key alone", "GET", "/monitoring/clusters?all=1", 200, ALONE),
    ExampleCall("a mistyped key", "GET", "/monitoring/clusters", 401, {"Authorization": "Bearer {key}x"}),
    ExampleCall("another path", "GET", "/provisioning/clusters", 403, ALONE),
    ExampleCall("another method", "POST", "/monitoring/clusters", 403, ALONE),
    ExampleCall("out of the path", "GET", "/monitoring/../provisioning", 403, ALONE),
    ExampleCall("out of the path, escaped", "GET", "/monitoring/%2e%2e/provisioning", 403, ALONE),
    ExampleCall(
        "as somebody else",
        "GET",
        "/monitoring/clusters",
        200,
        {**ALONE, "X-Service-User": "owner", "X-Service-User-Role": "OWNER"},
    ),
    ExampleCall(
        "with a path that was not asked for",
        "GET",
        "/provisioning/clusters",
        403,
        {**ALONE, "X-Original-Uri": "/monitoring/clusters", "X-Original-Method": "GET"},
    ),
)


class QuietTerminal(Terminal):
    """Prints no log lines."""

    def log_response(self, method: str, target: str, status: int, seconds: float) -> None:
        """Print nothing."""

    def log_email(self, recipient: str, subject: str) -> None:
        """Print nothing."""

    def log_event(self, action: str, username: str) -> None:
        """Print nothing."""


class Service(BaseHTTPRequestHandler):
    """The service behind the proxy: returns who calls, by the proxy's headers."""

    protocol_version = "HTTP/1.1"

    def respond(self) -> None:
        """Return the caller, the path, and whether a key got this far."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        caller = {name: ", ".join(self.headers.get_all(name, [])) for name in adapter.CALLER}
        body = json.dumps({"path": self.path, "key": "Authorization" in self.headers, **caller}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = respond  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""


@contextlib.contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """Serve while the block runs; gives the address."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def nginx(upstream: str, verifier: str, port: int) -> Iterator[str]:
    """Run nginx with nginx.conf while the block runs; gives its address. Raises StartError."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise StartError("nginx is needed and not here (Debian: apt-get install nginx-light).")
    listen = f"{HOST}:{port or free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        text = (Path(__file__).parent / "nginx.conf").read_text(encoding="utf-8")
        for name, value in (
            ("LISTEN", listen),
            ("UPSTREAM", upstream),
            ("ADAPTER", verifier),
            ("FOLDER", folder),
        ):
            text = "\n".join(
                line if line.lstrip().startswith("#") else line.replace(name, value)
                for line in text.splitlines()
            )
        file = Path(folder) / "nginx.conf"
        file.write_text(text + "\n", encoding="utf-8")
        process = subprocess.Popen([program, "-p", folder, "-c", str(file), "-g", "daemon off;"])  # noqa: S603
        try:
            _wait_for(f"http://{listen}/", process)
            yield listen
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        with contextlib.suppress(ConnectionError, urllib.error.URLError):
            request(url, "GET", {})
            return
        time.sleep(0.05)
    raise StartError("nginx does not start; what it wrote is above.")


def make_key(system: LocalSystem) -> tuple[str, str]:
    """Make a Service User with a MONITORING key; return its username and the key."""
    owner = f"{system.owner['username']}:{system.owner['apiKey']}"
    body = {
        "username": "metrics-bot",
        "email": "metrics-bot@demo.example",
        "role": "READ_ONLY",
        "keyTypes": ["MONITORING"],
    }
    request = urllib.request.Request(  # noqa: S310 - on this machine
        f"{system.url}/v1/service-users",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(owner.encode()).decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        made = json.load(response)
    return made["username"], made["apiKeys"]["apiKeys"][0]["key"]


def headers_of(call: ExampleCall, username: str, key: str) -> dict[str, str]:
    """Return a call's headers with the credentials in them."""
    basic = base64.b64encode(f"{username}:{key}".encode()).decode()
    return {
        name: value.replace("{key}", key).replace("{basic}", basic) for name, value in call.headers.items()
    }


def ask_by(system: LocalSystem) -> adapter.Ask:
    """Return a way to ask the function ``verify`` of a system on this machine."""

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        with system.lock:
            decision: dict[str, Any] = system.app.handler_map["verify"](question, lambda_context("verify"))
        return decision

    return ask


def request(url: str, method: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Make a call; return its status and body."""
    made = urllib.request.Request(url, method=method, headers=dict(headers))  # noqa: S310
    try:
        with urllib.request.urlopen(made, timeout=10) as response:  # noqa: S310 - on this machine
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check_calls(
    url: str, username: str, key: str, more: Mapping[str, str], say: Callable[[str], None]
) -> bool:
    """Make the calls, print each result, and return whether every status was the expected one."""
    passed = True
    for call in CALLS:
        headers = {**headers_of(call, username, key), **more}
        status, body = request(url + call.path, call.method, headers)
        passed = passed and status == call.status and '"owner"' not in body and 'key": true' not in body
        note = "" if status == call.status else f"   EXPECTED {call.status}"
        shown = " ".join(body.split())[:72]
        say(f"  {status}   {call.method:<5}{call.path:<32} {call.title:<36} {shown}{note}")
    return passed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it until Ctrl-C, or make the calls once; return the exit status."""
    parser = argparse.ArgumentParser(prog="make example", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--proxy", choices=adapter.PROXIES, default="nginx")
    parser.add_argument(
        "--port", type=int, default=8000, help="port of Service Users; the proxy has the next"
    )
    parser.add_argument("--home", type=Path, default=HOME, help="folder for credentials and emails")
    parser.add_argument("--check", action="store_true", help="make the calls, print the results, and exit")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    terminal = QuietTerminal() if args.check else Terminal()
    port = args.port + 1 if args.port else 0
    try:
        with contextlib.ExitStack() as stack:
            system = stack.enter_context(local_system(args.port, args.home.absolute(), "app", terminal))
            username, key = make_key(system)
            own = port if args.proxy == "envoy" else 0
            adapter_server = adapter.serve(args.proxy, (HOST, own), ask_by(system))
            address = stack.enter_context(running(adapter_server))
            more = {"X-Forwarded-For": "192.0.2.1, 127.0.0.1"}
            if args.proxy == "nginx":
                upstream = stack.enter_context(running(ThreadingHTTPServer((HOST, 0), Service)))
                address = stack.enter_context(nginx(upstream, address, port))
                more = {}
            if args.check:
                return 0 if check_calls(f"http://{address}", username, key, more, terminal.say) else 1
            terminal.say(_welcome(args.proxy, system.url, address, username, key, more))
            while True:
                signal.pause()
    except KeyboardInterrupt:
        terminal.say("\n  Stopped.")
        return 0
    except StartError as error:
        sys.stderr.write(f"\n  {error}\n\n")
        return 1


def _welcome(proxy: str, api: str, address: str, username: str, key: str, more: Mapping[str, str]) -> str:
    lines = []
    for call in CALLS:
        headers = {**headers_of(call, username, key), **more}
        words = [f"curl -sS --path-as-is -X {call.method}"]
        words += [f"-H '{name}: {value}'" for name, value in headers.items()]
        lines.append(f"# {call.status}: {call.title}\n{' '.join(words)} 'http://{address}{call.path}'")
    shown = "\n".join(lines)
    what = "nginx" if proxy == "nginx" else "Adapter"
    return f"""
  Service Users is running, and {proxy}'s way to ask it about every request.

    Service Users  {api}
    {what:<14} http://{address}
    Stop           Ctrl-C

  To try it, paste this into another terminal. Each call is preceded by its expected status.

{shown}
"""


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
