"""Who may do what: every call of the API by every kind of caller, cell by cell of ``permission_table``.

A call that only reads, or is refused, writes nothing. A response to a caller of one account never names the
other. What a granted call returns is checked too, for Service Users and their keys.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import app as application
from chalicelib.version import VERSION
from contract.document import is_console
from tests.support.accounts import (
    ALL_TYPES,
    CLEAR,
    MASKED,
    TYPES,
    assert_key,
    assert_problem,
    assert_service_user,
    shared_stack,
)
from tests.support.api_client import ENGINE, NO_BODY, Key, Response, Stack
from tests.support.fake_dynamodb import stack_in_memory
from tests.support.permission_table import (
    CALLERS,
    CALLS,
    OF_ZETA,
    OTHER_KEYS_TABLE,
    SERVICE_USERS,
    TABLE,
    USERS,
    Call,
)

READS = {"GetItem", "BatchGetItem", "Query"}
ETAG = r'"[0-9a-f]{16}"'


class TwoAccounts:
    """Acme and Zeta, put back as they were after each call that changed something."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.callers: dict[str, Key | None] = {"N": None}
        self.other_keys: dict[str, list[Key]] = {}
        self.fill()
        self.ids = {
            account: stack.call("GET", "/v1/account", self.callers[caller]).json["account"]
            for account, caller in (("Acme", "O"), ("Zeta", "FO"))
        }
        for key in [*self.callers.values(), *(key for keys in self.other_keys.values() for key in keys)]:
            stack.sign_in(key)  # so that no later use is the first, which is written
        self.stored_before = self.stored()

    def fill(self) -> None:
        stack, callers = self.stack, self.callers
        callers["O"] = owner = stack.account("ann")
        callers["A"] = admin = stack.user(owner, "ada", "CLUSTER_ADMIN")
        callers["C"] = stack.user(owner, "cid", "CLUSTER_ADMIN")
        callers["R"] = stack.user(owner, "rob", "READ_ONLY")
        callers["FO"] = foreign_owner = stack.account("zed")
        callers["FC"] = foreign_admin = stack.user(foreign_owner, "zoe", "CLUSTER_ADMIN")
        callers["FR"] = stack.user(foreign_owner, "zac", "READ_ONLY")
        for caller, by, role in (
            ("SO", owner, "OWNER"),
            ("SC", owner, "CLUSTER_ADMIN"),
            ("FSO", foreign_owner, "OWNER"),
            ("FSC", foreign_owner, "CLUSTER_ADMIN"),
        ):
            callers[caller] = stack.service_user(by, f"worker-{caller}", role)["USER_MANAGEMENT"]
        callers["SR"] = stack.service_user(owner, "worker-SR", "READ_ONLY")["MONITORING"]
        callers["FSR"] = stack.service_user(foreign_owner, "worker-FSR", "READ_ONLY")["MONITORING"]
        callers["W"] = Key("ann", admin.secret)
        self.fill_targets(owner, admin, foreign_owner, foreign_admin)
        self.fill_other_keys(owner)
        self.fill_revoked(owner)

    def fill_targets(self, owner: Key, admin: Key, foreign_owner: Key, foreign_admin: Key) -> None:
        stack = self.stack
        stack.service_user(admin, "reader-bot", "READ_ONLY", keyTypes=["MONITORING"])
        key_types = ["MONITORING", "PROVISIONING", "USER_MANAGEMENT"]
        stack.service_user(owner, "owner-bot", "OWNER", keyTypes=key_types)
        stack.service_user(foreign_admin, "foreign-bot", "READ_ONLY", keyTypes=["MONITORING"])
        for by, name in ((owner, "pat"), (foreign_owner, "foreign-pat"), (owner, "invited")):
            body = {"username": name, "email": f"{name}@people.example", "role": "CLUSTER_ADMIN"}
            assert stack.call("POST", USERS, by, body).status == 201
        self.tokens = {"{used token}": stack.token("pat"), "{good token}": stack.token("invited")}
        activation = {"username": "pat", "token": self.tokens["{used token}"]}
        assert stack.call("POST", f"{USERS}/activate", body=activation).status == 200
        stack.activate("foreign-pat")

    def fill_other_keys(self, owner: Key) -> None:
        """Make callers of every role once more, with the keys that do not manage."""
        stack, key_types = self.stack, ["PROVISIONING", "PROVISIONING_READONLY", "MONITORING"]
        for caller, role in (("O", "OWNER"), ("A", "CLUSTER_ADMIN"), ("C", "CLUSTER_ADMIN")):
            key = stack.user(owner, f"other-{caller}", role)
            self.other_keys[caller] = [stack.own_key(key, key_type) for key_type in key_types]
        body = {"username": "other-R", "email": "other-r@people.example", "role": "READ_ONLY"}
        assert stack.call("POST", USERS, owner, body).status == 201
        activation = {"username": "other-R", "token": stack.token("other-R")}
        keys = stack.call("POST", f"{USERS}/activate", body=activation).json["apiKeys"]["apiKeys"]
        self.other_keys["R"] = [Key("other-R", it["key"]) for it in keys]
        for caller, role in (("SO", "OWNER"), ("SC", "CLUSTER_ADMIN"), ("SR", "READ_ONLY")):
            by_type = stack.service_user(owner, f"other-{caller}", role)
            self.other_keys[caller] = [key for it, key in by_type.items() if it != "USER_MANAGEMENT"]

    def fill_revoked(self, owner: Key) -> None:
        stack, callers = self.stack, self.callers
        callers["X"] = stack.user(owner, "xan", "OWNER")
        callers["I"] = stack.user(owner, "ian", "OWNER")
        for name in ("bea", "lia"):
            stack.user(owner, name, "CLUSTER_ADMIN")
        callers["D"] = stack.service_user(owner, "worker-D", "OWNER")["USER_MANAGEMENT"]
        callers["K"] = stack.service_user(owner, "worker-K", "OWNER")["USER_MANAGEMENT"]
        administrators = {"administrators": ["ann", "ada", "other-A", "xan", "ian", "bea", "lia"]}
        for name in ("reader-bot", "owner-bot"):
            assert stack.call("PUT", f"{SERVICE_USERS}/{name}", owner, administrators).status == 200
        for name in ("xan", "bea"):
            assert stack.call("DELETE", f"{USERS}/{name}", owner).status == 204
        callers["B"] = stack.user(owner, "bea", "CLUSTER_ADMIN")
        for role in ("READ_ONLY", "CLUSTER_ADMIN"):
            assert stack.call("PUT", f"{USERS}/lia", owner, {"role": role}).status == 200
        for name in ("ian", "lia"):
            assert stack.call("POST", f"{USERS}/{name}/invitation", owner).status == 200
        callers["L"] = stack.activate("lia")
        assert stack.call("DELETE", f"{SERVICE_USERS}/worker-D", owner).status == 204
        path = f"{SERVICE_USERS}/worker-K/api-keys?keyType=USER_MANAGEMENT"
        assert stack.call("DELETE", path, owner).status == 204

    def stored(self) -> dict[str, dict[str, Any]]:
        """Return the items of both tables, by their keys."""
        found = {}
        for table, attributes in self.stack.key_attributes.items():
            pages = self.stack.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
            found[table] = {
                str([it[name] for name in attributes]): it for page in pages for it in page["Items"]
            }
        return found

    def put_back(self) -> None:
        for table, before in self.stored_before.items():
            now = self.stored()[table]
            for key in before.keys() | now.keys():
                if key not in before:
                    names = self.stack.key_attributes[table]
                    item_key = {name: now[key][name] for name in names}
                    self.stack.client.delete_item(TableName=table, Key=item_key)
                elif before[key] != now.get(key):
                    self.stack.client.put_item(TableName=table, Item=before[key])

    def try_call(
        self, name: str, caller: str, key: Key | None, status: int, check: "Check | None" = None
    ) -> str | None:
        """Make a call; return what is wrong with its response, and put back what it changed."""
        call, username = CALLS[name], key.username if key else "ann"
        body = call.body if call.body is NO_BODY else self.filled_in(call.body, username)
        with self.stack.counted() as calls:
            response = self.stack.call(call.method, call.path.replace("{me}", username), key, body)
        if response.status != status:
            self.put_back()
            return f"{caller} {username}: {response.status}, not {status}: {response.text}"
        if call.method == "GET" or status >= 400:
            assert calls.keys() <= READS, f"{call} wrote something"
            assert self.stored() == self.stored_before
        if status >= 400:
            assert_problem(response, status)
        elif call.path.startswith(("/v1/", "/health")):
            assert response.headers["Cache-Control"] == "no-store"
        if name != "activate":
            other = self.ids["Acme" if caller in OF_ZETA else "Zeta"]
            assert other not in response.text, f"{caller} is shown the other account"
        if status < 300:
            if check:
                check(Granted(self, call, caller, key, response))
            self.put_back()
        return None

    def filled_in(self, value: Any, username: str) -> Any:
        """Return a body with the caller's username and the tokens filled in."""
        if isinstance(value, dict):
            return {name: self.filled_in(it, username) for name, it in value.items()}
        if isinstance(value, list):
            return [self.filled_in(it, username) for it in value]
        return {"{me}": username, **self.tokens}.get(value, value)


class Granted(NamedTuple):
    """A call that was granted, before what it changed is put back."""

    accounts: TwoAccounts
    call: Call
    caller: str
    key: Key | None
    response: Response

    @property
    def stack(self) -> Stack:
        return self.accounts.stack

    @property
    def target(self) -> str:
        """The username in the path."""
        return self.call.path.split("/")[3].partition("?")[0]

    def read_target(self) -> Response:
        """Read the Service User of the call as an OWNER of its account."""
        owner = self.accounts.callers["FO" if self.caller in OF_ZETA else "O"]
        return self.stack.call("GET", f"{SERVICE_USERS}/{self.target}", owner)


Check = Callable[[Granted], None]


# What a granted call returns


def created(role: str) -> Check:
    def check(granted: Granted) -> None:
        made, headers = granted.response.json, granted.response.headers
        assert granted.key is not None
        assert_service_user(made, "new-bot", role, CLEAR, TYPES[role])
        assert made["administrators"] == [granted.key.username]
        assert headers["Location"] == f"https://api.example{SERVICE_USERS}/new-bot"
        assert re.fullmatch(ETAG, headers["ETag"])
        for it in made["apiKeys"]["apiKeys"]:
            assert granted.stack.signs_in(Key("new-bot", it["key"]))

    return check


def listed(granted: Granted) -> None:
    foreign = granted.caller in OF_ZETA
    account = granted.accounts.ids["Zeta" if foreign else "Acme"]
    assert isinstance(granted.response.json, list)
    for it in granted.response.json:
        assert it["account"] == account
        key_types = [key["keyType"] for key in it["apiKeys"]["apiKeys"]]
        assert_service_user(it, it["username"], it["role"], MASKED, key_types)
    names = [it["username"] for it in granted.response.json]
    assert names == sorted(names, key=str.lower)
    assert ("reader-bot" in names, "foreign-bot" in names) == (not foreign, foreign)


def shown(role: str, key_types: list[str], administrators: list[str]) -> Check:
    def check(granted: Granted) -> None:
        assert_service_user(granted.response.json, granted.target, role, MASKED, key_types)
        assert granted.response.json["administrators"] == administrators
        assert re.fullmatch(ETAG, granted.response.headers["ETag"])

    return check


def shown_to_itself(granted: Granted) -> None:
    assert granted.key is not None
    found = granted.response.json
    assert_service_user(found, granted.key.username, found["role"], MASKED, TYPES[found["role"]])
    assert re.fullmatch(ETAG, granted.response.headers["ETag"])


def renamed(role: str, key_types: list[str]) -> Check:
    def check(granted: Granted) -> None:
        assert_service_user(granted.response.json, granted.target, role, MASKED, key_types)
        assert granted.response.json["displayName"] == "Another name"
        assert re.fullmatch(ETAG, granted.response.headers["ETag"])
        assert granted.read_target().json == granted.response.json

    return check


def raised(granted: Granted) -> None:
    assert_service_user(granted.response.json, granted.target, "OWNER", MASKED, ["MONITORING"])


def deleted(granted: Granted) -> None:
    assert granted.response.text == ""
    assert_problem(granted.read_target(), 404)


def revoked(granted: Granted) -> None:
    assert granted.response.text == ""
    left = granted.read_target().json["apiKeys"]["apiKeys"]
    assert "MONITORING" not in [it["keyType"] for it in left]


def key_in_the_clear(key_type: str) -> Check:
    def check(granted: Granted) -> None:
        assert_key(granted.response.json, granted.target, key_type, CLEAR)
        assert granted.stack.signs_in(Key(granted.target, granted.response.json["key"]))

    return check


def key_masked(granted: Granted) -> None:
    assert_key(granted.response.json, granted.target, "MONITORING", MASKED)
    assert granted.response.json["allowedNetworks"] == ["203.0.113.0/24"]


def own_key(granted: Granted) -> None:
    old, shown = granted.key, granted.response.json
    assert old is not None
    assert_key(shown, old.username, shown["keyType"], CLEAR)
    assert granted.stack.signs_in(Key(old.username, shown["key"]))
    assert not granted.stack.signs_in(old)


def caller_shown(granted: Granted) -> None:
    me = granted.response.json
    assert granted.key is not None
    assert me.keys() == {"account", "username", "kind", "role", "displayName", "email", "keyType", "key"}
    assert me["username"] == granted.key.username
    is_service_user = granted.caller.removeprefix("F").startswith("S")
    assert me["kind"] == ("SERVICE_USER" if is_service_user else "USER")
    assert me["role"] == {"O": "OWNER", "R": "READ_ONLY"}.get(granted.caller[-1], "CLUSTER_ADMIN")
    assert_key(me["key"], me["username"], me["keyType"], MASKED)


def healthy(granted: Granted) -> None:
    assert granted.response.json == {"status": "ok", "version": VERSION}


LISTED_AS_ADMINISTRATORS = ["ada", "ann", "ian", "other-A"]
"""Not "xan" and "bea", who were revoked, nor "lia", who was lowered; "ian" only has to activate again."""

NOT_READ_ONLY_PROVISIONING = [it for it in ALL_TYPES if it != "PROVISIONING_READONLY"]

CHECKS: dict[str, Check] = {
    "create a reader": created("READ_ONLY"),
    "create a Cluster Admin": created("CLUSTER_ADMIN"),
    "create an owner": created("OWNER"),
    "list Service Users": listed,
    "read a reader": shown("READ_ONLY", ["MONITORING"], LISTED_AS_ADMINISTRATORS),
    "read an owner": shown("OWNER", NOT_READ_ONLY_PROVISIONING, LISTED_AS_ADMINISTRATORS),
    "read oneself": shown_to_itself,
    "read a foreign one": shown("READ_ONLY", ["MONITORING"], ["zoe"]),
    "rename a reader": renamed("READ_ONLY", ["MONITORING"]),
    "rename an owner": renamed("OWNER", NOT_READ_ONLY_PROVISIONING),
    "rename a foreign one": renamed("READ_ONLY", ["MONITORING"]),
    "raise a reader to OWNER": raised,
    "delete a reader": deleted,
    "delete an owner": deleted,
    "delete a foreign one": deleted,
    "generate a reader's key": key_in_the_clear("PROVISIONING_READONLY"),
    "generate an owner's key": key_in_the_clear("PROVISIONING_READONLY"),
    "generate a foreign one's": key_in_the_clear("PROVISIONING_READONLY"),
    "revoke a reader's key": revoked,
    "revoke by query": revoked,
    "revoke an owner's key": revoked,
    "revoke a foreign one's": revoked,
    "restrict a reader's key": key_masked,
    "restrict an owner's key": key_masked,
    "restrict a foreign one's": key_masked,
    "rotate a reader's key": key_in_the_clear("MONITORING"),
    "rotate an owner's key": key_in_the_clear("MONITORING"),
    "rotate a foreign one's": key_in_the_clear("MONITORING"),
    "rotate the key of the call": own_key,
    "whoami": caller_shown,
    "health": healthy,
}


@pytest.fixture(scope="module")
def two_accounts(request: pytest.FixtureRequest) -> Iterator[TwoAccounts]:
    """Both accounts, in memory or on the real engine."""
    if ENGINE:
        with shared_stack(request.getfixturevalue("dynamodb")) as stack:
            yield TwoAccounts(stack)
        return
    with pytest.MonkeyPatch.context() as patch:
        yield TwoAccounts(stack_in_memory(patch))


# The tables


def test_the_tables_state_a_cell_for_every_call_and_caller() -> None:
    assert list(TABLE) == list(CALLS)
    assert all(list(cells) == CALLERS for cells in TABLE.values())
    assert OTHER_KEYS_TABLE.keys() - {"every other call"} <= CALLS.keys()
    assert CHECKS.keys() <= CALLS.keys()


def test_the_calls_are_all_the_api_has() -> None:
    served = {
        (method, path)
        for path, methods in application.app.routes.items()
        for method, entry in methods.items()
        if entry.view_name != "other_methods" and not is_console(path)
    }
    stated = set()
    for call in CALLS.values():
        path = call.path.partition("?")[0].replace("{me}", "ann")
        fits = [
            route for route in application.app.routes if re.fullmatch(re.sub(r"{\w+}", "[^/]+", route), path)
        ]
        stated.add((call.method, min(fits, key=lambda route: route.count("{"))))

    assert stated == served


@pytest.mark.parametrize("name", TABLE)
def test_each_caller_gets_the_stated_status(two_accounts: TwoAccounts, name: str) -> None:
    wrong = [
        two_accounts.try_call(name, caller, two_accounts.callers[caller], status, CHECKS.get(name))
        for caller, status in TABLE[name].items()
    ]

    assert not any(wrong), "\n".join([name, *filter(None, wrong)])


@pytest.mark.parametrize("name", TABLE)
def test_each_caller_gets_the_stated_status_with_other_keys(two_accounts: TwoAccounts, name: str) -> None:
    stated = OTHER_KEYS_TABLE.get(name, OTHER_KEYS_TABLE["every other call"])
    wrong = []
    for caller, status in stated.items():
        assert len(two_accounts.other_keys[caller]) == (2 if caller in ("R", "SR") else 3)
        for key in two_accounts.other_keys[caller]:
            wrong.append(two_accounts.try_call(name, caller, key, status, CHECKS.get(name)))  # noqa: PERF401

    assert not any(wrong), "\n".join([name, *filter(None, wrong)])
