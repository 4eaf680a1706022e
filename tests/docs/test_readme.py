"""The README's walk: every block for the shell is run, in order, and answers what the README shows."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
TOLD_URL = "http://127.0.0.1:8000"

pytestmark = [
    pytest.mark.default_catalogue(reason="the README's walk has the default key types"),
    pytest.mark.skipif(not README.exists(), reason="there is no README"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's blocks call curl"),
]


class Block(NamedTuple):
    """A block of code: its language, where it begins, and what is in it."""

    language: str
    line: int
    text: str


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of a text."""
    return [
        Block(found[1], markdown.count("\n", 0, found.start()) + 1, found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with the ``.local`` of a running server and its output (``printed``), and the server's URL."""
    folder = tmp_path_factory.mktemp("readme")
    home = folder / ".local"
    with (folder / "printed").open("w", encoding="utf-8") as printed:
        server = subprocess.Popen(
            [sys.executable, "-m", "local.run", "--port", "0", "--home", str(home)],
            cwd=ROOT,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        owner = home / "owner.json"
        end = time.monotonic() + 60
        while "Stop " not in (folder / "printed").read_text(encoding="utf-8"):
            assert server.poll() is None, server.stderr and server.stderr.read()
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)  # its start is what is waited for, and nothing can tell of it sooner
        yield folder, json.loads(owner.read_text())["baseUrl"]
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_the_command_to_run_it_prints_what_the_readme_shows(served: tuple[Path, str]) -> None:
    folder, url = served
    commands = blocks(README.read_text(encoding="utf-8"))
    place = next(place for place, block in enumerate(commands) if block.text == "make run\n")
    printed = (folder / "printed").read_text(encoding="utf-8")
    printed = printed.replace(url, TOLD_URL).replace(f"{folder}/", "")
    port = url.rpartition(":")[2]
    printed = re.sub(r"once=\S+", "once=…", printed.replace(f"localhost:{port}", "localhost:8000"))
    assert commands[place + 1].language == "text"
    assert printed.startswith(f"\n{commands[place + 1].text}\n")


def test_every_block_for_the_shell_does_what_the_readme_shows(served: tuple[Path, str]) -> None:
    folder, url = served
    found = blocks(README.read_text(encoding="utf-8"))
    shell = [place for place, block in enumerate(found) if block.language == "sh"]
    assert shell, "the README has no block for the shell"
    # One shell for all of them, as for a reader: what one sets, the next has.
    script = "".join(
        f"{{\n{found[place].text}}} > out.{place} || exit {number + 1}\n"
        for number, place in enumerate(shell)
    )

    done = subprocess.run(
        ["bash", "-c", script.replace(TOLD_URL, url)], cwd=folder, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, f"line {found[shell[done.returncode - 1]].line}: {done.stderr}"
    assert done.stderr == ""
    for place in shell:
        shown = found[place + 1] if place + 1 < len(found) else Block("", 0, "")
        told = (folder / f"out.{place}").read_text(encoding="utf-8")
        where = f"README.md, line {shown.line}"
        if shown.language == "json":
            assert _plain(told) == _plain(shown.text), where
        elif shown.language == "text":
            assert told == shown.text, where


def test_its_other_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = [
        line.split()
        for block in blocks(README.read_text(encoding="utf-8"))
        if not block.language
        for line in block.text.splitlines()
    ]

    assert {command[0] for command in commands} <= {"make"}
    assert {command[1] for command in commands} <= set(targets)


NEW_EACH_TIME = (
    (r"suk_\w{49}", "a key"),
    (r"•••….{5}", "a key, masked"),
    (r'(?<="last5": ")\w{5}', "xxxxx"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an id"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "a time"),
)


def _plain(text: str) -> Any:
    """Return what JSON says, with what is new each time made the same."""
    for pattern, words in NEW_EACH_TIME:
        text = re.sub(pattern, words, text)
    return json.loads(text)
