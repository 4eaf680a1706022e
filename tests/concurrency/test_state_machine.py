"""Calls and visits at random, each held against the rules as told a second time.

``HYPOTHESIS_PROFILE`` picks how much: ``short`` (the default), ``ci``, ``long``, or a ``part`` of that: an
eighth, as random as the whole, for machines on which the whole takes too long at once. Each of its steps
tries the keys whose rights have changed, and others in turn; those of the whole try every key.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from chalicelib.rules import limits
from tests.concurrency.random_visits import Visits
from tests.support.api_client import ENGINE, Stack, Tables, serve
from tests.support.fake_dynamodb import FakeDynamoDB

PROFILES = {
    "short": {"max_examples": 30, "stateful_step_count": 50, "derandomize": True},
    "engine": {"max_examples": 4, "stateful_step_count": 25, "derandomize": True},
    "ci": {"max_examples": 100, "stateful_step_count": 50, "derandomize": True},
    "part": {"max_examples": 250, "stateful_step_count": 50, "derandomize": False},
    "long": {"max_examples": 2000, "stateful_step_count": 50, "derandomize": False},
}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "engine" if ENGINE else "short")


@pytest.fixture
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Stack]:
    """A way to the API on tables with nothing in them: in memory, or on the real engine."""
    monkeypatch.setattr(limits, "PASSKEY_USE_BURST", 10_000)  # the machine makes it tight, as the others
    client: Any = None
    names = Tables("machine-directory", "machine-events")
    if ENGINE:
        client = request.getfixturevalue("dynamodb")
        names = request.getfixturevalue("tables")

    def stack() -> Stack:
        if client:
            _empty(client, names)
        here = client or FakeDynamoDB({"Directory": names.directory, "Events": names.events})
        return serve(here, names, monkeypatch)

    return stack


def _empty(client: Any, tables: Tables) -> None:
    for table, keys in ((tables.directory, ("pk",)), (tables.events, ("account", "id"))):
        for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                client.delete_item(TableName=table, Key={key: item[key] for key in keys})


def test_random_calls_agree_with_the_reference_model(fresh: Callable[[], Stack]) -> None:
    machine = type("Calls", (Visits,), {"fresh": staticmethod(fresh)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            **PROFILES[PROFILE],  # type: ignore[arg-type]
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
