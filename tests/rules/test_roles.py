"""Roles and key types: those of the catalogue, and those that it does not have."""

import msgspec
import pytest

from chalicelib.rules import roles
from chalicelib.rules.catalogue import DEFAULT, Catalogue, Roles, RoleWords
from chalicelib.rules.roles import KeyType, Role, in_order
from tests.support.catalogue import LABELS


def test_a_type_that_is_not_in_the_catalogue_is_readable_and_not_listed() -> None:
    gone = KeyType("orders-read")
    assert not gone.is_listed
    assert gone not in list(KeyType)
    assert (gone.value, gone.display_name, gone.description) == ("orders-read", "orders-read", "")
    assert gone == KeyType("orders-read")
    assert {gone: 1}[KeyType("orders-read")] == 1
    assert msgspec.convert("orders-read", KeyType) == gone
    assert msgspec.json.encode({gone: gone}) == b'{"orders-read":"orders-read"}'
    assert all(gone not in role.key_types() for role in Role)


def test_what_is_no_text_is_no_type() -> None:
    with pytest.raises(ValueError, match="not a valid KeyType"):
        KeyType(3)


def test_types_have_the_order_of_the_catalogue_and_others_come_last() -> None:
    first, *_, last = KeyType
    given = [KeyType("b"), last, KeyType("a"), first]
    assert in_order(given) == (first, last, KeyType("a"), KeyType("b"))


def test_a_role_has_the_words_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [role.label for role in Role] == list(LABELS.values())
    own = Roles(OWNER=RoleWords("Director", "do everything"))
    monkeypatch.setattr(roles, "CATALOGUE", Catalogue(DEFAULT.key_types, own))
    assert (Role.OWNER.label, Role.OWNER.meaning) == ("Director (OWNER)", "do everything")
