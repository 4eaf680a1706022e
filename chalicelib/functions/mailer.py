"""The functions ``notify`` and ``resend``, configured by environment variables."""

import logging
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from chalicelib.functions.public_url import as_browsers_send
from chalicelib.mail.fairness import Share
from chalicelib.mail.messages import OPERATOR
from chalicelib.mail.mime import is_address
from chalicelib.mail.notify import Mailer, notify, resend
from chalicelib.mail.ses import CONFIG
from chalicelib.rules.limits import read_limits
from chalicelib.store.client import dynamodb, session
from chalicelib.store.outbox import DynamoOutbox

if TYPE_CHECKING:
    from types_boto3_sesv2 import SESV2Client

_LOG = logging.getLogger(__name__)


def notify_function(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Notify the recipients of the events in a batch of the stream. Return its partial failures."""
    return notify(event["Records"], _mailer(context))


def resend_function(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - Lambda's way
    """Notify the recipients of the pending events that are due. Return the counts.

    Then logs how many events are pending: the stack has a metric filter on that line, and an alarm on it.
    """
    counts = resend(_mailer(context))
    _LOG.info("events wait", extra={"waiting": _outbox().waiting()})
    return counts


def _mailer(context: Any) -> Mailer:
    sender = os.environ["SENDER"]
    if not is_address(sender):
        raise ValueError(
            "SENDER must be an address that SES may send from, such as service-users@example.com. "
            "Nothing was mailed; what waits is mailed when it is set right."
        )
    return Mailer(
        outbox=_outbox(),
        ses=_ses(),
        sender=sender,
        public_url=as_browsers_send(os.environ["PUBLIC_URL"]),
        now=time.time,
        remaining_ms=context.get_remaining_time_in_millis,
        mails_per_hour=read_limits(os.environ).mails_per_hour,
        share=_share(),
        operator=os.environ.get("OPERATOR_NAME") or OPERATOR,
        console=os.environ.get("CONSOLE") != "off",
        configuration_set=os.environ.get("CONFIGURATION_SET", ""),
    )


@cache
def _share() -> Share:
    return Share()


@cache
def _outbox() -> DynamoOutbox:
    return DynamoOutbox(dynamodb(), os.environ["DIRECTORY_TABLE"], os.environ["EVENTS_TABLE"])


@cache
def _ses() -> "SESV2Client":
    return cast("SESV2Client", session().create_client("sesv2", config=CONFIG))
