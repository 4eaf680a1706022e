"""Leaving an account: what a person hands over first, who may do it themselves, and what it ends."""

from collections.abc import Callable

import pytest

from chalicelib.console import you_pages
from tests.support.accounts import Accounts
from tests.support.browser import Browser

Person = Callable[..., Browser]


def test_an_owner_leaves_and_is_signed_out(accounts: Accounts, person: Person) -> None:
    ann = person()
    assert "Leave the account" in ann.open("you").words
    page = ann.open("you/leave")
    assert "stop working at once" in page.words
    assert "What you administer" not in page.words
    refused = ann.post("you/leave", {"name": "an"})
    assert refused.errors == ["Type ann, as it stands there."]
    done = ann.post("you/leave", {"name": "ann"})
    assert (done.status, done.headers["Location"]) == (303, "../sign-in?left=1")
    assert not ann.cookies.get("__Host-session")
    assert "You have left the account" in ann.open("sign-in?left=1").words
    assert ann.sign_in().status == 401
    assert accounts.call("GET", "/v1/users/ann", "owner").status == 404


def test_the_only_owner_is_told_why_not_and_what_comes_first(accounts: Accounts, person: Person) -> None:
    ann = person()
    still_two = ann.open("you/leave")
    assert 'name="name"' in still_two.text
    assert ann.post("people/owner/revoke", {"name": "owner"}).status == 303
    invited = {"username": "bea", "email": "bea@people.example", "role": "OWNER"}
    assert ann.post("create/user", invited).status == 303
    alone = ann.open("you/leave")
    assert "only OWNER" in alone.words
    assert "once they have accepted" in alone.words
    assert 'name="name"' not in alone.text
    refused = ann.post("you/leave", {"name": "ann"})
    assert refused.status == 409
    assert "Make another User an OWNER first" in refused.words
    assert ann.open("you").status == 200


@pytest.mark.parametrize("role", ["READ_ONLY", "CLUSTER_ADMIN"])
def test_who_is_no_owner_is_told_who_does_it(accounts: Accounts, person: Person, role: str) -> None:
    cat = person("cat", role)
    page = cat.open("you/leave")
    assert "owner" in page.words.partition("Ask ")[2]
    assert '<form method="post" data-confirm' not in page.text
    refused = cat.post("you/leave", {"name": "cat"})
    assert refused.status == 403
    assert "Ask an OWNER" in refused.words
    assert accounts.call("GET", "/v1/users/cat", "owner").status == 200


def test_what_one_administers_and_keys_one_knows_are_handed_over_first(
    accounts: Accounts, person: Person
) -> None:
    cat, bea = person("cat", "CLUSTER_ADMIN"), person("bea", "CLUSTER_ADMIN")
    new = {"username": "mine", "email": "m@machines.example", "role": "READ_ONLY", "expiry": "never"}
    assert cat.post("create/service-user", {**new, "keyTypes": "MONITORING"}).status == 200
    accounts.stack.service_user(accounts["admin"], "theirs", keyTypes=["MONITORING"])
    page = cat.open("you/leave").words
    assert "you alone administer it" in page
    assert "You were shown its key MONITORING" in page
    assert "theirs" not in page
    both = {"displayName": "Mine", "role": "READ_ONLY", "administrators": "cat\nbea"}
    assert cat.edit("service-users/mine/edit", both).status == 303
    assert "You administer it with bea." in cat.open("you/leave").words
    shown = bea.open("service-users/mine/rotate?key=MONITORING")
    fields = {"type": "MONITORING", "was": shown.hidden("was"), "overlapSeconds": "0"}
    assert bea.post("service-users/mine/rotate", fields).status == 200
    assert "You were shown" not in cat.open("you/leave").words


def test_a_large_account_says_that_there_may_be_more(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = person("cat", "CLUSTER_ADMIN")
    for name in ("a-bot", "b-bot"):
        new = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
        assert cat.post("create/service-user", {**new, "expiry": "never"}).status == 303
    monkeypatch.setattr(you_pages, "PAGE", 1)
    monkeypatch.setattr(you_pages, "MAX_PAGES", 1)
    assert "there may be more" in cat.open("you/leave").words
    dan = person("dan", "CLUSTER_ADMIN")
    page = dan.open("you/leave").words
    assert "there may be more that you administer, or whose keys you were shown" in page


def test_leaving_needs_a_confirmation_and_revoking_oneself_is_leaving(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    for method in ("GET", "POST"):
        page = (
            ann.open("people/ann/revoke", follow=False)
            if method == "GET"
            else ann.post("people/ann/revoke", {"name": "ann"})
        )
        assert (page.status, page.headers["Location"]) == (303, "../../you/leave")
    assert "you/leave" in ann.open("people").text
    accounts.stack.clock.forward(300)
    refused = ann.post("you/leave", {"name": "ann"})
    assert refused.status == 403
    assert "Confirm with your passkey" in refused.words
    assert ann.open("you").status == 200
