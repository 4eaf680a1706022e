"""Every committed event is published on EventBridge at least once, whatever fails."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.functions import publisher as functions
from chalicelib.publishing import publish as module
from chalicelib.publishing.form import line, published
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.publications import Marker
from chalicelib.store.items import to_attribute
from chalicelib.store.publications import PREFIX
from tests.support.api_client import Key, Stack, items
from tests.support.mail import make_event
from tests.support.policies import policy_account
from tests.support.publishing import Publishing, failing

DAY = 86_400


def work(publishing: Publishing, owner: Key, count: int = 3) -> None:
    """Make changes, each with an event."""
    for number in range(count):
        body = {"displayName": f"Bot {publishing.stack.clock()} {number}"}
        assert publishing.stack.call("PUT", "/v1/service-users/bot", owner, body).status == 200
        publishing.stack.clock.forward(1)


@pytest.fixture
def owner(publishing: Publishing) -> Key:
    owner = publishing.stack.account()
    publishing.stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])
    return owner


def test_each_event_is_published_as_the_api_shows_it(publishing: Publishing, owner: Key) -> None:
    stack = publishing.stack
    key = stack.service_user(owner, "far", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    assert stack.sign_in(key) == 403
    work(publishing, owner)
    assert publishing.deliver() == {"published": 7}
    assert publishing.markers() == []
    account = stack.call("GET", "/v1/account", owner).json["account"]
    shown = stack.call("GET", "/v1/events", owner).json
    for event in shown:
        del event["mail"]
    wanted = [{"schemaVersion": "1", "account": account, **event} for event in shown]
    assert sorted(publishing.bus.taken, key=lambda it: it["id"]) == sorted(wanted, key=lambda it: it["id"])
    assert "API_KEY_REFUSED" in {it["action"] for it in publishing.bus.taken}
    assert publishing.run() == {"late": 0}, "nothing is left for the schedule"


def test_no_event_is_marked_where_none_is_published(stack: Stack) -> None:
    stack.service_user(stack.account(), "bot")
    assert not [it for it in items(stack.client, stack.tables.events) if it["account"].startswith(PREFIX)]


def test_a_refused_change_leaves_no_marker(publishing: Publishing, owner: Key) -> None:
    before = publishing.markers()
    body = {"username": "bot", "email": "x@machines.example", "role": "READ_ONLY"}
    assert publishing.stack.call("POST", "/v1/service-users", owner, body).status == 409
    assert publishing.markers() == before


def test_marking_adds_no_call(publishing: Publishing, owner: Key) -> None:
    calls: list[str] = []
    events = publishing.stack.client.meta.events

    def count(model: Any, **_more: Any) -> None:
        calls.append(model.name)

    key = publishing.stack.service_user(owner, "near")["MONITORING"]
    events.register("provide-client-params.dynamodb", count)
    try:
        assert publishing.stack.call("POST", "/v1/api-keys/rotate", key).status == 200
    finally:
        events.unregister("provide-client-params.dynamodb", count)
    assert calls == ["GetItem", "TransactWriteItems"]


def test_an_outage_of_days_loses_nothing(publishing: Publishing, owner: Key) -> None:
    publishing.bus.down = True
    for _ in range(3):
        work(publishing, owner)
        publishing.deliver()
        counts = publishing.run(DAY)
        assert counts["late"] == len(publishing.event_ids()), counts
    assert publishing.bus.taken == []
    publishing.bus.down = False
    assert publishing.run()["late"] == 0
    assert sorted(publishing.bus.ids) == publishing.event_ids()
    assert publishing.markers() == []


def test_only_what_eventbridge_refused_is_tried_again(publishing: Publishing, owner: Key) -> None:
    work(publishing, owner)
    refused = publishing.event_ids()[1::2]
    publishing.bus.refuse = lambda detail: detail["id"] in refused
    counts = publishing.deliver()
    assert counts == {"published": 3, "failed": len(refused)}
    assert publishing.run()["failed"] == len(refused)
    publishing.bus.refuse = lambda detail: False
    assert publishing.run()["published"] == len(refused)
    assert sorted(publishing.bus.ids) == publishing.event_ids(), "each once, as nothing else failed"


def test_a_lost_answer_publishes_twice_and_never_less(publishing: Publishing, owner: Key) -> None:
    publishing.bus.lose_answers = True
    publishing.deliver()
    publishing.bus.lose_answers = False
    publishing.run()
    assert publishing.bus.ids == publishing.event_ids() * 2 or sorted(set(publishing.bus.ids)) == (
        publishing.event_ids()
    )
    assert publishing.markers() == []


@pytest.mark.parametrize("operation", ["BatchWriteItem", "BatchGetItem", "Query"])
def test_a_failing_database_loses_nothing(publishing: Publishing, owner: Key, operation: str) -> None:
    with failing(publishing.stack, operation):
        publishing.deliver()
    publishing.bus.down = True
    work(publishing, owner)
    publishing.deliver()
    publishing.bus.down = False
    with failing(publishing.stack, operation), pytest.raises(Unavailable):
        publishing.run()
    publishing.run()
    assert sorted(set(publishing.bus.ids)) == publishing.event_ids()
    assert publishing.markers() == []


def test_death_at_any_call_loses_nothing(publishing: Publishing, owner: Key) -> None:
    """Whatever is left undone by a function that dies, the next run does."""
    work(publishing, owner, 20)
    for calls in range(12):
        died = [calls]

        def die(died: list[int] = died, **_more: Any) -> None:
            if not died[0]:
                raise KeyboardInterrupt
            died[0] -= 1

        events = publishing.stack.client.meta.events
        events.register("provide-client-params.dynamodb", die)
        try:
            publishing.run()
        except KeyboardInterrupt:
            pass
        finally:
            events.unregister("provide-client-params.dynamodb", die)
    assert publishing.run()["late"] == 0
    assert sorted(set(publishing.bus.ids)) == publishing.event_ids()


def test_accounts_take_turns(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    """One account's backlog does not delay the few events of another."""
    monkeypatch.setattr(module, "TURN", 2)
    monkeypatch.setattr(module, "PAGE", 5)
    noisy, quiet = publishing.stack.account("noisy"), publishing.stack.account("quiet")
    publishing.stack.service_user(noisy, "bot")
    work(publishing, noisy, 60)
    body = {"name": "Quiet"}
    assert publishing.stack.call("PUT", "/v1/account", quiet, body).status == 200
    account = publishing.stack.call("GET", "/v1/account", quiet).json["account"]
    publishing.run()
    assert sorted(publishing.bus.ids) == publishing.event_ids()
    places = [place for place, it in enumerate(publishing.bus.taken) if it["account"] == account]
    assert len(places) == 2
    assert max(places) < 8 * 2 + 8 * 2, "within the first turn of each part"


def test_what_time_is_too_short_for_waits(publishing: Publishing, owner: Key) -> None:
    publishing.remaining = module.MARGIN_MS - 1
    assert publishing.deliver() == {"left": 2}
    publishing.stack.clock.forward(module.LATE)
    assert publishing.run() == {"late": 2}
    assert publishing.bus.calls == 0
    publishing.remaining = 60_000
    assert publishing.run() == {"published": 2, "late": 0}


def test_eventbridge_that_fails_is_asked_three_times_a_run(publishing: Publishing, owner: Key) -> None:
    work(publishing, owner, 60)
    publishing.bus.down = True
    publishing.run()
    assert publishing.bus.calls == module.MAX_FAILURES_IN_A_ROW


def test_new_events_are_left_to_the_stream(publishing: Publishing, owner: Key) -> None:
    assert publishing.run(0) == {"late": 0}
    assert publishing.run(module.GRACE - 1) == {"late": 0}
    assert publishing.bus.calls == 0
    publishing.run(1)
    assert sorted(publishing.bus.ids) == publishing.event_ids()


def test_a_call_to_eventbridge_is_tried_twice_and_ends_in_time() -> None:
    options: Any = functions._CONFIG
    assert options.retries == {"mode": "standard", "total_max_attempts": 2}
    assert 2 * (options.connect_timeout + options.read_timeout) <= 10


def test_a_marker_without_its_event_goes(publishing: Publishing, owner: Key) -> None:
    publishing.deliver()
    tables = publishing.stack.tables
    marker = {"account": {"S": f"{PREFIX}3"}, "id": {"S": f"nobody#{'0' * 28}"}, "at": {"N": "1"}}
    publishing.stack.client.put_item(TableName=tables.events, Item=marker)
    # Nobody can write a marker elsewhere than where its id belongs, but whoever may write markers.
    publishing.run()
    assert publishing.bus.ids == publishing.event_ids()


def test_an_event_of_a_later_version_waits_for_that_version(publishing: Publishing, owner: Key) -> None:
    tables = publishing.stack.tables
    event = next(
        it for it in items(publishing.stack.client, tables.events) if it.get("action") == "ACCOUNT_CREATED"
    )
    key = {name: to_attribute(event[name]) for name in ("account", "id")}

    def set_action(action: str) -> None:
        publishing.stack.client.update_item(
            TableName=tables.events,
            Key=key,
            UpdateExpression="SET #action = :action",
            ExpressionAttributeNames={"#action": "action"},
            ExpressionAttributeValues={":action": {"S": action}},
        )

    set_action("OF_TOMORROW")
    publishing.deliver()
    counts = publishing.run(module.LATE + 1)
    assert counts["unreadable"] == 1
    assert counts["late"] == 1
    set_action("ACCOUNT_CREATED")
    assert publishing.run()["published"] == 1
    assert sorted(publishing.bus.ids) == publishing.event_ids()


@pytest.mark.parametrize("shard", range(8))
def test_a_marker_of_no_event_stops_nobodys(publishing: Publishing, owner: Key, shard: int) -> None:
    """Whoever took over a function that marks events could leave one."""
    item = {"account": {"S": f"PUBLISH#{shard}"}, "id": {"S": "!#not-hexadecimal"}}
    publishing.stack.client.put_item(TableName=publishing.stack.tables.events, Item=item)
    publishing.run(module.LATE + 1)
    assert sorted(publishing.bus.ids) == publishing.event_ids()


def test_an_event_whose_item_cannot_be_read_waits(publishing: Publishing, owner: Key) -> None:
    """A later version may store what this one has no type for, such as a fraction."""
    tables = publishing.stack.tables
    event = next(
        it for it in items(publishing.stack.client, tables.events) if it.get("action") == "ACCOUNT_CREATED"
    )
    key = {name: to_attribute(event[name]) for name in ("account", "id")}

    def update(expression: str, **values: dict[str, str]) -> None:
        publishing.stack.client.update_item(
            TableName=tables.events,
            Key=key,
            UpdateExpression=expression,
            **(
                {"ExpressionAttributeValues": {f":{name}": it for name, it in values.items()}}
                if values
                else {}
            ),
        )

    update("SET weight = :weight", weight={"N": "1.5"})
    publishing.deliver()
    assert publishing.run(module.LATE + 1)["unreadable"] == 1
    update("REMOVE weight")
    assert publishing.run()["published"] == 1
    assert sorted(publishing.bus.ids) == publishing.event_ids()


def test_what_the_stream_brings_besides_new_events_is_left(publishing: Publishing, owner: Key) -> None:
    records = publishing.new_records()
    for record in records:
        record["eventName"] = "MODIFY"
    gone = {"eventName": "REMOVE", "dynamodb": {"Keys": {}}}
    assert list(functions._new([*records, gone])) == []
    nonsense = {"account": {"S": "one"}, "id": {"S": "0" * 28}, "action": {"S": "ACCOUNT_CREATED"}}
    assert list(functions._new([{"eventName": "INSERT", "dynamodb": {"NewImage": nonsense}}])) == []


def test_nobody_but_a_refusal_is_published_from_the_partition_of_refusals(publishing: Publishing) -> None:
    """The authorizer may write there, and shall make no other event heard."""
    event = make_event(at=int(publishing.stack.clock()))
    from chalicelib.store.trail import event_item

    item = {**event_item(event, 400), "account": {"S": "REFUSED#acme"}}
    assert list(functions._new([{"eventName": "INSERT", "dynamodb": {"NewImage": item}}])) == []


def test_the_sweeps_events_are_published_too(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    account = policy_account(stack)
    publishing = Publishing(stack, monkeypatch)
    stack.service_user(account.owner, "bot")
    account.set_policy(maxKeyAgeDays=30)
    account.publishes = True
    for day in (20, 29, 31):
        account.go_to(day)
    publishing.run()
    assert {"API_KEY_ENDING", "API_KEY_REVOKED"} <= {it["action"] for it in publishing.bus.taken}


def test_unprocessed_markers_are_deleted_again(
    publishing: Publishing, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = publishing.stack.client
    real = client.batch_write_item
    tries = [0]

    def leave_one(**parameters: Any) -> Any:
        tries[0] += 1
        [(table, requests)] = parameters["RequestItems"].items()
        real(RequestItems={table: requests[1:]}) if requests[1:] else None
        return {"UnprocessedItems": {table: requests[:1]}}

    monkeypatch.setattr(client, "batch_write_item", leave_one)
    assert publishing.deliver()["store_failed"] == 1
    assert tries == [4]
    monkeypatch.undo()


def test_the_functions_log_tells_denied_calls(
    publishing: Publishing, owner: Key, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_more: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents")

    monkeypatch.setattr(publishing.bus, "put_events", denied)
    publishing.deliver()
    [record] = [it for it in caplog.records if getattr(it, "code", "")]
    assert record.levelname == "ERROR"


def test_a_call_is_never_larger_than_eventbridge_accepts(publishing: Publishing) -> None:
    from chalicelib.publishing.publish import _Run

    big = [(Marker("one", it.id), it) for it in (make_event(reason="r" * 60_000) for _ in range(9))]
    batches = list(_Run(publishing.publisher)._batches(big))
    assert [len(it) for it in batches] == [3, 3, 3]


def test_a_published_event_is_the_same_to_the_byte() -> None:
    event = make_event(id="0" * 28, request_id="r")
    assert line(published(event)) == line(json.loads(line(published(event))))
