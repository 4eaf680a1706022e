"""Why something happened, as events are stored: a code, whatever the words of the reason."""

import app as application
from tests.support.api_client import Key, Stack

MORE = {"role": "CLUSTER_ADMIN", "keyTypes": ["MONITORING", "USER_MANAGEMENT"]}


def last_event(stack: Stack) -> tuple[str, str | None, str | None]:
    """Action, cause and reason of the newest event."""
    event = max(stack.items(stack.tables.events), key=lambda it: it["id"])
    return event["action"], event.get("cause"), event.get("reason")


def done(stack: Stack, by: Key, method: str, path: str, *body: object) -> tuple[str, str | None, str | None]:
    stack.clock.forward(1)
    response = stack.call(method, path, by, *body)
    assert response.status in (200, 201, 204, 403), response.text
    return last_event(stack)


def test_what_happens_to_a_service_user_has_its_cause(stack: Stack) -> None:
    owner = stack.account()
    stack.clock.forward(1)
    stack.service_user(owner, "bot", **MORE)  # type: ignore[arg-type]
    path = "/v1/service-users/bot"
    assert last_event(stack) == ("SERVICE_USER_CREATED", None, None)
    assert done(stack, owner, "PUT", path, {"displayName": "Bot"}) == ("SERVICE_USER_UPDATED", None, None)
    assert done(stack, owner, "PUT", path, {"role": "READ_ONLY"}) == (
        "SERVICE_USER_UPDATED",
        "ROLE_LOWERED",
        "The role is now READ_ONLY",
    )
    # The keys it may hold already stay, so another role changes none.
    assert done(stack, owner, "PUT", path, {"role": "OWNER"}) == ("SERVICE_USER_UPDATED", None, None)
    key_type = {"keyType": "MONITORING"}
    assert done(stack, owner, "POST", f"{path}/api-keys/rotate", key_type) == ("API_KEY_ROTATED", None, None)
    assert done(stack, owner, "DELETE", f"{path}/api-keys", key_type) == ("API_KEY_REVOKED", None, None)
    stack.clock.forward(1)
    elsewhere = stack.key(owner, "bot", "MONITORING", allowedNetworks=["203.0.113.0/24"])
    refused = done(stack, elsewhere, "GET", "/v1/whoami")
    assert refused[:2] == ("API_KEY_REFUSED", "NETWORK_NOT_ALLOWED")
    assert done(stack, owner, "DELETE", path) == (
        "SERVICE_USER_DELETED",
        "SERVICE_USER_DELETED",
        "The Service User was deleted",
    )


def test_what_happens_to_a_user_has_its_cause(stack: Stack) -> None:
    owner = stack.account()
    assert last_event(stack) == ("ACCOUNT_CREATED", "OPERATOR", None)
    stack.clock.forward(1)
    ann = {"username": "ann", "email": "ann@people.example", "role": "CLUSTER_ADMIN"}
    assert done(stack, owner, "POST", "/v1/users", ann) == ("USER_INVITED", None, None)
    stack.clock.forward(1)
    stack.activate("ann")
    assert last_event(stack) == ("USER_ACTIVATED", None, None)
    path = "/v1/users/ann"
    assert done(stack, owner, "POST", f"{path}/invitation") == ("USER_INVITED", "USER_INVITED_AGAIN", None)
    stack.clock.forward(1)
    stack.activate("ann")
    assert done(stack, owner, "PUT", path, {"role": "READ_ONLY"}) == (
        "USER_UPDATED",
        "ROLE_LOWERED",
        "The role is now READ_ONLY",
    )
    assert done(stack, owner, "DELETE", path) == (
        "USER_REVOKED",
        "USER_REVOKED",
        "The User was revoked from the account",
    )
    stack.clock.forward(1)
    application.recover_owner({"username": "owner"}, None)
    assert last_event(stack) == ("API_KEY_ROTATED", "OPERATOR", None)
