"""Whatever is sent, the response is a problem that names the fault, and nothing is changed."""

import json
import logging
import sys
from typing import Any

import pytest

import app
from contract.document import is_console
from tests.support.accounts import (
    PATH,
    Accounts,
    assert_nothing_written,
    assert_problem,
    service_user_body,
)
from tests.support.api_client import Response, Stack
from tests.support.catalogue import LISTED


def post_raw(shared_accounts: Accounts, raw: bytes | str, path: str = PATH, **more: Any) -> Response:
    with assert_nothing_written(shared_accounts.stack):
        return shared_accounts.call("POST", path, "owner", raw=raw, **more)


# Bodies that are no JSON

BODIES = {
    "nothing": (b"", 400, "The body is empty. Send a JSON object."),
    "blanks": (b" \r\n\t ", 400, "The body is empty. Send a JSON object."),
    "a word": (b"hello", 400, "The body is not JSON: Expecting value at line 1, column 1."),
    "a form": (b"username=bot&role=OWNER", 400, "The body is not JSON: Expecting value at line 1, column 1."),
    "cut off": (
        b'{"username": "bot"',
        400,
        "The body is not JSON: Expecting ',' delimiter at line 1, column 19.",
    ),
    "a comma too many": (
        b'{"username": "bot",}',
        400,
        "The body is not JSON: Illegal trailing comma before end of object at line 1, column 19."
        if sys.version_info >= (3, 13)
        else "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 20.",
    ),
    "two objects": (b"{}\n{}", 400, "The body is not JSON: Extra data at line 2, column 1."),
    "single quotes": (
        b"{'username': 'bot'}",
        400,
        "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2.",
    ),
    "a comment": (
        b"{} // mine",
        400,
        "The body is not JSON: Extra data at line 1, column 4.",
    ),
    "a control character": (
        b'{"username": "b\x00t"}',
        400,
        "The body is not JSON: Invalid control character at line 1, column 16.",
    ),
    "a bad escape": (
        b'{"username": "\\x"}',
        400,
        "The body is not JSON: Invalid \\escape at line 1, column 15.",
    ),
    "a string without end": (
        b'{"username": "bot}',
        400,
        "The body is not JSON: Unterminated string starting at line 1, column 14.",
    ),
    "not UTF-8": (b'{"username": "b\xfft"}', 400, "The body is not UTF-8: byte 15 is wrong."),
    "latin-1": ('{"displayName": "Köln"}'.encode("latin-1"), 400, "The body is not UTF-8: byte 18 is wrong."),
    "UTF-16": ('{"a":1}'.encode("utf-16"), 400, "The body is not UTF-8: byte 0 is wrong."),
    "compressed": (b"\x1f\x8b\x08\x00\x00", 400, "The body is not UTF-8: byte 1 is wrong."),
    "a byte order mark": (
        b"\xef\xbb\xbf{}",
        400,
        "The body begins with a byte order mark. Send UTF-8 without one.",
    ),
    "half a surrogate pair": (
        b'{"displayName": "\\ud83d"}',
        400,
        "The body has an unpaired surrogate, which is not a character.",
    ),
    "half a pair in a name": (
        b'{"\\udc00": 1}',
        400,
        "The body has an unpaired surrogate, which is not a character.",
    ),
    "encoded surrogate": (
        b'{"displayName": "\xed\xa0\x80"}',
        400,
        "The body is not UTF-8: byte 17 is wrong.",
    ),
    "a name twice": (
        b'{"role": "READ_ONLY", "username": "bot", "role": "OWNER"}',
        400,
        "The body is not valid JSON: the name 'role' is given twice in one object.",
    ),
    "a name twice, escaped": (
        b'{"role": "READ_ONLY", "rol\\u0065": "OWNER"}',
        400,
        "The body is not valid JSON: the name 'role' is given twice in one object.",
    ),
    "a name twice, deep down": (
        b'{"x": [{"a": 1, "a": 1}]}',
        400,
        "The body is not valid JSON: the name 'a' is given twice in one object.",
    ),
    "NaN": (b'{"x": NaN}', 400, "The body is not valid JSON: NaN is not a JSON number."),
    "Infinity": (b'{"x": -Infinity}', 400, "The body is not valid JSON: -Infinity is not a JSON number."),
    "a huge integer": (
        b'{"x": ' + b"9" * 5000 + b"}",
        400,
        "The body is not valid JSON: a number has 5000 digits, which is too many.",
    ),
    "deep arrays": (b"[" * 60_000, 400, "The body is nested too deeply."),
    "deep objects": (b'{"a":' * 10_000, 400, "The body is nested too deeply."),
    "deep and whole": (b"[" * 30_000 + b"]" * 30_000, 400, "The body is nested too deeply."),
    "one level too deep": (b"[" * 101 + b"]" * 101, 400, "The body is nested too deeply."),
    "deep between strings": (
        b'["\\"", ' * 101 + b"1" + b"]" * 101,
        400,
        "The body is nested too deeply.",
    ),
    "a string without an end": (
        b'{"' + b'\\"[' * 20_000 + b"\\",
        400,
        "The body is not JSON: Unterminated string starting at line 1, column 2.",
    ),
    "too large": (
        b'{"username": "' + b"x" * 70_000 + b'"}',
        413,
        "The body has 70016 bytes; the limit is 65536.",
    ),
    "one byte too large": (b" " * 65_537, 413, "The body has 65537 bytes; the limit is 65536."),
}


def texts() -> list[Any]:
    """Return the bodies as API Gateway hands them over: base64 of any, and as text what is text."""
    found = []
    for case, (raw, status, detail) in BODIES.items():
        found.append(pytest.param(raw, status, detail, id=f"{case} (base64)"))
        try:
            found.append(pytest.param(raw.decode(), status, detail, id=f"{case} (text)"))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize(("raw", "status", "detail"), texts())
def test_invalid_json_is_refused_with_its_position(
    shared_accounts: Accounts, raw: bytes | str, status: int, detail: str
) -> None:
    problem = assert_problem(post_raw(shared_accounts, raw), status)
    assert problem["detail"] == detail
    assert "errors" not in problem


AS_DEEP_AS_MAY_BE = b"[" * 100 + b"]" * 100
BRACKETS_IN_A_STRING = b'["' + b"[" * 30_000 + b'\\"{"]'


@pytest.mark.parametrize(
    "raw",
    [
        *(b"[]", b"null", b"true", b"5", b'"{}"', b"1e400", b'[{"username": "bot"}]'),
        *(AS_DEEP_AS_MAY_BE, BRACKETS_IN_A_STRING),
    ],
)
def test_a_body_is_an_object(shared_accounts: Accounts, raw: bytes) -> None:
    problem = assert_problem(post_raw(shared_accounts, raw), 400)
    assert problem["errors"] == [{"pointer": "", "detail": "This must be a JSON object."}]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON ;charset=UTF-8", 201),
        ("", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonx", 415),
        ("application/problem+json", 415),
        ("application/merge-patch+json", 415),
        ("*/*", 415),
        (";", 415),
        ("\u00fc", 415),
    ],
)
def test_a_body_is_read_as_json_and_as_nothing_else(stack: Stack, content_type: str, status: int) -> None:
    owner = stack.account()
    response = stack.call(
        "POST", PATH, owner, service_user_body("bot"), headers={"Content-Type": content_type}
    )
    assert response.status == status
    if status == 415:
        assert "Content-Type: application/json" in assert_problem(response, 415)["detail"]
        assert stack.call("GET", f"{PATH}/bot", owner).status == 404


def test_a_body_without_a_content_type_is_read(stack: Stack) -> None:
    event = stack.event("POST", PATH, stack.account(), service_user_body("bot"))
    del event["headers"]["content-type"]
    assert stack.app(event, None)["statusCode"] == 201


def test_the_largest_body_is_read(stack: Stack) -> None:
    owner = stack.account()
    body = json.dumps(service_user_body("bot")).encode()
    assert stack.call("POST", PATH, owner, raw=body + b" " * (65_536 - len(body))).status == 201


# Bodies with faults


def test_every_error_in_a_body_is_reported_at_once_by_its_pointer(shared_accounts: Accounts) -> None:
    body = {
        "username": "a/b",
        "email": 5,
        "role": "SUPER",
        "displayName": "",
        "keyTypes": ["MONITORING", "X", None],
        "allowedNetworks": ["10.0.0.0/8", "10.0.0.1/8", True],
        "expiresAt": "tomorrow",
        "": 1,
        "a/b": 1,
        "~tilde": 1,
        "~1": 1,
        "user name": 1,
    }
    response = post_raw(shared_accounts, json.dumps(body))
    problem = assert_problem(response, 400)
    assert problem["detail"] == "The request is invalid; 'errors' lists what to correct."
    assert {it["pointer"]: it["detail"] for it in problem["errors"]} == {
        "/": UNKNOWN.format(""),
        "/a~1b": UNKNOWN.format("a/b"),
        "/~0tilde": UNKNOWN.format("~tilde"),
        "/~01": UNKNOWN.format("~1"),
        "/user name": UNKNOWN.format("user name"),
        "/username": "This must be: 3 to 64 of the letters a to z in either case, digits, '.', '_' and '-'; "
        "unique without regard to case.",
        "/email": "This must be a string, not a whole number.",
        "/role": "This must be one of READ_ONLY, CLUSTER_ADMIN, OWNER.",
        "/displayName": "This must have at least 1 character.",
        "/keyTypes/1": TYPES,
        "/keyTypes/2": "This must be a string, not null.",
        "/allowedNetworks/1": "'10.0.0.1/8' has host bits set; the network is probably '10.0.0.0/8'.",
        "/allowedNetworks/2": "This must be a string.",
        "/expiresAt": "This must be a time as in RFC 3339, such as 2030-01-31T00:00:00Z.",
    }
    assert len(problem["errors"]) == len({it["pointer"] for it in problem["errors"]})


UNKNOWN = (
    "Unknown field '{}'. Use allowedNetworks, expiresAt, username, email, role, profile, "
    "displayName, keyTypes, administrators, description, labels."
)
TYPES = f"This must be one of {LISTED['OWNER']}."


def test_missing_fields_are_reported_with_invalid_ones(shared_accounts: Accounts) -> None:
    response = post_raw(shared_accounts, '{"displayName": 5}')
    assert sorted(response.pointers) == ["/displayName", "/email", "/role", "/username"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"{PATH}/bot", {"displayName": 5, "role": "X", "administrators": ["a", "b/c"], "x": 1}),
        ("POST", f"{PATH}/bot/api-keys", {"keyType": "X", "allowedNetworks": ["x"], "expiresAt": 5, "x": 1}),
        ("PATCH", f"{PATH}/bot/api-keys", {"keyType": 5, "allowedNetworks": 5, "expiresAt": [], "x": 1}),
        ("DELETE", f"{PATH}/bot/api-keys", {"keyType": "", "x": 1}),
        ("POST", f"{PATH}/bot/api-keys/rotate", {"keyType": {}, "overlapSeconds": "5", "x": 1}),
        ("POST", "/v1/api-keys/rotate", {"keyType": "MONITORING", "overlapSeconds": None, "x": 1}),
    ],
)
def test_every_call_reports_every_error_in_its_body(
    shared_accounts: Accounts, method: str, path: str, body: dict[str, Any]
) -> None:
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call(method, path, "owner", body)
    assert_problem(response, 400)
    named = {pointer.split("/")[1] for pointer in response.pointers}
    assert named == body.keys()


# Queries, paths and methods


def calls() -> list[tuple[str, str]]:
    """Return every method and path of the API that is served."""
    shared_stack = []
    for path, methods in app.app.routes.items():
        if is_console(path):
            continue
        for method, route in methods.items():
            if route.view_name != "other_methods":
                shared_stack.append((method, path))
    return shared_stack


def test_the_calls_of_the_design_are_served() -> None:
    assert {
        ("POST", "/v1/service-users"),
        ("GET", "/v1/service-users"),
        ("GET", "/v1/service-users/{username}"),
        ("PUT", "/v1/service-users/{username}"),
        ("DELETE", "/v1/service-users/{username}"),
        ("POST", "/v1/service-users/{username}/api-keys"),
        ("DELETE", "/v1/service-users/{username}/api-keys"),
        ("PATCH", "/v1/service-users/{username}/api-keys"),
        ("POST", "/v1/service-users/{username}/api-keys/rotate"),
        ("POST", "/v1/api-keys/rotate"),
        ("GET", "/v1/whoami"),
        ("GET", "/v1/events"),
        ("GET", "/health"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    } <= set(calls())


@pytest.mark.parametrize(("method", "path"), [call for call in calls() if not call[1].startswith("/docs")])
def test_no_call_takes_a_query_parameter_it_does_not_know(
    shared_accounts: Accounts, method: str, path: str
) -> None:
    called = path.replace("{username}", "bot" if "service-users" in path else "owner")
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call(method, f"{called}?verbose=1", "owner")
    assert_problem(response, 400)
    assert "'verbose'" in response.text


@pytest.mark.parametrize("path", [path for path in app.app.routes if not is_console(path)])
def test_a_405_lists_the_methods_that_the_path_takes(shared_accounts: Accounts, path: str) -> None:
    methods = {method for method, at in calls() if at == path}
    taken = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    called = path.replace("{username}", "bot").replace("{name}", "page.js")
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(taken):
        with shared_accounts.stack.counted() as counted:
            response = shared_accounts.call(method, called, "owner", {"keyType": "MONITORING"})
        detail = f"{method} is not allowed on this path; use {', '.join(taken)}."
        if method == "HEAD":
            assert (response.status, response.text) == (405, "")
        else:
            assert assert_problem(response, 405)["detail"] == detail
        assert response.headers["Allow"] == ", ".join(taken)
        assert not counted


def test_errors_are_reported_in_order_from_the_caller_to_the_target(shared_accounts: Accounts) -> None:
    """Who is nobody learns nothing of the body; who may not, nothing of the target."""
    path = f"{PATH}/nobody-1/api-keys"
    wrong = {"keyType": "X"}
    right = {"keyType": "MONITORING"}
    assert_problem(shared_accounts.stack.call("POST", path, None, wrong), 401)
    assert_problem(shared_accounts.call("POST", path, "reader", wrong), 403)
    assert_problem(shared_accounts.call("POST", path, "owner", wrong), 400)
    assert_problem(shared_accounts.call("POST", path, "owner", right), 404)
    assert_problem(shared_accounts.call("POST", f"{PATH}/bot/api-keys", "bystander", right), 403)
    assert_problem(shared_accounts.call("POST", f"{PATH}/bot/api-keys", "admin", right), 409)


# Events as API Gateway may make them


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"headers": None}, 401),
        ({"multiValueQueryStringParameters": {}}, 200),
        ({"multiValueQueryStringParameters": None}, 200),
        ({"body": ""}, 200),
        ({"body": None, "isBase64Encoded": True}, 200),
    ],
)
def test_fields_that_api_gateway_leaves_out_are_treated_as_absent(
    shared_accounts: Accounts, change: dict[str, Any], status: int
) -> None:
    event = shared_accounts.stack.event("GET", "/v1/whoami", shared_accounts["owner"]) | change
    assert shared_accounts.stack.app(event, None)["statusCode"] == status


def test_a_call_without_an_address_or_a_request_id_is_served(shared_accounts: Accounts) -> None:
    event = shared_accounts.stack.event("GET", "/v1/whoami", shared_accounts["owner"])
    event["requestContext"]["identity"] = None
    event["requestContext"]["requestId"] = None
    assert shared_accounts.stack.app(event, None)["statusCode"] == 200
    event["headers"] = {}
    problem = json.loads(shared_accounts.stack.app(event, None)["body"])
    assert (problem["status"], problem["requestId"]) == (401, "")


# Our own faults


def test_an_internal_error_is_logged_and_its_details_are_not_in_the_response(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = stack.account()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret place")

    monkeypatch.setattr(stack.service.directory, "page", broken)
    with caplog.at_level(logging.ERROR):
        response = stack.call("GET", PATH, owner)
    problem = assert_problem(response, 500)
    assert "secret place" not in response.text
    assert problem["detail"] == "An internal error occurred and was logged. Report it with its requestId."
    (record,) = [it for it in caplog.records if it.name == "chalicelib.http.call"]
    assert record.apiRequestId == problem["requestId"]
    assert record.exc_info is not None
    assert owner.secret not in caplog.text
