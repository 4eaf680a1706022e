"""Route rules: which key types and roles may call which methods and paths of other APIs.

A rule allows key types, with a lowest role, to call methods on a path. A request that no rule allows is
denied. No rule denies, so the order of the rules has no meaning.

A path is matched as the API sees it: from its first slash, case-sensitive, with its percent-escapes
unchanged. A pattern is a path, or a prefix up to a slash followed by ``*``: ``/monitoring/*`` matches
``/monitoring/`` and everything below, but not ``/monitoring``. There is no other wildcard, because the rules
must be expressible exactly as an IAM policy, and IAM has no wildcard that stops at a slash.

A path with two dots in a row, or with anything that becomes a dot when it is decoded twice, is denied to
every key: to some servers it means a path outside of the prefix that it matches. So is one with a form that
only some servers take for a dot or a slash, but for payload 1.0 (:data:`ODD_TRAVERSAL`).

``python -m chalicelib.authorizer.route_rules [FILE...]`` checks rules in files, else in AUTHORIZER_RULES.
"""

import json
import os
import re
import sys
from collections.abc import Collection, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.rules.catalogue import CATALOGUE, Catalogue
from chalicelib.rules.names import with_article
from chalicelib.rules.roles import KeyType, Role

VARIABLE = "AUTHORIZER_RULES"
"""The environment variable with the stack's own rules, as JSON."""

PATH_TRAVERSAL = ("..", "%2e", "%2E", "%25", "%%", "%2%")
"""Path traversal, which no path may contain: two dots, or anything that decoding can turn into a dot.

A second decoding finds a new escape only if the first one made a ``%``, or a ``2`` after a ``%``: from an
escaped ``%``, or next to a ``%`` that starts no escape, which lenient servers leave as it is.
"""

ODD_TRAVERSAL = re.compile(
    r"%[0-9a-f]?%|%c[01]|%e0(?!%[ab])|%f0(?!%[9ab])|%f[5-9a-f]|%u"
    r"|%ef%bc%(?:85|8e|8f|bc)|%ef%b8%b0|%ef%b9%(?:92|a8|aa)|%e2%80%a[45]|[\uff05\uff0e\uff0f\uff3c\ufe52\ufe68\ufe6a\u2024\u2025\ufe30]",
    re.IGNORECASE,
)
"""What only some servers take for a dot or a slash, or for the percent sign of an escape.

Bytes that UTF-8 never has, such as the overlong ``%c0%ae``; ``%u002e``; and characters whose compatibility
form (NFKC) is one, such as fullwidth ones. A policy has no room for all of these, so where API Gateway
evaluates one (payload 1.0) they are not denied.
"""

MAX_PATH = 128
"""The longest pattern, in characters."""

MAX_RULES_BYTES = 3500
"""The longest rules, in bytes of JSON: a function's environment has 4 KB for everything."""

POLICY_BUDGET = 6500
"""The most characters of all routes that one key may call, each method by itself, with :data:`OVERHEAD`.

API Gateway accepts a response of 8 KB from an authorizer; its other parts have to fit too.
"""

OVERHEAD = 104
"""Characters that an IAM policy adds to each method and path: the ARN of the API and its stage."""


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

    def expanded_methods(self) -> tuple[str, ...]:
        """Return the rule's methods, with ANY expanded, and HEAD wherever there is GET."""
        if Method.ANY in self.methods:
            return _EVERY
        head = (Method.HEAD.value,) if Method.GET in self.methods else ()
        return tuple(dict.fromkeys((*(method.value for method in self.methods), *head)))

    def covers(self, path: str) -> bool:
        """Return whether the rule matches ``path``; a rule that ends in ``/*`` matches every path below."""
        return path.startswith(self.path[:-1]) if self.path.endswith("/*") else path == self.path


Rules = tuple[RouteRule, ...]


def rules_of(catalogue: Catalogue) -> Rules:
    """Return the rules that a catalogue gives by what its key types open."""
    return tuple(
        RouteRule(
            opening.path,
            tuple(map(Method, opening.methods)),
            (KeyType(entry.name),),
            Role(opening.least_role),
        )
        for entry in catalogue.key_types
        for opening in entry.opens
    )


DEFAULT: Rules = rules_of(CATALOGUE)
"""The rules of a stack that was given none: what its catalogue opens (product page: roles)."""

NAMES: Collection[str] = tuple(KeyType)
"""The names of this stack's key types."""


class InvalidRules(ValueError):
    """The rules are invalid. ``errors`` lists every error in them."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(f"{VARIABLE} is invalid; correct it and deploy again. " + " ".join(errors))
        self.errors = errors


def is_allowed(rules: Rules, key_type: KeyType, role: Role, method: str, path: str) -> bool:
    """Return whether a key of this type and role may call ``method`` on ``path``."""
    if any(traversal in path for traversal in PATH_TRAVERSAL) or ODD_TRAVERSAL.search(path):
        return False
    return any(
        rule.admits(key_type, role) and method in rule.expanded_methods() and rule.covers(path)
        for rule in rules
    )


def allowed_routes(rules: Rules, key_type: KeyType, role: Role) -> tuple[tuple[str, str], ...]:
    """Return all routes that a key of this type and role may call, as methods with patterns."""
    return tuple(
        dict.fromkeys(
            (method, rule.path)
            for rule in rules
            if rule.admits(key_type, role)
            for method in rule.expanded_methods()
        )
    )


def load_rules(text: str | None, names: Collection[str] | None = NAMES) -> Rules:
    """Return the stack's rules from their JSON, or the default rules if there is none.

    ``names`` are as for :func:`check_rules`. Raises InvalidRules if that finds any error: part of the rules
    must not apply alone.
    """
    if text is None or not text.strip():
        return DEFAULT
    rules, errors = _read(text, names)
    if errors:
        raise InvalidRules(errors)
    return rules


def check_rules(text: str, names: Collection[str] | None = NAMES) -> list[str]:
    """Return every error in rules as JSON, with its place and what to write instead.

    ``names`` are the key types that there are; None if that is not known, and every name passes.
    """
    return _read(text, names)[1]


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
    "leastRole": "one of " + ", ".join(Role),
}


def _read(text: str, names: Collection[str] | None) -> tuple[Rules, list[str]]:
    try:
        listed = msgspec.json.decode(text)
        json.loads(text, object_pairs_hook=unique_names)
    except (ValueError, RecursionError) as error:
        return (), [f"Not JSON: {error}."]
    if not isinstance(listed, list) or not listed:
        return (), ["Give a list of at least one rule."]
    rules: list[RouteRule] = []
    errors: list[str] = []
    if (size := len(text.encode())) > MAX_RULES_BYTES:
        errors.append(
            f"All of it has {size} bytes, and {MAX_RULES_BYTES} is the most that fits: "
            "leave out spaces, then rules."
        )
    for index, given in enumerate(listed):
        found = list(rule_errors(given, names))
        errors += [f"Rule {index + 1}{error}" for error in found]
        if not found:
            rules.append(msgspec.convert(given, RouteRule))
    return tuple(rules), errors or list(size_errors(tuple(rules)))


def unique_names(pairs: list[tuple[str, Any]]) -> None:
    """Raise ValueError for a name given twice in an object: a reader may take either value."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the name '{name[:60]}' is given twice in one object")
        seen.add(name)


def rule_errors(given: Any, names: Collection[str] | None) -> Iterator[str]:
    """Yield every error of one rule, as read from JSON. ``names`` are as for :func:`check_rules`."""
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
        if name == "keyTypes" and not (value and (names is None or set(value) <= set(names))):
            yield f", keyTypes: give a list of {', '.join(names or ('key types',))}."
        elif not value:
            yield f", {name}: give {_WANTED[name]}."
        elif name == "path":
            yield from (f", path: {error}" for error in _path_errors(value))


def _path_errors(path: str) -> Iterator[str]:
    if not _PATH.fullmatch(path):
        yield (
            f"'{path}' is not a path that starts with '/', does not end with one, has letters, digits, "
            "'-', '.', '_' and '~' between its slashes, and at most one '*', as all that is behind the last."
        )
    if ".." in path:
        yield f"'{path}' has two dots in a row, which no allowed path has."
    if len(path) > MAX_PATH:
        yield f"it is longer than {MAX_PATH} characters."


def size_errors(rules: Rules) -> Iterator[str]:
    """Yield an error for each key type whose keys are allowed more than fits in the authorizer's response."""
    for key_type in dict.fromkeys(key_type for rule in rules for key_type in rule.key_types):
        # An OWNER's key may call whatever a key of the type with a lower role may.
        size = sum(
            OVERHEAD + len(method) + len(path) for method, path in allowed_routes(rules, key_type, Role.OWNER)
        )
        if size > POLICY_BUDGET:
            yield (
                f"{with_article(key_type.value, 'A')} key is allowed more than fits in a response to API "
                f"Gateway ({size} of {POLICY_BUDGET} characters): use fewer or shorter paths, or one path "
                "with '/*' for several."
            )


def main(files: list[str]) -> int:
    """Check the rules in files, or in the environment, and print the errors. Return the exit status."""
    texts = {file: Path(file).read_text(encoding="utf-8") for file in files}
    if own := os.environ.get(VARIABLE, "").strip():
        texts = texts or {VARIABLE: own}
    errors = [f"{name}: {error}" for name, text in texts.items() for error in check_rules(text)]
    for error in errors:
        sys.stderr.write(error + "\n")
    return 1 if errors else 0


if __name__ == "__main__":  # pragma: no cover - the tests run it as a process of its own
    sys.exit(main(sys.argv[1:]))
