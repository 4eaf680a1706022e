"""What no test may leave behind: a secret in a table, an event or a log line; a digest but in Directory."""

import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.rules.secrets import PATTERN, well_formed
from tests.customer import Stack

_LIKE_A_SECRET = re.compile(PATTERN)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__!r}")


@contextmanager
def logged() -> Iterator[list[str]]:
    """Keep every line that is logged meanwhile, with what is beside its message."""
    handler = _Lines()
    logging.getLogger().addHandler(handler)
    try:
        yield handler.lines
    finally:
        logging.getLogger().removeHandler(handler)


def find_no_secret(stack: Stack, lines: list[str]) -> None:
    """Search both tables and the log lines; raises AssertionError for what should not be there."""
    directory, events = stack.items(stack.tables.directory), stack.items(stack.tables.events)
    for place, text in (
        ("Directory", repr(directory)),
        ("Events", repr(events)),
        ("the log", "\n".join(lines)),
    ):
        assert not secrets_in(text), f"a secret is in {place}"
    elsewhere = repr(events) + "\n".join(lines)
    for digest in _digests(directory):
        spelled = (repr(digest), digest.hex(), base64.b64encode(digest).decode())
        assert not any(one in elsewhere for one in spelled), "a digest is not in Directory alone"


def secrets_in(text: str) -> list[str]:
    """Answer what is a key or a token in a text, by form and checksum."""
    return [found for found in _LIKE_A_SECRET.findall(text) if well_formed(found, found[:4])]


def _digests(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for name, field in value.items():
            if isinstance(name, str) and re.fullmatch("[0-9a-f]{64}", name):
                yield bytes.fromhex(name)
            yield from _digests(field)
    elif isinstance(value, list):
        for member in value:
            yield from _digests(member)
