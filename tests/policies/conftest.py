"""The account whose policy is enforced."""

import pytest

from tests.support.api_client import Stack
from tests.support.policies import PolicyAccount, policy_account


@pytest.fixture
def account(stack: Stack) -> PolicyAccount:
    """A new account with the OWNER "owner", on the first day."""
    return policy_account(stack)
