"""What the callers do: the mix of an ordinary day, a cron at the full hour, a mass rotation, a flood.

Each is drawn with a fixed seed, at a pace of this machine.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from bench.calls import WHOAMI, event
from bench.load.fleet import Call, Caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.package.emulator import Key

SEED = 17
SIGN_IN, ROTATE = "sign in", "rotate"
READ, LIST, EVENTS, RESTRICT = "read one", "list", "read events", "restrict"

DAY = {SIGN_IN: 88, ROTATE: 4, READ: 3, LIST: 2, EVENTS: 2, RESTRICT: 1}
"""The mix of an ordinary day, in percent: machines sign in, a few keys rotate, people look."""

HOUR = ((5, 0.5), (20, 0.3), (60, 0.2))
"""A cron at the full hour: until a second of the minute, the share of the sign-ins since the one before."""
HOUR_SIGN_INS = 50_000
HOUR_PEAK = HOUR_SIGN_INS * HOUR[0][1] / HOUR[0][0]
"""The sign-ins of a full-scale hour, and how many come in each of its first seconds."""


class Account:
    """An account: its OWNER and its machines."""

    def __init__(self, name: str, owner: Key, machines: list[Caller]) -> None:
        self.name = name
        self.owner = Caller(name, owner)
        self.machines = machines


def day(accounts: Sequence[Account], rate: float, seconds: float) -> list[Call]:
    """Return the calls of an ordinary day: at random times, of all accounts alike."""
    draw = random.Random(SEED)
    calls, due = [], draw.expovariate(rate)
    while due < seconds:
        account = draw.choice(accounts)
        [kind] = draw.choices(list(DAY), list(DAY.values()))
        caller = draw.choice(account.machines) if kind in (SIGN_IN, ROTATE) else account.owner
        calls.append(Call(due, caller, kind))
        due += draw.expovariate(rate)
    return calls


def full_hour(machines: Sequence[Caller], peak: float, seconds: float) -> list[Call]:
    """Return each machine's one sign-in in the minute of a full hour, which takes ``seconds`` here.

    As many machines take part as make ``peak`` calls a second in the first twelfth of it, at most.
    """
    draw = random.Random(SEED)
    count = min(len(machines), int(peak * seconds * HOUR[0][0] / 60 / HOUR[0][1]))
    calls = []
    for caller in draw.sample(list(machines), count):
        until = draw.random()
        start = 0
        for end, share in HOUR:
            if until < share:
                break
            until, start = until - share, end
        calls.append(Call((start + draw.random() * (end - start)) / 60 * seconds, caller, SIGN_IN))
    return sorted(calls, key=lambda it: it.due)


def rotation(machines: Sequence[Caller], rate: float, seconds: float) -> list[Call]:
    """Return the calls of an account whose machines rotate their own keys, one after the other."""
    count = int(rate * seconds)
    return [Call(n / rate, machines[n % len(machines)], ROTATE) for n in range(count)]


def steady(callers: Sequence[Caller], kind: str, rate: float, seconds: float) -> list[Call]:
    """Return calls at random times at a rate, by some callers in turn."""
    draw = random.Random(SEED)
    calls: list[Call] = []
    due = draw.expovariate(rate)
    while due < seconds:
        calls.append(Call(due, callers[len(calls) % len(callers)], kind))
        due += draw.expovariate(rate)
    return calls


def request(call: Call) -> dict[str, Any]:
    """Return API Gateway's event of a call, with the caller's key of this moment."""
    users, one = "/v1/service-users", "/v1/service-users/{username}"
    key, name = call.caller.key, f"bot-{call.caller.group}-000000"
    parameters = {"username": name}
    match call.kind:
        case "rotate":
            rotate = "/v1/api-keys/rotate"
            return event("POST", rotate, rotate, key, {"overlapSeconds": 60})
        case "read one":
            return event("GET", f"{users}/{name}", one, key, parameters=parameters)
        case "list":
            return event("GET", users, users, key, query={"limit": "20"})
        case "read events":
            return event("GET", "/v1/events", "/v1/events", key, query={"limit": "20"})
        case "restrict":
            body = {"keyType": "MONITORING", "allowedNetworks": ["198.51.100.0/24"]}
            keys = "/api-keys"
            return event("PATCH", f"{users}/{name}{keys}", one + keys, key, body, parameters=parameters)
        case _:
            return event(*WHOAMI, key)


def rotated_by(owner: Caller, machine: Caller) -> dict[str, Any]:
    """Return the event with which an OWNER rotates a machine's key."""
    name = machine.key.username
    path, route = (f"/v1/service-users/{it}/api-keys/rotate" for it in (name, "{username}"))
    return event("POST", path, route, owner.key, {"keyType": "MONITORING"}, parameters={"username": name})
