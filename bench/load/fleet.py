"""Many environments of the packaged function, and callers that do not wait for each other.

Each call has its time. It waits until an environment is free, as calls wait for this machine and not for
Lambda, which starts another environment; its latency counts from its time, with the wait.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bench.load.limits import Bucket
from local.package.runtime import EnvironmentDiedError, FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.package.emulator import Key

FAILED: dict[str, Any] = {"statusCode": 502, "body": ""}
"""What API Gateway makes of a function that failed."""
LATE = 15.0
"""Seconds past the last call's time after which a run ends, whatever is still waiting."""


class Caller:
    """Somebody with a key, which the calls may replace. One who calls twice at once has two requests."""

    def __init__(self, group: str, key: Key) -> None:
        self.group = group
        self.key = key


class Call(NamedTuple):
    """One call: when (seconds from the start), by whom, and what."""

    due: float
    caller: Caller
    kind: str


class Answered(NamedTuple):
    """How a call ended: its status and the seconds since its time."""

    call: Call
    status: int
    seconds: float


class Invokes(Protocol):
    """An environment: it handles one event at a time."""

    def invoke(self, event: Any) -> Any:
        """Return the function's result."""


class Outcome(NamedTuple):
    """What a run measured: responses, and how many calls had none when it ended."""

    answered: list[Answered]
    unanswered: int
    seconds: float

    def of(self, *groups: str) -> Outcome:
        """Return the part of some callers."""
        kept = [it for it in self.answered if it.call.caller.group in groups]
        return self._replace(answered=kept, unanswered=0)

    def statuses(self) -> dict[str, int]:
        """Return the number of responses by status."""
        counted = Counter(str(it.status) for it in self.answered)
        return dict(sorted(counted.items()))

    def milliseconds(self, *percents: float) -> list[float]:
        """Return percentiles of the latency of what the function handled (the gateway's 429 left out)."""
        times = sorted(it.seconds for it in self.answered if it.seconds)
        if not times:
            return [0.0 for _ in percents]
        return [round(1000 * times[min(int(len(times) * it / 100), len(times) - 1)], 1) for it in percents]


def through_gateway(calls: Sequence[Call], rate: float, burst: float) -> tuple[list[Call], list[Call]]:
    """Return the calls that API Gateway lets through, and those it refuses: it has one bucket for all."""
    bucket = Bucket(rate, burst)
    passed: list[Call] = []
    refused: list[Call] = []
    for call in sorted(calls, key=lambda it: it.due):
        if bucket.admits(call.due):
            bucket.take(1)
            passed.append(call)
        else:
            refused.append(call)
    return passed, refused


def run(
    calls: Sequence[Call],
    environments: Sequence[Invokes],
    request: Callable[[Call], dict[str, Any]],
    *,
    received: Callable[[Call, Any], None] = lambda _call, _body: None,
    refused: Sequence[Call] = (),
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    ends: float = float("inf"),
) -> Outcome:
    """Make the calls at their times, with as many at once as there are environments.

    ``received`` gets the parsed body of each successful response, ``refused`` are calls that API Gateway
    refused. The run ends at ``ends`` (``time.monotonic``), or ``LATE`` seconds after the last call's time.
    """
    waiting: Iterator[Call] = iter(sorted(calls, key=lambda it: it.due))
    lock = threading.Lock()
    answered = [Answered(call, 429, 0.0) for call in refused]
    began = time.monotonic()
    ends = min(ends, began + max((it.due for it in calls), default=0.0) + LATE)

    def serve(environment: Invokes) -> None:
        while True:
            with lock:
                call = next(waiting, None)
            if call is None or time.monotonic() > ends:
                return
            time.sleep(max(0.0, began + call.due - time.monotonic()))
            try:
                result = environment.invoke(request(call))
            except (FunctionError, EnvironmentDiedError):
                result = FAILED
            seconds = time.monotonic() - began - call.due
            if result["statusCode"] < 300:
                received(call, json.loads(result["body"] or "null"))
            with lock:
                answered.append(Answered(call, int(result["statusCode"]), seconds))
                progress(len(answered), len(calls) + len(refused))

    with ThreadPoolExecutor(len(environments)) as pool:
        for _ in pool.map(serve, environments):
            pass
    missing = len(calls) + len(refused) - len(answered)
    return Outcome(answered, missing, time.monotonic() - began)


def repeat(
    environments: Sequence[Invokes], event: Callable[[int, int], dict[str, Any]], seconds: float
) -> Counter[int]:
    """Call without a pause in each environment, for some seconds; return the responses by status.

    ``event`` makes the next request of an environment, by its number and that of the request.
    """
    statuses: Counter[int] = Counter()
    lock = threading.Lock()
    ends = time.monotonic() + seconds

    def serve(numbered: tuple[int, Invokes]) -> None:
        number, environment = numbered
        count = 0
        while time.monotonic() < ends:
            result = environment.invoke(event(number, count))
            count += 1
            with lock:
                statuses[int(result["statusCode"])] += 1

    with ThreadPoolExecutor(len(environments)) as pool:
        for _ in pool.map(serve, enumerate(environments)):
            pass
    return statuses
