"""A browser without a screen in front of the package: over HTTP, by API Gateway's events, with a passkey."""

import http.client
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urljoin, urlsplit

from local.package.emulator import ApiResponse, Emulator, Key
from tests.support.passkeys import SoftPasskey

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLIC = "https://users.example.com"


@dataclass
class Visitor:
    """One browser of one person, at the address that the stack is deployed with or at API Gateway's own."""

    emulator: Emulator
    address: str = PUBLIC
    cookies: dict[str, str] = field(default_factory=dict)
    responses: list[ApiResponse] = field(default_factory=list)
    split_cookies: bool = False
    """Whether each cookie is sent in a header of its own, as browsers may."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        self.passkey = SoftPasskey(origin=f"{parts.scheme}://{parts.netloc}", rp_id=parts.netloc)

    def request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> ApiResponse:
        """Send a request for a path below the address, which may have a stage that no request line has."""
        server = urlsplit(self.emulator.url)
        connection = http.client.HTTPConnection(server.netloc, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        sent = [("Host", urlsplit(self.address).netloc)]
        sent += list({"Sec-Fetch-Site": "same-origin", **(headers or {})}.items())
        pairs = [f"{name}={value}" for name, value in self.cookies.items()]
        sent += [("Cookie", it) for it in (pairs if self.split_cookies else ["; ".join(pairs)]) if it]
        if body is not None:
            sent.append(("Content-Length", str(len(body.encode()))))
        for name, value in sent:
            connection.putheader(name, value)
        connection.endheaders(body.encode() if body is not None else None)
        with connection.getresponse() as raw:
            response = ApiResponse(raw.status, cast("Mapping[str, str]", raw.headers), raw.read())
        connection.close()
        self._keep_cookie(response)
        self.responses.append(response)
        return response

    def open(self, page: str = "") -> ApiResponse:
        """Open a page of the console, wherever that leads."""
        path = f"/console/{page}" if page else "/console"
        response = self.request("GET", path)
        while response.status == 303:
            path = self.follow(path, response)
            response = self.request("GET", path)
        return response

    def follow(self, path: str, response: ApiResponse) -> str:
        """Return the path that a redirect leads to, as browsers find it, without the stage."""
        target = urljoin(self.address + path, response.headers["Location"])
        assert target.startswith(f"{self.address}/console"), target
        return target.removeprefix(self.address)

    def post(self, page: str, fields: dict[str, Any] | None = None, *, token: bool = True) -> ApiResponse:
        """Send a form of the console."""
        form = {**({"csrf": self.form_token} if token else {"csrf": ""}), **(fields or {})}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", f"/console/{page}", urlencode(form, doseq=True), kind)

    def script(self, step: str, body: dict[str, Any] | None = None, *, token: bool = True) -> ApiResponse:
        """Send what the page's script sends for passkeys."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["X-Form-Token"] = self.form_token
        return self.request("POST", f"/console/passkey/{step}", json.dumps(body or {}), headers)

    @property
    def form_token(self) -> str:
        """The token that the forms of the session's pages carry."""
        found = re.search(rb'data-csrf="([0-9a-f]*)"', self.open("you").body)
        assert found is not None
        return found[1].decode()

    # What people do

    def activate(self, username: str, token: str) -> ApiResponse:
        """Accept an invitation with a passkey."""
        begun = self.script("activate-begin", {"username": username, "token": token}, token=False)
        assert begun.status == 200, begun.body
        made = self.passkey.create(begun.json["challenge"])
        return self.script(
            "activate-finish", {"token": token, "name": "Laptop", "passkey": made}, token=False
        )

    def enrol(self, key: Key) -> None:
        """Get a passkey by an API key and the code that is mailed."""
        assert self.ask_for_code(key).status == 200
        self.emulator.deliver_stream()
        code = self.mailed_code(f"{key.username}@")
        assert self.enrol_by_code(key.username, code).status == 200

    def ask_for_code(self, key: Key) -> ApiResponse:
        """Send the form that has a code mailed."""
        return self.post("enrol", {"username": key.username, "key": key.secret}, token=False)

    def mailed_code(self, recipient: str) -> str:
        """Return the newest code that was mailed to an address, by its beginning."""
        found = [
            code[0]
            for mail in self.emulator.mail.sent()
            if mail.recipient.startswith(recipient) and (code := re.search(r"sue_\w+", mail.text))
        ]
        return found[-1]

    def enrol_by_code(self, username: str, code: str) -> ApiResponse:
        """Turn a code into a passkey."""
        begun = self.script("enrol-begin", {"username": username, "code": code}, token=False)
        assert begun.status == 200, begun.body
        made = self.passkey.create(begun.json["challenge"])
        return self.script("enrol-finish", {"code": code, "name": "Laptop", "passkey": made}, token=False)

    def sign_in(self) -> ApiResponse:
        """Sign in with the passkey."""
        begun = self.script("sign-in-begin", token=False)
        signed = self.passkey.get(begun.json["challenge"])
        return self.script("sign-in-finish", signed, token=False)

    def confirm(self) -> ApiResponse:
        """Touch the passkey, to prove that it is the person still."""
        begun = self.script("confirm-begin")
        return self.script("confirm-finish", self.passkey.get(begun.json["challenge"]))

    def add_passkey(self) -> ApiResponse:
        """Add another passkey to one's own."""
        phone = SoftPasskey(origin=self.passkey.origin, rp_id=self.passkey.rp_id)
        made = phone.create(self.script("add-begin").json["challenge"])
        return self.script("add-finish", {"name": "Phone", "passkey": made})

    def _keep_cookie(self, response: ApiResponse) -> None:
        cookie = response.headers.get("Set-Cookie")
        if cookie is None:
            return
        name, _, rest = cookie.partition("=")
        if "Max-Age=0" in rest:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = rest.partition(";")[0]
