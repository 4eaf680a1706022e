"""The link that opens the console of ``make run`` as its OWNER, without a passkey.

It is not in the deployed package. Each link works once, and using it prints the next. The session it starts
counts as confirmed until it ends, because there is no passkey to confirm it with.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import replace

from local.gateway import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

PATH = "/local/console"


class ConsoleLink:
    """Serves the link, and passes every other request on. Hold ``lock`` while calling the app."""

    def __init__(
        self,
        functions: Any,
        respond: Callable[[HttpRequest], HttpResponse],
        lock: contextlib.AbstractContextManager[Any],
        say: Callable[[str], None],
    ) -> None:
        self._functions = functions
        self._respond = respond
        self._lock = lock
        self._say = say
        self._tokens = threading.Lock()
        self._token = ""
        self._username = ""

    @property
    def address(self) -> str:
        """The console's address, which names a host: passkeys do not work at IP addresses."""
        return os.environ["PUBLIC_URL"] + "/console"

    def opens_as(self, username: str) -> None:
        """Make the link sign this user in."""
        self._username = username
        self._token = secrets.token_urlsafe(24)

    def link(self) -> str:
        """Return the link that works now."""
        return f"{os.environ['PUBLIC_URL']}{PATH}?once={self._token}"

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        parts = urlsplit(request.target)
        if parts.path != PATH or not self._username:
            return self._respond(request)
        given = parse_qs(parts.query).get("once", [""])[0]
        with self._tokens:
            good = request.method == "GET" and hmac.compare_digest(given.encode(), self._token.encode())
            if good:
                self.opens_as(self._username)
        if not good:
            text = b"This link was used, or is not the last one. The terminal of make run shows a new one.\n"
            return HttpResponse(403, [("Content-Type", "text/plain; charset=utf-8")], text, "local")
        self._say(f"  The console was opened. To open it again: {self.link()}")
        # Not a redirect: where the link stands on a page of another site, a browser would not send the cookie
        # with it (SameSite=Strict). What this page itself goes to is of the same site.
        page = (
            "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>The console</title>"
            '<link rel=icon href="data:,">'
            f'<meta http-equiv=refresh content="0; url={self.address}">'
            f'<p><a href="{self.address}">Open the console</a></p></html>\n'
        )
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Set-Cookie", self._session()),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        ]
        return HttpResponse(200, headers, page.encode(), "local")

    def _session(self) -> str:
        from chalicelib.console.visit import Cookie
        from chalicelib.rules import sessions
        from chalicelib.rules.context import Origin
        from chalicelib.rules.errors import concurrent_change
        from chalicelib.rules.model import User
        from chalicelib.rules.ports import Replace

        directory = self._functions.api.service().directory
        with self._lock:
            user = directory.principal(self._username)
            assert isinstance(user, User)
            entry = sessions.start(
                user, "", Origin("127.0.0.1", "local", time.time()), "the link of make run"
            )
            session = entry.user.sessions[entry.id]
            session = replace(session, confirmed_at=session.started_at + sessions.MAX_SECONDS)
            new = replace(entry.user, sessions={**entry.user.sessions, entry.id: session})
            directory.commit(None, Replace(user, new, concurrent_change()))
        secure = os.environ["PUBLIC_URL"].startswith("https:")
        return Cookie("session", secure).set(f"{user.username}.{entry.secret}")["Set-Cookie"]
