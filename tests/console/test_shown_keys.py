"""The page of the keys that somebody was shown: an OWNER looks at them, and revokes them."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.rules import offboarding
from tests.support.accounts import Accounts
from tests.support.browser import Browser, Page

Person = Callable[..., Browser]
PAGE = "people/eve/shown-keys"
BACK = f"../../{PAGE}"


def machine(by: Browser, name: str) -> None:
    fields = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY", "expiry": "never"}
    assert by.post("create/service-user", {**fields, "keyTypes": "MONITORING"}).status == 200


def keys(accounts: Accounts, name: str) -> dict[str, Any]:
    found: dict[str, Any] = accounts.stack.item(name).get("keys", {})
    return found


def end(by: Browser, page: Page) -> Page:
    return by.post(PAGE, {"ends": "yes", "after": page.hidden("after")})


def test_whoever_revokes_somebody_is_led_to_the_keys_that_they_know(
    accounts: Accounts, person: Person
) -> None:
    ann, eve = person("ann"), person("eve", "CLUSTER_ADMIN")
    machine(eve, "eves")
    machine(ann, "anns")
    assert PAGE in ann.open("people/eve/revoke").text
    done = ann.post("people/eve/revoke", {"name": "eve"})
    assert (done.status, done.headers["Location"]) == (303, f"{BACK}?done=revoked")
    page = ann.open(f"{PAGE}?done=revoked")
    assert "eve was revoked" in page.words
    assert "service-users/eves" in page.text
    assert "anns" not in page.text
    assert ann.post(PAGE).errors == ["Tick this to revoke the keys."]
    assert "MONITORING" in keys(accounts, "eves")
    done = end(ann, page)
    assert (done.status, done.headers["Location"]) == (303, f"{BACK}?done=ended")
    assert "MONITORING" not in keys(accounts, "eves")
    assert "MONITORING" in keys(accounts, "anns")
    page = ann.open(f"{PAGE}?done=ended")
    assert "Keys were revoked" in page.words
    assert "eve was the last to be shown none of the keys that work now" in page.words
    assert ann.post(PAGE, {"ends": "yes"}).headers["Location"] == BACK


def test_nobody_but_an_owner_who_has_just_confirmed_ends_them(accounts: Accounts, person: Person) -> None:
    ann, eve, cat = person("ann"), person("eve", "CLUSTER_ADMIN"), person("cat", "CLUSTER_ADMIN")
    machine(eve, "eves")
    for by in (eve, cat, person("red", "READ_ONLY")):
        assert by.open(PAGE).status == 403
        assert by.post(PAGE, {"ends": "yes"}).status == 403
    page = ann.open(PAGE)
    accounts.stack.clock.forward(301)
    refused = end(ann, page)
    assert (refused.status, "Confirm with your passkey" in refused.words) == (403, True)
    assert "eves" in refused.text
    stranger = Browser(accounts.stack)
    assert stranger.open(PAGE, follow=False).status == 303
    assert "MONITORING" in keys(accounts, "eves")


def test_an_old_key_in_its_overlap_is_listed_and_revoked_alone(accounts: Accounts, person: Person) -> None:
    ann, eve = person("ann"), person("eve", "CLUSTER_ADMIN")
    machine(eve, "eves")
    form = ann.open("service-users/eves/rotate?key=MONITORING")
    fields = {"type": "MONITORING", "was": form.hidden("was"), "overlapSeconds": "3600"}
    assert ann.post("service-users/eves/rotate", fields).status == 200
    page = ann.open(PAGE)
    assert "ends in " in page.words
    assert end(ann, page).status == 303
    assert "predecessor" not in keys(accounts, "eves")["MONITORING"]


def test_many_are_ended_some_at_a_time(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offboarding, "MAX_SERVICE_USERS_CHANGED", 2)
    ann, eve = person("ann"), person("eve", "CLUSTER_ADMIN")
    for name in ("eve-1", "eve-2", "eve-3"):
        machine(eve, name)
    assert "up to 2 Service Users" in ann.open(PAGE).words
    done = end(ann, ann.open(PAGE))
    assert done.headers["Location"] == f"{BACK}?done=ended&after=eve-2"
    page = ann.open(f"{PAGE}?done=ended&after=eve-2")
    assert "eve-3" in page.text
    assert page.hidden("after") == "eve-2"
    assert end(ann, page).headers["Location"] == f"{BACK}?done=ended"
    assert "none of the keys that were searched" in ann.open(f"{PAGE}?after=eve-3").words


def test_a_large_account_is_searched_in_parts(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offboarding, "PAGE", 1)
    monkeypatch.setattr(offboarding, "MAX_PAGES", 2)
    ann, eve = person("ann"), person("eve", "CLUSTER_ADMIN")
    for name in ("a-1", "a-2", "a-3"):
        machine(ann, name)
    machine(eve, "eves")
    page = ann.open(PAGE)
    assert "none of the keys that were searched" in page.words
    assert "shown-keys?after=a-2" in page.text
    assert "eves" in ann.open(f"{PAGE}?after=a-2").text
    assert "a-2" in ann.open(f"{PAGE}?after=%00").text  # an impossible place is the beginning


def test_names_that_nobody_can_have_have_no_such_page(person: Person) -> None:
    assert person().open("people/x%00y/shown-keys").status == 404


def test_the_keys_are_not_listed_to_end_them(accounts: Accounts, person: Person) -> None:
    ann, eve = person("ann"), person("eve", "CLUSTER_ADMIN")
    machine(eve, "eves")
    page = ann.open(PAGE)
    with accounts.stack.counted() as calls:
        assert end(ann, page).status == 303
    assert calls == {"GetItem": 2, "Query": 1, "TransactWriteItems": 1}
