"""What a person typed outlives their session: it comes back after signing in, and nothing else does."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.accounts import Accounts
from tests.support.browser import Browser, Page

Person = Callable[..., Browser]
TYPED: dict[str, Any] = {
    "username": "bot",
    "email": "bot@machines.example",
    "displayName": 'A "quoted" <name>',
    "role": "READ_ONLY",
    "keyTypes": ["MONITORING", "PROVISIONING_READONLY"],
    "allowedNetworks": "10.0.0.0/8\n192.0.2.0/24",
    "expiry": "90",
}


def kept(page: Page) -> dict[str, Any]:
    """Return the fields that a page keeps for its form, as a browser sends them."""
    fields: dict[str, Any] = {}
    _, there, form = page.text.partition('id="kept-form"')
    assert there, page.words
    for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form):
        fields.setdefault(name, []).append(html.unescape(value))
    return fields


@pytest.fixture
def late(accounts: Accounts, person: Person) -> tuple[Browser, Page]:
    """A person whose session ended while they typed, and the page that answers their form."""
    ann = person()
    shown = ann.open("create/service-user").hidden("shownTo")
    accounts.stack.clock.forward(900)
    return ann, ann.post("create/service-user", {**TYPED, "shownTo": shown})


def test_a_form_sent_after_its_session_ended_comes_back_after_the_sign_in(
    accounts: Accounts, late: tuple[Browser, Page]
) -> None:
    ann, page = late
    assert page.status == 401
    assert "What you typed is kept" in page.words
    assert 'data-passkey="sign-in"' in page.text
    fields = kept(page)
    assert set(fields) == {*TYPED, "typedBy"}
    assert "csrf" not in fields

    again = ann.post("create/service-user", fields, csrf="")
    assert again.status == 401
    assert kept(again) == fields, "it is kept for as long as it takes"
    assert ann.sign_in().status == 200
    back = ann.post("create/service-user", fields, csrf="")
    assert back.status == 200
    assert "was not sent yet" in back.words
    assert html.escape(TYPED["displayName"]).replace("&quot;", "&#34;") in back.text
    assert TYPED["allowedNetworks"] in back.text
    assert back.text.count(" checked>") == 2
    assert accounts.call("GET", "/v1/service-users/bot", "owner").status == 404, "nothing was done"
    assert ann.post("create/service-user", TYPED).status == 200
    assert accounts.call("GET", "/v1/service-users/bot", "owner").status == 200


def test_a_form_that_revokes_a_key_comes_back_for_that_key_alone(accounts: Accounts, person: Person) -> None:
    """Neither after the sign-in nor after the refusal does it revoke one that was generated meanwhile."""
    ann, stack = person(), accounts.stack
    stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    form, keys = "service-users/bot/revoke?key=MONITORING", "/v1/service-users/bot/api-keys"
    fields = {"type": "MONITORING", "was": ann.open(form).hidden("was")}
    stack.clock.forward(900)
    late = ann.post(form, {**fields, "shownTo": "ann"})
    assert late.status == 401
    assert ann.sign_in().status == 200
    assert "was revoked already" not in ann.post(form, kept(late), csrf="").words
    assert stack.call("DELETE", f"{keys}/MONITORING", accounts["admin"]).status == 204
    assert stack.call("POST", keys, accounts["admin"], {"keyType": "MONITORING"}).status == 201
    page = ann.post(form, kept(late), csrf="")
    assert page.status == 200
    assert "was revoked already" in page.words
    for _ in range(2):
        page = ann.post(form, {"type": "MONITORING", "was": page.hidden("was")})
        assert page.status == 409
        assert "was revoked already" in page.words
    assert "keys" in stack.item("bot")
    assert ann.post(form, {**fields, "was": ann.open(form).hidden("was")}).status == 303


def test_a_form_revokes_no_other_key_that_was_generated_in_the_same_second(
    accounts: Accounts, person: Person
) -> None:
    ann, stack = person(), accounts.stack
    stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    form, keys = "service-users/bot/revoke?key=MONITORING", "/v1/service-users/bot/api-keys"
    fields = {"type": "MONITORING", "was": ann.open(form).hidden("was")}
    assert stack.call("DELETE", f"{keys}/MONITORING", accounts["admin"]).status == 204
    assert stack.call("POST", keys, accounts["admin"], {"keyType": "MONITORING"}).status == 201
    assert ann.post(form, fields).status == 409
    assert "keys" in stack.item("bot")


def test_what_one_typed_is_not_shown_to_another_who_signs_in(
    person: Person, late: tuple[Browser, Page]
) -> None:
    _ann, page = late
    bea = person("bea")
    bea.cookies = {}
    assert bea.sign_in().status == 200
    back = bea.post("create/service-user", kept(page), csrf="")
    assert (back.status, back.headers["Location"]) == (303, "../")
    assert "quoted" not in back.text


def test_a_form_of_the_session_before_comes_back_with_what_was_typed(person: Person) -> None:
    """Whoever signed in again in another tab sends it from this one: it is shown, and then it is theirs."""
    ann = person()
    before = ann.csrf
    assert ann.sign_in().status == 200
    page = ann.post("create/service-user", {**TYPED, "shownTo": "Ann"}, csrf=before)
    assert page.status == 403
    assert "another session" in page.words
    assert TYPED["email"] in page.text
    assert page.hidden("csrf") == ann.csrf != before
    assert ann.post("create/service-user", TYPED, csrf=page.hidden("csrf")).status == 200


@pytest.mark.parametrize("shown_to", [{"shownTo": "ann"}, {}])
def test_what_one_typed_is_not_shown_to_another_who_has_signed_in_in_another_tab(
    accounts: Accounts, person: Person, shown_to: dict[str, str]
) -> None:
    ann, bea = person(), person("bea")
    ann.cookies, before = bea.cookies, ann.csrf
    page = ann.post("create/service-user", {**TYPED, **shown_to}, csrf=before)
    assert page.status == 403
    assert "another session" in page.words
    assert TYPED["email"] not in page.text
    assert "quoted" not in page.text
    assert accounts.call("GET", "/v1/service-users/bot", "owner").status == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_other_site_fills_in_a_form(person: Person, site: str) -> None:
    ann = person()
    ann.headers = {"sec-fetch-site": site, "origin": "https://evil.example"}
    page = ann.post("create/service-user", {**TYPED, "typedBy": "ann"}, csrf="")
    assert page.status == 403
    assert TYPED["email"] not in page.text


def test_secrets_and_forms_without_fields_are_not_kept(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.clock.forward(900)
    secrets = {"key": "suk_x", "token": "sui_x", "code": "sue_x", "name": "ann", "shownTo": "ann"}
    assert kept(ann.post("service-users/bot/delete", secrets)) == {"typedBy": ["ann"], "name": ["ann"]}
    page = ann.post("you/sessions")
    assert page.status == 401
    assert "kept-form" not in page.text
    assert 'data-next="you/sessions"' in page.text


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("application/json", "{}"),
        ("application/x-www-form-urlencoded", "&".join(f"f{n}=1" for n in range(300))),
    ],
)
def test_a_form_that_cannot_be_read_has_nothing_to_keep(accounts: Accounts, kind: str, raw: str) -> None:
    page = Browser(accounts.stack).request("POST", "/console/account", raw, {"content-type": kind})
    assert page.status == 401
    assert "kept-form" not in page.text


def test_a_page_that_signs_in_where_it_is_gets_what_its_forms_need(person: Person) -> None:
    ann = person()
    done = ann.sign_in().json
    assert done == {"username": "ann", "csrf": ann.csrf, "left": 900, "longest": 28_800, "confirmed": 300}
