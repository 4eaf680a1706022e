"""The life of a stack, by the program and the AWS CLI that an operator uses."""

import base64
import json
import shutil
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from deploy import aws_cli
from deploy.stack import Stack, describe_stack, log_groups, stack_name
from tests.emulator.conftest import SENDER, Emulator, wait_for

RELEASED = Path(__file__).with_name("released.json")
"""The template of the last release, as its ``make package`` made it."""
PUBLIC_URL = "PublicUrl=https://users.example.com"


def call(
    url: str, method: str, path: str, key: tuple[str, str] | None = None, body: Any = None
) -> tuple[int, Any]:
    """Return the status of the response to a call, and its body."""
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(key).encode()).decode()
    data = None if body is None else json.dumps(body)
    connection.request(method, parts.path + path, data, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = "json" in response.getheader("Content-Type", "")
    return response.status, json.loads(content) if content and is_json else content


def status(url: str, path: str, key: tuple[str, str] | None = None) -> int:
    """Return the status of the response to a GET."""
    return call(url, "GET", path, key)[0]


def create_account(program: Any, stage: str, username: str, capfd: Any) -> tuple[str, str]:
    """Create an account by the operator's command, and return the key that it prints."""
    capfd.readouterr()
    named = ("--name", "Acme", "--username", username, "--email", f"{username}@example.com")
    assert program("account", "--stage", stage, *named) == 0
    return username, json.loads(capfd.readouterr().out)["apiKey"]


def mails_to(emulator: Emulator, address: str) -> list[dict[str, Any]]:
    return [mail for mail in emulator.emails() if address in json.dumps(mail)]


def invite(url: str, owner: tuple[str, str], username: str) -> str:
    """Invite a person, and return the address."""
    address = f"{username}@example.com"
    body = {"username": username, "email": address, "role": "READ_ONLY"}
    assert call(url, "POST", "/v1/users", owner, body)[0] == 201
    return address


def try_the_stream_and_the_schedules(emulator: Emulator, stack: Stack, owner: tuple[str, str]) -> None:
    """Have an email go out by the stream, and with the stream stopped by the schedule; and a sweep begun."""
    url = emulator.api(stack)
    address = invite(url, owner, "by-stream")
    wait_for("the email by the stream", lambda: bool(mails_to(emulator, address)))

    functions: Any = boto3.client("lambda", region_name="us-east-1")
    tables: Any = boto3.client("dynamodb", region_name="us-east-1")
    described = functions.list_event_source_mappings(EventSourceArn=stack_stream(stack))
    [mapping] = described["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    address = invite(url, owner, "by-schedule")
    events = stack.outputs["EventsName"]
    waiting = [item for item in tables.scan(TableName=events)["Items"] if "waiting" in item]
    for item in waiting:  # the schedule leaves an event to the stream at first
        tables.update_item(
            TableName=events,
            Key={name: item[name] for name in ("account", "id")},
            UpdateExpression="SET dueAt = :now",
            ExpressionAttributeValues={":now": {"N": "1"}},
        )
    directory = {"TableName": stack.outputs["DirectoryName"], "Key": {"pk": {"S": "SWEEP#"}}}
    assert not mails_to(emulator, address)
    assert "Item" not in tables.get_item(**directory)
    with emulator.schedules_due():
        wait_for("the email by the schedule", lambda: bool(mails_to(emulator, address)))
        wait_for("the sweep", lambda: "Item" in tables.get_item(**directory))
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def try_the_bus_and_the_archive(emulator: Emulator, stack: Stack, owner: tuple[str, str]) -> str:
    """Have the event of a change published and archived; return the archive's bucket.

    The emulator makes the bucket without its Object Lock.
    """
    bucket, bus = stack.outputs["EventArchiveName"], stack.outputs["EventBusName"]
    rules = aws_cli.ask("events", "list-rules", "--event-bus-name", bus)["Rules"]
    patterns = sorted(json.dumps(json.loads(rule["EventPattern"]), sort_keys=True) for rule in rules)
    chosen = {"detail-type": ["API_KEY_GENERATED"], "source": ["service-users"]}
    assert patterns == [json.dumps(it, sort_keys=True) for it in (chosen, {"source": ["service-users"]})]

    url = emulator.api(stack)
    body = {"username": "archived", "email": "archived@example.com", "role": "READ_ONLY"}
    assert call(url, "POST", "/v1/service-users", owner, body)[0] == 201
    s3: Any = boto3.client("s3", region_name="us-east-1")

    def archived() -> list[dict[str, Any]]:
        found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [json.load(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"]) for one in found]

    wait_for("the archived event", lambda: "archived" in [it["subject"]["username"] for it in archived()])
    [event] = [it for it in archived() if it["subject"]["username"] == "archived"]
    [shown] = call(url, "GET", "/v1/events?username=archived", owner)[1]
    account = call(url, "GET", "/v1/whoami", owner)[1]["account"]
    del shown["mail"]
    assert event == {"schemaVersion": "1", "account": account, **shown}
    return bucket


def try_the_feedback(emulator: Emulator, stack: Stack, owner: tuple[str, str]) -> None:
    """Have an invitation bounce: its event and the person show it, and the OWNER is mailed."""
    url, configured = emulator.api(stack), stack.outputs["ConfigurationSetName"]
    named = ("--configuration-set-name", configured)
    [made] = aws_cli.ask("sesv2", "get-configuration-set-event-destinations", *named)["EventDestinations"]
    assert (made["Enabled"], made["MatchingEventTypes"]) == (True, ["BOUNCE", "COMPLAINT"])
    body = {"username": "bouncer", "email": "bounce@simulator.amazonses.com", "role": "READ_ONLY"}
    assert call(url, "POST", "/v1/users", owner, body)[0] == 201

    def bounced() -> Any:
        return call(url, "GET", "/v1/events?action=EMAIL_BOUNCED", owner)[1]

    wait_for("the event of the bounce", lambda: bool(bounced()))
    [event] = bounced()
    assert (event["actor"]["kind"], event["subject"]["username"]) == ("EMAIL_FEEDBACK", "bouncer")
    [invited] = call(url, "GET", "/v1/events?action=USER_INVITED&username=bouncer", owner)[1]
    assert invited["mail"]["feedback"] == [{"username": "bouncer", "outcome": "PERMANENT_BOUNCE"}]
    assert call(url, "GET", "/v1/users/bouncer", owner)[1]["emailFailure"]["outcome"] == "PERMANENT_BOUNCE"
    wait_for(
        "the email to the OWNER",
        lambda: "Emails to bouncer bounce" in json.dumps(mails_to(emulator, f"{owner[0]}@example.com")),
    )


def stack_stream(stack: Stack) -> str:
    table = aws_cli.ask("dynamodb", "describe-table", "--table-name", stack.outputs["EventsName"])["Table"]
    return str(table["LatestStreamArn"])


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
    owner = create_account(program, stage, "life-owner", capfd)
    url = emulator.api(created)
    assert status(url, "/v1/whoami", owner) == 200
    assert status(emulator.api(created, "Stage"), "/health") != 200
    try_the_stream_and_the_schedules(emulator, created, owner)
    try_the_feedback(emulator, created, owner)

    assert program("deploy", "--stage", stage) == 0
    assert "No changes to deploy" in "".join(capfd.readouterr())
    assert describe_stack(name) == created

    more = "LogLevel=DEBUG EventBus=on EventArchive=GOVERNANCE SelectedActions=API_KEY_GENERATED"
    assert program("deploy", "--stage", stage, "--event-days", "500", "--parameters", more) == 0
    changed = describe_stack(name)
    assert (changed.status, changed.parameters["EventRetentionDays"]) == ("UPDATE_COMPLETE", "500")
    assert changed.parameters["SenderAddress"] == SENDER
    capfd.readouterr()
    assert program("owner", "--stage", stage, "--username", owner[0]) == 0
    lost, owner = owner, (owner[0], json.loads(capfd.readouterr().out)["apiKey"])
    url = emulator.api(changed)
    configured = aws_cli.ask("lambda", "get-function", "--function-name", changed.outputs["APIHandlerName"])
    assert configured["Configuration"]["Environment"]["Variables"]["EVENT_RETENTION_DAYS"] == "500"
    assert status(url, "/v1/whoami", owner) == 200
    assert status(url, "/v1/whoami", lost) == 401

    archive = try_the_bus_and_the_archive(emulator, changed, owner)

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
    assert all(kept in told for kept in (*left, *tables, archive))
    assert tables <= set(aws_cli.ask("dynamodb", "list-tables")["TableNames"])
    assert not describe_stack(name).status

    assert program(*first) == 1, "the log groups would make it fail"
    assert "aws logs delete-log-group" in capfd.readouterr().err


def test_a_stack_of_the_last_release_is_upgraded_and_rolled_back(
    emulator: Emulator, program: Any, package: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
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
    owner = create_account(program, stage, "old-owner", capfd)
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
