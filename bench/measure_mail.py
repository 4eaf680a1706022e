"""What mailing costs: AWS calls, capacity and time for each event, with SES at no cost.

``python -m local.dynamodb_local -- python -m bench.measure_mail [EVENTS]``, 10,000 by default, all of one
account and one Service User: every event to one Administrator, then every event to three, by ``notify`` in
batches of 25 as the stream passes them; and a backlog of as many by ``resend``.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chalicelib.mail.notify import Mailer, notify, resend
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    Audience,
    Change,
    Event,
    KeyChange,
    Kind,
    Subject,
    User,
)
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store import client as store_client
from chalicelib.store.items import to_item
from chalicelib.store.outbox import DynamoOutbox
from chalicelib.store.trail import event_item
from local.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 25
NOW = 1_900_000_000


class Meter:
    """Counts a client's calls, and the capacity they consumed."""

    def __init__(self, client: Any) -> None:
        self.calls: Counter[str] = Counter()
        self.reads = self.writes = 0.0
        client.meta.events.register("provide-client-params.dynamodb", self._ask)
        client.meta.events.register("after-call.dynamodb", self._count)

    def _ask(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"

    def _count(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self.calls[model.name] += 1
        found = parsed.get("ConsumedCapacity", [])
        units = sum(
            each.get("CapacityUnits", 0.0) for each in (found if isinstance(found, list) else [found])
        )
        if model.name in ("BatchGetItem", "Query"):
            self.reads += units
        else:
            self.writes += units


class Ses:
    """An SES that takes everything at once."""

    def __init__(self) -> None:
        self.calls = self.bytes = 0

    def send_email(self, **asked: Any) -> dict[str, str]:
        self.calls += 1
        self.bytes += len(asked["Content"]["Raw"]["Data"])
        return {}


def fill(client: Any, table: str, administrators: int, count: int) -> list[dict[str, Any]]:
    """Put events on record and answer their records of the stream."""
    events = [
        Event(
            id=f"{NOW * 1000:012x}{number:016x}",
            account=f"acme-{administrators}",
            at=NOW,
            action=Action.API_KEY_GENERATED,
            actor=Actor(Kind.USER, "admin0"),
            subject=Subject(Kind.SERVICE_USER, "ci-bot", "CI bot"),
            keys=(KeyChange(Change.GENERATED, KeyType.MONITORING, "7ac6a"),),
            source_ip="198.51.100.7",
            request_id=f"request-{number}",
            audience=Audience.ADMINISTRATORS,
            administrators={f"admin{each}-{administrators}": "m" for each in range(administrators)},
            due_at=NOW,
        )
        for number in range(count)
    ]
    items = [event_item(event, 400) for event in events]
    for start in range(0, count, 25):
        client.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}
        )
    return [
        {
            "eventName": "INSERT",
            "dynamodb": {
                "Keys": {"account": item["account"], "id": item["id"]},
                "NewImage": item,
                "SequenceNumber": str(number),
            },
        }
        for number, item in enumerate(items)
    ]


def people(client: Any, table: str, administrators: int) -> None:
    account = f"acme-{administrators}"
    made = Account(id=account, name="Demo", version="v", created_at=NOW)
    client.put_item(TableName=table, Item=to_item(made, pk=f"ACCOUNT#{account}"))
    for number in range(administrators):
        name = f"admin{number}-{administrators}"
        user = User(
            username=name,
            account=account,
            email=f"admin{number}@people.example",
            role=Role.CLUSTER_ADMIN,
            version="v",
            created_at=NOW,
            membership="m",
        )
        client.put_item(TableName=table, Item=to_item(user, pk=f"USER#{name}", listKey=f"USER#{name}"))


def measure(name: str, client: Any, ses: Ses, count: int, run: Callable[[], None]) -> None:
    meter = Meter(client)
    before, started = ses.calls, time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    calls = [f"{number / count:.3f} {kind}" for kind, number in sorted(meter.calls.items())]
    calls.append(f"{(ses.calls - before) / count:.2f} SendEmail")
    units = f"{meter.reads / count:.2f} RCU, {meter.writes / count:.2f} WCU"
    print(f"{name}: {', '.join(calls)}; {units}; {1000 * seconds / count:.2f} ms an event")
    client.meta.events.unregister("provide-client-params.dynamodb", meter._ask)
    client.meta.events.unregister("after-call.dynamodb", meter._count)


def main(count: int) -> None:
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    url = os.environ.get("DYNAMODB_LOCAL_URL")
    if url is None:
        raise SystemExit(
            "Run it beside the engine: python -m local.dynamodb_local -- python -m bench.measure_mail"
        )
    client = store_client.session().create_client("dynamodb", endpoint_url=url, config=store_client.CONFIG)
    mark = uuid4().hex[:8]
    names = {"Directory": f"bench-directory-{mark}", "Events": f"bench-events-{mark}"}
    create_tables(client, names)
    ses: Any = Ses()
    mailer = Mailer(
        outbox=DynamoOutbox(client, names["Directory"], names["Events"]),
        ses=ses,
        sender="service-users@mail.example",
        public_url="https://api.example",
        now=lambda: NOW + time.monotonic() % 1000,
        remaining_ms=lambda: 600_000,
    )
    print(f"{count} events of one account, batches of {BATCH}")
    for administrators in (1, 3):
        people(client, names["Directory"], administrators)
        records = fill(client, names["Events"], administrators, count)

        def stream(records: list[dict[str, Any]] = records) -> None:
            for start in range(0, count, BATCH):
                assert notify(records[start : start + BATCH], mailer) == {"batchItemFailures": []}

        measure(f"notify, {administrators} to tell", client, ses, count, stream)
    fill(client, names["Events"], 1, count)
    measure("resend, 1 to tell", client, ses, count, lambda: print("", resend(mailer)))
    print(f"{ses.bytes / ses.calls / 1024:.1f} KB a message")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
