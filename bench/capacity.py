"""Counts the calls of a DynamoDB client and the capacity units that they consume."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient

READS = frozenset({"BatchGetItem", "GetItem", "Query", "Scan"})
"""Operations that consume read units; all others consume write units."""


class CapacityMeter:
    """The calls so far, by operation, and the units consumed, by ``reads`` and ``writes``."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.units = {"reads": 0.0, "writes": 0.0}

    def request_capacity(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Ask for the consumed capacity in every call that can return it."""
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"

    def count(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        """Count one call and its units."""
        self.calls[model.name] += 1
        self.units["reads" if model.name in READS else "writes"] += consumed_units(parsed)


def consumed_units(response: dict[str, Any]) -> float:
    """Return the capacity units in a response of DynamoDB: one figure, or one for each table."""
    consumed = response.get("ConsumedCapacity", [])
    each = consumed if isinstance(consumed, list) else [consumed]
    return sum(float(one.get("CapacityUnits", 0.0)) for one in each)


@contextmanager
def metered(client: DynamoDBClient) -> Iterator[CapacityMeter]:
    """Count the client's calls while the block runs."""
    meter = CapacityMeter()
    events = client.meta.events
    events.register("provide-client-params.dynamodb", meter.request_capacity)
    events.register("after-call.dynamodb", meter.count)
    try:
        yield meter
    finally:
        events.unregister("provide-client-params.dynamodb", meter.request_capacity)
        events.unregister("after-call.dynamodb", meter.count)
