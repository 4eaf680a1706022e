"""Sign-in and whoami by FastAPI, brought to Lambda by Mangum."""

import hashlib
import hmac
import os
from typing import Annotated

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


def signed_in(credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> tuple[dict, str]:
    key = {"pk": f"USER#{credentials.username.lower()}"}
    item = table.get_item(Key=key, ConsistentRead=True).get("Item", {})
    digest = hashlib.sha256(credentials.password.encode()).digest()
    for key_type, key in item.get("keys", {}).items():
        if hmac.compare_digest(digest, key["digest"].value):
            return item, key_type
    raise HTTPException(401, "Sign in.", {"WWW-Authenticate": "Basic"})


SignedIn = Annotated[tuple, Depends(signed_in)]


@app.get("/health")
def health() -> dict:
    return {"status": "ok"}


@app.get("/v1/whoami")
def whoami(caller: SignedIn) -> Whoami:
    item, key_type = caller
    return Whoami(account=item["account"], username=item["username"], role=item["role"], keyType=key_type)


@app.post("/v1/service-users")
def create(body: NewServiceUser, _: SignedIn) -> NewServiceUser:
    return body


@app.get("/v1/service-users/{username}")
def read(username: str, _: SignedIn) -> dict:
    return table.get_item(Key={"pk": f"USER#{username.lower()}"}, ConsistentRead=True).get("Item", {})


handler = Mangum(app, lifespan="off")
