"""Imports run one way, as CONTRIBUTING.md draws them: no room imports one above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# Each room, and the project's other modules that it may import. tests/ and bench/ may import everything.
ALLOWED: dict[str, set[str]] = {
    "chalicelib.rules": set(),
    "chalicelib.version": set(),
    "chalicelib.store": {"chalicelib.rules"},
    "chalicelib.mail": {"chalicelib.rules"},
    "chalicelib.expiry": {"chalicelib.rules"},
    "chalicelib.authorizer": {"chalicelib.rules"},
    "chalicelib.http": {"chalicelib.rules", "chalicelib.version"},
    "chalicelib.console": {"chalicelib.http", "chalicelib.rules", "chalicelib.version"},
    "chalicelib.publishing": {"chalicelib.http", "chalicelib.rules"},
    "chalicelib.functions": {
        "chalicelib.authorizer",
        "chalicelib.console",
        "chalicelib.expiry",
        "chalicelib.http",
        "chalicelib.mail",
        "chalicelib.publishing",
        "chalicelib.rules",
        "chalicelib.store",
        "chalicelib.version",
    },
    "app": {"chalicelib"},
    "contract": {"app", "chalicelib"},
    "deploy": {"chalicelib"},
    "local": {"app", "chalicelib", "deploy"},
    "clients": set(),
    "examples": {"local"},
}
NOT_IN_RULES = {"boto3", "botocore", "chalice", "http", "urllib", "os", "time", "socket", "logging"}
"""Rules know no AWS, no HTTP, no environment and no clock."""

READS_THE_CATALOGUE = "chalicelib/rules/catalogue.py: os"
"""One file is read, once, when the rules are imported: the key types are part of them."""


def imports(path: Path) -> Iterator[str]:
    """Return the full name of everything that a file imports, also inside functions and for types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: name the module in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(room: str) -> list[Path]:
    """Return the Python files of a room, without generated ones."""
    place = ROOT / room.replace(".", "/")
    found = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [path for path in found if "generated" not in path.parts]


def is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


OURS = ("app", "chalicelib", "contract", "deploy", "local", "clients", "examples", "bench", "tests")


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_no_room_above_it(room: str) -> None:
    assert files(room)
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(room)
        for name in imports(path)
        if name.split(".")[0] in OURS and not any(is_in(name, other) for other in {room, *ALLOWED[room]})
    ]
    assert wrong == []


def test_every_room_of_the_package_is_listed() -> None:
    rooms = {
        f"chalicelib.{path.stem}"
        for path in (ROOT / "chalicelib").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"chalicelib.__init__"} == {room for room in ALLOWED if room.startswith("chalicelib.")}


def test_rules_know_no_aws_no_http_and_no_clock() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files("chalicelib.rules")
        for name in imports(path)
        if name.split(".")[0] in NOT_IN_RULES
    ]
    assert wrong == [READS_THE_CATALOGUE]
