"""Service Users: the rules of making, listing, reading, changing and deleting them."""

from typing import Any

import pytest

from chalicelib.rules.names import fold_email
from chalicelib.rules.roles import Role
from tests.support.accounts import (
    ALL_TYPES,
    CLEAR,
    MASKED,
    PATH,
    READ_ONLY_TYPES,
    ROLES,
    TYPES,
    Accounts,
    assert_nothing_written,
    assert_problem,
    assert_service_user,
    service_user_body,
    unused_username,
)
from tests.support.api_client import Key, Response, Stack
from tests.support.dynamodb_faults import before_commit
from tests.support.mail import MailFixture
from tests.support.reference_model import moment


def keys_of(response: Response) -> dict[str, str]:
    return {it["keyType"]: it["key"] for it in response.json["apiKeys"]["apiKeys"]}


# Create


@pytest.mark.parametrize("field", ["role", "profile"])
@pytest.mark.parametrize("role", ROLES)
def test_a_new_service_user_has_a_key_of_every_type_its_role_allows(
    accounts: Accounts, role: str, field: str
) -> None:
    username = unused_username()
    body = {"username": username, "email": f"{username}@machines.example", field: role}

    made = accounts.call("POST", PATH, "owner", body)

    assert made.status == 201
    assert_service_user(made.json, username, role, CLEAR)
    assert made.json["displayName"] == username
    assert made.json["administrators"] == ["owner"]
    for key_type, secret in keys_of(made).items():
        me = accounts.stack.call("GET", "/v1/whoami", Key(username, secret)).json
        assert (me["keyType"], me["role"], me["kind"]) == (key_type, role, "SERVICE_USER")
    read = accounts.call("GET", f"{PATH}/{username}", "owner")
    assert_service_user(read.json, username, role, MASKED)
    assert {it[-5:] for it in keys_of(made).values()} == {it[-5:] for it in keys_of(read).values()}
    assert read.headers["ETag"] == made.headers["ETag"]


def test_role_and_profile_may_both_say_the_same(accounts: Accounts) -> None:
    body = service_user_body(unused_username(), "READ_ONLY", profile="READ_ONLY")
    assert accounts.call("POST", PATH, "owner", body).status == 201


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
        ({"role": "READ_ONLY", "administrators": ["x"]}, ["/administrators/0"]),
        ({"role": "READ_ONLY", "Role": "OWNER"}, ["/Role"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
def test_an_invalid_body_creates_no_service_user(
    shared_accounts: Accounts, body: dict[str, Any], pointers: list[str]
) -> None:
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call(
            "POST", PATH, "owner", {"username": "bot", "email": "bot@machines.example", **body}
        )
    assert_problem(response, 400)
    assert response.pointers == pointers


@pytest.mark.parametrize(
    ("role", "key_types"),
    [
        ("READ_ONLY", ["MONITORING"]),
        ("OWNER", ["USER_MANAGEMENT", "MONITORING"]),
        ("CLUSTER_ADMIN", ALL_TYPES[::-1]),
        ("READ_ONLY", []),
    ],
)
def test_key_types_may_be_picked(accounts: Accounts, role: str, key_types: list[str]) -> None:
    username = unused_username()
    made = accounts.call("POST", PATH, "owner", service_user_body(username, role, keyTypes=key_types))
    assert made.status == 201
    assert_service_user(
        made.json, username, role, CLEAR, [kind for kind in ALL_TYPES if kind in set(key_types)]
    )
    (event,) = accounts.stack.events("SERVICE_USER_CREATED")
    assert sorted(it["keyType"] for it in event.get("keys", [])) == sorted(set(key_types))
    assert ("waiting" in event) is bool(key_types)


@pytest.mark.parametrize(
    ("creator", "role", "status"),
    [("owner", role, 201) for role in ROLES]
    + [("admin", "READ_ONLY", 201), ("admin", "CLUSTER_ADMIN", 201), ("admin", "OWNER", 403)],
)
def test_nobody_creates_a_service_user_with_a_role_above_their_own(
    accounts: Accounts, creator: str, role: str, status: int
) -> None:
    response = accounts.call("POST", PATH, creator, service_user_body(unused_username(), role))
    assert response.status == status
    if status == 403:
        assert "OWNER" in response.json["detail"]
        assert "CLUSTER_ADMIN" in response.json["detail"]


@pytest.mark.parametrize("taken", ["Metrics-Bot", "METRICS-BOT", "metrics-bot", "owner", "OWNER"])
@pytest.mark.parametrize("account", ["own", "foreign"])
def test_a_username_is_taken_in_any_case_by_anybody(accounts: Accounts, taken: str, account: str) -> None:
    accounts.stack.service_user(accounts["owner"], "Metrics-Bot")
    caller = accounts["owner" if account == "own" else "neighbour"]
    before = accounts.stack.snapshot()
    response = accounts.stack.call(
        "POST", PATH, caller, service_user_body(taken) | {"email": "new@machines.example"}
    )
    assert_problem(response, 409)
    assert taken in response.json["detail"]
    assert accounts.stack.snapshot() == before


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
def test_an_email_is_taken_under_every_alias(accounts: Accounts, held: str, asked: str) -> None:
    if not held.startswith("owner"):
        accounts.stack.service_user(accounts["owner"], "first", email=held)
    owner = accounts["owner"]
    before = accounts.stack.snapshot()
    response = accounts.stack.call("POST", PATH, owner, service_user_body("second") | {"email": asked})
    assert_problem(response, 409)
    assert asked in response.json["detail"]
    assert accounts.stack.snapshot() == before


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("bot@corp.example", "b.ot@corp.example"),
        ("bot@corp.example", "bot@corp2.example"),
        ("bot@gmail.com", "bot@gmail.example"),
        ("+a@corp.example", "+b@corp.example"),
    ],
)
def test_emails_that_only_look_alike_are_two(accounts: Accounts, held: str, asked: str) -> None:
    accounts.stack.service_user(accounts["owner"], "first", email=held)
    assert accounts.call("POST", PATH, "owner", service_user_body("second") | {"email": asked}).status == 201


def test_the_names_are_kept_as_they_were_given(accounts: Accounts) -> None:
    body = {
        "username": "Metrics_Bot.1-x",
        "email": "Metrics+Prod@Corp.Example",
        "role": "READ_ONLY",
        "displayName": "Metriken für Köln 🚀",
    }
    made = accounts.call("POST", PATH, "owner", body)
    assert {name: made.json[name] for name in body} == body
    read = accounts.call("GET", f"{PATH}/metrics_bot.1-X", "owner")
    assert {name: read.json[name] for name in body} == body


@pytest.mark.parametrize("username", ["abc", "a" * 64, "...", "A-b_c.9"])
def test_every_form_of_username_can_be_used(accounts: Accounts, username: str) -> None:
    made = accounts.call("POST", PATH, "owner", service_user_body(username) | {"email": "x@machines.example"})
    assert made.status == 201
    key = Key(username, keys_of(made)["MONITORING"])
    assert accounts.stack.signs_in(key)
    assert accounts.stack.signs_in(Key(username.swapcase(), key.secret))
    assert accounts.stack.call("GET", f"{PATH}/{username}", key).status == 200
    assert accounts.call("DELETE", f"{PATH}/{username}", "owner").status == 204


def test_the_event_of_a_creation_has_all_that_the_email_needs(accounts: Accounts) -> None:
    username = unused_username()
    accounts["owner"]
    made = accounts.call("POST", PATH, "admin", service_user_body(username, "READ_ONLY", displayName="Bot"))
    (event,) = accounts.stack.events("SERVICE_USER_CREATED")
    (admin,) = [
        it for it in accounts.stack.items(accounts.stack.tables.directory) if it.get("username") == "admin"
        and it["pk"].startswith("USER#")
    ]  # fmt: skip
    assert event["account"] == made.json["account"]
    assert event["actor"].items() >= {"kind": "USER", "username": "admin"}.items()
    subject = {"kind": "SERVICE_USER", "username": username, "displayName": "Bot"}
    assert event["subject"].items() >= subject.items()
    assert [(it["change"], it["keyType"], it["last5"]) for it in event["keys"]] == [
        ("GENERATED", key_type, secret[-5:]) for key_type, secret in keys_of(made).items()
    ]
    assert event["audience"] == "ADMINISTRATORS"
    assert event["administrators"] == {"admin": admin["membership"]}
    assert event["sourceIp"] == "198.51.100.7"
    assert event["requestId"].startswith("request-")
    assert event["waiting"] in list("01234567")
    assert event["dueAt"] == event["at"] == int(accounts.stack.clock())


# List


def test_a_list_comes_in_pages_that_join_without_a_gap(accounts: Accounts) -> None:
    owner = accounts["owner"]
    for number in (3, 1, 5, 2, 4):
        accounts.stack.service_user(owner, f"Bot-{number}", keyTypes=["MONITORING"])
    accounts.stack.service_user(accounts["neighbour"], "bot-0")
    whole = accounts.stack.call("GET", PATH, owner)
    assert [it["username"] for it in whole.json] == [f"Bot-{number}" for number in (1, 2, 3, 4, 5)]
    assert "Link" not in whole.headers
    for limit in (1, 2, 5, 100):
        page: str | None = f"{PATH}?limit={limit}"
        found = []
        while page:
            response = accounts.stack.call("GET", page, owner)
            assert len(response.json) <= limit
            found += response.json
            page = response.next_path
            assert page is None or f"limit={limit}" in page
        assert found == whole.json


def test_an_account_without_service_users_lists_none(accounts: Accounts) -> None:
    response = accounts.call("GET", PATH, "owner")
    assert (response.status, response.text) == (200, "[]")


def test_a_cursor_shows_nothing_of_the_account_it_came_from(accounts: Accounts) -> None:
    for number in (1, 2, 3):
        accounts.stack.service_user(accounts["owner"], f"bot-{number}")
        accounts.stack.service_user(accounts["neighbour"], f"bot-{number}x")
    page = accounts.call("GET", f"{PATH}?limit=1", "owner").next_path
    assert page
    response = accounts.call("GET", page, "neighbour")
    assert [it["username"] for it in response.json] == ["bot-1x"]


def test_a_list_goes_on_after_its_cursor_was_deleted(accounts: Accounts) -> None:
    for number in (1, 2, 3):
        accounts.stack.service_user(accounts["owner"], f"bot-{number}")
    page = accounts.call("GET", f"{PATH}?limit=2", "owner").next_path
    assert page
    assert accounts.call("DELETE", f"{PATH}/bot-2", "owner").status == 204
    assert [it["username"] for it in accounts.call("GET", page, "owner").json] == ["bot-3"]


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
        "order=oldest",
        "Limit=5",
        "username=bot",
        "=5",
    ],
)
def test_an_unknown_query_is_refused(shared_accounts: Accounts, query: str) -> None:
    assert_problem(shared_accounts.call("GET", f"{PATH}?{query}", "owner"), 400)


def test_a_page_ends_where_its_administrators_would_not_fit_one_read(accounts: Accounts) -> None:
    """20 Administrators each, all different: 100 are looked up in one call, so five a page."""
    stack = accounts.stack
    names = [unused_username() for _ in range(7)]
    for name in names:
        stack.service_user(accounts["owner"], name, keyTypes=[])
        many = {f"person-{name}-{number}": "gone" for number in range(20)}
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": f"USER#{name}"}},
            UpdateExpression="SET administrators = :many",
            ExpressionAttributeValues={":many": {"M": {it: {"S": link} for it, link in many.items()}}},
        )
    with stack.counted() as calls:
        first = stack.call("GET", PATH, accounts["owner"])
    assert [it["username"] for it in first.json] == sorted(names)[:5]
    assert calls["BatchGetItem"] == 1
    assert first.next_path
    second = stack.call("GET", first.next_path, accounts["owner"])
    assert [it["username"] for it in second.json] == sorted(names)[5:]
    assert second.next_path is None
    assert all(it["administrators"] == [] for it in first.json)


# Read


def test_a_service_user_reads_itself_with_any_key(accounts: Accounts) -> None:
    keys = accounts.service_user("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    responses = [
        accounts.stack.call("GET", f"{PATH}/{name}", key)
        for key in keys.values()
        for name in (username, username.upper())
    ]
    assert {response.status for response in responses} == {200}
    assert_service_user(responses[-1].json, username, "CLUSTER_ADMIN")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("case", ["foreign", "user", "missing"])
def test_anything_but_a_service_user_of_the_account_is_not_found(
    shared_accounts: Accounts, method: str, case: str
) -> None:
    """One and the same response, so that nothing of another account shows."""
    names = {"foreign": "theirs-1", "user": "reader", "missing": "nobody-1"}
    body = ({"displayName": "Mine"},) if method == "PUT" else ()
    with assert_nothing_written(shared_accounts.stack):
        problem = assert_problem(shared_accounts.call(method, f"{PATH}/{names[case]}", "owner", *body), 404)
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
def test_the_keys_of_another_accounts_service_user_are_not_found(
    shared_accounts: Accounts, method: str, tail: str, body: dict[str, Any]
) -> None:
    responses = [
        assert_problem(shared_accounts.call(method, f"{PATH}/{name}/api-keys{tail}", "owner", body), 404)
        for name in ("theirs-1", "nobody-1")
    ]
    assert responses[0]["detail"] == responses[1]["detail"].replace("nobody-1", "theirs-1")


@pytest.mark.parametrize(
    "name", ["a" * 65, "a" * 3000, "%C3%A9" * 2000, "ab", "a%00b", "%FF%FE", "a%2Fb", "..", "a%20b", "%25"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_invalid_username_in_a_path_is_not_found(
    shared_accounts: Accounts, method: str, name: str
) -> None:
    body = ({"displayName": "x"},) if method == "PUT" else ()
    assert_problem(shared_accounts.call(method, f"{PATH}/{name}", "owner", *body), 404)


def test_a_username_in_a_path_may_be_escaped(accounts: Accounts) -> None:
    accounts.stack.service_user(accounts["owner"], "metrics-bot")
    assert accounts.call("GET", f"{PATH}/metrics%2Dbot", "owner").json["username"] == "metrics-bot"


# Update


def test_fields_not_given_stay(accounts: Accounts) -> None:
    username = accounts.service_user(displayName="Before")["MONITORING"].username
    path = f"{PATH}/{username}"
    was = accounts.call("GET", path, "owner").json
    for body, now in (
        ({"displayName": "After"}, {"displayName": "After"}),
        ({"role": "CLUSTER_ADMIN"}, {"role": "CLUSTER_ADMIN"}),
        ({"administrators": ["OWNER", "admin"]}, {"administrators": ["admin", "owner"]}),
        ({}, {}),
    ):
        changed = accounts.call("PUT", path, "owner", body)
        was |= now
        was["apiKeys"]["allowedApiKeyTypes"] = changed.json["apiKeys"]["allowedApiKeyTypes"]
        assert changed.json == was
        assert accounts.call("GET", path, "owner").json == was


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
    shared_accounts: Accounts, body: dict[str, Any], pointer: str
) -> None:
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call("PUT", f"{PATH}/itself", "owner", {"displayName": "New", **body})
    assert_problem(response, 400)
    assert response.pointers == [pointer]


def test_every_wrong_administrator_is_named_at_once(shared_accounts: Accounts) -> None:
    asked = ["nobody-1", "owner", "nobody-2", "OWNER"]
    response = shared_accounts.call("PUT", f"{PATH}/itself", "owner", {"administrators": asked})
    assert response.pointers == ["/administrators/0", "/administrators/2", "/administrators/3"]


def test_administrators_can_be_named_at_the_creation(accounts: Accounts) -> None:
    """They administer it from then on, and who made it without naming themselves does not."""
    assert accounts["bystander"]
    body = service_user_body("named", administrators=["Bystander", "OWNER"], keyTypes=["MONITORING"])
    with accounts.stack.counted() as calls:
        made = accounts.call("POST", PATH, "admin", body)
    assert calls == {"GetItem": 1, "BatchGetItem": 1, "TransactWriteItems": 1}
    assert made.status == 201, made.text
    assert made.json["administrators"] == ["bystander", "owner"]
    assert accounts.call("GET", f"{PATH}/named", "owner").json["administrators"] == ["bystander", "owner"]
    rename = {"displayName": "Renamed"}
    assert accounts.call("PUT", f"{PATH}/named", "bystander", rename).status == 200
    assert accounts.call("PUT", f"{PATH}/named", "admin", rename).status == 403
    [event] = accounts.stack.events("SERVICE_USER_CREATED")
    assert event["changes"] == {"administrators": ["admin", "bystander, owner"], "role": ["", "READ_ONLY"]}
    changes = accounts.call("GET", "/v1/events?action=SERVICE_USER_CREATED", "owner").json[0]["changes"]
    [shown] = [it for it in changes if it["field"] == "administrators"]
    assert (shown["oldValue"], shown["newValue"]) == (["admin"], ["bystander", "owner"])


def test_naming_oneself_alone_is_what_happens_without_a_name(accounts: Accounts) -> None:
    body = service_user_body("named", administrators=["ADMIN"])
    with accounts.stack.counted() as calls:
        assert accounts.call("POST", PATH, "admin", body).json["administrators"] == ["admin"]
    assert calls == {"GetItem": 1, "TransactWriteItems": 1}
    [event] = accounts.stack.events("SERVICE_USER_CREATED")
    assert event["changes"] == {"role": ["", "READ_ONLY"]}


@pytest.mark.parametrize("role", ROLES)
def test_the_trail_has_the_role_and_restrictions_that_were_granted(accounts: Accounts, role: str) -> None:
    """Also after the Service User is deleted: an OWNER machine can be told from another."""
    stack, username = accounts.stack, unused_username()
    ends, networks = moment(int(stack.clock()) + 86_400), ["198.51.100.0/24"]
    given = {"allowedNetworks": networks, "expiresAt": ends}
    body = service_user_body(username, role=role, keyTypes=["MONITORING"], **given)
    assert accounts.call("POST", PATH, "owner", body).status == 201
    stack.clock.forward(1)
    generated = {"keyType": "PROVISIONING_READONLY", **given}
    assert accounts.call("POST", f"{PATH}/{username}/api-keys", "owner", generated).status == 201
    stack.clock.forward(1)
    assert accounts.call("DELETE", f"{PATH}/{username}", "owner").status == 204
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    texts = [message.get_body(("plain",)) for _, message in mail.ses.sent]
    made = " ".join(" ".join(str(text.get_content()).split()) for text in texts if text is not None)
    assert f"Role: {Role(role).label} Allowed networks: 198.51.100.0/24 Ends: " in made
    events = accounts.call("GET", f"/v1/events?username={username}&order=oldest", "owner").json
    recorded = [
        {it["field"]: (it["oldValue"], it["newValue"]) for it in event["changes"]} for event in events
    ]
    restrictions: dict[str, Any] = {"allowedNetworks": ([], networks), "expiresAt": (None, ends)}
    assert recorded == [{"role": (None, role), **restrictions}, restrictions, {"role": (role, None)}]


@pytest.mark.parametrize(
    ("asked", "pointers"),
    [
        ([], ["/administrators"]),
        (["owner", "reader", "nobody-1", "invited"], [f"/administrators/{place}" for place in (1, 2, 3)]),
        (["neighbour"], ["/administrators/0"]),
        (["machine"], ["/administrators/0"]),
        (["bystander", "Bystander"], ["/administrators/1"]),
        (["owner", "owner"], ["/administrators/1"]),
        ([f"person-{number}" for number in range(21)], ["/administrators"]),
        ("owner", ["/administrators"]),
        ([None], ["/administrators/0"]),
    ],
)
def test_a_creation_refuses_the_administrators_that_an_update_refuses(
    accounts: Accounts, asked: Any, pointers: list[str]
) -> None:
    for name in ("reader", "neighbour", "bystander"):
        assert accounts.caller(name)
    person = {"username": "invited", "email": "invited@people.example", "role": "OWNER"}
    assert accounts.call("POST", "/v1/users", "owner", person).status == 201
    accounts.call("POST", PATH, "owner", service_user_body("machine", "OWNER"))
    with assert_nothing_written(accounts.stack):
        made = accounts.call("POST", PATH, "owner", service_user_body("named", administrators=asked))
        changed = accounts.call("PUT", f"{PATH}/machine", "owner", {"administrators": asked})
    assert_problem(made, 400)
    assert made.pointers == changed.pointers == pointers
    assert made.json["errors"] == changed.json["errors"]


def test_an_administrator_who_is_lowered_meanwhile_administers_nothing(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link names the membership that was read, which the lowering ended."""
    assert accounts["bystander"]

    def lower() -> None:
        lowered = accounts.call("PUT", "/v1/users/bystander", "owner", {"role": "READ_ONLY"})
        assert lowered.status == 200

    body = service_user_body("named", administrators=["bystander"])
    before_commit(accounts.stack, monkeypatch, lower)
    assert accounts.call("POST", PATH, "admin", body).status == 201
    assert accounts.call("GET", f"{PATH}/named", "owner").json["administrators"] == []
    accounts.call("PUT", "/v1/users/bystander", "owner", {"role": "CLUSTER_ADMIN"})
    assert accounts.call("GET", f"{PATH}/named", "owner").json["administrators"] == []


def test_a_service_user_has_up_to_twenty_administrators(accounts: Accounts) -> None:
    username = accounts.service_user()["MONITORING"].username
    administrators = [
        "owner",
        *(
            accounts.stack.user(accounts["owner"], unused_username("p"), "CLUSTER_ADMIN").username
            for _ in range(19)
        ),
    ]
    response = accounts.call("PUT", f"{PATH}/{username}", "owner", {"administrators": administrators})
    assert response.status == 200
    assert response.json["administrators"] == sorted(administrators)


@pytest.mark.parametrize(("was", "asked"), [(was, asked) for was in ROLES for asked in ROLES])
@pytest.mark.parametrize("caller", ["owner", "admin"])
def test_a_change_of_role_grants_no_more_than_the_callers_own(
    accounts: Accounts, caller: str, was: str, asked: str
) -> None:
    keys = accounts.service_user(was)
    username = keys["MONITORING"].username
    before = accounts.call("GET", f"{PATH}/{username}", "owner")

    response = accounts.call("PUT", f"{PATH}/{username}", caller, {"role": asked})

    if caller == "admin" and was != asked and "OWNER" in (was, asked):
        assert_problem(response, 403)
        assert accounts.call("GET", f"{PATH}/{username}", "owner").json == before.json
        return
    assert response.status == 200
    left = [kind for kind in TYPES[was] if kind in TYPES[asked]]
    assert_service_user(response.json, username, asked, MASKED, left)
    for key_type, key in keys.items():
        assert accounts.stack.signs_in(key) is (key_type in left)


def test_lowering_a_role_revokes_keys_in_the_same_write_and_notifies(accounts: Accounts) -> None:
    keys = accounts.service_user("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    accounts.call("PUT", f"{PATH}/{username}", "owner", {"role": "READ_ONLY"})
    (event,) = accounts.stack.events("SERVICE_USER_UPDATED")
    assert [(it["change"], it["keyType"], it["last5"]) for it in event["keys"]] == [
        ("REVOKED", kind, keys[kind].secret[-5:]) for kind in ("PROVISIONING", "USER_MANAGEMENT")
    ]
    assert event["changes"] == {"role": ["CLUSTER_ADMIN", "READ_ONLY"]}
    assert event["administrators"].keys() == {"admin"}
    assert "waiting" in event
    raised = accounts.call("PUT", f"{PATH}/{username}", "owner", {"role": "CLUSTER_ADMIN"})
    assert keys_of(raised).keys() == set(READ_ONLY_TYPES)
    assert not accounts.stack.signs_in(keys["PROVISIONING"])


def test_the_event_of_changed_administrators_has_both_lists(accounts: Accounts) -> None:
    username = accounts.service_user(displayName="Before")["MONITORING"].username
    accounts["owner"]
    body = {"displayName": "After", "administrators": ["owner"]}
    accounts.call("PUT", f"{PATH}/{username}", "admin", body)
    (event,) = accounts.stack.events("SERVICE_USER_UPDATED")
    assert event["changes"] == {"administrators": ["admin", "owner"], "displayName": ["Before", "After"]}
    assert "keys" not in event
    assert event["administrators"].keys() == {"admin", "owner"}
    assert "waiting" in event


def test_a_new_display_name_has_an_event_and_notifies_nobody(accounts: Accounts) -> None:
    username = accounts.service_user(displayName="Before")["MONITORING"].username
    accounts.call("PUT", f"{PATH}/{username}", "admin", {"displayName": "After"})
    (event,) = accounts.stack.events("SERVICE_USER_UPDATED")
    assert "waiting" not in event


def test_what_was_read_can_be_sent_back_and_changes_nothing(accounts: Accounts) -> None:
    """Also if a key was used in between, and an Administrator is entitled no longer."""
    username = unused_username()
    made = accounts.call("POST", PATH, "owner", service_user_body(username, "CLUSTER_ADMIN"))
    path = f"{PATH}/{username}"
    names = ["admin", "owner"]
    assert accounts.call("PUT", path, "owner", {"administrators": names}).status == 200
    read = accounts.call("GET", path, "owner").json
    accounts.stack.clock.forward(2 * 3600)
    key = Key(username, keys_of(made)["MONITORING"])
    assert accounts.stack.call("GET", "/v1/whoami", key).status == 200
    before = len(accounts.stack.events("SERVICE_USER_UPDATED"))
    again = accounts.call("PUT", path, "owner", read)
    assert again.status == 200, again.text
    assert len(accounts.stack.events("SERVICE_USER_UPDATED")) == before
    assert accounts.call("DELETE", "/v1/users/admin", "owner").status == 204
    read = accounts.call("GET", path, "owner").json
    assert read["administrators"] == ["owner"]
    assert accounts.call("PUT", path, "owner", read).status == 200
    assert len(accounts.stack.events("SERVICE_USER_UPDATED")) == before
    changed = accounts.call("PUT", path, "owner", {**read, "displayName": "Another"})
    assert changed.status == 200
    assert changed.json == {**accounts.call("GET", path, "owner").json}
    assert changed.json["displayName"] == "Another"


def test_what_was_read_can_be_sent_back_where_no_administrator_is_left(accounts: Accounts) -> None:
    username = accounts.service_user()["MONITORING"].username
    assert accounts.call("DELETE", "/v1/users/admin", "owner").status == 204
    path = f"{PATH}/{username}"
    read = accounts.call("GET", path, "owner").json
    assert read["administrators"] == []
    with assert_nothing_written(accounts.stack):
        assert accounts.call("PUT", path, "owner", read).status == 200
    assert accounts.call("PUT", path, "owner", {"administrators": ["owner"]}).status == 200
    refused = accounts.call("PUT", path, "owner", read)
    assert (refused.status, refused.pointers) == (400, ["/administrators"])


def test_what_was_read_can_be_sent_back_after_an_overlap_has_ended(accounts: Accounts) -> None:
    key = accounts.service_user(keyTypes=["MONITORING"])["MONITORING"]
    path = f"{PATH}/{key.username}"
    rotated = accounts.stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 60})
    read = accounts.call("GET", path, "owner").json
    assert read["apiKeys"]["apiKeys"][0]["predecessor"]["validUntil"]
    for seconds in (59, 1):
        accounts.stack.clock.forward(seconds)
        with assert_nothing_written(accounts.stack):
            assert accounts.call("PUT", path, "owner", read).status == 200
    again = Key(key.username, rotated.json["key"])
    assert accounts.stack.call("POST", "/v1/api-keys/rotate", again, {"overlapSeconds": 60}).status == 200
    refused = accounts.call("PUT", path, "owner", read)
    assert (refused.status, refused.pointers) == (400, ["/apiKeys"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account", "another"),
        ("username", "another"),
        ("email", "another@machines.example"),
        ("email", None),
        ("createdAt", "2020-01-01T00:00:00Z"),
        ("apiKeys", {"apiKeys": []}),
        ("apiKeys", 7),
        ("keysBelowRole", ["MONITORING"]),
    ],
)
def test_read_only_fields_are_refused_by_name_where_they_changed(
    accounts: Accounts, field: str, value: Any
) -> None:
    username = unused_username()
    accounts.call("POST", PATH, "owner", service_user_body(username, "READ_ONLY"))
    path = f"{PATH}/{username}"
    read = accounts.call("GET", path, "owner").json
    body = {**read, "displayName": "Changed", field: value}
    with assert_nothing_written(accounts.stack):
        refused = accounts.call("PUT", path, "owner", body)
    assert_problem(refused, 400)
    assert refused.pointers == [f"/{field}"]
    assert "cannot be changed" in refused.json["errors"][0]["detail"]


def test_an_update_that_changes_nothing_writes_nothing(accounts: Accounts) -> None:
    username = accounts.service_user(displayName="Bot")["MONITORING"].username
    was = accounts.call("GET", f"{PATH}/{username}", "owner")
    before = accounts.stack.snapshot()
    body = {"displayName": "Bot", "role": "READ_ONLY", "administrators": ["ADMIN"]}
    response = accounts.call("PUT", f"{PATH}/{username}", "admin", body)
    assert (response.status, response.json, response.headers["ETag"]) == (200, was.json, was.headers["ETag"])
    assert accounts.stack.snapshot() == before


def test_a_cluster_admin_administers_from_when_they_are_listed_until_they_are_not(
    accounts: Accounts,
) -> None:
    username = accounts.service_user()["MONITORING"].username
    path = f"{PATH}/{username}"
    rename = {"displayName": "x"}
    assert accounts.call("PUT", path, "bystander", rename).status == 403
    both = {"administrators": ["admin", "bystander"]}
    assert accounts.call("PUT", path, "admin", both).status == 200
    assert accounts.call("PUT", path, "bystander", rename).status == 200
    alone = {"administrators": ["Bystander"]}
    assert accounts.call("PUT", path, "bystander", alone).json["administrators"] == ["bystander"]
    assert accounts.call("PUT", path, "admin", rename).status == 403
    assert accounts.call("POST", f"{path}/api-keys/rotate", "admin", {"keyType": "MONITORING"}).status == 403


def test_a_revoked_administrator_comes_back_without_their_service_users(accounts: Accounts) -> None:
    username = accounts.service_user()["MONITORING"].username
    path = f"{PATH}/{username}"
    assert accounts.call("DELETE", "/v1/users/admin", "owner").status == 204
    assert accounts.call("GET", path, "owner").json["administrators"] == []
    again = accounts.stack.user(accounts["owner"], "admin", "CLUSTER_ADMIN")
    assert accounts.stack.call("GET", path, again).json["administrators"] == []
    assert accounts.stack.call("PUT", path, again, {"displayName": "x"}).status == 403
    # An update of something else leaves the dead link out of what is answered, too.
    assert accounts.call("PUT", path, "owner", {"displayName": "x"}).json["administrators"] == []


def test_an_administrator_with_a_new_invitation_can_be_listed_again(accounts: Accounts) -> None:
    """What a caller reads as Administrators, they can send again; for another one it takes an activation."""
    username = accounts.service_user()["MONITORING"].username
    other = accounts.stack.service_user(accounts["owner"], unused_username(), "READ_ONLY")[
        "MONITORING"
    ].username
    accounts.call("POST", "/v1/users/admin/invitation", "owner")
    listed = accounts.call("GET", f"{PATH}/{username}", "owner").json["administrators"]
    assert listed == ["admin"]
    more = {"administrators": [*listed, "owner"]}
    response = accounts.call("PUT", f"{PATH}/{username}", "owner", more)
    assert (response.status, response.json["administrators"]) == (200, ["admin", "owner"])
    assert_problem(accounts.call("PUT", f"{PATH}/{other}", "owner", more), 400)


def test_an_administrator_lowered_to_read_only_and_raised_again_administers_nothing(
    accounts: Accounts,
) -> None:
    username = accounts.service_user()["MONITORING"].username
    for role in ("READ_ONLY", "CLUSTER_ADMIN"):
        assert accounts.call("PUT", "/v1/users/admin", "owner", {"role": role}).status == 200
    accounts.call("POST", "/v1/users/admin/invitation", "owner")
    again = accounts.stack.activate("admin")
    assert accounts.stack.call("PUT", f"{PATH}/{username}", again, {"displayName": "x"}).status == 403


def test_a_lowered_owner_keeps_no_hold_on_a_higher_service_user(accounts: Accounts) -> None:
    """An OWNER who made an OWNER Service User and is a CLUSTER_ADMIN now gets no new key of that role."""
    second = accounts.stack.user(accounts["owner"], "second", "OWNER")
    machine = accounts.stack.service_user(second, unused_username(), "OWNER")["MONITORING"].username
    assert accounts.call("PUT", "/v1/users/second", "owner", {"role": "CLUSTER_ADMIN"}).status == 200
    keys = f"{PATH}/{machine}/api-keys"
    assert accounts.stack.call("POST", f"{keys}/rotate", second, {"keyType": "MONITORING"}).status == 403
    assert accounts.stack.call("DELETE", keys, second, {"keyType": "MONITORING"}).status == 204
    assert accounts.stack.call("POST", keys, second, {"keyType": "MONITORING"}).status == 403
    as_read = accounts.stack.call("PUT", f"{PATH}/{machine}", second, {"role": "OWNER"})
    assert as_read.status == 200  # which changes nothing
    assert accounts.stack.call("PUT", f"{PATH}/{machine}", second, {"role": "READ_ONLY"}).status == 403
    assert accounts.stack.call("PUT", f"{PATH}/{machine}", second, {"role": "OWNER"}).json == as_read.json


# If-Match


def test_the_etag_is_new_at_every_change_and_at_no_use(accounts: Accounts) -> None:
    keys = accounts.service_user("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    path = f"{PATH}/{username}"
    owner = accounts["owner"]

    def tag() -> str:
        return accounts.stack.call("GET", path, owner).headers["ETag"]

    seen = [tag()]
    accounts.stack.signs_in(keys["MONITORING"])
    accounts.stack.call("GET", path, keys["PROVISIONING"])
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
        response = accounts.stack.call(method, path + tail, owner, body)
        assert response.status < 300, response.text
        seen.append(tag())
        assert response.headers.get("ETag", seen[-1]) == seen[-1]
    assert accounts.stack.call("POST", "/v1/api-keys/rotate", keys["USER_MANAGEMENT"]).status == 200
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
    accounts: Accounts, method: str, header: str, done: bool
) -> None:
    username = accounts.service_user()["MONITORING"].username
    path = f"{PATH}/{username}"
    tag = accounts.call("GET", path, "owner").headers["ETag"]
    before = accounts.stack.snapshot()
    body = ({"displayName": "x"},) if method == "PUT" else ()
    response = accounts.call(method, path, "owner", *body, headers={"If-Match": header.format(tag=tag)})
    if done:
        assert response.status == (200 if method == "PUT" else 204)
    else:
        assert_problem(response, 412)
        assert accounts.stack.snapshot() == before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("header", ["", "abc", "{bare}", '"abc', "'abc'", '* "abc"', '"a" b', 'w/"a"', '"ä"'])
def test_a_malformed_if_match_is_refused(shared_accounts: Accounts, method: str, header: str) -> None:
    tag = shared_accounts.call("GET", f"{PATH}/itself", "owner").headers["ETag"]
    headers = {"If-Match": header.replace("{bare}", tag.strip('"'))}
    body = ({"displayName": "x"},) if method == "PUT" else ()
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call(method, f"{PATH}/itself", "owner", *body, headers=headers)
    assert "ETag" in assert_problem(response, 400)["detail"]


def test_of_two_who_read_the_same_one_writes(accounts: Accounts) -> None:
    username = accounts.service_user()["MONITORING"].username
    path = f"{PATH}/{username}"
    tag = {"If-Match": accounts.call("GET", path, "owner").headers["ETag"]}
    assert accounts.call("PUT", path, "owner", {"displayName": "one"}, headers=tag).status == 200
    assert_problem(accounts.call("PUT", path, "admin", {"displayName": "two"}, headers=tag), 412)
    assert accounts.call("GET", path, "owner").json["displayName"] == "one"


@pytest.mark.parametrize(
    ("caller", "status"), [("bystander", 403), ("neighbour", 404), ("nobody", 401), ("owner", 412)]
)
def test_if_match_discloses_nothing_to_callers_who_may_not_change_it(
    accounts: Accounts, caller: str, status: int
) -> None:
    username = accounts.service_user()["MONITORING"].username
    response = accounts.call(
        "PUT",
        f"{PATH}/{username}",
        caller,
        {"displayName": "x"},
        headers={"If-Match": '"stale"'},
    )
    assert_problem(response, status)


# Delete


def test_deleting_a_service_user_ends_every_key(accounts: Accounts) -> None:
    keys = accounts.service_user("CLUSTER_ADMIN")
    username = keys["MONITORING"].username
    response = accounts.call("DELETE", f"{PATH}/{username.upper()}", "admin")
    assert (response.status, response.text) == (204, "")
    assert [accounts.stack.signs_in(key) for key in keys.values()] == [False] * 4
    assert accounts.call("GET", PATH, "owner").json == []
    assert_problem(accounts.call("DELETE", f"{PATH}/{username}", "owner"), 404)
    (event,) = accounts.stack.events("SERVICE_USER_DELETED")
    assert [(it["change"], it["keyType"]) for it in event["keys"]] == [
        ("REVOKED", kind) for kind in ALL_TYPES
    ]
    assert event["administrators"].keys() == {"admin"}
    assert "waiting" in event


@pytest.mark.parametrize("path", [f"{PATH}/itself", "/v1/users/bystander"])
def test_who_means_a_key_does_not_delete_its_holder(shared_accounts: Accounts, path: str) -> None:
    """As a DELETE of …/api-keys with the path cut short would."""
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call("DELETE", path, "owner", {"keyType": "MONITORING"})
    assert_problem(response, 400)
    assert response.json["errors"] == [
        {"pointer": "/keyType", "detail": "Unknown field 'keyType'. This call takes no fields."}
    ]


def test_an_empty_body_deletes_as_none_does(accounts: Accounts) -> None:
    username = accounts.service_user()["MONITORING"].username
    assert accounts.call("DELETE", f"{PATH}/{username}", "owner", {}).status == 204


def test_one_without_keys_is_deleted_with_an_email_too(accounts: Accounts) -> None:
    accounts.stack.service_user(accounts["owner"], "bare", keyTypes=[])
    assert accounts.call("DELETE", f"{PATH}/bare", "owner").status == 204
    (event,) = accounts.stack.events("SERVICE_USER_DELETED")
    assert "waiting" in event


def test_a_deleted_service_users_names_are_free_and_a_successor_inherits_nothing(accounts: Accounts) -> None:
    old = accounts.stack.service_user(accounts["admin"], "phoenix", "CLUSTER_ADMIN")
    assert accounts.call("DELETE", f"{PATH}/phoenix", "admin").status == 204
    new = accounts.stack.service_user(accounts["bystander"], "Phoenix", email="phoenix+2@machines.example")
    assert not accounts.stack.signs_in(old["MONITORING"])
    assert accounts.stack.signs_in(new["MONITORING"])
    read = accounts.call("GET", f"{PATH}/phoenix", "owner").json
    assert_service_user(read, "Phoenix", "READ_ONLY")
    assert read["administrators"] == ["bystander"]
    assert accounts.call("PUT", f"{PATH}/phoenix", "admin", {"displayName": "x"}).status == 403


def test_names_are_kept_as_their_keys_in_the_table(accounts: Accounts) -> None:
    """USER#, ACCOUNT_EMAIL# and KEY# items are written and deleted together."""

    def keys_in_table() -> set[str]:
        """Return the keys of all items but the budgets, which are counted by the minute."""
        found = (it["pk"] for it in accounts.stack.items(accounts.stack.tables.directory))
        return {pk for pk in found if not pk.startswith("BUDGET#")}

    before = keys_in_table()
    accounts.stack.service_user(accounts["owner"], "Phoenix", email="A.b+c@gmail.com")
    items = {it["pk"]: it for it in accounts.stack.items(accounts.stack.tables.directory)}
    address = f"ACCOUNT_EMAIL#{items['USER#phoenix']['account']}#{fold_email('A.b+c@gmail.com')}"
    assert items[address] == {"pk": address, "username": "phoenix"}
    assert items["USER#phoenix"]["listKey"] == "SERVICE_USER#phoenix"
    assert sum(pk.startswith("KEY#") for pk in items.keys() - before) == 2
    accounts.call("DELETE", f"{PATH}/PHOENIX", "owner")
    left = keys_in_table()
    assert left == before


def test_a_list_by_prefix_has_those_alone_page_by_page(stack: Stack) -> None:
    owner = stack.account()
    for name in ("a-one", "b-one", "B-two", "b-three", "c-one"):
        stack.service_user(owner, name, keyTypes=[])
    names: list[str] = []
    cursor = ""
    while True:
        page = stack.call("GET", f"{PATH}?prefix=B-&limit=2{cursor}", owner)
        names += [it["username"] for it in page.json]
        if "Next-Cursor" not in page.headers:
            break
        assert f"cursor={page.headers['Next-Cursor']}>" in page.headers["Link"]
        cursor = f"&cursor={page.headers['Next-Cursor']}"
    assert names == ["b-one", "b-three", "B-two"]
    assert "Link" not in page.headers


def test_a_wrong_prefix_and_a_cursor_of_another_prefix_are_refused(stack: Stack) -> None:
    owner = stack.account()
    for name in ("a-one", "a-two"):
        stack.service_user(owner, name, keyTypes=[])
    cursor = stack.call("GET", f"{PATH}?limit=1", owner).headers["Next-Cursor"]
    assert stack.call("GET", f"{PATH}?prefix=a&cursor={cursor}", owner).status == 200
    for query in (f"prefix=b&cursor={cursor}", "prefix=", "prefix=%23", "prefix=" + "a" * 65):
        assert stack.call("GET", f"{PATH}?{query}", owner).status == 400, query


def test_a_service_users_keys_have_an_address(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    read = stack.call("GET", f"{PATH}/bot", owner)
    keys = stack.call("GET", f"{PATH}/BOT/api-keys", owner)
    assert (keys.status, keys.json) == (200, read.json["apiKeys"])
    assert keys.headers["ETag"] == read.headers["ETag"]


def test_the_409_of_a_name_says_how_to_get_on_after_a_lost_response(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot", keyTypes=[])
    body = {"username": "Bot", "email": "other@machines.example", "role": "READ_ONLY"}
    refused = stack.call("POST", PATH, owner, body)
    assert (refused.status, "GET /v1/service-users/Bot, then rotate" in refused.json["detail"]) == (409, True)
    refused = stack.call("POST", "/v1/users", owner, body)
    assert (refused.status, "GET /v1/users/Bot; the email" in refused.json["detail"]) == (409, True)
