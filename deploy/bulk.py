"""Operations on every principal of an account or a stack: in passes, until nobody is left, and resumable."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.rules.errors import concurrent_change
from chalicelib.rules.model import Principal
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.principals import principal_from_item

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

THREADS = 8
_PASSES = 10
_EVERY = 500
"""Progress is reported after this many principals."""


class Tables(NamedTuple):
    """The tables of a stack, and how it keeps and publishes events."""

    directory: str
    events: str
    retention_days: int
    publishes: bool = False


def directory_of(client: "DynamoDBClient", tables: Tables) -> DynamoDirectory:
    """Return the Directory as the API uses it, so that an operator's change is made as any other."""
    return DynamoDirectory(
        client, tables.directory, tables.events, tables.retention_days, publishes=tables.publishes
    )


class PassedOver(LookupError):
    """Items of table Directory cannot be read as principals, and were passed over."""


def principals(client: "DynamoDBClient", directory: str, account: str = "") -> Iterator[Principal]:
    """Yield the principals of an account, or of every one, by a strongly consistent Scan.

    What cannot be read is passed over; :func:`refuse_passed_over` names it.
    """
    condition, names, values = "begins_with(pk, :user)", {}, {":user": {"S": "USER#"}}
    if account:
        condition += " AND #account = :account"
        names, values = {"#account": "account"}, {**values, ":account": {"S": account}}
    scan: dict[str, Any] = {"TableName": directory, "ConsistentRead": True, "FilterExpression": condition}
    if names:
        scan["ExpressionAttributeNames"] = names
    pages = client.get_paginator("scan").paginate(**scan, ExpressionAttributeValues=values)
    for page in pages:
        for item in page["Items"]:
            if (principal := readable(dict[str, Any](item))) is not None:
                yield principal


def readable(item: dict[str, Any]) -> Principal | None:
    """Return an item's principal; None if it cannot be read."""
    try:
        return principal_from_item(item)
    except Exception:  # whatever is wrong with it, the others are to be read
        return None


def refuse_passed_over(client: "DynamoDBClient", directory: str, account: str = "") -> None:
    """Raise PassedOver if there are principals that cannot be read, and name them.

    With ``account``, those of it and those of which nobody can tell: a note that was written alone has none.
    """
    pages = client.get_paginator("scan").paginate(
        TableName=directory,
        ConsistentRead=True,
        FilterExpression="begins_with(pk, :user)",
        ExpressionAttributeValues={":user": {"S": "USER#"}},
    )
    found = sorted(
        item["pk"]["S"]
        for item in (dict[str, Any](it) for page in pages for it in page["Items"])
        if item.get("account", {}).get("S", account) == account or not account
        if readable(item) is None
    )
    if found:
        raise PassedOver(
            f"These items of table Directory cannot be read: {', '.join(found)}. What is in them was neither "
            "seen nor changed: docs/operations.md, Items that cannot be read."
        )


def until_none_is_left(
    left: Callable[[], Collection[str]],
    change: Callable[[str], int],
    report: Callable[[str], None],
    said: str,
    threads: int = 0,
) -> int:
    """Make a change of each principal in ``left()``, again and again until that is empty.

    ``change`` takes a username and returns how much it changed; the sum is returned. ``said`` is how
    progress is reported, with ``{}`` for the number so far. ``threads`` is how many change at once; 0 for
    :data:`THREADS`. Raises ConcurrentChange if new ones keep coming.
    """
    done = seen = 0
    workers = threads or THREADS
    for _ in range(_PASSES):
        names = left()
        if not names:
            return done
        with ThreadPoolExecutor(workers) as pool:
            # One alone stops where it fails, with nothing queued behind it.
            for count in (map if workers == 1 else pool.map)(change, names):
                done += count
                seen += 1
                if seen % _EVERY == 0:
                    report(said.format(seen))
    raise concurrent_change()


def account_name(client: "DynamoDBClient", directory: str, account: str) -> str:
    """Return the name of an account. Raises LookupError if there is no such account."""
    key: Any = {"pk": {"S": f"ACCOUNT#{account}"}}
    item = client.get_item(TableName=directory, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        raise LookupError(f"There is no account {account}. Its id is in GET /v1/whoami and in every event.")
    return str(item["name"]["S"])
