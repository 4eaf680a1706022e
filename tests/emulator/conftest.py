"""An emulator of AWS on this machine, and the AWS CLI that is installed beside it."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from deploy import aws_cli
from deploy import package as packaging
from deploy import stack as stack_module
from deploy.__main__ import main
from deploy.stack import Stack, describe_stack, stack_name

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools" / "emulator" / "bin"
LAUNCHER = Path(__file__).with_name("launcher.py")
SENDER = "users@example.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if shutil.which("aws") is None or Path(str(shutil.which("aws"))).parent != TOOLS:
        skip = pytest.mark.skip(reason="needs the emulator: make deploy-test")
        for item in items:
            if here in item.path.parents:
                item.add_marker(skip)


class Emulator:
    """A running emulator, with every AWS variable of this process set to it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._faults = folder / "faults.json"
        self._schedules = folder / "schedules"

    def fail(self, *kinds: str) -> None:
        """Let CloudFormation fail to create or update resources of these types; of none, again."""
        self._faults.write_text(json.dumps(kinds), encoding="utf-8")

    @contextmanager
    def schedules_due(self) -> Iterator[None]:
        """Let every scheduled rule fire each second."""
        self._schedules.touch()
        yield
        self._schedules.unlink()

    def api(self, stack: Stack, stage: str = "api") -> str:
        """Return where a stage of a stack's API is called; an HTTP API has one stage."""
        if api := stack.outputs.get("HttpApiId"):
            return f"{self.url}/_aws/execute-api/{api}/$default"
        return f"{self.url}/restapis/{stack.outputs['RestAPIId']}/{stage}/_user_request_"

    def emails(self) -> list[dict[str, Any]]:
        """Return every email that SES took."""
        with urlopen(f"{self.url}/_ministack/ses/messages", timeout=10) as response:
            taken: dict[str, Any] = json.load(response)
        return [mail for account in taken["messages"].values() for mail in account]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("emulator")
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    settings = {
        "BIND_HOST": "127.0.0.1",  # its default is every interface
        "GATEWAY_PORT": str(port),
        "LAMBDA_EXECUTOR": "local",
        "EMULATOR_FAULTS": str(folder / "faults.json"),
        "EMULATOR_SCHEDULES": str(folder / "schedules"),
        "TMPDIR": str(folder),
    }
    with pytest.MonkeyPatch.context() as patch, (folder / "log").open("w") as log:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        server = subprocess.Popen(
            [TOOLS / "python", LAUNCHER], env={**os.environ, **settings}, cwd=folder, stdout=log, stderr=log
        )
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", folder / "log")
            started = Emulator(port, folder)
            aws_cli.run("sesv2", "create-email-identity", "--email-identity", SENDER)
            yield started
        finally:
            server.terminate()
            server.wait(30)


def wait_for(what: str, there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is there."""
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, f"{what}: not there after {seconds} s"
        time.sleep(0.2)


def wait_until_ready(url: str, log: Path) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            with urlopen(f"{url}/_ministack/health", timeout=5):
                return
        except OSError:
            assert time.monotonic() < ends, log.read_text(encoding="utf-8")
            time.sleep(0.2)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package: the one in SERVICE_USERS_PACKAGE, else one made for this run."""
    if made := os.environ.get("SERVICE_USERS_PACKAGE"):
        return Path(made).absolute()
    return packaging.package("emulated", tmp_path_factory.mktemp("package") / "made", "")


def add_catalogue(made: Path, unpacked: Path, catalogue: str) -> None:
    """Put a catalogue into a package that was made without one, as ``packaging.package`` does."""
    code = made / packaging.UNPACKED
    shutil.copytree(unpacked, code)
    packaging._add_catalogue(code, catalogue)
    packaging._zip(code, made / packaging.CODE)
    template = json.loads((made / packaging.TEMPLATE).read_text(encoding="utf-8"))
    template["Metadata"] = {packaging.METADATA: json.loads(catalogue)}
    (made / packaging.TEMPLATE).write_text(json.dumps(template), encoding="utf-8")


@pytest.fixture(scope="session")
def program(emulator: Emulator, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``python -m deploy``, which takes the package that is made; returns its exit status."""

    def made(stage: str, _out: Path, _architecture: str = "", catalogue: str = "") -> Path:
        copy = tmp_path_factory.mktemp(stage)
        for name in (packaging.TEMPLATE, packaging.CODE):
            shutil.copyfile(package / name, copy / name)
        if catalogue:
            add_catalogue(copy, package / packaging.UNPACKED, catalogue)
        return copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_module, "package", made)
        yield lambda *arguments: main(list(arguments))


@pytest.fixture(scope="session")
def stack(emulator: Emulator, program: Any) -> Stack:
    """A stack that is well."""
    url = "PublicUrl=https://users.example.com"
    assert program("deploy", "--stage", "well", "--sender", SENDER, "--parameters", url) == 0
    return describe_stack(stack_name("well"))
