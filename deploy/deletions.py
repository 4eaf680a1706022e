"""Records of deleted accounts, so that a restored table does not bring back whom the operator deleted.

An account's events go with it, and with them which of its keys were revoked or reported as leaked. Its record
stays in table Events for a time: the account's id, which is random, and when it was deleted, nothing of
whoever was in it. An account that was brought back on purpose keeps its record: no key that it had before its
deletion works again, from whatever copy it comes.
"""

import re
import time
from collections.abc import Iterable
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

_ACCOUNT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Deletion(NamedTuple):
    """A deleted account, and when it was brought back (Unix time), if it was."""

    account: str
    brought_back_at: int | None


def is_account(partition: str) -> bool:
    """Return whether a partition of table Events has the form of an account's id."""
    return _ACCOUNT.fullmatch(partition) is not None


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
            ConditionExpression="attribute_type(deletedAt, :number)",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={
                ":number": {"S": "N"},
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
    """Yield the deleted accounts that a table Events has records of: a strongly consistent Query.

    What has another form than :func:`record` writes is no record.
    """
    pages = client.get_paginator("query").paginate(
        TableName=events,
        KeyConditionExpression="#account = :deleted",
        ExpressionAttributeNames={"#account": "account"},
        ExpressionAttributeValues={":deleted": {"S": PARTITION}},
        ConsistentRead=True,
    )
    for page in pages:
        for item in page["Items"]:
            if is_account(item["id"]["S"]) and "N" in item.get("deletedAt", {}):
                at = item.get("broughtBackAt", {}).get("N")
                yield Deletion(item["id"]["S"], None if at is None else int(at))


def deleted(client: "DynamoDBClient", tables: Iterable[str]) -> frozenset[str]:
    """Return who was deleted and not brought back; of two records, the later table's counts."""
    records = {it.account: it for table in tables for it in deletions(client, table)}
    return frozenset(account for account, it in records.items() if it.brought_back_at is None)


def refuse_if_any_lives(client: "DynamoDBClient", directory: str, accounts: Iterable[str]) -> None:
    """Raise LookupError if an account of which there is a record is in table Directory all the same.

    A deletion removes the account's item last, so one that is there was not deleted: the deletion was
    interrupted. A restore that believed the record would delete whom the account still has.
    """
    found = [
        account
        for account in sorted(accounts)
        if "Item"
        in client.get_item(TableName=directory, Key={"pk": {"S": f"ACCOUNT#{account}"}}, ConsistentRead=True)
    ]
    if found:
        raise LookupError(
            f"There is a record that {', '.join(found)} was deleted, but the account is still there: its "
            "deletion did not finish. Nothing was changed. Finish it (delete-account), or keep the account: "
            "docs/operations.md, A deletion that was interrupted."
        )


def _key(account: str) -> Item:
    return {"account": {"S": PARTITION}, "id": {"S": account}}
