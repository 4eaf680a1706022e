"""Which emails are folded into a digest email, and for how long they are held.

The first emails of an hour about a principal are sent at once; each kind of event has a limit of its own.
Later ones are held for the recipient until the limit allows another email, and then sent as one digest email
that lists every held event about the principal, of all kinds. So an email that matters is not lost among many
routine ones. The number sent is counted from the events themselves, which record when each recipient was
notified: a separate counter could be wrong.
"""

from collections.abc import Iterable, Mapping, Sequence

from chalicelib.rules.api_keys import are_looser
from chalicelib.rules.lifetimes import HOUR
from chalicelib.rules.model import Action, Event, Kind

FOLDED = frozenset({Action.API_KEY_GENERATED, Action.API_KEY_ROTATED, Action.API_KEY_UPDATED})
"""The actions to fold. Never one that ends a key or changes rights, nor a change of restrictions by which a
key may be used more widely."""

LOOK_BACK = 2 * HOUR
"""The age of the oldest event that can have been mailed in the last hour: it may have been held for one."""


def is_folded(event: Event) -> bool:
    """Return whether emails of an event may be folded into a digest email.

    What the operator does is not: that is how somebody is let into an account again.
    """
    return event.actor.kind is not Kind.OPERATOR and is_folded_action(event.action, event.changes)


def is_folded_action(action: str, changes: Mapping[str, Sequence[str]]) -> bool:
    """Return whether emails of an action with these changes may be folded into a digest email.

    A key that may be used more widely is as urgent as one that is revoked: a thief who makes four harmless
    changes must not have the fifth held. Each spends the budget of the key's holder, which bounds the emails.
    """
    return action in FOLDED and not is_looser(changes)


def is_looser(changes: Mapping[str, Sequence[str]]) -> bool:
    """Return whether the recorded changes of a key let it be used from more addresses, or for longer."""
    networks = [tuple(text.split()) for text in changes.get("allowedNetworks", ("", ""))]
    ends = [int(text) if text else None for text in changes.get("expiresAt", ("", ""))]
    return are_looser(networks[0], ends[0], networks[1], ends[1])


def held_until(notified: Iterable[int], most: int, now: int) -> int | None:
    """Return until when an email is held for a recipient; None if it is sent at once.

    ``notified`` are the times at which they were notified of the same kind of event about the same principal.
    """
    recent = sorted((at for at in notified if at > now - HOUR), reverse=True)
    return None if len(recent) < most else recent[most - 1] + HOUR
