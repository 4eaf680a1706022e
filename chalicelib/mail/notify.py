"""Notifies recipients of events: when the stream delivers them, and by retries until all are notified.

An event is taken by a claim that ends by itself, its recipients are judged on a read made after that
event was written, and each is marked as soon as SES has taken their message. So whatever dies, and
wherever, somebody is told twice at the most, and nobody is forgotten: what is not marked is still in
the index of waiting events, however old, and the schedule finds it there.
"""

import logging
import random
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from chalicelib.mail import messages, mime
from chalicelib.mail.fairness import Share, Turns
from chalicelib.mail.ses import SECONDS, THROTTLED, Answer, Verdict, send
from chalicelib.rules import folding, key_format, notifications
from chalicelib.rules.errors import Unavailable
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
    from collections.abc import Callable, Iterable, Sequence
    from email.message import EmailMessage

    from types_boto3_sesv2 import SESV2Client

_LOG = logging.getLogger(__name__)

MARGIN_MS = 20_000
"""Start nothing with less time left: sending a message and marking it may take this long."""

PAGE = 1_000
"""Keys of waiting events read at once."""

CHUNK = 50
"""So many events, and what was read of people and accounts is read anew."""

LOOK_AGAIN = 10
"""Seconds after which a run of ``resend`` reads what is due by then, so that nobody waits for its end."""

FRESH = 2
"""Cache lifetime, in seconds, of users and accounts. Each batch starts with an empty cache, which is
thus never older than the events."""

IN_A_ROW = 3
"""So many failures in a row, and the rest is left for the next run: all of it if they are of DynamoDB, or of
SES for so many accounts; what is left of one account if they are of SES for that one."""

THROTTLED_TRIES = 5
"""How often a message is tried that SES takes none of at the moment, because of its rate."""

MOST_FOLDED = 100
"""Events in one digest. More go into the next, at once."""

_STORE_ERRORS = (ClientError, BotoCoreError, Unavailable)

READ_AHEAD = 100
"""The most users and accounts of one read, which also covers the next events of the batch."""


class Mailer(NamedTuple):
    """What sending needs. ``chance`` returns a number in [0, 1).

    ``mails_per_hour`` is the number of emails of a kind about one principal before they are folded, None for
    no folding. ``share`` is what accounts were sent by this environment; None for nothing yet.
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


def notify(records: "Iterable[dict[str, Any]]", mailer: Mailer) -> dict[str, list[dict[str, str]]]:
    """Notify the recipients of the events in a batch of the stream.

    Returns the records to be passed again, as Lambda wants them: those for which DynamoDB failed. What
    only SES fails is not among them: it waits in the outbox, and so does what time was too short for, and
    what is more than an account's share.
    """
    fresh = [(record, key) for record in records if (key := _new(record)) is not None]
    ahead = deque(_concerned(record) for record, _ in fresh)
    run = _Run(mailer, ahead)
    failures = []
    for record, key in fresh:
        ahead.popleft()
        if not run.share.allows(key.account, mailer.now(), folded=_folds(record)):
            run.counts["left"] += 1
        elif not run.deliver(key):
            failures.append({"itemIdentifier": str(record["dynamodb"]["SequenceNumber"])})
    run.close("notify")
    return {"batchItemFailures": failures}


def resend(mailer: Mailer) -> dict[str, int]:
    """Notify the recipients of the pending events that are due, until none is left or time is short.

    Accounts take turns, so that what waits in one delays no other. Returns what came of it, in numbers.
    Raises botocore's error, at the end, where part of the index could not be read.
    """
    run = _Run(mailer)
    tried: set[EventKey] = set()
    unread: Exception | None = None
    again = True
    while again and run.goes_on():
        turns, failure = _due(mailer, run)
        unread = unread or failure
        again, until = False, mailer.now() + LOOK_AGAIN
        new = [due for due in turns if due.key not in tried]
        for number, (key, held) in enumerate(new):
            if mailer.now() >= until:
                again = True
                break
            if number % CHUNK == 0:
                run.turn_page()
            tried.add(key)
            run.deliver(key, held=held)
    run.close("resend")
    if unread is not None:
        raise unread
    return dict(run.counts)


def _due(mailer: Mailer, run: "_Run") -> tuple[Turns, Exception | None]:
    """Return all that is due now, and the failure of a part of the index that could not be read."""
    now = int(mailer.now())
    first = now // 60 % len(SHARDS)  # another shard each minute, so that none is always the last
    turns, unread = Turns(), None
    for shard in (*SHARDS[first:], *SHARDS[:first], *HELD_SHARDS):
        after: object = None
        while run.goes_on():
            try:
                keys, after = mailer.outbox.due(shard, now, PAGE, after)
            except _STORE_ERRORS as error:
                unread = error
                run.store_failed()
                break
            turns.add(keys, held=shard in HELD_SHARDS)
            if after is None:
                break
    return turns, unread


class _Run:
    """One run of a function: what it has read and counted, and whether it should go on."""

    def __init__(self, mailer: Mailer, ahead: "Iterable[tuple[frozenset[str], str]]" = ()) -> None:
        self.mailer = mailer
        self.counts: Counter[str] = Counter()
        self._ahead = ahead
        self.share = mailer.share or Share()
        self._readings = _Readings(mailer)
        self._ses_failures: Counter[str] = Counter()
        self._store_failures = 0
        self._told: dict[tuple[str, str, Action], dict[str, list[int]]] = {}

    def goes_on(self, account: str = "") -> bool:
        """Return whether to take another event, of an account.

        SES that fails for one account may be that account's doing; for a few of them, SES is at fault.
        """
        return (
            max(len(self._ses_failures), self._store_failures, self._ses_failures[account]) < IN_A_ROW
            and self.mailer.remaining_ms() >= MARGIN_MS
        )

    def turn_page(self) -> None:
        """Forget what was read: the events that follow may be younger."""
        self._readings = _Readings(self.mailer)

    def close(self, name: str) -> None:
        """Say what came of it."""
        if self.counts:
            _LOG.info("%s is done", name, extra={"counts": dict(self.counts)})

    def deliver(self, key: EventKey, *, held: bool = False) -> bool:
        """Tell of one event whoever is to be told and has not been; returns False where DynamoDB failed.

        One that was ``held`` is told of in a digest, with the others about its subject. Leaves the event to
        the next run where this one should not go on.
        """
        if self._store_failures >= IN_A_ROW:
            return False
        if not self.goes_on(key.account):
            self.counts["left"] += 1
            return True
        delivery = _Digest(self, key) if held else _Delivery(self, key)
        try:
            try:
                delivery.run()
            except _STORE_ERRORS:
                raise
            except Exception:
                # One event that we cannot read or put into words must not hold up those behind it.
                _LOG.exception("An event cannot be mailed", extra={"event": key.id})
                self.counts["broken"] += 1
                delivery.postpone(notifications.LONGEST_PAUSE)
        except _STORE_ERRORS as error:
            _LOG.warning(
                "DynamoDB failed; the event waits", extra={"event": key.id, "error": type(error).__name__}
            )
            self.store_failed()
            return False
        self._store_failures = 0
        return True

    def store_failed(self) -> None:
        """Count a failure of DynamoDB; after a few in a row the run does not go on."""
        self.counts["store_failed"] += 1
        self._store_failures += 1

    def read(self, names: "Iterable[str]", account: str) -> RecipientLookup:
        """Return people and an account as they are now, or were a moment ago."""
        return self._readings.of(frozenset(names), account, self._ahead)

    def held_until(self, event: Event, recipient: Recipient) -> int | None:
        """Return until when an event is held for a recipient, to go into a digest; None if it is not."""
        most, now = self.mailer.mails_per_hour, int(self.mailer.now())
        if most is None or not folding.is_folded(event):
            return None
        return folding.held_until(self._told_of(event).get(recipient.name, ()), most, now)

    def _told_of(self, event: Event) -> dict[str, list[int]]:
        like = (event.account, fold_username(event.subject.username), event.action)
        if like not in self._told:
            since = int(self.mailer.now()) - folding.LOOK_BACK
            self._told[like] = self.mailer.outbox.notified_since(event, since)
        return self._told[like]

    def send(
        self,
        events: "Sequence[Event]",
        recipient: Recipient,
        setting: messages.EmailContext,
    ) -> tuple[Verdict, str]:
        """Send one message about one event, or a digest of several; answer what came of it and why."""
        event = events[0]
        if not mime.is_address(recipient.email):
            self.counts["refused"] += 1
            return Verdict.REFUSED, "NotAnAddress"
        try:
            message = mime.message(event, recipient, setting, tuple(events[1:]))
        except Exception:
            # What cannot be put into words for one must not hold up the others.
            _LOG.exception("A message cannot be made", extra={"event": event.id})
            self.counts["broken"] += 1
            return Verdict.UNVERIFIED, ""
        answer = self._send(message, recipient.email)
        if answer.verdict is Verdict.FAILED:
            self._ses_failures[event.account] += 1
        elif answer.verdict is not Verdict.UNVERIFIED:
            self._ses_failures.clear()
        self.counts[answer.verdict.value.lower()] += 1
        if answer.verdict is Verdict.SENT:
            self._count_sent(events, recipient)
        return answer.verdict, answer.code

    def _send(self, message: "EmailMessage", address: str) -> Answer:
        """Send a message; where SES is at its rate, wait for the next moment, so that no turn is lost."""
        for _ in range(THROTTLED_TRIES - 1):
            answer = send(self.mailer.ses, message, address)
            if answer.code not in THROTTLED or self.mailer.remaining_ms() < MARGIN_MS:
                return answer
            self.counts["throttled"] += 1
            self.mailer.sleep(0.1 + 0.9 * self.mailer.chance())
        return send(self.mailer.ses, message, address)

    def _count_sent(self, events: "Sequence[Event]", recipient: Recipient) -> None:
        now = self.mailer.now()
        self.share.spend(events[0].account, now, folded=folding.is_folded(events[0]))
        for event in events:
            if self.mailer.mails_per_hour is not None and folding.is_folded(event):
                self._told_of(event).setdefault(recipient.name, []).append(int(now))


class _Delivery:
    """One event in hand, by a claim that holds until the end of its lease."""

    def __init__(self, run: _Run, key: EventKey) -> None:
        self._run = run
        self._mailer = run.mailer
        self._key = key
        self._lease = int(run.mailer.now()) + LEASE

    def run(self) -> None:
        """Claim the event, and tell whoever is to be told and has not been."""
        event = self.claim()
        if event is None:
            return
        if notifications.changes_owners(event):
            # The stack makes a metric of this line, and an alarm of the metric.
            _LOG.info("OWNERs change", extra={"ownersChange": event.action.value, "event": event.id})
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
            self._tell_audience(event)

    def claim(self, *, held: bool = False) -> Event | None:
        """Claim the event; None where it is not to be had."""
        now = int(self._mailer.now())
        event = self._mailer.outbox.claim(self._key, now, self._lease, held=held)
        self._run.counts["skipped" if event is None else "taken"] += 1
        return event

    def _send_code(self, event: Event) -> None:
        """Mail a code for a passkey, made for this very email; none where the wish for one is void."""
        code = key_format.new_secret(key_format.CODE_PREFIX)
        [recipient] = notifications.person(event)
        until = int(self._mailer.now()) + CODE_SECONDS
        if not self._mailer.outbox.enrol(
            recipient.name, event.invitation, key_format.digest(code).hex(), until
        ):
            self._run.counts["void"] += 1
            self._mailer.outbox.finish(self._key, self._lease)
            return
        directory = self._run.read({recipient.name}, event.account)
        setting = self._setting(event, directory, code)
        self._tell(event, lambda: ([recipient], setting))

    def _invite(self, event: Event) -> None:
        """Mail an invitation with a token made for this very email; none where the invitation is void.

        All OWNERs are told too, void or not, if the invited User is to be one.
        """
        [recipient] = notifications.person(event)
        if recipient.name in {**event.told, **event.refused}:
            self._tell_audience(event)
            return
        token = key_format.new_token()
        until = int(self._mailer.now()) + INVITATION_SECONDS
        digest = key_format.digest(token).hex()
        invited: UserSummary | None = None
        if self._mailer.outbox.invite(recipient.name, event.invitation, digest, until):
            directory = self._run.read({recipient.name}, event.account)
            invited = directory.people.get(recipient.name)
        if invited is None:
            self._run.counts["void"] += 1
            self._tell_of_lost_keys(event, recipient)
            return
        setting = self._setting(event, directory, token, invited.role)
        self._tell(event, lambda: (self.audience(event)[0], setting))

    def _tell_of_lost_keys(self, event: Event, recipient: Recipient) -> None:
        """Mail that keys are dead which an invitation ended, where the invitation itself is void by now."""
        revoked = replace(event, action=Action.API_KEY_REVOKED, changes={})

        def audience() -> "tuple[list[Recipient], messages.EmailContext]":
            recipients, setting = self.audience(event)
            return [one for one in recipients if event.keys or one.name != recipient.name], setting

        self._tell(event, audience, lambda one: revoked if one.name == recipient.name else event)

    def _tell_audience(self, event: Event) -> None:
        """Tell those who are entitled, each judged just before their message goes out."""
        audience, _ = self.audience(event)
        if audience:
            self._tell(event, lambda: self.audience(event))
            return
        # An account always has an OWNER; one was changing places when we looked, or an operator must help.
        _LOG.error("An event has nobody to be told", extra={"event": event.id})
        self.pause(event)

    def audience(self, event: Event) -> "tuple[list[Recipient], messages.EmailContext]":
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
                if notifications.owners_stand_in(event, audience):
                    named = {one.name for one in audience}
                    stand_in = self._owners(event, directory, notifications.OWNER)
                    audience += [one for one in stand_in if one.name not in named]
        return audience, self._setting(event, directory)

    def _owners(
        self, event: Event, directory: RecipientLookup, why: notifications.RecipientReason
    ) -> list[Recipient]:
        account = directory.accounts.get(event.account)
        directory = self._run.read(account.owners if account else (), event.account)
        return notifications.owners(event, directory, why)

    def _tell(
        self,
        event: Event,
        audience: "Callable[[], tuple[list[Recipient], messages.EmailContext]]",
        worded: "Callable[[Recipient], Event] | None" = None,
    ) -> None:
        """Tell whoever of an audience has not been, each of the event, or as it is ``worded`` for them."""
        tried = {*event.told, *event.refused}
        failed = False
        held = 0
        while True:
            recipients, setting = audience()
            waiting = [one for one in recipients if one.name not in tried]
            if not waiting:
                break
            if not self.goes_on():
                self.pause(event) if failed else self.postpone(0)
                return
            recipient = waiting[0]
            tried.add(recipient.name)
            if (until := self._run.held_until(event, recipient)) is not None:
                self._run.counts["held"] += 1
                held = max(held, until)
                continue
            said = worded(recipient) if worded else event
            verdict, code = self._run.send((said,), recipient, setting)
            if verdict in (Verdict.FAILED, Verdict.UNVERIFIED):
                failed = True
                continue
            done = len(waiting) == 1 and not failed and not held
            if not self.mark(recipient, verdict, code, done=done):
                self._run.counts["lost"] += 1
                return
            if done:
                return
        if failed:
            self.pause(event)
        elif held:
            self._mailer.outbox.hold(self._key, self._lease, held)
        else:
            self.finish()

    def goes_on(self) -> bool:
        """Return whether to begin another message: the run should go on, and the claim still holds."""
        return self._run.goes_on(self._key.account) and self._mailer.now() + SECONDS < self._lease

    def finish(self) -> None:
        """End the waiting of the event."""
        self._mailer.outbox.finish(self._key, self._lease)

    def mark(self, recipient: Recipient, verdict: Verdict, code: str, *, done: bool) -> bool:
        """Mark a recipient as told, or as beyond reach; return False where the claim was lost."""
        now = int(self._mailer.now())
        renewed = None if done else now + LEASE
        outbox = self._mailer.outbox
        if verdict is Verdict.SENT:
            held = outbox.mark_notified(self._key, recipient.name, now, self._lease, renewed)
        else:
            held = outbox.mark_undeliverable(self._key, recipient.name, code, self._lease, renewed)
        if renewed is not None:
            self._lease = renewed
        return held

    def pause(self, event: Event) -> None:
        """Give the event back, to be tried again after a while that grows with each try."""
        self.postpone(notifications.retry_delay(event.attempts, self._mailer.chance()))

    def postpone(self, seconds: int) -> None:
        """Give the event back, to be tried again in so many seconds."""
        self._run.counts["postponed"] += 1
        self._mailer.outbox.postpone(self._key, self._lease, int(self._mailer.now()) + seconds)

    def _setting(
        self, event: Event, directory: RecipientLookup, token: str = "", role: Role | None = None
    ) -> messages.EmailContext:
        tenancy = directory.accounts.get(event.account)
        return messages.EmailContext(
            sender=self._mailer.sender,
            public_url=self._mailer.public_url,
            account=tenancy.name if tenancy else event.account,
            now=self._mailer.now(),
            token=token,
            role=role,
            operator=self._mailer.operator,
            console=self._mailer.console,
        )


class _Digest:
    """The events that are held about one subject, told of in one message to each recipient.

    Each event has its own claim and marks, as if it were alone: what is not marked when this dies is tried
    again.
    """

    def __init__(self, run: _Run, key: EventKey) -> None:
        self._run = run
        self._first = _Delivery(run, key)
        self._taken: list[_Taken] = []

    def run(self) -> None:
        """Claim the event and those that are held beside it, and tell whoever is to be told."""
        event = self._first.claim(held=True)
        if event is None:
            return
        self._take(self._first, event)
        for key in self._run.mailer.outbox.held(event, MOST_FOLDED - 1):
            self._claim(_Delivery(self._run, key))
        lost = False
        while not lost and (message := self._next()):
            recipient, setting, those = message
            if not all(taken.delivery.goes_on() for taken in self._taken):
                break
            lost = not self._tell(recipient, setting, those)
        for taken in self._taken:
            self._end(taken)

    def postpone(self, seconds: int) -> None:
        """Give the first event back, to be tried again in so many seconds; the others wait for their leases.

        Where something is wrong, that is; else each is given back by itself.
        """
        self._first.postpone(seconds)

    def _claim(self, delivery: "_Delivery") -> None:
        try:
            event = delivery.claim(held=True)
        except _STORE_ERRORS:
            raise
        except Exception:
            _LOG.exception("An event cannot be mailed")
            self._run.counts["broken"] += 1
            delivery.postpone(notifications.LONGEST_PAUSE)
            return
        if event is not None:
            self._take(delivery, event)

    def _take(self, delivery: "_Delivery", event: Event) -> None:
        self._taken.append(_Taken(delivery, event, {*event.told, *event.refused}))

    def _next(self) -> "tuple[Recipient, messages.EmailContext, list[_Taken]] | None":
        """Return somebody who is to be told, judged now, and the events to tell them of."""
        found: tuple[Recipient, messages.EmailContext] | None = None
        those: list[_Taken] = []
        for taken in self._taken:
            recipients, setting = taken.delivery.audience(taken.event)
            taken.lonely = not recipients
            for recipient in recipients:
                if recipient.name not in taken.tried and (found is None or recipient.name == found[0].name):
                    found = found or (recipient, setting)
                    those.append(taken)
                    break
        return (*found, those) if found else None

    def _tell(self, recipient: Recipient, setting: messages.EmailContext, those: "list[_Taken]") -> bool:
        """Send one message, and mark its events; return False where a claim was lost."""
        verdict, code = self._run.send([taken.event for taken in those], recipient, setting)
        held = True
        self._run.counts["folded"] += len(those) - 1
        for taken in those:
            taken.tried.add(recipient.name)
            if verdict in (Verdict.FAILED, Verdict.UNVERIFIED):
                taken.failed = True
            elif not taken.delivery.mark(recipient, verdict, code, done=False):
                self._run.counts["lost"] += 1
                held = False
        return held

    def _end(self, taken: "_Taken") -> None:
        recipients, _ = taken.delivery.audience(taken.event)
        if taken.failed or taken.lonely:
            taken.delivery.pause(taken.event)
        elif any(recipient.name not in taken.tried for recipient in recipients):
            taken.delivery.postpone(0)
        else:
            taken.delivery.finish()


class _Taken:
    """An event in hand for a digest: whom it was tried for; whether that failed, or nobody is to be told."""

    def __init__(self, delivery: "_Delivery", event: Event, tried: set[str]) -> None:
        self.delivery = delivery
        self.event = event
        self.tried = tried
        self.failed = False
        self.lonely = False


class _Readings:
    """What was read of people and accounts in the last moments."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._people: dict[str, UserSummary | None] = {}
        self._accounts: dict[str, AccountSummary | None] = {}
        self._at = 0.0

    def of(
        self, names: frozenset[str], account: str, ahead: "Iterable[tuple[frozenset[str], str]]"
    ) -> RecipientLookup:
        """Return people and an account, from one read at most, which brings those ``ahead`` along."""
        now = self._mailer.now()
        if now - self._at > FRESH:
            self._people, self._accounts, self._at = {}, {}, now
        missing, accounts = names - self._people.keys(), {account} - self._accounts.keys()
        if missing or accounts:
            for more_names, more_account in ahead:
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


def _new(record: dict[str, Any]) -> EventKey | None:
    """Return the key of an event that is new and waits; None for any other record of the stream."""
    if record.get("eventName") != "INSERT":
        return None
    change = record["dynamodb"]
    if "waiting" not in change.get("NewImage", {"waiting": {}}):
        return None
    return EventKey(change["Keys"]["account"]["S"], change["Keys"]["id"]["S"])


def _folds(record: dict[str, Any]) -> bool:
    """Return whether a record is of an event that may be folded, as far as it tells."""
    image = record["dynamodb"].get("NewImage", {})
    return image.get("action", {}).get("S") in folding.FOLDED


def _concerned(record: dict[str, Any]) -> tuple[frozenset[str], str]:
    """Return whom and which account an event's recipients are judged by, as far as its record tells."""
    change = record["dynamodb"]
    image = change.get("NewImage", {})
    return frozenset(image.get("administrators", {}).get("M", {})), change["Keys"]["account"]["S"]
