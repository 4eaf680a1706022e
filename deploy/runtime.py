"""The Lambda runtime that the package is for, and how to find a Python of its version on this machine.

``python -m deploy.runtime`` prints the path of such a Python. Nothing but the byte code needs it: the package
is the same whichever Python builds it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

RUNTIME = (3, 13)
"""The version of Python that every function runs on. It is written only here."""

ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Lambda's processors, each with its name in wheels."""

VERSION = f"{RUNTIME[0]}.{RUNTIME[1]}"
NAME = f"python{VERSION}"
GLIBC = (2, 34)
"""The C library of the runtime (Amazon Linux 2023): wheels for this or any older one run there."""

_IS_IT = f"import sys; sys.exit(sys.implementation.name != 'cpython' or sys.version_info[:2] != {RUNTIME})"
ADVICE = (
    f"Install one: apt-get install {NAME}-venv (Debian 13), brew install python@{VERSION} (macOS), "
    f"or uv python install {VERSION} (anywhere)."
)


@cache
def interpreter() -> Path | None:
    """Return a Python of the runtime's version, or None if there is none: see ``ADVICE``."""
    for found in _candidates():
        if _prints(found, "-I", "-S", "-c", _IS_IT) is not None:
            return found
    return None


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    if on_path := shutil.which(NAME):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = (pyenv / "versions").glob(f"{VERSION}.*/bin/{NAME}")
    yield from sorted(installed, key=lambda file: _numbers(file.parent.parent.name), reverse=True)
    if (uv := shutil.which("uv")) and (
        found := _prints(Path(uv), "python", "find", "--no-python-downloads", VERSION)
    ):
        yield Path(found)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _prints(*command: str | Path) -> str | None:
    """Return what a command prints, or None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def main() -> int:
    """Print the path of a Python of the runtime's version; return the exit status."""
    found = interpreter()
    if found is None:
        print(f"There is no {NAME} here, the Python of the Lambda runtime. {ADVICE}", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
