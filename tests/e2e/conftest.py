"""Stands these tests on the package SERVICE_USERS_PACKAGE and the engine DYNAMODB_LOCAL_URL name."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.package.emulator import Cloud
from local.package.runtime import INTERPRETER

PACKAGE = os.environ.get("SERVICE_USERS_PACKAGE", "")
ENGINE = os.environ.get("DYNAMODB_LOCAL_URL", "")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (PACKAGE and ENGINE and INTERPRETER.exists()):
        skip = pytest.mark.skip(reason="needs the package, Lambda's runtime client and the engine: make e2e")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The stack, for all tests of this process: each makes an account of its own in it."""
    with Cloud(Path(PACKAGE).absolute(), ENGINE, tmp_path_factory.mktemp("logs")) as made:
        yield made
        made.find_nothing_wrong()
