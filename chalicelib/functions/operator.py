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

    Returns ``{account, accountName, username, keyType, apiKey}``; the key is shown only here. Raises
    ValidationError with every error of the event, and Conflict if the username is taken. Lambda
    shows its caller only the message of an exception, so the message has all of it.
    """
    origin = _origin(context, service)
    try:
        body = _read(bodies.CreateAccount, event, origin)
        owner, issued = accounts.create(
            service.directory,
            NewAccount(body.account_name, body.username, body.email, or_default(body.display_name, "")),
            origin,
        )
    except ValidationError as error:
        raise ValidationError(_message("No account was made.", error), error.errors) from None
    return {"accountName": body.account_name, **_result(owner, issued)}


def recover_owner_function(event: dict[str, Any], context: Any, service: Service) -> dict[str, Any]:
    """Issue a replacement key to an OWNER who is locked out: ``{username}``.

    Returns ``{account, username, keyType, apiKey}``; the key is shown only here, and the OWNER's earlier key
    of the type is revoked. Raises ValidationError with every error of the event, NotFound if there is no such
    User, and Conflict if they are not an activated OWNER, or suspended.
    """
    origin = _origin(context, service)
    try:
        body = _read(bodies.RecoverOwner, event, origin)
    except ValidationError as error:
        raise ValidationError(_message("No key was made.", error), error.errors) from None
    return _result(*accounts.recover(service.directory, body.username, origin))


B = TypeVar("B", bound=validation.Body)


def _origin(context: Any, service: Service) -> Origin:
    return Origin("", str(getattr(context, "aws_request_id", "")), service.now())


def _read(kind: type[B], event: dict[str, Any], origin: Origin) -> B:
    return validation.check(kind, validation.parse(json.dumps(event).encode()), origin.now)


def _result(owner: User, issued: IssuedKey) -> dict[str, Any]:
    return {
        "account": owner.account,
        "username": owner.username,
        "keyType": issued.key_type.value,
        "apiKey": issued.secret,
    }


def _message(outcome: str, error: ValidationError) -> str:
    """Return an error with all of its field errors as one line."""
    errors = [f"{it.pointer or 'the event'}: {it.detail}" for it in error.errors]
    return " ".join([outcome, *(errors or [error.detail])])
