"""DynamoDB's limits in front of DynamoDB Local, which has none: throttled partitions, and conflicts.

The functions reach the engine through an ``AwsProxy`` with these hooks. A call to a partition without units
is refused as DynamoDB refuses it, and so is a write of an item that a transaction under way has. Both count
by AWS's rule (``bench/write_units.py``); the counting reads each item before and after it is written.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.load.limits import Partitions, Place
from bench.write_units import Item, Write, partition, parts, table_of, writes_of
from local.package.aws_proxy import AwsProxy, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb import DynamoDBClient

    from bench.load.limits import Kind
    from local.package.aws_proxy import AwsCall

_HASH = re.compile(r"(#?\w+) = (:\w+)")
_THROTTLED = "Throughput exceeds the current capacity of your table or index."


class _Written(NamedTuple):
    write: Write
    before: Item | None


class LimitedEngine:
    """Hooks for an ``AwsProxy``: ``share`` of the published limits, or none, on these tables."""

    def __init__(
        self,
        client: DynamoDBClient,
        tables: dict[str, str],
        share: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._clock = clock
        self._names: dict[tuple[str, tuple[str, ...]], str] = {}
        self._indexes: dict[tuple[str, str], tuple[str, ...]] = {}
        self._tables = {}
        for logical, name in tables.items():
            described = client.describe_table(TableName=name)["Table"]
            self._tables[name] = table = table_of(described)
            self._names[name, table.key] = logical
            for index, (keys, _) in zip(
                described.get("GlobalSecondaryIndexes", ()), table.indexes, strict=True
            ):
                self._names[name, keys] = index["IndexName"]
                self._indexes[name, index["IndexName"]] = keys
        self.partitions = Partitions(share)
        self.calls: Counter[str] = Counter()
        self.conflicts = 0
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._here = threading.local()

    def proxy(self, engine: str) -> AwsProxy:
        """Return a proxy in front of the engine with these limits."""
        proxy = AwsProxy(engine)
        proxy.before, proxy.after = self.before, self.after
        return proxy

    def before(self, call: AwsCall) -> None:
        """Raise ServiceError for a call that DynamoDB would refuse now."""
        with self._lock:
            self.calls[call.operation] += 1
        writes = writes_of(call.operation, call.input, self._tables)
        self._here.written = written = [_Written(it, self._item(it)) for it in writes]
        if not writes:
            self._admit([place for place, _ in self._reads(call, units=False)], "reads", call)
            return
        self._admit([place for it in written for place in self._places(it)], "writes", call)
        self._begin(writes, call)

    def after(self, call: AwsCall) -> None:
        """Count what a call consumed."""
        written: list[_Written] = self._here.written
        self._end([it.write for it in written], call)
        if not written:
            with self._lock:
                for place, units in self._reads(call, units=True):
                    self.partitions.take(place, "reads", units)
            return
        found = [(it, self._item(it.write)) for it in written]
        with self._lock:
            for it, now in found:
                for part in parts(it.write, self._tables[it.write.table], it.before, now):
                    place = Place(self._names[it.write.table, part.keys], part.partition)
                    self.partitions.take(place, "writes", part.units)

    def _admit(self, places: list[Place], kind: Kind, call: AwsCall) -> None:
        with self._lock:
            refused = self.partitions.admit(places, kind, self._clock())
        if refused is not None:
            raise _refusal(call, "ThrottlingError", "ProvisionedThroughputExceededException", _THROTTLED)

    def _begin(self, writes: list[Write], call: AwsCall) -> None:
        items = [_identity(it) for it in writes]
        with self._lock:
            if any(self._under_way[it] for it in items):
                self.conflicts += 1
                raise _refusal(call, "TransactionConflict", "TransactionConflictException", "In conflict.")
            if call.operation == "TransactWriteItems":
                self._under_way.update(items)

    def _end(self, writes: list[Write], call: AwsCall) -> None:
        if call.operation == "TransactWriteItems":
            with self._lock:
                self._under_way.subtract(_identity(it) for it in writes)

    def _item(self, write: Write) -> Item | None:
        found = self._client.get_item(TableName=write.table, Key=write.key, ConsistentRead=True)
        return found.get("Item")

    def _places(self, written: _Written) -> list[Place]:
        """Return the partitions that a write certainly takes: the item's, and those of its index entries."""
        table, name = self._tables[written.write.table], written.write.table
        places = [Place(self._names[name, table.key], partition(table.key, written.write.key))]
        for keys, _ in table.indexes:
            if written.before is not None and all(key in written.before for key in keys):
                places.append(Place(self._names[name, keys], partition(keys, written.before)))
        return places

    def _reads(self, call: AwsCall, *, units: bool) -> list[tuple[Place, float]]:
        """Return the partitions that a call reads; with ``units``, as many as it consumes."""
        if call.operation == "GetItem":
            name, key = call.input["TableName"], call.input["Key"]
            return [(self._place(name, key), 1.0)]
        if call.operation == "BatchGetItem":
            asked = call.input["RequestItems"].items()
            return [(self._place(name, key), 1.0) for name, it in asked for key in it["Keys"]]
        if call.operation != "Query":
            return []
        found = _HASH.search(call.input["KeyConditionExpression"])
        assert found is not None, call.input["KeyConditionExpression"]
        [value] = call.input["ExpressionAttributeValues"][found[2]].values()
        name, index = call.input["TableName"], call.input.get("IndexName")
        keys = self._indexes[name, index] if index else self._tables[name].key
        place = Place(self._names[name, keys], str(value))
        if not units:
            return [(place, 0.0)]
        again: Any = {**call.input, "ReturnConsumedCapacity": "TOTAL"}
        return [(place, float(self._client.query(**again)["ConsumedCapacity"]["CapacityUnits"]))]

    def _place(self, name: str, key: Item) -> Place:
        table = self._tables[name]
        return Place(self._names[name, table.key], partition(table.key, key))


def _identity(write: Write) -> tuple[str, str]:
    return write.table, repr(sorted(write.key.items()))


def _refusal(call: AwsCall, reason: str, code: str, message: str) -> ServiceError:
    if call.operation != "TransactWriteItems":
        return ServiceError(400, code, message)
    reasons = [{"Code": reason, "Message": message}] * len(call.input["TransactItems"])
    return ServiceError(400, "TransactionCanceledException", message, CancellationReasons=reasons)
