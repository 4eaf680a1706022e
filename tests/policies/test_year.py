"""A year of an account, day by day, against a calendar of its emails that was written down beforehand."""

from collections import defaultdict

import pytest

from tests.support.api_client import Key, Stack
from tests.support.policies import PolicyAccount, policy_account

DAYS = 366
NIGHT, MORNING, NOON, EVENING = 0.02, 0.27, 0.5, 0.77

# The story. Everything people and machines do, they do at noon; the function runs four times a day.
#
#   owner  opens the account and is at work all year; rotates her key on days 100, 205 and 290.
#   otto   is the second OWNER. Does nothing until he has lost his key, is invited anew on day 70 and is at
#          work from then on; rotates on days 150 and 235, and then forgets it.
#   carl   runs the Service Users; rotates on days 120, 205 and 280.
#   steady is used all year and never rotated.
#   idler  is used until day 30.
#   absent is used until day 30, on days 85 to 100, and never again.
#   roller rotates its own key on days 85, 170, 255 and 340, with an overlap of a week.
#   short  has a key that was made to live from day 20 to day 25.
#   long   has a key that was made to live from day 0 to day 50.
#   late   is made on day 60, used all year and never rotated.
#
#   The policy ends keys 180 days after they were made and 60 after they were used; from day 200 on the
#   account is PCI-enabled, which makes both 90.

GENERATED, ROTATED = "SERVICE_USER_CREATED", "API_KEY_ROTATED"
ENDING, REVOKED = "API_KEY_ENDING", "API_KEY_REVOKED"
INVITED, ACTIVATED = "USER_INVITED", "USER_ACTIVATED"

CALENDAR: dict[int, list[tuple[str, str, str]]] = {
    # day: to whom, what, about whom
    0: [
        ("owner", "ACCOUNT_CREATED", "owner"),
        ("otto", INVITED, "otto"),
        ("owner", INVITED, "otto"),  # all OWNERs hear of another one
        ("otto", ACTIVATED, "otto"),
        ("owner", ACTIVATED, "otto"),
        ("carl", INVITED, "carl"),
        ("carl", ACTIVATED, "carl"),
        *(("carl", GENERATED, bot) for bot in ("steady", "idler", "absent", "roller", "long")),
    ],
    20: [("carl", GENERATED, "short")],
    24: [("carl", ENDING, "short")],  # a day ahead; ten days would be before it was made
    26: [("carl", REVOKED, "short")],
    40: [("carl", ENDING, "long")],
    49: [("carl", ENDING, "long")],
    51: [("carl", REVOKED, "long")],
    50: [("otto", ENDING, "otto")],  # activated on day 0, never used: over on day 60
    59: [("otto", ENDING, "otto")],
    61: [("otto", REVOKED, "otto")],
    60: [("carl", GENERATED, "late")],
    70: [
        ("otto", INVITED, "otto"),
        ("owner", INVITED, "otto"),
        ("otto", ACTIVATED, "otto"),
        ("owner", ACTIVATED, "otto"),
    ],
    80: [("carl", ENDING, "idler"), ("carl", ENDING, "absent")],  # used on day 30: over on day 90
    85: [("carl", ROTATED, "roller")],
    89: [("carl", ENDING, "idler")],  # and absent is back since day 85
    91: [("carl", REVOKED, "idler")],
    100: [("owner", ROTATED, "owner")],
    120: [("carl", ROTATED, "carl")],
    150: [("otto", ROTATED, "otto"), ("carl", ENDING, "absent")],  # used on day 100: over on day 160
    159: [("carl", ENDING, "absent")],
    161: [("carl", REVOKED, "absent")],
    170: [("carl", ENDING, "steady"), ("carl", ROTATED, "roller")],  # made on day 0: over on day 180
    179: [("carl", ENDING, "steady")],
    181: [("carl", REVOKED, "steady")],
    # Day 200: 90 days from now on. What is older, or whose notice is late, has ten days from the sweep.
    201: [("carl", ENDING, "late"), ("owner", ENDING, "owner"), ("carl", ENDING, "carl")],
    205: [("owner", ROTATED, "owner"), ("carl", ROTATED, "carl")],
    210: [("carl", ENDING, "late")],
    211: [("carl", REVOKED, "late")],
    230: [("otto", ENDING, "otto")],  # rotated on day 150
    235: [("otto", ROTATED, "otto")],
    250: [("carl", ENDING, "roller")],  # rotated on day 170
    255: [("carl", ROTATED, "roller")],
    280: [("carl", ROTATED, "carl")],
    285: [("owner", ENDING, "owner")],  # rotated on day 205
    290: [("owner", ROTATED, "owner")],
    315: [("otto", ENDING, "otto")],  # rotated on day 235: over on day 325
    324: [("otto", ENDING, "otto")],
    326: [("otto", REVOKED, "otto")],
    335: [("carl", ENDING, "roller")],  # rotated on day 255
    340: [("carl", ROTATED, "roller")],
    360: [("carl", ENDING, "carl")],  # rotated on day 280
}

ALIVE_AT_THE_END = {"owner", "carl", "roller"}


class YearScript:
    """What happens at noon of each day."""

    def __init__(self, account: PolicyAccount) -> None:
        self.account = account
        self.stack: Stack = account.stack
        self.keys: dict[str, Key] = {"owner": account.owner}
        self.before: Key | None = None
        self.dead: dict[str, Key] = {}

    def made(self, username: str, **more: str) -> None:
        made = self.stack.service_user(self.keys["carl"], username, keyTypes=["MONITORING"], **more)
        self.keys[username] = made["MONITORING"]

    def rotate(self, username: str, **body: int) -> None:
        old = self.keys[username]
        response = self.stack.call("POST", "/v1/api-keys/rotate", old, body)
        assert response.status == 200, response.text
        self.keys[username] = Key(username, response.json["key"])
        if body:
            self.before = old
        else:
            assert not self.account.signs_in(old)

    def begin(self) -> None:
        self.keys["otto"] = self.invite("otto", "OWNER")
        self.keys["carl"] = self.invite("carl", "CLUSTER_ADMIN")
        for username in ("steady", "idler", "absent", "roller"):
            self.made(username)
        self.made("long", expiresAt="2030-02-20T12:00:00Z")
        self.account.set_policy(self.keys["owner"], maxKeyAgeDays=180, revokeInactiveAfterDays=60)

    def invite(self, username: str, role: str) -> Key:
        body = {"username": username, "email": f"{username}@people.example", "role": role}
        assert self.stack.call("POST", "/v1/users", self.keys["owner"], body).status == 201
        self.account.send_mail()
        return self.stack.activate(username)

    def noon(self, day: int) -> None:
        if day == 0:
            self.begin()
        if day == 20:
            self.made("short", expiresAt="2030-01-26T12:00:00Z")
        if day == 60:
            self.made("late")
        if day == 70:
            assert not self.account.signs_in(self.keys["otto"])
            assert self.stack.call("POST", "/v1/users/otto/invitation", self.keys["owner"]).status == 200
            self.account.send_mail()
            self.keys["otto"] = self.stack.activate("otto")
        if day in (85, 170, 255, 340):
            self.rotate("roller", overlapSeconds=604_800)
        if day in (92, 177, 262, 347):
            assert self.before is not None
            assert not self.account.signs_in(self.before)
        if day in (91, 176, 261, 346):
            assert self.before is not None
            assert self.account.signs_in(self.before)
        for username, days in {"owner": (100, 205, 290), "carl": (120, 205, 280), "otto": (150, 235)}.items():
            if day in days:
                self.rotate(username)
        if day == 200:
            self.account.set_policy(self.keys["owner"], pciCompliance=True)
        for username in self.at_work(day):
            assert self.account.signs_in(self.keys[username]), (day, username)

    def at_work(self, day: int) -> set[str]:
        """Who signs in today: each of those who are at work does every fifth day."""
        if day % 5:
            return set()
        busy = {"owner", "carl", "roller"}
        busy |= {"steady"} if day < 181 else set()
        busy |= {"late"} if 60 <= day < 211 else set()
        busy |= {"long"} if day < 50 else set()
        busy |= {"otto"} if 70 <= day < 326 else set()
        busy |= {"idler", "absent"} if day <= 30 else set()
        busy |= {"absent"} if 85 <= day <= 100 else set()
        return busy


@pytest.mark.slow_first
def test_the_policies_of_a_year_notify_and_revoke_on_the_stated_days(stack: Stack) -> None:
    account = policy_account(stack)
    year = YearScript(account)
    mailed: dict[int, list[tuple[str, str, str]]] = defaultdict(list)

    def mail(day: int) -> None:
        seen = len(account.mail.ses.sent)
        account.send_mail()
        if len(account.mail.ses.sent) == seen:
            return
        told = {event["id"]: event for event in account.events()}
        for to, message in account.mail.ses.sent[seen:]:
            event = told[str(message["Service-Users-Event"])]
            mailed[day].append((to.partition("@")[0], event["action"], event["subject"]["username"]))

    for day in range(DAYS):
        for time in (NIGHT, MORNING, NOON, EVENING):
            account.set_day(day + time)
            seen = len(account.mail.ses.sent)
            counts = account.sweep()
            assert counts["done"] == 1
            assert time == NIGHT or counts == {"done": 1}
            if counts.get("events"):
                mail(day)
            if time == NOON:
                acted = len(account.mail.ses.sent)
                year.noon(day)
                for to, message in account.mail.ses.sent[acted:]:
                    mailed[day].append(_line(account, to, str(message["Service-Users-Event"])))
                if day in CALENDAR:
                    mail(day)
            assert len(account.mail.ses.sent) - seen <= len(CALENDAR.get(day, ())), (day, mailed.get(day))
    account.set_day(DAYS)
    mail(DAYS)
    assert {day: sorted(lines) for day, lines in mailed.items()} == {
        day: sorted(lines) for day, lines in CALENDAR.items()
    }
    alive = {username for username in year.keys if account.key_types(username)}
    assert alive == ALIVE_AT_THE_END
    assert {username for username, key in year.keys.items() if account.signs_in(key)} == ALIVE_AT_THE_END


def _line(account: PolicyAccount, to: str, event_id: str) -> tuple[str, str, str]:
    [event] = [event for event in account.events() if event["id"] == event_id]
    return to.partition("@")[0], event["action"], event["subject"]["username"]
