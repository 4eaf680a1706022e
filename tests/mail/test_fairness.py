"""One account's flood delays no other account's mail: shown with an SES of 14 a second, and a clock.

``FLOOD_EVENTS`` sets the size of the flood (400; the figure in docs/performance.md is of 10,000).
"""

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from chalicelib.mail import notify as notify_module
from chalicelib.mail.fairness import FOLDED, OTHER, SHARE, SHARE_SECONDS, Share, Turns
from chalicelib.mail.notify import MAX_FAILURES_IN_A_ROW, Mailer, notify, resend
from chalicelib.rules import notifications
from chalicelib.rules.model import AccountSummary, Action, Audience, Event, UserSummary
from chalicelib.rules.notifications import SHARDS, EventKey, RecipientLookup
from chalicelib.rules.roles import Role
from chalicelib.store.trail import shard_of
from tests.support.api_client import Clock
from tests.support.mail import BEA, PUBLIC_URL, SENDER, MailFixture, make_event, record, revoked, ses_error

EVENTS = int(os.environ.get("FLOOD_EVENTS", "400"))
ADMINISTRATORS = 20
RATE = 14
NOW = 1_900_000_000
BOSS_AT = "boss@bank.example"
BOSS2_AT = "boss2@acme.example"
INVOCATION, CALL = 0.05, 0.005
"""Seconds that an invocation of a function takes by itself, and a call of DynamoDB."""


class InMemoryOutbox:
    """An outbox in memory, in which each call takes its time."""

    page = CALL
    """Seconds that reading a page of events takes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.events: dict[EventKey, Event] = {}
        self.due_at: dict[EventKey, int] = {}
        self.told_at: dict[EventKey, dict[str, float]] = {}
        self.people: dict[str, UserSummary] = {}
        self.accounts: dict[str, AccountSummary] = {}

    def add(self, event: Event) -> EventKey:
        key = EventKey(event.account, event.id)
        self.events[key], self.due_at[key], self.told_at[key] = event, event.at, {}
        return key

    def claim(self, key: EventKey, now: int, lease: int, *, held: bool = False) -> Event | None:
        self.clock.forward(CALL)
        if self.due_at.get(key, now + 1) > now:
            return None
        self.due_at[key] = lease
        return self.events[key]

    def mark_notified(self, key: EventKey, name: str, now: int, lease: int, renewed: int | None) -> bool:
        self.clock.forward(CALL)
        self.told_at[key][name] = self.clock()
        if renewed is None:
            del self.due_at[key]
        else:
            self.due_at[key] = renewed
        return True

    def postpone(self, key: EventKey, lease: int, due_at: int) -> bool:
        self.clock.forward(CALL)
        self.due_at[key] = due_at
        return True

    def finish(self, key: EventKey, lease: int) -> bool:
        del self.due_at[key]
        return True

    def due(self, shard: str, since: int, now: int, limit: int, after: Any) -> tuple[list[EventKey], Any]:
        self.clock.forward(self.page)
        found = sorted(
            (at, key) for key, at in self.due_at.items() if since <= at <= now and self.shard_of(key) == shard
        )
        start = after or 0
        page = [key for _, key in found[start : start + limit]]
        return page, start + limit if len(found) > start + limit else None

    def shard_of(self, key: EventKey) -> str:
        first = notifications.comes_first(self.events[key])
        return notifications.FIRST_SHARD if first else shard_of(key.id)

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        self.clock.forward(CALL)
        return RecipientLookup(
            {name: self.people[name] for name in names if name in self.people},
            {account: self.accounts[account] for account in accounts},
        )


class RateLimitedSes:
    """An SES that takes so many messages a second, and no more."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.taken: list[float] = []
        self.refused = 0
        self.first: dict[str, float] = {}

    def send_email(self, **asked: Any) -> dict[str, str]:
        self.clock.forward(CALL)
        now = self.clock()
        if len(self.taken) >= RATE and now - self.taken[-RATE] < 1:
            self.refused += 1
            raise ses_error("TooManyRequestsException", "Maximum sending rate exceeded.")
        self.taken.append(now)
        self.first.setdefault(asked["Destination"]["ToAddresses"][0], now)
        return {}


class TwoAccounts:
    """Account acme with its Administrators and a flood of events, and account bank with one."""

    def __init__(self) -> None:
        self.clock = Clock(float(NOW))
        self.outbox, self.ses, self.share = InMemoryOutbox(self.clock), RateLimitedSes(self.clock), Share()
        self.links = {f"admin{number}": "m" for number in range(ADMINISTRATORS)}
        for name in self.links:
            self._person(name, "acme", f"{name}@acme.example")
        self._person("boss", "bank", BOSS_AT)
        for account in ("acme", "bank"):
            self.outbox.accounts[account] = AccountSummary(id=account, name=account)
        self.ends = 0.0

    def _person(self, name: str, account: str, email: str) -> None:
        self.outbox.people[name] = UserSummary(
            username=name, account=account, email=email, role=Role.CLUSTER_ADMIN, membership="m"
        )

    def mailer(self, seconds: float = 120) -> Mailer:
        self.ends = self.clock() + seconds
        outbox: Any = self.outbox
        ses: Any = self.ses
        return Mailer(
            outbox=outbox,
            ses=ses,
            sender=SENDER,
            public_url=PUBLIC_URL,
            now=self.clock,
            remaining_ms=lambda: int((self.ends - self.clock()) * 1000),
            chance=lambda: 0.5,
            sleep=self.clock.forward,
            share=self.share,
        )

    def flood(self, count: int = EVENTS, **fields: Any) -> list[Event]:
        fields = {"action": Action.API_KEY_ROTATED, "administrators": self.links} | fields
        events = [make_event(at=NOW, **fields) for _ in range(count)]
        for event in events:
            self.outbox.add(event)
        return events

    def has_owner(self) -> None:
        """Give account acme an OWNER, at BOSS2_AT."""
        self.outbox.people["boss2"] = UserSummary(
            username="boss2", account="acme", email=BOSS2_AT, role=Role.OWNER, membership="m"
        )
        self.outbox.accounts["acme"] = AccountSummary(id="acme", name="acme", owners={"boss2": "m"})

    def change_of_owners(self, **fields: Any) -> Event:
        """Raise BEA to OWNER in account acme."""
        event = make_event(
            **{
                "at": int(self.clock()),
                "action": Action.USER_UPDATED,
                "keys": (),
                "changes": {"role": ("READ_ONLY", "OWNER")},
                "subject": BEA,
                "audience": Audience.PERSON_AND_OWNERS,
                "administrators": {},
                **fields,
            }
        )
        self.outbox.add(event)
        return event

    def revocation(self) -> Event:
        event = make_event(
            at=int(self.clock()),
            account="bank",
            action=Action.API_KEY_REVOKED,
            keys=(revoked(),),
            administrators={"boss": "m"},
        )
        self.outbox.add(event)
        return event


def batches(events: Iterable[Event], size: int = 25) -> Iterator[list[dict[str, Any]]]:
    records = [record(event) for event in events]
    for start in range(0, len(records), size):
        yield records[start : start + size]


def test_notify_delays_another_account_by_less_than_a_minute() -> None:
    """The stream has the whole flood before the other account's event, and is read in order."""
    world = TwoAccounts()
    events = [*world.flood(), world.revocation()]
    for batch in batches(events):
        world.clock.forward(INVOCATION)
        assert notify(batch, world.mailer()) == {"batchItemFailures": []}
    delay = world.ses.first[BOSS_AT] - NOW
    print(f"notify: {EVENTS} events of {ADMINISTRATORS}, another's revocation after {delay:.1f} s")
    assert delay < 60
    assert len(world.ses.taken) >= SHARE


@pytest.mark.parametrize("arrives", [0.0, 1.0, 30.0])
def test_resend_delays_another_account_by_less_than_a_minute(arrives: float) -> None:
    """``resend`` runs for at most 55 seconds of each minute, on a flood that is due already."""
    world = TwoAccounts()
    world.flood()
    world.clock.forward(1)
    event: Event | None = None
    minute = 0
    while BOSS_AT not in world.ses.first:
        world.clock.at = max(world.clock.at, NOW + 1 + 60.0 * minute)
        minute += 1
        mailer = world.mailer(55)
        now = mailer.now

        def passing(now: Any = now) -> float:
            nonlocal event
            if event is None and world.clock.at >= NOW + 1 + arrives:
                event = world.revocation()
            return float(now())

        resend(mailer._replace(now=passing))
    assert event is not None
    delay = world.ses.first[BOSS_AT] - event.at
    print(f"resend: {EVENTS} events of {ADMINISTRATORS}, another's revocation after {delay:.1f} s")
    assert delay < 60


@pytest.mark.parametrize("place", [0.1, 0.5, 1])
def test_a_backlog_that_takes_longer_to_read_than_a_run_stops_nobody(
    place: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In reality that is half a million events of one account, before and behind the other account's."""
    monkeypatch.setattr(notify_module, "PAGE", 10)
    world = TwoAccounts()
    world.outbox.page = 1.0
    for number in range(EVENTS):
        event = make_event(
            at=NOW - 10_000 + 25 * number,
            id=f"{(NOW - 10_000 + 25 * number) * 1000:012x}{number:016x}",
            action=Action.API_KEY_REVOKED,
            keys=(revoked(),),
            administrators=world.links,
        )
        world.outbox.add(event)
    world.clock.at = NOW - 10_000 + 25 * EVENTS * place
    world.revocation()
    chance = random.Random(7).random
    minute = 0
    while BOSS_AT not in world.ses.first:
        world.clock.at = max(world.clock.at, NOW + 60.0 * minute)
        minute += 1
        assert minute < 30
        before = len(world.ses.taken)
        resend(world.mailer(55)._replace(chance=chance))
        assert len(world.ses.taken) > before, "each run mails somebody"


def test_both_at_once_share_what_ses_takes_with_the_other_account() -> None:
    """While ``resend`` uses up SES's rate, ``notify`` waits for its turn and gets it."""
    world = TwoAccounts()
    world.flood()
    world.clock.forward(1)
    event: list[Event] = []
    mailer = world.mailer(55)
    send = world.ses.send_email

    def beside(**asked: Any) -> dict[str, str]:
        response = send(**asked)
        if len(world.ses.taken) == 2 * RATE:
            event.append(world.revocation())
            notify([record(event[0])], world.mailer())
        return response

    world.ses.send_email = beside  # type: ignore[method-assign]
    resend(mailer)
    assert world.ses.first[BOSS_AT] - event[0].at < 5


def test_a_share_is_of_an_account_a_kind_and_a_minute() -> None:
    share = Share(2)
    for _ in range(2):
        assert share.allows("acme", 60, FOLDED)
        share.spend("acme", 60, FOLDED)
    assert not share.allows("acme", 119.9, FOLDED)
    assert share.allows("acme", 119.9, OTHER)
    assert share.allows("bank", 119.9, FOLDED)
    assert share.allows("acme", 120, FOLDED)


@pytest.mark.parametrize(
    "audience", [Audience.OWNERS, Audience.PERSON_AND_OWNERS, Audience.ADMINISTRATORS_AND_OWNERS]
)
def test_a_change_of_owners_does_not_wait_behind_a_flood_of_its_own_account(
    audience: Audience, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has a CLUSTER_ADMIN's key could flood first, with emails that are never held."""
    world = TwoAccounts()
    world.has_owner()
    for event in world.flood(SHARE + 10, action=Action.API_KEY_REVOKED, keys=(revoked(),)):
        notify([record(event)], world.mailer())
    change = world.change_of_owners(audience=audience)
    caplog.clear()
    with caplog.at_level("INFO"):
        notify([record(change)], world.mailer())
    assert world.ses.first[BOSS2_AT] - change.at < 5
    assert any("OWNERs change" in line.message for line in caplog.records)


def test_a_flood_of_one_email_to_all_owners_does_not_delay_another() -> None:
    """A CLUSTER_ADMIN can suspend and resume Service Users in a loop, of which all OWNERs are mailed."""
    world = TwoAccounts()
    world.has_owner()
    resumed = {"action": Action.SERVICE_USER_RESUMED, "audience": Audience.ADMINISTRATORS_AND_OWNERS}
    for event in world.flood(SHARE + 10, keys=(), **resumed):
        notify([record(event)], world.mailer())
    change = world.change_of_owners()
    before = len(world.ses.taken)
    notify([record(change)], world.mailer())
    assert len(world.ses.taken) > before


LOOSER = {
    "action": Action.ACCOUNT_UPDATED,
    "changes": {"maxKeyAgeDays": ("30", "")},
    "audience": Audience.OWNERS,
}


@pytest.mark.parametrize("fields", [{}, LOOSER])
def test_a_change_of_owners_or_of_the_policy_that_waits_is_mailed_before_a_flood(
    fields: dict[str, Any],
) -> None:
    """Such as once its share is used up by others like it, or after SES failed for an hour."""
    world = TwoAccounts()
    world.flood(action=Action.API_KEY_REVOKED, keys=(revoked(),))
    world.has_owner()
    world.clock.forward(1)
    change = world.change_of_owners(**fields)
    resend(world.mailer(55))
    assert world.ses.first[BOSS2_AT] - change.at < 15


def test_a_flood_does_not_use_up_the_share_of_what_is_never_folded() -> None:
    world = TwoAccounts()
    own = make_event(at=NOW, action=Action.API_KEY_REVOKED, keys=(revoked(),), administrators={"admin0": "m"})
    world.outbox.add(own)
    for batch in batches([*world.flood(50), own]):
        notify(batch, world.mailer())
    assert world.outbox.told_at[EventKey("acme", own.id)].keys() == {"admin0"}


def test_accounts_take_turns_and_a_flood_is_remembered_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.mail.fairness.MAX_EVENTS_PER_ACCOUNT", 3)
    spent: Counter[str] = Counter()
    turns = Turns(spent)
    turns.add([EventKey("acme", str(number)) for number in range(10)], held=False)
    turns.add([EventKey("bank", "b0"), EventKey("corp", "c0"), EventKey("bank", "b1")], held=True)
    shown = []
    for due in turns:
        spent[due.key.account] += 1
        shown.append(f"{due.key.id}{'h' * due.held}")
    assert shown == ["0", "b0h", "c0h", "1", "b1h", "2"]


def test_an_account_with_many_recipients_to_each_event_has_no_larger_share() -> None:
    spent: Counter[str] = Counter({"bank": 1})
    turns = Turns(spent)
    turns.add([EventKey("acme", str(number)) for number in range(3)], held=False)
    turns.add([EventKey("bank", f"b{number}") for number in range(6)], held=False)
    shown = []
    for due in turns:
        spent[due.key.account] += 4 if due.key.account == "acme" else 1
        shown.append(due.key.id)
    assert shown == ["0", "b0", "b1", "b2", "1", "b3", "b4", "b5", "2"]


def test_events_that_take_long_and_mail_nobody_use_up_a_share_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as of a Service User about which there are thousands of other events to read."""
    world = TwoAccounts()
    claim = world.outbox.claim

    def slow(key: EventKey, *given: Any, **more: Any) -> Event | None:
        world.clock.forward(3 if key.account == "acme" else 0)
        return None if key.account == "acme" else claim(key, *given, **more)

    monkeypatch.setattr(world.outbox, "claim", slow)
    world.clock.at = NOW - NOW % 60 + 1  # a share is of a minute
    began = world.clock()
    for batch in batches([*world.flood(40), world.revocation()]):
        notify(batch, world.mailer())
    assert world.ses.first[BOSS_AT] - began < SHARE_SECONDS + 5


def test_resend_mails_others_beside_events_with_many_recipients() -> None:
    world = TwoAccounts()
    world.flood(60, action=Action.API_KEY_REVOKED, keys=(revoked(),))
    theirs = [world.revocation() for _ in range(60)]
    world.clock.forward(1)
    resend(world.mailer(55))
    mailed = [it for it in theirs if world.outbox.told_at[EventKey("bank", it.id)]]
    assert len(mailed) == len(theirs), "sixty messages are a twentieth of the others'"


# Whose failures are whose


def bank(mail: MailFixture, *accounts: str) -> None:
    for account in accounts:
        mail.account(account, account, **{f"{account}-boss": f"m-{account}-boss"})
        mail.user(f"{account}-boss", Role.OWNER, account=account)


def theirs(mail: MailFixture, account: str, **fields: Any) -> Event:
    return mail.event(account=account, administrators={f"{account}-boss": f"m-{account}-boss"}, **fields)


def failing(*accounts: str, code: str = "InternalFailure") -> Any:
    def hook(recipient: str) -> None:
        if not accounts or recipient.partition("-")[0] in accounts:
            raise ses_error(code)

    return hook


def test_an_account_whose_mail_fails_stops_no_other(mail: MailFixture) -> None:
    bank(mail, "acme", "bank")
    bad = [theirs(mail, "acme", at=NOW - 100) for _ in range(20)]
    good = [theirs(mail, "bank", action=Action.API_KEY_ENDING) for _ in range(5)]
    mail.ses.hook = failing("acme")
    mail.notify(*bad)
    assert mail.ses.calls == MAX_FAILURES_IN_A_ROW
    mail.resend()
    assert mail.ses.addresses == ["bank-boss@people.example"] * 5
    assert not any("waiting" in mail.stored(event) for event in good)
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert len(mail.ses.sent) == 25


def test_a_few_accounts_that_fail_are_the_failure_of_ses(mail: MailFixture) -> None:
    names = [f"a{number}" for number in range(8)]
    bank(mail, *names)
    for name in names:
        theirs(mail, name)
    mail.ses.hook = failing()
    mail.resend()
    assert mail.ses.calls == MAX_FAILURES_IN_A_ROW
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert len(mail.ses.sent) == 8


def test_a_message_that_is_throttled_is_tried_in_the_next_moment(mail: MailFixture) -> None:
    bank(mail, "acme")
    slept: list[float] = []
    mail.sleep = slept.append

    def busy(_recipient: str) -> None:
        if mail.ses.calls < 4:
            raise ses_error("TooManyRequestsException")

    mail.ses.hook = busy
    event = theirs(mail, "acme")
    mail.notify(event)
    assert len(slept) == 3
    assert mail.stored(event)["told"] == {"acme-boss": NOW}


def test_a_message_that_is_always_throttled_waits(mail: MailFixture) -> None:
    bank(mail, "acme")
    mail.ses.hook = failing(code="TooManyRequestsException")
    event = theirs(mail, "acme")
    mail.notify(event)
    assert mail.ses.calls == notify_module.THROTTLED_TRIES
    assert mail.stored(event)["dueAt"] == NOW + notifications.retry_delay(1, 0.5)


def test_no_try_is_made_when_time_is_short(mail: MailFixture) -> None:
    bank(mail, "acme")
    mail.ses.hook = failing(code="TooManyRequestsException")
    mail.remaining_ms = lambda: 600_000 if not mail.ses.calls else 0
    mail.notify(theirs(mail, "acme"))
    assert mail.ses.calls == 1


def ids(shard: str, at: int) -> Iterator[str]:
    """Ids of events of that second, all in one part of the index."""
    return (id_ for n in itertools.count() if shard_of(id_ := f"{at * 1000:012x}{n:016x}") == shard)


@pytest.mark.parametrize("shard", [0, 2])
def test_a_run_looks_again_for_what_has_become_due(mail: MailFixture, shard: int) -> None:
    """The other account's is the next, whichever part of the index is read first."""
    bank(mail, "acme", "bank")
    first = NOW // 60 % len(SHARDS)
    in_order = (*SHARDS[first:], *SHARDS[:first])
    for id_ in itertools.islice(ids(in_order[1], NOW), 6):
        theirs(mail, "acme", id=id_)
    late: list[Event] = []

    def slow(_recipient: str) -> None:
        mail.clock.forward(4)
        if not late:
            late.append(theirs(mail, "bank", id=next(ids(in_order[shard], NOW + 4))))

    mail.ses.hook = slow
    mail.resend()
    assert mail.ses.addresses.index("bank-boss@people.example") == 3
    assert len(mail.ses.sent) == 7
