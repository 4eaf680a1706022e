"""The Lambda authorizer: decides for API Gateway whether a request is allowed.

Events are those of a REQUEST authorizer. For payload 1.0 (REST APIs, and HTTP APIs that choose it) the result
is an IAM policy of everything that the key may call in the event's API and stage. API Gateway may cache it,
so it must be right for other requests too, and has nothing of this request's path. For payload 2.0 (HTTP
APIs) the result is a simple response for the one request.

Missing or wrong credentials get 401, which API Gateway sends if an authorizer fails with exactly
``Unauthorized``. A valid key without permission gets 403, by a policy or response that denies the request.
"""

import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import msgspec

from chalicelib.authorizer.route_rules import PATH_TRAVERSAL, Rules, allowed_routes, is_allowed
from chalicelib.rules.audit import actor
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Forbidden, Unauthenticated, sign_in_fields

SignIn = Callable[[str | None, str], AuthContext]
"""Signs in with the value of an Authorization header, from a source address. Raises Unauthenticated for
invalid credentials, and Forbidden for a key that may not be used from there."""

_log = logging.getLogger(__name__)


class AuthorizerFailed(Exception):
    """No decision was possible, so the request is refused; API Gateway responds with 500, uncached."""


def authorize(event: Any, sign_in: SignIn, rules: Rules) -> dict[str, Any]:
    """Return API Gateway's decision on the request of ``event``.

    Denies an event that is malformed, or of another kind, without signing in. Raises
    Exception("Unauthorized") for missing or wrong credentials, and AuthorizerFailed for an internal error.
    """
    try:
        request = _read(event)
    except (msgspec.ValidationError, _Malformed) as malformed:
        # Both messages name places and types, never values.
        _log.warning("refused (403): the event is not a request to authorize: %s", malformed)
        simple = isinstance(event, dict) and event.get("version") == "2.0"
        return {"isAuthorized": False} if simple else _policy("unknown", deny=("*",))
    try:
        auth = sign_in(request.credentials, request.source_ip)
    except Unauthenticated as refusal:
        _log.info("refused (401): the credentials are missing or wrong", extra=sign_in_fields(refusal))
        _unauthorized()
    except Forbidden as refusal:
        _log.info("refused (403): %s", refusal.detail, extra=sign_in_fields(refusal))
        return request.refusal()
    except Exception as error:
        _log.exception("failed (500): nobody could be signed in")
        raise AuthorizerFailed("Nobody could be signed in; the log says why.") from error
    return request.decide(auth, rules)


def _unauthorized() -> NoReturn:
    # API Gateway recognises a 401 by exactly this message, so the exception must not add to it.
    raise Exception("Unauthorized") from None  # noqa: TRY002


class _Malformed(Exception):
    """An event with valid types and contradictory content."""


class _Request(NamedTuple):
    """The request, from either payload version."""

    credentials: str | None
    source_ip: str
    decide: Callable[[AuthContext, Rules], dict[str, Any]]
    refusal: Callable[[], dict[str, Any]]


def _read(event: Any) -> _Request:
    if isinstance(event, dict) and event.get("version") == "2.0":
        return _request_2(msgspec.convert(event, _Event2))
    return _request_1(msgspec.convert(event, _Event1))


# Payload 1.0


class _Identity(msgspec.Struct, rename="camel"):
    source_ip: str


class _Context1(msgspec.Struct):
    identity: _Identity


class _Event1(msgspec.Struct, rename="camel"):
    type: str
    method_arn: str
    request_context: _Context1
    version: str = "1.0"  # a REST API leaves it out
    headers: dict[str, str] | None = None
    multi_value_headers: dict[str, list[str]] | None = None


# Neither the API nor the stage may contain a wildcard: the policy is for exactly one of each.
_METHOD_ARN = re.compile(
    r"(?P<stage>arn:aws[a-z-]*:execute-api:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9]+/(?:[A-Za-z0-9_-]+|\$default))"
    r"/(?P<method>[A-Z]+)(?P<path>/.*)",
    re.DOTALL,
)


def _request_1(event: _Event1) -> _Request:
    named = _METHOD_ARN.fullmatch(event.method_arn)
    if (event.type, event.version) != ("REQUEST", "1.0"):
        raise _Malformed("it is of another type or version")
    if named is None:
        raise _Malformed("methodArn does not name a method of an API's stage")
    stage, method, path = named.groups()
    everything = (f"{stage}/*",)

    def decide(auth: AuthContext, rules: Rules) -> dict[str, Any]:
        # API Gateway decides, by the policy, also while it caches it; this logs what it will decide.
        _log_decision(auth, is_allowed(rules, auth.key_type, auth.role, method, path))
        routes = allowed_routes(rules, auth.key_type, auth.role)
        return _policy(
            auth.caller.username,
            allow=tuple(f"{stage}/{method}{path}" for method, path in routes),
            deny=tuple(f"{stage}/{pattern}" for pattern in _DENY_TRAVERSAL) if routes else everything,
            context=caller_fields(auth),
        )

    return _Request(
        credentials=_authorization(event.headers, event.multi_value_headers),
        source_ip=event.request_context.identity.source_ip,
        decide=decide,
        refusal=lambda: _policy("unknown", deny=everything),
    )


# IAM documents that a "*" crosses a colon only at the end of the part between two colons. So each has a
# second pattern, for a path with a colon before the traversal.
_DENY_TRAVERSAL = tuple(pattern for it in PATH_TRAVERSAL for pattern in (f"*{it}*", f"*:*{it}*"))


def _policy(
    principal: str,
    *,
    deny: tuple[str, ...],
    allow: tuple[str, ...] = (),
    context: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return an IAM policy on the resources named (API Gateway: "Output from a Lambda authorizer")."""
    return {
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": effect, "Action": "execute-api:Invoke", "Resource": list(resources)}
                for effect, resources in (("Allow", allow), ("Deny", deny))
                if resources
            ],
        },
        "context": context or {},
    }


# Payload 2.0


class _Http(msgspec.Struct, rename="camel"):
    method: str
    source_ip: str


class _Context2(msgspec.Struct, rename="camel"):
    http: _Http
    api_id: str
    stage: str
    domain_name: str = ""


class _Event2(msgspec.Struct, rename="camel"):
    type: str
    raw_path: str
    request_context: _Context2
    headers: dict[str, str] | None = None


def _request_2(event: _Event2) -> _Request:
    method = event.request_context.http.method
    if event.type != "REQUEST":
        raise _Malformed("it is of another type")

    def decide(auth: AuthContext, rules: Rules) -> dict[str, Any]:
        allowed = is_allowed(rules, auth.key_type, auth.role, method, _path(event))
        _log_decision(auth, allowed)
        return {"isAuthorized": allowed, "context": caller_fields(auth)}

    return _Request(
        credentials=_authorization(event.headers, None),
        source_ip=event.request_context.http.source_ip,
        decide=decide,
        refusal=lambda: {"isAuthorized": False},
    )


def _path(event: _Event2) -> str:
    """Return the path without the stage, which precedes it only at an API's default address."""
    at = event.request_context
    stage = f"/{at.stage}"
    own = at.domain_name.startswith(f"{at.api_id}.execute-api.")
    if own and at.stage != "$default" and event.raw_path.startswith(f"{stage}/"):
        return event.raw_path.removeprefix(stage)
    return event.raw_path


# Both


def _authorization(headers: dict[str, str] | None, multi: dict[str, list[str]] | None) -> str | None:
    """Return the Authorization header; None if there is none, or if several differ."""
    values = {value for name, value in (headers or {}).items() if name.lower() == "authorization"}
    for name, several in (multi or {}).items():
        if name.lower() == "authorization":
            values.update(several)
    return values.pop() if len(values) == 1 else None


def _log_decision(auth: AuthContext, allowed: bool) -> None:
    _log.info(
        "allowed" if allowed else "refused (403): no rule allows this key here", extra=caller_fields(auth)
    )


def caller_fields(auth: AuthContext) -> dict[str, str]:
    """Return the caller for the API behind the authorizer: strings only, as API Gateway requires."""
    return {
        "account": auth.caller.account,
        "username": auth.caller.username,
        "kind": actor(auth.caller).kind.value,
        "role": auth.role.value,
        "keyType": auth.key_type.value,
    }
