"""Direct access to moto's tables, for what would take its API too long in thousands of tests.

Its Scan takes three milliseconds an item, and creating a table takes as long as ten calls.
"""

from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from chalicelib.store.items import from_attribute


def _table(name: str) -> Any:
    return dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables.get(name)


def items(name: str) -> list[dict[str, Any]] | None:
    """Return every item of a table as plain values; None if the table is not moto's."""
    table = _table(name)
    if table is None:
        return None
    return [{field: _plain(value) for field, value in item.attrs.items()} for item in table.all_items()]


def empty(name: str) -> bool:
    """Empty a table and its stream; return False if moto has no such table."""
    table = _table(name)
    if table is None:
        return False
    table.items.clear()
    table.set_stream_specification(table.stream_specification)
    return True


def _plain(stored: Any) -> Any:
    match stored.type:
        case "M":
            return {name: _plain(field) for name, field in stored.value.items()}
        case "L":
            return [_plain(member) for member in stored.value]
        case "N" if "." in stored.value:  # as a later version may store
            return float(stored.value)
    return from_attribute({stored.type: stored.value})
