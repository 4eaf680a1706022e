"""What a page costs: the calls that DynamoDB gets, and how much a person's browser."""

import re
from collections import Counter
from collections.abc import Callable

from chalicelib.console.service_user_pages import PAGE
from local.tables import declared_api
from tests.api.test_selection import copies
from tests.support.accounts import Accounts
from tests.support.browser import Browser

Person = Callable[..., Browser]
GET, BATCH, QUERY, PUT, WRITE = "GetItem", "BatchGetItem", "Query", "PutItem", "TransactWriteItems"


def test_no_page_asks_dynamodb_for_more_than_its_budget(accounts: Accounts, person: Person) -> None:
    ann, stack = person(), accounts.stack
    stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    shown = ann.open("service-users/bot/rotate?key=MONITORING")
    fields = {"type": "MONITORING", "was": shown.hidden("was"), "overlapSeconds": "0"}
    new = {"username": "new", "email": "new@machines.example", "role": "READ_ONLY", "expiry": "never"}
    for what, act, calls in (
        ("the sign-in's page", lambda: Browser(stack).open("sign-in"), []),
        ("a list", lambda: ann.open("service-users"), [GET, QUERY, BATCH]),
        ("a detail", lambda: ann.open("service-users/bot"), [GET, GET, BATCH, QUERY]),
        ("a form", lambda: ann.open("service-users/bot/rotate?key=MONITORING"), [GET, GET]),
        ("a change", lambda: ann.post("service-users/bot/rotate", fields), [GET, GET, WRITE]),
        ("creating", lambda: ann.post("create/service-user", new), [GET, WRITE]),
        ("people", lambda: ann.open("people"), [GET, QUERY]),
        ("events", lambda: ann.open("events"), [GET, QUERY, QUERY]),
        ("the account", lambda: ann.open("account"), [GET, GET]),
        ("oneself", lambda: ann.open("you"), [GET]),
        ("leaving", lambda: ann.open("you/leave"), [GET, GET, QUERY, BATCH]),
        ("a touch", ann.confirm, [GET, PUT, GET, BATCH, WRITE]),
        ("signing in", ann.sign_in, [PUT, BATCH, GET, WRITE]),
        ("signing out", lambda: ann.post("sign-out"), [GET, WRITE]),
    ):
        with stack.counted() as counted:
            act()
        assert counted == Counter(calls), what


def test_a_malformed_cookie_costs_no_read(accounts: Accounts) -> None:
    browser = Browser(accounts.stack, cookies={"__Host-session": "owner.sus_nothing"})
    with accounts.stack.counted() as counted:
        assert browser.open("you", follow=False).status == 303
    assert not counted


def test_a_session_is_noted_at_most_once_a_minute(accounts: Accounts, person: Person) -> None:
    ann = person()
    for seconds, calls in ((59, [GET]), (1, [GET, "UpdateItem"]), (59, [GET])):
        accounts.stack.clock.forward(seconds)
        with accounts.stack.counted() as counted:
            assert ann.open("you").status == 200
        assert counted == Counter(calls)


def test_the_first_visit_is_small(accounts: Accounts) -> None:
    browser = Browser(accounts.stack)
    page = browser.open("sign-in")
    files = {
        path: browser.open(path).text for path in re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)
    }
    sizes = {path: len(text.encode()) for path, text in {**files, "the page": page.text}.items()}
    assert len(sizes) == 4
    # API Gateway compresses none of them, so this is what is sent.
    assert max(sizes.values()) < declared_api()["MinimumCompressionSize"]
    assert sum(sizes.values()) <= 20_000


def test_a_page_of_service_users_is_too_small_to_be_compressed(accounts: Accounts, person: Person) -> None:
    """It has a token of the session, so its compressed length must tell nothing of it."""
    accounts.stack.service_user(accounts["admin"], "bot", description="x" * 60, labels={"team": "payments"})
    copies(accounts.stack, "bot", "another-bot-of-the-team-", PAGE)
    page = person().open("service-users").text
    assert page.count("another-bot-of-the-team-") >= PAGE - 1
    assert len(page.encode()) < declared_api()["MinimumCompressionSize"]


def test_the_api_imports_nothing_of_the_console() -> None:
    import subprocess
    import sys

    late = ("chalicelib.console", "cryptography", "jinja2")
    code = f"import sys, app; print([it for it in sys.modules if it.startswith({late})])"
    environment = {"PATH": "/usr/bin:/bin", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"
