"""``make run``: the whole system on this machine, with every function running.

The local gateway serves the API; the tables are moto's, in this process. The stream of the Events table
and the schedules invoke their functions; every email is written to a file, and so is every event that a stack
publishes on EventBridge. An endpoint in boto3's usual
variables (``AWS_ENDPOINT_URL_DYNAMODB`` and the like) is used instead of moto.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from local.email_folder import EmailFolder, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chalice.app import Chalice

    from local.console_link import ConsoleLink
    from local.event_sources import StreamPoller

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
DOMAIN = "demo.example"
SENDER = f"service-users@{DOMAIN}"
OWNER = {"accountName": "Demo", "username": "owner", "email": f"owner@{DOMAIN}"}
REGION = "eu-central-1"


class StartError(Exception):
    """The system cannot start; the message says why and what to do."""


class Endpoints(NamedTuple):
    """The endpoints that the environment names; None for a service that moto emulates."""

    dynamodb: str | None
    ses: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Endpoints:
        """Return the endpoints that boto3's variables name."""
        default = environment.get("AWS_ENDPOINT_URL")
        return cls(
            environment.get("AWS_ENDPOINT_URL_DYNAMODB", default),
            environment.get("AWS_ENDPOINT_URL_SESV2", default),
        )


class Terminal:
    """Prints messages and log lines, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, text: str = "") -> None:
        """Print ``text`` at once; a closed terminal is not an error."""
        with self._lock, contextlib.suppress(OSError):
            print(text, flush=True)

    def log_response(self, method: str, target: str, status: int, seconds: float) -> None:
        """Print a line about a response, without the query, which may contain secrets or personal data."""
        path = re.sub(r"[^!-~]", "?", target.partition("?")[0])[:80]
        method = re.sub(r"[^!-~]", "?", method or "?")[:7]
        self.say(f"  {_clock()}  {status}   {method:<7} {path:<46} {seconds * 1000:4.0f} ms")

    def log_email(self, recipient: str, subject: str) -> None:
        """Print a line about an email."""
        self.say(f"  {_clock()}  mail  {recipient}: {subject}")

    def log_event(self, action: str, username: str) -> None:
        """Print a line about a published event."""
        self.say(f"  {_clock()}  event {action} {username}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.run", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--port", type=_port, default=8000, help="port to serve on (default 8000, 0: any free port)"
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=ROOT / ".local",
        help="folder for owner.json and outbox/ (default .local)",
    )
    parser.add_argument(
        "--app", default="app", metavar="MODULE", help="module with the Chalice app (default app)"
    )
    parser.add_argument("--catalogue", default="", help="file with the key types (docs/catalogue.md)")
    args = parser.parse_args(arguments)

    # SIGINT too: a shell without job control starts background commands with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    terminal = Terminal()
    try:
        if args.catalogue:
            _use_catalogue(Path(args.catalogue))
        with local_system(args.port, args.home.absolute(), args.app, terminal) as system:
            terminal.say(welcome(system))
            while True:
                signal.pause()
    except KeyboardInterrupt:
        terminal.say("\n  Stopped.")
        return 0
    except StartError as error:
        print(f"\n  {error}\n", file=sys.stderr)
        return 1


def _use_catalogue(file: Path) -> None:
    """Have the system read its key types from a file. Raises StartError with every error in it.

    The file is checked by another process: in this one, the catalogue is read once, at the first import.
    """
    checker = [sys.executable, "-m", "chalicelib.authorizer.catalogue_check", str(file.absolute())]
    done = subprocess.run(checker, cwd=ROOT, check=False, text=True, capture_output=True)
    if done.returncode:
        raise StartError(f"The catalogue is invalid (docs/catalogue.md).\n{done.stderr}".rstrip())
    os.environ["SERVICE_USERS_CATALOGUE"] = str(file.absolute())


def _contract_of_catalogue(home: Path) -> Path:
    """Write and return the OpenAPI document of the catalogue that the environment names."""
    done = subprocess.run([sys.executable, "-m", "contract"], cwd=ROOT, check=True, capture_output=True)
    file = home / "openapi.json"
    file.write_bytes(done.stdout)
    return file


class LocalSystem(NamedTuple):
    """The running system. Hold ``lock`` while calling one of the app's functions."""

    app: Chalice
    url: str
    owner: dict[str, str]
    credentials: Path
    outbox: Path
    events: Path
    endpoints: Endpoints
    lock: contextlib.AbstractContextManager[Any]
    console: ConsoleLink


@contextlib.contextmanager
def local_system(port: int, home: Path, module: str, terminal: Terminal) -> Iterator[LocalSystem]:
    """Run everything while the block runs. Raises StartError if that is not possible."""
    # Imported here, so that a wrong argument is reported without delay.
    import boto3

    from chalicelib.functions import publisher
    from chalicelib.http import system
    from local.console_link import ConsoleLink
    from local.event_folder import EventFolder
    from local.event_sources import Schedule, Scheduler, StreamPoller, schedules
    from local.gateway import Gateway
    from local.mailbox_simulator import CONFIGURATION_SET, MailboxSimulator
    from local.outbox_pages import OutboxPages
    from local.server import HttpServer
    from local.tables import declared_api

    endpoints = Endpoints.from_environment(os.environ)
    port = port or free_port()  # the app needs it before the server exists
    # moto's DynamoDB is not thread-safe; a real engine is.
    lock = contextlib.nullcontext() if endpoints.dynamodb else threading.Lock()
    emails = EmailFolder(home / "outbox", terminal.log_email)
    events = EventFolder(home / "events", terminal.log_event)
    with contextlib.ExitStack() as stack:
        stack.enter_context(emails.recording())
        simulator = MailboxSimulator(lock)
        stack.enter_context(simulator.reporting())
        stack.enter_context(_aws(endpoints))
        os.environ.setdefault("DIRECTORY_TABLE", "service-users-directory")
        os.environ.setdefault("EVENTS_TABLE", "service-users-events")
        os.environ.setdefault("SENDER", SENDER)
        if not endpoints.ses:
            os.environ.setdefault("CONFIGURATION_SET", CONFIGURATION_SET)
        os.environ.setdefault("EVENT_BUS", "on")
        os.environ.setdefault("EVENT_BUS_NAME", "local")
        stack.enter_context(_replaced(publisher, "_bridge", lambda: events))
        # Not the IP address: browsers support no passkeys for IP addresses.
        os.environ.setdefault("PUBLIC_URL", f"http://localhost:{port}")
        functions = importlib.import_module(module)
        app: Chalice = functions.app

        pollers: list[StreamPoller] = []

        def log(method: str, target: str, status: int, seconds: float) -> None:
            terminal.log_response(method, target, status, seconds)
            for poller in pollers:
                poller.wake()

        try:
            gateway = Gateway(app, lock, declared_api()["MinimumCompressionSize"])
            pages = OutboxPages(home / "outbox", gateway.respond)
            console = ConsoleLink(functions, pages.respond, lock, terminal.say)
            server = HttpServer(console.respond, HOST, port, log=log)
        except OSError as error:
            raise StartError(
                f"Port {port} is not available ({(error.strerror or str(error)).lower()}). "
                f"Use another one: make run PORT={port + 1 if port < 65535 else 8000}"
            ) from error
        stack.callback(server.server_close)
        # Only once this run has the port: these files may belong to another run.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        emails.clear()
        events.clear()
        if os.environ.get("SERVICE_USERS_CATALOGUE"):
            stack.enter_context(_replaced(system, "_DOCUMENT", str(_contract_of_catalogue(home))))

        if not endpoints.ses:
            boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
        stream_arn, new = _tables()
        handlers = [
            (app.handler_map[source.name], _is_pending_event)
            for source in app.event_sources
            if hasattr(source, "stream_arn")
        ]
        scheduled = schedules(app)
        if publish := app.handler_map.get("publish"):  # the template of the stack connects it
            handlers.append((publish, _is_new_event))
            scheduled.append(Schedule("publish", publish, 60))
        for handler, matches in handlers:
            poller = StreamPoller(
                boto3.client("dynamodbstreams"),
                stream_arn,
                handler,
                matches=matches,
                lock=lock,
                moto=not endpoints.dynamodb,
                say=terminal.say,
            )
            pollers.append(_start(stack, poller))
        _start(stack, Scheduler(scheduled, lock))
        if feedback := app.handler_map.get("feedback"):
            simulator.handler = feedback
            _start(stack, simulator)

        credentials = home / "owner.json"
        owner = _owner_credentials(app, server.url, credentials, new=new)
        stack.enter_context(server.serving())
        write_private(credentials, (json.dumps(owner, indent=2) + "\n").encode())
        console.opens_as(owner["username"])
        try:
            folders = (home / "outbox", home / "events")
            yield LocalSystem(app, server.url, owner, credentials, *folders, endpoints, lock, console)
        finally:
            # Another Ctrl-C must not interrupt the shutdown.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def welcome(system: LocalSystem) -> str:
    """Return the text printed on start: where everything is, and commands to paste."""
    _, url, owner, credentials, outbox, events, endpoints, _, console = system
    # A Python string inside single quotes of the shell.
    file = shlex.quote(json.dumps(_short(credentials)))[1:-1]
    state = f"at {endpoints.dynamodb}" if endpoints.dynamodb else "in memory, lost when this stops"
    return f"""
  Service Users is running.

    Console      {console.address}
                 {console.link()}
                 (the second address opens it as {owner["username"]}, once, without a passkey)
    API          {url}
    Reference    {url}/docs
    Credentials  {_short(credentials)}   ({owner["username"]}, OWNER of account {OWNER["accountName"]})
    Emails       {url}/outbox   ({_short(outbox)}/*.eml)
    Events       {_short(events)}/*/*.jsonl
    Data         {state}
    Stop         Ctrl-C

  To try it, follow the walk in README.md. It begins so, in another terminal, in this folder:

# Sign in as {owner["username"]}. The key stays in a variable, off the screen.
API={url}
OWNER=$(python3 -c 'import json; o = json.load(open({file})); print(o["username"] + ":" + o["apiKey"])')
curl -sS -u "$OWNER" "$API/v1/whoami" | python3 -m json.tool --no-ensure-ascii

  Requests, emails and events:
"""


@contextlib.contextmanager
def _aws(endpoints: Endpoints) -> Iterator[None]:
    """Emulate AWS with moto in this process, except the services with an endpoint of their own."""
    from moto import mock_aws

    from local import fast_moto

    fast_moto.install()
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    os.environ.setdefault("AWS_REGION", os.environ["AWS_DEFAULT_REGION"])
    # Otherwise botocore puts the account into the host name, and DescribeStream returns 404.
    os.environ.setdefault("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    passthrough: list[str] = []
    if endpoints.dynamodb:
        os.environ.setdefault("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoints.dynamodb)
        passthrough += ["dynamodb", "dynamodbstreams"]
    if endpoints.ses:
        passthrough += ["sesv2"]
    if passthrough:
        import boto3

        if boto3.Session().get_credentials() is None:  # a local engine accepts any
            os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")
    with mock_aws(
        config={"core": {"mock_credentials": not passthrough, "passthrough": {"services": passthrough}}}
    ):
        yield


def _tables() -> tuple[str, bool]:
    """Create missing tables; return the ARN of the Events table's stream, and whether any was missing."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from local.tables import create_tables

    client = boto3.client("dynamodb")
    names = {"Directory": os.environ["DIRECTORY_TABLE"], "Events": os.environ["EVENTS_TABLE"]}
    try:
        existing = {
            name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]
        }
        missing = {logical: name for logical, name in names.items() if name not in existing}
        create_tables(client, missing)
        return client.describe_table(TableName=names["Events"])["Table"]["LatestStreamArn"], bool(missing)
    except (BotoCoreError, ClientError) as error:
        raise StartError(f"DynamoDB cannot be used: {error}") from error


def _owner_credentials(app: Chalice, url: str, credentials: Path, *, new: bool) -> dict[str, str]:
    """Create the account and return its OWNER's credentials, or those on file if the tables are not new."""
    from local.event_sources import lambda_context

    if not new and credentials.is_file():
        kept: dict[str, str] = json.loads(credentials.read_text(encoding="utf-8"))
        return kept | {"baseUrl": url}
    credentials.unlink(missing_ok=True)  # no outdated file while the account is created
    try:
        created: dict[str, Any] = app.handler_map["create_account"](
            dict(OWNER), lambda_context("create_account")
        )
        return {"baseUrl": url, **{field: created[field] for field in ("account", "username", "apiKey")}}
    except Exception as error:
        if new:
            raise
        raise StartError(
            f"The tables exist already, and the account Demo cannot be created in them ({error}). "
            "Name other tables in DIRECTORY_TABLE and EVENTS_TABLE, or delete these."
        ) from error


def _is_pending_event(record: Any) -> bool:
    """Return whether a record is a new event to notify about: the filter of the event source."""
    return record["eventName"] == "INSERT" and "dueAt" in record["dynamodb"].get("NewImage", {})


def _is_new_event(record: Any) -> bool:
    """Return whether a record is a new event to publish: the filter of the event source."""
    return record["eventName"] == "INSERT" and "action" in record["dynamodb"].get("NewImage", {})


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """Replace what a module has by a name while the block runs."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _start(stack: contextlib.ExitStack, thread: Any) -> Any:
    """Start ``thread``; stop it and wait for it when ``stack`` closes."""
    thread.start()
    stack.callback(thread.join, 2.0)
    stack.callback(thread.stop)
    return thread


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use a number from 0 to 65535")
    return int(text)


def free_port() -> int:
    """Return a port that nothing listens on just now."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


def _short(path: Path) -> str:
    """Return ``path`` relative to the current folder, if it is inside."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


if __name__ == "__main__":
    sys.exit(main())
