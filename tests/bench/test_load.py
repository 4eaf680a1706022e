"""The parts of the load test: what is offered, what DynamoDB's limits refuse, and what is published."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from bench.load import report, scenarios, simulation
from bench.load.engine import LimitedEngine
from bench.load.fleet import FAILED, Call, Caller, repeat, run, through_gateway
from bench.load.limits import PARTITION, Bucket, Partitions, Place
from bench.load.runs import Load
from bench.load.scenarios import DAY, EVENTS, HOUR_PEAK, LIST, READ, RESTRICT, ROTATE, SIGN_IN, Account
from local.package.aws_proxy import AwsCall, ServiceError
from local.package.emulator import Key
from local.package.runtime import EnvironmentDiedError
from local.tables import create_tables

SECRET = "suk_" + "x" * 49
MACHINES = [Caller("acme", Key(f"bot-{n}", SECRET)) for n in range(400)]


# What is offered


def test_a_day_has_its_mix_of_all_accounts() -> None:
    accounts = [
        Account(f"a{n}", Key("owner", SECRET), [Caller(f"a{n}", Key("bot", SECRET))]) for n in range(3)
    ]
    calls = scenarios.day(accounts, 100, 30)
    counted = Counter(it.kind for it in calls)
    assert counted.keys() == DAY.keys()
    assert counted[SIGN_IN] > 0.8 * len(calls)
    assert {it.caller.group for it in calls} == {"a0", "a1", "a2"}
    assert len(calls) == pytest.approx(3000, rel=0.1)
    assert all(0 <= it.due < 30 for it in calls)
    assert scenarios.day(accounts, 100, 30) == calls


def test_half_of_a_full_hour_comes_in_its_first_twelfth_and_each_machine_once() -> None:
    calls = scenarios.full_hour(MACHINES, 60, 20)
    assert len(calls) == 200
    assert len({it.caller.key.username for it in calls}) == 200
    assert sum(it.due < 20 / 12 for it in calls) == pytest.approx(100, abs=20)
    assert all(it.due <= 20 for it in calls)
    assert HOUR_PEAK == 5_000


def test_a_rotation_and_steady_callers_take_turns() -> None:
    assert [it.caller for it in scenarios.rotation(MACHINES[:2], 2, 2)] == [*MACHINES[:2], *MACHINES[:2]]
    calls = scenarios.steady(MACHINES[:3], SIGN_IN, 50, 10)
    assert len(calls) == pytest.approx(500, rel=0.2)
    assert {it.caller for it in calls} == set(MACHINES[:3])


@pytest.mark.parametrize(
    ("kind", "route"),
    [
        (SIGN_IN, "GET /v1/whoami"),
        (ROTATE, "POST /v1/api-keys/rotate"),
        (READ, "GET /v1/service-users/{username}"),
        (LIST, "GET /v1/service-users"),
        (EVENTS, "GET /v1/events"),
        (RESTRICT, "PATCH /v1/service-users/{username}/api-keys"),
    ],
)
def test_each_kind_of_call_is_a_request(kind: str, route: str) -> None:
    made = scenarios.request(Call(0, MACHINES[0], kind))
    assert f"{made['httpMethod']} {made['resource']}" == route


def test_an_owner_rotates_a_machines_key() -> None:
    made = scenarios.rotated_by(Caller("acme", Key("ann", SECRET)), MACHINES[3])
    assert made["path"] == "/v1/service-users/bot-3/api-keys/rotate"


# How it is offered


class FakeEnvironment:
    def __init__(self, status: int = 200, *, dies: bool = False) -> None:
        self.seen: list[str] = []
        self._status, self._dies = status, dies

    def invoke(self, event: Any) -> Any:
        self.seen.append(event["requestContext"]["path"])
        if self._dies:
            raise EnvironmentDiedError("gone")
        return {"statusCode": self._status, "body": json.dumps({"key": "new"})}


def at_once(count: int, kind: str = SIGN_IN) -> list[Call]:
    return [Call(0.0, MACHINES[n], kind) for n in range(count)]


def test_every_call_is_made_once_by_whichever_environment_is_free() -> None:
    environments = [FakeEnvironment() for _ in range(3)]
    received: list[Any] = []
    done: list[tuple[int, int]] = []
    outcome = run(
        at_once(30),
        environments,
        scenarios.request,
        received=lambda call, body: received.append((call.caller, body["key"])),
        refused=at_once(5),
        progress=lambda number, every: done.append((number, every)),
    )
    assert sum(len(it.seen) for it in environments) == 30
    assert outcome.statuses() == {"200": 30, "429": 5}
    assert len(received) == 30
    assert done[-1] == (35, 35)
    assert outcome.unanswered == 0
    assert outcome.of("acme").milliseconds(50, 100) == outcome.milliseconds(50, 100)
    assert outcome.of("others").milliseconds(50) == [0.0]


def no_body(_call: Call, _body: Any) -> None:
    pytest.fail("an error has no result")


def test_a_function_that_dies_is_a_502_and_an_error_brings_no_body() -> None:
    assert run(at_once(2), [FakeEnvironment(dies=True)], scenarios.request).statuses() == {
        str(FAILED["statusCode"]): 2
    }
    outcome = run(at_once(2), [FakeEnvironment(503)], scenarios.request, received=no_body)
    assert outcome.statuses() == {"503": 2}


def test_a_run_ends_when_its_time_is_over() -> None:
    outcome = run(at_once(3), [FakeEnvironment()], scenarios.request, ends=0.0)
    assert (outcome.answered, outcome.unanswered) == ([], 3)


def test_repeated_calls_are_numbered_by_environment() -> None:
    seen: set[tuple[int, int]] = set()
    lock = threading.Lock()

    def event(number: int, count: int) -> dict[str, Any]:
        with lock:
            seen.add((number, count))
        return scenarios.request(Call(0, MACHINES[0], SIGN_IN))

    statuses = repeat([FakeEnvironment(), FakeEnvironment(409)], event, 0.01)
    assert statuses.keys() <= {200, 409}
    assert len(seen) == sum(statuses.values())


def test_api_gateway_has_one_bucket_for_all() -> None:
    calls = [Call(n / 100, MACHINES[n % 2], SIGN_IN) for n in range(100)]
    passed, refused = through_gateway(calls, rate=10, burst=20)
    assert len(passed) == pytest.approx(30, abs=1)
    assert sorted([*passed, *refused], key=lambda it: it.due) == calls
    assert {it.caller for it in refused} == set(MACHINES[:2])


# What DynamoDB's limits do


def test_a_bucket_fills_again_and_may_be_overdrawn_once() -> None:
    bucket = Bucket(10)
    assert bucket.admits(0)
    bucket.take(25)
    assert not bucket.admits(1)
    assert bucket.admits(1.6)
    assert bucket.admits(100)
    assert bucket.level == 10


def test_partitions_have_limits_of_their_own() -> None:
    hot, calm = Place("Directory", "USER#hot"), Place("Directory", "USER#calm")
    partitions = Partitions(0.01)
    partitions.take(hot, "writes", 10)
    assert partitions.admit([calm, hot], "writes", 0) == hot
    assert partitions.admit([calm], "writes", 0) is None
    assert partitions.admit([hot], "reads", 0) is None
    assert partitions.refused == {hot: 1}
    unlimited = Partitions(None)
    unlimited.take(hot, "writes", 1e9)
    assert unlimited.admit([hot], "writes", 0) is None
    assert unlimited.consumed["writes"] == {hot: 1e9}


@pytest.fixture
def tables() -> dict[str, str]:
    return {"Directory": "load-directory", "Events": "load-events"}


@pytest.fixture
def engine(tables: dict[str, str]) -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        create_tables(client, tables)
        yield client
        for name in tables.values():  # moto keeps them as long as another test's moto runs
            client.delete_table(TableName=name)


def user(name: str) -> dict[str, Any]:
    return {"pk": {"S": f"USER#{name}"}, "account": {"S": "acme"}, "listKey": {"S": f"SERVICE_USER#{name}"}}


def put(name: str) -> dict[str, Any]:
    return {"Put": {"TableName": "load-directory", "Item": user(name)}}


def called(engine: Any, limited: LimitedEngine, operation: str, parameters: dict[str, Any]) -> Any:
    """Make a call as a function makes it, through the hooks."""
    call = AwsCall(operation, parameters)
    limited.before(call)
    method = {"TransactWriteItems": "transact_write_items", "GetItem": "get_item", "Query": "query"}[
        operation
    ]
    try:
        return getattr(engine, method)(**parameters)
    finally:
        limited.after(call)


def test_what_a_call_consumes_is_counted_by_partition(engine: Any, tables: dict[str, str]) -> None:
    limited = LimitedEngine(engine, tables, None)
    called(engine, limited, "TransactWriteItems", {"TransactItems": [put("a"), put("b")]})
    called(engine, limited, "GetItem", {"TableName": "load-directory", "Key": {"pk": {"S": "USER#a"}}})
    called(
        engine,
        limited,
        "Query",
        {
            "TableName": "load-directory",
            "IndexName": "byAccount",
            "KeyConditionExpression": "account = :account",
            "ExpressionAttributeValues": {":account": {"S": "acme"}},
        },
    )
    batch = {"RequestItems": {"load-directory": {"Keys": [{"pk": {"S": "USER#a"}}, {"pk": {"S": "USER#b"}}]}}}
    limited.before(AwsCall("BatchGetItem", batch))
    limited.after(AwsCall("BatchGetItem", batch))
    consumed = limited.partitions.consumed
    assert consumed["writes"][Place("Directory", "USER#a")] == 2
    assert consumed["writes"][Place("byAccount", "acme")] == 2
    assert consumed["reads"][Place("Directory", "USER#a")] == 2
    assert consumed["reads"][Place("Directory", "USER#b")] == 1
    assert Place("byAccount", "acme") in consumed["reads"]
    assert limited.calls == {"TransactWriteItems": 1, "GetItem": 1, "Query": 1, "BatchGetItem": 1}
    other = AwsCall("DescribeTable", {"TableName": "load-directory"})
    limited.before(other)
    limited.after(other)
    assert limited.partitions.consumed == consumed


def stopped() -> float:
    """Return the time of a clock on which no units come back."""
    return 0.0


def test_a_full_partition_refuses_as_dynamodb_does(engine: Any, tables: dict[str, str]) -> None:
    limited = LimitedEngine(engine, tables, 1.5 / PARTITION["writes"], stopped)
    change = {"TransactItems": [put("a")]}
    called(engine, limited, "TransactWriteItems", change)
    with pytest.raises(ServiceError) as refused:
        limited.before(AwsCall("TransactWriteItems", change))
    assert refused.value.code == "TransactionCanceledException"
    assert [it["Code"] for it in refused.value.more["CancellationReasons"]] == ["ThrottlingError"]
    note = {"TableName": "load-directory", "Key": {"pk": {"S": "USER#a"}}}
    with pytest.raises(ServiceError) as alone:
        limited.before(AwsCall("UpdateItem", note))
    assert (alone.value.status, alone.value.code) == (400, "ProvisionedThroughputExceededException")
    assert limited.partitions.refused == {Place("Directory", "USER#a"): 2}


def test_an_index_that_is_full_refuses_the_writes_of_its_items(engine: Any, tables: dict[str, str]) -> None:
    limited = LimitedEngine(engine, tables, 3.5 / PARTITION["writes"], stopped)
    for name in "abcd":
        called(engine, limited, "TransactWriteItems", {"TransactItems": [put(name)]})
    with pytest.raises(ServiceError):
        limited.before(AwsCall("TransactWriteItems", {"TransactItems": [put("a")]}))
    assert limited.partitions.refused == {Place("byAccount", "acme"): 1}
    limited.before(AwsCall("TransactWriteItems", {"TransactItems": [put("new")]}))  # has no entry yet


def test_two_transactions_with_one_item_are_in_conflict(engine: Any, tables: dict[str, str]) -> None:
    limited = LimitedEngine(engine, tables, None)
    first = AwsCall("TransactWriteItems", {"TransactItems": [put("a"), put("b")]})
    limited.before(first)
    with pytest.raises(ServiceError) as conflict:
        limited.before(AwsCall("TransactWriteItems", {"TransactItems": [put("b")]}))
    assert conflict.value.more["CancellationReasons"][0]["Code"] == "TransactionConflict"
    with pytest.raises(ServiceError) as alone:
        limited.before(AwsCall("UpdateItem", {"TableName": "load-directory", "Key": {"pk": {"S": "USER#a"}}}))
    assert alone.value.code == "TransactionConflictException"
    assert limited.conflicts == 2


def test_a_hot_partition_serves_what_it_can() -> None:
    for hot in simulation.HOT:
        most = simulation.ceiling(hot)
        assert simulation.offer(hot, most * 0.9).refused == pytest.approx(0, abs=0.001)
        assert simulation.offer(hot, most * 2).served == pytest.approx(most, rel=0.03)
    assert simulation.ceiling(simulation.HOT[0]) == 3_000


def test_a_table_takes_twice_its_previous_peak() -> None:
    first, second, third = simulation.new_table([5_000, 5_000, 5_000], "writes", 2)
    assert (first.served, first.refused) == (2_000, 0.6)
    assert second.served == 4_000
    assert third.refused == 0


# What is published


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    return loaded


def test_the_page_and_the_chart_are_those_of_the_results(results: dict[str, Any]) -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert f"{report.BEGIN}{report.tables(results)}{report.END}" in page
    assert report.CHART.read_text(encoding="utf-8") == report.chart(results)
    assert f"]({report.CHART.relative_to(report.PAGE.parent).as_posix()})" in page


def test_calls_without_a_response_are_said() -> None:
    assert report._responses({"statuses": {"200": 1_234, "503": 5}, "unanswered": 7}) == (
        "200: 1,234, 503: 5, 7 not in time"
    )
    assert report._refused({"statuses": {}, "calls": 0}) == 0


def test_measuring_says_everything_that_is_published(results: dict[str, Any]) -> None:
    class Pretended(Load):
        def __getattribute__(self, name: str) -> Any:
            fakes = {"_pace": lambda: 100.0, "_by_one_owner": dict, "_flood": lambda _: {}}
            if name in ("_day", "_full_hour", "_rotation"):
                return lambda _rate, *, limited=False: {"limited": limited}
            return fakes.get(name) or super().__getattribute__(name)

    none: Any = None
    assert Pretended(none, none, 1, 1, 0, none).measure().keys() | {"machine"} == results.keys()
