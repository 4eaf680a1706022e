"""DynamoDB's published limits, as buckets of capacity units: for each partition, and for an on-demand table.

- A partition delivers at most 3,000 read units and 1,000 write units a second, adaptive capacity or not
  (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html).
- Adaptive capacity isolates a hot item, so at best a partition key has such a partition for itself; that is
  what is assumed here. A collection of items whose sort key only grows is not split by it
  (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html).
- A new on-demand table takes 4,000 writes and 12,000 reads a second at once, and later twice its previous
  peak; more within 30 minutes may be throttled
  (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html).

Burst capacity is left out: DynamoDB promises none. A second's worth of units may be used at once.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["reads", "writes"]

PARTITION: dict[Kind, int] = {"reads": 3_000, "writes": 1_000}
NEW_TABLE: dict[Kind, int] = {"reads": 12_000, "writes": 4_000}


class Bucket:
    """Units (``level``) that come back at a rate, up to a second's worth of them.

    A call is admitted while there are any, and then takes what it consumed, even if that is more: DynamoDB
    too knows what a call consumes only when it is done.
    """

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate, self.burst = rate, rate if burst is None else burst
        self.level, self._at = self.burst, 0.0

    def admits(self, now: float) -> bool:
        """Return whether a call is admitted."""
        self.level = min(self.burst, self.level + (now - self._at) * self.rate)
        self._at = now
        return self.level > 0

    def take(self, units: float) -> None:
        """Take what a call consumed."""
        self.level -= units


class Place(NamedTuple):
    """A partition key of a table or of an index."""

    where: str
    partition: str


class Partitions:
    """What each partition has consumed and refused, at a share of the published limits; None: no limits."""

    def __init__(self, share: float | None) -> None:
        self._share = share
        self._buckets: dict[tuple[Place, Kind], Bucket] = {}
        self.consumed: dict[Kind, dict[Place, float]] = {"reads": {}, "writes": {}}
        self.refused: dict[Place, int] = {}

    def admit(self, places: list[Place], kind: Kind, now: float) -> Place | None:
        """Return the first of these partitions that has no units left, and note it; None if all have."""
        if self._share is None:
            return None
        for place in places:
            if not self._bucket(place, kind, self._share).admits(now):
                self.refused[place] = self.refused.get(place, 0) + 1
                return place
        return None

    def take(self, place: Place, kind: Kind, units: float) -> None:
        """Take what a call consumed of a partition."""
        self.consumed[kind][place] = self.consumed[kind].get(place, 0.0) + units
        if self._share is not None:
            self._bucket(place, kind, self._share).take(units)

    def _bucket(self, place: Place, kind: Kind, share: float) -> Bucket:
        key = (place, kind)
        if key not in self._buckets:
            self._buckets[key] = Bucket(PARTITION[kind] * share)
        return self._buckets[key]
