"""``make run`` in a process of its own, and Chromium with a virtual authenticator in front of it.

Nothing of the project but a dict of budgets is imported here: these tests know what a person sees, and run in
an environment of their own. ``CHROMIUM`` names the browser where it is not Debian's.
"""

import email
import email.policy
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright  # type: ignore[import-not-found]

from local import budgets

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
PYTHON = ROOT / ".venv" / "bin" / "python"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not Path(CHROMIUM).exists():
        print(f"\n*** No browser at {CHROMIUM}: NO page is tested (Debian: apt-get install chromium). ***\n")
        for item in items:
            item.add_marker(pytest.mark.skip(reason="no Chromium"))


@dataclass
class Server:
    """A running ``make run``."""

    base: str
    home: Path
    printed: Path
    number: Iterator[int] = field(default_factory=lambda: iter(range(1, 1000)))

    @property
    def console(self) -> str:
        return f"{self.base}/console"

    def link(self) -> str:
        """Return the link that opens the console as the OWNER, as it is good now."""
        return re.findall(r"http://localhost:\d+/local/console\?once=\S+", self.printed.read_text())[-1]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as the OWNER."""
        import base64

        owner = json.loads((self.home / "owner.json").read_text())
        basic = base64.b64encode(f"{owner['username']}:{owner['apiKey']}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        raw = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.base + path, raw, headers, method=method), timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def invite(self, role: str = "OWNER") -> tuple[str, str]:
        """Invite a person; returns their username and the token that they were mailed."""
        username = f"person-{next(self.number)}"
        self.api(
            "POST", "/v1/users", {"username": username, "email": f"{username}@demo.example", "role": role}
        )
        found = re.search(r"sui_[0-9A-Za-z]{49}", self.mail(username, "sui_"))
        assert found
        return username, found[0]

    def mail(self, username: str, words: str) -> str:
        """Return the text of the newest email to a person that has these words; waits for it."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for file in sorted((self.home / "outbox").glob(f"*{username}@demo.example.eml"), reverse=True):
                message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
                body = message.get_body(("plain",))
                text = body.get_content() if body else ""
                if words in text:
                    return str(text)
            time.sleep(0.1)  # it is the stream's function that mails, a moment later
        raise AssertionError(f"no email to {username} with {words!r}")

    def service_user(self, **more: Any) -> str:
        """Make a Service User with a MONITORING key; returns its username."""
        username = f"bot-{next(self.number)}"
        body = {"username": username, "email": f"{username}@demo.example", "role": "READ_ONLY"}
        self.api("POST", "/v1/service-users", {**body, "keyTypes": ["MONITORING"], **more})
        return username


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("console")
    printed = folder / "printed"
    with printed.open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "local.run", "--port", "0", "--home", str(folder / "home")],
            cwd=ROOT,
            stdout=output,
            env={**os.environ, **budgets.HIGHEST},
        )
    try:
        end = time.monotonic() + 90
        while "Requests, emails and events" not in printed.read_text():
            assert process.poll() is None, "make run does not start"
            assert time.monotonic() < end, "make run does not start"
            time.sleep(0.1)  # its start is what is waited for
        base = re.findall(r"Console +(http://localhost:\d+)/console", printed.read_text())[0]
        yield Server(base, folder / "home", printed)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Person:
    """Somebody at their browser; what its console tells of something wrong is kept."""

    server: Server
    context: BrowserContext
    page: Page
    username: str = ""
    wrong: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    devtools: Any = None
    authenticator: str = ""

    def watch(self, page: Page) -> None:
        page.on("console", lambda it: self.wrong.append(it.text) if it.type in ("error", "warning") else None)
        page.on("pageerror", lambda it: self.wrong.append(str(it)))

    def open(self, path: str) -> Page:
        """Open a page of the console as by a link of its own, which leads to a form without being asked."""
        url = f"{self.server.console}/{path}"
        return go(self.page, url)

    def plug_in(self) -> None:
        """Give the browser an authenticator with a fingerprint."""
        self.devtools = self.context.new_cdp_session(self.page)
        self.devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = self.devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self.authenticator = made["authenticatorId"]

    def see(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()

    def expect_errors(self, *texts: str) -> None:
        """Say which lines on the browser's console belong to what is tested."""
        self.expected = texts


def go(page: Page, url: str) -> Page:
    """Open a page as by a link on one of the same origin; a typed address of a form is asked about first."""
    origin = url.partition("/console")[0]
    if page.url.startswith(origin):
        with page.expect_navigation():
            page.evaluate("to => { location.href = to }", url)
    else:
        page.goto(url)
    return page


def open_by_link(page: Page, server: Server) -> None:
    """Open the console by the link of ``make run``, which answers with a page that leads there."""
    page.goto(server.link())
    page.wait_for_url(f"{server.console}/service-users")


@pytest.fixture
def newcomer(server: Server, chromium: Browser) -> Iterator[Callable[..., Person]]:
    """Makes people with a browser of their own; afterwards nothing wrong may stand on its console."""
    made: list[Person] = []

    def make(**options: Any) -> Person:
        context = chromium.new_context(**options)
        context.set_default_timeout(15_000)
        page = context.new_page()
        person = Person(server, context, page)
        person.watch(page)
        made.append(person)
        return person

    yield make
    wrong = [line for it in made for line in it.wrong if not any(known in line for known in it.expected)]
    for it in made:
        it.context.close()
    assert not wrong, f"on the browser's console: {wrong}"


@pytest.fixture
def owner(newcomer: Callable[..., Person]) -> Person:
    """The OWNER, by the link of ``make run``: without a passkey."""
    person = newcomer()
    open_by_link(person.page, person.server)
    person.username = "owner"
    return person


@pytest.fixture
def person(newcomer: Callable[..., Person]) -> Callable[..., Person]:
    """Somebody who has just taken up their invitation, with a passkey in an authenticator."""

    def enrol(role: str = "OWNER", **options: Any) -> Person:
        it = newcomer(**options)
        it.username, token = it.server.invite(role)
        it.open("enrol")
        it.plug_in()
        it.page.get_by_label("Username", exact=True).fill(it.username)
        it.page.get_by_label("Token of the invitation").fill(token)
        it.page.get_by_label("Name of the passkey").first.fill("Laptop")
        it.page.get_by_role("button", name="Make a passkey and sign in").click()
        it.page.get_by_role("button", name="Sign out").first.wait_for()
        return it

    return enrol


assert sys.version_info >= (3, 11)
