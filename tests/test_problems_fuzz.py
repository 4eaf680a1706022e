"""Any value, any bytes, any header, on any route: never a 5xx, and nothing changed but by a 2xx."""

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import app
from chalicelib.rules import secrets
from tests.cast import ALL_TYPES, PATH, ROLES, TIME, Cast, assert_problem, served
from tests.customer import Key

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

CALLERS = ["owner", "admin", "reader", "machine-owner", "neighbour", "wrong-key", "nobody"]
NAMES = ["bot", "other", "owner", "admin", "reader", "nobody-1", "BOT"]
FIELDS = {
    "username": st.sampled_from([*NAMES, "new-1", "a"]),
    "email": st.sampled_from(["new@x.example", "bot@machines.example", "owner@people.example", "x"]),
    "role": st.sampled_from([*ROLES, "SUPER"]),
    "profile": st.sampled_from(ROLES),
    "displayName": st.text(max_size=140),
    "keyTypes": st.lists(st.sampled_from([*ALL_TYPES, "X"]), max_size=5),
    "keyType": st.sampled_from([*ALL_TYPES, "X"]),
    "allowedNetworks": st.lists(st.sampled_from(["10.0.0.0/8", "::/0", "198.51.100.0/24", "x"])),
    "expiresAt": st.none() | st.datetimes().map(lambda it: it.isoformat() + "Z"),
    "overlapSeconds": st.integers(-1, 700_000),
    "administrators": st.lists(st.sampled_from(NAMES), max_size=22),
    "token": st.builds(secrets.new_token) | st.text(),
    "name": st.text(max_size=140),
    "maxKeyAgeDays": st.none() | st.integers(0, 4000),
    "revokeInactiveAfterDays": st.none() | st.integers(0, 4000),
    "pciCompliance": st.booleans(),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LIKELY = st.fixed_dictionaries({}, optional=FIELDS)
NEARLY = st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(), VALUES, max_size=6)
BODIES = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.text().map(str.encode),
    (LIKELY | NEARLY | VALUES).map(lambda value: json.dumps(value).encode()),
    LIKELY.map(lambda value: json.dumps(value).encode()),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "If-Match", "Accept", "Content-Length", "X-Forwarded-For", "Host"])
    | st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1).filter(
        lambda name: name.lower() not in {"authorization", "content-type"}
    ),
    st.sampled_from(["application/json", "*", '"x"', 'W/"x", "y"', ""]) | st.text(),
    max_size=3,
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["limit", "cursor", "username", "keyType"]) | st.text(max_size=5),
        st.sampled_from(["1", "100", "bot", "MONITORING", "Ym90"]) | st.text(max_size=20),
    ),
    max_size=2,
)


@pytest.fixture(scope="module")
def cast(dynamodb: "DynamoDBClient") -> Iterator[Cast]:
    with served(dynamodb) as stack:
        cast = Cast(stack)
        for name in CALLERS:
            cast.caller(name)
        stack.service_user(cast["admin"], "bot", keyTypes=["MONITORING"])
        stack.service_user(cast["neighbour"], "other", keyTypes=["MONITORING"])
        stack.service_user(cast["neighbour"], "steady", keyTypes=["MONITORING"])
        yield cast


@pytest.fixture(scope="module")
def seen(cast: Cast) -> list[Any]:
    """What there was after the last call that changed something."""
    return [cast.stack.snapshot()]


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_anything_sent_anywhere_is_done_or_refused_whole(cast: Cast, seen: list[Any], data: Any) -> None:
    path = data.draw(st.sampled_from(sorted(app.app.routes)), "route")
    method = data.draw(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]), "method")
    caller = data.draw(st.sampled_from(CALLERS), "caller")
    name = data.draw(st.sampled_from(NAMES) | st.text(min_size=1), "name")
    raw = data.draw(BODIES, "body")
    query = data.draw(QUERIES, "query")
    called = re.sub(r"\{\w+\}", lambda _: quote(name, safe=""), path)
    if query:
        called += "?" + urlencode(query)
    headers = data.draw(HEADERS, "headers")
    if path == "/v1/api-keys/rotate" or "invitation" in path or name.lower() == caller:
        caller = "nobody"  # Who rotates or revokes their own key is nobody from then on.

    with cast.stack.counted() as calls:
        answer = cast.stack.call(method, called, cast.caller(caller), raw=raw, headers=headers)

    assert answer.status < 500, answer.text
    wrote = bool(calls.keys() - {"GetItem", "BatchGetItem", "Query"})
    if answer.status >= 400:
        assert_problem(answer, answer.status)
        assert not wrote or cast.stack.snapshot() == seen[-1]
    elif wrote:
        seen[:] = [cast.stack.snapshot()]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    header=st.text()
    | st.text().map(lambda text: f"Basic {text}")
    | st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode())
)
def test_any_authorization_header_is_a_sign_in_or_a_401(cast: Cast, header: str) -> None:
    with cast.stack.counted() as calls:
        answer = cast.stack.call("GET", "/v1/whoami", headers={"Authorization": header})
    assert_problem(answer, 401)
    assert not calls


@settings(max_examples=100, deadline=None, derandomize=True)
@given(username=st.text(), secret=st.text())
def test_any_username_and_key_are_a_sign_in_or_a_401(cast: Cast, username: str, secret: str) -> None:
    assert_problem(cast.stack.call("GET", "/v1/whoami", Key(username, secret)), 401)
    assert_problem(cast.stack.call("GET", "/v1/whoami", Key(username, secrets.new_key())), 401)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expires=st.datetimes().map(lambda it: it.isoformat() + "Z") | st.text() | st.floats() | st.integers())
def test_any_end_of_a_key_is_a_time_to_come_or_a_400(cast: Cast, expires: Any) -> None:
    body = {"keyType": "MONITORING", "expiresAt": expires}
    answer = cast.stack.call("POST", f"{PATH}/steady/api-keys", cast["neighbour"], raw=json.dumps(body))
    if answer.status == 400:
        assert set(assert_problem(answer, 400)) >= {"detail"}
    else:
        assert_problem(answer, 409)
        assert re.fullmatch(TIME.replace("Z", r"(\.\d+)?Z"), expires)
