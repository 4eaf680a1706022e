"""``make run``, as a process of its own."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

STUB = """
import os, uuid
from email.message import EmailMessage
import boto3
from chalice import Chalice

app = Chalice(app_name="stub")
SENDER = os.environ["SENDER"]


def put(**more):
    item = {"account": {"S": "a"}, "id": {"S": uuid.uuid4().hex}, **more}
    boto3.client("dynamodb").put_item(TableName=os.environ["EVENTS_TABLE"], Item=item)


@app.route("/events", methods=["POST"])
def events():
    put(subjectKey={"S": "no notification"})
    put(waiting={"S": "0"}, dueAt={"N": "1"}, subjectKey={"S": app.current_request.json_body["subject"]})
    return {"publicUrl": os.environ["PUBLIC_URL"]}


@app.on_dynamodb_record(stream_arn="set-by-the-stack")
def notify(event):
    for record in event:
        message = EmailMessage()
        message["From"], message["To"] = SENDER, "owner@demo.example"
        message["Subject"] = record.new_image["subjectKey"]["S"]
        message.set_content("Hello")
        boto3.client("sesv2").send_email(
            FromEmailAddress=SENDER,
            Destination={"ToAddresses": ["owner@demo.example"]},
            Content={"Raw": {"Data": message.as_bytes()}},
        )


@app.schedule("rate(1 minute)")
def resend(event):
    pass


@app.lambda_function()
def create_account(event, context):
    # Outdated credentials must not be mistaken for this run's.
    assert not os.path.exists(os.environ["RUN_HOME"] + "/owner.json")
    assert event == {"accountName": "Demo", "username": "owner", "email": "owner@demo.example"}
    return {"account": "acc", "username": event["username"], "apiKey": "suk_stub"}
"""


SLOW = """
import signal

print("importing", flush=True)
signal.pause()
"""


class Running:
    """One run, with its output so far."""

    def __init__(self, home: Path, *arguments: str, path: Path | None = None, **environment: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "DYNAMODB_LOCAL_URL"}
        search = os.pathsep.join([str(ROOT), *([str(path)] if path else [])])
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.run", "--home", str(home), *arguments],
            cwd=ROOT,
            env=kept | {"PYTHONPATH": search, "RUN_HOME": str(home)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        # Whatever fails in a test, nothing waits forever and nothing is left running.
        self._watchdog = threading.Timer(60, self.process.kill)
        self._watchdog.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read output until a line matches ``pattern``."""
        for line in self.process.stdout:
            self.output += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"The output never matched {pattern!r}:\n{self.output}")

    def end(self, number: int | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        self.output += self.process.stdout.read()
        return self.process.wait()

    def close(self) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def serving(self) -> int:
        """Wait until it serves, and return its port."""
        port = int(self.wait_for(r"API +http://127\.0\.0\.1:(\d+)")[1])
        self.wait_for("Requests, emails and events:")
        return port

    def get(self, path: str) -> str:
        """Return what is served at a path."""
        with urllib.request.urlopen(self.owner()["baseUrl"] + path, timeout=10) as response:
            return response.read().decode()

    def owner(self) -> dict:
        return json.loads((self.home / "owner.json").read_text())


@pytest.fixture
def start(tmp_path):
    """Start runs of the stub, or of the real app."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "stub_app.py").write_text(STUB)
    (tmp_path / "code" / "slow_app.py").write_text(SLOW)
    started = []

    def run(*arguments: str, real: bool = False, home: str = "home", **environment: str) -> Running:
        stub = [] if real else ["--app", "stub_app"]
        running = Running(tmp_path / home, *stub, *arguments, path=tmp_path / "code", **environment)
        started.append(running)
        return running

    yield run
    for running in started:
        running.close()


def call(port: int, method: str, path: str, body: object = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_it_serves_with_credentials_and_every_function_running_and_ends_cleanly(start):
    running = start("--port", "0")
    port = running.serving()

    file = running.home / "owner.json"
    assert running.owner() == {
        "baseUrl": f"http://127.0.0.1:{port}",
        "account": "acc",
        "username": "owner",
        "apiKey": "suk_stub",
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(running.home.stat().st_mode) == 0o700
    assert "suk_stub" not in running.output

    assert call(port, "POST", "/events", {"subject": "A key was made"}) == (
        200,
        {"publicUrl": f"http://localhost:{port}"},
    )
    running.wait_for("mail  owner@demo.example: A key was made")
    (mail,) = (running.home / "outbox").glob("*.eml")
    assert message_from_bytes(mail.read_bytes())["Subject"] == "A key was made"
    assert running.end(signal.SIGINT) == 0
    assert re.search(r"\d\d:\d\d:\d\d  200   POST    /events +\d+ ms\n", running.output)
    assert running.output.endswith("Stopped.\n")
    assert "Traceback" not in running.output


def test_sigterm_ends_it_cleanly(start):
    running = start("--port", "0")
    running.serving()
    assert running.end(signal.SIGTERM) == 0
    assert "Traceback" not in running.output


def test_ctrl_c_during_the_start_ends_it_cleanly(start):
    running = start("--port", "0", "--app", "slow_app")
    running.wait_for("importing")
    assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.output


def test_a_port_in_use_is_reported_and_existing_files_stay(start, tmp_path):
    outbox = tmp_path / "home" / "outbox"
    outbox.mkdir(parents=True)
    theirs = outbox / "20260101T000000Z-001-x@demo.example.eml"
    theirs.write_text("another run's")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = start("--port", str(port))
        assert running.end() == 1
    assert f"Port {port} is not available (address already in use)" in running.output
    assert f"make run PORT={port + 1}" in running.output
    assert "Traceback" not in running.output
    assert theirs.exists()


@pytest.mark.parametrize("port", ["http", "-1", "65536", "٣"])
def test_an_invalid_port_is_reported(start, port):
    running = start(f"--port={port}")
    assert running.end() == 2
    assert "is not a port" in running.output


def test_every_run_starts_empty(start):
    first = start("--port", "0")
    port = first.serving()
    call(port, "POST", "/events", {"subject": "First"})
    first.wait_for("mail")
    first.end(signal.SIGINT)
    assert list((first.home / "outbox").glob("*.eml"))

    second = start("--port", "0")
    second.serving()
    assert not list((second.home / "outbox").glob("*.eml"))
    assert second.end(signal.SIGINT) == 0


def test_an_unreachable_database_endpoint_is_reported(start):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    running = start("--port", "0", AWS_ENDPOINT_URL_DYNAMODB=url, AWS_MAX_ATTEMPTS="1")
    assert running.end() == 1
    assert "DynamoDB cannot be used" in running.output
    assert url in running.output
    assert "Traceback" not in running.output


@pytest.mark.engine
def test_a_database_endpoint_is_used_and_keeps_its_account(start):
    names = {"DIRECTORY_TABLE": f"run-d-{os.getpid()}", "EVENTS_TABLE": f"run-e-{os.getpid()}"}
    at = {"AWS_ENDPOINT_URL_DYNAMODB": os.environ["DYNAMODB_LOCAL_URL"], **names}
    first = start("--port", "0", **at)
    port = first.serving()
    assert call(port, "POST", "/events", {"subject": "On the engine"})[0] == 200
    first.wait_for("mail  owner@demo.example: On the engine")
    assert first.end(signal.SIGINT) == 0
    owner = first.owner()

    again = start("--port", "0", **at)
    port = again.serving()
    assert again.owner() == owner | {"baseUrl": f"http://127.0.0.1:{port}"}
    assert again.end(signal.SIGINT) == 0

    stranger = start("--port", "0", real=True, home="another", **at)
    stranger.serving()  # the stub made no owner in there
    assert stranger.end(signal.SIGINT) == 0
    refused = start("--port", "0", real=True, home="a-third", **at)
    assert refused.end() == 1
    assert "Name other tables in DIRECTORY_TABLE and EVENTS_TABLE" in refused.output


CALLS = """
KEY=$(curl -sS -u "$OWNER" "$API/v1/service-users" -H 'Content-Type: application/json' \\
  -d '{"username": "metrics-bot", "email": "m@a.example", "role": "READ_ONLY", "keyTypes": ["MONITORING"]}' |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["apiKeys"]["apiKeys"][0]["key"])')
curl -sS -o /dev/null -u "metrics-bot:$KEY" -X POST "$API/v1/api-keys/rotate"
"""
"""What gives the mailer and the publisher something to do."""


@pytest.mark.skipif(not shutil.which("curl"), reason="the printed lines are for curl")
def test_the_printed_commands_work_as_pasted(start):
    running = start("--port", "0", real=True)
    running.serving()
    walk = running.output[
        running.output.index("# Sign in") : running.output.index("  Requests, emails and events:")
    ]

    pasted = subprocess.run(
        ["sh", "-eu"], input=walk + CALLS, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )

    assert (pasted.returncode, pasted.stderr) == (0, "")
    who = json.loads(pasted.stdout)
    assert (who["username"], who["role"]) == ("owner", "OWNER")
    assert running.owner()["apiKey"] not in pasted.stdout + running.output
    assert "suk_" not in pasted.stdout + running.output
    running.wait_for("mail  owner@demo.example: API key rotated: ")
    mails = [message_from_bytes(file.read_bytes()) for file in (running.home / "outbox").glob("*.eml")]
    assert mails
    for mail in mails:
        assert [part.get_content_type() for part in mail.walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        assert all(part.get_payload(decode=True).strip() for part in mail.walk() if not part.is_multipart())
        assert mail.defects == []
    assert "API key rotated" in running.get("/outbox")
    if "event API_KEY_ROTATED metrics-bot" not in running.output:
        running.wait_for("event API_KEY_ROTATED metrics-bot")
    home = running.home / "events" / running.owner()["account"]
    events = [json.loads(line) for file in home.glob("*.jsonl") for line in file.read_text().splitlines()]
    actions = {event["action"] for event in events}
    assert {"ACCOUNT_CREATED", "SERVICE_USER_CREATED", "API_KEY_ROTATED"} <= actions
    assert all(event["schemaVersion"] == "1" for event in events)
    assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.output


def test_an_administrator_whose_emails_bounce_is_shown_and_told_the_owner(start):
    """From an invitation to SES's simulated address to the events, the person and the OWNER's email."""
    running = start("--port", "0", real=True)
    running.serving()
    owner = running.owner()
    me = (owner["username"], owner["apiKey"])

    def api(method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            owner["baseUrl"] + path, json.dumps(body).encode() if body else None, method=method
        )
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(me).encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    address = "bounce@simulator.amazonses.com"
    api("POST", "/v1/users", {"username": "ann", "email": address, "role": "CLUSTER_ADMIN"})
    running.wait_for(rf"mail +{re.escape(address)}: .*invites you")
    running.wait_for(r"mail +owner@demo.example: Emails to ann bounce \(Demo\)")
    [invitation] = (running.home / "outbox").glob(f"*-{address}.eml")
    text = message_from_bytes(invitation.read_bytes()).get_payload(0).get_payload(decode=True).decode()
    [token] = set(re.findall(r"sui_[0-9A-Za-z]+", text))
    api("POST", "/v1/users/activate", {"username": "ann", "token": token})

    api("POST", "/v1/service-users", {"username": "bot", "email": "bot@demo.example", "role": "READ_ONLY"})
    api("PUT", "/v1/service-users/bot", {"administrators": ["ann"]})
    api("POST", "/v1/service-users/bot/api-keys/rotate", {"keyType": "MONITORING"})
    running.wait_for(rf"mail +{re.escape(address)}: API key rotated")
    running.wait_for(r"mail +owner@demo.example: API key rotated")  # no Administrator can be reached
    failed = [{"username": "ann", "outcome": "PERMANENT_BOUNCE"}]
    deadline = time.monotonic() + 30
    while [it["mail"]["feedback"] for it in api("GET", "/v1/events?action=API_KEY_ROTATED")] != [failed]:
        assert time.monotonic() < deadline
    assert api("GET", "/v1/users/ann")["emailFailure"]["outcome"] == "PERMANENT_BOUNCE"
    assert [it["subject"]["username"] for it in api("GET", "/v1/events?action=EMAIL_BOUNCED")] == ["ann"]
    assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.output
