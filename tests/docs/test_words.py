"""Checks that the contract, errors and docstrings use one word for one thing, as docs/glossary.md defines."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = [
    ROOT / "app.py",
    *(
        path
        for room in ("chalicelib", "contract", "deploy", "local", "clients", "examples", "bench", "tests")
        for path in sorted((ROOT / room).rglob("*.py"))
        if ".venv" not in path.parts and "build" not in path.parts
    ),
]
CONTRACT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))

NOT_IN_THE_CONTRACT = (
    r"\brobots?\b|\bbot users?\b",  # Service User
    r"\btenanc(y|ies)\b|\borganisations?\b",  # account
    r"\bin the clear\b",  # secret
    r"\bfresh (invitation|token)",  # new
    r"\b(is|are|be|was) (dead|gone|over)\b",  # expired, revoked, deleted
    r"\btaken? away\b|\bkill(ed|s)?\b",  # revoke
    r"\bhand(s|ed)? out\b",  # issue
    r"(?<!there )\bis no\b(?! longer)",  # is not a
    r"\bstands twice\b",
    r"\bpeople read\b",  # display name
    r"\bquote to us\b|\bon our side\b",
    r"\blog(ged|s)? in\b",  # sign in
)
"""Words that customers must not read: synonyms of glossary terms, and phrases that are not plain English."""

NOT_IN_AN_ERROR = NOT_IN_THE_CONTRACT


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Return every docstring of a file, and where it is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def texts(value: Any) -> Iterator[str]:
    """Return a document's texts: descriptions, summaries and details of problems."""
    if isinstance(value, dict):
        for name, it in value.items():
            if name in ("description", "summary", "detail") and isinstance(it, str):
                yield it
            else:
                yield from texts(it)
    elif isinstance(value, list):
        for it in value:
            yield from texts(it)


def sentences(path: Path) -> Iterator[tuple[str, str]]:
    """Return the texts of errors that a file raises: the strings in calls of the errors' names."""
    kinds = {
        "ValidationError",
        "FieldError",
        "Conflict",
        "ConcurrentChange",
        "Forbidden",
        "NotFound",
        "PreconditionFailed",
        "Unauthenticated",
        "Unavailable",
        "HttpError",
    }
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in kinds:
            parts = [
                it.value
                for it in ast.walk(node)
                if isinstance(it, ast.Constant) and isinstance(it.value, str)
            ]
            yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(parts)


def found(patterns: tuple[str, ...], where: str, text: str) -> list[str]:
    return [
        f"{where}: {match[0]!r} in {text!r}"
        for pattern in patterns
        if (match := re.search(pattern, text, re.IGNORECASE))
    ]


def test_no_docstring_begins_with_answer() -> None:
    assert [where for path in CODE for where, text in docstrings(path) if text.startswith("Answer")] == []


def test_the_contract_uses_the_words_of_the_glossary() -> None:
    assert [hit for text in texts(CONTRACT) for hit in found(NOT_IN_THE_CONTRACT, "openapi.json", text)] == []


def test_errors_use_the_words_of_the_glossary() -> None:
    errors = [it for path in CODE if path.is_relative_to(ROOT / "chalicelib") for it in sentences(path)]
    assert len(errors) > 50
    assert [hit for where, text in errors for hit in found(NOT_IN_AN_ERROR, where, text)] == []


@pytest.mark.parametrize(
    "text", ["The key is dead.", "A key is taken away", "It is no key", "The key, in the clear"]
)
def test_a_second_word_is_found(text: str) -> None:
    assert found(NOT_IN_THE_CONTRACT, "here", text)
