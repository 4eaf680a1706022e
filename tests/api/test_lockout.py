"""Nobody locks themselves out by accident."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.accounts import assert_problem
from tests.support.api_client import NO_BODY, Stack

OWN = "/v1/users/owner/api-keys"
MANAGEMENT = {"keyType": "USER_MANAGEMENT"}
ELSEWHERE = {**MANAGEMENT, "allowedNetworks": ["203.0.113.0/24"]}
MEANT = {"evenIfLockedOut": True}


def ends_in(stack: Stack, seconds: int) -> dict[str, Any]:
    end = datetime.fromtimestamp(stack.clock() + seconds, UTC)
    return {**MANAGEMENT, "expiresAt": end.strftime("%Y-%m-%dT%H:%M:%SZ")}


@pytest.mark.parametrize(
    ("method", "change"),
    [("DELETE", MANAGEMENT), ("PATCH", ELSEWHERE), ("PATCH", 300)],
    ids=["revoke", "networks", "end"],
)
def test_a_change_that_locks_the_caller_out_is_refused_without_even_if_locked_out(
    stack: Stack, method: str, change: dict[str, Any] | int
) -> None:
    owner = stack.account()
    body = ends_in(stack, change) if isinstance(change, int) else change
    for _ in range(2):
        detail = assert_problem(stack.call(method, OWN, owner, body), 409)["detail"]
        assert "evenIfLockedOut" in detail
        assert "signed in with" in detail
    assert stack.call(method, OWN, owner, {**body, "evenIfLockedOut": False}).status == 409
    assert stack.sign_in(owner) == 200
    assert stack.call(method, OWN, owner, {**body, **MEANT}).status in (200, 204)
    stack.clock.forward(301)
    assert stack.sign_in(owner) in (401, 403)


def test_the_refusal_names_the_callers_address(stack: Stack) -> None:
    assert "198.51.100.7" in stack.call("PATCH", OWN, stack.account(), ELSEWHERE).json["detail"]


@pytest.mark.parametrize(
    "change", [{"allowedNetworks": ["203.0.113.0/24", "198.51.100.7/32"]}, {"allowedNetworks": []}, 301]
)
def test_a_change_that_locks_nobody_out_is_made(stack: Stack, change: dict[str, Any] | int) -> None:
    owner = stack.account()
    body = ends_in(stack, change) if isinstance(change, int) else {**MANAGEMENT, **change}
    assert stack.call("PATCH", OWN, owner, body).status == 200
    assert stack.sign_in(owner) == 200


def test_a_key_that_ends_soon_may_be_given_a_later_end_or_other_networks(stack: Stack) -> None:
    owner = stack.account()
    assert stack.call("PATCH", OWN, owner, {**ends_in(stack, 60), **MEANT}).status == 200
    assert stack.call("PATCH", OWN, owner, ends_in(stack, 120)).status == 200
    near = {**MANAGEMENT, "allowedNetworks": ["198.51.100.0/24"]}
    assert stack.call("PATCH", OWN, owner, near).status == 200
    assert stack.call("PATCH", OWN, owner, ends_in(stack, 60)).status == 409


def test_the_predecessor_signed_in_with_is_revoked_too(stack: Stack) -> None:
    owner = stack.account()
    assert stack.call("POST", "/v1/api-keys/rotate", owner, {"overlapSeconds": 600}).status == 200
    assert stack.call("DELETE", OWN, owner, MANAGEMENT).status == 409
    assert stack.call("PATCH", OWN, owner, ELSEWHERE).status == 409


def test_another_key_and_a_machines_key_need_no_even_if_locked_out(stack: Stack) -> None:
    owner = stack.account()
    stack.own_key(owner, "MONITORING")
    stack.service_user(owner, "bot", "OWNER", keyTypes=["USER_MANAGEMENT"])
    other = {**ELSEWHERE, "keyType": "MONITORING"}
    assert stack.call("PATCH", OWN, owner, other).status == 200
    assert stack.call("DELETE", OWN, owner, {"keyType": "MONITORING"}).status == 204
    path = "/v1/service-users/bot/api-keys"
    assert stack.call("PATCH", path, owner, ELSEWHERE).status == 200
    assert stack.call("DELETE", path, owner, MANAGEMENT).status == 204


def test_even_if_locked_out_is_read_from_the_query_too(stack: Stack) -> None:
    owner = stack.account()
    path = f"{OWN}?keyType=USER_MANAGEMENT"
    assert stack.call("DELETE", path, owner, NO_BODY).status == 409
    assert stack.call("DELETE", f"{path}&evenIfLockedOut=false", owner, NO_BODY).status == 409
    wrong = stack.call("DELETE", f"{path}&evenIfLockedOut=yes", owner, NO_BODY)
    assert (wrong.status, wrong.pointers) == (400, ["/evenIfLockedOut"])
    assert stack.call("DELETE", f"{path}&evenIfLockedOut=true", owner, NO_BODY).status == 204
    assert stack.sign_in(owner) == 401
