"""Roles, key types, and which role may hold which type (product page: roles, key-types)."""

from enum import Enum


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
        return _READ_ONLY_TYPES if self is Role.READ_ONLY else tuple(KeyType)


class KeyType(str, Enum):
    """What an API key may be used for."""

    MONITORING = "MONITORING"
    PROVISIONING_READONLY = "PROVISIONING_READONLY"
    PROVISIONING = "PROVISIONING"
    USER_MANAGEMENT = "USER_MANAGEMENT"

    @property
    def display_name(self) -> str:
        """The name for people."""
        return _DISPLAY_NAMES[self]


_RANK = {role: rank for rank, role in enumerate(Role)}
_READ_ONLY_TYPES = (KeyType.MONITORING, KeyType.PROVISIONING_READONLY)
_DISPLAY_NAMES = {
    KeyType.MONITORING: "Monitoring",
    KeyType.PROVISIONING_READONLY: "Read Only Provisioning",
    KeyType.PROVISIONING: "Provisioning",
    KeyType.USER_MANAGEMENT: "User Management",
}
