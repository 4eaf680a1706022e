"""Counts the calls of a DynamoDB client and the capacity units that they consume: writes by AWS's rule."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.write_units import UnitMeter, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_dynamodb import DynamoDBClient

READS = frozenset({"BatchGetItem", "GetItem", "Query", "Scan"})
"""Operations that consume read units, as DynamoDB Local counts them; all others consume write units."""


class CapacityMeter:
    """The calls so far, by operation, and the units consumed, by ``reads`` and ``writes``.

    ``seconds`` and ``cpu`` are what counting took: it reads each item before and after it is written.
    """

    def __init__(self, client: DynamoDBClient) -> None:
        self.calls: Counter[str] = Counter()
        self.units = {"reads": 0.0, "writes": 0.0}
        self.seconds = self.cpu = 0.0
        names = client.list_tables()["TableNames"]
        tables = {name: table_of(client.describe_table(TableName=name)["Table"]) for name in names}
        self._writes = UnitMeter(tables, client.get_item)
        self._counting = False

    def before(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        """Ask for the consumed capacity in every call that can return it, and note what is to be written."""
        if not self._counting:
            if "ReturnConsumedCapacity" in model.input_shape.members:
                params["ReturnConsumedCapacity"] = "TOTAL"
            with self._aside():
                context["bench_writes"] = self._writes.before(model.name, params)

    def after(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        """Count one call and its units."""
        if self._counting:
            return
        self.calls[model.name] += 1
        if model.name in READS:
            self.units["reads"] += _consumed(parsed)
        elif "Error" not in parsed:
            with self._aside():
                self.units["writes"] += self._writes.after(context["bench_writes"])

    @contextmanager
    def _aside(self) -> Iterator[None]:
        began, cpu = time.perf_counter(), time.process_time()
        self._counting = True
        try:
            yield
        finally:
            self._counting = False
            self.seconds += time.perf_counter() - began
            self.cpu += time.process_time() - cpu


def _consumed(response: Mapping[str, Any]) -> float:
    """Return the capacity units in a response of DynamoDB: one figure, or one for each table."""
    consumed = response.get("ConsumedCapacity", [])
    each = consumed if isinstance(consumed, list) else [consumed]
    return sum(float(one.get("CapacityUnits", 0.0)) for one in each)


@contextmanager
def metered(client: DynamoDBClient) -> Iterator[CapacityMeter]:
    """Count the client's calls while the block runs."""
    meter = CapacityMeter(client)
    events = client.meta.events
    events.register("provide-client-params.dynamodb", meter.before)
    events.register("after-call.dynamodb", meter.after)
    try:
        yield meter
    finally:
        events.unregister("provide-client-params.dynamodb", meter.before)
        events.unregister("after-call.dynamodb", meter.after)
