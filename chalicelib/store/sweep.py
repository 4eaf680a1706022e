"""The store of the sweep: table Directory page by page, and the sweep's position.

A Scan reads every item once, in the table's own order, so no list of accounts is needed. It is eventually
consistent, which costs half as much and is safe, because every write is conditional on what was read. The
sweep's position is the ``pk`` of an item.
"""

from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from chalicelib.rules.model import ApiKey, Event, Principal, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.policies import as_key
from chalicelib.rules.roles import KeyType
from chalicelib.rules.sweeps import Page, Position, SweepChange
from chalicelib.store import addresses, pointers
from chalicelib.store.directory import DynamoDirectory, credential_key
from chalicelib.store.items import Item, from_item, to_attribute
from chalicelib.store.principals import (
    ENDED,
    ENDED_MANAGEMENT_KEY,
    NOTICE,
    POINTER,
    USED,
    note,
    principal_from_item,
)
from chalicelib.store.publications import event_puts
from chalicelib.store.requests import call_dynamodb, cancellations

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.model import Account

STATE = "SWEEP#"
"""The key of the item with the sweep's position."""

PAGE = 400
"""Items in a page: few enough to fit into memory, whatever their size."""


class DynamoSweeps:
    """The store of the sweep (``chalicelib.rules.sweeps.SweepStore``) on two tables."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        events_table: str,
        retention_days: int,
        page: int = PAGE,
        *,
        publishes: bool = False,
    ) -> None:
        self._client = client
        self._table = table
        self._events_table = events_table
        self._retention_days = retention_days
        self._page = page
        self._publishes = publishes
        self._directory = DynamoDirectory(client, table, events_table, retention_days)

    def position(self) -> Position | None:
        """Return the sweep's position: one strongly consistent GetItem."""
        response = call_dynamodb(
            self._client.get_item, TableName=self._table, Key={"pk": {"S": STATE}}, ConsistentRead=True
        )
        item = response.get("Item")
        if item is None:
            return None
        return Position(
            int(item["day"]["N"]),
            item["version"]["S"],
            item["after"]["S"] if "after" in item else None,
            item["done"]["BOOL"],
            tuple(sorted(item["contended"]["SS"])) if "contended" in item else (),
        )

    def move(self, old: Position | None, new: Position) -> bool:
        """Store the sweep's position: one PutItem, conditional on the version that was read."""
        item: Item = {
            "pk": {"S": STATE},
            "day": {"N": str(new.day)},
            "version": {"S": new.version},
            "done": {"BOOL": new.done},
        }
        if new.after is not None:
            item["after"] = {"S": new.after}
        if new.contended:
            item["contended"] = {"SS": list(new.contended)}
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
        """Return the principals among the next items: one Scan."""
        start: dict[str, Any] = {"ExclusiveStartKey": {"pk": {"S": after}}} if after is not None else {}
        response = call_dynamodb(
            self._client.scan,
            TableName=self._table,
            FilterExpression="begins_with(pk, :user)",
            ExpressionAttributeValues={":user": {"S": "USER#"}},
            Limit=self._page,
            **start,
        )
        last = response.get("LastEvaluatedKey")
        entries = tuple((item["pk"]["S"], _principal(item)) for item in response["Items"])
        return Page(entries, last["pk"]["S"] if last else None)

    def principal(self, username: str) -> Principal | None:
        """Return a principal: one strongly consistent GetItem."""
        return self._directory.principal(username)

    def users(self, usernames: frozenset[str]) -> dict[str, User]:
        """Return Users: one strongly consistent BatchGetItem."""
        return self._directory.users(usernames)

    def account(self, account: str) -> "Account | None":
        """Return an account: one strongly consistent GetItem."""
        return self._directory.account(account)

    def notices(self, account: str, ids: tuple[str, str]) -> tuple[Event | None, Event | None]:
        """Return two events: one strongly consistent GetItem each, or one if they are the same."""
        first = self._event(account, ids[0])
        return first, first if ids[1] == ids[0] else self._event(account, ids[1])

    def apply(self, change: SweepChange) -> bool:
        """Make a change in one transaction, conditional on what was read."""
        items: list[Any] = [{"Update": {"TableName": self._table, **_update(change)}}]
        revoked = {key_type: change.old.keys[key_type] for key_type in change.revoked}
        items += pointers.changes(self._table, change.old, revoked, {})
        passkeys = change.old.passkeys if isinstance(change.old, User) else {}
        for passkey_id in change.removed_passkeys:
            key = credential_key(passkeys[passkey_id].credential_id)
            items.append({"Delete": {"TableName": self._table, "Key": key}})
        items += [{"ConditionCheck": self._unchanged(_pk(it), it.version)} for it in change.others]
        if change.account is not None:
            items.append({"ConditionCheck": self._same_account(change.account)})
        for event in change.events:
            items += event_puts(self._events_table, event, self._retention_days, publishes=self._publishes)
        return self._transact(items)

    def add_pointers(self, principal: Principal) -> bool:
        """Write the pointers of a principal's keys, and notes that they are written, in one transaction."""
        marks = {
            f"#mark{number}": note(POINTER, it) for number, it in enumerate(pointers.secrets(principal.keys))
        }
        update = {
            "TableName": self._table,
            "Key": {"pk": {"S": _pk(principal)}},
            "UpdateExpression": f"SET {', '.join(f'{mark} = :true' for mark in marks)}",
            "ConditionExpression": "version = :version",
            "ExpressionAttributeNames": marks,
            "ExpressionAttributeValues": {":version": {"S": principal.version}, ":true": {"BOOL": True}},
        }
        puts = pointers.changes(self._table, principal, {}, principal.keys)
        return self._transact([{"Update": update}, *puts])

    def move_address(self, principal: Principal) -> bool:
        """Move the address of a principal that version 1.0 stored into its account, in one transaction."""
        return addresses.move_of(self._client, self._table, principal)

    def _transact(self, items: list[Any]) -> bool:
        try:
            call_dynamodb(self._client.transact_write_items, writing=True, TransactItems=items)
        except ClientError as error:
            if {"ConditionalCheckFailed", "TransactionConflict"}.intersection(cancellations(error)):
                return False
            raise
        return True

    def _event(self, account: str, event: str) -> Event | None:
        response = call_dynamodb(
            self._client.get_item,
            TableName=self._events_table,
            Key={"account": {"S": account}, "id": {"S": event}},
            ConsistentRead=True,
        )
        item = response.get("Item")
        return None if item is None else from_item(item, Event)

    def _same_account(self, account: "Account") -> dict[str, Any]:
        """Return the condition that an account's policy and its OWNERs are unchanged.

        A change of the OWNERs makes no new version, so they have a condition of their own.
        """
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
        return principal_from_item(item)
    except Exception:
        # Whatever is wrong with it: the sweep reports it, and goes on with the others.
        return None


def _pk(principal: Principal) -> str:
    return f"USER#{fold_username(principal.username)}"


def _update(change: SweepChange) -> dict[str, Any]:
    """Return the update of a principal's item. It writes notes only: the sweep's role may not write keys.

    Its condition is that no key that the change is about has been used since the decision.
    """
    update = _Notes(change.old.stale)
    for key_type, notice in change.notices.items():
        key = change.old.keys[key_type]
        update.unused(key)
        # None is stored as NULL, because that overrides a notice that version 1.0 stored inside the key.
        update.set(note(NOTICE, key.digest), None if notice is None else msgspec.to_builtins(notice))
    for key_type in change.revoked:
        key = change.old.keys[key_type]
        update.unused(key)
        for digest in (key.digest, *([key.predecessor.digest] if key.predecessor else ())):
            update.set(note(ENDED, digest), True)
        if key_type is KeyType.USER_MANAGEMENT:
            update.set(ENDED_MANAGEMENT_KEY, key.digest)
    passkeys = change.old.passkeys if isinstance(change.old, User) else {}
    for passkey_id, passkey_notice in change.passkey_notices.items():
        value = None if passkey_notice is None else msgspec.to_builtins(passkey_notice)
        update.set(note(NOTICE, as_key(passkeys[passkey_id]).digest), value)
    for passkey_id in change.removed_passkeys:
        update.set(note(ENDED, as_key(passkeys[passkey_id]).digest), True)
    return {
        "Key": {"pk": {"S": _pk(change.old)}},
        "UpdateExpression": f"SET {', '.join(['version = :new', *update.sets])}",
        "ConditionExpression": " AND ".join(["version = :old", *update.conditions]),
        "ExpressionAttributeNames": update.names,
        "ExpressionAttributeValues": {
            ":old": {"S": change.old.version},
            ":new": {"S": change.version},
            **update.values,
        },
    }


class _Notes:
    """The parts of an update that writes notes about secrets."""

    def __init__(self, stale: tuple[tuple[str, ...], ...]) -> None:
        self._stale = stale
        self.sets: list[str] = []
        self.conditions: list[str] = []
        self.values: Item = {}
        self._placeholders: dict[str, str] = {}  # numbered, since an expression has at most 4,096 bytes

    @property
    def names(self) -> dict[str, str]:
        """The names of the notes, by their placeholders."""
        return {placeholder: name for name, placeholder in self._placeholders.items()}

    def set(self, name: str, value: object) -> None:
        """Write a note."""
        self.sets.append(f"{self._name(name)} = {self._value(value)}")

    def unused(self, key: ApiKey) -> None:
        """Require that a key was not used since it was read. A note that is not of its form says nothing."""
        if (note(USED, key.digest),) in self._stale:
            return
        name = self._name(note(USED, key.digest))
        absent = f"attribute_not_exists({name})"
        used = key.last_used_at
        self.conditions.append(absent if used is None else f"({absent} OR {name} <= {self._value(used)})")

    def _name(self, name: str) -> str:
        return self._placeholders.setdefault(name, f"#n{len(self._placeholders)}")

    def _value(self, value: object) -> str:
        name = f":v{len(self.values)}"
        self.values[name] = to_attribute(value)
        return name
