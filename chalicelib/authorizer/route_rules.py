"""Route rules: which key types and roles may call which methods and paths of other APIs.

A rule says which key types, of which role and up, may call which methods below which path. What no
rule opens stays shut, and there is no rule that shuts, so their order means nothing.

A path is judged as the API sees it: from its first slash, with upper and lower case told apart and
its percent-escapes as they are. A pattern is such a path, or the beginning of one up to a slash,
written with a ``*`` after it: ``/monitoring/*`` opens ``/monitoring/`` and everything below, but not
``/monitoring``. There is no other wildcard, because an IAM policy, in which the rules must be
expressible to the letter, knows none that stops at a slash.

A path with two dots in a row, or with what can become a dot when it is decoded twice, is denied to every
key: to some servers it means a path outside of the beginning by which it would be judged.

``python -m chalicelib.authorizer.route_rules [FILE...]`` checks rules in files, else in AUTHORIZER_RULES.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.rules.roles import KeyType, Role

VARIABLE = "AUTHORIZER_RULES"
"""The environment variable with the stack's own rules, as JSON."""

PATH_TRAVERSAL = ("..", "%2e", "%2E", "%25", "%%", "%2%")
"""Path traversal, which no path may contain: two dots, or anything that decoding can turn into a dot.

A second decoding finds a new escape only where the first one made a ``%`` or a ``2`` behind a ``%``: of an
escaped ``%``, or beside a ``%`` that starts no escape and that lenient servers leave as it is.
"""

LONGEST_PATH = 128
"""The longest pattern, in characters."""

LARGEST = 3500
"""The longest rules, in bytes of JSON: a function's environment has 4 KB for everything."""

POLICY_BUDGET = 6500
"""Characters all that one key opens may take, method by method, each with :data:`OVERHEAD`.

API Gateway takes 8 KB of answer from an authorizer; the rest of it has to fit beside this.
"""

OVERHEAD = 104
"""Characters an IAM policy puts around a method and a path: the name of the API and its stage."""


class Method(str, Enum):
    """A method of a rule. ``ANY`` is every method; GET includes HEAD (RFC 9110, 9.3.2)."""

    ANY = "ANY"
    DELETE = "DELETE"
    GET = "GET"
    HEAD = "HEAD"
    OPTIONS = "OPTIONS"
    PATCH = "PATCH"
    POST = "POST"
    PUT = "PUT"


_EVERY = tuple(method.value for method in Method if method is not Method.ANY)


class RouteRule(msgspec.Struct, frozen=True, rename="camel"):
    """A route rule: allows ``methods`` on ``path`` to keys of ``key_types`` with ``least_role`` or above."""

    path: str
    methods: tuple[Method, ...]
    key_types: tuple[KeyType, ...]
    least_role: Role

    def admits(self, key_type: KeyType, role: Role) -> bool:
        """Return whether the rule applies to a key of this type and role."""
        return key_type in self.key_types and role.covers(self.least_role)

    def spelled(self) -> tuple[str, ...]:
        """Return the rule's methods one by one."""
        if Method.ANY in self.methods:
            return _EVERY
        head = (Method.HEAD.value,) if Method.GET in self.methods else ()
        return tuple(dict.fromkeys((*(method.value for method in self.methods), *head)))

    def covers(self, path: str) -> bool:
        """Return whether the rule matches ``path``; a rule that ends in ``/*`` matches every path below."""
        return path.startswith(self.path[:-1]) if self.path.endswith("/*") else path == self.path


Rules = tuple[RouteRule, ...]

DEFAULT: Rules = (
    RouteRule("/monitoring/*", (Method.GET,), (KeyType.MONITORING,), Role.READ_ONLY),
    RouteRule("/provisioning/*", (Method.GET,), (KeyType.PROVISIONING_READONLY,), Role.READ_ONLY),
    RouteRule("/provisioning/*", (Method.ANY,), (KeyType.PROVISIONING,), Role.CLUSTER_ADMIN),
    RouteRule("/user-management/*", (Method.ANY,), (KeyType.USER_MANAGEMENT,), Role.OWNER),
)
"""The default rules (product page: roles)."""


class InvalidRules(ValueError):
    """Invalid rules. ``faults`` lists every error in them."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(f"{VARIABLE} is broken; mend it and deploy again. " + " ".join(faults))
        self.faults = faults


def is_allowed(rules: Rules, key_type: KeyType, role: Role, method: str, path: str) -> bool:
    """Return whether a key of this type and role may call ``method`` on ``path``."""
    if any(climbing in path for climbing in PATH_TRAVERSAL):
        return False
    return any(
        rule.admits(key_type, role) and method in rule.spelled() and rule.covers(path) for rule in rules
    )


def allowed_routes(rules: Rules, key_type: KeyType, role: Role) -> tuple[tuple[str, str], ...]:
    """Return all routes that a key of this type and role may call, as methods with patterns."""
    return tuple(
        dict.fromkeys(
            (method, rule.path) for rule in rules if rule.admits(key_type, role) for method in rule.spelled()
        )
    )


def load_rules(text: str | None) -> Rules:
    """Return the stack's rules from their JSON; the default rules without any.

    Raises InvalidRules where :func:`check_rules` finds fault: nothing is open by half a set.
    """
    if text is None or not text.strip():
        return DEFAULT
    rules, faults = _read(text)
    if faults:
        raise InvalidRules(faults)
    return rules


def check_rules(text: str) -> list[str]:
    """Return every error in rules as JSON, with its place and what to write instead."""
    return _read(text)[1]


_PATH = re.compile(r"/(?:(?:[A-Za-z0-9._~-]+/)*(?:[A-Za-z0-9._~-]+|\*))?")
_FIELDS: dict[str, Any] = {
    "path": str,
    "methods": tuple[Method, ...],
    "keyTypes": tuple[KeyType, ...],
    "leastRole": Role,
}
_WANTED = {
    "path": "a path such as '/clusters' or '/clusters/*'",
    "methods": "a list of " + ", ".join(Method),
    "keyTypes": "a list of " + ", ".join(KeyType),
    "leastRole": "one of " + ", ".join(Role),
}


def _read(text: str) -> tuple[Rules, list[str]]:
    try:
        listed = msgspec.json.decode(text)
        json.loads(text, object_pairs_hook=_unique_names)
    except (ValueError, RecursionError) as error:
        return (), [f"Not JSON: {error}."]
    if not isinstance(listed, list) or not listed:
        return (), ["Give a list of at least one rule."]
    rules: list[RouteRule] = []
    faults: list[str] = []
    if (size := len(text.encode())) > LARGEST:
        faults.append(
            f"All of it has {size} bytes, and {LARGEST} is the most that fits: leave out spaces, then rules."
        )
    for index, given in enumerate(listed):
        found = list(_faults(given))
        faults += [f"Rule {index + 1}{fault}" for fault in found]
        if not found:
            rules.append(msgspec.convert(given, RouteRule))
    return tuple(rules), faults or list(_too_much(tuple(rules)))


def _unique_names(pairs: list[tuple[str, Any]]) -> None:
    """Raise ValueError for a name given twice in an object: a reader may take either value."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the name '{name[:60]}' is given twice in one object")
        seen.add(name)


def _faults(given: Any) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f" is no object with {', '.join(_FIELDS)}."
        return
    for name in sorted(given.keys() - _FIELDS.keys()):
        yield f" has a field '{name}' that no rule has; there are {', '.join(_FIELDS)}."
    for name, kind in _FIELDS.items():
        try:
            value = msgspec.convert(given.get(name), kind)
        except msgspec.ValidationError:
            value = None
        if not value:
            yield f", {name}: give {_WANTED[name]}."
        elif name == "path":
            yield from (f", path: {fault}" for fault in _path_faults(value))


def _path_faults(path: str) -> Iterator[str]:
    if not _PATH.fullmatch(path):
        yield (
            f"'{path}' is not a path that starts with '/', does not end with one, has letters, digits, "
            "'-', '.', '_' and '~' between its slashes, and at most one '*', as all that is behind the last."
        )
    if ".." in path:
        yield f"'{path}' has two dots in a row, which no path that is open has."
    if len(path) > LONGEST_PATH:
        yield f"it is longer than {LONGEST_PATH} characters."


def _too_much(rules: Rules) -> Iterator[str]:
    for key_type in KeyType:
        # Whatever a lower role opens, an OWNER's key of the type opens too.
        room = sum(
            OVERHEAD + len(method) + len(path) for method, path in allowed_routes(rules, key_type, Role.OWNER)
        )
        if room > POLICY_BUDGET:
            yield (
                f"A {key_type.value} key opens more than fits in an answer to API Gateway ({room} of "
                f"{POLICY_BUDGET} characters): use fewer or shorter paths, or one path with '/*' for several."
            )


def main(files: list[str]) -> int:
    """Check the rules in files, or in the environment, and print the errors. Return the exit status."""
    texts = {file: Path(file).read_text(encoding="utf-8") for file in files}
    if own := os.environ.get(VARIABLE, "").strip():
        texts = texts or {VARIABLE: own}
    faults = [f"{name}: {fault}" for name, text in texts.items() for fault in check_rules(text)]
    for fault in faults:
        sys.stderr.write(fault + "\n")
    return 1 if faults else 0


if __name__ == "__main__":  # pragma: no cover - the tests run it as a process of its own
    sys.exit(main(sys.argv[1:]))
