"""The package has the templates as modules, which is a large part of a first page's time."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
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


LOADED = """
import json, sys
from pathlib import Path
from chalicelib.console import pages
from chalicelib.mail import messages
loaded = 0
for of in (pages, messages):
    sources = Path(of.__file__).with_name("templates")
    of.COMPILED = Path(of.COMPILED.relative_to(Path(of.__file__).parents[2]))
    environment = of.environment()
    for source in sources.rglob("*.*"):
        environment.get_template(str(source.relative_to(sources)))
        loaded += 1
try:
    compiles = bool(environment.from_string("{{ 1 }}"))
except NotImplementedError as error:
    compiles = str(error)
print(json.dumps([loaded, compiles, sorted(sys.modules)]))
"""


def test_compiled_templates_need_no_compiler(tmp_path: Path) -> None:
    shutil.copytree(
        Path(jinja2.__file__).parent, tmp_path / "jinja2", ignore=shutil.ignore_patterns("__pycache__")
    )
    slim.leave_out_template_compiler(tmp_path / "jinja2")
    slim.compile_templates(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={"PYTHONPATH": f"{tmp_path}:{slim.PROJECT}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, compiles, modules = json.loads(done.stdout)
    assert loaded > 60
    assert compiles == "Only compiled templates can be rendered in this package."
    assert not {"jinja2.visitor", "jinja2.optimizer", "jinja2._identifier", "pickle"} & set(modules)


def test_another_jinja2_than_expected_is_noticed(tmp_path: Path) -> None:
    for name in ("bccache", "compiler", "lexer", "nodes", "parser"):
        (tmp_path / f"{name}.py").write_text("class Other: ...\n")
    with pytest.raises(FileNotFoundError, match=r"nodes\.py has no EvalContext"):
        slim.leave_out_template_compiler(tmp_path)
