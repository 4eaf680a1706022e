"""What a hot item or partition does at DynamoDB's published limits, on a simulated clock.

The engine has no limits, and no machine reaches those of AWS: so this takes the units that were counted and
the limits that are published. Nothing here is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.load.limits import NEW_TABLE, PARTITION, Bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load.limits import Kind

STEPS = 50
"""Steps of a second: its calls come evenly."""


class Hot(NamedTuple):
    """Something that many calls share: what a call takes of it, and what a refused call gets."""

    what: str
    kind: Kind
    units: float
    refused: str


NO_CHANGE = "503; nothing is changed"
HOT: tuple[Hot, ...] = (
    Hot("one Service User's item: its sign-ins", "reads", 1, "503 after three tries"),
    Hot("an account in `byAccount`: first sign-ins in an hour", "writes", 1, "200; the use is not noted"),
    Hot("an account in `byAccount`: rotations without an overlap", "writes", 3, NO_CHANGE),
    Hot("an account's events", "writes", 2, NO_CHANGE),
    Hot("a counter of an account's changes (the budget 300 has 4, 3,000 has 40)", "writes", 2, NO_CHANGE),
    Hot("one Administrator in `byActor`: changes", "writes", 1, NO_CHANGE),
    Hot("a shard of eight of the pending events, of all accounts: events", "writes", 2 / 8, NO_CHANGE),
)


class Served(NamedTuple):
    """What came of calls at a rate: how many a second were served, and the share that was refused."""

    served: float
    refused: float


def ceiling(hot: Hot) -> float:
    """Return how many calls a second it takes, for as long as one likes."""
    return PARTITION[hot.kind] / hot.units


def offer(hot: Hot, rate: float, seconds: int = 60) -> Served:
    """Offer calls at a rate to a partition for some seconds."""
    bucket = Bucket(PARTITION[hot.kind])
    served = 0.0
    for step in range(seconds * STEPS):
        offered = rate / STEPS
        if bucket.admits(step / STEPS):
            passed = min(offered, bucket.level / hot.units)
            bucket.take(passed * hot.units)
            served += passed
    return Served(round(served / seconds, 1), round(1 - served / (rate * seconds), 3))


def new_table(rates: Sequence[float], kind: Kind, units: float, peak: float = 0.0) -> list[Served]:
    """Offer calls at each rate for 30 minutes to a table that has seen ``peak`` units a second.

    The table takes what is new, or twice its previous peak, whichever is more.
    """
    served = []
    for rate in rates:
        takes = max(NEW_TABLE[kind], 2 * peak)
        passed = min(rate * units, takes)
        peak = max(peak, passed)
        served.append(Served(round(passed / units, 1), round(1 - passed / (rate * units), 3)))
    return served
