"""Commands on the caller itself: who it is, and its own keys."""

from __future__ import annotations

from typing import Annotated

import typer
from service_users_client.client import path_of

from service_users_cli.keys import issue, overlap_of, write_key
from service_users_cli.options import (
    EvenIfLockedOut,
    ExpiresAt,
    KeyFile,
    KeyType,
    Networks,
    Overlap,
    Replace,
    Show,
    Yes,
    command,
    confirm,
    expiry_of,
    networks_of,
    seconds_of,
)
from service_users_cli.service_users import KEY_COLUMNS
from service_users_cli.session import UsageError, session


def add(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, "whoami", "service-users whoami")
    def whoami() -> None:
        """Show who you are signed in as, and with which key."""
        it = session().client.request("GET", "/v1/whoami")
        session().output.fields(
            it,
            {
                "Address": session().client.url,
                "Account": it["account"],
                "Username": it["username"],
                "Kind": it["kind"],
                "Role": it["role"],
                "Key type": it["keyType"],
                "Key": it["key"]["key"],
                "Expires": it["key"]["expiresAt"],
                "Networks": it["key"]["allowedNetworks"] or "any",
            },
        )

    @command(app, "rotate-own", "service-users rotate-own --overlap 1d")
    def rotate_own(
        overlap: Annotated[str, typer.Option(help="How long the old key works beside the new one.")] = "1d",
    ) -> None:
        """Replace the key of the profile in use, and store the new one where the old one is.

        A response that is lost is asked for again. Whenever this ends, the stored key works.
        """
        try:
            key = session().client.rotate_own_key(seconds_of(overlap))
        except ValueError as error:
            raise UsageError(str(error)) from None
        profile = session().client.profile
        until = (key.to_dict().get("predecessor") or {}).get("validUntil")
        where = f"the {profile.storage} of profile '{profile.name}'" if profile else "its place"
        session().output.done(
            f"Rotated. The new key is in {where}; the old one works until {until}.",
            {
                "keyType": key.to_dict()["keyType"],
                "stored": profile.storage if profile else None,
                "oldKeyWorksUntil": until,
            },
        )

    own = typer.Typer(help="Your own keys, if you are a person.", no_args_is_help=True)
    app.add_typer(own, name="own-keys")

    def me() -> str:
        return session().client.username or str(session().client.request("GET", "/v1/whoami")["username"])

    @command(own, "own-keys list", "service-users own-keys list")
    def list_() -> None:
        """List your keys."""
        body = session().client.request("GET", path_of("users", me(), "api-keys"))
        output = session().output
        if output.as_json:
            output.json(body)
        else:
            output.rows(body["apiKeys"], KEY_COLUMNS, empty="You have no keys.")

    @command(own, "own-keys show", "service-users own-keys show USER_MANAGEMENT")
    def show_(key_type: KeyType) -> None:
        """Show one of your keys, masked."""
        write_key(session().client.request("GET", path_of("users", me(), "api-keys", key_type)))

    @command(own, "own-keys generate", "service-users own-keys generate MONITORING --key-file mine.key")
    def generate(
        key_type: KeyType,
        network: Networks = None,
        expires: ExpiresAt = None,
        key_file: KeyFile = None,
        show: Show = False,
        replace: Replace = False,
    ) -> None:
        """Generate a key of a type of which you have none."""
        body = {"keyType": key_type, **networks_of(network), **expiry_of(expires)}
        issue(path_of("users", me(), "api-keys"), body, key_file, show=show, replace=replace)

    @command(
        own, "own-keys rotate", "service-users own-keys rotate MONITORING --overlap 1h --key-file mine.key"
    )
    def rotate(
        key_type: KeyType,
        overlap: Overlap = None,
        key_file: KeyFile = None,
        show: Show = False,
        replace: Replace = False,
    ) -> None:
        """Replace one of your keys. For the key of the profile, use rotate-own."""
        body = {"keyType": key_type, **overlap_of(overlap)}
        issue(path_of("users", me(), "api-keys", "rotate"), body, key_file, show=show, replace=replace)

    @command(own, "own-keys restrict", "service-users own-keys restrict MONITORING --network 203.0.113.0/24")
    def restrict(
        key_type: KeyType,
        network: Networks = None,
        expires: ExpiresAt = None,
        even_if_locked_out: EvenIfLockedOut = False,
    ) -> None:
        """Change the networks and the expiry of one of your keys."""
        changes = {**networks_of(network), **expiry_of(expires)}
        if not changes:
            raise UsageError("Give --network or --expires.")
        body = {**changes, **({"evenIfLockedOut": True} if even_if_locked_out else {})}
        write_key(session().client.request("PATCH", path_of("users", me(), "api-keys", key_type), body=body))

    @command(own, "own-keys revoke", "service-users own-keys revoke MONITORING --yes")
    def revoke(key_type: KeyType, yes: Yes = False, even_if_locked_out: EvenIfLockedOut = False) -> None:
        """Revoke one of your keys. It no longer works."""
        confirm(f"Revoke your {key_type} key?", yes=yes)
        query = {"evenIfLockedOut": even_if_locked_out or None}
        session().client.request("DELETE", path_of("users", me(), "api-keys", key_type), query=query)
        session().output.done(f"Revoked your {key_type} key.")
