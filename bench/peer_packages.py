"""Builds the packages to compare with, each as deployed to Lambda and compiled like ours."""

import shutil
from pathlib import Path

from deploy import runtime, wheels
from deploy.slim import compile_modules

PEERS = Path(__file__).resolve().parent / "peers"
"""Each peer is a handler, ``NAME.py``, and the lock of its requirements, ``NAME.txt``."""


def build(directory: Path) -> dict[str, Path]:
    """Build a task root in ``directory`` for each peer unless it is up to date; return them by name."""
    python = runtime.interpreter()
    assert python is not None, f"There is no {runtime.NAME} here. {runtime.ADVICE}"
    architecture = next(iter(runtime.ARCHITECTURES))
    built: dict[str, Path] = {}
    for lock in sorted(PEERS.glob("*.txt")):
        target = built[lock.stem] = directory / lock.stem
        source = lock.with_suffix(".py").read_text(encoding="utf-8")
        content = lock.read_text(encoding="utf-8") + source
        stamp = target / ".built"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == content:
            continue
        shutil.rmtree(target, ignore_errors=True)
        wheels.install(lock, target, architecture)
        (target / "handler.py").write_text(source, encoding="utf-8")
        compile_modules(target, python)
        stamp.write_text(content, encoding="utf-8")
    return built


def uncompiled(package: Path, target: Path) -> Path:
    """Copy a package without its compiled modules, as pip and Chalice leave it; return the copy."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target
