"""Fixtures for every test: tables on moto or on the real engine, a clock, and the API on both.

``DYNAMODB_LOCAL_URL`` selects the real engine; without it every table is moto's. Each test has its own
its own, so that no test depends on another or on their order.
"""

import os

os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
    AWS_EC2_METADATA_DISABLED="true",
)
for name in ("DIRECTORY_TABLE", "EVENTS_TABLE", "PUBLIC_URL", "AUTHORIZER_RULES", "SERVICE_USERS_CATALOGUE"):
    os.environ.pop(name, None)

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from moto import mock_aws

from chalicelib.store import client as store_client
from local import fast_moto
from local.tables import create_tables
from tests.support import moto_internals
from tests.support.accounts import AccountTemplates
from tests.support.api_client import ENGINE, Clock, Stack, Tables, items, serve
from tests.support.catalogue import IS_DEFAULT
from tests.support.fake_dynamodb import stack_in_memory
from tests.support.mail import MailFixture
from tests.support.secret_scan import (
    CapturedOutput,
    assert_no_secret,
    assert_no_secret_in_output,
    captured_output,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


fast_moto.install()

collect_ignore = ["browser", "clients/packages"]
"""``make browser`` and ``make clients`` run these in their own environments."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("default_catalogue")
        if mark and not IS_DEFAULT:
            item.add_marker(pytest.mark.skip(reason=f"default catalogue: {mark.kwargs['reason']}"))
    if not ENGINE:
        skip = pytest.mark.skip(reason="needs DynamoDB Local: python -m local.dynamodb_local -- pytest")
        for item in items:
            if item.get_closest_marker("engine"):
                item.add_marker(skip)
    items.sort(key=lambda item: item.get_closest_marker("slow_first") is None)


@pytest.fixture(scope="session")
def dynamodb() -> "Iterator[DynamoDBClient]":
    """A low-level client to moto, or to the real engine."""
    if ENGINE:
        session = store_client.session()
        yield session.create_client("dynamodb", config=store_client.CONFIG, endpoint_url=ENGINE)
        return
    with mock_aws():
        yield store_client.session().create_client("dynamodb", config=store_client.CONFIG)


@pytest.fixture(scope="session")
def emptied_tables() -> list[Tables]:
    """Emptied tables of earlier tests of this process, for reuse: creating new ones is slow."""
    return []


@pytest.fixture(scope="session")
def account_templates() -> AccountTemplates:
    """Accounts that many tests of this process start with, built once."""
    return AccountTemplates()


@pytest.fixture(autouse=True)
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[CapturedOutput]:
    """Log lines and emails of a test, searched for secrets after it."""
    with captured_output(monkeypatch) as everything:
        yield everything
    assert_no_secret_in_output(everything)


@pytest.fixture
def tables(
    dynamodb: "DynamoDBClient", output: CapturedOutput, emptied_tables: list[Tables]
) -> Iterator[Tables]:
    """A Directory and an Events table of the test's own.

    After the test both are searched: neither holds a key or a token, and only Directory holds digests.
    """
    if emptied_tables:
        made = emptied_tables.pop()
    else:
        suffix = uuid4().hex[:12]
        made = Tables(f"directory-{suffix}", f"events-{suffix}")
        create_tables(dynamodb, {"Directory": made.directory, "Events": made.events})
    yield made
    assert_no_secret(*(items(dynamodb, name) for name in made), output)  # type: ignore[arg-type, call-arg]
    emptied = {moto_internals.empty(name) for name in made}
    if emptied == {True}:
        emptied_tables.append(made)
    elif ENGINE:
        for name in made:
            dynamodb.delete_table(TableName=name)


@pytest.fixture
def clock() -> Clock:
    """A clock that moves only when a test moves it."""
    return Clock(1_900_000_000.5)


@pytest.fixture
def stack(request: pytest.FixtureRequest, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The API over HTTP events, on the test's tables and clock."""
    if request.node.get_closest_marker("in_memory") and not ENGINE:
        return stack_in_memory(monkeypatch, clock)
    dynamodb, tables = request.getfixturevalue("dynamodb"), request.getfixturevalue("tables")
    return serve(dynamodb, tables, monkeypatch, clock)


@pytest.fixture
def mail(dynamodb: "DynamoDBClient", tables: Tables, clock: Clock) -> MailFixture:
    """The mailer and its tables, without an account."""
    clock.at = 1_900_000_000
    return MailFixture(dynamodb, tables, clock)
