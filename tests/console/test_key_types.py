"""The console with other key types: those that the catalogue has no more, and words of the operator's own."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.rules import roles
from chalicelib.rules.catalogue import DEFAULT, Catalogue, Roles, RoleWords
from tests.support.accounts import Accounts
from tests.support.browser import Browser

Person = Callable[..., Browser]


@pytest.fixture
def without_monitoring(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def remove() -> None:
        left = {it: entry for it, entry in roles._ENTRIES.items() if it != "MONITORING"}
        held = {
            role: tuple(it for it in types if it.value != "MONITORING")
            for role, types in roles._HELD_BY.items()
        }
        monkeypatch.setattr(roles, "_ENTRIES", left)
        monkeypatch.setattr(roles, "_HELD_BY", held)

    return remove


def test_a_key_of_a_removed_type_is_shown_and_can_be_revoked(
    accounts: Accounts, person: Person, without_monitoring: Callable[[], None]
) -> None:
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot")
    without_monitoring()
    for page in ("service-users", "service-users/bot", "events", "account"):
        assert ann.open(page).status == 200
    shown = ann.open("service-users/bot").text
    assert "Works no more" in shown
    assert "revoke?key=MONITORING" in shown
    assert "rotate?key=MONITORING" not in shown
    for form in ("generate", "rotate", "restrict"):
        assert ann.open(f"service-users/bot/{form}?key=MONITORING").status == 404
    asked = ann.open("service-users/bot/revoke?key=MONITORING")
    assert asked.status == 200
    assert (
        ann.post("service-users/bot/revoke", {"type": "MONITORING", "was": asked.hidden("was")}).status == 303
    )
    assert accounts.stack.stored_keys("bot").keys() == {"PROVISIONING_READONLY"}
    assert ann.open("service-users/bot/revoke?key=MONITORING").status == 404


def test_pages_have_the_operators_words(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person()
    entry = replace(roles._ENTRIES["MONITORING"], display_name="Metrics", description="Reads metrics.")
    monkeypatch.setattr(roles, "_ENTRIES", {**roles._ENTRIES, "MONITORING": entry})
    own = Roles(OWNER=RoleWords("Director", "do all"), READ_ONLY=RoleWords("READ_ONLY", "look"))
    words = replace(own, CLUSTER_ADMIN=RoleWords("CLUSTER_ADMIN", "work"))
    monkeypatch.setattr(roles, "CATALOGUE", Catalogue(DEFAULT.key_types, words))
    shown = ann.open("create/service-user").text
    assert "Metrics" in shown
    assert "Reads metrics." in shown
    assert '<option value="OWNER">Director (OWNER)</option>' in shown
    assert "Director (OWNER)" in ann.open("you").text
