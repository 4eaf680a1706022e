"""The export of the audit trail, and the check that none is missing."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.publishing.form import line, object_name
from deploy.export import MANIFEST, accounts_of, check_account, export_account
from tests.deploy.test_accounts import Command, command
from tests.support.api_client import Key, Stack

__all__ = ["command"]

DAY = 86_400


@pytest.fixture
def trail(stack: Stack) -> tuple[Stack, Key, str]:
    """Two accounts with events on three days, a refusal by network among them."""
    owner = stack.account()
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    stack.account("neighbour")
    key = stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    stack.clock.forward(DAY)
    assert stack.sign_in(key) == 403
    for number in range(3):
        stack.clock.forward(1)
        stack.call("PUT", "/v1/service-users/bot", owner, {"displayName": f"Bot {number} \u00fc"})
    stack.clock.forward(DAY)
    stack.call("DELETE", "/v1/service-users/bot", owner)
    return stack, owner, account


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(text) for file in sorted(folder.glob("*.jsonl")) for text in file.read_text().splitlines()
    ]


def test_every_event_is_exported_by_account_and_day_as_the_api_shows_it(
    trail: tuple[Stack, Key, str], tmp_path: Path
) -> None:
    stack, owner, account = trail
    days = export_account(stack.client, stack.tables.events, account, tmp_path)
    assert list(days) == ["2030-03-17", "2030-03-18", "2030-03-19"]
    assert [day.events for day in days.values()] == [2, 4, 1]
    lines = lines_of(tmp_path / account)
    shown = stack.call("GET", "/v1/events", owner).json
    for event in shown:
        del event["mail"]
    wanted = [{"schemaVersion": "1", "account": account, **event} for event in reversed(shown)]
    assert sorted(lines, key=lambda it: it["id"]) == sorted(wanted, key=lambda it: it["id"])
    assert [it["id"] for it in lines] == sorted(it["id"] for it in lines)
    assert "API_KEY_REFUSED" in {it["action"] for it in lines}
    assert len(accounts_of(stack.client, stack.tables.directory)) == 2
    assert check_account(stack.client, stack.tables.events, account, tmp_path) == []
    assert export_account(stack.client, stack.tables.events, account, tmp_path) == days


def remove_a_line(home: Path) -> str:
    file = home / "2030-03-18.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:1], *lines[2:]]) + "\n")
    return "is missing"


def change_a_line(home: Path) -> str:
    file = home / "2030-03-19.jsonl"
    file.write_text(file.read_text().replace('"owner"', '"other"'))
    return "differs from the recorded event"


def add_a_line(home: Path) -> str:
    file = home / "2030-03-19.jsonl"
    event = json.loads(file.read_text())
    file.write_text(file.read_text() + json.dumps({**event, "id": "f" * 28}) + "\n")
    return f"{'f' * 28}: is not recorded"


def remove_a_day(home: Path) -> str:
    (home / "2030-03-18.jsonl").unlink()
    return "is missing"


def swap_two_lines(home: Path) -> str:
    file = home / "2030-03-18.jsonl"
    file.write_text("\n".join(reversed(file.read_text().splitlines())) + "\n")
    return "2030-03-18: the file has 4 events, and is not the manifest's of 4"


def double_a_line(home: Path) -> str:
    file = home / "2030-03-18.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *lines]) + "\n")
    return "2030-03-18: the file has 5 events, and is not the manifest's of 4"


def cut_a_line_off(home: Path) -> str:
    file = home / "2030-03-18.jsonl"
    file.write_text(file.read_text()[:-40])
    return "2030-03-18.jsonl: a line is no event"


def write_what_is_no_event(home: Path) -> str:
    file = home / "2030-03-19.jsonl"
    file.write_text(file.read_text() + "[1]\n")
    return "2030-03-19.jsonl: a line is no event"


def tell_another_story_twice(home: Path) -> str:
    file = home / "2030-03-19.jsonl"
    file.write_text(file.read_text() + file.read_text().replace('"owner"', '"other"'))
    return "is there twice, and differs"


@pytest.mark.parametrize(
    "spoil",
    [
        remove_a_line,
        change_a_line,
        add_a_line,
        remove_a_day,
        swap_two_lines,
        double_a_line,
        cut_a_line_off,
        write_what_is_no_event,
        tell_another_story_twice,
    ],
)
def test_what_is_missing_or_changed_is_found(
    trail: tuple[Stack, Key, str], tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    stack, _, account = trail
    export_account(stack.client, stack.tables.events, account, tmp_path)
    expected = spoil(tmp_path / account)
    found = check_account(stack.client, stack.tables.events, account, tmp_path)
    assert any(expected in fault for fault in found)
    assert any("the file has" in fault for fault in found), "the manifest tells it without the table"


def test_a_name_with_a_line_end_of_unicode_is_no_difference(stack: Stack, tmp_path: Path) -> None:
    owner = stack.account()
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    # Version 1.0 took such display names, and events repeat them.
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": f"USER#{owner.username}"}},
        UpdateExpression="SET displayName = :name",
        ExpressionAttributeValues={":name": {"S": "Line\u2028end\x85here"}},
    )
    stack.service_user(owner, "bot")
    export_account(stack.client, stack.tables.events, account, tmp_path)
    assert check_account(stack.client, stack.tables.events, account, tmp_path) == []


def test_the_digest_is_what_the_page_says(trail: tuple[Stack, Key, str], tmp_path: Path) -> None:
    """docs/events.md, by which an auditor computes it without this program."""
    stack, _, account = trail
    export_account(stack.client, stack.tables.events, account, tmp_path)
    for day, told in json.loads((tmp_path / account / MANIFEST).read_text()).items():
        lines = (tmp_path / account / f"{day}.jsonl").read_text().splitlines()
        digest = hashlib.sha256(f"{account} {day}".encode()).hexdigest()
        for text in lines:
            digest = hashlib.sha256(f"{digest} {text}".encode()).hexdigest()
        assert told == {"count": len(lines), "digest": digest}


@pytest.mark.parametrize("spoil", ["", "missing", "altered", "doubled"])
def test_an_archive_is_checked_against_the_manifest_of_an_export(
    trail: tuple[Stack, Key, str], tmp_path: Path, spoil: str
) -> None:
    """The archive has an object for each event; the manifest tells what it lacks without the table."""
    stack, _, account = trail
    export_account(stack.client, stack.tables.events, account, tmp_path / "export")
    home = tmp_path / "archive" / account
    for event in lines_of(tmp_path / "export" / account):
        file = tmp_path / "archive" / object_name(event)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(line(event) + "\n")
    shutil.copyfile(tmp_path / "export" / account / MANIFEST, home / MANIFEST)
    one = sorted((home / "2030-03-18").iterdir())[1]
    if spoil == "missing":
        one.unlink()
    elif spoil == "altered":
        one.write_text(one.read_text().replace('"owner"', '"other"'))
    elif spoil == "doubled":
        shutil.copyfile(one, one.with_name("f" * 28 + ".jsonl"))
    found = check_account(stack.client, stack.tables.events, account, tmp_path / "archive")
    told = [fault for fault in found if "and is not the manifest's of 4" in fault]
    assert bool(found) is bool(told) is bool(spoil)


def test_an_archive_may_have_events_twice_in_any_order_and_those_that_are_over(
    trail: tuple[Stack, Key, str], tmp_path: Path
) -> None:
    stack, _, account = trail
    export_account(stack.client, stack.tables.events, account, tmp_path / "export")
    lines = lines_of(tmp_path / "export" / account)
    home = tmp_path / "archive" / account / "2030"
    home.mkdir(parents=True)
    old = {**lines[0], "id": "0" * 28, "at": "1970-01-01T00:00:00Z"}
    (home / "a.jsonl").write_text("\n".join(json.dumps(it) for it in [*reversed(lines), old]))
    (home / "b.jsonl").write_text("\n".join(json.dumps(it) for it in lines[:2]))
    assert check_account(stack.client, stack.tables.events, account, tmp_path / "archive") == []
    # A field that a later version added has no value in the events of an earlier one.
    later = [{name: value for name, value in it.items() if value} for it in lines]
    (home / "a.jsonl").write_text("\n".join(map(json.dumps, later)))
    (home / "b.jsonl").unlink()
    assert check_account(stack.client, stack.tables.events, account, tmp_path / "archive") == []


def one_file(trail: tuple[Stack, Key, str], folder: Path) -> tuple[list[dict[str, Any]], Path]:
    """Return the events of an account as they are exported, and the file of an archive to write them into."""
    stack, _, account = trail
    export_account(stack.client, stack.tables.events, account, folder / "export")
    file = folder / "archive" / account / "all.jsonl"
    file.parent.mkdir(parents=True)
    return lines_of(folder / "export" / account), file


def test_a_value_that_was_taken_out_is_found_whichever_it_is(
    trail: tuple[Stack, Key, str], tmp_path: Path
) -> None:
    stack, _, account = trail
    lines, file = one_file(trail, tmp_path)
    taken = {name for it in lines for name, value in it.items() if value} - {"id"}
    assert {"actor", "credential", "changes", "sourceIp", "at"} <= taken
    for name in sorted(taken):
        spoilt = [{field: value for field, value in it.items() if field != name} for it in lines]
        file.write_text("\n".join(map(json.dumps, spoilt)))
        found = check_account(stack.client, stack.tables.events, account, tmp_path / "archive")
        assert len(found) == sum(bool(it[name]) for it in lines), name
        assert all(fault.endswith("differs from the recorded event") for fault in found)


@pytest.mark.parametrize(
    ("id_", "at"),
    [
        (f"{'0' * 27}1", "2030-03-18T10:00:00Z"),
        (f"{'0' * 27}1", "yesterday"),
        (f"{'0' * 27}1", None),
        ("!", "2030-03-18T10:00:00Z"),
    ],
)
def test_an_event_that_was_never_recorded_does_not_pass_for_one_that_is_over(
    trail: tuple[Stack, Key, str], tmp_path: Path, id_: str, at: str | None
) -> None:
    """Its id may be lower than the first recorded one, but has the time of the event."""
    stack, _, account = trail
    lines, file = one_file(trail, tmp_path)
    forged = {**lines[-1], "id": id_, "at": at}
    file.write_text("\n".join(json.dumps(it) for it in [*lines, forged]))
    found = check_account(stack.client, stack.tables.events, account, tmp_path / "archive")
    assert found == [f"{forged['id']}: is not recorded"]


def test_an_account_without_events_has_an_empty_manifest(stack: Stack, tmp_path: Path) -> None:
    assert export_account(stack.client, stack.tables.events, "nobody", tmp_path) == {}
    assert json.loads((tmp_path / "nobody" / MANIFEST).read_text()) == {}
    assert check_account(stack.client, stack.tables.events, "nobody", tmp_path) == []


UNREADABLE: dict[str, dict[str, Any]] = {
    "no action": {"feedback_ann": {"S": "COMPLAINT"}},
    "an action of a later version": {"action": {"S": "API_KEY_LENT"}, "at": {"N": "1900000000"}},
    "an action that is no text": {"action": {"N": "1"}},
    "a number with a fraction": {"action": {"S": "API_KEY_REFUSED"}, "at": {"N": "1.5"}},
}


@pytest.mark.parametrize("aside", ["", "REFUSED#"])
@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_hides_no_other_event_and_the_export_does_not_look_complete(
    trail: tuple[Stack, Key, str],
    tmp_path: Path,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    what: str,
    aside: str,
) -> None:
    stack, owner, account = trail
    given = ("--out", str(tmp_path), "--account", account)
    assert command("export", *given) == 0
    whole = {it.name: it.read_bytes() for it in (tmp_path / account).iterdir()}
    shown = len(stack.call("GET", "/v1/events", owner).json)
    name = f"{int((stack.clock() - DAY) * 1000):012x}{'a' * 16}"
    item = {"account": {"S": f"{aside}{account}"}, "id": {"S": name}, **UNREADABLE[what]}
    stack.client.put_item(TableName=stack.tables.events, Item=item)
    capsys.readouterr()

    assert command("export", *given) == 1
    said = capsys.readouterr()
    assert f"{account}: {shown} events of 3 days." in said.out
    assert "not complete: 1 items of the trail were left out" in said.err
    assert {it.name: it.read_bytes() for it in (tmp_path / account).iterdir()} == whole
    assert command("export", *given, "--check") == 1
    assert capsys.readouterr().out.strip() == (
        f"{account} {name}: cannot be compared, because this version cannot read what is recorded"
    )
    seen = stack.call("GET", "/v1/events", owner)
    assert (seen.status, len(seen.json)) == (200, shown + (not aside or what == "a number with a fraction"))


@pytest.mark.parametrize("name", ["export", "whose-key"])
def test_a_command_reads_the_tables_of_the_region_that_is_set(
    trail: tuple[Stack, Key, str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    asked: list[Any] = []

    def client(service: str, region_name: str | None = None) -> Any:
        asked.append((service, region_name))
        return trail[0].client

    monkeypatch.setattr("boto3.client", client)
    more = ("--out", str(tmp_path)) if name == "export" else ("--last5", trail[1].secret[-5:])
    assert command(name, *more) == 0
    assert asked == [("dynamodb", "eu-west-1")], "which boto3 does not take from AWS_REGION"
