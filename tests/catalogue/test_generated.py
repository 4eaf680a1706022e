"""Generated catalogues: each is followed everywhere, or every fault in it is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.authorizer.catalogue_check import InvalidCatalogue, check
from tests.catalogue.in_force import in_force
from tests.catalogue.strategies import FAULTS, ROLES, Fault, catalogues

OFFICE = ["198.51.100.0/24"]
DAY = 86_400


@settings(max_examples=8, deadline=None, derandomize=True)
@given(catalogue=catalogues())
def test_api_console_emails_authorizer_and_contract_follow_a_catalogue(
    tmp_path_factory: pytest.TempPathFactory, catalogue: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("catalogue") / "catalogue.json"
    file.write_text(check(json.dumps(catalogue)).text, encoding="utf-8")
    with in_force(file), pytest.MonkeyPatch.context() as patch:
        follow(patch, file, [it for it in catalogue["keyTypes"] if it["name"] != "USER_MANAGEMENT"])


def follow(patch: pytest.MonkeyPatch, file: Path, entries: list[dict[str, Any]]) -> None:
    """Go through the life of Service Users of each role."""
    import app
    from contract.document import document
    from tests.support import catalogue as words
    from tests.support import openapi_assertions
    from tests.support.fake_dynamodb import stack_in_memory

    names = [it["name"] for it in entries] + ["USER_MANAGEMENT"]
    contract = document(app.app.routes)
    assert contract["components"]["schemas"]["KeyType"]["enum"] == names == words.MAY_HOLD["OWNER"]
    checker = openapi_assertions.ResponseChecker(contract)
    patch.setattr(openapi_assertions, "committed", lambda: checker)
    stack = stack_in_memory(patch)
    owner = stack.account()

    for role in ROLES:
        held, made = words.MAY_HOLD[role], words.MADE[role]
        bot = f"bot-{role.lower()}"
        body = {"username": bot, "email": f"{bot}@machines.example", "role": role}
        if set(made) & words.NEEDS_NETWORKS:
            refused = stack.call("POST", "/v1/service-users", owner, body)
            assert (refused.status, set(refused.pointers)) == (400, {"/allowedNetworks"})
        for name in [it for it in names if it not in held][:2]:
            refused = stack.call("POST", "/v1/service-users", owner, {**body, "keyTypes": [name]})
            assert (refused.status, refused.pointers[0]) == (400, "/keyTypes/0")
        keys = stack.service_user(owner, bot, role, allowedNetworks=OFFICE)
        assert list(keys) == made
        shown = stack.call("GET", f"/v1/service-users/{bot}", owner).json["apiKeys"]
        assert [(it["name"], it["displayName"]) for it in shown["allowedApiKeyTypes"]] == [
            (name, words.DISPLAY_NAMES[name]) for name in held
        ]
        for key in shown["apiKeys"]:
            days = words.LIFE_DAYS.get(key["keyType"])
            assert (key["expiresAt"] is None) is (days is None)
        for name, secret in list(keys.items())[:3]:
            opens(app, secret, role, words.ENTRIES[names.index(name)].get("opens", []))
            assert stack.call("GET", "/v1/whoami", secret).json["keyType"] == name
            rotated = stack.call("POST", "/v1/api-keys/rotate", secret)
            assert (rotated.status, rotated.json["keyType"]) == (200, name)
            assert not stack.signs_in(secret)
    emails_and_pages(stack, owner, names)


def opens(app: Any, key: Any, role: str, opens: list[dict[str, Any]]) -> None:
    """Ask the authorizer's decision on each path that a type opens, and beside it."""
    for opening in [*opens, {"path": "/opened-to/nobody", "methods": ["GET"]}]:
        path = opening["path"].replace("*", "17")
        for method in ("GET", "HEAD", "DELETE"):
            asked = {"authorization": key.header, "sourceIp": "198.51.100.7", "method": method, "path": path}
            allowed = any(is_opened(it, method, path, role) for it in opens)
            assert app.verify(asked, None)["status"] == (200 if allowed else 403), (opening, method)


def is_opened(opening: dict[str, Any], method: str, path: str, role: str) -> bool:
    methods = {*opening["methods"], *(["HEAD"] if "GET" in opening["methods"] else [])}
    start, star, _ = opening["path"].partition("*")
    return (
        bool({"ANY", method} & methods)
        and (path.startswith(start) if star else path == start)
        and ROLES.index(role) >= ROLES.index(opening.get("leastRole", "READ_ONLY"))
    )


def emails_and_pages(stack: Any, owner: Any, names: list[str]) -> None:
    """Read the email of a key of each type, and the form that offers them."""
    from chalicelib.mail.messages import EmailContext, email_content
    from chalicelib.rules.model import Action, Actor, Audience, Change, Event, KeyChange, Kind, Subject
    from chalicelib.rules.notifications import ADMINISTRATOR, Recipient
    from chalicelib.rules.roles import KeyType, Role
    from tests.support import catalogue as words
    from tests.support.browser import Browser, Page

    for name in (names[0], names[-1]):
        event = Event(
            id="01ba60d338000000000000000001",
            account="acme",
            at=1_900_000_000,
            action=Action.API_KEY_GENERATED,
            actor=Actor(Kind.USER, "alice"),
            subject=Subject(Kind.SERVICE_USER, "bot"),
            keys=(KeyChange(Change.GENERATED, KeyType(name), "7ac6a"),),
            audience=Audience.ADMINISTRATORS,
        )
        bob = Recipient("bob", "Bob", "bob@people.example", ADMINISTRATOR, Role.CLUSTER_ADMIN)
        mailed = email_content(event, bob, EmailContext("s@mail.example", "https://a.example", "Demo", 1.9e9))
        assert mailed.subject == f"API key generated: {name} …7ac6a for bot (Demo)"
        shown = " ".join(words.DISPLAY_NAMES[name].split())  # as pages and mail programs show spaces
        assert shown in " ".join(mailed.text.split())
        assert shown in Page(200, {}, mailed.html).words
    invited = {"username": "ann", "email": "ann@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, invited).status == 201
    ann = Browser(stack)
    assert ann.activate("ann").status == 200
    form = ann.open("create/service-user")
    for name in names:
        assert f'<input type="checkbox" id="type-{name}" name="keyTypes" value="{name}"' in form.text
        assert " ".join(f"{words.DISPLAY_NAMES[name]} {name}".split()) in form.words
    for role in ROLES:
        assert " ".join(words.LABELS[role].split()) in form.words


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    catalogue=catalogues(),
    faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=5, unique_by=lambda it: it.said),
)
def test_every_fault_is_named(catalogue: dict[str, Any], faults: list[Fault]) -> None:
    listed = catalogue["keyTypes"][: 30 - len(faults) - 1]
    if {"name": "everybody"} not in listed:
        listed[0] = {"name": "everybody"}
    expected = []
    for fault in faults:
        if fault.field is not None:
            catalogue[fault.field[0]] = fault.field[1]
            expected.append(fault.said)
        else:
            listed.append(fault.entry)
            expected.append(f"Key type {len(listed)}")
    with pytest.raises(InvalidCatalogue) as found:
        check(json.dumps({**catalogue, "keyTypes": listed}))
    assert len(found.value.errors) == len(faults)
    for fault, place in zip(faults, expected, strict=True):
        [named] = [it for it in found.value.errors if it.startswith((f"{place},", f"{place} ", place + "."))]
        assert fault.said in named


def test_each_kind_of_fault_is_named_by_itself() -> None:
    """Whatever the random choice of the test above leaves out."""
    for fault in FAULTS:
        listed: list[Any] = [{"name": "everybody"}]
        given = {"keyTypes": listed, **(dict([fault.field]) if fault.field else {})}
        if fault.field is None:
            listed.append(fault.entry)
        with pytest.raises(InvalidCatalogue) as found:
            check(json.dumps(given))
        [named] = found.value.errors
        assert fault.said in named
