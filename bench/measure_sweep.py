"""What a sweep costs: time, memory and capacity, for many keys at once.

``python -m local.dynamodb_local -- python -m bench.measure_sweep [KEYS]``, 100,000 by default, four to a
Service User and 100 Service Users to an account: a day with nothing to do; the day on which one in a
hundred has a notice due; the day after every account made its policy stricter, so that every key is told of;
and the day on which all are revoked. A run has the 300 seconds that Lambda gives it; the next goes on.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.config import Config

from chalicelib.expiry.sweep import sweep
from chalicelib.rules.model import Account, ApiKey, Policy, ServiceUser, User
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store import client as store_client
from chalicelib.store.items import to_item
from chalicelib.store.sweep import DynamoSweeps
from local.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAY = 86_400
TODAY = 1_900_022_400  # the start of a day of UTC
PER_ACCOUNT = 100
LAMBDA_SECONDS = 300
NETWORKS = ("203.0.113.0/24", "2001:db8::/32")


class Meter:
    """Capacity units and calls, as the engine counts them."""

    def __init__(self, client: Any) -> None:
        self.units: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        events = client.meta.events
        events.register("provide-client-params.dynamodb", self._ask)
        events.register("after-call.dynamodb", self._count)

    def _ask(self, params: dict[str, Any], model: Any, **_more: Any) -> None:
        if model.name != "DeleteTable":
            params["ReturnConsumedCapacity"] = "TOTAL"

    def _count(self, parsed: dict[str, Any], model: Any, **_more: Any) -> None:
        self.calls[model.name] += 1
        consumed = parsed.get("ConsumedCapacity", [])
        for one in consumed if isinstance(consumed, list) else [consumed]:
            kind = "read" if model.name in ("Scan", "GetItem", "BatchGetItem") else "write"
            self.units[kind] += one.get("CapacityUnits", 0.0)


def main() -> None:
    """Fill the tables, and sweep on four days."""
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    session = store_client.session()
    url = os.environ["DYNAMODB_LOCAL_URL"]
    client: Any = session.create_client("dynamodb", config=store_client.CONFIG, endpoint_url=url)
    patient: Any = session.create_client("dynamodb", config=Config(read_timeout=300), endpoint_url=url)
    mark = uuid4().hex[:12]
    directory, events = f"directory-{mark}", f"events-{mark}"
    create_tables(patient, {"Directory": directory, "Events": events})
    started = time.monotonic()
    count = fill(patient, directory, keys // 4)
    print(f"{keys} keys of {keys // 4} Service Users, {count} items, in {time.monotonic() - started:.0f} s")
    sweeps = DynamoSweeps(client, directory, events, 400)
    measure("a day with nothing to do", client, sweeps, TODAY)
    measure("one Service User in a hundred is told", client, sweeps, TODAY + 5 * DAY)
    stricter(patient, directory, keys // 4)
    measure("every key is told of", client, sweeps, TODAY + 6 * DAY)
    measure("every key is told of again", client, sweeps, TODAY + 15 * DAY)
    mailed(patient, events)
    measure("every key is revoked", client, sweeps, TODAY + 16 * DAY)


def measure(what: str, client: Any, sweeps: DynamoSweeps, now: int) -> None:
    """Run the function hour by hour until the day is done, and say what it took."""
    meter = Meter(client)
    counts: Counter[str] = Counter()
    runs, longest, began = 0, 0.0, time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF)
    while not counts["done"]:
        run = time.monotonic()
        end = run + LAMBDA_SECONDS
        counts.update(sweep(sweeps, lambda: now, lambda end=end: int((end - time.monotonic()) * 1000)))  # type: ignore[misc]
        runs += 1
        longest = max(longest, time.monotonic() - run)
    used = resource.getrusage(resource.RUSAGE_SELF)
    client.meta.events.unregister("provide-client-params.dynamodb", meter._ask)
    client.meta.events.unregister("after-call.dynamodb", meter._count)
    print(f"\n{what}: {dict(counts)}")
    print(
        f"  {time.monotonic() - began:.1f} s in {runs} run(s), the longest {longest:.1f} s; "
        f"{used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime:.1f} s of processor; "
        f"{used.ru_maxrss / 1024:.0f} MB at the most"
    )
    print(
        f"  {meter.units['read']:.0f} read units, {meter.units['write']:.0f} write units; {dict(meter.calls)}"
    )


def fill(client: Any, table: str, machines: int) -> int:
    """Write Service Users of accounts that have a policy, with what a living key has."""
    return put(client, table, items(machines))


def items(machines: int) -> Iterator[dict[str, Any]]:
    """Answer the items: one Service User in a hundred has keys that are to be told of in five days."""
    for number in range(machines):
        account, place = divmod(number, PER_ACCOUNT)
        if place == 0:
            yield account_item(account, Policy(365, 365))
            yield owner_item(account)
        age = 350 if place == 0 else 200
        yield machine_item(number, account, TODAY - age * DAY)


def account_item(account: int, policy: Policy) -> dict[str, Any]:
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


def machine_item(number: int, account: int, made: int) -> dict[str, Any]:
    username = f"service-user-{number:06}"
    key = ApiKey(
        digest=os.urandom(32),
        last5="7ac6a",
        created_at=made,
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
        created_at=made,
        display_name=f"Service User {number}",
        id=f"{number:016x}",
        administrators={f"owner-{account}": "m"},
        keys=dict.fromkeys(KeyType, key),
    )
    return to_item(user, pk=f"USER#{username}", listKey=f"SERVICE_USER#{username}")


def put(client: Any, table: str, made: Iterable[dict[str, Any]]) -> int:
    """Write items by 25, and answer how many."""
    batch: list[dict[str, Any]] = []
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


def stricter(client: Any, table: str, machines: int) -> None:
    """Have every account end keys that are 90 days old."""
    put(
        client,
        table,
        (account_item(number, Policy(90, 90, True)) for number in range(-(-machines // PER_ACCOUNT))),
    )


def mailed(client: Any, table: str) -> None:
    """Have every notice out: what the mailer marks, without the mail."""
    start: dict[str, Any] = {}
    while True:
        page = client.scan(TableName=table, **start)
        out = (
            {
                **{name: value for name, value in item.items() if name not in ("waiting", "dueAt")},
                "told": {"M": {"owner": item["at"]}},
            }
            for item in page["Items"]
        )
        put(client, table, out)
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


if __name__ == "__main__":
    main()
