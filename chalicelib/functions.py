"""The pure Lambda functions beside the API: no HTTP, guarded by IAM."""

import json
from typing import Any

from chalicelib.http import bodies
from chalicelib.http.calls import Service
from chalicelib.http.keys import given
from chalicelib.rules import accounts
from chalicelib.rules.accounts import NewAccount
from chalicelib.rules.acts import Origin
from chalicelib.rules.faults import Invalid


def create_account_function(event: dict[str, Any], context: Any, service: Service) -> dict[str, Any]:
    """Make an account: ``{accountName, username, email, displayName?}``.

    Answers ``{account, accountName, username, keyType, apiKey}``; the key is answered this once. Raises
    Invalid with every fault of the event, and Conflict where the username or the email is taken. Lambda
    shows its caller the message of an exception and nothing else, so all of it is said there.
    """
    origin = Origin("", str(getattr(context, "aws_request_id", "")), service.now())
    try:
        asked = bodies.check(bodies.CreateAccount, bodies.parse(json.dumps(event).encode()), origin.now)
        owner, shown = accounts.create(
            service.directory,
            NewAccount(asked.account_name, asked.username, asked.email, given(asked.display_name, "")),
            origin,
        )
    except Invalid as refused:
        raise Invalid(_whole(refused), refused.faults) from None
    return {
        "account": owner.account,
        "accountName": asked.account_name,
        "username": owner.username,
        "keyType": shown.key_type.value,
        "apiKey": shown.secret,
    }


def _whole(refused: Invalid) -> str:
    """Answer a refusal and each fault it names as one line."""
    faults = [f"{fault.pointer or 'the event'}: {fault.detail}" for fault in refused.faults]
    return " ".join(["No account was made.", *(faults or [refused.detail])])
