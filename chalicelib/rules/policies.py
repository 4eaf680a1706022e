"""When a key is revoked by its expiry or the account's policy, and which notices go out before.

A key expires at its own ``expiresAt``, to the second, because signing in checks it. The account's policy
revokes a key a number of days after it was made or last used; only this module and the sweep apply that. A
policy never revokes a key before both notices were sent, ten days and one day before the expiry that they
announce, so that a stricter policy surprises nobody.
"""

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from chalicelib.rules.api_keys import is_expired, lifetime_start
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import ApiKey, Cause, Event, Notice, Passkey, Policy

FIRST_NOTICE = 10 * DAY
LAST_NOTICE = DAY
"""The two notices are sent at least this long before the expiry."""

SWEEP_INTERVAL = DAY
"""The time between sweeps. A notice that would be late at the next sweep is sent by this one."""

MOVED = DAY
"""If the expiry moves by more than this beyond the announced one, the notices start again."""

LATE = 3600
"""A notice that was mailed within this time after it was recorded counts as mailed at once."""


class Expiry(NamedTuple):
    """When and why a key is to be revoked; ``reason`` is the text for its holder."""

    at: int
    cause: Cause
    reason: str


Expiries = tuple[Expiry, ...]


class SendNotice(NamedTuple):
    """Send the first notice, the last one, or both; ``also`` is the cause of another end that it says.

    ``also_last``: it is the last notice of that other end, too.
    """

    expiry: Expiry
    first: bool
    last: bool
    also: Cause | None = None
    also_last: bool = False


class Revoke(NamedTuple):
    """Revoke the key."""

    cause: Cause
    reason: str

    @property
    def by_policy(self) -> bool:
        """Whether the cause is the account's policy, and not the key's own ``expiresAt``."""
        return self.cause is not Cause.EXPIRY


class ClearNotice(NamedTuple):
    """Clear the announced expiry, which no longer applies. Notices of another one start with the first."""


Decision = SendNotice | Revoke | ClearNotice


def as_key(passkey: Passkey) -> ApiKey:
    """Return a key with a passkey's times and notice, so that a policy applies to it.

    Its digest is that of the credential id, which names the passkey's notes.
    """
    return ApiKey(
        digest=hashlib.sha256(passkey.credential_id).digest(),
        last5="",
        created_at=passkey.created_at,
        created_by="",
        last_used_at=passkey.last_used_at,
        notice=passkey.notice,
    )


def decide_passkey(passkey: Passkey, policy: Policy, now: int) -> "Decision | None":
    """Return what the sweep does about a passkey now; None for nothing.

    Only inactivity ends one. Nobody else has its secret, so a maximum age would only make people enrol again.
    """
    return decide(as_key(passkey), _for_passkeys(policy), now)


def decide(key: ApiKey, policy: Policy, now: int) -> Decision | None:
    """Return what the sweep does about a key now; None for nothing."""
    own, by_policy = _own_expiry(key), _policy_expiries(key, policy)
    if own is not None and is_expired(key, now):
        return Revoke(own.cause, own.reason)
    notice = key.notice
    if notice is not None and _is_announced(notice, own, by_policy):
        told = _told(notice, by_policy)
        return _with_others(_after_first_notice(notice, own, told, now), own, told, now)
    policy_end = _soonest(by_policy)
    first = _first_notice(key, own, policy_end, now)
    if policy_end is not None:
        is_near = policy_end.at - now < FIRST_NOTICE + SWEEP_INTERVAL
        policy_end = policy_end._replace(at=max(policy_end.at, now + FIRST_NOTICE)) if is_near else None
    return _with_others(first, own, policy_end, now) or (ClearNotice() if notice is not None else None)


def decide_while_waiting(key: ApiKey, now: int) -> SendNotice | None:
    """Return the last notice of a key's own expiry, if that comes while the end by a policy waits.

    An end by a policy waits as long as its notices cannot be mailed.
    """
    own = _own_expiry(key)
    if own is None or (key.notice is not None and Cause.EXPIRY in key.notice.causes):
        return None
    return _last_notice(own, now)


def _last_notice(own: Expiry, now: int) -> SendNotice | None:
    is_due = own.at - now < LAST_NOTICE + SWEEP_INTERVAL
    return SendNotice(own, first=False, last=True) if is_due else None


def notify_again(key: ApiKey, revocation: Revoke, why: str, now: int) -> SendNotice:
    """Return a new first notice instead of a revocation: the key works for at least ten more days.

    ``why`` says in the email why it was kept.
    """
    later = Expiry(now + FIRST_NOTICE, revocation.cause, f"{revocation.reason}. {why}")
    return SendNotice(_sooner(_own_expiry(key), later), first=True, last=False)


def record_notice(key: ApiKey, sent: SendNotice, event: str, now: int) -> Notice:
    """Return the updated Notice of a key. ``event`` is the id of the event that notifies."""
    causes: tuple[Cause, ...] = (sent.expiry.cause, *((sent.also,) if sent.also else ()))
    last_causes = causes if sent.also_last else causes[:1]
    if sent.first or key.notice is None:
        return Notice(
            sent.expiry.at,
            now,
            now if sent.last else None,
            first_event=event,
            last_event=event if sent.last else "",
            causes=causes,
            last_causes=last_causes if sent.last else (),
        )
    every = tuple(sorted({*causes, *key.notice.causes}))
    return Notice(sent.expiry.at, key.notice.first_at, now, key.notice.first_event, event, every, last_causes)


def delivered_at(event: Event | None, recorded: int) -> int | None:
    """Return when the first recipient of a notice was mailed; None if none has been yet.

    If nobody can be mailed, or the event was deleted at the end of its retention, returns ``recorded``: when
    the notice was recorded.
    """
    if event is None:
        return recorded
    if event.told:
        return min(event.told.values())
    return None if event.due_at is not None else recorded


def were_delivered_in_time(notice: Notice, first: Event | None, last: Event | None, now: int) -> bool:
    """Return whether both notices were delivered long enough ago to revoke the key."""
    first_at = delivered_at(first, notice.first_at)
    last_at = delivered_at(last, notice.last_at or now)
    return (
        first_at is not None
        and last_at is not None
        and now >= first_at + FIRST_NOTICE - LATE
        and now >= last_at + LAST_NOTICE - LATE
    )


def planned_end(key: ApiKey, policy: Policy, now: int) -> Expiry | None:
    """Return the earliest time, after both notices, at which a policy revokes a key that stays unused.

    None if the policy does not revoke it, or its own expiry comes first.
    """
    expiry = _soonest(_policy_expiries(key, policy))
    if expiry is None:
        return None
    later = expiry._replace(at=max(expiry.at, now + FIRST_NOTICE))
    return None if key.expires_at is not None and key.expires_at <= later.at else later


def expected_end(key: ApiKey, policy: Policy, now: int) -> int | None:
    """Return when a key that stays unused ends: by its own expiry or by the policy, whichever is first.

    A policy ends a key only after both notices, so not before the time that was announced. None for a key
    that neither ends.
    """
    expiries, notice = _policy_expiries(key, policy), key.notice
    by_policy, earliest = _soonest(expiries), now + FIRST_NOTICE
    if notice is not None and _is_announced(notice, _own_expiry(key), expiries):
        by_policy, earliest = _told(notice, expiries), now + LAST_NOTICE
        if by_policy is not None and _is_last(notice, by_policy):
            earliest = by_policy.at
    if by_policy is None:
        return key.expires_at
    ends_at = max(by_policy.at, earliest)
    return ends_at if key.expires_at is None else min(ends_at, key.expires_at)


def planned_passkey_end(passkey: Passkey, policy: Policy, now: int) -> Expiry | None:
    """Return the earliest time at which a policy removes a passkey that stays unused; None if it does not."""
    return planned_end(as_key(passkey), _for_passkeys(policy), now)


def _for_passkeys(policy: Policy) -> Policy:
    return Policy(revoke_inactive_after_days=policy.revoke_inactive_after_days)


def _first_notice(key: ApiKey, own: Expiry | None, by_policy: Expiry | None, now: int) -> SendNotice | None:
    """Return the first notice of an expiry, if it is due.

    Skips a notice if the key's whole lifetime is shorter than the notice period.
    """
    policy = None if by_policy is None else by_policy._replace(at=max(by_policy.at, now + FIRST_NOTICE))
    if own is None or (policy is not None and policy.at < own.at):
        return (
            SendNotice(policy, first=True, last=False)
            if policy is not None and policy.at - now < FIRST_NOTICE + SWEEP_INTERVAL
            else None
        )
    # A rotation keeps an expiry that somebody chose; one that nobody chose begins anew with the secret.
    left, lifetime = own.at - now, own.at - (key.created_at if key.life_days is None else lifetime_start(key))
    if left < LAST_NOTICE + SWEEP_INTERVAL:
        return SendNotice(own, first=True, last=True) if lifetime > LAST_NOTICE + SWEEP_INTERVAL else None
    if left < FIRST_NOTICE + SWEEP_INTERVAL:
        return SendNotice(own, first=True, last=False) if lifetime > FIRST_NOTICE + SWEEP_INTERVAL else None
    return None


def _is_announced(notice: Notice, own: Expiry | None, by_policy: Expiries) -> bool:
    """Return whether notices announced an expiry that still applies.

    An expiry is announced by its cause: what was said of the key's own expiry, or of one policy, announces no
    end by another. What was said stays said, so that nobody puts a policy's end off by an expiry that comes
    and goes.
    """
    expiries = (*by_policy, *(() if own is None else (own,)))
    return any(it.at <= notice.ends_at + MOVED for it in expiries if it.cause in notice.causes)


def _with_others(
    decision: Decision | None, own: Expiry | None, by_policy: Expiry | None, now: int
) -> Decision | None:
    """Return a decision whose notice also says the other end that is near: the key's own, or a policy's.

    Otherwise a key that is used or rotated because of a notice of the policy would end by its own expiry
    unannounced. And whoever moves a near expiry again and again would put the policy's end off for ever: it
    is announced ten days ahead, and only what ends first would be.
    """
    if not isinstance(decision, SendNotice) or own is None:
        return decision
    expiry = decision.expiry
    if expiry.cause is not Cause.EXPIRY:
        if own.at > expiry.at + FIRST_NOTICE + SWEEP_INTERVAL:
            return decision
        said = f"Whether or not it is used or rotated, its own expiry ends it on {moment(own.at)}"
        return _also(decision, own, said, now)
    if by_policy is None:
        return decision
    said = f"If that is moved: {by_policy.reason}, this one on {moment(by_policy.at)} at the earliest"
    return _also(decision, by_policy, said, now)


def _also(decision: SendNotice, other: Expiry, said: str, now: int) -> SendNotice:
    expiry = decision.expiry._replace(reason=f"{decision.expiry.reason}. {said}")
    also_last = decision.last and other.at - now < LAST_NOTICE + SWEEP_INTERVAL
    return decision._replace(expiry=expiry, also=other.cause, also_last=also_last)


def _told(notice: Notice, by_policy: Expiries) -> Expiry | None:
    """Return the end by a policy that was announced, at the earliest time that its notices allow; or None."""
    told = _soonest(tuple(it for it in by_policy if it.cause in notice.causes))
    if told is None:
        return None
    return told._replace(at=max(told.at, notice.ends_at, notice.first_at + FIRST_NOTICE))


def _is_last(notice: Notice, expiry: Expiry) -> bool:
    """Return whether the last notice of an expiry was recorded."""
    return notice.last_at is not None and expiry.cause in notice.last_causes


def moment(second: int) -> str:
    """Return a time as notices say it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M} UTC"


def _after_first_notice(notice: Notice, own: Expiry | None, told: Expiry | None, now: int) -> Decision | None:
    """Return the last notice or the revocation, which is never before the announced expiry."""
    expiry = own if told is None else _sooner(own, told)
    if expiry is None:  # pragma: no cover - there is one, or the notice would be cleared
        return None
    if expiry is own and Cause.EXPIRY not in notice.causes:  # it was set after the notices of a policy
        return _last_notice(own, now)
    if _is_last(notice, expiry):
        return Revoke(expiry.cause, expiry.reason) if now >= expiry.at else None
    if expiry.at - now < LAST_NOTICE + SWEEP_INTERVAL:
        later = expiry._replace(at=max(expiry.at, now + LAST_NOTICE))
        return SendNotice(_sooner(own, later), first=False, last=True)
    return None


def _own_expiry(key: ApiKey) -> Expiry | None:
    if key.expires_at is None:
        return None
    return Expiry(key.expires_at, Cause.EXPIRY, "The key's own expiry (expiresAt)")


def _policy_expiries(key: ApiKey, policy: Policy) -> Expiries:
    made = lifetime_start(key)
    expiries: list[Expiry] = []
    if (days := policy.max_key_age_days) is not None:
        reason = f"The account revokes every key {days} days after it was made"
        expiries.append(Expiry(made + days * DAY, Cause.POLICY_AGE, reason))
    if (days := policy.revoke_inactive_after_days) is not None:
        active = max(made, key.last_used_at or 0)
        reason = f"The account revokes keys that are not used for {days} days"
        expiries.append(Expiry(active + days * DAY, Cause.POLICY_INACTIVITY, reason))
    return tuple(expiries)


def _soonest(expiries: Expiries) -> Expiry | None:
    return min(expiries, key=lambda expiry: expiry.at, default=None)


def _sooner(own: Expiry | None, other: Expiry) -> Expiry:
    return own if own is not None and own.at <= other.at else other
