"""Reports of SES at the same moment as each other, as the mailer and as changes, on the real engine."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.rules.model import Audience
from chalicelib.rules.roles import Role
from tests.mail.test_feedback import ALICE, failures, outcomes
from tests.support.feedback import BOUNCE, COMPLAINT, Feedback, report, transient
from tests.support.mail import MailFixture

pytestmark = pytest.mark.engine

ROUNDS = 6


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls concurrently, each in its own thread."""
    barrier = threading.Barrier(len(calls))

    def make(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


@pytest.fixture
def feedback(mail: MailFixture) -> Feedback:
    mail.demo_account("alice")
    return Feedback(mail)


def test_many_reports_of_one_email_are_one_outcome_and_one_event(feedback: Feedback) -> None:
    event = feedback.mail.event()
    feedback.mail.notify(event)
    sent = feedback.sent_to(ALICE)
    kinds = [transient(), BOUNCE, BOUNCE, COMPLAINT] * 2
    results = at_once(*((lambda what=what: feedback.take(report(sent, what))) for what in kinds))
    for what, failed in zip(kinds, results, strict=True):
        if failed:  # as the queue does
            assert feedback.take(report(sent, what)) == []
    assert outcomes(feedback, event) == {"alice": "COMPLAINT"}
    assert len(failures(feedback)) == 1


def test_a_report_and_the_mailers_mark_both_stay(feedback: Feedback) -> None:
    """SES reports while the mailer is still recording that it has sent the email."""
    for number in range(ROUNDS):
        feedback.mail.user(f"person-{number}", Role.CLUSTER_ADMIN)
        event = feedback.mail.event(
            administrators={"alice": "m-alice", f"person-{number}": f"m-person-{number}"}
        )
        threads: list[threading.Thread] = []
        send = feedback.mail.ses.send_email

        def report_beside(threads: Any = threads, send: Any = send, **asked: Any) -> Any:
            response = send(**asked)
            threads.append(threading.Thread(target=lambda: feedback.take(report(asked, transient()))))
            threads[-1].start()
            return response

        feedback.mail.ses.send_email = report_beside
        feedback.mail.notify(event)
        feedback.mail.ses.send_email = send
        for thread in threads:
            thread.join()
        stored = feedback.mail.stored(event)
        assert stored["told"].keys() == {"alice", f"person-{number}"}
        assert outcomes(feedback, event) == {
            "alice": "TRANSIENT_BOUNCE",
            f"person-{number}": "TRANSIENT_BOUNCE",
        }
        assert "waiting" not in stored


def test_a_report_beside_a_revocation_leaves_no_person_behind(feedback: Feedback) -> None:
    for number in range(ROUNDS):
        feedback.mail.user(f"person-{number}")
        event = feedback.mail.event(
            audience=Audience.ADMINISTRATORS, administrators={f"person-{number}": f"m-person-{number}"}
        )
        feedback.mail.notify(event)
        address = f"person-{number}@people.example"
        at_once(lambda: feedback.mail.gone(f"person-{number}"), lambda: feedback.fails(address))  # noqa: B023
        assert feedback.fails(address) == []
        tables, client = feedback.mail.tables, feedback.mail.client
        left = client.get_item(TableName=tables.directory, Key={"pk": {"S": f"USER#person-{number}"}})
        assert "Item" not in left
        assert outcomes(feedback, event) == {f"person-{number}": "PERMANENT_BOUNCE"}
    assert len(failures(feedback)) <= ROUNDS
