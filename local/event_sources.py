"""What calls the app's other functions in AWS: the table's stream, and the schedules."""

from __future__ import annotations

import base64
import contextlib
import re
import threading
import time
import traceback
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError
from chalice.local import LambdaContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chalice.app import Chalice
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient

    Handler = Callable[[dict[str, Any], Any], Any]

_FUNCTION_SECONDS = 900
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}


def context(name: str) -> Any:
    """Answer a Lambda context for one invocation of the function ``name``."""
    return LambdaContext(name, 512, _FUNCTION_SECONDS * 1000)


class Schedule(NamedTuple):
    """A function that is to run every so many seconds."""

    name: str
    handler: Handler
    seconds: float


def schedules(app: Chalice) -> list[Schedule]:
    """Answer every schedule of ``app``. Raises ValueError on one that is not a rate."""
    found = []
    for source in app.event_sources:
        if (expression := getattr(source, "schedule_expression", None)) is not None:
            text = expression if isinstance(expression, str) else expression.to_string()
            rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", text)
            if rate is None:
                raise ValueError(f"{source.name} runs at {text}; only rate(…) is understood here.")
            found.append(Schedule(source.name, app.handler_map[source.name], int(rate[1]) * _UNITS[rate[2]]))
    return found


def scheduled_event(name: str, at: float) -> dict[str, Any]:
    """Answer the event with which a schedule calls its function."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": "local",
        "resources": [f"arn:aws:events:local:123456789012:rule/{name}"],
        "detail": {},
    }


class Clockwork(threading.Thread):
    """Runs each schedule at its rate, first one period from now, until :meth:`stop`.

    ``lock`` is held during a run. A run that fails is told of and does not end the schedule.
    """

    def __init__(
        self, schedules: Sequence[Schedule], lock: contextlib.AbstractContextManager[Any] | None = None
    ) -> None:
        super().__init__(name="schedules", daemon=True)
        self._schedules = schedules
        self._lock = lock or contextlib.nullcontext()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Wait for whatever is due next, and run it."""
        started = time.monotonic()
        due = [started + schedule.seconds for schedule in self._schedules]
        while due:
            first = min(range(len(due)), key=due.__getitem__)
            if self._stopped.wait(max(0.0, due[first] - time.monotonic())):
                return
            # From now on and not from when it was due: a machine that slept does not catch up.
            due[first] = time.monotonic() + self._schedules[first].seconds
            self.fire(self._schedules[first])

    def fire(self, schedule: Schedule) -> None:
        """Run one schedule now."""
        try:
            with self._lock:
                schedule.handler(scheduled_event(schedule.name, time.time()), context(schedule.name))
        except Exception:  # the next one may do better
            traceback.print_exc()

    def stop(self) -> None:
        """Have the thread end, after the run that is on."""
        self._stopped.set()


class Feed(threading.Thread):
    """Feeds a table's stream, from now on, to a function, as its event source mapping does in AWS.

    Only the records that ``wanted`` takes are passed. A batch that fails, whole or in part
    (``batchItemFailures``), is tried again from its first failure, ``tries`` times in all; then it
    is told of and left, as it would go to the dead-letter queue. ``lock`` is held during every call;
    ``moto`` says whose stream it is.
    """

    def __init__(
        self,
        client: DynamoDBStreamsClient,
        stream_arn: str,
        handler: Handler,
        *,
        wanted: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        lock: contextlib.AbstractContextManager[Any] | None = None,
        moto: bool = False,
        tries: int = 3,
        pause: float = 1.0,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(name="stream", daemon=True)
        self._client = client
        self._stream_arn = stream_arn
        self._handler = handler
        self._wanted = wanted
        self._lock = lock or contextlib.nullcontext()
        self._moto = moto
        self._tries = tries
        self._pause = pause
        self._say = say
        self._iterators: dict[str, str | None] = {}
        self._last: dict[str, str] = {}
        self._news = threading.Event()
        self._stopped = threading.Event()
        self._find_shards("LATEST")

    def nudge(self) -> None:
        """Have the stream read at once: something was written."""
        self._news.set()

    def stop(self) -> None:
        """Have the thread end, after the batch that is on."""
        self._stopped.set()
        self._news.set()

    def run(self) -> None:
        """Read and pass on, at a nudge and once a second."""
        while not self._stopped.is_set():
            try:
                passed = self.pump()
            except Exception:  # the engine may be back in a second
                if not self._stopped.is_set():
                    traceback.print_exc()
                passed = 0
            if not passed:
                self._news.wait(1.0)
                self._news.clear()

    def pump(self) -> int:
        """Read every shard once, pass on what is wanted, and answer how many records were read."""
        read = 0
        for shard, iterator in list(self._iterators.items()):
            if iterator is None:
                continue
            try:
                with self._lock:
                    answer = self._client.get_records(ShardIterator=self._present(shard, iterator))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "TrimmedDataAccessException":
                    raise
                # What the iterator was at is gone, or, on DynamoDB Local, has never been.
                del self._iterators[shard]
                self._find_shards("TRIM_HORIZON")
                continue
            self._iterators[shard] = following = answer.get("NextShardIterator")
            if answer["Records"]:
                self._last[shard] = answer["Records"][-1]["dynamodb"]["SequenceNumber"]
            records = [stream_record(record, self._stream_arn) for record in answer["Records"]]
            read += len(records)
            self._pass_on([record for record in records if self._wanted(record)])
            if following is None:  # the shard is full; its children go on from there
                self._find_shards("TRIM_HORIZON")
        return read

    def _present(self, shard: str, iterator: str) -> str:
        """Answer an iterator of the shard as it is now.

        moto undoes a transaction that fails by putting a copy of the table in its place, and iterators
        go on reading the former one's stream: not another record would come.
        """
        if not self._moto or shard not in self._last:
            return iterator
        return self._client.get_shard_iterator(
            StreamArn=self._stream_arn,
            ShardId=shard,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            SequenceNumber=self._last[shard],
        )["ShardIterator"]

    def _find_shards(self, start: Any) -> None:
        with self._lock:
            described = self._client.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
            for shard in described.get("Shards", []):
                if shard["ShardId"] not in self._iterators:
                    self._iterators[shard["ShardId"]] = self._client.get_shard_iterator(
                        StreamArn=self._stream_arn, ShardId=shard["ShardId"], ShardIteratorType=start
                    )["ShardIterator"]

    def _pass_on(self, records: list[dict[str, Any]]) -> None:
        for attempt in range(self._tries):
            if not records:
                return
            try:
                with self._lock:
                    answer = self._handler({"Records": records}, context("notify"))
            except Exception:  # as for Lambda: the whole batch is to be tried again
                if not attempt:
                    traceback.print_exc()
            else:
                records = unfinished(records, answer)
            if records and self._stopped.wait(self._pause):
                return
        if records:
            self._say(
                f"The stream's function failed {self._tries} times; {len(records)} records left undone."
            )


def unfinished(records: list[dict[str, Any]], answer: Any) -> list[dict[str, Any]]:
    """Answer the records that are to be passed again after ``answer``: those from the first failure on.

    As Lambda reads a partial batch failure: no list or an empty one is success; an identifier that
    is empty or not in the batch fails the whole batch.
    """
    failures = (answer or {}).get("batchItemFailures") or []
    if not failures:
        return []
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    failed = [failure.get("itemIdentifier") for failure in failures]
    if any(number not in numbers for number in failed):
        return records
    return records[min(map(numbers.index, failed)) :]


def stream_record(record: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    """Answer a record of GetRecords as Lambda passes it to a function: JSON, with bytes in base64."""
    plain: dict[str, Any] = _plain(record)
    return {
        **{k: plain[k] for k in ("eventID", "eventName") if k in plain},
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": stream_arn.split(":")[3],
        "dynamodb": plain["dynamodb"],
        "eventSourceARN": stream_arn,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value
