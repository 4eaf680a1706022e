"""No response is past 1 MB and no item past 400 KB, whatever an account holds."""

import json
from typing import Any

import pytest

from chalicelib.rules.limits import VARIABLES
from chalicelib.store.items import to_attribute
from local.tables import declared_api
from tests.support.accounts import PATH
from tests.support.api_client import Key, Stack

MEGABYTE = 1_000_000
MAX_ITEM = 400 * 1024
NETWORKS = [f"{number:04x}:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124" for number in range(4096, 4096 + 50)]
WIDE = "\N{ROBOT FACE}" * 128
"""The longest display name: four bytes a character."""

pytestmark = pytest.mark.in_memory


def copy(stack: Stack, table: str, item: dict[str, Any], **changes: Any) -> None:
    """Put an item into a table that is another's copy but for some attributes."""
    fields = {name: to_attribute(value) for name, value in {**item, **changes}.items()}
    stack.client.put_item(TableName=table, Item=fields)


def long_name(beginning: str, number: int) -> str:
    return f"{beginning}{number:04}".ljust(64, "x")


def largest_service_user(stack: Stack, owner: Key) -> dict[str, Any]:
    """Make a Service User that holds all that one may; returns its item."""
    people = [long_name("admin", number) for number in range(20)]
    stack.user(owner, people[0], "CLUSTER_ADMIN")
    item = stack.item(people[0])
    for name in people[1:]:
        copy(stack, stack.tables.directory, item, pk=f"USER#{name}", username=name, listKey=f"USER#{name}")
    body = {
        "username": long_name("bot", 0),
        "email": f"{'b' * 64}@{'c' * 59}.{'d' * 59}.{'e' * 59}.example",
        "role": "OWNER",
        "displayName": WIDE,
        "description": "\N{ROBOT FACE}" * 500,
        "labels": {f"{number:02}".ljust(63, "n"): "v" * 63 for number in range(20)},
        "allowedNetworks": NETWORKS,
        "expiresAt": "2031-01-01T00:00:00Z",
    }
    assert stack.call("POST", PATH, owner, body).status == 201
    path = f"{PATH}/{body['username']}"
    assert stack.call("PUT", path, owner, {"administrators": people}).status == 200
    for key_type in ("MONITORING", "PROVISIONING_READONLY", "PROVISIONING", "USER_MANAGEMENT"):
        rotation = {"keyType": key_type, "overlapSeconds": 604_800}
        assert stack.call("POST", f"{path}/api-keys/rotate", owner, rotation).status == 200
    return stack.item(long_name("bot", 0))


def walk(stack: Stack, path: str, key: Key, **headers: str) -> list[str]:
    """Follow a list to its end; returns the responses."""
    responses = []
    following: str | None = path
    while following is not None:
        response = stack.call("GET", following, key, headers=headers)
        assert response.status == 200
        responses.append(response.text)
        following = response.next_path
    return responses


def size(response: str) -> int:
    return len(response.encode())


def test_a_page_of_the_largest_service_users_ends_before_a_megabyte(stack: Stack) -> None:
    owner = stack.account()
    item = largest_service_user(stack, owner)
    names = [long_name("bot", number) for number in range(100)]
    for name in names[1:]:
        there = {"pk": f"USER#{name}", "username": name, "listKey": f"SERVICE_USER#{name}"}
        copy(stack, stack.tables.directory, item, **there)
    one = size(stack.call("GET", f"{PATH}/{names[0]}", owner).text)
    assert 100 * one > MEGABYTE, "no test of anything otherwise"

    responses = walk(stack, PATH, owner)

    assert len(responses) == -(-100 // (600_000 // one))
    assert max(map(size, responses)) <= 600_000
    assert [it["username"] for response in responses for it in json.loads(response)] == names
    assert size(json.dumps(item, default=str)) < MAX_ITEM


def test_a_page_of_the_largest_users_is_below_a_megabyte(stack: Stack) -> None:
    owner = stack.account()
    names = [long_name("person", number) for number in range(100)]
    body = {
        "username": names[0],
        "email": f"{'p' * 64}@{'c' * 59}.{'d' * 59}.{'e' * 59}.example",
        "role": "OWNER",
        "displayName": WIDE,
    }
    assert stack.call("POST", "/v1/users", owner, body).status == 201
    item = stack.item(names[0])
    for name in names[1:]:
        there = {"pk": f"USER#{name}", "username": name, "listKey": f"USER#{name}"}
        copy(stack, stack.tables.directory, item, **there)
    responses = walk(stack, "/v1/users", owner)
    assert max(map(size, responses)) < MEGABYTE
    assert [it["username"] for response in responses for it in json.loads(response)] == ["owner", *names]


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson", "text/csv"])
def test_a_page_of_the_largest_events_ends_before_a_megabyte(stack: Stack, media_type: str) -> None:
    owner = stack.account()
    largest_service_user(stack, owner)
    event = stack.events("SERVICE_USER_UPDATED")[0]
    people = [long_name("owner", number) for number in range(VARIABLES["owners"].most)]
    told = {name: int(stack.clock()) for name in people[:100]}
    refused = dict.fromkeys(people[100:140], "SES said no " * 20)
    ids = [f"{number:012x}{event['id'][12:]}" for number in range(0x200000000000, 0x200000000000 + 100)]
    for id_ in ids:
        copy(stack, stack.tables.events, event, id=id_, told=told, refused=refused, reason="r" * 500)
    before = len(stack.events()) - len(ids)

    responses = walk(stack, "/v1/events?order=oldest", owner, accept=media_type)

    assert max(map(size, responses)) < MEGABYTE
    assert len(responses) > 1
    text = "".join(responses)
    assert [text.count(id_) >= 1 for id_ in ids] == [True] * 100
    if media_type == "application/json":
        found = [it["id"] for response in responses for it in json.loads(response)]
        assert len(found) == len(set(found)) == 100 + before


def test_an_account_with_all_its_owners_is_small(stack: Stack) -> None:
    owner = stack.account()
    name = "OWNER" * 12
    account = stack.call("GET", "/v1/account", owner).json["account"]
    (item,) = [it for it in stack.items(stack.tables.directory) if it["pk"] == f"ACCOUNT#{account}"]
    owners = {f"{name}{number:04}".lower(): "f" * 32 for number in range(VARIABLES["owners"].most)}
    copy(stack, stack.tables.directory, item, owners={**item["owners"], **owners}, name=WIDE)
    response = stack.call("GET", "/v1/account", owner)
    assert response.status == 200
    assert size(response.text) < MEGABYTE
    assert size(json.dumps({**item["owners"], **owners})) < MAX_ITEM


def test_no_response_with_a_secret_is_large_enough_to_be_compressed(stack: Stack) -> None:
    """API Gateway compresses responses of MinimumCompressionSize bytes and more; no key may be in them."""
    owner = stack.account()
    least = declared_api()["MinimumCompressionSize"]
    largest_service_user(stack, owner)
    path = f"{PATH}/{long_name('bot', 0)}"
    assert size(stack.call("GET", path, owner).text) < least
    body = {
        "username": long_name("new", 0),
        "email": f"{'n' * 64}@{'c' * 59}.{'d' * 59}.{'e' * 59}.example",
        "role": "OWNER",
        "displayName": WIDE,
        "description": "\N{ROBOT FACE}" * 500,
        "labels": {f"{number:02}".ljust(63, "n"): "v" * 63 for number in range(20)},
        "allowedNetworks": NETWORKS,
        "administrators": [long_name("admin", number) for number in range(20)],
        "expiresAt": "2031-01-01T00:00:00Z",
    }
    made = stack.call("POST", PATH, owner, body)
    assert made.status == 201
    assert size(made.text) < least / 2
