"""Runs tests, or the contract's tools, in the words of a second catalogue.

    .venv/bin/python -m tests.catalogue.second -- -q tests/api tests/authorizer
    .venv/bin/python -m tests.catalogue.second --contract [options of tests.contract.run]

The tests are written in the words of the default catalogue. This copies the project, puts
``tests/support/second_catalogue.json``, of eleven key types, and the contract that follows from it where a
package has them, replaces :data:`WORDS` in the tests, and runs them in the copy. So a test may name a key
type and a path that it opens; whole lists, and what else follows from a catalogue, it takes from
``tests/support/catalogue.py``. A test of the default catalogue itself is marked ``default_catalogue`` with
the reason, and does not run here.
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
    "PROVISIONING_READONLY": "sales-read",
    "PROVISIONING": "sales-write",
    "MONITORING": "stock-read",
    "Read Only Provisioning": "Sales (read)",
    "Provisioning": "Sales (write)",
    "Monitoring": "Stock (read)",
    "User Management": "Administration",
    "/provisioning": "/sales",
    "/monitoring": "/stock",
    "/user-management": "/settings",
}
"""Names, display names and paths of the default catalogue, and those of the same meaning in the second."""

_WORD = re.compile(rf"(?:(?<![{{.])\b|(?=/))({'|'.join(WORDS)})\b(?! =)")
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".tools", ".local", "build", "__pycache__", ".*_cache", ".hypothesis"
)


def main(arguments: list[str]) -> int:
    """Run pytest or the contract's tools in a copy of the project, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogue.second", description=__doc__)
    parser.add_argument("--contract", action="store_true", help="run tests.contract.run, not pytest")
    parser.add_argument("options", nargs="*", help="options of what is run, after --")
    args = parser.parse_args(arguments)
    module = "tests.contract.run" if args.contract else "pytest"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=_NOT_COPIED)
        prepare(copy)
        # Options of the run that this one is a part of, such as for coverage, are not for the copy.
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""}
        command = [sys.executable, "-m", module, *args.options]
        return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


def prepare(copy: Path) -> None:
    """Give a copy of the project the catalogue, its contract, tests in its words, and what is installed."""
    (copy / FILE.relative_to(ROOT)).write_text(SECOND.read_text(encoding="utf-8"), encoding="utf-8")
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
        if file.name not in (Path(__file__).name, "catalogue.py"):
            file.write_text(reworded(file.read_text(encoding="utf-8")), encoding="utf-8")
    for file in (*(copy / "tests" / "authorizer").rglob("*.json"), *(copy / "tests").rglob("*.ts")):
        file.write_text(_translated(file.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / ".tools").mkdir(exist_ok=True)
    for name in (".tools", ".venv"):
        (copy / name).symlink_to(ROOT / name)


def _translated(text: str) -> str:
    return _WORD.sub(lambda found: WORDS[found[1]], text)


def reworded(source: str) -> str:
    """Return Python in which the strings, and the members of KeyType, have the other words."""
    lines = source.splitlines(keepends=True)
    edits: list[tuple[tuple[int, int], tuple[int, int], str]] = []
    before = ["", ""]
    inside = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        new = token.string
        if token.type in inside:
            new = _translated(token.string)
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
