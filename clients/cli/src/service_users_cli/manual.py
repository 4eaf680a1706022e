"""``service-users manual``: every command, its options and examples, as one page of text."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

import typer

from service_users_cli.options import EXAMPLES, command

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 88


def page() -> str:
    """Return the manual."""
    from service_users_cli.main import EXIT_CODES, app

    root: Any = typer.main.get_command(app)
    codes = "\n".join(f"{code:>8}  {meaning}" for code, meaning in EXIT_CODES.items())
    parts = [
        "NAME\n    service-users - give machines API-only identities, and manage their keys",
        "SYNOPSIS\n    service-users [--profile NAME] [--json | --table] [--quiet] COMMAND …",
        "DESCRIPTION\n"
        + _indented(
            "Results are tables on a terminal and JSON everywhere else. The global options can be anywhere "
            "on the command line. A key is shown once, by the call that makes it, and never on a terminal "
            "unless you say --show: name a file with --key-file, or use a pipe. A key is never an "
            "argument: it is read from the keyboard, unseen, or from a pipe. Calls wait as Retry-After says."
        ),
        "COMMANDS\n" + "\n\n".join(_commands(root, ())),
        "EXIT CODES\n" + codes,
        "FILES\n"
        + _indented(
            "~/.config/service-users/profiles.json has the profiles (SERVICE_USERS_HOME or XDG_CONFIG_HOME "
            "name another folder). Keys are in the system's keyring; where there is none, in keys.json "
            "beside it. Both files have the mode 0600."
        ),
        "ENVIRONMENT\n"
        + _indented(
            "SERVICE_USERS_PROFILE names the profile. SERVICE_USERS_URL, SERVICE_USERS_USERNAME and "
            "SERVICE_USERS_API_KEY are used instead of one; without a username the key alone signs in."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[str]:
    for name, each in group.commands.items():
        path = (*words, name)
        if hasattr(each, "commands"):
            yield from _commands(each, path)
            continue
        usage = " ".join(part for parameter in each.params if (part := _usage(parameter)))
        title = f"service-users {' '.join(path)} {usage}".strip()
        lines = [_indented(title, 4, 8), *(_indented(text, 8) for text in _paragraphs(each.help or ""))]
        for parameter in each.params:
            described = getattr(parameter, "help", None)
            if described and parameter.name != "help":
                names = "/".join([*parameter.opts, *getattr(parameter, "secondary_opts", [])])
                label = names if parameter.param_type_name == "option" else parameter.name.upper()
                lines.append(_indented(f"{label}  {described}", 8, 12))
        lines += [f"        $ {example}" for example in EXAMPLES[" ".join(path)]]
        yield "\n".join(lines)


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"{parameter.name.upper()}{'…' if parameter.nargs == -1 else ''}"
    return f"{parameter.opts[0]} {(parameter.name or '').upper()}" if parameter.required else ""


def _paragraphs(text: str) -> list[str]:
    return [" ".join(each.split()) for each in text.split("\n\n")]


def _indented(text: str, first: int = 4, then: int | None = None) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * (first if then is None else then),
        break_long_words=False,
        break_on_hyphens=False,
    )


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "manual", "service-users manual")
    def manual() -> None:
        """Show every command with its options and examples, the files and the exit codes."""
        text = page()
        if sys.stdout.isatty():
            typer.echo_via_pager(text) if hasattr(typer, "echo_via_pager") else sys.stdout.write(text)
        else:
            sys.stdout.write(text)
