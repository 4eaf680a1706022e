"""The commands that a page of docs/ tells its reader to run."""

import re
from pathlib import Path

PAGES = ("operations.md", "emails.md", "events.md")
"""The pages for operators."""

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

_BEFORE = r"(?:[A-Z_]+=\S+ )*(?:[A-Z]+=\$\()?"
_COMMAND = re.compile(_BEFORE + r"(?:aws|make|git|curl|service-users|\.venv/bin/python) \S")
_TARGET_ALONE = re.compile(r"make [a-z0-9-]+")


def doc_commands(page: str) -> set[str]:
    """Return the commands of a page, in its blocks and its sentences, each on one line.

    A target of make or a subcommand of aws that is only named, without an argument, is not one; nor is what
    only checks out other sources.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    lines = [line for block in fenced for line in re.sub(r"\\\n", " ", block).splitlines()]
    found = {_on_one_line(it) for it in (*lines, *indented, *re.findall(r"`([^`]+)`", text))}
    return {it for it in found if _COMMAND.match(it) and not _is_mention(it)}


def _on_one_line(command: str) -> str:
    return re.sub(r"\s+", " ", command).strip()


def _is_mention(command: str) -> bool:
    words = command.split(" ")
    sources = words[0] == "git" and "make" not in words
    return sources or _TARGET_ALONE.fullmatch(command) is not None or (words[0] == "aws" and len(words) == 3)


RUN_ELSEWHERE = {
    "make package STAGE=acme": "tests/deploy/test_package.py",
    "make smoke STAGE=acme": "tests/emulator/test_smoke.py",
    "make deploy STAGE=acme GATEWAY=http CONFIRM=acme": "tests/deploy/test_gateway.py",
    "make deploy STAGE=acme SHIFT=AllAtOnce": "tests/deploy/test_shifting.py",
    "make deploy STAGE=acme SHIFT=Canary10Percent5Minutes": "tests/emulator/test_shift.py",
    **dict.fromkeys(
        (
            "aws deploy list-deployment-groups --application-name APPLICATION",
            (
                "aws deploy list-deployments --application-name APPLICATION --deployment-group-name GROUP "
                "--include-only-statuses InProgress"
            ),
            "aws deploy stop-deployment --deployment-id DEPLOYMENT --auto-rollback-enabled",
        ),
        "tests/deploy/test_shifting.py",
    ),
    **dict.fromkeys(
        (
            (
                "aws lambda list-versions-by-function --function-name FUNCTION "
                "--query 'Versions[].[Version,LastModified,Environment.Variables.RELEASE]'"
            ),
            "aws lambda get-alias --function-name FUNCTION --name live",
            "aws lambda update-alias --function-name FUNCTION --name live --function-version GOOD",
        ),
        "tests/emulator/test_shift.py",
    ),
    (
        "aws dynamodb delete-item --table-name EVENTS --key "
        """'{"account": {"S": "DELETED#"}, "id": {"S": "ID"}}'"""
    ): "tests/deploy/test_deletion_records.py",
    "git pull && make deploy STAGE=acme": "tests/emulator/test_deploy.py",
    "git checkout v1.1.0 && make deploy STAGE=acme": "tests/emulator/test_deploy.py",
    "make end-keys STAGE=acme TYPE=billing": "tests/emulator/test_catalogue.py",
    "AWS_REGION=eu-west-1 make deploy STAGE=acme SENDER=…": "tests/deploy/test_deploy.py",
    "AWS_REGION=eu-west-1 .venv/bin/python -m deploy load --stage acme --folder copy": (
        "tests/deploy/test_move.py"
    ),
    "AWS_REGION=eu-west-1 make smoke STAGE=acme": "tests/emulator/test_smoke.py",
    "service-users bulk rotate --label team=tills --overlap 1d --keys rotated.keys --yes": (
        "tests/clients/packages/test_bulk.py"
    ),
}
"""Commands of the runbooks that another test runs than that on the emulator, each with its file."""
