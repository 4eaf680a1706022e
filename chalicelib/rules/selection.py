"""Which Service Users and Users a list is to have, and the checks of keys that it and the console make."""

from typing import NamedTuple

from chalicelib.rules.api_keys import is_expired, lifetime_start
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import ApiKey, Policy, ServiceUser, User
from chalicelib.rules.networks import are_all
from chalicelib.rules.policies import expected_end
from chalicelib.rules.roles import Role

EXAMINED = 500
"""The most members to read for a page with a condition: one Query, which bounds the cost of a page."""


NO_POLICY = Policy()


class Selection(NamedTuple):
    """The conditions on Service Users. Each that is given must hold; those on keys, for one key at least.

    ``administrator`` is a folded username; ``labels`` are names, each with its value.
    """

    role: Role | None = None
    administrator: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    never_used: bool = False
    without_networks: bool = False
    unused_for_days: int | None = None
    ending_within_days: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no condition, so that every Service User is selected."""
        return self == Selection()

    @property
    def needs_policy(self) -> bool:
        """Whether a condition depends on the account's policy."""
        return self.ending_within_days is not None

    def without_policy(self) -> "Selection":
        """Return the conditions that do not depend on the account's policy."""
        return self._replace(ending_within_days=None)

    def selects(self, it: ServiceUser, now: int, policy: Policy = NO_POLICY) -> bool:
        """Return whether a Service User fulfils every condition.

        Whether the ``administrator`` is still entitled is for whoever reads their item.
        """
        if self.role is not None and it.role is not self.role:
            return False
        if self.administrator is not None and self.administrator not in it.administrators:
            return False
        if any(it.labels.get(name) != value for name, value in self.labels):
            return False
        on_keys = self._replace(role=None, administrator=None, labels=())
        return on_keys.is_empty or any(on_keys._selects_key(key, now, policy) for key in it.keys.values())

    def _selects_key(self, key: ApiKey, now: int, policy: Policy) -> bool:
        if is_expired(key, now):
            return False
        if self.never_used and key.last_used_at is not None:
            return False
        if self.without_networks and not are_all(key.networks):
            return False
        if self.unused_for_days is not None and not is_unused_for(key, self.unused_for_days * DAY, now):
            return False
        if self.ending_within_days is None:
            return True
        ends_at = expected_end(key, policy, now)
        return ends_at is not None and ends_at - now <= self.ending_within_days * DAY


EVERY_ONE = Selection()
"""No condition on Service Users."""


class PeopleSelection(NamedTuple):
    """The conditions on Users. Each that is given must hold."""

    role: Role | None = None
    invited: bool | None = None
    suspended: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is no condition, so that every User is selected."""
        return self == PeopleSelection()

    def selects(self, it: User) -> bool:
        """Return whether a User fulfils every condition."""
        if self.role is not None and it.role is not self.role:
            return False
        if self.invited is not None and (it.invitation is not None) is not self.invited:
            return False
        return not self.suspended or it.suspended_at is not None


EVERYBODY = PeopleSelection()
"""No condition on Users."""


def is_unused_for(key: ApiKey, seconds: int, now: int) -> bool:
    """Return whether a key was not used for so long; one that never was, since it was made."""
    return now - (key.last_used_at or lifetime_start(key)) >= seconds


def is_ending_within(key: ApiKey, seconds: int, now: int) -> bool:
    """Return whether a key has not expired and will within so long."""
    return key.expires_at is not None and 0 < key.expires_at - now <= seconds
