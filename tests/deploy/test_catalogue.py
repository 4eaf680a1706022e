"""The catalogue of a deploy: kept, checked, compared with the deployed one; and ending the keys of a type."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.authorizer.catalogue_check import Checked, check
from chalicelib.authorizer.route_rules import rules_of
from chalicelib.rules import roles
from chalicelib.rules.errors import ConcurrentChange
from chalicelib.rules.roles import KeyType
from deploy import bulk, key_types
from deploy.__main__ import main
from deploy.bulk import Tables
from deploy.catalogue import (
    DEFAULT_CATALOGUE,
    catalogue_to_deploy,
    deployed_catalogue,
    opens_more,
    read_catalogue,
)
from deploy.key_types import end_keys, holders_of
from deploy.package import METADATA
from deploy.stack import DeployError
from deploy.stack import Stack as DeployedStack
from tests.deploy.conftest import OUTPUTS, Aws
from tests.support.api_client import Key, Stack
from tests.support.dynamodb_faults import FunctionKilled, before_next_call
from tests.support.mail import MailFixture

DAY = 86_400
BILLING = {"name": "billing", "opens": [{"path": "/billing/*", "methods": ["GET"]}]}


from_the_default = pytest.mark.default_catalogue(reason="a stack of the default key types is given others")


def checked(*entries: Any) -> Checked:
    return check(json.dumps({"keyTypes": list(entries)}))


def file_of(folder: Path, given: Any) -> str:
    file = folder / "catalogue.json"
    file.write_text(given if isinstance(given, str) else json.dumps(given), encoding="utf-8")
    return str(file)


def deployed(stack: Stack | None = None, **parameters: str) -> DeployedStack:
    outputs = {it["OutputKey"]: it["OutputValue"] for it in OUTPUTS}
    if stack is not None:
        outputs["DirectoryName"] = stack.tables.directory
    return DeployedStack("service-users-acme", "UPDATE_COMPLETE", parameters, outputs)


@pytest.fixture
def owner(stack: Stack) -> Key:
    return stack.account()


@pytest.fixture
def with_catalogue(aws: Aws) -> Aws:
    """A stack that was deployed with the catalogue of one type, billing."""
    template = {"Metadata": {METADATA: {"keyTypes": [BILLING]}}}
    aws.responses["cloudformation get-template"] = {"says": {"TemplateBody": template}}
    aws.write()
    return aws


# Before anything is deployed


def test_every_error_is_named_before_anything_is_done(
    aws: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = file_of(tmp_path, {"keyTypes": [{"name": "1"}, {"name": "b", "leastRole": "X"}]})
    for command in ("deploy", "package"):
        assert main([command, "--stage", "acme", "--catalogue", bad]) == 1
        said = capsys.readouterr().err
        assert "docs/catalogue.md" in said
        assert "Key type 1, name" in said
        assert "Key type 2, leastRole" in said
        assert main([command, "--stage", "acme", "--catalogue", str(tmp_path / "none.json")]) == 1
        assert "cannot be read" in capsys.readouterr().err
    assert aws.calls == []


def test_a_new_stack_gets_the_catalogue_and_an_upgrade_keeps_it(
    with_catalogue: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packaged: list[Any] = []
    from deploy import stack

    made = stack.package("acme", tmp_path)

    def package(*given: Any) -> Path:
        packaged.append(given[3])
        return made

    monkeypatch.setattr(stack, "package", package)
    assert main(["deploy", "--stage", "acme"]) == 0
    with_catalogue.responses["cloudformation describe-stacks"] = {
        "status": 254,
        "complains": "does not exist",
    }
    with_catalogue.write()
    assert catalogue_to_deploy("acme", DeployedStack("new"), {}, None) == DEFAULT_CATALOGUE
    named = read_catalogue("default")
    assert catalogue_to_deploy("acme", DeployedStack("new"), {}, named) == DEFAULT_CATALOGUE
    assert [json.loads(it)["keyTypes"][0]["name"] for it in packaged] == ["billing"]


def test_rules_may_name_only_types_of_the_catalogue(
    with_catalogue: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"path": "/a", "methods": ["GET"], "keyTypes": ["MONITORING"], "leastRole": "READ_ONLY"}
    (tmp_path / "rules.json").write_text(json.dumps([rule]), encoding="utf-8")
    rules = ["--authorizer-rules", str(tmp_path / "rules.json")]
    assert main(["deploy", "--stage", "acme", *rules]) == 1
    assert "keyTypes: give a list of billing, USER_MANAGEMENT" in capsys.readouterr().err
    before = len(with_catalogue.calls)
    given = ["--catalogue", file_of(tmp_path, {"keyTypes": [BILLING, {"name": "more"}]})]
    assert main(["deploy", "--stage", "acme", *rules, *given]) == 1
    assert "keyTypes: give a list of billing, more, USER_MANAGEMENT" in capsys.readouterr().err
    assert len(with_catalogue.calls) == before, "before anything is asked of AWS"


def test_rules_of_the_stack_hold_a_type_in_the_catalogue(with_catalogue: Aws) -> None:
    rule = {"path": "/a", "methods": ["GET"], "keyTypes": ["billing"], "leastRole": "READ_ONLY"}
    stack = deployed(AuthorizerRules=json.dumps([rule]))
    assert catalogue_to_deploy("acme", stack, {}, None).catalogue.key_types[0].name == "billing"
    with pytest.raises(DeployError, match="AuthorizerRules"):
        catalogue_to_deploy("acme", stack, {}, checked({"name": "other"}))


def test_a_deployed_catalogue_that_is_not_valid_any_more_is_reported(aws: Aws) -> None:
    template = json.dumps({"Metadata": {METADATA: {"keyTypes": []}}})
    aws.responses["cloudformation get-template"] = {"says": {"TemplateBody": template}}
    aws.write()
    with pytest.raises(DeployError, match="does not accept the catalogue"):
        deployed_catalogue(deployed())


# A stack with keys


@from_the_default
def test_a_type_that_keys_have_cannot_be_removed(
    stack: Stack, owner: Key, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    stack.service_user(owner, "ci-bot", keyTypes=["MONITORING"])
    stack.service_user(owner, "other", keyTypes=["PROVISIONING_READONLY"])
    with pytest.raises(DeployError) as refused:
        catalogue_to_deploy("acme", deployed(stack), {}, checked(BILLING))
    said = str(refused.value)
    account = stack.call("GET", "/v1/whoami", owner).json["account"]
    assert "MONITORING is not in the catalogue any more, but keys of it exist" in said
    assert "make end-keys STAGE=acme TYPE=MONITORING" in said
    assert f"1 keys: ci-bot (account {account})." in said
    assert "PROVISIONING_READONLY is not" in said
    assert "PROVISIONING is not" not in said, "nobody has a key of it"
    for name in ("MONITORING", "PROVISIONING_READONLY"):
        assert end(stack, name) == 1
    chosen = catalogue_to_deploy("acme", deployed(stack), {}, checked(BILLING))
    assert chosen.catalogue.key_types[0].name == "billing"


@from_the_default
def test_many_holders_are_counted_and_the_first_named(
    stack: Stack, owner: Key, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    monkeypatch.setattr("deploy.catalogue.SHOWN", 1)
    for name in ("a-bot", "b-bot", "c-bot"):
        stack.service_user(owner, name, keyTypes=["MONITORING"])
    with pytest.raises(DeployError, match=r"3 keys: a-bot \(account [^)]*\) and 2 more\."):
        catalogue_to_deploy("acme", deployed(stack), {}, checked(BILLING))


@from_the_default
def test_a_type_that_opens_more_needs_new_keys(
    stack: Stack, owner: Key, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    types = [
        {"name": "MONITORING", "opens": [{"path": "/more/*", "methods": ["GET"]}]},
        {"name": "PROVISIONING_READONLY"},
        {"name": "PROVISIONING", "leastRole": "CLUSTER_ADMIN"},
    ]
    with pytest.raises(DeployError, match="MONITORING opens more than before"):
        catalogue_to_deploy("acme", deployed(stack), {}, checked(*types))
    rule = {"path": "/a", "methods": ["GET"], "keyTypes": ["MONITORING"], "leastRole": "READ_ONLY"}
    own = {"AuthorizerRules": json.dumps([rule])}
    assert catalogue_to_deploy("acme", deployed(stack), own, checked(*types)), (
        "the operator's own rules decide"
    )
    kept = deployed(stack, **own)
    with pytest.raises(DeployError, match="MONITORING opens more than before"):
        catalogue_to_deploy("acme", kept, {"AuthorizerRules": ""}, checked(*types))


def test_the_key_type_of_management_opens_more_only_by_rules_of_the_operators_own(
    stack: Stack, owner: Key, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are always keys of it, and they are not ended."""
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    opens = {"name": "USER_MANAGEMENT", "opens": [{"path": "/settings/*", "methods": ["GET"]}]}
    kept = [{"name": it.name} for it in DEFAULT_CATALOGUE.catalogue.key_types[:3]]
    with pytest.raises(DeployError) as refused:
        catalogue_to_deploy("acme", deployed(stack), {}, checked(*kept, opens))
    assert "USER_MANAGEMENT opens more than before" in str(refused.value)
    assert "RULES=file). 1 keys: owner" in str(refused.value)
    assert "end-keys" not in str(refused.value)


def test_a_type_whose_name_old_keys_have_cannot_be_added(
    stack: Stack, owner: Key, with_catalogue: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not sign in while the catalogue has no such type, and adding it would let them again."""
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    more = checked(BILLING, {"name": "MONITORING"})
    with pytest.raises(DeployError, match="MONITORING is new in the catalogue, but keys of an earlier type"):
        catalogue_to_deploy("acme", deployed(stack), {}, more)
    assert end(stack, "MONITORING") == 1
    assert catalogue_to_deploy("acme", deployed(stack), {}, more) == more


@from_the_default
def test_other_words_and_stricter_types_need_no_look_at_the_keys(aws: Aws) -> None:
    types = [
        {
            "name": "MONITORING",
            "displayName": "Metrics",
            "leastRole": "CLUSTER_ADMIN",
            "maxLifeDays": 30,
            "requiresNetworks": True,
            "opens": [{"path": "/monitoring/metrics", "methods": ["GET"], "leastRole": "OWNER"}],
        },
        {"name": "PROVISIONING_READONLY"},
        {"name": "PROVISIONING"},
    ]
    given = checked(*types)
    assert catalogue_to_deploy("acme", deployed(), {}, given) == given


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (("/a/*", "GET"), ("/a/*", "GET"), False),
        (("/a/*", "GET"), ("/a/b", "GET"), False),
        (("/a/*", "GET"), ("/a/b/*", "HEAD"), False),
        (("/a/*", "ANY"), ("/a/b/*", "DELETE"), False),
        (("/*", "ANY"), ("/", "ANY"), False),
        (("/", "GET"), ("/*", "GET"), True),
        (("/a", "GET"), ("/a/*", "GET"), True),
        (("/a/b", "GET"), ("/a/*", "GET"), True),
        (("/a/*", "GET"), ("/ab/*", "GET"), True),
        (("/a/*", "GET"), ("/a/*", "POST"), True),
        (("/a/*", "GET", "OWNER"), ("/a/*", "GET"), True),
        (("/a/*", "GET"), ("/a/*", "GET", "OWNER"), False),
        (("/a/*", "HEAD"), ("/a/*", "GET"), True),
    ],
)
def test_what_opens_more(before: tuple[str, ...], after: tuple[str, ...], more: bool) -> None:
    def rules(opening: tuple[str, ...]) -> Any:
        path, method, *role = opening
        given = {"path": path, "methods": [method], **({"leastRole": role[0]} if role else {})}
        return rules_of(checked({"name": "billing", "opens": [given]}).catalogue)

    assert opens_more(KeyType("billing"), rules(before), rules(after)) is more
    assert not opens_more(KeyType("other"), rules(before), rules(after))


def test_a_stack_that_goes_back_to_the_default_can_still_show_what_it_stored(
    with_catalogue: Aws, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its contract is that of the default, but for responses with what was stored: an open set."""
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    named = read_catalogue("default")
    chosen = catalogue_to_deploy("acme", deployed(stack), {}, named)
    names = [it.name for it in DEFAULT_CATALOGUE.catalogue.key_types]
    assert [it.name for it in chosen.catalogue.key_types] == names
    assert rules_of(chosen.catalogue) == rules_of(DEFAULT_CATALOGUE.catalogue)
    made = subprocess.run(
        [sys.executable, "-m", "contract"],
        env={**os.environ, "SERVICE_USERS_CATALOGUE": file_of(tmp_path, chosen.text)},
        check=True,
        capture_output=True,
    )
    schemas = json.loads(made.stdout)["components"]["schemas"]
    assert schemas["KeyType"]["enum"] == names
    for name in ("ApiKey", "KeyChange"):
        assert schemas[name]["properties"]["keyType"]["examples"] == names
        assert "enum" not in schemas[name]["properties"]["keyType"]
    template = {"Metadata": {METADATA: json.loads(chosen.text)}}
    with_catalogue.responses["cloudformation get-template"] = {"says": {"TemplateBody": template}}
    with_catalogue.write()
    for given in (None, named):
        assert catalogue_to_deploy("acme", deployed(stack), {}, given) == chosen, "and it stays so"


# Ending the keys of a type


def end(stack: Stack, name: str, days: int = 0, **more: Any) -> int:
    tables = Tables(stack.tables.directory, stack.tables.events, 400)
    return end_keys(stack.client, tables, name, days, report=more.get("report", str), now=stack.clock)


def test_the_keys_of_a_type_end_with_an_event_and_an_email_each(stack: Stack, owner: Key) -> None:
    bot = stack.service_user(owner, "bot")["MONITORING"]
    reader = stack.user(owner, "reader", "READ_ONLY")
    assert end(stack, "MONITORING") == 2
    assert not stack.signs_in(bot)
    assert not stack.signs_in(reader)
    assert stack.stored_keys("bot").keys() == {"PROVISIONING_READONLY"}
    events = {it["subject"]["username"]: it for it in stack.events("API_KEY_REVOKED")}
    assert events.keys() == {"bot", "reader"}
    for event in events.values():
        assert event["actor"]["kind"] == "OPERATOR"
        assert event["cause"] == "OPERATOR"
        assert event["reason"] == "The operator ends the key type MONITORING"
        assert "waiting" in event
    assert events["bot"]["audience"] == "ADMINISTRATORS"
    assert end(stack, "MONITORING") == 0, "a second run has nothing to do"


def test_a_run_that_is_interrupted_goes_on_where_it_was(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-bot", "b-bot", "c-bot"):
        stack.service_user(owner, name, keyTypes=["MONITORING"])
    monkeypatch.setattr(bulk, "_EVERY", 1)
    said: list[str] = []

    def killed(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end(stack, "MONITORING", report=killed)
    assert said == ["Ended the keys of 1 principals."]
    left = 3 - len(stack.events("API_KEY_REVOKED"))
    assert end(stack, "MONITORING") == left
    assert len(stack.events("API_KEY_REVOKED")) == 3


@pytest.mark.parametrize("when", ["before-call", "after-call"])
@pytest.mark.parametrize("write", [0, 1, 2])
def test_a_run_that_is_killed_beside_any_write_ends_each_key_once(
    stack: Stack, owner: Key, when: str, write: int
) -> None:
    for name in ("a-bot", "b-bot", "c-bot"):
        stack.service_user(owner, name, keyTypes=["MONITORING"])
    writes = iter(range(3))

    def kill(**_more: Any) -> None:
        if next(writes) == write:
            raise FunctionKilled

    event = f"{when}.dynamodb.TransactWriteItems"
    stack.client.meta.events.register(event, kill)
    try:
        with pytest.raises(FunctionKilled):
            end(stack, "MONITORING")
    finally:
        stack.client.meta.events.unregister(event, kill)
    done = write + (when == "after-call")
    assert end(stack, "MONITORING") == 3 - done
    revoked = [it["subject"]["username"] for it in stack.events("API_KEY_REVOKED")]
    assert sorted(revoked) == ["a-bot", "b-bot", "c-bot"]


def test_keys_can_be_given_time(stack: Stack, owner: Key) -> None:
    bot = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    soon = stack.service_user(owner, "soon", keyTypes=["MONITORING"])["MONITORING"]
    near = {"keyType": "MONITORING", "expiresAt": "2999-01-01T00:00:00Z"}
    assert stack.call("PATCH", "/v1/service-users/soon/api-keys", owner, near).status == 200
    assert end(stack, "MONITORING", days=5) == 2
    assert end(stack, "MONITORING", days=5) == 0
    assert stack.signs_in(bot)
    stack.clock.forward(5 * DAY)
    assert not stack.signs_in(bot)
    assert not stack.signs_in(soon)


def test_a_key_whose_life_a_rotation_would_renew_ends_too(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(roles._ENTRIES["MONITORING"], max_life_days=7)
    monkeypatch.setattr(roles, "_ENTRIES", {**roles._ENTRIES, "MONITORING": entry})
    stack.service_user(owner, "expired", keyTypes=["MONITORING"])
    stack.clock.forward(8 * DAY)
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    stack.service_user(owner, "old", keyTypes=["MONITORING"])
    stack.clock.forward(3 * DAY)
    assert end(stack, "MONITORING", days=30) == 2, "two have four days left, and one has expired"
    assert end(stack, "MONITORING", days=30) == 0
    rotated = stack.call("POST", "/v1/api-keys/rotate", key)
    assert rotated.status == 200
    assert stack.signs_in(Key("bot", rotated.json["key"]))
    stack.clock.forward(4 * DAY)
    assert not stack.signs_in(Key("bot", rotated.json["key"]))


@pytest.mark.parametrize(("name", "days"), [("USER_MANAGEMENT", 0), ("MONITORING", -1), ("MONITORING", 366)])
def test_what_cannot_be_ended_is_refused(stack: Stack, owner: Key, name: str, days: int) -> None:
    with pytest.raises(ValueError, match=r"USER_MANAGEMENT keys|Give --days"):
        end(stack, name, days)


def test_nobody_keeps_a_key_by_rotating_it(stack: Stack, owner: Key) -> None:
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]

    def rotate() -> None:
        assert stack.call("POST", "/v1/api-keys/rotate", key).status == 200

    with before_next_call(stack, "TransactWriteItems", rotate):
        assert end(stack, "MONITORING") == 1
    assert stack.stored_keys("bot") == {}


def test_a_type_without_end_is_reported(stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    monkeypatch.setattr(key_types._Job, "_change", lambda *_args, **_more: (_ for _ in ()).throw(_busy()))
    with pytest.raises(ConcurrentChange):
        end(stack, "MONITORING")


def _busy() -> Exception:
    from chalicelib.rules.errors import concurrent_change

    return concurrent_change()


def test_a_key_of_a_type_that_was_removed_by_force_can_be_ended(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    left = {it: entry for it, entry in roles._ENTRIES.items() if it != "MONITORING"}
    monkeypatch.setattr(roles, "_ENTRIES", left)
    assert [it.username for it in holders_of(stack.client, stack.tables.directory, {"MONITORING"})] == ["bot"]
    assert end(stack, "MONITORING") == 1
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend_until_done()
    [(_, message)] = [it for it in mail.ses.sent if "revoked" in str(it[1]["Subject"])]
    assert "MONITORING" in str(message["Subject"])


def test_the_command_asks_for_a_confirmation(
    stack: Stack, owner: Key, aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("boto3.client", lambda *_args, **_more: stack.client)
    names = {"DirectoryName": stack.tables.directory, "EventsName": stack.tables.events}
    outputs = [{"OutputKey": name, "OutputValue": value} for name, value in names.items()]
    parameters = [{"ParameterKey": "EventRetentionDays", "ParameterValue": "400"}]
    described = {"Stacks": [{"Outputs": outputs, "Parameters": parameters}]}
    aws.responses["cloudformation describe-stacks"] = {"says": described}
    aws.write()
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    command = ["end-keys", "--stage", "acme", "--type", "MONITORING"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "1 principals have MONITORING keys. None was ended." in said.out
    assert "--confirm MONITORING" in said.err
    assert main([*command, "--days", "30", "--confirm", "MONITORING"]) == 0
    assert "1 MONITORING keys expire in 30 days" in capsys.readouterr().out
    assert main([*command, "--confirm", "MONITORING"]) == 0
    assert "1 MONITORING keys are revoked" in capsys.readouterr().out
    assert (
        main(["end-keys", "--stage", "acme", "--type", "USER_MANAGEMENT", "--confirm", "USER_MANAGEMENT"])
        == 1
    )
    assert "they stay" in capsys.readouterr().err
