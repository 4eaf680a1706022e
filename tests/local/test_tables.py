"""The tables of a local engine are the ones declared for CloudFormation."""

import json
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws

from local.tables import create_tables, declared_tables


@pytest.fixture
def client():
    with mock_aws():
        yield boto3.client("dynamodb")


@pytest.fixture
def name():
    """A unique name: other tests' tables are in the same engine."""
    return uuid4().hex


def test_both_tables_are_made_as_declared(client, name):
    described = create_tables(client, {"Directory": f"d-{name}", "Events": f"e-{name}"})

    declared = declared_tables()
    for logical, made in (("Directory", f"d-{name}"), ("Events", f"e-{name}")):
        table = described[logical]
        assert table["TableName"] == made
        assert table["TableStatus"] == "ACTIVE"
        assert table["KeySchema"] == declared[logical]["KeySchema"]
        indexes = {i["IndexName"]: i for i in table["GlobalSecondaryIndexes"]}
        for index in declared[logical]["GlobalSecondaryIndexes"]:
            assert indexes[index["IndexName"]]["KeySchema"] == index["KeySchema"]
            assert indexes[index["IndexName"]]["Projection"] == index["Projection"]


def test_the_events_table_has_its_stream_and_its_time_to_live(client, name):
    described = create_tables(client, {"Events": name})

    assert described["Events"]["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_IMAGE",
    }
    assert f":table/{name}/stream/" in described["Events"]["LatestStreamArn"]
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}


def test_protection_of_deployed_tables_is_left_out(client, tmp_path, name):
    resources = tmp_path / "resources.json"
    keys = [{"AttributeName": "k", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "k", "AttributeType": "S"}]
    table = {
        "TableName": {"Fn::Sub": "${AWS::StackName}-t"},
        "AttributeDefinitions": attributes,
        "KeySchema": keys,
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "Tags": [{"Key": "a", "Value": "b"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "byKey",
                "KeySchema": keys,
                "Projection": {"ProjectionType": "ALL"},
                "ContributorInsightsSpecification": {"Enabled": True},
            }
        ],
    }
    resources.write_text(
        json.dumps(
            {
                "Resources": {
                    "Things": {"Type": "AWS::DynamoDB::Table", "Properties": table},
                    "Q": {"Type": "AWS::SQS::Queue"},
                }
            }
        )
    )

    described = create_tables(client, {"Things": name}, resources)

    assert list(declared_tables(resources)) == ["Things"]
    assert described["Things"].get("DeletionProtectionEnabled", False) is False
    client.delete_table(TableName=name)


def test_an_undeclared_table_is_an_error(client):
    with pytest.raises(KeyError):
        create_tables(client, {"Nope": "nope"})
