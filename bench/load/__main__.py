"""``python -m bench.load``: put load on the package, print the tables, and publish them with ``--publish``.

``python -m local.dynamodb_local -- python -m bench.load --seconds 5 --environments 4`` is a short run; the
package is in SERVICE_USERS_PACKAGE. ``make load`` builds it and publishes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.__main__ import machine
from bench.load import report
from bench.load.runs import Load
from local.package.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Run every scenario; print the tables, and write them to docs/performance.md if asked to."""
    parser = argparse.ArgumentParser("python -m bench.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of each scenario (20)")
    parser.add_argument("--environments", type=int, default=8, help="processes that serve (8)")
    parser.add_argument("--limit", type=float, default=900, help="seconds for all (900)")
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md")
    options = parser.parse_args(arguments)
    package = Path(os.environ["SERVICE_USERS_PACKAGE"]).absolute()
    described = machine() | {"environments": options.environments, "seconds": options.seconds}
    ends = time.monotonic() + options.limit
    with (
        tempfile.TemporaryDirectory() as logs,
        Emulator(package, os.environ["DYNAMODB_LOCAL_URL"], Path(logs), proxied=False) as emulator,
    ):
        load = Load(emulator, Path(logs), options.environments, options.seconds, ends, _say)
        results: dict[str, Any] = {"machine": described, **load.measure()}
    described["load after"] = round(os.getloadavg()[0], 2)
    if options.publish:
        report.RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        report.publish(results)
    print(report.tables(results))
    given = " ".join(it for it in arguments if it != "--publish")
    command = f'make load LOAD="{given}"' if given else "make load"
    print(f"To measure it again: {command}", file=sys.stderr)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
