"""Lists with conditions: whom each finds, what a page costs, and which conditions are refused."""

from collections import Counter
from typing import Any

import pytest

from chalicelib.rules import selection
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
    used = stack.service_user(owner, "used", **one)["MONITORING"]
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
