"""Which calls are made again, and when; and the transports that do it, below httpx's own clients."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import httpx

from service_users_client.errors import (
    InvalidResponse,
    NoResponse,
    ResponseLost,
    ServiceUsersError,
    clean,
    problem_of,
    retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_IDEMPOTENT = _READS | {"PUT", "PATCH", "DELETE"}
_TRANSIENT = frozenset({500, 502, 503, 504})
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class Retries(NamedTuple):
    """How often a call is made, and how long it may wait in between.

    A response of 429 means that nothing was done, so every call is made again then. After a 5xx or without
    a response, only a call that may be repeated is: one that reads, PUT, PATCH and DELETE without
    ``If-Match``, and what its caller says is repeatable.
    """

    tries: int = 5
    max_wait: float = 65.0
    """The longest ``Retry-After`` that is waited for; a longer one is raised at once, with its seconds."""
    first_pause: float = 0.5
    """Seconds before the second try if no response says how long to wait; doubled each time."""

    def pause(self, tried: int, wait: int | None) -> float | None:
        """Return the seconds to wait before another try; None if there is none.

        ``tried`` is how often the call was made, ``wait`` what ``Retry-After`` said.
        """
        if tried >= self.tries or (wait or 0) > self.max_wait:
            return None
        if wait:
            return float(wait)
        # Not all clients at the same moment; this needs no secure random numbers.
        return self.first_pause * float(2 ** (tried - 1)) * random.uniform(0.5, 1.0)  # noqa: S311


class _Call:
    """One call and its tries: what both transports decide after each."""

    def __init__(self, policy: Policy, request: httpx.Request) -> None:
        self._policy = policy
        self._request = request
        self._tried = 0
        self._uncertain = False

    def received(self, response: httpx.Response) -> httpx.Response | float:
        """Return the response of a success, or the seconds to wait before the next try.

        Raises the Problem of a response after which there is none, and InvalidResponse.
        """
        self._tried += 1
        request, status = self._request, response.status_code
        self._policy.server_date = response.headers.get("Date", self._policy.server_date)
        if 200 <= status < 300 or status == 304:
            self._require_json(response)
            return response
        if status == 404 and request.method == "DELETE" and self._uncertain:
            return httpx.Response(204, headers={"Date": self._policy.server_date})  # an earlier try did it
        wait = retry_after(response.headers.get("Retry-After"))
        uncertain = status in _TRANSIENT and request.method not in _READS
        self._uncertain = self._uncertain or uncertain
        error = problem_of(status, response.content, wait, may_have_taken_effect=self._uncertain)
        if status == 429 or (status in _TRANSIENT and _is_repeatable(request)):
            return self._next(error, wait)
        raise error

    def failed(self, problem: httpx.RequestError) -> float:
        """Return the seconds to wait before the next try, or raise NoResponse or ResponseLost."""
        self._tried += 1
        request = self._request
        what = clean(f"{type(problem).__name__} {problem}")
        call = f"{request.method} {request.url.path}"
        sent = not isinstance(problem, _NOT_SENT) and request.method not in _READS
        self._uncertain = self._uncertain or sent
        if self._uncertain:
            error: ServiceUsersError = ResponseLost(
                f"{call}: the response was lost ({what}). It may have taken effect: "
                "read before you try again."
            )
        else:
            error = NoResponse(
                f"{call}: no response from {request.url.host} ({what}). Nothing was done; try again."
            )
        if not sent or _is_repeatable(request):
            return self._next(error, None)
        raise error

    def _require_json(self, response: httpx.Response) -> None:
        """Raise InvalidResponse if a response says it is JSON, and is not: also for generated functions."""
        if not response.content or not is_json(response):
            return
        try:
            json.loads(response.content)
        except (ValueError, RecursionError):
            request = self._request
            changes = request.method not in _READS
            told = "It may have taken effect: read before you try again. " if changes else ""
            raise InvalidResponse(
                f"{request.method} {request.url.path}: the response is not the JSON that it says it is. "
                f"{told}See that {request.url.host} is the address of the API.",
                may_have_taken_effect=changes,
            ) from None

    def _next(self, error: ServiceUsersError, wait: int | None) -> float:
        pause = self._policy.retries.pause(self._tried, wait)
        if pause is None:
            raise error
        if self._policy.on_wait:
            self._policy.on_wait(pause, str(error).partition("\n")[0])
        return pause


class Policy:
    """What the transports of one client share."""

    def __init__(self, retries: Retries, on_wait: Callable[[float, str], None] | None) -> None:
        self.retries = retries
        self.on_wait = on_wait
        self.server_date = ""
        """The ``Date`` of the last response."""


def is_json(response: httpx.Response) -> bool:
    """Return whether a response says that its body is one JSON value."""
    kind = response.headers.get("Content-Type", "")
    return "json" in kind and "ndjson" not in kind


def _is_repeatable(request: httpx.Request) -> bool:
    told = request.extensions.get("repeatable")
    if told is not None:
        return bool(told)
    # With If-Match a repeated call would be refused because of the first one.
    return request.method in _READS or (request.method in _IDEMPOTENT and "If-Match" not in request.headers)


class RetryTransport(httpx.BaseTransport):
    """Make calls again as :class:`Retries` says, and raise what is not a success."""

    def __init__(
        self, inner: httpx.BaseTransport, policy: Policy, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response of a success. Raises ServiceUsersError."""
        call = _Call(self._policy, request)
        while True:
            try:
                response = self._inner.handle_request(request)
                response.read()
            except httpx.RequestError as problem:
                pause: httpx.Response | float = call.failed(problem)
            else:
                pause = call.received(response)
            if isinstance(pause, httpx.Response):
                return pause
            self._sleep(pause)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class AsyncRetryTransport(httpx.AsyncBaseTransport):
    """The same for ``httpx.AsyncClient``."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        policy: Policy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._sleep = sleep

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response of a success. Raises ServiceUsersError."""
        call = _Call(self._policy, request)
        while True:
            try:
                response = await self._inner.handle_async_request(request)
                await response.aread()
            except httpx.RequestError as problem:
                pause: httpx.Response | float = call.failed(problem)
            else:
                pause = call.received(response)
            if isinstance(pause, httpx.Response):
                return pause
            await self._sleep(pause)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
