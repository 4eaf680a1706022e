"""``make example``: Service Users and an API that its keys guard, side by side on this machine.

Service Users runs as under ``make run``. In front of the API about clusters stands a stand-in for API
Gateway that asks the authorizer about every request, in either payload, and keeps no answer.
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
from chalice.app import Chalice  # noqa: E402

from local.email_folder import write_private  # noqa: E402
from local.event_sources import context  # noqa: E402
from local.gateway import (  # noqa: E402
    Gateway,
    GatewayServer,
    HttpRequest,
    HttpResponse,
    Refusal,
    event_of,
    match,
)
from local.iam import allows  # noqa: E402
from local.run import HOST, REGION, StartError, Terminal, system  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.run import Running

HOME = ROOT / ".local" / "example"
PAYLOADS = ("1.0", "2.0")
ROLES = {"viewer": "READ_ONLY", "operator": "CLUSTER_ADMIN", "chief": "OWNER"}
_JSON = {"Content-Type": "application/json"}
_API = f"arn:aws:execute-api:{REGION}:123456789012:clusters"
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="clusters", charset="UTF-8"'}


class Shown(NamedTuple):
    """A call that is shown: why, with which variable's credentials, and the status it is to have."""

    why: str
    credentials: str
    method: str
    path: str
    status: int
    body: str = ""
    at: str = "CLUSTERS"


WALK = (
    Shown("nobody", "", "GET", "/monitoring/clusters", 401),
    Shown("a key that was mistyped", "WRONG", "GET", "/monitoring/clusters", 401),
    Shown("viewer (READ_ONLY) watches", "VIEWER_MONITORING", "GET", "/monitoring/clusters", 200),
    Shown("… but not with that key elsewhere", "VIEWER_MONITORING", "GET", "/provisioning/clusters", 403),
    Shown("viewer looks", "VIEWER_PROVISIONING_READONLY", "GET", "/provisioning/clusters", 200),
    Shown(
        "… and may not touch",
        "VIEWER_PROVISIONING_READONLY",
        "POST",
        "/provisioning/clusters",
        403,
        '{"name": "red"}',
    ),
    Shown(
        "operator (CLUSTER_ADMIN) creates",
        "OPERATOR_PROVISIONING",
        "POST",
        "/provisioning/clusters",
        201,
        '{"name": "red"}',
    ),
    Shown("… and deletes", "OPERATOR_PROVISIONING", "DELETE", "/provisioning/clusters/1", 204),
    Shown("… but does not manage people", "OPERATOR_USER_MANAGEMENT", "GET", "/user-management/users", 403),
    Shown("chief (OWNER) does", "CHIEF_USER_MANAGEMENT", "GET", "/user-management/users", 200),
    Shown("… but not with another key", "CHIEF_PROVISIONING", "GET", "/user-management/users", 403),
    Shown(
        "owner revokes a key of viewer",
        "OWNER",
        "DELETE",
        "/v1/service-users/viewer/api-keys?keyType=MONITORING",
        204,
        at="API",
    ),
    Shown("… and it is dead", "VIEWER_MONITORING", "GET", "/monitoring/clusters", 401),
)


class Quiet(Terminal):
    """Says only what it is told to say."""

    def answered(self, method: str, target: str, status: int, seconds: float) -> None:
        """Say nothing of an answer."""

    def mailed(self, recipient: str, subject: str) -> None:
        """Say nothing of an email."""


class Guarded(Gateway):
    """Stands in front of the clusters as API Gateway would, and asks ``authorizer`` about every request."""

    def __init__(
        self,
        authorizer: Callable[[dict[str, Any], Any], dict[str, Any]],
        payload: str,
        lock: contextlib.AbstractContextManager[Any],
    ) -> None:
        super().__init__(Chalice(app_name="clusters"))
        self._ask = authorizer
        self._payload = payload
        self._asking = lock

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer as the API does, or as API Gateway does for whatever the authorizer does not let in."""
        request_id = str(uuid.uuid4())
        path, _, _ = request.target.partition("?")
        routes: dict[str, set[str]] = {}
        for each in clusters.ROUTES:
            method, _, template = each.partition(" ")
            routes.setdefault(template, set()).add(method)
        try:
            route, parameters = match(path, routes)
        except Refusal:
            route, parameters = "", {}
        if request.method not in routes.get(route, ()):
            return _message(404, "Not Found", request_id)
        if not any(name.lower() == "authorization" and value for name, value in request.headers):
            # The identity source is missing, so nobody needs to be asked.
            return _message(401, "Unauthorized", request_id, _CHALLENGE)
        event = event_of(request, route, parameters, request_id)
        try:
            caller = self._let_in(event)
        except Exception as error:
            if str(error) == "Unauthorized":
                return _message(401, "Unauthorized", request_id, _CHALLENGE)
            return _message(500, "Internal Server Error", request_id)
        if caller is None:
            return _message(403, "Forbidden", request_id)
        event["requestContext"]["authorizer"] = caller
        told = clusters.handler(event, None)
        return HttpResponse(told["statusCode"], [*told["headers"].items()], told["body"].encode(), request_id)

    def _let_in(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Answer what the authorizer says of the caller, None where it does not let them in."""
        asked = (rest_event if self._payload == "1.0" else http_event)(event)
        with self._asking:
            answer = self._ask(asked, context("authorizer"))
        if self._payload == "1.0":
            may = allows(answer["policyDocument"], "execute-api:Invoke", asked["methodArn"])
        else:
            may = answer["isAuthorized"]
        return answer["context"] if may else None


def rest_event(event: dict[str, Any]) -> dict[str, Any]:
    """Answer what a REST API asks its authorizer about a request (payload 1.0)."""
    return {name: value for name, value in event.items() if name not in ("body", "isBase64Encoded")} | {
        "type": "REQUEST",
        "methodArn": f"{_API}/prod/{event['httpMethod']}{event['path']}",
    }


def http_event(event: dict[str, Any]) -> dict[str, Any]:
    """Answer what an HTTP API asks its authorizer about a request (payload 2.0)."""
    known = event["requestContext"]
    route_key = f"{event['httpMethod']} {event['resource']}"
    # An HTTP API joins what comes in several headers of a name, and shows the path unescaped.
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
            "accountId": known["accountId"],
            "apiId": "clusters",
            "domainName": known["domainName"],
            "domainPrefix": known["domainName"].partition(".")[0],
            "http": {
                "method": event["httpMethod"],
                "path": path,
                "protocol": known["protocol"],
                **known["identity"],
            },
            "requestId": known["requestId"],
            "routeKey": route_key,
            "stage": "$default",
            "timeEpoch": known["requestTimeEpoch"],
        },
        "pathParameters": event["pathParameters"] or {},
    }


def make_users(running: Running) -> dict[str, str]:
    """Create a Service User of each role; answer the variables of the walk, credentials and addresses."""
    variables = {"API": running.url, "OWNER": f"{running.owner['username']}:{running.owner['apiKey']}"}
    for username, role in ROLES.items():
        body = {"username": username, "email": f"{username}@demo.example", "role": role}
        status, answer = _call(
            "POST", f"{running.url}/v1/service-users", variables["OWNER"], json.dumps(body)
        )
        if status != 201:
            raise StartError(f"{username} could not be made: {answer}")
        for key in json.loads(answer)["apiKeys"]["apiKeys"]:
            variables[f"{username}_{key['keyType']}".upper()] = f"{username}:{key['key']}"
    return variables | {"WRONG": variables["VIEWER_MONITORING"][:-1] + "?"}


def walk(calls: Sequence[Shown], variables: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Make the calls that are shown, say what came of them, and answer whether all was as announced."""
    good = True
    for call in calls:
        url = variables[call.at] + call.path
        status, answer = _call(call.method, url, variables.get(call.credentials, ""), call.body)
        good = good and status == call.status
        verdict = "" if status == call.status else f"   EXPECTED {call.status}"
        say(f"  {status}   {call.method:<7}{call.path:<30} {call.why:<36} {answer[:60]}{verdict}")
    return good


def lines(file: Path) -> str:
    """Answer the walk as lines to paste."""
    parts = [f". {shlex.quote(str(file))}"]
    for call in WALK:
        words = ["curl -sS"]
        if call.credentials:
            words.append(f'-u "${call.credentials}"')
        if call.method != "GET":
            words.append(f"-X {call.method}")
        if call.body:
            words.append(f"-d {shlex.quote(call.body)}")
        words.append(f'"${call.at}{call.path}"')
        parts.append(f"# {call.status}: {call.why}\n{' '.join(words)} -w ' %{{http_code}}\\n'")
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both until Ctrl-C, or once through the walk; answer the exit status."""
    parser = argparse.ArgumentParser(prog="make example", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--port", type=int, default=8000, help="port of Service Users; the clusters' is the next"
    )
    parser.add_argument(
        "--payload", choices=PAYLOADS, default="1.0", help="as a REST API (1.0) or an HTTP API"
    )
    parser.add_argument("--home", type=Path, default=HOME, help="folder for credentials and emails")
    parser.add_argument(
        "--check",
        action="store_true",
        help="make the calls, with either payload, say what came of them, and end",
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    terminal = Quiet() if options.check else Terminal()
    home = options.home.absolute()
    try:
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(system(options.port, home, "app", terminal))
            variables = make_users(running)
            if options.check:
                return 0 if _check(stack, running, variables, terminal) else 1
            port = options.port + 1 if options.port else 0
            server = _server(port, running, options.payload, terminal)
            stack.enter_context(server.serving())
            variables["CLUSTERS"] = server.url
            file = home / "variables.sh"
            text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
            write_private(file, text.encode())
            terminal.say(_welcome(running, server.url, file, options.payload))
            while True:
                signal.pause()
    except KeyboardInterrupt:
        terminal.say("\n  Stopped. Goodbye.")
        return 0
    except StartError as error:
        sys.stderr.write(f"\n  {error}\n\n")
        return 1


def _check(
    stack: contextlib.ExitStack, running: Running, variables: dict[str, str], terminal: Terminal
) -> bool:
    """Walk with either payload; what is revoked at the end is so once."""
    good = True
    for payload, calls in (("1.0", [call for call in WALK if call.at == "CLUSTERS"][:-1]), ("2.0", WALK)):
        terminal.say(f"Payload {payload}")
        clusters.CLUSTERS.clear()
        server = _server(0, running, payload, terminal)
        stack.enter_context(server.serving())
        good = walk(calls, variables | {"CLUSTERS": server.url}, terminal.say) and good
    return good


def _server(port: int, running: Running, payload: str, terminal: Terminal) -> GatewayServer:
    gateway = Guarded(running.app.handler_map["authorizer"], payload, running.lock)
    try:
        server = GatewayServer(Chalice(app_name="clusters"), HOST, port, log=terminal.answered)
    except OSError as error:
        raise StartError(
            f"Port {port} is not to be had ({error}). Take others: make example PORT=9000"
        ) from error
    server.gateway = gateway
    return server


def _welcome(running: Running, url: str, file: Path, payload: str) -> str:
    with contextlib.suppress(ValueError):
        file = file.relative_to(Path.cwd())
    kind = "a REST API" if payload == "1.0" else "an HTTP API"
    return f"""
  Service Users is running, and an API about clusters that its keys guard.

    Service Users  {running.url}
    Clusters       {url}   ({kind}: payload {payload})
    Credentials    {file}   (Service Users viewer, operator and chief; READ_ONLY, CLUSTER_ADMIN, OWNER)
    Stop           Ctrl-C

  Paste into another terminal, in this folder. Before each call: what it answers, and why.

{lines(file)}

  What happens from here on, as it happens:
"""


def _call(method: str, url: str, credentials: str, body: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, method=method, data=body.encode() or None, headers=_JSON)  # noqa: S310
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - of this machine
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def _message(
    status: int, text: str, request_id: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    body = json.dumps({"message": text}).encode()
    return HttpResponse(status, [*_JSON.items(), *(headers or {}).items()], body, request_id)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
