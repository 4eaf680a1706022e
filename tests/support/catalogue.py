"""The key types of the stack that is tested, read without the product: the default ones, or those of a file.

The file is that of a package, beside ``chalicelib/rules/catalogue.py``, or the one that the environment
names; ``tests.catalogue.second`` puts one there, and ``tests.catalogue.in_force`` names one.
"""

import json
import os
from pathlib import Path
from typing import Any

ROLES = ["READ_ONLY", "CLUSTER_ADMIN", "OWNER"]
FILE = Path(__file__).resolve().parent.parent.parent / "chalicelib" / "rules" / "catalogue.json"
SECOND = Path(__file__).with_name("second_catalogue.json")
"""A catalogue of eleven types, none of them a default one but USER_MANAGEMENT."""

_DEFAULT: dict[str, Any] = {
    "keyTypes": [
        {"name": "MONITORING", "displayName": "Monitoring"},
        {"name": "PROVISIONING_READONLY", "displayName": "Read Only Provisioning"},
        {"name": "PROVISIONING", "displayName": "Provisioning", "leastRole": "CLUSTER_ADMIN"},
        {"name": "USER_MANAGEMENT", "displayName": "User Management"},
    ],
    "roles": {
        "READ_ONLY": {"meaning": "see clusters and their monitoring"},
        "CLUSTER_ADMIN": {"meaning": "manage clusters and run Service Users"},
        "OWNER": {"meaning": "do everything, running its people included"},
    },
}
NAMED = os.environ.get("SERVICE_USERS_CATALOGUE")
IS_DEFAULT = not (NAMED or FILE.exists())
_GIVEN = _DEFAULT if IS_DEFAULT else json.loads(Path(NAMED or FILE).read_text(encoding="utf-8"))


def _entries() -> list[dict[str, Any]]:
    others = [it for it in _GIVEN["keyTypes"] if it["name"] != "USER_MANAGEMENT"]
    [management] = [it for it in _GIVEN["keyTypes"] if it["name"] == "USER_MANAGEMENT"] or [{}]
    name = management.get("displayName", "User Management")
    last = {**management, "name": "USER_MANAGEMENT", "displayName": name, "leastRole": "CLUSTER_ADMIN"}
    return [*others, last]


ENTRIES = _entries()
DISPLAY_NAMES: dict[str, str] = {it["name"]: it.get("displayName", it["name"]) for it in ENTRIES}
"""The display names by name, in the published order."""

MAY_HOLD = {
    role: [it["name"] for it in ENTRIES if place >= ROLES.index(it.get("leastRole", "READ_ONLY"))]
    for place, role in enumerate(ROLES)
}
"""The types that a role may hold."""

MADE = {
    role: [it["name"] for it in ENTRIES if it["name"] in held and it.get("byDefault", True)]
    for role, held in MAY_HOLD.items()
}
"""The types of which a new Service User of a role gets a key."""

LISTED = {role: ", ".join(held) for role, held in MAY_HOLD.items()}
"""The types that a role may hold, as a refusal lists them. ``LISTED["OWNER"]`` is all of them."""

_WORDS: dict[str, dict[str, str]] = {role: _GIVEN.get("roles", {}).get(role, {}) for role in ROLES}

LABELS = {
    role: f"{name} ({role})" if (name := words.get("displayName")) else role for role, words in _WORDS.items()
}
"""What people read for a role: its display name, and its name in the API if that is another."""

MEANINGS = {role: words.get("meaning", "") for role, words in _WORDS.items()}
"""What a role means, where the catalogue says it: the end of a sentence "You can …"."""

LIFE_DAYS: dict[str, int] = {it["name"]: it["maxLifeDays"] for it in ENTRIES if it.get("maxLifeDays")}
NEEDS_NETWORKS = {it["name"] for it in ENTRIES if it.get("requiresNetworks")}
