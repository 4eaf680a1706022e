"""Builds the package: Chalice's template of the stack, and the code, slimmed and compiled for one runtime.

Every Python and system builds the same package, for ``deploy.runtime.RUNTIME``. Chalice
makes the template. It would choose wheels and runtime by the Python it runs on, so both are chosen here.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from chalicelib.rules.catalogue import FILE, VARIABLE
from chalicelib.version import VERSION
from deploy import runtime, wheels
from deploy.release import name_release, release
from deploy.sbom import bill_of_materials
from deploy.slim import compile_modules, compile_templates, slim

PROJECT = Path(__file__).resolve().parent.parent
RESOURCES = PROJECT / ".chalice" / "resources.json"
REQUIREMENTS = PROJECT / "requirements.txt"
DASHBOARD = Path(__file__).with_name("dashboard.json")

CATALOGUE = f"chalicelib/rules/{FILE}"
CONTRACT = "chalicelib/http/openapi.json"
METADATA = "ServiceUsersCatalogue"
"""Where the template keeps the catalogue that the stack was deployed with."""

TEMPLATE = "sam.json"
CODE = "deployment.zip"
UNPACKED = "unpacked"
BILL_OF_MATERIALS = "sbom.cdx.json"

_SOURCES = ("app.py", "chalicelib", ".chalice/config.json")
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def package(stage: str, out: Path, architecture: str = "", catalogue: str = "") -> Path:
    """Make ``out`` with the template, the code, the code unpacked, and its bill of materials; return it.

    The same sources and requirements make the same bytes, so that a deploy of nothing new changes
    nothing. ``architecture`` is one of ``deploy.runtime.ARCHITECTURES``, the first if it is empty.
    ``catalogue`` is the JSON of a valid one, which the template keeps as metadata; empty for the default
    catalogue. Raises
    WheelError where a requirement has no wheel for the runtime, and CalledProcessError where Chalice cannot
    make its template; it says why itself.
    """
    architecture = architecture or next(iter(runtime.ARCHITECTURES))
    if out.exists():
        shutil.rmtree(out)
    _run_chalice(stage, out, catalogue)
    unpacked = out / UNPACKED
    with zipfile.ZipFile(out / CODE) as made:
        made.extractall(unpacked)
    installed = wheels.install(REQUIREMENTS, unpacked, architecture)
    slim(unpacked)
    compile_templates(unpacked)
    if python := runtime.interpreter():
        compile_modules(unpacked, python)
    else:
        print(
            f"There is no {runtime.NAME} here, so the package has no byte code. It works, and a cold start "
            f"takes about two and a half times as long. {runtime.ADVICE}",
            file=sys.stderr,
        )
    _zip(unpacked, out / CODE)
    bill = bill_of_materials(installed, architecture, runtime.NAME)
    (out / BILL_OF_MATERIALS).write_text(bill, encoding="utf-8")
    template = json.loads((out / TEMPLATE).read_text(encoding="utf-8"))
    finish(template, architecture)
    name_release(template, release(PROJECT))
    if catalogue:
        template["Metadata"] = {**template.get("Metadata", {}), METADATA: json.loads(catalogue)}
    (out / TEMPLATE).write_text(json.dumps(template, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return out


def finish(template: dict[str, Any], architecture: str) -> None:
    """Complete Chalice's template in place: runtime, the HTTP API's routes, dashboard and version."""
    resources = template["Resources"]
    for resource in resources.values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"].update({"Runtime": runtime.NAME, "Architectures": [architecture]})
    _finish_apis(template)
    resources["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardBody": {"Fn::Sub": _dashboard(resources)}},
    }
    template["Outputs"]["Version"] = {"Description": "Version of Service Users", "Value": VERSION}


def _finish_apis(template: dict[str, Any]) -> None:
    """Give the HTTP API the REST API's routes, and each API its condition: a stack has one of them."""
    resources = template["Resources"]
    resources["APIHandlerInvokePermission"]["Condition"] = "HasRestApi"
    template["Outputs"]["RestAPIId"]["Condition"] = "HasRestApi"
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    routes = {}
    # The function responds to every method and, by the default route, to every path.
    for path in (*paths, "$default"):
        words = re.findall(r"[a-z0-9]+", path.lower()) or ["root"]
        routes["HttpApiRoute" + "".join(word.capitalize() for word in words)] = {
            "Type": "AWS::ApiGatewayV2::Route",
            "Condition": "HasHttpApi",
            "Properties": {
                "ApiId": {"Ref": "HttpApi"},
                "RouteKey": path if path == "$default" else f"ANY {path}",
                "AuthorizationType": "NONE",
                "Target": {"Fn::Sub": "integrations/${HttpApiIntegration}"},
            },
        }
    if len(routes) != len(paths) + 1:
        raise ValueError("Two routes have one logical name.")
    resources.update(routes)
    # The stage has limits for single routes, which must be there.
    resources["HttpApiStage"]["DependsOn"] = list(routes)


_OF_THE_API = {
    "ApiDimension": ("ApiId", "ApiName"),
    "Api": ({"Ref": "HttpApi"}, {"Ref": "AWS::StackName"}),
    "ApiStage": ("$default", "api"),
    "ClientErrors": ("4xx", "4XXError"),
    "ServerErrors": ("5xx", "5XXError"),
}
"""How CloudWatch names the metrics of an HTTP API, and of a REST API."""


def _dashboard(resources: dict[str, Any]) -> list[Any]:
    """Return the arguments of ``Fn::Sub`` for the dashboard.

    They name the metrics of the stack's API, and leave out the alarms that the stack does not have.
    """
    body = _one_line(DASHBOARD)
    values: dict[str, Any] = {name: {"Fn::If": ["HasHttpApi", *each]} for name, each in _OF_THE_API.items()}
    for name, resource in resources.items():
        entry = f',"${{{name}.Arn}}"'
        if "Condition" in resource and entry in body:
            body = body.replace(entry, f"${{{name}Entry}}")
            values[f"{name}Entry"] = {"Fn::If": [resource["Condition"], {"Fn::Sub": entry}, ""]}
    return [body, values]


def _run_chalice(stage: str, out: Path, catalogue: str) -> None:
    """Let Chalice package the sources without any requirement, and with the catalogue if there is one."""
    chalice = Path(sys.executable).with_name("chalice")
    # Chalice requires a region, although nothing in the template depends on it.
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        for name in _SOURCES:
            source, target = PROJECT / name, project / name
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        if catalogue:
            _add_catalogue(project, catalogue)
        (project / "requirements.txt").touch()
        subprocess.run(
            [chalice, "package", "--stage", stage, "--merge-template", RESOURCES, out],
            cwd=project,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def _add_catalogue(project: Path, catalogue: str) -> None:
    """Put a catalogue into a copy of the sources, and the API's contract that follows from it."""
    file = project / CATALOGUE
    file.write_text(catalogue, encoding="utf-8")
    contract = subprocess.run(
        [sys.executable, "-m", "contract"],
        cwd=PROJECT,
        env={**os.environ, VARIABLE: str(file)},
        check=True,
        capture_output=True,
    ).stdout
    (project / CONTRACT).write_bytes(contract)


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
