"""The life of a stack, by the program and the AWS CLI that an operator uses."""

import base64
import shutil
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy import aws_cli
from deploy.stack import Stack, describe_stack, invoke, log_groups, stack_name
from tests.emulator.conftest import SENDER, Emulator

RELEASED = Path(__file__).with_name("released.json")
"""The template of the last release, as its ``make package`` made it."""
PUBLIC_URL = "PublicUrl=https://users.example.com"


def status(url: str, path: str, key: tuple[str, str] | None = None) -> int:
    """Return the status of the response to a GET."""
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    headers = {}
    if key:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(key).encode()).decode()
    connection.request("GET", parts.path + path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def create_account(stack: Stack, username: str) -> tuple[str, str]:
    payload = {"accountName": "Acme", "username": username, "email": f"{username}@example.com"}
    return username, invoke(stack.outputs["CreateAccountName"], payload)["apiKey"]


def test_a_stack_from_its_first_failure_to_its_end(
    emulator: Emulator, program: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    stage, name = "life", stack_name("life")
    first = ("deploy", "--stage", stage, "--sender", SENDER, "--parameters", PUBLIC_URL)

    emulator.fail("AWS::CloudWatch::Dashboard")
    assert program(*first) == 1
    assert "Dashboard (AWS::CloudWatch::Dashboard) CREATE_FAILED: not authorized" in capfd.readouterr().err
    assert describe_stack(name).status == "ROLLBACK_COMPLETE"

    emulator.fail()
    for group in log_groups(name):  # the emulator keeps what RetainExceptOnCreate has CloudFormation delete
        aws_cli.run("logs", "delete-log-group", "--log-group-name", group)
    assert program("deploy", "--stage", stage) == 1, "a retry is a first deploy, and needs the sender"
    assert "SENDER=address" in capfd.readouterr().err
    assert program(*first) == 0
    created = describe_stack(name)
    assert created.status == "CREATE_COMPLETE"
    owner = create_account(created, "life-owner")
    url = emulator.api(created)
    assert status(url, "/v1/whoami", owner) == 200
    assert status(emulator.api(created, "Stage"), "/health") != 200

    assert program("deploy", "--stage", stage) == 0
    assert "No changes to deploy" in "".join(capfd.readouterr())
    assert describe_stack(name) == created

    assert program("deploy", "--stage", stage, "--event-days", "500", "--parameters", "LogLevel=DEBUG") == 0
    changed = describe_stack(name)
    assert (changed.status, changed.parameters["EventRetentionDays"]) == ("UPDATE_COMPLETE", "500")
    assert changed.parameters["SenderAddress"] == SENDER
    url = emulator.api(changed)
    configured = aws_cli.ask("lambda", "get-function", "--function-name", changed.outputs["APIHandlerName"])
    assert configured["Configuration"]["Environment"]["Variables"]["EVENT_RETENTION_DAYS"] == "500"
    assert status(url, "/v1/whoami", owner) == 200

    emulator.fail("AWS::Lambda::Function")
    assert program("deploy", "--stage", stage, "--event-days", "600") == 1
    assert "UPDATE_FAILED: not authorized" in capfd.readouterr().err
    emulator.fail()
    assert describe_stack(name).status == "UPDATE_ROLLBACK_COMPLETE"
    assert status(url, "/v1/whoami", owner) == 200

    assert program("teardown", "--stage", stage) == 1
    assert describe_stack(name).status == "UPDATE_ROLLBACK_COMPLETE"
    capfd.readouterr()
    assert program("teardown", "--stage", stage, "--confirm", stage) == 0
    told = capfd.readouterr().out
    left = log_groups(name)
    tables = {changed.outputs["DirectoryName"], changed.outputs["EventsName"]}
    assert len(left) >= 8
    assert all(kept in told for kept in (*left, *tables))
    assert tables <= set(aws_cli.ask("dynamodb", "list-tables")["TableNames"])
    assert not describe_stack(name).status

    assert program(*first) == 1, "the log groups would make it fail"
    assert "aws logs delete-log-group" in capfd.readouterr().err


def test_a_stack_of_the_last_release_is_upgraded_and_rolled_back(
    emulator: Emulator, program: Any, package: Path, tmp_path: Path
) -> None:
    stage, name = "old", stack_name("old")
    shutil.copyfile(package / "deployment.zip", tmp_path / "deployment.zip")
    shutil.copyfile(RELEASED, tmp_path / "sam.json")
    bucket = "released-code"
    aws_cli.run("s3api", "create-bucket", "--bucket", bucket)
    packaged = tmp_path / "packaged.json"
    aws_cli.run(
        *("cloudformation", "package", "--use-json", "--template-file", str(tmp_path / "sam.json")),
        *("--s3-bucket", bucket, "--output-template-file", str(packaged)),
        shown=True,
    )
    release = (
        *("cloudformation", "deploy", "--template-file", str(packaged), "--stack-name", name),
        *("--s3-bucket", bucket, "--capabilities", "CAPABILITY_IAM", "--no-fail-on-empty-changeset"),
    )
    aws_cli.run(*release, "--parameter-overrides", f"SenderAddress={SENDER}", PUBLIC_URL, shown=True)
    before = describe_stack(name)
    owner = create_account(before, "old-owner")
    assert status(emulator.api(before), "/v1/whoami", owner) == 200

    assert program("deploy", "--stage", stage) == 0
    after = describe_stack(name)
    # The emulator makes a new API of a changed one. CloudFormation does not: no property of it demands that.
    kept = ("AuthorizerArn", "DirectoryName", "EventsName", "CreateAccountName")
    assert {key: after.outputs[key] for key in kept} == {key: before.outputs[key] for key in kept}
    assert after.parameters.items() >= before.parameters.items()
    assert status(emulator.api(after), "/v1/whoami", owner) == 200

    aws_cli.run(*release, shown=True)
    rolled_back = describe_stack(name)
    assert rolled_back.status == "UPDATE_COMPLETE"
    assert status(emulator.api(rolled_back), "/v1/whoami", owner) == 200


def test_calls_reach_the_functions_and_mails_go_out(emulator: Emulator, stack: Stack) -> None:
    owner = create_account(stack, "mailed-owner")
    url = emulator.api(stack)
    assert status(url, "/health") == 200
    assert status(url, "/v1/whoami", owner) == 200
    assert status(url, "/v1/whoami", (owner[0], "wrong")) == 401
    recovered = invoke(stack.outputs["RecoverOwnerName"], {"username": owner[0]})
    assert status(url, "/v1/whoami", owner) == 401
    assert status(url, "/v1/whoami", (owner[0], recovered["apiKey"])) == 200
