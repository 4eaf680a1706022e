"""How results are written: tables for people, JSON for programs, and secrets only where they are wanted."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from service_users_client.errors import KEY, ServiceUsersError
from service_users_client.files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

SECRET = KEY
MASK = "•••…"
NONE = "–"

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal takes for a command, or shows in another place than it stands."""


class NoPlaceForSecret(ServiceUsersError):
    """A key would be shown on the terminal, and nobody asked for that. Nothing was done."""


def masked(value: Any) -> Any:
    """Return JSON with every secret in it masked to its last five characters."""
    if isinstance(value, dict):
        return {name: masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value]
    return SECRET.sub(lambda found: MASK + found[0][-5:], value) if isinstance(value, str) else value


def harmless(text: str) -> str:
    """Return a text that a terminal only shows: control characters are escaped as in JSON."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Output:
    """Writes results to standard output, and everything else to standard error."""

    def __init__(self, form: str | None = None, *, quiet: bool = False) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.as_json = form == "json" or (form is None and not self.is_terminal)
        self.quiet = quiet
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=False)
        self.errors = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self.secrets_allowed = not self.is_terminal

    def note(self, text: str) -> None:
        """Write a line about what is going on, unless --quiet."""
        if not self.quiet:
            self.errors.print(Text(harmless(masked(text))))

    def error(self, text: str) -> None:
        """Write an error."""
        self.errors.print(Text(harmless(masked(text)), style="red"))

    def json(self, value: Any) -> None:
        """Write JSON; secrets in it are masked unless they may be shown."""
        shown = value if self.secrets_allowed else masked(value)
        print(harmless(json.dumps(shown, indent=2, ensure_ascii=False)))  # noqa: T201

    def plain(self, text: str) -> None:
        """Write a text as it is; secrets in it are masked unless they may be shown."""
        shown = text if self.secrets_allowed else masked(text)
        sys.stdout.write(harmless(shown) if self.is_terminal else shown)
        if text and not text.endswith("\n"):
            sys.stdout.write("\n")

    def rows(
        self,
        items: Iterable[dict[str, Any]],
        columns: Mapping[str, Callable[[dict[str, Any]], Any]],
        *,
        empty: str = "None.",
    ) -> None:
        """Write a list: an array, or a table with these columns."""
        found = list(items)
        if self.as_json:
            self.json(found)
            return
        if not found:
            self.note(empty)
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in columns:
            table.add_column(name, overflow="fold")
        for item in found:
            shown = item if self.secrets_allowed else masked(item)
            table.add_row(*(cell(read(shown)) for read in columns.values()))
        self.console.print(table)

    def fields(self, value: dict[str, Any], fields: Mapping[str, Any]) -> None:
        """Write one thing: its JSON, or these fields."""
        if self.as_json:
            self.json(value)
            return
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, each in fields.items():
            shown = (name, each) if self.secrets_allowed else (masked(name), masked(each))
            table.add_row(*map(cell, shown))
        self.console.print(table)

    def done(self, text: str, value: dict[str, Any] | None = None) -> None:
        """Write that something was done: a line for people, JSON for programs (nothing if there is none)."""
        if not self.as_json:
            self.console.print(Text(harmless(masked(text))))
        elif value is not None:
            self.json(value)


def cell(value: Any) -> Text:
    """Return a value as people read it."""
    if isinstance(value, Text):
        return value
    if value is None or value in ("", [], {}, ()):
        return Text(NONE, style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Text(harmless(", ".join(str(each) for each in value)))
    if isinstance(value, dict):
        return Text(harmless(", ".join(f"{name}={each}" for name, each in value.items())))
    return Text(harmless(str(value)))


class SecretPlace:
    """Where the secrets of one call go. It is chosen, and a file is made, before the call."""

    def __init__(self, output: Output, file: Path | None, *, show: bool, replace: bool = False) -> None:
        self._output = output
        self._file = file
        self._made = False
        if file is not None:
            self._make(file, replace=replace)
        elif not output.is_terminal:
            self._warn_of_readable_stdout()
        elif not show:
            raise NoPlaceForSecret(
                "This call returns a key, which is shown once. Say where it goes: into a file with "
                "--key-file FILE, into another program with a pipe, or onto this terminal with --show."
            )
        output.secrets_allowed = file is None

    def __enter__(self) -> SecretPlace:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None and self._made and kind is not None:
            self._file.unlink(missing_ok=True)

    def keep(self, content: str) -> None:
        """Write the secrets into the file, if that is where they go."""
        if self._file is not None:
            write_private(self._file, content.encode())
            self._made = False
            self._output.note(f"The key is in {self._file}.")

    def _make(self, file: Path, *, replace: bool) -> None:
        try:
            if not (replace and file.exists()):
                os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                self._made = True
            write_private(file, file.read_bytes())  # so that what may fail fails before the call
        except FileExistsError:
            raise NoPlaceForSecret(f"{file} exists. Name another file, or add --replace.") from None
        except OSError as error:
            if self._made:
                file.unlink(missing_ok=True)
            raise NoPlaceForSecret(
                f"{error.filename or file}: {error.strerror}. Nothing was done. "
                "Correct this, or name another file."
            ) from None

    def _warn_of_readable_stdout(self) -> None:
        try:
            mode = os.fstat(sys.stdout.fileno()).st_mode
        except (OSError, ValueError):
            return
        if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._output.note("Warning: the file that gets this key can be read by others.")
