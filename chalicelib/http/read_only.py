"""Read-only fields that a client sends back: taken if they are as they were read, else refused by name."""

from typing import Any

import msgspec

from chalicelib.http.bodies import UpdateAccount, UpdateServiceUser, UpdateUser
from chalicelib.http.responses import UserResponse, moment
from chalicelib.http.validation import Body
from chalicelib.rules.errors import FieldError, validation_error_of
from chalicelib.rules.model import Outcome
from chalicelib.rules.users import InvitationState

READ_ONLY: dict[type[Body], tuple[str, ...]] = {
    UpdateServiceUser: (
        *("account", "username", "email", "created_at", "api_keys", "keys_below_role"),
        *("suspended_at", "suspended_by"),
    ),
    UpdateUser: (
        *("account", "username", "email", "status", "invited_by", "created_at"),
        *("suspended_at", "suspended_by"),
    ),
    UpdateAccount: ("account", "owners", "created_at"),
}
"""The fields of each body that cannot be changed, but two of a User (:func:`require_same_user`)."""

_FAILURE = {"outcome", "at"}
_CHANGES_BY_ITSELF = frozenset({"lastUsedAt"})
"""What may have changed since it was read without anybody's doing."""

_ADVICE = "This cannot be changed here. Leave it out, or send it as it is read."


def require_unchanged(body: Body, response: msgspec.Struct, now: float) -> None:
    """Raise ValidationError with each read-only field of a body that differs from the response now."""
    _refuse(_changed(body, response, now))


def require_same_user(body: UpdateUser, response: UserResponse, now: float) -> None:
    """Raise ValidationError as :func:`require_unchanged` does.

    The state of an invitation changes by itself and with whoever sent it: only whether there is one counts.
    Whether emails fail changes by itself.
    """
    changed = _changed(body, response, now)
    allowed = list(InvitationState) if response.status == "INVITED" else [None]
    if body.invitation is not msgspec.UNSET and body.invitation not in allowed:
        changed.append(FieldError("/invitation", _ADVICE))
    failure = body.email_failure
    if failure not in (msgspec.UNSET, None) and not _is_failure(failure):
        changed.append(FieldError("/emailFailure", _ADVICE))
    _refuse(changed)


def _is_failure(value: Any) -> bool:
    """Return whether a value has the form of an ``emailFailure``, as read then or now."""
    return (
        isinstance(value, dict)
        and value.keys() == _FAILURE
        and value["outcome"] in list(Outcome)
        and isinstance(value["at"], str)
    )


def _changed(body: Body, response: msgspec.Struct, now: float) -> list[FieldError]:
    is_now = msgspec.to_builtins(response)
    names = {field.name: field.encode_name for field in msgspec.structs.fields(type(body))}
    second = moment(int(now))
    return [
        FieldError(f"/{names[field]}", _ADVICE)
        for field in READ_ONLY[type(body)]
        if (sent := getattr(body, field)) is not msgspec.UNSET
        and _lasting(sent, second) != _lasting(is_now[names[field]], second)
    ]


def _refuse(changed: list[FieldError]) -> None:
    if changed:
        raise validation_error_of(changed)


def _lasting(value: Any, now: str) -> Any:
    """Return a value without what changes by itself; arrays alike, whichever kind of sequence they are.

    What changes by itself is when a key was used, and a predecessor when its overlap ends.
    """
    if isinstance(value, dict):
        ends = value.get("validUntil")
        if isinstance(ends, str) and ends <= now:
            return None
        return {name: _lasting(one, now) for name, one in value.items() if name not in _CHANGES_BY_ITSELF}
    if isinstance(value, list | tuple):
        return [_lasting(one, now) for one in value]
    return value
