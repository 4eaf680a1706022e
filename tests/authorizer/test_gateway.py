"""The authorizer, on the events that API Gateway sends, and on those it never would."""

import base64
import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.authorizer.gateway import AuthorizerFailed, authorize
from chalicelib.authorizer.route_rules import DEFAULT, Rules, load_rules
from chalicelib.http.authorization import credentials
from chalicelib.rules import key_format
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.model import ApiKey, Principal, ServiceUser, User
from chalicelib.rules.roles import KeyType, Role
from local.iam import allows

NOW = 1_773_342_238
ACCOUNT = "6f0f9a9e-3a7c-4d51-9b6e-0b1f5f3f2a10"
GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
PLACE = "CREDENTIALS"
INVOKE = "execute-api:Invoke"


class Keyring:
    """A directory of one Principal of each role, and the keys they sign in with."""

    def __init__(self) -> None:
        self.reads = 0
        self.notes: list[str] = []
        self.secrets: dict[tuple[Role, KeyType], str] = {}
        self.principals: dict[str, Principal] = {}
        for role in Role:
            keys = {}
            for key_type in role.key_types():
                self.secrets[role, key_type] = secret = key_format.new_key()
                keys[key_type] = ApiKey(key_format.digest(secret), key_format.last5(secret), NOW - 9, "owner")
            self.add(f"worker-{role.value.lower()}", role, keys)

    def add(self, username: str, role: Role, keys: dict[KeyType, ApiKey]) -> None:
        self.principals[username] = ServiceUser(
            username=username,
            account=ACCOUNT,
            email=f"{username}@example.com",
            role=role,
            version="1",
            created_at=1,
            keys=keys,
            id=f"id-{username}",
        )

    def restrict(self, role: Role, key_type: KeyType, *networks: str) -> None:
        name = f"worker-{role.value.lower()}"
        old = self.principals[name]
        key = ApiKey(old.keys[key_type].digest, old.keys[key_type].last5, 1, "owner", networks=networks)
        self.add(name, role, {**old.keys, key_type: key})

    def header(self, role: Role, key_type: KeyType) -> str:
        return basic(f"worker-{role.value.lower()}", self.secrets[role, key_type])

    def sign_in(self, header: str | None, source_ip: str) -> AuthContext:
        return sign_in(self, *credentials(header), Origin(source_ip, "request-1", NOW))  # type: ignore[arg-type]

    def principal(self, username: str) -> Principal | None:
        self.reads += 1
        return self.principals.get(username.lower())

    def username_of(self, digest: bytes) -> str | None:
        self.reads += 1
        held = ((name, key) for name, it in self.principals.items() for key in it.keys.values())
        return next((name for name, key in held if key.digest == digest), None)

    def record_use(self, *args: Any, **more: Any) -> None:
        self.notes.append("used")

    def record_refusal(self, *args: Any, **more: Any) -> None:
        self.notes.append("refused")


@pytest.fixture(name="keyring")
def _keyring() -> Keyring:
    return Keyring()


def basic(username: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


def golden(name: str, header: str = PLACE) -> dict[str, Any]:
    text = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    event: dict[str, Any] = json.loads(text.replace(PLACE, header))
    return event


def asked(event: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """Return the event for another method and path."""
    event = copy.deepcopy(event)
    if event.get("version") == "2.0":
        context = event["requestContext"]
        stage = "" if context["stage"] == "$default" else f"/{context['stage']}"
        event["rawPath"] = context["http"]["path"] = stage + path
        context["http"]["method"] = method
    else:
        start = event["methodArn"].split("/")[:2]
        event.update(methodArn="/".join([*start, method]) + path, path=path, httpMethod=method)
    return event


def status(
    event: dict[str, Any],
    sign_in: Any,
    rules: Rules = DEFAULT,
    ask: Callable[..., dict[str, Any]] = authorize,
) -> int:
    """Return what API Gateway would make of it: 200 for what is let in."""
    try:
        response = ask(event, sign_in, rules)
    except Exception as error:
        return 401 if str(error) == "Unauthorized" and type(error) is Exception else 500
    if event.get("version") == "2.0":
        return 200 if response["isAuthorized"] else 403
    assert response["principalId"]
    return 200 if allows(response["policyDocument"], INVOKE, event["methodArn"]) else 403


# Golden events


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_allowed_the_paths_of_its_type_and_role(name: str, keyring: Keyring) -> None:
    for role, key_type in keyring.secrets:
        event = golden(name, keyring.header(role, key_type))
        for path, types, least in (
            ("/monitoring/clusters", {KeyType.MONITORING}, Role.READ_ONLY),
            ("/provisioning/clusters/9", {KeyType.PROVISIONING}, Role.CLUSTER_ADMIN),
            ("/user-management/users", {KeyType.USER_MANAGEMENT}, Role.OWNER),
        ):
            method = "GET" if path == "/monitoring/clusters" else "DELETE"
            expected = 200 if key_type in types and role.covers(least) else 403
            assert status(asked(event, method, path), keyring.sign_in) == expected


@pytest.mark.parametrize(
    ("name", "key_type"),
    [
        ("rest-1.0", KeyType.MONITORING),
        ("http-1.0", KeyType.PROVISIONING),
        ("http-2.0", KeyType.MONITORING),
        ("http-2.0-stage", KeyType.PROVISIONING),
    ],
)
def test_recorded_events_of_api_gateway_are_allowed_with_one_sign_in(
    name: str, key_type: KeyType, keyring: Keyring
) -> None:
    event = golden(name, keyring.header(Role.OWNER, key_type))
    assert status(event, keyring.sign_in) == 200
    assert keyring.reads == 1


def test_the_policy_of_a_rest_api(keyring: Keyring) -> None:
    event = golden("rest-1.0", keyring.header(Role.READ_ONLY, KeyType.MONITORING))
    stage = "arn:aws:execute-api:ap-southeast-2:123456789012:a1b2c3d4e5/prod"
    assert authorize(event, keyring.sign_in, DEFAULT) == {
        "principalId": "worker-read_only",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": INVOKE,
                    "Resource": [f"{stage}/GET/monitoring/*", f"{stage}/HEAD/monitoring/*"],
                },
                {
                    "Effect": "Deny",
                    "Action": INVOKE,
                    "Resource": [
                        f"{stage}/*..*",
                        f"{stage}/*:*..*",
                        f"{stage}/*%2e*",
                        f"{stage}/*:*%2e*",
                        f"{stage}/*%2E*",
                        f"{stage}/*:*%2E*",
                        f"{stage}/*%25*",
                        f"{stage}/*:*%25*",
                        f"{stage}/*%%*",
                        f"{stage}/*:*%%*",
                        f"{stage}/*%2%*",
                        f"{stage}/*:*%2%*",
                    ],
                },
            ],
        },
        "context": {
            "account": ACCOUNT,
            "username": "worker-read_only",
            "kind": "SERVICE_USER",
            "role": "READ_ONLY",
            "keyType": "MONITORING",
        },
    }


def test_the_simple_response_of_an_http_api(keyring: Keyring) -> None:
    event = golden("http-2.0", keyring.header(Role.OWNER, KeyType.MONITORING))
    context = {
        "account": ACCOUNT,
        "username": "worker-owner",
        "kind": "SERVICE_USER",
        "role": "OWNER",
        "keyType": "MONITORING",
    }
    assert authorize(event, keyring.sign_in, DEFAULT) == {"isAuthorized": True, "context": context}
    other = asked(event, "POST", "/monitoring/clusters")
    assert authorize(other, keyring.sign_in, DEFAULT) == {"isAuthorized": False, "context": context}


@pytest.mark.parametrize("name", NAMES)
def test_a_users_key_is_allowed_what_a_machines_is(name: str, keyring: Keyring) -> None:
    secret = key_format.new_key()
    key = ApiKey(key_format.digest(secret), key_format.last5(secret), 1, "owner")
    keyring.principals["jo.doe"] = User(
        username="Jo.Doe",
        account=ACCOUNT,
        email="jo.doe@example.com",
        role=Role.CLUSTER_ADMIN,
        version="1",
        created_at=1,
        keys={KeyType.PROVISIONING: key},
        membership="m",
    )
    event = asked(golden(name, basic("jo.doe", secret)), "PUT", "/provisioning/clusters")
    assert status(event, keyring.sign_in) == 200
    assert authorize(event, keyring.sign_in, DEFAULT)["context"]["kind"] == "USER"


def test_a_policy_is_the_same_whatever_was_asked(keyring: Keyring) -> None:
    event = golden("rest-1.0", keyring.header(Role.OWNER, KeyType.PROVISIONING))
    tried = [
        asked(event, method, path)
        for method, path in (
            ("GET", "/provisioning/clusters"),
            ("POST", "/user-management/users"),
            ("GET", "/*"),
            ("GET", "/provisioning/../x/*"),
            ("DELETE", "/"),
            ("GET", "/${aws:username}/?"),
        )
    ]
    responses = [authorize(each, keyring.sign_in, DEFAULT) for each in tried]
    assert all(response == responses[0] for response in responses)


@pytest.mark.parametrize(
    "stage",
    [
        "arn:aws-cn:execute-api:cn-north-1:123456789012:a1b2c3d4e5/v1_x-Y",
        "arn:aws-us-gov:execute-api:us-gov-west-1:123456789012:a1b2c3d4e5/$default",
        "arn:aws-iso-b:execute-api:us-isob-east-1:123456789012:a1b2c3d4e5/test-invoke-stage",
    ],
)
def test_a_policy_is_for_the_one_api_and_stage(stage: str, keyring: Keyring) -> None:
    for key_type in (KeyType.PROVISIONING, KeyType.USER_MANAGEMENT):
        event = golden("rest-1.0", keyring.header(Role.CLUSTER_ADMIN, key_type))
        event["methodArn"] = f"{stage}/GET/provisioning/a/b:c"
        document = authorize(event, keyring.sign_in, DEFAULT)["policyDocument"]
        lines = [line for statement in document["Statement"] for line in statement["Resource"]]
        assert all(line.startswith(f"{stage}/") for line in lines)
        allowed = key_type is KeyType.PROVISIONING
        assert allows(document, INVOKE, f"{stage}/GET/provisioning/a") is allowed
        assert not allows(document, INVOKE, f"{stage}x/GET/provisioning/a")
        assert not allows(document, INVOKE, f"{stage.replace('a1b2c3d4e5', 'other')}/GET/provisioning/a")


def test_a_policy_names_each_method_so_that_no_path_matches_as_one(keyring: Keyring) -> None:
    """A ``*`` for the method would stand for ``GET/user-management`` too."""
    event = golden("rest-1.0", keyring.header(Role.OWNER, KeyType.PROVISIONING))
    for method in ("GET", "POST", "TRACE"):
        assert status(asked(event, method, "/user-management/provisioning/x"), keyring.sign_in) == 403


# 401 and 403


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "header",
    [
        PLACE,
        "",
        "Basic",
        "Basic ",
        "Basic %%%",
        "Basic =",
        "Basic YQ",
        "Basic /w==",
        "Basic Og==",
        "Bearer abc",
        "Negotiate abc",
        basic("worker-owner", ""),
        basic("worker-owner", "suk_wrong"),
        pytest.param(basic("worker-owner", key_format.new_key()), id="another-key"),
        pytest.param(basic("nobody", key_format.new_key()), id="nobody"),
        pytest.param(basic("", key_format.new_key()), id="no-name"),
        "Basic ä",
    ],
)
def test_missing_and_wrong_credentials_are_401(name: str, header: str, keyring: Keyring) -> None:
    with pytest.raises(Exception, match=r"\AUnauthorized\Z") as refusal:
        authorize(golden(name, header), keyring.sign_in, DEFAULT)
    assert type(refusal.value) is Exception
    assert keyring.reads <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("headers", [None, {}, {"Accept": "*/*"}])
def test_no_header_is_401(name: str, headers: dict[str, str] | None, keyring: Keyring) -> None:
    event = golden(name)
    event.pop("multiValueHeaders", None)
    event["headers"] = headers
    assert status(event, keyring.sign_in) == 401
    del event["headers"]
    assert status(event, keyring.sign_in) == 401
    assert keyring.reads == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spelling", ["authorization", "Authorization", "AUTHORIZATION", "aUTHORIZATION"])
def test_a_headers_name_is_in_any_case(name: str, spelling: str, keyring: Keyring) -> None:
    event = asked(golden(name), "GET", "/monitoring/clusters")
    event.pop("multiValueHeaders", None)
    event["headers"] = {"x": "y", spelling: keyring.header(Role.READ_ONLY, KeyType.MONITORING)}
    assert status(event, keyring.sign_in) == 200


def test_a_header_that_comes_in_the_multi_valued_form_alone(keyring: Keyring) -> None:
    header = keyring.header(Role.READ_ONLY, KeyType.MONITORING)
    event = golden("rest-1.0")
    del event["headers"]
    event["multiValueHeaders"] = {"accept": ["a", "b"], "authorization": [header]}
    assert status(event, keyring.sign_in) == 200


@pytest.mark.parametrize("name", ["rest-1.0", "http-1.0"])
def test_headers_that_contradict_each_other_are_no_credentials(name: str, keyring: Keyring) -> None:
    good = keyring.header(Role.OWNER, KeyType.MONITORING)
    other = keyring.header(Role.READ_ONLY, KeyType.MONITORING)
    for headers, multi in (
        ({"Authorization": good, "authorization": other}, {}),
        ({"Authorization": good}, {"Authorization": [other, good]}),
        ({"Authorization": good}, {"authorization": [other]}),
        ({}, {"Authorization": [good, other]}),
        ({}, {"Authorization": []}),
    ):
        event = golden(name, good)
        event.update(headers=headers, multiValueHeaders=multi)
        assert status(event, keyring.sign_in) == 401
    assert keyring.reads == 0


@pytest.mark.parametrize("name", NAMES)
def test_another_network_is_403(name: str, keyring: Keyring, caplog: pytest.LogCaptureFixture) -> None:
    event = asked(golden(name, keyring.header(Role.OWNER, KeyType.MONITORING)), "GET", "/monitoring/clusters")
    keyring.restrict(Role.OWNER, KeyType.MONITORING, "198.51.100.0/24", "203.0.113.9/32", "2001:db8::/64")
    assert status(event, keyring.sign_in) == 200
    keyring.restrict(Role.OWNER, KeyType.MONITORING, "192.0.2.0/24")
    event["headers"]["X-Forwarded-For"] = event["headers"]["x-forwarded-for"] = "192.0.2.7"
    caplog.set_level(logging.INFO)
    keyring.reads = 0
    assert status(event, keyring.sign_in) == 403
    assert keyring.reads == 1
    assert keyring.notes[-1] == "refused"
    assert "refused (403): This MONITORING key may not be used from" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_a_key_without_any_right_is_403(name: str, keyring: Keyring) -> None:
    event = golden(name, keyring.header(Role.CLUSTER_ADMIN, KeyType.USER_MANAGEMENT))
    assert status(event, keyring.sign_in) == 403
    response = authorize(event, keyring.sign_in, DEFAULT)
    assert response["context"]["username"] == "worker-cluster_admin"
    if "policyDocument" in response:
        (statement,) = response["policyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Resource"] == ["/".join(event["methodArn"].split("/")[:2]) + "/*"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path",
    [
        "/monitoring",
        "/Monitoring/a",
        "/monitoring/../user-management/users",
        "/monitoring/%2e%2e/user-management",
        "/monitoring/a:b/../../user-management",
        "/dev/monitoring/clusters",
        "/prod/monitoring/clusters",
        "/",
    ],
)
def test_crafted_paths_are_403(name: str, path: str, keyring: Keyring) -> None:
    event = golden(name, keyring.header(Role.OWNER, KeyType.MONITORING))
    assert status(asked(event, "GET", path), keyring.sign_in) == 403


def test_a_deployments_own_rules_replace_the_default_ones(keyring: Keyring) -> None:
    rule = {"path": "/x", "methods": ["PUT"], "keyTypes": ["MONITORING"], "leastRole": "OWNER"}
    rules = load_rules(json.dumps([rule]))
    for name in NAMES:
        for role, expected in ((Role.OWNER, 200), (Role.CLUSTER_ADMIN, 403)):
            event = golden(name, keyring.header(role, KeyType.MONITORING))
            assert status(asked(event, "PUT", "/x"), keyring.sign_in, rules) == expected
            assert status(asked(event, "PUT", "/x/"), keyring.sign_in, rules) == 403
            assert status(asked(event, "GET", "/monitoring/clusters"), keyring.sign_in, rules) == 403


# The stage in an HTTP API's path


@pytest.mark.parametrize(
    ("stage", "domain", "path", "expected"),
    [
        ("dev", "abcdef123.execute-api.us-east-1.amazonaws.com", "/dev/monitoring/a", 200),
        ("dev", "abcdef123.execute-api.us-east-1.amazonaws.com", "/monitoring/a", 200),
        ("dev", "abcdef123.execute-api.us-east-1.amazonaws.com", "/dev/dev/monitoring/a", 403),
        ("dev", "abcdef123.execute-api.us-east-1.amazonaws.com", "/dev", 403),
        ("dev", "api.example.com", "/monitoring/a", 200),
        ("dev", "api.example.com", "/dev/monitoring/a", 403),
        ("dev", None, "/dev/monitoring/a", 403),
        ("$default", "abcdef123.execute-api.us-east-1.amazonaws.com", "/monitoring/a", 200),
        ("$default", "abcdef123.execute-api.us-east-1.amazonaws.com", "/$default/monitoring/a", 403),
    ],
)
def test_the_stages_name_stands_before_the_path_at_the_apis_own_address(
    stage: str, domain: str | None, path: str, expected: int, keyring: Keyring
) -> None:
    event = golden("http-2.0", keyring.header(Role.OWNER, KeyType.MONITORING))
    event["rawPath"] = path
    event["requestContext"].update(stage=stage, domainName=domain)
    if domain is None:
        del event["requestContext"]["domainName"]
    assert status(event, keyring.sign_in) == expected


# Malformed events

REFUSED_1 = {
    "principalId": "unknown",
    "policyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": INVOKE, "Resource": ["*"]}],
    },
    "context": {},
}
REFUSED_2 = {"isAuthorized": False}


@pytest.mark.parametrize("event", [None, 1, "x", [], {}, {"version": "1.0"}, {"version": "3.0"}, {1: 2}])
def test_what_is_not_an_event_is_denied(event: Any, keyring: Keyring) -> None:
    assert authorize(event, keyring.sign_in, DEFAULT) == REFUSED_1


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "*",
        "arn:aws:execute-api:us-east-1:123456789012:abc/*/GET/monitoring/a",
        "arn:aws:execute-api:us-east-1:123456789012:*/test/GET/monitoring/a",
        "arn:aws:execute-api:us-east-1:*:abc/test/GET/monitoring/a",
        "arn:aws:execute-api:*:123456789012:abc/test/GET/monitoring/a",
        "arn:*:execute-api:us-east-1:123456789012:abc/test/GET/monitoring/a",
        "arn:aws:execute-api:us-east-1:123456789012:abc/te?t/GET/monitoring/a",
        "arn:aws:execute-api:us-east-1:123456789012:abc/${x}/GET/monitoring/a",
        "arn:aws:execute-api:us-east-1:123456789012:abc/test/GET",
        "arn:aws:execute-api:us-east-1:123456789012:abc/test/*/monitoring/a",
        "arn:aws:execute-api:us-east-1:123456789012:abc/test",
        "arn:aws:execute-api:us-east-1:123456789012:abc/test/$connect",
        "arn:aws:lambda:us-east-1:123456789012:abc/test/GET/monitoring/a",
        "x\narn:aws:execute-api:us-east-1:123456789012:abc/test/GET/monitoring/a",
    ],
)
def test_a_method_that_names_more_than_one_api_or_stage_is_denied(arn: str, keyring: Keyring) -> None:
    event = golden("rest-1.0", keyring.header(Role.OWNER, KeyType.MONITORING))
    event["methodArn"] = arn
    assert authorize(event, keyring.sign_in, DEFAULT) == REFUSED_1
    assert keyring.reads == 0


def test_events_of_other_kinds_are_denied(keyring: Keyring) -> None:
    token = {"type": "TOKEN", "authorizationToken": "x", "methodArn": golden("rest-1.0")["methodArn"]}
    assert authorize(token, keyring.sign_in, DEFAULT) == REFUSED_1
    for name, refused in (("rest-1.0", REFUSED_1), ("http-2.0", REFUSED_2)):
        event = golden(name, keyring.header(Role.OWNER, KeyType.MONITORING))
        event["type"] = "TOKEN"
        assert authorize(event, keyring.sign_in, DEFAULT) == refused
    assert keyring.reads == 0


def test_a_payload_of_one_version_marked_as_the_other_is_denied(keyring: Keyring) -> None:
    one, two = (
        golden(name, keyring.header(Role.OWNER, KeyType.MONITORING)) for name in ("http-1.0", "http-2.0")
    )
    one["version"], two["version"] = "2.0", "1.0"
    assert authorize(one, keyring.sign_in, DEFAULT) == REFUSED_2
    assert authorize(two, keyring.sign_in, DEFAULT) == REFUSED_1


NEEDED = {
    "rest-1.0": ["type", "methodArn", "requestContext", "requestContext.identity.sourceIp"],
    "http-1.0": ["type", "methodArn", "requestContext.identity", "requestContext.identity.sourceIp"],
    "http-2.0": [
        "type",
        "rawPath",
        "requestContext.http",
        "requestContext.http.method",
        "requestContext.http.sourceIp",
        "requestContext.stage",
        "requestContext.apiId",
    ],
}


@pytest.mark.parametrize(("name", "field"), [(name, each) for name, all_ in NEEDED.items() for each in all_])
@pytest.mark.parametrize("value", ["absent", None, 7, [], {}])
def test_an_event_without_a_required_field_is_denied(
    name: str, field: str, value: Any, keyring: Keyring
) -> None:
    event = golden(name, keyring.header(Role.OWNER, KeyType.PROVISIONING))
    *way, last = field.split(".")
    place = event
    for step in way:
        place = place[step]
    if value == "absent":
        del place[last]
    else:
        place[last] = value
    refused = REFUSED_2 if name == "http-2.0" else REFUSED_1
    assert authorize(event, keyring.sign_in, DEFAULT) == refused
    assert keyring.reads == 0


@pytest.mark.parametrize("headers", [[], "x", 7, {"authorization": 7}, {"authorization": None}, {"x": ["y"]}])
@pytest.mark.parametrize("name", ["rest-1.0", "http-2.0"])
def test_headers_of_the_wrong_type_are_denied(name: str, headers: Any, keyring: Keyring) -> None:
    event = golden(name)
    event["headers"] = headers
    assert authorize(event, keyring.sign_in, DEFAULT) == (REFUSED_2 if name == "http-2.0" else REFUSED_1)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYRING = Keyring()


@st.composite
def mangled(draw: st.DrawFn) -> Any:
    """A golden event in which something, somewhere, is something else."""
    name = draw(st.sampled_from(NAMES))
    role, key_type = draw(st.sampled_from(sorted(KEYRING.secrets)))
    event = golden(name, KEYRING.header(role, key_type))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = event
        while True:
            step = draw(st.sampled_from(sorted(place)))
            if not isinstance(place[step], dict) or not place[step] or draw(st.booleans()):
                break
            place = place[step]
        if draw(st.booleans()):
            place[step] = draw(ANYTHING)
        elif len(place) > 1:
            del place[step]
    return event


@settings(max_examples=200, deadline=None)
@given(mangled() | ANYTHING)
def test_no_event_raises_an_exception(event: Any) -> None:
    try:
        response = authorize(event, KEYRING.sign_in, DEFAULT)
    except Exception as signal:
        assert (type(signal), str(signal)) == (Exception, "Unauthorized")  # noqa: PT017
        return
    json.dumps(response)
    assert response.keys() <= {"principalId", "policyDocument", "context", "isAuthorized"}
    assert all(isinstance(value, str) for value in response.get("context", {}).values())
    if "policyDocument" in response:
        assert response["principalId"]
        assert response["policyDocument"]["Statement"]
    else:
        assert isinstance(response["isAuthorized"], bool)


# What is not the caller's fault


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "trouble",
    [
        Unavailable("No response in time."),
        ConnectionError("no route"),
        KeyError("x"),
        Exception("Unauthorized"),
    ],
)
def test_a_failure_allows_nothing_and_is_logged(
    name: str, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(header: str | None, source_ip: str) -> AuthContext:
        raise trouble

    caplog.set_level(logging.INFO)
    with pytest.raises(AuthorizerFailed) as failure:
        authorize(golden(name), fail, DEFAULT)
    assert "Unauthorized" not in str(failure.value)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "failed (500): nobody could be signed in")
    assert record.exc_info


def test_the_log_tells_outcomes_apart_and_no_secrets(
    keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    header = keyring.header(Role.OWNER, KeyType.MONITORING)
    for name in NAMES:
        caplog.clear()
        event = golden(name, header)
        secret = header.removeprefix("Basic ")
        authorize(asked(event, "GET", "/monitoring/clusters"), keyring.sign_in, DEFAULT)
        authorize(asked(event, "PUT", f"/monitoring/{secret}"), keyring.sign_in, DEFAULT)
        status(golden(name, basic("worker-owner", "suk_secret")), keyring.sign_in)
        authorize({**event, "type": header}, keyring.sign_in, DEFAULT)
        authorize({**event, "methodArn": header, "rawPath": [header]}, keyring.sign_in, DEFAULT)
        told = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert told[:3] == [
            ("INFO", "allowed"),
            ("INFO", "refused (403): no rule allows this key here"),
            ("INFO", "refused (401): the credentials are missing or wrong"),
        ]
        assert [level for level, _ in told[3:]] == ["WARNING", "WARNING"]
        everything = " ".join(repr(vars(record)) for record in caplog.records)
        assert caplog.records[0].keyType == "MONITORING"
        assert caplog.records[0].username == "worker-owner"
        for hidden in (header, secret, keyring.secrets[Role.OWNER, KeyType.MONITORING], "suk_secret"):
            assert hidden not in everything
