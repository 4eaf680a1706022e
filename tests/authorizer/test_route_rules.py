"""Route rules: the default rules, the language of rules, and the check before deployment."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.authorizer.route_rules import (
    DEFAULT,
    InvalidRules,
    allowed_routes,
    check_rules,
    is_allowed,
    load_rules,
    main,
)
from chalicelib.rules.roles import KeyType, Role
from tests.support.catalogue import LISTED

READ_ONLY, CLUSTER_ADMIN, OWNER = Role
MONITORING, PROVISIONING_READONLY = KeyType.MONITORING, KeyType.PROVISIONING_READONLY
PROVISIONING, USER_MANAGEMENT = KeyType.PROVISIONING, KeyType.USER_MANAGEMENT
EVERY = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
ROOT = Path(__file__).parent.parent.parent


def rule(**changes: Any) -> dict[str, Any]:
    whole = {"path": "/a/*", "methods": ["GET"], "keyTypes": ["MONITORING"], "leastRole": "READ_ONLY"}
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def rules(*each: dict[str, Any]) -> str:
    return json.dumps(each)


# What docs/rules.md says of roles and key types


@pytest.mark.parametrize(
    ("key_type", "role", "path", "methods"),
    [
        (MONITORING, READ_ONLY, "/monitoring/clusters", ("GET", "HEAD")),
        (MONITORING, OWNER, "/monitoring/clusters", ("GET", "HEAD")),
        (MONITORING, OWNER, "/provisioning/clusters", ()),
        (MONITORING, OWNER, "/user-management/users", ()),
        (PROVISIONING_READONLY, READ_ONLY, "/provisioning/clusters", ("GET", "HEAD")),
        (PROVISIONING_READONLY, OWNER, "/monitoring/clusters", ()),
        (PROVISIONING, READ_ONLY, "/provisioning/clusters", ()),
        (PROVISIONING, CLUSTER_ADMIN, "/provisioning/clusters", EVERY),
        (PROVISIONING, OWNER, "/provisioning/clusters", EVERY),
        (PROVISIONING, OWNER, "/monitoring/clusters", ()),
        (USER_MANAGEMENT, CLUSTER_ADMIN, "/user-management/users", ()),
        (USER_MANAGEMENT, OWNER, "/user-management/users", EVERY),
        (USER_MANAGEMENT, OWNER, "/provisioning/clusters", ()),
    ],
)
def test_the_default_rules(key_type: KeyType, role: Role, path: str, methods: tuple[str, ...]) -> None:
    tried = (*EVERY, "TRACE", "CONNECT", "get", "ANY", "*", "")
    assert tuple(each for each in tried if is_allowed(DEFAULT, key_type, role, each, path)) == methods


@pytest.mark.parametrize(
    ("path", "open_"),
    [
        ("/monitoring/", True),
        ("/monitoring/a/b/c", True),
        ("/monitoring//a", True),
        ("/monitoring/a%20b%2Fc", True),
        ("/monitoring/2026-01-01T00:00:00Z", True),
        ("/monitoring/*", True),
        ("/monitoring/v1.2", True),
        ("/monitoring", False),
        ("/monitoringx/a", False),
        ("/Monitoring/a", False),
        ("/%6donitoring/a", False),
        ("//monitoring/a", False),
        ("monitoring/a", False),
        ("/x/monitoring/a", False),
        ("/*", False),
        ("/", False),
        ("", False),
        ("/monitoring/../user-management/users", False),
        ("/monitoring/%2e%2E/user-management/users", False),
        ("/monitoring/.%2e/user-management/users", False),
        ("/monitoring/%252e%252E/user-management/users", False),
        ("/monitoring/..%2Fuser-management/users", False),
        ("/monitoring/..;/user-management/users", False),
        ("/monitoring/..\\user-management", False),
        ("/monitoring/2026:01/../../user-management/users", False),
    ],
)
def test_paths_are_compared_exactly(path: str, open_: bool) -> None:
    assert is_allowed(DEFAULT, MONITORING, READ_ONLY, "GET", path) is open_


def test_a_path_without_a_star_is_that_path_alone() -> None:
    only = load_rules(rules(rule(path="/a/b"), rule(path="/")))
    paths = ("/a/b", "/", "/a/b/", "/a/b/c", "/a", "/a/bc")
    assert [path for path in paths if is_allowed(only, MONITORING, OWNER, "GET", path)] == ["/a/b", "/"]


def test_a_route_that_two_rules_allow_is_listed_once() -> None:
    twice = load_rules(rules(rule(), rule(methods=["HEAD", "GET", "PUT"])))
    assert allowed_routes(twice, MONITORING, READ_ONLY) == (
        ("GET", "/a/*"),
        ("HEAD", "/a/*"),
        ("PUT", "/a/*"),
    )
    assert allowed_routes(twice, PROVISIONING, OWNER) == ()


# A deployment's own


def test_a_deployment_that_says_nothing_has_the_default_rules() -> None:
    assert load_rules(None) == load_rules("") == load_rules(" \n") == DEFAULT


def test_a_deployments_rules_replace_the_default() -> None:
    own = load_rules(rules(rule(path="/x/*", methods=["ANY"], keyTypes=["PROVISIONING", "MONITORING"])))
    assert is_allowed(own, PROVISIONING, READ_ONLY, "DELETE", "/x/1")
    assert is_allowed(own, MONITORING, READ_ONLY, "DELETE", "/x/1")
    assert not is_allowed(own, MONITORING, READ_ONLY, "GET", "/monitoring/1")


@pytest.mark.default_catalogue(reason="it writes the default rules in full")
def test_the_default_rules_can_be_written_by_a_deployment() -> None:
    text = json.dumps(
        [
            {
                "path": "/monitoring/*",
                "methods": ["GET"],
                "keyTypes": ["MONITORING"],
                "leastRole": "READ_ONLY",
            },
            {
                "path": "/provisioning/*",
                "methods": ["GET"],
                "keyTypes": ["PROVISIONING_READONLY"],
                "leastRole": "READ_ONLY",
            },
            {
                "path": "/provisioning/*",
                "methods": ["ANY"],
                "keyTypes": ["PROVISIONING"],
                "leastRole": "CLUSTER_ADMIN",
            },
            {
                "path": "/user-management/*",
                "methods": ["ANY"],
                "keyTypes": ["USER_MANAGEMENT"],
                "leastRole": "OWNER",
            },
        ]
    )
    assert check_rules(text) == []
    assert load_rules(text) == DEFAULT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", ["Not JSON"]),
        ('[{"path": "/metrics", "path": "/*"}]', ["Not JSON: the name 'path' is given twice"]),
        ('[{"leastRole": "OWNER", "leastRole": "READ_ONLY"}]', ["the name 'leastRole' is given twice"]),
        ("[" * 100_000, ["Not JSON"]),
        ("\udcff", ["Not JSON"]),
        ("{}", ["at least one rule"]),
        ("[]", ["at least one rule"]),
        ("null", ["at least one rule"]),
        ("[1]", ["Rule 1 is no object"]),
        (rules(rule(), rule(why="because")), ["Rule 2 has a field 'why'"]),
        (rules(rule(path=None)), ["Rule 1, path: give a path"]),
        (rules(rule(path=7)), ["Rule 1, path: give a path"]),
        (rules(rule(path="")), ["Rule 1, path: give a path"]),
        (rules(rule(methods=[])), ["Rule 1, methods: give a list of ANY, DELETE, GET"]),
        (rules(rule(methods="GET")), ["Rule 1, methods"]),
        (rules(rule(methods=["GET", "TRACE"])), ["Rule 1, methods"]),
        (rules(rule(methods=["*"])), ["Rule 1, methods"]),
        (rules(rule(methods=["get"])), ["Rule 1, methods"]),
        (rules(rule(keyTypes=[])), [f"Rule 1, keyTypes: give a list of {LISTED['OWNER']}"]),
        (rules(rule(keyTypes=["ROOT"])), ["Rule 1, keyTypes"]),
        (rules(rule(leastRole="ADMIN")), ["Rule 1, leastRole: give one of READ_ONLY, CLUSTER_ADMIN, OWNER"]),
        (rules(rule(leastRole=None)), ["Rule 1, leastRole"]),
        (
            rules(rule(path="x", methods=[], keyTypes=["X"], leastRole="X", y=1, z=1), rule(), rule(path="")),
            [
                "Rule 1 has a field 'y'",
                "Rule 1 has a field 'z'",
                "Rule 1, path: 'x'",
                "Rule 1, methods",
                "Rule 1, keyTypes",
                "Rule 1, leastRole",
                "Rule 3, path",
            ],
        ),
        (rules(rule(path="/" + "a" * 127)), []),
        (rules(rule(path="/" + "a" * 128)), ["Rule 1, path: it is longer than 128"]),
    ],
)
def test_the_check_names_every_fault_and_what_to_write(text: str, said: list[str]) -> None:
    faults = check_rules(text)
    assert len(faults) == len(said)
    for fault, words in zip(faults, said, strict=True):
        assert fault.startswith(words) or words in fault


@pytest.mark.parametrize("path", ["/", "/*", "/a", "/a/*", "/a/b/*", "/a.b_c-d~e/F9/*"])
def test_a_rule_with_such_a_path_is_accepted(path: str) -> None:
    assert check_rules(rules(rule(path=path))) == []


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "/a/",
        "//",
        "/a//b",
        "/a*",
        "/*/a",
        "/a/*/b",
        "/a/**",
        "/a/*x",
        "/a?b",
        "/a/{id}",
        "/a%20b",
        "/a%2F*",
        "/a:b",
        "${*}",
        "/${*}",
        "/$x",
        "/a\\b",
        "/../a",
        "/a/..b",
        "*",
        "\n",
        "/a\n",
        "/a/*\n",
        "/ä",
    ],
)
def test_a_rule_with_such_a_path_is_refused(path: str) -> None:
    assert check_rules(rules(rule(path=path)))
    with pytest.raises(InvalidRules):
        load_rules(rules(rule(path=path)))


def test_more_than_api_gateway_takes_is_refused() -> None:
    many = [rule(path=f"/path-{number}/*", methods=["ANY"]) for number in range(20)]
    (fault,) = check_rules(json.dumps(many))
    assert "A MONITORING key is allowed more than fits" in fault
    assert check_rules(json.dumps(many[:5])) == []


def test_more_than_a_functions_environment_takes_is_refused() -> None:
    spaced = json.dumps([rule()]).replace(" ", " " * 1000)
    assert check_rules(spaced) == [
        f"All of it has {len(spaced)} bytes, and 3500 is the most that fits: leave out spaces, then rules."
    ]
    assert check_rules(json.dumps([rule()]) + " " * (3500 - len(json.dumps([rule()])))) == []


def test_loading_invalid_rules_raises_every_error() -> None:
    with pytest.raises(
        InvalidRules, match=r"AUTHORIZER_RULES is invalid.*Rule 2, methods.*Rule 3, path"
    ) as broken:
        load_rules(rules(rule(), rule(methods=[]), rule(path="a")))
    assert len(broken.value.errors) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "methods", "keyTypes", "leastRole"]) | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
)


@settings(deadline=None)
@given(st.text() | JSON.map(json.dumps) | st.lists(JSON, min_size=1, max_size=3).map(json.dumps))
def test_any_text_is_checked_and_loads_only_without_fault(text: str) -> None:
    faults = check_rules(text)
    if faults and text.strip():
        with pytest.raises(InvalidRules) as broken:
            load_rules(text)
        assert broken.value.errors == faults
    else:
        assert load_rules(text)


# The command


def test_the_command_checks_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHORIZER_RULES", "nonsense")
    good, bad, empty = (tmp_path / name for name in ("good", "bad", "empty"))
    good.write_text(rules(rule()))
    bad.write_text(rules(rule(path="x", methods=[])))
    empty.write_text("")
    assert main([str(good)]) == 0
    assert capsys.readouterr().err == ""
    assert main([str(good), str(bad), str(empty)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in told] == [str(bad), str(bad), str(empty)]
    assert "Rule 1, path" in told[0]


@pytest.mark.parametrize(
    ("variable", "status"), [(None, 0), ("", 0), (rules(rule()), 0), ("[]", 1), (rules(rule(path="x")), 1)]
)
def test_the_command_checks_the_environment(
    variable: str | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is None:
        monkeypatch.delenv("AUTHORIZER_RULES", raising=False)
    else:
        monkeypatch.setenv("AUTHORIZER_RULES", variable)
    assert main([]) == status


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text("[]")
    ran = subprocess.run(
        [sys.executable, "-m", "chalicelib.authorizer.route_rules", str(tmp_path / "rules.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "at least one rule" in ran.stderr
    assert "Traceback" not in ran.stderr
