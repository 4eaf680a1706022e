"""The commands of the runbooks, as docs/ has them, on a deployed stack."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy import aws_cli
from deploy.stack import Stack, describe_stack, stack_name
from tests.emulator.conftest import Emulator, wait_for
from tests.emulator.test_deploy import call, invite, mails_to, stack_stream, status
from tests.emulator.test_smoke import Breaker
from tests.support.doc_commands import PAGES, RUN_ELSEWHERE, doc_commands

ROOT = Path(__file__).resolve().parent.parent.parent
SENDERS = ("service-users@example.com", "new@example.com")


class Operator:
    """Runs a page's commands, with what they leave open filled in, in a folder of its own.

    A make target is run as make would, but in this process, where the package is made already.
    """

    def __init__(self, program: Any, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.ran: set[str] = set()
        self.variables: dict[str, str] = {}
        self._program = program
        self._folder = folder
        self._capfd = capfd
        self._left_open: dict[str, str] = {}

    def fill_in(self, **left_open: str) -> None:
        """Set what stands for a word in capitals from now on, and with ``dots`` for an ellipsis."""
        self._left_open |= left_open

    def run(
        self, command: str, *, refused: bool = False, then: str = "", replacing: tuple[str, str] = ("", "")
    ) -> str:
        """Run a command, written as in the page. Returns what it printed; fails unless it does."""
        self.ran.add(command)
        self._capfd.readouterr()
        got, printed = self._run(self._filled(command).replace(*replacing) + then)
        assert (got != 0) is refused, f"{command}: {got}\n{printed}"
        return printed

    def change(self, stack: Stack, expression: str, values: dict[str, Any]) -> None:
        """Change the event that the variables name, as a failure would have."""
        key = {"account": {"S": self.variables["ACCOUNT"]}, "id": {"S": self.variables["EVENT"]}}
        update = ("dynamodb", "update-item", "--table-name", stack.outputs["EventsName"])
        how = ("--update-expression", expression, "--expression-attribute-values", json.dumps(values))
        aws_cli.run(*update, "--key", json.dumps(key), *how)

    def _filled(self, command: str) -> str:
        for name, value in self._left_open.items():
            word = "…" if name == "dots" else rf"(?<![\w$\"]){name}(?![\w=])"
            command = re.sub(word, value, command)
        return command

    def _run(self, command: str) -> tuple[int, str]:
        in_words = re.sub(r"^git [a-z]+( v[0-9.]+)? && ", "", command)  # what is deployed is already here
        words = shlex.split(in_words)
        if words[0] == "make":
            expanded = subprocess.run(
                ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", *words[1:]],
                cwd=ROOT, capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            words = shlex.split(expanded.replace("\\\n", " "))
        if words[1:3] == ["-m", "deploy"]:
            got = self._program(*words[3:])
            return got, "".join(self._capfd.readouterr())
        environment = {**os.environ, **self.variables}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def operator(program: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Operator:
    for sender in SENDERS:
        aws_cli.run("sesv2", "create-email-identity", "--email-identity", sender)
    return Operator(program, tmp_path, capfd)


def deploy(emulator: Emulator, operator: Operator) -> tuple[Stack, tuple[str, str], str]:
    """Run "Deploy": return the stack, the first OWNER with their key, and the account's id."""
    operator.run("make doctor STAGE=acme SENDER=service-users@example.com")
    operator.run("make deploy STAGE=acme SENDER=service-users@example.com ALARMS=ops@example.com")
    stack = describe_stack(stack_name("acme"))
    printed = operator.run('make account STAGE=acme NAME="Acme" USERNAME=ann EMAIL=ann@example.com')
    key = key_in(printed)
    operator.variables["URL"] = emulator.api(stack)
    operator.fill_in(KEY=key)
    me = json_in(operator.run("curl -u ann:KEY $URL/v1/whoami"))
    assert (me["username"], me["role"]) == ("ann", "OWNER")
    state = json_in(operator.run('curl "$URL/health?check=state"'))
    assert state["tables"] == {"directory": "ok", "events": "ok"}
    account = call(emulator.api(stack), "GET", "/v1/whoami", ("ann", key))[1]["account"]
    operator.fill_in(ID=account)
    return stack, ("ann", key), account


def read_events_by_hand(
    emulator: Emulator, operator: Operator, stack: Stack, owner: tuple[str, str], account: str
) -> None:
    """Run "By hand" of emails.md on the event of an invitation that waits."""
    find, get, now, give_up, after_all, refused = (
        next(it for it in sorted(doc_commands("emails.md")) if it.startswith("aws dynamodb") and part in it)
        for part in (" query ", " get-item ", "'SET dueAt", "'REMOVE waiting", "REMOVE refused", " scan ")
    )
    name = next(it for it in doc_commands("emails.md") if it.startswith("EVENTS="))
    operator.fill_in(STAGE="acme")
    table = operator.run(name, then='; printf "$EVENTS"')
    assert table == stack.outputs["EventsName"]
    operator.variables |= {"EVENTS": table, "ACCOUNT": account}

    address = invite(emulator.api(stack), owner, "by-hand")
    wait_for("the invitation", lambda: bool(mails_to(emulator, address)))
    [invited] = call(emulator.api(stack), "GET", "/v1/events?username=by-hand", owner)[1]
    operator.variables["EVENT"] = invited["id"]

    def stored() -> dict[str, Any]:
        found: dict[str, Any] = json_in(operator.run(get))["Item"]
        return found

    wait_for("the mark of who was notified", lambda: "waiting" not in stored())
    assert stored()["subject"]["M"]["username"]["S"] == "by-hand"
    assert "ConditionalCheckFailed" in operator.run(now, refused=True)
    listed = ("lambda", "list-event-source-mappings", "--event-source-arn", stack_stream(stack))
    [mapping] = aws_cli.ask(*listed)["EventSourceMappings"]
    stream = ("lambda", "update-event-source-mapping", "--uuid", mapping["UUID"])
    aws_cli.run(*stream, "--no-enabled")  # the emulator passes changes on that the stack's filter leaves out
    operator.change(stack, "SET refused = told, told = :map", {":map": {"M": {}}})
    assert invited["id"] in operator.run(refused)

    operator.run(after_all)
    assert invited["id"] in operator.run(find)
    paused = int(stored()["dueAt"]["N"]) + 6 * 3600
    operator.change(stack, "SET dueAt = :later", {":later": {"N": str(paused)}})
    operator.run(now)
    assert int(stored()["dueAt"]["N"]) < paused - 3600
    operator.run(give_up)
    assert "waiting" not in stored()
    assert invited["id"] not in operator.run(find)
    operator.run(after_all)
    with emulator.schedules_due():
        wait_for("the email that was given up", lambda: len(mails_to(emulator, address)) > 1)
    aws_cli.run(*stream, "--enabled")


def stop_and_restore(
    emulator: Emulator, operator: Operator, url: str, stack: Stack, owner: tuple[str, str]
) -> None:
    """Run "Restore a table", with an account that was deleted since, and "Work the dead letters"."""
    made = 'make account STAGE=acme NAME="Acme" USERNAME=ann EMAIL=ann@example.com'
    tina = ("tina", key_in(operator.run(made, replacing=("ann", "tina"))))
    acme, deleted = (str(call(url, "GET", "/v1/whoami", it)[1]["account"]) for it in (owner, tina))
    listed = next(it for it in doc_commands("operations.md") if "describe-stack-resources" in it)
    functions = dict(line.split() for line in operator.run(listed).splitlines())
    assert functions["APIHandler"] == stack.outputs["APIHandlerName"]
    operator.fill_in(TABLE=stack.outputs["DirectoryName"], dots="2026-11-23T14:30:00Z")
    operator.run(
        "aws dynamodb restore-table-to-point-in-time --source-table-name TABLE "
        "--target-table-name restored --restore-date-time …"
    )
    restored = ("--source-table-name", stack.outputs["EventsName"], "--target-table-name", "restored-events")
    at = ("--restore-date-time", "2026-11-23T14:30:00Z")
    aws_cli.run("dynamodb", "restore-table-to-point-in-time", *restored, *at)
    operator.fill_in(dots=functions["APIHandler"])
    operator.run("aws lambda put-function-concurrency --function-name … --reserved-concurrent-executions 0")
    assert status(url, "/health") >= 429
    deletion = ".venv/bin/python -m deploy delete-account --stage acme --account ID"
    operator.run(deletion, replacing=(acme, deleted))
    restore = (
        ".venv/bin/python -m deploy restore --stage acme --directory restored --since 2026-11-23T14:30:00Z"
    )
    assert deleted in operator.run(restore)
    back = next(it for it in doc_commands("operations.md") if "--bring-back" in it)
    assert deleted not in operator.run(back, replacing=(acme, deleted))
    aws_cli.run("lambda", "delete-function-concurrency", "--function-name", functions["APIHandler"])
    assert status(url, "/v1/whoami", owner) == 200
    assert status(url, "/v1/whoami", tina) == 401
    recovered = operator.run("make owner STAGE=acme USERNAME=ann", replacing=("ann", "tina"))
    assert status(url, "/v1/whoami", ("tina", key_in(recovered))) == 200

    queue, queues = stack.outputs["DeadLettersUrl"], Breaker(stack).client("sqs")
    queues.send_message(QueueUrl=queue, MessageBody="{}")
    operator.fill_in(dots=queue)
    # Version 1 of the AWS CLI asks AWS itself about queues, whatever the variables say.
    operator.run(
        "aws sqs purge-queue --queue-url …", replacing=("aws ", f"aws --endpoint-url {emulator.url} ")
    )
    assert "Messages" not in queues.receive_message(QueueUrl=queue)


def look_at_bounces(emulator: Emulator, operator: Operator, stack: Stack, owner: tuple[str, str]) -> None:
    """Run "Bounces and complaints", and "Feedback behind"."""
    body = {"username": "bouncer", "email": "bounce@simulator.amazonses.com", "role": "READ_ONLY"}
    assert call(emulator.api(stack), "POST", "/v1/users", owner, body)[0] == 201
    wait_for("the email", lambda: bool(mails_to(emulator, str(body["email"]))))
    simulated = ("ann@example.com", str(body["email"]))
    command = "aws sesv2 {}-suppressed-destination --email-address ann@example.com"
    assert "BOUNCE" in operator.run(command.format("get"), replacing=simulated)
    operator.run(command.format("delete"), replacing=simulated)
    assert "NotFound" in operator.run(command.format("get"), refused=True, replacing=simulated)

    name = next(it for it in doc_commands("operations.md") if it.startswith("QUEUE="))
    queue, queues = operator.run(name, then='; printf "$QUEUE"'), Breaker(stack).client("sqs")
    assert queue == stack.outputs["FeedbackQueueUrl"]
    operator.variables["QUEUE"] = queue
    queues.send_message(QueueUrl=queue, MessageBody="no report")
    by_url = ("aws ", f"aws --endpoint-url {emulator.url} ")
    receive, purge = (
        next(
            it for it in doc_commands("operations.md") if it.startswith(f"aws sqs {what}") and "$QUEUE" in it
        )
        for what in ("receive-message", "purge-queue")
    )
    assert operator.run(receive, replacing=by_url)
    operator.run(purge, replacing=by_url)
    assert "Messages" not in queues.receive_message(QueueUrl=queue)


def recover_and_find(operator: Operator, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Run "Let an OWNER back in" and "A leaked key of unknown holder"; return the OWNER and the new key."""
    owner = ("ann", key_in(operator.run("make owner STAGE=acme USERNAME=ann")))
    assert status(url, "/v1/whoami", owner) == 200
    monkeypatch.setattr("sys.stdin", io.StringIO(owner[1]))
    assert "ann" in operator.run("make whose-key STAGE=acme")
    return owner


def run_accounts(
    emulator: Emulator, operator: Operator, url: str, owner: tuple[str, str], account: str
) -> None:
    """Run what is about an account's keys, an account, and a person, who leaves it to another OWNER."""
    run = ".venv/bin/python -m deploy "
    body = {"username": "bot", "email": "bot@example.com", "role": "READ_ONLY"}
    assert call(url, "POST", "/v1/service-users", owner, body)[0] == 201
    assert "2 API keys of 1" in operator.run(f"{run}revoke-keys --stage acme --account ID", refused=True)
    assert account in operator.run(f"{run}accounts --stage acme")
    operator.run(f"{run}suspend-account --stage acme --account ID --confirm ID")
    assert status(url, "/v1/whoami", owner) == 403
    operator.run(f"{run}resume-account --stage acme --account ID --confirm ID")
    assert status(url, "/v1/whoami", owner) == 200

    bea = second_owner(emulator, url, owner)
    operator.run(f"{run}export-person --stage acme --account ID --username ann --out ann.json")
    assert "ann@example.com" in Path("ann.json").read_text(encoding="utf-8")
    assert call(url, "DELETE", "/v1/users/ann", bea)[0] == 204
    assert call(url, "DELETE", "/v1/users/ann/shown-keys", bea)[0] == 200
    wait_for("the email to the revoked", lambda: len(mails_to(emulator, "ann@example.com")) > 1)
    operator.run(f"{run}erase-person --stage acme --account ID --username ann --confirm ann")
    events = json.dumps(call(url, "GET", "/v1/events?limit=100", bea)[1])
    assert "erased-" in events
    assert "ann@example.com" not in events

    operator.run(f"{run}export --stage acme --out trail")
    assert (Path("trail") / account / "manifest.json").exists()
    operator.run(f"{run}export --stage acme --out trail --check")
    operator.run(f"{run}dump --stage acme --folder copy")
    assert any(Path("copy").iterdir())


def second_owner(emulator: Emulator, url: str, owner: tuple[str, str]) -> tuple[str, str]:
    """Invite bea as an OWNER, and accept the invitation; return her name and key."""
    body = {"username": "bea", "email": "bea@example.com", "role": "OWNER"}
    assert call(url, "POST", "/v1/users", owner, body)[0] == 201
    wait_for("the invitation", lambda: bool(mails_to(emulator, "bea@example.com")))
    [token] = set(re.findall(r"sui_[0-9A-Za-z]{49}", json.dumps(mails_to(emulator, "bea@example.com"))))
    made = call(url, "POST", "/v1/users/activate", None, {"username": "bea", "token": token})
    return "bea", made[1]["apiKeys"]["apiKeys"][0]["key"]


def upgrade_and_end(emulator: Emulator, operator: Operator, stack: Stack, account: str) -> None:
    """Run "Upgrade", "Roll back", "Rotate the sender", and what ends an account and a stack."""

    def parameters() -> dict[str, str]:
        return dict(describe_stack(stack.name).parameters)

    operator.run("make deploy STAGE=acme SENDER=new@example.com")
    assert parameters()["SenderAddress"] == "new@example.com"
    operator.run("make deploy STAGE=acme PARAMETERS=AccountChangesPerMinute=3000")
    assert parameters()["AccountChangesPerMinute"] == "3000"
    operator.run(next(it for it in doc_commands("events.md") if it.startswith("make deploy")))
    operator.fill_in(BUCKET=describe_stack(stack.name).outputs["EventArchiveName"], ACCOUNT=account)
    operator.run("aws s3 sync s3://BUCKET/ACCOUNT trail/ACCOUNT")

    breaker = Breaker(describe_stack(stack.name))
    gateway, api = breaker.client("apigateway"), breaker.names["RestAPI"]
    deployment = gateway.get_deployments(restApiId=api)["items"][0]["id"]
    gateway.create_stage(restApiId=api, stageName="Stage", deploymentId=deployment)
    operator.fill_in(dots=api)
    operator.run("aws apigateway delete-stage --rest-api-id … --stage-name Stage")
    assert "Stage" not in [it["stageName"] for it in gateway.get_stages(restApiId=api)["item"]]
    for command in ("cancel-update-stack", "continue-update-rollback"):
        said = operator.run(f"aws cloudformation {command} --stack-name service-users-acme", refused=True)
        assert "ValidationError" in said
        assert "does not exist" not in said, "it is refused because no update hangs"

    operator.fill_in(dots="new@example.com")
    operator.run("make deploy STAGE=try SENDER=… PARAMETERS=GatewayLogging=there-already")
    operator.run(".venv/bin/python -m deploy delete-account --stage acme --account ID")
    assert account not in operator.run(".venv/bin/python -m deploy accounts --stage acme")
    assert "CONFIRM=acme" in operator.run("make teardown STAGE=acme", refused=True)


def delete_a_version(operator: Operator, stack: Stack) -> None:
    """Run what "Shift calls to a new version" has for versions that nobody needs."""
    named = ("--function-name", stack.outputs["APIHandlerName"])
    version = aws_cli.ask("lambda", "publish-version", *named)["Version"]
    operator.fill_in(dots=stack.outputs["APIHandlerName"])
    operator.run(
        "aws lambda delete-function --function-name … --qualifier 7",
        replacing=("--qualifier 7", f"--qualifier {version}"),
    )
    left = aws_cli.ask("lambda", "list-versions-by-function", *named)["Versions"]
    assert version not in [it["Version"] for it in left]


def key_in(printed: str) -> str:
    """Return the one key in what a command printed."""
    [key] = set(re.findall(r"suk_[0-9A-Za-z]{40,}", printed))
    return str(key)


def json_in(printed: str) -> Any:
    """Return the JSON object in what a command printed, curl's progress beside it."""
    return json.loads(printed[printed.index("{") : printed.rindex("}") + 1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages' commands call curl")
def test_each_command_does_what_its_page_says(
    emulator: Emulator, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stack, owner, account = deploy(emulator, operator)
    url = emulator.api(stack)
    read_events_by_hand(emulator, operator, stack, owner, account)
    stop_and_restore(emulator, operator, url, stack, owner)
    look_at_bounces(emulator, operator, stack, owner)
    owner = recover_and_find(operator, url, monkeypatch)
    run_accounts(emulator, operator, url, owner, account)
    delete_a_version(operator, stack)
    upgrade_and_end(emulator, operator, stack, account)
    documented = set().union(*(doc_commands(page) for page in PAGES))
    assert operator.ran == documented - set(RUN_ELSEWHERE)
