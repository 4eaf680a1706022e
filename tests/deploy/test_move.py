"""Moving both tables to another region, by the commands themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from deploy.__main__ import main
from deploy.move import MANIFEST, dump, load
from local.tables import create_tables
from tests.support.api_client import Stack, Tables, serve
from tests.support.mail import MailFixture

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def elsewhere(dynamodb: "DynamoDBClient") -> Iterator[Tables]:
    """The empty tables of another region."""
    names = {"Directory": f"elsewhere-directory-{uuid4().hex}", "Events": f"elsewhere-events-{uuid4().hex}"}
    create_tables(dynamodb, names)
    yield Tables(names["Directory"], names["Events"])
    for name in names.values():
        dynamodb.delete_table(TableName=name)


def names_of(tables: Tables) -> dict[str, str]:
    return {"directory": tables.directory, "events": tables.events}


def quiet(_line: str) -> None:
    pass


def test_keys_work_in_the_other_region_and_pending_events_are_mailed_there(
    stack: Stack,
    elsewhere: Tables,
    aws: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner = stack.account()
    bot = stack.service_user(owner, "bot", allowedNetworks=["198.51.100.0/24"])["MONITORING"]
    pending = [it["id"] for it in stack.events() if "waiting" in it]
    assert pending
    folder = tmp_path / "copy"
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)

    def run(command: str, tables: Tables) -> int:
        outputs = {"DirectoryName": tables.directory, "EventsName": tables.events}
        described = {"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()]}
        aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [described]}}
        aws.write()
        return main([command, "--stage", "acme", "--folder", str(folder)])

    assert run("dump", stack.tables) == 0
    assert "of Events." in capsys.readouterr().out
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert run("dump", stack.tables) == 1, "never over an earlier copy"
    assert run("load", elsewhere) == 0
    moved = serve(stack.client, elsewhere, monkeypatch, stack.clock)
    assert moved.snapshot()[1] == stack.snapshot()[1]
    counted = [it for it in stack.snapshot()[0] if not it["pk"].startswith("BUDGET#")]
    assert moved.snapshot()[0] == counted
    assert moved.signs_in(bot)
    assert moved.sign_in(bot, source_ip="203.0.113.9") == 403
    mail = MailFixture(stack.client, elsewhere, stack.clock)
    assert mail.resend()["sent"]


def test_an_interrupted_load_is_repeated(
    stack: Stack, elsewhere: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    monkeypatch.setattr("deploy.move._LINES", 2)
    counts = dump(stack.client, names_of(stack.tables), tmp_path / "copy", quiet)
    item = next(iter(stack.client.scan(TableName=stack.tables.directory)["Items"]))
    stack.client.put_item(TableName=elsewhere.directory, Item=item)
    for _ in range(2):
        assert load(stack.client, names_of(elsewhere), tmp_path / "copy", quiet) == counts
    assert counts["directory"] > 4


def test_tables_with_anything_else_are_left_alone(stack: Stack, elsewhere: Tables, tmp_path: Path) -> None:
    stack.account()
    dump(stack.client, names_of(stack.tables), tmp_path / "copy", quiet)
    stack.client.put_item(TableName=elsewhere.directory, Item={"pk": {"S": "USER#somebody"}})
    with pytest.raises(LookupError, match="has 1 items that are not in"):
        load(stack.client, names_of(elsewhere), tmp_path / "copy", quiet)
    assert stack.client.scan(TableName=elsewhere.events)["Items"] == []


@pytest.mark.parametrize("fault", ["unfinished", "missing", "changed"])
def test_a_copy_that_is_not_whole_is_refused(
    stack: Stack, elsewhere: Tables, tmp_path: Path, fault: str
) -> None:
    stack.account()
    folder = tmp_path / "copy"
    dump(stack.client, names_of(stack.tables), folder, quiet)
    part = folder / "directory-00000.jsonl"
    match fault:
        case "unfinished":
            (folder / MANIFEST).unlink()
        case "missing":
            part.unlink()
        case "changed":
            part.write_text(part.read_text(encoding="utf-8").replace("owner", "thief"), encoding="utf-8")
    with pytest.raises(LookupError, match=r"is missing"):
        load(stack.client, names_of(elsewhere), folder, quiet)
    assert stack.client.scan(TableName=elsewhere.directory)["Items"] == []


def test_a_file_that_the_copy_does_not_name_is_not_loaded(
    stack: Stack, elsewhere: Tables, tmp_path: Path
) -> None:
    stack.account()
    folder = tmp_path / "copy"
    counts = dump(stack.client, names_of(stack.tables), folder, quiet)
    foreign = '{"pk":{"S":"USER#thief"}}\n'
    (folder / "directory-00001.jsonl").write_text(foreign, encoding="utf-8")
    assert load(stack.client, names_of(elsewhere), folder, quiet) == counts
    keys = [it["pk"]["S"] for it in stack.client.scan(TableName=elsewhere.directory)["Items"]]
    assert "USER#thief" not in keys
