"""The sweep: checks every key of every principal once a day, however often the function runs or fails.

A sweep is a walk over the table in pages. Where it stands is kept after each page, on the condition that
nobody else has moved it since; so a run that finds itself overtaken stops, and one that dies is followed
up from its last page. What is done to a Principal is one transaction: the marks of what was told, the keys
that go, and the events that say so, on the condition that the Principal is what it was judged on. So
judging it again finds the marks, and two runs that come to it at once do it once.
"""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

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
from chalicelib.rules.policies import ClearNotice, Decision, Revoke, SendNotice
from chalicelib.rules.roles import KeyType
from chalicelib.rules.sweeps import Page, Position, SweepChange, SweepStore

_LOG = logging.getLogger(__name__)

MARGIN_MS = 20_000
"""Start no principal with less time left: reading it again and changing it may take this long."""

TRIES = 3
"""Tries for a principal that is changed concurrently, before it is left to the next sweep."""

IN_A_ROW = 3
"""The run ends after this many failing principals in a row: the cause is probably elsewhere."""

MOST_ACCOUNTS = 1000
"""The most accounts whose policies a run caches."""

MOST_OWNERS = 50
"""The most OWNERs to read in the search for another one with a working key."""


Mailed = dict[tuple[str, str], tuple[Event | None, Event | None]]
"""The events of a key's two notices, by account and ids."""


class UnjudgedError(Exception):
    """Some principals could not be checked; the log says which, and why."""


def sweep(
    sweeps: SweepStore, now: Callable[[], float], remaining_ms: Callable[[], int], request_id: str = ""
) -> dict[str, int]:
    """Start the sweep of the day, or continue it, until it is done or time is short.

    Returns what came of it, in numbers; ``done`` is 1 where there is nothing left to do today. Raises
    UnjudgedError at its end where a Principal was beyond it.
    """
    run = _Run(sweeps, now, remaining_ms, request_id)
    try:
        run.walk()
    except Unavailable:
        _LOG.warning("the sweep stops, and goes on at the next run: the store is busy")
        run.counts["busy"] = 1
    _LOG.info("the sweep", extra={"counts": dict(run.counts)})
    if run.counts["broken"]:
        raise UnjudgedError(f"{run.counts['broken']} Principals could not be judged; the log says which.")
    return dict(+run.counts)


class _Run:
    """One run of the function."""

    def __init__(
        self,
        sweeps: SweepStore,
        now: Callable[[], float],
        remaining_ms: Callable[[], int],
        request_id: str,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._sweeps = sweeps
        self._now = now
        self._remaining_ms = remaining_ms
        self._request_id = request_id
        self._accounts: dict[str, Account | None] = {}
        self._failures = 0

    def walk(self) -> None:
        """Process the remaining pages."""
        position = self._begin()
        while position is not None and not position.done:
            if not self._goes_on():
                return
            page = self._sweeps.page(position.after)
            place = self._treat(page)
            if place is None:
                new = Position(position.day, new_version(), page.after, done=page.after is None)
            else:
                new = Position(position.day, new_version(), place or position.after)
            if not self._sweeps.move(position, new):
                self.counts["overtaken"] = 1
                return
            position = new
        if position is not None:
            self.counts["done"] = 1

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

    def _goes_on(self) -> bool:
        return self._remaining_ms() >= MARGIN_MS and self._failures < IN_A_ROW and not self.counts["busy"]

    def _treat(self, page: Page) -> str | None:
        """Check the principals of a page. Return the place of the last one if it stopped before the end.

        That is empty where it stopped before the first.
        """
        place = ""
        for here, principal in page.entries:
            if not self._goes_on():
                return place
            try:
                self._judge(principal)
                self._failures = 0
            except Unavailable:
                self.counts["busy"] = 1
                return place
            except Exception:
                # One Principal that is beyond us must not keep the others' keys alive.
                _LOG.exception("a Principal cannot be judged", extra={"place": here})
                self.counts["broken"] += 1
                self._failures += 1
            place = here
        return None

    def _judge(self, principal: Principal | None) -> None:
        """Check one principal's keys and make the changes. Raise LookupError if it cannot be read."""
        if principal is None:
            raise LookupError("It cannot be read.")
        self.counts["judged"] += 1
        judged: Principal | None = principal
        for _ in range(TRIES):
            if judged is None:
                return
            ruling = self._ruling(judged)
            if ruling is None:
                self._upgrade(judged)
                return
            if self._sweeps.apply(ruling):
                self._count(ruling)
                return
            self._accounts.pop(principal.account, None)
            judged = self._sweeps.principal(principal.username)
        self.counts["left"] += 1

    def _upgrade(self, principal: Principal) -> None:
        """Write what an earlier version did not: pointers of keys, and to which account an address belongs.

        What fails is tried again tomorrow.
        """
        if not principal.email_by_account:
            self.counts["moved"] += self._sweeps.move_address(principal)
        if any(api_keys.lacks_pointer(key) for key in principal.keys.values()):
            self.counts["pointed"] += self._sweeps.add_pointers(principal)

    def _count(self, ruling: SweepChange) -> None:
        self.counts["revoked"] += len(ruling.revoked)
        self.counts["told"] += sum(notice is not None for notice in ruling.notices.values())
        self.counts["events"] += len(ruling.events)
        self.counts["revoked"] += len(ruling.removed_passkeys)
        self.counts["told"] += sum(notice is not None for notice in ruling.passkey_notices.values())

    def _ruling(self, principal: Principal) -> SweepChange | None:
        """Return the change of a principal's keys; None if there is nothing to change."""
        account = self._account(principal.account)
        policy = account.policy if account is not None else Policy()
        now = int(self._now())
        judgements: dict[KeyType, Decision] = {}
        mailed: Mailed = {}
        others: tuple[Principal, ...] = ()
        for key_type, key in principal.keys.items():
            judgement = policies.decide(key, policy, now)
            if account is not None and isinstance(judgement, Revoke) and judgement.by_policy:
                if not self._told_in_time(principal, key, mailed, now):
                    self.counts["held"] += 1
                    continue
                if _runs_account(principal, key_type, account):
                    other = self._other_owner(principal, account, now)
                    if other is None:
                        self.counts["spared"] += 1
                        judgement = policies.spare(key, judgement, _SPARED, now)
                    else:
                        others = (other,)
            if judgement is not None:
                judgements[key_type] = judgement
        passkeys = self._passkeys(principal, account, policy, mailed, now)
        if not judgements and not passkeys:
            return None
        bound = any(
            isinstance(it, Revoke) and it.by_policy for it in (*judgements.values(), *passkeys.values())
        )
        ruling = self._write(principal, judgements, now)._replace(
            account=account if bound else None, others=others
        )
        return self._with_passkeys(ruling, passkeys, now)

    def _passkeys(
        self, principal: Principal, account: Account | None, policy: Policy, mailed: Mailed, now: int
    ) -> dict[str, Decision]:
        """Return what is to become of a User's passkeys, by their ids."""
        found: dict[str, Decision] = {}
        for passkey_id, passkey in principal.passkeys.items() if isinstance(principal, User) else ():
            decision = policies.decide_passkey(passkey, policy, now)
            if isinstance(decision, Revoke):
                if not self._told_in_time(principal, policies.as_key(passkey), mailed, now):
                    self.counts["held"] += 1
                    continue
                if _is_last_way_in(principal, account):
                    self.counts["spared"] += 1
                    decision = policies.spare(policies.as_key(passkey), decision, _SPARED_PASSKEY, now)
            if decision is not None:
                found[passkey_id] = decision
        return found

    def _with_passkeys(self, ruling: SweepChange, passkeys: dict[str, Decision], now: int) -> SweepChange:
        """Return a ruling that carries out what was decided about passkeys, too; an event for each."""
        user = ruling.old
        if not isinstance(user, User) or not passkeys:
            return ruling
        notices: dict[str, Notice | None] = {}
        events: list[Event] = []
        origin = Origin("", self._request_id, self._now())
        for passkey_id, decision in passkeys.items():
            passkey = user.passkeys[passkey_id]
            if isinstance(decision, ClearNotice):
                notices[passkey_id] = None
                continue
            sent = decision.expiry if isinstance(decision, SendNotice) else None
            event = new_event(
                origin,
                Actor(Kind.POLICY),
                Action.PASSKEY_REMOVED if sent is None else Action.PASSKEY_ENDING,
                user,
                changes={"passkey": (passkey.name, "" if sent is None else moment(sent.at))},
                cause=Cause.POLICY_INACTIVITY,
                reason="The account ends passkeys that are not used",
            )
            events.append(event)
            if isinstance(decision, SendNotice):
                notices[passkey_id] = policies.record_notice(
                    policies.as_key(passkey), decision, event.id, now
                )
        removed = tuple(id_ for id_, decision in passkeys.items() if isinstance(decision, Revoke))
        every = (*ruling.events, *events)
        return ruling._replace(events=every, passkey_notices=notices, removed_passkeys=removed)

    def _write(self, principal: Principal, judgements: dict[KeyType, Decision], now: int) -> SweepChange:
        """Return the change for the decisions: one event for each action and its cause."""
        notices: dict[KeyType, Notice | None] = {}
        groups: dict[tuple[Action, Cause, str], list[tuple[KeyType, KeyChange]]] = {}
        revoked: list[KeyType] = []
        for key_type, judgement in judgements.items():
            last5 = principal.keys[key_type].last5
            if isinstance(judgement, ClearNotice):
                notices[key_type] = None
                continue
            if isinstance(judgement, SendNotice):
                expiry = judgement.expiry
                group = (Action.API_KEY_ENDING, expiry.cause, expiry.reason)
                change = KeyChange(Change.ENDING, key_type, last5, ends_at=expiry.at)
            else:
                group = (Action.API_KEY_REVOKED, judgement.cause, judgement.reason)
                change = KeyChange(Change.REVOKED, key_type, last5)
                revoked.append(key_type)
            groups.setdefault(group, []).append((key_type, change))
        events: list[Event] = []
        origin = Origin("", self._request_id, self._now())
        for (action, cause, reason), changes in groups.items():
            record = new_event(
                origin,
                Actor(Kind.POLICY),
                action,
                principal,
                tuple(change for _, change in changes),
                cause=cause,
                reason=reason,
            )
            events.append(record)
            for key_type, _ in changes:
                judgement = judgements[key_type]
                if isinstance(judgement, SendNotice):
                    key = principal.keys[key_type]
                    notices[key_type] = policies.record_notice(key, judgement, record.id, now)
        return SweepChange(principal, new_version(), notices, tuple(revoked), tuple(events))

    def _told_in_time(self, principal: Principal, key: ApiKey, mailed: Mailed, now: int) -> bool:
        """Return whether a key's notices were delivered in time; each pair of events is read once."""
        notice = key.notice
        if notice is None:  # pragma: no cover - a policy ends no key without one
            return False
        ids = (notice.first_event, notice.last_event)
        if ids not in mailed:
            mailed[ids] = self._sweeps.notices(principal.account, ids)
        return policies.in_time(notice, *mailed[ids], now)

    def _other_owner(self, principal: Principal, account: Account, now: int) -> User | None:
        """Return another OWNER whose key will not expire before they are notified."""
        names = sorted(account.owners.keys() - {fold_username(principal.username)})[:MOST_OWNERS]
        for user in self._sweeps.users(frozenset(names)).values() if names else ():
            key = user.keys.get(KeyType.USER_MANAGEMENT)
            if _owns(user, account) and key is not None and not is_expired(key, now + policies.FIRST_NOTICE):
                return user
        return None

    def _account(self, account: str) -> Account | None:
        """Return an account, as this run first read it."""
        if account not in self._accounts:
            if len(self._accounts) >= MOST_ACCOUNTS:
                self._accounts.clear()
            self._accounts[account] = self._sweeps.account(account)
        return self._accounts[account]


_SPARED = "It is kept as the last with which an OWNER can run the account: rotate it, or have a second OWNER"


def _runs_account(principal: Principal, key_type: KeyType, account: Account) -> bool:
    """Return whether this is an OWNER's key for managing the account."""
    return key_type is KeyType.USER_MANAGEMENT and isinstance(principal, User) and _owns(principal, account)


_SPARED_PASSKEY = (
    "It is kept as the last with which an OWNER gets in: sign in with it, or have a second OWNER"
)


def moment(second: int) -> str:
    """Return a time as emails write it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M} UTC"


def _is_last_way_in(user: Principal, account: Account | None) -> bool:
    """Return whether the account's only OWNER has no other way in than this passkey."""
    return (
        isinstance(user, User)
        and account is not None
        and account.owners.keys() == {fold_username(user.username)}
        and len(user.passkeys) == 1
        and KeyType.USER_MANAGEMENT not in user.keys
    )


def _owns(user: User, account: Account) -> bool:
    return permissions.is_owner(user, account.id, account.owners)
