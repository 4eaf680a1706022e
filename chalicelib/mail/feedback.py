"""SES's reports of bounces and complaints, as EventBridge brings them in a batch of a queue.

Of a report only its kind, the types of bounce and complaint and the tags of the email are read. Everything
else in it, such as the text of the recipient's server, is somebody else's, and is neither stored nor logged.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.mail.tags import SET, read_tags
from chalicelib.rules.context import Origin
from chalicelib.rules.email_feedback import FeedbackStore, Report, take
from chalicelib.rules.errors import Unavailable
from chalicelib.rules.model import Outcome

_LOG = logging.getLogger(__name__)

_SOURCE = "aws.ses"
_BOUNCES = {"Permanent": Outcome.PERMANENT_BOUNCE}
_NOT_SPAM = "not-spam"
"""The type of a report that an email is not spam (RFC 5965)."""


class Reports(NamedTuple):
    """What taking reports needs. ``configuration_set`` is the name of the stack's own."""

    store: FeedbackStore
    configuration_set: str
    now: Callable[[], float]
    request_id: str = ""


def take_reports(records: Iterable[dict[str, Any]], reports: Reports) -> dict[str, list[dict[str, str]]]:
    """Take the reports in a batch of the queue. Return its partial failures, which come again.

    Those are reports for which DynamoDB failed, and messages that are no reports of the configuration set:
    only the stack's rule may write to the queue, so somebody has to look at them.
    """
    counts: Counter[str] = Counter()
    failures = []
    for record in records:
        try:
            report = read_report(record["body"], reports.configuration_set)
            counts["ignored" if report is None else "taken"] += 1
            if report is not None:
                _take(report, reports, counts)
        except (ClientError, BotoCoreError, Unavailable) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            level = logging.ERROR if code.startswith("AccessDenied") else logging.WARNING
            _LOG.log(
                level,
                "DynamoDB failed; the report waits",
                extra={"error": type(error).__name__, "code": code},
            )
            failures.append({"itemIdentifier": str(record["messageId"])})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Not with the traceback: its last line can repeat a part of the message.
            _LOG.error(
                "This message is no report of the stack's configuration set; it stays in the queue",
                extra={"error": type(error).__name__},
            )
            failures.append({"itemIdentifier": str(record["messageId"])})
    _LOG.info("feedback is done", extra={"counts": dict(counts)})
    return {"batchItemFailures": failures}


def _take(report: Report, reports: Reports, counts: "Counter[str]") -> None:
    effect = take(reports.store, report, Origin("", reports.request_id, reports.now()))
    if not effect.recorded:
        counts["unknown"] += 1
        return
    # The stack has metric filters on these lines, and an alarm on the second metric.
    _LOG.info("an email failed", extra={"outcome": report.outcome.value, "event": report.events[0].id})
    if effect.unheard:
        _LOG.warning("an OWNER cannot be mailed", extra={"ownerUnreachable": report.events[0].id})
    if effect.notified:
        counts["notified"] += 1


def read_report(body: str, configuration_set: str) -> Report | None:
    """Return the report in a message of the queue; None if it is of no email of ours, or nothing is wrong.

    Raises AttributeError, KeyError, TypeError or ValueError if it is no report of the configuration set.
    """
    message = json.loads(body)
    detail = message["detail"]
    tags = detail["mail"]["tags"]
    if message["source"] != _SOURCE or tags[SET] != [configuration_set]:
        raise ValueError("The message is not a report of the configuration set.")
    outcome = _outcome(detail)
    found = read_tags(tags)
    if outcome is None or found is None:
        return None
    return Report(found.events, found.recipient, found.address, outcome)


def _outcome(detail: dict[str, Any]) -> Outcome | None:
    match detail["eventType"]:
        case "Bounce":
            # 'Undetermined' too: it does not say that the address is wrong.
            return _BOUNCES.get(detail["bounce"]["bounceType"], Outcome.TRANSIENT_BOUNCE)
        case "Complaint":
            is_spam = detail["complaint"].get("complaintFeedbackType") != _NOT_SPAM
            return Outcome.COMPLAINT if is_spam else None
    return None
