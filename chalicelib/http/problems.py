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
    """One error in the body: a JSON pointer (RFC 6901) to the place, and what is wrong there."""

    pointer: Annotated[str, Meta(examples=["/email"])]
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Why a call was refused, and what to do about it."""

    type: Annotated[str, Meta(description="The type of the problem.", extra_json_schema={"format": "uri"})]
    title: Annotated[str, Meta(description="Human-readable title of the type.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong with this request, and what to do.")]
    request_id: Annotated[str, Meta(description="Include this when reporting a problem.")]
    errors: Annotated[tuple[ErrorDetail, ...], Meta(description="Every error in the body.")] = ()


class HttpError(ApiError):
    """An error that only HTTP knows: the method, size or media type of a request."""

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
    errors.Unavailable: 503,
}
# The phrase of RFC 9110. Python's own changes with its version; the type of a problem must not.
_TITLES = {413: "Content Too Large"}
_HEADERS: dict[int, dict[str, str]] = {401: {"WWW-Authenticate": CHALLENGE}, 503: {"Retry-After": "1"}}


def status_of(error: ApiError) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, HttpError) else _STATUS[type(error)]


def headers_of(error: ApiError) -> dict[str, str]:
    """Return the headers that only the response to this error has."""
    more = error.headers if isinstance(error, HttpError) else {}
    return {**_HEADERS.get(status_of(error), {}), **more}


def title_of(status: int) -> str:
    """Return the title of the problem of a status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def type_of(status: int) -> str:
    """Return the type of the problem of a status: a URN with its title."""
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


def problem_of(error: ApiError, request_id: str) -> Problem:
    """Return the problem for an error."""
    field_errors = error.errors if isinstance(error, errors.ValidationError) else ()
    return problem(status_of(error), error.detail, request_id, field_errors)
