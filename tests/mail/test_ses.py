"""What SES's responses mean: never for this address, or later."""

import logging
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from chalicelib.mail.messages import EmailContext
from chalicelib.mail.mime import message
from chalicelib.mail.ses import CONFIG, SECONDS, Verdict, classify, send
from chalicelib.rules.notifications import ADMINISTRATOR, Recipient
from tests.support.mail import SENDER, Ses, make_event, ses_error

BOB = Recipient("bob", "Bob", "bob@people.example", ADMINISTRATOR)
MESSAGE = message(make_event(), BOB, EmailContext(SENDER, "https://api.example", "Demo", 0))
REGION = "The following identities failed the check in region EU-CENTRAL-1"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("BadRequestException", "Missing final '@domain'"),
        ("BadRequestException", "Local address contains control or whitespace"),
        ("BadRequestException", "Domain contains illegal character"),
        ("BadRequestException", "Domain starts with dot"),
        ("BadRequestException", "Missing local name"),
        ("BadRequestException", "Invalid email address x@y."),
        ("BadRequestException", "Illegal address"),
        ("MessageRejected", "Address blacklisted."),
        ("MessageRejected", "The address is on the suppression list of your account."),
        ("MessageRejected", "The message contains a virus."),
        ("MessageRejected", ""),
    ],
)
def test_an_error_about_one_message_is_final(code: str, text: str) -> None:
    assert classify(ses_error(code, text)) == (Verdict.REFUSED, code)


@pytest.mark.parametrize("code", ["MessageRejected", "BadRequestException"])
def test_identities_to_be_verified_are_waited_for(code: str) -> None:
    text = f"Email address is not verified. {REGION}: bob@people.example"
    assert classify(ses_error(code, text)).verdict is Verdict.UNVERIFIED


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("AccountSuspendedException", "The account's ability to send email is restricted."),
        ("SendingPausedException", "Sending is paused."),
        ("TooManyRequestsException", "Maximum sending rate exceeded."),
        ("LimitExceededException", "Daily message quota exceeded."),
        ("MailFromDomainNotVerifiedException", "The sending domain isn't verified."),
        ("NotFoundException", "Configuration set <x> does not exist."),
        ("AccessDeniedException", "not authorized to perform ses:SendRawEmail"),
        ("InternalFailure", "address"),
        ("ThrottlingException", ""),
        ("SomethingNew", "Illegal address"),
        ("MessageRejected", "Sending suspended for this account."),
        ("MessageRejected", "Sending is paused for this account."),
        ("MessageRejected", "Did not have authority to send from email x@y.example"),
        ("MessageRejected", "Daily quota exceeded"),
        ("BadRequestException", "Configuration set name is not valid"),
        ("BadRequestException", "Invalid from address"),
        ("BadRequestException", "Missing required header 'From'."),
        ("BadRequestException", "The reply-to address is not valid"),
        ("BadRequestException", ""),
    ],
)
def test_an_error_that_the_operator_can_correct_is_retryable(code: str, text: str) -> None:
    assert classify(ses_error(code, text)) == (Verdict.FAILED, code)


HOSTILE = [
    "from-bot@x.example",
    "limit@x.example",
    "not.verified@x.example",
    "o'quota@x.example",
    "account@suspended.example",
    "suppression@denylist.example",
    "sender@reply.header.example",
    "address.local@domain.example",
]


@pytest.mark.parametrize("address", ["bob@people.example", *HOSTILE])
@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        ("BadRequestException", "Illegal address: {}", Verdict.REFUSED),
        ("BadRequestException", "Domain contains illegal character in <{}>", Verdict.REFUSED),
        ("BadRequestException", "Missing final '@domain' in '{}'", Verdict.REFUSED),
        ("BadRequestException", "Domain starts with dot: {domain}", Verdict.REFUSED),
        ("BadRequestException", "Configuration set is not valid for {}", Verdict.FAILED),
        ("BadRequestException", "Something is not valid: '{}'", Verdict.FAILED),
        ("MessageRejected", "The message contains a virus, for {}", Verdict.REFUSED),
        ("MessageRejected", "Sending suspended for this account, to {}", Verdict.FAILED),
        ("MessageRejected", "The following identities failed the check: {}", Verdict.UNVERIFIED),
        ("TooManyRequestsException", "Illegal address: {}", Verdict.FAILED),
    ],
)
def test_text_in_an_address_does_not_decide_how_an_error_is_classified(
    code: str, text: str, verdict: Verdict, address: str
) -> None:
    """Or they could have every notice of their keys wait for ever, and the keys outlive each policy."""
    said = text.format(address, domain=address.rpartition("@")[2])
    for spelled in (said, said.replace(address, address.upper())):
        assert classify(ses_error(code, spelled), address) == (verdict, code)


def test_an_error_without_a_message_is_retryable() -> None:
    error = ses_error("x")
    error.response = {}
    assert classify(error) == (Verdict.FAILED, "")


def test_a_message_that_is_taken_is_sent_once() -> None:
    ses = Ses()
    assert send(ses, MESSAGE, BOB.email) == (Verdict.SENT, "")  # type: ignore[arg-type]
    assert ses.addresses == [BOB.email]


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://ses.example"),
        ReadTimeoutError(endpoint_url="https://ses.example"),
    ],
)
def test_a_network_error_of_ses_is_retryable(error: Exception) -> None:
    ses = Ses()
    ses.hook = raising(error)
    assert send(ses, MESSAGE, BOB.email) == (Verdict.FAILED, type(error).__name__)  # type: ignore[arg-type]
    assert ses.calls == 1


def test_an_address_is_given_up_only_when_it_is_refused_twice() -> None:
    ses = Ses()
    ses.hook = raising(ses_error("BadRequestException", "Illegal address"))
    assert send(ses, MESSAGE, BOB.email).verdict is Verdict.REFUSED  # type: ignore[arg-type]
    assert ses.calls == 2
    ses.hook = raising(ses_error("BadRequestException", "Domain contains control or whitespace"), times=1)
    assert send(ses, MESSAGE, BOB.email).verdict is Verdict.SENT  # type: ignore[arg-type]


def test_no_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ses = Ses()
    ses.hook = raising(ses_error("MessageRejected", f"Email address is not verified: {BOB.email}"))
    with caplog.at_level(logging.DEBUG):
        send(ses, MESSAGE, BOB.email)  # type: ignore[arg-type]
    [line] = caplog.records
    assert line.__dict__["code"] == "MessageRejected"
    assert BOB.email not in f"{line.__dict__}"


@pytest.mark.parametrize(
    ("code", "level"),
    [("AccessDeniedException", "ERROR"), ("AccessDenied", "ERROR"), ("TooManyRequestsException", "WARNING")],
)
def test_a_role_that_may_not_mail_is_an_error(
    code: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    ses = Ses()
    ses.hook = raising(ses_error(code, "not authorized to perform ses:SendRawEmail"))
    assert send(ses, MESSAGE, BOB.email) == (Verdict.FAILED, code)  # type: ignore[arg-type]
    [line] = caplog.records
    assert (line.levelname, line.__dict__["code"]) == (level, code)


def test_a_call_is_tried_once_and_ends_in_time() -> None:
    options: Any = CONFIG
    assert options.retries["total_max_attempts"] == 1
    assert options.connect_timeout + options.read_timeout <= SECONDS


def raising(error: Exception, times: int = 1_000_000) -> Any:
    left = [error] * min(times, 1000)

    def hook(_recipient: str) -> None:
        if left:
            raise left.pop()

    return hook
