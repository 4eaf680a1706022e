"""Fills accounts of any size by writing directly to the tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from chalicelib.rules import key_format
from chalicelib.rules.model import (
    Action,
    Actor,
    ApiKey,
    Change,
    Event,
    KeyChange,
    Kind,
    ServiceUser,
    Subject,
)
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store.items import to_item
from chalicelib.store.trail import event_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_dynamodb import DynamoDBClient

_BATCH = 25
_START = 1_700_000_000

MEMBERSHIP = "m" * 22
"""The membership that the Service Users name as their Administrator's."""


def fill(
    client: DynamoDBClient,
    directory: str,
    events: str,
    account: str,
    owner: str,
    count: int,
    secret_of: Callable[[str], str] | None = None,
) -> None:
    """Write ``count`` Service Users with two keys each, and the event of each creation.

    The keys were used once, and nobody can sign in with them. With ``secret_of``, which gives a secret for a
    username, that is the secret of the first key, and both were never used.
    """

    def batch(first: int) -> None:
        users: list[Any] = []
        trail: list[Any] = []
        for n in range(first, min(first + _BATCH, count)):
            user, event = _service_user(account, owner, n, secret_of)
            name = f"{user.username}"
            item = to_item(user, pk=f"USER#{name}", listKey=f"SERVICE_USER#{name}")
            users.append({"PutRequest": {"Item": item}})
            trail.append({"PutRequest": {"Item": event_item(event, 36_500)}})
        for table, puts in ((directory, users), (events, trail)):
            request: Any = {table: puts}
            while request:
                request = client.batch_write_item(RequestItems=request)["UnprocessedItems"]

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(batch, range(0, count, _BATCH)):
            pass


def _service_user(
    account: str, owner: str, n: int, secret_of: Callable[[str], str] | None
) -> tuple[ServiceUser, Event]:
    username = f"bot-{account[:8]}-{n:06}"
    secrets = (secret_of(username) if secret_of else username, f"{username}-2" if secret_of else username)
    used = None if secret_of else _START
    keys = {
        kind: ApiKey(key_format.digest(secret), "abcde", _START, owner, last_used_at=used)
        for kind, secret in zip(Role.READ_ONLY.key_types(), secrets, strict=True)
    }
    user = ServiceUser(
        username=username,
        account=account,
        email=f"{username}@machines.example",
        role=Role.READ_ONLY,
        version=f"{n:016x}",
        created_at=_START,
        display_name=f"Bot number {n}",
        keys=keys,
        id=f"{n:016x}",
        administrators={owner: MEMBERSHIP},
    )
    event = Event(
        id=f"{(_START * 1000 + n):012x}{n:016x}",
        account=account,
        at=_START,
        action=Action.SERVICE_USER_CREATED,
        actor=Actor(Kind.USER, owner),
        subject=Subject(Kind.SERVICE_USER, username, user.display_name),
        keys=tuple(KeyChange(Change.GENERATED, kind, "abcde") for kind in keys),
        source_ip="198.51.100.7",
        request_id="request",
    )
    assert set(keys) == {KeyType("MONITORING"), KeyType("PROVISIONING_READONLY")}
    return user, event
