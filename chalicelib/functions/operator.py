"""Operator functions, invoked directly (no HTTP) and guarded by IAM."""

import json
from typing import Any, TypeVar

from chalicelib.http import bodies, validation
from chalicelib.http.call import Service
from chalicelib.http.keys import or_default
from chalicelib.rules import accounts
from chalicelib.rules.accounts import NewAccount
from chalicelib.rules.api_keys import IssuedKey
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ValidationError
from chalicelib.rules.model import User


def create_account_function(event: dict[str, Any], context: Any, service: Service) -> dict[str, Any]:
    """Create an account: ``{accountName, username, email, displayName?}``.

    Returns ``{account, accountName, username, keyType, apiKey}``; the key is answered this once. Raises
    Invalid with every fault of the event, and Conflict where the username is taken. Lambda
    shows its caller the message of an exception and nothing else, so all of it is said there.
    """
    origin = _origin(context, service)
    try:
        asked = _read(bodies.CreateAccount, event, origin)
        owner, shown = accounts.create(
            service.directory,
            NewAccount(asked.account_name, asked.username, asked.email, or_default(asked.display_name, "")),
            origin,
        )
    except ValidationError as refused:
        raise ValidationError(_whole("No account was made.", refused), refused.errors) from None
    return {"accountName": asked.account_name, **_answer(owner, shown)}


def recover_owner_function(event: dict[str, Any], context: Any, service: Service) -> dict[str, Any]:
    """Issue a replacement key to an OWNER who is locked out: ``{username}``.

    Returns ``{account, username, keyType, apiKey}``; the key is answered this once, and the one they had
    of the type is dead. Raises ValidationError with every fault of the event, NotFound where there is no such
    User, and Conflict where they are no OWNER who has activated.
    """
    origin = _origin(context, service)
    try:
        asked = _read(bodies.RecoverOwner, event, origin)
    except ValidationError as refused:
        raise ValidationError(_whole("No key was made.", refused), refused.errors) from None
    return _answer(*accounts.recover(service.directory, asked.username, origin))


B = TypeVar("B", bound=validation.Body)


def _origin(context: Any, service: Service) -> Origin:
    return Origin("", str(getattr(context, "aws_request_id", "")), service.now())


def _read(kind: type[B], event: dict[str, Any], origin: Origin) -> B:
    return validation.check(kind, validation.parse(json.dumps(event).encode()), origin.now)


def _answer(owner: User, shown: IssuedKey) -> dict[str, Any]:
    return {
        "account": owner.account,
        "username": owner.username,
        "keyType": shown.key_type.value,
        "apiKey": shown.secret,
    }


def _whole(outcome: str, refused: ValidationError) -> str:
    """Return a refusal with all of its errors as one line."""
    faults = [f"{fault.pointer or 'the event'}: {fault.detail}" for fault in refused.errors]
    return " ".join([outcome, *(faults or [refused.detail])])
