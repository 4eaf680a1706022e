"""DynamoDB in trouble: answers of ours, lost answers, other callers in between, and a function that dies."""

import json
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.support.api_client import Stack

Request = Any
Step = Callable[[Request], AWSResponse | None]


class FunctionKilled(BaseException):
    """The function was ended, as Lambda ends one: nothing of ours runs after it."""


def passes(_request: Request) -> None:
    """Let a try through."""


def refuses(code: str, status: int = 400, reasons: list[str] | None = None) -> Step:
    """Return a try with an error of DynamoDB's."""
    body: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "in trouble"}
    if reasons is not None:
        body["CancellationReasons"] = [{"Code": reason} for reason in reasons]

    def response(request: Request) -> AWSResponse:
        made = AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.0"}, None)  # type: ignore[arg-type]
        made._content = json.dumps(body).encode()
        return made

    return response


def hangs(request: Request) -> AWSResponse:
    """Never answer a try."""
    raise ReadTimeoutError(endpoint_url=request.url)


def is_out_of_reach(request: Request) -> AWSResponse:
    """Take no connection."""
    raise EndpointConnectionError(endpoint_url=request.url)


def connects_too_slowly(request: Request) -> AWSResponse:
    """Take no connection in time."""
    raise ConnectTimeoutError(endpoint_url=request.url)


def loses_the_response(request: Request) -> AWSResponse:
    """Do as the try says, and lose the answer on its way back (the real engine only)."""
    headers = {
        name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()
    }
    sent = urllib.request.Request(request.url, data=request.body, headers=headers)
    with urllib.request.urlopen(sent) as response:
        assert response.status == 200
    raise ReadTimeoutError(endpoint_url=request.url)


class FaultyEmitter:
    """The client's event emitter, but for what an operation's tries come to.

    (A handler of "before-send" would not do: moto is one too, and does what it is asked beside ours.)
    """

    def __init__(self, emitter: Any, event: str, meet: Step) -> None:
        self._emitter = emitter
        self._event = event
        self._meet = meet

    def emit(self, name: str, **more: Any) -> Any:
        response = self._meet(more["request"]) if name == self._event else None
        return self._emitter.emit(name, **more) if response is None else [(self._meet, response)]


@contextmanager
def inject_faults(
    stack: Stack, operation: str, *steps: Step, repeat_last: bool = False
) -> Iterator[list[str]]:
    """Let an operation's tries come to ``steps``, one each, the last ``for_ever``; returns their bodies."""
    bodies: list[str] = []
    left = list(steps)

    def meet(request: Request) -> AWSResponse | None:
        bodies.append(request.body.decode() if isinstance(request.body, bytes) else request.body)
        if not left:
            return None
        return (left[0] if repeat_last and len(left) == 1 else left.pop(0))(request)

    endpoint = stack.client._endpoint
    emitter = endpoint._event_emitter
    endpoint._event_emitter = FaultyEmitter(emitter, f"before-send.dynamodb.{operation}", meet)
    try:
        yield bodies
    finally:
        endpoint._event_emitter = emitter


@contextmanager
def before_next_call(
    stack: Stack, operation: str, does: Callable[[], object], *, skip: int = 0
) -> Iterator[None]:
    """Let somebody else do something right before the next call of an operation but ``skip`` ones."""
    event = f"before-call.dynamodb.{operation}"
    done = []  # type: ignore[var-annotated]
    left = skip

    def once(**_more: Any) -> None:
        nonlocal left
        if left:
            left -= 1
        elif not done:
            done.append(True)
            does()

    stack.client.meta.events.register(event, once)
    try:
        yield
    finally:
        stack.client.meta.events.unregister(event, once)
    assert done, f"there was no {operation}"


@contextmanager
def killed_before_call(stack: Stack, number: int) -> Iterator[None]:
    """Let the function die right before its DynamoDB call of a number, counted from 1."""
    event = "before-call.dynamodb"
    count = 0

    def die(**_more: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise FunctionKilled

    stack.client.meta.events.register(event, die)
    try:
        yield
    finally:
        stack.client.meta.events.unregister(event, die)


def before_commit(stack: Stack, monkeypatch: pytest.MonkeyPatch, do: Callable[[], Any]) -> None:
    """Have something happen between what the next call has read and what it writes."""
    commit = type(stack.service.directory).commit

    def late(self: Any, *writes: Any, **how: Any) -> None:
        monkeypatch.setattr(type(self), "commit", commit)
        do()
        commit(self, *writes, **how)

    monkeypatch.setattr(type(stack.service.directory), "commit", late)


# What must hold whatever happened


def assert_events_match_keys(stack: Stack) -> None:
    """Check that the events tell, each change once, how every key there is came to be, and all that went.

    And that names belong together: a Principal and its address, an account and its OWNERs.
    """
    directory, events = stack.snapshot()
    people = {it["pk"]: it for it in directory if it["pk"].startswith("USER#")}
    live = Counter(key["last5"] for it in people.values() for key in it.get("keys", {}).values())
    made: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for event in events:
        for change in event.get("keys", []):
            if change["change"] in {"GENERATED", "ROTATED"}:
                made[change["last5"]] += 1
            if change["change"] == "ROTATED":
                ended[change["previousLast5"]] += 1
            if change["change"] == "REVOKED":
                ended[change["last5"]] += 1
    assert set(made.values()) <= {1}
    assert set(ended.values()) <= {1}
    assert live == made - ended
    assert ended - made == Counter()

    addresses = {it["pk"]: it["username"] for it in directory if it["pk"].startswith("ACCOUNT_EMAIL#")}
    assert sorted(addresses.values()) == sorted(pk.removeprefix("USER#") for pk in people)
    for account in (it for it in directory if it["pk"].startswith("ACCOUNT#")):
        owners = {
            pk.removeprefix("USER#"): it["membership"]
            for pk, it in people.items()
            if it["account"] == account["id"]
            and it["kind"] == "USER"
            and it["role"] == "OWNER"
            and "invitation" not in it
        }
        assert account["owners"] == owners
        assert owners


def without_last_used(snapshot: tuple[list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
    """Return a snapshot without the notes of use, which no refusal takes back."""
    text = json.dumps(snapshot, default=lambda value: bytes(value).hex())
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: {name: it for name, it in pairs if not name.startswith("used_")},
    )
