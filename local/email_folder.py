"""Every email the functions send, as a file a person can open."""

from __future__ import annotations

import contextlib
import email
import email.policy
import os
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.handlers import BUILTIN_HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NAME = re.compile(r"\d{8}T\d{6}Z-\d+-.*\.eml")
_CONTEXT_KEY = "outbox_message"


class Outbox:
    """Writes sent messages to ``folder``; ``told(recipient, subject)`` hears of each one."""

    def __init__(self, folder: Path, told: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._told = told
        self._count = 0
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Make the folder, private, and take out what an earlier run put there (and nothing else)."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self._folder.iterdir():
            if _NAME.fullmatch(old.name):
                old.unlink()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Keep every message SES v2 accepts from a client made while the block runs.

        It hooks into botocore, not into a mock: wherever the calls go, what was sent is known.
        """
        hooks: list[tuple[str, Any]] = [
            ("provide-client-params.sesv2.SendEmail", self._before),
            ("after-call.sesv2.SendEmail", self._after),
        ]
        BUILTIN_HANDLERS.extend(hooks)
        try:
            yield
        finally:
            for hook in hooks:
                BUILTIN_HANDLERS.remove(hook)

    def keep(self, raw: bytes, recipients: list[str]) -> Path:
        """Write one message, readable by nobody else, and answer its file."""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        recipient = ", ".join(recipients) or str(message["To"] or "nobody")
        with self._lock:
            self._count += 1
            number = self._count
        stem = re.sub(r"[^A-Za-z0-9@._+-]", "_", recipient)[:100]
        file = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{number:03}-{stem}.eml"
        write_private(file, raw)
        self._told(recipient, " ".join(str(message["Subject"] or "(no subject)").split()))
        return file

    def _before(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_CONTEXT_KEY] = params

    def _after(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params = context.pop(_CONTEXT_KEY, {})
        raw = params.get("Content", {}).get("Raw", {}).get("Data")
        if raw is None or "MessageId" not in parsed:
            return
        to = params.get("Destination", {})
        recipients = [
            a for field in ("ToAddresses", "CcAddresses", "BccAddresses") for a in to.get(field, [])
        ]
        self.keep(raw.encode() if isinstance(raw, str) else bytes(raw), recipients)


def write_private(file: Path, content: bytes) -> None:
    """Write ``file`` whole or not at all, never readable by anyone but its owner."""
    scratch = file.with_name(f".{file.name}.tmp")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    scratch.replace(file)
