"""Runs third-party tools on the API, over HTTP on the local server. ``.ci/run`` runs this.

    python -m tests.contract.run [--examples 20] [--seed 1]

Redocly lints the OpenAPI document. openapi-python-client generates a client that goes through a
customer's steps (``walk.py``), as do two in TypeScript (``typescript_clients.py``). The collections that
Postman and Bruno import are run (``importers.py``). Schemathesis makes requests in all its phases. Each tool
is pinned and installed in .tools/ at the first run. The API uses the
engine at DYNAMODB_LOCAL_URL if set, else moto.
"""

import argparse
import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from local import budgets

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
TOOLS = ROOT / ".tools"
DOCUMENT = ROOT / "docs" / "openapi.json"
REQUIREMENTS = ROOT / "requirements-contract.txt"
REDOCLY = "2.77.0"
SECONDS_TO_START = 120
CHAINED = 2
"""Runs of the phase that chains calls."""


def main() -> int:
    """Run everything; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.run", description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="generated requests a call and phase")
    parser.add_argument("--seed", type=int, default=1, help="what the generated requests come from")
    options = parser.parse_args()
    from tests.contract import importers, typescript_clients  # which use this module

    python = _environment()
    lint()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "home") as (home, log):
        walk(python, Path(folder) / "client", home)
        typescript_clients.walk(home)
        importers.walk(home)
        judge(python, home, log, options.examples, options.seed)
    return 0


def lint() -> None:
    """Lint the document. Raises CalledProcessError for a finding."""
    redocly = TOOLS / f"redocly-{REDOCLY}"
    if not redocly.exists():
        npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--no-save"]
        run([*npm, "--prefix", f"{redocly}.new", f"@redocly/cli@{REDOCLY}"])
        Path(f"{redocly}.new").rename(redocly)
    command = redocly / "node_modules" / ".bin" / "redocly"
    run([command, "lint", "--config", HERE / "redocly.yaml", DOCUMENT], REDOCLY_TELEMETRY="off")


def walk(python: Path, folder: Path, home: Path) -> None:
    """Generate a client from the document and run the walk. Raises CalledProcessError if it fails."""
    generator = [python.with_name("openapi-python-client"), "generate", "--path", DOCUMENT, "--meta", "none"]
    generator += ["--output-path", folder / "service_users_client", "--fail-on-warning"]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # where it finds the formatter it calls
    run(generator, PATH=path)  # type: ignore[arg-type]
    run([python, HERE / "walk.py", folder, home / "owner.json"])


def judge(python: Path, home: Path, log: Path, examples: int, seed: int) -> None:
    """Let Schemathesis make requests. Raises CalledProcessError for a finding or any 5xx."""
    url = re.search(r'"baseUrl": "([^"]+)"', (home / "owner.json").read_text(encoding="utf-8"))
    assert url is not None
    command = [python.with_name("st"), "--config-file", HERE / "schemathesis.toml", "run"]
    command += [f"{url[1]}/openapi.json", "--max-examples", str(examples), "--no-color"]
    # How long it takes to make a request up says nothing about the API, and much about what else runs here.
    command += ["--suppress-health-check", "too_slow"]
    # A chain of calls goes another way when it is played again, because its names are taken by then, and
    # Hypothesis ends the phase there, after two or three dozen. So that phase is run from several seeds.
    seeds = [("examples,coverage,fuzzing", seed), *(("stateful", seed + more) for more in range(CHAINED))]
    try:
        for phases, each in seeds:
            run([*command, "--phases", phases, "--seed", str(each)], cwd=HERE, CONTRACT_HOME=str(home))  # type: ignore[list-item]
    finally:
        answered = collections.Counter(
            re.findall(r"^  \d\d:\d\d:\d\d  (\d{3}) ", log.read_text(encoding="utf-8"), re.MULTILINE)
        )
        print(f"{answered.total()} requests answered:", dict(sorted(answered.items())))
        if (findings := home / "findings.txt").exists():  # a long log is cut to its end
            print("Good requests that were refused:", findings.read_text(encoding="utf-8"), sep="\n")
    if any(status >= "500" for status in answered):
        print(log.read_text(encoding="utf-8")[-4000:])
        raise SystemExit("The server failed: see above.")


@contextlib.contextmanager
def served(home: Path) -> Iterator[tuple[Path, Path]]:
    """Serve the API while the block runs; yield its folder and the log of its responses."""
    environment = {**os.environ, **budgets.HIGHEST}
    if engine := environment.get("DYNAMODB_LOCAL_URL"):
        environment["AWS_ENDPOINT_URL_DYNAMODB"] = engine
    log = home.with_suffix(".log")
    with log.open("w", encoding="utf-8") as out:
        command = [sys.executable, "-m", "local.run", "--port", "0", "--home", home]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)  # type: ignore[arg-type]
    try:
        end = time.monotonic() + SECONDS_TO_START
        while not (home / "owner.json").exists():
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"The server did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield home, log
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def _environment() -> Path:
    """Return the Python with the tools, set up at the first run and when the requirements change."""
    folder = TOOLS / "contract"
    python = folder / "bin" / "python"
    mark = folder / "requirements.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", "--without-pip", folder])
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
        locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
        run([*pip, "install", "-q", *locked, "-r", REQUIREMENTS])  # type: ignore[list-item]
        mark.write_text(wanted, encoding="utf-8")
    return python


def run(command: Sequence[str | Path], cwd: Path = ROOT, **environment: str) -> None:
    """Print a command and run it. Raises CalledProcessError if it fails."""
    print("$", *(str(word).replace(f"{ROOT}/", "") for word in command), flush=True)
    subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, check=True)


if __name__ == "__main__":
    sys.exit(main())
