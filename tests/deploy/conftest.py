"""A fake AWS CLI that records its arguments."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import bulk, stack
from tests.support.api_client import ENGINE

CLI = """#!{python}
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
responses = json.loads((here / "responses.json").read_text())
response = responses.get(" ".join(sys.argv[1:3]), {{}})
(here / "environment").write_text(json.dumps(dict(os.environ)))
if sys.argv[1:3] == ["lambda", "invoke"]:
    payload = sys.argv[sys.argv.index("--payload") + 1].removeprefix("fileb://")
    (here / "payload").write_text(Path(payload).read_text())
if "file" in response:
    file = sys.argv[-3] if sys.argv[-2] == "--output" else sys.argv[-1]
    Path(file).write_text(json.dumps(response["file"]))
sys.stdout.write(json.dumps(response.get("says", "")) if response.get("says") else "")
sys.stderr.write(response.get("complains", ""))
sys.exit(response.get("status", 0))
"""
OUTPUTS = [
    {"OutputKey": "EndpointURL", "OutputValue": "https://abc.example/api"},
    {"OutputKey": "CreateAccountName", "OutputValue": "service-users-acme-CreateAccount-X"},
    {"OutputKey": "RecoverOwnerName", "OutputValue": "service-users-acme-RecoverOwner-X"},
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto is no judge of concurrency, and not made for it."""
    if not ENGINE:
        monkeypatch.setattr(bulk, "THREADS", 1)


class Aws:
    """The calls of the fake AWS CLI, and its responses."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.responses: dict[str, Any] = {
            "cloudformation describe-stacks": {"says": {"Stacks": [{"Outputs": OUTPUTS}]}},
            "sts get-caller-identity": {"says": {"Account": "123456789012"}},
        }
        cli = home / "aws"
        cli.write_text(CLI.format(python=sys.executable))
        cli.chmod(0o755)
        self.write()

    def write(self) -> None:
        (self._home / "responses.json").write_text(json.dumps(self.responses))

    @property
    def calls(self) -> list[list[str]]:
        file = self._home / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def payload(self) -> Any:
        """What the function was invoked with."""
        return json.loads((self._home / "payload").read_text())

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the last call."""
        made: dict[str, str] = json.loads((self._home / "environment").read_text())
        return made

    def of(self, *words: str) -> list[str]:
        """Return the one call that begins with these words."""
        [one] = [call for call in self.calls if call[: len(words)] == list(words)]
        return one


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    made = tmp_path / "package"
    made.mkdir()
    (made / "sam.json").write_text(json.dumps({"Outputs": {"Release": {"Value": "1.1.0"}}}))
    monkeypatch.setattr(stack, "package", lambda *_: made)
    return Aws(tmp_path)
