"""What time and policy make of one key, through lives made up at random: all end, and none unannounced."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.rules import api_keys, policies
from chalicelib.rules.api_keys import is_expired
from chalicelib.rules.model import (
    Action,
    Actor,
    ApiKey,
    Audience,
    Cause,
    Event,
    Kind,
    Notice,
    Policy,
    Subject,
    User,
)
from chalicelib.rules.policies import SWEEP_INTERVAL, ClearNotice, Revoke, SendNotice
from chalicelib.rules.roles import KeyType, Role

DAY, HOUR = 86_400, 3600
START = 1_900_000_000

DAYS = st.one_of(st.none(), st.integers(14, 120))
STEP = st.one_of(
    st.tuples(st.just("use"), st.none()),
    st.tuples(st.just("rotate"), st.none()),
    st.tuples(st.just("policy"), st.tuples(DAYS, DAYS)),
    st.tuples(st.just("end"), st.one_of(st.none(), st.integers(1, 60 * 24))),
    st.tuples(st.just("mail fails"), st.booleans()),
    st.tuples(st.just("sweep"), st.none()),
    st.tuples(st.just("days"), st.integers(1, 40)),
)


@dataclass
class SimulatedKey:
    """A key, its account's policy, and what its holders were mailed."""

    key: ApiKey = field(
        default_factory=lambda: ApiKey(b"d", "7ac6a", START, "owner", expires_at=None, last_used_at=None)
    )
    policy: Policy = field(default_factory=Policy)
    now: int = START
    mail_fails: bool = False
    revoked: Revoke | None = None
    sent: dict[str, int] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    told: list[tuple[int, SendNotice]] = field(default_factory=list)
    set_at: int = START

    def mail(self) -> None:
        if not self.mail_fails:
            self.sent |= dict.fromkeys(self.waiting, self.now)
            self.waiting = []

    def event(self, name: str) -> Event:
        told = {"owner": self.sent[name]} if name in self.sent else {}
        return Event(
            id=name,
            account="a",
            at=START,
            action=Action.API_KEY_ENDING,
            actor=Actor(Kind.POLICY),
            subject=Subject(Kind.USER, "owner"),
            audience=Audience.PERSON,
            told=told,
            due_at=None if told else START,
        )

    def sweep(self) -> None:
        """What the sweep does with one key."""
        if self.revoked is not None:
            return
        judgement = policies.decide(self.key, self.policy, self.now)
        if isinstance(judgement, ClearNotice):
            self.key = replace(self.key, notice=None)
        elif isinstance(judgement, SendNotice):
            self.send(judgement)
        elif isinstance(judgement, Revoke):
            if judgement.by_policy:
                notice = self.key.notice
                assert notice is not None
                first, last = self.event(notice.first_event), self.event(notice.last_event)
                if not policies.were_delivered_in_time(notice, first, last, self.now):
                    waiting = policies.decide_while_waiting(self.key, self.now)
                    if waiting is not None:
                        self.send(waiting)
                        self.mail()
                    return
                self.check_policy_revocation(judgement.cause)
            else:
                assert is_expired(self.key, self.now)
                self.check_own_expiry()
            self.revoked = judgement
        self.mail()

    def send(self, notice: SendNotice) -> None:
        name = f"event-{len(self.told)}"
        self.waiting.append(name)
        self.told.append((self.now, notice))
        assert notice.expiry.at >= self.now
        self.key = replace(self.key, notice=policies.record_notice(self.key, notice, name, self.now))

    def over_since(self) -> int | None:
        """When the policy's end of the key was, told a second time."""
        made = self.key.rotated_at or self.key.created_at
        ends = []
        if self.policy.max_key_age_days is not None:
            ends.append(made + self.policy.max_key_age_days * DAY)
        if self.policy.revoke_inactive_after_days is not None:
            ends.append(
                max(made, self.key.last_used_at or made) + self.policy.revoke_inactive_after_days * DAY
            )
        return min(ends, default=None)

    def check_policy_revocation(self, cause: Cause) -> None:
        """What ends by the policy is over by it, and both its notices were mailed in time."""
        notice = self.key.notice
        over = self.over_since()
        assert over is not None
        assert over <= self.now
        assert notice is not None
        assert notice.ends_at <= self.now
        assert self.sent[notice.first_event] <= self.now - 10 * DAY + HOUR
        assert self.sent[notice.last_event] <= self.now - DAY + HOUR
        made = self.key.rotated_at or self.key.created_at
        assert any(
            made <= at <= self.now - DAY and cause in (tell.expiry.cause, tell.also) for at, tell in self.told
        ), "a notice said that this policy ends it"

    def check_own_expiry(self) -> None:
        """What ends by its own expiry was announced by it, if that was set early enough."""
        ends = self.key.expires_at
        assert ends is not None
        if ends - max(self.set_at, self.key.created_at) < 3 * DAY:
            return
        assert any(
            at >= self.set_at and Cause.EXPIRY in (tell.expiry.cause, tell.also) for at, tell in self.told
        ), "a notice said its own expiry"

    def step(self, what: str, how: object) -> None:
        if what == "use" and self.revoked is None and not is_expired(self.key, self.now):
            self.key = replace(self.key, last_used_at=self.now)
        elif what == "rotate" and self.revoked is None and not is_expired(self.key, self.now):
            holder = User(
                username="owner",
                account="a",
                email="o@example.com",
                role=Role.OWNER,
                membership="m",
                version="1",
                created_at=START,
                keys={KeyType.MONITORING: self.key},
            )
            rotated = api_keys.rotate(holder, KeyType.MONITORING, 0, self.now).holder
            self.key = rotated.keys[KeyType.MONITORING]
        elif what == "policy":
            assert isinstance(how, tuple)
            self.policy = Policy(*how)
        elif what == "end" and self.revoked is None and not is_expired(self.key, self.now):
            assert how is None or isinstance(how, int)
            self.key = replace(self.key, expires_at=None if how is None else self.now + how * HOUR)
            self.set_at = self.now
        elif what == "mail fails":
            self.mail_fails = bool(how)
        elif what == "sweep":
            self.sweep()
        elif what == "days":
            assert isinstance(how, int)
            self.days(how)

    def days(self, count: int) -> None:
        for _ in range(count):
            self.now += DAY
            self.mail()
            self.sweep()


@settings(max_examples=400, deadline=None)
@given(steps=st.lists(STEP, max_size=30))
def test_any_key_under_a_policy_ends_in_time_and_only_after_its_notices(
    steps: list[tuple[str, object]],
) -> None:
    life = SimulatedKey()
    for what, how in steps:
        life.now += 1800
        life.step(what, how)
    # From now on all is well, and nobody does anything: what is over is gone when its notices have been out.
    life.mail_fails = False
    life.days(14)
    over = life.over_since()
    if over is not None and over <= life.now - 14 * DAY:
        assert life.revoked is not None
    if life.key.expires_at is not None and life.key.expires_at <= life.now:
        assert life.revoked is not None


@settings(max_examples=300, deadline=None)
@given(
    age=DAYS,
    idle=DAYS,
    uses=st.lists(st.integers(0, 150 * 24), max_size=12),
    hour=st.integers(0, 23),
    gaps=st.lists(st.integers(0, 150), max_size=3),
)
def test_each_notice_is_sent_once_for_each_expiry(
    age: int | None, idle: int | None, uses: list[int], hour: int, gaps: list[int]
) -> None:
    """By a sweep a day, at whatever hour and with days left out, under one policy."""
    life = SimulatedKey(policy=Policy(age, idle))
    life.now += hour * HOUR
    pending = sorted(START + use * HOUR for use in uses)
    for day in range(150):
        life.now += DAY
        while pending and pending[0] <= life.now:
            if life.revoked is None:
                life.key = replace(life.key, last_used_at=pending[0])
            pending.pop(0)
        if day not in gaps:
            life.sweep()
            life.sweep()  # and twice the same day
    ends: dict[int, list[str]] = {}
    for _, tell in life.told:
        kinds = ends.setdefault(tell.expiry.at, [])
        kinds += ["first"] * tell.first + ["last"] * tell.last
    for kinds in ends.values():
        assert len(kinds) == len(set(kinds))
    firsts = [at for at, tell in life.told if tell.first]
    # An expiry that moved by more than a day has notices of its own, a sweep later at the earliest.
    assert all(later - earlier >= SWEEP_INTERVAL for earlier, later in itertools.pairwise(firsts))


def test_the_notices_of_an_expiry_that_was_taken_away_announce_no_end_by_the_policy() -> None:
    life = SimulatedKey()
    life.key = replace(life.key, expires_at=START + 40 * DAY)
    life.days(38)
    assert [tell.expiry.cause for _, tell in life.told] == [Cause.EXPIRY]
    life.policy = Policy(max_key_age_days=14)
    life.days(1)
    life.key = replace(life.key, expires_at=None)
    assert policies.expected_end(life.key, life.policy, life.now) == life.now + 10 * DAY
    life.days(9)
    assert life.revoked is None
    life.days(3)
    assert life.revoked == Revoke(Cause.POLICY_AGE, "The account revokes every key 14 days after it was made")
    by_policy = [tell for _, tell in life.told if tell.expiry.cause is Cause.POLICY_AGE]
    assert [(tell.first, tell.last) for tell in by_policy] == [(True, False), (False, True)]


@pytest.mark.parametrize("rotated", [False, True])
def test_the_notices_of_a_policy_also_say_an_expiry_that_comes_right_after(rotated: bool) -> None:
    """Whoever uses or rotates the key because of them is not to be surprised by its own expiry."""
    life = SimulatedKey(policy=Policy(revoke_inactive_after_days=90))
    life.key = replace(life.key, expires_at=START + 90 * DAY + 12 * HOUR)
    life.days(89)
    assert [(tell.first, tell.last, tell.also) for _, tell in life.told] == [
        (True, False, Cause.EXPIRY),
        (False, True, Cause.EXPIRY),
    ]
    assert all("its own expiry ends it on" in tell.expiry.reason for _, tell in life.told)
    life.step("rotate" if rotated else "use", None)
    life.days(3)
    assert life.revoked is not None
    assert not life.revoked.by_policy
    assert len(life.told) == 2


@pytest.mark.parametrize("hours", [30, 156])
def test_an_expiry_that_is_set_after_the_notices_of_a_policy_is_announced(hours: int) -> None:
    life = SimulatedKey(policy=Policy(max_key_age_days=60))
    life.days(51)
    assert [tell.expiry.cause for _, tell in life.told] == [Cause.POLICY_AGE]
    life.step("end", hours)
    life.days(15)
    assert life.revoked is not None
    causes = [tell.expiry.cause for _, tell in life.told]
    assert causes == [Cause.POLICY_AGE, Cause.EXPIRY]


def test_the_notices_of_one_policy_announce_no_end_by_another() -> None:
    life = SimulatedKey(policy=Policy(revoke_inactive_after_days=90))
    life.key = replace(life.key, last_used_at=START + 100 * DAY)
    life.days(189)
    assert [tell.expiry.cause for _, tell in life.told] == [Cause.POLICY_INACTIVITY, Cause.POLICY_INACTIVITY]
    life.policy = Policy(90, 90)
    life.key = replace(life.key, last_used_at=life.now)
    life.days(9)
    assert life.revoked is None
    life.days(3)
    assert life.revoked is not None
    assert life.revoked.cause is Cause.POLICY_AGE


def test_a_rotation_keeps_no_notice_of_a_policy_for_an_expiry_that_is_far() -> None:
    life = SimulatedKey(policy=Policy(revoke_inactive_after_days=30))
    life.key = replace(life.key, expires_at=START + 120 * DAY)
    life.days(25)
    assert life.key.notice is not None
    assert life.key.notice.causes == (Cause.POLICY_INACTIVITY,)
    life.step("rotate", None)
    assert life.key.notice is None


def test_an_expiry_that_comes_while_a_policy_waits_for_its_emails_is_announced() -> None:
    life = SimulatedKey(policy=Policy(max_key_age_days=60))
    life.days(55)
    life.mail_fails = True
    life.days(7)
    assert life.revoked is None, "its last notice was not mailed"
    life.step("end", 36)
    life.days(1)
    last = life.told[-1][1]
    assert (last.expiry.cause, last.last) == (Cause.EXPIRY, True)
    told = len(life.told)
    life.days(2)
    assert len(life.told) == told


def test_the_last_notice_of_an_expiry_that_was_taken_away_is_not_that_of_the_policy() -> None:
    life = SimulatedKey(policy=Policy(revoke_inactive_after_days=60))
    life.days(50)
    assert [tell.expiry.cause for _, tell in life.told] == [Cause.POLICY_INACTIVITY]
    life.step("end", 36)
    life.days(1)
    assert life.told[-1][1].expiry.cause is Cause.EXPIRY
    life.step("end", None)
    life.days(13)
    assert life.revoked is not None
    assert life.revoked.by_policy
    at, last = life.told[-1]
    assert (last.expiry.cause, last.last) == (Cause.POLICY_INACTIVITY, True)
    assert START + 60 * DAY <= at <= START + 62 * DAY


@pytest.mark.parametrize("policy", [Policy(60), Policy(revoke_inactive_after_days=60)])
def test_nobody_puts_the_policys_end_off_by_moving_a_near_expiry_on(policy: Policy) -> None:
    """Each time it is what would end the key first, and so what its notices are about."""
    life = SimulatedKey(policy=policy)
    life.days(45)
    while life.revoked is None and life.now < START + 160 * DAY:
        life.step("end", 9 * 24 + 12)
        life.days(9)
    assert life.revoked is not None
    assert life.revoked.by_policy
    assert life.now <= START + 76 * DAY
    over = next(at for at, tell in life.told if tell.also is not None)
    assert over <= START + 56 * DAY


def test_nobody_puts_the_policys_end_off_by_an_expiry_that_comes_and_goes() -> None:
    life = SimulatedKey(policy=Policy(max_key_age_days=60))
    life.days(55)
    for _ in range(8):
        if life.revoked is None:
            life.key = replace(life.key, expires_at=life.now + DAY + HOUR)
            life.days(1)
            life.key = replace(life.key, expires_at=None)
            life.days(4)
    assert life.revoked is not None
    assert life.revoked.by_policy
    assert life.now <= START + 95 * DAY


AGED = Policy(max_key_age_days=60)


def with_notice(key: ApiKey, ends_at: int, last_at: int | None = None) -> ApiKey:
    return replace(key, notice=Notice(ends_at, START, last_at))


@pytest.mark.parametrize(
    ("expires", "policy", "after", "end"),
    [
        (None, Policy(), 0, None),
        (5, Policy(), 0, 5),
        (None, AGED, 0, 60),
        (59, AGED, 0, 59),
        (61, AGED, 0, 60),
        (None, AGED, 45, 60),
        (None, AGED, 55, 65),  # 10 days after its first notice, which comes late
        (None, AGED, 100, 110),
        (None, Policy(revoke_inactive_after_days=30), 0, 30),
        (None, Policy(max_key_age_days=60, revoke_inactive_after_days=30), 0, 30),
    ],
)
def test_when_a_key_is_expected_to_end(
    expires: int | None, policy: Policy, after: int, end: int | None
) -> None:
    ends = None if expires is None else START + expires * DAY
    key = ApiKey(b"d", "7ac6a", START, "owner", expires_at=ends)
    found = policies.expected_end(key, policy, START + after * DAY)
    assert found == (None if end is None else START + end * DAY)


def test_a_key_with_notices_is_expected_to_end_no_earlier_than_they_say() -> None:
    key = ApiKey(b"d", "7ac6a", START, "owner")
    now = START + 62 * DAY
    first = with_notice(key, now + 3 * DAY)
    assert policies.expected_end(first, AGED, now) == now + 3 * DAY
    late = with_notice(key, now)
    assert policies.expected_end(late, AGED, now) == now + DAY, "the last notice comes a day before"
    both = with_notice(key, now + HOUR, last_at=now - DAY)
    assert policies.expected_end(both, AGED, now) == now + HOUR
    used = replace(both, last_used_at=now)
    inactive = Policy(revoke_inactive_after_days=30)
    assert policies.expected_end(used, inactive, now) == now + 30 * DAY, (
        "it was used since, so notices start again"
    )


@given(st.integers(14, 120), st.one_of(st.none(), st.integers(1, 150)))
@settings(max_examples=50)
def test_an_unused_key_ends_within_a_day_of_when_it_was_expected_to(days: int, expires: int | None) -> None:
    it = SimulatedKey(policy=Policy(max_key_age_days=days))
    it.key = replace(it.key, expires_at=None if expires is None else START + expires * DAY)
    expected = policies.expected_end(it.key, it.policy, it.now)
    assert expected is not None
    while it.revoked is None:
        it.sweep()
        it.mail()
        it.now += DAY
    assert 0 <= it.now - DAY - expected <= 2 * DAY
