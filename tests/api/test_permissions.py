"""Who may do what: every call of the API by everybody who can make one, cell by cell.

Acme is an account with people and Service Users of every role; Zeta, its neighbour, has the same. The
tables below state each answer's status. What is refused has changed nothing, and no answer to one
account's caller names the other.
"""

import re
from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple

import pytest

import app as application
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.fake_dynamodb import stack_in_memory

WHO = """
O    an OWNER of Acme
A    a CLUSTER_ADMIN of Acme, Administrator of the Service Users that calls are about
C    a CLUSTER_ADMIN of Acme, Administrator of none
R    a READ_ONLY person of Acme
SO   an OWNER Service User of Acme
SC   a CLUSTER_ADMIN Service User of Acme
SR   a READ_ONLY Service User of Acme
FO   an OWNER of Zeta
FC   a CLUSTER_ADMIN of Zeta, Administrator of the Service User abroad
FR   a READ_ONLY person of Zeta
FSO  an OWNER Service User of Zeta
FSC  a CLUSTER_ADMIN Service User of Zeta
FSR  a READ_ONLY Service User of Zeta
X    somebody revoked, an OWNER and Administrator before, with the key of that time
I    somebody invited again and not back yet, with the key of the time before
B    somebody revoked, an Administrator before, and back as a CLUSTER_ADMIN with a new key
L    an Administrator before, lowered to READ_ONLY and raised again, with a new key
D    a deleted Service User, with its key
N    nobody: no credentials
W    an OWNER's username with somebody else's key
"""
"""Who calls. Those who may hold a USER_MANAGEMENT key call with it, READ_ONLY ones with a MONITORING key."""

ABROAD = ("FO", "FC", "FR", "FSO", "FSC", "FSR")

CELLS = """
                            O   A   C   R   SO  SC  SR  FO  FC  FR  FSO FSC FSR X   I   B   L   D   N   W
create a reader             201 201 201 403 403 403 403 201 201 403 403 403 403 401 401 201 201 401 401 401
create an owner             201 403 403 403 403 403 403 201 403 403 403 403 403 401 401 403 403 401 401 401
list Service Users          200 200 200 403 403 403 403 200 200 403 403 403 403 401 401 200 200 401 401 401
read a reader               200 200 200 403 403 403 403 404 404 403 403 403 403 401 401 200 200 401 401 401
read an owner               200 200 200 403 403 403 403 404 404 403 403 403 403 401 401 200 200 401 401 401
read oneself                404 404 404 403 200 200 200 404 404 403 200 200 200 401 401 404 404 401 401 401
read one abroad             404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401
read a person               404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401
rename a reader             200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
raise a reader to OWNER     200 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
make oneself Administrator  200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
rename oneself              404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401
rename one abroad           404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401
delete a reader             204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
delete one abroad           404 404 404 403 403 403 403 204 204 403 403 403 403 401 401 404 404 401 401 401
generate a reader's key     201 201 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
generate an owner's key     201 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
generate a key abroad       404 404 404 403 403 403 403 201 201 403 403 403 403 401 401 404 404 401 401 401
revoke a reader's key       204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
revoke an owner's key       204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
revoke a key abroad         404 404 404 403 403 403 403 204 204 403 403 403 403 401 401 404 404 401 401 401
restrict a reader's key     200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
restrict a key abroad       404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401
rotate a reader's key       200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
rotate an owner's key       200 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401
rotate a key abroad         404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401
rotate the key of the call  200 200 200 200 200 200 200 200 200 200 200 200 200 401 401 200 200 401 401 401
whoami                      200 200 200 200 200 200 200 200 200 200 200 200 200 401 401 200 200 401 401 401
invite a reader             201 403 403 403 201 403 403 201 403 403 201 403 403 401 401 403 403 401 401 401
invite an OWNER             201 403 403 403 201 403 403 201 403 403 201 403 403 401 401 403 403 401 401 401
list people                 200 200 200 403 200 403 403 200 200 403 200 403 403 401 401 200 200 401 401 401
read somebody               200 200 200 403 200 403 403 404 404 403 404 403 403 401 401 200 200 401 401 401
read somebody abroad        404 404 404 403 404 403 403 200 200 403 200 403 403 401 401 404 404 401 401 401
read a Service User here    404 404 404 403 404 403 403 404 404 403 404 403 403 401 401 404 404 401 401 401
rename somebody             200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
raise somebody to OWNER     200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
lower somebody              200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
change one's own role       403 403 403 403 404 403 403 403 403 403 404 403 403 401 401 403 403 401 401 401
rename somebody abroad      404 403 403 403 404 403 403 200 403 403 200 403 403 401 401 403 403 401 401 401
rename a Service User here  404 403 403 403 404 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
revoke somebody             204 403 403 403 204 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
revoke somebody abroad      404 403 403 403 404 403 403 204 403 403 204 403 403 401 401 403 403 401 401 401
revoke a Service User here  404 403 403 403 404 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
invite again                200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401
invite again abroad         404 403 403 403 404 403 403 200 403 403 200 403 403 401 401 403 403 401 401 401
activate                    200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
activate with a used token  400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
list one's keys             200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401
list another's keys         403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401
generate one's key          201 201 201 403 404 404 403 201 201 403 404 404 403 401 401 201 201 401 401 401
generate another's key      403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401
revoke one's key            204 204 204 403 404 404 403 204 204 403 404 404 403 401 401 204 204 401 401 401
revoke another's key        403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401
restrict one's key          200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401
restrict another's key      403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401
rotate one's key            200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401
rotate another's key        403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401
read the account            200 200 200 403 403 403 403 200 200 403 403 403 403 401 401 200 200 401 401 401
rename the account          200 403 403 403 403 403 403 200 403 403 403 403 403 401 401 403 403 401 401 401
list events                 200 200 200 403 403 403 403 200 200 403 403 403 403 401 401 200 200 401 401 401
health                      200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
openapi                     200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
docs                        200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
docs asset                  200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
"""

OTHER_KEYS = """
                            O   A   C   R   SO  SC  SR
read oneself                403 403 403 403 200 200 200
rotate the key of the call  200 200 200 200 200 200 200
whoami                      200 200 200 200 200 200 200
activate                    200 200 200 200 200 200 200
activate with a used token  400 400 400 400 400 400 400
health                      200 200 200 200 200 200 200
openapi                     200 200 200 200 200 200 200
docs                        200 200 200 200 200 200 200
docs asset                  200 200 200 200 200 200 200
every other call            403 403 403 403 403 403 403
"""
"""The same with every other key a caller may hold: PROVISIONING, PROVISIONING_READONLY and MONITORING."""


class Call(NamedTuple):
    """A call. In the path, {me} is the caller's username; so is it in the body."""

    method: str
    path: str
    body: Any = NO_BODY


SERVICE_USERS, USERS = "/v1/service-users", "/v1/users"
MACHINE = {"username": "new-bot", "email": "new-bot@machines.example"}
PERSON = {"username": "new-one", "email": "new-one@people.example"}
MONITORING, USER_MANAGEMENT = {"keyType": "MONITORING"}, {"keyType": "USER_MANAGEMENT"}
NAME = {"displayName": "Another name"}

# "reader" and "boss" are Service Users of Acme, READ_ONLY and OWNER, each with every key but
# PROVISIONING_READONLY; "reader-abroad" is one of Zeta; "pat" and "pat-abroad" are people.
CALLS = {
    "create a reader": Call("POST", SERVICE_USERS, {**MACHINE, "role": "READ_ONLY"}),
    "create an owner": Call("POST", SERVICE_USERS, {**MACHINE, "role": "OWNER"}),
    "list Service Users": Call("GET", SERVICE_USERS),
    "read a reader": Call("GET", f"{SERVICE_USERS}/reader"),
    "read an owner": Call("GET", f"{SERVICE_USERS}/boss"),
    "read oneself": Call("GET", SERVICE_USERS + "/{me}"),
    "read one abroad": Call("GET", f"{SERVICE_USERS}/reader-abroad"),
    "read a person": Call("GET", f"{SERVICE_USERS}/pat"),
    "rename a reader": Call("PUT", f"{SERVICE_USERS}/reader", NAME),
    "raise a reader to OWNER": Call("PUT", f"{SERVICE_USERS}/reader", {"role": "OWNER"}),
    "make oneself Administrator": Call("PUT", f"{SERVICE_USERS}/reader", {"administrators": ["{me}"]}),
    "rename oneself": Call("PUT", SERVICE_USERS + "/{me}", NAME),
    "rename one abroad": Call("PUT", f"{SERVICE_USERS}/reader-abroad", NAME),
    "delete a reader": Call("DELETE", f"{SERVICE_USERS}/reader"),
    "delete one abroad": Call("DELETE", f"{SERVICE_USERS}/reader-abroad"),
    "generate a reader's key": Call(
        "POST", f"{SERVICE_USERS}/reader/api-keys", {"keyType": "PROVISIONING_READONLY"}
    ),
    "generate an owner's key": Call(
        "POST", f"{SERVICE_USERS}/boss/api-keys", {"keyType": "PROVISIONING_READONLY"}
    ),
    "generate a key abroad": Call(
        "POST", f"{SERVICE_USERS}/reader-abroad/api-keys", {"keyType": "PROVISIONING_READONLY"}
    ),
    "revoke a reader's key": Call("DELETE", f"{SERVICE_USERS}/reader/api-keys", MONITORING),
    "revoke an owner's key": Call("DELETE", f"{SERVICE_USERS}/boss/api-keys?keyType=MONITORING"),
    "revoke a key abroad": Call("DELETE", f"{SERVICE_USERS}/reader-abroad/api-keys", MONITORING),
    "restrict a reader's key": Call(
        "PATCH", f"{SERVICE_USERS}/reader/api-keys", {**MONITORING, "allowedNetworks": ["203.0.113.0/24"]}
    ),
    "restrict a key abroad": Call(
        "PATCH",
        f"{SERVICE_USERS}/reader-abroad/api-keys",
        {**MONITORING, "allowedNetworks": ["203.0.113.0/24"]},
    ),
    "rotate a reader's key": Call("POST", f"{SERVICE_USERS}/reader/api-keys/rotate", MONITORING),
    "rotate an owner's key": Call("POST", f"{SERVICE_USERS}/boss/api-keys/rotate", MONITORING),
    "rotate a key abroad": Call("POST", f"{SERVICE_USERS}/reader-abroad/api-keys/rotate", MONITORING),
    "rotate the key of the call": Call("POST", "/v1/api-keys/rotate"),
    "whoami": Call("GET", "/v1/whoami"),
    "invite a reader": Call("POST", USERS, {**PERSON, "role": "READ_ONLY"}),
    "invite an OWNER": Call("POST", USERS, {**PERSON, "role": "OWNER"}),
    "list people": Call("GET", USERS),
    "read somebody": Call("GET", f"{USERS}/pat"),
    "read somebody abroad": Call("GET", f"{USERS}/pat-abroad"),
    "read a Service User here": Call("GET", f"{USERS}/reader"),
    "rename somebody": Call("PUT", f"{USERS}/pat", NAME),
    "raise somebody to OWNER": Call("PUT", f"{USERS}/pat", {"role": "OWNER"}),
    "lower somebody": Call("PUT", f"{USERS}/pat", {"role": "READ_ONLY"}),
    "change one's own role": Call("PUT", USERS + "/{me}", {"role": "READ_ONLY"}),
    "rename somebody abroad": Call("PUT", f"{USERS}/pat-abroad", NAME),
    "rename a Service User here": Call("PUT", f"{USERS}/reader", NAME),
    "revoke somebody": Call("DELETE", f"{USERS}/pat"),
    "revoke somebody abroad": Call("DELETE", f"{USERS}/pat-abroad"),
    "revoke a Service User here": Call("DELETE", f"{USERS}/reader"),
    "invite again": Call("POST", f"{USERS}/pat/invitation"),
    "invite again abroad": Call("POST", f"{USERS}/pat-abroad/invitation"),
    "activate": Call("POST", f"{USERS}/activate", {"username": "invited", "token": "{good token}"}),
    "activate with a used token": Call(
        "POST", f"{USERS}/activate", {"username": "pat", "token": "{used token}"}
    ),
    "list one's keys": Call("GET", USERS + "/{me}/api-keys"),
    "list another's keys": Call("GET", f"{USERS}/pat/api-keys"),
    "generate one's key": Call("POST", USERS + "/{me}/api-keys", MONITORING),
    "generate another's key": Call("POST", f"{USERS}/pat/api-keys", MONITORING),
    "revoke one's key": Call("DELETE", USERS + "/{me}/api-keys", USER_MANAGEMENT),
    "revoke another's key": Call("DELETE", f"{USERS}/pat/api-keys", USER_MANAGEMENT),
    "restrict one's key": Call(
        "PATCH", USERS + "/{me}/api-keys", {**USER_MANAGEMENT, "allowedNetworks": ["203.0.113.0/24"]}
    ),
    "restrict another's key": Call(
        "PATCH", f"{USERS}/pat/api-keys", {**USER_MANAGEMENT, "allowedNetworks": []}
    ),
    "rotate one's key": Call("POST", USERS + "/{me}/api-keys/rotate", USER_MANAGEMENT),
    "rotate another's key": Call("POST", f"{USERS}/pat/api-keys/rotate", USER_MANAGEMENT),
    "read the account": Call("GET", "/v1/account"),
    "rename the account": Call("PUT", "/v1/account", {"name": "Another name"}),
    "list events": Call("GET", "/v1/events"),
    "health": Call("GET", "/health"),
    "openapi": Call("GET", "/openapi.json"),
    "docs": Call("GET", "/docs"),
    "docs asset": Call("GET", "/docs/page.js"),
}


def read_table(text: str) -> dict[str, dict[str, int]]:
    """Return the status of each call (first) by each caller."""
    heading, *lines = text.strip("\n").splitlines()
    callers = heading.split()
    width = re.search(r"\S", heading).start()  # type: ignore[union-attr]
    table = {}
    for line in lines:
        cells = [int(cell) for cell in line[width:].split()]
        table[line[:width].strip()] = dict(zip(callers, cells, strict=True))
    return table


TABLE, OTHERS = read_table(CELLS), read_table(OTHER_KEYS)


class TwoAccounts:
    """Acme and Zeta, in memory, put back as they were after each call that succeeds."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.callers: dict[str, Key | None] = {"N": None}
        self.other_keys: dict[str, list[Key]] = {}
        self.fill()
        self.ids = {
            place: stack.call("GET", "/v1/account", self.callers[caller]).json["account"]
            for place, caller in (("Acme", "O"), ("Zeta", "FO"))
        }
        for key in [*self.callers.values(), *(key for keys in self.other_keys.values() for key in keys)]:
            stack.call("GET", "/v1/whoami", key)  # so that no later use is the first, which is written
        self.kept = self.all_there_is()

    def fill(self) -> None:
        stack, them = self.stack, self.callers
        them["O"] = owner = stack.account("ann")
        them["A"] = admin = stack.user(owner, "ada", "CLUSTER_ADMIN")
        them["C"] = stack.user(owner, "cid", "CLUSTER_ADMIN")
        them["R"] = stack.user(owner, "rob", "READ_ONLY")
        them["FO"] = foreign = stack.account("zed")
        them["FC"] = abroad = stack.user(foreign, "zoe", "CLUSTER_ADMIN")
        them["FR"] = stack.user(foreign, "zac", "READ_ONLY")
        for caller, by, role in (
            ("SO", owner, "OWNER"),
            ("SC", owner, "CLUSTER_ADMIN"),
            ("FSO", foreign, "OWNER"),
            ("FSC", foreign, "CLUSTER_ADMIN"),
        ):
            them[caller] = stack.service_user(by, f"robot-{caller}", role)["USER_MANAGEMENT"]
        them["SR"] = stack.service_user(owner, "robot-SR", "READ_ONLY")["MONITORING"]
        them["FSR"] = stack.service_user(foreign, "robot-FSR", "READ_ONLY")["MONITORING"]
        them["W"] = Key("ann", admin.secret)
        self.fill_targets(owner, admin, foreign, abroad)
        self.fill_other_keys(owner)
        self.fill_those_gone(owner)

    def fill_targets(self, owner: Key, admin: Key, foreign: Key, abroad: Key) -> None:
        stack = self.stack
        stack.service_user(admin, "reader", "READ_ONLY", keyTypes=["MONITORING"])
        stack.service_user(owner, "boss", "OWNER", keyTypes=["MONITORING", "PROVISIONING", "USER_MANAGEMENT"])
        stack.service_user(abroad, "reader-abroad", "READ_ONLY", keyTypes=["MONITORING"])
        for by, name in ((owner, "pat"), (foreign, "pat-abroad"), (owner, "invited")):
            body = {"username": name, "email": f"{name}@people.example", "role": "CLUSTER_ADMIN"}
            assert stack.call("POST", USERS, by, body).status == 201
        self.tokens = {"{used token}": stack.token("pat"), "{good token}": stack.token("invited")}
        taken = {"username": "pat", "token": self.tokens["{used token}"]}
        assert stack.call("POST", f"{USERS}/activate", body=taken).status == 200
        stack.activate("pat-abroad")

    def fill_those_gone(self, owner: Key) -> None:
        stack, them = self.stack, self.callers
        them["X"] = stack.user(owner, "xan", "OWNER")
        them["I"] = stack.user(owner, "ian", "OWNER")
        for name in ("bea", "lia"):
            stack.user(owner, name, "CLUSTER_ADMIN")
        them["D"] = stack.service_user(owner, "robot-D", "OWNER")["USER_MANAGEMENT"]
        administrators = {"administrators": ["ann", "ada", "other-A", "xan", "ian", "bea", "lia"]}
        for name in ("reader", "boss"):
            assert stack.call("PUT", f"{SERVICE_USERS}/{name}", owner, administrators).status == 200
        for name in ("xan", "bea"):
            assert stack.call("DELETE", f"{USERS}/{name}", owner).status == 204
        them["B"] = stack.user(owner, "bea", "CLUSTER_ADMIN")
        for role in ("READ_ONLY", "CLUSTER_ADMIN"):
            assert stack.call("PUT", f"{USERS}/lia", owner, {"role": role}).status == 200
        for name in ("ian", "lia"):
            assert stack.call("POST", f"{USERS}/{name}/invitation", owner).status == 200
        them["L"] = stack.activate("lia")
        assert stack.call("DELETE", f"{SERVICE_USERS}/robot-D", owner).status == 204

    def fill_other_keys(self, owner: Key) -> None:
        """Callers of every role once more, with the keys that do not manage."""
        stack, kinds = self.stack, ["PROVISIONING", "PROVISIONING_READONLY", "MONITORING"]
        for caller, role in (("O", "OWNER"), ("A", "CLUSTER_ADMIN"), ("C", "CLUSTER_ADMIN")):
            key = stack.user(owner, f"other-{caller}", role)
            self.other_keys[caller] = [stack.own_key(key, kind) for kind in kinds]
        body = {"username": "other-R", "email": "other-r@people.example", "role": "READ_ONLY"}
        assert stack.call("POST", USERS, owner, body).status == 201
        token = {"username": "other-R", "token": stack.token("other-R")}
        made = stack.call("POST", f"{USERS}/activate", body=token).json["apiKeys"]["apiKeys"]
        self.other_keys["R"] = [Key("other-R", it["key"]) for it in made]
        for caller, role in (("SO", "OWNER"), ("SC", "CLUSTER_ADMIN"), ("SR", "READ_ONLY")):
            keys = stack.service_user(owner, f"other-{caller}", role)
            self.other_keys[caller] = [key for kind, key in keys.items() if kind != "USER_MANAGEMENT"]

    def all_there_is(self) -> dict[str, dict[Any, Any]]:
        return {name: copy(table) for name, table in self.stack.client.tables.items()}

    def put_back(self) -> None:
        self.stack.client.tables = {name: copy(table) for name, table in self.kept.items()}

    def make(self, call: Call, key: Key | None) -> Response:
        """Make a call, and see to it that a refusal has changed nothing; then put all back as it was."""
        me = key.username if key else "ann"
        body = call.body if call.body is NO_BODY else self.meant(call.body, me)
        response = self.stack.call(call.method, call.path.replace("{me}", me), key, body)
        if response.status >= 400:
            assert self.all_there_is() == self.kept, f"{call} was refused, and changed something"
            assert response.headers["Content-Type"] == "application/problem+json"
        self.put_back()
        return response

    def meant(self, it: Any, me: str) -> Any:
        """Fill in who calls, and the tokens."""
        if isinstance(it, dict):
            return {name: self.meant(value, me) for name, value in it.items()}
        if isinstance(it, list):
            return [self.meant(value, me) for value in it]
        return {"{me}": me, **self.tokens}.get(it, it)


@pytest.fixture(scope="module")
def two_accounts() -> Iterator[TwoAccounts]:
    with pytest.MonkeyPatch.context() as patch:
        yield TwoAccounts(stack_in_memory(patch))


def test_the_tables_state_a_cell_for_every_call_and_caller() -> None:
    callers = [line.split()[0] for line in WHO.strip().splitlines()]

    assert list(TABLE) == list(CALLS)
    assert all(list(cells) == callers for cells in TABLE.values())
    assert OTHERS.keys() - {"every other call"} <= CALLS.keys()


def test_the_calls_are_all_the_api_has() -> None:
    has = {
        (method, path)
        for path, methods in application.app.routes.items()
        for method, entry in methods.items()
        if entry.view_name != "other_methods"
    }
    stated = set()
    for call in CALLS.values():
        path = call.path.partition("?")[0].replace("{me}", "ann")
        fits = [
            route for route in application.app.routes if re.fullmatch(re.sub(r"{\w+}", "[^/]+", route), path)
        ]
        stated.add((call.method, min(fits, key=lambda route: route.count("{"))))

    assert stated == has


@pytest.mark.parametrize("name", TABLE)
def test_each_caller_gets_the_stated_answer(two_accounts: TwoAccounts, name: str) -> None:
    wrong = []
    for caller, status in TABLE[name].items():
        response = two_accounts.make(CALLS[name], two_accounts.callers[caller])
        if response.status != status:
            wrong.append(f"{caller}: {response.status}, not {status}: {response.text}")
        foreign = two_accounts.ids["Acme" if caller in ABROAD else "Zeta"]
        assert name == "activate" or foreign not in response.text, f"{caller} is told of the other account"

    assert not wrong, "\n".join([name, *wrong])


@pytest.mark.parametrize("name", TABLE)
def test_each_caller_gets_the_stated_answer_with_other_keys(two_accounts: TwoAccounts, name: str) -> None:
    stated = OTHERS.get(name, OTHERS["every other call"])
    wrong = []
    for caller, status in stated.items():
        assert len(two_accounts.other_keys[caller]) == (2 if caller in ("R", "SR") else 3)
        for key in two_accounts.other_keys[caller]:
            response = two_accounts.make(CALLS[name], key)
            if response.status != status:
                wrong.append(f"{caller} {key.username}: {response.status}, not {status}: {response.text}")

    assert not wrong, "\n".join([name, *wrong])
