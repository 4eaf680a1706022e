"""The model's values as DynamoDB items, and back."""

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
AttributeValue = dict[str, Any]
Item = dict[str, AttributeValue]


def to_item(value: msgspec.Struct, **more: object) -> Item:
    """Return the item of a value: its fields and ``more``, in camelCase, without fields at their defaults."""
    fields = msgspec.to_builtins(value, builtin_types=(bytes,))
    return {name: to_attribute(field) for name, field in {**fields, **more}.items()}


def from_item(item: "Mapping[str, AttributeValue]", kind: type[T]) -> T:
    """Return an item's value, of type ``kind``. Attributes without a field in it are ignored."""
    fields = {name: from_attribute(attribute) for name, attribute in item.items()}
    return msgspec.convert(fields, kind, builtin_types=(bytes,))


def to_attribute(value: object) -> AttributeValue:
    """Return a plain value as a DynamoDB attribute. Raises TypeError for a type that no item has."""
    match value:
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case dict():
            return {"M": {str(name): to_attribute(field) for name, field in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(member) for member in value]}
    raise TypeError(f"no attribute for {type(value).__name__}")


def from_attribute(attribute: AttributeValue) -> Any:
    """Return the plain value of a DynamoDB attribute."""
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value)
        case "NULL":
            return None
        case "M":
            return {name: from_attribute(field) for name, field in value.items()}
        case "L":
            return [from_attribute(member) for member in value]
    return value
