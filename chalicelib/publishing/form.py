"""The form in which events leave the stack, on EventBridge, in the archive and in exports: docs/events.md.

It is the same to the byte wherever it is made, so that an event that arrives twice is one record.
"""

import json
import re
from typing import Any

import msgspec

from chalicelib.http import responses
from chalicelib.rules.model import Event

SOURCE = "service-users"
"""The source of the events on EventBridge."""

SCHEMA_VERSION = "1"
"""The version of the form (docs/event-schema.json). Fields may be added under it."""

_NOT_AN_EVENT = "This is not an event of Service Users."
_ACCOUNT = re.compile(r"[0-9A-Za-z-]{1,64}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ID = re.compile(r"[0-9a-f]{28}")


def published(event: Event) -> dict[str, Any]:
    """Return an event as the API shows it, with its account, and without who was mailed.

    Who was mailed is still changing when an event is published.
    """
    shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(responses.event(event)))
    del shown["mail"]
    return {"schemaVersion": SCHEMA_VERSION, "account": event.account, **shown}


def line(detail: dict[str, Any]) -> str:
    """Return a published event as one line of JSON."""
    return json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def object_name(detail: Any) -> str:
    """Return the name of a published event's object in the archive: ``ACCOUNT/DAY/ID.jsonl``.

    Raises ValueError for what is no published event.
    """
    fields = detail if isinstance(detail, dict) else {}
    account, day, id_ = (str(fields.get(name, "")) for name in ("account", "at", "id"))
    if not (_ACCOUNT.fullmatch(account) and _DAY.fullmatch(day[:10]) and _ID.fullmatch(id_)):
        raise ValueError(_NOT_AN_EVENT)
    return f"{account}/{day[:10]}/{id_}.jsonl"
