"""What one run of the program shares: its global options, its client, and the way results are written."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from service_users_client import Client, Profiles, Retries, ServiceUsersError

from service_users_cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "1.1.0"
MAX_WAIT = 120.0
MAX_WAIT_IN_BULK = 3700.0


class UsageError(ServiceUsersError):
    """The command line is wrong, or a file that it names is. Nothing was done."""


class Stopped(ServiceUsersError):
    """The user pressed Ctrl-C while a call was waiting."""


class Session:
    """One run of the program."""

    def __init__(self, *, profile: str | None = None, form: str | None = None, quiet: bool = False) -> None:
        self.profile_name = profile
        self.output = Output(form, quiet=quiet)
        self.profiles = Profiles()
        self.stop = threading.Event()
        self.on_wait: Callable[[float, str], None] = self._say_wait
        self._clients: list[Client] = []

    @cached_property
    def client(self) -> Client:
        """The client of the chosen profile. Raises ProfileError."""
        return self.make_client()

    def make_client(self, retries: Retries | None = None) -> Client:
        """Return a client of the chosen profile. Raises ProfileError."""
        client = Client.from_profile(
            self.profile_name,
            profiles=self.profiles,
            retries=retries or Retries(max_wait=MAX_WAIT),
            on_wait=lambda seconds, why: self.on_wait(seconds, why),
            sleep=self._sleep,
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def anonymous(self, url: str | None) -> Client:
        """Return a client that does not sign in, for the calls that anybody may make."""
        address = url or self.profiles.get(self.profile_name).url
        return Client(
            address,
            retries=Retries(max_wait=MAX_WAIT),
            on_wait=lambda seconds, why: self.on_wait(seconds, why),
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped("Stopped while waiting. Nothing was done in this call.")

    def _say_wait(self, seconds: float, why: str) -> None:
        if seconds >= 1:
            self.output.note(f"Waiting {seconds:.0f} s: {why}")


_current = Session()


def session() -> Session:
    """Return the current run."""
    return _current


def begin(new: Session) -> Session:
    """Make ``new`` the current run."""
    global _current  # noqa: PLW0603, RUF100 - one run a process
    _current = new
    return new
