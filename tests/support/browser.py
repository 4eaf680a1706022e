"""A minimal browser for tests: cookies, links, forms, and the headers that browsers send by themselves."""

import html
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.support.api_client import Stack
from tests.support.passkeys import SoftPasskey

ORIGIN = "https://api.example"
BASE = f"{ORIGIN}/api"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0"


@dataclass(frozen=True)
class Page:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def words(self) -> str:
        """The page's visible text."""
        return html.unescape(" ".join(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", self.text).split()))

    @property
    def csrf(self) -> str:
        found = re.search(r'data-csrf="([0-9a-f]*)"', self.text)
        assert found, self.text
        return found[1]

    @property
    def errors(self) -> list[str]:
        return [html.unescape(it) for it in re.findall(r'<p class="error" id="[^"]*">(.*?)</p>', self.text)]

    def hidden(self, name: str) -> str:
        found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', self.text)
        assert found, self.text
        return html.unescape(found[1])

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Browser:
    """One browser of one user."""

    stack: Stack
    source_ip: str = "198.51.100.7"
    cookies: dict[str, str] = field(default_factory=dict)
    passkey: SoftPasskey = field(default_factory=SoftPasskey)
    headers: dict[str, str] = field(default_factory=lambda: {"sec-fetch-site": "same-origin"})

    def open(self, path: str, *, follow: bool = True) -> Page:
        """Open a page of the console (``path`` is below it), and follow redirects."""
        target = f"/console/{path}" if path else "/console"
        page = self.request("GET", target)
        while follow and page.status == 303:
            target = self._target(target, page.headers["Location"])
            page = self.request("GET", target)
        return page

    def post(self, path: str, fields: dict[str, Any] | None = None, *, csrf: str | None = None) -> Page:
        """Send a form with the session's CSRF token, unless another is given. Follows no redirect."""
        token = self.csrf if csrf is None else csrf
        raw = urlencode({"csrf": token, **(fields or {})}, doseq=True)
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.request("POST", f"/console/{path}", raw, kind)

    def edit(self, path: str, fields: dict[str, Any]) -> Page:
        """Open a form, and send it for what it was shown for."""
        return self.post(path, {"was": self.open(path).hidden("was"), **fields})

    def call(self, step: str, body: Any = None) -> Page:
        """Make the request that the page's script makes for passkeys."""
        headers = {"content-type": "application/json", "x-form-token": self.csrf}
        return self.request("POST", f"/console/passkey/{step}", json.dumps(body or {}), headers)

    @property
    def csrf(self) -> str:
        from chalicelib.rules.sessions import csrf_token

        return csrf_token(self.cookies.get("__Host-session", "").rpartition(".")[2])

    def request(
        self, method: str, path: str, raw: str | None = None, headers: dict[str, str] | None = None
    ) -> Page:
        sent = {"user-agent": AGENT, **self.headers, **(headers or {})}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        event = self.stack.event(method, path.partition("?")[0].rstrip("/") or "/", headers=sent, raw=raw)
        event["headers"] = sent
        event["requestContext"]["identity"]["sourceIp"] = self.source_ip
        event["requestContext"]["path"] = f"/api{path.partition('?')[0]}"
        query = path.partition("?")[2]
        if query:
            from urllib.parse import parse_qs

            event["multiValueQueryStringParameters"] = parse_qs(query, keep_blank_values=True)
        response = self.stack.app(self.stack.as_sent(event), None)
        page = Page(response["statusCode"], dict(response["headers"]), response["body"] or "")
        if "Set-Cookie" in page.headers:
            name, _, rest = page.headers["Set-Cookie"].partition("=")
            value = rest.partition(";")[0]
            if "Max-Age=0" in rest:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return page

    def activate(self, username: str, token: str | None = None) -> Page:
        """Accept an invitation with the browser's passkey."""
        token = token or self.stack.token(username)
        begun = self.call("activate-begin", {"username": username, "token": token})
        if begun.status != 200:
            return begun
        made = self.passkey.create(begun.json["challenge"])
        return self.call("activate-finish", {"token": token, "name": "Laptop", "passkey": made})

    def sign_in(self) -> Page:
        """Sign in with the browser's passkey."""
        begun = self.call("sign-in-begin")
        assert begun.status == 200, begun.text
        return self.call("sign-in-finish", self.passkey.get(begun.json["challenge"]))

    def confirm(self) -> Page:
        """Confirm the session with the passkey."""
        begun = self.call("confirm-begin")
        if begun.status != 200:
            return begun
        return self.call("confirm-finish", self.passkey.get(begun.json["challenge"]))

    def _target(self, now: str, location: str) -> str:
        """Return the target of a redirect as browsers resolve it: relative to the address with its stage."""
        address = urljoin(f"{BASE}{now}", location)
        if address.startswith(f"{ORIGIN}/console"):  # the public address has no stage
            return address.removeprefix(ORIGIN)
        assert address.startswith(f"{BASE}/console"), address
        parts = urlsplit(address)
        return parts.path.removeprefix("/api") + (f"?{parts.query}" if parts.query else "")
