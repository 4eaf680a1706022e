"""Builds the packages to compare with, each as deployed to Lambda and compiled like ours."""

import shutil
from pathlib import Path

from deploy import runtime, wheels
from deploy.slim import compile_modules, slim

PEERS = Path(__file__).resolve().parent / "peers"
"""Each peer is a handler, ``NAME.py``, and the lock of its requirements, ``NAME.txt``."""

SLIM = "bare-slim"


def build(directory: Path, authority: str) -> dict[str, Path]:
    """Build a task root in ``directory`` for each peer unless it is up to date; return them by name.

    Each trusts ``authority`` (PEM) too. The peer ``bare-slim`` is ``bare``, slimmed as the package is.
    """
    python = runtime.interpreter()
    assert python is not None, f"There is no {runtime.NAME} here. {runtime.ADVICE}"
    architecture = next(iter(runtime.ARCHITECTURES))
    built: dict[str, Path] = {}
    for lock in sorted(PEERS.glob("*.txt")):
        target = built[lock.stem] = directory / lock.stem
        source = lock.with_suffix(".py").read_text(encoding="utf-8")
        content = lock.read_text(encoding="utf-8") + source + authority
        stamp = target / ".built"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == content:
            continue
        shutil.rmtree(target, ignore_errors=True)
        wheels.install(lock, target, architecture)
        (target / "handler.py").write_text(source, encoding="utf-8")
        compile_modules(target, python)
        trust(target, authority)
        stamp.write_text(content, encoding="utf-8")
    built[SLIM] = directory / SLIM
    shutil.rmtree(built[SLIM], ignore_errors=True)
    shutil.copytree(built["bare"], built[SLIM])
    slim(built[SLIM])
    trust(built[SLIM], authority)
    return built


def trust(package: Path, authority: str) -> None:
    """Add an authority (PEM) to the bundle that a package verifies AWS by."""
    with (package / "botocore" / "cacert.pem").open("a", encoding="utf-8") as bundle:
        bundle.write(authority)


def trusting(package: Path, target: Path, authority: str) -> Path:
    """Copy a package, and let the copy trust ``authority`` (PEM) too; return it."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package, target)
    trust(target, authority)
    return target


def uncompiled(package: Path, target: Path) -> Path:
    """Copy a package without its compiled modules, as pip and Chalice leave it; return the copy."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target
