"""Commands on the account, its events, and the API itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from service_users_client.paths import quoted_part

from service_users_cli.options import KeyFile, Show, Url, command, given
from service_users_cli.output import SECRET, SecretPlace
from service_users_cli.session import UsageError, session


def _quoted(value: str | None) -> str:
    """Return a changed value as JSON, so that none is taken for another change."""
    return json.dumps(value, ensure_ascii=False) if value else "–"


EVENT_COLUMNS = {
    "WHEN": lambda it: it["at"],
    "ACTION": lambda it: it["action"],
    "ACTOR": lambda it: it["actor"]["username"] or it["actor"]["kind"],
    "SUBJECT": lambda it: it["subject"]["username"] or it["subject"]["kind"],
    "KEYS": lambda it: [f"{key['keyType']} {key['key']}" for key in it["keys"]],
    "CHANGES": lambda it: [
        f"{each['field']}: {_quoted(each['old'])} → {_quoted(each['new'])}" for each in it["changes"]
    ],
    "FROM": lambda it: it["sourceIp"],
}


def write_account(it: dict[str, Any]) -> None:
    """Write an account."""
    session().output.fields(
        it,
        {
            "Account": it["account"],
            "Name": it["name"],
            "OWNERs": it["owners"],
            "Created": it["createdAt"],
            "Maximum age of keys (days)": it["maxKeyAgeDays"],
            "Revoke inactive after (days)": it["revokeInactiveAfterDays"],
            "PCI compliance": it["pciCompliance"],
            "Machines manage OWNERs": it["machinesManageOwners"],
            "Revoke leaked keys": it["revokeLeakedKeys"],
            "People": it["userCount"],
            "Service Users": it["serviceUserCount"],
        },
    )


def add(app: typer.Typer) -> None:
    """Add the commands."""
    account = typer.Typer(help="The account and its policy on keys.", no_args_is_help=True)
    app.add_typer(account, name="account")

    @command(account, "account show", "service-users account show")
    def show() -> None:
        """Show the account and its policy."""
        write_account(session().client.request("GET", "/v1/account"))

    @command(
        account,
        "account update",
        "service-users account update --max-key-age-days 180 --revoke-inactive-after-days 90",
        "service-users account update --max-key-age-days none",
    )
    def update(
        name: Annotated[str | None, typer.Option(help="A new name.")] = None,
        max_key_age_days: Annotated[str | None, typer.Option(help="Days, or 'none'.")] = None,
        revoke_inactive_after_days: Annotated[str | None, typer.Option(help="Days, or 'none'.")] = None,
        pci_compliance: Annotated[bool | None, typer.Option(help="Both limits at 90 days or lower.")] = None,
        machines_manage_owners: Annotated[
            bool | None, typer.Option(help="Whether machines may manage OWNERs.")
        ] = None,
        revoke_leaked_keys: Annotated[
            bool | None, typer.Option(help="Whether a leaked key that is reported is revoked.")
        ] = None,
    ) -> None:
        """Change the account's name and policy. What is not given stays."""
        body = given(
            name=name,
            pciCompliance=pci_compliance,
            machinesManageOwners=machines_manage_owners,
            revokeLeakedKeys=revoke_leaked_keys,
        )
        for field, text in (
            ("maxKeyAgeDays", max_key_age_days),
            ("revokeInactiveAfterDays", revoke_inactive_after_days),
        ):
            if text is not None:
                if text != "none" and not text.isdigit():
                    raise UsageError(f"'{text}' is not a number of days, or 'none'.")
                body[field] = None if text == "none" else int(text)
        if not body:
            raise UsageError("Say what to change: service-users account update --help.")
        write_account(session().client.request("PUT", "/v1/account", body=body))

    @command(
        app,
        "events",
        "service-users events --username metrics-bot --limit 20",
        "service-users events --since 2026-01-01T00:00:00Z --order oldest --all --ndjson",
    )
    def events(
        username: Annotated[str | None, typer.Option(help="To whom it was done.")] = None,
        actor: Annotated[str | None, typer.Option(help="Who did it.")] = None,
        action: Annotated[str | None, typer.Option(help="What was done.")] = None,
        since: Annotated[str | None, typer.Option(help="From when (RFC 3339).")] = None,
        until: Annotated[str | None, typer.Option(help="Until when (RFC 3339).")] = None,
        order: Annotated[str | None, typer.Option(help="newest (default) or oldest first.")] = None,
        limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
        every: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
        ndjson: Annotated[
            bool, typer.Option("--ndjson", help="One JSON object a line, as they arrive.")
        ] = False,
        csv: Annotated[bool, typer.Option("--csv", help="CSV, as they arrive.")] = False,
    ) -> None:
        """List events of the audit trail, newest first."""
        query = given(username=username, actor=actor, action=action, since=since, until=until, order=order)
        if ndjson or csv:
            _stream_events(query, limit=None if every else limit, csv=csv)
            return
        found = []
        for event in session().client.items(
            "/v1/events", query if every else {**query, "limit": min(limit, 100)}
        ):
            found.append(event)
            if not every and len(found) >= limit:
                break
        session().output.rows(found, EVENT_COLUMNS, empty="No events.")

    api = typer.Typer(help="The API itself.", no_args_is_help=True)
    app.add_typer(api, name="api")

    @command(api, "api health", "service-users api health", "service-users api health --tables")
    def health(
        url: Url = None,
        tables: Annotated[bool, typer.Option("--tables", help="Check that the tables can be read.")] = False,
    ) -> None:
        """Show whether the API is healthy, and its version."""
        with session().anonymous(url) as client:
            body = client.request("GET", "/health", query={"check": "state"} if tables else None)
        session().output.fields(body, body)

    @command(api, "api openapi", "service-users api openapi > openapi.json")
    def openapi(url: Url = None) -> None:
        """Write the API's OpenAPI document."""
        with session().anonymous(url) as client:
            session().output.json(client.request("GET", "/openapi.json"))

    @command(api, "api docs", "service-users api docs > reference.html")
    def docs(
        url: Url = None,
    ) -> None:
        """Write the API's reference as a page."""
        with session().anonymous(url) as client:
            page = client.request("GET", "/docs", headers={"Accept": "text/html"})
        session().output.plain(page)

    @command(
        app,
        "call",
        "service-users call readServiceUser username=metrics-bot",
        'service-users call updateServiceUser username=metrics-bot --body \'{"displayName": "Metrics"}\'',
    )
    def call(
        operation: Annotated[str, typer.Argument(help="An operationId of the API.", show_default=False)],
        parameters: Annotated[
            list[str] | None,
            typer.Argument(help="Parameters of the path, the query or the headers: name=value."),
        ] = None,
        body: Annotated[str | None, typer.Option(help="JSON, @FILE, or - for standard input.")] = None,
        key_file: KeyFile = None,
        show: Show = False,
    ) -> None:
        """Make any call of the API by its operationId, as the API's own document describes it."""
        client = session().client
        method, path, places = _operation(client.request("GET", "/openapi.json"), operation)
        query: dict[str, str] = {}
        headers: dict[str, str] = {}
        for parameter in parameters or []:
            name, equals, value = parameter.partition("=")
            if not equals or name not in places:
                names = ", ".join(places) or "none"
                raise UsageError(f"'{parameter}' is not a parameter of {operation}, which takes: {names}.")
            if places[name] == "path":
                path = path.replace(f"{{{name}}}", quoted_part(value))
            else:
                (query if places[name] == "query" else headers)[name] = value
        if "{" in path:
            raise UsageError(f"{operation} needs a value for {path[path.index('{') + 1 : path.index('}')]}.")
        payload = None if body is None else _body(body)
        # Only a POST can return a secret.
        with SecretPlace(session().output, key_file, show=show or method != "POST") as place:
            response = client.request(method, path, query=query, headers=headers, body=payload)
            place.keep("\n".join(SECRET.findall(json.dumps(response))) + "\n")
        if isinstance(response, str):
            session().output.plain(response)
        elif response is not None:
            session().output.json(response)


def _stream_events(query: dict[str, Any], *, limit: int | None, csv: bool) -> None:
    accept = "text/csv" if csv else "application/x-ndjson"
    left = limit
    first = True
    query = dict(query)
    while left is None or left > 0:
        query["limit"] = min(left or 100, 100)
        response = session().client.response("GET", "/v1/events", query=query, headers={"Accept": accept})
        lines = response.text.splitlines(keepends=True)
        events = len(lines) - (1 if csv else 0)
        session().output.plain("".join(lines if first or not csv else lines[1:]))
        sys.stdout.flush()
        first = False
        left = None if left is None else left - events
        query["cursor"] = response.headers.get("Next-Cursor")
        if not query["cursor"]:
            return


def _operation(document: dict[str, Any], wanted: str) -> tuple[str, str, dict[str, str]]:
    """Return the method, the path and the place of each parameter of a call. Raises UsageError."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters" and operation["operationId"] == wanted:
                found = [*methods.get("parameters", []), *operation.get("parameters", [])]
                resolved = [_resolve(document, each) for each in found]
                return method.upper(), path, {each["name"]: each["in"] for each in resolved}
    names = sorted(
        operation["operationId"]
        for methods in document["paths"].values()
        for method, operation in methods.items()
        if method != "parameters"
    )
    raise UsageError(f"The API has no call '{wanted}'. It has: {', '.join(names)}.")


def _resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = document
    for part in value["$ref"].split("/")[1:]:
        found = found[part]
    return dict(found)


def _body(text: str) -> Any:
    try:
        if text == "-":
            return json.load(sys.stdin)
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise UsageError(f"{text[1:]}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"The body is not valid JSON: {error}.") from None
