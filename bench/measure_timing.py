"""Measures what the time of a refused sign-in tells an outsider.

``python -m local.dynamodb_local -- python -m bench.measure_timing [SAMPLES]``; 2,000 samples of each case by
default, taken in turn, so that what slows the machine slows all cases alike. The time is that of the whole
handler beside DynamoDB, without a network in between, which would hide more.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import Any

from botocore.exceptions import ClientError

import app as application
from bench.calls import event
from bench.measure_revocation import account, call, serve
from chalicelib.rules import key_format
from local.package.emulator import Key

WHOAMI = ("GET", "/v1/whoami", "/v1/whoami")
SERVICE_USERS = "/v1/service-users"


def main() -> None:
    """Take the samples; print the median of each case, and its distance from an unknown username."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    try:
        service = serve()
    except ClientError:  # the engine's first table takes longer than the client waits, and is there after all
        service = serve()
    owner = account(service)
    small = machine(owner, "small", {"keyTypes": ["MONITORING"]})
    networks = [f"2001:db8:{number:x}::/48" for number in range(50)]
    machine(owner, "large", {"role": "CLUSTER_ADMIN", "allowedNetworks": networks})
    other = key_format.new_key()
    mistyped = other[:-1] + ("a" if other[-1] != "a" else "b")
    cases = {
        "unknown username, well-formed key": Key("nobody", other),
        "small Service User (1 key), wrong key": Key("small", other),
        "User, wrong key": Key("owner", other),
        "large Service User (4 keys of 50 networks), wrong key": Key("large", other),
        "small Service User, the key of another": Key("small", owner.secret),
        "unknown username, wrong checksum": Key("nobody", mistyped),
        "large Service User, wrong checksum": Key("large", mistyped),
    }
    events = {name: event(*WHOAMI, key) for name, key in cases.items()}
    events["small Service User, its key of a type that may not (403)"] = event(
        "GET", SERVICE_USERS, SERVICE_USERS, small
    )
    times = measure(events, samples)
    base = statistics.median(times["unknown username, well-formed key"])
    for name, found in times.items():
        found.sort()
        middle = statistics.median(found)
        low, high = found[len(found) // 4], found[len(found) * 3 // 4]
        print(f"{name}: median {middle:.3f} ms ({middle - base:+.3f}), quartiles {low:.3f} to {high:.3f}")


def measure(events: dict[str, dict[str, Any]], samples: int) -> dict[str, list[float]]:
    """Return the milliseconds of each call, made in random order round by round."""
    times: dict[str, list[float]] = {name: [] for name in events}
    order = list(events)
    for number in range(samples + 50):
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            application.app(events[name], None)
            if number >= 50:  # the first ones warm up
                times[name].append((time.perf_counter() - start) * 1000)
    return times


def machine(owner: Key, name: str, more: dict[str, Any]) -> Key:
    """Create a Service User; return its first key."""
    body = {"username": name, "email": f"{name}@machines.example", "role": "READ_ONLY", **more}
    status, made = call("POST", SERVICE_USERS, SERVICE_USERS, owner, body)
    if status != 201:
        raise SystemExit(f"{name}: {status} {made}")
    return Key(name, str(made["apiKeys"]["apiKeys"][0]["key"]))


if __name__ == "__main__":
    main()
