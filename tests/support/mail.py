"""Helpers for tests of mail: users and events in tables, an SES that can fail, and killed functions."""

import email
import email.policy
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError

from chalicelib.mail.fairness import Share
from chalicelib.mail.notify import Mailer, notify, resend
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    Audience,
    Change,
    Enrolment,
    Event,
    Invitation,
    KeyChange,
    Kind,
    ServiceUser,
    Subject,
    User,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.notifications import LEASE
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store.items import from_attribute, to_item
from chalicelib.store.outbox import DynamoOutbox
from chalicelib.store.trail import event_item
from tests.support.api_client import Clock, Tables

SENDER = "service-users@mail.example"
PUBLIC_URL = "https://api.example"
INJECTED = ("kill before", "kill after", "response lost")
CI_BOT = Subject(Kind.SERVICE_USER, "ci-bot", "CI bot")
BEA = Subject(Kind.USER, "Bea", "Bea M", "bea@people.example")
ALICE = Actor(Kind.USER, "Alice")

_numbers = itertools.count(1)


def generated(last5: str = "7ac6a", key_type: KeyType = KeyType.MONITORING) -> KeyChange:
    return KeyChange(Change.GENERATED, key_type, last5)


def revoked(last5: str = "7ac6a", key_type: KeyType = KeyType.MONITORING) -> KeyChange:
    return KeyChange(Change.REVOKED, key_type, last5)


def make_event(**fields: Any) -> Event:
    """Return a pending event as the API writes it; by default, Alice generated a key for ci-bot."""
    at = fields.pop("at", 1_900_000_000)
    number = next(_numbers)
    audience = fields.get("audience", Audience.ADMINISTRATORS)
    return Event(
        **{
            "id": f"{at * 1000:012x}{number:016x}",
            "account": "acme",
            "at": at,
            "action": Action.API_KEY_GENERATED,
            "actor": ALICE,
            "subject": CI_BOT,
            "keys": (generated(),),
            "source_ip": "198.51.100.7",
            "request_id": f"request-{number}",
            "audience": audience,
            "administrators": {} if audience is Audience.PERSON else {"alice": "m-alice"},
            "due_at": at,
            **fields,
        }
    )


def ses_error(code: str, message: str = "") -> ClientError:
    """Return an error of SES."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "SendEmail")


class Ses:
    """A fake SES that keeps every message. ``hook`` is called with each recipient first, and may raise."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, EmailMessage]] = []
        self.asked: list[dict[str, Any]] = []
        self.calls = 0
        self.hook: Callable[[str], None] = lambda _recipient: None
        self._lock = threading.Lock()

    def send_email(self, **asked: Any) -> dict[str, str]:
        [recipient] = asked["Destination"]["ToAddresses"]
        with self._lock:
            self.calls += 1
        self.hook(recipient)
        message = email.message_from_bytes(asked["Content"]["Raw"]["Data"], policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        assert message["To"] == recipient
        with self._lock:
            self.sent.append((recipient, message))
            self.asked.append(asked)
        return {"MessageId": f"m-{len(self.sent)}"}

    def told(self) -> Counter[tuple[str, str]]:
        """Return how often each event was mailed to each address."""
        return Counter((str(message["Service-Users-Event"]), to) for to, message in self.sent)

    @property
    def addresses(self) -> list[str]:
        return [to for to, _ in self.sent]


@dataclass
class MailFixture:
    """Tables with users, a fake SES, a clock, and the mailer that connects them."""

    client: Any
    tables: Tables
    clock: Clock
    ses: Any = field(default_factory=Ses)
    remaining_ms: Callable[[], int] = lambda: 600_000
    outbox_client: Any = None
    mails_per_hour: int | None = None
    share: Share | None = None
    sleep: Callable[[float], None] = lambda _seconds: None
    configuration_set: str = ""

    @property
    def mailer(self) -> Mailer:
        return Mailer(
            outbox=DynamoOutbox(
                self.outbox_client or self.client,
                self.tables.directory,
                self.tables.events,
                sleep=lambda _: None,
            ),
            ses=self.ses,
            sender=SENDER,
            public_url=PUBLIC_URL,
            now=self.clock,
            remaining_ms=self.remaining_ms,
            chance=lambda: 0.5,
            sleep=self.sleep,
            mails_per_hour=self.mails_per_hour,
            share=self.share,
            configuration_set=self.configuration_set,
        )

    # Users

    def account(self, account: str = "acme", name: str = "Demo", **owners: str) -> None:
        made = Account(id=account, name=name, version="v", created_at=0, owners=owners)
        self._put(self.tables.directory, to_item(made, pk=f"ACCOUNT#{account}"))

    def user(
        self,
        username: str,
        role: Role = Role.CLUSTER_ADMIN,
        *,
        membership: str = "",
        account: str = "acme",
        invitation: Invitation | None = None,
        enrolment: Enrolment | None = None,
        email: str = "",
    ) -> None:
        name = fold_username(username)
        made = User(
            username=username,
            account=account,
            email=email or f"{name}@people.example",
            role=role,
            version="v",
            created_at=0,
            membership=membership or f"m-{name}",
            invitation=invitation,
            enrolment=enrolment,
        )
        self._put(self.tables.directory, to_item(made, pk=f"USER#{name}", listKey=f"USER#{name}"))

    def machine(self, username: str) -> None:
        name = fold_username(username)
        made = ServiceUser(
            username=username,
            account="acme",
            email=f"{name}@machines.example",
            role=Role.OWNER,
            version="v",
            created_at=0,
            id="i",
        )
        self._put(self.tables.directory, to_item(made, pk=f"USER#{name}", listKey=f"SERVICE_USER#{name}"))

    def demo_account(self, *administrators: str) -> None:
        """Create the account Demo with the OWNER "owner" and these CLUSTER_ADMINs."""
        self.account("acme", "Demo", owner="m-owner")
        self.user("owner", Role.OWNER)
        for username in administrators:
            self.user(username)

    def gone(self, username: str) -> None:
        self.client.delete_item(
            TableName=self.tables.directory, Key={"pk": {"S": f"USER#{fold_username(username)}"}}
        )

    # Events

    def event(self, **fields: Any) -> Event:
        """Write an event as the API does."""
        made = make_event(**{"at": int(self.clock()), **fields})
        self._put(self.tables.events, event_item(made, 400))
        return made

    def stored(self, event: Event) -> dict[str, Any]:
        """Return an event's item as plain values."""
        item = self.client.get_item(
            TableName=self.tables.events,
            Key={"account": event_item(event, 1)["account"], "id": {"S": event.id}},
            ConsistentRead=True,
        )["Item"]
        return {name: from_attribute(value) for name, value in item.items()}

    def forget(self, event: Event) -> None:
        """Delete an event, as the table's TTL does."""
        self.client.delete_item(
            TableName=self.tables.events, Key={"account": {"S": event.account}, "id": {"S": event.id}}
        )

    def waiting(self) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("scan").paginate(TableName=self.tables.events, IndexName="waiting")
        return [item for page in pages for item in page["Items"]]

    def _put(self, table: str, item: dict[str, Any]) -> None:
        self.client.put_item(TableName=table, Item=item)

    # Runs

    def notify(self, *events: Event) -> list[str]:
        """Run ``notify`` on the records of new events; return the sequence numbers of those that failed."""
        return self.notify_records([record(event) for event in events])

    def notify_records(self, records: Iterable[dict[str, Any]]) -> list[str]:
        return [failure["itemIdentifier"] for failure in notify(records, self.mailer)["batchItemFailures"]]

    def resend(self) -> dict[str, int]:
        return resend(self.mailer)

    def resend_until_done(self, rounds: int = 60) -> None:
        """Run ``resend``, moving the clock, until no event is pending."""
        for _ in range(rounds):
            if not self.waiting():
                return
            self.clock.forward(LEASE + 1)
            self.resend()
        raise AssertionError(f"still waiting: {self.waiting()}")


def record(event: Event, name: str = "INSERT") -> dict[str, Any]:
    """Return a record of the stream as Lambda passes it to a function."""
    item = event_item(event, 400)
    return {
        "eventID": event.id,
        "eventName": name,
        "dynamodb": {
            "Keys": {"account": item["account"], "id": item["id"]},
            "NewImage": item,
            "SequenceNumber": str(int(event.id, 16)),
        },
    }


class Refusing:
    """A client of DynamoDB that refuses what is asked about some events, by a code."""

    def __init__(self, mail: MailFixture, code: str, refused: set[str], calls: tuple[int, ...]) -> None:
        self._client: Any = mail.client
        self._refused, self._calls = refused, calls
        self._error = ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")
        self._asked = Counter[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def update_item(self, **parameters: Any) -> Any:
        id_ = parameters["Key"].get("id", {"S": ""})["S"]
        self._asked[id_] += 1
        if id_ in self._refused and self._asked[id_] in self._calls:
            raise self._error
        return self._client.update_item(**parameters)


class Killed(BaseException):
    """The environment was killed at this point; no handler in the code catches this."""


class Faults:
    """Numbers every AWS call of the clients that it wraps, and lets ``fault`` fail some of them."""

    def __init__(self, fault: "Callable[[int, str], str]") -> None:
        self.calls = 0
        self.injected = 0
        self._fault = fault
        self._lock = threading.Lock()

    def wrap(self, client: Any) -> Any:
        return _Faulty(client, self)

    def call(self, operation: str, do: Callable[..., Any], asked: dict[str, Any]) -> Any:
        with self._lock:
            self.calls += 1
            kind = self._fault(self.calls, operation)
            self.injected += kind in INJECTED
        if kind == "kill before":
            raise Killed(operation)
        if kind == "throttled":
            code = "TooManyRequestsException" if operation == "send_email" else "ThrottlingException"
            raise ClientError({"Error": {"Code": code, "Message": "Slow down."}}, operation)
        response = do(**asked)
        if kind == "kill after":
            raise Killed(operation)
        if kind == "response lost":
            raise ConnectionClosedError(endpoint_url="https://aws.example")
        return response


class _Faulty:
    def __init__(self, client: Any, faults: Faults) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in ("exceptions", "meta"):
            return found
        return lambda **asked: self._faults.call(name, found, asked)


class SmallPages:
    """A client whose Queries return a few items at a time, as DynamoDB's do past a megabyte."""

    def __init__(self, client: Any, size: int) -> None:
        self.pages = 0
        self._client = client
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, **asked: Any) -> Any:
        self.pages += 1
        return self._client.query(**{**asked, "Limit": self._size})


def shuffled(records: Iterable[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return every record twice, in random order."""
    doubled = [*records, *records]
    random.Random(seed).shuffle(doubled)
    return doubled


class Page(HTMLParser):
    """The visible text of an HTML page, and its tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.comments: list[str] = []
        self._text: list[str] = []
        self._hidden = 0
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._hidden += tag == "style"
        self._text.append(" " if tag in ("p", "td", "tr", "br", "h1", "h2", "pre", "div") else "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def attributes_known(self) -> set[tuple[str, str]]:
        """Return the attributes that each tag has."""
        return {(tag, name) for tag, name, _ in self.attributes}
