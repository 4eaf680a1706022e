"""The MIME message of an email, and which addresses it can be sent to."""

import hashlib
import re
from base64 import b64encode
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from chalicelib.mail.messages import LINE_WIDTH, EmailContext, email_content, utc
from chalicelib.rules.model import Event
from chalicelib.rules.names import EMAIL
from chalicelib.rules.notifications import Recipient

FROM_NAME = "Service Users"

_ADDRESS = re.compile(EMAIL)
_WORD = 39  # bytes of text in an encoded word: with its frame and "Subject: " before it, 73 characters


def is_address(text: str) -> bool:
    """Return whether ``text`` is a single valid email address."""
    return _ADDRESS.match(text) is not None


def message(
    event: Event, recipient: Recipient, context: EmailContext, more: tuple[Event, ...] = ()
) -> EmailMessage:
    """Return the message that notifies one recipient of an event, or of ``more`` in a digest email.

    Its Message-ID is made from the event and the recipient, so that a second copy is recognised. SES replaces
    Message-ID and Date by its own, so the header Service-Users-Event also has the event. Raises ValueError if
    the sender or the recipient is not a valid address.
    """
    for address in (context.sender, recipient.email):
        if not is_address(address):
            raise ValueError("The sender or the recipient is not a valid email address.")
    written = email_content(event, recipient, context, more)
    made = EmailMessage(policy=_POLICY)
    made["From"] = Address(FROM_NAME, addr_spec=context.sender)
    made["To"] = recipient.email
    made["Subject"] = written.subject
    made["Date"] = format_datetime(utc(context.now))
    who = hashlib.sha256(recipient.name.encode()).hexdigest()[:16]
    event_id = quote(event.id, safe="")
    made["Message-ID"] = f"<{event_id}.{who}@{context.sender.rpartition('@')[2]}>"
    made["Service-Users-Event"] = event_id
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(written.text, cte="quoted-printable")
    made.add_alternative(written.html, subtype="html", cte="quoted-printable")
    return made


class _Policy(EmailPolicy):
    """The policy for SMTP, except that this module encodes the subject, and writes the recipient as it is.

    The standard library's folding drops spaces between encoded words, adds some before long ones, and treats
    text that looks like an encoded word as one. It refuses an address that looks like one.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return (name, value) if name in _OWN else super().header_store_parse(name, value)

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        return value if name in _OWN else super().header_fetch_parse(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name not in _OWN:
            return super().fold_binary(name, value)
        return f"{name}: {_encoded(value) if name == 'Subject' else value}{self.linesep}".encode("ascii")


_OWN = ("Subject", "To")
"""Headers that this module checks and writes itself."""


_POLICY = _Policy(linesep="\r\n")


def _encoded(text: str) -> str:
    """Return the text of a header, in encoded words (RFC 2047) if it is long or not ASCII."""
    if text.isascii() and "=?" not in text and len(text) <= LINE_WIDTH - len("Subject: "):
        return text
    chunks = [""]
    for character in text:
        if len((chunks[-1] + character).encode()) > _WORD:
            chunks.append("")
        chunks[-1] += character
    return "\r\n ".join(f"=?utf-8?b?{b64encode(chunk.encode()).decode()}?=" for chunk in chunks)
