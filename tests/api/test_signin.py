"""Signing in: HTTP Basic, what a key allows, where it may be used from, and the notes of its use."""

import base64
from typing import Any

import pytest

from chalicelib.rules import key_format
from tests.support.accounts import (
    PATH,
    Accounts,
    assert_nothing_written,
    assert_problem,
)
from tests.support.api_client import Key

HOUR = 3600


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


# The header

WRONG_HEADERS = {
    "none": None,
    "empty": "",
    "blank": "   ",
    "scheme alone": "Basic",
    "scheme and space": "Basic ",
    "another scheme": "Token {key}",
    "Bearer alone": "Bearer",
    "Bearer of both": "Bearer two-keys:{key}",
    "Bearer of Basic": "Bearer {bare}",
    "two Bearers joined": "Bearer {key}, Bearer {key}",
    "a Bearer beside Basic": "Bearer {key}, Basic {bare}",
    "digest": 'Digest username="bot"',
    "no scheme": "{bare}",
    "not base64": "Basic !!!!",
    "half base64": "Basic Ym9",
    "url-safe base64": "Basic _-_-",
    "two credentials": "Basic {bare} {bare}",
    "two headers joined": "Basic {bare}, Basic {bare}",
    "a line break": "Basic {bare}\nX-Role: OWNER",
    "not ASCII": "Basic \u00fc\u00f6",
    "lone surrogate": "Basic \udc80",
    "no colon": basic("bot"),
    "not UTF-8": basic(b"bot:\xff\xfe"),
    "no username": basic(":suk_x"),
    "no key": basic("bot:"),
    "only a colon": basic(":"),
    "username too short": basic("bo:suk_x"),
    "username too long": basic("b" * 65 + ":suk_x"),
    "username with a slash": basic("a/b/c:suk_x"),
    "username with NUL": basic("bot\0:suk_x"),
    "username ends in a line break": basic("bot\n:suk_x"),
    "username of other letters": basic("b\u00f6t:suk_x"),
    "key with a colon": basic("bot:suk_x:y"),
    "huge": basic("bot:" + "x" * 50_000),
}


@pytest.mark.parametrize("header", WRONG_HEADERS.values(), ids=WRONG_HEADERS.keys())
def test_an_invalid_authorization_header_costs_no_read(shared_accounts: Accounts, header: str | None) -> None:
    key = shared_accounts["two-keys/MONITORING"]
    headers = (
        {}
        if header is None
        else {"authorization": header.replace("{key}", key.secret).replace("{bare}", key.header[6:])}
    )
    with assert_nothing_written(shared_accounts.stack), shared_accounts.stack.counted() as calls:
        response = shared_accounts.stack.call("GET", "/v1/whoami", headers=headers)
    problem = assert_problem(response, 401)
    assert not calls
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Service Users", charset="UTF-8"'
    assert "Basic" in problem["detail"]
    assert key.secret not in response.text


@pytest.mark.parametrize("form", ["Basic {}", "basic {}", "BASIC {}", "Basic   {}", "  Basic {}  "])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_the_scheme_and_the_headers_name_are_read_in_any_case(
    shared_accounts: Accounts, name: str, form: str
) -> None:
    event = shared_accounts.stack.event("GET", "/v1/whoami")
    event["headers"][name] = form.format(shared_accounts["two-keys/MONITORING"].header[6:])
    assert shared_accounts.stack.app(event, None)["statusCode"] == 200


@pytest.mark.parametrize("username", ["two-keys", "TWO-KEYS", "Two-Keys"])
def test_a_username_signs_in_in_any_case(shared_accounts: Accounts, username: str) -> None:
    response = shared_accounts.stack.call(
        "GET", "/v1/whoami", Key(username, shared_accounts["two-keys/MONITORING"].secret)
    )
    assert response.json["username"] == "two-keys"


def test_whoever_signs_in_learns_what_they_signed_in_with(shared_accounts: Accounts) -> None:
    for key_type in ("MONITORING", "PROVISIONING_READONLY"):
        me = shared_accounts.call("GET", "/v1/whoami", f"two-keys/{key_type}").json
        assert (me["keyType"], me["key"]["key"][-5:]) == (
            key_type,
            shared_accounts[f"two-keys/{key_type}"].secret[-5:],
        )


# The key


def spoiled(secret: str) -> dict[str, str]:
    return {
        "one character changed": secret[:20] + ("a" if secret[20] != "a" else "b") + secret[21:],
        "checksum changed": secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        "one short": secret[:-1],
        "one long": secret + "A",
        "a space after": secret + " ",
        "a line break after": secret + "\n",
        "other case": secret.swapcase(),
        "another prefix": "sui_" + secret[4:],
        "no prefix": secret[4:],
        "a digest of it": key_format.digest(secret).hex(),
        "an invitation's token": key_format.new_token(),
        "wide digits": secret.replace(secret[10], "\uff11"),
    }


@pytest.mark.parametrize("case", spoiled(key_format.new_key()))
def test_a_mistyped_key_is_refused_before_any_database_call(shared_accounts: Accounts, case: str) -> None:
    key = Key("two-keys", spoiled(shared_accounts["two-keys/MONITORING"].secret)[case])
    with shared_accounts.stack.counted() as calls:
        response = shared_accounts.stack.call("GET", "/v1/whoami", key)
    assert_problem(response, 401)
    assert not calls


def test_a_wrong_key_is_refused_in_the_same_words_whoever_it_is_for(shared_accounts: Accounts) -> None:
    details = set()
    for username, secret in (
        ("two-keys", key_format.new_key()),
        ("owner", shared_accounts["two-keys/MONITORING"].secret),
        ("nobody-1", shared_accounts["two-keys/MONITORING"].secret),
        ("nobody-1", key_format.new_key()),
        ("two-keys", "password"),
    ):
        with assert_nothing_written(shared_accounts.stack), shared_accounts.stack.counted() as calls:
            response = shared_accounts.stack.call("GET", "/v1/whoami", Key(username, secret))
        assert calls.total() == (0 if secret == "password" else 1)
        details.add(assert_problem(response, 401)["detail"])
    assert len(details) == 1


def test_every_key_is_compared_whichever_it_is(
    shared_accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long it takes tells nothing of which key, or whether any, was right."""
    compared: list[bool] = []
    same = key_format.same

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(same(one, other))
        return compared[-1]

    monkeypatch.setattr(key_format, "same", counting)
    for secret in (
        shared_accounts["two-keys/MONITORING"].secret,
        shared_accounts["two-keys/PROVISIONING_READONLY"].secret,
        key_format.new_key(),
    ):
        compared.clear()
        shared_accounts.stack.call("GET", "/v1/whoami", Key("two-keys", secret))
        assert len(compared) == 2


# Notes of use


def test_each_keys_use_is_recorded_at_most_once_an_hour(accounts: Accounts) -> None:
    stack = accounts.stack
    keys = stack.service_user(accounts["owner"], "bot")
    start = int(stack.clock())

    def used(at: int, key_type: str = "MONITORING") -> tuple[int, int | None]:
        stack.clock.at = start + at
        with stack.counted() as calls:
            assert stack.sign_in(keys[key_type]) == 200
        return calls["UpdateItem"], stack.stored_keys("bot")[key_type].get("lastUsedAt")

    assert used(0) == (1, start)
    assert used(1) == (0, start)
    assert used(HOUR - 1) == (0, start)
    assert used(HOUR - 1, "PROVISIONING_READONLY") == (1, start + HOUR - 1)
    assert used(HOUR) == (1, start + HOUR)
    assert used(3 * HOUR) == (1, start + 3 * HOUR)
    read = stack.call("GET", f"{PATH}/bot", accounts["owner"]).json["apiKeys"]["apiKeys"]
    assert [it["lastUsedAt"] for it in read] == ["2030-03-17T20:46:40Z", "2030-03-17T18:46:39Z"]


def test_the_use_that_a_call_notes_is_not_undone_by_what_it_writes(accounts: Accounts) -> None:
    """A key first used to generate another: what is written back of its holder has the use in it."""
    start = int(accounts.stack.clock())
    owner = accounts.stack.account("olga")
    accounts.stack.own_key(owner, "MONITORING")
    assert accounts.stack.stored_keys("olga")["USER_MANAGEMENT"]["lastUsedAt"] == start
    accounts.stack.clock.forward(2 * HOUR)
    rotated = accounts.stack.call(
        "POST", "/v1/users/olga/api-keys/rotate", owner, {"keyType": "MONITORING", "overlapSeconds": 60}
    )
    assert rotated.status == 200
    assert accounts.stack.stored_keys("olga")["USER_MANAGEMENT"]["lastUsedAt"] == start + 2 * HOUR


def test_a_rotated_key_keeps_the_use_it_was_rotated_with(accounts: Accounts) -> None:
    key = accounts.stack.service_user(accounts["owner"], "bot")["MONITORING"]
    response = accounts.stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 60})
    assert response.json["lastUsedAt"] is None
    assert response.json["predecessor"]["lastUsedAt"] == "2030-03-17T17:46:40Z"
    accounts.stack.clock.forward(HOUR)
    assert accounts.stack.sign_in(key) == 401


def test_uses_of_a_predecessor_and_its_successor_are_recorded_separately(accounts: Accounts) -> None:
    old = accounts.stack.service_user(accounts["owner"], "bot")["MONITORING"]
    accounts.stack.call("POST", "/v1/api-keys/rotate", old, {"overlapSeconds": 3 * HOUR})
    accounts.stack.clock.forward(2 * HOUR)
    assert accounts.stack.sign_in(old) == 200
    key = accounts.stack.stored_keys("bot")["MONITORING"]
    assert "lastUsedAt" not in key
    assert key["predecessor"]["lastUsedAt"] == int(accounts.stack.clock())
    with accounts.stack.counted() as calls:
        assert accounts.stack.sign_in(old) == 200
    assert calls == {"GetItem": 1}
    act = accounts.stack.call("POST", "/v1/api-keys/rotate", old, {"overlapSeconds": HOUR})
    assert act.status == 200


# Networks


@pytest.mark.parametrize(
    ("networks", "source_ip", "status"),
    [
        ([], "198.51.100.7", 200),
        ([], "", 200),
        (["198.51.100.0/24"], "198.51.100.7", 200),
        (["198.51.100.7/32"], "198.51.100.7", 200),
        (["198.51.100.8/32"], "198.51.100.7", 403),
        (["203.0.113.0/24", "198.51.100.0/24"], "198.51.100.255", 200),
        (["203.0.113.0/24", "2001:db8::/32"], "198.51.100.7", 403),
        (["0.0.0.0/0"], "198.51.100.7", 200),
        (["0.0.0.0/0"], "2001:db8::1", 403),
        (["::/0"], "198.51.100.7", 403),
        (["0.0.0.0/0", "::/0"], "198.51.100.7", 200),
        (["2001:db8::/32"], "2001:DB8:0:0::1", 200),
        (["2001:db8::/32"], "2001:db9::1", 403),
        (["198.51.100.0/24"], "::ffff:198.51.100.7", 200),
        (["198.51.100.0/24"], "::ffff:198.51.101.7", 403),
        (["::ffff:198.51.100.0/120"], "198.51.100.7", 200),
        (["198.51.100.0/24"], "", 403),
        (["198.51.100.0/24"], "198.51.100.7, 203.0.113.9", 403),
        (["198.51.100.0/24"], "unknown", 403),
        (["127.0.0.0/8"], "127.0.0.1", 200),
    ],
)
def test_a_key_is_good_at_its_networks_and_nowhere_else(
    accounts: Accounts, networks: list[str], source_ip: str, status: int
) -> None:
    keys = accounts.stack.service_user(accounts["owner"], "bot", allowedNetworks=networks)
    response = accounts.stack.call("GET", "/v1/whoami", keys["MONITORING"], source_ip=source_ip)
    assert response.status == status
    if status == 403:
        problem = assert_problem(response, 403)
        assert "may not be used from" in problem["detail"]


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "Via"]
)
def test_no_header_makes_a_caller_appear_to_be_in_a_network(accounts: Accounts, header: str) -> None:
    keys = accounts.stack.service_user(accounts["owner"], "bot", allowedNetworks=["203.0.113.0/24"])
    value = "for=203.0.113.9" if header == "Forwarded" else "203.0.113.9"
    assert accounts.stack.sign_in(keys["MONITORING"], headers={header: value}) == 403


def test_networks_are_of_one_key_and_hold_for_every_call(accounts: Accounts) -> None:
    keys = accounts.stack.service_user(accounts["owner"], "bot")
    path = f"{PATH}/bot/api-keys"
    body = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    assert accounts.call("PATCH", path, "owner", body).status == 200
    assert accounts.stack.sign_in(keys["PROVISIONING_READONLY"]) == 200
    for method, called in (("GET", "/v1/whoami"), ("GET", f"{PATH}/bot"), ("POST", "/v1/api-keys/rotate")):
        assert_problem(accounts.stack.call(method, called, keys["MONITORING"]), 403)
    assert accounts.stack.sign_in(keys["MONITORING"], source_ip="203.0.113.1") == 200


def test_a_wrong_key_from_elsewhere_learns_nothing_about_networks(accounts: Accounts) -> None:
    accounts.stack.service_user(accounts["owner"], "bot", allowedNetworks=["203.0.113.0/24"])
    assert_problem(accounts.stack.call("GET", "/v1/whoami", Key("bot", key_format.new_key())), 401)
    assert not accounts.stack.events("API_KEY_REFUSED")


def test_a_refusal_is_recorded_at_most_once_an_hour_a_key(accounts: Accounts) -> None:
    stack = accounts.stack
    keys = stack.service_user(accounts["owner"], "bot", allowedNetworks=["203.0.113.0/24"])
    start = int(stack.clock())

    def refused(at: int, key_type: str = "MONITORING") -> tuple[int, int]:
        stack.clock.at = start + at
        with stack.counted() as calls:
            assert stack.sign_in(keys[key_type]) == 403
        return calls["TransactWriteItems"], len(stack.events("API_KEY_REFUSED"))

    assert refused(0) == (1, 1)
    assert refused(1) == (0, 1)
    assert refused(HOUR - 1) == (0, 1)
    assert refused(HOUR - 1, "PROVISIONING_READONLY") == (1, 2)
    assert refused(HOUR) == (1, 3)
    (first, *_) = sorted(stack.events("API_KEY_REFUSED"), key=lambda it: str(it["id"]))
    assert first["actor"].items() >= {"kind": "SERVICE_USER", "username": "bot"}.items()
    assert first["keys"] == [
        {"change": "REFUSED", "keyType": "MONITORING", "last5": keys["MONITORING"].secret[-5:]}
    ]
    assert (first["sourceIp"], "198.51.100.7" in first["reason"]) == ("198.51.100.7", True)
    assert "waiting" not in first
    # It is no use of the key, and the key is as good as before at its own networks.
    assert "lastUsedAt" not in stack.stored_keys("bot")["MONITORING"]
    assert stack.sign_in(keys["MONITORING"], source_ip="203.0.113.5") == 200


def test_a_refusal_that_a_concurrent_call_recorded_is_not_recorded_again(accounts: Accounts) -> None:
    """Two calls at once read that there is none yet: the second's note fails its condition, and is let go."""
    stack = accounts.stack
    key = stack.service_user(accounts["owner"], "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    called = "before-call.dynamodb.TransactWriteItems"
    again = []

    def before_next_call(**_more: Any) -> None:
        stack.client.meta.events.unregister(called, before_next_call)
        again.append(stack.sign_in(key))

    stack.client.meta.events.register(called, before_next_call)
    assert stack.sign_in(key) == 403
    assert again == [403]
    assert len(stack.events("API_KEY_REFUSED")) == 1
