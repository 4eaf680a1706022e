"""docs/catalogue.md, run as written: the catalogue that it shows, and every block for the shell."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.authorizer.catalogue_check import check
from tests.docs.test_readme import ROOT, TOLD_URL, blocks

PAGE = ROOT / "docs" / "catalogue.md"
FOUND = blocks(PAGE.read_text(encoding="utf-8"))
CATALOGUE = next(block.text for block in FOUND if block.language == "json")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A reader's folder with the page's catalogue and the ``.local`` of a running server, and its URL."""
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "catalogue.json").write_text(CATALOGUE, encoding="utf-8")
    (folder / "chalicelib").symlink_to(ROOT / "chalicelib")
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    home = folder / ".local"
    command = [sys.executable, "-m", "local.run", "--port", "0", "--home", str(home)]
    with (folder / "printed").open("w", encoding="utf-8") as printed:
        server = subprocess.Popen(
            [*command, "--catalogue", str(folder / "catalogue.json")], cwd=ROOT, stdout=printed
        )
    try:
        end = time.monotonic() + 120
        while "Stop " not in (folder / "printed").read_text(encoding="utf-8"):
            assert server.poll() is None
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)  # its start is what is waited for, and nothing can tell of it sooner
        yield folder, json.loads((home / "owner.json").read_text())["baseUrl"]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's blocks call curl")
def test_every_block_for_the_shell_does_what_the_page_shows(served: tuple[Path, str]) -> None:
    folder, url = served
    script = ""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for place, block in enumerate(FOUND):
        if block.language != "sh":
            continue
        script += block.text
        done = subprocess.run(
            ["bash", "-ec", block_with(script, block.text).replace(TOLD_URL, url)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        where = f"docs/catalogue.md, line {block.line}"
        assert (done.returncode, done.stderr) == (0, ""), where
        assert done.stdout == FOUND[place + 1].text, where


def block_with(script: str, block: str) -> str:
    """Return a block with the assignments of those before it, which a reader's shell has kept."""
    kept = [line for line in script.splitlines() if line.startswith(("API=", "OWNER="))]
    return "\n".join([*kept, block])


def test_the_catalogue_that_the_page_shows_is_valid() -> None:
    assert [it.name for it in check(CATALOGUE).catalogue.key_types] == [
        "orders-read",
        "billing",
        "USER_MANAGEMENT",
    ]


def test_make_run_names_every_error_of_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"keyTypes": [{"name": "1"}], "x": 1}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "local.run", "--port", "0", "--catalogue", str(tmp_path / "bad.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Key type 1, name: give" in done.stderr
    assert "has a field 'x'" in done.stderr
    assert "Traceback" not in done.stderr
