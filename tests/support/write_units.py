"""Write units of a transaction by AWS's rule: 2 a KB for each item in it, and 1 a KB for each index entry.

DynamoDB Local counts by a rule of its own, so this counts from the items themselves.
"""

from collections import Counter
from math import ceil
from typing import Any

INDEXES = {
    "directory": {"byAccount": ("account", "listKey")},
    "events": {
        "bySubject": ("subjectKey", "id"),
        "byActor": ("actorKey", "id"),
        "waiting": ("waiting", "dueAt"),
    },
}
"""The indexes of each table, and the attributes that an item needs to be in them."""

KEYS_ONLY = {"waiting"}

_KINDS = {"KEY#": "pointer", "BUDGET#": "counter"}
"""Names for the kinds of items in Directory, by how their keys begin."""


def write_units(
    table: str, pk: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Counter[str]:
    """Return the units that writing one item in a transaction takes, for the item and for each index."""
    name = next((name for prefix, name in _KINDS.items() if pk.startswith(prefix)), table)
    size = max(_size(before), _size(after))
    units = Counter({name: 2 * ceil(size / 1024)})
    if before == after:
        return units
    for index, attributes in INDEXES[table].items():
        held = [it for it in (before, after) if it and all(key in it for key in attributes)]
        if held:
            part = 200 if index in KEYS_ONLY else max(map(_size, held))
            units[f"{name}, {index}"] = ceil(part / 1024)
    return units


def _size(value: Any) -> int:
    """Return the bytes that DynamoDB counts for an item or a value."""
    match value:
        case None:
            return 0
        case dict():
            return sum(len(name.encode()) + _size(it) for name, it in value.items()) + 3 + len(value)
        case list() | tuple():
            return sum(map(_size, value)) + 3 + len(value)
        case bytes():
            return len(value)
        case bool():
            return 1
        case int():
            return len(str(value)) // 2 + 2
    return len(str(value).encode())
