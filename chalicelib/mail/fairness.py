"""Fairness between accounts: the events of one account must not delay the emails of another."""

import heapq
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from chalicelib.rules.notifications import EventKey

SHARE = 120
"""The most messages of one account and one kind that ``notify`` sends in a minute in one environment. The
stream delivers the events of all accounts in one order. Events past this wait for ``resend``, where accounts
take turns."""

SHARE_SECONDS = 20
"""The most seconds of a minute that ``notify`` spends in one environment on the events of one account, but
for those that all OWNERs are mailed of. An event can take long without a message: to decide whether it is
held takes reading what its subject's events were."""

MAX_EVENTS_PER_ACCOUNT = 2_000
"""The most due events of one account that ``resend`` remembers: more than it mails until it reads again."""


FOLDED, OTHER = "FOLDED", "OTHER"
"""Kinds of messages, each with a share of its own: a flood of one kind delays no other.

``FOLDED`` may be folded into a digest email. Of messages to all OWNERs, each action is a kind: one that a
CLUSTER_ADMIN can do again and again, such as resuming a Service User, must not delay the others.
"""


class Due(NamedTuple):
    """An event that is due. ``held``: it was held for a digest email."""

    key: EventKey
    held: bool = False


class Share:
    """Counts the messages of each account, and the time they took, in the current minute."""

    def __init__(self, most: int = SHARE) -> None:
        self._most = most
        self._minute = 0
        self._sent: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def allows(self, account: str, now: float, kind: str) -> bool:
        """Return whether an account may send more messages of a kind."""
        self._start_minute(now)
        if kind in (FOLDED, OTHER) and self._seconds[account] >= SHARE_SECONDS:
            return False
        return self._sent[account, kind] < self._most

    def spend_time(self, account: str, now: float, seconds: float) -> None:
        """Count the time that an event of an account took."""
        self._start_minute(now)
        self._seconds[account] += seconds

    def spend(self, account: str, now: float, kind: str) -> None:
        """Count a message."""
        self._start_minute(now)
        self._sent[account, kind] += 1

    def _start_minute(self, now: float) -> None:
        minute = int(now) // 60
        if minute != self._minute:
            self._minute, self._sent = minute, Counter()
            self._seconds.clear()


class Turns:
    """Due events of several accounts, which take turns: next is the one that had the least so far.

    ``spent`` is what each account has had, in seconds, and is read again before each turn. Otherwise an
    account with many recipients to each event would have several times the share of another.
    """

    def __init__(self, spent: Mapping[str, float]) -> None:
        self._spent = spent
        self._accounts: dict[str, deque[Due]] = {}
        self._known: set[EventKey] = set()
        self.first: EventKey | None = None
        """The one of the events that was recorded first; None without any."""

    def add(self, keys: Iterable[EventKey], *, held: bool) -> None:
        """Add due events, longest due first. One that was added before is left out."""
        for key in keys:
            self.first = key if self.first is None else min(self.first, key, key=lambda it: it.id)
            waiting = self._accounts.setdefault(key.account, deque())
            if len(waiting) < MAX_EVENTS_PER_ACCOUNT and key not in self._known:
                self._known.add(key)
                waiting.append(Due(key, held))

    def __iter__(self) -> Iterator[Due]:
        """Yield the events, each time the longest due one of the account whose turn it is."""
        numbers = itertools.count()
        turns = [(self._spent.get(it, 0.0), next(numbers), it) for it in self._accounts]
        heapq.heapify(turns)
        while turns:
            account = heapq.heappop(turns)[-1]
            waiting = self._accounts[account]
            yield waiting.popleft()
            if waiting:
                heapq.heappush(turns, (self._spent.get(account, 0.0), next(numbers), account))
