"""People who have an API key get a passkey with it and a code that is mailed: neither alone is enough."""

import pytest

from chalicelib.rules import key_format
from tests.support.accounts import Accounts
from tests.support.api_client import Key, Stack
from tests.support.browser import Browser, Page
from tests.support.reference_model import moment


def code(stack: Stack, username: str) -> str:
    """Return a code as the email would carry it: its digest is what is kept."""
    return stack.code(username)


def ask(browser: Browser, key: Key) -> Page:
    return browser.post("enrol", {"username": key.username, "key": key.secret}, csrf="")


def enrol(browser: Browser, username: str, with_code: str) -> Page:
    begun = browser.call("enrol-begin", {"username": username, "code": with_code})
    if begun.status != 200:
        return begun
    made = browser.passkey.create(begun.json["challenge"])
    return browser.call("enrol-finish", {"code": with_code, "name": "Laptop", "passkey": made})


def test_a_key_and_a_code_get_a_passkey_and_both_stay_good(accounts: Accounts) -> None:
    owner, browser = accounts["owner"], Browser(accounts.stack)
    assert browser.open("enrol").status == 200
    asked = ask(browser, owner)
    assert asked.status == 200
    assert "A code was mailed to you" in asked.words
    assert owner.secret not in asked.text
    with_code = code(accounts.stack, "owner")
    assert enrol(browser, "owner", with_code).status == 200
    assert browser.open("service-users").status == 200
    assert accounts.stack.signs_in(owner)
    assert enrol(browser, "owner", with_code).status == 400, "a code works once"
    assert len(accounts.stack.events("PASSKEY_CODE_REQUESTED", "PASSKEY_ADDED")) == 2


def test_the_page_has_a_field_for_the_code_in_the_browser_that_asked(accounts: Accounts) -> None:
    """Also once its tab is closed, such as by a phone on which the email was read."""
    browser = Browser(accounts.stack)
    assert 'id="code"' not in browser.open("enrol").text
    assert ask(browser, accounts["owner"]).status == 200
    again = browser.open("enrol")
    assert 'id="code"' in again.text
    assert 'id="username"' in again.text
    assert "owner" not in again.text, "the page does not tell who asked"
    assert 'id="token"' not in again.text
    anew = browser.open("enrol?anew=yes")
    assert 'id="code"' not in anew.text
    assert 'id="token"' in anew.text
    assert 'id="code"' not in Browser(accounts.stack).open("enrol").text


@pytest.mark.parametrize("step", ["begin", "finish"])
def test_who_reads_the_inbox_gets_no_passkey_in_another_browser(accounts: Accounts, step: str) -> None:
    """Neither with no cookie, nor with that of a request of their own."""
    stack, owner = accounts.stack, accounts["owner"]
    thief, asker = Browser(stack), Browser(stack)
    theirs = accounts.stack.user(owner, "mal", "READ_ONLY")
    assert ask(thief, theirs).status == 200
    assert ask(asker, owner).status == 200
    cookies = [asker.cookies, {}, thief.cookies]
    with_code = code(stack, "owner")
    before = stack.snapshot()
    for other in cookies[1:]:
        asker.cookies = dict(cookies[0]) if step == "finish" else dict(other)
        begun = asker.call("enrol-begin", {"username": "owner", "code": with_code})
        assert begun.status == (200 if step == "finish" else 400)
        if step == "finish":
            made = asker.passkey.create(begun.json["challenge"])
            own = {name: it for name, it in asker.cookies.items() if "enrolment" not in name}
            asker.cookies = {**{name: it for name, it in other.items() if "enrolment" in name}, **own}
            body = {"code": with_code, "name": "", "passkey": made}
            assert asker.call("enrol-finish", body).status == 400
        else:
            assert stack.snapshot() == before
    asker.cookies = dict(cookies[0])
    assert enrol(asker, "owner", with_code).status == 200


def test_a_service_users_key_is_refused_in_the_words_of_a_wrong_one(accounts: Accounts) -> None:
    machine = accounts.service_user("CLUSTER_ADMIN")["USER_MANAGEMENT"]
    browser = Browser(accounts.stack)
    refused = [
        ask(browser, machine),
        ask(browser, Key("owner", key_format.new_key())),
        ask(browser, Key("nobody", "x")),
    ]
    assert {page.status for page in refused} == {401}
    assert (
        len(
            {
                page.words.replace(machine.username, "").replace("owner", "").replace("nobody", "")
                for page in refused
            }
        )
        == 1
    )
    assert "enrolment" not in accounts.stack.item(machine.username)


@pytest.mark.parametrize("what", ["network", "suspended"])
def test_a_service_users_key_leaves_no_note_and_no_other_words_wherever_it_comes_from(
    accounts: Accounts, what: str
) -> None:
    machine = accounts.service_user("CLUSTER_ADMIN")["USER_MANAGEMENT"]
    path = f"/v1/service-users/{machine.username}"
    if what == "network":
        body = {"allowedNetworks": ["198.51.100.0/24"]}
        done = accounts.call("PATCH", f"{path}/api-keys/USER_MANAGEMENT", "owner", body)
    else:
        done = accounts.call("POST", f"{path}/suspend", "owner")
    assert done.status == 200
    before = accounts.stack.snapshot()
    browser = Browser(accounts.stack, source_ip="203.0.113.5")
    refused, wrong = ask(browser, machine), ask(browser, Key(machine.username, key_format.new_key()))
    assert (refused.status, refused.text) == (401, wrong.text)
    assert accounts.stack.snapshot() == before, "neither a use nor a refusal is noted"


def test_a_key_that_cannot_manage_asks_for_nothing(accounts: Accounts) -> None:
    monitoring = accounts.stack.own_key(accounts["admin"], "MONITORING")
    browser = Browser(accounts.stack)
    assert ask(browser, monitoring).status == 403
    reader = accounts["reader"]
    assert ask(browser, reader).status == 200, "who may hold no other key"
    accounts.stack.clock.forward(60)
    assert ask(browser, reader).status == 200


def test_a_key_from_outside_its_networks_gets_no_code(accounts: Accounts) -> None:
    owner = accounts["owner"]
    body = {"keyType": "USER_MANAGEMENT", "allowedNetworks": ["198.51.100.0/24"]}
    assert accounts.call("PATCH", "/v1/users/owner/api-keys", "owner", body).status == 200
    assert ask(Browser(accounts.stack, source_ip="203.0.113.5"), owner).status == 403


@pytest.mark.parametrize("what", ["late", "revoked key", "another person", "wrong", "invited again"])
def test_a_code_is_nothing_without_its_key_its_person_and_its_time(accounts: Accounts, what: str) -> None:
    admin, browser = accounts["admin"], Browser(accounts.stack)
    assert ask(browser, admin).status == 200
    with_code = code(accounts.stack, "admin")
    username = "admin"
    match what:
        case "late":
            accounts.stack.clock.forward(900)
        case "revoked key":
            path = "/v1/users/admin/api-keys/rotate"
            assert accounts.call("POST", path, "admin", {"keyType": "USER_MANAGEMENT"}).status == 200
        case "another person":
            username = "owner"
        case "wrong":
            with_code = key_format.new_secret(key_format.CODE_PREFIX)
        case "invited again":
            assert accounts.call("POST", "/v1/users/admin/invitation", "owner").status == 200
    assert enrol(browser, username, with_code).status == 400
    assert "passkeys" not in accounts.stack.item("admin")


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("role", ["OWNER", "CLUSTER_ADMIN"])
def test_a_code_is_nothing_once_its_person_has_another_role(
    accounts: Accounts, role: str, *, began: bool
) -> None:
    """The key of a READ_ONLY person was enough for the code, and would be for no code of an OWNER."""
    browser = Browser(accounts.stack)
    assert ask(browser, accounts["reader"]).status == 200
    with_code = code(accounts.stack, "reader")
    begun = browser.call("enrol-begin", {"username": "reader", "code": with_code}) if began else None
    assert accounts.call("PUT", "/v1/users/reader", "owner", {"role": role}).status == 200
    if begun is None:
        refused = enrol(browser, "reader", with_code)
    else:
        made = browser.passkey.create(begun.json["challenge"])
        refused = browser.call("enrol-finish", {"code": with_code, "name": "", "passkey": made})
    assert refused.status == 400
    assert "Ask for a new one" in refused.json["detail"]
    assert "passkeys" not in accounts.stack.item("reader")


def test_a_code_outlives_a_change_of_the_name(accounts: Accounts) -> None:
    browser = Browser(accounts.stack)
    assert ask(browser, accounts["reader"]).status == 200
    with_code = code(accounts.stack, "reader")
    changed = {"role": "READ_ONLY", "displayName": "Reader"}
    assert accounts.call("PUT", "/v1/users/reader", "owner", changed).status == 200
    assert enrol(browser, "reader", with_code).status == 200


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("how", ["expired", "overlap over"])
def test_a_code_is_nothing_once_its_key_works_no_more(accounts: Accounts, how: str, when: str) -> None:
    """Though it is stored still: a key until it is replaced, a predecessor until the next change."""
    admin, browser = accounts["admin"], Browser(accounts.stack)
    path = "/v1/users/admin/api-keys"
    if how == "expired":
        ends = moment(int(accounts.stack.clock()) + 600)
        body = {"keyType": "USER_MANAGEMENT", "expiresAt": ends}
        assert accounts.call("PATCH", path, "admin", body).status == 200
    assert ask(browser, admin).status == 200
    if how == "overlap over":
        overlapped = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 600}
        assert accounts.call("POST", f"{path}/rotate", "admin", overlapped).status == 200
    with_code = code(accounts.stack, "admin")
    accounts.stack.clock.forward(599 if when == "meanwhile" else 600)
    begun = browser.call("enrol-begin", {"username": "admin", "code": with_code})
    assert begun.status == (200 if when == "meanwhile" else 400)
    if when == "meanwhile":
        accounts.stack.clock.forward(1)
        made = browser.passkey.create(begun.json["challenge"])
        done = browser.call("enrol-finish", {"code": with_code, "name": "", "passkey": made})
        assert done.status == 400
    assert "passkeys" not in accounts.stack.item("admin")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_code_is_nothing_where_its_key_may_not_be_used(accounts: Accounts, when: str) -> None:
    admin, browser = accounts["admin"], Browser(accounts.stack)
    office = {"keyType": "USER_MANAGEMENT", "allowedNetworks": ["203.0.113.0/24"]}
    assert ask(browser, admin).status == 200
    with_code = code(accounts.stack, "admin")
    elsewhere, browser.source_ip = browser.source_ip, "203.0.113.7"
    begun = browser.call("enrol-begin", {"username": "admin", "code": with_code}).json
    made = browser.passkey.create(begun["challenge"])
    restricted = accounts.call("PATCH", "/v1/users/admin/api-keys", "admin", office, source_ip="203.0.113.7")
    assert restricted.status == 200
    browser.source_ip = elsewhere
    if when == "before":
        refused = browser.call("enrol-begin", {"username": "admin", "code": with_code})
    else:
        refused = browser.call("enrol-finish", {"code": with_code, "name": "", "passkey": made})
    assert refused.status == 400
    assert "may not be used from here" in refused.json["detail"]
    browser.source_ip = "203.0.113.7"
    assert browser.call("enrol-finish", {"code": with_code, "name": "", "passkey": made}).status == 200


def test_a_challenge_for_one_code_takes_no_other(accounts: Accounts) -> None:
    browser = Browser(accounts.stack)
    assert ask(browser, accounts["owner"]).status == 200
    first = code(accounts.stack, "owner")
    begun = browser.call("enrol-begin", {"username": "owner", "code": first}).json
    second = code(accounts.stack, "owner")
    made = browser.passkey.create(begun["challenge"])
    assert browser.call("enrol-finish", {"code": second, "name": "", "passkey": made}).status == 400


def test_a_passkey_that_somebody_has_is_refused_with_the_reason(accounts: Accounts) -> None:
    """A credential id says who signs in. Nobody registers another's, which they could have seen."""
    owner, admin = accounts["owner"], accounts["admin"]
    first, second = Browser(accounts.stack), Browser(accounts.stack)
    assert ask(first, owner).status == 200
    assert enrol(first, "owner", code(accounts.stack, "owner")).status == 200
    second.passkey.credential_id = first.passkey.credential_id
    assert ask(second, admin).status == 200
    refused = enrol(second, "admin", code(accounts.stack, "admin"))
    assert refused.status == 409
    assert "registered here already" in refused.json["detail"]
    assert "passkeys" not in accounts.stack.item("admin")
    first.sign_in()
    assert first.open("you").status == 200


def test_a_code_noted_for_another_request_is_nothing(accounts: Accounts) -> None:
    stack, browser = accounts.stack, Browser(accounts.stack)
    assert ask(browser, accounts["admin"]).status == 200
    former = stack.item("admin")["enrolment"]["id"]
    stack.clock.forward(60)
    assert ask(browser, accounts["admin"]).status == 200
    late = key_format.new_secret(key_format.CODE_PREFIX)
    stack.note_mailed("admin", former, late, 900)
    assert enrol(browser, "admin", late).status == 400
    good = code(stack, "admin")
    assert enrol(browser, "admin", good).status == 200
    assert not [name for name in stack.item("admin") if name.startswith("mailed_")]


def test_a_code_whose_digest_is_inside_its_request_is_valid(accounts: Accounts) -> None:
    stack, browser = accounts.stack, Browser(accounts.stack)
    assert ask(browser, accounts["admin"]).status == 200
    made = key_format.new_secret(key_format.CODE_PREFIX)
    until = {"N": str(int(stack.clock()) + 900)}
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": "USER#admin"}},
        UpdateExpression="SET enrolment.digests = :digests",
        ExpressionAttributeValues={":digests": {"M": {key_format.digest(made).hex(): until}}},
    )
    assert enrol(browser, "admin", made).status == 200
