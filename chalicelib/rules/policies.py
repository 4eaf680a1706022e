"""What time and the account's policy make of a key: when it is told to end, and when it is over.

A key ends at its own ``expiresAt``, which is kept to the second by signing in, and by the account's policy:
so many days after it was made, or after it was last used. Only this module and the sweep know the latter.
A policy never ends a key before both its notices are out, ten days and one day ahead of the end that they
name, so that a policy made stricter surprises nobody.
"""

from typing import NamedTuple

from chalicelib.rules.api_keys import is_expired, lifetime_start
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import ApiKey, Event, Notice, Policy

FIRST_NOTICE = 10 * DAY
LAST_NOTICE = DAY
"""How long before the end the two notices are out, at least."""

SWEEP_INTERVAL = DAY
"""The sweep comes by once in this time: a notice the next one would be late with goes out by this one."""

MOVED = DAY
"""An end that is later than the one told by more than this was moved; its notices start anew."""

LATE = 3600
"""A notice mailed within this time of being put on record was mailed at once."""

GIVEN = "The key was given this end when it was made or changed (expiresAt)"
"""The reason for an end that is the key's own, which no rotation moves."""


class Expiry(NamedTuple):
    """When a key is to end, and why, in words for its holders."""

    at: int
    reason: str


class SendNotice(NamedTuple):
    """The holders are to be told that the key ends: by the first notice, the last, or both in one."""

    end: Expiry
    first: bool
    last: bool


class Revoke(NamedTuple):
    """The key is over. ``by_policy`` where that is not by its own ``expiresAt``."""

    reason: str
    by_policy: bool


class ClearNotice(NamedTuple):
    """The end that was told is no longer coming; the next one is told from the start."""


Judgement = SendNotice | Revoke | ClearNotice


def judge(key: ApiKey, policy: Policy, now: int) -> Judgement | None:
    """Answer what is to be done about a key now; None for nothing."""
    own, by_policy = _own_end(key), _policy_end(key, policy)
    if own is not None and is_expired(key, now):
        return Revoke(own.reason, by_policy=False)
    ends = [end.at for end in (own, by_policy) if end is not None]
    notice = key.notice
    if notice is not None and ends and min(ends) <= notice.ends_at + MOVED:
        return _go_on(notice, own, by_policy, now)
    begun = _begin(key, own, by_policy, now)
    return begun or (ClearNotice() if notice is not None else None)


def spare(key: ApiKey, reason: str, now: int) -> SendNotice:
    """Answer the notice with which a key that is over is kept after all, until ten days from now at least."""
    own = _own_end(key)
    return SendNotice(_sooner(own, Expiry(now + FIRST_NOTICE, reason)), first=True, last=False)


def record_notice(key: ApiKey, tell: SendNotice, event: str, now: int) -> Notice:
    """Answer the mark that a notice is on record as ``event``."""
    if tell.first or key.notice is None:
        return Notice(
            tell.end.at,
            now,
            now if tell.last else None,
            first_event=event,
            last_event=event if tell.last else "",
        )
    return Notice(tell.end.at, key.notice.first_at, now, key.notice.first_event, event)


def delivered_at(event: Event | None, recorded: int) -> int | None:
    """Answer when the first of those to be told by a notice was mailed; None if nobody has been.

    A notice nobody can be mailed, and one so old that it is no longer on record, was out at once.
    """
    if event is None:
        return recorded
    if event.told:
        return min(event.told.values())
    return None if event.due_at is not None else recorded


def in_time(notice: Notice, first: Event | None, last: Event | None, now: int) -> bool:
    """Answer whether both notices were out long enough ago to end the key."""
    first_out = delivered_at(first, notice.first_at)
    last_out = delivered_at(last, notice.last_at or now)
    return (
        first_out is not None
        and last_out is not None
        and now >= first_out + FIRST_NOTICE - LATE
        and now >= last_out + LAST_NOTICE - LATE
    )


def _begin(key: ApiKey, own: Expiry | None, by_policy: Expiry | None, now: int) -> SendNotice | None:
    """Answer the first notice of an end, if it is time for it.

    A key that was made to live no longer than a notice and a round needs not be told by it.
    """
    end = None if by_policy is None else Expiry(max(by_policy.at, now + FIRST_NOTICE), by_policy.reason)
    if own is None or (end is not None and end.at < own.at):
        return (
            SendNotice(end, first=True, last=False)
            if end is not None and end.at - now < FIRST_NOTICE + SWEEP_INTERVAL
            else None
        )
    left, life = own.at - now, own.at - lifetime_start(key)
    if left < LAST_NOTICE + SWEEP_INTERVAL:
        return SendNotice(own, first=True, last=True) if life > LAST_NOTICE + SWEEP_INTERVAL else None
    if left < FIRST_NOTICE + SWEEP_INTERVAL:
        return SendNotice(own, first=True, last=False) if life > FIRST_NOTICE + SWEEP_INTERVAL else None
    return None


def _go_on(notice: Notice, own: Expiry | None, by_policy: Expiry | None, now: int) -> Judgement | None:
    """Answer the last notice, or the end; never before the end that was told."""
    end = own
    if by_policy is not None:
        end = _sooner(own, Expiry(max(by_policy.at, notice.ends_at), by_policy.reason))
    if end is None:  # pragma: no cover - there is one, or the notice would be forgotten
        return None
    if notice.last_at is not None:
        return Revoke(end.reason, by_policy=True) if now >= end.at else None
    if end.at - now < LAST_NOTICE + SWEEP_INTERVAL:
        return SendNotice(
            _sooner(own, Expiry(max(end.at, now + LAST_NOTICE), end.reason)), first=False, last=True
        )
    return None


def _own_end(key: ApiKey) -> Expiry | None:
    if key.expires_at is None:
        return None
    return Expiry(key.expires_at, GIVEN)


def _policy_end(key: ApiKey, policy: Policy) -> Expiry | None:
    made = lifetime_start(key)
    ends: list[Expiry] = []
    if (days := policy.max_key_age_days) is not None:
        ends.append(Expiry(made + days * DAY, f"The account ends every key {days} days after it was made"))
    if (days := policy.revoke_inactive_after_days) is not None:
        active = max(made, key.last_used_at or 0)
        ends.append(Expiry(active + days * DAY, f"The account ends keys that are not used for {days} days"))
    return min(ends, key=lambda end: end.at, default=None)


def _sooner(own: Expiry | None, other: Expiry) -> Expiry:
    return own if own is not None and own.at <= other.at else other
