"""``make doctor``: each check finds what is wrong, with a fake AWS CLI that says so."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from deploy import doctor as doctoring
from deploy.__main__ import main
from deploy.doctor import doctor
from tests.deploy.conftest import Aws

SENDER = "users@mail.example.com"
VERIFIED = {"VerifiedForSendingStatus": True}
READY = {
    "cloudformation describe-stacks": {"status": 255, "complains": "Stack does not exist"},
    "--version --output": {"says": "aws-cli/2.31.5 Python/3.13.7 Linux/6.1"},
    "sts get-caller-identity": {"says": {"Account": "123456789012"}},
    "sesv2 get-account": {
        "says": {
            "SendingEnabled": True,
            "ProductionAccessEnabled": True,
            "SendQuota": {"MaxSendRate": 14.0},
        }
    },
    "sesv2 get-email-identity": {"says": VERIFIED},
    "apigateway get-account": {"says": {}},
    "logs describe-log-groups": {"says": {"logGroups": []}},
    "lambda get-account-settings": {"says": {"AccountLimit": {"ConcurrentExecutions": 1000}}},
}


@pytest.fixture
def ready(aws: Aws) -> Aws:
    """An account that is ready for a first deploy."""
    aws.responses = dict(READY)
    aws.write()
    return aws


def deployed(status: str = "UPDATE_COMPLETE", **parameters: str) -> dict[str, Any]:
    pairs = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    return {"says": {"Stacks": [{"StackStatus": status, "Outputs": [], "Parameters": pairs}]}}


def found(check: str) -> dict[str, Any]:
    report = doctor("acme", SENDER, frozenset({check}))
    [one] = [one for one in report.checks if one["check"] == check]
    return one


def test_an_account_that_is_ready_passes(ready: Aws) -> None:
    report = doctor("acme", SENDER)
    assert {one["status"] for one in report.checks} == {"passed"}, report.json()
    for hidden in ("123456789012", SENDER):
        assert hidden not in report.json()


BROKEN: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "the AWS CLI does not start": (
        "AWS CLI",
        "failed",
        "Reinstall it",
        {"--version --output": {"status": 1}},
    ),
    "nobody is signed in": (
        "identity and region",
        "failed",
        "aws sso login",
        {"sts get-caller-identity": {"status": 253, "complains": "run aws sso login"}},
    ),
    "the creation failed for good": (
        "stack state",
        "failed",
        "make teardown STAGE=acme",
        {"cloudformation describe-stacks": deployed("ROLLBACK_FAILED")},
    ),
    "a deploy is under way": (
        "stack state",
        "failed",
        "Wait for its end",
        {"cloudformation describe-stacks": deployed("UPDATE_IN_PROGRESS")},
    ),
    "log groups were left": (
        "log groups of an earlier stack",
        "failed",
        "1 log groups",
        {
            "logs describe-log-groups": {
                "says": {"logGroups": [{"logGroupName": "/service-users/service-users-acme/api"}]}
            }
        },
    ),
    "SES has paused the account": (
        "SES account",
        "failed",
        "SES has paused",
        {"sesv2 get-account": {"says": {"SendingEnabled": False}}},
    ),
    "SES is in its sandbox": (
        "SES account",
        "warning",
        "sandbox",
        {"sesv2 get-account": {"says": {"SendingEnabled": True, "ProductionAccessEnabled": False}}},
    ),
    "the sender is unknown to SES": (
        "sender identity",
        "failed",
        "Verify one of them",
        {"sesv2 get-email-identity": {"status": 254, "complains": "NotFoundException"}},
    ),
    "the sender is not verified yet": (
        "sender identity",
        "failed",
        "Verify one of them",
        {"sesv2 get-email-identity": {"says": {"VerifiedForSendingStatus": False}}},
    ),
    "API Gateway's role is gone": (
        "API Gateway's role for logs",
        "failed",
        "no call is logged",
        {"cloudformation describe-stacks": deployed(GatewayLogging="set-up")},
    ),
    "API Gateway's role was taken to be there": (
        "API Gateway's role for logs",
        "failed",
        "GatewayLogging=set-up",
        {"cloudformation describe-stacks": deployed(GatewayLogging="there-already")},
    ),
    "an HTTP API needs no role": (
        "API Gateway's role for logs",
        "skipped",
        "without it",
        {"cloudformation describe-stacks": deployed(Gateway="http")},
    ),
    "Lambda's quota is a new account's": (
        "Lambda concurrency",
        "warning",
        "10 executions",
        {"lambda get-account-settings": {"says": {"AccountLimit": {"ConcurrentExecutions": 10}}}},
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_not_ready_is_found_by_its_check(ready: Aws, broken: str) -> None:
    check, status, said, responses = BROKEN[broken]
    assert found(check)["status"] == "passed"
    ready.responses |= responses
    ready.write()
    assert found(check)["status"] == status
    assert said in found(check)["detail"]


@pytest.mark.parametrize(
    ("days", "status"), [(200, "passed"), (100, "warning"), (-1, "failed")], ids=["far", "soon", "ended"]
)
def test_the_end_of_the_runtime_is_told_half_a_year_before(
    ready: Aws, monkeypatch: pytest.MonkeyPatch, days: int, status: str
) -> None:
    ends = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=days)
    monkeypatch.setattr(doctoring, "RUNTIME_ENDS", {doctoring.runtime.NAME: ends})
    assert found("runtime")["status"] == status


def test_a_parent_domain_is_enough_and_its_configuration_set_is_named(
    ready: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(*arguments: str, check: bool = True) -> str | None:
        asked.append(arguments[-1])
        return json.dumps(VERIFIED | {"ConfigurationSetName": "ours"}) if asked[-1] == "example.com" else None

    monkeypatch.setattr(doctoring.aws_cli, "run", run)
    detail = doctoring._sender(SENDER)
    assert asked == [SENDER, "mail.example.com", "example.com"]
    assert detail.startswith(
        "verified, by domain, configuration set ours (a stack sends with its own, unless"
    )


def test_the_command_writes_the_report_and_fails_where_a_check_does(
    ready: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    command = ["doctor", "--stage", "acme", "--sender", SENDER, "--report", str(file)]
    assert main(command) == 0
    assert json.loads(file.read_text())["passed"] is True
    ready.responses["sesv2 get-account"] = {"says": {"SendingEnabled": False}}
    ready.write()
    capsys.readouterr()
    assert main(command) == 1
    assert "Failed: SES account." in capsys.readouterr().err
    assert json.loads(file.read_text())["passed"] is False
