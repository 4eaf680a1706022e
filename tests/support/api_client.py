"""A client of the API for tests: callers, calls and responses, as API Gateway events.

``Stack.call`` builds the event that API Gateway would send, and returns the response of the
function. Nothing here knows the rules.
"""

import base64
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

import app as application
from chalicelib.http.call import Service
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.limits import Limits
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.items import from_attribute
from chalicelib.store.trail import DynamoTrail
from local.gateway import http_api_event
from tests.support import moto_internals, openapi_assertions

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

NO_BODY = object()
GATEWAY = os.environ.get("GATEWAY_OF_TESTS", "rest")
"""Whether calls are events of a REST API (``rest``) or of an HTTP API (``http``)."""
ENGINE = os.environ.get("DYNAMODB_LOCAL_URL", "")
"""Where DynamoDB Local listens; empty for moto and for tables in memory."""


class Tables(NamedTuple):
    directory: str
    events: str


@dataclass
class Clock:
    """A clock for tests, in seconds since 1970; it only moves when a test moves it."""

    at: float

    def __call__(self) -> float:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += seconds


class Key(NamedTuple):
    """Who signs in: a username and one of its keys."""

    username: str
    secret: str

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()

    @property
    def bearer(self) -> dict[str, str]:
        """The header that signs in with the key alone."""
        return {"authorization": f"Bearer {self.secret}"}


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.json["errors"]]

    @property
    def next_path(self) -> str | None:
        """The path and query of the next page's link."""
        link = re.fullmatch(r'<([^>]+)>; rel="next"', self.headers.get("Link", ""))
        if link is None:
            return None
        parts = urlsplit(link[1])
        return f"{parts.path}?{parts.query}"


def items(client: "DynamoDBClient", table: str) -> list[dict[str, Any]]:
    """Return every item of a table, as plain values."""
    if (found := moto_internals.items(table)) is not None:
        return found
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [
        {name: from_attribute(value) for name, value in item.items()}  # type: ignore[arg-type]
        for page in pages
        for item in page["Items"]
    ]


@dataclass
class Stack:
    """The API, its tables and its clock."""

    app: Any
    client: Any
    tables: Tables
    clock: Clock
    service: Any
    gateway: str = GATEWAY

    def call(
        self,
        method: str,
        path: str,
        key: Key | None = None,
        body: Any = NO_BODY,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | str | None = None,
        source_ip: str = "198.51.100.7",
    ) -> Response:
        """Make a call as API Gateway passes it to the function (by the stack's ``gateway``).

        Raises ContractMismatch if the OpenAPI document does not describe the response.
        """
        event = self.event(method, path, key, body, headers=headers, raw=raw, source_ip=source_ip)
        response = self.app(self.as_sent(event), None)
        told = Response(response["statusCode"], dict(response["headers"]), response["body"] or "")
        openapi_assertions.committed().check(event, told.status, told.headers, told.text)
        return told

    def as_sent(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return a REST API's event in the form of the stack's gateway."""
        return http_api_event(event) if self.gateway == "http" else event

    def event(
        self,
        method: str,
        path: str,
        key: Key | None = None,
        body: Any = NO_BODY,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | str | None = None,
        source_ip: str = "198.51.100.7",
    ) -> dict[str, Any]:
        parts = urlsplit(path)
        resource, captured = self._route(parts.path)
        sent = {"content-type": "application/json"} if body is not NO_BODY or raw is not None else {}
        if key is not None:
            sent["authorization"] = key.header
        sent.update({name.lower(): value for name, value in (headers or {}).items()})
        content: str | None = None if body is NO_BODY else json.dumps(body)
        encoded = isinstance(raw, bytes)
        if raw is not None:
            content = base64.b64encode(raw).decode() if isinstance(raw, bytes) else raw
        query = parse_qs(parts.query, keep_blank_values=True)
        return {
            "resource": resource,
            "path": parts.path,
            "httpMethod": method,
            "headers": sent,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": captured or None,
            "stageVariables": None,
            "body": content,
            "isBase64Encoded": encoded,
            "requestContext": {
                "httpMethod": method,
                "resourcePath": resource,
                "path": f"/api{parts.path}",
                "requestId": f"request-{new_version()}",
                "identity": {"sourceIp": source_ip},
            },
        }

    def _route(self, path: str) -> tuple[str, dict[str, str]]:
        best: tuple[int, str, dict[str, str]] | None = None
        for route in self.app.routes:
            form = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route)
            match = re.fullmatch(form, path)
            if match and (best is None or len(match.groups()) < best[0]):
                best = (len(match.groups()), route, match.groupdict())
        assert best is not None, f"no route for {path}: API Gateway returns that itself"
        return best[1], best[2]

    # People and machines

    def account(self, username: str = "owner", email: str | None = None) -> Key:
        """Create an account and return its OWNER's USER_MANAGEMENT key."""
        event = {
            "accountName": f"Account of {username}",
            "username": username,
            "email": email or f"{username}@people.example",
        }
        made = application.create_account(event, None)
        return Key(made["username"], made["apiKey"])

    def user(self, by: Key, username: str, role: str) -> Key:
        """Invite a user, activate them, and return their first key."""
        email = f"{username}@people.example"
        made = self.call("POST", "/v1/users", by, {"username": username, "email": email, "role": role})
        assert made.status == 201, made.text
        return self.activate(username)

    def activate(self, username: str) -> Key:
        """Activate an invited user with the token of an invitation email."""
        response = self.call(
            "POST", "/v1/users/activate", body={"username": username, "token": self.token(username)}
        )
        assert response.status == 200, response.text
        return Key(username, response.json["apiKeys"]["apiKeys"][0]["key"])

    def token(self, username: str) -> str:
        """Return a new token as the invitation's email would contain it; its digest is stored."""
        from chalicelib.rules import key_format

        token = key_format.new_token()
        self.note_mailed(username, self.item(username)["invitation"]["id"], token, 72 * 3600)
        return token

    def code(self, username: str) -> str:
        """Return a new code for a passkey as its email would contain it; its digest is stored."""
        from chalicelib.rules import key_format

        code = key_format.new_secret(key_format.CODE_PREFIX)
        self.note_mailed(username, self.item(username)["enrolment"]["id"], code, 900)
        return code

    def note_mailed(self, username: str, request: str, secret: str, seconds: int) -> None:
        """Store a token's or code's digest as the mailer does, for an invitation or enrolment with an id."""
        from chalicelib.rules import key_format
        from chalicelib.store.outbox import DynamoOutbox

        outbox = DynamoOutbox(self.client, self.tables.directory, self.tables.events)
        until = int(self.clock()) + seconds
        assert outbox.note_mailed(username.lower(), request, key_format.digest(secret), until)

    def service_user(self, by: Key, username: str, role: str = "READ_ONLY", **more: Any) -> dict[str, Key]:
        """Create a Service User and return its keys by type."""
        body = {"username": username, "email": f"{username}@machines.example", "role": role, **more}
        response = self.call("POST", "/v1/service-users", by, body)
        assert response.status == 201, response.text
        return {it["keyType"]: Key(username, it["key"]) for it in response.json["apiKeys"]["apiKeys"]}

    def key(self, by: Key, username: str, key_type: str, **more: Any) -> Key:
        """Generate a key for a Service User."""
        response = self.call(
            "POST", f"/v1/service-users/{username}/api-keys", by, {"keyType": key_type, **more}
        )
        assert response.status == 201, response.text
        return Key(username, response.json["key"])

    def own_key(self, by: Key, key_type: str) -> Key:
        """Generate a key of one's own."""
        response = self.call("POST", f"/v1/users/{by.username}/api-keys", by, {"keyType": key_type})
        assert response.status == 201, response.text
        return Key(by.username, response.json["key"])

    # Signing in

    def sign_in(self, key: Key | None, **more: Any) -> int:
        """Return the status of a sign-in with a key."""
        return self.call("GET", "/v1/whoami", key, **more).status

    def signs_in(self, key: Key, **more: Any) -> bool:
        """Return whether a key signs in."""
        return self.sign_in(key, **more) == 200

    # What is stored

    @property
    def key_attributes(self) -> dict[str, tuple[str, ...]]:
        """The attributes of each table's primary key."""
        return {self.tables.directory: ("pk",), self.tables.events: ("account", "id")}

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return every item of a table, as plain values."""
        return items(self.client, table)

    def item(self, username: str) -> dict[str, Any]:
        """Return the item of a principal."""
        (found,) = [it for it in self.items(self.tables.directory) if it["pk"] == f"USER#{username.lower()}"]
        return found

    def stored_keys(self, username: str) -> dict[str, dict[str, Any]]:
        """Return a principal's keys as stored, each with the notes about it, by type."""
        return stored_keys(self.item(username))

    def events(self, *actions: str) -> list[dict[str, Any]]:
        """Return the events of some actions, or all, the oldest first."""
        found = sorted(self.items(self.tables.events), key=lambda event: str(event["id"]))
        return [event for event in found if not actions or event["action"] in actions]

    def only_key(self, by: Key, username: str = "bot") -> dict[str, Any]:
        """Return the one key of a Service User, as the API shows it."""
        [key] = self.call("GET", f"/v1/service-users/{username}", by).json["apiKeys"]["apiKeys"]
        found: dict[str, Any] = key
        return found

    def snapshot(self) -> tuple[list[Any], list[Any]]:
        """Return every item of both tables in a fixed order, to check that nothing was changed."""
        return (
            sorted(self.items(self.tables.directory), key=lambda item: item["pk"]),
            sorted(self.items(self.tables.events), key=lambda item: (item["account"], item["id"])),
        )

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count the calls to DynamoDB, by operation."""
        counter: Counter[str] = Counter()

        def count(model: Any, **_more: Any) -> None:
            counter[model.name] += 1

        self.client.meta.events.register("before-call.dynamodb", count)
        try:
            yield counter
        finally:
            self.client.meta.events.unregister("before-call.dynamodb", count)


def stored_keys(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the keys of a principal's item without those that the sweep ended, by type, with their notes."""
    keys = {}
    for key_type, key in item.get("keys", {}).items():
        if f"ended_{_short(key)}" not in item:
            keys[key_type] = {**key, **_notes(item, key)}
            if "predecessor" in key:
                keys[key_type]["predecessor"] = {**key["predecessor"], **_notes(item, key["predecessor"])}
    return keys


def _notes(item: dict[str, Any], secret: dict[str, Any]) -> dict[str, Any]:
    names = {"lastUsedAt": "used", "refusedAt": "refused", "notice": "notice", "hasPointer": "pointer"}
    found = {field: item.get(f"{name}_{_short(secret)}") for field, name in names.items()}
    return {field: value for field, value in found.items() if value is not None}


def _short(secret: dict[str, Any]) -> str:
    return bytes(secret["digest"])[:8].hex()


UNLIMITED = Limits(
    key_changes_per_hour=3_600_000,
    key_change_burst=1_000_000,
    account_changes_per_minute=1_000_000,
    invitation_pause=0,
    invitations_per_day=1_000_000,
    account_invitations_per_day=1_000_000,
    passkey_code_pause=0,
    passkey_codes_per_day=1_000_000,
    key_searches_per_minute=1_000_000,
    leak_reports_per_minute=1_000_000,
)
"""Budgets that no test uses up: most tests do in one second what people do in a day."""


def serve(
    client: Any,
    tables: Tables,
    patch: pytest.MonkeyPatch,
    clock: Clock | None = None,
    limits: Limits = UNLIMITED,
) -> Stack:
    """Serve the API on the tables of ``client`` until ``patch`` is undone."""
    clock = clock or Clock(1_900_000_000.5)
    service = Service(
        directory=DynamoDirectory(client, tables.directory, tables.events, 400, limits=limits),
        trail=DynamoTrail(client, tables.events),
        now=clock,
        public_url="https://api.example",
    )
    patch.setattr(application.api, "service", lambda: service)
    return Stack(application.app, client, tables, clock, service)
