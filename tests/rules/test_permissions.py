"""Who may do what, where no key opens the way to ask: the rules refuse by themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.rules import permissions
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import Forbidden
from chalicelib.rules.model import User
from chalicelib.rules.roles import KeyType, Role


@pytest.mark.parametrize(
    "rule",
    [
        permissions.require_can_manage_service_users,
        permissions.require_can_list_users,
        permissions.require_can_manage_users,
        permissions.require_can_read_account,
        permissions.require_can_change_account,
    ],
)
def test_a_reader_manages_nothing_even_with_a_key_they_cannot_hold(
    rule: Callable[[AuthContext], Any],
) -> None:
    reader = User(
        username="rob",
        account="acme",
        email="rob@people.example",
        role=Role.READ_ONLY,
        version="v",
        created_at=0,
        membership="m",
    )
    auth = AuthContext(reader, KeyType.USER_MANAGEMENT, b"", Origin("", "", 0))

    with pytest.raises(Forbidden, match="your role is READ_ONLY"):
        rule(auth)
