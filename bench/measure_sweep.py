"""Measures what a sweep costs: time, memory and capacity, for many keys at once.

``python -m local.dynamodb_local -- python -m bench.measure_sweep [KEYS]``; 100,000 keys by default, four for
each Service User and 100 Service Users for each account. Measured are: a day with nothing to do; the day on
which one Service User in a hundred has an expiry notice due; the day after every account tightened its
policy, so that every key has one due; and the day on which every key is revoked. A run has Lambda's 300
seconds, and the next run continues.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from botocore.config import Config

from bench.capacity import metered
from chalicelib.expiry.sweep import sweep
from chalicelib.rules.model import Account, ApiKey, Policy, ServiceUser, User
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store import client as store_client
from chalicelib.store.items import to_item
from chalicelib.store.sweep import DynamoSweeps
from local.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from types_boto3_dynamodb import DynamoDBClient

DAY = 86_400
TODAY = 1_900_022_400  # the start of a day of UTC
PER_ACCOUNT = 100
LAMBDA_SECONDS = 300
NETWORKS = ("203.0.113.0/24", "2001:db8::/32")


def main() -> None:
    """Fill the tables, and sweep on each of the days."""
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    session = store_client.session()
    url = os.environ["DYNAMODB_LOCAL_URL"]
    client = cast(
        "DynamoDBClient",
        session.create_client("dynamodb", config=store_client.CONFIG, endpoint_url=url),
    )
    # With a longer timeout, for what is not measured.
    setup_client = cast(
        "DynamoDBClient",
        session.create_client("dynamodb", config=Config(read_timeout=300), endpoint_url=url),
    )
    suffix = uuid4().hex[:12]
    directory, events = f"directory-{suffix}", f"events-{suffix}"
    create_tables(setup_client, {"Directory": directory, "Events": events})
    started = time.monotonic()
    count = write_service_users(setup_client, directory, keys // 4)
    print(f"{keys} keys of {keys // 4} Service Users, {count} items, in {time.monotonic() - started:.0f} s")
    sweeps = DynamoSweeps(client, directory, events, 400)
    measure("a day with nothing to do", client, sweeps, TODAY)
    measure("one Service User in a hundred has a notice due", client, sweeps, TODAY + 5 * DAY)
    tighten_policies(setup_client, directory, keys // 4)
    measure("every key has a first notice due", client, sweeps, TODAY + 6 * DAY)
    measure("every key has a second notice due", client, sweeps, TODAY + 15 * DAY)
    mark_notified(setup_client, events)
    measure("every key is revoked", client, sweeps, TODAY + 16 * DAY)


def measure(title: str, client: DynamoDBClient, sweeps: DynamoSweeps, now: int) -> None:
    """Run the function again and again until the day is done; print time, memory and capacity."""
    counts: Counter[str] = Counter()
    runs, longest, began = 0, 0.0, time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF)
    with metered(client) as meter:
        while not counts["done"]:
            run = time.monotonic()
            counts.update(sweep(sweeps, lambda: now, countdown(run + LAMBDA_SECONDS)))
            runs += 1
            longest = max(longest, time.monotonic() - run)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"\n{title}: {dict(counts)}")
    print(
        f"  {time.monotonic() - began - meter.seconds:.1f} s in {runs} run(s), the longest {longest:.1f} s; "
        f"{used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime - meter.cpu:.1f} s of CPU; "
        f"{used.ru_maxrss / 1024:.0f} MiB peak memory"
    )
    print(
        f"  {meter.units['reads']:.0f} read units, {meter.units['writes']:.0f} write units; "
        f"{dict(meter.calls)}"
    )


def countdown(end: float) -> Callable[[], int]:
    """Return a function that returns the milliseconds left until ``end`` (``time.monotonic``)."""
    return lambda: int((end - time.monotonic()) * 1000)


def write_service_users(client: DynamoDBClient, table: str, count: int) -> int:
    """Write Service Users with keys in use, in accounts with a policy; return the number of items."""
    return put(client, table, items(count))


def items(count: int) -> Iterator[dict[str, Any]]:
    """Yield the items; one Service User in a hundred has an expiry notice due in five days."""
    for number in range(count):
        account, place = divmod(number, PER_ACCOUNT)
        if place == 0:
            yield account_item(account, Policy(365, 365))
            yield owner_item(account)
        age = 350 if place == 0 else 200
        yield service_user_item(number, account, TODAY - age * DAY)


def account_item(account: int, policy: Policy) -> dict[str, Any]:
    """Return the item of an account."""
    made = Account(
        id=f"account-{account}",
        name=f"Account {account}",
        version="v",
        created_at=0,
        owners={f"owner-{account}": "m"},
        policy=policy,
    )
    return to_item(made, pk=f"ACCOUNT#{made.id}")


def owner_item(account: int) -> dict[str, Any]:
    """Return the item of an account's OWNER."""
    user = User(
        username=f"owner-{account}",
        account=f"account-{account}",
        email=f"owner-{account}@people.example",
        role=Role.OWNER,
        version="v",
        created_at=0,
        membership="m",
    )
    return to_item(user, pk=f"USER#{user.username}", listKey=f"USER#{user.username}")


def service_user_item(number: int, account: int, created_at: int) -> dict[str, Any]:
    """Return the item of a Service User with a key of every type."""
    username = f"service-user-{number:06}"
    key = ApiKey(
        digest=os.urandom(32),
        last5="7ac6a",
        created_at=created_at,
        created_by=f"owner-{account}",
        last_used_at=TODAY - 3600,
        networks=NETWORKS,
    )
    user = ServiceUser(
        username=username,
        account=f"account-{account}",
        email=f"{username}@machines.example",
        role=Role.CLUSTER_ADMIN,
        version="v",
        created_at=created_at,
        display_name=f"Service User {number}",
        id=f"{number:016x}",
        administrators={f"owner-{account}": "m"},
        keys=dict.fromkeys(KeyType, key),
    )
    return to_item(user, pk=f"USER#{username}", listKey=f"SERVICE_USER#{username}")


def put(client: DynamoDBClient, table: str, made: Iterable[dict[str, Any]]) -> int:
    """Write items in batches of 25, and return how many."""
    batch: list[Any] = []
    count = 0
    for item in made:
        batch.append({"PutRequest": {"Item": item}})
        if len(batch) == 25:
            client.batch_write_item(RequestItems={table: batch})
            count += len(batch)
            batch = []
    if batch:
        client.batch_write_item(RequestItems={table: batch})
    return count + len(batch)


def tighten_policies(client: DynamoDBClient, table: str, count: int) -> None:
    """Let keys of every account expire after 90 days."""
    put(
        client,
        table,
        (account_item(number, Policy(90, 90, True)) for number in range(-(-count // PER_ACCOUNT))),
    )


def mark_notified(client: DynamoDBClient, table: str) -> None:
    """Mark every event as notified, as the mailer does after the email."""
    start: dict[str, Any] = {}
    while True:
        page = client.scan(TableName=table, **start)
        notified = (
            {
                **{name: value for name, value in item.items() if name not in ("waiting", "dueAt")},
                "told": {"M": {"owner": item["at"]}},
            }
            for item in page["Items"]
        )
        put(client, table, notified)
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


if __name__ == "__main__":
    main()
