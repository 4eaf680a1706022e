"""The outbox on DynamoDB: each promise of ``rules.mailing.Outbox``, on moto or the real engine."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from chalicelib.rules.errors import Unavailable
from chalicelib.rules.model import Invitation, User
from chalicelib.rules.notifications import SHARDS, EventKey
from chalicelib.rules.roles import Role
from chalicelib.store import trail
from chalicelib.store.outbox import DynamoOutbox
from chalicelib.store.principals import MAILED, principal_from_item
from chalicelib.store.requests import BATCH_TRIES
from tests.support.api_client import Tables
from tests.support.mail import MailFixture

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

NOW = 1_900_000_000
LEASE = NOW + 120


@pytest.fixture
def outbox(dynamodb: "DynamoDBClient", tables: Tables) -> DynamoOutbox:
    return DynamoOutbox(dynamodb, tables.directory, tables.events)


def test_an_event_that_is_due_is_claimed_once(mail: MailFixture, outbox: DynamoOutbox) -> None:
    event = mail.event()
    key = EventKey(event.account, event.id)
    claimed = outbox.claim(key, NOW, LEASE)
    assert claimed is not None
    assert claimed.attempts == 1
    assert claimed.due_at == LEASE
    assert claimed.administrators == event.administrators
    assert outbox.claim(key, NOW, LEASE) is None
    assert outbox.claim(key, LEASE - 1, LEASE + 1) is None
    again = outbox.claim(key, LEASE, LEASE + 120)
    assert again is not None
    assert again.attempts == 2


def test_what_is_not_due_not_waiting_or_not_there_is_not_claimed(
    mail: MailFixture, outbox: DynamoOutbox
) -> None:
    late = mail.event(due_at=NOW + 1)
    silent = mail.event(due_at=None)
    for key in (
        EventKey("acme", late.id),
        EventKey("acme", silent.id),
        EventKey("acme", "nothing"),
        EventKey("x", late.id),
    ):
        assert outbox.claim(key, NOW, LEASE) is None
    assert "told" not in mail.stored(silent)


def test_marks_are_kept_and_renew_the_lease(mail: MailFixture, outbox: DynamoOutbox) -> None:
    event = mail.event()
    key = EventKey("acme", event.id)
    outbox.claim(key, NOW, LEASE)
    assert outbox.mark_notified(key, "a.b-c_d", NOW, LEASE, LEASE + 5)
    assert outbox.mark_undeliverable(key, "bob", "BadRequestException", LEASE + 5, LEASE + 6)
    stored = mail.stored(event)
    assert stored["told"] == {"a.b-c_d": NOW}
    assert stored["refused"] == {"bob": "BadRequestException"}
    assert stored["dueAt"] == LEASE + 6
    again = outbox.claim(key, LEASE + 6, LEASE + 99)
    assert again is not None
    assert (again.told, again.refused) == ({"a.b-c_d": NOW}, {"bob": "BadRequestException"})


@pytest.mark.parametrize("how", ["told", "refused", "finish"])
def test_the_last_mark_ends_the_waiting(mail: MailFixture, outbox: DynamoOutbox, how: str) -> None:
    event = mail.event()
    key = EventKey("acme", event.id)
    outbox.claim(key, NOW, LEASE)
    match how:
        case "told":
            assert outbox.mark_notified(key, "bob", NOW, LEASE, None)
        case "refused":
            assert outbox.mark_undeliverable(key, "bob", "x", LEASE, None)
        case _:
            assert outbox.finish(key, LEASE)
    assert not {"waiting", "dueAt"} & mail.stored(event).keys()
    assert mail.waiting() == []
    assert outbox.claim(key, NOW + 9999, NOW + 99999) is None


def test_a_postponed_event_is_due_when_it_was_said(mail: MailFixture, outbox: DynamoOutbox) -> None:
    event = mail.event()
    key = EventKey("acme", event.id)
    outbox.claim(key, NOW, LEASE)
    assert outbox.postpone(key, LEASE, NOW + 60)
    assert outbox.claim(key, NOW + 59, LEASE) is None
    assert outbox.claim(key, NOW + 60, LEASE) is not None


def test_who_lost_the_lease_marks_and_leaves_the_rest_alone(mail: MailFixture, outbox: DynamoOutbox) -> None:
    event = mail.event()
    key = EventKey("acme", event.id)
    outbox.claim(key, NOW, LEASE)
    outbox.claim(key, LEASE, LEASE + 120)
    assert not outbox.mark_notified(key, "alice", LEASE + 1, LEASE, LEASE + 999)
    assert not outbox.mark_undeliverable(key, "bob", "x", LEASE, None)
    assert not outbox.postpone(key, LEASE, 0)
    assert not outbox.finish(key, LEASE)
    stored = mail.stored(event)
    assert stored["told"] == {"alice": LEASE + 1}
    assert stored["refused"] == {"bob": "x"}
    assert stored["dueAt"] == LEASE + 120
    assert "waiting" in stored


def test_an_event_given_up_by_the_operator_stays_so(mail: MailFixture, outbox: DynamoOutbox) -> None:
    event = mail.event()
    key = EventKey("acme", event.id)
    outbox.claim(key, NOW, LEASE)
    mail.client.update_item(
        TableName=mail.tables.events,
        Key={"account": {"S": "acme"}, "id": {"S": event.id}},
        UpdateExpression="REMOVE waiting, dueAt",
    )
    assert not outbox.mark_notified(key, "alice", NOW, LEASE, LEASE + 5)
    assert not outbox.postpone(key, LEASE, NOW + 5)
    assert "dueAt" not in mail.stored(event)
    assert mail.stored(event)["told"] == {"alice": NOW}


def test_an_event_we_cannot_read_is_claimed_all_the_same(mail: MailFixture, outbox: DynamoOutbox) -> None:
    event = mail.event()
    mail.client.update_item(
        TableName=mail.tables.events,
        Key={"account": {"S": "acme"}, "id": {"S": event.id}},
        UpdateExpression="SET #action = :new",
        ExpressionAttributeNames={"#action": "action"},
        ExpressionAttributeValues={":new": {"S": "OF_A_LATER_VERSION"}},
    )
    with pytest.raises(msgspec.ValidationError):
        outbox.claim(EventKey("acme", event.id), NOW, LEASE)
    assert mail.stored(event)["dueAt"] == LEASE


def test_the_trail_spreads_over_the_shards_we_look_at() -> None:
    assert {trail.shard_of(f"{number:028x}") for number in range(1_000)} == set(SHARDS)


def test_what_is_due_is_paged_the_longest_due_first(mail: MailFixture, outbox: DynamoOutbox) -> None:
    events = [mail.event(due_at=NOW - number) for number in range(40)]
    later = mail.event(due_at=NOW + 1)
    found: dict[str, list[str]] = {}
    for shard in SHARDS:
        after: Any = None
        pages = 0
        while pages == 0 or after is not None:
            keys, after = outbox.due(shard, 0, NOW, 3, after)
            assert len(keys) <= 3
            pages += 1
            found.setdefault(shard, []).extend(key.id for key in keys)
    assert sorted(id_ for ids in found.values() for id_ in ids) == sorted(event.id for event in events)
    assert later.id not in str(found)
    due = {event.id: event.due_at for event in events}
    for ids in found.values():
        assert [due[id_] for id_ in ids] == sorted(due[id_] or 0 for id_ in ids)


def test_people_and_accounts_are_read_without_their_secrets(mail: MailFixture, outbox: DynamoOutbox) -> None:
    mail.account("acme", "Demo", owner="m-owner")
    mail.user("Owner", Role.OWNER)
    mail.user("bob")
    mail.machine("ci-bot")
    found = outbox.read(frozenset({"owner", "bob", "ci-bot", "nobody"}), frozenset({"acme", "none"}))
    assert found.people.keys() == {"owner", "bob"}
    assert found.people["owner"].username == "Owner"
    assert found.people["owner"].role is Role.OWNER
    assert found.people["bob"].membership == "m-bob"
    assert found.accounts.keys() == {"acme"}
    assert found.accounts["acme"].owners == {"owner": "m-owner"}
    assert found.accounts["acme"].name == "Demo"


def test_more_than_a_batch_is_read_in_batches(mail: MailFixture, outbox: DynamoOutbox) -> None:
    mail.user("bob")
    names = frozenset(f"user{number}" for number in range(250)) | {"bob"}
    assert outbox.read(names, frozenset()).people.keys() == {"bob"}


def test_reading_nothing_makes_no_call(mail: MailFixture) -> None:
    none: Any = None
    assert DynamoOutbox(none, "x", "y").read(frozenset(), frozenset()).people == {}


class PartialBatchClient:
    """A client whose batches leave keys unread, ``left`` times."""

    def __init__(self, client: Any, left: int) -> None:
        self.client = client
        self.left = left
        self.asked: list[int] = []

    def batch_get_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - AWS's name
        [(table, request)] = RequestItems.items()
        self.asked.append(len(request["Keys"]))
        if not self.left:
            return self.client.batch_get_item(RequestItems=RequestItems)
        self.left -= 1
        first, rest = request["Keys"][:1], request["Keys"][1:]
        response = self.client.batch_get_item(RequestItems={table: {**request, "Keys": first}})
        return {**response, "UnprocessedKeys": {table: {**request, "Keys": rest or first}}}


def test_keys_left_unread_are_asked_for_again_with_growing_pauses(mail: MailFixture) -> None:
    for name in ("ann", "bob", "cy"):
        mail.user(name)
    pauses: list[float] = []
    stingy: Any = PartialBatchClient(mail.client, 2)
    outbox = DynamoOutbox(stingy, mail.tables.directory, mail.tables.events, pauses.append)
    found = outbox.read(frozenset({"ann", "bob", "cy"}), frozenset())
    assert found.people.keys() == {"ann", "bob", "cy"}
    assert stingy.asked == [3, 2, 1]
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == 2


def test_a_read_raises_unavailable_if_keys_stay_unprocessed(mail: MailFixture) -> None:
    stingy: Any = PartialBatchClient(mail.client, 99)
    outbox = DynamoOutbox(stingy, mail.tables.directory, mail.tables.events, lambda _: None)
    with pytest.raises(Unavailable):
        outbox.read(frozenset({"bob"}), frozenset())
    assert len(stingy.asked) == BATCH_TRIES


def test_what_is_mailed_is_noted_without_a_new_version(mail: MailFixture, outbox: DynamoOutbox) -> None:
    mail.user("Bea", Role.READ_ONLY, invitation=Invitation("i-1", {"00": NOW}))
    before = item(mail)
    assert outbox.note_mailed("bea", "i-1", b"\xaa" * 32, NOW + 5)
    assert outbox.note_mailed("bea", "i-1", b"\xbb" * 32, NOW + 6)
    assert outbox.note_mailed("bea", "i-1", b"\xbb" * 32, NOW + 6), "a repeated call changes nothing"
    assert outbox.note_mailed("bea", "i-2", b"\xcc" * 32, NOW + 6)
    assert digests(mail) == {"00": NOW, "aa" * 32: NOW + 5, "bb" * 32: NOW + 6}
    assert {name: it for name, it in item(mail).items() if not name.startswith(MAILED)} == before


def test_nothing_is_noted_about_whoever_is_gone(mail: MailFixture, outbox: DynamoOutbox) -> None:
    assert not outbox.note_mailed("bea", "i-1", b"\xaa" * 32, NOW + 5)
    found = mail.client.get_item(TableName=mail.tables.directory, Key={"pk": {"S": "USER#bea"}})
    assert "Item" not in found


def item(mail: MailFixture) -> Any:
    return mail.client.get_item(
        TableName=mail.tables.directory, Key={"pk": {"S": "USER#bea"}}, ConsistentRead=True
    )["Item"]


def digests(mail: MailFixture) -> dict[str, int]:
    """Return the digests of the invitation as the API reads them."""
    user = principal_from_item(item(mail))
    assert isinstance(user, User)
    assert user.invitation is not None
    return user.invitation.digests
