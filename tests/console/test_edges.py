"""What seldom happens in the console: races, oversized and malformed requests, and calls by a key."""

import json
from collections.abc import Callable

import pytest

from chalicelib.console import account_pages
from chalicelib.rules import key_format, limits, passkeys, sessions
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ConcurrentChange, Unauthenticated
from tests.support.accounts import Accounts
from tests.support.browser import Browser
from tests.support.passkeys import SoftPasskey

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
    directory = accounts.stack.service.directory
    whole = directory.page
    monkeypatch.setattr(
        directory,
        "page",
        lambda account, kind, _limit, after, prefix="": whole(account, kind, 1, after, prefix),
    )
    monkeypatch.setattr(account_pages, "MAX_READ", 1)
    fields = {"name": "Acme", "maxKeyAgeDays": "30", "revokeInactiveAfterDays": ""}
    assert "only part of the account" in ann.edit("account", fields).words
    monkeypatch.setattr(account_pages, "MAX_READ", 100)
    assert "bot-b MONITORING" in ann.edit("account", fields).words


@pytest.mark.parametrize("shorter", [True, False])
def test_a_policy_is_not_changed_without_a_word_where_only_a_part_was_searched(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch, shorter: bool
) -> None:
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot-a", keyTypes=[])
    accounts.stack.service_user(accounts["admin"], "bot-b", keyTypes=["MONITORING"])
    directory = accounts.stack.service.directory
    whole = directory.page
    monkeypatch.setattr(
        directory,
        "page",
        lambda account, kind, _limit, after, prefix="": whole(account, kind, 1, after, prefix),
    )
    monkeypatch.setattr(account_pages, "MAX_READ", 1)
    fields = {"name": "Other", "maxKeyAgeDays": "", "revokeInactiveAfterDays": ""}
    if not shorter:
        assert ann.edit("account", fields).status == 303, "this ends nothing"
        return
    fields["maxKeyAgeDays"] = "30"
    shown = ann.edit("account", fields)
    assert shown.status == 200
    assert "bot-b" not in shown.words
    assert "admin USER_MANAGEMENT" in shown.words, "Users are searched, too"
    monkeypatch.setattr(directory, "page", lambda *given, **more: whole(*given, **more)._replace(members=()))
    monkeypatch.setattr(account_pages, "MAX_READ", 0)
    shown = ann.edit("account", fields)
    assert "This may end keys and passkeys, and nothing was changed yet" in shown.words
    assert "Some may end: only part of the account was searched." in shown.words
    assert ann.edit("account", {**fields, "sure": shown.hidden("sure")}).status == 303
    empty = lambda *given, **more: whole(*given, **more)._replace(members=(), after=None)  # noqa: E731
    monkeypatch.setattr(directory, "page", empty)
    monkeypatch.setattr(account_pages, "MAX_READ", 1)
    fields["maxKeyAgeDays"] = "20"
    assert ann.edit("account", fields).status == 303, "all was searched, and nothing ends"


def test_a_session_secret_has_a_form_of_its_own() -> None:
    assert key_format.well_formed(key_format.new_secret("sus_"), "sus_")
    assert not key_format.well_formed(key_format.new_secret("sus_"), "suc_")


def add_phone(browser: Browser) -> tuple[SoftPasskey, str]:
    """Add a second passkey, and return it and its id."""
    phone = SoftPasskey()
    made = phone.create(browser.call("add-begin").json["challenge"])
    assert browser.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    stored = browser.stack.item("ann")["passkeys"]
    return phone, next(id_ for id_, it in stored.items() if it["name"] == "Phone")


def in_the_way(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, times: int, act: Callable[[], object]
) -> None:
    """Let ``act`` happen before each of the next changes: after they have read, and before they write."""
    directory = accounts.stack.service.directory
    commit, left, busy = directory.commit, [times], [False]

    def first(*writes: object, **more: object) -> None:
        if left[0] and not busy[0]:
            left[0] -= 1
            busy[0] = True
            act()
            busy[0] = False
        commit(*writes, **more)

    monkeypatch.setattr(directory, "commit", first)


def test_whoever_signs_in_again_and_again_ends_no_session_of_another_passkey(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    phone, _ = add_phone(ann)
    thieves = [Browser(accounts.stack, passkey=phone) for _ in range(sessions.MAX_SESSIONS)]
    for thief in thieves:
        accounts.stack.clock.forward(61)
        assert thief.sign_in().status == 200
    assert [it.open("you", follow=False).status for it in (ann, *thieves)] == [200, 303, *[200] * 4]
    accounts.stack.clock.forward(61)
    laptop = Browser(accounts.stack, passkey=ann.passkey)
    assert laptop.sign_in().status == 200, "and this ends the other session of this passkey"
    assert [it.open("you", follow=False).status for it in (ann, *thieves, laptop)] == [
        *(303, 303),
        *[200] * 5,
    ]


def test_a_passkey_that_is_used_too_often_is_refused_and_holds_nothing_else_up(
    accounts: Accounts, person: Person
) -> None:
    """Each sign-in changes the person, and would be in the way of what they and the OWNERs do."""
    ann, bea = person(), person("bea")
    phone, phone_id = add_phone(ann)
    thief = Browser(accounts.stack, passkey=phone)
    for _ in range(limits.PASSKEY_USE_BURST):
        assert thief.sign_in().status == 200
    before = accounts.stack.item("ann")
    refused = thief.sign_in()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "30")
    assert "used too often" in refused.text
    assert "WWW-Authenticate" not in thief.call("sign-in-finish", {}).headers
    assert thief.confirm().status == 429
    assert accounts.stack.item("ann") == before, "a refusal writes nothing"
    other = Browser(accounts.stack, passkey=ann.passkey)
    assert other.sign_in().status == 200
    accounts.stack.clock.forward(29)
    assert thief.sign_in().status == 429
    accounts.stack.clock.forward(1)
    assert [thief.sign_in().status for _ in range(2)] == [200, 429]
    assert other.confirm().status == 200
    assert other.post(f"you/passkey?id={phone_id}").status == 303
    assert thief.sign_in().status == 401
    assert bea.edit("people/ann/invite-again", {}).status == 303


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("how", ["remove", "one", "everywhere", "invite again", "suspend"])
def test_what_ends_sessions_is_tried_again_where_a_thief_signs_in_meanwhile(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch, how: str, times: int
) -> None:
    ann = person()
    phone, phone_id = add_phone(ann)
    thief, other = Browser(accounts.stack, passkey=phone), Browser(accounts.stack, passkey=phone)
    assert other.sign_in().status == 200
    accounts.stack.clock.forward(1)
    [other_id] = [
        it for it, at in accounts.stack.item("ann")["sessions"].items() if at["passkey"] == phone_id
    ]
    bea = person("bea")
    was = bea.open("people/ann/invite-again").hidden("was")
    in_the_way(accounts, monkeypatch, times, lambda: thief.sign_in())
    done = {
        "remove": lambda: ann.post(f"you/passkey?id={phone_id}"),
        "one": lambda: ann.post(f"you/session?id={other_id}"),
        "everywhere": lambda: ann.post("you/sessions"),
        "invite again": lambda: bea.post("people/ann/invite-again", {"was": was}),
        "suspend": lambda: bea.post("people/ann/suspend"),
    }[how]()
    if times == 3 and how != "suspend":
        assert done.status == 409
        return
    assert done.status == 303
    assert other.open("you", follow=False).status == 303
    assert (thief.open("you", follow=False).status == 200) is (how == "one")
    tries = min(times, 2) if how == "suspend" else times  # the second try suspends whatever version there is
    assert len(accounts.stack.events("SIGNED_IN")) == 1 + tries


@pytest.mark.parametrize("how", ["revoked", "lowered", "signed out"])
def test_a_change_is_not_tried_again_by_whoever_may_not_make_it_any_more(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    ann = person()
    _, phone_id = add_phone(ann)
    other = Browser(accounts.stack, passkey=ann.passkey)
    assert other.sign_in().status == 200
    acts: dict[str, Callable[[], object]] = {
        "revoked": lambda: accounts.call("DELETE", "/v1/users/ann", "owner"),
        "lowered": lambda: accounts.call("PUT", "/v1/users/ann", "owner", {"role": "CLUSTER_ADMIN"}),
        "signed out": lambda: other.post("you/sessions"),
    }
    in_the_way(accounts, monkeypatch, 1, acts[how])
    assert ann.post(f"you/passkey?id={phone_id}").status == 401
    if how == "lowered":
        assert phone_id in accounts.stack.item("ann")["passkeys"]


@pytest.mark.parametrize("what", ["passkey", "activation"])
def test_an_invitation_is_not_sent_again_past_what_somebody_has_decided_meanwhile(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ann = person()
    body = {"username": "cat", "email": "cat@people.example", "role": "READ_ONLY"}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    cat, token = Browser(accounts.stack), accounts.stack.token("cat")
    act: Callable[[], object] = (
        (lambda: add_phone(ann)) if what == "passkey" else lambda: cat.activate("cat", token)
    )
    in_the_way(accounts, monkeypatch, 1, act)
    path = f"/v1/users/{'ann' if what == 'passkey' else 'cat'}/invitation"
    assert accounts.call("POST", path, "owner").status == 409
    assert (ann if what == "passkey" else cat).open("you").status == 200


@pytest.mark.parametrize(("what", "status"), [("a name", 200), ("the key", 401)])
def test_one_invites_oneself_again_only_while_the_key_works(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch, what: str, status: int
) -> None:
    person()

    def act() -> None:
        if what == "a name":
            done = accounts.call("PUT", "/v1/users/owner", "owner", {"displayName": "The owner"})
        else:
            body = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 0}
            done = accounts.call("POST", "/v1/users/owner/api-keys/rotate", "owner", body)
        assert done.status == 200

    in_the_way(accounts, monkeypatch, 1, act)
    assert accounts.call("POST", "/v1/users/owner/invitation", "owner").status == status
    assert ("keys" in accounts.stack.item("owner")) is (status == 401)
