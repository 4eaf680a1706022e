"""Write units by AWS's rule: by the KB, twice in a transaction, and once for each index entry."""

from typing import Any

import pytest

from bench.write_units import UnitMeter, size, table_of

DESCRIPTION: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "KeySchema": [{"AttributeName": "account"}, {"AttributeName": "listKey"}],
            "Projection": {"ProjectionType": "ALL"},
        },
        {
            "KeySchema": [{"AttributeName": "waiting"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["shown"]},
        },
    ],
}


def item(**attributes: str) -> dict[str, Any]:
    return {"pk": {"S": "a"}, **{name: {"S": value} for name, value in attributes.items()}}


def spent(
    operation: str, parameters: dict[str, Any], before: dict[str, Any] | None, after: dict[str, Any] | None
) -> int:
    states = iter([before, after])
    meter = UnitMeter(
        {"T": table_of(DESCRIPTION)}, lambda **_: {} if (one := next(states)) is None else {"Item": one}
    )
    return meter.after(meter.before(operation, parameters))


KEY = {"TableName": "T", "Key": {"pk": {"S": "a"}}}
LISTED = item(account="x", listKey="y")


@pytest.mark.parametrize(
    ("before", "after", "once"),
    [
        (None, item(), 1),
        (item(), None, 1),
        (item(), item(text="x" * 2000), 2),  # the larger of both
        (item(text="x" * 2000), item(), 2),
        (item(), item(), 1),
    ],
)
def test_the_item_by_the_kilobyte_and_twice_in_a_transaction(before: Any, after: Any, once: int) -> None:
    assert spent("UpdateItem", KEY, before, after) == once
    assert spent("TransactWriteItems", {"TransactItems": [{"Update": KEY}]}, before, after) == 2 * once


@pytest.mark.parametrize(
    ("before", "after", "index"),
    [
        (None, LISTED, 1),
        (LISTED, None, 1),
        (LISTED, LISTED, 0),
        (LISTED, {**LISTED, "note": {"N": "1"}}, 1),
        (LISTED, {**LISTED, "listKey": {"S": "z"}}, 2),  # removed there, added here
        (None, item(account="x"), 0),  # in no index without both keys
        (item(waiting="w"), item(waiting="w", other="x"), 0),  # what is not projected costs nothing
        (item(waiting="w"), item(waiting="w", shown="x"), 1),
        (item(waiting="w"), item(), 1),
    ],
)
def test_each_index_entry_once_also_in_a_transaction(before: Any, after: Any, index: int) -> None:
    assert spent("UpdateItem", KEY, before, after) == 1 + index
    assert spent("TransactWriteItems", {"TransactItems": [{"Update": KEY}]}, before, after) == 2 + index


def test_a_condition_that_is_only_checked_costs_what_a_write_does() -> None:
    check = {"TransactItems": [{"ConditionCheck": KEY}]}
    assert spent("TransactWriteItems", check, LISTED, LISTED) == 2
    assert spent("TransactWriteItems", check, None, None) == 2


def test_puts_and_batches_are_found_and_reads_cost_nothing() -> None:
    assert spent("PutItem", {"TableName": "T", "Item": LISTED}, None, LISTED) == 2
    batch = {"RequestItems": {"T": [{"PutRequest": {"Item": LISTED}}]}}
    assert spent("BatchWriteItem", batch, None, LISTED) == 2
    assert (
        spent("BatchWriteItem", {"RequestItems": {"T": [{"DeleteRequest": {"Key": KEY["Key"]}}]}}, None, None)
        == 1
    )
    assert spent("GetItem", KEY, None, None) == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"S": "äb"}, 3),
        ({"N": "1900000000"}, 3),
        ({"B": b"x" * 32}, 32),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"M": {"k": {"S": "v"}}}, 6),
        ({"L": [{"S": "v"}, {"S": "w"}]}, 7),
        ({"SS": ["ab", "c"]}, 3),
    ],
)
def test_sizes_are_dynamodbs(value: dict[str, Any], expected: int) -> None:
    assert size({"n": value}) == 1 + expected
