"""Events as JSON lines and as CSV, for collectors and spreadsheets.

``Accept`` asks for them (RFC 9110, 12.5.1).
"""

import csv
import io
import re
from collections.abc import Iterable

import msgspec

from chalicelib.http.responses import CredentialResponse, EventResponse, FieldChange

NDJSON = "application/x-ndjson"
CSV = "text/csv"

CSV_COLUMNS = (
    "id",
    "at",
    "action",
    "actorKind",
    "actor",
    "actorId",
    "subjectKind",
    "subject",
    "subjectId",
    "keys",
    "changes",
    "reason",
    "sourceIp",
    "requestId",
    "mailed",
    "credential",
)
_WEIGHT = r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)"

_FORMULA = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", "\u2212", "\t", "\r", "\n")
"""Spreadsheets run a cell with one of these prefixes as a formula (OWASP, CSV injection). Some of them do so
with the full-width forms too, and with the mathematical minus."""

_SKIPPED = "[\\s\"'\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*"
"""Quotes, spaces and characters that nobody sees: after them a cell may still begin with a formula."""

_INNER_FORMULA = re.compile(f"((?:^|[;|\uff1b\t\r\n]){_SKIPPED})(?=[=+@\uff1d\uff0b\uff0d\uff20\u2212-])")
"""What some spreadsheets take for the beginning of a cell, with a formula after it."""


def preferred_format(accept: str | None) -> str | None:
    """Return NDJSON or CSV if an ``Accept`` header prefers it to JSON and ``*/*``; None otherwise.

    Of equal weight (RFC 9110, 12.4.2), what is named first counts. A weight of 0 refuses a type.
    """
    entries = [_weighted(entry) for entry in (accept or "").lower().split(",")]
    for weight, media_type in sorted(entries, key=lambda it: -it[0]):
        if media_type in (NDJSON, CSV) and weight > 0:
            return media_type
        if media_type in ("application/json", "application/*", "*/*"):
            return None
    return None


def _weighted(entry: str) -> tuple[float, str]:
    media_type, *parameters = (part.strip() for part in entry.split(";"))
    weights = [it[2:] for it in parameters if re.fullmatch(_WEIGHT, it)]
    return float(weights[0]) if weights else 1.0, media_type


def ndjson(events: Iterable[EventResponse]) -> str:
    """Return events as one JSON object on each line."""
    return "".join(msgspec.json.encode(event).decode() + "\n" for event in events)


def csv_table(events: Iterable[EventResponse]) -> str:
    """Return events as CSV (RFC 4180) with a line of column names; ``keys`` and ``changes`` are texts."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(CSV_COLUMNS)
    for event in events:
        keys = "; ".join(f"{key.change} {key.key_type.value} {key.key}" for key in event.keys)
        changes = "; ".join(map(_change, event.changes))
        actor, subject = event.actor, event.subject
        row = (
            event.id,
            event.at,
            event.action,
            actor.kind,
            actor.username,
            actor.id,
            subject.kind,
            subject.username,
            subject.id,
            keys,
            changes,
            event.reason,
            event.source_ip,
            event.request_id,
            " ".join(event.mail.told),
            _credential(event.credential),
        )
        writer.writerow(cell(value) for value in row)
    return table.getvalue()


def _credential(it: CredentialResponse | None) -> str:
    """Return a credential as text: its kind, the key's type and last five characters, the passkey's name."""
    if it is None:
        return ""
    key_type = it.key_type.value if it.key_type else None
    return " ".join(filter(None, (it.kind, key_type, it.key, it.passkey)))


def _change(it: FieldChange) -> str:
    """Return a change as text: the values are JSON, so that no name can be taken for another change."""
    return " -> ".join(
        (
            f"{it.field}: {msgspec.json.encode(it.old_value).decode()}",
            msgspec.json.encode(it.new_value).decode(),
        )
    )


def cell(value: str | None) -> str:
    """Return a value as a cell of CSV that no spreadsheet takes for a formula."""
    text = _INNER_FORMULA.sub(r"\1'", value or "")
    return f"'{text}" if text.startswith(_FORMULA) else text
