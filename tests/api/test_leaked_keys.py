"""Leaked keys: reported by anybody, ended at once, told to those concerned, and answered the same."""

import json
from collections import Counter
from typing import Any

import pytest

from chalicelib.rules import key_format
from tests.support.accounts import PATH, assert_problem
from tests.support.api_client import Key, Response, Stack
from tests.support.dynamodb_faults import before_next_call

LEAKED = "/v1/leaked-keys"
GET, BATCH, WRITE = "GetItem", "BatchGetItem", "TransactWriteItems"
PLACE = "https://github.com/acme/app/blob/main/.env"


def report(stack: Stack, *tokens: str, url: str = PLACE) -> Response:
    body = [{"token": token, "type": "service_users_api_key", "url": url} for token in tokens]
    response = stack.call("POST", LEAKED, body=body)
    assert (response.status, response.json) == (200, {"received": len(tokens)})
    return response


def works(stack: Stack, key: Key) -> bool:
    alone = stack.call("GET", "/v1/whoami", headers=key.bearer).status
    assert stack.sign_in(key) == alone
    return alone == 200


def leaks(stack: Stack) -> list[dict[str, Any]]:
    return stack.events("API_KEY_LEAKED")


def rotate(stack: Stack, by: Key, of: Key, key_type: str = "MONITORING", overlap: int = 3600) -> Key:
    """Rotate a key by itself, or as its Administrator."""
    path, body = f"{PATH}/{of.username}/api-keys/rotate", {"keyType": key_type, "overlapSeconds": overlap}
    if by is of:
        path, body = "/v1/api-keys/rotate", {"overlapSeconds": overlap}
    return Key(of.username, stack.call("POST", path, by, body).json["key"])


def test_a_working_leaked_key_is_revoked_with_the_response_and_has_an_event(stack: Stack) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "bot")
    stack.clock.forward(1)
    report(stack, keys["MONITORING"].secret)
    assert not works(stack, keys["MONITORING"])
    assert works(stack, keys["PROVISIONING_READONLY"])
    [event] = leaks(stack)
    assert (event["actor"], event["cause"]) == ({"kind": "LEAK_REPORT"}, "LEAKED")
    assert event["subject"]["username"] == "bot"
    assert event["keys"] == [
        {"change": "REVOKED", "keyType": "MONITORING", "last5": keys["MONITORING"].secret[-5:]}
    ]
    assert event["reason"] == f"It was found at {PLACE}"
    assert event["audience"] == "ADMINISTRATORS_AND_OWNERS"
    assert "dueAt" in event
    [shown] = stack.call("GET", "/v1/events?limit=1", owner).json
    assert shown["actor"]["kind"] == "LEAK_REPORT"
    assert keys["MONITORING"].secret not in json.dumps(shown)


def test_a_persons_key_too_even_the_last_owners(stack: Stack) -> None:
    owner = stack.account()
    report(stack, owner.secret)
    assert not works(stack, owner)
    assert [it["audience"] for it in leaks(stack)] == ["PERSON_AND_OWNERS"]


def test_the_response_is_the_same_whatever_was_reported(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    mistyped = key.secret[:-1] + ("a" if key.secret[-1] != "a" else "b")
    dead = stack.service_user(owner, "dead")["MONITORING"]
    assert stack.call("DELETE", f"{PATH}/dead", owner).status == 204
    tokens = [key_format.new_key(), mistyped, dead.secret, "", "nonsense", key_format.new_token(), key.secret]
    responses = [report(stack, token) for token in tokens]
    assert {response.text for response in responses} == {'{"received":1}'}
    assert len({tuple(sorted(response.headers.items())) for response in responses}) == 1
    assert [it["subject"]["username"] for it in leaks(stack)] == ["bot"]


def test_what_it_costs(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    unknown = [key_format.new_key() for _ in range(100)]
    for tokens, calls in (
        (["nonsense"], [BATCH]),
        (unknown, [BATCH, BATCH]),
        ([*unknown[1:], key.secret], [BATCH, BATCH, GET, WRITE]),
        ([*unknown[1:], key.secret], [BATCH, BATCH]),
    ):
        with stack.counted() as counted:
            report(stack, *tokens)
        assert counted == Counter(["UpdateItem", *calls])


def test_a_batch_ends_every_key_in_it_once(stack: Stack) -> None:
    owner, neighbour = stack.account(), stack.account("neighbour")
    keys = [*stack.service_user(owner, "bot").values(), *stack.service_user(neighbour, "foreign").values()]
    report(stack, *(key.secret for key in keys), keys[0].secret)
    assert not any(works(stack, key) for key in keys)
    assert len(leaks(stack)) == 4
    assert works(stack, owner)
    assert works(stack, neighbour)


def test_a_key_restricted_to_networks_is_ended_from_anywhere(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    report(stack, key.secret)
    assert stack.sign_in(key, source_ip="203.0.113.9") == 401


def test_a_leaked_key_is_found_with_the_space_around_it(stack: Stack) -> None:
    """As a scanner may cut it out of a file; the response says nothing of what was found."""
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    report(stack, f"\t{key.secret} \n")
    assert not works(stack, key)


# Keys that were rotated


def test_a_predecessor_that_rotated_itself_ends_with_its_successor(stack: Stack) -> None:
    """Whoever had the leaked key may have been shown the successor."""
    old = stack.service_user(stack.account(), "bot")["MONITORING"]
    new = rotate(stack, old, old)
    report(stack, old.secret)
    assert (works(stack, old), works(stack, new)) == (False, False)
    (event,) = leaks(stack)
    assert event["keys"][0]["last5"] == new.secret[-5:]
    assert event["keys"][0]["previousLast5"] == old.secret[-5:]


def test_each_of_two_keys_is_notified_of_where_the_account_keeps_leaked_keys(stack: Stack) -> None:
    """A report of the predecessor does not silence one of its successor, and a rotation silences none."""
    owner = stack.account()
    assert stack.call("PUT", "/v1/account", owner, {"revokeLeakedKeys": False}).status == 200
    old = stack.service_user(owner, "bot")["MONITORING"]
    report(stack, old.secret)
    new = rotate(stack, old, old)
    for secret in (old.secret, new.secret, old.secret, new.secret):
        stack.clock.forward(1)
        report(stack, secret)
    assert [it["keys"][0]["last5"] for it in leaks(stack)] == [old.secret[-5:], new.secret[-5:]]
    newest = rotate(stack, new, new)
    stack.clock.forward(1)
    report(stack, new.secret)
    report(stack, newest.secret)
    assert [it["keys"][0]["last5"] for it in leaks(stack)][2:] == [newest.secret[-5:]]


def test_a_predecessor_is_notified_of_once_a_day_where_the_account_keeps_leaked_keys(stack: Stack) -> None:
    owner = stack.account()
    assert stack.call("PUT", "/v1/account", owner, {"revokeLeakedKeys": False}).status == 200
    old = stack.service_user(owner, "bot")["MONITORING"]
    new = rotate(stack, owner, old)
    for secret in (old.secret, old.secret, new.secret):
        stack.clock.forward(1)
        report(stack, secret)
    assert [it["keys"][0]["last5"] for it in leaks(stack)] == [old.secret[-5:], new.secret[-5:]]
    assert (works(stack, old), works(stack, new)) == (True, True)


def test_a_predecessor_that_an_administrator_rotated_ends_alone(stack: Stack) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot")["MONITORING"]
    new = rotate(stack, owner, old)
    report(stack, old.secret)
    assert (works(stack, old), works(stack, new)) == (False, True)
    report(stack, new.secret)
    assert not works(stack, new)


def test_predecessors_of_one_holder_end_alone_in_one_report(stack: Stack) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "bot")
    rotated = {key_type: rotate(stack, owner, of, key_type) for key_type, of in keys.items()}
    report(stack, *(key.secret for key in keys.values()))
    assert [key_type for key_type, key in keys.items() if works(stack, key)] == []
    assert [key_type for key_type, key in rotated.items() if not works(stack, key)] == []
    ended = {(key["keyType"], key["last5"]) for it in leaks(stack) for key in it["keys"]}
    assert ended == {(key_type, key.secret[-5:]) for key_type, key in keys.items()}


def test_a_predecessor_ends_alone_whatever_changes_at_the_same_moment(stack: Stack) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    new = rotate(stack, owner, old)

    def rename() -> None:
        assert stack.call("PUT", f"{PATH}/bot", owner, {"displayName": "Renamed"}).status == 200

    with before_next_call(stack, WRITE, rename):
        report(stack, old.secret)
    assert not works(stack, old)
    assert works(stack, new)


def test_a_key_ends_with_its_predecessor(stack: Stack) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot")["MONITORING"]
    new = rotate(stack, owner, old)
    report(stack, new.secret)
    assert (works(stack, old), works(stack, new)) == (False, False)


@pytest.mark.parametrize("how", ["overlap over", "expired", "rotated", "left behind"])
def test_a_key_that_does_not_work_is_passed_over(stack: Stack, how: str) -> None:
    owner = stack.account()
    more = {"expiresAt": "2030-03-17T18:46:40Z"} if how == "expired" else {}
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"], **more)["MONITORING"]
    if how == "rotated":
        rotate(stack, owner, old, overlap=0)
    elif how != "expired":
        rotate(stack, owner, old)
    items = stack.client.scan(TableName=stack.tables.directory)["Items"]
    if how == "left behind":
        assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
        for item in items:
            if item["pk"]["S"].startswith("KEY#"):
                stack.client.put_item(TableName=stack.tables.directory, Item=item)
        stack.service_user(stack.account("neighbour"), "bot", keyTypes=["MONITORING"])
    stack.clock.forward(3600 * 24 * 365)
    report(stack, old.secret)
    assert leaks(stack) == []


# The account's policy


def test_with_a_policy_that_only_notifies_a_leaked_key_is_notified_once_a_day(stack: Stack) -> None:
    owner = stack.account()
    changed = stack.call("PUT", "/v1/account", owner, {"revokeLeakedKeys": False})
    assert (changed.status, changed.json["revokeLeakedKeys"]) == (200, False)
    key = stack.service_user(owner, "bot")["MONITORING"]
    for _ in range(3):
        report(stack, key.secret)
    assert works(stack, key)
    [event] = leaks(stack)
    assert [it["change"] for it in event["keys"]] == ["LEAKED"]
    stack.clock.forward(86_399)
    report(stack, key.secret)
    assert len(leaks(stack)) == 1
    stack.clock.forward(1)
    report(stack, key.secret)
    assert len(leaks(stack)) == 2
    new = rotate(stack, key, key)
    report(stack, new.secret)
    assert len(leaks(stack)) == 3, "it is another key"
    assert stack.call("PUT", "/v1/account", owner, {"revokeLeakedKeys": True}).status == 200
    report(stack, new.secret)
    assert not works(stack, new)


def test_turning_off_revocation_of_leaked_keys_is_a_looser_policy_and_pci_leaves_it(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "second", "OWNER")
    assert stack.call("GET", "/v1/account", owner).json["revokeLeakedKeys"] is True
    assert stack.call("PUT", "/v1/account", owner, {"revokeLeakedKeys": False}).status == 200
    [event] = stack.events("ACCOUNT_UPDATED")
    assert (event["audience"], event["changes"]) == ("OWNERS", {"revokeLeakedKeys": ["true", "false"]})
    response = stack.call("PUT", "/v1/account", owner, {"pciCompliance": True}).json
    assert (response["revokeLeakedKeys"], response["pciCompliance"]) == (False, True)


# At the same moment


@pytest.mark.parametrize("times", [1, 3])
def test_a_change_at_the_same_moment_is_overtaken(stack: Stack, times: int) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]

    def rename() -> None:
        body = {"displayName": f"{stack.clock()}"}
        assert stack.call("PUT", f"{PATH}/bot", owner, body).status == 200

    with before_next_call(stack, WRITE, rename):
        report(stack, key.secret)
    assert not works(stack, key)
    assert len(leaks(stack)) == 1


@pytest.mark.parametrize("what", ["delete", "revoke", "rotate"])
def test_a_key_that_ends_at_the_same_moment_is_passed_over(stack: Stack, what: str) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]

    def ends() -> None:
        if what == "rotate":
            rotate(stack, key, key, overlap=0)
        elif what == "revoke":
            path = f"{PATH}/bot/api-keys?keyType=MONITORING"
            assert stack.call("DELETE", path, owner).status == 204
        else:
            assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204

    with before_next_call(stack, WRITE, ends):
        report(stack, key.secret)
    assert leaks(stack) == []
    assert not works(stack, key)


def test_a_thief_who_rotates_with_overlap_meanwhile_gains_nothing(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot", keyTypes=["MONITORING"])["MONITORING"]
    stolen: list[Key] = []
    with before_next_call(stack, WRITE, lambda: stolen.append(rotate(stack, key, key))):
        report(stack, key.secret)
    assert not works(stack, key)
    assert not works(stack, stolen[0])


# What is sent


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (PLACE, PLACE),
        (f"{PLACE}?key=suk_abc#suk_abc", PLACE),
        ("https://example.com/suk_abcdefgh/x", "https://example.com/…/x"),
        ("https://user:suk_abc@example.com/", "https://user"),
        ("javascript:alert(1)", None),
        ("https://example.com/<b>", "https://example.com/"),
        ("", None),
        ("https://example.com/" + "a" * 1000, "https://example.com/" + "a" * 180),
        ("https://ex\u00e4mple.com/", "https://ex"),
        *(
            (f"https://forge.example/{prefix}{'a' * 49}/x", "https://forge.example/…/x")
            for prefix in ("suk_", "sui_", "sus_", "sue_", "suc_")
        ),
    ],
)
def test_only_a_plain_place_without_a_secret_is_put_on_record(
    stack: Stack, url: str, place: str | None
) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    report(stack, key.secret, url=url)
    [event] = leaks(stack)
    assert event["reason"] == (f"It was found at {place}" if place else "It was found by somebody")


def test_fields_of_a_scanners_own_are_not_looked_at(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    body = [{"token": key.secret, "source": "commit", "more": {"a": 1}}]
    assert stack.call("POST", LEAKED, body=body).status == 200
    assert not works(stack, key)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ("x", ""),
        ([{"token": "x"}] * 101, ""),
        ([{"token": "x"}, 5], "/1"),
        ([{}], "/0/token"),
        ([{"token": 5}], "/0/token"),
        ([{"token": "x" * 1001}], "/0/token"),
        ([{"token": "x", "url": 5}], "/0/url"),
        ([{"token": "x", "type": None}], "/0/type"),
    ],
)
def test_a_malformed_report_is_refused(stack: Stack, body: Any, pointer: str) -> None:
    response = stack.call("POST", LEAKED, body=body)
    assert_problem(response, 400)
    assert response.pointers == [pointer]


def test_one_malformed_entry_ends_nothing(stack: Stack) -> None:
    key = stack.service_user(stack.account(), "bot")["MONITORING"]
    response = stack.call("POST", LEAKED, body=[{"token": key.secret}, {"token": 1}])
    assert response.pointers == ["/1/token"]
    assert key.secret not in response.text
    assert works(stack, key)


def test_none_at_all_is_a_report_too(stack: Stack) -> None:
    assert stack.call("POST", LEAKED, body=[]).json == {"received": 0}
