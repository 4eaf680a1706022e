"""The minimum for any of these functions: boto3, one client, one read."""

import os
from typing import Any

import boto3

client = boto3.client("dynamodb")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    if event["path"] == "/health":
        return {"statusCode": 200, "body": "{}"}
    key = {"pk": {"S": "USER#owner"}}
    client.get_item(TableName=os.environ["DIRECTORY_TABLE"], Key=key, ConsistentRead=True)
    return {"statusCode": 200, "body": "{}"}
