"""Who may do what, where no key opens the way to ask: the rules refuse by themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.rules import access
from chalicelib.rules.acts import Act, Origin
from chalicelib.rules.faults import Forbidden
from chalicelib.rules.model import User
from chalicelib.rules.roles import KeyType, Role


@pytest.mark.parametrize(
    "rule",
    [
        access.see_service_users,
        access.see_people,
        access.run_people,
        access.see_account,
        access.run_account,
    ],
)
def test_a_reader_manages_nothing_even_with_a_key_they_cannot_hold(rule: Callable[[Act], Any]) -> None:
    reader = User(
        username="rob",
        account="acme",
        email="rob@people.example",
        role=Role.READ_ONLY,
        version="v",
        created_at=0,
        membership="m",
    )
    act = Act(reader, KeyType.USER_MANAGEMENT, b"", Origin("", "", 0))

    with pytest.raises(Forbidden, match="your role is READ_ONLY"):
        rule(act)
