"""The sweep: checks every key of every principal once a day, however often the function runs or fails.

A sweep reads the table page by page and stores its position after each page, on the condition that no other
run has moved it since. So a run that was overtaken stops, and after a run that crashed the next one continues
at the last page. Each change of a principal is one transaction: notices, revoked keys and their events, on
the condition that the principal has not changed since it was read. So a principal that is processed twice, or
by two runs at once, is changed once. Nobody keeps a key by changing it in a loop meanwhile: the sweep tries
often, at times that nobody can foresee, and the day's later runs come back to it.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from chalicelib.rules import api_keys, permissions, policies
from chalicelib.rules.api_keys import is_expired
from chalicelib.rules.audit import new_event
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.identifiers import new_version
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import (
    Account,
    Action,
    Actor,
    ApiKey,
    Cause,
    Change,
    Event,
    KeyChange,
    Kind,
    Notice,
    Policy,
    Principal,
    User,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.networks import are_every_ipv4
from chalicelib.rules.policies import ClearNotice, Decision, Revoke, SendNotice
from chalicelib.rules.roles import KeyType
from chalicelib.rules.sweeps import Page, Position, SweepChange, SweepStore

_LOG = logging.getLogger(__name__)

MARGIN_MS = 20_000
"""Start no principal with less time left: reading it again and changing it can take this long."""

TRIES = 20
"""Tries for a principal that is changed concurrently, before it is left to the next run."""

MAX_PAUSE = 0.2
"""The longest pause between two of these tries, in seconds. Each is of random length."""

MAX_CONTENDED = 100
"""The most principals that a day's later runs come back to. Further ones wait for the next day."""

MAX_FAILURES_IN_A_ROW = 3
"""The run ends after this many failing principals in a row: the cause is probably elsewhere."""

MAX_CACHED_ACCOUNTS = 1000
"""The most accounts whose policies a run caches."""

MAX_OWNERS_READ = 50
"""The most OWNERs to read in the search for another one with a working key."""


NoticeEvents = dict[tuple[str, str], tuple[Event | None, Event | None]]
"""The events of a key's two notices, by the ids of both: what this run has read of them."""


class UncheckedError(Exception):
    """Some principals could not be checked; the log says which, and why."""


def sweep(
    sweeps: SweepStore,
    now: Callable[[], float],
    remaining_ms: Callable[[], int],
    request_id: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Start or continue the day's sweep, until it is done or time is short.

    Returns the counts of what it did (see ``_Run``); ``done`` is 1 if every principal was looked at today.
    Raises UncheckedError at the end if it could not check some principals.
    """
    run = _Run(sweeps, now, remaining_ms, request_id, sleep)
    try:
        run.walk()
    except Unavailable:
        _LOG.warning("the sweep stops, because the store is unavailable; the next run continues it")
        run.counts["unavailable"] = 1
    _LOG.info("the sweep", extra={"counts": dict(run.counts)})
    if run.counts["failed"]:
        raise UncheckedError(f"{run.counts['failed']} principals could not be checked; the log says which.")
    return dict(+run.counts)


class _Run:
    """One run of the function.

    Its ``counts``, which are logged and returned: principals ``checked``, ``contended`` (changed concurrently
    at each try) and ``failed``; ``notices`` sent, keys and passkeys ``revoked``, those ``waiting`` for their
    notices to be delivered, those ``kept`` for the only OWNER; ``events`` written; ``addresses`` and
    ``pointers`` written for an earlier version; and 1 for a run that is ``done``, was ``overtaken`` by
    another one or stopped because the store was ``unavailable``.
    """

    def __init__(
        self,
        sweeps: SweepStore,
        now: Callable[[], float],
        remaining_ms: Callable[[], int],
        request_id: str,
        sleep: Callable[[float], None],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._contended: list[str] = []
        self._sleep = sleep
        self._sweeps = sweeps
        self._now = now
        self._remaining_ms = remaining_ms
        self._request_id = request_id
        self._accounts: dict[str, Account | None] = {}
        self._failures = 0

    def walk(self) -> None:
        """Process the remaining pages, and come back to principals that others kept changing before."""
        position = self._begin()
        before = position.contended if position is not None else ()
        while position is not None and not position.done:
            if not self._should_continue():
                return
            page = self._sweeps.page(position.after)
            stopped_at = self._process_page(page)
            contended = tuple(dict.fromkeys((*before, *self._contended)))[:MAX_CONTENDED]
            if stopped_at is None:
                done = page.after is None
                new = Position(position.day, new_version(), page.after, done=done, contended=contended)
            else:
                after = stopped_at or position.after
                new = Position(position.day, new_version(), after, contended=contended)
            if not self._sweeps.move(position, new):
                self.counts["overtaken"] = 1
                return
            position = new
        if position is not None:
            self.counts["done"] = 1
            self._come_back(position, before)

    def _come_back(self, position: Position, before: tuple[str, ...]) -> None:
        """Process the principals that others kept changing in the day's earlier runs."""
        settled = set()
        for username in before:
            if not self._should_continue():
                break
            principal = self._sweeps.principal(username)
            if principal is None or self._process(username, principal):
                settled.add(username)
        if settled:
            left = tuple(it for it in position.contended if it not in settled)
            self._sweeps.move(position, position._replace(version=new_version(), contended=left))

    def _begin(self) -> Position | None:
        """Return the position to continue from; None if another run is starting."""
        today = int(self._now()) // DAY
        old = self._sweeps.position()
        if old is not None and (not old.done or old.day >= today):
            return old
        new = Position(today, new_version())
        if self._sweeps.move(old, new):
            return new
        self.counts["overtaken"] = 1
        return None

    def _should_continue(self) -> bool:
        return (
            self._remaining_ms() >= MARGIN_MS
            and self._failures < MAX_FAILURES_IN_A_ROW
            and not self.counts["unavailable"]
        )

    def _process_page(self, page: Page) -> str | None:
        """Process the principals of a page. Return None if all were processed.

        If the run has to stop before, returns the position of the last one processed, or an empty string if
        there was none.
        """
        last_processed = ""
        for position, principal in page.entries:
            if not self._should_continue():
                return last_processed
            if not self._process(position, principal) and self.counts["unavailable"]:
                return last_processed
            last_processed = position
        return None

    def _process(self, place: str, principal: Principal | None) -> bool:
        """Process a principal, whatever goes wrong. Return False if it has to be processed again.

        However many that cannot be read (None) come in a row, the cause is in them.
        """
        if principal is None:
            _LOG.error("a principal cannot be read", extra={"place": place})
            self.counts["failed"] += 1
            return True
        try:
            settled = self._check(principal)
            self._failures = 0
        except Unavailable:
            self.counts["unavailable"] = 1
            return False
        except Exception:
            # One principal that cannot be checked must not keep the sweep from checking the others.
            _LOG.exception("a principal cannot be checked", extra={"place": place})
            self.counts["failed"] += 1
            self._failures += 1
            return True
        return settled

    def _check(self, principal: Principal) -> bool:
        """Decide about one principal's keys and passkeys, and make the change.

        If a concurrent call changed the principal, reads it again and decides anew, up to ``TRIES`` times.
        Returns False if it was changed each time.
        """
        self.counts["checked"] += 1
        current: Principal | None = principal
        for _ in range(TRIES):
            if current is None:
                return True
            change = self._decide(current)
            if change is None:
                self._upgrade(current)
                return True
            if self._sweeps.apply(change):
                self._count(change)
                return True
            if not self._should_continue():
                break
            self._sleep(random.uniform(0, MAX_PAUSE))  # noqa: S311 - it need not be secret
            self._accounts.pop(principal.account, None)
            current = self._sweeps.principal(principal.username)
        self.counts["contended"] += 1
        self._contended.append(fold_username(principal.username))
        return False

    def _upgrade(self, principal: Principal) -> None:
        """Write what an earlier version of the service did not write for this principal.

        That is a pointer for each key, and its email address as unique in the account instead of in the
        stack. What fails here is retried by the next sweep.
        """
        if not principal.email_by_account:
            self.counts["addresses"] += self._sweeps.move_address(principal)
        if any(api_keys.lacks_pointer(key) for key in principal.keys.values()):
            self.counts["pointers"] += self._sweeps.add_pointers(principal)

    def _count(self, change: SweepChange) -> None:
        self.counts["revoked"] += len(change.revoked)
        self.counts["notices"] += sum(notice is not None for notice in change.notices.values())
        self.counts["events"] += len(change.events)
        self.counts["revoked"] += len(change.removed_passkeys)
        self.counts["notices"] += sum(notice is not None for notice in change.passkey_notices.values())

    def _decide(self, principal: Principal) -> SweepChange | None:
        """Return the change of a principal's keys and passkeys; None if there is nothing to change.

        A policy revokes a key only after both notices were delivered in time; until then the key waits. An
        OWNER's USER_MANAGEMENT key is kept if no other OWNER has one that works, and its OWNER is notified
        again.
        """
        account = self._account(principal.account)
        policy = account.policy if account is not None else Policy()
        now = int(self._now())
        decisions: dict[KeyType, Decision] = {}
        notice_events: NoticeEvents = {}
        others: tuple[Principal, ...] = ()
        for key_type, key in principal.keys.items():
            decision = policies.decide(key, policy, now)
            if account is not None and isinstance(decision, Revoke) and decision.by_policy:
                if not self._were_notices_delivered(principal, key, notice_events, now):
                    self.counts["waiting"] += 1
                    decision = policies.decide_while_waiting(key, now)
                elif _is_owner_key(principal, key_type, account):
                    lasting = key.expires_at is not None or decision.cause is Cause.POLICY_AGE
                    counts = _has_lasting_key if lasting else _has_endless_key
                    other = self._other_owner(principal, account, now, counts)
                    if other is None:
                        self.counts["kept"] += 1
                        decision = policies.notify_again(key, decision, _KEPT_KEY_REASON, now)
                    else:
                        others = (other,)
            if decision is not None:
                decisions[key_type] = decision
        left = {it: key for it, key in principal.keys.items() if not isinstance(decisions.get(it), Revoke)}
        passkeys, with_a_way_in = self._decide_passkeys(
            replace(principal, keys=left), account, policy, notice_events, now
        )
        # A transaction may name an item only once.
        others = tuple({it.username: it for it in (*others, *with_a_way_in)}.values())
        if not decisions and not passkeys:
            return None
        by_policy = any(
            isinstance(it, Revoke) and it.by_policy for it in (*decisions.values(), *passkeys.values())
        )
        change = self._key_change(principal, decisions, now)._replace(
            account=account if by_policy else None, others=others
        )
        return self._with_passkeys(change, passkeys, now)

    def _decide_passkeys(
        self,
        principal: Principal,
        account: Account | None,
        policy: Policy,
        notice_events: NoticeEvents,
        now: int,
    ) -> tuple[dict[str, Decision], tuple[User, ...]]:
        """Return the decisions about a User's passkeys, by their ids, and who else must stay able to sign in.

        That is the OWNER because of whom an OWNER may lose their last way to sign in.
        """
        found: dict[str, Decision] = {}
        others: tuple[User, ...] = ()
        if not isinstance(principal, User):
            return found, others
        left = len(principal.passkeys)
        for passkey_id, passkey in principal.passkeys.items():
            decision = policies.decide_passkey(passkey, policy, now)
            if isinstance(decision, Revoke):
                if not self._were_notices_delivered(principal, policies.as_key(passkey), notice_events, now):
                    self.counts["waiting"] += 1
                    continue
                if left == 1 and account is not None and _needs_passkey(principal, account, now):
                    other = self._other_owner(principal, account, now, partial(_has_endless_way_in, policy))
                    others = () if other is None else (other,)
                    if other is None:
                        self.counts["kept"] += 1
                        decision = policies.notify_again(
                            policies.as_key(passkey), decision, _KEPT_PASSKEY_REASON, now
                        )
            if isinstance(decision, Revoke):
                left -= 1
            if decision is not None:
                found[passkey_id] = decision
        return found, others

    def _with_passkeys(self, change: SweepChange, passkeys: dict[str, Decision], now: int) -> SweepChange:
        """Return the change with the decisions about passkeys added, each with its event."""
        user = change.old
        if not isinstance(user, User) or not passkeys:
            return change
        notices: dict[str, Notice | None] = {}
        events: list[Event] = []
        origin = Origin("", self._request_id, self._now())
        for passkey_id, decision in passkeys.items():
            passkey = user.passkeys[passkey_id]
            if isinstance(decision, ClearNotice):
                notices[passkey_id] = None
                continue
            expiry = decision.expiry if isinstance(decision, SendNotice) else None
            event = new_event(
                origin,
                Actor(Kind.POLICY),
                Action.PASSKEY_REMOVED if expiry is None else Action.PASSKEY_ENDING,
                user,
                changes={"passkey": (passkey.name, "" if expiry is None else policies.moment(expiry.at))},
                cause=Cause.POLICY_INACTIVITY,
                reason="The account's policy removes passkeys that are not used",
            )
            events.append(event)
            if isinstance(decision, SendNotice):
                notices[passkey_id] = policies.record_notice(
                    policies.as_key(passkey), decision, event.id, now
                )
        removed = tuple(id_ for id_, decision in passkeys.items() if isinstance(decision, Revoke))
        every = (*change.events, *events)
        return change._replace(events=every, passkey_notices=notices, removed_passkeys=removed)

    def _key_change(self, principal: Principal, decisions: dict[KeyType, Decision], now: int) -> SweepChange:
        """Return the change for the decisions, with one event for each action and cause."""
        notices: dict[KeyType, Notice | None] = {}
        groups: dict[tuple[Action, Cause, str], list[tuple[KeyType, KeyChange]]] = {}
        revoked: list[KeyType] = []
        for key_type, decision in decisions.items():
            last5 = principal.keys[key_type].last5
            if isinstance(decision, ClearNotice):
                notices[key_type] = None
                continue
            if isinstance(decision, SendNotice):
                expiry = decision.expiry
                group = (Action.API_KEY_ENDING, expiry.cause, expiry.reason)
                change = KeyChange(Change.ENDING, key_type, last5, ends_at=expiry.at)
            else:
                group = (Action.API_KEY_REVOKED, decision.cause, decision.reason)
                change = api_keys.revocation(principal.keys[key_type], key_type, now)
                revoked.append(key_type)
            groups.setdefault(group, []).append((key_type, change))
        events: list[Event] = []
        origin = Origin("", self._request_id, self._now())
        for (action, cause, reason), changes in groups.items():
            event = new_event(
                origin,
                Actor(Kind.POLICY),
                action,
                principal,
                tuple(change for _, change in changes),
                cause=cause,
                reason=reason,
            )
            events.append(event)
            for key_type, _ in changes:
                decision = decisions[key_type]
                if isinstance(decision, SendNotice):
                    key = principal.keys[key_type]
                    notices[key_type] = policies.record_notice(key, decision, event.id, now)
        return SweepChange(principal, new_version(), notices, tuple(revoked), tuple(events))

    def _were_notices_delivered(
        self, principal: Principal, key: ApiKey, notice_events: NoticeEvents, now: int
    ) -> bool:
        """Return whether a key's notices were delivered early enough to revoke it now.

        ``notice_events`` caches the events of the notices, which several keys can share.
        """
        notice = key.notice
        if notice is None:  # pragma: no cover - a policy revokes no key without a notice
            return False
        ids = (notice.first_event, notice.last_event)
        if ids not in notice_events:
            notice_events[ids] = self._sweeps.notices(principal.account, ids)
        return policies.were_delivered_in_time(notice, *notice_events[ids], now)

    def _other_owner(
        self, principal: Principal, account: Account, now: int, counts: Callable[[User, int], bool]
    ) -> User | None:
        """Return another OWNER with a way in that ``counts``; None without one."""
        names = sorted(account.owners.keys() - {fold_username(principal.username)})[:MAX_OWNERS_READ]
        for user in self._sweeps.users(frozenset(names)).values() if names else ():
            if _is_owner(user, account) and counts(user, now):
                return user
        return None

    def _account(self, account: str) -> Account | None:
        """Return an account, from the run's cache if it is in it; None if there is no such account."""
        if account not in self._accounts:
            if len(self._accounts) >= MAX_CACHED_ACCOUNTS:
                self._accounts.clear()
            self._accounts[account] = self._sweeps.account(account)
        return self._accounts[account]


LATELY = 30 * DAY
"""For how many seconds a use shows that a key tied to networks can still be used."""

_KEPT_KEY_REASON = (
    "It is kept as the last key with which an OWNER can manage the account: "
    "rotate it, or make another User an OWNER"
)


def _is_owner_key(principal: Principal, key_type: KeyType, account: Account) -> bool:
    """Return whether a key is an OWNER's USER_MANAGEMENT key, with which they manage the account."""
    if key_type is not KeyType.USER_MANAGEMENT or not isinstance(principal, User):
        return False
    return _is_owner(principal, account)


_KEPT_PASSKEY_REASON = (
    "It is kept as the last passkey with which an OWNER can sign in: "
    "sign in with it, or make another User an OWNER"
)


def _needs_passkey(user: User, account: Account, now: int) -> bool:
    """Return whether a User is an OWNER who could not manage the account without a passkey."""
    return _is_owner(user, account) and not _has_key_for_good(account.policy, user, now)


def _has_lasting_key(user: User, now: int) -> bool:
    """Return whether a User's USER_MANAGEMENT key works for at least 10 more days, as far as one can tell.

    A key that expires sooner does not count: its OWNER has had the first notice of that already.
    A key that is tied to networks counts only if it was used lately: there may be nobody in them any more.
    """
    key = user.keys.get(KeyType.USER_MANAGEMENT)
    if key is None or is_expired(key, now + policies.FIRST_NOTICE):
        return False
    return are_every_ipv4(key.networks) or (key.last_used_at is not None and now - key.last_used_at <= LATELY)


def _has_endless_key(user: User, now: int) -> bool:
    """Return whether a User has a USER_MANAGEMENT key that can stand in for a passkey, or for such a key.

    A key with an expiry cannot: it works no longer than that, whoever needs it, and what it stood in for
    would be gone by then.
    """
    key = user.keys.get(KeyType.USER_MANAGEMENT)
    return key is not None and key.expires_at is None and _has_lasting_key(user, now)


def _has_key_for_good(policy: Policy, user: User, now: int) -> bool:
    """Return whether a User has such a key, and the policy ends none by its age."""
    return policy.max_key_age_days is None and _has_endless_key(user, now)


def _has_endless_way_in(policy: Policy, user: User, now: int) -> bool:
    """Return whether a User has a passkey, or a key that can stand in for one."""
    return bool(user.passkeys) or _has_key_for_good(policy, user, now)


def _is_owner(user: User, account: Account) -> bool:
    return permissions.is_owner(user, account.id, account.owners)
