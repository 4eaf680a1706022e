"""``verify``: the authorizer's decision, for services that are not behind API Gateway."""

import base64
import json
from typing import Any

import pytest

import app
from chalicelib.authorizer.route_rules import InvalidRules
from chalicelib.rules import key_format
from chalicelib.rules.errors import Unavailable
from tests.support.api_client import Key, Stack

FIELDS = {"allowed", "status", "reason", "account", "username", "kind", "role", "keyType"}
NOBODY = dict.fromkeys(("account", "username", "kind", "role", "keyType"))
HERE = "198.51.100.7"


def question(authorization: str | None, path: str = "/monitoring/clusters", **more: Any) -> dict[str, Any]:
    return {"authorization": authorization, "sourceIp": HERE, "method": "GET", "path": path, **more}


def ask(*given: Any, **more: Any) -> dict[str, Any]:
    """Return the decision, which is the same by a function URL."""
    return judge(question(*given, **more))


def judge(asked: Any) -> dict[str, Any]:
    response = app.verify(asked, None)
    assert response.keys() == FIELDS
    assert response["allowed"] is (response["status"] == 200) is (response["reason"] is None)
    for encoded in (False, True):
        assert by_url(json.dumps(asked), encoded=encoded) == (
            response["status"] if response["status"] in (400, 503) else 200,
            response,
        )
    return response


def by_url(body: str | None, *, encoded: bool = False, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """Return the status and the decision of a call of the function's URL."""
    sent = base64.b64encode(body.encode()).decode() if encoded and body else body
    event = {
        "version": "2.0",
        "requestContext": {"http": {"method": method, "path": "/", "sourceIp": "192.0.2.1"}},
        "body": sent,
        "isBase64Encoded": encoded,
    }
    response = app.verify(event, None)
    assert response["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return response["statusCode"], json.loads(response["body"])


def test_a_key_opens_what_its_type_and_role_open_by_either_scheme(stack: Stack) -> None:
    owner = stack.account()
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    key = stack.service_user(owner, "worker")["MONITORING"]
    caller = {
        "account": account,
        "username": "worker",
        "kind": "SERVICE_USER",
        "role": "READ_ONLY",
        "keyType": "MONITORING",
    }
    for header in (key.header, key.bearer["authorization"]):
        assert ask(header) == {"allowed": True, "status": 200, "reason": None, **caller}
        assert ask(header, "/monitoring/clusters?of=/provisioning/")["allowed"]
        for path, method in (
            ("/provisioning/clusters", "GET"),
            ("/monitoring/clusters", "POST"),
            ("/monitoring/../provisioning", "GET"),
            ("/monitoring/%2e%2e/provisioning", "GET"),
            ("/provisioning?x=/monitoring/", "GET"),
        ):
            refused = ask(header, path, method=method)
            assert (refused["status"], refused["reason"]) == (
                403,
                "A MONITORING key with the role READ_ONLY, which no rule allows here.",
            )
            assert refused.items() >= caller.items()


def test_it_costs_one_read_and_two_with_the_key_alone(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "worker")["MONITORING"]
    assert ask(key.header)["allowed"]  # the hour's note of the key's use is written here
    for header, reads in ((key.header, 1), (key.bearer["authorization"], 2)):
        with stack.counted() as calls:
            assert app.verify(question(header), None)["allowed"]
        assert calls == {"GetItem": reads}


def test_the_address_that_counts_is_the_clients(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "worker", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    assert ask(key.header, sourceIp="203.0.113.9")["status"] == 200
    for address in (HERE, "192.0.2.1", "::ffff:198.51.100.7"):
        refused = ask(key.bearer["authorization"], sourceIp=address)
        assert refused["status"] == 403
        assert refused.items() >= NOBODY.items()
    assert ask(key.header, sourceIp="::ffff:203.0.113.9")["status"] == 200


@pytest.mark.parametrize("header", [None, "", "Basic", "Bearer", "Token x", "Bearer suk_x", "{wrong}"])
def test_unknown_credentials_are_401(stack: Stack, header: str | None) -> None:
    wrong = Key(stack.account().username, key_format.new_key())
    for sent in [header] if header != "{wrong}" else [wrong.header, wrong.bearer["authorization"]]:
        refused = ask(sent)
        assert refused["status"] == 401
        assert refused.items() >= NOBODY.items()
        assert wrong.secret not in str(refused)


def test_a_question_without_the_header_is_one_without_credentials(stack: Stack) -> None:
    stack.account()
    asked = question(None)
    del asked["authorization"]
    assert judge(asked)["status"] == 401


MALFORMED: dict[str, Any] = {
    "nothing": None,
    "no object": [],
    "empty": {},
    "no address": {"sourceIp": ""},
    "a name for an address": {"sourceIp": "localhost"},
    "two addresses": {"sourceIp": "203.0.113.9, 198.51.100.7"},
    "an address with a port": {"sourceIp": "203.0.113.9:4711"},
    "a network": {"sourceIp": "203.0.113.0/24"},
    "a number for an address": {"sourceIp": 1},
    "a path without a slash": {"path": "monitoring"},
    "a URL": {"path": "https://api.example/monitoring/"},
    "an asterisk": {"path": "*", "method": "OPTIONS"},
    "two headers": {"authorization": ["Basic x", "Basic y"]},
    "an unknown field": {"networks": []},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_question_lets_nobody_in(stack: Stack, name: str) -> None:
    wrong = MALFORMED[name]
    header = stack.account().header
    asked = {**question(header), **wrong} if isinstance(wrong, dict) and wrong else wrong
    with stack.counted() as calls:
        refused = judge(asked)
    assert refused["status"] == 400
    assert refused.items() >= NOBODY.items()
    assert not calls


@pytest.mark.parametrize("body", [None, "", "not JSON", "[" * 100_000, '{"a": 1}'])
def test_a_malformed_call_of_the_url_is_400(stack: Stack, body: str | None) -> None:
    stack.account()
    status, decision = by_url(body)
    assert (status, decision["allowed"], decision["status"]) == (400, False, 400)


def test_a_body_that_is_not_base64_is_400(stack: Stack) -> None:
    event = {"requestContext": {"http": {"method": "POST"}}, "body": "!", "isBase64Encoded": True}
    assert app.verify(event, None)["statusCode"] == 400
    assert app.verify({"requestContext": {}}, None)["statusCode"] == 400


def test_a_get_of_the_url_is_400(stack: Stack) -> None:
    owner = stack.account()
    status, decision = by_url(json.dumps(question(owner.header)), method="GET")
    assert (status, decision["allowed"], decision["reason"]) == (400, False, "Send the question by POST.")


def test_a_store_that_does_not_answer_lets_nobody_in(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = stack.account()

    def fails(*_: Any) -> Any:
        raise Unavailable("The store did not respond.")

    monkeypatch.setattr(type(stack.service.directory), "principal", fails)
    assert ask(owner.header)["status"] == 503


def test_a_revoked_key_is_refused_at_the_next_question(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "worker")["MONITORING"]
    assert ask(key.header)["allowed"]
    path = "/v1/service-users/worker/api-keys?keyType=MONITORING"
    assert stack.call("DELETE", path, owner).status == 204
    assert ask(key.header)["status"] == ask(key.bearer["authorization"])["status"] == 401


def test_verify_decides_by_the_rules_in_the_environment(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    rule = {"path": "/own/*", "methods": ["GET"], "keyTypes": ["USER_MANAGEMENT"], "leastRole": "OWNER"}
    monkeypatch.setenv("AUTHORIZER_RULES", json.dumps([rule]))
    assert ask(owner.header, "/own/thing")["status"] == 200
    assert ask(owner.header, "/user-management/users")["status"] == 403
    monkeypatch.setenv("AUTHORIZER_RULES", "[1]")
    with pytest.raises(InvalidRules):
        app.verify(question(owner.header), None)
