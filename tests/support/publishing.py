"""An event bus that can fail, and the functions that publish, on a test's tables and clock."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

import app as application
from chalicelib.functions import publisher as functions
from chalicelib.http.call import Service
from chalicelib.publishing.publish import Publisher, publish_new, publish_waiting
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.publications import PREFIX, DynamoPublications
from tests.support.api_client import UNLIMITED, Stack, items


class Bus:
    """EventBridge as PutEvents shows it: ``taken`` has what it took, in order; ``fail`` says how it fails."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.calls = 0
        self.down = False
        self.refuse: Callable[[dict[str, Any]], bool] = lambda detail: False
        self.lose_answers = False

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        assert 1 <= len(Entries) <= 10
        assert sum(len(it["Detail"].encode()) for it in Entries) < 256 * 1024
        if self.down:
            raise ClientError({"Error": {"Code": "InternalFailure", "Message": ""}}, "PutEvents")
        results: list[dict[str, str]] = []
        for entry in Entries:
            assert entry["Source"] == "service-users"
            detail = json.loads(entry["Detail"])
            assert entry["DetailType"] == detail["action"]
            if self.refuse(detail):
                results.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"})
            else:
                self.taken.append(detail)
                results.append({"EventId": "1"})
        if self.lose_answers:
            raise ConnectionClosedError(endpoint_url="https://events.example")
        return {"FailedEntryCount": len([it for it in results if "ErrorCode" in it]), "Entries": results}

    @property
    def ids(self) -> list[str]:
        return [it["id"] for it in self.taken]


class Publishing:
    """A stack whose events are published."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.bus = Bus()
        self.remaining = 60_000
        self.delivered: set[tuple[str, str]] = set()
        tables = stack.tables
        service = Service(
            directory=DynamoDirectory(
                stack.client, tables.directory, tables.events, 400, limits=UNLIMITED, publishes=True
            ),
            trail=stack.service.trail,
            now=stack.clock,
            public_url=stack.service.public_url,
        )
        stack.service = service
        monkeypatch.setattr(application.api, "service", lambda: service)

    @property
    def publisher(self) -> Publisher:
        return Publisher(
            store=DynamoPublications(self.stack.client, self.stack.tables.events),
            bridge=self.bus,  # type: ignore[arg-type]
            bus="service-users-test",
            now=self.stack.clock,
            remaining_ms=lambda: self.remaining,
        )

    def deliver(self) -> dict[str, int]:
        """Pass what is new in the table to ``publish``, as the stream does."""
        return publish_new(functions._new(self.new_records()), self.publisher)

    def run(self, seconds: float = 61) -> dict[str, int]:
        """Let time pass, and run ``publish`` as its schedule does."""
        self.stack.clock.forward(seconds)
        return publish_waiting(self.publisher)

    def new_records(self) -> list[dict[str, Any]]:
        """Return the stream's records of what was put since the last time."""
        response: dict[str, Any] = {}
        found: list[dict[str, Any]] = []
        while not found or "LastEvaluatedKey" in response:
            start = {"ExclusiveStartKey": response["LastEvaluatedKey"]} if response else {}
            response = self.stack.client.scan(
                TableName=self.stack.tables.events, ConsistentRead=True, **start
            )
            found += response["Items"]
            if not response["Items"]:
                break
        new = [it for it in found if (it["account"]["S"], it["id"]["S"]) not in self.delivered]
        self.delivered |= {(it["account"]["S"], it["id"]["S"]) for it in new}
        return [{"eventName": "INSERT", "dynamodb": {"NewImage": it}} for it in new]

    def markers(self) -> list[str]:
        return sorted(
            it["id"]
            for it in items(self.stack.client, self.stack.tables.events)
            if it["account"].startswith(PREFIX)
        )

    def event_ids(self) -> list[str]:
        """Return the ids of all recorded events."""
        return sorted(
            it["id"]
            for it in items(self.stack.client, self.stack.tables.events)
            if not it["account"].startswith(PREFIX)
        )


@contextmanager
def failing(stack: Stack, operation: str, times: int = 1) -> Iterator[None]:
    """Let the first calls of a DynamoDB operation fail before they take effect."""
    left = [times]

    def fail(**_more: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise ConnectionClosedError(endpoint_url="https://dynamodb.example")

    events = stack.client.meta.events
    events.register(f"provide-client-params.dynamodb.{operation}", fail)
    try:
        yield
    finally:
        events.unregister(f"provide-client-params.dynamodb.{operation}", fail)
