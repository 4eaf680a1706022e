"""A small API about clusters that knows nothing of keys: by the time it is called, the caller was let in.

Who the caller is stands in the request, put there by API Gateway from the authorizer's answer.
The clusters are kept in memory, as this is not about them.
"""

import json
from collections.abc import Callable
from typing import Any

Answer = tuple[int, Any]

CLUSTERS: dict[str, dict[str, str]] = {}
"""Names of clusters by their ids, for each account."""


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer one request of a REST API (payload 1.0) or an HTTP API (payload 2.0)."""
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


def watch(_event: dict[str, Any], caller: dict[str, str]) -> Answer:
    """Tell how the account's clusters are."""
    return 200, [{"id": number, "status": "RUNNING", "cpu": 0.42} for number in _clusters(caller)]


def listing(_event: dict[str, Any], caller: dict[str, str]) -> Answer:
    """List the account's clusters."""
    return 200, [{"id": number, "name": name} for number, name in _clusters(caller).items()]


def create(event: dict[str, Any], caller: dict[str, str]) -> Answer:
    """Create a cluster, in the account of whoever asks."""
    try:
        name = json.loads(event["body"])["name"]
    except (TypeError, ValueError, KeyError):
        return 400, {"message": 'Send {"name": …}.'}
    clusters = _clusters(caller)
    number = str(max(map(int, clusters), default=0) + 1)
    clusters[number] = str(name)
    return 201, {"id": number, "name": str(name), "createdBy": caller["username"]}


def delete(event: dict[str, Any], caller: dict[str, str]) -> Answer:
    """Delete a cluster of the account."""
    if _clusters(caller).pop(event["pathParameters"]["id"], None) is None:
        return 404, {"message": "There is no such cluster."}
    return 204, None


def people(_event: dict[str, Any], caller: dict[str, str]) -> Answer:
    """List people; this one knows of nobody but who asks."""
    return 200, [{"username": caller["username"], "kind": caller["kind"], "role": caller["role"]}]


def _clusters(caller: dict[str, str]) -> dict[str, str]:
    return CLUSTERS.setdefault(caller["account"], {"1": "blue", "2": "green"})


ROUTES: dict[str, Callable[[dict[str, Any], dict[str, str]], Answer]] = {
    "GET /monitoring/clusters": watch,
    "GET /provisioning/clusters": listing,
    "POST /provisioning/clusters": create,
    "DELETE /provisioning/clusters/{id}": delete,
    "GET /user-management/users": people,
}
