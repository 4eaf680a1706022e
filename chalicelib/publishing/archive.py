"""Archives published events in an S3 bucket: one object for each, which holds the event's line.

An object's name and content follow from the event alone, and S3 is asked to store nothing where the name is
taken. So an event that EventBridge delivers twice is one record, which nobody overwrites.
"""

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.publishing.form import line, object_name

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_LOG = logging.getLogger(__name__)

_TAKEN = "PreconditionFailed"


def archive(
    records: Iterable[dict[str, Any]], s3: "S3Client", bucket: str
) -> dict[str, list[dict[str, str]]]:
    """Archive the events in a batch of the queue. Return its partial failures, which come again."""
    failures = []
    for record in records:
        try:
            _store(json.loads(record["body"])["detail"], s3, bucket)
        except (ClientError, BotoCoreError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            level = logging.ERROR if code.startswith("AccessDenied") else logging.WARNING
            _LOG.log(level, "S3 failed; the event waits", extra={"error": type(error).__name__, "code": code})
            failures.append({"itemIdentifier": str(record["messageId"])})
        except (KeyError, TypeError, ValueError):
            _LOG.exception("This message is no event of Service Users; it stays in the queue")
            failures.append({"itemIdentifier": str(record["messageId"])})
    return {"batchItemFailures": failures}


def _store(detail: dict[str, Any], s3: "S3Client", bucket: str) -> None:
    try:
        s3.put_object(
            Bucket=bucket,
            Key=object_name(detail),
            Body=f"{line(detail)}\n".encode(),
            ContentType="application/x-ndjson",
            ChecksumAlgorithm="SHA256",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != _TAKEN:
            raise
