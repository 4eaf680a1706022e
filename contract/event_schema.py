"""Write the JSON schema of published events: ``python -m contract.event_schema > docs/event-schema.json``.

It follows from the OpenAPI document: an event as ``GET /v1/events`` returns it, without who was mailed, and
with its account and the version of the form.
"""

import json
import re
import sys
from typing import Any

from app import app
from chalicelib.publishing.form import SCHEMA_VERSION
from contract.document import document

_REFERENCE = "#/components/schemas/"


def schema() -> dict[str, Any]:
    """Return the JSON schema of a published event."""
    schemas = document(app.routes)["components"]["schemas"]
    event = json.loads(json.dumps(schemas["Event"]).replace(_REFERENCE, "#/$defs/"))
    del event["properties"]["mail"]
    definitions: dict[str, Any] = {}
    while missing := [it for it in _referred_to([event, definitions]) if it not in definitions]:
        for name in missing:
            definitions[name] = json.loads(json.dumps(schemas[name]).replace(_REFERENCE, "#/$defs/"))
    event["required"].remove("mail")
    more = {
        "schemaVersion": {
            "description": "The version of this form; fields may be added under it.",
            "const": SCHEMA_VERSION,
        },
        "account": {"description": "The account's id.", "type": "string"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **event,
        "title": "Published event",
        "description": "An event of the audit trail, as it is published, archived and exported.",
        "properties": {**more, **event["properties"]},
        "required": [*more, *event["required"]],
        "$defs": definitions,
    }


def _referred_to(schemas: Any) -> list[str]:
    return sorted(set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schemas))))


def text() -> str:
    """Return the schema as the file has it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
