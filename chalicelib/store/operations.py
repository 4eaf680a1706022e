"""Operations of a transaction, and the conditions they are made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

from chalicelib.store.items import Item


class Condition(NamedTuple):
    """A condition on one item, with what its names and values stand for."""

    text: str
    names: dict[str, str]
    values: Item

    def and_also(self, *others: "Condition") -> "Condition":
        """Return the condition that this and the others hold."""
        both = (self, *others)
        return Condition(
            " AND ".join(f"({it.text})" for it in both),
            {name: it for part in both for name, it in part.names.items()},
            {value: it for part in both for value, it in part.values.items()},
        )

    def parameters(self) -> dict[str, Any]:
        """Return it as DynamoDB takes it; an empty map of names is refused there."""
        names = {"ExpressionAttributeNames": self.names} if self.names else {}
        return {"ConditionExpression": self.text, **names, "ExpressionAttributeValues": self.values}


class Operation(NamedTuple):
    """An operation of a transaction, and the fault to raise where its condition fails.

    ``judge`` returns that fault instead, from the item as it was (None: there was none), which the operation
    asks for by ReturnValuesOnConditionCheckFailure. ``counter``: it does no more than count. ``optional``:
    where its condition fails, the transaction is to be made without it.
    """

    item: dict[str, Any]
    fault: Exception
    judge: Callable[[Item | None], Exception] | None = None
    counter: bool = False
    optional: bool = False

    def refusal(self, old: Item | None) -> Exception:
        """Return the fault of a condition that failed."""
        return self.fault if self.judge is None else self.judge(old)


def account_key(account: str) -> Item:
    """Return the key of an account's item."""
    return {"pk": {"S": f"ACCOUNT#{account}"}}
