"""examples/terraform: the calls that the provider makes, replayed on the API."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Accounts
from tests.support.api_client import Stack

pytestmark = pytest.mark.default_catalogue(reason="the example creates keys of the default types")

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "terraform"
CALLS: list[dict[str, Any]] = json.loads((FOLDER / "recording.json").read_text(encoding="utf-8"))
CONFIGURED = {
    "username": "ci-bot",
    "email": "ci-bot@machines.example",
    "role": "READ_ONLY",
    "displayName": "CI",
    "administrators": ["admin", "owner"],
}
NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]
TYPES = ["MONITORING", "PROVISIONING_READONLY"]


def test_the_recorded_calls_do_what_is_configured_and_a_second_plan_reads_it(stack: Stack) -> None:
    accounts = Accounts(stack)
    owner = accounts["owner"]
    assert accounts["admin"].username == "admin"
    created: Any = None
    for call in CALLS:
        response = stack.call(call["method"], call["path"], owner, raw=call["body"] or None)
        assert response.status == call["status"], (call, response.text)
        if call["method"] == "POST":
            created = response.json
        if call["step"] == "plan":
            assert {name: response.json[name] for name in CONFIGURED} == CONFIGURED
            keys = response.json["apiKeys"]["apiKeys"]
            assert [it["keyType"] for it in keys] == TYPES
            assert all(it["allowedNetworks"] == NETWORKS for it in keys)
    assert all(it["key"].startswith("suk_") for it in created["apiKeys"]["apiKeys"])
    assert stack.call("GET", "/v1/service-users/ci-bot", owner).status == 404


def test_an_update_without_a_change_makes_no_event(stack: Stack) -> None:
    accounts = Accounts(stack)
    [update] = [it for it in CALLS if it["step"] == "update" and it["method"] == "PUT"]
    [create] = [it for it in CALLS if it["method"] == "POST"]
    owner = accounts["owner"]
    assert accounts["admin"]
    assert stack.call("POST", create["path"], owner, raw=create["body"]).status == 201
    assert stack.call("PUT", update["path"], owner, raw=update["body"]).status == 200
    assert stack.events("SERVICE_USER_UPDATED") == []


def test_the_recording_is_of_the_configuration() -> None:
    text = (FOLDER / "main.tf").read_text(encoding="utf-8")
    sent = [json.loads(it["body"]) for it in CALLS if it["body"]]
    for body in sent:
        for name, value in body.items():
            for one in value if isinstance(value, list) else [value]:
                assert f'"{one}"' in text, name
            assert re.search(rf"\b{name}\b", text)
