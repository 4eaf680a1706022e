"""An in-memory fake of the parts of DynamoDB that the store uses, for tests of a hundred thousand calls.

It returns what botocore's client returns and fails as that fails. It supports the expressions that the
store writes and no others, and runs one call at a time, so it says nothing about concurrency. The state
machine runs on it by the thousand, and by the dozen on the real engine, which would show a difference.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from local.tables import declared_tables
from tests.support.api_client import Clock, Stack, Tables, serve

Item = dict[str, Any]
Expression = tuple[Any, ...]
Schema = tuple[str, str | None]

_TOKEN = re.compile(r"\s*(<=|>=|<>|[=<>(),]|[:#A-Za-z_][\w.#:]*)")


class FakeDynamoDB:
    """A client of the declared tables, under the given names: ``{logical name: name}``."""

    def __init__(self, names: dict[str, str]) -> None:
        self.keys: dict[str, Schema] = {}
        self.indexes: dict[str, Schema] = {}
        for logical, declared in declared_tables().items():
            self.keys[names[logical]] = _schema(declared)
            for index in declared["GlobalSecondaryIndexes"]:
                self.indexes[index["IndexName"]] = _schema(index)
        self.tables: dict[str, dict[tuple[str, str], Item]] = {name: {} for name in names.values()}
        self.exceptions = _Exceptions
        self.meta = _Meta()

    def get_item(self, TableName: str, Key: Item, ConsistentRead: bool = False) -> Item:  # noqa: N803
        self.meta.called("GetItem")
        found = self.tables[TableName].get(self._key(TableName, Key))
        return {} if found is None else {"Item": found}

    def batch_get_item(self, RequestItems: Item) -> Item:  # noqa: N803
        self.meta.called("BatchGetItem")
        responses: dict[str, list[Item]] = {}
        for table, request in RequestItems.items():
            keys = [self._key(table, key) for key in request["Keys"]]
            _valid(len(keys) <= 100 and len(set(keys)) == len(keys), "BatchGetItem")
            responses[table] = [self.tables[table][key] for key in keys if key in self.tables[table]]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def query(
        self,
        TableName: str,  # noqa: N803
        KeyConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Item,  # noqa: N803
        Limit: int = 1_000_000,  # noqa: N803
        IndexName: str | None = None,  # noqa: N803
        ScanIndexForward: bool = True,  # noqa: N803
        ConsistentRead: bool = False,  # noqa: N803
        ExclusiveStartKey: Item | None = None,  # noqa: N803
        ExpressionAttributeNames: dict[str, str] | None = None,  # noqa: N803
        Select: str = "ALL_ATTRIBUTES",  # noqa: N803
    ) -> Item:
        self.meta.called("Query")
        _valid(not (IndexName and ConsistentRead), "a global index is never consistent")
        hash_key, range_key = self.indexes[IndexName] if IndexName else self.keys[TableName]
        holds = _condition(KeyConditionExpression)
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues
        parts = [it for it in (hash_key, range_key, *self.keys[TableName]) if it]

        def order(item: Item) -> tuple[Any, ...]:
            return tuple(_plain(item[part]) for part in parts[1:])

        found = [
            item
            for item in self.tables[TableName].values()
            if all(part in item for part in parts) and holds(item, names, values)
        ]
        found.sort(key=order, reverse=not ScanIndexForward)
        if ExclusiveStartKey is not None:
            start = order(ExclusiveStartKey)
            found = [it for it in found if (order(it) > start if ScanIndexForward else order(it) < start)]
        response: Item = {"Items": found[:Limit]}
        if Select == "COUNT":
            response = {"Count": len(found[:Limit])}
        if len(found) > Limit:
            response["LastEvaluatedKey"] = {part: found[Limit - 1][part] for part in parts}
        return response

    def update_item(
        self,
        TableName: str,  # noqa: N803
        Key: Item,  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str | None = None,  # noqa: N803
        ExpressionAttributeNames: dict[str, str] | None = None,  # noqa: N803
        ExpressionAttributeValues: Item | None = None,  # noqa: N803
        ReturnValues: str = "NONE",  # noqa: N803
    ) -> Item:
        self.meta.called("UpdateItem")
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues or {}
        key = self._key(TableName, Key)
        old = self.tables[TableName].get(key, {})
        if ConditionExpression and not _condition(ConditionExpression)(old, names, values):
            raise _error("ConditionalCheckFailedException", "UpdateItem")
        new = _updated({**Key, **old}, UpdateExpression, names, values)
        self.tables[TableName][key] = new
        return {"Attributes": new} if ReturnValues == "ALL_NEW" else {}

    def transact_write_items(self, TransactItems: list[Item]) -> Item:  # noqa: N803
        self.meta.called("TransactWriteItems")
        _valid(len(TransactItems) <= 100, "at most 100 operations")
        writes: list[tuple[str, tuple[str, str], Item | None]] = []
        reasons: list[Item] = []
        touched: set[tuple[str, tuple[str, str]]] = set()
        for operation in TransactItems:
            ((kind, it),) = operation.items()
            table = it["TableName"]
            key = self._key(table, it["Item"] if kind == "Put" else it["Key"])
            _valid((table, key) not in touched, "one operation an item")
            touched.add((table, key))
            old = self.tables[table].get(key, {})
            names = it.get("ExpressionAttributeNames", {})
            values = it.get("ExpressionAttributeValues", {})
            condition = it.get("ConditionExpression")
            holds = condition is None or _condition(condition)(old, names, values)
            reason: Item = {"Code": "None" if holds else "ConditionalCheckFailed"}
            if not holds and old and it.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
                reason["Item"] = old
            reasons.append(reason)
            if not holds or kind == "ConditionCheck":
                continue
            if kind == "Put":
                writes.append((table, key, it["Item"]))
            elif kind == "Delete":
                writes.append((table, key, None))
            else:
                new = _updated({**it["Key"], **old}, it["UpdateExpression"], names, values)
                writes.append((table, key, new))
        if any(reason["Code"] != "None" for reason in reasons):
            raise _error("TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons)
        for table, key, item in writes:
            if item is None:
                self.tables[table].pop(key, None)
            else:
                self.tables[table][key] = item
        return {}

    def put_item(self, TableName: str, Item: Item) -> None:  # noqa: N803
        self.tables[TableName][self._key(TableName, Item)] = Item

    def delete_item(self, TableName: str, Key: Item) -> None:  # noqa: N803
        self.tables[TableName].pop(self._key(TableName, Key), None)

    def get_paginator(self, operation: str) -> "_Scan":
        assert operation == "scan"
        return _Scan(self.tables)

    def _key(self, table: str, item: Item) -> tuple[str, str]:
        hash_key, range_key = self.keys[table]
        one, other = item[hash_key]["S"], item[range_key]["S"] if range_key else ""
        _valid(0 < len(one.encode()) <= 2048 and len(other.encode()) <= 1024, "the length of a key")
        return one, other


def stack_in_memory(patch: pytest.MonkeyPatch, clock: Clock | None = None) -> Stack:
    """Serve the API on tables in memory."""
    names = Tables("directory", "events")
    return serve(FakeDynamoDB({"Directory": names.directory, "Events": names.events}), names, patch, clock)


class ConditionalCheckFailedException(ClientError):
    """The exception that botocore generates from the service's model."""


class _Operation(NamedTuple):
    name: str


class _Meta:
    """Emits an event for each call as botocore does, for tests that count calls."""

    def __init__(self) -> None:
        self.events = self
        self._counters: list[Callable[..., None]] = []

    def register(self, event: str, counter: Callable[..., None]) -> None:
        assert event == "before-call.dynamodb"
        self._counters.append(counter)

    def unregister(self, _event: str, counter: Callable[..., None]) -> None:
        self._counters.remove(counter)

    def called(self, name: str) -> None:
        for counter in self._counters:
            counter(_Operation(name))


class _Exceptions:
    ConditionalCheckFailedException = ConditionalCheckFailedException


class _Scan:
    def __init__(self, tables: dict[str, dict[tuple[str, str], Item]]) -> None:
        self._tables = tables

    def paginate(self, TableName: str, ConsistentRead: bool) -> Iterator[Item]:  # noqa: N803
        yield {"Items": list(self._tables[TableName].values())}


def _schema(declared: Item) -> Schema:
    names = [key["AttributeName"] for key in declared["KeySchema"]]
    return names[0], names[1] if len(names) > 1 else None


def _error(code: str, operation: str, **more: Any) -> ClientError:
    kind = ConditionalCheckFailedException if code == "ConditionalCheckFailedException" else ClientError
    return kind({"Error": {"Code": code, "Message": code}, **more}, operation)


def _valid(holds: bool, rule: str) -> None:
    if not holds:
        raise _error("ValidationException", rule)


# Expressions

_Names = dict[str, str]
_Holds = Callable[[Item, _Names, Item], bool]


def _tokens(text: str) -> list[str]:
    _valid(len(text.encode()) <= 4096, "the length of an expression")
    found = _TOKEN.findall(text)
    assert "".join(found) == re.sub(r"\s+", "", text), f"an expression this cannot read: {text}"
    return found


@cache
def _condition(text: str) -> _Holds:
    tokens = _tokens(text)
    holds = _any_of(tokens)
    assert not tokens, f"an expression this cannot read: {text}"
    return holds


def _any_of(tokens: list[str]) -> _Holds:
    arms = [_all_of(tokens)]
    while tokens and tokens[0].upper() == "OR":
        tokens.pop(0)
        arms.append(_all_of(tokens))
    return lambda item, names, values: any(arm(item, names, values) for arm in arms)


def _all_of(tokens: list[str]) -> _Holds:
    arms = [_term(tokens)]
    while tokens and tokens[0].upper() == "AND":
        tokens.pop(0)
        arms.append(_term(tokens))
    return lambda item, names, values: all(arm(item, names, values) for arm in arms)


def _term(tokens: list[str]) -> _Holds:
    if tokens[0] == "(":
        tokens.pop(0)
        inner = _any_of(tokens)
        assert tokens.pop(0) == ")"
        return inner
    if tokens[0] in ("attribute_exists", "attribute_not_exists"):
        wanted = tokens.pop(0) == "attribute_exists"
        (path,) = _arguments(tokens)
        return lambda item, names, values: (_read(item, path, names) is not None) is wanted
    if tokens[0] == "attribute_type":
        tokens.pop(0)
        path, wanted_type = _arguments(tokens)
        return lambda item, names, values: values[wanted_type]["S"] in (_read(item, path, names) or {})
    if tokens[0] == "NOT":
        tokens.pop(0)
        denied = _term(tokens)
        return lambda item, names, values: not denied(item, names, values)
    if tokens[0] == "contains":
        tokens.pop(0)
        path, member = _arguments(tokens)
        return lambda item, names, values: values[member] in (_read(item, path, names) or {"L": []})["L"]
    if tokens[0] == "begins_with":
        tokens.pop(0)
        path, prefix = _arguments(tokens)
        return lambda item, names, values: (_read(item, path, names) or {"S": ""})["S"].startswith(
            values[prefix]["S"]
        )
    left = _operand(tokens)
    operator = tokens.pop(0)
    if operator == "BETWEEN":
        lowest = _operand(tokens)
        assert tokens.pop(0) == "AND"
        highest = _operand(tokens)
        above, below = _comparison(">=", left, lowest), _comparison("<=", left, highest)
        return lambda item, names, values: above(item, names, values) and below(item, names, values)
    return _comparison(operator, left, _operand(tokens))


def _comparison(operator: str, left: "_Operand", right: "_Operand") -> _Holds:
    compare = _COMPARE[operator]

    def holds(item: Item, names: _Names, values: Item) -> bool:
        one, other = left(item, names, values), right(item, names, values)
        if one is None or other is None or one.keys() != other.keys():
            return False  # a comparison with a missing value, or one of another type, is false
        return compare(_plain(one), _plain(other))

    return holds


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


_Operand = Callable[[Item, _Names, Item], Item | None]


def _operand(tokens: list[str]) -> Callable[[Item, _Names, Item], Item | None]:
    token = tokens.pop(0)
    if token == "size":
        (path,) = _arguments(tokens)

        def size(item: Item, names: _Names, values: Item) -> Item | None:
            found = _read(item, path, names)
            return None if found is None else {"N": str(len(next(iter(found.values()))))}

        return size
    if token.startswith(":"):
        return lambda item, names, values: values[token]
    return lambda item, names, values: _read(item, token, names)


def _arguments(tokens: list[str]) -> list[str]:
    assert tokens.pop(0) == "("
    found = [tokens.pop(0)]
    while tokens[0] == ",":
        tokens.pop(0)
        found.append(tokens.pop(0))
    assert tokens.pop(0) == ")"
    return found


def _plain(value: Item) -> Any:
    ((kind, it),) = value.items()
    return int(it) if kind == "N" else it


def _read(item: Item, path: str, names: _Names) -> Item | None:
    here: Item | None = {"M": item}
    for part in path.split("."):
        if here is None or "M" not in here:
            return None
        here = here["M"].get(names[part] if part.startswith("#") else part)
    return here


@cache
def _changes(text: str) -> tuple[Expression, ...]:
    tokens = _tokens(text)
    found: list[Expression] = []
    clause = ""
    while tokens:
        if tokens[0] in ("SET", "REMOVE", "ADD"):
            clause = tokens.pop(0)
        elif tokens[0] == ",":
            tokens.pop(0)
        path = tokens.pop(0)
        if clause == "SET":
            assert tokens.pop(0) == "="
            source = tokens.pop(0)
            if source == "list_append":  # as the store writes it: of if_not_exists and a value
                assert [tokens.pop(0), tokens.pop(0)] == ["(", "if_not_exists"]
                old = _arguments(tokens)
                assert tokens.pop(0) == ","
                found.append((clause, path, source, [*old, tokens.pop(0)]))
                assert tokens.pop(0) == ")"
                continue
            found.append((clause, path, source, _arguments(tokens) if source == "if_not_exists" else []))
        elif clause == "ADD":
            found.append((clause, path, tokens.pop(0)))
        else:
            found.append((clause, path))
    return tuple(found)


def _updated(item: Item, text: str, names: _Names, values: Item) -> Item:
    """Return an updated copy of an item, without changing the item."""
    new = item
    value: Item
    for change in _changes(text):
        clause, path = change[:2]
        if clause == "REMOVE":
            new = _written(new, path.split("."), names, None)
            continue
        if clause == "ADD":
            old = _read(item, path, names) or {"N": "0"}
            value = {"N": str(int(old["N"]) + int(values[change[2]]["N"]))}
        elif change[2] == "if_not_exists":
            value = _read(item, change[3][0], names) or values[change[3][1]]
        elif change[2] == "list_append":
            listed = _read(item, change[3][0], names) or values[change[3][1]]
            value = {"L": [*listed["L"], *values[change[3][2]]["L"]]}
        else:
            value = values[change[2]]
        new = _written(new, path.split("."), names, value)
    return new


def _written(fields: Item, path: list[str], names: _Names, value: Item | None) -> Item:
    name = names[path[0]] if path[0].startswith("#") else path[0]
    new = dict(fields)
    if len(path) > 1:
        _valid("M" in new.get(name, {}), "the document path is not in the item")
        new[name] = {"M": _written(new[name]["M"], path[1:], names, value)}
    elif value is None:
        new.pop(name, None)
    else:
        new[name] = value
    return new
