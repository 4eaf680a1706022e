"""The API reference page: served from vendored files only, which are unchanged, and from no other host."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from chalicelib.http import system
from tests.support.api_client import Stack

VIEWER = Path(system.__file__).parent / "viewer"
VENDORED = json.loads((VIEWER / "vendored.json").read_text())
MAX_RESPONSE = 6 * 1024 * 1024
"""Bytes a Lambda function may answer with."""


def integrity(file: Path) -> str:
    return "sha384-" + base64.b64encode(hashlib.sha384(file.read_bytes()).digest()).decode()


def test_what_is_vendored_is_what_was_published_with_its_licences() -> None:
    for name, it in VENDORED["files"].items():
        assert integrity(VIEWER / name) == it["integrity"], name
    ours = {"page.html", "page.css", "page.js", "vendored.json"}
    assert {file.name for file in VIEWER.iterdir()} == ours | VENDORED["files"].keys()
    assert "Apache License" in (VIEWER / "swagger-ui-LICENSE.txt").read_text()


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_page_asks_for_its_own_files_alone(stack: Stack, path: str) -> None:
    event = stack.event("GET", "/docs")
    event["requestContext"]["path"] = f"/api{path}"
    response = stack.app(event, None)

    assert response["statusCode"] == 200
    assert response["headers"]["Content-Type"] == "text/html; charset=utf-8"
    page = response["body"]
    assert '<base href="../">' in page if path.endswith("/") else '<base href="./">' in page
    asked = re.findall(r'(?:src|href)="([^"{]+)"', page)
    assert {it for it in asked if it not in {"data:,", "./", "../", "openapi.json"}} == {
        f"docs/{name}" for name in system._ASSETS
    }
    for name, told in re.findall(r'(?:src|href)="docs/([^"]+)" integrity="([^"]+)"', page):
        assert told == VENDORED["files"][name]["integrity"]


def test_the_page_may_take_nothing_from_another_host_nor_run_what_is_not_a_file(stack: Stack) -> None:
    policy = stack.call("GET", "/docs").headers["Content-Security-Policy"]

    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("img-src") == "'self' data:"
    assert set(rules.values()) == {"'self'", "'none'"}
    assert rules["default-src"] == "'none'"
    ours = "".join((VIEWER / name).read_text() for name in ("page.html", "page.css", "page.js"))
    assert "//" not in re.sub(r"^\s*//.*|// .*$", "", ours, flags=re.MULTILINE)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_that_opens_it_keeps_no_hold_of_its_window(stack: Stack, method: str) -> None:
    """It could scroll the page, in which somebody may have signed in with a key, under the pointer."""
    assert stack.call(method, "/docs").headers["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("name", system._ASSETS)
def test_its_files_are_served_and_kept_where_they_never_change(stack: Stack, name: str) -> None:
    response = stack.call("GET", f"/docs/{name}")

    assert response.status == 200
    assert response.text == (VIEWER / name).read_text()
    assert response.headers["Content-Type"].startswith(
        "text/javascript" if name.endswith("js") else "text/css"
    )
    assert ("immutable" in response.headers["Cache-Control"]) == (name in VENDORED["files"])
    assert len(json.dumps(response.text)) < MAX_RESPONSE


@pytest.mark.parametrize("name", ["page.html", "vendored.json", "..%2Fsystem.py", "swagger-ui-LICENSE.txt"])
def test_no_other_file_is(stack: Stack, name: str) -> None:
    response = stack.call("GET", f"/docs/{name}")

    assert response.status == 404
    assert response.json["detail"].endswith("Its page is at /docs.")
