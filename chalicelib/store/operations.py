"""Operations of a transaction, and their conditions."""

from collections.abc import Callable
from typing import Any, NamedTuple

from chalicelib.store.items import Item


class Condition(NamedTuple):
    """A condition on one item, with the names and values of its placeholders."""

    text: str
    names: dict[str, str]
    values: Item

    def and_also(self, *others: "Condition") -> "Condition":
        """Return the condition that this one and all the others hold."""
        parts = (self, *others)
        return Condition(
            " AND ".join(f"({it.text})" for it in parts),
            {name: it for part in parts for name, it in part.names.items()},
            {value: it for part in parts for value, it in part.values.items()},
        )

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a DynamoDB call. Names are left out if empty: DynamoDB refuses that."""
        names = {"ExpressionAttributeNames": self.names} if self.names else {}
        return {"ConditionExpression": self.text, **names, "ExpressionAttributeValues": self.values}


class Operation(NamedTuple):
    """An operation of a transaction, and the error to raise if its condition fails.

    ``error_of``, if given, returns the error instead, from the stored item (None if there was none). The
    operation asks for that item by ReturnValuesOnConditionCheckFailure. ``counter``: it only counts.
    ``optional``: if its condition fails, the transaction is made without it.
    """

    item: dict[str, Any]
    error: Exception
    error_of: Callable[[Item | None], Exception] | None = None
    counter: bool = False
    optional: bool = False

    def error_for(self, old: Item | None) -> Exception:
        """Return the error of a failed condition, given the stored item if the operation asked for it."""
        return self.error if self.error_of is None else self.error_of(old)


def account_key(account: str) -> Item:
    """Return the key of an account's item."""
    return {"pk": {"S": f"ACCOUNT#{account}"}}
