"""Budgets and quotas on the real engine: however many call at once, no more get through than the limit says.

A call may also be refused because others conflict with it (409). So after each race, callers try one after
the other until the limit refuses them. In all, exactly as many got through as the limit says: the race has
counted nothing twice, and has forgotten nothing.
"""

from collections.abc import Callable
from itertools import count

import pytest
from chalice.local import LocalChalice

from chalicelib.rules.limits import DEFAULT
from tests.api.test_limits import FIND, MONITORING, USERS
from tests.concurrency.test_races import race, statuses
from tests.support.accounts import PATH, service_user_body
from tests.support.api_client import Key, Response, Stack
from tests.support.browser import Browser

pytestmark = pytest.mark.engine

CROWD = 24
LIMIT = 5
WIDE = {
    "key_change_burst": 1_000,
    "account_changes_per_minute": 100_000,
    "invitation_pause": 0,
    "passkey_code_pause": 0,
    "invitations_per_day": 1_000,
}
Caller = Callable[[int], Response]
Scene = Callable[[Stack], tuple[dict[str, int], Caller, int]]
"""Prepares a race: the limits that are tight, the call, and the status of a call past the limit."""


@pytest.fixture(autouse=True)
def threaded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each thread have a request of its own, as each environment of Lambda has."""
    monkeypatch.setattr(stack.app, "__class__", type("Threaded", (LocalChalice, type(stack.app)), {}))


def service_users(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    return (
        {"service_users": LIMIT},
        lambda number: stack.call("POST", PATH, owner, service_user_body(f"bot-{number}", keyTypes=[])),
        409,
    )


def invite(stack: Stack, by: Key, number: int) -> Response:
    body = {"username": f"user-{number}", "email": f"user-{number}@people.example", "role": "READ_ONLY"}
    return stack.call("POST", USERS, by, body)


def people(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    return {"users": LIMIT + 1}, lambda number: invite(stack, owner, number), 409


def owners(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    """Half of them are raised to OWNER, and half activate as one."""
    owner = stack.account()
    tokens: dict[str, str] = {}
    for number in range(CROWD + LIMIT):
        if number % 2:
            stack.user(owner, f"user-{number}", "READ_ONLY")
            continue
        body = {"username": f"user-{number}", "email": f"user-{number}@people.example", "role": "OWNER"}
        assert stack.call("POST", USERS, owner, body).status == 201
        tokens[f"user-{number}"] = stack.token(f"user-{number}")

    def become(number: int) -> Response:
        name = f"user-{number % (CROWD + LIMIT)}"
        if name in tokens:
            return stack.call("POST", f"{USERS}/activate", None, {"username": name, "token": tokens[name]})
        return stack.call("PUT", f"{USERS}/{name}", owner, {"role": "OWNER"})

    return {"owners": LIMIT + 1}, become, 409


def key_changes(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    """Of one Service User, by two OWNERs and by the key itself."""
    owner = stack.account()
    second = stack.user(owner, "second", "OWNER")
    keys = stack.service_user(owner, "bot")
    others = {"keyType": "PROVISIONING_READONLY"}

    def change(number: int) -> Response:
        match number % 3:
            case 0:
                return stack.call("POST", "/v1/api-keys/rotate", keys["MONITORING"], {"overlapSeconds": 600})
            case 1:
                return stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, others)
        return stack.call("POST", f"{PATH}/bot/api-keys/rotate", second, others)

    return {"key_change_burst": LIMIT}, change, 429


def account_changes(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    for number in range(CROWD + LIMIT):
        stack.service_user(owner, f"bot-{number}", keyTypes=["MONITORING"])

    def rotate(number: int) -> Response:
        name = f"bot-{number % (CROWD + LIMIT)}"
        return stack.call("POST", f"{PATH}/{name}/api-keys/rotate", owner, MONITORING)

    return {"account_changes_per_minute": LIMIT}, rotate, 429


def invitations_of_an_address(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    assert invite(stack, owner, 0).status == 201
    return (
        {"invitations_per_day": LIMIT},
        lambda _: stack.call("POST", f"{USERS}/user-0/invitation", owner),
        429,
    )


def invitations_of_an_account(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    return {"account_invitations_per_day": LIMIT}, lambda number: invite(stack, owner, number), 429


def codes(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    fields = {"username": "owner", "key": owner.secret}

    def ask(_: int) -> Response:
        page = Browser(stack).post("enrol", fields, csrf="")
        return Response(page.status, dict(page.headers), page.text)

    return {"passkey_codes_per_day": LIMIT}, ask, 429


def searches(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    owner = stack.account()
    return (
        {"key_searches_per_minute": LIMIT},
        lambda _: stack.call("POST", FIND, owner, {"key": owner.secret}),
        429,
    )


def reports(stack: Stack) -> tuple[dict[str, int], Caller, int]:
    return (
        {"leak_reports_per_minute": LIMIT},
        lambda _: stack.call("POST", "/v1/leaked-keys", None, [{"token": "x"}]),
        429,
    )


SCENES: list[Scene] = [
    service_users,
    people,
    owners,
    key_changes,
    account_changes,
    invitations_of_an_address,
    invitations_of_an_account,
    codes,
    searches,
    reports,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_crowd_gets_past_a_limit(stack: Stack, scene: Scene) -> None:
    limits, call, refused = scene(stack)
    stack.clock.forward(86_400)  # what came before counts in no budget any more
    stack.service.directory.limits = DEFAULT._replace(**{**WIDE, **limits})

    (responses,) = race(call, crowd=CROWD)

    found = statuses(responses)
    done = sum(number for status, number in found.items() if status < 300)
    assert set(found) <= {200, 201, 409, 429}
    assert done <= LIMIT, found
    for number in count(CROWD):
        response = call(number)
        done += response.status < 300
        if response.status == refused:
            break
        assert number < CROWD + LIMIT
    assert done == LIMIT, found
