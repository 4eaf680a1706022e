"""Roles, key types, and which role may hold which type (product page: roles, key-types).

The key types, and the words for the roles, are those of the stack's :mod:`chalicelib.rules.catalogue`.
"""

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

from chalicelib.rules.catalogue import CATALOGUE, KeyTypeEntry, RoleWords


class Role(str, Enum):
    """What a principal may do, lowest first.

    Compare with :meth:`covers`.
    """

    READ_ONLY = "READ_ONLY"
    CLUSTER_ADMIN = "CLUSTER_ADMIN"
    OWNER = "OWNER"

    def covers(self, other: "Role") -> bool:
        """Return whether this role is at least as high as ``other``."""
        return _RANK[self] >= _RANK[other]

    def at_most(self, ceiling: "Role | None") -> "Role":
        """Return the lower of this role and a ceiling; None is no ceiling."""
        return self if ceiling is None or ceiling.covers(self) else ceiling

    def key_types(self) -> tuple["KeyType", ...]:
        """Return the key types that a principal with this role may hold, in published order."""
        return _HELD_BY[self]

    def default_key_types(self) -> tuple["KeyType", ...]:
        """Return the key types of which a new Service User with this role gets a key if none is named."""
        return tuple(key_type for key_type in _HELD_BY[self] if key_type.by_default)

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self._words.display_name

    @property
    def label(self) -> str:
        """The name for people, with the name in the API if that is another."""
        name = self.display_name
        return name if name == self.value else f"{name} ({self.value})"

    @property
    def meaning(self) -> str:
        """What the role means, as the end of a sentence that begins with "You can"."""
        return self._words.meaning

    @property
    def _words(self) -> RoleWords:
        words: RoleWords = getattr(CATALOGUE.roles, self.value)
        return words


class KeyType(str, Enum):
    """What an API key may be used for. Each deployment has its own key types, those of its catalogue.

    A name that is not in the catalogue makes a type that is not :attr:`is_listed`, so that what was stored
    under an earlier catalogue stays readable. No key of such a type signs in, and none is made.
    """

    _ignore_ = ["entry"]

    for entry in CATALOGUE.key_types:
        vars()[entry.name.upper().replace("-", "_")] = entry.name
    if TYPE_CHECKING:
        USER_MANAGEMENT = "USER_MANAGEMENT"
        ANOTHER = "ANOTHER"

    __hash__ = str.__hash__

    @classmethod
    def _missing_(cls, value: object) -> "KeyType | None":
        if not isinstance(value, str):
            return None
        made = str.__new__(cls, value)
        made._name_ = made._value_ = value
        return made

    @property
    def is_listed(self) -> bool:
        """Whether the catalogue has it."""
        return self._value_ in _ENTRIES

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self._entry.display_name

    @property
    def description(self) -> str:
        """What it is for; empty if the catalogue does not say it."""
        return self._entry.description

    @property
    def least_role(self) -> Role:
        """The lowest role that may hold it."""
        return Role(self._entry.least_role)

    @property
    def by_default(self) -> bool:
        """Whether a new Service User gets a key of it if its creator names no types."""
        return self._entry.by_default

    @property
    def max_life_days(self) -> int | None:
        """How many days after its secret was made a key of it ends at the latest; None for no limit."""
        return self._entry.max_life_days

    @property
    def requires_networks(self) -> bool:
        """Whether its keys are made only for named networks."""
        return self._entry.requires_networks

    @property
    def _entry(self) -> KeyTypeEntry:
        return _ENTRIES.get(self._value_) or KeyTypeEntry(name=self._value_, display_name=self._value_)


def in_order(key_types: Iterable[KeyType]) -> tuple[KeyType, ...]:
    """Return key types in published order; those that the catalogue does not have come last, by name."""
    given = set(key_types)
    listed = [key_type for key_type in KeyType if key_type in given]
    return (*listed, *sorted(given - set(listed)))


_RANK = {role: rank for rank, role in enumerate(Role)}
_ENTRIES = {entry.name: entry for entry in CATALOGUE.key_types}
_HELD_BY = {
    role: tuple(key_type for key_type in KeyType if role.covers(key_type.least_role)) for role in Role
}
