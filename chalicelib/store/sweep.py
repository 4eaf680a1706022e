"""What the sweep reads and writes: table Directory page by page, and where the sweep stands.

A Scan reads every item once, in the table's own order, and needs no list of accounts; a page may be
stale, which costs half, and what is written is conditional on it anyway. An item's place is its ``pk``.
"""

from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from chalicelib.rules.model import Event, Principal, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.sweeps import Page, Position, SweepChange
from chalicelib.store import pointers
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.items import Item, from_item, to_attribute
from chalicelib.store.requests import call_dynamodb, cancellations
from chalicelib.store.trail import event_item

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.model import Account

STATE = "SWEEP#"
"""Key of the item that tells where the sweep stands."""

PAGE = 400
"""Items of a page: few enough to be in memory at once, whatever their size."""


class DynamoSweeps:
    """The store of the sweep (``chalicelib.rules.sweeps.SweepStore``) on two tables."""

    def __init__(
        self, client: "DynamoDBClient", table: str, events_table: str, retention_days: int, page: int = PAGE
    ) -> None:
        self._client = client
        self._table = table
        self._events_table = events_table
        self._retention_days = retention_days
        self._page = page
        self._directory = DynamoDirectory(client, table, events_table, retention_days)

    def position(self) -> Position | None:
        """Return where the sweep stands: one strongly consistent GetItem."""
        answer = call_dynamodb(
            self._client.get_item, TableName=self._table, Key={"pk": {"S": STATE}}, ConsistentRead=True
        )
        item = answer.get("Item")
        if item is None:
            return None
        return Position(
            int(item["day"]["N"]),
            item["version"]["S"],
            item["after"]["S"] if "after" in item else None,
            item["done"]["BOOL"],
        )

    def move(self, old: Position | None, new: Position) -> bool:
        """Keep where the sweep stands: one PutItem, conditional on the version that was read."""
        item: Item = {
            "pk": {"S": STATE},
            "day": {"N": str(new.day)},
            "version": {"S": new.version},
            "done": {"BOOL": new.done},
        }
        if new.after is not None:
            item["after"] = {"S": new.after}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if old is not None:
            condition = {
                "ConditionExpression": "version = :old",
                "ExpressionAttributeValues": {":old": {"S": old.version}},
            }
        try:
            call_dynamodb(self._client.put_item, writing=True, TableName=self._table, Item=item, **condition)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def page(self, after: str | None) -> Page:
        """Return the Principals among the next items: one Scan."""
        start: dict[str, Any] = {"ExclusiveStartKey": {"pk": {"S": after}}} if after is not None else {}
        answer = call_dynamodb(
            self._client.scan,
            TableName=self._table,
            FilterExpression="begins_with(pk, :user)",
            ExpressionAttributeValues={":user": {"S": "USER#"}},
            Limit=self._page,
            **start,
        )
        last = answer.get("LastEvaluatedKey")
        entries = tuple((item["pk"]["S"], _principal(item)) for item in answer["Items"])
        return Page(entries, last["pk"]["S"] if last else None)

    def principal(self, username: str) -> Principal | None:
        """Return a Principal: one strongly consistent GetItem."""
        return self._directory.principal(username)

    def users(self, usernames: frozenset[str]) -> dict[str, User]:
        """Return Users: one strongly consistent BatchGetItem."""
        return self._directory.users(usernames)

    def account(self, account: str) -> "Account | None":
        """Return an account: one strongly consistent GetItem."""
        return self._directory.account(account)

    def notices(self, account: str, ids: tuple[str, str]) -> tuple[Event | None, Event | None]:
        """Return two events: one strongly consistent GetItem each, or one for both where they are one."""
        first = self._event(account, ids[0])
        return first, first if ids[1] == ids[0] else self._event(account, ids[1])

    def rule(self, ruling: SweepChange) -> bool:
        """Carry a ruling out in one transaction, conditional on what was judged."""
        items: list[Any] = [{"Update": {"TableName": self._table, **_update(ruling)}}]
        revoked = {key_type: ruling.old.keys[key_type] for key_type in ruling.revoked}
        items += pointers.changes(self._table, ruling.old, revoked, {})
        items += [{"ConditionCheck": self._unchanged(_pk(it), it.version)} for it in ruling.others]
        if ruling.account is not None:
            items.append({"ConditionCheck": self._same_account(ruling.account)})
        items += [
            {"Put": {"TableName": self._events_table, "Item": event_item(event, self._retention_days)}}
            for event in ruling.events
        ]
        return self._transact(items)

    def add_pointers(self, principal: Principal) -> bool:
        """Write the pointers of a principal's keys and the marks that they are there, in one transaction."""
        names, values = {"#keys": "keys"}, {":version": {"S": principal.version}, ":true": {"BOOL": True}}
        sets: list[str] = []
        for number, (key_type, key) in enumerate(principal.keys.items()):
            names[f"#t{number}"] = key_type.value
            sets.append(f"#keys.#t{number}.hasPointer = :true")
            if key.predecessor is not None:
                sets.append(f"#keys.#t{number}.predecessor.hasPointer = :true")
        update = {
            "TableName": self._table,
            "Key": {"pk": {"S": _pk(principal)}},
            "UpdateExpression": f"SET {', '.join(sets)}",
            "ConditionExpression": "version = :version",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        puts = pointers.changes(self._table, principal, {}, principal.keys)
        return self._transact([{"Update": update}, *puts])

    def _transact(self, items: list[Any]) -> bool:
        try:
            call_dynamodb(self._client.transact_write_items, writing=True, TransactItems=items)
        except ClientError as error:
            if {"ConditionalCheckFailed", "TransactionConflict"}.intersection(cancellations(error)):
                return False
            raise
        return True

    def _event(self, account: str, event: str) -> Event | None:
        answer = call_dynamodb(
            self._client.get_item,
            TableName=self._events_table,
            Key={"account": {"S": account}, "id": {"S": event}},
            ConsistentRead=True,
        )
        item = answer.get("Item")
        return None if item is None else from_item(item, Event)

    def _same_account(self, account: "Account") -> dict[str, Any]:
        """Return the check of an account's policy and its OWNERs, who come and go without a new version."""
        check = self._unchanged(f"ACCOUNT#{account.id}", account.version)
        check["ConditionExpression"] += " AND owners = :owners"
        check["ExpressionAttributeValues"][":owners"] = to_attribute(account.owners)
        return check

    def _unchanged(self, key: str, version: str) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": {"pk": {"S": key}},
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": {":version": {"S": version}},
        }


def _principal(item: Item) -> Principal | None:
    try:
        return from_item(item, ServiceUser | User)  # type: ignore[arg-type]
    except (msgspec.ValidationError, TypeError, ValueError):
        return None


def _pk(principal: Principal) -> str:
    return f"USER#{fold_username(principal.username)}"


def _update(ruling: SweepChange) -> dict[str, Any]:
    """Return the update of a Principal's item: what is not ruled on stays, uses noted meanwhile too.

    A key that is ruled on must not have been used since it was judged.
    """
    names = {"#keys": "keys"}
    values: Item = {":old": {"S": ruling.old.version}, ":new": {"S": ruling.version}}
    conditions, sets, removes = ["version = :old"], ["version = :new"], []
    for number, key_type in enumerate((*ruling.notices, *ruling.revoked)):
        path = f"#keys.#t{number}"
        names[f"#t{number}"] = key_type.value
        conditions.append(_unused(path, ruling.old.keys[key_type].last_used_at, f":used{number}", values))
        notice = ruling.notices.get(key_type)
        if notice is not None:
            sets.append(f"{path}.notice = :notice{number}")
            values[f":notice{number}"] = to_attribute(msgspec.to_builtins(notice))
        else:
            removes.append(f"{path}.notice" if key_type in ruling.notices else path)
    update = f"SET {', '.join(sets)}"
    if removes:
        update += f" REMOVE {', '.join(removes)}"
    return {
        "Key": {"pk": {"S": _pk(ruling.old)}},
        "UpdateExpression": update,
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _unused(path: str, used: int | None, name: str, values: Item) -> str:
    if used is None:
        return f"attribute_not_exists({path}.lastUsedAt)"
    values[name] = {"N": str(used)}
    return f"{path}.lastUsedAt = {name}"
