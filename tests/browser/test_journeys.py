"""What people do in the console, in a real browser."""

import gzip
import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-not-found]
from playwright.sync_api import Browser  # type: ignore[import-not-found]

from tests.browser.conftest import CHROMIUM, FLAGS, Person, Server, go, open_by_link
from tests.browser.test_accessibility import RULES

People = Callable[..., Person]
ELSEWHERE = "data:text/html,<title>Elsewhere</title>"
"""A page of another site. A page of the console tells the others, and Chromium keeps none that was told."""
KEY = re.compile(r"suk_[0-9A-Za-z]{49}")


def create(it: Person, username: str) -> str:
    """Create a Service User by its form; returns the key that is shown."""
    page = it.page
    it.open("service-users")
    page.get_by_role("link", name="Create a Service User").click()
    page.get_by_label("Username", exact=True).fill(username)
    page.get_by_label("Email").fill(f"{username}@demo.example")
    page.get_by_label("Ends", exact=True).select_option("90")
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name=f"The key of {username}").wait_for()
    found = KEY.search(page.content())
    assert found
    return found[0]


def back_at_a_form(it: Person, before: Callable[[], object] = lambda: None) -> str:
    """Go back to the form that suspends a Service User, after ``before``; returns its username."""
    name = it.server.service_user(administrators=["owner"])
    it.open(f"service-users/{name}/suspend")
    it.open("events")
    before()
    it.page.go_back()
    return name


def test_an_invitation_is_taken_up_and_leads_to_the_service_users(person: People) -> None:
    ann = person()
    assert ann.page.url.endswith("/console/service-users")
    assert ann.page.get_by_text(f"{ann.username} (OWNER)").is_visible()


def test_signing_out_and_in_again_with_the_passkey(person: People) -> None:
    ann = person()
    ann.page.get_by_role("button", name="Sign out").click()
    ann.see("You are signed out.")
    ann.page.go_back()
    ann.page.get_by_role("button", name="Sign in with a passkey").wait_for()
    ann.page.get_by_role("button", name="Sign in with a passkey").click()
    ann.page.get_by_role("heading", name="Service Users").wait_for()


def test_whoever_is_not_verified_by_the_device_does_not_get_in(person: People) -> None:
    ann = person()
    ann.page.get_by_role("button", name="Sign out").click()
    ann.devtools.send(
        "WebAuthn.setUserVerified", {"authenticatorId": ann.authenticator, "isUserVerified": False}
    )
    ann.page.get_by_role("button", name="Sign in with a passkey").click()
    ann.see("The passkey was not used")
    assert not ann.context.cookies(ann.server.console) or ann.page.url.endswith("out=1")


def test_a_wrong_token_is_said_on_the_page(newcomer: People, server: Server) -> None:
    it = newcomer()
    it.expect_errors("400")
    it.open("enrol")
    it.plug_in()
    it.page.get_by_label("Username", exact=True).fill("nobody")
    it.page.get_by_label("Token of the invitation").fill("sui_wrong")
    it.page.get_by_role("button", name="Make a passkey and sign in").click()
    it.see("The username or the token is not valid")


def test_a_key_and_a_mailed_code_get_a_passkey_also_in_another_tab(newcomer: People, server: Server) -> None:
    it = newcomer()
    it.username, token = server.invite("CLUSTER_ADMIN")
    activated = server.api("POST", "/v1/users/activate", {"username": it.username, "token": token})
    made = activated["apiKeys"]["apiKeys"]
    key = next(one["key"] for one in made if one["keyType"] == "USER_MANAGEMENT")
    it.open("enrol")
    it.page.wait_for_timeout(1100)  # for a second, nothing is sent from a page that has just appeared
    it.page.get_by_label("Your username").fill(it.username)
    it.page.get_by_label("API key", exact=True).fill(key)
    it.page.get_by_role("button", name="Mail me a code").click()
    it.see("A code was mailed to you")
    code = re.search(r"sue_\w+", server.mail(it.username, "sue_"))
    assert code
    closed, it.page = it.page, it.context.new_page()
    closed.close()
    it.watch(it.page)
    it.page.goto(f"{server.console}/enrol")
    it.plug_in()
    assert Axe().run(it.page, options=RULES).violations_count == 0
    it.page.get_by_label("Username", exact=True).fill(it.username)
    it.page.get_by_label("Code of the email").fill(code[0])
    it.page.get_by_role("button", name="Make a passkey and sign in").click()
    it.page.get_by_role("heading", name="Service Users").wait_for()


def test_a_key_is_created_copied_and_not_made_twice_by_reloading(person: People) -> None:
    ann = person()
    ann.context.grant_permissions(["clipboard-read", "clipboard-write"])
    username = f"{ann.username}-bot"
    key = create(ann, username)
    ann.page.get_by_role("button", name="Copy the MONITORING key").click()
    ann.see("Copied.")
    assert ann.page.evaluate("navigator.clipboard.readText()") == key
    ann.page.get_by_label("I have put it where it belongs").check()
    ann.page.reload()
    ann.page.get_by_role("heading", name=username).wait_for()
    assert key not in ann.page.content()
    assert f"…{key[-5:]}" in ann.page.content()


def test_the_page_with_the_key_is_not_left_by_accident(person: People) -> None:
    ann = person()
    create(ann, f"{ann.username}-bot")
    asked: list[str] = []
    ann.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))  # type: ignore[func-returns-value]
    ann.page.get_by_role("link", name="Go on to").click()
    ann.page.get_by_role("heading", name=f"{ann.username}-bot").wait_for()
    assert asked == ["beforeunload"]


def test_the_key_is_gone_from_a_page_that_the_browser_kept_to_go_back_to(
    server: Server, chromium: Browser
) -> None:
    """Chromium keeps pages whole for a while, whatever their headers say; Playwright turns that off."""
    kept = ["--disable-back-forward-cache"]
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=FLAGS, ignore_default_args=kept)
    page = browser.new_page()
    open_by_link(page, server)
    go(page, f"{server.console}/create/service-user")
    page.get_by_label("Username", exact=True).fill("kept-bot")
    page.get_by_label("Email").fill("kept-bot@demo.example")
    page.get_by_label("Ends", exact=True).select_option("90")
    page.get_by_role("button", name="Create").click()
    page.get_by_label("I have put it where it belongs").check()
    page.get_by_role("heading", name="The key of kept-bot").wait_for()
    found = KEY.search(page.content())
    assert found
    page.goto(ELSEWHERE)
    page.evaluate("setTimeout(() => history.back())")  # not at once: it would end the call, too
    page.wait_for_url("**/service-users/kept-bot")
    page.get_by_role("heading", name="History").wait_for()
    assert found[0] not in page.content()
    # Another site may have led back here, and the next clicks been meant for it.
    page.get_by_role("link", name="Suspend").click()
    page.get_by_role("button", name="Suspend").click()
    page.locator("main form [role=alert]").get_by_text("Nothing was sent").wait_for()
    browser.close()


def test_a_page_that_the_browser_kept_is_loaded_anew_and_waits(server: Server, chromium: Browser) -> None:
    """Nothing says when such a page is painted: until then a click meets a button that nobody can see yet."""
    kept = ["--disable-back-forward-cache"]
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=FLAGS, ignore_default_args=kept)
    page = browser.new_page()
    open_by_link(page, server)
    name = server.service_user()
    form = f"{server.console}/service-users/{name}/suspend"
    go(page, form)
    page.evaluate("globalThis.kept = true")
    page.goto("data:text/html,<title>Elsewhere</title>")
    page.evaluate("setTimeout(() => history.back())")  # not at once: it would end the call, too
    page.wait_for_function("!globalThis.kept && location.pathname.endsWith('/suspend') && !location.search")
    page.get_by_role("button", name="Suspend").click()
    page.locator("main form [role=alert]").get_by_text("Nothing was sent").wait_for()
    assert server.api("GET", f"/v1/service-users/{name}")["suspendedAt"] is None
    browser.close()


def test_nothing_is_sent_before_the_page_was_painted(person: People) -> None:
    """Another window can hold the screen for seconds, with what was there before on it."""
    ann = person()
    page = ann.page
    page.add_init_script(
        """const entries = performance.getEntriesByType.bind(performance);
        performance.getEntriesByType = (type) => {
            return type === "paint" && !globalThis.painted ? [] : entries(type);
        };"""
    )
    back_at_a_form(ann)
    page.wait_for_timeout(1300)
    page.get_by_role("button", name="Suspend").click()
    page.locator("main form [role=alert]").get_by_text("Nothing was sent").wait_for()
    page.evaluate("globalThis.painted = true")
    page.get_by_role("button", name="Suspend").click()
    ann.see("The Service User is suspended.")


def test_the_key_is_gone_after_signing_out_whatever_one_presses(person: People) -> None:
    ann = person()
    key = create(ann, f"{ann.username}-bot")
    ann.page.get_by_label("I have put it where it belongs").check()
    ann.page.get_by_role("button", name="Sign out").click()
    ann.see("You are signed out.")
    for _ in range(3):
        ann.page.go_back()
        ann.page.wait_for_load_state()
        assert key not in ann.page.content()


def test_a_key_is_rotated_with_an_hours_overlap_restricted_and_revoked(
    person: People, server: Server
) -> None:
    ann = person()
    bot = server.service_user()
    page = ann.open(f"service-users/{bot}")
    page.get_by_role("link", name="Rotate MONITORING").click()
    page.get_by_label("Keep the old key working for").select_option("3600")
    page.get_by_role("button", name="Rotate MONITORING").click()
    page.get_by_label("I have put it where it belongs").check()
    page.get_by_role("link", name=f"Go on to {bot}").click()
    ann.see("Old key")
    page.get_by_role("link", name="Restrict MONITORING").click()
    page.get_by_label("Allowed networks").fill("203.0.113.0/24")
    page.get_by_role("button", name="Restrict MONITORING").click()
    ann.see("The key's restrictions are as you set them.")
    ann.see("203.0.113.0/24")
    page.get_by_role("link", name="Revoke MONITORING").click()
    page.get_by_role("button", name="Revoke MONITORING").click()
    ann.see("It stopped working at once.")
    ann.see("API key revoked")


def test_errors_stand_at_their_fields_and_keep_what_was_typed(person: People) -> None:
    ann = person()
    ann.expect_errors("400")
    page = ann.open("create/service-user")
    page.get_by_label("Username", exact=True).fill("x")
    page.get_by_label("Email").fill("bot@demo.example")
    page.get_by_label("Allowed networks").fill("home")
    page.get_by_label("Ends", exact=True).select_option("never")
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name="Nothing was done").wait_for()
    assert page.get_by_label("Email").input_value() == "bot@demo.example"
    assert page.get_by_label("Username", exact=True).get_attribute("aria-invalid") == "true"
    assert page.title().startswith("Error: ")


def test_a_touch_older_than_five_minutes_is_asked_for_again_and_the_form_goes_on(
    person: People, server: Server
) -> None:
    ann = person()
    bot = server.service_user()
    page = ann.open(f"service-users/{bot}/rotate?key=MONITORING")
    page.evaluate("document.body.dataset.confirmed = 0")
    page.clock.install()
    page.reload()
    page.clock.fast_forward(6 * 60 * 1000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "passkey/" in request.url else None)
    page.get_by_role("button", name="Rotate MONITORING").click()
    page.get_by_role("heading", name=f"The key of {bot}").wait_for()
    assert [url.rpartition("/")[2] for url in asked] == ["confirm-begin", "confirm-finish"]


def test_a_warning_comes_before_the_session_ends_and_one_stays_signed_in(person: People) -> None:
    ann = person()
    page = ann.page
    page.clock.install()
    ann.open("you")
    page.clock.fast_forward(13 * 60 * 1000 + 5000)
    assert not page.get_by_role("button", name="Sign in with a passkey").is_visible()
    stay = page.get_by_role("button", name="Stay signed in")
    stay.wait_for()
    page.clock.run_for(1100)
    asked: list[str] = []
    page.on("request", lambda it: asked.append(it.url) if it.method == "POST" else None)
    page.evaluate("() => { dispatchEvent(new Event('blur')); dispatchEvent(new Event('focus')); }")
    stay.click()
    page.get_by_role("dialog").get_by_text("Nothing was sent").wait_for()
    assert asked == [], "a window over it may have closed at the first of two clicks"
    page.clock.run_for(1100)
    stay.click()
    ann.see("You stay signed in.")
    assert [it.rpartition("/")[2] for it in asked] == ["seen"]
    page.clock.fast_forward(13 * 60 * 1000 + 5000)
    page.get_by_role("heading", name="Are you still there?").wait_for()
    page.keyboard.press("Escape")
    assert not page.get_by_role("heading", name="Are you still there?").is_visible()


def test_the_warning_at_the_end_of_the_8_hours_offers_what_there_is_and_stays_closed(person: People) -> None:
    ann = person()
    page = ann.page
    page.clock.install()
    ann.open("you")
    said = "{ me: document.body.dataset.me, end: Date.now() + 130000, last: Date.now() + 130000 }"
    page.evaluate(f"() => new BroadcastChannel('session').postMessage({said})")  # as another tab would
    page.clock.run_for(15_000)
    page.get_by_text("a session lasts 8 hours at most").wait_for()
    assert not page.get_by_role("button", name="Stay signed in").is_visible()
    page.get_by_role("button", name="Close").click()
    page.clock.run_for(5_000)
    assert not page.get_by_role("heading", name="Are you still there?").is_visible()
    page.clock.run_for(115_000)
    page.get_by_role("heading", name="You are signed out").wait_for()


def fill_in(it: Person) -> str:
    """Fill in the form that creates a Service User, and stay there; returns the username that was typed."""
    page = it.open("create/service-user")
    username = f"{it.username}-typed"
    page.get_by_label("Username", exact=True).fill(username)
    page.get_by_label("Email").fill(f"{username}@demo.example")
    page.get_by_label("Allowed networks").fill("203.0.113.0/24")
    page.get_by_label("Ends", exact=True).select_option("90")
    return username


def test_what_is_typed_stays_where_it_is_when_the_session_ends(person: People) -> None:
    ann = person()
    page = ann.page
    page.clock.install()
    username = fill_in(ann)
    page.clock.fast_forward(16 * 60 * 1000)
    page.get_by_role("heading", name="You are signed out").wait_for()
    assert not page.get_by_role("button", name="Stay signed in").is_visible()
    ann.context.clear_cookies()  # the server's clock goes on as it does
    page.get_by_role("button", name="Sign in with a passkey").click()
    ann.see("You are signed in again. What you typed is still here.")
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name=f"The key of {username}").wait_for()


def test_a_session_that_ended_elsewhere_is_noticed_before_anything_typed_is_lost(person: People) -> None:
    """Where a touch is due, that is refused, and signing in is offered in place. Else the form itself is."""
    ann = person()
    ann.expect_errors("401")
    username = fill_in(ann)
    ann.context.clear_cookies()
    page = ann.page
    page.get_by_role("button", name="Create the Service User").click()
    ann.see("What you typed is kept on this page.")
    page.get_by_role("button", name="Sign in with a passkey").click()
    ann.see("You are signed in again. What you typed is here, and was not sent yet.")
    assert page.get_by_label("Username", exact=True).input_value() == username
    assert page.get_by_label("Allowed networks").input_value() == "203.0.113.0/24"
    page.clock.install()
    username = fill_in(ann)
    page.clock.fast_forward(6 * 60 * 1000)
    ann.context.clear_cookies()
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    page.get_by_role("button", name="Sign in with a passkey").click()
    ann.see("You are signed in again. What you typed is still here.")
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name=f"The key of {username}").wait_for()


def test_only_key_types_that_the_role_may_hold_are_offered(person: People) -> None:
    ann = person()
    page = ann.open("create/service-user")
    management = page.get_by_label("User Management")
    assert not management.is_visible()
    page.get_by_label("Role", exact=True).select_option("CLUSTER_ADMIN")
    management.check()
    page.get_by_label("Role", exact=True).select_option("READ_ONLY")
    assert not management.is_visible()
    assert page.get_by_label("Monitoring MONITORING").is_checked()
    fill = {"Username": f"{ann.username}-least", "Email": f"{ann.username}-least@demo.example"}
    for label, text in fill.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Ends", exact=True).select_option("90")
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name=f"The key of {fill['Username']}").wait_for()


def test_an_owner_hands_over_and_leaves(person: People) -> None:
    ann = person()
    create(ann, f"{ann.username}-bot")
    ann.page.get_by_label("I have put it where it belongs").check()
    ann.open("you")
    ann.page.get_by_role("link", name="Leave the account").click()
    ann.see("you alone administer it")
    ann.page.get_by_label(f"Type {ann.username} to leave").fill(ann.username)
    ann.page.get_by_role("button", name="Leave the account").click()
    ann.see("You have left the account.")
    ann.expect_errors("401")
    ann.page.get_by_role("button", name="Sign in with a passkey").click()
    ann.page.locator(".error:not(:empty)").first.wait_for()


def test_an_ended_session_leads_back_to_the_same_form(person: People, server: Server) -> None:
    ann = person()
    bot = server.service_user()
    ann.context.clear_cookies()
    page = ann.open(f"service-users/{bot}/rotate?key=MONITORING")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("button", name="Rotate MONITORING").wait_for()
    assert page.url.endswith(f"service-users/{bot}/rotate?key=MONITORING")


def test_a_service_user_is_deleted_by_typing_its_name(person: People, server: Server) -> None:
    ann = person()
    bot = server.service_user()
    page = ann.open(f"service-users/{bot}/delete")
    page.get_by_label(f"Type {bot} to delete it").fill(bot)
    page.get_by_role("button", name=f"Delete {bot}").click()
    ann.see("The Service User was deleted.")


def test_an_administrator_names_another_who_can_then_change_it(person: People, server: Server) -> None:
    ann, bea = person(), person("CLUSTER_ADMIN")
    bot = server.service_user()
    page = ann.open(f"service-users/{bot}/edit")
    page.get_by_label("Administrators").fill(bea.username)
    page.get_by_role("button", name=f"Change {bot}").click()
    ann.see("The Service User was changed.")
    bea.open(f"service-users/{bot}")
    bea.page.get_by_role("link", name="Rotate MONITORING").wait_for()


def test_an_owner_invites_a_person_who_comes_in(person: People, server: Server) -> None:
    ann = person()
    page = ann.open("people")
    page.get_by_role("link", name="Invite a person").click()
    name = f"{ann.username}-friend"
    page.get_by_label("Username", exact=True).fill(name)
    page.get_by_label("Email").fill(f"{name}@demo.example")
    page.get_by_label("Role").select_option("CLUSTER_ADMIN")
    page.get_by_role("button", name="Invite the person").click()
    ann.see("The invitation is on its way by email.")
    assert server.mail(name, "sui_")


def test_a_revoked_persons_open_tab_does_nothing_more(person: People, server: Server) -> None:
    ann = person()
    ann.expect_errors("401")
    bot = server.service_user()
    page = ann.open(f"service-users/{bot}/revoke?key=MONITORING")
    server.api("DELETE", f"/v1/users/{ann.username}")
    page.get_by_role("button", name="Revoke MONITORING").click()
    ann.see("You are not signed in")
    assert server.api("GET", f"/v1/service-users/{bot}")["apiKeys"]["apiKeys"]


def test_a_stale_tab_makes_no_second_key(person: People, server: Server) -> None:
    ann = person()
    ann.expect_errors("409")
    bot = server.service_user()
    form = f"service-users/{bot}/rotate?key=MONITORING"
    ann.open(form)
    other = ann.context.new_page()
    ann.watch(other)
    other.goto(f"{server.console}/{form}")
    other.get_by_role("link", name="Open ").click()
    other.wait_for_timeout(1100)  # for a second, nothing is sent from a page that was asked for
    other.get_by_role("button", name="Rotate MONITORING").click()
    other.get_by_role("heading", name=f"The key of {bot}").wait_for()
    ann.page.get_by_role("button", name="Rotate MONITORING").click()
    ann.see("This was done already")
    assert not KEY.search(ann.page.content())


def test_a_read_only_person_runs_their_own_keys_and_is_told_who_does_the_rest(person: People) -> None:
    cat = person("READ_ONLY")
    cat.expect_errors("403")
    page = cat.open("you")
    assert page.get_by_role("link", name="Service Users").count() == 0
    page.get_by_role("link", name="Generate MONITORING").click()
    page.get_by_label("Ends", exact=True).select_option("30")
    page.get_by_role("button", name="Generate MONITORING").click()
    page.get_by_role("heading", name="The key of").wait_for()
    page.get_by_label("I have put it where it belongs").check()
    page.get_by_role("link", name="Go on to").click()
    page.get_by_role("heading", name="Your API keys").wait_for()
    cat.open("service-users")
    cat.see("your role is READ_ONLY. Ask an OWNER.")


def test_another_passkey_is_added_and_the_first_removed(person: People) -> None:
    ann = person()
    ann.open("you")
    ann.devtools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": ann.authenticator})
    ann.plug_in()
    ann.page.get_by_label("Name of another passkey").fill("Phone")
    ann.page.get_by_role("button", name="Add a passkey").click()
    ann.page.get_by_role("heading", name="Phone").wait_for()
    ann.page.get_by_role("link", name="Remove Laptop").click()
    ann.page.get_by_role("button", name="Remove Laptop").click()
    ann.see("The passkey was removed.")
    assert ann.server.mail(ann.username, "was added")
    assert ann.server.mail(ann.username, "was removed")


def test_signing_out_everywhere_ends_the_other_browser_too(person: People, newcomer: People) -> None:
    ann = person()
    other = newcomer()
    other.context.add_cookies(ann.context.cookies())
    other.open("events")
    other.open("you")
    other.see(ann.username)
    ann.open("you")
    ann.page.get_by_role("button", name="Sign out everywhere").click()
    ann.see("You are signed out.")
    other.open("you")
    other.page.get_by_role("button", name="Sign in with a passkey").wait_for()


def test_everything_but_the_touch_works_without_javascript(
    person: People, newcomer: People, server: Server
) -> None:
    ann = person()
    bot = server.service_user()
    plain = newcomer(java_script_enabled=False)
    plain.context.add_cookies(ann.context.cookies())
    page = plain.open(f"service-users?prefix={bot}")
    page.get_by_role("link", name=bot).click()
    page.get_by_role("link", name="Rotate MONITORING").click()
    page.get_by_role("button", name="Rotate MONITORING").click()
    page.get_by_role("heading", name=f"The key of {bot}").wait_for()
    assert KEY.search(page.content())


def test_a_form_is_filled_and_sent_by_keyboard_alone(person: People) -> None:
    ann = person()
    page = ann.open("create/user")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    name = f"{ann.username}-key"
    for text in ("", name, "", f"{name}@demo.example"):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    ann.see("The invitation is on its way by email.")


def test_a_page_of_a_sibling_origin_can_send_no_form(person: People, server: Server) -> None:
    """Another port of the host is the same site: the cookie comes along, and the request is refused."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    ann = person()
    ann.expect_errors("403", "404")  # the refusal is no page, and has no icon

    class Evil(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            form = f'<form method="post" action="{server.console}/you/sessions"><button>Win</button></form>'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(form.encode())

        def log_message(self, *_: object) -> None:
            pass

    evil = HTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    try:
        ann.page.goto(f"http://localhost:{evil.server_port}/")
        ann.page.get_by_role("button", name="Win").click()
        ann.page.wait_for_load_state()
        ann.page.get_by_text("another site").first.wait_for()
        ann.open("you")
        ann.page.get_by_role("button", name="Sign out everywhere").wait_for()
        ann.page.goto(f"http://localhost:{evil.server_port}/")
        framed = ann.page.evaluate(
            "url => new Promise(done => { const frame = document.createElement('iframe'); frame.src = url;"
            " frame.onload = () => { try { done(String(frame.contentDocument)) } catch { done('closed') } };"
            " document.body.append(frame); setTimeout(() => done('nothing'), 3000) })",
            f"{server.console}/you",
        )
        assert framed in ("null", "closed", "nothing")
        ann.expect_errors(
            "403", "404", "frame-ancestors", "X-Frame-Options", "refused to connect", "Refused to"
        )
    finally:
        evil.shutdown()
        evil.server_close()


def test_the_first_visit_is_small_and_asks_nobody_else(newcomer: People, server: Server) -> None:
    it = newcomer()
    responses: list[Any] = []
    it.page.on("response", lambda response: responses.append(response))
    it.open("sign-in")
    it.page.wait_for_load_state("networkidle")
    sizes = {response.url: len(gzip.compress(response.body())) for response in responses}
    assert all(url.startswith(server.base) for url in sizes)
    assert len(sizes) <= 4, sizes
    assert sum(sizes.values()) <= 20_000, sizes
    assert next(size for url, size in sizes.items() if url.endswith(".js")) <= 6000
    assert next(size for url, size in sizes.items() if url.endswith(".css")) <= 4000


def test_the_link_of_make_run_opens_it_once(newcomer: People, server: Server) -> None:
    link = server.link()
    first = newcomer()
    first.page.goto(link)
    first.page.get_by_role("heading", name="Service Users").wait_for()
    second = newcomer()
    second.expect_errors("403", "404")  # its text has no icon
    second.page.goto(link)
    second.see("This link was used")


@pytest.mark.parametrize("path", ["", "sign-in"])
def test_the_address_alone_leads_to_the_console(newcomer: People, server: Server, path: str) -> None:
    it = newcomer()
    it.page.goto(f"{server.base}/{'console/' if path else ''}{path}")
    it.page.get_by_role("heading", name="Sign in", exact=True).wait_for()


def test_a_service_user_is_created_by_keyboard_and_without_a_script(newcomer: People) -> None:
    person = newcomer(java_script_enabled=False)
    person.expect_errors("400 (Bad Request)")
    page, server = person.page, person.server
    open_by_link(page, server)
    go(page, f"{server.console}/create/service-user")
    keys = page.keyboard
    page.get_by_label("Username", exact=True).focus()
    for text in ("typed-bot", "Typed", "typed-bot@demo.example", "Types by itself", "team"):
        keys.type(text)
        keys.press("Tab")
    page.get_by_label("Ends", exact=True).select_option("30")
    page.get_by_role("button", name="Create the Service User").focus()
    keys.press("Enter")
    page.get_by_role("heading", name="Nothing was done").wait_for()
    labels = page.get_by_label("Labels")
    assert labels.get_attribute("aria-describedby") == "labels-hint labels-error1"
    assert "Write name=value" in page.locator("#labels-error1").inner_text()
    assert page.get_by_label("Description").input_value() == "Types by itself"
    labels.focus()
    keys.press("Control+End")
    keys.type("=payments")
    page.get_by_role("button", name="Create the Service User").focus()
    keys.press("Enter")
    page.get_by_text("typed-bot").first.wait_for()
    made = server.api("GET", "/v1/service-users/typed-bot")
    assert (made["description"], made["labels"]) == ("Types by itself", {"team": "payments"})


def test_whoever_came_by_the_link_of_make_run_invites_people(owner: Person) -> None:
    page = owner.open("create/user")
    page.get_by_label("Username", exact=True).fill("by-link")
    page.get_by_label("Email").fill("by-link@demo.example")
    page.get_by_role("button", name="Invite").click()
    owner.see("The invitation is on its way by email.")
    assert owner.server.api("GET", "/v1/users/by-link")["invitation"] == "OPEN"


def test_the_link_of_make_run_works_from_a_page_of_another_site(server: Server, person: People) -> None:
    page = person().context.browser.new_context().new_page()
    link = f'<a href="{server.link()}">the console</a>'
    page.route("http://notes.example/", lambda it: it.fulfill(body=link, content_type="text/html"))
    page.goto("http://notes.example/")
    page.get_by_role("link").click()
    page.get_by_role("heading", name="Service Users", exact=True).wait_for()
    page.context.close()


def test_whoever_revokes_a_colleague_is_led_to_the_keys_that_they_know(person: People) -> None:
    ann, eve = person(), person("CLUSTER_ADMIN")
    create(eve, "eves-bot")
    ann.open(f"people/{eve.username}/revoke")
    ann.page.get_by_label(f"Type {eve.username}").fill(eve.username)
    ann.page.get_by_role("button", name=f"Revoke {eve.username}").click()
    ann.see(f"{eve.username} was revoked.")
    ann.page.get_by_role("link", name="eves-bot").wait_for()
    ann.page.get_by_label("Revoke these keys").check()
    ann.page.get_by_role("button", name="Revoke the keys").click()
    ann.see("Keys were revoked.")
    assert ann.server.api("GET", "/v1/service-users/eves-bot")["apiKeys"]["apiKeys"] == []


def test_a_form_that_one_goes_back_to_has_nothing_of_what_was_chosen_before(owner: Person) -> None:
    """Somebody else may have changed it meanwhile, and the choice was made for what there was."""
    bot = owner.server.service_user()
    page = owner.open(f"service-users/{bot}/edit")
    stored = page.locator("select[name=role]").input_value()
    page.locator("select[name=role]").select_option("CLUSTER_ADMIN" if stored == "READ_ONLY" else "READ_ONLY")
    page.locator("textarea[name=administrators]").fill("nobody")
    owner.open("events")
    page.go_back()
    assert page.locator("select[name=role]").input_value() == stored
    assert page.locator("textarea[name=administrators]").input_value() != "nobody"


def test_a_second_is_waited_for_where_the_script_does_not_load(person: People) -> None:
    """A sibling host can keep it from loading: by cookies for its path, larger than the gateway takes."""
    ann = person()
    ann.expect_errors("ERR_FAILED")
    page = ann.page
    name = ann.server.service_user(administrators=["owner"])
    ann.open(f"service-users/{name}/suspend")
    page.route("**/static/console-*.js", lambda it: it.abort())
    ann.open("events")
    page.go_back()
    page.get_by_role("button", name="Suspend").click()
    page.locator("main form [role=alert]").get_by_text("Nothing was sent").wait_for()
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Suspend").click()
    ann.see("The Service User is suspended.")


def test_a_link_that_is_followed_at_once_leads_to_a_page_that_waits(person: People) -> None:
    """Or by way of a page without forms, the third click of a game would meet a button that takes it."""
    ann = person()
    page = ann.page
    name = ann.server.service_user(administrators=["owner"])
    ann.open(f"service-users/{name}")
    ann.open("events")
    for appears in (page.go_back, lambda: page.goto(f"{ann.server.console}/service-users/{name}")):
        appears()
        page.get_by_role("link", name="Suspend").click()
        page.get_by_role("button", name="Suspend").click()
        page.locator("main form [role=alert]").get_by_text("Nothing was sent").wait_for()
        assert page.url.endswith(f"/service-users/{name}/suspend")


@pytest.mark.parametrize("how", ["mouse", "two buttons", "touch", "Space", "Enter"])
def test_a_press_that_began_too_early_does_nothing_however_long_it_is_held(person: People, how: str) -> None:
    """Another page may say "press and hold", and lead here meanwhile: the press ends after the second."""
    ann = person()
    page = ann.page
    # The first of two buttons was pressed on the other page, so the second makes no pointerdown.
    name = back_at_a_form(ann, lambda: page.mouse.down(button="middle") if how == "two buttons" else None)
    button = page.get_by_role("button", name="Suspend")
    said = page.locator("main form [role=alert]").get_by_text("Nothing was sent")
    box = button.bounding_box()
    assert box
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    if how in ("mouse", "two buttons"):
        page.mouse.move(place["x"], place["y"])
        page.mouse.down()
        page.wait_for_timeout(1300)
        page.mouse.up()
        page.mouse.up(button="middle")
    elif how == "touch":
        ann.devtools.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        page.wait_for_timeout(600)  # it begins too early, and its click is later
        ann.devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [place]})
        page.wait_for_timeout(450)
        ann.devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        button.focus()
        key = {"key": {"Space": " "}.get(how, how), "code": how, "text": {"Space": " "}.get(how, "\r")}
        code = {"windowsVirtualKeyCode": {"Space": 32}.get(how, 13)}
        page.wait_for_timeout(1300)
        for _ in range(3):  # the key that is held down repeats, and its first press was on another page
            ann.devtools.send(
                "Input.dispatchKeyEvent", {"type": "keyDown", "autoRepeat": True, **key, **code}
            )
        ann.devtools.send("Input.dispatchKeyEvent", {"type": "keyUp", **key, **code})
    said.wait_for()
    assert ann.server.api("GET", f"/v1/service-users/{name}")["suspendedAt"] is None
    page.wait_for_timeout(1000)
    button.click()
    ann.see("The Service User is suspended.")


def test_an_address_with_a_username_does_not_take_the_guard_away(person: People) -> None:
    """A link of any site can have one, which scripts are not told of."""
    ann = person()
    page = ann.page
    name = ann.server.service_user(administrators=["owner"])
    form = f"{ann.server.console}/service-users/{name}/suspend"
    page.goto("data:text/html,<title>Elsewhere</title>")
    page.goto(f"{form}?asked=1".replace("http://", "http://x@"))
    page.wait_for_function("document.URL === location.href && !location.search")
    if page.get_by_role("link", name="Open ").count():
        page.get_by_role("link", name="Open ").click()
    page.get_by_role("button", name="Suspend").click()
    page.locator("main form [role=alert]").get_by_text("Nothing was sent").wait_for()
    assert ann.server.api("GET", f"/v1/service-users/{name}")["suspendedAt"] is None


def test_a_sign_out_that_was_not_sent_says_so_where_one_sees_it(person: People) -> None:
    ann = person()
    page = ann.page
    page.evaluate("() => { dispatchEvent(new Event('blur')); dispatchEvent(new Event('focus')); }")
    page.get_by_role("button", name="Sign out").first.click()
    ann.see("Nothing was sent")
    box = page.locator("#status").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["y"] < 200


def test_a_key_that_presses_nothing_may_stay_down(person: People) -> None:
    """As after Alt+Tab, whose end the window manager takes."""
    ann = person()
    page = ann.page
    back_at_a_form(ann)
    page.keyboard.down("q")
    page.wait_for_timeout(1300)
    page.get_by_role("button", name="Suspend").click()
    ann.see("The Service User is suspended.")


def test_the_link_of_an_error_leads_to_its_field_also_at_once(person: People) -> None:
    ann = person()
    ann.expect_errors("400")
    page = ann.page
    ann.open("create/service-user")
    page.get_by_label("Username", exact=True).fill("x")
    page.get_by_label("Email").fill("bot@demo.example")
    page.get_by_label("Description").fill("typed for ten minutes")
    page.get_by_label("Ends", exact=True).select_option("never")
    page.get_by_role("button", name="Create the Service User").click()
    page.get_by_role("heading", name="Nothing was done").wait_for()
    page.evaluate("() => { dispatchEvent(new Event('blur')); dispatchEvent(new Event('focus')); }")
    page.get_by_role("link", name="Username:").first.click()
    assert page.get_by_label("Description").input_value() == "typed for ten minutes"
    assert page.evaluate("document.activeElement.id") == "username"


def test_the_second_of_two_clicks_on_another_page_does_nothing_here(person: People) -> None:
    """A page of a sibling host leads to a form at the first click, or goes back to one that was open."""
    ann = person()
    page, game = ann.page, "http://localhost:9/game"
    path = "/v1/service-users"
    machine = {"username": "double-click", "email": "double-click@demo.example", "role": "READ_ONLY"}
    ann.server.api("POST", path, {**machine, "administrators": ["owner"]})
    form = f"{ann.server.console}/service-users/double-click/suspend"
    ann.open("service-users/double-click/suspend")
    box = page.get_by_role("button", name="Suspend").bounding_box()
    assert box
    button = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for leads in ("history.back()", f"location.assign('{form}')"):
        html = f"<!doctype html><title>Game</title><script>onclick = () => {leads}</script>Click twice"
        page.route(game, lambda it, _, html=html: it.fulfill(body=html, content_type="text/html"))
        page.goto(game)
        page.mouse.click(*button)
        page.wait_for_url(form)
        page.mouse.click(*button)
        page.wait_for_timeout(300)
        assert page.url == form
    page.get_by_role("link", name="Open ").click()
    page.get_by_role("button", name="Suspend").wait_for()
    page.mouse.click(*button)
    said = page.locator("main form [role=alert]").get_by_text("Nothing was sent")
    said.wait_for()
    assert page.url == form
    page.wait_for_timeout(1000)
    page.evaluate("() => { dispatchEvent(new Event('blur')); dispatchEvent(new Event('focus')); }")
    page.locator("main form [role=alert]").evaluate("it => { it.textContent = '' }")
    page.mouse.click(*button)
    said.wait_for()
    assert page.url == form, "a window over it may have closed at the first of two clicks"
    page.wait_for_timeout(1000)
    page.locator("main form [role=alert]").evaluate("it => { it.textContent = '' }")
    busy = "const at = performance.now(); while (performance.now() - at < 1500);"
    page.evaluate(
        f"""() => {{
            dispatchEvent(new Event('blur'));
            dispatchEvent(new Event('focus'));
            setTimeout(() => {{ {busy} }}, 50);
        }}"""
    )
    page.wait_for_timeout(200)
    page.mouse.click(*button)
    said.wait_for()
    assert page.url == form, "the click was handled late, because another window kept the thread busy"
    assert ann.server.api("GET", f"{path}/double-click")["suspendedAt"] is None
