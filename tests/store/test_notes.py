"""Notes of a secret: attributes of their own, and what version 1.0 kept inside the key in their place."""

from typing import Any

import pytest

from chalicelib.rules.model import ApiKey, Notice, Passkey, Predecessor, User
from chalicelib.rules.policies import as_key
from chalicelib.rules.roles import KeyType, Role
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.feedback import DynamoFeedback
from chalicelib.store.items import to_attribute
from chalicelib.store.outbox import DynamoOutbox
from chalicelib.store.principals import NOTICE, REFUSED, USED, item_from_principal, note, principal_from_item
from tests.support.accounts import PATH, Accounts
from tests.support.api_client import Key, Stack, stored_keys
from tests.support.dynamodb_faults import before_next_call
from tests.support.feedback import Feedback
from tests.support.mail import MailFixture
from tests.support.policies import DAY, START, policy_account

HOUR = 3600
REVOKED = "API_KEY_REVOKED"


@pytest.fixture
def accounts(stack: Stack) -> Accounts:
    return Accounts(stack)


def rewrite(stack: Stack, item: dict[str, Any]) -> None:
    stored = {name: to_attribute(value) for name, value in item.items()}
    stack.client.put_item(TableName=stack.tables.directory, Item=stored)


def as_version_1_0(stack: Stack, username: str) -> None:
    """Put what is noted of a principal's secrets where version 1.0 kept it."""
    item = stack.item(username)
    kept = {
        name: value for name, value in item.items() if not name.startswith(("used_", "refused_", "notice_"))
    }
    rewrite(stack, {**kept, "keys": stored_keys(item)})


def notes(stack: Stack, username: str) -> set[str]:
    beginnings = {"used", "refused", "notice", "ended"}
    return {name for name in stack.item(username) if name.partition("_")[0] in beginnings}


def only(stack: Stack, owner: Key, username: str = "bot") -> dict[str, Any]:
    [key] = stack.call("GET", f"{PATH}/{username}", owner).json["apiKeys"]["apiKeys"]
    found: dict[str, Any] = key
    return found


def test_an_item_of_version_1_0_is_read_and_its_notes_go_on(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    assert stack.sign_in(key) == 200
    body = {"keyType": "MONITORING", "overlapSeconds": 6 * HOUR}
    new = Key("bot", stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, body).json["key"])
    assert stack.sign_in(new) == 200
    shown = only(stack, owner)
    as_version_1_0(stack, "bot")
    assert not notes(stack, "bot")
    assert only(stack, owner) == shown
    assert shown["lastUsedAt"] == shown["predecessor"]["lastUsedAt"] == "2030-03-17T17:46:40Z"
    with stack.counted() as calls:
        assert stack.sign_in(new) == stack.sign_in(key) == 200
    assert calls == {"GetItem": 2}, "they were used within the hour"
    stack.clock.forward(HOUR)
    assert stack.sign_in(new) == 200
    later = only(stack, owner)
    assert (later["lastUsedAt"], later["predecessor"]["lastUsedAt"]) == (
        "2030-03-17T18:46:40Z",
        "2030-03-17T17:46:40Z",
    )
    # A change of something else leaves both where they are; a rotation keeps what it must.
    assert stack.call("PUT", f"{PATH}/bot", owner, {"displayName": "Bot"}).status == 200
    assert only(stack, owner)["lastUsedAt"] == later["lastUsedAt"]
    rotated = stack.call("POST", "/v1/api-keys/rotate", new, {"overlapSeconds": HOUR}).json
    assert (rotated["lastUsedAt"], rotated["predecessor"]["lastUsedAt"]) == (None, later["lastUsedAt"])
    assert "lastUsedAt" not in str(stack.item("bot"))


def test_a_key_that_version_1_0_noted_as_used_is_not_taken_for_lost(accounts: Accounts) -> None:
    """Both places tell that it was used: the one who asks with the predecessor ends that, and not the key."""
    stack, owner = accounts.stack, accounts["owner"]
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    body = {"overlapSeconds": 6 * HOUR}
    new = Key("bot", stack.call("POST", "/v1/api-keys/rotate", old, body).json["key"])
    assert stack.sign_in(new) == 200
    as_version_1_0(stack, "bot")
    assert stack.call("POST", "/v1/api-keys/rotate", old, body).status == 200
    assert (stack.sign_in(new), stack.sign_in(old)) == (200, 401)


def test_a_refusal_that_version_1_0_noted_is_not_on_record_twice(accounts: Accounts) -> None:
    stack = accounts.stack
    keys = stack.service_user(accounts["owner"], "bot", allowedNetworks=["203.0.113.0/24"])
    assert stack.sign_in(keys["MONITORING"]) == 403
    as_version_1_0(stack, "bot")
    assert stack.sign_in(keys["MONITORING"]) == 403
    assert len(stack.events("API_KEY_REFUSED")) == 1
    stack.clock.forward(HOUR)
    assert stack.sign_in(keys["MONITORING"]) == 403
    assert len(stack.events("API_KEY_REFUSED")) == 2


def test_what_is_noted_of_a_secret_goes_with_it(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    keys = stack.service_user(owner, "bot")
    for key in keys.values():
        assert stack.sign_in(key) == 200
    assert len(notes(stack, "bot")) == 2
    path = f"{PATH}/bot/api-keys"
    assert stack.call("POST", f"{path}/rotate", owner, {"keyType": "MONITORING"}).status == 200
    assert len(notes(stack, "bot")) == 1
    assert stack.call("DELETE", f"{path}?keyType=PROVISIONING_READONLY", owner).status == 204
    assert not notes(stack, "bot")


def test_a_note_that_came_too_late_goes_with_the_next_change(accounts: Accounts) -> None:
    stack, owner = accounts.stack, accounts["owner"]
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    directory = stack.service.directory
    bot = directory.principal("bot")
    assert bot is not None
    [key] = bot.keys.values()
    body = {"keyType": "MONITORING"}
    assert stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, body).status == 200
    directory.record_use(bot, key.digest, int(stack.clock()))
    assert len(notes(stack, "bot")) == 1
    assert only(stack, owner)["lastUsedAt"] is None
    assert stack.call("PUT", f"{PATH}/bot", owner, {"displayName": "Bot"}).status == 200
    assert not notes(stack, "bot")
    assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
    directory.record_use(bot, key.digest, int(stack.clock()))
    assert directory.principal("bot") is None, "a note makes nobody"


@pytest.mark.parametrize("old", [False, True], ids=["noted", "noted by 1.0"])
def test_the_sweep_reads_a_last_use_inside_and_beside_the_key(stack: Stack, old: bool) -> None:
    account = policy_account(stack)
    key = stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_policy(revokeInactiveAfterDays=30)
    account.set_day(15)
    assert account.signs_in(key)
    if old:
        as_version_1_0(stack, "bot")
    for day in range(20, 36):
        account.go_to(day)
        if old and day == 36 - 10:
            as_version_1_0(stack, "bot")  # with a notice in it
    assert account.key("bot")["notice"]["endsAt"] == START + 45 * DAY
    for day in range(36, 46):
        account.go_to(day)
    revoked = account.events(REVOKED)
    assert [
        (it["subject"]["username"], it["at"]) for it in revoked if it["subject"]["username"] == "bot"
    ] == [("bot", START + 45 * DAY)]


def test_a_use_takes_back_a_notice_that_version_1_0_kept(stack: Stack) -> None:
    account = policy_account(stack)
    key = stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_policy(revokeInactiveAfterDays=30)
    account.go_to(20)
    as_version_1_0(stack, "bot")
    assert "notice" in account.key("bot")
    assert account.signs_in(key)
    account.go_to(21)
    [bot] = [it for it in _principals(stack) if it.username == "bot"]
    [stored] = bot.keys.values()
    assert stored.notice is None
    assert account.signs_in(key)


def _principals(stack: Stack) -> list[Any]:
    directory = stack.service.directory
    assert isinstance(directory, DynamoDirectory)
    found = (directory.principal(name) for name in ("owner", "bot"))
    return [principal for principal in found if principal is not None]


def test_a_key_that_the_sweep_ended_is_gone_for_everybody(stack: Stack) -> None:
    """It may not touch the key itself; whoever reads it finds it ended, and the next change removes it."""
    account = policy_account(stack)
    owner = account.owner
    old = stack.service_user(owner, "bot", keyTypes=["MONITORING", "PROVISIONING_READONLY"])["MONITORING"]
    body = {"overlapSeconds": 7 * DAY}
    path = f"{PATH}/bot"
    account.set_policy(maxKeyAgeDays=30)
    for day in (20, 29):
        account.go_to(day)
    new = Key("bot", stack.call("POST", "/v1/api-keys/rotate", old, body).json["key"])
    account.set_policy(maxKeyAgeDays=None)
    expiry = "2030-01-31T00:00:00Z"
    restriction = {"keyType": "MONITORING", "expiresAt": expiry}
    assert stack.call("PATCH", f"{path}/api-keys", owner, restriction).status == 200
    account.set_policy(maxKeyAgeDays=30)
    account.go_to(30)
    assert [stack.sign_in(key) for key in (old, new)] == [401, 401]
    assert account.key_types("bot") == set()
    assert stack.call("GET", path, owner).json["apiKeys"]["apiKeys"] == []
    listed = stack.call("GET", PATH, owner).json
    assert [it["apiKeys"]["apiKeys"] for it in listed] == [[]]
    for method, call, of in (("DELETE", "", 404), ("PATCH", "", 404), ("POST", "/rotate", 404)):
        more = {"allowedNetworks": []} if method == "PATCH" else {}  # type: ignore[var-annotated]
        refused = stack.call(method, f"{path}/api-keys{call}", owner, {"keyType": "MONITORING", **more})
        assert refused.status == of, (method, refused.text)
    made = stack.call("POST", f"{path}/api-keys", owner, {"keyType": "MONITORING"})
    assert made.status == 201
    assert stack.sign_in(Key("bot", made.json["key"])) == 200
    assert [stack.sign_in(key) for key in (old, new)] == [401, 401]
    assert set(stack.item("bot")["keys"]) == {"MONITORING"}
    assert {name.partition("_")[0] for name in notes(stack, "bot")} == {"used"}


def test_a_person_whose_key_the_sweep_ends_under_way_changes_nothing(stack: Stack) -> None:
    """The change is refused like one of a caller whose key was revoked."""
    account = policy_account(stack)
    owner = account.owner
    admin = stack.user(owner, "admin", "CLUSTER_ADMIN")
    stack.service_user(owner, "bot")
    [key] = stack.item("admin")["keys"].values()
    ended = f"ended_{bytes(key['digest'])[:8].hex()}"

    def end() -> None:
        rewrite(stack, {**stack.item("admin"), ended: True})

    assert stack.sign_in(admin) == 200
    before = stack.item("bot")
    with before_next_call(stack, "TransactWriteItems", end):
        body = {"username": "bot-2", "email": "bot-2@machines.example", "role": "READ_ONLY"}
        assert stack.call("POST", PATH, admin, body).status == 401
    assert stack.item("bot") == before


def test_an_item_with_many_notes_of_secrets_that_are_gone_can_be_changed(stack: Stack) -> None:
    """Whoever took over a function that writes notes could leave any number of them."""
    owner = stack.account()
    rewrite(stack, {**stack.item("owner"), **{f"used_{number:016x}": 1 for number in range(200)}})
    left = []
    for name in ("A", "B", "C", "D"):
        assert stack.call("PUT", "/v1/users/owner", owner, {"displayName": name}).status == 200
        left.append(sum(it.startswith("used_") for it in stack.item("owner")))
    assert left[0] <= 141
    assert left[-1] <= 1


def test_whatever_is_noted_of_a_secret_is_stored_beside_it() -> None:
    notice = Notice(ends_at=5, first_at=3)
    passkey = Passkey(
        credential_id=b"one", public_key=b"", algorithm=-7, name="Laptop", created_at=1, notice=notice
    )
    old = Predecessor(digest=b"old", last5="aaaaa", until=9, last_used_at=2)
    key = ApiKey(
        digest=b"new",
        last5="bbbbb",
        created_at=1,
        created_by="ann",
        last_used_at=4,
        refused_at=3,
        notice=notice,
        predecessor=old,
    )
    person = User(
        username="ann",
        account="acme",
        email="ann@people.example",
        display_name="Ann",
        role=Role.OWNER,
        version="1",
        created_at=1,
        membership="m",
        keys={KeyType.USER_MANAGEMENT: key},
        passkeys={"one": passkey},
    )
    item = item_from_principal(person)
    stored = item["keys"]["M"]["USER_MANAGEMENT"]["M"]
    for place in (item["passkeys"]["M"]["one"]["M"], stored, stored["predecessor"]["M"]):
        assert not {"notice", "lastUsedAt", "refusedAt"} & place.keys()
    assert {name for name in item if "_" in name} == {
        note(NOTICE, as_key(passkey).digest),
        *(note(kind, key.digest) for kind in (USED, REFUSED, NOTICE)),
        note(USED, old.digest),
    }
    assert principal_from_item(item) == person


FORMLESS: list[dict[str, Any]] = [
    {"S": "x"},
    {"N": "1.5"},
    {"N": "-1"},
    {"N": "1" + "0" * 30},
    {"L": [{"S": "x"}]},
    {"M": {"at": {"S": "x"}}},
    {"SS": ["x"]},
]


def put_note(stack: Stack, username: str, name: str, value: dict[str, Any]) -> None:
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": f"USER#{username}"}},
        UpdateExpression="SET #note = :value",
        ExpressionAttributeNames={"#note": name},
        ExpressionAttributeValues={":value": value},
    )


def formless_notes(stack: Stack, owner: Key) -> list[str]:
    [digest] = [it["digest"] for it in stack.item(owner.username)["keys"].values() if it]
    kinds = ("used_", "refused_", "notice_", "ended_", "pointer_")
    return [*(note(kind, digest) for kind in kinds), "ended_management", "mailed_x", "emailFailure"]


@pytest.mark.parametrize("value", FORMLESS)
def test_a_note_that_is_not_of_its_form_counts_as_absent_and_goes(
    stack: Stack, value: dict[str, Any]
) -> None:
    owner = stack.account()
    stack.user(owner, "ann", "OWNER")
    for name in formless_notes(stack, owner):
        put_note(stack, "owner", name, value)
    put_note(stack, "owner", "emailFailure", {"M": {"outcome": {"S": "BOUNCED"}, "at": value}})
    assert stack.call("GET", "/v1/whoami", owner).status == 200
    ann = stack.call("GET", "/v1/users/owner", owner)
    assert (ann.status, ann.json.get("emailFailure")) == (200, None)
    assert stack.call("PUT", "/v1/users/owner", owner, {"displayName": "Olga"}).status == 200
    left = set(stack.item("owner")) & set(formless_notes(stack, owner))
    assert left <= {note(USED, stack.item("owner")["keys"]["USER_MANAGEMENT"]["digest"])}


def test_a_use_overwrites_a_note_that_is_no_time(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    [key] = stack.item("bot")["keys"].values()
    put_note(stack, "bot", note(USED, key["digest"]), {"S": "x"})
    assert only(stack, owner)["lastUsedAt"] is None
    directory = stack.service.directory
    bot = directory.principal("bot")
    assert bot is not None
    directory.record_use(bot, key["digest"], int(stack.clock()))
    assert only(stack, owner)["lastUsedAt"] == "2030-03-17T17:46:40Z"


@pytest.mark.parametrize("value", [it for it in FORMLESS if it != {"N": "1.5"}])
def test_a_key_with_a_formless_note_of_its_use_is_ended_all_the_same(
    stack: Stack, value: dict[str, Any]
) -> None:
    """A policy ends it, and whoever lost the response to its rotation gets another."""
    account = policy_account(stack)
    key = stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    body = {"overlapSeconds": 6 * HOUR}
    assert stack.call("POST", "/v1/api-keys/rotate", key, body).status == 200
    used = note(USED, stack.item("bot")["keys"]["MONITORING"]["digest"])
    put_note(stack, "bot", used, value)
    assert stack.call("POST", "/v1/api-keys/rotate", key, body).status == 200
    account.set_policy(maxKeyAgeDays=30)
    put_note(stack, "bot", note(USED, stack.item("bot")["keys"]["MONITORING"]["digest"]), value)
    for day in (20, 29, 31):
        account.go_to(day)
    assert not account.key_types("bot")


def test_a_note_alone_is_nobody(stack: Stack) -> None:
    owner = stack.account()
    put_note(stack, "ghost", "used_00", {"S": "x"})
    assert stack.sign_in(Key("ghost", owner.secret)) == 401
    body = {
        "username": "bot",
        "email": "bot@machines.example",
        "role": "MONITORING",
        "administrators": ["ghost"],
    }
    assert stack.call("POST", PATH, owner, body).status == 400
    assert stack.service.directory.users(frozenset({"ghost"})) == {}
    account = str(stack.call("GET", "/v1/whoami", owner).json["account"])
    assert stack.service.directory.account_and_users(account, frozenset({"ghost"}))[1] == {}


@pytest.mark.parametrize("value", FORMLESS)
def test_a_formless_note_about_an_address_keeps_no_email_back(stack: Stack, value: dict[str, Any]) -> None:
    """Of a batch of people, one with such a note; and a failure of the address takes its place."""
    stack.account()
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    feedback = Feedback(mail)
    put_note(stack, "owner", "emailFailure", value)
    mail.resend()
    assert mail.ses.addresses == ["owner@people.example"]
    assert feedback.fails("owner@people.example") == []
    assert stack.item("owner")["emailFailure"]["outcome"] == "PERMANENT_BOUNCE"


def test_nobody_is_mailed_at_a_note_alone(stack: Stack) -> None:
    put_note(stack, "ghost", "emailFailure", {"S": "x"})
    outbox = DynamoOutbox(stack.client, *stack.tables)
    assert not outbox.read(frozenset({"ghost"}), frozenset()).people
    feedback = DynamoFeedback(stack.client, *stack.tables, 400, publishes=False)
    assert feedback.recipient("ghost") is None
