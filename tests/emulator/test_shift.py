"""A stack whose calls shift to new versions, and the commands with which its operator moves them back."""

from typing import Any

import pytest

from deploy import aws_cli
from deploy.shifting import ALIAS
from deploy.stack import describe_stack, stack_name
from tests.deploy.test_shifting import commands
from tests.emulator.conftest import SENDER, Emulator
from tests.emulator.test_deploy import PUBLIC_URL, call, create_account, status


def test_calls_go_to_the_alias_which_each_change_moves_and_the_operator_moves_back(
    emulator: Emulator, program: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """The emulator has no CodeDeploy, and moves an alias at once."""
    deploy, more = ("deploy", "--stage", "shift"), ("--sender", SENDER, "--parameters", PUBLIC_URL)
    assert program(*deploy, *more, "--shift", "Canary10Percent5Minutes") == 0
    name = stack_name("shift")
    stack = describe_stack(name)
    owner = create_account(program, "shift", "shift-owner", capfd)
    url, function = emulator.api(stack), stack.outputs["APIHandlerName"]
    assert call(url, "GET", "/health")[1]["release"] == stack.outputs["Release"]
    assert status(url, "/v1/whoami", owner) == 200
    described = aws_cli.ask("cloudformation", "describe-stacks", "--stack-name", name)["Stacks"][0]
    assert {"Key": "service-users-release", "Value": stack.outputs["Release"]} in described["Tags"]

    def version() -> str:
        asked = ("lambda", "get-alias", "--function-name", function, "--name", ALIAS)
        return str(aws_cli.ask(*asked)["FunctionVersion"])

    assert version() == "1"
    assert program(*deploy, "--event-days", "500") == 0, "the stack shifts as it did"
    assert version() == "2"
    assert describe_stack(name).outputs["Shift"] == "Canary10Percent5Minutes"
    assert status(url, "/v1/whoami", owner) == 200

    runbook = [words for words in commands("## Roll back") if words[0] == "lambda"]
    values = {"FUNCTION": function, "GOOD": "1"}
    listed, has, moved = (aws_cli.ask(*(values.get(it, it) for it in words)) for words in runbook)
    releases = {number: release for number, _, release in listed}
    assert releases.items() >= {"1": stack.outputs["Release"], "2": stack.outputs["Release"]}.items()
    assert (has["FunctionVersion"], moved["FunctionVersion"], version()) == ("2", "1", "1")
    assert status(url, "/v1/whoami", owner) == 200
