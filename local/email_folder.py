"""A folder of sent emails: every email that the functions send, as a file for a mail program."""

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

FILE_NAME = re.compile(r"\d{8}T\d{6}Z-\d+-.*\.eml")
_CONTEXT_KEY = "email_folder_parameters"


class EmailFolder:
    """Writes sent emails to ``folder`` and calls ``on_email(recipient, subject)`` for each."""

    def __init__(self, folder: Path, on_email: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._on_email = on_email
        self._count = 0
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Create the folder, private, and delete the emails of earlier runs (and nothing else)."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self._folder.iterdir():
            if FILE_NAME.fullmatch(old.name):
                old.unlink()

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record every email that SES v2 accepts from a client created while the block runs.

        Hooks into botocore rather than into a mock, so that it works wherever the calls go.
        """
        hooks: list[tuple[str, Any]] = [
            ("provide-client-params.sesv2.SendEmail", self._remember_parameters),
            ("after-call.sesv2.SendEmail", self._write_accepted),
        ]
        BUILTIN_HANDLERS.extend(hooks)
        try:
            yield
        finally:
            for hook in hooks:
                BUILTIN_HANDLERS.remove(hook)

    def write(self, raw: bytes, recipients: list[str]) -> Path:
        """Write one email, readable by its owner only, and return the file."""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        recipient = ", ".join(recipients) or str(message["To"] or "nobody")
        with self._lock:
            self._count += 1
            number = self._count
        stem = re.sub(r"[^A-Za-z0-9@._+-]", "_", recipient)[:100]
        file = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{number:03}-{stem}.eml"
        write_private(file, raw)
        self._on_email(recipient, " ".join(str(message["Subject"] or "(no subject)").split()))
        return file

    def _remember_parameters(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_CONTEXT_KEY] = params

    def _write_accepted(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params = context.pop(_CONTEXT_KEY, {})
        raw = params.get("Content", {}).get("Raw", {}).get("Data")
        if raw is None or "MessageId" not in parsed:
            return
        to = params.get("Destination", {})
        recipients = [
            a for field in ("ToAddresses", "CcAddresses", "BccAddresses") for a in to.get(field, [])
        ]
        self.write(raw.encode() if isinstance(raw, str) else bytes(raw), recipients)


def write_private(file: Path, content: bytes) -> None:
    """Write ``file`` atomically, readable by its owner only."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    temporary.replace(file)
