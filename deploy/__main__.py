"""``python -m deploy``: the commands behind ``make package``, ``make deploy`` and others for operators."""

import argparse
import datetime
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import aws_cli
from deploy.aws_cli import DeployError
from deploy.catalogue import DEFAULT_CATALOGUE, DEFAULT_NAME, read_catalogue
from deploy.checks import Report
from deploy.package import PROJECT, package
from deploy.runtime import ARCHITECTURES
from deploy.stack import (
    create_account,
    deploy,
    describe_stack,
    read_authorizer_rules,
    read_parameters,
    recover_owner,
    stack_name,
    stack_outputs,
)
from deploy.teardown import teardown
from deploy.wheels import WheelError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from deploy.bulk import Tables

_PARAMETERS_BY_OPTION = {
    "sender": "SenderAddress",
    "gateway": "Gateway",
    "public_url": "PublicUrl",
    "memory": "Memory",
    "log_days": "LogRetentionDays",
    "event_days": "EventRetentionDays",
    "alarms": "AlarmAddress",
}


def main(arguments: list[str]) -> int:
    """Run the command in ``arguments``, and return the exit status."""
    args = _parser().parse_args(arguments)
    try:
        stack_name(args.stage)  # reported before anything is built
        args.command(args)
    except (DeployError, WheelError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("package", help="build the package in build/STAGE")
    command.add_argument("--out", type=Path, help="folder to build in, instead of build/STAGE")
    _add_architecture(command)
    _add_catalogue(command)
    command.set_defaults(command=_package)

    command = commands.add_parser("deploy", help="build the package and deploy it as service-users-STAGE")
    command.add_argument("--bucket", default="", help="bucket for the code; created if it is missing")
    for option in _PARAMETERS_BY_OPTION:
        command.add_argument(f"--{option.replace('_', '-')}", default="")
    command.add_argument("--authorizer-rules", default="", help="file with route rules: docs/authorizer.md")
    command.add_argument("--parameters", default="", help="further parameters: NAME=VALUE NAME=VALUE")
    command.add_argument(
        "--shift", default="", help="shift calls to the new version: Canary10Percent5Minutes"
    )
    command.add_argument(
        "--confirm", default="", help="the stage again, to confirm a change that replaces the URL"
    )
    _add_architecture(command)
    _add_catalogue(command)
    command.set_defaults(command=_deploy)

    command = commands.add_parser("account", help="create an account and print its first key")
    for option in ("name", "username", "email"):
        command.add_argument(f"--{option}", required=True)
    command.set_defaults(command=_create_account)

    command = commands.add_parser("owner", help="issue a replacement key to an OWNER who is locked out")
    command.add_argument("--username", required=True)
    command.set_defaults(command=_recover_owner)

    command = commands.add_parser("doctor", help="check whether this AWS account is ready for a deploy")
    command.add_argument("--sender", default="", help="address that emails will be sent from")
    command.add_argument("--report", type=Path, help="file for the report, as JSON")
    command.set_defaults(command=_doctor)

    command = commands.add_parser("smoke", help="check a deployed stack with a temporary account")
    command.add_argument("--url", default="", help="where to call the API, instead of its own URL")
    command.add_argument("--report", type=Path, help="file for the report, as JSON")
    command.set_defaults(command=_smoke)

    command = commands.add_parser("teardown", help="delete the stack, and list what it leaves behind")
    command.add_argument(
        "--confirm", default="", help="the stage again, to confirm; without it nothing is deleted"
    )
    command.set_defaults(command=_teardown)

    command = commands.add_parser("restore", help="copy the items of restored tables into the stack's tables")
    command.add_argument("--directory", default="", help="table that Directory was restored to")
    command.add_argument("--events", default="", help="table that Events was restored to")
    command.add_argument("--since", default="", help="the time it was restored to: 2026-11-23T14:30:00Z")
    command.add_argument(
        "--bring-back", default="", help="id of an account that was deleted; without any key that it had"
    )
    command.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="restore although this version cannot read some events since; what they withdrew comes back",
    )
    command.set_defaults(command=_restore)

    for name, does in (
        ("dump", "write every item of both tables to a folder"),
        ("load", "write them to a stack"),
    ):
        command = commands.add_parser(name, help=f"{does}, to move to another region")
        command.add_argument("--folder", type=Path, required=True, help="the folder; it has digests of keys")
        command.set_defaults(command=_move, loads=name == "load")

    command = commands.add_parser("delete-account", help="delete an account with all its data")
    command.add_argument("--account", required=True, help="the account's id, as in GET /v1/whoami")
    command.set_defaults(command=_delete_account)

    command = commands.add_parser("revoke-keys", help="revoke every API key of an account")
    command.add_argument("--account", required=True, help="the account's id, as in GET /v1/whoami")
    command.add_argument("--users", action="store_true", help="also the Users' own keys and sessions")
    command.add_argument(
        "--confirm", default="", help="the account's id again; without it nothing is revoked"
    )
    command.set_defaults(command=_revoke_keys)

    command = commands.add_parser("accounts", help="list the accounts of the stack")
    command.set_defaults(command=_accounts)

    for verb, done in (("suspend", "suspended"), ("resume", "resumed")):
        command = commands.add_parser(f"{verb}-account", help=f"{verb} everybody of an account")
        command.add_argument(
            "--account", required=True, help="the account's id, as the command accounts shows"
        )
        command.add_argument(
            "--confirm", default="", help=f"the account's id again; without it nobody is {done}"
        )
        command.set_defaults(command=_suspend_account, resumes=verb == "resume")

    command = commands.add_parser("export-person", help="write what is known of a person, as JSON")
    command.add_argument("--account", required=True, help="the account's id, as the command accounts shows")
    command.add_argument("--username", required=True)
    command.add_argument("--membership", default="", help="which person, if several had the username")
    command.add_argument("--out", type=Path, required=True, help="file to write, readable by you alone")
    command.set_defaults(command=_export_person)

    command = commands.add_parser("erase-person", help="replace a revoked person by a pseudonym everywhere")
    command.add_argument("--account", required=True, help="the account's id, as the command accounts shows")
    command.add_argument("--username", required=True)
    command.add_argument("--membership", default="", help="which person, if several had the username")
    command.add_argument("--confirm", default="", help="the username again; without it nothing is erased")
    command.set_defaults(command=_erase_person)

    command = commands.add_parser("end-keys", help="revoke every API key of a type, or let them expire")
    command.add_argument("--type", required=True, help="name of the key type")
    command.add_argument(
        "--days", type=int, default=0, help="let them expire in this many days; without it they end now"
    )
    command.add_argument("--confirm", default="", help="the key type again; without it nothing is ended")
    command.set_defaults(command=_end_keys)

    command = commands.add_parser(
        "export", help="write the events as JSON lines, or check that an export is complete"
    )
    command.add_argument("--out", type=Path, required=True, help="folder to write to, or to check")
    command.add_argument("--account", default="", help="only this account")
    command.add_argument("--check", action="store_true", help="compare the folder with the events table")
    command.set_defaults(command=_export)

    command = commands.add_parser(
        "whose-key", help="find the holder of a key; the key is read from standard input"
    )
    command.add_argument("--last5", default="", help="find by the last five characters instead")
    command.set_defaults(command=_find_key)

    for command in commands.choices.values():
        command.add_argument("--stage", required=True, help="name of the stage: letters, digits, hyphens")
    return parser


def _add_architecture(command: argparse.ArgumentParser) -> None:
    choices = ("", *ARCHITECTURES)
    command.add_argument("--arch", default="", choices=choices, help="processor (default x86_64)")


def _add_catalogue(command: argparse.ArgumentParser) -> None:
    explained = f"file with the key types (docs/catalogue.md), or '{DEFAULT_NAME}' for the default ones"
    command.add_argument("--catalogue", default="", help=explained)


def _package(args: argparse.Namespace) -> None:
    checked = read_catalogue(args.catalogue) or DEFAULT_CATALOGUE
    folder = package(args.stage, args.out or PROJECT / "build" / args.stage, args.arch, checked.text)
    print(f"The package is in {folder}.")


def _deploy(args: argparse.Namespace) -> None:
    parameters = read_parameters(args.parameters)
    for option, name in _PARAMETERS_BY_OPTION.items():
        if value := getattr(args, option):
            parameters[name] = value
    catalogue = read_catalogue(args.catalogue)
    if args.authorizer_rules:
        names = None if catalogue is None else [it.name for it in catalogue.catalogue.key_types]
        parameters["AuthorizerRules"] = read_authorizer_rules(Path(args.authorizer_rules), names)
    deploy(args.stage, args.bucket, parameters, args.arch, catalogue, args.confirm, args.shift)


def _require_given(args: argparse.Namespace, example: str, *options: str) -> None:
    """Raise DeployError for options that are empty: make passes on each variable, given or not."""
    if missing := [option.upper() for option in options if not getattr(args, option).strip()]:
        raise DeployError(f"Give {' and '.join(missing)} too, as in: {example}")


def _create_account(args: argparse.Namespace) -> None:
    example = "make account STAGE=acme NAME=Acme USERNAME=ann EMAIL=ann@example.com"
    _require_given(args, example, "name", "username", "email")
    create_account(args.stage, args.name, args.username, args.email)


def _recover_owner(args: argparse.Namespace) -> None:
    _require_given(args, "make owner STAGE=acme USERNAME=ann", "username")
    recover_owner(args.stage, args.username)


def _doctor(args: argparse.Namespace) -> None:
    from deploy.doctor import doctor

    _finish(doctor(args.stage, args.sender), args.report)


def _smoke(args: argparse.Namespace) -> None:
    from deploy.smoke import smoke

    _finish(smoke(args.stage, args.url), args.report)


def _finish(report: Report, file: Path | None) -> None:
    file = file or PROJECT / "build" / f"{report.title}-{report.stage}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report.json() + "\n", encoding="utf-8")
    print(f"The report is in {file}.")
    if failed := report.failed():
        raise DeployError(f"Failed: {', '.join(failed)}.")


def _teardown(args: argparse.Namespace) -> None:
    teardown(args.stage, args.confirm)


def _moment(text: str) -> int:
    """Return a time as Unix time. Raises DeployError for text that is not a time or has no time zone."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise DeployError(
            "Give --since, the time to which the table was restored (2026-11-23T14:30:00Z): what was revoked "
            "after it is revoked again."
        )
    return int(moment.timestamp())


def _restore(args: argparse.Namespace) -> None:
    import boto3  # a development requirement, which no deployed function has

    from deploy.deletions import bring_back, deleted, refuse_if_any_lives
    from deploy.maintenance import restore_directory, restore_events, withdrawn_since

    if not args.directory and not args.events:
        raise DeployError("Give the restored table, with --directory or --events.")
    since = _moment(args.since) if args.directory else 0
    outputs = stack_outputs(stack_name(args.stage))
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    records = [args.events, outputs["EventsName"]] if args.events else [outputs["EventsName"]]
    try:
        # Before anything is written.
        refuse_if_any_lives(client, outputs["DirectoryName"], deleted(client, records) - {args.bring_back})
        if args.bring_back:
            bring_back(client, outputs["EventsName"], args.bring_back)
    except LookupError as error:
        raise DeployError(str(error)) from None
    left_out: set[str] = set()
    if args.events:  # first, because they say what the restored Directory must not bring back
        events = restore_events(client, args.events, outputs["EventsName"])
        print(f"Events: {events.events} restored.")
        left_out.update(events.left_out)
    if args.directory:
        withdrawn = withdrawn_since(client, outputs["EventsName"], args.directory, since)
        if withdrawn.unreadable and not args.skip_unreadable:
            raise DeployError(
                f"This version cannot read {len(withdrawn.unreadable)} events since then, so what they "
                f"withdrew would come back: {', '.join(withdrawn.unreadable[:10])}. "
                "Table Directory was not changed. Restore with the version that recorded them, or look at "
                "them (GET /v1/events) and add --skip-unreadable."
            )
        done = restore_directory(client, args.directory, outputs["DirectoryName"], withdrawn)
        counts = f"{done.written} items written, {done.deleted} deleted"
        print(f"Directory: {counts}, {done.revoked} keys revoked again.")
        if done.suspended:
            print(f"Suspended again: {', '.join(done.suspended)}.")
        if done.not_suspended:
            print(f"Not suspended, as all OWNERs of an account: {', '.join(done.not_suspended)}.")
        left_out.update(done.left_out)
    if left_out:
        print(
            f"Left out, because they were deleted since: {', '.join(sorted(left_out))}. "
            "To have one back after all: docs/operations.md, Have a deleted account back."
        )


def _move(args: argparse.Namespace) -> None:
    import boto3

    from deploy.move import dump, load

    outputs = stack_outputs(stack_name(args.stage))
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    names = {"directory": outputs["DirectoryName"], "events": outputs["EventsName"]}
    try:
        counts = (load if args.loads else dump)(client, names, args.folder)
    except LookupError as error:
        raise DeployError(str(error)) from None
    print(f"{counts['directory']} items of Directory, {counts['events']} of Events.")


def _delete_account(args: argparse.Namespace) -> None:
    import boto3

    from deploy.maintenance import delete_account

    outputs = stack_outputs(stack_name(args.stage))
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    try:
        principals, events = delete_account(
            client, outputs["DirectoryName"], outputs["EventsName"], args.account
        )
    except LookupError as error:
        raise DeployError(str(error)) from None
    print(f"Deleted the account, {principals} Users and Service Users, and {events} events.")
    _name_passed_over(client, outputs["DirectoryName"], args.account)


def _revoke_keys(args: argparse.Namespace) -> None:
    import boto3

    from chalicelib.rules.errors import ConcurrentChange
    from deploy.revocation import count_keys, revoke_account

    tables = _tables(args.stage)
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    try:
        if args.confirm != args.account:
            name, holders, keys = count_keys(client, tables, args.account, users=args.users)
            print(f"Account {name}: {keys} API keys of {holders} principals. Nothing was revoked.")
            raise DeployError(f"To revoke them all, add --confirm {args.account}.")
        done = revoke_account(client, tables, args.account, users=args.users)
    except LookupError as error:
        raise DeployError(str(error)) from None
    except ConcurrentChange:
        raise DeployError(
            "New keys are being generated faster than they are revoked. Revoke the Users' keys too (--users)."
        ) from None
    print(
        f"Revoked {done.keys} API keys of {done.principals} principals. "
        f"{done.notified} Users get one email each."
    )
    _name_passed_over(client, tables.directory, args.account)


def _name_passed_over(client: "DynamoDBClient", directory: str, account: str = "") -> None:
    """Raise DeployError if a command passed over principals that cannot be read."""
    from deploy.bulk import PassedOver, refuse_passed_over

    try:
        refuse_passed_over(client, directory, account)
    except PassedOver as error:
        raise DeployError(str(error)) from None


def _tables(stage: str) -> "Tables":
    """Return the tables of a deployed stack, and how it keeps events."""
    from deploy.bulk import Tables

    stack = describe_stack(stack_name(stage))
    outputs = stack_outputs(stack.name)
    retention_days = int(stack.parameters["EventRetentionDays"])
    return Tables(outputs["DirectoryName"], outputs["EventsName"], retention_days, "EventBusName" in outputs)


def _accounts(args: argparse.Namespace) -> None:
    import boto3

    from chalicelib.http.responses import moment
    from deploy.accounts import accounts

    outputs = stack_outputs(stack_name(args.stage))
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    for it in accounts(client, outputs["DirectoryName"]):
        state = "  suspended" if it.is_suspended else f"  {it.suspended} suspended" if it.suspended else ""
        members = f"{it.owners} OWNERs, {it.users} Users, {it.service_users} Service Users"
        print(f"{it.id}  {moment(it.created_at)}  {it.name}: {members}{state}")
    _name_passed_over(client, outputs["DirectoryName"])


def _suspend_account(args: argparse.Namespace) -> None:
    import boto3

    from chalicelib.rules.errors import ConcurrentChange
    from deploy.accounts import resume_account, suspend_account
    from deploy.bulk import account_name

    tables = _tables(args.stage)
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    verb, done = ("resume", "Resumed") if args.resumes else ("suspend", "Suspended")
    try:
        name = account_name(client, tables.directory, args.account)
        if args.confirm != args.account:
            raise DeployError(f"To {verb} everybody of {name}, add --confirm {args.account}.")
        change = resume_account if args.resumes else suspend_account
        print(f"{done} {change(client, tables, args.account)} Users and Service Users of {name}.")
    except LookupError as error:
        raise DeployError(str(error)) from None
    except ConcurrentChange:
        raise DeployError(f"Not everybody is {done.lower()} yet. Run this command again.") from None
    _name_passed_over(client, tables.directory, args.account)


def _export_person(args: argparse.Namespace) -> None:
    import json

    import boto3

    from deploy import private_files
    from deploy.people import export_person

    client = boto3.client("dynamodb", region_name=aws_cli.region())
    try:
        left_out: list[str] = []
        tables = _tables(args.stage)
        found = export_person(client, tables, args.account, args.username, left_out, args.membership)
    except LookupError as error:
        raise DeployError(str(error)) from None
    private_files.write(args.out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(found['events'])} events, and what the tables have of {args.username}: {args.out}")
    _refuse_to_look_complete(len(left_out))
    _name_passed_over(client, tables.directory, args.account)


def _refuse_to_look_complete(left_out: int) -> None:
    """Raise DeployError if an export has left something out."""
    if left_out:
        raise DeployError(
            f"The export is not complete: {left_out} items of the trail were left out, because this version "
            "cannot read them. A later version may have recorded them: export with that one."
        )


def _erase_person(args: argparse.Namespace) -> None:
    import boto3

    from deploy.people import erase_person

    if args.confirm != args.username:
        raise DeployError(f"This cannot be undone. To erase {args.username}, add --confirm {args.username}.")
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    try:
        done = erase_person(
            client, _tables(args.stage), args.account, args.username, membership=args.membership
        )
    except LookupError as error:
        raise DeployError(str(error)) from None
    print(
        f"{args.username} is {done.pseudonym} now, in {done.events} events and {done.principals} principals. "
        "Exports, published events, backups and logs still have the name: docs/operations.md, Erase a person."
    )


def _end_keys(args: argparse.Namespace) -> None:
    import boto3

    from chalicelib.rules.errors import ConcurrentChange
    from deploy.key_types import end_keys, holders_of

    tables = _tables(args.stage)
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    try:
        if args.confirm != args.type:
            count = len(holders_of(client, tables.directory, {args.type}))
            print(f"{count} principals have {args.type} keys. None was ended.")
            raise DeployError(f"To end them, add --confirm {args.type}.")
        done = end_keys(client, tables, args.type, args.days)
    except ValueError as error:
        raise DeployError(str(error)) from None
    except ConcurrentChange:
        raise DeployError(
            f"New {args.type} keys are being generated faster than they end. Run this command again."
        ) from None
    how = f"expire in {args.days} days" if args.days else "are revoked"
    print(f"{done} {args.type} keys {how}. Whoever is notified of such a change gets an email about each.")
    _name_passed_over(client, tables.directory)


def _export(args: argparse.Namespace) -> None:
    import boto3

    from deploy.export import accounts_of, check_account, export_account

    outputs = stack_outputs(stack_name(args.stage))
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    events = outputs["EventsName"]
    count = 0
    left_out: list[str] = []
    for account in [args.account] if args.account else accounts_of(client, outputs["DirectoryName"]):
        if args.check:
            found = check_account(client, events, account, args.out)
            print(*(f"{account} {difference}" for difference in found), sep="\n", end="\n" if found else "")
            count += len(found)
        else:
            days = export_account(client, events, account, args.out, left_out)
            print(f"{account}: {sum(day.events for day in days.values())} events of {len(days)} days.")
    if count:
        raise DeployError(f"{count} differences: the folder is not complete, or was changed.")
    _refuse_to_look_complete(len(left_out))


def _find_key(args: argparse.Namespace) -> None:
    import boto3

    from chalicelib.rules import key_format
    from deploy.maintenance import find_key

    secret = "" if args.last5 else _read_key()
    if secret and not key_format.well_formed(secret, key_format.KEY_PREFIX):
        raise DeployError("This is not a key: its form or its checksum is wrong. Check its characters.")
    outputs = stack_outputs(stack_name(args.stage))
    client = boto3.client("dynamodb", region_name=aws_cli.region())
    found = find_key(client, outputs["DirectoryName"], secret=secret, last5=args.last5)
    for it in found:
        which = " (replaced, and working while its overlap lasts)" if it.is_predecessor else ""
        print(f"…{it.last5}  {it.key_type} key of {it.username} in account {it.account}{which}")
    _name_passed_over(client, outputs["DirectoryName"])
    if not found:
        raise DeployError("There is no such key: it was revoked or rotated, has expired, or never existed.")


def _read_key() -> str:
    """Return a key from the terminal, without echo, or from a pipe. Other users could read a command line."""
    if sys.stdin.isatty():
        return getpass.getpass("Key (not shown while you type): ").strip()
    return sys.stdin.readline().strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
