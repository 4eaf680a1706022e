"""``translate.py TEMPLATE``: print what CloudFormation's SAM transform makes of a template.

Runs where ``requirements-check.txt`` is installed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform  # type: ignore[import-not-found]


class _NoManagedPolicies:
    """Our roles are written out; no policy of AWS's is asked for by its short name."""

    def load(self) -> dict[str, str]:
        """Answer none."""
        return {}


def main(file: str) -> None:
    """Print the translation. Raises InvalidDocumentException where the transform refuses the template."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    template: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if "CodeUri" in resource.get("Properties", {}):
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    print(json.dumps(transform(template, {}, _NoManagedPolicies())))


if __name__ == "__main__":
    main(sys.argv[1])
