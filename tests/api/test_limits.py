"""Budgets and quotas: who is past one is told what to do, and what takes power away is never refused."""

import itertools
import time
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.rules.errors import TooManyRequests
from chalicelib.rules.limits import DEFAULT, VARIABLES, Limits, account_change, read_limits
from chalicelib.rules.networks import sender
from chalicelib.store import counters
from tests.support.accounts import PATH, assert_problem, service_user_body
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.browser import Browser, Page
from tests.support.reference_model import moment

USERS = "/v1/users"
OWN = "/v1/api-keys/rotate"
FIND = "/v1/api-keys/find"
MONITORING = {"keyType": "MONITORING"}


def limited(stack: Stack, **limits: int) -> None:
    """Have the defaults from now on, but for these, and nothing counted yet.

    What was done without limits was counted in one of many counters by chance, the only one of a small budget
    among them.
    """
    for item in stack.items(stack.tables.directory):
        if item["pk"].startswith(counters.BUDGET):
            stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": {"S": item["pk"]}})
    stack.service.directory.limits = DEFAULT._replace(**limits)


def used_up(response: Response) -> int:
    """Check that a call was refused by a budget; returns the seconds to wait."""
    problem = assert_problem(response, 429)
    assert "Retry-After" in problem["detail"]
    return int(response.headers["Retry-After"])


def rotate_own(stack: Stack, key: Key, **body: int) -> Response:
    return stack.call("POST", OWN, key, body or NO_BODY)


def rotate_until_refused(stack: Stack, key: Key) -> tuple[int, Key, Response]:
    """Rotate a key by itself until that is refused; returns how often it was not, the key, the refusal."""
    done = 0
    while (response := rotate_own(stack, key)).status == 200:
        key, done = Key(key.username, response.json["key"]), done + 1
    return done, key, response


# A principal's budget


def test_a_key_that_rotates_itself_in_a_loop_is_stopped(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    limited(stack)
    events = len(stack.events())
    done, key, refused = rotate_until_refused(stack, key)
    assert (done, used_up(refused)) == (10, 30)
    assert len(stack.events()) == events + 10

    before = stack.snapshot()
    with stack.counted() as calls:
        used_up(rotate_own(stack, key))
    assert calls == Counter(["GetItem"])
    assert stack.snapshot() == before

    stack.clock.forward(29)
    assert used_up(rotate_own(stack, key)) == 1
    stack.clock.forward(1)
    done, key, _ = rotate_until_refused(stack, key)
    assert done == 1
    stack.clock.forward(3600)
    assert rotate_until_refused(stack, key)[0] == 10


def test_an_hour_of_a_loop_makes_no_more_changes_than_the_budget_says(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    limited(stack)
    done = 0
    for _ in range(360):
        more, key, _ = rotate_until_refused(stack, key)
        done += more
        stack.clock.forward(10)
    assert done == 10 + 119


def test_the_budget_is_the_holders_whoever_changes_the_keys(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    stack.service_user(owner, "other")
    limited(stack, key_change_burst=4)
    for _ in range(4):
        assert stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, MONITORING).status == 200
    with stack.counted() as calls:
        used_up(stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, MONITORING))
    assert calls == Counter(["GetItem", "GetItem"])
    tighter = {**MONITORING, "allowedNetworks": ["10.0.0.0/8"]}
    assert stack.call("PATCH", f"{PATH}/bot/api-keys", owner, tighter).status == 200
    used_up(stack.call("PATCH", f"{PATH}/bot/api-keys", owner, {**MONITORING, "allowedNetworks": []}))
    assert stack.call("DELETE", f"{PATH}/bot/api-keys", owner, MONITORING).status == 204
    used_up(stack.call("POST", f"{PATH}/bot/api-keys", owner, MONITORING))
    assert stack.call("POST", f"{PATH}/other/api-keys/rotate", owner, MONITORING).status == 200
    assert stack.call("POST", f"{USERS}/owner/api-keys", owner, MONITORING).status == 201


def test_a_person_has_the_same_budget(stack: Stack) -> None:
    owner = stack.account()
    limited(stack)
    assert rotate_until_refused(stack, owner)[0] == 10


def test_a_lost_response_can_be_asked_for_again_within_the_budget(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    limited(stack, key_change_burst=VARIABLES["key_change_burst"].least)
    for _ in range(3):
        assert rotate_own(stack, key, overlapSeconds=3600).status == 200  # the response is lost
    new = Key("bot", rotate_own(stack, key, overlapSeconds=3600).json["key"])
    assert stack.signs_in(new)
    used_up(rotate_own(stack, new))
    assert stack.signs_in(key)  # nobody is locked out by the refusal
    assert stack.signs_in(new)


@pytest.mark.parametrize("whose", ["machine", "account"])
def test_no_budget_refuses_what_takes_power_away(stack: Stack, whose: str) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot", "CLUSTER_ADMIN")["MONITORING"]
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    assert stack.call("PUT", f"{PATH}/bot", owner, {"administrators": ["owner", "ann"]}).status == 200
    stack.service_user(owner, "other")
    limited(stack, **({"account_changes_per_minute": 1} if whose == "account" else {}))
    rotate_until_refused(stack, key)
    if whose == "account":
        used_up(stack.call("POST", PATH, owner, service_user_body("more")))
    used_up(stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, MONITORING))
    for body in ({"administrators": ["owner"]}, {"role": "READ_ONLY"}):
        assert stack.call("PUT", f"{PATH}/bot", owner, body).status == 200
    used_up(stack.call("PUT", f"{PATH}/bot", owner, {"role": "CLUSTER_ADMIN"}))
    used_up(stack.call("PUT", f"{PATH}/bot", owner, {"administrators": ["owner", "ann"]}))
    assert stack.call("DELETE", f"{PATH}/bot/api-keys", owner, MONITORING).status == 204
    assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
    assert stack.call("PUT", f"{USERS}/ann", owner, {"role": "READ_ONLY"}).status == 200
    assert stack.call("DELETE", f"{USERS}/ann", owner).status == 204


NAMES = ("displayName", "description", "labels")


def rename_until_refused(stack: Stack, path: str, caller: Key, field: str = "displayName") -> int:
    """Change a name until that is refused; returns how often it was changed."""
    for count in itertools.count():
        value = {"at": str(count)} if field == "labels" else f"Worker {count}"
        response = stack.call("PUT", path, caller, {field: value})
        if response.status != 200:
            used_up(response)
            return count
    raise AssertionError


@pytest.mark.parametrize("field", NAMES)
def test_names_have_a_budget_of_their_own_which_holds_up_nothing_else(stack: Stack, field: str) -> None:
    """Nobody is mailed of them. So whoever uses it up keeps nobody from what puts an end to them."""
    owner = stack.account()
    ann, bea = (stack.user(owner, name, "CLUSTER_ADMIN") for name in ("ann", "bea"))
    key = stack.service_user(ann, "bot")["MONITORING"]
    limited(stack)
    assert rename_until_refused(stack, f"{PATH}/bot", ann, field) == 10
    assert rotate_until_refused(stack, key)[0] == 10
    used_up(stack.call("PUT", f"{PATH}/bot", ann, {"role": "CLUSTER_ADMIN"}))
    used_up(stack.call("PUT", f"{PATH}/bot", ann, {"administrators": ["ann", "bea"]}))
    # Though both budgets are used up:
    assert stack.call("PUT", f"{PATH}/bot", owner, {"administrators": ["bea"]}).status == 200
    assert stack.call("GET", f"{PATH}/bot", bea).json["administrators"] == ["bea"]
    assert stack.call("POST", f"{PATH}/bot/suspend", bea).status == 200
    assert stack.call("POST", f"{PATH}/bot/resume", owner).status == 200


def test_whoever_suspends_a_person_cannot_keep_an_owner_from_resuming_them(stack: Stack) -> None:
    owner = stack.account()
    machine = stack.service_user(owner, "hr-bot", "OWNER", keyTypes=["USER_MANAGEMENT"])["USER_MANAGEMENT"]
    ann = stack.user(owner, "ann", "CLUSTER_ADMIN")
    limited(stack)
    rotate_until_refused(stack, ann)
    assert stack.call("POST", f"{USERS}/ann/suspend", machine).status == 200
    assert rename_until_refused(stack, f"{USERS}/ann", machine) == 10
    assert stack.call("POST", f"{USERS}/ann/resume", owner).status == 200


def test_one_caller_resumes_only_so_many_in_a_minute(stack: Stack) -> None:
    """All OWNERs are mailed of each: what is resumed at last would be mailed behind what came first."""
    owner = stack.account()
    ann = stack.user(owner, "ann", "CLUSTER_ADMIN")
    stack.service_user(ann, "bot")
    limited(stack)
    for _ in range(10):
        assert stack.call("POST", f"{PATH}/bot/suspend", ann).status == 200
        assert stack.call("POST", f"{PATH}/bot/resume", ann).status == 200
    assert stack.call("POST", f"{PATH}/bot/suspend", ann).status == 200
    assert used_up(stack.call("POST", f"{PATH}/bot/resume", ann)) <= 60
    assert stack.call("POST", f"{PATH}/bot/resume", owner).status == 200, "the budget is ann's"
    assert stack.call("POST", f"{PATH}/bot/suspend", ann).status == 200
    stack.clock.forward(60)
    assert stack.call("POST", f"{PATH}/bot/resume", ann).status == 200


def test_names_use_up_no_more_than_a_budget_of_their_own_of_the_account(stack: Stack) -> None:
    owner = stack.account()
    for number in range(4):
        stack.service_user(owner, f"bot-{number}", keyTypes=["MONITORING"])
    limited(stack, account_changes_per_minute=20)
    for number in range(4):
        assert stack.call("PUT", f"{PATH}/bot-{number}", owner, {"description": "x"}).status == 200
    used_up(stack.call("PUT", f"{PATH}/bot-0", owner, {"description": "y"}))
    used_up(stack.call("PUT", f"{USERS}/owner", owner, {"displayName": "The owner"}))
    for number in range(4):
        assert stack.call("POST", f"{PATH}/bot-{number}/api-keys/rotate", owner, MONITORING).status == 200
    stack.clock.forward(60)
    assert stack.call("PUT", f"{PATH}/bot-0", owner, {"description": "y"}).status == 200


def test_a_person_is_raised_and_lowered_only_so_often(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    limited(stack, key_change_burst=4)
    for _ in range(4):
        for role in ("OWNER", "CLUSTER_ADMIN"):
            assert stack.call("PUT", f"{USERS}/ann", owner, {"role": role}).status == 200
    used_up(stack.call("PUT", f"{USERS}/ann", owner, {"role": "OWNER"}))


def test_a_policy_is_loosened_only_so_often_and_made_stricter_at_any_time(stack: Stack) -> None:
    owner = stack.account()
    limited(stack, key_change_burst=4)

    def put(**policy: Any) -> Response:
        return stack.call("PUT", "/v1/account", owner, policy)

    for days in range(4):
        assert put(machinesManageOwners=True).status == 200
        assert put(machinesManageOwners=False, maxKeyAgeDays=90 - days).status == 200
    used_up(put(machinesManageOwners=True))
    used_up(put(maxKeyAgeDays=365))
    used_up(put(maxKeyAgeDays=None))
    used_up(put(name="Another"))
    used_up(put(revokeLeakedKeys=False))
    assert put(maxKeyAgeDays=30).status == 200
    assert put(revokeInactiveAfterDays=30).status == 200
    stack.clock.forward(30)
    assert put(maxKeyAgeDays=365).status == 200
    used_up(put(revokeLeakedKeys=False))
    stack.clock.forward(30)
    assert put(revokeLeakedKeys=False).status == 200
    assert put(revokeLeakedKeys=True).status == 200


# The account's budget


def test_an_account_makes_only_so_many_changes_a_minute_and_no_other_account_pays(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    stack.service_user(owner, "bot")
    limited(stack, account_changes_per_minute=3)
    for number in range(3):
        assert stack.call("POST", PATH, owner, service_user_body(f"bot-{number}")).status == 201
    wait = used_up(stack.call("POST", PATH, owner, service_user_body("bot-3")))
    assert wait == 60 - int(stack.clock()) % 60
    # What is known to be full costs no more than the sign-in and the reading of the target.
    for call, reads in (
        (("POST", PATH, owner, service_user_body("bot-3")), 1),
        (("POST", USERS, owner, {"username": "ann", "email": "ann@people.example", "role": "READ_ONLY"}), 1),
        (("POST", f"{PATH}/bot/api-keys/rotate", owner, MONITORING), 2),
    ):
        with stack.counted() as calls:
            used_up(stack.call(*call))
        assert calls == Counter({"GetItem": reads})
    assert stack.call("POST", PATH, neighbour, service_user_body("theirs")).status == 201
    stack.clock.forward(wait)
    assert stack.call("POST", PATH, owner, service_user_body("bot-3")).status == 201


def test_another_environment_learns_of_a_full_budget_by_one_write(stack: Stack) -> None:
    owner = stack.account()
    limited(stack, account_changes_per_minute=1)
    assert stack.call("POST", PATH, owner, service_user_body("bot-0")).status == 201
    before = stack.snapshot()
    stack.service.directory._full = counters.FullCounters()
    with stack.counted() as calls:
        used_up(stack.call("POST", PATH, owner, service_user_body("bot-1")))
    assert calls == Counter(["GetItem", "TransactWriteItems"])
    assert stack.snapshot() == before


@pytest.mark.parametrize("most", [1, 74, 75, 149, 150, 300, 4_000, 100_000])
def test_counters_hold_the_budget_and_at_most_half_as_much_again(most: int) -> None:
    number = counters.counters_of(most)
    held = number * counters.counter_size(most, number)
    assert most <= held <= 1.5 * most
    if number == 1:
        assert held == most


def test_a_spread_budget_refuses_nobody_early_and_ends() -> None:
    """300 changes in a minute over four counters: 300 are let through, and some 400 never."""
    full = counters.FullCounters()
    counts: Counter[str] = Counter()
    done = 0
    write = account_change("account", DEFAULT, 60)
    while True:
        try:
            operation = full.operation("table", write)
        except TooManyRequests:
            break
        update = operation.item["Update"]
        name, most = update["Key"]["pk"]["S"], int(update["ExpressionAttributeValues"][":most"]["N"])
        if counts[name] < most:
            counts[name] += 1
            done += 1
        else:
            assert done >= 280
            assert operation.error_for(None) is write.used_up
    assert 300 <= done <= 450


# Whatever is in the way of the counter


def conflicts(stack: Stack, monkeypatch: pytest.MonkeyPatch, *, beside: bool = False) -> list[bool]:
    """Have every counter of changes be in another transaction; returns whether each try counts."""
    tries: list[bool] = []
    write = stack.client.transact_write_items

    def busy(TransactItems: list[Any]) -> Any:  # noqa: N803 - botocore's
        names = [str(next(iter(it.values())).get("Key")) for it in TransactItems]
        tries.append("BUDGET#" in str(names))
        codes = ["TransactionConflict" if "BUDGET#" in name else "None" for name in names]
        if beside:
            codes[0] = "TransactionConflict"
        if "TransactionConflict" not in codes:
            return write(TransactItems=TransactItems)
        raise ClientError(
            {
                "Error": {"Code": "TransactionCanceledException"},
                "CancellationReasons": [{"Code": code} for code in codes],
            },
            "TransactWriteItems",
        )

    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(stack.client, "transact_write_items", busy)
    return tries


def test_a_change_is_not_refused_because_its_counter_is_busy(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    limited(stack)
    tries = conflicts(stack, monkeypatch)
    assert rotate_own(stack, key).status == 200
    assert tries == [True] * 4 + [False]


def test_a_change_counts_to_the_last_where_more_is_in_the_way(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    limited(stack)
    tries = conflicts(stack, monkeypatch, beside=True)
    assert_problem(rotate_own(stack, key), 409)
    assert tries == [True] * 5


# Invitations


def invite(stack: Stack, by: Key, username: str, email: str = "", role: str = "READ_ONLY") -> Response:
    email = email or f"{username}@people.example"
    return stack.call("POST", USERS, by, {"username": username, "email": email, "role": role})


def test_an_address_is_invited_once_in_five_minutes(stack: Stack) -> None:
    owner = stack.account()
    limited(stack)
    assert invite(stack, owner, "ann").status == 201
    before = stack.snapshot()
    assert used_up(stack.call("POST", f"{USERS}/ann/invitation", owner)) == 300
    assert stack.snapshot() == before
    assert invite(stack, owner, "ben").status == 201
    # The inbox is the same, however the person is called and whatever alias they have.
    assert stack.call("DELETE", f"{USERS}/ann", owner).status == 204
    used_up(invite(stack, owner, "anna", "Ann+one@people.example"))
    stack.clock.forward(299)
    assert used_up(invite(stack, owner, "ann")) == 1
    stack.clock.forward(1)
    assert invite(stack, owner, "ann").status == 201


def test_an_address_is_invited_ten_times_a_day(stack: Stack) -> None:
    owner = stack.account()
    limited(stack)
    stack.clock.at = 1_900_022_400 + 0.5  # midnight
    assert int(stack.clock()) % 86_400 == 0
    assert invite(stack, owner, "ann").status == 201
    for _ in range(9):
        stack.clock.forward(300)
        assert stack.call("POST", f"{USERS}/ann/invitation", owner).status == 200
    stack.clock.forward(300)
    wait = used_up(stack.call("POST", f"{USERS}/ann/invitation", owner))
    assert wait == 86_400 - 3_000
    stack.clock.forward(wait)
    assert stack.call("POST", f"{USERS}/ann/invitation", owner).status == 200
    [item] = [it for it in stack.items(stack.tables.directory) if "#INVITATION#" in it["pk"]]
    assert item.keys() == {"pk", "at", "ttl", "21992"}  # yesterday's count is gone


def test_an_account_sends_only_so_many_invitations_a_day_whoever_sends_them(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    second = stack.user(owner, "second", "OWNER")
    machine = stack.service_user(owner, "machine", "OWNER")["USER_MANAGEMENT"]
    stack.clock.at = 1_900_022_400 + 0.5  # midnight
    limited(stack, account_invitations_per_day=4, invitation_pause=0)
    for by, name in ((owner, "ann"), (second, "ben"), (machine, "cal")):
        assert invite(stack, by, name).status == 201
    assert stack.call("POST", f"{USERS}/ann/invitation", owner).status == 200
    stack.clock.forward(3_600)
    assert all(stack.signs_in(by) for by in (owner, second, machine))  # their use is noted
    before = stack.snapshot()
    for by in (owner, second, machine):
        assert used_up(invite(stack, by, "dan")) == 86_400 - 3_600
    refused = stack.call("POST", f"{USERS}/ann/invitation", owner)
    assert "4 invitations today" in assert_problem(refused, 429)["detail"]
    assert stack.snapshot() == before
    assert invite(stack, neighbour, "eve").status == 201
    assert stack.call("DELETE", f"{USERS}/cal", owner).status == 204  # frees nothing: the email was sent
    used_up(invite(stack, owner, "cal"))
    stack.clock.forward(86_400 - 3_600)
    assert invite(stack, owner, "dan").status == 201


# Searching for keys, and reporting them


def test_a_caller_searches_for_keys_only_so_often_a_minute(stack: Stack) -> None:
    owner = stack.account()
    second = stack.user(owner, "second", "CLUSTER_ADMIN")
    key = stack.service_user(owner, "bot")["MONITORING"]
    limited(stack, key_searches_per_minute=3)
    stack.clock.at = 1_900_000_020 + 0.5
    by_value, by_last5 = {"key": key.secret}, {"last5": key.secret[-5:]}
    for body in (by_value, by_last5, {"key": "suk_" + "0" * 43 + "2ZLkuB"}):
        assert stack.call("POST", FIND, owner, body).status == 200
    before = stack.snapshot()
    for body in (by_value, by_last5):
        with stack.counted() as calls:
            assert used_up(stack.call("POST", FIND, owner, body)) == 60 - int(stack.clock()) % 60
        assert calls == Counter(["GetItem", "UpdateItem"])
    assert stack.snapshot() == before
    # Whoever is on call finds the key although somebody with a stolen one searches without end.
    assert stack.call("POST", FIND, second, by_value).json[0]["username"] == "bot"
    stack.clock.forward(60)
    assert stack.call("POST", FIND, owner, by_value).status == 200


def test_an_address_reports_leaked_keys_only_so_often_a_minute(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    limited(stack, leak_reports_per_minute=2)
    stack.clock.at = 1_900_000_020 + 0.5

    def report(source_ip: str, *keys: Key) -> Response:
        found = [{"token": it.secret} for it in keys] or [{"token": "x"}]
        return stack.call("POST", "/v1/leaked-keys", None, found, source_ip=source_ip)

    for _ in range(2):
        assert report("198.51.100.7").status == 200
    with stack.counted() as calls:
        assert used_up(report("198.51.100.7", key)) == 60 - int(stack.clock()) % 60
    assert calls == Counter(["UpdateItem"])
    assert stack.signs_in(key)
    # Nobody silences another sender: the same report from elsewhere revokes the key.
    assert report("198.51.100.8", key).status == 200
    assert not stack.signs_in(key)
    stack.clock.forward(60)
    assert report("198.51.100.7").status == 200


def test_a_refused_report_is_the_same_whatever_is_in_it(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    limited(stack, leak_reports_per_minute=1)
    assert stack.call("POST", "/v1/leaked-keys", None, [{"token": "x"}]).status == 200
    told = [
        stack.call("POST", "/v1/leaked-keys", None, [{"token": token}]).json
        for token in (key.secret, "x", "suk_" + "0" * 49)
    ]
    assert len({(it["status"], it["detail"]) for it in told}) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.51.100.7", "198.51.100.8", False),
        ("::ffff:198.51.100.7", "198.51.100.7", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("", "not an address", True),
    ],
)
def test_a_sender_is_an_address_or_the_network_of_one(one: str, other: str, same: bool) -> None:
    assert (sender(one) == sender(other)) is same


# Codes for passkeys


def test_a_code_is_mailed_once_a_minute_and_ten_times_a_day(stack: Stack) -> None:
    owner = stack.account()
    limited(stack)
    stack.clock.at = 1_900_022_400 + 0.5  # midnight
    browser = Browser(stack)

    def ask(key: Key = owner) -> Page:
        return browser.post("enrol", {"username": key.username, "key": key.secret}, csrf="")

    for number in range(10):
        stack.clock.forward(60 if number else 0)
        assert ask().status == 200
        before = stack.snapshot()
        refused = ask()
        assert refused.status == 429
        assert refused.headers["Retry-After"] == ("60" if number < 9 else str(86_400 - 540))
        assert stack.snapshot() == before
    assert "Code of the email" in refused.words, "the last one still works: the page takes it"
    fields = {"username": "owner", "key": owner.secret}
    elsewhere = Browser(stack).post("enrol", fields, csrf="")
    assert elsewhere.status == 429
    assert "in the browser that asked for it" in elsewhere.words
    assert "Code of the email" not in elsewhere.words, "no code works there"
    assert len(stack.events("PASSKEY_CODE_REQUESTED")) == 10
    # Another key of the same person, and the same inbox by another name, have no budget of their own.
    stack.clock.forward(3_600)
    again = stack.call("POST", f"{USERS}/owner/api-keys/rotate", owner, {"keyType": "USER_MANAGEMENT"})
    owner = Key("owner", again.json["key"])
    assert ask(owner).status == 429
    stack.clock.forward(86_400 - 3_600 - 540)
    assert ask(owner).status == 200


# Quotas


def test_an_account_holds_only_so_many_service_users(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    limited(stack, service_users=2)
    for number in range(2):
        stack.service_user(owner, f"bot-{number}")
    problem = assert_problem(stack.call("POST", PATH, owner, service_user_body("bot-2")), 409)
    assert "quota of Service Users (2)" in problem["detail"]
    stack.service_user(neighbour, "theirs")
    assert stack.call("DELETE", f"{PATH}/bot-0", owner).status == 204
    stack.service_user(owner, "bot-2")
    assert_problem(stack.call("POST", PATH, owner, service_user_body("bot-3")), 409)


def test_an_account_holds_only_so_many_people(stack: Stack) -> None:
    owner = stack.account()
    limited(stack, users=3, invitation_pause=0)
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    assert invite(stack, owner, "ben").status == 201
    problem = assert_problem(invite(stack, owner, "cal"), 409)
    assert "quota of Users (3)" in problem["detail"]
    assert stack.call("POST", f"{USERS}/ben/invitation", owner).status == 200  # adds nobody
    stack.activate("ben")
    assert stack.call("DELETE", f"{USERS}/ann", owner).status == 204
    stack.user(owner, "ann", "OWNER")
    assert_problem(invite(stack, owner, "cal"), 409)


def test_an_account_has_only_so_many_owners_who_have_activated(stack: Stack) -> None:
    owner = stack.account()
    limited(stack, owners=2, invitation_pause=0)
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    stack.user(owner, "ben", "OWNER")
    assert invite(stack, owner, "cal", role="OWNER").status == 201
    token = {"username": "cal", "token": stack.token("cal")}
    for refused in (
        stack.call("POST", f"{USERS}/activate", None, token),
        stack.call("PUT", f"{USERS}/ann", owner, {"role": "OWNER"}),
    ):
        assert "quota of OWNERs (2)" in assert_problem(refused, 409)["detail"]
    assert stack.call("PUT", f"{USERS}/ben", owner, {"role": "READ_ONLY"}).status == 200
    assert stack.call("POST", f"{USERS}/activate", None, token).status == 200
    assert_problem(stack.call("PUT", f"{USERS}/ann", owner, {"role": "OWNER"}), 409)


def account_item(stack: Stack, change: str = "", **values: Any) -> dict[str, Any]:
    """Change the item of the one account there is, if asked; returns it."""
    [item] = [it for it in stack.items(stack.tables.directory) if it["pk"].startswith("ACCOUNT#")]
    if change:
        more = {"ExpressionAttributeValues": values} if values else {}
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": item["pk"]}},
            UpdateExpression=change,
            **more,
        )
    return item


def test_an_account_of_the_first_release_is_counted_when_somebody_is_added(stack: Stack) -> None:
    owner = stack.account()
    for number in range(3):
        stack.service_user(owner, f"bot-{number}")
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    account_item(stack, "REMOVE userCount, serviceUserCount, counted")
    assert stack.call("DELETE", f"{PATH}/bot-0", owner).status == 204
    assert stack.call("DELETE", f"{USERS}/ann", owner).status == 204
    limited(stack, service_users=3)
    stack.service_user(owner, "bot-3")
    item = account_item(stack)
    assert (item["userCount"], item["serviceUserCount"], item["counted"]) == (1, 3, True)
    assert_problem(stack.call("POST", PATH, owner, service_user_body("bot-4")), 409)
    with stack.counted() as calls:
        assert stack.call("DELETE", f"{PATH}/bot-1", owner).status == 204
        stack.service_user(owner, "bot-4")
    assert calls == Counter({"GetItem": 3, "TransactWriteItems": 2})


def test_what_is_removed_while_an_account_is_counted_is_noticed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    for number in range(2):
        stack.service_user(owner, f"bot-{number}")
    account_item(stack, "REMOVE userCount, serviceUserCount, counted")
    query = stack.client.query
    removed: list[str] = []

    def late(**parameters: Any) -> Any:
        page = query(**parameters)
        if parameters.get("Select") == "COUNT" and len(removed) < 1:
            removed.append("bot-0")
            assert stack.call("DELETE", f"{PATH}/bot-0", owner).status == 204
        return page

    monkeypatch.setattr(stack.client, "query", late)
    stack.service_user(owner, "bot-2")
    item = account_item(stack)
    assert (item["userCount"], item["serviceUserCount"]) == (1, 2)


def test_counting_gives_up_where_an_account_never_stands_still(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    account_item(stack, "REMOVE userCount, serviceUserCount, counted")
    query = stack.client.query

    def late(**parameters: Any) -> Any:
        account_item(stack, "ADD userCount :one", **{":one": {"N": "-1"}})
        return query(**parameters)

    monkeypatch.setattr(stack.client, "query", late)
    assert_problem(stack.call("POST", PATH, owner, service_user_body("bot")), 503)


def test_an_account_is_counted_by_pages_and_not_without_end(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    for number in range(5):
        stack.service_user(owner, f"bot-{number}", keyTypes=[])
    account_item(stack, "REMOVE userCount, serviceUserCount, counted")
    query = stack.client.query
    monkeypatch.setattr(stack.client, "query", lambda **parameters: query(**parameters, Limit=2))
    monkeypatch.setattr(counters, "MAX_PAGES", 2)
    stack.service_user(owner, "bot-5", keyTypes=[])
    assert account_item(stack)["serviceUserCount"] == 5  # four were counted, and one came


# What the operator sets


def test_the_defaults_are_the_published_ones() -> None:
    assert (
        read_limits({}) == DEFAULT == Limits(120, 10, 300, 300, 10, 200, 60, 10, 60, 60, 4, 1_000, 50, 10_000)
    )
    assert VARIABLES.keys() == set(Limits._fields)


@pytest.mark.parametrize("field", VARIABLES)
def test_each_limit_is_set_by_its_variable_within_bounds(field: str) -> None:
    name, least, most = VARIABLES[field]
    assert least <= getattr(DEFAULT, field) <= most
    for value in (least, most):
        assert getattr(read_limits({name: str(value)}), field) == value
    for wrong in (str(least - 1), str(most + 1), "1.5", "many", " 5", "\u0665"):
        with pytest.raises(ValueError, match=name):
            read_limits({name: wrong})


def test_the_counts_of_a_minute_are_kept_for_a_day(stack: Stack) -> None:
    stack.service_user(stack.account(), "bot")
    minute = int(stack.clock()) // 60
    counts = [it for it in stack.items(stack.tables.directory) if it["pk"].startswith("BUDGET#")]
    assert [(it["changes"], it["ttl"]) for it in counts] == [(1, (minute + 24 * 60) * 60)]


# A key under attack is tightened


def test_a_key_is_tightened_though_its_budget_is_used_up(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    limited(stack, account_changes_per_minute=10)
    rotate_until_refused(stack, key)
    keys = f"{PATH}/bot/api-keys"

    def restrict(**terms: Any) -> Response:
        return stack.call("PATCH", keys, owner, {**MONITORING, **terms})

    assert restrict(allowedNetworks=["198.51.100.0/24"]).status == 200
    assert restrict(allowedNetworks=["198.51.100.0/25"]).status == 200
    assert restrict(expiresAt=moment(int(stack.clock()) + 7200)).status == 200
    assert restrict(expiresAt=moment(int(stack.clock()) + 3600)).status == 200
    before = stack.snapshot()
    loosened: tuple[dict[str, Any], ...] = (
        {"allowedNetworks": ["198.51.100.0/24"]},
        {"allowedNetworks": []},
        {"expiresAt": None},
        {"expiresAt": moment(int(stack.clock()) + 7200)},
        # Tighter in one thing does not pay for looser in another.
        {"allowedNetworks": ["198.51.100.0/26"], "expiresAt": None},
        {"allowedNetworks": ["203.0.113.0/24"]},
    )
    for looser in loosened:
        used_up(restrict(**looser))
    assert stack.snapshot() == before
    assert len(stack.events("API_KEY_UPDATED")) == 4


def test_a_key_is_tightened_a_little_only_so_often(stack: Stack) -> None:
    """A second at each call would have no end, and would get in the way of every other change."""
    owner = stack.account()
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    limited(stack, key_change_burst=4)
    now = int(stack.clock())

    def restrict(**terms: Any) -> Response:
        return stack.call("PATCH", f"{PATH}/bot/api-keys", owner, {**MONITORING, **terms})

    assert restrict(expiresAt=moment(now + 864_000)).status == 200
    assert restrict(allowedNetworks=["10.0.0.0/8", "2001:db8::/32"]).status == 200
    for number in range(4):
        assert restrict(expiresAt=moment(now + 863_999 - number)).status == 200
    used_up(restrict(expiresAt=moment(now + 863_000)))
    used_up(restrict(allowedNetworks=["10.0.0.0/9", "10.128.0.0/10", "2001:db8::/32"]))
    assert restrict(allowedNetworks=["10.0.0.0/9", "2001:db8::/32"]).status == 200
    assert restrict(allowedNetworks=["10.0.0.0/9", "2001:db8::/33"]).status == 200
    assert restrict(allowedNetworks=["10.0.0.0/9"]).status == 200
    assert restrict(expiresAt=moment(now + 431_990)).status == 200
    used_up(restrict(expiresAt=moment(now + 431_989)))
    assert restrict(allowedNetworks=["10.0.0.0/10"]).status == 200
    used_up(restrict(allowedNetworks=["10.0.0.0/10", "10.0.0.0/11", "10.32.0.0/11"]))


def test_the_same_networks_in_other_words_are_changed_only_so_often(stack: Stack) -> None:
    """Neither tighter nor looser: without a budget, a thief could go on for ever. An order is no change."""
    owner = stack.account()
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    limited(stack, key_change_burst=4)
    keys, wide = f"{PATH}/bot/api-keys", ["198.51.100.0/24", "203.0.113.0/24"]
    same = ([*wide, "198.51.100.0/25"], wide)

    def restrict(networks: list[str]) -> Response:
        return stack.call("PATCH", keys, owner, {**MONITORING, "allowedNetworks": networks})

    assert restrict(wide).status == 200
    for number in range(4):
        assert restrict(same[number % 2]).status == 200
    used_up(restrict(same[0]))
    before = stack.snapshot()
    assert restrict(wide[::-1]).json["allowedNetworks"] == wide
    assert stack.snapshot() == before
    assert restrict(wide[:1]).status == 200


def test_a_name_is_changed_only_so_often(stack: Stack) -> None:
    """Each change is an event and a write, though nobody is mailed."""
    owner = stack.account()
    stack.service_user(owner, "bot")
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    limited(stack, key_change_burst=4)
    for path in (f"{PATH}/bot", f"{USERS}/ann"):
        for number in range(4):
            assert stack.call("PUT", path, owner, {"displayName": f"Name {number}"}).status == 200
        used_up(stack.call("PUT", path, owner, {"displayName": "Another"}))
        assert stack.call("PUT", path, owner, {"displayName": "Name 3"}).status == 200  # changes nothing


def test_a_change_that_counts_by_itself_is_refused_where_the_budget_is_used_up(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Concurrency lets nobody past the budget: a busy counter is counted on before the last try."""
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    limited(stack, account_changes_per_minute=1)
    conflicts(stack, monkeypatch)
    assert rotate_own(stack, key).status == 200
    key_after = stack.stored_keys("bot")
    stack.service.directory._full = counters.FullCounters()
    used_up(stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, MONITORING))
    assert stack.stored_keys("bot") == key_after


@pytest.mark.parametrize("times", [4, 5])
def test_a_counter_that_stays_busy_refuses_as_a_concurrent_change(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    limited(stack)
    conflicts(stack, monkeypatch)
    update, left = stack.client.update_item, [times]

    def busy(**parameters: Any) -> Any:
        if "BUDGET#" in str(parameters["Key"]) and left[0]:
            left[0] -= 1
            raise stack.client.exceptions.TransactionConflictException({"Error": {}}, "UpdateItem")
        return update(**parameters)

    monkeypatch.setattr(stack.client, "update_item", busy)
    assert rotate_own(stack, key).status == (200 if times == 4 else 409)
