"""Ending the keys of one type: before the catalogue loses it, or after it has lost it."""

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from chalicelib.rules import api_keys
from chalicelib.rules.audit import new_event
from chalicelib.rules.catalogue import USER_MANAGEMENT
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ConcurrentChange, concurrent_change
from chalicelib.rules.identifiers import new_id
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import Action, Actor, ApiKey, Cause, Event, Kind, Principal
from chalicelib.rules.ports import Replace, RevokeKey, Write
from chalicelib.rules.roles import KeyType
from deploy.bulk import Tables, directory_of, principals, until_none_is_left

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

MAX_DAYS = 365
"""The most days after which keys may expire."""

_TRIES = 5


def holders_of(client: "DynamoDBClient", directory: str, names: Collection[str]) -> list[Principal]:
    """Return the principals of every account that have a key of one of some types, by a consistent Scan."""
    return [it for it in principals(client, directory) if any(name in it.keys for name in names)]


def end_keys(
    client: "DynamoDBClient",
    tables: Tables,
    name: str,
    days: int = 0,
    report: Callable[[str], None] = print,
    now: Callable[[], float] = time.time,
) -> int:
    """Revoke every key of a type, or let it expire in some days. Return how many keys that changed.

    Each is one transaction with its event, like every revocation and every change of an expiry, so whoever
    is notified of those is notified of these. If this is interrupted, run it again: it goes on with the keys
    that are left. Raises ValueError for the type of management and for too many days, and ConcurrentChange
    if keys keep being generated.
    """
    if name == USER_MANAGEMENT:
        raise ValueError("USER_MANAGEMENT keys are what people manage their account with; they stay.")
    if not 0 <= days <= MAX_DAYS:
        raise ValueError(f"Give --days from 1 to {MAX_DAYS}, or leave it out to end the keys now.")
    job = _Job(client, tables, KeyType(name), int(now()) + days * DAY if days else None, now)

    def holders() -> list[str]:
        found = holders_of(client, tables.directory, {name})
        return [it.username for it in found if job.concerns(it)]

    return until_none_is_left(holders, job.end, report, "Ended the keys of {} principals.")


class _Job:
    """The end of all keys of a type: at ``at``, or at once if that is None."""

    def __init__(
        self,
        client: "DynamoDBClient",
        tables: Tables,
        key_type: KeyType,
        at: int | None,
        now: Callable[[], float],
    ) -> None:
        self._directory = directory_of(client, tables)
        self._key_type = key_type
        self._at = at
        self._now = now
        self._id = new_id()

    def concerns(self, holder: Principal | None) -> bool:
        """Return whether a principal has a key of the type that is still to be ended."""
        key = holder.keys.get(self._key_type) if holder is not None else None
        if key is None or self._at is None or key.expires_at is None:
            return key is not None
        # An expiry that nobody chose does not end the key: a rotation would begin its life anew.
        return key.expires_at > self._at or (
            key.life_days is not None and not api_keys.is_expired(key, self._now())
        )

    def _end_of(self, key: ApiKey) -> int:
        """Return when a key is to expire: at the given time, and not later than it would."""
        assert self._at is not None
        if key.expires_at is None or key.expires_at > self._at:
            return self._at
        return key.expires_at - 1  # another time is a change, which makes it an expiry that somebody chose

    def end(self, username: str) -> bool:
        """End the key of a principal. Return whether there was one."""
        for attempt in range(_TRIES):
            holder = self._directory.principal(username)
            if holder is None or not self.concerns(holder):
                return False
            try:
                self._directory.commit(*self._change(holder, any_version=attempt > 0), patient=True)
            except ConcurrentChange:
                continue
            return True
        return False  # the next pass tries again

    def _change(self, holder: Any, *, any_version: bool) -> tuple[Event, Write]:
        if self._at is not None:
            end = self._end_of(holder.keys[self._key_type])
            new, change, changes = api_keys.restrict(holder, self._key_type, UNSET, end)
            event = self._event(Action.API_KEY_UPDATED, holder, change, new=new, changes=changes)
            return event, Replace(holder, new, concurrent_change())
        new, change = api_keys.revoke(holder, self._key_type, self._now())
        event = self._event(Action.API_KEY_REVOKED, holder, change)
        if any_version:  # so that nobody prevents it by rotating in a loop
            return event, RevokeKey(holder, self._key_type, new.version, concurrent_change())
        return event, Replace(holder, new, concurrent_change())

    def _event(self, action: Action, holder: Any, change: Any, **more: Any) -> Event:
        return new_event(
            Origin("", self._id, self._now()),
            Actor(Kind.OPERATOR),
            action,
            holder,
            (change,),
            cause=Cause.OPERATOR,
            reason=f"The operator ends the key type {self._key_type.value}",
            **more,
        )
