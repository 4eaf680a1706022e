"""Races on the real engine: one call of each wins, the others change nothing, and the events are right."""

import os
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from chalice.local import LocalChalice

from deploy.bulk import Tables
from deploy.key_types import end_keys, holders_of
from tests.support.accounts import PATH, Accounts, service_user_body
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.dynamodb_faults import assert_events_match_keys
from tests.support.version_1_0 import addresses_of, keep_address_as_1_0

pytestmark = pytest.mark.engine

BOT = f"{PATH}/bot"
KEYS = f"{BOT}/api-keys"
MONITORING = {"keyType": "MONITORING"}
CROWDS = [2, 3, 8, 32]
Racer = Callable[[int], Response]


@pytest.fixture
def accounts(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """A CLUSTER_ADMIN Service User "bot" that the "admin" administers.

    A deployed application sees one request at a time; here, each thread sees its own.
    """
    monkeypatch.setattr(stack.app, "__class__", type("Threaded", (LocalChalice, type(stack.app)), {}))
    accounts = Accounts(stack)
    keys = stack.service_user(accounts["admin"], "bot", "CLUSTER_ADMIN")
    for key_type, key in keys.items():
        accounts.keys[f"bot/{key_type}"] = key
        assert stack.call("GET", "/v1/whoami", key).status == 200
    return accounts


def race(*racers: Racer, crowd: int) -> list[list[Response]]:
    """Run a number of calls of each kind concurrently from one start; return the responses of each kind."""
    responses: list[list[Response]] = [[] for _ in racers]
    start = threading.Barrier(crowd)
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(30)
            kind = number % len(racers)
            responses[kind].append(racers[kind](number))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed[0]
    assert sum(map(len, responses)) == crowd
    return responses


def statuses(responses: list[Response]) -> Counter[int]:
    return Counter(response.status for response in responses)


def live_keys(accounts: Accounts) -> dict[str, str]:
    """Return the last five characters of each key of "bot" that its item holds."""
    items = {it["pk"]: it for it in accounts.stack.items(accounts.stack.tables.directory)}
    return {kind: key["last5"] for kind, key in items["USER#bot"].get("keys", {}).items()}


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("callers", ["one", "several"])
def test_one_of_many_gets_a_username(accounts: Accounts, crowd: int, callers: str) -> None:
    keys = [accounts[it] for it in ("owner", "admin", "bystander", "neighbour")][
        : 1 if callers == "one" else 4
    ]
    names = ("new", "NEW", "New", "nEw")

    def create(number: int) -> Response:
        body = service_user_body(names[number % 4]) | {"email": f"new{number}@machines.example"}
        return accounts.stack.call("POST", PATH, keys[number % len(keys)], body)

    (responses,) = race(create, crowd=crowd)
    assert statuses(responses) == {201: 1, 409: crowd - 1}
    assert len(accounts.stack.events("SERVICE_USER_CREATED")) == 1 + 1
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("stored_by", ["1.0", "1.1", "nobody"])
@pytest.mark.parametrize("crowd", CROWDS)
def test_one_of_many_in_each_account_gets_an_email(accounts: Accounts, crowd: int, stored_by: str) -> None:
    """Where a third account has it already, stored by either version, or nobody."""
    keys = [accounts["owner"], accounts["neighbour"]]
    if stored_by != "nobody":
        accounts.keys["third"] = accounts.stack.account("third")
        accounts.stack.service_user(accounts["third"], "squatter", email="same@corp.example")
        if stored_by == "1.0":
            keep_address_as_1_0(accounts.stack, "squatter")

    def create(number: int) -> Response:
        body = service_user_body(f"new-{number}") | {"email": f"same+{number}@corp.example"}
        return accounts.stack.call("POST", PATH, keys[number % 2], body)

    responses = race(create, create, crowd=crowd)
    for of_account in responses:
        assert statuses(of_account) == Counter({201: 1, 409: len(of_account) - 1})
        assert all("is taken in this account" in it.json["detail"] for it in of_account if it.status == 409)
    assert_events_match_keys(accounts.stack)
    held = [pk for pk in addresses_of(accounts.stack) if pk.endswith("same@corp.example")]
    assert len(held) == (2 if stored_by == "nobody" else 3)


def test_an_old_email_is_moved_while_its_holder_is_deleted(accounts: Accounts) -> None:
    """Whoever is first, the email is free in the holder's account after, and taken in the other."""
    for number in range(10):
        email = f"old-{number}@corp.example"
        accounts.stack.service_user(accounts["neighbour"], f"old-{number}", email=email)
        keep_address_as_1_0(accounts.stack, f"old-{number}")
        gone, made = race(
            lambda _, n=number: accounts.stack.call("DELETE", f"{PATH}/old-{n}", accounts["neighbour"]),
            lambda _, n=number, email=email: accounts.stack.call(
                "POST", PATH, accounts["owner"], service_user_body(f"new-{n}") | {"email": email}
            ),
            crowd=2,
        )
        assert (gone[0].status, made[0].status) == (204, 201)
        assert [pk for pk in addresses_of(accounts.stack) if pk.endswith(email)] == [
            f"ACCOUNT_EMAIL#{accounts.stack.item('owner')['account']}#{email}"
        ]
        assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
def test_one_of_many_gets_an_email_under_its_aliases(accounts: Accounts, crowd: int) -> None:
    keys = [accounts[it] for it in ("owner", "admin", "bystander")]
    local = ["worker", "WORKER", "w.o.rker", "worker+tag", "Wor.Ker+x"]

    def create(number: int) -> Response:
        email = f"{local[number % 5]}@{'gmail.com' if number % 2 else 'GoogleMail.com'}"
        body = service_user_body(f"new-{number}") | {"email": email}
        return accounts.stack.call("POST", PATH, keys[number % 3], body)

    (responses,) = race(create, crowd=crowd)
    assert statuses(responses) == {201: 1, 409: crowd - 1}
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
def test_one_of_many_generates_a_key(accounts: Accounts, crowd: int) -> None:
    assert accounts.call("DELETE", KEYS, "owner", MONITORING).status == 204
    callers = [accounts["owner"], accounts["admin"]]

    (responses,) = race(
        lambda it: accounts.stack.call("POST", KEYS, callers[it % 2], MONITORING), crowd=crowd
    )

    assert statuses(responses) == {201: 1, 409: crowd - 1}
    (won,) = [it.json["key"] for it in responses if it.status == 201]
    assert accounts.stack.signs_in(Key("bot", won))
    assert live_keys(accounts)["MONITORING"] == won[-5:]
    assert len(accounts.stack.events("API_KEY_GENERATED")) == 1
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
def test_one_of_many_rotates_its_own_key(accounts: Accounts, crowd: int) -> None:
    old = accounts["bot/MONITORING"]
    (responses,) = race(lambda _: accounts.stack.call("POST", "/v1/api-keys/rotate", old), crowd=crowd)
    found = statuses(responses)
    assert found[200] == 1
    assert found[409] + found[401] == crowd - 1
    (won,) = [it.json["key"] for it in responses if it.status == 200]
    assert accounts.stack.signs_in(Key("bot", won))
    assert not accounts.stack.signs_in(Key("bot", old.secret))
    assert len(accounts.stack.events("API_KEY_ROTATED")) == 1
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
def test_of_many_rotations_by_administrators_the_last_key_returned_works(
    accounts: Accounts, crowd: int
) -> None:
    """They run one after the other or are refused; each success has an event, and one key is left."""
    callers = [accounts["owner"], accounts["admin"]]
    (responses,) = race(
        lambda it: accounts.stack.call("POST", f"{KEYS}/rotate", callers[it % 2], MONITORING), crowd=crowd
    )
    found = statuses(responses)
    assert found[200] >= 1
    assert found[200] + found[409] == crowd
    assert len(accounts.stack.events("API_KEY_ROTATED")) == found[200]
    new = [it.json["key"] for it in responses if it.status == 200]
    assert [accounts.stack.signs_in(Key("bot", key)) for key in new].count(True) == 1
    assert not accounts.stack.signs_in(Key("bot", accounts["bot/MONITORING"].secret))
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("how", ["revoke", "delete", "lower"])
def test_nobody_rotates_past_a_revocation(accounts: Accounts, crowd: int, how: str) -> None:
    """Whichever comes first: after the response to the revocation no key of the type is left, old or new."""
    old = accounts["bot/PROVISIONING"]
    body = {"keyType": "PROVISIONING"}
    owner, admin = accounts["owner"], accounts["admin"]

    def rotate_own(_: int) -> Response:
        return accounts.stack.call("POST", "/v1/api-keys/rotate", old)

    def rotate(_: int) -> Response:
        return accounts.stack.call("POST", f"{KEYS}/rotate", admin, body)

    def revoke(_: int) -> Response:
        for _try in range(100):
            match how:
                case "revoke":
                    response = accounts.stack.call("DELETE", KEYS, owner, body)
                case "delete":
                    response = accounts.stack.call("DELETE", BOT, owner)
                case _:
                    response = accounts.stack.call("PUT", BOT, owner, {"role": "READ_ONLY"})
            if response.status != 409:
                break
        return response

    own, others, revoked = race(rotate_own, rotate, revoke, crowd=max(crowd, 3))
    done = statuses(revoked)
    assert done.keys() <= {200, 204, 404}
    assert statuses(own).keys() <= {200, 401, 409}
    assert statuses(own)[200] <= 1
    assert statuses(others).keys() <= {200, 404, 409}
    for response in own + others:
        if response.status == 200:
            assert not accounts.stack.signs_in(Key("bot", response.json["key"]))
    assert not accounts.stack.signs_in(Key("bot", old.secret))
    if how != "delete":
        assert "PROVISIONING" not in live_keys(accounts)
    assert_events_match_keys(accounts.stack, exact=how == "lower")


THIEVES = 8


@pytest.mark.parametrize("how", ["key", "service user", "user"])
def test_a_revocation_wins_at_the_first_try_against_rotations_in_a_loop(accounts: Accounts, how: str) -> None:
    """In each race eight threads rotate the keys without pause, and one call revokes."""
    stack, owner, admin = accounts.stack, accounts["owner"], accounts["admin"]
    contests = int(os.environ.get("REVOCATION_CONTESTS", "60")) // 3
    responses: list[int] = []
    for number in range(contests):
        name = f"target-{number}"
        if how == "user":
            held = stack.user(owner, name, "READ_ONLY")
            path, body = f"/v1/users/{name}", NO_BODY
        else:
            held = stack.service_user(admin, name, "CLUSTER_ADMIN")["PROVISIONING"]
            path, body = f"{PATH}/{name}", NO_BODY
            if how == "key":
                path, body = f"{path}/api-keys", {"keyType": "PROVISIONING"}
        revoked = threading.Event()
        rotating = threading.Event()

        def rotate(
            key: Key = held, over: threading.Event = revoked, begun: threading.Event = rotating
        ) -> Response:
            response = stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 60})
            while not over.is_set() and response.status in (200, 409):
                begun.set()
                if response.status == 200:
                    key = Key(key.username, response.json["key"])
                response = stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 60})
            return response

        thieves = [threading.Thread(target=rotate) for _ in range(THIEVES)]
        for thief in thieves:
            thief.start()
        assert rotating.wait(30)
        responses.append(stack.call("DELETE", path, owner, body).status)
        revoked.set()
        for thief in thieves:
            thief.join(60)
        assert not stack.signs_in(held)
        if how == "key":
            assert "PROVISIONING" not in stack.item(name)["keys"]
    assert Counter(responses) == {204: contests}
    actions = {"key": "API_KEY_REVOKED", "service user": "SERVICE_USER_DELETED", "user": "USER_REVOKED"}
    assert len(stack.events(actions[how])) == contests


def test_no_key_of_a_type_is_left_when_it_is_ended_beside_rotations_and_creations(accounts: Accounts) -> None:
    """The operator ends the type while machines rotate their keys in loops and others are created."""
    stack, owner, admin = accounts.stack, accounts["owner"], accounts["admin"]
    held = [stack.service_user(admin, f"held-{number}")["MONITORING"] for number in range(12)]
    secrets = list(held)
    over = threading.Event()

    def rotate(number: int) -> Response:
        key = held[number]
        while True:
            response = stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 60})
            if response.status == 200:
                key = Key(key.username, response.json["key"])
                secrets.append(key)
            if response.status == 401 or over.is_set():
                return response

    def create(number: int) -> Response:
        for more in range(4):
            body = service_user_body(f"new-{number}-{more}", keyTypes=["MONITORING"])
            response = stack.call("POST", PATH, owner, body)
            assert response.status == 201
            secrets.append(Key(body["username"], response.json["apiKeys"]["apiKeys"][0]["key"]))
        return response

    def end(_: int) -> Response:
        tables = Tables(stack.tables.directory, stack.tables.events, 400)
        ended.append(end_keys(stack.client, tables, "MONITORING", report=lambda _: None))
        return stack.call("GET", "/health")

    ended: list[int] = []
    kinds = (rotate, create, end)

    def one(number: int) -> Response:
        return kinds[0 if number < 12 else 1 if number < 15 else 2](number)

    race(one, crowd=16)
    over.set()
    end(0)
    assert holders_of(stack.client, stack.tables.directory, {"MONITORING"}) == []
    assert not any(stack.signs_in(key) for key in secrets)
    revoked = [it for it in stack.events("API_KEY_REVOKED") if it["actor"]["kind"] == "OPERATOR"]
    assert len(revoked) == sum(ended) == 12 + 12 + 1, "and that of bot"
    assert_events_match_keys(stack, exact=False)


@pytest.mark.parametrize("crowd", CROWDS)
def test_one_of_many_deletes_and_nobody_updates_what_is_deleted(accounts: Accounts, crowd: int) -> None:
    owner, admin = accounts["owner"], accounts["admin"]

    def delete(_: int) -> Response:
        return accounts.stack.call("DELETE", BOT, owner)

    def update(number: int) -> Response:
        return accounts.stack.call("PUT", BOT, admin, {"displayName": f"x{number}"})

    deleted, updated = race(delete, update, crowd=crowd)
    assert statuses(deleted).keys() <= {204, 404, 409}
    assert statuses(updated).keys() <= {200, 404, 409}
    assert len(accounts.stack.events("SERVICE_USER_DELETED")) == statuses(deleted)[204]
    assert len(accounts.stack.events("SERVICE_USER_UPDATED")) == statuses(updated)[200]
    assert statuses(deleted)[204] <= 1
    there = accounts.stack.call("GET", BOT, owner).status
    assert there == (404 if statuses(deleted)[204] else 200)
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
def test_names_that_go_and_come_at_once_are_held_by_one(accounts: Accounts, crowd: int) -> None:
    """Some callers delete it while others take its name: at most one gets it, with its own address."""
    owner, bystander = accounts["owner"], accounts["bystander"]

    def delete(_: int) -> Response:
        return accounts.stack.call("DELETE", BOT, owner)

    def create(number: int) -> Response:
        return accounts.stack.call(
            "POST", PATH, bystander, service_user_body("bot") | {"displayName": f"x{number}"}
        )

    deleted, created = race(delete, create, crowd=crowd)
    assert statuses(deleted).keys() <= {204, 404, 409}
    assert statuses(created).keys() <= {201, 409}
    for response in created:
        if response.status == 201:
            keys = [it["key"] for it in response.json["apiKeys"]["apiKeys"]]
            assert len({accounts.stack.signs_in(Key("bot", key)) for key in keys}) == 1
    assert not statuses(deleted)[204] or not accounts.stack.signs_in(
        Key("bot", accounts["bot/MONITORING"].secret)
    )
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_revoked_caller_does_nothing_after_the_response(accounts: Accounts, crowd: int) -> None:
    """The admin's calls race their revocation; after its response they change nothing."""
    admin, owner = accounts["admin"], accounts["owner"]

    def revoke(_: int) -> Response:
        for _try in range(100):
            if (response := accounts.stack.call("DELETE", "/v1/users/admin", owner)).status != 409:
                break
        accounts.stack.call("GET", BOT, owner)
        return response

    def act(number: int) -> Response:
        if number % 3 == 0:
            return accounts.stack.call("POST", f"{KEYS}/rotate", admin, MONITORING)
        if number % 3 == 1:
            return accounts.stack.call("POST", PATH, admin, service_user_body(f"new-{number}"))
        return accounts.stack.call("PUT", BOT, admin, {"displayName": f"x{number}"})

    revoked, acted = race(revoke, act, crowd=crowd)
    assert statuses(revoked)[204] == 1
    assert statuses(revoked).keys() <= {204, 404}
    assert statuses(acted).keys() <= {200, 201, 401, 409}
    after = accounts.stack.snapshot()
    for number in range(3):
        assert act(number).status == 401
    assert accounts.stack.snapshot() == after
    assert_events_match_keys(accounts.stack)


def test_different_service_users_do_not_stand_in_each_others_way(accounts: Accounts) -> None:
    """One administrator's calls on thirty-two Service Users at once are all done."""
    admin = accounts["admin"]
    for number in range(32):
        accounts.stack.service_user(admin, f"bot-{number}", keyTypes=["MONITORING"])
    (responses,) = race(
        lambda it: accounts.stack.call("POST", f"{PATH}/bot-{it}/api-keys/rotate", admin, MONITORING),
        crowd=32,
    )
    assert statuses(responses) == {200: 32}
    assert_events_match_keys(accounts.stack)
