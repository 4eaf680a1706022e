"""Shifting calls to a new version: what it changes of the template, and that nothing changes without it."""

import copy
import io
import json
import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.stub import Stubber
from moto import mock_aws

from deploy import stack as stack_module
from deploy.__main__ import main
from deploy.aws_cli import DeployError
from deploy.package import CODE, PROJECT, TEMPLATE, _run_chalice, finish
from deploy.release import name_release
from deploy.shifting import (
    ALARMS,
    ALIAS,
    AT_ONCE,
    PREFERENCES,
    SHIFTED,
    preference_to_deploy,
    shift,
    shift_template,
)
from tests.deploy.conftest import OUTPUTS, Aws

SAM = PROJECT / ".tools" / "stack" / "bin" / "python"
PAGE = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
CANARY = "Canary10Percent5Minutes"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template as it is without shifting."""
    out = tmp_path_factory.mktemp("template") / "made"
    _run_chalice("test", out, "")
    template: dict[str, Any] = json.loads((out / TEMPLATE).read_text(encoding="utf-8"))
    finish(template, "x86_64")
    name_release(template, "1.1.0")
    return template


def shifted(plain: dict[str, Any], code: bytes = b"code", **parameters: str) -> dict[str, Any]:
    template = copy.deepcopy(plain)
    shift(template, CANARY, code, parameters)
    return template


def versions(template: dict[str, Any]) -> dict[str, str]:
    """Return what SAM names the functions' versions by: another value publishes a new one."""
    return {it: template["Resources"][it]["Properties"]["AutoPublishCodeSha256"] for it in SHIFTED}


def test_off_leaves_the_template_as_it_is(plain: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / TEMPLATE
    written = json.dumps(plain)
    file.write_text(written, encoding="utf-8")
    assert shift_template(tmp_path, "", {}) == "1.1.0"
    assert file.read_text(encoding="utf-8") == written
    assert "Alias" not in written
    assert "DeploymentPreference" not in written


def test_on_changes_what_calls_are_shifted_and_nothing_else(plain: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / TEMPLATE).write_text(json.dumps(plain), encoding="utf-8")
    (tmp_path / CODE).write_bytes(b"code")
    assert shift_template(tmp_path, CANARY, {}) == "1.1.0"
    made = json.loads((tmp_path / TEMPLATE).read_text(encoding="utf-8"))
    assert made == shifted(plain)
    before, after = plain["Resources"], made["Resources"]
    assert after.keys() - before.keys() == {"AuthorizerAliasPermission", "AuthorizerFailsAlarm", "ShiftRole"}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        *(*SHIFTED, "RestAPI", "APIHandlerInvokePermission"),
        *("HttpApiIntegration", "HttpApiInvokePermission"),
    }
    assert made["Outputs"].keys() - plain["Outputs"].keys() == {
        *("Shift", "ShiftApplication", "AuthorizerAliasArn"),
    }
    assert made["Outputs"].items() >= plain["Outputs"].items()
    for name in SHIFTED:
        was, now = (some[name]["Properties"] for some in (before, after))
        added = now.keys() - was.keys()
        assert added == {"AutoPublishAlias", "AutoPublishCodeSha256", "DeploymentPreference"}
        assert {key: now[key] for key in was} == was


def test_every_call_of_the_gateway_goes_to_the_alias_which_lets_it(plain: dict[str, Any]) -> None:
    resources = shifted(plain)["Resources"]
    api = json.dumps(resources["RestAPI"])
    calls = json.dumps(plain["Resources"]["RestAPI"]).count("${APIHandler.Arn}/invocations")
    assert calls > 20
    assert api.count("${APIHandler.Alias}/invocations") == calls
    assert "${APIHandler.Arn}" not in api
    permissions = {
        json.dumps(it["Properties"]["FunctionName"])
        for it in resources.values()
        if it["Type"] == "AWS::Lambda::Permission"
    }
    # The authorizer's own ARN stays what other APIs call; with the alias' ARN their calls are shifted too.
    assert permissions == {
        '{"Ref": "APIHandler.Alias"}',
        '{"Ref": "Authorizer"}',
        '{"Ref": "Authorizer.Alias"}',
    }
    alias, function = resources["AuthorizerAliasPermission"], resources["AuthorizerPermission"]
    assert alias["Properties"]["SourceArn"] == function["Properties"]["SourceArn"]


def test_a_version_is_published_when_the_function_changes_and_not_otherwise(plain: dict[str, Any]) -> None:
    first = versions(shifted(plain))
    assert versions(shifted(plain, EventRetentionDays="400", AlarmThrottles="9")) == first
    assert not versions(shifted(plain, b"other code")).items() & first.items()
    assert not versions(shifted(plain, EventRetentionDays="500")).items() & first.items()
    rules = versions(shifted(plain, AuthorizerRules="[]"))
    assert rules["APIHandler"] == first["APIHandler"]
    assert rules["Authorizer"] != first["Authorizer"]
    release = copy.deepcopy(plain)
    name_release(release, "1.1.0+0123456789ab")
    assert versions(shifted(release))["APIHandler"] != first["APIHandler"]


def test_alarms_of_the_stack_stop_a_shift_unless_all_goes_at_once(plain: dict[str, Any]) -> None:
    for preference in PREFERENCES:
        template = copy.deepcopy(plain)
        shift(template, preference, b"", {})
        for name in SHIFTED:
            asked = template["Resources"][name]["Properties"]["DeploymentPreference"]
            assert asked["Type"] == preference
            assert asked.get("Alarms", []) == (
                [] if preference == AT_ONCE else [{"Ref": it} for it in ALARMS]
            )
    alarms = shifted(plain)["Resources"]
    assert all(alarms[it]["Type"] == "AWS::CloudWatch::Alarm" for it in ALARMS)
    fails, denied = (alarms[it]["Properties"] for it in ("AuthorizerFailsAlarm", "AccessDeniedAlarm"))
    assert fails["AlarmActions"] == fails["OKActions"] == denied["AlarmActions"] == [{"Ref": "Alarms"}]
    [metric] = alarms["AuthorizerFailures"]["Properties"]["MetricTransformations"]
    assert (fails["Namespace"], fails["MetricName"]) == (metric["MetricNamespace"], metric["MetricName"])
    assert len(ALARMS) <= 10, "CodeDeploy takes ten"


def references(node: Any) -> Iterator[str]:
    """Yield the names that a part of a template refers to."""
    if isinstance(node, list):
        for each in node:
            yield from references(each)
    for name, value in node.items() if isinstance(node, dict) else ():
        if name in ("Ref", "DependsOn"):
            yield from [value] if isinstance(value, str) else value
        elif name == "Fn::GetAtt":
            yield value[0]
        else:
            text = value if isinstance(value, str) else value[0] if name == "Fn::Sub" else ""
            if name == "Fn::Sub":
                yield from (it.partition(".")[0] for it in re.findall(r"\$\{([^}!]+)\}", text))
            yield from references(value)


def circle(resources: dict[str, Any]) -> list[str]:
    """Return resources that need each other, which CloudFormation refuses."""
    needs = {name: set(references(it)) & resources.keys() for name, it in resources.items()}
    while ready := {name for name, needed in needs.items() if not needed & needs.keys()}:
        needs = {name: needed for name, needed in needs.items() if name not in ready}
    return sorted(needs)


@pytest.mark.skipif(not SAM.exists(), reason="needs SAM's translator: make e2e")
def test_sam_makes_aliases_that_are_called_and_moved(plain: dict[str, Any], tmp_path: Path) -> None:
    def translated(template: dict[str, Any]) -> dict[str, Any]:
        file = tmp_path / TEMPLATE
        file.write_text(json.dumps(template), encoding="utf-8")
        script = PROJECT / "deploy" / "translate.py"
        done = subprocess.run([SAM, script, file], check=True, text=True, capture_output=True)
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    made = translated(shifted(plain))
    resources = made["Resources"]
    aliases = {name: it for name, it in resources.items() if it["Type"] == "AWS::Lambda::Alias"}
    assert aliases.keys() == {f"{name}Alias{ALIAS}" for name in SHIFTED}
    for alias in aliases.values():
        move = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = resources[move["DeploymentGroupName"]["Ref"]]["Properties"]
        assert group["AlarmConfiguration"] == {
            "Enabled": True,
            "Alarms": [{"Name": {"Ref": name}} for name in ALARMS],
        }
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["ShiftRole", "Arn"]}
    assert [name for name, it in resources.items() if it["Type"] == "AWS::IAM::Role"].count("ShiftRole") == 1
    assert "CodeDeployServiceRole" not in resources, "it would not have the permissions boundary"
    for permission in ("APIHandlerInvokePermission", "HttpApiInvokePermission"):
        assert resources[permission]["Properties"]["FunctionName"] == {"Ref": f"APIHandlerAlias{ALIAS}"}
    integration = resources["HttpApiIntegration"]["Properties"]
    assert integration["IntegrationUri"] == {"Ref": f"APIHandlerAlias{ALIAS}"}
    api = json.dumps(resources["RestAPI"])
    assert f"${{APIHandlerAlias{ALIAS}}}/invocations" in api
    assert "APIHandler.Alias" not in json.dumps(made)
    assert made["Outputs"]["AuthorizerAliasArn"]["Value"] == {"Ref": f"AuthorizerAlias{ALIAS}"}
    # What callers, schedules and streams name is the function, whose newest code runs at once.
    assert resources["VerifyUrl"] == translated(plain)["Resources"]["VerifyUrl"]
    for name, it in translated(plain)["Resources"].items():
        if it["Type"] in ("AWS::Lambda::EventSourceMapping", "AWS::Events::Rule", "AWS::CloudWatch::Alarm"):
            assert resources[name] == it
    assert circle(resources) == []
    again = translated(shifted(plain, EventRetentionDays="500"))["Resources"]
    published = [
        {n for n, it in some.items() if it["Type"] == "AWS::Lambda::Version"} for some in (resources, again)
    ]
    assert len(published[0]) == len(published[1]) == 2
    assert not published[0] & published[1]


def test_a_preference_is_kept_until_it_is_switched_off() -> None:
    assert preference_to_deploy("", {}) == ""
    assert preference_to_deploy(CANARY, {}) == CANARY
    assert preference_to_deploy("", {"Shift": CANARY}) == CANARY
    assert preference_to_deploy(AT_ONCE, {"Shift": CANARY}) == AT_ONCE
    assert preference_to_deploy("off", {"Shift": CANARY}) == ""
    with pytest.raises(DeployError, match="use off or one of AllAtOnce, Canary10Percent5Minutes"):
        preference_to_deploy("Canary", {})


def test_deploy_shifts_and_tags_the_release(
    aws: Aws, plain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / CODE).write_bytes(b"code")

    def package(*_: Any) -> Path:
        (made / TEMPLATE).write_text(json.dumps(plain), encoding="utf-8")
        return made

    monkeypatch.setattr(stack_module, "package", package)
    assert main(["deploy", "--stage", "acme", "--shift", CANARY]) == 0
    deployed = aws.of("cloudformation", "deploy")
    assert "service-users-release=1.1.0" in deployed
    assert "service-users-stage=acme" in deployed
    assert json.loads((made / TEMPLATE).read_text(encoding="utf-8")) == shifted(plain)
    described = {"Outputs": [*OUTPUTS, {"OutputKey": "Shift", "OutputValue": CANARY}]}
    described["Parameters"] = [{"ParameterKey": "EventRetentionDays", "ParameterValue": "500"}]
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [described]}}
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 0
    assert json.loads((made / TEMPLATE).read_text(encoding="utf-8")) == shifted(
        plain, EventRetentionDays="500"
    )
    assert main(["deploy", "--stage", "acme", "--shift", "off"]) == 0
    assert json.loads((made / TEMPLATE).read_text(encoding="utf-8")) == plain


def test_a_preference_that_there_is_not_is_reported_before_anything_is_built(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--stage", "acme", "--shift", "Canary"]) == 1
    assert "SHIFT=Canary: use off" in capsys.readouterr().err
    assert not [call for call in aws.calls if call[1] == "package"]


# The runbook


def commands(section: str) -> Iterator[list[str]]:
    """Yield the AWS commands of a section of the operators' page, as words."""
    text = PAGE.partition(f"\n{section}\n")[2].partition("\n## ")[0]
    for line in text.splitlines():
        if line.startswith("    aws "):
            yield shlex.split(line)[1:]


def parsed(client: Any, words: list[str], values: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the method of a command, and its parameters with values for the placeholders."""
    _, operation, *rest = words
    model = next(
        client.meta.service_model.operation_model(name)
        for name in client.meta.service_model.operation_names
        if xform_name(name, "-") == operation
    )
    members = {xform_name(name, "-"): (name, it) for name, it in model.input_shape.members.items()}
    parameters: dict[str, Any] = {}
    while rest:
        option = rest.pop(0).removeprefix("--")
        if option == "query":
            rest.pop(0)
            continue
        name, shape = members[option]
        given = True if shape.type_name == "boolean" else rest.pop(0)
        value = values.get(given, given) if isinstance(given, str) else given
        parameters[name] = [value] if shape.type_name == "list" else value
    return xform_name(model.name), parameters


def test_the_commands_that_stop_a_shift_are_codedeploys() -> None:
    client = boto3.client("codedeploy", region_name="us-east-1")
    calls = [words for words in commands("## Roll back") if words[0] == "deploy"]
    assert [words[1] for words in calls] == ["list-deployment-groups", "list-deployments", "stop-deployment"]
    values = {"APPLICATION": "app", "GROUP": "group", "DEPLOYMENT": "d-123456789"}
    expected: dict[str, dict[str, Any]] = {
        "list-deployment-groups": {"applicationName": "app"},
        "list-deployments": {
            "applicationName": "app",
            "deploymentGroupName": "group",
            "includeOnlyStatuses": ["InProgress"],
        },
        "stop-deployment": {"deploymentId": "d-123456789", "autoRollbackEnabled": True},
    }
    for words in calls:
        method, parameters = parsed(client, words, values)
        with Stubber(client) as stub:  # moto stops no deployment; botocore checks what is sent
            stub.add_response(method, {}, expected[words[1]])
            getattr(client, method)(**parameters)


def test_the_commands_that_move_an_alias_back_do() -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as made:
        made.writestr("app.py", "")
    with mock_aws(config={"lambda": {"use_docker": False}}):
        iam = boto3.client("iam", region_name="us-east-1")
        role = iam.create_role(RoleName="moves-an-alias", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        client = boto3.client("lambda", region_name="us-east-1")
        client.create_function(
            FunctionName="moves-an-alias",
            Runtime="python3.13",
            Role=role,
            Handler="app.app",
            Code={"ZipFile": code.getvalue()},
            Environment={"Variables": {"RELEASE": "1.1.0"}},
            Publish=True,
        )
        client.update_function_configuration(
            FunctionName="moves-an-alias", Environment={"Variables": {"RELEASE": "1.1.1"}}
        )
        client.publish_version(FunctionName="moves-an-alias")
        client.create_alias(FunctionName="moves-an-alias", Name=ALIAS, FunctionVersion="2")
        listing, asking, moving = (words for words in commands("## Roll back") if words[0] == "lambda")
        values = {"FUNCTION": "moves-an-alias", "GOOD": "1"}

        def made_call(words: list[str]) -> Any:
            method, parameters = parsed(client, words, values)
            return getattr(client, method)(**parameters)

        assert listing[-2:] == ["--query", "Versions[].[Version,LastModified,Environment.Variables.RELEASE]"]
        listed = made_call(listing)["Versions"]
        assert {it["Version"]: it["Environment"]["Variables"]["RELEASE"] for it in listed} == {
            "$LATEST": "1.1.1",
            "1": "1.1.0",
            "2": "1.1.1",
        }
        assert made_call(asking)["FunctionVersion"] == "2"
        made_call(moving)
        assert made_call(asking)["FunctionVersion"] == "1"
