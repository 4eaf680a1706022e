"""A stack with an HTTP API, deployed and changed by the program that an operator uses."""

from typing import Any

import pytest

from deploy import aws_cli
from deploy.smoke import Smoke
from deploy.stack import describe_stack, stack_name
from tests.emulator.conftest import SENDER, Emulator
from tests.emulator.test_deploy import PUBLIC_URL, call, create_account, status

OF_THE_API = frozenset(
    {
        *("one stage", "throttle", "documentation", "wrong key", "method not allowed", "unknown path"),
        *("media type", "large body", "a machine manages nothing", "networks", "rotate", "revoke"),
    }
)
"""The checks of ``make smoke`` that an HTTP API could fail."""


def test_a_stack_with_an_http_api_from_its_start_to_a_rest_api(
    emulator: Emulator, program: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    stage, name = "http", stack_name("http")
    strict = f"{PUBLIC_URL} TlsPolicy=SecurityPolicy_TLS13_1_3_2025_09"
    first = ("deploy", "--stage", stage, "--sender", SENDER, "--gateway", "http", "--parameters")
    assert program(*first, strict) == 1
    assert "TlsPolicy" in capfd.readouterr().err
    assert not describe_stack(name).status
    assert program(*first, PUBLIC_URL) == 0
    created = describe_stack(name)
    assert (created.status, created.gateway) == ("CREATE_COMPLETE", "http")
    assert created.outputs["EndpointURL"].startswith(f"https://{created.outputs['HttpApiId']}.execute-api.")
    assert not created.outputs["EndpointURL"].endswith("/api")
    assert "RestAPIId" not in created.outputs
    resources: dict[str, Any] = aws_cli.ask("cloudformation", "list-stack-resources", "--stack-name", name)
    types = {one["ResourceType"] for one in resources["StackResourceSummaries"]}
    assert not {it for it in types if it.startswith("AWS::ApiGateway::")}, "nor a role for logs"
    url = emulator.api(created)
    owner = create_account(program, stage, "http-owner", capfd)
    assert status(url, "/v1/whoami", owner) == 200
    assert status(url, "/v1/whoami/", owner) == 200
    assert call(url, "GET", "/v1/nowhere", owner)[1]["status"] == 404
    report = Smoke(stage, url, OF_THE_API).run()
    assert report.failed() == [], report.json()
    assert {one["check"] for one in report.checks} >= OF_THE_API

    capfd.readouterr()
    assert program("deploy", "--stage", stage, "--gateway", "rest") == 1
    assert f"CONFIRM={stage}" in capfd.readouterr().err
    assert describe_stack(name) == created
    assert program("deploy", "--stage", stage, "--gateway", "rest", "--confirm", stage) == 0
    changed = describe_stack(name)
    assert (changed.status, changed.gateway) == ("UPDATE_COMPLETE", "rest")
    assert "HttpApiId" not in changed.outputs
    assert status(emulator.api(changed), "/v1/whoami", owner) == 200
    assert status(url, "/v1/whoami", owner) != 200
