"""Deploys the stack and calls its operator functions, with the AWS CLI of whoever runs this."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chalicelib.authorizer.route_rules import check_rules
from deploy.package import PROJECT, TEMPLATE, package

_STAGE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,100}")


class DeployError(Exception):
    """A command cannot be completed; the message says what to do."""


def stack_name(stage: str) -> str:
    """Return the name of a stage's stack. Raises DeployError if CloudFormation would refuse the name."""
    if not _STAGE.fullmatch(stage):
        raise DeployError(f"STAGE={stage}: use letters, digits and hyphens, and start with a letter.")
    return f"service-users-{stage}"


def deploy(stage: str, bucket: str, parameters: Mapping[str, str], architecture: str = "") -> None:
    """Build the package of a stage, create or update its stack, and print the stack's outputs.

    Parameters that are not given keep their deployed values. Without a ``bucket``, the code goes to the
    account's own code bucket, which is created if it is missing. Raises DeployError if the authorizer's
    rules are invalid or the AWS CLI fails.
    """
    stack = stack_name(stage)
    if rules := parameters.get("AuthorizerRules"):
        require_valid_rules("AuthorizerRules", rules)
    existing = _run("cloudformation", "describe-stacks", "--stack-name", stack, check=False)
    if existing is None and "SenderAddress" not in parameters:
        raise DeployError("A first deploy needs SENDER=address: the verified SES identity for emails.")
    folder = package(stage, PROJECT / "build" / stage, architecture)
    bucket = bucket or _code_bucket()
    packaged = folder / "packaged.json"
    _run(
        *("cloudformation", "package", "--use-json", "--template-file", str(folder / TEMPLATE)),
        *("--s3-bucket", bucket, "--s3-prefix", stack, "--output-template-file", str(packaged)),
        shown=True,
    )
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    _run(
        *("cloudformation", "deploy", "--template-file", str(packaged), "--stack-name", stack),
        *("--s3-bucket", bucket, "--s3-prefix", stack, "--no-fail-on-empty-changeset"),
        *("--capabilities", "CAPABILITY_IAM", "--tags", f"service-users-stage={stage}"),
        *(("--parameter-overrides", *overrides) if overrides else ()),
        shown=True,
    )
    for name, value in stack_outputs(stack).items():
        print(f"{name}: {value}")


def read_authorizer_rules(file: Path) -> str:
    """Return a file of route rules, compacted. Raises DeployError if it is missing or invalid."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"The authorizer's rules cannot be read: {error}") from error
    with contextlib.suppress(ValueError, RecursionError):  # invalid JSON is reported below
        text = json.dumps(json.loads(text), separators=(",", ":"))
    require_valid_rules(str(file), text)
    return text


def require_valid_rules(name: str, rules: str) -> None:
    """Raise DeployError with all errors if the authorizer could not use ``rules``."""
    if errors := check_rules(rules):
        problems = "\n  ".join(errors)
        raise DeployError(f"{name}: the route rules are invalid (docs/authorizer.md).\n  {problems}")


def stack_outputs(stack: str) -> dict[str, str]:
    """Return a stack's outputs. Raises DeployError if there is no such stack."""
    described = json.loads(_run("cloudformation", "describe-stacks", "--stack-name", stack) or "{}")
    return {
        output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0].get("Outputs", ())
    }


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
    with tempfile.TemporaryDirectory() as directory:
        response_file = Path(directory) / "response.json"
        command = ("lambda", "invoke", "--function-name", function)
        as_text = ("--cli-binary-format", "raw-in-base64-out", "--payload", json.dumps(payload))
        status = json.loads(_run(*command, *as_text, str(response_file)) or "{}")
        response: Any = json.loads(response_file.read_text(encoding="utf-8"))
    if "FunctionError" in status:
        raise DeployError(str(response.get("errorMessage", response)))
    print(json.dumps(response, indent=2, ensure_ascii=False))
    print("The key is shown only once and not stored. Save it now.", file=sys.stderr)


def _code_bucket() -> str:
    """Return the bucket for code in this AWS account and region, and create it if it is missing."""
    account = json.loads(_run("sts", "get-caller-identity") or "{}")["Account"]
    region = _region()
    bucket = f"service-users-code-{account}-{region}"
    # The name can be guessed: whoever owned a bucket of that name could give Lambda other code.
    expected_owner = ("--expected-bucket-owner", account)
    if _run("s3api", "head-bucket", "--bucket", bucket, *expected_owner, check=False) is None:
        location = (
            () if region == "us-east-1" else ("--create-bucket-configuration", f"LocationConstraint={region}")
        )
        _run("s3api", "create-bucket", "--bucket", bucket, *location)
        blocked = (
            "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
        )
        _run(
            *("s3api", "put-public-access-block", "--bucket", bucket),
            *("--public-access-block-configuration", blocked),
        )
    return bucket


def _region() -> str:
    """Return the region that the AWS CLI uses."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region := os.environ.get(name):
            return region
    if region := (_run("configure", "get", "region", check=False) or "").strip():
        return region
    raise DeployError("Set AWS_REGION to the region for the stack.")


def _run(*arguments: str, check: bool = True, shown: bool = False) -> str | None:
    """Run the AWS CLI and return its output, or None if it fails and ``check`` is off."""
    command = ["aws", *arguments, *(() if shown else ("--output", "json"))]
    try:
        done = subprocess.run(command, check=False, text=True, capture_output=not shown)
    except FileNotFoundError:
        raise DeployError("The AWS CLI is needed: install and configure it (aws configure).") from None
    if done.returncode == 0:
        return done.stdout or ""
    if not check:
        return None
    complaint = (done.stderr or "").strip()
    raise DeployError(f"aws {' '.join(arguments[:2])} failed. {complaint}".strip())
