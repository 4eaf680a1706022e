"""SES's reports of bounces and complaints: what is recorded, and whom it is told."""

import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

import app
from chalicelib.functions import feedback as function
from chalicelib.http import responses
from chalicelib.mail.tags import read_tags, tags_of
from chalicelib.rules.model import Action, Audience, EmailFailure, Invitation, Outcome
from chalicelib.rules.notifications import FAILING, PERSON, EventKey, Recipient
from chalicelib.rules.ports import EventQuery
from chalicelib.rules.roles import Role
from chalicelib.store.feedback import DynamoFeedback
from chalicelib.store.publications import PREFIX
from chalicelib.store.trail import DynamoTrail, event_item
from local.event_sources import lambda_context
from tests.support.api_client import items
from tests.support.feedback import ATTACK, BOUNCE, COMPLAINT, SET, Feedback, report, transient
from tests.support.mail import BEA, Faults, Killed, MailFixture, make_event, ses_error
from tests.support.secret_scan import CapturedOutput
from tests.support.write_units import write_units

ALICE, BOB, OWNER = "alice@people.example", "bob@people.example", "owner@people.example"
BOTH = {"alice": "m-alice", "bob": "m-bob"}


@pytest.fixture
def feedback(mail: MailFixture) -> Feedback:
    """The account Demo with an OWNER and the Administrators Alice and Bob, and a mailer with tags."""
    mail.demo_account("alice", "bob")
    return Feedback(mail)


def failures(feedback: Feedback) -> list[dict[str, Any]]:
    """Return the events about addresses that fail, the oldest first."""
    found = items(feedback.mail.client, feedback.mail.tables.events)
    chosen = [it for it in found if str(it.get("action", "")).startswith("EMAIL_")]
    return sorted(chosen, key=lambda it: str(it["id"]))


def person(feedback: Feedback, name: str) -> dict[str, Any]:
    found = items(feedback.mail.client, feedback.mail.tables.directory)
    [item] = [it for it in found if it["pk"] == f"USER#{name}"]
    return item


def outcomes(feedback: Feedback, event: Any) -> dict[str, str]:
    stored = feedback.mail.stored(event)
    return {name.removeprefix("feedback_"): it for name, it in stored.items() if name.startswith("feedback_")}


# The tags


def test_an_email_has_tags_by_which_its_reports_are_told_apart(feedback: Feedback) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    sent = feedback.sent_to(ALICE)
    assert sent["ConfigurationSetName"] == SET
    for tag in sent["EmailTags"]:
        assert all(len(it) <= 256 and it.isascii() for it in tag.values())
        assert all(it.replace("-", "").replace("_", "").isalnum() for it in tag.values())
    assert "people.example" not in str(sent["EmailTags"])
    found = read_tags({it["Name"]: [it["Value"]] for it in sent["EmailTags"]})
    assert found is not None
    assert (found.events, found.recipient) == ((EventKey("acme", event.id),), "alice")


def test_without_a_configuration_set_an_email_has_no_tags(mail: MailFixture) -> None:
    mail.demo_account("alice")
    mail.notify(mail.event())
    assert not mail.ses.asked[0].keys() & {"ConfigurationSetName", "EmailTags"}


@pytest.mark.parametrize("count", [1, 9, 10, 100])
def test_tags_name_every_event_of_a_digest_email(count: int) -> None:
    keys = [EventKey("acme", make_event().id) for _ in range(count)]
    tags = tags_of(keys, Recipient("a.b_c-d", "A.B_c-d", "a.b@people.example", PERSON))
    assert len(tags) <= 50
    assert all(len(it["Value"]) <= 256 for it in tags)
    found = read_tags({it["Name"]: [it["Value"]] for it in tags})
    assert found is not None
    assert set(found.events) == set(keys)
    assert found.recipient == "a.b_c-d"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", ["a/b"]),
        ("account", None),
        ("account", ["acme", "acme"]),
        ("recipient", ["alice"]),
        ("recipient", ["23232323"]),
        ("recipient", [7]),
        ("address", [ATTACK]),
        ("events-0", ["0" * 27]),
        ("events-0", []),
    ],
)
def test_other_tags_are_of_no_email_of_ours(feedback: Feedback, name: str, value: Any) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    message = report(feedback.sent_to(ALICE), BOUNCE)
    message["detail"]["mail"]["tags"][name] = value
    assert read_tags(message["detail"]["mail"]["tags"]) is None
    before = feedback.mail.stored(event)
    assert feedback.take(message) == []
    assert feedback.mail.stored(event) == before
    assert failures(feedback) == []


# What is recorded


def test_a_bounce_reaches_its_event_and_the_owners(feedback: Feedback, output: CapturedOutput) -> None:
    event = feedback.mail.event(administrators=BOTH)
    feedback.mail.notify(event)
    facts = feedback.mail.stored(event)
    assert feedback.fails(ALICE) == []
    assert feedback.mail.stored(event) == {**facts, "feedback_alice": "PERMANENT_BOUNCE"}
    [noted] = failures(feedback)
    assert (noted["action"], noted["actor"]) == ("EMAIL_BOUNCED", {"kind": "EMAIL_FEEDBACK"})
    assert (noted["subject"]["username"], noted["subject"]["email"]) == ("alice", ALICE)
    assert event.id in noted["reason"]
    assert person(feedback, "alice")["emailFailure"] == {
        "outcome": "PERMANENT_BOUNCE",
        "at": int(feedback.mail.clock()),
    }
    feedback.mail.resend()
    [(to, message)] = feedback.mail.ses.sent[2:]
    assert (to, message["Subject"]) == (OWNER, "Emails to alice bounce (Demo)")
    assert not feedback.mail.waiting()
    for part in (ATTACK, "<script>", "evil.example"):
        assert part not in json.dumps(items(feedback.mail.client, feedback.mail.tables.events))
        assert part not in json.dumps(items(feedback.mail.client, feedback.mail.tables.directory))
        assert part not in str(message)
        assert part not in str(output)


def test_a_complaint_reaches_its_event_and_the_owners(feedback: Feedback) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    assert feedback.fails(ALICE, COMPLAINT) == []
    assert outcomes(feedback, event) == {"alice": "COMPLAINT"}
    assert [it["action"] for it in failures(feedback)] == ["EMAIL_COMPLAINT"]
    feedback.mail.resend()
    assert feedback.mail.ses.sent[-1][1]["Subject"] == "alice marked an email as spam (Demo)"


@pytest.mark.parametrize("kind", ["Transient", "Undetermined", "something new"])
def test_a_bounce_that_is_not_permanent_is_recorded_and_told_nobody(feedback: Feedback, kind: str) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    assert feedback.fails(ALICE, transient(kind)) == []
    assert outcomes(feedback, event) == {"alice": "TRANSIENT_BOUNCE"}
    assert failures(feedback) == []
    assert "emailFailure" not in person(feedback, "alice")


@pytest.mark.parametrize(
    "what",
    [
        {"eventType": "Complaint", "complaint": {"complaintFeedbackType": "not-spam"}},
        {"eventType": "Delivery", "delivery": {}},
    ],
)
def test_a_report_of_nothing_wrong_is_ignored(feedback: Feedback, what: dict[str, Any]) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    assert feedback.fails(ALICE, what) == []
    assert outcomes(feedback, event) == {}


@pytest.mark.parametrize("order", list(itertools.permutations([transient(), BOUNCE, COMPLAINT])))
def test_the_order_of_reports_does_not_matter(feedback: Feedback, order: tuple[dict[str, Any], ...]) -> None:
    """Nor does their number: each arrives twice."""
    event = feedback.mail.event()
    feedback.mail.notify(event)
    for what in (*order, *order):
        assert feedback.fails(ALICE, what) == []
    assert outcomes(feedback, event) == {"alice": "COMPLAINT"}
    assert len(failures(feedback)) == 1


def test_a_digest_email_that_bounces_is_recorded_in_each_of_its_events(feedback: Feedback) -> None:
    feedback.mail.mails_per_hour = 1
    events = [feedback.mail.event() for _ in range(12)]
    feedback.mail.notify(*events)
    feedback.mail.clock.forward(3601)
    feedback.mail.resend()
    assert len(feedback.mail.ses.sent) == 2
    assert feedback.fails(ALICE) == []
    assert [outcomes(feedback, it) for it in events] == [{}, *[{"alice": "PERMANENT_BOUNCE"}] * 11]
    assert len(failures(feedback)) == 1


def test_an_invitation_that_bounces_is_told_the_owners(feedback: Feedback) -> None:
    feedback.mail.user("bea", invitation=Invitation(id="i"))
    event = feedback.mail.event(
        action=Action.USER_INVITED, keys=(), subject=BEA, audience=Audience.PERSON, invitation="i"
    )
    feedback.mail.notify(event)
    assert feedback.fails("bea@people.example") == []
    assert outcomes(feedback, event) == {"bea": "PERMANENT_BOUNCE"}
    assert [it["subject"]["username"] for it in failures(feedback)] == ["bea"]


def test_a_report_can_come_before_the_mailer_has_recorded_the_email(feedback: Feedback) -> None:
    """SES reports at once, and the mailer's own write follows: neither loses the other."""
    event = feedback.mail.event(administrators=BOTH)
    taken: list[list[str]] = []
    send = feedback.mail.ses.send_email

    def bounce_at_once(**asked: Any) -> dict[str, str]:
        response: dict[str, str] = send(**asked)
        taken.append(feedback.take(report(asked, BOUNCE)))
        return response

    feedback.mail.ses.send_email = bounce_at_once
    feedback.mail.notify(event)
    assert taken == [[], []]
    stored = feedback.mail.stored(event)
    assert stored["told"].keys() == {"alice", "bob"}
    assert outcomes(feedback, event) == {"alice": "PERMANENT_BOUNCE", "bob": "PERMANENT_BOUNCE"}
    assert "waiting" not in stored


@pytest.mark.parametrize("gone", ["the event", "the recipient's name"])
def test_nothing_is_done_once_the_event_says_nothing_of_the_recipient(feedback: Feedback, gone: str) -> None:
    """The event has expired, or the person was erased."""
    event = feedback.mail.event()
    feedback.mail.notify(event)
    if gone == "the event":
        feedback.mail.forget(event)
    else:
        feedback.mail.client.update_item(
            TableName=feedback.mail.tables.events,
            Key={"account": {"S": "acme"}, "id": {"S": event.id}},
            UpdateExpression="SET told = :told",
            ExpressionAttributeValues={":told": {"M": {"erased-1": {"N": "1"}}}},
        )
    assert feedback.fails(ALICE) == []
    assert failures(feedback) == []
    assert "emailFailure" not in person(feedback, "alice")
    assert all("feedback_alice" not in it for it in items(feedback.mail.client, feedback.mail.tables.events))


def test_an_event_that_expires_during_the_report_is_not_made_again(feedback: Feedback) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    store = feedback.reports.store
    key = EventKey("acme", event.id)
    assert store.mailed(key) is not None
    feedback.mail.forget(event)
    store.record(key, "alice", Outcome.COMPLAINT, [])
    assert items(feedback.mail.client, feedback.mail.tables.events) == []


# Whom it is told


@pytest.mark.parametrize("changed", ["revoked", "invited anew", "another account", "a machine"])
def test_nobody_is_told_of_an_address_that_nobody_has_any_more(feedback: Feedback, changed: str) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    feedback.mail.gone("alice")
    match changed:
        case "invited anew":
            feedback.mail.user("alice", email="alice@new.example")
        case "another account":
            feedback.mail.user("alice", account="bank")
        case "a machine":
            feedback.mail.machine("alice")
    assert feedback.fails(ALICE) == []
    assert outcomes(feedback, event) == {"alice": "PERMANENT_BOUNCE"}
    assert failures(feedback) == []


def test_an_address_is_told_once_in_thirty_days(feedback: Feedback) -> None:
    for _ in range(3):
        feedback.mail.notify(feedback.mail.event())
        assert feedback.fails(ALICE) == []
    assert len(failures(feedback)) == 1
    feedback.mail.clock.forward(FAILING + 1)
    feedback.mail.notify(feedback.mail.event())
    assert feedback.fails(ALICE, COMPLAINT) == []
    assert [it["action"] for it in failures(feedback)] == ["EMAIL_BOUNCED", "EMAIL_COMPLAINT"]
    assert person(feedback, "alice")["emailFailure"]["outcome"] == "COMPLAINT"


def test_a_bounced_email_about_a_bounce_makes_no_other(feedback: Feedback, output: CapturedOutput) -> None:
    feedback.mail.user("chief", Role.OWNER)
    feedback.mail.account("acme", "Demo", owner="m-owner", chief="m-chief")
    feedback.mail.notify(feedback.mail.event())
    feedback.fails(ALICE)
    feedback.mail.resend()
    about = failures(feedback)
    for address in (OWNER, "chief@people.example"):
        assert feedback.fails(address) == []
    [noted] = failures(feedback)
    assert noted["id"] == about[0]["id"]
    assert (noted["feedback_owner"], noted["feedback_chief"]) == ("PERMANENT_BOUNCE", "PERMANENT_BOUNCE")
    assert "emailFailure" not in person(feedback, "owner")
    assert "an OWNER cannot be mailed" in str(output)
    assert not feedback.mail.waiting()


def test_an_owner_whose_address_fails_is_told_the_others_and_not_themselves(feedback: Feedback) -> None:
    feedback.mail.user("chief", Role.OWNER)
    feedback.mail.account("acme", "Demo", owner="m-owner", chief="m-chief")
    feedback.mail.notify(feedback.mail.event(administrators={"chief": "m-chief"}))
    feedback.fails("chief@people.example")
    sent = len(feedback.mail.ses.sent)
    feedback.mail.resend()
    assert feedback.mail.ses.addresses[sent:] == [OWNER]


def test_the_address_of_the_only_owner_is_for_the_operator(
    feedback: Feedback, output: CapturedOutput
) -> None:
    """The event is done with: nobody is left to be mailed, and the line in the log raises an alarm."""
    feedback.mail.notify(feedback.mail.event(administrators={"owner": "m-owner"}))
    feedback.fails(OWNER)
    sent = len(feedback.mail.ses.sent)
    feedback.mail.resend()
    assert len(feedback.mail.ses.sent) == sent
    assert not feedback.mail.waiting()
    assert "an OWNER cannot be mailed" in str(output)


def test_owners_stand_in_for_administrators_whose_addresses_all_fail(feedback: Feedback) -> None:
    feedback.mail.notify(feedback.mail.event(administrators=BOTH))
    feedback.fails(ALICE)
    feedback.mail.notify(feedback.mail.event(administrators=BOTH))
    assert feedback.mail.ses.addresses == [ALICE, BOB, ALICE, BOB]
    feedback.fails(BOB)
    feedback.mail.clock.forward(3)
    feedback.mail.notify(feedback.mail.event(administrators=BOTH))
    assert feedback.mail.ses.addresses[4:] == [ALICE, BOB, OWNER]
    assert "emails to all of them fail" in " ".join(str(feedback.mail.ses.sent[-1][1]).split())
    feedback.mail.clock.forward(FAILING + 1)
    feedback.mail.notify(feedback.mail.event(administrators=BOTH))
    assert feedback.mail.ses.addresses[7:] == [ALICE, BOB]


@pytest.mark.parametrize("refused", [[ALICE], [ALICE, BOB], [ALICE, BOB, OWNER]])
def test_owners_stand_in_for_administrators_whose_emails_ses_refuses_at_once(
    feedback: Feedback, refused: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """There is no report of such an email, so nothing notes that the address fails."""
    mail = feedback.mail

    def hook(recipient: str) -> None:
        if recipient in refused:
            raise ses_error("MessageRejected", "The address is on the suppression list.")

    mail.ses.hook = hook
    event = mail.event(administrators=BOTH)
    mail.notify(event)
    expected = {1: [BOB], 2: [OWNER], 3: []}[len(refused)]
    assert mail.ses.addresses == expected
    assert len(mail.stored(event)["refused"]) == len(refused)
    assert mail.waiting() == []
    told = [record for record in caplog.records if hasattr(record, "ownerUnreachable")]
    assert len(told) == (len(refused) == 3)


def test_a_persons_email_that_ses_refuses_at_once_is_the_operators_to_see(
    feedback: Feedback, caplog: pytest.LogCaptureFixture
) -> None:
    mail = feedback.mail

    def hook(_recipient: str) -> None:
        raise ses_error("MessageRejected", "The address is on the suppression list.")

    mail.ses.hook = hook
    event = mail.event(audience=Audience.PERSON, subject=BEA, action=Action.API_KEY_ROTATED)
    mail.notify(event)
    [line] = [record for record in caplog.records if hasattr(record, "ownerUnreachable")]
    assert line.ownerUnreachable == event.id
    assert mail.waiting() == []


def test_an_event_about_a_failure_is_published_as_any_other(mail: MailFixture) -> None:
    mail.demo_account("alice")
    feedback = Feedback(mail, publishes=True)
    mail.notify(mail.event())
    feedback.fails(ALICE)
    [noted] = failures(feedback)
    found = items(mail.client, mail.tables.events)
    assert [it["id"] for it in found if it["account"].startswith(PREFIX)] == [f"REFUSED#acme#{noted['id']}"]


# What is no report, and what DynamoDB does


def test_a_message_that_is_no_report_of_the_set_stays_in_the_queue(
    feedback: Feedback, output: CapturedOutput
) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    good = report(feedback.sent_to(ALICE), BOUNCE)
    elsewhere = json.loads(json.dumps(good))
    elsewhere["detail"]["mail"]["tags"]["ses:configuration-set"] = ["another"]
    typeless = json.loads(json.dumps(good))
    del typeless["detail"]["bounce"]
    wrong: list[Any] = [
        ATTACK,
        "[]",
        json.dumps({"source": "aws.ses", "detail": {"mail": {"tags": ATTACK}}}),
        {**good, "source": "service-users"},
        elsewhere,
        typeless,
        {"source": "aws.ses", "detail": {**BOUNCE, "mail": {}}},
        {"source": "aws.ses", "detail": {**BOUNCE, "mail": {"tags": None}}},
        {"source": "aws.ses", "detail": ["mail"]},
    ]
    assert feedback.take(*wrong, good) == [str(number) for number in range(len(wrong))]
    assert outcomes(feedback, event) == {"alice": "PERMANENT_BOUNCE"}
    assert "evil.example" not in str(output)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "ValidationException"])
def test_a_report_waits_while_dynamodb_fails(feedback: Feedback, output: CapturedOutput, code: str) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)

    def fail(_number: int, operation: str) -> str:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, operation)

    feedback.client = Faults(fail).wrap(feedback.mail.client)
    assert feedback.fails(ALICE) == ["0"]
    assert ("AccessDenied" in str(output)) is (code == "AccessDeniedException")
    feedback.client = None
    assert feedback.fails(ALICE) == []
    assert outcomes(feedback, event) == {"alice": "PERMANENT_BOUNCE"}


@pytest.mark.parametrize("kind", ["throttled", "kill before", "kill after", "response lost"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_report_that_is_interrupted_anywhere_has_its_effect_once(
    feedback: Feedback, kind: str, number: int
) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    faults = Faults(lambda call, _operation: kind if call == number else "")
    feedback.client = faults.wrap(feedback.mail.client)
    for _ in range(2):
        try:
            feedback.fails(ALICE)
        except Killed:
            continue
    assert faults.calls >= 4
    assert outcomes(feedback, event) == {"alice": "PERMANENT_BOUNCE"}
    assert len(failures(feedback)) == 1


def test_a_person_who_changes_meanwhile_is_read_again(
    feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    read = DynamoFeedback.recipient
    changes = 2

    def changed_after_read(self: DynamoFeedback, username: str) -> Any:
        nonlocal changes
        found = read(self, username)
        if changes:
            changes -= 1
            feedback.mail.client.update_item(
                TableName=feedback.mail.tables.directory,
                Key={"pk": {"S": "USER#alice"}},
                UpdateExpression="SET version = :new",
                ExpressionAttributeValues={":new": {"S": f"v{changes}"}},
            )
        return found

    monkeypatch.setattr(DynamoFeedback, "recipient", changed_after_read)
    assert feedback.fails(ALICE) == []
    assert len(failures(feedback)) == 1
    feedback.mail.clock.forward(FAILING + 1)
    changes = 99
    assert feedback.fails(ALICE) == ["0"]
    assert len(failures(feedback)) == 1


def test_a_failure_that_was_noted_meanwhile_is_not_noted_again(feedback: Feedback) -> None:
    store = feedback.reports.store
    user = store.recipient("alice")
    assert user is not None
    event = make_event(action=Action.EMAIL_BOUNCED, subject=BEA, keys=(), audience=Audience.OWNERS)
    failure = EmailFailure(Outcome.PERMANENT_BOUNCE, 1)
    assert store.fail(user, failure, event)
    assert not store.fail(user, failure, make_event(action=Action.EMAIL_BOUNCED, keys=()))
    old = store.recipient("alice")
    assert old is not None
    assert old.email_failure == failure
    assert store.fail(old, EmailFailure(Outcome.COMPLAINT, 2), make_event(action=Action.EMAIL_COMPLAINT))


def test_an_error_of_a_transaction_that_is_no_race_is_raised(feedback: Feedback) -> None:
    store = feedback.reports.store
    user = store.recipient("alice")
    assert user is not None
    too_large = make_event(action=Action.EMAIL_BOUNCED, reason="x" * 500_000)
    with pytest.raises(ClientError):
        store.fail(user, EmailFailure(Outcome.COMPLAINT, 2), too_large)


def test_the_function_reads_its_settings(feedback: Feedback, monkeypatch: pytest.MonkeyPatch) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    monkeypatch.setenv("DIRECTORY_TABLE", feedback.mail.tables.directory)
    monkeypatch.setenv("EVENTS_TABLE", feedback.mail.tables.events)
    monkeypatch.setenv("CONFIGURATION_SET", SET)
    monkeypatch.setattr(function, "dynamodb", lambda: feedback.mail.client)
    function._store.cache_clear()
    message = report(feedback.sent_to(ALICE), BOUNCE)
    batch = {"Records": [{"messageId": "1", "body": json.dumps(message)}]}
    assert app.feedback(batch, lambda_context("feedback")) == {"batchItemFailures": []}
    function._store.cache_clear()
    assert outcomes(feedback, event) == {"alice": "PERMANENT_BOUNCE"}


def test_a_later_outcome_is_shown_as_it_is_stored(feedback: Feedback) -> None:
    event = feedback.mail.event()
    feedback.mail.client.put_item(
        TableName=feedback.mail.tables.events,
        Item={**event_item(event, 400), "feedback_alice": {"S": "QUARANTINED"}},
    )
    trail = DynamoTrail(feedback.mail.client, feedback.mail.tables.events)
    [found] = trail.events("acme", EventQuery(), 5, None).events
    [shown] = responses.event(found).mail.feedback
    assert (shown.username, shown.outcome) == ("alice", "QUARANTINED")


def test_a_report_costs_what_the_documentation_says(feedback: Feedback) -> None:
    """One read and two write units for an event; one read and seven write units more with its own event."""
    event = feedback.mail.event()
    feedback.mail.notify(event)
    calls: list[str] = []
    feedback.client = Faults(lambda _number, operation: calls.append(operation) or "").wrap(  # type: ignore[func-returns-value]
        feedback.mail.client
    )
    before, alice = feedback.mail.stored(event), person(feedback, "alice")
    feedback.fails(ALICE)
    assert calls == ["get_item", "update_item", "get_item", "transact_write_items"]
    units = write_units("events", "", before, feedback.mail.stored(event))
    # byActor has none of what changes; and an item that is not in a transaction takes one unit.
    assert (units["events"] / 2, units["events, bySubject"]) == (1, 1)
    [noted] = failures(feedback)
    own = write_units("directory", "USER#alice", alice, person(feedback, "alice"))
    assert (own + write_units("events", "", None, noted)).total() == 7
