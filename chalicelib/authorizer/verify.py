"""The authorizer's decision for services that are not behind API Gateway, on one request.

A service, or the proxy in front of it (nginx' auth_request, Envoy's ext_authz), passes on what it received:
the Authorization header, the client's address, the method and the path. IAM decides who may ask, because the
caller states the client's address.
"""

import base64
import binascii
import ipaddress
import json
import logging
from typing import Any

import msgspec

from chalicelib.authorizer.gateway import SignIn, caller_fields
from chalicelib.authorizer.route_rules import Rules, is_allowed
from chalicelib.rules.errors import Forbidden, Unauthenticated, Unavailable, sign_in_fields
from chalicelib.rules.names import with_article

_LOG = logging.getLogger(__name__)


class Question(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A request to decide on. ``path`` is as received; its query string is ignored."""

    source_ip: str
    method: str
    path: str
    authorization: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the request is allowed. ``status`` is 200, or that of the refusal: 400, 401, 403 or 503.

    ``reason`` says why not, in words for the client. The other fields describe the client's principal: they
    are set for 200, and for 403 if the key may not call the path.
    """

    allowed: bool
    status: int
    reason: str | None = None
    account: str | None = None
    username: str | None = None
    kind: str | None = None
    role: str | None = None
    key_type: str | None = None


def verify(event: Any, sign_in: SignIn, rules: Rules) -> dict[str, Any]:
    """Return the decision on a question: the event itself, or the body of a function URL's event.

    Refuses if the question is malformed (400) or the store is unavailable (503).
    """
    if not (isinstance(event, dict) and "requestContext" in event):
        return _plain(decide(event, sign_in, rules))
    try:
        decision = decide(_body(event), sign_in, rules)
    except _NoQuestion as refusal:
        decision = Decision(allowed=False, status=400, reason=str(refusal))
    return {
        # 200 says that there is a decision; the decision itself is in the body.
        "statusCode": decision.status if decision.status in (400, 503) else 200,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps(_plain(decision)),
    }


def decide(question: Any, sign_in: SignIn, rules: Rules) -> Decision:
    """Return the decision on the request in a question."""
    try:
        asked = _read(question)
    except (msgspec.ValidationError, _NoQuestion) as malformed:
        # Both messages name places and types, never values.
        _LOG.warning("refused (400): the question is malformed: %s", malformed)
        return Decision(allowed=False, status=400, reason=f"The question is malformed: {malformed}")
    try:
        auth = sign_in(asked.authorization, asked.source_ip)
    except Unauthenticated as refusal:
        _LOG.info("refused (401): the credentials are missing or wrong", extra=sign_in_fields(refusal))
        return Decision(allowed=False, status=401, reason=refusal.detail)
    except Forbidden as refusal:
        _LOG.info("refused (403): %s", refusal.detail, extra=sign_in_fields(refusal))
        return Decision(allowed=False, status=403, reason=refusal.detail)
    except Unavailable:
        _LOG.exception("failed (503): nobody could be signed in")
        return Decision(allowed=False, status=503, reason="Nobody could be signed in just now. Try again.")
    caller = caller_fields(auth)
    fields = msgspec.convert({"allowed": True, "status": 200, **caller}, Decision)
    if is_allowed(rules, auth.key_type, auth.role, asked.method, asked.path):
        _LOG.info("allowed", extra=caller)
        return fields
    _LOG.info("refused (403): no rule allows this key here", extra=caller)
    return msgspec.structs.replace(
        fields,
        allowed=False,
        status=403,
        reason=(
            f"{with_article(auth.key_type.value, 'A')} key with the role {auth.role.value}, which no rule "
            "allows here."
        ),
    )


class _NoQuestion(Exception):
    """An invalid question, with the reason."""


def _read(question: Any) -> Question:
    asked = msgspec.convert(question, Question)
    try:
        ipaddress.ip_address(asked.source_ip)
    except ValueError:
        raise _NoQuestion("'sourceIp' is not an IP address.") from None
    if not asked.path.startswith("/"):
        raise _NoQuestion("'path' does not start with a slash.")
    return msgspec.structs.replace(asked, path=asked.path.partition("?")[0])


def _body(event: dict[str, Any]) -> Any:
    """Return the question in the body of a function URL's event."""
    method = event["requestContext"].get("http", {}).get("method")
    if method != "POST":
        raise _NoQuestion("Send the question by POST.")
    try:
        raw = event.get("body") or ""
        return json.loads(base64.b64decode(raw) if event.get("isBase64Encoded") else raw)
    except (ValueError, binascii.Error, RecursionError):
        raise _NoQuestion("The body is not JSON.") from None


def _plain(decision: Decision) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(decision)
    return fields
