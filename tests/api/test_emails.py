"""Emails are unique within an account and never across, whichever version stored them."""

from collections import Counter
from typing import Any

import pytest

from tests.support.accounts import PATH, Accounts, assert_problem, service_user_body
from tests.support.api_client import Response
from tests.support.dynamodb_faults import assert_events_match_keys, before_next_call
from tests.support.version_1_0 import addresses_of, keep_address_as_1_0, put_old_address

USERS = "/v1/users"
CEO = "ceo@bigbank.example"


def create(accounts: Accounts, caller: str, username: str, email: str) -> Response:
    body = service_user_body(username) | {"email": email}
    return accounts.stack.call("POST", PATH, accounts[caller], body)


def invite(accounts: Accounts, caller: str, username: str, email: str) -> Response:
    body = {"username": username, "email": email, "role": "READ_ONLY"}
    return accounts.stack.call("POST", USERS, accounts[caller], body)


def key(accounts: Accounts, caller: str, email: str) -> str:
    return f"ACCOUNT_EMAIL#{accounts.stack.item(accounts[caller].username)['account']}#{email}"


@pytest.fixture(params=["1.0", "1.1"])
def their_ceo(request: pytest.FixtureRequest, accounts: Accounts) -> Accounts:
    """Accounts where the "neighbour" has made a machine with somebody's email, by either version."""
    accounts["owner"], accounts["neighbour"]
    assert create(accounts, "neighbour", "squatter", "ceo+anything@bigbank.example").status == 201
    if request.param == "1.0":
        keep_address_as_1_0(accounts.stack, "squatter")
    return accounts


@pytest.mark.parametrize("how", [create, invite])
def test_another_account_keeps_nobody_out(their_ceo: Accounts, how: Any) -> None:
    assert how(their_ceo, "owner", "ceo", CEO).status == 201

    found = addresses_of(their_ceo.stack)
    assert found[key(their_ceo, "owner", CEO)] == "ceo"
    assert found[key(their_ceo, "neighbour", CEO)] == "squatter"
    assert f"EMAIL#{CEO}" not in found
    assert_events_match_keys(their_ceo.stack)
    for caller, username in (("owner", "second"), ("neighbour", "third")):
        problem = assert_problem(how(their_ceo, caller, username, "CEO+x@BigBank.example"), 409)
        assert problem["detail"].startswith("The email 'CEO+x@BigBank.example' is taken in this account (")


@pytest.mark.parametrize("how", [create, invite])
def test_an_email_stays_taken_in_its_own_account(their_ceo: Accounts, how: Any) -> None:
    problem = assert_problem(how(their_ceo, "neighbour", "second", CEO), 409)
    assert "is taken in this account" in problem["detail"]
    assert_problem(how(their_ceo, "neighbour", "third", CEO), 409)
    assert_events_match_keys(their_ceo.stack)


def test_an_email_is_free_once_its_holder_is_gone(their_ceo: Accounts) -> None:
    assert their_ceo.call("DELETE", f"{PATH}/squatter", "neighbour").status == 204

    assert CEO not in str(addresses_of(their_ceo.stack))
    assert create(their_ceo, "neighbour", "second", CEO).status == 201
    assert create(their_ceo, "owner", "third", CEO).status == 201
    assert their_ceo.call("DELETE", f"{PATH}/second", "neighbour").status == 204
    assert create(their_ceo, "neighbour", "fourth", CEO).status == 201
    assert_events_match_keys(their_ceo.stack)


def test_deleting_frees_the_email_of_no_other_account(their_ceo: Accounts) -> None:
    assert create(their_ceo, "owner", "ceo", CEO).status == 201
    assert their_ceo.call("DELETE", f"{PATH}/squatter", "neighbour").status == 204

    assert_problem(create(their_ceo, "owner", "second", CEO), 409)
    assert create(their_ceo, "neighbour", "third", CEO).status == 201


def test_a_person_stored_by_1_0_leaves_with_their_email(accounts: Accounts) -> None:
    assert invite(accounts, "owner", "bea", "bea@corp.example").status == 201
    keep_address_as_1_0(accounts.stack, "bea")
    assert accounts.call("DELETE", f"{USERS}/bea", "owner").status == 204
    assert invite(accounts, "owner", "bea-2", "bea@corp.example").status == 201
    assert_events_match_keys(accounts.stack)


@pytest.mark.parametrize("taken", [True, False])
def test_an_answer_does_not_tell_whether_another_account_has_an_email(
    accounts: Accounts, taken: bool
) -> None:
    """Nor does what a creation and a deletion cost: the calls to DynamoDB are the same."""
    accounts["owner"], accounts["neighbour"]
    if taken:
        assert create(accounts, "neighbour", "squatter", CEO).status == 201
    with accounts.stack.counted() as calls:
        made = create(accounts, "owner", "ceo", CEO)
        again = create(accounts, "owner", "ceo", CEO)
        assert accounts.call("DELETE", f"{PATH}/ceo", "owner").status == 204
    assert (made.status, again.status) == (201, 409)
    assert "The username 'ceo' is taken" in again.json["detail"]
    assert calls == Counter(GetItem=4, TransactWriteItems=3)


def test_no_email_is_the_key_of_another_accounts(accounts: Accounts) -> None:
    """An email may contain a "#", and an account's id is in many answers."""
    accounts["owner"], accounts["neighbour"]
    own = accounts.stack.item("owner")["account"]
    assert create(accounts, "owner", "bot", "bot@corp.example").status == 201
    held = addresses_of(accounts.stack)
    for number, email in enumerate(
        (f"{own}#bot@corp.example", f"{own}#nobody@corp.example", f"#{own}#bot@corp.example")
    ):
        assert create(accounts, "neighbour", f"probe-{number}", email).status == 201
    assert held.items() <= addresses_of(accounts.stack).items()
    assert_problem(create(accounts, "owner", "second", "bot@corp.example"), 409)


# What a roll-back to version 1.0, or a lost race, leaves


def test_an_old_email_that_is_nobodys_is_free(accounts: Accounts) -> None:
    put_old_address(accounts.stack, CEO, "nobody-any-more")
    assert create(accounts, "owner", "ceo", CEO).status == 201
    assert addresses_of(accounts.stack)[key(accounts, "owner", CEO)] == "ceo"
    assert_events_match_keys(accounts.stack)


def test_an_old_email_of_somebody_who_has_another_is_free(accounts: Accounts) -> None:
    assert create(accounts, "owner", "bot", "bot@corp.example").status == 201
    put_old_address(accounts.stack, CEO, "bot")
    assert create(accounts, "owner", "ceo", CEO).status == 201
    assert_problem(create(accounts, "owner", "second", "bot@corp.example"), 409)
    assert_events_match_keys(accounts.stack)


def test_an_email_that_two_of_an_account_have_stays_with_the_first(accounts: Accounts) -> None:
    """Version 1.0 does not see emails by account, so after a roll-back it gives one out again."""
    assert create(accounts, "owner", "first", CEO).status == 201
    assert create(accounts, "owner", "second", "second@corp.example").status == 201
    item = accounts.stack.item("second")
    keep_address_as_1_0(accounts.stack, "second")
    accounts.stack.client.update_item(
        TableName=accounts.stack.tables.directory,
        Key={"pk": {"S": item["pk"]}},
        UpdateExpression="SET email = :email",
        ExpressionAttributeValues={":email": {"S": CEO}},
    )
    put_old_address(accounts.stack, CEO, "second")

    assert_problem(create(accounts, "owner", "third", CEO), 409)
    assert create(accounts, "neighbour", "fourth", CEO).status == 201
    assert f"EMAIL#{CEO}" not in addresses_of(accounts.stack)
    assert accounts.call("DELETE", f"{PATH}/second", "owner").status == 204
    assert_problem(create(accounts, "owner", "fifth", CEO), 409)
    assert accounts.call("DELETE", f"{PATH}/first", "owner").status == 204
    assert create(accounts, "owner", "sixth", CEO).status == 201


def test_an_old_email_of_another_by_now_is_not_freed(accounts: Accounts) -> None:
    """1.0 frees an email without a look at whose it is, and may have given it to another account since."""
    assert create(accounts, "owner", "bot", CEO).status == 201
    assert create(accounts, "neighbour", "theirs", "theirs@corp.example").status == 201
    keep_address_as_1_0(accounts.stack, "bot")
    put_old_address(accounts.stack, CEO, "theirs")
    assert accounts.call("DELETE", f"{PATH}/bot", "owner").status == 204
    assert addresses_of(accounts.stack)[f"EMAIL#{CEO}"] == "theirs"


@pytest.mark.parametrize("change", ["renamed", "deleted"])
def test_an_email_is_moved_as_its_holder_is_when_that_is_done(accounts: Accounts, change: str) -> None:
    accounts["neighbour"], accounts["owner"]
    assert create(accounts, "neighbour", "squatter", CEO).status == 201
    keep_address_as_1_0(accounts.stack, "squatter")

    def meanwhile() -> None:
        if change == "renamed":
            renamed = accounts.call("PUT", f"{PATH}/squatter", "neighbour", {"displayName": "x"})
            assert renamed.status == 200
        else:
            assert accounts.call("DELETE", f"{PATH}/squatter", "neighbour").status == 204

    # The first call of its own is the transaction that finds the email, the next reads its holder.
    with before_next_call(accounts.stack, "TransactWriteItems", meanwhile, skip=1):
        assert create(accounts, "owner", "ceo", CEO).status == 201
    assert_events_match_keys(accounts.stack)
    again = create(accounts, "neighbour", "second", CEO).status
    assert again == (409 if change == "renamed" else 201)
