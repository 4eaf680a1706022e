"""Starts ministack, with what it lacks of AWS and the stack needs. Runs in an environment of its own.

It knows no alarms on an expression of metrics; here they are taken for alarms on one. It makes no composite
alarms from a template; here their rules are checked against the alarms that there are. And it creates a log
group that is there already; CloudFormation does not, and so neither does this. Where the file in
``EMULATOR_FAULTS`` names a type of resource, CloudFormation fails to create or update one. While there is a
file ``EMULATOR_SCHEDULES``, every rate is one a second.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from ministack.app import main
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

FAULTS = Path(os.environ["EMULATOR_FAULTS"])
SCHEDULES = Path(os.environ["EMULATOR_SCHEDULES"])
_alarm_record = provisioners._cw_metric_alarm_record
_seconds = eventbridge._parse_rate_seconds


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


def rate_seconds(expression: str) -> int | None:
    seconds: int | None = _seconds(expression)
    return min(1, seconds) if seconds and SCHEDULES.exists() else seconds


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
eventbridge._parse_rate_seconds = rate_seconds
eventbridge._SCHEDULER_TICK_INTERVAL = 1
for kind, handlers in provisioners._RESOURCE_HANDLERS.items():
    for operation in ("create", "update"):
        if operation in handlers:
            handlers[operation] = refusing(kind, handlers[operation])
groups = provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
groups["create"] = new_log_group(groups["create"])
main()
