"""Which emails are folded into a digest, and until when: so that a flood buries no alarm.

The first emails of an hour about a principal go out at once. What follows of the same kind is held for a
recipient until fewer were mailed to them in the hour before, and then goes out in one digest that lists
each event. How many were mailed is told by the events themselves, which say when each recipient was notified:
there is no count beside them that could be wrong.
"""

from collections.abc import Iterable

from chalicelib.rules.model import Action, Event

FOLDED = frozenset({Action.API_KEY_GENERATED, Action.API_KEY_ROTATED, Action.API_KEY_UPDATED})
"""What is folded, each kind by itself. Never what ends a key, nor what changes who has power."""

HOUR = 3600

LOOK_BACK = 2 * HOUR
"""How old an event may be that was mailed within the last hour: it may have been held for one."""


def is_folded(event: Event) -> bool:
    """Return whether emails of an event may be folded into a digest."""
    return event.action in FOLDED


def held_until(told: Iterable[int], most: int, now: int) -> int | None:
    """Return until when an email is held for a recipient; None if it goes out at once.

    ``told`` is when they were notified of events of the same kind about the same principal.
    """
    recent = sorted((at for at in told if at > now - HOUR), reverse=True)
    return None if len(recent) < most else recent[most - 1] + HOUR
