"""What seldom happens in the console: races, oversized and malformed requests, and calls by a key."""

import json
from collections.abc import Callable

import pytest

from chalicelib.console import account_pages
from chalicelib.rules import key_format, passkeys, sessions
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ConcurrentChange, Unauthenticated
from tests.support.accounts import Accounts
from tests.support.browser import Browser

Person = Callable[..., Browser]
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 200), (3, 409)])
def test_a_sign_in_is_tried_again_where_something_else_changes_the_person(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch, times: int, status: int
) -> None:
    ann = person()
    directory = accounts.stack.service.directory
    commit, left = directory.commit, [times]

    def in_the_way(*writes: object, **more: object) -> None:
        if left[0]:
            left[0] -= 1
            raise ConcurrentChange("in the way")
        commit(*writes, **more)

    monkeypatch.setattr(directory, "commit", in_the_way)
    assert ann.sign_in().status == status


def test_a_challenge_for_one_token_takes_no_other(accounts: Accounts) -> None:
    body = {"username": "bea", "email": "bea@people.example", "role": "READ_ONLY"}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    browser = Browser(accounts.stack)
    begun = browser.call("activate-begin", {"username": "bea", "token": accounts.stack.token("bea")}).json
    made = browser.passkey.create(begun["challenge"])
    other = accounts.stack.token("bea")
    assert browser.call("activate-finish", {"token": other, "name": "", "passkey": made}).status == 400


def test_a_passkey_that_is_gone_is_not_removed_again(accounts: Accounts, person: Person) -> None:
    ann = person()
    user = accounts.stack.service.directory.principal("ann")
    origin = Origin("", "", accounts.stack.clock())
    cookie = ann.cookies["__Host-session"]
    username, secret = cookie.rsplit(".", 1)
    auth = sessions.resume(accounts.stack.service.directory, username, secret, origin)
    with pytest.raises(Exception, match="no such passkey"):
        passkeys.remove(accounts.stack.service.directory, auth, "none")
    assert user is not None


def test_a_caller_with_a_key_has_no_session_and_needs_no_confirmation(accounts: Accounts) -> None:
    owner = accounts["owner"]
    origin = Origin("198.51.100.7", "", accounts.stack.clock())
    auth = sign_in(accounts.stack.service.directory, owner.username, owner.secret, origin)
    with pytest.raises(Unauthenticated):
        sessions.current(auth)
    sessions.require_confirmed(auth)


def test_what_the_script_sends_wrongly_is_said(person: Person) -> None:
    ann = person()
    headers = {**JSON, "x-form-token": ann.csrf}
    assert ann.request("POST", "/console/passkey/sign-in-finish", "{", JSON).status == 400
    assert (
        ann.request("POST", "/console/passkey/sign-in-finish", "{}", {"content-type": "text/plain"}).status
        == 415
    )
    empty = {"id": "", "clientData": "", "authenticatorData": "", "publicKey": "", "algorithm": 0}
    wrong = json.dumps({"name": "a\u0000b", "passkey": empty})
    refused = ann.request("POST", "/console/passkey/add-finish", wrong, headers)
    assert refused.status == 400
    assert "has no control characters" in refused.text
    pasted = json.dumps({"name": f"Laptop {key_format.new_secret(key_format.KEY_PREFIX)}", "passkey": empty})
    refused = ann.request("POST", "/console/passkey/add-finish", pasted, headers)
    assert refused.status == 400
    assert "has an API key or another secret in it" in refused.text
    event = ann.stack.event("POST", "/console/sign-out", headers=FORM, raw=b"csrf=\xff")
    cookie = f"__Host-session={ann.cookies['__Host-session']}"
    event["headers"] = {**FORM, "sec-fetch-site": "same-origin", "cookie": cookie}
    assert ann.stack.app(event, None)["statusCode"] == 400


def test_a_service_user_without_keys_and_one_restricted_but_not_ended(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    new = {"username": "quiet", "email": "q@machines.example", "role": "READ_ONLY", "expiry": "never"}
    made = ann.post("create/service-user", new)
    assert made.headers["Location"] == "../service-users/quiet?done=created"
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    shown = ann.open("service-users/bot/restrict?key=MONITORING")
    fields = {
        "type": "MONITORING",
        "was": shown.hidden("was"),
        "expiry": "keep",
        "allowedNetworks": "10.0.0.0/8",
    }
    assert ann.post("service-users/bot/restrict", fields).status == 303
    accounts.stack.clock.forward(3 * 3600)
    assert ann.sign_in().status == 200
    assert "3 hours ago" in ann.open("service-users/bot").words


def test_a_large_account_says_that_more_may_end(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person()
    for name in ("bot-a", "bot-b"):
        accounts.stack.service_user(accounts["admin"], name, keyTypes=["MONITORING"])
    monkeypatch.setattr(account_pages, "MAX_READ", 1)
    fields = {"name": "Acme", "maxKeyAgeDays": "30", "revokeInactiveAfterDays": ""}
    assert "only part of the account" in ann.edit("account", fields).words
    directory = accounts.stack.service.directory
    whole = directory.page
    monkeypatch.setattr(
        directory,
        "page",
        lambda account, kind, _limit, after, prefix="": whole(account, kind, 1, after, prefix),
    )
    monkeypatch.setattr(account_pages, "MAX_READ", 100)
    assert "bot-b MONITORING" in ann.edit("account", fields).words


def test_a_session_secret_has_a_form_of_its_own() -> None:
    assert key_format.well_formed(key_format.new_secret("sus_"), "sus_")
    assert not key_format.well_formed(key_format.new_secret("sus_"), "suc_")
