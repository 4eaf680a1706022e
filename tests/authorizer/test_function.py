"""The deployed function: the same sign-in as the API's, on the tables, by the deployment's rules."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.authorizer.route_rules import InvalidRules
from deploy.stack import DeployError, deploy, read_authorizer_rules
from tests.authorizer.test_gateway import NAMES, asked, golden, status
from tests.support.api_client import Key, Stack

ROOT = Path(__file__).parent.parent.parent


def pass_(event: dict[str, Any]) -> int:
    """Return the status that API Gateway makes of what the function says."""
    return status(event, None, ask=lambda asked_, *_: app.authorizer(asked_, None))


@pytest.mark.parametrize("name", NAMES)
def test_a_service_user_gets_where_its_keys_let_it(name: str, stack: Stack) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "worker", "CLUSTER_ADMIN")
    got = {
        key_type: [
            (method, path)
            for method in ("GET", "POST")
            for path in ("/monitoring/clusters", "/provisioning/clusters", "/user-management/users")
            if pass_(asked(golden(name, key.header), method, path)) == 200
        ]
        for key_type, key in keys.items()
    }
    assert got == {
        "MONITORING": [("GET", "/monitoring/clusters")],
        "PROVISIONING_READONLY": [("GET", "/provisioning/clusters")],
        "PROVISIONING": [("GET", "/provisioning/clusters"), ("POST", "/provisioning/clusters")],
        "USER_MANAGEMENT": [],
    }
    assert pass_(asked(golden(name, owner.header), "POST", "/user-management/users")) == 200


@pytest.mark.parametrize("name", NAMES)
def test_an_authorization_costs_one_read(name: str, stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "worker")["MONITORING"]
    event = asked(golden(name, key.header), "GET", "/monitoring/clusters")
    assert pass_(event) == 200  # the hour's note of the key's use is written here
    with stack.counted() as calls:
        assert pass_(event) == 200
    assert calls == {"GetItem": 1}
    with stack.counted() as calls:
        assert pass_(golden(name, Key("worker", "suk_mistyped").header)) == 401
        assert pass_({**event, "type": "TOKEN"}) == 403
    assert calls == {}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_revoked_or_lowered_is_refused_at_once(name: str, stack: Stack) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "worker", "CLUSTER_ADMIN")
    writes = asked(golden(name, keys["PROVISIONING"].header), "POST", "/provisioning/clusters")
    reads = asked(golden(name, keys["MONITORING"].header), "GET", "/monitoring/clusters")
    assert (pass_(writes), pass_(reads)) == (200, 200)
    assert stack.call("PUT", "/v1/service-users/worker", owner, {"role": "READ_ONLY"}).status == 200
    assert (pass_(writes), pass_(reads)) == (401, 200)
    assert stack.call("DELETE", "/v1/service-users/worker", owner).status == 204
    assert (pass_(writes), pass_(reads)) == (401, 401)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_from_outside_its_networks_is_403(name: str, stack: Stack) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "worker", allowedNetworks=["192.0.2.0/24"])
    event = asked(golden(name, keys["MONITORING"].header), "GET", "/monitoring/clusters")
    assert pass_(event) == 403
    context = event["requestContext"]
    (context["http"] if name.startswith("http-2.0") else context["identity"])["sourceIp"] = "192.0.2.77"
    assert pass_(event) == 200


def test_the_rules_in_the_environment_decide(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "worker")["MONITORING"]
    event = asked(golden("http-2.0", key.header), "PUT", "/own")
    assert pass_(event) == 403
    own = {"path": "/own", "methods": ["PUT"], "keyTypes": ["MONITORING"], "leastRole": "READ_ONLY"}
    monkeypatch.setenv("AUTHORIZER_RULES", json.dumps([own]))
    assert pass_(event) == 200
    assert pass_(asked(event, "GET", "/monitoring/clusters")) == 403


def test_with_invalid_rules_the_function_fails_and_reads_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "worker")["MONITORING"]
    event = asked(golden("rest-1.0", key.header), "GET", "/monitoring/clusters")
    monkeypatch.setenv("AUTHORIZER_RULES", '[{"path": "/monitoring/*"}]')
    for _ in range(2):
        with stack.counted() as calls, pytest.raises(InvalidRules, match="Rule 1, methods"):
            app.authorizer(event, None)
        assert calls == {}


# Before a deployment


def test_a_deployment_is_refused_broken_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    for text, said in (
        ('[{"path": "x"}]', "Rule 1, path: 'x'"),
        ("", "Not JSON"),
        ("[" * 100_000, "Not JSON"),
    ):
        file.write_text(text)
        with pytest.raises(DeployError, match=said):
            read_authorizer_rules(file)
    with pytest.raises(DeployError, match="cannot be read"):
        read_authorizer_rules(tmp_path / "nowhere")
    with pytest.raises(DeployError, match=r"(?s)AuthorizerRules: .* at least one rule"):
        deploy("acme", "", {"AuthorizerRules": "[]"}, "arm64")


def test_a_deployment_gets_its_rules_without_spaces(tmp_path: Path) -> None:
    rule = {"path": "/a", "methods": ["GET"], "keyTypes": ["MONITORING"], "leastRole": "OWNER"}
    (tmp_path / "rules.json").write_text(json.dumps([rule], indent=8))
    text = read_authorizer_rules(tmp_path / "rules.json")
    assert " " not in text
    assert json.loads(text) == [rule]


# The example


@pytest.mark.default_catalogue(reason="the example has keys of the default types")
def test_the_example_allows_and_refuses_as_shown(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "examples/protected-api/serve.py",
            "--check",
            "--port",
            "0",
            "--home",
            str(tmp_path),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [line.split()[0] for line in ran.stdout.splitlines()]
    walk = ["401", "401", "200", "403", "200", "403", "201", "204", "403", "200", "403"]
    assert told == ["Payload", *walk, "Payload", *walk, "204", "401"]
