"""HEAD, which is served wherever GET is: the same status and headers, and no body (RFC 9110, 9.3.2)."""

import re
from typing import Any

import pytest

import app as application
from tests.support.accounts import PATH, Accounts, assert_nothing_written
from tests.support.api_client import NO_BODY

PATHS = [path for path, methods in application.app.routes.items() if "GET" in methods]


def place(path: str) -> str:
    """Return a path at which there is something to read."""
    names = {
        "{username}": "bot" if "service-users" in path else "owner",
        "{keyType}": "MONITORING" if "service-users" in path else "USER_MANAGEMENT",
        "{name}": "page.js",
        "{section}": "sign-in",
    }
    return re.sub(r"\{\w+\}", lambda found: names.get(found[0], "x"), path)


@pytest.fixture
def accounts(accounts: Accounts) -> Accounts:
    accounts.stack.service_user(accounts["owner"], "bot", keyTypes=["MONITORING"])
    return accounts


def lasting(headers: dict[str, str]) -> dict[str, str]:
    """Return headers without those that differ from one response to the next: a new cookie."""
    return {name: value for name, value in headers.items() if name.lower() != "set-cookie"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("caller", ["owner", "reader", "nobody"])
def test_the_response_to_head_is_that_to_get_without_its_body(
    accounts: Accounts, path: str, caller: str
) -> None:
    stack, key, where = accounts.stack, accounts.caller(caller), place(path)
    got = stack.app(stack.event("GET", where, key), None)
    with assert_nothing_written(stack):
        asked = stack.app(stack.event("HEAD", where, key), None)
    assert got["statusCode"] < 500
    assert asked["statusCode"] == got["statusCode"]
    assert lasting(asked["headers"]) == lasting(got["headers"])
    assert asked["body"] == ""


def test_every_get_is_also_head() -> None:
    for path, methods in application.app.routes.items():
        is_served = (
            methods["HEAD"].view_function is methods["GET"].view_function if "GET" in methods else None
        )
        assert is_served in (True, None), path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"If-None-Match": '"x"'}, 200),  # as of a GET: it would only save bytes
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 400),
        ({"If-Match": '"x"'}, 400),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_head_is_refused_where_get_is(accounts: Accounts, headers: dict[str, str], status: int) -> None:
    for method in ("GET", "HEAD"):
        assert accounts.stack.call(method, f"{PATH}/bot", accounts["owner"], headers=headers).status == status


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/users/activate", NO_BODY), (f"{PATH}/bot/suspend", NO_BODY), ("/v1/api-keys/rotate", {})],
)
def test_head_makes_no_change_where_there_is_no_get(accounts: Accounts, path: str, body: Any) -> None:
    with assert_nothing_written(accounts.stack):
        response = accounts.stack.call("HEAD", path, accounts["owner"], body)
    assert (response.status, response.text) == (405, "")
    assert response.headers["Allow"] == "POST"
