"""``make deploy`` and ``make account``, with a fake AWS CLI that records its arguments."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy import maintenance
from deploy.__main__ import main
from deploy.slim import OPERATIONS, slim
from tests.deploy.conftest import OUTPUTS, Aws


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
    assert aws.payload == {"accountName": "Acme", "username": "ann", "email": "ann@example.com"}
    # Version 1 of the AWS CLI does not know the option, and a list of processes shows no email.
    assert "--cli-binary-format" not in invoked
    assert not [word for word in invoked if "ann@example.com" in word]
    assert aws.environment["AWS_MAX_ATTEMPTS"] == "1", "a second try would be refused, and the key lost"


def test_an_owner_is_recovered_and_their_key_printed(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"account": "a", "username": "ann", "keyType": "USER_MANAGEMENT", "apiKey": "suk_x"}
    aws.responses["lambda invoke"] = {"says": {"StatusCode": 200}, "file": made}
    aws.write()
    assert main(["owner", "--stage", "acme", "--username", "ann"]) == 0
    assert json.loads(capsys.readouterr().out) == made
    invoked = aws.of("lambda", "invoke")
    assert after(invoked, "--function-name") == ["service-users-acme-RecoverOwner-X"]
    assert aws.payload == {"username": "ann"}


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
        maintenance,
        "withdrawn_since",
        lambda _, events, source, since: maintenance.Withdrawn(users=frozenset({events, source, str(since)})),
    )
    monkeypatch.setattr(
        maintenance,
        "restore_directory",
        lambda _, source, target, withdrawn: maintenance.Restored(
            len(source), len(target), len(withdrawn.users), ("bot", "eve"), ("ann",)
        ),
    )
    monkeypatch.setattr(
        maintenance,
        "restore_events",
        lambda _, source, target: maintenance.RestoredEvents(len(source + target)),
    )
    monkeypatch.setattr(maintenance, "delete_account", lambda _, d, e, account: (len(d + e), len(account)))
    monkeypatch.setattr(maintenance.deletions, "deletions", lambda _, table: iter(()))
    monkeypatch.setattr("deploy.bulk.refuse_passed_over", lambda *_: None)
    assert main(["restore", "--stage", "acme", "--directory", "copy", "--events", "copies"]) == 1
    assert "--since" in capsys.readouterr().err
    moment = ["--since", "2026-11-23T14:30:00Z"]
    assert main(["restore", "--stage", "acme", "--directory", "copy", "--events", "copies", *moment]) == 0
    assert main(["delete-account", "--stage", "acme", "--account", "abc"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Events: 7 restored.",
        "Directory: 4 items written, 1 deleted, 3 keys revoked again.",
        "Suspended again: bot, eve.",
        "Not suspended, as all OWNERs of an account: ann.",
        "Deleted the account, 2 Users and Service Users, and 3 events.",
    ]

    def nobody(*_: Any) -> Any:
        raise LookupError("There is no account abc.")

    monkeypatch.setattr(maintenance, "delete_account", nobody)
    assert main(["delete-account", "--stage", "acme", "--account", "abc"]) == 1
    assert "no account abc" in capsys.readouterr().err


# A stack in any state


def described(status: str, **parameters: str) -> Any:
    pairs = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    return {"says": {"Stacks": [{"StackStatus": status, "Outputs": OUTPUTS, "Parameters": pairs}]}}


def failed(name: str, reason: str, status: str = "CREATE_FAILED") -> dict[str, str]:
    return {
        "LogicalResourceId": name,
        "ResourceType": "AWS::IAM::Role",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


EVENTS = {
    "StackEvents": [
        failed("service-users-acme", "The following resource(s) failed", "ROLLBACK_COMPLETE"),
        failed("Notify", "Resource creation cancelled"),
        failed("NotifyRole", "not authorized to perform: iam:CreateRole"),
        {
            **failed("service-users-acme", "User Initiated", "CREATE_IN_PROGRESS"),
            "PhysicalResourceId": "arn",
            "StackId": "arn",
        },
        failed("Old", "of an operation before"),
    ]
}


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("ROLLBACK_FAILED", "make teardown STAGE=acme"),
        ("CREATE_FAILED", "make teardown STAGE=acme"),
        ("DELETE_FAILED", "make teardown STAGE=acme"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name service-users-acme"),
        ("UPDATE_IN_PROGRESS", "Wait for its end"),
        ("CREATE_IN_PROGRESS", "Wait for its end"),
        ("DELETE_IN_PROGRESS", "Wait for its end"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Wait for its end"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_left_alone_with_advice(
    aws: Aws, status: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.responses["cloudformation describe-stacks"] = described(status)
    aws.write()
    assert main(["deploy", "--stage", "acme", "--sender", "users@example.com"]) == 1
    assert advice in capsys.readouterr().err
    assert not [call for call in aws.calls if call[1] in ("package", "deploy", "delete-stack")]


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_at_rest_is_updated(aws: Aws, status: str) -> None:
    aws.responses["cloudformation describe-stacks"] = described(status)
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 0
    assert aws.of("cloudformation", "deploy")


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_the_retry_of_a_failed_first_deploy_is_a_first_deploy(
    aws: Aws, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.responses["cloudformation describe-stacks"] = described(status)
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 1
    assert "SENDER=address" in capsys.readouterr().err
    assert main(["deploy", "--stage", "acme", "--sender", "users@example.com"]) == 0
    deleted = [call[1] for call in aws.calls if call[1] in ("delete-stack", "wait", "deploy")]
    assert deleted == [*(["delete-stack", "wait"] if status == "ROLLBACK_COMPLETE" else []), "deploy"]


def test_a_cloudformation_that_does_not_answer_is_no_missing_stack(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.responses["cloudformation describe-stacks"] = {"status": 254, "complains": "AccessDenied"}
    aws.write()
    assert main(["deploy", "--stage", "acme", "--sender", "users@example.com"]) == 1
    assert "AccessDenied" in capsys.readouterr().err
    assert len(aws.calls) == 1


def first_deploy(aws: Aws) -> None:
    aws.responses["cloudformation describe-stacks"] = {"status": 254, "complains": "does not exist"}
    aws.write()


FIRST = ["deploy", "--stage", "acme", "--sender", "users@example.com"]


def test_log_groups_that_stand_in_the_way_are_named_before_anything_is_done(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    first_deploy(aws)
    group = "/service-users/service-users-acme/api"
    aws.responses["logs describe-log-groups"] = {"says": {"logGroups": [{"logGroupName": group}]}}
    aws.write()
    assert main(FIRST) == 1
    assert f"aws logs delete-log-group --log-group-name {group}" in capsys.readouterr().err
    assert not [call for call in aws.calls if call[1] in ("package", "deploy")]


def test_a_gateway_role_that_is_there_is_left_alone(aws: Aws) -> None:
    first_deploy(aws)
    aws.responses["apigateway get-account"] = {"says": {"cloudwatchRoleArn": "arn:aws:iam::1:role/theirs"}}
    aws.write()
    main(FIRST)
    deployed = aws.of("cloudformation", "deploy")
    assert "GatewayLogging=there-already" in after(deployed, "--parameter-overrides")


@pytest.mark.parametrize("given", ["", "GatewayLogging=set-up"])
def test_a_gateway_role_is_set_up_where_there_is_none_or_it_is_asked_for(aws: Aws, given: str) -> None:
    first_deploy(aws)
    if given:
        aws.responses["apigateway get-account"] = {"says": {"cloudwatchRoleArn": "arn:aws:iam::1:role/x"}}
        aws.write()
    main([*FIRST, "--parameters", given])
    overrides = after(aws.of("cloudformation", "deploy"), "--parameter-overrides")
    assert "GatewayLogging=there-already" not in overrides


def test_a_failed_deploy_says_what_failed_and_nothing_that_followed_from_it(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.responses["cloudformation deploy"] = {"status": 255}
    aws.responses["cloudformation describe-stack-events"] = {"says": EVENTS}
    aws.write()
    assert main(["deploy", "--stage", "acme"]) == 1
    shown = capsys.readouterr().err
    assert "NotifyRole (AWS::IAM::Role) CREATE_FAILED: not authorized to perform: iam:CreateRole" in shown
    assert "cancelled" not in shown
    assert "operation before" not in shown


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("RequestPerSecond=50", "Did you mean RequestsPerSecond?"),
        ("Weather=fine", "There are: SenderAddress"),
        ("Nope", "write NAME=VALUE instead of 'Nope'"),
        ("=1", "write NAME=VALUE"),
    ],
)
def test_a_parameter_that_the_stack_does_not_have_is_refused(
    aws: Aws, parameters: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--stage", "acme", "--parameters", parameters]) == 1
    assert said in capsys.readouterr().err
    assert aws.calls == []


def test_closing_the_endpoint_takes_effect_at_once(aws: Aws) -> None:
    outputs = [*OUTPUTS, {"OutputKey": "RestAPIId", "OutputValue": "abc"}]
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [{"Outputs": outputs}]}}
    aws.write()
    assert main(["deploy", "--stage", "acme", "--parameters", "DefaultEndpoint=closed"]) == 0
    made = aws.of("apigateway", "create-deployment")
    assert (after(made, "--rest-api-id"), after(made, "--stage-name")) == (["abc"], ["api"])


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_every_command_is_for_one_region(aws: Aws, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Version 1 of the AWS CLI and boto3 do not read AWS_REGION."""
    for other in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "eu-central-1")
    main(["deploy", "--stage", "acme"])
    assert aws.environment["AWS_REGION"] == aws.environment["AWS_DEFAULT_REGION"] == "eu-central-1"


def test_a_lost_answer_says_how_to_get_a_key(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.responses["lambda invoke"] = {"status": 255, "complains": "Connection was closed"}
    aws.write()
    options = ["--name", "Acme", "--username", "ann", "--email", "ann@example.com"]
    assert main(["account", "--stage", "acme", *options]) == 1
    shown = capsys.readouterr().err
    assert "Connection was closed" in shown
    assert "make owner STAGE=acme USERNAME=ann" in shown


# Deleting a stack


def test_a_teardown_names_what_stays_and_asks_first(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = [
        {"OutputKey": "DirectoryName", "OutputValue": "acme-Directory-X"},
        {"OutputKey": "EventsName", "OutputValue": "acme-Events-X"},
        {"OutputKey": "EventArchiveName", "OutputValue": "acme-archive-x"},
    ]
    parameters = [{"ParameterKey": "GatewayLogging", "ParameterValue": "set-up"}]
    stack = {"StackStatus": "UPDATE_COMPLETE", "Outputs": outputs, "Parameters": parameters}
    aws.responses["cloudformation describe-stacks"] = {"says": {"Stacks": [stack]}}
    groups = [{"logGroupName": "/service-users/service-users-acme/api"}]
    aws.responses["logs describe-log-groups"] = {"says": {"logGroups": groups}}
    aws.write()
    assert main(["teardown", "--stage", "acme", "--confirm", "acme2"]) == 1
    asked = capsys.readouterr().err
    assert not [call for call in aws.calls if call[1] == "delete-stack"]
    assert main(["teardown", "--stage", "acme", "--confirm", "acme"]) == 0
    done = capsys.readouterr().out
    assert aws.of("cloudformation", "delete-stack")
    for shown in (asked, done):
        for kept in ("acme-Directory-X", "acme-Events-X", groups[0]["logGroupName"], "role for logs"):
            assert kept in shown
        assert "aws dynamodb delete-table --table-name acme-Events-X" in shown
        assert "aws s3 rb s3://acme-archive-x" in shown


def test_a_teardown_that_fails_says_why(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.responses["cloudformation wait"] = {"status": 255}
    event = {**failed("RestAPI", "there is a domain name", "DELETE_FAILED")}
    aws.responses["cloudformation describe-stack-events"] = {"says": {"StackEvents": [event]}}
    aws.write()
    assert main(["teardown", "--stage", "acme", "--confirm", "acme"]) == 1
    assert "RestAPI (AWS::IAM::Role) DELETE_FAILED: there is a domain name" in capsys.readouterr().err


def test_a_teardown_of_no_stack_names_the_log_groups_that_stand_in_the_way(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    first_deploy(aws)
    groups = [{"logGroupName": "/service-users/service-users-acme/api"}]
    aws.responses["logs describe-log-groups"] = {"says": {"logGroups": groups}}
    aws.write()
    assert main(["teardown", "--stage", "acme"]) == 0
    assert "aws logs delete-log-group" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["owner", "--username", ""], "USERNAME"),
        (["owner", "--username", " "], "USERNAME"),
        (["account", "--name", "", "--username", "", "--email", ""], "NAME and USERNAME and EMAIL"),
        (["account", "--name", "Acme", "--username", "ann", "--email", ""], "EMAIL"),
    ],
)
def test_what_make_was_not_given_is_named_before_aws_is_asked(
    aws: Aws, capsys: pytest.CaptureFixture[str], arguments: list[str], missing: str
) -> None:
    assert main([*arguments, "--stage", "acme"]) == 1
    assert f"Give {missing} too, as in: make {arguments[0]} STAGE=acme " in capsys.readouterr().err
    assert not aws.calls
