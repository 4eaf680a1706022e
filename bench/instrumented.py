"""Runs in an environment around a handler: answers what it answered, and what it took.

``total`` is the time it took, ``worked`` the processor's part of it. ``waited`` is the time from a
request's last byte until its answer's first line was there: DynamoDB and the way to it. ``client`` is
all other time in AWS's client. What these two leave of ``total`` is the function's own.
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
_waited = 0.0
_in_client = 0.0
_calls: list[dict[str, Any]] = []
_read_status = HTTPResponse._read_status
_make_api_call = BaseClient._make_api_call


def _timed_read_status(self: HTTPResponse) -> Any:
    global _waited
    began = time.perf_counter()
    try:
        return _read_status(self)
    finally:
        _waited += time.perf_counter() - began


def _timed_api_call(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
    global _in_client
    if os.environ.get("CAPACITY") and operation != "SendEmail":
        parameters = {**parameters, "ReturnConsumedCapacity": "TOTAL"}
    began = time.perf_counter()
    answer: dict[str, Any] = {}
    try:
        answer = _make_api_call(self, operation, parameters)
    finally:
        _in_client += time.perf_counter() - began
        capacity = answer.get("ConsumedCapacity", [])
        each = capacity if isinstance(capacity, list) else [capacity]
        units = sum(one["CapacityUnits"] for one in each)
        _calls.append({"operation": operation, "reads" if operation in _READS else "writes": units})
    return answer


HTTPResponse._read_status = _timed_read_status
BaseClient._make_api_call = _timed_api_call


def handler(event: Any, context: Any) -> Any:
    global _waited, _in_client
    _waited = _in_client = 0.0
    _calls.clear()
    began, worked = time.perf_counter(), time.process_time()
    answer = _handler(event, context)
    total, worked = time.perf_counter() - began, time.process_time() - worked
    return {
        "answer": answer,
        "total": total,
        "worked": worked,
        "waited": _waited,
        "client": _in_client - _waited,
        "calls": list(_calls),
    }
