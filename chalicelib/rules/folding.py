"""Which emails are folded into a digest email, and for how long they are held.

The first emails of an hour about a principal are sent at once; each kind of event has a limit of its own.
Later ones are held for the recipient until the limit allows another email, and then sent as one digest email
that lists every held event about the principal, of all kinds. So an email that matters is not lost among many
routine ones. The number sent is counted from the events themselves, which record when each recipient was
notified: a separate counter could be wrong.
"""

from collections.abc import Iterable

from chalicelib.rules.model import Action, Event

FOLDED = frozenset({Action.API_KEY_GENERATED, Action.API_KEY_ROTATED, Action.API_KEY_UPDATED})
"""The actions to fold. Never one that ends a key or changes rights."""

HOUR = 3600

LOOK_BACK = 2 * HOUR
"""The age of the oldest event that can have been mailed in the last hour: it may have been held for one."""


def is_folded(event: Event) -> bool:
    """Return whether emails of an event may be folded into a digest."""
    return event.action in FOLDED


def held_until(notified: Iterable[int], most: int, now: int) -> int | None:
    """Return until when an email is held for a recipient; None if it is sent at once.

    ``notified`` are the times at which they were notified of the same kind of event about the same principal.
    """
    recent = sorted((at for at in notified if at > now - HOUR), reverse=True)
    return None if len(recent) < most else recent[most - 1] + HOUR
