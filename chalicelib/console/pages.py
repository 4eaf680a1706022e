"""Pages: templates, the headers of every page, and pages for errors."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from chalice.app import Response
from jinja2 import Environment, FileSystemLoader, ModuleLoader, StrictUndefined
from markupsafe import Markup

from chalicelib.console.visit import NO_STORE, Visit, respond
from chalicelib.http import responses
from chalicelib.http.call import log_refused_sign_in
from chalicelib.http.problems import HttpError, headers_of, status_of
from chalicelib.rules import api_keys, networks, sessions
from chalicelib.rules.catalogue import CATALOGUE, DEFAULT
from chalicelib.rules.errors import ApiError, Forbidden, Unauthenticated
from chalicelib.rules.roles import Role, in_order

if TYPE_CHECKING:
    from chalicelib.console.settings import Settings

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
COMPILED = _HERE / "compiled"
"""The templates as modules, which are in the package alone: compiling them takes longer than all the rest."""
_HTML = "text/html; charset=utf-8"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


def _without_indentation(script: str) -> str:
    """Return a script without the spaces that its lines begin with, to keep a first visit small."""
    return re.sub(r"\n *", "\n", script)


GUARD = _without_indentation((_HERE / "guard.js").read_text(encoding="utf-8")).replace("\n", "")
"""The script in every page that sends nothing for a second after the page has appeared.

Another site can have a page of ours appear under the second of two clicks: by going back to it, by a link to
the page that asks first, or by a window over it that closes. What counts is when the click was made: a page
that shares this one's thread can have it handled later. What needs a passkey needs a touch, so it is sent.

It is in the page, and runs before the page has a button: a sibling host can keep a browser from loading a
file, by cookies for the file's path that are larger than the gateway takes. A link that is followed in
that second leads to a page that waits, too. The second begins when the page is first painted; a page that the
browser kept whole is loaded anew, because it is not said when such a page is painted. A press counts from its
beginning, however long it is held.
"""

_HASH = base64.b64encode(hashlib.sha256(GUARD.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_HASH}'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    **NO_STORE,
    "Content-Type": _HTML,
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that, browsers send "Origin: null" with the forms of one's own pages.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # So that no page of a sibling host shares this one's thread, where the browser can have it so.
    "Origin-Agent-Cluster": "?1",
    "Permissions-Policy": (
        "publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self), "
        "camera=(), microphone=(), geolocation=(), payment=()"
    ),
}
"""The headers of every page."""

_HOUR, _DAY = 3600, 86_400


def page(
    visit: Visit, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response:
    """Return a page rendered from a template."""
    auth = visit.auth
    session = sessions.current(auth)[1] if auth is not None else None
    now = visit.origin.now
    unsaid = {} if visit.may_say_what_was_done() else {"done": "", "said": ""}
    text = (
        environment()
        .get_template(template)
        .render(
            root=visit.root,
            settings=visit.settings,
            assets=assets(visit.settings),
            me=visit.user if auth is not None else None,
            role=auth.role if auth is not None else None,
            manages=auth is not None and auth.role.covers(Role.CLUSTER_ADMIN),
            owns=auth is not None and auth.role is Role.OWNER,
            # Also what browsers call typed: a typed page can be reloaded as a redirect to this one.
            elsewhere=not visit.is_from_own_page(),
            guard=Markup(GUARD),  # noqa: S704 - it is ours, and its hash is in the policy
            csrf=visit.csrf,
            here="/".join(visit.path),
            source_ip=visit.origin.source_ip,
            session_left=max(0, sessions.ends_at(session) - int(now)) if session is not None else 0,
            session_longest=max(0, session.started_at + sessions.MAX_SECONDS - int(now)) if session else 0,
            confirmed_left=max(0, (sessions.confirmed_until(auth) or 0) - int(now))
            if auth is not None
            else 0,
            now=int(now),
            **{"errors": {}, "form": {}, "done": "", "restored": False, **values, **unsaid},
        )
    )
    secure = {"Strict-Transport-Security": "max-age=31536000"} if visit.session_cookie.secure else {}
    return respond(text, status, {**HEADERS, **secure, **(headers or {})})


def refusal(visit: Visit, error: ApiError) -> Response:
    """Return the page for an error, in the API's own words."""
    log_refused_sign_in(error, visit.origin.request_id)
    if isinstance(error, Unauthenticated):
        if visit.method == "GET":
            return visit.redirect_to(
                f"sign-in?next={quote(visit.address(), safe='')}" if visit.has_next() else "sign-in"
            )
        return sign_in_again(visit, error)
    status = status_of(error)
    return page(
        visit,
        "problem.html",
        status,
        headers_of(error),
        detail=error.detail,
        status_code=status,
        request_id=visit.origin.request_id,
    )


def sign_in_again(visit: Visit, error: Unauthenticated) -> Response:
    """Return the page for a form that was sent after its session had ended.

    It has a sign-in, and keeps what was typed, but no secrets, in a form of its own that leads back.
    """
    visit.auth = None
    try:
        typed_by, kept = visit.typed()
    except (ApiError, HttpError):  # a form that cannot be read has nothing to keep
        typed_by, kept = "", []
    return page(
        visit,
        "sign-in-again.html",
        status_of(error),
        detail=error.detail,
        kept=kept if typed_by else [],
        typed_by=typed_by,
        next_page=visit.address(),
    )


def require_role(visit: Visit, lowest: Role, what: str) -> None:
    """Raise Forbidden if the caller's role may not see a page; the message names the roles that may."""
    auth = visit.auth or visit.sign_in()
    if not auth.role.covers(lowest):
        roles = " or ".join(role.value for role in reversed(Role) if role.covers(lowest))
        raise Forbidden(f"{what} requires the role {roles}; your role is {auth.role.value}. Ask an OWNER.")


@cache
def environment() -> Environment:
    """Return the templates' environment: their folder, filters and globals."""
    made = Environment(
        loader=ModuleLoader(COMPILED) if COMPILED.exists() else FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"ago": ago, "used": used, "words": words, "quoted": quoted, "recorded": recorded}
    made.globals |= {
        "admits": networks.admits,
        "current_predecessor": api_keys.current_predecessor,
        "types_shown": api_keys.types_shown,
        "in_order": in_order,
        "own_words": CATALOGUE is not DEFAULT,
    }
    return made


def utc(second: int) -> str:
    """Return a time to the second, for people."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S} UTC"


def stamp(second: int) -> str:
    """Return a time in RFC 3339."""
    return utc(second).replace(" UTC", "Z").replace(" ", "T")


def ago(second: int, now: int) -> Markup:
    """Return a time relative to now, with the exact time beside it."""
    return moment(second, _seen_from(second, now))


def used(second: int, now: int) -> Markup:
    """Return when a key was last used, which is recorded at most once an hour."""
    if now - second < _HOUR:
        return moment(second, "within the hour")
    return ago(second, now)


def moment(second: int, text: str) -> Markup:
    """Return a time in words, with the exact time beside it, and for machines."""
    return Markup('<time datetime="{}">{} <span class="utc">({})</span></time>').format(
        stamp(second), text, utc(second)
    )


def words(name: str) -> str:
    """Return a name of the API in words: ``API_KEY_ROTATED`` as "API key rotated"."""
    text = name.replace("_", " ").capitalize()
    return (
        text.replace("Api key", "API key")
        .replace("api key", "API key")
        .replace("Service user", "Service User")
    )


def recorded(change: tuple[str, str], field: str) -> tuple[str, ...]:
    """Return the old and the new value of a changed field, as the API has them."""
    return tuple(responses.moment(int(text)) if text and field == "expiresAt" else text for text in change)


def quoted(value: str) -> str:
    """Return a value of an event as JSON, as in CSV: what somebody typed is taken for nothing else."""
    return json.dumps(value, ensure_ascii=False)


def _seen_from(second: int, now: int) -> str:
    distance = abs(now - second)
    if distance < 60:
        return "just now" if second <= now else "in a minute"
    units = (("day", _DAY), ("hour", _HOUR), ("minute", 60))
    unit, size = next((unit, size) for unit, size in units if distance >= size)
    # What is to come is rounded to the nearest: a key that ends "in 90 days" does so a second later, too.
    count = distance // size if second <= now else (distance + size // 2) // size
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{text} ago" if second <= now else f"in {text}"


@cache
def assets(settings: "Settings") -> dict[str, str]:
    """Return the names of the static files. Each contains the file's hash, so it can be cached for ever."""
    names = {}
    for file in sorted(_STATIC.iterdir()):
        mark = hashlib.sha256(_content(file, settings).encode()).hexdigest()[:12]
        names[file.stem if file.suffix != ".css" else "css"] = f"static/{file.stem}-{mark}{file.suffix}"
    return names


def static(visit: Visit, name: str) -> Response | None:
    """Return a static file; None if there is none with the name."""
    if f"static/{name}" not in assets(visit.settings).values():
        return None
    file = _STATIC / f"{name.rpartition('-')[0]}{Path(name).suffix}"
    headers = {
        "Content-Type": _TYPES[file.suffix],
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return respond(_content(file, visit.settings), 200, headers)


@cache
def _content(file: Path, settings: "Settings") -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".js":
        text = _without_indentation(text)
    return text.replace("--brand:#0b4f86", f"--brand:{settings.colour}").replace(
        "--on-brand:#fff", f"--on-brand:{settings.on_colour}"
    )
