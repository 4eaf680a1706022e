"""Table Events: the audit trail, and the outbox that is read off it."""

import zlib
from typing import TYPE_CHECKING, Any

from chalicelib.rules.model import Event
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import EventPage
from chalicelib.store.items import Item, from_item, to_item
from chalicelib.store.requests import call_dynamodb, paginate

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SHARDS = 8
"""Parts of the index of waiting events, so that no one partition takes every write."""

_DAY = 86_400


def event_item(event: Event, retention_days: int) -> Item:
    """Return an event as its item, with what the indexes and the table's TTL go by."""
    more: dict[str, object] = {"ttl": event.at + retention_days * _DAY}
    if event.subject.username:
        more["subjectKey"] = subject_key(event.account, event.subject.username)
    if event.due_at is not None:
        more["waiting"] = shard_of(event.id)
    return to_item(event, **more)


def shard_of(event_id: str) -> str:
    """Return the part of the index of waiting events that an event is in."""
    return str(zlib.crc32(event_id.encode()) % SHARDS)


class DynamoTrail:
    """Keeps the promises of ``rules.ports.Trail`` on DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def events(self, account: str, username: str | None, limit: int, after: str | None) -> EventPage:
        """Return part of a trail, newest first: one Query, strongly consistent without ``username``."""
        names, values, query = self._selection(account, username, after)
        answer = call_dynamodb(
            self._client.query,
            TableName=self._table,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            Limit=limit + 1,
            **query,
        )
        items, last = paginate(answer, limit, "id")
        return EventPage(tuple(from_item(item, Event) for item in items), last)

    def _selection(
        self, account: str, username: str | None, after: str | None
    ) -> tuple[dict[str, str], Item, dict[str, Any]]:
        start: Item = {"account": {"S": account}, "id": {"S": after or ""}}
        if username is None:
            query: dict[str, Any] = {"KeyConditionExpression": "#part = :part", "ConsistentRead": True}
            part, value = "account", account
        else:
            part, value = "subjectKey", subject_key(account, username)
            query = {"KeyConditionExpression": "#part = :part", "IndexName": "bySubject"}
            start["subjectKey"] = {"S": value}
        if after is not None:
            query["ExclusiveStartKey"] = start
        return {"#part": part}, {":part": {"S": value}}, query


def subject_key(account: str, username: str) -> str:
    """Return the part of the index by subject that the events about a username are in."""
    return f"{account}#{fold_username(username)}"
