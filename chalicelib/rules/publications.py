"""What publishing events needs of the store."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from chalicelib.rules.identifiers import recorded_at
from chalicelib.rules.model import Event


class Marker(NamedTuple):
    """That an event is not published yet: the event's partition and id in table Events.

    Accounts take turns by partition. Refusals by network have partitions of their own.
    """

    partition: str
    id: str

    @property
    def second(self) -> int:
        """When the event was recorded, as its id says; 0 for what is no event's id."""
        return recorded_at(self.id)


class Publications(Protocol):
    """The markers of events that are not published. ``chalicelib.store`` keeps them on DynamoDB."""

    def page(self, shard: str, after: str, limit: int) -> tuple[list[Marker], bool]:
        """Return up to ``limit`` markers of a shard, by partition and id, and whether there are more.

        Starts after what ``position`` returns for a marker or a partition; with "" at the first.
        """
        ...

    def waiting(self, shard: str, before: int) -> int:
        """Return how many markers of a shard are of events before that second, or a page's worth."""
        ...

    def events(self, markers: list[Marker]) -> dict[Marker, Event | None]:
        """Return the events that there are (of 100 at most); None for one this version cannot read."""
        ...

    def done(self, markers: Iterable[Marker]) -> None:
        """Delete the markers of events that are published, or that there are no more."""
        ...


def after_marker(marker: Marker) -> str:
    """Return where the next page starts that follows a marker."""
    return f"{marker.partition}#{marker.id}"


def after_partition(marker: Marker) -> str:
    """Return where the next page starts that follows all markers of a marker's partition."""
    return f"{marker.partition}#~"
