"""Read-only fields that a client sends back: taken if they are as they were read, else refused by name."""

from typing import Any

import msgspec

from chalicelib.http.bodies import UpdateServiceUser
from chalicelib.http.validation import Body
from chalicelib.rules.errors import FieldError, validation_error_of

READ_ONLY: dict[type[Body], tuple[str, ...]] = {
    UpdateServiceUser: (
        "account",
        "username",
        "email",
        "created_at",
        "api_keys",
        "keys_below_role",
        "suspended_at",
        "suspended_by",
    ),
}
"""The fields of each body that cannot be changed."""

_CHANGES_BY_ITSELF = frozenset({"lastUsedAt"})
"""What may have changed since it was read without anybody's doing."""


def require_unchanged(body: Body, answer: msgspec.Struct) -> None:
    """Raise ValidationError with each read-only field of a body that is not as the answer now has it."""
    now = msgspec.to_builtins(answer)
    names = {field.name: field.encode_name for field in msgspec.structs.fields(type(body))}
    changed = []
    for field in READ_ONLY[type(body)]:
        sent = getattr(body, field)
        if sent is not msgspec.UNSET and _lasting(sent) != _lasting(now[names[field]]):
            advice = "This cannot be changed here. Leave it out, or send it as it is read."
            changed.append(FieldError(f"/{names[field]}", advice))
    if changed:
        raise validation_error_of(changed)


def _lasting(value: Any) -> Any:
    """Return a value without what changes by itself; arrays alike, whichever kind of sequence they are."""
    if isinstance(value, dict):
        return {name: _lasting(one) for name, one in value.items() if name not in _CHANGES_BY_ITSELF}
    if isinstance(value, list | tuple):
        return [_lasting(one) for one in value]
    return value
