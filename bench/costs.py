"""``python -m bench.costs``: monthly costs of a stack, from the measured capacity in ``results.json``.

Prices are AWS's on-demand prices for us-east-1 in US dollars, without any free tier.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

MILLION = 1_000_000
GIB = 2**30

GATEWAY_CALL = 3.50 / MILLION
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

ALARMED_METRICS = 34
COMPOSITE_ALARMS = 2
METRICS = 9  # a metric is billed for the hours that have values; these usually do
MEMORY_GIB = 1.0
CALL_SECONDS = 0.012  # billed duration of a warm call, including DynamoDB in the same region
MAIL_SECONDS = 0.25
LINE_BYTES = 450  # one line of the access log
ITEM_BYTES = 1_300  # a Service User with two keys; the index holds a copy
EVENT_BYTES = 1_200  # an event; the index by subject holds a copy
RETENTION_MONTHS = 13


class Usage(NamedTuple):
    """What each Service User does in a month."""

    sign_ins: int
    rotations: int
    administrators: int


USAGE = Usage(sign_ins=720, rotations=2, administrators=2)


def monthly_costs(measured: dict[str, Any], users: int, usage: Usage = USAGE) -> dict[str, float]:
    """Return the monthly costs of ``users`` Service Users, by purpose."""
    warm, mailer = measured["warm"], measured["mailer"]
    recorded = warm["GET /v1/whoami (first use of a key)"]  # at one call an hour, every call records its use
    rotation = warm["POST /v1/api-keys/rotate"]
    call = (
        GATEWAY_CALL
        + LAMBDA_CALL
        + CALL_SECONDS * MEMORY_GIB * LAMBDA_GIB_SECOND
        + LINE_BYTES / GIB * LOGGED_GIB
    )
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
    sign_in = call + recorded["reads"] * READ_UNIT + recorded["writes"] * WRITE_UNIT
    rotate = call + rotation["reads"] * READ_UNIT + rotation["writes"] * WRITE_UNIT
    return {
        "sign-ins": users * usage.sign_ins * sign_in,
        "rotations": users * usage.rotations * rotate,
        "emails": users * usage.rotations * notified,
        "storage": users * stored / GIB * STORED_GIB,
        "schedules": swept + scheduled,
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


if __name__ == "__main__":
    main()
