"""``python -m deploy.locks``: rewrite every lock from its source, check the locks, or audit what they list.

A source, ``NAME.in``, names what is required directly, each in one version. Its lock, ``NAME.txt`` beside
it, names everything that is installed for it, by version and SHA-256, for every Python from 3.11 on and
every platform. ``uv pip compile`` writes it, and keeps every version that the source still allows, so that
no version changes unless somebody asks for it. pip-audit looks up each version in PyPI's advisories.
``make lock``, ``make lock-check`` and ``make audit`` run this where both programs are installed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")

SOURCES = (
    "requirements.in",
    "requirements-dev.in",
    "requirements-contract.in",
    "requirements-browser.in",
    "requirements-clients.in",
    "tests/clients/requirements-install.in",
    "deploy/requirements-check.in",
    "deploy/requirements-emulator.in",
    "deploy/requirements-lock.in",
    "local/package/runtime.in",
    "bench/peers/bare.in",
    "bench/peers/fastapi.in",
    "bench/peers/powertools.in",
)
"""Every source, in an order in which a lock comes before those that are constrained by it."""

OLDEST_PYTHON = "3.11"
HEADER = 'Written by "make lock" from {source}, which says what this is for. Do not edit.'


def lock_of(source: str) -> str:
    """Return the name of a source's lock."""
    return source.removesuffix(".in") + ".txt"


def write(source: str, upgrade: str = "") -> None:
    """Write the lock of one source. Raises CalledProcessError where uv cannot; it says why itself.

    ``upgrade`` names a package to bring to its newest allowed version; "all" stands for every package.
    """
    lock = PROJECT / lock_of(source)
    command: list[str | Path] = [
        *(UV, "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON),
        *("--generate-hashes", "--only-binary", ":all:", "--no-header", "--no-python-downloads"),
        *("--output-file", lock, source),
    ]
    if upgrade:
        command += ["--upgrade"] if upgrade == "all" else ["--upgrade-package", upgrade]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    written = lock.read_text(encoding="utf-8")
    lock.write_text(f"# {HEADER.format(source=Path(source).name)}\n{written}", encoding="utf-8")


def outdated() -> list[str]:
    """Return the locks that "make lock" would change. Leaves every file as it is.

    Raises CalledProcessError as ``write`` does.
    """
    locks = [PROJECT / lock_of(source) for source in SOURCES]
    before = {lock: lock.read_bytes() for lock in locks if lock.exists()}
    try:
        for source in SOURCES:
            write(source)
        return [str(lock.relative_to(PROJECT)) for lock in locks if lock.read_bytes() != before.get(lock)]
    finally:
        for lock in locks:
            if lock in before:
                lock.write_bytes(before[lock])
            else:
                lock.unlink(missing_ok=True)


def audit() -> None:
    """Look for known vulnerabilities in every locked version, and print them.

    Raises CalledProcessError where there is one, or where a version could not be looked up: an audit that
    asked nobody has found nothing.
    """
    command: list[str | Path] = [PIP_AUDIT, "--strict", "--require-hashes", "--disable-pip"]
    for source in SOURCES:
        print(f"{lock_of(source)}:", flush=True)
        subprocess.run([*command, "--requirement", lock_of(source)], cwd=PROJECT, check=True)


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.locks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where one is out of date")
    parser.add_argument("--audit", action="store_true", help="look for known vulnerabilities in them")
    parser.add_argument("--upgrade", default="", metavar="NAME", help='a package to upgrade, or "all"')
    asked = parser.parse_args(arguments)
    os.environ.setdefault("UV_PYTHON", sys.executable)
    try:
        if asked.audit:
            audit()
        elif not asked.check:
            for source in SOURCES:
                write(source, asked.upgrade)
        elif found := outdated():
            print(f'Out of date: {", ".join(found)}. "make lock" rewrites them.', file=sys.stderr)
            return 1
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
