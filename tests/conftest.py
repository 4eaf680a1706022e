"""What tests stand on: tables on moto or on the real engine, a clock, and callers with a way in.

``DYNAMODB_LOCAL_URL`` picks the real engine; without it every table is moto's. Each test has tables of
its own, so that tests know no order.
"""

import os

os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
    AWS_EC2_METADATA_DISABLED="true",
)
for name in ("DIRECTORY_TABLE", "EVENTS_TABLE", "PUBLIC_URL", "AUTHORIZER_RULES"):
    os.environ.pop(name, None)

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from moto import mock_aws

import app
from chalicelib.http.call import Service
from chalicelib.store import client as store_client
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.trail import DynamoTrail
from local.tables import create_tables
from tests.support import moto_internals
from tests.support.api_client import Clock, Stack, Tables, items
from tests.support.secret_scan import (
    CapturedOutput,
    assert_no_secret,
    assert_no_secret_in_output,
    captured_output,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

ENGINE = os.environ.get("DYNAMODB_LOCAL_URL", "")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engine: needs AWS's DynamoDB Local (moto is no judge of this)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not ENGINE:
        skip = pytest.mark.skip(reason="needs DynamoDB Local: python -m local.dynamodb_local -- pytest")
        for item in items:
            if item.get_closest_marker("engine"):
                item.add_marker(skip)
    items.sort(key=lambda item: "test_a_year" not in item.name)  # the longest first: nobody waits for it


@pytest.fixture(scope="session")
def dynamodb() -> "Iterator[DynamoDBClient]":
    """A low-level client to moto, or to the real engine."""
    if ENGINE:
        session = store_client.session()
        yield session.create_client("dynamodb", config=store_client.CONFIG, endpoint_url=ENGINE)
        return
    with mock_aws():
        yield store_client.session().create_client("dynamodb", config=store_client.CONFIG)


_EMPTY: list[Tables] = []


@pytest.fixture(autouse=True)
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[CapturedOutput]:
    """What is logged and mailed in a test; searched for secrets after every test there is."""
    with captured_output(monkeypatch) as everything:
        yield everything
    assert_no_secret_in_output(everything)


@pytest.fixture
def tables(dynamodb: "DynamoDBClient", output: CapturedOutput) -> "Iterator[Tables]":
    """A Directory and an Events table of the test's own; moto's are emptied and used again.

    After every test both are searched: no key or token is in them, and no digest is but in Directory.
    """
    if _EMPTY:
        made = _EMPTY.pop()
    else:
        mark = uuid4().hex[:12]
        made = Tables(f"directory-{mark}", f"events-{mark}")
        create_tables(dynamodb, {"Directory": made.directory, "Events": made.events})
    yield made
    assert_no_secret(*(items(dynamodb, name) for name in made), output)
    emptied = {moto_internals.empty(name) for name in made}
    if emptied == {True}:
        _EMPTY.append(made)
    elif ENGINE:
        for name in made:
            dynamodb.delete_table(TableName=name)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until it is moved."""
    return Clock(1_900_000_000.5)


@pytest.fixture
def stack(dynamodb: "DynamoDBClient", tables: Tables, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The API over HTTP events, on the test's tables and clock."""
    service = Service(
        directory=DynamoDirectory(dynamodb, tables.directory, tables.events, 400),
        trail=DynamoTrail(dynamodb, tables.events),
        now=clock,
        public_url="https://api.example",
    )
    monkeypatch.setattr(app.api, "service", lambda: service)
    return Stack(app.app, dynamodb, tables, clock, service)
