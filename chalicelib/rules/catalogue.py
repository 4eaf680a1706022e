"""The catalogue: the key types of a stack, what they open, and the words for the roles.

An operator gives it as a JSON file when the stack is deployed (docs/catalogue.md); a stack without one has
:data:`DEFAULT`. It is read once, when this module is imported. Everything that knows a key type reads it from
``rules.roles``, which reads it here: only ``USER_MANAGEMENT``, which every catalogue has, is named in code.

``authorizer/catalogue_check.py`` names every error of a catalogue, before anything is deployed.
"""

import os
from typing import Literal

import msgspec
from msgspec.structs import replace

VARIABLE = "SERVICE_USERS_CATALOGUE"
"""The environment variable that names the file, on the operator's machine. A package has its own file."""

FILE = "catalogue.json"
"""The file's name in the package, beside this module."""

USER_MANAGEMENT = "USER_MANAGEMENT"
"""The reserved key type, with which everything is managed."""

MAX_KEY_TYPES = 30
"""The most key types of a catalogue, ``USER_MANAGEMENT`` included."""

RoleName = Literal["READ_ONLY", "CLUSTER_ADMIN", "OWNER"]


class Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of a catalogue, in the form of its file."""


class Opening(Part, frozen=True):
    """A path of the operator's own API that keys of a type may call, as a route rule has it."""

    path: str
    methods: tuple[str, ...]
    least_role: RoleName = "READ_ONLY"


class KeyTypeEntry(Part, frozen=True):
    """A key type.

    ``least_role`` is the lowest role that may hold it. ``by_default``: a key of it is made for a new Service
    User if its creator names no types. No key of it lives longer than ``max_life_days`` after its secret was
    made; None for no limit. ``requires_networks``: it is made only for named networks. ``opens`` are the
    authorizer's rules for it, unless the stack has rules of its own.
    """

    name: str
    display_name: str = ""
    description: str = ""
    least_role: RoleName = "READ_ONLY"
    by_default: bool = True
    max_life_days: int | None = None
    requires_networks: bool = False
    opens: tuple[Opening, ...] = ()


class RoleWords(Part, frozen=True):
    """The words for a role: its display name, and what it means, as the end of a sentence "You can …"."""

    display_name: str = ""
    meaning: str = ""


class Roles(Part, frozen=True, rename=None):
    """The words for each role."""

    READ_ONLY: RoleWords = RoleWords()
    CLUSTER_ADMIN: RoleWords = RoleWords()
    OWNER: RoleWords = RoleWords()


class Catalogue(Part, frozen=True):
    """The key types of a stack in their published order, ``USER_MANAGEMENT`` last, and the roles' words."""

    key_types: tuple[KeyTypeEntry, ...]
    roles: Roles = Roles()


MANAGEMENT = KeyTypeEntry(
    name=USER_MANAGEMENT,
    display_name="User Management",
    description="Manages Service Users, people and the account.",
    least_role="CLUSTER_ADMIN",
)
"""``USER_MANAGEMENT`` in a catalogue that says nothing about it. Its least role is fixed, and its keys have
neither a longest life nor required networks: a person who cannot use theirs is locked out."""

DEFAULT = Catalogue(
    key_types=(
        KeyTypeEntry(
            name="MONITORING",
            display_name="Monitoring",
            opens=(Opening("/monitoring/*", ("GET",)),),
        ),
        KeyTypeEntry(
            name="PROVISIONING_READONLY",
            display_name="Read Only Provisioning",
            opens=(Opening("/provisioning/*", ("GET",)),),
        ),
        KeyTypeEntry(
            name="PROVISIONING",
            display_name="Provisioning",
            least_role="CLUSTER_ADMIN",
            opens=(Opening("/provisioning/*", ("ANY",), "CLUSTER_ADMIN"),),
        ),
        replace(MANAGEMENT, description="", opens=(Opening("/user-management/*", ("ANY",), "OWNER"),)),
    ),
    roles=Roles(
        READ_ONLY=RoleWords("READ_ONLY", "see clusters and their monitoring"),
        CLUSTER_ADMIN=RoleWords("CLUSTER_ADMIN", "manage clusters and run Service Users"),
        OWNER=RoleWords("OWNER", "do everything, running its people included"),
    ),
)
"""The catalogue of a stack that was given none (product page: key-types, roles)."""

_MEANINGS = Roles(
    READ_ONLY=RoleWords(meaning="use the API with keys of your own"),
    CLUSTER_ADMIN=RoleWords(meaning="run Service Users and their keys"),
    OWNER=DEFAULT.roles.OWNER,
)
"""What the roles mean in a catalogue that does not say it."""


def parse(text: bytes | str) -> Catalogue:
    """Return a catalogue from its JSON, with ``USER_MANAGEMENT`` and every word that it leaves out.

    Raises msgspec.ValidationError or msgspec.DecodeError if it is not of a catalogue's form.
    """
    given = msgspec.json.decode(text, type=Catalogue)
    key_types = [
        replace(it, display_name=it.display_name or it.name)
        for it in given.key_types
        if it.name != USER_MANAGEMENT
    ]
    management = next((it for it in given.key_types if it.name == USER_MANAGEMENT), MANAGEMENT)
    key_types.append(
        replace(
            MANAGEMENT,
            display_name=management.display_name or MANAGEMENT.display_name,
            description=management.description or MANAGEMENT.description,
            by_default=management.by_default,
            opens=management.opens,
        )
    )
    words = {
        name: RoleWords(
            display_name=getattr(given.roles, name).display_name or name,
            meaning=getattr(given.roles, name).meaning or getattr(_MEANINGS, name).meaning,
        )
        for name in Roles.__struct_fields__
    }
    return Catalogue(key_types=tuple(key_types), roles=Roles(**words))


def load() -> Catalogue:
    """Return the catalogue of this stack, or the default one if it has none of its own.

    Raises what :func:`parse` raises, and OSError if the file that the environment names cannot be read.
    """
    named = os.environ.get(VARIABLE)
    try:
        with open(named or os.path.join(os.path.dirname(__file__), FILE), "rb") as file:
            return parse(file.read())
    except FileNotFoundError:
        if named:
            raise
        return DEFAULT


CATALOGUE = load()
"""The catalogue of this stack."""
