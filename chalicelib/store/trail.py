"""Table Events: the audit trail, which is also the outbox.

An account's events are one partition. Its refusals by network and the failures of its people's addresses are
another, ``REFUSED#`` and the account, because the functions that write them may write events only there and
so can overwrite no other. IAM can restrict the partition, but not the conditions of a write. Where events are
published, each has a marker beside it until that is done (``chalicelib.store.publications``).
"""

import zlib
from typing import TYPE_CHECKING, Any

from chalicelib.rules.errors import ValidationError
from chalicelib.rules.model import Event
from chalicelib.rules.names import fold_username
from chalicelib.rules.notifications import (
    ASIDE,
    FIRST_SHARD,
    HELD_SHARDS,
    SHARDS,
    comes_first,
    is_aside,
    key_of,
)
from chalicelib.rules.ports import EventPage, EventQuery, UnknownEvent
from chalicelib.store.items import AttributeValue, Item, from_attribute, from_item, to_item
from chalicelib.store.probe import NOTHING, Probe
from chalicelib.store.requests import batch_get, call_dynamodb, paginate

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

EXAMINED = 500
"""The most events to read for a page if a condition has no index: about 500 KB, to bound a page's cost."""

FEEDBACK = "feedback_"
"""What the attribute begins with that has what became of an email to a recipient, whose name follows. It is
an attribute of its own, because IAM can restrict writes to those, but not to parts of one."""

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
    """Return the item of an event, with the attributes for the indexes and the table's TTL."""
    more: dict[str, object] = {"ttl": event.at + retention_days * _DAY}
    if event.subject.username:
        more["subjectKey"] = index_key(event.account, event.subject.username)
    if event.actor.username:
        more["actorKey"] = index_key(event.account, event.actor.username)
    if event.due_at is not None:
        held = event.due_at > event.at
        shard = FIRST_SHARD if comes_first(event) else shard_of(event.id)
        more["waiting"] = held_shard_of(event.id) if held else shard
    more["account"] = key_of(event).partition
    return to_item(event, **more)


def stored_event(item: Item) -> Event | None:
    """Return the event of an item; None for what is no event, or one that this version cannot read."""
    found = any_event(item)
    return found if isinstance(found, Event) else None


def any_event(item: Item) -> Event | UnknownEvent | None:
    """Return the event of an item, also one that this version cannot read; None for what is no event."""
    return _event(item, item["account"]["S"].removeprefix(ASIDE))


def shard_of(event_id: str) -> str:
    """Return which of ``SHARDS`` an event belongs to, so that no single partition takes every write."""
    return SHARDS[zlib.crc32(event_id.encode()) % len(SHARDS)]


def held_shard_of(event_id: str) -> str:
    """Return which of ``HELD_SHARDS`` an event belongs to while it is held for a digest email."""
    return HELD_SHARDS[int(shard_of(event_id)) % len(HELD_SHARDS)]


def aside_of(account: str) -> str:
    """Return the partition of an account's refusals by network and failures of addresses."""
    return f"{ASIDE}{account}"


class DynamoTrail:
    """Implements ``rules.ports.Trail`` on DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._probe = Probe("Events", self._read_nothing)

    def is_readable(self, now: int) -> bool:
        """Return whether the table can be read, as seen at most ten seconds ago: one Query at most."""
        return self._probe.works(now)

    def _read_nothing(self) -> None:
        self._client.query(
            TableName=self._table,
            KeyConditionExpression="account = :account",
            ExpressionAttributeValues={":account": {"S": NOTHING}},
            Limit=1,
            ConsistentRead=True,
        )

    def events(self, account: str, query: EventQuery, limit: int, after: str | None) -> EventPage:
        """Return a page of a trail: one Query of each of the account's partitions.

        With ``username`` or ``actor``, it is one Query of an index instead, eventually consistent; ``actor``
        alone takes a BatchGetItem more. Without either, the page is strongly consistent.
        """
        parts: list[tuple[list[Item], str | None]] = []
        for partition in (account, aside_of(account)):
            selection = _Selection(account, query, partition)
            response = call_dynamodb(
                self._client.query, TableName=self._table, **selection.parameters(limit, after)
            )
            parts.append(paginate(response, limit, "id"))
            if selection.by_index:
                break
        items, last = _merged(parts, limit, oldest_first=query.oldest_first)
        if selection.keys_only:
            items = self._read_whole(items)
        events = (_event(item, account) for item in items)
        return EventPage(tuple(event for event in events if event is not None), last)

    def _read_whole(self, items: list[Item]) -> list[Item]:
        """Return the whole items of those an index lists, in order, without any deleted meanwhile."""
        keys = [{"account": item["account"], "id": item["id"]} for item in items]
        read = batch_get(self._client, self._table, keys)
        found = {(item["account"]["S"], item["id"]["S"]): item for item in read}
        names = [(key["account"]["S"], key["id"]["S"]) for key in keys]
        return [found[name] for name in names if name in found]


def _merged(
    parts: list[tuple[list[Item], str | None]], limit: int, *, oldest_first: bool
) -> tuple[list[Item], str | None]:
    """Return a page merged from the pages of several partitions, and the id at which it ends.

    Each part comes with the id at which it ends, or None if it has no more. A part that has more says nothing
    about what comes after that id, so events of the other parts beyond it are left to the next page. Of two
    items with one id, the one in the account's own partition counts: fewer functions may write there.
    """
    first = min if oldest_first else max
    items = sorted(
        (item for items, _ in parts for item in items),
        key=lambda item: item["account"]["S"].startswith(ASIDE),
        reverse=True,
    )
    found = {item["id"]["S"]: item for item in items}
    ends = [last for _, last in parts if last is not None]
    end = first(ends) if ends else None
    ids = [one for one in sorted(found, reverse=not oldest_first) if end is None or first(one, end) == one]
    if len(ids) > limit:
        ids, end = ids[:limit], ids[limit - 1]
    return [found[one] for one in ids], end


class _Selection:
    """The parameters of a DynamoDB Query for an EventQuery: the best index, and a filter for the rest."""

    def __init__(self, account: str, query: EventQuery, table_partition: str) -> None:
        self._account = account
        self._table_partition = table_partition
        self.by_index = query.username is not None or query.actor is not None
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
            values[":actor"] = {"S": index_key(self._account, query.actor)}
            conditions.append("#actor = :actor")
        if conditions:
            parameters |= {"FilterExpression": " AND ".join(conditions), "Limit": EXAMINED}
        if after is not None:
            if not self._first < after < self._end:
                raise ValidationError("'cursor' belongs to another 'since' or 'until'. Start without it.")
            # The cursor is only an id: an ExclusiveStartKey would need the table partition of the last item.
            if query.oldest_first:
                values[":first"] = {"S": f"{after}!"}
            else:
                values[":end"] = {"S": f"{after[:-1]}{chr(ord(after[-1]) - 1)}~"}
        return {**parameters, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values}

    def _partition(self) -> tuple[str, str]:
        if self._query.username is not None:
            return "subjectKey", index_key(self._account, self._query.username)
        if self._query.actor is not None:
            return "actorKey", index_key(self._account, self._query.actor)
        return "account", self._table_partition


def _event(item: Item, account: str) -> Event | UnknownEvent | None:
    """Return the event of an item; None for one that does not belong into its partition."""
    if item["account"]["S"] != account:
        action = item.get("action", {}).get("S", "")
        if item["account"]["S"] != aside_of(account) or not is_aside(action):
            return None
        item = {**item, "account": {"S": account}}
    feedback = {name.removeprefix(FEEDBACK): it for name, it in item.items() if name.startswith(FEEDBACK)}
    if feedback:
        others = {name: it for name, it in item.items() if not name.startswith(FEEDBACK)}
        item = {**others, "feedback": {"M": feedback}}
    try:
        return from_item(item, Event)
    except ValueError:  # so is msgspec.ValidationError
        fields = {name: _plain(value) for name, value in item.items() if name not in _OUTBOX_ONLY}
        return UnknownEvent(fields)


def _plain(attribute: AttributeValue) -> Any:
    """Return the plain value of an attribute that a later version may have stored.

    A number with a fraction, which this version never stores, is returned as text.
    """
    ((kind, value),) = attribute.items()
    match kind:
        case "M":
            return {name: _plain(member) for name, member in value.items()}
        case "L":
            return [_plain(entry) for entry in value]
        case "N" if not value.removeprefix("-").isdecimal():
            return value
    return from_attribute(attribute)


def _first_id(second: int) -> str:
    """Return a string that sorts before every event id from ``second`` on, and after all earlier ones."""
    return f"{second * 1000:012x}"


def index_key(account: str, username: str) -> str:
    """Return the partition, in the index by subject or by actor, of the events with a username."""
    return f"{account}#{fold_username(username)}"
