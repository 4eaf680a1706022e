"""axe on every page, in both colour schemes and two widths; and no page that scrolls sideways."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-not-found]
from playwright.sync_api import Browser  # type: ignore[import-not-found]

from tests.browser.conftest import Person, Server, go, open_by_link

SIGNED_OUT = ["sign-in", "enrol"]
PAGES = [
    "service-users",
    "service-users?prefix=nothing-like-this",
    "service-users/BOT",
    "service-users/BOT/edit",
    "service-users/BOT/delete",
    "service-users/BOT/rotate?key=MONITORING",
    "service-users/BOT/restrict?key=MONITORING",
    "service-users/BOT/revoke?key=MONITORING",
    "service-users/BOT/generate?key=PROVISIONING_READONLY",
    "create/service-user",
    "people",
    "create/user",
    "people/OTHER/edit",
    "people/OTHER/revoke",
    "people/OTHER/shown-keys",
    "people/OTHER/invite-again",
    "events",
    "account",
    "you",
    "you/leave",
    "you/generate?key=MONITORING",
    "nothing-here",
]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def tour(server: Server, chromium: Browser) -> Iterator[tuple[Person, dict[str, str]]]:
    context = chromium.new_context()
    page = context.new_page()
    it = Person(server, context, page)
    open_by_link(page, server)
    other, _token = server.invite("CLUSTER_ADMIN")
    yield it, {"BOT": server.service_user(expiresAt=None), "OTHER": other}
    context.close()


@pytest.mark.parametrize("path", [*SIGNED_OUT, *PAGES])
def test_axe_finds_no_accessibility_error_on_any_page(tour: tuple[Person, dict[str, str]], path: str) -> None:
    it, names = tour
    for name, value in names.items():
        path = path.replace(name, value)
    page = it.page
    if path in SIGNED_OUT:
        page = it.context.browser.new_context().new_page()
    axe = Axe()
    for width in (1280, 390, 320):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page = go(page, f"{it.server.console}/{path}")
            wide = page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
            assert not wide, f"{path} scrolls sideways at {width}"
            if width != 320:
                found = axe.run(page, options=RULES)
                assert found.violations_count == 0, found.generate_report()


def test_a_form_with_errors_and_the_page_with_a_key_are_for_everybody(
    tour: tuple[Person, dict[str, str]],
) -> None:
    it, names = tour
    page = it.page
    axe = Axe()
    page.set_viewport_size({"width": 390, "height": 900})
    steps: list[Callable[[], object]] = [
        lambda: go(page, f"{it.server.console}/create/service-user"),
        lambda: page.get_by_label("Username", exact=True).fill("x"),
        lambda: page.get_by_label("Email").fill("bot@demo.example"),
        lambda: page.get_by_label("Ends", exact=True).select_option("never"),
        lambda: page.get_by_role("button", name="Create the Service User").click(),
        lambda: page.get_by_role("heading", name="Nothing was done").wait_for(),
    ]
    for step in steps:
        step()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert axe.run(page, options=RULES).violations_count == 0, axe.run(
            page, options=RULES
        ).generate_report()
    go(page, f"{it.server.console}/service-users/{names['BOT']}/rotate?key=MONITORING")
    page.get_by_role("button", name="Rotate MONITORING").click()
    page.get_by_label("I have put it where it belongs").check()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page, options=RULES)
        assert found.violations_count == 0, found.generate_report()
