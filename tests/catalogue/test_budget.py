"""What thirty key types cost where four are in use: names in a read, and no call or byte of an item."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.authorizer.catalogue_check import check
from local.tables import declared_api
from tests.catalogue.in_force import in_force

IN_USE = ["MONITORING", "PROVISIONING_READONLY", "PROVISIONING", "USER_MANAGEMENT"]
OPENS = [{"path": "/monitoring/*", "methods": ["GET"]}]
FOUR = [{"name": name, "opens": OPENS} for name in IN_USE]
MORE = [{"name": f"type-{number}", "displayName": f"Type {number}", "opens": OPENS} for number in range(26)]
NETWORKS = [f"{number:04x}:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124" for number in range(4096, 4096 + 50)]
BOT = "/v1/service-users/bot"


@pytest.fixture
def of(tmp_path: Path) -> Any:
    """Write a catalogue of some types to a file."""

    def write(*entries: dict[str, Any]) -> Path:
        file = tmp_path / f"{len(entries)}.json"
        file.write_text(check(json.dumps({"keyTypes": entries})).text, encoding="utf-8")
        return file

    return write


def served(patch: pytest.MonkeyPatch) -> Any:
    """Serve the API in memory, with the contract of its catalogue."""
    import app
    from contract.document import document
    from tests.support import openapi_assertions
    from tests.support.fake_dynamodb import stack_in_memory

    checker = openapi_assertions.ResponseChecker(document(app.app.routes))
    patch.setattr(openapi_assertions, "committed", lambda: checker)
    return stack_in_memory(patch)


def costs(patch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, int], Any]]:
    """Yield each step of a Service User with four keys: its calls to DynamoDB, and the response."""
    import app

    stack = served(patch)
    owner = stack.account()
    body = {"username": "bot", "email": "b@a.example", "role": "OWNER", "keyTypes": IN_USE}
    with stack.counted() as calls:
        created = stack.call("POST", "/v1/service-users", owner, body).json
    yield "create", dict(calls), None
    key = type(owner)("bot", created["apiKeys"]["apiKeys"][0]["key"])
    stack.call("GET", "/v1/whoami", key)
    asked = {"authorization": key.header, "sourceIp": "192.0.2.1"}
    for name, call in {
        "whoami": lambda: stack.call("GET", "/v1/whoami", key).json,
        "verify": lambda: app.verify({**asked, "method": "GET", "path": "/monitoring/a"}, None)["status"],
        "read": lambda: stack.call("GET", BOT, owner).json,
        "list": lambda: stack.call("GET", "/v1/service-users", owner).json,
        "rotate": lambda: stack.call("POST", f"{BOT}/api-keys/rotate", owner, {"keyType": IN_USE[0]}).status,
        "item": lambda: stack.item("bot"),
    }.items():
        with stack.counted() as calls:
            response = call()
        yield name, dict(calls), response


def size(value: Any) -> int:
    return len(json.dumps(value, default=len))


def test_thirty_types_cost_what_four_do(of: Any) -> None:
    steps: list[dict[str, tuple[dict[str, int], Any]]] = []
    for catalogue in (of(*FOUR), of(*FOUR, *MORE)):
        with in_force(catalogue), pytest.MonkeyPatch.context() as patch:
            steps.append({name: (calls, response) for name, calls, response in costs(patch)})
    four, thirty = steps
    assert four.keys() == thirty.keys()
    for name, (calls, _) in four.items():
        assert thirty[name][0] == calls, name
    assert thirty["whoami"][0] == {"GetItem": 1}
    assert thirty["verify"] == ({"GetItem": 1}, 200)
    for name in ("whoami", "item"):
        assert size(thirty[name][1]) == size(four[name][1]), name
    names = [{"name": it["name"], "displayName": it["displayName"]} for it in MORE]
    more = size(names) - len("[]") + len(", ")
    for name in ("read", "list"):
        assert size(thirty[name][1]) - size(four[name][1]) == more, name


def test_a_service_user_with_a_key_of_each_of_thirty_types_fits(of: Any) -> None:
    """In an item, in one transaction, and in a response with secrets, which is never compressed."""
    wide = [{**it, "displayName": f"{'🤖' * 36}{place:04}"} for place, it in enumerate([*FOUR[:3], *MORE])]
    with in_force(of(*wide)), pytest.MonkeyPatch.context() as patch:
        stack = served(patch)
        owner = stack.account()
        body = {"username": "bot", "email": "b@a.example", "role": "OWNER", "allowedNetworks": NETWORKS}
        made = stack.call("POST", "/v1/service-users", owner, body)
        assert made.status == 201
        keys = made.json["apiKeys"]["apiKeys"]
        assert len(keys) == 30
        assert len(made.text.encode()) < declared_api()["MinimumCompressionSize"]
        for key in keys:
            rotation = {"keyType": key["keyType"], "overlapSeconds": 604_800}
            assert stack.call("POST", f"{BOT}/api-keys/rotate", owner, rotation).status == 200
        assert size(stack.item("bot")) < 400 * 1024
        before = len(stack.items(stack.tables.directory))
        assert stack.call("DELETE", BOT, owner).status == 204
        assert before - len(stack.items(stack.tables.directory)) <= 100, "the most of one transaction"


def test_every_change_of_thirty_types_with_long_names_fits_into_an_expression(of: Any) -> None:
    """An expression has at most 4,096 bytes. Ending what a leaver was shown must not fail for its length."""
    long = [{"name": f"a-{number:02}{'-z' * 14}", "opens": OPENS} for number in range(29)]
    catalogue = of({"name": "USER_MANAGEMENT"}, *long)
    with in_force(catalogue), pytest.MonkeyPatch.context() as patch:
        stack = served(patch)
        owner = stack.account()
        eve = stack.user(owner, "eve", "OWNER")
        body = {"username": "bot", "email": "b@a.example", "role": "CLUSTER_ADMIN"}
        made = stack.call("POST", "/v1/service-users", eve, body).json["apiKeys"]["apiKeys"]
        assert len(made) == 30
        for key in made:  # the machine rotates each key itself, and uses the old one and the new one
            old = type(owner)("bot", key["key"])
            rotated = stack.call("POST", "/v1/api-keys/rotate", old, {"overlapSeconds": 604_800})
            assert rotated.status == 200
            for one in (old, type(owner)("bot", rotated.json["key"])):
                assert stack.call("GET", "/v1/whoami", one).status == 200
        ended = stack.call("DELETE", "/v1/users/eve/shown-keys?revokeUser=true", owner)
        assert (ended.status, len(ended.json["ended"]), ended.json["complete"]) == (200, 30, True)
        assert stack.call("GET", "/v1/users/eve/shown-keys", owner).status == 200
        assert stack.call("PUT", BOT, owner, {"role": "READ_ONLY"}).status == 200
