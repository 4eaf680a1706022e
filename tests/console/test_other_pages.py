"""People, events, the account, oneself, and what every page has in common."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import quote, urlencode

import pytest

import app
from chalicelib.console.settings import settings
from chalicelib.rules.limits import DEFAULT
from tests.support.accounts import CLEAR, PATH, Accounts
from tests.support.browser import Browser
from tests.support.feedback import COMPLAINT, Feedback
from tests.support.mail import MailFixture

Person = Callable[..., Browser]


def test_an_event_that_this_version_does_not_know_is_on_its_page(
    accounts: Accounts, person: Callable[..., Browser]
) -> None:
    ann = person()
    stack = accounts.stack
    for number, more in enumerate(({}, {"action": {"S": "API_KEY_TELEPORTED"}}, {"action": {"N": "7"}})):
        later = {
            "account": {"S": stack.item("owner")["account"]},
            "id": {"S": f"{int(stack.clock() * 1000) + 1000 + number:012x}" + "0" * 16},
            "weight": {"N": "1.5"},
            **more,
        }
        stack.client.put_item(TableName=stack.tables.events, Item=later)
    page = ann.open("events")
    assert page.status == 200
    assert "API key teleported (written by a later version" in page.words
    assert page.words.count("written by a later version") == 3


def test_people_are_invited_changed_invited_again_and_revoked(accounts: Accounts, person: Person) -> None:
    ann = person()
    fields = {"username": "bea", "email": "bea@people.example", "role": "READ_ONLY"}
    assert ann.open("create/user").status == 200
    assert ann.post("create/user", {**fields, "username": "activate"}).status == 400
    assert ann.post("create/user", fields).status == 303
    assert ann.post("create/user", fields).errors
    assert "invited" in ann.open("people?done=invited").words
    bea = Browser(accounts.stack)
    assert bea.activate("bea").status == 200
    assert ann.open("people/bea/edit").status == 200
    assert ann.edit("people/bea/edit", {"role": "CLUSTER_ADMIN", "displayName": "Bea"}).status == 303
    assert bea.open("people").status == 200
    assert ann.open("people/bea/invite-again").status == 200
    assert ann.edit("people/bea/invite-again", {}).status == 303
    assert bea.open("you", follow=False).status == 303
    assert ann.open("people/bea/revoke").status == 200
    assert ann.post("people/bea/revoke", {"name": "BEA?"}).status == 400
    assert ann.post("people/bea/revoke", {"name": "bea"}).status == 303
    assert ann.open("people/bea/edit").status == 404
    assert ann.open("people/ann/elsewhere").status == 404


def test_people_are_suspended_and_resumed(accounts: Accounts, person: Person) -> None:
    ann, bea = person("ann"), person("bea", "CLUSTER_ADMIN")
    assert "sessions end" in ann.open("people/bea/suspend").words
    assert ann.post("people/bea/suspend").status == 303
    assert bea.open("you", follow=False).status == 303
    refused = bea.sign_in()
    assert (refused.status, "You are suspended" in refused.text) == (403, True)
    assert "suspended by ann" in ann.open("people?done=suspend").words
    assert "people/bea/resume" in ann.open("people").text
    assert "people/ann/suspend" not in ann.open("people").text
    assert "cannot suspend yourself" in ann.post("people/ann/suspend").words
    assert "work again" in ann.open("people/bea/resume").words
    assert ann.edit("people/bea/resume", {}).status == 303
    assert bea.sign_in().status == 200
    assert bea.open("people/ann/suspend").status == 403


def test_nobody_changes_their_own_role_and_a_cluster_admin_changes_nobody(person: Person) -> None:
    ann, bea = person("ann"), person("bea", "CLUSTER_ADMIN")
    assert "Nobody changes their own role" in ann.open("people/ann/edit").words
    assert "cannot change your own role" in ann.edit("people/ann/edit", {"role": "READ_ONLY"}).words
    assert ann.edit("people/ann/edit", {"displayName": "Ann"}).status == 303
    assert "OWNERs invite people" in bea.open("people").words
    for path in ("create/user", "people/ann/edit", "people/ann/revoke"):
        assert bea.open(path).status == 403


def test_a_tab_left_open_raises_nobody_again_whom_somebody_else_has_lowered(
    accounts: Accounts, person: Person
) -> None:
    ann = person("ann")
    person("bea")
    was = ann.open("people/bea/edit").hidden("was")
    assert accounts.call("PUT", "/v1/users/bea", "owner", {"role": "READ_ONLY"}).status == 200
    fields = {"was": was, "role": "OWNER", "displayName": "Bea B."}
    refused = ann.post("people/bea/edit", fields)
    assert refused.status == 409
    assert "Somebody else has changed this" in refused.words
    assert ann.post("people/bea/edit", {**fields, "was": refused.hidden("was")}).status == 409
    assert accounts.stack.item("bea")["role"] == "READ_ONLY"
    assert ann.edit("people/bea/edit", {"role": "READ_ONLY", "displayName": "Bea B."}).status == 303
    assert accounts.stack.item("bea")["displayName"] == "Bea B."


def test_a_tab_left_open_resumes_nobody_whom_somebody_else_has_suspended_since(
    accounts: Accounts, person: Person
) -> None:
    ann = person("ann")
    person("bea", "CLUSTER_ADMIN")
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    for path, page in (("/v1/users/bea", "people/bea"), ("/v1/service-users/bot", "service-users/bot")):
        assert accounts.call("POST", f"{path}/suspend", "owner").status == 200
        was = ann.open(f"{page}/resume").hidden("was")
        accounts.stack.clock.forward(60)
        assert accounts.call("POST", f"{path}/resume", "owner").status == 200
        assert accounts.call("POST", f"{path}/suspend", "owner").status == 200
        for refused in (ann.post(f"{page}/resume", {"was": was}), ann.post(f"{page}/resume")):
            assert refused.status == 409
            assert "Somebody else has changed this" in refused.words
        assert "suspendedAt" in accounts.stack.item(path.rpartition("/")[2])
        assert ann.edit(f"{page}/resume", {}).status == 303
        assert "suspendedAt" not in accounts.stack.item(path.rpartition("/")[2])


def test_a_tab_left_open_ends_no_credentials_of_somebody_who_has_activated_since(
    accounts: Accounts, person: Person
) -> None:
    ann = person("ann")
    body = {"username": "bea", "email": "bea@people.example", "role": "READ_ONLY"}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    was = ann.open("people/bea/invite-again").hidden("was")
    bea = Browser(accounts.stack)
    assert bea.activate("bea").status == 200
    assert ann.post("people/bea/invite-again", {"was": was}).status == 409
    assert bea.open("you").status == 200


def test_a_tab_left_open_raises_no_stranger_who_has_the_name_by_now(
    accounts: Accounts, person: Person
) -> None:
    ann = person("ann")
    person("bea", "CLUSTER_ADMIN")
    was = ann.open("people/bea/edit").hidden("was")
    accounts.stack.clock.forward(60)
    assert accounts.call("DELETE", "/v1/users/bea", "owner").status == 204
    body = {"username": "bea", "email": "stranger@people.example", "role": "CLUSTER_ADMIN"}
    assert accounts.call("POST", "/v1/users", "owner", body).status == 201
    assert ann.post("people/bea/edit", {"was": was, "role": "OWNER", "displayName": "bea"}).status == 409
    assert accounts.stack.item("bea")["role"] == "CLUSTER_ADMIN"


def test_a_tab_left_open_loosens_no_policy_that_somebody_else_has_made_stricter(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    assert ann.edit("account", {"name": "Acme", "machinesManageOwners": "yes"}).status == 303
    was = ann.open("account").hidden("was")
    stricter = {"machinesManageOwners": False, "maxKeyAgeDays": 90}
    assert accounts.call("PUT", "/v1/account", "owner", stricter).status == 200
    refused = ann.post("account", {"was": was, "name": "Acme Inc", "machinesManageOwners": "yes"})
    assert refused.status == 409
    now = accounts.call("GET", "/v1/account", "owner").json
    assert (now["machinesManageOwners"], now["maxKeyAgeDays"], now["name"]) == (False, 90, "Acme")


def test_events_say_what_happened_and_are_filtered(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    words = ann.open("events").words
    assert "Service User created" in words
    assert re.search(r"by admin with the key USER_MANAGEMENT ….{5} from 198.51.100.7", words)
    body = {"keyType": "MONITORING", "overlapSeconds": 60}
    first, second, third = (
        accounts.call("GET", f"{PATH}/bot", "owner").json["apiKeys"]["apiKeys"][0]["last5"]
        for _ in range(3)
        if accounts.call("POST", f"{PATH}/bot/api-keys/rotate", "owner", body).status == 200
    )
    assert f"…{third} replaces …{second} with …{first}, which stopped working too" in ann.open("events").words
    assert "Signed in" not in ann.open("events?action=SERVICE_USER_CREATED").text.partition("<ul")[2]
    only = ann.open("events?username=bot").words
    assert "User activated ann" not in only
    assert ann.open("events?username=%00&after=x&action=NONE").status == 200


def test_a_value_in_an_event_is_taken_for_no_other_change_and_no_mail(
    accounts: Accounts, person: Person
) -> None:
    """Each change is an entry of a list, values are JSON, as in CSV, and who was mailed has its own line."""
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    forged = 'x"; role: "READ_ONLY" → "OWNER"; administrators: "owner" → "mallory". Mailed: ann.'
    path = "/v1/service-users/bot"
    changed = {"description": forged, "labels": {"a": "b"}}
    assert accounts.call("PUT", path, "owner", changed).status == 200
    for page in ("events?username=bot&action=SERVICE_USER_UPDATED", "service-users/bot"):
        text = html.unescape(ann.open(page).text)
        entry = text[text.index("Service User updated</strong>") :].partition("</ul>")[0]
        changes = re.findall(r"<li>(\w+): (.*?) → (.*?)</li>", entry)
        written = json.dumps(forged, ensure_ascii=False)
        assert changes == [
            ("description", "none", f"<code>{written}</code>"),
            ("labels", "none", '<code>"a=b"</code>'),
        ]
        assert not re.search("Mailed|mallory", entry.replace(written, ""))
    MailFixture(accounts.stack.client, accounts.stack.tables, accounts.stack.clock).resend()
    created = ann.open("events?action=SERVICE_USER_CREATED").text
    assert re.search(r"<p[^>]*>Mailed: admin\.", created)


def test_the_account_is_read_by_a_cluster_admin_and_changed_by_an_owner(person: Person) -> None:
    ann, bea = person("ann"), person("bea", "CLUSTER_ADMIN")
    assert "ask one of ann, owner" in bea.open("account").words
    fields = {"name": "Acme", "maxKeyAgeDays": "", "revokeInactiveAfterDays": ""}
    assert bea.post("account", fields).status == 403
    assert ann.edit("account", fields).status == 303
    assert "Acme" in ann.open("account?done=changed").words
    assert ann.edit("account", {**fields, "maxKeyAgeDays": "3"}).errors
    assert ann.edit("account", {**fields, "maxKeyAgeDays": "many"}).errors


def test_whether_leaked_keys_are_revoked_is_shown_and_changed(accounts: Accounts, person: Person) -> None:
    ann, bea = person("ann"), person("bea", "CLUSTER_ADMIN")
    fields = {"name": "Acme", "maxKeyAgeDays": "", "revokeInactiveAfterDays": ""}
    checked = re.compile(r'<input[^>]*name="revokeLeakedKeys"[^>]* checked')
    for expected in (True, False, True):
        sent = {"revokeLeakedKeys": "yes"} if expected else {}
        assert ann.edit("account", {**fields, **sent}).status == 303
        assert accounts.call("GET", "/v1/account", "owner").json["revokeLeakedKeys"] is expected
        assert bool(checked.search(ann.open("account").text)) is expected
        assert f"Leaked keys are revoked {'yes' if expected else 'no'}" in bea.open("account").words


def test_a_policy_says_what_it_will_end_before_it_does(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    fields = {"name": "Acme", "maxKeyAgeDays": "", "revokeInactiveAfterDays": "", "pciCompliance": "yes"}
    shown = ann.edit("account", fields)
    assert shown.status == 200
    assert "nothing was changed yet" in shown.words
    assert "bot MONITORING" in shown.words
    assert re.search(r"in 90 days \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\) at the earliest", shown.words)
    assert 'ann passkey "Laptop": in 90 days' in shown.words, "the policy ends unused passkeys too"
    assert not accounts.call("GET", "/v1/account", "owner").json["pciCompliance"]
    other = ann.edit(
        "account", {**fields, "pciCompliance": "", "maxKeyAgeDays": "14", "sure": shown.hidden("sure")}
    )
    assert "nothing was changed yet" in other.words, "another policy ends other keys"
    assert ann.edit("account", {**fields, "sure": shown.hidden("sure")}).status == 303
    assert accounts.call("GET", "/v1/account", "owner").json["maxKeyAgeDays"] == 90


@pytest.mark.parametrize("role", ["READ_ONLY", "CLUSTER_ADMIN", "OWNER"])
def test_people_generate_and_rotate_their_own_keys(accounts: Accounts, person: Person, role: str) -> None:
    cat = person("cat", role)
    shown = cat.open("you/generate?key=MONITORING")
    assert cat.confirm().status == 200, "which makes a new version of the person"
    fields = {"type": "MONITORING", "was": shown.hidden("was"), "expiry": "never"}
    made = cat.post("you/generate", fields)
    [key] = set(re.findall(CLEAR, made.text))
    again = cat.post("you/generate", fields)
    assert (again.status, "was done already" in again.words) == (409, True)
    shown = cat.open("you/rotate?key=MONITORING")
    assert cat.confirm().status == 200, "which makes a new version of the person, and no other key"
    fields = {"type": "MONITORING", "was": shown.hidden("was"), "overlapSeconds": "0"}
    rotated = cat.post("you/rotate", fields)
    assert rotated.status == 200
    assert key not in rotated.text
    shown = cat.open("you/revoke?key=MONITORING")
    assert cat.post("you/revoke", {"type": "MONITORING", "was": shown.hidden("was")}).status == 303
    assert cat.open("you?done=revoked").status == 200
    refused = cat.edit("you/generate?key=USER_MANAGEMENT", {"type": "USER_MANAGEMENT", "expiry": "never"})
    assert refused.status == (400 if role == "READ_ONLY" else 200)


def test_passkeys_are_added_and_removed(accounts: Accounts, person: Person) -> None:
    ann = person()
    other = Browser(accounts.stack)
    begun = ann.call("add-begin")
    assert begun.json["excludeCredentials"]
    made = other.passkey.create(begun.json["challenge"])
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 400
    assert other.sign_in().status == 200
    ids = {it["name"]: id_ for id_, it in accounts.stack.item("ann")["passkeys"].items()}
    assert ann.open(f"you/passkey?id={ids['Phone']}").status == 200
    assert ann.post(f"you/passkey?id={ids['Phone']}").status == 303
    assert other.open("you", follow=False).status == 303
    assert other.sign_in().status == 401
    last = ann.post(f"you/passkey?id={ids['Laptop']}")
    assert last.status == 409
    assert ann.open("you/passkey?id=none").status == 404
    for _ in range(4):
        challenge = ann.call("add-begin").json["challenge"]
        passkey = Browser(accounts.stack).passkey.create(challenge)
        assert ann.call("add-finish", {"name": "", "passkey": passkey}).status == 200
    assert ann.call("add-begin").status == 409
    assert "as many as one may have" in ann.open("you").words


@pytest.mark.parametrize("of", ["Phone", "Laptop"])
def test_an_invitation_ends_with_the_passkey_of_the_session_that_sent_it(
    accounts: Accounts, person: Person, of: str
) -> None:
    """A thief of that passkey may have sent it; what was sent with another stays."""
    ann = person()
    phone = Browser(accounts.stack)
    made = phone.passkey.create(ann.call("add-begin").json["challenge"])
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    assert phone.sign_in().status == 200
    invited = {"username": "bea", "email": "bea@people.example", "role": "READ_ONLY"}
    assert {"Phone": phone, "Laptop": ann}[of].post("create/user", invited).status == 303
    activation = {"username": "bea", "token": accounts.stack.token("bea")}
    ids = {it["name"]: id_ for id_, it in accounts.stack.item("ann")["passkeys"].items()}
    assert ann.post(f"you/passkey?id={ids['Phone']}").status == 303
    wanted = ("WITHDRAWN", 400) if of == "Phone" else ("OPEN", 200)
    assert accounts.call("GET", "/v1/users/bea", "owner").json["invitation"] == wanted[0]
    assert accounts.call("POST", "/v1/users/activate", "nobody", activation).status == wanted[1]


def test_nothing_is_invited_from_a_session_whose_passkey_was_removed_in_it(
    accounts: Accounts, person: Person
) -> None:
    """The invitation would not be valid, and inviting again would end what somebody has."""
    ann = person()
    made = Browser(accounts.stack).passkey.create(ann.call("add-begin").json["challenge"])
    assert ann.call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    bea = accounts.stack.user(accounts["owner"], "bea", "READ_ONLY")
    ids = {it["name"]: id_ for id_, it in accounts.stack.item("ann")["passkeys"].items()}
    assert ann.post(f"you/passkey?id={ids['Laptop']}").status == 303
    refused = ann.post("create/user", {"username": "eve", "email": "eve@people.example", "role": "READ_ONLY"})
    assert (refused.status, "Sign in again" in refused.words) == (409, True)
    assert ann.edit("people/bea/invite-again", {}).status == 409
    assert accounts.stack.signs_in(bea)


def test_passkeys_are_added_only_so_often_and_removed_at_any_time(accounts: Accounts, person: Person) -> None:
    ann = person("ann", "READ_ONLY")
    accounts.stack.service.directory.limits = DEFAULT
    statuses: list[int] = []
    for _ in range(12):
        made = Browser(accounts.stack).passkey.create(ann.call("add-begin").json["challenge"])
        added = ann.call("add-finish", {"name": "Another", "passkey": made})
        statuses.append(added.status)
        for id_, it in accounts.stack.item("ann")["passkeys"].items():
            if it["name"] == "Another":
                assert ann.post(f"you/passkey?id={id_}").status == 303
    assert statuses == [200] * 10 + [429] * 2


def test_sign_ins_from_ever_other_addresses_are_mailed_only_so_often(
    accounts: Accounts, person: Person
) -> None:
    ann = person("ann", "READ_ONLY")
    mail = MailFixture(accounts.stack.client, accounts.stack.tables, accounts.stack.clock)
    mail.resend()
    before = len(mail.ses.sent)
    for number in range(15):
        ann.source_ip = f"192.0.2.{number}"
        assert ann.sign_in().status == 200
    mail.resend()
    assert [str(it["Subject"])[:31] for _, it in mail.ses.sent[before:]] == [
        "You signed in from another addr"
    ] * 10
    events = accounts.call("GET", "/v1/events?username=ann&action=SIGNED_IN", "owner").json
    assert len(events) == 15
    accounts.stack.clock.forward(3600)
    ann.source_ip = "192.0.2.99"
    assert ann.sign_in().status == 200
    mail.resend()
    assert len(mail.ses.sent) == before + 11


def test_one_has_a_passkey_once(accounts: Accounts, person: Person) -> None:
    ann = person()
    other = Browser(accounts.stack)
    for status in (200, 409):
        made = other.passkey.create(ann.call("add-begin").json["challenge"])
        added = ann.call("add-finish", {"name": "Phone", "passkey": made})
        assert added.status == status
    assert "registered here already" in added.json["detail"]
    assert len(accounts.stack.item("ann")["passkeys"]) == 2


def test_a_list_goes_on_after_a_username_and_nothing_else(accounts: Accounts, person: Person) -> None:
    ann = person()
    for after in ("", "a" * 3000, "\0"):
        assert "owner" in ann.open(f"people?{urlencode({'after': after})}").words
    assert "admin" not in ann.open("people?after=admin").words.partition("Person Role")[2]


def test_adding_and_removing_a_passkey_needs_a_confirmation(accounts: Accounts, person: Person) -> None:
    ann = person()
    begun = ann.call("add-begin").json
    accounts.stack.clock.forward(299)
    made = Browser(accounts.stack).passkey.create(begun["challenge"])
    accounts.stack.clock.forward(1)
    assert ann.call("add-begin").status == 403
    assert ann.call("add-finish", {"name": "", "passkey": made}).status in (400, 403)
    [passkey_id] = accounts.stack.item("ann")["passkeys"]
    assert ann.post(f"you/passkey?id={passkey_id}").status == 403


def test_only_ones_own_passkey_confirms_a_session_and_only_this_one(
    accounts: Accounts, person: Person
) -> None:
    ann, bea = person("ann"), person("bea")
    begun = ann.call("confirm-begin").json
    assert ann.call("confirm-finish", bea.passkey.get(begun["challenge"])).status == 401
    begun = ann.call("confirm-begin").json
    ann.cookies["__Host-challenge"], theirs = (
        bea.cookies.get("__Host-challenge", ""),
        ann.cookies["__Host-challenge"],
    )
    assert ann.call("confirm-finish", ann.passkey.get(begun["challenge"])).status == 400
    bea.cookies["__Host-challenge"] = theirs
    assert bea.call("confirm-finish", bea.passkey.get(begun["challenge"])).status == 400


def test_browsers_are_seen_and_signed_out(accounts: Accounts, person: Person) -> None:
    ann = person()
    other = Browser(accounts.stack, passkey=ann.passkey, source_ip="203.0.113.9")
    assert other.sign_in().status == 200
    shown = ann.open("you")
    assert "From 203.0.113.9" in shown.words
    assert "Chrome on Linux this one" in shown.words
    [session] = re.findall(r"you/session\?id=([0-9a-f]+)", shown.text)
    assert ann.open(f"you/session?id={session}").status == 200
    assert ann.post(f"you/session?id={session}").status == 303
    assert ann.post(f"you/session?id={session}").status == 404
    assert other.open("you", follow=False).status == 303
    assert other.sign_in().status == 200
    assert ann.open("you/sessions").status == 200
    assert ann.post("you/sessions").status == 303
    for browser in (ann, other):
        assert browser.open("you", follow=False).status == 303


def test_the_sixth_browser_ends_the_one_used_the_longest_ago(accounts: Accounts, person: Person) -> None:
    ann = person()
    others = [Browser(accounts.stack, passkey=ann.passkey) for _ in range(5)]
    for other in others:
        accounts.stack.clock.forward(61)
        assert other.sign_in().status == 200
    assert ann.open("you", follow=False).status == 303
    assert all(other.open("you").status == 200 for other in others)


def test_every_page_has_the_headers_that_keep_it_ours(person: Person) -> None:
    ann = person()
    for path in ("sign-in", "service-users", "you", "nothing-here"):
        headers = ann.open(path).headers
        assert "require-trusted-types-for 'script'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Strict-Transport-Security"]


def test_pages_of_other_origins_load_nothing_of_the_console(person: Person) -> None:
    ann = person()
    pages = [ann.open(path, follow=False) for path in ("", "you", "service-users?format=csv", "nothing-here")]
    [script] = re.findall(r'src="(static/[^"]+)"', pages[1].text)
    pages += [ann.open(script), ann.call("confirm-begin"), ann.call("add-finish"), ann.post("sign-out")]
    assert [it.status for it in pages] == [303, 200, 200, 404, 200, 200, 400, 303]
    assert {it.headers["Cross-Origin-Resource-Policy"] for it in pages} == {"same-origin"}


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
@pytest.mark.parametrize(
    ("mode", "kind", "status"),
    [
        ("navigate", "document", 200),
        ("navigate", "iframe", 403),
        ("no-cors", "image", 403),
        ("no-cors", "script", 403),
        ("cors", "empty", 403),
    ],
)
def test_other_hosts_link_to_a_page_but_load_none_and_keep_no_session_alive(
    accounts: Accounts, person: Person, site: str, mode: str, kind: str, status: int
) -> None:
    ann = person()
    accounts.stack.clock.forward(600)
    before = accounts.stack.item("ann")
    ann.headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": kind}
    assert ann.open("you").status == status
    assert accounts.stack.item("ann") == before


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "service-users",
        "service-users/bot",
        "service-users/bot/revoke?keyType=MONITORING",
        "create/user",
        "people/ann/invite-again",
        "account",
        "you/leave",
        "sign-in?next=you%2Fleave",
    ],
)
def test_a_link_of_another_host_leads_to_no_button(
    accounts: Accounts, person: Person, path: str, site: str
) -> None:
    """Or the second of two clicks on a page of a sibling host would meet the button of a form."""
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot")
    linked = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    ann.headers = linked
    page = ann.open(path)
    assert (page.status, "<form" in page.text, "<button" in page.text) == (200, False, False)
    [link] = re.findall(r'<h1><a href="(?:\.\./)*([^"]+)[?;]asked=1"', page.text)
    link = link.removesuffix("&amp")
    ann.headers = {**linked, "sec-fetch-site": "same-origin"}
    assert "<form" in ann.open(link).text
    wanted = {"": "service-users", "sign-in?next=you%2Fleave": "you/leave"}
    assert link == wanted.get(path, path)


@pytest.mark.parametrize("site", ["none", "same-site", "cross-site", "same-origin"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("people?done=revoked", "stopped working at once"),
        ("account?done=changed", "The account was changed"),
        ("sign-in?left=1", "You have left the account"),
    ],
)
def test_a_link_says_nothing_of_what_was_done(person: Person, path: str, said: str, site: str) -> None:
    ann = person()
    if path.startswith("sign-in"):
        ann.cookies.clear()
    navigation = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    ann.headers = {**navigation, "sec-fetch-site": site}
    assert (said in ann.open(path).words) is (site == "same-origin")
    ann.headers = {**navigation, "sec-fetch-site": "same-origin"}
    assert said not in ann.open(f"{path}&asked=1").words


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("you/sessions?asked=1", "../you?asked=1"),
        ("people/ann/revoke?asked=1", "../../you/leave?asked=1"),
        ("sign-in?next=you%2Fleave&asked=1", "you/leave?asked=1"),
        ("sign-in?next=you%2Frestrict%3Fkey%3DX&asked=1", "you/restrict?key=X&asked=1"),
        ("sign-in?next=you%2Fleave", "you/leave"),
    ],
)
def test_what_was_asked_for_is_known_where_it_leads(person: Person, path: str, leads: str) -> None:
    """Or the page there would send at once what is clicked."""
    assert person().open(path, follow=False).headers["Location"] == leads


@pytest.mark.parametrize(
    "path",
    [
        "service-users/bot/suspend%23wait",
        "service-users/bot/suspend%23:~:text=Cancel%26y",
        "you/revoke%3Fkey=USER_MANAGEMENT%23x",
        "service-users/bot/..",
        "service-users/%2E%2E/%2E%2E%2Fdocs%23",
        "people/x%00y/edit",
    ],
)
@pytest.mark.parametrize("site", ["same-site", "none", "same-origin"])
def test_what_would_end_an_address_in_a_link_is_no_page(
    accounts: Accounts, person: Person, path: str, site: str
) -> None:
    """Or the link to it would lead to a page that takes a click at once, or out of the console."""
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot")
    ann.headers = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    page = ann.open(path)
    assert (page.status, "asked=1" in page.text) == (404, False)


def test_the_page_after_the_sign_in_is_the_one_that_was_asked_for(person: Person) -> None:
    ann = person()
    ann.cookies.clear()
    refused = ann.post("people/x%23y/edit", {"role": "OWNER"})
    assert 'data-next="people/x#y' not in refused.text


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("service-users", False),
        ("service-users?role=OWNER", False),
        ("service-users?format=csv", True),
        ("service-users/bot", False),
        ("people", False),
        ("events", False),
        ("service-users/bot/suspend", True),
        ("people/owner/edit", True),
        ("create/user", True),
        ("account", True),
        ("you", True),
        ("you/leave", True),
        ("sign-in", False),
    ],
)
def test_an_address_that_is_typed_leads_to_no_button_of_a_form(
    accounts: Accounts, person: Person, path: str, asks: bool
) -> None:
    """A page that was opened by its address can be reloaded as a redirect: that is called typed as well."""
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot")
    ann.headers = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    page = ann.open(path, follow=False)
    assert ("asked=1" in page.text) is asks


def test_the_link_to_what_another_host_asked_for_is_short(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot")
    ann.headers = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    long = f"service-users/{'b' * 64}/{'c' * 64}"
    for path in ("service-users/bot/suspend?x=" + "A" * 1500, long):
        page = ann.open(path)
        [text] = re.findall(r"<h1><a [^>]+>([^<]+)</a>", page.text)
        assert len(text) < 100
        assert "…" in text
        assert "A" * 99 not in text


def test_a_link_of_another_host_leads_whoever_is_signed_out_to_the_sign_in(person: Person) -> None:
    ann = person()
    ann.cookies.clear()
    ann.headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ann.open("service-users", follow=False).headers["Location"] == "sign-in?next=service-users"


def test_a_body_that_is_too_deep_is_refused_as_one_that_cannot_be_read(person: Person) -> None:
    ann = person()
    depth = 100_000
    headers = {"content-type": "application/json", "x-form-token": ann.csrf}
    for step in ("sign-in-finish", "confirm-finish"):
        raw = '{"id":' + "[" * (depth // 4) + "}"
        page = ann.request("POST", f"/console/passkey/{step}", raw, headers)
        assert page.status == 400


def test_a_web_socket_of_another_host_keeps_no_session_alive(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.clock.forward(600)
    before = accounts.stack.item("ann")
    socket = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    for origin in ("https://sibling.example", "https://api.example.sibling.example", "null"):
        ann.headers = {**socket, "origin": origin}
        assert ann.open("you").status == 403
    assert accounts.stack.item("ann") == before
    ann.headers = {"origin": "https://api.example"}
    assert ann.open("you").status == 200


def test_a_page_that_a_browser_fetches_ahead_keeps_no_session_alive(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    accounts.stack.clock.forward(600)
    before = accounts.stack.item("ann")
    typed = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for purpose in ("prefetch", "prefetch;prerender"):
        ann.headers = {**typed, "sec-purpose": purpose}
        assert ann.open("you").status == 403
    assert accounts.stack.item("ann") == before
    ann.headers = typed
    assert ann.open("you").status == 200
    assert accounts.stack.item("ann") != before, "an address that the person has typed"


def test_the_files_of_the_page_never_change_and_are_no_others(person: Person) -> None:
    ann = person()
    found = re.findall(r'(?:href|src)="(static/[^"]+)"', ann.open("you").text)
    assert len(found) == 3
    for path in found:
        file = ann.open(path)
        assert file.status == 200
        assert "immutable" in file.headers["Cache-Control"]
    for path in ("static/console.css", "static/..", "static/layout.html"):
        assert ann.open(path).status == 404


def test_a_stack_may_have_no_console(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE", "off")
    browser = Browser(accounts.stack)
    assert browser.open("sign-in").status == 404
    assert browser.request("GET", "/").headers["Location"] == "https://api.example/docs"
    monkeypatch.delenv("CONSOLE")
    assert browser.request("GET", "/").headers["Location"] == "https://api.example/console"


def test_the_operators_name_and_colour_are_the_pages(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPERATOR_NAME", "Acme <Keys>")
    monkeypatch.setenv("CONSOLE_COLOUR", "#ffcc00")
    page = Browser(accounts.stack).open("sign-in")
    assert "Acme &lt;Keys&gt;" in page.text
    [css] = re.findall(r'href="(static/[^"]+\.css)"', page.text)
    text = Browser(accounts.stack).open(css).text
    assert "--brand:#ffcc00" in text
    assert "--on-brand:#000000" in text
    monkeypatch.setenv("CONSOLE_COLOUR", "red;}*{display:none")
    page = Browser(accounts.stack).open("sign-in")
    [css] = re.findall(r'href="(static/[^"]+\.css)"', page.text)
    assert "--brand:#0b4f86" in Browser(accounts.stack).open(css).text


def test_another_host_leads_to_the_one_that_passkeys_are_for(accounts: Accounts) -> None:
    browser = Browser(accounts.stack)
    browser.headers["host"] = "abc.execute-api.eu-central-1.amazonaws.com"
    page = browser.open("sign-in", follow=False)
    assert (page.status, page.headers["Location"]) == (303, "https://api.example/console")
    browser.headers["host"] = "api.example"
    assert browser.open("sign-in").status == 200


@pytest.mark.parametrize(
    ("wanted", "led"),
    [
        ("service-users/bot/rotate?key=MONITORING", True),
        ("//evil.example", False),
        ("https://evil.example", False),
        ("../../evil", False),
        ("you/../..", False),
        ("you/./generate", False),
        ("javascript:alert(1)", False),
        ("sign-in", False),
    ],
)
def test_signing_in_leads_back_to_a_page_of_ours_and_no_other(
    accounts: Accounts, person: Person, wanted: str, led: bool
) -> None:
    page = Browser(accounts.stack).open(f"sign-in?next={quote(wanted, safe='')}")
    assert f'data-next="{wanted if led else ""}"' in page.text.replace("&amp;", "&")
    ann = person()
    location = ann.open(f"sign-in?next={quote(wanted, safe='')}", follow=False).headers["Location"]
    assert location == (wanted if led else "./")


@pytest.mark.parametrize("query", ["?format=csv", "?prefix=b&format=csv", "?%66ormat=c%73v"])
def test_signing_in_leads_to_no_download(accounts: Accounts, person: Person, query: str) -> None:
    """A link of somebody else to it would make one without a question, after the touch of a passkey."""
    page = Browser(accounts.stack).open(f"sign-in?next={quote(f'service-users{query}', safe='')}")
    [led] = re.findall(r'data-next="([^"]*)"', page.text)
    ann = person()
    assert ann.open(led.replace("&amp;", "&")).headers["Content-Type"].startswith("text/html")


def test_a_long_address_makes_no_long_header(accounts: Accounts) -> None:
    """API Gateway would respond with an error of its own, and anybody could raise the operator's alarm."""
    browser = Browser(accounts.stack)
    for query, led in ((f"a={'/' * 3000}", "sign-in"), ("a=b", "sign-in?next=you%3Fa%3Db")):
        assert browser.open(f"you?{query}", follow=False).headers["Location"] == led


def test_events_show_an_expiry_as_a_time(accounts: Accounts, person: Person) -> None:
    ends = "2030-06-01T00:00:00Z"
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"], expiresAt=ends)
    assert f'expiresAt: none → "{ends}"' in person().open("events").words


def test_what_is_no_page_or_no_way_to_use_one_is_said_so(person: Person) -> None:
    ann = person()
    assert ann.open("service-users/bot/elsewhere").status == 404
    assert ann.open("you/elsewhere").status == 404
    assert ann.open("elsewhere").status == 404
    for page, allowed in ((ann.open("sign-out"), "POST"), (ann.post("service-users"), "GET")):
        assert (page.status, page.headers["Allow"]) == (405, allowed)
    assert ann.call("elsewhere").status == 404
    assert (
        ann.request("POST", "/console/you/generate", "{}", {"content-type": "application/json"}).status == 415
    )
    assert ann.request(
        "POST", "/console/passkey/add-finish", "{}", {"content-type": "text/plain"}
    ).status in (403, 415)
    huge = "csrf=" + "x" * 70_000
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert ann.request("POST", "/console/sign-out", huge, kind).status == 413
    assert ann.request("POST", "/console/sign-out", "&".join(["a=1"] * 300), kind).status == 400


def test_a_failure_of_ours_is_a_page_and_on_record(
    person: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ann = person()
    from chalicelib.console import site

    def fail(_visit: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setitem(site.PAGES, "you", (fail, None))
    page = ann.open("you")
    assert page.status == 500
    assert "a bug" not in page.text
    assert "a page failed" in caplog.text


def test_every_console_route_refuses_other_methods(accounts: Accounts) -> None:
    for path in app.app.routes:
        if path.startswith("/console"):
            target = path.replace("{", "").replace("}", "")
            assert Browser(accounts.stack).request("PUT", target).status == 405


def test_the_page_of_a_session_that_has_ended_keeps_where_one_was(person: Person, accounts: Accounts) -> None:
    ann = person()
    accounts.stack.clock.forward(900)
    page = ann.open("you/generate?key=MONITORING", follow=False)
    there = quote("you/generate?key=MONITORING", safe="")
    assert page.headers["Location"] == f"../sign-in?next={there}"
    late = ann.post("you/generate", {"type": "MONITORING", "expiry": "never"})
    assert late.status == 401
    assert "Sign in" in late.words
    out = ann.post("sign-out")
    assert (out.status, out.headers["Location"]) == (303, "sign-in?out=1"), "nobody is signed out twice"


def test_staying_signed_in_is_said_by_the_page(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.clock.forward(840)
    headers = {"content-type": "application/json", "x-form-token": ann.csrf}
    assert ann.request("POST", "/console/seen", "{}", headers).status == 204
    accounts.stack.clock.forward(840)
    assert ann.open("you").status == 200


@pytest.mark.parametrize(
    ("colour", "text"),
    [
        # The greys on either side of where black and white have the same contrast, and pure colours.
        *(("#757575", "#ffffff"), ("#767676", "#000000")),
        *(("#ff0000", "#000000"), ("#00ff00", "#000000"), ("#0000ff", "#ffffff"), ("#000000", "#ffffff")),
    ],
)
def test_words_on_the_operators_colour_have_the_better_contrast(
    colour: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_COLOUR", colour)
    assert settings().on_colour == text


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("people", "The list of people"),
        ("account", "The account"),
        ("service-users", "The list of Service Users"),
        ("create/service-user", "Creating Service Users"),
    ],
)
def test_a_page_that_one_may_not_see_says_who_may(person: Person, path: str, what: str) -> None:
    refused = person("ann", "READ_ONLY").open(path)
    assert refused.status == 403
    assert f"{what} requires the role OWNER or CLUSTER_ADMIN; your role is READ_ONLY." in refused.words


def test_a_cookie_alone_ends_no_other_session_and_locks_nobody_out(
    accounts: Accounts, person: Person
) -> None:
    """What needs a touch is what a thief of the cookie could keep its person out with."""
    thief = person("ann", "OWNER")
    accounts.stack.clock.forward(301)
    ann = Browser(accounts.stack)
    ann.passkey = thief.passkey
    assert ann.sign_in().status == 200
    (other,) = set(re.findall(r"you/session\?id=([0-9a-f]+)", thief.open("you").text))
    refused = thief.post(f"you/session?id={other}")
    assert refused.status == 403
    assert "confirm" in refused.words.lower()
    assert ann.open("you").status == 200
    assert thief.confirm().status == 200
    assert thief.post(f"you/session?id={other}").status == 303
    assert ann.open("you", follow=False).status == 303
    accounts.stack.clock.forward(301)
    assert thief.post("you/sessions").status == 303


def test_a_confirmation_does_not_make_an_address_known(accounts: Accounts, person: Person) -> None:
    """Otherwise a thief who confirms in an open session signs in from their address without an email."""
    ann = person("ann", "READ_ONLY")
    assert ann.sign_in().status == 200
    ann.source_ip = "192.0.2.77"
    assert ann.confirm().status == 200
    assert ann.sign_in().status == 200
    (signed_in,) = [it for it in accounts.stack.events("SIGNED_IN") if it["sourceIp"] == "192.0.2.77"]
    assert signed_in.get("audience") == "PERSON"


def test_pages_show_whose_emails_fail(accounts: Accounts, person: Person) -> None:
    ann = person()
    stack = accounts.stack
    feedback = Feedback(MailFixture(stack.client, stack.tables, stack.clock))
    stack.user(accounts["owner"], "bea", "CLUSTER_ADMIN")
    feedback.mail.resend()
    assert "bounces" not in ann.open("people").words
    feedback.fails("bea@people.example")
    assert "bea@people.example bounces" in ann.open("people").words
    events = ann.open("events").words
    assert "Email bounced bea" in events
    assert "bea: Permanent bounce" in events
    stack.user(accounts["owner"], "eve", "CLUSTER_ADMIN")
    feedback.mail.resend()
    feedback.fails("eve@people.example", COMPLAINT)
    assert "eve@people.example marked as spam" in ann.open("people").words


@pytest.mark.parametrize("name", [".eve", "...", "..eve", "eve."])
def test_a_username_with_dots_has_its_pages(accounts: Accounts, person: Person, name: str) -> None:
    ann, stack = person(), accounts.stack
    new = {"username": name, "email": "dots@machines.example", "role": "READ_ONLY"}
    assert accounts.call("POST", "/v1/service-users", "owner", new).status == 201
    for page in ("", "/edit", "/suspend", "/delete", "/revoke?key=MONITORING"):
        assert ann.open(f"service-users/{name}{page}").status == 200, page
    assert ann.post(f"service-users/{name}/delete", {"name": name}).status == 303
    invited = {"username": name, "email": "dots@people.example", "role": "CLUSTER_ADMIN"}
    assert accounts.call("POST", "/v1/users", "owner", invited).status == 201
    stack.activate(name)
    for page in ("edit", "revoke", "suspend", "invite-again", "shown-keys"):
        assert ann.open(f"people/{name}/{page}").status == 200, page


def test_the_script_in_the_page_is_the_one_that_the_policy_names(person: Person) -> None:
    page = person().open("people")
    [script] = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    mark = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{mark}';" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("site", ["none", "same-site", "cross-site", "same-origin", ""])
def test_a_page_says_whether_the_console_led_to_it(person: Person, site: str) -> None:
    """Its script waits where it did not: a page that was typed can be reloaded as a redirect to this one."""
    ann = person()
    ann.headers = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    if site:
        ann.headers["sec-fetch-site"] = site
    for path in ("service-users", "people"):
        assert ("data-elsewhere" in ann.open(path).text.partition("<head>")[0]) is (
            site[-6:] not in ("origin", "")
        )
