"""A call: from Chalice's request to the rules, and from their result to a response."""

import base64
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlencode

import msgspec
from chalice.app import Response

from chalicelib.http import authorization, validation
from chalicelib.http.browsers import refuse_other_sites
from chalicelib.http.problems import MEDIA_TYPE, HttpError, headers_of, problem, problem_of
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import ApiError, ValidationError, sign_in_fields
from chalicelib.rules.ports import Directory, Trail

if TYPE_CHECKING:
    from chalice.app import Request

    from chalicelib.http.validation import Body

_LOG = logging.getLogger(__name__)
_NO_STORE = {"Cache-Control": "no-store"}
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')

MAX_PAGE_SIZE = 100
"""The most members of a page, and the default of ``limit``."""

MAX_PAGE_BYTES = 600_000
"""The most bytes of a page in JSON: it ends earlier. In any format it is then below 1 MB."""

B = TypeVar("B", bound="Body")
A = TypeVar("A", bound=msgspec.Struct)


class Service(NamedTuple):
    """What calls need: the tables, the clock, and the API's public address."""

    directory: Directory
    trail: Trail
    now: Callable[[], float]
    public_url: str


class Paging(NamedTuple):
    """Which page of a list to return: at most ``limit`` members, after ``after``."""

    limit: int
    after: str | None


class Call:
    """One HTTP request."""

    def __init__(self, request: "Request", service: Service) -> None:
        self._request = request
        self.service = service
        self.directory = service.directory
        self.trail = service.trail
        context = request.context
        self.path = str(context.get("path") or "")
        # To a view, HEAD is GET (RFC 9110, 9.3.2): Routes.serve leaves out the body.
        self.method = "GET" if request.method == "HEAD" else request.method
        identity = context.get("identity") or {}
        self.origin = Origin(
            str(identity.get("sourceIp") or ""), str(context.get("requestId") or ""), service.now()
        )

    def authenticate(self, *guards: Callable[[AuthContext], Any], record_use: bool = True) -> AuthContext:
        """Authenticate the caller, apply the guards, and return the caller's context.

        Records the use of the key unless ``record_use`` is False.

        Raises Unauthenticated, and what the guards raise.
        """
        username, key = authorization.credentials(self._authorization())
        auth = sign_in(self.directory, username, key, self.origin, record_use=record_use)
        for guard in guards:
            guard(auth)
        return auth

    @property
    def host(self) -> str:
        """The host that the request was sent to, with its port if that is not the usual one."""
        return (self.header("host") or "").lower()

    def raw_body(self) -> bytes:
        """Return the body as it was sent."""
        return self._raw()

    def last_query(self) -> dict[str, str]:
        """Return all query parameters; of one that is given twice, the last value."""
        given = self._request.query_params
        return {name: given.getlist(name)[-1] for name in given or ()} if given else {}

    def body(self, kind: type[B], largest: int = validation.MAX_BODY_BYTES) -> B:
        """Return the body, of at most ``largest`` bytes. Raise HttpError or ValidationError."""
        media_type = self._request.headers.get("content-type")
        return validation.read(kind, self._raw(), media_type, self.origin.now, largest)

    def body_list(self, kind: type[B], most: int) -> tuple[B, ...]:
        """Return the body, an array of at most ``most``. Raise HttpError or ValidationError."""
        media_type = self._request.headers.get("content-type")
        return validation.read_list(kind, self._raw(), media_type, self.origin.now, most)

    def body_or_query(self, kind: type[B], flags: Collection[str] = ()) -> B:
        """Read the body and the query string as one, for clients that cannot send a body.

        ``flags`` are the boolean fields. A false one in the query counts as not given, because generated
        clients send it with every call. Raises ValidationError if a field is given in both and differs.
        """
        given: dict[str, Any] = {
            name: value == "true" if name in flags and value in ("true", "false") else value
            for name, value in self._query().items()
        }
        raw = self._raw()
        if not raw:
            return validation.check(kind, given, self.origin.now)
        sent = validation.read_json(raw, self._request.headers.get("content-type"))
        if isinstance(sent, dict):
            given = {name: value for name, value in given.items() if value is not False}
            for name, value in given.items():
                if sent.get(name, value) != value:
                    raise ValidationError(f"The body and the query differ in {name!r}. Give it once.")
            sent = {**sent, **given}
        return validation.check(kind, sent, self.origin.now, len(raw))

    def body_or_none(self, kind: type[B]) -> B:
        """Return the body, or a ``kind`` with its defaults if there is none."""
        return self.body(kind) if self._raw() else kind()

    def query(self, *names: str) -> dict[str, str]:
        """Return the query parameters. Raise ValidationError for one not in ``names``, or given twice."""
        query = self._query()
        for name in query:
            if name not in names:
                known = f"Use {', '.join(names)}" if names else "This call takes none"
                raise ValidationError(f"Unknown query parameter {name!r}. {known}.")
        return query

    def paging(self, query: Mapping[str, str], cursor_form: str) -> Paging:
        """Return the page that ``limit`` and ``cursor`` ask for. Raise ValidationError."""
        limit = query.get("limit", str(MAX_PAGE_SIZE))
        if not (re.fullmatch(r"[0-9]{1,3}", limit) and 1 <= int(limit) <= MAX_PAGE_SIZE):
            raise ValidationError(f"'limit' must be a whole number from 1 to {MAX_PAGE_SIZE}.")
        cursor = query.get("cursor")
        return Paging(int(limit), None if cursor is None else _decode_cursor(cursor, cursor_form))

    def if_match(self) -> Callable[[str], bool] | None:
        """Return a predicate on versions for the ``If-Match`` header (RFC 9110, 13.1.1); None without one.

        None also for ``*``, which holds for whatever exists, in any version. Several headers are one list
        (5.3). Raises ValidationError if that is not a list of entity tags.
        """
        header = ", ".join(self.headers("if-match"))
        if header.strip() == "*" or (not header and self.header("if-match") is None):
            return None
        tags = [tag for weak, tag in _TAG.findall(header) if not weak]
        if not _TAG.search(header) or _TAG.sub("", header).strip(" \t,"):
            raise ValidationError(
                "'If-Match' must be '*' or quoted entity tags, as the ETag header gives them."
            )
        return lambda version: etag(version) in tags

    def next_page(self, path: str, after: str | None, query: Mapping[str, str]) -> dict[str, str]:
        """Return the headers for the next page; empty if there is none.

        ``Link`` has its URL (RFC 8288), ``Next-Cursor`` the cursor alone, for clients with typed parameters.
        """
        if after is None:
            return {}
        cursor = _encode_cursor(after)
        url = f"{self.address(path)}?{urlencode({**query, 'cursor': cursor})}"
        return {"Link": f'<{url}>; rel="next"', "Next-Cursor": cursor}

    def header(self, name: str) -> str | None:
        """Return a request header by its name in lower case; None if there is none."""
        value = self._request.headers.get(name)
        return None if value is None else str(value)

    def headers(self, name: str) -> tuple[str, ...]:
        """Return every value of a request header by its name in lower case.

        A browser may send each cookie in a header of its own (RFC 9113, 8.2.3). Of several, API Gateway puts
        only the last into ``headers``.
        """
        several = self._request.to_original_event().get("multiValueHeaders") or {}
        values = tuple(str(it) for given, each in several.items() if given.lower() == name for it in each)
        one = self.header(name)
        return values or (() if one is None else (one,))

    def address(self, path: str) -> str:
        """Return the URL of a path: at the public address if the stack has one, else at API Gateway's.

        It has no host if the event has none, as one from AWS's console for tests. That is no error: the
        change has been made by now, and a caller who gets an error instead of the response loses its keys.
        """
        if self.service.public_url:
            return self.service.public_url + path
        context = self._request.context
        # An HTTP API has the stage "$default", which is in no URL.
        stage = "" if context.get("stage") in (None, "", "$default") else f"/{context['stage']}"
        return f"https://{context['domainName']}{stage}{path}" if context.get("domainName") else stage + path

    def _authorization(self) -> str | None:
        """Return the Authorization header, of which there may be one."""
        values = self.headers("authorization")
        return authorization.only_one(list(values)) if values else None

    def own_urls(self) -> tuple[str, ...]:
        """Return the URLs of this service: its public address, and API Gateway's own."""
        domain = self._request.context.get("domainName")
        return tuple(url for url in (self.service.public_url, domain and f"https://{domain}") if url)

    def _raw(self) -> bytes:
        raw = self._request.raw_body
        return raw if isinstance(raw, bytes) else raw.encode()

    def _query(self) -> dict[str, str]:
        given = self._request.query_params
        query: dict[str, str] = {}
        for name in given or ():
            values = given.getlist(name) if given else []
            if len(values) > 1:
                raise ValidationError(f"The query parameter {name!r} is given twice.")
            query[name] = values[0]
        return query


View = Callable[..., Response]
V = TypeVar("V", bound=View)
_CONDITIONAL: set[View] = set()
_UNSUPPORTED = ("If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")


def conditional(view: V) -> V:
    """Mark a view that supports ``If-Match``; every other one refuses it."""
    _CONDITIONAL.add(view)
    return view


def refuse_preconditions(request: "Request", view: View) -> None:
    """Raise ValidationError for a precondition that the view does not evaluate (RFC 9110, 13.1).

    A change must not be made if its precondition is false. For a read, ignoring one only costs bytes.
    """
    names = [name for name in _UNSUPPORTED if name.lower() in request.headers]
    if request.method in ("GET", "HEAD"):
        names = [name for name in names if name == "If-Unmodified-Since"]
    if "if-match" in request.headers and view not in _CONDITIONAL:
        names.append("If-Match")
    if names:
        evaluated = "'If-Match' with an ETag" if view in _CONDITIONAL else "no precondition"
        raise ValidationError(
            f"This call does not evaluate '{names[0]}'; it evaluates {evaluated}. Nothing was done."
        )


def etag(version: str) -> str:
    """Return a version as a strong entity tag."""
    return f'"{version}"'


def reply(
    status: int,
    body: "msgspec.Struct | tuple[msgspec.Struct, ...]",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a JSON response."""
    return _response(status, msgspec.json.encode(body).decode(), "application/json", headers)


def fit(members: Sequence[tuple[str, A]], after: str | None) -> tuple[tuple[A, ...], str | None]:
    """Return as many members of a page as a response may contain, and where the next page starts.

    ``members`` are each with where a page after it starts; ``after`` is where the page after the last starts.
    """
    size = 2
    for number, (_, member) in enumerate(members):
        size += len(msgspec.json.encode(member)) + 1
        if size > MAX_PAGE_BYTES and number:
            return tuple(it for _, it in members[:number]), members[number - 1][0]
    return tuple(it for _, it in members), after


def reply_as_text(body: str, media_type: str, headers: Mapping[str, str]) -> Response:
    """Return a 200 response with a media type other than JSON."""
    return _response(200, body, media_type, headers)


def nothing() -> Response:
    """Return 204 without a body."""
    return Response(body="", status_code=204, headers=dict(_NO_STORE))


def serve(request: "Request", service: Callable[[], Service], view: View, *parameters: str) -> Response:
    """Return a view's response, or the problem for the error it raises.

    API Gateway passes path parameters percent-escaped or not; no name contains a '%', so unescaping is safe.
    Any exception but an ApiError is an internal error: logged, and a 500.
    """
    request_id = str(request.context.get("requestId") or "")
    try:
        call = Call(request, service())
        refuse_other_sites(request.method, request.path, request.headers, call.own_urls())
        refuse_preconditions(request, view)
        return view(call, *map(unquote, parameters))
    except ApiError as error:
        log_refused_sign_in(error, request_id)
        return refusal(error, request_id)
    except Exception:
        # Not "requestId": Lambda's JSON log format has its own field of that name.
        _LOG.exception("a call failed", extra={"apiRequestId": request_id})
        return _problem(
            problem(
                500, "An internal error occurred and was logged. Report it with its requestId.", request_id
            )
        )


def refusal(error: ApiError, request_id: str) -> Response:
    """Return the response that refuses a call: the problem for an error."""
    return _problem(problem_of(error, request_id), headers_of(error))


def log_refused_sign_in(error: ApiError, request_id: str) -> None:
    """Log why a sign-in with a key is refused, for the operator's metrics; nothing for any other error.

    The line names nobody: a username that does not exist may be a key that was pasted into the wrong field.
    """
    if fields := sign_in_fields(error):
        _LOG.info("a sign-in was refused", extra={**fields, "apiRequestId": request_id})


def not_allowed(request: "Request", methods: list[str]) -> Response:
    """Return 405: the path exists, but not for this method (RFC 9110, 15.5.6)."""
    allow = ", ".join(sorted(methods))
    error = HttpError(405, f"{request.method} is not allowed on this path; use {allow}.", {"Allow": allow})
    return refusal(error, str(request.context.get("requestId") or ""))


def _problem(it: msgspec.Struct, headers: Mapping[str, str] | None = None) -> Response:
    status: int = it.status  # type: ignore[attr-defined]
    return _response(status, msgspec.json.encode(it).decode(), MEDIA_TYPE, headers)


def _response(status: int, body: str, media_type: str, headers: Mapping[str, str] | None) -> Response:
    return Response(
        body=body, status_code=status, headers={"Content-Type": media_type, **_NO_STORE, **(headers or {})}
    )


def _encode_cursor(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, form: str) -> str:
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError:
        after = ""
    if not re.fullmatch(form, after) or _encode_cursor(after) != cursor:
        raise ValidationError("'cursor' is invalid. Use the Link header of the previous page.")
    return after
