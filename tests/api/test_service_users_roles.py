"""The table of calls, cell by cell: who may do what to a Service User and its keys, and what comes back."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.accounts import (
    ALL_TYPES,
    CLEAR,
    MASKED,
    PATH,
    READ_ONLY_TYPES,
    Accounts,
    assert_key,
    assert_nothing_written,
    assert_problem,
    assert_service_user,
    service_user_body,
    shared_stack,
    unused_username,
)
from tests.support.api_client import NO_BODY, Key, Response

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

# target: a READ_ONLY Service User that "admin" administers; high: an OWNER one that "admin" administers too.
TABLE = """
                             create create-high list read update raise delete generate revoke revoke-query restrict rotate
owner                        201    201         200  200  200    200   204    201      204    204          200      200
admin                        201    403         200  200  200    403   204    201      204    204          200      200
bystander                    201    403         200  200  403    403   403    403      403    403          403      403
reader                       403    403         403  403  403    403   403    403      403    403          403      403
owner/MONITORING             403    403         403  403  403    403   403    403      403    403          403      403
owner/PROVISIONING_READONLY  403    403         403  403  403    403   403    403      403    403          403      403
owner/PROVISIONING           403    403         403  403  403    403   403    403      403    403          403      403
admin/PROVISIONING           403    403         403  403  403    403   403    403      403    403          403      403
machine-owner                403    403         403  403  403    403   403    403      403    403          403      403
machine-admin                403    403         403  403  403    403   403    403      403    403          403      403
machine-admin/PROVISIONING   403    403         403  403  403    403   403    403      403    403          403      403
machine-reader               403    403         403  403  403    403   403    403      403    403          403      403
itself                       403    403         403  200  403    403   403    403      403    403          403      403
neighbour                    201    201         200  404  404    404   404    404      404    404          404      404
neighbour-machine            403    403         403  403  403    403   403    403      403    403          403      403
revoked-key                  401    401         401  401  401    401   401    401      401    401          401      401
former                       401    401         401  401  401    401   401    401      401    401          401      401
wrong-key                    401    401         401  401  401    401   401    401      401    401          401      401
nobody                       401    401         401  401  401    401   401    401      401    401          401      401

                             high-update high-delete high-generate high-revoke high-restrict high-rotate rotate-own whoami health
owner                        200         204         201           204         200           200         200        200    200
admin                        200         204         403           204         200           403         200        200    200
bystander                    403         403         403           403         403           403         200        200    200
reader                       403         403         403           403         403           403         200        200    200
owner/MONITORING             403         403         403           403         403           403         200        200    200
owner/PROVISIONING_READONLY  403         403         403           403         403           403         200        200    200
owner/PROVISIONING           403         403         403           403         403           403         200        200    200
admin/PROVISIONING           403         403         403           403         403           403         200        200    200
machine-owner                403         403         403           403         403           403         200        200    200
machine-admin                403         403         403           403         403           403         200        200    200
machine-admin/PROVISIONING   403         403         403           403         403           403         200        200    200
machine-reader               403         403         403           403         403           403         200        200    200
itself                       403         403         403           403         403           403         200        200    200
neighbour                    404         404         404           404         404           404         200        200    200
neighbour-machine            403         403         403           403         403           403         200        200    200
revoked-key                  401         401         401           401         401           401         401        401    200
former                       401         401         401           401         401           401         401        401    200
wrong-key                    401         401         401           401         401           401         401        401    200
nobody                       401         401         401           401         401           401         401        401    200
"""  # noqa: E501 - a table is read across


class Asked(NamedTuple):
    """A call made, and on whom."""

    response: Response
    accounts: Accounts
    caller: str
    target: str


class Call(NamedTuple):
    """A row of the design's table: what is sent, and what a granted answer must look like."""

    method: str
    path: str
    body: Any
    check: Callable[[Asked], None]
    high: bool = False


def created(role: str, types: list[str]) -> Callable[[Asked], None]:
    def check(asked: Asked) -> None:
        made = asked.response.json
        assert_service_user(made, made["username"], role, CLEAR, types)
        assert made["administrators"] == [asked.accounts[asked.caller].username]
        assert asked.response.headers["Location"] == f"https://api.example{PATH}/{made['username']}"
        assert re.fullmatch(r'"[0-9a-f]{16}"', asked.response.headers["ETag"])
        for it in made["apiKeys"]["apiKeys"]:
            assert works(asked.accounts, Key(made["username"], it["key"]))

    return check


def listed(asked: Asked) -> None:
    account = asked.accounts.stack.call("GET", "/v1/whoami", asked.accounts[asked.caller]).json["account"]
    assert isinstance(asked.response.json, list)
    for it in asked.response.json:
        assert it["account"] == account
        types = [key["keyType"] for key in it["apiKeys"]["apiKeys"]]
        assert_service_user(it, it["username"], it["role"], MASKED, types)
    names = [it["username"] for it in asked.response.json]
    assert names == sorted(names)
    assert (asked.target in names) is (asked.caller != "neighbour")


def shown(asked: Asked) -> None:
    assert_service_user(asked.response.json, asked.target, "READ_ONLY")
    assert asked.response.json["administrators"] == [asked.accounts["admin"].username]
    assert re.fullmatch(r'"[0-9a-f]{16}"', asked.response.headers["ETag"])


def renamed(role: str) -> Callable[[Asked], None]:
    def check(asked: Asked) -> None:
        assert_service_user(asked.response.json, asked.target, role)
        assert asked.response.json["displayName"] == "Renamed"
        assert re.fullmatch(r'"[0-9a-f]{16}"', asked.response.headers["ETag"])

    return check


def raised(asked: Asked) -> None:
    assert_service_user(asked.response.json, asked.target, "OWNER", types=READ_ONLY_TYPES)


def deleted(asked: Asked) -> None:
    assert asked.response.text == ""
    again = asked.accounts.stack.call("GET", f"{PATH}/{asked.target}", asked.accounts["owner"])
    assert_problem(again, 404)


def revoked(asked: Asked) -> None:
    assert asked.response.text == ""
    left = asked.accounts.stack.call("GET", f"{PATH}/{asked.target}", asked.accounts["owner"]).json
    assert "MONITORING" not in [it["keyType"] for it in left["apiKeys"]["apiKeys"]]


def key_in_the_clear(key_type: str) -> Callable[[Asked], None]:
    def check(asked: Asked) -> None:
        assert_key(asked.response.json, asked.target, key_type, CLEAR)
        assert works(asked.accounts, Key(asked.target, asked.response.json["key"]))

    return check


def key_masked(asked: Asked) -> None:
    assert_key(asked.response.json, asked.target, "MONITORING", MASKED)
    assert asked.response.json["allowedNetworks"] == ["203.0.113.0/24"]


def own_key(asked: Asked) -> None:
    old = asked.accounts[asked.caller]
    key_type = asked.response.json["keyType"]
    assert_key(asked.response.json, old.username, key_type, CLEAR)
    new = Key(old.username, asked.response.json["key"])
    assert works(asked.accounts, new)
    assert not works(asked.accounts, old)


def oneself(asked: Asked) -> None:
    me = asked.response.json
    assert me.keys() == {
        "account",
        "username",
        "kind",
        "role",
        "displayName",
        "email",
        "keyType",
        "key",
    }
    assert me["username"] == asked.accounts[asked.caller].username
    assert me["kind"] == ("SERVICE_USER" if "machine" in asked.caller or asked.caller == "itself" else "USER")
    assert me["role"] in {"OWNER", "CLUSTER_ADMIN", "READ_ONLY"}
    assert_key(me["key"], me["username"], me["keyType"], MASKED)


def healthy(asked: Asked) -> None:
    assert asked.response.json == {"status": "ok"}


KEYS = PATH + "/{target}/api-keys"
MONITORING = {"keyType": "MONITORING"}
RESTRICTED = {**MONITORING, "allowedNetworks": ["203.0.113.0/24"]}
NAMED = {"displayName": "Renamed"}
MISSING_TYPE = {"keyType": "PROVISIONING"}
CALLS = {
    "create": Call("POST", PATH, "CLUSTER_ADMIN", created("CLUSTER_ADMIN", ALL_TYPES)),
    "create-high": Call("POST", PATH, "OWNER", created("OWNER", ALL_TYPES)),
    "list": Call("GET", PATH, NO_BODY, listed),
    "read": Call("GET", PATH + "/{target}", NO_BODY, shown),
    "update": Call("PUT", PATH + "/{target}", NAMED, renamed("READ_ONLY")),
    "raise": Call("PUT", PATH + "/{target}", {"role": "OWNER"}, raised),
    "delete": Call("DELETE", PATH + "/{target}", NO_BODY, deleted),
    "generate": Call("POST", KEYS, {"keyType": "MONITORING"}, key_in_the_clear("MONITORING")),
    "revoke": Call("DELETE", KEYS, MONITORING, revoked),
    "revoke-query": Call("DELETE", KEYS + "?keyType=MONITORING", NO_BODY, revoked),
    "restrict": Call("PATCH", KEYS, RESTRICTED, key_masked),
    "rotate": Call("POST", KEYS + "/rotate", MONITORING, key_in_the_clear("MONITORING")),
    "high-update": Call("PUT", PATH + "/{target}", NAMED, renamed("OWNER"), high=True),
    "high-delete": Call("DELETE", PATH + "/{target}", NO_BODY, deleted, high=True),
    "high-generate": Call("POST", KEYS, {"keyType": "MONITORING"}, key_in_the_clear("MONITORING"), high=True),
    "high-revoke": Call("DELETE", KEYS, MONITORING, revoked, high=True),
    "high-restrict": Call("PATCH", KEYS, RESTRICTED, key_masked, high=True),
    "high-rotate": Call("POST", KEYS + "/rotate", MONITORING, key_in_the_clear("MONITORING"), high=True),
    "rotate-own": Call("POST", "/v1/api-keys/rotate", NO_BODY, own_key),
    "whoami": Call("GET", "/v1/whoami", NO_BODY, oneself),
    "health": Call("GET", "/health", NO_BODY, healthy),
}


def cells() -> list[Any]:
    """Return every cell of the table."""
    found = []
    seen = set()
    for block in TABLE.strip("\n").split("\n\n"):
        head, *rows = block.splitlines()
        for row in rows:
            caller, *statuses = row.split()
            for name, status in zip(head.split(), statuses, strict=True):
                seen.add(name)
                found.append(pytest.param(caller, name, int(status), id=f"{caller}-{name}-{status}"))
    assert seen == CALLS.keys()
    return found


def make(accounts: Accounts, call: Call) -> Key:
    """Make a Service User to be called on, which "admin" administers; returns a key of it."""
    keys = accounts.service_user("OWNER" if call.high else "READ_ONLY")
    key = keys["PROVISIONING_READONLY"]
    assert works(accounts, key)
    if call.method == "POST" and call.path == KEYS:
        path = f"{PATH}/{key.username}/api-keys"
        assert accounts.call("DELETE", path, "owner", MONITORING).status == 204
    return key


def works(accounts: Accounts, key: Key) -> bool:
    return accounts.stack.call("GET", "/v1/whoami", key).status == 200


def send(accounts: Accounts, caller: str, call: Call, target: str) -> Response:
    body = service_user_body(unused_username(), call.body) if isinstance(call.body, str) else call.body
    return accounts.call(call.method, call.path.format(target=target), caller, body)


CELLS = cells()
CHANGING = [cell for cell in CELLS if CALLS[cell.values[1]].method != "GET" and cell.values[2] < 300]
OTHERS = [cell for cell in CELLS if cell not in CHANGING]


@pytest.mark.parametrize(("caller", "name", "status"), CHANGING)
def test_a_change_that_a_caller_may_make_is_made(
    accounts: Accounts, caller: str, name: str, status: int
) -> None:
    accounts.keys["itself"] = its_key = make(accounts, CALLS[name])
    accounts.caller(caller)

    response = send(accounts, caller, CALLS[name], its_key.username)

    assert response.status == status, response.text
    assert response.headers["Cache-Control"] == "no-store"
    CALLS[name].check(Asked(response, accounts, caller, its_key.username))


@pytest.fixture(scope="module")
def shared_accounts(dynamodb: "DynamoDBClient") -> Iterator[Accounts]:
    """Everybody, on tables that no test changes."""
    with shared_stack(dynamodb) as stack:
        yield Accounts(stack)


@pytest.mark.parametrize(("caller", "name", "status"), OTHERS)
def test_whatever_else_is_called_changes_nothing(
    shared_accounts: Accounts, caller: str, name: str, status: int
) -> None:
    call = CALLS[name]
    target = "target-high" if call.high else "target"
    if target not in shared_accounts.keys:
        shared_accounts.keys[target] = make(shared_accounts, CALLS["high-update" if call.high else "read"])
    shared_accounts.keys["itself"] = its_key = shared_accounts[target]
    shared_accounts.caller(caller)

    with assert_nothing_written(shared_accounts.stack):
        response = send(shared_accounts, caller, call, its_key.username)

    if status == 200:
        assert response.status == 200, response.text
        assert response.headers["Cache-Control"] == "no-store"
        call.check(Asked(response, shared_accounts, caller, its_key.username))
    else:
        assert_problem(response, status)
