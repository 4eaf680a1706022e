"""Errors as ``application/problem+json`` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from chalicelib.rules import faults
from chalicelib.rules.faults import Fault, FieldFault

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:service-users:problem:"
CHALLENGE = 'Basic realm="Service Users", charset="UTF-8"'


class ErrorDetail(msgspec.Struct, frozen=True):
    """One fault of the body: a JSON pointer (RFC 6901) to the place, and what is wrong there."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Why a call was refused, and what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: tuple[ErrorDetail, ...] = ()


class HttpFault(Fault):
    """A fault of the HTTP request itself."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


_STATUS: dict[type[Fault], int] = {
    faults.Invalid: 400,
    faults.Unauthenticated: 401,
    faults.Forbidden: 403,
    faults.NotFound: 404,
    faults.Conflict: 409,
    faults.PreconditionFailed: 412,
    faults.Busy: 503,
}
_HEADERS: dict[int, dict[str, str]] = {401: {"WWW-Authenticate": CHALLENGE}, 503: {"Retry-After": "1"}}


def status_of(fault: Fault) -> int:
    """Answer the HTTP status of a fault."""
    return fault.status if isinstance(fault, HttpFault) else _STATUS[type(fault)]


def headers_of(fault: Fault) -> dict[str, str]:
    """Answer the headers a fault's response carries beside those every response has."""
    more = fault.headers if isinstance(fault, HttpFault) else {}
    return {**_HEADERS.get(status_of(fault), {}), **more}


def problem(status: int, detail: str, request_id: str, errors: tuple[FieldFault, ...] = ()) -> Problem:
    """Answer the problem of a status; its type is a URN named after the status' title."""
    title = HTTPStatus(status).phrase
    return Problem(
        type=TYPE + title.lower().replace(" ", "-"),
        title=title,
        status=status,
        detail=detail,
        request_id=request_id,
        errors=tuple(ErrorDetail(*error) for error in errors),
    )


def problem_of(fault: Fault, request_id: str) -> Problem:
    """Answer the problem a fault is."""
    errors = fault.faults if isinstance(fault, faults.Invalid) else ()
    return problem(status_of(fault), fault.detail, request_id, errors)
