"""CloudWatch in small: from log lines and AWS's metrics to the alarms of the template.

Everything is taken to be in one period, and to go on for as many periods as an alarm asks for. It knows what
the template's alarms use, and raises ValueError for anything else.
"""

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from local.package.template import Template
from tests.support.filter_patterns import matches

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}
_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max, "Minimum": min}

Metric = tuple[str, str, frozenset[tuple[str, str]]]


def lambda_line(record: logging.LogRecord) -> dict[str, Any]:
    """Return a log record as a line of Lambda's JSON log format."""
    line = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    line.update(level=record.levelname, message=record.getMessage())
    if record.exc_info and record.exc_info[0]:
        kind, error, _ = record.exc_info
        line.update(errorType=kind.__name__, errorMessage=str(error), stackTrace=traceback.format_tb(_))
    whole: dict[str, Any] = json.loads(json.dumps(line, default=str))
    return whole


class _Collector(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


class Monitoring:
    """The metric filters and alarms of a stack. Its schedules have run."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self.samples: dict[Metric, list[float]] = {}
        for name in ("Resend", "EnforcePolicies"):
            self.add("AWS/Lambda", "Invocations", 1, FunctionName=name)

    def add(self, namespace: str, name: str, value: float, **dimensions: str) -> None:
        """Add a sample of a metric, as AWS does."""
        metric = (namespace, name, frozenset(dimensions.items()))
        self.samples.setdefault(metric, []).append(value)

    def total(self, name: str, **dimensions: str) -> float:
        """Return the sum of one of the stack's own metrics."""
        found = self.samples.get(("ServiceUsers/service-users-test", name, frozenset(dimensions.items())), [])
        return sum(found)

    def log(self, group: str, line: Mapping[str, Any]) -> None:
        """Pass a line to the metric filters of a log group, given by its logical name."""
        for name in self._template.of_type("AWS::Logs::MetricFilter"):
            properties = self._template.properties(name)
            if not self._template.exists(name) or properties["LogGroupName"] != group:
                continue
            if matches(properties["FilterPattern"], line):
                [made] = properties["MetricTransformations"]
                value = made["MetricValue"]
                number = float(line[value.removeprefix("$.")] if value.startswith("$.") else value)
                dimensions = {
                    it["Key"]: str(line[it["Value"].removeprefix("$.")]) for it in made.get("Dimensions", ())
                }
                self.add(made["MetricNamespace"], made["MetricName"], number, **dimensions)

    @property
    def api(self) -> dict[str, str]:
        """The dimensions of the metrics of the stack's API."""
        if self._template.exists("HttpApi"):
            return {"ApiId": "HttpApi", "Stage": "$default"}
        return {"ApiName": "service-users-test", "Stage": "api"}

    def respond(self, status: int, refused_by_gateway: str = "-") -> None:
        """Add what API Gateway measures and logs of one response."""
        is_http_api = self._template.exists("HttpApi")
        server_errors, client_errors = ("5xx", "4xx") if is_http_api else ("5XXError", "4XXError")
        self.add("AWS/ApiGateway", server_errors, int(status >= 500), **self.api)
        self.add("AWS/ApiGateway", client_errors, int(400 <= status < 500), **self.api)
        values = {"$context.status": str(status)}
        if refused_by_gateway == "-":
            values["$context.integration.requestId"] = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
        if is_http_api:
            logged = json.loads(self._template.properties("HttpApiStage")["AccessLogSettings"]["Format"])
        else:
            logged = json.loads(self._template.properties("RestAPI")["AccessLogSetting"]["Format"])
            values["$context.error.responseType"] = refused_by_gateway
        self.log("AccessLog", {name: values.get(value, "-") for name, value in logged.items()})

    @contextmanager
    def running(self, group: str) -> Iterator[None]:
        """Pass what the block logs to a log group's filters."""
        records: list[logging.LogRecord] = []
        handler = _Collector(records)
        handler.setLevel(logging.INFO)
        logging.getLogger("chalicelib").addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger("chalicelib").removeHandler(handler)
        for record in records:
            self.log(group, lambda_line(record))

    def raised(self) -> set[str]:
        """Return the alarms that are raised, without the composite ones."""
        names = self._template.of_type("AWS::CloudWatch::Alarm")
        return {name for name in names if self._template.exists(name) and self._is_raised(name)}

    def composites(self) -> set[str]:
        """Return the composite alarms that are raised."""
        raised, found = self.raised(), set()
        for name in self._template.of_type("AWS::CloudWatch::CompositeAlarm"):
            rule = self._template.properties(name)["AlarmRule"]
            for term in rule.split(" OR "):
                named = re.fullmatch(r'ALARM\("(\w+)"\)', term)
                if named is None and term != "FALSE":
                    raise ValueError(f"Cannot evaluate {term!r}.")
                if named is not None and named[1] in raised:
                    found.add(name)
        return found

    def _is_raised(self, name: str) -> bool:
        properties = self._template.properties(name)
        value = (
            self._expression(properties["Metrics"]) if "Metrics" in properties else self._value(properties)
        )
        if value is None:
            return bool(properties["TreatMissingData"] == "breaching")
        return _BREACHES[properties["ComparisonOperator"]](value, float(properties["Threshold"]))

    def _expression(self, metrics: list[dict[str, Any]]) -> float:
        [expression] = [it["Expression"] for it in metrics if "Expression" in it]
        named = re.findall(r"FILL\((m\d+), 0\)", expression)
        if " + ".join(f"FILL({name}, 0)" for name in named) != expression:
            raise ValueError(f"Cannot evaluate {expression!r}.")
        stats = {it["Id"]: it["MetricStat"] for it in metrics if "MetricStat" in it}
        if set(named) != stats.keys():
            raise ValueError(f"Not every metric is in {expression!r}.")
        values = (self._value({**it["Metric"], "Statistic": it["Stat"]}) for it in stats.values())
        return sum(value or 0 for value in values)

    def _value(self, metric: dict[str, Any]) -> float | None:
        dimensions = frozenset((it["Name"], it["Value"]) for it in metric.get("Dimensions", ()))
        found = self.samples.get((metric["Namespace"], metric["MetricName"], dimensions))
        if not found:
            return None
        return _STATISTICS[metric.get("Statistic", "Maximum")](found)  # p99 of a handful is the largest
