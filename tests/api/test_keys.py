"""API keys of Service Users: generated, revoked, restricted and rotated; and the key one signs in with."""

from typing import Any

import pytest

from chalicelib.rules import api_keys, key_format
from chalicelib.rules.api_keys import KeyRestrictions
from chalicelib.rules.errors import ValidationError
from chalicelib.rules.model import User
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.users import check_username
from chalicelib.store import pointers
from tests.support.accounts import (
    ALL_TYPES,
    CLEAR,
    MASKED,
    PATH,
    READ_ONLY_TYPES,
    ROLES,
    TYPES,
    Accounts,
    assert_key,
    assert_nothing_written,
    assert_problem,
)
from tests.support.api_client import NO_BODY, Key, Response
from tests.support.catalogue import LISTED

KEYS = f"{PATH}/bot/api-keys"
ROTATE = f"{KEYS}/rotate"
OWN = "/v1/users/owner/api-keys"


def test_the_rule_itself_refuses_a_key_that_the_role_does_not_allow() -> None:
    """The API names this error beside others of the body; whoever calls the rule itself is refused too."""
    user = User(
        username="u",
        account="a",
        email="u@x.example",
        role=Role.READ_ONLY,
        version="v",
        created_at=0,
        membership="m",
    )
    with pytest.raises(ValidationError) as refused:
        api_keys.generate(user, KeyType.PROVISIONING, KeyRestrictions(), "u", 0)
    assert refused.value.errors[0].pointer == "/keyType"
    with pytest.raises(ValidationError, match="request is invalid"):
        check_username("Activate")


def last_event(accounts: Accounts) -> dict[str, Any]:
    """Return the newest event: the clock is moved before what is to be it."""
    event: dict[str, Any] = max(accounts.stack.items(accounts.stack.tables.events), key=lambda it: it["id"])
    return event


def call(accounts: Accounts, method: str, path: str, body: Any = NO_BODY, caller: str = "admin") -> Response:
    accounts.caller(caller)
    accounts.stack.clock.forward(1)
    return accounts.call(method, path, caller, body)


# Generate


@pytest.mark.parametrize(("role", "key_type"), [(role, kind) for role in ROLES for kind in ALL_TYPES])
def test_a_service_user_is_given_keys_of_the_types_its_role_allows(
    accounts: Accounts, role: str, key_type: str
) -> None:
    accounts.stack.service_user(accounts["owner"], "bot", role, keyTypes=[])
    before = accounts.stack.snapshot()
    response = call(accounts, "POST", KEYS, {"keyType": key_type}, "owner")
    if key_type in TYPES[role]:
        assert response.status == 201
        assert_key(response.json, "bot", key_type, CLEAR)
        assert (response.json["createdBy"], response.json["rotatedAt"]) == ("owner", None)
        assert accounts.stack.signs_in(Key("bot", response.json["key"]))
        listed = accounts.call("GET", f"{PATH}/bot", "owner").json["apiKeys"]["apiKeys"]
        assert [it["key"][-5:] for it in listed] == [response.json["key"][-5:]]
        assert_key(listed[0], "bot", key_type, MASKED)
    else:
        problem = assert_problem(response, 400)
        assert problem["errors"] == [
            {
                "pointer": "/keyType",
                "detail": f"A READ_ONLY may hold {LISTED['READ_ONLY']}; not {key_type}.",
            }
        ]
        assert accounts.stack.snapshot() == before


def test_a_second_key_of_a_type_is_refused_until_the_first_is_revoked(accounts: Accounts) -> None:
    first = accounts.stack.service_user(accounts["admin"], "bot")["MONITORING"]
    before = accounts.stack.snapshot()
    problem = assert_problem(call(accounts, "POST", KEYS, {"keyType": "MONITORING"}), 409)
    assert problem["detail"] == "'bot' already has a MONITORING key. Rotate it, or revoke it first."
    assert accounts.stack.snapshot() == before
    assert accounts.stack.signs_in(first)
    assert call(accounts, "DELETE", KEYS, {"keyType": "MONITORING"}).status == 204
    second = call(accounts, "POST", KEYS, {"keyType": "MONITORING"})
    assert second.status == 201
    assert not accounts.stack.signs_in(first)
    assert accounts.stack.signs_in(Key("bot", second.json["key"]))


def test_the_event_of_a_generated_key_has_all_that_the_email_needs(accounts: Accounts) -> None:
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=[])
    made = call(accounts, "POST", KEYS, {"keyType": "MONITORING"}, "owner")
    event = last_event(accounts)
    assert event["action"] == "API_KEY_GENERATED"
    assert event["actor"].items() >= {"kind": "USER", "username": "owner"}.items()
    subject = {"kind": "SERVICE_USER", "username": "bot", "displayName": "bot"}
    assert event["subject"].items() >= subject.items()
    assert event["keys"] == [{"change": "GENERATED", "keyType": "MONITORING", "last5": made.json["key"][-5:]}]
    assert (event["audience"], list(event["administrators"])) == ("ADMINISTRATORS", ["admin"])
    assert event["dueAt"] == event["at"]
    assert event["waiting"] in list("01234567")


# Revoke


@pytest.mark.parametrize("how", ["body", "query", "both"])
def test_a_revoked_key_is_refused_once_the_response_arrives(accounts: Accounts, how: str) -> None:
    keys = accounts.stack.service_user(accounts["admin"], "bot")
    by_query = KEYS + "?keyType=MONITORING&evenIfLockedOut=false"
    body = {"keyType": "MONITORING"}
    path = KEYS if how == "body" else by_query
    sent = NO_BODY if how == "query" else body
    response = call(accounts, "DELETE", path, sent)
    assert (response.status, response.text) == (204, "")
    assert not accounts.stack.signs_in(keys["MONITORING"])
    assert accounts.stack.signs_in(keys["PROVISIONING_READONLY"])
    event = last_event(accounts)
    assert (event["action"], event["audience"]) == ("API_KEY_REVOKED", "ADMINISTRATORS")
    assert event["keys"] == [
        {"change": "REVOKED", "keyType": "MONITORING", "last5": keys["MONITORING"].secret[-5:]}
    ]
    before = accounts.stack.snapshot()
    assert_problem(call(accounts, "DELETE", path, sent), 404)
    assert accounts.stack.snapshot() == before


# A key's own address


def test_a_key_is_read_restricted_and_revoked_at_its_own_address(accounts: Accounts) -> None:
    keys = accounts.stack.service_user(accounts["admin"], "bot")
    path = f"{KEYS}/MONITORING"
    read = call(accounts, "GET", path)
    [listed, _] = call(accounts, "GET", KEYS).json["apiKeys"]
    assert (read.status, read.json) == (200, listed)
    assert_key(read.json, "bot", "MONITORING", MASKED)
    assert read.headers["ETag"] == call(accounts, "GET", f"{PATH}/bot").headers["ETag"]
    restricted = call(accounts, "PATCH", path, {"allowedNetworks": ["203.0.113.0/24"]})
    assert (restricted.status, restricted.json["allowedNetworks"]) == (200, ["203.0.113.0/24"])
    assert restricted.headers["ETag"] != read.headers["ETag"]
    assert accounts.stack.sign_in(keys["MONITORING"]) == 403
    assert accounts.stack.sign_in(keys["PROVISIONING_READONLY"]) == 200
    assert (call(accounts, "DELETE", path).status, last_event(accounts)["action"]) == (204, "API_KEY_REVOKED")
    assert not accounts.stack.signs_in(keys["MONITORING"])
    assert accounts.stack.signs_in(keys["PROVISIONING_READONLY"])
    for method, body in (("GET", NO_BODY), ("PATCH", {"allowedNetworks": []}), ("DELETE", NO_BODY)):
        problem = assert_problem(call(accounts, method, path, body), 404)
        assert problem["detail"] == "'bot' has no MONITORING key."


def test_a_machine_reads_its_own_keys_at_their_address_with_any_of_them(accounts: Accounts) -> None:
    keys = accounts.stack.service_user(accounts["admin"], "bot")
    accounts.stack.service_user(accounts["admin"], "other")
    own = f"{KEYS}/PROVISIONING_READONLY"
    assert accounts.stack.call("GET", own, keys["MONITORING"]).json["keyType"] == "PROVISIONING_READONLY"
    other = f"{PATH}/other/api-keys/MONITORING"
    assert_problem(accounts.stack.call("GET", other, keys["MONITORING"]), 403)
    assert_problem(accounts.stack.call("DELETE", own, keys["MONITORING"]), 403)


def test_the_address_of_a_key_has_its_predecessor_too(accounts: Accounts) -> None:
    old = accounts.stack.service_user(accounts["admin"], "bot")["MONITORING"]
    path = f"{KEYS}/MONITORING"
    body = {"keyType": "MONITORING", "overlapSeconds": 3600}
    new = Key("bot", call(accounts, "POST", ROTATE, body).json["key"])
    read = call(accounts, "GET", path).json
    assert (read["key"][-5:], read["predecessor"]["key"][-5:]) == (new.secret[-5:], old.secret[-5:])
    assert call(accounts, "PATCH", path, {"allowedNetworks": ["203.0.113.0/24"]}).status == 200
    assert [accounts.stack.sign_in(key) for key in (old, new)] == [403, 403]
    assert call(accounts, "DELETE", path).status == 204
    assert [accounts.stack.sign_in(key) for key in (old, new)] == [401, 401]


def test_an_expired_key_is_read_and_revoked_at_its_address_and_not_extended(accounts: Accounts) -> None:
    end = "2031-01-01T00:00:00Z"
    accounts.stack.service_user(accounts["admin"], "bot", expiresAt=end)
    accounts.stack.clock.at = 1_924_992_000.0
    path = f"{KEYS}/MONITORING"
    assert call(accounts, "GET", path).json["expiresAt"] == end
    assert_problem(call(accounts, "PATCH", path, {"expiresAt": None}), 404)
    assert call(accounts, "DELETE", path).status == 204


def test_the_type_in_the_path_may_be_in_the_body_too(accounts: Accounts) -> None:
    accounts.stack.service_user(accounts["admin"], "bot")
    path = f"{KEYS}/MONITORING"
    body = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"], "evenIfLockedOut": False}
    assert call(accounts, "PATCH", path, body).json["allowedNetworks"] == ["203.0.113.0/24"]
    query = f"{path}?evenIfLockedOut=true"
    assert call(accounts, "DELETE", query, {"keyType": "MONITORING", "evenIfLockedOut": True}).status == 204
    assert_problem(call(accounts, "GET", path), 404)


def test_people_read_restrict_and_revoke_their_own_keys_at_their_address(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    path = f"{OWN}/MONITORING"
    made = Key("owner", stack.call("POST", OWN, owner, {"keyType": "MONITORING"}).json["key"])
    read = stack.call("GET", path, owner)
    assert (read.status, read.json["last5"]) == (200, made.secret[-5:])
    assert_key(read.json, "owner", "MONITORING", MASKED)
    assert read.headers["ETag"] == stack.call("GET", OWN, owner).headers["ETag"]
    restricted = stack.call("PATCH", path, owner, {"allowedNetworks": ["203.0.113.0/24"]})
    assert (restricted.status, stack.sign_in(made)) == (200, 403)
    late = {"if-match": read.headers["ETag"]}
    assert stack.call("DELETE", path, owner, headers=late).status == 412
    assert (stack.call("DELETE", path, owner).status, stack.sign_in(made)) == (204, 401)
    for method, body in (("GET", NO_BODY), ("PATCH", {"allowedNetworks": []}), ("DELETE", NO_BODY)):
        problem = assert_problem(stack.call(method, path, owner, body), 404)
        assert problem["detail"] == "'owner' has no MONITORING key."
        assert_problem(stack.call(method, f"{OWN}/NONSENSE", owner, body), 404)


def test_people_do_not_lock_themselves_out_at_the_address_either(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    path = f"{OWN}/USER_MANAGEMENT"
    elsewhere = {"allowedNetworks": ["203.0.113.0/24"]}
    with assert_nothing_written(stack):
        assert "evenIfLockedOut" in assert_problem(stack.call("DELETE", path, owner), 409)["detail"]
        assert_problem(stack.call("DELETE", f"{path}?evenIfLockedOut=false", owner), 409)
        assert_problem(stack.call("PATCH", path, owner, elsewhere), 409)
    assert stack.call("PATCH", path, owner, {**elsewhere, "evenIfLockedOut": True}).status == 200
    forced = f"{path}?evenIfLockedOut=true"
    assert stack.call("DELETE", forced, owner, source_ip="203.0.113.9").status == 204
    assert not stack.signs_in(owner)


def test_nobody_reaches_the_keys_of_another_person_at_their_address(accounts: Accounts) -> None:
    stack = accounts.stack
    for name in ("admin", "reader", "machine-owner"):
        accounts.caller(name)
    with assert_nothing_written(stack):
        for name in ("admin", "reader", "machine-owner"):
            for method, body in (("GET", NO_BODY), ("PATCH", {"allowedNetworks": []}), ("DELETE", NO_BODY)):
                assert_problem(stack.call(method, f"{OWN}/USER_MANAGEMENT", accounts[name], body), 403)


@pytest.mark.parametrize("name", ["monitoring", "NONSENSE", "Rotate", "a b", "MONITORING%00"])
def test_a_key_type_that_there_is_not_is_404(accounts: Accounts, name: str) -> None:
    accounts.stack.service_user(accounts["admin"], "bot")
    accounts.caller("owner")
    path = f"{KEYS}/{name.replace(' ', '%20')}"
    with assert_nothing_written(accounts.stack):
        for method, body in (("GET", NO_BODY), ("PATCH", {"allowedNetworks": []}), ("DELETE", NO_BODY)):
            problem = assert_problem(accounts.call(method, path, "owner", body), 404)
            assert problem["detail"].endswith(f"the key types are {LISTED['OWNER']}.")


# What is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "pointers"),
    [
        ("POST", KEYS, {}, 400, ["/keyType"]),
        ("POST", KEYS, {"keyType": "monitoring"}, 400, ["/keyType"]),
        ("POST", KEYS, {"keyType": ["MONITORING"]}, 400, ["/keyType"]),
        ("POST", KEYS, {"keyType": "PROVISIONING_READONLY", "key": "mine"}, 400, ["/key"]),
        ("POST", KEYS, {"keyType": "MONITORING"}, 409, None),
        ("POST", KEYS + "?keyType=PROVISIONING_READONLY", NO_BODY, 400, None),
        ("POST", KEYS + "?x=1", {"keyType": "PROVISIONING_READONLY"}, 400, None),
        (
            "POST",
            KEYS,
            {"keyType": "X", "allowedNetworks": ["10.0.0.1/8", "::/0", 7, "10.0.0.0"], "expiresAt": "soon"},
            400,
            ["/keyType", "/allowedNetworks/0", "/allowedNetworks/2", "/allowedNetworks/3", "/expiresAt"],
        ),
        ("DELETE", KEYS, NO_BODY, 400, ["/keyType"]),
        ("DELETE", KEYS, {}, 400, ["/keyType"]),
        ("DELETE", KEYS, {"keyType": "PROVISIONING"}, 404, None),
        ("DELETE", KEYS, {"keyType": "PROVISIONING_READONLY"}, 404, None),
        ("DELETE", KEYS + "?keyType=PROVISIONING_READONLY", {"keyType": "MONITORING"}, 400, None),
        ("DELETE", KEYS + "?keyType=MONITORING", ["keyType"], 400, [""]),
        ("DELETE", KEYS + "?keyType=MONITORING&keyType=MONITORING", NO_BODY, 400, None),
        ("DELETE", KEYS + "?keyType=", NO_BODY, 400, ["/keyType"]),
        ("DELETE", KEYS + "?keytype=MONITORING", NO_BODY, 400, ["/keytype", "/keyType"]),
        ("DELETE", KEYS + "?keyType=MONITORING&force=true", NO_BODY, 400, ["/force"]),
        ("PATCH", KEYS, {"allowedNetworks": []}, 400, ["/keyType"]),
        ("PATCH", KEYS, {"keyType": "PROVISIONING_READONLY", "allowedNetworks": []}, 404, None),
        ("PATCH", KEYS, {"keyType": "MONITORING", "allowedNetworks": None}, 400, ["/allowedNetworks"]),
        ("PATCH", KEYS, {"keyType": "MONITORING", "allowedNetworks": "::/0"}, 400, ["/allowedNetworks"]),
        (
            "PATCH",
            KEYS,
            {"keyType": "MONITORING", "allowedNetworks": ["10.0.0.0/8", "2001:DB8::/32", "2001:db8::/32"]},
            400,
            ["/allowedNetworks/2"],
        ),
        (
            "PATCH",
            KEYS,
            {"keyType": "MONITORING", "allowedNetworks": [f"10.{it}.0.0/16" for it in range(51)]},
            400,
            ["/allowedNetworks"],
        ),
        ("GET", f"{KEYS}/MONITORING?keyType=MONITORING", NO_BODY, 400, None),
        ("DELETE", f"{KEYS}/MONITORING?keyType=MONITORING", NO_BODY, 400, None),
        ("DELETE", f"{KEYS}/MONITORING", {"keyType": "PROVISIONING_READONLY"}, 400, ["/keyType"]),
        ("DELETE", f"{KEYS}/MONITORING", {"keyType": "monitoring"}, 400, ["/keyType"]),
        ("DELETE", f"{KEYS}/MONITORING", {"overlapSeconds": 1}, 400, ["/overlapSeconds"]),
        ("DELETE", f"{KEYS}/MONITORING?evenIfLockedOut=yes", NO_BODY, 400, ["/evenIfLockedOut"]),
        ("DELETE", f"{KEYS}/rotate", NO_BODY, 405, None),
        ("PATCH", f"{KEYS}/MONITORING", NO_BODY, 400, None),
        ("PATCH", f"{KEYS}/MONITORING", {"keyType": "PROVISIONING_READONLY"}, 400, ["/keyType"]),
        ("PATCH", f"{KEYS}/MONITORING", {"keyType": None}, 400, ["/keyType"]),
        ("PATCH", f"{KEYS}/MONITORING", {"allowedNetworks": ["10.0.0.1/8"]}, 400, ["/allowedNetworks/0"]),
        ("PATCH", f"{KEYS}/MONITORING", {"expiresAt": "2001-01-01T00:00:00Z"}, 400, ["/expiresAt"]),
        ("PATCH", f"{KEYS}/MONITORING?x=1", {"allowedNetworks": []}, 400, None),
        ("PUT", f"{KEYS}/MONITORING", {"allowedNetworks": []}, 405, None),
        ("POST", ROTATE, NO_BODY, 400, None),
        ("POST", ROTATE, {}, 400, ["/keyType"]),
        ("POST", ROTATE, {"keyType": "PROVISIONING_READONLY"}, 404, None),
        ("POST", ROTATE, {"keyType": "USER_MANAGEMENT"}, 404, None),
        ("POST", ROTATE, {"keyType": "MONITORING", "overlapSeconds": -1}, 400, ["/overlapSeconds"]),
        ("POST", ROTATE, {"keyType": "MONITORING", "overlapSeconds": 1.5}, 400, ["/overlapSeconds"]),
        ("POST", ROTATE, {"keyType": "MONITORING", "overlapSeconds": True}, 400, ["/overlapSeconds"]),
        ("POST", ROTATE, {"keyType": "MONITORING", "overlapSeconds": 604_801}, 400, ["/overlapSeconds"]),
        ("POST", ROTATE, {"keyType": "MONITORING", "overlapSeconds": 10**30}, 400, ["/overlapSeconds"]),
        ("POST", ROTATE, {"keyType": "MONITORING", "allowedNetworks": []}, 400, ["/allowedNetworks"]),
    ],
)
def test_what_breaks_a_rule_changes_no_key(
    shared_accounts: Accounts, method: str, path: str, body: Any, status: int, pointers: list[str] | None
) -> None:
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call(method, path, "admin", body)
    assert_problem(response, status)
    named = sorted(response.pointers) if "errors" in response.json else None
    assert named == (pointers and sorted(pointers))


@pytest.mark.parametrize(
    "body", ["[]", "null", '"x"', "5", '{"overlapSeconds":"1"}', '{"keyType":"MONITORING"}', "{", " "]
)
def test_a_self_rotation_with_a_wrong_body_leaves_the_key(shared_accounts: Accounts, body: str) -> None:
    with assert_nothing_written(shared_accounts.stack):
        response = shared_accounts.call("POST", "/v1/api-keys/rotate", "bot", raw=body)
    assert_problem(response, 400)


# Restrict


def test_networks_are_kept_in_one_spelling_and_stay_when_not_given(accounts: Accounts) -> None:
    key = accounts.stack.service_user(accounts["admin"], "bot")["MONITORING"]
    asked = ["198.51.100.0/24", "2001:DB8:0:0::/64", "::ffff:192.0.2.0/120"]
    response = call(accounts, "PATCH", KEYS, {"keyType": "MONITORING", "allowedNetworks": asked})
    assert response.status == 200
    assert_key(response.json, "bot", "MONITORING", MASKED)
    kept = ["198.51.100.0/24", "2001:db8::/64", "192.0.2.0/24"]
    assert response.json["allowedNetworks"] == kept
    assert accounts.stack.signs_in(key)
    assert call(accounts, "PATCH", KEYS, {"keyType": "MONITORING"}).json["allowedNetworks"] == kept
    rotated = call(accounts, "POST", ROTATE, {"keyType": "MONITORING"})
    assert rotated.json["allowedNetworks"] == kept
    opened = call(accounts, "PATCH", KEYS, {"keyType": "MONITORING", "allowedNetworks": []})
    assert opened.json["allowedNetworks"] == []


def test_a_restriction_is_on_record_old_and_new_and_mailed_only_if_it_is_looser(accounts: Accounts) -> None:
    key = accounts.stack.service_user(accounts["admin"], "bot", allowedNetworks=["10.0.0.0/8"])["MONITORING"]
    body = {"keyType": "MONITORING", "allowedNetworks": ["192.0.2.0/24", "::/0"]}
    call(accounts, "PATCH", KEYS, body)
    event = last_event(accounts)
    assert event["action"] == "API_KEY_UPDATED"
    assert event["changes"] == {"allowedNetworks": ["10.0.0.0/8", "192.0.2.0/24 ::/0"]}
    assert event["keys"] == [{"change": "UPDATED", "keyType": "MONITORING", "last5": key.secret[-5:]}]
    assert event["audience"] == "ADMINISTRATORS"
    before = accounts.stack.snapshot()
    assert call(accounts, "PATCH", KEYS, body).status == 200
    assert accounts.stack.snapshot() == before
    call(accounts, "PATCH", KEYS, {"keyType": "MONITORING", "allowedNetworks": ["192.0.2.0/24"]})
    assert "waiting" not in last_event(accounts)


# Rotate


def test_a_rotated_key_replaces_the_old_one_and_nothing_else(accounts: Accounts) -> None:
    keys = accounts.stack.service_user(accounts["admin"], "bot")
    other = accounts.stack.service_user(accounts["admin"], "other")["MONITORING"]
    response = call(accounts, "POST", ROTATE, {"keyType": "MONITORING"}, "owner")
    assert response.status == 200
    assert_key(response.json, "bot", "MONITORING", CLEAR)
    assert response.json["rotatedAt"] > response.json["createdAt"]
    assert response.json["createdBy"] == "admin"
    assert response.json["predecessor"] is None
    new = Key("bot", response.json["key"])
    assert [accounts.stack.signs_in(it) for it in (keys["MONITORING"], new)] == [False, True]
    assert accounts.stack.signs_in(keys["PROVISIONING_READONLY"])
    assert accounts.stack.signs_in(other)
    event = last_event(accounts)
    assert (event["action"], event["actor"]["username"]) == ("API_KEY_ROTATED", "owner")
    assert event["keys"] == [
        {
            "change": "ROTATED",
            "keyType": "MONITORING",
            "last5": new.secret[-5:],
            "previousLast5": keys["MONITORING"].secret[-5:],
        }
    ]
    assert "waiting" in event


# Self-rotate


@pytest.mark.parametrize("body", [NO_BODY, {}, {"overlapSeconds": 0}], ids=["none", "empty", "zero"])
@pytest.mark.parametrize(
    "caller", ["owner", "admin/MONITORING", "reader", "machine-owner", "machine-admin/PROVISIONING"]
)
def test_anybody_rotates_the_key_they_sign_in_with(accounts: Accounts, caller: str, body: Any) -> None:
    old = accounts[caller]
    me = accounts.stack.call("GET", "/v1/whoami", old).json
    items = {it["pk"]: it for it in accounts.stack.items(accounts.stack.tables.directory)}
    response = call(accounts, "POST", "/v1/api-keys/rotate", body, caller)
    assert response.status == 200
    assert_key(response.json, old.username, me["keyType"], CLEAR)
    assert not accounts.stack.signs_in(old)
    assert accounts.stack.signs_in(Key(old.username, response.json["key"]))
    item = f"USER#{old.username.lower()}"
    now = {it["pk"]: it for it in accounts.stack.items(accounts.stack.tables.directory)}
    pointed = {pointers.name(key_format.digest(secret)) for secret in (old.secret, response.json["key"])}
    changed = {pk for pk in {**items, **now} if now.get(pk) != items.get(pk)}
    assert {pk for pk in changed if not pk.startswith("BUDGET#")} == {item, *pointed}
    assert {kind for kind in now[item]["keys"] if now[item]["keys"][kind] != items[item]["keys"][kind]} == {
        me["keyType"]
    }
    event = last_event(accounts)
    assert event["action"] == "API_KEY_ROTATED"
    assert event["actor"]["username"] == event["subject"]["username"] == old.username
    assert event["audience"] == ("PERSON" if me["kind"] == "USER" else "ADMINISTRATORS")
    assert event["subject"].get("email") == (me["email"] if me["kind"] == "USER" else None)


def test_a_rotation_called_twice_with_one_key_is_done_once(accounts: Accounts) -> None:
    old = accounts["machine-reader"]
    new = Key(
        old.username, call(accounts, "POST", "/v1/api-keys/rotate", caller="machine-reader").json["key"]
    )
    before = accounts.stack.snapshot()
    assert_problem(accounts.stack.call("POST", "/v1/api-keys/rotate", old), 401)
    assert accounts.stack.snapshot() == before
    assert accounts.stack.signs_in(new)


def test_however_often_a_key_changes_one_of_a_type_works(accounts: Accounts) -> None:
    """A long life: rotated by itself and by others, revoked and generated; one working key, the last one."""
    keys = accounts.stack.service_user(accounts["admin"], "bot")
    seen = {key.secret for key in keys.values()}
    live = keys["MONITORING"]
    for _ in range(4):
        for method, path, caller in (
            ("POST", "/v1/api-keys/rotate", live),
            ("POST", ROTATE, accounts["admin"]),
            ("DELETE", f"{KEYS}?keyType=MONITORING", accounts["owner"]),
            ("POST", KEYS, accounts["owner"]),
        ):
            body = {"keyType": "MONITORING"} if caller is not live and method == "POST" else NO_BODY
            response = accounts.stack.call(method, path, live if caller is live else caller, body)
            assert response.status < 300, response.text
            assert not accounts.stack.signs_in(live)
            if response.text:
                live = Key("bot", response.json["key"])
                assert live.secret not in seen
                seen.add(live.secret)
                assert accounts.stack.signs_in(live)
    listed = accounts.call("GET", f"{PATH}/bot", "owner").json["apiKeys"]["apiKeys"]
    assert [it["keyType"] for it in listed] == READ_ONLY_TYPES
    assert accounts.stack.signs_in(keys["PROVISIONING_READONLY"])
