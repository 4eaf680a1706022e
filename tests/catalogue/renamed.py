"""Runs tests in the words of another catalogue.

    .venv/bin/python -m tests.catalogue.renamed [--catalogue FILE] -- -q tests/api tests/authorizer

It copies the project, puts the catalogue and the contract that follows from it where a package has them,
replaces the names of the default key types in the strings of the tests, and runs pytest in the copy. The
default catalogue is ``tests/support/second_catalogue.json``, of eleven types. ``renamed_catalogue.json`` has
only other words for the default ones, so that every test must pass with it.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path

from tests.support.catalogue import FILE, SECOND

ROOT = Path(__file__).resolve().parent.parent.parent
WORDS = {
    "PROVISIONING_READONLY": "invoices-read",
    "PROVISIONING": "orders-write",
    "MONITORING": "orders-read",
    "Read Only Provisioning": "Invoices (read)",
    "Provisioning": "Orders (write)",
    "Monitoring": "Orders (read)",
    "User Management": "Administration",
}
"""Names and display names of the default catalogue, and those of the same meaning in the other ones."""

_WORD = re.compile(rf"(?<![{{.])\b({'|'.join(WORDS)})\b(?! =)")
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".tools", ".local", "build", "__pycache__", ".*_cache", ".hypothesis"
)


def main(arguments: list[str]) -> int:
    """Run pytest in a copy of the project, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogue.renamed", description=__doc__)
    parser.add_argument("--catalogue", type=Path, default=SECOND, help="file with the key types")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=_NOT_COPIED)
        prepare(copy, args.catalogue.read_text(encoding="utf-8"))
        # Options of the run that this one is a part of, such as for coverage, are not for the copy.
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *args.pytest], cwd=copy, env=environment, check=False
        ).returncode


def prepare(copy: Path, catalogue: str) -> None:
    """Give a copy of the project a catalogue, its contract, and tests in its words."""
    (copy / FILE.relative_to(ROOT)).write_text(catalogue, encoding="utf-8")
    for command, name in (("contract", "openapi.json"), ("contract.event_schema", "event-schema.json")):
        made = subprocess.run(
            [sys.executable, "-m", command],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            check=True,
            capture_output=True,
        )
        (copy / "docs" / name).write_bytes(made.stdout)
    for file in (*(copy / "tests").rglob("*.py"), *(copy / "bench").rglob("*.py")):
        if file.name != Path(__file__).name and file.name != "catalogue.py":
            file.write_text(reworded(file.read_text(encoding="utf-8")), encoding="utf-8")


def reworded(source: str) -> str:
    """Return Python in which the strings, and the members of KeyType, have the other words."""
    lines = source.splitlines(keepends=True)
    edits: list[tuple[tuple[int, int], tuple[int, int], str]] = []
    before = ["", ""]
    inside = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        new = token.string
        if token.type in inside:
            new = _WORD.sub(lambda found: WORDS[found[1]], token.string)
        elif token.type == tokenize.NAME and before == ["KeyType", "."] and token.string in WORDS:
            new = WORDS[token.string].upper().replace("-", "_")
        if new != token.string:
            edits.append((token.start, token.end, new))
        before = [before[1], token.string]
    for (row, column), (last, end), new in reversed(edits):
        tail = lines[last - 1][end:]
        lines[row - 1 : last] = [lines[row - 1][:column] + new + tail]
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
