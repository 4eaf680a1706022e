"""Rotation with an overlap: two keys for a while, and what ends each of them."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.api_client import Key, Response, Stack
from tests.support.dynamodb_faults import before_next_call

WEEK = 604_800
OWN = "/v1/api-keys/rotate"


def rotate_own(stack: Stack, key: Key, overlap: int | None = None) -> Key:
    body = {} if overlap is None else {"body": {"overlapSeconds": overlap}}
    response = stack.call("POST", OWN, key, **body)  # type: ignore[arg-type]
    assert response.status == 200, response.text
    return Key(key.username, response.json["key"])


def rotate(stack: Stack, by: Key, overlap: int | None = None) -> Key:
    body: dict[str, Any] = {"keyType": "MONITORING"}
    if overlap is not None:
        body["overlapSeconds"] = overlap
    response = stack.call("POST", "/v1/service-users/bot/api-keys/rotate", by, body)
    assert response.status == 200, response.text
    return Key("bot", response.json["key"])


def call_without_response(stack: Stack, call: Callable[[], Response]) -> None:
    """Make a call whose response never arrives."""
    assert call().status == 200


# How long


def test_without_an_overlap_the_old_key_is_refused_from_the_response_on(
    stack: Stack, owner: Key, bot: Key
) -> None:
    new = rotate_own(stack, bot)
    assert (stack.sign_in(bot), stack.sign_in(new)) == (401, 200)
    newer = rotate(stack, owner)
    assert (stack.sign_in(new), stack.sign_in(newer)) == (401, 200)
    newest = rotate(stack, owner, 0)
    assert (stack.sign_in(newer), stack.sign_in(newest)) == (401, 200)


@pytest.mark.parametrize("overlap", [1, 3600, WEEK])
@pytest.mark.parametrize("by_administrator", [True, False])
def test_both_keys_work_until_the_overlap_ends(
    stack: Stack, owner: Key, bot: Key, overlap: int, by_administrator: bool
) -> None:
    stack.clock.at = 1_900_000_000.0
    new = rotate(stack, owner, overlap) if by_administrator else rotate_own(stack, bot, overlap)
    stack.clock.at = 1_900_000_000 + overlap - 0.001
    assert (stack.sign_in(bot), stack.sign_in(new)) == (200, 200)
    stack.clock.at = 1_900_000_000 + overlap
    assert (stack.sign_in(bot), stack.sign_in(new)) == (401, 200)


@pytest.mark.parametrize(
    ("overlap", "detail"),
    [
        (WEEK + 1, "This must be at most 604800."),
        (-1, "This must be at least 0."),
        (1.5, "whole number"),
        ("60", "whole number"),
        (True, "whole number"),
        (None, "whole number"),
        (10**30, "604800"),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_an_invalid_overlap_changes_nothing(
    stack: Stack, owner: Key, bot: Key, overlap: object, detail: str, own: bool
) -> None:
    path, by, more = (OWN, bot, {}) if own else ("/v1/service-users/bot/api-keys/rotate", owner, None)  # type: ignore[var-annotated]
    body = {"overlapSeconds": overlap} | ({"keyType": "MONITORING"} if more is None else {})
    assert stack.sign_in(by) == 200
    before = stack.snapshot()
    response = stack.call("POST", path, by, body)
    assert (response.status, response.pointers) == (400, ["/overlapSeconds"])
    assert detail in response.json["errors"][0]["detail"]
    assert stack.snapshot() == before


def test_the_list_shows_the_predecessor_while_it_works(stack: Stack, owner: Key, bot: Key) -> None:
    assert stack.only_key(owner)["predecessor"] is None
    stack.clock.at = 1_900_000_000.0
    new = rotate_own(stack, bot, 3600)
    shown = stack.only_key(owner)
    assert shown["key"].endswith("…" + new.secret[-5:])
    assert shown["rotatedAt"] == "2030-03-17T17:46:40Z"
    assert shown["predecessor"] == {
        "key": "•••…" + bot.secret[-5:],
        "last5": bot.secret[-5:],
        "validUntil": "2030-03-17T18:46:40Z",
        "lastUsedAt": "2030-03-17T17:46:40Z",
        "shownTo": "owner",
    }
    assert stack.call("GET", "/v1/whoami", bot).json["key"]["predecessor"] == shown["predecessor"]
    stack.clock.forward(3600)
    assert stack.only_key(owner)["predecessor"] is None


def test_the_event_names_the_replaced_key_and_the_end_of_the_overlap(
    stack: Stack, owner: Key, bot: Key
) -> None:
    stack.clock.at = 1_900_000_060.0
    new = rotate(stack, owner, 60)
    event = stack.call("GET", "/v1/events?username=bot&limit=1", owner).json[0]
    assert event["keys"] == [
        {
            "change": "ROTATED",
            "keyType": "MONITORING",
            "key": "•••…" + new.secret[-5:],
            "last5": new.secret[-5:],
            "previousKey": "•••…" + bot.secret[-5:],
            "previousLast5": bot.secret[-5:],
            "previousValidUntil": "2030-03-17T17:48:40Z",
            "alsoEnded": None,
            "endsAt": None,
        }
    ]
    assert event["mail"]["waiting"]


# What ends what


def test_revoking_ends_both_at_once(stack: Stack, owner: Key, bot: Key) -> None:
    new = rotate_own(stack, bot, WEEK)
    path = "/v1/service-users/bot/api-keys?keyType=MONITORING"
    assert stack.call("DELETE", path, owner).status == 204
    assert (stack.sign_in(bot), stack.sign_in(new)) == (401, 401)


def test_deleting_the_service_user_ends_both_at_once(stack: Stack, owner: Key, bot: Key) -> None:
    new = rotate_own(stack, bot, WEEK)
    assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
    assert (stack.sign_in(bot), stack.sign_in(new)) == (401, 401)


def test_lowering_the_role_ends_both_at_once(stack: Stack, owner: Key) -> None:
    keys = stack.service_user(owner, "ops", "CLUSTER_ADMIN")
    old = keys["PROVISIONING"]
    new = rotate_own(stack, old, WEEK)
    stays = rotate_own(stack, keys["MONITORING"], WEEK)
    assert stack.call("PUT", "/v1/service-users/ops", owner, {"role": "READ_ONLY"}).status == 200
    assert (stack.sign_in(old), stack.sign_in(new)) == (401, 401)
    assert (stack.sign_in(keys["MONITORING"]), stack.sign_in(stays)) == (200, 200)
    back = stack.call("PUT", "/v1/service-users/ops", owner, {"role": "CLUSTER_ADMIN"})
    assert back.status == 200
    assert (stack.sign_in(old), stack.sign_in(new)) == (401, 401)


def test_revoking_a_person_ends_both_of_theirs_at_once(stack: Stack, owner: Key) -> None:
    old = stack.user(owner, "carl", "CLUSTER_ADMIN")
    new = rotate_own(stack, old, WEEK)
    assert (stack.sign_in(old), stack.sign_in(new)) == (200, 200)
    assert stack.call("DELETE", "/v1/users/carl", owner).status == 204
    assert (stack.sign_in(old), stack.sign_in(new)) == (401, 401)


def test_a_new_invitation_ends_both_at_once(stack: Stack, owner: Key) -> None:
    old = stack.user(owner, "carl", "CLUSTER_ADMIN")
    new = rotate_own(stack, old, WEEK)
    assert stack.call("POST", "/v1/users/carl/invitation", owner).status == 200
    assert (stack.sign_in(old), stack.sign_in(new)) == (401, 401)


def test_the_keys_expiry_ends_both_at_once(stack: Stack, owner: Key, bot: Key) -> None:
    stack.clock.at = 1_900_000_000.0
    new = rotate_own(stack, bot, WEEK)
    body = {"keyType": "MONITORING", "expiresAt": "2030-03-17T18:00:00Z"}
    assert stack.call("PATCH", "/v1/service-users/bot/api-keys", owner, body).status == 200
    stack.clock.at = 1_900_000_800 - 0.001
    assert (stack.sign_in(bot), stack.sign_in(new)) == (200, 200)
    stack.clock.at = 1_900_000_800.0
    assert (stack.sign_in(bot), stack.sign_in(new)) == (401, 401)


def test_a_second_rotation_ends_the_oldest(stack: Stack, owner: Key, bot: Key) -> None:
    second = rotate(stack, owner, WEEK)
    third = rotate(stack, owner, WEEK)
    assert [stack.sign_in(key) for key in (bot, second, third)] == [401, 200, 200]
    fourth = rotate_own(stack, third, WEEK)
    assert [stack.sign_in(key) for key in (bot, second, third, fourth)] == [401, 401, 200, 200]
    fifth = rotate_own(stack, third, WEEK)  # by the predecessor, whose successor is in use
    assert [stack.sign_in(key) for key in (second, third, fourth, fifth)] == [401, 401, 200, 200]


def test_a_rotation_without_overlap_during_one_ends_both(stack: Stack, owner: Key, bot: Key) -> None:
    second = rotate_own(stack, bot, WEEK)
    third = rotate_own(stack, bot)
    assert [stack.sign_in(key) for key in (bot, second, third)] == [401, 401, 200]


def test_the_predecessor_keeps_to_the_networks_of_its_successor(stack: Stack, owner: Key, bot: Key) -> None:
    new = rotate_own(stack, bot, WEEK)
    body = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    assert stack.call("PATCH", "/v1/service-users/bot/api-keys", owner, body).status == 200
    for key in (bot, new):
        assert stack.sign_in(key, source_ip="203.0.113.9") == 200
        assert stack.sign_in(key, source_ip="198.51.100.7") == 403
    newest = rotate_own_from(stack, new, "203.0.113.9")
    for key in (new, newest):
        assert stack.sign_in(key, source_ip="203.0.113.9") == 200
        assert stack.sign_in(key, source_ip="198.51.100.7") == 403


def rotate_own_from(stack: Stack, key: Key, source_ip: str) -> Key:
    response = stack.call("POST", OWN, key, {"overlapSeconds": 60}, source_ip=source_ip)
    assert response.status == 200
    return Key(key.username, response.json["key"])


def test_an_overlap_ends_no_later_than_the_key_expires(stack: Stack, owner: Key) -> None:
    stack.clock.at = 1_900_000_000.0
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:00:00Z")[
        "MONITORING"
    ]
    response = stack.call("POST", OWN, old, {"overlapSeconds": WEEK})
    new = Key("bot", response.json["key"])
    assert response.json["predecessor"]["validUntil"] == response.json["expiresAt"] == "2030-03-17T18:00:00Z"
    events = stack.call("GET", "/v1/events?username=bot", owner).json
    (told,) = [key for event in events for key in event["keys"] if event["action"] == "API_KEY_ROTATED"]
    assert told["previousValidUntil"] == "2030-03-17T18:00:00Z"
    soon = {"keyType": "MONITORING", "expiresAt": "2030-03-17T17:58:00Z"}
    assert stack.call("PATCH", "/v1/service-users/bot/api-keys", owner, soon).status == 200
    assert stack.only_key(owner)["predecessor"]["validUntil"] == "2030-03-17T17:58:00Z"
    stack.clock.at = 1_900_000_800.0
    assert (stack.sign_in(old), stack.sign_in(new)) == (401, 401)


# A lost response


def test_a_lost_response_locks_nobody_out(stack: Stack, owner: Key, bot: Key) -> None:
    call_without_response(stack, lambda: stack.call("POST", OWN, bot, {"overlapSeconds": 3600}))
    new = rotate_own(stack, bot, 3600)
    assert (stack.sign_in(bot), stack.sign_in(new)) == (200, 200)


def test_ten_lost_responses_lock_nobody_out(stack: Stack, owner: Key, bot: Key) -> None:
    stack.clock.at = 1_900_000_000.0
    for _ in range(10):
        call_without_response(stack, lambda: stack.call("POST", OWN, bot, {"overlapSeconds": 3600}))
        stack.clock.forward(60)
    new = rotate_own(stack, bot, 3600)
    assert (stack.sign_in(bot), stack.sign_in(new)) == (200, 200)
    # Asking again does not extend the old key: its overlap runs from the first rotation.
    stack.clock.at = 1_900_000_000 + 3600
    assert (stack.sign_in(bot), stack.sign_in(new)) == (401, 200)


def test_a_key_whose_response_was_lost_is_refused(stack: Stack, owner: Key, bot: Key) -> None:
    """Whoever may have intercepted it: no caller received it, so nobody needs it."""
    wire = stack.call("POST", OWN, bot, {"overlapSeconds": 3600})
    rotate_own(stack, bot, 3600)
    assert stack.sign_in(Key("bot", wire.json["key"])) == 401


def test_a_newer_key_that_was_used_is_not_treated_as_lost(stack: Stack, owner: Key, bot: Key) -> None:
    new = rotate_own(stack, bot, 3600)
    assert stack.sign_in(new) == 200
    newest = rotate_own(stack, bot, 3600)
    assert [stack.sign_in(key) for key in (bot, new, newest)] == [401, 200, 200]


def test_a_newer_key_that_is_used_concurrently_is_not_treated_as_lost(
    stack: Stack, owner: Key, bot: Key
) -> None:
    """Its use changes no version, so the write that would end it checks the use itself."""
    new = rotate_own(stack, bot, 3600)
    with before_next_call(stack, "TransactWriteItems", lambda: stack.sign_in(new)):
        assert stack.call("POST", OWN, bot, {"overlapSeconds": 3600}).status == 409
    assert (stack.sign_in(bot), stack.sign_in(new)) == (200, 200)


def test_an_administrators_lost_response_leaves_the_machines_key_working(
    stack: Stack, owner: Key, bot: Key
) -> None:
    body = {"keyType": "MONITORING", "overlapSeconds": WEEK}
    call_without_response(
        stack, lambda: stack.call("POST", "/v1/service-users/bot/api-keys/rotate", owner, body)
    )
    assert stack.only_key(owner)["predecessor"]["key"].endswith(bot.secret[-5:])
    assert stack.sign_in(bot) == 200
    # The machine asks again: its key is the predecessor, and the successor was never used.
    new = rotate_own(stack, bot, 3600)
    assert (stack.sign_in(bot), stack.sign_in(new)) == (200, 200)


def test_a_lost_response_to_the_rotation_of_ones_own_management_key(stack: Stack, owner: Key) -> None:
    path = f"/v1/users/{owner.username}/api-keys/rotate"
    body = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 3600}
    call_without_response(stack, lambda: stack.call("POST", path, owner, body))
    response = stack.call("POST", path, owner, body)
    assert response.status == 200
    assert stack.sign_in(owner) == 200
    assert stack.sign_in(Key(owner.username, response.json["key"])) == 200


# Every boundary, on the real engine too: the clock stepped around it


class BoundaryCheck:
    """The same request by the old and the new key, at every step around a moment."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def around(self, moment: float, *expected: tuple[Key, int, int]) -> None:
        """Check that each key gets its first status before the moment, and its second from it on."""
        for step in (-3600.0, -1.0, -0.5, -0.001, 0.0, 0.001, 0.5, 1.0, 3600.0):
            self.stack.clock.at = moment + step
            for key, before, after in expected:
                assert self.stack.sign_in(key) == (before if step < 0 else after), (step, key.secret[-5:])


def test_each_key_starts_and_stops_working_at_the_exact_second(stack: Stack, owner: Key) -> None:
    """At no step around issue, overlap, expiry and revocation does an ended key work or a valid one fail."""
    start = 1_900_000_000.0
    stack.clock.at = start
    edge = BoundaryCheck(stack)
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    assert stack.sign_in(old) == 200
    # Issue: the key works from the response on, also by a clock that runs behind the one that made it.
    for step in (-1.0, -0.001, 0.0, 0.001):
        stack.clock.at = start + step
        assert stack.sign_in(old) == 200
    stack.clock.at = start
    new = rotate_own(stack, old, 86_400)
    edge.around(start + 86_400, (old, 200, 401), (new, 200, 200))
    # Expiry.
    stack.clock.at = start + 100_000
    body = {"keyType": "MONITORING", "expiresAt": "2030-03-20T17:46:40.900Z"}
    assert stack.call("PATCH", "/v1/service-users/bot/api-keys", owner, body).status == 200
    newest = rotate(stack, owner, WEEK)
    expiry = start + 3 * 86_400
    edge.around(expiry, (old, 401, 401), (new, 200, 401), (newest, 200, 401))
    # A successor of an expired key, and revocation.
    stack.clock.at = expiry + 5000
    fresh = stack.key(owner, "bot", "MONITORING")
    assert [stack.sign_in(key) for key in (new, newest, fresh)] == [401, 401, 200]
    assert stack.call("DELETE", "/v1/service-users/bot/api-keys?keyType=MONITORING", owner).status == 204
    for step in (-1.0, -0.001, 0.0, 0.001, 1.0):
        stack.clock.at = expiry + 5000 + step
        assert [stack.sign_in(key) for key in (new, newest, fresh)] == [401, 401, 401]


# Every boundary, with concurrent calls


class SignInThreads:
    """Threads that sign in with a key without pause, and record each response with its request time."""

    def __init__(self, stack: Stack, *keys: Key) -> None:
        self.stack = stack
        self.seen: list[tuple[Key, float, float, int]] = []
        self.failed: list[BaseException] = []
        self._keys = list(keys)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._sign_in_repeatedly, args=(key,)) for key in keys]

    def _sign_in_repeatedly(self, key: Key) -> None:
        try:
            while not self._stopped.is_set():
                made = time.monotonic()
                answered = sign_in(self.stack, key)
                self.seen.append((key, made, time.monotonic(), answered))
        except BaseException as error:
            self.failed.append(error)

    def __enter__(self) -> "SignInThreads":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        assert not self.failed

    def add(self, key: Key) -> None:
        thread = threading.Thread(target=self._sign_in_repeatedly, args=(key,))
        self._threads.append(thread)
        thread.start()

    def wait_for(self, key: Key, more: int) -> None:
        """Wait until a key was tried some more times."""
        wanted = sum(it[0] == key for it in self.seen) + more
        deadline = time.monotonic() + 30
        while sum(it[0] == key for it in self.seen) < wanted:
            assert time.monotonic() < deadline
            assert not self.failed
            self._stopped.wait(0.001)

    def of(self, key: Key) -> list[tuple[float, float, int]]:
        return [(made, done, answered) for it, made, done, answered in self.seen if it == key]


def sign_in(stack: Stack, key: Key) -> int:
    """Sign in without Chalice, which handles one request at a time; the code behind it is concurrent."""
    from chalicelib.rules.authentication import sign_in as signs_in
    from chalicelib.rules.context import Origin
    from chalicelib.rules.errors import Unauthenticated

    try:
        signs_in(
            stack.service.directory, key.username, key.secret, Origin("198.51.100.7", "r", stack.clock())
        )
    except Unauthenticated:
        return 401
    return 200


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Make a call; return when it was made, when its response arrived, and the response."""
    made = time.monotonic()
    response = call()
    return made, time.monotonic(), response


@pytest.mark.engine
@pytest.mark.parametrize("end", ["rotate", "revoke", "delete", "role"])
def test_an_ended_right_is_refused_from_the_response_on(stack: Stack, owner: Key, end: str) -> None:
    old = stack.service_user(owner, "bot", "CLUSTER_ADMIN")["PROVISIONING"]
    path = "/v1/service-users/bot"
    calls: dict[str, Callable[[], Response]] = {
        "rotate": lambda: stack.call("POST", f"{path}/api-keys/rotate", owner, {"keyType": "PROVISIONING"}),
        "revoke": lambda: stack.call("DELETE", f"{path}/api-keys", owner, {"keyType": "PROVISIONING"}),
        "delete": lambda: stack.call("DELETE", path, owner),
        "role": lambda: stack.call("PUT", path, owner, {"role": "READ_ONLY"}),
    }
    with SignInThreads(stack, old, old) as watch:
        watch.wait_for(old, 20)
        made, done, response = timed(calls[end])
        assert response.status in (200, 204)
        if end == "rotate":
            new = Key("bot", response.json["key"])
            watch.add(new)
            watch.wait_for(new, 20)
        watch.wait_for(old, 20)
    seen = watch.of(old)
    assert [it for it in seen if it[0] > done and it[2] != 401] == []
    assert [it for it in seen if it[1] < made and it[2] != 200] == []
    if end == "rotate":
        assert {it[2] for it in watch.of(new)} == {200}


@pytest.mark.engine
def test_both_keys_of_an_overlap_work_without_a_gap_under_load(stack: Stack, owner: Key) -> None:
    """During ten rotations each key works from its response until the second rotation after it."""
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    ends: dict[Key, float] = {}
    starts_to_end: dict[Key, float] = {}
    before: Key | None = None
    with SignInThreads(stack, key) as watch:
        watch.wait_for(key, 5)
        for _ in range(10):
            made, done, response = timed(
                lambda: stack.call(
                    "POST",
                    "/v1/service-users/bot/api-keys/rotate",
                    owner,
                    {"keyType": "MONITORING", "overlapSeconds": WEEK},
                )
            )
            assert response.status == 200
            if before is not None:
                starts_to_end[before], ends[before] = made, done
            before, key = key, Key("bot", response.json["key"])
            watch.add(key)
            watch.wait_for(key, 5)
    for it, made, done, answered in watch.seen:
        if it not in ends or done < starts_to_end[it]:
            assert answered == 200
        elif made > ends[it]:
            assert answered == 401
    assert len(ends) == 9
    assert {answered for *_, answered in watch.seen} == {200, 401}


@pytest.mark.engine
def test_a_call_whose_key_ends_before_its_commit_changes_nothing(stack: Stack, owner: Key) -> None:
    """Of two concurrent rotations by one key, one succeeds; the other is refused or has the current key."""
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    from chalicelib.rules import key_operations
    from chalicelib.rules.authentication import sign_in as signs_in
    from chalicelib.rules.context import Origin
    from chalicelib.rules.errors import Conflict, Unauthenticated

    directory = stack.service.directory
    made: list[Key] = []
    refused: list[int] = []
    barrier = threading.Barrier(6)

    def rotate_at_once() -> None:
        barrier.wait()
        try:
            auth = signs_in(directory, "bot", old.secret, Origin("198.51.100.7", "r", stack.clock()))
            made.append(Key("bot", key_operations.rotate_own(directory, auth, 0)[1].secret))
        except (Conflict, Unauthenticated):
            refused.append(1)

    threads = [threading.Thread(target=rotate_at_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 5)
    assert (stack.sign_in(old), stack.sign_in(made[0])) == (401, 200)
