"""Writes the OpenAPI document from the routes, the types of bodies and responses, and ``operations``.

    python -m contract > docs/openapi.json

The document is committed and served as a file: nothing that serves a request imports this package.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from chalicelib.http import bodies, call, problems, responses, selections, system, validation
from chalicelib.http.system import SERVER
from chalicelib.rules import roles
from chalicelib.rules.catalogue import CATALOGUE, DEFAULT
from chalicelib.rules.names import LABEL_NAME, LABEL_VALUE, USERNAME
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.service_users import MAX_LABELS
from chalicelib.version import VERSION
from contract import examples
from contract.compatibility import ONLY_IF_ACCEPTED
from contract.operations import OPERATIONS, PARTS_OF_THE_PAGE, Operation, Query, Tag

Json = dict[str, Any]

_ABOUT = """\
**Sign in** by HTTP Basic with a username and one of its API keys, or with the key alone as a Bearer token.
Calls that manage anything need a `USER_MANAGEMENT` key; self-rotation and whoami take a key of any type. The
secret of a key is shown once, in the response that issues it; later the key is masked to its last five
characters.

**Bodies** are JSON objects in UTF-8. An unknown field, an unknown or repeated query parameter, or a wrong
type is refused, never ignored.

**Lists** have up to 100 members a page; a `Link` header with `rel="next"` has the next page, if
there is one, and `Next-Cursor` its cursor alone.

**HEAD** is served wherever GET is: the same status and headers, without the body and its length.

**Errors** are problem details (RFC 9457). Besides those listed with each call, a method that a path does
not have is 405 with `Allow`. Whatever belongs to another account is 404. The gateway in front of the API
responds with 429 to calls that come too fast, and with 502 or 504 where the API did not respond.

**Large responses**, such as long lists, are compressed for clients that accept gzip; none with a secret is.

**Every response** has `X-Content-Type-Options: nosniff`, `Referrer-Policy: same-origin` and, by HTTPS,
`Strict-Transport-Security`. A browser that calls for a page of another site is refused (403).

**Clients** must ignore unknown fields, and accept unknown values where a description says "open set";
everything else stays as it is under `/v1`.
"""

_HEADERS: dict[str, Json] = {
    "ETag": {
        "description": "The version of the response, for `If-Match`.",
        "schema": {"type": "string"},
        "example": examples.TAG,
    },
    "Location": {
        "description": "The URL of what was created.",
        "schema": {"type": "string", "format": "uri"},
    },
    "Link": {
        "description": "The next page, if there is one (RFC 8288).",
        "schema": {"type": "string", "pattern": '^<[^>]+>; rel="next"$'},
    },
    "Next-Cursor": {
        "description": "The `cursor` of the next page, if there is one: the same as in `Link`.",
        "schema": {"type": "string"},
    },
    "Cache-Control": {
        "description": "Whether the response may be cached; never if it can contain a secret.",
        "schema": {"type": "string"},
        "example": "no-store",
    },
    "WWW-Authenticate": {
        "description": (
            "How to sign in (RFC 7617). API Gateway's REST APIs send it under the name "
            "`x-amzn-Remapped-WWW-Authenticate`."
        ),
        "schema": {"type": "string", "const": problems.CHALLENGE},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Content-Type-Options": {
        "description": "Forbids clients to guess another media type.",
        "schema": {"type": "string", "const": "nosniff"},
    },
    "Vary": {
        "description": "A large response is compressed for whoever accepts that.",
        "schema": {"type": "string", "const": "Accept-Encoding"},
    },
    "Content-Security-Policy": {
        "description": "The page loads nothing from another host.",
        "schema": {"type": "string"},
    },
    "Cross-Origin-Opener-Policy": {
        "description": "A page of another site that opens this one keeps no hold of its window.",
        "schema": {"type": "string", "const": "same-origin"},
    },
}
_OPTIONAL_HEADERS = frozenset({"Link", "Next-Cursor", "WWW-Authenticate"})
_REFUSAL_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

_WHEN = {
    400: "The request is invalid. If the body is, `errors` lists every error in it.",
    401: "The key is missing, wrong, revoked or expired.",
    403: "The caller may not do this, not with this key, or not from this address.",
    404: "It does not exist in the caller's account.",
    409: (
        "The request contradicts the current state, the account has reached a quota, or a concurrent call "
        "changed it."
    ),
    412: "It is no longer the version that `If-Match` names.",
    413: (
        f"The body has more than {validation.MAX_BODY_BYTES} bytes "
        f"({validation.MAX_ACTIVATION_BYTES} for an activation, which needs no sign-in). "
        'Above 10 MB API Gateway itself responds, with `{"message": …}` instead of a problem.'
    ),
    415: "The body's media type is not `application/json`.",
    429: (
        "A budget is used up: a principal's or the account's budget of changes, that of invitations, of "
        "searches for keys, or of reports from an address. `Retry-After` says how long to wait. Revoking, "
        "deleting and tightening restrictions have no budget. Any call that comes too fast is refused so by "
        "the gateway in front of the API."
    ),
    500: "An internal error, which was logged.",
    502: (
        "The API did not respond as it should. A change may have been made: read before you try again. From "
        "the gateway in front of the API."
    ),
    504: (
        "The API did not respond within 29 seconds. A change may have been made: read before you try again. "
        "From the gateway in front of the API."
    ),
    503: "The database did not respond in time. `detail` says whether a change may have been made.",
}


def document(routes: Mapping[str, Mapping[str, Any]]) -> Json:
    """Return the OpenAPI document of an application's routes (Chalice's, by path and method).

    Raises KeyError for a view that ``operations`` does not have.
    """
    schemas = _Schemas()
    paths: dict[str, Json] = {}
    statuses: set[int] = set()
    for path, method, view in _calls(routes):
        operation = OPERATIONS[view.__name__]
        statuses |= {*operation.statuses, *examples.OF_THE_GATEWAY}
        paths.setdefault(path, {})[method.lower()] = _operation(operation, path, view, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Service Users",
            "version": VERSION,
            "summary": (
                "API-only identities for machines, with typed, rotatable, network-restricted API keys that "
                "people administer."
            ),
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": SERVER, "description": "The address of your stack"}],
        "security": [{"basic": []}, {"bearer": []}],
        "tags": [{"name": tag.value[0], "description": tag.value[1]} for tag in Tag],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "responses": {_name(status): _refusal(status) for status in sorted(statuses)},
            "headers": {
                name: {**header, "required": name not in _OPTIONAL_HEADERS}
                for name, header in _HEADERS.items()
            },
            "parameters": {_pascal(query.name): _query(query) for query in Query},
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "A username, with one of its API keys as the password.",
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "suk_ and 49 letters and digits",
                    "description": "An API key alone. It costs the service one read more than HTTP Basic.",
                },
            },
        },
    }


def is_console(path: str) -> bool:
    """Return whether a route is one of the console's pages, or the one that leads there."""
    return path == "/" or path.startswith("/console")


def _calls(routes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """Yield the path, method and view of every call, in the order of the application.

    Not the console's pages: they are for people and promise nothing to programs.
    """
    for path, methods in routes.items():
        if is_console(path):
            continue
        for method, entry in methods.items():
            if entry.view_name not in {"other_methods", *PARTS_OF_THE_PAGE}:
                yield path, method, entry.view_function


def _operation(operation: Operation, path: str, view: Any, schemas: "_Schemas") -> Json:
    success: Json = {"description": operation.success, "headers": _headers(operation)}
    if operation.response is not None:
        shown = {
            _slug(it.title): {"summary": it.title, "value": msgspec.to_builtins(it.response)}
            for it in operation.examples
        }
        success["content"] = {
            operation.media_type: {
                "schema": schemas.of(operation.response),
                **({"examples": shown} if shown else {}),
            },
            **{
                media_type: {
                    "schema": {"type": "string", "description": description},
                    ONLY_IF_ACCEPTED: True,
                }
                for media_type, description in operation.other_media_types.items()
            },
        }
    if operation.leads_to:
        success["links"] = {
            _camel(name): {
                "operationId": _camel(name),
                "parameters": {"username": "$response.body#/username"},
            }
            for name in operation.leads_to
        }
    operation_object: Json = {
        "operationId": _camel(view.__name__),
        "summary": (inspect.getdoc(view) or "").removesuffix("."),
        "description": " ".join(filter(None, [operation.permission, operation.notes])) or operation.success,
        "tags": [operation.tag.value[0]],
    }
    if not operation.signs_in:
        operation_object["security"] = []
    if parameters := list(_parameters(operation, path)):
        operation_object["parameters"] = parameters
    if operation.body is not None:
        operation_object["requestBody"] = _request_body(operation, schemas)
    operation_object["responses"] = {
        str(operation.status): success,
        **{
            str(it): {"$ref": f"#/components/responses/{_name(it)}"}
            for it in sorted({*operation.statuses, *examples.OF_THE_GATEWAY})
        },
    }
    return operation_object


def _headers(operation: Operation) -> Json:
    names = [*(header.value for header in operation.headers), "Cache-Control"]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _parameters(operation: Operation, path: str) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", path):
        if name == "keyType":
            shown = next(it.key_type for it in operation.examples if it.key_type)
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": "The type of the key.",
                "schema": _opened({"$ref": "#/components/schemas/KeyType"})
                if CATALOGUE is not DEFAULT
                else {"$ref": "#/components/schemas/KeyType"},
                "example": shown.value,
            }
            continue
        first = next((it.username for it in operation.examples if it.username), None)
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": "Case-insensitive.",
            "schema": _USERNAME_SCHEMA,
            "example": first,
        }
    for query in operation.query:
        yield {"$ref": f"#/components/parameters/{_pascal(query.name)}"}
    if operation.if_match:
        yield {
            "name": "If-Match",
            "in": "header",
            "description": "Refuse with 412 unless this is the current version (its `ETag`), or `*`.",
            "schema": {"type": "string", "pattern": _IF_MATCH},
            "example": "*",
        }


_IF_MATCH = r'^([ \t]*\*[ \t]*|[ \t,]*((W/)?"[!#-~]*"[ \t,]*)+)$'
_USERNAME_SCHEMA = {
    "type": "string",
    "pattern": USERNAME.replace(r"\Z", "$"),
    "minLength": 3,
    "maxLength": 64,
}
_FLAG = {"type": "string", "enum": ["true", "false"], "default": "false"}
_LABEL = f"{LABEL_NAME}:{LABEL_VALUE}"
# None has an example: Swagger UI and Bruno send a parameter that has one, unless somebody removes it.
_QUERIES: dict[Query, Json] = {
    Query.LIMIT: {
        "description": "The most members of a page. It has fewer if the response would exceed 600 kB.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": call.MAX_PAGE_SIZE,
            "default": call.MAX_PAGE_SIZE,
        },
    },
    Query.CURSOR: {
        "description": "The start of the page, from a `Link` or `Next-Cursor` header.",
        "schema": {"type": "string"},
    },
    Query.SORT: {
        "description": "By username, or by creation: the oldest or the newest first.",
        "schema": {"type": "string", "enum": list(selections.SORTS), "default": selections.BY_USERNAME},
    },
    Query.PREFIX: {
        "description": (
            "Only usernames that begin so, such as `metrics-`. Case-insensitive. A page costs what any page "
            "costs."
        ),
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    Query.ROLE: {
        "description": "Only those with this role.",
        "schema": {"$ref": "#/components/schemas/Role"},
    },
    Query.ADMINISTRATOR: {
        "description": "Only those whose Administrator this User is, and still entitled. Case-insensitive.",
        "schema": _USERNAME_SCHEMA,
    },
    Query.LABEL: {
        "description": (
            "Only those with this label: its name and value with a `:` between, as `team:payments`; with all "
            "of several, with a `,` between. Case counts."
        ),
        "schema": {"type": "string", "pattern": f"^{_LABEL}(,{_LABEL}){{0,{MAX_LABELS - 1}}}$"},
    },
    Query.NEVER_USED: {
        "description": "Whether to list only those with a key that was never used.",
        "schema": _FLAG,
    },
    Query.WITHOUT_NETWORKS: {
        "description": "Whether to list only those with a key that works from every address.",
        "schema": _FLAG,
    },
    Query.UNUSED_FOR_DAYS: {
        "description": (
            "Only those with a key that was not used for so many days; one that never was, since it was made."
        ),
        "schema": {"type": "integer", "minimum": 1, "maximum": selections.MAX_DAYS},
    },
    Query.ENDING_WITHIN_DAYS: {
        "description": (
            "Only those with a key that ends within so many days if it stays unused: by its own expiry or by "
            "the account's policy, which ends none before its notices of 10 days and 1 day."
        ),
        "schema": {"type": "integer", "minimum": 1, "maximum": selections.MAX_DAYS},
    },
    Query.STATUS: {
        "description": "Only those with this status.",
        "schema": {"type": "string", "enum": ["INVITED", "ACTIVE"]},
    },
    Query.SUSPENDED: {
        "description": "Whether to list only those who are suspended.",
        "schema": _FLAG,
    },
    Query.USERNAME: {
        "description": "Only events about this principal, not those it caused. Case-insensitive.",
        "schema": _USERNAME_SCHEMA,
    },
    Query.ACTOR: {
        "description": (
            "Only what this principal did. Case does not count. Finds events recorded since version 1.1."
        ),
        "schema": _USERNAME_SCHEMA,
    },
    Query.ACTION: {
        "description": "Only events of this action, such as `API_KEY_ROTATED`.",
        "schema": {"type": "string", "pattern": "^[A-Z_]{1,64}$"},
    },
    Query.SINCE: {
        "description": "Only events at this time (RFC 3339, such as `2026-01-01T00:00:00Z`) or later.",
        "schema": {"type": "string", "format": "date-time"},
    },
    Query.UNTIL: {
        "description": "Only events before this time (RFC 3339), which must be later than `since`.",
        "schema": {"type": "string", "format": "date-time"},
    },
    Query.ORDER: {
        "description": "Which events come first.",
        "schema": {"type": "string", "enum": ["newest", "oldest"], "default": "newest"},
    },
    Query.REVOKE_USER: {
        "description": "Whether to revoke the person from the account first.",
        "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
    },
    Query.KEY_TYPE: {
        "description": "The type of the key, if there is no body.",
        "schema": {"$ref": "#/components/schemas/KeyType"},
    },
    Query.CHECK: {
        "description": "With `state`, whether both tables can be read: 503 if not.",
        "schema": {"type": "string", "enum": ["state"]},
    },
    Query.EVEN_IF_LOCKED_OUT: {
        "description": "Whether to do it even if it locks the caller out, if there is no body.",
        "schema": {"type": "string", "enum": ["true", "false"], "default": "false"},
    },
}


def _query(query: Query) -> Json:
    return {"name": query.value, "in": "query", **_QUERIES[query]}


def _request_body(operation: Operation, schemas: "_Schemas") -> Json:
    shown = {
        _slug(it.title): {"summary": it.title, "value": it.body}
        for it in operation.examples
        if it.body is not None
    }
    schema = schemas.of(operation.body)
    if operation.body_list:
        schema = {"type": "array", "maxItems": operation.body_list, "items": schema}
    media = {"schema": schema, "examples": shown}
    return {"required": operation.body_required, "content": {"application/json": media}}


def _refusal(status: int) -> Json:
    """Return the response of a refusal: a problem with the type of its status."""
    shown = (
        examples.REFUSALS[status].problem if status in examples.REFUSALS else examples.OF_THE_GATEWAY[status]
    )
    headers = ["Cache-Control"]
    if status in _REFUSAL_HEADERS:
        headers.append(_REFUSAL_HEADERS[status])
    return {
        "description": f"{_WHEN[status]} Its `type` is `{problems.type_of(status)}`.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {
            problems.MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": msgspec.to_builtins(shown),
            }
        },
    }


_NAMED: dict[str, type] = {
    name: it
    for module in (responses, bodies, validation, problems, roles, system)
    for name, it in vars(module).items()
    if isinstance(it, type)
}


class _Schemas:
    """Collects the schemas of types by name."""

    def __init__(self) -> None:
        self._types: list[Any] = [problems.Problem, Role, KeyType]

    def of(self, kind: Any) -> Json:
        """Return the schema of a type: a reference if the type has a name."""
        if kind not in self._types:
            self._types.append(kind)
        return _schema(kind)[0]

    def components(self) -> Json:
        """Return the named schemas by name."""
        made: Json = {}
        for kind in self._types:
            made.update(_schema(kind)[1])
        return dict(sorted(made.items()))


def _schema(kind: Any) -> tuple[Json, Json]:
    """Return the schema of a type, and the named ones it refers to."""
    (schema,), named = msgspec.json.schema_components(
        [kind], schema_hook=_json_form, ref_template="#/components/schemas/{name}"
    )
    for name, made in named.items():
        of = _NAMED[name]
        if issubclass(of, Enum):
            made["type"] = "string"
            made["enum"] = [member.value for member in of]  # in the order of the code, not alphabetical
        elif issubclass(of, validation.Body) and (rules := of.rules()):
            made["allOf"] = rules
        made["title"] = _plain(name)
        if "properties" in made:
            made["properties"] = _ordered(made["properties"], made["required"])
        if not issubclass(of, validation.Body):
            for field in made.get("properties", {}).values():
                field.pop("default", None)  # a default of the code, not of the response
        made["description"] = _sentence(made["description"])
        if of is KeyType:
            listed = (f"`{it.value}`: {it.description}" for it in KeyType if it.description)
            made["description"] = " ".join([made["description"], *listed])
        elif CATALOGUE is not DEFAULT and _shows_what_was_stored(of):
            made["properties"] = _opened(made["properties"])
    return _tidied(schema), {_plain(name): _tidied(made) for name, made in named.items()}


def _shows_what_was_stored(kind: type) -> bool:
    """Return whether a type is a response that can name key types of an earlier catalogue."""
    signed_in = (responses.AllowedKeyType, responses.WhoamiResponse)
    return issubclass(kind, responses.ResponseBody) and kind not in signed_in


def _opened(schema: Any) -> Any:
    """Return a part of a schema in which a key type may be one that the catalogue had before."""
    if isinstance(schema, list):
        return [_opened(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    if str(schema.get("$ref", "")).endswith("/KeyType"):
        known = [it.value for it in KeyType]
        return {
            "type": "string",
            "description": "A key type. Open set: one of the examples, or one that the catalogue had before.",
            "examples": known,
        }
    return {name: _opened(it) for name, it in schema.items()}


def _ordered(properties: Json, required: list[str]) -> Json:
    """Return an object's properties, the required ones first."""
    return {name: properties[name] for name in sorted(properties, key=lambda name: name not in required)}


def _json_form(kind: type) -> Json:
    """Return the schema of a type that JSON does not have."""
    if kind is validation.Cidr:
        return {"type": "string", "format": "cidr", "examples": ["203.0.113.0/24", "2001:db8::/32"]}
    if kind is validation.Moment:
        return {"type": "string", "format": "date-time", "examples": [examples.LATER]}
    raise NotImplementedError


def _tidied(schema: Any) -> Any:
    """Return a schema in the form that most tools read: ECMA patterns, null as a type, short names."""
    if isinstance(schema, list):
        return [_tidied(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _tidied(it) for name, it in schema.items()}
    if isinstance(made.get("pattern"), str):
        made["pattern"] = made["pattern"].replace(r"\Z", "$")
    if isinstance(made.get("$ref"), str):
        head, _, name = made["$ref"].rpartition("/")
        made["$ref"] = f"{head}/{_plain(name)}"
    if isinstance(made.get("enum"), list) and "type" not in made:
        made["type"] = "string"
    if isinstance(made.get("description"), str):
        made["description"] = made["description"][:1].upper() + made["description"][1:]
    match made.get("anyOf"):
        case [{"type": str(kind), **rest}, {"type": "null"}]:
            del made["anyOf"]
            made = {**made, "type": [kind, "null"], **rest}
    return made


def _plain(name: str) -> str:
    """Return the public name of a type."""
    return name.removesuffix("Response")


def _sentence(docstring: str) -> str:
    """Return the first paragraph of a type's docstring as one line of Markdown."""
    return " ".join(docstring.split("\n\n")[0].split()).replace("``", "`")


def _name(status: int) -> str:
    return problems.title_of(status).title().replace(" ", "")


def _pascal(name: str) -> str:
    return name.title().replace("_", "")


def _camel(name: str) -> str:
    pascal = _pascal(name)
    return pascal[0].lower() + pascal[1:]


def _slug(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


def text(routes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the document as text, as it is committed and served."""
    return json.dumps(document(routes), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the document of this project's app to standard output."""
    from app import app

    sys.stdout.write(text(app.routes))
