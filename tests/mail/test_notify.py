"""Telling people: who is told, what waits, and what is asked of AWS for it."""

import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from msgspec.structs import replace

from chalicelib.mail import mime
from chalicelib.mail import notify as notify_module
from chalicelib.mail.notify import CACHE_SECONDS, MARGIN_MS, MAX_FAILURES_IN_A_ROW
from chalicelib.rules import key_format, notifications
from chalicelib.rules.model import Action, Actor, Audience, Enrolment, Event, Invitation, Kind, Subject
from chalicelib.rules.notifications import ASIDE, FIRST_PAUSE, LEASE, MAX_PAUSE, EventKey, retry_delay
from chalicelib.rules.passkeys import CODE_SECONDS
from chalicelib.rules.roles import Role
from chalicelib.store.principals import principal_from_item
from chalicelib.store.trail import event_item
from tests.support.catalogue import LABELS
from tests.support.mail import (
    BEA,
    CI_BOT,
    SENDER,
    Faults,
    MailFixture,
    Refusing,
    make_event,
    record,
    revoked,
    ses_error,
)

NOW = 1_900_000_000
BOTH = {"alice": "m-alice", "bob": "m-bob"}
ALICE_AT, BOB_AT, OWNER_AT = (f"{name}@people.example" for name in ("alice", "bob", "owner"))


@pytest.fixture
def mail(mail: MailFixture) -> MailFixture:
    """An account Demo with the OWNER owner and the Cluster Admins Alice and bob."""
    mail.demo_account("Alice", "bob")
    return mail


def fail(error: Exception, *recipients: str) -> Callable[[str], None]:
    """A hook that lets SES fail, for some recipients or for all."""

    def hook(recipient: str) -> None:
        if not recipients or recipient in recipients:
            raise error

    return hook


# Who is told


def test_every_administrator_gets_one_email_of_their_own(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    assert mail.notify(event) == []
    assert sorted(mail.ses.addresses) == [ALICE_AT, BOB_AT]
    for to, message in mail.ses.sent:
        assert message["To"] == to
        assert message["From"] == f"Service Users <{SENDER}>"
        assert message["Subject"] == "API key generated: MONITORING …7ac6a for ci-bot (Demo)"
    stored = mail.stored(event)
    assert stored["told"] == {"alice": NOW, "bob": NOW}
    assert not {"waiting", "dueAt"} & stored.keys()
    assert mail.resend() == {}


def test_records_passed_again_are_not_mailed_again(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    assert mail.notify(event, event) == []
    assert mail.notify(event) == []
    mail.clock.forward(LEASE + 1)
    assert mail.notify(event) == []
    assert mail.ses.calls == 2


def test_only_recipients_who_are_entitled_now_are_mailed(mail: MailFixture) -> None:
    mail.user("lowered", Role.READ_ONLY)
    mail.user("returned", membership="m-second")
    mail.user("moved", account="other")
    mail.machine("worker")
    links = {
        name: f"m-{name}" for name in ("alice", "bob", "lowered", "returned", "moved", "worker", "nobody")
    }
    mail.gone("bob")
    mail.notify(mail.event(administrators=links))
    assert mail.ses.addresses == [ALICE_AT]


def test_an_owner_may_be_an_administrator(mail: MailFixture) -> None:
    mail.notify(mail.event(administrators={"owner": "m-owner"}))
    [(to, message)] = mail.ses.sent
    assert to == OWNER_AT
    assert "as an Administrator" in str(message.get_body(("plain",)))


def test_owners_are_mailed_where_no_administrator_is_left(mail: MailFixture) -> None:
    mail.account("acme", "Demo", owner="m-owner", second="m-second", former="m-former", low="m-low")
    mail.user("second", Role.OWNER)
    mail.user("former", Role.OWNER, membership="another")
    mail.user("low", Role.CLUSTER_ADMIN)
    mail.gone("alice")
    mail.notify(mail.event())
    assert sorted(mail.ses.addresses) == [OWNER_AT, "second@people.example"]
    assert "no Administrator of ci-bot" in mail.ses.sent[0][1].get_body(("plain",)).get_content()


def test_administrators_and_every_owner_are_mailed_once_about_a_leaked_key(mail: MailFixture) -> None:
    mail.account("acme", "Demo", owner="m-owner", second="m-second", alice="m-alice")
    mail.user("second", Role.OWNER)
    event = mail.event(
        action=Action.API_KEY_LEAKED,
        actor=Actor(Kind.LEAK_REPORT),
        keys=(revoked(),),
        audience=Audience.ADMINISTRATORS_AND_OWNERS,
    )
    mail.notify(event)
    assert sorted(mail.ses.addresses) == sorted([ALICE_AT, OWNER_AT, "second@people.example"])
    assert "dueAt" not in mail.stored(event)


def test_a_deleted_service_users_administrators_are_mailed(mail: MailFixture) -> None:
    event = mail.event(action=Action.SERVICE_USER_DELETED, keys=(revoked(), revoked("bbbbb")))
    mail.notify(event)
    assert mail.ses.addresses == [ALICE_AT]


def test_a_user_is_mailed_at_the_address_they_had(mail: MailFixture) -> None:
    event = mail.event(action=Action.USER_REVOKED, subject=BEA, keys=(revoked(),), audience=Audience.PERSON)
    mail.notify(event)
    assert mail.ses.addresses == ["bea@people.example"]
    assert mail.stored(event)["told"] == {"bea": NOW}


def test_each_account_is_mailed_only_about_itself(mail: MailFixture) -> None:
    mail.account("other", "Elsewhere", boss="m-boss")
    mail.user("boss", Role.OWNER, account="other")
    here, there = mail.event(), mail.event(account="other", administrators={"boss": "m-boss"})
    mail.notify(here, there)
    assert mail.ses.told() == {(here.id, ALICE_AT): 1, (there.id, "boss@people.example"): 1}
    assert "(Elsewhere)" in mail.ses.sent[1][1]["Subject"]


def test_entitlement_is_judged_before_each_message(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)

    def revoke_bob(recipient: str) -> None:
        if recipient == ALICE_AT:
            mail.gone("bob")
            mail.clock.forward(CACHE_SECONDS + 1)

    mail.ses.hook = revoke_bob
    mail.notify(event)
    assert mail.ses.addresses == [ALICE_AT]
    assert "waiting" not in mail.stored(event)


def test_what_was_read_is_never_older_than_the_batch(mail: MailFixture) -> None:
    mail.notify(mail.event())
    mail.gone("alice")
    mail.notify(mail.event())
    assert mail.ses.addresses == [ALICE_AT, OWNER_AT]


def test_what_was_read_is_never_older_than_the_chunk(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_module, "CHUNK", 1)
    for _ in range(2):
        mail.event()
    mail.ses.hook = lambda _: mail.gone("alice")
    mail.resend()
    assert mail.ses.addresses == [ALICE_AT, OWNER_AT]


def test_an_event_without_recipients_waits_for_one(
    mail: MailFixture, caplog: pytest.LogCaptureFixture
) -> None:
    mail.gone("alice")
    mail.gone("owner")
    lonely = mail.event()
    unknown = mail.event(account="unknown")
    mail.notify(lonely, unknown)
    assert mail.ses.calls == 0
    assert [line.message for line in caplog.records].count("An event has no recipient") == 2
    mail.user("owner", Role.OWNER)
    mail.clock.forward(FIRST_PAUSE)
    mail.resend()
    assert mail.ses.addresses == [OWNER_AT]
    assert mail.stored(unknown)["attempts"] == 2


@pytest.mark.parametrize(
    "fields", [{"audience": Audience.NOBODY}, {"action": Action.API_KEY_REFUSED}, {"keys": ()}]
)
def test_an_event_that_notifies_nobody_is_finished(mail: MailFixture, fields: dict[str, Any]) -> None:
    event = mail.event(**fields)
    assert mail.notify(event) == []
    assert mail.ses.calls == 0
    assert "waiting" not in mail.stored(event)


@pytest.mark.parametrize("name", ["MODIFY", "REMOVE"])
def test_only_new_events_are_taken_from_the_stream(mail: MailFixture, name: str) -> None:
    event = mail.event()
    assert mail.notify_records([record(event, name)]) == []
    assert mail.ses.calls == 0


def test_an_event_that_notifies_nobody_makes_no_call(mail: MailFixture) -> None:
    quiet = mail.event(due_at=None, audience=Audience.NOBODY)
    faults = Faults(lambda *_: "")
    mail.outbox_client = faults.wrap(mail.client)
    mail.notify(quiet)
    assert faults.calls == 0


def test_a_record_without_an_image_is_good_enough(mail: MailFixture) -> None:
    event = mail.event()
    bare = record(event)
    del bare["dynamodb"]["NewImage"]
    mail.notify_records([bare])
    assert mail.ses.addresses == [ALICE_AT]


ODD = "=?utf-8?q?x?=@people.example"


def test_an_address_that_looks_like_an_encoded_word_is_mailed_as_it_is(mail: MailFixture) -> None:
    """The standard library takes it for one, and refuses it."""
    mail.user("Aaa", email=ODD)
    raw: list[bytes] = []
    taken = mail.ses.send_email

    def send_email(**asked: Any) -> Any:
        if asked["Destination"]["ToAddresses"] == [ODD]:
            raw.append(asked["Content"]["Raw"]["Data"])
            return {}
        return taken(**asked)

    mail.ses.send_email = send_email
    mail.notify(mail.event(administrators={"aaa": "m-aaa", "alice": "m-alice"}))
    assert [line for line in raw[0].split(b"\r\n") if line.startswith(b"To:")] == [f"To: {ODD}".encode()]
    assert mail.ses.addresses == [ALICE_AT]
    assert not mail.waiting()


def test_who_cannot_be_written_to_does_not_hold_up_the_others(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail.user("Aaa")
    made = mime.message

    def message(event: Event, recipient: Any, setting: Any, more: tuple[Event, ...]) -> Any:
        if recipient.name == "aaa":
            raise ValueError("no words for this")
        return made(event, recipient, setting, more)

    monkeypatch.setattr(mime, "message", message)
    event = mail.event(administrators={"aaa": "m-aaa", "alice": "m-alice"})
    mail.notify(event)
    assert mail.ses.addresses == [ALICE_AT]
    mail.clock.at = mail.stored(event)["dueAt"]
    assert mail.resend()["broken"] == 1
    monkeypatch.setattr(mime, "message", made)
    mail.resend_until_done()
    assert sorted(mail.ses.addresses) == ["aaa@people.example", ALICE_AT]


# Invitations


def invitation(mail: MailFixture, id_: str = "i-1", **fields: Any) -> Any:
    usual = {"subject": BEA, "keys": (), "audience": Audience.PERSON, "administrators": {}}
    return mail.event(**{"action": Action.USER_INVITED, "invitation": id_, **usual, **fields})


def token_of(message: Any) -> str:
    [token] = set(re.findall(key_format.PATTERN, message.get_body(("plain",)).get_content()))
    return str(token)


def digests(mail: MailFixture, of: str = "invitation") -> dict[str, int]:
    item = mail.client.get_item(
        TableName=mail.tables.directory, Key={"pk": {"S": "USER#bea"}}, ConsistentRead=True
    )["Item"]
    request = getattr(principal_from_item(item), of)
    assert request is not None
    found: dict[str, int] = request.digests
    return found


def test_an_invitation_carries_a_token_that_is_nowhere_else(mail: MailFixture) -> None:
    mail.user("Bea", Role.READ_ONLY, invitation=Invitation("i-1"))
    event = invitation(mail)
    mail.notify(event)
    [(to, message)] = mail.ses.sent
    assert to == "bea@people.example"
    assert (
        message["Subject"]
        == f"Service Users: Alice invites you to Demo as {LABELS['READ_ONLY']}: activate within 72 hours"
    )
    token = token_of(message)
    assert key_format.well_formed(token, key_format.TOKEN_PREFIX)
    assert digests(mail) == {key_format.digest(token).hex(): NOW + 72 * 3600}
    assert token not in f"{mail.stored(event)}"
    assert key_format.digest(token).hex() not in f"{mail.stored(event)}"


def test_an_invitation_sent_again_leaves_the_first_token_good(mail: MailFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    event = invitation(mail)
    mail.ses.hook = fail(ses_error("TooManyRequestsException"))
    mail.notify(event)
    mail.ses.hook = lambda _: None
    mail.clock.forward(LEASE)
    mail.resend()
    assert len(digests(mail)) == 2
    assert digests(mail)[key_format.digest(token_of(mail.ses.sent[0][1])).hex()] == NOW + LEASE + 72 * 3600


def test_a_void_invitation_is_not_mailed(mail: MailFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-2"))
    events = [invitation(mail), invitation(mail, "i-3")]
    mail.notify(*events)
    assert mail.ses.calls == 0
    assert mail.waiting() == []
    assert digests(mail) == {}


def test_a_person_who_is_revoked_while_invited_is_not_mailed(mail: MailFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    event = invitation(mail)

    def revoke(_number: int, operation: str) -> str:
        if operation == "batch_get_item":
            mail.gone("bea")
        return ""

    mail.outbox_client = Faults(revoke).wrap(mail.client)
    mail.notify(event)
    assert mail.ses.calls == 0
    assert "waiting" not in mail.stored(event)


@pytest.mark.parametrize("why", ["failed", "refused"])
def test_an_invited_owner_has_one_token_though_another_owner_is_told_later(
    mail: MailFixture, why: str
) -> None:
    """Once the invited person has been notified, or cannot be, no other token is made for them."""
    mail.user("Bea", Role.OWNER, invitation=Invitation("i-1"))
    event = invitation(mail, audience=Audience.PERSON_AND_OWNERS)

    def hook(recipient: str) -> None:
        if recipient == OWNER_AT:
            raise ses_error("SendingPausedException")
        if why == "refused":
            raise ses_error("BadRequestException", "Illegal address")

    mail.ses.hook = hook
    mail.notify(event)
    first = digests(mail)
    assert len(first) == 1
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert mail.ses.addresses == [*(["bea@people.example"] if why == "failed" else []), OWNER_AT]
    assert digests(mail) == first
    assert not re.findall(key_format.PATTERN, mail.ses.sent[-1][1].get_body(("plain",)).get_content())


@pytest.mark.parametrize("audience", [Audience.PERSON, Audience.PERSON_AND_OWNERS])
def test_a_token_goes_to_the_address_in_the_directory(mail: MailFixture, audience: Audience) -> None:
    """More functions may write events than may write addresses."""
    mail.user("Bea", Role.OWNER, invitation=Invitation("i-1"))
    event = invitation(mail, audience=audience, subject=replace(BEA, email="thief@evil.example"))
    mail.notify(event)
    assert "thief@evil.example" not in mail.ses.addresses
    assert mail.ses.sent[0][0] == "bea@people.example"
    assert key_format.digest(token_of(mail.ses.sent[0][1])).hex() in digests(mail)
    for _, message in mail.ses.sent[1:]:
        assert not re.findall(key_format.PATTERN, message.as_string())


def test_a_token_is_in_no_email_but_the_persons(mail: MailFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    mail.notify(invitation(mail, audience=Audience.ADMINISTRATORS, administrators=BOTH))
    assert sorted(mail.ses.addresses) == [ALICE_AT, BOB_AT]
    for _, message in mail.ses.sent:
        assert key_format.TOKEN_PREFIX not in message.get_body(("plain",)).get_content()


def test_a_person_of_another_account_is_mailed_no_token(mail: MailFixture) -> None:
    mail.user("Bea", account="other", invitation=Invitation("i-1"))
    mail.notify(invitation(mail))
    assert mail.ses.calls == 0


def test_an_invitation_is_read_just_before_its_token_is_made(mail: MailFixture) -> None:
    """Though Bea was read a moment ago, as an Administrator who is notified of something else."""
    mail.user("Bea", invitation=Invitation("i-1"))
    first = mail.event(administrators={"bea": "m-bea"})

    def invite_again(_recipient: str) -> None:
        mail.user("Bea", invitation=Invitation("i-2"))

    mail.ses.hook = invite_again
    mail.notify(first, invitation(mail))
    assert len(mail.ses.sent) == 1
    assert digests(mail) == {}


@pytest.mark.parametrize("then", ["batch_get_item", "update_item"])
def test_whoever_goes_while_they_are_mailed_is_not_written_again(mail: MailFixture, then: str) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    event = invitation(mail)
    done: list[str] = []

    def revoke(_number: int, operation: str) -> str:
        done.append(operation)
        if operation == then and "batch_get_item" in done:
            mail.gone("bea")
        return ""

    mail.outbox_client = Faults(revoke).wrap(mail.client)
    mail.notify(event)
    assert mail.ses.calls == 0
    key = {"pk": {"S": "USER#bea"}}
    assert "Item" not in mail.client.get_item(TableName=mail.tables.directory, Key=key, ConsistentRead=True)


def test_what_an_invitation_asks_of_aws(mail: MailFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    event = invitation(mail)
    asked: list[str] = []

    def count(_number: int, operation: str) -> str:
        asked.append(operation)
        return ""

    mail.outbox_client = Faults(count).wrap(mail.client)
    mail.notify(event)
    assert asked == ["update_item", "batch_get_item", "update_item", "update_item"]


# Codes for a passkey


def code_requested(mail: MailFixture, wish: str = "e-1", *, subject: Subject = BEA) -> Event:
    return mail.event(
        action=Action.PASSKEY_CODE_REQUESTED,
        actor=Actor(Kind.USER, "Bea"),
        subject=subject,
        keys=(),
        audience=Audience.PERSON,
        invitation=wish,
    )


def code_of(message: Any) -> str:
    pattern = rf"{key_format.CODE_PREFIX}[0-9A-Za-z]{{49}}"
    [code] = set(re.findall(pattern, message.get_body(("plain",)).get_content()))
    return str(code)


def wish(id_: str = "e-1") -> Enrolment:
    return Enrolment(id=id_, key=b"a key's digest", asked_at=NOW)


def test_a_code_for_a_passkey_is_mailed_to_the_person_and_is_nowhere_else(mail: MailFixture) -> None:
    mail.user("Bea", enrolment=wish())
    event = code_requested(mail)
    assert mail.notify(event) == []
    [(to, message)] = mail.ses.sent
    assert to == "bea@people.example"
    code = code_of(message)
    assert key_format.well_formed(code, key_format.CODE_PREFIX)
    assert digests(mail, "enrolment") == {key_format.digest(code).hex(): NOW + CODE_SECONDS}
    assert code not in str(message["Subject"])
    stored = mail.stored(event)
    assert stored["told"] == {"bea": NOW}
    assert "waiting" not in stored
    assert code not in f"{stored}"
    assert key_format.digest(code).hex() not in f"{stored}"


def test_a_code_mailed_again_is_another_and_is_valid_from_then(mail: MailFixture) -> None:
    mail.user("Bea", enrolment=wish())
    event = code_requested(mail)
    mail.ses.hook = fail(ses_error("SendingPausedException"))
    mail.notify(event)
    assert len(digests(mail, "enrolment")) == 1
    mail.ses.hook = lambda _: None
    mail.clock.forward(LEASE)
    mail.resend()
    kept = digests(mail, "enrolment")
    assert len(kept) == 2
    [(_, message)] = mail.ses.sent
    assert kept[key_format.digest(code_of(message)).hex()] == NOW + LEASE + CODE_SECONDS
    assert mail.stored(event)["told"] == {"bea": NOW + LEASE}


@pytest.mark.parametrize("kept", [None, wish("e-2")])
def test_no_code_is_mailed_for_a_wish_that_is_void(mail: MailFixture, kept: Enrolment | None) -> None:
    """The person has their passkey by now, or has asked for another code."""
    mail.user("Bea", enrolment=kept)
    event = code_requested(mail)
    mail.clock.forward(1)
    assert mail.resend() == {"taken": 1, "void": 1}
    assert mail.ses.calls == 0
    stored = mail.stored(event)
    assert "waiting" not in stored
    assert not stored["told"]
    if kept:
        assert digests(mail, "enrolment") == {}


def test_no_code_is_mailed_if_the_request_is_void(mail: MailFixture) -> None:
    event = code_requested(mail)
    assert mail.notify(event) == []
    assert mail.ses.calls == 0
    assert "waiting" not in mail.stored(event)


def test_a_code_goes_to_the_address_in_the_directory(mail: MailFixture) -> None:
    mail.user("Bea", enrolment=wish())
    mail.notify(code_requested(mail, subject=replace(BEA, email="thief@evil.example")))
    assert mail.ses.addresses == ["bea@people.example"]


@pytest.mark.parametrize("kept", ["invitation", "enrolment"])
def test_an_id_of_the_other_kind_makes_neither_a_token_nor_a_code(mail: MailFixture, kept: str) -> None:
    if kept == "invitation":
        mail.user("Bea", invitation=Invitation("x-1"))
        event = code_requested(mail, "x-1")
    else:
        mail.user("Bea", enrolment=wish("x-1"))
        event = invitation(mail, "x-1")
    mail.notify(event)
    assert mail.ses.calls == 0
    assert digests(mail, kept) == {}


# Events in a partition in which they do not belong


def misplaced(mail: MailFixture, **fields: Any) -> EventKey:
    """Write an event in the partition of an account's refusals, as ``feedback`` may; return its key."""
    made = make_event(
        **{"at": NOW, "subject": replace(BEA, email="stranger@victim.example"), "keys": (), **fields}
    )
    key = EventKey(f"{ASIDE}{made.account}", made.id)
    item = {**event_item(made, 400), "account": {"S": key.partition}}
    mail.client.put_item(TableName=mail.tables.events, Item=item)
    return key


def is_pending(mail: MailFixture, key: EventKey) -> bool:
    item = mail.client.get_item(
        TableName=mail.tables.events,
        Key={"account": {"S": key.partition}, "id": {"S": key.id}},
        ConsistentRead=True,
    )["Item"]
    return "waiting" in item


FORGED: dict[str, dict[str, Any]] = {
    "suspended": {"action": Action.USER_SUSPENDED, "audience": Audience.PERSON_AND_OWNERS},
    "revoked": {"action": Action.USER_REVOKED, "audience": Audience.PERSON},
    "activated": {
        "action": Action.USER_ACTIVATED,
        "audience": Audience.PERSON_AND_OWNERS,
        "changes": {"role": ("", "OWNER")},
    },
    "rotated": {"action": Action.API_KEY_ROTATED, "keys": (revoked(),), "administrators": BOTH},
    "refused": {"action": Action.API_KEY_REFUSED, "audience": Audience.OWNERS, "keys": (revoked(),)},
    "bounced, to a stranger": {"action": Action.EMAIL_BOUNCED, "audience": Audience.PERSON},
    "bounced, to all": {"action": Action.EMAIL_COMPLAINT, "audience": Audience.PERSON_AND_OWNERS},
}


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("what", FORGED)
def test_an_event_is_mailed_only_from_the_partition_of_its_action(
    mail: MailFixture, caplog: pytest.LogCaptureFixture, what: str, *, held: bool
) -> None:
    """The functions that write about refusals and failing addresses can have no other email sent."""
    caplog.set_level(logging.INFO)
    key = misplaced(mail, **FORGED[what], due_at=NOW + 60 * held)
    mail.clock.forward(60)
    assert mail.resend() == {"taken": 1, "misplaced": 1}
    assert mail.ses.calls == 0
    assert not is_pending(mail, key)
    [line] = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert (line.levelname, line.message) == (
        "ERROR",
        "An event does not belong in its partition; nobody is mailed",
    )
    assert not any("OWNERs change" in it.message or hasattr(it, "ownerUnreachable") for it in caplog.records)


def test_a_digest_takes_no_event_from_a_partition_in_which_it_does_not_belong(mail: MailFixture) -> None:
    fields: dict[str, Any] = {
        "action": Action.API_KEY_ROTATED,
        "subject": CI_BOT,
        "keys": (revoked(),),
        "administrators": {"alice": "m-alice"},
    }
    first = mail.event(**fields, due_at=NOW + 60)
    forged = [misplaced(mail, **fields, due_at=NOW + seconds) for seconds in (61, 90)]
    mail.clock.forward(60)
    mail.resend()
    [(_, message)] = mail.ses.sent
    assert mail.stored(first)["told"] == {"alice": NOW + 60}
    assert not any(is_pending(mail, key) for key in forged)
    assert forged[0].id not in message.as_string()


def test_a_failing_address_in_the_partition_of_the_account_is_not_mailed(mail: MailFixture) -> None:
    made = make_event(
        at=NOW, action=Action.EMAIL_BOUNCED, subject=BEA, keys=(), audience=Audience.OWNERS, due_at=NOW
    )
    mail.client.put_item(
        TableName=mail.tables.events, Item={**event_item(made, 400), "account": {"S": made.account}}
    )
    assert mail.resend() == {"taken": 1, "misplaced": 1}
    assert not is_pending(mail, EventKey(made.account, made.id))


def test_the_owners_are_mailed_about_a_failing_address(mail: MailFixture) -> None:
    mail.event(action=Action.EMAIL_BOUNCED, subject=BEA, keys=(), audience=Audience.OWNERS)
    mail.resend()
    assert mail.ses.addresses == [OWNER_AT]


# What fails waits


@pytest.mark.parametrize(
    "error",
    [
        ses_error("TooManyRequestsException", "Maximum sending rate exceeded."),
        ses_error("AccountSuspendedException"),
        ses_error("SendingPausedException"),
        ses_error("MessageRejected", "Email address is not verified."),
        EndpointConnectionError(endpoint_url="https://ses.example"),
    ],
)
def test_what_ses_does_not_take_waits_and_is_no_failure_of_the_batch(
    mail: MailFixture, error: Exception
) -> None:
    event = mail.event(administrators=BOTH)
    mail.ses.hook = fail(error, ALICE_AT)
    assert mail.notify(event) == []
    assert mail.ses.addresses == [BOB_AT]
    stored = mail.stored(event)
    assert stored["told"] == {"bob": NOW}
    assert stored["dueAt"] == NOW + retry_delay(1, 0.5)
    mail.ses.hook = lambda _: None
    mail.clock.forward(retry_delay(1, 0.5) - 1)
    assert mail.resend() == {}
    mail.clock.forward(1)
    mail.resend()
    assert mail.ses.addresses == [BOB_AT, ALICE_AT]
    assert "waiting" not in mail.stored(event)


def test_an_event_stays_pending_if_only_the_last_recipient_fails(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    mail.ses.hook = fail(ses_error("TooManyRequestsException"), BOB_AT)
    mail.notify(event)
    assert mail.stored(event)["told"] == {"alice": NOW}
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert mail.ses.addresses == [ALICE_AT, BOB_AT]


def test_pauses_grow_to_six_hours(mail: MailFixture) -> None:
    event = mail.event()
    mail.ses.hook = fail(ses_error("SendingPausedException"))
    mail.notify(event)
    pauses = []
    for _ in range(14):
        due = mail.stored(event)["dueAt"]
        pauses.append(due - int(mail.clock.at))
        mail.clock.at = due
        mail.resend()
    assert pauses == sorted(pauses)
    assert pauses[0] == retry_delay(1, 0.5) < FIRST_PAUSE
    assert pauses[1] >= 1.9 * pauses[0]
    assert MAX_PAUSE * 0.75 <= pauses[-1] <= MAX_PAUSE


@pytest.mark.parametrize("attempts", [0, 1, 2, 5, 9, 10, 100, 10_000])
def test_pauses_are_spread_and_bounded(attempts: int) -> None:
    least, most = retry_delay(attempts, 0.0), retry_delay(attempts, 0.999_999)
    full = min(MAX_PAUSE, FIRST_PAUSE * 2 ** (max(attempts, 1) - 1))
    assert 0.75 * full - 1 < least < most <= full


def test_an_address_ses_refuses_is_on_record_and_blocks_nobody(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    mail.ses.hook = fail(ses_error("BadRequestException", "Illegal address"), ALICE_AT)
    assert mail.notify(event) == []
    stored = mail.stored(event)
    assert stored["refused"] == {"alice": "BadRequestException"}
    assert stored["told"] == {"bob": NOW}
    assert "waiting" not in stored


def test_a_refused_address_is_not_tried_again(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    illegal, throttled = ses_error("BadRequestException", "Illegal address"), ses_error("ThrottlingException")

    def hook(recipient: str) -> None:
        raise illegal if recipient == ALICE_AT else throttled

    mail.ses.hook = hook
    mail.notify(event)
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert mail.ses.addresses == [BOB_AT]


def test_the_last_address_refused_ends_the_waiting(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    mail.ses.hook = fail(ses_error("MessageRejected", "Address blacklisted."), BOB_AT)
    mail.notify(event)
    assert mail.stored(event)["refused"] == {"bob": "MessageRejected"}
    assert "waiting" not in mail.stored(event)


def test_what_is_no_address_is_never_asked_of_ses(mail: MailFixture) -> None:
    mail.user("bob", email="bob@people.example\r\nBcc: everybody@evil.example")
    event = mail.event(administrators=BOTH)
    mail.notify(event)
    assert mail.ses.addresses == [ALICE_AT]
    assert mail.stored(event)["refused"] == {"bob": "NotAnAddress"}


def test_ses_down_is_asked_a_few_times_and_not_for_every_event(mail: MailFixture) -> None:
    events = [mail.event() for _ in range(10)]
    mail.ses.hook = fail(ses_error("AccountSuspendedException"))
    assert mail.notify(*events) == []
    assert mail.ses.calls == MAX_FAILURES_IN_A_ROW
    assert len(mail.waiting()) == 10
    mail.ses.hook = lambda _: None
    assert mail.resend()["sent"] == 10 - MAX_FAILURES_IN_A_ROW, "those not tried are due at once"
    mail.resend_until_done()
    assert sorted(mail.ses.told().values()) == [1] * 10


def test_unverified_recipients_do_not_stop_the_run(mail: MailFixture) -> None:
    events = [mail.event(administrators=BOTH) for _ in range(10)]
    mail.ses.hook = fail(ses_error("MessageRejected", "Email address is not verified."), ALICE_AT)
    mail.notify(*events)
    assert mail.ses.addresses == [BOB_AT] * 10


def test_a_success_between_failures_lets_the_run_go_on(mail: MailFixture) -> None:
    events = [mail.event(administrators=BOTH) for _ in range(10)]
    mail.ses.hook = fail(ses_error("TooManyRequestsException"), ALICE_AT)
    mail.notify(*events)
    assert mail.ses.addresses == [BOB_AT] * 10


def test_a_run_stopped_within_an_event_leaves_the_rest_of_it_waiting(mail: MailFixture) -> None:
    for number in range(5):
        mail.user(f"admin{number}")
    event = mail.event(administrators={f"admin{number}": f"m-admin{number}" for number in range(5)})
    mail.ses.hook = fail(ses_error("AccountSuspendedException"))
    mail.notify(event)
    assert mail.ses.calls == MAX_FAILURES_IN_A_ROW
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert len(mail.ses.told()) == 5


# DynamoDB fails


def test_a_claim_that_fails_is_a_failure_of_its_record_alone(mail: MailFixture) -> None:
    first, second, third = (mail.event() for _ in range(3))
    mail.outbox_client = Faults(lambda call, _: "throttled" if call == 1 else "").wrap(mail.client)
    assert mail.notify(first, second, third) == [str(int(first.id, 16))]
    assert {id_ for id_, _ in mail.ses.told()} == {second.id, third.id}
    assert mail.notify(first, second, third) == []
    assert sorted(mail.ses.told().values()) == [1, 1, 1]


@pytest.mark.parametrize("call", [2, 3])
def test_a_read_or_a_mark_that_fails_is_a_failure_of_its_record(mail: MailFixture, call: int) -> None:
    event = mail.event()
    mail.outbox_client = Faults(lambda number, _: "throttled" if number == call else "").wrap(mail.client)
    assert mail.notify(event) == [str(int(event.id, 16))]
    mail.resend_until_done()
    assert mail.ses.told() == {(event.id, ALICE_AT): 2 if call == 3 else 1}


def test_dynamodb_down_fails_the_batch_without_asking_for_every_event(mail: MailFixture) -> None:
    events = [mail.event() for _ in range(10)]
    faults = Faults(lambda *_: "throttled")
    mail.outbox_client = faults.wrap(mail.client)
    assert mail.notify(*events) == [str(int(event.id, 16)) for event in events]
    assert faults.calls == MAX_FAILURES_IN_A_ROW
    assert mail.ses.calls == 0


def test_failures_here_and_there_do_not_stop_the_run(mail: MailFixture) -> None:
    events = [mail.event() for _ in range(8)]
    claims = Counter[str]()

    def every_other_claim(_number: int, operation: str) -> str:
        claims[operation] += operation == "update_item"
        return "throttled" if claims["update_item"] % 3 == 1 and operation == "update_item" else ""

    mail.outbox_client = Faults(every_other_claim).wrap(mail.client)
    assert len(mail.notify(*events)) == 4
    assert mail.ses.calls == 4


def test_resend_says_when_the_index_cannot_be_read(mail: MailFixture) -> None:
    mail.event()
    mail.outbox_client = Faults(lambda *_: "throttled").wrap(mail.client)
    with pytest.raises(Exception, match="Throttling"):
        mail.resend()


def test_a_shard_that_cannot_be_read_does_not_hold_up_the_others(mail: MailFixture) -> None:
    events = [mail.event() for _ in range(40)]
    queries = Counter[str]()

    def first_query(_number: int, operation: str) -> str:
        queries[operation] += 1
        return "throttled" if operation == "query" and queries[operation] == 2 else ""

    mail.outbox_client = Faults(first_query).wrap(mail.client)
    with pytest.raises(Exception, match="Throttling"):
        mail.resend()
    missed = {item["waiting"]["S"] for item in mail.waiting()}
    assert len(missed) == 1
    assert len(mail.ses.told()) == len(events) - len(mail.waiting()) > 20


def test_a_change_of_owners_stays_among_those_that_are_mailed_first(mail: MailFixture) -> None:
    mail.user("boss", Role.OWNER)
    mail.account("acme", "acme", boss="m-boss")
    raised = mail.event(
        action=Action.USER_UPDATED,
        keys=(),
        changes={"role": ("READ_ONLY", "OWNER")},
        subject=BEA,
        audience=Audience.PERSON_AND_OWNERS,
        administrators={},
    )
    other = mail.event()
    mail.ses.hook = fail(ses_error("SendingPausedException"))
    mail.notify(raised, other)
    assert mail.stored(raised)["waiting"] == notifications.FIRST_SHARD
    assert mail.stored(other)["waiting"] in notifications.SHARDS
    mail.ses.hook = lambda _: None
    mail.resend_until_done()
    assert "waiting" not in mail.stored(raised)


def test_resend_goes_on_after_one_event_fails(mail: MailFixture) -> None:
    for _ in range(6):
        mail.event()
    updates = Counter[str]()

    def third_update(_number: int, operation: str) -> str:
        updates[operation] += 1
        return "throttled" if operation == "update_item" and updates[operation] == 3 else ""

    mail.outbox_client = Faults(third_update).wrap(mail.client)
    assert mail.resend()["store_failed"] == 1
    assert mail.ses.calls == 5


# One broken event


def test_an_event_we_cannot_read_waits_and_blocks_nobody(
    mail: MailFixture, caplog: pytest.LogCaptureFixture
) -> None:
    broken, good = mail.event(), mail.event()
    mail.client.update_item(
        TableName=mail.tables.events,
        Key={"account": {"S": "acme"}, "id": {"S": broken.id}},
        UpdateExpression="SET #action = :new",
        ExpressionAttributeNames={"#action": "action"},
        ExpressionAttributeValues={":new": {"S": "OF_A_LATER_VERSION"}},
    )
    assert mail.notify(broken, good) == []
    assert {id_ for id_, _ in mail.ses.told()} == {good.id}
    assert mail.stored(broken)["dueAt"] == NOW + MAX_PAUSE
    assert "An event cannot be mailed" in [line.message for line in caplog.records]


def test_an_event_that_breaks_half_way_waits_under_the_lease_it_has_by_then(
    mail: MailFixture,
) -> None:
    event = mail.event(administrators=BOTH)

    def bug(recipient: str) -> None:
        mail.clock.forward(1)
        if recipient == BOB_AT:
            raise ZeroDivisionError

    mail.ses.hook = bug
    assert mail.notify(event) == []
    stored = mail.stored(event)
    assert stored["told"] == {"alice": NOW + 1}
    assert stored["dueAt"] == NOW + 2 + MAX_PAUSE


# Time


def test_nothing_is_begun_when_time_is_short(mail: MailFixture) -> None:
    event = mail.event()
    faults = Faults(lambda *_: "")
    mail.outbox_client = faults.wrap(mail.client)
    mail.remaining_ms = lambda: MARGIN_MS - 1
    assert mail.notify(event) == []
    assert mail.resend() == {}
    assert faults.calls == 0
    mail.remaining_ms = lambda: MARGIN_MS
    assert mail.resend()["sent"] == 1


def test_time_that_runs_out_within_an_event_leaves_the_rest_due_at_once(mail: MailFixture) -> None:
    event = mail.event(administrators=BOTH)
    mail.remaining_ms = lambda: 600_000 if not mail.ses.calls else 0
    mail.notify(event)
    stored = mail.stored(event)
    assert stored["told"] == {"alice": NOW}
    assert stored["dueAt"] == NOW
    mail.remaining_ms = lambda: 600_000
    mail.resend()
    assert mail.ses.addresses == [ALICE_AT, BOB_AT]


def test_time_that_runs_out_within_a_page_leaves_the_rest(mail: MailFixture) -> None:
    for _ in range(20):
        mail.event()
    mail.remaining_ms = lambda: 600_000 if mail.ses.calls < 7 else 0
    counts = mail.resend()
    assert counts["sent"] == 7
    mail.remaining_ms = lambda: 600_000
    assert mail.resend()["sent"] == 13


def test_a_lease_that_has_run_out_is_not_sent_under(mail: MailFixture) -> None:
    """A run that was frozen finds its claim over, or taken by another, and sends no more."""
    event = mail.event(administrators=BOTH)

    def freeze(_recipient: str) -> None:
        mail.clock.forward(LEASE + 1)
        mail.ses.hook = lambda _: None
        mail.resend()

    mail.ses.hook = freeze
    mail.notify(event)
    assert mail.ses.told() == {(event.id, ALICE_AT): 2, (event.id, BOB_AT): 1}
    assert mail.stored(event)["told"].keys() == {"alice", "bob"}
    assert "waiting" not in mail.stored(event)


def test_each_mark_renews_the_lease(mail: MailFixture) -> None:
    names = [f"admin{number}" for number in range(10)]
    for name in names:
        mail.user(name)
    event = mail.event(administrators={name: f"m-{name}" for name in names})
    mail.ses.hook = lambda _: mail.clock.forward(LEASE / 3)
    mail.notify(event)
    assert len(mail.ses.told()) == 10
    assert "waiting" not in mail.stored(event)


def test_a_slow_read_does_not_outlive_the_lease(mail: MailFixture) -> None:
    event = mail.event()

    def slow(_number: int, operation: str) -> str:
        if operation == "batch_get_item":
            mail.clock.forward(LEASE)
        return ""

    mail.outbox_client = Faults(slow).wrap(mail.client)
    mail.notify(event)
    assert mail.ses.calls == 0
    assert "waiting" in mail.stored(event)


# Many


def test_resend_works_through_any_backlog_in_pages(
    mail: MailFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_module, "PAGE", 2)
    events = [mail.event(at=NOW - number) for number in range(50)]
    seen = Counter[str]()

    def count(_number: int, operation: str) -> str:
        seen[operation] += 1
        return ""

    mail.outbox_client = Faults(count).wrap(mail.client)
    assert mail.resend()["sent"] == len(events)
    assert seen["query"] >= len(events) / 2
    assert mail.waiting() == []
    assert max(mail.ses.told().values()) == 1


def test_what_it_costs_at_a_hundred_events_a_batch(mail: MailFixture) -> None:
    """At best: one claim and one mark for each event, and one read for the batch."""
    events = [mail.event() for _ in range(100)]
    seen = Counter[str]()

    def count(_number: int, operation: str) -> str:
        seen[operation] += 1
        return ""

    faults = Faults(count)
    mail.outbox_client = faults.wrap(mail.client)
    mail.notify(*events)
    assert seen == {"update_item": 200, "batch_get_item": 1}
    assert mail.ses.calls == 100


def test_a_read_brings_the_people_of_the_events_to_come(mail: MailFixture) -> None:
    events = []
    for number in range(60):
        mail.user(f"admin{number}")
        events.append(mail.event(administrators={f"admin{number}": f"m-admin{number}"}))
    seen = Counter[str]()

    def count(_number: int, operation: str) -> str:
        seen[operation] += 1
        return ""

    mail.outbox_client = Faults(count).wrap(mail.client)
    mail.notify(*events)
    assert seen["batch_get_item"] == 1
    assert len(mail.ses.told()) == 60


class BatchSizeClient:
    """A client that notes how many keys each batch asks for."""

    def __init__(self, client: Any) -> None:
        self.exceptions, self.update_item = client.exceptions, client.update_item
        self.sizes: list[int] = []
        self._client = client

    def batch_get_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - AWS's name
        [(_, request)] = RequestItems.items()
        self.sizes.append(len(request["Keys"]))
        assert request["ConsistentRead"]
        return self._client.batch_get_item(RequestItems=RequestItems)


def test_a_read_brings_no_more_than_one_batch(mail: MailFixture) -> None:
    events = [
        mail.event(administrators={f"x{number}-{other}": "m" for other in range(15)} | {"alice": "m-alice"})
        for number in range(20)
    ]
    sized = mail.outbox_client = BatchSizeClient(mail.client)
    mail.notify(*events)
    assert mail.ses.addresses == [ALICE_AT] * 20
    assert sized.sizes == [92, 90, 90, 30], "six events of 15, and what they share once"


def test_what_is_read_again_is_only_for_what_is_still_to_be_done(mail: MailFixture) -> None:
    events = []
    for number in range(4):
        mail.user(f"admin{number}")
        events.append(mail.event(administrators={f"admin{number}": f"m-admin{number}"}))
    mail.ses.hook = lambda _: mail.clock.forward(CACHE_SECONDS + 1)
    sized = mail.outbox_client = BatchSizeClient(mail.client)
    mail.notify(*events)
    assert sized.sizes == [5, 4, 3, 2]


# What is said of it


def test_logs_hold_numbers_and_no_secrets(mail: MailFixture, caplog: pytest.LogCaptureFixture) -> None:
    mail.user("Bea", invitation=Invitation("i-1"))
    with caplog.at_level(logging.DEBUG, "chalicelib"):
        mail.notify(invitation(mail), mail.event(administrators=BOTH))
    token = token_of(mail.ses.sent[0][1])
    [line] = [line for line in caplog.records if line.name == "chalicelib.mail.notify"]
    assert line.__dict__["counts"] == {"taken": 2, "sent": 3}
    everything = "".join(f"{line.__dict__}" for line in caplog.records)
    assert token not in everything
    assert "people.example" not in everything


def test_an_event_by_a_policy_is_mailed_like_any_other(mail: MailFixture) -> None:
    mail.notify(mail.event(action=Action.API_KEY_REVOKED, keys=(revoked(),), actor=Actor(Kind.POLICY)))
    assert mail.ses.addresses == [ALICE_AT]


# What DynamoDB refuses about one event


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_what_dynamodb_refuses_about_some_events_ends_no_run(
    mail: MailFixture, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    events = [mail.event() for _ in range(2 * MAX_FAILURES_IN_A_ROW + 1)]
    refused = {it.id for it in events[:-1]}
    mail.outbox_client = Refusing(mail, code, refused, (1, 2, 3, 4))
    assert mail.notify(*events) == [], "they are no failures of the batch"
    assert mail.ses.told() == {(events[-1].id, ALICE_AT): 1}
    logged = {(it.levelname, it.__dict__["code"]) for it in caplog.records if it.levelname == "ERROR"}
    assert logged == {("ERROR", code)}, "the metric filter of AccessDenied matches the code"
    assert all(is_pending(mail, EventKey(it.account, it.id)) for it in events[:-1])


@pytest.mark.parametrize(
    ("code", "later"), [("AccessDeniedException", LEASE), ("ValidationException", MAX_PAUSE)]
)
def test_what_is_refused_after_its_claim_is_tried_again(mail: MailFixture, code: str, later: int) -> None:
    event = mail.event()
    mail.outbox_client = Refusing(mail, code, {event.id}, (2,))
    assert mail.notify(event) == []
    assert mail.stored(event)["dueAt"] == NOW + later


@pytest.mark.parametrize("partition", ["PUBLISH#0", "DELETED#", "REFUSED#acme#0"])
def test_notify_leaves_out_what_is_no_event_of_an_account(mail: MailFixture, partition: str) -> None:
    made = record(mail.event())
    made["dynamodb"]["Keys"]["account"] = {"S": partition}
    faults = Faults(lambda *_: "")
    mail.outbox_client = faults.wrap(mail.client)
    assert notify_module.notify([made], mail.mailer) == {"batchItemFailures": []}
    assert faults.calls == 0
