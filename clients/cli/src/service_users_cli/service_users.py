"""Commands on Service Users."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from service_users_client.client import path_of

from service_users_cli.options import (
    ExpiresAt,
    KeyFile,
    Networks,
    Show,
    Username,
    Yes,
    command,
    confirm,
    expiry_of,
    given,
    label_condition,
    labels_of,
    networks_of,
)
from service_users_cli.output import SecretPlace
from service_users_cli.session import UsageError, session

Label = Annotated[list[str] | None, typer.Option("--label", help="A label, name=value; repeat for more.")]
Administrators = Annotated[
    list[str] | None, typer.Option("--administrator", help="A person's username; repeat for more.")
]

COLUMNS = {
    "USERNAME": lambda it: it["username"],
    "ROLE": lambda it: it["role"],
    "KEYS": lambda it: [key["keyType"] for key in it["apiKeys"]["apiKeys"]],
    "LAST USED": lambda it: max((key["lastUsedAt"] or "" for key in it["apiKeys"]["apiKeys"]), default=""),
    "ADMINISTRATORS": lambda it: it["administrators"],
    "LABELS": lambda it: it.get("labels"),
    "STATE": lambda it: "suspended" if it.get("suspendedAt") else "active",
}
KEY_COLUMNS = {
    "KEY TYPE": lambda it: it["keyType"],
    "KEY": lambda it: it["key"],
    "CREATED": lambda it: it["createdAt"],
    "ROTATED": lambda it: it["rotatedAt"],
    "LAST USED": lambda it: it["lastUsedAt"],
    "EXPIRES": lambda it: it["expiresAt"],
    "NETWORKS": lambda it: it["allowedNetworks"] or "any",
    "OLD KEY WORKS UNTIL": lambda it: (it.get("predecessor") or {}).get("validUntil"),
}


def write_one(it: dict[str, Any]) -> None:
    """Write a Service User and its keys."""
    output = session().output
    output.fields(
        it,
        {
            "Username": it["username"],
            "Display name": it["displayName"],
            "Description": it.get("description"),
            "Email": it["email"],
            "Role": it["role"],
            "Administrators": it["administrators"],
            "Labels": it.get("labels"),
            "Created": it["createdAt"],
            "Suspended": it.get("suspendedAt"),
            "Keys below role": it["keysBelowRole"],
        },
    )
    if not output.as_json:
        output.console.print()
        output.rows(it["apiKeys"]["apiKeys"], KEY_COLUMNS, empty="It has no keys.")


def add(app: typer.Typer) -> None:
    """Add the commands."""

    @command(
        app, "list", "service-users list", "service-users list --label team=payments --never-used --json"
    )
    def list_(
        sort: Annotated[str | None, typer.Option(help="username (default), oldest or newest first.")] = None,
        prefix: Annotated[str | None, typer.Option(help="What usernames begin with.")] = None,
        role: Annotated[str | None, typer.Option(help="The role.")] = None,
        administrator: Annotated[str | None, typer.Option(help="The username of an Administrator.")] = None,
        label: Annotated[str | None, typer.Option(help="A label, name=value.")] = None,
        never_used: Annotated[bool, typer.Option("--never-used", help="With a key never used.")] = False,
        without_networks: Annotated[
            bool, typer.Option("--without-networks", help="With a key that works from every address.")
        ] = False,
        unused_for_days: Annotated[int | None, typer.Option(help="With a key unused for so long.")] = None,
        ending_within_days: Annotated[
            int | None, typer.Option(help="With a key that expires by then.")
        ] = None,
    ) -> None:
        """List Service Users, all pages. Conditions are combined."""
        query = given(
            sort=sort,
            prefix=prefix,
            role=role,
            administrator=administrator,
            label=label_condition(label),
            neverUsed=never_used or None,
            withoutNetworks=without_networks or None,
            unusedForDays=unused_for_days,
            endingWithinDays=ending_within_days,
        )
        session().output.rows(
            session().client.items("/v1/service-users", query), COLUMNS, empty="No Service Users."
        )

    @command(app, "show", "service-users show metrics-bot")
    def show(username: Username) -> None:
        """Show a Service User and its keys."""
        write_one(session().client.request("GET", path_of("service-users", username)))

    @command(
        app,
        "create",
        "service-users create report-bot --email report-bot@machines.example --role READ_ONLY"
        " --key-type MONITORING --key-file report-bot.json",
    )
    def create(
        username: Username,
        email: Annotated[str, typer.Option(help="Its email address.")],
        role: Annotated[str, typer.Option(help="Its role.")],
        key_type: Annotated[
            list[str] | None,
            typer.Option("--key-type", help="A key to generate; repeat for more, 'none' for none."),
        ] = None,
        display_name: Annotated[str | None, typer.Option(help="Its display name.")] = None,
        description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
        administrator: Administrators = None,
        label: Label = None,
        network: Networks = None,
        expires: ExpiresAt = None,
        key_file: KeyFile = None,
        show: Show = False,
    ) -> None:
        """Create a Service User with a key of every type that its role allows, unless you name types."""
        body = given(
            username=username,
            email=email,
            role=role,
            keyTypes=[] if key_type == ["none"] else key_type or None,
            displayName=display_name,
            description=description,
            administrators=administrator or None,
            labels=labels_of(label) or None,
        )
        body |= networks_of(network) | expiry_of(expires)
        issues = body.get("keyTypes") != []
        with SecretPlace(session().output, key_file, show=show or not issues) as place:
            made = session().client.request("POST", "/v1/service-users", body=body)
            secrets = {key["keyType"]: key["key"] for key in made["apiKeys"]["apiKeys"]}
            place.keep(json.dumps({"username": made["username"], "keys": secrets}, indent=2) + "\n")
        write_one(made)

    @command(
        app,
        "update",
        "service-users update metrics-bot --description 'Reads the metrics of every cluster.'",
        "service-users update metrics-bot --label team=payments --remove-label environment",
    )
    def update(
        username: Username,
        role: Annotated[str | None, typer.Option(help="A new role.")] = None,
        display_name: Annotated[str | None, typer.Option(help="A new display name.")] = None,
        description: Annotated[str | None, typer.Option(help="A new description; '' for none.")] = None,
        administrator: Annotated[
            list[str] | None, typer.Option("--administrator", help="All its Administrators; repeat for more.")
        ] = None,
        label: Label = None,
        remove_label: Annotated[
            list[str] | None, typer.Option("--remove-label", help="The name of a label; repeat for more.")
        ] = None,
    ) -> None:
        """Change a Service User. What is not given stays; labels are added to those it has."""
        client, path = session().client, path_of("service-users", username)
        body = given(role=role, displayName=display_name, administrators=administrator or None)
        if description is not None:
            body["description"] = description or None
        if_match = None
        if label or remove_label:
            read = client.response("GET", path)
            if_match = read.headers.get("ETag")
            kept = {
                name: value
                for name, value in (read.json().get("labels") or {}).items()
                if name not in (remove_label or [])
            }
            body["labels"] = kept | labels_of(label)
        if not body:
            raise UsageError("Say what to change: service-users update --help.")
        write_one(client.request("PUT", path, body=body, if_match=if_match))

    @command(app, "delete", "service-users delete metrics-bot --yes")
    def delete(username: Username, yes: Yes = False) -> None:
        """Delete a Service User. Its keys no longer work."""
        confirm(f"Delete '{username}' and revoke its keys?", yes=yes)
        session().client.request("DELETE", path_of("service-users", username))
        session().output.done(f"Deleted '{username}'.")

    @command(app, "suspend", "service-users suspend metrics-bot")
    def suspend(username: Username) -> None:
        """Suspend a Service User: its keys are kept, and refused until it is resumed."""
        write_one(
            session().client.request("POST", path_of("service-users", username, "suspend"), repeatable=True)
        )

    @command(app, "resume", "service-users resume metrics-bot")
    def resume(username: Username) -> None:
        """Resume a suspended Service User."""
        write_one(
            session().client.request("POST", path_of("service-users", username, "resume"), repeatable=True)
        )
