"""examples/verify: the adapter between ``verify`` and nginx or Envoy, and what ``make example`` runs."""

import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "examples" / "verify"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

YES = {
    "allowed": True,
    "status": 200,
    "reason": None,
    "account": "acme",
    "username": "bot",
    "kind": "SERVICE_USER",
    "role": "READ_ONLY",
    "keyType": "MONITORING",
}
NO = dict.fromkeys(YES) | {"allowed": False, "reason": "Because."}


@pytest.fixture(scope="module")
def adapter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("adapter", FOLDER / "adapter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def asking(
    adapter: ModuleType, proxy: str, ask: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[http.client.HTTPConnection]:
    """Run the adapter; gives a proxy's connection to it."""
    server = adapter.serve(proxy, ("127.0.0.1", 0), ask)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()
        server.shutdown()
        server.server_close()


FROM_ENVOY = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.1, 203.0.113.9")]
FROM_NGINX = [
    ("X-Original-Address", "203.0.113.9"),
    ("X-Original-Method", "PUT"),
    ("X-Original-Uri", "/a/b?c=d"),
]


@pytest.mark.parametrize(
    ("proxy", "method", "path", "headers"),
    [("envoy", "PUT", "/a/b?c=d", FROM_ENVOY), ("nginx", "GET", "/", FROM_NGINX)],
)
@pytest.mark.parametrize(
    ("credentials", "asked"),
    [([], None), (["Bearer x"], "Bearer x"), (["Bearer x"] * 2, "Bearer x"), (["Bearer x", "Basic y"], None)],
)
def test_a_proxys_request_becomes_a_question(
    adapter: ModuleType,
    proxy: str,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    credentials: list[str],
    asked: str | None,
) -> None:
    questions: list[dict[str, Any]] = []

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        questions.append(question)
        return YES

    with asking(adapter, proxy, ask) as connection:
        connection.putrequest(method, path)
        for name, value in [*headers, *(("Authorization", it) for it in credentials)]:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
    assert questions == [
        {"sourceIp": "203.0.113.9", "method": "PUT", "path": "/a/b?c=d", "authorization": asked}
    ]
    told = {name: response.headers[name] for name in adapter.CALLER}
    assert list(told.values()) == ["bot", "acme", "SERVICE_USER", "READ_ONLY", "MONITORING"]


@pytest.mark.parametrize("status", [400, 401, 403, 503])
def test_a_refusal_is_passed_on_and_says_nothing_of_the_caller(adapter: ModuleType, status: int) -> None:
    for method in ("GET", "HEAD"):
        with asking(adapter, "envoy", lambda _: NO | {"status": status}) as connection:
            connection.request(method, "/")
            response = connection.getresponse()
            assert response.status == status
            assert response.read() == (b'{"detail": "Because."}' if method == "GET" else b"")
            assert ("WWW-Authenticate" in response.headers) is (status == 401)
            assert not set(adapter.CALLER) & set(response.headers)


def test_nobody_is_let_in_where_the_function_cannot_be_asked(
    adapter: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("suk_secret")

    with asking(adapter, "envoy", fails) as connection:
        connection.request("GET", "/", headers={"Authorization": "Bearer suk_secret"})
        assert connection.getresponse().status == 503
    assert "suk_secret" not in capsys.readouterr().err


@pytest.mark.default_catalogue(reason="the example has keys of the default types")
@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
def test_the_example_allows_and_refuses_as_shown(proxy: str, tmp_path: Path) -> None:
    if proxy == "nginx" and NGINX is None:
        pytest.skip("needs nginx: apt-get install nginx-light")
    words = ["examples/verify/serve.py", "--proxy", proxy, "--check", "--port", "0", "--home", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [line.split()[0] for line in ran.stdout.splitlines()]
    assert told == ["401", "200", "200", "401", "403", "403", "403", "403", "200", "403"]


def test_envoy_refuses_headers_that_a_service_could_take_for_the_caller() -> None:
    config = (FOLDER / "envoy.yaml").read_text(encoding="utf-8")
    _, _, manager = config.partition("HttpConnectionManager\n")
    own, _, _ = manager.partition("route_config:")
    assert "common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }" in own
