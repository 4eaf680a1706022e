"""The commands that the emails' page gives an operator, run as they stand there."""

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.rules.model import Event
from chalicelib.rules.roles import Role
from tests.support.api_client import Clock, Tables
from tests.support.mail import Post, ses_error

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PAGE = Path(__file__).parent.parent.parent / "docs" / "emails.md"
NOW = 1_900_000_000


@pytest.fixture
def post(dynamodb: "DynamoDBClient", tables: Tables, clock: Clock) -> Post:
    clock.at = NOW
    made = Post(dynamodb, tables, clock)
    made.account("acme", "Demo", owner="m-owner")
    made.user("owner", Role.OWNER)
    made.user("alice")
    made.user("bob")
    return made


def command(words: str) -> str:
    """The one command of the page that follows a paragraph with these words."""
    [found] = [
        block
        for before, block in re.findall(r"\n([^\n]*):\n\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if words in before
    ]
    return found


def run(post: Post, words: str, event: Event | None = None) -> Any:
    """Run a command of the page, as a shell and the AWS CLI would."""
    text = command(words).replace("$(date +%s)", str(NOW)).replace('"$EVENTS"', post.tables.events)
    if event is not None:
        text = text.replace("$ACCOUNT", event.account).replace("$EVENT", event.id)
    parts = shlex.split(text.replace("\\\n", " "))
    assert parts[:2] == ["aws", "dynamodb"]
    asked: dict[str, Any] = {}
    for flag, value in zip(parts[3::2], parts[4::2], strict=True):
        if flag not in ("--query", "--output"):
            name = "".join(part.title() for part in flag.removeprefix("--").split("-"))
            asked[name] = json.loads(value) if value.startswith("{") else value
    return getattr(post.client, parts[2].replace("-", "_"))(**asked)


def refuse_alice(recipient: str) -> None:
    if recipient.startswith("alice"):
        raise ses_error("BadRequestException", "Illegal address")


def pause(_recipient: str) -> None:
    raise ses_error("SendingPausedException")


def test_what_waits_is_listed_and_looked_at(post: Post) -> None:
    events = [post.event() for _ in range(40)]
    shard = {event.id for event in events if post.stored(event)["waiting"] == "0"}
    assert {item["id"]["S"] for item in run(post, "What waits")["Items"]} == shard
    assert run(post, "One event", events[0])["Item"]["id"]["S"] == events[0].id


def test_what_waits_for_its_pause_is_tried_now(post: Post) -> None:
    event = post.event()
    post.ses.hook = pause
    post.notify(event)
    post.ses.hook = lambda _: None
    assert post.resend() == {}
    run(post, "Try now", event)
    assert post.resend()["sent"] == 1


def test_an_event_is_given_up_and_taken_up_again(post: Post) -> None:
    event = post.event(administrators={"alice": "m-alice", "bob": "m-bob"})
    post.ses.hook = pause
    post.notify(event)
    post.ses.hook = lambda _: None
    run(post, "Nobody is mailed about it from then on", event)
    post.clock.forward(10_000_000)
    assert post.resend() == {}
    with pytest.raises(post.client.exceptions.ConditionalCheckFailedException):
        run(post, "Nobody is mailed about it from then on", event)
    run(post, "Mail it after all", event)
    assert post.resend()["sent"] == 2


def test_a_refused_address_is_found_and_mailed_when_it_is_put_right(post: Post) -> None:
    event = post.event(administrators={"alice": "m-alice", "bob": "m-bob"})
    post.event(administrators={"bob": "m-bob"})
    post.ses.hook = refuse_alice
    post.resend()
    assert [item["id"]["S"] for item in run(post, "Those that have a refused address")["Items"]] == [event.id]
    post.ses.hook = lambda _: None
    post.ses.sent.clear()
    run(post, "Mail it after all", event)
    post.resend()
    assert post.ses.addresses == ["alice@people.example"]


def test_every_picture_is_there_and_small() -> None:
    pictures = re.findall(r'src="(images/[^"]+)"', PAGE.read_text())
    assert pictures
    for picture in pictures:
        assert 1000 < (PAGE.parent / picture).stat().st_size < 60_000
