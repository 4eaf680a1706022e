"""Sending by SES, and what its answers mean for the mail: gone, never, or later."""

import logging
import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from email.message import EmailMessage

    from types_boto3_sesv2 import SESV2Client

_LOG = logging.getLogger(__name__)

SECONDS = 10
"""The longest a call takes, by :data:`CONFIG`."""

CONFIG = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1})
"""One try a call: SES cannot know the second try of a call whose answer was lost, and would mail twice.
What fails is tried again by way of the outbox, which knows whom it has told."""


class Verdict(Enum):
    """What SES made of a message."""

    SENT = "SENT"
    REFUSED = "REFUSED"
    """This message to this address never goes out: trying again does not help."""
    UNVERIFIED = "UNVERIFIED"
    """SES may not mail between these two addresses yet; between others it may."""
    FAILED = "FAILED"
    """SES, or the way to it, is at fault, or we are too fast: a later try may do."""


class Answer(NamedTuple):
    """A verdict, and SES's code for one that is not SENT. Its text is left out: it can hold an address."""

    verdict: Verdict
    code: str = ""


def send(ses: "SESV2Client", message: "EmailMessage", recipient: str) -> Answer:
    """Send one message to one address, and answer what SES made of it; never raises for what SES says.

    An address that SES refuses is asked about twice: it has been seen to refuse good ones in passing.
    """
    first = _send(ses, message, recipient)
    return first if first.verdict is not Verdict.REFUSED else _send(ses, message, recipient)


def _send(ses: "SESV2Client", message: "EmailMessage", recipient: str) -> Answer:
    try:
        ses.send_email(
            FromEmailAddress=str(message["From"]),
            Destination={"ToAddresses": [recipient]},
            Content={"Raw": {"Data": message.as_bytes()}},
        )
    except ClientError as error:
        answer = judge(error, recipient)
    except BotoCoreError as error:
        answer = Answer(Verdict.FAILED, type(error).__name__)
    else:
        return Answer(Verdict.SENT)
    level = logging.ERROR if answer.code.startswith("AccessDenied") else logging.WARNING
    _LOG.log(
        level, "SES did not take a message", extra={"code": answer.code, "verdict": answer.verdict.value}
    )
    return answer


# What SES says of an address it cannot read; it uses the words of JavaMail's parser.
_ADDRESS_FAULT = re.compile(
    r"address|domain|local (name|part)|@|missing final|semicolon|quote", re.IGNORECASE
)
# A fault of ours, whichever address the message is for.
_OUR_FAULT = re.compile(
    r"from|sender|return-path|reply|configuration|identity|tenant|header|region", re.IGNORECASE
)
# MessageRejected is also said of a whole account, for a while, and of identities not yet verified.
_ACCOUNT = re.compile(r"suspended|paus|quota|rate|author|account|limit", re.IGNORECASE)
_SUPPRESSED = re.compile(r"suppression|blacklist|denylist", re.IGNORECASE)
_NOT_VERIFIED = re.compile(r"not verified|failed the check", re.IGNORECASE)


# What an error can repeat of a message: an address, or something in quotes.
_REPEATED = re.compile(r"""[^\s<>"']+@[^\s<>"']+|(?<!\w)'[^']*'(?!\w)|"[^"]*"|<[^>]*>""")


def _own_words(text: str, recipient: str) -> str:
    """Return what SES says without what it repeats of the message: the address's owner chose its words."""
    for part in (recipient, recipient.rpartition("@")[2]):
        if part:
            text = re.sub(re.escape(part), " ", text, flags=re.IGNORECASE)
    return _REPEATED.sub(" ", text)


def judge(error: ClientError, recipient: str = "") -> Answer:
    """Return what an error of SendEmail to a recipient means.

    Only what says something of this one message or address is final: a BadRequestException about an
    address, and a MessageRejected that is not about the account. All else passes or is for an operator
    to mend, and waits: AccountSuspendedException, SendingPausedException, TooManyRequestsException,
    LimitExceededException, MailFromDomainNotVerifiedException, NotFoundException, a missing permission,
    an error of SES itself, and any error not known here, so that nothing is lost that can be mended.
    """
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = _own_words(str(error.response.get("Error", {}).get("Message", "")), recipient)
    about_address = _ADDRESS_FAULT.search(text) and not _OUR_FAULT.search(text)
    about_message = _SUPPRESSED.search(text) or not _ACCOUNT.search(text)
    if code not in ("MessageRejected", "BadRequestException"):
        return Answer(Verdict.FAILED, code)
    if _NOT_VERIFIED.search(text):
        return Answer(Verdict.UNVERIFIED, code)
    final = about_message if code == "MessageRejected" else about_address
    return Answer(Verdict.REFUSED if final else Verdict.FAILED, code)
