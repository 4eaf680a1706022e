"""A Service User's description and labels: taken, changed, removed, recorded, and refused in another form."""

from typing import Any

import pytest

from tests.support.accounts import PATH, Accounts, assert_nothing_written, assert_problem, service_user_body
from tests.support.api_client import Stack

BOT = f"{PATH}/bot"
LABELS = {"team": "payments", "acme.example/tier": "1", "empty": ""}

pytestmark = pytest.mark.in_memory


@pytest.fixture
def accounts(stack: Stack) -> Accounts:
    return Accounts(stack)


def about(it: dict[str, Any]) -> tuple[Any, Any]:
    return it["description"], it["labels"]


def test_a_description_and_labels_are_given_at_creation_and_shown_wherever_it_is(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    body = service_user_body("bot", description="Pays what is due", labels=LABELS)
    made = stack.call("POST", PATH, owner, body)
    assert (made.status, about(made.json)) == (201, ("Pays what is due", LABELS))
    assert about(stack.call("GET", BOT, owner).json) == ("Pays what is due", LABELS)
    assert about(stack.call("GET", PATH, owner).json[0]) == ("Pays what is due", LABELS)
    assert stack.events("SERVICE_USER_CREATED")[0]["changes"] == {"role": ["", "READ_ONLY"]}


def test_without_them_there_is_none(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    made = stack.call("POST", PATH, owner, service_user_body("bot", description=None, labels={}))
    assert about(made.json) == (None, {})
    assert {"description", "labels"} & stack.item("bot").keys() == set()  # as version 1.0 stored it


def test_they_are_changed_and_removed_and_each_change_is_in_the_trail(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=[])
    stack.clock.forward(1)
    first = {"description": "Pays", "labels": {"team": "payments", "env": "prod"}}
    assert about(stack.call("PUT", BOT, owner, first).json) == ("Pays", first["labels"])
    stack.clock.forward(1)
    # Labels are replaced as a whole; what is not given stays.
    assert about(stack.call("PUT", BOT, owner, {"labels": {"team": "refunds"}}).json) == (
        "Pays",
        {"team": "refunds"},
    )
    stack.clock.forward(1)
    gone: dict[str, Any] = {"description": None, "labels": {}}
    assert about(stack.call("PUT", BOT, owner, gone).json) == (None, {})
    newest, middle, oldest, _ = stack.call("GET", "/v1/events?username=bot", owner).json
    assert {it["field"]: (it["old"], it["new"]) for it in oldest["changes"]} == {
        "description": ("", "Pays"),
        "labels": ("", "env=prod team=payments"),
    }
    [labels] = middle["changes"]
    assert (labels["oldValue"], labels["newValue"]) == (["env=prod", "team=payments"], ["team=refunds"])
    assert {it["field"]: (it["oldValue"], it["newValue"]) for it in newest["changes"]} == {
        "description": ("Pays", None),
        "labels": (["team=refunds"], []),
    }
    assert not any(it["mail"]["waiting"] for it in (newest, middle, oldest)), (
        "as for a display name, nobody is notified"
    )


def test_what_was_read_of_them_can_be_sent_back(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    described: dict[str, Any] = {"description": "Pays", "labels": LABELS}
    for name, more in (("bot", dict[str, Any]()), ("described", described)):
        stack.service_user(owner, name, keyTypes=[], **more)
        read = stack.call("GET", f"{PATH}/{name}", owner)
        with assert_nothing_written(stack):
            again = stack.call("PUT", f"{PATH}/{name}", owner, read.json)
        assert (again.status, again.json) == (200, read.json)


def test_whoever_changes_the_display_name_changes_them_and_nobody_else(accounts: Accounts) -> None:
    stack = accounts.stack
    stack.service_user(
        accounts["owner"], "bot", "OWNER", administrators=["owner", accounts["admin"].username]
    )
    # An Administrator below the Service User's role may not change its rights, but what it is called.
    assert accounts.call("PUT", BOT, "admin", {"labels": LABELS, "description": "x"}).status == 200
    for name, status in (("bystander", 403), ("reader", 403), ("machine-owner", 403), ("neighbour", 404)):
        accounts.caller(name)
        with assert_nothing_written(stack):
            bodies: list[dict[str, Any]] = [{"labels": {}}, {"description": None}]
            for body in bodies:
                assert_problem(accounts.call("PUT", BOT, name, body), status)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"description": ""}, ["/description"]),
        ({"description": "x" * 501}, ["/description"]),
        ({"description": "two\nlines"}, ["/description"]),
        ({"description": "right \u202e to left"}, ["/description"]),
        ({"description": 5}, ["/description"]),
        ({"labels": None}, ["/labels"]),
        ({"labels": ["team"]}, ["/labels"]),
        ({"labels": {f"n{number}": "" for number in range(21)}}, ["/labels"]),
        ({"labels": {f"{number} ": number for number in range(3000)}}, ["/labels"]),
        ({"labels": {"team": None, "env": 1, "ok": "fine"}}, ["/labels/team", "/labels/env"]),
        (
            {"labels": {"": "x", "-a": "x", "a-": "x", "a b": "x"}},
            [f"/labels/{it}" for it in ("", "-a", "a-", "a b")],
        ),
        ({"labels": {"a:b": "x", "a=b": "x", "é": "x"}}, ["/labels/a:b", "/labels/a=b", "/labels/é"]),
        ({"labels": {"x" * 64: "x"}}, [f"/labels/{'x' * 64}"]),
        ({"labels": {"/a": "x", "a/b~c": "-"}}, ["/labels/~1a", "/labels/a~1b~0c", "/labels/a~1b~0c"]),
        (
            {"labels": {"a": "=1+1", "b": "x/y", "c": "x\n", "d": "v" * 64}},
            [f"/labels/{it}" for it in "abcd"],
        ),
    ],
)
def test_another_form_is_refused_with_every_error_at_its_place(
    accounts: Accounts, body: dict[str, Any], pointers: list[str]
) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=[])
    with assert_nothing_written(stack):
        for response in (
            stack.call("PUT", BOT, owner, body),
            stack.call("POST", PATH, owner, service_user_body("other", **body)),
        ):
            assert [it["pointer"] for it in assert_problem(response, 400)["errors"]] == pointers


def test_the_error_of_a_label_says_what_it_may_be(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=[])
    refused = stack.call("PUT", BOT, owner, {"labels": {"team": "a b"}, "description": "\x07"})
    told = {it["pointer"]: it["detail"] for it in refused.json["errors"]}
    assert told["/labels/team"].startswith("This must be: a value of up to 63 letters, digits, ")
    assert told["/description"] == (
        "Character 1 is U+0007. A description has no control characters, no line ends and nothing that "
        "changes the direction of text."
    )
    many = stack.call("PUT", BOT, owner, {"labels": {f"n{number}": "" for number in range(21)}})
    assert many.json["errors"][0]["detail"] == "This must have at most 20 entries."
