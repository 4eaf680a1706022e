"""The event source mapping of the packaged template: passes the stream of Events to ``notify``."""

import json
from collections.abc import Callable
from typing import Any

from local.event_sources import stream_record
from local.package.runtime import EnvironmentDiedError, FunctionError


class EventSourceMapping:
    """Reads a stream from its starting position and invokes a function with the records its filter matches.

    As in Lambda, a batch is retried from its first failure; a batch that fails as a whole is bisected, to
    isolate the record that fails; after the last attempt the remaining records go to ``dead_letters``.
    """

    def __init__(
        self, client: Any, stream_arn: str, properties: dict[str, Any], invoke: Callable[[Any], Any]
    ) -> None:
        self._client = client
        self._stream_arn = stream_arn
        self._invoke = invoke
        self._starting_position = properties["StartingPosition"]
        self._batch = int(properties["BatchSize"])
        self._attempts = int(properties["MaximumRetryAttempts"]) + 1
        self._bisect = bool(properties["BisectBatchOnFunctionError"])
        self._partial = properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        self._patterns = [one["Pattern"] for one in properties["FilterCriteria"]["Filters"]]
        self._iterators: dict[str, str | None] = {}
        self.dead_letters: list[Any] = []

    def deliver(self) -> int:
        """Pass on all new records, and return how many there were."""
        described = self._client.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
        for shard in described["Shards"]:
            if shard["ShardId"] not in self._iterators:
                self._iterators[shard["ShardId"]] = self._client.get_shard_iterator(
                    StreamArn=self._stream_arn,
                    ShardId=shard["ShardId"],
                    ShardIteratorType=self._starting_position,
                )["ShardIterator"]
        delivered = 0
        for shard_id in self._iterators:
            delivered += self._deliver_shard(shard_id)
        return delivered

    def _deliver_shard(self, shard_id: str) -> int:
        delivered = 0
        while iterator := self._iterators[shard_id]:
            page = self._client.get_records(ShardIterator=iterator)
            self._iterators[shard_id] = page.get("NextShardIterator")
            if not page["Records"]:
                break
            records = [stream_record(record, self._stream_arn) for record in page["Records"]]
            matching = [
                one for one in records if any(filter_matches(pattern, one) for pattern in self._patterns)
            ]
            for start in range(0, len(matching), self._batch):
                self._invoke_with(matching[start : start + self._batch], self._attempts)
            delivered += len(matching)
        return delivered

    def _invoke_with(self, records: list[Any], attempts: int) -> None:
        while records:
            if not attempts:
                self.dead_letters.append(records)
                return
            attempts -= 1
            try:
                result = self._invoke({"Records": records})
            except (FunctionError, EnvironmentDiedError):
                if self._bisect and len(records) > 1:
                    middle = len(records) // 2
                    self._invoke_with(records[:middle], attempts)
                    self._invoke_with(records[middle:], attempts)
                    return
                continue
            failed = {one["itemIdentifier"] for one in (result or {}).get("batchItemFailures", ())}
            if not (self._partial and failed):
                return
            numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
            records = records[min(numbers.index(number) for number in failed) :]


def filter_matches(pattern: str, record: Any) -> bool:
    """Return whether a filter pattern matches a record. Knows equality and ``exists``."""
    return _matches(json.loads(pattern), record)


def _matches(pattern: Any, value: Any) -> bool:
    if isinstance(pattern, dict):
        return all(
            _matches(rule, value.get(name) if isinstance(value, dict) else None)
            for name, rule in pattern.items()
        )
    return any(
        (value is not None and not isinstance(value, dict)) == rule["exists"]
        if isinstance(rule, dict)
        else value == rule
        for rule in pattern
    )
