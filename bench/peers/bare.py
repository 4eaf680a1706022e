"""The least that any of these functions could be: boto3, one client, one read."""

import os

import boto3

client = boto3.client("dynamodb")


def handler(event, _context):
    if event["path"] == "/health":
        return {"statusCode": 200, "body": "{}"}
    key = {"pk": {"S": "USER#owner"}}
    client.get_item(TableName=os.environ["DIRECTORY_TABLE"], Key=key, ConsistentRead=True)
    return {"statusCode": 200, "body": "{}"}
