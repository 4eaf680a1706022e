"""The API behind an HTTP API of API Gateway: the events of payload format 1.0, to the same function.

The events are made as API Gateway makes them: recorded ones show the stage and the route ``$default``,
request ids of another form, and bodies in base64 for all media types but a few.
"""

import base64
import gzip
import json
from typing import Any

import pytest

from chalicelib.http.http_api import MIN_COMPRESSED_BYTES, OWN_LIMIT, find_route
from deploy.package import RESOURCES
from local.gateway import http_api_event
from tests.support.api_client import Key, Stack

RECORDED: dict[str, Any] = {
    "version": "1.0",
    "resource": "$default",
    "path": "/v1/whoami/",
    "httpMethod": "GET",
    "headers": {
        "Content-Length": "0",
        "Host": "abcdef1234.execute-api.us-east-2.amazonaws.com",
        "User-Agent": "curl/7.88.1",
        "X-Amzn-Trace-Id": "Root=1-64ad9787-4c89d5af7607eb9e522e01d5",
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "accept": "*/*",
    },
    "multiValueHeaders": {"accept": ["*/*"], "X-Forwarded-For": ["198.51.100.7"]},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "abcdef1234",
        "domainName": "abcdef1234.execute-api.us-east-2.amazonaws.com",
        "domainPrefix": "abcdef1234",
        "extendedRequestId": "H6SdPgXtiYcEP1w=",
        "httpMethod": "GET",
        "identity": {"cognitoAmr": None, "sourceIp": "198.51.100.7", "userAgent": "curl/7.88.1"},
        "path": "/v1/whoami/",
        "protocol": "HTTP/1.1",
        "requestId": "H6SdPgXtiYcEP1w=",
        "requestTime": "11/Jul/2023:17:55:19 +0000",
        "requestTimeEpoch": 1689098119662,
        "resourceId": "$default",
        "resourcePath": "$default",
        "stage": "$default",
    },
    "pathParameters": None,
    "stageVariables": None,
    "body": None,
    "isBase64Encoded": False,
}
"""An event of the default route, in the form of a recorded one."""


def recorded(path: str, method: str = "GET", key: Key | None = None, **more: Any) -> dict[str, Any]:
    """Return an event of the default route: what API Gateway has no route for."""
    headers = {**RECORDED["headers"], **({"Authorization": key.header} if key else {})}
    context = {**RECORDED["requestContext"], "path": path, "httpMethod": method}
    multi = {name: [value] for name, value in headers.items()}
    event = {**RECORDED, "path": path, "httpMethod": method, "requestContext": context}
    return {**event, "headers": headers, "multiValueHeaders": multi, **more}


@pytest.fixture
def http_stack(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(stack, "gateway", "http")
    return stack


def test_a_service_user_lives_behind_an_http_api_as_behind_a_rest_api(http_stack: Stack) -> None:
    owner = http_stack.account()
    keys = http_stack.service_user(owner, "bot")
    assert http_stack.signs_in(keys["MONITORING"])
    rotated = http_stack.call("POST", "/v1/api-keys/rotate", keys["MONITORING"], {"overlapSeconds": 600})
    assert rotated.status == 200
    fresh = Key("bot", rotated.json["key"])
    assert http_stack.signs_in(keys["MONITORING"])
    assert http_stack.signs_in(fresh)
    assert http_stack.call("DELETE", "/v1/service-users/bot/api-keys/MONITORING", owner).status == 204
    assert not http_stack.signs_in(fresh)
    assert http_stack.call("GET", "/v1/events?username=bot&limit=1", owner).next_path
    assert http_stack.call("DELETE", "/v1/service-users/bot", owner).status == 204


def test_a_401_has_its_challenge_and_a_405_says_what_is_allowed(http_stack: Stack) -> None:
    refused = http_stack.call("GET", "/v1/whoami")
    assert (refused.status, refused.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    other = http_stack.call("PATCH", "/v1/whoami")
    assert (other.status, other.headers["Allow"]) == (405, "GET, HEAD")
    assert http_stack.call("HEAD", "/health").status == 200


def test_the_address_of_the_connection_counts_and_no_header(http_stack: Stack) -> None:
    owner = http_stack.account()
    key = http_stack.service_user(owner, "bot", allowedNetworks=["198.51.100.0/24"])["MONITORING"]
    assert http_stack.signs_in(key)
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        claimed = {header: "for=198.51.100.7" if header == "Forwarded" else "198.51.100.7"}
        assert http_stack.sign_in(key, source_ip="203.0.113.9", headers=claimed) == 403
        away = {header: "203.0.113.9"}
        assert http_stack.sign_in(key, headers=away) == 200


def test_a_body_in_base64_is_read(http_stack: Stack) -> None:
    """API Gateway passes on bodies of any media type but a few in base64, so those without one too."""
    owner = http_stack.account()
    body = json.dumps({"username": "bot", "email": "bot@example.com", "role": "READ_ONLY"})
    event = http_stack.event("POST", "/v1/service-users", owner, raw=body)
    event = http_api_event({**event, "headers": {**event["headers"], "content-type": "application/json"}})
    encoded = {**event, "body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True}
    assert http_stack.app(encoded, None)["statusCode"] == 201
    wrong = http_stack.call(
        "POST",
        "/v1/service-users",
        owner,
        raw=body,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert wrong.status == 415


# Paths that API Gateway has no route for


def test_a_slash_at_the_end_is_ignored(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    assert stack.app(recorded("/v1/whoami/", key=owner), None)["statusCode"] == 200
    read = stack.app(recorded("/v1/service-users/bot/", key=owner), None)
    assert json.loads(read["body"])["username"] == "bot"
    refused = stack.app(recorded("/v1/whoami/"), None)
    assert refused["statusCode"] == 401
    assert json.loads(refused["body"])["requestId"] == "H6SdPgXtiYcEP1w="
    assert stack.app(recorded("/console/"), None)["statusCode"] in (200, 303)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/nowhere", "GET"),
        ("/", "BREW"),
        ("/v1/whoami", "TRACE"),
        ("//v1//whoami", "GET"),
        ("/v1/service-users//api-keys", "GET"),
        ("/v1/service-users/bot/api-keys/MONITORING/more", "GET"),
        ("", "GET"),
        ("/$default", "GET"),
        *((f"{path}{end}", "POST") for path in sorted(OWN_LIMIT) for end in ("", "/")),
    ],
)
def test_a_path_without_a_route_is_a_problem_that_repeats_nothing(
    stack: Stack, path: str, method: str
) -> None:
    owner = stack.account()
    response = stack.app(recorded(path, method, owner), None)
    assert response["statusCode"] == 404
    problem = json.loads(response["body"])
    assert problem["type"] == "urn:service-users:problem:not-found"
    assert problem["requestId"] == "H6SdPgXtiYcEP1w="
    headers = response["headers"]
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" in headers
    assert owner.secret not in json.dumps(response)
    assert owner.header not in json.dumps(response)


def test_a_head_of_nothing_has_no_body(stack: Stack) -> None:
    response = stack.app(recorded("/v1/nowhere", "HEAD"), None)
    assert (response["statusCode"], response["body"]) == (404, "")


def test_a_path_that_nobody_routes_reads_no_table(stack: Stack) -> None:
    owner = stack.account()
    with stack.counted() as calls:
        stack.app(recorded("/v1/nowhere", key=owner), None)
    assert not calls


def test_a_route_with_a_limit_of_its_own_is_found_by_api_gateway_alone() -> None:
    """Otherwise a slash at the end would go around the limit."""
    resources = json.loads(RESOURCES.read_text(encoding="utf-8"))["Resources"]
    limited = resources["HttpApiStage"]["Properties"]["RouteSettings"]
    assert {key.removeprefix("ANY ") for key in limited} == OWN_LIMIT
    rest = {
        (it["ResourcePath"].replace("~1", "/")[1:], it["ThrottlingRateLimit"])
        for it in resources["RestAPI"]["Properties"]["MethodSettings"]
        if it["ResourcePath"] != "/*"
    }
    assert rest == {(key[4:], it["ThrottlingRateLimit"]) for key, it in limited.items()}


def test_a_fixed_segment_takes_precedence_over_a_parameter() -> None:
    routes = ("/a/{x}", "/a/b", "/{y}", "/")
    assert find_route("/a/b", routes) == ("/a/b", {})
    assert find_route("/a/c/", routes) == ("/a/{x}", {"x": "c"})
    assert find_route("/", routes) == ("/", {})
    assert find_route("/a/", routes) == ("/{y}", {"y": "a"})
    assert find_route("/b/a/c", routes) is None


# Large responses


def page_script(stack: Stack, accepted: str | None) -> dict[str, Any]:
    headers = {} if accepted is None else {"accept-encoding": accepted}
    event = http_api_event(stack.event("GET", "/openapi.json", headers=headers))
    response: dict[str, Any] = stack.app(event, None)
    return response


def test_a_large_response_is_compressed_for_who_accepts_it(stack: Stack) -> None:
    plain = page_script(stack, None)
    assert len(plain["body"]) > MIN_COMPRESSED_BYTES
    for accepted in ("gzip", "br, GZIP;q=0.5, *"):
        response = page_script(stack, accepted)
        assert response["isBase64Encoded"] is True
        assert response["headers"]["Content-Encoding"] == "gzip"
        assert response["headers"]["Vary"] == "Accept-Encoding"
        assert gzip.decompress(base64.b64decode(response["body"])).decode() == plain["body"]
        assert response["headers"]["Content-Type"] == plain["headers"]["Content-Type"]
    for refused in (None, "", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip", "identity"):
        assert page_script(stack, refused) == plain, refused


def test_a_small_response_is_not_compressed(stack: Stack) -> None:
    """Its length tells nothing of the secrets in it."""
    event = http_api_event(stack.event("GET", "/health", headers={"accept-encoding": "gzip"}))
    assert "Content-Encoding" not in stack.app(event, None)["headers"]


def test_the_function_compresses_what_a_rest_api_compresses(stack: Stack) -> None:
    resources = json.loads(RESOURCES.read_text(encoding="utf-8"))["Resources"]
    assert resources["RestAPI"]["Properties"]["MinimumCompressionSize"] == MIN_COMPRESSED_BYTES
    by_rest = stack.app(stack.event("GET", "/openapi.json", headers={"accept-encoding": "gzip"}), None)
    assert "Content-Encoding" not in by_rest["headers"], "API Gateway does it"
