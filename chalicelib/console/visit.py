"""A visit: one request for a page, with its cookies, its form, and who is signed in."""

import hmac
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from chalice.app import Response

from chalicelib.console.relying_party import RelyingParty
from chalicelib.console.settings import Settings
from chalicelib.http import validation
from chalicelib.http.problems import HttpError
from chalicelib.rules import sessions
from chalicelib.rules.errors import Forbidden, ValidationError
from chalicelib.rules.model import User

if TYPE_CHECKING:
    from chalicelib.http.call import Call
    from chalicelib.rules.context import AuthContext

T = TypeVar("T")
MAX_FORM_BYTES = 65_536
"""The largest form, in bytes."""

MAX_FIELDS = 200

SHOWN_TO = "shownTo"
"""The field of every form with the username of whoever it was shown to."""

TYPED_BY = "typedBy"
"""The field with the username whose session had ended when a form was sent."""

_NOT_KEPT = frozenset({"csrf", SHOWN_TO, TYPED_BY, "key", "code", "token"})
"""Fields that are not kept for a form to be shown again: secrets, and what belongs to the old session."""

ASKED = "asked=1"
"""In the query of a page that was asked for: it sends nothing for a second. The script removes it."""

_NEXT = re.compile(r"[a-z][a-z-]*(/[A-Za-z0-9._-]{3,64}){0,2}(\?[A-Za-z0-9=&_.%+-]{0,500})?")
"""A page of the console, without "." and "..", which lead out of it."""

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


class Cookie(NamedTuple):
    """A cookie of the console. The prefix ``__Host-`` binds it to this host and TLS; not used over http."""

    name: str
    secure: bool

    @property
    def full_name(self) -> str:
        """The name with its prefix."""
        return f"__Host-{self.name}" if self.secure else self.name

    def set(self, value: str, seconds: int | None = None) -> dict[str, str]:
        """Return the header that sets it for so many seconds or, if None, until the browser is closed."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self.secure else ""
        return {"Set-Cookie": f"{self.full_name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}"}


class Visit:
    """One request for a page of the console."""

    def __init__(self, call: "Call", settings: Settings, path: tuple[str, ...]) -> None:
        self.call = call
        self.settings = settings
        self.path = path
        self.directory = call.directory
        self.trail = call.trail
        self.origin = call.origin
        self.auth: AuthContext | None = None
        self.csrf = ""
        address = call.service.public_url or call.address("")
        parts = urlsplit(address)
        self.party = RelyingParty(parts.hostname or "", f"{parts.scheme}://{parts.netloc}")
        self.home = address.rstrip("/") + "/console"
        secure = parts.scheme == "https"
        self.session_cookie = Cookie("session", secure)
        self.challenge_cookie = Cookie("challenge", secure)
        self.enrolment_cookie = Cookie("enrolment", secure)
        self._form: dict[str, list[str]] | None = None

    @property
    def root(self) -> str:
        """The link from this page to the console's root.

        It is relative, because the address may begin with the stage's name, which the page does not know.
        """
        slash = self.call.path.endswith("/")
        if not self.path:
            return "" if slash else "console/"
        return "../" * (len(self.path) - 1 + slash)

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.call.method

    def header(self, name: str) -> str:
        """Return a header of the request; empty if there is none."""
        return self.call.header(name) or ""

    def is_on_own_host(self) -> bool:
        """Return whether the request came to the stack's own host, with which passkeys were registered.

        Always true if the stack has no ``PUBLIC_URL``.
        """
        return not self.call.service.public_url or self.call.host in ("", urlsplit(self.home).netloc)

    def sign_in(self) -> "AuthContext":
        """Authenticate by the session's cookie and return the caller's context. Raises Unauthenticated."""
        username, _, secret = self._cookie(self.session_cookie).rpartition(".")
        own = not self.is_from_elsewhere()
        self.auth = sessions.resume(self.directory, username, secret, self.origin, record_use=own)
        self.csrf = sessions.csrf_token(secret)
        return self.auth

    @property
    def user(self) -> User:
        """The person signed in. Raises Unauthenticated."""
        return sessions.current(self.auth or self.sign_in())[0]

    def session_header(self, entry: sessions.Entry) -> dict[str, str]:
        """Return the header that sets the cookie of a new session, until the browser is closed."""
        return self.session_cookie.set(f"{entry.user.username}.{entry.secret}")

    def challenge_secret(self) -> str:
        """Return the secret of the browser's challenge; empty if it has none."""
        return self._cookie(self.challenge_cookie)

    def enrolment_secret(self) -> str:
        """Return the secret of the browser's request for a code; empty if it has made none."""
        return self._cookie(self.enrolment_cookie)

    def require_same_origin(self) -> None:
        """Raise Forbidden unless the request comes from a page of the console.

        Trusts ``Sec-Fetch-Site`` or, in a browser without it, ``Origin``. The cookies' ``SameSite=Strict`` is
        not enough: browsers send such cookies also for pages of sibling hosts (``a.example.com`` to
        ``b.example.com``).
        """
        site, origin = self.header("sec-fetch-site"), self.header("origin")
        same = site == "same-origin" if site else origin == self.party.origin
        if not same:
            raise Forbidden(
                "This was sent from another site, and nothing was done. Use the console's own pages."
            )

    def is_from_elsewhere(self) -> bool:
        """Return whether a page of another site or a sibling host, such as by a link, made the request.

        Chromium opens a WebSocket by a GET with the cookie and ``Origin``, and without Fetch metadata.
        """
        site, origin = self.header("sec-fetch-site"), self.header("origin")
        if site:
            return site in ("same-site", "cross-site")
        return origin not in ("", self.party.origin)

    def is_from_own_page(self) -> bool:
        """Return whether a page of the console led here, as far as the browser can tell."""
        return self.header("sec-fetch-site") in ("", "same-origin")

    def may_say_what_was_done(self) -> bool:
        """Return whether a page may say what was done, by its query: not where a link of somebody else led.

        Otherwise a link could say that a person was revoked, or that one has left the account.
        """
        return self.is_from_own_page() and "asked" not in self.query()

    def is_typed(self) -> bool:
        """Return whether the address was typed, or is a bookmark, as far as the browser can tell."""
        return self.header("sec-fetch-site") == "none"

    def require_not_embedded(self) -> None:
        """Raise Forbidden for what a page of another site or a sibling host loads, unless by a link.

        A sibling host's images, scripts and frames are sent with the session's cookie. Refused before it is
        read, they neither keep the session alive nor tell by their time or size what a page has.

        What a browser fetches ahead is refused, too: any page can have that done, with the cookie, and
        Chromium sends it with ``Sec-Fetch-Site: none``, like an address that was typed. It fetches the page
        again once somebody goes there.
        """
        mode, kind = self.header("sec-fetch-mode"), self.header("sec-fetch-dest")
        ahead = "prefetch" in self.header("sec-purpose")
        linked = mode == "navigate" and kind in ("", "document")
        if ahead or (self.is_from_elsewhere() and not linked):
            raise Forbidden("A page of another site may only link to the console, and not embed or load it.")

    def require_form_token(
        self, token: str, what_to_do: str = "Go back, reload the page, and try again."
    ) -> None:
        """Raise Forbidden if a form's token (CSRF) is not that of the session."""
        if not hmac.compare_digest(token.encode(), self.csrf.encode()):
            raise Forbidden(f"This form is from another session, and nothing was done. {what_to_do}")

    def form(self) -> dict[str, list[str]]:
        """Return the fields of the form, each with its values. Raises HttpError and ValidationError."""
        if self._form is None:
            self._form = {}
            if not self._sends_form():
                raise HttpError(415, "Send the form of the page.")
            try:
                fields = parse_qsl(self._body(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
            except ValueError:
                raise ValidationError(f"The form has more than {MAX_FIELDS} fields.") from None
            for name, value in fields:
                self._form.setdefault(name, []).append(value)
        return self._form

    def field(self, name: str) -> str:
        """Return one field of the form, without surrounding spaces; empty if there is none."""
        values = self.form().get(name)
        return values[-1].strip() if values else ""

    def typed(self) -> tuple[str, list[tuple[str, str]]]:
        """Return the username that the form names, which is not verified, and the fields to show again."""
        if not self._sends_form():
            return "", []
        fields = [(name, it) for name, given in self.form().items() for it in given if name not in _NOT_KEPT]
        return self.field(TYPED_BY) or self.field(SHOWN_TO), fields

    def json(self, kind: type[T]) -> T:
        """Return the JSON body that the page's script sent. Raises HttpError and ValidationError."""
        if self.header("content-type").partition(";")[0].strip().lower() != "application/json":
            raise HttpError(415, "This is for the script of the console's pages.")
        try:
            return msgspec.json.decode(self._body(), type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValidationError(f"The page's script sent what cannot be read: {error}.") from None

    def query(self) -> Mapping[str, str]:
        """Return the query parameters; of one that is given twice, the last value."""
        return self.call.last_query()

    def address(self) -> str:
        """Return this page's path below the console's root, with its query, as they stand in a link.

        A '#' or '?' in the path must not end it: what follows would not be what the server is asked for.
        """
        query = urlencode(self.query())
        return "/".join(quote(it, safe="") for it in self.path) + (f"?{query}" if query else "")

    def next_page(self) -> str:
        """Return the page to show after signing in: the query's ``next``, or the console's first page.

        Only a page of this console is accepted, so that a link cannot lead to another site; and no download,
        which somebody's link would have made without a question.
        """
        page = self.query().get("next", "")
        path, _, query = page.partition("?")
        if "format" in dict(parse_qsl(query)):
            page = path
        return page if _NEXT.fullmatch(page) and not page.startswith("sign-in") else ""

    def has_next(self) -> bool:
        """Return whether this address is a page that :meth:`next_page` takes, and not the first one."""
        return _NEXT.fullmatch(self.address()) is not None

    def browser(self) -> str:
        """Return a short name of the browser, by which people recognise it."""
        agent = self.header("user-agent")
        name = next((name for mark, name in _BROWSERS if mark in agent), "a browser")
        system = next((name for mark, name in _SYSTEMS if mark in agent), "")
        return f"{name} on {system}" if system else name

    def redirect_to(self, page: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return a redirect (303) to a page of the console, given below its root.

        Where a page leads that was asked for (:data:`ASKED`), it is known, too.
        """
        if self.method == "GET" and "asked" in self.query():
            page += f"{'&' if '?' in page else '?'}{ASKED}"
        return respond("", 303, {"Location": self.root + page or "./", **NO_STORE, **(headers or {})})

    def sign_out_redirect(self, why: str = "out") -> Response:
        """Return a redirect to the sign-in, which removes the session's cookie and all cached pages.

        ``Clear-Site-Data`` does not name ``"cookies"``: that would remove the cookies of the whole
        registrable domain (``example.com``) and sign people out of its other applications.
        """
        clear = {"Clear-Site-Data": '"cache", "storage"'}
        return self.redirect_to(f"sign-in?{why}=1", {**clear, **self.session_cookie.set("", 0)})

    def _sends_form(self) -> bool:
        kind = self.header("content-type").partition(";")[0].strip().lower()
        return kind == "application/x-www-form-urlencoded"

    def _body(self) -> str:
        raw = self.call.raw_body()
        if len(raw) > MAX_FORM_BYTES:
            raise HttpError(413, f"The form has {len(raw)} bytes; at most {MAX_FORM_BYTES} are read.")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ValidationError("The form is not UTF-8.") from None

    def _cookie(self, cookie: Cookie) -> str:
        """Return the value of a cookie; empty if the request has none."""
        for part in ";".join(self.call.headers("cookie")).split(";"):
            # Strip spaces and tabs only. Browsers let a sibling host set a cookie whose name starts with
            # another white space character before "__Host-"; str.strip() would remove that too.
            name, _, value = part.strip(" \t").partition("=")
            if name == cookie.full_name:
                return value
        return ""


NO_STORE = {"Cache-Control": "no-store"}
OWN_PAGES_ONLY = {"Cross-Origin-Resource-Policy": "same-origin"}


def respond(body: str, status: int, headers: Mapping[str, str]) -> Response:
    """Return a response with these headers, that pages of other origins cannot load."""
    return Response(body=body, status_code=status, headers={**OWN_PAGES_ONLY, **headers})


def check_fields(kind: type[validation.B], fields: dict[str, Any], now: float) -> validation.B:
    """Return the fields of a form as the body of the API's call. Raises ValidationError with every error."""
    return validation.check(kind, json.loads(json.dumps(fields)), now)
