"""Commands on the keys of Service Users."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer
from service_users_client.client import path_of

from service_users_cli.options import (
    ExpiresAt,
    KeyFile,
    KeyType,
    Networks,
    Overlap,
    Replace,
    Show,
    Url,
    Username,
    Yes,
    command,
    confirm,
    expiry_of,
    networks_of,
    read_secret,
    seconds_of,
)
from service_users_cli.output import SecretPlace
from service_users_cli.service_users import KEY_COLUMNS
from service_users_cli.session import UsageError, session

FOUND_COLUMNS = {
    "USERNAME": lambda it: it["username"],
    "KIND": lambda it: it["kind"],
    "ROLE": lambda it: it["role"],
    "KEY TYPE": lambda it: it["apiKey"]["keyType"],
    "KEY": lambda it: it["apiKey"]["key"],
    "WHICH": lambda it: "the old key of an overlap" if it["isPredecessor"] else "the current key",
    "LAST USED": lambda it: it["apiKey"]["lastUsedAt"],
}


def write_key(key: dict[str, Any]) -> None:
    """Write one key."""
    session().output.fields(
        key,
        {
            "Username": key["username"],
            "Key type": key["keyType"],
            "Key": key["key"],
            "Created": key["createdAt"],
            "Rotated": key["rotatedAt"],
            "Last used": key["lastUsedAt"],
            "Expires": key["expiresAt"],
            "Networks": key["allowedNetworks"] or "any",
            "Ceiling": key["ceiling"],
            "Old key works until": (key.get("predecessor") or {}).get("validUntil"),
        },
    )


def issue(path: str, body: dict[str, Any], file: Path | None, *, show: bool, replace: bool) -> None:
    """Make a call that returns a new key, put the key where it is wanted and write the rest."""
    with SecretPlace(session().output, file, show=show, replace=replace) as place:
        key = session().client.request("POST", path, body=body)
        place.keep(f"{key['key']}\n")
    write_key(key)


def overlap_of(overlap: str | None) -> dict[str, int]:
    """Return the field ``overlapSeconds`` for an option."""
    return {"overlapSeconds": seconds_of(overlap)} if overlap else {}


def add(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(help="The keys of Service Users.", no_args_is_help=True)
    app.add_typer(keys, name="keys")

    @command(keys, "keys list", "service-users keys list metrics-bot")
    def list_(username: Username) -> None:
        """List the keys of a Service User."""
        body = session().client.request("GET", path_of("service-users", username, "api-keys"))
        output = session().output
        if output.as_json:
            output.json(body)
            return
        output.rows(body["apiKeys"], KEY_COLUMNS, empty="It has no keys.")
        allowed = ", ".join(it["name"] for it in body["allowedApiKeyTypes"])
        output.note(f"Its role allows keys of the types {allowed}.")

    @command(keys, "keys show", "service-users keys show metrics-bot MONITORING")
    def show_(username: Username, key_type: KeyType) -> None:
        """Show one key, masked."""
        write_key(session().client.request("GET", path_of("service-users", username, "api-keys", key_type)))

    @command(
        keys,
        "keys generate",
        "service-users keys generate metrics-bot PROVISIONING_READONLY --network 203.0.113.0/24"
        " --expires 90d --key-file metrics-bot.key",
    )
    def generate(
        username: Username,
        key_type: KeyType,
        network: Networks = None,
        expires: ExpiresAt = None,
        key_file: KeyFile = None,
        show: Show = False,
        replace: Replace = False,
    ) -> None:
        """Generate a key of a type of which the Service User has none."""
        body = {"keyType": key_type, **networks_of(network), **expiry_of(expires)}
        path = path_of("service-users", username, "api-keys")
        issue(path, body, key_file, show=show, replace=replace)

    @command(
        keys,
        "keys rotate",
        "service-users keys rotate metrics-bot MONITORING --overlap 1d --key-file metrics-bot.key",
    )
    def rotate(
        username: Username,
        key_type: KeyType,
        overlap: Overlap = None,
        key_file: KeyFile = None,
        show: Show = False,
        replace: Replace = False,
    ) -> None:
        """Replace a key. Without --overlap the old key stops working at once."""
        body = {"keyType": key_type, **overlap_of(overlap)}
        path = path_of("service-users", username, "api-keys", "rotate")
        issue(path, body, key_file, show=show, replace=replace)

    @command(
        keys,
        "keys restrict",
        "service-users keys restrict metrics-bot MONITORING --network 203.0.113.0/24 --expires 90d",
        "service-users keys restrict metrics-bot MONITORING --network any --expires never",
    )
    def restrict(
        username: Username, key_type: KeyType, network: Networks = None, expires: ExpiresAt = None
    ) -> None:
        """Change the networks and the expiry of a key. What is not given stays."""
        body = {**networks_of(network), **expiry_of(expires)}
        if not body:
            raise UsageError("Give --network or --expires.")
        write_key(
            session().client.request(
                "PATCH", path_of("service-users", username, "api-keys", key_type), body=body
            )
        )

    @command(keys, "keys revoke", "service-users keys revoke metrics-bot MONITORING --yes")
    def revoke(username: Username, key_type: KeyType, yes: Yes = False) -> None:
        """Revoke a key, and the old one of an overlap. It no longer works."""
        confirm(f"Revoke the {key_type} key of '{username}'?", yes=yes)
        session().client.request("DELETE", path_of("service-users", username, "api-keys", key_type))
        session().output.done(f"Revoked the {key_type} key of '{username}'.")

    @command(app, "find", "service-users find --last5 VOQuO")
    def find(
        last5: Annotated[str | None, typer.Option(help="The last five characters of the key.")] = None,
    ) -> None:
        """Find the holder of a key. Without --last5 the key is read from the keyboard, unseen, or a pipe."""
        body = {"last5": last5} if last5 else {"key": read_secret("The key")}
        found = session().client.request("POST", "/v1/api-keys/find", body=body, repeatable=True)
        session().output.rows(found, FOUND_COLUMNS, empty="No key of this account matches.")

    @command(
        app, "report-leaked", "service-users report-leaked --source https://git.example/acme/app < found.txt"
    )
    def report_leaked(
        source: Annotated[str | None, typer.Option(help="Where the keys were found.")] = None, url: Url = None
    ) -> None:
        """Report leaked keys, one a line from a pipe. Those that work are revoked."""
        lines = [line.strip() for line in sys.stdin if line.strip()]
        reports = [{"token": line, **({"url": source} if source else {})} for line in lines]
        with session().anonymous(url) as client:
            total = 0
            for start in range(0, len(reports), 100):
                batch = reports[start : start + 100]
                total += client.request("POST", "/v1/leaked-keys", body=batch, repeatable=True)["received"]
        session().output.done(f"Reported {total}.", {"received": total})
