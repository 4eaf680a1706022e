"""Records of deleted accounts, so that a restored table does not bring back whom the operator deleted.

An account's events go with it, and with them which of its keys were revoked or reported as leaked. Its record
stays in table Events for a time: the account's id, which is random, and when it was deleted, nothing of
whoever was in it. An account that was brought back on purpose keeps its record: no key that it had before its
deletion works again, from whatever copy it comes.
"""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

PARTITION = "DELETED#"
"""The partition, in table Events, of the records; the sort key is the account's id."""

RECOVERY_DAYS = 35
"""Days to which a table can be restored (point-in-time recovery)."""

DAYS_FOR_A_COPY = 65
"""Days that a restored table may wait, at most, before it is copied back."""

KEPT_DAYS = RECOVERY_DAYS + DAYS_FOR_A_COPY


class Deletion(NamedTuple):
    """A deleted account, and when it was brought back (Unix time), if it was."""

    account: str
    brought_back_at: int | None


def record(client: "DynamoDBClient", events: str, account: str) -> None:
    """Record that an account is deleted, also if an earlier deletion was interrupted or taken back."""
    now = int(time.time())
    item: Item = {
        **_key(account),
        "deletedAt": {"N": str(now)},
        "ttl": {"N": str(now + KEPT_DAYS * 86_400)},
    }
    client.put_item(TableName=events, Item=item)


def bring_back(client: "DynamoDBClient", events: str, account: str) -> None:
    """Record that a deleted account is to be restored. Raises LookupError if none of this id was deleted."""
    now = int(time.time())
    try:
        client.update_item(
            TableName=events,
            Key=_key(account),
            UpdateExpression="SET broughtBackAt = if_not_exists(broughtBackAt, :now), #ttl = :ttl",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={
                ":now": {"N": str(now)},
                ":ttl": {"N": str(now + KEPT_DAYS * 86_400)},
            },
        )
    except client.exceptions.ConditionalCheckFailedException:
        raise LookupError(
            f"No account {account} was deleted in the last {KEPT_DAYS} days. If events were lost, restore "
            "them first."
        ) from None


def deletions(client: "DynamoDBClient", events: str) -> "Iterator[Deletion]":
    """Yield the deleted accounts that a table Events has records of: a strongly consistent Query."""
    pages = client.get_paginator("query").paginate(
        TableName=events,
        KeyConditionExpression="#account = :deleted",
        ExpressionAttributeNames={"#account": "account"},
        ExpressionAttributeValues={":deleted": {"S": PARTITION}},
        ConsistentRead=True,
    )
    for page in pages:
        for item in page["Items"]:
            at = item.get("broughtBackAt")
            yield Deletion(item["id"]["S"], None if at is None else int(at["N"]))


def _key(account: str) -> Item:
    return {"account": {"S": PARTITION}, "id": {"S": account}}
