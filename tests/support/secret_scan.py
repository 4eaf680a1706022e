"""Search what a test leaves for secrets in tables, log lines and emails, and digests outside Directory."""

import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import pytest

from chalicelib.mail import notify, ses
from chalicelib.rules.key_format import PATTERN, TOKEN_PREFIX, well_formed

_LIKE_A_SECRET = re.compile(PATTERN)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__!r}")


@dataclass
class CapturedOutput:
    """The output of a test: log lines, and emails with their recipients."""

    lines: list[str] = field(default_factory=list)
    emails: list[tuple[str, EmailMessage]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All log lines and emails, as one text."""
        return "\n".join([*self.lines, *(_read(message) for _, message in self.emails)])


@contextmanager
def captured_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[CapturedOutput]:
    """Record every log line, with its extra fields, and every email from now on."""
    handler = _Lines()
    said = CapturedOutput(handler.lines)

    def send(client: Any, message: EmailMessage, recipient: str, *more: Any) -> ses.SendResult:
        said.emails.append((recipient, message))
        return ses.send(client, message, recipient, *more)

    monkeypatch.setattr(notify, "send", send)
    for name in ("app", "chalicelib"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    logging.getLogger().manager._clear_cache()  # only what each logger's level allows
    logging.getLogger().addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(handler)


def assert_no_secret_in_output(said: CapturedOutput) -> None:
    """Raise AssertionError if a log line or email has a secret, except an invitation's token in its email."""
    assert not secrets_in("\n".join(said.lines)), "a secret is in the log"
    for recipient, message in said.emails:
        found = set(secrets_in(_read(message)))
        tokens = {secret for secret in found if secret.startswith(TOKEN_PREFIX)}
        assert tokens == found, f"an email to {recipient} has a key"
        assert len(tokens) <= ("activate" in message["Subject"]), f"an email to {recipient} has a token"


def assert_no_secret(
    directory: list[dict[str, Any]], events: list[dict[str, Any]], said: CapturedOutput
) -> None:
    """Raise AssertionError if a table has a secret, or if anything but Directory has a digest."""
    for place, items in (("Directory", directory), ("Events", events)):
        assert not secrets_in(repr(items)), f"a secret is in {place}"
    elsewhere = repr(events) + said.text
    for digest in _digests(directory):
        spelled = (repr(digest), digest.hex(), base64.b64encode(digest).decode())
        assert not any(one in elsewhere for one in spelled), "a digest is not in Directory alone"


def _read(message: EmailMessage) -> str:
    parts = [str(part.get_content()) for part in message.walk() if not part.is_multipart()]
    return "\n".join([*(f"{name}: {value}" for name, value in message.items()), *parts])


def secrets_in(text: str) -> list[str]:
    """Return the keys and tokens in a text, recognised by form and checksum."""
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
