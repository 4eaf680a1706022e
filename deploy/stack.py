"""Deploys the stack, and makes accounts in it, with the AWS CLI of whoever runs this."""

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


class Refused(Exception):
    """Something is not as it has to be; the text says what to do."""


def stack_name(stage: str) -> str:
    """Answer the stack of a stage. Raises Refused where CloudFormation would not take the name."""
    if not _STAGE.fullmatch(stage):
        raise Refused(f"STAGE={stage}: start with a letter, go on with letters, digits and hyphens.")
    return f"service-users-{stage}"


def deploy(stage: str, bucket: str, parameters: Mapping[str, str]) -> None:
    """Package a stage and make its stack, or bring it up to date; print the stack's outputs.

    Parameters that are not given stay as they were deployed. Without a ``bucket``, the code goes to
    one of ours, made where it is not there. Raises Refused where the authorizer's rules are broken,
    or the AWS CLI fails.
    """
    stack = stack_name(stage)
    if rules := parameters.get("AuthorizerRules"):
        refuse_broken("AuthorizerRules", rules)
    existing = _run("cloudformation", "describe-stacks", "--stack-name", stack, check=False)
    if existing is None and "SenderAddress" not in parameters:
        raise Refused("A first deploy needs SENDER=address: the verified SES identity that emails come from.")
    made = package(stage, PROJECT / "build" / stage)
    bucket = bucket or _own_bucket()
    packaged = made / "packaged.json"
    _run(
        *("cloudformation", "package", "--use-json", "--template-file", str(made / TEMPLATE)),
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
    for name, value in outputs(stack).items():
        print(f"{name}: {value}")


def authorizer_rules(file: Path) -> str:
    """Answer a file of rules as the stack takes them. Raises Refused where they are broken, or not there."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"The authorizer's rules cannot be read: {error}") from error
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is told of below
        text = json.dumps(json.loads(text), separators=(",", ":"))
    refuse_broken(str(file), text)
    return text


def refuse_broken(name: str, rules: str) -> None:
    """Raise Refused, with all that is wrong, where the authorizer could not judge by ``rules``."""
    if faults := check_rules(rules):
        told = "\n  ".join(faults)
        raise Refused(f"{name}: the authorizer cannot judge by these rules (docs/authorizer.md).\n  {told}")


def outputs(stack: str) -> dict[str, str]:
    """Answer a stack's outputs. Raises Refused where there is no such stack."""
    described = json.loads(_run("cloudformation", "describe-stacks", "--stack-name", stack) or "{}")
    return {
        output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0].get("Outputs", ())
    }


def make_account(stage: str, name: str, username: str, email: str) -> None:
    """Make an account with its first OWNER in a deployed stack, and print what came back: the key is in it.

    The answer is nowhere else afterwards. Raises Refused where the function refuses or fails.
    """
    _print_key(stage, "CreateAccountName", {"accountName": name, "username": username, "email": email})


def recover_owner(stage: str, username: str) -> None:
    """Give an OWNER who has lost their way in a new key, and print it as ``make_account`` does."""
    _print_key(stage, "RecoverOwnerName", {"username": username})


def _print_key(stage: str, output: str, payload: dict[str, str]) -> None:
    function = outputs(stack_name(stage)).get(output)
    if function is None:
        raise Refused(f"The stack of '{stage}' has no function for this yet. Deploy this version first.")
    with tempfile.TemporaryDirectory() as directory:
        answer = Path(directory) / "answer.json"
        command = ("lambda", "invoke", "--function-name", function)
        as_text = ("--cli-binary-format", "raw-in-base64-out", "--payload", json.dumps(payload))
        told = json.loads(_run(*command, *as_text, str(answer)) or "{}")
        answered: Any = json.loads(answer.read_text(encoding="utf-8"))
    if "FunctionError" in told:
        raise Refused(str(answered.get("errorMessage", answered)))
    print(json.dumps(answered, indent=2, ensure_ascii=False))
    print("The key is shown this once and kept nowhere. Put it where it belongs now.", file=sys.stderr)


def _own_bucket() -> str:
    """Answer the bucket for code in this AWS account and region, made where it is not there."""
    account = json.loads(_run("sts", "get-caller-identity") or "{}")["Account"]
    region = _region()
    bucket = f"service-users-code-{account}-{region}"
    # The name can be guessed: from a bucket of that name somebody else could hand Lambda other code.
    ours = ("--expected-bucket-owner", account)
    if _run("s3api", "head-bucket", "--bucket", bucket, *ours, check=False) is None:
        elsewhere = (
            () if region == "us-east-1" else ("--create-bucket-configuration", f"LocationConstraint={region}")
        )
        _run("s3api", "create-bucket", "--bucket", bucket, *elsewhere)
        blocked = (
            "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
        )
        _run(
            *("s3api", "put-public-access-block", "--bucket", bucket),
            *("--public-access-block-configuration", blocked),
        )
    return bucket


def _region() -> str:
    """Answer the region the AWS CLI works in."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region := os.environ.get(name):
            return region
    if region := (_run("configure", "get", "region", check=False) or "").strip():
        return region
    raise Refused("Set AWS_REGION to the region the stack is to be in.")


def _run(*arguments: str, check: bool = True, shown: bool = False) -> str | None:
    """Run the AWS CLI and answer what it printed; None where it failed and ``check`` is off."""
    command = ["aws", *arguments, *(() if shown else ("--output", "json"))]
    try:
        done = subprocess.run(command, check=False, text=True, capture_output=not shown)
    except FileNotFoundError:
        raise Refused("The AWS CLI is needed: install it, and sign in (aws configure).") from None
    if done.returncode == 0:
        return done.stdout or ""
    if not check:
        return None
    said = (done.stderr or "").strip()
    raise Refused(f"aws {' '.join(arguments[:2])} failed. {said}".strip())
