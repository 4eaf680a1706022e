"""Fixtures for the package in SERVICE_USERS_PACKAGE and the engine at DYNAMODB_LOCAL_URL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chalicelib.store.items import from_attribute
from local.gateway import HttpResponse
from local.package.emulator import Emulator
from local.package.runtime import INTERPRETER
from tests.support.openapi_assertions import ContractMismatch, committed
from tests.support.secret_scan import CapturedOutput, assert_no_secret, assert_no_secret_in_output

PACKAGE = os.environ.get("SERVICE_USERS_PACKAGE", "")
ENGINE = os.environ.get("DYNAMODB_LOCAL_URL", "")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (PACKAGE and ENGINE and INTERPRETER.exists()):
        skip = pytest.mark.skip(reason="needs the package, Lambda's runtime client and the engine: make e2e")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


@contextmanager
def checked_emulator(logs: Path, **options: Any) -> Iterator[Emulator]:
    """Run an emulator; afterwards check all its responses, logs, emails and tables."""
    drifts: list[str] = []

    def observe(event: dict[str, Any], result: dict[str, Any], response: HttpResponse) -> None:
        if event["resource"] in ("/", "$default") or event["resource"].startswith("/console"):
            return  # pages, and paths without a route, which are no part of the contract
        try:
            committed().check(event, response.status, result["headers"], response.body.decode())
        except ContractMismatch as drift:
            drifts.append(str(drift))

    with Emulator(Path(PACKAGE).absolute(), ENGINE, logs, observe=observe, **options) as emulator:
        yield emulator
        assert drifts == []
        assert_no_secret_anywhere(emulator)


def assert_no_secret_anywhere(emulator: Emulator) -> None:
    """Search the logs, the emails and both tables for secrets, and for digests outside the Directory."""
    emails = [(email.recipient, email.message) for email in emulator.mail.sent()]
    output = CapturedOutput([emulator.logs()], emails)
    assert_no_secret_in_output(output)
    directory = [from_attribute({"M": item}) for item in emulator.items(emulator.directory)]
    events = [from_attribute({"M": item}) for item in emulator.items(emulator.events)]
    assert_no_secret(directory, events, output)


@pytest.fixture(scope="session")
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulated stack for all tests of this process; each test creates an account of its own in it.

    A test that is parametrized with it (``by_either_gateway``) gets one behind a REST or an HTTP API.
    """
    gateway = getattr(request, "param", "rest")
    with checked_emulator(tmp_path_factory.mktemp("logs"), gateway=gateway) as made:
        yield made


by_either_gateway = pytest.mark.parametrize("emulator", ["rest", "http"], indirect=True)
