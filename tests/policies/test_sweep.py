"""The sweep: notices ten days and one day ahead, then revocation; each once, whatever happens to it."""

import itertools
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

import app
from chalicelib.expiry import sweep
from chalicelib.expiry.sweep import UncheckedError
from chalicelib.functions import enforce_policies
from chalicelib.rules import api_keys
from chalicelib.store.principals import principal_from_item
from local.event_sources import lambda_context, scheduled_event
from tests.support.api_client import Key, Stack
from tests.support.dynamodb_faults import before_next_call, inject_faults, refuses
from tests.support.mail import Faults, Killed, ses_error
from tests.support.policies import DAY, HOUR, LONG, START, PolicyAccount, policy_account
from tests.support.reference_model import moment
from tests.support.version_1_0 import addresses_of, keep_address_as_1_0

ENDING, REVOKED = "API_KEY_ENDING", "API_KEY_REVOKED"


def days(account: PolicyAccount, *span: int) -> list[tuple[float, str, str]]:
    """Sweep once on each of the days, with the mail going out, and return what the policy did."""
    for day in range(*span):
        account.go_to(day)
    return account.events_by_policy()


def busy_owner(account: PolicyAccount, day: float) -> None:
    """The OWNER rotates their own key, which keeps it out of the way."""
    account.set_day(day)
    response = account.stack.call("POST", "/v1/api-keys/rotate", account.owner)
    assert response.status == 200
    account.owner = Key(account.owner.username, response.json["key"])


# The age of a key


def test_a_key_past_its_age_gets_two_notices_and_is_revoked(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.send_mail()
    happened = [it for it in days(account, 0, 31) if it[2] == "bot"]
    assert happened == [(20, ENDING, "bot"), (29, ENDING, "bot"), (30, REVOKED, "bot")]
    first, last, over = [it for it in account.events(ENDING, REVOKED) if it["subject"]["username"] == "bot"]
    assert first["keys"][0]["endsAt"] == last["keys"][0]["endsAt"] == START + 30 * DAY
    assert first["reason"] == "The account revokes every key 30 days after it was made"
    assert over["reason"] == first["reason"]
    assert [it["cause"] for it in (first, last, over)] == ["POLICY_AGE"] * 3
    assert [it["change"] for it in over["keys"]] == ["REVOKED"]
    assert all(
        it["actor"] == {"kind": "POLICY"} and it["audience"] == "ADMINISTRATORS" for it in (first, last, over)
    )
    assert over["requestId"] == "sweep-request"
    assert account.key_types("bot") == set()


def test_notices_are_out_ten_days_and_one_day_ahead_whatever_the_time_of_day(account: PolicyAccount) -> None:
    account.set_day(0.5)
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    assert [it for it in days(account, 1, 32) if it[2] == "bot"] == [
        (20, ENDING, "bot"),
        (29, ENDING, "bot"),
        (31, REVOKED, "bot"),
    ]
    # The end that is told is kept to: it works until the sweep that finds it over.
    assert {
        it["keys"][0]["endsAt"] for it in account.events(ENDING) if it["subject"]["username"] == "bot"
    } == {START + 30 * DAY + DAY // 2}


def test_keys_with_the_same_expiry_share_one_notice(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", "CLUSTER_ADMIN")
    account.set_policy(maxKeyAgeDays=30)
    account.go_to(20)
    [event] = [it for it in account.events(ENDING) if it["subject"]["username"] == "bot"]
    assert len(event["keys"]) == 4
    account.go_to(29)
    account.go_to(30)
    [event] = [it for it in account.events(REVOKED) if it["subject"]["username"] == "bot"]
    assert len(event["keys"]) == 4


def test_rotation_starts_the_age_anew(account: PolicyAccount) -> None:
    bot = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_policy(maxKeyAgeDays=30)
    days(account, 18, 25)
    account.set_day(25.5)
    response = account.stack.call("POST", "/v1/api-keys/rotate", bot)
    assert response.status == 200
    busy_owner(account, 25.5)
    happened = [it for it in days(account, 26, 57) if it[2] == "bot"]
    assert happened == [
        (20, ENDING, "bot"),
        (45, ENDING, "bot"),
        (54, ENDING, "bot"),
        (56, REVOKED, "bot"),
    ]


def test_without_a_policy_nothing_is_revoked(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", "OWNER")
    account.send_mail()
    before = account.stack.snapshot()[1]
    days(account, 0, 400, 50)
    assert account.stack.snapshot()[1] == before


# Use


def test_an_unused_key_gets_its_notices_and_is_revoked(account: PolicyAccount) -> None:
    bot = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_policy(revokeInactiveAfterDays=30)
    account.set_day(10)
    assert account.signs_in(bot)
    happened = [it for it in days(account, 10, 42) if it[2] == "bot"]
    assert happened == [(30, ENDING, "bot"), (39, ENDING, "bot"), (40, REVOKED, "bot")]
    last = account.events(REVOKED)[-1]
    assert last["reason"] == "The account revokes keys that are not used for 30 days"
    assert last["cause"] == "POLICY_INACTIVITY"


def test_a_use_after_both_notices_keeps_the_key_and_starts_them_anew(account: PolicyAccount) -> None:
    bot = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_policy(revokeInactiveAfterDays=30)
    days(account, 15, 30)
    account.set_day(29.9)
    assert account.signs_in(bot)
    assert "notice" in account.key("bot")
    account.go_to(30)
    assert "notice" not in account.key("bot")
    happened = [it for it in days(account, 31, 62) if it[2] == "bot"]
    assert happened == [
        (20, ENDING, "bot"),
        (29, ENDING, "bot"),
        (49, ENDING, "bot"),
        (58, ENDING, "bot"),
        (60, REVOKED, "bot"),
    ]


def test_an_old_notice_ends_nothing_when_the_policy_comes_back(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    days(account, 20, 30)
    account.set_day(29.5)
    account.set_policy(maxKeyAgeDays=None)
    days(account, 30, 33)
    account.set_day(100)
    account.set_policy(maxKeyAgeDays=30)
    busy_owner(account, 100)
    happened = [it for it in days(account, 100, 115) if it[2] == "bot" and it[0] >= 100]
    assert happened == [(100, ENDING, "bot"), (109, ENDING, "bot"), (110, REVOKED, "bot")]


def test_a_use_during_the_sweep_keeps_the_key(account: PolicyAccount) -> None:
    bot = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_policy(revokeInactiveAfterDays=30)
    days(account, 20, 30)
    account.set_day(30)

    def use_before_the_write(number: int, operation: str) -> str:
        if operation == "transact_write_items" and not used:
            used.append(number)
            assert account.signs_in(bot)
        return ""

    used: list[int] = []
    account.sweep(client=Faults(use_before_the_write).wrap(account.stack.client))
    assert used
    assert account.key_types("bot") == {"MONITORING"}
    assert (30.0, REVOKED, "bot") not in account.events_by_policy()


# The policy changes


def test_a_stricter_policy_ends_no_key_before_its_notices_are_out(account: PolicyAccount) -> None:
    bot = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    account.set_day(300)
    account.set_policy(maxKeyAgeDays=14)
    busy_owner(account, 300)
    happened = [it for it in days(account, 300, 312) if it[2] == "bot"]
    assert happened == [(300, ENDING, "bot"), (309, ENDING, "bot"), (310, REVOKED, "bot")]
    assert not account.signs_in(bot)


def test_a_policy_made_stricter_after_a_notice_keeps_the_announced_expiry(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=90)
    days(account, 80, 82)
    account.set_day(82)
    account.set_policy(maxKeyAgeDays=14)
    happened = [it for it in days(account, 82, 92) if it[2] == "bot"]
    assert happened == [(80, ENDING, "bot"), (89, ENDING, "bot"), (90, REVOKED, "bot")]


def test_a_policy_loosened_during_the_sweep_keeps_the_key(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    days(account, 20, 30)
    account.set_day(30)

    def relax_before_the_write(number: int, operation: str) -> str:
        if operation == "transact_write_items" and not relaxed:
            relaxed.append(number)
            account.set_policy(maxKeyAgeDays=None)
        return ""

    relaxed: list[int] = []
    account.sweep(client=Faults(relax_before_the_write).wrap(account.stack.client))
    assert relaxed
    assert account.key_types("bot") == {"MONITORING"}
    assert "notice" not in account.key("bot")


def test_a_function_that_was_down_does_not_skip_the_notices(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.go_to(20)
    account.go_to(45)
    assert account.key_types("bot") == {"MONITORING"}
    happened = [it for it in days(account, 46, 47) if it[2] == "bot"]
    assert happened == [(20, ENDING, "bot"), (45, ENDING, "bot"), (46, REVOKED, "bot")]
    # What the late notice tells is so.
    told = [it["keys"][0]["endsAt"] for it in account.events(ENDING) if it["subject"]["username"] == "bot"]
    assert told == [START + 30 * DAY, START + 46 * DAY]


@pytest.mark.parametrize("outage", [1, 5, 30])
def test_a_key_waits_for_its_notices_to_be_mailed(account: PolicyAccount, outage: int) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.send_mail()

    def fail(_recipient: str) -> None:
        raise ses_error("ServiceUnavailableException")

    account.mail.ses.hook = fail
    for day in range(20, 20 + outage):
        account.go_to(day, send_mail=day < 60)
    account.set_day(20 + outage - 0.5)
    account.mail.ses.hook = lambda _recipient: None
    account.send_mail()
    first_out = 20 + outage - 0.5
    days(account, 20 + outage, 34 + outage)
    [over] = [day for day, action, who in account.events_by_policy() if (action, who) == (REVOKED, "bot")]
    assert over >= first_out + 10
    assert over <= first_out + 12


def test_a_key_waits_for_its_second_notice_though_the_first_was_mailed(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.send_mail()
    days(account, 20, 29)

    def fail(_recipient: str) -> None:
        raise ses_error("ServiceUnavailableException")

    account.mail.ses.hook = fail
    assert [it[1] for it in days(account, 29, 40) if it[2] == "bot"] == [ENDING, ENDING]
    account.mail.ses.hook = lambda _recipient: None
    account.send_mail()
    [over] = [day for day, action, who in days(account, 40, 43) if (action, who) == (REVOKED, "bot")]
    assert over == 40


def test_a_notice_that_nobody_can_be_mailed_holds_nothing_up(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)

    def refuse(_recipient: str) -> None:
        raise ses_error("MessageRejected", "Address is on the suppression list")

    account.mail.ses.hook = refuse
    assert [it for it in days(account, 20, 31) if it[2] == "bot"][-1] == (30, REVOKED, "bot")


def test_a_notice_that_is_no_longer_on_record_holds_nothing_up(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    days(account, 20, 30)
    for event in account.events(ENDING):
        key = {"account": {"S": event["account"]}, "id": {"S": event["id"]}}
        account.stack.client.delete_item(TableName=account.stack.tables.events, Key=key)
    account.go_to(30)
    assert account.key_types("bot") == set()


# A key's own end


def with_end(account: PolicyAccount, made: float, ends: float) -> Key:
    account.set_day(made)
    text = datetime.fromtimestamp(START + ends * DAY, UTC).isoformat()
    keys = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"], expiresAt=text)
    return keys["MONITORING"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (30.5, [(20, ENDING), (29, ENDING), (31, REVOKED)]),
        (12.0, [(2, ENDING), (11, ENDING), (12, REVOKED)]),
        (11.0, [(10, ENDING), (11, REVOKED)]),
        (5.0, [(4, ENDING), (5, REVOKED)]),
        (2.5, [(1, ENDING), (3, REVOKED)]),
        (2.0, [(2, REVOKED)]),
        (0.04, [(1, REVOKED)]),
    ],
)
def test_an_expiring_key_gets_the_notices_that_fit_its_lifetime(
    account: PolicyAccount, ends: float, expected: list[tuple[float, str]]
) -> None:
    with_end(account, 0, ends)
    assert days(account, 0, 40) == [(day, action, "bot") for day, action in expected]
    assert account.key_types("bot") == set()
    assert account.events(REVOKED)[0]["reason"].endswith("(expiresAt)")
    assert {it["cause"] for it in account.events(ENDING, REVOKED)} == {"EXPIRY"}


def test_an_expiry_moved_closer_on_an_old_key_is_notified_at_the_next_sweep(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_day(99.5)
    path = "/v1/service-users/bot/api-keys"
    body = {"keyType": "MONITORING", "expiresAt": "2030-04-16T12:00:00Z"}
    assert account.stack.call("PATCH", path, account.owner, body).status == 200
    assert days(account, 100, 107) == [(100, ENDING, "bot"), (104, ENDING, "bot"), (106, REVOKED, "bot")]


def test_an_expiry_moved_to_within_a_day_gets_one_notice(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_day(99.5)
    path = "/v1/service-users/bot/api-keys"
    body = {"keyType": "MONITORING", "expiresAt": "2030-04-12T18:00:00Z"}
    assert account.stack.call("PATCH", path, account.owner, body).status == 200
    assert days(account, 100, 104) == [(100, ENDING, "bot"), (102, REVOKED, "bot")]


def test_a_later_expiry_restarts_the_notices(account: PolicyAccount) -> None:
    with_end(account, 0, 30)
    days(account, 19, 25)
    path = "/v1/service-users/bot/api-keys"
    body = {"keyType": "MONITORING", "expiresAt": None}
    assert account.stack.call("PATCH", path, account.owner, body).status == 200
    days(account, 25, 40)
    assert "notice" not in account.key("bot")
    body = {"keyType": "MONITORING", "expiresAt": "2030-03-02T00:00:00Z"}
    assert account.stack.call("PATCH", path, account.owner, body).status == 200
    assert days(account, 40, 62) == [
        (20, ENDING, "bot"),
        (50, ENDING, "bot"),
        (59, ENDING, "bot"),
        (60, REVOKED, "bot"),
    ]


def test_moving_a_keys_expiry_does_not_delay_the_policy(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    path = "/v1/service-users/bot/api-keys"
    ends: Any = itertools.cycle(["2030-01-30T23:00:00Z", None])
    for day in range(14, 30):
        account.go_to(day)
        account.set_day(day + 0.3)
        response = account.stack.call(
            "PATCH", path, account.owner, {"keyType": "MONITORING", "expiresAt": next(ends)}
        )
        assert response.status == 200, response.text
    assert account.key("bot").get("expiresAt") is None
    account.go_to(30)
    assert account.key_types("bot") == set()


def test_a_key_whose_near_expiry_is_removed_still_gets_ten_days(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_day(100)
    path = "/v1/service-users/bot/api-keys"
    body = {"keyType": "MONITORING", "expiresAt": "2030-04-12T18:00:00Z"}
    assert account.stack.call("PATCH", path, account.owner, body).status == 200
    account.set_policy(maxKeyAgeDays=14)
    busy_owner(account, 100)
    days(account, 100, 101)
    reason = account.events(ENDING)[0]["reason"]
    assert reason.startswith(
        "The key's own expiry (expiresAt). If that is moved: The account revokes every key"
    )
    assert account.stack.call("PATCH", path, account.owner, {**body, "expiresAt": None}).status == 200
    happened = [it for it in days(account, 101, 115) if it[2] == "bot"]
    assert happened == [(100, ENDING, "bot"), (109, ENDING, "bot"), (110, REVOKED, "bot")]


@pytest.mark.parametrize("hours", [24, 12, 24 * 58])
def test_a_key_that_is_rotated_gets_the_notices_of_an_expiry_that_a_rotation_keeps(
    account: PolicyAccount, hours: int
) -> None:
    """Or a timer that rotates it every day, or a thief who does it once, would silence its Administrators."""
    ends = moment(START + 60 * DAY)
    bot = account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"], expiresAt=ends)[
        "MONITORING"
    ]
    for hour in range(min(hours, 24), 61 * 24, min(hours, 24)):
        account.stack.clock.at = START + hour * HOUR
        if hour % hours == 0 and hour < 60 * 24:
            rotated = account.stack.call("POST", "/v1/api-keys/rotate", bot, {"overlapSeconds": 60})
            bot = bot._replace(secret=rotated.json["key"])
        if hour % 24 == 0:
            account.sweep()
    happened = [(day, action) for day, action, _ in account.events_by_policy()]
    assert happened == [(50, ENDING), (59, ENDING), (60, REVOKED)]


# The last way in


def test_the_only_owners_last_management_key_is_kept_and_notified_again(account: PolicyAccount) -> None:
    account.set_policy(maxKeyAgeDays=30, revokeInactiveAfterDays=30)
    account.send_mail()
    happened = days(account, 15, 60)
    assert happened == [
        (20, ENDING, "owner"),
        (29, ENDING, "owner"),
        (30, ENDING, "owner"),
        (39, ENDING, "owner"),
        (40, ENDING, "owner"),
        (49, ENDING, "owner"),
        (50, ENDING, "owner"),
        (59, ENDING, "owner"),
    ]
    kept = account.events(ENDING)[2]
    assert "kept as the last" in kept["reason"]
    assert kept["audience"] == "PERSON"
    assert account.signs_in(account.owner)


def test_the_last_owners_key_expires_once_there_is_a_second_owner(account: PolicyAccount) -> None:
    account.set_policy(maxKeyAgeDays=30)
    days(account, 15, 31)
    account.set_day(30.5)
    account.stack.user(account.owner, "otto", "OWNER")
    account.send_mail()
    days(account, 31, 42)
    assert account.key_types("owner") == set()
    assert account.key_types("otto") == {"USER_MANAGEMENT"}


def test_of_two_owners_with_overdue_keys_one_keeps_theirs(account: PolicyAccount) -> None:
    account.stack.user(account.owner, "otto", "OWNER")
    account.set_policy(pciCompliance=True)
    days(account, 75, 130)
    assert sorted([len(account.key_types("owner")), len(account.key_types("otto"))]) == [0, 1]
    assert len([it for it in account.events_by_policy() if it[1] == REVOKED]) == 1


@pytest.mark.parametrize("end", [None, "2031-01-01T00:00:00Z"])
@pytest.mark.parametrize("why", ["invited", "lowered", "no key", "key ends", "revoked"])
def test_an_owner_who_cannot_sign_in_does_not_count(
    account: PolicyAccount, why: str, end: str | None
) -> None:
    stack = account.stack
    own = {"keyType": "USER_MANAGEMENT", "expiresAt": end}
    assert stack.call("PATCH", "/v1/users/owner/api-keys", account.owner, own).status == 200
    if why == "invited":
        body = {"username": "otto", "email": "otto@people.example", "role": "OWNER"}
        assert stack.call("POST", "/v1/users", account.owner, body).status == 201
    else:
        account.set_day(29)
        otto = stack.user(account.owner, "otto", "OWNER")
        if why == "lowered":
            body = {"role": "CLUSTER_ADMIN"}
            assert stack.call("PUT", "/v1/users/otto", account.owner, body).status == 200
        elif why == "revoked":
            assert stack.call("DELETE", "/v1/users/otto", account.owner).status == 204
        elif why == "no key":
            path = "/v1/users/otto/api-keys"
            meant = {"keyType": "USER_MANAGEMENT", "evenIfLockedOut": True}
            assert stack.call("DELETE", path, otto, meant).status == 204
        else:
            body = {"keyType": "USER_MANAGEMENT", "expiresAt": "2030-02-05T00:00:00Z"}
            assert stack.call("PATCH", "/v1/users/otto/api-keys", otto, body).status == 200
        account.set_day(0)
    account.set_policy(maxKeyAgeDays=30)
    days(account, 15, 31)
    assert account.key_types("owner") == {"USER_MANAGEMENT"}


def test_the_other_owner_may_lose_their_key_concurrently(account: PolicyAccount) -> None:
    stack = account.stack
    account.set_day(20)
    otto = stack.user(account.owner, "otto", "OWNER")
    account.set_day(0)
    account.set_policy(maxKeyAgeDays=30)
    days(account, 15, 30)
    account.set_day(30)

    def revoke_before_the_write(number: int, operation: str) -> str:
        if operation == "transact_write_items" and not done:
            done.append(number)
            path = "/v1/users/otto/api-keys"
            body = {"keyType": "USER_MANAGEMENT", "evenIfLockedOut": True}
            assert stack.call("DELETE", path, otto, body).status == 204
        return ""

    done: list[int] = []
    account.sweep(client=Faults(revoke_before_the_write).wrap(stack.client))
    assert done
    assert account.key_types("owner") == {"USER_MANAGEMENT"}


def test_who_became_the_only_owner_during_the_run_is_one(stack: Stack) -> None:
    """A run remembers accounts; what it remembers of OWNERs must not cost the last of them their key."""
    account = policy_account(stack, page=1)
    account.set_day(5)
    staff = {name: stack.user(account.owner, name, "CLUSTER_ADMIN") for name in ("carl", "cleo")}
    account.set_policy(maxKeyAgeDays=30)
    busy_owner(account, 20)
    days(account, 24, 35)
    scanned = [it["pk"] for it in stack.items(stack.tables.directory)]
    heir = [pk.removeprefix("USER#") for pk in scanned if pk in ("USER#carl", "USER#cleo")][-1]
    before = scanned[scanned.index(f"USER#{heir}") - 1]

    def inherit(_number: int, operation: str) -> str:
        position = account.sweeps().position()
        if operation == "scan" and position is not None and position.after == before and not done:
            done.append(1)
            assert stack.call("PUT", f"/v1/users/{heir}", account.owner, {"role": "OWNER"}).status == 200
            assert stack.call("DELETE", "/v1/users/owner", staff[heir]).status == 204
        return ""

    done: list[int] = []
    account.set_day(35)
    account.sweep(client=Faults(inherit).wrap(stack.client))
    assert done
    assert account.key_types(heir) == {"USER_MANAGEMENT"}


def test_other_keys_of_the_last_owner_are_not_kept(account: PolicyAccount) -> None:
    account.stack.own_key(account.owner, "MONITORING")
    account.set_policy(maxKeyAgeDays=30)
    days(account, 15, 31)
    assert account.key_types("owner") == {"USER_MANAGEMENT"}


# Once a day, and once each


def test_one_sweep_a_day_however_often_it_runs(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot")
    account.set_day(10.01)
    assert account.sweep() == {"checked": 2, "done": 1}
    for hour in range(1, 24):
        account.set_day(10 + hour / 24)
        assert account.sweep() == {"done": 1}
    account.set_day(11)
    assert account.sweep() == {"checked": 2, "done": 1}


def test_the_next_run_continues_where_the_time_ran_out(stack: Stack) -> None:
    account = policy_account(stack, page=7)
    for number in range(20):
        stack.service_user(account.owner, f"bot-{number}", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.set_day(25)
    runs, checked = 0, 0
    while True:
        left = iter([LONG] * 5)
        counts = account.sweep(lambda left=left: next(left, 0))
        checked += counts.get("checked", 0)
        runs += 1
        assert runs < 60
        if counts.get("done"):
            break
    assert runs > 4
    assert checked == 21
    told = [it["subject"]["username"] for it in account.events(ENDING)]
    assert sorted(told) == sorted({*told})
    assert len(told) == 21


def test_a_sweep_that_takes_more_than_its_day_is_finished_first(stack: Stack) -> None:
    account = policy_account(stack, page=2)
    for number in range(6):
        stack.service_user(account.owner, f"bot-{number}", keyTypes=["MONITORING"])
    seen = 0
    for day in range(10, 16):
        account.set_day(day)
        left = iter([LONG] * 5)
        counts = account.sweep(lambda left=left: next(left, 0))
        seen += counts.get("checked", 0)
        if counts.get("done"):
            break
    assert seen == 7
    assert account.sweep()["checked"] == 7  # and the next one is today's


def test_no_time_at_all_changes_nothing_but_that_it_began(account: PolicyAccount) -> None:
    account.set_day(10)
    assert account.sweep(lambda: 0) == {}
    assert account.sweep() == {"checked": 1, "done": 1}


def test_killed_at_any_call_the_sweep_notifies_and_revokes_each_once(stack: Stack) -> None:
    """It is killed before and after its nth call, for every n; then the next run finishes the day."""
    account = policy_account(stack, page=2)
    for number in range(3):
        stack.service_user(account.owner, f"bot-{number}", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    number = 0
    for day in (20, 29, 30):
        finished = False
        while not finished:
            account.set_day(day + number / 1000)
            number += 1
            for how in ("kill before", "kill after", "response lost"):
                faults = Faults(lambda call, _operation, n=number % 12, how=how: how if call == n else "")
                try:
                    counts = account.sweep(client=faults.wrap(stack.client))
                except Killed:
                    continue
                finished |= bool(counts.get("done"))
        account.send_mail()
    happened = sorted(
        (who, action, int(day)) for day, action, who in account.events_by_policy() if who != "owner"
    )
    assert happened == sorted(
        (f"bot-{bot}", action, day)
        for bot in range(3)
        for action, day in ((ENDING, 20), (ENDING, 29), (REVOKED, 30))
    )


@pytest.mark.engine
def test_concurrent_sweeps_notify_and_revoke_each_once(stack: Stack) -> None:
    account = policy_account(stack, page=5)
    for number in range(30):
        stack.service_user(account.owner, f"bot-{number:02}", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    busy_owner(account, 5)
    for day in (20, 29, 30):
        account.set_day(day)
        for _ in range(5):  # a run that is overtaken leaves the rest to the one ahead of it
            threads = [threading.Thread(target=account.sweep) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert account.sweep() == {"done": 1}
        account.send_mail()
    happened = sorted((who, action, day) for day, action, who in account.events_by_policy() if who != "owner")
    assert happened == sorted(
        (f"bot-{bot:02}", action, float(day))
        for bot in range(30)
        for action, day in ((ENDING, 20), (ENDING, 29), (REVOKED, 30))
    )


def test_a_run_that_is_overtaken_stops(stack: Stack) -> None:
    account = policy_account(stack, page=1)
    stack.service_user(account.owner, "bot")
    account.set_day(10)

    def another_run(_number: int, operation: str) -> str:
        if operation == "put_item" and not nested:
            nested.append(1)
            counts.append(account.sweep())
        return ""

    nested: list[int] = []
    counts: list[dict[str, int]] = []
    assert account.sweep(client=Faults(another_run).wrap(stack.client)) == {"overtaken": 1}
    assert counts == [{"checked": 2, "done": 1}]
    account.set_day(11)
    nested.clear()
    skipped: list[int] = []

    def another_run_later(_number: int, operation: str) -> str:
        if operation == "put_item":
            skipped.append(1)
        if len(skipped) == 2 and not nested:
            nested.append(1)
            account.sweep()
        return ""

    assert account.sweep(client=Faults(another_run_later).wrap(stack.client)).get("overtaken") == 1


# What may fail


def test_a_principal_that_cannot_be_read_holds_nobody_up(
    account: PolicyAccount, caplog: pytest.LogCaptureFixture
) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.stack.service_user(account.owner, "ill", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.stack.client.update_item(
        TableName=account.stack.tables.directory,
        Key={"pk": {"S": "USER#ill"}},
        UpdateExpression="SET displayName = :number",
        ExpressionAttributeValues={":number": {"N": "7"}},
    )
    account.set_day(25)
    with pytest.raises(UncheckedError, match="1 principals"):
        account.sweep()
    assert "USER#ill" in str([record.__dict__.get("place") for record in caplog.records])
    assert {who for _, _, who in account.events_by_policy()} == {"bot", "owner"}
    account.set_day(25.1)
    assert account.sweep() == {"done": 1}


def test_many_that_fail_in_a_row_end_the_run_and_are_passed_over(stack: Stack) -> None:
    account = policy_account(stack, page=100)
    for number in range(8):
        stack.service_user(account.owner, f"bot-{number}", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.set_day(25)

    def refuse(_number: int, operation: str) -> str:
        if operation == "transact_write_items":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
        return ""

    with pytest.raises(UncheckedError, match="3 principals"):
        account.sweep(client=Faults(refuse).wrap(stack.client))
    assert account.sweep()["notices"] == 6


def test_a_busy_store_stops_the_run_where_it_is(stack: Stack) -> None:
    account = policy_account(stack)
    for number in range(4):
        stack.service_user(account.owner, f"bot-{number}", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.set_day(25)
    writes: list[int] = []

    def throttle(number: int, operation: str) -> str:
        if operation == "transact_write_items":
            writes.append(number)
        return "throttled" if len(writes) == 3 else ""

    counts = account.sweep(client=Faults(throttle).wrap(stack.client))
    assert (counts["unavailable"], counts["notices"]) == (1, 2)
    assert "done" not in counts
    assert account.sweep(client=Faults(lambda *_: "throttled").wrap(stack.client)) == {"unavailable": 1}
    assert account.sweep()["notices"] == 3
    assert len(account.events(ENDING)) == 5


class Renaming:
    """Somebody who changes a Service User before each write of the sweep, as often as they are let."""

    def __init__(self, account: PolicyAccount, times: int = 1_000) -> None:
        self.account, self.times, self.done = account, times, 0

    def __call__(self, _number: int, operation: str) -> str:
        if operation == "transact_write_items" and self.done < self.times:
            self.done += 1
            body = {"displayName": f"Bot {self.done}"}
            path = "/v1/service-users/bot"
            assert self.account.stack.call("PUT", path, self.account.owner, body).status == 200
        return ""

    def sweep(self, **more: Any) -> dict[str, int]:
        return self.account.sweep(client=Faults(self).wrap(self.account.stack.client), **more)


def contested(account: PolicyAccount) -> None:
    """Make a Service User whose key is to be announced."""
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    busy_owner(account, 20)
    account.set_day(25)


def test_nobody_keeps_a_key_by_changing_it_again_and_again_during_the_sweep(account: PolicyAccount) -> None:
    contested(account)
    counts = Renaming(account, times=sweep.TRIES - 1).sweep()
    assert counts["notices"] == 1
    assert "contended" not in counts
    assert [it[2] for it in account.events_by_policy()] == ["bot"]
    assert len(account.pauses) == sweep.TRIES - 1
    assert len(set(account.pauses)) == len(account.pauses), "nobody can foresee when it tries again"
    assert max(account.pauses) <= sweep.MAX_PAUSE


def test_a_principal_that_others_keep_changing_is_come_back_to_on_the_same_day(
    account: PolicyAccount,
) -> None:
    contested(account)
    renaming = Renaming(account)
    assert renaming.sweep()["contended"] == 1
    assert renaming.done == sweep.TRIES
    assert account.events(ENDING) == []
    renaming.done = 0
    assert renaming.sweep() == {"checked": 1, "contended": 1, "done": 1}
    assert account.events(ENDING) == []
    assert account.sweep() == {"checked": 1, "notices": 1, "events": 1, "done": 1}
    assert [it[2] for it in account.events_by_policy()] == ["bot"]
    assert account.sweep() == {"done": 1}, "and once only"


def test_a_contended_principal_waits_if_time_is_short_and_is_forgotten_if_deleted(
    account: PolicyAccount,
) -> None:
    contested(account)
    renaming = Renaming(account)
    renaming.sweep()
    assert account.sweep(remaining_ms=lambda: 0) == {"done": 1}
    renaming.done = 0
    tries = iter([LONG, LONG, LONG])
    assert renaming.sweep(remaining_ms=lambda: next(tries, 0)) == {"checked": 1, "contended": 1, "done": 1}
    assert renaming.done < sweep.TRIES
    assert account.stack.call("DELETE", "/v1/service-users/bot", account.owner).status == 204
    assert account.sweep() == {"done": 1}
    assert account.sweeps().position().contended == ()


def test_a_principal_deleted_during_the_sweep_is_skipped(account: PolicyAccount) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    busy_owner(account, 20)
    account.set_day(25)

    def delete(_number: int, operation: str) -> str:
        if operation == "transact_write_items":
            assert account.stack.call("DELETE", "/v1/service-users/bot", account.owner).status == 204
        return ""

    counts = account.sweep(client=Faults(delete).wrap(account.stack.client))
    assert counts == {"checked": 2, "done": 1}


def test_keys_of_an_account_that_is_gone_end_by_their_own_end_alone(account: PolicyAccount) -> None:
    account.stack.service_user(
        account.owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-01-05T00:00:00Z"
    )
    account.set_policy(maxKeyAgeDays=14)
    key = {"pk": {"S": f"ACCOUNT#{account.stored_account().id}"}}
    account.stack.client.delete_item(TableName=account.stack.tables.directory, Key=key)
    account.set_day(100)
    assert account.sweep()["revoked"] == 1
    assert account.key_types("owner") == {"USER_MANAGEMENT"}


def test_a_sweep_of_more_accounts_than_it_caches_notifies_all(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.expiry.sweep.MAX_CACHED_ACCOUNTS", 2)
    account = policy_account(stack)
    owners = [account.owner, *(stack.account(f"owner-{number}") for number in range(5))]
    for owner in owners:
        account.set_policy(owner, maxKeyAgeDays=30)
    account.set_day(25)
    assert account.sweep()["notices"] == 6


# As Lambda runs it


def test_the_function_does_it_by_its_environment(
    account: PolicyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.set_day(25)
    monkeypatch.setenv("DIRECTORY_TABLE", account.stack.tables.directory)
    monkeypatch.setenv("EVENTS_TABLE", account.stack.tables.events)
    monkeypatch.setenv("EVENT_RETENTION_DAYS", "7")
    monkeypatch.setattr(enforce_policies, "dynamodb", lambda: account.stack.client)
    monkeypatch.setattr("chalicelib.functions.enforce_policies.time.time", account.stack.clock)
    enforce_policies._sweeps.cache_clear()
    try:
        event = scheduled_event("enforce_policies", account.stack.clock())
        counts = app.enforce_policies(event, lambda_context("enforce_policies"))
    finally:
        enforce_policies._sweeps.cache_clear()
    assert counts == {"checked": 2, "notices": 2, "events": 2, "done": 1}
    assert {event["ttl"] - event["at"] for event in account.events(ENDING)} == {7 * DAY}


def test_it_stops_in_time_for_the_function_to_end(account: PolicyAccount) -> None:
    account.set_day(10)
    assert account.sweep(lambda: 19_999) == {}
    assert account.sweep(lambda: 20_000)["done"] == 1


def test_a_notice_changes_only_the_version_and_the_notice(account: PolicyAccount) -> None:
    keys = account.stack.service_user(account.owner, "bot", allowedNetworks=["198.51.100.0/24"])
    account.set_policy(revokeInactiveAfterDays=30)
    account.set_day(3)
    assert account.signs_in(keys["PROVISIONING_READONLY"])
    before = account.item("bot")
    account.go_to(20)
    after = account.item("bot")
    assert after["version"] != before["version"]
    [told] = [name for name in after if name.startswith("notice_")]
    assert after.pop(told)["endsAt"] == START + 30 * DAY
    assert {**after, "version": ""} == {**before, "version": ""}


def test_a_change_under_way_does_not_undo_a_notice(account: PolicyAccount) -> None:
    """A call that read the Principal before the sweep wrote to it is refused, or the mark would be lost."""
    account.stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    tag = account.stack.call("GET", "/v1/service-users/bot", account.owner).headers["ETag"]
    account.set_day(20)
    account.sweep()
    response = account.stack.call(
        "PUT", "/v1/service-users/bot", account.owner, {"displayName": "Bot"}, headers={"If-Match": tag}
    )
    assert response.status == 412


def test_users_are_notified_of_their_own_keys(account: PolicyAccount) -> None:
    account.stack.user(account.owner, "carl", "CLUSTER_ADMIN")
    account.set_policy(maxKeyAgeDays=30)
    account.send_mail()
    account.set_day(20)
    account.sweep()
    assert sorted(account.send_mail()) == [("carl", ENDING), ("owner", ENDING)]


def test_administrators_are_notified_of_their_service_users(account: PolicyAccount) -> None:
    carl = account.stack.user(account.owner, "carl", "CLUSTER_ADMIN")
    account.stack.service_user(carl, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    account.send_mail()
    busy_owner(account, 15)
    account.stack.clock.forward(HOUR)
    account.stack.call("POST", "/v1/api-keys/rotate", carl)
    account.send_mail()
    account.set_day(20)
    account.sweep()
    assert account.send_mail() == [("carl", ENDING)]


def test_keys_of_an_earlier_version_are_found_by_their_value_after_a_sweep(account: PolicyAccount) -> None:
    stack = account.stack
    bot = stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    made = stack.call("POST", "/v1/api-keys/rotate", bot, {"overlapSeconds": 7 * DAY})
    new = Key("bot", made.json["key"])
    keys = stack.item("bot")["keys"]
    _store_as_before_pointers(stack)
    assert [stack.sign_in(key) for key in (bot, new, account.owner)] == [200, 200, 200]
    assert [_alone(stack, key) for key in (bot, new, account.owner)] == [401, 401, 401]
    version = stack.item("bot")["version"]
    assert account.sweep()["pointers"] == 2
    assert [_alone(stack, key) for key in (bot, new, account.owner)] == [200, 200, 200]
    after = stack.item("bot")
    assert after["version"] == version
    assert account.key("bot")["hasPointer"] is True
    assert account.key("bot")["predecessor"]["hasPointer"] is True
    assert "hasPointer" not in str(after["keys"]), "the sweep may write no key"
    assert after["keys"].keys() == keys.keys()
    account.set_day(1)
    assert "pointers" not in account.sweep(), "once is enough"


def test_a_key_rotated_under_an_earlier_version_is_pointed_to_while_it_overlaps(
    account: PolicyAccount,
) -> None:
    stack = account.stack
    bot = stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    _store_as_before_pointers(stack)
    assert stack.call("POST", "/v1/api-keys/rotate", bot, {"overlapSeconds": 7 * DAY}).status == 200
    assert _alone(stack, bot) == 401
    account.sweep()
    assert _alone(stack, bot) == 200


def test_keys_that_others_change_meanwhile_get_their_pointers_tomorrow(
    account: PolicyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = account.stack
    _store_as_before_pointers(stack)

    def change(*_arguments: Any) -> None:
        stack.call("PUT", "/v1/users/owner", account.owner, {"displayName": f"{stack.clock()}"})

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "api_keys", _Before(change))
        assert "pointers" not in account.sweep()
    assert _alone(stack, account.owner) == 401
    account.set_day(1)
    assert account.sweep()["pointers"] == 1
    assert _alone(stack, account.owner) == 200


def test_the_sweep_moves_addresses_of_version_1_0_into_their_accounts_once(account: PolicyAccount) -> None:
    stack = account.stack
    stack.service_user(account.owner, "bot", email="B.ot+x@gmail.com")
    before = addresses_of(stack), stack.snapshot()
    keep_address_as_1_0(stack, "owner", "bot")
    assert all(pk.startswith("EMAIL#") for pk in addresses_of(stack))
    assert account.sweep()["addresses"] == 2
    assert addresses_of(stack) == before[0]
    assert {it["pk"]: it for it in before[1][0]}["USER#bot"] == stack.item("bot"), "its version too"
    account.set_day(1)
    assert "addresses" not in account.sweep(), "once is enough"


def test_an_address_of_a_principal_that_others_change_meanwhile_is_moved_tomorrow(
    account: PolicyAccount,
) -> None:
    stack = account.stack
    keep_address_as_1_0(stack, "owner")

    def change() -> None:
        stack.call("PUT", "/v1/users/owner", account.owner, {"displayName": f"{stack.clock()}"})

    with before_next_call(stack, "TransactWriteItems", change):
        assert "addresses" not in account.sweep()
    account.set_day(1)
    assert account.sweep()["addresses"] == 1


def test_a_move_that_dynamodb_refuses_is_a_failure(account: PolicyAccount) -> None:
    keep_address_as_1_0(account.stack, "owner")
    faults = inject_faults(account.stack, "TransactWriteItems", refuses("AccessDeniedException"))
    with faults, pytest.raises(UncheckedError):
        account.sweep()


def test_a_sweep_that_revokes_a_key_ends_its_pointer(account: PolicyAccount) -> None:
    stack = account.stack
    account.set_policy(maxKeyAgeDays=30)
    stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    days(account, 0, 31)
    assert account.key_types("bot") == set()
    pointers = [it for it in stack.items(stack.tables.directory) if it["pk"].startswith("KEY#")]
    assert [it["username"] for it in pointers] == ["owner"]


class _Before:
    """``rules.api_keys``, with something happening just before pointers are written."""

    def __init__(self, happens: Any) -> None:
        self._happens = happens

    def lacks_pointer(self, key: Any) -> bool:
        self._happens()
        return api_keys.lacks_pointer(key)


def _alone(stack: Stack, key: Key) -> int:
    return stack.call("GET", "/v1/whoami", headers=key.bearer).status


def _store_as_before_pointers(stack: Stack) -> None:
    """Make every key one that version 1.0 stored: without a pointer, and without the mark of one."""
    table = stack.tables.directory
    for item in stack.items(table):
        if item["pk"].startswith("KEY#"):
            stack.client.delete_item(TableName=table, Key={"pk": {"S": item["pk"]}})
        for key_type, key in item.get("keys", {}).items():
            path = "#keys.#type"
            paths = [f"{path}.hasPointer"]
            if "predecessor" in key:
                paths.append(f"{path}.predecessor.hasPointer")
            stack.client.update_item(
                TableName=table,
                Key={"pk": {"S": item["pk"]}},
                UpdateExpression=f"REMOVE {', '.join(paths)}",
                ExpressionAttributeNames={"#keys": "keys", "#type": key_type},
            )


def test_what_a_machine_invited_is_withdrawn_when_its_key_ends(account: PolicyAccount) -> None:
    """The sweep may not write keys: it leaves what it ends in the item, with a note."""
    stack, owner = account.stack, account.owner
    worker = stack.service_user(owner, "worker", "OWNER")["USER_MANAGEMENT"]
    path = "/v1/service-users/worker/api-keys"
    ends = {"keyType": "USER_MANAGEMENT", "expiresAt": "2030-01-21T00:00:00Z"}
    assert stack.call("PATCH", path, owner, ends).status == 200
    days(account, 1, 20)
    invited = {"username": "gus", "email": "gus@people.example", "role": "CLUSTER_ADMIN"}
    assert stack.call("POST", "/v1/users", worker, invited).status == 201
    account.send_mail()
    activation = {"username": "gus", "token": stack.token("gus")}
    account.go_to(20.1)
    assert not account.signs_in(worker)
    for change in (None, {"displayName": "Worker"}):
        if change is not None:
            assert stack.call("PUT", "/v1/service-users/worker", owner, change).status == 200
        assert stack.call("GET", "/v1/users/gus", owner).json["invitation"] == "WITHDRAWN"
        assert stack.call("POST", "/v1/users/activate", None, activation).status == 400
    body = {"keyType": "USER_MANAGEMENT"}
    again = Key("worker", stack.call("POST", path, owner, body).json["key"])
    assert stack.call("POST", "/v1/users/activate", None, activation).status == 400
    assert stack.call("POST", "/v1/users/gus/invitation", again).status == 200
    account.send_mail()
    assert account.signs_in(stack.activate("gus"))


def test_the_sweep_goes_on_past_what_it_cannot_read(
    account: PolicyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note alone is nobody, however many there are, and whatever is wrong with a principal is its own."""
    stack = account.stack
    stack.service_user(account.owner, "bot", keyTypes=["MONITORING"])
    account.set_policy(maxKeyAgeDays=30)
    table = stack.tables.directory
    for number in range(2 * sweep.MAX_FAILURES_IN_A_ROW):
        ghost = {"pk": {"S": f"USER#ghost{number}"}, "used_00": {"S": "x"}}
        stack.client.put_item(TableName=table, Item=ghost)
    whole, places = principal_from_item, []

    def broken(item: Any) -> Any:
        if item["pk"]["S"] == "USER#owner":
            places.append(item["pk"]["S"])
            raise KeyError("N")
        return whole(item)

    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.store.sweep.principal_from_item", broken)
        for day in (20, 29, 31):
            account.set_day(day)
            with pytest.raises(sweep.UncheckedError):
                account.sweep()
            account.send_mail()
    assert places
    assert not account.key_types("bot")
