"""A call: Chalice's request on one side, the rules on the other, a response at the end."""

import base64
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlencode

import msgspec
from chalice.app import Response

from chalicelib.http import authorization, validation
from chalicelib.http.problems import MEDIA_TYPE, HttpError, headers_of, problem, problem_of
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import ApiError, ValidationError
from chalicelib.rules.ports import Directory, Trail

if TYPE_CHECKING:
    from chalice.app import Request

    from chalicelib.http.validation import Body

_LOG = logging.getLogger(__name__)
_NO_STORE = {"Cache-Control": "no-store"}
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')

MAX_PAGE_SIZE = 100
"""Members a page has at most, and where ``limit`` is not given."""

B = TypeVar("B", bound="Body")


class Service(NamedTuple):
    """What calls run on: the tables, the clock, and the address customers know the API by."""

    directory: Directory
    trail: Trail
    now: Callable[[], float]
    public_url: str


class Paging(NamedTuple):
    """Which part of a list is asked for."""

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
        identity = context.get("identity") or {}
        self.origin = Origin(
            str(identity.get("sourceIp") or ""), str(context.get("requestId") or ""), service.now()
        )

    def authenticate(self, *guards: Callable[[AuthContext], Any], record_use: bool = True) -> AuthContext:
        """Return the context of the caller that signs in, once the guards have passed it.

        Records the use of the key unless ``record_use`` is False.

        Raises Unauthenticated, and what the guards raise.
        """
        username, key = authorization.credentials(self._authorization())
        auth = sign_in(self.directory, username, key, self.origin, record_use=record_use)
        for guard in guards:
            guard(auth)
        return auth

    def body(self, kind: type[B], largest: int = validation.LARGEST) -> B:
        """Return the body, of at most ``largest`` bytes. Raise HttpError or ValidationError."""
        media_type = self._request.headers.get("content-type")
        return validation.read(kind, self._raw(), media_type, self.origin.now, largest)

    def body_list(self, kind: type[B], most: int) -> tuple[B, ...]:
        """Return the body, an array of at most ``most``. Raise HttpError or ValidationError."""
        media_type = self._request.headers.get("content-type")
        return validation.read_list(kind, self._raw(), media_type, self.origin.now, most)

    def body_or_query(self, kind: type[B]) -> B:
        """Return the body or, where there is none, the query as one, for clients that cannot send the former.

        Raises ValidationError where there are both.
        """
        query = self._query()
        if not self._raw():
            return validation.check(kind, query, self.origin.now)
        if query:
            raise ValidationError("Give the body or the query, not both.")
        return self.body(kind)

    def body_or_none(self, kind: type[B]) -> B:
        """Return the body, or what ``kind`` is with nothing given."""
        return self.body(kind) if self._raw() else kind()

    def query(self, *names: str) -> dict[str, str]:
        """Return the query's parameters. Raise ValidationError for one not in ``names``, or given twice."""
        query = self._query()
        for name in query:
            if name not in names:
                known = f"there are {', '.join(names)}" if names else "this call takes none"
                raise ValidationError(f"There is no query parameter {name!r} here; {known}.")
        return query

    def paging(self, query: Mapping[str, str], cursor_form: str) -> Paging:
        """Return the part of a list that ``limit`` and ``cursor`` ask for; raises ValidationError."""
        limit = query.get("limit", str(MAX_PAGE_SIZE))
        if not (re.fullmatch(r"[0-9]{1,3}", limit) and 1 <= int(limit) <= MAX_PAGE_SIZE):
            raise ValidationError(f"'limit' is a whole number from 1 to {MAX_PAGE_SIZE}.")
        cursor = query.get("cursor")
        return Paging(int(limit), None if cursor is None else _opened(cursor, cursor_form))

    def if_match(self) -> Callable[[str], bool] | None:
        """Return the test of a version that ``If-Match`` is (RFC 9110, 13.1.1); None where there is none.

        Raises ValidationError for what is no list of entity tags.
        """
        header = self._request.headers.get("if-match")
        if header is None:
            return None
        if header.strip() == "*":
            return lambda _version: True
        tags = [tag for weak, tag in _TAG.findall(header) if not weak]
        if not _TAG.search(header) or _TAG.sub("", header).strip(" \t,"):
            raise ValidationError("'If-Match' is '*', or entity tags with their quotes, as ETag gives them.")
        return lambda version: etag(version) in tags

    def next_page(self, path: str, after: str | None, query: Mapping[str, str]) -> dict[str, str]:
        """Return the ``Link`` to the next part of a list (RFC 8288), if there is one."""
        if after is None:
            return {}
        more = {**query, "cursor": _sealed(after)}
        return {"Link": f'<{self.address(path)}?{urlencode(more)}>; rel="next"'}

    def address(self, path: str) -> str:
        """Return a path as the URL customers reach it by: as deployed with, or API Gateway's own.

        Without a host if the event has none, as from the console's test: the change has been made by now,
        and a caller who gets an error instead of the response has lost its keys.
        """
        if self.service.public_url:
            return self.service.public_url + path
        context = self._request.context
        stage = f"/{context['stage']}" if context.get("stage") else ""
        return f"https://{context['domainName']}{stage}{path}" if context.get("domainName") else stage + path

    def _authorization(self) -> str | None:
        """Return the Authorization header. API Gateway puts the last of several into ``headers``."""
        several = self._request.to_original_event().get("multiValueHeaders") or {}
        values = [it for name, each in several.items() if name.lower() == "authorization" for it in each]
        return authorization.only_one(values) if values else self._request.headers.get("authorization")

    def _raw(self) -> bytes:
        raw = self._request.raw_body
        return raw if isinstance(raw, bytes) else raw.encode()

    def _query(self) -> dict[str, str]:
        given = self._request.query_params
        query: dict[str, str] = {}
        for name in given or ():
            values = given.getlist(name) if given else []
            if len(values) > 1:
                raise ValidationError(f"The query parameter {name!r} stands twice.")
            query[name] = values[0]
        return query


def etag(version: str) -> str:
    """Return a version as a strong entity tag."""
    return f'"{version}"'


def reply(
    status: int,
    answer: "msgspec.Struct | tuple[msgspec.Struct, ...]",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a JSON response."""
    return _response(status, msgspec.json.encode(answer).decode(), "application/json", headers)


def nothing() -> Response:
    """Return that it is done, and that there is nothing to say."""
    return Response(body="", status_code=204, headers=dict(_NO_STORE))


def serve(
    request: "Request", service: Callable[[], Service], view: Callable[..., Response], *parameters: str
) -> Response:
    """Return what a view makes of a call and its path's parameters, or the problem it raises.

    API Gateway may hand parameters over percent-escaped or not; what they name has no '%' in it. What is
    no Fault is ours: logged, and a 500.
    """
    request_id = str(request.context.get("requestId") or "")
    try:
        return view(Call(request, service()), *map(unquote, parameters))
    except ApiError as fault:
        return refusal(fault, request_id)
    except Exception:
        # Not "requestId": Lambda's JSON log puts its own there.
        _LOG.exception("a call failed", extra={"apiRequestId": request_id})
        return _problem(
            problem(
                500, "Something is wrong on our side, and on record. Quote the requestId to us.", request_id
            )
        )


def refusal(fault: ApiError, request_id: str) -> Response:
    """Return a fault as its problem."""
    return _problem(problem_of(fault, request_id), headers_of(fault))


def not_allowed(request: "Request", methods: list[str]) -> Response:
    """Return that a path is there, but not for this method (RFC 9110, 15.5.6)."""
    allow = ", ".join(sorted(methods))
    fault = HttpError(405, f"{request.method} is not for this path; it takes {allow}.", {"Allow": allow})
    return refusal(fault, str(request.context.get("requestId") or ""))


def _problem(it: msgspec.Struct, headers: Mapping[str, str] | None = None) -> Response:
    status: int = it.status  # type: ignore[attr-defined]
    return _response(status, msgspec.json.encode(it).decode(), MEDIA_TYPE, headers)


def _response(status: int, body: str, media_type: str, headers: Mapping[str, str] | None) -> Response:
    return Response(
        body=body, status_code=status, headers={"Content-Type": media_type, **_NO_STORE, **(headers or {})}
    )


def _sealed(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def _opened(cursor: str, form: str) -> str:
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError:
        after = ""
    if not re.fullmatch(form, after) or _sealed(after) != cursor:
        raise ValidationError("'cursor' is not one of ours. Follow the Link header of the page before.")
    return after
