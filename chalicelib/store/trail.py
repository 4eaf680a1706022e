"""Table Events: the audit trail, and the outbox that is read off it.

An account's events are one partition. Refusals by network are another one, ``REFUSED#`` and the account: the
authorizer, which writes nothing else, may write there alone, so that it can overwrite no other event. No
condition of a write would see to that, as IAM does not know conditions.
"""

import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.rules.model import Action, Event
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import EventPage
from chalicelib.store.items import Item, from_item, to_item
from chalicelib.store.requests import call_dynamodb

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SHARDS = 8
"""Parts of the index of waiting events, so that no one partition takes every write."""

_DAY = 86_400
_REFUSED = "REFUSED#"


def event_item(event: Event, retention_days: int) -> Item:
    """Return an event as its item, with what the indexes and the table's TTL go by."""
    more: dict[str, object] = {"ttl": event.at + retention_days * _DAY}
    if event.subject.username:
        more["subjectKey"] = _subject_key(event.account, event.subject.username)
    if event.due_at is not None:
        more["waiting"] = str(zlib.crc32(event.id.encode()) % SHARDS)
    if event.action is Action.API_KEY_REFUSED:
        more["account"] = refusals_of(event.account)
    return to_item(event, **more)


def refusals_of(account: str) -> str:
    """Return the partition of an account's refusals by network."""
    return f"{_REFUSED}{account}"


class DynamoTrail:
    """Keeps the promises of ``rules.ports.Trail`` on DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def events(self, account: str, username: str | None, limit: int, after: str | None) -> EventPage:
        """Return part of a trail, newest first: two strongly consistent Queries, or one with ``username``."""
        if username is not None:
            key = _subject_key(account, username)
            parts = [self._part("subjectKey", key, limit, after, IndexName="bySubject")]
        else:
            parts = [
                self._part("account", partition, limit, after, ConsistentRead=True)
                for partition in (account, refusals_of(account))
            ]
        # A part that ended early says nothing of what is older than its last event.
        oldest = max((last for _, last in parts if last is not None), default="")
        ids = {item["id"]["S"]: item for items, _ in parts for item in items if item["id"]["S"] >= oldest}
        page = sorted(ids, reverse=True)[:limit]
        more = len(ids) > limit or bool(oldest)
        events = (_event(ids[one], account) for one in page)
        return EventPage(tuple(event for event in events if event), page[-1] if page and more else None)

    def _part(
        self, name: str, value: str, limit: int, after: str | None, **query: Any
    ) -> "tuple[list[Item], str | None]":
        """Return ``limit`` events of a partition and one more, and the last one's id if that is not all."""
        condition, values = "#part = :part", {":part": {"S": value}}
        if after is not None:
            condition += " AND id < :after"
            values[":after"] = {"S": after}
        answer = call_dynamodb(
            self._client.query,
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeNames={"#part": name},
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            Limit=limit + 1,
            **query,
        )
        last = answer.get("LastEvaluatedKey")
        return answer["Items"], last["id"]["S"] if last else None


def _event(item: Item, account: str) -> Event | None:
    """Return the event of an item; None for what is no refusal and yet among the refusals."""
    partition = item["account"]["S"]
    if partition == account:
        return from_item(item, Event)
    try:
        event = from_item({**item, "account": {"S": account}}, Event)
    except (msgspec.ValidationError, TypeError, ValueError):
        return None
    return event if (partition, event.action) == (refusals_of(account), Action.API_KEY_REFUSED) else None


def _subject_key(account: str, username: str) -> str:
    return f"{account}#{fold_username(username)}"
