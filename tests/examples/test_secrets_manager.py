"""examples/secrets-manager: the rotation function between moto's Secrets Manager and the API."""

import importlib.util
import json
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


class Died(BaseException):
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


class Vault:
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
def vault(rotation: ModuleType, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    key = Accounts(stack).service_user(keyTypes=["MONITORING"])["MONITORING"]
    with mock_aws():
        yield Vault(rotation, stack, key, monkeypatch)


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
                raise Died
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def test_a_rotation_leaves_both_versions_working_for_the_overlap(vault: Vault) -> None:
    former = vault.key()
    vault.rotate()
    assert vault.key() != former
    assert vault.key("AWSPREVIOUS") == former
    assert vault.works()
    assert vault.works("AWSPREVIOUS")
    vault.stack.clock.forward(OVERLAP - 1)
    assert vault.works("AWSPREVIOUS")
    vault.stack.clock.forward(1)
    assert not vault.works("AWSPREVIOUS")
    assert vault.works()


def test_every_step_may_be_called_twice(vault: Vault) -> None:
    vault.begin()
    for name in STEPS:
        vault.step(name)
        vault.step(name)
        assert vault.works()
    for name in STEPS:
        vault.step(name)  # A doubled event comes late.
    assert vault.works()
    assert vault.works("AWSPREVIOUS")


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_dies_at_any_line_is_made_good_by_the_next_call(
    vault: Vault, rotation: ModuleType, name: str
) -> None:
    line, finished = 0, False
    while not finished:
        line += 1
        vault.begin()
        for step in STEPS[: STEPS.index(name)]:
            vault.step(step)
        with dying_at(rotation, line):
            try:
                vault.step(name)
                finished = True
            except Died:
                pass
        assert vault.works()
        for step in STEPS[STEPS.index(name) :]:
            vault.step(step)
            assert vault.works()
        assert vault.works("AWSPREVIOUS")
        vault.stack.clock.forward(OVERLAP + 1)
        assert vault.works()
    assert line > 3


def test_a_fleet_is_never_refused_over_200_rotations_with_deaths_at_every_line(
    vault: Vault, rotation: ModuleType
) -> None:
    """Each client reads the secret at its own pace, at the latest within the overlap."""
    chance = random.Random(7)
    paces = (11, 23, 47)
    held = [vault.key()] * len(paces)
    refused = 0
    hours = 0
    for rotations in range(200):
        vault.begin()
        for name in STEPS:
            with dying_at(rotation, 1 + rotations % 40), suppress(Died):
                vault.step(name)
            vault.step(name)
        for _ in range(chance.choice((49, 60, 72))):
            hours += 1
            vault.stack.clock.forward(HOUR)
            for client, pace in enumerate(paces):
                if hours % pace == 0:
                    held[client] = vault.key()
                    refused += vault.stack.call("GET", "/v1/whoami", held[client]).status != 200
        for key in held:
            refused += vault.stack.call("GET", "/v1/whoami", key).status != 200
    assert refused == 0


def test_a_rotation_given_up_after_its_key_was_tried_is_taken_up_by_the_next(vault: Vault) -> None:
    """Otherwise the rotation by the current key would end that key while it is current."""
    vault.begin()
    vault.step("createSecret")
    vault.step("testSecret")
    successor = vault.key("AWSPENDING")
    vault.client.update_secret_version_stage(
        SecretId=vault.arn, VersionStage="AWSPENDING", RemoveFromVersionId=vault.token
    )
    vault.begin()
    for name in STEPS:
        vault.step(name)
        assert vault.works()
    assert vault.key() == successor


def test_a_successor_used_by_somebody_who_did_not_store_it_is_told(
    vault: Vault, rotation: ModuleType
) -> None:
    made = vault.stack.call("POST", "/v1/api-keys/rotate", vault.key(), {"overlapSeconds": OVERLAP}).json
    assert vault.stack.call("GET", "/v1/whoami", Key(vault.username, made["key"])).status == 200
    vault.begin()
    with pytest.raises(rotation.RotationError, match="is in no version of this secret"):
        vault.step("createSecret")
    assert vault.works()


def test_a_pending_key_that_is_dead_is_given_up(vault: Vault, rotation: ModuleType) -> None:
    vault.begin()
    vault.step("createSecret")
    assert (
        vault.stack.call("POST", "/v1/api-keys/rotate", vault.key(), {"overlapSeconds": HOUR}).status == 200
    )
    with pytest.raises(rotation.RotationError, match="given up"):
        vault.step("testSecret")
    assert vault.works()
    vault.rotate()
    assert vault.works()
    assert vault.works("AWSPREVIOUS")


def test_a_service_that_is_away_changes_nothing(vault: Vault, rotation: ModuleType) -> None:
    def away(path: str) -> None:
        raise rotation.RotationError(f"{path} was not answered")

    vault.before_call = away
    vault.begin()
    with pytest.raises(rotation.RotationError):
        vault.step("createSecret")
    vault.before_call = lambda _path: None
    vault.rotate()
    assert vault.works()


@pytest.mark.parametrize("field", ["url", "username", "apiKey"])
def test_a_secret_of_another_form_is_told(vault: Vault, rotation: ModuleType, field: str) -> None:
    value = {"url": "https://api.example", "username": "x", "apiKey": "y"}
    del value[field]
    vault.client.put_secret_value(SecretId=vault.arn, SecretString=json.dumps(value))
    vault.begin()
    with pytest.raises(rotation.RotationError, match=f"needs '{field}'"):
        vault.step("createSecret")


def test_a_version_that_is_not_rotated_and_a_strange_step_are_refused(
    vault: Vault, rotation: ModuleType
) -> None:
    event = {"Step": "createSecret", "SecretId": vault.arn, "ClientRequestToken": "a-version-nobody-makes"}
    with pytest.raises(rotation.RotationError, match="not being rotated"):
        rotation.handler(event, None)
    vault.begin()
    with pytest.raises(rotation.RotationError, match="no step"):
        vault.step("deleteSecret")


def test_a_key_is_sent_to_https_alone(rotation: ModuleType) -> None:
    secret = {"url": "http://api.example", "username": "ci-bot", "apiKey": "suk_x"}
    with pytest.raises(rotation.RotationError, match="never sent unencrypted"):
        rotation.call(secret, "GET", "/v1/whoami")
