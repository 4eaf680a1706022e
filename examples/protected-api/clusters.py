"""A small clusters API without any code for keys: it is called for authorized requests only.

API Gateway puts the caller into the request, from the authorizer's response. The clusters are kept in
memory, to keep the example short.
"""

import json
from collections.abc import Callable
from typing import Any

Response = tuple[int, Any]
"""A status and a JSON body."""

CLUSTERS: dict[str, dict[str, str]] = {}
"""The names of an account's clusters, by id."""


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Handle one request of a REST API (payload 1.0) or an HTTP API (payload 2.0)."""
    if event.get("version") == "2.0":
        route = event["routeKey"]
        caller = event["requestContext"]["authorizer"]["lambda"]
    else:
        route = f"{event['httpMethod']} {event['resource']}"
        caller = event["requestContext"]["authorizer"]
    status, body = ROUTES[route](event, caller)
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": "" if body is None else json.dumps(body),
    }


def monitor(_event: dict[str, Any], caller: dict[str, str]) -> Response:
    """Return the state of the account's clusters."""
    return 200, [{"id": number, "status": "RUNNING", "cpu": 0.42} for number in _clusters(caller)]


def list_clusters(_event: dict[str, Any], caller: dict[str, str]) -> Response:
    """List the account's clusters."""
    return 200, [{"id": number, "name": name} for number, name in _clusters(caller).items()]


def create(event: dict[str, Any], caller: dict[str, str]) -> Response:
    """Create a cluster in the caller's account."""
    try:
        name = json.loads(event["body"])["name"]
    except (TypeError, ValueError, KeyError):
        return 400, {"message": 'Send {"name": …}.'}
    clusters = _clusters(caller)
    number = str(max(map(int, clusters), default=0) + 1)
    clusters[number] = str(name)
    return 201, {"id": number, "name": str(name), "createdBy": caller["username"]}


def delete(event: dict[str, Any], caller: dict[str, str]) -> Response:
    """Delete a cluster of the caller's account."""
    if _clusters(caller).pop(event["pathParameters"]["id"], None) is None:
        return 404, {"message": "There is no such cluster."}
    return 204, None


def list_users(_event: dict[str, Any], caller: dict[str, str]) -> Response:
    """List users; this example knows only the caller."""
    return 200, [{"username": caller["username"], "kind": caller["kind"], "role": caller["role"]}]


def _clusters(caller: dict[str, str]) -> dict[str, str]:
    return CLUSTERS.setdefault(caller["account"], {"1": "blue", "2": "green"})


ROUTES: dict[str, Callable[[dict[str, Any], dict[str, str]], Response]] = {
    "GET /monitoring/clusters": monitor,
    "GET /provisioning/clusters": list_clusters,
    "POST /provisioning/clusters": create,
    "DELETE /provisioning/clusters/{id}": delete,
    "GET /user-management/users": list_users,
}
