"""``local/fast_moto.py`` changes no response of moto: the same calls with and without it in two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

ITEM = {
    "id": {"S": "a"},
    "text": {"S": "ä"},
    "count": {"N": "7"},
    "bytes": {"B": b"\x00\xff"},
    "flag": {"BOOL": True},
    "nothing": {"NULL": True},
    "B": {"M": {"B": {"B": b"in a map"}, "deep": {"L": [{"N": "1"}, {"M": {"x": {"S": "y"}}}]}}},
    "strings": {"SS": ["x", "y"]},
    "numbers": {"NS": ["1", "2.5"]},
    "binaries": {"BS": [b"1", b"2"]},
    "list": {"L": [{"S": "first"}]},
    "owner": {"S": "acme"},
    "sort": {"S": "3"},
}
NAMES = {"#b": "B", "#d": "deep"}


def calls() -> list[tuple[str, dict[str, Any]]]:
    """Return calls that succeed, and calls that are refused in every way that the store relies on."""

    def update(key: str, expression: str, **more: Any) -> tuple[str, dict[str, Any]]:
        return "update_item", {"Key": {"id": {"S": key}}, "UpdateExpression": expression, **more}

    def put(key: str, **fields: Any) -> dict[str, Any]:
        return {"TableName": "t", "Item": {**ITEM, "id": {"S": key}, **fields}}

    def transaction(*operations: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "transact_write_items", {"TransactItems": list(operations)}

    def updated(key: str, expression: str, **more: Any) -> dict[str, Any]:
        return {
            "Update": {"TableName": "t", "Key": {"id": {"S": key}}, "UpdateExpression": expression, **more}
        }

    one, seven = {":one": {"N": "1"}}, {":n": {"N": "7"}}
    never = {"ConditionExpression": "attribute_not_exists(id)"}
    old = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    return [
        ("put_item", {"Item": ITEM}),
        ("put_item", {"Item": ITEM, **never, **old}),
        ("put_item", {"Item": {**ITEM, "id": {"S": "b"}, "owner": {"S": "else"}}, "ReturnValues": "ALL_OLD"}),
        ("put_item", {"Item": {**ITEM, "text": {"S": "x" * 500_000}}}),
        ("put_item", {"Item": {"id": {"S": ""}}}),
        ("get_item", {"Key": {"id": {"S": "a"}}, "ConsistentRead": True}),
        ("get_item", {"Key": {"id": {"S": "none"}}}),
        (
            "get_item",
            {
                "Key": {"id": {"S": "a"}},
                "ProjectionExpression": "#b.#d, list[0], bytes, binaries",
                "ExpressionAttributeNames": NAMES,
            },
        ),
        (
            "batch_get_item",
            {
                "RequestItems": {
                    "t": {
                        "Keys": [{"id": {"S": "a"}}, {"id": {"S": "b"}}, {"id": {"S": "none"}}],
                        "ProjectionExpression": "id, #b",
                        "ExpressionAttributeNames": {"#b": "B"},
                    }
                }
            },
        ),
        update("a", "SET #b.#d = :n, other = if_not_exists(other, :n) REMOVE flag",
               ExpressionAttributeNames=NAMES, ExpressionAttributeValues=seven, ReturnValues="ALL_NEW"),
        update("a", "ADD #c :n SET list = list_append(list, :l)", ExpressionAttributeNames={"#c": "count"},
               ExpressionAttributeValues={**seven, ":l": {"L": [{"B": b"3"}]}}, ReturnValues="UPDATED_NEW"),
        update("a", "SET missing.path = :n", ExpressionAttributeValues=seven),
        update("a", "SET count = :n", ExpressionAttributeValues=seven),
        update("a", "SET x = :unknown", ExpressionAttributeValues=seven),
        update("a", "SET #x = :n", ExpressionAttributeNames={"#y": "y"}, ExpressionAttributeValues=seven),
        update("a", "SET x = :n, x = :n", ExpressionAttributeValues=seven),
        update("a", "SET id = :s", ExpressionAttributeValues={":s": {"S": "b"}}),
        update("a", "SET x = :n", ConditionExpression="other > :n", ExpressionAttributeValues=seven, **old),
        update("a", "SET x = :n", ExpressionAttributeValues=seven, ExpressionAttributeNames=NAMES,
               ConditionExpression="(size(#b) > :n OR other BETWEEN :n AND :n) AND attribute_exists(#b.#d)"),
        update("a", "SET x = :n", ExpressionAttributeValues=seven, ConditionExpression="NOT (other = :n)"),
        update("new", "ADD spent :one", ExpressionAttributeValues=one, ReturnValues="ALL_NEW"),
        update("new", "ADD spent :one", ExpressionAttributeValues=one, ReturnValues="ALL_NEW"),
        transaction(
            {"Put": put("c")},
            updated("a", "SET other = :one", ExpressionAttributeValues=one),
            {"Delete": {"TableName": "t", "Key": {"id": {"S": "b"}}}},
        ),
        transaction(
            updated("a", "SET other = :n, #b.#d = :n", ExpressionAttributeNames=NAMES,
                    ExpressionAttributeValues=seven),
            updated("fresh", "SET other = :n", ExpressionAttributeValues=seven),
            {"Delete": {"TableName": "t", "Key": {"id": {"S": "c"}}}},
            {"Put": put("d")},
            {"ConditionCheck": {"TableName": "t", "Key": {"id": {"S": "new"}}, **never, **old}},
        ),
        transaction({"Put": {**put("a"), **never, **old}}, {"Put": put("e")}),
        transaction({"Put": put("f")}, {"Put": put("f")}),
        transaction({"Put": put("g")}, updated("a", "SET nowhere.at.all = :one",
                                              ExpressionAttributeValues=one)),
        ("query", {"KeyConditionExpression": "id = :i", "ExpressionAttributeValues": {":i": {"S": "a"}}}),
        *(
            (
                "query",
                {
                    "IndexName": "byOwner",
                    "KeyConditionExpression": f"#o = :o AND {condition}",
                    "ExpressionAttributeNames": {"#o": "owner"},
                    "ExpressionAttributeValues": {":o": {"S": "acme"}, ":s": {"S": "3"}},
                    **more,
                },
            )
            for condition in ("sort = :s", "begins_with(sort, :s)", "sort > :s", "sort BETWEEN :s AND :s")
            for more in ({}, {"Limit": 1, "ScanIndexForward": False}, {"Select": "COUNT"})
        ),
        ("scan", {"FilterExpression": "contains(strings, :x)",
                  "ExpressionAttributeValues": {":x": {"S": "x"}}}),
        ("scan", {"Limit": 2}),
        ("delete_item", {"Key": {"id": {"S": "a"}}, "ConditionExpression": "other = :n",
                         "ExpressionAttributeValues": seven}),
        ("delete_item", {"Key": {"id": {"S": "a"}}, "ReturnValues": "ALL_OLD"}),
        ("scan", {}),
    ]  # fmt: skip


def told(client: Any, method: str, arguments: dict[str, Any]) -> Any:
    from botocore.exceptions import ClientError

    if method not in ("batch_get_item", "transact_write_items"):
        arguments = {"TableName": "t", **arguments}
    try:
        response = getattr(client, method)(**arguments)
    except ClientError as error:
        response = error.response
    response.pop("ResponseMetadata")
    return response


def main() -> None:
    """Print every response, and what is in the table's stream then."""
    from moto import mock_aws

    if "fast" in sys.argv:
        from local import fast_moto

        fast_moto.install()
    from chalicelib.store import client as store_client

    with mock_aws():
        session = store_client.session()
        client = session.create_client("dynamodb", config=store_client.CONFIG)
        text = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "owner", "sort")]
        index = [
            {"AttributeName": "owner", "KeyType": "HASH"},
            {"AttributeName": "sort", "KeyType": "RANGE"},
        ]
        stream = client.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=text,
            GlobalSecondaryIndexes=[
                {"IndexName": "byOwner", "KeySchema": index, "Projection": {"ProjectionType": "ALL"}}
            ],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )["TableDescription"]["LatestStreamArn"]
        responses = [[name, arguments, told(client, name, arguments)] for name, arguments in calls()]
        streams = session.create_client("dynamodbstreams")
        shard = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
        begin = streams.get_shard_iterator(StreamArn=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        records = streams.get_records(ShardIterator=begin["ShardIterator"])["Records"]
    changes = [
        [
            it["eventName"],
            {name: it["dynamodb"].get(name) for name in ("Keys", "OldImage", "NewImage", "SequenceNumber")},
        ]
        for it in records
    ]
    print(json.dumps([*responses, changes], default=repr, sort_keys=True, indent=1))


@pytest.fixture(scope="module")
def responses() -> dict[str, list[Any]]:
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONHASHSEED": "0",  # the order of a set that is read in part
    }
    running = {
        way: subprocess.Popen(
            [sys.executable, "-m", "tests.local.test_fast_moto", way],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        )
        for way in ("plain", "fast")
    }  # fmt: skip
    return {way: json.loads(process.communicate()[0]) for way, process in running.items()}


def test_every_response_is_the_same(responses: dict[str, list[Any]]) -> None:
    assert len(responses["plain"]) == len(calls()) + 1
    for plain, fast in zip(responses["plain"], responses["fast"], strict=True):
        assert fast == plain


def test_the_calls_succeed_and_are_refused(responses: dict[str, list[Any]]) -> None:
    codes = [it[2].get("Error", {}).get("Code") for it in responses["plain"][:-1]]
    assert {code for code in codes if code} == {
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
        "ValidationException",
    }
    assert codes.count(None) >= 25


if __name__ == "__main__":
    main()
