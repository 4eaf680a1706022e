"""Sign-in and whoami with FastAPI, on Lambda through Mangum."""

import hashlib
import hmac
import os
from typing import Annotated, Any

import boto3
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from mangum import Mangum
from pydantic import BaseModel, Field

app = FastAPI()
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


def sign_in(credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> tuple[dict[str, Any], str]:
    key = {"pk": f"USER#{credentials.username.lower()}"}
    item: dict[str, Any] = table.get_item(Key=key, ConsistentRead=True).get("Item", {})
    digest = hashlib.sha256(credentials.password.encode()).digest()
    for key_type, stored in item.get("keys", {}).items():
        if hmac.compare_digest(digest, stored["digest"].value):
            return item, key_type
    raise HTTPException(401, "Sign in.", {"WWW-Authenticate": "Basic"})


SignedIn = Annotated[tuple[dict[str, Any], str], Depends(sign_in)]


@app.get("/health")
def health() -> dict[str, Any]:
    return {"status": "ok"}


@app.get("/v1/whoami")
def whoami(caller: SignedIn) -> Whoami:
    item, key_type = caller
    return Whoami(account=item["account"], username=item["username"], role=item["role"], keyType=key_type)


@app.post("/v1/service-users")
def create(body: NewServiceUser, _: SignedIn) -> NewServiceUser:
    return body


@app.get("/v1/service-users/{username}")
def read(username: str, _: SignedIn) -> dict[str, Any]:
    return table.get_item(Key={"pk": f"USER#{username.lower()}"}, ConsistentRead=True).get("Item", {})


handler = Mangum(app, lifespan="off")
