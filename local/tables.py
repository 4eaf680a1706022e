"""Creates the tables on a local engine, from the declaration that CloudFormation uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TableDescriptionTypeDef

RESOURCES = Path(__file__).resolve().parent.parent / ".chalice" / "resources.json"

# What CreateTable takes and a local engine supports. The rest of a declaration (backups, encryption,
# deletion protection, tags) protects a deployed table and would only hinder here.
_TABLE_FIELDS = (
    "AttributeDefinitions",
    "KeySchema",
    "LocalSecondaryIndexes",
    "BillingMode",
    "ProvisionedThroughput",
)
_INDEX_FIELDS = ("IndexName", "KeySchema", "Projection", "ProvisionedThroughput")


def declared_tables(resources: Path = RESOURCES) -> dict[str, dict[str, Any]]:
    """Return the CloudFormation properties of every table declared in ``resources``, by logical name."""
    template = json.loads(resources.read_text(encoding="utf-8"))
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }


def declared_api(resources: Path = RESOURCES) -> dict[str, Any]:
    """Return the properties of the REST API that ``resources`` adds to Chalice's."""
    template = json.loads(resources.read_text(encoding="utf-8"))
    properties: dict[str, Any] = template["Resources"]["RestAPI"]["Properties"]
    return properties


def create_tables(
    client: DynamoDBClient, names: Mapping[str, str], resources: Path = RESOURCES
) -> dict[str, TableDescriptionTypeDef]:
    """Create declared tables, wait until they are active, and return their descriptions by logical name.

    ``names`` maps logical names ("Directory", "Events") to physical ones; a table that is not in it is
    not created. Raises the client's ResourceInUseException if a table of that name exists, KeyError for
    a logical name that is not declared.
    """
    declared = declared_tables(resources)
    described: dict[str, TableDescriptionTypeDef] = {}
    for logical, name in names.items():
        properties = declared[logical]
        client.create_table(TableName=name, **_create_arguments(properties))
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        if "TimeToLiveSpecification" in properties:
            client.update_time_to_live(
                TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
            )
        described[logical] = client.describe_table(TableName=name)["Table"]
    return described


def _create_arguments(properties: dict[str, Any]) -> dict[str, Any]:
    arguments = {field: properties[field] for field in _TABLE_FIELDS if field in properties}
    if indexes := properties.get("GlobalSecondaryIndexes"):
        arguments["GlobalSecondaryIndexes"] = [
            {field: index[field] for field in _INDEX_FIELDS if field in index} for index in indexes
        ]
    if stream := properties.get("StreamSpecification"):
        arguments["StreamSpecification"] = {
            "StreamEnabled": True,
            "StreamViewType": stream["StreamViewType"],
        }
    return arguments
