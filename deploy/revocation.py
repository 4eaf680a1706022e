"""Revoking every API key of an account, when it is not known which of them are stolen.

Each principal's keys are revoked in one transaction with its event, like every revocation. The events are
held back from the mailer, and at the end each User gets one email about all of them: an Administrator about
the Service Users that they administer, an OWNER about all. If this program is interrupted, it continues where
it stopped when it is run again; if it never is, the mailer notifies of each event by itself after two hours.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, notifications
from chalicelib.rules.audit import new_event
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ApiError, ConcurrentChange, concurrent_change
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.model import (
    Action,
    Actor,
    Audience,
    Cause,
    Event,
    Invitation,
    Inviter,
    Kind,
    Principal,
    ServiceUser,
    User,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Replace, RevokeKey
from chalicelib.store.items import Item, from_item
from chalicelib.store.outbox import DynamoOutbox
from chalicelib.store.publications import event_puts
from deploy.bulk import THREADS, Tables, account_name, directory_of, principals, until_none_is_left

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.roles import KeyType

STATE = "REVOCATION#"
"""The key of the item with the state of an account's revocation begins with this."""

HOLD = 2 * 3600
"""Seconds after which the mailer notifies of an event by itself."""

LISTED = 100
"""The most usernames in one email."""

_TRIES = 5


class Outcome(NamedTuple):
    """What was revoked, and how many Users are notified."""

    principals: int
    keys: int
    notified: int


class _Phase(str, Enum):
    REVOKING = "REVOKING"
    NOTIFYING = "NOTIFYING"


class _State(NamedTuple):
    """The state of a revocation. ``at`` is when the phase of notifying began, in milliseconds."""

    id: str
    started_at: int
    users: bool
    phase: _Phase
    at: int = 0


def count_keys(
    client: "DynamoDBClient", tables: Tables, account: str, *, users: bool
) -> tuple[str, int, int]:
    """Return an account's name, and the numbers of principals with keys and of their keys.

    With ``users``, Users' own keys too. Raises LookupError if there is no such account.
    """
    name = account_name(client, tables.directory, account)
    holders = list(_holders(client, tables, account, users=users))
    return name, len(holders), sum(len(it.keys) for it in holders)


def revoke_account(
    client: "DynamoDBClient",
    tables: Tables,
    account: str,
    *,
    users: bool,
    report: Callable[[str], None] = print,
    now: Callable[[], float] = time.time,
    threads: int = 0,
) -> Outcome:
    """Revoke every key of an account's Service Users, and notify each User once.

    With ``users``, the Users' own keys and sessions too, and invitations, which a thief may have sent; their
    passkeys stay. An interrupted revocation is continued, and the keys that were made since are revoked too.
    Raises LookupError if there is no such account, or if an unfinished revocation was begun with another
    ``users``, and ConcurrentChange if new keys keep appearing. ``threads`` are as many as change principals
    at once; 0 for :data:`THREADS`.
    """
    account_name(client, tables.directory, account)
    job = _Job(client, tables, account, report, now, threads or THREADS)
    state = job.begin(users=users)
    if state.phase is _Phase.NOTIFYING:
        outcome = job.finish(state)
        if next(_holders(client, tables, account, users=users), None) is None:
            return outcome
        report(f"Revocation {state.id} is finished: {outcome.keys} API keys. Revoking those made since.")
        state = job.begin(users=users)
    job.revoke(state)
    return job.finish(job.start_notifying(state))


class _Job:
    """One revocation of an account."""

    def __init__(
        self,
        client: "DynamoDBClient",
        tables: Tables,
        account: str,
        report: Callable[[str], None],
        now: Callable[[], float],
        threads: int,
    ) -> None:
        self._client = client
        self._tables = tables
        self._account = account
        self._report = report
        self._now = now
        self._threads = threads
        self._directory = directory_of(client, tables)
        self._outbox = DynamoOutbox(client, tables.directory, tables.events)
        self._key: Item = {"pk": {"S": f"{STATE}{account}"}}

    # The state

    def begin(self, *, users: bool) -> _State:
        """Store and return a new state, or return that of an unfinished revocation."""
        state = _State(new_id(), int(self._now()), users, _Phase.REVOKING)
        try:
            self._client.put_item(
                TableName=self._tables.directory,
                Item={
                    **self._key,
                    "id": {"S": state.id},
                    "startedAt": {"N": str(state.started_at)},
                    "users": {"BOOL": users},
                },
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            state = self._read_state()
            if state.users is not users:
                how = "without" if users else "with"
                raise LookupError(
                    f"A revocation that was begun {how} --users is not finished. "
                    f"Run it again {how} --users first."
                ) from None
            self._report(f"Continuing revocation {state.id}.")
        return state

    def start_notifying(self, state: _State) -> _State:
        """Store that everything is revoked, so that a continued run sends the same emails.

        Raises LookupError if another run has finished this revocation meanwhile.
        """
        try:
            stored = self._client.update_item(
                TableName=self._tables.directory,
                Key=self._key,
                UpdateExpression="SET notifyingAt = if_not_exists(notifyingAt, :at)",
                ConditionExpression="id = :id",
                ExpressionAttributeValues={
                    ":at": {"N": str(int(self._now() * 1000))},
                    ":id": {"S": state.id},
                },
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise LookupError("Everything is revoked; another run of this command has finished it.") from None
        return _state_of(dict[str, Any](stored["Attributes"]))

    def _read_state(self) -> _State:
        item = self._client.get_item(TableName=self._tables.directory, Key=self._key, ConsistentRead=True)[
            "Item"
        ]
        return _state_of(dict[str, Any](item))

    def finish(self, state: _State) -> Outcome:
        """Notify the Users, and delete the state: the revocation is done.

        A later revocation's state is left alone.
        """
        outcome = self.notify(state)
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.delete_item(
                TableName=self._tables.directory,
                Key=self._key,
                ConditionExpression="id = :id",
                ExpressionAttributeValues={":id": {"S": state.id}},
            )
        return outcome

    # Revoking

    def revoke(self, state: _State) -> None:
        """Revoke every key, again and again until no principal has one.

        Sessions of the console are ended too, but one that began since is let be: it began with a passkey,
        which is not revoked here, so the next would begin at once.
        """
        ended_sessions = False

        def holders() -> list[str]:
            nonlocal ended_sessions
            found = list(_holders(self._client, self._tables, self._account, users=state.users))
            if ended_sessions and not any(it.keys or _is_invited(it) for it in found):
                return []
            ended_sessions = True
            return [it.username for it in found]

        def revoke(username: str) -> int:
            return self._revoke_keys_of(username, state)

        said = "Revoked the keys of {} principals."
        until_none_is_left(holders, revoke, self._report, said, self._threads)

    def _revoke_keys_of(self, username: str, state: _State) -> int:
        """Revoke a principal's keys in one transaction; if it keeps changing, key by key."""
        for _ in range(_TRIES):
            old = self._holder(username)
            if old is None:
                return 0
            try:
                self._directory.commit(
                    self._event(old, state),
                    Replace(old, _without_keys(old), concurrent_change()),
                    patient=True,
                )
            except ConcurrentChange:
                continue
            return 1
        old = self._holder(username)
        for key_type in tuple(old.keys) if old else ():
            self._revoke_any_version(username, key_type, state)
        return 1

    def _revoke_any_version(self, username: str, key_type: "KeyType", state: _State) -> None:
        """Revoke a key whatever version its holder has, so that nobody prevents it by rotating in a loop."""
        holder = self._holder(username)
        if not isinstance(holder, ServiceUser | User) or key_type not in holder.keys:
            return
        event = self._event(replace(holder, keys={key_type: holder.keys[key_type]}), state)
        write = RevokeKey(holder, key_type, new_version(), concurrent_change())
        try:
            self._directory.commit(event, write, patient=True)
        except ApiError:
            return  # the next pass finds it

    def _holder(self, username: str) -> Principal | None:
        """Return a principal of the account that has keys or sessions; None for any other."""
        found = self._directory.principal(username)
        return found if found is not None and found.account == self._account and _has_secrets(found) else None

    def _event(self, old: Principal, state: _State) -> Event:
        keys = api_keys.revoke_all(old, self._now())
        invited = _is_invited(old)
        action = Action.USER_UPDATED if invited else Action.SIGNED_OUT
        event = new_event(
            Origin("", state.id, self._now()),
            Actor(Kind.OPERATOR),
            Action.API_KEY_REVOKED if keys else action,
            old,
            keys,
            changes={"invitation": ("OPEN", "WITHDRAWN")} if invited else None,
            cause=Cause.OPERATOR,
            reason="The operator revoked every key of the account",
        )
        return event if event.due_at is None else replace(event, due_at=event.at + HOLD)

    # Notifying

    def notify(self, state: _State) -> Outcome:
        """Write one event for each User to be notified, and end the hold of the others."""
        events = list(self._events(state))
        told = self._recipients([event for event, _ in events])
        for name in self._invited_again(state):
            told.setdefault(name, set()).add(name)
        for name, holders in told.items():
            self._notify(name, holders, state)
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(self._finish, [event for event, waits in events if waits]))
        changed = {fold_username(event.subject.username) for event, _ in events}
        return Outcome(len(changed), sum(len(event.keys) for event, _ in events), len(told))

    def _invited_again(self, state: _State) -> set[str]:
        """Return who had activated before, and whose second invitation was withdrawn, by folded username.

        Who never activated may be a stranger to the account, and gets no email.
        """
        names = {
            fold_username(event.subject.username) for event, _ in self._events(state, Action.USER_UPDATED)
        }
        found = {name: self._directory.principal(name) for name in names}
        return {
            name
            for name, it in found.items()
            if isinstance(it, User) and it.invitation is not None and it.invitation.again
        }

    def _events(self, state: _State, action: Action = Action.API_KEY_REVOKED) -> Iterator[tuple[Event, bool]]:
        """Return the events of the revocation, and whether each is still held."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._tables.events,
            KeyConditionExpression="#account = :account AND #id >= :first",
            FilterExpression="requestId = :request AND #action = :revoked",
            ExpressionAttributeNames={"#account": "account", "#id": "id", "#action": "action"},
            ExpressionAttributeValues={
                ":account": {"S": self._account},
                ":first": {"S": f"{state.started_at * 1000:012x}"},
                ":request": {"S": state.id},
                ":revoked": {"S": action.value},
            },
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                yield from_item(dict[str, Any](item), Event), "waiting" in item

    def _recipients(self, events: Iterable[Event]) -> dict[str, set[str]]:
        """Return the usernames whose keys were revoked, by the folded username of each User to notify."""
        every = list(events)
        if not every:
            return {}
        names = {name for event in every for name in event.administrators}
        directory = self._outbox.read(frozenset(names), frozenset({self._account}))
        links = directory.accounts[self._account].owners
        owners_read = self._outbox.read(frozenset(links), frozenset({self._account}))
        told: dict[str, set[str]] = {}
        for event in every:
            about = event.subject.username
            if event.audience is Audience.PERSON:
                named = notifications.person(event)
            else:
                named = notifications.administrators(event, directory)
            for one in (*named, *notifications.owners(event, owners_read)):
                told.setdefault(one.name, set()).add(about)
        return told

    def _notify(self, name: str, holders: set[str], state: _State) -> None:
        """Write the event that notifies one User, once: a continued run finds it written."""
        user = self._directory.principal(name)
        if user is None or user.account != self._account:
            return
        listed = tuple(sorted(holders))[:LISTED]
        event = new_event(
            Origin("", state.id, state.at / 1000),
            Actor(Kind.OPERATOR),
            Action.ALL_API_KEYS_REVOKED,
            user,
            cause=Cause.OPERATOR,
        )
        unique = hashlib.sha256(f"{state.id} {name}".encode()).hexdigest()[:16]
        event = replace(event, id=f"{state.at:012x}{unique}", holders=listed, holder_count=len(holders))
        tables = self._tables
        puts: list[Any] = event_puts(tables.events, event, tables.retention_days, publishes=tables.publishes)
        puts[0]["Put"]["ConditionExpression"] = "attribute_not_exists(id)"
        try:
            self._client.transact_write_items(TransactItems=puts)
        except self._client.exceptions.TransactionCanceledException as error:
            if error.response["CancellationReasons"][0]["Code"] != "ConditionalCheckFailed":
                raise

    def _finish(self, event: Event) -> None:
        """End the hold of an event: its recipients are notified by the event of the whole revocation."""
        try:
            self._client.update_item(
                TableName=self._tables.events,
                Key={"account": {"S": event.account}, "id": {"S": event.id}},
                UpdateExpression="REMOVE waiting, dueAt",
                ConditionExpression="attribute_exists(waiting)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # the mailer was faster


def _holders(client: "DynamoDBClient", tables: Tables, account: str, *, users: bool) -> Iterator[Principal]:
    """Return an account's principals that have keys, by a strongly consistent Scan."""
    for principal in principals(client, tables.directory, account):
        if (users or isinstance(principal, ServiceUser)) and _has_secrets(principal):
            yield principal


def _has_secrets(principal: Principal) -> bool:
    sessions = isinstance(principal, User) and principal.sessions
    return bool(principal.keys or sessions or _is_invited(principal))


def _is_invited(principal: Principal) -> bool:
    """Return whether a principal has an invitation that was not withdrawn."""
    invitation = principal.invitation if isinstance(principal, User) else None
    return invitation is not None and (invitation.inviter is None or bool(invitation.inviter.id))


def _without_keys(old: Principal) -> Principal:
    if not isinstance(old, User):
        return replace(old, keys={}, version=new_version())
    invitation = old.invitation
    if invitation is not None:
        # Nobody has this id, so the invitation counts as withdrawn, and no token of it is valid.
        inviter = Inviter(machine=False, username=old.invited_by or old.username, id="")
        invitation = Invitation(new_id(), inviter=inviter, again=invitation.again)
    return replace(old, keys={}, sessions={}, enrolment=None, invitation=invitation, version=new_version())


def _state_of(item: Item) -> _State:
    at = int(item.get("notifyingAt", {"N": "0"})["N"])
    phase = _Phase.NOTIFYING if at else _Phase.REVOKING
    return _State(item["id"]["S"], int(item["startedAt"]["N"]), item["users"]["BOOL"], phase, at)
