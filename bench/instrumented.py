"""A handler that runs in an environment, wraps the handler in MEASURED, and returns its result with timings.

``total`` is the wall time and ``cpu`` the CPU time of one invocation. ``waiting`` is the time from the last
byte of each AWS request to the first line of its response: DynamoDB and the connection to it. ``client`` is
all other time in botocore. The rest of ``total`` is the function's own time. An event ``{"idle": EVENT}``
first drops the clients' connections, as an idle time does.
"""

import importlib
import json
import os
import time
from http.client import HTTPResponse
from typing import Any

from botocore.client import BaseClient
from write_units import UnitMeter, table_of  # type: ignore[import-not-found]  # beside this file, in the environment

_module, _, _name = os.environ["MEASURED"].partition(".")
_handler = getattr(importlib.import_module(_module), _name)
_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})
_waiting = 0.0
_in_client = 0.0
_calls: list[dict[str, Any]] = []
_clients: set[BaseClient] = set()
_tables = {name: table_of(table) for name, table in json.loads(os.environ.get("TABLES") or "{}").items()}
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
    _clients.add(self)
    meter = None
    if _tables and operation != "SendEmail":
        parameters = {**parameters, "ReturnConsumedCapacity": "TOTAL"}
        meter = UnitMeter(_tables, lambda **key: _make_api_call(self, "GetItem", key))
        written = meter.before(operation, parameters)
    began = time.perf_counter()
    response: dict[str, Any] = {}
    try:
        response = _make_api_call(self, operation, parameters)
    finally:
        _in_client += time.perf_counter() - began
        call: dict[str, Any] = {"operation": operation}
        if meter and operation in _READS:
            capacity = response.get("ConsumedCapacity", [])
            each = capacity if isinstance(capacity, list) else [capacity]
            call["reads"] = sum(one["CapacityUnits"] for one in each)
        elif meter and response:
            call["writes"] = meter.after(written)
        _calls.append(call)
    return response


HTTPResponse._read_status = _timed_read_status  # type: ignore[attr-defined]
BaseClient._make_api_call = _timed_api_call  # type: ignore[attr-defined]


def handler(event: Any, context: Any) -> Any:
    """Invoke the wrapped handler, and return its result, the timings and the AWS calls."""
    global _waiting, _in_client
    if "idle" in event:
        for client in _clients:
            client._endpoint.http_session.close()  # type: ignore[attr-defined]
        event = event["idle"]
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
