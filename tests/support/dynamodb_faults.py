"""DynamoDB failures for tests: errors, lost responses, concurrent callers, and killed functions."""

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
    """The function was killed as Lambda kills one: none of its code runs afterwards."""


def passes(_request: Request) -> None:
    """Let an attempt through."""


def refuses(code: str, status: int = 400, reasons: list[str] | None = None) -> Step:
    """Return a step that fails an attempt with an error of DynamoDB's."""
    body: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "in trouble"}
    if reasons is not None:
        body["CancellationReasons"] = [{"Code": reason} for reason in reasons]

    def response(request: Request) -> AWSResponse:
        made = AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.0"}, None)  # type: ignore[arg-type]
        made._content = json.dumps(body).encode()
        return made

    return response


def hangs(request: Request) -> AWSResponse:
    """Never respond to an attempt."""
    raise ReadTimeoutError(endpoint_url=request.url)


def is_out_of_reach(request: Request) -> AWSResponse:
    """Refuse the connection."""
    raise EndpointConnectionError(endpoint_url=request.url)


def connects_too_slowly(request: Request) -> AWSResponse:
    """Let the connection time out."""
    raise ConnectTimeoutError(endpoint_url=request.url)


def loses_the_response(request: Request) -> AWSResponse:
    """Carry the attempt out and lose its response (the real engine only)."""
    headers = {
        name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()
    }
    sent = urllib.request.Request(request.url, data=request.body, headers=headers)
    with urllib.request.urlopen(sent) as response:
        assert response.status == 200
    raise ReadTimeoutError(endpoint_url=request.url)


class FaultyEmitter:
    """The client's event emitter, which decides how each attempt of one operation ends.

    (A handler of "before-send" is not enough: moto is one too, and would carry the attempt out as well.)
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
    """Let attempts of an operation end as ``steps`` say, one each; return the list of their bodies.

    With ``repeat_last`` every further attempt ends as the last step says.
    """
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
    """Run ``does`` right before the next call of an operation, after ``skip`` ones: a concurrent caller."""
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
    """Kill the function right before its DynamoDB call of this number, counted from 1."""
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
    """Run ``do`` between the next call's reads and its write."""
    commit = type(stack.service.directory).commit

    def late(self: Any, *writes: Any, **how: Any) -> None:
        monkeypatch.setattr(type(self), "commit", commit)
        do()
        commit(self, *writes, **how)

    monkeypatch.setattr(type(stack.service.directory), "commit", late)


# What must hold after any failure


def assert_events_match_keys(stack: Stack, *, exact: bool = True) -> None:
    """Check that events explain every key, existing or gone, with one event for each change.

    Also check that items agree: a principal and its address, an account and its number of OWNERs.
    Without ``exact``, a revocation may name the key it read, while a rotation replaced it just before: one
    that lost a race revokes whatever there is (``until_revoked``).
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
    assert not live - made
    if exact:
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
    """Return a snapshot without the records of use, which a refused call may have written."""
    text = json.dumps(snapshot, default=lambda value: bytes(value).hex())
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: {name: it for name, it in pairs if not name.startswith("used_")},
    )
