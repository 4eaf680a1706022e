"""``translate.py TEMPLATE``: print a template after CloudFormation's SAM transform.

Runs where ``requirements-check.txt`` is installed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform  # type: ignore[import-not-found]


class _NoManagedPolicies:
    """The template names no AWS managed policy."""

    def load(self) -> dict[str, str]:
        """Return no policies."""
        return {}


def main(file: str) -> None:
    """Print the translated template. Raises InvalidDocumentException if the transform refuses it."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    template: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if "CodeUri" in resource.get("Properties", {}):
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    print(json.dumps(transform(template, {}, _NoManagedPolicies())))


if __name__ == "__main__":
    main(sys.argv[1])
