"""Signing in with the key alone (Bearer): what opens, what does not, and what a pointer cannot do."""

from collections import Counter
from typing import Any

import pytest

import app as application
from chalicelib.rules import key_format
from chalicelib.store import pointers
from tests.support.accounts import PATH, Accounts, assert_problem
from tests.support.api_client import Key, Stack
from tests.support.write_units import write_units

GET, WRITE = "GetItem", "TransactWriteItems"


def alone(stack: Stack, key: Key, **more: Any) -> int:
    """Return the status of a sign-in with the key and no username."""
    return stack.call("GET", "/v1/whoami", headers=key.bearer, **more).status


def both(stack: Stack, key: Key, **more: Any) -> int:
    """Return the status of a sign-in by Basic and by Bearer, which must be the same."""
    status = stack.sign_in(key, **more)
    assert alone(stack, key, **more) == status
    return status


def test_the_key_alone_signs_its_holder_in(stack: Stack) -> None:
    owner = stack.account()
    for key in (owner, *stack.service_user(owner, "bot", "OWNER").values()):
        told = stack.call("GET", "/v1/whoami", headers=key.bearer).json
        assert told == stack.call("GET", "/v1/whoami", key).json
        assert told["username"] == key.username


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "  Bearer {}  "])
def test_the_scheme_is_read_in_any_case(stack: Stack, form: str) -> None:
    owner = stack.account()
    headers = {"Authorization": form.format(owner.secret)}
    assert stack.call("GET", "/v1/whoami", headers=headers).status == 200


def test_it_costs_one_read_more_than_basic_and_rotates_in_one_write(stack: Stack) -> None:
    owner = stack.account()
    both(stack, owner)  # its use is noted
    with stack.counted() as calls:
        assert stack.call("GET", "/v1/whoami", owner).status == 200
    assert calls == Counter([GET])
    with stack.counted() as calls:
        assert alone(stack, owner) == 200
    assert calls == Counter([GET, GET])
    with stack.counted() as calls:
        response = stack.call("POST", "/v1/api-keys/rotate", headers=owner.bearer)
    assert calls == Counter([GET, GET, WRITE])
    assert both(stack, Key("owner", response.json["key"])) == 200
    assert both(stack, owner) == 401


def test_an_unknown_key_costs_one_read_and_is_refused_in_the_same_words(stack: Stack) -> None:
    owner = stack.account()
    wrong = Key("owner", key_format.new_key())
    with stack.counted() as calls:
        response = stack.call("GET", "/v1/whoami", headers=wrong.bearer)
    assert calls == Counter([GET])
    told = assert_problem(response, 401)["detail"]
    assert told == assert_problem(stack.call("GET", "/v1/whoami", wrong), 401)["detail"]
    mistyped = Key("owner", owner.secret[:-1] + ("a" if owner.secret[-1] != "a" else "b"))
    with stack.counted() as calls:
        response = stack.call("GET", "/v1/whoami", headers=mistyped.bearer)
    assert not calls
    assert assert_problem(response, 401)["detail"] == told


def test_a_stolen_key_is_held_to_its_networks(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    assert both(stack, key, source_ip="203.0.113.9") == 200
    assert both(stack, key, source_ip="198.51.100.7") == 403
    assert len(stack.events("API_KEY_REFUSED")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", f"{PATH}/bot", None),
        ("DELETE", f"{PATH}/bot/api-keys?keyType=PROVISIONING", None),
        ("POST", f"{PATH}/bot/api-keys/rotate", {"keyType": "PROVISIONING"}),
        ("PUT", f"{PATH}/bot", {"role": "READ_ONLY"}),
    ],
)
def test_what_ends_a_key_ends_it_for_both_ways_and_its_pointer_too(
    stack: Stack, method: str, path: str, body: Any
) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot", "OWNER", keyTypes=["PROVISIONING"])["PROVISIONING"]
    assert both(stack, key) == 200
    arguments = () if body is None else (body,)
    assert stack.call(method, path, owner, *arguments).status < 300
    assert both(stack, key) == 401
    assert pointers.name(key_format.digest(key.secret)) not in _pointers(stack)


def test_a_predecessor_is_found_until_its_overlap_ends(stack: Stack) -> None:
    owner = stack.account()
    first = stack.service_user(owner, "bot")["MONITORING"]
    made = stack.call("POST", "/v1/api-keys/rotate", first, {"overlapSeconds": 60})
    second = Key("bot", made.json["key"])
    assert (both(stack, first), both(stack, second)) == (200, 200)
    stack.clock.forward(60)
    assert (both(stack, first), both(stack, second)) == (401, 200)
    assert stack.call("POST", "/v1/api-keys/rotate", second, {"overlapSeconds": 60}).status == 200
    assert pointers.name(key_format.digest(first.secret)) not in _pointers(stack)


def test_a_stale_pointer_gives_no_access_to_a_later_holder_of_the_name(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    old = stack.service_user(owner, "bot", "OWNER")["USER_MANAGEMENT"]
    [left] = [it for it in _items(stack) if it["pk"] == pointers.name(key_format.digest(old.secret))]
    assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
    new = stack.service_user(neighbour, "bot", "OWNER")["USER_MANAGEMENT"]
    stack.client.put_item(
        TableName=stack.tables.directory, Item={name: {"S": value} for name, value in left.items()}
    )
    assert both(stack, old) == 401
    assert both(stack, new) == 200
    wrong = {**left, "pk": pointers.name(key_format.digest(new.secret)), "username": "owner"}
    stack.client.put_item(
        TableName=stack.tables.directory, Item={name: {"S": value} for name, value in wrong.items()}
    )
    assert alone(stack, new) == 401, "a pointer to somebody else gives nobody their rights"


def test_two_authorization_headers_that_differ_sign_nobody_in(accounts: Accounts) -> None:
    owner, reader = accounts["owner"], accounts["reader"]
    event = accounts.stack.event("GET", "/v1/whoami", owner)
    for values, status in (
        ([owner.header, reader.header], 401),
        ([owner.header, owner.bearer["authorization"]], 401),
        ([owner.header, ""], 401),
        ([owner.header, owner.header], 200),
        ([owner.bearer["authorization"]], 200),
    ):
        event["multiValueHeaders"] = {"Authorization": values, "Host": ["api.example"]}
        with accounts.stack.counted() as calls:
            assert accounts.stack.app(event, None)["statusCode"] == status
        assert bool(calls) is (status == 200)


def test_a_call_whose_caller_was_revoked_before_its_commit_changes_nothing(stack: Stack) -> None:
    owner = stack.account()
    other = stack.user(owner, "second", "OWNER")
    assert stack.call("DELETE", "/v1/users/second", headers=owner.bearer).status == 204
    assert both(stack, other) == 401


def test_the_pointers_match_the_keys_after_every_kind_of_change(stack: Stack) -> None:
    owner = stack.account()
    bot = stack.service_user(owner, "bot", "CLUSTER_ADMIN")["MONITORING"]
    stack.user(owner, "second", "CLUSTER_ADMIN")
    steps: list[tuple[str, str, Key, Any]] = [
        ("POST", "/v1/api-keys/rotate", bot, {"overlapSeconds": 60}),
        ("POST", f"{PATH}/bot/api-keys/rotate", owner, {"keyType": "MONITORING", "overlapSeconds": 60}),
        ("PUT", f"{PATH}/bot", owner, {"role": "READ_ONLY"}),
        ("DELETE", f"{PATH}/bot/api-keys", owner, {"keyType": "MONITORING"}),
        ("POST", f"{PATH}/bot/api-keys", owner, {"keyType": "MONITORING"}),
        ("POST", "/v1/users/second/invitation", owner, None),
        ("DELETE", "/v1/users/second", owner, None),
        ("DELETE", f"{PATH}/bot", owner, None),
    ]
    for method, path, by, body in steps:
        arguments = () if body is None else (body,)
        assert stack.call(method, path, by, *arguments).status < 300, path
        assert _pointers(stack) == _held(stack), path
    recovered = application.recover_owner({"username": "owner"}, None)
    assert _pointers(stack) == _held(stack)
    assert both(stack, Key("owner", recovered["apiKey"])) == 200
    assert both(stack, owner) == 401


def _items(stack: Stack) -> list[dict[str, Any]]:
    return stack.items(stack.tables.directory)


def _pointers(stack: Stack) -> set[str]:
    return {it["pk"] for it in _items(stack) if it["pk"].startswith(pointers.PREFIX)}


def _held(stack: Stack) -> set[str]:
    """Return the names of the pointers there should be, by the keys of every principal."""
    keys = [key for it in _items(stack) for key in it.get("keys", {}).values()]
    both = [*keys, *(key["predecessor"] for key in keys if "predecessor" in key)]
    return {pointers.name(it["digest"]) for it in both}


# What pointers cost


@pytest.mark.parametrize(
    ("overlap", "total", "pointers_", "counter"),
    [(0, 16, 6, 2), (3600, 13, 3, 2)],
)
def test_a_self_rotation_writes_so_many_units_by_awss_rule(
    stack: Stack, overlap: int, total: int, pointers_: int, counter: int
) -> None:
    """One key replaced: a pointer put and one deleted (with an overlap, one put), and the change counted."""
    owner = stack.account()
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    both(stack, key)
    before = _by_key(stack)
    assert stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": overlap}).status == 200
    after = _by_key(stack)
    units: Counter[str] = Counter()
    for table, pk in before.keys() | after.keys():
        old, new = before.get((table, pk)), after.get((table, pk))
        if old != new:
            units += write_units(table, pk[0], old, new)
    of_pointers = sum(count for name, count in units.items() if name.startswith("pointer"))
    assert (units.total(), of_pointers, units["counter"]) == (total, pointers_, counter), units


def _by_key(stack: Stack) -> dict[tuple[str, tuple[str, ...]], dict[str, Any]]:
    """Return every item by its table's name and its own key."""
    names = {stack.tables.directory: "directory", stack.tables.events: "events"}
    return {
        (names[table], tuple(item[key] for key in keys)): item
        for table, keys in stack.key_attributes.items()
        for item in stack.items(table)
    }
