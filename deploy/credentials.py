"""Credentials: the items of table Directory by which passkeys are found, and those that outlived theirs.

They go with their passkeys. An earlier version left behind those of passkeys that a policy ended, with the
person's username and without an end.
"""

from typing import TYPE_CHECKING, Any

from chalicelib.rules.model import User
from chalicelib.store.directory import credential_key
from chalicelib.store.principals import is_principal, principal_from_item, principal_key
from chalicelib.store.requests import cancellations

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

PREFIX = "CREDENTIAL#"


def delete_left_behind(client: "DynamoDBClient", directory: str) -> int:
    """Delete the credentials, in any account, whose person has no such passkey; return how many.

    Each in a transaction with the condition that the person is unchanged, who may be adding it right now.
    """
    deleted = 0
    pages = client.get_paginator("scan").paginate(
        TableName=directory,
        FilterExpression="begins_with(pk, :credential)",
        ExpressionAttributeValues={":credential": {"S": PREFIX}},
        ConsistentRead=True,
    )
    for page in pages:
        for item in page["Items"]:
            deleted += _delete_if_left_behind(client, directory, dict[str, Any](item))
    return deleted


def _delete_if_left_behind(client: "DynamoDBClient", directory: str, item: Item) -> bool:
    holder = principal_key(item["username"]["S"])
    while True:
        person: Any = client.get_item(TableName=directory, Key=holder, ConsistentRead=True).get("Item")
        unchanged: Item = {"ConditionExpression": "attribute_not_exists(kind)"}
        if person is not None and is_principal(person):
            principal = principal_from_item(person)
            passkeys = principal.passkeys.values() if isinstance(principal, User) else ()
            if item["pk"] in [credential_key(it.credential_id)["pk"] for it in passkeys]:
                return False
            unchanged = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"S": principal.version}},
            }
        # Somebody else may have registered it meanwhile, or the same person again.
        theirs = {
            "ConditionExpression": "username = :username",
            "ExpressionAttributeValues": {":username": item["username"]},
        }
        writes: list[Any] = [
            {"ConditionCheck": {"TableName": directory, "Key": holder, **unchanged}},
            {"Delete": {"TableName": directory, "Key": {"pk": item["pk"]}, **theirs}},
        ]
        try:
            client.transact_write_items(TransactItems=writes)
        except client.exceptions.TransactionCanceledException as error:
            codes = cancellations(error)
            if not {"ConditionalCheckFailed", "TransactionConflict"}.intersection(codes):
                raise
            if codes[1] == "ConditionalCheckFailed":
                return False
        else:
            return True
