"""The console at the same moment, on the real engine: passkeys, sessions, challenges, and pointers of keys.

Each race has browsers of its own, that start together, and is run several times; whoever wins, the tables
agree with the responses, and what was ended stays so.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier, Event
from typing import Any

import pytest
from chalice.local import LocalChalice

from chalicelib.rules.sessions import MAX_SESSIONS
from tests.support.accounts import PATH, Accounts
from tests.support.api_client import Key, Response, Stack
from tests.support.browser import Browser, Page
from tests.support.dynamodb_faults import assert_events_match_keys
from tests.support.passkeys import SoftPasskey

pytestmark = pytest.mark.engine

ROUNDS = 4
CROWD = 6
LOST = {400, 409}
"""What who comes too late is answered: it is used, or changed at this moment."""

Racer = Callable[[], Page | Response]


@pytest.fixture
def accounts(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """An account with its "owner". Each thread sees its own request, as each environment of Lambda does."""
    monkeypatch.setattr(stack.app, "__class__", type("Threaded", (LocalChalice, type(stack.app)), {}))
    made = Accounts(stack)
    made.caller("owner")
    return made


def at_once(*racers: Racer) -> list[Any]:
    """Let all of them start at the same moment; return their responses in order."""
    start = Barrier(len(racers))

    def run(racer: Racer) -> Page | Response:
        start.wait(30)
        return racer()

    with ThreadPoolExecutor(len(racers)) as pool:
        return list(pool.map(run, racers))


def statuses(responses: list[Any]) -> Counter[int]:
    return Counter(it.status for it in responses)


def invited(accounts: Accounts, username: str, role: str = "OWNER") -> str:
    """Invite a person and return a token of theirs."""
    body = {"username": username, "email": f"{username}@people.example", "role": role}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    return accounts.stack.token(username)


def person(accounts: Accounts, username: str, role: str = "OWNER", counter: int = 0) -> Browser:
    """Return the browser of a person who has just taken up an invitation in it."""
    browser = Browser(accounts.stack, passkey=SoftPasskey(counter=counter))
    assert browser.activate(username, invited(accounts, username, role)).status == 200
    return browser


def copies(browser: Browser, crowd: int = CROWD) -> list[Browser]:
    """Return windows of the same browser: with its cookies and its passkey."""
    return [
        Browser(browser.stack, cookies={**browser.cookies}, passkey=browser.passkey) for _ in range(crowd)
    ]


def credentials(stack: Stack) -> set[str]:
    found = {it["pk"] for it in stack.items(stack.tables.directory)}
    return {pk for pk in found if pk.startswith("CREDENTIAL#")}


def credential(passkey: SoftPasskey) -> str:
    return f"CREDENTIAL#{sha256(passkey.credential_id).hexdigest()}"


def signs_in(stack: Stack, passkey: SoftPasskey) -> bool:
    """Return whether a passkey signs in, in a browser that nobody used before."""
    done = Browser(stack, passkey=passkey).sign_in()
    assert done.status in (200, 401), done.text
    return done.status == 200


def with_code(stack: Stack, username: str) -> str:
    """Return a code as the email would carry it."""
    return stack.code(username)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_one_of_many_enrols_with_a_code(accounts: Accounts, number: int) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    asker = Browser(stack)
    assert asker.post("enrol", {"username": "owner", "key": owner.secret}, csrf="").status == 200
    code = with_code(stack, "owner")
    browsers = [Browser(stack) for _ in range(CROWD)]
    for browser in browsers:  # as tabs of the browser that asked
        browser.cookies = dict(asker.cookies)

    def finish(browser: Browser) -> Racer:
        begun = browser.call("enrol-begin", {"username": "owner", "code": code}).json
        made = browser.passkey.create(begun["challenge"])
        return lambda: browser.call("enrol-finish", {"code": code, "name": "", "passkey": made})

    responses = at_once(*map(finish, browsers))
    found = statuses(responses)
    assert found[200] == 1
    assert found.keys() <= {200} | LOST
    won = [browser for browser, it in zip(browsers, responses, strict=True) if it.status == 200]
    assert [browser for browser in browsers if signs_in(stack, browser.passkey)] == won
    assert credentials(stack) == {credential(won[0].passkey)}
    assert len(stack.item("owner")["passkeys"]) == 1
    assert len(stack.events("PASSKEY_ADDED")) == 1
    assert stack.signs_in(owner)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_many_additions_leave_no_more_passkeys_than_one_may_have(accounts: Accounts, number: int) -> None:
    stack = accounts.stack
    ann = person(accounts, "ann")
    for _ in range(3):
        soft = SoftPasskey()
        made = soft.create(ann.call("add-begin").json["challenge"])
        assert ann.call("add-finish", {"name": "", "passkey": made}).status == 200
    windows = copies(ann)
    new = [SoftPasskey() for _ in windows]

    def finish(window: Browser, soft: SoftPasskey) -> Racer:
        made = soft.create(window.call("add-begin").json["challenge"])
        return lambda: window.call("add-finish", {"name": "", "passkey": made})

    responses = at_once(*(finish(*it) for it in zip(windows, new, strict=True)))
    assert statuses(responses).keys() <= {200, 409}
    assert statuses(responses)[200] == 1
    assert len(stack.item("ann")["passkeys"]) == 5
    assert len(credentials(stack)) == 5
    added = [soft for soft, it in zip(new, responses, strict=True) if it.status == 200]
    assert [soft for soft in new if signs_in(stack, soft)] == added


@pytest.mark.parametrize("path", ["sign-in", "confirm"])
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_challenge_that_is_answered_many_times_at_once_is_good_once(
    accounts: Accounts, number: int, path: str
) -> None:
    stack = accounts.stack
    ann = person(accounts, "ann")
    before = stack.item("ann")["sessions"]
    signed = ann.passkey.get(ann.call(f"{path}-begin").json["challenge"])
    windows = copies(ann)

    def finish(window: Browser) -> Racer:
        return lambda: window.call(f"{path}-finish", signed)

    found = statuses(at_once(*map(finish, windows)))
    assert found[200] == 1
    assert found.keys() <= {200} | LOST
    assert ann.call(f"{path}-finish", signed).status == 400
    new = stack.item("ann")["sessions"].keys() - before.keys()
    assert len(new) == (1 if path == "sign-in" else 0)
    assert len(stack.events("SIGNED_IN")) == len(new)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_of_copies_of_a_passkey_with_one_count_one_signs_in(accounts: Accounts, number: int) -> None:
    """A counter that does not rise is that of a copy, also where both come at the same moment."""
    stack = accounts.stack
    ann = person(accounts, "ann", counter=3)
    browsers = [Browser(stack, passkey=ann.passkey) for _ in range(CROWD)]

    def finish(browser: Browser) -> Racer:
        challenge = browser.call("sign-in-begin").json["challenge"]
        ann.passkey.counter = 3  # which signs with 4
        signed = ann.passkey.get(challenge)
        return lambda: browser.call("sign-in-finish", signed)

    found = statuses(at_once(*map(finish, browsers)))
    assert found[200] == 1
    assert found.keys() <= {200, 401, 409}
    ann.passkey.counter = 3
    assert not signs_in(stack, ann.passkey)
    assert signs_in(stack, ann.passkey)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_of_sign_ins_with_several_counts_none_goes_back(accounts: Accounts, number: int) -> None:
    stack = accounts.stack
    ann = person(accounts, "ann", counter=3)
    browsers = [Browser(stack, passkey=ann.passkey) for _ in range(CROWD)]

    def finish(browser: Browser) -> Racer:
        signed = ann.passkey.get(browser.call("sign-in-begin").json["challenge"])
        return lambda: browser.call("sign-in-finish", signed)

    responses = at_once(*map(finish, browsers))
    assert statuses(responses).keys() <= {200, 401, 409}
    done = [4 + place for place, it in enumerate(responses) if it.status == 200]
    assert done
    [stored] = stack.item("ann")["passkeys"].values()
    assert stored["counter"] == max(done)
    assert len(stack.events("SIGNED_IN")) == len(done)
    ann.passkey.counter = max(done) - 1
    assert not signs_in(stack, ann.passkey)


@pytest.mark.parametrize("how", ["revoke", "invite again", "remove"])
@pytest.mark.parametrize("number", range(ROUNDS))
def test_nobody_signs_in_past_the_end_of_a_passkey(accounts: Accounts, number: int, how: str) -> None:
    """Whichever comes first: after the response, neither the passkey nor a session of it opens anything."""
    stack = accounts.stack
    ann, username = person(accounts, "ann", "CLUSTER_ADMIN"), "ann"
    phone = SoftPasskey()
    made = phone.create(ann.call("add-begin").json["challenge"])
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    stored = stack.item("ann")["passkeys"]
    [phone_id] = [id_ for id_, it in stored.items() if it["credentialId"] == phone.credential_id]
    # With that of this browser, as many sessions as a person may have: one more ends the oldest.
    browsers = [Browser(stack, passkey=phone) for _ in range(MAX_SESSIONS - 1)]

    def sign_in(browser: Browser) -> Racer:
        signed = phone.get(browser.call("sign-in-begin").json["challenge"])
        return lambda: browser.call("sign-in-finish", signed)

    def end() -> Page | Response:
        for _try in range(100):
            match how:
                case "revoke":
                    response: Page | Response = accounts.call("DELETE", f"/v1/users/{username}", "owner")
                case "invite again":
                    response = accounts.call("POST", f"/v1/users/{username}/invitation", "owner")
                case _:
                    response = ann.post(f"you/passkey?id={phone_id}")
            if response.status != 409:
                break
        return response

    *responses, ended = at_once(*map(sign_in, browsers), end)
    assert ended.status in (200, 204, 303)
    assert statuses(responses).keys() <= {200, 401, 409}
    for browser in browsers:
        assert browser.open("you", follow=False).status == 303
    assert not signs_in(stack, phone)
    assert credential(phone) not in credentials(stack)
    people = {it["pk"]: it for it in stack.items(stack.tables.directory)}
    left = people.get("USER#ann", {}).get("sessions", {})
    assert len(left) == (1 if how == "remove" else 0)
    assert (ann.open("you", follow=False).status == 200) is (how == "remove")


@pytest.mark.parametrize("how", ["everywhere", "here", "revoke", "invite again"])
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_session_does_nothing_after_its_end(accounts: Accounts, number: int, how: str) -> None:
    """Windows of one browser change keys and keep the session going while it is ended from another."""
    stack = accounts.stack
    ann = person(accounts, "ann", "CLUSTER_ADMIN")
    assert ann.edit("you/generate?key=MONITORING", {"type": "MONITORING", "expiry": "never"}).status == 200
    windows = copies(ann)
    stack.clock.forward(60)  # so that each use is noted

    def act(place: int, window: Browser) -> Racer:
        def change() -> Page:
            people = {it["pk"]: it for it in stack.items(stack.tables.directory)}
            # They are gone if the end was first.
            key = people.get("USER#ann", {}).get("keys", {}).get("MONITORING", {})
            fields = {"type": "MONITORING", "was": key.get("last5", "gone!"), "overlapSeconds": "0"}
            return window.post("you/rotate", fields)

        return change if place % 2 else lambda: window.open("you", follow=False)

    def end() -> Page | Response:
        for _try in range(100):
            match how:
                case "revoke":
                    response: Page | Response = accounts.call("DELETE", "/v1/users/ann", "owner")
                case "invite again":
                    response = accounts.call("POST", "/v1/users/ann/invitation", "owner")
                case "here":
                    response = Browser(stack, cookies={**ann.cookies}).post("sign-out")
                case _:
                    response = Browser(stack, cookies={**ann.cookies}).post("you/sessions")
            if response.status != 409:
                break
        return response

    *responses, ended = at_once(*(act(*it) for it in enumerate(windows)), end)
    assert ended.status in (200, 204, 303)
    assert statuses(responses).keys() <= {200, 303, 401, 404, 409}
    after = stack.snapshot()
    for place, window in enumerate(windows):
        page = window.post("you/generate", {"type": "PROVISIONING", "expiry": "never"})
        assert page.status == 401
        assert window.call("confirm-begin").status == 401
        assert window.open("you", follow=False).status == 303, place
    assert stack.snapshot() == after
    people = {it["pk"]: it for it in stack.items(stack.tables.directory)}
    assert not people.get("USER#ann", {}).get("sessions"), "a note of a use brings no session back"
    assert_events_match_keys(stack, exact=how != "revoke")


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_invitation_is_accepted_once_in_browsers_and_by_calls(accounts: Accounts, number: int) -> None:
    stack = accounts.stack
    token = invited(accounts, "bea")
    browsers = [Browser(stack) for _ in range(CROWD)]

    def finish(browser: Browser) -> Racer:
        begun = browser.call("activate-begin", {"username": "bea", "token": token}).json
        made = browser.passkey.create(begun["challenge"])
        return lambda: browser.call("activate-finish", {"token": token, "name": "", "passkey": made})

    def call() -> Response:
        return stack.call("POST", "/v1/users/activate", body={"username": "bea", "token": token})

    responses = at_once(*map(finish, browsers), call, call)
    found = statuses(responses)
    assert found[200] == 1
    assert found.keys() <= {200} | LOST
    item = stack.item("bea")
    by_call = any(it.status == 200 for it in responses[-2:])
    assert len(item.get("passkeys", {})) + len(item.get("keys", {})) == 1
    assert bool(item.get("keys")) is by_call
    let_in = [browser for browser in browsers if browser.open("you", follow=False).status == 200]
    assert len(let_in) == (0 if by_call else 1)
    assert credentials(stack) == {credential(browser.passkey) for browser in let_in}
    assert len(stack.events("USER_ACTIVATED")) == 1
    [account] = [it for it in stack.items(stack.tables.directory) if it["pk"].startswith("ACCOUNT#")]
    assert set(account["owners"]) == {"owner", "bea"}


def test_a_key_that_rotates_is_found_by_its_value_all_the_while(accounts: Accounts) -> None:
    """Beside a rotation in a loop: what opens one door opens the other, and "whose is it" has a response."""
    stack, owner = accounts.stack, accounts["owner"]
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    known, over = [key], Event()

    def find(it: Key) -> Response:
        return stack.call("POST", "/v1/api-keys/find", owner, {"key": it.secret})

    def bearer(it: Key) -> int:
        return stack.call("GET", "/v1/whoami", None, headers=it.bearer).status

    def rotate() -> Response:
        try:
            for number in range(30):
                old = known[-1]
                overlap = 60 if number % 3 == 0 else 0
                body = {"overlapSeconds": overlap}
                response = stack.call("POST", "/v1/api-keys/rotate", None, body, headers=old.bearer)
                assert response.status == 200, response.text
                new = Key("bot", response.json["key"])
                known.append(new)
                assert (bearer(new), stack.sign_in(new)) == (200, 200)
                assert (bearer(old), stack.sign_in(old)) == ((200, 200) if overlap else (401, 401))
                [found] = find(new).json
                assert (found["username"], found["isPredecessor"]) == ("bot", False)
            return response
        finally:
            over.set()

    def look() -> Response:
        while not over.is_set():
            for it in known[-3:]:
                assert bearer(it) in (200, 401)
                response = find(it)
                assert response.status == 200
                assert {one["username"] for one in response.json} <= {"bot"}
        return response

    at_once(rotate, look, look, look)
    living = [it for it in known if stack.signs_in(it)]
    assert [it for it in known if bearer(it) == 200] == living
    assert living[-1] == known[-1]
    kept = {it["pk"] for it in stack.items(stack.tables.directory) if it["pk"].startswith("KEY#")}
    stored = stack.item("bot")["keys"]["MONITORING"]
    digests = [stored["digest"], *([stored["predecessor"]["digest"]] if "predecessor" in stored else [])]
    mine = {f"KEY#{sha256(b'pointer:' + it).hexdigest()}" for it in digests}
    assert mine <= kept
    assert len(kept) == len(mine) + 1, "the owner's, and no pointer is left behind"
    assert accounts.call("DELETE", f"{PATH}/bot", "owner").status == 204
    assert [bearer(it) for it in known] == [401] * len(known)
