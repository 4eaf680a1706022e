"""The function ``feedback``, configured by environment variables."""

import os
import time
from functools import cache
from typing import Any

from chalicelib.mail.feedback import Reports, take_reports
from chalicelib.store.client import dynamodb
from chalicelib.store.feedback import DynamoFeedback


def feedback_function(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Take SES's reports in a batch of the queue. Return its partial failures."""
    reports = Reports(_store(), os.environ["CONFIGURATION_SET"], time.time, context.aws_request_id)
    return take_reports(event["Records"], reports)


@cache
def _store() -> DynamoFeedback:
    from chalicelib.functions.settings import RETENTION_DAYS, publishes

    return DynamoFeedback(
        dynamodb(),
        os.environ["DIRECTORY_TABLE"],
        os.environ["EVENTS_TABLE"],
        int(os.environ.get("EVENT_RETENTION_DAYS", RETENTION_DAYS)),
        publishes=publishes(),
    )
