"""``make deploy`` and ``make account``, with a fake AWS CLI that records its arguments."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import maintenance, stack
from deploy.__main__ import main
from deploy.slim import OPERATIONS, slim

CLI = """#!{python}
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
responses = json.loads((here / "responses.json").read_text())
response = responses.get(" ".join(sys.argv[1:3]), {{}})
if "file" in response:
    file = sys.argv[-3] if sys.argv[-2] == "--output" else sys.argv[-1]
    Path(file).write_text(json.dumps(response["file"]))
sys.stdout.write(json.dumps(response.get("says", "")) if response.get("says") else "")
sys.stderr.write(response.get("complains", ""))
sys.exit(response.get("status", 0))
"""
OUTPUTS = [
    {"OutputKey": "EndpointURL", "OutputValue": "https://abc.example/api"},
    {"OutputKey": "CreateAccountName", "OutputValue": "service-users-acme-CreateAccount-X"},
    {"OutputKey": "RecoverOwnerName", "OutputValue": "service-users-acme-RecoverOwner-X"},
]


class Aws:
    """The calls of the fake AWS CLI, and its responses."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.responses: dict[str, Any] = {
            "cloudformation describe-stacks": {"says": {"Stacks": [{"Outputs": OUTPUTS}]}},
            "sts get-caller-identity": {"says": {"Account": "123456789012"}},
        }
        cli = home / "aws"
        cli.write_text(CLI.format(python=sys.executable))
        cli.chmod(0o755)
        self.write()

    def write(self) -> None:
        (self._home / "responses.json").write_text(json.dumps(self.responses))

    @property
    def calls(self) -> list[list[str]]:
        file = self._home / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def of(self, *words: str) -> list[str]:
        """Return the one call that begins with these words."""
        [one] = [call for call in self.calls if call[: len(words)] == list(words)]
        return one


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    made = tmp_path / "package"
    made.mkdir()
    (made / "sam.json").write_text("{}")
    monkeypatch.setattr(stack, "package", lambda *_: made)
    return Aws(tmp_path)


def after(call: list[str], option: str) -> list[str]:
    """Return the arguments after an option, up to the next option."""
    rest = call[call.index(option) + 1 :]
    end = next((n for n, word in enumerate(rest) if word.startswith("--")), len(rest))
    return rest[:end]


def test_any_stage_name_deploys_to_a_stack_of_its_own(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["deploy", "--stage", "Acme-2", "--sender", "users@example.com", "--memory", "512"]
    more = ["--parameters", "LogLevel=DEBUG GatewayLogging=there-already", "--alarms", ""]
    assert main([*arguments, *more]) == 0
    packaged = aws.of("cloudformation", "package")
    assert after(packaged, "--s3-bucket") == ["service-users-code-123456789012-eu-west-1"]
    deployed = aws.of("cloudformation", "deploy")
    assert after(deployed, "--stack-name") == ["service-users-Acme-2"]
    assert after(deployed, "--capabilities") == ["CAPABILITY_IAM"]
    assert set(after(deployed, "--parameter-overrides")) == {
        "LogLevel=DEBUG",
        "GatewayLogging=there-already",
        "SenderAddress=users@example.com",
        "Memory=512",
    }
    assert "EndpointURL: https://abc.example/api" in capsys.readouterr().out


def test_an_upgrade_leaves_parameters_as_they_are(aws: Aws) -> None:
    assert main(["deploy", "--stage", "acme", "--bucket", "mine"]) == 0
    deployed = aws.of("cloudformation", "deploy")
    assert "--parameter-overrides" not in deployed
    assert after(deployed, "--s3-bucket") == ["mine"]
    assert not [call for call in aws.calls if call[0] in ("s3api", "sts")]


def test_a_first_deploy_requires_the_sender(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.responses["cloudformation describe-stacks"] = {"status": 254, "complains": "does not exist"}
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 1
    assert "SENDER=address" in capsys.readouterr().err
    assert len(aws.calls) == 1


def test_the_code_goes_to_no_other_owners_bucket(aws: Aws) -> None:
    """Its name can be guessed, and another AWS account may own it."""
    assert main(["deploy", "--stage", "acme"]) == 0
    [owner] = after(aws.of("s3api", "head-bucket"), "--expected-bucket-owner")
    assert owner in after(aws.of("s3api", "head-bucket"), "--bucket")[0]


def test_a_stack_without_the_function_is_reported(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [{"Outputs": []}]}}
    aws.write()
    assert main(["owner", "--stage", "acme", "--username", "ann"]) == 1
    assert "Deploy this version first" in capsys.readouterr().err


def test_the_bucket_is_made_once_and_closed_to_the_public(aws: Aws) -> None:
    aws.responses["s3api head-bucket"] = {"status": 254}
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 0
    made = aws.of("s3api", "create-bucket")
    assert after(made, "--create-bucket-configuration") == ["LocationConstraint=eu-west-1"]
    blocked = aws.of("s3api", "put-public-access-block")
    assert "RestrictPublicBuckets=true" in after(blocked, "--public-access-block-configuration")[0]


def test_the_region_is_the_environments_or_the_profiles_or_asked_for(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert main(["deploy", "--stage", "acme"]) == 1
    assert "Set AWS_REGION" in capsys.readouterr().err
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.responses["s3api head-bucket"] = {"status": 254}
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 0
    assert "--create-bucket-configuration" not in aws.of("s3api", "create-bucket")


@pytest.mark.parametrize("stage", ["", "9lives", "a b", "a_b", "x" * 102])
def test_a_stage_that_is_no_stack_name_is_reported(
    aws: Aws, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--stage", stage]) == 1
    assert "letters, digits and hyphens" in capsys.readouterr().err
    assert aws.calls == []


def test_a_new_account_shows_its_key_once(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    made = {
        "account": "a",
        "accountName": "Acme",
        "username": "ann",
        "keyType": "USER_MANAGEMENT",
        "apiKey": "suk_x",
    }
    aws.responses["lambda invoke"] = {"says": {"StatusCode": 200}, "file": made}
    aws.write()
    options = ["--name", "Acme", "--username", "ann", "--email", "ann@example.com"]
    assert main(["account", "--stage", "acme", *options]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == made
    assert "not stored" in shown.err
    invoked = aws.of("lambda", "invoke")
    assert after(invoked, "--function-name") == ["service-users-acme-CreateAccount-X"]
    assert json.loads(after(invoked, "--payload")[0]) == {
        "accountName": "Acme",
        "username": "ann",
        "email": "ann@example.com",
    }


def test_an_owner_is_recovered_and_their_key_printed(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"account": "a", "username": "ann", "keyType": "USER_MANAGEMENT", "apiKey": "suk_x"}
    aws.responses["lambda invoke"] = {"says": {"StatusCode": 200}, "file": made}
    aws.write()
    assert main(["owner", "--stage", "acme", "--username", "ann"]) == 0
    assert json.loads(capsys.readouterr().out) == made
    invoked = aws.of("lambda", "invoke")
    assert after(invoked, "--function-name") == ["service-users-acme-RecoverOwner-X"]
    assert json.loads(after(invoked, "--payload")[0]) == {"username": "ann"}


def test_a_refused_account_is_reported_with_the_reason(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.responses["lambda invoke"] = {
        "says": {"StatusCode": 200, "FunctionError": "Unhandled"},
        "file": {"errorMessage": "No account was made. /username: 'ann' is taken.", "errorType": "Conflict"},
    }
    aws.write()
    options = ["--name", "Acme", "--username", "ann", "--email", "ann@example.com"]
    assert main(["account", "--stage", "acme", *options]) == 1
    assert "'ann' is taken" in capsys.readouterr().err


def test_errors_of_the_cli_are_passed_on(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.responses["sts get-caller-identity"] = {"status": 255, "complains": "Unable to locate credentials"}
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 1
    assert "Unable to locate credentials" in capsys.readouterr().err


def test_a_missing_cli_is_reported(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["deploy", "--stage", "acme"]) == 1
    assert "The AWS CLI is needed" in capsys.readouterr().err


def test_a_model_without_one_of_our_operations_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "botocore" / "data"
    for service in OPERATIONS:
        version = data / service / "2020-01-01"
        version.mkdir(parents=True)
        (version / "service-2.json").write_text(json.dumps({"operations": {}, "shapes": {}}))
    with pytest.raises(FileNotFoundError, match="no operation"):
        slim(tmp_path)


def test_maintenance_finds_the_tables_by_the_stack_outputs(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [
        {"OutputKey": "DirectoryName", "OutputValue": "D"},
        {"OutputKey": "EventsName", "OutputValue": "E"},
    ]
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [{"Outputs": named}]}}
    aws.write()
    monkeypatch.setattr(
        maintenance, "restore_directory", lambda _, source, target: (len(source), len(target))
    )
    monkeypatch.setattr(maintenance, "restore_events", lambda _, source, target: len(source + target))
    monkeypatch.setattr(maintenance, "delete_account", lambda _, d, e, account: (len(d + e), len(account)))
    assert main(["restore", "--stage", "acme", "--directory", "copy", "--events", "copies"]) == 0
    assert main(["delete-account", "--stage", "acme", "--account", "abc"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Directory: 4 items written, 1 deleted.",
        "Events: 7 restored.",
        "Deleted the account, 2 Users and Service Users, and 3 events.",
    ]

    def nobody(*_: Any) -> Any:
        raise LookupError("There is no account abc.")

    monkeypatch.setattr(maintenance, "delete_account", nobody)
    assert main(["delete-account", "--stage", "acme", "--account", "abc"]) == 1
    assert "no account abc" in capsys.readouterr().err
