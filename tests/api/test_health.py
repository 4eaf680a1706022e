"""The health of the API, and of its tables for monitors."""

import logging

import pytest

from chalicelib.store.probe import SECONDS
from chalicelib.version import VERSION
from tests.support.api_client import Stack
from tests.support.dynamodb_faults import hangs, inject_faults, is_out_of_reach, refuses

STATE = "/health?check=state"
HEALTHY = {"status": "ok", "version": VERSION, "tables": {"directory": "ok", "events": "ok"}}


def test_the_state_of_both_tables_is_told_to_anybody(stack: Stack) -> None:
    with stack.counted() as calls:
        response = stack.call("GET", STATE)
    assert (response.status, response.json) == (200, HEALTHY)
    assert calls == {"GetItem": 1, "Query": 1}
    assert response.headers["Cache-Control"] == "no-store"


def test_a_flood_of_checks_reads_each_table_once_in_ten_seconds(stack: Stack) -> None:
    with stack.counted() as calls:
        for _ in range(20):
            assert stack.call("GET", STATE).status == 200
    assert calls == {"GetItem": 1, "Query": 1}
    stack.clock.forward(SECONDS)
    with stack.counted() as calls:
        assert stack.call("GET", STATE).status == 200
    assert calls == {"GetItem": 1, "Query": 1}


def test_a_clock_that_goes_back_keeps_no_state(stack: Stack) -> None:
    assert stack.call("GET", STATE).status == 200
    stack.clock.forward(-3600)
    with stack.counted() as calls:
        assert stack.call("GET", STATE).status == 200
    assert calls == {"GetItem": 1, "Query": 1}


@pytest.mark.parametrize(("operation", "table"), [("GetItem", "Directory"), ("Query", "Events")])
@pytest.mark.parametrize("fault", ["throttled", "denied", "missing", "hangs", "out of reach"])
def test_a_table_that_cannot_be_read_is_503_and_named(
    stack: Stack, operation: str, table: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = {
        "throttled": refuses("ThrottlingException"),
        "denied": refuses("AccessDeniedException"),
        "missing": refuses("ResourceNotFoundException"),
        "hangs": hangs,
        "out of reach": is_out_of_reach,
    }
    with inject_faults(stack, operation, steps[fault], repeat_last=True):
        response = stack.call("GET", STATE)
        again = stack.call("GET", STATE)
    for each in (response, again):
        assert (each.status, each.json["status"], each.headers["Retry-After"]) == (503, 503, "1")
        assert each.json["detail"].startswith(f"The table {table} cannot be read.")
        assert stack.tables.directory not in each.text, "a table's name is nobody's business"
        assert stack.tables.events not in each.text
    [line] = [it for it in caplog.records if "cannot be read" in it.getMessage()]
    assert line.levelno == (logging.ERROR if fault == "denied" else logging.WARNING)
    assert stack.call("GET", STATE).status == 503, "remembered for ten seconds"
    assert stack.call("GET", "/health").status == 200
    stack.clock.forward(SECONDS)
    assert stack.call("GET", STATE).json == HEALTHY


def test_both_tables_may_fail(stack: Stack) -> None:
    with (
        inject_faults(stack, "GetItem", is_out_of_reach, repeat_last=True),
        inject_faults(stack, "Query", is_out_of_reach, repeat_last=True),
    ):
        response = stack.call("GET", STATE)
    assert response.status == 503
    assert response.json["detail"].startswith("Both tables cannot be read.")


@pytest.mark.parametrize(
    "query", ["check=", "check=all", "check=state&check=state", "checks=state", "check=State"]
)
def test_another_check_is_refused_and_reads_nothing(stack: Stack, query: str) -> None:
    with stack.counted() as calls:
        assert stack.call("GET", f"/health?{query}").status == 400
    assert calls == {}


def test_head_is_answered_by_the_state_too(stack: Stack) -> None:
    assert stack.call("HEAD", STATE).status == 200
    stack.clock.forward(SECONDS)
    with inject_faults(stack, "GetItem", is_out_of_reach, repeat_last=True):
        assert stack.call("HEAD", STATE).status == 503
