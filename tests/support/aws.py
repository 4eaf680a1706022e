"""EventBridge, SQS and S3 as a stack has them for published events, on moto."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3


class Aws:
    """The bus, the rule's queue and the bucket, as the stack has them."""

    def __init__(self) -> None:
        self.bus, self.bucket, queue = (f"{kind}-{uuid4().hex[:12]}" for kind in ("bus", "bucket", "queue"))
        self.events = boto3.client("events", region_name="us-east-1")
        self.sqs = boto3.client("sqs", region_name="us-east-1")
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.events.create_event_bus(Name=self.bus)
        self.queue = self.sqs.create_queue(QueueName=queue)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        pattern = json.dumps({"source": ["service-users"]})
        self.events.put_rule(Name="ArchiveRule", EventBusName=self.bus, EventPattern=pattern)
        target: Any = {"Id": "ArchiveQueue", "Arn": arn["Attributes"]["QueueArn"]}
        self.events.put_targets(Rule="ArchiveRule", EventBusName=self.bus, Targets=[target])
        self.s3.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)

    def records(self) -> list[dict[str, Any]]:
        """Return what the queue has as Lambda passes it on, and empty the queue."""
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append({"messageId": message["MessageId"], "body": message["Body"]})
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def download(self, folder: Path) -> list[str]:
        """Copy the bucket below a folder, as ``aws s3 sync`` does; return the objects' names."""
        names = []
        for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ()):
            names.append(each["Key"])
            target = folder / each["Key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.s3.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read())
        return names
