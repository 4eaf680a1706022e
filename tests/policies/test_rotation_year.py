"""A year of rotations by AWS Secrets Manager under a policy; SES and EventBridge are out for three days each.

No call of the fleet is refused, no email and no event is lost.
"""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.examples.test_secrets_manager import RotatedSecret, rotation
from tests.support.api_client import Stack, items
from tests.support.mail import ses_error
from tests.support.policies import PolicyAccount, policy_account
from tests.support.publishing import Publishing

__all__ = ["rotation"]

DAYS = 366
EVERY = 30
SES_OUT = range(119, 122)
EVENTBRIDGE_OUT = range(209, 212)


@pytest.fixture
def year(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PolicyAccount, Publishing]]:
    publishing = Publishing(stack, monkeypatch)
    account = policy_account(stack)
    account.publishes = True
    with mock_aws():
        yield account, publishing


@pytest.mark.slow_first
def test_a_year_loses_no_call_no_email_and_no_event(
    year: tuple[PolicyAccount, Publishing],
    rotation: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, publishing = year
    stack, ses = account.stack, account.mail.ses
    account.set_policy(maxKeyAgeDays=90, revokeInactiveAfterDays=90)
    key = stack.service_user(account.owner, "fleet", keyTypes=["MONITORING"])["MONITORING"]
    secret = RotatedSecret(rotation, stack, key, monkeypatch)  # type: ignore[arg-type]
    owner, held = account.owner, [secret.key(), secret.key()]
    refused, late, unsent, rotations = 0, 0, 0, 0

    def fail(_recipient: str) -> None:
        raise ses_error("SendingPausedException")

    for day in range(1, DAYS):
        account.set_day(day)
        ses.hook = fail if day in SES_OUT else lambda _recipient: None
        publishing.bus.down = day in EVENTBRIDGE_OUT
        if day % EVERY == 0:
            secret.rotate()
            rotations += 1
            response = stack.call("POST", "/v1/api-keys/rotate", owner)
            assert response.status == 200
            owner = owner._replace(secret=response.json["key"])
        held = [secret.key(), held[0]]  # one client reads the secret each day, one a day later
        refused += sum(stack.call("GET", "/v1/whoami", one).status != 200 for one in held)
        account.sweep()
        if (day + 1) % EVERY > 4:
            continue  # nothing has happened since, and the schedules have nothing to do
        while account.mail.resend().get("sent"):
            pass
        waiting = [it for it in items(stack.client, stack.tables.events) if "waiting" in it]
        unsent += bool(waiting) and day in SES_OUT
        if waiting and day not in SES_OUT:
            assert day - 1 in SES_OUT, "mended, and yet not mailed a day later"
        late += publishing.run(301)["late"]
    assert rotations == 12
    assert refused == 0
    assert unsent, "SES was out when somebody was to be mailed"
    assert late, "EventBridge was out when something was to be published"
    events = [it for it in items(stack.client, stack.tables.events) if "action" in it]
    told = {event for event, _ in ses.told()}
    assert {it["id"] for it in events if "audience" in it and it["audience"] != "NOBODY"} <= told
    assert sum(it["action"] == "API_KEY_ROTATED" for it in events) == 2 * rotations
    assert sorted(set(publishing.bus.ids)) == publishing.event_ids()
    assert publishing.markers() == []
