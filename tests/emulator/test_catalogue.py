"""A stack's own key types, given and changed by the operator's commands."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.stack import describe_stack, stack_name
from tests.emulator.conftest import SENDER, Emulator
from tests.emulator.test_deploy import PUBLIC_URL, call, create_account, status

ORDERS = {"name": "orders", "opens": [{"path": "/orders/*", "methods": ["GET"]}]}
BILLING = {"name": "billing", "displayName": "Billing", "leastRole": "CLUSTER_ADMIN", "byDefault": False}


def test_a_type_that_keys_have_is_removed_after_they_were_ended(
    emulator: Emulator, program: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = "types"

    def deploy(*types: dict[str, Any]) -> int:
        file = tmp_path / "catalogue.json"
        file.write_text(json.dumps({"keyTypes": types}), encoding="utf-8")
        given = ("--sender", SENDER, "--parameters", PUBLIC_URL, "--catalogue", str(file))
        done: int = program("deploy", "--stage", stage, *given)
        return done

    assert deploy(ORDERS, BILLING) == 0
    stack = describe_stack(stack_name(stage))
    owner = create_account(program, stage, "types-owner", capfd)
    body = {"username": "shop", "email": "shop@example.com", "role": "CLUSTER_ADMIN", "keyTypes": ["billing"]}
    made, shop = call(emulator.api(stack), "POST", "/v1/service-users", owner, body)
    assert made == 201
    key = ("shop", shop["apiKeys"]["apiKeys"][0]["key"])
    assert call(emulator.api(stack), "GET", "/v1/whoami", key)[1]["keyType"] == "billing"

    capfd.readouterr()
    assert deploy(ORDERS) == 1
    refused = capfd.readouterr().err
    assert "Nothing was deployed" in refused
    assert "billing is not in the catalogue any more, but keys of it exist" in refused
    assert f"(make end-keys STAGE={stage} TYPE=billing). 1 keys: shop (account {shop['account']})." in refused
    assert describe_stack(stack.name) == stack
    assert status(emulator.api(stack), "/v1/whoami", key) == 200

    ending = ("end-keys", "--stage", stage, "--type", "billing")
    assert program(*ending) == 1
    assert "1 principals have billing keys. None was ended." in capfd.readouterr().out
    assert program(*ending, "--confirm", "billing") == 0
    assert status(emulator.api(stack), "/v1/whoami", key) == 401

    assert deploy(ORDERS) == 0
    url = emulator.api(describe_stack(stack.name))
    _, contract = call(url, "GET", "/openapi.json")
    assert contract["components"]["schemas"]["KeyType"]["enum"] == ["orders", "USER_MANAGEMENT"]
    _, events = call(url, "GET", "/v1/events?username=shop", owner)
    assert [it["keys"][0]["keyType"] for it in events] == ["billing", "billing"]
    assert events[0]["actor"]["kind"] == "OPERATOR"
    assert call(url, "POST", "/v1/service-users/shop/api-keys", owner, {"keyType": "billing"})[0] == 400

    assert program("deploy", "--stage", stage) == 0
    assert "No changes to deploy" in "".join(capfd.readouterr()), "it keeps its catalogue"
