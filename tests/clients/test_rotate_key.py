"""clients/rotate: a key rotated where it is used, against the API behind a socket that can fail."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from clients.rotate import rotate_key as program
from tests.support.accounts import Accounts
from tests.support.api_client import Key, Stack

HOUR = 3600
DAY = 86_400


class ProgramKilled(BaseException):
    """The program was killed."""


class FaultyServer:
    """A socket in front of the API (or of ``others``), that can lose a response or refuse a call."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.calls: list[str] = []
        self.faults: list[str] = []
        """For each rotation to come: "lost" (done, not answered), "503", "429", "" (none)."""
        self.others: Callable[[str, str, dict[str, str], Any], tuple[int, Any] | None] = lambda *_: None
        front = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def handle_call(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answered = front.answer(self.command, unquote(self.path), dict(self.headers), raw)
                if answered is None:
                    self.close_connection = True
                    return
                status, headers, body = answered
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = handle_call  # noqa: N815 - http.server's names

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(
        self, method: str, path: str, headers: dict[str, str], raw: bytes
    ) -> tuple[int, dict[str, str], bytes] | None:
        """Return a request as the API does, but for a planned fault; None closes the connection."""
        self.calls.append(f"{method} {path}")
        other = self.others(method, path, headers, json.loads(raw) if raw else None)
        if other is not None:
            return other[0], {"Content-Type": "application/json"}, json.dumps(other[1]).encode()
        fault = self.faults.pop(0) if self.faults and path.endswith("/rotate") else ""
        if fault in ("503", "429"):
            problem = json.dumps({"detail": f"Come again. {'suk_' + 'x' * 40}"}).encode()
            return int(fault), {"Retry-After": "7"}, problem
        sent = {"headers": {"Authorization": headers["Authorization"], "Content-Type": "application/json"}}
        told = self.stack.call(method, path, raw=raw or None, **sent)  # type: ignore[arg-type]
        if fault == "lost":
            return None
        return told.status, told.headers, told.text.encode()


@pytest.fixture
def front(stack: Stack) -> Iterator[FaultyServer]:
    front = FaultyServer(stack)
    yield front
    front.server.shutdown()
    front.server.server_close()


@pytest.fixture
def accounts(stack: Stack) -> Accounts:
    return Accounts(stack)


@pytest.fixture
def key(accounts: Accounts) -> Key:
    """A Service User's MONITORING key."""
    return accounts.service_user(keyTypes=["MONITORING"])["MONITORING"]


@pytest.fixture
def file(tmp_path: Path, key: Key) -> Path:
    """A settings file with the key in it."""
    path = tmp_path / "app.env"
    path.write_text(f"# settings\nUSER={key.username}\nAPI_KEY='{key.secret}'\nEND=ü\n")
    path.chmod(0o640)
    return path


def run(front: FaultyServer, key: Key, *arguments: str | Path) -> int:
    """Run the program as the key's holder, with no pauses."""
    given = ["--url", front.url, "--username", key.username, *map(str, arguments)]
    return program.main(given, sleep=lambda _: None)


def key_in(file: Path) -> str:
    found = program.KEY.findall(file.read_text())
    assert len(found) == 1
    return str(found[0])


def signs_in(stack: Stack, username: str, secret: str) -> bool:
    return stack.call("GET", "/v1/whoami", Key(username, secret)).status == 200


def living(stack: Stack, key: Key) -> tuple[str, str | None]:
    """Return the last five of a Service User's key and of the one before it that still works."""
    (told,) = stack.call("GET", f"/v1/service-users/{key.username}", key).json["apiKeys"]["apiKeys"]
    before = told["predecessor"]
    return told["key"][-5:], before and before["key"][-5:]


# A file


def test_a_key_in_a_file_is_replaced_and_nothing_else(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_text()
    assert run(front, key, "--file", file, "--overlap", "1h") == 0
    new = key_in(file)
    assert new != key.secret
    assert file.read_text() == before.replace(key.secret, new)
    assert file.stat().st_mode & 0o7777 == 0o640
    assert signs_in(front.stack, key.username, new)
    assert signs_in(front.stack, key.username, key.secret), "it works for the overlap"
    front.stack.clock.forward(HOUR)
    assert not signs_in(front.stack, key.username, key.secret)
    assert signs_in(front.stack, key.username, new)
    said = capsys.readouterr()
    assert f"rotated: MONITORING …{key.secret[-5:]} to …{new[-5:]}; the old key works until 20" in said.out
    assert not program.KEY.search(said.out + said.err)
    assert sorted(it.name for it in file.parent.iterdir()) == [".app.env.lock", "app.env"]


def test_a_link_stays_a_link(front: FaultyServer, key: Key, file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    assert run(front, key, "--file", link) == 0
    assert link.is_symlink()
    assert key_in(file) != key.secret


@pytest.mark.parametrize("fault", ["lost", "503", "429"])
def test_a_rotation_that_was_not_answered_is_asked_for_again(
    front: FaultyServer, key: Key, file: Path, fault: str
) -> None:
    front.faults = [fault, fault]
    assert run(front, key, "--file", file) == 0
    new = key_in(file)
    assert living(front.stack, Key(key.username, new)) == (new[-5:], key.secret[-5:])


def test_retry_after_is_waited_for(front: FaultyServer, key: Key, file: Path) -> None:
    front.faults = ["429"]
    pauses: list[float] = []
    given = ["--url", front.url, "--username", key.username, "--file", str(file)]
    assert program.main(given, sleep=pauses.append) == 0
    assert pauses == [7]


def test_a_service_that_stays_away_changes_nothing_and_shows_no_key(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    front.faults = ["503"] * program.TRIES
    before = file.read_text()
    assert run(front, key, "--file", file) == 1
    assert file.read_text() == before
    assert signs_in(front.stack, key.username, key.secret)
    said = capsys.readouterr().err
    assert "503 Come again. suk_…" in said
    assert "run again" in said
    assert sorted(it.name for it in file.parent.iterdir()) == [".app.env.lock", "app.env"]


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, name: str, after: bool) -> Iterator[None]:
    """Kill the program at its ``name`` step (before it, or after it took effect)."""
    owner, attribute = {
        "prepare": (program.File, "prepare"),
        "rotate": (program.Service, "rotate"),
        "write": (program.File, "write"),
        "replace": (os, "replace"),
        "beside": (program.File, "_write_beside"),
        "whoami": (program.Service, "whoami"),
    }[name]
    real = getattr(owner, attribute)

    def dying(*given: Any, **more: Any) -> Any:
        if after:
            real(*given, **more)
        raise ProgramKilled

    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, dying)
        yield


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["prepare", "rotate", "beside", "write", "replace", "whoami"])
def test_a_run_killed_at_any_step_leaves_a_working_key_and_the_next_run_finishes(
    front: FaultyServer, key: Key, file: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    for _ in range(3):  # also three times in a row
        with killed_at(monkeypatch, step, after), pytest.raises(ProgramKilled):
            run(front, key, "--file", file)
        assert signs_in(front.stack, key.username, key_in(file)), "what is in place works"
    in_place = key_in(file)
    assert run(front, key, "--file", file) == 0
    new = key_in(file)
    assert new != in_place
    assert living(front.stack, Key(key.username, new)) == (new[-5:], in_place[-5:]), "one successor, not more"
    assert file.stat().st_mode & 0o7777 == 0o640


def test_a_file_that_somebody_prepared_gets_no_key(front: FaultyServer, key: Key, file: Path) -> None:
    """Somebody who may create files in the folder, and may not read the key, keeps one open there."""
    prepared = file.with_name(".app.env.rotating")
    with prepared.open("w+") as theirs:
        prepared.chmod(0o666)
        number = os.fstat(theirs.fileno()).st_ino
        assert run(front, key, "--file", file) == 0
        assert theirs.read() == ""
        assert file.stat().st_ino != number
    assert key_in(file) != key.secret
    assert file.stat().st_mode & 0o7777 == 0o640


def test_the_owner_is_kept_whatever_the_folder_gives_new_files(
    front: FaultyServer, key: Key, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with the set-group-id bit gives new files its own group; only the system knows that."""
    given: list[tuple[int, int]] = []
    before = file.stat()
    real = os.fstat

    def of_another_group(descriptor: int) -> os.stat_result:
        told = list(real(descriptor))
        told[5] += told[1] != before.st_ino  # the file that is there keeps its own
        return os.stat_result(told)

    monkeypatch.setattr(os, "fstat", of_another_group)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    assert run(front, key, "--file", file) == 0
    assert given == [(before.st_uid, before.st_gid)] * 2, "before the rotation, and after it"


def test_a_temporary_file_that_cannot_be_removed_is_found_out_before_any_rotation(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.with_name(".app.env.rotating").mkdir()
    assert run(front, key, "--file", file) == 1
    assert "/.app.env.rotating: " in capsys.readouterr().err
    assert front.calls == ["GET /v1/whoami"]


def test_a_file_that_is_exchanged_during_the_call_gets_no_key(
    front: FaultyServer, key: Key, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or the new key would be written with the owner and mode of whatever somebody put there."""

    def exchange(_method: str, path: str, *_: Any) -> None:
        if path.endswith("/rotate"):
            other = tmp_path / "other"
            other.write_text("API_KEY=mine")
            other.chmod(0o666)
            other.rename(file)

    front.others = exchange
    assert run(front, key, "--file", file, "--overlap", "2h") == 3
    assert file.read_text() == "API_KEY=mine"
    assert "is another file than the one that was read" in capsys.readouterr().err


def test_a_lock_that_is_a_link_is_not_followed(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = file.with_name("made-by-the-link")
    file.with_name(".app.env.lock").symlink_to(target)
    assert run(front, key, "--file", file) == 1
    assert "/.app.env.lock: " in capsys.readouterr().err
    assert not target.exists()
    assert front.calls == []


def test_of_two_runs_at_once_one_gives_way(front: FaultyServer, key: Key, file: Path) -> None:
    with program.File(file).open():
        assert run(front, key, "--file", file) == 1
    assert front.calls == []
    assert run(front, key, "--file", file) == 0


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_whoever_finds_the_lock_taken_leaves_the_other_run_alone(
    front: FaultyServer, key: Key, file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """At any moment, also between writing the successor beside the file and putting it in place."""
    statuses: list[int] = []
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        statuses.append(run(front, key, "--file", file, *arguments))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert run(front, key, "--file", file) == 0
    assert statuses == [program.UNKNOWN if arguments else program.FAILED]
    assert key_in(file) != key.secret
    assert signs_in(front.stack, key.username, key_in(file))


@pytest.mark.parametrize("arguments", [[], ["--older-than", "30d"]])
def test_a_key_that_was_rotated_elsewhere_is_not_rotated_under_its_user(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    path, asked = "/v1/api-keys/rotate", {"overlapSeconds": HOUR}
    successor = front.stack.call("POST", path, key, asked).json["key"]
    assert signs_in(front.stack, key.username, successor), "somebody uses it"
    before = file.read_text()
    assert run(front, key, "--file", file, *arguments) == program.FAILED
    said = capsys.readouterr().err
    assert f"its successor …{successor[-5:]} is in use. Nothing was changed" in said
    assert file.read_text() == before
    assert front.calls == ["GET /v1/whoami"]
    assert signs_in(front.stack, key.username, key.secret), "as long as the overlap lasts"
    assert run(front, key, "--file", file, "--check") == program.WARNING
    assert "is in use: put that one in place" in capsys.readouterr().out
    file.write_text(file.read_text().replace(key.secret, successor))
    assert run(front, key, "--file", file) == 0


@pytest.mark.parametrize("answer", [{}, {"key": None}, {"key": {"key": 7}}])
def test_without_knowing_which_key_is_current_nothing_is_rotated(
    front: FaultyServer, key: Key, file: Path, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    front.others = lambda *_: (200, answer)
    assert run(front, key, "--file", file) == program.FAILED
    assert "names no key. Nothing was changed" in capsys.readouterr().err
    assert front.calls == ["GET /v1/whoami"]


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_no_proxy_gets_the_key_on_its_way_to_this_machine(
    front: FaultyServer, key: Key, file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(front, key, "--file", file) == 0
    assert key_in(file) != key.secret


@pytest.mark.parametrize("text", ["", "no key at all", "suk_A suk_B", b"\xff\xfe"])
def test_a_file_without_exactly_one_key_is_refused_before_any_call(
    front: FaultyServer, key: Key, file: Path, text: str | bytes
) -> None:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run(front, key, "--file", file) == 1
    assert front.calls == []


def test_a_place_that_cannot_be_written_is_found_out_before_the_rotation(
    front: FaultyServer, key: Key, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(front, key, "--file", file) == 1
    assert not [call for call in front.calls if "rotate" in call]


@pytest.mark.parametrize("said", [f"suk_{'x' * 49}\nLD_PRELOAD=/tmp/evil.so", "", None, 7])
def test_a_service_that_was_taken_over_writes_nothing_of_its_own(
    front: FaultyServer, key: Key, file: Path, said: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_text()
    answer = {"key": said, "keyType": "\x1b[2Jfine", "predecessor": {"validUntil": "now\nrotated: fine"}}
    front.others = lambda _method, path, *_: (200, answer) if path.endswith("/rotate") else None
    assert run(front, key, "--file", file) == 3
    assert file.read_text() == before
    [line] = capsys.readouterr().err.splitlines()
    assert "no key of the form" in line
    assert "run again" in line


def test_a_successor_that_cannot_be_stored_is_told_apart_and_the_next_run_mends_it(
    front: FaultyServer,
    key: Key,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        assert run(front, key, "--file", file, "--overlap", "2h") == 3
    assert "works until 20" in capsys.readouterr().err
    assert key_in(file) == key.secret
    assert run(front, key, "--file", file, "--check") == program.WARNING
    assert "its successor: run again" in capsys.readouterr().out
    assert run(front, key, "--file", file, "--older-than", "3650d") == 0, "young or not, it must go"
    assert signs_in(front.stack, key.username, key_in(file))


def test_a_young_key_is_left_alone(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = program.Service(front.url, key.username, 20, lambda _: None)
    now = front.stack.clock()
    assert "not due" in program.rotate(service, program.File(file), HOUR, 30 * DAY, now + 30 * DAY - 1)
    assert key_in(file) == key.secret
    assert "rotated" in program.rotate(service, program.File(file), HOUR, 30 * DAY, now + 30 * DAY)


def test_a_year_of_nightly_runs_refuses_no_reader(front: FaultyServer, key: Key, file: Path) -> None:
    """A fleet reads the file at its own pace, up to an hour late, and is never refused."""
    service = program.Service(front.url, key.username, 20, lambda _: None)
    held = [key.secret] * 3
    for night in range(60):
        program.rotate(service, program.File(file), 2 * HOUR, 5 * DAY, front.stack.clock())
        for reader in range(3):
            assert signs_in(front.stack, key.username, held[reader])
        front.stack.clock.forward(HOUR)
        held[night % 3] = key_in(file)
        for reader in range(3):
            held[reader] = key_in(file)
            assert signs_in(front.stack, key.username, held[reader])
        front.stack.clock.forward(DAY - HOUR)


# Monitoring


def test_check_of_a_key_that_does_not_expire(
    front: FaultyServer, key: Key, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(front, key, "--file", file, "--check") == program.OK
    assert "works and does not expire" in capsys.readouterr().out
    assert front.calls == ["GET /v1/whoami"]


def test_check_of_a_key_that_expires(
    front: FaultyServer, stack: Stack, accounts: Accounts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    end = stack.clock() + 30 * DAY
    moment = program.datetime.fromtimestamp(end, program.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    key = accounts.service_user(keyTypes=["MONITORING"], expiresAt=moment)["MONITORING"]
    file.write_text(key.secret)
    service = program.Service(front.url, key.username, 20, lambda _: None)

    def checked(days: int) -> int:
        moment = stack.clock() + days * DAY
        return program.check(service, program.File(file), 14 * DAY, 2 * DAY, moment)[0]

    assert checked(15) == program.OK
    assert checked(16) == program.WARNING
    assert checked(27) == program.WARNING
    assert checked(28) == program.CRITICAL
    stack.clock.forward(30 * DAY)
    assert run(front, key, "--file", file, "--check") == program.CRITICAL
    said = capsys.readouterr().out
    assert said.startswith("20")
    assert f"CRITICAL: the key …{key.secret[-5:]} does not work: GET /v1/whoami: 401" in said


def test_check_without_a_key_is_unknown(front: FaultyServer, key: Key, tmp_path: Path) -> None:
    assert run(front, key, "--file", tmp_path / "missing", "--check") == program.UNKNOWN
    assert front.calls == []


# Kubernetes


class Cluster:
    """The Secrets of a Kubernetes API: GET and merge PATCH with resourceVersion."""

    def __init__(self, text: str) -> None:
        self.version = 1
        self.data = {"key": base64.b64encode(text.encode()).decode(), "other": "eA=="}
        self.forbidden = False
        self.before_patch: Callable[[], None] = lambda: None
        self.tokens: set[str] = set()

    def __call__(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if not path.startswith("/api/v1/namespaces/shop/secrets/ci-bot"):
            return None
        self.tokens.add(headers["Authorization"])
        if method == "GET":
            return 200, {"metadata": {"resourceVersion": str(self.version)}, "data": self.data}
        assert headers["Content-Type"] == "application/merge-patch+json"
        if self.forbidden:
            return 403, {"message": "secrets is forbidden"}
        if path.endswith("?dryRun=All"):
            return 200, {"metadata": {}}
        self.before_patch()
        if body["metadata"]["resourceVersion"] != str(self.version):
            return 409, {"message": "the object has been modified"}
        self.version += 1
        self.data |= body["data"]
        return 200, {"metadata": {"resourceVersion": str(self.version)}}

    @property
    def text(self) -> str:
        return base64.b64decode(self.data["key"]).decode()


@pytest.fixture
def cluster(front: FaultyServer, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster with the key in a Secret; the program runs in a pod of it."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("pod-token\n")
    (account / "ca.crt").write_text("")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(front.server.server_port))
    init = program.KubernetesSecret.__init__

    def at_front(self: Any, place: str, timeout: float) -> None:
        monkeypatch.setattr(program.ssl, "create_default_context", lambda cafile: None)
        init(self, place, timeout, account)
        self._url = self._url.replace("https:", "http:")  # the fake has no certificate

    monkeypatch.setattr(program.KubernetesSecret, "__init__", at_front)
    cluster = Cluster(f"API_KEY={key.secret}\n")
    front.others = cluster
    return cluster


def test_a_key_in_a_kubernetes_secret(front: FaultyServer, key: Key, cluster: Cluster) -> None:
    assert run(front, key, "--kubernetes", "shop/ci-bot/key") == 0
    new = program.KEY.findall(cluster.text)[0]
    assert cluster.text == f"API_KEY={new}\n"
    assert new != key.secret
    assert signs_in(front.stack, key.username, new)
    assert cluster.data["other"] == "eA=="
    assert cluster.tokens == {"Bearer pod-token"}


def test_a_missing_right_in_the_cluster_shows_before_the_rotation(
    front: FaultyServer, key: Key, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.forbidden = True
    assert run(front, key, "--kubernetes", "shop/ci-bot/key") == 1
    assert not [call for call in front.calls if "rotate" in call]
    assert "403): secrets is forbidden" in capsys.readouterr().err


def test_a_secret_changed_meanwhile_in_another_entry_is_patched_all_the_same(
    front: FaultyServer, key: Key, cluster: Cluster
) -> None:
    def once() -> None:
        cluster.version += 1
        cluster.data["other"] = "eQ=="
        cluster.before_patch = lambda: None

    cluster.before_patch = once
    assert run(front, key, "--kubernetes", "shop/ci-bot/key") == 0
    assert cluster.data["other"] == "eQ=="
    assert key.secret not in cluster.text


def test_a_key_changed_meanwhile_by_somebody_else_is_not_overwritten(
    front: FaultyServer, key: Key, cluster: Cluster
) -> None:
    theirs = "API_KEY=suk_theirs\n"

    def theirs_first() -> None:
        cluster.version += 1
        cluster.data["key"] = base64.b64encode(theirs.encode()).decode()

    cluster.before_patch = theirs_first
    assert run(front, key, "--kubernetes", "shop/ci-bot/key") == 3
    assert cluster.text == theirs


@pytest.mark.parametrize("place", ["shop/ci-bot", "shop//key", "a/b/c/d", "shop/ci-bot/none"])
def test_a_secret_that_is_not_there_is_told(
    front: FaultyServer, key: Key, cluster: Cluster, place: str
) -> None:
    assert run(front, key, "--kubernetes", place) in (1, 2)
    assert not [call for call in front.calls if "rotate" in call]


# GitHub Actions


SEALED_BOX = program._sealed_box


@pytest.fixture
def github(front: FaultyServer, key: Key, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """GitHub's API; what it was given stands in the returned dict. The library is a stand-in."""
    stored: dict[str, Any] = {"status": 204}

    def answer(method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if not path.startswith("/repos/acme/shop/actions/secrets/"):
            return None
        assert headers["Authorization"] == "Bearer gh-token"
        if method == "GET":
            return 200, {"key_id": "7", "key": base64.b64encode(b"public").decode()}
        stored.update(body, name=path.rpartition("/")[2])
        return stored["status"], {"message": "Bad credentials"}

    front.others = answer
    monkeypatch.setenv("GITHUB_TOKEN", "gh-token")
    monkeypatch.setenv(program.KEY_VARIABLE, key.secret)
    monkeypatch.setattr(program, "_sealed_box", lambda: lambda public, message: public + message[::-1])
    return stored


def test_a_github_secret_is_sealed_for_the_repository(
    front: FaultyServer, key: Key, github: dict[str, Any]
) -> None:
    assert run(front, key, "--github", "acme/shop/CI_KEY", "--github-api", front.url) == 0
    assert (github["name"], github["key_id"]) == ("CI_KEY", "7")
    new = base64.b64decode(github["encrypted_value"]).removeprefix(b"public")[::-1].decode()
    assert new != key.secret
    assert signs_in(front.stack, key.username, new)


def test_a_github_that_refuses_leaves_the_former_key_working(
    front: FaultyServer, key: Key, github: dict[str, Any]
) -> None:
    github["status"] = 401
    assert run(front, key, "--github", "acme/shop/CI_KEY", "--github-api", front.url) == 3
    assert signs_in(front.stack, key.username, key.secret)
    github["status"] = 204
    assert run(front, key, "--github", "acme/shop/CI_KEY", "--github-api", front.url) == 0


def test_without_the_sealing_library_nothing_is_rotated(
    front: FaultyServer, key: Key, github: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_sealed_box", SEALED_BOX)
    monkeypatch.setitem(sys.modules, "nacl.public", None)
    assert run(front, key, "--github", "acme/shop/CI_KEY", "--github-api", front.url) == 1
    assert front.calls == ["GET /v1/whoami"]


# Any command


def test_a_command_gets_the_key_on_its_standard_input_alone(
    front: FaultyServer, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(program.KEY_VARIABLE, key.secret)
    target = tmp_path / "stored"
    script = tmp_path / "store.py"
    script.write_text(
        "import os, sys\n"
        f"open({str(target)!r}, 'w').write(sys.stdin.read())\n"
        f"assert {program.KEY_VARIABLE!r} not in os.environ\n"
    )
    assert run(front, key, "--command", f"{sys.executable} {script}") == 0
    assert target.read_text() != key.secret
    assert signs_in(front.stack, key.username, target.read_text())


@pytest.mark.parametrize(("command", "status"), [("false", 3), ("no-such-command-here", 1), ("", 2)])
def test_a_command_that_fails_is_told(
    front: FaultyServer, key: Key, monkeypatch: pytest.MonkeyPatch, command: str, status: int
) -> None:
    monkeypatch.setenv(program.KEY_VARIABLE, key.secret)
    assert run(front, key, "--command", command) == status
    assert signs_in(front.stack, key.username, key.secret)


@pytest.mark.parametrize("error", [KeyError("key"), AttributeError("None"), FileNotFoundError(2, "suk_abc")])
def test_any_failure_of_a_destination_after_the_rotation_is_told_as_not_stored(
    front: FaultyServer,
    key: Key,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(program.File, "write", fail)
        assert run(front, key, "--file", file) == program.NOT_STORED
    [line] = capsys.readouterr().err.splitlines()
    assert f"The destination failed ({type(error).__name__}: " in line
    assert f"The key in place, …{key.secret[-5:]}, works until 20" in line
    assert "abc" not in line
    assert run(front, key, "--file", file) == 0


def test_a_command_that_cannot_be_started_after_the_rotation_is_told(
    front: FaultyServer, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(program.KEY_VARIABLE, key.secret)
    script = tmp_path / "store"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert run(front, key, "--command", str(script)) == program.NOT_STORED


# Every destination, killed at any line


@pytest.fixture
def no_socket(front: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the program's calls directly, which takes a tenth of the time."""

    def request(
        method: str, url: str, headers: dict[str, str], body: Any, timeout: float, context: Any = None
    ) -> program.Response:
        parts = urlsplit(url)
        path = unquote(parts.path) + (f"?{parts.query}" if parts.query else "")
        given = {"Content-Type": "application/json", **headers}
        answered = front.answer(method, path, given, b"" if body is None else json.dumps(body).encode())
        assert answered is not None
        return program._response(*answered)

    monkeypatch.setattr(program, "_request", request)


@contextmanager
def lines_counted(last: int = 0) -> Iterator[list[int]]:
    """Yield the lines of the program as they are first reached, and kill it at the ``last``-th of them."""
    reached: list[int] = []

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != program.__file__ or frame.f_code.co_name == "_parser":
            return None
        if event == "line" and frame.f_lineno not in reached:
            reached.append(frame.f_lineno)
            if len(reached) == last:
                raise ProgramKilled
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(before)


@contextmanager
def lock_released(file: Path) -> Iterator[None]:
    """Close the lock that a killed run left open, as the end of its process does."""
    opened: list[int] = []
    real = os.open

    def remembered(*given: Any, **more: Any) -> int:
        opened.append(real(*given, **more))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", remembered)
        yield
    lock = file.with_name(f".{file.name}.lock")
    for descriptor in set(opened):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                os.close(descriptor)


@pytest.mark.usefixtures("no_socket")
@pytest.mark.parametrize("destination", ["file", "kubernetes", "github", "command"])
def test_a_run_killed_at_any_line_leaves_a_working_key_and_the_next_finishes(
    front: FaultyServer,
    key: Key,
    tmp_path: Path,
    destination: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    stored = tmp_path / "stored"
    stored.write_text(key.secret)
    (tmp_path / "store.sh").write_text(f'cat > "{stored}.new" && mv "{stored}.new" "{stored}"\n')
    told = request.getfixturevalue({"kubernetes": "cluster", "github": "github"}.get(destination, "key"))
    arguments = {
        "file": ["--file", str(stored)],
        "kubernetes": ["--kubernetes", "shop/ci-bot/key"],
        "github": ["--github", "acme/shop/CI_KEY", "--github-api", front.url],
        "command": ["--command", f"sh {tmp_path}/store.sh"],
    }[destination]

    def in_place() -> str:
        """Return the key that is stored, which the environment has where the destination cannot tell it."""
        now = stored.read_text()
        if destination == "kubernetes":
            now = program.KEY.findall(told.text)[0]
        elif destination == "github" and "encrypted_value" in told:
            now = base64.b64decode(told["encrypted_value"]).removeprefix(b"public")[::-1].decode()
        monkeypatch.setenv(program.KEY_VARIABLE, now)
        return now

    in_place()
    with lines_counted() as every:
        assert run(front, key, *arguments) == 0
    assert len(every) > 50
    for place in range(1, len(every) + 1):
        in_place()
        with lock_released(stored), lines_counted(place) as reached, pytest.raises(ProgramKilled):
            run(front, key, *arguments)
        left = in_place()
        assert signs_in(front.stack, key.username, left), f"killed at line {reached[-1]}"
        assert run(front, key, *arguments) == 0
        new = in_place()
        assert living(front.stack, Key(key.username, new)) == (new[-5:], left[-5:]), "one successor"


# The program itself


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "http://api.example"),
        ("--url", "ftp://127.0.0.1"),
        ("--url", ""),
        ("--overlap", "59s"),
        ("--overlap", "8d"),
        ("--overlap", "soon"),
        ("--kubernetes", "a/b/c"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_done(
    front: FaultyServer, key: Key, file: Path, arguments: tuple[str, ...]
) -> None:
    try:
        status = run(front, key, "--file", file, *arguments)
    except SystemExit as refused:
        status = int(str(refused.code))
    assert status == program.USAGE
    assert front.calls == []


def test_a_redirect_is_not_followed_with_the_credentials(front: FaultyServer, key: Key, file: Path) -> None:
    visited: list[str] = []

    def elsewhere(_method: str, path: str, headers: dict[str, str], _body: Any) -> tuple[int, Any] | None:
        visited.append(path)
        return 307, {}

    front.others = elsewhere
    assert run(front, key, "--file", file) == 1
    assert visited == ["/v1/whoami"]


def test_it_runs_alone_on_the_standard_library(tmp_path: Path) -> None:
    """Copied somewhere, isolated from everything installed."""
    copy = tmp_path / "rotate_key.py"
    copy.write_text(Path(program.__file__).read_text())
    done = subprocess.run(
        [sys.executable, "-I", "-S", copy, "--help"], capture_output=True, text=True, check=True
    )
    assert "--older-than" in done.stdout


# The page


def test_every_option_and_status_of_the_page_is_the_programs() -> None:
    folder = Path(program.__file__).parent
    page = (folder / "README.md").read_text() + (folder / "kubernetes.yaml").read_text()
    parser = program._parser()
    known = {option for action in parser._actions for option in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - {"--from-file"}
    assert named <= known
    assert {
        "--file",
        "--kubernetes",
        "--github",
        "--command",
        "--check",
        "--older-than",
        "--overlap",
    } <= named
