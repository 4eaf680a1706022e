"""``make bench``: measures the package in one run, prints a table, and keeps it and a plot in ``bench/``."""

import json
import os
import platform
import statistics
import tempfile
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench import data, report
from bench import peer_packages as apis
from local.package.emulator import Cloud, Key
from local.package.event_source_mapping import EventSource
from local.package.runtime import Environment
from local.package.template import REGION

HERE = Path(__file__).resolve().parent
STARTS = int(os.environ.get("BENCH_STARTS", "25"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "150"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "10,1000,100000").split(","))


AUTHORIZER = "the authorizer"


class Package(NamedTuple):
    """Something to start: where it is and what it is called with."""

    root: Path
    handler: str


def main() -> None:
    """Measure everything. The results go to ``bench/results.*`` and, as a table, to the terminal."""
    package = Path(os.environ["SERVICE_USERS_PACKAGE"]).absolute()
    with (
        tempfile.TemporaryDirectory() as logs,
        Cloud(package, os.environ["DYNAMODB_LOCAL_URL"], Path(logs), proxied=False) as cloud,
    ):
        owner = cloud.account(username="owner")
        results = {
            "machine": machine(),
            "cold": cold(cloud, package, owner, Path(logs)),
            "warm": warm(cloud, owner, Path(logs), a_round_of_machines),
            "mailer": mailer(cloud, Path(logs)),
            "people": warm(cloud, owner, Path(logs), a_round_of_people),
            "rate": rate(cloud, package, owner, Path(logs)),
            "pages": pages(cloud, Path(logs)),
        }
    results["warm"] |= results.pop("people")  # after the mailer, which was to tell of machines' keys
    results["machine"]["load after"] = round(os.getloadavg()[0], 2)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = report.table(results)
    (HERE / "results.md").write_text(table, encoding="utf-8")
    (HERE / "results.svg").write_text(report.plot(results), encoding="utf-8")
    readme = HERE.parent / "README.md"
    readme.write_text(report.into_readme(readme.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(table)


def machine() -> dict[str, Any]:
    """Answer what this was measured on, and when."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    cpu = named[0] if named else platform.processor()
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": cpu,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load before": round(os.getloadavg()[0], 2),
    }


def event(method: str, path: str, route: str, key: Key | None = None, body: Any = None, **more: Any) -> Any:
    """Answer API Gateway's event of a request."""
    headers = {"Accept": "*/*", "Host": "users.example.com", "User-Agent": "curl/8.0"}
    if key is not None:
        headers["Authorization"] = "Basic " + b64encode(f"{key.username}:{key.secret}".encode()).decode()
    if body is not None:
        headers["Content-Type"] = "application/json"
    query = more.get("query")
    return {
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()}
        if query
        else None,
        "pathParameters": more.get("parameters"),
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "stage": "api",
            "protocol": "HTTP/1.1",
            "resourcePath": route,
            "path": f"/api{path}",
            "httpMethod": method,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "identity": {"sourceIp": "198.51.100.7", "userAgent": "curl/8.0"},
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


WHOAMI = ("GET", "/v1/whoami", "/v1/whoami")
HEALTH = ("GET", "/health", "/health")


def cold(cloud: Cloud, package: Path, owner: Key, logs: Path) -> dict[str, Any]:
    """Start everything again and again, in turn, and time it from its process's start to its first answer."""
    built = apis.build(package.parent / "beside")
    code = package / "unpacked"
    measured = {
        "bare boto3 handler": Package(built["bare"], "handler.handler"),
        "Service Users": Package(code, "app.app"),
        "Powertools + pydantic": Package(built["powertools"], "handler.handler"),
        "FastAPI + Mangum": Package(built["fastapi"], "handler.handler"),
        "bare, not compiled": Package(
            apis.uncompiled(built["bare"], package.parent / "beside" / "bare-py"), "handler.handler"
        ),
        "Service Users, not compiled": Package(
            apis.uncompiled(code, package.parent / "beside" / "service-users-py"), "app.app"
        ),
    }
    measured[AUTHORIZER] = Package(code, cloud.functions["Authorizer"].handler)
    variables = cloud.functions["APIHandler"].variables
    calls = {"start": event(*HEALTH), "sign-in": event(*WHOAMI, owner)}
    asked = dict.fromkeys(measured, calls) | {AUTHORIZER: {"sign-in": to_authorize(owner)}}
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    memory: dict[str, list[int]] = defaultdict(list)
    for turn in range(STARTS + 1):
        for name, one in measured.items():
            for what, request in asked[name].items():
                environment = Environment(one.root, one.handler, variables, logs / "cold.log")
                body, at = environment.invoke_raw(json.dumps(request).encode())
                answer = json.loads(body)
                assert answer.get("statusCode") == 200 or answer["context"]["username"] == "owner", body
                if turn:  # the first one finds its files on disk
                    times[name][what].append((at - environment.started) * 1000)
                    memory[name].append(environment.peak_memory())
                environment.close()
    bare = {what: statistics.median(times["bare boto3 handler"][what]) for what in calls}
    return {
        name: {
            **{
                what: {
                    "median": round(statistics.median(times[name][what]), 1),
                    "least": round(min(times[name][what]), 1),
                    "ratio": round(statistics.median(times[name][what]) / bare[what], 2),
                }
                for what in asked[name]
            },
            "memory": round(statistics.median(memory[name]) / 2**20, 1),
        }
        for name in measured
    }


class Measured:
    """An environment in which ``instrumented.py`` stands around the handler."""

    def __init__(self, cloud: Cloud, logs: Path, function: str = "APIHandler", **more: str) -> None:
        of = cloud.functions[function]
        variables = {**of.variables, "MEASURED": of.handler, "PYTHONPATH": f"{of.task_root}:{HERE}", **more}
        self._environment = Environment(
            of.task_root, "instrumented.handler", variables, logs / "measured.log"
        )

    def call(self, request: Any) -> dict[str, Any]:
        measured: dict[str, Any] = self._environment.invoke(request)
        return measured

    def close(self) -> None:
        self._environment.close()


Round = Callable[[Key, int, Callable[[str, Any], Any]], None]


def a_round_of_machines(owner: Key, n: int, call: Callable[[str, Any], Any]) -> None:
    """One round through the endpoints; ``call`` takes each one's name and event, and answers its body."""
    name = f"bench-{n}"
    users, one = "/v1/service-users", "/v1/service-users/{username}"
    path, parameters = f"/v1/service-users/{name}", {"username": name}
    key = {"keyType": "MONITORING"}

    def of(method: str, below: str = "", body: Any = None) -> Any:
        return event(method, path + below, one + below, owner, body, parameters=parameters)

    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY"}
    made = call("POST /v1/service-users", event("POST", users, users, owner, body))
    machine = Key(name, made["apiKeys"]["apiKeys"][0]["key"])
    call("GET /v1/whoami (first use of a key)", event(*WHOAMI, machine))
    call("GET /v1/whoami", event(*WHOAMI, machine))
    call("GET /v1/service-users/{username}", of("GET"))
    call("PUT /v1/service-users/{username}", of("PUT", body={"displayName": "B"}))
    call("PATCH …/api-keys", of("PATCH", "/api-keys", {**key, "allowedNetworks": ["198.51.100.0/24"]}))
    call("POST …/api-keys/rotate", of("POST", "/api-keys/rotate", key))
    call("DELETE …/api-keys", of("DELETE", "/api-keys", key))
    made = call("POST …/api-keys", of("POST", "/api-keys", key))
    rotate = "/v1/api-keys/rotate"
    call("POST /v1/api-keys/rotate", event("POST", rotate, rotate, Key(name, made["key"])))
    call("GET /v1/service-users?limit=10", event("GET", users, users, owner, query={"limit": "10"}))
    call("GET /v1/events?limit=10", event("GET", "/v1/events", "/v1/events", owner, query={"limit": "10"}))
    call("GET /v1/account", event("GET", "/v1/account", "/v1/account", owner))
    call("GET /v1/users", event("GET", "/v1/users", "/v1/users", owner))
    call("DELETE /v1/service-users/{username}", of("DELETE"))


def a_round_of_people(owner: Key, n: int, call: Callable[[str, Any], Any]) -> None:
    """One round through the other endpoints. Activating takes an email, and is not in it."""
    people(owner, n, call)
    key = {"keyType": "MONITORING"}
    mine, parameters = "/v1/users/{username}/api-keys", {"username": owner.username}
    for method, below, body in (
        ("POST", "", key),
        ("GET", "", None),
        ("PATCH", "", {**key, "allowedNetworks": ["198.51.100.0/24"]}),
        ("POST", "/rotate", key),
        ("DELETE", "", key),
    ):
        path = f"/v1/users/{owner.username}/api-keys{below}"
        asked = event(method, path, mine + below, owner, body, parameters=parameters)
        call(f"{method} /v1/users/{{username}}/api-keys{below}", asked)
    account = {"maxKeyAgeDays": 100 + n}
    call("PUT /v1/account", event("PUT", "/v1/account", "/v1/account", owner, account))
    call("GET /health", event(*HEALTH))


def people(owner: Key, n: int, call: Callable[[str, Any], Any]) -> None:
    """A person who is invited, changed, invited again and revoked; activating takes an email."""
    name, users, one = f"person-{n}", "/v1/users", "/v1/users/{username}"
    body = {"username": name, "email": f"{name}@people.example", "role": "READ_ONLY"}
    call("POST /v1/users", event("POST", users, users, owner, body))
    for method, below, change in (
        ("GET", "", None),
        ("PUT", "", {"role": "CLUSTER_ADMIN"}),
        ("POST", "/invitation", None),
        ("DELETE", "", None),
    ):
        asked = event(
            method, f"{users}/{name}{below}", one + below, owner, change, parameters={"username": name}
        )
        call(f"{method} {one}{below}", asked)


def warm(cloud: Cloud, owner: Key, logs: Path, a_round: Round) -> dict[str, Any]:
    """Go round endpoints in one environment: what each takes outside DynamoDB, and asks of it."""
    times: dict[str, list[dict[str, Any]]] = defaultdict(list)
    units: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)

    def calling(
        environment: Measured, keep: Callable[[str, dict[str, Any]], None]
    ) -> Callable[[str, Any], Any]:
        def call(name: str, request: Any) -> Any:
            measured = environment.call(request)
            answer = measured["answer"]
            assert answer["statusCode"] < 300, (name, answer)
            keep(name, measured)
            return json.loads(answer["body"]) if answer["body"] else None

        return call

    environment = Measured(cloud, logs)
    for n in range(ROUNDS + 10):
        keep = times if n >= 10 else defaultdict(list)
        a_round(owner, n, calling(environment, lambda name, measured, keep=keep: keep[name].append(measured)))
    environment.close()
    environment = Measured(cloud, logs, CAPACITY="yes")
    for n in range(3):
        keep = lambda name, measured: units[name].append(measured["calls"])  # noqa: E731
        a_round(owner, ROUNDS + 10 + n, calling(environment, keep))
    environment.close()
    if a_round is a_round_of_machines:
        authorizer(cloud, owner, logs, times, units)
    return {
        name: {
            "own": _ms(one["total"] - one["waited"] - one["client"] for one in measured),
            "client": _ms(one["client"] for one in measured),
            "outside": _ms(one["total"] - one["waited"] for one in measured),
            "worked": _ms(one["worked"] for one in measured),
            "dynamodb": _ms(one["waited"] for one in measured),
            "calls": [call["operation"] for call in units[name][-1]],
            **{kind: total(units[name][-1], kind) for kind in ("reads", "writes")},
        }
        for name, measured in times.items()
    }


def authorizer(cloud: Cloud, owner: Key, logs: Path, times: Any, units: Any) -> None:
    """Measure the authorizer likewise."""
    request = to_authorize(owner)
    for keep, more in ((times, {}), (units, {"CAPACITY": "yes"})):
        environment = Measured(cloud, logs, "Authorizer", **more)
        for _ in range(ROUNDS if keep is times else 3):
            measured = environment.call(request)
            keep[AUTHORIZER].append(measured if keep is times else measured["calls"])
        environment.close()


def to_authorize(key: Key) -> Any:
    """Answer the event of a request to somebody's API that the authorizer is to judge."""
    request = event("GET", "/monitoring/v1/clusters", "/monitoring/v1/clusters", key)
    request["type"] = "REQUEST"
    request["methodArn"] = f"arn:aws:execute-api:{REGION}:123456789012:abc/api/GET/monitoring/v1/clusters"
    return request


def total(calls: list[dict[str, Any]], kind: str) -> float:
    """Answer how many units of a kind calls used."""
    return round(sum(call.get(kind, 0) for call in calls), 1)


def mailer(cloud: Cloud, logs: Path) -> dict[str, Any]:
    """Have the mailer tell of everything that the rounds left: what it asks of DynamoDB for an event."""
    environment = Measured(cloud, logs, "Notify", CAPACITY="yes")
    calls: list[dict[str, Any]] = []
    events = 0

    def notify(batch: Any) -> Any:
        nonlocal events
        measured = environment.call(batch)
        events += len(batch["Records"])
        calls.extend(measured["calls"])
        return measured["answer"]

    properties = cloud.template.properties("Notify")["Events"]["NotifyDynamodbEventSource"]["Properties"]
    EventSource(cloud.streams, cloud.stream_arn, properties, notify).pump()
    environment.close()
    return {
        "events": events,
        **{kind: round(total(calls, kind) / events, 2) for kind in ("reads", "writes")},
        "calls": {
            one: sum(call["operation"] == one for call in calls) for one in {c["operation"] for c in calls}
        },
    }


def _ms(seconds: Iterable[float]) -> float:
    return round(statistics.median(seconds) * 1000, 3)


def rate(cloud: Cloud, package: Path, owner: Key, logs: Path) -> dict[str, float]:
    """Sign in as fast as one environment can, one after the other, beside the bare handler's one read."""
    variables = cloud.functions["APIHandler"].variables
    request = json.dumps(event(*WHOAMI, owner)).encode()
    packages = {
        "Service Users": Package(package / "unpacked", "app.app"),
        "bare boto3 handler": Package(package.parent / "beside" / "bare", "handler.handler"),
        "Powertools + pydantic": Package(package.parent / "beside" / "powertools", "handler.handler"),
        "FastAPI + Mangum": Package(package.parent / "beside" / "fastapi", "handler.handler"),
    }
    environments = {
        name: Environment(one.root, one.handler, variables, logs / "rate.log")
        for name, one in packages.items()
    }
    done: dict[str, list[float]] = defaultdict(list)
    for environment in environments.values():
        environment.invoke_raw(request)
    for _ in range(5):  # in turn, so that a busy moment of the machine is everybody's
        for name, environment in environments.items():
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < SECONDS / 5:
                environment.invoke_raw(request)
                count += 1
            done[name].append(count / (time.perf_counter() - began))
    for environment in environments.values():
        environment.close()
    return {name: round(statistics.median(rates)) for name, rates in done.items()}


def pages(cloud: Cloud, logs: Path) -> dict[str, Any]:
    """Read a first and a late page of accounts of several sizes."""
    results: dict[str, Any] = {}
    for size in SIZES:
        owner = cloud.account(username=f"owner-of-{size}")
        account = cloud.call("GET", "/v1/whoami", owner).json["account"]
        data.fill(cloud.dynamodb, cloud.directory, cloud.events, account, owner.username, size)
        for what, path in (("Service Users", "/v1/service-users"), ("events", "/v1/events")):
            results[f"{what}, {size:,}"] = _pages(cloud, logs, owner, path, size)
    return results


def _pages(cloud: Cloud, logs: Path, owner: Key, path: str, size: int) -> dict[str, Any]:
    timed, counted = Measured(cloud, logs), Measured(cloud, logs, CAPACITY="yes")
    first = event("GET", path, path, owner, query={"limit": "100"})
    late = first
    answer = timed.call(first)["answer"]
    for _ in range(min(20, size // 200)):
        cursor = report.cursor(answer["headers"]["Link"])
        late = event("GET", path, path, owner, query={"limit": "100", "cursor": cursor})
        answer = timed.call(late)["answer"]
    result: dict[str, Any] = {"members": len(json.loads(timed.call(first)["answer"]["body"]))}
    for name, request in (("first", first), ("late", late)):
        measured = [timed.call(request) for _ in range(20)]
        result[name] = {
            "ms": _ms(one["total"] for one in measured),
            "dynamodb": _ms(one["waited"] for one in measured),
        }
    counted.call(first)
    calls = counted.call(first)["calls"]
    result["calls"], result["reads"] = len(calls), total(calls, "reads")
    timed.close()
    counted.close()
    return result


if __name__ == "__main__":
    main()
