"""Moving a stack's data to another region: a copy of both tables in a folder, and from there into others.

    FOLDER/directory-00000.jsonl   items of table Directory, one a line, in DynamoDB's JSON
    FOLDER/events-00000.jsonl      items of table Events
    FOLDER/manifest.json           written last: how many items each table had, and the digest of each file

The folder holds digests of keys and personal data, so nobody else may read it. Counters of budgets are left
out; they end by themselves within a day.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalicelib.store import counters
from deploy import private_files
from deploy.maintenance import write_items

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Names = dict[str, str]
"""The names of the tables in AWS, by ``directory`` and ``events``."""

MANIFEST = "manifest.json"
_LINES = 5000
"""Lines of a file."""


def dump(
    client: "DynamoDBClient", names: Names, folder: Path, report: Callable[[str], None] = print
) -> dict[str, int]:
    """Write every item of both tables into an empty folder; return how many of each.

    Nothing may change meanwhile. Raises LookupError if the folder has something in it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise LookupError(
            f"{folder} is not empty. An interrupted copy cannot be continued: take a new folder."
        )
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    for kind, table in names.items():
        counts[kind] = 0
        lines: list[str] = []
        for number, line in enumerate(map(_line, _items(client, table)), 1):
            lines.append(line)
            counts[kind] = number
            if number % _LINES == 0:
                digests |= _write_file(folder, kind, number // _LINES - 1, lines)
                lines = []
                report(f"{kind}: {number} items.")
        if lines:
            digests |= _write_file(folder, kind, counts[kind] // _LINES, lines)
    manifest = {"counts": counts, "files": digests}
    private_files.write(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return counts


def load(
    client: "DynamoDBClient", names: Names, folder: Path, report: Callable[[str], None] = print
) -> dict[str, int]:
    """Write the items of a folder into both tables, and check that they are there; return how many of each.

    The tables must be empty, or have items of this copy alone, as after an interruption: then run it again.
    Raises LookupError for a folder that is incomplete or was changed, and for tables with other items; these
    are left as they are.
    """
    manifest = _manifest(folder)
    for kind, table in names.items():
        expected = {_key(item) for item in _read(folder, manifest, kind)}
        if others := [key for key in map(_key, _items(client, table)) if key not in expected]:
            raise LookupError(f"The table {table} has {len(others)} items that are not in {folder}.")
    for kind, table in names.items():
        batch: list[Any] = []
        for number, item in enumerate(_read(folder, manifest, kind), 1):
            batch.append({"PutRequest": {"Item": item}})
            if len(batch) == 500:
                write_items(client, table, batch)
                batch = []
                report(f"{kind}: {number} items.")
        write_items(client, table, batch)
    for kind, table in names.items():
        present = sum(1 for _ in _items(client, table))
        if present != manifest["counts"][kind]:
            raise LookupError(f"The table {table} has {present} items and not {manifest['counts'][kind]}.")
    return dict(manifest["counts"])


def _items(client: "DynamoDBClient", table: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            if not item.get("pk", {}).get("S", "").startswith(counters.BUDGET):
                yield dict(item)


def _key(item: Item) -> tuple[str, ...]:
    names = ("pk",) if "pk" in item else ("account", "id")
    return tuple(item[name]["S"] for name in names)


def _line(item: Item) -> str:
    return json.dumps(item, default=_encoded, separators=(",", ":"), ensure_ascii=False)


def _encoded(value: Any) -> str:
    return base64.b64encode(bytes(value)).decode()


def _decoded(attribute: Item) -> Item:
    [(kind, value)] = attribute.items()
    if kind == "B":
        return {"B": base64.b64decode(value)}
    if kind == "M":
        return {"M": {name: _decoded(inner) for name, inner in value.items()}}
    if kind == "L":
        return {"L": [_decoded(inner) for inner in value]}
    return {kind: value}


def _write_file(folder: Path, kind: str, number: int, lines: list[str]) -> dict[str, str]:
    text = "\n".join(lines) + "\n"
    name = f"{kind}-{number:05}.jsonl"
    private_files.write(folder / name, text)
    return {name: hashlib.sha256(text.encode()).hexdigest()}


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.exists():
        raise LookupError(f"{file} is missing: the copy was not finished.")
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for name, digest in manifest["files"].items():
        part = folder / name
        if not part.exists() or hashlib.sha256(part.read_bytes()).hexdigest() != digest:
            raise LookupError(f"{part} is missing, or was changed.")
    return manifest


def _read(folder: Path, manifest: dict[str, Any], kind: str) -> Iterator[Item]:
    """Yield the items of a table, from the files that the manifest names, whatever else the folder has."""
    for name in sorted(it for it in manifest["files"] if it.startswith(f"{kind}-")):
        for line in (folder / name).read_text(encoding="utf-8").split("\n"):
            if line:
                yield {name: _decoded(attribute) for name, attribute in json.loads(line).items()}
