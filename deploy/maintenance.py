"""What an operator does to a deployed stack's tables: bring a restored one's items back, delete an account.

The tables are written to directly. Neither is in anybody's trail but CloudTrail's.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from chalicelib.rules.names import fold_email

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
_BATCH = 25


def restore_directory(client: "DynamoDBClient", source: str, target: str) -> tuple[int, int]:
    """Make table Directory what it was when ``source`` was: every item of it, and no other.

    Answers how many items were written, and how many deleted. Keys are as they were then too: what was
    revoked or replaced since works again, and what was made since is gone.
    """
    kept = {item["pk"]["S"]: item for item in _items(client, source)}
    now = {item["pk"]["S"]: item for item in _items(client, target)}
    written = [{"PutRequest": {"Item": item}} for key, item in kept.items() if now.get(key) != item]
    deleted = [_deletion(key) for key in now.keys() - kept.keys()]
    _write(client, target, [*written, *deleted])
    return len(written), len(deleted)


def restore_events(client: "DynamoDBClient", source: str, target: str) -> int:
    """Bring back the events that table Events has no longer; answer how many. Nobody is mailed of them."""
    now = {_event_key(item) for item in _items(client, target)}
    lost = [item for item in _items(client, source) if _event_key(item) not in now]
    for item in lost:
        # What makes an event wait to be mailed: everybody was told when it happened.
        item.pop("waiting", None)
        item.pop("dueAt", None)
    _write(client, target, [{"PutRequest": {"Item": item}} for item in lost])
    return len(lost)


def delete_account(client: "DynamoDBClient", directory: str, events: str, account: str) -> tuple[int, int]:
    """Delete an account, everybody and everything in it; answer how many Principals and events it had.

    The account itself goes last, so that a try that was cut short is gone on with by another. Raises
    LookupError where there is no such account.
    """
    key: Item = {"pk": {"S": f"ACCOUNT#{account}"}}
    if "Item" not in client.get_item(TableName=directory, Key=key, ConsistentRead=True):
        raise LookupError(f"There is no account {account}. Its id is in GET /v1/whoami and in every event.")
    count = 0
    # Not by the index, which may not know the newest yet; and again, for whoever came in the meantime.
    while principals := [
        item for item in _items(client, directory) if item.get("account", {}).get("S") == account
    ]:
        count += sum(_delete_principal(client, directory, item) for item in principals)
    query: dict[str, Any] = {
        "TableName": events,
        "KeyConditionExpression": "#account = :account",
        "ExpressionAttributeNames": {"#account": "account", "#id": "id"},
        "ExpressionAttributeValues": {":account": {"S": account}},
        "ProjectionExpression": "#account, #id",
        "ConsistentRead": True,
    }
    trail = [item for page in client.get_paginator("query").paginate(**query) for item in page["Items"]]
    _write(client, events, [{"DeleteRequest": {"Key": item}} for item in trail])
    client.delete_item(TableName=directory, Key=key)
    return count, len(trail)


def _items(client: "DynamoDBClient", table: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def _event_key(item: Item) -> tuple[str, str]:
    return item["account"]["S"], item["id"]["S"]


def _deletion(pk: str) -> Any:
    return {"DeleteRequest": {"Key": {"pk": {"S": pk}}}}


def _delete_principal(client: "DynamoDBClient", table: str, item: Item) -> bool:
    """Delete a Principal and the address it holds; answer whether it still was the account's.

    A name that is free again can be another account's by now.
    """
    address = f"EMAIL#{fold_email(item['email']['S'])}"
    still: Any = {
        "TableName": table,
        "Key": {"pk": item["pk"]},
        "ConditionExpression": "#account = :account",
        "ExpressionAttributeNames": {"#account": "account"},
        "ExpressionAttributeValues": {":account": item["account"]},
    }
    both: Any = [{"Delete": still}, {"Delete": {"TableName": table, "Key": {"pk": {"S": address}}}}]
    try:
        client.transact_write_items(TransactItems=both)
    except client.exceptions.TransactionCanceledException:
        return False
    return True


def _write(client: "DynamoDBClient", table: str, requests: list[Any]) -> None:
    for start in range(0, len(requests), _BATCH):
        left: Any = {table: requests[start : start + _BATCH]}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]
