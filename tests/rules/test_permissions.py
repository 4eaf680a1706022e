"""Who may do what, where no key opens the way to ask: the rules refuse by themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.rules import permissions
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.errors import Forbidden
from chalicelib.rules.model import Event, Invitation, ServiceUser, User, UserSummary
from chalicelib.rules.roles import KeyType, Role
from tests.support.mail import make_event


def user(username: str, role: Role, **more: Any) -> User:
    fields = {"account": "acme", "membership": "m", "email": f"{username}@people.example", **more}
    return User(username=username, role=role, version="v", created_at=0, **fields)


BOT = ServiceUser(
    id="i",
    username="bot",
    account="acme",
    email="bot@machines.example",
    role=Role.READ_ONLY,
    version="v",
    created_at=0,
    administrators={"ann": "m"},
)


@pytest.mark.parametrize(
    ("role", "changes", "listed", "may_administer", "may_be_listed"),
    [
        (Role.OWNER, {}, True, True, True),
        (Role.CLUSTER_ADMIN, {}, True, True, True),
        (Role.READ_ONLY, {}, False, False, False),
        (Role.OWNER, {"username": "bea"}, False, True, True),
        (Role.CLUSTER_ADMIN, {"username": "bea"}, False, False, True),
        (Role.OWNER, {"membership": "new"}, False, True, True),
        (Role.CLUSTER_ADMIN, {"membership": "new"}, False, False, True),
        (Role.OWNER, {"account": "other"}, False, False, False),
        (Role.CLUSTER_ADMIN, {"account": "other"}, False, False, False),
        (Role.CLUSTER_ADMIN, {"invitation": Invitation("i")}, True, True, True),
        (Role.CLUSTER_ADMIN, {"invitation": Invitation("i"), "membership": "new"}, False, False, False),
        (Role.OWNER, {"invitation": Invitation("i"), "username": "bea"}, False, True, False),
    ],
)
def test_who_may_administer_depends_on_role_account_membership_and_activation(
    role: Role, changes: dict[str, Any], listed: bool, may_administer: bool, may_be_listed: bool
) -> None:
    ann = user(**{"username": "Ann", "role": role, **changes})
    event: Event = make_event(account="acme", administrators=BOT.administrators)
    assert permissions.is_administrator(ann, BOT) is listed
    assert permissions.is_administrator(ann, event) is listed
    assert permissions.is_administrator(summary(ann), event) is listed
    assert permissions.can_administer(ann, BOT) is may_administer
    assert permissions.can_become_administrator(ann, BOT) is may_be_listed


@pytest.mark.parametrize(
    ("role", "changes", "owns"),
    [
        (Role.OWNER, {}, True),
        (Role.CLUSTER_ADMIN, {}, False),
        (Role.OWNER, {"username": "bea"}, False),
        (Role.OWNER, {"membership": "new"}, False),
        (Role.OWNER, {"account": "other"}, False),
    ],
)
def test_who_owns_an_account_depends_on_role_account_and_membership(
    role: Role, changes: dict[str, Any], owns: bool
) -> None:
    ann = user(**{"username": "Ann", "role": role, **changes})
    assert permissions.is_owner(ann, "acme", {"ann": "m"}) is owns
    assert permissions.is_owner(summary(ann), "acme", {"ann": "m"}) is owns


def summary(it: User) -> UserSummary:
    return UserSummary(
        username=it.username, account=it.account, email=it.email, role=it.role, membership=it.membership
    )


@pytest.mark.parametrize(
    "rule",
    [
        permissions.require_can_manage_service_users,
        permissions.require_can_read_service_users,
        permissions.require_can_list_users,
        permissions.require_can_manage_users,
        permissions.require_can_read_account,
        permissions.require_can_change_account,
        permissions.require_can_read_events,
    ],
)
def test_a_reader_manages_nothing_even_with_a_key_they_cannot_hold(
    rule: Callable[[AuthContext], Any],
) -> None:
    auth = AuthContext(
        user("rob", Role.READ_ONLY), PresentedKey(KeyType.USER_MANAGEMENT, b""), Origin("", "", 0)
    )

    with pytest.raises(Forbidden, match="your role is READ_ONLY"):
        rule(auth)
