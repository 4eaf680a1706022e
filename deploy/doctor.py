"""``make doctor``: whether this AWS account is ready for a deploy. It changes nothing."""

import datetime
import re
from typing import Any

from deploy import aws_cli, runtime
from deploy.checks import CheckFailed, Report, Skipped, Warned
from deploy.stack import Stack, describe_stack, log_groups, stack_name, stuck_advice

ENOUGH_CONCURRENCY = 100
RUNTIME_ENDS = {"python3.13": datetime.date(2029, 6, 30)}
"""When Lambda deprecates a runtime, by AWS's own table. The doctor warns from half a year before."""


def doctor(stage: str, sender: str = "", only: frozenset[str] = frozenset()) -> Report:
    """Check what a deploy needs, print each result, and return the report.

    ``sender`` is the address to deploy with; without one, the deployed stack's is checked.
    """
    report = Report("doctor", stage, only)
    name = stack_name(stage)
    if not report.check("AWS CLI", _cli, needed=True):
        return report
    if not report.check("identity and region", _identity, needed=True):
        return report
    stack = Stack(name)

    def state() -> str:
        nonlocal stack
        stack = describe_stack(name)
        if advice := stuck_advice(stage, stack):
            raise CheckFailed(advice)
        return stack.status or "a first deploy"

    report.check("stack state", state, needed=True)
    report.check("log groups of an earlier stack", lambda: _log_groups(stack))
    report.check("SES account", _ses_account)
    address = sender or stack.parameters.get("SenderAddress", "")
    report.check("sender identity", lambda: _sender(address))
    report.check("API Gateway's role for logs", lambda: _gateway_role(stack))
    report.check("Lambda concurrency", _concurrency)
    report.check("runtime", _runtime)
    return report


def _cli() -> str:
    done = aws_cli.complete("--version")
    version = re.search(r"aws-cli/(\d+)\.(\S+)", (done.stdout or "") + (done.stderr or ""))
    if done.returncode or version is None:
        raise CheckFailed("aws --version does not show a version of the AWS CLI. Reinstall it.")
    return version[0]


def _identity() -> str:
    region = aws_cli.region()
    identity = aws_cli.ask("sts", "get-caller-identity")
    if not identity.get("Account"):
        raise CheckFailed("The AWS CLI is not signed in (aws configure, or aws sso login).")
    return f"signed in, region {region}"


def _log_groups(stack: Stack) -> None:
    if stack.is_new and (left := log_groups(stack.name)):
        raise CheckFailed(
            f"{len(left)} log groups of an earlier stack block the deploy: make teardown STAGE=… lists them."
        )


def _ses_account() -> str:
    account = aws_cli.ask("sesv2", "get-account")
    if not account.get("SendingEnabled", True):
        raise CheckFailed("SES has paused this account's sending in this region: see the SES console.")
    quota: dict[str, Any] = account.get("SendQuota", {})
    if not account.get("ProductionAccessEnabled", False):
        raise Warned(
            "SES is in its sandbox here: only verified addresses get mail. Request production access."
        )
    return f"{quota.get('MaxSendRate', 0):g} emails a second"


def _sender(sender: str) -> str:
    if not sender:
        raise Skipped("Give SENDER=address to check it.")
    domain = sender.partition("@")[2].lower()
    labels = domain.split(".")
    candidates = [sender, *(".".join(labels[start:]) for start in range(len(labels) - 1))]
    for candidate in candidates:
        found = aws_cli.run("sesv2", "get-email-identity", "--email-identity", candidate, check=False)
        if found is None:
            continue
        identity = aws_cli.parse(found)
        if identity.get("VerifiedForSendingStatus"):
            default = identity.get("ConfigurationSetName")
            return f"verified, by {'address' if candidate == sender else 'domain'}" + (
                f", configuration set {default} (a stack sends with its own, unless EmailFeedback=off)"
                if default
                else ""
            )
    raise CheckFailed(
        "Neither the sender nor its domain is a verified SES identity in this region. Verify one of them."
    )


def _gateway_role(stack: Stack) -> str:
    if not stack.is_new and stack.gateway == "http":
        raise Skipped("An HTTP API writes its log without it.")
    role = aws_cli.ask("apigateway", "get-account").get("cloudwatchRoleArn")
    if role:
        return "already set; a first deploy does not change it"
    if stack.is_new:
        return "none; a first deploy sets it up"
    if stack.parameters.get("GatewayLogging") == "there-already":
        raise CheckFailed(
            "The role is not set, so no call is logged: deploy with PARAMETERS=GatewayLogging=set-up."
        )
    raise CheckFailed("The role was removed, so no call is logged. Set it again in API Gateway's settings.")


def _concurrency() -> str:
    limit = aws_cli.ask("lambda", "get-account-settings")["AccountLimit"]["ConcurrentExecutions"]
    if limit < ENOUGH_CONCURRENCY:
        raise Warned(
            f"Lambda runs {limit} executions at once in this account and region, for all functions together. "
            "Ask for 1,000 (Service Quotas, Lambda) before customers call."
        )
    return f"{limit} at once"


def _runtime() -> str:
    ends = RUNTIME_ENDS.get(runtime.NAME)
    if ends is None:
        raise Warned(f"The end of Lambda's support for {runtime.NAME} is not known.")
    left = (ends - datetime.datetime.now(datetime.UTC).date()).days
    if left < 0:
        raise CheckFailed(f"Lambda ended {runtime.NAME} on {ends}: deploy a newer version of Service Users.")
    if left < 183:
        raise Warned(f"Lambda ends {runtime.NAME} on {ends}: upgrade Service Users before.")
    return f"{runtime.NAME}, supported until {ends}"
