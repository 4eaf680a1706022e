"""Export of the audit trail as JSON lines by account and day, and the check that no event is missing.

    FOLDER/ACCOUNT/2026-11-27.jsonl      one event a line, the oldest first, as the API shows it
    FOLDER/ACCOUNT/manifest.json         for each day the number of events and their chained digest

The digest of a day starts as SHA-256 of the account and the day, and takes each event in: SHA-256 of the
digest so far and the event. So who keeps the manifest sees whether a line was changed, added, taken out or
moved.
"""

import hashlib
import heapq
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.publishing.form import line, published
from chalicelib.rules.identifiers import recorded_at
from chalicelib.rules.model import Event
from chalicelib.store.trail import FEEDBACK, any_event, aside_of

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
MANIFEST = "manifest.json"


class Day(NamedTuple):
    """The events of an account on one day (UTC): how many, and their chained digest."""

    events: int
    digest: str


def export_account(
    client: "DynamoDBClient", table: str, account: str, folder: Path, left_out: list[str] | None = None
) -> dict[str, Day]:
    """Write the events of an account below a folder; return what its manifest has, by day.

    A day that is not over may be exported again, and is written anew. The ids of what :func:`read_events`
    cannot read are added to ``left_out``.
    """
    home = folder / account
    home.mkdir(parents=True, exist_ok=True)
    days: dict[str, Day] = {}
    for day, events in groupby(read_events(client, table, account, left_out), lambda event: event["at"][:10]):
        lines = []
        digest = _start(account, day)
        for event in events:
            lines.append(line(event))
            digest = _next(digest, event)
        (home / f"{day}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        days[day] = Day(len(lines), digest)
    manifest = {day: {"count": events, "digest": digest} for day, (events, digest) in days.items()}
    (home / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return days


def check_account(client: "DynamoDBClient", table: str, account: str, folder: Path) -> list[str]:
    """Return the differences between a folder and the table, one line each; none if the folder is complete.

    The folder is an export, or another archive of it: files that end in ``.jsonl`` anywhere below the
    account's, with events twice or in another order. Events that the table keeps no longer are no difference;
    nor are fields that a later version added, which have no value in an event of an earlier one.
    """
    home = folder / account
    archived: dict[str, dict[str, Any]] = {}
    differences = [*_manifest_differences(account, home)]
    for file in sorted(home.rglob("*.jsonl")):
        for text in _lines(file):
            event = _event_of(text)
            if event is None:
                differences.append(f"{file.name}: a line is no event")
                continue
            known = archived.setdefault(event["id"], event)
            if known != event:
                differences.append(f"{event['id']}: is there twice, and differs")
    first = ""
    left_out: list[str] = []
    for event in read_events(client, table, account, left_out):
        first = first or event["id"]
        found = archived.pop(event["id"], None)
        if found is None:
            differences.append(f"{event['id']}: is missing ({event['action']} at {event['at']})")
        elif _is_changed(found, event):
            differences.append(f"{event['id']}: differs from the recorded event")
    for name in left_out:
        archived.pop(name, None)
        differences.append(f"{name}: cannot be compared, because this version cannot read what is recorded")
    for name, event in sorted(archived.items()):
        if first and (name > first or not _is_as_old_as_its_id(event)):
            differences.append(f"{name}: is not recorded")
    return differences


def _is_as_old_as_its_id(event: dict[str, Any]) -> bool:
    """Return whether an event's id has the time of the event, as every event's has (in milliseconds)."""
    try:
        at = datetime.fromtimestamp(recorded_at(event["id"]), UTC)
        return at == datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def _is_changed(archived: dict[str, Any], recorded: dict[str, Any]) -> bool:
    """Return whether a value is another one than recorded, or was taken out."""
    added = any(value != recorded.get(field) for field, value in archived.items())
    return added or any(value for field, value in recorded.items() if field not in archived)


def accounts_of(client: "DynamoDBClient", directory: str) -> list[str]:
    """Return the ids of all accounts."""
    pages = client.get_paginator("scan").paginate(
        TableName=directory,
        FilterExpression="begins_with(pk, :account)",
        ExpressionAttributeValues={":account": {"S": "ACCOUNT#"}},
        ConsistentRead=True,
    )
    return sorted(item["pk"]["S"].partition("#")[2] for page in pages for item in page["Items"])


def read_events(
    client: "DynamoDBClient", table: str, account: str, left_out: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Return an account's events as they are exported, the oldest first; refusals by network among them.

    What is no event, or is in a form that this version does not know, hides no other: its id is added to
    ``left_out``.
    """
    parts = (partition(client, table, part) for part in (account, aside_of(account)))
    for item in heapq.merge(*parts, key=lambda item: str(item["id"]["S"])):
        event = readable(item)
        if event is not None:
            yield published(event)
        elif left_out is not None:
            left_out.append(str(item["id"]["S"]))


def readable(item: Item) -> Event | None:
    """Return the event of an item, without what became of its emails; None for one that cannot be read."""
    event = any_event({name: it for name, it in item.items() if not name.startswith(FEEDBACK)})
    return event if isinstance(event, Event) else None


def partition(client: "DynamoDBClient", table: str, account: str) -> Iterator[Item]:
    """Yield the items of a partition of table Events: an account's events, or its refusals by network."""
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="#account = :account",
        ExpressionAttributeNames={"#account": "account"},
        ExpressionAttributeValues={":account": {"S": account}},
        ConsistentRead=True,
    )
    for page in pages:
        yield from page["Items"]


def _manifest_differences(account: str, home: Path) -> Iterator[str]:
    """Return what differs between a folder's manifest, if it has one, and its files."""
    if not (home / MANIFEST).exists():
        return
    for day, told in json.loads((home / MANIFEST).read_text(encoding="utf-8")).items():
        file = home / f"{day}.jsonl"
        files = [file] if file.exists() else sorted((home / day).glob("*.jsonl"))  # an export, or the archive
        lines = [text for one in files for text in _lines(one)]
        digest = _start(account, day)
        for text in lines:
            digest = _next(digest, _event_of(text) or {})
        if (len(lines), digest) != (told["count"], told["digest"]):
            yield f"{day}: the file has {len(lines)} events, and is not the manifest's of {told['count']}"


def _event_of(text: str) -> dict[str, Any] | None:
    """Return the event of a line; None if it is none, as in a file that was cut off or tampered with."""
    try:
        event = json.loads(text)
        return event if isinstance(event["id"], str) else None
    except (KeyError, TypeError, ValueError):
        return None


def _lines(file: Path) -> list[str]:
    """Return the lines of a file. Of what Unicode calls a line end, JSON text may contain some."""
    return file.read_bytes().decode().removesuffix("\n").split("\n") if file.stat().st_size else []


def _start(account: str, day: str) -> str:
    return hashlib.sha256(f"{account} {day}".encode()).hexdigest()


def _next(digest: str, event: dict[str, Any]) -> str:
    return hashlib.sha256(f"{digest} {line(event)}".encode()).hexdigest()
