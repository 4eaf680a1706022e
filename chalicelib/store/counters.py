"""Counters of budgets and quotas. The transaction that makes a change also counts it, or is refused.

An account's item lists its OWNERs and counts its Users and Service Users. A transaction may name an item only
once, so this module merges all that a transaction does to the account's item into one operation. Changes and
emails are counted in items of their own, which expire by the table's TTL (attribute ``ttl``). So are calls
that make no change, each by a write of its own.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from chalicelib.rules.errors import concurrent_change
from chalicelib.rules.model import ServiceUser
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import (
    Count,
    CountCall,
    CountChange,
    CountEmail,
    GainOwner,
    LoseOwner,
    MachineMayManageOwners,
    Write,
)
from chalicelib.store.items import Item, from_attribute
from chalicelib.store.operations import Operation, account_key
from chalicelib.store.requests import call_dynamodb

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

MAX_PAGES = 100
"""Pages of the index (1 MB each) to count at most; principals beyond them are not counted."""

_ALONE_TRIES = 5
_PER_COUNTER = 75
_MAX_COUNTERS = 64
_DAY = 86_400
_PREFIXES = {"userCount": "USER#", "serviceUserCount": "SERVICE_USER#"}


BUDGET = "BUDGET#"
"""The prefix of the keys of items that count changes, emails and calls."""


def budgets_of(account: str) -> str:
    """Return the prefix of the keys of an account's counters."""
    return f"{BUDGET}{account}#"


class UncountedError(Exception):
    """The account was created by the first release, and its principals have not been counted yet."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.account = account


class _AccountUpdate(NamedTuple):
    """The condition and the update of an account's item that one write needs.

    ``refusal`` returns the error if the item does not fulfil the condition.
    """

    condition: str
    refusal: Callable[[dict[str, Any]], Exception | None]
    values: Item
    set: str = ""
    remove: str = ""
    add: str = ""
    name: str = ""


AccountPart = GainOwner | LoseOwner | MachineMayManageOwners | Count


class AccountWrite(NamedTuple):
    """All that a transaction does to an account's item, except for UpdateAccount."""

    account: str
    parts: tuple[AccountPart, ...]


def merge_account_writes(writes: tuple[Write, ...]) -> Iterator["Write | AccountWrite"]:
    """Return the writes with those to the account's item merged into one, at the position of the first."""
    parts = tuple(write for write in writes if isinstance(write, AccountPart))
    first = True
    for write in writes:
        if not isinstance(write, AccountPart):
            yield write
        elif first:
            first = False
            account = write.user.account if isinstance(write, GainOwner | LoseOwner) else write.account
            yield AccountWrite(account, parts)


def account_operation(table: str, write: AccountWrite) -> Operation:
    """Return the operation that makes all of a transaction's writes to an account's item."""
    parts = [_account_update(part) for part in write.parts]

    def error_of(old: Item | None) -> Exception:
        item = {name: from_attribute(value) for name, value in (old or {}).items()}
        refusals = (part.refusal(item) for part in parts)
        return next((refusal for refusal in refusals if refusal is not None), concurrent_change())

    values: Item = {name: value for part in parts for name, value in part.values.items()}
    operation: dict[str, Any] = {
        "TableName": table,
        "Key": account_key(write.account),
        "ConditionExpression": " AND ".join(part.condition for part in parts),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **({"ExpressionAttributeValues": values} if values else {}),
    }
    for part in parts:
        if part.name:
            operation["ExpressionAttributeNames"] = {"#name": part.name}
    update = " ".join(
        f"{word} {', '.join(clauses)}"
        for word, clauses in (
            ("SET", [part.set for part in parts if part.set]),
            ("REMOVE", [part.remove for part in parts if part.remove]),
            ("ADD", [part.add for part in parts if part.add]),
        )
        if clauses
    )
    if not update:
        return Operation({"ConditionCheck": operation}, concurrent_change(), error_of)
    return Operation({"Update": {**operation, "UpdateExpression": update}}, concurrent_change(), error_of)


def _account_update(write: AccountPart) -> _AccountUpdate:
    match write:
        case GainOwner():
            return _gain_owner(write)
        case LoseOwner():
            return _lose_owner(write)
        case MachineMayManageOwners(_, refused):
            return _AccountUpdate(
                "machinesManageOwners = :true",
                lambda item: None if item.get("machinesManageOwners") else refused,
                {":true": {"BOOL": True}},
            )
        case Count():
            return _add_to_count(write)
        case _:
            assert_never(write)


def _gain_owner(write: GainOwner) -> _AccountUpdate:
    """Return the update that adds an OWNER, on the condition that the quota of OWNERs is not reached."""
    most = write.most
    return _AccountUpdate(
        "attribute_exists(pk) AND size(owners) < :owners",
        lambda item: write.gone if not item else write.full if len(item["owners"]) >= most else None,
        {":membership": {"S": write.user.membership}, ":owners": {"N": str(most)}},
        set="owners.#name = :membership",
        name=fold_username(write.user.username),
    )


def _lose_owner(write: LoseOwner) -> _AccountUpdate:
    """Return the update that removes an OWNER, on the condition that it is not the last OWNER.

    ``owners`` has those who are activated and not suspended (product page: last-owner).
    """
    name = fold_username(write.user.username)
    return _AccountUpdate(
        "attribute_exists(owners.#name) AND size(owners) > :one",
        lambda item: None if name in item.get("owners", {}) and len(item["owners"]) > 1 else write.last,
        {":one": {"N": "1"}},
        remove="owners.#name",
        name=name,
    )


def _add_to_count(write: Count) -> _AccountUpdate:
    count = "serviceUserCount" if write.kind is ServiceUser else "userCount"
    by: Item = {":by": {"N": str(write.by)}}
    if write.by < 0:
        gone = write.full
        exists = "attribute_exists(pk)"
        return _AccountUpdate(exists, lambda item: None if item else gone, by, add=f"{count} :by")

    def refusal(item: dict[str, Any]) -> Exception | None:
        if not item.get("counted"):
            return UncountedError(write.account)
        return write.full if item.get(count, 0) >= write.most else None

    return _AccountUpdate(
        f"counted = :counted AND (attribute_not_exists({count}) OR {count} < :most)",
        refusal,
        {**by, ":counted": {"BOOL": True}, ":most": {"N": str(write.most)}},
        add=f"{count} :by",
    )


def count(client: "DynamoDBClient", table: str, account: str) -> None:
    """Count the principals of an account that was never counted; needed once for each account.

    No principal is added before the count is stored. If one is removed meanwhile, the count is not stored
    and the caller counts again. The count is read from the index, so it misses changes of the last moment.
    """
    key = account_key(account)
    response = call_dynamodb(client.get_item, TableName=table, Key=key, ConsistentRead=True)
    item: Item = response.get("Item", {})
    values: Item = {":true": {"BOOL": True}}
    conditions = ["attribute_exists(pk)", "attribute_not_exists(counted)"]
    for name, prefix in _PREFIXES.items():
        values[f":{name}"] = {"N": str(_count_listed(client, table, account, prefix))}
        if name in item:
            conditions.append(f"{name} = :{name}Before")
            values[f":{name}Before"] = item[name]
        else:
            conditions.append(f"attribute_not_exists({name})")
    try:
        call_dynamodb(
            client.update_item,
            writing=True,
            TableName=table,
            Key=key,
            UpdateExpression=(
                "SET counted = :true, userCount = :userCount, serviceUserCount = :serviceUserCount"
            ),
            ConditionExpression=" AND ".join(conditions),
            ExpressionAttributeValues=values,
        )
    except client.exceptions.ConditionalCheckFailedException:
        return  # another call has counted, or something was removed: retrying the transaction shows which


def _count_listed(client: "DynamoDBClient", table: str, account: str, prefix: str) -> int:
    total = 0
    start: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        page = call_dynamodb(
            client.query,
            TableName=table,
            IndexName="byAccount",
            KeyConditionExpression="account = :account AND begins_with(listKey, :prefix)",
            ExpressionAttributeValues={":account": {"S": account}, ":prefix": {"S": prefix}},
            Select="COUNT",
            **start,
        )
        total += page["Count"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return total


class FullCounters:
    """Remembers which counters of accounts' changes are full, for the current minute.

    A full counter stays full until its minute ends, so skipping it saves a call that would be refused.
    """

    def __init__(self) -> None:
        self._minute = 0
        self._full: set[tuple[str, int]] = set()

    def operation(self, table: str, write: CountChange) -> Operation:
        """Return the operation that counts a change. Raises the write's error if all counters are full."""
        if write.minute != self._minute:
            self._minute, self._full = write.minute, set()
        number = counters_of(write.most)
        kind = f"{budgets_of(write.account)}{write.kind}"
        available = [one for one in range(number) if (kind, one) not in self._full]
        if not available:
            raise write.used_up
        chosen = random.choice(available)  # noqa: S311 - spreads load, no secret

        def error_of(_old: Item | None) -> Exception:
            self._full.add((kind, chosen))
            return write.used_up

        update = {
            "TableName": table,
            "Key": {"pk": {"S": f"{kind}{write.minute}#{chosen}"}},
            "UpdateExpression": "SET #ttl = :ttl ADD changes :one",
            "ConditionExpression": "attribute_not_exists(changes) OR changes < :most",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {
                ":one": {"N": "1"},
                ":most": {"N": str(counter_size(write.most, number))},
                ":ttl": {"N": str(write.minute * 60 + _DAY)},
            },
        }
        return Operation({"Update": update}, write.used_up, error_of, counter=True)

    def count_alone(self, client: "DynamoDBClient", table: str, write: CountChange) -> None:
        """Count a change by a write of its own. Raises the write's error if its budget is used up."""
        operation = self.operation(table, write)
        for attempt in range(_ALONE_TRIES):
            try:
                call_dynamodb(client.update_item, writing=True, **operation.item["Update"])
            except client.exceptions.ConditionalCheckFailedException:
                raise operation.error_for(None) from None
            except client.exceptions.TransactionConflictException:
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - a pause, no secret
            else:
                return
        raise concurrent_change()


def counters_of(most: int) -> int:
    """Return the number of counters to spread a budget over. A small budget has one, and so is exact."""
    return min(max(most // _PER_COUNTER, 1), _MAX_COUNTERS)


def counter_size(most: int, counters: int) -> int:
    """Return the limit of each of several counters: its share, plus room for the random distribution.

    The room is three standard deviations: when the budget is nearly used up, about one change in a thousand
    meets a full counter.
    """
    if counters == 1:
        return most
    share = most / counters
    return ceil(share + 3 * sqrt(share))


def email_operation(table: str, write: CountEmail) -> Operation:
    """Return the operation that counts an email: the time of the last one, and the number of the day."""
    day = str(write.now // _DAY)

    def error_of(old: Item | None) -> Exception:
        item = old or {}
        last, today = item.get("at", {"N": "0"}), item.get(day, {"N": "0"})
        return write.used_up(int(last["N"]), int(today["N"]))

    address = f"#{hashlib.sha256(write.email.encode()).hexdigest()}" if write.email else ""
    update = {
        "TableName": table,
        "Key": {"pk": {"S": f"{budgets_of(write.account)}{write.emails.value}{address}"}},
        # One attribute for each day, and yesterday's is removed: starting a day needs no read.
        "UpdateExpression": "SET #at = :now, #ttl = :ttl REMOVE #before ADD #day :one",
        "ConditionExpression": (
            "(attribute_not_exists(#at) OR #at <= :since) AND (attribute_not_exists(#day) OR #day < :most)"
        ),
        "ExpressionAttributeNames": {
            "#at": "at",
            "#ttl": "ttl",
            "#day": day,
            "#before": str(write.now // _DAY - 1),
        },
        "ExpressionAttributeValues": {
            ":now": {"N": str(write.now)},
            ":since": {"N": str(write.now - write.pause)},
            ":ttl": {"N": str(write.now + 2 * _DAY)},
            ":one": {"N": "1"},
            ":most": {"N": str(write.most)},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    return Operation({"Update": update}, write.used_up(0, 0), error_of)


def count_call(client: "DynamoDBClient", table: str, call: CountCall) -> None:
    """Count a call of a minute. Raises the call's error if its budget is used up."""
    try:
        call_dynamodb(
            client.update_item,
            writing=True,
            TableName=table,
            Key={"pk": {"S": f"{BUDGET}{call.name}#{call.minute}"}},
            UpdateExpression="SET #ttl = :ttl ADD calls :one",
            ConditionExpression="attribute_not_exists(calls) OR calls < :most",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={
                ":one": {"N": "1"},
                ":most": {"N": str(call.most)},
                ":ttl": {"N": str(call.minute * 60 + _DAY)},
            },
        )
    except client.exceptions.ConditionalCheckFailedException:
        raise call.used_up from None
