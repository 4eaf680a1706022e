"""Helpers for tests of the sweep: an account with a clock that tests move, and a mailer that they run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.expiry.sweep import sweep
from chalicelib.rules.model import Account
from chalicelib.store.items import from_item
from chalicelib.store.sweep import DynamoSweeps
from tests.support.api_client import Key, Response, Stack, stored_keys
from tests.support.mail import MailFixture

DAY = 86_400
HOUR = 3600
START = 1_893_456_000
"""2030-01-01T00:00:00Z: sweeps begin with the day of UTC."""

LONG = 300_000


@dataclass
class PolicyAccount:
    """An account, its mail, and the function that enforces its policy."""

    stack: Stack
    owner: Key
    mail: MailFixture = field(init=False)
    page: int = 400
    publishes: bool = False
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mail = MailFixture(self.stack.client, self.stack.tables, self.stack.clock)

    # Time

    def set_day(self, day: float) -> None:
        """Set the clock to this many days after the start."""
        self.stack.clock.at = START + day * DAY

    @property
    def today(self) -> float:
        return (self.stack.clock.at - START) / DAY

    # The function

    def sweep(
        self, remaining_ms: Callable[[], int] = lambda: LONG, client: Any = None, now: Any = None
    ) -> dict[str, int]:
        clock = now or self.stack.clock
        return sweep(self.sweeps(client), clock, remaining_ms, "sweep-request", self.pauses.append)

    def sweeps(self, client: Any = None) -> DynamoSweeps:
        tables = self.stack.tables
        return DynamoSweeps(
            *(client or self.stack.client, tables.directory, tables.events, 400, self.page),
            publishes=self.publishes,
        )

    def go_to(self, day: float, *, send_mail: bool = True) -> dict[str, int]:
        """Set the day, sweep, send the emails, and return the result of the sweep."""
        self.set_day(day)
        counts = self.sweep()
        if send_mail and counts.get("events"):
            self.send_mail()
        return counts

    def send_mail(self) -> list[tuple[str, str]]:
        """Mail the pending events; return the new emails as recipient and action."""
        before = len(self.mail.ses.sent)
        while self.mail.resend().get("sent"):
            pass
        actions = {event["id"]: event["action"] for event in self.events()}
        return [
            (to.partition("@")[0], actions[str(message["Service-Users-Event"])])
            for to, message in self.mail.ses.sent[before:]
        ]

    # State

    def set_policy(self, by: Key | None = None, **fields: Any) -> Response:
        response = self.stack.call("PUT", "/v1/account", by or self.owner, fields)
        assert response.status == 200, response.text
        return response

    def signs_in(self, key: Key) -> bool:
        """Sign in with a key, which also records its use."""
        status = self.stack.call("GET", "/v1/whoami", key).status
        assert status in (200, 401), status
        return status == 200

    def key_types(self, username: str) -> set[str]:
        """Return the key types that a principal has, without using any key."""
        return set(stored_keys(self.item(username)))

    def item(self, username: str) -> dict[str, Any]:
        [item] = [
            it for it in self.stack.items(self.stack.tables.directory) if it["pk"] == f"USER#{username}"
        ]
        return item

    def key(self, username: str, key_type: str = "MONITORING") -> dict[str, Any]:
        found: dict[str, Any] = stored_keys(self.item(username))[key_type]
        return found

    def stored_account(self) -> Account:
        client, tables = self.stack.client, self.stack.tables
        account = self.item(self.owner.username)["account"]
        key = {"pk": {"S": f"ACCOUNT#{account}"}}
        return from_item(client.get_item(TableName=tables.directory, Key=key)["Item"], Account)

    def events(self, *actions: str) -> list[dict[str, Any]]:
        """Return the events of some actions, or all, the oldest first."""
        stored = (it for it in self.stack.items(self.stack.tables.events) if "action" in it)
        found = sorted(stored, key=lambda event: event["id"])
        return [event for event in found if not actions or event["action"] in actions]

    def events_by_policy(self) -> list[tuple[float, str, str]]:
        """Return the changes that the policy made: day, action and subject."""
        return [
            (round((event["at"] - START) / DAY, 3), event["action"], event["subject"]["username"])
            for event in self.events("API_KEY_ENDING", "API_KEY_REVOKED", "PASSKEY_ENDING", "PASSKEY_REMOVED")
            if event["actor"]["kind"] == "POLICY"
        ]


def policy_account(stack: Stack, page: int = 400) -> PolicyAccount:
    """Return a new account with the OWNER ``owner``, on the first day."""
    stack.clock.at = START
    return PolicyAccount(stack, stack.account(), page=page)
