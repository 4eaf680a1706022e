"""The records that accounts were deleted: who can write one, and that no other item passes for one."""

import json
import shlex
from typing import Any

import pytest

from deploy.deletions import bring_back
from deploy.maintenance import delete_account, restore_directory, restore_events, withdrawn_since
from tests.deploy.test_accounts import Command, command
from tests.deploy.test_maintenance import record_key, restored
from tests.deploy.test_role_policies import allowed
from tests.support.api_client import Key, Stack
from tests.support.doc_commands import RUN_ELSEWHERE, doc_commands
from tests.support.reference_model import moment

__all__ = ["command", "restored"]

MAILING = ("Notify", "Resend", "Feedback")


def mark(partition: str) -> dict[str, Any]:
    return {
        "TableName": "Events",
        "Key": {"account": {"S": partition}, "id": {"S": "5ae0e2c6-5b86-4b0a-a1b5-7e3d31a3a0f5"}},
        "UpdateExpression": "SET #outcome = :outcome",
        "ExpressionAttributeNames": {"#outcome": "feedback_ann"},
        "ExpressionAttributeValues": {":outcome": {"S": "COMPLAINT"}},
    }


@pytest.mark.parametrize("role", MAILING)
@pytest.mark.parametrize(
    "partition", ["DELETED#", "PUBLISH#0", "one", "0" * 36, "DELETED#-0000-0000-0000-0000"]
)
def test_whoever_marks_events_writes_in_no_partition_but_those_of_accounts(role: str, partition: str) -> None:
    assert not allowed(role, "UpdateItem", mark(partition))


@pytest.mark.parametrize("role", MAILING)
@pytest.mark.parametrize("aside", ["", "REFUSED#"])
def test_whoever_marks_events_may_mark_those_of_every_account(stack: Stack, role: str, aside: str) -> None:
    account = account_of(stack, stack.account())
    assert allowed(role, "UpdateItem", mark(f"{aside}{account}"))


def account_of(stack: Stack, owner: Key) -> str:
    return str(stack.call("GET", "/v1/whoami", owner).json["account"])


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"feedback_ann": {"S": "COMPLAINT"}},
        {"deletedAt": {"S": "yesterday"}},
        {"broughtBackAt": {"N": "1"}},
    ],
)
def test_an_item_of_another_form_deletes_nobody(stack: Stack, restored: Any, forged: Any) -> None:
    owner = stack.account()
    account = account_of(stack, owner)
    directory, _ = restored()
    since = int(stack.clock())
    stack.client.put_item(TableName=stack.tables.events, Item={**record_key(account), **forged})
    withdrawn = withdrawn_since(stack.client, stack.tables.events, directory, since)
    assert (withdrawn.deleted, withdrawn.brought_back) == (frozenset(), frozenset())
    assert restore_directory(stack.client, directory, stack.tables.directory, withdrawn).left_out == ()
    assert stack.signs_in(owner)
    with pytest.raises(LookupError, match="was deleted"):
        bring_back(stack.client, stack.tables.events, account)


def test_a_restore_stops_at_an_account_whose_deletion_was_interrupted(
    stack: Stack,
    restored: Any,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, other = stack.account(), stack.account("other")
    account = account_of(stack, owner)
    directory, events = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    monkeypatch.setattr("time.time", stack.clock)
    with monkeypatch.context() as patched:
        patched.setattr("deploy.maintenance._delete_principal", stop)
        with pytest.raises(KeyboardInterrupt):
            delete_account(stack.client, *stack.tables, account)
    stack.service_user(other, "since")
    before = stack.snapshot()
    copies = ("--directory", directory, "--events", events, "--since", moment(since))
    for some in (copies, copies[2:4]):
        assert command("restore", *some) == 1
        said = capsys.readouterr()
        assert account in said.err
        assert "Nothing was changed. Finish it (delete-account)" in said.err
        assert said.out == ""
    withdrawn = withdrawn_since(stack.client, stack.tables.events, directory, since)
    with pytest.raises(LookupError, match=account):
        restore_directory(stack.client, directory, stack.tables.directory, withdrawn)
    assert stack.snapshot() == before
    assert stack.signs_in(owner)
    assert command("restore", *copies, "--bring-back", "nobody") == 1
    assert account in capsys.readouterr().err, "naming another account is not enough"

    assert command("restore", *copies, "--bring-back", account) == 0
    assert not stack.signs_in(owner), "it is there, without a way in"
    assert stack.item("owner")["keys"] == {}


def test_a_deletion_that_was_stopped_at_once_is_taken_back_by_the_command_of_the_page(
    stack: Stack, restored: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    account = account_of(stack, owner)
    key = stack.service_user(owner, "bot")["MONITORING"]
    directory, _ = restored()
    stack.clock.forward(10)
    since = int(stack.clock())
    path = "/v1/service-users/bot/api-keys/MONITORING"
    assert stack.call("DELETE", path, owner).status == 204
    with monkeypatch.context() as patched:
        patched.setattr("deploy.maintenance._delete_principal", stop)
        with pytest.raises(KeyboardInterrupt):
            delete_account(stack.client, *stack.tables, account)
    [by_hand] = [it for it in doc_commands("operations.md") if '"DELETED#"' in it]
    assert RUN_ELSEWHERE[by_hand] == "tests/deploy/test_deletion_records.py"
    *words, given = shlex.split(by_hand.replace("EVENTS", stack.tables.events).replace("ID", account))
    assert words == ["aws", "dynamodb", "delete-item", "--table-name", stack.tables.events, "--key"]
    stack.client.delete_item(TableName=stack.tables.events, Key=json.loads(given))
    assert command("restore", "--directory", directory, "--since", moment(since)) == 0
    assert stack.signs_in(owner)
    assert stack.call("GET", "/v1/whoami", key).status == 401, "stays revoked"


def test_after_the_deletion_is_finished_the_restore_leaves_the_account_out(
    stack: Stack,
    restored: Any,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = stack.account()
    account = account_of(stack, owner)
    directory, events = restored()
    stack.clock.forward(10)
    since = moment(int(stack.clock()))
    monkeypatch.setattr("time.time", stack.clock)
    with monkeypatch.context() as patched:
        patched.setattr("deploy.maintenance.credentials.delete_left_behind", stop)
        with pytest.raises(KeyboardInterrupt):
            delete_account(stack.client, *stack.tables, account)
    assert command("restore", "--directory", directory, "--since", since) == 1
    assert account in capsys.readouterr().err, "its people are gone, and its item is not"
    assert command("delete-account", "--account", account) == 0
    assert command("restore", "--directory", directory, "--since", since) == 0
    assert f"Left out, because they were deleted since: {account}." in capsys.readouterr().out
    assert restore_events(stack.client, events, stack.tables.events).left_out == (account,)
    assert not stack.signs_in(owner)


def stop(*_: Any) -> None:
    raise KeyboardInterrupt
