"""Every kind of caller: Users and Service Users of one account and of another, and revoked ones."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from chalicelib.rules import key_format
from local.tables import create_tables
from tests.support.api_client import ENGINE, NO_BODY, Key, Response, Stack, Tables, items, serve
from tests.support.catalogue import DISPLAY_NAMES, MADE, MAY_HOLD
from tests.support.secret_scan import CapturedOutput, assert_no_secret

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

READ_ONLY_TYPES = MADE["READ_ONLY"]
ALL_TYPES = MADE["OWNER"]
TYPES = MADE
ROLES = list(TYPES)
PATH = "/v1/service-users"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
CLEAR = r"suk_[0-9A-Za-z]{49}"
MASKED = r"•••…[0-9A-Za-z]{5}"

_NUMBER = count()


def unused_username(beginning: str = "bot") -> str:
    """Return an unused username."""
    return f"{beginning}-{next(_NUMBER)}"


def service_user_body(username: str, role: str = "READ_ONLY", **more: Any) -> dict[str, Any]:
    """Return the body that creates a Service User."""
    return {"username": username, "email": f"{username}@machines.example", "role": role, **more}


@contextmanager
def shared_stack(dynamodb: "DynamoDBClient") -> Iterator[Stack]:
    """Serve the API on tables that many tests share."""
    mark = uuid4().hex[:12]
    tables = Tables(f"directory-{mark}", f"events-{mark}")
    create_tables(dynamodb, {"Directory": tables.directory, "Events": tables.events})
    with pytest.MonkeyPatch.context() as patch:
        yield serve(dynamodb, tables, patch)
    assert_no_secret(*(items(dynamodb, name) for name in tables), CapturedOutput())  # type: ignore[arg-type, call-arg]
    for name in tables:
        dynamodb.delete_table(TableName=name)


REFUSED_CALLERS = {"revoked-key", "former", "wrong-key", "nobody"}
"""Callers whose every call is refused with 401."""


class Accounts:
    """The callers of a test, by names that say what they are; each is created at its first use.

    Each has signed in once, so that their next call does not write a first ``lastUsedAt``.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.keys: dict[str, Key | None] = {"nobody": None}

    def __getitem__(self, name: str) -> Key:
        key = self.caller(name)
        assert key is not None
        return key

    def caller(self, name: str) -> Key | None:
        """Return a caller's key; None for an anonymous caller."""
        if name not in self.keys:
            key = self._make(name)
            signed_in = self.stack.call("GET", "/v1/whoami", key).status
            assert signed_in == (401 if name in REFUSED_CALLERS else 200)
            self.keys[name] = key
        return self.keys[name]

    def call(self, method: str, path: str, caller: str, body: Any = NO_BODY, **more: Any) -> Response:
        """Make a call as the caller of that name."""
        return self.stack.call(method, path, self.caller(caller), body, **more)

    def service_user(self, role: str = "READ_ONLY", **more: Any) -> dict[str, Key]:
        """Create a Service User that "admin" administers and return its keys by type."""
        maker = "owner" if role == "OWNER" else "admin"
        username = unused_username()
        keys = self.stack.service_user(self[maker], username, role, **more)
        if maker != "admin":
            wanted = {"administrators": [self["admin"].username]}
            assert self.stack.call("PUT", f"{PATH}/{username}", self[maker], wanted).status == 200
        return keys

    def _make(self, name: str) -> Key:
        who, _, key_type = name.partition("/")
        if key_type:
            return self._with_key(who, key_type)
        match who:
            case "owner" | "neighbour":
                return self.stack.account(who)
            case "admin" | "bystander":
                return self.stack.user(self["owner"], who, "CLUSTER_ADMIN")
            case "reader":
                return self.stack.user(self["owner"], who, "READ_ONLY")
            case "machine-reader":
                return self.stack.service_user(self["owner"], who, "READ_ONLY")["MONITORING"]
            case "machine-admin":
                return self.stack.service_user(self["owner"], who, "CLUSTER_ADMIN")["USER_MANAGEMENT"]
            case "machine-owner":
                return self.stack.service_user(self["owner"], who, "OWNER")["USER_MANAGEMENT"]
            case "neighbour-machine":
                return self.stack.service_user(self["neighbour"], who, "OWNER")["USER_MANAGEMENT"]
            case "former":
                key = self.stack.user(self["owner"], who, "CLUSTER_ADMIN")
                self.stack.service_user(key, "orphan")
                assert self.stack.call("DELETE", f"/v1/users/{who}", self["owner"]).status == 204
                return key
            case "revoked-key":
                key = self.stack.service_user(self["owner"], who)["MONITORING"]
                path = f"{PATH}/{who}/api-keys?keyType=MONITORING"
                assert self.stack.call("DELETE", path, self["owner"]).status == 204
                return key
            case "wrong-key":
                return Key(self["owner"].username, key_format.new_key())
        raise KeyError(name)

    def _with_key(self, who: str, key_type: str) -> Key:
        if who.startswith("machine"):
            path = f"{PATH}/{self[who].username}/api-keys/rotate"
            made = self.stack.call("POST", path, self["owner"], {"keyType": key_type})
            return Key(self[who].username, made.json["key"])
        return self.stack.own_key(self[who], key_type)


class AccountTemplates:
    """Accounts as their first test built them, to be written back for each test after it.

    Building an account takes dozens of calls of the API; writing the items back takes two of DynamoDB. A
    template is kept by its name until the test process ends, and never changed.
    """

    def __init__(self) -> None:
        self._templates: dict[str, tuple[dict[str, list[Any]], dict[str, Key | None]]] = {}

    def make(self, stack: Stack, name: str, build: Callable[[Accounts], object]) -> Accounts:
        """Return accounts as ``build`` creates them in empty tables. A name belongs to one ``build`` only."""
        accounts = Accounts(stack)
        if name not in self._templates:
            build(accounts)
            scans = (stack.client.get_paginator("scan").paginate(TableName=it) for it in stack.tables)
            items = [[item for page in scan for item in page["Items"]] for scan in scans]
            self._templates[name] = dict(zip(stack.tables._fields, items, strict=True)), dict(accounts.keys)
            return accounts
        stored, keys = self._templates[name]
        for table, items in stored.items():
            puts = [{"PutRequest": {"Item": item}} for item in items]
            for first in range(0, len(puts), 25):
                request = {getattr(stack.tables, table): puts[first : first + 25]}
                assert not stack.client.batch_write_item(RequestItems=request)["UnprocessedItems"]
        accounts.keys = dict(keys)
        return accounts


@contextmanager
def assert_nothing_written(stack: Stack) -> Iterator[None]:
    """Check that the block changes nothing: on the real engine by reading all items, on moto by the calls.

    (moto takes a hundred times as long as the engine to list a table.)
    """
    before = stack.snapshot() if ENGINE else None
    with stack.counted() as calls:
        yield
    assert calls.keys() <= {"GetItem", "BatchGetItem", "Query"}
    if before is not None:
        assert stack.snapshot() == before


# Responses


def assert_problem(response: Response, status: int) -> dict[str, Any]:
    """Check that a response is a well-formed problem of ``status``, and return it."""
    assert response.status == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    problem = response.json
    assert isinstance(problem, dict)
    assert problem.keys() - {"errors"} == {"type", "title", "status", "detail", "requestId"}
    assert problem["status"] == status
    assert problem["type"] == "urn:service-users:problem:" + problem["title"].lower().replace(" ", "-")
    assert re.fullmatch(r"request-[0-9a-f]{16}", problem["requestId"])
    assert re.fullmatch(r"[^ ].*[.)…'\"]|.*: .*", problem["detail"], re.DOTALL), problem["detail"]
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
    for error in problem.get("errors", ()):
        assert error.keys() == {"pointer", "detail"}
        assert error["pointer"] == "" or error["pointer"].startswith("/")
        assert error["detail"]
    return problem


def assert_key(value: dict[str, Any], holder: str, key_type: str, form: str) -> None:
    """Check an API key in a response; ``form`` is CLEAR or MASKED."""
    assert value.keys() == {
        "account",
        "keyType",
        "username",
        "key",
        "last5",
        "createdAt",
        "createdBy",
        "rotatedAt",
        "rotatedBy",
        "expiresAt",
        "lastUsedAt",
        "allowedNetworks",
        "predecessor",
        "ceiling",
    }
    assert (value["username"], value["keyType"]) == (holder, key_type)
    assert re.fullmatch(form, value["key"])
    assert value["last5"] == value["key"][-5:]
    assert re.fullmatch(TIME, value["createdAt"])
    assert isinstance(value["allowedNetworks"], list)


def assert_service_user(
    value: dict[str, Any], username: str, role: str, form: str = MASKED, types: list[str] | None = None
) -> None:
    """Check a Service User in a response against the form that docs/openapi.json describes."""
    assert value.keys() == {
        "account",
        "username",
        "displayName",
        "email",
        "role",
        "administrators",
        "createdAt",
        "apiKeys",
        "keysBelowRole",
        "suspendedAt",
        "suspendedBy",
        "description",
        "labels",
    }
    assert (value["username"], value["role"]) == (username, role)
    assert re.fullmatch(TIME, value["createdAt"])
    keys = value["apiKeys"]
    assert keys.keys() == {"allowedApiKeyTypes", "apiKeys"}
    allowed = [{"name": it, "displayName": DISPLAY_NAMES[it]} for it in MAY_HOLD[role]]
    assert keys["allowedApiKeyTypes"] == allowed
    assert [it["keyType"] for it in keys["apiKeys"]] == (TYPES[role] if types is None else types)
    for it in keys["apiKeys"]:
        assert_key(it, username, it["keyType"], form)
        assert it["account"] == value["account"]
