"""Measures what notifying costs: AWS calls, capacity and time for each event, SES not counted.

``python -m local.dynamodb_local -- python -m bench.measure_mail [EVENTS]``; 10,000 events by default, all
of one account and one Service User. ``notify`` handles them in batches of 25, as from the stream, first
with one Administrator and then with three; ``resend`` handles a backlog of as many.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from bench.capacity import metered
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

    from types_boto3_dynamodb import DynamoDBClient

BATCH = 25
NOW = 1_900_000_000


class FakeSes:
    """An SES client that accepts every email at once."""

    def __init__(self) -> None:
        self.calls = self.bytes = 0

    def send_email(self, **parameters: Any) -> dict[str, str]:
        """Count the email."""
        self.calls += 1
        self.bytes += len(parameters["Content"]["Raw"]["Data"])
        return {}


def write_events(client: DynamoDBClient, table: str, administrators: int, count: int) -> list[dict[str, Any]]:
    """Write pending events, and return their stream records."""
    events = [
        Event(
            id=f"{NOW * 1000:012x}{number:016x}",
            account=f"acme-{administrators}",
            at=NOW,
            action=Action.API_KEY_GENERATED,
            actor=Actor(Kind.USER, "admin0"),
            subject=Subject(Kind.SERVICE_USER, "ci-bot", "CI bot"),
            keys=(KeyChange(Change.GENERATED, KeyType("MONITORING"), "7ac6a"),),
            source_ip="198.51.100.7",
            request_id=f"request-{number}",
            audience=Audience.ADMINISTRATORS,
            administrators={f"admin{each}-{administrators}": "m" for each in range(administrators)},
            due_at=NOW,
        )
        for number in range(count)
    ]
    items: list[dict[str, Any]] = [event_item(event, 400) for event in events]
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


def write_users(client: DynamoDBClient, table: str, administrators: int) -> None:
    """Write an account and its Administrators."""
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


def measure(name: str, client: DynamoDBClient, ses: FakeSes, count: int, run: Callable[[], object]) -> None:
    """Run it, and print the calls, capacity units and time for each event."""
    before, started = ses.calls, time.perf_counter()
    with metered(client) as meter:
        run()
    seconds = time.perf_counter() - started - meter.seconds
    calls = [f"{number / count:.3f} {kind}" for kind, number in sorted(meter.calls.items())]
    calls.append(f"{(ses.calls - before) / count:.2f} SendEmail")
    units = f"{meter.units['reads'] / count:.2f} read units, {meter.units['writes'] / count:.2f} write units"
    print(f"{name}: {', '.join(calls)}; {units}; {1000 * seconds / count:.2f} ms for each event")


def main(count: int) -> None:
    """Measure with ``count`` events."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    url = os.environ.get("DYNAMODB_LOCAL_URL")
    if url is None:
        raise SystemExit(
            "Run it beside the engine: python -m local.dynamodb_local -- python -m bench.measure_mail"
        )
    session = store_client.session()
    client = cast(
        "DynamoDBClient",
        session.create_client("dynamodb", endpoint_url=url, config=store_client.CONFIG),
    )
    suffix = uuid4().hex[:8]
    names = {"Directory": f"bench-directory-{suffix}", "Events": f"bench-events-{suffix}"}
    create_tables(client, names)
    ses: Any = FakeSes()
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
        write_users(client, names["Directory"], administrators)
        records = write_events(client, names["Events"], administrators, count)

        def stream(records: list[dict[str, Any]] = records) -> None:
            for start in range(0, count, BATCH):
                assert notify(records[start : start + BATCH], mailer) == {"batchItemFailures": []}

        measure(f"notify, {administrators} recipient(s)", client, ses, count, stream)
    write_events(client, names["Events"], 1, count)
    measure("resend, 1 recipient(s)", client, ses, count, lambda: resend(mailer))
    print(f"{ses.bytes / ses.calls / 1024:.1f} KiB for each email")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
