"""The exceptions of the client: a class for each kind of problem that the API responds with (RFC 9457)."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

KEY = re.compile(r"suk_[0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class ServiceUsersError(Exception):
    """Whatever this client raises. The text says what to do, and never has a key in it."""

    may_have_taken_effect = False
    """Whether the call may have changed something although there is no success to show for it."""


class ProfileError(ServiceUsersError):
    """There is no such profile, or its key cannot be read or stored."""


class InvalidName(ServiceUsersError):
    """A username or a key type is empty, "." or "..", which no address can have. Nothing was sent."""


class NotStored(ServiceUsersError):
    """A key was rotated and its successor could not be stored. The present key works for the overlap."""


class NoResponse(ServiceUsersError):
    """The service cannot be reached. Nothing was done."""


class ResponseLost(ServiceUsersError):
    """No response to a call that may have taken effect, and that must not be repeated blindly."""

    may_have_taken_effect = True


class InvalidResponse(ServiceUsersError):
    """A response of success that says it is JSON, and is not: from a gateway, or from another service."""

    def __init__(self, text: str, *, may_have_taken_effect: bool) -> None:
        self.may_have_taken_effect = may_have_taken_effect
        super().__init__(text)


class ErrorDetail(NamedTuple):
    """One error in the body of a request: a JSON pointer to the place, and what is wrong there."""

    pointer: str
    detail: str


class Problem(ServiceUsersError):
    """The API refused a call: the fields of its ``application/problem+json``.

    ``retry_after`` is the seconds to wait, if the response says so.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        type: str = "about:blank",  # noqa: A002 - the name of the field
        title: str = "",
        request_id: str = "",
        errors: tuple[ErrorDetail, ...] = (),
        retry_after: int | None = None,
        may_have_taken_effect: bool = False,
    ) -> None:
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.errors = errors
        self.retry_after = retry_after
        self.may_have_taken_effect = may_have_taken_effect
        lines = [f"{status} {title}: {detail}" if title else f"{status}: {detail}"]
        lines += [f"  {error.pointer or '/'}: {error.detail}" for error in errors]
        super().__init__("\n".join(lines))


class BadRequest(Problem):
    """400, and every refusal (4xx) that this client does not know."""


class Unauthenticated(Problem):
    """401: the key is wrong, expired, revoked or of somebody else."""


class Forbidden(Problem):
    """403: the key may not do this, or not from this address."""


class NotFound(Problem):
    """404: there is nothing of that name in the account."""


class Conflict(Problem):
    """409: the name is taken, a quota is reached, or somebody else changed the same thing."""


class PreconditionFailed(Problem):
    """412: it has changed since it was read."""


class TooManyRequests(Problem):
    """429: a budget is used up; nothing was done. ``retry_after`` says how long to wait."""


class ServerProblem(Problem):
    """5xx: the service or a gateway in front of it failed."""


_CLASSES: dict[int, type[Problem]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    429: TooManyRequests,
}


def clean(text: str) -> str:
    """Return foreign text in one line, without control characters and without anything like a key."""
    return KEY.sub("suk_…", _CONTROL.sub(" ", text))[:1000].strip()


def retry_after(value: str | None) -> int | None:
    """Return the seconds that a ``Retry-After`` header names; None for none, and for a date."""
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 8 else None


def problem_of(
    status: int, content: bytes, wait: int | None = None, *, may_have_taken_effect: bool = False
) -> Problem:
    """Return the exception for a response that is not a success, whatever its body is."""
    try:
        body: Any = json.loads(content)
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}

    def text(name: str, default: str = "") -> str:
        value = fields.get(name)
        return clean(value) if isinstance(value, str) else default

    errors = fields.get("errors")
    kind = _CLASSES.get(status, ServerProblem if status >= 500 else BadRequest)
    return kind(
        status,
        text("detail") or text("message", "The response does not say why."),
        type=text("type", "about:blank"),
        title=text("title"),
        request_id=text("requestId"),
        errors=tuple(
            ErrorDetail(clean(str(it.get("pointer", ""))), clean(str(it.get("detail", ""))))
            for it in (errors if isinstance(errors, list) else [])
            if isinstance(it, dict)
        ),
        retry_after=wait,
        may_have_taken_effect=may_have_taken_effect,
    )
