"""Serves nginx' auth_request and Envoy's ext_authz with the function ``verify`` of Service Users.

    VERIFY_FUNCTION=service-users-acme-Verify-X python adapter.py nginx 127.0.0.1:9000

It runs beside the proxy and listens to it alone: it believes what the proxy says of the client's address. It
needs boto3, and credentials that may invoke the function (lambda:InvokeFunction).
"""

import json
import os
import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""Asks ``verify`` a question and returns its decision."""

CALLER = {
    "X-Service-User": "username",
    "X-Service-User-Account": "account",
    "X-Service-User-Kind": "kind",
    "X-Service-User-Role": "role",
    "X-Service-User-Key-Type": "keyType",
}
"""What the service behind the proxy learns of the caller: headers, by fields of the decision."""

CHALLENGE = 'Basic realm="Service Users", charset="UTF-8"'


class Received(NamedTuple):
    """A request as the proxy received it, and every Authorization header of it."""

    source_ip: str
    method: str
    path: str
    authorizations: list[str]


def from_nginx(handler: BaseHTTPRequestHandler) -> Received:
    """Read the request from the headers that nginx.conf sets; a client's own of these names are replaced."""
    headers = handler.headers
    return Received(
        headers.get("X-Original-Address", ""),
        headers.get("X-Original-Method", ""),
        headers.get("X-Original-Uri", ""),
        headers.get_all("Authorization", []),
    )


def from_envoy(handler: BaseHTTPRequestHandler) -> Received:
    """Read the request as Envoy repeats it. The last address is the one that Envoy itself has seen.

    The path is that of the request line: ``handler.path`` has one slash where that has several at its start.
    """
    hops = ",".join(handler.headers.get_all("X-Forwarded-For", []))
    address = hops.rpartition(",")[2].strip()
    path = handler.requestline.split()[1]
    return Received(address, handler.command, path, handler.headers.get_all("Authorization", []))


PROXIES = {"nginx": from_nginx, "envoy": from_envoy}


def serve(proxy: str, address: tuple[str, int], ask: Ask) -> ThreadingHTTPServer:
    """Return a server that responds to a proxy's requests, once ``serve_forever`` is called."""
    read = PROXIES[proxy]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response in one packet: a second one can wait 40 ms for an acknowledgement

        def check(self) -> None:
            received = read(self)
            try:
                decision = decide(received, ask)
            except Exception as error:  # whatever it is, nobody is let in
                sys.stderr.write(f"verify could not be asked: {type(error).__name__}\n")
                decision = {
                    "allowed": False,
                    "status": 503,
                    "reason": "Nobody could be signed in. Try again.",
                }
            self.respond(decision)

        def respond(self, decision: dict[str, Any]) -> None:
            allowed = decision["allowed"] is True
            self.send_response(200 if allowed else decision["status"])
            if allowed:
                for name, field in CALLER.items():
                    self.send_header(name, re.sub(r"[^ -~]", "", str(decision[field])))
            if decision["status"] == 401:
                self.send_header("WWW-Authenticate", CHALLENGE)
            body = b"" if allowed else json.dumps({"detail": decision["reason"]}).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        # The base class's names.
        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = check  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Print nothing: the function has a log."""

    return ThreadingHTTPServer(address, Handler)


def decide(received: Received, ask: Ask) -> dict[str, Any]:
    """Return the decision on a request. Two Authorization headers that differ are none."""
    sent = set(received.authorizations)
    return ask(
        {
            "sourceIp": received.source_ip,
            "method": received.method,
            "path": received.path,
            "authorization": sent.pop() if len(sent) == 1 else None,
        }
    )


def by_lambda(function: str) -> Ask:
    """Return a way to ask the deployed function."""
    import boto3

    client = boto3.client("lambda")

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        response = client.invoke(FunctionName=function, Payload=json.dumps(question).encode())
        if "FunctionError" in response:
            raise RuntimeError("the function failed; its log says why")
        decision: dict[str, Any] = json.load(response["Payload"])
        return decision

    return ask


def main() -> None:
    """Serve until stopped."""
    proxy, listen = sys.argv[1:]
    host, _, port = listen.rpartition(":")
    serve(proxy, (host, int(port)), by_lambda(os.environ["VERIFY_FUNCTION"])).serve_forever()


if __name__ == "__main__":
    main()
