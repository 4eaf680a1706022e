"""The function ``enforce_policies``, configured by environment variables."""

import os
import time
from functools import cache
from typing import Any

from chalicelib.expiry.sweep import sweep
from chalicelib.store.client import dynamodb
from chalicelib.store.sweep import DynamoSweeps


def enforce_policies_function(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - Lambda's way
    """Send expiry notices and revoke keys by the accounts' policies, once a day. Return the counts.

    Expired keys are removed too; sign-in refuses those from the second they expire.
    """
    return sweep(_sweeps(), time.time, context.get_remaining_time_in_millis, context.aws_request_id)


@cache
def _sweeps() -> DynamoSweeps:
    from chalicelib.functions.settings import RETENTION_DAYS, publishes

    return DynamoSweeps(
        dynamodb(),
        os.environ["DIRECTORY_TABLE"],
        os.environ["EVENTS_TABLE"],
        int(os.environ.get("EVENT_RETENTION_DAYS", RETENTION_DAYS)),
        publishes=publishes(),
    )
