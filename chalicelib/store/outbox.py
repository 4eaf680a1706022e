"""The outbox on DynamoDB: claims, marks and reads. Each is one conditional call, and decides nothing.

An event is pending while it has ``waiting`` (its shard) and ``dueAt`` (when to try next), which are the keys
of a sparse index. ``dueAt`` is also the lease: a claim sets it to a later time, and a mailer that finds
another value there than its own has lost the claim.
"""

import time
from typing import TYPE_CHECKING, Any, cast

from chalicelib.rules.folding import FOLDED, LOOK_BACK
from chalicelib.rules.model import AccountSummary, Event, UserSummary
from chalicelib.rules.notifications import FIRST_SHARD, SHARDS, EventKey, RecipientLookup
from chalicelib.store.items import from_item
from chalicelib.store.principals import MailedSecret, mailed, mailed_attribute, with_email_failure
from chalicelib.store.requests import batch_get
from chalicelib.store.trail import held_shard_of, index_key, shard_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.store.items import Item

_HELD = "held"
"""The prefix of the values of ``waiting`` that are :data:`HELD_SHARDS`."""

MAX_READ = 1_000
"""The most events about one subject to read when counting how often somebody was notified of them."""

BATCH = 100
"""The most keys that one BatchGetItem takes."""

_READ = (
    "pk, #kind, #account, #id, #name, #role, username, email, membership, owners, suspendedAt, emailFailure, "
    "invitation, enrolment"
)
_READ_NAMES = {f"#{name}": name for name in ("kind", "account", "id", "name", "role")}


class DynamoOutbox:
    """Implements ``chalicelib.rules.notifications.Outbox`` on two tables.

    Every method raises botocore's ClientError or BotoCoreError if DynamoDB fails after all tries. ``read``
    raises Unavailable if DynamoDB always leaves some keys unprocessed.
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

    def claim(self, key: EventKey, now: int, lease: int, *, held: bool = False) -> Event | None:
        """Claim an event and return it. None if it is done, claimed or not due.

        With ``held``, also claims one that is held for a digest email. Raises msgspec.ValidationError for an
        event that this version cannot read, which is claimed nevertheless.
        """
        due = "dueAt <= :now OR begins_with(waiting, :held)" if held else "dueAt <= :now"
        unhold = "waiting = :shard, " if held else ""
        item = self._update(
            key,
            # Events start without these maps, and a mark can only be set in an existing one.
            f"SET dueAt = :lease, {unhold}told = if_not_exists(told, :none), "
            "refused = if_not_exists(refused, :none) ADD attempts :one",
            f"attribute_exists(waiting) AND ({due})",
            {
                ":lease": _n(lease),
                ":now": _n(now),
                ":one": _n(1),
                ":none": {"M": {}},
                **({":held": {"S": _HELD}, ":shard": {"S": shard_of(key.id)}} if held else {}),
            },
            ReturnValues="ALL_NEW",
        )
        return None if item is None else from_item({**item, "account": {"S": key.account}}, Event)

    def mark_notified(self, key: EventKey, name: str, now: int, lease: int, renewed: int | None) -> bool:
        """Mark a recipient as notified; see :class:`chalicelib.rules.notifications.Outbox`."""
        return self._mark(key, "told", name, _n(now), lease, renewed)

    def mark_undeliverable(self, key: EventKey, name: str, why: str, lease: int, renewed: int | None) -> bool:
        """Mark a recipient as undeliverable; see :class:`chalicelib.rules.notifications.Outbox`."""
        return self._mark(key, "refused", name, {"S": why}, lease, renewed)

    def postpone(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Release a claimed event, to be tried again at ``due_at``."""
        return self._update_if_claimed(key, "SET dueAt = :due", lease, {":due": _n(due_at)})

    def hold(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Release a claimed event until ``due_at``, into a shard of events held for a digest email.

        Resets the number of tries: a digest email that fails is retried as soon as any other email.
        """
        values = {":due": _n(due_at), ":shard": {"S": held_shard_of(key.id)}, ":zero": _n(0)}
        return self._update_if_claimed(
            key, "SET dueAt = :due, waiting = :shard, attempts = :zero", lease, values
        )

    def held(self, event: Event, limit: int) -> list[EventKey]:
        """Return the held events about the same subject that may be folded.

        Queries the index by subject.
        """
        folded = {f":{action.value}": {"S": action.value} for action in sorted(FOLDED)}
        found = self._query_by_subject(
            event,
            event.at - LOOK_BACK,
            {":held": {"S": _HELD}, **folded},
            f"begins_with(waiting, :held) AND #action IN ({', '.join(folded)})",
            ProjectionExpression="account, id, subject",
            limit=limit,
        )
        return [EventKey(item["account"]["S"], item["id"]["S"]) for item in found]

    def notified_since(self, event: Event, since: int) -> dict[str, list[int]] | None:
        """Return the times at which each recipient was notified of events of the same kind and subject.

        None if there are ``MAX_READ`` or more: those read are the oldest, and say nothing of the last hour.
        Queries the index by subject.
        """
        notified: dict[str, list[int]] = {}
        items = self._query_by_subject(
            event,
            since,
            {":action": {"S": event.action.value}},
            "#action = :action",
            ProjectionExpression="told, subject",
            limit=MAX_READ,
        )
        for item in items:
            for name, at in item.get("told", {"M": {}})["M"].items():
                notified.setdefault(name, []).append(int(at["N"]))
        return None if len(items) >= MAX_READ else notified

    def _query_by_subject(
        self, event: Event, since: int, values: "Item", condition: str, limit: int, **query: Any
    ) -> "list[Item]":
        """Return up to ``limit`` events with the subject of this one, from the time ``since`` on.

        Not those of an earlier or later one of the same username, who may have another address.
        """
        found: list[Item] = []
        start: dict[str, Any] = {}
        while len(found) < limit:
            page: Any = self._client.query(
                TableName=self._events,
                IndexName="bySubject",
                KeyConditionExpression="subjectKey = :subject AND id >= :since",
                ExpressionAttributeValues={
                    ":subject": {"S": index_key(event.account, event.subject.username)},
                    ":since": {"S": f"{since * 1000:012x}"},
                    **values,
                },
                FilterExpression=condition,
                ExpressionAttributeNames={"#action": "action"},
                **query,
                **start,
            )
            # Not in the filter: AWS does not say how a policy sees a path within an attribute.
            found += [it for it in page["Items"] if _subject_id(it) == event.subject.id]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        return found[:limit]

    def finish(self, key: EventKey, lease: int) -> bool:
        """Mark a claimed event as done: it is no longer pending."""
        return self._update_if_claimed(key, "REMOVE waiting, dueAt", lease, {})

    def due(self, shard: str, since: int, now: int, limit: int, after: Any) -> tuple[list[EventKey], Any]:
        """Return a page of the events that are due, longest due first, and where the next page starts."""
        start = {"ExclusiveStartKey": after} if after else {}
        page = self._client.query(
            TableName=self._events,
            IndexName="waiting",
            KeyConditionExpression="waiting = :shard AND dueAt BETWEEN :since AND :now",
            ExpressionAttributeValues={":shard": {"S": shard}, ":since": _n(since), ":now": _n(now)},
            Limit=limit,
            **start,
        )
        keys = [EventKey(item["account"]["S"], item["id"]["S"]) for item in page["Items"]]
        return keys, page.get("LastEvaluatedKey")

    def waiting(self) -> int:
        """Return the number of pending events, due or not; of each shard, as many as one Query counts."""
        return sum(
            self._client.query(
                TableName=self._events,
                IndexName="waiting",
                KeyConditionExpression="waiting = :shard",
                ExpressionAttributeValues={":shard": {"S": shard}},
                Select="COUNT",
            )["Count"]
            for shard in (*SHARDS, FIRST_SHARD)
        )

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        """Return Users and accounts, strongly consistent, without their keys.

        Makes one BatchGetItem for each 100 of them.
        """
        found = RecipientLookup({}, {})
        keys = [f"USER#{name}" for name in sorted(names)] + [f"ACCOUNT#{id_}" for id_ in sorted(accounts)]
        for start in range(0, len(keys), BATCH):
            for item in batch_get(
                self._client,
                self._directory,
                [{"pk": {"S": key}} for key in keys[start : start + BATCH]],
                self._sleep,
                ProjectionExpression=_READ,
                ExpressionAttributeNames=_READ_NAMES,
            ):
                kind, _, rest = item["pk"]["S"].partition("#")
                if kind == "ACCOUNT":
                    found.accounts[rest] = from_item(item, AccountSummary)
                elif item.get("kind") == {"S": "USER"}:
                    found.people[rest] = from_item(with_email_failure(item), UserSummary)
        return found

    def note_mailed(self, name: str, request: str, digest: bytes, until: int) -> bool:
        """Note the digest of a mailed token or code: one UpdateItem. Return False if the User is gone.

        The note is an attribute of its own (``chalicelib.store.principals``), so a concurrent change that has
        not read it leaves it. Whether the invitation or enrolment is open is decided when the note is read:
        a condition on it would be an attribute that the role would have to be allowed to write.
        """
        try:
            self._client.update_item(
                TableName=self._directory,
                Key={"pk": {"S": f"USER#{name}"}},
                UpdateExpression="SET #mailed = list_append(if_not_exists(#mailed, :none), :secret)",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeNames={"#mailed": mailed(request)},
                ExpressionAttributeValues={
                    ":none": mailed_attribute(),
                    ":secret": mailed_attribute(MailedSecret(digest, until)),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _mark(
        self, key: EventKey, field: str, name: str, value: dict[str, Any], lease: int, renewed: int | None
    ) -> bool:
        """Mark a recipient, and renew the lease; with None, the event is no longer pending.

        Returns False if the claim was lost. Then sets the mark alone, because the recipient was notified.
        """
        mark = f"SET {field}.#name = :value"
        names = {"#name": name}
        if renewed is None:
            claimed = self._update_if_claimed(
                key, f"{mark} REMOVE waiting, dueAt", lease, {":value": value}, names
            )
        else:
            claimed = self._update_if_claimed(
                key, f"{mark}, dueAt = :renewed", lease, {":value": value, ":renewed": _n(renewed)}, names
            )
        if not claimed:
            self._update(key, mark, f"attribute_exists({field})", {":value": value}, names)
        return claimed

    def _update_if_claimed(
        self,
        key: EventKey,
        update: str,
        lease: int,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> bool:
        """Update an event that still has this claim. Return False if it has another or is not pending."""
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
        """Update an event. Return the attributes asked for; None if the condition does not hold."""
        if names:
            more["ExpressionAttributeNames"] = names
        try:
            response: Any = self._client.update_item(
                TableName=self._events,
                Key={"account": {"S": key.partition}, "id": {"S": key.id}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                **more,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return cast("Item", response.get("Attributes", {}))


def _n(number: int) -> dict[str, str]:
    return {"N": str(number)}


def _subject_id(item: "Item") -> str:
    return str(item.get("subject", {"M": {}})["M"].get("id", {"S": ""})["S"])
