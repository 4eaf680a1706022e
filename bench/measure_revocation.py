"""Measures how often a revocation wins at its first try against a thief who rotates the same keys.

``python -m local.dynamodb_local -- python -m bench.measure_revocation [CONTESTS]``; 1,000 contests by
default, a third each of revoking a key, deleting a Service User and revoking a User. In each, eight threads
rotate the keys without pause and without budgets, each with the key it received last, and one call revokes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from chalice.local import LocalChalice

import app as application
from bench.calls import event
from chalicelib.functions.operator import create_account_function
from chalicelib.http.call import Service
from chalicelib.rules import key_format
from chalicelib.rules.limits import Limits
from chalicelib.store import client as store_client
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.trail import DynamoTrail
from local.event_sources import lambda_context
from local.package.emulator import Key
from local.tables import create_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

THIEVES = 8
UNLIMITED = Limits(
    key_changes_per_hour=3_600_000,
    key_change_burst=1_000_000,
    account_changes_per_minute=1_000_000,
    invitation_pause=0,
    invitations_per_day=1_000_000,
    account_invitations_per_day=1_000_000,
    users=1_000_000,
    service_users=1_000_000,
)
USERS, SERVICE_USERS = "/v1/users", "/v1/service-users"
ROTATE = ("POST", "/v1/api-keys/rotate", "/v1/api-keys/rotate")


def main() -> None:
    """Hold the contests; print what the first tries were answered, and how long they took."""
    contests = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    service = serve()
    owner = account(service)
    firsts: Counter[int] = Counter()
    rotations: Counter[int] = Counter()
    times: list[float] = []
    for number in range(contests):
        status, seconds = contest(owner, number, rotations)
        firsts[status] += 1
        times.append(seconds)
    times.sort()
    print(f"{contests} first tries, against {THIEVES} threads each: {dict(firsts)}; 409: {firsts[409]}")
    print(
        f"milliseconds of a first try: median {times[len(times) // 2] * 1000:.0f}, "
        f"p99 {times[int(len(times) * 0.99)] * 1000:.0f}, longest {times[-1] * 1000:.0f}"
    )
    print(f"responses to the thieves: {dict(rotations)}")


def serve() -> Service:
    """Serve the API from this process, each thread with a request of its own, on new tables of the engine."""
    client = cast(
        "DynamoDBClient",
        store_client.session().create_client(
            "dynamodb", config=store_client.CONFIG, endpoint_url=os.environ["DYNAMODB_LOCAL_URL"]
        ),
    )
    mark = uuid4().hex[:12]
    tables = f"directory-{mark}", f"events-{mark}"
    create_tables(client, {"Directory": tables[0], "Events": tables[1]})
    service = Service(
        directory=DynamoDirectory(client, *tables, 400, limits=UNLIMITED),
        trail=DynamoTrail(client, tables[1]),
        now=time.time,
        public_url="https://api.example",
    )
    application.api.service = lambda: service
    application.app.__class__ = type("Threaded", (LocalChalice, type(application.app)), {})
    return service


def account(service: Service) -> Key:
    """Create an account; return its OWNER's key."""
    wanted = {"accountName": "Acme", "username": "owner", "email": "owner@people.example"}
    return Key(
        "owner", str(create_account_function(wanted, lambda_context("create_account"), service)["apiKey"])
    )


def call(method: str, path: str, route: str, key: Key, body: Any = None, **more: Any) -> tuple[int, Any]:
    """Make a call; return its status and its response."""
    response = application.app(event(method, path, route, key, body, **more), None)
    return int(response["statusCode"]), json.loads(response["body"]) if response["body"] else None


def contest(owner: Key, number: int, rotations: Counter[int]) -> tuple[int, float]:
    """Let thieves rotate, and revoke; return the response to the first try, and how long it took."""
    name = f"target-{number}"
    target, held = person(owner, name) if number % 3 == 2 else machine(owner, name, of_key=number % 3 == 0)
    revoked, rotating, lock = threading.Event(), threading.Event(), threading.Lock()

    def rotate() -> None:
        key, status = held, 200
        while not revoked.is_set() and status in (200, 409):
            status, response = call(*ROTATE, key, {"overlapSeconds": 60})
            with lock:
                rotations[status] += 1
            if status == 200:
                key = Key(key.username, response["key"])
            rotating.set()

    thieves = [threading.Thread(target=rotate) for _ in range(THIEVES)]
    for thief in thieves:
        thief.start()
    rotating.wait()
    began = time.monotonic()
    status, _ = call(*target[0], owner, target[1], parameters={"username": name})
    seconds = time.monotonic() - began
    revoked.set()
    for thief in thieves:
        thief.join()
    assert call("GET", "/v1/whoami", "/v1/whoami", held)[0] == 401
    return status, seconds


def machine(owner: Key, name: str, *, of_key: bool) -> tuple[tuple[tuple[str, str, str], Any], Key]:
    """Create a Service User; return the call that ends its key, or itself, and the key."""
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    made = call("POST", SERVICE_USERS, SERVICE_USERS, owner, body)[1]
    path, route = f"{SERVICE_USERS}/{name}", f"{SERVICE_USERS}/{{username}}"
    held = Key(name, made["apiKeys"]["apiKeys"][0]["key"])
    if of_key:
        return (("DELETE", f"{path}/api-keys", f"{route}/api-keys"), {"keyType": "MONITORING"}), held
    return (("DELETE", path, route), None), held


def person(owner: Key, name: str) -> tuple[tuple[tuple[str, str, str], Any], Key]:
    """Invite and activate a User; return the call that revokes them, and their key."""
    body = {"username": name, "email": f"{name}@people.example", "role": "READ_ONLY"}
    call("POST", USERS, USERS, owner, body)
    token = key_format.new_token()
    directory = cast("DynamoDirectory", application.api.service().directory)
    directory._client.update_item(
        TableName=directory._table,
        Key={"pk": {"S": f"USER#{name}"}},
        UpdateExpression="SET invitation.digests = :digests",
        ExpressionAttributeValues={
            ":digests": {"M": {key_format.digest(token).hex(): {"N": str(int(time.time()) + 3600)}}}
        },
    )
    activate = f"{USERS}/activate"
    made = call("POST", activate, activate, owner, {"username": name, "token": token})[1]
    return (("DELETE", f"{USERS}/{name}", f"{USERS}/{{username}}"), None), Key(
        name, made["apiKeys"]["apiKeys"][0]["key"]
    )


if __name__ == "__main__":
    main()
