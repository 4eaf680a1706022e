"""``make bench``: measures the package in one run, prints the tables, and writes docs/performance.md."""

import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench import data, peer_packages, report, tls
from bench.calls import HEALTH, WHOAMI, Calls, authorizer_event, event, service_user_calls, user_calls
from bench.report import AUTHORIZER, BARE, SERVICE_USERS, SLIMMED
from local.package.emulator import Emulator, Key
from local.package.event_source_mapping import EventSourceMapping
from local.package.runtime import Environment

HERE = Path(__file__).resolve().parent
STARTS = int(os.environ.get("BENCH_STARTS", "25"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "150"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "10,1000,100000").split(","))
_WARM_UP = 10


class Package(NamedTuple):
    """A package to start: its task root and its handler."""

    root: Path
    handler: str


def main() -> None:
    """Measure everything; write ``bench/results.json`` and the documentation, and print the tables."""
    package = Path(os.environ["SERVICE_USERS_PACKAGE"]).absolute()
    engine, certificates = os.environ["DYNAMODB_LOCAL_URL"], package.parent / "tls"
    authority = tls.authority(certificates)
    measured = prepared(package, package.parent / "bench-tls", authority)
    with (
        tempfile.TemporaryDirectory() as logs,
        tls.terminated(engine, certificates) as endpoint,
        Emulator(measured, engine, Path(logs), proxied=False, endpoint=endpoint) as emulator,
    ):
        owner = emulator.create_account(username="owner")
        packages = peers(measured, package.parent / "peers", authority)
        results = {
            "machine": machine(),
            "cold": cold(emulator, packages, owner, Path(logs)),
            "warm": warm(emulator, owner, Path(logs), service_user_calls),
            "mailer": mailer(emulator, Path(logs)),
            "users": warm(emulator, owner, Path(logs), user_calls),
            "idle": idle(emulator, owner, Path(logs)),
            "rate": rate(emulator, packages, owner, Path(logs)),
            "pages": pages(emulator, Path(logs)),
        }
    results["warm"] |= results.pop("users")  # measured after the mailer, which should notify only about keys
    results["machine"]["load after"] = round(os.getloadavg()[0], 2)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report.publish(results)
    print(report.tables(results))


def machine() -> dict[str, Any]:
    """Return what this is measured on, and when."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = named[0] if named else platform.processor()
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": cpu,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load before": round(os.getloadavg()[0], 2),
    }


def prepared(package: Path, target: Path, authority: str) -> Path:
    """Copy a package, and let the copy trust the authority of the bench too; return it."""
    target.mkdir(exist_ok=True)
    shutil.copyfile(package / "sam.json", target / "sam.json")
    peer_packages.trusting(package / "unpacked", target / "unpacked", authority)
    return target


def peers(package: Path, directory: Path, authority: str) -> dict[str, Package]:
    """Return what is compared, by the names that are published."""
    built = peer_packages.build(directory, authority)
    code = package / "unpacked"
    return {
        BARE: Package(built["bare"], "handler.handler"),
        SLIMMED: Package(built[peer_packages.SLIM], "handler.handler"),
        SERVICE_USERS: Package(code, "app.app"),
        "Powertools + pydantic": Package(built["powertools"], "handler.handler"),
        "FastAPI + Mangum": Package(built["fastapi"], "handler.handler"),
        "bare, not compiled": Package(
            peer_packages.uncompiled(built["bare"], directory / "bare-py"), "handler.handler"
        ),
        "Service Users, not compiled": Package(
            peer_packages.uncompiled(code, directory / "service-users-py"), "app.app"
        ),
    }


def cold(emulator: Emulator, packages: dict[str, Package], owner: Key, logs: Path) -> dict[str, Any]:
    """Start each package repeatedly, in turn, and time it from process start to first response.

    Ratios are medians of those of each turn, so that load on the machine affects both sides of one.
    """
    function = emulator.functions["Authorizer"]
    measured = {**packages, AUTHORIZER: Package(function.task_root, function.handler)}
    variables = emulator.functions["APIHandler"].variables
    calls = {"start": event(*HEALTH), "sign-in": event(*WHOAMI, owner)}
    requests = dict.fromkeys(measured, calls) | {AUTHORIZER: {"sign-in": authorizer_event(owner)}}
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    memory: dict[str, list[int]] = defaultdict(list)
    for turn in range(STARTS + 1):
        for name, one in measured.items():
            for what, request in requests[name].items():
                environment = Environment(one.root, one.handler, variables, logs / "cold.log")
                body, at = environment.invoke_raw(json.dumps(request).encode())
                result = json.loads(body)
                assert result.get("statusCode") == 200 or result["context"]["username"] == "owner", body
                if turn:  # the first round reads its files from disk
                    times[name][what].append((at - environment.started) * 1000)
                    memory[name].append(environment.peak_memory())
                environment.close()
    return {
        name: {
            **{
                what: {
                    "median": round(statistics.median(times[name][what]), 1),
                    "least": round(min(times[name][what]), 1),
                    "ratio": _ratio(times[name][what], times[BARE][what]),
                    "slimmed ratio": _ratio(times[name][what], times[SLIMMED][what]),
                }
                for what in requests[name]
            },
            "memory": round(statistics.median(memory[name]) / 2**20, 1),
        }
        for name in measured
    }


def _ratio(times: list[float], others: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(times, others, strict=True)), 2)


class InstrumentedEnvironment:
    """An environment in which ``instrumented.py`` wraps the handler."""

    def __init__(
        self, emulator: Emulator, logs: Path, function: str = "APIHandler", *, capacity: bool = False
    ) -> None:
        wrapped = emulator.functions[function]
        variables = {
            **wrapped.variables,
            "MEASURED": wrapped.handler,
            "PYTHONPATH": f"{wrapped.task_root}:{HERE}",
            "TABLES": json.dumps(_described(emulator), default=str) if capacity else "",
        }
        log = logs / "instrumented.log"
        self._environment = Environment(wrapped.task_root, "instrumented.handler", variables, log)

    def invoke(self, request: Any) -> dict[str, Any]:
        """Invoke the handler; return its result, its timings and its AWS calls."""
        measured: dict[str, Any] = self._environment.invoke(request)
        return measured

    def close(self) -> None:
        """End the environment."""
        self._environment.close()


def _described(emulator: Emulator) -> dict[str, Any]:
    return {
        name: emulator.dynamodb.describe_table(TableName=name)["Table"]
        for name in (emulator.directory, emulator.events)
    }


Measurement = dict[str, Any]
"""What ``instrumented.py`` returns for one invocation."""


def warm(emulator: Emulator, owner: Key, logs: Path, calls: Calls) -> dict[str, Any]:
    """Make calls repeatedly in one environment; measure the time outside DynamoDB, and the DynamoDB calls."""
    times: dict[str, list[Measurement]] = defaultdict(list)
    counts: dict[str, list[Measurement]] = defaultdict(list)

    def repeat(numbers: range, recorded: dict[str, list[Measurement]], *, capacity: bool) -> None:
        environment = InstrumentedEnvironment(emulator, logs, capacity=capacity)

        def call(name: str, request: dict[str, Any]) -> Any:
            measured = environment.invoke(request)
            response = measured["result"]
            assert response["statusCode"] < 300, (name, response)
            recorded[name].append(measured)
            return json.loads(response["body"]) if response["body"] else None

        for n in numbers:
            calls(owner, n, call)
            if n < _WARM_UP:
                recorded.clear()
        environment.close()

    repeat(range(_WARM_UP + ROUNDS), times, capacity=False)
    repeat(range(_WARM_UP + ROUNDS, _WARM_UP + ROUNDS + 3), counts, capacity=True)
    if calls is service_user_calls:
        times[AUTHORIZER] = authorizer(emulator, owner, logs, ROUNDS, capacity=False)
        counts[AUTHORIZER] = authorizer(emulator, owner, logs, 3, capacity=True)
    return {
        name: {
            "own": _ms(one["total"] - one["waiting"] - one["client"] for one in measured),
            "client": _ms(one["client"] for one in measured),
            "outside": _ms(one["total"] - one["waiting"] for one in measured),
            "cpu": _ms(one["cpu"] for one in measured),
            "dynamodb": _ms(one["waiting"] for one in measured),
            "calls": [call["operation"] for call in counts[name][-1]["calls"]],
            **{kind: total(counts[name][-1]["calls"], kind) for kind in ("reads", "writes")},
        }
        for name, measured in times.items()
    }


def authorizer(
    emulator: Emulator, owner: Key, logs: Path, rounds: int, *, capacity: bool
) -> list[Measurement]:
    """Call the authorizer repeatedly in one environment."""
    environment = InstrumentedEnvironment(emulator, logs, "Authorizer", capacity=capacity)
    measured = [environment.invoke(authorizer_event(owner)) for _ in range(rounds)]
    environment.close()
    return measured


def total(calls: list[dict[str, Any]], kind: str) -> float:
    """Return the ``reads`` or ``writes`` units that calls consumed."""
    return round(sum(float(call.get(kind, 0)) for call in calls), 1)


def mailer(emulator: Emulator, logs: Path) -> dict[str, Any]:
    """Let the mailer notify about all events so far; measure its DynamoDB calls for each event."""
    environment = InstrumentedEnvironment(emulator, logs, "Notify", capacity=True)
    calls: list[dict[str, Any]] = []
    events = 0

    def notify(batch: Any) -> Any:
        nonlocal events
        measured = environment.invoke(batch)
        events += len(batch["Records"])
        calls.extend(measured["calls"])
        return measured["result"]

    properties = emulator.template.properties("Notify")["Events"]["NotifyDynamodbEventSource"]["Properties"]
    EventSourceMapping(emulator.streams, emulator.stream_arn, properties, notify).deliver()
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


def idle(emulator: Emulator, owner: Key, logs: Path) -> dict[str, dict[str, float]]:
    """Sign in when connections are kept and when they are gone, with and without the note of a key's use."""
    environment = InstrumentedEnvironment(emulator, logs)
    environment.invoke(event(*WHOAMI, owner))
    measured: dict[str, list[Measurement]] = defaultdict(list)
    for n in range(_WARM_UP + STARTS):
        body = {"username": f"idle-{n}", "email": f"idle-{n}@machines.example", "role": "READ_ONLY"}
        made = emulator.call("POST", "/v1/service-users", owner, body).json["apiKeys"]["apiKeys"]
        first, second = (Key(f"idle-{n}", one["key"]) for one in made)
        for name, request, calls in (
            ("kept connection, with a note", event(*WHOAMI, first), 2),
            ("kept connection", event(*WHOAMI, first), 1),
            ("new connection, with a note", {"idle": event(*WHOAMI, second)}, 2),
            ("new connection", {"idle": event(*WHOAMI, second)}, 1),
        ):
            one = environment.invoke(request)
            assert (one["result"]["statusCode"], len(one["calls"])) == (200, calls), one
            if n >= _WARM_UP:
                measured[name].append(one)
    environment.close()
    return {
        name: {
            "outside": _ms(one["total"] - one["waiting"] for one in each),
            "cpu": _ms(one["cpu"] for one in each),
        }
        for name, each in measured.items()
    }


def rate(
    emulator: Emulator, packages: dict[str, Package], owner: Key, logs: Path
) -> dict[str, dict[str, float]]:
    """Sign in as fast as one environment can, call after call; compare with the bare handlers' one read.

    The processor's time is all that the environment's process uses, by the call.
    """
    variables = emulator.functions["APIHandler"].variables
    request = json.dumps(event(*WHOAMI, owner)).encode()
    environments = {
        name: Environment(one.root, one.handler, variables, logs / "rate.log")
        for name, one in packages.items()
        if not name.endswith("not compiled")
    }
    done: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    for environment in environments.values():
        for _ in range(_WARM_UP):
            environment.invoke_raw(request)
    for _ in range(5):  # in turn, so that load on the machine affects all of them
        for name, environment in environments.items():
            began, used, count = time.perf_counter(), environment.cpu_seconds(), 0
            while time.perf_counter() - began < SECONDS / 5:
                environment.invoke_raw(request)
                count += 1
            done[name].append(count / (time.perf_counter() - began))
            cpu[name].append((environment.cpu_seconds() - used) / count)
    for environment in environments.values():
        environment.close()
    return {
        name: {
            "calls": round(statistics.median(done[name])),
            "cpu": _ms(cpu[name]),
            "cpu ratio": _ratio(cpu[name], cpu[SLIMMED]),
        }
        for name in environments
    }


def pages(emulator: Emulator, logs: Path) -> dict[str, Any]:
    """Read a first and a later page of accounts of several sizes."""
    results: dict[str, Any] = {}
    for size in SIZES:
        owner = emulator.create_account(username=f"owner-of-{size}")
        account = emulator.call("GET", "/v1/whoami", owner).json["account"]
        data.fill(emulator.dynamodb, emulator.directory, emulator.events, account, owner.username, size)
        for title, path in (("Service Users", "/v1/service-users"), ("events", "/v1/events")):
            results[f"{title}, {size:,}"] = _pages(emulator, logs, owner, path, size)
    return results


def _pages(emulator: Emulator, logs: Path, owner: Key, path: str, size: int) -> dict[str, Any]:
    timed = InstrumentedEnvironment(emulator, logs)
    counted = InstrumentedEnvironment(emulator, logs, capacity=True)
    first = event("GET", path, path, owner, query={"limit": "100"})
    late = first
    response = timed.invoke(first)["result"]
    for _ in range(min(20, size // 200)):
        cursor = report.next_cursor(response["headers"]["Link"])
        late = event("GET", path, path, owner, query={"limit": "100", "cursor": cursor})
        response = timed.invoke(late)["result"]
    result: dict[str, Any] = {"members": len(json.loads(timed.invoke(first)["result"]["body"]))}
    for name, request in (("first", first), ("late", late)):
        measured = [timed.invoke(request) for _ in range(20)]
        result[name] = {
            "ms": _ms(one["total"] for one in measured),
            "dynamodb": _ms(one["waiting"] for one in measured),
        }
    counted.invoke(first)
    calls = counted.invoke(first)["calls"]
    result["calls"], result["reads"] = len(calls), total(calls, "reads")
    timed.close()
    counted.close()
    return result


if __name__ == "__main__":
    main()
