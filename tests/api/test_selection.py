"""Lists with conditions: whom each finds, what a page costs, and which conditions are refused."""

from collections import Counter
from typing import Any

import pytest

from chalicelib.rules import ports, selection
from chalicelib.store.items import to_attribute
from tests.support.accounts import PATH, Accounts, assert_problem
from tests.support.api_client import Key, Stack

USERS = "/v1/users"
DAY = 86_400
BEGIN = 1_900_000_000.0
END = "2030-03-27T17:46:40Z"  # 10 days later


def names(stack: Stack, key: Key, query: str, path: str = PATH) -> list[str]:
    """Return the usernames of every page of a list, following its links."""
    found: list[str] = []
    following: str | None = f"{path}?{query}"
    while following is not None:
        page = stack.call("GET", following, key)
        assert page.status == 200, page.text
        found += [it["username"] for it in page.json]
        following = page.next_path
    return found


@pytest.fixture
def machines(accounts: Accounts) -> Accounts:
    """Service Users that differ in one thing each."""
    stack, owner = accounts.stack, accounts["owner"]
    accounts.caller("admin")
    one: dict[str, Any] = {"keyTypes": ["MONITORING"]}
    office: dict[str, Any] = {"allowedNetworks": ["203.0.113.0/24"]}
    stack.clock.at = BEGIN
    stack.service_user(owner, "bare", keyTypes=[])
    stack.service_user(owner, "ending", **one, **office, expiresAt=END)
    stack.service_user(owner, "king", "OWNER", **one, **office)
    stack.service_user(accounts["admin"], "labelled", **one, **office, labels={"team": "a", "empty": ""})
    stack.service_user(owner, "open", **one)
    everywhere: Any = {"allowedNetworks": ["0.0.0.0/0", "::/0"]}  # which is no restriction
    used = stack.service_user(owner, "used", **one, **everywhere)["MONITORING"]
    assert stack.signs_in(used)
    return accounts


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("role=OWNER", ["king"]),
        ("administrator=ADMIN", ["labelled"]),
        ("administrator=nobody-here", []),
        ("label=team:a", ["labelled"]),
        ("label=empty:", ["labelled"]),
        ("label=team:A", []),
        ("label=other:a", []),
        ("neverUsed=true", ["ending", "king", "labelled", "open"]),
        ("neverUsed=false", ["bare", "ending", "king", "labelled", "open", "used"]),
        ("withoutNetworks=true", ["open", "used"]),
        ("withoutNetworks=true&neverUsed=true", ["open"]),
        ("endingWithinDays=10", ["ending"]),
        ("endingWithinDays=9", []),
        ("endingWithinDays=3650", ["ending"]),
        ("prefix=e&neverUsed=true", ["ending"]),
        ("prefix=x&neverUsed=true", []),
        ("role=READ_ONLY&label=team:a&neverUsed=true&administrator=admin", ["labelled"]),
    ],
)
def test_a_condition_finds_those_that_fulfil_it_and_no_others(
    machines: Accounts, query: str, expected: list[str]
) -> None:
    assert names(machines.stack, machines["owner"], query) == expected
    assert names(machines.stack, machines["owner"], f"{query}&limit=1") == expected


def test_a_key_is_unused_since_its_last_use_or_since_it_was_made(machines: Accounts) -> None:
    stack, owner = machines.stack, machines["owner"]
    stack.clock.at = BEGIN + 30 * DAY - 1
    assert "used" not in names(stack, owner, "unusedForDays=30")
    stack.clock.at = BEGIN + 30 * DAY
    assert names(stack, owner, "unusedForDays=30&withoutNetworks=true") == ["open", "used"]
    rotated = stack.call("POST", f"{PATH}/open/api-keys/rotate", owner, {"keyType": "MONITORING"})
    assert rotated.status == 200
    assert names(stack, owner, "unusedForDays=1&withoutNetworks=true") == ["used"]


def test_an_expired_key_fulfils_no_condition(machines: Accounts) -> None:
    stack, owner = machines.stack, machines["owner"]
    stack.clock.at = BEGIN + 10 * DAY - 1
    assert names(stack, owner, "endingWithinDays=1") == ["ending"]
    stack.clock.at = BEGIN + 10 * DAY
    for query in ("endingWithinDays=1", "neverUsed=true&prefix=ending", "unusedForDays=1&prefix=ending"):
        assert names(stack, owner, query) == []


def test_conditions_on_keys_hold_for_one_and_the_same_key(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    used = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    assert stack.signs_in(used)
    office: dict[str, Any] = {"allowedNetworks": ["203.0.113.0/24"]}
    stack.key(owner, "bot", "PROVISIONING_READONLY", **office)
    assert names(stack, owner, "neverUsed=true") == ["bot"]
    assert names(stack, owner, "withoutNetworks=true") == ["bot"]
    assert names(stack, owner, "neverUsed=true&withoutNetworks=true") == []


def test_who_is_no_longer_entitled_administers_nothing(machines: Accounts) -> None:
    stack, owner = machines.stack, machines["owner"]
    for role in ("READ_ONLY", "CLUSTER_ADMIN"):  # raised again, they have another membership
        assert stack.call("PUT", f"{USERS}/admin", owner, {"role": role}).status == 200
        assert names(stack, owner, "administrator=admin") == []


def test_people_are_found_by_role_and_state(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    for name in ("admin", "bystander", "reader"):
        accounts.caller(name)
    invited = {"username": "invited", "email": "invited@people.example", "role": "READ_ONLY"}
    assert stack.call("POST", USERS, owner, invited).status == 201
    assert stack.call("POST", f"{USERS}/admin/suspend", owner).status == 200
    for query, expected in (
        ("role=CLUSTER_ADMIN", ["admin", "bystander"]),
        ("role=READ_ONLY", ["invited", "reader"]),
        ("status=INVITED", ["invited"]),
        ("status=ACTIVE", ["admin", "bystander", "owner", "reader"]),
        ("suspended=true", ["admin"]),
        ("role=READ_ONLY&status=ACTIVE", ["reader"]),
        ("role=OWNER&suspended=true", []),
        ("suspended=false", ["admin", "bystander", "invited", "owner", "reader"]),
    ):
        assert names(stack, owner, query, USERS) == expected
        assert names(stack, owner, f"{query}&limit=1", USERS) == expected


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        (PATH, "role=ADMIN", "role"),
        (PATH, "role=", "role"),
        (PATH, "administrator=a", "administrator"),
        (PATH, "administrator=a%20b", "administrator"),
        *(
            (PATH, f"label={label}", "label")
            for label in ("team", "", ":a", "team:a:b", "te%20am:a", "team:%3D1")
        ),
        *((PATH, f"neverUsed={flag}", "neverUsed") for flag in ("", "1", "TRUE", "yes")),
        (PATH, "withoutNetworks=no", "withoutNetworks"),
        *(
            (PATH, f"unusedForDays={days}", "unusedForDays")
            for days in ("0", "-1", "1.5", "3651", "", "%D9%A1")
        ),
        (PATH, "endingWithinDays=0", "endingWithinDays"),
        (PATH, "status=ACTIVE", "status"),
        (USERS, "role=x", "role"),
        (USERS, "status=OPEN", "status"),
        (USERS, "suspended=1", "suspended"),
        (USERS, "label=team:a", "label"),
        (USERS, "prefix=a", "prefix"),
    ],
)
def test_another_condition_is_refused_by_name(accounts: Accounts, path: str, query: str, name: str) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    assert f"'{name}'" in assert_problem(stack.call("GET", f"{path}?{query}", owner), 400)["detail"]
    assert_problem(stack.call("GET", f"{path}?{query}&{query}", owner), 400)


def copies(stack: Stack, username: str, prefix: str, count: int) -> None:
    """Put copies of a principal into the table."""
    item = stack.item(username)
    kind = item["listKey"].partition("#")[0]
    for number in range(count):
        name = f"{prefix}{number:04}"
        more = {"pk": f"USER#{name}", "username": name, "listKey": f"{kind}#{name}"}
        fields = {field: to_attribute(value) for field, value in {**item, **more}.items()}
        stack.client.put_item(TableName=stack.tables.directory, Item=fields)


@pytest.mark.parametrize("path", [PATH, USERS])
def test_a_page_costs_the_same_whatever_is_found(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    monkeypatch.setattr("chalicelib.rules.service_users.EXAMINED", 10)
    monkeypatch.setattr("chalicelib.rules.users.EXAMINED", 10)
    if path == PATH:
        stack.service_user(owner, "a-common", keyTypes=[])
        stack.service_user(owner, "z-rare", "OWNER", keyTypes=[])
        copies(stack, "a-common", "common-", 33)
        wanted, batches = "z-rare", ["BatchGetItem"]
    else:
        stack.user(owner, "a-common", "READ_ONLY")
        stack.user(owner, "z-rare", "CLUSTER_ADMIN")
        copies(stack, "a-common", "common-", 33)
        wanted, batches = "z-rare", []
        assert stack.call("POST", f"{USERS}/z-rare/suspend", owner).status == 200
    condition = {PATH: "role=OWNER", USERS: "suspended=true"}[path]
    following: str | None = f"{path}?{condition}&limit=3"
    pages = []
    while following is not None:
        with stack.counted() as calls:
            page = stack.call("GET", following, owner)
        pages.append([it["username"] for it in page.json])
        assert calls == Counter(["GetItem", "Query", *(batches if page.json else [])])
        following = page.next_path
    assert pages == [[], [], [], [wanted]]
    # Of many that are found, a page has as many as it was asked for, and the next ones the others.
    found = names(stack, owner, "role=READ_ONLY&limit=3", path)
    assert found == ["a-common", *(f"common-{number:04}" for number in range(33))]
    assert len(stack.call("GET", f"{path}?role=READ_ONLY&limit=3", owner).json) == 3


def test_a_page_reads_no_more_than_one_query_may() -> None:
    """A response of API Gateway's has at most 10 MB, a Query of DynamoDB's 1 MB."""
    assert selection.EXAMINED == 500


def test_the_accounts_counts_are_shown_and_may_be_sent_back(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    read = stack.call("GET", "/v1/account", owner).json
    assert (read["userCount"], read["serviceUserCount"]) == (2, 0)
    stack.service_user(owner, "bot", keyTypes=[])
    accounts.caller("bystander")
    again = stack.call("PUT", "/v1/account", owner, read)
    assert (again.status, again.json["userCount"], again.json["serviceUserCount"]) == (200, 3, 1)
    assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
    assert stack.call("GET", "/v1/account", owner).json["serviceUserCount"] == 0


def test_an_account_of_the_first_release_has_no_counts_yet(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": f"ACCOUNT#{stack.item('owner')['account']}"}},
        UpdateExpression="REMOVE counted, userCount, serviceUserCount",
    )
    read = stack.call("GET", "/v1/account", owner).json
    assert (read["userCount"], read["serviceUserCount"]) == (None, None)
    stack.service_user(owner, "bot", keyTypes=[])
    assert stack.call("GET", "/v1/account", owner).json["serviceUserCount"] == 1


# Sorted by creation


def by_creation(stack: Stack, key: Key, query: str) -> list[str]:
    """Return the usernames of every page, of which each costs the same."""
    found: list[str] = []
    following: str | None = f"{PATH}?{query}"
    while following is not None:
        with stack.counted() as calls:
            page = stack.call("GET", following, key)
        assert page.status == 200, page.text
        reads = ["BatchGetItem", "BatchGetItem"] if page.json else []
        assert calls == Counter(["GetItem", "Query", *reads])
        found += [it["username"] for it in page.json]
        following = page.next_path
    return found


@pytest.fixture
def made_in_turn(accounts: Accounts) -> Accounts:
    """Service Users whose names are not in the order of their creation."""
    for number, name in enumerate(("mid", "Late", "anew", "zero", "bee")):
        accounts.stack.clock.at = BEGIN + number
        accounts.stack.service_user(accounts["owner"], name, keyTypes=[])
    accounts.caller("admin")  # a User, who is created last
    accounts.caller("neighbour")
    return accounts


@pytest.mark.parametrize("limit", ["", "&limit=1", "&limit=2", "&limit=5"])
def test_service_users_are_sorted_by_creation(made_in_turn: Accounts, limit: str) -> None:
    stack, owner = made_in_turn.stack, made_in_turn["owner"]
    order = ["mid", "Late", "anew", "zero", "bee"]
    assert by_creation(stack, owner, f"sort=oldest{limit}") == order
    assert by_creation(stack, owner, f"sort=newest{limit}") == order[::-1]
    assert names(stack, owner, f"sort=username{limit}") == ["anew", "bee", "Late", "mid", "zero"]
    assert by_creation(stack, made_in_turn["neighbour"], f"sort=newest{limit}") == []


def test_many_of_one_second_are_each_listed_once(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=[])
    copies(stack, "bot", "copy-", 12)
    for sort in ("oldest", "newest"):
        found = by_creation(stack, owner, f"sort={sort}&limit=5")
        assert sorted(found) == ["bot", *(f"copy-{number:04}" for number in range(12))]


def test_a_page_by_creation_reads_a_bounded_part_of_the_index(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People are in the index too, so that a page can be empty and have a next one."""
    stack, owner = accounts.stack, accounts["owner"]
    monkeypatch.setattr("chalicelib.rules.service_users.EXAMINED", 3)
    stack.clock.at = BEGIN
    stack.user(owner, "person", "READ_ONLY")
    copies(stack, "person", "people-", 7)
    stack.clock.at = BEGIN + 1
    stack.service_user(owner, "bot", keyTypes=[])
    assert by_creation(stack, owner, "sort=oldest") == ["bot"]
    assert by_creation(stack, owner, "sort=newest&limit=1") == ["bot"]


def test_who_is_gone_or_of_another_account_by_now_is_not_listed(
    made_in_turn: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, owner = made_in_turn.stack, made_in_turn["owner"]
    stack.service_user(made_in_turn["neighbour"], "theirs", keyTypes=[])
    stale = (
        ports.Creation(1, "gone"),
        ports.Creation(2, "theirs"),
        ports.Creation(3, "admin"),
        ports.Creation(4, "mid"),
    )
    monkeypatch.setattr(type(stack.service.directory), "creations", lambda *_, **__: (stale, None))
    assert names(stack, owner, "sort=oldest") == ["mid"]


def test_a_page_by_creation_ends_with_the_administrators_that_one_read_takes(
    made_in_turn: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, owner = made_in_turn.stack, made_in_turn["owner"]
    monkeypatch.setattr("chalicelib.rules.service_users.MAX_USERS_READ", 1)
    for name in ("anew", "bee"):
        changed = stack.call("PUT", f"{PATH}/{name}", owner, {"administrators": ["admin"]})
        assert changed.status == 200
    first = stack.call("GET", f"{PATH}?sort=oldest", owner)
    assert [it["username"] for it in first.json] == ["mid", "Late"]
    assert by_creation(stack, owner, "sort=oldest") == ["mid", "Late", "anew", "zero", "bee"]


@pytest.mark.parametrize("sort", ["oldest", "newest"])
@pytest.mark.parametrize(
    "condition",
    ["prefix=a", "role=OWNER", "label=team:a", "neverUsed=true", "unusedForDays=1", "administrator=admin"],
)
def test_a_sort_by_creation_takes_no_condition(accounts: Accounts, sort: str, condition: str) -> None:
    with accounts.stack.counted() as calls:
        refused = accounts.call("GET", f"{PATH}?sort={sort}&{condition}", "owner")
    assert "Leave out 'sort' or the conditions." in assert_problem(refused, 400)["detail"]
    assert calls.keys() <= {"GetItem", "UpdateItem"}
    unset = accounts.call("GET", f"{PATH}?sort={sort}&neverUsed=false&withoutNetworks=false", "owner")
    assert unset.status == 200


@pytest.mark.parametrize(
    "query", ["sort=", "sort=name", "sort=NEWEST", "sort=newest&cursor=bWlk", "sort=oldest&cursor=eDptaWQ"]
)
def test_another_sort_or_the_cursor_of_another_is_refused(accounts: Accounts, query: str) -> None:
    assert_problem(accounts.call("GET", f"{PATH}?{query}", "owner"), 400)


def test_a_cursor_by_creation_is_none_of_the_list_by_username(made_in_turn: Accounts) -> None:
    stack, owner = made_in_turn.stack, made_in_turn["owner"]
    cursor = stack.call("GET", f"{PATH}?sort=newest&limit=1", owner).headers["Next-Cursor"]
    assert_problem(stack.call("GET", f"{PATH}?cursor={cursor}", owner), 400)


# Several labels


def test_of_several_labels_each_must_be_there(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "one", keyTypes=[], labels={"team": "a"})
    stack.service_user(owner, "both", keyTypes=[], labels={"team": "a", "zone": "x", "more": ""})
    stack.service_user(owner, "other", keyTypes=[], labels={"team": "a", "zone": "y"})
    assert names(stack, owner, "label=team:a,zone:x") == ["both"]
    assert names(stack, owner, "label=zone:x,team:a,more:") == ["both"]
    assert names(stack, owner, "label=team:a") == ["both", "one", "other"]
    many = ",".join(f"name-{number}:x" for number in range(21))
    for wrong in ("team:a,", ",team:a", "team:a,zone", "team:a,,zone:x", many):
        refused = assert_problem(stack.call("GET", f"{PATH}?label={wrong}", owner), 400)
        assert refused["detail"].startswith("'label' must be")
    refused = assert_problem(stack.call("GET", f"{PATH}?label=team:a,team:b", owner), 400)
    assert refused["detail"].startswith("'label' has one name twice")


# What the policy ends


def policy(stack: Stack, owner: Key, **limits: Any) -> None:
    assert stack.call("PUT", "/v1/account", owner, limits).status == 200


def test_the_policys_end_counts_as_the_keys_own(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.clock.at = BEGIN
    stack.service_user(owner, "aged", keyTypes=["MONITORING"])
    stack.service_user(owner, "ending", keyTypes=["MONITORING"], expiresAt=END)
    stack.service_user(owner, "bare", keyTypes=[])
    assert names(stack, owner, "endingWithinDays=3650") == ["ending"]
    policy(stack, owner, maxKeyAgeDays=60)
    assert names(stack, owner, "endingWithinDays=59") == ["ending"]
    assert names(stack, owner, "endingWithinDays=60") == ["aged", "ending"]
    assert names(stack, owner, "endingWithinDays=60&limit=1") == ["aged", "ending"]
    assert names(stack, owner, "endingWithinDays=60&neverUsed=true&prefix=a") == ["aged"]
    policy(stack, owner, maxKeyAgeDays=None, revokeInactiveAfterDays=20)
    assert names(stack, owner, "endingWithinDays=19") == ["ending"]
    assert names(stack, owner, "endingWithinDays=20") == ["aged", "ending"]


def test_a_page_with_the_policy_costs_no_more_reads(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    copies(stack, "bot", "copy-", 9)
    policy(stack, owner, maxKeyAgeDays=20)
    monkeypatch.setattr("chalicelib.rules.service_users.EXAMINED", 4)
    following: str | None = f"{PATH}?endingWithinDays=20&limit=3"
    found: list[str] = []
    while following is not None:
        with stack.counted() as calls:
            page = stack.call("GET", following, owner)
        assert calls == Counter(["GetItem", "Query", "BatchGetItem"])
        assert len(page.json) <= 3
        found += [it["username"] for it in page.json]
        following = page.next_path
    assert found == ["bot", *(f"copy-{number:04}" for number in range(9))]


def test_without_an_account_there_is_no_policy(accounts: Accounts) -> None:
    """An account that is being deleted by its operator is gone before those who are in it."""
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    stack.client.delete_item(
        TableName=stack.tables.directory, Key={"pk": {"S": f"ACCOUNT#{stack.item('owner')['account']}"}}
    )
    assert names(stack, owner, "endingWithinDays=3650") == []
