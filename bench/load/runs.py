"""The runs of a load test: each scenario with environments, accounts and, where asked, limits of its own."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from bench.calls import HEALTH, event
from bench.data import fill
from bench.load import scenarios
from bench.load.engine import LimitedEngine
from bench.load.fleet import Call, Caller, Outcome, repeat, run, through_gateway
from bench.load.scenarios import ROTATE, SIGN_IN, Account
from chalicelib.rules import key_format
from local import budgets
from local.package.emulator import Emulator, Key
from local.package.runtime import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.load.limits import Kind, Place

NEIGHBOURS, FLOOD = "neighbours", "the flood"
PERCENTS = (50, 90, 99)
ROTATIONS = 800
"""Rotations a second of one account that a limited rotation stands for: more than the limits let through."""
AT_ONCE = (1, 2, 4, 8)


class Load:
    """Puts load on an emulated stack. ``ends`` (``time.monotonic``) is when what is left is left out."""

    def __init__(
        self,
        emulator: Emulator,
        logs: Path,
        environments: int,
        seconds: float,
        ends: float,
        say: Callable[[str], None],
    ) -> None:
        self._emulator = emulator
        self._logs = logs
        self._environments = environments
        self._seconds = seconds
        self._ends = ends
        self._say = say
        self._said = 0.0

    def measure(self) -> dict[str, Any]:
        """Return everything that is published: latencies, units, the limits' effect, and fairness."""
        pace = self._pace()
        return {
            "pace": round(pace),
            "scenarios": {
                "an ordinary day": self._day(pace * 0.4),
                "a full hour": self._full_hour(pace * 0.8),
                "a mass rotation": self._rotation(pace / 6),
            },
            "limited": {
                "an ordinary day": self._day(pace * 0.1, limited=True),
                "a full hour": self._full_hour(pace * 0.2, limited=True),
                "a mass rotation": self._rotation(pace / 20, limited=True),
            },
            "at once": self._by_one_owner(),
            "flood": self._flood(pace * 0.5),
        }

    # The scenarios

    def _pace(self) -> float:
        """Return how many sign-ins a second this machine answers with all environments busy."""
        [account] = self.accounts("pace", 1, self._environments)
        seconds = max(1.0, self._seconds / 4)
        with self.environments() as started:
            callers = account.machines

            def sign_in(number: int, _count: int) -> dict[str, Any]:
                return scenarios.request(Call(0, callers[number], SIGN_IN))

            pace = repeat(started, sign_in, seconds)[200] / seconds
        self._say(f"This machine answers {pace:.0f} sign-ins a second.")
        return pace

    def _day(self, rate: float, *, limited: bool = False) -> dict[str, Any]:
        accounts = self.accounts("day", 10, 20)
        calls = scenarios.day(accounts, rate, self._seconds)
        return self._run("an ordinary day", calls, share=1 if limited else None, limited=limited)

    def _full_hour(self, peak: float, *, limited: bool = False) -> dict[str, Any]:
        share = peak / scenarios.HOUR_PEAK
        count = int(peak * self._seconds / 6) + 10
        [large], small = self.accounts("hour", 1, count // 2), self.accounts("hour", 10, count // 20 + 1)
        machines = [it for account in (large, *small) for it in account.machines]
        calls = scenarios.full_hour(machines, peak, self._seconds)
        return self._run("a full hour", calls, share=share, limited=limited)

    def _rotation(self, rate: float, *, limited: bool = False) -> dict[str, Any]:
        [account] = self.accounts("rotation", 1, int(rate * self._seconds) + 1)
        calls = scenarios.rotation(account.machines, rate, self._seconds)
        return self._run("a mass rotation", calls, share=rate / ROTATIONS, limited=limited)

    def _by_one_owner(self) -> dict[str, dict[str, float]]:
        """Let one OWNER rotate the keys of several machines at once, on an engine with conflicts."""
        [account] = self.accounts("owner", 1, 8 * 40)
        seconds = max(1.0, self._seconds / 4)
        measured = {}
        for number in AT_ONCE:
            with ExitStack() as stack:
                engine, url = self._limited(stack, None)
                started = stack.enter_context(self.environments(number, url))

                def rotate(at: int, count: int) -> dict[str, Any]:
                    return scenarios.rotated_by(account.owner, account.machines[at * 40 + count % 40])

                self._say(f"One OWNER rotates keys, {number} at once.")
                statuses = repeat(started, rotate, seconds)
                measured[str(number)] = {
                    "a second": round(statuses[200] / seconds, 1),
                    "refused": _share(sum(statuses.values()) - statuses[200], sum(statuses.values())),
                    "conflicts": engine.conflicts,
                }
        return measured

    def _flood(self, gateway: float) -> dict[str, Any]:
        """Measure quiet neighbours alone, and beside floods of one account, behind API Gateway's limit."""
        quiet = [Caller(NEIGHBOURS, it.key) for a in self.accounts("quiet", 10, 5) for it in a.machines]
        [loud] = self.accounts("loud", 1, 10)
        flood = [Caller(FLOOD, it.key) for it in loud.machines]
        calm = scenarios.steady(quiet, SIGN_IN, gateway / 5, self._seconds)
        floods = {
            "alone": [],
            "beside a flood of sign-ins": scenarios.steady(flood, SIGN_IN, gateway * 4, self._seconds),
            "beside a flood of changes": scenarios.steady(flood, ROTATE, gateway * 0.6, self._seconds),
        }
        measured: dict[str, Any] = {"gateway": round(gateway, 1)}
        for name, more in floods.items():
            passed, refused = through_gateway([*calm, *more], gateway, 2 * gateway)
            with self.environments(default_budgets=True) as started:
                outcome = self._serve(f"Neighbours {name}", passed, started, refused)
            measured[name] = {
                "neighbours": _summary(outcome.of(NEIGHBOURS)),
                "flood": _summary(outcome.of(FLOOD)),
                "unanswered": outcome.unanswered,
            }
        return measured

    # How one is run

    def _run(self, name: str, calls: Sequence[Call], *, share: float | None, limited: bool) -> dict[str, Any]:
        with ExitStack() as stack:
            engine, url = self._limited(stack, share) if limited else (None, "")
            started = stack.enter_context(self.environments(url=url))
            title = f"{name[0].upper()}{name[1:]}{', with DynamoDB limited' if limited else ''}"
            outcome = self._serve(title, calls, started)
        found = {**_summary(outcome), "unanswered": outcome.unanswered}
        found["a second"] = round(len(calls) / self._seconds, 1)
        found["share"] = round(share, 5) if share else 1
        return found | (_units(engine, len(calls)) if engine else {})

    def _serve(
        self,
        title: str,
        calls: Sequence[Call],
        environments: Sequence[Environment],
        refused: Sequence[Call] = (),
    ) -> Outcome:
        self._say(f"{title}: {len(calls)} calls in {self._seconds:g} seconds.")
        self._said = time.monotonic()
        return run(
            calls,
            environments,
            scenarios.request,
            received=_keep_rotated,
            refused=refused,
            progress=self._progress,
            ends=self._ends,
        )

    def _progress(self, done: int, every: int) -> None:
        now = time.monotonic()
        if now - self._said > 5 and done < every:
            self._said = now
            self._say(f"  {done} of {every}")

    def _limited(self, stack: ExitStack, share: float | None) -> tuple[LimitedEngine, str]:
        tables = {"Directory": self._emulator.directory, "Events": self._emulator.events}
        engine = LimitedEngine(self._emulator.dynamodb, tables, share)
        proxy = engine.proxy(self._emulator.dynamodb.meta.endpoint_url)
        stack.callback(proxy.close)
        return engine, proxy.url

    @contextmanager
    def environments(
        self, count: int = 0, url: str = "", *, default_budgets: bool = False
    ) -> Iterator[list[Environment]]:
        """Start environments of the API's function, each of which has answered once."""
        function = self._emulator.functions["APIHandler"]
        variables = dict(function.variables)
        if default_budgets:
            declared = self._emulator.template.properties("APIHandler")["Environment"]["Variables"]
            variables |= {name: declared[name] for name in budgets.HIGHEST if name in declared}
        if url:
            variables["AWS_ENDPOINT_URL_DYNAMODB"] = url
        started: list[Environment] = []
        try:
            for _ in range(count or self._environments):
                one = Environment(function.task_root, function.handler, variables, self._logs / "load.log")
                started.append(one)
            stranger = Caller("", Key("nobody", key_format.new_key()))
            for one in started:
                one.invoke(event(*HEALTH))
                one.invoke(scenarios.request(Call(0, stranger, SIGN_IN)))
            yield started
        finally:
            for one in started:
                one.close()

    def accounts(self, name: str, count: int, machines: int) -> list[Account]:
        """Make accounts with an OWNER and as many Service Users, whose keys were never used."""
        made = []
        for _ in range(count):
            owner = self._emulator.create_account(name)
            account = str(self._emulator.call("GET", "/v1/whoami", owner).json["account"])
            secrets: dict[str, str] = {}

            def secret_of(username: str, secrets: dict[str, str] = secrets) -> str:
                return secrets.setdefault(username, key_format.new_key())

            tables = self._emulator.directory, self._emulator.events
            fill(self._emulator.dynamodb, *tables, account, owner.username, machines, secret_of)
            callers = [Caller(account[:8], Key(*it)) for it in sorted(secrets.items())]
            made.append(Account(account[:8], owner, callers))
        return made


def _keep_rotated(call: Call, body: Any) -> None:
    if call.kind == ROTATE:
        call.caller.key = call.caller.key._replace(secret=body["key"])


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "calls": len(outcome.answered),
        "statuses": outcome.statuses(),
        "ms": outcome.milliseconds(*PERCENTS),
    }


def _units(engine: LimitedEngine, calls: int) -> dict[str, Any]:
    """Return what a call consumed, which partition took most of it, and what the limits refused."""
    partitions = engine.partitions
    kinds: tuple[Kind, ...] = ("reads", "writes")
    found: dict[str, Any] = {
        kind: round(sum(partitions.consumed[kind].values()) / calls, 2) for kind in kinds
    }
    found["dynamodb calls"] = round(sum(engine.calls.values()) / calls, 2)
    found["busiest"] = _busiest(partitions.consumed["writes"], calls)
    found["throttled"] = {
        where: count for where, count in sorted(_by_where(partitions.refused).items()) if count
    }
    found["conflicts"] = engine.conflicts
    return found


def _busiest(consumed: dict[Place, float], calls: int) -> dict[str, float]:
    """Return, of each table and index, what its busiest partition took for a call of the scenario."""
    most: dict[str, float] = {}
    for place, units in consumed.items():
        most[place.where] = max(most.get(place.where, 0), units)
    return {where: round(units / calls, 2) for where, units in sorted(most.items())}


def _by_where(counted: dict[Place, int]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for place, count in counted.items():
        summed[place.where] = summed.get(place.where, 0) + count
    return summed


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole else 0.0
