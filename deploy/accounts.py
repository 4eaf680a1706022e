"""The accounts of a stack: listing them, and suspending and resuming a whole account.

A suspended account is one whose principals are all suspended, since a sign-in reads the principal alone. Each
is suspended in one transaction with its event, as by an OWNER. Nobody of the account can sign in then, so
nobody can resume anybody or create new ones; the operator resumes those, and only those, whom this suspended.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from chalicelib.rules import suspension
from chalicelib.rules.audit import new_event
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ConcurrentChange, concurrent_change
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    Audience,
    Cause,
    Event,
    Kind,
    Principal,
    ServiceUser,
    User,
)
from chalicelib.rules.ports import Replace, Suspend, Write
from chalicelib.rules.roles import Role
from chalicelib.rules.suspension import OPERATOR
from chalicelib.store.items import from_item
from deploy.bulk import Tables, account_name, directory_of, principals, until_none_is_left

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_TRIES = 5
_REASON = "The operator {} the account"


class Line(NamedTuple):
    """An account, and how many OWNERs, Users and Service Users it has, and how many of them are suspended."""

    id: str
    name: str
    created_at: int
    owners: int
    users: int
    service_users: int
    suspended: int

    @property
    def is_suspended(self) -> bool:
        """Whether nobody of the account can sign in."""
        return 0 < self.suspended == self.users + self.service_users


def accounts(client: "DynamoDBClient", directory: str) -> list[Line]:
    """Return every account of the stack, the oldest first. Reads the whole table."""
    found: dict[str, list[Principal]] = {}
    for it in principals(client, directory):
        found.setdefault(it.account, []).append(it)
    pages = client.get_paginator("scan").paginate(
        TableName=directory,
        FilterExpression="begins_with(pk, :account)",
        ExpressionAttributeValues={":account": {"S": "ACCOUNT#"}},
        ConsistentRead=True,
    )
    lines = []
    for item in (item for page in pages for item in page["Items"]):
        account = from_item(dict[str, Any](item), Account)
        members = found.get(account.id, [])
        users = sum(isinstance(it, User) for it in members)
        suspended = sum(it.suspended_at is not None for it in members)
        line = (account.id, account.name, account.created_at, len(account.owners))
        lines.append(Line(*line, users, len(members) - users, suspended))
    return sorted(lines, key=lambda it: (it.created_at, it.id))


def suspend_account(
    client: "DynamoDBClient",
    tables: Tables,
    account: str,
    report: Callable[[str], None] = print,
    now: Callable[[], float] = time.time,
) -> int:
    """Suspend everybody of an account who is not suspended yet; return how many that were.

    Their keys, passkeys and Administrator links stay; sessions end. Each OWNER is mailed; nobody else is.
    If it is interrupted, run it again. Raises LookupError if there is no such account, and ConcurrentChange
    if new principals keep appearing.
    """
    account_name(client, tables.directory, account)
    job = _Job(client, tables, account, now)
    return until_none_is_left(job.active, job.suspend, report, "Suspended {} principals.")


def resume_account(
    client: "DynamoDBClient",
    tables: Tables,
    account: str,
    report: Callable[[str], None] = print,
    now: Callable[[], float] = time.time,
) -> int:
    """Resume everybody of an account whom :func:`suspend_account` suspended; return how many that were.

    Whoever was suspended by somebody of the account stays so. Raises as :func:`suspend_account`.
    """
    account_name(client, tables.directory, account)
    job = _Job(client, tables, account, now)
    return until_none_is_left(job.suspended, job.resume, report, "Resumed {} principals.")


class _Job:
    """The suspension or resumption of an account."""

    def __init__(
        self, client: "DynamoDBClient", tables: Tables, account: str, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._tables = tables
        self._account = account
        self._now = now
        self._id = new_id()
        self._directory = directory_of(client, tables)

    def active(self) -> list[str]:
        """Return those who are not suspended. OWNERs come first: from then on nobody creates new ones."""
        found = [it for it in self._principals() if it.suspended_at is None]
        return [it.username for it in sorted(found, key=lambda it: it.role is not Role.OWNER)]

    def suspended(self) -> list[str]:
        """Return those whom the operator suspended."""
        return [it.username for it in self._principals() if it.suspended_by == OPERATOR]

    def suspend(self, username: str) -> int:
        """Suspend one; return whether that was needed. Whoever rotates keys in a loop does not prevent it."""
        for attempt in range(_TRIES):
            old = self._member(username)
            if old is None or old.suspended_at is not None:
                return 0
            at = int(self._now())
            new = replace(old, suspended_at=at, suspended_by=OPERATOR, version=new_version())
            if isinstance(new, User):
                new = replace(new, sessions={}, enrolment=None)
            write: Write = (Replace if attempt == 0 else Suspend)(old, new, concurrent_change())
            if self._commit(old, new, write):
                return 1
        return 0  # the next pass tries again

    def resume(self, username: str) -> int:
        """Resume one; return whether that was needed."""
        for _ in range(_TRIES):
            old = self._member(username)
            if old is None or old.suspended_by != OPERATOR:
                return 0
            new = suspension.resumed(old)
            if self._commit(old, new, Replace(old, new, concurrent_change())):
                return 1
        return 0

    def _principals(self) -> list[Principal]:
        return list(principals(self._client, self._tables.directory, self._account))

    def _member(self, username: str) -> ServiceUser | User | None:
        found = self._directory.principal(username)
        if isinstance(found, ServiceUser | User) and found.account == self._account:
            return found
        return None

    def _commit(self, old: Principal, new: Principal, write: Write) -> bool:
        try:
            self._directory.commit(self._event(old, new), write, patient=True)
        except ConcurrentChange:
            return False
        return True

    def _event(self, old: Principal, new: Principal) -> Event:
        person, suspends = isinstance(old, User), new.suspended_at is not None
        if person:
            action = Action.USER_SUSPENDED if suspends else Action.USER_RESUMED
        else:
            action = Action.SERVICE_USER_SUSPENDED if suspends else Action.SERVICE_USER_RESUMED
        event = new_event(
            Origin("", self._id, self._now()),
            Actor(Kind.OPERATOR),
            action,
            old,
            cause=Cause.OPERATOR,
            reason=_REASON.format("suspended" if suspends else "resumed"),
            new=new,
        )
        if isinstance(old, User) and old.role is Role.OWNER and old.invitation is None:
            # At their own address: of the account's OWNERs, none is left who could be mailed.
            return replace(event, audience=Audience.PERSON)
        return replace(event, audience=Audience.NOBODY, due_at=None, administrators={})
