"""Service Users: the rules of making, listing, reading, changing and deleting them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.rules.names import fold_email
from tests.support.accounts import (
    ALL_TYPES,
    CLEAR,
    MASKED,
    PATH,
    READ_ONLY_TYPES,
    ROLES,
    TYPES,
    AccountFixture,
    assert_problem,
    assert_service_user,
    body_for,
    fresh,
    people,
    prepared,
    served,
    untouched,
)
from tests.support.api_client import Answer, Key, Stack

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def cast(stack: Stack) -> AccountFixture:
    return prepared(stack, "people", people)


@pytest.fixture(scope="module")
def still(dynamodb: "DynamoDBClient") -> Iterator[AccountFixture]:
    """Everybody, and a few Service Users, on tables that no test changes."""
    with served(dynamodb) as stack:
        cast = AccountFixture(stack)
        for name in ("admin", "bystander", "reader", "neighbour", "machine-owner"):
            cast.caller(name)
        invited = {"username": "invited", "email": "invited@people.example", "role": "CLUSTER_ADMIN"}
        assert stack.call("POST", "/v1/users", cast["owner"], invited).status == 201
        stack.service_user(cast["admin"], "itself", keyTypes=["MONITORING"])
        stack.service_user(cast["neighbour"], "theirs-1", keyTypes=["MONITORING"])
        yield cast


def keys_of(answer: Answer) -> dict[str, str]:
    return {it["keyType"]: it["key"] for it in answer.json["apiKeys"]["apiKeys"]}


def signs_in(stack: Stack, key: Key) -> bool:
    return stack.call("GET", "/v1/whoami", key).status == 200


def events_of(stack: Stack, action: str) -> list[dict[str, Any]]:
    return [event for event in stack.items(stack.tables.events) if event["action"] == action]


# Create


@pytest.mark.parametrize("field", ["role", "profile"])
@pytest.mark.parametrize("role", ROLES)
def test_a_new_service_user_has_a_key_of_every_type_its_role_allows(
    cast: AccountFixture, role: str, field: str
) -> None:
    username = fresh()
    body = {"username": username, "email": f"{username}@machines.example", field: role}

    made = cast.stack.call("POST", PATH, cast["owner"], body)

    assert made.status == 201
    assert_service_user(made.json, username, role, CLEAR)
    assert made.json["displayName"] == username
    assert made.json["administrators"] == ["owner"]
    for key_type, secret in keys_of(made).items():
        me = cast.stack.call("GET", "/v1/whoami", Key(username, secret)).json
        assert (me["keyType"], me["role"], me["kind"]) == (key_type, role, "SERVICE_USER")
    read = cast.stack.call("GET", f"{PATH}/{username}", cast["owner"])
    assert_service_user(read.json, username, role, MASKED)
    assert {it[-5:] for it in keys_of(made).values()} == {it[-5:] for it in keys_of(read).values()}
    assert read.headers["ETag"] == made.headers["ETag"]


def test_role_and_profile_may_both_say_the_same(cast: AccountFixture) -> None:
    body = body_for(fresh(), "READ_ONLY", profile="READ_ONLY")
    assert cast.stack.call("POST", PATH, cast["owner"], body).status == 201


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"role": "OWNER", "profile": "READ_ONLY"}, ["/profile"]),
        ({}, ["/role"]),
        ({"role": "ADMIN"}, ["/role"]),
        ({"profile": "read_only"}, ["/profile"]),
        ({"role": None}, ["/role"]),
        ({"role": "READ_ONLY", "keyTypes": ["PROVISIONING"]}, ["/keyTypes/0"]),
        ({"role": "READ_ONLY", "keyTypes": ["MONITORING", "MONITORING"]}, ["/keyTypes/1"]),
        ({"profile": "READ_ONLY", "keyTypes": ["MONITORING", "USER_MANAGEMENT"]}, ["/keyTypes/1"]),
        ({"role": "READ_ONLY", "keyTypes": ["SUPER", "MONITORING", 5]}, ["/keyTypes/0", "/keyTypes/2"]),
        ({"role": "READ_ONLY", "keyTypes": "MONITORING"}, ["/keyTypes"]),
        ({"role": "READ_ONLY", "keyTypes": None}, ["/keyTypes"]),
        ({"role": "READ_ONLY", "displayName": ""}, ["/displayName"]),
        ({"role": "READ_ONLY", "displayName": "x" * 129}, ["/displayName"]),
        ({"role": "READ_ONLY", "username": "ab"}, ["/username"]),
        ({"role": "READ_ONLY", "username": "a" * 65}, ["/username"]),
        ({"role": "READ_ONLY", "username": "a b c"}, ["/username"]),
        ({"role": "READ_ONLY", "username": "bot\n"}, ["/username"]),
        ({"role": "READ_ONLY", "username": "b\u00f6t"}, ["/username"]),
        ({"role": "READ_ONLY", "username": "\u212aelvin"}, ["/username"]),
        ({"role": "READ_ONLY", "email": "nobody"}, ["/email"]),
        ({"role": "READ_ONLY", "email": "a@b"}, ["/email"]),
        ({"role": "READ_ONLY", "email": "a@b.example\n"}, ["/email"]),
        ({"role": "READ_ONLY", "email": "a@b.example, c@d.example"}, ["/email"]),
        ({"role": "READ_ONLY", "email": "a@" + "b" * 250 + ".example"}, ["/email"]),
        ({"role": "READ_ONLY", "account": "mine"}, ["/account"]),
        ({"role": "READ_ONLY", "administrators": ["owner"]}, ["/administrators"]),
        ({"role": "READ_ONLY", "Role": "OWNER"}, ["/Role"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
def test_a_body_that_breaks_a_rule_makes_nobody(
    still: AccountFixture, body: dict[str, Any], pointers: list[str]
) -> None:
    with untouched(still.stack):
        answer = still.stack.call(
            "POST", PATH, still["owner"], {"username": "bot", "email": "bot@machines.example", **body}
        )
    assert_problem(answer, 400)
    assert answer.pointers == pointers


@pytest.mark.parametrize(
    ("role", "key_types"),
    [
        ("READ_ONLY", ["MONITORING"]),
        ("OWNER", ["USER_MANAGEMENT", "MONITORING"]),
        ("CLUSTER_ADMIN", ALL_TYPES[::-1]),
        ("READ_ONLY", []),
    ],
)
def test_key_types_may_be_picked(cast: AccountFixture, role: str, key_types: list[str]) -> None:
    username = fresh()
    made = cast.stack.call("POST", PATH, cast["owner"], body_for(username, role, keyTypes=key_types))
    assert made.status == 201
    assert_service_user(
        made.json, username, role, CLEAR, [kind for kind in ALL_TYPES if kind in set(key_types)]
    )
    (event,) = events_of(cast.stack, "SERVICE_USER_CREATED")
    assert sorted(it["keyType"] for it in event.get("keys", [])) == sorted(set(key_types))
    assert ("waiting" in event) is bool(key_types)


@pytest.mark.parametrize(
    ("creator", "role", "status"),
    [("owner", role, 201) for role in ROLES]
    + [("admin", "READ_ONLY", 201), ("admin", "CLUSTER_ADMIN", 201), ("admin", "OWNER", 403)],
)
def test_nobody_makes_a_role_above_their_own(
    cast: AccountFixture, creator: str, role: str, status: int
) -> None:
    answer = cast.stack.call("POST", PATH, cast[creator], body_for(fresh(), role))
    assert answer.status == status
    if status == 403:
        assert "OWNER" in answer.json["detail"]
        assert "CLUSTER_ADMIN" in answer.json["detail"]


@pytest.mark.parametrize("taken", ["Metrics-Bot", "METRICS-BOT", "metrics-bot", "owner", "OWNER"])
@pytest.mark.parametrize("account", ["own", "foreign"])
def test_a_username_is_taken_in_any_case_by_anybody(cast: AccountFixture, taken: str, account: str) -> None:
    cast.stack.service_user(cast["owner"], "Metrics-Bot")
    caller = cast["owner" if account == "own" else "neighbour"]
    before = cast.stack.snapshot()
    answer = cast.stack.call("POST", PATH, caller, body_for(taken) | {"email": "new@machines.example"})
    assert_problem(answer, 409)
    assert taken in answer.json["detail"]
    assert cast.stack.snapshot() == before


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("bot@corp.example", "bot@corp.example"),
        ("bot@corp.example", "BOT@Corp.Example"),
        ("bot@corp.example", "bot+metrics@corp.example"),
        ("bot+a@corp.example", "bot+b@corp.example"),
        ("bot@gmail.com", "b.o.t@gmail.com"),
        ("b.ot+x@googlemail.com", "bot@gmail.com"),
        ("owner@people.example", "owner@people.example"),
        ("owner@people.example", "Owner+bot@people.example"),
    ],
)
def test_an_email_is_taken_under_every_alias(cast: AccountFixture, held: str, asked: str) -> None:
    if not held.startswith("owner"):
        cast.stack.service_user(cast["owner"], "first", email=held)
    owner = cast["owner"]
    before = cast.stack.snapshot()
    answer = cast.stack.call("POST", PATH, owner, body_for("second") | {"email": asked})
    assert_problem(answer, 409)
    assert asked in answer.json["detail"]
    assert cast.stack.snapshot() == before


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("bot@corp.example", "b.ot@corp.example"),
        ("bot@corp.example", "bot@corp2.example"),
        ("bot@gmail.com", "bot@gmail.example"),
        ("+a@corp.example", "+b@corp.example"),
    ],
)
def test_emails_that_only_look_alike_are_two(cast: AccountFixture, held: str, asked: str) -> None:
    cast.stack.service_user(cast["owner"], "first", email=held)
    assert cast.stack.call("POST", PATH, cast["owner"], body_for("second") | {"email": asked}).status == 201


def test_the_names_are_kept_as_they_were_given(cast: AccountFixture) -> None:
    body = {
        "username": "Metrics_Bot.1-x",
        "email": "Metrics+Prod@Corp.Example",
        "role": "READ_ONLY",
        "displayName": "Metriken für Köln 🚀",
    }
    made = cast.stack.call("POST", PATH, cast["owner"], body)
    assert {name: made.json[name] for name in body} == body
    read = cast.stack.call("GET", f"{PATH}/metrics_bot.1-X", cast["owner"])
    assert {name: read.json[name] for name in body} == body


@pytest.mark.parametrize("username", ["abc", "a" * 64, "...", "A-b_c.9"])
def test_every_form_of_username_can_be_used(cast: AccountFixture, username: str) -> None:
    made = cast.stack.call("POST", PATH, cast["owner"], body_for(username) | {"email": "x@machines.example"})
    assert made.status == 201
    key = Key(username, keys_of(made)["MONITORING"])
    assert signs_in(cast.stack, key)
    assert signs_in(cast.stack, Key(username.swapcase(), key.secret))
    assert cast.stack.call("GET", f"{PATH}/{username}", key).status == 200
    assert cast.stack.call("DELETE", f"{PATH}/{username}", cast["owner"]).status == 204


def test_what_is_created_is_on_record_with_all_the_mail_needs(cast: AccountFixture) -> None:
    username = fresh()
    cast["owner"]
    made = cast.stack.call("POST", PATH, cast["admin"], body_for(username, "READ_ONLY", displayName="Bot"))
    (event,) = events_of(cast.stack, "SERVICE_USER_CREATED")
    (admin,) = [
        it for it in cast.stack.items(cast.stack.tables.directory) if it.get("username") == "admin"
        and it["pk"].startswith("USER#")
    ]  # fmt: skip
    assert event["account"] == made.json["account"]
    assert event["actor"] == {"kind": "USER", "username": "admin"}
    assert event["subject"] == {"kind": "SERVICE_USER", "username": username, "displayName": "Bot"}
    assert [(it["change"], it["keyType"], it["last5"]) for it in event["keys"]] == [
        ("GENERATED", key_type, secret[-5:]) for key_type, secret in keys_of(made).items()
    ]
    assert event["audience"] == "ADMINISTRATORS"
    assert event["administrators"] == {"admin": admin["membership"]}
    assert event["sourceIp"] == "198.51.100.7"
    assert event["requestId"].startswith("request-")
    assert event["waiting"] in list("01234567")
    assert event["dueAt"] == event["at"] == int(cast.stack.clock())


# List


def test_a_list_comes_in_pages_that_join_without_a_gap(cast: AccountFixture) -> None:
    owner = cast["owner"]
    for number in (3, 1, 5, 2, 4):
        cast.stack.service_user(owner, f"Bot-{number}", keyTypes=["MONITORING"])
    cast.stack.service_user(cast["neighbour"], "bot-0")
    whole = cast.stack.call("GET", PATH, owner)
    assert [it["username"] for it in whole.json] == [f"Bot-{number}" for number in (1, 2, 3, 4, 5)]
    assert "Link" not in whole.headers
    for limit in (1, 2, 5, 100):
        page: str | None = f"{PATH}?limit={limit}"
        found = []
        while page:
            answer = cast.stack.call("GET", page, owner)
            assert len(answer.json) <= limit
            found += answer.json
            page = answer.next_path
            assert page is None or f"limit={limit}" in page
        assert found == whole.json


def test_an_account_without_service_users_lists_none(cast: AccountFixture) -> None:
    answer = cast.stack.call("GET", PATH, cast["owner"])
    assert (answer.status, answer.text) == (200, "[]")


def test_a_cursor_shows_nothing_of_the_account_it_came_from(cast: AccountFixture) -> None:
    for number in (1, 2, 3):
        cast.stack.service_user(cast["owner"], f"bot-{number}")
        cast.stack.service_user(cast["neighbour"], f"bot-{number}x")
    page = cast.stack.call("GET", f"{PATH}?limit=1", cast["owner"]).next_path
    assert page
    answer = cast.stack.call("GET", page, cast["neighbour"])
    assert [it["username"] for it in answer.json] == ["bot-1x"]


def test_a_list_goes_on_after_its_cursor_was_deleted(cast: AccountFixture) -> None:
    for number in (1, 2, 3):
        cast.stack.service_user(cast["owner"], f"bot-{number}")
    page = cast.stack.call("GET", f"{PATH}?limit=2", cast["owner"]).next_path
    assert page
    assert cast.stack.call("DELETE", f"{PATH}/bot-2", cast["owner"]).status == 204
    assert [it["username"] for it in cast.stack.call("GET", page, cast["owner"]).json] == ["bot-3"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1.0",
        "limit=ten",
        "limit=",
        "limit=%D9%A1",
        "limit=1&limit=2",
        "cursor=",
        "cursor=abc",
        "cursor=%00",
        "cursor=Ym90%C3%A9",
        "cursor=Ym90LTE%3D",
        "cursor=YS8v",
        "cursor=" + "A" * 5000,
        "sort=username",
        "Limit=5",
        "username=bot",
        "=5",
    ],
)
def test_a_query_that_is_not_ours_is_refused(still: AccountFixture, query: str) -> None:
    assert_problem(still.stack.call("GET", f"{PATH}?{query}", still["owner"]), 400)


def test_a_page_ends_where_its_administrators_would_not_fit_one_read(cast: AccountFixture) -> None:
    """20 Administrators each, all different: 100 are looked up in one call, so five a page."""
    stack = cast.stack
    names = [fresh() for _ in range(7)]
    for name in names:
        stack.service_user(cast["owner"], name, keyTypes=[])
        many = {f"person-{name}-{number}": "gone" for number in range(20)}
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": f"USER#{name}"}},
            UpdateExpression="SET administrators = :many",
            ExpressionAttributeValues={":many": {"M": {it: {"S": link} for it, link in many.items()}}},
        )
    with stack.counted() as calls:
        first = stack.call("GET", PATH, cast["owner"])
    assert [it["username"] for it in first.json] == sorted(names)[:5]
    assert calls["BatchGetItem"] == 1
    assert first.next_path
    second = stack.call("GET", first.next_path, cast["owner"])
    assert [it["username"] for it in second.json] == sorted(names)[5:]
    assert second.next_path is None
    assert all(it["administrators"] == [] for it in first.json)


# Read


def test_a_service_user_reads_itself_with_any_key(cast: AccountFixture) -> None:
    keys = cast.machine("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    answers = [
        cast.stack.call("GET", f"{PATH}/{name}", key)
        for key in keys.values()
        for name in (username, username.upper())
    ]
    assert {answer.status for answer in answers} == {200}
    assert_service_user(answers[-1].json, username, "CLUSTER_ADMIN")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("case", ["foreign", "user", "missing"])
def test_what_is_not_a_service_user_of_the_account_is_not_there(
    still: AccountFixture, method: str, case: str
) -> None:
    """One and the same answer, so that nothing of another account shows."""
    names = {"foreign": "theirs-1", "user": "reader", "missing": "nobody-1"}
    body = ({"displayName": "Mine"},) if method == "PUT" else ()
    with untouched(still.stack):
        problem = assert_problem(
            still.stack.call(method, f"{PATH}/{names[case]}", still["owner"], *body), 404
        )
    assert problem["detail"] == f"There is no Service User '{names[case]}' in the account."


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("POST", "", {"keyType": "MONITORING"}),
        ("DELETE", "", {"keyType": "MONITORING"}),
        ("PATCH", "", {"keyType": "MONITORING", "allowedNetworks": []}),
        ("POST", "/rotate", {"keyType": "MONITORING"}),
    ],
)
def test_the_keys_of_a_foreign_service_user_are_not_there(
    still: AccountFixture, method: str, tail: str, body: dict[str, Any]
) -> None:
    answers = [
        assert_problem(still.stack.call(method, f"{PATH}/{name}/api-keys{tail}", still["owner"], body), 404)
        for name in ("theirs-1", "nobody-1")
    ]
    assert answers[0]["detail"] == answers[1]["detail"].replace("nobody-1", "theirs-1")


@pytest.mark.parametrize(
    "name", ["a" * 65, "a" * 3000, "%C3%A9" * 2000, "ab", "a%00b", "%FF%FE", "a%2Fb", "..", "a%20b", "%25"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_path_that_cannot_be_a_username_names_nobody(still: AccountFixture, method: str, name: str) -> None:
    body = ({"displayName": "x"},) if method == "PUT" else ()
    assert_problem(still.stack.call(method, f"{PATH}/{name}", still["owner"], *body), 404)


def test_a_username_in_a_path_may_be_escaped(cast: AccountFixture) -> None:
    cast.stack.service_user(cast["owner"], "metrics-bot")
    assert cast.stack.call("GET", f"{PATH}/metrics%2Dbot", cast["owner"]).json["username"] == "metrics-bot"


# Update


def test_fields_not_given_stay(cast: AccountFixture) -> None:
    username = cast.machine(displayName="Before")["MONITORING"].username
    path = f"{PATH}/{username}"
    was = cast.stack.call("GET", path, cast["owner"]).json
    for body, now in (
        ({"displayName": "After"}, {"displayName": "After"}),
        ({"role": "CLUSTER_ADMIN"}, {"role": "CLUSTER_ADMIN"}),
        ({"administrators": ["OWNER", "admin"]}, {"administrators": ["admin", "owner"]}),
        ({}, {}),
    ):
        changed = cast.stack.call("PUT", path, cast["owner"], body)
        was |= now
        was["apiKeys"]["allowedApiKeyTypes"] = changed.json["apiKeys"]["allowedApiKeyTypes"]
        assert changed.json == was
        assert cast.stack.call("GET", path, cast["owner"]).json == was


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"displayName": ""}, "/displayName"),
        ({"displayName": None}, "/displayName"),
        ({"role": "SUPER"}, "/role"),
        ({"role": None}, "/role"),
        ({"profile": "READ_ONLY"}, "/profile"),
        ({"username": "other"}, "/username"),
        ({"email": "other@machines.example"}, "/email"),
        ({"apiKeys": []}, "/apiKeys"),
        ({"administrators": []}, "/administrators"),
        ({"administrators": None}, "/administrators"),
        ({"administrators": {"owner": "x"}}, "/administrators"),
        ({"administrators": ["owner", 5]}, "/administrators/1"),
        ({"administrators": ["owner", "nobody-1"]}, "/administrators/1"),
        ({"administrators": ["owner", "reader"]}, "/administrators/1"),
        ({"administrators": ["owner", "neighbour"]}, "/administrators/1"),
        ({"administrators": ["owner", "machine-owner"]}, "/administrators/1"),
        ({"administrators": ["owner", "invited"]}, "/administrators/1"),
        ({"administrators": ["owner", "itself"]}, "/administrators/1"),
        ({"administrators": ["admin", "owner", "Admin"]}, "/administrators/2"),
        ({"administrators": [f"person-{number}" for number in range(21)]}, "/administrators"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
def test_an_update_that_breaks_a_rule_changes_nothing(
    still: AccountFixture, body: dict[str, Any], pointer: str
) -> None:
    with untouched(still.stack):
        answer = still.stack.call("PUT", f"{PATH}/itself", still["owner"], {"displayName": "New", **body})
    assert_problem(answer, 400)
    assert answer.pointers == [pointer]


def test_every_wrong_administrator_is_named_at_once(still: AccountFixture) -> None:
    asked = ["nobody-1", "owner", "nobody-2", "OWNER"]
    answer = still.stack.call("PUT", f"{PATH}/itself", still["owner"], {"administrators": asked})
    assert answer.pointers == ["/administrators/0", "/administrators/2", "/administrators/3"]


def test_a_service_user_has_up_to_twenty_administrators(cast: AccountFixture) -> None:
    username = cast.machine()["MONITORING"].username
    people = [
        "owner",
        *(cast.stack.person(cast["owner"], fresh("p"), "CLUSTER_ADMIN").username for _ in range(19)),
    ]
    answer = cast.stack.call("PUT", f"{PATH}/{username}", cast["owner"], {"administrators": people})
    assert answer.status == 200
    assert answer.json["administrators"] == sorted(people)


@pytest.mark.parametrize(("was", "asked"), [(was, asked) for was in ROLES for asked in ROLES])
@pytest.mark.parametrize("caller", ["owner", "admin"])
def test_a_change_of_role_grants_no_more_than_the_callers_own(
    cast: AccountFixture, caller: str, was: str, asked: str
) -> None:
    keys = cast.machine(was)
    username = keys["MONITORING"].username
    before = cast.stack.call("GET", f"{PATH}/{username}", cast["owner"])

    answer = cast.stack.call("PUT", f"{PATH}/{username}", cast[caller], {"role": asked})

    if caller == "admin" and asked == "OWNER":
        assert_problem(answer, 403)
        assert cast.stack.call("GET", f"{PATH}/{username}", cast["owner"]).json == before.json
        return
    assert answer.status == 200
    left = [kind for kind in TYPES[was] if kind in TYPES[asked]]
    assert_service_user(answer.json, username, asked, MASKED, left)
    for key_type, key in keys.items():
        assert signs_in(cast.stack, key) is (key_type in left)


def test_lowering_a_role_revokes_in_the_same_write_and_tells(cast: AccountFixture) -> None:
    keys = cast.machine("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    cast.stack.call("PUT", f"{PATH}/{username}", cast["owner"], {"role": "READ_ONLY"})
    (event,) = events_of(cast.stack, "SERVICE_USER_UPDATED")
    assert [(it["change"], it["keyType"], it["last5"]) for it in event["keys"]] == [
        ("REVOKED", kind, keys[kind].secret[-5:]) for kind in ("PROVISIONING", "USER_MANAGEMENT")
    ]
    assert event["changes"] == {"role": ["CLUSTER_ADMIN", "READ_ONLY"]}
    assert event["administrators"].keys() == {"admin"}
    assert "waiting" in event
    raised = cast.stack.call("PUT", f"{PATH}/{username}", cast["owner"], {"role": "CLUSTER_ADMIN"})
    assert keys_of(raised).keys() == set(READ_ONLY_TYPES)
    assert not signs_in(cast.stack, keys["PROVISIONING"])


def test_an_update_without_a_key_in_it_is_on_record_and_mails_nobody(cast: AccountFixture) -> None:
    username = cast.machine(displayName="Before")["MONITORING"].username
    cast["owner"]
    body = {"displayName": "After", "administrators": ["owner"]}
    cast.stack.call("PUT", f"{PATH}/{username}", cast["admin"], body)
    (event,) = events_of(cast.stack, "SERVICE_USER_UPDATED")
    assert event["changes"] == {"administrators": ["admin", "owner"], "displayName": ["Before", "After"]}
    assert "keys" not in event
    assert "waiting" not in event


def test_an_update_that_changes_nothing_writes_nothing(cast: AccountFixture) -> None:
    username = cast.machine(displayName="Bot")["MONITORING"].username
    was = cast.stack.call("GET", f"{PATH}/{username}", cast["owner"])
    before = cast.stack.snapshot()
    body = {"displayName": "Bot", "role": "READ_ONLY", "administrators": ["ADMIN"]}
    answer = cast.stack.call("PUT", f"{PATH}/{username}", cast["admin"], body)
    assert (answer.status, answer.json, answer.headers["ETag"]) == (200, was.json, was.headers["ETag"])
    assert cast.stack.snapshot() == before


def test_a_cluster_admin_administers_from_when_they_are_listed_until_they_are_not(
    cast: AccountFixture,
) -> None:
    username = cast.machine()["MONITORING"].username
    path = f"{PATH}/{username}"
    rename = {"displayName": "x"}
    assert cast.stack.call("PUT", path, cast["bystander"], rename).status == 403
    both = {"administrators": ["admin", "bystander"]}
    assert cast.stack.call("PUT", path, cast["admin"], both).status == 200
    assert cast.stack.call("PUT", path, cast["bystander"], rename).status == 200
    alone = {"administrators": ["Bystander"]}
    assert cast.stack.call("PUT", path, cast["bystander"], alone).json["administrators"] == ["bystander"]
    assert cast.stack.call("PUT", path, cast["admin"], rename).status == 403
    assert (
        cast.stack.call("POST", f"{path}/api-keys/rotate", cast["admin"], {"keyType": "MONITORING"}).status
        == 403
    )


def test_a_revoked_administrator_comes_back_without_their_service_users(cast: AccountFixture) -> None:
    username = cast.machine()["MONITORING"].username
    path = f"{PATH}/{username}"
    assert cast.stack.call("DELETE", "/v1/users/admin", cast["owner"]).status == 204
    assert cast.stack.call("GET", path, cast["owner"]).json["administrators"] == []
    again = cast.stack.person(cast["owner"], "admin", "CLUSTER_ADMIN")
    assert cast.stack.call("GET", path, again).json["administrators"] == []
    assert cast.stack.call("PUT", path, again, {"displayName": "x"}).status == 403
    # An update of something else leaves the dead link out of what is answered, too.
    assert cast.stack.call("PUT", path, cast["owner"], {"displayName": "x"}).json["administrators"] == []


def test_an_administrator_who_was_sent_a_fresh_invitation_can_be_written_back(cast: AccountFixture) -> None:
    """What a caller reads as Administrators, they can send again; for another one it takes an activation."""
    username = cast.machine()["MONITORING"].username
    other = cast.stack.service_user(cast["owner"], fresh(), "READ_ONLY")["MONITORING"].username
    cast.stack.call("POST", "/v1/users/admin/invitation", cast["owner"])
    listed = cast.stack.call("GET", f"{PATH}/{username}", cast["owner"]).json["administrators"]
    assert listed == ["admin"]
    more = {"administrators": [*listed, "owner"]}
    answer = cast.stack.call("PUT", f"{PATH}/{username}", cast["owner"], more)
    assert (answer.status, answer.json["administrators"]) == (200, ["admin", "owner"])
    assert_problem(cast.stack.call("PUT", f"{PATH}/{other}", cast["owner"], more), 400)


def test_an_administrator_lowered_to_read_only_and_raised_again_administers_nothing(
    cast: AccountFixture,
) -> None:
    username = cast.machine()["MONITORING"].username
    for role in ("READ_ONLY", "CLUSTER_ADMIN"):
        assert cast.stack.call("PUT", "/v1/users/admin", cast["owner"], {"role": role}).status == 200
    cast.stack.call("POST", "/v1/users/admin/invitation", cast["owner"])
    again = cast.stack.activate("admin")
    assert cast.stack.call("PUT", f"{PATH}/{username}", again, {"displayName": "x"}).status == 403


def test_a_lowered_owner_keeps_no_hold_on_a_higher_service_user(cast: AccountFixture) -> None:
    """An OWNER who made an OWNER Service User and is a CLUSTER_ADMIN now gets no new key of that role."""
    second = cast.stack.person(cast["owner"], "second", "OWNER")
    machine = cast.stack.service_user(second, fresh(), "OWNER")["MONITORING"].username
    assert cast.stack.call("PUT", "/v1/users/second", cast["owner"], {"role": "CLUSTER_ADMIN"}).status == 200
    keys = f"{PATH}/{machine}/api-keys"
    assert cast.stack.call("POST", f"{keys}/rotate", second, {"keyType": "MONITORING"}).status == 403
    assert cast.stack.call("DELETE", keys, second, {"keyType": "MONITORING"}).status == 204
    assert cast.stack.call("POST", keys, second, {"keyType": "MONITORING"}).status == 403
    assert cast.stack.call("PUT", f"{PATH}/{machine}", second, {"role": "OWNER"}).status == 403


# If-Match


def test_the_etag_is_new_at_every_change_and_at_no_use(cast: AccountFixture) -> None:
    keys = cast.machine("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    path = f"{PATH}/{username}"
    owner = cast["owner"]

    def tag() -> str:
        return cast.stack.call("GET", path, owner).headers["ETag"]

    seen = [tag()]
    signs_in(cast.stack, keys["MONITORING"])
    cast.stack.call("GET", path, keys["PROVISIONING"])
    assert tag() == seen[0]
    for method, tail, body in (
        ("PUT", "", {"displayName": "x"}),
        ("PUT", "", {"administrators": ["owner"]}),
        ("PUT", "", {"role": "OWNER"}),
        ("DELETE", "/api-keys", {"keyType": "MONITORING"}),
        ("POST", "/api-keys", {"keyType": "MONITORING"}),
        ("PATCH", "/api-keys", {"keyType": "MONITORING", "allowedNetworks": ["10.0.0.0/8"]}),
        ("POST", "/api-keys/rotate", {"keyType": "MONITORING"}),
    ):
        answer = cast.stack.call(method, path + tail, owner, body)
        assert answer.status < 300, answer.text
        seen.append(tag())
        assert answer.headers.get("ETag", seen[-1]) == seen[-1]
    assert cast.stack.call("POST", "/v1/api-keys/rotate", keys["USER_MANAGEMENT"]).status == 200
    seen.append(tag())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("header", "done"),
    [
        ("{tag}", True),
        ("*", True),
        (" * ", True),
        ('"other", {tag}', True),
        ('W/"other",{tag} , "third"', True),
        ("W/{tag}", False),
        ('W/{tag}, "other"', False),
        ('"other"', False),
        ('""', False),
        ('"a", "b"', False),
    ],
)
def test_if_match_lets_through_what_is_still_as_it_was_read(
    cast: AccountFixture, method: str, header: str, done: bool
) -> None:
    username = cast.machine()["MONITORING"].username
    path = f"{PATH}/{username}"
    tag = cast.stack.call("GET", path, cast["owner"]).headers["ETag"]
    before = cast.stack.snapshot()
    body = ({"displayName": "x"},) if method == "PUT" else ()
    answer = cast.stack.call(method, path, cast["owner"], *body, headers={"If-Match": header.format(tag=tag)})
    if done:
        assert answer.status == (200 if method == "PUT" else 204)
    else:
        assert_problem(answer, 412)
        assert cast.stack.snapshot() == before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("header", ["", "abc", "{bare}", '"abc', "'abc'", '* "abc"', '"a" b', 'w/"a"', '"ä"'])
def test_an_if_match_that_is_none_is_refused(still: AccountFixture, method: str, header: str) -> None:
    tag = still.stack.call("GET", f"{PATH}/itself", still["owner"]).headers["ETag"]
    headers = {"If-Match": header.replace("{bare}", tag.strip('"'))}
    body = ({"displayName": "x"},) if method == "PUT" else ()
    with untouched(still.stack):
        answer = still.stack.call(method, f"{PATH}/itself", still["owner"], *body, headers=headers)
    assert "ETag" in assert_problem(answer, 400)["detail"]


def test_of_two_who_read_the_same_one_writes(cast: AccountFixture) -> None:
    username = cast.machine()["MONITORING"].username
    path = f"{PATH}/{username}"
    tag = {"If-Match": cast.stack.call("GET", path, cast["owner"]).headers["ETag"]}
    assert cast.stack.call("PUT", path, cast["owner"], {"displayName": "one"}, headers=tag).status == 200
    assert_problem(cast.stack.call("PUT", path, cast["admin"], {"displayName": "two"}, headers=tag), 412)
    assert cast.stack.call("GET", path, cast["owner"]).json["displayName"] == "one"


@pytest.mark.parametrize(
    ("caller", "status"), [("bystander", 403), ("neighbour", 404), ("nobody", 401), ("owner", 412)]
)
def test_if_match_tells_nothing_to_those_who_may_not_change_it(
    cast: AccountFixture, caller: str, status: int
) -> None:
    username = cast.machine()["MONITORING"].username
    answer = cast.stack.call(
        "PUT",
        f"{PATH}/{username}",
        cast.caller(caller),
        {"displayName": "x"},
        headers={"If-Match": '"stale"'},
    )
    assert_problem(answer, status)


# Delete


def test_a_deleted_service_user_is_gone_with_every_key(cast: AccountFixture) -> None:
    keys = cast.machine("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    answer = cast.stack.call("DELETE", f"{PATH}/{username.upper()}", cast["admin"])
    assert (answer.status, answer.text) == (204, "")
    assert [signs_in(cast.stack, key) for key in keys.values()] == [False] * 4
    assert cast.stack.call("GET", PATH, cast["owner"]).json == []
    assert_problem(cast.stack.call("DELETE", f"{PATH}/{username}", cast["owner"]), 404)
    (event,) = events_of(cast.stack, "SERVICE_USER_DELETED")
    assert [(it["change"], it["keyType"]) for it in event["keys"]] == [
        ("REVOKED", kind) for kind in ALL_TYPES
    ]
    assert event["administrators"].keys() == {"admin"}
    assert "waiting" in event


@pytest.mark.parametrize("path", [f"{PATH}/itself", "/v1/users/bystander"])
def test_who_means_a_key_does_not_delete_its_holder(still: AccountFixture, path: str) -> None:
    """As a DELETE of …/api-keys with the path cut short would."""
    with untouched(still.stack):
        answer = still.stack.call("DELETE", path, still["owner"], {"keyType": "MONITORING"})
    assert_problem(answer, 400)
    assert answer.json["errors"] == [
        {"pointer": "/keyType", "detail": "There is no field 'keyType' here; this call takes none."}
    ]


def test_an_empty_body_deletes_as_none_does(cast: AccountFixture) -> None:
    username = cast.machine()["MONITORING"].username
    assert cast.stack.call("DELETE", f"{PATH}/{username}", cast["owner"], {}).status == 204


def test_one_without_keys_is_deleted_without_mail(cast: AccountFixture) -> None:
    cast.stack.service_user(cast["owner"], "bare", keyTypes=[])
    assert cast.stack.call("DELETE", f"{PATH}/bare", cast["owner"]).status == 204
    (event,) = events_of(cast.stack, "SERVICE_USER_DELETED")
    assert "waiting" not in event


def test_names_of_a_deleted_service_user_are_free_and_its_past_is_not(cast: AccountFixture) -> None:
    old = cast.stack.service_user(cast["admin"], "phoenix", "CLUSTER_ADMIN")
    assert cast.stack.call("DELETE", f"{PATH}/phoenix", cast["admin"]).status == 204
    new = cast.stack.service_user(cast["bystander"], "Phoenix", email="phoenix+2@machines.example")
    assert not signs_in(cast.stack, old["MONITORING"])
    assert signs_in(cast.stack, new["MONITORING"])
    read = cast.stack.call("GET", f"{PATH}/phoenix", cast["owner"]).json
    assert_service_user(read, "Phoenix", "READ_ONLY")
    assert read["administrators"] == ["bystander"]
    assert cast.stack.call("PUT", f"{PATH}/phoenix", cast["admin"], {"displayName": "x"}).status == 403


def test_names_are_kept_as_their_keys_in_the_table(cast: AccountFixture) -> None:
    """USER# and EMAIL# items stand and fall together."""
    cast.stack.service_user(cast["owner"], "Phoenix", email="A.b+c@gmail.com")
    items = {it["pk"]: it for it in cast.stack.items(cast.stack.tables.directory)}
    assert items["EMAIL#" + fold_email("ab@gmail.com")] == {"pk": "EMAIL#ab@gmail.com", "username": "phoenix"}
    assert items["USER#phoenix"]["listKey"] == "SERVICE_USER#phoenix"
    cast.stack.call("DELETE", f"{PATH}/PHOENIX", cast["owner"])
    left = {it["pk"] for it in cast.stack.items(cast.stack.tables.directory)}
    assert left == items.keys() - {"EMAIL#ab@gmail.com", "USER#phoenix"}
