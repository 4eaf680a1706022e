"""A customer's use of the whole service, over HTTP, emails included."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest

from local.package.emulator import ApiResponse, Email, Emulator, Key
from local.package.runtime import FunctionError
from tests.e2e.conftest import by_either_gateway
from tests.support.filter_patterns import matches


def keys_of(response: ApiResponse) -> dict[str, Key]:
    """Return the keys that a response shows, by type."""
    shown = response.json
    return {one["keyType"]: Key(shown["username"], one["key"]) for one in shown["apiKeys"]["apiKeys"]}


def mails(emulator: Emulator, recipient: str, after: int = 0) -> list[Email]:
    """Return the emails to a recipient, without the first ``after`` of all emails."""
    return [mail for mail in emulator.mail.sent()[after:] if mail.recipient == recipient]


def invite(emulator: Emulator, by: Key, username: str, role: str) -> Key:
    """Invite a user, activate with the token from the email, and return the user's key."""
    address = f"{username}@people.example"
    made = emulator.call("POST", "/v1/users", by, {"username": username, "email": address, "role": role})
    assert made.status == 201, made.body
    emulator.deliver_stream()
    [invitation] = mails(emulator, address)
    activation = {"username": username, "token": invitation.token}
    activated = emulator.call("POST", "/v1/users/activate", None, activation)
    assert activated.status == 200, activated.body
    assert emulator.call("POST", "/v1/users/activate", None, activation).status == 400
    return next(iter(keys_of(activated).values()))


@pytest.fixture
def owner(emulator: Emulator) -> Key:
    return emulator.create_account()


@by_either_gateway
def test_the_life_of_a_service_user(emulator: Emulator, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    created = emulator.call("POST", "/v1/service-users", owner, body)
    assert created.status == 201
    assert created.headers["Location"] == f"https://users.example.com/v1/service-users/{name}"
    assert created.headers["Cache-Control"] == "no-store"
    keys = keys_of(created)
    assert set(keys) == {"MONITORING", "PROVISIONING_READONLY"}

    assert emulator.call("GET", "/v1/whoami", keys["MONITORING"]).json["keyType"] == "MONITORING"
    rotated = emulator.call("POST", "/v1/api-keys/rotate", keys["MONITORING"])
    fresh = Key(name, rotated.json["key"])
    refused = emulator.call("GET", "/v1/whoami", keys["MONITORING"])
    assert refused.status == 401
    is_http_api = emulator.template.exists("HttpApi")
    challenge = "WWW-Authenticate" if is_http_api else "x-amzn-Remapped-WWW-Authenticate"
    assert refused.headers[challenge].startswith("Basic")
    assert emulator.call("GET", "/v1/whoami", fresh).status == 200

    shown = emulator.call("GET", f"/v1/service-users/{name}", owner)
    assert all(one["key"].startswith("•••…") for one in shown.json["apiKeys"]["apiKeys"])
    revoked = emulator.call("DELETE", f"/v1/service-users/{name}/api-keys", owner, {"keyType": "MONITORING"})
    assert revoked.status == 204
    assert emulator.call("GET", "/v1/whoami", fresh).status == 401
    assert emulator.call("GET", "/v1/whoami", keys["PROVISIONING_READONLY"]).status == 200
    assert emulator.call("DELETE", f"/v1/service-users/{name}", owner).status == 204
    assert emulator.call("GET", "/v1/whoami", keys["PROVISIONING_READONLY"]).status == 401

    emulator.deliver_stream()
    subjects = [str(mail.message["Subject"]) for mail in mails(emulator, f"{owner.username}@example.com")]
    assert len(subjects) == 5, subjects  # the owner's own first key, then: created, rotated, revoked, deleted
    trail = emulator.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail] == [
        "SERVICE_USER_DELETED",
        "API_KEY_REVOKED",
        "API_KEY_ROTATED",
        "SERVICE_USER_CREATED",
    ]


@by_either_gateway
def test_users_are_invited_administer_and_are_revoked(emulator: Emulator, owner: Key) -> None:
    admin = invite(emulator, owner, f"admin-{owner.username}", "CLUSTER_ADMIN")
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "CLUSTER_ADMIN"}
    made = keys_of(emulator.call("POST", "/v1/service-users", admin, body))
    before = len(emulator.mail.sent())
    emulator.deliver_stream()
    address = f"{admin.username}@people.example"
    assert [mail.recipient for mail in emulator.mail.sent()[before:]].count(
        address
    ) == 2  # activated, created
    assert emulator.call("DELETE", f"/v1/users/{admin.username}", owner).status == 204
    assert emulator.call("GET", "/v1/whoami", admin).status == 401
    emulator.deliver_stream()
    before = len(emulator.mail.sent())
    # The Service User has no Administrator now, so the OWNERs are notified.
    assert emulator.call("POST", "/v1/api-keys/rotate", made["PROVISIONING"]).status == 200
    emulator.deliver_stream()
    assert [mail.recipient for mail in emulator.mail.sent()[before:]] == [f"{owner.username}@example.com"]
    # A new invitation does not restore the Administrator link.
    again = invite_again(emulator, owner, admin.username)
    path = f"/v1/service-users/{name}"
    assert emulator.call("PUT", path, again, {"displayName": "mine again"}).status == 403


def invite_again(emulator: Emulator, by: Key, username: str) -> Key:
    """Invite a user who was revoked before."""
    before = len(emulator.mail.sent())
    body = {"username": username, "email": f"{username}@people.example", "role": "CLUSTER_ADMIN"}
    assert emulator.call("POST", "/v1/users", by, body).status == 201
    emulator.deliver_stream()
    [invitation] = [mail for mail in mails(emulator, body["email"], before) if "sui_" in mail.text]
    activation = {"username": username, "token": invitation.token}
    return next(iter(keys_of(emulator.call("POST", "/v1/users/activate", None, activation)).values()))


def authorize(emulator: Emulator, key: Key) -> dict[str, Any]:
    """Return the authorizer's decision about a request to read clusters.

    Raises FunctionError for an invalid key.
    """
    credentials = b64encode(f"{key.username}:{key.secret}".encode()).decode()
    decision: dict[str, Any] = emulator.functions["Authorizer"].invoke(
        {
            "type": "REQUEST",
            "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abc/live/GET/monitoring/v1/clusters",
            "resource": "/monitoring/v1/clusters",
            "path": "/monitoring/v1/clusters",
            "httpMethod": "GET",
            "headers": {"Authorization": f"Basic {credentials}"},
            "multiValueHeaders": {"Authorization": [f"Basic {credentials}"]},
            "queryStringParameters": None,
            "pathParameters": None,
            "stageVariables": None,
            "requestContext": {
                "path": "/live/monitoring/v1/clusters",
                "stage": "live",
                "httpMethod": "GET",
                "identity": {"sourceIp": "198.51.100.7"},
            },
        }
    )
    return decision


def test_the_operator_issues_a_replacement_key_to_a_locked_out_owner(emulator: Emulator, owner: Key) -> None:
    path = f"/v1/users/{owner.username}/api-keys"
    restriction: dict[str, object] = {
        "keyType": "USER_MANAGEMENT",
        "allowedNetworks": ["192.0.2.0/24"],
    }
    assert emulator.call("PATCH", path, owner, restriction).status == 409
    restriction["evenIfLockedOut"] = True
    assert emulator.call("PATCH", path, owner, restriction).status == 200
    assert emulator.call("GET", "/v1/whoami", owner).status == 403
    key = emulator.recover_owner(owner.username)
    assert emulator.call("GET", "/v1/whoami", owner).status == 401
    assert emulator.call("GET", "/v1/users", key).status == 200
    before = len(emulator.mail.sent())
    emulator.deliver_stream()
    sent = mails(emulator, f"{owner.username}@example.com", before)
    assert any("operator of this service" in mail.text for mail in sent)


def test_the_authorizer_allows_what_a_key_allows(emulator: Emulator, owner: Key) -> None:
    assert authorize(emulator, owner)["principalId"] == owner.username
    wrong = owner.secret[:-1] + ("y" if owner.secret.endswith("x") else "x")
    with pytest.raises(FunctionError, match="Unauthorized"):
        authorize(emulator, Key(owner.username, wrong))


@by_either_gateway
def test_gateway_responses_are_problems_too(emulator: Emulator, owner: Key) -> None:
    nowhere = emulator.call("GET", "/v1/nowhere", owner)
    assert nowhere.status == 404
    assert nowhere.headers["Content-Type"] == "application/problem+json"
    assert nowhere.json["status"] == 404
    assert nowhere.json["requestId"] == nowhere.headers["x-amzn-RequestId"]
    assert owner.secret not in nowhere.body.decode()
    for other in ("/api/v1/whoami", "/v1//whoami", "/v1/whoami/.."):
        assert emulator.call("GET", other, owner).status == 404
    large = emulator.call("POST", "/v1/service-users", owner, {"username": "x" * 1_000_000})
    assert (large.status, large.json["status"]) == (413, 413)
    too_large = emulator.call("POST", "/v1/service-users", owner, {"username": "x" * 11_000_000})
    assert too_large.status == 413, "API Gateway's own: its body is not ours to say"


@by_either_gateway
def test_no_secret_is_logged_or_stored(emulator: Emulator, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "OWNER"}
    made = keys_of(emulator.call("POST", "/v1/service-users", owner, body))
    person = invite(emulator, owner, f"person-{owner.username}", "READ_ONLY")
    emulator.call("GET", "/v1/whoami", Key(name, made["MONITORING"].secret[:-1]))
    emulator.deliver_stream()
    emulator.run_schedule("Resend")
    token = mails(emulator, f"{person.username}@people.example")[0].token
    secrets = [owner.secret, person.secret, token, *(key.secret for key in made.values())]
    logged = emulator.logs()
    kept = repr(emulator.items(emulator.directory)) + repr(emulator.items(emulator.events))
    mailed = "".join(
        mail.message.as_string() for mail in emulator.mail.sent() if token not in mail.message.as_string()
    )
    for secret in secrets:
        assert secret not in logged
        assert secret not in kept
        assert secret not in mailed
    assert not re.search(r"Basic [A-Za-z0-9+/=]{8,}", logged)


def test_metric_filters_match_what_is_logged(emulator: Emulator, owner: Key) -> None:
    emulator.run_schedule("Resend")
    with pytest.raises(FunctionError):
        authorize(emulator, Key(owner.username, owner.secret[:-1]))
    logged = {
        name: [json.loads(line) for line in emulator.functions[name].read_logs().splitlines()]
        for name in ("Resend", "Authorizer")
    }
    patterns = {
        name: emulator.template.properties(name)["FilterPattern"]
        for name in emulator.template.of_type("AWS::Logs::MetricFilter")
    }
    assert patterns["EventsWaiting"] == "{ $.waiting = * }"
    assert [line["waiting"] for line in logged["Resend"] if "waiting" in line][-1] == 0
    # A refusal by the authorizer is an error to Lambda, but not a failure.
    failed = {"level": "ERROR", "errorMessage": "out of memory"}
    assert matches(patterns["AuthorizerFailures"], failed)
    assert not matches(patterns["AuthorizerFailures"], {**failed, "errorMessage": "Unauthorized"})
    assert matches(patterns["AuthorizerSignInsRefused"], {"signInRefused": "MALFORMED"})
    refused = [it for it in logged["Authorizer"] if matches(patterns["AuthorizerSignInsRefused"], it)][-1]
    assert (refused["level"], refused["signInRefused"]) == ("INFO", "MALFORMED")
    emulator.call("GET", "/v1/whoami", Key(owner.username, owner.secret[:-1]))
    lines = map(json.loads, emulator.functions["APIHandler"].read_logs().splitlines())
    refused = [line for line in lines if matches(patterns["APIHandlerSignInsRefused"], line)][-1]
    assert (refused["level"], refused["signInRefused"]) == ("INFO", "MALFORMED")
    errors = [line for line in logged["Authorizer"] if line["level"] == "ERROR"]
    assert {line["errorMessage"] for line in errors} == {"Unauthorized"}
