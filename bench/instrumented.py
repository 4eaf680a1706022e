"""A handler that runs in an environment, wraps the handler in MEASURED, and returns its result with timings.

``total`` is the wall time and ``cpu`` the CPU time of one invocation. ``waiting`` is the time from the last
byte of each AWS request to the first line of its response: DynamoDB and the connection to it. ``client`` is
all other time in botocore. The rest of ``total`` is the function's own time.
"""

import importlib
import os
import time
from http.client import HTTPResponse
from typing import Any

from botocore.client import BaseClient

_module, _, _name = os.environ["MEASURED"].partition(".")
_handler = getattr(importlib.import_module(_module), _name)
_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})
_waiting = 0.0
_in_client = 0.0
_calls: list[dict[str, Any]] = []
_read_status = HTTPResponse._read_status  # type: ignore[attr-defined]
_make_api_call = BaseClient._make_api_call  # type: ignore[attr-defined]


def _timed_read_status(self: HTTPResponse) -> Any:
    global _waiting
    began = time.perf_counter()
    try:
        return _read_status(self)
    finally:
        _waiting += time.perf_counter() - began


def _timed_api_call(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
    global _in_client
    if os.environ.get("CAPACITY") and operation != "SendEmail":
        parameters = {**parameters, "ReturnConsumedCapacity": "TOTAL"}
    began = time.perf_counter()
    response: dict[str, Any] = {}
    try:
        response = _make_api_call(self, operation, parameters)
    finally:
        _in_client += time.perf_counter() - began
        capacity = response.get("ConsumedCapacity", [])
        each = capacity if isinstance(capacity, list) else [capacity]
        units = sum(one["CapacityUnits"] for one in each)
        _calls.append({"operation": operation, "reads" if operation in _READS else "writes": units})
    return response


HTTPResponse._read_status = _timed_read_status  # type: ignore[attr-defined]
BaseClient._make_api_call = _timed_api_call  # type: ignore[attr-defined]


def handler(event: Any, context: Any) -> Any:
    """Invoke the wrapped handler, and return its result, the timings and the AWS calls."""
    global _waiting, _in_client
    _waiting = _in_client = 0.0
    _calls.clear()
    began, cpu = time.perf_counter(), time.process_time()
    result = _handler(event, context)
    total, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "result": result,
        "total": total,
        "cpu": cpu,
        "waiting": _waiting,
        "client": _in_client - _waiting,
        "calls": list(_calls),
    }
