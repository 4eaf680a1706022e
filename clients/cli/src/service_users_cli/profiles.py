"""Commands on profiles: the addresses and keys that are stored on this machine."""

from __future__ import annotations

import json
import stat
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer
from service_users_client import Client, ProfileError
from service_users_client.profiles import checked_key, checked_url

from service_users_cli.options import Yes, command, confirm, read_secret
from service_users_cli.session import UsageError, session

Name = Annotated[str, typer.Argument(help="The name of the profile.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    profile = typer.Typer(help="Where to sign in, and with which key.", no_args_is_help=True)
    app.add_typer(profile, name="profile")

    @command(
        profile,
        "profile add",
        "service-users profile add demo --from owner.json",
        "service-users profile add staging --url http://127.0.0.1:8000 --username owner --no-keyring"
        " < owner.key",
    )
    def add_(
        name: Name,
        url: Annotated[str | None, typer.Option(help="The address of the API.")] = None,
        username: Annotated[str | None, typer.Option(help="Whose key it is.")] = None,
        file: Annotated[
            Path | None, typer.Option("--from", help="A JSON file with baseUrl, username and apiKey.")
        ] = None,
        keyring: Annotated[
            bool, typer.Option("--keyring/--no-keyring", help="Use the system's keyring, if there is one.")
        ] = True,
        check: Annotated[bool, typer.Option("--check/--no-check", help="Sign in once to check it.")] = True,
    ) -> None:
        """Store a profile. The key is read from the keyboard, unseen, a pipe, or a file (--from)."""
        if file is not None:
            if url or username:
                raise UsageError("Give --from, or --url and --username.")
            url, username, key = _read_credentials(file)
        elif url is None or username is None:
            raise UsageError("Give --url and --username, or --from.")
        else:
            checked_url(url)
            key = read_secret(f"API key of {username}")
        key = checked_key(key)
        if check:
            with Client(url, username, key) as client:
                client.request("GET", "/v1/whoami")
        stored = session().profiles.add(name, url, username, key, use_keyring=keyring)
        where = (
            "the system's keyring"
            if stored.storage == "keyring"
            else f"{session().profiles.keys_file} (mode 0600)"
        )
        session().output.done(
            f"Stored profile '{name}': {username} at {stored.url}. The key is in {where}.",
            {"name": name, "url": stored.url, "username": username, "storage": stored.storage},
        )

    @command(profile, "profile list", "service-users profile list")
    def list_() -> None:
        """List the profiles. The one in use is marked."""
        profiles = session().profiles
        default = session().profile_name or profiles.default()
        found = [profiles.get(name)._asdict() for name in profiles.names()]
        for each in found:
            each["inUse"] = each["name"] == default
        session().output.rows(
            found,
            {
                "": lambda it: "*" if it["inUse"] else " ",
                "NAME": lambda it: it["name"],
                "USERNAME": lambda it: it["username"],
                "ADDRESS": lambda it: it["url"],
                "KEY IN": lambda it: it["storage"],
            },
            empty="No profiles. Make one: service-users profile add --help.",
        )

    @command(profile, "profile use", "service-users profile use demo")
    def use(name: Name) -> None:
        """Make a profile the default."""
        session().profiles.use(name)
        session().output.done(f"The default profile is '{name}'.")

    @command(profile, "profile remove", "service-users profile remove staging --yes")
    def remove(name: Name, yes: Yes = False) -> None:
        """Forget a profile and its key on this machine. The key itself goes on working."""
        session().profiles.get(name)
        confirm(f"Forget profile '{name}' and its key?", yes=yes)
        session().profiles.remove(name)
        session().output.done(f"Forgot profile '{name}'. Its key still works: revoke it if it is not needed.")


def _read_credentials(file: Path) -> tuple[str, str, str]:
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            session().output.note(f"Warning: {file} can be read by others.")
        value = json.loads(file.read_text(encoding="utf-8"))
        return str(value["baseUrl"]), str(value["username"]), str(value["apiKey"])
    except OSError as error:
        raise ProfileError(f"{file}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise ProfileError(f"{file} must be JSON with baseUrl, username and apiKey.") from None
