"""``make run``: the whole system on this machine, with every function alive.

The API is served by the local gateway, the tables are moto's, in this process. The Events table's
stream feeds its function, the schedules run, every email becomes a file. Where the usual boto3
variables (``AWS_ENDPOINT_URL_DYNAMODB`` and the like) name an endpoint, that one is used instead.
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
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from local.email_folder import Outbox, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chalice.app import Chalice

    from local.event_sources import Feed

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
DOMAIN = "demo.example"
SENDER = f"service-users@{DOMAIN}"
OWNER = {"accountName": "Demo", "username": "owner", "email": f"owner@{DOMAIN}"}
REGION = "eu-central-1"


class StartError(Exception):
    """It cannot start; the text says why and what to do."""


class Endpoints(NamedTuple):
    """Which services are somewhere else than in this process, as the environment says."""

    dynamodb: str | None
    ses: str | None

    @classmethod
    def named_in(cls, environment: Mapping[str, str]) -> Endpoints:
        """Answer the endpoints that boto3's variables name."""
        everything = environment.get("AWS_ENDPOINT_URL")
        return cls(
            environment.get("AWS_ENDPOINT_URL_DYNAMODB", everything),
            environment.get("AWS_ENDPOINT_URL_SESV2", everything),
        )


class Terminal:
    """Says one thing at a time, from whatever thread, in columns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, text: str = "") -> None:
        """Print ``text`` at once; a terminal that has gone is no error."""
        with self._lock, contextlib.suppress(OSError):
            print(text, flush=True)

    def answered(self, method: str, target: str, status: int, seconds: float) -> None:
        """Tell of an answered request. The query stays out: what is in it is the caller's."""
        path = re.sub(r"[^!-~]", "?", target.partition("?")[0])[:80]
        method = re.sub(r"[^!-~]", "?", method or "?")[:7]
        self.say(f"  {_clock()}  {status}   {method:<7} {path:<46} {seconds * 1000:4.0f} ms")

    def mailed(self, recipient: str, subject: str) -> None:
        """Tell of an email."""
        self.say(f"  {_clock()}  mail  {recipient}: {subject}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM, and answer the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.run", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--port", type=_port, default=8000, help="port to serve on (default 8000, 0: any)")
    parser.add_argument(
        "--home", type=Path, default=ROOT / ".local", help="folder for owner.json and outbox/"
    )
    parser.add_argument("--app", default="app", metavar="MODULE", help="module that has the app")
    options = parser.parse_args(arguments)

    # Also where a shell without job control started this with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    terminal = Terminal()
    try:
        with system(options.port, options.home.absolute(), options.app, terminal) as running:
            terminal.say(welcome(running))
            while True:
                signal.pause()
    except KeyboardInterrupt:
        terminal.say("\n  Stopped. Goodbye.")
        return 0
    except StartError as error:
        print(f"\n  {error}\n", file=sys.stderr)
        return 1


class Running(NamedTuple):
    """The system while it runs. ``lock`` is to be held by whatever else calls one of the app's functions."""

    app: Chalice
    url: str
    owner: dict[str, str]
    credentials: Path
    outbox: Path
    elsewhere: Endpoints
    lock: contextlib.AbstractContextManager[Any]


@contextlib.contextmanager
def system(port: int, home: Path, module: str, terminal: Terminal) -> Iterator[Running]:
    """Run everything while the block runs. Raises StartError where that cannot be."""
    # Imported here, so that a wrong argument is told of at once.
    import boto3

    from local.event_sources import Clockwork, Feed, schedules
    from local.gateway import GatewayServer

    elsewhere = Endpoints.named_in(os.environ)
    port = port or _free_port()  # the app wants to know it before there is a server
    # moto's DynamoDB is not made for threads; a real engine is.
    lock = contextlib.nullcontext() if elsewhere.dynamodb else threading.Lock()
    outbox = Outbox(home / "outbox", terminal.mailed)
    with contextlib.ExitStack() as stack:
        stack.enter_context(outbox.watching())
        stack.enter_context(_aws(elsewhere))
        os.environ.setdefault("DIRECTORY_TABLE", "service-users-directory")
        os.environ.setdefault("EVENTS_TABLE", "service-users-events")
        os.environ.setdefault("SENDER", SENDER)
        os.environ.setdefault("PUBLIC_URL", f"http://{HOST}:{port}")
        functions = importlib.import_module(module)
        app: Chalice = functions.app

        feeds: list[Feed] = []

        def answered(method: str, target: str, status: int, seconds: float) -> None:
            terminal.answered(method, target, status, seconds)
            for feed in feeds:
                feed.nudge()

        try:
            server = GatewayServer(app, HOST, port, lock=lock, log=answered)
        except OSError as error:
            raise StartError(
                f"Port {port} is not to be had ({(error.strerror or str(error)).lower()}). "
                f"Take another: make run PORT={port + 1 if port < 65535 else 8000}"
            ) from error
        stack.callback(server.server_close)
        # Not before the port is ours: these may be another run's.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        outbox.clear()

        if not elsewhere.ses:
            boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
        stream_arn, new = _tables()
        for source in app.event_sources:
            if hasattr(source, "stream_arn"):
                client = boto3.client("dynamodbstreams")
                handler = app.handler_map[source.name]
                feed = Feed(
                    client,
                    stream_arn,
                    handler,
                    wanted=_is_mail,
                    lock=lock,
                    moto=not elsewhere.dynamodb,
                    say=terminal.say,
                )
                feeds.append(_started(stack, feed))
        _started(stack, Clockwork(schedules(app), lock))

        credentials = home / "owner.json"
        owner = _owner(app, server.url, credentials, new=new)
        stack.enter_context(server.serving())
        write_private(credentials, (json.dumps(owner, indent=2) + "\n").encode())
        try:
            yield Running(app, server.url, owner, credentials, home / "outbox", elsewhere, lock)
        finally:
            # From here on it ends; one more Ctrl-C shall not end it half.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def welcome(running: Running) -> str:
    """Answer what is printed on start: where everything is, and lines to paste."""
    _, url, owner, credentials, outbox, elsewhere, _ = running
    # A Python string inside single quotes of the shell.
    file = shlex.quote(json.dumps(_short(credentials)))[1:-1]
    state = f"at {elsewhere.dynamodb}" if elsewhere.dynamodb else "in memory, gone when this ends"
    return f"""
  Service Users is running.

    API          {url}
    Credentials  {_short(credentials)}   ({owner["username"]}, OWNER of account {OWNER["accountName"]})
    Emails       {_short(outbox)}/*.eml
    Data         {state}
    Stop         Ctrl-C

  A first walk: paste this into another terminal, in this folder.

# Sign in as {owner["username"]}. The key stays in a variable, off the screen.
API={url}
OWNER=$(python3 -c 'import json; o = json.load(open({file})); print(o["username"] + ":" + o["apiKey"])')

# Create a READ_ONLY Service User and keep one of its keys: an answer shows a key once.
KEY=$(curl -sS -u "$OWNER" "$API/v1/service-users" -H 'Content-Type: application/json' \\
  -d '{{"username":"metrics-bot","email":"metrics-bot@{DOMAIN}","role":"READ_ONLY"}}' |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["apiKeys"]["apiKeys"][0]["key"])')

# Who is it?
curl -sS -u "metrics-bot:$KEY" "$API/v1/whoami"; echo

# It rotates its own key …
NEW=$(curl -sS -u "metrics-bot:$KEY" -X POST "$API/v1/api-keys/rotate" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])')

# … so the old one is refused, and the new one works.
curl -sS -u "metrics-bot:$KEY" "$API/v1/whoami" -w '\\nold key: %{{http_code}}\\n'
curl -sS -u "metrics-bot:$NEW" "$API/v1/whoami" -w '\\nnew key: %{{http_code}}\\n'

  What happens from here on, as it happens:
"""


@contextlib.contextmanager
def _aws(elsewhere: Endpoints) -> Iterator[None]:
    """Have AWS be moto in this process, but for the services that are elsewhere."""
    from moto import mock_aws

    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    os.environ.setdefault("AWS_REGION", os.environ["AWS_DEFAULT_REGION"])
    # Else botocore puts the account into the host name, and DescribeStream is not found.
    os.environ.setdefault("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    passed: list[str] = []
    if elsewhere.dynamodb:
        os.environ.setdefault("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", elsewhere.dynamodb)
        passed += ["dynamodb", "dynamodbstreams"]
    if elsewhere.ses:
        passed += ["sesv2"]
    if passed:
        import boto3

        if boto3.Session().get_credentials() is None:  # a local engine takes any
            os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")
    with mock_aws(config={"core": {"mock_credentials": not passed, "passthrough": {"services": passed}}}):
        yield


def _tables() -> tuple[str, bool]:
    """Answer the ARN of the Events table's stream, and whether the tables had to be made."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from local.tables import create_tables

    client = boto3.client("dynamodb")
    names = {"Directory": os.environ["DIRECTORY_TABLE"], "Events": os.environ["EVENTS_TABLE"]}
    try:
        there = {
            name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]
        }
        missing = {logical: name for logical, name in names.items() if name not in there}
        create_tables(client, missing)
        return client.describe_table(TableName=names["Events"])["Table"]["LatestStreamArn"], bool(missing)
    except (BotoCoreError, ClientError) as error:
        raise StartError(f"DynamoDB does not do as asked: {error}") from error


def _owner(app: Chalice, url: str, credentials: Path, *, new: bool) -> dict[str, str]:
    """Make the account and answer its owner's credentials; if the tables are not new, those kept."""
    from local.event_sources import context

    if not new and credentials.is_file():
        kept: dict[str, str] = json.loads(credentials.read_text(encoding="utf-8"))
        return kept | {"baseUrl": url}
    credentials.unlink(missing_ok=True)  # until the new one is there, none is
    try:
        answer: dict[str, Any] = app.handler_map["create_account"](dict(OWNER), context("create_account"))
        return {"baseUrl": url, **{field: answer[field] for field in ("account", "username", "apiKey")}}
    except Exception as error:
        if new:
            raise
        raise StartError(
            f"The tables are not new and take no account Demo with the owner 'owner' ({error}). "
            "Name other tables in DIRECTORY_TABLE and EVENTS_TABLE, or delete these."
        ) from error


def _is_mail(record: Any) -> bool:
    """The filter of the event source: new events that somebody waits for."""
    return record["eventName"] == "INSERT" and "dueAt" in record["dynamodb"].get("NewImage", {})


def _started(stack: contextlib.ExitStack, thread: Any) -> Any:
    """Start ``thread`` and have it stopped, and waited for, when ``stack`` closes."""
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


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


def _short(path: Path) -> str:
    """Answer ``path`` as seen from the current folder, if it is in it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


if __name__ == "__main__":
    sys.exit(main())
