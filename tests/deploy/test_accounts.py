"""The operator's list of accounts, and the suspension of a whole one, by the commands themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.rules import key_format
from chalicelib.rules.accounts import recover
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import Conflict
from deploy.__main__ import main
from deploy.accounts import _Job, resume_account, suspend_account
from deploy.bulk import Tables
from tests.deploy.test_role_policies import allowed
from tests.support.api_client import Key, Stack
from tests.support.dynamodb_faults import before_next_call
from tests.support.mail import MailFixture

Command = Callable[..., int]


@pytest.fixture
def command(stack: Stack, aws: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A function that runs a command on the stack's tables."""
    outputs = {"DirectoryName": stack.tables.directory, "EventsName": stack.tables.events}
    described = {
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()],
        "Parameters": [{"ParameterKey": "EventRetentionDays", "ParameterValue": "400"}],
    }
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [described]}}
    aws.write()
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    return lambda name, *more: main([name, "--stage", "acme", *more])


def account_of(stack: Stack, owner: Key) -> str:
    return str(stack.call("GET", "/v1/whoami", owner).json["account"])


def tables_of(stack: Stack) -> Tables:
    return Tables(*stack.tables, 400)


def test_the_accounts_are_listed_with_their_members(
    stack: Stack, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = stack.account()
    stack.user(owner, "ann", "READ_ONLY")
    stack.service_user(owner, "bot")
    stack.clock.forward(60)
    other = stack.account("other")
    assert stack.call("POST", "/v1/service-users/bot/suspend", owner).status == 200
    assert command("accounts") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(account_of(stack, owner))
    assert first.endswith("Account of owner: 1 OWNERs, 2 Users, 1 Service Users  1 suspended")
    assert second.startswith(account_of(stack, other))
    assert second.endswith("Account of other: 1 OWNERs, 1 Users, 0 Service Users")


def test_a_suspended_account_is_refused_everywhere_and_comes_back_as_it_was(
    stack: Stack, mail: MailFixture, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    owner, other = stack.account(), stack.account("other")
    ann = stack.user(owner, "ann", "CLUSTER_ADMIN")
    bot = stack.service_user(owner, "bot")["MONITORING"]
    held = stack.service_user(owner, "held")["MONITORING"]
    assert stack.call("POST", "/v1/service-users/held/suspend", owner).status == 200
    account = account_of(stack, owner)
    mail.resend()
    mail.ses.sent.clear()
    assert command("suspend-account", "--account", account) == 1
    assert f"add --confirm {account}" in capsys.readouterr().err
    assert stack.signs_in(owner), "nothing was confirmed"

    assert command("suspend-account", "--account", account, "--confirm", account) == 0
    assert "Suspended 3 Users and Service Users of Account of owner." in capsys.readouterr().out
    for key in (owner, ann, bot):
        refused = stack.call("GET", "/v1/whoami", key)
        assert refused.status == 403
        assert refused.json["detail"].startswith("The operator of this service has suspended the account")
    assert stack.signs_in(other)
    with pytest.raises(Conflict, match="The operator has suspended 'owner' with the account"):
        recover(stack.service.directory, "owner", Origin("", "", stack.clock()))
    command("accounts")
    [line] = [it for it in capsys.readouterr().out.splitlines() if it.startswith(account)]
    assert line.endswith("2 Users, 2 Service Users  suspended")
    mail.resend()
    [(address, message)] = mail.ses.sent
    assert address == "owner@people.example", "each OWNER, and nobody else"
    assert "once the operator of this service resumes the account" in " ".join(
        message.get_body(("plain",)).get_content().split()
    )
    events = stack.events("USER_SUSPENDED", "SERVICE_USER_SUSPENDED")
    suspended = [it for it in events if it["actor"]["kind"] == "OPERATOR"]
    assert sorted(it["subject"]["username"] for it in suspended) == ["ann", "bot", "owner"]
    assert {it["cause"] for it in suspended} == {"OPERATOR"}
    assert command("suspend-account", "--account", account, "--confirm", account) == 0
    assert "Suspended 0 Users" in capsys.readouterr().out

    assert command("resume-account", "--account", account, "--confirm", account) == 0
    assert "Resumed 3 Users and Service Users" in capsys.readouterr().out
    assert all(stack.signs_in(key) for key in (owner, ann, bot))
    assert not stack.signs_in(held), "whom an OWNER suspended stays so"
    assert stack.call("POST", "/v1/service-users/held/resume", owner).status == 200
    assert stack.signs_in(held)


def test_nobody_gets_in_by_an_open_invitation(stack: Stack) -> None:
    owner = stack.account()
    body = {"username": "eve", "email": "eve@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, body).status == 201
    token = stack.token("eve")
    account = account_of(stack, owner)
    assert suspend_account(stack.client, tables_of(stack), account, now=stack.clock) == 2
    asked = {"username": "eve", "token": token}
    assert stack.call("POST", "/v1/users/activate", body=asked).status in (400, 403)
    assert resume_account(stack.client, tables_of(stack), account, now=stack.clock) == 2
    assert stack.call("POST", "/v1/users/activate", body=asked).status == 200


def owners_of(stack: Stack, owner: Key) -> list[str]:
    return list(stack.call("GET", "/v1/account", owner).json["owners"])


def resume_alone(stack: Stack, account: str, username: str) -> None:
    """Resume one of a suspended account, as a resumption does that is interrupted after it."""
    assert _Job(stack.client, tables_of(stack), account, stack.clock).resume(username)


def test_whoever_activates_while_the_account_is_suspended_can_be_revoked_after_it(stack: Stack) -> None:
    owner = stack.account()
    bob = stack.user(owner, "bob", "OWNER")
    assert stack.call("POST", "/v1/users/owner/invitation", owner).status == 200
    token = stack.token("owner")
    account = account_of(stack, bob)
    suspend_account(stack.client, tables_of(stack), account, now=stack.clock)
    activated = stack.call("POST", "/v1/users/activate", body={"username": "owner", "token": token})
    assert activated.status == 200
    resume_account(stack.client, tables_of(stack), account, now=stack.clock)
    assert owners_of(stack, bob) == ["bob", "owner"]
    assert stack.call("DELETE", "/v1/users/owner", bob).status == 204
    assert owners_of(stack, bob) == ["bob"]


@pytest.mark.parametrize("change", ["DELETE", "PUT"])
def test_an_owner_who_is_revoked_or_lowered_while_others_are_resumed_is_no_longer_counted(
    stack: Stack, change: str
) -> None:
    owner = stack.account()
    bob = stack.user(owner, "bob", "OWNER")
    account = account_of(stack, owner)
    suspend_account(stack.client, tables_of(stack), account, now=stack.clock)
    resume_alone(stack, account, "bob")
    body = ({"role": "CLUSTER_ADMIN"},) if change == "PUT" else ()
    assert stack.call(change, "/v1/users/owner", bob, *body).status < 300
    resume_account(stack.client, tables_of(stack), account, now=stack.clock)
    assert owners_of(stack, bob) == ["bob"]
    assert stack.call("DELETE", "/v1/users/bob", bob).status == 409, "the last OWNER"


def test_whom_somebody_of_the_account_suspends_while_it_is_resumed_stays_suspended(stack: Stack) -> None:
    owner = stack.account()
    bob, bot = stack.user(owner, "bob", "OWNER"), stack.service_user(owner, "bot")["MONITORING"]
    account = account_of(stack, owner)
    suspend_account(stack.client, tables_of(stack), account, now=stack.clock)
    resume_alone(stack, account, "bob")
    for path in ("users/owner", "service-users/bot"):
        assert stack.call("POST", f"/v1/{path}/suspend", bob).status == 200
    assert resume_account(stack.client, tables_of(stack), account, now=stack.clock) == 0
    assert not any(stack.signs_in(key) for key in (owner, bot))
    assert owners_of(stack, bob) == ["bob"]
    assert stack.call("POST", "/v1/users/owner/resume", bob).status == 200
    assert owners_of(stack, bob) == ["bob", "owner"]


def test_whoever_is_created_or_changed_meanwhile_is_suspended_too(stack: Stack) -> None:
    owner = stack.account()
    account = account_of(stack, owner)
    stack.service_user(owner, "bot")

    def create() -> None:
        stack.service_user(owner, "late")
        stack.call("PUT", "/v1/users/owner", owner, {"displayName": "Another"})

    with before_next_call(stack, "TransactWriteItems", create):
        assert suspend_account(stack.client, tables_of(stack), account, now=stack.clock) == 3
    assert not stack.signs_in(owner)


def test_an_interrupted_suspension_goes_on(stack: Stack) -> None:
    owner = stack.account()
    account = account_of(stack, owner)
    keys = [stack.service_user(owner, f"bot-{number}")["MONITORING"] for number in range(3)]

    def die() -> None:
        raise KeyboardInterrupt

    with before_next_call(stack, "TransactWriteItems", die, skip=2), pytest.raises(KeyboardInterrupt):
        suspend_account(stack.client, tables_of(stack), account, now=stack.clock)
    left = [stack.signs_in(key) for key in keys]
    assert True in left
    assert suspend_account(stack.client, tables_of(stack), account, now=stack.clock) == left.count(True)
    assert not any(stack.signs_in(key) for key in (owner, *keys))


def test_an_unknown_account_is_named(
    command: Command, capsys: pytest.CaptureFixture[str], stack: Stack
) -> None:
    stack.account()
    for name in ("suspend-account", "resume-account"):
        assert command(name, "--account", "nobody", "--confirm", "nobody") == 1
        assert "There is no account nobody" in capsys.readouterr().err


def put_note(stack: Stack, username: str, name: str) -> None:
    """Write a note that is not of its form, without a condition, as a role's policy allows it."""
    written = {
        "Key": {"pk": {"S": f"USER#{username}"}},
        "UpdateExpression": "SET #note = :x",
        "ExpressionAttributeNames": {"#note": name},
        "ExpressionAttributeValues": {":x": {"S": "x"}},
    }
    role = "Feedback" if name == "emailFailure" else "Authorizer"
    assert allowed(role, "UpdateItem", {**written, "TableName": "Directory"})
    stack.client.update_item(TableName=stack.tables.directory, **written)


@pytest.mark.parametrize("name", ["used_{}", "refused_{}", "emailFailure"])
def test_no_note_stops_the_operators_brakes(
    stack: Stack, command: Command, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = stack.account()
    thief = stack.user(owner, "mallory", "OWNER")
    account = account_of(stack, owner)
    put_note(stack, "owner", name.format(key_format.digest(owner.secret)[:8].hex()))
    assert command("accounts") == 0
    assert "2 OWNERs, 2 Users" in capsys.readouterr().out
    assert command("suspend-account", "--account", account, "--confirm", account) == 0
    assert not stack.signs_in(thief)
    assert command("resume-account", "--account", account, "--confirm", account) == 0
    assert stack.signs_in(owner)
    assert stack.signs_in(thief)
    assert command("revoke-keys", "--account", account, "--users", "--confirm", account) == 0
    assert not stack.signs_in(owner)
    assert not stack.signs_in(thief)


def test_the_commands_go_on_past_what_they_cannot_read_and_name_it(
    stack: Stack, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = stack.account()
    stack.account("other")
    bot = stack.service_user(owner, "bot")["MONITORING"]
    account = account_of(stack, owner)
    put_note(stack, "ghost", "used_00")
    stack.client.put_item(
        TableName=stack.tables.directory,
        Item={"pk": {"S": "CREDENTIAL#0"}, "username": {"S": "ghost"}},
    )
    of_account = ["--account", account]

    def names_it(*command_line: str) -> str:
        assert command(*command_line) == 1
        said = capsys.readouterr()
        assert "cannot be read: USER#ghost." in said.err
        return said.out

    assert "1 Users, 1 Service Users" in names_it("accounts")
    assert "Suspended 2 Users" in names_it("suspend-account", *of_account, "--confirm", account)
    assert not stack.signs_in(owner)
    assert not stack.signs_in(bot)
    assert "Resumed 2 Users" in names_it("resume-account", *of_account, "--confirm", account)
    assert "2 principals" in names_it("revoke-keys", "--users", *of_account, "--confirm", account)
    out = tmp_path / "owner.json"
    names_it("export-person", *of_account, "--username", "owner", "--out", str(out))
    assert "owner@people.example" in out.read_text(encoding="utf-8")
    erased = ["erase-person", *of_account, "--username", "nobody", "--confirm", "nobody"]
    assert names_it(*erased) == "", "it changes nothing then"
    third = stack.account("third")
    assert "key of third" in names_it("whose-key", "--last5", third.secret[-5:])
    assert "0 MONITORING keys" in names_it("end-keys", "--type", "MONITORING", "--confirm", "MONITORING")
    assert "Deleted the account, 2 Users" in names_it("delete-account", *of_account)
    left = [it["pk"] for it in stack.items(stack.tables.directory)]
    assert not {"USER#owner", "USER#bot", "CREDENTIAL#0"} & set(left)
    stack.client.delete_item(TableName=stack.tables.directory, Key={"pk": {"S": "USER#ghost"}})
    assert command("accounts") == 0
