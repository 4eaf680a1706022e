"""Maintenance of a deployed stack's tables: restore them, delete an account, find whose a key is.

The first two write to the tables directly, so that only CloudTrail has a record of them.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.rules import key_format
from chalicelib.rules.key_search import keys_of
from chalicelib.rules.names import fold_email
from chalicelib.store import pointers
from chalicelib.store.principals import principal_from_item
from chalicelib.store.trail import refusals_of

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
_BATCH = 25


def restore_directory(client: "DynamoDBClient", source: str, target: str) -> tuple[int, int]:
    """Replace the items of table Directory with those of ``source``; return the numbers written and deleted.

    Keys return to their earlier state too: keys revoked or replaced since then work again, and keys
    generated since then are lost.
    """
    kept = {item["pk"]["S"]: item for item in _items(client, source)}
    current = {item["pk"]["S"]: item for item in _items(client, target)}
    written = [{"PutRequest": {"Item": item}} for key, item in kept.items() if current.get(key) != item]
    deleted = [_deletion(key) for key in current.keys() - kept.keys()]
    _write(client, target, [*written, *deleted])
    return len(written), len(deleted)


def restore_events(client: "DynamoDBClient", source: str, target: str) -> int:
    """Restore the events that are missing in table Events, without notifications; return how many."""
    present = {_event_key(item) for item in _items(client, target)}
    missing = [item for item in _items(client, source) if _event_key(item) not in present]
    for item in missing:
        # What makes an event pending; its recipients were notified when it happened.
        item.pop("waiting", None)
        item.pop("dueAt", None)
    _write(client, target, [{"PutRequest": {"Item": item}} for item in missing])
    return len(missing)


def delete_account(client: "DynamoDBClient", directory: str, events: str, account: str) -> tuple[int, int]:
    """Delete an account with all its data; return the numbers of principals and events deleted.

    The account item is deleted last, so that an interrupted deletion can be repeated. Raises LookupError
    if there is no such account.
    """
    key: Item = {"pk": {"S": f"ACCOUNT#{account}"}}
    if "Item" not in client.get_item(TableName=directory, Key=key, ConsistentRead=True):
        raise LookupError(f"There is no account {account}. Its id is in GET /v1/whoami and in every event.")
    count = 0
    # Not by the index, which may lag; and repeated, for principals created in the meantime.
    while principals := [
        item
        for item in _items(client, directory)
        if item["pk"]["S"].startswith("USER#") and item["account"]["S"] == account
    ]:
        count += sum(_delete_principal(client, directory, item) for item in principals)
    trail = [
        item for part in (account, refusals_of(account)) for item in _keys_of_events(client, events, part)
    ]
    _write(client, events, [{"DeleteRequest": {"Key": item}} for item in trail])
    left = [
        item["pk"]["S"]
        for item in _items(client, directory)
        if item["pk"]["S"].startswith(pointers.PREFIX) and item["account"]["S"] == account
    ]
    _write(client, directory, [_deletion(pk) for pk in left])
    client.delete_item(TableName=directory, Key=key)
    return count, len(trail)


class Found(NamedTuple):
    """A key that was found: whose it is, and its last five characters."""

    account: str
    username: str
    key_type: str
    last5: str
    is_predecessor: bool


def find_key(client: "DynamoDBClient", directory: str, *, secret: str = "", last5: str = "") -> list[Found]:
    """Return whose a key is, by its value or its last five characters, in any account; none if nobody's.

    By its value it is one read where the key has a pointer; else the whole table is read.
    """
    digest = key_format.digest(secret) if secret else b""
    items: Iterable[Item] = _items(client, directory)
    if digest:
        key: Item = {"pk": {"S": pointers.name(digest)}}
        pointer = client.get_item(TableName=directory, Key=key, ConsistentRead=True).get("Item")
        if pointer is not None:
            holder: Item = {"pk": {"S": f"USER#{pointer['username']['S']}"}}
            answer = client.get_item(TableName=directory, Key=holder, ConsistentRead=True)
            items = [answer["Item"]] if "Item" in answer else []
    holders = (principal_from_item(item) for item in items if item["pk"]["S"].startswith("USER#"))
    return [
        Found(holder.account, holder.username, it.key_type.value, it.last5, it.is_predecessor)
        for holder in holders
        for it in keys_of(holder)
        if (it.digest == digest if digest else it.last5 == last5)
    ]


def _items(client: "DynamoDBClient", table: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def _keys_of_events(client: "DynamoDBClient", table: str, partition: str) -> Iterator[Item]:
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="#account = :account",
        ExpressionAttributeNames={"#account": "account", "#id": "id"},
        ExpressionAttributeValues={":account": {"S": partition}},
        ProjectionExpression="#account, #id",
        ConsistentRead=True,
    )
    for page in pages:
        yield from page["Items"]


def _event_key(item: Item) -> tuple[str, str]:
    return item["account"]["S"], item["id"]["S"]


def _deletion(pk: str) -> Any:
    return {"DeleteRequest": {"Key": {"pk": {"S": pk}}}}


def _delete_principal(client: "DynamoDBClient", table: str, item: Item) -> bool:
    """Delete a principal and its email address; return False if it no longer belongs to the account.

    A name that became free may belong to another account by now.
    """
    address = f"EMAIL#{fold_email(item['email']['S'])}"
    conditional: Any = {
        "TableName": table,
        "Key": {"pk": item["pk"]},
        "ConditionExpression": "#account = :account",
        "ExpressionAttributeNames": {"#account": "account"},
        "ExpressionAttributeValues": {":account": item["account"]},
    }
    both: Any = [{"Delete": conditional}, {"Delete": {"TableName": table, "Key": {"pk": {"S": address}}}}]
    try:
        client.transact_write_items(TransactItems=both)
    except client.exceptions.TransactionCanceledException:
        return False
    return True


def _write(client: "DynamoDBClient", table: str, requests: list[Any]) -> None:
    for start in range(0, len(requests), _BATCH):
        unprocessed: Any = {table: requests[start : start + _BATCH]}
        while unprocessed:
            unprocessed = client.batch_write_item(RequestItems=unprocessed)["UnprocessedItems"]
