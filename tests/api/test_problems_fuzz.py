"""Any value, any bytes, any header, on any route: never a 5xx, and nothing changed but by a 2xx."""

import base64
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.rules import key_format
from tests.support.accounts import ALL_TYPES, PATH, ROLES, Accounts, assert_problem
from tests.support.api_client import Key

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
    "token": st.builds(key_format.new_token) | st.text(),
    "name": st.text(max_size=140),
    "maxKeyAgeDays": st.none() | st.integers(0, 4000),
    "revokeInactiveAfterDays": st.none() | st.integers(0, 4000),
    "pciCompliance": st.booleans(),
    "machinesManageOwners": st.booleans(),
    "revokeLeakedKeys": st.booleans(),
    "key": st.builds(key_format.new_key) | st.text(),
    "last5": st.text(max_size=6),
    "type": st.text(),
    "url": st.text(),
    "evenIfLockedOut": st.booleans(),
    "description": st.none() | st.text(max_size=510),
    "labels": st.dictionaries(
        st.sampled_from(["team", "a/b", "-", ""]) | st.text(max_size=70), st.text(max_size=70), max_size=22
    ),
}
DOCUMENT = json.loads(
    (Path(__file__).parent.parent.parent / "docs" / "openapi.json").read_text(encoding="utf-8")
)
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
        st.sampled_from(
            [
                *("limit", "cursor", "username", "keyType", "role", "administrator", "label", "neverUsed"),
                *("unusedForDays", "endingWithinDays", "status", "suspended"),
            ]
        )
        | st.text(max_size=5),
        st.sampled_from(["1", "100", "bot", "MONITORING", "Ym90", "OWNER", "team:a", "true", "INVITED"])
        | st.text(max_size=20),
    ),
    max_size=2,
)


NUMBERS = st.integers(0, 10**9)
GOOD = {
    **FIELDS,
    "username": NUMBERS.map(lambda number: f"new-{number}"),
    "email": NUMBERS.map(lambda number: f"new-{number}@x.example"),
    "role": st.sampled_from(ROLES[:2]),
    "profile": st.nothing(),
    "displayName": st.text("abc é", min_size=1),
    "keyTypes": st.just(["MONITORING"]),
    "keyType": st.sampled_from(ALL_TYPES),
    "allowedNetworks": st.sampled_from([[], ["10.0.0.0/8"], ["::/0", "198.51.100.0/24"]]),
    "expiresAt": st.sampled_from([None, "2031-01-01T00:00:00Z"]),
    "overlapSeconds": st.integers(0, 600),
    "administrators": st.sampled_from([["owner"], ["owner", "admin"]]),
    "name": st.text("abc", min_size=1),
    "maxKeyAgeDays": st.sampled_from([None, 400, 3650]),
    "revokeInactiveAfterDays": st.sampled_from([None, 400, 3650]),
    "pciCompliance": st.just(False),
    "key": st.builds(key_format.new_key),
    "last5": st.text("abcXYZ0189", min_size=5, max_size=5),
    "type": st.text("abc"),
    "url": st.just("https://example.com/paste"),
}


def fitting(operation: dict[str, Any], fields: dict[str, Any] = GOOD) -> st.SearchStrategy[bytes | None]:
    """Return bodies with the fields of a call."""
    if "requestBody" not in operation:
        return st.none()
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    several = schema.get("type") == "array"
    one = schema["items"] if several else schema
    told = DOCUMENT["components"]["schemas"][one["$ref"].rpartition("/")[2]]
    required = {name: fields[name] for name in told.get("required", ())}
    optional = {
        name: fields[name]
        for name, schema_of_field in told["properties"].items()
        if name not in {*required, "profile"} and not schema_of_field.get("readOnly")
    }
    if "profile" in told["properties"]:
        required["role"] = optional.pop("role")
    values: st.SearchStrategy[Any] = st.fixed_dictionaries(required, optional=optional)
    if several:
        values = st.lists(values, min_size=1, max_size=3)
    return values.map(lambda value: json.dumps(value).encode())


OPERATIONS = [
    (path, method.upper(), fitting(operation))
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
CHANGES = [operation for operation in OPERATIONS if operation[1] != "GET"]


@st.composite
def sent(draw: st.DrawFn) -> tuple[str, str, str, str, bytes | None, list[Any], dict[str, str]]:
    """Return a call: half the time a change that an OWNER or an Administrator may make, else anything."""
    if draw(st.booleans()):
        path, method, body = draw(st.sampled_from(CHANGES))
        name = "pat" if path.startswith("/v1/users/") else "bot"
        return path, method, draw(st.sampled_from(["owner", "admin"])), name, draw(body), [], {}
    path, method, body = draw(st.sampled_from(OPERATIONS))
    method = draw(st.sampled_from([method, method, "GET", "POST", "PUT", "PATCH", "DELETE"]))
    caller, name = draw(st.sampled_from(CALLERS)), draw(st.sampled_from(NAMES) | st.text(min_size=1))
    return path, method, caller, name, draw(body | BODIES), draw(QUERIES), draw(HEADERS)


def test_any_request_is_carried_out_or_refused_as_a_whole(accounts: Accounts) -> None:
    stack = accounts.stack
    for name in CALLERS:
        accounts.caller(name)
    written = 0

    def make_targets() -> None:
        """Make the Service User "bot" and the User "pat", where a call has just deleted them."""
        if stack.call("GET", f"{PATH}/bot", accounts["owner"]).status == 404:
            stack.service_user(accounts["admin"], "bot", "CLUSTER_ADMIN", keyTypes=["MONITORING"])
        if stack.call("GET", "/v1/users/pat", accounts["owner"]).status == 404:
            stack.user(accounts["owner"], "pat", "READ_ONLY")

    make_targets()

    @settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(sent())
    def anything(it: Any) -> None:
        nonlocal written
        path, method, caller, name, raw, query, headers = it
        before = stack.snapshot()
        called = re.sub(r"\{\w+\}", lambda _: quote(name, safe=""), path)
        if query:
            called += "?" + urlencode(query)
        key: Key | None = accounts.caller(caller)
        if (
            path == "/v1/api-keys/rotate"
            or "invitation" in path
            or name.lower() in ("owner", "admin", caller)
        ):
            key = None  # whose key is rotated or revoked is nobody from then on

        with stack.counted() as calls:
            response = stack.call(method, called, key, raw=raw, headers=headers)

        assert response.status < 500, response.text
        wrote = bool(calls.keys() - {"GetItem", "BatchGetItem", "Query"})
        if response.status >= 400:
            assert_problem(response, response.status)
            assert not wrote or stack.snapshot() == before
        written += response.status < 300 and wrote
        if response.status == 204:
            make_targets()

    anything()
    assert written >= 20, "hardly any call was a change that was made"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    header=st.text()
    | st.text().map(lambda text: f"Basic {text}")
    | st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode())
)
def test_any_authorization_header_is_a_sign_in_or_a_401(shared_accounts: Accounts, header: str) -> None:
    with shared_accounts.stack.counted() as calls:
        response = shared_accounts.stack.call("GET", "/v1/whoami", headers={"Authorization": header})
    assert_problem(response, 401)
    assert not calls


@settings(max_examples=100, deadline=None, derandomize=True)
@given(username=st.text(), secret=st.text())
def test_any_username_and_key_are_a_sign_in_or_a_401(
    shared_accounts: Accounts, username: str, secret: str
) -> None:
    assert_problem(shared_accounts.stack.call("GET", "/v1/whoami", Key(username, secret)), 401)
    assert_problem(shared_accounts.stack.call("GET", "/v1/whoami", Key(username, key_format.new_key())), 401)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expires=st.datetimes().map(lambda it: it.isoformat() + "Z") | st.text() | st.floats() | st.integers())
def test_any_expiry_is_in_the_future_or_a_400(shared_accounts: Accounts, expires: Any) -> None:
    body = {"keyType": "MONITORING", "expiresAt": expires}
    response = shared_accounts.call("POST", f"{PATH}/theirs-1/api-keys", "neighbour", raw=json.dumps(body))
    if response.status == 400:
        assert_problem(response, 400)
    else:
        assert_problem(response, 409)  # it has a key of the type
        assert datetime.fromisoformat(expires).timestamp() > shared_accounts.stack.clock()
