"""Why something is refused, in words for the caller. ``http`` turns these into problems."""

from collections.abc import Iterable
from typing import NamedTuple


class ApiError(Exception):
    """A call that is refused. ``detail`` says why and what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unauthenticated(ApiError):
    """Nobody we know, or no longer: the key is missing, wrong, revoked or over."""


class Forbidden(ApiError):
    """The caller is known and may see the thing, but not do this to it."""


class NotFound(ApiError):
    """There is no such thing in the caller's account."""


class Conflict(ApiError):
    """What is asked contradicts what is there, or somebody else changed it at the same moment."""


class PreconditionFailed(ApiError):
    """The thing is no longer what the caller's ``If-Match`` says (RFC 9110, 13.1.1)."""


class Unavailable(ApiError):
    """The store did not answer in time; of a change, whether it was made is not known."""


class FieldError(NamedTuple):
    """One fault of the input: a JSON pointer (RFC 6901) into the body, and what is wrong there."""

    pointer: str
    detail: str


class ValidationError(ApiError):
    """The input breaks a rule. ``faults`` names every place in the body that does."""

    def __init__(self, detail: str, faults: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.faults = faults


def validation_error_of(faults: Iterable[FieldError]) -> ValidationError:
    """Answer the refusal of a body for all of its faults."""
    return ValidationError("The request breaks a rule; 'errors' says which.", tuple(faults))


def validation_error(pointer: str, detail: str) -> ValidationError:
    """Answer the refusal of one field of the body."""
    return validation_error_of([FieldError(pointer, detail)])
