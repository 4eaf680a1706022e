"""Shifts calls to a new version over minutes, and back if an alarm is raised: ``make deploy SHIFT=…``.

SAM publishes a version of each function and moves the alias ``live`` to it by CodeDeploy. The API and the
authorizer are shifted, since they respond to somebody: a part of the calls goes to the new version, and the
rest is served as before. The others are not:

- ``verify``: its URL belongs to the function; an alias has another URL, and its callers know this one.
- ``notify``, ``publish``, ``archive``: what fails is tried again, so nobody sees a failure. A part of the
  batches would fail, and be repeated by the other version.
- ``resend``, ``enforce_policies``: a call a minute or an hour says nothing about a part of them.
- ``create_account``, ``recover_owner``: the operator calls them by hand, now and then.

Without a preference the template stays as it was. docs/operations.md: Shift calls to a new version.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.aws_cli import DeployError
from deploy.package import CODE, TEMPLATE

ALIAS = "live"
OFF = "off"
SHIFTED = ("APIHandler", "Authorizer")
"""The functions whose calls are shifted."""
AT_ONCE = "AllAtOnce"
"""The alias moves at once, and no alarm stops it: for a roll-back while alarms are raised."""
PREFERENCES = (
    AT_ONCE,
    *(f"Canary10Percent{minutes}Minutes" for minutes in (5, 10, 15, 30)),
    *(f"Linear10PercentEvery{minutes}" for minutes in ("1Minute", "2Minutes", "3Minutes", "10Minutes")),
)
AUTHORIZER_ALARM = "AuthorizerFailsAlarm"
ALARMS = ("ServerErrorsAlarm", "LatencyAlarm", "AccessDeniedAlarm", AUTHORIZER_ALARM)
"""What stops a shift and turns it back: the API responds with errors (as it does if its function fails) or
slowly, a role denies a call, the authorizer fails. Not the alarms that name every function: the mailers need
the API's address, the API its alias, and the alias its alarms, which would be a circle."""
OUTPUT = "Shift"
ROLE = "ShiftRole"

_VERSIONED = (
    *("Handler", "Runtime", "Architectures", "MemorySize", "Timeout", "Role"),
    *("Environment", "LoggingConfig", "Tracing"),
)
"""The properties of a function that a published version keeps."""


def preference_to_deploy(asked: str, deployed: Mapping[str, str]) -> str:
    """Return the preference of a deploy, or nothing for none: what is asked for, or what the stack has.

    ``deployed`` are the stack's outputs. Raises DeployError for one that there is not.
    """
    chosen = asked or deployed.get(OUTPUT, OFF)
    if chosen == OFF:
        return ""
    if chosen not in PREFERENCES:
        raise DeployError(f"SHIFT={chosen}: use {OFF} or one of {', '.join(PREFERENCES)}.")
    return chosen


def shift_template(folder: Path, preference: str, parameters: Mapping[str, str]) -> str:
    """Let the template of a package shift calls, as ``shift`` says; return the name of the release."""
    file = folder / TEMPLATE
    template = json.loads(file.read_text(encoding="utf-8"))
    if preference:
        shift(template, preference, (folder / CODE).read_bytes(), parameters)
        file.write_text(json.dumps(template, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    name: str = template["Outputs"]["Release"]["Value"]
    return name


def shift(template: dict[str, Any], preference: str, code: bytes, parameters: Mapping[str, str]) -> None:
    """Let a template shift calls, in place.

    ``code`` is the package and ``parameters`` the values that the stack will have. SAM itself publishes a
    version only if the template changes; a parameter such as a budget is a change too.
    """
    resources = template["Resources"]
    values = {name: str(it["Default"]) for name, it in template["Parameters"].items() if "Default" in it}
    values.update(parameters)
    for name in SHIFTED:
        properties = resources[name]["Properties"]
        properties["AutoPublishAlias"] = ALIAS
        properties["AutoPublishCodeSha256"] = _digest(properties, code, values)
        properties["DeploymentPreference"] = {
            "Type": preference,
            "Role": {"Fn::GetAtt": [ROLE, "Arn"]},
            **({} if preference == AT_ONCE else {"Alarms": [{"Ref": alarm} for alarm in ALARMS]}),
        }
    _call_alias(resources, "APIHandler")
    resources["AuthorizerAliasPermission"] = _of_alias(resources["AuthorizerPermission"], "Authorizer")
    resources[AUTHORIZER_ALARM] = _authorizer_alarm(resources)
    resources[ROLE] = _role(resources["APIHandlerRole"]["Properties"]["PermissionsBoundary"])
    template["Outputs"][OUTPUT] = {"Description": "How calls shift to a new version", "Value": preference}
    template["Outputs"]["ShiftApplication"] = {
        "Description": "CodeDeploy's application, which shifts calls",
        "Value": {"Ref": "ServerlessDeploymentApplication"},  # SAM's name for it
    }
    template["Outputs"]["AuthorizerAliasArn"] = {
        "Description": "ARN of the authorizer whose calls are shifted, for your own APIs",
        "Value": {"Ref": "Authorizer.Alias"},
        "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-AuthorizerAliasArn"}},
    }


def _digest(properties: Mapping[str, Any], code: bytes, values: Mapping[str, str]) -> str:
    """Return what tells one version of a function from the next."""
    kept = {name: properties[name] for name in _VERSIONED if name in properties}
    used = {name: values[name] for name in sorted(_references(kept)) if name in values}
    described = json.dumps([kept, used], sort_keys=True).encode()
    return hashlib.sha256(hashlib.sha256(code).digest() + described).hexdigest()


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "Ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _call_alias(resources: dict[str, Any], function: str) -> None:
    """Let every gateway of the stack call a function's alias."""
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Lambda::Permission":
            if resource["Properties"]["FunctionName"] == {"Ref": function}:
                resources[name] = _of_alias(resource, function)
        elif resource["Type"] == "AWS::Serverless::Api":
            definition = resource["Properties"]["DefinitionBody"]
            resource["Properties"]["DefinitionBody"] = _with_alias(definition, function)
        elif resource.get("Properties", {}).get("IntegrationUri") == {"Fn::GetAtt": [function, "Arn"]}:
            resource["Properties"]["IntegrationUri"] = {"Ref": f"{function}.Alias"}  # of an HTTP API


def _of_alias(permission: dict[str, Any], function: str) -> dict[str, Any]:
    copied = copy.deepcopy(permission)
    copied["Properties"]["FunctionName"] = {"Ref": f"{function}.Alias"}
    return copied


def _with_alias(node: Any, function: str) -> Any:
    if isinstance(node, dict):
        return {name: _with_alias(value, function) for name, value in node.items()}
    if isinstance(node, list):
        return [_with_alias(value, function) for value in node]
    if isinstance(node, str):
        return node.replace(f"${{{function}.Arn}}/invocations", f"${{{function}.Alias}}/invocations")
    return node


def _authorizer_alarm(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alarm of the authorizer's failures alone, with the recipients of the others."""
    [metric] = resources["AuthorizerFailures"]["Properties"]["MetricTransformations"]
    properties = resources["AccessDeniedAlarm"]["Properties"] | {
        "AlarmDescription": "The authorizer fails. docs/operations.md: Function errors.",
        "Threshold": {"Ref": "AlarmFunctionErrors"},
        "Namespace": metric["MetricNamespace"],
        "MetricName": metric["MetricName"],
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}


def _role(boundary: Any) -> dict[str, Any]:
    """Return the role with which CodeDeploy moves the aliases: only these, and reads alarms."""
    function = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:"
    arns = [{"Fn::Sub": f"{function}${{{name}}}{it}"} for name in SHIFTED for it in ("", ":*")]
    statements = [
        {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"],
            "Resource": arns,
        },
    ]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "PermissionsBoundary": boundary,
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "codedeploy.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            "Policies": [
                {
                    "PolicyName": "Permissions",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                }
            ],
        },
    }
