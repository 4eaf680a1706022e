"""The check of a catalogue: every error is named, and what passes it is what the stack reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from chalicelib.authorizer.catalogue_check import InvalidCatalogue, check, main
from chalicelib.authorizer.route_rules import allowed_routes, rules_of
from chalicelib.rules import catalogue
from chalicelib.rules.catalogue import DEFAULT, MANAGEMENT, load, parse
from chalicelib.rules.roles import KeyType, Role
from tests.catalogue.strategies import catalogues
from tests.support.catalogue import SECOND

ORDERS = {"name": "orders-read"}


def errors(given: Any) -> list[str]:
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(InvalidCatalogue) as found:
        check(text)
    return found.value.errors


def of(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"keyTypes": [ORDERS, *entries], **more}


def test_the_smallest_catalogue_has_every_word() -> None:
    checked = check(json.dumps({"keyTypes": [ORDERS]}))
    orders, management = checked.catalogue.key_types
    assert (orders.display_name, orders.least_role, orders.by_default) == ("orders-read", "READ_ONLY", True)
    assert (management.name, management.display_name) == ("USER_MANAGEMENT", MANAGEMENT.display_name)
    assert (management.least_role, management.opens) == ("CLUSTER_ADMIN", ())
    assert checked.catalogue.roles.OWNER.display_name == "OWNER"
    assert checked.catalogue.roles.READ_ONLY.meaning


def test_the_second_catalogue_of_the_tests_is_valid_and_has_other_words() -> None:
    second = check(SECOND.read_text(encoding="utf-8")).catalogue
    names = [it.name for it in second.key_types]
    assert len(names) == 11
    assert set(names) & {it.name for it in DEFAULT.key_types} == {"USER_MANAGEMENT"}
    assert names[-1] == "USER_MANAGEMENT"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{", "Not JSON"),
        ('{"keyTypes": [], "keyTypes": []}', "'keyTypes' is given twice"),
        ("[" * 100_000, "Not JSON"),
        ([], "Give an object with keyTypes"),
        ({}, "keyTypes: give a list"),
        ({"keyTypes": {}}, "keyTypes: give a list"),
        (of(types=[]), "field 'types'"),
        (of("billing"), "Key type 2 is no object"),
        (of({}), "Key type 2, name: give"),
        (of({"name": "_x"}), "Key type 2, name: give"),
        (of({"name": "x__y"}), "Key type 2, name: give"),
        (of({"name": "x-"}), "Key type 2, name: give"),
        (of({"name": "orders:read"}), "Key type 2, name: give"),
        (of({"name": "x" * 33}), "Key type 2, name: give"),
        (of({"name": 3}), "Key type 2, name: give"),
        (of({"name": "Rotate"}), "'Rotate' is reserved"),
        (of({"name": "Orders_Read"}), "Key type 2, name: 'Orders_Read' is the name of an earlier one"),
        (of({"name": "user-management"}, {"name": "USER_MANAGEMENT"}), "is the name of an earlier one"),
        # USER_MANAGEMENT is in every catalogue, also in one that does not name it.
        (of({"name": "User-Management"}), "name: 'User-Management' is the name of an earlier one"),
        (of({"name": "a", "displayName": "user management"}), "displayName: 'user management' is the"),
        (of({"name": "a", "displayName": "A"}, {"name": "b", "displayName": "a"}), "displayName: 'a' is the"),
        (of({"name": "a", "displayName": " "}), "displayName: give a text of 1 to 40"),
        (of({"name": "a", "displayName": 1}), "displayName: give a text"),
        (of({"name": "a", "displayName": "A\u202e"}), "displayName: Character 2 is U+202E"),
        (of({"name": "a", "displayName": " A"}), "begin and end it without spaces"),
        (of({"name": "a", "description": "x" * 201}), "description: give a text of 1 to 200"),
        (of({"name": "a", "leastRole": "ADMIN"}), "leastRole: give one of READ_ONLY, CLUSTER_ADMIN, OWNER"),
        (of({"name": "a", "leastRole": ["OWNER"]}), "leastRole: give one of"),
        (of({"name": "a", "byDefault": 1}), "byDefault: give true or false"),
        (of({"name": "a", "requiresNetworks": "no"}), "requiresNetworks: give true or false"),
        (of({"name": "a", "maxLifeDays": 0}), "maxLifeDays: give a whole number of days from 1 to 3650"),
        (of({"name": "a", "maxLifeDays": True}), "maxLifeDays: give"),
        (of({"name": "a", "maxLifeDays": 3651}), "maxLifeDays: give"),
        (of({"name": "a", "opens": {}}), "opens: give a list"),
        (of({"name": "a", "opens": ["/a"]}), "Key type 2, opens 1 is no object"),
        (of({"name": "a", "opens": [{"path": "a", "methods": ["GET"]}]}), "opens 1, path: 'a' is not a path"),
        (of({"name": "a", "opens": [{"path": "/a", "methods": ["GIVE"]}]}), "opens 1, methods: give a list"),
        (of({"name": "a", "opens": [{"path": "/a"}]}), "opens 1, methods: give a list"),
        (
            of({"name": "a", "opens": [{"path": "/a", "methods": ["GET"], "leastRole": "X"}]}),
            "opens 1, leastRole: give one of",
        ),
        (
            of({"name": "a", "opens": [{"path": "/a", "methods": ["GET"], "keyTypes": ["a"]}]}),
            "opens 1 has a field 'keyTypes'",
        ),
        (of({"name": "a", "opens": [{"path": "/a", "methods": ["GET"], "on": 1}]}), "has a field 'on'"),
        (
            of({"name": "USER_MANAGEMENT", "leastRole": "OWNER"}),
            "leastRole: that of USER_MANAGEMENT is fixed",
        ),
        (of({"name": "USER_MANAGEMENT", "maxLifeDays": 9}), "maxLifeDays: that of USER_MANAGEMENT is fixed"),
        (of({"name": "USER_MANAGEMENT", "requiresNetworks": True}), "that of USER_MANAGEMENT is fixed"),
        (of(*({"name": f"t{n}"} for n in range(29))), "there are at most 30"),
        ({"keyTypes": [{"name": "a", "leastRole": "OWNER"}]}, "a READ_ONLY needs a key to sign in with"),
        ({"keyTypes": [{"name": "a", "byDefault": False}]}, "a READ_ONLY needs a key to sign in with"),
        ({"keyTypes": [{"name": "a", "requiresNetworks": True}]}, "a READ_ONLY needs a key to sign in with"),
        ({"keyTypes": [{"name": "USER_MANAGEMENT"}]}, "a READ_ONLY needs a key to sign in with"),
        (of(roles=[]), "roles: give an object"),
        (of(roles={"BOSS": {}}), "roles has a field 'BOSS'"),
        (of(roles={"OWNER": "Boss"}), "roles, OWNER: give an object"),
        (of(roles={"OWNER": {"name": "Boss"}}), "roles, OWNER has a field 'name'"),
        (of(roles={"OWNER": {"meaning": "x" * 81}}), "roles, OWNER, meaning: give a text of 1 to 80"),
        (
            of(roles={"OWNER": {"displayName": "a"}, "READ_ONLY": {"displayName": "A"}}),
            "the same displayName",
        ),
        (of(roles={"OWNER": {"displayName": "Read_Only"}}), "or one has another's name"),
    ],
)
def test_an_error_is_named_with_its_place(given: Any, expected: str) -> None:
    found = errors(given)
    assert len(found) == 1, found
    assert expected in found[0]


def test_all_errors_are_named_at_once() -> None:
    broken = {"keyTypes": [{"name": "9", "maxLifeDays": -1, "open": []}, 5], "roles": {"X": 1}, "y": 2}
    assert len(errors(broken)) == 6


def test_what_a_key_opens_has_to_fit_in_the_authorizers_response() -> None:
    paths = [{"path": f"/{'x' * 100}{number}", "methods": ["ANY"]} for number in range(9)]
    [found] = errors({"keyTypes": [{**ORDERS, "opens": paths}]})
    assert "An orders-read key is allowed more than fits" in found


def test_thirty_types_are_accepted() -> None:
    entries = [{"name": f"type-{number}"} for number in range(29)]
    assert len(check(json.dumps({"keyTypes": entries})).catalogue.key_types) == 30


def test_what_a_type_opens_are_the_rules_of_the_authorizer() -> None:
    rules = rules_of(check(SECOND.read_text(encoding="utf-8")).catalogue)
    assert allowed_routes(rules, KeyType("sales-read"), Role.READ_ONLY) == (
        ("GET", "/sales/*"),
        ("HEAD", "/sales/*"),
    )
    assert allowed_routes(rules, KeyType("sales-write"), Role.READ_ONLY) == ()
    assert ("DELETE", "/sales/*") in allowed_routes(rules, KeyType("sales-write"), Role.OWNER)
    assert allowed_routes(rules, KeyType("payouts"), Role.OWNER) == ()


@given(catalogues())
def test_what_passes_the_check_is_what_the_stack_reads(given: dict[str, Any]) -> None:
    checked = check(json.dumps(given))
    assert parse(checked.text) == checked.catalogue
    assert [it.name for it in checked.catalogue.key_types] == [
        *(it["name"] for it in given["keyTypes"] if it["name"] != "USER_MANAGEMENT"),
        "USER_MANAGEMENT",
    ]
    again = check(checked.text)
    assert again == checked, "a deployed catalogue passes the check of the next deploy"
    for rule in rules_of(checked.catalogue):
        [key_type] = rule.key_types
        assert key_type.value in {it.name for it in checked.catalogue.key_types}


def test_files_are_checked_by_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(of()), encoding="utf-8")
    bad.write_text("[]", encoding="utf-8")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad), str(tmp_path / "none.json")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "bad.json: Give an object" in said[0]
    assert "none.json cannot be read" in said[1]


# Where the stack reads it


def test_a_stack_reads_the_file_of_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(catalogue.VARIABLE, raising=False)
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "catalogue.py"))
    assert load() is DEFAULT
    (tmp_path / "catalogue.json").write_text(json.dumps(of()), encoding="utf-8")
    assert [it.name for it in load().key_types] == ["orders-read", "USER_MANAGEMENT"]


def test_the_file_that_the_environment_names_must_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(catalogue.VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(FileNotFoundError):
        load()
    (tmp_path / "none.json").write_text(json.dumps(of()), encoding="utf-8")
    assert load().key_types[0].name == "orders-read"
