"""API Gateway as the packaged template configures it: its routes and its own (gateway) responses."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from chalicelib.http.http_api import find_route
from local.gateway import (
    HttpRequest,
    HttpResponse,
    Refusal,
    compressed,
    http_api_event,
    http_response,
    match_route,
    rest_event,
)
from local.package.runtime import EnvironmentDiedError, Function, FunctionError
from local.package.template import Template

ResponseObserver = Callable[[dict[str, Any], dict[str, Any], HttpResponse], None]
"""Called with the event a function was invoked with, its result, and the response made of it."""

DOMAIN = "abc.execute-api.us-east-1.amazonaws.com"
"""API Gateway's own domain name of the API."""

_REMAPPED_HEADERS = {"WWW-Authenticate": "x-amzn-Remapped-WWW-Authenticate"}
"""Headers of a function's response that a REST API renames."""


def ignore_response(_event: dict[str, Any], _result: dict[str, Any], _response: HttpResponse) -> None:
    """Do nothing: the default observer."""


class ApiGateway:
    """A REST API in front of ``function``. ``observe`` is called with every response of the function."""

    def __init__(
        self, template: Template, function: Function, observe: ResponseObserver = ignore_response
    ) -> None:
        api = template.properties("RestAPI")
        definition = api["DefinitionBody"]
        self._routes = definition["paths"]
        self._binary_types = definition["x-amazon-apigateway-binary-media-types"]
        self._gateway_responses = api["GatewayResponses"]
        self._compress_from = api.get("MinimumCompressionSize")
        self._function = function
        self._observe = observe

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Invoke the function with the request's event and return its response, or a gateway response."""
        request_id = str(uuid4())
        try:
            path = request.target.partition("?")[0]
            route, parameters = match_route(path, self._routes)
        except Refusal:
            return self.gateway_response("MISSING_AUTHENTICATION_TOKEN", request_id)
        if request.method.lower() not in self._routes[route]:
            return self.gateway_response("MISSING_AUTHENTICATION_TOKEN", request_id)
        event = rest_event(request, route, parameters, request_id, self._binary_types)
        event["path"] = path
        event["requestContext"].update(path=f"/api{path}", domainName=DOMAIN)
        try:
            result = self._function.invoke(event)
        except (EnvironmentDiedError, FunctionError):
            return self.gateway_response("INTEGRATION_FAILURE", request_id)
        response = http_response(result, request_id)
        renamed = [(_REMAPPED_HEADERS.get(name, name), value) for name, value in response.headers]
        response = compressed(request, response._replace(headers=renamed), self._compress_from)
        self._observe(event, result, response)
        return response

    def gateway_response(self, kind: str, request_id: str) -> HttpResponse:
        """Return one of the gateway's own responses, as the template declares it."""
        declared = self._gateway_responses[kind]
        body = declared["ResponseTemplates"]["application/json"].replace("$context.requestId", request_id)
        headers = [
            (name, value.removeprefix("'").removesuffix("'"))
            for name, value in declared["ResponseParameters"]["Headers"].items()
        ]
        return HttpResponse(int(declared["StatusCode"]), headers, body.encode(), request_id)


class HttpApi:
    """An HTTP API in front of ``function``, with payload format 1.0. ``observe`` as above."""

    def __init__(
        self, template: Template, function: Function, observe: ResponseObserver = ignore_response
    ) -> None:
        keys = [
            template.properties(name)["RouteKey"] for name in template.of_type("AWS::ApiGatewayV2::Route")
        ]
        self._routes = {key.removeprefix("ANY "): key for key in keys if key.startswith("ANY ")}
        self._has_default = "$default" in keys
        self._function = function
        self._observe = observe

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Invoke the function with the request's event and return its response, or an error of the API's."""
        request_id = f"{uuid4().hex[:15]}="
        path, query, arguments = request.target.partition("?")
        path = "/" + path.lstrip("/")
        request = request._replace(target=path + query + arguments)
        has_slash = path != "/" and path.endswith("/")  # no route ends with one
        found = None if has_slash else find_route(path, self._routes)
        if found is None and not self._has_default:
            return _error(404, "Not Found", request_id)
        route, raw = found or ("$default", {})
        parameters = {name: unquote(value) for name, value in raw.items()}
        event = rest_event(request, route, parameters, request_id)
        event["requestContext"].update(path=f"/api{path}", domainName=DOMAIN)
        event = http_api_event(event, routed=route != "$default")
        try:
            result = self._function.invoke(event)
        except (EnvironmentDiedError, FunctionError):
            return _error(500, "Internal Server Error", request_id)
        response = http_response(result, request_id)
        self._observe(event, result, response)
        return response


def _error(status: int, message: str, request_id: str) -> HttpResponse:
    """Return an error of an HTTP API's own, which cannot be customized."""
    body = json.dumps({"message": message}).encode()
    return HttpResponse(status, [("Content-Type", "application/json")], body, request_id)
