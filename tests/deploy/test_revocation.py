"""Revoking every key of an account: completely, one email to each User, and across interruptions."""

import threading
from typing import Any

import pytest

import app as application
from chalicelib.rules import accounts
from chalicelib.rules.context import Origin
from deploy import revocation
from deploy.__main__ import main
from deploy.bulk import Tables
from deploy.maintenance import delete_account
from deploy.revocation import HOLD, LISTED, Outcome, count_keys, revoke_account
from tests.support.api_client import ENGINE, Key, Stack
from tests.support.browser import Browser
from tests.support.dynamodb_faults import before_next_call
from tests.support.mail import MailFixture

DAYS = 400


def tables_of(stack: Stack, *, publishes: bool = False) -> Tables:
    return Tables(stack.tables.directory, stack.tables.events, DAYS, publishes)


def account_of(stack: Stack, owner: Key) -> str:
    return str(stack.call("GET", "/v1/whoami", owner).json["account"])


def revoke(stack: Stack, owner: Key, *, users: bool = False, **more: Any) -> Outcome:
    more.setdefault("account", account_of(stack, owner) if "account" not in more else "")
    return revoke_account(
        stack.client,
        more.pop("tables", tables_of(stack)),
        more.pop("account"),
        users=users,
        report=more.pop("report", lambda _line: None),
        now=stack.clock,
        threads=8 if ENGINE else 1,
    )


def mailed(stack: Stack) -> dict[str, list[str]]:
    """Run the mailer until nothing is pending; return the subjects of the emails by address."""
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.notify_records(
        {
            "eventID": event["id"],
            "eventName": "INSERT",
            "dynamodb": {
                "Keys": {"account": {"S": event["account"]}, "id": {"S": event["id"]}},
                "NewImage": {"waiting": {"S": event["waiting"]}},
                "SequenceNumber": str(int(event["id"], 16)),
            },
        }
        for event in stack.events()
        if "waiting" in event
    )
    found: dict[str, list[str]] = {}
    for address, message in mail.ses.sent:
        found.setdefault(address, []).append(str(message["Subject"]))
    return found


def states(stack: Stack) -> list[str]:
    return [it["pk"] for it in stack.items(stack.tables.directory) if it["pk"].startswith("REVOCATION#")]


@pytest.fixture
def owner(stack: Stack) -> Key:
    """An account with an Administrator, carol, and its OWNER; whose earlier emails are sent."""
    owner = stack.account()
    stack.user(owner, "carol", "CLUSTER_ADMIN")
    return owner


def populate(stack: Stack, owner: Key, count: int = 3) -> list[Key]:
    """Create Service Users that carol administers, and one that she does not; return their keys."""
    keys: list[Key] = []
    for number in range(count):
        keys += stack.service_user(owner, f"bot-{number}").values()
        body = {"administrators": ["carol"]}
        assert stack.call("PUT", f"/v1/service-users/bot-{number}", owner, body).status == 200
    keys += stack.service_user(owner, "lone", "OWNER").values()
    mailed(stack)
    stack.clock.forward(10)
    return keys


def test_every_key_of_the_service_users_is_revoked_and_no_other(stack: Stack, owner: Key) -> None:
    other = stack.account("other")
    others = stack.service_user(other, "others-bot")
    keys = populate(stack, owner)
    before = len(stack.events("API_KEY_REVOKED"))
    done = revoke(stack, owner)
    assert done == Outcome(4, len(keys), 2)
    assert not any(stack.signs_in(key) for key in keys)
    assert all(stack.signs_in(key) for key in (owner, other, *others.values()))
    events = stack.events("API_KEY_REVOKED")[before:]
    assert sorted(event["subject"]["username"] for event in events) == ["bot-0", "bot-1", "bot-2", "lone"]
    assert {(event["actor"]["kind"], event["cause"]) for event in events} == {("OPERATOR", "OPERATOR")}
    assert sum(len(event["keys"]) for event in events) == len(keys)
    assert states(stack) == []


def test_each_user_gets_one_email_about_all_that_they_administer(stack: Stack, owner: Key) -> None:
    populate(stack, owner)
    revoke(stack, owner)
    subject = "Account of owner: every API key of {} Service Users and Users was revoked"
    assert mailed(stack) == {
        "owner@people.example": [subject.format(4)],
        "carol@people.example": [subject.format(3)],
    }
    stack.clock.forward(HOLD + 1)
    assert mailed(stack) == {}, "nothing is held any more"
    assert not [event for event in stack.events() if "waiting" in event]


def test_the_email_lists_the_first_and_counts_the_rest(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "LISTED", 2)
    populate(stack, owner)
    revoke(stack, owner)
    [event] = [
        event for event in stack.events("ALL_API_KEYS_REVOKED") if event["subject"]["username"] == "owner"
    ]
    assert (event["holders"], event["holderCount"]) == (["bot-0", "bot-1"], 4)
    assert LISTED == 100


def test_users_keep_their_keys_unless_they_are_asked_for(stack: Stack, owner: Key) -> None:
    keys = populate(stack, owner)
    carol = stack.own_key(owner, "MONITORING")
    done = revoke(stack, owner, users=True)
    assert done.principals == 6
    assert not any(stack.signs_in(key) for key in (owner, carol, *keys))
    assert set(mailed(stack)) == {"owner@people.example", "carol@people.example"}


def test_an_unfinished_revocation_continues_and_mails_once(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each call that changes something, and run again until it is done."""
    account = account_of(stack, owner)
    keys = populate(stack, owner)
    allowed = 0

    def killed(params: dict[str, Any], **_more: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    operations = ("PutItem", "UpdateItem", "TransactWriteItems", "DeleteItem")
    runs = 0
    while True:
        runs += 1
        left = allowed = allowed + 1
        for name in operations:
            stack.client.meta.events.register(f"provide-client-params.dynamodb.{name}", killed)
        try:
            done = revoke(stack, owner, account=account)
            break
        except KeyboardInterrupt:
            assert states(stack) == [f"REVOCATION#{account}"]
        finally:
            for name in operations:
                stack.client.meta.events.unregister(f"provide-client-params.dynamodb.{name}", killed)
    assert runs > 3
    assert done == Outcome(4, len(keys), 2)
    assert not any(stack.signs_in(key) for key in keys)
    assert len(stack.events("ALL_API_KEYS_REVOKED")) == 2
    assert {address: len(subjects) for address, subjects in mailed(stack).items()} == {
        "owner@people.example": 1,
        "carol@people.example": 1,
    }
    assert states(stack) == []


@pytest.mark.parametrize("users", [False, True])
def test_a_run_after_one_that_died_while_it_notified_revokes_the_keys_made_since(
    stack: Stack, owner: Key, users: bool
) -> None:
    account = account_of(stack, owner)
    populate(stack, owner, 1)

    def killed(params: dict[str, Any], **_more: Any) -> None:
        if "dueAt" in params["UpdateExpression"]:
            raise KeyboardInterrupt

    stack.client.meta.events.register("provide-client-params.dynamodb.UpdateItem", killed)
    try:
        with pytest.raises(KeyboardInterrupt):
            revoke(stack, owner, account=account, users=users)
    finally:
        stack.client.meta.events.unregister("provide-client-params.dynamodb.UpdateItem", killed)
    if users:
        application.recover_owner({"username": "owner"}, None)
        owner = Key("owner", application.recover_owner({"username": "owner"}, None)["apiKey"])
    keys = [*stack.service_user(owner, "later").values(), *([owner] if users else [])]
    lines: list[str] = []
    done = revoke(stack, owner, account=account, users=users, report=lines.append)
    assert not any(stack.signs_in(key) for key in keys)
    assert done.keys == len(keys)
    assert "finished" in lines[1]
    assert states(stack) == []
    told = [event["subject"]["username"] for event in stack.events("ALL_API_KEYS_REVOKED")]
    assert sorted(told) == ["carol", "owner", "owner"]


def test_a_revocation_that_is_never_finished_is_mailed_by_the_mailer(stack: Stack, owner: Key) -> None:
    account = account_of(stack, owner)
    populate(stack, owner, 1)

    def killed(params: dict[str, Any], **_more: Any) -> None:
        raise KeyboardInterrupt

    stack.client.meta.events.register("provide-client-params.dynamodb.UpdateItem", killed)
    try:
        with pytest.raises(KeyboardInterrupt):
            revoke(stack, owner, account=account)
    finally:
        stack.client.meta.events.unregister("provide-client-params.dynamodb.UpdateItem", killed)
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    assert mailed(stack) == {}
    assert mail.resend() == {}
    stack.clock.forward(HOLD + 1)
    mail.resend()
    assert sorted(mail.ses.addresses) == ["carol@people.example", "owner@people.example"]
    assert not mail.waiting()


def test_the_kind_of_an_unfinished_revocation_cannot_be_changed(stack: Stack, owner: Key) -> None:
    account = account_of(stack, owner)
    item = {
        "pk": {"S": f"REVOCATION#{account}"},
        "id": {"S": "0123456789abcdef"},
        "startedAt": {"N": str(int(stack.clock()))},
        "users": {"BOOL": True},
    }
    stack.client.put_item(TableName=stack.tables.directory, Item=item)
    with pytest.raises(LookupError, match="begun with --users is not finished"):
        revoke(stack, owner)
    told: list[str] = []
    revoke(stack, owner, users=True, account=account, report=told.append)
    assert told == ["Continuing revocation 0123456789abcdef."]


def test_a_key_that_is_rotated_at_every_try_is_revoked_nevertheless(stack: Stack, owner: Key) -> None:
    [key] = stack.service_user(owner, "bot", keyTypes=["MONITORING"]).values()
    mine = [key]

    def rotates(params: dict[str, Any], **_more: Any) -> None:
        if inside.acquire(blocking=False):
            try:
                response = stack.call("POST", "/v1/api-keys/rotate", mine[-1])
                if response.status == 200:
                    mine.append(Key("bot", response.json["key"]))
            finally:
                inside.release()

    inside = threading.Lock()
    event = "provide-client-params.dynamodb.TransactWriteItems"
    account = account_of(stack, owner)
    stack.client.meta.events.register(event, rotates)
    try:
        revoke(stack, owner, account=account)
    finally:
        stack.client.meta.events.unregister(event, rotates)
    assert len(mine) > 3
    assert not any(stack.signs_in(one) for one in mine)


def test_a_key_generated_meanwhile_is_revoked_too(stack: Stack, owner: Key) -> None:
    keys = populate(stack, owner, 1)
    account = account_of(stack, owner)

    def generates() -> None:
        keys.extend(stack.service_user(owner, "late").values())

    with before_next_call(stack, "TransactWriteItems", generates):
        revoke(stack, owner, account=account)
    assert not any(stack.signs_in(key) for key in keys)


def test_an_invitation_that_a_thief_sent_is_withdrawn_with_the_users_keys(stack: Stack, owner: Key) -> None:
    body = {"username": "eve", "email": "eve@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, body).status == 201
    token = stack.token("eve")
    account = account_of(stack, owner)
    revoke(stack, owner, account=account)
    assert stack.call("GET", "/v1/users/eve", owner).json["invitation"] == "OPEN"
    done = revoke(stack, owner, users=True, account=account)
    assert done.keys == 2
    refused = stack.call("POST", "/v1/users/activate", None, {"username": "eve", "token": token})
    assert refused.status == 400
    origin = Origin("", "", stack.clock())
    back = Key("owner", accounts.recover(stack.service.directory, "owner", origin)[1].secret)
    assert stack.call("GET", "/v1/users/eve", back).json["invitation"] == "WITHDRAWN"
    [event] = stack.events("USER_UPDATED")
    assert (event["subject"]["username"], event["changes"]["invitation"]) == ("eve", ["OPEN", "WITHDRAWN"])
    assert count_keys(stack.client, tables_of(stack), account, users=True)[1] == 1, "nothing is left of eve's"
    stack.clock.forward(301)
    assert stack.call("POST", "/v1/users/eve/invitation", back).status == 200
    token = stack.token("eve")
    assert stack.call("POST", "/v1/users/activate", None, {"username": "eve", "token": token}).status == 200


def test_whoever_was_invited_again_is_still_told_of_a_later_revocation(stack: Stack, owner: Key) -> None:
    stack.user(owner, "eve", "CLUSTER_ADMIN")
    assert stack.call("POST", "/v1/users/eve/invitation", owner).status == 200
    mailed(stack)
    revoke(stack, owner, users=True)
    stack.clock.forward(10)
    back = Key("owner", application.recover_owner({"username": "owner"}, None)["apiKey"])
    mailed(stack)
    assert stack.call("DELETE", "/v1/users/eve", back).status == 204
    stack.clock.forward(10)
    assert "eve@people.example" in mailed(stack)


def test_whoever_was_invited_again_is_told_that_the_invitation_is_withdrawn(stack: Stack, owner: Key) -> None:
    body = {"username": "eve", "email": "eve@people.example", "role": "READ_ONLY"}
    assert stack.call("POST", "/v1/users", owner, body).status == 201
    assert Browser(stack).activate("eve").status == 200, "with a passkey, and without a key"
    stack.clock.forward(301)
    assert stack.call("POST", "/v1/users/eve/invitation", owner).status == 200
    invited = {"username": "new", "email": "new@people.example", "role": "READ_ONLY"}
    assert stack.call("POST", "/v1/users", owner, invited).status == 201
    mailed(stack)
    done = revoke(stack, owner, users=True)
    stack.clock.forward(10)
    to = mailed(stack)
    assert len(to["eve@people.example"]) == 1
    assert "new@people.example" not in to, "may be a stranger"
    assert done.notified == len(to)


def test_who_signs_in_again_and_again_prevents_no_end(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    invited = {"username": "ann", "email": "ann@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, invited).status == 201
    ann = Browser(stack)
    assert ann.activate("ann").status == 200
    holders, signed_in = revocation._holders, []

    def signing_in(*given: Any, **more: Any) -> Any:
        signed_in.append(ann.sign_in().status)
        return holders(*given, **more)

    monkeypatch.setattr(revocation, "_holders", signing_in)
    outcome = revoke(stack, owner, users=True)
    assert signed_in == [200, 200]
    assert (outcome.keys, stack.signs_in(owner)) == (2, False)
    assert {"ann@people.example", "owner@people.example"} <= set(mailed(stack))


def test_two_runs_at_once_are_one_revocation(stack: Stack, owner: Key) -> None:
    keys = populate(stack, owner, 1)
    account = account_of(stack, owner)
    other: list[Outcome] = []
    with (
        before_next_call(stack, "UpdateItem", lambda: other.append(revoke(stack, owner, account=account))),
        pytest.raises(LookupError, match="another run of this command has finished it"),
    ):
        revoke(stack, owner, account=account)
    assert [it.notified for it in other] == [2]
    assert not any(stack.signs_in(key) for key in keys)
    assert [len(subjects) for subjects in mailed(stack).values()] == [1, 1]
    assert states(stack) == []


def test_a_run_that_ends_late_leaves_the_state_of_the_next_revocation(stack: Stack, owner: Key) -> None:
    populate(stack, owner, 1)
    account = account_of(stack, owner)
    begun = {"id": {"S": "0123456789abcdef"}, "startedAt": {"N": "1"}, "users": {"BOOL": False}}
    item = {"pk": {"S": f"REVOCATION#{account}"}, **begun}

    def begin_another() -> None:
        stack.client.put_item(TableName=stack.tables.directory, Item=item)

    with before_next_call(stack, "DeleteItem", begin_another):
        revoke(stack, owner, account=account)
    assert states(stack) == [f"REVOCATION#{account}"]


def test_where_events_are_published_each_has_its_marker(stack: Stack, owner: Key) -> None:
    populate(stack, owner, 1)
    revoke(stack, owner, tables=tables_of(stack, publishes=True))
    items = stack.items(stack.tables.events)
    revoked = {it["id"] for it in items if it.get("action") in ("API_KEY_REVOKED", "ALL_API_KEYS_REVOKED")}
    markers = [it for it in items if it["account"].startswith("PUBLISH#")]
    assert {it["id"].rpartition("#")[2] for it in markers} == revoked


def test_an_account_without_keys_or_an_unknown_one(stack: Stack, owner: Key) -> None:
    assert revoke(stack, owner) == Outcome(0, 0, 0)
    assert stack.signs_in(owner)
    with pytest.raises(LookupError, match="There is no account nobody"):
        revoke(stack, owner, account="nobody")
    assert states(stack) == []


def test_a_deleted_account_leaves_no_state(stack: Stack, owner: Key) -> None:
    account = account_of(stack, owner)
    item = {"pk": {"S": f"REVOCATION#{account}"}, "id": {"S": "0"}}
    stack.client.put_item(TableName=stack.tables.directory, Item=item)
    delete_account(stack.client, *stack.tables, account)
    assert states(stack) == []


def test_the_command_revokes_only_what_is_confirmed(
    stack: Stack, owner: Key, aws: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = populate(stack, owner)
    account = account_of(stack, owner)
    outputs = {"DirectoryName": stack.tables.directory, "EventsName": stack.tables.events}
    aws.responses["cloudformation describe-stacks"] = {
        "says": {
            "Stacks": [
                {
                    "StackStatus": "CREATE_COMPLETE",
                    "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()],
                    "Parameters": [{"ParameterKey": "EventRetentionDays", "ParameterValue": "400"}],
                }
            ]
        }
    }
    aws.write()
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    monkeypatch.setattr(revocation, "THREADS", 1)
    asked = ["revoke-keys", "--stage", "acme", "--account", account]
    assert main(asked) == 1
    told = capsys.readouterr()
    assert f"Account Account of owner: {len(keys)} API keys of 4 principals. Nothing was revoked." in told.out
    assert f"add --confirm {account}" in told.err
    assert all(stack.signs_in(key) for key in keys)
    assert count_keys(stack.client, tables_of(stack), account, users=True)[1] == 6
    assert main([*asked, "--confirm", account]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"Revoked {len(keys)} API keys of 4 principals. 2 Users get one email each."
    )
    assert main([*asked[:-1], "nobody", "--confirm", "nobody"]) == 1
    assert "There is no account nobody" in capsys.readouterr().err
