"""docs/event-schema.json is the contract's, and every published event keeps to it."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from chalicelib.publishing.form import line
from contract import event_schema
from tests.support.publishing import Publishing

FILE = Path(__file__).resolve().parents[2] / "docs" / "event-schema.json"


def form(schema: Any) -> Any:
    """Return a schema without its words."""
    if isinstance(schema, dict):
        words = ("description", "title")
        return {name: form(it) for name, it in schema.items() if not (name in words and isinstance(it, str))}
    return [form(it) for it in schema] if isinstance(schema, list) else schema


def test_the_committed_schema_is_the_contracts() -> None:
    stale = "docs/event-schema.json is stale: python -m contract.event_schema > docs/event-schema.json"
    assert form(json.loads(FILE.read_text(encoding="utf-8"))) == form(event_schema.schema()), stale


def test_published_events_keep_to_the_schema(publishing: Publishing) -> None:
    stack = publishing.stack
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 60})
    path = "/v1/service-users/bot/api-keys"
    body = {
        "keyType": "MONITORING",
        "allowedNetworks": ["203.0.113.0/24"],
        "expiresAt": "2031-01-01T00:00:00Z",
    }
    assert stack.call("PATCH", path, owner, body).status == 200
    stack.call("PUT", "/v1/service-users/bot", owner, {"role": "OWNER"})
    stack.call("PUT", "/v1/account", owner, {"maxKeyAgeDays": 90})
    publishing.run()
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert len(publishing.bus.taken) >= 5
    for event in publishing.bus.taken:
        validator.validate(event)
    with pytest.raises(jsonschema_rs.ValidationError):
        validator.validate({**publishing.bus.taken[0], "schemaVersion": "2"})


def test_a_line_is_the_same_whatever_the_order_of_its_fields() -> None:
    """EventBridge promises no order; an auditor compares bytes."""
    assert line({"b": "é", "a": {"d": 1, "c": 2}}) == '{"a":{"c":2,"d":1},"b":"é"}'
