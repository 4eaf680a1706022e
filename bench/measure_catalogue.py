"""Measures what a catalogue of thirty key types adds to the start of a function.

``python -m bench.measure_catalogue [PAIRS]``; 40 pairs by default. Each sample is a new process that imports
the application, under the default catalogue and under one of thirty types in turn.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT = "import time; began = time.process_time_ns(); import app; print(time.process_time_ns() - began)"


def main() -> None:
    """Take the samples; print the medians, and that of the differences."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalogue.json"
        file.write_text(json.dumps(thirty(), separators=(",", ":")), encoding="utf-8")
        sample({})  # what is not compiled yet is compiled here
        taken = [(sample({}), sample({"SERVICE_USERS_CATALOGUE": str(file)})) for _ in range(pairs)]
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


def sample(environment: dict[str, str]) -> float:
    """Return the processor time of an import in a new process, in milliseconds."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout) / 1e6


if __name__ == "__main__":
    main()
