"""Emails that fail, as the API shows them: in the event, with the person, and in the trail."""

from typing import Any

import pytest

from tests.support.api_client import Key, Stack
from tests.support.feedback import COMPLAINT, Feedback, transient
from tests.support.mail import MailFixture

ADMIN = "admin@people.example"


@pytest.fixture
def owner(stack: Stack) -> Key:
    """The OWNER of an account with the Administrator "admin"."""
    owner = stack.account()
    stack.user(owner, "admin", "CLUSTER_ADMIN")
    return owner


@pytest.fixture
def feedback(stack: Stack, owner: Key) -> Feedback:
    """The mailer, which has mailed everything so far."""
    assert owner
    feedback = Feedback(MailFixture(stack.client, stack.tables, stack.clock))
    feedback.mail.resend()
    return feedback


def shown(stack: Stack, owner: Key, query: str) -> Any:
    response = stack.call("GET", f"/v1/events?{query}", owner)
    assert response.status == 200, response.text
    return response.json


def test_an_event_shows_what_became_of_its_emails(stack: Stack, owner: Key, feedback: Feedback) -> None:
    feedback.fails(ADMIN, transient())
    [activated] = shown(stack, owner, "action=USER_ACTIVATED&username=admin")
    assert activated["mail"]["told"] == ["admin"]
    assert activated["mail"]["feedback"] == [{"username": "admin", "outcome": "TRANSIENT_BOUNCE"}]
    assert shown(stack, owner, "action=EMAIL_BOUNCED") == []
    feedback.fails(ADMIN)
    [activated] = shown(stack, owner, "action=USER_ACTIVATED&username=admin")
    assert activated["mail"]["feedback"] == [{"username": "admin", "outcome": "PERMANENT_BOUNCE"}]


def test_a_failing_address_is_in_the_trail_by_every_query(
    stack: Stack, owner: Key, feedback: Feedback
) -> None:
    stack.clock.forward(1)
    feedback.fails(ADMIN, COMPLAINT)
    [event] = shown(stack, owner, "action=EMAIL_COMPLAINT")
    assert (event["actor"]["kind"], event["subject"]["username"]) == ("EMAIL_FEEDBACK", "admin")
    assert event["mail"]["waiting"]
    assert shown(stack, owner, "limit=1") == [event]
    assert shown(stack, owner, "username=ADMIN&limit=1") == [event]
    feedback.mail.resend()
    [event] = shown(stack, owner, "action=EMAIL_COMPLAINT")
    assert event["mail"] == {"waiting": False, "told": ["owner"], "undeliverable": [], "feedback": []}


def test_a_person_shows_that_emails_fail_until_they_are_invited_anew(
    stack: Stack, owner: Key, feedback: Feedback
) -> None:
    before = stack.call("GET", "/v1/users/admin", owner)
    assert before.json["emailFailure"] is None
    feedback.fails(ADMIN)
    failure = {"outcome": "PERMANENT_BOUNCE", "at": "2030-03-17T17:46:40Z"}
    read = stack.call("GET", "/v1/users/admin", owner)
    assert read.json["emailFailure"] == failure
    assert read.headers["ETag"] == before.headers["ETag"], "nobody's change is refused because of it"
    listed = {it["username"]: it["emailFailure"] for it in stack.call("GET", "/v1/users", owner).json}
    assert listed == {"owner": None, "admin": failure}

    for sent in (read.json, before.json):
        changed = stack.call("PUT", "/v1/users/admin", owner, {**sent, "displayName": "A"})
        assert changed.status == 200, changed.text
        assert changed.json["emailFailure"] == failure
    wrong: Any
    odd = {"outcome": "COMPLAINT", "at": ["anything"]}, {"outcome": "ANYTHING", "at": failure["at"]}
    for wrong in ("x", {"outcome": "COMPLAINT"}, [], {"outcome": [], "at": ""}, *odd):
        refused = stack.call("PUT", "/v1/users/admin", owner, {"emailFailure": wrong})
        assert (refused.status, refused.pointers) == (400, ["/emailFailure"])

    assert stack.call("DELETE", "/v1/users/admin", owner).status == 204
    body = {"username": "admin", "email": "admin@new.example", "role": "CLUSTER_ADMIN"}
    assert stack.call("POST", "/v1/users", owner, body).json["emailFailure"] is None


def test_a_change_of_a_person_keeps_what_a_report_noted_meanwhile(
    stack: Stack, owner: Key, feedback: Feedback
) -> None:
    feedback.fails(ADMIN)
    noted = stack.item("admin")["emailFailure"]
    assert stack.call("POST", "/v1/users/admin/invitation", owner).status == 200
    assert stack.item("admin")["emailFailure"] == noted
