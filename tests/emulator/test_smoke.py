"""``make smoke`` and ``make doctor`` on a stack that is well, and on ones that are broken on purpose."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from deploy import smoke as smoking
from deploy.doctor import doctor
from deploy.smoke import Smoke
from deploy.stack import Stack, stack_name
from tests.emulator.conftest import SENDER, Emulator

STAGE = "well"


class Breaker:
    """Breaks one thing of a deployed stack, by AWS's own API, and mends it again."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        found = self.client("cloudformation").describe_stack_resources(StackName=stack.name)
        self.names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found["StackResources"]}

    def client(self, service: Any) -> Any:
        return boto3.client(service, region_name="us-east-1")

    @contextmanager
    def second_stage(self) -> Iterator[None]:
        gateway, api = self.client("apigateway"), self.names["RestAPI"]
        deployment = gateway.get_deployments(restApiId=api)["items"][0]["id"]
        gateway.create_stage(restApiId=api, stageName="Stage", deploymentId=deployment)
        yield
        gateway.delete_stage(restApiId=api, stageName="Stage")

    @contextmanager
    def stopped_stream(self) -> Iterator[None]:
        functions = self.client("lambda")
        [mapping] = functions.list_event_source_mappings(FunctionName=self.names["Notify"])[
            "EventSourceMappings"
        ]
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        yield
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    @contextmanager
    def rule(self, logical: str) -> Iterator[None]:
        events = self.client("events")
        events.disable_rule(Name=self.names[logical])
        yield
        events.enable_rule(Name=self.names[logical])

    @contextmanager
    def no_concurrency(self, logical: str) -> Iterator[None]:
        functions, name = self.client("lambda"), self.names[logical]
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        yield
        functions.delete_function_concurrency(FunctionName=name)

    @contextmanager
    def dead_letter(self) -> Iterator[None]:
        queues, url = self.client("sqs"), self.stack.outputs["DeadLettersUrl"]
        queues.send_message(QueueUrl=url, MessageBody="{}")
        yield
        queues.purge_queue(QueueUrl=url)

    @contextmanager
    def variable(self, logical: str, name: str, value: str) -> Iterator[None]:
        functions, function = self.client("lambda"), self.names[logical]
        before = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=function, Environment={"Variables": {**before, name: value}}
        )
        yield
        functions.update_function_configuration(FunctionName=function, Environment={"Variables": before})

    @contextmanager
    def no_throttle(self) -> Iterator[None]:
        gateway, api = self.client("apigateway"), self.names["RestAPI"]
        where = {"restApiId": api, "stageName": "api"}
        name = "/*/*/throttling/rateLimit"
        limit = gateway.get_stage(**where)["methodSettings"]["*/*"]["throttlingRateLimit"]
        gateway.update_stage(**where, patchOperations=[{"op": "replace", "path": name, "value": "0"}])
        yield
        gateway.update_stage(**where, patchOperations=[{"op": "replace", "path": name, "value": str(limit)}])

    @contextmanager
    def right(self, logical: str, action: str) -> Iterator[None]:
        roles, role = self.client("iam"), self.names[logical]
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}],
        }
        roles.put_role_policy(RoleName=role, PolicyName="added", PolicyDocument=json.dumps(document))
        yield
        roles.delete_role_policy(RoleName=role, PolicyName="added")

    @contextmanager
    def no_rights(self, logical: str) -> Iterator[None]:
        roles, role = self.client("iam"), self.names[logical]
        named = {"RoleName": role, "PolicyName": "Permissions"}
        document = roles.get_role_policy(**named)["PolicyDocument"]
        roles.delete_role_policy(**named)
        yield
        roles.put_role_policy(**named, PolicyDocument=json.dumps(document))

    @contextmanager
    def logged(self, group: str, message: str) -> Iterator[None]:
        import time

        logs, name = self.client("logs"), f"/service-users/{self.stack.name}/{group}"
        stream = f"broken-{time.monotonic_ns()}"
        logs.create_log_stream(logGroupName=name, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000) + 1000, "message": message}
        logs.put_log_events(logGroupName=name, logStreamName=stream, logEvents=[event])
        yield
        logs.delete_log_stream(logGroupName=name, logStreamName=stream)


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoking, "PAUSE", 0.2)


@pytest.fixture(scope="module")
def breaker(stack: Stack) -> Breaker:
    return Breaker(stack)


def smoke(emulator: Emulator, stack: Stack, only: set[str] | None = None) -> Smoke:
    return Smoke(STAGE, emulator.api(stack), frozenset(only or ()))


BROKEN: dict[str, tuple[str, Callable[[Breaker], Any]]] = {
    "a second stage": ("one stage", lambda b: b.second_stage()),
    "the stream is stopped": ("stream", lambda b: b.stopped_stream()),
    "resend's rule is disabled": ("schedules", lambda b: b.rule("ResendResendEvent")),
    "enforce_policies's rule is disabled": (
        "schedules",
        lambda b: b.rule("EnforcePoliciesEnforcePoliciesEvent"),
    ),
    **{
        f"{name} may not run": ("concurrency of the functions", lambda b, name=name: b.no_concurrency(name))
        for name in (
            "APIHandler",
            "Authorizer",
            "Verify",
            "Notify",
            "Resend",
            "EnforcePolicies",
            "RecoverOwner",
        )
    },
    "the API has no throttle": ("throttle", lambda b: b.no_throttle()),
    "the API may mail": ("rights of the roles", lambda b: b.right("APIHandlerRole", "ses:*")),
    "notify may write keys": ("rights of the roles", lambda b: b.right("NotifyRole", "dynamodb:PutItem")),
    "the API may nothing": ("rights of the roles", lambda b: b.no_rights("APIHandlerRole")),
    "the API has another public URL": (
        "documentation",
        lambda b: b.variable("APIHandler", "PUBLIC_URL", "https://elsewhere.example"),
    ),
    "verify has another table": (
        "verify",
        lambda b: b.variable("Verify", "DIRECTORY_TABLE", "nowhere"),
    ),
    "a dead letter": ("dead letters", lambda b: b.dead_letter()),
    "the API has another table": (
        "sign in",
        lambda b: b.variable("APIHandler", "DIRECTORY_TABLE", "nowhere"),
    ),
    "create_account has another table": (
        "create_account",
        lambda b: b.variable("CreateAccount", "DIRECTORY_TABLE", "nowhere"),
    ),
    "the authorizer has another table": (
        "authorizer",
        lambda b: b.variable("Authorizer", "DIRECTORY_TABLE", "nowhere"),
    ),
    "the authorizer cannot write events": (
        "authorizer",
        lambda b: b.variable("Authorizer", "EVENTS_TABLE", "nowhere"),
    ),
    "resend has no sender": ("resend", lambda b: b.variable("Resend", "SENDER", "nobody")),
    "enforce_policies has another table": (
        "enforce_policies",
        lambda b: b.variable("EnforcePolicies", "DIRECTORY_TABLE", "nowhere"),
    ),
    "recover_owner has another table": (
        "recover_owner",
        lambda b: b.variable("RecoverOwner", "DIRECTORY_TABLE", "nowhere"),
    ),
    "a key is logged": ("logs", lambda b: b.logged("api", "suk_" + "a" * 49)),
    "a token is logged": ("logs", lambda b: b.logged("notify", "sui_" + "a" * 49)),
    "a call is denied": ("logs", lambda b: b.logged("authorizer", '{"code": "AccessDeniedException"}')),
    "a use is not noted": ("logs", lambda b: b.logged("authorizer", '{"message": "a use was not noted"}')),
    "a function fails": ("logs", lambda b: b.logged("resend", '{"level": "ERROR"}')),
    "the access log is not JSON": ("access log", lambda b: b.logged("access", '{"userAgent": "a"b"}')),
}


def test_a_stack_that_is_well_passes(emulator: Emulator, stack: Stack) -> None:
    before = boto3.client("dynamodb", region_name="us-east-1").scan(TableName=stack.outputs["DirectoryName"])
    made = smoke(emulator, stack)
    report = made.run()
    assert report.failed() == [], report.json()
    told = json.loads(report.json())
    assert told["passed"] is True
    assert {one["status"] for one in told["checks"]} <= {"passed", "warning", "skipped"}
    for secret in (made.owner[1], *made.keys.values(), "000000000000", "@simulator"):
        assert secret not in report.json()
    after = boto3.client("dynamodb", region_name="us-east-1").scan(TableName=stack.outputs["DirectoryName"])
    here = {item["pk"]["S"] for item in before["Items"]} | {"SWEEP#"}
    assert {item["pk"]["S"] for item in after["Items"]} <= here


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_stack_fails_the_check_of_it(
    emulator: Emulator, stack: Stack, breaker: Breaker, broken: str
) -> None:
    check, breaking = BROKEN[broken]
    with breaking(breaker):
        report = smoke(emulator, stack, {check}).run()
    assert check in report.failed(), report.json()
    detail = next(one["detail"] for one in report.checks if one["check"] == check)
    assert detail
    assert "broke" not in detail


def test_a_stack_that_is_not_there_fails(emulator: Emulator) -> None:
    report = Smoke("nowhere").run()
    assert report.failed() == ["stack"]
    assert stack_name("nowhere") in report.json()


def test_the_doctor_finds_an_account_ready(emulator: Emulator, stack: Stack) -> None:
    for stage, sender in ((STAGE, ""), ("another", SENDER)):
        report = doctor(stage, sender)
        assert report.failed() == [], report.json()
        assert SENDER not in report.json()


def test_the_doctor_finds_a_sender_that_is_not_verified(emulator: Emulator) -> None:
    report = doctor("another", "nobody@elsewhere.example", frozenset({"sender identity"}))
    assert report.failed() == ["sender identity"]
