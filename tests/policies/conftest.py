"""The account whose policy is enforced."""

import pytest

from tests.support.api_client import Stack
from tests.support.policies import PolicyAccount, policy_account


@pytest.fixture
def account(stack: Stack) -> PolicyAccount:
    """An account at the start of its time, with the OWNER "owner"."""
    return policy_account(stack)
