"""``GET /v1/events``: which events it finds, in which order and form, and what each page costs."""

import csv
import io
import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.store import trail
from tests.support.accounts import Accounts
from tests.support.api_client import Key, Stack
from tests.support.catalogue import IS_DEFAULT

EVENTS = "/v1/events"
BOTS = "/v1/service-users"


def at(second: float) -> str:
    """Return a time as a query has it."""
    return quote(datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def read(stack: Stack, key: Key, query: str = "", **headers: str) -> list[dict[str, Any]]:
    """Return the events of every page of a query, following its links."""
    found: list[dict[str, Any]] = []
    path: str | None = f"{EVENTS}?{query}"
    while path is not None:
        page = stack.call("GET", path, key, headers=headers)
        assert page.status == 200, page.text
        found += page.json
        path = page.next_path
    return found


def rename(stack: Stack, key: Key, username: str, name: str) -> None:
    stack.clock.forward(1)
    assert stack.call("PUT", f"{BOTS}/{username}", key, {"displayName": name}).status == 200


@pytest.fixture
def history(accounts: Accounts) -> Accounts:
    """Two Service Users of the "admin", each renamed by the "owner" and by the "admin"."""
    stack = accounts.stack
    for username in ("one", "two"):
        stack.service_user(accounts["admin"], username)
        for by in ("owner", "admin"):
            rename(stack, accounts[by], username, f"{username} of {by}")
    return accounts


def test_an_actor_finds_what_they_did_and_nothing_that_was_done_to_them(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]

    found = read(stack, owner, "actor=ADMIN")

    everything = read(stack, owner)
    assert found == [it for it in everything if it["actor"]["username"] == "admin"]
    assert len(found) == 5  # their activation, two created, two renamed
    assert {it["actor"]["displayName"] for it in found} == {"admin"}
    assert read(stack, owner, "actor=admin&limit=2") == found
    assert read(stack, owner, "actor=nobody-here") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("action=SERVICE_USER_UPDATED", 4),
        ("action=SERVICE_USER_UPDATED&limit=1", 4),
        ("action=SERVICE_USER_UPDATED&username=one", 2),
        ("action=SERVICE_USER_UPDATED&actor=owner", 2),
        ("action=SERVICE_USER_UPDATED&actor=owner&username=two", 1),
        ("actor=owner&username=two", 1),
        ("action=API_KEY_ROTATED", 0),
        ("action=NOT_YET_INVENTED", 0),
    ],
)
def test_conditions_are_combined(history: Accounts, query: str, expected: int) -> None:
    found = read(history.stack, history["owner"], query)

    assert len(found) == expected
    asked = dict(part.split("=") for part in query.split("&"))
    for event in found:
        assert event["action"] == asked.get("action", event["action"])
        assert event["actor"]["username"] == asked.get("actor", event["actor"]["username"])
        assert event["subject"]["username"] == asked.get("username", event["subject"]["username"])


def test_the_first_second_is_included_and_the_last_is_not(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]
    everything = read(stack, owner)
    seconds = sorted({event["at"] for event in everything})

    for query in ("", "username=one&", "actor=owner&", "action=SERVICE_USER_UPDATED&"):
        whole = read(stack, owner, query)
        since = read(stack, owner, f"{query}since={seconds[-2]}&limit=1")
        assert since == [it for it in whole if it["at"] >= seconds[-2]]
        until = read(stack, owner, f"{query}until={seconds[-2]}&limit=1")
        assert until == [it for it in whole if it["at"] < seconds[-2]]
    assert read(stack, owner, f"since={seconds[-1]}&until={at(stack.clock() + 1)}") == [everything[0]]
    assert read(stack, owner, f"since={at(stack.clock() + 1)}") == []


def test_a_collector_reads_oldest_first_and_resumes_where_it_was(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]
    everything = read(stack, owner)

    assert read(stack, owner, "order=oldest&limit=2") == everything[::-1]
    assert read(stack, owner, "order=newest") == everything
    last = stack.call("GET", f"{EVENTS}?order=oldest&limit={len(everything) - 1}", owner).next_path
    assert last is not None
    rename(stack, owner, "one", "later")
    resumed = stack.call("GET", last, owner).json
    assert [it["id"] for it in resumed[:1]] == [everything[0]["id"]]
    assert resumed[1]["changes"][0]["new"] == "later"


def test_a_cursor_of_another_time_is_refused(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]
    next_path = stack.call("GET", f"{EVENTS}?limit=1", owner).next_path
    assert next_path is not None
    cursor = next_path.partition("cursor=")[2]

    for bound in (f"until={at(1_000)}", f"since={at(stack.clock() + 1)}"):
        response = stack.call("GET", f"{EVENTS}?{bound}&cursor={cursor}", owner)
        assert response.status == 400
        assert "Start without it" in response.json["detail"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("actor=x", "'actor' must be 3 to 64"),
        ("action=rotated", "'action' must be the name of an action"),
        ("action=", "'action' must be the name of an action"),
        ("order=random", "'order' must be 'newest' or 'oldest'"),
        ("since=yesterday", "'since': This must be a time as in RFC 3339"),
        ("until=2030-01-01", "'until': This must be a time as in RFC 3339"),
        ("since=2030-01-01T00:00:00Z&until=2030-01-01T00:00:00Z", "'until' must be later"),
        ("acton=API_KEY_ROTATED", "Unknown query parameter 'acton'"),
    ],
)
def test_an_invalid_query_is_refused_with_what_is_valid(accounts: Accounts, query: str, detail: str) -> None:
    response = accounts.stack.call("GET", f"{EVENTS}?{query}", accounts["owner"])

    assert response.status == 400
    assert detail in response.json["detail"]


def test_nobody_finds_another_accounts_events_by_any_condition(history: Accounts) -> None:
    stack, neighbour = history.stack, history["neighbour"]
    stolen = stack.call("GET", f"{EVENTS}?actor=admin&limit=1", history["owner"]).next_path
    assert stolen is not None

    for query in (
        "actor=admin",
        "actor=owner",
        "username=one",
        "action=SERVICE_USER_UPDATED",
        "order=oldest",
    ):
        for event in read(stack, neighbour, query):
            assert event["subject"]["username"] == "neighbour" or event["subject"]["kind"] == "ACCOUNT"
    assert stack.call("GET", stolen, neighbour).json == []


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("", ["GetItem", "Query", "Query"]),
        ("username=one", ["GetItem", "Query"]),
        ("actor=admin", ["GetItem", "Query", "BatchGetItem"]),
        ("actor=nobody-here", ["GetItem", "Query"]),
        ("actor=admin&username=one", ["GetItem", "Query"]),
        ("action=SERVICE_USER_UPDATED", ["GetItem", "Query", "Query"]),
        ("since=2020-01-01T00:00:00Z&order=oldest", ["GetItem", "Query", "Query"]),
    ],
)
def test_each_query_makes_the_expected_dynamodb_calls(
    history: Accounts, query: str, calls: list[str]
) -> None:
    with history.stack.counted() as counted:
        history.stack.call("GET", f"{EVENTS}?{query}", history["owner"])

    assert counted == Counter(calls)


def test_a_condition_without_an_index_reads_a_bounded_number_of_events_for_a_page(
    history: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "EXAMINED", 3)
    stack, owner = history.stack, history["owner"]

    page = stack.call("GET", f"{EVENTS}?action=USER_INVITED&limit=2", owner)

    assert page.json == []
    assert page.next_path is not None
    assert [it["action"] for it in read(stack, owner, "action=USER_INVITED&limit=2")] == ["USER_INVITED"]


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_page_of_events_and_refusals_together_has_no_more_than_its_limit(
    accounts: Accounts, order: str
) -> None:
    """Each part fits the page and together they do not; the next page goes on where it stopped."""
    stack, owner = accounts.stack, accounts["owner"]
    start = at(stack.clock() + 1)
    stack.clock.forward(1)
    bot = stack.service_user(owner, "bot", keyTypes=["MONITORING"], allowedNetworks=["203.0.113.0/24"])
    for number in range(2):
        stack.clock.forward(3600)
        assert stack.sign_in(bot["MONITORING"]) == 403
        rename(stack, owner, "bot", f"Bot {number}")
    query = f"since={start}&order={order}"
    everything = read(stack, owner, query)
    kinds = ["SERVICE_USER_CREATED", *["API_KEY_REFUSED", "SERVICE_USER_UPDATED"] * 2]
    assert [it["action"] for it in everything] == (kinds if order == "oldest" else kinds[::-1])

    page = stack.call("GET", f"{EVENTS}?{query}&limit=3", owner)

    assert page.json == everything[:3]
    assert page.next_path is not None
    assert stack.call("GET", page.next_path, owner).json == everything[3:]


def test_an_item_among_the_refusals_that_is_not_a_refusal_is_not_shown(accounts: Accounts) -> None:
    """The authorizer may write there, so nothing there passes for another event."""
    stack, owner = accounts.stack, accounts["owner"]
    bot = stack.service_user(owner, "bot", keyTypes=["MONITORING"], allowedNetworks=["203.0.113.0/24"])
    assert stack.sign_in(bot["MONITORING"]) == 403
    everything, of_bot = read(stack, owner), read(stack, owner, "username=bot")
    response = stack.client.scan(TableName=stack.tables.events)
    [refusal] = [it for it in response["Items"] if it["action"]["S"] == "API_KEY_REFUSED"]
    others = [digit for digit in "abc" if not refusal["id"]["S"].endswith(digit)]
    for digit, action in zip(others, ("API_KEY_ROTATED", "API_KEY_TELEPORTED"), strict=False):
        forged = {**refusal, "id": {"S": f"{refusal['id']['S'][:-1]}{digit}"}, "action": {"S": action}}
        assert forged["id"] != refusal["id"]
        stack.client.put_item(TableName=stack.tables.events, Item=forged)

    assert read(stack, owner) == everything
    assert read(stack, owner, "username=bot") == of_bot
    assert "API_KEY_REFUSED" in [it["action"] for it in of_bot]


@pytest.mark.parametrize("action", ["API_KEY_REFUSED", "USER_INVITED"])
def test_an_item_among_the_refusals_hides_no_event_of_the_same_id(accounts: Accounts, action: str) -> None:
    """The functions that write refusals could otherwise make any event disappear whose id they know."""
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=[])
    [made] = read(stack, owner, "username=bot")
    account = stack.call("GET", "/v1/account", owner).json["account"]
    key = {"account": {"S": account}, "id": {"S": made["id"]}}
    item = stack.client.get_item(TableName=stack.tables.events, Key=key)["Item"]
    forged = {**item, "account": {"S": f"REFUSED#{account}"}, "action": {"S": action}}
    stack.client.put_item(TableName=stack.tables.events, Item=forged)
    for query in ("", "username=bot", "actor=owner", "action=SERVICE_USER_CREATED"):
        assert [it for it in read(stack, owner, query) if it["id"] == made["id"]] == [made], query


def test_an_event_that_expired_between_index_and_table_is_left_out(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]
    found = read(stack, owner, "actor=admin")

    def expire(**_: object) -> None:
        stack.client.meta.events.unregister("before-call.dynamodb.BatchGetItem", expire)
        account = stack.call("GET", "/v1/account", owner).json["account"]
        key = {"account": {"S": account}, "id": {"S": found[1]["id"]}}
        stack.client.delete_item(TableName=stack.tables.events, Key=key)

    stack.client.meta.events.register("before-call.dynamodb.BatchGetItem", expire)

    assert read(stack, owner, "actor=admin") == [found[0], *found[2:]]


def test_ids_tell_a_deleted_service_user_from_a_later_one_of_its_name(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    for _ in range(2):
        stack.clock.forward(1)
        stack.service_user(owner, "host-1", keyTypes=[])
        stack.clock.forward(1)
        assert stack.call("DELETE", f"{BOTS}/host-1", owner).status == 204

    ids = [event["subject"]["id"] for event in read(stack, owner, "username=host-1&order=oldest")]

    first, second = ids[0], ids[-1]
    assert ids == [first, first, second, second]
    assert first != second
    (actor,) = {event["actor"]["id"] for event in read(stack, owner, "username=host-1")}
    assert actor not in (None, first, second)


def test_changes_have_their_values_as_the_fields_have_them(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    networks = ["10.0.0.0/8", "192.0.2.0/24"]
    body = {"keyType": "MONITORING", "expiresAt": "2099-01-01T00:00:00Z", "allowedNetworks": networks}
    assert stack.call("PATCH", f"{BOTS}/bot/api-keys", owner, body).status == 200
    assert stack.call("PUT", f"{BOTS}/bot", owner, {"administrators": ["admin", "owner"]}).status == 200
    assert stack.call("PUT", "/v1/account", owner, {"name": "Acme", "maxKeyAgeDays": 30}).status == 200
    assert stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": True}).status == 200
    assert stack.call("PUT", "/v1/account", owner, {"revokeLeakedKeys": False}).status == 200

    changes = {it["field"]: it for event in read(stack, owner) for it in event["changes"]}

    values = {name: (it["oldValue"], it["newValue"]) for name, it in changes.items()}
    assert values["allowedNetworks"] == ([], networks)
    assert values["expiresAt"] == (None, "2099-01-01T00:00:00Z")
    assert changes["expiresAt"]["new"] == "2099-01-01T00:00:00Z"
    assert changes["expiresAt"]["old"] == ""
    assert values["administrators"] == (["owner"], ["admin", "owner"])
    assert values["maxKeyAgeDays"] == (None, 30)
    assert values["machinesManageOwners"] == (False, True)
    assert values["revokeLeakedKeys"] == (True, False)
    assert values["name"][1] == "Acme"


def test_an_event_of_a_kind_that_this_version_does_not_know_is_shown_as_it_is(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    account = stack.call("GET", "/v1/account", owner).json["account"]
    later = {
        "account": {"S": account},
        "id": {"S": "0fffffffffff" + "0" * 16},
        "at": {"N": "1900000000"},
        "action": {"S": "API_KEY_TELEPORTED"},
        "actor": {"M": {"kind": {"S": "PORTAL"}, "username": {"S": "owner"}}},
        "subject": {
            "M": {"kind": {"S": "SERVICE_USER"}, "username": {"S": "bot"}, "displayName": {"S": "B"}}
        },
        "keys": {
            "L": [
                {"M": {"change": {"S": "ROTATED"}, "keyType": {"S": "MONITORING"}, "last5": {"S": "abcde"}}},
                {"M": {"change": {"S": "ROTATED"}, "keyType": {"S": "TELEPATHY"}, "last5": {"S": "fghij"}}},
            ]
        },
        "changes": {"M": {"place": {"L": [{"S": "here"}, {"S": "there"}]}}},
        "reason": {"S": "Because"},
        "told": {"M": {"owner": {"N": "1"}}},
        "refused": {"M": {}},
        "ttl": {"N": "1"},
    }
    stack.client.put_item(TableName=stack.tables.events, Item=later)

    page = stack.call("GET", f"{EVENTS}?limit=2", owner)

    event, known = page.json
    assert known["action"] in {"ACCOUNT_CREATED", "USER_INVITED", "USER_ACTIVATED"}
    assert event["action"] == "API_KEY_TELEPORTED"
    assert event["at"] == "2030-03-17T17:46:40Z"
    assert event["actor"] == {"kind": "PORTAL", "username": "owner", "displayName": None, "id": None}
    assert event["subject"]["displayName"] == "B"
    shown = ["•••…abcde"] if IS_DEFAULT else ["•••…abcde", "•••…fghij"]  # as the contract allows it
    assert [key["key"] for key in event["keys"]] == shown
    assert event["changes"] == [
        {"field": "place", "old": "here", "new": "there", "oldValue": "here", "newValue": "there"}
    ]
    assert event["reason"] == "Because"
    assert event["mail"] == {"waiting": False, "told": ["owner"], "undeliverable": [], "feedback": []}


ODD: dict[str, dict[str, Any]] = {
    "no action": {"action": None},
    "a number for the action": {"action": {"N": "7"}},
    "nobody": {"actor": None, "subject": {"NULL": True}},
    "a name for the actor": {"actor": {"S": "owner"}},
    "a number for the kind": {"actor": {"M": {"kind": {"N": "1"}, "username": {"NULL": True}}}},
    "no time": {"at": None},
    "a time as text": {"at": {"S": "2030-01-01T00:00:00Z"}},
    "a time in milliseconds": {"at": {"N": "1900000000000000"}},
    "a time with a fraction": {"at": {"N": "1900000000.5"}},
    "keys by name": {"keys": {"M": {"MONITORING": {"S": "abcde"}}}},
    "changes in a list": {"changes": {"L": [{"S": "place"}]}},
    "a change of one value": {"changes": {"M": {"place": {"S": "here"}, "rank": {"N": "2.5"}}}},
    "a change of three": {"changes": {"M": {"place": {"L": [{"S": "a"}, {"S": "b"}, {"S": "c"}]}}}},
    "a change from none": {"changes": {"M": {"place": {"L": [{"NULL": True}, {"BOOL": True}]}}}},
    "told in a list": {"told": {"L": [{"S": "owner"}]}, "refused": {"SS": ["admin"]}},
    "a reason in parts": {"reason": {"M": {"code": {"S": "X"}}}, "sourceIp": {"NULL": True}},
    "bytes": {"proof": {"B": b"\xff\x00"}},
    "a key without its last five": {
        "keys": {"L": [{"M": {"change": {"S": "LENT"}, "keyType": {"S": "MONITORING"}}}]}
    },
}


@pytest.mark.parametrize("action", ["API_KEY_TELEPORTED", "SERVICE_USER_UPDATED"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_event_in_a_form_that_this_version_does_not_know_is_shown_and_hides_no_other(
    accounts: Accounts, odd: dict[str, Any], action: str
) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    before = read(stack, owner)
    item: dict[str, Any] = {
        "account": {"S": stack.item("owner")["account"]},
        "id": {"S": f"{int(stack.clock() * 1000) + 1000:012x}" + "0" * 16},
        "at": {"N": str(int(stack.clock()) + 1)},
        "action": {"S": action},
        "actor": {"M": {"kind": {"S": "USER"}, "username": {"S": "owner"}}},
        "subject": {"M": {"kind": {"S": "SERVICE_USER"}, "username": {"S": "bot"}}},
        **odd,
    }
    stored = {name: value for name, value in item.items() if value is not None}
    stack.client.put_item(TableName=stack.tables.events, Item=stored)

    shown, *others = read(stack, owner)

    assert others == before
    assert shown["id"] == item["id"]["S"]
    assert shown["action"] in (action, "7", "")
    assert shown["at"] in ("2030-03-17T17:46:41Z", "9999-12-31T23:59:59Z")
    for media_type in ("text/csv", "application/x-ndjson"):
        listed = stack.call("GET", EVENTS, owner, headers={"accept": media_type})
        assert listed.status == 200
        assert shown["id"] in listed.text


@pytest.mark.parametrize("text", ["soon", "2030-01-01T00:00:00Z", "1e9", "99999999999999999999"])
def test_a_changed_value_in_another_form_stands_for_itself(accounts: Accounts, text: str) -> None:
    """A later version may record a change of a known field in another form."""
    stack, owner = accounts.stack, accounts["owner"]
    stack.clock.forward(1)
    stack.service_user(owner, "bot", keyTypes=[])
    event = stack.events("SERVICE_USER_CREATED")[0]
    stack.client.update_item(
        TableName=stack.tables.events,
        Key={"account": {"S": event["account"]}, "id": {"S": event["id"]}},
        UpdateExpression="SET changes = :changes",
        ExpressionAttributeValues={
            ":changes": {
                "M": {name: {"L": [{"S": ""}, {"S": text}]} for name in ("expiresAt", "maxKeyAgeDays")}
            }
        },
    )
    changes = stack.call("GET", f"{EVENTS}?limit=1", owner).json[0]["changes"]
    assert {it["field"] for it in changes} == {"expiresAt", "maxKeyAgeDays"}
    if not text.isdecimal():
        assert {(it["old"], it["new"], it["newValue"]) for it in changes} == {("", text, text)}


# Forms


def test_json_lines_have_an_event_a_line(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]
    headers = {"accept": "application/x-ndjson, application/json;q=0.5"}

    response = stack.call("GET", f"{EVENTS}?limit=3", owner, headers=headers)

    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.next_path is not None
    assert response.text.endswith("\n")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines == stack.call("GET", f"{EVENTS}?limit=3", owner).json


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=0.000, */*", "application/json"),
        ("text/csv;q=0, application/x-ndjson", "application/x-ndjson"),
        ("application/json;q=0.5, text/csv;q=0.9", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv; header=present, application/json", "text/csv"),
        ("text/csv;q=oops", "text/csv"),
        ("application/pdf", "application/json"),
    ],
)
def test_the_form_is_chosen_by_weight(history: Accounts, accept: str, media_type: str) -> None:
    """RFC 9110, 12.4.2 and 12.5.1: a weight of 0 is a refusal; of equal weights the first one counts."""
    listed = history.stack.call("GET", EVENTS, history["owner"], headers={"accept": accept})
    assert listed.status == 200
    assert listed.headers["Content-Type"].partition(";")[0] == media_type


def test_csv_has_a_line_of_names_and_a_line_an_event(history: Accounts) -> None:
    stack, owner = history.stack, history["owner"]

    response = stack.call("GET", EVENTS, owner, headers={"accept": "text/csv"})

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    listed = stack.call("GET", EVENTS, owner).json
    assert [row["id"] for row in rows] == [it["id"] for it in listed]
    assert [row["actor"] for row in rows] == [it["actor"]["username"] or "" for it in listed]
    assert rows[0]["changes"] == 'displayName: "two of owner" -> "two of admin"'
    created = next(row for row in rows if row["action"] == "SERVICE_USER_CREATED")
    assert created["keys"].startswith("GENERATED MONITORING •••…")


def test_no_name_is_another_change_in_csv(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=["MONITORING"], displayName="x")
    forged = 'y"; role: "READ_ONLY" -> "OWNER'
    terms = {
        "keyType": "MONITORING",
        "allowedNetworks": ["203.0.113.0/24"],
        "expiresAt": "2099-01-01T00:00:00Z",
    }
    assert stack.call("PUT", f"{BOTS}/bot", owner, {"displayName": forged}).status == 200
    assert stack.call("PATCH", f"{BOTS}/bot/api-keys", owner, terms).status == 200

    text = stack.call("GET", EVENTS, owner, headers={"accept": "text/csv"}).text

    changes = {row["action"]: row["changes"] for row in csv.DictReader(io.StringIO(text))}
    assert changes["SERVICE_USER_UPDATED"] == f'displayName: "x" -> {json.dumps(forged)}'
    assert changes["API_KEY_UPDATED"].split("; ") == [
        'allowedNetworks: [] -> ["203.0.113.0/24"]',
        'expiresAt: null -> "2099-01-01T00:00:00Z"',
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("=1+1", "+1", "-1", "@SUM(1)", "=HYPERLINK(0)", "x;=1+1", "x; @SUM(1)", "x\t-1"),
        *('x;"=1+1";y', "x;\u200b=1+1", "x|=1", "\u00a0=1+1", "x;'\"@SUM(1)"),
        *("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(1)", "\u22121", "x;\uff1d1", "x\uff1b=1", "\n=1"),
    ],
)
def test_no_cell_of_csv_is_a_formula(accounts: Accounts, name: str) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=[], displayName="x")
    if name.isprintable():
        assert stack.call("PUT", f"{BOTS}/bot", owner, {"displayName": name}).status == 200
        assert stack.call("PUT", "/v1/account", owner, {"name": name}).status == 200
    else:  # version 1.0 took it, and events have it
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": "USER#bot"}},
            UpdateExpression="SET displayName = :name",
            ExpressionAttributeValues={":name": {"S": name}},
        )
        assert stack.call("PUT", f"{BOTS}/bot", owner, {"displayName": "x"}).status == 200

    text = stack.call("GET", EVENTS, owner, headers={"accept": "text/csv"}).text

    assert all(
        not cell.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20\u2212"))
        for row in csv.reader(io.StringIO(text))
        for cell in row
    )
    # Where the comma is in numbers, spreadsheets separate cells by semicolons; pasted text, by tabs.
    assert not re.search("[;\uff1b\t]\\s*[=+@\uff1d\uff0b\uff0d\uff20\u2212-]", text)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/csv", "*/*, text/csv", "image/csv", ""]
)
def test_other_accept_headers_get_json(accounts: Accounts, accept: str) -> None:
    response = accounts.stack.call("GET", EVENTS, accounts["owner"], headers={"accept": accept})

    assert response.headers["Content-Type"] == "application/json"
    assert isinstance(response.json, list)
