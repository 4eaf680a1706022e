"""Signing in to the console: invitations, passkeys and sessions, and whoever must not."""

from collections.abc import Callable

import pytest

from chalicelib.rules import key_format
from tests.support.accounts import Accounts
from tests.support.browser import Browser
from tests.support.dynamodb_faults import before_next_call
from tests.support.passkeys import SoftPasskey

Person = Callable[..., Browser]


def test_an_invitation_is_taken_up_in_the_browser_and_makes_no_key(
    accounts: Accounts, person: Person
) -> None:
    ann = person("ann", "OWNER")
    assert ann.open("").words.startswith("Service Users")
    item = accounts.stack.item("ann")
    assert not item.get("keys")
    assert "invitation" not in item
    account = next(
        it for it in accounts.stack.items(accounts.stack.tables.directory) if it["pk"].startswith("ACC")
    )
    assert set(account["owners"]) == {"owner", "ann"}
    [event] = [it for it in accounts.stack.events("USER_ACTIVATED") if it["subject"]["username"] == "ann"]
    assert event["changes"] == {"passkey": ["", "Laptop"]}


def test_a_token_works_once_in_the_browser_too(accounts: Accounts, person: Person) -> None:
    body = {"username": "bea", "email": "bea@people.example", "role": "READ_ONLY"}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    token = accounts.stack.token("bea")
    first, second = Browser(accounts.stack), Browser(accounts.stack)
    begun = second.call("activate-begin", {"username": "bea", "token": token}).json
    assert first.activate("bea", token).status == 200
    made = second.passkey.create(begun["challenge"])
    late = second.call("activate-finish", {"token": token, "name": "", "passkey": made})
    again = Browser(accounts.stack).activate("bea", token)
    assert [late.status, again.status] == [400, 400]
    assert "not valid" in late.json["detail"]
    assert len(accounts.stack.item("bea")["passkeys"]) == 1


def test_signing_in_with_the_passkey_starts_a_new_session(accounts: Accounts, person: Person) -> None:
    ann = person()
    before = dict(ann.cookies)
    other = Browser(accounts.stack, passkey=ann.passkey)
    assert other.sign_in().status == 200
    assert other.cookies["__Host-session"] != before["__Host-session"]
    assert other.open("").status == 200
    assert ann.open("").status == 200
    assert len(accounts.stack.item("ann")["sessions"]) == 2


def test_a_passkey_that_is_not_valid_is_refused_in_the_same_words_whether_it_is_known_or_not(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    refusals = set()
    for more in ({"key": SoftPasskey().key}, {"flags": 0x01}, {"origin": "https://evil.example"}):
        for credential_id in (ann.passkey.credential_id, b"unknown"):
            passkey = SoftPasskey(credential_id=credential_id)
            for name, value in more.items():
                setattr(passkey, name, value)
            refused = Browser(accounts.stack, passkey=passkey).sign_in()
            refusals.add((refused.status, refused.json["detail"], *sorted(refused.headers)))
    [refusal] = refusals
    assert refusal[0] == 401


@pytest.mark.parametrize(
    "bend",
    [
        lambda passkey: setattr(passkey, "origin", "https://evil.example"),
        lambda passkey: setattr(passkey, "rp_id", "evil.example"),
        lambda passkey: setattr(passkey, "flags", 0x01),
        lambda passkey: passkey.extra.update(type="webauthn.create"),
        lambda passkey: passkey.extra.update(challenge="another"),
        lambda passkey: passkey.extra.update(crossOrigin=True),
        lambda passkey: setattr(passkey, "credential_id", b"unknown"),
        lambda passkey: setattr(passkey, "key", SoftPasskey().key),
    ],
    ids=["origin", "host", "not verified", "type", "challenge", "framed", "unknown", "another key"],
)
def test_a_signature_for_another_challenge_origin_or_key_is_refused(
    accounts: Accounts, person: Person, bend: Callable[[SoftPasskey], None]
) -> None:
    ann = person()
    other = Browser(accounts.stack, passkey=ann.passkey)
    bend(other.passkey)
    assert other.sign_in().status == 401
    assert "__Host-session" not in other.cookies


def test_a_signature_is_accepted_once(accounts: Accounts, person: Person) -> None:
    ann = person()
    other = Browser(accounts.stack, passkey=ann.passkey)
    signed = ann.passkey.get(other.call("sign-in-begin").json["challenge"])
    assert other.call("sign-in-finish", signed).status == 200
    assert other.call("sign-in-finish", signed).status == 400
    stranger = Browser(accounts.stack)
    stranger.call("sign-in-begin")
    assert stranger.call("sign-in-finish", signed).status == 401


def test_a_challenge_ends_after_five_minutes_and_is_its_browsers(accounts: Accounts, person: Person) -> None:
    ann = person()
    signed = ann.passkey.get(ann.call("sign-in-begin").json["challenge"])
    stranger = Browser(accounts.stack)
    assert stranger.call("sign-in-finish", signed).status == 400
    accounts.stack.clock.forward(300)
    assert ann.call("sign-in-finish", signed).status == 400


def test_a_passkey_whose_counter_does_not_rise_has_a_copy(accounts: Accounts, person: Person) -> None:
    ann = person()
    ann.passkey.counter = 5
    assert ann.sign_in().status == 200
    ann.passkey.counter = 3
    assert ann.sign_in().status == 401


@pytest.mark.parametrize(("idle", "status"), [(14 * 60 + 59, 200), (15 * 60, 303)])
def test_a_session_ends_after_fifteen_idle_minutes(
    accounts: Accounts, person: Person, idle: int, status: int
) -> None:
    ann = person()
    accounts.stack.clock.forward(idle)
    assert ann.open("you", follow=False).status == status


def test_a_session_ends_after_eight_hours_however_much_it_is_used(accounts: Accounts, person: Person) -> None:
    ann = person()
    for _ in range(8 * 6 - 1):
        accounts.stack.clock.forward(600)
        assert ann.open("you").status == 200
    accounts.stack.clock.forward(600)
    assert ann.open("you", follow=False).status == 303


def test_a_session_ends_with_its_user_and_with_a_new_invitation(accounts: Accounts, person: Person) -> None:
    ann, bea = person("ann"), person("bea", "CLUSTER_ADMIN")
    assert accounts.call("POST", "/v1/users/ann/invitation", "owner").status == 200
    assert accounts.call("DELETE", "/v1/users/bea", "owner").status == 204
    for browser in (ann, bea):
        assert browser.open("you", follow=False).status == 303
        assert browser.sign_in().status == 401
    kept = [it["pk"] for it in accounts.stack.items(accounts.stack.tables.directory)]
    assert not [pk for pk in kept if pk.startswith("CREDENTIAL#")]


def test_signing_out_ends_the_session_and_clears_the_browser(person: Person) -> None:
    ann = person()
    kept = dict(ann.cookies)
    done = ann.post("sign-out")
    assert (done.status, done.headers["Location"]) == (303, "sign-in?out=1")
    assert done.headers["Clear-Site-Data"] == '"cache", "storage"', (
        "other applications of the domain keep theirs"
    )
    ann.cookies = kept
    assert ann.open("you", follow=False).status == 303


@pytest.mark.parametrize("space", ["\u2000", "\xa0", "\x85", "\x1c", "\u2028"])
def test_a_cookie_with_another_white_space_before_its_name_is_not_ours(person: Person, space: str) -> None:
    """Browsers take such a name for one without the prefix, and a sibling host can set it."""
    ann = person()
    kept = ann.cookies["__Host-session"]
    ann.cookies = {}
    sent = {"cookie": f"{space}__Host-session={kept}"}
    assert ann.request("GET", "/console/you", headers=sent).status == 303
    sent = {"cookie": f"a=1; \t__Host-session={kept}"}
    assert ann.request("GET", "/console/you", headers=sent).status == 200


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": site} for site in ("cross-site", "same-site", "none")]
)
@pytest.mark.parametrize("path", ["sign-out", "passkey/sign-in-begin", "seen"])
def test_another_site_and_a_sibling_host_can_send_nothing(
    person: Person, headers: dict[str, str], path: str
) -> None:
    ann = person()
    ann.headers = {**headers, "origin": "https://evil.example"}
    assert ann.post(path).status == 403
    ann.headers = {"sec-fetch-site": "same-origin"}
    assert ann.open("you").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "https://api.example"}, 303),
    ],
)
def test_a_browser_without_fetch_metadata_is_judged_by_its_origin(
    person: Person, headers: dict[str, str], status: int
) -> None:
    ann = person()
    ann.headers = headers
    assert ann.post("sign-out").status == status


def test_a_form_of_another_session_is_refused(person: Person) -> None:
    ann = person()
    refused = ann.post("sign-out", csrf="0" * 32)
    assert refused.status == 403
    assert "another session" in refused.words
    assert ann.open("you").status == 200


@pytest.mark.parametrize(
    ("path", "what_to_do"),
    [("sign-out", "choose 'Sign out' on this page"), ("you/sessions", "Open 'You', and sign out everywhere")],
)
def test_a_tab_of_an_earlier_session_says_how_to_sign_out(person: Person, path: str, what_to_do: str) -> None:
    ann = person()
    earlier = ann.csrf
    assert ann.sign_in().status == 200
    refused = ann.post(path, csrf=earlier)
    assert refused.status == 403
    assert "You are still signed in" in refused.words
    assert what_to_do in refused.words
    assert refused.csrf == ann.csrf, "the button of the page that says so is of this session"
    assert ann.post("sign-out", csrf=refused.csrf).status == 303
    assert ann.open("you", follow=False).status == 303


def test_a_service_user_is_refused_by_every_way_to_sign_in(accounts: Accounts) -> None:
    """In the words that a wrong secret gets: it has no invitation, no passkey and no session."""
    key = accounts.service_user()["MONITORING"]
    browser = Browser(accounts.stack)
    wrong = key_format.new_token()
    doors = [
        browser.call("activate-begin", {"username": who, "token": wrong}) for who in (key.username, "nobody")
    ]
    assert {door.status for door in doors} == {400}
    assert len({door.json["detail"] for door in doors}) == 1
    assert browser.call("activate-begin", {"username": key.username, "token": key.secret}).status == 400
    for secret in (key.secret, key_format.new_secret("sus_"), ""):
        browser.cookies = {"__Host-session": f"{key.username}.{secret}"}
        assert browser.open("you", follow=False).status == 303


def test_the_cookie_is_bound_to_the_host_and_no_script_reads_it(person: Person, accounts: Accounts) -> None:
    browser = Browser(accounts.stack, passkey=person().passkey)
    cookie = browser.sign_in().headers["Set-Cookie"]
    assert cookie.partition("=")[0] == "__Host-session"
    assert cookie.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Strict; Secure"


def test_a_planted_cookie_never_becomes_a_session(person: Person, accounts: Accounts) -> None:
    """Session fixation: signing in takes no secret from the browser."""
    ann = person()
    planted = f"ann.{key_format.new_secret(key_format.SESSION_PREFIX)}"
    browser = Browser(accounts.stack, cookies={"__Host-session": planted}, passkey=ann.passkey)
    assert browser.sign_in().status == 200
    attacker = Browser(accounts.stack, cookies={"__Host-session": planted})
    assert attacker.open("you", follow=False).status == 303


def test_a_confirmation_is_not_held_up_by_who_signs_in_meanwhile(
    accounts: Accounts, person: Callable[..., Browser]
) -> None:
    """Or a thief of one passkey could keep its person from removing it, by signing in again and again."""
    ann = person()
    thief = Browser(accounts.stack, passkey=ann.passkey)
    accounts.stack.clock.forward(301)
    begun = ann.call("confirm-begin")
    signed_in: list[int] = []
    with before_next_call(
        accounts.stack, "TransactWriteItems", lambda: signed_in.append(thief.sign_in().status)
    ):
        confirmed = ann.call("confirm-finish", ann.passkey.get(begun.json["challenge"]))
    assert (signed_in, confirmed.status) == ([200], 200)
    assert ann.open("you/generate?key=MONITORING").status == 200
