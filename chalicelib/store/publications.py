"""The markers of events that are not published yet, in table Events.

A marker is written in the transaction that writes its event, and deleted once EventBridge has taken the
event, so no outage and no death in between loses one. Its partition is ``PUBLISH#`` and a shard, its sort key
the partition and the id of its event: a Query finds each account's oldest first, and can go on at the
next account, with no index. The function that publishes may delete nothing but markers.
"""

from typing import TYPE_CHECKING, Any

from chalicelib.rules.publications import Marker
from chalicelib.store.items import Item
from chalicelib.store.requests import batch_get, call_dynamodb, unavailable
from chalicelib.store.trail import event_item, shard_of, stored_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.model import Event

PREFIX = "PUBLISH#"
_TRIES = 4
_BATCH = 25
"""Requests of one BatchWriteItem, at most."""


def event_puts(table: str, event: "Event", retention_days: int, *, publishes: bool) -> list[dict[str, Any]]:
    """Return the operations that record an event and, with ``publishes`` its marker."""
    item = event_item(event, retention_days)
    puts: list[dict[str, Any]] = [{"Put": {"TableName": table, "Item": item}}]
    if publishes:
        partition = item["account"]["S"]
        marker = {
            **_key(Marker(partition, event.id)),
            "at": {"N": str(event.at)},
            "ttl": item["ttl"],
        }
        puts.append({"Put": {"TableName": table, "Item": marker}})
    return puts


def marker_of(item: Item) -> Marker:
    """Return the marker of an event's item."""
    return Marker(item["account"]["S"], item["id"]["S"])


def _key(marker: Marker) -> Item:
    return {
        "account": {"S": f"{PREFIX}{shard_of(marker.id)}"},
        "id": {"S": f"{marker.partition}#{marker.id}"},
    }


class DynamoPublications:
    """Implements ``rules.publications.Publications`` on table Events.

    Raises botocore's ClientError or BotoCoreError, or Unavailable, if DynamoDB fails.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def page(self, shard: str, after: str, limit: int) -> tuple[list[Marker], bool]:
        """Return the next markers of a shard: one strongly consistent Query."""
        response = call_dynamodb(
            self._client.query,
            TableName=self._table,
            KeyConditionExpression="#account = :shard AND #id > :after",
            ExpressionAttributeNames={"#account": "account", "#id": "id"},
            ExpressionAttributeValues={":shard": {"S": f"{PREFIX}{shard}"}, ":after": {"S": after or " "}},
            ConsistentRead=True,
            Limit=limit,
        )
        found = (item["id"]["S"].rpartition("#") for item in response["Items"])
        return [Marker(partition, id_) for partition, _, id_ in found], "LastEvaluatedKey" in response

    def waiting(self, shard: str, before: int) -> int:
        """Return how many markers of a shard are older than that, of as many as one Query counts."""
        response = call_dynamodb(
            self._client.query,
            TableName=self._table,
            KeyConditionExpression="#account = :shard",
            FilterExpression="#at < :before",
            ExpressionAttributeNames={"#account": "account", "#at": "at"},
            ExpressionAttributeValues={":shard": {"S": f"{PREFIX}{shard}"}, ":before": {"N": str(before)}},
            Select="COUNT",
        )
        return int(response["Count"])

    def events(self, markers: "list[Marker]") -> "dict[Marker, Event | None]":
        """Return the events that there are: a strongly consistent BatchGetItem, and more for what is left."""
        keys: list[Any] = [{"account": {"S": it.partition}, "id": {"S": it.id}} for it in markers]
        return {marker_of(item): stored_event(item) for item in batch_get(self._client, self._table, keys)}

    def done(self, markers: "Iterable[Marker]") -> None:
        """Delete markers: a BatchWriteItem for 25, and more where DynamoDB leaves some."""
        requests: list[Any] = [{"DeleteRequest": {"Key": _key(marker)}} for marker in markers]
        for start in range(0, len(requests), _BATCH):
            left: Any = requests[start : start + _BATCH]
            for _ in range(_TRIES):
                response = call_dynamodb(
                    self._client.batch_write_item, writing=True, RequestItems={self._table: left}
                )
                left = response.get("UnprocessedItems", {}).get(self._table)
                if not left:
                    break
            else:
                raise unavailable(writing=True)
