"""The calls that are measured, as the events that API Gateway makes of them."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from local.package.emulator import Key
from local.package.template import ACCOUNT, REGION

Invoke = Callable[[str, dict[str, Any]], Any]
"""Invokes the API with the event of a named call, and returns the parsed body of its response."""

Calls = Callable[[Key, int, Invoke], None]
"""Makes a series of calls as an OWNER; the number makes its usernames unique."""


def event(
    method: str, path: str, route: str, key: Key | None = None, body: Any = None, **more: Any
) -> dict[str, Any]:
    """Return API Gateway's event for a request."""
    headers = {"Accept": "*/*", "Host": "users.example.com", "User-Agent": "curl/8.0"}
    if key is not None:
        headers["Authorization"] = "Basic " + b64encode(f"{key.username}:{key.secret}".encode()).decode()
    if body is not None:
        headers["Content-Type"] = "application/json"
    query = more.get("query")
    return {
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()}
        if query
        else None,
        "pathParameters": more.get("parameters"),
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abc",
            "stage": "api",
            "protocol": "HTTP/1.1",
            "resourcePath": route,
            "path": f"/api{path}",
            "httpMethod": method,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "identity": {"sourceIp": "198.51.100.7", "userAgent": "curl/8.0"},
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


WHOAMI = ("GET", "/v1/whoami", "/v1/whoami")
HEALTH = ("GET", "/health", "/health")


def service_user_calls(owner: Key, n: int, call: Invoke) -> None:
    """Call every endpoint for Service Users, and the lists."""
    name = f"bench-{n}"
    users, one = "/v1/service-users", "/v1/service-users/{username}"
    path, parameters = f"/v1/service-users/{name}", {"username": name}
    key = {"keyType": "MONITORING"}

    def of(method: str, below: str = "", body: Any = None) -> Any:
        return event(method, path + below, one + below, owner, body, parameters=parameters)

    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    created = call("POST /v1/service-users", event("POST", users, users, owner, body))
    caller = Key(name, created["apiKeys"]["apiKeys"][0]["key"])
    call("GET /v1/whoami (first use of a key)", event(*WHOAMI, caller))
    call("GET /v1/whoami", event(*WHOAMI, caller))
    call("GET /v1/service-users/{username}", of("GET"))
    call("PUT /v1/service-users/{username}", of("PUT", body={"displayName": "B"}))
    call("PATCH …/api-keys", of("PATCH", "/api-keys", {**key, "allowedNetworks": ["198.51.100.0/24"]}))
    call("POST …/api-keys/rotate", of("POST", "/api-keys/rotate", key))
    call("DELETE …/api-keys", of("DELETE", "/api-keys", key))
    generated = call("POST …/api-keys", of("POST", "/api-keys", key))
    rotate = "/v1/api-keys/rotate"
    call("POST /v1/api-keys/rotate", event("POST", rotate, rotate, Key(name, generated["key"])))
    call("GET /v1/service-users?limit=10", event("GET", users, users, owner, query={"limit": "10"}))
    call("GET /v1/events?limit=10", event("GET", "/v1/events", "/v1/events", owner, query={"limit": "10"}))
    call("GET /v1/account", event("GET", "/v1/account", "/v1/account", owner))
    call("GET /v1/users", event("GET", "/v1/users", "/v1/users", owner))
    call("DELETE /v1/service-users/{username}", of("DELETE"))


def user_calls(owner: Key, n: int, call: Invoke) -> None:
    """Call every other endpoint, except the activation, which needs a token from an email."""
    name, users, one = f"user-{n}", "/v1/users", "/v1/users/{username}"
    body = {"username": name, "email": f"{name}@people.example", "role": "READ_ONLY"}
    call("POST /v1/users", event("POST", users, users, owner, body))
    for method, below, change in (
        ("GET", "", None),
        ("PUT", "", {"role": "CLUSTER_ADMIN"}),
        ("POST", "/invitation", None),
        ("DELETE", "", None),
    ):
        path, parameters = f"{users}/{name}{below}", {"username": name}
        call(f"{method} {one}{below}", event(method, path, one + below, owner, change, parameters=parameters))
    key = {"keyType": "MONITORING"}
    keys, parameters = "/v1/users/{username}/api-keys", {"username": owner.username}
    for method, below, key_body in (
        ("POST", "", key),
        ("GET", "", None),
        ("PATCH", "", {**key, "allowedNetworks": ["198.51.100.0/24"]}),
        ("POST", "/rotate", key),
        ("DELETE", "", key),
    ):
        path = f"/v1/users/{owner.username}/api-keys{below}"
        request = event(method, path, keys + below, owner, key_body, parameters=parameters)
        call(f"{method} {keys}{below}", request)
    policy = {"maxKeyAgeDays": 100 + n}
    call("PUT /v1/account", event("PUT", "/v1/account", "/v1/account", owner, policy))
    call("GET /health", event(*HEALTH))


def authorizer_event(key: Key) -> dict[str, Any]:
    """Return the event with which an API calls the authorizer."""
    request = event("GET", "/monitoring/v1/clusters", "/monitoring/v1/clusters", key)
    request["type"] = "REQUEST"
    request["methodArn"] = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:abc/api/GET/monitoring/v1/clusters"
    return request
