"""Options and arguments that several commands have, and what their values mean."""

from __future__ import annotations

import getpass
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from service_users_cli.session import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., None]")

EXAMPLES: dict[str, tuple[str, ...]] = {}
"""The examples of each command, by its words: ``keys rotate``."""

Username = Annotated[str, typer.Argument(help="The username.", show_default=False)]
KeyType = Annotated[str, typer.Argument(help="The key type, as the API names it.", show_default=False)]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Put the key into this new file, of mode 0600.")
]
Show = Annotated[bool, typer.Option("--show", help="Show the key on this terminal.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the key file if it exists.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="A network (CIDR) the key works from; repeat for more, 'any' for all."),
]
ExpiresAt = Annotated[
    str | None, typer.Option("--expires", help="When the key expires: a time (RFC 3339), 90d, or 'never'.")
]
Overlap = Annotated[
    str | None, typer.Option("--overlap", help="How long the old key works beside the new one: 90m, 1d.")
]
Url = Annotated[str | None, typer.Option("--url", help="The address of the API, if there is no profile.")]
EvenIfLockedOut = Annotated[
    bool, typer.Option("--even-if-locked-out", help="Do it even if it takes your own way in.")
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> int:
    """Return the seconds of a time such as 90s, 30m, 12h, 7d. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    if match is None:
        raise UsageError(f"'{text}' is not a time such as 90s, 30m, 12h or 7d.")
    return int(match[1]) * _UNITS[match[2] or "s"]


def expiry_of(text: str | None) -> dict[str, Any]:
    """Return the field ``expiresAt`` for an option: none if it was not given, null for "never"."""
    if text is None:
        return {}
    if text == "never":
        return {"expiresAt": None}
    if re.fullmatch(r"[0-9]+[smhdw]", text):
        ends = datetime.now(UTC) + timedelta(seconds=seconds_of(text))
        return {"expiresAt": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"expiresAt": text}


def networks_of(networks: list[str] | None) -> dict[str, Any]:
    """Return the field ``allowedNetworks`` for an option: none if not given, empty for "any"."""
    if not networks:
        return {}
    return {"allowedNetworks": [] if networks == ["any"] else networks}


def labels_of(labels: list[str] | None) -> dict[str, str]:
    """Return labels by name from ``name=value`` each. Raises UsageError."""
    found = {}
    for label in labels or []:
        name, equals, value = label.partition("=")
        if not equals:
            raise UsageError(f"'{label}' is not a label: write name=value.")
        found[name] = value
    return found


def label_condition(label: str | None) -> str | None:
    """Return a label as the lists' condition writes it, ``name:value``. Raises UsageError."""
    return ":".join(next(iter(labels_of([label]).items()))) if label else None


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} Add --yes to do it without being asked.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def read_secret(what: str) -> str:
    """Return a secret from the keyboard, without showing it, or from a pipe. It is never an argument."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{what}: ").strip()
    return sys.stdin.readline().strip()


def command(group: typer.Typer, words: str, *examples: str) -> Callable[[Command], Command]:
    """Return a decorator that adds a command by its words, with its examples."""

    def register(function: Command) -> Command:
        lines = "\n\n".join(f"$ {example}" for example in examples)
        title = "Example" if len(examples) == 1 else "Examples"
        group.command(words.split()[-1], epilog=f"{title}:\n\n{lines}" if examples else None)(function)
        EXAMPLES[words] = examples
        return function

    return register
