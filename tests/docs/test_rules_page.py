"""Checks docs/rules.md: each function and test that it names exists, and it has each rule that code cites."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "rules.md"
FOLDERS = ("chalicelib", "contract", "local", "deploy", "bench", "clients", "examples", "tests")
CITATION = re.compile(r"\(product page: ([a-z0-9-]+(?:, [a-z0-9-]+)*)\)")
NOT_HERE = re.compile(
    r"product page|\bDESIGN\b|(?:user-roles|API-keys|reference) facts|published (?:API )?reference"
)
"""Citations of documents that are not in the repository, or in another form than ``CITATION``."""


SENTENCES = "\n## The product page, sentence by sentence\n"


def rows() -> list[list[str]]:
    """Return the cells of every rule: id, rule, decided by, tested by."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


IDS = [row[0].strip("` ") for row in rows()]


@cache
def defined(path: Path) -> frozenset[str]:
    """Return the functions, classes, methods and module-level names of a Python file."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{it.name}" for it in node.body if isinstance(it, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def missing(cell: str, folder: str) -> list[str]:
    """Return the references of a cell (``path::name``) that do not exist; the cell itself if it has none."""
    found = re.findall(r"`([\w/]+\.py)::([\w.]+)`", cell)
    paths = [(ROOT / folder / path, name) for path, name in found]
    return [
        f"{path.relative_to(ROOT)}::{name}"
        for path, name in paths
        if not path.exists() or name not in defined(path)
    ] or ([] if found else [cell])


def cited(text: str) -> tuple[list[str], list[str]]:
    """Return the ids of the rules that a text cites, and its citations in another form."""
    ids = [it for found in CITATION.findall(text) for it in found.split(", ")]
    return ids, NOT_HERE.findall(CITATION.sub("", text))


def python_files() -> list[Path]:
    found = [ROOT / "app.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
    return [path for path in found if path != Path(__file__) and "build" not in path.parts]


@pytest.mark.parametrize("row", rows(), ids=IDS)
def test_each_rule_names_the_function_that_decides_it_and_its_tests(row: list[str]) -> None:
    _, rule, decided_by, tested_by = row
    assert rule.endswith(".")
    assert missing(decided_by, "chalicelib") == []
    assert missing(tested_by, "tests") == []
    assert all(name.startswith("test_") for name in re.findall(r"::(\w+)`", tested_by))


def test_each_rule_has_its_own_id() -> None:
    assert len(IDS) > 40
    assert sorted(set(IDS)) == sorted(IDS)


def test_the_tests_named_in_the_introduction_exist() -> None:
    introduction = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    assert missing(introduction, "tests") == []


def test_each_sentence_of_the_product_page_names_its_rules() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(SENTENCES)[2].splitlines()
    sentences = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in table
        if line.startswith("| ") and not line.startswith("| the product page says")
    ]
    assert len(sentences) >= 29
    for sentence, rules in sentences:
        assert sentence.endswith(".")
        named = re.findall(r"`([a-z0-9-]+)`", rules)
        assert named
        assert set(named) <= set(IDS), sentence


def test_every_guard_is_on_the_page() -> None:
    guards = defined(ROOT / "chalicelib" / "rules" / "permissions.py")
    named = set(re.findall(r"rules/permissions\.py::(\w+)", PAGE.read_text(encoding="utf-8")))
    assert {name for name in guards if name.startswith("require_")} <= named


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_file_cites_is_in_the_repository(path: Path) -> None:
    ids, other = cited(path.read_text(encoding="utf-8"))
    assert set(ids) <= set(IDS)
    assert other == []


def test_citations_are_made() -> None:
    ids = {it for path in python_files() for it in cited(path.read_text(encoding="utf-8"))[0]}
    assert len(ids) >= 5


def test_missing_functions_and_rules_are_found() -> None:
    assert missing("`rules/roles.py::Role`", "chalicelib") == []
    assert missing("`rules/roles.py::Roles`", "chalicelib") == ["chalicelib/rules/roles.py::Roles"]
    assert missing("`rules/none.py::Role`", "chalicelib") == ["chalicelib/rules/none.py::Role"]
    assert missing("the store", "chalicelib") == ["the store"]
    assert cited("a (product page: roles), b (product page; facts)") == (["roles"], ["product page"])
    assert cited("(product page: roles, key-types)") == (["roles", "key-types"], [])
