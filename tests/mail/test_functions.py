"""``notify`` and ``resend`` as Lambda runs them, on moto's DynamoDB and SES."""

import email
import email.policy
import os
from collections.abc import Iterator
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sesv2.models import sesv2_backends

from chalicelib.functions import mailer
from chalicelib.rules.notifications import FIRST_PAUSE
from chalicelib.store import client as store_client
from tests.support.mail import SENDER, MailFixture, record

pytestmark = pytest.mark.skipif("DYNAMODB_LOCAL_URL" in os.environ, reason="SES is moto's here")

NOW = 1_900_000_000


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def mail(mail: MailFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailFixture]:
    """An account with the Administrator Alice, in tables that the environment names."""
    monkeypatch.setenv("DIRECTORY_TABLE", mail.tables.directory)
    monkeypatch.setenv("EVENTS_TABLE", mail.tables.events)
    monkeypatch.setenv("SENDER", SENDER)
    monkeypatch.setenv("PUBLIC_URL", "https://api.example/")
    monkeypatch.setattr("time.time", mail.clock)
    mail.account("acme", "Demo", owner="m-owner")
    mail.user("Alice")
    forget()
    backend().sent_messages.clear()  # what other tests of this process had mailed
    yield mail
    backend().sent_messages.clear()
    forget()


def forget() -> None:
    """Begin as a new environment does."""
    for made in (mailer._outbox, mailer._ses, store_client.dynamodb):
        made.cache_clear()


def backend() -> Any:
    return sesv2_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].core_backend


def sent() -> list[Any]:
    return [
        email.message_from_string(message.raw_data, policy=email.policy.default)
        for message in backend().sent_messages
    ]


def test_notify_mails_by_ses(mail: MailFixture) -> None:
    mailer._ses().create_email_identity(EmailIdentity=SENDER)
    event = mail.event()
    response = mailer.notify_function({"Records": [record(event)]}, Context())
    assert response == {"batchItemFailures": []}
    [message] = sent()
    assert message["To"] == "alice@people.example"
    assert message["From"] == f"Service Users <{SENDER}>"
    assert message["Subject"] == "API key generated: MONITORING …7ac6a for ci-bot (Demo)"
    text = message.get_body(("plain",)).get_content()
    assert "curl -X DELETE https://api.example/v1/service-users/ci-bot/api-keys" in text
    assert message.get_body(("html",)) is not None
    assert mail.stored(event)["told"] == {"alice": NOW}


def test_resend_mails_what_waited_for_a_verified_sender(mail: MailFixture) -> None:
    event = mail.event()
    mailer._ses().delete_email_identity(EmailIdentity=SENDER)
    assert mailer.notify_function({"Records": [record(event)]}, Context()) == {"batchItemFailures": []}
    assert sent() == []
    assert "waiting" in mail.stored(event)
    mailer._ses().create_email_identity(EmailIdentity=SENDER)
    mail.clock.forward(FIRST_PAUSE)
    assert mailer.resend_function({}, Context()) == {"taken": 1, "sent": 1}
    assert len(sent()) == 1
    assert mailer.resend_function({}, Context()) == {}


def test_resend_says_how_many_events_wait(mail: MailFixture, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    mailer._ses().delete_email_identity(EmailIdentity=SENDER)
    for _ in range(3):
        mailer.notify_function({"Records": [record(mail.event())]}, Context())
    mailer.resend_function({}, Context())
    mailer._ses().create_email_identity(EmailIdentity=SENDER)
    mail.clock.forward(FIRST_PAUSE)
    mailer.resend_function({}, Context())
    assert [line.waiting for line in caplog.records if hasattr(line, "waiting")] == [3, 0]


def test_clients_are_made_once_in_an_environment(mail: MailFixture) -> None:
    assert mailer._ses() is mailer._ses()
    assert mailer._outbox() is mailer._outbox()


@pytest.mark.parametrize("sender", ["", "Service Users <a@b.example>", "nobody"])
def test_a_sender_that_is_no_address_is_told_of_and_nothing_is_lost(
    mail: MailFixture, sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDER", sender)
    event = mail.event()
    with pytest.raises(ValueError, match="SENDER must be an address that SES may send from"):
        mailer.notify_function({"Records": [record(event)]}, Context())
    assert "waiting" in mail.stored(event)
    assert "attempts" not in mail.stored(event)
