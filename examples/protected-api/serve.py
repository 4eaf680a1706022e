"""``make example``: Service Users, and an API protected by its keys, side by side on this machine.

Service Users runs as with ``make run``. In front of the clusters API, an emulated API Gateway asks the
authorizer about every request, in either payload format, and caches nothing.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import shlex
import signal
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import clusters  # noqa: E402

from local.email_folder import write_private  # noqa: E402
from local.event_sources import lambda_context  # noqa: E402
from local.gateway import (  # noqa: E402
    HttpRequest,
    HttpResponse,
    Refusal,
    http_response,
    match_route,
    rest_event,
)
from local.iam import allows  # noqa: E402
from local.run import HOST, REGION, StartError, Terminal, local_system  # noqa: E402
from local.server import HttpServer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.run import LocalSystem

HOME = ROOT / ".local" / "example"
PAYLOADS = ("1.0", "2.0")
ROLES = {"viewer": "READ_ONLY", "operator": "CLUSTER_ADMIN", "chief": "OWNER"}
_JSON = {"Content-Type": "application/json"}
_API = f"arn:aws:execute-api:{REGION}:123456789012:clusters"
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="clusters", charset="UTF-8"'}


class ExampleCall(NamedTuple):
    """A call to try: its title, the variable with the credentials, and the expected status."""

    title: str
    credentials: str
    method: str
    path: str
    status: int
    body: str = ""
    base_url: str = "CLUSTERS"


CALLS = (
    ExampleCall("no credentials", "", "GET", "/monitoring/clusters", 401),
    ExampleCall("a mistyped key", "WRONG", "GET", "/monitoring/clusters", 401),
    ExampleCall("viewer (READ_ONLY) monitors", "VIEWER_MONITORING", "GET", "/monitoring/clusters", 200),
    ExampleCall(
        "… but may not list with that key", "VIEWER_MONITORING", "GET", "/provisioning/clusters", 403
    ),
    ExampleCall(
        "viewer lists with the right key",
        "VIEWER_PROVISIONING_READONLY",
        "GET",
        "/provisioning/clusters",
        200,
    ),
    ExampleCall(
        "… but may not create",
        "VIEWER_PROVISIONING_READONLY",
        "POST",
        "/provisioning/clusters",
        403,
        '{"name": "red"}',
    ),
    ExampleCall(
        "operator (CLUSTER_ADMIN) creates",
        "OPERATOR_PROVISIONING",
        "POST",
        "/provisioning/clusters",
        201,
        '{"name": "red"}',
    ),
    ExampleCall("… and deletes", "OPERATOR_PROVISIONING", "DELETE", "/provisioning/clusters/1", 204),
    ExampleCall(
        "… but may not manage users", "OPERATOR_USER_MANAGEMENT", "GET", "/user-management/users", 403
    ),
    ExampleCall("chief (OWNER) may", "CHIEF_USER_MANAGEMENT", "GET", "/user-management/users", 200),
    ExampleCall(
        "… but not with a key of another type", "CHIEF_PROVISIONING", "GET", "/user-management/users", 403
    ),
    ExampleCall(
        "owner revokes the key of viewer",
        "OWNER",
        "DELETE",
        "/v1/service-users/viewer/api-keys?keyType=MONITORING",
        204,
        base_url="API",
    ),
    ExampleCall("… which is refused from then on", "VIEWER_MONITORING", "GET", "/monitoring/clusters", 401),
)


class QuietTerminal(Terminal):
    """Prints no log lines."""

    def log_response(self, method: str, target: str, status: int, seconds: float) -> None:
        """Print nothing."""

    def log_email(self, recipient: str, subject: str) -> None:
        """Print nothing."""

    def log_event(self, action: str, username: str) -> None:
        """Print nothing."""


class ProtectedApi:
    """API Gateway in front of the clusters API: calls ``authorizer`` for every request, holding ``lock``."""

    def __init__(
        self,
        authorizer: Callable[[dict[str, Any], Any], dict[str, Any]],
        payload: str,
        lock: contextlib.AbstractContextManager[Any],
    ) -> None:
        self._authorizer = authorizer
        self._payload = payload
        self._lock = lock

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the API's response, or API Gateway's if the authorizer does not allow the request."""
        request_id = str(uuid.uuid4())
        path, _, _ = request.target.partition("?")
        routes: dict[str, set[str]] = {}
        for each in clusters.ROUTES:
            method, _, template = each.partition(" ")
            routes.setdefault(template, set()).add(method)
        try:
            route, parameters = match_route(path, routes)
        except Refusal:
            route, parameters = "", {}
        if request.method not in routes.get(route, ()):
            return _message(404, "Not Found", request_id)
        if not any(name.lower() == "authorization" and value for name, value in request.headers):
            # The identity source is missing: API Gateway does not call the authorizer.
            return _message(401, "Unauthorized", request_id, _CHALLENGE)
        event = rest_event(request, route, parameters, request_id)
        try:
            caller = self._authorize(event)
        except Exception as error:
            if str(error) == "Unauthorized":
                return _message(401, "Unauthorized", request_id, _CHALLENGE)
            return _message(500, "Internal Server Error", request_id)
        if caller is None:
            return _message(403, "Forbidden", request_id)
        event["requestContext"]["authorizer"] = caller
        return http_response(clusters.handler(event, None), request_id)

    def _authorize(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the authorizer's context about the caller; None if it does not allow the request."""
        to_event = rest_authorizer_event if self._payload == "1.0" else http_authorizer_event
        authorizer_event = to_event(event)
        with self._lock:
            decision = self._authorizer(authorizer_event, lambda_context("authorizer"))
        if self._payload == "1.0":
            allowed = allows(decision["policyDocument"], "execute-api:Invoke", authorizer_event["methodArn"])
        else:
            allowed = decision["isAuthorized"]
        return decision["context"] if allowed else None


def rest_authorizer_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event with which a REST API calls its authorizer (payload 1.0)."""
    return {name: value for name, value in event.items() if name not in ("body", "isBase64Encoded")} | {
        "type": "REQUEST",
        "methodArn": f"{_API}/prod/{event['httpMethod']}{event['path']}",
    }


def http_authorizer_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event with which an HTTP API calls its authorizer (payload 2.0)."""
    context = event["requestContext"]
    route_key = f"{event['httpMethod']} {event['resource']}"
    # An HTTP API joins repeated headers and decodes the path.
    headers = {name.lower(): ",".join(values) for name, values in event["multiValueHeaders"].items()}
    path = unquote(event["path"])
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": f"{_API}/$default/{event['httpMethod']}{path}",
        "identitySource": [headers["authorization"]],
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": context["accountId"],
            "apiId": "clusters",
            "domainName": context["domainName"],
            "domainPrefix": context["domainName"].partition(".")[0],
            "http": {
                "method": event["httpMethod"],
                "path": path,
                "protocol": context["protocol"],
                **context["identity"],
            },
            "requestId": context["requestId"],
            "routeKey": route_key,
            "stage": "$default",
            "timeEpoch": context["requestTimeEpoch"],
        },
        "pathParameters": event["pathParameters"] or {},
    }


def create_service_users(system: LocalSystem) -> dict[str, str]:
    """Create a Service User of each role; return the shell variables: base URLs and credentials."""
    variables = {"API": system.url, "OWNER": f"{system.owner['username']}:{system.owner['apiKey']}"}
    for username, role in ROLES.items():
        body = {"username": username, "email": f"{username}@demo.example", "role": role}
        status, created = _call(
            "POST", f"{system.url}/v1/service-users", variables["OWNER"], json.dumps(body)
        )
        if status != 201:
            raise StartError(f"{username} could not be created: {created}")
        for key in json.loads(created)["apiKeys"]["apiKeys"]:
            variables[f"{username}_{key['keyType']}".upper()] = f"{username}:{key['key']}"
    return variables | {"WRONG": variables["VIEWER_MONITORING"][:-1] + "?"}


def check_calls(
    calls: Sequence[ExampleCall], variables: Mapping[str, str], say: Callable[[str], None]
) -> bool:
    """Make the calls, print each result, and return whether every status was the expected one."""
    passed = True
    for call in calls:
        url = variables[call.base_url] + call.path
        status, body = _call(call.method, url, variables.get(call.credentials, ""), call.body)
        passed = passed and status == call.status
        note = "" if status == call.status else f"   EXPECTED {call.status}"
        say(f"  {status}   {call.method:<7}{call.path:<30} {call.title:<36} {body[:60]}{note}")
    return passed


def shell_lines(file: Path) -> str:
    """Return the calls as lines to paste into a shell."""
    parts = [f". {shlex.quote(str(file))}"]
    for call in CALLS:
        words = ["curl -sS"]
        if call.credentials:
            words.append(f'-u "${call.credentials}"')
        if call.method != "GET":
            words.append(f"-X {call.method}")
        if call.body:
            words.append(f"-d {shlex.quote(call.body)}")
        words.append(f'"${call.base_url}{call.path}"')
        parts.append(f"# {call.status}: {call.title}\n{' '.join(words)} -w ' %{{http_code}}\\n'")
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both until Ctrl-C, or make the calls once; return the exit status."""
    parser = argparse.ArgumentParser(prog="make example", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--port", type=int, default=8000, help="port of Service Users; the clusters API uses the next one"
    )
    parser.add_argument(
        "--payload", choices=PAYLOADS, default="1.0", help="emulate a REST API (1.0) or an HTTP API (2.0)"
    )
    parser.add_argument("--home", type=Path, default=HOME, help="folder for credentials and emails")
    parser.add_argument(
        "--check",
        action="store_true",
        help="make the calls in both payload formats, print the results, and exit",
    )
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    terminal = QuietTerminal() if args.check else Terminal()
    home = args.home.absolute()
    try:
        with contextlib.ExitStack() as stack:
            system = stack.enter_context(local_system(args.port, home, "app", terminal))
            variables = create_service_users(system)
            if args.check:
                return 0 if _check(stack, system, variables, terminal) else 1
            port = args.port + 1 if args.port else 0
            server = _server(port, system, args.payload, terminal)
            stack.enter_context(server.serving())
            variables["CLUSTERS"] = server.url
            file = home / "variables.sh"
            text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
            write_private(file, text.encode())
            terminal.say(_welcome(system, server.url, file, args.payload))
            while True:
                signal.pause()
    except KeyboardInterrupt:
        terminal.say("\n  Stopped.")
        return 0
    except StartError as error:
        sys.stderr.write(f"\n  {error}\n\n")
        return 1


def _check(
    stack: contextlib.ExitStack, system: LocalSystem, variables: dict[str, str], terminal: Terminal
) -> bool:
    """Make the calls in both payload formats; the revocation at the end only once."""
    passed = True
    for payload, calls in (
        ("1.0", [call for call in CALLS if call.base_url == "CLUSTERS"][:-1]),
        ("2.0", CALLS),
    ):
        terminal.say(f"Payload {payload}")
        clusters.CLUSTERS.clear()
        server = _server(0, system, payload, terminal)
        stack.enter_context(server.serving())
        passed = check_calls(calls, variables | {"CLUSTERS": server.url}, terminal.say) and passed
    return passed


def _server(port: int, system: LocalSystem, payload: str, terminal: Terminal) -> HttpServer:
    api = ProtectedApi(system.app.handler_map["authorizer"], payload, system.lock)
    try:
        return HttpServer(api.respond, HOST, port, log=terminal.log_response)
    except OSError as error:
        raise StartError(
            f"Port {port} is not available ({error}). Use others: make example PORT=9000"
        ) from error


def _welcome(system: LocalSystem, url: str, file: Path, payload: str) -> str:
    with contextlib.suppress(ValueError):
        file = file.relative_to(Path.cwd())
    kind = "a REST API" if payload == "1.0" else "an HTTP API"
    return f"""
  Service Users is running, and a clusters API that its keys protect.

    Service Users  {system.url}
    Clusters       {url}   ({kind}: payload {payload})
    Credentials    {file}   (Service Users viewer, operator and chief; READ_ONLY, CLUSTER_ADMIN, OWNER)
    Stop           Ctrl-C

  To try it, paste this into another terminal, in this folder. Each call is preceded by its expected status.

{shell_lines(file)}

  Requests, emails and events:
"""


def _call(method: str, url: str, credentials: str, body: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, method=method, data=body.encode() or None, headers=_JSON)  # noqa: S310
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - on this machine
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _message(
    status: int, text: str, request_id: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    body = json.dumps({"message": text}).encode()
    return HttpResponse(status, [*_JSON.items(), *(headers or {}).items()], body, request_id)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
