"""Whatever dies, and wherever: who is entitled is told, nobody else, and twice only once for each death."""

import random
import threading
from collections import Counter

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from chalicelib.mail import notify as notify_module
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.model import Action, Audience, Event, Invitation, User
from chalicelib.rules.notifications import LEASE
from chalicelib.rules.roles import Role
from chalicelib.store.principals import principal_from_item
from tests.support.api_client import ENGINE
from tests.support.mail import (
    BEA,
    INJECTED,
    Faults,
    Killed,
    MailFixture,
    Ses,
    record,
    revoked,
    ses_error,
    shuffled,
)

pytestmark = pytest.mark.slow_first

NOW = 1_900_000_000
HOUR = 3600
Told = Counter[tuple[str, str]]


@pytest.fixture
def mail(mail: MailFixture) -> MailFixture:
    """An account with two Administrators who are entitled, four people who no longer are, and an OWNER."""
    mail.demo_account("alice", "bob")
    mail.user("lowered", Role.READ_ONLY)
    mail.user("returned", membership="m-second")
    mail.user("moved", account="other")
    mail.machine("worker")
    return mail


LINKS = {name: f"m-{name}" for name in ("alice", "bob", "lowered", "returned", "moved", "worker", "gone")}


def every_kind(mail: MailFixture, mark: str) -> dict[str, tuple[Event, set[str]]]:
    """One event of each kind, with the addresses that are entitled to be notified."""
    mail.user("Bea", invitation=Invitation(f"i-{mark}"))
    person = {"subject": BEA, "audience": Audience.PERSON}
    events = [
        (mail.event(administrators=LINKS), {"alice", "bob"}),
        (mail.event(administrators={"gone": "m-gone"}), {"owner"}),
        (mail.event(action=Action.USER_UPDATED, keys=(revoked(),), **person), {"bea"}),
        (mail.event(action=Action.USER_INVITED, keys=(), invitation=f"i-{mark}", **person), {"bea"}),
        (mail.event(action=Action.USER_INVITED, keys=(), invitation="void", **person), set()),
    ]
    return {event.id: (event, {f"{name}@people.example" for name in names}) for event, names in events}


def check(told: Told, expected: dict[str, tuple[Event, set[str]]], crashes: int) -> None:
    wanted = {(id_, address) for id_, (_, addresses) in expected.items() for address in addresses}
    mine = Counter({key: number for key, number in told.items() if key[0] in expected})
    assert not mine.keys() - wanted, "somebody was told who is not entitled"
    assert not wanted - mine.keys(), "somebody entitled was not told"
    assert sum(mine.values()) - len(wanted) <= crashes, "told twice without a death to blame"


ENGINE_TOO = {("notify", "kill after"), ("resend", "response lost")}
"""What the real engine is asked for too. Moto is asked for all: one function at a time has no races."""


def on_moto_only(others: bool) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a case, which the real engine leaves out if it has ``others`` like it."""
    return (pytest.mark.skipif(bool(ENGINE), reason="the real engine is asked for others like it"),) * others


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        pytest.param(how, kind, marks=on_moto_only((how, kind) not in ENGINE_TOO))
        for how in ("notify", "resend")
        for kind in INJECTED
    ],
)
def test_killed_at_every_aws_call_in_turn(mail: MailFixture, how: str, kind: str) -> None:
    """The run dies before, or after, its first AWS call, then its second, and so on to its last."""
    real, deaths = Ses(), 0
    for number in range(1, 1000):
        expected = every_kind(mail, f"{kind}-{number}")
        faults = Faults(lambda call, _, number=number: kind if call == number else "")
        mail.ses, mail.outbox_client = faults.wrap(real), faults.wrap(mail.client)
        records = shuffled([record(event) for event, _ in expected.values()], number)
        try:
            if how == "notify":
                mail.notify_records(records)
            else:
                mail.resend()
        except (Killed, ConnectionClosedError):
            deaths += 1
        mail.ses, mail.outbox_client = real, mail.client
        mail.notify_records(records)  # as the stream passes a batch again whose function died
        mail.resend_until_done()
        check(real.told(), expected, crashes=1)
        for event, _ in expected.values():
            mail.forget(event)
        if faults.injected == 0:
            assert number > 15, "there are more calls than that"
            break
    assert deaths > 10 or kind == "response lost"


@pytest.mark.parametrize("seed", [pytest.param(n, marks=on_moto_only(n > 1)) for n in range(8)])
def test_days_without_ses_then_throttling_and_killed_environments(mail: MailFixture, seed: int) -> None:
    """SES is down for three days, in every way it has, then throttles; environments die all the while."""
    chance = random.Random(seed)
    down = [
        ses_error("AccountSuspendedException"),
        ses_error("SendingPausedException"),
        ses_error("TooManyRequestsException"),
        ses_error("MessageRejected", "Email address is not verified."),
        ses_error("InternalFailure"),
        ConnectionClosedError(endpoint_url="https://ses.example"),
    ]
    mended = NOW + 72 * HOUR
    real = Ses()

    def outage(_recipient: str) -> None:
        if mail.clock() < mended:
            raise chance.choice(down)

    def fault(_number: int, operation: str) -> str:
        if chance.random() < 0.02:
            return chance.choice(INJECTED)
        limit = 0.3 if operation == "send_email" else 0.02
        return "throttled" if mail.clock() >= mended and chance.random() < limit else ""

    real.hook = outage
    faults = Faults(fault)
    mail.ses, mail.outbox_client = faults.wrap(real), faults.wrap(mail.client)

    def survive(run: object) -> None:
        try:
            run()  # type: ignore[operator]
        except (Killed, ClientError, BotoCoreError, Unavailable):
            return

    expected: dict[str, tuple[Event, set[str]]] = {}
    records = []
    while mail.clock() < mended or mail.waiting():
        assert mail.clock() < mended + 30 * 24 * HOUR, "it does not come to an end"
        if mail.clock() < mended and chance.random() < 0.8:
            event = mail.event(administrators=LINKS)
            expected[event.id] = (event, {"alice@people.example", "bob@people.example"})
            records.append(record(event))
            survive(lambda: mail.notify_records(shuffled(records[-5:], seed)))
        survive(mail.resend)
        mail.clock.forward(
            chance.choice([60, HOUR, 4 * HOUR] if mail.clock() < mended else [60, 15 * 60, HOUR])
        )
    assert len(expected) > 10
    assert faults.injected > 5
    check(real.told(), expected, crashes=faults.injected)


def test_a_user_revoked_during_an_outage_is_not_notified_afterwards(mail: MailFixture) -> None:
    first = mail.event(administrators=LINKS)
    mail.ses.hook = lambda _: (_ for _ in ()).throw(ses_error("SendingPausedException"))
    mail.notify(first)
    mail.gone("bob")
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert mail.ses.addresses == ["alice@people.example"]


def in_threads(runs: "list[object]") -> list[BaseException]:
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(runs))

    def go(run: object) -> None:
        barrier.wait()
        try:
            run()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=go, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@pytest.mark.engine
def test_concurrent_notify_and_resend_mail_everybody_once(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight at once on the same events, all of them due: each event is one's, and told by that one alone."""
    monkeypatch.setattr(notify_module, "PAGE", 7)
    events = [mail.event(administrators=LINKS) for _ in range(60)]
    records = [record(event) for event in events]
    runs = [
        *(lambda seed=seed: mail.notify_records(shuffled(records, seed)) for seed in range(4)),
        *[mail.resend] * 4,
    ]
    assert in_threads(runs) == []  # type: ignore[arg-type]
    mail.clock.forward(10)
    mail.resend()
    assert mail.waiting() == []
    assert mail.ses.told() == Counter(
        {(event.id, f"{name}@people.example"): 1 for event in events for name in ("alice", "bob")}
    )


@pytest.mark.engine
def test_claims_race_with_one_winner(mail: MailFixture) -> None:
    for round_number in range(20):
        event = mail.event(administrators={"alice": "m-alice"})
        assert in_threads([lambda event=event: mail.notify(event)] * 16) == []
        assert mail.ses.calls == round_number + 1


@pytest.mark.engine
def test_tokens_noted_at_once_are_all_kept(mail: MailFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    outbox = mail.mailer.outbox
    tokens = [
        lambda mark=mark: outbox.note_mailed("bea", "i-1", bytes([mark] * 32), NOW + LEASE)
        for mark in range(12)
    ]
    assert in_threads(tokens) == []  # type: ignore[arg-type]
    item = mail.client.get_item(
        TableName=mail.tables.directory, Key={"pk": {"S": "USER#bea"}}, ConsistentRead=True
    )["Item"]
    bea = principal_from_item(item)
    assert isinstance(bea, User)
    assert bea.invitation is not None
    assert bea.invitation.digests == {f"{mark:02x}" * 32: NOW + LEASE for mark in range(12)}
    assert item["version"]["S"] == "v", "a change under way need not be made again"
