"""Notifies recipients of events: when the stream delivers them, and by retries until all are notified.

A mailer claims an event with a lease, decides its recipients by a read made after the event was written, and
marks each of them as soon as SES has accepted their message. So wherever it crashes, at most one recipient is
notified twice, and nobody is forgotten: an event with a recipient who is not marked stays in the index of
pending events, however old it is, and ``resend`` finds it there.
"""

import logging
import random
import time
from collections import Counter, defaultdict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from chalicelib.mail import messages, mime
from chalicelib.mail.fairness import FOLDED, OTHER, Share, Turns
from chalicelib.mail.ses import RETRIED, SECONDS, THROTTLED, BySet, SendResult, Verdict, send
from chalicelib.mail.tags import tags_of
from chalicelib.rules import folding, key_format, notifications
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.identifiers import recorded_at
from chalicelib.rules.lifetimes import HOUR
from chalicelib.rules.model import AccountSummary, Action, Audience, Event, UserSummary
from chalicelib.rules.names import fold_username
from chalicelib.rules.notifications import (
    HELD_SHARDS,
    LEASE,
    SHARDS,
    EventKey,
    Outbox,
    Recipient,
    RecipientLookup,
)
from chalicelib.rules.passkeys import CODE_SECONDS
from chalicelib.rules.roles import Role
from chalicelib.rules.users import INVITATION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from email.message import EmailMessage

    from types_boto3_sesv2 import SESV2Client

_LOG = logging.getLogger(__name__)

MARGIN_MS = 20_000
"""Start nothing with less time left: sending a message and marking it can take this long."""

PAGE = 1_000
"""Keys of pending events to read at once."""

READ_SECONDS = 5
"""For how long ``resend`` reads which events are due before it mails some of them, however many there are."""

CHUNK = 50
"""Clear the cache of Users and accounts after this many events."""

REREAD_SECONDS = 10
"""After this many seconds a run of ``resend`` reads again which events are due, so that a new event waits at
most this long for its turn."""

CACHE_SECONDS = 2
"""For how long read Users and accounts are cached. Each batch starts with an empty cache, so that what it
uses was read after its events were written."""

MAX_FAILURES_IN_A_ROW = 3
"""After this many failures in a row, a run leaves events to the next run.

It leaves all of them if DynamoDB failed, or SES failed for this many accounts. If SES failed for one account
only, it leaves the events of that account."""

THROTTLED_TRIES = 5
"""How often to try a message while SES's sending rate is exceeded."""

MAX_EVENTS_IN_DIGEST = 100
"""The most events in one digest email. More go into the next one, at once."""

_STORE_ERRORS = (ClientError, BotoCoreError, Unavailable)

_INVALID = "ValidationException"
_REFUSED = ("AccessDenied", _INVALID)
"""Beginnings of DynamoDB's codes by which it refuses what is asked about one event, and has not failed."""

READ_AHEAD = 100
"""The most users and accounts of one read, which also covers the next events of the batch."""


class Mailer(NamedTuple):
    """The dependencies of sending. ``chance`` returns a random number in [0, 1).

    ``mails_per_hour`` is the number of emails of a kind about one principal before they are folded, None for
    no folding. ``share`` counts what this environment has sent for each account; None to start at nothing.
    ``configuration_set`` is SES's that emails are sent with, so that it reports what becomes of them; empty
    for none.
    """

    outbox: Outbox
    ses: "SESV2Client"
    sender: str
    public_url: str
    now: "Callable[[], float]"
    remaining_ms: "Callable[[], int]"
    chance: "Callable[[], float]" = random.random
    operator: str = messages.OPERATOR
    sleep: "Callable[[float], None]" = time.sleep
    mails_per_hour: int | None = None
    share: Share | None = None
    console: bool = True
    configuration_set: str = ""


def notify(records: "Iterable[dict[str, Any]]", mailer: Mailer) -> dict[str, list[dict[str, str]]]:
    """Notify the recipients of the events in a batch of the stream.

    Returns the records for which DynamoDB failed; Lambda passes these again. An event stays in the outbox,
    for ``resend``, if SES failed, the time was too short or the account's share was used up.
    """
    new = [(record, key) for record in records if (key := _new_event_key(record)) is not None]
    lookups = deque(_lookups_of(record) for record, _ in new)
    run = _Run(mailer, lookups)
    failures = []
    for record, key in new:
        lookups.popleft()
        if not run.share.allows(key.account, mailer.now(), _kind_of_record(record)):
            run.counts["left"] += 1
        elif not run.deliver(key, counts_time=True):
            failures.append({"itemIdentifier": str(record["dynamodb"]["SequenceNumber"])})
    run.close("notify")
    return {"batchItemFailures": failures}


def resend(mailer: Mailer) -> dict[str, int]:
    """Notify the recipients of the pending events that are due, until none is left or time is short.

    Accounts take turns, so that one with many events delays no other. Returns the counts of what it did. If
    part of the index could not be read, raises botocore's error at the end.
    """
    run = _Run(mailer)
    tried: set[EventKey] = set()
    read_error: Exception | None = None
    more = True
    while more and run.should_continue():
        turns, is_complete, error = _due(mailer, run)
        read_error = read_error or error
        until = mailer.now() + REREAD_SECONDS
        more = False
        new = (due for due in turns if due.key not in tried)
        for number, (key, held) in enumerate(new):
            if mailer.now() >= until:
                more = True
                break
            more = not is_complete
            if number % CHUNK == 0:
                run.clear_cache()
            tried.add(key)
            run.deliver(key, held=held)
    run.close("resend")
    if read_error is not None:
        raise read_error
    return dict(run.counts)


def _due(mailer: Mailer, run: "_Run") -> tuple[Turns, bool, Exception | None]:
    """Return the events that are due now, whether these are all, and the error if a part could not be read.

    If there are more than can be read in ``READ_SECONDS``, then those that are longest due, and others from a
    random time on: so those of an account behind the flood of another have their turn in one of the next
    runs.
    """
    turns, now = Turns(run.seconds), int(mailer.now())
    is_complete, error = _read_due(mailer, run, turns, 0, now)
    if not is_complete and turns.first is not None:
        oldest = recorded_at(turns.first.id)
        since = oldest + int(mailer.chance() * (now - oldest))
        _, later_error = _read_due(mailer, run, turns, since, now)
        error = error or later_error
    return turns, is_complete, error


def _read_due(
    mailer: Mailer, run: "_Run", turns: Turns, since: int, now: int
) -> tuple[bool, Exception | None]:
    """Add the events that became due from ``since`` to ``now``, a page of each shard in turn.

    Returns whether these are all, and the error if a part could not be read.
    """
    until, read_error = mailer.now() + READ_SECONDS, None
    first = now // 60 % len(SHARDS)  # start with another shard each minute, so that none is always last
    shards = (notifications.FIRST_SHARD, *SHARDS[first:], *SHARDS[:first], *HELD_SHARDS)
    pages: deque[tuple[str, object]] = deque((it, None) for it in shards)
    while pages and run.should_continue() and mailer.now() < until:
        shard, after = pages.popleft()
        try:
            keys, after = mailer.outbox.due(shard, since, now, PAGE, after)
        except _STORE_ERRORS as error:
            read_error = error
            run.store_failed()
            continue
        turns.add(run.of_accounts(keys), held=shard in HELD_SHARDS)
        if after is not None:
            pages.append((shard, after))
    return not pages, read_error


class _Run:
    """One run of a function: its cache and counts, and whether it should continue."""

    def __init__(self, mailer: Mailer, lookups: "Iterable[tuple[frozenset[str], str]]" = ()) -> None:
        self.mailer = mailer
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """How many seconds the events of each account took."""
        self._lookups = lookups
        self.share = mailer.share or Share()
        self._cache = _RecipientCache(mailer)
        self._ses_failures: Counter[str] = Counter()
        self._store_failures = 0
        self._has_misplaced = False
        self._notified: dict[tuple[str, str, str, Action], dict[str, list[int]] | None] = {}

    def should_continue(self, account: str = "") -> bool:
        """Return whether to process another event of an account.

        If SES fails for one account, the account may be the cause; if for several, SES is.
        """
        return (
            max(len(self._ses_failures), self._store_failures, self._ses_failures[account])
            < MAX_FAILURES_IN_A_ROW
            and self.mailer.remaining_ms() >= MARGIN_MS
        )

    def clear_cache(self) -> None:
        """Clear the cache: the events that follow may have been written after it was read."""
        self._cache = _RecipientCache(self.mailer)

    def close(self, name: str) -> None:
        """Log the counts."""
        if self.counts:
            _LOG.info("%s is done", name, extra={"counts": dict(self.counts)})

    def deliver(self, key: EventKey, *, held: bool = False, counts_time: bool = False) -> bool:
        """Deliver one event to every recipient not yet notified, and count how long it took.

        Returns False if DynamoDB failed. With ``counts_time`` it also counts against the account's share.
        """
        began = self.mailer.now()
        try:
            return self._deliver(key, held=held)
        finally:
            took = self.mailer.now() - began
            self.seconds[key.account] += took
            if counts_time:
                self.share.spend_time(key.account, began, took)

    def _deliver(self, key: EventKey, *, held: bool) -> bool:
        """Deliver one event to every recipient not yet notified. Return False if DynamoDB failed.

        An event that was ``held`` is delivered in a digest email, with the others about its subject. Leaves
        the event to the next run if this one should stop.
        """
        if self._store_failures >= MAX_FAILURES_IN_A_ROW:
            return False
        if not self.should_continue(key.account):
            self.counts["left"] += 1
            return True
        delivery = _Digest(self, key) if held else _Delivery(self, key)
        try:
            try:
                delivery.run()
            except _STORE_ERRORS:
                raise
            except Exception:
                # One event that cannot be read or rendered must not block those behind it.
                _LOG.exception("An event cannot be mailed", extra={"event": key.id})
                self.counts["broken"] += 1
                delivery.postpone(notifications.MAX_PAUSE)
        except _STORE_ERRORS as error:
            code = _code_of(error)
            fields = {"event": key.id, "error": type(error).__name__, "code": code}
            if code.startswith(_REFUSED):
                self.event_refused(fields)
                if code == _INVALID:
                    with suppress(*_STORE_ERRORS):
                        delivery.postpone(notifications.MAX_PAUSE)
                return True
            _LOG.warning("DynamoDB failed; the event waits", extra=fields)
            self.store_failed()
            return False
        self._store_failures = 0
        return True

    def event_refused(self, fields: dict[str, str]) -> None:
        """Count and log that DynamoDB refuses what is asked about one event: that holds up no other."""
        _LOG.error("DynamoDB refuses a call about an event; the event waits", extra=fields)
        self.counts["broken"] += 1

    def of_accounts(self, keys: "Iterable[EventKey]") -> list[EventKey]:
        """Return the keys that an event of an account can have. Others, logged once, are nothing to mail."""
        found = []
        for key in keys:
            if key.is_of_account:
                found.append(key)
            elif not self._has_misplaced:
                self._has_misplaced = True
                fields = {"event": key.id, "partition": key.partition}
                _LOG.error("What waits in this partition is no event of an account", extra=fields)
        return found

    def store_failed(self) -> None:
        """Count a failure of DynamoDB; after a few in a row the run stops."""
        self.counts["store_failed"] += 1
        self._store_failures += 1

    def read(self, names: "Iterable[str]", account: str) -> RecipientLookup:
        """Return Users and an account, at most :data:`CACHE_SECONDS` seconds old."""
        return self._cache.of(frozenset(names), account, self._lookups)

    def read_again(self, name: str, account: str) -> UserSummary | None:
        """Return a User as they are now, whatever is cached."""
        self._cache.forget(name)
        return self.read({name}, account).people.get(name)

    def held_until(self, event: Event, recipient: Recipient) -> int | None:
        """Return until when an event is held for a recipient, for a digest email; None if it is not."""
        per_hour, now = self.mailer.mails_per_hour, int(self.mailer.now())
        if per_hour is None or not folding.is_folded(event):
            return None
        notified = self._notified_of(event)
        if notified is None:
            return now + HOUR
        return folding.held_until(notified.get(recipient.name, ()), per_hour, now)

    def _notified_of(self, event: Event) -> dict[str, list[int]] | None:
        """Return when each recipient was notified of events with this one's subject and action.

        None if there are so many that they cannot be counted.
        """
        subject = event.subject
        kind = (event.account, fold_username(subject.username), subject.id, event.action)
        if kind not in self._notified:
            since = int(self.mailer.now()) - folding.LOOK_BACK
            self._notified[kind] = self.mailer.outbox.notified_since(event, since)
        return self._notified[kind]

    def send(
        self,
        events: "Sequence[Event]",
        recipient: Recipient,
        context: messages.EmailContext,
    ) -> tuple[Verdict, str]:
        """Send one message about one event, or a digest email. Return the verdict and SES's code."""
        event = events[0]
        if not mime.is_address(recipient.email):
            self.counts["refused"] += 1
            return Verdict.REFUSED, "NotAnAddress"
        try:
            message = mime.message(event, recipient, context, tuple(events[1:]))
        except Exception:
            # A message that cannot be rendered for one recipient must not block the others.
            _LOG.exception("A message cannot be rendered", extra={"event": event.id})
            self.counts["broken"] += 1
            return Verdict.UNRENDERED, ""
        by_set = None
        if self.mailer.configuration_set:
            keys = [notifications.key_of(one) for one in events]
            by_set = BySet(self.mailer.configuration_set, tags_of(keys, recipient))
        result = self._send(message, recipient.email, by_set)
        if result.verdict is Verdict.FAILED:
            self._ses_failures[event.account] += 1
        elif result.verdict is not Verdict.UNVERIFIED:
            self._ses_failures.clear()
        self.counts[result.verdict.value.lower()] += 1
        if result.verdict is Verdict.SENT:
            self._count_sent(events, recipient)
        return result.verdict, result.code

    def _send(self, message: "EmailMessage", address: str, by_set: BySet | None) -> SendResult:
        """Send a message. While SES's sending rate is exceeded, wait a moment and retry."""
        for _ in range(THROTTLED_TRIES - 1):
            result = send(self.mailer.ses, message, address, by_set)
            if result.code not in THROTTLED or self.mailer.remaining_ms() < MARGIN_MS:
                return result
            self.counts["throttled"] += 1
            self.mailer.sleep(0.1 + 0.9 * self.mailer.chance())
        return send(self.mailer.ses, message, address, by_set)

    def _count_sent(self, events: "Sequence[Event]", recipient: Recipient) -> None:
        now = self.mailer.now()
        kind = _kind_of(events[0].action.value, events[0].changes, events[0].audience.value)
        self.share.spend(events[0].account, now, kind)
        for event in events:
            if self.mailer.mails_per_hour is not None and folding.is_folded(event):
                notified = self._notified_of(event)
                if notified is not None:
                    notified.setdefault(recipient.name, []).append(int(now))


class _Delivery:
    """The delivery of one event, by a claim that ends with its lease."""

    def __init__(self, run: _Run, key: EventKey) -> None:
        self._run = run
        self._mailer = run.mailer
        self._key = key
        self._lease = int(run.mailer.now()) + LEASE
        self._refused: set[str] = set()
        self._told = False

    def run(self) -> None:
        """Claim the event, and notify every recipient who has not been notified."""
        event = self.claim()
        if event is None:
            return
        if notifications.changes_owners(event):
            # The stack has metric filters on this line, and an alarm on a metric.
            new = {"newOwner": 1} if notifications.adds_owner(event) else {}
            fields = {"ownersChange": event.action.value, "event": event.id, **new}
            _LOG.info("OWNERs change", extra=fields)
        if messages.email_of(event) is None or event.audience is Audience.NOBODY:
            _LOG.error(
                "There is no email for this event", extra={"event": event.id, "action": event.action.value}
            )
            self._mailer.outbox.finish(self._key, self._lease)
        elif event.action is Action.USER_INVITED:
            self._invite(event)
        elif event.action is Action.PASSKEY_CODE_REQUESTED:
            self._send_code(event)
        else:
            self._notify_audience(event)

    def claim(self, *, held: bool = False) -> Event | None:
        """Claim the event and return it; None if it cannot be claimed, or is not to be mailed."""
        now = int(self._mailer.now())
        event = self._mailer.outbox.claim(self._key, now, self._lease, held=held)
        self._run.counts["skipped" if event is None else "taken"] += 1
        if event is not None and not notifications.may_be_mailed(self._key, event):
            fields = {"event": event.id, "action": event.action.value, "partition": self._key.partition}
            _LOG.error("An event does not belong in its partition; nobody is mailed", extra=fields)
            self._run.counts["misplaced"] += 1
            self.finish()
            return None
        return event

    def _send_code(self, event: Event) -> None:
        """Mail a code for a passkey, generated for this email only; nothing if the request for it is void."""
        code = key_format.new_secret(key_format.CODE_PREFIX)
        requested = self._request(event, code, CODE_SECONDS)
        if requested is None:
            self._run.counts["void"] += 1
            self.finish()
            return
        recipient, _ = requested
        context = self._context(event, self._run.read({recipient.name}, event.account), code)
        self._notify(event, lambda: ([recipient], context))

    def _invite(self, event: Event) -> None:
        """Mail an invitation with a token generated for this email only; nothing if the invitation is void.

        If the invited User is to be an OWNER, all OWNERs are notified too, even of a void invitation.
        """
        [recipient] = notifications.person(event)
        if recipient.name in {**event.told, **event.refused}:
            self._notify_audience(event)
            return
        token = key_format.new_token()
        requested = self._request(event, token, INVITATION_SECONDS)
        if requested is None:
            self._run.counts["void"] += 1
            self._notify_of_void_invitation(event, recipient)
            return
        invited, user = requested
        directory = self._run.read({invited.name}, event.account)
        context = self._context(event, directory, token, user.role)
        self._notify(
            event, lambda: ([invited if one.why.person else one for one in self.audience(event)[0]], context)
        )

    def _request(self, event: Event, secret: str, seconds: int) -> tuple[Recipient, UserSummary] | None:
        """Note the digest of the token or code that an event asks for, and return whom to mail it to.

        None if the invitation, or the request for a passkey, is void. The address is the one that the
        Directory has now and not the event's: more functions may write events than may write addresses.
        """
        [person] = notifications.person(event)
        user = self._run.read_again(person.name, event.account)
        if user is None or not notifications.has_requested(user, event):
            return None
        until = int(self._mailer.now()) + seconds
        digest = key_format.digest(secret)
        if not self._mailer.outbox.note_mailed(person.name, event.invitation, digest, until):
            return None
        return person._replace(username=user.username, email=user.email), user

    def _notify_of_void_invitation(self, event: Event, recipient: Recipient) -> None:
        """Notify of a void invitation: the OWNERs of it, and the User only of keys that it revoked.

        The User gets the email about revoked keys, since the token of the invitation is not valid.
        """
        revoked = replace(event, action=Action.API_KEY_REVOKED, changes={})

        def audience() -> "tuple[list[Recipient], messages.EmailContext]":
            recipients, context = self.audience(event)
            return [one for one in recipients if event.keys or one.name != recipient.name], context

        self._notify(event, audience, lambda one: revoked if one.name == recipient.name else event)

    def _notify_audience(self, event: Event) -> None:
        """Notify the entitled recipients, whose rights are read again just before each message."""
        audience, _ = self.audience(event)
        if audience:
            self._notify(event, lambda: self.audience(event))
            return
        if event.action in notifications.ABOUT_FAILURES:
            # The address of the only OWNER fails. The stack has metric filters on this line, and an alarm.
            _LOG.warning("an OWNER cannot be mailed", extra={"ownerUnreachable": event.id})
            self.finish()
            return
        # An account always has an OWNER: either they changed during the reads, or the operator has to help.
        _LOG.error("An event has no recipient", extra={"event": event.id})
        self.pause(event)

    def audience(self, event: Event) -> "tuple[list[Recipient], messages.EmailContext]":
        """Return the recipients who are entitled now, and the context of their emails."""
        directory = self._run.read(event.administrators, event.account)
        match event.audience:
            case Audience.PERSON:
                audience = notifications.person(event)
            case Audience.OWNERS:
                audience = self._owners(event, directory, notifications.EVERY_OWNER)
            case Audience.PERSON_AND_OWNERS:
                audience = notifications.person(event)
                audience += self._owners(event, directory, notifications.EVERY_OWNER)
            case Audience.ADMINISTRATORS_AND_OWNERS:
                audience = notifications.administrators(event, directory)
                named = {one.name for one in audience}
                every_owner = self._owners(event, directory, notifications.EVERY_OWNER)
                audience += [one for one in every_owner if one.name not in named]
            case _:
                audience = notifications.administrators(event, directory)
                refused = {*event.refused, *self._refused}
                if notifications.owners_stand_in(event, audience, directory, self._mailer.now(), refused):
                    named = {one.name for one in audience}
                    stand_in = self._owners(event, directory, notifications.OWNER)
                    audience += [one for one in stand_in if one.name not in named]
        return audience, self._context(event, directory)

    def _owners(
        self, event: Event, directory: RecipientLookup, why: notifications.RecipientReason
    ) -> list[Recipient]:
        account = directory.accounts.get(event.account)
        directory = self._run.read(account.owners if account else (), event.account)
        return notifications.owners(event, directory, why)

    def _notify(
        self,
        event: Event,
        audience: "Callable[[], tuple[list[Recipient], messages.EmailContext]]",
        event_for: "Callable[[Recipient], Event] | None" = None,
    ) -> None:
        """Notify each recipient who has not been notified, and mark them.

        ``audience`` returns the recipients. It is called before each message, because their rights can change
        between two messages. ``event_for`` returns the event to describe to a recipient, if it is another
        one. Afterwards the event is finished, held for a digest email, or retried if a message failed.
        """
        tried = {*event.told, *event.refused}
        failed = False
        held_until = 0
        while True:
            recipients, context = audience()
            waiting = [one for one in recipients if one.name not in tried]
            if not waiting:
                break
            if not self.should_continue():
                self.pause(event) if failed else self.postpone(0)
                return
            recipient = waiting[0]
            tried.add(recipient.name)
            if (until := self._run.held_until(event, recipient)) is not None:
                self._run.counts["held"] += 1
                held_until = max(held_until, until)
                continue
            described = event_for(recipient) if event_for else event
            if not recipient.why.person:
                context = context._replace(token="")
            verdict, code = self._run.send((described,), recipient, context)
            if verdict in RETRIED:
                failed = True
                continue
            # For who is refused, others may stand in, who are asked for next.
            done = len(waiting) == 1 and verdict is Verdict.SENT and not failed and not held_until
            if not self.mark(recipient, verdict, code, done=done):
                self._run.counts["lost"] += 1
                return
            if done:
                return
        if failed:
            self.pause(event)
        elif held_until:
            self._mailer.outbox.hold(self._key, self._lease, held_until)
        else:
            self.finish_delivery(event)

    def should_continue(self) -> bool:
        """Return whether to start another message: the run should continue, and the lease is long enough."""
        return self._run.should_continue(self._key.account) and self._mailer.now() + SECONDS < self._lease

    def finish_delivery(self, event: Event) -> None:
        """Finish the event, whose recipients were all tried. An alarm is raised if each was refused."""
        refused = self._refused or event.refused
        if refused and not (self._told or event.told):
            # The stack has metric filters on this line, and an alarm.
            _LOG.warning("nobody could be mailed of an event", extra={"ownerUnreachable": event.id})
        self.finish()

    def finish(self) -> None:
        """Finish the event: it is no longer pending."""
        self._mailer.outbox.finish(self._key, self._lease)

    def mark(self, recipient: Recipient, verdict: Verdict, code: str, *, done: bool) -> bool:
        """Mark a recipient as notified or undeliverable. Return False if the claim was lost."""
        now = int(self._mailer.now())
        renewed = None if done else now + LEASE
        outbox = self._mailer.outbox
        if verdict is Verdict.SENT:
            self._told = True
            claimed = outbox.mark_notified(self._key, recipient.name, now, self._lease, renewed)
        else:
            self._refused.add(recipient.name)
            claimed = outbox.mark_undeliverable(self._key, recipient.name, code, self._lease, renewed)
        if renewed is not None:
            self._lease = renewed
        return claimed

    def pause(self, event: Event) -> None:
        """Release the event, to be retried after a pause that grows with each try."""
        self.postpone(notifications.retry_delay(event.attempts, self._mailer.chance()))

    def postpone(self, seconds: int) -> None:
        """Release the event, to be retried in so many seconds."""
        self._run.counts["postponed"] += 1
        self._mailer.outbox.postpone(self._key, self._lease, int(self._mailer.now()) + seconds)

    def _context(
        self, event: Event, directory: RecipientLookup, token: str = "", role: Role | None = None
    ) -> messages.EmailContext:
        account = directory.accounts.get(event.account)
        return messages.EmailContext(
            sender=self._mailer.sender,
            public_url=self._mailer.public_url,
            account=account.name if account else event.account,
            now=self._mailer.now(),
            token=token,
            role=role,
            operator=self._mailer.operator,
            console=self._mailer.console,
        )


class _Digest:
    """The delivery of held events about one subject, in one message to each recipient.

    Each event has its own claim and marks, as if it were delivered alone. So after a crash, those that are
    not marked are retried.
    """

    def __init__(self, run: _Run, key: EventKey) -> None:
        self._run = run
        self._first = _Delivery(run, key)
        self._claimed: list[_ClaimedEvent] = []

    def run(self) -> None:
        """Claim the event, and the others that may be folded with it, and notify their recipients."""
        event = self._first.claim(held=True)
        if event is None:
            return
        self._take(self._first, event)
        if folding.is_folded(event):
            held = self._run.mailer.outbox.held(event, MAX_EVENTS_IN_DIGEST - 1)
            for key in self._run.of_accounts(held):
                self._claim(_Delivery(self._run, key))
        lost = False
        while not lost and (message := self._next()):
            recipient, context, claimed_events = message
            if not all(claimed.delivery.should_continue() for claimed in self._claimed):
                break
            lost = not self._notify(recipient, context, claimed_events)
        for claimed in self._claimed:
            self._release(claimed)

    def postpone(self, seconds: int) -> None:
        """Release the first event after an error, to be retried in so many seconds.

        The others become due when their leases end.
        """
        self._first.postpone(seconds)

    def _claim(self, delivery: "_Delivery") -> None:
        try:
            event = delivery.claim(held=True)
        except _STORE_ERRORS as error:
            code = _code_of(error)
            if not code.startswith(_REFUSED):
                raise
            self._run.event_refused({"error": type(error).__name__, "code": code})
            return
        except Exception:
            _LOG.exception("An event cannot be mailed")
            self._run.counts["broken"] += 1
            delivery.postpone(notifications.MAX_PAUSE)
            return
        if event is not None:
            self._take(delivery, event)

    def _take(self, delivery: "_Delivery", event: Event) -> None:
        self._claimed.append(_ClaimedEvent(delivery, event, {*event.told, *event.refused}))

    def _next(self) -> "tuple[Recipient, messages.EmailContext, list[_ClaimedEvent]] | None":
        """Return the next recipient, by their rights now, and the events to notify them of."""
        found: tuple[Recipient, messages.EmailContext] | None = None
        claimed_events: list[_ClaimedEvent] = []
        for claimed in self._claimed:
            recipients, context = claimed.delivery.audience(claimed.event)
            claimed.without_recipients = not recipients
            same = None if found is None else (found[0].name, found[0].email)
            waiting = [
                it
                for it in recipients
                if it.name not in claimed.tried and same in (None, (it.name, it.email))
            ]
            if waiting:
                found = found or (waiting[0], context)
                claimed_events.append(claimed)
        return (*found, claimed_events) if found else None

    def _notify(
        self, recipient: Recipient, context: messages.EmailContext, claimed_events: "list[_ClaimedEvent]"
    ) -> bool:
        """Send one message, and mark its events. Return False if a claim was lost."""
        verdict, code = self._run.send([claimed.event for claimed in claimed_events], recipient, context)
        all_claimed = True
        self._run.counts["folded"] += len(claimed_events) - 1
        for claimed in claimed_events:
            claimed.tried.add(recipient.name)
            if verdict in RETRIED:
                claimed.failed = True
            elif not claimed.delivery.mark(recipient, verdict, code, done=False):
                self._run.counts["lost"] += 1
                all_claimed = False
        return all_claimed

    def _release(self, claimed: "_ClaimedEvent") -> None:
        """Release an event, by what became of its recipients.

        It is retried after a pause if a message failed or there was no recipient, retried at once if one was
        not tried, and otherwise finished.
        """
        recipients, _ = claimed.delivery.audience(claimed.event)
        if claimed.failed or claimed.without_recipients:
            claimed.delivery.pause(claimed.event)
        elif any(recipient.name not in claimed.tried for recipient in recipients):
            claimed.delivery.postpone(0)
        else:
            claimed.delivery.finish_delivery(claimed.event)


class _ClaimedEvent:
    """A claimed event of a digest email, with the recipients tried, and whether one failed or none exists."""

    def __init__(self, delivery: "_Delivery", event: Event, tried: set[str]) -> None:
        self.delivery = delivery
        self.event = event
        self.tried = tried
        self.failed = False
        self.without_recipients = False


class _RecipientCache:
    """A short-lived cache of Users and accounts."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._people: dict[str, UserSummary | None] = {}
        self._accounts: dict[str, AccountSummary | None] = {}
        self._at = 0.0

    def forget(self, name: str) -> None:
        """Forget a User, so that they are read again."""
        self._people.pop(name, None)

    def of(
        self, names: frozenset[str], account: str, lookups: "Iterable[tuple[frozenset[str], str]]"
    ) -> RecipientLookup:
        """Return Users and an account. Reads them in one call, unless all of them are cached.

        The call also reads the Users and accounts of the events that follow (``lookups``), as many as fit.
        """
        now = self._mailer.now()
        if now - self._at > CACHE_SECONDS:
            self._people, self._accounts, self._at = {}, {}, now
        missing, accounts = names - self._people.keys(), {account} - self._accounts.keys()
        if missing or accounts:
            for more_names, more_account in lookups:
                more = missing | (more_names - self._people.keys())
                more_accounts = accounts | ({more_account} - self._accounts.keys())
                if len(more) + len(more_accounts) > READ_AHEAD:
                    break
                missing, accounts = more, more_accounts
            found = self._mailer.outbox.read(missing, frozenset(accounts))
            self._people |= {name: found.people.get(name) for name in missing}
            self._accounts |= {id_: found.accounts.get(id_) for id_ in accounts}
        return RecipientLookup(
            {name: one for name, one in self._people.items() if one is not None},
            {id_: one for id_, one in self._accounts.items() if one is not None},
        )


def _new_event_key(record: dict[str, Any]) -> EventKey | None:
    """Return the key of a new, pending event; None for any other record of the stream.

    An event that is held from the start is left to ``resend``; what is no event of an account, too.
    """
    if record.get("eventName") != "INSERT":
        return None
    change = record["dynamodb"]
    waiting = change.get("NewImage", {"waiting": {"S": SHARDS[0]}}).get("waiting")
    if waiting is None or waiting["S"] in HELD_SHARDS:
        return None
    key = EventKey(change["Keys"]["account"]["S"], change["Keys"]["id"]["S"])
    return key if key.is_of_account else None


def _code_of(error: Exception) -> str:
    """Return DynamoDB's code of an error; empty if it has none."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _kind_of(action: str, changes: "Mapping[str, Sequence[str]]", audience: str) -> str:
    """Return the kind of an event's messages. What all OWNERs are to know must not wait behind a flood."""
    if folding.is_folded_action(action, changes):
        return FOLDED
    to_owners = audience in list(Audience) and Audience(audience).has_every_owner
    return action if to_owners else OTHER


def _kind_of_record(record: dict[str, Any]) -> str:
    """Return the kind of the messages of a record's event, as far as the record says."""
    image = record["dynamodb"].get("NewImage", {})
    recorded = image.get("changes", {}).get("M", {})
    changes = {field: [text["S"] for text in pair["L"]] for field, pair in recorded.items()}
    action, audience = (image.get(name, {}).get("S", "") for name in ("action", "audience"))
    return _kind_of(action, changes, audience)


def _lookups_of(record: dict[str, Any]) -> tuple[frozenset[str], str]:
    """Return the usernames and the account that the event of a record needs, as far as the record says."""
    change = record["dynamodb"]
    image = change.get("NewImage", {})
    return frozenset(image.get("administrators", {}).get("M", {})), change["Keys"]["account"]["S"]
