"""What a write costs by AWS's rule, from the items before and after it.

DynamoDB Local tells other numbers for transactions: four units for one small Put, whatever its size. AWS
takes one unit for each KB of an item that is written, two in a transaction (a condition that is only checked
counts as a write), and one for each KB of every index entry that is written or removed, in a transaction or
not. This imports nothing but the standard library: it also runs in the environments that are measured.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Item = Mapping[str, Any]
"""An item as the API has it: attribute names to ``{"S": …}`` and the like."""


class Table(NamedTuple):
    """The keys of a table, and of each of its indexes with what is projected there (None: everything)."""

    key: tuple[str, ...]
    indexes: tuple[tuple[tuple[str, ...], frozenset[str] | None], ...]


class Write(NamedTuple):
    """One item that a call writes, deletes or checks."""

    table: str
    key: dict[str, Any]
    units: int


def table_of(description: Mapping[str, Any]) -> Table:
    """Return a table from the response of DescribeTable."""
    key = _names(description["KeySchema"])
    indexes = []
    for index in description.get("GlobalSecondaryIndexes", ()):
        own, projection = _names(index["KeySchema"]), index["Projection"]
        everything = projection["ProjectionType"] == "ALL"
        kept = None if everything else frozenset((*key, *own, *projection.get("NonKeyAttributes", ())))
        indexes.append((own, kept))
    return Table(key, tuple(indexes))


def writes_of(operation: str, parameters: Mapping[str, Any], tables: Mapping[str, Table]) -> list[Write]:
    """Return what a call writes, each with the units of a KB of its item; nothing for a call that reads."""
    if operation == "TransactWriteItems":
        each = [(one, 2) for entry in parameters["TransactItems"] for one in entry.values()]
    elif operation == "BatchWriteItem":
        each = [
            ({"TableName": table, "Item" if "Item" in one else "Key": one.get("Item") or one["Key"]}, 1)
            for table, entries in parameters["RequestItems"].items()
            for entry in entries
            for one in entry.values()
        ]
    elif operation in ("PutItem", "UpdateItem", "DeleteItem"):
        each = [(dict(parameters), 1)]
    else:
        return []
    return [
        Write(one["TableName"], _key(one.get("Item") or one["Key"], tables[one["TableName"]]), units)
        for one, units in each
    ]


def units(write: Write, table: Table, before: Item | None, after: Item | None) -> int:
    """Return the write units of one item, with those of its index entries."""
    return sum(part.units for part in parts(write, table, before, after))


class Part(NamedTuple):
    """What a write costs one partition: of the table, or of the index with these keys."""

    keys: tuple[str, ...]
    partition: str
    units: int


def parts(write: Write, table: Table, before: Item | None, after: Item | None) -> list[Part]:
    """Return the write units of one item, by the partitions that take them."""
    own = write.units * max(_kilobytes(before), _kilobytes(after), 1)
    found = [Part(table.key, partition(table.key, write.key), own)]
    for keys, kept in table.indexes:
        found += _index_parts(keys, kept, table, before, after)
    return found


def partition(keys: tuple[str, ...], item: Item) -> str:
    """Return the value of an item's partition key in the table or index with these keys."""
    [value] = item[keys[0]].values()
    return str(value)


def _index_parts(
    own: tuple[str, ...], kept: frozenset[str] | None, table: Table, before: Item | None, after: Item | None
) -> list[Part]:
    old, new = _entry(own, kept, before), _entry(own, kept, after)
    if old == new:
        return []
    if old and new and all(old[name] == new[name] for name in (*own, *table.key)):
        return [Part(own, partition(own, new), max(_kilobytes(old), _kilobytes(new)))]
    # Removed, added, or moved: which is both.
    return [Part(own, partition(own, it), _kilobytes(it)) for it in (old, new) if it is not None]


def _entry(own: Iterable[str], kept: frozenset[str] | None, item: Item | None) -> Item | None:
    if item is None or any(name not in item for name in own):
        return None
    return item if kept is None else {name: value for name, value in item.items() if name in kept}


def _names(schema: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(one["AttributeName"] for one in schema)


def _key(item: Item, table: Table) -> dict[str, Any]:
    return {name: item[name] for name in table.key}


def _kilobytes(item: Item | None) -> int:
    return 0 if item is None else -(-size(item) // 1024)


def size(item: Item) -> int:
    """Return the bytes of an item as DynamoDB counts them: the names and the values of its attributes."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content.lstrip("-").replace(".", "").strip("0")) // 2 + 2
        case "B":
            return len(content)
        case "M":
            return 3 + len(content) + size(content)
        case "L":
            return 3 + len(content) + sum(_value_size(one) for one in content)
        case "SS" | "NS" | "BS":
            return sum(_value_size({kind[0]: one}) for one in content)
        case _:
            return 1


class UnitMeter:
    """Counts a client's write units: call ``before`` with what is sent and ``after`` when it took effect.

    ``get`` reads an item: TableName and Key to the response of GetItem.
    """

    def __init__(self, tables: Mapping[str, Table], get: Any) -> None:
        self._tables, self._get = tables, get

    def before(self, operation: str, parameters: Mapping[str, Any]) -> list[tuple[Write, Item | None]]:
        """Return what the call is to write, with the items as they are."""
        return [(write, self._read(write)) for write in writes_of(operation, parameters, self._tables)]

    def after(self, written: list[tuple[Write, Item | None]]) -> int:
        """Return the units of a call that took effect."""
        return sum(
            units(write, self._tables[write.table], before, self._read(write)) for write, before in written
        )

    def _read(self, write: Write) -> Item | None:
        found: Item | None = self._get(TableName=write.table, Key=write.key, ConsistentRead=True).get("Item")
        return found
