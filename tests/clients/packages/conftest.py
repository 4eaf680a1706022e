"""Fixtures for the tests of clients/python and clients/cli: ``make clients`` runs them in .tools/clients.

They know the packages and HTTP; the service runs in a process of its own, with .venv.
"""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from service_users_client import Client

from tests.clients.packages.support import Proxy, Server, proxied, served

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("served") / "home") as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxied(server.url) as proxy:
        yield proxy


@pytest.fixture
def owner(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def bot(owner: Client) -> Callable[..., dict[str, Any]]:
    """Makes Service Users with a MONITORING key, each of a new name; returns what the API returned."""

    def make(**more: Any) -> dict[str, Any]:
        username = more.pop("username", f"bot-{next(_NUMBERS)}")
        body = {"username": username, "email": f"{username}@demo.example", "role": "READ_ONLY"}
        body |= {"keyTypes": ["MONITORING"], **more}
        made: dict[str, Any] = owner.request("POST", "/v1/service-users", body=body)
        return made

    return make


def secret_of(made: dict[str, Any]) -> str:
    return str(made["apiKeys"]["apiKeys"][0]["key"])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for profiles, no variables of whoever runs this, and no keyring of theirs."""
    import keyring
    from keyring.backends import null

    for name in ("PROFILE", "URL", "USERNAME", "API_KEY"):
        monkeypatch.delenv(f"SERVICE_USERS_{name}", raising=False)
    folder = tmp_path / "profiles"
    monkeypatch.setenv("SERVICE_USERS_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    keyring.set_keyring(null.Keyring())  # type: ignore[no-untyped-call]
    return folder


class Run:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.pauses: list[float] = []
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path, terminal: bool = False, stdin: str | None = None) -> int:
        """Run it and return the exit code; ``out`` and ``err`` have what it wrote."""
        import io

        from service_users_cli import main, session

        with self._monkeypatch.context() as patch:
            patch.setattr(session.Session, "_sleep", lambda _, seconds: self.pauses.append(seconds))
            patch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
            patch.setattr(sys, "stdin", io.StringIO(stdin or ""))
            code = main.main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *arguments: str | Path, stdin: str | None = None) -> Any:
        """Run it and return the JSON that it wrote; it must succeed."""
        code = self(*arguments, stdin=stdin)
        assert code == 0, self.err
        return json.loads(self.out) if self.out else None


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, without a profile."""
    return Run(capsys, monkeypatch)


@pytest.fixture
def cli(run: Run, server: Server, proxy: Proxy) -> Run:
    """The command line with the OWNER's profile ``demo``, through the proxy."""
    assert (
        run("profile", "add", "demo", "--url", proxy.url, "--username", "owner", stdin=server.owner["apiKey"])
        == 0
    )
    proxy.calls.clear()
    return run
