"""No spelling of ``..`` gets a key past its paths: asked over a socket, as ``make example`` is asked.

The authorizer is asked by the emulated API Gateway of examples/protected-api, in both payload formats, and
``verify`` by the adapters of examples/verify, as nginx and Envoy ask it. The key may GET what is below
/monitoring/.
"""

import http.client
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import app as application
from local.server import HttpServer
from tests.authorizer.test_iam_policy import DOTS
from tests.support.api_client import Key, Stack

pytestmark = pytest.mark.in_memory

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
LEVELS = "/{first}/{second}/{third}/{fourth}"


def path_with(dots: str) -> str:
    return f"/monitoring/{dots}/user-management/users"


ALLOWED = path_with("clusters")
SPELLINGS = sorted({"..", *(dot * 2 for dot in DOTS), *(f".{dot}" for dot in DOTS)})
ESCAPED_AGAIN = [spelling.replace("%", "%25") for spelling in SPELLINGS]
"""As a client has to send them where the gateway decodes a path once."""


def load(name: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import an example's program."""
    monkeypatch.syspath_prepend(str(EXAMPLES / folder))
    spec = importlib.util.spec_from_file_location(f"{folder}.{name}", EXAMPLES / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, f"{folder}.{name}", module)
    spec.loader.exec_module(module)
    return module


Ask = Callable[[str], int]
"""Sends a GET of a path with the key, as it is, and returns the status."""


@pytest.fixture
def key(stack: Stack) -> Key:
    return stack.service_user(stack.account(), "bot", keyTypes=["MONITORING"])["MONITORING"]


@pytest.fixture
def serving() -> Iterator[Callable[[Any], http.client.HTTPConnection]]:
    """Serve until the test ends; gives a connection."""
    ends: list[Callable[[], None]] = []

    def start(server: Any) -> http.client.HTTPConnection:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        ends.extend((connection.close, server.shutdown, server.server_close))
        return connection

    yield start
    for end in ends:
        end()


def asks(connection: http.client.HTTPConnection, key: Key, proxied: bool = False) -> Ask:
    def ask(path: str) -> int:
        headers = {"Authorization": key.header, "X-Forwarded-For": "198.51.100.7"}
        if proxied:
            headers |= {
                "X-Original-Address": "198.51.100.7",
                "X-Original-Method": "GET",
                "X-Original-Uri": path,
            }
        connection.request("GET", "/" if proxied else path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status

    return ask


@pytest.mark.parametrize("payload", ["1.0", "2.0"])
def test_the_authorizer_refuses_every_spelling(
    payload: str, key: Key, monkeypatch: pytest.MonkeyPatch, serving: Callable[[Any], Any]
) -> None:
    example = load("serve", "protected-api", monkeypatch)
    # A greedy route leads to a service that may decode the path again; this is as good for these paths.
    monkeypatch.setitem(example.clusters.ROUTES, f"GET {LEVELS}", lambda _event, _caller: (200, None))
    api = example.ProtectedApi(application.authorizer, payload, threading.Lock())
    ask = asks(serving(HttpServer(api.respond)), key)
    assert ask(ALLOWED) == 200
    assert [it for it in SPELLINGS + ESCAPED_AGAIN if ask(path_with(it)) != 403] == []
    assert ask(ALLOWED) == 200


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
def test_verify_refuses_every_spelling(
    proxy: str, key: Key, monkeypatch: pytest.MonkeyPatch, serving: Callable[[Any], Any]
) -> None:
    adapter = load("adapter", "verify", monkeypatch)
    server = adapter.serve(proxy, ("127.0.0.1", 0), lambda question: application.verify(question, None))
    ask = asks(serving(server), key, proxied=proxy == "nginx")
    assert ask(ALLOWED) == 200
    assert ask(f"/{ALLOWED}") == 403  # to some servers, what follows two slashes is a host
    assert [it for it in SPELLINGS + ESCAPED_AGAIN if ask(path_with(it)) != 403] == []
    assert ask(ALLOWED) == 200
