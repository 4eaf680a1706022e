"""Checks a catalogue before anything is deployed, and names every error in it (docs/catalogue.md).

``python -m chalicelib.authorizer.catalogue_check FILE...`` checks files.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chalicelib.authorizer.route_rules import rule_errors, rules_of, size_errors, unique_names
from chalicelib.rules.catalogue import (
    MANAGEMENT,
    MAX_KEY_TYPES,
    USER_MANAGEMENT,
    Catalogue,
    KeyTypeEntry,
    Opening,
    Roles,
    RoleWords,
    parse,
)
from chalicelib.rules.names import display_name_error
from chalicelib.rules.roles import Role

MAX_NAME = 32
"""The longest name of a key type, in characters."""

MAX_LIFE_DAYS = 3650
"""The longest life that a key type may set, in days."""

RESERVED = frozenset({"rotate"})
"""Names no key type may have: the path ``…/api-keys/rotate`` would hide ``…/api-keys/{keyType}``."""

MAX_WORDS = {"displayName": 40, "description": 200, "meaning": 80}
"""The longest text of each kind, in characters."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*")
_FIXED = {"leastRole": MANAGEMENT.least_role, "maxLifeDays": None, "requiresNetworks": False}
_WANTED = {
    "leastRole": "one of " + ", ".join(Role),
    "byDefault": "true or false",
    "requiresNetworks": "true or false",
    "maxLifeDays": f"a whole number of days from 1 to {MAX_LIFE_DAYS}, or null for no limit",
    "opens": "a list of objects with path, methods and, if wanted, leastRole",
}


class InvalidCatalogue(ValueError):
    """A catalogue is invalid. ``errors`` lists every error in it."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("The catalogue is invalid. " + " ".join(errors))
        self.errors = errors


class Checked(NamedTuple):
    """A valid catalogue, and its text as it is deployed: without spaces."""

    catalogue: Catalogue
    text: str


def check(text: str) -> Checked:
    """Return a catalogue from its JSON. Raises InvalidCatalogue with every error in it."""
    try:
        given = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidCatalogue([f"Not JSON: {error}."]) from None
    if errors := list(_errors(given)):
        raise InvalidCatalogue(errors)
    compact = json.dumps(given, separators=(",", ":"), ensure_ascii=False)
    catalogue = parse(compact)
    if errors := list(size_errors(rules_of(catalogue))):
        raise InvalidCatalogue(errors)
    return Checked(catalogue, compact)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique_names(pairs)
    return dict(pairs)


def _errors(given: Any) -> Iterator[str]:
    if not isinstance(given, dict):
        yield "Give an object with keyTypes and, if wanted, roles."
        return
    yield from _unknown_fields(given, Catalogue, "The catalogue")
    listed = given.get("keyTypes")
    if not isinstance(listed, list) or not listed:
        yield "keyTypes: give a list of at least one key type."
    else:
        yield from _key_types_errors(listed)
    yield from _roles_errors(given.get("roles", {}))


def _key_types_errors(listed: list[Any]) -> Iterator[str]:
    names = {it["name"] for it in listed if isinstance(it, dict) and isinstance(it.get("name"), str)}
    if len(listed) + (USER_MANAGEMENT not in names) > MAX_KEY_TYPES:
        yield f"keyTypes: there are at most {MAX_KEY_TYPES}, USER_MANAGEMENT included."
    seen: dict[str, set[str]] = {"name": set(), "displayName": set()}
    if USER_MANAGEMENT not in names:  # it is in every catalogue
        seen = {"name": {_folded(MANAGEMENT.name)}, "displayName": {_folded(MANAGEMENT.display_name)}}
    for index, entry in enumerate(listed):
        place = f"Key type {index + 1}"
        if not isinstance(entry, dict):
            yield f"{place} is no object with {', '.join(KeyTypeEntry.__struct_encode_fields__)}."
            continue
        yield from (f"{place}{error}" for error in _key_type_errors(entry))
        for field, others in seen.items():
            value = entry.get(field)
            if isinstance(value, str):
                folded = _folded(value)
                if folded in others:
                    yield f"{place}, {field}: '{value}' is the {field} of an earlier one, or too like it."
                others.add(folded)
    if not any(isinstance(entry, dict) and _is_for_everybody(entry) for entry in listed):
        yield (
            "keyTypes: a READ_ONLY needs a key to sign in with. Have at least one type that READ_ONLY may "
            "hold, that is made by default and that requires no networks."
        )


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def _is_for_everybody(entry: dict[str, Any]) -> bool:
    """Return whether everybody gets a key of this type when they activate."""
    return (
        entry.get("name") != USER_MANAGEMENT
        and entry.get("leastRole", Role.READ_ONLY.value) == Role.READ_ONLY.value
        and entry.get("byDefault", True) is True
        and not entry.get("requiresNetworks")
    )


def _key_type_errors(entry: dict[str, Any]) -> Iterator[str]:
    yield from _unknown_fields(entry, KeyTypeEntry, "")
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        yield (
            f", name: give up to {MAX_NAME} letters and digits, the first a letter, with single hyphens or "
            "underscores between them."
        )
    elif name.casefold() in RESERVED:
        yield f", name: '{name}' is reserved, because it is part of a path of this API. Choose another."
    for field in ("displayName", "description"):
        yield from _word_errors(entry, field)
    for field, wanted in _WANTED.items():
        if field in entry and not _fits(field, entry[field]):
            yield f", {field}: give {wanted}."
        elif name == USER_MANAGEMENT and field in _FIXED and entry.get(field, _FIXED[field]) != _FIXED[field]:
            yield f", {field}: that of USER_MANAGEMENT is fixed. Leave it out."
    openings = entry.get("opens")
    for place, opening in enumerate(openings if isinstance(openings, list) else ()):
        yield from (f", opens {place + 1}{error}" for error in _opening_errors(opening))


def _fits(field: str, value: Any) -> bool:
    match field:
        case "leastRole":
            return isinstance(value, str) and value in set(Role)
        case "maxLifeDays":
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return value is None or (is_number and 1 <= value <= MAX_LIFE_DAYS)
        case "opens":
            return isinstance(value, list)
    return isinstance(value, bool)


def _opening_errors(opening: Any) -> Iterator[str]:
    if not isinstance(opening, dict):
        yield f" is no object with {', '.join(Opening.__struct_encode_fields__)}."
        return
    names = (USER_MANAGEMENT,)
    if "keyTypes" in opening:
        yield " has a field 'keyTypes': it is for the type that it stands in."
    yield from rule_errors({"leastRole": "READ_ONLY", **opening, "keyTypes": list(names)}, names)


def _roles_errors(given: Any) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"roles: give an object with {', '.join(Role)}, or leave it out."
        return
    yield from _unknown_fields(given, Roles, "roles")
    for name in Role:
        words = given.get(name.value, {})
        if not isinstance(words, dict):
            yield f"roles, {name.value}: give an object with displayName and meaning."
            continue
        yield from _unknown_fields(words, RoleWords, f"roles, {name.value}")
        for field in ("displayName", "meaning"):
            yield from (f"roles, {name.value}{error}" for error in _word_errors(words, field))
    shown = [_shown_name(name, given.get(name.value)) for name in Role]
    if len(shown) != len(set(shown)):
        yield "roles: two have the same displayName, or one has another's name."


def _shown_name(role: Role, words: Any) -> str:
    name = words.get("displayName", role.value) if isinstance(words, dict) else role.value
    return str(name).casefold()


def _word_errors(given: dict[str, Any], field: str) -> Iterator[str]:
    if field not in given:
        return
    text, most = given[field], MAX_WORDS[field]
    if not isinstance(text, str) or not text.strip() or len(text) > most:
        yield f", {field}: give a text of 1 to {most} characters, or leave it out."
    elif text != text.strip():
        yield f", {field}: begin and end it without spaces."
    elif error := display_name_error(text, "It"):
        yield f", {field}: {error}"


def _unknown_fields(given: dict[str, Any], kind: Any, what: str) -> Iterator[str]:
    known: tuple[str, ...] = kind.__struct_encode_fields__
    for name in sorted(given.keys() - set(known)):
        yield f"{what} has a field '{name[:60]}' that there is not; there are {', '.join(known)}."


def main(files: list[str]) -> int:
    """Check the catalogues in files, and print the errors. Return the exit status."""
    errors: list[str] = []
    for file in files:
        try:
            check(Path(file).read_text(encoding="utf-8"))
        except InvalidCatalogue as invalid:
            errors += [f"{file}: {error}" for error in invalid.errors]
        except (OSError, UnicodeDecodeError) as error:
            errors.append(f"{file} cannot be read: {error}")
    for line in errors:
        sys.stderr.write(line + "\n")
    return 1 if errors else 0


if __name__ == "__main__":  # pragma: no cover - the tests run it as a process of its own
    sys.exit(main(sys.argv[1:]))
