"""``Client`` and ``AsyncClient``: a signed-in caller of the Service Users API."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx

from service_users_client.errors import NotStored, ServiceUsersError
from service_users_client.generated.client import Client as GeneratedClient
from service_users_client.paths import quoted_part
from service_users_client.profiles import Profile, Profiles, checked_key, checked_url
from service_users_client.retries import AsyncRetryTransport, Policy, Retries, RetryTransport, is_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from service_users_client.generated.models import ApiKey, Event, Person, ServiceUser, ShownKey, Whoami
    from service_users_client.generated.models import Problem as GeneratedProblem

T = TypeVar("T")
OnWait = Callable[[float, str], None]
Query = Mapping[str, Any]

MIN_OVERLAP, MAX_OVERLAP = 60, 604_800
DAY = timedelta(days=1)
_DEFAULT_RETRIES = Retries()
_LIMITS = httpx.Limits(max_connections=32)


def path_of(*parts: str) -> str:
    """Return a path under ``/v1``, each part percent-encoded. Raises InvalidName for "", "." and ".."."""
    return "/v1/" + "/".join(map(quoted_part, parts))


def _model(name: str) -> Any:
    """Return a generated type. They are imported at the first use: that is a fifth of the program's start."""
    from service_users_client.generated import models

    return getattr(models, name)


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return the certificates that are trusted; loading them takes longer than most calls, so once."""
    return httpx.create_ssl_context()


def _proxy(url: str) -> str | None:
    """Return the proxy for an address that the environment names (HTTPS_PROXY, NO_PROXY)."""
    parts = urlsplit(url)
    if parts.scheme != "https" or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get("https")


class _Auth(httpx.Auth):
    """HTTP Basic, or the key alone as Bearer if no username is known, or nothing. The key can be replaced."""

    def __init__(self, username: str, key: str) -> None:
        self.username = username
        self.key = checked_key(key) if key else ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not self.key:
            yield request
        elif self.username:
            yield from httpx.BasicAuth(self.username, self.key).auth_flow(request)
        else:
            request.headers["Authorization"] = f"Bearer {self.key}"
            yield request


class _Base:
    """What both clients share: everything that makes no call."""

    def __init__(
        self,
        url: str,
        username: str = "",
        key: str = "",
        *,
        timeout: float = 30.0,
        retries: Retries = _DEFAULT_RETRIES,
        on_wait: OnWait | None = None,
    ) -> None:
        self.url = checked_url(url)
        self.username = username
        self.profile: Profile | None = None
        self._profiles: Profiles | None = None
        self._auth = _Auth(username, key)
        self._policy = Policy(retries, on_wait)
        self._timeout = timeout

    @property
    def server_time(self) -> datetime:
        """The service's clock as its last response told it; this machine's before the first."""
        try:
            return parsedate_to_datetime(self._policy.server_date)
        except ValueError:
            return datetime.now(UTC)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.username or 'of a key'} at {self.url}>"

    def _use(self, profiles: Profiles, profile: Profile) -> None:
        self.profile, self._profiles = profile, profiles

    def _store_of(self, store: Callable[[str], Any] | None) -> Callable[[str], Any]:
        """Return what keeps a rotated key, and see that it can. Raises ServiceUsersError."""
        if store is not None:
            return store
        profile, profiles = self.profile, self._profiles
        if profile is None or profiles is None:
            raise NotStored("Say where the new key is stored: rotate_own_key(store=…). Nothing was rotated.")
        profiles.check_writable(profile)
        return lambda key: profiles.store_key(profile, key)

    def _headers(self, headers: Mapping[str, str] | None, if_match: str | None) -> dict[str, str]:
        return {**(headers or {}), **({"If-Match": if_match} if if_match else {})}


def _overlap(overlap: timedelta | int) -> int:
    seconds = int(overlap.total_seconds()) if isinstance(overlap, timedelta) else overlap
    if not MIN_OVERLAP <= seconds <= MAX_OVERLAP:
        raise ValueError(
            "An overlap is at least 60 seconds, so that a lost response locks nobody out, and at most 7 days."
        )
    return seconds


def _query(query: Query | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else _text(value)
        for name, value in (query or {}).items()
        if value is not None
    }


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(getattr(value, "value", value))


def _raise_not_stored(error: Exception, key: str, issued: Mapping[str, Any]) -> NoReturn:
    until = (issued.get("predecessor") or {}).get("validUntil") or "the end of the overlap"
    raise NotStored(
        f"The key was rotated, and the new one could not be stored ({type(error).__name__}). The present "
        f"key, …{key[-5:]}, works until {until}: correct the cause and rotate again before then."
    ) from error


def _parse(response: httpx.Response) -> Any:
    if not response.content:
        return None
    return response.json() if is_json(response) else response.text


class Client(_Base):
    """A signed-in caller of the API.

    Every method raises a ServiceUsersError: a Problem (by its class: NotFound, Forbidden, …) for what the API
    refuses, NoResponse if it cannot be reached, ResponseLost for a change whose outcome is not known,
    InvalidResponse for JSON that is none, InvalidName for a name that no address can have.
    ``on_wait`` is called with the seconds and the reason before each wait. One client may be used by several
    threads.
    """

    def __init__(
        self,
        url: str,
        username: str = "",
        key: str = "",
        *,
        timeout: float = 30.0,
        retries: Retries = _DEFAULT_RETRIES,
        on_wait: OnWait | None = None,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, username, key, timeout=timeout, retries=retries, on_wait=on_wait)
        inner = transport or httpx.HTTPTransport(verify=_trust(), limits=_LIMITS, proxy=_proxy(self.url))
        self._http = httpx.Client(
            base_url=self.url,
            auth=self._auth,
            timeout=timeout,
            transport=RetryTransport(inner, self._policy, sleep),
            headers={"Accept": "application/json"},
        )
        self.generated = GeneratedClient(self.url, raise_on_unexpected_status=True)
        """The client that the functions of ``service_users_client.generated`` take."""
        self.generated.set_httpx_client(self._http)
        self._rotating = threading.Lock()

    @classmethod
    def from_profile(
        cls, name: str | None = None, *, profiles: Profiles | None = None, **options: Any
    ) -> Client:
        """Return a client of a stored profile, of the environment's variables, or of the default profile.

        ``options`` are those of ``Client``. Raises ProfileError.
        """
        profiles = profiles or Profiles()
        profile = profiles.get(name)
        client = cls(profile.url, profile.username, profiles.key(profile), **options)
        client._use(profiles, profile)
        return client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, function: Callable[..., T | GeneratedProblem | None], *args: Any, **kwargs: Any) -> T:
        """Call a generated function (``…api.people.list_users.sync``) and return its result, typed."""
        return function(*args, client=self.generated, **kwargs)  # type: ignore[return-value]

    def response(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        if_match: str | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """Make any call of the API and return the response of its success.

        ``repeatable`` says that the call does no harm if it is made twice (or does, if False).
        """
        extensions = {} if repeatable is None else {"repeatable": repeatable}
        return self._http.request(
            method,
            path,
            params=_query(query),
            headers=self._headers(headers, if_match),
            extensions=extensions,
            **({} if body is None else {"json": body}),
        )

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Make any call of the API and return the body: JSON parsed, another text as it is, or None."""
        return _parse(self.response(method, path, **options))

    def pages(self, path: str, query: Query | None = None, *, method: str = "GET") -> Iterator[Any]:
        """Return the body of each page of a list, following ``Next-Cursor``."""
        query = dict(query or {})
        while True:
            response = self.response(method, path, query=query)
            yield _parse(response)
            query["cursor"] = response.headers.get("Next-Cursor")
            if not query["cursor"]:
                return

    def items(self, path: str, query: Query | None = None) -> Iterator[dict[str, Any]]:
        """Return each member of a list as the API has it, over all its pages."""
        for page in self.pages(path, query):
            yield from page

    def service_users(self, **query: Any) -> Iterator[ServiceUser]:
        """Return the Service Users of the account; ``query`` has the list's own parameters (``prefix`` …)."""
        return map(_model("ServiceUser").from_dict, self.items("/v1/service-users", query))

    def users(self, **query: Any) -> Iterator[Person]:
        """Return the people of the account."""
        return map(_model("Person").from_dict, self.items("/v1/users", query))

    def events(self, **query: Any) -> Iterator[Event]:
        """Return the events of the account, newest first unless ``order="oldest"``."""
        return map(_model("Event").from_dict, self.items("/v1/events", query))

    def shown_keys(self, username: str) -> Iterator[ShownKey]:
        """Return the working keys of Service Users that a person was the last to be shown."""
        return map(_model("ShownKey").from_dict, self.items(path_of("users", username, "shown-keys")))

    def whoami(self) -> Whoami:
        """Return the caller, and the key used to sign in."""
        caller: Whoami = _model("Whoami").from_dict(self.request("GET", "/v1/whoami"))
        return caller

    def rotate_own_key(
        self, overlap: timedelta | int = DAY, *, store: Callable[[str], Any] | None = None
    ) -> ApiKey:
        """Replace the key that this client signs in with, store the new one and use it from then on.

        ``store`` is called with the new key; without it, the key goes where the profile's is. The old key
        works for ``overlap``. A response that is lost is asked for again with the old key, which
        replaces the key that nobody received. Only once the new key is stored is it used: whatever happens
        before, and whenever this process ends, the key in place works.

        Raises NotStored if it cannot be stored, and what every call raises; the key in place works then.
        """
        body = {"overlapSeconds": _overlap(overlap)}
        keep = self._store_of(store)
        with self._rotating:
            old = self._auth.key
            issued = self.request("POST", "/v1/api-keys/rotate", body=body, repeatable=True)
            try:
                keep(issued["key"])
            except Exception as error:
                _raise_not_stored(error, old, issued)
            self._auth.key = issued["key"]
            self.request("GET", "/v1/whoami")
        key: ApiKey = _model("ApiKey").from_dict(issued)
        return key


class AsyncClient(_Base):
    """The same caller for asyncio: :class:`Client` describes each method."""

    def __init__(
        self,
        url: str,
        username: str = "",
        key: str = "",
        *,
        timeout: float = 30.0,
        retries: Retries = _DEFAULT_RETRIES,
        on_wait: OnWait | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, username, key, timeout=timeout, retries=retries, on_wait=on_wait)
        inner = transport or httpx.AsyncHTTPTransport(verify=_trust(), limits=_LIMITS, proxy=_proxy(self.url))
        self._http = httpx.AsyncClient(
            base_url=self.url,
            auth=self._auth,
            timeout=timeout,
            transport=AsyncRetryTransport(inner, self._policy, sleep),
            headers={"Accept": "application/json"},
        )
        self.generated = GeneratedClient(self.url, raise_on_unexpected_status=True)
        self.generated.set_async_httpx_client(self._http)
        self._rotating = asyncio.Lock()

    @classmethod
    def from_profile(
        cls, name: str | None = None, *, profiles: Profiles | None = None, **options: Any
    ) -> AsyncClient:
        """Return a client of a stored profile, of the environment's variables, or of the default profile."""
        profiles = profiles or Profiles()
        profile = profiles.get(name)
        client = cls(profile.url, profile.username, profiles.key(profile), **options)
        client._use(profiles, profile)
        return client

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self, function: Callable[..., Awaitable[T | GeneratedProblem | None]], *args: Any, **kwargs: Any
    ) -> T:
        """Call a generated function (``…api.people.list_users.asyncio``) and return its result, typed."""
        return await function(*args, client=self.generated, **kwargs)  # type: ignore[return-value]

    async def response(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        if_match: str | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """Make any call of the API and return the response of its success."""
        extensions = {} if repeatable is None else {"repeatable": repeatable}
        return await self._http.request(
            method,
            path,
            params=_query(query),
            headers=self._headers(headers, if_match),
            extensions=extensions,
            **({} if body is None else {"json": body}),
        )

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Make any call of the API and return the body: JSON parsed, another text as it is, or None."""
        return _parse(await self.response(method, path, **options))

    async def pages(
        self, path: str, query: Query | None = None, *, method: str = "GET"
    ) -> AsyncIterator[Any]:
        """Return the body of each page of a list, following ``Next-Cursor``."""
        query = dict(query or {})
        while True:
            response = await self.response(method, path, query=query)
            yield _parse(response)
            query["cursor"] = response.headers.get("Next-Cursor")
            if not query["cursor"]:
                return

    async def items(self, path: str, query: Query | None = None) -> AsyncIterator[dict[str, Any]]:
        """Return each member of a list as the API has it, over all its pages."""
        async for page in self.pages(path, query):
            for item in page:
                yield item

    async def service_users(self, **query: Any) -> AsyncIterator[ServiceUser]:
        """Return the Service Users of the account."""
        async for item in self.items("/v1/service-users", query):
            yield _model("ServiceUser").from_dict(item)

    async def users(self, **query: Any) -> AsyncIterator[Person]:
        """Return the people of the account."""
        async for item in self.items("/v1/users", query):
            yield _model("Person").from_dict(item)

    async def events(self, **query: Any) -> AsyncIterator[Event]:
        """Return the events of the account."""
        async for item in self.items("/v1/events", query):
            yield _model("Event").from_dict(item)

    async def shown_keys(self, username: str) -> AsyncIterator[ShownKey]:
        """Return the working keys of Service Users that a person was the last to be shown."""
        async for item in self.items(path_of("users", username, "shown-keys")):
            yield _model("ShownKey").from_dict(item)

    async def whoami(self) -> Whoami:
        """Return the caller, and the key used to sign in."""
        caller: Whoami = _model("Whoami").from_dict(await self.request("GET", "/v1/whoami"))
        return caller

    async def rotate_own_key(
        self, overlap: timedelta | int = DAY, *, store: Callable[[str], Any] | None = None
    ) -> ApiKey:
        """Replace the key that this client signs in with; ``store`` may be a coroutine function."""
        body = {"overlapSeconds": _overlap(overlap)}
        keep = self._store_of(store)
        async with self._rotating:
            old = self._auth.key
            issued = await self.request("POST", "/v1/api-keys/rotate", body=body, repeatable=True)
            try:
                kept = keep(issued["key"])
                if inspect.isawaitable(kept):
                    await kept
            except Exception as error:
                _raise_not_stored(error, old, issued)
            self._auth.key = issued["key"]
            await self.request("GET", "/v1/whoami")
        key: ApiKey = _model("ApiKey").from_dict(issued)
        return key


__all__ = ["AsyncClient", "Client", "ServiceUsersError", "path_of"]
