"""``service-users doctor``: what is wrong with the set-up, and what to do about it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.text import Text
from service_users_client import Forbidden, ServiceUsersError, Unauthenticated
from service_users_client.profiles import has_keyring, is_private

from service_users_cli.options import command
from service_users_cli.session import VERSION, session

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SKEW = 60
SOON_DAYS = 14


class Check(NamedTuple):
    """One thing that was looked at: "ok", "warning" or "error", what was seen, and what to do."""

    name: str
    state: str
    found: str
    remedy: str = ""


def checks() -> Iterator[Check]:
    """Return what was looked at, in order; ends where nothing further can be."""
    run, profiles = session(), session().profiles
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("Program", "ok", f"service-users {VERSION}, Python {python}")
    if has_keyring():
        yield Check("Keyring", "ok", "the system has one")
    else:
        yield Check("Keyring", "warning", "none", f"keys are kept in {profiles.keys_file}, mode 0600")
    for path in (profiles.folder / "profiles.json", profiles.keys_file):
        if not is_private(path):
            yield Check("Files", "error", f"{path} can be read by others", f"run: chmod 600 {path}")
    try:
        profile = profiles.get(run.profile_name)
        yield Check("Profile", "ok", f"{profile.name}: {profile.username or 'a key'} at {profile.url}")
        if profile.storage == "environment" and profiles.names():
            yield Check(
                "Environment",
                "warning",
                "SERVICE_USERS_URL is set",
                "it is used instead of the default profile",
            )
        client = run.client
        yield Check("Key", "ok", f"in the {profile.storage}")
    except ServiceUsersError as error:
        yield Check("Profile", "error", str(error), "service-users profile add --help")
        return
    try:
        health = client.request("GET", "/health")
    except ServiceUsersError as error:
        yield Check(
            "Service", "error", str(error), "check the address, the network and proxies (HTTPS_PROXY)"
        )
        return
    version = str(health.get("version", "unknown"))
    if version.split(".")[0] == VERSION.split(".")[0]:
        yield Check("Service", "ok", f"healthy, version {version}")
    else:
        yield Check("Service", "warning", f"version {version}", "use the program of the same major version")
    skew = abs((client.server_time - datetime.now(UTC)).total_seconds())
    state, remedy = (
        ("ok", "")
        if skew <= MAX_SKEW
        else ("warning", "set this machine's clock: --expires 90d counts from it")
    )
    yield Check("Clock", state, f"{skew:.0f} s from the service's", remedy)
    try:
        me = client.request("GET", "/v1/whoami")
    except Unauthenticated:
        yield Check(
            "Sign-in", "error", "the key is refused", "store a working one: service-users profile add"
        )
        return
    except (Forbidden, ServiceUsersError) as error:
        yield Check("Sign-in", "error", str(error))
        return
    yield Check("Sign-in", "ok", f"{me['username']}, {me['role']} ({me['kind']}), key type {me['keyType']}")
    yield from _of_key(me["key"])
    try:
        client.request("GET", "/v1/service-users", query={"limit": 1})
        yield Check("Rights", "ok", "may list Service Users")
    except ServiceUsersError as error:
        yield Check("Rights", "warning", str(error), "only rotate-own and whoami can be used with this key")


def _of_key(key: dict[str, Any]) -> Iterator[Check]:
    if key["expiresAt"]:
        ends = datetime.fromisoformat(key["expiresAt"].replace("Z", "+00:00"))
        days = (ends - datetime.now(UTC)).days
        state = "warning" if days < SOON_DAYS else "ok"
        yield Check(
            "Expiry", state, f"in {days} days", "generate another key before" if state != "ok" else ""
        )
    if key.get("predecessor"):
        until = key["predecessor"]["validUntil"]
        yield Check("Overlap", "ok", f"the predecessor of this key works until {until}")


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "doctor", "service-users doctor")
    def doctor() -> None:
        """Check this program's set-up, the service and the key in use. Exits with 1 if anything is wrong."""
        output = session().output
        found = []
        for check in checks():
            found.append(check)
            if not output.as_json:
                mark, style = {"ok": ("✓", "green"), "warning": ("!", "yellow")}.get(
                    check.state, ("✗", "red")
                )
                line = Text.assemble((mark, style), f" {check.name:<12}{check.found}")
                if check.remedy:
                    line.append(f" ({check.remedy})", "dim")
                output.console.print(line, soft_wrap=True)
        if output.as_json:
            output.json([check._asdict() for check in found])
        if any(check.state == "error" for check in found):
            raise typer.Exit(1)
