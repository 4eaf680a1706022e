"""What SES reports of an email that it took: a bounce or a complaint, recorded in the events it was about.

The OWNERs of the account are notified if the address of a person fails: it bounces permanently, or the
person complained. They are notified of a person at most once in ``notifications.FAILING``, and never because
of an email about such a failure, or one bounce would cause the next.

A report can arrive twice, late, in any order, and before the mailer has recorded that it sent the email. So
what is recorded does not depend on the order, and nothing is recorded of an email that was not sent.
"""

import hashlib
from collections.abc import Collection
from typing import NamedTuple, Protocol

from chalicelib.rules.audit import new_event
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.model import Action, Actor, EmailFailure, Event, Kind, Outcome, User
from chalicelib.rules.notifications import ABOUT_FAILURES, EventKey, is_failing

_TRIES = 5
_ORDER = list(Outcome)
_ACTIONS = {
    Outcome.PERMANENT_BOUNCE: (Action.EMAIL_BOUNCED, "An email to them bounced"),
    Outcome.COMPLAINT: (Action.EMAIL_COMPLAINT, "They marked an email as spam"),
}


def fingerprint(address: str) -> str:
    """Return what identifies an address, in any case: 32 hex digits."""
    return hashlib.sha256(address.lower().encode()).hexdigest()[:32]


class Report(NamedTuple):
    """What SES reports of one email to one recipient, who is a folded username.

    ``events`` are those that the email was about, several if it was a digest email. ``address`` is the
    fingerprint of the address that it was sent to.
    """

    events: tuple[EventKey, ...]
    recipient: str
    address: str
    outcome: Outcome


class Mailed(NamedTuple):
    """What an event says of its emails. ``names`` were mailed; while it is ``pending``, so may others be."""

    action: str
    names: Collection[str]
    pending: bool


class Effect(NamedTuple):
    """The effect of a report.

    ``recorded`` is the number of events that it belongs to. ``notified``: the OWNERs will be notified.
    ``unheard``: the email was about a failure itself, so that an OWNER does not hear of that one.
    """

    recorded: int
    notified: bool = False
    unheard: bool = False


class FeedbackStore(Protocol):
    """The store of reports. Each method raises Unavailable if it does not respond."""

    def mailed(self, event: EventKey) -> Mailed | None:
        """Return what an event says of its emails, strongly consistent; None if it is not there any more."""
        ...

    def record(self, event: EventKey, recipient: str, outcome: Outcome, weaker: list[Outcome]) -> None:
        """Record an outcome for a recipient, unless one is recorded that is not among the ``weaker``."""
        ...

    def recipient(self, username: str) -> User | None:
        """Return the User with a folded username, strongly consistent.

        Without what the role of the function may not read: keys, passkeys, sessions, invitations.
        """
        ...

    def fail(self, user: User, failure: EmailFailure, event: Event) -> bool:
        """Record that an address fails, and the event, in one transaction.

        Return False if the User has changed since they were read.
        """
        ...


def take(store: FeedbackStore, report: Report, origin: Origin) -> Effect:
    """Record a report in the events that its email was about, and have the OWNERs notified if needed.

    Raises Unavailable if it is to be taken again.
    """
    mailed = [
        (event, found)
        for event in report.events
        if (found := store.mailed(event)) is not None and (found.pending or report.recipient in found.names)
    ]
    weaker = _ORDER[: _ORDER.index(report.outcome)]
    for event, _ in mailed:
        store.record(event, report.recipient, report.outcome, weaker)
    if not mailed or report.outcome not in _ACTIONS:
        return Effect(len(mailed))
    if any(found.action in ABOUT_FAILURES for _, found in mailed):
        return Effect(len(mailed), unheard=True)
    return Effect(len(mailed), notified=_notify_owners(store, report, mailed[0][0], origin))


def _notify_owners(store: FeedbackStore, report: Report, about: EventKey, origin: Origin) -> bool:
    action, reason = _ACTIONS[report.outcome]
    for _ in range(_TRIES):
        user = store.recipient(report.recipient)
        if user is None or (user.account, fingerprint(user.email)) != (about.account, report.address):
            return False  # revoked since, or invited again at another address
        if is_failing(user.email_failure, origin.now):
            return False
        event = new_event(
            origin,
            Actor(Kind.EMAIL_FEEDBACK),
            action,
            user,
            reason=f"{reason} (event {about.id})",
        )
        if store.fail(user, EmailFailure(report.outcome, origin.second), event):
            return True
    raise Unavailable("The person is being changed all the time. Nothing was changed; try again.")
