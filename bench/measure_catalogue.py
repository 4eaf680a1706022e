"""Measures what a catalogue of thirty key types adds to the start of a function.

``python -m bench.measure_catalogue [PAIRS]``; 200 pairs by default. Each sample imports the modules anew that
read the catalogue, under the default one and under one of thirty types in turn.
"""

import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

VARIABLE = "SERVICE_USERS_CATALOGUE"
READERS = ("chalicelib.rules.catalogue", "chalicelib.rules.roles", "chalicelib.authorizer.route_rules")


def main() -> None:
    """Take the samples; print the medians, and that of the differences."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalogue.json"
        file.write_text(json.dumps(thirty(), separators=(",", ":")), encoding="utf-8")
        sample(None)  # what else these modules import is imported here
        taken = [(sample(None), sample(file)) for _ in range(pairs)]
    default, own = zip(*taken, strict=True)
    more = sorted(b - a for a, b in taken)
    print(f"{pairs} pairs of imports, in milliseconds of processor")
    print(f"default catalogue: median {statistics.median(default):.2f}")
    print(f"thirty key types: median {statistics.median(own):.2f}")
    quartiles = f"{more[pairs // 4]:+.2f} to {more[pairs * 3 // 4]:+.2f}"
    print(f"difference: median {statistics.median(more):+.2f}, quartiles {quartiles}")


def thirty() -> dict[str, object]:
    """Return a catalogue of thirty types with every word, each of which opens two paths."""
    return {
        "keyTypes": [
            {
                "name": f"service-{number}-read",
                "displayName": f"Service {number} (read)",
                "description": f"Reads what service {number} has.",
                "leastRole": "READ_ONLY",
                "byDefault": number < 3,
                "maxLifeDays": 90,
                "opens": [{"path": f"/service-{number}/{part}/*", "methods": ["GET"]} for part in ("a", "b")],
            }
            for number in range(29)
        ]
    }


def sample(catalogue: Path | None) -> float:
    """Return the processor time of importing the readers under a catalogue, in milliseconds."""
    os.environ.pop(VARIABLE, None)
    if catalogue is not None:
        os.environ[VARIABLE] = str(catalogue)
    for name in READERS:
        sys.modules.pop(name, None)
    began = time.process_time_ns()
    for name in READERS:
        importlib.import_module(name)
    return (time.process_time_ns() - began) / 1e6


if __name__ == "__main__":
    main()
