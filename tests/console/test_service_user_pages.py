"""The pages about Service Users and their keys, as people use them."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.accounts import CLEAR, Accounts
from tests.support.browser import Browser, Page
from tests.support.catalogue import LABELS, LISTED, MAY_HOLD

Person = Callable[..., Browser]
NEW = {"username": "fetcher", "email": "f@machines.example", "role": "READ_ONLY", "expiry": "never"}


def key_of(page: Page) -> str:
    """Return the one key that a page shows."""
    [found] = set(re.findall(CLEAR, page.text))
    return str(found)


def was(browser: Browser, form: str) -> dict[str, str]:
    """Return the hidden fields of a form about a key."""
    shown = browser.open(form)
    assert shown.status == 200, shown.words
    return {"type": shown.hidden("type"), "was": shown.hidden("was")}


def test_the_first_visit_says_what_a_service_user_is(person: Person) -> None:
    page = person().open("service-users")
    assert "No Service Users yet" in page.words
    assert 'href="create/service-user"' in page.text


def test_a_service_user_is_created_and_its_key_shown_once(accounts: Accounts, person: Person) -> None:
    ann = person("ann", "CLUSTER_ADMIN")
    shown = ann.open("create/service-user")
    assert "OWNER" not in re.findall(r"<option[^>]*>(\w+)</option>", shown.text)
    made = ann.post("create/service-user", {**NEW, "keyTypes": ["MONITORING"]})
    assert made.status == 200
    assert made.headers["Cache-Control"] == "no-store"
    assert accounts.stack.call("GET", "/v1/whoami", accounts["owner"]).status == 200
    key = key_of(made)
    from tests.support.api_client import Key

    assert accounts.stack.signs_in(Key("fetcher", key))
    assert key not in ann.open("service-users/fetcher").text
    again = ann.post("create/service-user", {**NEW, "keyTypes": ["MONITORING"]})
    assert again.status == 409
    (error,) = again.errors
    assert error.startswith("The username 'fetcher' is taken (case does not count). Choose another. If you")
    assert 'value="f@machines.example"' in again.text


def test_a_description_and_labels_are_given_at_the_creation(accounts: Accounts, person: Person) -> None:
    ann = person()
    form = "create/service-user"
    typed = {
        **NEW,
        "keyTypes": [],
        "description": "Pays, <b>nightly</b>",
        "labels": "team = payments, env=prod",
    }
    for wrong, field in (
        ({"labels": "team"}, "labels"),
        ({"labels": "team=a\nteam=b"}, "labels"),
        ({"labels": "te am=a"}, "labels"),
        ({"description": "x" * 501}, "description"),
    ):
        refused = ann.post(form, {**typed, **wrong})
        assert refused.status == 400
        assert f'id="{field}-error1"' in refused.text
        assert f'aria-describedby="{field}-hint {field}-error1" aria-invalid="true"' in refused.text
    assert "Pays, &lt;b&gt;nightly&lt;/b&gt;" in ann.post(form, {**typed, "labels": "team"}).text
    made = ann.post(form, typed)
    assert (made.status, made.headers["Location"]) == (303, "../service-users/fetcher?done=created")
    read = accounts.call("GET", "/v1/service-users/fetcher", "owner").json
    assert read["description"] == "Pays, <b>nightly</b>"
    assert read["labels"] == {"env": "prod", "team": "payments"}
    assert "Pays, &lt;b&gt;nightly&lt;/b&gt;" in ann.open("service-users/fetcher").text
    bare = {**NEW, "username": "bare", "email": "b@machines.example", "keyTypes": []}
    assert ann.post(form, bare).status == 303
    read = accounts.call("GET", "/v1/service-users/bare", "owner").json
    assert (read["description"], read["labels"]) == (None, {})


def test_administrators_are_named_in_the_form_and_empty_is_oneself(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    assert accounts["admin"]
    typed = {**NEW, "keyTypes": ["MONITORING"], "administrators": "admin\nnobody"}
    refused = ann.post("create/service-user", typed)
    assert refused.status == 400
    assert 'id="administrators-error1"' in refused.text
    assert "nobody" in refused.text
    assert ann.post("create/service-user", {**typed, "administrators": "admin, ann"}).status == 200
    path = "/v1/service-users/fetcher"
    assert accounts.call("GET", path, "owner").json["administrators"] == ["admin", "ann"]
    other = {**typed, "username": "other", "email": "other@machines.example", "administrators": "  "}
    assert ann.post("create/service-user", other).status == 200
    assert accounts.call("GET", "/v1/service-users/other", "owner").json["administrators"] == ["ann"]


def test_every_error_in_a_form_is_shown_at_its_field_in_the_apis_words(person: Person) -> None:
    ann = person()
    wrong = {"username": "x", "email": "nobody", "role": "KING", "keyTypes": "PROVISIONING", "expiry": "date"}
    page = ann.post(
        "create/service-user", {**wrong, "expiresAt": "2001-01-01", "allowedNetworks": "10.0.0.0/8\nhome"}
    )
    assert page.status == 400
    for name in ("username", "email", "role", "expiresAt", "allowedNetworks"):
        assert f'id="{name}-error1"' in page.text, name
    assert page.text.count("<title>Error: ") == 1
    assert "home" in page.text
    assert ann.post("create/service-user", {**NEW, "expiry": ""}).errors == ["Choose when the key ends."]


def test_key_types_are_offered_under_the_roles_that_may_hold_them(person: Person) -> None:
    """By heading; the page's script hides those that the chosen role may not hold (tests/browser)."""
    ann = person("ann", "CLUSTER_ADMIN")
    page = ann.open("create/service-user")
    below, above, *_ = page.text.split('<div role="group"')[1:]
    every, admins = MAY_HOLD["READ_ONLY"], MAY_HOLD["CLUSTER_ADMIN"]
    assert re.findall(r'id="type-([\w-]+)"', below) == every
    more = [it for it in admins if it not in every]
    assert re.findall(r'id="type-([\w-]+)"', above) == more
    assert "For every role" in below
    assert f"Only for the role {LABELS['CLUSTER_ADMIN']} or {LABELS['OWNER']}" in above
    assert page.text.count(" checked>") == 1, "one key of the least power is chosen"
    assert 'value="MONITORING" checked' in below
    assert re.findall(r"<option[^>]*>([^<]+)</option>", page.text)[0] == LABELS["READ_ONLY"]

    typed = {**NEW, "displayName": "Kept", "keyTypes": ["PROVISIONING", "USER_MANAGEMENT"]}
    refused = ann.post("create/service-user", typed)
    assert refused.status == 400
    assert refused.errors == [f"A READ_ONLY may hold {LISTED['READ_ONLY']}."]
    assert 'id="keyTypes-error1"' in refused.text
    assert 'value="Kept"' in refused.text
    assert refused.text.count(" checked>") == 2


def test_every_time_is_relative_with_the_exact_one_beside_it(accounts: Accounts, person: Person) -> None:
    ann = person()
    key = accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])["MONITORING"]
    accounts.stack.clock.forward(300)
    assert accounts.stack.call("GET", "/v1/whoami", key).status == 200
    accounts.stack.clock.forward(300)
    moment = r"\(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)"
    for path in ("service-users", "service-users/bot", "you", "events", "account"):
        times = re.findall(r'<time datetime="([^"]+)">(.*?)</time>', ann.open(path).text)
        assert times, path
        for exact, shown in times:
            text = re.sub("<[^>]+>", "", shown)
            assert re.fullmatch(rf"[a-z0-9 ]+ {moment}", text), text
            assert f"({exact.replace('T', ' ').replace('Z', ' UTC')})" in text
    assert re.search(rf"used within the hour {moment}", ann.open("service-users/bot").words)


def test_a_key_is_rotated_with_an_overlap_and_a_second_post_makes_no_second_key(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    old = accounts.service_user(keyTypes=["MONITORING"])["MONITORING"]
    form = f"service-users/{old.username}/rotate"
    fields = was(ann, f"{form}?key=MONITORING")
    done = ann.post(form, {**fields, "overlapSeconds": "3600"})
    assert done.status == 200
    assert key_of(done) != old.secret
    assert f"The key …{old.secret[-5:]} still works, and ends in 1 hour" in done.words
    assert accounts.stack.signs_in(old)
    again = ann.post(form, {**fields, "overlapSeconds": "3600"})
    assert again.status == 409
    assert "was done already" in again.words
    anew = was(ann, f"{form}?key=MONITORING")
    for typed in ("9" * 5000, "many", ""):
        assert ann.post(form, {**anew, "overlapSeconds": typed}).errors, typed[:9]
    assert not re.findall(CLEAR, again.text)
    page = ann.open(f"service-users/{old.username}")
    assert "Old key" in page.words
    accounts.stack.clock.forward(3600)
    assert not accounts.stack.signs_in(old)
    assert ann.sign_in().status == 200
    at_once = ann.post(form, {**was(ann, f"{form}?key=MONITORING"), "overlapSeconds": "0"})
    assert "works no more." in at_once.words


def test_a_key_is_restricted_and_revoked(accounts: Accounts, person: Person) -> None:
    ann = person()
    key = accounts.service_user(keyTypes=["MONITORING"])["MONITORING"]
    home = f"service-users/{key.username}"
    fields = was(ann, f"{home}/restrict?key=MONITORING")
    done = ann.post(f"{home}/restrict", {**fields, "allowedNetworks": "203.0.113.0/24", "expiry": "90"})
    assert (done.status, done.headers["Location"]) == (303, f"../../{home}?done=restricted")
    assert accounts.stack.sign_in(key) == 403
    shown = ann.open(f"{home}/restrict?key=MONITORING")
    assert "198.51.100.7, is in none of them" in shown.words
    refused = ann.post(f"{home}/revoke", fields)
    assert refused.status == 409
    fields = was(ann, f"{home}/revoke?key=MONITORING")
    assert ann.post(f"{home}/revoke", fields).status == 303
    assert accounts.stack.sign_in(key) == 401
    assert "No key of this type" in ann.open(home).words


@pytest.mark.parametrize(
    "change",
    [{"expiresAt": "2031-01-01T00:00:00Z"}, {"allowedNetworks": ["198.51.100.0/24"]}],
    ids=["expiry", "networks"],
)
def test_a_form_is_stale_once_the_keys_expiry_or_its_networks_have_changed(
    accounts: Accounts, person: Person, change: dict[str, Any]
) -> None:
    ann = person()
    ends = "2030-12-31T00:00:00Z"
    name = accounts.service_user(keyTypes=["MONITORING"], expiresAt=ends)["MONITORING"].username
    form = f"service-users/{name}/rotate"
    fields = {**was(ann, f"{form}?key=MONITORING"), "overlapSeconds": "0"}
    path = f"/v1/service-users/{name}/api-keys/MONITORING"
    assert accounts.call("PATCH", path, "owner", change).status == 200
    stale = ann.post(form, fields)
    assert stale.status == 409
    assert ann.post(form, {**fields, **was(ann, f"{form}?key=MONITORING")}).status == 200


def test_what_takes_rights_away_is_done_however_often_somebody_changes_the_keys(
    accounts: Accounts, person: Person
) -> None:
    """A thief who rotates the key, or an Administrator who tightens it, between opening and sending."""
    ann = person()
    key = accounts.service_user(keyTypes=["MONITORING"])["MONITORING"]
    home = f"service-users/{key.username}"
    shown = {form: was(ann, f"{home}/{form}?key=MONITORING") for form in ("revoke",)}
    opened = ann.open(f"{home}/edit").hidden("was")
    assert accounts.stack.call("POST", "/v1/api-keys/rotate", key).status == 200
    tighter = {"expiresAt": "2031-01-01T00:00:00Z"}
    path = f"/v1/service-users/{key.username}/api-keys/MONITORING"
    assert accounts.call("PATCH", path, "owner", tighter).status == 200
    edited = {"was": opened, "role": "READ_ONLY", "administrators": "ann"}
    assert ann.post(f"{home}/edit", edited).status == 303
    assert ann.post(f"{home}/revoke", shown["revoke"]).status == 303
    again = {"keyType": "MONITORING"}
    accounts.stack.clock.forward(1)
    assert accounts.call("POST", f"/v1/service-users/{key.username}/api-keys", "owner", again).status == 201
    late = ann.post(f"{home}/revoke", shown["revoke"])
    assert late.status == 409
    assert "another may have been generated since" in late.words
    assert ann.post(f"{home}/revoke", {**shown["revoke"], "was": late.hidden("was")}).status == 409
    assert ann.post(f"{home}/revoke", was(ann, f"{home}/revoke?key=MONITORING")).status == 303


def test_a_key_is_generated_where_there_is_none(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot", keyTypes=[])
    form = "service-users/bot/generate"
    fields = {**was(ann, f"{form}?key=PROVISIONING_READONLY"), "expiry": "30"}
    done = ann.post(form, fields)
    assert key_of(done)
    again = ann.post(form, fields)
    assert (again.status, "was done already" in again.words) == (409, True)
    assert ann.post(form, {**was(ann, f"{form}?key=PROVISIONING"), "expiry": "30"}).status == 400
    taken = ann.post(form, {**was(ann, f"{form}?key=PROVISIONING_READONLY"), "expiry": "30"})
    assert taken.status == 409
    assert ann.open(f"{form}?key=NONE").status == 404
    assert ann.open(form).status == 404


@pytest.mark.parametrize("what", ["generated and revoked", "deleted and created"])
def test_a_tab_left_open_generates_no_key_of_what_has_changed_since(
    accounts: Accounts, person: Person, what: str
) -> None:
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot", keyTypes=[])
    form = "service-users/bot/generate"
    fields = {**was(ann, f"{form}?key=MONITORING"), "expiry": "30"}
    path = "/v1/service-users/bot"
    if what == "generated and revoked":
        made = accounts.call("POST", f"{path}/api-keys", "owner", {"keyType": "MONITORING"})
        assert made.status == 201
        assert accounts.call("DELETE", f"{path}/api-keys/MONITORING", "owner").status == 204
    else:
        assert accounts.call("DELETE", path, "owner").status == 204
        accounts.stack.service_user(accounts["owner"], "bot", role="OWNER", keyTypes=[])
    assert ann.post(form, fields).status == 409
    assert not accounts.stack.item("bot").get("keys")


def test_a_service_user_is_changed_but_not_over_somebody_elses_change(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    form = "service-users/bot/edit"
    fields = {
        "was": ann.open(form).hidden("was"),
        "displayName": "Works",
        "role": "READ_ONLY",
        "administrators": "admin, ann",
    }
    assert ann.post(form, {**fields, "administrators": "nobody"}).errors
    assert ann.post(form, fields).status == 303
    page = ann.open("service-users/bot")
    assert "Works" in page.words
    assert ann.post(form, {**fields, "displayName": "Late"}).status == 409


def test_a_form_changes_what_was_changed_in_it_whatever_somebody_else_changes(
    accounts: Accounts, person: Person
) -> None:
    """Or an Administrator could keep an OWNER from removing them, by another label every few seconds."""
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot", "CLUSTER_ADMIN", labels={"team": "payments"})
    form, path = "service-users/bot/edit", "/v1/service-users/bot"
    fields = {
        "was": ann.open(form).hidden("was"),
        "displayName": "bot",
        "description": "",
        "labels": "team=payments",
        "role": "CLUSTER_ADMIN",
        "administrators": "admin",
    }
    meanwhile = {"labels": {"team": "theirs"}, "description": "Theirs", "displayName": "Theirs"}
    assert accounts.call("PUT", path, "admin", meanwhile).status == 200
    assert ann.post(form, {**fields, "role": "READ_ONLY", "administrators": "ann"}).status == 303
    now = accounts.call("GET", path, "owner").json
    assert {name: now[name] for name in meanwhile} == meanwhile
    assert (now["role"], now["administrators"]) == ("READ_ONLY", ["ann"])
    for late in ({"labels": "team=mine"}, {"displayName": "Mine"}, {"role": "OWNER"}):
        assert ann.post(form, {**fields, **late}).status == 409
    assert ann.post(form, fields).status == 303
    assert accounts.call("GET", path, "owner").json == now


@pytest.mark.parametrize("change", [{"administrators": "cat"}, {"role": "READ_ONLY"}])
def test_a_change_that_one_may_no_longer_make_is_refused_and_not_left_out(
    accounts: Accounts, person: Person, change: dict[str, str]
) -> None:
    cat = person("cat", "CLUSTER_ADMIN")
    accounts.stack.service_user(accounts["owner"], "bot", "CLUSTER_ADMIN", administrators=["cat", "admin"])
    form, path = "service-users/bot/edit", "/v1/service-users/bot"
    fields = {
        "was": cat.open(form).hidden("was"),
        "displayName": "Mine",
        "role": accounts.call("GET", path, "owner").json["role"],
        "administrators": "cat\nadmin",
    }
    assert accounts.call("PUT", path, "owner", {"role": "OWNER"}).status == 200
    refused = cat.post(form, {**fields, **change})
    assert refused.status in (403, 409)
    assert accounts.call("GET", path, "owner").json["displayName"] == "bot"
    assert cat.post(form, fields).status == 303, "what it had was not changed in it"
    now = accounts.call("GET", path, "owner").json
    assert (now["displayName"], now["administrators"], now["role"]) == ("Mine", ["admin", "cat"], "OWNER")


def test_a_description_and_labels_are_shown_and_changed(accounts: Accounts, person: Person) -> None:
    ann = person()
    labels = {"team": "payments", "env": "prod"}
    accounts.stack.service_user(
        accounts["admin"], "bot", keyTypes=[], description="<b>Pays</b>", labels=labels
    )
    page = ann.open("service-users/bot")
    assert "<b>Pays</b>" in page.words
    assert "env=prod" in page.words
    assert "<b>Pays" not in page.text
    form = "service-users/bot/edit"
    shown = ann.open(form)
    assert 'value="&lt;b&gt;Pays&lt;/b&gt;"' in shown.text
    assert "env=prod\nteam=payments</textarea>" in shown.text
    fields = {
        "was": shown.hidden("was"),
        "displayName": "bot",
        "role": "READ_ONLY",
        "administrators": "admin",
    }
    for wrong, why in (
        ("team", "'team' has no '='. Write name=value, each name once."),
        ("team=a\nteam=b", "'team=b' is given twice. Write name=value, each name once."),
        ("team=a b", "This must be: a value of up to 63 letters"),
    ):
        refused = ann.post(form, {**fields, "labels": wrong, "description": "Still here"})
        assert refused.status == 400
        assert any(why in error for error in refused.errors)
        assert "Still here" in refused.text
    changed = {**fields, "labels": "team = refunds, tier=", "description": ""}
    assert ann.post(form, changed).status == 303
    read = accounts.call("GET", "/v1/service-users/bot", "owner").json
    assert (read["description"], read["labels"]) == (None, {"team": "refunds", "tier": ""})
    # A browser that had the form open before there were such fields sends none, and takes none away.
    late = {**fields, "was": ann.open(form).hidden("was"), "displayName": "Works"}
    assert ann.post(form, late).status == 303
    assert accounts.call("GET", "/v1/service-users/bot", "owner").json["labels"] == read["labels"]


def test_a_service_user_is_deleted_by_typing_its_name(accounts: Accounts, person: Person) -> None:
    ann = person()
    key = accounts.service_user()["MONITORING"]
    form = f"service-users/{key.username}/delete"
    assert ann.open(form).status == 200
    assert ann.post(form, {"name": "another"}).status == 400
    assert accounts.stack.signs_in(key)
    assert ann.post(form, {"name": key.username}).status == 303
    assert not accounts.stack.signs_in(key)
    assert ann.open(f"service-users/{key.username}").status == 404


def test_a_service_user_is_suspended_and_resumed(accounts: Accounts, person: Person) -> None:
    ann = person()
    key = accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])["MONITORING"]
    accounts.stack.clock.forward(600)  # suspending needs no confirmation
    assert "refused at once" in ann.open("service-users/bot/suspend").words
    assert ann.post("service-users/bot/suspend").status == 303
    assert accounts.stack.call("GET", "/v1/whoami", key).status == 403
    shown = ann.open("service-users/bot?done=suspend").words
    assert "by ann. Its keys are refused until it is resumed" in shown
    assert "suspended" in ann.open("service-users?attention=1").words
    assert "Confirm with your passkey" in ann.edit("service-users/bot/resume", {}).text
    assert ann.confirm().status == 200
    assert ann.open("service-users/bot/resume").status == 200
    assert ann.edit("service-users/bot/resume", {}).status == 303
    assert accounts.stack.call("GET", "/v1/whoami", key).status == 200


def test_the_list_is_filtered_and_says_what_needs_attention(accounts: Accounts, person: Person) -> None:
    ann = person()
    stack = accounts.stack
    soon = "2030-03-20T00:00:00Z"
    stack.service_user(accounts["admin"], "ending", keyTypes=["MONITORING"], expiresAt=soon)
    stack.service_user(accounts["owner"], "plain", "CLUSTER_ADMIN", keyTypes=[])
    assert "ends within 14 days" in ann.open("service-users").words
    assert "plain" not in ann.open("service-users?prefix=END").words
    assert "ending" not in ann.open("service-users?role=CLUSTER_ADMIN").words
    assert "plain" not in ann.open("service-users?attention=1").words
    assert "No Service User matches" in ann.open("service-users?prefix=zzz").words
    assert ann.open("service-users?after=%00").status == 200


def test_keys_that_are_not_used_or_expired_need_attention(accounts: Accounts, person: Person) -> None:
    ann = person()
    stack = accounts.stack
    used = stack.service_user(accounts["admin"], "used", keyTypes=["MONITORING"])["MONITORING"]
    stack.service_user(accounts["admin"], "unused", keyTypes=["MONITORING"])
    stack.service_user(accounts["admin"], "over", keyTypes=["MONITORING"], expiresAt="2030-03-18T00:00:00Z")
    assert stack.signs_in(used)
    stack.clock.forward(100 * 86_400)
    assert ann.sign_in().status == 200
    words = ann.open("service-users?attention=1").words
    for why in ("was never used", "unused for 90 days", "has expired"):
        assert why in words
    stack.call("DELETE", "/v1/users/admin", accounts["owner"])
    assert "no Administrator left" in ann.open("service-users/used").words


def test_a_beginning_that_no_username_has_finds_none(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.service_user(accounts["owner"], "bot", keyTypes=[])
    assert "bot" in ann.open("service-users?prefix=BO").words
    for prefix in ("a" * 3000, "b ot", "\0"):
        with accounts.stack.counted() as counted:  # DynamoDB refuses a Query with a key of over 1,024 bytes
            page = ann.open(f"service-users?{urlencode({'prefix': prefix})}")
        assert "Query" not in counted
        assert (page.status, "No Service User matches" in page.words) == (200, True)


@pytest.mark.parametrize(("address", "own"), [("198.51.100.7", "/32"), ("2001:db8::7", "/128")])
def test_a_form_for_networks_says_how_to_write_ones_own_address_alone(
    accounts: Accounts, person: Person, address: str, own: str
) -> None:
    ann = person()
    ann.source_ip = address
    page = ann.open("create/service-user")
    assert f"Your own address alone is {address}{own}." in page.words
    fields = {**NEW, "expiry": "never", "keyTypes": ["MONITORING"], "allowedNetworks": f"{address}{own}"}
    assert ann.post("create/service-user", fields).status == 200
    assert accounts.stack.only_key(accounts["owner"], NEW["username"])["allowedNetworks"] == [
        f"{address}{own}"
    ]


def test_what_is_shown_is_had_as_csv_and_starts_no_formula(accounts: Accounts, person: Person) -> None:
    ann = person()
    accounts.stack.service_user(
        accounts["owner"], "bot", keyTypes=["MONITORING"], displayName='=HYPERLINK("x")'
    )
    accounts.stack.service_user(accounts["owner"], "none", keyTypes=[], displayName="x;=1+1")
    accounts.stack.service_user(accounts["owner"], "wide", keyTypes=[], displayName="\uff1d1+1")
    page = ann.open("service-users?format=csv")
    assert page.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(page.text)))
    assert [row["username"] for row in rows] == ["bot", "none", "wide"]
    assert [row["displayName"] for row in rows] == ['\'=HYPERLINK("x")', "x;'=1+1", "'\uff1d1+1"]
    assert rows[0]["keyType"] == "MONITORING"
    assert rows[1]["keyType"] == ""
    more: dict[str, Any] = {"description": 'x;"=1+1', "labels": {"team": "payments", "env": "prod"}}
    accounts.stack.service_user(accounts["owner"], "described", keyTypes=[], **more)
    [row] = csv.DictReader(io.StringIO(ann.open("service-users?format=csv&prefix=desc").text))
    assert (row["description"], row["labels"]) == ("x;\"'=1+1", "env=prod team=payments")


def test_a_search_that_found_nothing_yet_says_so_and_goes_on(
    accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chalicelib.console import service_user_pages

    monkeypatch.setattr(service_user_pages, "PAGE", 2)
    monkeypatch.setattr(service_user_pages, "MAX_READ", 4)
    ann = person()
    for name in "abcd":
        accounts.stack.service_user(accounts["owner"], f"bot-{name}", keyTypes=[])
    accounts.stack.service_user(accounts["owner"], "bot-e", role="OWNER", keyTypes=[])
    first = ann.open("service-users?role=OWNER")
    assert "None of the 4 Service Users that were searched matches, and there are more." in first.words
    assert "No Service User matches" not in first.words
    [link] = re.findall(r'href="(service-users\?[^"]*after=bot[^"]*)">Next page', first.text)
    second = ann.open(link.replace("&amp;", "&"))
    assert "bot-e" in second.words
    [link] = re.findall(r'href="(service-users\?[^"]*format=csv[^"]*)"', second.text)
    [row] = csv.DictReader(io.StringIO(ann.open(link.replace("&amp;", "&")).text))
    assert row["username"] == "bot-e", "what is shown, of this page"

    part = ann.open("service-users?role=OWNER&format=csv")
    [row] = csv.DictReader(io.StringIO(part.text))
    assert row["username"].startswith("(more follow: ")
    assert "after=bot-d" in row["username"]
    [link] = re.findall(r'^<https://[^>]*/console/(.*)>; rel="next"$', part.headers["Link"])
    rest = ann.open(link)
    assert [it["username"] for it in csv.DictReader(io.StringIO(rest.text))] == ["bot-e"]
    assert "Link" not in rest.headers
    longer = ann.open(f"service-users?role=OWNER&format=csv&a={'/' * 7000}")
    assert longer.headers["Link"] == part.headers["Link"], "or the gateway would not take the header"
    assert "No more Service Users" in ann.open("service-users?role=OWNER&after=bot-e").words


def test_the_list_has_pages(accounts: Accounts, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from chalicelib.console import service_user_pages

    monkeypatch.setattr(service_user_pages, "PAGE", 2)
    monkeypatch.setattr(service_user_pages, "MAX_READ", 4)
    ann = person()
    for name in "abcdef":
        accounts.stack.service_user(accounts["owner"], f"bot-{name}", keyTypes=[])
    first = ann.open("service-users")
    [link] = re.findall(r'href="(service-users\?[^"]*after=[^"]*)"', first.text)
    second = ann.open(link.replace("&amp;", "&"))
    assert "bot-c" in second.words
    assert "bot-a" not in second.words
    accounts.stack.service_user(accounts["owner"], "bot-0", role="OWNER", keyTypes=[])
    walked = ann.open("service-users?role=OWNER")
    assert "bot-0" in walked.words
    assert "4 Service Users were searched; the next page searches the others." in walked.words
    assert "No Service User matches" in ann.open("service-users?role=OWNER&prefix=bot-a").words


def test_who_does_not_administer_it_is_told_who_does(accounts: Accounts, person: Person) -> None:
    bea = person("bea", "CLUSTER_ADMIN")
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])
    page = bea.open("service-users/bot")
    assert "admin or an OWNER can change it" in page.words
    assert "Rotate" not in page.words
    for form in ("edit", "delete", "rotate?key=MONITORING", "revoke?key=MONITORING"):
        refused = bea.open(f"service-users/bot/{form}")
        assert refused.status == 403
        assert "Ask one of its Administrators, or an OWNER, to add you." in refused.words


def test_who_is_below_its_role_revokes_its_keys_and_no_more(accounts: Accounts, person: Person) -> None:
    bea = person("bea", "CLUSTER_ADMIN")
    accounts.stack.service_user(accounts["owner"], "king", "OWNER", keyTypes=["MONITORING"])
    wanted = {"administrators": ["bea"]}
    assert accounts.call("PUT", "/v1/service-users/king", "owner", wanted).status == 200
    page = bea.open("service-users/king")
    assert "an OWNER generates and rotates its keys" in page.words
    assert bea.open("service-users/king/rotate?key=MONITORING").status == 403
    shown = bea.open("service-users/king/edit")
    assert "ask an OWNER to change its role" in shown.words
    fields = {"was": shown.hidden("was"), "displayName": "The King"}
    assert bea.post("service-users/king/edit", fields).status == 303
    revoke = was(bea, "service-users/king/revoke?key=MONITORING")
    assert bea.post("service-users/king/revoke", revoke).status == 303


@pytest.mark.parametrize(
    "path",
    [
        "service-users",
        "service-users/bot",
        "create/service-user",
        "people",
        "events",
        "account",
        "create/user",
        "service-users/bot/edit",
        "service-users/bot/rotate?key=MONITORING",
    ],
)
def test_a_read_only_person_sees_none_of_it_and_is_told_who_does(
    accounts: Accounts, person: Person, path: str
) -> None:
    cat = person("cat", "READ_ONLY")
    page = cat.open(path)
    assert page.status == 403
    assert "your role is READ_ONLY" in page.words


def test_another_accounts_service_user_is_not_there(accounts: Accounts, person: Person) -> None:
    accounts.stack.service_user(accounts["neighbour"], "theirs", keyTypes=["MONITORING"])
    ann = person()
    for form in ("", "/edit", "/delete", "/rotate?key=MONITORING", "/revoke?key=MONITORING"):
        assert ann.open(f"service-users/theirs{form}").status == 404
    assert "theirs" not in ann.open("service-users").words
    typed = {"type": "MONITORING", "name": "theirs", "was": "", "overlapSeconds": "0", "expiry": "never"}
    for form in ("edit", "delete", "generate", "rotate", "restrict", "revoke"):
        assert ann.post(f"service-users/theirs/{form}", typed).status == 404, form
    assert accounts.stack.item("theirs")["keys"]


def test_another_accounts_people_events_passkeys_and_sessions_are_not_there(
    accounts: Accounts, person: Person
) -> None:
    ann, bea = person(), person("bea")
    neighbour = accounts["neighbour"].username
    for form in ("edit", "revoke", "invite-again"):
        assert ann.open(f"people/{neighbour}/{form}").status == 404
        assert ann.post(f"people/{neighbour}/{form}", {"name": neighbour, "role": "READ_ONLY"}).status == 404
    assert neighbour not in ann.open("people").words
    assert "<time" not in ann.open(f"events?username={neighbour}").text, "an event has its time"
    for kind in ("passkeys", "sessions"):
        [theirs] = accounts.stack.item("bea")[kind]
        assert ann.post(f"you/{kind.removesuffix('s')}?id={theirs}").status == 404
    assert bea.open("you").status == 200
    taken = ann.post("service-users/nobody/edit", {"administrators": neighbour})
    assert taken.status == 404
    new = {"username": "mine", "email": "mine@machines.example", "role": "READ_ONLY", "expiry": "never"}
    assert ann.post("create/service-user", new).status == 303
    given = {"displayName": "Mine", "role": "READ_ONLY", "administrators": neighbour}
    refused = ann.edit("service-users/mine/edit", given)
    assert refused.status == 400
    assert f"'{neighbour}' is not an activated" in refused.errors[0]


def test_issuing_keys_and_granting_rights_needs_a_confirmation_within_five_minutes(
    accounts: Accounts, person: Person
) -> None:
    ann = person()
    stack = accounts.stack
    key = stack.service_user(accounts["admin"], "bot", keyTypes=["MONITORING"])["MONITORING"]
    stack.service_user(accounts["admin"], "empty", keyTypes=[])
    person("bea", "READ_ONLY")
    home = "service-users/bot"
    rotate = was(ann, f"{home}/rotate?key=MONITORING")
    edit = {"was": ann.open(f"{home}/edit").hidden("was")}
    forms = {
        f"{home}/rotate": {**rotate, "overlapSeconds": "0"},
        f"{home}/delete": {"name": "bot"},
        f"{home}/edit": {**edit, "role": "CLUSTER_ADMIN", "administrators": "admin"},
        f"{home}/restrict": {**rotate, "expiry": "never", "allowedNetworks": "10.0.0.0/8"},
        "service-users/empty/generate": {
            **was(ann, "service-users/empty/generate?key=MONITORING"),
            "expiry": "never",
        },
        "create/service-user": {**NEW, "keyTypes": ["MONITORING"]},
        "create/user": {"username": "dan", "email": "dan@people.example", "role": "OWNER"},
        "people/bea/edit": {"role": "OWNER"},
        "people/bea/revoke": {"name": "bea"},
        "people/bea/invite-again": {"was": ann.open("people/bea/invite-again").hidden("was")},
        "account": {"name": "Renamed", "maxKeyAgeDays": "", "revokeInactiveAfterDays": ""},
        "you/generate": {**was(ann, "you/generate?key=MONITORING"), "expiry": "never"},
    }
    stack.clock.forward(300)
    before = stack.snapshot()
    for form, fields in forms.items():
        if form.endswith("restrict"):
            continue
        refused = ann.post(form, fields)  # type: ignore[arg-type]
        assert refused.status == 403, form
        assert "Confirm with your passkey" in refused.words, form
        assert not re.findall(CLEAR, refused.text)
    now = stack.snapshot()
    for one in (before, now):
        for item in one[0]:
            for session in item.get("sessions", {}).values():
                session.pop("seenAt")
    assert now == before
    assert ann.post(f"{home}/restrict", forms[f"{home}/restrict"]).status == 303, "tightening needs none"  # type: ignore[arg-type]
    loose = {**was(ann, f"{home}/restrict?key=MONITORING"), "expiry": "never", "allowedNetworks": ""}
    assert ann.post(f"{home}/restrict", loose).status == 403
    assert ann.confirm().status == 200
    assert ann.post(f"{home}/restrict", loose).status == 303
    assert ann.post("create/user", forms["create/user"]).status == 303  # type: ignore[arg-type]
    assert key


@pytest.mark.parametrize("expiry", ["", "keep", "0"])
def test_a_new_key_has_an_end_unless_somebody_chose_that_it_has_none(
    accounts: Accounts, person: Person, expiry: str
) -> None:
    ann = person()
    accounts.stack.service_user(accounts["admin"], "bot", keyTypes=["PROVISIONING_READONLY"])
    new = {"username": "new", "email": "new@machines.example", "role": "READ_ONLY", "keyTypes": "MONITORING"}
    for form, fields in (
        ("service-users/bot/generate?key=MONITORING", {}),
        ("you/generate?key=MONITORING", {}),
        ("create/service-user", new),
    ):
        given = {**fields, "allowedNetworks": "", "expiry": expiry}
        if not fields:
            given["was"] = ann.open(form).hidden("was")
        refused = ann.post(form, given)
        assert refused.status == 400, form
        assert "Choose when the key ends." in refused.errors
        assert ann.post(form, {**given, "expiry": "never"}).status == 200


@pytest.mark.parametrize("expiry", ["", "30", "never", "keep"])
def test_a_last_day_is_not_ignored(accounts: Accounts, person: Person, expiry: str) -> None:
    ann = person()
    key = accounts.service_user(keyTypes=["MONITORING"])["MONITORING"]
    form = f"service-users/{key.username}/restrict?key=MONITORING"
    fields = {**was(ann, form), "allowedNetworks": "", "expiry": expiry, "expiresAt": "2030-04-01"}
    refused = ann.post(form, fields)
    assert refused.status == 400
    assert "You gave a last day" in refused.words
    assert ann.post(form, {**fields, "expiry": "date"}).status == 303
