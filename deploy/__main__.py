"""``python -m deploy package|deploy|account``: what the Makefile's targets of these names call."""

import argparse
import sys
from pathlib import Path

from deploy.package import PROJECT, package
from deploy.stack import Refused, authorizer_rules, deploy, make_account

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
        if name == "account":
            for option in ("name", "username", "email"):
                command.add_argument(f"--{option}", required=True)
    told = parser.parse_args(arguments)
    try:
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
        else:
            make_account(told.stage, told.name, told.username, told.email)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
