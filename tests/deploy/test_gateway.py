"""``make deploy GATEWAY=…``: what is refused, and that nobody changes a stack's URL in passing."""

import json
from typing import Any

import pytest

from deploy.__main__ import main
from deploy.package import RESOURCES
from tests.deploy.conftest import OUTPUTS, Aws

DEFAULT_POLICY = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
STRICTER = "SecurityPolicy_TLS13_1_3_2025_09"
ACL = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/ours/1"
FIRST = ["deploy", "--stage", "acme", "--sender", "users@example.com"]
AGAIN = ["deploy", "--stage", "acme"]


def deployed(aws: Aws, **parameters: str) -> None:
    """Let there be a stack that was deployed with these parameters."""
    outputs = [*OUTPUTS]
    if parameters.get("Gateway") != "http":
        outputs.append({"OutputKey": "RestAPIId", "OutputValue": "abc"})
    stack: dict[str, Any] = {
        "StackStatus": "UPDATE_COMPLETE",
        "Outputs": outputs,
        "Parameters": [{"ParameterKey": it, "ParameterValue": value} for it, value in parameters.items()],
    }
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [stack]}}
    aws.write()


def overrides(aws: Aws) -> list[str]:
    call = aws.of("cloudformation", "deploy")
    return [word for word in call if word.startswith(("Gateway", "TlsPolicy"))]


def made_nothing(aws: Aws) -> bool:
    return not [call for call in aws.calls if call[:1] == ["cloudformation"] and call[1] != "describe-stacks"]


def first_deploy(aws: Aws) -> None:
    aws.responses["cloudformation describe-stacks"] = {"status": 254, "complains": "does not exist"}
    aws.responses["apigateway get-account"] = {"says": {"cloudwatchRoleArn": "arn:aws:iam::1:role/theirs"}}
    aws.write()


def test_a_first_deploy_takes_either_gateway(aws: Aws) -> None:
    first_deploy(aws)
    main([*FIRST, "--gateway", "http"])
    assert overrides(aws) == ["Gateway=http"], "an HTTP API needs no role for its log"
    assert not [call for call in aws.calls if call[:2] == ["apigateway", "get-account"]]


@pytest.mark.parametrize("given", ["", "rest"])
def test_a_rest_api_is_the_default(aws: Aws, given: str) -> None:
    first_deploy(aws)
    main([*FIRST, "--gateway", given])
    assert "GatewayLogging=there-already" in overrides(aws)
    assert "Gateway=http" not in overrides(aws)


def test_a_gateway_that_there_is_not_is_refused(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    first_deploy(aws)
    assert main([*FIRST, "--gateway", "graphql"]) == 1
    assert "use rest or http" in capsys.readouterr().err
    assert made_nothing(aws)


@pytest.mark.parametrize(
    ("parameter", "why"),
    [
        (f"TlsPolicy={STRICTER}", "has one security policy"),
        ("GatewayLogging=there-already", "without a role"),
    ],
)
def test_what_only_a_rest_api_has_is_refused_with_the_reason(
    aws: Aws, parameter: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first_deploy(aws)
    assert main([*FIRST, "--gateway", "http", "--parameters", parameter]) == 1
    shown = capsys.readouterr().err
    assert f"{parameter} is not for GATEWAY=http" in shown
    assert why in shown
    assert made_nothing(aws)


def test_a_policy_that_is_the_default_is_no_policy(aws: Aws) -> None:
    first_deploy(aws)
    main([*FIRST, "--gateway", "http", "--parameters", f"TlsPolicy={DEFAULT_POLICY}"])
    assert "Gateway=http" in overrides(aws)


def test_a_stricter_policy_of_a_stack_is_not_dropped_without_a_word(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(aws, TlsPolicy=STRICTER)
    assert main([*AGAIN, "--gateway", "http", "--confirm", "acme"]) == 1
    assert f"TlsPolicy={STRICTER}" in capsys.readouterr().err
    assert made_nothing(aws)
    back = f"TlsPolicy={DEFAULT_POLICY}"
    assert main([*AGAIN, "--gateway", "http", "--confirm", "acme", "--parameters", back]) == 0
    assert sorted(overrides(aws)) == ["Gateway=http", back]


@pytest.mark.parametrize(("before", "wanted"), [("rest", "http"), ("http", "rest"), ("", "http")])
@pytest.mark.parametrize("confirmed", ["", "acme2", "yes"])
def test_a_change_of_the_url_is_confirmed_first(
    aws: Aws, before: str, wanted: str, confirmed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(aws, **({"Gateway": before} if before else {}))
    assert main([*AGAIN, "--gateway", wanted, "--confirm", confirmed]) == 1
    shown = capsys.readouterr().err
    for told in ("https://abc.example/api", "Every caller", "Passkeys", "CONFIRM=acme"):
        assert told in shown
    assert made_nothing(aws)


def test_with_a_domain_name_the_mapping_is_what_changes(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(aws, PublicUrl="https://users.example.com")
    assert main([*AGAIN, "--gateway", "http"]) == 1
    shown = capsys.readouterr().err
    assert "Calls of https://users.example.com fail from the end of the deploy until you map" in shown
    assert "Passkeys" not in shown


def test_a_confirmed_change_is_made(aws: Aws) -> None:
    deployed(aws)
    assert main([*AGAIN, "--gateway", "http", "--confirm", "acme"]) == 0
    assert overrides(aws) == ["Gateway=http"]


@pytest.mark.parametrize("role", ["arn:aws:iam::1:role/theirs", ""])
def test_on_the_way_back_a_role_for_logs_that_is_there_is_left_alone(aws: Aws, role: str) -> None:
    deployed(aws, Gateway="http")
    aws.responses["apigateway get-account"] = {"says": {"cloudwatchRoleArn": role}}
    aws.write()
    assert main([*AGAIN, "--gateway", "rest", "--confirm", "acme"]) == 0
    assert ("GatewayLogging=there-already" in overrides(aws)) == bool(role)


@pytest.mark.parametrize("gateway", ["rest", "http"])
def test_a_stack_keeps_its_gateway(aws: Aws, gateway: str) -> None:
    deployed(aws, Gateway=gateway)
    assert main(AGAIN) == 0
    assert "--parameter-overrides" not in aws.of("cloudformation", "deploy")
    assert not [call for call in aws.calls if call[0] == "apigateway"]


def test_a_stack_with_a_web_acl_stays_as_it_is(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    """Even confirmed: a deploy removes nobody's firewall."""
    deployed(aws)
    aws.responses["apigateway get-stage"] = {"says": {"stageName": "api", "webAclArn": ACL}}
    aws.write()
    assert main([*AGAIN, "--gateway", "http", "--confirm", "acme"]) == 1
    assert ACL in capsys.readouterr().err
    assert made_nothing(aws)


def test_an_http_api_closes_its_endpoint_without_a_deployment(aws: Aws) -> None:
    deployed(aws, Gateway="http")
    assert main([*AGAIN, "--parameters", "DefaultEndpoint=closed"]) == 0
    assert not [call for call in aws.calls if call[0].startswith("apigateway")]


def test_the_template_refuses_the_policy_too() -> None:
    """For whoever deploys the template by other means."""
    template = json.loads(RESOURCES.read_text(encoding="utf-8"))
    assert template["Parameters"]["TlsPolicy"]["Default"] == DEFAULT_POLICY
    rule = template["Rules"]["TlsPolicyOfRestApis"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "Gateway"}, "http"]}
    [assertion] = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Equals": [{"Ref": "TlsPolicy"}, DEFAULT_POLICY]}
