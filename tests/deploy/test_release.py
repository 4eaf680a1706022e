"""The name of what is deployed, and where a stack shows it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from chalicelib.version import VERSION
from deploy.release import name_release, release
from tests.support.api_client import Stack


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, text=True, capture_output=True
    )
    return done.stdout.strip()


def test_the_release_is_the_tag_or_the_commit(tmp_path: Path) -> None:
    assert release(tmp_path) == VERSION, "an archive of the sources has no commit"
    git(tmp_path, "init", "-q")
    assert release(tmp_path) == VERSION, "nothing is committed yet"
    file = tmp_path / "file"
    file.write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "One")
    commit = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert release(tmp_path) == f"{VERSION}+{commit}"
    git(tmp_path, "tag", "v0.0.1")
    assert release(tmp_path) == f"{VERSION}+{commit}"
    git(tmp_path, "tag", f"v{VERSION}")
    assert release(tmp_path) == VERSION
    file.write_text("two")
    assert release(tmp_path) == f"{VERSION}+{commit}.changed"


def test_without_git_the_release_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert release(tmp_path) == VERSION


def test_the_template_names_the_release() -> None:
    functions: dict[str, Any] = {
        name: {"Properties": {"Environment": {"Variables": {}}}} for name in ("APIHandler", "Authorizer")
    }
    template: dict[str, Any] = {"Outputs": {}, "Resources": functions}
    name_release(template, "1.1.0+abc")
    assert template["Outputs"]["Release"]["Value"] == "1.1.0+abc"
    for function in functions.values():
        assert function["Properties"]["Environment"]["Variables"] == {"RELEASE": "1.1.0+abc"}


@pytest.mark.parametrize("path", ["/health", "/health?check=state"])
def test_health_names_the_release_where_one_is_deployed(
    stack: Stack, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "release" not in stack.call("GET", path).json
    monkeypatch.setenv("RELEASE", "1.1.0+3f9a1c20d4b7")
    health = stack.call("GET", path).json
    assert (health["version"], health["release"]) == (VERSION, "1.1.0+3f9a1c20d4b7")
