"""Installs clients/cli with pipx and with uv, each in a home of its own, as docs/clients.md shows.

    python -m tests.clients.install

Then the installed program signs in at a running service. It needs a package index, so it is no part of
``make test``. pipx and uv are locked in ``requirements-install.txt``, and installed in .tools/ at the first
run.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.contract.run import ROOT, TOOLS, run, served

REQUIREMENTS = Path(__file__).with_name("requirements-install.txt")
PAGE = ROOT / "docs" / "clients.md"
PIP_CONFIG = Path.home() / ".config" / "pip" / "pip.conf"
"""The index that whoever runs this uses, which a new home would not know."""


def main() -> int:
    """Install with each, and make a call; return the exit status."""
    tools = _tools()
    commands = re.findall(r"^(?:pipx|uv tool) install .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["pipx", "uv"], commands
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "served") as (home, _log):
        for command in commands:
            user = Path(folder) / command.split()[0]
            user.mkdir()
            _install_and_call(command, tools, user, home / "owner.json")
    return 0


def _install_and_call(command: str, tools: Path, user: Path, owner: Path) -> None:
    """Install as a page says it, in a home, and call with the program that is there then."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "VIRTUAL_"))
    }
    programs = user / ".local" / "bin"
    python = Path(sys.base_prefix) / "bin"  # the one of .venv would make that the base of theirs
    variables |= {
        "HOME": str(user),
        "PATH": os.pathsep.join(map(str, (programs, tools, python, "/usr/bin", "/bin"))),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    if PIP_CONFIG.exists():
        variables.setdefault("PIP_CONFIG_FILE", str(PIP_CONFIG))

    def call(*words: str | Path) -> str:
        print("$", *words, flush=True)
        done = subprocess.run(words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, end="")
        return done.stdout

    call(*shlex.split(command))
    program = programs / "service-users"
    assert call(program, "--version").startswith("service-users 1.")
    call(program, "profile", "add", "demo", "--from", owner)
    assert '"username": "owner"' in call(program, "whoami")


def _tools() -> Path:
    """Return the folder with both programs, installed at the first run and when their lock changes."""
    folder = TOOLS / "install"
    mark = folder / "requirements.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", "--without-pip", folder])
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
        run([*pip, "--python", str(folder / "bin" / "python"), "install", "-q", *locked])
        mark.write_text(wanted, encoding="utf-8")
    return folder / "bin"


if __name__ == "__main__":
    sys.exit(main())
