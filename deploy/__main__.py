"""``python -m deploy``: what the Makefile's targets package, deploy, account and owner call, and two more."""

import argparse
import sys
from pathlib import Path

from deploy.package import PROJECT, package
from deploy.stack import Refused, authorizer_rules, deploy, make_account, outputs, recover_owner, stack_name

_PARAMETER_OPTIONS = {
    "sender": "SenderAddress",
    "public_url": "PublicUrl",
    "memory": "Memory",
    "log_days": "LogRetentionDays",
    "event_days": "EventRetentionDays",
    "alarms": "AlarmAddress",
}


def main(arguments: list[str]) -> int:
    """Do what the command line says; answer the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (
        ("package", "make the package in build/STAGE"),
        ("deploy", "make the package and deploy it as the stack service-users-STAGE"),
        ("account", "make an account in a deployed stack, and print its first key, once"),
        ("owner", "give an OWNER who has lost their way in a new key, and print it, once"),
        ("restore", "bring the items of a restored table back into the stack's own"),
        ("delete-account", "delete an account, everybody and everything in it"),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument("--stage", required=True, help="any name: letters, digits, hyphens")
        if name == "package":
            command.add_argument("--out", type=Path, help="where to, instead of build/STAGE")
        if name == "deploy":
            command.add_argument(
                "--bucket", default="", help="where the code goes; made where it is not there"
            )
            for option in _PARAMETER_OPTIONS:
                command.add_argument(f"--{option.replace('_', '-')}", default="")
            command.add_argument("--authorizer-rules", default="", help="a file of rules: docs/authorizer.md")
            command.add_argument("--parameters", default="", help="further ones: NAME=VALUE NAME=VALUE")
        if name == "restore":
            command.add_argument(
                "--directory", default="", help="a table that table Directory was restored to"
            )
            command.add_argument("--events", default="", help="a table that table Events was restored to")
        if name == "delete-account":
            command.add_argument("--account", required=True, help="its id, as in GET /v1/whoami")
        if name == "owner":
            command.add_argument("--username", required=True)
        if name == "account":
            for option in ("name", "username", "email"):
                command.add_argument(f"--{option}", required=True)
    told = parser.parse_args(arguments)
    try:
        stack_name(told.stage)  # or it is told of before anything is made
        if told.command == "package":
            made = package(told.stage, told.out or PROJECT / "build" / told.stage)
            print(f"The package is in {made}.")
        elif told.command == "deploy":
            parameters = dict(pair.split("=", 1) for pair in told.parameters.split())
            for option, name in _PARAMETER_OPTIONS.items():
                if value := getattr(told, option):
                    parameters[name] = value
            if told.authorizer_rules:
                parameters["AuthorizerRules"] = authorizer_rules(Path(told.authorizer_rules))
            deploy(told.stage, told.bucket, parameters)
        elif told.command in ("restore", "delete-account"):
            _change_tables(told)
        elif told.command == "owner":
            recover_owner(told.stage, told.username)
        else:
            make_account(told.stage, told.name, told.username, told.email)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


def _change_tables(told: argparse.Namespace) -> None:
    import boto3  # of the developer's tools; no function has it

    from deploy.maintenance import delete_account, restore_directory, restore_events

    own = outputs(stack_name(told.stage))
    client = boto3.client("dynamodb")
    if told.command == "delete-account":
        try:
            people, events = delete_account(client, own["DirectoryName"], own["EventsName"], told.account)
        except LookupError as missing:
            raise Refused(str(missing)) from None
        print(f"Deleted the account, {people} Users and Service Users, and {events} events.")
        return
    if told.directory:
        written, deleted = restore_directory(client, told.directory, own["DirectoryName"])
        print(f"Directory: {written} items written, {deleted} deleted.")
    if told.events:
        print(f"Events: {restore_events(client, told.events, own['EventsName'])} brought back.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
