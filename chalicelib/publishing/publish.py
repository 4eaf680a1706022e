"""Publishes every committed event on the stack's EventBridge bus, at least once.

Each event has a marker, written in its transaction and deleted once EventBridge has taken it.
``publish_new`` publishes what the stream brings; ``publish_waiting``, each minute, whatever still has a
marker: after an outage of any length, and whatever died where. A consumer may get an event twice, and out
of order: the id tells both.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.publishing.form import SOURCE, line, published
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.model import Event
from chalicelib.rules.notifications import SHARDS
from chalicelib.rules.publications import Marker, Publications, after_marker, after_partition

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

_LOG = logging.getLogger(__name__)

MAX_ENTRIES = 10
"""The most entries of one PutEvents call."""

MAX_BYTES = 200_000
"""The most bytes of one PutEvents call; EventBridge accepts 256 KB."""

GRACE = 60
"""Seconds for which a new event is left to the stream."""

LATE = 300
"""Seconds after which an event that is not published counts as late, in the metric and its alarm."""

PAGE = 1_000
"""Markers read at once."""

TURN = 50
"""The most events of one partition that are published before it is another's turn."""

MAX_FAILURES_IN_A_ROW = 3
"""So many failed calls in a row, and the rest is left to the next run."""

MARGIN_MS = 15_000
"""Nothing is begun with less time left: publishing events and deleting their markers may take this long."""

_STORE_ERRORS = (ClientError, BotoCoreError, Unavailable)


class Publisher(NamedTuple):
    """What publishing needs. ``bus`` is the name of the event bus."""

    store: Publications
    bridge: "EventBridgeClient"
    bus: str
    now: Callable[[], float]
    remaining_ms: Callable[[], int]


def publish_new(events: Iterable[tuple[Marker, Event]], publisher: Publisher) -> dict[str, int]:
    """Publish new events. Return the counts.

    Never raises for a service that fails: what is not published is left to ``publish_waiting``.
    """
    run = _Run(publisher)
    try:
        run.put(events)
    except _STORE_ERRORS as error:
        run.store_failed(error)
    return run.close()


def publish_waiting(publisher: Publisher) -> dict[str, int]:
    """Publish the events that wait, until none is left or time is short. Return the counts.

    Accounts take turns, so that what waits in one delays no other. ``late`` is the number of events still
    waiting that are older than ``LATE``. Raises the error of DynamoDB, at the end, if some could not be read.
    """
    run = _Run(publisher)
    now = int(publisher.now())
    first = now // 60 % len(SHARDS)  # another shard each minute, so that none is always the last
    shards = (*SHARDS[first:], *SHARDS[:first])
    tried: set[Marker] = set()
    failure: Exception | None = None
    again = True
    while again and run.goes_on() and failure is None:
        again = False
        for shard in shards:
            try:
                again |= _turn(run, shard, now - GRACE, tried)
            except _STORE_ERRORS as error:
                run.store_failed(error)
                failure = error
    counts = run.close()
    if failure is not None:
        raise failure
    return {**counts, "late": sum(publisher.store.waiting(shard, now - LATE) for shard in shards)}


def _turn(run: "_Run", shard: str, until: int, tried: set[Marker]) -> bool:
    """Publish a turn's events of each partition in a shard; return whether some may have more."""
    store = run.publisher.store
    after, more, again = "", True, False
    while more and run.goes_on():
        page, more = store.page(shard, after, PAGE)
        if not page:
            break
        after = after_marker(page[-1])
        turn: list[Marker] = []
        taken: Counter[str] = Counter()
        for marker in page:
            if marker in tried or marker.second > until:
                continue
            if taken[marker.partition] == TURN:
                again = True
                continue
            taken[marker.partition] += 1
            turn.append(marker)
        if more and taken[page[-1].partition] == TURN:
            after = after_partition(page[-1])
        tried.update(turn)
        for start in range(0, len(turn), TURN):
            _publish(run, turn[start : start + TURN])
    return again


def _publish(run: "_Run", markers: list[Marker]) -> None:
    store = run.publisher.store
    found = store.events(markers)
    store.done(marker for marker in markers if marker not in found)
    for marker in (marker for marker, event in found.items() if event is None):
        _LOG.error("This version cannot read an event; it waits", extra={"event": marker.id})
        run.counts["unreadable"] += 1
    run.put((marker, event) for marker in markers if (event := found.get(marker)) is not None)


class _Run:
    """One run of the function."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.counts: Counter[str] = Counter()
        self._failures = 0

    def goes_on(self) -> bool:
        """Return whether to begin another call."""
        return self._failures < MAX_FAILURES_IN_A_ROW and self.publisher.remaining_ms() >= MARGIN_MS

    def store_failed(self, error: Exception) -> None:
        """Count a failure of DynamoDB."""
        _LOG.warning("DynamoDB failed; events wait", extra={"error": type(error).__name__})
        self.counts["store_failed"] += 1

    def close(self) -> dict[str, int]:
        """Log the counts and return them."""
        counts = dict(+self.counts)
        if counts:
            _LOG.info("publish is done", extra={"counts": counts})
        return counts

    def put(self, events: Iterable[tuple[Marker, Event]]) -> None:
        """Publish events, and delete the markers of those that EventBridge has taken."""
        for batch in self._batches(events):
            if not self.goes_on():
                self.counts["left"] += len(batch)
                continue
            taken = self._call(batch)
            self.counts["published"] += len(taken)
            self.counts["failed"] += len(batch) - len(taken)
            self.publisher.store.done(taken)

    def _batches(
        self, events: Iterable[tuple[Marker, Event]]
    ) -> "Iterator[list[tuple[Marker, PutEventsRequestEntryTypeDef]]]":
        batch: list[tuple[Marker, PutEventsRequestEntryTypeDef]] = []
        size = 0
        for marker, event in events:
            detail = line(published(event))
            entry: PutEventsRequestEntryTypeDef = {
                "Source": SOURCE,
                "DetailType": event.action.value,
                "Detail": detail,
                "EventBusName": self.publisher.bus,
                "Time": datetime.fromtimestamp(event.at, UTC),
            }
            more = len(detail.encode()) + 100
            if batch and (len(batch) == MAX_ENTRIES or size + more > MAX_BYTES):
                yield batch
                batch, size = [], 0
            batch.append((marker, entry))
            size += more
        if batch:
            yield batch

    def _call(self, batch: "list[tuple[Marker, PutEventsRequestEntryTypeDef]]") -> list[Marker]:
        """Return the markers of the events in a batch that EventBridge has taken."""
        try:
            response: Any = self.publisher.bridge.put_events(Entries=[entry for _, entry in batch])
        except (ClientError, BotoCoreError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            level = logging.ERROR if code.startswith("AccessDenied") else logging.WARNING
            _LOG.log(
                level, "EventBridge failed; events wait", extra={"error": type(error).__name__, "code": code}
            )
            self._failures += 1
            return []
        self._failures = 0
        taken = []
        for (marker, _), result in zip(batch, response["Entries"], strict=True):
            if "ErrorCode" in result:
                _LOG.warning(
                    "EventBridge refused an event; it waits",
                    extra={"event": marker.id, "code": result["ErrorCode"]},
                )
            else:
                taken.append(marker)
        return taken
