"""The event source mapping of the packaged template: feeds the stream of Events to ``notify``."""

from collections.abc import Callable
from typing import Any

from local.event_sources import stream_record
from local.package.api_gateway import filter_takes
from local.package.runtime import EnvironmentDiedError, FunctionError


class EventSource:
    """Reads a stream from where it is told to start, and hands on what its filter takes.

    As Lambda does it: a batch is tried again from its first failure; one that fails whole is halved, to
    find the record that is at fault; after so many tries what is left goes to ``dead_letters``.
    """

    def __init__(
        self, client: Any, stream_arn: str, properties: dict[str, Any], invoke: Callable[[Any], Any]
    ) -> None:
        self._client = client
        self._stream_arn = stream_arn
        self._invoke = invoke
        self._start = properties["StartingPosition"]
        self._batch = int(properties["BatchSize"])
        self._tries = int(properties["MaximumRetryAttempts"]) + 1
        self._bisects = bool(properties["BisectBatchOnFunctionError"])
        self._partial = properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        self._patterns = [one["Pattern"] for one in properties["FilterCriteria"]["Filters"]]
        self._iterators: dict[str, str | None] = {}
        self.dead_letters: list[Any] = []

    def pump(self) -> int:
        """Hand on everything that is new; answer how many records were handed on."""
        described = self._client.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]
        for shard in described["Shards"]:
            if shard["ShardId"] not in self._iterators:
                self._iterators[shard["ShardId"]] = self._client.get_shard_iterator(
                    StreamArn=self._stream_arn, ShardId=shard["ShardId"], ShardIteratorType=self._start
                )["ShardIterator"]
        passed = 0
        for shard_id in self._iterators:
            passed += self._pump_shard(shard_id)
        return passed

    def _pump_shard(self, shard_id: str) -> int:
        passed = 0
        while iterator := self._iterators[shard_id]:
            answer = self._client.get_records(ShardIterator=iterator)
            self._iterators[shard_id] = answer.get("NextShardIterator")
            if not answer["Records"]:
                break
            records = [stream_record(record, self._stream_arn) for record in answer["Records"]]
            wanted = [one for one in records if any(filter_takes(pattern, one) for pattern in self._patterns)]
            for start in range(0, len(wanted), self._batch):
                self._pass_on(wanted[start : start + self._batch], self._tries)
            passed += len(wanted)
        return passed

    def _pass_on(self, records: list[Any], tries: int) -> None:
        while records:
            if not tries:
                self.dead_letters.append(records)
                return
            tries -= 1
            try:
                answer = self._invoke({"Records": records})
            except (FunctionError, EnvironmentDiedError):
                if self._bisects and len(records) > 1:
                    middle = len(records) // 2
                    self._pass_on(records[:middle], tries)
                    self._pass_on(records[middle:], tries)
                    return
                continue
            failed = {one["itemIdentifier"] for one in (answer or {}).get("batchItemFailures", ())}
            if not (self._partial and failed):
                return
            numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
            records = records[min(numbers.index(number) for number in failed) :]
