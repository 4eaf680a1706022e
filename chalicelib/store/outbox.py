"""The outbox on DynamoDB: claims, marks and reads, each one conditional call. Decides nothing.

An event waits while it has ``waiting`` (its shard) and ``dueAt`` (when to try next), which are the
keys of a sparse index. ``dueAt`` is the lease too: a claim moves it ahead, and who finds another
value there than their own has lost the claim.
"""

import secrets
import time
from typing import TYPE_CHECKING, Any, cast

from chalicelib.rules.model import AccountSummary, Event, UserSummary
from chalicelib.rules.notifications import SHARDS, EventKey, RecipientLookup
from chalicelib.store.items import from_item
from chalicelib.store.requests import batch_get

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.store.items import Item

BATCH = 100
"""Keys of one BatchGetItem, at most."""

_READ = "pk, #kind, #account, #id, #name, #role, username, email, membership, owners"
_READ_NAMES = {f"#{name}": name for name in ("kind", "account", "id", "name", "role")}


class DynamoOutbox:
    """``chalicelib.rules.notifications.Outbox`` on two tables.

    Every method raises botocore's ClientError or BotoCoreError where DynamoDB fails for good, and
    ``read`` raises Busy where it goes on leaving some unread.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        directory: str,
        events: str,
        sleep: "Callable[[float], None]" = time.sleep,
    ) -> None:
        self._client = client
        self._directory = directory
        self._events = events
        self._sleep = sleep

    def claim(self, key: EventKey, now: int, lease: int) -> Event | None:
        """Take an event; None if it is done, claimed, or not due.

        Raises msgspec.ValidationError, the claim being made, for an event this version cannot read.
        """
        item = self._update(
            key,
            # Events start without these maps, and a mark needs one to be made in.
            "SET dueAt = :lease, told = if_not_exists(told, :none), refused = if_not_exists(refused, :none) "
            "ADD attempts :one",
            "attribute_exists(waiting) AND dueAt <= :now",
            {":lease": _n(lease), ":now": _n(now), ":one": _n(1), ":none": {"M": {}}},
            ReturnValues="ALL_NEW",
        )
        return None if item is None else from_item(item, Event)

    def told(self, key: EventKey, name: str, now: int, lease: int, renewed: int | None) -> bool:
        """Mark somebody as told; see :class:`chalicelib.rules.notifications.Outbox`."""
        return self._mark(key, "told", name, _n(now), lease, renewed)

    def refused(self, key: EventKey, name: str, why: str, lease: int, renewed: int | None) -> bool:
        """Mark somebody as beyond reach; see :class:`chalicelib.rules.notifications.Outbox`."""
        return self._mark(key, "refused", name, {"S": why}, lease, renewed)

    def postpone(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Give a claimed event back until ``due_at``."""
        return self._end(key, "SET dueAt = :due", lease, {":due": _n(due_at)})

    def finish(self, key: EventKey, lease: int) -> bool:
        """End the waiting of a claimed event."""
        return self._end(key, "REMOVE waiting, dueAt", lease, {})

    def due(self, shard: str, now: int, limit: int, after: Any) -> tuple[list[EventKey], Any]:
        """Return a page of what is due, the longest due first, and where the next page starts."""
        start = {"ExclusiveStartKey": after} if after else {}
        page = self._client.query(
            TableName=self._events,
            IndexName="waiting",
            KeyConditionExpression="waiting = :shard AND dueAt <= :now",
            ExpressionAttributeValues={":shard": {"S": shard}, ":now": _n(now)},
            Limit=limit,
            **start,
        )
        keys = [EventKey(item["account"]["S"], item["id"]["S"]) for item in page["Items"]]
        return keys, page.get("LastEvaluatedKey")

    def waiting(self) -> int:
        """Return how many events wait, due or not, of each shard as many as one Query counts."""
        return sum(
            self._client.query(
                TableName=self._events,
                IndexName="waiting",
                KeyConditionExpression="waiting = :shard",
                ExpressionAttributeValues={":shard": {"S": shard}},
                Select="COUNT",
            )["Count"]
            for shard in SHARDS
        )

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        """Return Users and accounts, strongly consistent, without their keys' digests.

        One BatchGetItem for each 100 of them.
        """
        found = RecipientLookup({}, {})
        wanted = [f"USER#{name}" for name in sorted(names)] + [f"ACCOUNT#{id_}" for id_ in sorted(accounts)]
        for start in range(0, len(wanted), BATCH):
            for item in batch_get(
                self._client,
                self._directory,
                [{"pk": {"S": key}} for key in wanted[start : start + BATCH]],
                self._sleep,
                ProjectionExpression=_READ,
                ExpressionAttributeNames=_READ_NAMES,
            ):
                kind, _, rest = item["pk"]["S"].partition("#")
                if kind == "ACCOUNT":
                    found.accounts[rest] = from_item(item, AccountSummary)
                elif item["kind"]["S"] == "USER":
                    found.people[rest] = from_item(item, UserSummary)
        return found

    def enrol(self, name: str, enrolment: str, digest: str, until: int) -> bool:
        """Add a code's digest to a wish for a passkey; False if that is void."""
        return self._add_digest("enrolment", name, enrolment, digest, until)

    def invite(self, name: str, invitation: str, digest: str, until: int) -> bool:
        """Add a token's digest to an open invitation; False if the invitation is void."""
        return self._add_digest("invitation", name, invitation, digest, until)

    def _add_digest(self, field: str, name: str, id_: str, digest: str, until: int) -> bool:
        """Add a digest to a map of them; False if what has it is not the one of this id.

        Two forms of one update: an invitation starts without the map that the second form needs. Either
        makes a new version, so that a change under way, which has not read the digest, does not undo it.
        """
        first: tuple[str, str, Item] = (
            f"SET {field}.digests = :tokens",
            f"attribute_not_exists({field}.digests)",
            {":tokens": {"M": {digest: _n(until)}}},
        )
        more: tuple[str, str, Item] = (
            f"SET {field}.digests.#digest = :until",
            f"attribute_exists({field}.digests)",
            {":until": _n(until)},
        )
        for update, condition, values in (first, more):
            try:
                self._client.update_item(
                    TableName=self._directory,
                    Key={"pk": {"S": f"USER#{name}"}},
                    UpdateExpression=f"{update}, version = :version",
                    ConditionExpression=f"{field}.#id = :id AND {condition}",
                    ExpressionAttributeNames={"#id": "id"}
                    | ({"#digest": digest} if "#digest" in update else {}),
                    ExpressionAttributeValues={
                        ":id": {"S": id_},
                        ":version": {"S": secrets.token_hex(8)},
                        **values,
                    },
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                continue
            return True
        return False

    def _mark(
        self, key: EventKey, field: str, name: str, value: dict[str, Any], lease: int, renewed: int | None
    ) -> bool:
        mark = f"SET {field}.#name = :value"
        names = {"#name": name}
        if renewed is None:
            held = self._end(key, f"{mark} REMOVE waiting, dueAt", lease, {":value": value}, names)
        else:
            held = self._end(
                key, f"{mark}, dueAt = :renewed", lease, {":value": value, ":renewed": _n(renewed)}, names
            )
        if not held:
            self._update(key, mark, f"attribute_exists({field})", {":value": value}, names)
        return held

    def _end(
        self,
        key: EventKey,
        update: str,
        lease: int,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> bool:
        condition = "attribute_exists(waiting) AND dueAt = :lease"
        return self._update(key, update, condition, {":lease": _n(lease)} | values, names) is not None

    def _update(
        self,
        key: EventKey,
        update: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
        **more: Any,
    ) -> "Item | None":
        """Update an event, and answer what was asked for of it; None where the condition does not hold."""
        if names:
            more["ExpressionAttributeNames"] = names
        try:
            answer: Any = self._client.update_item(
                TableName=self._events,
                Key={"account": {"S": key.account}, "id": {"S": key.id}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                **more,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return cast("Item", answer.get("Attributes", {}))


def _n(number: int) -> dict[str, str]:
    return {"N": str(number)}
