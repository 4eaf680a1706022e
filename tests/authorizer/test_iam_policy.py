"""The policy of a REST API, the simple response of an HTTP API and the rules say the same of every path.

But for odd spellings of a dot or slash (``ODD_TRAVERSAL``), for which a policy has no room.
"""

import itertools
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from chalicelib.authorizer.gateway import authorize
from chalicelib.authorizer.route_rules import (
    DEFAULT,
    OVERHEAD,
    POLICY_BUDGET,
    Rules,
    check_rules,
    is_allowed,
    load_rules,
)
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.credentials import PresentedKey
from chalicelib.rules.model import ServiceUser
from chalicelib.rules.roles import KeyType, Role
from local.iam import allows

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
STAGES = [
    "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test",
    "arn:aws-cn:execute-api:cn-north-1:123456789012:a1b2c3d4e5/$default",
]
LADDER = [role.value for role in Role]

segments = st.sampled_from(["a", "b", "GET", "monitoring", "x.y", "~", "-", "."])
patterns = st.builds(
    lambda parts, end: "/" + "/".join([*parts, *end]),
    st.lists(segments, max_size=3),
    st.sampled_from([[], ["*"]]),
)
rule = st.fixed_dictionaries(
    {
        "path": patterns,
        "methods": st.lists(st.sampled_from([*METHODS, "ANY"]), min_size=1, max_size=2),
        "keyTypes": st.lists(st.sampled_from([each.value for each in KeyType]), min_size=1, max_size=4),
        "leastRole": st.sampled_from(LADDER),
    }
)
rule_sets = st.lists(rule, min_size=1, max_size=5)
keys = st.tuples(st.sampled_from(KeyType), st.sampled_from([*Role, Role.OWNER, Role.OWNER]))
# fmt: off
pieces = st.sampled_from([
    "a", "b", "GET", "monitoring", "x.y", "~", "-", ".", "..", "*", "?", "**", "/", "//", ":", "%2e", "%2E",
    "%252e", "%252E", "%2F", "%3A", "%2a", "%3f", "%25", "%2", "%", "A", "é", "\n", ";", ".%2e", ".:", "${*}",
    "x:y/../z", "x:y:z%2E", "..:", "${aws:username}", "$default",
    "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/a",
])
# fmt: on


@st.composite
def paths(draw: st.DrawFn, rules: list[dict[str, Any]]) -> str:
    """A path at a rule, near one, or anywhere; with everything in it that could mean something."""
    path: str = draw(st.sampled_from([each["path"] for each in rules] + ["/"]))
    path = path.removesuffix(draw(st.sampled_from(["", "*", "*", "/*"]))) or "/"
    for piece in draw(st.lists(pieces, max_size=draw(st.sampled_from([0, 1, 2, 5])))):
        at = len(path) if draw(st.booleans()) else draw(st.integers(1, len(path)))
        path = path[:at] + draw(st.sampled_from(["", "/"])) + piece + path[at:]
    return path


def means(rules: list[dict[str, Any]], key_type: KeyType, role: Role, method: str, path: str) -> bool:
    """Return what the rules as they are written mean, read with another pair of eyes."""
    lower = path.lower()
    if ".." in path or any(shut in lower for shut in ("%2e", "%25", "%%", "%2%")):
        return False
    for each in rules:
        methods = set(each["methods"])
        if "ANY" in methods:
            methods = set(METHODS)
        if "GET" in methods:
            methods.add("HEAD")
        beginning, star, _ = each["path"].partition("*")
        below = path[: len(beginning)] == beginning and (star or len(path) == len(beginning))
        ranks = LADDER.index(role.value) >= LADDER.index(each["leastRole"])
        if below and method in methods and key_type.value in each["keyTypes"] and ranks:
            return True
    return False


def signed_in(key_type: KeyType, role: Role) -> Any:
    caller = ServiceUser(
        username="worker", account="acct", email="r@example.com", role=role, version="1", created_at=1, id="i"
    )
    return lambda header, source_ip: AuthContext(
        caller, PresentedKey(key_type, b""), Origin(source_ip, "r", 1.0)
    )


def asks_1(stage: str, method: str, path: str) -> dict[str, Any]:
    return {
        "type": "REQUEST",
        "methodArn": f"{stage}/{method}{path}",
        "requestContext": {"identity": {"sourceIp": "192.0.2.1"}},
    }


def asks_2(method: str, path: str) -> dict[str, Any]:
    http = {"method": method, "path": path, "sourceIp": "192.0.2.1"}
    return {
        "version": "2.0",
        "type": "REQUEST",
        "rawPath": path,
        "requestContext": {"http": http, "apiId": "abcdef123", "stage": "$default"},
    }


def policy(rules: Rules, key_type: KeyType, role: Role, stage: str, path: str = "/x") -> dict[str, Any]:
    document = authorize(asks_1(stage, "GET", path), signed_in(key_type, role), rules)["policyDocument"]
    assert isinstance(document, dict)
    return document


@settings(max_examples=200, deadline=None)
@given(st.data(), rule_sets, keys, st.sampled_from(STAGES))
def test_policy_response_and_rules_agree_path_by_path(
    data: st.DataObject, written: list[dict[str, Any]], key: tuple[KeyType, Role], stage: str
) -> None:
    rules = load_rules(json.dumps(written))
    key_type, role = key
    document = policy(rules, key_type, role, stage, data.draw(paths(written)))
    for _ in range(8):
        path = data.draw(paths(written))
        method = data.draw(st.sampled_from([*METHODS, "GET", "GET", "TRACE", "ANY", "get"]))
        meant = means(written, key_type, role, method, path)
        event(f"open: {meant}")
        resource = f"{stage}/{method}{path}"
        said = {
            "rules": is_allowed(rules, key_type, role, method, path),
            "policy": allows(document, "execute-api:Invoke", resource),
            "policy, loosely": allows(document, "execute-api:Invoke", resource, loose=True),
            "response": authorize(asks_2(method, path), signed_in(key_type, role), rules)["isAuthorized"],
        }
        assert set(said.values()) == {meant}, (method, path, said)


@settings(deadline=None)
@given(rule_sets, keys, st.sampled_from(METHODS))
def test_a_policy_is_for_nothing_but_its_stage_and_for_calling(
    written: list[dict[str, Any]], key: tuple[KeyType, Role], method: str
) -> None:
    document = policy(load_rules(json.dumps(written)), *key, STAGES[0])
    for each in written:
        path = each["path"].replace("*", "a")
        for resource in (
            STAGES[0].replace("abcdef123", "abcdef1234"),
            STAGES[0].replace("/test", "/tes"),
            STAGES[0].replace("/test", "/test2"),
            STAGES[0].replace("us-east-1", "us-east-2"),
            STAGES[0].replace("123456789012", "210987654321"),
            f"{STAGES[0]}/other",
        ):
            assert not allows(document, "execute-api:Invoke", f"{resource}/{method}{path}", loose=True)
        at = f"{STAGES[0]}/{method}{path}"
        assert not allows(document, "execute-api:InvalidateCache", at, loose=True)


@pytest.mark.parametrize("path", ["/p", "/" + "p" * 123])
def test_rules_that_pass_the_check_fit_in_a_policy(path: str) -> None:
    """API Gateway takes 8 KB; the longest names of partition, region, stage and caller are tried here."""
    written: list[dict[str, Any]] = []
    for number in range(100):
        more = [
            *written,
            {
                "path": f"{path}{number:02}/*",
                "methods": ["GET" if number % 3 else "ANY"],
                "keyTypes": [each.value for each in KeyType],
                "leastRole": "READ_ONLY",
            },
        ]
        if check_rules(json.dumps(more)):
            break
        written = more
    assert len(written) > POLICY_BUDGET / (7 * (OVERHEAD + len(path) + 10))
    stage = "arn:aws-us-gov:execute-api:ap-southeast-2:123456789012:abcdefghij/" + "s" * 32
    caller = ServiceUser(
        username="u" * 64,
        account="6f0f9a9e-3a7c-4d51-9b6e-0b1f5f3f2a10",
        email="",
        role=Role.CLUSTER_ADMIN,
        version="1",
        created_at=1,
        id="i",
    )
    auth = AuthContext(
        caller, PresentedKey(KeyType.PROVISIONING_READONLY, b""), Origin("192.0.2.1", "r", 1.0)
    )
    response = authorize(asks_1(stage, "GET", "/x"), lambda *_: auth, load_rules(json.dumps(written)))
    assert len(json.dumps(response)) <= 8192
    for statement in response["policyDocument"]["Statement"]:
        assert all(len(resource) <= 512 for resource in statement["Resource"])


# Every spelling of a dot segment


def decoded(path: str) -> str:
    """Decode a path once as lenient servers do: what is no escape stays as it is."""
    return re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), path)


def spellings(text: str) -> set[str]:
    """Return every way to write ``text`` so that one lenient decoding gives it back."""
    each = [{character, f"%{ord(character):02x}", f"%{ord(character):02X}"} for character in text]
    written = {"".join(parts) for parts in itertools.product(*each)}
    return {one for one in written if decoded(one) == text}


GREEDY = policy(DEFAULT, KeyType.MONITORING, Role.READ_ONLY, STAGES[0])
ONCE = spellings(".")
TWICE = {again for once in ONCE for again in spellings(once)}
DOTS = ONCE | TWICE


def test_the_spellings_are_those_that_decode_to_a_dot() -> None:
    assert {"%2e", "%252e", "%25%32%65", "%%32e", "%2%65", "%%32%65", "%252%45"} <= DOTS
    assert all("." in (dot, decoded(dot), decoded(decoded(dot))) for dot in DOTS)
    assert len(DOTS) > 15


@pytest.mark.parametrize("first", sorted(DOTS))
def test_no_spelling_of_a_dot_segment_leads_out_of_what_a_key_opens(first: str) -> None:
    """A backend behind a greedy route may decode a path twice; each dot is written on its own."""
    for second in sorted(DOTS):
        path = f"/monitoring/{first}{second}/user-management/users"
        assert not is_allowed(DEFAULT, KeyType.MONITORING, Role.READ_ONLY, "GET", path)
        resource = f"{STAGES[0]}/GET{path}"
        assert not allows(GREEDY, "execute-api:Invoke", resource)


def overlong(character: str, length: int) -> str:
    """Return a character in more bytes of UTF-8 than it needs, escaped."""
    code, tail = ord(character), []
    for _ in range(length - 1):
        tail.append(0x80 | code & 0x3F)
        code >>= 6
    first = (0xFF << (8 - length) & 0xFF) | code
    return "".join(f"%{byte:02x}" for byte in (first, *reversed(tail)))


def escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


MEANT = ("..", ".", "/", "\\", "%")
COMPATIBLE = [
    chr(code)
    for code in range(0x80, sys.maxunicode + 1)
    if not 0xD800 <= code < 0xE000 and unicodedata.normalize("NFKC", chr(code)) in MEANT
]
"""Every character that normalization makes a dot, a slash, a backslash or a percent sign."""

ODD = sorted(
    {overlong(one, length) for one in "./\\%" for length in range(2, 7)}
    | {f"%u{code:04x}" for code in (*map(ord, "./\\%"), *map(ord, COMPATIBLE))}
    | {f"%c{bits:x}%{low:02x}" for bits in (0, 1) for low in range(0x100)}
    | {f"%e0%{low:02x}%ae" for low in range(0xA0)}
    | {escaped(one) for one in COMPATIBLE}
)


def test_the_odd_spellings_are_those_that_are_known() -> None:
    known = "%c0%ae %c0%2e %c0%af %c1%9c %e0%80%ae %e0%40%ae %f0%80%80%ae %u002e %u002f %ef%bc%8e %ef%bc%8f"
    assert set(known.split()) <= set(ODD)
    assert set("\uff0e\uff0f\uff3c\u2024\u2025") <= set(COMPATIBLE)


def test_no_odd_spelling_of_a_dot_or_slash_is_allowed() -> None:
    """In any case of the digits, and also if it becomes one by a first decoding."""
    for odd in ODD:
        again = {odd.replace("%", "%25"), odd.replace("%", "%%32%35")}
        again |= {odd[:at] + escaped(odd[at]) + odd[at + 1 :] for at in range(len(odd))}
        for one in {odd, odd.upper(), odd.title(), *again}:
            path = f"/monitoring/{one}{one}/user-management/users"
            assert not is_allowed(DEFAULT, KeyType.MONITORING, Role.READ_ONLY, "GET", path), one
    for one in COMPATIBLE:
        assert not is_allowed(DEFAULT, KeyType.MONITORING, Role.READ_ONLY, "GET", f"/monitoring/{one}")


@pytest.mark.parametrize("write", [str, escaped, lambda text: escaped(text).upper()])
def test_every_other_character_is_allowed(write: Callable[[str], str]) -> None:
    """Beside others too: no end of one and beginning of the next is taken for a spelling."""
    ordinary = [
        chr(code)
        for code in range(0xA0, sys.maxunicode + 1)
        if unicodedata.category(chr(code))[0] in "LMNPSZ" and chr(code) not in COMPATIBLE
    ]
    for start in range(0, len(ordinary), 50):
        path = "/monitoring/" + write("".join(ordinary[start : start + 50]))
        assert is_allowed(DEFAULT, KeyType.MONITORING, Role.READ_ONLY, "GET", path), ordinary[start]


@pytest.mark.parametrize("path", ["/a%20b", "/a%2Fb", "/v1.2/x", "/%C3%A9", "/100%", "/a.b.c"])
def test_a_path_with_ordinary_escapes_is_allowed(path: str) -> None:
    assert is_allowed(DEFAULT, KeyType.MONITORING, Role.READ_ONLY, "GET", f"/monitoring{path}")
    assert allows(GREEDY, "execute-api:Invoke", f"{STAGES[0]}/GET/monitoring{path}")
