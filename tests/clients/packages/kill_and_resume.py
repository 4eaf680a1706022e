"""Create Service Users by the command line from a CSV file, kill it at random moments, and resume it.

    .tools/clients/bin/python -m tests.clients.packages.kill_and_resume [--rows 1000] [--kills 5] [--seed 1]

Then every Service User of the file must exist once, and every key in the key file must sign in. A kill is
SIGKILL at a random call: before the service gets it, or after it has done it and before its response is sent.
The budgets of ``make run`` are raised as an operator raises them (docs/operations.md). Run it with
PYTHONPATH=clients/python/src:clients/cli/src.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from service_users_client import Client, Unauthenticated

from tests.clients.packages.support import SOURCES, Proxy, Server, proxied, served


class Figures(NamedTuple):
    """What was seen."""

    rows: int
    kills: int
    runs: int
    created: int
    keys: int
    working: int
    recovered: int
    seconds: float


def environment(home: Path) -> dict[str, str]:
    """Return the environment of the command line, without a keyring."""
    return {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "SERVICE_USERS_HOME": str(home),
    }


def command(home: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
    """Start the command line."""
    return subprocess.Popen(
        [sys.executable, "-c", "from service_users_cli.main import entry; entry()", *map(str, arguments)],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_and_resume(server: Server, proxy: Proxy, folder: Path, rows: int, kills: int, seed: int) -> Figures:
    """Create ``rows`` Service Users with so many kills. Raises AssertionError if one or a key is missing."""
    chance = random.Random(seed)
    prefix = f"killed-{seed}-"
    file, keys, home = folder / "machines.csv", folder / "machines.keys", folder / "home"
    lines = "".join(
        f"{prefix}{number},{prefix}{number}@demo.example,READ_ONLY,MONITORING PROVISIONING_READONLY\n"
        for number in range(rows)
    )
    file.write_text(f"username,email,role,keyTypes\n{lines}")
    added = command(
        home, "profile", "add", "demo", "--url", proxy.url, "--username", server.owner["username"]
    )
    assert added.communicate(server.owner["apiKey"])[1] == ""
    assert added.returncode == 0

    moments = sorted(chance.sample(range(1, rows), kills))
    made = 0
    lock = threading.Lock()
    process: subprocess.Popen[str]

    def kill_at(phase: str) -> None:
        nonlocal made
        with lock:
            if phase == "before":
                made += 1
            if moments and made >= moments[0] and phase == phases[0]:
                moments.pop(0)
                phases.pop(0)
                process.send_signal(signal.SIGKILL)
                process.wait()

    phases = [chance.choice(["before", "after"]) for _ in moments]
    creates = ("POST", "/v1/service-users")
    proxy.before = lambda *call: kill_at("before") if call == creates else None
    proxy.after = lambda *call: kill_at("after") if call == creates else None

    began = time.monotonic()
    runs = recovered = 0
    while True:
        runs += 1
        process = command(home, "bulk", "create", file, "--keys", keys, "--json")
        out, err = process.communicate()
        if process.returncode == 0:
            report = json.loads(out)
            recovered += report["recovered"]
            break
        assert process.returncode == -signal.SIGKILL, err
    seconds = time.monotonic() - began
    assert not moments
    assert report["refused"] == []

    with server.client() as owner:
        existing = [it["username"] for it in owner.items("/v1/service-users", {"prefix": prefix})]
    assert sorted(existing) == sorted(f"{prefix}{number}" for number in range(rows)), "each exactly once"
    stored = [json.loads(line) for line in keys.read_text().splitlines()]
    assert sorted(line["username"] for line in stored) == sorted(existing), "each has one line"
    working = 0
    for line in stored:
        assert set(line["keys"]) == {"MONITORING", "PROVISIONING_READONLY"}
        for key in line["keys"].values():
            with Client(server.url, line["username"], key) as client:
                try:
                    working += client.whoami().username == line["username"]
                except Unauthenticated:
                    print("refused:", line["username"])
    figures = Figures(
        rows, kills, runs, len(existing), 2 * len(stored), working, recovered, round(seconds, 1)
    )
    assert figures.working == figures.keys, figures
    return figures


def main() -> int:
    """Run it once and print the figures."""
    parser = argparse.ArgumentParser(prog="kill_and_resume", description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        served(Path(name) / "served") as server,
        proxied(server.url) as proxy,
    ):
        print(kill_and_resume(server, proxy, Path(name), options.rows, options.kills, options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
