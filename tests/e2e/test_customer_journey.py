"""A customer's whole way through the service, over HTTP, emails included."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest

from local.package.emulator import Answer, Cloud, Key, Mail
from local.package.runtime import FunctionError


def keys_of(answer: Answer) -> dict[str, Key]:
    """Answer the keys that an answer shows, by type."""
    shown = answer.json
    return {one["keyType"]: Key(shown["username"], one["key"]) for one in shown["apiKeys"]["apiKeys"]}


def mails(cloud: Cloud, recipient: str, after: int = 0) -> list[Mail]:
    """Answer the emails to somebody, but the first few of all."""
    return [mail for mail in cloud.mail.taken()[after:] if mail.recipient == recipient]


def invite(cloud: Cloud, by: Key, username: str, role: str) -> Key:
    """Invite a person, and have them activate with the token from their email; answer their key."""
    address = f"{username}@people.example"
    made = cloud.call("POST", "/v1/users", by, {"username": username, "email": address, "role": role})
    assert made.status == 201, made.body
    cloud.stream()
    [invitation] = mails(cloud, address)
    told = {"username": username, "token": invitation.token}
    activated = cloud.call("POST", "/v1/users/activate", None, told)
    assert activated.status == 200, activated.body
    assert cloud.call("POST", "/v1/users/activate", None, told).status == 400
    return next(iter(keys_of(activated).values()))


@pytest.fixture
def owner(cloud: Cloud) -> Key:
    return cloud.account()


def test_a_service_user_from_its_first_key_to_its_last(cloud: Cloud, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    created = cloud.call("POST", "/v1/service-users", owner, body)
    assert created.status == 201
    assert created.headers["Location"] == f"https://users.example.com/v1/service-users/{name}"
    assert created.headers["Cache-Control"] == "no-store"
    keys = keys_of(created)
    assert set(keys) == {"MONITORING", "PROVISIONING_READONLY"}

    assert cloud.call("GET", "/v1/whoami", keys["MONITORING"]).json["keyType"] == "MONITORING"
    rotated = cloud.call("POST", "/v1/api-keys/rotate", keys["MONITORING"])
    fresh = Key(name, rotated.json["key"])
    refused = cloud.call("GET", "/v1/whoami", keys["MONITORING"])
    assert refused.status == 401
    assert refused.headers["x-amzn-Remapped-WWW-Authenticate"].startswith("Basic")
    assert cloud.call("GET", "/v1/whoami", fresh).status == 200

    shown = cloud.call("GET", f"/v1/service-users/{name}", owner)
    assert all(one["key"].startswith("•••…") for one in shown.json["apiKeys"]["apiKeys"])
    revoked = cloud.call("DELETE", f"/v1/service-users/{name}/api-keys", owner, {"keyType": "MONITORING"})
    assert revoked.status == 204
    assert cloud.call("GET", "/v1/whoami", fresh).status == 401
    assert cloud.call("GET", "/v1/whoami", keys["PROVISIONING_READONLY"]).status == 200
    assert cloud.call("DELETE", f"/v1/service-users/{name}", owner).status == 204
    assert cloud.call("GET", "/v1/whoami", keys["PROVISIONING_READONLY"]).status == 401

    cloud.stream()
    told = [str(mail.message["Subject"]) for mail in mails(cloud, f"{owner.username}@example.com")]
    assert len(told) == 5, told  # the owner's own first key, then: created, rotated, revoked, deleted
    trail = cloud.call("GET", f"/v1/events?username={name}", owner).json
    assert [event["action"] for event in trail] == [
        "SERVICE_USER_DELETED",
        "API_KEY_REVOKED",
        "API_KEY_ROTATED",
        "SERVICE_USER_CREATED",
    ]


def test_people_come_administer_and_go(cloud: Cloud, owner: Key) -> None:
    admin = invite(cloud, owner, f"admin-{owner.username}", "CLUSTER_ADMIN")
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "CLUSTER_ADMIN"}
    made = keys_of(cloud.call("POST", "/v1/service-users", admin, body))
    before = len(cloud.mail.taken())
    cloud.stream()
    address = f"{admin.username}@people.example"
    assert [mail.recipient for mail in cloud.mail.taken()[before:]].count(address) == 2  # activated, created
    assert cloud.call("DELETE", f"/v1/users/{admin.username}", owner).status == 204
    assert cloud.call("GET", "/v1/whoami", admin).status == 401
    cloud.stream()
    before = len(cloud.mail.taken())
    # Nobody administers the Service User now, so the OWNERs hear of it.
    assert cloud.call("POST", "/v1/api-keys/rotate", made["PROVISIONING"]).status == 200
    cloud.stream()
    assert [mail.recipient for mail in cloud.mail.taken()[before:]] == [f"{owner.username}@example.com"]
    # Who comes back gets nothing of it.
    again = invite_again(cloud, owner, admin.username)
    path = f"/v1/service-users/{name}"
    assert cloud.call("PUT", path, again, {"displayName": "mine again"}).status == 403


def invite_again(cloud: Cloud, by: Key, username: str) -> Key:
    """Invite somebody who was in the account before."""
    before = len(cloud.mail.taken())
    body = {"username": username, "email": f"{username}@people.example", "role": "CLUSTER_ADMIN"}
    assert cloud.call("POST", "/v1/users", by, body).status == 201
    cloud.stream()
    [invitation] = [mail for mail in mails(cloud, body["email"], before) if "sui_" in mail.text]
    told = {"username": username, "token": invitation.token}
    return next(iter(keys_of(cloud.call("POST", "/v1/users/activate", None, told)).values()))


def ask_authorizer(cloud: Cloud, key: Key) -> dict[str, Any]:
    """Answer what the authorizer makes of a request to read clusters. Raises FunctionError for nobody."""
    credentials = b64encode(f"{key.username}:{key.secret}".encode()).decode()
    answered: dict[str, Any] = cloud.functions["Authorizer"].invoke(
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
    return answered


def test_an_owner_who_is_shut_out_is_let_in_by_the_operator(cloud: Cloud, owner: Key) -> None:
    shut = {"keyType": "USER_MANAGEMENT", "allowedNetworks": ["192.0.2.0/24"]}
    assert cloud.call("PATCH", f"/v1/users/{owner.username}/api-keys", owner, shut).status == 200
    assert cloud.call("GET", "/v1/whoami", owner).status == 403
    key = cloud.recover(owner.username)
    assert cloud.call("GET", "/v1/whoami", owner).status == 401
    assert cloud.call("GET", "/v1/users", key).status == 200
    before = len(cloud.mail.taken())
    cloud.stream()
    told = mails(cloud, f"{owner.username}@example.com", before)
    assert any("operator of this service" in mail.text for mail in told)


def test_the_authorizer_opens_what_a_key_opens(cloud: Cloud, owner: Key) -> None:
    assert ask_authorizer(cloud, owner)["principalId"] == owner.username
    with pytest.raises(FunctionError, match="Unauthorized"):
        ask_authorizer(cloud, Key(owner.username, owner.secret[:-1] + "x"))


def test_the_gateway_answers_for_itself_in_the_same_form(cloud: Cloud, owner: Key) -> None:
    nowhere = cloud.call("GET", "/v1/nowhere", owner)
    assert nowhere.status == 404
    assert nowhere.headers["Content-Type"] == "application/problem+json"
    assert nowhere.json["status"] == 404
    assert nowhere.json["requestId"] == nowhere.headers["x-amzn-RequestId"]
    assert owner.secret not in nowhere.body.decode()
    large = cloud.call("POST", "/v1/service-users", owner, {"username": "x" * 11_000_000})
    assert (large.status, large.json["status"]) == (413, 413)


def test_nothing_secret_is_logged_or_kept(cloud: Cloud, owner: Key) -> None:
    name = f"bot-{owner.username}"
    body = {"username": name, "email": f"{name}@machines.example", "role": "OWNER"}
    made = keys_of(cloud.call("POST", "/v1/service-users", owner, body))
    person = invite(cloud, owner, f"person-{owner.username}", "READ_ONLY")
    cloud.call("GET", "/v1/whoami", Key(name, made["MONITORING"].secret[:-1]))
    cloud.stream()
    cloud.schedule("Resend")
    token = mails(cloud, f"{person.username}@people.example")[0].token
    secrets = [owner.secret, person.secret, token, *(key.secret for key in made.values())]
    logged = cloud.logged()
    kept = repr(cloud.items(cloud.directory)) + repr(cloud.items(cloud.events))
    mailed = "".join(
        mail.message.as_string() for mail in cloud.mail.taken() if token not in mail.message.as_string()
    )
    for secret in secrets:
        assert secret not in logged
        assert secret not in kept
        assert secret not in mailed
    assert not re.search(r"Basic [A-Za-z0-9+/=]{8,}", logged)


def test_what_the_metrics_are_made_of_is_logged_as_they_want_it(cloud: Cloud, owner: Key) -> None:
    cloud.schedule("Resend")
    with pytest.raises(FunctionError):
        ask_authorizer(cloud, Key(owner.username, owner.secret[:-1]))
    told = {
        name: [json.loads(line) for line in cloud.functions[name].logged().splitlines()]
        for name in ("Resend", "Authorizer")
    }
    patterns = {
        name: cloud.template.properties(name)["FilterPattern"]
        for name in cloud.template.of_type("AWS::Logs::MetricFilter")
    }
    assert patterns["EventsWaiting"] == "{ $.waiting = * }"
    assert [line["waiting"] for line in told["Resend"] if "waiting" in line][-1] == 0
    # A refusal of the authorizer's is an error to Lambda, and no failure.
    assert (
        '$.level = "ERROR" && ($.errorMessage NOT EXISTS || $.errorMessage != "Unauthorized")'
        in (patterns["AuthorizerFailures"])
    )
    errors = [line for line in told["Authorizer"] if line["level"] == "ERROR"]
    assert {line["errorMessage"] for line in errors} == {"Unauthorized"}
