"""What the simulator reports, of which emails, and that a failing function does not end it."""

import threading
from typing import Any

import pytest

from chalicelib.mail.feedback import read_report
from chalicelib.mail.tags import tags_of
from chalicelib.rules.model import Outcome
from chalicelib.rules.notifications import PERSON, EventKey, Recipient
from local.mailbox_simulator import CONFIGURATION_SET, DOMAIN, MailboxSimulator, message_of, report_of


def sent(address: str) -> dict[str, Any]:
    key = EventKey("acme", "0" * 28)
    return {
        "FromEmailAddress": "service-users@demo.example",
        "Destination": {"ToAddresses": [address]},
        "ConfigurationSetName": CONFIGURATION_SET,
        "EmailTags": tags_of([key], Recipient("ann", "ann", address, PERSON)),
    }


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("bounce", Outcome.PERMANENT_BOUNCE),
        ("bounce+ann", Outcome.PERMANENT_BOUNCE),
        ("suppressionlist", Outcome.PERMANENT_BOUNCE),
        ("complaint", Outcome.COMPLAINT),
    ],
)
def test_it_reports_what_the_function_takes(name: str, outcome: Outcome) -> None:
    report = report_of(sent(f"{name}@{DOMAIN}"))
    assert report is not None
    found = read_report(message_of(report)["body"], CONFIGURATION_SET)
    assert found is not None
    assert (found.recipient, found.outcome) == ("ann", outcome)


def test_it_reports_of_no_other_email() -> None:
    without_set = sent(f"bounce@{DOMAIN}")
    del without_set["ConfigurationSetName"]
    for other in (sent(f"success@{DOMAIN}"), sent("bounce@demo.example"), without_set):
        assert report_of(other) is None


def test_a_report_that_fails_does_not_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    taken: list[Any] = []

    def handler(event: dict[str, Any], _context: Any) -> None:
        taken.append(event)
        if len(taken) == 1:
            raise ValueError("in trouble")

    simulator = MailboxSimulator(threading.Lock())
    simulator.handler = handler
    simulator.start()
    for _ in range(2):
        context: dict[str, Any] = {}
        simulator._remember_parameters(sent(f"bounce@{DOMAIN}"), context)
        simulator._report({"MessageId": "m"}, context)
    simulator._report({}, {})
    simulator.stop()
    simulator.join(10)
    assert len(taken) == 2
    assert "in trouble" in capsys.readouterr().err
