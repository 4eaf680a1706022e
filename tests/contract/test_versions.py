"""Compatibility, as docs/versioning.md promises it: the contract compared with the last release's."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.compatibility import breaking_changes
from tests.support.openapi_assertions import DOCUMENT

RELEASED: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parent.parent.parent / "contract" / "released.json").read_text()
)
COMMITTED: dict[str, Any] = json.loads(DOCUMENT.read_text())

Change = Callable[[dict[str, Any]], Any]


@pytest.mark.default_catalogue(reason="the released contract has the default key types")
def test_nothing_breaks_a_client_of_the_last_release() -> None:
    assert breaking_changes(RELEASED, COMMITTED) == []


def test_a_changed_contract_has_another_version() -> None:
    """A changed contract has a new version with the same major number: a breaking change would be ``/v2``."""
    if RELEASED["info"]["version"] == COMMITTED["info"]["version"]:
        same = {**RELEASED, "info": None} == {**COMMITTED, "info": None}
        assert same, "raise VERSION in chalicelib/version.py"
    assert RELEASED["info"]["version"].split(".")[0] == COMMITTED["info"]["version"].split(".")[0]


def changed(change: Change) -> list[str]:
    new = copy.deepcopy(COMMITTED)
    change(new)
    return breaking_changes(COMMITTED, new)


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def call(document: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path][method]
    return found


BREAKS: dict[str, tuple[Change, str]] = {
    "a call is gone": (lambda it: it["paths"]["/v1/whoami"].pop("get"), "GET /v1/whoami: is removed"),
    "a path is gone": (lambda it: it["paths"].pop("/v1/events"), "GET /v1/events: is removed"),
    "a call has another name": (
        lambda it: call(it, "/v1/whoami", "get").update(operationId="me"),
        "operationId",
    ),
    "a call is in another module": (
        lambda it: call(it, "/v1/whoami", "get").update(tags=["Me"]),
        "its tag has changed",
    ),
    "a call wants signing in": (
        lambda it: call(it, "/health", "get").pop("security"),
        "GET /health: the sign-in has changed",
    ),
    "signing in is otherwise": (
        lambda it: it["components"]["securitySchemes"]["basic"].update(scheme="bearer"),
        "the security scheme basic",
    ),
    "a field is gone from a body": (
        lambda it: schema(it, "InviteUser")["properties"].pop("displayName"),
        "/displayName: is removed",
    ),
    "a field is required": (
        lambda it: schema(it, "InviteUser")["required"].append("displayName"),
        "/displayName: is required now",
    ),
    "a body has another required field": (
        lambda it: (
            schema(it, "InviteUser")["properties"].update(team={"type": "string"}),
            schema(it, "InviteUser")["required"].append("team"),
        ),
        "/team: is required now",
    ),
    "a length is shorter": (
        lambda it: schema(it, "InviteUser")["properties"]["username"].update(maxLength=32),
        "maxLength was 64, is 32",
    ),
    "a limit is new": (
        lambda it: schema(it, "ActivateUser")["properties"]["token"].update(maxLength=32),
        "maxLength was None, is 32",
    ),
    "a form is another": (
        lambda it: schema(it, "InviteUser")["properties"]["username"].update(pattern="^[a-z]+$"),
        "pattern",
    ),
    "null is refused": (
        lambda it: schema(it, "RestrictKey")["properties"]["expiresAt"].update(type="string"),
        "type was",
    ),
    "a default is another": (
        lambda it: schema(it, "RotateKey")["properties"]["overlapSeconds"].update(default=60),
        "default was 0, is 60",
    ),
    "a rule between fields is new": (
        lambda it: schema(it, "UpdateUser").update(allOf=[{"required": ["role"]}]),
        "allOf",
    ),
    "a value is refused, and is another in responses": (
        lambda it: schema(it, "KeyType")["enum"].remove("MONITORING"),
        "enum was",
    ),
    "a body is required": (
        lambda it: call(it, "/v1/api-keys/rotate", "post")["requestBody"].update(required=True),
        "requires the body now",
    ),
    "a body is gone": (
        lambda it: call(it, "/v1/api-keys/rotate", "post").pop("requestBody"),
        "no longer takes a body",
    ),
    "a body is new": (
        lambda it: call(it, "/v1/users/{username}/invitation", "post").update(
            requestBody={"required": True, "content": {}}
        ),
        "takes a body now",
    ),
    "a media type is another": (
        lambda it: call(it, "/v1/users", "post")["requestBody"]["content"].update(
            {
                "application/xml": call(it, "/v1/users", "post")["requestBody"]["content"].pop(
                    "application/json"
                )
            }
        ),
        "application/json is removed",
    ),
    "a query parameter is gone": (
        lambda it: call(it, "/v1/events", "get")["parameters"].pop(0),
        "the query parameter username: is removed",
    ),
    "a query parameter is required": (
        lambda it: it["components"]["parameters"]["Limit"].update(required=True),
        "the query parameter limit: is required now",
    ),
    "a required query parameter is new": (
        lambda it: call(it, "/v1/whoami", "get").update(
            parameters=[{"in": "query", "name": "why", "required": True, "schema": {}}]
        ),
        "the query parameter why: is new, and required",
    ),
    "a page is smaller": (
        lambda it: it["components"]["parameters"]["Limit"]["schema"].update(maximum=50),
        "maximum was 100, is 50",
    ),
    "success is another": (
        lambda it: call(it, "/v1/users", "post")["responses"].update(
            {"202": call(it, "/v1/users", "post")["responses"].pop("201")}
        ),
        "201: is no longer a response",
    ),
    "a field is gone from a response": (
        lambda it: (
            schema(it, "User")["properties"].pop("status"),
            schema(it, "User")["required"].remove("status"),
        ),
        "/status: is removed",
    ),
    "a field may be absent": (
        lambda it: schema(it, "User")["required"].remove("status"),
        "/status: may be absent now",
    ),
    "a field may be null": (
        lambda it: schema(it, "User")["properties"]["email"].update(type=["string", "null"]),
        "type was string",
    ),
    "a field has another value": (
        lambda it: schema(it, "User")["properties"]["status"]["enum"].append("PAUSED"),
        "enum was",
    ),
    "a role is new, and is in responses": (
        lambda it: schema(it, "Role")["enum"].append("AUDITOR"),
        "enum was",
    ),
    "a time is no time any more": (
        lambda it: schema(it, "User")["properties"]["createdAt"].pop("format"),
        "format was date-time, is None",
    ),
    "a part of a response is another": (
        lambda it: schema(it, "ApiKey")["properties"]["predecessor"]["anyOf"].pop(),
        "anyOf",
    ),
    "a header may be absent": (
        lambda it: it["components"]["headers"]["Location"].update(required=False),
        "the header Location may be absent now",
    ),
    "a response has another type for those who ask for anything": (
        lambda it: call(it, "/v1/events", "get")["responses"]["200"]["content"].update(
            {"text/plain": {"schema": {}, "x-only-if-accepted": False}}
        ),
        "has a new media type",
    ),
    "a response has another type": (
        lambda it: call(it, "/docs", "get")["responses"]["200"]["content"].update(
            {"text/plain": {"schema": {}}}
        ),
        "has a new media type",
    ),
}


@pytest.mark.parametrize(("change", "words"), BREAKS.values(), ids=BREAKS)
def test_changes_that_break_clients_are_reported(change: Change, words: str) -> None:
    found = changed(change)

    assert found
    assert any(words in line for line in found), found


GOES: dict[str, Change] = {
    "nothing": lambda _it: None,
    "a call is new": lambda it: it["paths"].update({"/v1/teams": copy.deepcopy(it["paths"]["/v1/users"])}),
    "an optional field is new": lambda it: schema(it, "InviteUser")["properties"].update(
        team={"type": "string"}
    ),
    "a field may be left away": lambda it: schema(it, "InviteUser")["required"].remove("email"),
    "a response has another field": lambda it: (
        schema(it, "User")["properties"].update(team={"type": "string"}),
        schema(it, "User")["required"].append("team"),
    ),
    "a length is longer": lambda it: schema(it, "InviteUser")["properties"]["username"].update(maxLength=128),
    "a limit is gone": lambda it: schema(it, "UpdateServiceUser")["properties"]["administrators"].pop(
        "maxItems"
    ),
    "an optional query parameter is new": lambda it: call(it, "/v1/whoami", "get").update(
        parameters=[{"in": "query", "name": "why", "schema": {}}]
    ),
    "a refusal is new": lambda it: call(it, "/v1/whoami", "get")["responses"].update(
        {"451": {"description": "Unavailable for legal reasons."}}
    ),
    "a refusal is gone": lambda it: call(it, "/v1/users", "post")["responses"].pop("409"),
    "words are others": lambda it: (
        it["info"].update(description="New"),
        schema(it, "User").update(description="New"),
        call(it, "/v1/users", "post").update(summary="New"),
    ),
    "another action is recorded": lambda it: schema(it, "Event")["properties"]["action"]["examples"].append(
        "NEW"
    ),
    "an optional body is new": lambda it: call(it, "/v1/users/{username}/invitation", "post").update(
        requestBody={"content": {}}
    ),
}


@pytest.mark.parametrize("change", GOES.values(), ids=GOES)
def test_changes_that_break_no_client_are_allowed(change: Change) -> None:
    assert changed(change) == []
