"""Settings from environment variables."""

import os
from functools import cache
from time import time

from chalicelib.functions.public_url import as_browsers_send
from chalicelib.http.call import Service
from chalicelib.rules.limits import read_limits
from chalicelib.store.client import dynamodb, notes
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.trail import DynamoTrail

RETENTION_DAYS = 400
"""Days for which events are kept, unless EVENT_RETENTION_DAYS says otherwise."""


def publishes() -> bool:
    """Return whether events are published on EventBridge; see docs/events.md."""
    return os.environ.get("EVENT_BUS") == "on"


@cache
def service() -> Service:
    """Return the service of the API, created once in each environment."""
    client = dynamodb()
    events_table = os.environ["EVENTS_TABLE"]
    retention_days = int(os.environ.get("EVENT_RETENTION_DAYS", RETENTION_DAYS))
    return Service(
        directory=DynamoDirectory(
            client,
            os.environ["DIRECTORY_TABLE"],
            events_table,
            retention_days,
            notes,
            read_limits(os.environ),
            publishes=publishes(),
        ),
        trail=DynamoTrail(client, events_table),
        now=time,
        public_url=as_browsers_send(os.environ.get("PUBLIC_URL", "")),
    )
