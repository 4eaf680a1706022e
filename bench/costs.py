"""``python -m bench.costs``: monthly costs of a stack, from the measured capacity in ``results.json``.

Prices are AWS's on-demand prices for us-east-1 in US dollars, without any free tier.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

MILLION = 1_000_000
GIB = 2**30

GATEWAY_CALLS = {"rest": 3.50 / MILLION, "http": 1.00 / MILLION}
"""One call, by the parameter Gateway; of an HTTP API for each 512 kB, and a sign-in is far below that."""
LAMBDA_CALL = 0.20 / MILLION
LAMBDA_GIB_SECOND = 0.0000166667
READ_UNIT = 0.125 / MILLION
WRITE_UNIT = 0.625 / MILLION
STORED_GIB = 0.25 + 0.20  # the table, and its continuous backup
EMAIL = 0.10 / 1000
LOGGED_GIB = 0.50
ALARMED_METRIC = 0.10
COMPOSITE_ALARM = 0.50
METRIC = 0.30

QUEUE_REQUEST = 0.40 / MILLION

ALARMED_METRICS = 36
COMPOSITE_ALARMS = 2
METRICS = 9  # a metric is billed for the hours that have values; these usually do
MEMORY_GIB = 1.0
CALL_SECONDS = 0.012  # billed duration of a warm call, including DynamoDB in the same region
MAIL_SECONDS = 0.25
LINE_BYTES = 450  # one line of the access log
ITEM_BYTES = 1_300  # a Service User with two keys; the index holds a copy
EVENT_BYTES = 1_200  # an event; the index by subject holds a copy
RETENTION_MONTHS = 13
QUEUE_POLLS = 648_000  # a month: five pollers of Lambda ask FeedbackQueue, each for 20 seconds


class Usage(NamedTuple):
    """What each Service User does in a month."""

    sign_ins: int
    rotations: int
    administrators: int


USAGE = Usage(sign_ins=720, rotations=2, administrators=2)


SIGN_IN_PARTS = (
    "API Gateway, a call",
    "Lambda, a call",
    f"Lambda, {CALL_SECONDS * 1000:g} ms at {MEMORY_GIB:g} GiB",
    f"the access log, a line of {LINE_BYTES} bytes",
    "DynamoDB, the sign-in",
    "DynamoDB, the note of the key's use",
)


def sign_in_costs(measured: dict[str, Any], gateway: str = "rest") -> dict[str, float]:
    """Return what one sign-in costs, by its parts; at one an hour, each notes the key's use."""
    again = measured["warm"]["GET /v1/whoami"]
    first = measured["warm"]["GET /v1/whoami (first use of a key)"]
    read = again["reads"] * READ_UNIT + again["writes"] * WRITE_UNIT
    parts = (
        GATEWAY_CALLS[gateway],
        LAMBDA_CALL,
        CALL_SECONDS * MEMORY_GIB * LAMBDA_GIB_SECOND,
        LINE_BYTES / GIB * LOGGED_GIB,
        read,
        first["reads"] * READ_UNIT + first["writes"] * WRITE_UNIT - read,
    )
    return dict(zip(SIGN_IN_PARTS, parts, strict=True))


def sign_in_table(measured: dict[str, Any]) -> str:
    """Return what a million sign-ins cost, by part and gateway, as Markdown."""
    rest, http = (sign_in_costs(measured, gateway) for gateway in GATEWAY_CALLS)
    rows = [(name, rest[name], http[name]) for name in rest]
    note = SIGN_IN_PARTS[-1]
    rows.append(("**together**", sum(rest.values()), sum(http.values())))
    noted = (sum(rest.values()) - rest[note], sum(http.values()) - http[note])
    rows.append(("where the use was noted before", *noted))
    return "".join(f"| {name} | {a * MILLION:.3f} | {b * MILLION:.3f} |\n" for name, a, b in rows)


def monthly_costs(
    measured: dict[str, Any], users: int, usage: Usage = USAGE, gateway: str = "rest"
) -> dict[str, float]:
    """Return the monthly costs of ``users`` Service Users, by purpose."""
    warm, mailer = measured["warm"], measured["mailer"]
    rotation = warm["POST /v1/api-keys/rotate"]
    parts = sign_in_costs(measured, gateway)
    sign_in = sum(parts.values())
    call = sum(parts[name] for name in SIGN_IN_PARTS[:4])
    notified = (
        mailer["reads"] * READ_UNIT
        # A claim and a "notified" write for the first recipient, one write for each further one.
        + mailer["writes"] * WRITE_UNIT * (1 + (usage.administrators - 1) / 2)
        + usage.administrators * (EMAIL + MAIL_SECONDS * 0.5 * LAMBDA_GIB_SECOND)
        + LAMBDA_CALL
    )
    stored = 2 * ITEM_BYTES + 2 * EVENT_BYTES * usage.rotations * RETENTION_MONTHS
    swept = users * ITEM_BYTES / 8192 * 30 * READ_UNIT
    scheduled = 43_200 * (16 * 0.5 * READ_UNIT + LAMBDA_CALL + 0.2 * 0.5 * LAMBDA_GIB_SECOND)
    rotate = call + rotation["reads"] * READ_UNIT + rotation["writes"] * WRITE_UNIT
    return {
        "sign-ins": users * usage.sign_ins * sign_in,
        "rotations": users * usage.rotations * rotate,
        "emails": users * usage.rotations * notified,
        "storage": users * stored / GIB * STORED_GIB,
        "schedules": swept + scheduled + QUEUE_POLLS * QUEUE_REQUEST,
        "alarms": ALARMED_METRICS * ALARMED_METRIC + COMPOSITE_ALARMS * COMPOSITE_ALARM + METRICS * METRIC,
    }


def main() -> None:
    """Print the table of docs/operations.md."""
    measured = json.loads(Path(__file__).with_name("results.json").read_text(encoding="utf-8"))
    columns = {users: monthly_costs(measured, users) for users in (100, 10_000, MILLION)}
    print("| per month, US $ |" + "".join(f" {users:,} Service Users |" for users in columns))
    print("|---|" + "---:|" * len(columns))
    for name in columns[100]:
        print(f"| {name} |" + "".join(f" {costs[name]:,.2f} |" for costs in columns.values()))
    print("| **total** |" + "".join(f" **{sum(costs.values()):,.2f}** |" for costs in columns.values()))
    cheaper = [sum(monthly_costs(measured, users, gateway="http").values()) for users in columns]
    print("| total with an HTTP API |" + "".join(f" {cost:,.2f} |" for cost in cheaper))


if __name__ == "__main__":
    main()
