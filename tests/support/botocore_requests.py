"""Prints the requests that botocore makes and how it parses the responses, for each call, in several regions.

Run with the package's botocore and with the complete one; the output must be the same.
"""

import json
import sys
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse, HeadersDict

KEY: dict[str, Any] = {"pk": {"S": "USER#bob"}}
VALUES: dict[str, Any] = {
    ":b": {"B": b"\x00\xff"},
    ":n": {"N": "1"},
    ":l": {"L": [{"NULL": True}, {"BOOL": False}, {"SS": ["a"]}]},
    ":m": {"M": KEY},
}
CHECK: dict[str, Any] = {
    "TableName": "Directory",
    "Key": KEY,
    "ConditionExpression": "version = :n",
    "ExpressionAttributeNames": {"#a": "a"},
    "ExpressionAttributeValues": VALUES,
}
UPDATE = {**CHECK, "UpdateExpression": "SET #a = :b"}
PUT = {"TableName": "Directory", "Item": {**KEY, "l": VALUES[":l"]}, "ConditionExpression": "version = :n"}
QUERY = {
    "TableName": "Directory",
    "IndexName": "byAccount",
    "KeyConditionExpression": "a = :m",
    "ExpressionAttributeValues": VALUES,
    "ExclusiveStartKey": KEY,
    "ScanIndexForward": False,
    "Select": "COUNT",
    "Limit": 3,
}
WRITES = [{"Put": PUT}, {"ConditionCheck": CHECK}, {"Update": UPDATE}, {"Delete": CHECK}]
RAW = {"Raw": {"Data": b"Subject: x"}}
MAIL = {
    "FromEmailAddress": "a@example.com",
    "Destination": {"ToAddresses": ["b@example.com"]},
    "Content": RAW,
}
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("dynamodb", "get_item", {"TableName": "Directory", "Key": KEY, "ConsistentRead": True}),
    ("dynamodb", "put_item", PUT),
    ("dynamodb", "update_item", {**UPDATE, "ReturnValues": "ALL_NEW"}),
    ("dynamodb", "query", QUERY),
    ("dynamodb", "scan", {"TableName": "Directory", "Limit": 3}),
    ("dynamodb", "batch_get_item", {"RequestItems": {"Directory": {"Keys": [KEY]}}}),
    ("dynamodb", "transact_write_items", {"ClientRequestToken": "t", "TransactItems": WRITES}),
    ("dynamodb", "batch_write_item", {"RequestItems": {"Events": [{"DeleteRequest": {"Key": KEY}}]}}),
    ("events", "put_events", {"Entries": [{"Source": "s", "DetailType": "t", "Detail": "{}"}]}),
    ("s3", "put_object", {"Bucket": "bucket", "Key": "a/b", "Body": b"{}\n", "IfNoneMatch": "*"}),
    ("sesv2", "send_email", MAIL),
]
ITEM = {"pk": {"S": "x"}, "b": {"B": "AP8="}, "n": {"N": "1"}}
FOUND = {
    "Item": ITEM,
    "Items": [ITEM],
    "Responses": {"Directory": [ITEM]},
    "Attributes": ITEM,
    "MessageId": "m",
}
CANCELLED = {
    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Message": "m"}],
}
ANSWERS: list[tuple[int, Any]] = [
    (200, FOUND),
    (400, {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no"}),
    (400, CANCELLED),
    (400, {"__type": "MessageRejected", "message": "Email address is not verified."}),
]
CHANGING = ("authorization", "x-amz-date", "user-agent", "amz-sdk-invocation-id")


class Body:
    """The response body that urllib3 would have read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [self._content]


def main() -> None:
    seen: list[Any] = []
    session = botocore.session.get_session()
    for region in ("eu-west-1", "us-east-1", "cn-north-1", "us-gov-west-1"):
        for service, method, parameters in CALLS:
            for status, answer in ANSWERS:
                client = session.create_client(service, region_name=region)

                def answered(request: Any, *, status: int = status, answer: Any = answer, **_: Any) -> Any:
                    headers = {name.lower(): str(value) for name, value in request.headers.items()}
                    kept = sorted((name, value) for name, value in headers.items() if name not in CHANGING)
                    body = request.body.read() if hasattr(request.body, "read") else request.body
                    seen.append([request.method, request.url, kept, str(body)])
                    told = HeadersDict(
                        {"x-amzn-RequestId": "r", "Content-Type": "application/x-amz-json-1.0"}
                    )
                    return AWSResponse(request.url, status, told, Body(json.dumps(answer).encode()))  # type: ignore[arg-type]

                client.meta.events.register("before-send", answered)
                try:
                    seen.append(str(getattr(client, method)(**parameters)))
                except client.exceptions.ClientError as error:
                    seen.append([type(error).__name__, str(error.response)])
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
