"""Sign-in and whoami with Powertools for AWS Lambda: its resolver, pydantic validation, its logger."""

import base64
import hashlib
import hmac
import os
from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import UnauthorizedError
from aws_lambda_powertools.event_handler.openapi.params import Path
from pydantic import BaseModel, Field

logger = Logger(service="service-users")
app = APIGatewayRestResolver(enable_validation=True)
table = boto3.resource("dynamodb").Table(os.environ["DIRECTORY_TABLE"])


class Whoami(BaseModel):
    account: str
    username: str
    role: str
    keyType: str  # noqa: N815


class NewServiceUser(BaseModel):
    username: str = Field(min_length=3, max_length=64)
    email: str
    role: str


def sign_in() -> tuple[dict[str, Any], str]:
    header = app.current_event.headers.get("Authorization", "")
    try:
        username, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
    except ValueError:
        raise UnauthorizedError("Sign in.") from None
    item: dict[str, Any] = table.get_item(Key={"pk": f"USER#{username.lower()}"}, ConsistentRead=True).get(
        "Item", {}
    )
    digest = hashlib.sha256(secret.encode()).digest()
    for key_type, stored in item.get("keys", {}).items():
        if hmac.compare_digest(digest, stored["digest"].value):
            return item, key_type
    raise UnauthorizedError("Sign in.")


@app.get("/health")
def health() -> dict[str, Any]:
    return {"status": "ok"}


@app.get("/v1/whoami")
def whoami() -> Whoami:
    item, key_type = sign_in()
    return Whoami(account=item["account"], username=item["username"], role=item["role"], keyType=key_type)


@app.post("/v1/service-users")
def create(body: NewServiceUser) -> NewServiceUser:
    sign_in()
    return body


@app.get("/v1/service-users/<username>")
def read(username: Annotated[str, Path(min_length=3)]) -> dict[str, Any]:
    sign_in()
    return table.get_item(Key={"pk": f"USER#{username.lower()}"}, ConsistentRead=True).get("Item", {})


def handler(event: dict[str, Any], context: Any) -> Any:
    return app.resolve(event, context)
