"""``python -m deploy.advisories``: look for known vulnerabilities in all that is locked, asking no service.

The advisories are those of the package safety-db, the one database for Python that is itself on PyPI. It
ended in 2021, so it finds what was known then, and the output says how old it is. ``make audit`` asks for
what is known today.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from deploy.locks import PROJECT, SOURCES, lock_of

DAY = 86_400


class Hit(NamedTuple):
    """A locked version of which an advisory tells."""

    lock: str
    name: str
    version: str
    advisory: str


def locked(lock: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and version of each package of a lock. Raises ValueError for what is not pinned."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.split("--hash")[0].strip().rstrip("\\").strip()
        if not text or text.startswith("#"):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise ValueError(f"{lock.name}: {text}") from error
        (pin,) = requirement.specifier
        yield canonicalize_name(requirement.name), pin.version


def hits(locks: Mapping[str, Path], database: Mapping[str, Any]) -> list[Hit]:
    """Return every locked version of which an advisory of the database tells."""
    advisories: dict[str, Any] = {
        canonicalize_name(name): found for name, found in database.items() if name != "$meta"
    }
    return [
        Hit(name, package, version, f"{it['cve'] or it['id']}: {it['advisory'].splitlines()[0]}")
        for name, lock in locks.items()
        for package, version in locked(lock)
        for it in advisories.get(package, ())
        if any(_contains(specifier, version) for specifier in it["specs"])
    ]


def installed_database() -> Mapping[str, Any]:
    """Return the installed database, by its file: the package itself cannot be imported."""
    spec = find_spec("safety_db")
    if spec is None or spec.origin is None:
        raise LookupError("safety-db is not installed: run this by make advisories.")
    file = Path(spec.origin).with_name("insecure_full.json")
    database: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return database


def age_in_days(database: Mapping[str, Any], now: float) -> int:
    """Return how old a database is."""
    return int((now - database["$meta"]["timestamp"]) // DAY)


def main() -> int:
    """Print how old the database is and every hit; return 1 if there is one."""
    database = installed_database()
    found = hits({lock_of(source): PROJECT / lock_of(source) for source in SOURCES}, database)
    of = time.strftime("%Y-%m-%d", time.gmtime(database["$meta"]["timestamp"]))
    age = age_in_days(database, time.time())
    print(f"Advisories of {len(database) - 1} packages, as of {of}: {age} days old.")
    for hit in found:
        print(f"{hit.lock}: {hit.name}=={hit.version}: {hit.advisory}", file=sys.stderr)
    print(f"{len(found)} found.")
    return 1 if found else 0


def _contains(specifier: str, version: str) -> bool:
    """Return whether a version is in a range; an advisory that cannot be read counts, to be looked at."""
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


if __name__ == "__main__":
    sys.exit(main())
