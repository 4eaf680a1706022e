"""Errors as ``application/problem+json`` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.rules import errors
from chalicelib.rules.errors import ApiError, FieldError

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


class HttpError(ApiError):
    """A fault of the HTTP request itself."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


_STATUS: dict[type[ApiError], int] = {
    errors.ValidationError: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.ConfirmationNeeded: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.ConcurrentChange: 409,
    errors.PreconditionFailed: 412,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}
# As RFC 9110 has it; Python's own phrase changes with its version, and a problem's type may not.
_TITLES = {413: "Content Too Large"}
_HEADERS: dict[int, dict[str, str]] = {401: {"WWW-Authenticate": CHALLENGE}, 503: {"Retry-After": "1"}}


def status_of(fault: ApiError) -> int:
    """Return the HTTP status of a fault."""
    return fault.status if isinstance(fault, HttpError) else _STATUS[type(fault)]


def headers_of(fault: ApiError) -> dict[str, str]:
    """Return the headers a fault's response carries beside those every response has."""
    more = fault.headers if isinstance(fault, HttpError) else {}
    if isinstance(fault, errors.TooManyRequests):
        more = {"Retry-After": str(fault.retry_after)}
    return {**_HEADERS.get(status_of(fault), {}), **more}


def title_of(status: int) -> str:
    """Return the title of a status' problem."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def type_of(status: int) -> str:
    """Return the type of a status' problem: a URN that names its title."""
    return TYPE + title_of(status).lower().replace(" ", "-")


def problem(status: int, detail: str, request_id: str, errors: tuple[FieldError, ...] = ()) -> Problem:
    """Return the problem of a status."""
    return Problem(
        type=type_of(status),
        title=title_of(status),
        status=status,
        detail=detail,
        request_id=request_id,
        errors=tuple(ErrorDetail(*error) for error in errors),
    )


def problem_of(fault: ApiError, request_id: str) -> Problem:
    """Return the problem a fault is."""
    field_faults = fault.errors if isinstance(fault, errors.ValidationError) else ()
    return problem(status_of(fault), fault.detail, request_id, field_faults)
