"""What a function is told by its environment variables."""

import os
from functools import cache
from time import time

from chalicelib.http.call import Service
from chalicelib.rules.limits import read_limits
from chalicelib.store.client import dynamodb, notes
from chalicelib.store.directory import DynamoDirectory
from chalicelib.store.trail import DynamoTrail

RETENTION_DAYS = 400
"""How long events are kept where EVENT_RETENTION_DAYS does not say."""


@cache
def service() -> Service:
    """Return what the API's calls run on, made at the first call of an environment."""
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
        ),
        trail=DynamoTrail(client, events_table),
        now=time,
        public_url=os.environ.get("PUBLIC_URL", ""),
    )
