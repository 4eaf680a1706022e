"""The functions ``publish`` and ``archive``, configured by environment variables."""

import logging
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config

from chalicelib.publishing.archive import archive
from chalicelib.publishing.publish import Publisher, publish_new, publish_waiting
from chalicelib.store.client import dynamodb, session
from chalicelib.store.publications import DynamoPublications, marker_of
from chalicelib.store.trail import stored_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_events import EventBridgeClient
    from types_boto3_s3 import S3Client

    from chalicelib.rules.model import Event
    from chalicelib.rules.publications import Marker

_LOG = logging.getLogger(__name__)
_CONFIG = Config(connect_timeout=1, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2})


def publish_function(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Publish the events in a batch of the stream, or those that wait if started by the schedule."""
    publisher = Publisher(
        store=DynamoPublications(dynamodb(), os.environ["EVENTS_TABLE"]),
        bridge=_bridge(),
        bus=os.environ["EVENT_BUS_NAME"],
        now=time.time,
        remaining_ms=context.get_remaining_time_in_millis,
    )
    if "Records" in event:
        return publish_new(_new(event["Records"]), publisher)
    counts = publish_waiting(publisher)
    # The stack makes a metric of this line, and an alarm of the metric.
    _LOG.info("events are not published", extra={"unpublished": counts["late"]})
    return counts


def archive_function(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's way
    """Archive the events in a batch of the queue. Return its partial failures."""
    return archive(event["Records"], _s3(), os.environ["ARCHIVE_BUCKET"])


def _new(records: list[dict[str, Any]]) -> "Iterator[tuple[Marker, Event]]":
    """Yield the new events among a stream's records; what is unreadable keeps its marker."""
    for record in records:
        item = record["dynamodb"].get("NewImage", {})
        if record["eventName"] == "INSERT" and "action" in item:
            event = stored_event(item)
            if event is not None:
                yield marker_of(item), event


@cache
def _bridge() -> "EventBridgeClient":
    return cast("EventBridgeClient", session().create_client("events", config=_CONFIG))


@cache
def _s3() -> "S3Client":
    return cast("S3Client", session().create_client("s3", config=_CONFIG))
