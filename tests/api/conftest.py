"""Accounts, Service Users and keys that the tests of the API start with."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts import Accounts, AccountTemplates, shared_stack
from tests.support.api_client import Key, Stack

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def accounts(stack: Stack, account_templates: AccountTemplates) -> Accounts:
    """An account with "owner" and "admin"; other callers are created at their first use."""

    def build(accounts: Accounts) -> None:
        accounts.caller("owner")
        accounts.caller("admin")

    return account_templates.make(stack, "owner and admin", build)


@pytest.fixture(scope="module")
def shared_accounts(dynamodb: "DynamoDBClient") -> Iterator[Accounts]:
    """Accounts for tests that change nothing, on tables that the tests of a module share.

    The "admin" administers three READ_ONLY Service Users: "bot" and "itself", each with a MONITORING key, and
    "two-keys" with a key of each type it may hold (its keys are the callers "two-keys/MONITORING" and
    "two-keys/PROVISIONING_READONLY"). "invited" is a User who has not activated; "theirs-1" is a Service
    User of the other account, "neighbour".
    """
    with shared_stack(dynamodb) as stack:
        accounts = Accounts(stack)
        for name in ("owner", "admin", "bystander", "reader", "neighbour", "machine-owner"):
            accounts.caller(name)
        invited = {"username": "invited", "email": "invited@people.example", "role": "CLUSTER_ADMIN"}
        assert accounts.call("POST", "/v1/users", "owner", invited).status == 201
        for username in ("bot", "itself"):
            accounts.keys[username] = stack.service_user(
                accounts["admin"], username, keyTypes=["MONITORING"]
            )["MONITORING"]
        for key_type, key in stack.service_user(accounts["admin"], "two-keys").items():
            accounts.keys[f"two-keys/{key_type}"] = key
        stack.service_user(accounts["neighbour"], "theirs-1", keyTypes=["MONITORING"])
        for key in accounts.keys.values():  # type: ignore[assignment]
            assert key is None or stack.signs_in(
                key
            )  # so that no later call is the first use, which would be written
        yield accounts


@pytest.fixture
def owner(stack: Stack) -> Key:
    """The OWNER of an account."""
    return stack.account()


@pytest.fixture
def bot(stack: Stack, owner: Key) -> Key:
    """The MONITORING key of the Service User "bot", the only one it has."""
    return stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
