"""API Gateway as the packaged template sets it up: its routes, and its own answers to what no route takes."""

import base64
import json
import threading
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from local.gateway import Handler, HttpRequest, HttpResponse, Refusal, event_of, match
from local.package.runtime import EnvironmentDiedError, Function, FunctionError
from local.package.template import Template
from tests.support.openapi_assertions import Drift, committed

_TYPES = {
    400: "BAD_REQUEST_BODY",
    404: "MISSING_AUTHENTICATION_TOKEN",
    413: "REQUEST_TOO_LARGE",
    502: "INTEGRATION_FAILURE",
    504: "INTEGRATION_TIMEOUT",
}


class Front:
    """Makes API Gateway's event of each request, has ``function`` answer it, and answers as told."""

    def __init__(self, template: Template, function: Function) -> None:
        api = template.properties("RestAPI")
        definition = api["DefinitionBody"]
        self._routes = definition["paths"]
        self._binary_types = definition["x-amazon-apigateway-binary-media-types"]
        self._own_answers = api["GatewayResponses"]
        self._function = function
        self.drifts: list[str] = []
        """What a function answered that the OpenAPI document does not tell of."""

    def answer(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid4())
        try:
            path = request.target.partition("?")[0]
            route, parameters = match(path, self._routes)
        except Refusal as refusal:
            return self.own_answer(_TYPES[refusal.status], request_id)
        if request.method.lower() not in self._routes[route]:
            return self.own_answer("MISSING_AUTHENTICATION_TOKEN", request_id)
        event = event_of(request, route, parameters, request_id, self._binary_types)
        event["path"] = path
        event["requestContext"].update(
            path=f"/api{path}", domainName="abc.execute-api.us-east-1.amazonaws.com"
        )
        try:
            answer = self._function.invoke(event)
        except (EnvironmentDiedError, FunctionError):
            return self.own_answer("INTEGRATION_FAILURE", request_id)
        response = _response(answer, request_id)
        try:
            committed().judge(event, response.status, answer["headers"], response.body.decode())
        except Drift as drift:
            self.drifts.append(str(drift))
        return response

    def own_answer(self, kind: str, request_id: str) -> HttpResponse:
        """Answer one of the gateway's own answers."""
        declared = self._own_answers[kind]
        body = declared["ResponseTemplates"]["application/json"].replace("$context.requestId", request_id)
        headers = [
            (name, value.removeprefix("'").removesuffix("'"))
            for name, value in declared["ResponseParameters"]["Headers"].items()
        ]
        return HttpResponse(int(declared["StatusCode"]), headers, body.encode(), request_id)


class FrontServer(ThreadingHTTPServer):
    """Serves a front on a free port, in a thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, front: Front) -> None:
        self.gateway = front
        super().__init__(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def log(self, *_: Any) -> None:
        """Stay silent."""

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a test's client may go in the middle."""

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


_REMAPPED = {"WWW-Authenticate": "x-amzn-Remapped-WWW-Authenticate"}
"""What a REST API renames of a function's answer."""


def _response(answer: Mapping[str, Any], request_id: str) -> HttpResponse:
    text = answer.get("body") or ""
    headers = [
        (_REMAPPED.get(name, name), str(value)) for name, value in (answer.get("headers") or {}).items()
    ]
    headers += [
        (name, str(value))
        for name, values in (answer.get("multiValueHeaders") or {}).items()
        for value in values
    ]
    body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    return HttpResponse(int(answer["statusCode"]), headers, body, request_id)


def filter_takes(pattern: str, record: Any) -> bool:
    """Answer whether an event source's filter pattern takes a record (equality and ``exists`` are known)."""
    return _takes(json.loads(pattern), record)


def _takes(pattern: Any, value: Any) -> bool:
    if isinstance(pattern, dict):
        return all(
            _takes(rule, value.get(name) if isinstance(value, dict) else None)
            for name, rule in pattern.items()
        )
    return any(
        (value is not None and not isinstance(value, dict)) == rule["exists"]
        if isinstance(rule, dict)
        else value == rule
        for rule in pattern
    )
