"""The emails of ``make run`` as pages, at ``/outbox``. They are not in the deployed package.

An email can have an invitation's token or a code in it, so the pages are shown only at an address of this
machine: a name of another host that leads here (DNS rebinding) is refused.
"""

from __future__ import annotations

import email
import email.policy
import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from local.email_folder import FILE_NAME
from local.gateway import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

PATH = "/outbox"
_OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
_HTML = "text/html; charset=utf-8"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; frame-ancestors 'self'"
)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
li { margin: .6rem 0; } .quiet { opacity: .7; font-size: .9em; }
iframe { width: 100%; height: 75vh; border: 1px solid #8888; background: #fff; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
:root { color-scheme: light dark; }
"""


class OutboxPages:
    """Serves the pages, and passes every other request on to ``respond``."""

    def __init__(self, folder: Path, respond: Callable[[HttpRequest], HttpResponse]) -> None:
        self._folder = folder
        self._respond = respond

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        path = unquote(urlsplit(request.target).path).rstrip("/")
        if path != PATH and not path.startswith(f"{PATH}/"):
            return self._respond(request)
        if request.method not in ("GET", "HEAD"):
            return _text(405, "The emails can only be read: use GET.", ("Allow", "GET, HEAD"))
        host = next((value for name, value in request.headers if name.lower() == "host"), "")
        if not _OWN_HOST.fullmatch(host):
            return _text(403, "The emails are shown only at localhost.")
        name, _, part = path.removeprefix(PATH).strip("/").partition("/")
        if not name:
            return _page("Emails", self._list())
        if part not in ("", "html") or name not in self._names():
            return _text(404, "There is no such email. The emails are at /outbox.")
        message = self._read(name)
        return _html(_body(message, "html")) if part else _page(str(message["Subject"]), _one(name, message))

    def _names(self) -> list[str]:
        """Return the files of the emails, the newest first."""
        found = (it.name for it in self._folder.iterdir() if FILE_NAME.fullmatch(it.name))
        return sorted(found, key=_number, reverse=True)

    def _read(self, name: str) -> EmailMessage:
        return email.message_from_bytes((self._folder / name).read_bytes(), policy=email.policy.default)

    def _list(self) -> str:
        lines = []
        for name in self._names():
            message = self._read(name)
            lines.append(
                f'<li><a href="{PATH}/{escape(name)}">{escape(str(message["Subject"]))}</a><br>'
                f'<span class="quiet">{_about(message)}</span></li>'
            )
        return f"<ul>{''.join(lines)}</ul>" if lines else "<p>No email has been sent yet.</p>"


def _one(name: str, message: EmailMessage) -> str:
    """Return the page of an email: its HTML in a frame that runs nothing, and its text."""
    about = _about(message)
    frame = f'<iframe sandbox src="{PATH}/{escape(name)}/html" title="The email"></iframe>'
    text = f"<h2>As text</h2><pre>{escape(_body(message, 'plain'))}</pre>"
    return f'<p class="quiet">{about} · <a href="{PATH}">All emails</a></p>{frame}{text}'


def _about(message: EmailMessage) -> str:
    return f"to {escape(str(message['To']))}, {escape(str(message['Date']))}"


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())


def _number(name: str) -> int:
    return int(name.split("-")[1])


def _page(title: str, content: str) -> HttpResponse:
    head = '<meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    return _html(f"<!doctype html><html lang=en>{head}<h1>{escape(title)}</h1>{content}")


def _html(text: str) -> HttpResponse:
    headers = [("Content-Type", _HTML), ("Content-Security-Policy", _POLICY), ("Cache-Control", "no-store")]
    return HttpResponse(200, headers, text.encode(), "local")


def _text(status: int, text: str, *headers: tuple[str, str]) -> HttpResponse:
    plain = ("Content-Type", "text/plain; charset=utf-8")
    return HttpResponse(status, [plain, *headers], f"{text}\n".encode(), "local")
