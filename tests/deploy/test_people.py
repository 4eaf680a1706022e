"""What is known of a person: exported for them, and erased once they are revoked, by the commands."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.people import STATE, erase_person, export_person
from tests.deploy.test_accounts import Command, account_of, command, tables_of
from tests.support.api_client import Key, Stack
from tests.support.browser import Browser
from tests.support.dynamodb_faults import before_next_call
from tests.support.feedback import BOUNCE, COMPLAINT, Feedback, report
from tests.support.mail import MailFixture

__all__ = ["command"]

ELSEWHERE = "203.0.113.77"
"""An address that only Ann calls from."""


@pytest.fixture
def owner(stack: Stack, mail: MailFixture) -> Key:
    """An account in which Ann did many things, and is named in many; nothing is still to be mailed."""
    owner = stack.account()
    ann = stack.user(owner, "Ann", "CLUSTER_ADMIN")
    assert stack.call("PUT", "/v1/users/ann", owner, {"displayName": "Ann Other"}).status == 200
    body = {"username": "anns-bot", "email": "anns-bot@machines.example", "role": "READ_ONLY"}
    assert stack.call("POST", "/v1/service-users", ann, body, source_ip=ELSEWHERE).status == 201
    both = {"administrators": ["ann", "owner"]}
    assert stack.call("PUT", "/v1/service-users/anns-bot", owner, both).status == 200
    stack.service_user(owner, "bot")
    rotated = {"keyType": "MONITORING"}
    path = "/v1/service-users/anns-bot/api-keys/rotate"
    assert stack.call("POST", path, ann, rotated, source_ip=ELSEWHERE).status == 200
    assert stack.call("POST", "/v1/service-users/anns-bot/suspend", ann, source_ip=ELSEWHERE).status == 200
    stack.user(owner, "joanna", "READ_ONLY")
    mail.resend()
    return owner


def revoke(stack: Stack, owner: Key, mail: MailFixture) -> None:
    assert stack.call("DELETE", "/v1/users/ann", owner).status == 204
    for key_type in list(stack.item("anns-bot")["keys"]):
        rotated = {"keyType": key_type, "overlapSeconds": 60}
        path = "/v1/service-users/anns-bot/api-keys/rotate"
        assert stack.call("POST", path, owner, rotated).status == 200
    stack.clock.forward(3600)
    mail.resend()


def whole(stack: Stack) -> str:
    return repr((stack.items(stack.tables.directory), stack.items(stack.tables.events)))


def test_a_person_gets_what_is_known_of_them_and_no_secret(
    stack: Stack, owner: Key, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "ann.json"
    asked = ("--account", account_of(stack, owner), "--username", "ANN", "--out", str(out))
    assert command("export-person", *asked) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    out.unlink()
    out.touch(mode=0o666)  # by somebody who goes on reading it
    with out.open(encoding="utf-8") as theirs:
        assert command("export-person", *asked) == 0
        assert theirs.read() == ""
    assert out.stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere"
    out.unlink()
    out.symlink_to(elsewhere)
    assert command("export-person", *asked) == 0
    assert not elsewhere.exists()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["person"]["email"] == "Ann@people.example"
    assert found["person"]["displayName"] == "Ann Other"
    assert [key["keyType"] for key in found["person"]["apiKeys"]] == ["USER_MANAGEMENT"]
    assert found["administers"] == ["anns-bot"]
    acted = [it for it in found["events"] if it["actor"]["username"] == "Ann"]
    assert {it["sourceIp"] for it in acted} >= {ELSEWHERE}
    about = {it["action"] for it in found["events"] if it["subject"]["username"] == "Ann"}
    assert {"USER_INVITED", "USER_ACTIVATED"} <= about
    assert any(it["mailedToThem"] for it in found["events"])
    assert "suk_" not in out.read_text(encoding="utf-8")
    assert "joanna" not in out.read_text(encoding="utf-8")


def test_a_revoked_person_still_gets_their_events(stack: Stack, owner: Key, mail: MailFixture) -> None:
    revoke(stack, owner, mail)
    found = export_person(stack.client, tables_of(stack), account_of(stack, owner), "ann")
    assert found["person"] is None
    assert "USER_REVOKED" in {it["action"] for it in found["events"]}
    with pytest.raises(LookupError, match="has nothing about 'nobody'"):
        export_person(stack.client, tables_of(stack), account_of(stack, owner), "nobody")


def test_an_event_that_cannot_be_read_is_left_out_and_told(
    stack: Stack, owner: Key, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ann.json"
    asked = ("--account", account_of(stack, owner), "--username", "ann", "--out", str(out))
    assert command("export-person", *asked) == 0
    before = json.loads(out.read_text(encoding="utf-8"))
    [invited, *_] = [
        it
        for it in stack.client.scan(TableName=stack.tables.events)["Items"]
        if it["action"]["S"] == "USER_INVITED" and it["subject"]["M"]["username"]["S"] == "Ann"
    ]
    later = {**invited, "id": {"S": "0" * 28}, "action": {"S": "USER_LENT"}}
    stack.client.put_item(TableName=stack.tables.events, Item=later)
    assert command("export-person", *asked) == 1
    assert "not complete: 1 items of the trail were left out" in capsys.readouterr().err
    assert json.loads(out.read_text(encoding="utf-8")) == before


def test_who_is_called_like_a_role_is_erased_and_no_role_is(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    """A role in an event is a word of ours; so is most of a reason."""
    eve = stack.user(owner, "eve", "OWNER")
    body = {"role": "READ_ONLY"}
    assert stack.call("PUT", "/v1/users/ann", eve, body).status == 200
    assert stack.call("DELETE", "/v1/users/owner", eve).status == 204
    assert stack.call("DELETE", "/v1/service-users/bot", eve).status == 204, "whose keys they know"
    stack.clock.forward(3600)
    mail.resend()
    before = {it["id"]: it for it in stack.events()}
    done = erase_person(stack.client, tables_of(stack), account_of(stack, eve), "owner", now=stack.clock())
    after = {it["id"]: it for it in stack.events()}
    roles = [(it.get("changes", {}).get("role"), it.get("reason")) for it in before.values()]
    assert ["", "OWNER"] in [role for role, _ in roles]
    assert [(it.get("changes", {}).get("role"), it.get("reason")) for it in after.values()] == roles
    assert done.pseudonym in {it["actor"].get("username") for it in after.values()}
    assert "'owner'" not in repr(list(after.values()))


def test_an_erased_person_is_somebody_and_nobody_knows_who(
    stack: Stack,
    owner: Key,
    mail: MailFixture,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revoke(stack, owner, mail)
    before = {it["id"]: it for it in stack.events()}
    account = account_of(stack, owner)
    asked = ("--account", account, "--username", "ann")
    monkeypatch.setattr("time.time", stack.clock)
    assert command("erase-person", *asked) == 1
    assert {it["id"]: it for it in stack.events()} == before, "nothing was confirmed"
    assert command("erase-person", *asked, "--confirm", "ann") == 0
    said = capsys.readouterr().out
    pseudonym = said.split()[2]
    assert pseudonym.startswith("erased-")

    left = whole(stack).lower()
    for trace in ("'ann'", "ann other", "ann@people.example", ELSEWHERE, "#ann'"):
        assert trace not in left, trace
    assert "joanna" in left
    assert "anns-bot" in left
    after = {it["id"]: it for it in stack.events()}
    assert after.keys() == before.keys(), "what happened stays in the trail"
    same = ("action", "at", "keys", "requestId", "cause")
    for id_, event in after.items():
        assert [event.get(it) for it in same] == [before[id_].get(it) for it in same]
    acted = [it for it in before.values() if it["actor"].get("username") == "Ann"]
    assert acted
    assert {after[it["id"]]["actor"]["username"] for it in acted} == {pseudonym}
    assert {after[it["id"]]["actor"]["kind"] for it in acted} == {"USER"}
    path = f"/v1/events?actor={pseudonym}"
    shown = stack.call("GET", path, owner).json
    assert sorted(it["id"] for it in shown) == sorted(it["id"] for it in acted), "found by the index"
    about = stack.call("GET", f"/v1/events?username={pseudonym}", owner).json
    assert "USER_REVOKED" in {it["action"] for it in about}
    assert stack.call("GET", "/v1/events?actor=ann", owner).json == []
    bot = stack.item("anns-bot")
    assert bot["suspendedBy"] == pseudonym
    assert {key["createdBy"] for key in bot["keys"].values()} == {pseudonym}
    assert {key["predecessor"]["shownTo"] for key in bot["keys"].values()} == {pseudonym}
    assert stack.call("GET", "/v1/service-users/anns-bot", owner).status == 200
    assert stack.call("POST", "/v1/service-users/anns-bot/resume", owner).status == 200


def test_nothing_is_left_of_an_address_or_a_passkey(stack: Stack, owner: Key, mail: MailFixture) -> None:
    """Neither what counted the emails to the address, nor what an earlier version left of ended passkeys."""
    address = hashlib.sha256(b"ann@people.example").hexdigest()
    assert address in whole(stack)
    item = {"pk": {"S": "CREDENTIAL#0"}, "username": {"S": "ann"}}
    stack.client.put_item(TableName=stack.tables.directory, Item=item)
    revoke(stack, owner, mail)
    account = account_of(stack, owner)

    def die() -> None:
        raise KeyboardInterrupt

    with before_next_call(stack, "PutItem", die, skip=2), pytest.raises(KeyboardInterrupt):
        erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    left = whole(stack)
    assert address not in left
    assert "CREDENTIAL#" not in left
    assert hashlib.sha256(b"joanna@people.example").hexdigest() in left


def test_what_people_wrote_of_service_users_names_the_pseudonym(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    texts = {
        "description": "Ask Ann, or ann@people.example; not joanna@people.example. " + "x" * 435 + " ann",
        "displayName": "ann's bot",
        "labels": {"contact": "Ann", "ann": "b", "team": "tills"},
    }
    assert stack.call("PUT", "/v1/service-users/bot", owner, texts).status == 200
    assert stack.call("PUT", "/v1/users/joanna", owner, {"displayName": "Ann Joanna"}).status == 200
    revoke(stack, owner, mail)
    before = stack.call("GET", "/v1/service-users/bot", owner).json
    name = erase_person(
        stack.client, tables_of(stack), account_of(stack, owner), "ann", now=stack.clock()
    ).pseudonym
    shown = stack.call("GET", "/v1/service-users/bot", owner).json
    assert shown["description"].startswith(f"Ask {name}, or {name}; not joanna@people.example. xxx")
    assert len(shown["description"]) == 500
    assert "ann" not in shown["description"].replace("joanna", "")
    assert shown["displayName"] == f"{name}'s bot"
    assert shown["labels"] == {**before["labels"], "contact": name}
    assert stack.item("joanna")["displayName"] == "Ann Joanna", "is somebody else's own name"


@pytest.mark.parametrize("interrupted", [None, 0, 3])
def test_no_event_about_another_has_an_address_of_theirs(
    stack: Stack, owner: Key, mail: MailFixture, interrupted: int | None
) -> None:
    """Nor if the erasure is interrupted at any event: it knows the addresses by events that it changes."""
    before = {"description": "Ask ANN@people.example; not joanna@people.example."}
    assert stack.call("PUT", "/v1/service-users/bot", owner, before).status == 200
    assert stack.call("PUT", "/v1/service-users/bot", owner, {"description": "Ask others."}).status == 200
    revoke(stack, owner, mail)

    def die() -> None:
        raise KeyboardInterrupt

    def erase() -> str:
        tables, account = tables_of(stack), account_of(stack, owner)
        return erase_person(stack.client, tables, account, "ann", now=stack.clock()).pseudonym

    if interrupted is not None:
        with before_next_call(stack, "PutItem", die, skip=interrupted), pytest.raises(KeyboardInterrupt):
            erase()
    name = erase()
    assert not re.search(r"(?<!jo)ann@people", whole(stack), re.IGNORECASE)
    told = [
        it["changes"]["description"]
        for it in stack.events("SERVICE_USER_UPDATED")
        if "description" in it["changes"]
    ]
    after = f"Ask {name}; not joanna@people.example."
    assert sorted(told) == sorted([["", after], [after, "Ask others."]])


def test_nobody_is_erased_while_keys_work_that_they_were_shown(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    assert stack.call("DELETE", "/v1/users/ann", owner).status == 204
    mail.resend()
    tables, account = tables_of(stack), account_of(stack, owner)
    with pytest.raises(LookupError, match="2 API keys of Service Users"):
        erase_person(stack.client, tables, account, "ANN", now=stack.clock())
    assert stack.call("DELETE", "/v1/users/ann/shown-keys", owner).json["complete"]
    mail.resend()
    assert erase_person(stack.client, tables, account, "ANN", now=stack.clock()).events


def test_only_whoever_is_revoked_and_mailed_is_erased(stack: Stack, owner: Key) -> None:
    account = account_of(stack, owner)
    with pytest.raises(LookupError, match="Revoke them first"):
        erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    assert stack.call("DELETE", "/v1/users/ann", owner).status == 204
    assert stack.call("DELETE", "/v1/users/ann/shown-keys", owner).status == 200
    with pytest.raises(LookupError, match="still to be mailed"):
        erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    with pytest.raises(LookupError, match="There is no account"):
        erase_person(stack.client, tables_of(stack), "nobody", "ann", now=stack.clock())


def test_an_interrupted_erasure_goes_on_with_the_same_pseudonym(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    revoke(stack, owner, mail)
    account = account_of(stack, owner)

    def die() -> None:
        raise KeyboardInterrupt

    with before_next_call(stack, "PutItem", die, skip=2), pytest.raises(KeyboardInterrupt):
        erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    done = erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    names = {it["actor"].get("username") for it in stack.events()} | {
        it["subject"].get("username") for it in stack.events()
    }
    assert {it for it in names if it and it.startswith("erased-")} == {done.pseudonym}
    assert "Ann" not in names
    assert not [it for it in stack.items(stack.tables.directory) if it["pk"].startswith(STATE)]


def test_a_change_made_meanwhile_is_not_lost(stack: Stack, owner: Key, mail: MailFixture) -> None:
    revoke(stack, owner, mail)
    account = account_of(stack, owner)

    def rename() -> None:
        body = {"displayName": "Another"}
        assert stack.call("PUT", "/v1/service-users/anns-bot", owner, body).status == 200

    with before_next_call(stack, "UpdateItem", rename, skip=1):
        erase_person(stack.client, tables_of(stack), account, "ann", now=stack.clock())
    bot: dict[str, Any] = stack.item("anns-bot")
    assert bot["displayName"] == "Another"
    assert bot["suspendedBy"].startswith("erased-")


def test_another_account_is_left_alone(stack: Stack, owner: Key, mail: MailFixture) -> None:
    revoke(stack, owner, mail)
    other = stack.account("other")
    stack.user(other, "ann", "READ_ONLY")
    mail.resend()
    before = [it for it in stack.events() if it["account"] == account_of(stack, other)]
    assert erase_person(
        stack.client, tables_of(stack), account_of(stack, owner), "ann", now=stack.clock()
    ).events
    assert [it for it in stack.events() if it["account"] == account_of(stack, other)] == before
    assert stack.item("ann")["account"] == account_of(stack, other)


def test_an_erased_person_is_not_in_what_became_of_their_emails(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    """Nor does a report bring them back that comes later."""
    feedback = Feedback(mail)
    mail.resend()
    assert stack.call("POST", "/v1/users/ann/suspend", owner).status == 200
    mail.resend()
    suspended = feedback.sent_to("Ann@people.example")
    feedback.take(report(suspended, BOUNCE))
    mail.resend()
    revoke(stack, owner, mail)
    done = erase_person(stack.client, tables_of(stack), account_of(stack, owner), "ann", now=stack.clock())
    feedback.take(report(suspended, COMPLAINT))
    events = stack.events()
    assert "ann'" not in repr(events).lower()
    assert "feedback_ann" not in repr(events)
    [left] = [it for it in events if it["action"] == "USER_SUSPENDED"]
    assert left[f"feedback_{done.pseudonym}"] == "PERMANENT_BOUNCE"
    [told] = [it for it in events if it["action"] == "EMAIL_BOUNCED"]
    assert told["subject"]["username"] == done.pseudonym
    assert "email" not in told["subject"]


def test_the_name_of_a_passkey_is_not_left_beside_what_was_done_with_it(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    body = {"username": "zoe", "email": "zoe@people.example", "role": "CLUSTER_ADMIN"}
    assert stack.call("POST", "/v1/users", owner, body).status == 201
    browser = Browser(stack)
    assert browser.activate("zoe").status == 200
    assert browser.sign_in().status == 200
    assert stack.call("DELETE", "/v1/users/zoe", owner).status == 204
    stack.clock.forward(3600)
    mail.resend()
    assert "Laptop" in whole(stack)
    account = account_of(stack, owner)
    pseudonym = erase_person(stack.client, tables_of(stack), account, "zoe", now=stack.clock()).pseudonym
    assert "Laptop" not in whole(stack)
    events = stack.call("GET", f"/v1/events?actor={pseudonym}", owner).json
    kinds = {it["action"]: it["credential"]["kind"] for it in events}
    assert kinds["SIGNED_IN"] == "PASSKEY"


def invited(stack: Stack, by: Key, name: str, email: str = "x@people.example") -> str:
    """Invite a person whom somebody of the username was before, and return their membership."""
    body = {"username": name, "email": email, "role": "READ_ONLY"}
    assert stack.call("POST", "/v1/users", by, body).status == 201
    return str(stack.item(name)["membership"])


def left(stack: Stack, by: Key, mail: MailFixture, name: str) -> None:
    """Revoke a person, and have everybody mailed."""
    assert stack.call("DELETE", f"/v1/users/{name}", by).status == 204
    for _ in range(3):
        stack.clock.forward(200)
        mail.resend()


@pytest.fixture
def machine(stack: Stack, mail: MailFixture) -> tuple[Key, str]:
    """An account of which the machine ci-bot did things, until a person had its username for a minute."""
    owner = stack.account()
    bot = stack.service_user(owner, "ci-bot", "OWNER")["USER_MANAGEMENT"]
    stack.user(owner, "carl", "CLUSTER_ADMIN")
    stack.user(owner, "other", "READ_ONLY")
    assert stack.call("POST", "/v1/users/other/suspend", bot).status == 200
    assert stack.call("DELETE", "/v1/users/carl", bot, source_ip=ELSEWHERE).status == 204
    stack.clock.forward(60)
    assert stack.call("DELETE", "/v1/service-users/ci-bot", owner).status == 204
    stack.clock.forward(60)
    membership = invited(stack, owner, "ci-bot")
    mail.resend()
    left(stack, owner, mail, "ci-bot")
    return owner, membership


def test_a_machine_of_the_same_name_keeps_its_history(stack: Stack, machine: tuple[Key, str]) -> None:
    """Nor do the person's addresses or name stay because a machine had the name before."""
    owner, membership = machine
    before = {it["id"]: it for it in stack.events()}
    suspended = stack.item("other")
    done = erase_person(stack.client, tables_of(stack), account_of(stack, owner), "ci-bot", now=stack.clock())
    after = {it["id"]: it for it in stack.events()}
    changed = {id_ for id_ in before if before[id_] != after[id_]}
    about = {id_ for id_, it in before.items() if it["subject"].get("id") == membership}
    assert changed == about
    assert {before[id_]["action"] for id_ in about} == {"USER_INVITED", "USER_REVOKED"}
    assert {after[id_]["subject"]["username"] for id_ in about} == {done.pseudonym}
    assert {it for id_ in about for it in after[id_].get("told", {})} == {done.pseudonym}
    assert "x@people.example" not in whole(stack)
    acted = stack.call("GET", "/v1/events?actor=ci-bot", owner).json
    assert ELSEWHERE in {it["sourceIp"] for it in acted}
    assert stack.item("other")["suspendedBy"] == suspended["suspendedBy"] == "ci-bot"
    found = export_person(stack.client, tables_of(stack), account_of(stack, owner), "carl")
    assert "USER_REVOKED" in {it["action"] for it in found["events"]}


def test_a_person_is_given_nothing_of_a_machine_of_the_same_name(
    stack: Stack, machine: tuple[Key, str]
) -> None:
    owner, membership = machine
    account = account_of(stack, owner)
    found = export_person(stack.client, tables_of(stack), account, "ci-bot")
    assert {it["subject"]["id"] for it in found["events"]} == {membership}
    stack.service_user(owner, "ci-bot")
    with pytest.raises(LookupError, match="is a Service User now"):
        export_person(stack.client, tables_of(stack), account, "ci-bot")
    again = export_person(stack.client, tables_of(stack), account, "ci-bot", membership=membership)
    assert again == found


def test_only_a_machine_is_nobody_to_erase(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot")
    for do in (erase_person, export_person):
        with pytest.raises(LookupError, match="Only Service Users"):
            do(stack.client, tables_of(stack), account_of(stack, owner), "bot")


@pytest.fixture
def twice(stack: Stack, mail: MailFixture) -> tuple[Key, str, str]:
    """An account in which somebody was ann after another ann had left; with both memberships."""
    owner = stack.account()
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    first = str(stack.item("ann")["membership"])
    left(stack, owner, mail, "ann")
    return owner, first, invited(stack, owner, "ann", "another.ann@people.example")


def test_nobody_is_given_what_is_known_of_another(
    stack: Stack, twice: tuple[Key, str, str], command: Command, capsys: Any, tmp_path: Path
) -> None:
    owner, first, second = twice
    out = tmp_path / "ann.json"
    asked = ("--account", account_of(stack, owner), "--username", "ann", "--out", str(out))
    assert command("export-person", *asked) == 1
    said = capsys.readouterr().err
    assert first in said
    assert second in said
    assert not out.exists()
    assert command("export-person", *asked, "--membership", first) == 0
    assert "another.ann" not in out.read_text(encoding="utf-8")
    assert json.loads(out.read_text(encoding="utf-8"))["person"] is None
    assert command("export-person", *asked, "--membership", second) == 0
    assert "Ann@people" not in out.read_text(encoding="utf-8")
    assert json.loads(out.read_text(encoding="utf-8"))["person"]["email"] == "another.ann@people.example"
    assert command("export-person", *asked, "--membership", "0" * 16) == 1
    assert "Known are" in capsys.readouterr().err


@pytest.mark.parametrize("interrupted", [None, 0, 2])
def test_whoever_has_the_name_now_is_not_erased(
    stack: Stack, twice: tuple[Key, str, str], mail: MailFixture, interrupted: int | None
) -> None:
    """Nor after an interruption, when fewer events say who else had the name."""
    owner, first, second = twice
    tables, account = tables_of(stack), account_of(stack, owner)
    mail.resend()
    before = {it["id"]: it for it in stack.events()}
    directory = stack.item("ann")
    with pytest.raises(LookupError, match="Several people"):
        erase_person(stack.client, tables, account, "ann", now=stack.clock())
    with pytest.raises(LookupError, match="still there"):
        erase_person(stack.client, tables, account, "ann", now=stack.clock(), membership=second)
    assert {it["id"]: it for it in stack.events()} == before

    def die() -> None:
        raise KeyboardInterrupt

    def erase(which: str) -> str:
        return erase_person(
            stack.client, tables, account, "ann", now=stack.clock(), membership=which
        ).pseudonym

    if interrupted is not None:
        with before_next_call(stack, "PutItem", die, skip=interrupted), pytest.raises(KeyboardInterrupt):
            erase(first)
        with pytest.raises(LookupError, match="erasure of another 'ann' was interrupted"):
            erase(second)
    pseudonym = erase(first if interrupted is None else "")
    after = {it["id"]: it for it in stack.events()}
    theirs = {
        it for it, event in before.items() if first in {event["subject"].get("id"), event["actor"].get("id")}
    }
    assert {id_ for id_ in before if before[id_] != after[id_]} == theirs
    names = {after[it][part].get("username") for it in theirs for part in ("actor", "subject")}
    assert names == {pseudonym, "owner"}
    assert stack.item("ann") == directory
    left(stack, owner, mail, "ann")
    assert erase("") != pseudonym
    assert "'ann'" not in whole(stack)


def test_a_lowered_person_is_one_with_both_memberships(stack: Stack, owner: Key, mail: MailFixture) -> None:
    before = stack.item("ann")["membership"]
    assert stack.call("PUT", "/v1/users/ann", owner, {"role": "READ_ONLY"}).status == 200
    stack.clock.forward(60)
    tables, account = tables_of(stack), account_of(stack, owner)
    found = export_person(stack.client, tables, account, "ann", membership=before)
    assert found["person"]["role"] == "READ_ONLY"
    revoke(stack, owner, mail)
    assert erase_person(stack.client, tables, account, "ann", now=stack.clock()).events
    assert "'ann'" not in whole(stack).lower()


def forget_ids(stack: Stack, name: str) -> None:
    """Make the events about somebody those of a version that recorded no ids."""
    for item in stack.client.scan(TableName=stack.tables.events)["Items"]:
        for field in ("actor", "subject"):
            part = item[field]["M"]
            if part.get("username", {}).get("S", "").lower() == name and "id" in part:
                item[field] = {"M": {it: value for it, value in part.items() if it != "id"}}
        stack.client.put_item(TableName=stack.tables.events, Item=item)


def test_events_without_ids_are_of_the_only_one_of_that_name(
    stack: Stack, owner: Key, mail: MailFixture
) -> None:
    forget_ids(stack, "ann")
    found = export_person(stack.client, tables_of(stack), account_of(stack, owner), "ann")
    assert found["person"]["email"] == "Ann@people.example"
    assert "USER_INVITED" in {it["action"] for it in found["events"]}
    revoke(stack, owner, mail)
    forget_ids(stack, "ann")
    erase_person(stack.client, tables_of(stack), account_of(stack, owner), "ann", now=stack.clock())
    assert "'ann'" not in whole(stack).lower()


@pytest.mark.parametrize("other", ["machine", "person", "unknown"])
def test_events_without_ids_are_nobodys_if_several_had_the_name(
    stack: Stack, owner: Key, mail: MailFixture, other: str
) -> None:
    revoke(stack, owner, mail)
    forget_ids(stack, "ann")
    if other == "machine":
        stack.service_user(owner, "ann")
        assert stack.call("DELETE", "/v1/service-users/ann", owner).status == 204
        stack.clock.forward(3600)
        mail.resend()
    else:
        invited(stack, owner, "ann")
        left(stack, owner, mail, "ann")
    if other == "unknown":
        forget_ids(stack, "ann")
    account = account_of(stack, owner)
    before = whole(stack)
    for do in (erase_person, export_person):
        with pytest.raises(LookupError, match="nobody can tell whose they are"):
            do(stack.client, tables_of(stack), account, "ann")
    assert whole(stack) == before
