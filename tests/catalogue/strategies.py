"""Catalogues for Hypothesis: valid ones with every field, and faults that make one invalid."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from hypothesis import strategies as st

Entry = dict[str, Any]

ROLES = ["READ_ONLY", "CLUSTER_ADMIN", "OWNER"]
_TAKEN = {"rotate", "user_management", "user management", "everybody"}

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}([_-][A-Za-z0-9]{1,8}){0,2}", fullmatch=True)
_TEXTS = st.text("AEaeÉß字 <>&'\"{}%().-/:_1", min_size=1, max_size=40).filter(lambda it: it == it.strip())
_PATHS = st.from_regex(r"/[a-z]{1,8}(/[a-z0-9._~-]{1,5})?(/\*)?", fullmatch=True).filter(
    lambda it: ".." not in it
)
_METHODS = st.sampled_from(["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
OPENINGS = st.fixed_dictionaries(
    {"path": _PATHS, "methods": st.lists(_METHODS, min_size=1, max_size=3)},
    optional={"leastRole": st.sampled_from(ROLES)},
)
_WORDS: Any = {"displayName": _TEXTS, "description": _TEXTS}
_RESTRICTIONS: Any = {
    "leastRole": st.sampled_from(ROLES),
    "maxLifeDays": st.one_of(st.none(), st.integers(1, 3650)),
    "requiresNetworks": st.booleans(),
}
_OPENS: Any = {"byDefault": st.booleans(), "opens": st.lists(OPENINGS, max_size=3)}


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def _apart(entries: Iterable[Any]) -> list[Entry]:
    """Return entries of which no two have names or display names that are too like each other."""
    seen: set[str] = set(_TAKEN)
    kept = []
    for entry in entries:
        names = {_folded(entry["name"]), _folded(entry.get("displayName", entry["name"]))}
        if not names & seen:
            seen |= names
            kept.append(entry)
    return kept


_ENTRIES = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={**_WORDS, **_RESTRICTIONS, **_OPENS}), max_size=28
)
_MANAGEMENT = st.fixed_dictionaries({"name": st.just("USER_MANAGEMENT")}, optional=_OPENS)
_ROLE_WORDS = st.fixed_dictionaries(
    {role: st.fixed_dictionaries({}, optional={"meaning": _TEXTS}) for role in ROLES}
)


@st.composite
def catalogues(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid catalogue of 1 to 30 types; ``everybody`` is the type that each has to have."""
    listed = _apart(draw(_ENTRIES))
    listed.insert(draw(st.integers(0, len(listed))), {"name": "everybody"})
    if draw(st.booleans()):
        listed.insert(draw(st.integers(0, len(listed))), draw(_MANAGEMENT))
    given: dict[str, Any] = {"keyTypes": listed}
    if draw(st.booleans()):
        given["roles"] = draw(_ROLE_WORDS)
        names = draw(st.permutations(["Clerk", "Boss & <co>", "Old Hand"]))
        for role, name in zip(ROLES, names, strict=True):
            given["roles"][role]["displayName"] = name
    return given


class Fault(NamedTuple):
    """An entry that makes a catalogue invalid, or a field of the whole, and what the error says of it."""

    said: str
    entry: Any = None
    field: tuple[str, Any] | None = None


FAULTS = (
    Fault("name: give up to 32", {"name": "9th"}),
    Fault("name: give up to 32", {"displayName": "No name"}),
    Fault("name: 'Rotate' is reserved", {"name": "Rotate"}),
    Fault("name: 'Everybody' is the name of an earlier one", {"name": "Everybody"}),
    Fault("displayName: give a text", {"name": "broken-1", "displayName": ""}),
    Fault("displayName: Character 2 is U+202E", {"name": "broken-2", "displayName": "a\u202eb"}),
    Fault("description: give a text", {"name": "broken-3", "description": "d" * 201}),
    Fault("leastRole: give one of", {"name": "broken-4", "leastRole": "BOSS"}),
    Fault("byDefault: give true or false", {"name": "broken-5", "byDefault": "yes"}),
    Fault("maxLifeDays: give a whole number", {"name": "broken-6", "maxLifeDays": 0}),
    Fault("requiresNetworks: give true or false", {"name": "broken-7", "requiresNetworks": 1}),
    Fault("opens: give a list", {"name": "broken-8", "opens": "/a"}),
    Fault("opens 1, path: 'a' is not", {"name": "broken-9", "opens": [{"path": "a", "methods": ["GET"]}]}),
    Fault("opens 1, methods: give a list", {"name": "broken-10", "opens": [{"path": "/a", "methods": []}]}),
    Fault("has a field 'opened'", {"name": "broken-11", "opened": []}),
    Fault("is no object with", "billing"),
    Fault("The catalogue has a field 'types'", field=("types", [])),
    Fault("roles has a field 'BOSS'", field=("roles", {"BOSS": {}})),
)
