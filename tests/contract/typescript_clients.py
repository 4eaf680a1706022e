"""Walks through the API with two TypeScript clients, which public generators make from the OpenAPI document.

    python -m tests.contract.typescript_clients

openapi-typescript makes types for openapi-fetch, and @hey-api/openapi-ts a client. TypeScript checks both
walks (``tests/contract/typescript/``), and Node runs them against the local server. The tools are pinned in
``package.json`` there, and installed in .tools/ at the first run.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.contract.run import DOCUMENT, HERE, TOOLS, run, served

SOURCE = HERE / "typescript"
WALKS = ("walk-openapi-fetch", "walk-hey-api")


def main() -> int:
    """Serve the API, and walk; return the exit status."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "home") as (home, _log):
        walk(home)
    return 0


def walk(home: Path) -> None:
    """Generate both clients, check and run their walks. Raises CalledProcessError if anything fails."""
    tools = _tools()
    commands = tools / "node_modules" / ".bin"
    generated = tools / "generated"
    shutil.rmtree(generated, ignore_errors=True)
    for file in SOURCE.iterdir():
        shutil.copy(file, tools)
    run([commands / "openapi-typescript", DOCUMENT, "-o", generated / "schema.ts"])
    run([commands / "openapi-ts", "-i", DOCUMENT, "-o", generated / "hey", "--silent"])
    run([commands / "tsc", "-p", tools])
    for name in WALKS:
        bundle = tools / f"{name}.mjs"
        options = [
            "--bundle",
            "--platform=node",
            "--format=esm",
            "--log-level=warning",
            f"--outfile={bundle}",
        ]
        run([commands / "esbuild", tools / f"{name}.ts", *options])
        run(["node", bundle, home / "owner.json"])


def _tools() -> Path:
    """Return the folder with the tools, installed at the first run and when their versions change."""
    folder = TOOLS / "typescript"
    wanted = (SOURCE / "package.json").read_text(encoding="utf-8")
    mark = folder / "installed.json"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(SOURCE / "package.json", folder)
        npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
        run([*npm, "--prefix", str(folder)])
        mark.write_text(wanted, encoding="utf-8")
    return folder


if __name__ == "__main__":
    sys.exit(main())
