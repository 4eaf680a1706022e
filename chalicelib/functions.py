"""The pure Lambda functions beside the API: no HTTP, guarded by IAM."""

from typing import Any

from chalicelib.http import bodies
from chalicelib.http.calls import Service
from chalicelib.http.keys import given
from chalicelib.rules import accounts
from chalicelib.rules.accounts import NewAccount
from chalicelib.rules.acts import Origin


def create_account_function(event: dict[str, Any], context: Any, service: Service) -> dict[str, Any]:
    """Make an account: ``{accountName, username, email, displayName?}``.

    Answers ``{account, accountName, username, keyType, apiKey}``; the key is answered this once. Raises
    Invalid with every fault of the event, and Conflict where the username or the email is taken.
    """
    origin = Origin("", str(getattr(context, "aws_request_id", "")), service.now())
    asked = bodies.check(bodies.CreateAccount, event, origin.now)
    owner, shown = accounts.create(
        service.directory,
        NewAccount(asked.account_name, asked.username, asked.email, given(asked.display_name, "")),
        origin,
    )
    return {
        "account": owner.account,
        "accountName": asked.account_name,
        "username": owner.username,
        "keyType": shown.key_type.value,
        "apiKey": shown.secret,
    }
