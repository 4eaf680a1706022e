"""SES's reports of the emails that a test's mailer sent, and the function that takes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.mail.feedback import Reports, take_reports
from chalicelib.store.feedback import DynamoFeedback
from tests.support.mail import MailFixture

SET = "stack-EmailConfigurationSet-1a2b3c"

ATTACK = 'smtp; 550 <script>alert(1)</script> {"outcome": "COMPLAINT"} suk_owner@evil.example\r\nBcc: all'
"""What the server of a recipient may say: nothing of it is to be found anywhere afterwards."""

BOUNCE: dict[str, Any] = {
    "eventType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "bouncedRecipients": [{"emailAddress": ATTACK, "diagnosticCode": ATTACK, "status": ATTACK}],
        "reportingMTA": ATTACK,
    },
}
COMPLAINT: dict[str, Any] = {
    "eventType": "Complaint",
    "complaint": {"complainedRecipients": [{"emailAddress": ATTACK}], "userAgent": ATTACK},
}


def transient(kind: str = "Transient") -> dict[str, Any]:
    """Return the part of a report about a bounce that is not permanent."""
    return {**BOUNCE, "bounce": {**BOUNCE["bounce"], "bounceType": kind}}


def report(sent: Mapping[str, Any], what: Mapping[str, Any]) -> dict[str, Any]:
    """Return what EventBridge has of an email, given what SES was asked to send."""
    tags = {it["Name"]: [it["Value"]] for it in sent["EmailTags"]}
    mail = {
        "destination": sent["Destination"]["ToAddresses"],
        "headers": [{"name": "Subject", "value": ATTACK}],
        "tags": {"ses:configuration-set": [sent["ConfigurationSetName"]], **tags},
    }
    return {"source": "aws.ses", "detail-type": "ignored", "detail": {**what, "mail": mail}}


@dataclass
class Feedback:
    """The function ``feedback`` on the tables of a mailer."""

    mail: MailFixture
    publishes: bool = False
    client: Any = None

    def __post_init__(self) -> None:
        self.mail.configuration_set = SET

    @property
    def reports(self) -> Reports:
        tables = self.mail.tables
        client = self.client or self.mail.client
        store = DynamoFeedback(client, tables.directory, tables.events, 400, publishes=self.publishes)
        return Reports(store, SET, self.mail.clock, "feedback-request")

    def take(self, *messages: Mapping[str, Any] | str) -> list[str]:
        """Take messages of the queue; return the numbers of those that failed."""
        records = [
            {"messageId": str(number), "body": it if isinstance(it, str) else json.dumps(it)}
            for number, it in enumerate(messages)
        ]
        failures = take_reports(records, self.reports)["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failures]

    def sent_to(self, address: str) -> dict[str, Any]:
        """Return what SES was last asked to send to an address."""
        return next(
            it for it in reversed(self.mail.ses.asked) if it["Destination"]["ToAddresses"] == [address]
        )

    def fails(self, address: str, what: Mapping[str, Any] = BOUNCE) -> list[str]:
        """Have the last email to an address fail, and the report taken."""
        return self.take(report(self.sent_to(address), what))
