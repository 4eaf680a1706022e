"""Evaluates the filter patterns of CloudWatch Logs' metric filters on lines of JSON.

Supports what the template's patterns use and refuses everything else: ``&&``, ``||`` and parentheses;
``=`` and ``!=`` with a string, in which ``*`` matches anything; ``= *``; ``NOT EXISTS``. A comparison with
a field that a line does not have is false (CloudWatch Logs user guide, "Filter pattern syntax").
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

_TOKEN = re.compile(r'\s*(\(|\)|&&|\|\||!=|=|NOT\b|EXISTS\b|\$(?:\.\w+)+|"[^"]*"|\*)')


def matches(pattern: str, line: Mapping[str, Any]) -> bool:
    """Return whether a line of JSON matches a filter pattern. Raise ValueError for what is not known here."""
    whole = re.fullmatch(r"\{(.*)\}", pattern.strip(), re.DOTALL)
    if whole is None:
        raise ValueError(f"Not a pattern for JSON: {pattern}")
    tokens = _tokens(whole[1])
    result = _any_of(tokens, line)
    if tokens:
        raise ValueError(f"Cannot evaluate {tokens[0]!r} here.")
    return result


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"Cannot evaluate {text[at:]!r}.")
        found.append(token[1])
        at = token.end()
    return found


def _any_of(tokens: list[str], line: Mapping[str, Any]) -> bool:
    result = _all_of(tokens, line)
    while tokens and tokens[0] == "||":
        tokens.pop(0)
        result = _all_of(tokens, line) or result
    return result


def _all_of(tokens: list[str], line: Mapping[str, Any]) -> bool:
    result = _term(tokens, line)
    while tokens and tokens[0] == "&&":
        tokens.pop(0)
        result = _term(tokens, line) and result
    return result


def _term(tokens: list[str], line: Mapping[str, Any]) -> bool:
    first = tokens.pop(0)
    if first == "(":
        result = _any_of(tokens, line)
        if tokens.pop(0) != ")":
            raise ValueError("A parenthesis is not closed.")
        return result
    value: Any = line
    for name in first.removeprefix("$.").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    operator, operand = tokens.pop(0), tokens.pop(0)
    if (operator, operand) == ("NOT", "EXISTS"):
        return value is None
    if value is None:
        return False
    equal = fnmatchcase(str(value), operand.strip('"').replace("[", "[[]"))
    return {"=": equal, "!=": not equal}[operator]
