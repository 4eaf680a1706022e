"""The tables a local engine gets are the ones that are declared for CloudFormation."""

import json

import boto3
import pytest
from moto import mock_aws

from local.tables import create_tables, declared_tables


@pytest.fixture
def client():
    with mock_aws():
        yield boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )


def test_both_tables_are_made_as_declared(client):
    described = create_tables(client, {"Directory": "d-1", "Events": "e-1"})

    declared = declared_tables()
    for logical, name in (("Directory", "d-1"), ("Events", "e-1")):
        table = described[logical]
        assert table["TableName"] == name
        assert table["TableStatus"] == "ACTIVE"
        assert table["KeySchema"] == declared[logical]["KeySchema"]
        indexes = {i["IndexName"]: i for i in table["GlobalSecondaryIndexes"]}
        for index in declared[logical]["GlobalSecondaryIndexes"]:
            assert indexes[index["IndexName"]]["KeySchema"] == index["KeySchema"]
            assert indexes[index["IndexName"]]["Projection"] == index["Projection"]


def test_the_events_table_has_its_stream_and_its_time_to_live(client):
    described = create_tables(client, {"Events": "e-1"})

    assert described["Events"]["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_IMAGE",
    }
    assert ":table/e-1/stream/" in described["Events"]["LatestStreamArn"]
    ttl = client.describe_time_to_live(TableName="e-1")["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}


def test_what_guards_a_deployed_table_is_left_out(client, tmp_path):
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

    described = create_tables(client, {"Things": "things-1"}, resources)

    assert list(declared_tables(resources)) == ["Things"]
    assert described["Things"].get("DeletionProtectionEnabled", False) is False
    client.delete_table(TableName="things-1")


def test_a_table_nobody_declared_is_an_error(client):
    with pytest.raises(KeyError):
        create_tables(client, {"Nope": "n"})
