"""A folder of published events: what a deployed stack puts on its EventBridge bus, one event a line."""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING, Any

from chalicelib.publishing.form import line, object_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class EventFolder:
    """Stands in for EventBridge: appends each event to ``folder/ACCOUNT/2026-11-27.jsonl``.

    It calls ``on_event(action, username)`` for each, with the username of whom the event is about.
    """

    def __init__(self, folder: Path, on_event: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._on_event = on_event
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Create the folder, private, and delete the events of earlier runs (and nothing else)."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self._folder.glob("*/????-??-??.jsonl"):
            old.unlink()

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Write the events, as EventBridge's PutEvents accepts them: each, or none if it raises."""
        with self._lock:
            for entry in Entries:
                detail = json.loads(entry["Detail"])
                account, day, _ = object_name(detail).split("/")
                home = self._folder / account
                home.mkdir(mode=0o700, exist_ok=True)
                with (home / f"{day}.jsonl").open("a", encoding="utf-8") as out:
                    out.write(line(detail) + "\n")
                self._on_event(detail["action"], detail["subject"]["username"] or "")
        return {"FailedEntryCount": 0, "Entries": [{"EventId": str(uuid.uuid4())} for _ in Entries]}
