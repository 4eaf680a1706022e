"""Sending through SES, whose errors are classified as permanent or retryable."""

import logging
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from email.message import EmailMessage

    from types_boto3_sesv2 import SESV2Client

_LOG = logging.getLogger(__name__)

SECONDS = 10
"""The longest that a call takes, by :data:`CONFIG`."""

CONFIG = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1})
"""One try for each call: SES cannot recognise the retry of a call whose response was lost, and would send the
email twice. Failures are retried through the outbox, which knows who has been notified."""


THROTTLED = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling"})
"""SES's codes for a sending rate that was exceeded: the same message can be accepted a moment later."""


class Verdict(Enum):
    """The result of sending a message."""

    SENT = "SENT"
    REFUSED = "REFUSED"
    """SES never sends this message to this address: retrying does not help."""
    UNVERIFIED = "UNVERIFIED"
    """SES may not send from this address to that one yet; it may send between others."""
    FAILED = "FAILED"
    """SES or the network failed, or the sending rate was exceeded: a later try can succeed."""
    UNRENDERED = "UNRENDERED"
    """There is no message, because rendering it failed. SES was not called."""


RETRIED = frozenset({Verdict.UNVERIFIED, Verdict.FAILED, Verdict.UNRENDERED})
"""The verdicts after which the recipient is tried again later."""


class SendResult(NamedTuple):
    """A verdict, and SES's code if it is not SENT, but not SES's text, which can contain an address."""

    verdict: Verdict
    code: str = ""


class BySet(NamedTuple):
    """A configuration set to send with, and the tags that SES repeats in what it reports of the email."""

    name: str
    tags: list[dict[str, str]]


def send(
    ses: "SESV2Client", message: "EmailMessage", recipient: str, by_set: BySet | None = None
) -> SendResult:
    """Send one message to one address, and return the result. Raises no error of SES.

    A refused message is tried twice, because SES has been seen to refuse valid addresses temporarily.
    """
    first = _send(ses, message, recipient, by_set)
    return first if first.verdict is not Verdict.REFUSED else _send(ses, message, recipient, by_set)


def _send(ses: "SESV2Client", message: "EmailMessage", recipient: str, by_set: BySet | None) -> SendResult:
    more: Any = {"ConfigurationSetName": by_set.name, "EmailTags": by_set.tags} if by_set else {}
    try:
        ses.send_email(
            FromEmailAddress=str(message["From"]),
            Destination={"ToAddresses": [recipient]},
            Content={"Raw": {"Data": message.as_bytes()}},
            **more,
        )
    except ClientError as error:
        result = classify(error, recipient)
    except BotoCoreError as error:
        result = SendResult(Verdict.FAILED, type(error).__name__)
    else:
        return SendResult(Verdict.SENT)
    level = logging.ERROR if result.code.startswith("AccessDenied") else logging.WARNING
    _LOG.log(
        level, "SES did not accept a message", extra={"code": result.code, "verdict": result.verdict.value}
    )
    return result


# What SES says about an address that it cannot parse, in the words of JavaMail's parser.
_ADDRESS_FAULT = re.compile(
    r"address|domain|local (name|part)|@|missing final|semicolon|quote", re.IGNORECASE
)
# Errors in our configuration, whichever address the message is for.
_OUR_FAULT = re.compile(
    r"from|sender|return-path|reply|configuration|identity|tenant|header|region", re.IGNORECASE
)
# SES also returns MessageRejected for a whole AWS account, temporarily, and for identities not yet verified.
_ACCOUNT = re.compile(r"suspended|paus|quota|rate|author|account|limit", re.IGNORECASE)
_SUPPRESSED = re.compile(r"suppression|blacklist|denylist", re.IGNORECASE)
_NOT_VERIFIED = re.compile(r"not verified|failed the check", re.IGNORECASE)


# The parts of a message that an error can repeat: an address, or something in quotes.
_REPEATED = re.compile(r"""[^\s<>"']+@[^\s<>"']+|(?<!\w)'[^']*'(?!\w)|"[^"]*"|<[^>]*>""")


def _own_words(text: str, recipient: str) -> str:
    """Return SES's text without parts of the message that it repeats: somebody else chose those words."""
    for part in (recipient, recipient.rpartition("@")[2]):
        if part:
            text = re.sub(re.escape(part), " ", text, flags=re.IGNORECASE)
    return _REPEATED.sub(" ", text)


def classify(error: ClientError, recipient: str = "") -> SendResult:
    """Return what an error of SendEmail to a recipient means.

    Only errors about this one message or address are permanent: a BadRequestException about an address, and a
    MessageRejected that is not about the AWS account. All others pass, or an operator can fix them, so the
    event waits: AccountSuspendedException, SendingPausedException, TooManyRequestsException,
    LimitExceededException, MailFromDomainNotVerifiedException, NotFoundException, a missing permission, an
    error of SES itself, and every unknown error. So no email is lost because of an error that can be fixed.
    """
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = _own_words(str(error.response.get("Error", {}).get("Message", "")), recipient)
    about_address = _ADDRESS_FAULT.search(text) and not _OUR_FAULT.search(text)
    about_message = _SUPPRESSED.search(text) or not _ACCOUNT.search(text)
    if code not in ("MessageRejected", "BadRequestException"):
        return SendResult(Verdict.FAILED, code)
    if _NOT_VERIFIED.search(text):
        return SendResult(Verdict.UNVERIFIED, code)
    final = about_message if code == "MessageRejected" else about_address
    return SendResult(Verdict.REFUSED if final else Verdict.FAILED, code)
