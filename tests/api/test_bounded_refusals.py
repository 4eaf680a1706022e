"""What a bad body costs: a refusal is bounded, whatever is wrong with the body and whoever sent it."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chalicelib.http import validation
from tests.support.accounts import PATH, Accounts, assert_problem, service_user_body
from tests.support.catalogue import MAY_HOLD

ACTIVATE = "/v1/users/activate"
NAMES = ["role", "email", "username", "keyTypes", "allowedNetworks", "administrators", "token", "\x7f" * 90]
VALUES = st.recursive(
    st.none()
    | st.integers(-5, 5)
    | st.text(max_size=8)
    | st.sampled_from(["\x7f" * 3000, "\U000e0001" * 40]),
    lambda children: (
        st.lists(children, max_size=30)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), children, max_size=30)
    ),
)


def size(text: str) -> int:
    return len(text.encode())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), VALUES, max_size=60))
@example(body={"keyTypes": [1] * 20_000})
@example(body={"allowedNetworks": ["x"] * 50})
@example(body={"allowedNetworks": [1] * 50})
@example(body={f"{number:x}": 1 for number in range(7_000)})
@example(body={chr(0x7F) * 50 + chr(number): 1 for number in range(0x100, 0x200)})
@example(body={"\x7f" * 60_000: 1})
def test_no_refusal_is_much_larger_than_its_body(shared_accounts: Accounts, body: dict[str, Any]) -> None:
    raw = json.dumps(body, ensure_ascii=False)
    for method, path, caller in (
        ("POST", ACTIVATE, "nobody"),
        ("POST", PATH, "owner"),
        ("PUT", f"{PATH}/no-such-bot", "owner"),
    ):
        response = shared_accounts.call(method, path, caller, raw=raw)
        assert response.status in (400, 404, 413)
        assert size(response.text) <= 4 * size(raw) + 4096


def test_fifty_errors_are_listed_and_the_others_counted(shared_accounts: Accounts) -> None:
    body = {f"name-of-a-field-that-nobody-knows-{number:04}": number for number in range(1_000)}
    problem = assert_problem(shared_accounts.call("POST", PATH, "owner", body), 400)
    assert len(problem["errors"]) == validation.MAX_ERRORS + 1
    required = 3
    assert problem["errors"][-1] == {
        "pointer": "",
        "detail": f"There are {1_000 - validation.MAX_ERRORS + required} more errors. Correct these first.",
    }


def test_exactly_fifty_errors_are_all_listed(shared_accounts: Accounts) -> None:
    body = {f"{number:04}{'x' * 200}": number for number in range(47)}
    problem = assert_problem(shared_accounts.call("POST", PATH, "owner", body), 400)
    assert len(problem["errors"]) == validation.MAX_ERRORS
    assert not [it for it in problem["errors"] if "more;" in it["detail"]]


@pytest.mark.parametrize(
    ("field", "entry", "most"),
    [("keyTypes", "MONITORING", len(MAY_HOLD["OWNER"])), ("allowedNetworks", "192.0.2.0/24", 50)],
)
def test_an_array_that_is_too_long_is_one_error(
    shared_accounts: Accounts, field: str, entry: str, most: int
) -> None:
    body = service_user_body("long-1", **{field: [entry] * (most + 1)})  # type: ignore[arg-type]
    problem = assert_problem(shared_accounts.call("POST", PATH, "owner", body), 400)
    assert problem["errors"] == [
        {"pointer": f"/{field}", "detail": f"This must have at most {most} entries."}
    ]


@pytest.mark.parametrize(("length", "status"), [(1024, 400), (1025, 413)])
def test_an_unauthenticated_body_is_limited(shared_accounts: Accounts, length: int, status: int) -> None:
    start, end = '{"username": "', '", "token": "x"}'
    raw = start + "a" * (length - len(start) - len(end)) + end
    assert size(raw) == length
    problem = assert_problem(shared_accounts.call("POST", ACTIVATE, "nobody", raw=raw), status)
    if status == 413:
        assert problem["detail"] == "The body has 1025 bytes; the limit is 1024."


def test_the_longest_activation_fits(shared_accounts: Accounts) -> None:
    escaped = {"username": "a" * 64, "token": "sui_" + "x" * 60}
    parts = ("".join(f"\\u{ord(it):04x}" for it in value) for value in escaped.values())
    raw = '{{"username":"{}","token":"{}"}}'.format(*parts)
    assert_problem(shared_accounts.call("POST", ACTIVATE, "nobody", raw=raw), 400)
