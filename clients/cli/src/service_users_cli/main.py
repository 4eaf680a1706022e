"""The program: its groups of commands, its global options, and its exit codes."""

from __future__ import annotations

import functools
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from service_users_client import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidName,
    InvalidResponse,
    NoResponse,
    NotFound,
    PreconditionFailed,
    Problem,
    ProfileError,
    ServiceUsersError,
    Unauthenticated,
)

from service_users_cli import account, bulk, doctor, keys, manual, own, people, profiles, service_users
from service_users_cli.output import NoPlaceForSecret
from service_users_cli.session import VERSION, Session, Stopped, UsageError, begin, session

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = {
    0: "Done.",
    1: "Failed: some rows of a bulk command, a check of doctor, or an unexpected error.",
    2: "The command line, a file or a profile is wrong. Nothing was done.",
    3: "Not signed in (401), or not allowed (403).",
    4: "Not found (404).",
    5: "A conflict (409), or changed since it was read (412).",
    6: "The API refused the request as invalid (400 and other 4xx).",
    7: "The service is not available, or a budget is used up. Nothing was done; try again later.",
    8: "The response was lost. Whether it was done is not known: read before you try again.",
    130: "Stopped by Ctrl-C. Bulk commands go on where they were when they are run again.",
}

app = typer.Typer(
    name="service-users",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show the values of variables, which may be keys
    rich_markup_mode=None,
    epilog="service-users manual shows every command with examples, the files and the exit codes.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"service-users {VERSION}")  # noqa: T201
        raise typer.Exit


@app.callback()
def root(
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="The profile to use.", envvar="SERVICE_USERS_PROFILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, as in a pipe.")] = False,
    as_table: Annotated[bool, typer.Option("--table", help="Write tables, as on a terminal.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write results and errors only.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Give machines API-only identities, and manage their keys.

    The options below can be anywhere on the command line. Results are tables on a terminal and JSON
    everywhere else. A key is never shown on a terminal unless you ask for it.
    """


service_users.add(app)
keys.add(app)
people.add(app)
own.add(app)
account.add(app)
bulk.add(app)
profiles.add(app)
doctor.add(app)
manual.add(app)


@functools.cache
def _command() -> Any:
    return typer.main.get_command(app)


def global_options(arguments: Sequence[str]) -> tuple[Session, list[str]]:
    """Return the run that the global options describe, and the other arguments. Raises UsageError."""
    rest: list[str] = []
    form: str | None = None
    profile: str | None = None
    quiet = False
    pending = iter(arguments)
    for argument in pending:
        if argument == "--":
            rest += [argument, *pending]
        elif argument in ("--json", "--table"):
            form = argument.removeprefix("--")
        elif argument in ("--quiet", "-q"):
            quiet = True
        elif argument in ("--profile", "-p"):
            profile = next(pending, None)
            if profile is None:
                raise UsageError("--profile needs the name of a profile.")
        elif argument.startswith("--profile="):
            profile = argument.partition("=")[2]
        else:
            rest.append(argument)
    return Session(profile=profile, form=form, quiet=quiet), rest


def exit_code(error: ServiceUsersError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, UsageError | InvalidName | ProfileError | NoPlaceForSecret):
        return 2
    if isinstance(error, Stopped):
        return 130
    if error.may_have_taken_effect:
        return 8
    if isinstance(error, Unauthenticated | Forbidden):
        return 3
    if isinstance(error, NotFound):
        return 4
    if isinstance(error, Conflict | PreconditionFailed):
        return 5
    if isinstance(error, BadRequest):
        return 6
    return 7 if isinstance(error, InvalidResponse | NoResponse | Problem) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    begin(Session())
    try:
        run, rest = global_options(sys.argv[1:] if arguments is None else arguments)
        begin(run)
        result = _command().main(args=rest, prog_name="service-users", standalone_mode=False)
    except typer.Exit as stopped:
        return int(stopped.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        session().output.note("Stopped.")
        return 130
    except ServiceUsersError as error:
        session().output.error(f"{error}")
        if isinstance(error, Problem) and error.request_id:
            session().output.note(f"requestId {error.request_id}")
        return exit_code(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # A usage error of the parser: it says what is wrong with the command line.
        error.show()  # type: ignore[attr-defined]
        return 2
    finally:
        session().close()
    return result if isinstance(result, int) else 0


def entry() -> None:
    """Run the program as a command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
