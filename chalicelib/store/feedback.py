"""The store of SES's reports, on two tables.

The role of the function that uses it may write what became of emails to an event (``feedback_…``), and
nothing else of it, and one note of a person (``emailFailure``); and it may add events in the partitions
``ASIDE`` alone.
"""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from msgspec.structs import replace

from chalicelib.rules.email_feedback import Mailed
from chalicelib.rules.model import EmailFailure, Event, Outcome, User
from chalicelib.store.items import Item, from_item, to_item
from chalicelib.store.principals import EMAIL_FAILURE, principal_key, with_email_failure
from chalicelib.store.publications import event_puts
from chalicelib.store.requests import call_dynamodb, cancellations
from chalicelib.store.trail import FEEDBACK

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from chalicelib.rules.notifications import EventKey

_READ = (
    "pk, #kind, #role, username, account, email, displayName, version, membership, createdAt, emailFailure"
)
_READ_NAMES = {"#kind": "kind", "#role": "role"}


class DynamoFeedback:
    """Implements ``rules.email_feedback.FeedbackStore`` on DynamoDB.

    ``publishes`` says whether events are published, so that each needs its marker.
    """

    def __init__(
        self, client: "DynamoDBClient", directory: str, events: str, retention_days: int, *, publishes: bool
    ) -> None:
        self._client = client
        self._directory = directory
        self._events = events
        self._retention_days = retention_days
        self._publishes = publishes

    def mailed(self, event: "EventKey") -> Mailed | None:
        """Return what an event says of its emails: one strongly consistent GetItem."""
        response = call_dynamodb(
            self._client.get_item,
            TableName=self._events,
            Key=_key(event),
            ConsistentRead=True,
            ProjectionExpression="account, id, #action, told, waiting",
            ExpressionAttributeNames={"#action": "action"},
        )
        item: Item | None = response.get("Item")
        if item is None:
            return None
        return Mailed(item["action"]["S"], item.get("told", {"M": {}})["M"].keys(), "waiting" in item)

    def record(self, event: "EventKey", recipient: str, outcome: Outcome, weaker: list[Outcome]) -> None:
        """Record an outcome: one UpdateItem, conditional on what is recorded.

        Nothing is done for an event that is not there any more.
        """
        values: Item = {f":weaker{number}": {"S": it.value} for number, it in enumerate(weaker)}
        override = f" OR #outcome IN ({', '.join(values)})" if values else ""
        try:
            call_dynamodb(
                self._client.update_item,
                writing=True,
                TableName=self._events,
                Key=_key(event),
                UpdateExpression="SET #outcome = :outcome",
                ConditionExpression=f"attribute_exists(id) AND (attribute_not_exists(#outcome){override})",
                ExpressionAttributeNames={"#outcome": f"{FEEDBACK}{recipient}"},
                ExpressionAttributeValues={":outcome": {"S": outcome.value}, **values},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def recipient(self, username: str) -> User | None:
        """Return a User: one strongly consistent GetItem."""
        response = call_dynamodb(
            self._client.get_item,
            TableName=self._directory,
            Key=principal_key(username),
            ConsistentRead=True,
            ProjectionExpression=_READ,
            ExpressionAttributeNames=_READ_NAMES,
        )
        item: Item | None = response.get("Item")
        if item is None or item.get("kind") != {"S": "USER"}:
            return None
        read = with_email_failure(item)
        stale = () if read is item else ((EMAIL_FAILURE,),)
        return replace(from_item(read, User), stale=stale)

    def fail(self, user: User, failure: EmailFailure, event: Event) -> bool:
        """Record that an address fails, and the event: one transaction, conditional on the version read.

        It makes no new version, because no change of the person depends on it.
        """
        note = " AND attribute_not_exists(emailFailure)"
        values: Item = {":version": {"S": user.version}, ":failure": {"M": to_item(failure)}}
        if user.email_failure is not None:
            note = " AND emailFailure = :old"
            values[":old"] = {"M": to_item(user.email_failure)}
        elif (EMAIL_FAILURE,) in user.stale:
            note = ""  # what is there is not of its form, and is overwritten
        update = {
            "TableName": self._directory,
            "Key": principal_key(user.username),
            "UpdateExpression": "SET emailFailure = :failure",
            "ConditionExpression": f"version = :version{note}",
            "ExpressionAttributeValues": values,
        }
        puts = event_puts(self._events, event, self._retention_days, publishes=self._publishes)
        puts[0]["Put"]["ConditionExpression"] = "attribute_not_exists(id)"
        items: list[Any] = [{"Update": update}, *puts]
        try:
            call_dynamodb(self._client.transact_write_items, writing=True, TransactItems=items)
        except ClientError as error:
            if {"ConditionalCheckFailed", "TransactionConflict"}.intersection(cancellations(error)):
                return False
            raise
        return True


def _key(event: "EventKey") -> Item:
    return {"account": {"S": event.partition}, "id": {"S": event.id}}
