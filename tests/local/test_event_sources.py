"""The stream and the schedules call functions as their event sources do in AWS."""

import base64
import threading
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError
from chalice import Chalice, Cron, Rate
from moto import mock_aws

from local.event_sources import Clockwork, Feed, Schedule, scheduled_event, schedules, unfinished
from local.tables import create_tables


class Function:
    """Takes batches and answers, or raises, what it was told to, one after the other, and then nothing."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.batches = []
        self.called = threading.Event()

    def __call__(self, event, context):
        assert context.aws_request_id
        self.batches.append([record["dynamodb"]["NewImage"]["id"]["S"] for record in event["Records"]])
        self.records = event["Records"]
        self.called.set()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer(event["Records"]) if callable(answer) else answer


def failing(index):
    """Answer a partial batch failure of the record at ``index``."""
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

    def feed(self, function, **more):
        return Feed(self.streams, self.arn, function, pause=0, **more)


@pytest.fixture
def table():
    with mock_aws():
        yield Table()


class TestFeed:
    def test_records_have_lambdas_shape(self, table):
        function = Function()
        feed = table.feed(function)
        table.put("1", digest={"B": b"\x00\xff"}, dueAt={"N": "5"}, some={"M": {"x": {"L": [{"B": b"a"}]}}})

        assert feed.pump() == 1

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

    def test_what_chalice_makes_of_them(self, table):
        app = Chalice(app_name="toy")
        seen = []

        @app.on_dynamodb_record(stream_arn="set-later")
        def notify(event):
            seen.extend((record.table_name, record.new_image["id"]["S"]) for record in event)

        feed = table.feed(app.handler_map["notify"])
        table.put("1", "2")
        feed.pump()
        assert seen == [(table.name, "1"), (table.name, "2")]

    def test_it_starts_now_and_every_record_comes_once(self, table):
        function = Function()
        table.put("before")
        feed = table.feed(function)
        assert feed.pump() == 0
        table.put("1", "2")
        assert feed.pump() == 2
        assert feed.pump() == 0
        table.put("3")
        feed.pump()
        assert function.batches == [["1", "2"], ["3"]]

    def test_it_goes_on_after_a_transaction_that_failed(self, table):
        function = Function()
        feed = table.feed(function, moto=True)
        table.put("1")
        feed.pump()
        item = {"account": {"S": "a"}, "id": {"S": "1"}}
        put = {"TableName": table.name, "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
        client = boto3.client("dynamodb")
        with pytest.raises(client.exceptions.TransactionCanceledException):
            client.transact_write_items(TransactItems=[{"Put": put}])
        table.put("2")
        feed.pump()
        assert function.batches == [["1"], ["2"]]

    def test_only_what_is_wanted_comes(self, table):
        function = Function()
        feed = table.feed(function, wanted=lambda record: record["eventName"] == "INSERT")
        table.put("1")
        table.put("1", told={"BOOL": True})
        assert feed.pump() == 2
        assert function.batches == [["1"]]
        table.put("1", told={"BOOL": False})
        feed.pump()
        assert function.batches == [["1"]]

    def test_after_a_partial_failure_it_goes_on_from_there(self, table):
        function = Function(failing(1), failing(0), {"batchItemFailures": []})
        feed = table.feed(function)
        table.put("1", "2", "3")
        feed.pump()
        assert function.batches == [["1", "2", "3"], ["2", "3"], ["2", "3"]]

    def test_a_batch_that_goes_on_failing_is_left_and_told_of(self, table, capfd):
        said = []
        function = Function(*[RuntimeError("out of order")] * 3)
        feed = table.feed(function, say=said.append)
        table.put("1")
        feed.pump()
        table.put("2")
        feed.pump()
        assert function.batches == [["1"], ["1"], ["1"], ["2"]]
        assert len(said) == 1
        assert "failed 3 times" in said[0]
        assert capfd.readouterr().err.count("RuntimeError: out of order") == 1

    def test_a_full_shards_children_are_read_from_their_beginning(self):
        class Streams:
            """A stream whose first shard ends after its first record."""

            shards = ["a"]

            def describe_stream(self, StreamArn):  # noqa: N803
                return {"StreamDescription": {"Shards": [{"ShardId": shard} for shard in self.shards]}}

            def get_shard_iterator(self, StreamArn, ShardId, ShardIteratorType):  # noqa: N803
                return {"ShardIterator": f"{ShardId} {ShardIteratorType}"}

            def get_records(self, ShardIterator):  # noqa: N803
                change = {"SequenceNumber": "1", "NewImage": {"id": {"S": ShardIterator}}}
                answer = {"Records": [{"eventName": "INSERT", "dynamodb": change}]}
                if ShardIterator.startswith("a"):
                    self.shards = ["a", "b"]
                    return answer
                return {**answer, "NextShardIterator": "b later"}

        function = Function()
        feed = Feed(Streams(), "arn:aws:dynamodb:x:1:table/t/stream/1", function)
        for _ in range(3):
            feed.pump()
        assert function.batches == [["a LATEST"], ["b TRIM_HORIZON"], ["b later"]]

    def test_where_records_are_gone_it_goes_on_with_the_oldest_there_is(self):
        class Streams:
            """A stream whose records before the first there is were trimmed."""

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
        feed = Feed(Streams(), "arn:aws:dynamodb:x:1:table/t/stream/1", function)
        assert feed.pump() == 0
        assert feed.pump() == 1
        assert function.batches == [["TRIM_HORIZON"]]
        with pytest.raises(ClientError, match="Expired"):
            feed.pump()

    def test_the_thread_reads_at_a_nudge_and_outlives_an_engine_that_fails(self, table, monkeypatch, capfd):
        function = Function()
        feed = table.feed(function, lock=threading.Lock())
        real, failed = feed.pump, threading.Event()

        def once_broken():
            if not failed.is_set():
                failed.set()
                raise ConnectionError("no engine")
            return real()

        monkeypatch.setattr(feed, "pump", once_broken)
        feed.start()
        assert failed.wait(10)
        table.put("1")
        feed.nudge()
        assert function.called.wait(10)
        feed.stop()
        feed.join(10)
        assert not feed.is_alive()
        assert "no engine" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("answer", "left"),
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
def test_what_is_passed_again(answer, left):
    records = [{"dynamodb": {"SequenceNumber": number}} for number in "123"]
    assert unfinished(records, answer) == [
        record for record in records if record["dynamodb"]["SequenceNumber"] in left
    ]


class TestSchedules:
    def test_they_are_the_apps(self):
        app = Chalice(app_name="toy")
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

    def test_a_cron_is_not_understood(self):
        app = Chalice(app_name="toy")
        app.schedule(Cron(0, 1, "*", "*", "?", "*"), name="nightly")(print)
        with pytest.raises(ValueError, match="nightly runs at cron"):
            schedules(app)

    def test_the_event(self):
        event = scheduled_event("resend", 1_700_000_000.9)
        assert event["source"] == "aws.events"
        assert event["detail-type"] == "Scheduled Event"
        assert event["time"] == "2023-11-14T22:13:20Z"
        assert event["resources"][0].endswith(":rule/resend")

    def test_each_runs_at_its_rate_also_after_it_failed(self, capfd):
        runs = []
        thrice = threading.Event()

        def often(event, context):
            runs.append("often")
            if runs.count("often") == 3:
                thrice.set()
            raise RuntimeError("out of order")

        clockwork = Clockwork(
            [Schedule("seldom", lambda *_: runs.append("seldom"), 3600), Schedule("often", often, 0.001)],
            threading.Lock(),
        )
        clockwork.start()
        assert thrice.wait(10)
        clockwork.stop()
        clockwork.join(10)
        assert not clockwork.is_alive()
        assert "seldom" not in runs
        assert "out of order" in capfd.readouterr().err

    def test_without_schedules_there_is_nothing_to_wait_for(self):
        clockwork = Clockwork([])
        clockwork.start()
        clockwork.join(10)
        assert not clockwork.is_alive()
