"""The version is written in one place; what tells it elsewhere agrees."""

import json
import re
from pathlib import Path

from chalicelib.version import VERSION
from tests.support.api_client import Stack

ROOT = Path(__file__).resolve().parent.parent.parent


def test_it_has_three_numbers() -> None:
    assert re.fullmatch(r"[1-9]\d*\.\d+\.\d+", VERSION)


def test_health_returns_it(stack: Stack) -> None:
    response = stack.call("GET", "/health")
    assert (response.status, response.json) == (200, {"status": "ok", "version": VERSION})


def test_the_openapi_document_has_it() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert document["info"]["version"] == VERSION


def test_the_changelog_begins_with_it() -> None:
    heading = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heading is not None
    assert re.fullmatch(
        rf"\[Unreleased\]: {re.escape(VERSION)}|{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", heading[1]
    )


def test_the_readme_has_it() -> None:
    assert re.findall(r"\bVersion (\d[\w.]*)", (ROOT / "README.md").read_text(encoding="utf-8")) == [VERSION]


def test_no_other_module_writes_it_down() -> None:
    others = [
        path
        for folder in ("chalicelib", "contract", "deploy", "local")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "version.py" and f'"{VERSION}"' in path.read_text(encoding="utf-8")
    ]
    assert others == []
