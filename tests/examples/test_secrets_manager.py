"""examples/secrets-manager: the rotation function between moto's Secrets Manager and the API."""

import importlib.util
import json
import random
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from moto import mock_aws

from tests.support.accounts import Accounts
from tests.support.api_client import Key, Stack

FOLDER = Path(__file__).resolve().parent.parent.parent / "examples" / "secrets-manager"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
HOUR = 3600
OVERLAP = 48 * HOUR


class FunctionKilled(BaseException):
    """The function's environment is gone."""


@pytest.fixture(scope="module")
def rotation() -> ModuleType:
    """The function's module, loaded as Lambda loads it."""
    spec = importlib.util.spec_from_file_location("rotation", FOLDER / "rotation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class RotatedSecret:
    """A secret of one Service User, and Secrets Manager as it drives the function."""

    def __init__(self, rotation: ModuleType, stack: Stack, key: Key, patch: pytest.MonkeyPatch) -> None:
        import boto3

        self.rotation = rotation
        self.stack = stack
        self.username = key.username
        self.client = boto3.client("secretsmanager")
        value = {"url": "https://api.example", "username": key.username, "apiKey": key.secret, "note": "kept"}
        self.arn = self.client.create_secret(Name=uuid.uuid4().hex, SecretString=json.dumps(value))["ARN"]
        self.refusals: list[str] = []
        self.before_call: Callable[[str], None] = lambda _path: None
        patch.setattr(rotation, "call", self._call)
        described = self.client.describe_secret
        patch.setattr(self.client, "describe_secret", self._described(described))
        patch.setattr(boto3, "client", lambda _name: self.client)

    def _described(self, described: Callable[..., Any]) -> Callable[..., Any]:
        """Secrets Manager lists the version being made, with AWSPENDING, before it holds anything."""

        def describe(**given: Any) -> Any:
            told = described(**given)
            told["RotationEnabled"] = True
            if self.token:
                told["VersionIdsToStages"].setdefault(self.token, ["AWSPENDING"])
            return told

        return describe

    token = ""

    def _call(self, secret: dict[str, Any], method: str, path: str, body: Any = None) -> dict[str, Any]:
        self.before_call(path)
        key = Key(secret["username"], secret["apiKey"])
        given = () if body is None else (body,)
        response = self.stack.call(method, path, key, *given)
        if response.status != 200:
            raise self.rotation.RefusedError(response.status, response.text)
        return dict(response.json)

    def begin(self) -> None:
        """Start a rotation: a new version that holds nothing yet."""
        self.token = str(uuid.uuid4())

    def step(self, name: str) -> None:
        self.rotation.handler({"Step": name, "SecretId": self.arn, "ClientRequestToken": self.token}, None)

    def rotate(self) -> None:
        self.begin()
        for name in STEPS:
            self.step(name)

    def key(self, stage: str = "AWSCURRENT") -> Key:
        found = self.client.get_secret_value(SecretId=self.arn, VersionStage=stage)
        value = json.loads(found["SecretString"])
        assert value["note"] == "kept"
        return Key(value["username"], value["apiKey"])

    def works(self, stage: str = "AWSCURRENT") -> bool:
        return self.stack.call("GET", "/v1/whoami", self.key(stage)).status == 200


@pytest.fixture
def rotated_secret(
    rotation: ModuleType, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RotatedSecret]:
    key = Accounts(stack).service_user(keyTypes=["MONITORING"])["MONITORING"]
    with mock_aws():
        yield RotatedSecret(rotation, stack, key, monkeypatch)


@contextmanager
def dying_at(module: ModuleType, line: int) -> Iterator[list[int]]:
    """Kill the function as it comes to its ``line``-th line; the list has how many it came to."""
    lines = [0]

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != module.__file__ or frame.f_code.co_name == "<genexpr>":
            return None  # A generator has a line for each version there ever was.
        if event == "line":
            lines[0] += 1
            if lines[0] == line:
                raise FunctionKilled
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def test_a_rotation_leaves_both_versions_working_for_the_overlap(rotated_secret: RotatedSecret) -> None:
    former = rotated_secret.key()
    rotated_secret.rotate()
    assert rotated_secret.key() != former
    assert rotated_secret.key("AWSPREVIOUS") == former
    assert rotated_secret.works()
    assert rotated_secret.works("AWSPREVIOUS")
    rotated_secret.stack.clock.forward(OVERLAP - 1)
    assert rotated_secret.works("AWSPREVIOUS")
    rotated_secret.stack.clock.forward(1)
    assert not rotated_secret.works("AWSPREVIOUS")
    assert rotated_secret.works()


def test_every_step_may_be_called_twice(rotated_secret: RotatedSecret) -> None:
    rotated_secret.begin()
    for name in STEPS:
        rotated_secret.step(name)
        rotated_secret.step(name)
        assert rotated_secret.works()
    for name in STEPS:
        rotated_secret.step(name)  # A doubled event comes late.
    assert rotated_secret.works()
    assert rotated_secret.works("AWSPREVIOUS")


@pytest.mark.parametrize("name", STEPS)
def test_a_step_killed_at_any_line_is_completed_by_the_next_call(
    rotated_secret: RotatedSecret, rotation: ModuleType, name: str
) -> None:
    line, finished = 0, False
    while not finished:
        line += 1
        rotated_secret.begin()
        for step in STEPS[: STEPS.index(name)]:
            rotated_secret.step(step)
        with dying_at(rotation, line):
            try:
                rotated_secret.step(name)
                finished = True
            except FunctionKilled:
                pass
        assert rotated_secret.works()
        for step in STEPS[STEPS.index(name) :]:
            rotated_secret.step(step)
            assert rotated_secret.works()
        assert rotated_secret.works("AWSPREVIOUS")
        rotated_secret.stack.clock.forward(OVERLAP + 1)
        assert rotated_secret.works()
    assert line > 3


def test_a_fleet_is_never_refused_over_200_rotations_killed_at_every_line(
    rotated_secret: RotatedSecret, rotation: ModuleType
) -> None:
    """Each client reads the secret at its own pace, at the latest within the overlap."""
    chance = random.Random(7)
    paces = (11, 23, 47)
    held = [rotated_secret.key()] * len(paces)
    refused = 0
    hours = 0
    most = 0
    for rotations in range(200):
        rotated_secret.begin()
        for name in STEPS:
            with dying_at(rotation, 1 + rotations % 40) as lines, suppress(FunctionKilled):
                rotated_secret.step(name)
            most = max(most, lines[0])
            rotated_secret.step(name)
        for _ in range(chance.choice((49, 60, 72))):
            hours += 1
            rotated_secret.stack.clock.forward(HOUR)
            for client, pace in enumerate(paces):
                if hours % pace == 0:
                    held[client] = rotated_secret.key()
                    refused += rotated_secret.stack.call("GET", "/v1/whoami", held[client]).status != 200
        for key in held:
            refused += rotated_secret.stack.call("GET", "/v1/whoami", key).status != 200
    assert refused == 0
    assert 20 < most < 40, "in each step, it has died at every line"


def test_a_rotation_given_up_after_its_key_was_tried_is_taken_up_by_the_next(
    rotated_secret: RotatedSecret,
) -> None:
    """Otherwise the rotation by the current key would end that key while it is current."""
    rotated_secret.begin()
    rotated_secret.step("createSecret")
    rotated_secret.step("testSecret")
    successor = rotated_secret.key("AWSPENDING")
    rotated_secret.client.update_secret_version_stage(
        SecretId=rotated_secret.arn, VersionStage="AWSPENDING", RemoveFromVersionId=rotated_secret.token
    )
    rotated_secret.begin()
    for name in STEPS:
        rotated_secret.step(name)
        assert rotated_secret.works()
    assert rotated_secret.key() == successor


def test_a_successor_used_by_somebody_who_did_not_store_it_is_told(
    rotated_secret: RotatedSecret, rotation: ModuleType
) -> None:
    made = rotated_secret.stack.call(
        "POST", "/v1/api-keys/rotate", rotated_secret.key(), {"overlapSeconds": OVERLAP}
    ).json
    assert (
        rotated_secret.stack.call("GET", "/v1/whoami", Key(rotated_secret.username, made["key"])).status
        == 200
    )
    rotated_secret.begin()
    with pytest.raises(rotation.RotationError, match="is in no version of this secret"):
        rotated_secret.step("createSecret")
    assert rotated_secret.works()


def test_a_pending_key_that_no_longer_works_is_given_up(
    rotated_secret: RotatedSecret, rotation: ModuleType
) -> None:
    rotated_secret.begin()
    rotated_secret.step("createSecret")
    assert (
        rotated_secret.stack.call(
            "POST", "/v1/api-keys/rotate", rotated_secret.key(), {"overlapSeconds": HOUR}
        ).status
        == 200
    )
    with pytest.raises(rotation.RotationError, match="given up"):
        rotated_secret.step("testSecret")
    assert rotated_secret.works()
    rotated_secret.rotate()
    assert rotated_secret.works()
    assert rotated_secret.works("AWSPREVIOUS")


def test_an_unavailable_service_changes_nothing(rotated_secret: RotatedSecret, rotation: ModuleType) -> None:
    def away(path: str) -> None:
        raise rotation.RotationError(f"{path} was not answered")

    rotated_secret.before_call = away
    rotated_secret.begin()
    with pytest.raises(rotation.RotationError):
        rotated_secret.step("createSecret")
    rotated_secret.before_call = lambda _path: None
    rotated_secret.rotate()
    assert rotated_secret.works()


@pytest.mark.parametrize("field", ["url", "username", "apiKey"])
def test_a_secret_of_another_form_is_reported(
    rotated_secret: RotatedSecret, rotation: ModuleType, field: str
) -> None:
    value = {"url": "https://api.example", "username": "x", "apiKey": "y"}
    del value[field]
    rotated_secret.client.put_secret_value(SecretId=rotated_secret.arn, SecretString=json.dumps(value))
    rotated_secret.begin()
    with pytest.raises(rotation.RotationError, match=f"needs '{field}'"):
        rotated_secret.step("createSecret")


def test_a_version_that_is_not_rotated_and_a_strange_step_are_refused(
    rotated_secret: RotatedSecret, rotation: ModuleType
) -> None:
    event = {
        "Step": "createSecret",
        "SecretId": rotated_secret.arn,
        "ClientRequestToken": "a-version-nobody-makes",
    }
    with pytest.raises(rotation.RotationError, match="not being rotated"):
        rotation.handler(event, None)
    rotated_secret.begin()
    with pytest.raises(rotation.RotationError, match="no step"):
        rotated_secret.step("deleteSecret")


def test_a_key_is_sent_to_https_alone(rotation: ModuleType) -> None:
    secret = {"url": "http://api.example", "username": "ci-bot", "apiKey": "suk_x"}
    with pytest.raises(rotation.RotationError, match="never sent unencrypted"):
        rotation.call(secret, "GET", "/v1/whoami")


def test_no_proxy_gets_the_key_on_its_way_to_this_machine(
    rotation: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        secret = {"url": f"http://127.0.0.1:{server.server_port}", "username": "bot", "apiKey": "suk_a"}
        try:
            assert rotation.call(secret, "GET", "/v1/whoami") == {}
        finally:
            server.shutdown()
