"""Errors that refuse a call. Each ``detail`` says why, and what to do, in words for the caller.

ApiError
├── Unauthenticated      401
├── Forbidden            403
│   └── ConfirmationNeeded
├── NotFound             404
├── Conflict             409
│   └── ConcurrentChange
├── PreconditionFailed   412
├── ValidationError      400, with the FieldErrors of the body
├── TooManyRequests      429, with the seconds to wait
├── Unavailable          503
└── http.problems.HttpError: statuses that only HTTP knows (405, 413, 415)

``chalicelib.http.problems`` turns them into problem details (RFC 9457).
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class SignInRefusal(str, Enum):
    """Why a sign-in with a key is refused. The operator has a metric of each; no response contains it."""

    MISSING = "MISSING"
    """There are no credentials, or none in a form that is accepted."""
    MALFORMED = "MALFORMED"
    """What was sent is not formed like a key."""
    WRONG = "WRONG"
    """There is no such username, or it has no such key (any more)."""
    EXPIRED = "EXPIRED"
    """The key has expired, or was replaced and its overlap has ended."""
    NETWORK = "NETWORK"
    """The key is right, and used from an address that is in none of its networks."""
    SUSPENDED = "SUSPENDED"
    """The key is right, and its holder is suspended."""


class ApiError(Exception):
    """A refused call. ``detail`` says why and what to do; ``sign_in`` why a sign-in with a key is refused."""

    def __init__(self, detail: str, sign_in: SignInRefusal | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sign_in = sign_in


class Unauthenticated(ApiError):
    """The API key is missing, wrong, revoked or expired."""


class Forbidden(ApiError):
    """The caller is signed in, but may not do this."""


class ConfirmationNeeded(Forbidden):
    """The session may do this only shortly after a passkey confirmed it; nothing was done."""

    def __init__(self) -> None:
        super().__init__("Confirm with your passkey that it is you, and do it again. Nothing was done yet.")


class NotFound(ApiError):
    """There is no such thing in the caller's account."""


class Conflict(ApiError):
    """The request contradicts the current state, or a concurrent change got there first."""


class ConcurrentChange(Conflict):
    """The item has changed since it was read; nothing was done."""


class PreconditionFailed(ApiError):
    """The item is no longer the version that the caller's ``If-Match`` names (RFC 9110, 13.1.1)."""


class TooManyRequests(ApiError):
    """A budget is used up. ``retry_after`` is the number of seconds to wait."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(ApiError):
    """The store did not respond in time; whether a change was made is unknown."""


def sign_in_fields(error: ApiError) -> dict[str, str]:
    """Return the fields of the log line about a refused sign-in: the stack has metric filters on them."""
    return {} if error.sign_in is None else {"signInRefused": error.sign_in.value}


class FieldError(NamedTuple):
    """One error in the input: a JSON pointer (RFC 6901) into the body, and what is wrong there."""

    pointer: str
    detail: str


class ValidationError(ApiError):
    """The input is invalid. ``errors`` names every place in the body that is."""

    def __init__(self, detail: str, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.errors = errors


def validation_error_of(errors: Iterable[FieldError]) -> ValidationError:
    """Return the refusal of a body with all of its field errors."""
    return ValidationError("The request is invalid; 'errors' lists what to correct.", tuple(errors))


def validation_error(pointer: str, detail: str) -> ValidationError:
    """Return the refusal of one field of the body."""
    return validation_error_of([FieldError(pointer, detail)])


def concurrent_change() -> ConcurrentChange:
    """Return the refusal of a change to an item that has changed since it was read.

    A new one at each call: a raised exception keeps the frames it passed, and the keys in them.
    """
    return ConcurrentChange("A concurrent call changed this; nothing was done. Read it again and retry.")
