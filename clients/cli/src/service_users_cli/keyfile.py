"""The file that a bulk command puts its keys into, and the record beside it of what was begun.

``FILE`` gets one line of JSON for each unit of work that is finished, with its secrets. ``FILE.progress``
says, before each call, that it is about to be made; it has no secrets. A run that ended at any moment, also
in the middle of a line, can be gone on with: what is in ``FILE`` is done; what is only in ``FILE.progress``
may or may not have taken effect; everything else was never begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from service_users_client.files import locked, sync_folder
from service_users_client.profiles import is_private

from service_users_cli.session import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class KeyFile:
    """An open key file. Several threads may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._progress_path = path.with_name(f"{path.name}.progress")
        self._mutex = threading.Lock()
        self._descriptors: list[int] = []
        self.finished: list[dict[str, Any]] = []
        """The lines of earlier runs in the file."""
        self.begun: list[dict[str, Any]] = []
        """The lines of earlier runs in the record beside it."""

    @contextlib.contextmanager
    def opened(self, run: dict[str, Any]) -> Iterator[KeyFile]:
        """Open the file while the block runs; ``run`` describes the command and the caller.

        Raises UsageError if it cannot be written, belongs to another run, or another process is at it.
        """
        try:
            with locked(self.path.with_name(f".{self.path.name}.lock"), wait=False):
                self.finished = self._open(self.path)
                self.begun = self._open(self._progress_path)
                sync_folder(self.path.parent)
                self._check(run)
                yield self
        except BlockingIOError:
            raise UsageError(f"Another process is working on {self.path}.") from None
        except OSError as error:
            raise UsageError(f"{error.filename or self.path}: {error.strerror}.") from None
        finally:
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors.clear()

    def begin(self, line: dict[str, Any]) -> None:
        """Record that a call is about to be made. On the disk when this returns."""
        self._append(self._descriptors[1], line)

    def finish(self, line: dict[str, Any]) -> None:
        """Store what a call returned. On the disk when this returns."""
        self._append(self._descriptors[0], line)

    def _append(self, descriptor: int, line: dict[str, Any]) -> None:
        content = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        with self._mutex:
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)

    def _open(self, path: Path) -> list[dict[str, Any]]:
        """Open a file for adding lines, and return those that it has; a line that is cut short is removed."""
        if not is_private(path):
            raise UsageError(f"{path} can be read by others. Name another file, or run: chmod 600 {path}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        self._descriptors.append(descriptor)
        found = os.fstat(descriptor)
        if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_nlink != 1):
            raise UsageError(f"{path} belongs to somebody else, or has another name too. Name another file.")
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.ftruncate(descriptor, end)
        try:
            lines = [json.loads(line) for line in content[:end].splitlines()]
        except ValueError:
            lines = [None]
        if not all(isinstance(line, dict) for line in lines):
            raise UsageError(f"{path} is not a file of this command. Name another one.")
        return lines

    def _check(self, run: dict[str, Any]) -> None:
        """Require that the file is new, or of the same command by the same caller."""
        if not self.begun:
            if self.finished:
                raise UsageError(
                    f"{self.path} has keys in it, and {self._progress_path} is missing. Name another file."
                )
            self.begin({"run": run})
            return
        first = self.begun.pop(0).get("run")
        if first != run:
            told = first if isinstance(first, dict) else {}
            raise UsageError(
                f"{self.path} belongs to another run ({told.get('command')} by {told.get('username')} at "
                f"{told.get('url')}). Name another file."
            )
