"""Removes from an unpacked package what its functions never read, and compiles the rest.

botocore includes the models of every AWS service and searches them at every cold start. What is
left is what our calls need, as plain JSON; the library's code is unchanged. Compiled modules spare
each new environment the compilation, since Lambda's code directory is read-only. They are
of the kind that is not checked against its source (PEP 552), since unpacking a zip changes its times.
botocore loads its certificate bundle again for every connection, so the bundle keeps only AWS's roots.
Jinja2 imports its compiler before it renders the first page; the package's templates are compiled already.
"""

import ast
import gzip
import hashlib
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chalicelib.console import pages
from chalicelib.mail import messages

PROJECT = Path(__file__).resolve().parent.parent

OPERATIONS: dict[str, frozenset[str]] = {
    "dynamodb": frozenset(
        {
            "BatchGetItem",
            "BatchWriteItem",
            "GetItem",
            "PutItem",
            "Query",
            "Scan",
            "TransactWriteItems",
            "UpdateItem",
        }
    ),
    "events": frozenset({"PutEvents"}),
    "s3": frozenset({"PutObject"}),
    "sesv2": frozenset({"SendEmail"}),
}
"""The services and operations that the functions call; a call of any other fails in the package."""

ROOTS: dict[str, str] = {
    "Amazon Root CA 1": "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "Amazon Root CA 2": "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "Amazon Root CA 3": "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "Amazon Root CA 4": "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
    "Starfield Services Root Certificate Authority - G2": (
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5"
    ),
}
"""The roots of the certificates of AWS's endpoints, as Amazon Trust Services publishes them, by SHA-256."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)
_ENDPOINT_NAMES = frozenset({"dynamodb", "email", "events", "s3"})

_JINJA_KEPT: dict[str, frozenset[str]] = {
    "bccache": frozenset(),
    "compiler": frozenset(),
    "lexer": frozenset(),
    "nodes": frozenset({"EvalContext"}),
    "parser": frozenset(),
}
"""The modules of Jinja2 that only compile templates, and what rendering a compiled one needs of each."""

_JINJA_LEFT_OUT = '''"""Left out of the package: its compiled templates need nothing else of this module."""

import typing as t


class LeftOut:
    """Stands for every other name of this module."""

    def __init__(self, *_arguments: t.Any, **_more: t.Any) -> None:
        raise NotImplementedError("Only compiled templates can be rendered in this package.")


def __getattr__(name: str) -> t.Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return LeftOut
'''


def slim(package: Path) -> None:
    """Slim an unpacked package in place. Raises FileNotFoundError where botocore is not as expected."""
    data = package / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in OPERATIONS:
            shutil.rmtree(service)
    for service_name, operations in OPERATIONS.items():
        versions = sorted((data / service_name).iterdir())
        for old in versions[:-1]:
            shutil.rmtree(old)
        _slim_service(versions[-1], operations)
    endpoints = json.loads((data / "endpoints.json").read_text(encoding="utf-8"))
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: service for name, service in partition["services"].items() if name in _ENDPOINT_NAMES
        }
    _write(data / "endpoints.json", endpoints)
    keep_roots(package / "botocore" / "cacert.pem")
    if (package / "jinja2").exists():  # the bare handler of the bench has none
        leave_out_template_compiler(package / "jinja2")
    if (package / "pycparser").exists():  # cffi parses C with it, and cryptography has none to parse
        shutil.rmtree(package / "pycparser")
    for stub in package.rglob("*.pyi"):
        stub.unlink()


def keep_roots(bundle: Path) -> None:
    """Keep only ``ROOTS`` in a bundle of certificates. Raises FileNotFoundError where one is missing."""
    found = {
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(): pem
        for pem in _CERTIFICATE.findall(bundle.read_text(encoding="utf-8"))
    }
    if missing := [name for name, fingerprint in ROOTS.items() if fingerprint not in found]:
        raise FileNotFoundError(
            f"{bundle} lacks certificates that verify AWS's endpoints: {', '.join(missing)}"
        )
    kept = [f"# {name}\n{found[fingerprint]}" for name, fingerprint in ROOTS.items()]
    bundle.write_text("\n".join(kept), encoding="utf-8")


def compile_modules(package: Path, python: Path, root: str = "/var/task") -> None:
    """Compile every module with ``python``, as found under ``root`` at run time.

    In a separate process: byte code depends on what else is loaded in the process that writes it. Raises
    SyntaxError where a module is wrong.
    """
    command: list[str | Path] = [
        *(python, "-I", "-S", "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", package, "-p", root, package),
    ]
    if subprocess.run(command, check=False).returncode:
        raise SyntaxError(f"Not every module in {package} compiles: try {python} -m compileall {package}")


def compile_templates(package: Path) -> None:
    """Write the templates of pages and emails as modules, as which a cold environment loads them.

    With the Jinja2 of this environment, which is the package's: ``requirements.txt`` pins it for both.
    """
    for of in (pages, messages):
        of.environment().compile_templates(package / of.COMPILED.relative_to(PROJECT), zip=None)


def leave_out_template_compiler(jinja: Path) -> None:
    """Reduce the modules of Jinja2 that only compile templates, in place, to what rendering needs.

    Raises FileNotFoundError where a module, or a class of it, is not as expected.
    """
    for name, kept in _JINJA_KEPT.items():
        source = (jinja / f"{name}.py").read_text(encoding="utf-8")
        classes = {
            node.name: ast.get_source_segment(source, node) or ""
            for node in ast.parse(source).body
            if isinstance(node, ast.ClassDef)
        }
        if missing := kept - classes.keys():
            raise FileNotFoundError(f"{jinja / name}.py has no {', '.join(sorted(missing))}.")
        text = "\n\n\n".join([_JINJA_LEFT_OUT.rstrip(), *(classes[one] for one in sorted(kept))])
        (jinja / f"{name}.py").write_text(f"{text}\n", encoding="utf-8")


def _slim_service(directory: Path, operations: frozenset[str]) -> None:
    for file in sorted(directory.iterdir()):
        name = file.name.removesuffix(".gz")
        if name == "service-2.json":
            _replace(file, _slim_model(_read(file), operations))
        elif name.startswith("endpoint-"):
            _replace(file, _read(file))
        else:
            file.unlink()  # examples, paginators, waiters


def _slim_model(model: dict[str, Any], operations: frozenset[str]) -> dict[str, Any]:
    kept = {name: operation for name, operation in model["operations"].items() if name in operations}
    if missing := operations - kept.keys():
        raise FileNotFoundError(f"botocore's model has no operation {', '.join(sorted(missing))}")
    shapes: dict[str, Any] = {}
    found = list(_shape_names(kept))
    while found:
        name = found.pop()
        if name not in shapes:
            shapes[name] = model["shapes"][name]
            found += _shape_names(shapes[name])
    slimmed: dict[str, Any] = _without_documentation({**model, "operations": kept, "shapes": shapes})
    for parameter in slimmed.get("clientContextParams", {}).values():
        parameter["documentation"] = ""  # botocore reads it, unlike any other
    return slimmed


def _shape_names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("shape"), str):
            yield node["shape"]
        for child in node.values():
            yield from _shape_names(child)
    elif isinstance(node, list):
        for child in node:
            yield from _shape_names(child)


def _without_documentation(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_documentation(child)
            for key, child in node.items()
            if not (key == "documentation" and isinstance(child, str))
        }
    if isinstance(node, list):
        return [_without_documentation(child) for child in node]
    return node


def _read(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    document: dict[str, Any] = json.loads(gzip.decompress(content) if file.suffix == ".gz" else content)
    return document


def _replace(file: Path, document: dict[str, Any]) -> None:
    file.unlink()
    _write(file.with_name(file.name.removesuffix(".gz")), document)


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
