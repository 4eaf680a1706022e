"""Makes the package: Chalice's own, slimmed and compiled, and the template of its stack."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from chalicelib.version import VERSION
from deploy.slim import compile_modules, slim

PROJECT = Path(__file__).resolve().parent.parent
RESOURCES = PROJECT / ".chalice" / "resources.json"
DASHBOARD = Path(__file__).with_name("dashboard.json")

TEMPLATE = "sam.json"
CODE = "deployment.zip"
UNPACKED = "unpacked"

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def package(stage: str, out: Path) -> Path:
    """Make ``out`` with the template, the code, and the code unpacked, for the running Python; answer it.

    The same sources and requirements make the same bytes, so that a deploy of nothing new changes
    nothing. Raises CalledProcessError where Chalice cannot make its package; it says why itself.
    """
    if out.exists():
        shutil.rmtree(out)
    chalice = Path(sys.executable).with_name("chalice")
    # Chalice asks for a region, though nothing in a template of ours depends on it.
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
    subprocess.run(
        [chalice, "package", "--stage", stage, "--merge-template", RESOURCES, out],
        cwd=PROJECT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    unpacked = out / UNPACKED
    with zipfile.ZipFile(out / CODE) as made:
        made.extractall(unpacked)
    slim(unpacked)
    compile_modules(unpacked)
    _zip(unpacked, out / CODE)
    template = json.loads((out / TEMPLATE).read_text(encoding="utf-8"))
    finish(template)
    (out / TEMPLATE).write_text(json.dumps(template, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return out


def finish(template: dict[str, Any]) -> None:
    """Complete Chalice's template in place: the dashboard and the version."""
    resources = template["Resources"]
    resources["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardBody": {"Fn::Sub": _one_line(DASHBOARD)}},
    }
    template["Outputs"]["Version"] = {"Description": "Version of Service Users", "Value": VERSION}


def _one_line(file: Path) -> str:
    return json.dumps(json.loads(file.read_text(encoding="utf-8")), separators=(",", ":"), ensure_ascii=False)


def _zip(directory: Path, target: Path) -> None:
    """Zip a directory so that the same content makes the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for file in sorted(directory.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(file.relative_to(directory).as_posix(), _ZIP_EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o100644 << 16
                made.writestr(entry, file.read_bytes())
