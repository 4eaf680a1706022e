"""Validation of request bodies: from bytes to a typed body, or to every error of it at once."""

import codecs
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from chalicelib.http.problems import HttpError
from chalicelib.rules import networks
from chalicelib.rules.errors import FieldError, ValidationError, validation_error_of
from chalicelib.rules.key_format import contains_secret
from chalicelib.rules.names import display_name_error
from chalicelib.rules.roles import KeyType, Role

MAX_NESTING = 100
"""How deep arrays and objects of a body may be nested; none that is of use has more than three levels."""

_STRING = re.compile(r'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # also one without an end: linear
_BRACKET = re.compile(r"[\[{\]}]")

MAX_BODY_BYTES = 65_536
"""The largest body, in bytes."""

MAX_ACTIVATION_BYTES = 1024
"""The largest body of a call without sign-in, in bytes: a username and a token need far less."""

MAX_ERRORS = 50
"""The most field errors that a refusal lists."""

_ERROR_ROOM = 2500
_SHOWN = 60

# msgspec also takes a space for the T, and an offset without its colon; RFC 3339 (5.6) does not.
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_EXACT = 2**53  # Up to here a float represents every whole number exactly.
_LAST_MOMENT = 253_402_300_799  # 9999-12-31T23:59:59Z, the last time that RFC 3339 can write


class Cidr(str):
    """A network in canonical CIDR form."""

    __slots__ = ()


class Moment(int):
    """A time, as whole seconds since 1970; RFC 3339 in JSON."""


TEXTS = {
    **dict.fromkeys(("displayName", "accountName", "name"), "A display name"),
    "description": "A description",
}
"""Fields of bodies that hold a text for people, and what it is."""

_SHOWN_FIELDS = TEXTS.keys() | {"username", "email", "labels"}
_HAS_A_KEY = (
    "This has an API key or another secret in it, and would be shown, mailed and recorded. Leave it out, and "
    "revoke the key if it works."
)


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a request."""

    @classmethod
    def cross(
        cls,
        given: Mapping[str, Any],
        names: Collection[str],  # noqa: ARG003
        now: float,  # noqa: ARG003
    ) -> Iterator[FieldError]:
        """Return the errors between fields that are valid one by one.

        ``given`` has the valid fields by their JSON names; ``names`` are all that were sent. Those that every
        body has are here: version 1.0 published no pattern of display names, and no later one may.
        """
        for name in TEXTS.keys() & given.keys():
            if isinstance(given[name], str) and (error := display_name_error(given[name], TEXTS[name])):
                yield FieldError(_pointer(name), error)
        for name in sorted(_SHOWN_FIELDS & given.keys()):
            value = given[name]
            texts = (*value, *value.values()) if isinstance(value, dict) else (value,)
            if any(isinstance(text, str) and contains_secret(text) for text in texts):
                yield FieldError(_pointer(name), _HAS_A_KEY)

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        """Return the part of ``cross`` that JSON Schema can express, as schemas that must all hold."""
        return []


B = TypeVar("B", bound=Body)


def read(kind: type[B], raw: bytes, content_type: str | None, now: float, largest: int = MAX_BODY_BYTES) -> B:
    """Return a request's body as ``kind``.

    Raise HttpError where it has more than ``largest`` bytes or another media type, and ValidationError with
    its field errors.
    """
    return check(kind, read_json(raw, content_type, largest), now, len(raw))


def read_json(raw: bytes, content_type: str | None, largest: int = MAX_BODY_BYTES) -> Any:
    """Return the value of a request's body. Raise HttpError and ValidationError as :func:`read` does."""
    if content_type and content_type.partition(";")[0].strip().lower() != "application/json":
        raise HttpError(415, "The body must be JSON. Send it with 'Content-Type: application/json'.")
    if len(raw) > largest:
        raise HttpError(413, f"The body has {len(raw)} bytes; the limit is {largest}.")
    return parse(raw)


def read_list(kind: type[B], raw: bytes, content_type: str | None, now: float, most: int) -> tuple[B, ...]:
    """Return a request's body that is an array of ``kind``, of at most ``most`` entries.

    Raise HttpError and ValidationError as :func:`read` does; an error's pointer starts with the place.
    """
    value = read_json(raw, content_type, MAX_BODY_BYTES)
    if not isinstance(value, list):
        raise validation_error_of([FieldError("", "This must be a JSON array.")])
    if len(value) > most:
        raise validation_error_of([FieldError("", f"This may have at most {most} entries.")])
    entries: list[B] = []
    found: list[FieldError] = []
    for place, entry in enumerate(value):
        try:
            entries.append(check(kind, entry, now))
        except ValidationError as refused:
            found += [FieldError(f"/{place}{error.pointer}", error.detail) for error in refused.errors]
    if found:
        raise validation_error_of(_first(found, len(raw)))
    return tuple(entries)


def parse(raw: bytes) -> Any:
    """Parse JSON. Raise ValidationError if it is invalid, or where RFC 8259 leaves its meaning open."""
    if not raw.strip():
        raise ValidationError("The body is empty. Send a JSON object.")
    if raw.startswith(codecs.BOM_UTF8):
        raise ValidationError("The body begins with a byte order mark. Send UTF-8 without one.")
    try:
        text = raw.decode()
        if _depth(text) > MAX_NESTING:
            raise ValidationError("The body is nested too deeply.")
        value = json.loads(
            text,
            object_pairs_hook=_once_each,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_number,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ValidationError(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    except UnicodeEncodeError:
        raise ValidationError("The body has an unpaired surrogate, which is not a character.") from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at").rstrip(": ")
        raise ValidationError(
            f"The body is not JSON: {what} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError as error:
        raise ValidationError(f"The body is not valid JSON: {error}.") from None
    return value


def _depth(text: str) -> int:
    """Return how deep JSON text is nested; ``json`` itself has no limit from Python 3.14 on."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def check(kind: type[B], value: Any, now: float, size: int = 0) -> B:
    """Return a parsed body as ``kind``. Raise ValidationError with its field errors.

    At most MAX_ERRORS are listed, and fewer if they would be many times the ``size`` of the body in
    bytes; one more entry says how many are left out.
    """
    if not isinstance(value, dict):
        raise validation_error_of([FieldError("", "This must be a JSON object.")])
    fields = {field.encode_name: field for field in _fields(kind)}
    unknown = [name for name in value if name not in fields]
    found: list[FieldError] = []
    if kind.__struct_config__.forbid_unknown_fields:
        found = [FieldError(_pointer(name), _unknown(name, fields)) for name in unknown]
    given: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            found += _take(given, name, field.type, value[name])
        elif field.required:
            found.append(FieldError(_pointer(name), "This field is required."))
    found += kind.cross(given, value.keys(), now)
    if found:
        raise validation_error_of(_first(found, size))
    return kind(**{fields[name].name: it for name, it in given.items()})


def _first(found: list[FieldError], size: int) -> list[FieldError]:
    """Return the errors to list: a small request must not get a large response."""
    room = _ERROR_ROOM + 3 * size
    for count, error in enumerate(found):
        room -= len(msgspec.json.encode(error)) + 2
        if count == MAX_ERRORS or (count and room < 0):
            rest = len(found) - count
            more = "is 1 more error" if rest == 1 else f"are {rest} more errors"
            return [*found[:count], FieldError("", f"There {more}. Correct these first.")]
    return found


@cache
def _fields(kind: type[Body]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _take(given: dict[str, Any], name: str, kind: Any, value: Any) -> list[FieldError]:
    """Put a valid field into ``given``; return its errors, one for each invalid entry of an array."""
    most = _most_entries(kind)
    if most is not None and isinstance(value, list | dict) and len(value) > most:
        return [FieldError(_pointer(name), _singular(f"This must have at most {most} entries."))]
    try:
        given[name] = _convert(value, kind)
    except msgspec.ValidationError as error:
        entry = _entry_type(kind)
        found: list[FieldError] = []
        if entry is not None and isinstance(value, list):
            found = [error for place, it in enumerate(value) for error in _entry(name, place, entry, it)]
        if isinstance(value, dict) and (kinds := _kinds_of_object(kind)):
            for one, it in value.items():
                found += [*_entry(name, one, kinds[0], one), *_entry(name, one, kinds[1], it)]
        return found or [FieldError(_pointer(name), _say(str(error), kind))]
    return []


def _entry(name: str, place: int | str, kind: Any, value: Any) -> Iterator[FieldError]:
    try:
        _convert(value, kind)
    except msgspec.ValidationError as error:
        yield FieldError(_pointer(name) + _pointer(str(place)), _say(str(error), kind))


def _convert(value: Any, kind: Any) -> Any:
    """Return a value as a type. Raise ValidationError, also for a key type that is not in the catalogue."""
    converted = msgspec.convert(value, kind, dec_hook=_decode)
    for part in converted if isinstance(converted, tuple) else (converted,):
        if isinstance(part, KeyType) and not part.is_listed:
            raise msgspec.ValidationError("Invalid enum value")
    return converted


def _decode(kind: type, value: Any) -> Any:
    """Convert the types that JSON does not have. Raise ValueError with a message for the caller."""
    if not isinstance(value, str):
        raise ValueError("This must be a string.")  # noqa: TRY004 - msgspec turns ValueError into a refusal
    if kind is Cidr:
        return Cidr(networks.parse(value))
    return to_moment(value)


def to_moment(value: str) -> Moment:
    """Return a time written as in RFC 3339. Raise ValueError, in words for the caller."""
    try:
        moment = (
            msgspec.convert(value, Annotated[datetime, Meta(tz=True)]) if _MOMENT.fullmatch(value) else None
        )
    except msgspec.ValidationError:
        moment = None
    if moment is None:
        raise ValueError("This must be a time as in RFC 3339, such as 2030-01-31T00:00:00Z.")
    seconds = int(moment.timestamp())
    if not 0 <= seconds <= _LAST_MOMENT:
        raise ValueError("This must be a time from 1970 to 9999 (UTC).")
    return Moment(seconds)


_KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
}
_RULES: tuple[tuple[str, str], ...] = (
    (r"Expected `str` of length >= (\d+)", r"This must have at least \1 characters."),
    (r"Expected `str` of length <= (\d+)", r"This must have at most \1 characters."),
    (r"Expected `array` of length >= (\d+)", r"This must have at least \1 entries."),
    (r"Expected `array` of length <= (\d+)", r"This must have at most \1 entries."),
    (r"Expected `int` >= (-?\d+)", r"This must be at least \1."),
    (r"Expected `int` <= (-?\d+)", r"This must be at most \1."),
)


def _say(error: str, kind: Any) -> str:
    """Return msgspec's error message in words for the caller."""
    message = error.partition(" - at `")[0]
    if "matching regex" in message:
        return f"This must be: {_described(kind)}"
    if message.startswith("Invalid enum value"):
        return f"This must be one of {list_names(_enum(kind))}."
    for pattern, words in _RULES:
        if match := re.fullmatch(pattern, message):
            return _singular(match.expand(words))
    if match := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", message):
        wanted = " or ".join(_KINDS.get(name, name) for name in match[1].split(" | "))
        return f"This must be {wanted}, not {_KINDS.get(match[2], match[2])}."
    return message


def _singular(text: str) -> str:
    """Return a message with "1 characters" and "1 entries" in the singular."""
    return re.sub(r"\b1 characters", "1 character", re.sub(r"\b1 entries", "1 entry", text))


def _parts(kind: Any) -> Iterator[Any]:
    """Return a type and its parts: the members of a union, and the type that is annotated."""
    yield kind
    if get_origin(kind) in (Union, UnionType, Annotated):
        for part in get_args(kind):
            yield from _parts(part)


def _entry_type(kind: Any) -> Any:
    return next((get_args(part)[0] for part in _parts(kind) if get_origin(part) is tuple), None)


def _kinds_of_object(kind: Any) -> Any:
    """Return the types of an object's names and of their values; None for a type that is no object."""
    return next((get_args(part) for part in _parts(kind) if get_origin(part) is dict), None)


def _most_entries(kind: Any) -> int | None:
    """Return the most entries that an array or object of this type may have; None without a limit."""
    for part in _parts(kind):
        if get_origin(part) is Annotated and get_origin(get_args(part)[0]) in (tuple, dict):
            return next((it.max_length for it in get_args(part)[1:] if isinstance(it, Meta)), None)
    return None


def _described(kind: Any) -> str:
    return next(part.description for part in _parts(kind) if isinstance(part, Meta) and part.description)


def _enum(kind: Any) -> tuple[Role | KeyType, ...]:
    return next(tuple(part) for part in _parts(kind) if part in (Role, KeyType))


def list_names(members: Iterable[Role | KeyType]) -> str:
    """Return the names of roles or key types as an error lists them."""
    return ", ".join(member.value for member in members)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _unknown(name: str, fields: Iterable[str]) -> str:
    known = ", ".join(fields)
    return f"Unknown field {_shown(name)}. {f'Use {known}' if known else 'This call takes no fields'}."


def _shown(name: str) -> str:
    """Return a field's name as the caller sent it, in quotes and cut to a readable length."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raise ValueError for a name given twice; takes linear time."""
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {_shown(twice)} is given twice in one object")
    return value


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ValueError(f"a number has {len(digits)} digits, which is too many") from None


def _number(digits: str) -> int | float:
    """Return a number with a fraction or an exponent; 60.0 is a whole number to JSON Schema as 60 is."""
    value = float(digits)
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
