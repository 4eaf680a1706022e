"""What a browser can be made to send for another site's page, and what it is told with every response."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Accounts, assert_nothing_written, assert_problem
from tests.support.api_client import Stack

TEMPLATE = Path(__file__).resolve().parents[2] / ".chalice" / "resources.json"
INVITATION = {"username": "evil", "email": "evil@evil.example", "role": "OWNER"}
FOREIGN: dict[str, dict[str, str]] = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "a sibling's page": {"Sec-Fetch-Site": "same-site", "Origin": "https://api.example"},
    "spelled otherwise": {"sec-fetch-site": " Cross-Site "},
    "another origin": {"Origin": "https://evil.example"},
    "another origin that says it is ours": {
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "same-origin",
    },
    "no origin": {"Origin": "null"},
    "ours by http": {"Origin": "http://api.example"},
    "ours at another port": {"Origin": "https://api.example:8443"},
    "one that begins like ours": {"Origin": "https://api.example.evil.example"},
    "empty": {"Origin": ""},
}
OWN: dict[str, dict[str, str]] = {
    "a program": {},
    "typed by its user": {"Sec-Fetch-Site": "none"},
    "the reference's page": {"Sec-Fetch-Site": "same-origin", "Origin": "https://api.example"},
    "at API Gateway's own address": {"Origin": "https://abc.execute-api.eu-central-1.amazonaws.com"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_a_request_of_another_sites_page_is_refused(
    shared_accounts: Accounts, headers: dict[str, str]
) -> None:
    """With the username and key that a browser kept, as it sends them without asking."""
    stack, owner = shared_accounts.stack, shared_accounts["owner"]
    with assert_nothing_written(stack), stack.counted() as calls:
        for method, path, body in (
            ("POST", "/v1/users", INVITATION),
            ("POST", "/v1/users/reader/invitation", None),
            ("POST", "/v1/users/activate", {"username": "evil", "token": "x"}),
            ("DELETE", "/v1/users/reader", None),
            ("GET", "/v1/users", None),
            ("GET", "/v1/whoami", None),
        ):
            more = {} if body is None else {"body": body}
            response = stack.call(method, path, owner, headers=headers, **more)  # type: ignore[arg-type]
            problem = assert_problem(response, 403)
            assert "another site" in problem["detail"]
    assert not calls


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
def test_programs_and_own_pages_are_served(shared_accounts: Accounts, headers: dict[str, str]) -> None:
    stack, owner = shared_accounts.stack, shared_accounts["owner"]
    event = stack.event("GET", "/v1/whoami")
    event["headers"] |= {"authorization": owner.header, **headers}
    event["requestContext"]["domainName"] = "abc.execute-api.eu-central-1.amazonaws.com"
    assert stack.app(event, None)["statusCode"] == 200


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_what_anybody_may_read_can_be_linked_to(shared_accounts: Accounts, path: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert shared_accounts.stack.call("GET", path, headers=headers).status == 200


@pytest.mark.parametrize(("path", "base"), [("/docs", "./"), ("/docs/", "../"), ("/api/docs/", "../")])
def test_the_references_links_work_with_and_without_a_slash_at_the_end(
    shared_accounts: Accounts, path: str, base: str
) -> None:
    stack = shared_accounts.stack
    response = stack.app(_at(stack.event("GET", "/docs"), "/docs", path), None)
    assert f'<base href="{base}">' in response["body"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/whoami", 401),
        ("DELETE", "/v1/whoami", 405),
        ("POST", "/v1/users/activate", 400),
        ("GET", "/docs/nothing.js", 404),
    ],
)
@pytest.mark.parametrize(
    ("public_url", "by_https"), [("", True), ("https://api.example", True), ("http://127.0.0.1:8000", False)]
)
def test_every_response_has_the_security_headers(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    status: int,
    public_url: str,
    by_https: bool,
) -> None:
    monkeypatch.setenv("PUBLIC_URL", public_url)
    resource = "/docs/{name}" if path.startswith("/docs/") else path
    response = stack.app(_at(stack.event(method, "/docs"), resource, path), None)
    assert response["statusCode"] == status
    headers = response["headers"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers.get("Strict-Transport-Security") == ("max-age=31536000" if by_https else None)


def _at(event: dict[str, Any], resource: str, path: str) -> dict[str, Any]:
    context = {**event["requestContext"], "resourcePath": resource, "path": path}
    named = {"name": path.rpartition("/")[2]} if "{" in resource else event["pathParameters"]
    return {**event, "path": path, "requestContext": context, "pathParameters": named}


def test_gateway_responses_have_the_security_headers_too() -> None:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    responses = template["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]
    assert len(responses) > 10
    for name, response in responses.items():
        headers = response["ResponseParameters"]["Headers"]
        assert headers["X-Content-Type-Options"] == "'nosniff'", name
        assert headers["Referrer-Policy"] == "'same-origin'", name
        assert headers["Strict-Transport-Security"].startswith("'max-age="), name


def test_a_refusal_by_network_says_whom_to_ask(accounts: Accounts) -> None:
    """A person's own keys have no Administrator."""
    restricted = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    owner = accounts["owner"]
    key = accounts.stack.own_key(owner, "MONITORING")
    assert accounts.stack.call("PATCH", "/v1/users/owner/api-keys", owner, restricted).status == 200
    person = assert_problem(accounts.stack.call("GET", "/v1/whoami", key), 403)["detail"]
    assert "an OWNER" in person
    assert "Administrator" not in person
    machine = accounts.stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    assert (
        "an Administrator" in assert_problem(accounts.stack.call("GET", "/v1/whoami", machine), 403)["detail"]
    )
