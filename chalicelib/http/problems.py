"""Errors as ``application/problem+json`` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.rules import faults
from chalicelib.rules.faults import Fault, FieldFault

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:service-users:problem:"
CHALLENGE = 'Basic realm="Service Users", charset="UTF-8"'


class ErrorDetail(msgspec.Struct, frozen=True):
    """One fault of the body: a JSON pointer (RFC 6901) to the place, and what is wrong there."""

    pointer: Annotated[str, Meta(examples=["/email"])]
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Why a call was refused, and what to do about it."""

    type: Annotated[str, Meta(description="What kind of problem it is.", extra_json_schema={"format": "uri"})]
    title: Annotated[str, Meta(description="The same for people.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong this time, and what to do.")]
    request_id: Annotated[str, Meta(description="What to quote to us.")]
    errors: Annotated[tuple[ErrorDetail, ...], Meta(description="Every fault of the body.")] = ()


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
# As RFC 9110 has it; Python's own phrase changes with its version, and a problem's type may not.
_TITLES = {413: "Content Too Large"}
_HEADERS: dict[int, dict[str, str]] = {401: {"WWW-Authenticate": CHALLENGE}, 503: {"Retry-After": "1"}}


def status_of(fault: Fault) -> int:
    """Answer the HTTP status of a fault."""
    return fault.status if isinstance(fault, HttpFault) else _STATUS[type(fault)]


def headers_of(fault: Fault) -> dict[str, str]:
    """Answer the headers a fault's response carries beside those every response has."""
    more = fault.headers if isinstance(fault, HttpFault) else {}
    return {**_HEADERS.get(status_of(fault), {}), **more}


def title_of(status: int) -> str:
    """Answer the title of a status' problem."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def type_of(status: int) -> str:
    """Answer the type of a status' problem: a URN that names its title."""
    return TYPE + title_of(status).lower().replace(" ", "-")


def problem(status: int, detail: str, request_id: str, errors: tuple[FieldFault, ...] = ()) -> Problem:
    """Answer the problem of a status."""
    return Problem(
        type=type_of(status),
        title=title_of(status),
        status=status,
        detail=detail,
        request_id=request_id,
        errors=tuple(ErrorDetail(*error) for error in errors),
    )


def problem_of(fault: Fault, request_id: str) -> Problem:
    """Answer the problem a fault is."""
    errors = fault.faults if isinstance(fault, faults.Invalid) else ()
    return problem(status_of(fault), fault.detail, request_id, errors)
