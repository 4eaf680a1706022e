"""Make moto's DynamoDB faster, with the same results.

A transaction copies its whole tables, once for every item that it writes; every call parses its expressions
two or three times, copies items by a general recipe, and passes through layers made for every AWS service.
Here a transaction keeps only the items that it updates, an expression is parsed once, and items are copied
and written as JSON by code that knows their form. ``tests/local/test_fast_moto.py`` compares.
"""

import base64
import copy
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest
from botocore.utils import merge_dicts
from moto.core import DEFAULT_ACCOUNT_ID  # type: ignore[attr-defined]
from moto.core import responses as core_responses
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.serialize import AttributePicker, AttributePickerContext, ResponseSerializer
from moto.core.utils import MISSING  # type: ignore[attr-defined]
from moto.dynamodb import comparisons, models
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models import DynamoDBBackend, dynamo_type
from moto.dynamodb.models.dynamo_type import DDBType, DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.utilities import bytesize, find_nested_key
from moto.dynamodb.parsing import validators
from moto.dynamodb.parsing.ast_nodes import (  # type: ignore[attr-defined]
    DepthFirstTraverser,
    Expression,
    Node,
    UpdateExpressionFunction,
)
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined]
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords
from moto.dynamodb.responses import DynamoHandler
from werkzeug.exceptions import HTTPException

_LARGEST_ITEM = 405_000
"""Moto's limit, between what DynamoDB documents and what it does."""


@cache
def install() -> None:
    """Replace all of it for as long as this process lives."""
    _transactions()
    _expressions()
    _items()
    _responses()


# Transactions


def _transactions() -> None:
    backups = _Backups()
    setattr(models, "copy", SimpleNamespace(deepcopy=backups.deepcopy))  # noqa: B010
    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        with backups.of(transact_items):
            transact(self, transact_items)

    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]


class _Backups(threading.local):
    """Copies each table once in a transaction, as the state to go back to. Threads share nothing."""

    _copied: dict[int, Any] | None = None
    _updated: tuple[dict[str, Any], ...] = ()

    def of(self, transact_items: list[dict[str, Any]]) -> "_Backups":
        self._updated = tuple(item["Update"] for item in transact_items if "Update" in item)
        return self

    def __enter__(self) -> None:
        self._copied = {}

    def __exit__(self, *_: object) -> None:
        self._copied = None

    def deepcopy(self, value: Any) -> Any:
        if self._copied is None or not isinstance(value, Table):
            return copy.deepcopy(value)
        if id(value) not in self._copied:
            self._copied[id(value)] = self._backup(value)
        return self._copied[id(value)]

    def _backup(self, table: Table) -> Table:
        """Return a copy that shares all items but those that an Update changes in place."""
        backup = copy.copy(table)
        backup.items = defaultdict(dict)
        for hash_key, found in table.items.items():
            backup.items[hash_key] = dict(found) if table.has_range_key else found
        for operation in self._updated:
            key = operation.get("Key", {})
            if operation.get("TableName") != table.name or table.hash_key_attr not in key:
                continue
            hash_key = DynamoType(key[table.hash_key_attr])
            within: Any = backup.items
            if table.has_range_key:
                within = backup.items.get(hash_key, {})
                hash_key = DynamoType(key.get(table.range_key_attr, {"NULL": True}))
            if hash_key in within:
                within[hash_key] = copy.deepcopy(within[hash_key])
        if table.stream_shard is not None:
            backup.stream_shard = copy.copy(table.stream_shard)
            backup.stream_shard.items = list(table.stream_shard.items)
            backup.stream_shard.table = backup
        return backup


# Expressions


def _expressions() -> None:
    """Parse each expression once. Whoever changes the tree of an update copies it first."""
    keywords = frozenset(ReservedKeywords.get_reserved_keywords())
    ReservedKeywords.get_reserved_keywords = classmethod(lambda _cls: keywords)  # type: ignore[method-assign,assignment]
    UpdateExpressionParser.make = cache(UpdateExpressionParser.make)
    setattr(validators, "deepcopy", _copied_tree)  # noqa: B010
    DepthFirstTraverser.traverse = _traverse
    Node.find_clauses = _find_clauses
    parse = ConditionExpressionParser.parse

    class Unbound(ConditionExpressionParser):
        """Parses a condition to a tree whose values are still names."""

        def _make_op_condition(self, node: Any) -> Any:
            return node

        def _lookup_expression_attribute_value(self, name: str) -> Any:
            return name

    @cache
    def tree(expression: str, names: tuple[tuple[str, str], ...] | None) -> tuple[Any, list[str], list[str]]:
        parser = Unbound(expression, None if names is None else dict(names), None)
        return parse(parser), parser.expr_attr_names_found, parser.expr_attr_values_found

    def parse_once(self: ConditionExpressionParser) -> Any:
        if not self.condition_expression:
            return parse(self)
        names = self.expression_attribute_names
        node, names_found, values_found = tree(
            self.condition_expression, None if names is None else tuple(names.items())
        )
        self.expr_attr_names_found.extend(names_found)
        self.expr_attr_values_found.extend(values_found)
        return self._make_op_condition(node)

    make_operand = ConditionExpressionParser._make_operand

    def bound_operand(self: ConditionExpressionParser, node: Any) -> Any:
        if node.kind == self.Kind.EXPRESSION_ATTRIBUTE_VALUE:
            return comparisons.AttributeValue(self._lookup_expression_attribute_value(node.text))
        return make_operand(self, node)

    ConditionExpressionParser.parse = parse_once  # type: ignore[method-assign]
    ConditionExpressionParser._make_operand = bound_operand  # type: ignore[method-assign]


def _copied_tree(node: Any) -> Any:
    """Return a copy of an expression's tree, or of the list that ``list_append`` copies."""
    if not isinstance(node, Node):
        return copy.deepcopy(node)
    made = node.__class__.__new__(node.__class__)
    made.__dict__.update(node.__dict__)
    if isinstance(node.children, list):
        made.children = [_copied_tree(child) if isinstance(child, Node) else child for child in node.children]
        for child in made.children:
            if isinstance(child, Node):
                child.parent = made
    return made


def _find_clauses(self: Any, kinds: Any) -> list[Any]:
    found: list[Any] = []
    for child in self.children or ():
        if type(child) in kinds:
            found.append(child)
        elif _is_one_of(child.__class__, (Expression, UpdateExpressionFunction)):
            found += _find_clauses(child, kinds)
    return found


@cache
def _is_one_of(kind: Any, kinds: Any) -> bool:
    """Return what issubclass does. These classes are abstract, for which Python asks a slow way round."""
    return issubclass(kind, kinds)


def _traverse(self: Any, root: Any) -> Any:
    """Visit a tree as DepthFirstTraverser does, without asking at every node what is to be processed."""
    kinds = self.nodes_to_be_processed()

    def visit(node: Any, child_id: int) -> Any:
        parent = node.parent
        for number, child in enumerate(node.children or ()):
            self.pre_processing_of_child(node, number)
            if _is_one_of(child.__class__, (Node,)):
                visit(child, number)
        if _is_one_of(node.__class__, kinds):
            node = self.process(node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
        return node

    return visit(root, -1)


# Items


def _items() -> None:
    setattr(DynamoType, "__deepcopy__", lambda self, _memo: _copied_value(self))  # noqa: B010
    setattr(Item, "__deepcopy__", lambda self, _memo: _copied_item(self))  # noqa: B010
    setattr(DynamoType, "to_regular_json", _regular_json)  # noqa: B010
    setattr(DynamoType, "size", _size)  # noqa: B010
    setattr(Item, "__init__", _new_item)  # noqa: B010
    setattr(Item, "project", _projected)  # noqa: B010
    cast_value = DynamoType.cast_value
    setattr(  # noqa: B010
        DynamoType,
        "cast_value",
        property(lambda self: self.value if self.type == DDBType.STRING else cast_value.__get__(self)),
    )


def _copied_value(value: DynamoType) -> DynamoType:
    made = DynamoType.__new__(DynamoType)
    made.type, held = value.type, value.value
    if isinstance(held, dict):
        made.value = {name: _copied_value(field) for name, field in held.items()}
    elif isinstance(held, list):
        made.value = [_copied_value(it) if type(it) is DynamoType else it for it in held]
    else:
        made.value = held
    return made


def _copied_item(item: Item) -> Item:
    made: Any = Item.__new__(Item)
    made.hash_key = _copied_value(item.hash_key)
    made.range_key = None if item.range_key is None else _copied_value(item.range_key)
    made.attrs = _attributes((name, _copied_value(value)) for name, value in item.attrs.items())
    return cast("Item", made)


def _attributes(fields: Iterator[tuple[str, DynamoType]]) -> LimitedSizeDict:
    """Return a dict whose size is limited; without a look at the size for every field that it starts with."""
    made = LimitedSizeDict.__new__(LimitedSizeDict)
    for name, value in fields:
        dict.__setitem__(made, name, value)
    return made


def _new_item(self: Item, hash_key: DynamoType, range_key: DynamoType | None, attrs: dict[str, Any]) -> None:
    self.hash_key, self.range_key = hash_key, range_key
    self.attrs = _attributes((name, DynamoType(value)) for name, value in attrs.items())
    if self.size() > _LARGEST_ITEM:
        raise ItemSizeTooLarge


def _regular_json(value: DynamoType) -> dict[str, Any]:
    held = value.value
    if isinstance(held, dict):
        held = {name: _regular_json(field) for name, field in held.items()}
    elif isinstance(held, list):
        held = [_regular_json(it) if type(it) is DynamoType else it for it in held]
    elif value.type == DDBType.BINARY and isinstance(held, str):
        held = base64.b64decode(held)
    return {value.type: held}


def _size(value: DynamoType) -> int:
    held = value.value
    if isinstance(held, dict):
        return sum(bytesize(name) + _size(field) for name, field in held.items())
    if isinstance(held, bool):
        return 1
    if isinstance(held, list):
        if value.type == DDBType.LIST:
            return sum(_size(it) for it in held)
        return sum(len(it) if isinstance(it, bytes) else bytesize(str(it)) for it in held)
    return len(str(held)) if value.type == DDBType.NUMBER else bytesize(held)


def _projected(item: Item, projection_expressions: list[list[str]]) -> Item:
    whole, result = item.to_regular_json(), {}  # type: ignore[var-annotated]
    for path in projection_expressions:
        merge_dicts(result, find_nested_key(path, whole))
    return Item(item.hash_key, item.range_key, dict(dynamo_type.serializer.serialize(result)["M"]))


# Requests and responses

_OPERATIONS = {
    "GetItem": DynamoHandler.get_item,
    "BatchGetItem": DynamoHandler.batch_get_item,
    "Query": DynamoHandler.query,
    "Scan": DynamoHandler.scan,
    "PutItem": DynamoHandler.put_item,
    "UpdateItem": DynamoHandler.update_item,
    "DeleteItem": DynamoHandler.delete_item,
    "TransactWriteItems": DynamoHandler.transact_write_items,
}
"""The operations whose calls and responses need no model: all they have besides JSON is binary values."""

_ENDPOINT = re.compile(r"https://dynamodb\.([a-z0-9-]+)\.amazonaws\.com/")


def _responses() -> None:
    names = "method_names_from_class"
    setattr(core_responses, names, cache(getattr(core_responses, names)))
    ResponseSerializer.get_value = _remembering(ResponseSerializer.get_value)  # type: ignore[method-assign]
    process_request = BotocoreStubber.process_request

    def process_most_requests(self: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        target = request.headers.get("X-Amz-Target", "")
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        endpoint = _ENDPOINT.fullmatch(request.url)
        if name not in _OPERATIONS or endpoint is None:
            return process_request(self, request)
        return _response(name, endpoint[1], request.body)

    BotocoreStubber.process_request = process_most_requests  # type: ignore[method-assign]


def _response(name: str, region: str, body: Any) -> tuple[int, dict[str, Any], Any]:
    """Return the status, headers and body of the response to a call, as DynamoHandler's dispatch does."""
    handler = DynamoHandler()
    handler.headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{name}",
        "Content-Type": "application/x-amz-json-1.0",
    }
    handler.response_headers = {}
    handler.querystring, handler.uri_match = {}, {}
    handler.region, handler.current_account = region, DEFAULT_ACCOUNT_ID
    handler.body = handler.params = json.loads(body, object_hook=_with_binary_values)
    try:
        result = _OPERATIONS[name](handler).result
    except ServiceException as error:
        return handler.serialized(ActionResult(error))
    except HTTPException as error:
        return error.code or 500, dict(error.get_headers()), error.description
    assert isinstance(result, dict)
    told = {field: it for field, it in result.items() if it is not None}
    return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(told, default=_base64)


def _with_binary_values(value: dict[str, Any]) -> dict[str, Any]:
    """Decode what JSON has for a binary value. A field of that name is a value itself, so it is no text."""
    if len(value) == 1:
        if isinstance(held := value.get("B"), str):
            return {"B": base64.b64decode(held)}
        if isinstance(held := value.get("BS"), list):
            return {"BS": [base64.b64decode(it) for it in held]}
    return value


def _base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"not JSON: {type(value)}")


def _remembering(get_value: Callable[..., Any]) -> Callable[..., Any]:
    """Return moto's ``get_value``, which remembers under which names it looks for a member of a dict."""

    @cache
    def names(picker: Callable[[], AttributePicker], key: str, shape: Any) -> tuple[str, ...]:
        context = AttributePickerContext(obj={}, key=key, shape=shape)
        return tuple(dict.fromkeys(picker().get_possible_keys(context)))

    def fast(self: ResponseSerializer, value: Any, key: str, shape: Any) -> Any:
        picker = self._value_picker
        if type(value) is not dict or not isinstance(picker, AttributePicker) or picker.response_transformers:
            return get_value(self, value, key, shape)
        for name in names(type(picker), key, shape):  # type: ignore[arg-type]
            found = value.get(name, MISSING)
            if found is not MISSING:
                return found
        return None

    return fast
