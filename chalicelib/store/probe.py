"""Whether a table can be read, for monitors."""

import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.store.requests import log_failed_read

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

SECONDS = 10
"""A table is read at most once in this time by each environment: a flood of checks costs no more reads."""

NOTHING = "HEALTH#"
"""The key of an item that is never there: reading it costs one unit."""


class Probe:
    """Reads a table by ``read``, and remembers for a while whether that worked."""

    def __init__(self, name: str, read: "Callable[[], object]") -> None:
        self._name = name
        self._read = read
        self._at: int | None = None
        self._works = False

    def works(self, now: int) -> bool:
        """Return whether the table could be read now, or at most :data:`SECONDS` ago. Log a failure."""
        if self._at is None or not 0 <= now - self._at < SECONDS:
            self._works, self._at = self._try(), now
        return self._works

    def _try(self) -> bool:
        try:
            self._read()
        except (ClientError, BotoCoreError) as error:
            log_failed_read(_LOG, f"the table {self._name} cannot be read", error)
            return False
        return True
