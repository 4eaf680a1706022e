"""Maintenance of the tables: copying a restored table back, deleting an account."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest

from chalicelib.rules import key_format
from chalicelib.rules.accounts import recover
from chalicelib.rules.context import Origin
from chalicelib.store import addresses, pointers
from chalicelib.store.directory import credential_key
from chalicelib.store.items import to_attribute
from deploy import maintenance
from deploy.accounts import resume_account, suspend_account
from deploy.bulk import Tables
from deploy.credentials import delete_left_behind
from deploy.deletions import bring_back
from deploy.maintenance import (
    Restored,
    delete_account,
    find_key,
    restore_directory,
    restore_events,
    withdrawn_since,
)
from deploy.people import erase_person
from deploy.revocation import revoke_account
from local.tables import create_tables
from tests.deploy.test_accounts import Command, command
from tests.deploy.test_role_policies import allowed
from tests.support.api_client import Key, Stack
from tests.support.browser import Browser
from tests.support.dynamodb_faults import before_next_call
from tests.support.mail import MailFixture
from tests.support.reference_model import moment
from tests.support.version_1_0 import addresses_of, keep_address_as_1_0, put_old_address

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

__all__ = ["command"]


@pytest.fixture
def restored(dynamodb: "DynamoDBClient", stack: Stack) -> Any:
    """A function that copies both tables, as a restore does, and returns the copies' names."""
    made: list[str] = []

    def copy() -> tuple[str, str]:
        names = {"Directory": f"restored-directory-{uuid4().hex}", "Events": f"restored-events-{uuid4().hex}"}
        create_tables(dynamodb, names)
        made.extend(names.values())
        for source, target in zip(stack.tables, names.values(), strict=True):
            for item in dynamodb.scan(TableName=source)["Items"]:
                dynamodb.put_item(TableName=target, Item=item)
        return names["Directory"], names["Events"]

    yield copy
    for name in made:
        dynamodb.delete_table(TableName=name)


def lasting(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of the directory, but for those that count changes: they end by themselves."""
    return [item for item in items if not item["pk"].startswith("BUDGET#")]


def whoami(stack: Stack, key: Key) -> int:
    return stack.call("GET", "/v1/whoami", key).status


def test_the_directory_is_restored_exactly(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot")["MONITORING"]
    before, _ = stack.snapshot()
    directory, _ = restored()
    assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
    for n in range(30):  # more than one batch
        stack.service_user(owner, f"since-{n}")
    assert whoami(stack, key) == 401
    done = restore_directory(stack.client, directory, stack.tables.directory)
    # Of each the principal, its address and a pointer to each key; the account tells how many it has.
    assert done == (5, 120, 0, (), (), ())
    assert lasting(stack.snapshot()[0]) == lasting(before)
    assert restore_directory(stack.client, directory, stack.tables.directory) == (0, 0, 0, (), (), ())
    assert whoami(stack, key) == 200


def test_what_was_revoked_since_does_not_come_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    path, monitoring = "/v1/service-users/bot/api-keys", {"keyType": "MONITORING"}
    bot = stack.service_user(owner, "bot")
    gone = stack.service_user(owner, "gone")
    kept = stack.service_user(owner, "kept")["MONITORING"]
    lost = stack.service_user(owner, "lost")["MONITORING"]
    person = stack.user(owner, "person", "CLUSTER_ADMIN")
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    assert stack.call("DELETE", path, owner, monitoring).status == 204
    provisioning = {"keyType": "PROVISIONING_READONLY"}
    assert stack.call("POST", f"{path}/rotate", owner, provisioning).status == 200
    assert stack.call("DELETE", "/v1/service-users/gone", owner).status == 204
    assert stack.call("DELETE", "/v1/users/person", owner).status == 204
    # What no event speaks of is what the restore is for.
    stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": {"S": "USER#lost"}})
    done = restore_again(stack, directory, since)
    assert done.revoked >= 5
    for key in (*bot.values(), *gone.values(), person):
        assert whoami(stack, key) == 401, key.username
    for key in (owner, kept, lost):
        assert whoami(stack, key) == 200, key.username


def rotated(stack: Stack, key: Key) -> Key:
    """Let a Service User rotate its own key, with an overlap of an hour."""
    response = stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": 3600})
    return Key(key.username, response.json["key"])


def test_a_key_that_died_with_its_leaked_predecessor_does_not_come_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    new = rotated(stack, old)
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    found = [{"token": old.secret, "type": "service_users_api_key", "url": ""}]
    assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    assert restore_again(stack, directory, since).revoked == 1
    assert [whoami(stack, key) for key in (old, new)] == [401, 401]


def test_a_key_that_expired_since_and_was_replaced_does_not_come_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    directory, _ = restored()
    stack.clock.forward(100)
    since = int(stack.clock())
    path = "/v1/service-users/bot/api-keys"
    body = {"keyType": "MONITORING"}
    soon = {**body, "expiresAt": moment(since + 60)}
    assert stack.call("PATCH", path, owner, soon).status == 200
    stack.clock.forward(61)
    assert stack.call("POST", path, owner, body).status == 201
    restore_again(stack, directory, since)
    assert whoami(stack, old) == 401


def test_a_key_whose_response_was_lost_does_not_come_back(stack: Stack, restored: Any) -> None:
    """The rotation that replaced it names its predecessor. A key that a rotation has left comes back."""
    owner = stack.account()
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    first = stack.service_user(owner, "kept", keyTypes=["MONITORING"])["MONITORING"]
    lost = rotated(stack, old)
    since = int(stack.clock())
    kept = rotated(stack, first)
    directory, _ = restored()
    stack.clock.forward(10)
    newest = rotated(stack, old)
    assert stack.call("DELETE", "/v1/service-users/bot/api-keys/MONITORING", owner).status == 204
    restore_again(stack, directory, since + 10)
    assert [whoami(stack, key) for key in (old, lost, newest)] == [401, 401, 401]
    restore_again(stack, directory, since)
    assert whoami(stack, kept) == 200


def test_a_key_that_was_rotated_while_it_was_revoked_does_not_come_back(stack: Stack, restored: Any) -> None:
    """The revocation wins against a loop of rotations; its event names the key that it had read."""
    owner = stack.account()
    first = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    made: list[Key] = [first]
    copies: list[str] = []
    contexts = ExitStack()
    stack.clock.forward(1)

    def rotate() -> None:
        made.append(Key("bot", stack.call("POST", "/v1/api-keys/rotate", made[-1]).json["key"]))
        stack.clock.forward(2)
        if len(made) == 2:
            contexts.enter_context(before_next_call(stack, "TransactWriteItems", rotate))
        else:
            copies.append(restored()[0])

    with contexts, before_next_call(stack, "TransactWriteItems", rotate):
        path = "/v1/service-users/bot/api-keys/MONITORING"
        assert stack.call("DELETE", path, owner).status == 204
    assert len(made) == 3
    assert [whoami(stack, key) for key in made] == [401, 401, 401]
    restore_again(stack, copies[0], int(stack.clock()))
    assert [whoami(stack, key) for key in made] == [401, 401, 401]


def test_a_key_whose_predecessor_alone_was_revoked_comes_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    body = {"keyType": "MONITORING", "overlapSeconds": 3600}
    new = Key("bot", stack.call("POST", "/v1/service-users/bot/api-keys/rotate", owner, body).json["key"])
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    found = [{"token": old.secret, "type": "service_users_api_key", "url": ""}]
    assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    restore_again(stack, directory, since)
    assert [whoami(stack, key) for key in (old, new)] == [401, 200]


def test_an_event_of_a_later_version_is_passed_over_only_when_asked(
    stack: Stack, restored: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = stack.account()
    bot = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
    events = stack.client.scan(TableName=stack.tables.events)["Items"]
    (item,) = (it for it in events if it["action"]["S"] == "SERVICE_USER_DELETED")
    later = {**item, "id": {"S": f"{item['id']['S']}x"}, "action": {"S": "API_KEY_LENT"}}
    stack.client.put_item(TableName=stack.tables.events, Item=later)
    before = stack.snapshot()
    given = ("--directory", directory, "--since", moment(since))
    assert command("restore", *given) == 1
    said = capsys.readouterr().err
    assert "cannot read 1 events" in said
    assert later["id"]["S"] in said
    assert stack.snapshot() == before
    assert command("restore", *given, "--skip-unreadable") == 0
    assert stack.item("bot")
    assert whoami(stack, bot) == 401


def test_what_was_being_revoked_at_the_time_does_not_come_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    bot = stack.service_user(owner, "bot")
    kept = stack.service_user(owner, "kept")["MONITORING"]
    copies: list[str] = []
    with before_next_call(stack, "TransactWriteItems", lambda: copies.append(restored()[0])):
        assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
    since = int(stack.clock()) + 12  # the event has the time of the call, which was long under way
    stack.clock.forward(60)
    restore_again(stack, copies[0], since)
    assert [whoami(stack, key) for key in bot.values()] == [401] * len(bot)
    assert whoami(stack, kept) == 200


def restore_again(stack: Stack, directory: str, since: int) -> Restored:
    """Restore the directory, without what the events since then withdrew."""
    withdrawn = withdrawn_since(stack.client, stack.tables.events, directory, since)
    return restore_directory(stack.client, directory, stack.tables.directory, withdrawn)


def invite(stack: Stack, by: Key, name: str) -> str:
    """Invite an OWNER, and return the token of the invitation."""
    body = {"username": name, "email": f"{name}@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", by, body).status == 201
    return stack.token(name)


def test_who_was_revoked_or_invited_again_since_has_no_way_in(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    browsers = {name: Browser(stack) for name in ("left", "again", "kept")}
    for name, browser in browsers.items():
        invite(stack, owner, name)
        assert browser.activate(name).status == 200
    token = invite(stack, owner, "open")
    phone = Browser(stack)
    made = phone.passkey.create(browsers["kept"].call("add-begin").json["challenge"])
    assert browsers["kept"].call("add-finish", {"name": "Phone", "passkey": made}).status == 200
    assert phone.sign_in().status == 200
    [stolen] = [id_ for id_, it in stack.item("kept")["passkeys"].items() if it["name"] == "Phone"]
    directory, _ = restored()
    stack.clock.forward(301)
    since = int(stack.clock())
    assert browsers["kept"].sign_in().status == 200
    assert browsers["kept"].post(f"you/passkey?id={stolen}").status == 303
    assert stolen not in stack.item("kept")["passkeys"]
    for name in ("left", "open"):
        assert stack.call("DELETE", f"/v1/users/{name}", owner).status == 204
    assert stack.call("POST", "/v1/users/again/invitation", owner).status == 200
    restore_again(stack, directory, since)
    assert phone.open("you", follow=False).status == 303, "removing a passkey ended its sessions"
    assert {name: browser.sign_in().status for name, browser in browsers.items()} == {
        "left": 401,
        "again": 401,
        "kept": 200,
    }
    assert phone.sign_in().status == 401
    refused = stack.call("POST", "/v1/users/activate", None, {"username": "open", "token": token})
    assert refused.status == 400
    again = phone.passkey.create(browsers["kept"].call("add-begin").json["challenge"])
    added = browsers["kept"].call("add-finish", {"name": "Phone", "passkey": again})
    assert added.status == 200, "its credential was not restored either"


def test_a_token_withdrawn_since_does_not_come_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    eve, low = stack.user(owner, "eve", "OWNER"), stack.user(owner, "low", "OWNER")
    switch = {"machinesManageOwners": True}
    assert stack.call("PUT", "/v1/account", owner, switch).status == 200
    bot = stack.service_user(owner, "bot", "OWNER")["USER_MANAGEMENT"]
    tokens: dict[str, str] = {}
    for name, inviter in {"by-eve": eve, "by-low": low, "by-bot": bot, "by-owner": owner}.items():
        tokens[name] = invite(stack, inviter, name)
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    for path in ("users/eve", "service-users/bot"):
        assert stack.call("DELETE", f"/v1/{path}", owner).status == 204
    assert stack.call("PUT", "/v1/users/low", owner, {"role": "CLUSTER_ADMIN"}).status == 200
    restore_again(stack, directory, since)
    activated = {
        name: stack.call("POST", "/v1/users/activate", None, {"username": name, "token": token}).status
        for name, token in tokens.items()
    }
    assert activated == {"by-eve": 400, "by-low": 400, "by-bot": 400, "by-owner": 200}


@pytest.mark.parametrize("how", ["leaked", "offboarded"])
def test_what_a_predecessor_invited_that_was_revoked_since_does_not_come_back(
    stack: Stack, restored: Any, how: str
) -> None:
    owner = stack.account()
    eve = stack.user(owner, "eve", "OWNER")
    assert stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": True}).status == 200
    first = stack.service_user(eve, "bot", "OWNER")["USER_MANAGEMENT"]
    token = invite(stack, first, "gus")
    body = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 3600}
    rotated = stack.call("POST", "/v1/service-users/bot/api-keys/rotate", owner, body)
    second = Key("bot", rotated.json["key"])
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    if how == "leaked":
        found = [{"token": first.secret, "type": "service_users_api_key", "url": ""}]
        assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    else:
        assert stack.call("DELETE", "/v1/users/eve/shown-keys?revokeUser=true", owner).status == 200
    restore_again(stack, directory, since)
    assert [whoami(stack, key) for key in (first, second)] == [401, 200]
    activation = {"username": "gus", "token": token}
    assert stack.call("POST", "/v1/users/activate", None, activation).status == 400


def test_what_the_operator_revoked_since_does_not_come_back(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    ada, bea = Browser(stack), Browser(stack)
    for name, browser in {"ada": ada, "bea": bea}.items():
        invite(stack, owner, name)
        assert browser.activate(name).status == 200
    token = invite(stack, owner, "eve")
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    tables = Tables(stack.tables.directory, stack.tables.events, 400)
    revoke_account(stack.client, tables, account, users=True, now=stack.clock, threads=1)
    restore_again(stack, directory, since)
    refused = stack.call("POST", "/v1/users/activate", None, {"username": "eve", "token": token})
    assert refused.status == 400, "its invitation was withdrawn"
    assert whoami(stack, owner) == 401
    assert ada.open("you", follow=False).status == 303, "its session was ended"
    assert ada.sign_in().status == 200, "passkeys stay"


def test_who_was_suspended_since_is_suspended_again(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    eve, ann = stack.user(owner, "eve", "OWNER"), stack.user(owner, "ann", "READ_ONLY")
    bot = stack.service_user(owner, "bot")["MONITORING"]
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    for path in ("users/eve", "users/ann", "service-users/bot"):
        assert stack.call("POST", f"/v1/{path}/suspend", owner).status == 200
    stack.clock.forward(1)
    assert stack.call("POST", "/v1/users/ann/resume", owner).status == 200
    done = restore_again(stack, directory, since)
    assert (done.suspended, done.not_suspended) == (("bot", "eve"), ())
    assert [whoami(stack, key) for key in (owner, eve, ann, bot)] == [200, 403, 200, 403]
    assert stack.call("GET", "/v1/users/eve", owner).json["suspendedBy"] == "owner"
    refused = stack.call("DELETE", "/v1/users/owner", owner)
    assert refused.status == 409, "a suspended OWNER does not count as one"
    assert stack.call("POST", "/v1/users/eve/resume", owner).status == 200
    assert whoami(stack, eve) == 200


def test_a_suspended_account_is_suspended_again_and_resumed_by_the_operator(
    stack: Stack, restored: Any
) -> None:
    owner = stack.account()
    eve, bot = stack.user(owner, "eve", "OWNER"), stack.service_user(owner, "bot")["MONITORING"]
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    tables = Tables(*stack.tables, 400)
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    assert suspend_account(stack.client, tables, account, now=stack.clock) == 3
    done = restore_again(stack, directory, since)
    assert (done.suspended, done.not_suspended) == (("bot", "eve", "owner"), ())
    assert [whoami(stack, key) for key in (owner, eve, bot)] == [403, 403, 403]
    assert resume_account(stack.client, tables, account, now=stack.clock) == 3
    assert [whoami(stack, key) for key in (owner, eve, bot)] == [200, 200, 200]
    assert stack.call("GET", "/v1/account", owner).json["owners"] == ["eve", "owner"]


def test_whoever_was_erased_since_has_no_way_in(stack: Stack, restored: Any, mail: MailFixture) -> None:
    owner = stack.account()
    ann = stack.user(owner, "ann", "OWNER")
    low = stack.user(owner, "low", "OWNER")
    mine = stack.own_key(low, "MONITORING")
    invite(stack, ann, "eve")
    token = stack.token("eve")
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    directory, _ = restored()
    stack.clock.forward(301)
    since = int(stack.clock())
    stack.clock.forward(1)
    # Lowered to READ_ONLY, somebody has another membership from then on.
    assert stack.call("PUT", "/v1/users/low", owner, {"role": "READ_ONLY"}).status == 200
    stack.clock.forward(60)
    for name in ("ann", "low"):
        assert stack.call("DELETE", f"/v1/users/{name}", owner).status == 204
    mail.resend()
    for name in ("ann", "low"):
        erase_person(stack.client, Tables(*stack.tables, 400), account, name, report=lambda _: None)
    restore_again(stack, directory, since)
    assert [whoami(stack, key) for key in (owner, ann, low, mine)] == [200, 401, 401, 401]
    refused = stack.call("POST", "/v1/users/activate", None, {"username": "eve", "token": token})
    assert refused.status == 400, "an invitation of somebody who was revoked"


@pytest.mark.parametrize("called", ["erased-0123456789ab", "other"])
def test_a_machine_is_known_by_its_id_whatever_its_events_call_it(
    stack: Stack, restored: Any, called: str
) -> None:
    """An earlier version gave it the pseudonym of an erased person who had its username later."""
    owner = stack.account()
    bot, other = (stack.service_user(owner, name)["MONITORING"] for name in ("bot", "other"))
    directory, _ = restored()
    stack.clock.forward(301)
    since = int(stack.clock())
    assert stack.call("POST", "/v1/service-users/bot/suspend", owner).status == 200
    stack.clock.forward(1)
    assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
    for item in stack.client.scan(TableName=stack.tables.events)["Items"]:
        if item["subject"]["M"].get("username") == {"S": "bot"}:
            item["subject"] = {"M": {**item["subject"]["M"], "username": {"S": called}}}
            stack.client.put_item(TableName=stack.tables.events, Item=item)
    assert restore_again(stack, directory, since).suspended == ("bot",)
    assert [whoami(stack, key) for key in (bot, other)] == [401, 200]


def test_all_owners_are_not_suspended_again(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    eve = stack.user(owner, "eve", "OWNER")
    assert stack.call("POST", "/v1/users/owner/suspend", eve).status == 200
    done = restore_again(stack, directory, since)
    assert (done.suspended, done.not_suspended) == ((), ("owner",))
    assert whoami(stack, owner) == 200


def test_an_event_that_waits_to_be_published_stops_no_restore(stack: Stack, restored: Any) -> None:
    directory, _ = restored()
    marker = {"account": {"S": "PUBLISH#0"}, "id": {"S": "acme#1"}, "at": {"N": str(int(stack.clock()))}}
    stack.client.put_item(TableName=stack.tables.events, Item=marker)
    assert restore_again(stack, directory, 0) == (0, 0, 0, (), (), ())


def test_a_restore_reads_page_by_page(stack: Stack, restored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table can be larger than this machine's memory."""
    owner = stack.account()
    for n in range(30):
        stack.service_user(owner, f"bot-{n}")
    directory, events = restored()
    seen: list[int] = []

    def cut(params: dict[str, Any], **_more: Any) -> None:
        params["Limit"] = 7

    write = maintenance.write_items

    def counted(client: Any, table: str, requests: list[Any]) -> None:
        seen.append(len(requests))
        write(client, table, requests)

    monkeypatch.setattr(maintenance, "write_items", counted)
    before = stack.snapshot()
    for item in stack.client.scan(TableName=stack.tables.directory)["Items"]:
        stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": item["pk"]})
    stack.client.meta.events.register("provide-client-params.dynamodb.Scan", cut)
    try:
        done = restore_directory(stack.client, directory, stack.tables.directory)
        assert restore_events(stack.client, events, stack.tables.events).events == 0
    finally:
        stack.client.meta.events.unregister("provide-client-params.dynamodb.Scan", cut)
    assert done.written == sum(seen)
    assert max(seen) <= 7
    assert lasting(stack.snapshot()[0]) == lasting(before[0])
    assert stack.snapshot()[1] == before[1]


def test_missing_events_are_restored_without_notifications(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    _, copy = restored()
    _, before = stack.snapshot()
    [old] = [event for event in before if event["action"] == "SERVICE_USER_CREATED"]
    assert "waiting" in old
    key = {name: {"S": old[name]} for name in ("account", "id")}
    stack.client.delete_item(TableName=stack.tables.events, Key=key)
    assert restore_events(stack.client, copy, stack.tables.events) == (1, ())
    [back] = [event for event in stack.snapshot()[1] if event["id"] == old["id"]]
    assert back == {name: value for name, value in old.items() if name not in ("waiting", "dueAt")}
    assert restore_events(stack.client, copy, stack.tables.events) == (0, ())


def test_an_account_is_deleted_with_all_its_data_and_no_other(stack: Stack) -> None:
    other = stack.account("other")
    stack.service_user(other, "others-bot")
    before = stack.snapshot()
    owner = stack.account()
    keys = stack.service_user(owner, "bot")
    person = stack.user(owner, "person", "CLUSTER_ADMIN")
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    events = len(stack.call("GET", "/v1/events?limit=100", owner).json)
    now = int(time.time())
    assert delete_account(stack.client, *stack.tables, account) == (3, events)
    [record] = [it for it in stack.items(stack.tables.events) if it["account"] == "DELETED#"]
    assert record.pop("ttl") == record["deletedAt"] + 100 * 86_400
    assert 0 <= record.pop("deletedAt") - now < 60
    assert record == {"account": "DELETED#", "id": account}, "and nothing of whoever was in it"
    stack.client.delete_item(TableName=stack.tables.events, Key=record_key(account))
    assert stack.snapshot() == before
    for key in (owner, person, keys["MONITORING"]):
        assert whoami(stack, key) == 401
    assert whoami(stack, other) == 200
    assert stack.account().username == "owner"  # its names and addresses are free again


def record_key(account: str) -> Any:
    return {"account": {"S": "DELETED#"}, "id": {"S": account}}


class DeletedSince(NamedTuple):
    """An account that was deleted after both tables were copied, and what could lead back into it."""

    account: str
    directory: str
    events: str
    since: int
    keys: dict[str, Key]
    browser: Browser
    token: str

    def restore(self, stack: Stack) -> Restored:
        return restore_again(stack, self.directory, self.since)

    def ways_in(self, stack: Stack) -> list[int]:
        """Return how each key, the passkey, the session and the invitation fare."""
        activation = {"username": "open", "token": self.token}
        activated = stack.call("POST", "/v1/users/activate", None, activation).status
        pages = [self.browser.open("you", follow=False).status, self.browser.sign_in().status]
        return [*(whoami(stack, key) for key in self.keys.values()), *pages, activated]


@pytest.fixture
def deleted(stack: Stack, restored: Any) -> DeletedSince:
    """An account with a revoked key, a leaked one and others, deleted; its names are another account's."""
    tina = stack.account("tina")
    account = str(stack.call("GET", "/v1/whoami", tina).json["account"])
    assert stack.call("PUT", "/v1/account", tina, {"machinesManageOwners": True}).status == 200
    stolen = stack.service_user(tina, "t-bot", "OWNER")
    leaked = stack.service_user(tina, "t-leak", keyTypes=["MONITORING"])["MONITORING"]
    rotating = stack.service_user(tina, "t-turn", keyTypes=["MONITORING"])["MONITORING"]
    new = rotated(stack, rotating)
    browser = Browser(stack)
    invite(stack, tina, "pat")
    assert browser.activate("pat").status == 200
    token = invite(stack, tina, "open")
    directory, events = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    path = "/v1/service-users/t-bot/api-keys/USER_MANAGEMENT"
    assert stack.call("DELETE", path, tina).status == 204
    found = [{"token": leaked.secret, "type": "service_users_api_key", "url": ""}]
    assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    delete_account(stack.client, *stack.tables, account)
    keys = {"tina": tina, "leaked": leaked, "old": rotating, "new": new, **stolen}
    return DeletedSince(account, directory, events, since, keys, browser, token)


def of_account(stack: Stack, account: str) -> list[str]:
    """Return the keys of the items in both tables that say anything of an account or its people."""
    names = ("tina", "t-bot", "t-leak", "t-turn", "pat", "open", account)
    found = [(it.get("pk") or it["account"], it) for table in stack.tables for it in stack.items(table)]
    return [pk for pk, it in found if any(f"'{name}" in repr(it) or f"#{name}" in repr(it) for name in names)]


def test_a_deleted_account_does_not_come_back(stack: Stack, deleted: DeletedSince) -> None:
    other = stack.account("other")
    taken = stack.service_user(other, "t-bot")["MONITORING"]
    theirs = stack.call("GET", "/v1/whoami", other).json["account"]
    done = deleted.restore(stack)
    assert done.left_out == (deleted.account,)
    assert set(of_account(stack, deleted.account)) == {"DELETED#", theirs}
    assert set(deleted.ways_in(stack)) <= {303, 400, 401}
    assert whoami(stack, taken) == 401, "was made since"
    assert deleted.restore(stack).left_out == (deleted.account,), "also by another restore"


def test_neither_do_its_events(stack: Stack, deleted: DeletedSince) -> None:
    marker = {"account": {"S": "PUBLISH#0"}, "id": {"S": f"{deleted.account}#1"}, "at": {"N": "1"}}
    stack.client.put_item(TableName=deleted.events, Item=marker)
    aside = {"account": {"S": f"REFUSED#{deleted.account}"}, "id": {"S": "1"}, "at": {"N": "1"}}
    stack.client.put_item(TableName=deleted.events, Item=aside)
    assert restore_events(stack.client, deleted.events, stack.tables.events) == (0, (deleted.account,))
    assert of_account(stack, deleted.account) == ["DELETED#"]


def test_a_record_that_was_lost_with_the_events_is_restored_with_them(
    stack: Stack, restored: Any, deleted: DeletedSince
) -> None:
    _, later = restored()
    stack.client.delete_item(TableName=stack.tables.events, Key=record_key(deleted.account))
    assert restore_events(stack.client, later, stack.tables.events).events == 1
    assert deleted.restore(stack).left_out == (deleted.account,)


def test_an_account_is_brought_back_without_any_way_in(
    stack: Stack, restored: Any, deleted: DeletedSince, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LookupError, match="No account nobody was deleted"):
        bring_back(stack.client, stack.tables.events, "nobody")
    monkeypatch.setattr("time.time", stack.clock)
    bring_back(stack.client, stack.tables.events, deleted.account)
    done = deleted.restore(stack)
    assert (done.left_out, done.revoked) == ((), len(deleted.keys) - 1), "with an overlap, two are one"
    assert set(deleted.ways_in(stack)) <= {303, 400, 401}
    left = [it["pk"] for it in stack.items(stack.tables.directory)]
    assert not [pk for pk in left if pk.startswith(("KEY#", "CREDENTIAL#"))]

    _, issued = recover(stack.service.directory, "tina", Origin("", "", stack.clock()))
    tina = Key("tina", issued.secret)
    assert stack.call("GET", "/v1/service-users/t-bot", tina).json["apiKeys"]["apiKeys"] == []
    assert stack.call("POST", "/v1/users/open/invitation", tina).status == 200
    path = "/v1/service-users/t-turn/api-keys"
    made = stack.call("POST", path, tina, {"keyType": "MONITORING"})
    fresh = Key("t-turn", made.json["key"])
    assert restore_events(stack.client, deleted.events, stack.tables.events).left_out == ()
    assert len(stack.call("GET", "/v1/events?limit=100", tina).json) > 5

    stack.clock.forward(120)
    directory, _ = restored()
    restore_again(stack, directory, int(stack.clock()))
    assert [whoami(stack, key) for key in (tina, fresh)] == [200, 200], "were made after it came back"
    deleted.restore(stack)
    assert [whoami(stack, key) for key in (tina, fresh)] == [401, 401]
    assert set(deleted.ways_in(stack)) <= {303, 400, 401}, "not from the earlier copy either"
    delete_account(stack.client, *stack.tables, deleted.account)
    assert deleted.restore(stack).left_out == (deleted.account,), "it was deleted again"


def test_the_command_names_whom_it_left_out_and_brings_them_back(
    stack: Stack,
    deleted: DeletedSince,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = ("--directory", deleted.directory, "--events", deleted.events, "--since", moment(deleted.since))
    monkeypatch.setattr("time.time", stack.clock)
    assert command("restore") == 1
    assert "--directory or --events" in capsys.readouterr().err
    assert command("restore", *copies) == 0
    assert f"Left out, because they were deleted since: {deleted.account}." in capsys.readouterr().out
    assert command("restore", *copies, "--bring-back", "nobody") == 1
    assert "No account nobody" in capsys.readouterr().err
    assert command("restore", *copies, "--bring-back", deleted.account) == 0
    assert "Left out" not in capsys.readouterr().out
    assert stack.item("tina")["keys"] == {}


def test_a_credential_that_outlived_its_passkey_is_deleted_with_an_account(stack: Stack) -> None:
    """A passkey that a policy ended left it, in an earlier version, with its person's name."""
    owner, other = stack.account(), stack.account("other")
    invite(stack, other, "eve")
    assert Browser(stack).activate("eve").status == 200
    before = {it["pk"] for it in stack.items(stack.tables.directory) if it["pk"].startswith("CREDENTIAL#")}
    for number, name in enumerate(("gone", "owner", "eve")):
        put_credential(stack, f"CREDENTIAL#{number}", name)
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    delete_account(stack.client, *stack.tables, account)
    left = {it["pk"] for it in stack.items(stack.tables.directory) if it["pk"].startswith("CREDENTIAL#")}
    assert len(before) == 1
    assert left == before


def put_credential(stack: Stack, pk: str, username: str) -> None:
    item = {"pk": {"S": pk}, "username": {"S": username}}
    stack.client.put_item(TableName=stack.tables.directory, Item=item)


def test_a_credential_that_is_being_registered_is_not_deleted(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "eve")
    eve, phone = Browser(stack), Browser(stack)
    assert eve.activate("eve").status == 200
    pk = str(credential_key(phone.passkey.credential_id)["pk"]["S"])
    put_credential(stack, pk, "eve")

    def register() -> None:
        stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": {"S": pk}})
        made = phone.passkey.create(eve.call("add-begin").json["challenge"])
        assert eve.call("add-finish", {"name": "Phone", "passkey": made}).status == 200

    with before_next_call(stack, "TransactWriteItems", register):
        assert delete_left_behind(stack.client, stack.tables.directory) == 0
    assert phone.sign_in().status == 200


def test_a_credential_that_somebody_else_has_meanwhile_is_not_deleted(stack: Stack) -> None:
    put_credential(stack, "CREDENTIAL#0", "gone")

    def taken() -> None:
        put_credential(stack, "CREDENTIAL#0", "another")

    with before_next_call(stack, "TransactWriteItems", taken):
        assert delete_left_behind(stack.client, stack.tables.directory) == 0
    assert delete_left_behind(stack.client, stack.tables.directory) == 1


def test_an_account_of_version_1_0_is_deleted_with_its_addresses_and_no_others(stack: Stack) -> None:
    other = stack.account("other")
    stack.service_user(other, "others", email="bot@corp.example")
    before = addresses_of(stack)
    owner = stack.account()
    stack.service_user(owner, "bot", email="bot@corp.example")
    stack.service_user(owner, "second", email="second@corp.example")
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    keep_address_as_1_0(stack, "owner", "bot", "second")
    put_old_address(stack, "second@corp.example", "others")  # as a roll-back can leave it
    orphan = {"pk": {"S": addresses.name(account, "gone@corp.example")}, "username": {"S": "gone"}}
    stack.client.put_item(TableName=stack.tables.directory, Item=orphan)

    assert delete_account(stack.client, *stack.tables, account)[0] == 3

    left = addresses_of(stack)
    assert left.pop("EMAIL#second@corp.example") == "others"
    assert left == before


def test_names_that_another_account_took_meanwhile_are_kept(stack: Stack) -> None:
    owner, other = stack.account(), stack.account("other")
    stack.service_user(owner, "bot")
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    taken: list[Key] = []

    def moves() -> None:
        assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
        taken.append(stack.service_user(other, "bot")["MONITORING"])

    with before_next_call(stack, "TransactWriteItems", moves):
        assert delete_account(stack.client, *stack.tables, account)[0] == 1
    assert whoami(stack, taken[0]) == 200
    body = {"username": "bot-2", "email": "bot@machines.example", "role": "READ_ONLY"}
    assert stack.call("POST", "/v1/service-users", other, body).status == 409, (
        "the address is still the bot's"
    )
    assert whoami(stack, owner) == 401


def test_an_unknown_account_is_reported(stack: Stack) -> None:
    with pytest.raises(LookupError, match="There is no account nobody"):
        delete_account(stack.client, *stack.tables, "nobody")


def test_the_operator_finds_whose_a_key_is_in_any_account(stack: Stack) -> None:
    owner, other = stack.account(), stack.account("other")
    old = stack.service_user(other, "bot", keyTypes=["MONITORING"])["MONITORING"]
    made = stack.call("POST", "/v1/api-keys/rotate", old, {"overlapSeconds": 60})
    new = Key("bot", made.json["key"])
    directory = stack.tables.directory
    for key, key_type, predecessor in (
        (owner, "USER_MANAGEMENT", False),
        (old, "MONITORING", True),
        (new, "MONITORING", False),
    ):
        account = stack.call("GET", "/v1/whoami", key).json["account"]
        expected = [(account, key.username, key_type, key.secret[-5:], predecessor)]
        assert find_key(stack.client, directory, last5=key.secret[-5:]) == expected
        assert find_key(stack.client, directory, secret=key.secret) == expected
        pointer = {"pk": {"S": pointers.name(key_format.digest(key.secret))}}
        stack.client.delete_item(TableName=directory, Key=pointer)  # as before there were pointers
        assert find_key(stack.client, directory, secret=key.secret) == expected
    assert find_key(stack.client, directory, secret=key_format.new_key()) == []


def test_a_pointer_to_nobody_finds_nobody(stack: Stack) -> None:
    owner = stack.account()
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    directory = stack.tables.directory
    pk = {"pk": {"S": pointers.name(key_format.digest(key.secret))}}
    left = stack.client.get_item(TableName=directory, Key=pk)["Item"]
    assert stack.call("DELETE", "/v1/service-users/bot", owner).status == 204
    stack.client.put_item(TableName=directory, Item=left)
    assert find_key(stack.client, directory, secret=key.secret) == []


def forged_event(account: str, at: int, number: int, **fields: Any) -> dict[str, Any]:
    """Return an item as whoever took over a function could put it beside the accounts' events."""
    values = {
        "account": account,
        "id": f"{at * 1000:012x}{number:016x}",
        "at": at,
        "actor": {"kind": "USER", "username": "x"},
        "requestId": "x",
        **fields,
    }
    return {name: to_attribute(value) for name, value in values.items()}


@pytest.mark.parametrize("role", ["Authorizer", "Verify", "Feedback"])
@pytest.mark.parametrize("years", [0, 3])
def test_nothing_that_is_put_beside_the_accounts_events_changes_a_restore(
    stack: Stack, restored: Any, role: str, years: int
) -> None:
    """Neither takes it somebody's revocations for another's, nor resumes or revokes it anybody."""
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    bot = stack.service_user(owner, "bot", "CLUSTER_ADMIN")["USER_MANAGEMENT"]
    held = stack.service_user(owner, "held", "CLUSTER_ADMIN")["USER_MANAGEMENT"]
    mallory, eve = (stack.user(owner, name, "OWNER") for name in ("mallory", "eve"))
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    directory, _ = restored()
    stack.clock.forward(301)
    since = int(stack.clock())
    stack.clock.forward(1)
    for path in ("service-users/bot", "users/mallory"):
        assert stack.call("DELETE", f"/v1/{path}", owner).status == 204
    for path in ("service-users/held", "users/eve"):
        assert stack.call("POST", f"/v1/{path}/suspend", owner).status == 200
    withdrawn = withdrawn_since(stack.client, stack.tables.events, directory, since)
    membership, at = stack.item("bea")["membership"], int(stack.clock()) + years * 366 * 86_400
    aside, marks = f"REFUSED#{account}", "PUBLISH#0"
    forgeries = [
        (aside, "API_KEY_REFUSED", {"kind": "USER", "username": "bot", "id": membership}),
        (aside, "EMAIL_BOUNCED", {"kind": "USER", "username": "mallory", "id": membership}),
        (aside, "API_KEY_REFUSED", {"kind": "USER", "username": "erased-00112233aabb", "id": membership}),
        (aside, "SERVICE_USER_RESUMED", {"kind": "SERVICE_USER", "username": "held"}),
        (aside, "USER_REVOKED", {"kind": "USER", "username": "bea"}),
        (marks, "USER_RESUMED", {"kind": "USER", "username": "eve"}),
    ]
    put = 0
    for number, (partition, action, subject) in enumerate(forgeries):
        item = forged_event(partition, at, number, action=action, subject=subject)
        if allowed(role, "PutItem", {"TableName": "Events", "Item": item}):
            put += 1
        stack.client.put_item(TableName=stack.tables.events, Item=item)
    assert put == len(forgeries) - 1, "all but the one among the markers"
    assert withdrawn_since(stack.client, stack.tables.events, directory, since) == withdrawn
    restore_again(stack, directory, since)
    found = {key.username: whoami(stack, key) for key in (owner, bea, bot, mallory, held, eve)}
    assert found == {"owner": 200, "bea": 200, "bot": 401, "mallory": 401, "held": 403, "eve": 403}


def test_an_event_with_another_time_than_its_id_is_not_believed(stack: Stack, restored: Any) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    directory, _ = restored()
    subject = {"kind": "USER", "username": "bea", "id": stack.item("bea")["membership"]}
    forged = forged_event(account, int(stack.clock()), 1, action="USER_REVOKED", subject=subject)
    forged["at"] = {"N": str(int(stack.clock()) + 900 * 86_400)}
    stack.client.put_item(TableName=stack.tables.events, Item=forged)
    withdrawn = withdrawn_since(stack.client, stack.tables.events, directory, int(stack.clock()) + 10_000)
    assert (withdrawn.users, withdrawn.unreadable) == (frozenset(), (forged["id"]["S"],))


@pytest.mark.parametrize("name", ["bot", "erased-00112233AABB", "erased-001122", "erased-00112233aabb"])
def test_only_a_pseudonym_is_taken_for_one(stack: Stack, restored: Any, name: str) -> None:
    """Nor is one of its form that somebody in the table has."""
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")
    if name != "erased-00112233AABB":
        stack.service_user(owner, name)
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    directory, _ = restored()
    stack.clock.forward(301)
    since = int(stack.clock())
    subject = {"kind": "USER", "username": name, "id": stack.item("bea")["membership"]}
    forged = forged_event(account, since, 1, action="USER_UPDATED", subject=subject)
    about = {"kind": "USER", "username": name}
    revoked = forged_event(account, since, 2, action="USER_REVOKED", subject=about)
    for item in (forged, revoked):
        stack.client.put_item(TableName=stack.tables.events, Item=item)
    withdrawn = withdrawn_since(stack.client, stack.tables.events, directory, since)
    assert withdrawn.users == {name.lower()}
