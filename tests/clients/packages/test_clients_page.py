"""docs/clients.md: every block for the shell and for Python runs, in order, and its exit codes are right."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from service_users_cli.main import EXIT_CODES
from service_users_client import Client

from tests.clients.packages.kill_and_resume import environment
from tests.clients.packages.support import ROOT, Server

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
TOLD_URL = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_runs(server: Server, tmp_path: Path, home: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "service-users"
    program.write_text(f"#!{sys.executable}\nfrom service_users_cli.main import entry\nentry()\n")
    program.chmod(0o700)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "owner.json").write_text(json.dumps(server.owner))
    (tmp_path / ".local" / "owner.json").chmod(0o600)
    script = "set -eo pipefail\n" + "".join(blocks("sh"))
    variables = environment(home) | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "exit code 4" in done.stdout
    assert '"wouldCreate": 3' in done.stdout
    assert not re.search(r"suk_[0-9A-Za-z]{20}", done.stdout + done.stderr)
    lines = [json.loads(line) for line in (tmp_path / "rotated.keys").read_text().splitlines()]
    assert sorted(line["username"] for line in lines) == ["till-001", "till-002", "till-003", "till-003"]

    saved: list[str] = []
    key = next(line["key"] for line in lines if line["username"] == "till-001")
    for block in blocks("python"):
        names = {"key": key, "save": saved.append}
        source = block.replace(TOLD_URL, server.url)
        exec(compile(f"{blocks('python')[0].partition('with')[0]}{source}", "docs/clients.md", "exec"), names)
    with Client(server.url, "till-001", saved[0]) as machine:
        assert machine.whoami().username == "till-001"


def test_the_exit_codes_are_the_programs() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert told == set(EXIT_CODES)
