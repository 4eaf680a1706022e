"""What keeps one account's events from delaying another's mail."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from chalicelib.rules.notifications import EventKey

SHARE = 120
"""Messages of one account and kind that ``notify`` sends in a minute, in one environment. The stream brings
the events of all accounts in one order, so whoever is past this waits for ``resend``, which takes turns."""

MOST_OF_AN_ACCOUNT = 2_000
"""Due events of one account that a run of ``resend`` remembers: more than it mails until it looks again."""


class Due(NamedTuple):
    """An event that is due; ``held`` for a digest, if it was."""

    key: EventKey
    held: bool = False


class Share:
    """How many messages each account has been sent in the present minute."""

    def __init__(self, most: int = SHARE) -> None:
        self._most = most
        self._minute = 0
        self._sent: Counter[tuple[str, bool]] = Counter()

    def allows(self, account: str, now: float, *, folded: bool) -> bool:
        """Return whether an account may be sent more; ``folded`` messages have a share of their own."""
        self._turn(now)
        return self._sent[account, folded] < self._most

    def spend(self, account: str, now: float, *, folded: bool) -> None:
        """Count a message."""
        self._turn(now)
        self._sent[account, folded] += 1

    def _turn(self, now: float) -> None:
        minute = int(now) // 60
        if minute != self._minute:
            self._minute, self._sent = minute, Counter()


class Turns:
    """Due events, of which each account's come in turn."""

    def __init__(self) -> None:
        self._accounts: dict[str, deque[Due]] = {}

    def add(self, keys: Iterable[EventKey], *, held: bool) -> None:
        """Add due events, the longest due first."""
        for key in keys:
            waiting = self._accounts.setdefault(key.account, deque())
            if len(waiting) < MOST_OF_AN_ACCOUNT:
                waiting.append(Due(key, held))

    def __iter__(self) -> Iterator[Due]:
        """Return one event of each account, then another of each, until there are no more."""
        turns = deque(self._accounts.values())
        while turns:
            waiting = turns.popleft()
            yield waiting.popleft()
            if waiting:
                turns.append(waiting)
