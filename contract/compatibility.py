"""Finds the changes of an OpenAPI document that break clients (docs/versioning.md says which do).

The API must still accept what a client sends, and the client must still understand the response. A change
that is not known to be harmless is reported.
"""

from collections.abc import Iterator
from typing import Any

Json = Any

_WORDS = {"description", "summary", "title", "examples", "example", "tags", "deprecated", "links"}
"""Keywords that only people and exploring tools read. They may change."""

ONLY_IF_ACCEPTED = "x-only-if-accepted"
"""Marks a media type that only clients get that name it in ``Accept``."""

_LOWEST = {"minimum", "minLength", "minItems", "exclusiveMinimum"}
_HIGHEST = {"maximum", "maxLength", "maxItems", "exclusiveMaximum"}


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Return the breaking changes from ``old`` to ``new``, one line each."""
    return list(_Comparison(old, new).all())


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str, bool]] = set()

    def all(self) -> Iterator[str]:
        for path, methods in self._old["paths"].items():
            for method, was in methods.items():
                where = f"{method.upper()} {path}"
                now = self._new["paths"].get(path, {}).get(method)
                if now is None:
                    yield f"{where}: is removed"
                else:
                    yield from self._operation(where, was, now)
        schemes = self._new["components"]["securitySchemes"]
        for name, scheme in self._old["components"]["securitySchemes"].items():
            if _plain(schemes.get(name)) != _plain(scheme):
                yield f"the security scheme {name}: has changed"

    def _operation(self, where: str, was: Json, now: Json) -> Iterator[str]:
        if was["operationId"] != now["operationId"]:
            yield f"{where}: operationId has changed, and generated clients use it"
        if was.get("tags") != now.get("tags"):
            yield f"{where}: its tag has changed, and generated clients name modules after it"
        before = was.get("security", self._old["security"])
        after = now.get("security", self._new["security"])
        # A new way to sign in next to the others breaks nobody.
        if any(way not in after for way in before) or bool(before) != bool(after):
            yield f"{where}: the sign-in has changed"
        yield from self._parameters(where, was, now)
        yield from self._request(where, was.get("requestBody"), now.get("requestBody"))
        yield from self._responses(where, was["responses"], now["responses"])

    def _parameters(self, where: str, was: Json, now: Json) -> Iterator[str]:
        before = {(it["in"], it["name"]): it for it in self._each(self._old, was.get("parameters", ()))}
        after = {(it["in"], it["name"]): it for it in self._each(self._new, now.get("parameters", ()))}
        for key, parameter in before.items():
            place = f"{where}: the {key[0]} parameter {key[1]}"
            if key not in after:
                yield f"{place}: is removed, and now refused"
                continue
            if after[key].get("required") and not parameter.get("required"):
                yield f"{place}: is required now"
            yield from self._schema(place, parameter["schema"], after[key]["schema"], sent=True)
        for key, parameter in after.items():
            if key not in before and parameter.get("required"):
                yield f"{where}: the {key[0]} parameter {key[1]}: is new, and required"

    def _request(self, where: str, was: Json, now: Json) -> Iterator[str]:
        if was is None:
            if now is not None and now.get("required"):
                yield f"{where}: takes a body now, and requires it"
            return
        if now is None:
            yield f"{where}: no longer takes a body"
            return
        if now.get("required") and not was.get("required"):
            yield f"{where}: requires the body now"
        yield from self._content(f"{where}: the body", was["content"], now["content"], sent=True)

    def _responses(self, where: str, was: Json, now: Json) -> Iterator[str]:
        for status in was.keys() | now.keys():
            place = f"{where}: {status}"
            if status not in was:
                if status < "400":
                    yield f"{place}: is a new success"
                continue
            if status not in now:
                if status < "400":
                    yield f"{place}: is no longer a response"
                continue
            before = self._resolved(self._old, was[status])
            after = self._resolved(self._new, now[status])
            for name, header in before.get("headers", {}).items():
                there = self._resolved(self._new, after.get("headers", {}).get(name, {}))
                if self._resolved(self._old, header).get("required") and not there.get("required"):
                    yield f"{place}: the header {name} may be absent now"
            yield from self._content(place, before.get("content", {}), after.get("content", {}), sent=False)

    def _content(self, where: str, was: Json, now: Json, *, sent: bool) -> Iterator[str]:
        for media_type, content in was.items():
            if media_type not in now:
                yield f"{where}: {media_type} is removed"
            else:
                yield from self._schema(where, content["schema"], now[media_type]["schema"], sent=sent)
        added = [content for media_type, content in now.items() if media_type not in was]
        if not sent and not all(content.get(ONLY_IF_ACCEPTED) for content in added):
            yield f"{where}: has a new media type"

    def _schema(self, where: str, was: Json, now: Json, *, sent: bool) -> Iterator[str]:
        """Compare schemas. What clients send (``sent``) must not narrow; what they receive must not widen."""
        names = (was.get("$ref", ""), now.get("$ref", ""), sent)
        if any(names[:2]):
            if names in self._seen:
                return
            self._seen.add(names)
        was, now = self._resolved(self._old, was), self._resolved(self._new, now)
        yield from self._types(where, was, now, sent=sent)
        yield from self._fields(where, was, now, sent=sent)
        if "items" in was and "items" in now:
            yield from self._schema(f"{where}/*", was["items"], now["items"], sent=sent)
        known = _WORDS | {"type", "enum", "properties", "required", "items", "additionalProperties"}
        for keyword in sorted((was.keys() | now.keys()) - known):
            before, after = was.get(keyword), now.get(keyword)
            if before == after:
                continue
            if keyword == "anyOf" and before and after and len(before) == len(after):
                for place, (one, other) in enumerate(zip(before, after, strict=True)):
                    yield from self._schema(f"{where} (arm {place})", one, other, sent=sent)
            elif keyword in _LOWEST | _HIGHEST | {"uniqueItems", "pattern", "format"} and _looser(
                keyword, before, after
            ):
                if not sent and keyword == "format":
                    yield f"{where}: {keyword} was {before}, is {after}"
            elif sent or keyword not in _LOWEST | _HIGHEST:
                yield f"{where}: {keyword} was {before}, is {after}"

    def _types(self, where: str, was: Json, now: Json, *, sent: bool) -> Iterator[str]:
        for keyword in ("type", "enum"):
            before, after = _set(was.get(keyword)), _set(now.get(keyword))
            if before == after:
                continue
            lost = after is not None and (before is None or before - after)
            gained = before is not None and (after is None or after - before)
            if (sent and lost) or (not sent and gained):
                yield f"{where}: {keyword} was {was.get(keyword)}, is {now.get(keyword)}"

    def _fields(self, where: str, was: Json, now: Json, *, sent: bool) -> Iterator[str]:
        before, after = was.get("properties", {}), now.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{where}/{name}: is removed"
            else:
                yield from self._schema(f"{where}/{name}", before[name], after[name], sent=sent)
        must_before, must_after = set(was.get("required", ())), set(now.get("required", ()))
        for name in sorted(must_after - must_before if sent else must_before - must_after):
            if sent or name in after:
                yield f"{where}/{name}: {'is required now' if sent else 'may be absent now'}"

    def _each(self, document: Json, parameters: Json) -> Iterator[Json]:
        return (self._resolved(document, it) for it in parameters)

    def _resolved(self, document: Json, it: Json) -> Json:
        """Return the target of a reference, with the keywords beside the reference."""
        if "$ref" not in it:
            return it
        found = document
        for part in it["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return {**found, **{name: value for name, value in it.items() if name != "$ref"}}


def _looser(keyword: str, before: Json, after: Json) -> bool:
    if after is None:
        return True
    if before is None:
        return False
    if keyword in _LOWEST:
        return bool(after < before)
    return keyword in _HIGHEST and bool(after > before)


def _set(value: Json) -> set[str] | None:
    if value is None:
        return None
    return set(value) if isinstance(value, list) else {value}


def _plain(scheme: Json) -> Json:
    return {name: value for name, value in (scheme or {}).items() if name not in _WORDS}
