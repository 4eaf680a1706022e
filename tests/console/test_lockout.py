"""In a session, too, the only OWNER does not lose their key by accident."""

from collections.abc import Callable

import pytest

from tests.support.accounts import Accounts
from tests.support.browser import Browser, Page
from tests.support.dynamodb_faults import before_commit

KIND = "USER_MANAGEMENT"


def change(browser: Browser, action: str, **fields: str) -> Page:
    shown = browser.open(f"you/{action}?key={KIND}")
    assert 'name="evenIfLockedOut"' in shown.text
    return browser.post(f"you/{action}", {"type": KIND, "was": shown.hidden("was"), **fields})


def with_key(browser: Browser) -> Browser:
    browser.edit(f"you/generate?key={KIND}", {"type": KIND, "expiry": "never"})
    assert browser.open(f"you/revoke?key={KIND}").status == 200
    return browser


def test_the_only_owner_keeps_their_key_in_a_session(
    accounts: Accounts, person: Callable[..., Browser]
) -> None:
    ann = with_key(person("ann"))
    assert accounts.call("PUT", "/v1/users/ann", "owner", {"displayName": "Ann"}).status == 200
    assert change(ann, "revoke").status == 303  # there is another OWNER
    with_key(ann)
    assert ann.post("people/owner/revoke", {"name": "owner"}).status == 303

    for _ in range(2):
        refused = change(ann, "revoke")
        assert refused.status == 409
        assert "only OWNER" in refused.words
    moved = change(ann, "restrict", expiry="never", allowedNetworks="203.0.113.0/24")
    assert moved.status == 303  # a passkey, not the key, lets this person in
    assert change(ann, "revoke", evenIfLockedOut="yes").status == 303


@pytest.mark.parametrize("form", ["revoke", "restrict"])
def test_a_stolen_cookie_locks_nobody_out(
    accounts: Accounts, person: Callable[..., Browser], form: str
) -> None:
    ann = with_key(person("ann"))
    accounts.stack.clock.forward(301)
    fields = {"expiry": "never", "allowedNetworks": "203.0.113.0/24"} if form == "restrict" else {}
    before = accounts.stack.item("ann")["keys"]
    assert change(ann, form, evenIfLockedOut="yes", **fields).status == 403
    assert accounts.stack.item("ann")["keys"] == before


def test_who_becomes_the_only_owner_meanwhile_keeps_their_key(
    accounts: Accounts, person: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = with_key(person("ann"))
    shown = ann.open(f"you/revoke?key={KIND}")
    before_commit(
        accounts.stack,
        monkeypatch,
        lambda: accounts.call("DELETE", "/v1/users/owner", "owner"),
    )
    assert ann.post("you/revoke", {"type": KIND, "was": shown.hidden("was")}).status == 409


def test_a_person_below_owner_may_end_their_only_key(person: Callable[..., Browser]) -> None:
    cat = with_key(person("cat", "CLUSTER_ADMIN"))
    assert change(cat, "revoke").status == 303
