"""Passkeys under the inactivity policy, in random lives, held against the rules as told a second time.

A machine of its own beside ``tests/concurrency``: there, hours go by; here, days and weeks do, with the daily
function and the mail, which is down at times. Nobody but the OWNER who is at work every day has an API key.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.api_client import Stack, Tables, serve
from tests.support.browser import Browser
from tests.support.mail import ses_error
from tests.support.passkeys import SoftPasskey
from tests.support.policies import DAY, START, PolicyAccount
from tests.support.reference_model import MAX_PASSKEYS, Caller, Passkey, ReferenceModel, Secret, Session

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PROFILES = {"short": 4, "ci": 4, "part": 20, "long": 200}
EXAMPLES = PROFILES.get(os.environ.get("HYPOTHESIS_PROFILE", "short"), 4)
PEOPLE = ["ann", "bea"]


@dataclass
class Owned:
    """A passkey: with its key, and as the model knows it."""

    soft: SoftPasskey
    told: Passkey


class Lives(RuleBasedStateMachine):
    """Two people and their passkeys. ``fresh`` serves the API on tables with nothing in them."""

    fresh: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.stack: Stack = type(self).fresh()
        self.stack.clock.at = START
        self.model = ReferenceModel()
        self.model.now = START
        self.day = 0.0
        self.mail_is_down = False
        self.owned: list[Owned] = []
        """Every passkey that there ever was."""

    @initialize()
    def begin(self) -> None:
        self.owner = self.stack.account()
        self.account = PolicyAccount(self.stack, self.owner)
        opened = {"username": self.owner.username, "email": "owner@acme.example", "accountName": "Acme"}
        self.id = self.account.stored_account().id
        self.model.open_account(self.id, opened)
        self.boss = self.model.all[self.owner.username.lower()]
        for name, role in zip(PEOPLE, ("OWNER", "READ_ONLY"), strict=True):
            body = {"username": name, "email": f"{name}@people.example", "role": role}
            assert self.stack.call("POST", "/v1/users", self.owner, body).status == 201
            self.model.invite(self.by_key(), body)
            self.take_up(name)
        self.account.send_mail()
        self.set_policy(20)

    # What people do

    @rule(data=st.data())
    def sign_in(self, data: st.DataObject) -> None:
        """Use a passkey: one that there is, or one that is gone."""
        owned = data.draw(st.sampled_from(self.owned), "passkey")
        session, browser = self.enter(owned)
        assert (session is not None) is any(owned.told in it.passkeys for it in self.model.all.values())
        assert ("__Host-session" in browser.cookies) is (session is not None)

    @rule(data=st.data())
    def add_a_passkey(self, data: st.DataObject) -> None:
        owned = data.draw(st.sampled_from(self.owned), "by which")
        session, browser = self.enter(owned)
        if session is None:
            return
        by = self.model.enter(session)
        soft = SoftPasskey()
        begun = browser.call("add-begin")
        fits = len(by.who.passkeys) < MAX_PASSKEYS
        assert begun.status == (200 if fits else 409)
        if not fits:
            return
        asked = self.model.begin_addition(by)
        made = {"name": "", "passkey": soft.create(begun.json["challenge"])}
        assert browser.call("add-finish", made).status == 200
        self.owned.append(Owned(soft, self.model.add_passkey(by, asked, soft.counter)))

    @rule(name=st.sampled_from(PEOPLE))
    def invite_again(self, name: str) -> None:
        """Lose every passkey and get another one."""
        assert self.stack.call("POST", f"/v1/users/{name}/invitation", self.owner).status == 200
        self.model.invite_again(self.by_key(), name)
        self.take_up(name)

    @rule(days=st.sampled_from([None, 14, 14, 20, 20, 30]))
    def set_policy(self, days: int | None) -> None:
        self.account.set_policy(revokeInactiveAfterDays=days)
        self.model.change_account(self.by_key(), {"revokeInactiveAfterDays": days})

    @rule()
    def break_or_mend_the_mail(self) -> None:
        def fail(_recipient: str) -> None:
            raise ses_error("ServiceUnavailableException")

        self.mail_is_down = not self.mail_is_down
        self.account.mail.ses.hook = fail if self.mail_is_down else lambda _recipient: None

    @precondition(lambda self: bool(self.owned))
    @rule(days=st.sampled_from([1, 7, 11, 14]))
    def let_days_go_by(self, days: int) -> None:
        for _ in range(days):
            self.day += 1
            self.account.set_day(self.day)
            self.model.now = self.stack.clock()
            assert self.account.signs_in(self.owner)
            self.account.sweep()
            self.model.sweep_passkeys()
            self.account.send_mail()
            if not self.mail_is_down:
                self.model.mail_goes_out()
            self.check()

    # What must hold

    def check(self) -> None:
        for name in PEOPLE:
            stored = {it["credentialId"] for it in self.account.item(name).get("passkeys", {}).values()}
            expected = {
                it.soft.credential_id for it in self.owned if it.told in self.model.all[name].passkeys
            }
            assert stored == expected, (name, self.day)
        said = sorted(
            (it["at"], it["action"], it["subject"]["username"])
            for it in self.account.events("PASSKEY_ENDING", "PASSKEY_REMOVED")
        )
        told = sorted(
            (it.action, it.subject)
            for it in self.model.records
            if it.action in ("PASSKEY_ENDING", "PASSKEY_REMOVED")
        )
        assert sorted(it[1:] for it in said) == told, self.day

    # Helpers

    def by_key(self) -> Caller:
        self.model.now = self.stack.clock()
        return Caller(self.boss, "USER_MANAGEMENT", Secret())

    def take_up(self, name: str) -> None:
        browser = Browser(self.stack)
        token = self.stack.token(name)
        assert browser.activate(name, token).status == 200
        person = self.model.all[name]
        assert person.open is not None
        person.open.tokens[token] = int(self.stack.clock()) + 3 * DAY
        asked = self.model.begin_activation(name, token)
        session = self.model.activate_in_browser(asked, token, browser.passkey.counter)
        self.owned.append(Owned(browser.passkey, session.passkey))

    def enter(self, owned: Owned) -> tuple[Session | None, Browser]:
        self.stack.clock.forward(1)
        self.model.now = self.stack.clock()
        browser = Browser(self.stack, passkey=owned.soft)
        status = browser.sign_in().status
        asked = self.model.begin_sign_in()
        if not any(owned.told in it.passkeys for it in self.model.all.values()):
            assert status == 401
            return None, browser
        assert status == 200
        return self.model.finish_sign_in(asked, asked, owned.told, owned.soft.counter), browser


def test_random_lives_of_passkeys_agree_with_the_reference_model(
    dynamodb: "DynamoDBClient", tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh() -> Stack:
        for table, keys in ((tables.directory, ("pk",)), (tables.events, ("account", "id"))):
            for item in dynamodb.scan(TableName=table)["Items"]:
                dynamodb.delete_item(TableName=table, Key={key: item[key] for key in keys})
        return serve(dynamodb, tables, monkeypatch)

    run_state_machine_as_test(
        type("Passkeys", (Lives,), {"fresh": staticmethod(fresh)}),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=14,
            derandomize=True,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
