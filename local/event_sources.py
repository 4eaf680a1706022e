"""Invokes the app's other functions as AWS does: from the table's stream, and on schedules."""

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


def lambda_context(name: str) -> Any:
    """Return a Lambda context for one invocation of the function ``name``."""
    return LambdaContext(name, 512, _FUNCTION_SECONDS * 1000)


class Schedule(NamedTuple):
    """A function and its interval, in seconds."""

    name: str
    handler: Handler
    seconds: float


def schedules(app: Chalice) -> list[Schedule]:
    """Return every schedule of ``app``. Raises ValueError for one that is not a rate."""
    found = []
    for source in app.event_sources:
        if (expression := getattr(source, "schedule_expression", None)) is not None:
            text = expression if isinstance(expression, str) else expression.to_string()
            rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", text)
            if rate is None:
                raise ValueError(f"{source.name} runs at {text}; only rate(…) is supported here.")
            found.append(Schedule(source.name, app.handler_map[source.name], int(rate[1]) * _UNITS[rate[2]]))
    return found


def scheduled_event(name: str, at: float) -> dict[str, Any]:
    """Return the event with which a schedule invokes its function."""
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


class Scheduler(threading.Thread):
    """Runs each schedule at its rate, first after one interval, until :meth:`stop`.

    ``lock`` is held during a run. A failed run is printed and does not end the schedule.
    """

    def __init__(
        self, schedules: Sequence[Schedule], lock: contextlib.AbstractContextManager[Any] | None = None
    ) -> None:
        super().__init__(name="schedules", daemon=True)
        self._schedules = schedules
        self._lock = lock or contextlib.nullcontext()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Wait for the next due schedule, and run it."""
        started = time.monotonic()
        due = [started + schedule.seconds for schedule in self._schedules]
        while due:
            first = min(range(len(due)), key=due.__getitem__)
            if self._stopped.wait(max(0.0, due[first] - time.monotonic())):
                return
            # Counted from now, not from when it was due: a machine that was asleep does not catch up.
            due[first] = time.monotonic() + self._schedules[first].seconds
            self.run_schedule(self._schedules[first])

    def run_schedule(self, schedule: Schedule) -> None:
        """Run one schedule now."""
        try:
            with self._lock:
                schedule.handler(scheduled_event(schedule.name, time.time()), lambda_context(schedule.name))
        except Exception:  # the next run may succeed
            traceback.print_exc()

    def stop(self) -> None:
        """End the thread after the current run."""
        self._stopped.set()


class StreamPoller(threading.Thread):
    """Polls a table's stream and invokes a function with new records, as an event source mapping in AWS does.

    Only records for which ``matches`` is true are passed. A batch that fails, as a whole or in part
    (``batchItemFailures``), is retried from its first failure, up to ``attempts`` attempts; then it is
    reported through ``say`` and dropped, as it would go to the dead-letter queue. ``lock`` is held during
    every call; ``moto``: the stream is moto's.
    """

    def __init__(
        self,
        client: DynamoDBStreamsClient,
        stream_arn: str,
        handler: Handler,
        *,
        matches: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        lock: contextlib.AbstractContextManager[Any] | None = None,
        moto: bool = False,
        attempts: int = 3,
        pause: float = 1.0,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(name="stream", daemon=True)
        self._client = client
        self._stream_arn = stream_arn
        self._handler = handler
        self._matches = matches
        self._lock = lock or contextlib.nullcontext()
        self._moto = moto
        self._attempts = attempts
        self._pause = pause
        self._say = say
        self._iterators: dict[str, str | None] = {}
        self._last_sequence_number: dict[str, str] = {}
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._find_shards("LATEST")

    def wake(self) -> None:
        """Poll at once instead of at the next interval."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread after the current batch."""
        self._stopped.set()
        self._wake.set()

    def run(self) -> None:
        """Poll once a second, and whenever woken."""
        while not self._stopped.is_set():
            try:
                count = self.poll()
            except Exception:  # the engine may be available again in a second
                if not self._stopped.is_set():
                    traceback.print_exc()
                count = 0
            if not count:
                self._wake.wait(1.0)
                self._wake.clear()

    def poll(self) -> int:
        """Read every shard once, invoke the function with matching records, and return how many were read."""
        read = 0
        for shard, iterator in list(self._iterators.items()):
            if iterator is None:
                continue
            try:
                with self._lock:
                    page = self._client.get_records(ShardIterator=self._current_iterator(shard, iterator))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "TrimmedDataAccessException":
                    raise
                # The iterator's position was trimmed, or, on DynamoDB Local, never existed.
                del self._iterators[shard]
                self._find_shards("TRIM_HORIZON")
                continue
            self._iterators[shard] = following = page.get("NextShardIterator")
            if page["Records"]:
                self._last_sequence_number[shard] = page["Records"][-1]["dynamodb"]["SequenceNumber"]
            records = [stream_record(record, self._stream_arn) for record in page["Records"]]
            read += len(records)
            self._invoke([record for record in records if self._matches(record)])
            if following is None:  # the shard is closed; its child shards continue it
                self._find_shards("TRIM_HORIZON")
        return read

    def _current_iterator(self, shard: str, iterator: str) -> str:
        """Return an iterator for the current state of the shard.

        moto rolls a failed transaction back by replacing the table with a copy, and existing iterators
        keep reading the stream of the replaced table, which gets no further records.
        """
        if not self._moto or shard not in self._last_sequence_number:
            return iterator
        return self._client.get_shard_iterator(
            StreamArn=self._stream_arn,
            ShardId=shard,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            SequenceNumber=self._last_sequence_number[shard],
        )["ShardIterator"]

    def _find_shards(self, start: Any) -> None:
        with self._lock:
            described = self._client.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
            for shard in described.get("Shards", []):
                if shard["ShardId"] not in self._iterators:
                    self._iterators[shard["ShardId"]] = self._client.get_shard_iterator(
                        StreamArn=self._stream_arn, ShardId=shard["ShardId"], ShardIteratorType=start
                    )["ShardIterator"]

    def _invoke(self, records: list[dict[str, Any]]) -> None:
        for attempt in range(self._attempts):
            if not records:
                return
            try:
                with self._lock:
                    result = self._handler({"Records": records}, lambda_context("notify"))
            except Exception:  # as in Lambda, the whole batch is retried
                if not attempt:
                    traceback.print_exc()
            else:
                records = unprocessed(records, result)
            if records and self._stopped.wait(self._pause):
                return
        if records:
            self._say(
                f"The stream's function failed {self._attempts} times; {len(records)} records were dropped."
            )


def unprocessed(records: list[dict[str, Any]], result: Any) -> list[dict[str, Any]]:
    """Return the records to retry after ``result``: those from the first failure on.

    As Lambda reads a partial batch response: no list or an empty one is success; an identifier that is
    empty or not in the batch fails the whole batch.
    """
    failures = (result or {}).get("batchItemFailures") or []
    if not failures:
        return []
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    failed = [failure.get("itemIdentifier") for failure in failures]
    if any(number not in numbers for number in failed):
        return records
    return records[min(map(numbers.index, failed)) :]


def stream_record(record: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    """Return a record of GetRecords as Lambda passes it to a function: JSON, with bytes in base64."""
    plain: dict[str, Any] = _json_value(record)
    return {
        **{k: plain[k] for k in ("eventID", "eventName") if k in plain},
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": stream_arn.split(":")[3],
        "dynamodb": plain["dynamodb"],
        "eventSourceARN": stream_arn,
    }


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_json_value(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value
