"""The OpenAPI document: generated from the code, and in agreement with what the API does."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

import jsonschema_rs
import msgspec
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import app
from chalicelib.http import validation
from chalicelib.http.system import SERVER
from chalicelib.rules.errors import ApiError
from chalicelib.rules.limits import DEFAULT
from chalicelib.rules.names import display_name_error
from chalicelib.rules.roles import KeyType, Role
from contract import document, examples
from contract.operations import OPERATIONS, PARTS_OF_THE_PAGE, Example, Tag
from tests.support.api_client import NO_BODY, Clock, Key, Response, Stack
from tests.support.openapi_assertions import DOCUMENT, ContractMismatch, ResponseChecker

ROOT = Path(__file__).resolve().parent.parent.parent
COMMITTED: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
ROUTES = {
    entry.view_name: (method, path)
    for path, methods in app.app.routes.items()
    for method, entry in methods.items()
    if entry.view_name != "other_methods" and not document.is_console(path)
}


# The document and the code


def test_the_committed_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document.text(app.app.routes), (
        "Write it again: .venv/bin/python -m contract > docs/openapi.json"
    )


def test_it_is_written_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    document.main()

    assert capsys.readouterr().out == DOCUMENT.read_text(encoding="utf-8")


def test_it_is_served_with_the_address_customers_know(stack: Stack) -> None:
    response = stack.call("GET", "/openapi.json")

    assert response.status == 200
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert response.json == json.loads(DOCUMENT.read_text().replace(SERVER, "https://api.example"))
    assert response.json["servers"][0]["url"] == "https://api.example"


def test_where_the_address_is_not_known_it_is_served_as_it_is(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = stack.service._replace(public_url="")
    monkeypatch.setattr(app.api, "service", lambda: service)

    assert stack.call("GET", "/openapi.json").json == COMMITTED


def test_every_route_is_documented_and_nothing_else() -> None:
    assert OPERATIONS.keys() | PARTS_OF_THE_PAGE == ROUTES.keys()
    told = {(method.upper(), path) for path, methods in COMMITTED["paths"].items() for method in methods}
    assert told == {ROUTES[name] for name in OPERATIONS}


def test_every_call_says_who_may_make_it() -> None:
    for name, operation in OPERATIONS.items():
        public = operation.tag is Tag.SYSTEM or operation.tag is Tag.CALLER or not operation.signs_in
        assert bool(operation.permission) is not public, name
        assert operation.permission or operation.tag is Tag.SYSTEM or operation.notes.startswith("For "), name


def test_an_undocumented_view_stops_the_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(OPERATIONS, "whoami")

    with pytest.raises(KeyError, match="whoami"):
        document.document(app.app.routes)


def test_the_document_is_no_part_of_serving_a_request() -> None:
    script = (
        "import sys, app; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] == 'contract' or 'openapi' in m))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_a_type_without_a_json_form_stops_the_writing() -> None:
    class Strange: ...

    with pytest.raises(TypeError):
        document._schema(Strange)


# One edit


def test_a_field_added_to_a_body_is_checked_documented_and_shown(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "chalicelib", tmp_path / "chalicelib", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "contract", tmp_path / "contract", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "app.py", tmp_path)
    source = tmp_path / "chalicelib" / "http" / "bodies.py"
    text = source.read_text()
    edit = '    """A User to invite."""\n'
    assert text.count(edit) == 1
    source.write_text(
        text.replace(
            edit,
            edit + "\n    cost_centre: "
            'Annotated[str, Meta(max_length=4, description="Who pays.")] | UnsetType = UNSET',
        )
    )
    script = """
import json, app
from chalicelib.http import bodies, validation
from chalicelib.rules.errors import ValidationError
from contract.document import document as write
sent = {"username": "joan", "email": "joan@people.example", "role": "READ_ONLY"}
taken = validation.check(bodies.InviteUser, {**sent, "costCentre": "R2D2"}, 0)
try:
    validation.check(bodies.InviteUser, {**sent, "costCentre": "too long"}, 0)
except ValidationError as refused:
    faults = refused.errors
document = write(app.app.routes)
print(json.dumps([taken.cost_centre, faults, document["components"]["schemas"]["InviteUser"]]))
"""

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    taken, faults, schema = json.loads(done.stdout)
    assert taken == "R2D2"
    assert faults == [["/costCentre", "This must have at most 4 characters."]]
    assert schema["properties"]["costCentre"] == {
        "type": "string",
        "maxLength": 4,
        "description": "Who pays.",
    }
    # The page at /docs has no description of its own: it shows the document.
    assert "openapi.json" in (ROOT / "chalicelib/http/viewer/page.js").read_text()


# Every example


@pytest.fixture
def example_accounts(stack: Stack, clock: Clock) -> "ExampleAccounts":
    """The accounts that the examples are about."""
    clock.at = 1_772_443_800.0  # 2026-03-02T09:30:00Z
    return ExampleAccounts(stack)


class ExampleAccounts:
    """Ada, Grace, Joan, and their Service Users."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ada = self._account()
        self._invite("grace", "CLUSTER_ADMIN", "Grace")
        stack.service_user(stack.activate("grace"), "grace-bot", keyTypes=["MONITORING"])
        self._invite("joan", "READ_ONLY", "Joan")
        stack.own_key(self.ada, "MONITORING")
        stack.service_user(self.ada, "backup-bot", displayName="Backups", keyTypes=["MONITORING"])
        stack.service_user(self.ada, "metrics-bot", displayName="Metrics")

    def _account(self) -> Key:
        made = app.create_account(
            {
                "accountName": "Analytical Engines",
                "username": "ada",
                "email": "ada@people.example",
                "displayName": "Ada",
            },
            None,
        )
        return Key("ada", made["apiKey"])

    def _invite(self, username: str, role: str, name: str) -> None:
        body = {
            "username": username,
            "email": f"{username}@people.example",
            "role": role,
            "displayName": name,
        }
        assert self.stack.call("POST", "/v1/users", self.ada, body).status == 201

    def ask(self, name: str, example: Example) -> Response:
        method, path = ROUTES[name]
        if example.username:
            path = path.replace("{username}", example.username)
        if example.key_type:
            path = path.replace("{keyType}", example.key_type.value)
        if example.query:
            path += "?" + urlencode(example.query)
        body: Any = NO_BODY if example.body is None else example.body
        if name == "activate_user":
            body = {**example.body, "token": self.stack.token("joan")}  # type: ignore[dict-item]
        if name == "report_leaked_keys":
            body = self.leaked(example.body)
        if name == "find_key":
            body = {"last5": self.stack.item("metrics-bot")["keys"]["MONITORING"]["last5"]}
        return self.stack.call(method, path, self.ada if OPERATIONS[name].signs_in else None, body)

    def leaked(self, body: Any) -> list[dict[str, Any]]:
        """Return a report with a working key in place of the example's."""
        path = "/v1/service-users/metrics-bot/api-keys/rotate"
        made = self.stack.call("POST", path, self.ada, {"keyType": "MONITORING"})
        return [{**body[0], "token": made.json["key"]}]


EVERY_EXAMPLE = [
    pytest.param(name, example, id=f"{name}: {example.title}")
    for name, operation in OPERATIONS.items()
    for example in operation.examples
]


@pytest.mark.parametrize(("name", "example"), EVERY_EXAMPLE)
def test_every_example_matches_the_real_response(
    example_accounts: ExampleAccounts, name: str, example: Example
) -> None:
    answer = example_accounts.ask(name, example)

    operation = COMMITTED["paths"][ROUTES[name][1]][ROUTES[name][0].lower()]
    assert str(answer.status) == next(iter(operation["responses"]))
    if example.response is None:
        assert answer.text == ""
    else:
        assert _plain(answer.json) == _plain(msgspec.to_builtins(example.response))


def test_every_example_of_the_document_is_one_of_those() -> None:
    shown = [json.dumps(it, sort_keys=True) for it in _examples(COMMITTED["paths"])]
    made = [
        json.dumps(msgspec.to_builtins(value), sort_keys=True)
        for operation in OPERATIONS.values()
        for example in operation.examples
        for value in (example.response, example.body)
        if value is not None
    ]
    assert sorted(shown) == sorted(made)
    assert all(
        operation.examples for name, operation in OPERATIONS.items() if name not in {"openapi", "docs"}
    )


@pytest.mark.parametrize("status", examples.REFUSALS)
def test_every_example_of_a_refusal_matches_the_real_response(
    example_accounts: ExampleAccounts, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = examples.REFUSALS[status]
    headers = {"if-match": it.if_match} if it.if_match else {}
    if it.body is not None:
        headers["content-type"] = it.content_type
    if it.during == "a flood":
        flood(monkeypatch, example_accounts, "ada")
    elif it.during:
        during(monkeypatch, example_accounts.stack, it.during, it.method)

    answer = example_accounts.stack.call(
        it.method,
        it.path,
        example_accounts.ada if it.signed_in else None,
        NO_BODY if it.body is None else it.body,
        headers=headers,
    )

    assert answer.status == status
    assert _plain(answer.json) == _plain(msgspec.to_builtins(it.problem))
    response = COMMITTED["components"]["responses"][document._name(status)]
    assert response["content"]["application/problem+json"]["example"] == json.loads(
        msgspec.json.encode(it.problem)
    )


def test_the_gateways_own_responses_are_in_every_call_as_the_template_has_them() -> None:
    template = json.loads((ROOT / ".chalice" / "resources.json").read_text())
    declared = template["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]
    kinds = {429: "THROTTLED", 502: "INTEGRATION_FAILURE", 504: "INTEGRATION_TIMEOUT"}
    assert kinds.keys() == examples.OF_THE_GATEWAY.keys()
    for status, kind in kinds.items():
        said = json.loads(declared[kind]["ResponseTemplates"]["application/json"])
        assert declared[kind]["StatusCode"] == status
        assert {**said, "requestId": examples.REQUEST_ID} == msgspec.to_builtins(
            examples.OF_THE_GATEWAY[status]
        )
        headers = COMMITTED["components"]["responses"][document._name(status)]["headers"]
        assert headers.keys() <= declared[kind]["ResponseParameters"]["Headers"].keys()
    for methods in COMMITTED["paths"].values():
        for call in methods.values():
            assert {str(status) for status in kinds} <= call["responses"].keys()


def during(monkeypatch: pytest.MonkeyPatch, stack: Stack, what: str, method: str) -> None:
    """Make DynamoDB fail from now on: the reads of a GET, or the writes of any other call."""

    def wrong(**_parameters: Any) -> None:
        raise (
            RuntimeError if what == "a bug" else ConnectTimeoutError(endpoint_url="https://dynamodb.example")
        )

    call = "get_item" if method == "GET" else "transact_write_items"
    monkeypatch.setattr(stack.client, call, wrong)


def flood(monkeypatch: pytest.MonkeyPatch, example_accounts: ExampleAccounts, username: str) -> None:
    """Use up the budgets of a principal, of its account, and of the addresses invited there."""
    stack, account = example_accounts.stack, example_accounts.stack.item(username)["account"]
    limits = DEFAULT._replace(
        account_changes_per_minute=1, key_searches_per_minute=1, leak_reports_per_minute=1
    )
    monkeypatch.setattr(stack.service.directory, "limits", limits)
    now = int(stack.clock())
    stack.client.put_item(
        TableName=stack.tables.directory,
        Item={"pk": {"S": f"BUDGET#{account}#{now // 60}#0"}, "changes": {"N": "1"}},
    )
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": f"USER#{username}"}},
        UpdateExpression="SET budgetFullAt = :full",
        ExpressionAttributeValues={":full": {"N": str(now + 300)}},
    )


def _examples(it: Any) -> Iterator[Any]:
    if isinstance(it, dict):
        for name, value in it.items():
            if name == "examples" and isinstance(value, dict):
                yield from (shown["value"] for shown in value.values())
            else:
                yield from _examples(value)
    elif isinstance(it, list):
        for value in it:
            yield from _examples(value)


SAME = (
    (r"(su[ki])_\w{49}", r"\1_a secret"),
    (r"•••….{5}", "•••…12345"),
    (r"(?<=ast5\": \")[0-9A-Za-z]{5}(?=\")", "12345"),
    (r"[0-9a-f]{28}", "an event"),
    (r"(?<=\"id\": \")[0-9a-f]{16}(?=\")", "an id"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an id"),
    (r"request-[0-9a-f]{16}", "an id"),
)


def _plain(value: Any) -> Any:
    """Return a value with everything that differs between runs replaced by a constant."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    for pattern, words in SAME:
        text = re.sub(pattern, words, text)
    return json.loads(text)


# Every status


def _first_example(name: str) -> Example:
    return OPERATIONS[name].examples[0] if OPERATIONS[name].examples else Example("", None)


def _call(example_accounts: ExampleAccounts, name: str, **changes: Any) -> Response:
    """Make a call's first example, changed."""
    method, path = ROUTES[name]
    example = _first_example(name)
    path = path.replace("{username}", changes.get("username", example.username) or "")
    path = path.replace("{keyType}", example.key_type.value if example.key_type else "")
    query = {**example.query, **changes.get("query", {})}
    body = changes.get("body", NO_BODY if example.body is None else example.body)
    key = changes.get("key", example_accounts.ada if OPERATIONS[name].signs_in else None)
    return example_accounts.stack.call(
        method,
        f"{path}?{urlencode(query)}" if query else path,
        key,
        NO_BODY if "raw" in changes else body,
        headers=changes.get("headers"),
        raw=changes.get("raw"),
        source_ip=changes.get("source_ip", "198.51.100.7"),
    )


def _reach_403(example_accounts: ExampleAccounts, name: str, _monkeypatch: pytest.MonkeyPatch) -> Response:
    if not OPERATIONS[name].signs_in:
        return _call(example_accounts, name, headers={"Origin": "https://evil.example"})
    path = "/v1/users/ada/api-keys"
    body = {"keyType": "USER_MANAGEMENT", "allowedNetworks": ["198.51.100.0/24"]}
    assert example_accounts.stack.call("PATCH", path, example_accounts.ada, body).status == 200
    return _call(example_accounts, name, source_ip="203.0.113.9")


def _reach_404(example_accounts: ExampleAccounts, name: str, _monkeypatch: pytest.MonkeyPatch) -> Response:
    if name in {
        "list_own_keys",
        "generate_own_key",
        "revoke_own_key",
        "restrict_own_key",
        "rotate_own_key_of_type",
        "read_own_key",
        "restrict_own_key_of_type",
        "revoke_own_key_of_type",
    }:
        # A Service User is no User, so it has no keys here.
        bot = example_accounts.stack.service_user(example_accounts.ada, "owner-bot", "OWNER")[
            "USER_MANAGEMENT"
        ]
        return _call(example_accounts, name, username="owner-bot", key=bot)
    if (
        name == "list_shown_keys"
    ):  # nothing is kept of a revoked user, so they cannot be told from somebody who never existed
        return _call(example_accounts, name, username="no name")
    query = {"revokeUser": "true"} if name == "end_shown_keys" else {}
    return _call(example_accounts, name, username="nobody-at-all", query=query)


REVOCATIONS = {
    "invite_user_again",
    "delete_service_user",
    "revoke_service_user_key",
    "revoke_service_user_key_of_type",
    "revoke_user",
    "revoke_own_key",
    "revoke_own_key_of_type",
    "end_shown_keys",
    "suspend_service_user",
    "suspend_user",
}


def _suspend_first(example_accounts: ExampleAccounts, name: str) -> None:
    """Suspend whom a call resumes; who is not suspended is not changed by it."""
    if name.startswith("resume_"):
        assert _call(example_accounts, name.replace("resume_", "suspend_")).status == 200


def _reach_409(example_accounts: ExampleAccounts, name: str, monkeypatch: pytest.MonkeyPatch) -> Response:
    """Change everything between the call's reads and its write.

    A revocation succeeds all the same, unless transactions conflict on every attempt.
    """
    client, table = example_accounts.stack.client, example_accounts.stack.tables.directory
    write = client.transact_write_items
    taken = {"create_service_user": "probe-bot", "invite_user": "katherine"}.get(name)

    def late(**parameters: Any) -> Any:
        for item in client.scan(TableName=table, ConsistentRead=True)["Items"]:
            if "version" in item:
                client.put_item(TableName=table, Item={**item, "version": {"S": "another"}})
        if taken:
            client.put_item(TableName=table, Item={"pk": {"S": f"USER#{taken}"}})
        return write(**parameters)

    token = (
        {"body": {"username": "joan", "token": example_accounts.stack.token("joan")}}
        if name == "activate_user"
        else {}
    )

    def in_the_way(**_parameters: Any) -> NoReturn:
        reasons = [{"Code": "TransactionConflict"}]
        raise ClientError(
            {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons},
            "TransactWriteItems",
        )

    _suspend_first(example_accounts, name)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(client, "transact_write_items", in_the_way if name in REVOCATIONS else late)
    return _call(example_accounts, name, **token)


REACH: dict[int, Callable[[ExampleAccounts, str, pytest.MonkeyPatch], Response]] = {
    400: lambda example_accounts, name, _: _call(example_accounts, name, query={"nonsense": "1"}),
    401: lambda example_accounts, name, _: _call(example_accounts, name, key=None),
    403: _reach_403,
    404: _reach_404,
    409: _reach_409,
    412: lambda example_accounts, name, _: _call(example_accounts, name, headers={"if-match": '"another"'}),
    413: lambda example_accounts, name, _: _call(
        example_accounts, name, raw=b'{"a": "' + b"a" * validation.MAX_BODY_BYTES + b'"}'
    ),
    415: lambda example_accounts, name, _: _call(
        example_accounts, name, headers={"content-type": "text/plain"}, raw=b"a"
    ),
    429: lambda example_accounts, name, patch: _reach_429(example_accounts, name, patch),
    500: lambda example_accounts, name, patch: _with_fault(example_accounts, name, patch),
    503: lambda example_accounts, name, patch: _with_outage(example_accounts, name, patch),
}


def _reach_429(example_accounts: ExampleAccounts, name: str, monkeypatch: pytest.MonkeyPatch) -> Response:
    _suspend_first(example_accounts, name)
    flood(monkeypatch, example_accounts, "ada")
    if name == "update_account":
        example_accounts.stack.client.update_item(
            TableName=example_accounts.stack.tables.directory,
            Key={"pk": {"S": f"ACCOUNT#{example_accounts.stack.item('ada')['account']}"}},
            UpdateExpression="SET budgetFullAt = :full",
            ExpressionAttributeValues={":full": {"N": str(int(example_accounts.stack.clock()) + 300)}},
        )
        # What makes the policy stricter has no budget.
        return _call(example_accounts, name, body={"name": "Another"})
    if name == "update_user":
        return _call(example_accounts, name, body={"role": "OWNER"})
    if name.startswith("restrict_"):  # what tightens a key has no budget
        restricted: dict[str, Any] = {"keyType": "MONITORING", "allowedNetworks": ["198.51.100.0/25"]}
        if "{keyType}" in ROUTES[name][1]:
            del restricted["keyType"]
        assert _call(example_accounts, name, body=restricted).status == 200
        return _call(example_accounts, name, body={**restricted, "allowedNetworks": []})
    if name in ("find_key", "report_leaked_keys"):
        _call(example_accounts, name)
    return _call(example_accounts, name)


def _with_fault(example_accounts: ExampleAccounts, name: str, monkeypatch: pytest.MonkeyPatch) -> Response:
    def broken() -> Any:
        raise RuntimeError

    monkeypatch.setattr(app.api, "service", broken)
    return _call(example_accounts, name)


def _with_outage(example_accounts: ExampleAccounts, name: str, monkeypatch: pytest.MonkeyPatch) -> Response:
    token = (
        {"body": {"username": "joan", "token": example_accounts.stack.token("joan")}}
        if name == "activate_user"
        else {}
    )
    if name == "report_leaked_keys":
        token = {"body": example_accounts.leaked(_first_example(name).body)}  # type: ignore[dict-item]
    if name == "health":
        token = {"query": {"check": "state"}}
    method = "GET" if name == "find_key" else ROUTES[name][0]  # it writes nothing
    during(monkeypatch, example_accounts.stack, "an outage", method)
    return _call(example_accounts, name, **token)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_documented_refusal_happens(
    example_accounts: ExampleAccounts,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    statuses = OPERATIONS[name].statuses
    # Those that leave something behind come last.
    for status in sorted(statuses, key=lambda it: (it in {403, 404, 409, 500, 503}, it)):
        with monkeypatch.context() as patch:
            response = REACH[status](example_accounts, name, patch)
        assert (status, response.status) == (status, status), response.text
        if status == 403:
            example_accounts.stack.call(
                "PATCH",
                "/v1/users/ada/api-keys",
                example_accounts.ada,
                {"keyType": "USER_MANAGEMENT", "allowedNetworks": []},
            )
        if status == 409:
            break_in = {"create_service_user": "probe-bot", "invite_user": "katherine"}.get(name)
            if break_in:
                example_accounts.stack.client.delete_item(
                    TableName=example_accounts.stack.tables.directory, Key={"pk": {"S": f"USER#{break_in}"}}
                )


# What a body may be

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ROLES = st.sampled_from([role.value for role in Role])
TYPES = st.sampled_from([kind.value for kind in KeyType])
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "username": st.from_regex(r"\A[A-Za-z0-9._-]{2,5}\Z"),
    "email": st.sampled_from(
        ["a@b.example", "a+t@b.example", "a@b", "@b.example", "a@b.example\n", "a@b.e-x", "a@b.1x"]
    ),
    "role": ROLES,
    "profile": ROLES,
    "displayName": st.text(max_size=3),
    "keyTypes": st.lists(TYPES, max_size=5),
    "keyType": TYPES,
    "allowedNetworks": st.lists(st.sampled_from(["10.0.0.0/8", "2001:db8::/32", "10.0.0.0/8"]), max_size=3),
    "expiresAt": st.sampled_from(["2035-01-01T00:00:00Z", "2035-01-01T00:00:00+02:00", None, "2035-01-01"]),
    "administrators": st.lists(st.sampled_from(["ada", "grace", "x", "a b c"]), max_size=3),
    "overlapSeconds": st.integers(-1, 604_801) | st.sampled_from([0.0, 60.0, 1e5, 1e6, 1e300, 0.5]),
    "token": st.text(max_size=3),
    "type": st.text(max_size=3),
    "url": st.text(max_size=3),
    "key": st.from_regex(r"\Asuk_[0-9A-Za-z]{49}\n?\Z"),
    "last5": st.from_regex(r"\A[0-9A-Za-z]{4,5}\n?\Z"),
    "name": st.text(max_size=3),
    "maxKeyAgeDays": st.none() | st.integers(12, 16) | st.integers(3649, 3651),
    "revokeInactiveAfterDays": st.none() | st.integers(12, 16),
    "pciCompliance": st.booleans(),
    "machinesManageOwners": st.booleans(),
    "revokeLeakedKeys": st.booleans(),
    "evenIfLockedOut": st.booleans(),
    "description": st.none() | st.text(max_size=3) | st.sampled_from(["d" * 500, "d" * 501]),
    "labels": st.dictionaries(
        st.sampled_from(["team", "a/b", "a" * 64, "-a", "", "a\n"]),
        st.sampled_from(["payments", "", "a/b", "a" * 64, ".a", "a\n"]),
        max_size=2,
    ),
    **dict.fromkeys(("account", "createdAt", "apiKeys", "keysBelowRole"), JSON),
    **dict.fromkeys(("userCount", "serviceUserCount"), JSON),
    **dict.fromkeys(
        ("status", "invitedBy", "invitation", "owners", "suspendedAt", "suspendedBy", "emailFailure"), JSON
    ),
}
BODIES = sorted({it.body for it in OPERATIONS.values() if it.body is not None}, key=lambda it: it.__name__)


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_the_document_allows_what_the_api_takes_and_nothing_else(kind: type[validation.Body]) -> None:
    schema = {"$ref": f"#/components/schemas/{kind.__name__}", "components": COMMITTED["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    values = {name: st.one_of(RIGHT[name], RIGHT[name], RIGHT[name], JSON) for name in fields}
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    whole = st.fixed_dictionaries(
        {name: values[name] for name in required},
        optional={**{name: values[name] for name in fields if name not in required}, "unheardOf": JSON},
    )
    some = st.fixed_dictionaries({}, optional=values)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.one_of(whole, some, JSON))
    def agree(value: Any) -> None:
        # Of limits beside pciCompliance the document speaks in words ("At most 90 with `pciCompliance`").
        pci = isinstance(value, dict) and value.get("pciCompliance") is True
        assume(not (pci and {"maxKeyAgeDays", "revokeInactiveAfterDays"} & value.keys()))
        # And of characters in display names: version 1.0 published no pattern of them.
        names = [value[it] for it in validation.TEXTS.keys() & value.keys()] if type(value) is dict else []
        assume(not any(isinstance(it, str) and display_name_error(it) for it in names))
        try:
            validation.check(kind, validation.parse(json.dumps(value).encode()), 0)
            taken = True
        except ApiError:
            taken = False
        assert validator.is_valid(value) == taken

    agree()


# The response checker of the suite


def _event(stack: Stack, owner: Key) -> dict[str, Any]:
    return stack.event("GET", "/v1/whoami", owner)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda it: it | {"status": 418}, "does not describe this status"),
        (lambda it: it | {"text": it["text"].replace('"kind":"USER"', '"kind":"CAT"')}, "the body"),
        (lambda it: it | {"text": it["text"].replace('"kind"', '"more":1,"kind"')}, "more"),
        (lambda it: it | {"text": it["text"].replace("T", " T", 1)}, "body"),
        (lambda it: it | {"headers": {"Content-Type": "application/json"}}, "Cache-Control is missing"),
        (lambda it: it | {"headers": it["headers"] | {"X-Powered-By": "cats"}}, "X-Powered-By"),
        (lambda it: it | {"headers": it["headers"] | {"Content-Type": "text/html"}}, "text/html"),
    ],
    ids=["status", "value", "field", "time", "header missing", "header more", "media type"],
)
def test_an_undocumented_response_is_detected(
    stack: Stack, spoil: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    owner = stack.account()
    good = stack.call("GET", "/v1/whoami", owner)
    told = spoil({"status": good.status, "headers": good.headers, "text": good.text})

    with pytest.raises(ContractMismatch, match=words):
        ResponseChecker(COMMITTED).check(_event(stack, owner), **told)
