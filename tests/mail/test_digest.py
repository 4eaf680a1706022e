"""Digests: a flood of emails about one principal is folded, and nobody is left untold of anything."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.mail import notify as notify_module
from chalicelib.mail.fairness import FOLDED, Share
from chalicelib.rules import folding
from chalicelib.rules.model import Action, Actor, Audience, Change, Event, KeyChange, Kind, Subject
from chalicelib.rules.notifications import FIRST_PAUSE, HELD_SHARDS, LEASE, MAX_PAUSE
from chalicelib.rules.roles import KeyType
from chalicelib.store.trail import event_item
from tests.support.mail import (
    BEA,
    Faults,
    Killed,
    MailFixture,
    Refusing,
    SmallPages,
    generated,
    revoked,
    ses_error,
)

NOW = 1_900_000_000
BOTH = {"alice": "m-alice", "bob": "m-bob"}
ALICE_AT, BOB_AT, OWNER_AT = (f"{name}@people.example" for name in ("alice", "bob", "owner"))
HOUR = 3600


@pytest.fixture
def mail(mail: MailFixture) -> MailFixture:
    """An account Demo with the Administrators alice and bob, which folds after four emails an hour."""
    mail.demo_account("Alice", "bob")
    mail.mails_per_hour = 4
    return mail


def rotated(mail: MailFixture, **fields: Any) -> Event:
    change = KeyChange(Change.ROTATED, KeyType.MONITORING, "bbbbb", previous_last5="aaaaa")
    return mail.event(**{"action": Action.API_KEY_ROTATED, "keys": (change,), **fields})


def flood(mail: MailFixture, count: int, **fields: Any) -> list[Event]:
    """Rotate so many times, a second apart, each mailed as the stream brings it."""
    events = []
    for _ in range(count):
        events.append(rotated(mail, **fields))
        mail.notify(events[-1])
        mail.clock.forward(1)
    return events


def fail(error: Exception) -> Callable[[str], None]:
    def hook(_recipient: str) -> None:
        raise error

    return hook


def told(mail: MailFixture, events: list[Event]) -> list[set[str]]:
    return [set(mail.stored(event).get("told", {})) for event in events]


def waiting_as(mail: MailFixture, event: Event) -> str:
    return str(mail.stored(event).get("waiting", ""))


def text(mail: MailFixture, number: int = -1) -> str:
    body = mail.ses.sent[number][1].get_body(("plain",))
    return str(body.get_content())


def test_past_a_few_an_hour_emails_are_folded_into_one_that_lists_each_event(mail: MailFixture) -> None:
    events = flood(mail, 12)
    assert mail.ses.addresses == [ALICE_AT] * 4
    assert told(mail, events) == [{"alice"}] * 4 + [set()] * 8
    assert {waiting_as(mail, event) for event in events[4:]} <= set(HELD_SHARDS)
    mail.clock.at = NOW + HOUR - 1
    assert mail.resend() == {}
    mail.clock.at = NOW + HOUR
    assert mail.resend()["folded"] == 7
    assert mail.ses.addresses == [ALICE_AT] * 5
    assert mail.ses.sent[-1][1]["Subject"] == "8 changes of API keys of ci-bot (Demo)"
    first, last = (
        f"{datetime.fromtimestamp(it.at, UTC):%Y-%m-%d %H:%M:%S} UTC" for it in (events[4], events[-1])
    )
    assert f"between {first} and {last}" in " ".join(text(mail).split())
    for event in events[4:]:
        assert event.id in text(mail)
    assert not any(event.id in text(mail) for event in events[:4])
    assert told(mail, events) == [{"alice"}] * 12
    assert mail.waiting() == []
    assert mail.resend() == {}


def test_a_flood_of_more_than_can_be_counted_is_folded_too(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of it is the oldest, of which nobody was mailed in the last hour."""
    monkeypatch.setattr("chalicelib.store.outbox.MAX_READ", 10)
    flood(mail, 12)
    mail.clock.at = NOW + HOUR
    mail.resend_until_done()
    mail.clock.forward(300)
    before = len(mail.ses.sent)
    later = flood(mail, 5)
    assert len(mail.ses.sent) == before
    assert {waiting_as(mail, event) for event in later} <= set(HELD_SHARDS)
    mail.clock.forward(HOUR)
    mail.resend_until_done()
    assert len(mail.ses.sent) == before + 1
    assert told(mail, later) == [{"alice"}] * 5


def test_a_flood_of_hours_is_one_or_two_emails_an_hour(mail: MailFixture) -> None:
    events: list[Event] = []
    for _ in range(3 * 12):  # every five minutes of three hours
        events.append(rotated(mail))
        mail.notify(events[-1])
        mail.resend()
        mail.clock.forward(300)
    mail.resend_until_done()
    assert 4 + 2 <= len(mail.ses.sent) <= 4 + 2 * 4
    assert told(mail, events) == [{"alice"}] * len(events)


def test_the_end_of_a_key_and_a_change_of_rights_are_mailed_at_once(mail: MailFixture) -> None:
    flood(mail, 6)
    for action in (Action.API_KEY_REVOKED, Action.SERVICE_USER_DELETED, Action.SERVICE_USER_UPDATED):
        mail.notify(mail.event(action=action, keys=(revoked(),)))
    assert len(mail.ses.sent) == 4 + 3
    assert {action for action in Action if action in folding.FOLDED} == {
        Action.API_KEY_GENERATED,
        Action.API_KEY_ROTATED,
        Action.API_KEY_UPDATED,
    }


def test_what_the_operator_does_is_mailed_at_once(mail: MailFixture) -> None:
    """A flood must not hide for an hour that the operator let somebody into the account."""
    own: dict[str, Any] = {"administrators": {}, "audience": Audience.PERSON_AND_OWNERS, "subject": BEA}
    flood(mail, 6, **own)
    before = len(mail.ses.sent)
    event = rotated(mail, **own, actor=Actor(Kind.OPERATOR))
    mail.notify(event)
    assert "bea@people.example" in mail.ses.addresses[before:]
    assert "bea" in told(mail, [event])[0]


def test_a_flood_of_one_kind_holds_no_other_kind(mail: MailFixture) -> None:
    flood(mail, 6)
    mail.notify(mail.event(keys=(generated(),)))
    assert mail.ses.sent[-1][1]["Subject"].startswith("API key generated")


def test_a_flood_about_one_holds_nothing_about_another(mail: MailFixture) -> None:
    flood(mail, 6)
    mail.notify(rotated(mail, subject=Subject(Kind.SERVICE_USER, "other-bot")))
    assert len(mail.ses.sent) == 5


def test_emails_are_counted_for_each_recipient_by_themselves(mail: MailFixture) -> None:
    flood(mail, 5)
    event = rotated(mail, administrators=BOTH)
    mail.notify(event)
    assert mail.ses.addresses == [ALICE_AT] * 4 + [BOB_AT]
    assert told(mail, [event]) == [{"bob"}]
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert mail.ses.addresses[5:] == [ALICE_AT]
    assert told(mail, [event]) == [{"alice", "bob"}]


def test_one_run_sends_a_digest_to_every_recipient(mail: MailFixture) -> None:
    events = flood(mail, 6, administrators=BOTH)
    before = len(mail.ses.sent)
    mail.clock.at = NOW + HOUR
    counts = mail.resend()
    assert (counts["sent"], counts["folded"]) == (2, 2)
    assert "lost" not in counts
    assert sorted(mail.ses.addresses[before:]) == [ALICE_AT, BOB_AT]
    assert told(mail, events) == [{"alice", "bob"}] * 6


def test_a_person_has_a_digest_of_their_own_keys(mail: MailFixture) -> None:
    person = {"subject": BEA, "audience": Audience.PERSON, "actor": Actor(Kind.USER, "Bea")}
    flood(mail, 7, **person)
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert mail.ses.addresses == ["bea@people.example"] * 5
    assert mail.ses.sent[-1][1]["Subject"] == "3 changes of your API keys (Demo)"


@pytest.mark.parametrize("old_id", ["m-first", ""])
def test_a_namesake_shares_neither_the_count_nor_the_digest(mail: MailFixture, old_id: str) -> None:
    """A User is revoked, and invited again under the same username with another address."""
    own: dict[str, Any] = {"administrators": {}, "audience": Audience.PERSON}
    first = Subject(Kind.USER, "Bea", "", "bea@old.example", old_id)
    second = Subject(Kind.USER, "Bea", "", "bea@new.example", "m-second")
    before = flood(mail, 8, **own, subject=first)
    after = flood(mail, 5, **own, subject=second)
    assert mail.ses.addresses == ["bea@old.example"] * 4 + ["bea@new.example"] * 4
    mail.clock.at = NOW + 2 * HOUR
    mail.resend()
    assert sorted(mail.ses.addresses[8:]) == ["bea@new.example", "bea@old.example"]
    for address, message in mail.ses.sent[8:]:
        body = str(message.get_body(("plain",)).get_content())
        new = address == "bea@new.example"
        assert [it.id in body for it in (*before[4:], *after[4:])] == [not new] * 4 + [new]
    assert told(mail, [*before, *after]) == [{"bea"}] * 13


def test_one_held_event_alone_is_mailed_as_itself(mail: MailFixture) -> None:
    [*_, last] = flood(mail, 5)
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert mail.ses.sent[-1][1]["Subject"].startswith("API key rotated")
    assert told(mail, [last]) == [{"alice"}]


def test_who_is_entitled_is_judged_when_the_digest_is_sent(mail: MailFixture) -> None:
    events = flood(mail, 7, administrators=BOTH)
    mail.gone("alice")
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert mail.ses.addresses[8:] == [BOB_AT]
    assert told(mail, events[4:]) == [{"bob"}] * 3
    assert mail.waiting() == []


def test_held_events_without_recipients_wait(mail: MailFixture) -> None:
    [*_, last] = flood(mail, 5)
    mail.gone("alice")
    mail.gone("owner")
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert len(mail.ses.sent) == 4
    assert mail.stored(last)["dueAt"] > NOW + HOUR
    assert waiting_as(mail, last) not in HELD_SHARDS


def test_a_digest_that_fails_waits_as_any_email_and_is_counted_as_late(mail: MailFixture) -> None:
    events = flood(mail, 8)
    mail.clock.at = NOW + HOUR
    mail.ses.hook = fail(ses_error("SendingPausedException"))
    mail.resend()
    for event in events[4:]:
        assert NOW + HOUR < mail.stored(event)["dueAt"] <= NOW + HOUR + FIRST_PAUSE
        assert waiting_as(mail, event) not in HELD_SHARDS
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert told(mail, events) == [{"alice"}] * 8


def test_an_address_that_ses_refuses_ends_the_waiting(mail: MailFixture) -> None:
    events = flood(mail, 7)
    mail.clock.at = NOW + HOUR
    mail.ses.hook = fail(ses_error("MessageRejected", "Address blacklisted."))
    mail.resend()
    refused = dict.fromkeys(("alice", "owner"), "MessageRejected")  # the OWNER stands in for her
    assert [mail.stored(event).get("refused") for event in events[4:]] == [refused] * 3
    assert mail.waiting() == []


def test_more_than_one_digest_holds_goes_into_the_next_at_once(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_module, "MAX_EVENTS_IN_DIGEST", 5)
    events = flood(mail, 4 + 12)
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert [m["Subject"].split()[0] for _, m in mail.ses.sent[4:]] == ["5", "5", "2"]
    assert told(mail, events) == [{"alice"}] * 16


def test_doubled_records_of_held_events_change_nothing(mail: MailFixture) -> None:
    events = flood(mail, 8)
    mail.notify(*events)
    mail.notify(*events)
    assert len(mail.ses.sent) == 4
    mail.clock.at = NOW + HOUR
    mail.resend()
    mail.notify(*events)
    assert len(mail.ses.sent) == 5


def test_two_concurrent_mailers_send_one_digest(mail: MailFixture) -> None:
    events = flood(mail, 8)
    mail.clock.at = NOW + HOUR

    def beside(_recipient: str) -> None:
        mail.ses.hook = lambda _: None
        mail.resend()
        mail.notify(*events)

    mail.ses.hook = beside
    mail.resend()
    assert len(mail.ses.sent) == 5


def test_a_lease_that_ends_within_a_digest_mails_twice_at_most(mail: MailFixture) -> None:
    events = flood(mail, 8, administrators=BOTH)
    mail.clock.at = NOW + HOUR

    def freeze(_recipient: str) -> None:
        mail.ses.hook = lambda _: None
        mail.clock.forward(LEASE + 1)
        mail.resend()

    mail.ses.hook = freeze
    mail.resend()
    mail.resend_until_done()
    assert told(mail, events) == [{"alice", "bob"}] * 8
    assert all(mail.ses.addresses[8:].count(who) <= 5 for who in (ALICE_AT, BOB_AT))


def test_time_that_runs_out_within_a_digest_leaves_the_rest_due(mail: MailFixture) -> None:
    events = flood(mail, 8, administrators=BOTH)
    mail.clock.at = NOW + HOUR
    mail.remaining_ms = lambda: 600_000 if len(mail.ses.sent) < 9 else 0
    mail.resend()
    assert told(mail, events[4:]) == [{"alice"}] * 4
    mail.remaining_ms = lambda: 600_000
    mail.resend_until_done()
    assert told(mail, events) == [{"alice", "bob"}] * 8


def make_unreadable(mail: MailFixture, event: Event) -> None:
    mail.client.update_item(
        TableName=mail.tables.events,
        Key={"account": {"S": "acme"}, "id": {"S": event.id}},
        UpdateExpression="SET audience = :new",
        ExpressionAttributeValues={":new": {"S": "OF_A_LATER_VERSION"}},
    )


def hold_in(mail: MailFixture, event: Event, shard: str) -> None:
    """Move a held event to another shard: which one it is in, its random id decides."""
    mail.client.update_item(
        TableName=mail.tables.events,
        Key={"account": {"S": "acme"}, "id": {"S": event.id}},
        UpdateExpression="SET waiting = :shard",
        ExpressionAttributeValues={":shard": {"S": shard}},
    )


@pytest.mark.parametrize(
    ("shard", "others"),
    [pytest.param(*HELD_SHARDS, id="read first"), pytest.param(*HELD_SHARDS[::-1], id="read last")],
)
def test_an_event_of_a_digest_that_cannot_be_read_does_not_hold_up_the_others(
    mail: MailFixture, shard: str, others: str
) -> None:
    events = flood(mail, 8)
    make_unreadable(mail, events[-1])
    for event in events[4:]:
        hold_in(mail, event, shard if event is events[-1] else others)
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert told(mail, events[4:]) == [{"alice"}] * 3 + [set()]
    assert mail.stored(events[-1])["dueAt"] == NOW + HOUR + MAX_PAUSE


def test_a_held_event_that_cannot_be_read_waits_and_stops_no_run(mail: MailFixture) -> None:
    [*_, last] = flood(mail, 5)
    make_unreadable(mail, last)
    mail.clock.at = NOW + HOUR
    assert mail.resend()["broken"] == 1
    assert len(mail.ses.sent) == 4
    assert mail.stored(last)["dueAt"] == NOW + HOUR + MAX_PAUSE


def mailed(mail: MailFixture, events: list[Event]) -> list[int]:
    """In how many messages each event is."""
    texts = [text(mail, number) for number in range(len(mail.ses.sent))]
    return [sum(event.id in one for one in texts) for event in events]


def test_dynamodb_failing_while_a_digest_is_gathered_is_no_broken_event(mail: MailFixture) -> None:
    events = flood(mail, 8)
    mail.clock.at = NOW + HOUR
    updates: list[int] = []

    def second_update(number: int, operation: str) -> str:
        if operation == "update_item":
            updates.append(number)
        return "throttled" if len(updates) == 2 and updates[-1] == number else ""

    mail.outbox_client = Faults(second_update).wrap(mail.client)
    counts = mail.resend()
    assert counts["store_failed"] == 1
    assert "broken" not in counts
    mail.outbox_client = None
    mail.resend_until_done()
    assert told(mail, events) == [{"alice"}] * 8
    assert mailed(mail, events) == [1] * 8


def test_a_held_event_whose_claim_is_refused_ends_no_digest(mail: MailFixture) -> None:
    events = flood(mail, 8)
    mail.clock.at = NOW + HOUR
    mail.outbox_client = Refusing(mail, "AccessDeniedException", {events[-1].id}, (1, 2, 3, 4))
    counts = mail.resend()
    assert told(mail, events) == [{"alice"}] * 7 + [set()]
    assert counts["broken"] >= 1
    assert "store_failed" not in counts


def test_what_is_held_in_no_accounts_partition_ends_no_digest(mail: MailFixture) -> None:
    events = flood(mail, 8)
    forged = {**event_item(events[0], 400), "account": {"S": "PUBLISH#0"}, "waiting": {"S": HELD_SHARDS[0]}}
    mail.client.put_item(TableName=mail.tables.events, Item={**forged, "dueAt": {"N": "1"}})
    mail.outbox_client = Refusing(mail, "AccessDeniedException", {events[0].id}, (1, 2, 3, 4))
    mail.clock.at = NOW + HOUR
    counts = mail.resend()
    assert told(mail, events) == [{"alice"}] * 8
    assert "broken" not in counts


def test_what_another_run_takes_while_a_digest_is_gathered_is_mailed_once(mail: MailFixture) -> None:
    events = flood(mail, 8)
    mail.clock.at = NOW + HOUR
    updates: list[int] = []

    def beside(number: int, operation: str) -> str:
        if operation == "update_item":
            updates.append(number)
            if len(updates) == 2:  # the first event is claimed, and the others are known but not claimed yet
                mail.outbox_client = None
                assert mail.resend()["folded"] == 2
        return ""

    mail.outbox_client = Faults(beside).wrap(mail.client)
    assert mail.resend()["skipped"] >= 3
    assert len(mail.ses.sent) == 4 + 2
    assert told(mail, events) == [{"alice"}] * 8
    assert mailed(mail, events) == [1] * 8


@pytest.mark.parametrize("size", [1, 3])
def test_events_are_found_however_many_pages_they_are_in(mail: MailFixture, size: int) -> None:
    paged = mail.outbox_client = SmallPages(mail.client, size)
    events = flood(mail, 9)
    assert told(mail, events) == [{"alice"}] * 4 + [set()] * 5, "what was mailed is counted over all pages"
    mail.clock.at = NOW + HOUR
    assert mail.resend()["folded"] == 4
    assert mail.ses.sent[-1][1]["Subject"] == "5 changes of API keys of ci-bot (Demo)"
    assert mailed(mail, events) == [1] * 9
    assert paged.pages > 9


def test_no_more_pages_are_read_than_a_digest_holds(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = flood(mail, 12)
    monkeypatch.setattr(notify_module, "MAX_EVENTS_IN_DIGEST", 4)
    paged = mail.outbox_client = SmallPages(mail.client, 2)
    outbox = mail.mailer.outbox
    mine = [event.id for event in events]
    assert [key.id for key in outbox.held(events[4], 3)] == mine[4:7]
    assert paged.pages == 4, "two of what is done, and two with the four first that are held"
    mail.clock.at = NOW + HOUR
    mail.resend()
    assert [message["Subject"].split()[0] for _, message in mail.ses.sent[4:]] == ["4", "4"]
    assert mailed(mail, events) == [1] * 12


@pytest.mark.parametrize("fault", ["kill before", "kill after"])
def test_killed_at_every_aws_call_of_a_digest_in_turn(mail: MailFixture, fault: str) -> None:
    """However it crashes, everybody is notified of everything, and nobody of anything more than twice."""
    mail.mails_per_hour = 1
    number = 0
    while True:
        number += 1
        mail.clock.at = NOW + number * 100_000
        mail.outbox_client = None
        events = flood(mail, 3, administrators=BOTH)
        mail.clock.forward(HOUR)
        before = len(mail.ses.sent)
        faults = Faults(lambda call, _, number=number: fault if call == number else "")
        mail.outbox_client = faults.wrap(mail.client)
        died = False
        try:
            mail.resend()
        except Killed:
            died = True
        mail.outbox_client = None
        mail.resend_until_done()
        assert told(mail, events) == [{"alice", "bob"}] * 3
        for event in events[1:]:
            for who in (ALICE_AT, BOB_AT):
                copies = sum(
                    event.id in str(m.get_body(("plain",)).get_content())
                    for to, m in mail.ses.sent[before:]
                    if to == who
                )
                assert 1 <= copies <= 2
        if not died:
            return


@pytest.mark.parametrize(
    ("told", "until"),
    [
        ((), None),
        ((NOW, NOW, NOW), None),
        ((NOW, NOW, NOW, NOW), NOW + HOUR),
        ((NOW - 10, NOW - 20, NOW - 30, NOW - 40, NOW - 50), NOW - 40 + HOUR),
        ((NOW - HOUR, NOW, NOW, NOW), None),
        ((NOW - HOUR + 1, NOW, NOW, NOW), NOW + 1),
    ],
)
def test_until_when_an_email_is_held(told: tuple[int, ...], until: int | None) -> None:
    assert folding.held_until(told, 4, NOW) == until


def changed(mail: MailFixture, **changes: tuple[str, str]) -> Event:
    key = KeyChange(Change.UPDATED, KeyType.MONITORING, "aaaaa")
    return mail.event(action=Action.API_KEY_UPDATED, keys=(key,), changes=changes)


@pytest.mark.parametrize(
    ("changes", "at_once"),
    [
        ({"allowedNetworks": ("203.0.113.0/24", "203.0.113.0/24 198.51.100.7/32")}, True),
        ({"allowedNetworks": ("203.0.113.0/24", "")}, True),
        ({"allowedNetworks": ("203.0.113.0/24", "203.0.112.0/23")}, True),
        ({"expiresAt": ("1900000000", "")}, True),
        ({"expiresAt": ("1900000000", "1900000001")}, True),
        ({"allowedNetworks": ("", "203.0.113.0/24"), "expiresAt": ("1900000000", "")}, True),
        ({"allowedNetworks": ("203.0.113.0/24", "203.0.113.0/25")}, False),
        ({"allowedNetworks": ("", "203.0.113.0/24")}, False),
        ({"expiresAt": ("", "1900000000")}, False),
        ({"expiresAt": ("1900000001", "1900000000")}, False),
    ],
)
def test_a_loosened_key_is_mailed_at_once_however_many_changes_were(
    mail: MailFixture, changes: dict[str, tuple[str, str]], at_once: bool
) -> None:
    for _ in range(4):
        mail.notify(changed(mail, expiresAt=("", "1900000000")))
    event = changed(mail, **changes)
    mail.notify(event)
    assert len(mail.ses.sent) == 4 + at_once
    assert told(mail, [event]) == [{"alice"} if at_once else set()]


def test_a_flood_that_uses_up_the_share_of_digests_holds_no_loosened_key(mail: MailFixture) -> None:
    """The share is counted from what the stream says of an event, before it is read."""
    share = Share(most=4)
    flood(mail, 4)
    mail.share = share
    for _ in range(4):
        share.spend("acme", mail.clock(), FOLDED)
    left, event = rotated(mail), changed(mail, allowedNetworks=("203.0.113.0/24", ""))
    for one in (left, event):
        mail.notify(one)
    assert told(mail, [left, event]) == [set(), {"alice"}]


def test_an_event_that_is_held_from_the_start_is_left_to_resend(mail: MailFixture) -> None:
    held = mail.event(action=Action.API_KEY_REVOKED, keys=(revoked(),), due_at=NOW + 2 * HOUR)
    assert waiting_as(mail, held) in HELD_SHARDS
    mail.notify(held)
    mail.clock.at = NOW + 2 * HOUR - 1
    assert mail.resend() == {}
    assert mail.ses.addresses == []
    mail.clock.at = NOW + 2 * HOUR
    mail.resend()
    assert mail.ses.addresses == [ALICE_AT]
    assert mail.waiting() == []


def test_a_held_revocation_is_in_no_digest(mail: MailFixture) -> None:
    """A digest is for routine events; the email of a revocation says what to do about it."""
    held = mail.event(action=Action.API_KEY_REVOKED, keys=(revoked(),), due_at=NOW + 2 * HOUR)
    flood(mail, 6)
    mail.clock.at = NOW + 2 * HOUR
    mail.resend()
    subjects = [str(message["Subject"]) for _, message in mail.ses.sent[4:]]
    assert sorted(subjects) == [
        "2 changes of API keys of ci-bot (Demo)",
        "API key revoked: MONITORING …7ac6a for ci-bot (Demo)",
    ]
    assert told(mail, [held]) == [{"alice"}]
