"""The package has the templates as modules, which is a large part of a first page's time."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import FileSystemLoader, ModuleLoader

from chalicelib.console import pages
from deploy import slim
from tests.support.accounts import Accounts
from tests.support.browser import Browser


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The templates as they are in the package."""
    slim.compile_templates(tmp_path)
    there = tmp_path / "chalicelib" / "console" / "compiled"
    monkeypatch.setattr(pages, "COMPILED", there)
    pages.environment.cache_clear()
    yield there
    pages.environment.cache_clear()


def test_pages_of_the_package_are_those_of_the_sources(
    accounts: Accounts, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = Path(pages.__file__).with_name("templates").glob("*.html")
    assert len(list(compiled.glob("tmpl_*.py"))) == len(list(sources))
    browser = Browser(accounts.stack)
    assert isinstance(pages.environment().loader, ModuleLoader)
    found = [browser.open(path).text for path in ("sign-in", "enrol")]
    monkeypatch.setattr(pages, "COMPILED", compiled / "none")
    pages.environment.cache_clear()
    assert isinstance(pages.environment().loader, FileSystemLoader)
    assert [browser.open(path).text for path in ("sign-in", "enrol")] == found


def test_the_same_sources_make_the_same_modules(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        slim.compile_templates(tmp_path / name)
        place = tmp_path / name / "chalicelib" / "console" / "compiled"
        made.append({file.name: file.read_bytes() for file in place.glob("*.py")})
    assert made[0] == made[1]
    assert all(re.fullmatch(r"tmpl_[0-9a-f]{40}\.py", name) for name in made[0])
