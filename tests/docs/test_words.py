"""Checks that everything that is written here uses one word for one thing, as docs/glossary.md defines."""

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
        if not {".venv", "build", "generated"} & set(path.parts)
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

SECOND_WORDS = {
    "account": r"\btenan(?:t|ts|cy|cies)\b|\borgani[sz]ations?\b",
    "Service User": r"\brobots?\b(?! face)|\bbot users?\b",
    "secret": r"\bin the clear\b",
    "console": r"\bportals?\b",
    "sign in": r"\blog(?:s|ged|ging)? in ?(?:to )?(?:the )?(?:console|api)\b|\b(?:console|user) logins?\b",
    "confirm": r"\bstep[- ]?up\b",
    "issue": r"\bhand(?:s|ed|ing)? out\b",
    "generate": r"\bmint(?:s|ed|ing)\b",
    "revoke": r"\b(?:take|takes|taken|taking) away\b"
    r"|\bkill(?:s|ed|ing)? (?:a|the|its|their|every|this) (?:key|token|session)",
    "expired": r"\b(?:keys?|tokens?|sessions?|invitations?) (?:is|are|was|were) (?:dead|gone|over)\b"
    r"|\b(?:dead|living) keys?\b",
    "predecessor": r"\bformer keys?\b|\bthe key before\b",
    "event": r"\blog entr(?:y|ies)\b|\bon record\b",
    "notify": r"\b(?:be|is|are|was|were|been) told of\b|\bhears? of it\b|\binform(?:s|ed|ing)?\b",
    "publish": r"\bemit(?:s|ted|ting)?\b",
    "recipient": r"\baddressees?\b",
    "sweep": r"\bthe round\b",
    "budget": r"\brate[- ]limit",
    "new": r"\bfresh (?:invitations?|tokens?|keys?)\b",
    "route rule": r"\bclimbing\b|\bwhat a key opens\b",
    "response": r"\b(?:an|the|its|no|lost|every|whole) answers?\b",
    "error": r"\bfaults?\b",
    "check": r"\bjudge[sd]?\b",
    "correct": r"\bmend(?:s|ed|ing)?\b",
    "limit": r"\b(?:MOST|LARGEST|LONGEST|LEAST)_[A-Z]+\b",
}
"""For each word of the glossary, a pattern of other words for the same thing."""

NOT_IN_TESTS = {"publish", "error", "check", "correct"}
"""Tests emit log records, inject faults, and mend what they broke."""

EXCEPTIONS = {
    ("account", "chalicelib/mail/ses.py"),  # SES's own word
    ("console", "tests/api/test_events.py"),  # a kind of actor that this version does not know
}
"""Files in which a second word has another meaning, or is somebody else's."""

TEXTS = (".py", ".md", ".html", ".txt", ".json", ".js", ".css", ".yaml", ".yml", ".tf", ".sh", ".conf")
GENERATED_OR_FOREIGN = re.compile(
    r"/(build|generated|\.venv|node_modules|\.terraform|viewer)/|requirements|results\.json|released\.json|vectors\.json"
    r"|openapi\.json|docs/glossary\.md|tests/docs/test_words\.py|bench/peers/"
)

METAPHORS = re.compile(
    r"(?:^|_)(?:cast|world|home|trouble|breaking|leaks|judge|rulebook|memory|sweeps|customer|kit|inside|still)(?:_|$)"
)
"""Names that helpers of tests had, and that nobody could search for."""


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


def written() -> Iterator[tuple[str, str]]:
    """Return the path and the text of each file that somebody of the project wrote."""
    rooms = ("chalicelib", "contract", "clients", "examples", "deploy", "local", "bench", "docs", "tests")
    folders = [path for room in (*rooms, ".chalice") for path in sorted((ROOT / room).rglob("*"))]
    pages = [ROOT / name for name in ("app.py", "README.md", "CONTRIBUTING.md", "SECURITY.md")]
    for path in (*pages, *folders):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in TEXTS and path.is_file() and not GENERATED_OR_FOREIGN.search(f"/{name}"):
            yield name, path.read_text(encoding="utf-8")


def test_there_is_one_word_for_one_thing() -> None:
    hits = []
    for name, text in written():
        small = text.lower()  # faster than a search that ignores case
        for word, pattern in SECOND_WORDS.items():
            if (word, name) in EXCEPTIONS or (word in NOT_IN_TESTS and name.startswith("tests/")):
                continue
            matches = re.finditer(pattern, text if word == "limit" else small)
            hits += [f"{name}: write {word!r} for {match[0]!r}" for match in matches]
    assert hits == []


@pytest.mark.parametrize(("word", "name"), sorted(EXCEPTIONS))
def test_an_exception_is_needed(word: str, name: str) -> None:
    assert re.search(SECOND_WORDS[word], (ROOT / name).read_text(encoding="utf-8").lower())


def test_helpers_of_tests_have_plain_names() -> None:
    helpers = sorted((ROOT / "tests" / "support").glob("*.py"))
    assert len(helpers) > 10
    assert [path.name for path in helpers if METAPHORS.search(path.stem)] == []


@pytest.mark.parametrize(
    "text", ["The key is dead.", "A key is taken away", "It is no key", "The key, in the clear"]
)
def test_a_second_word_is_found(text: str) -> None:
    assert found(NOT_IN_THE_CONTRACT, "here", text)
