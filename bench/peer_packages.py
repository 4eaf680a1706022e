"""Builds the packages that are measured beside ours: each as Lambda would get it, compiled as ours is."""

import shutil
import subprocess
import sys
from pathlib import Path

from deploy.slim import compile_modules

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"


def build(directory: Path) -> dict[str, Path]:
    """Make a task root for each API in ``directory``, unless it is there and as it should be; answer them."""
    made = {}
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        name, _, wanted = line.partition(":")
        if not wanted or line.startswith("#"):
            continue
        target = made[name] = directory / name
        source = (HERE / "peers" / f"{name}.py").read_text(encoding="utf-8")
        stamp = target / ".made"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted + source:
            continue
        shutil.rmtree(target, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*pip, "--target", target, *wanted.split()], check=True)
        (target / "handler.py").write_text(source, encoding="utf-8")
        compile_modules(target)
        stamp.write_text(wanted + source, encoding="utf-8")
    return made


def uncompiled(package: Path, target: Path) -> Path:
    """Make a copy of a package without its compiled modules, as pip and Chalice leave it; answer it."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target
