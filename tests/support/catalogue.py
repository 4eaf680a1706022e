"""The key types of the stack that is tested, read without the product: the default ones, or those of a file.

The file is that of a package, beside ``chalicelib/rules/catalogue.py``; ``tests.catalogue.renamed`` puts one
there. In the repository there is none.
"""

import json
from pathlib import Path
from typing import Any

ROLES = ["READ_ONLY", "CLUSTER_ADMIN", "OWNER"]
FILE = Path(__file__).resolve().parent.parent.parent / "chalicelib" / "rules" / "catalogue.json"
SECOND = Path(__file__).with_name("second_catalogue.json")
"""A catalogue of eleven types, none of them a default one but USER_MANAGEMENT."""

_DEFAULT = {
    "keyTypes": [
        {"name": "MONITORING", "displayName": "Monitoring"},
        {"name": "PROVISIONING_READONLY", "displayName": "Read Only Provisioning"},
        {"name": "PROVISIONING", "displayName": "Provisioning", "leastRole": "CLUSTER_ADMIN"},
        {"name": "USER_MANAGEMENT", "displayName": "User Management"},
    ]
}


def _entries() -> list[dict[str, Any]]:
    given = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else _DEFAULT
    others = [it for it in given["keyTypes"] if it["name"] != "USER_MANAGEMENT"]
    [management] = [it for it in given["keyTypes"] if it["name"] == "USER_MANAGEMENT"] or [{}]
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

LIFE_DAYS: dict[str, int] = {it["name"]: it["maxLifeDays"] for it in ENTRIES if it.get("maxLifeDays")}
NEEDS_NETWORKS = {it["name"] for it in ENTRIES if it.get("requiresNetworks")}
