"""AWS's own DynamoDB Local around a command: ``python -m local.dynamodb_local -- <command…>``.

moto is quick and needs nothing, but it is no judge of concurrency. This engine is: it is the
one AWS publishes, here as it lies in an npm package of a fixed version and checksum. It needs
Java 17 to run, and npm once, to fetch it into ``.tools/``.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

PACKAGE = "amplify-dynamodb-simulator"
VERSION = "2.9.30"
SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"

TOOLS = Path(__file__).resolve().parent.parent / ".tools"
START_SECONDS = 60
REGION = "eu-central-1"


class EngineError(Exception):
    """The engine cannot be had or does not start; the text says what to do."""


def fetch(tools: Path = TOOLS) -> Path:
    """Answer the folder of the unpacked engine, fetching it first if it is not there.

    Raises EngineError if npm is missing or fails, or if what it brought is not what we expect.
    """
    home = tools / f"{PACKAGE}-{VERSION}"
    if home.is_dir():
        return home
    npm = shutil.which("npm")
    if npm is None:
        raise EngineError(
            "DynamoDB Local is fetched with npm, which is not here: install npm "
            "(Debian: apt-get install npm; macOS: brew install node)."
        )
    tools.mkdir(parents=True, exist_ok=True)
    print(f"Fetching DynamoDB Local (npm {PACKAGE}@{VERSION}, 57 MB) …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=tools) as scratch:
        packed = subprocess.run(
            [npm, "pack", "--silent", "--pack-destination", scratch, f"{PACKAGE}@{VERSION}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if packed.returncode:
            raise EngineError(f"npm could not fetch {PACKAGE}@{VERSION}:\n{packed.stderr.strip()}")
        archive = Path(scratch) / packed.stdout.strip().splitlines()[-1]
        unpacked = unpack(archive, Path(scratch), SHA256)
        # Renamed in one go, so that a folder of that name is always a whole engine; where
        # another process was quicker, theirs is as good.
        with contextlib.suppress(OSError):
            unpacked.rename(home)
    return home


def unpack(archive: Path, into: Path, sha256: str) -> Path:
    """Unpack the ``emulator`` folder of ``archive``, checked against ``sha256``, and answer where it is.

    Raises EngineError on another checksum, before anything is unpacked.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise EngineError(
            f"{archive.name} is not the file we know: its SHA-256 is {found}, expected {sha256}. Not used."
        )
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith("package/emulator/")]
        tar.extractall(into, members)
    return into / "package" / "emulator"


@contextlib.contextmanager
def running(home: Path | None = None) -> Iterator[str]:
    """Run an engine, empty and in memory, and give its URL; it stops when the block ends.

    Raises EngineError if Java is missing or the engine does not answer within a minute.
    """
    java = shutil.which("java")
    if java is None:
        raise EngineError(
            "DynamoDB Local runs on Java 17, which is not here: install java "
            "(Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17)."
        )
    home = home or fetch()
    for _ in range(3):
        # Between finding a free port and the engine taking it somebody else may: then again.
        port = _free_port()
        with tempfile.TemporaryFile() as log:
            engine = subprocess.Popen(
                [
                    *(java, "-XX:+UseSerialGC", "-Xshare:auto", "-Djava.library.path=DynamoDBLocal_lib"),
                    *("-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb", "-disableTelemetry"),
                    *("-port", str(port)),
                ],
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the command; the engine must outlive it to let it finish.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
            try:
                if _answers(engine, port):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                _stop(engine)
            log.seek(0)
            said = log.read().decode(errors="replace").strip()
    raise EngineError(f"DynamoDB Local does not start (Java 17 or newer is needed). It said:\n{said}")


def environment(url: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Answer the environment in which every AWS client talks to the engine at ``url``.

    Whatever real credentials and profile ``inherited`` has are left out.
    """
    kept = {k: v for k, v in inherited.items() if k not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")}
    return kept | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": url,
        # Else botocore puts the account into the host name, and DescribeStream is not found.
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "DYNAMODB_LOCAL_URL": url,
    }


def run(command: Sequence[str]) -> int:
    """Run ``command`` beside an engine and answer its exit status (128 + n if signal n ended it).

    Raises EngineError if there is no engine to be had or no such command.
    """
    # Python's own way with SIGTERM is to die on the spot and leave the engine behind.
    command_process: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: FrameType | None) -> None:
        if command_process is None:
            raise SystemExit(128 + number)
        if number != signal.SIGINT:  # the terminal has sent that one to the command already
            command_process.send_signal(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, forward) for number in signals}
    try:
        with running() as url:
            try:
                command_process = subprocess.Popen(command, env=environment(url, os.environ))
            except OSError as error:
                raise EngineError(f"Cannot run {command[0]}: {error.strerror}.") from error
            status = command_process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def main(arguments: Sequence[str]) -> int:
    """Run the command after ``--`` beside an engine and answer the exit status to end with."""
    command = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    if not command:
        print("usage: python -m local.dynamodb_local -- <command…>", file=sys.stderr)
        return 2
    try:
        return run(command)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _answers(engine: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the engine answers (True) or has ended or takes too long (False)."""
    deadline = time.monotonic() + START_SECONDS
    while engine.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return engine.poll() is None
        finally:
            connection.close()
    return False


def _stop(engine: subprocess.Popen[bytes]) -> None:
    engine.kill()  # all it holds is in memory
    engine.wait()


def _die_with_parent() -> None:
    """Have Linux end this process with its parent, also when the parent is killed outright."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
