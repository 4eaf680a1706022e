"""The API reference, ``/docs``, in a browser: no credential on it, errors folded, no wider than a phone."""

import base64
import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Response  # type: ignore[import-not-found]

from tests.browser.conftest import Person, Server

WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def credentials(server: Server) -> tuple[str, str]:
    owner = json.loads((server.home / "owner.json").read_text())
    return owner["username"], owner["apiKey"]


def opened(person: Person, width: int = 1280) -> Page:
    page = person.page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{person.server.base}/docs")
    page.get_by_text("Create a Service User with its keys").first.wait_for()
    return page


def call_open(page: Page, operation: str) -> None:
    page.locator(f"[id$='-{operation}'] .opblock-summary-control").click()
    page.locator(f"[id$='-{operation}'] .responses-wrapper").wait_for()


def sign_in(page: Page, username: str, key: str) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("#sign-in-username").fill(username)
    page.locator("#sign-in-key").fill(key)
    page.locator(".auth-container").first.get_by_role("button", name="Apply credentials").click()
    page.get_by_text(f"Signed in as {username}.").wait_for()
    page.locator(".close-modal").click()


def test_a_generated_command_has_no_credential(newcomer: Callable[..., Person]) -> None:
    person = newcomer()
    username, key = credentials(person.server)
    page = opened(person)
    sign_in(page, username, key)
    call_open(page, "whoami")
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    command = page.locator(".curl-command")
    command.wait_for()
    text = command.inner_text()
    basic = base64.b64encode(f"{username}:{key}".encode()).decode()
    assert "-u" in text
    assert username in text
    assert "uthorization" not in text
    for secret in (key, basic, basic[-30:]):
        assert secret not in page.content()
    assert '"username": "owner"' in page.locator(".live-responses-table").inner_text()


def test_a_secret_in_a_body_is_not_in_the_command_either(newcomer: Callable[..., Person]) -> None:
    person = newcomer()
    username, key = credentials(person.server)
    page = opened(person)
    sign_in(page, username, key)
    call_open(page, "findKey")
    page.get_by_role("button", name="Try it out").click()
    page.locator(".body-param__text").fill(json.dumps({"key": key}))
    page.get_by_role("button", name="Execute").click()
    text = page.locator(".curl-command").inner_text()
    assert "suk_…" in text
    assert key not in text


def test_a_command_with_the_key_alone_has_no_credential(newcomer: Callable[..., Person]) -> None:
    person = newcomer()
    _, key = credentials(person.server)
    page = opened(person)
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("#sign-in-bearer").fill(key)
    page.get_by_role("button", name="Apply credentials").last.click()
    page.get_by_text("Signed in with a key.").wait_for()
    page.locator(".close-modal").click()
    call_open(page, "whoami")
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    assert "Bearer YOUR-KEY" in page.locator(".curl-command").inner_text()
    assert key not in page.content()


def test_the_sign_in_asks_for_an_api_key_and_offers_to_make_no_password(
    newcomer: Callable[..., Person],
) -> None:
    page = opened(newcomer(), 320)
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    assert dialog.get_by_label("API key").count() == 2
    assert "assword" not in dialog.inner_text()
    fields = dialog.locator("input")
    told = [(it.get_attribute("type"), it.get_attribute("autocomplete")) for it in fields.all()]
    assert told == [("text", "username"), ("password", "off"), ("password", "off")]
    assert not page.evaluate(WIDER)
    box = dialog.bounding_box()
    assert box
    assert (box["x"] >= 4, box["x"] + box["width"] <= 316) == (True, True)


def test_errors_are_one_line_each_until_they_are_opened(newcomer: Callable[..., Person]) -> None:
    page = opened(newcomer())
    call_open(page, "createServiceUser")
    block = page.locator("[id$='-createServiceUser']")
    folded = block.locator("button.fold")
    assert [it.inner_text().split()[0] for it in folded.all()] == [
        *("400", "401", "403", "409", "413", "415", "429", "500", "502", "503", "504")
    ]
    assert block.locator("tr.response").count() == 1, "the success alone is open"
    first = folded.first
    assert first.get_attribute("aria-expanded") == "false"
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-expanded") == "true"
    assert "errors" in block.locator("tr.response[data-code='400']").inner_text()
    page.keyboard.press("Enter")
    assert block.locator("tr.response").count() == 1


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_scrolls_sideways(newcomer: Callable[..., Person], width: int) -> None:
    page = opened(newcomer(), width)
    assert not page.evaluate(WIDER)
    for operation in ("createServiceUser", "listServiceUsers", "listEvents", "restrictOwnKeyOfType"):
        call_open(page, operation)
        block = page.locator(f"[id$='-{operation}']")
        for fold in block.locator("button.fold").all():
            fold.click()
        assert not page.evaluate(WIDER), operation
        # What overflow-x hides would be out of reach: nothing but what scrolls by itself may be wider.
        assert page.evaluate(BEYOND, width) == [], operation
        page.locator(f"[id$='-{operation}'] .opblock-summary-control").click()


BEYOND = """width => [...document.querySelectorAll('#reference *')].filter(it => {
  const box = it.getBoundingClientRect();
  if (!box.width || !box.height || box.right <= width + 1) return false;
  for (let up = it.parentElement; up; up = up.parentElement) {
    if (up.id === 'reference') break;
    const style = getComputedStyle(up);
    if (['auto', 'scroll'].includes(style.overflowX) || style.overflowX === 'hidden') return false;
  }
  return true;
}).map(it => it.tagName + '.' + it.className).slice(0, 5)"""


def test_it_is_small_on_the_wire_and_kept(newcomer: Callable[..., Person]) -> None:
    person = newcomer()
    responses: list[Response] = []
    person.page.on("response", lambda it: responses.append(it))
    opened(person)
    sizes = {it.url.rpartition("/")[2]: it.request.sizes()["responseBodySize"] for it in responses}
    assert sizes.keys() == {
        "docs",
        "swagger-ui-5.35.0.css",
        "page.css",
        "swagger-ui-5.35.0.js",
        "page.js",
        "openapi.json",
    }
    assert sum(sizes.values()) < 560_000, sizes
    print(sizes)
    large = [it for it in responses if "swagger-ui" in it.url]
    assert all("immutable" in it.headers["cache-control"] for it in large)
