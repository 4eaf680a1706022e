"""Measures the DynamoDB calls and read units of a page of every list, with every condition and sort.

``python -m local.dynamodb_local -- python -m bench.measure_lists [SIZE …]``; accounts of 100, 10,000 and
100,000 Service Users by default. Prints the table of docs/performance.md. Each condition is asked for twice
where that matters: nobody fulfils it, so that all is read that a page may read, and everybody does.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

import app as application
from bench.calls import event
from bench.capacity import metered
from bench.data import MEMBERSHIP, fill
from bench.measure_revocation import serve
from chalicelib.functions.operator import create_account_function
from chalicelib.store.principals import principal_key
from local.event_sources import lambda_context
from local.package.emulator import Key

if TYPE_CHECKING:
    from chalicelib.store.directory import DynamoDirectory

SERVICE_USERS, USERS, EVENTS = "/v1/service-users", "/v1/users", "/v1/events"
LISTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Service Users", SERVICE_USERS, {}),
    ("`sort=newest`", SERVICE_USERS, {"sort": "newest"}),
    ("`prefix`, which all have", SERVICE_USERS, {"prefix": "bot"}),
    ("`role`, which nobody has", SERVICE_USERS, {"role": "OWNER"}),
    ("`role`, which everybody has", SERVICE_USERS, {"role": "READ_ONLY"}),
    ("`administrator`, of nobody", SERVICE_USERS, {"administrator": "nobody"}),
    ("`administrator`, of everybody", SERVICE_USERS, {"administrator": "OWNER-OF-ALL"}),
    ("`label`, which nobody has", SERVICE_USERS, {"label": "team:payments,env:prod"}),
    ("`neverUsed`, which none is", SERVICE_USERS, {"neverUsed": "true"}),
    ("`withoutNetworks`, which all are", SERVICE_USERS, {"withoutNetworks": "true"}),
    ("`unusedForDays`, which all are", SERVICE_USERS, {"unusedForDays": "90"}),
    ("`endingWithinDays`, which none is", SERVICE_USERS, {"endingWithinDays": "1"}),
    ("`endingWithinDays`, which all are", SERVICE_USERS, {"endingWithinDays": "3650"}),
    (
        "four conditions, which nobody fulfils",
        SERVICE_USERS,
        {"role": "READ_ONLY", "neverUsed": "true", "withoutNetworks": "true", "endingWithinDays": "30"},
    ),
    ("people by `role`, `status`, `suspended`", USERS, {"role": "OWNER", "status": "ACTIVE"}),
    ("the account, with its counts", "/v1/account", {}),
    ("events", EVENTS, {}),
    ("events, `order=oldest`", EVENTS, {"order": "oldest"}),
    ("events by `username`", EVENTS, {"username": "NAME"}),
    ("events by `actor`", EVENTS, {"actor": "OWNER-OF-ALL"}),
    ("events by `action`, of which there is none", EVENTS, {"action": "API_KEY_LEAKED"}),
    (
        "events by `since` and `until`",
        EVENTS,
        {"since": "2023-11-01T00:00:00Z", "until": "2023-12-01T00:00:00Z"},
    ),
)
"""What is listed, by its name in the table.

NAME stands for the username of a Service User, OWNER-OF-ALL for that of their Administrator.
"""


def main() -> None:
    """Measure every list in accounts of each size, and print the table."""
    sizes = [int(it) for it in sys.argv[1:]] or [100, 10_000, 100_000]
    table: dict[str, list[str]] = {name: [] for name, _, _ in LISTS}
    try:
        service = serve()
    except ClientError:  # the engine's first table takes longer than the client waits, and is there after all
        service = serve()
    directory = cast("DynamoDirectory", service.directory)
    for size in sizes:
        username = f"owner-{size}"
        wanted = {"accountName": "Acme", "username": username, "email": f"{username}@people.example"}
        made = create_account_function(wanted, lambda_context("create_account"), service)
        owner = Key(username, str(made["apiKey"]))
        found = directory.principal(username)
        assert found is not None
        directory._client.update_item(
            TableName=directory._table,
            Key=principal_key(username),
            UpdateExpression="SET membership = :membership",
            ExpressionAttributeValues={":membership": {"S": MEMBERSHIP}},
        )
        fill(directory._client, directory._table, directory._events_table, found.account, username, size)
        changed = event("PUT", "/v1/account", "/v1/account", owner, {"maxKeyAgeDays": 3650})
        assert application.app(changed, None)["statusCode"] == 200
        name = f"bot-{found.account[:8]}-000007"
        for title, path, query in LISTS:
            names = {"NAME": name, "OWNER-OF-ALL": username}
            asked = {field: names.get(value, value) for field, value in query.items()}
            table[title].append(measure(directory, owner, path, asked))
        print(f"{size} Service Users are done.", file=sys.stderr, flush=True)
    print(f"| list | {' | '.join(f'{size:,}' for size in sizes)} |")
    print(f"|---|{'---:|' * len(sizes)}")
    for title, cells in table.items():
        print(f"| {title} | {' | '.join(cells)} |")


def measure(directory: DynamoDirectory, owner: Key, path: str, query: dict[str, str]) -> str:
    """Return what a first page costs: its calls, its read units, and how many it found."""
    asked: dict[str, Any] = event("GET", path, path, owner, query=query or None)
    application.app(asked, None)  # the first use of a key in an hour is noted
    with metered(directory._client) as meter:
        response = application.app(asked, None)
    assert response["statusCode"] == 200, response["body"]
    body = json.loads(response["body"])
    calls, units = sum(meter.calls.values()), meter.units["reads"]
    return f"{calls}, {units:g} ({len(body) if isinstance(body, list) else 1})"


if __name__ == "__main__":
    main()
