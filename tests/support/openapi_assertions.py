"""Checks every response in the test suite against the committed OpenAPI document.

Stricter than a client: a response may contain nothing that the document does not describe, and what
the API accepts, the document must allow. An independent library, ``jsonschema_rs``, validates the schemas.
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
"""Headers that the document describes once, for all calls."""


class ContractMismatch(AssertionError):
    """The API did something that the document does not describe."""


class ResponseChecker:
    """Compares calls and responses with a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._closed = _closed(document["components"])
        self._validators: dict[str, Any] = {}

    def check(self, event: Mapping[str, Any], status: int, headers: Mapping[str, str], text: str) -> None:
        """Raise ContractMismatch if the document does not describe this response to an API Gateway event."""
        call = f"{event['httpMethod']} {event['resource']} -> {status}"
        if event["resource"] == PARTS_OF_THE_PAGE:
            return
        # HEAD is not in the document as a call of its own: it is GET without the body.
        is_head = event["httpMethod"] == "HEAD"
        if is_head and text:
            raise ContractMismatch(f"{call}: a response to HEAD has no body, and this has {text!r}")
        method = "get" if is_head else event["httpMethod"].lower()
        operation = self._document["paths"][event["resource"]].get(method)
        if operation is None:
            self._check_other_method(call, event["resource"], status, headers)
            return
        response = operation["responses"].get(str(status))
        if response is None:
            raise ContractMismatch(f"{call}: the document does not describe this status: {text}")
        response = self._resolved(response)
        self._check_headers(call, response, headers)
        if missing := OF_EVERY_ANSWER - headers.keys():
            raise ContractMismatch(f"{call}: {', '.join(sorted(missing))} is missing")
        if not is_head:
            self._check_content(call, response, headers, text)
        if status < 300:
            self._check_accepted_request(call, operation, event)

    def _check_other_method(self, call: str, path: str, status: int, headers: Mapping[str, str]) -> None:
        methods = {method.upper() for method in self._document["paths"][path]}
        allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        if status != 405 or headers.get("Allow") != allowed:
            raise ContractMismatch(
                f"{call}: the document has no such call, so this is 405 with Allow: {allowed}"
            )

    def _check_headers(self, call: str, response: Any, headers: Mapping[str, str]) -> None:
        for name, header in response.get("headers", {}).items():
            told = self._resolved(header)
            if name not in headers:
                if told.get("required"):
                    raise ContractMismatch(f"{call}: the header {name} is missing")
                continue
            value: Any = headers[name]
            if told["schema"]["type"] == "integer":
                value = int(value)
            self._check(f"{call}: header {name}", told["schema"], value, closed=True)
        for name in headers:
            untold = {"Content-Type", *OF_EVERY_ANSWER, *response.get("headers", {})}
            if name not in untold:
                raise ContractMismatch(f"{call}: the document does not describe the header {name}")

    def _check_content(self, call: str, response: Any, headers: Mapping[str, str], text: str) -> None:
        content = response.get("content", {})
        if not content:
            if text:
                raise ContractMismatch(f"{call}: the document describes no content, and there is {text!r}")
            return
        media_type = headers.get("Content-Type", "").partition(";")[0]
        if media_type not in content:
            raise ContractMismatch(f"{call}: the document does not describe {media_type or 'no type'}")
        told = content[media_type]
        value = json.loads(text) if media_type.endswith(("/json", "+json")) else text
        self._check(f"{call}: the body", told["schema"], value, closed=True)
        if media_type == "application/problem+json":
            for name in ("type", "title", "status"):
                given, expected = value[name], told["example"][name]  # type: ignore[index]
                if given != expected:
                    raise ContractMismatch(f"{call}: {name} is {given!r}, not {expected!r}")

    def _check_accepted_request(self, call: str, operation: Any, event: Mapping[str, Any]) -> None:
        told = {}
        for parameter in operation.get("parameters", ()):
            found = self._resolved(parameter)
            told[(found["in"], found["name"])] = found["schema"]
        for name, value in (event["pathParameters"] or {}).items():
            self._check(f"{call}: path parameter {name}", told[("path", name)], unquote(value))
        for name, (value,) in (event["multiValueQueryStringParameters"] or {}).items():
            if ("query", name) not in told:
                raise ContractMismatch(f"{call}: the document does not describe the query parameter {name}")
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
            raise ContractMismatch(f"{call}: the document says that a body is required")

    def _check(self, what: str, schema: Any, value: Any, *, closed: bool = False) -> None:
        components = self._closed if closed else self._document["components"]
        key = f"{closed} {json.dumps(schema, sort_keys=True)}"
        if key not in self._validators:
            whole = {**schema, "components": components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        for error in self._validators[key].iter_errors(value):
            raise ContractMismatch(f"{what}: {error.message} (at /{'/'.join(map(str, error.instance_path))})")

    def _resolved(self, it: Any) -> Any:
        if "$ref" not in it:
            return it
        found: Any = self._document
        for part in it["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found


@cache
def committed() -> ResponseChecker:
    """Return the checker of the committed document."""
    return ResponseChecker(json.loads(DOCUMENT.read_text(encoding="utf-8")))


def _closed(components: Any) -> Any:
    """Return components whose objects allow no further fields."""
    schemas = {
        name: {**schema, "additionalProperties": False} if schema.get("type") == "object" else schema
        for name, schema in components["schemas"].items()
    }
    return {**components, "schemas": schemas}
