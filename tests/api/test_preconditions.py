"""Preconditions (RFC 9110, 13): each is judged, or the call that carries it is refused."""

from typing import Any

import pytest

from tests.support.accounts import PATH, Accounts, assert_nothing_written, assert_problem
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.dynamodb_faults import before_next_call

OWN = "/v1/users/owner/api-keys"
MONITORING = {"keyType": "MONITORING"}
ONLY = {"allowedNetworks": ["198.51.100.0/24"]}
NETWORKS = {**MONITORING, **ONLY}
# What carries the ETag, and the change that it guards.
CHANGES: dict[str, tuple[str, str, str, Any]] = {
    "update a person": ("/v1/users/reader", "PUT", "/v1/users/reader", {"displayName": "R"}),
    "revoke a person": ("/v1/users/reader", "DELETE", "/v1/users/reader", NO_BODY),
    "invite again": ("/v1/users/reader", "POST", "/v1/users/reader/invitation", NO_BODY),
    "update the account": ("/v1/account", "PUT", "/v1/account", {"name": "Other"}),
    "generate one's key": (OWN, "POST", OWN, {"keyType": "PROVISIONING"}),
    "restrict one's key": (OWN, "PATCH", OWN, NETWORKS),
    "rotate one's key": (OWN, "POST", f"{OWN}/rotate", MONITORING),
    "revoke one's key": (OWN, "DELETE", OWN, MONITORING),
    "generate": (f"{PATH}/bot", "POST", f"{PATH}/bot/api-keys", {"keyType": "PROVISIONING_READONLY"}),
    "restrict": (f"{PATH}/bot", "PATCH", f"{PATH}/bot/api-keys", NETWORKS),
    "rotate": (f"{PATH}/bot", "POST", f"{PATH}/bot/api-keys/rotate", MONITORING),
    "revoke": (f"{PATH}/bot", "DELETE", f"{PATH}/bot/api-keys", MONITORING),
    "restrict by path": (f"{PATH}/bot/api-keys/MONITORING", "PATCH", f"{PATH}/bot/api-keys/MONITORING", ONLY),
    "revoke by path": (
        f"{PATH}/bot/api-keys/MONITORING",
        "DELETE",
        f"{PATH}/bot/api-keys/MONITORING",
        NO_BODY,
    ),
    "rotate the key one signs in with": (OWN, "POST", "/v1/api-keys/rotate", NO_BODY),
}


@pytest.fixture
def owner(stack: Stack) -> Key:
    accounts = Accounts(stack)
    owner = accounts["owner"]
    accounts.caller("reader")
    stack.own_key(owner, "MONITORING")
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    return owner


def tag(stack: Stack, owner: Key, path: str) -> str:
    return stack.call("GET", path, owner).headers["ETag"]


def change(stack: Stack, owner: Key, name: str, if_match: str) -> Response:
    _, method, path, body = CHANGES[name]
    return stack.call(method, path, owner, body, headers={"If-Match": if_match})


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_with_an_outdated_if_match_is_refused(stack: Stack, owner: Key, name: str) -> None:
    with assert_nothing_written(stack):
        assert_problem(change(stack, owner, name, '"not-the-version"'), 412)
    seen = tag(stack, owner, CHANGES[name][0])
    done = change(stack, owner, name, seen)
    assert done.status < 300, done.text
    assert done.headers.get("ETag") != seen
    if done.status != 204:
        assert change(stack, owner, name, "*").status != 412


@pytest.mark.parametrize("name", ["revoke a person", "revoke one's key", "revoke"])
def test_a_revocation_of_one_version_revokes_no_other(stack: Stack, owner: Key, name: str) -> None:
    """Without If-Match it wins against every concurrent change; with it, the caller asked otherwise."""
    seen = tag(stack, owner, CHANGES[name][0])

    def other() -> None:
        _, _, path, _ = CHANGES[name]
        if name == "revoke a person":
            response = stack.call("PUT", path, owner, {"displayName": "X"})
        else:
            response = stack.call("PATCH", path, owner, NETWORKS)
        assert response.status == 200

    with before_next_call(stack, "TransactWriteItems", other):
        refused = change(stack, owner, name, seen)
    # One's own keys are decided on as they were at sign-in.
    assert refused.status == (409 if name == "revoke one's key" else 412)
    assert change(stack, owner, name, "*").status == 204


def test_two_owners_do_not_overwrite_each_others_networks(stack: Stack, owner: Key) -> None:
    seen = tag(stack, owner, f"{PATH}/bot")
    assert change(stack, owner, "restrict", seen).status == 200
    assert_problem(change(stack, owner, "restrict", seen), 412)


@pytest.mark.parametrize("header", ["If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"])
@pytest.mark.parametrize("name", ["update a person", "revoke", "rotate the key one signs in with"])
def test_a_precondition_that_a_call_does_not_evaluate_is_refused(
    stack: Stack, owner: Key, name: str, header: str
) -> None:
    _, method, path, body = CHANGES[name]
    with assert_nothing_written(stack):
        response = stack.call(method, path, owner, body, headers={header: '"x"'})
        assert header in assert_problem(response, 400)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/users", {"username": "new-one", "email": "n@people.example", "role": "READ_ONLY"}),
        ("POST", PATH, {"username": "new-one", "email": "n@people.example", "role": "READ_ONLY"}),
        ("POST", "/v1/users/activate", {"username": "new-one", "token": "x"}),
        ("GET", "/v1/users/reader", NO_BODY),
        ("GET", "/v1/whoami", NO_BODY),
    ],
)
def test_if_match_is_refused_by_calls_that_do_not_evaluate_it(
    stack: Stack, owner: Key, method: str, path: str, body: Any
) -> None:
    with assert_nothing_written(stack):
        response = stack.call(method, path, owner, body, headers={"If-Match": "*"})
        assert "If-Match" in assert_problem(response, 400)["detail"]


def test_a_read_ignores_the_headers_of_caches(stack: Stack, owner: Key) -> None:
    """Browsers do; the whole response is right all the same."""
    for path in ("/health", "/docs", "/v1/whoami"):
        headers = {"If-None-Match": '"x"', "If-Modified-Since": "Sat, 28 Nov 2026 00:00:00 GMT"}
        assert stack.call("GET", path, owner, headers=headers).status == 200


@pytest.mark.parametrize("name", ["revoke a person", "revoke"])
def test_a_star_holds_for_whatever_version_there_is(stack: Stack, owner: Key, name: str) -> None:
    """It asks for nothing but existence, so that a revocation with it wins against concurrent changes too."""
    _, _, path, _ = CHANGES[name]

    def other() -> None:
        changed = {"displayName": "X"} if name == "revoke a person" else NETWORKS
        method = "PUT" if name == "revoke a person" else "PATCH"
        assert stack.call(method, path, owner, changed).status == 200

    with before_next_call(stack, "TransactWriteItems", other):
        assert change(stack, owner, name, "*").status == 204
    assert change(stack, owner, name, "*").status == 404  # not 412: nothing is there to have a version


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (['"no"', "{seen}"], 204),
        (["{seen}", '"no"'], 204),
        (['"no"', '"other"'], 412),
        (["*", "{seen}"], 400),
        (["{seen}", "*"], 400),
        (["{seen}", "x"], 400),
        ([""], 400),
        (["W/{seen}"], 412),
    ],
)
def test_several_if_match_headers_are_one_list(
    stack: Stack, owner: Key, headers: list[str], status: int
) -> None:
    """API Gateway has only the last of them in ``headers``."""
    seen = tag(stack, owner, f"{PATH}/bot")
    sent = [header.replace("{seen}", seen) for header in headers]
    event = stack.event("DELETE", f"{PATH}/bot", owner, headers={"if-match": sent[-1]})
    event["multiValueHeaders"] = {"If-Match": sent, "Authorization": [owner.header]}
    before = stack.snapshot()
    assert stack.app(event, None)["statusCode"] == status
    assert (stack.snapshot() == before) is (status != 204)
