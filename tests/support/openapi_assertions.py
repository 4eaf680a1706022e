"""Judges every answer of the test suite against the committed OpenAPI document.

Strict where a client is lenient: an answer may have nothing the document does not tell of, and what
the API takes, the document must allow. The schemas are judged by ``jsonschema_rs``, which is not ours.
"""

import base64
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "openapi.json"
PARTS_OF_THE_PAGE = "/docs/{name}"
OF_EVERY_ANSWER = {"X-Content-Type-Options", "Referrer-Policy", "Strict-Transport-Security"}
"""Headers that the document tells of once, for all calls."""


class Drift(AssertionError):
    """What the API did is not what the document says."""


class Judge:
    """Holds calls and answers against a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._closed = _closed(document["components"])
        self._validators: dict[str, Any] = {}

    def judge(self, event: Mapping[str, Any], status: int, headers: Mapping[str, str], text: str) -> None:
        """Raise Drift where the answer to an API Gateway event is not one that the document tells of."""
        call = f"{event['httpMethod']} {event['resource']} -> {status}"
        if event["resource"] == PARTS_OF_THE_PAGE:
            return
        operation = self._document["paths"][event["resource"]].get(event["httpMethod"].lower())
        if operation is None:
            self._judge_other_method(call, event["resource"], status, headers)
            return
        response = operation["responses"].get(str(status))
        if response is None:
            raise Drift(f"{call}: the document does not tell of this status: {text}")
        response = self._resolved(response)
        self._judge_headers(call, response, headers)
        if missing := OF_EVERY_ANSWER - headers.keys():
            raise Drift(f"{call}: {', '.join(sorted(missing))} is missing")
        self._judge_content(call, response, headers, text)
        if status < 300:
            self._judge_taken(call, operation, event)

    def _judge_other_method(self, call: str, path: str, status: int, headers: Mapping[str, str]) -> None:
        allowed = ", ".join(sorted(method.upper() for method in self._document["paths"][path]))
        if status != 405 or headers.get("Allow") != allowed:
            raise Drift(f"{call}: the document has no such call, so this is 405 with Allow: {allowed}")

    def _judge_headers(self, call: str, response: Any, headers: Mapping[str, str]) -> None:
        for name, header in response.get("headers", {}).items():
            told = self._resolved(header)
            if name not in headers:
                if told.get("required"):
                    raise Drift(f"{call}: the header {name} is missing")
                continue
            value: Any = headers[name]
            if told["schema"]["type"] == "integer":
                value = int(value)
            self._check(f"{call}: header {name}", told["schema"], value, closed=True)
        for name in headers:
            untold = {"Content-Type", *OF_EVERY_ANSWER, *response.get("headers", {})}
            if name not in untold:
                raise Drift(f"{call}: the document does not tell of the header {name}")

    def _judge_content(self, call: str, response: Any, headers: Mapping[str, str], text: str) -> None:
        content = response.get("content", {})
        if not content:
            if text:
                raise Drift(f"{call}: the document tells of no content, and there is {text!r}")
            return
        media_type = headers.get("Content-Type", "").partition(";")[0]
        if media_type not in content:
            raise Drift(f"{call}: the document does not tell of {media_type or 'no type'}")
        told = content[media_type]
        value = json.loads(text) if media_type.endswith(("/json", "+json")) else text
        self._check(f"{call}: the body", told["schema"], value, closed=True)
        if media_type == "application/problem+json":
            for name in ("type", "title", "status"):
                if value[name] != told["example"][name]:  # type: ignore[index]
                    raise Drift(f"{call}: {name} is {value[name]!r}, not {told['example'][name]!r}")  # type: ignore[index]

    def _judge_taken(self, call: str, operation: Any, event: Mapping[str, Any]) -> None:
        told = {}
        for parameter in operation.get("parameters", ()):
            found = self._resolved(parameter)
            told[(found["in"], found["name"])] = found["schema"]
        for name, value in (event["pathParameters"] or {}).items():
            self._check(f"{call}: path parameter {name}", told[("path", name)], unquote(value))
        for name, (value,) in (event["multiValueQueryStringParameters"] or {}).items():
            if ("query", name) not in told:
                raise Drift(f"{call}: the document does not tell of the query parameter {name}")
            schema = told[("query", name)]
            self._check(f"{call}: ?{name}", schema, int(value) if schema.get("type") == "integer" else value)
        for name, value in event["headers"].items():
            schema = next(
                (it for (_in, of), it in told.items() if _in == "header" and of.lower() == name), {}
            )
            self._check(f"{call}: {name}", schema, value)
        raw = event["body"]
        if raw and "requestBody" in operation:
            sent = json.loads(base64.b64decode(raw) if event["isBase64Encoded"] else raw)
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self._check(f"{call}: the request's body", schema, sent)
        elif not raw and operation.get("requestBody", {}).get("required"):
            raise Drift(f"{call}: the document says that a body is required")

    def _check(self, what: str, schema: Any, value: Any, *, closed: bool = False) -> None:
        components = self._closed if closed else self._document["components"]
        key = f"{closed} {json.dumps(schema, sort_keys=True)}"
        if key not in self._validators:
            whole = {**schema, "components": components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        for error in self._validators[key].iter_errors(value):
            raise Drift(f"{what}: {error.message} (at /{'/'.join(map(str, error.instance_path))})")

    def _resolved(self, it: Any) -> Any:
        if "$ref" not in it:
            return it
        found: Any = self._document
        for part in it["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found


@cache
def committed() -> Judge:
    """Return the judge of the committed document."""
    return Judge(json.loads(DOCUMENT.read_text(encoding="utf-8")))


def _closed(components: Any) -> Any:
    """Return components whose objects have nothing but what is told of them."""
    schemas = {
        name: {**schema, "additionalProperties": False} if schema.get("type") == "object" else schema
        for name, schema in components["schemas"].items()
    }
    return {**components, "schemas": schemas}
