"""Users of an account and their browsers."""

from collections.abc import Callable

import pytest

from tests.support.accounts import Accounts, AccountTemplates
from tests.support.api_client import Stack
from tests.support.browser import Browser


@pytest.fixture
def accounts(stack: Stack, account_templates: AccountTemplates) -> Accounts:
    """An account with "owner" and "admin"; other callers are created at their first use."""

    def build(accounts: Accounts) -> None:
        accounts.caller("owner")
        accounts.caller("admin")

    return account_templates.make(stack, "owner and admin", build)


@pytest.fixture
def person(accounts: Accounts) -> Callable[..., Browser]:
    """Invites a user and returns their browser, in which they have just accepted the invitation."""

    def invite(username: str = "ann", role: str = "OWNER") -> Browser:
        body = {"username": username, "email": f"{username}@people.example", "role": role}
        assert accounts.call("POST", "/v1/users", "owner", body).status == 201
        browser = Browser(accounts.stack)
        done = browser.activate(username)
        assert done.status == 200, done.text
        return browser

    return invite
