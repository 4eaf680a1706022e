"""The console of the package, in API Gateway's own shape of events: a walk through it, and its headers."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest

from local.package.api_gateway import DOMAIN
from local.package.emulator import ApiResponse
from tests.e2e.conftest import checked_emulator
from tests.e2e.test_customer_journey import mails
from tests.e2e.visitor import PUBLIC, Visitor

OWN = f"https://{DOMAIN}"
"""API Gateway's own address of an HTTP API, and of a REST API without its stage: that is in no path that the
function sees."""

STACKS: dict[str, tuple[str, dict[str, str]]] = {
    "public address": (PUBLIC, {}),
    "stage": (f"{OWN}/api", {"public_url": ""}),
    "HTTP API": (OWN, {"public_url": "", "gateway": "http"}),
}

ALWAYS = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
ON_PAGES = {
    "Cache-Control": "no-store",
    "Content-Type": "text/html; charset=utf-8",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture(scope="module", params=STACKS)
def visitor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """The OWNER's browser, at the address of the stack; whatever it was answered is checked in the end."""
    address, options = STACKS[request.param]
    with checked_emulator(tmp_path_factory.mktemp("logs"), **options) as emulator:
        made = Visitor(emulator, address)
        made.enrol(emulator.create_account(username="owner"))
        yield made
        assert made.responses
        for response in made.responses:
            check_headers(response)


def check_headers(response: ApiResponse) -> None:
    """Check that a response has every header that its kind has."""
    headers = response.headers
    for name, value in ALWAYS.items():
        given = [it for other, it in headers.items() if other.lower() == name.lower()]
        assert given == [value], (response.status, name)
    if response.status == 200 and headers["Content-Type"].startswith("text/html"):
        for name, value in ON_PAGES.items():
            assert headers[name] == value, name
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
    for name in headers:
        assert not name.lower().startswith("access-control-"), "no other site reads anything"


def test_a_person_runs_a_service_user_in_the_browser(visitor: Visitor) -> None:
    emulator = visitor.emulator
    assert visitor.post("sign-out").status == 303
    assert visitor.open("you").body.count(b"Sign in") >= 1
    assert "__Host-session" not in visitor.cookies
    entered = visitor.sign_in()
    assert entered.status == 200
    name, _, rest = entered.headers["Set-Cookie"].partition("=")
    assert name == "__Host-session"
    assert rest.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Strict; Secure"
    new = {"username": "bot", "email": "bot@machines.example", "role": "READ_ONLY", "expiry": "never"}
    made = visitor.post("create/service-user", {**new, "keyTypes": ["MONITORING"]})
    assert made.status == 200
    [first] = set(re.findall(r"suk_[0-9A-Za-z]{49}", made.body.decode()))
    form = visitor.open("service-users/bot/rotate?key=MONITORING").body.decode()
    was = re.search(r'name="was" value="([^"]*)"', form)
    assert was is not None
    fields = {"type": "MONITORING", "was": was[1], "overlapSeconds": "0"}
    rotated = visitor.post("service-users/bot/rotate", fields)
    assert rotated.status == 200
    assert first[-5:] in rotated.body.decode()
    assert first not in rotated.body.decode()
    again = visitor.post("service-users/bot/rotate", fields)
    assert again.status == 409, "a form that is sent again makes no second key"
    emulator.deliver_stream()
    assert b"rotated" in visitor.open("service-users/bot").body
    assert visitor.open("events").status == 200
    assert visitor.post("service-users/bot/delete", {"name": "bot"}).status == 303


def test_links_and_files_are_found_at_the_address_of_the_stack(visitor: Visitor) -> None:
    """No page knows whether there is a stage before its path: each link is relative to the page."""
    emulator = visitor.emulator
    for page in ("", "service-users", "people", "you", "create/service-user"):
        path = f"/console/{page}" if page else "/console"
        response = visitor.request("GET", path)
        while response.status == 303:
            path = visitor.follow(path, response)
            response = visitor.request("GET", path)
        assert response.status == 200
        links = re.findall(r'(?:href|src|action)="([^"#]*)"', response.body.decode())
        assert links
        for link in links:
            assert not link.startswith(("/", "http:")), link
            target = urljoin(visitor.address + path, link)
            assert target.startswith(f"{visitor.address}/"), (page, link)
        for link in {it for it in links if "static/" in it}:
            file = visitor.request("GET", urljoin(visitor.address + path, link).removeprefix(visitor.address))
            assert file.status == 200
            assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    front = visitor.request("GET", "/")
    assert front.status in (302, 303)
    assert urljoin(f"{visitor.address}/", front.headers["Location"]).startswith(f"{visitor.address}/console")
    assert emulator.call("GET", "/health").status == 200


def test_cookies_in_headers_of_their_own_are_one_browsers_cookies(visitor: Visitor) -> None:
    """Browsers may send several Cookie headers by HTTP/2; the event has the last of them in ``headers``."""
    visitor.split_cookies = True
    try:
        assert len(visitor.cookies) >= 2
        assert visitor.sign_in().status == 200
        assert visitor.confirm().status == 200
        visitor.cookies = dict(reversed(visitor.cookies.items()))
        assert visitor.request("GET", "/console/you").status == 200
        assert visitor.confirm().status == 200
    finally:
        visitor.split_cookies = False


def test_an_invitation_is_taken_up_with_a_passkey(visitor: Visitor) -> None:
    emulator = visitor.emulator
    assert visitor.sign_in().status == 200
    body = {"username": "ann", "email": "ann@people.example", "role": "READ_ONLY"}
    assert visitor.post("create/user", body).status == 303
    emulator.deliver_stream()
    token = mails(emulator, "ann@people.example")[0].token
    ann = Visitor(emulator, visitor.address)
    assert ann.activate("ann", token).status == 200
    assert ann.request("GET", "/console/you").status == 200
    refused = ann.request("GET", "/console/people")
    assert refused.status == 403
    assert b"role" in refused.body
    assert visitor.post("people/ann/revoke", {"name": "ann"}).status == 303
    assert ann.request("GET", "/console/you").status == 303
    visitor.responses += ann.responses


def test_what_a_request_for_another_method_or_site_is_answered(visitor: Visitor) -> None:
    for path in ("/console/sign-in", "/console/you"):
        got, head = (visitor.request(method, path) for method in ("GET", "HEAD"))
        assert (head.status, head.headers["Location"]) == (got.status, got.headers["Location"])
        assert head.body == b""
    for method, path in (("PUT", "/console/you"), ("GET", "/console/sign-out"), ("POST", "/console/events")):
        assert visitor.request(method, path, "" if method != "GET" else None).status in (404, 405)
    nowhere = visitor.request("GET", "/console/nowhere")
    assert nowhere.status == 404
    headers = {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/x-www-form-urlencoded"}
    stranger = Visitor(visitor.emulator, visitor.address)
    assert stranger.request("POST", "/console/enrol", "", headers).status == 403
    visitor.responses += stranger.responses
