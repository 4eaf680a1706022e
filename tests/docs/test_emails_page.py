"""The commands that the emails' page gives an operator, run as they stand there."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from chalicelib.rules.model import Event
from tests.support.mail import MailFixture, ses_error

PAGE = Path(__file__).parent.parent.parent / "docs" / "emails.md"
NOW = 1_900_000_000


@pytest.fixture
def mail(mail: MailFixture) -> MailFixture:
    """An account Demo with the OWNER owner and the Cluster Admins alice and bob."""
    mail.demo_account("alice", "bob")
    return mail


def command(words: str) -> str:
    """The one command of the page that follows a paragraph with these words."""
    [found] = [
        block
        for before, block in re.findall(r"\n([^\n]*):\n\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if words in before
    ]
    return found


def run(mail: MailFixture, words: str, event: Event | None = None) -> Any:
    """Run a command of the page, as a shell and the AWS CLI would."""
    text = command(words).replace("$(date +%s)", str(NOW)).replace('"$EVENTS"', mail.tables.events)
    if event is not None:
        text = text.replace("$ACCOUNT", event.account).replace("$EVENT", event.id)
    parts = shlex.split(text.replace("\\\n", " "))
    assert parts[:2] == ["aws", "dynamodb"]
    asked: dict[str, Any] = {}
    for flag, value in zip(parts[3::2], parts[4::2], strict=True):
        if flag not in ("--query", "--output"):
            name = "".join(part.title() for part in flag.removeprefix("--").split("-"))
            asked[name] = json.loads(value) if value.startswith("{") else value
    return getattr(mail.client, parts[2].replace("-", "_"))(**asked)


def refuse_alice(recipient: str) -> None:
    if recipient.startswith("alice"):
        raise ses_error("BadRequestException", "Illegal address")


def pause(_recipient: str) -> None:
    raise ses_error("SendingPausedException")


def test_what_waits_is_listed_and_looked_at(mail: MailFixture) -> None:
    events = [mail.event() for _ in range(40)]
    shard = {event.id for event in events if mail.stored(event)["waiting"] == "0"}
    assert {item["id"]["S"] for item in run(mail, "What waits")["Items"]} == shard
    assert run(mail, "One event", events[0])["Item"]["id"]["S"] == events[0].id


def test_what_waits_for_its_pause_is_tried_now(mail: MailFixture) -> None:
    event = mail.event()
    mail.ses.hook = pause
    mail.notify(event)
    mail.ses.hook = lambda _: None
    assert mail.resend() == {}
    run(mail, "Try now", event)
    assert mail.resend()["sent"] == 1


def test_an_event_is_given_up_and_taken_up_again(mail: MailFixture) -> None:
    event = mail.event(administrators={"alice": "m-alice", "bob": "m-bob"})
    mail.ses.hook = pause
    mail.notify(event)
    mail.ses.hook = lambda _: None
    run(mail, "Nobody is mailed about it from then on", event)
    mail.clock.forward(10_000_000)
    assert mail.resend() == {}
    with pytest.raises(mail.client.exceptions.ConditionalCheckFailedException):
        run(mail, "Nobody is mailed about it from then on", event)
    run(mail, "Mail it after all", event)
    assert mail.resend()["sent"] == 2


def test_a_refused_address_is_found_and_mailed_when_it_is_put_right(mail: MailFixture) -> None:
    event = mail.event(administrators={"alice": "m-alice", "bob": "m-bob"})
    mail.event(administrators={"bob": "m-bob"})
    mail.ses.hook = refuse_alice
    mail.resend()
    assert [item["id"]["S"] for item in run(mail, "Those that have a refused address")["Items"]] == [event.id]
    mail.ses.hook = lambda _: None
    mail.ses.sent.clear()
    run(mail, "Mail it after all", event)
    mail.resend()
    assert mail.ses.addresses == ["alice@people.example"]


def test_every_picture_is_there_and_small() -> None:
    pictures = re.findall(r'src="(images/[^"]+)"', PAGE.read_text())
    assert pictures
    for picture in pictures:
        assert 1000 < (PAGE.parent / picture).stat().st_size < 60_000
