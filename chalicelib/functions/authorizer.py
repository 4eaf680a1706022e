"""The functions ``authorizer`` and ``verify``, configured by environment variables."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from chalicelib.authorizer.gateway import authorize
from chalicelib.authorizer.route_rules import VARIABLE, load_rules
from chalicelib.http import authorization
from chalicelib.http.call import Service
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import AuthContext, Origin

if TYPE_CHECKING:
    from chalicelib.authorizer.gateway import SignIn

_rules = cache(load_rules)


def authorizer_function(event: Any, context: Any, service: Service) -> dict[str, Any]:
    """Return the decision on a request of API Gateway, by the stack's route rules.

    Raises InvalidRules at every call if the rules are invalid, and otherwise what ``authorize`` raises.
    """
    return authorize(event, _sign_in(context, service), _rules(os.environ.get(VARIABLE)))


def verify_function(event: Any, context: Any, service: Service) -> dict[str, Any]:
    """Return the decision on a request that another service received, by the stack's route rules.

    Raises InvalidRules at every call if the rules are invalid.
    """
    from chalicelib.authorizer.verify import verify

    return verify(event, _sign_in(context, service), _rules(os.environ.get(VARIABLE)))


def _sign_in(context: Any, service: Service) -> "SignIn":
    request_id = str(getattr(context, "aws_request_id", ""))

    def identify(header: str | None, source_ip: str) -> AuthContext:
        username, key = authorization.credentials(header)
        return sign_in(service.directory, username, key, Origin(source_ip, request_id, service.now()))

    return identify
