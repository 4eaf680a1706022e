"""Deploys the stack and calls its operator functions, with the operator's AWS CLI."""

import contextlib
import difflib
import json
import re
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chalicelib.authorizer.catalogue_check import Checked
from chalicelib.authorizer.route_rules import check_rules
from deploy import aws_cli
from deploy.aws_cli import DeployError
from deploy.package import PROJECT, RESOURCES, TEMPLATE, package
from deploy.release import TAG as RELEASE_TAG
from deploy.shifting import preference_to_deploy, shift_template

_STAGE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,100}")
_DOES_NOT_EXIST = "does not exist"

_STUCK = {
    "ROLLBACK_FAILED": "Its creation failed and could not be undone. Delete it: make teardown STAGE={stage}",
    "CREATE_FAILED": "Its creation failed. Delete it: make teardown STAGE={stage}",
    "DELETE_FAILED": "It could not be deleted. Fix the cause below, then: make teardown STAGE={stage}",
    "UPDATE_ROLLBACK_FAILED": (
        "An update failed and could not be undone. Fix the cause below, then: "
        "aws cloudformation continue-update-rollback --stack-name {stack}"
    ),
}
"""What to do about a stack that CloudFormation does not update, by its status."""


class Stack(NamedTuple):
    """A stack as CloudFormation describes it; ``status`` is empty if there is none."""

    name: str
    status: str = ""
    parameters: Mapping[str, str] = {}
    outputs: Mapping[str, str] = {}

    @property
    def is_new(self) -> bool:
        """Whether it does not exist yet, so that the next deploy creates it."""
        return self.status in ("", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")

    @property
    def gateway(self) -> str:
        """The kind of its API: ``rest``, as every stack of an earlier version has, or ``http``."""
        return self.parameters.get("Gateway") or "rest"


def stack_name(stage: str) -> str:
    """Return the name of a stage's stack. Raises DeployError if CloudFormation would refuse the name."""
    if not _STAGE.fullmatch(stage):
        raise DeployError(f"STAGE={stage}: use letters, digits and hyphens, and start with a letter.")
    return f"service-users-{stage}"


def describe_stack(name: str) -> Stack:
    """Return a stack, or one without a status. Raises DeployError if CloudFormation cannot be asked."""
    done = aws_cli.complete("cloudformation", "describe-stacks", "--stack-name", name)
    if done.returncode:
        if _DOES_NOT_EXIST in (done.stderr or ""):
            return Stack(name)
        raise DeployError(f"aws cloudformation describe-stacks failed. {(done.stderr or '').strip()}")
    [described] = json.loads(done.stdout)["Stacks"]
    return Stack(
        name,
        described.get("StackStatus", "CREATE_COMPLETE"),
        {one["ParameterKey"]: one.get("ParameterValue", "") for one in described.get("Parameters", ())},
        {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", ())},
    )


def read_parameters(text: str) -> dict[str, str]:
    """Return ``NAME=VALUE NAME=VALUE`` as a mapping. Raises DeployError for what is not of that form."""
    parameters = {}
    for pair in text.split():
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise DeployError(f"PARAMETERS: write NAME=VALUE instead of '{pair}'.")
        parameters[name] = value
    return parameters


def require_known_parameters(parameters: Mapping[str, str]) -> None:
    """Raise DeployError for a parameter that the stack does not have; the AWS CLI would ignore it."""
    known = json.loads(RESOURCES.read_text(encoding="utf-8"))["Parameters"]
    for name in parameters.keys() - known.keys():
        close = difflib.get_close_matches(name, known, n=1)
        meant = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."
        raise DeployError(f"The stack has no parameter {name}.{meant}")


def deploy(
    stage: str,
    bucket: str,
    parameters: Mapping[str, str],
    architecture: str,
    catalogue: Checked | None = None,
    confirmed: str = "",
    shift: str = "",
) -> None:
    """Build the package of a stage, create or update its stack, and print the stack's outputs.

    Parameters, a catalogue and how calls ``shift`` (``deploy.shifting``) keep their deployed values if they
    are not given. Without a ``bucket``, the code goes to the account's own code bucket, which is created if
    it is missing. A change that replaces the URL of a stack is made only if the stage is ``confirmed``.
    Raises DeployError if a parameter, the authorizer's rules or the change of the catalogue or the gateway
    are invalid, the stack cannot be updated, or the AWS CLI fails.
    """
    from deploy.catalogue import catalogue_to_deploy
    from deploy.gateway import require_valid_gateway

    require_known_parameters(parameters)
    if rules := parameters.get("AuthorizerRules"):
        require_valid_rules("AuthorizerRules", rules, None)
    stack = describe_stack(stack_name(stage))
    require_valid_gateway(stage, stack, parameters, confirmed)
    parameters = _prepare(stage, stack, parameters)
    checked = catalogue_to_deploy(stage, stack, parameters, catalogue)
    preference = preference_to_deploy(shift, stack.outputs)
    folder = package(stage, PROJECT / "build" / stage, architecture, checked.text)
    release = shift_template(folder, preference, {**stack.parameters, **parameters})
    bucket = bucket or _code_bucket()
    packaged = folder / "packaged.json"
    aws_cli.run(
        *("cloudformation", "package", "--use-json", "--template-file", str(folder / TEMPLATE)),
        *("--s3-bucket", bucket, "--s3-prefix", stack.name, "--output-template-file", str(packaged)),
        shown=True,
    )
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    try:
        aws_cli.run(
            *("cloudformation", "deploy", "--template-file", str(packaged), "--stack-name", stack.name),
            *("--s3-bucket", bucket, "--s3-prefix", stack.name, "--no-fail-on-empty-changeset"),
            *("--capabilities", "CAPABILITY_IAM", "--tags", f"service-users-stage={stage}"),
            f"{RELEASE_TAG}={release}",
            *(("--parameter-overrides", *overrides) if overrides else ()),
            shown=True,
        )
    except DeployError as error:
        raise DeployError("\n".join([str(error), *failures(stack.name)])) from None
    outputs = stack_outputs(stack.name)
    if "DefaultEndpoint" in parameters and not stack.is_new and "RestAPIId" in outputs:
        # A REST API closes or opens its endpoint only with a deployment, which a parameter does not cause.
        aws_cli.run(
            *("apigateway", "create-deployment", "--rest-api-id", outputs["RestAPIId"], "--stage-name", "api")
        )
    for name, value in outputs.items():
        print(f"{name}: {value}")


def _prepare(stage: str, stack: Stack, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters to deploy with, and remove the remains of a creation that failed.

    Raises DeployError if the stack cannot be deployed as it is.
    """
    if advice := stuck_advice(stage, stack):
        raise DeployError(advice)
    prepared = dict(parameters)
    if not stack.is_new:
        if stack.gateway != "rest" and prepared.get("Gateway") == "rest":
            _keep_logging_role(prepared)
        return prepared
    if "SenderAddress" not in prepared:
        raise DeployError("A first deploy needs SENDER=address: the verified SES identity for emails.")
    if stack.status == "ROLLBACK_COMPLETE":
        print(f"{stack.name} was never created: deleting what the failed attempt left.")
        for kept in retained(stack.name):
            print(f"  {kept} stays; it is empty, and nothing needs it.")
        aws_cli.run("cloudformation", "delete-stack", "--stack-name", stack.name)
        aws_cli.run("cloudformation", "wait", "stack-delete-complete", "--stack-name", stack.name)
    if groups := log_groups(stack.name):
        commands = "\n  ".join(f"aws logs delete-log-group --log-group-name {group}" for group in groups)
        raise DeployError(
            "An earlier stack of this stage left log groups, and a new one cannot be created beside them. "
            f"Keep what you need of them, and delete them:\n  {commands}"
        )
    if prepared.get("Gateway", "rest") == "rest":
        _keep_logging_role(prepared)
    return prepared


def _keep_logging_role(parameters: dict[str, str]) -> None:
    """Let a new REST API use the region's role for logs, if there is one: it is one for all of them."""
    if "GatewayLogging" in parameters:
        return
    account = aws_cli.ask("apigateway", "get-account")
    if role := account.get("cloudwatchRoleArn"):
        print(f"API Gateway writes logs in this region as {role} already: GatewayLogging=there-already.")
        parameters["GatewayLogging"] = "there-already"


def stuck_advice(stage: str, stack: Stack) -> str:
    """Return what to do about a stack that CloudFormation does not update now; nothing for any other."""
    if stack.status in _STUCK:
        advice = _STUCK[stack.status].format(stage=stage, stack=stack.name)
        return "\n".join([f"{stack.name} is {stack.status}. {advice}", *failures(stack.name)])
    if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
        return (
            f"{stack.name} is {stack.status}: a deploy is under way. Wait for its end and try again "
            f"(aws cloudformation describe-stacks --stack-name {stack.name})."
        )
    return ""


def failures(stack: str) -> Iterator[str]:
    """Yield why the last operation on a stack failed: each resource with the reason, first to last."""
    events = aws_cli.run(
        "cloudformation", "describe-stack-events", "--stack-name", stack, "--max-items", "500", check=False
    )
    found = []
    for event in json.loads(events or "{}").get("StackEvents", ()):
        status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
        if status.endswith("_FAILED") and "cancelled" not in reason:
            found.append(f"  {event['LogicalResourceId']} ({event['ResourceType']}) {status}: {reason}")
        is_stack = event.get("PhysicalResourceId") == event.get("StackId")
        if is_stack and status.endswith("_IN_PROGRESS") and reason == "User Initiated":
            break
    yield from reversed(found)


def retained(stack: str) -> list[str]:
    """Return what a deleted or rolled back stack has left behind: its resources' physical names.

    A version that is kept is deleted with its function.
    """
    listed = aws_cli.run("cloudformation", "list-stack-resources", "--stack-name", stack, check=False)
    return [
        f"{one['ResourceType']} {one['PhysicalResourceId']}"
        for one in json.loads(listed or "{}").get("StackResourceSummaries", ())
        if (one["ResourceStatus"] == "DELETE_SKIPPED" and one["ResourceType"] != "AWS::Lambda::Version")
        or (one["ResourceType"] == "AWS::DynamoDB::Table" and one["ResourceStatus"] != "DELETE_COMPLETE")
    ]


def log_groups(stack: str) -> list[str]:
    """Return the log groups that a stack of this name has, or has left behind."""
    found = aws_cli.ask("logs", "describe-log-groups", "--log-group-name-prefix", f"/service-users/{stack}/")
    return [group["logGroupName"] for group in found.get("logGroups", ())]


def read_authorizer_rules(file: Path, names: Collection[str] | None = None) -> str:
    """Return a file of route rules, compacted. Raises DeployError if it is missing or invalid.

    ``names`` are the key types that there are; None if only the deployed stack knows them.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"The authorizer's rules cannot be read: {error}") from error
    with contextlib.suppress(ValueError, RecursionError):  # invalid JSON is reported below
        text = json.dumps(json.loads(text), separators=(",", ":"))
    require_valid_rules(str(file), text, names)
    return text


def require_valid_rules(name: str, rules: str, names: Collection[str] | None) -> None:
    """Raise DeployError with all errors if the authorizer could not use ``rules``; ``names`` as above."""
    if errors := check_rules(rules, names):
        problems = "\n  ".join(errors)
        raise DeployError(f"{name}: the route rules are invalid (docs/authorizer.md).\n  {problems}")


def stack_outputs(stack: str) -> dict[str, str]:
    """Return a stack's outputs. Raises DeployError if there is no such stack."""
    described = describe_stack(stack)
    if not described.status:
        raise DeployError(f"There is no stack {stack} in this AWS account and region. Deploy it first.")
    return dict(described.outputs)


class FunctionFailed(DeployError):
    """A function raised an exception; the message is the exception's."""


def invoke(function: str, payload: object) -> Any:
    """Invoke a function once, and return its result.

    Raises FunctionFailed if it fails, and DeployError if it cannot be invoked or its response was lost.
    """
    with tempfile.TemporaryDirectory() as directory:
        request_file, response_file = (Path(directory) / name for name in ("request.json", "response.json"))
        request_file.write_text(json.dumps(payload), encoding="utf-8")
        invoked = aws_cli.complete(
            *("lambda", "invoke", "--function-name", function, "--payload", f"fileb://{request_file}"),
            str(response_file),
            # A retry after a lost response would be refused, and the key was in that response.
            environment={"AWS_MAX_ATTEMPTS": "1"},
        )
        if invoked.returncode:
            raise DeployError(
                f"aws lambda invoke failed, or its response was lost. {(invoked.stderr or '').strip()}"
            )
        response: Any = json.loads(response_file.read_text(encoding="utf-8"))
    if "FunctionError" in json.loads(invoked.stdout or "{}"):
        raise FunctionFailed(str(response.get("errorMessage", response)))
    return response


def create_account(stage: str, name: str, username: str, email: str) -> None:
    """Create an account with its first OWNER in a deployed stack, and print the response with the key.

    The key is shown only here. Raises DeployError if the function refuses or fails.
    """
    _print_key(stage, "CreateAccountName", {"accountName": name, "username": username, "email": email})


def recover_owner(stage: str, username: str) -> None:
    """Issue a replacement key to an OWNER who is locked out, and print it like ``create_account``."""
    _print_key(stage, "RecoverOwnerName", {"username": username})


def _print_key(stage: str, output: str, payload: dict[str, str]) -> None:
    function = stack_outputs(stack_name(stage)).get(output)
    if function is None:
        raise DeployError(
            f"The stack of '{stage}' does not have this function yet. Deploy this version first."
        )
    try:
        response = invoke(function, payload)
    except FunctionFailed as error:
        raise DeployError(str(error)) from None
    except DeployError as error:
        raise DeployError(
            f"{error} If the account exists now, make owner STAGE={stage} USERNAME={payload['username']} "
            "issues its key; otherwise try again."
        ) from None
    print(json.dumps(response, indent=2, ensure_ascii=False))
    print("The key is shown only once and not stored. Save it now.", file=sys.stderr)


def _code_bucket() -> str:
    """Return the bucket for code in this AWS account and region, and create it if it is missing."""
    account = aws_cli.ask("sts", "get-caller-identity")["Account"]
    region = aws_cli.region()
    bucket = f"service-users-code-{account}-{region}"
    # The name can be guessed: whoever owned a bucket of that name could have Lambda run their code.
    expected_owner = ("--expected-bucket-owner", account)
    if aws_cli.run("s3api", "head-bucket", "--bucket", bucket, *expected_owner, check=False) is None:
        location = (
            () if region == "us-east-1" else ("--create-bucket-configuration", f"LocationConstraint={region}")
        )
        aws_cli.run("s3api", "create-bucket", "--bucket", bucket, *location)
        blocked = (
            "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
        )
        aws_cli.run(
            *("s3api", "put-public-access-block", "--bucket", bucket),
            *("--public-access-block-configuration", blocked),
        )
    return bucket
