"""Tables, chart and summary of the measurements, and the pages they are published on."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from bench import costs

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "performance.md"
CHART = PROJECT / "docs" / "images" / "performance.svg"
README = PROJECT / "README.md"

BARE = "bare boto3 handler"
SLIMMED = "bare boto3 handler, slimmed alike"
SERVICE_USERS = "Service Users"
AUTHORIZER = "the authorizer"
OURS = (SERVICE_USERS, AUTHORIZER)

BEGIN, END = "<!-- begin: written by make bench -->\n", "<!-- end: written by make bench -->\n"
_BAR, _GAP, _LABEL, _WIDTH = 22, 10, 310, 940

_HEAD = """\
Measured {date} on {processor}, {cores} cores, {system}, Python {python} (load average {load_before} before, \
{load_after} after), with Lambda's runtime client, and DynamoDB Local over TLS.

**Cold start**: from the start of the process to its first response; medians, and medians of the ratios to \
the bare handler in the same turn and to one that is slimmed as the package is. All are compiled alike, \
unless noted.

| | first response, ms | to bare | to slimmed | first sign-in, ms | to bare | to slimmed | peak memory, MiB |
|---|---:|---:|---:|---:|---:|---:|---:|
"""

_WARM = """
**Warm calls**: median milliseconds outside DynamoDB, of which our code (with Chalice and msgspec) and \
botocore; CPU time; then the DynamoDB calls and their capacity units, writes by AWS's rule \
(`bench/write_units.py`). The sign-in is included.

| call | outside DynamoDB | our code | botocore | CPU | calls | read units | write units |
|---|---:|---:|---:|---:|---|---:|---:|
"""

_MAILER = (
    "The mailer consumes {reads:g} read units and {writes:g} write units for an event with one recipient."
)

_IDLE = """
**A sign-in after an idle time**, whose connections are gone, beside one whose connections are kept; \
medians outside DynamoDB. A key's use is noted once an hour, over a connection of its own.

| | wall, ms | CPU, ms |
|---|---:|---:|
"""

_RATE = """
**Sign-ins in a row**, in one environment: calls a second, with the engine on the same processors, and the \
processor time of the environment's process for each call.

| | calls a second | CPU, ms | CPU to slimmed |
|---|---:|---:|---:|
"""

_PAGES = """
**Pages of 100**: median milliseconds, DynamoDB included.

| list, size of the account | first page | later page | calls | read units |
|---|---:|---:|---:|---:|
"""

_COSTS = """
**The price of a million sign-ins**, US $ at list prices in us-east-1, of a stack with a REST API and with \
an HTTP API (`GATEWAY=http`); the units are the measured ones, and `bench/costs.py` has every price and \
assumption.

| | REST API | HTTP API |
|---|---:|---:|
"""

_SUMMARY = """\
A sign-in is {calls} DynamoDB {noun}, and nothing is cached. A cold start to the first sign-in takes
{ratio:.2f} times as long as that of a bare handler with one boto3 client, and {slimmed:.2f} times that of one
slimmed alike: [docs/performance.md](docs/performance.md).
"""


def publish(results: dict[str, Any]) -> None:
    """Write the tables to docs/performance.md, the chart beside it, and the summary to the README."""
    CHART.write_text(chart(results), encoding="utf-8")
    for file, text in ((PAGE, tables(results)), (README, summary(results))):
        file.write_text(with_generated(file.read_text(encoding="utf-8"), text), encoding="utf-8")


def with_generated(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """Return ``page`` with ``text`` between its markers. Raises ValueError if it has no such markers."""
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"The page has no {begin.strip()} … {end.strip()}")
    return f"{before}{begin}{text}{end}{after}"


def summary(results: dict[str, Any]) -> str:
    """Return the README's sentences."""
    calls = len(results["warm"]["GET /v1/whoami"]["calls"])
    sign_in = results["cold"][SERVICE_USERS]["sign-in"]
    number = {1: "one", 2: "two"}.get(calls, str(calls))
    return _SUMMARY.format(
        calls=number,
        noun="read" if calls == 1 else "reads",
        ratio=sign_in["ratio"],
        slimmed=sign_in["slimmed ratio"],
    )


def tables(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine = results["machine"]
    lines = _HEAD.format(**{name.replace(" ", "_"): value for name, value in machine.items()}).splitlines()
    for name, one in results["cold"].items():
        start, sign_in = one.get("start"), one["sign-in"]
        label = f"**{name}**" if name == SERVICE_USERS else name
        first = _started(start) if start else "(always signs in) | |"
        lines.append(f"| {label} | {first} | {_started(sign_in)} | {one['memory']:.0f} |")
    lines += _IDLE.splitlines()
    for name, one in results["idle"].items():
        lines.append(f"| {name} | {one['outside']:.1f} | {one['cpu']:.1f} |")
    lines += _WARM.splitlines()
    for name, one in results["warm"].items():
        lines.append(
            f"| `{name}` | {one['outside']:.2f} | {one['own']:.2f} | {one['client']:.2f} "
            f"| {one['cpu']:.2f} "
            f"| {': '.join(filter(None, (str(len(one['calls'])), ', '.join(one['calls']))))} "
            f"| {one['reads']:g} | {one['writes']:g} |"
        )
    lines += ["", _MAILER.format(**results["mailer"])]
    lines += _RATE.splitlines()
    for name, one in results["rate"].items():
        lines.append(f"| {name} | {one['calls']} | {one['cpu']:.2f} | {one['cpu ratio']:.2f} |")
    lines += _PAGES.splitlines()
    for name, one in results["pages"].items():
        first, late = one["first"]["ms"], one["late"]["ms"]
        lines.append(f"| {name} | {first:.1f} | {late:.1f} | {one['calls']} | {one['reads']:g} |")
    return "\n".join([*lines, *_COSTS.splitlines()]) + "\n" + costs.sign_in_table(results)


def _started(one: dict[str, Any]) -> str:
    return f"{one['median']:.0f} | {one['ratio']:.2f} | {one['slimmed ratio']:.2f}"


def next_cursor(link: str) -> str:
    """Return the cursor in a Link header."""
    found = re.match(r"<([^>]+)>", link)
    return parse_qs(urlsplit(found[1] if found else "").query)["cursor"][0]


def chart(results: dict[str, Any]) -> str:
    """Return a chart (SVG) of cold starts and of warm calls."""
    cold = [(name, one["sign-in"]["median"]) for name, one in results["cold"].items()]
    calls = sorted(results["warm"].items(), key=lambda one: one[1]["outside"])
    warm = [(name, one["own"], one["client"]) for name, one in calls]
    parts: list[str] = []
    y = title(parts, 28, "Cold start until the first sign-in (ms)")
    longest = max(value for _, value in cold)
    for name, value in cold:
        y = row(parts, y, name, [(value, "#2a6fb0" if name in OURS else "#9aa5b1")], longest, "{:.0f}")
    y = title(parts, y + 36, "A warm call outside DynamoDB (ms): our code, and botocore")
    longest = max(own + client for _, own, client in warm)
    for name, own, client in warm:
        y = row(parts, y, name, [(own, "#2a6fb0"), (client, "#9aa5b1")], longest, "{:.2f}")
    return svg(parts, y)


def svg(parts: list[str], y: int) -> str:
    """Return a chart of these parts, which end at ``y``."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 12}" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def title(parts: list[str], y: int, text: str) -> int:
    """Add a heading of a chart at ``y``; return where the next row begins."""
    parts.append(
        f'<text x="12" y="{y}" font-size="15" font-weight="600" fill="#1b1f24">{escape(text)}</text>'
    )
    return y + 16


def row(parts: list[str], y: int, name: str, bars: list[tuple[float, str]], longest: float, form: str) -> int:
    """Add a row of stacked bars, each a value and a colour, with their sum; return where the next begins."""
    parts.append(f'<text x="{_LABEL}" y="{y + 16}" text-anchor="end" fill="#1b1f24">{escape(name)}</text>')
    x = _LABEL + 8.0
    for value, colour in bars:
        width = value / longest * (_WIDTH - _LABEL - 80)
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'
        )
        x += width
    total = form.format(sum(value for value, _ in bars))
    parts.append(f'<text x="{x + 6:.1f}" y="{y + 16}" fill="#1b1f24">{total}</text>')
    return y + _BAR + _GAP
