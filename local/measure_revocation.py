"""Measures revoking every key of an account, interrupted in the middle, and checks that nothing was missed.

``python -m local.dynamodb_local -- python -m local.measure_revocation [SERVICE_USERS]``; 10,000 by default,
each with two keys, in an account with an OWNER and three Administrators. The first run is killed once a
third is done, and a second one goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from chalicelib.rules import key_format
from chalicelib.rules.model import Account, Action, ApiKey, ServiceUser, User
from chalicelib.rules.names import fold_email
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store import addresses, pointers
from chalicelib.store import client as store_client
from chalicelib.store.items import to_item
from chalicelib.store.principals import item_from_principal
from deploy.bulk import Tables, principals
from deploy.maintenance import write_items
from deploy.revocation import revoke_account
from local.tables import create_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

ACCOUNT = "3f0f5c1e-0000-4000-8000-000000000000"
ADMINISTRATORS = ("ann", "bea", "cid")
AT = 1_900_000_000
TYPES = ("MONITORING", "PROVISIONING_READONLY")


def main() -> None:
    """Fill the tables, revoke, and print what that took."""
    if len(sys.argv) == 4 and sys.argv[1] == "--revoke":
        tables = Tables(sys.argv[2], sys.argv[3], 400)
        print(revoke_account(_client(), tables, ACCOUNT, users=False))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    mark = uuid4().hex[:12]
    tables = Tables(f"directory-{mark}", f"events-{mark}", 400)
    client = _client()
    create_tables(client, {"Directory": tables.directory, "Events": tables.events})
    _fill(client, tables, count)
    began = time.monotonic()
    first = _run(tables)
    while _keys(client, tables) > 2 * count * 2 // 3:
        if first.poll() is not None:
            raise SystemExit("The first run ended before it could be interrupted.")
        time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.wait()
    interrupted = time.monotonic() - began
    left = _keys(client, tables)
    second = _run(tables)
    if second.wait():
        raise SystemExit("The second run failed.")
    seconds = time.monotonic() - began
    print(f"{count} Service Users, {2 * count} keys; killed after {interrupted:.0f} s with {left} keys left")
    print(f"all together {seconds:.0f} s, {count / seconds:.0f} Service Users a second")
    _check(client, tables, count)


def _client() -> DynamoDBClient:
    session = store_client.session()
    endpoint = os.environ["DYNAMODB_LOCAL_URL"]
    return cast("DynamoDBClient", session.create_client("dynamodb", endpoint_url=endpoint))


def _run(tables: Tables) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "local.measure_revocation", "--revoke", tables.directory, tables.events]
    return subprocess.Popen(command)


def _keys(client: DynamoDBClient, tables: Tables) -> int:
    return sum(len(it.keys) for it in principals(client, tables.directory, ACCOUNT))


def _fill(client: DynamoDBClient, tables: Tables, count: int) -> None:
    people = [_person("owner", Role.OWNER), *(_person(name, Role.CLUSTER_ADMIN) for name in ADMINISTRATORS)]
    account = Account(id=ACCOUNT, name="Acme", version="1", created_at=AT, owners={"owner": "m-owner"})
    items: list[Any] = [{**to_item(account), "pk": {"S": f"ACCOUNT#{ACCOUNT}"}}]
    items += [item_from_principal(person) for person in people]
    links = {name: f"m-{name}" for name in ADMINISTRATORS}
    for number in range(count):
        name = f"bot-{number:05}"
        keys = {KeyType(it): _key() for it in TYPES}
        machine = ServiceUser(
            username=name,
            account=ACCOUNT,
            email=f"{name}@machines.example",
            role=Role.READ_ONLY,
            version="1",
            created_at=AT,
            id=name,
            administrators=links,
            keys=keys,
            email_by_account=True,
        )
        items.append(item_from_principal(machine))
        items.append(
            {"pk": {"S": addresses.name(ACCOUNT, fold_email(machine.email))}, "username": {"S": name}}
        )
        items += [pointers.item(machine, key.digest, key.last5) for key in keys.values()]
    write_items(client, tables.directory, [{"PutRequest": {"Item": item}} for item in items])


def _person(name: str, role: Role) -> User:
    email = f"{name}@people.example"
    return User(
        username=name,
        account=ACCOUNT,
        email=email,
        role=role,
        version="1",
        created_at=AT,
        membership=f"m-{name}",
    )


def _key() -> ApiKey:
    secret = key_format.new_key()
    return ApiKey(
        digest=key_format.digest(secret),
        last5=key_format.last5(secret),
        created_at=AT,
        created_by="ann",
        has_pointer=True,
    )


def _check(client: DynamoDBClient, tables: Tables, count: int) -> None:
    """Print what is left, and raise SystemExit if a key, an event or an email was missed or doubled."""
    revoked: Counter[str] = Counter()
    told: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    keys = 0
    for page in client.get_paginator("scan").paginate(TableName=tables.events, ConsistentRead=True):
        for item in page["Items"]:
            action, subject = item["action"]["S"], item["subject"]["M"]["username"]["S"]
            if action == Action.API_KEY_REVOKED.value:
                revoked[subject] += 1
                keys += len(item["keys"]["L"])
            if action == Action.ALL_API_KEYS_REVOKED.value:
                told[subject] += 1
            waiting[action] += "waiting" in item
    left = [
        item["pk"]["S"]
        for page in client.get_paginator("scan").paginate(TableName=tables.directory, ConsistentRead=True)
        for item in page["Items"]
        if item["pk"]["S"].startswith(pointers.PREFIX)
    ]
    print(
        f"events: {sum(revoked.values())} of {len(revoked)} Service Users and {keys} keys; "
        f"emails: {dict(told)}"
    )
    expected = dict.fromkeys(("owner", *ADMINISTRATORS), 1)
    whole = len(revoked) == count == sum(revoked.values()) and keys == 2 * count
    quiet = waiting[Action.API_KEY_REVOKED.value] == 0 and dict(told) == expected
    if not (whole and quiet and _keys(client, tables) == 0 and not left):
        raise SystemExit(f"Something was missed: {waiting}, {len(left)} pointers.")
    print("Nothing was missed, and each person gets one email.")


if __name__ == "__main__":
    main()
