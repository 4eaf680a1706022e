"""Table Events: the audit trail, and the outbox that is read off it."""

import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.rules.errors import ValidationError
from chalicelib.rules.model import Event
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import EventPage, EventQuery, UnknownEvent
from chalicelib.store.items import Item, from_attribute, from_item, to_item
from chalicelib.store.requests import batch_get, call_dynamodb, paginate

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SHARDS = 8
"""Parts of the index of waiting events, so that no one partition takes every write."""

EXAMINED = 500
"""Events read for a page at most where a condition has no index: some 500 KB, so that no page costs more."""

_DAY = 86_400
_FIRST_ID, _LAST_ID = "0", "~"  # sort before and after every id
_OUTBOX_ONLY = frozenset(
    {
        "ttl",
        "subjectKey",
        "actorKey",
        "waiting",
        "dueAt",
        "attempts",
        "audience",
        "administrators",
        "invitation",
    }
)


def event_item(event: Event, retention_days: int) -> Item:
    """Return an event as its item, with what the indexes and the table's TTL go by."""
    more: dict[str, object] = {"ttl": event.at + retention_days * _DAY}
    if event.subject.username:
        more["subjectKey"] = _index_key(event.account, event.subject.username)
    if event.actor.username:
        more["actorKey"] = _index_key(event.account, event.actor.username)
    if event.due_at is not None:
        more["waiting"] = str(zlib.crc32(event.id.encode()) % SHARDS)
    return to_item(event, **more)


class DynamoTrail:
    """Keeps the promises of ``rules.ports.Trail`` on DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def events(self, account: str, query: EventQuery, limit: int, after: str | None) -> EventPage:
        """Return part of a trail: one Query, and one BatchGetItem for the events of an actor.

        Strongly consistent where neither ``username`` nor ``actor`` is given.
        """
        selection = _Selection(account, query)
        answer = call_dynamodb(
            self._client.query, TableName=self._table, **selection.parameters(limit, after)
        )
        items, last = paginate(answer, limit, "id")
        if selection.keys_only:
            items = self._whole(account, [item["id"]["S"] for item in items])
        return EventPage(tuple(_event(item) for item in items), last)

    def _whole(self, account: str, ids: list[str]) -> list[Item]:
        """Return the events of these ids, in their order; one that has expired meanwhile is left out."""
        keys = [{"account": {"S": account}, "id": {"S": each}} for each in ids]
        found = {item["id"]["S"]: item for item in batch_get(self._client, self._table, keys)}
        return [found[each] for each in ids if each in found]


class _Selection:
    """An EventQuery as the parameters of a DynamoDB Query: by the best index, the rest as a filter."""

    def __init__(self, account: str, query: EventQuery) -> None:
        self._account = account
        self._query = query
        self.keys_only = query.username is None and query.actor is not None
        self._first = _FIRST_ID if query.since is None else _first_id(query.since)
        self._end = _LAST_ID if query.until is None else _first_id(query.until)

    def parameters(self, limit: int, after: str | None) -> dict[str, Any]:
        """Return the parameters of a page's Query. Raise ValidationError for an ``after`` out of bounds."""
        query = self._query
        part, value = self._partition()
        names = {"#part": part, "#id": "id"}
        values: Item = {":part": {"S": value}, ":first": {"S": self._first}, ":end": {"S": self._end}}
        parameters: dict[str, Any] = {
            "KeyConditionExpression": "#part = :part AND #id BETWEEN :first AND :end",
            "ScanIndexForward": query.oldest_first,
            "Limit": limit + 1,
        }
        if query.username is not None:
            parameters["IndexName"] = "bySubject"
        elif query.actor is not None:
            parameters["IndexName"] = "byActor"
        else:
            parameters["ConsistentRead"] = True
        conditions = []
        if query.action is not None:
            names["#action"] = "action"
            values[":action"] = {"S": query.action}
            conditions.append("#action = :action")
        if query.actor is not None and not self.keys_only:
            names["#actor"] = "actorKey"
            values[":actor"] = {"S": _index_key(self._account, query.actor)}
            conditions.append("#actor = :actor")
        if conditions:
            parameters |= {"FilterExpression": " AND ".join(conditions), "Limit": EXAMINED}
        if after is not None:
            if not self._first < after < self._end:
                raise ValidationError("'cursor' belongs to another 'since' or 'until'. Start without it.")
            start: Item = {"account": {"S": self._account}, "id": {"S": after}, part: {"S": value}}
            parameters["ExclusiveStartKey"] = start
        return {**parameters, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values}

    def _partition(self) -> tuple[str, str]:
        if self._query.username is not None:
            return "subjectKey", _index_key(self._account, self._query.username)
        if self._query.actor is not None:
            return "actorKey", _index_key(self._account, self._query.actor)
        return "account", self._account


def _event(item: Item) -> Event | UnknownEvent:
    try:
        return from_item(item, Event)
    except msgspec.ValidationError:
        fields = {name: from_attribute(value) for name, value in item.items() if name not in _OUTBOX_ONLY}
        return UnknownEvent(fields)


def _first_id(second: int) -> str:
    """Return what sorts before every id of an event at ``second`` or later, and after all earlier ones."""
    return f"{second * 1000:012x}"


def _index_key(account: str, username: str) -> str:
    return f"{account}#{fold_username(username)}"
