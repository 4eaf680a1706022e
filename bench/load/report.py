"""The tables and the chart of a load test, and their part of docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.load import simulation
from bench.report import PAGE, PROJECT, row, svg, title, with_generated

RESULTS = Path(__file__).with_name("results.json")
CHART = PROJECT / "docs" / "images" / "load.svg"
BEGIN, END = "<!-- begin: written by make load -->\n", "<!-- end: written by make load -->\n"
_MEDIAN, _TAIL = "#2a6fb0", "#9aa5b1"

_HEAD = """\
Measured {date} on {processor}, {cores} cores, {system}, Python {python} (load average {load_before} before, \
{load_after} after): {environments} environments on Lambda's runtime client, DynamoDB Local and the callers \
share these processors. It answers {pace} sign-ins a second; each scenario is at a part of that, {seconds:g} \
seconds long.

**Latency**, in milliseconds, from when a call is due to its response. A call waits for a free environment \
here, where Lambda starts another. Cold starts are not in it.

| | calls a second | median | 90 % | 99 % | responses |
|---|---:|---:|---:|---:|---|
"""

_LIMITED = """
**With DynamoDB's limits**: the same scenarios, slower, on an engine that refuses what DynamoDB would: \
more than 3,000 read and 1,000 write units a second of a partition, and a write of an item that a \
transaction under way has. The full hour and the rotation stand for more than this machine can do, so the \
partitions have the same share of their limits. Units are for each call of the scenario, writes by AWS's \
rule; the busiest partition is that of one account, one item or one shard.

| | stands for | responses | DynamoDB calls | read units | write units \
| of which the busiest partition takes | throttled |
|---|---|---|---:|---:|---:|---|---|
"""

_AT_ONCE = """
**One OWNER rotates the keys of many machines.** Every change checks the OWNER's item in its transaction, \
and two transactions with one item are in conflict.

| at once | rotations a second | refused (409) | conflicts that DynamoDB saw |
|---:|---:|---:|---:|
"""

_FLOOD = """
**One account floods the stack** beside quiet neighbours, with the default budgets, behind API Gateway's one \
bucket for all (here {gateway:g} calls a second, and twice as many at once). The neighbours make a fifth of \
that; the flood of sign-ins is four times that, of one account's machines, that of changes 0.6 times.

| | neighbours: median, ms | 99 %, ms | responses | refused | the flood's responses |
|---|---:|---:|---|---:|---|
"""

_HOT = """
**What is hot, at full scale** (simulated from the units above and DynamoDB's published limits; no burst, \
no split, one partition for each key).

| shared by many calls | units of a call | calls a second | of twice as many are served | the others get |
|---|---:|---:|---:|---|
"""

_TABLE = """
A new on-demand table takes 4,000 write and 12,000 read units a second, and later twice its previous peak. \
So of {rate:,} first sign-ins a second, two write units each, a table that was never busy notes {first:.0%}; \
no sign-in is refused, since reads suffice. {advice}
"""
_ADVICE = (
    "Before a launch of that size, set the table's warm throughput "
    "(`aws dynamodb update-table --warm-throughput`)."
)


def publish(results: dict[str, Any]) -> None:
    """Write the tables to docs/performance.md, and the chart beside it."""
    CHART.write_text(chart(results), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_generated(page, tables(results), BEGIN, END), encoding="utf-8")


def tables(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine = {name.replace(" ", "_"): value for name, value in results["machine"].items()}
    lines = _HEAD.format(pace=results["pace"], **machine).splitlines()
    for name, one in results["scenarios"].items():
        times = " | ".join(f"{it:.1f}" for it in one["ms"])
        lines.append(f"| {name} | {one['a second']:g} | {times} | {_responses(one)} |")
    lines += _LIMITED.splitlines()
    for name, one in results["limited"].items():
        busiest = ", ".join(f"{where} {units:g}" for where, units in one["busiest"].items())
        throttled = ", ".join(f"{where} {count}" for where, count in one["throttled"].items()) or "none"
        lines.append(
            f"| {name} | {_full_scale(one)} | {_responses(one)} | {one['dynamodb calls']:g} "
            f"| {one['reads']:g} | {one['writes']:g} | {busiest} | {throttled} |"
        )
    lines += _AT_ONCE.splitlines()
    for number, one in results["at once"].items():
        lines.append(f"| {number} | {one['a second']:g} | {one['refused']:.1%} | {one['conflicts']} |")
    flood = results["flood"]
    lines += _FLOOD.format(gateway=flood["gateway"]).splitlines()
    for name, one in flood.items():
        if name != "gateway":
            quiet = one["neighbours"]
            median, _, tail = quiet["ms"]
            lines.append(
                f"| {name} | {median:.1f} | {tail:.1f} | {_responses(quiet)} | {_refused(quiet):.1%} "
                f"| {_responses(one['flood']) or 'none'} |"
            )
    return "\n".join([*lines, *_hot()]) + "\n"


def _hot() -> list[str]:
    lines = _HOT.splitlines()
    for hot in simulation.HOT:
        most = simulation.ceiling(hot)
        served = 1 - simulation.offer(hot, 2 * most).refused
        unit = f"{hot.units:g} {'read' if hot.kind == 'reads' else 'write'}"
        lines.append(f"| {hot.what} | {unit} | {most:,.0f} | {served:.0%} | {hot.refused} |")
    rate = 5_000
    first, *_ = simulation.new_table([rate], "writes", 2)
    return lines + _TABLE.format(rate=rate, first=1 - first.refused, advice=_ADVICE).splitlines()


def _full_scale(one: dict[str, Any]) -> str:
    if one["share"] == 1:
        return "itself"
    return f"{one['a second'] / one['share']:,.0f} calls a second"


def _responses(one: dict[str, Any]) -> str:
    counted = [f"{status}: {count:,}" for status, count in one["statuses"].items()]
    if one.get("unanswered"):
        counted.append(f"{one['unanswered']:,} not in time")
    return ", ".join(counted)


def _refused(one: dict[str, Any]) -> float:
    refused = sum(count for status, count in one["statuses"].items() if status >= "300")
    return refused / one["calls"] if one["calls"] else 0.0


def chart(results: dict[str, Any]) -> str:
    """Return a chart (SVG): median and 99th percentile of each scenario, and of the quiet neighbours."""
    rows = [(name, one["ms"]) for name, one in results["scenarios"].items()]
    rows += [
        (f"neighbours, {name}", one["neighbours"]["ms"])
        for name, one in results["flood"].items()
        if name != "gateway"
    ]
    longest = max(ms[-1] for _, ms in rows)
    parts: list[str] = []
    y = title(parts, 28, "Latency under load (ms): the median, and on top of it the 99th percentile")
    for name, ms in rows:
        y = row(parts, y, name, [(ms[0], _MEDIAN), (ms[-1] - ms[0], _TAIL)], longest, "{:.0f}")
    return svg(parts, y)
