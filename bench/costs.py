"""``python -m bench.costs``: what a stack costs per month, from the measured capacity in ``results.json``.

Prices are AWS's for us-east-1, on demand, without any free tier, in US dollars; look yours up.
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
METRIC = 0.30

ALARMED_METRICS = 23
METRICS = 2
MEMORY_GIB = 1.0
CALL_SECONDS = 0.012  # billed for a warm call, DynamoDB in its region included
MAIL_SECONDS = 0.25
LINE_BYTES = 450  # a call's line in the access log
ITEM_BYTES = 1_300  # a Service User with two keys; the index has a copy of it
EVENT_BYTES = 1_200  # an event; the index by subject has a copy of it
RETENTION_MONTHS = 13


class Use(NamedTuple):
    """What each Service User does in a month."""

    sign_ins: int
    rotations: int
    administrators: int


USE = Use(sign_ins=720, rotations=2, administrators=2)


def month(measured: dict[str, Any], users: int, use: Use = USE) -> dict[str, float]:
    """Answer a month's costs for so many Service Users, by what they are for."""
    warm, mailer = measured["warm"], measured["mailer"]
    noted = warm["GET /v1/whoami (first use of a key)"]  # at one call an hour every call is noted
    rotation = warm["POST /v1/api-keys/rotate"]
    call = (
        GATEWAY_CALL
        + LAMBDA_CALL
        + CALL_SECONDS * MEMORY_GIB * LAMBDA_GIB_SECOND
        + LINE_BYTES / GIB * LOGGED_GIB
    )
    mailed = (
        mailer["reads"] * READ_UNIT
        # A claim and a mark for the first, a mark for each one more.
        + mailer["writes"] * WRITE_UNIT * (1 + (use.administrators - 1) / 2)
        + use.administrators * (EMAIL + MAIL_SECONDS * 0.5 * LAMBDA_GIB_SECOND)
        + LAMBDA_CALL
    )
    stored = 2 * ITEM_BYTES + 2 * EVENT_BYTES * use.rotations * RETENTION_MONTHS
    swept = users * ITEM_BYTES / 8192 * 30 * READ_UNIT
    scheduled = 43_200 * (16 * 0.5 * READ_UNIT + LAMBDA_CALL + 0.2 * 0.5 * LAMBDA_GIB_SECOND)
    return {
        "sign-ins": users * use.sign_ins * (call + noted["reads"] * READ_UNIT + noted["writes"] * WRITE_UNIT),
        "rotations": users
        * use.rotations
        * (call + rotation["reads"] * READ_UNIT + rotation["writes"] * WRITE_UNIT),
        "emails": users * use.rotations * mailed,
        "storage": users * stored / GIB * STORED_GIB,
        "schedules": swept + scheduled,
        "alarms": ALARMED_METRICS * ALARMED_METRIC + METRICS * METRIC,
    }


def main() -> None:
    """Print the table of the operations page."""
    measured = json.loads(Path(__file__).with_name("results.json").read_text(encoding="utf-8"))
    columns = {users: month(measured, users) for users in (100, 10_000, MILLION)}
    print("| per month, US $ |" + "".join(f" {users:,} Service Users |" for users in columns))
    print("|---|" + "---:|" * len(columns))
    for name in columns[100]:
        print(f"| {name} |" + "".join(f" {costs[name]:,.2f} |" for costs in columns.values()))
    print("| **together** |" + "".join(f" **{sum(costs.values()):,.2f}** |" for costs in columns.values()))


if __name__ == "__main__":
    main()
