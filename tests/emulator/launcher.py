"""Starts ministack, with what it lacks of AWS and the stack needs. Runs in an environment of its own.

It knows no alarms on an expression of metrics; here they are taken for alarms on one. It makes no composite
alarms from a template; here their rules are checked against the alarms that there are. And it creates a log
group that is there already; CloudFormation does not, and so neither does this. It has no CodeDeploy; here an
alias moves at once. Its HTTP APIs know payload format 2.0 alone; here they send 1.0, as the stack's does. It
stores the settings of their stages in the template's spelling; here in the API's. Two attributes that one
expression sets to the same map are one map to it; here two. Its SES reports no bounces to EventBridge and
has no suppression list; here it does for its mailbox simulator. Where the file in ``EMULATOR_FAULTS`` names a
type of resource, CloudFormation fails to create or update one. While there is a file ``EMULATOR_SCHEDULES``,
every rate is one a second.
"""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from ministack.app import main
from ministack.services import apigateway, dynamodb, eventbridge, lambda_svc, ses_v2
from ministack.services.cloudformation import provisioners

FAULTS = Path(os.environ["EMULATOR_FAULTS"])
SCHEDULES = Path(os.environ["EMULATOR_SCHEDULES"])
_alarm_record = provisioners._cw_metric_alarm_record
_seconds = eventbridge._parse_rate_seconds
_set_value = dynamodb._eval_set_value
_stage_properties = provisioners._apigw_v2_stage_props
_handle_execute = apigateway._handle_execute_in_scope
_execute = lambda_svc._execute_function_with_config_scope
_handle_ses = ses_v2.handle_request
_suppressed: set[str] = set()


def alarm_record(name: str, properties: dict[str, Any]) -> Any:
    if "Metrics" in properties:
        properties = {**properties, "MetricName": "expression", "Namespace": "expression"}
        del properties["Metrics"]
    return _alarm_record(name, properties)


def composite_alarm(logical_id: str, properties: dict[str, Any], stack: str, *_more: Any) -> Any:
    from ministack.services import cloudwatch

    named = re.findall(r'ALARM\("([^"]+)"\)', properties["AlarmRule"])
    rest = re.sub(r'ALARM\("[^"]+"\)|FALSE| OR ', "", properties["AlarmRule"])
    if rest or not named or any(name not in cloudwatch._alarms for name in named):
        raise ValueError(f"The rule of {logical_id} names no alarms: {properties['AlarmRule']}")
    name = f"{stack}-{logical_id}"
    return name, {"Arn": f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"}


def updated_composite_alarm(
    name: str, _old: dict[str, Any], new: dict[str, Any], stack: str, *_more: Any
) -> Any:
    return composite_alarm(name.removeprefix(f"{stack}-"), new, stack)


def set_value(*arguments: Any) -> Any:
    return copy.deepcopy(_set_value(*arguments))


def rate_seconds(expression: str) -> int | None:
    seconds: int | None = _seconds(expression)
    return min(1, seconds) if seconds and SCHEDULES.exists() else seconds


def payload_1_0(event: dict[str, Any]) -> dict[str, Any]:
    """Return an HTTP API's event of payload format 2.0 in format 1.0."""
    context, http = event["requestContext"], event["requestContext"]["http"]
    route = event["routeKey"].rpartition(" ")[2]
    query = parse_qs(event["rawQueryString"], keep_blank_values=True)
    return {
        "version": "1.0",
        "resource": route,
        "path": event["rawPath"],
        "httpMethod": http["method"].upper(),
        "headers": event["headers"],
        "multiValueHeaders": {name: [value] for name, value in event["headers"].items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": event["pathParameters"],
        "stageVariables": None,
        "requestContext": {
            **{name: context[name] for name in ("accountId", "apiId", "domainName", "requestId", "stage")},
            "extendedRequestId": context["requestId"],
            "httpMethod": http["method"].upper(),
            "identity": {"sourceIp": http["sourceIp"], "userAgent": http["userAgent"]},
            "path": event["rawPath"],
            "protocol": http["protocol"],
            "resourceId": event["routeKey"],
            "resourcePath": route,
        },
        "body": event.get("body"),
        "isBase64Encoded": event["isBase64Encoded"],
    }


def stage_properties(properties: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = _stage_properties(properties)
    made["defaultRouteSettings"] = {
        name[0].lower() + name[1:]: float(value) if name.startswith("Throttling") else value
        for name, value in made["defaultRouteSettings"].items()
    }
    return made


async def handle_execute(api: str, stage: str, path: str, method: str, *more: Any, **others: Any) -> Any:
    # It responds to OPTIONS as an API with CORS does; in small letters it does not take it for that.
    has_cors = apigateway._apis.get(api, {}).get("corsConfiguration")
    method = method.lower() if method == "OPTIONS" and not has_cors else method
    return await _handle_execute(api, stage, path, method, *more, **others)


def execute(record: Any, event: Any, *more: Any, **others: Any) -> Any:
    if isinstance(event, dict) and event.get("version") == "2.0" and "routeKey" in event:
        event = payload_1_0(event)
    return _execute(record, event, *more, **others)


async def handle_ses(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
    address = unquote(path.rpartition("/suppression/addresses/")[2])
    if address != path and method in ("GET", "DELETE"):
        if address not in _suppressed:
            return 404, {"x-amzn-ErrorType": "NotFoundException"}, b'{"message": "not on the list"}'
        _suppressed.difference_update({address} if method == "DELETE" else ())
        found = {"EmailAddress": address, "Reason": "BOUNCE", "LastUpdateTime": 1_900_000_000}
        content = {"SuppressedDestination": found} if method == "GET" else {}
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
    response = await _handle_ses(method, path, headers, body, query)
    if path.endswith("/outbound-emails") and response[0] == 200:
        report(json.loads(body))
    return response


def report(sent: dict[str, Any]) -> None:
    """Report of an email to the mailbox simulator, where its configuration set says so."""
    [address] = sent["Destination"]["ToAddresses"]
    name = address.partition("@")[0].partition("+")[0]
    kinds = {"bounce": ("Bounce", "Email Bounced"), "complaint": ("Complaint", "Email Complaint Received")}
    of_set = ses_v2._config_sets.get(sent.get("ConfigurationSetName", ""), {})
    if not address.endswith("@simulator.amazonses.com") or name not in kinds:
        return
    _suppressed.add(address)
    kind, title = kinds[name]
    tags = {it["Name"]: [it["Value"]] for it in sent.get("EmailTags", ())}
    for destination in of_set.get("EventDestinations", {}).values():
        if kind.upper() in destination["MatchingEventTypes"] and "EventBridgeDestination" in destination:
            detail = {
                "eventType": kind,
                kind.lower(): {"bounceType": "Permanent"} if kind == "Bounce" else {},
                "mail": {
                    "destination": [address],
                    "tags": {"ses:configuration-set": [sent["ConfigurationSetName"]], **tags},
                },
            }
            entry = {"Source": "aws.ses", "DetailType": title, "Detail": json.dumps(detail)}
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def refusing(kind: str, function: Any) -> Any:
    def call(*arguments: Any, **more: Any) -> Any:
        if FAULTS.exists() and kind in json.loads(FAULTS.read_text(encoding="utf-8")):
            raise ValueError(f"not authorized to create {kind}")
        return function(*arguments, **more)

    return call


def new_log_group(function: Any) -> Any:
    def call(logical_id: str, properties: dict[str, Any], *more: Any, **others: Any) -> Any:
        from ministack.services import cloudwatch_logs

        if properties.get("LogGroupName") in cloudwatch_logs._log_groups:
            raise ValueError(f"{properties['LogGroupName']} already exists")
        return function(logical_id, properties, *more, **others)

    return call


provisioners._cw_metric_alarm_record = alarm_record
provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
    "create": composite_alarm,
    "update": updated_composite_alarm,
    "delete": lambda *_arguments: None,
}
for kind in ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"):
    provisioners._RESOURCE_HANDLERS[kind] = {
        "create": lambda logical_id, _properties, stack, *_more: (f"{stack}-{logical_id}", {}),
        "update": lambda name, *_more: (name, {}),
        "delete": lambda *_arguments: None,
    }
provisioners._apigw_v2_stage_props = stage_properties
apigateway._handle_execute_in_scope = handle_execute
lambda_svc._execute_function_with_config_scope = execute
ses_v2.handle_request = handle_ses
eventbridge._parse_rate_seconds = rate_seconds
dynamodb._eval_set_value = set_value
eventbridge._SCHEDULER_TICK_INTERVAL = 1
for kind, handlers in provisioners._RESOURCE_HANDLERS.items():
    for operation in ("create", "update"):
        if operation in handlers:
            handlers[operation] = refusing(kind, handlers[operation])
groups = provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
groups["create"] = new_log_group(groups["create"])
main()
