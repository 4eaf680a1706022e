"""The stream and the schedules invoke functions as in AWS."""

import base64
import threading
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError
from chalice import Chalice, Cron, Rate
from moto import mock_aws

from local.event_sources import Schedule, Scheduler, StreamPoller, scheduled_event, schedules, unprocessed
from local.tables import create_tables


class Function:
    """Records batches and returns, or raises, the given results in order, and then None."""

    def __init__(self, *results):
        self.results = list(results)
        self.batches = []
        self.called = threading.Event()

    def __call__(self, event, context):
        assert context.aws_request_id
        self.batches.append([record["dynamodb"]["NewImage"]["id"]["S"] for record in event["Records"]])
        self.records = event["Records"]
        self.called.set()
        result = self.results.pop(0) if self.results else None
        if isinstance(result, Exception):
            raise result
        return result(event["Records"]) if callable(result) else result


def failing(index):
    """Return a result that reports the record at ``index`` as failed."""
    return lambda records: {
        "batchItemFailures": [{"itemIdentifier": records[index]["dynamodb"]["SequenceNumber"]}]
    }


class Table:
    def __init__(self):
        self.name = uuid4().hex  # other tests' tables are in the same engine
        self.client = boto3.client("dynamodb")
        self.arn = create_tables(self.client, {"Events": self.name})["Events"]["LatestStreamArn"]
        self.streams = boto3.client("dynamodbstreams")

    def put(self, *ids, **more):
        for each in ids:
            self.client.put_item(
                TableName=self.name,
                Item={"account": {"S": "a"}, "id": {"S": each}, "subjectKey": {"S": "a#b"}, **more},
            )

    def poller(self, function, **more):
        return StreamPoller(self.streams, self.arn, function, pause=0, **more)


@pytest.fixture
def table():
    with mock_aws():
        yield Table()


class TestStreamPoller:
    def test_records_have_the_shape_that_lambda_passes(self, table):
        function = Function()
        poller = table.poller(function)
        table.put("1", digest={"B": b"\x00\xff"}, dueAt={"N": "5"}, some={"M": {"x": {"L": [{"B": b"a"}]}}})

        assert poller.poll() == 1

        (record,) = function.records
        assert record["eventName"] == "INSERT"
        assert record["eventSource"] == "aws:dynamodb"
        assert record["eventSourceARN"] == table.arn
        assert record["awsRegion"] == table.arn.split(":")[3]
        assert record["eventID"]
        change = record["dynamodb"]
        assert isinstance(change["ApproximateCreationDateTime"], int)
        assert change["Keys"] == {"account": {"S": "a"}, "id": {"S": "1"}}
        assert base64.b64decode(change["NewImage"]["digest"]["B"]) == b"\x00\xff"
        assert change["NewImage"]["some"]["M"]["x"]["L"] == [{"B": "YQ=="}]
        assert change["NewImage"]["dueAt"] == {"N": "5"}
        assert change["SequenceNumber"].isdigit()
        assert change["StreamViewType"] == "NEW_IMAGE"

    def test_chalice_reads_the_records(self, table):
        app = Chalice(app_name="test")
        seen = []  # type: ignore[var-annotated]

        @app.on_dynamodb_record(stream_arn="set-later")
        def notify(event):
            seen.extend((record.table_name, record.new_image["id"]["S"]) for record in event)

        poller = table.poller(app.handler_map["notify"])
        table.put("1", "2")
        poller.poll()
        assert seen == [(table.name, "1"), (table.name, "2")]

    def test_it_starts_now_and_passes_every_record_once(self, table):
        function = Function()
        table.put("before")
        poller = table.poller(function)
        assert poller.poll() == 0
        table.put("1", "2")
        assert poller.poll() == 2
        assert poller.poll() == 0
        table.put("3")
        poller.poll()
        assert function.batches == [["1", "2"], ["3"]]

    def test_it_continues_after_a_failed_transaction(self, table):
        function = Function()
        poller = table.poller(function, moto=True)
        table.put("1")
        poller.poll()
        item = {"account": {"S": "a"}, "id": {"S": "1"}}
        put = {"TableName": table.name, "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
        client = boto3.client("dynamodb")
        with pytest.raises(client.exceptions.TransactionCanceledException):
            client.transact_write_items(TransactItems=[{"Put": put}])
        table.put("2")
        poller.poll()
        assert function.batches == [["1"], ["2"]]

    def test_only_matching_records_are_passed(self, table):
        function = Function()
        poller = table.poller(function, matches=lambda record: record["eventName"] == "INSERT")
        table.put("1")
        table.put("1", told={"BOOL": True})
        assert poller.poll() == 2
        assert function.batches == [["1"]]
        table.put("1", told={"BOOL": False})
        poller.poll()
        assert function.batches == [["1"]]

    def test_after_a_partial_failure_it_retries_from_there(self, table):
        function = Function(failing(1), failing(0), {"batchItemFailures": []})
        poller = table.poller(function)
        table.put("1", "2", "3")
        poller.poll()
        assert function.batches == [["1", "2", "3"], ["2", "3"], ["2", "3"]]

    def test_a_batch_that_keeps_failing_is_dropped_and_reported(self, table, capfd):
        lines = []  # type: ignore[var-annotated]
        function = Function(*[RuntimeError("out of order")] * 3)
        poller = table.poller(function, say=lines.append)
        table.put("1")
        poller.poll()
        table.put("2")
        poller.poll()
        assert function.batches == [["1"], ["1"], ["1"], ["2"]]
        assert len(lines) == 1
        assert "failed 3 times" in lines[0]
        assert capfd.readouterr().err.count("RuntimeError: out of order") == 1

    def test_the_children_of_a_closed_shard_are_read_from_their_beginning(self):
        class Streams:
            """A stream whose first shard ends after its first record."""

            shards = ["a"]

            def describe_stream(self, StreamArn):  # noqa: N803
                return {"StreamDescription": {"Shards": [{"ShardId": shard} for shard in self.shards]}}

            def get_shard_iterator(self, StreamArn, ShardId, ShardIteratorType):  # noqa: N803
                return {"ShardIterator": f"{ShardId} {ShardIteratorType}"}

            def get_records(self, ShardIterator):  # noqa: N803
                change = {"SequenceNumber": "1", "NewImage": {"id": {"S": ShardIterator}}}
                page = {"Records": [{"eventName": "INSERT", "dynamodb": change}]}
                if ShardIterator.startswith("a"):
                    self.shards = ["a", "b"]
                    return page
                return {**page, "NextShardIterator": "b later"}

        function = Function()
        poller = StreamPoller(Streams(), "arn:aws:dynamodb:x:1:table/t/stream/1", function)  # type: ignore[arg-type]
        for _ in range(3):
            poller.poll()
        assert function.batches == [["a LATEST"], ["b TRIM_HORIZON"], ["b later"]]

    def test_after_a_trim_it_continues_with_the_oldest_record(self):
        class Streams:
            """A stream whose oldest records were trimmed."""

            def describe_stream(self, StreamArn):  # noqa: N803
                return {"StreamDescription": {"Shards": [{"ShardId": "a"}]}}

            def get_shard_iterator(self, StreamArn, ShardId, ShardIteratorType):  # noqa: N803
                return {"ShardIterator": ShardIteratorType}

            def get_records(self, ShardIterator):  # noqa: N803
                if ShardIterator == "LATEST":
                    raise ClientError({"Error": {"Code": "TrimmedDataAccessException"}}, "GetRecords")
                if ShardIterator == "gone":
                    raise ClientError({"Error": {"Code": "ExpiredIteratorException"}}, "GetRecords")
                change = {"SequenceNumber": "1", "NewImage": {"id": {"S": ShardIterator}}}
                return {
                    "Records": [{"eventName": "INSERT", "dynamodb": change}],
                    "NextShardIterator": "gone",
                }

        function = Function()
        poller = StreamPoller(Streams(), "arn:aws:dynamodb:x:1:table/t/stream/1", function)  # type: ignore[arg-type]
        assert poller.poll() == 0
        assert poller.poll() == 1
        assert function.batches == [["TRIM_HORIZON"]]
        with pytest.raises(ClientError, match="Expired"):
            poller.poll()

    def test_the_thread_polls_when_woken_and_survives_a_failing_engine(self, table, monkeypatch, capfd):
        function = Function()
        poller = table.poller(function, lock=threading.Lock())
        real, failed = poller.poll, threading.Event()

        def once_broken():
            if not failed.is_set():
                failed.set()
                raise ConnectionError("no engine")
            return real()

        monkeypatch.setattr(poller, "poll", once_broken)
        poller.start()
        assert failed.wait(10)
        table.put("1")
        poller.wake()
        assert function.called.wait(10)
        poller.stop()
        poller.join(10)
        assert not poller.is_alive()
        assert "no engine" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("result", "retried"),
    [
        (None, ""),
        ({}, ""),
        ({"batchItemFailures": None}, ""),
        ({"batchItemFailures": []}, ""),
        ({"batchItemFailures": [{"itemIdentifier": "2"}]}, "23"),
        ({"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "2"}]}, "23"),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, "123"),
        ({"batchItemFailures": [{}]}, "123"),
        ({"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "9"}]}, "123"),
    ],
)
def test_which_records_are_retried(result, retried):
    records = [{"dynamodb": {"SequenceNumber": number}} for number in "123"]
    assert unprocessed(records, result) == [
        record for record in records if record["dynamodb"]["SequenceNumber"] in retried
    ]


class TestSchedules:
    def test_schedules_are_read_from_the_app(self):
        app = Chalice(app_name="test")
        app.schedule("rate(1 minute)", name="one")(lambda event: event.time)
        app.schedule("rate(5 minutes)", name="five")(print)
        app.schedule(Rate(1, unit=Rate.HOURS), name="hourly")(print)
        app.schedule(Rate(2, unit=Rate.DAYS), name="daily")(print)
        app.on_dynamodb_record(stream_arn="x", name="other")(print)
        found = schedules(app)
        assert [(each.name, each.seconds) for each in found] == [
            ("one", 60),
            ("five", 300),
            ("hourly", 3600),
            ("daily", 172800),
        ]
        assert found[0].handler(scheduled_event("one", 0.0), None) == "1970-01-01T00:00:00Z"

    def test_a_cron_schedule_is_refused(self):
        app = Chalice(app_name="test")
        app.schedule(Cron(0, 1, "*", "*", "?", "*"), name="nightly")(print)
        with pytest.raises(ValueError, match="nightly runs at cron"):
            schedules(app)

    def test_the_event(self):
        event = scheduled_event("resend", 1_700_000_000.9)
        assert event["source"] == "aws.events"
        assert event["detail-type"] == "Scheduled Event"
        assert event["time"] == "2023-11-14T22:13:20Z"
        assert event["resources"][0].endswith(":rule/resend")

    def test_each_runs_at_its_rate_even_after_a_failure(self, capfd):
        runs = []
        thrice = threading.Event()

        def often(event, context):
            runs.append("often")
            if runs.count("often") == 3:
                thrice.set()
            raise RuntimeError("out of order")

        scheduler = Scheduler(
            [Schedule("seldom", lambda *_: runs.append("seldom"), 3600), Schedule("often", often, 0.001)],
            threading.Lock(),
        )
        scheduler.start()
        assert thrice.wait(10)
        scheduler.stop()
        scheduler.join(10)
        assert not scheduler.is_alive()
        assert "seldom" not in runs
        assert "out of order" in capfd.readouterr().err

    def test_without_schedules_the_thread_ends(self):
        scheduler = Scheduler([])
        scheduler.start()
        scheduler.join(10)
        assert not scheduler.is_alive()
