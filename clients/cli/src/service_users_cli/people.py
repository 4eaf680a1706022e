"""Commands on people: the Users of the account."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from service_users_client.client import path_of

from service_users_cli.options import (
    KeyFile,
    Show,
    Url,
    Username,
    Yes,
    command,
    confirm,
    given,
    read_secret,
)
from service_users_cli.output import SecretPlace
from service_users_cli.session import UsageError, session

COLUMNS = {
    "USERNAME": lambda it: it["username"],
    "ROLE": lambda it: it["role"],
    "STATUS": lambda it: "suspended" if it.get("suspendedAt") else it["status"],
    "INVITATION": lambda it: it.get("invitation"),
    "EMAIL": lambda it: it["email"],
    "CREATED": lambda it: it["createdAt"],
}
SHOWN_COLUMNS = {
    "USERNAME": lambda it: it["username"],
    "KEY TYPE": lambda it: it["keyType"],
    "KEY": lambda it: it["key"],
    "VALID UNTIL": lambda it: it["validUntil"],
}


def _failure(it: dict[str, Any]) -> str | None:
    """Return how and when emails to a person last failed; None if they have not."""
    failure = it.get("emailFailure")
    return failure and f"{failure['outcome']} at {failure['at']}"


def write_person(it: dict[str, Any]) -> None:
    """Write a person."""
    session().output.fields(
        it,
        {
            "Username": it["username"],
            "Display name": it["displayName"],
            "Email": it["email"],
            "Role": it["role"],
            "Status": it["status"],
            "Invitation": it.get("invitation"),
            "Invited by": it["invitedBy"],
            "Created": it["createdAt"],
            "Suspended": it.get("suspendedAt"),
            "Emails fail": _failure(it),
        },
    )


def add(app: typer.Typer) -> None:
    """Add the commands."""
    people = typer.Typer(help="The people of the account.", no_args_is_help=True)
    app.add_typer(people, name="people")

    @command(people, "people list", "service-users people list --status INVITED")
    def list_(
        role: Annotated[str | None, typer.Option(help="The role.")] = None,
        status: Annotated[str | None, typer.Option(help="INVITED or ACTIVE.")] = None,
        suspended: Annotated[bool, typer.Option("--suspended", help="Only who is suspended.")] = False,
    ) -> None:
        """List people, all pages."""
        query = given(role=role, status=status, suspended=suspended or None)
        session().output.rows(session().client.items("/v1/users", query), COLUMNS, empty="Nobody.")

    @command(people, "people show", "service-users people show grace")
    def show(username: Username) -> None:
        """Show a person."""
        write_person(session().client.request("GET", path_of("users", username)))

    @command(
        people,
        "people invite",
        "service-users people invite joan --email joan@people.example --role CLUSTER_ADMIN",
    )
    def invite(
        username: Username,
        email: Annotated[str, typer.Option(help="Where the invitation is sent.")],
        role: Annotated[str, typer.Option(help="Their role.")],
        display_name: Annotated[str | None, typer.Option(help="Their display name.")] = None,
    ) -> None:
        """Invite a person. The token is only in the email to them."""
        body = given(username=username, email=email, role=role, displayName=display_name)
        write_person(session().client.request("POST", "/v1/users", body=body))

    @command(people, "people invite-again", "service-users people invite-again grace --yes")
    def invite_again(username: Username, yes: Yes = False) -> None:
        """Send a person a new invitation. Their earlier tokens and keys no longer work."""
        confirm(f"Send '{username}' a new invitation and revoke their keys?", yes=yes)
        write_person(session().client.request("POST", path_of("users", username, "invitation")))

    @command(people, "people update", "service-users people update grace --role OWNER")
    def update(
        username: Username,
        role: Annotated[str | None, typer.Option(help="A new role.")] = None,
        display_name: Annotated[str | None, typer.Option(help="A new display name.")] = None,
    ) -> None:
        """Change a person's role or display name."""
        body = given(role=role, displayName=display_name)
        if not body:
            raise UsageError("Give --role or --display-name.")
        write_person(session().client.request("PUT", path_of("users", username), body=body))

    @command(people, "people revoke", "service-users people revoke grace --yes")
    def revoke(username: Username, yes: Yes = False) -> None:
        """Revoke a person: their keys and Administrator links no longer work. See also bulk revoke."""
        confirm(f"Revoke '{username}'?", yes=yes)
        session().client.request("DELETE", path_of("users", username))
        session().output.done(f"Revoked '{username}'.")

    @command(people, "people suspend", "service-users people suspend grace")
    def suspend(username: Username) -> None:
        """Suspend a person: what they have is kept, and refused until they are resumed."""
        write_person(session().client.request("POST", path_of("users", username, "suspend"), repeatable=True))

    @command(people, "people resume", "service-users people resume grace")
    def resume(username: Username) -> None:
        """Resume a suspended person."""
        write_person(session().client.request("POST", path_of("users", username, "resume"), repeatable=True))

    @command(people, "people shown-keys", "service-users people shown-keys grace")
    def shown_keys(username: Username) -> None:
        """List the working keys of Service Users that a person was the last to be shown."""
        session().output.rows(
            session().client.items(path_of("users", username, "shown-keys")),
            SHOWN_COLUMNS,
            empty="They know no working key.",
        )

    @command(people, "people activate", "service-users people activate joan --key-file joan.key < token.txt")
    def activate(username: Username, key_file: KeyFile = None, show: Show = False, url: Url = None) -> None:
        """Accept an invitation. The token is read from the keyboard, unseen, or from a pipe."""
        token = read_secret("The token of the invitation")
        with SecretPlace(session().output, key_file, show=show) as place, session().anonymous(url) as client:
            body = client.request("POST", "/v1/users/activate", body={"username": username, "token": token})
            keys = {key["keyType"]: key["key"] for key in body["apiKeys"]["apiKeys"]}
            place.keep(json.dumps({"username": body["username"], "keys": keys}, indent=2) + "\n")
        session().output.fields(body, {"Username": body["username"], "Role": body["role"], **keys})
