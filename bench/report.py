"""The table and the plot of what was measured."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

CHOSEN = "Service Users"
OURS = (CHOSEN, "the authorizer")
_BAR, _GAP, _LABEL, _WIDTH = 22, 10, 310, 940

_HEAD = """\
Measured {date} on {processor}, {cores} cores, {system}, Python {python} (load {load_before} before, \
{load_after} after), by Lambda's own runtime client beside DynamoDB Local.

**Cold start**: from the process's start to its first answer; medians. All are compiled alike, but for \
those that say so.

| | first answer, ms | ratio | first sign-in, ms | ratio | peak memory, MiB |
|---|---:|---:|---:|---:|---:|
"""

_WARM = """
**Warm calls**: median milliseconds outside DynamoDB, of which our code with Chalice and msgspec, and \
AWS's client; the processor's time in all; then DynamoDB's calls and its capacity units, sign-in \
included.

| call | outside DynamoDB | ours | AWS's client | processor | calls | read units | write units |
|---|---:|---:|---:|---:|---|---:|---:|
"""

_MAILER = (
    "The mailer uses {reads:g} read and {writes:g} write units for an event of which one person is told."
)

_PAGES = """
**Pages of 100**: median milliseconds in all, DynamoDB included.

| list, size of the account | first page | a late page | calls | read units |
|---|---:|---:|---:|---:|
"""


def cursor(link: str) -> str:
    """Answer the cursor in a Link header."""
    found = re.match(r"<([^>]+)>", link)
    return parse_qs(urlsplit(found[1] if found else "").query)["cursor"][0]


def table(results: dict[str, Any]) -> str:
    """Answer the results as Markdown."""
    machine = results["machine"]
    lines = _HEAD.format(**{name.replace(" ", "_"): value for name, value in machine.items()}).splitlines()
    for name, one in results["cold"].items():
        start, sign_in = one.get("start"), one["sign-in"]
        shown = f"**{name}**" if name == CHOSEN else name
        first = f"{start['median']:.0f} | {start['ratio']:.2f}" if start else "always signs in |"
        lines.append(
            f"| {shown} | {first} | {sign_in['median']:.0f} | {sign_in['ratio']:.2f} | {one['memory']:.0f} |"
        )
    lines += _WARM.splitlines()
    for name, one in results["warm"].items():
        lines.append(
            f"| `{name}` | {one['outside']:.2f} | {one['own']:.2f} | {one['client']:.2f} "
            f"| {one['worked']:.2f} "
            f"| {': '.join(filter(None, (str(len(one['calls'])), ', '.join(one['calls']))))} "
            f"| {one['reads']:g} | {one['writes']:g} |"
        )
    told = results["mailer"]
    lines += [
        "",
        _MAILER.format(**told),
    ]
    lines += ["", "**Sign-ins a second**, one environment, one after the other:", ""]
    lines += [f"- {name}: {rate}" for name, rate in results["rate"].items()]
    lines += _PAGES.splitlines()
    for name, one in results["pages"].items():
        first, late = one["first"]["ms"], one["late"]["ms"]
        lines.append(f"| {name} | {first:.1f} | {late:.1f} | {one['calls']} | {one['reads']:g} |")
    return "\n".join(lines) + "\n"


def into_readme(text: str, results: dict[str, Any]) -> str:
    """Answer the README with these results in it: the machine, the cold starts, a few of the warm calls."""
    began, ended = "<!-- make bench writes this -->\n", "<!-- up to here -->\n"
    before, _, rest = text.partition(began)
    _, _, after = rest.partition(ended)
    whole = table(results)
    head, cold, warm, *more = whole.rstrip("\n").split("\n\n**")
    chosen = [line for line in warm.splitlines() if not line.startswith("| `") or _shown(line)]
    parts = (head, f"**{cold}", "**" + "\n".join(chosen), *(f"**{part}" for part in more))
    return before + began + "\n\n".join(parts) + "\n" + ended + after


def _shown(line: str) -> bool:
    return line.split("`")[1] in (
        "GET /v1/whoami",
        "the authorizer",
        "POST /v1/api-keys/rotate",
        "POST /v1/service-users",
        "GET /v1/service-users?limit=10",
    )


def plot(results: dict[str, Any]) -> str:
    """Answer a picture (SVG) of cold starts and of warm calls."""
    cold = [(name, one["sign-in"]["median"]) for name, one in results["cold"].items()]
    calls = sorted(results["warm"].items(), key=lambda one: one[1]["outside"])
    warm = [(name, one["own"], one["client"]) for name, one in calls]
    parts: list[str] = []
    y = _title(parts, 28, "Cold start to the first sign-in (ms)")
    longest = max(value for _, value in cold)
    for name, value in cold:
        y = _row(parts, y, name, [(value, "#2a6fb0" if name in OURS else "#9aa5b1")], longest, "{:.0f}")
    y = _title(parts, y + 36, "A warm call outside DynamoDB (ms): ours, and AWS's client")
    longest = max(own + client for _, own, client in warm)
    for name, own, client in warm:
        y = _row(parts, y, name, [(own, "#2a6fb0"), (client, "#9aa5b1")], longest, "{:.2f}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 12}" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _title(parts: list[str], y: int, text: str) -> int:
    parts.append(
        f'<text x="12" y="{y}" font-size="15" font-weight="600" fill="#1b1f24">{escape(text)}</text>'
    )
    return y + 16


def _row(
    parts: list[str], y: int, name: str, bars: list[tuple[float, str]], longest: float, form: str
) -> int:
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
