"""Bulk commands: many calls, which can be previewed, stopped at any moment, and gone on with.

Each call is recorded before it is made and its keys are stored before the next, so that a run that was
stopped leaves nothing twice and no key that nobody has. docs/clients.md says what each run does after a lost
response.
"""

from __future__ import annotations

import csv
import os
import re
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from service_users_client import (
    Client,
    Conflict,
    NotFound,
    Problem,
    Retries,
    ServiceUsersError,
    Unauthenticated,
)
from service_users_client.client import path_of

from service_users_cli.keyfile import KeyFile
from service_users_cli.options import Yes, command, confirm, given, label_condition, labels_of, seconds_of
from service_users_cli.people import SHOWN_COLUMNS
from service_users_cli.session import MAX_WAIT_IN_BULK, Stopped, UsageError, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from service_users_cli.session import Session

PASSES = 5
"""How often all Service Users are gone through, while some change at every try."""

ATTEMPTS = 5
"""How often a call whose response is lost is looked after within one run."""

Keys = Annotated[
    Path, typer.Option("--keys", help="The file that gets the keys, of mode 0600; also to resume.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")]
Parallel = Annotated[int, typer.Option(help="How many calls at a time.", min=1, max=32)]


@dataclass
class Report:
    """What became of a run."""

    done: int = 0
    already: int = 0
    recovered: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)

    def write(self, what: str, path: Path) -> int:
        """Write the report and return the exit code."""
        output = session().output
        for each in self.refused:
            output.error(f"{each['unit']}: {each['why']}")
        line = f"{what}: {self.done}. Done before: {self.already}. Refused: {len(self.refused)}."
        if self.recovered:
            line += f" Of them, {self.recovered} after a lost response."
        line += f" The keys are in {path}."
        output.done(line, {**self.__dict__, "keys": str(path)})
        return 1 if self.refused else 0


class Refused(Exception):
    """One unit cannot be done; the others can."""


def bulk_client() -> Client:
    """Return a client that waits as long as a budget needs."""
    return session().make_client(Retries(tries=60, max_wait=MAX_WAIT_IN_BULK))


def run_all(
    units: Sequence[Any],
    work: Callable[[Any], bool],
    name: Callable[[Any], str],
    report: Report,
    parallel: int,
) -> None:
    """Do ``work`` for each unit, several at a time. It returns whether a response had been lost.

    What concerns one unit only is reported. Anything else stops the run, and is raised once the calls that
    are being made have ended.
    """
    run = session()
    stopped_by: BaseException | None = None
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=run.output.errors,
            disable=run.output.quiet or not run.output.errors.is_terminal,
            transient=True,
        ) as progress,
        ThreadPoolExecutor(parallel) as pool,
    ):
        task = progress.add_task("Working", total=len(units))

        def show_wait(seconds: float, why: str) -> None:
            progress.update(task, description=f"Waiting {seconds:.0f} s")
            if not run.output.errors.is_terminal and seconds >= 1:
                run.output.note(f"Waiting {seconds:.0f} s: {why}")

        run.on_wait = show_wait
        waiting = iter(units)
        running: dict[Future[bool], Any] = {}
        with _interrupts(run) as interrupts:
            while True:
                while len(running) < parallel and not run.stop.is_set():
                    unit = next(waiting, None)
                    if unit is None:
                        break
                    running[pool.submit(work, unit)] = unit
                if not running:
                    break
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in ended:
                    unit = running.pop(each)
                    progress.update(task, advance=1, description="Working")
                    try:
                        report.recovered += each.result()
                        report.done += 1
                    except Refused as error:
                        report.refused.append({"unit": name(unit), "why": str(error)})
                    except BaseException as error:  # raised below
                        run.stop.set()
                        if stopped_by is None or isinstance(stopped_by, Stopped):
                            stopped_by = error
        if interrupts:
            stopped_by = KeyboardInterrupt()
    if stopped_by is not None:
        run.output.note(f"Stopped after {report.done} of {len(units)}. Run the same command again to go on.")
        raise stopped_by


@contextmanager
def _interrupts(run: Session) -> Iterator[list[int]]:
    """Stop a run at the first SIGINT or SIGTERM, and yield the list of those received.

    They are no exceptions here: one that is raised while a thread is being started would leave a thread that
    nobody ends. A second signal is an exception, as it was before.
    """
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        run.stop.set()
        restore()
        os.write(2, b"Stopping: the calls that are being made are finished first.\n")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        restore()


# Create


@dataclass(frozen=True)
class Row:
    """One line of the CSV file: the body of a creation."""

    line: int
    body: dict[str, Any]

    @property
    def username(self) -> str:
        """The username to create."""
        return str(self.body["username"])

    @property
    def key(self) -> str:
        """The username as the API compares it."""
        return self.username.lower()


def read_rows(path: Path, schema: dict[str, Any], resolve: Callable[[Any], Any]) -> list[Row]:
    """Return the rows of a CSV file, checked against the API's own schema of a creation. Raises UsageError.

    The columns are the API's fields. A list is separated by spaces, labels are written ``name=value``.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            lines = [(reader.line_num, each) for each in reader]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not CSV in UTF-8: {error}.") from None
    known = schema["properties"]
    if unknown := [name for name in columns if name not in known]:
        raise UsageError(f"{path}: unknown columns {', '.join(unknown)}. The API has: {', '.join(known)}.")
    if missing := [name for name in schema.get("required", []) if name not in columns]:
        raise UsageError(f"{path}: the columns {', '.join(missing)} are missing.")
    errors: list[str] = []
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in lines:
        if None in line or None in line.values():
            errors.append(f"line {number}: it has not as many values as there are columns.")
            continue
        body = {}
        for name, text in line.items():
            if text.strip():
                try:
                    body[name] = _value(text.strip(), resolve(known[name]), resolve)
                except ValueError as error:
                    errors.append(f"line {number}, {name}: {error}")
            elif name in schema.get("required", []):
                errors.append(f"line {number}: {name} is empty.")
        row = Row(number, body)
        if "username" in body:
            if row.key in seen:
                errors.append(f"line {number}: '{row.username}' is in line {seen[row.key]} too.")
            seen.setdefault(row.key, number)
        rows.append(row)
    if errors:
        more = [f"… and {len(errors) - 20} more."] if len(errors) > 20 else []
        raise UsageError("\n".join([f"{path} is not valid. Nothing was done.", *errors[:20], *more]))
    return rows


def _value(text: str, schema: dict[str, Any], resolve: Callable[[Any], Any]) -> Any:
    """Return a cell as the API's schema has it. Raises ValueError for one that the API would refuse."""
    types = _types(schema, resolve)
    if "array" in types:
        # A deployment has key types of its own, which its service knows best.
        item = {
            name: each for name, each in resolve(types["array"].get("items", {})).items() if name != "enum"
        }
        return [_checked(each, item) for each in re.split(r"[\s;]+", text) if each]
    if "object" in types:
        try:
            return labels_of([each for each in re.split(r"[\s;]+", text) if each])
        except UsageError as error:
            raise ValueError(str(error)) from None
    if "boolean" in types:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"'{text}' is neither true nor false.")
        return text.lower() == "true"
    if "integer" in types:
        return int(text)
    return _checked(text, types.get("string", schema))


def _types(schema: dict[str, Any], resolve: Callable[[Any], Any]) -> dict[str, dict[str, Any]]:
    """Return the alternatives of a schema by their JSON type."""
    found: dict[str, dict[str, Any]] = {}
    for each in [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]:
        resolved = resolve(each)
        types = resolved.get("type", [])
        for name in [types] if isinstance(types, str) else types:
            found.setdefault(name, resolved)
    return found


def _checked(text: str, schema: dict[str, Any]) -> str:
    if "enum" in schema and text not in schema["enum"]:
        raise ValueError(f"'{text}' is not one of {', '.join(map(str, schema['enum']))}.")
    if len(text) < schema.get("minLength", 0) or len(text) > schema.get("maxLength", len(text)):
        raise ValueError(f"'{text}' is too short or too long: {schema.get('description', '')}")
    if "pattern" in schema and not re.search(schema["pattern"].replace("\\Z", r"\Z"), text):
        raise ValueError(f"'{text}' must be {schema.get('description') or schema['pattern']}")
    return text


class Creation:
    """Creating the Service Users of a file, each exactly once, with every key in the key file."""

    def __init__(self, client: Client, keys: KeyFile, me: str) -> None:
        self._client = client
        self._keys = keys
        self._me = me.lower()
        self._since: dict[str, str] = {}
        for line in keys.begun:
            if "create" in line:
                self._since.setdefault(line["create"].lower(), line["since"])
            elif "refused" in line:
                self._since.pop(line["refused"].lower(), None)

    def __call__(self, row: Row) -> bool:
        """Create one. Return whether a response had been lost. Raises Refused, and what stops the run."""
        since = self._since.get(row.key)
        uncertain = since is not None
        lost: ServiceUsersError | None = None
        if since is None:
            since = self._client.server_time.strftime("%Y-%m-%dT%H:%M:%SZ")
            self._keys.begin({"create": row.username, "since": since})
        for _ in range(ATTEMPTS):
            if uncertain and (found := self._find(row)):
                self._recover(row, found, since)
                return True
            try:
                made = self._client.request("POST", "/v1/service-users", body=row.body)
            except Conflict as problem:
                found = self._find(row) if uncertain else None
                if found is None:
                    self._refuse(row, problem)
                self._recover(row, found, since)
                return True
            except Unauthenticated:
                raise
            except ServiceUsersError as error:
                if error.may_have_taken_effect:
                    uncertain = True
                    lost = error
                    continue
                if isinstance(error, Problem) and error.status < 500 and error.status != 429:
                    self._refuse(row, error)
                raise
            self._store(made)
            return lost is not None
        raise lost or Refused(f"line {row.line}: no response, {ATTEMPTS} times.")

    def _find(self, row: Row) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.request("GET", path_of("service-users", row.username))
        except NotFound:
            return None
        return found

    def _recover(self, row: Row, found: dict[str, Any], since: str) -> None:
        """Replace the keys of a Service User whose creation took effect and whose response was lost."""
        keys = found["apiKeys"]["apiKeys"]
        is_ours = (
            found["createdAt"] >= since
            and found["email"].lower() == row.body["email"].lower()
            and found["role"] == (row.body.get("role") or row.body.get("profile"))
            and all((key["createdBy"] or "").lower() == self._me for key in keys)
        )
        if not is_ours:
            self._refuse(row, f"'{row.username}' exists, and this command did not create it.")
        if used := [key["keyType"] for key in keys if key["lastUsedAt"]]:
            self._refuse(row, f"'{row.username}' exists, and its {', '.join(used)} key is in use already.")
        path = path_of("service-users", row.username, "api-keys", "rotate")
        secrets = {}
        for key in keys:
            # Nobody was ever shown this key: it can be replaced as often as that takes.
            issued = self._client.request("POST", path, body={"keyType": key["keyType"]}, repeatable=True)
            secrets[key["keyType"]] = issued["key"]
        self._keys.finish({"username": found["username"], "createdAt": found["createdAt"], "keys": secrets})

    def _store(self, made: dict[str, Any]) -> None:
        secrets = {key["keyType"]: key["key"] for key in made["apiKeys"]["apiKeys"]}
        self._keys.finish({"username": made["username"], "createdAt": made["createdAt"], "keys": secrets})

    def _refuse(self, row: Row, why: object) -> NoReturn:
        self._keys.begin({"refused": row.username})
        raise Refused(f"line {row.line}: {why}")


# Rotate


@dataclass(frozen=True)
class Planned:
    """A key to rotate, as it was when the run was planned."""

    username: str
    key_type: str
    last5: str

    @property
    def name(self) -> str:
        """The key as people name it."""
        return f"{self.username} {self.key_type} …{self.last5}"


class Rotation:
    """Rotating keys, each once, with every new key in the key file."""

    def __init__(self, client: Client, keys: KeyFile, overlap: int, *, end_overlaps: bool) -> None:
        self._client = client
        self._keys = keys
        self._overlap = overlap
        self._end_overlaps = end_overlaps
        self._begun = {(line["rotate"], line["keyType"]) for line in keys.begun if "rotate" in line}

    def __call__(self, unit: Planned) -> bool:
        """Rotate one. Return whether a response had been lost. Raises Refused, and what stops the run."""
        uncertain = (unit.username, unit.key_type) in self._begun
        lost: ServiceUsersError | None = None
        if not uncertain:
            self._keys.begin({"rotate": unit.username, "keyType": unit.key_type})
        path = path_of("service-users", unit.username, "api-keys", "rotate")
        body = {"keyType": unit.key_type, "overlapSeconds": self._overlap}
        for _ in range(ATTEMPTS):
            try:
                self._require_unchanged(unit)
                issued = self._client.request("POST", path, body=body)
            except Unauthenticated:
                raise
            except ServiceUsersError as error:
                if error.may_have_taken_effect:
                    uncertain = True
                    lost = error
                    continue
                if isinstance(error, Problem) and error.status < 500 and error.status != 429:
                    raise Refused(str(error)) from None
                raise
            self._keys.finish(
                {
                    "username": unit.username,
                    "keyType": unit.key_type,
                    "key": issued["key"],
                    "oldKey": unit.last5,
                    "oldKeyWorksUntil": (issued.get("predecessor") or {}).get("validUntil"),
                }
            )
            return lost is not None
        raise lost or Refused(f"no response, {ATTEMPTS} times.")

    def _require_unchanged(self, unit: Planned) -> None:
        """Require the planned key, without a predecessor, which another rotation would end."""
        key = self._client.request("GET", path_of("service-users", unit.username, "api-keys", unit.key_type))
        if self._end_overlaps:
            return
        if before := key.get("predecessor"):
            how = (
                "it was rotated, and the new key was not received (or somebody else rotated it)"
                if before["key"][-5:] == unit.last5
                else "it is in the overlap of an earlier rotation"
            )
            raise Refused(
                f"{how}. Its predecessor works until {before['validUntil']}; rotating now would end that. "
                "Let the machine rotate its own key, wait, or run this again with --end-overlaps."
            )
        if key["key"][-5:] != unit.last5:
            raise Refused("somebody else has replaced this key since the run was planned.")


def plan(client: Client, query: dict[str, Any], key_types: list[str] | None) -> list[Planned]:
    """Return the keys to rotate: those of the Service Users that the list's conditions select."""
    return [
        Planned(it["username"], key["keyType"], key["key"][-5:])
        for it in client.items("/v1/service-users", query)
        for key in it["apiKeys"]["apiKeys"]
        if not key_types or key["keyType"] in key_types
    ]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    bulk = typer.Typer(
        help="Many at once, from CSV or by label; can be stopped and gone on with.", no_args_is_help=True
    )
    app.add_typer(bulk, name="bulk")

    @command(
        bulk,
        "bulk create",
        "service-users bulk create machines.csv --keys machines.keys --dry-run",
        "service-users bulk create machines.csv --keys machines.keys",
    )
    def create(
        file: Annotated[
            Path, typer.Argument(help="CSV; the columns are the fields of the API.", show_default=False)
        ],
        keys: Keys,
        dry_run: DryRun = False,
        parallel: Parallel = 4,
    ) -> None:
        """Create the Service Users of a CSV file, each exactly once.

        The columns are username, email, role and any other field that the API takes for a creation; lists are
        separated by spaces, labels are written name=value. The key file gets one line of JSON for each. If
        this is stopped, at any moment, run the same command again: it goes on where it was.
        """
        client = bulk_client()
        document = client.request("GET", "/openapi.json")
        resolve = resolver(document)
        schema = resolve({"$ref": "#/components/schemas/CreateServiceUser"})
        rows = read_rows(file, schema, resolve)
        me = client.request("GET", "/v1/whoami")["username"]
        if dry_run:
            existing = {it["username"].lower() for it in client.items("/v1/service-users")}
            there = [row.username for row in rows if row.key in existing]
            session().output.done(
                f"{len(rows) - len(there)} of {len(rows)} would be created. {len(there)} exist already"
                + (f": {', '.join(there[:10])}{', …' if len(there) > 10 else ''}." if there else "."),
                {"wouldCreate": len(rows) - len(there), "exist": there},
            )
            return
        report = Report()
        run = {"command": "bulk create", "url": client.url, "username": me}
        with KeyFile(keys).opened(run) as key_file:
            finished = {line["username"].lower() for line in key_file.finished}
            todo = [row for row in rows if row.key not in finished]
            report.already = len(rows) - len(todo)
            run_all(todo, Creation(client, key_file, me), lambda row: row.username, report, parallel)
        code = report.write("Created", keys)
        if code:
            raise typer.Exit(code)

    @command(
        bulk,
        "bulk rotate",
        "service-users bulk rotate --label team=payments --overlap 1d --keys rotated.keys --dry-run",
        "service-users bulk rotate --label team=payments --overlap 1d --keys rotated.keys --yes",
    )
    def rotate(
        keys: Keys,
        overlap: Annotated[
            str, typer.Option(help="How long each old key works beside the new one; 0 for not at all.")
        ],
        label: Annotated[
            str | None, typer.Option(help="Of Service Users with this label, name=value.")
        ] = None,
        prefix: Annotated[str | None, typer.Option(help="Of those whose username begins so.")] = None,
        administrator: Annotated[
            str | None, typer.Option(help="Of those that this person administers.")
        ] = None,
        every: Annotated[bool, typer.Option("--all", help="Of all Service Users of the account.")] = False,
        key_type: Annotated[
            list[str] | None, typer.Option("--key-type", help="Only keys of this type; repeat for more.")
        ] = None,
        dry_run: DryRun = False,
        end_overlaps: Annotated[
            bool,
            typer.Option("--end-overlaps", help="Rotate also keys in an overlap; ends their predecessors."),
        ] = False,
        parallel: Parallel = 4,
        yes: Yes = False,
    ) -> None:
        """Rotate the keys of all Service Users with a label, each once.

        The key file gets one line of JSON for each new key. The keys to rotate are listed at the first run;
        if it is stopped, run the same command again: it goes on with those that are left.
        """
        query = given(label=label_condition(label), prefix=prefix, administrator=administrator)
        if bool(query) == every:
            raise UsageError("Say which: --label, --prefix or --administrator, or --all.")
        client = bulk_client()
        seconds = seconds_of(overlap)
        report = Report()
        if dry_run:
            found = plan(client, query, key_type)
            session().output.rows(
                [{"username": it.username, "keyType": it.key_type, "key": f"…{it.last5}"} for it in found],
                {
                    "USERNAME": lambda it: it["username"],
                    "KEY TYPE": lambda it: it["keyType"],
                    "KEY": lambda it: it["key"],
                },
                empty="No key would be rotated.",
            )
            return
        me = client.request("GET", "/v1/whoami")["username"]
        run = {
            "command": "bulk rotate",
            "url": client.url,
            "username": me,
            **query,
            "keyTypes": key_type or [],
        }
        with KeyFile(keys).opened(run) as key_file:
            planned = next((line["plan"] for line in key_file.begun if "plan" in line), None)
            if planned is None:
                found = plan(client, query, key_type)
                confirm(f"Rotate {len(found)} keys?", yes=yes)
                key_file.begin({"plan": [[it.username, it.key_type, it.last5] for it in found]})
            else:
                found = [Planned(*each) for each in planned]
            finished = {(line["username"], line["keyType"]) for line in key_file.finished}
            todo = [it for it in found if (it.username, it.key_type) not in finished]
            report.already = len(found) - len(todo)
            work = Rotation(client, key_file, seconds, end_overlaps=end_overlaps)
            run_all(todo, work, lambda it: it.name, report, parallel)
        code = report.write("Rotated", keys)
        if code:
            raise typer.Exit(code)

    @command(
        bulk,
        "bulk revoke",
        "service-users bulk revoke grace --dry-run",
        "service-users bulk revoke grace --revoke-person --yes",
    )
    def revoke(
        usernames: Annotated[list[str], typer.Argument(help="People's usernames.", show_default=False)],
        revoke_person: Annotated[
            bool, typer.Option("--revoke-person", help="Revoke the person from the account first.")
        ] = False,
        dry_run: DryRun = False,
        yes: Yes = False,
    ) -> None:
        """Revoke every key of a Service User that a person was the last to be shown.

        Repeating it does no harm: if it is stopped, run it again.
        """
        client, output = bulk_client(), session().output
        known = [
            it for username in usernames for it in client.items(path_of("users", username, "shown-keys"))
        ]
        if dry_run:
            output.rows(known, SHOWN_COLUMNS, empty="They know no working key.")
            return
        who = ", ".join(f"'{username}'" for username in usernames)
        also = " and revoke them from the account" if revoke_person else ""
        confirm(f"Revoke the {len(known)} keys that {who} know{also}?", yes=yes)
        ended: list[dict[str, Any]] = []
        left, unknown = [], []
        try:
            for username in usernames:
                complete = False
                try:
                    for page in _revocation(client, username, revoke_person=revoke_person):
                        ended += page["ended"]
                        complete = page["complete"]
                        if not complete:
                            output.note(f"Revoked {len(ended)} so far …")
                except NotFound as problem:  # and no key that they know
                    unknown += [] if _was_revoked(client, username) else [str(problem)]
                    continue
                except Conflict as problem:
                    output.note(str(problem))
                left += [] if complete else [username]
        finally:  # also of a run that fails, so that it is known what it did
            output.rows(ended, SHOWN_COLUMNS, empty="There was no key to revoke.")
        for detail in unknown:
            output.note(detail)
        if left:
            output.note(
                f"Not all that {', '.join(left)} have or know was revoked: it changed meanwhile, or see "
                "above. Run it again."
            )
        if left or unknown:
            raise typer.Exit(1)


def _was_revoked(client: Client, username: str) -> bool:
    """Return whether somebody who is not in the account was revoked from it, by this run or before."""
    found = client.items("/v1/events", {"username": username, "action": "USER_REVOKED", "limit": 1})
    return next(found, None) is not None


def _revocation(client: Client, username: str, *, revoke_person: bool) -> Iterator[Any]:
    """Yield the bodies of the calls that revoke what a person was shown, until the API says that all is done.

    Only the first call revokes the person, who may be invited again meanwhile. A Service User that somebody
    changes at every try is left out of a pass, so there are several.
    """
    path = path_of("users", username, "shown-keys")
    page = None
    if revoke_person:
        page = next(client.pages(path, {"revokeUser": True}, method="DELETE"))
        yield page
    for _ in range(PASSES):
        if page is not None and page["complete"]:
            return
        for page in client.pages(path, method="DELETE"):
            yield page


def resolver(document: dict[str, Any]) -> Callable[[Any], Any]:
    """Return a function that follows the ``$ref`` of a schema within a document."""

    def resolve(schema: Any) -> Any:
        while isinstance(schema, dict) and "$ref" in schema:
            found: Any = document
            for part in schema["$ref"].split("/")[1:]:
                found = found[part]
            schema = {**found, **{name: each for name, each in schema.items() if name != "$ref"}}
        return schema

    return resolve
