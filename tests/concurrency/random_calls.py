"""A machine that does whatever callers may think of, and holds every response against the rulebook.

Two accounts, their people, Service Users, keys and invitations; every call by any key there is or ever
was. After each call the tables are held against the rulebook too, and what must always hold is checked:
one live key of a type, names and addresses unique, a right that ended refused at the very next call,
every key change recorded once, and no secret anywhere but in the one response that made it.

``random_visits`` adds what the same people do in their browsers; ``test_state_machine`` runs it.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import app as application
from chalicelib.rules import key_format, limits
from chalicelib.rules.errors import Conflict
from chalicelib.rules.limits import Limits
from chalicelib.store.outbox import DynamoOutbox
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.reference_model import (
    AT_THE_OFFICE,
    ELSEWHERE,
    MAY_HOLD,
    OFFICE,
    ROLES,
    TYPES,
    Allowance,
    Caller,
    Held,
    Outcome,
    Record,
    ReferenceModel,
    Refused,
    Someone,
    fold,
    moment,
)

CHANGEABLE = (
    *("displayName", "role", "administrators", "name", "machinesManageOwners", "revokeLeakedKeys"),
    *("description", "labels"),
)
"""The fields of responses that their holder's PUT changes."""
PARTS = ("role", "administrators", "displayName", "description", "labels")
"""What of a Service User changes."""
ABOUT: dict[str, tuple[Any, ...]] = {
    "description": (None, "Work", "Bote \N{ROBOT FACE}"),
    "labels": ({}, {"team": "a"}, {"team": "a", "acme.example/tier": ""}),
}
CONDITIONS = {
    "machines": [
        *("", "&role=OWNER", "&administrator=ben", "&label=team:a", "&neverUsed=true"),
        *("&withoutNetworks=true", "&unusedForDays=1", "&endingWithinDays=3"),
        "&role=READ_ONLY&neverUsed=true&withoutNetworks=true&unusedForDays=3",
    ],
    "people": ["", "&role=CLUSTER_ADMIN", "&status=INVITED", "&status=ACTIVE&role=OWNER", "&suspended=true"],
}
"""What lists are asked for."""
EVERY_KEY = os.environ.get("HYPOTHESIS_PROFILE") == "long"

SECRET = re.compile(r"su[kisce]_[0-9A-Za-z]{49}")
MASK = "•••…"
TICK = 1 / 512
"""Seconds between two calls: over a millisecond, so that the trail has one order, and exact in binary."""

PEOPLE = ["ada", "ben", "cal", "dan", "zoe", "yan"]
MACHINES = ["bot", "fox", "gnu", "hen"]
EMAILS = [
    "ann@people.example",
    "Ann+one@people.example",
    "eve@people.example",
    "m.a.x@gmail.com",
    "max+tag@GoogleMail.com",
    "max@people.example",
    *(f"{name}@people.example" for name in (*PEOPLE, *MACHINES)),
]

TIGHT = Limits(
    key_changes_per_hour=120,
    key_change_burst=4,
    account_changes_per_minute=8,
    invitation_pause=60,
    invitations_per_day=3,
    account_invitations_per_day=5,
    passkey_code_pause=30,
    passkey_codes_per_day=4,
    key_searches_per_minute=3,
    leak_reports_per_minute=2,
    users=5,
    owners=2,
    service_users=3,
)
ALLOWED = Allowance(
    pause=30,
    burst=4,
    a_minute=8,
    invitation_pause=60,
    invitations_a_day=3,
    invitations_of_all=5,
    code_pause=30,
    codes_a_day=4,
    touches=2,
    searches=3,
    reports=2,
    people=5,
    owners=2,
    machines=3,
)


class Machine(RuleBasedStateMachine):
    """Calls at random. ``fresh`` answers the API on tables with nothing in them."""

    fresh: ClassVar[Callable[[], Stack]]

    def __init__(self) -> None:
        super().__init__()
        self.stack = type(self).fresh()
        self.book = ReferenceModel()
        self.outbox = DynamoOutbox(
            self.stack.client, self.stack.tables.directory, self.stack.tables.events, sleep=lambda _: None
        )
        self.made: list[Key] = []
        self.seen: set[str] = set()
        self.dead: list[Key] = []
        self.living: dict[Key, tuple[Any, ...]] = {}
        """Each working key's holder, role and type, and whether it is for the office alone."""
        self.turn = 0
        self.readings: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        """What was last read of whom: the response, and the unchangeable part of it."""
        self.tokens: list[tuple[str, str]] = []
        self.invitations: list[tuple[Someone, Any, dict[str, Any]]] = []
        self.events: dict[str, dict[str, Any]] = {}
        self.bearer = False
        self.logged = Listener()
        logging.getLogger().addHandler(self.logged)

    def teardown(self) -> None:
        logging.getLogger().removeHandler(self.logged)

    # The callers, and what they may think of

    @initialize(tight=st.booleans())
    def begin(self, tight: bool) -> None:
        for username in ("ada", "zoe"):
            self.open_account(username, f"{username}@people.example")
        ada, zoe = self.made
        ben = self.join(ada, "ben", "CLUSTER_ADMIN")
        self.join(ada, "cal", "READ_ONLY")
        self.join(zoe, "yan", "CLUSTER_ADMIN")
        for by, username, role in (
            (ada, "bot", "OWNER"),
            (ben, "fox", "CLUSTER_ADMIN"),
            (zoe, "gnu", "OWNER"),
        ):
            body = {"username": username, "email": f"{username}@people.example", "role": role}
            if username == "fox":
                body["keyTypes"] = ["MONITORING", "USER_MANAGEMENT"]  # type: ignore[assignment]
            self.go(
                "POST", "/v1/service-users", by, Caller.staff, body, lambda it, body=body: it.create(body)
            )
        shared = {"administrators": ["ada", "ben"]}
        path = "/v1/service-users/bot"
        self.go("PUT", path, ada, Caller.staff, shared, lambda it: it.update("bot", shared))
        limits.PASSKEY_USE_BURST = ALLOWED.touches if tight else 10_000  # the test's fixture sets it back
        if tight:
            self.stack.clock.forward(172_800)  # on another day, nothing is paid for yet
            self.stack.service.directory.limits = TIGHT
            self.book.allowed = ALLOWED

    @rule(data=st.data(), username=st.sampled_from([*PEOPLE, *MACHINES]), email=st.sampled_from(EMAILS))
    def create_account(self, data: st.DataObject, username: str, email: str) -> None:
        if data.draw(st.integers(0, 3), "a rare call") == 0:
            self.open_account(username, email)

    @rule(
        data=st.data(),
        role=st.sampled_from(ROLES),
        ends=st.sampled_from([None, None, None, 60, 3600, 200_000, 0]),
    )
    def create_service_user(self, data: st.DataObject, role: str, ends: int | None) -> None:
        username, email = self.names(data, [*MACHINES, "ivy"], ["ada"])
        body: dict[str, Any] = {"username": username, "email": email, "role": role}
        fit = MAY_HOLD[role]
        kinds = data.draw(
            st.sampled_from([None, None, fit[:1], fit[-1:], [], [*TYPES], fit[:1] * 2]), "key types"
        )
        if kinds is not None:
            body["keyTypes"] = kinds
        bad_names = False
        if data.draw(st.integers(0, 2), "named") == 0:
            named = self.administrators(data, None)
            body["administrators"] = named
            bad_names = len({it.lower() for it in named}) < len(named)
        if data.draw(st.integers(0, 2), "described") == 0:
            body |= {part: data.draw(st.sampled_from(some), part) for part, some in ABOUT.items()}
        wire, told, bad = self.ending(body, ends)
        bad = bad or bad_names
        if kinds is not None and (len(set(kinds)) < len(kinds) or set(kinds) - set(MAY_HOLD[role])):
            bad = True
        if data.draw(st.booleans(), "as profile"):
            wire = {("profile" if name == "role" else name): it for name, it in wire.items()}
        self.call(data, "POST", "/v1/service-users", Caller.staff, lambda it: it.create(told), wire, bad=bad)

    @rule(data=st.data(), parts=st.sets(st.sampled_from(PARTS)))
    def update_service_user(self, data: st.DataObject, parts: set[str]) -> None:
        actor = self.actor(data, Caller.staff)
        name = self.someone(data, actor, machine=True)
        body: dict[str, Any] = {}
        if "role" in parts:
            body["role"] = data.draw(st.sampled_from(ROLES), "role")
        if "displayName" in parts:
            body["displayName"] = data.draw(st.sampled_from(["Work", "Bote \N{ROBOT FACE}"]), "display name")
        for part in sorted(parts & ABOUT.keys()):
            body[part] = data.draw(st.sampled_from(ABOUT[part]), part)
        if "administrators" in parts:
            body["administrators"] = self.administrators(data, actor)
        named = [it.lower() for it in body.get("administrators", [])]
        bad = len(set(named)) < len(named)
        path = f"/v1/service-users/{_case(data, name)}"
        look: Callable[[Desk], Outcome] = lambda it: it.machine(name)  # noqa: E731
        self.read_first(data, path, actor, _anybody, look)
        wire, told, read = self.sent_back(data, path, body)
        plan: Callable[[Desk], Outcome] = lambda it: it.update(name, told, read)  # noqa: E731
        self.call(data, "PUT", path, Caller.staff, plan, wire, bad=bad, actor=actor)

    def administrators(self, data: st.DataObject, actor: Key | None) -> list[str]:
        """Choose Administrators: most often fit ones."""
        fit = [it.username for it in self.home(actor) if not it.machine and it.role != "READ_ONLY"]
        some = st.sampled_from([*fit * 4, "cal", "yan", "bot", "nobody"])
        return data.draw(st.lists(some, max_size=3), "administrators")

    @rule(data=st.data())
    def delete_service_user(self, data: st.DataObject) -> None:
        actor = self.actor(data, Caller.staff)
        name = self.someone(data, actor, machine=True)
        path = f"/v1/service-users/{_case(data, name)}"
        self.call(data, "DELETE", path, Caller.staff, lambda it: it.delete(name), actor=actor)

    @rule(data=st.data(), own=st.booleans(), offices=st.sampled_from([None, None, [], [OFFICE]]))
    def generate_key(self, data: st.DataObject, own: bool, offices: list[str] | None) -> None:
        actor, door, kind = self.door(data, own=own, held=False)
        body: dict[str, Any] = {"keyType": kind} | ({} if offices is None else {"allowedNetworks": offices})
        ends = data.draw(st.sampled_from([None, None, None, 60, 200_000, 0, "none"]), "ends")
        wire, told, bad = self.ending(body, ends)
        plan = door.then(lambda it, holder: it.generate(holder, told), handing_out=True)
        self.call(data, "POST", door.path, door.guard, plan, wire, bad=bad, actor=actor)

    @rule(data=st.data(), own=st.booleans(), in_query=st.booleans())
    def revoke_key(self, data: st.DataObject, own: bool, in_query: bool) -> None:
        actor, door, kind = self.door(data, own=own)
        meant = self.means_it(data)
        flag = {} if meant is None else {"evenIfLockedOut": meant}
        queries = [f"{name}={json.dumps(it)}" for name, it in flag.items()]
        path, body = (
            ("&".join([f"{door.path}?keyType={kind}", *queries]), NO_BODY)
            if in_query
            else (door.path, {"keyType": kind, **flag})
        )
        if data.draw(st.booleans(), "by path"):
            path, body = "?".join([f"{door.path}/{kind}", *queries]), NO_BODY
        plan = door.then(lambda it, holder: it.revoke(holder, kind, meant=meant is True))
        self.call(data, "DELETE", path, door.guard, plan, body, actor=actor)

    @rule(data=st.data(), own=st.booleans(), offices=st.sampled_from([None, [], [OFFICE]]))
    def restrict_key(self, data: st.DataObject, own: bool, offices: list[str] | None) -> None:
        actor, door, kind = self.door(data, own=own)
        body: dict[str, Any] = {"keyType": kind} | ({} if offices is None else {"allowedNetworks": offices})
        ends = data.draw(st.sampled_from([None, None, None, 60, 200_000, 0, "none"]), "ends")
        wire, told, bad = self.ending(body, ends)
        meant = self.means_it(data)
        plan = door.then(lambda it, holder: it.restrict(holder, told, meant=meant is True))
        wire = wire if meant is None else {**wire, "evenIfLockedOut": meant}
        if by_path := data.draw(st.sampled_from([None, (), ("keyType",)]), "by path, without"):
            wire = {name: it for name, it in wire.items() if name not in by_path}
        path = door.path if by_path is None else f"{door.path}/{kind}"
        self.call(data, "PATCH", path, door.guard, plan, wire, bad=bad, actor=actor)

    def means_it(self, data: st.DataObject) -> bool | None:
        """Choose whether somebody says that they mean to lock themselves out; None says nothing of it."""
        return data.draw(st.sampled_from([True, True, False, None]), "meant")

    @rule(data=st.data(), own=st.booleans(), overlap=st.sampled_from([None, 0, 30, 3600, 604_800, 604_801]))
    def rotate_key(self, data: st.DataObject, own: bool, overlap: int | None) -> None:
        actor, door, kind = self.door(data, own=own)
        body = {"keyType": kind} | ({} if overlap is None else {"overlapSeconds": overlap})
        plan = door.then(lambda it, holder: it.rotate(holder, kind, overlap or 0), handing_out=True)
        path, bad = f"{door.path}/rotate", overlap == 604_801
        self.call(data, "POST", path, door.guard, plan, body, bad=bad, actor=actor)

    @rule(data=st.data(), overlap=st.sampled_from([None, 0, 30, 3600, 604_800, -1]))
    def rotate_own(self, data: st.DataObject, overlap: int | None) -> None:
        body: Any = NO_BODY if overlap is None else {"overlapSeconds": overlap}
        self.call(
            data,
            "POST",
            "/v1/api-keys/rotate",
            _anybody,
            lambda it: it.book.rotate_own(it.by, overlap or 0),
            body,
            bad=overlap == -1,
        )

    @rule(data=st.data(), role=st.sampled_from(ROLES))
    def invite(self, data: st.DataObject, role: str) -> None:
        username, email = self.names(data, PEOPLE, ["bot", "Activate"])
        body = {"username": username, "email": email, "role": role}
        self.call(data, "POST", "/v1/users", Caller.runs_people, lambda it: it.invite(body), body)
        self.mail_at_once(data)

    @rule(
        data=st.data(), parts=st.sets(st.sampled_from(["role", "displayName"])), role=st.sampled_from(ROLES)
    )
    def change_person(self, data: st.DataObject, parts: set[str], role: str) -> None:
        actor = self.actor(data, Caller.runs_people)
        name = self.someone(data, actor, machine=False)
        body = {part: it for part, it in {"role": role, "displayName": "A. Person"}.items() if part in parts}
        path = f"/v1/users/{_case(data, name)}"
        look: Callable[[Desk], Outcome] = lambda it: it.person(name)  # noqa: E731
        self.read_first(data, path, actor, Caller.reads, look)
        wire, told, read = self.sent_back(data, path, body)
        plan: Callable[[Desk], Outcome] = lambda it: it.change(name, told, read)  # noqa: E731
        self.call(data, "PUT", path, Caller.runs_people, plan, wire, actor=actor)

    def read_first(
        self,
        data: st.DataObject,
        path: str,
        by: Key | None,
        guard: Callable[[Caller], None],
        plan: "Callable[[Desk], Outcome]",
    ) -> None:
        """Read, now and then, what is about to be changed."""
        if data.draw(st.booleans(), "read first"):
            self.go("GET", path, by, guard, NO_BODY, plan)

    def sent_back(
        self, data: st.DataObject, path: str, body: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
        """Add to a change, now and then, what was read some time ago, or a field of it changed.

        Return what is sent, what of it the rulebook takes for a change, and what for read.
        """
        there = self.readings.get(path.lower())
        if there is None or data.draw(st.booleans(), "by itself"):
            return body, body, None
        said, read = there
        field = data.draw(st.sampled_from([*[""] * 3, "account", "createdAt"]), "changed")
        other = {field: "another"} if field else {}
        kept = {name: said[name] for name in CHANGEABLE if name in said}
        return {**said, **body, **other}, {**kept, **body}, {**read, **other}

    @rule(data=st.data())
    def revoke_person(self, data: st.DataObject) -> None:
        actor = self.actor(data, Caller.runs_people)
        name = self.someone(data, actor, machine=False)
        path = f"/v1/users/{_case(data, name)}"
        self.call(data, "DELETE", path, Caller.runs_people, lambda it: it.expel(name), actor=actor)

    @rule(data=st.data(), machine=st.booleans())
    def suspend(self, data: st.DataObject, machine: bool) -> None:
        """Suspend somebody, and see that the very next call with each of their keys is refused."""
        guard = Caller.staff if machine else Caller.runs_people
        actor = self.actor(data, guard)
        name = self.someone(data, actor, machine=machine)
        path = f"/v1/{'service-users' if machine else 'users'}/{_case(data, name)}/suspend"
        plan: Callable[[Desk], Outcome] = lambda it: (  # noqa: E731
            it.suspend(name) if machine else it.suspend_person(name)
        )
        self.call(data, "POST", path, guard, plan, actor=actor)
        whom = self.book.all.get(name)
        for key in [it for it in self.made if it in self.living and it.username.lower() == name]:
            if whom is not None and whom.suspended is not None:
                done = self.go("GET", "/v1/whoami", key, _anybody, NO_BODY, Desk.whoami, office=True)
                assert done.status == 403

    @rule(data=st.data(), machine=st.booleans())
    def resume(self, data: st.DataObject, machine: bool) -> None:
        guard = Caller.staff if machine else Caller.runs_people
        actor = self.actor(data, guard)
        away = [it.name for it in self.home(actor) if it.machine is machine and it.suspended is not None]
        name = data.draw(st.sampled_from([*away * 4, self.someone(data, actor, machine=machine)]), "away")
        path = f"/v1/{'service-users' if machine else 'users'}/{_case(data, name)}/resume"
        plan: Callable[[Desk], Outcome] = lambda it: (  # noqa: E731
            it.resume(name) if machine else it.resume_person(name)
        )
        self.call(data, "POST", path, guard, plan, actor=actor)

    @rule(data=st.data(), how=st.sampled_from(["list", "end", "end", "revoke", "revoke"]))
    def shown_keys(self, data: st.DataObject, how: str) -> None:
        """List the keys of machines that somebody knows, end them, or revoke that person first."""
        actor = self.actor(data, Caller.runs_account)
        names = [*PEOPLE, *MACHINES] if data.draw(st.booleans(), "anybody") else []
        name = data.draw(st.sampled_from([*names, self.someone(data, actor, machine=False)]), "who knows")
        path = f"/v1/users/{_case(data, name)}/shown-keys"
        if how == "list":
            plan: Callable[[Desk], Outcome] = lambda it: it.list_known(name)  # noqa: E731
            self.call(data, "GET", path, Caller.runs_account, plan, actor=actor)
            return
        revoke = how == "revoke"
        path += "?revokeUser=true" if revoke else ""
        plan = lambda it: it.end_known(name, revoke=revoke)  # noqa: E731
        self.call(data, "DELETE", path, Caller.runs_account, plan, actor=actor)
        self.stack.clock.forward(1)  # its events are a millisecond apart

    @rule(data=st.data())
    def invite_again(self, data: st.DataObject) -> None:
        actor = self.actor(data, Caller.runs_people)
        name = self.someone(data, actor, machine=False)
        path = f"/v1/users/{_case(data, name)}/invitation"
        self.call(data, "POST", path, Caller.runs_people, lambda it: it.invite_again(name), actor=actor)
        self.mail_at_once(data)

    def mail_at_once(self, data: st.DataObject) -> None:
        if self.invitations and data.draw(st.booleans(), "mailed at once"):  # type: ignore[arg-type]
            self.mail(-1)

    @rule(data=st.data(), how=st.sampled_from(["revoked", "lowered", "invited again"]))
    def come_back(self, data: st.DataObject, how: str) -> None:
        """Send somebody away and have them back, to see that they find nothing of what they had."""
        by = self.actor(data, Caller.runs_people)
        away = [
            it
            for it in self.home(by)
            if not it.machine and not it.open and by and it.name != by.username.lower()
        ]
        if by is None or not away or by not in self.living or not self.passes(by, Caller.runs_people):
            return
        who = data.draw(st.sampled_from(away), "who")
        name, path = who.name, f"/v1/users/{who.name}"
        if who.suspended is not None or (who.owner and len(self.book.owners(who.account)) == 1):
            return
        if how == "revoked":
            body = {"username": who.username, "email": who.email, "role": "CLUSTER_ADMIN"}
            self.go("DELETE", path, by, Caller.runs_people, NO_BODY, lambda it: it.expel(name), office=True)
            done = self.go(
                "POST", "/v1/users", by, Caller.runs_people, body, lambda it: it.invite(body), office=True
            )
        else:
            for role in ("READ_ONLY", "CLUSTER_ADMIN") if how == "lowered" else ():
                part = {"role": role}
                plan: Callable[[Desk], Outcome] = lambda it, part=part: it.change(name, part)  # noqa: E731
                self.go("PUT", path, by, Caller.runs_people, part, plan, office=True)
            plan = lambda it: it.invite_again(name)  # noqa: E731
            done = self.go("POST", f"{path}/invitation", by, Caller.runs_people, NO_BODY, plan, office=True)
        if done.status in (409, 429):  # what the account may do is used up
            return
        self.mail(-1)
        self.take_up(*self.tokens[-1])
        if self.book.all[name].open:
            return
        back = self.made[-1]
        for machine in [it.name for it in self.book.all.values() if it.machine and name in it.links]:
            change = {"displayName": f"Of {name}"}
            at = f"/v1/service-users/{machine}"
            plan = lambda it, machine=machine, change=change: it.update(machine, change)  # noqa: E731
            self.go("PUT", at, back, Caller.staff, change, plan)

    @rule(data=st.data(), newest=st.booleans())
    def mail_invitation(self, data: st.DataObject, newest: bool) -> None:
        if self.invitations:
            last = len(self.invitations) - 1
            self.mail(last if newest else data.draw(st.integers(0, last)))

    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        flaw = data.draw(st.sampled_from([*[""] * 30, *FLAWS]), "flaw")
        opened = {name: it.open for name, it in self.book.all.items() if it.open}
        good = [(name, it) for name, it in self.tokens if name in opened and it in opened[name].tokens]
        tokens = [*good * 8, *self.tokens, ("cal", key_format.new_token())]
        username, token = data.draw(st.sampled_from(tokens), "token")
        odd = data.draw(st.sampled_from([*[""] * 12, "other", "case", "malformed"]), "odd")
        if odd == "other":
            username = data.draw(st.sampled_from([*PEOPLE, *MACHINES]))
        if odd == "case":
            username = username.upper()
        if odd == "malformed":
            token = token[:-1] + "~"
        self.take_up(username, token, flaw)

    @rule(data=st.data(), name=st.sampled_from(["Acme", "Ajax", None]))
    def change_account(self, data: st.DataObject, name: str | None) -> None:
        body: dict[str, Any] = {} if name is None else {"name": name}
        for switch in ("machinesManageOwners", "revokeLeakedKeys"):
            if data.draw(st.booleans(), switch):
                body[switch] = data.draw(st.booleans(), "on")
        actor = self.actor(data, Caller.runs_account)
        self.read_first(data, "/v1/account", actor, Caller.staff, Desk.account)
        wire, told, read = self.sent_back(data, "/v1/account", body)
        plan: Callable[[Desk], Outcome] = lambda it: it.change_account(told, read)  # noqa: E731
        self.call(data, "PUT", "/v1/account", Caller.runs_account, plan, wire, actor=actor)

    @rule(data=st.data())
    def report_leaked_keys(self, data: st.DataObject) -> None:
        """Report keys: now and then one that works, most often what does not."""
        live = [it.secret for it in self.made if it in self.living]
        dead = [it.secret for it in self.dead]
        # One that works at most: events of one moment have no order.
        some = st.sampled_from([key_format.new_key(), "nonsense", *dead[-3:]])
        found = data.draw(st.lists(some, max_size=3), "found")
        if live and data.draw(st.integers(0, 3), "a rare find") == 0:
            found.append(data.draw(st.sampled_from(live), "leaked"))
        before = len(self.book.records)
        self.tick()
        try:
            self.book.leaked(found, ELSEWHERE)
            expected = 200
        except Refused as refused:
            expected = refused.status
        response = self.stack.call(
            "POST", "/v1/leaked-keys", body=[{"token": it} for it in found], source_ip=ELSEWHERE
        )
        assert response.status == expected
        assert expected != 200 or response.json == {"received": len(found)}
        self.check_tables(self.book.records[before:])
        self.bury()

    @rule(data=st.data(), text=st.booleans())
    def find_key(self, data: st.DataObject, text: bool) -> None:
        """Ask whose a key is: one that works, one that did, or nobody's."""
        actor = self.actor(data, Caller.reads)
        one = data.draw(st.sampled_from([*self.made[-20:], Key("nobody", key_format.new_key())]), "which")
        body = {"key": one.secret} if text else {"last5": one.secret[-5:]}
        plan: Callable[[Desk], Outcome] = lambda it: it.find(body)  # noqa: E731
        self.call(data, "POST", "/v1/api-keys/find", Caller.reads, plan, body, actor=actor)

    @rule(data=st.data(), what=st.sampled_from(["whoami", "machines", "machine", "key", "people"]))
    def look(self, data: st.DataObject, what: str) -> None:
        self.see(data, what)

    @rule(data=st.data(), late=st.sampled_from([0, 0, 259_199, 259_200]), suspends=st.booleans())
    def look_at_an_invitation(self, data: st.DataObject, late: int, suspends: bool) -> None:
        """Read what has become of an invitation days after it was mailed, or with its sender suspended."""
        invited = [it for it in self.book.all.values() if it.open]
        if not invited:
            return
        person = data.draw(st.sampled_from(invited), "invited")
        assert person.open is not None
        sender = person.open.inviter

        def able(guard: Callable[[Caller], None]) -> list[Key]:
            live = [it for it in self.made if it in self.living and self.passes(it, guard)]
            return [it for it in live if self.book.all[it.username.lower()].account == person.account]

        guard = Caller.staff if sender.machine else Caller.runs_people
        others = [it for it in able(guard) if it.username.lower() != sender.name]
        if suspends and others:
            path = f"/v1/{'service-users' if sender.machine else 'users'}/{sender.name}/suspend"
            plan: Callable[[Desk], Outcome] = lambda it: (  # noqa: E731
                it.suspend(sender.name) if sender.machine else it.suspend_person(sender.name)
            )
            self.go("POST", path, others[0], guard, NO_BODY, plan)
        self.stack.clock.forward(late)
        self.bury()
        for reader in able(Caller.reads)[:1]:
            path = f"/v1/users/{person.name}"
            self.go("GET", path, reader, Caller.reads, NO_BODY, lambda it: it.person(person.name))

    @rule(data=st.data(), what=st.sampled_from(["person", "own", "account", "events"]))
    def look_closer(self, data: st.DataObject, what: str) -> None:
        self.see(data, what)

    def see(self, data: st.DataObject, what: str) -> None:
        guard = {
            "machines": Caller.reads,
            "people": Caller.reads,
            "person": Caller.reads,
            "own": Caller.manages,
            "account": Caller.staff,
            "events": Caller.reads,
        }.get(what, _anybody)
        actor = self.actor(data, guard)
        mine = actor.username if actor else "ada"
        other = self.someone(data, actor, machine=what in ("machine", "key"))
        name = mine if data.draw(st.booleans(), "oneself") else other
        kind = data.draw(st.sampled_from([*TYPES]), "key type") if what == "key" else ""
        asked = data.draw(st.sampled_from(CONDITIONS[what]), "conditions") if what in CONDITIONS else ""
        path, plan = {
            "whoami": ("/v1/whoami", Desk.whoami),
            "machines": (
                f"/v1/service-users?limit=2{asked}",
                lambda it: it.listing(asked, machines=True),
            ),
            "machine": (f"/v1/service-users/{name}", lambda it: it.machine(name)),
            "key": (f"/v1/service-users/{name}/api-keys/{kind}", lambda it: it.key(name, kind)),
            "people": (f"/v1/users?limit=2{asked}", lambda it: it.listing(asked, machines=False)),
            "person": (f"/v1/users/{name}", lambda it: it.person(name)),
            "own": (f"/v1/users/{name}/api-keys", lambda it: it.own_keys(name)),
            "account": ("/v1/account", Desk.account),
            "events": ("/v1/events?limit=5", Desk.events),
        }[what]
        self.call(data, "GET", path, guard, plan, actor=actor)

    @rule(seconds=st.sampled_from([1, 29, 30, 59, 3599, 3600, 86_400, 259_199, 259_200, 604_800]))
    def wait(self, seconds: int) -> None:
        self.stack.clock.forward(seconds)
        self.bury()

    # Making a call, and judging it

    def call(
        self,
        data: st.DataObject,
        method: str,
        path: str,
        guard: Callable[[Caller], None],
        plan: "Callable[[Desk], Outcome]",
        body: Any = NO_BODY,
        *,
        bad: bool = False,
        actor: Key | type | None = type,
    ) -> None:
        """Let somebody make a call, now and then from the office or with a flaw of form."""
        by: Any = self.actor(data, guard) if actor is type else actor
        office = data.draw(st.booleans(), "at the office")
        flaws = [*[""] * 30, "query", *(FLAWS if body is not NO_BODY else [])]
        flaw = data.draw(st.sampled_from(flaws), "flaw")
        self.go(method, path, by, guard, body, plan, bad=bad, flaw=flaw, office=office)

    def go(
        self,
        method: str,
        path: str,
        by: Key | None,
        guard: Callable[[Caller], None],
        body: Any,
        plan: "Callable[[Desk], Outcome]",
        *,
        bad: bool = False,
        flaw: str = "",
        office: bool = False,
    ) -> Response:
        source_ip = AT_THE_OFFICE if office else ELSEWHERE
        outcome: Outcome | None = None
        before = len(self.book.records)
        self.tick()
        try:
            noted = path != "/v1/api-keys/rotate"  # which notes the use itself
            caller = self.book.sign_in(*by, source_ip, noted=noted) if by else _nobody()
            guard(caller)
            _formed(flaw or bad)
            outcome = plan(Desk(self.book, caller, self))
            expected = outcome.status
        except Refused as refused:
            expected = refused.status
        path, sent, raw = _flawed(path, body, flaw)
        # By either way to sign in, in turn: no key is good for one of them alone.
        if by and self.bearer and self.rightly_named(by):
            response = self.stack.call(
                method, path, None, sent, raw=raw, source_ip=source_ip, headers=by.bearer
            )
        else:
            response = self.stack.call(method, path, by, sent, raw=raw, source_ip=source_ip)
        self.bearer = not self.bearer
        assert response.status == expected, (method, path, by, sent, response.text)
        self.judge(response, outcome, before)
        if method == "GET" and response.status == 200 and outcome is not None:
            if outcome.of is not None:
                self.readings[path.lower()] = (response.json, self.book.read_only(outcome.of))
            if path == "/v1/account":
                self.readings[path] = (response.json, self.book.fixed(response.json["account"]))
        return response

    def judge(self, response: Response, outcome: Outcome | None, before: int) -> None:
        assert response.headers["Cache-Control"] == "no-store"
        if outcome is None:
            _is_problem(response)
        shown = set(SECRET.findall(response.text))
        made = [self.learn(response.json, key, outcome) for key in (outcome.made if outcome else [])]
        assert shown == {key.secret for key in made}, "the keys a response shows are the keys it made"
        assert not shown & self.seen, "a secret is shown once"
        self.seen |= shown
        self.made += made
        if outcome is not None and outcome.status != 204:
            self.agree(response, outcome)
        self.check_tables(self.book.records[before:])
        self.bury()

    def learn(self, response: Any, key: Held, outcome: Outcome | None) -> Key:
        """Take a key's secret over from the response that shows it."""
        assert outcome is not None
        assert outcome.of is not None
        entries = response["apiKeys"]["apiKeys"] if "apiKeys" in response else [response]
        (found,) = [it["key"] for it in entries if it["keyType"] == key.kind]
        key.now.text = found
        return Key(outcome.of.username, found)

    def agree(self, response: Response, outcome: Outcome) -> None:
        """See that a response says of who and what it is about what the rulebook says."""
        said, whom = response.json, outcome.of
        if outcome.response is not None and not isinstance(outcome.response, Held):
            _includes(said, outcome.response)
        elif isinstance(outcome.response, Held):
            assert whom is not None
            _includes(said, self.key_of(whom, outcome.response, clear=False))
        elif outcome.made and "keyType" in said:
            assert whom is not None
            _includes(said, self.key_of(whom, outcome.made[0], clear=True))
        elif whom is not None:
            _includes(said, self.described(whom, clear=bool(outcome.made)))
            assert said.get("labels", {}) == whom.labels

    def described(self, whom: Someone, *, clear: bool = False, invitation: bool = False) -> dict[str, Any]:
        common = {
            "account": whom.account,
            "username": whom.username,
            "displayName": whom.display,
            "email": whom.email,
            "role": whom.role,
            "suspendedAt": moment(whom.suspended),
            "suspendedBy": whom.suspended_by,
            "createdAt": moment(whom.created),
        }
        keys = {"apiKeys": self.keys_of(whom, clear=clear)}
        if whom.machine:
            below = self.book.below(whom)
            more = {
                "administrators": self.book.administrators(whom),
                "keysBelowRole": below,
                "description": whom.about,
                "labels": whom.labels,
            }
            return {**common, **more, **keys}
        state = {"status": "INVITED" if whom.open else "ACTIVE", "invitedBy": whom.invited_by}
        if invitation:
            state["invitation"] = self.book.invitation_of(whom)
        return {**common, **state, **(keys if clear else {})}

    def keys_of(self, whom: Someone, *, clear: bool = False) -> dict[str, Any]:
        return {
            "allowedApiKeyTypes": [
                {"name": kind, "displayName": TYPES[kind]} for kind in MAY_HOLD[whom.role]
            ],
            "apiKeys": [
                self.key_of(whom, whom.keys[kind], clear=clear) for kind in TYPES if kind in whom.keys
            ],
        }

    def key_of(self, whom: Someone, key: Held, *, clear: bool) -> dict[str, Any]:
        before = key.beside(self.book.now)
        return {
            "account": whom.account,
            "keyType": key.kind,
            "username": whom.username,
            "key": key.now.text if clear else MASK + key.now.text[-5:],
            "last5": key.now.text[-5:],
            "expiresAt": moment(key.ends),
            "lastUsedAt": moment(key.now.used),
            "allowedNetworks": key.offices,
            "ceiling": key.now.seen_by,
            "predecessor": before
            and {
                "key": MASK + before.text[-5:],
                "last5": before.text[-5:],
                "validUntil": moment(min(key.before_until, key.ends or key.before_until)),
                "lastUsedAt": moment(before.used),
                **({"shownTo": before.shown_to} if whom.machine else {}),
            },
        }

    def check_tables(self, records: list[Record]) -> None:
        """See that the tables hold what the rulebook does, and the trail what was done, once."""
        directory = self.stack.items(self.stack.tables.directory)
        people: dict[str, dict[str, Any]] = {}
        addresses: dict[str, str] = {}
        owners: dict[str, dict[str, str]] = {}
        counts: dict[str, tuple[int, int]] = {}
        pointers: dict[str, tuple[str, str, str]] = {}
        credentials: dict[str, str] = {}
        for item in directory:
            kind, _, rest = item["pk"].partition("#")
            if kind == "USER":
                people[rest] = item
            elif kind == "ACCOUNT_EMAIL":
                addresses[rest] = item["username"]
            elif kind == "KEY":
                pointers[item["pk"]] = (item["username"], item["account"], item["listKey"])
            elif kind == "ACCOUNT":
                owners[rest] = item["owners"]
                counts[rest] = (item.get("userCount", 0), item.get("serviceUserCount", 0))
            elif kind == "CREDENTIAL":
                credentials[item["pk"]] = item["username"]
            else:
                assert kind in ("BUDGET", "CHALLENGE")
                assert item["ttl"], "what counts a budget, or was asked of a browser, ends by itself"
        assert not SECRET.search(str(directory)), "a secret is stored itself"
        assert people.keys() == self.book.all.keys()
        held = {f"{it.account}#{fold(it.email)}": name for name, it in self.book.all.items()}
        assert addresses == held
        assert owners.keys() == self.book.accounts.keys()
        assert counts == {
            account: (
                len(self.book.members(account, machines=False)),
                len(self.book.members(account, machines=True)),
            )
            for account in self.book.accounts
        }
        for account, names in owners.items():
            assert sorted(names) == self.book.owners(account)
            assert names, "an account is left without an OWNER"
            assert all(people[name]["membership"] == stay for name, stay in names.items())
        for name, item in people.items():
            self.check_person(item, self.book.all[name], people)
        assert pointers == {
            f"KEY#{sha256(b'pointer:' + it['digest']).hexdigest()}": (
                name,
                item["account"],
                f"KEY#{it['last5']}",
            )
            for name, item in people.items()
            for key in item.get("keys", {}).values()
            for it in (key, key.get("predecessor"))
            if it
        }, "each key that is stored is found by its value, and no other"
        assert credentials == {
            f"CREDENTIAL#{sha256(it['credentialId']).hexdigest()}": name
            for name, item in people.items()
            for it in item.get("passkeys", {}).values()
        }, "each passkey is found by its credential, and no other"
        self.check_trail(records)

    def check_person(self, item: dict[str, Any], whom: Someone, people: dict[str, dict[str, Any]]) -> None:
        kind = "SERVICE_USER" if whom.machine else "USER"
        told = (item["kind"], item["account"], item["role"], item["username"], item["email"])
        assert told == (kind, whom.account, whom.role, whom.username, whom.email)
        assert ("invitation" in item) is (whom.open is not None)
        assert item.get("suspendedAt") == whom.suspended
        digests = {
            kind: {key["digest"], *([it["digest"]] if (it := key.get("predecessor")) else [])}
            for kind, key in item.get("keys", {}).items()
        }
        assert digests.keys() == whom.keys.keys()
        for kind, key in whom.keys.items():
            works = {sha256(it.text.encode()).digest() for it in key.works(self.book.now)}
            assert works <= digests[kind]
            assert len(digests[kind]) <= 2
        assert len(item.get("passkeys", {})) == len(whom.passkeys)
        browsers = {it["digest"] for it in item.get("sessions", {}).values()}
        kept = {sha256(it.text.encode()).digest(): it for it in whom.sessions}
        assert browsers <= kept.keys(), "a session that was ended is gone"
        assert {digest for digest, it in kept.items() if not it.over(self.book.now)} <= browsers
        if whom.machine:
            links = {
                people[name]["username"]
                for name, stay in item["administrators"].items()
                if people.get(name, {}).get("membership") == stay
            }
            assert links == set(self.book.administrators(whom))

    def check_trail(self, records: list[Record]) -> None:
        new = {
            item["id"]: item
            for item in self.stack.items(self.stack.tables.events)
            if item["id"] not in self.events
        }
        written = [
            Record(
                item["account"].removeprefix("REFUSED#"),
                item["action"],
                item["actor"].get("username", "").lower(),
                item["subject"].get("username", "").lower(),
                sorted((key["change"], key["keyType"]) for key in item.get("keys", [])),
                " ".join(
                    filter(None, map(item["actor"].get("credential", {}).get, ("kind", "keyType", "last5")))
                ),
            )
            for _, item in sorted(new.items())
        ]
        for item in new.values():
            refusal = item["action"] == "API_KEY_REFUSED"
            assert item["account"].startswith("REFUSED#") is refusal, "refusals have a partition of their own"
        for record in records:
            record.keys.sort()
        # One call may record several, of the same moment.
        written.sort(key=repr)
        records = sorted(records, key=repr)
        assert written == records, "every change is recorded once, and nothing else"
        text = json.dumps(list(new.values()))  # which has no bytes in it, so no digest
        assert not SECRET.search(text)
        for item in new.values():
            if item["action"] == "USER_INVITED":
                person = self.book.all[item["subject"]["username"].lower()]
                self.invitations.append((person, person.open, item))
        self.events |= new

    def bury(self) -> None:
        """See that all ways to sign in tell the same of every key, and refuse what has just died at once.

        Every way is tried with each key whose rights have changed, and with others in turn. In the long
        run the authorizer and ``verify`` are tried with every working key each time.
        """
        self.tick()
        live = {
            Key(whom.username, it.text): (
                whom.username,
                Caller(whom, kind, it).role,
                kind,
                _refused_from(whom, key),
            )
            for whom in self.book.all.values()
            for kind, key in whom.keys.items()
            for it in key.works(self.book.now)
        }
        self.dead += [key for key in self.made if key in self.living.keys() - live.keys()]
        known = [*live, *self.dead]
        self.turn += 1
        asked = {key for key in known if live.get(key) != self.living.get(key)}
        asked.add(known[self.turn % len(known)])
        for key in known if EVERY_KEY else asked:
            if key in asked or key in live:
                *caller, refused_from = live.get(key, ((),))
                for source_ip in dict.fromkeys((AT_THE_OFFICE, *refused_from)):
                    told = 401 if key not in live else 403 if source_ip in refused_from else tuple(caller)
                    said = self.doors(key, source_ip, api=key in asked)
                    assert said == {told}, (key, source_ip)
        self.living = live

    def doors(self, key: Key, source_ip: str, *, api: bool) -> set[Any]:
        """Return what all ways to sign in with a key say: the caller, or the status of the refusal.

        Those are Basic and Bearer at the authorizer, ``verify`` and the API. No use of the key is noted.
        """
        said: set[Any] = set()
        directory = self.stack.service.directory
        directory.record_use = directory.record_refusal = lambda *_: None
        for header in (key.header, key.bearer["authorization"]):
            question = {"authorization": header, "sourceIp": source_ip, "method": "GET", "path": "/"}
            decision = application.verify(question, None)
            said.add(_caller(decision) if decision["username"] else decision["status"])
            said.add(_authorized(header, source_ip))
            if api:
                given = {"authorization": header}
                response = self.stack.call("GET", "/v1/whoami", headers=given, source_ip=source_ip)
                said.add(_caller(response.json) if response.status == 200 else response.status)
        del directory.record_use, directory.record_refusal
        return said

    def rightly_named(self, key: Key) -> bool:
        """Return whether a key's username is its holder's; to sign in with the key alone, it need not be."""
        return key in self.made

    # What the rules above share

    def tick(self) -> None:
        self.stack.clock.forward(TICK)
        self.book.now = self.stack.clock()

    def actor(self, data: st.DataObject, guard: Callable[[Caller], None]) -> Key | None:
        """Choose a key: most often one the call is open to, now and then one that is dead, or none."""
        live = [key for key in self.made if key in self.living]
        able = [key for key in live if self.passes(key, guard)]
        wrong = [None, Key("ada", key_format.new_key()), Key("nobody", "suk_")]
        crowds = [able] * 14 + [live] * 4 + [self.dead, wrong]
        crowd = data.draw(st.sampled_from([it for it in crowds if it]), "crowd")
        return data.draw(st.sampled_from(crowd), "actor")  # type: ignore[call-overload]

    def passes(self, key: Key, guard: Callable[[Caller], None]) -> bool:
        who = self.book.all[key.username.lower()]
        if who.suspended is not None:
            return False
        now = self.book.now
        held = next(it for it in who.keys.values() if key.secret in [each.text for each in it.works(now)])
        try:
            guard(Caller(who, held.kind, held.now))
        except Refused:
            return False
        return True

    def names(self, data: st.DataObject, pool: list[str], extra: list[str]) -> tuple[str, str]:
        """Choose a username and an address, most often free ones."""
        taken = {fold(it.email) for it in self.book.all.values()}
        free = [name for name in pool if name not in self.book.all]
        username = data.draw(st.sampled_from([*free * 5, *pool, *extra]), "username")
        fresh = [it for it in EMAILS if fold(it) not in taken]
        return _case(data, username), data.draw(st.sampled_from([*fresh * 3, *EMAILS]), "email")

    def home(self, actor: Key | None) -> list[Someone]:
        """Return who is in the account of whoever calls."""
        who = self.book.all.get(actor.username.lower()) if actor else None
        return [it for it in self.book.all.values() if who is None or it.account == who.account]

    def someone(self, data: st.DataObject, actor: Key | None, *, machine: bool) -> str:
        """Choose whom a call is about: most often one in the account, now and then another or nobody."""
        there = [it.name for it in self.home(actor) if it.machine is machine]
        return data.draw(st.sampled_from([*there * 8, *PEOPLE, *MACHINES, "nobody"]), "whom")

    def door(self, data: st.DataObject, *, own: bool, held: bool = True) -> "tuple[Key | None, Door, str]":
        """Choose who calls, whose keys for, and a type of which these hold a key, or do not, most often."""
        actor = self.actor(data, Caller.manages if own else Caller.staff)
        if own:
            mine = actor.username if actor else "ada"
            name = data.draw(st.sampled_from([*[mine] * 8, "bot", "ben", "nobody"]), "whose")
        else:
            name = self.someone(data, actor, machine=True)
        whose = self.book.all.get(name.lower())
        likely = [kind for kind in TYPES if whose and (kind in whose.keys) is held]
        kind = data.draw(st.sampled_from([*likely * 4, *TYPES]), "key type")
        path = f"/v1/{'users' if own else 'service-users'}/{_case(data, name)}/api-keys"
        return actor, Door(own, name, path), kind

    def ending(
        self, body: dict[str, Any], ends: int | str | None
    ) -> tuple[dict[str, Any], dict[str, Any], bool]:
        """Return a body with an end some seconds from now, as it is sent and as the rulebook reads it."""
        if ends is None:
            return body, body, False
        if ends == "none":
            return {**body, "expiresAt": None}, {**body, "ends": None}, False
        at = int(self.stack.clock()) + int(ends)
        return {**body, "expiresAt": moment(at)}, {**body, "ends": at}, ends == 0

    def open_account(self, username: str, email: str) -> None:
        event = {"accountName": "Acme", "username": username, "email": email}
        before = len(self.book.records)
        self.tick()
        probe = ReferenceModel()
        probe.all = self.book.all
        try:
            probe._names_free(event, "")  # an account that has nobody yet
            expected = 200
        except Refused as refused:
            expected = refused.status
        try:
            made = application.create_account(dict(event), None)
        except Conflict:
            assert expected == 409
            self.check_tables([])
            return
        assert expected == 200
        outcome = self.book.open_account(made["account"], event)
        outcome.made[0].now.text = made["apiKey"]
        self.seen.add(made["apiKey"])
        self.made.append(Key(made["username"], made["apiKey"]))
        self.check_tables(self.book.records[before:])
        self.bury()

    def join(self, by: Key, username: str, role: str) -> Key:
        body = {"username": username, "email": f"{username}@people.example", "role": role}
        self.go("POST", "/v1/users", by, Caller.runs_people, body, lambda it: it.invite(body))
        self.mail(-1)
        self.take_up(*self.tokens[-1])
        return self.made[-1]

    def mail(self, which: int) -> None:
        """Do as the mailer does with an invitation: make a token, and keep its digest while it is open."""
        person, invitation, event = self.invitations[which]
        name = person.username.lower()
        token, until = key_format.new_token(), int(self.stack.clock()) + 259_200
        # As if it had been read just before: what is void by now must be of no use, though it is noted.
        self.outbox.note_mailed(name, event["invitation"], key_format.digest(token), until)
        is_open = self.book.all.get(name) is person and person.open is invitation
        if is_open:
            invitation.tokens[token] = until
            self.seen.add(token)
        self.tokens.append((name, token))

    def take_up(self, username: str, token: str, flaw: str = "") -> None:
        before = len(self.book.records)
        self.tick()
        outcome: Outcome | None = None
        try:
            _formed(flaw)
            outcome = self.book.activate(username, token)
            expected = outcome.status
        except Refused as refused:
            expected = refused.status
        path, sent, raw = _flawed("/v1/users/activate", {"username": username, "token": token}, flaw)
        response = self.stack.call("POST", path, body=sent, raw=raw)
        assert response.status == expected, (username, response.text)
        self.judge(response, outcome, before)


class Desk:
    """A call by somebody who signed in, put to the rulebook."""

    def __init__(self, book: ReferenceModel, by: Caller, machine: Machine) -> None:
        self.book = book
        self.by = by
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., Outcome]:
        """Return a method of the rulebook that takes the caller first."""
        return lambda *given, **named: getattr(self.book, name)(self.by, *given, **named)

    def whoami(self) -> Outcome:
        who = self.by.who
        key = self._machine.key_of(who, who.keys[self.by.kind], clear=False)
        kind = "SERVICE_USER" if who.machine else "USER"
        return Outcome(200, {"username": who.username, "kind": kind, "role": self.by.role, "key": key})

    def machine(self, name: str) -> Outcome:
        who = self.by.who
        if who.machine and who.name == name.lower():
            return Outcome(200, of=who)
        self.by.reads()
        return Outcome(200, of=self.book.machine(self.by, name))

    def key(self, name: str, kind: str) -> Outcome:
        whom = self.machine(name).of
        assert whom is not None
        if kind not in whom.keys:
            raise Refused(404)
        return Outcome(200, self._machine.key_of(whom, whom.keys[kind], clear=False))

    def person(self, name: str) -> Outcome:
        return self._with_invitation(Outcome(200, of=self.book.person(self.by, name)))

    def invite(self, body: dict[str, Any]) -> Outcome:
        return self._with_invitation(self.book.invite(self.by, body))

    def invite_again(self, name: str) -> Outcome:
        return self._with_invitation(self.book.invite_again(self.by, name))

    def _with_invitation(self, outcome: Outcome) -> Outcome:
        """Return an outcome whose response says what has become of a User's invitation."""
        assert outcome.of is not None
        return replace(outcome, response=self._machine.described(outcome.of, invitation=True))

    def own_keys(self, name: str) -> Outcome:
        return Outcome(200, self._machine.keys_of(self.book.own(self.by, name)))

    def listing(self, asked: str = "", *, machines: bool) -> Outcome:
        conditions = dict(parse_qsl(asked))
        everyone = self.book.members(self.by.who.account, machines=machines)
        members = [it for it in everyone if self.book.listed(it, conditions)]
        return Outcome(200, [self._machine.described(it, invitation=not machines) for it in members[:2]])

    def find(self, body: dict[str, str]) -> Outcome:
        self.book.searches(self.by)
        mine = sorted(
            (it for it in self.book.all.values() if it.account == self.by.who.account), key=lambda it: it.name
        )
        found = [
            {"username": who.username, "isPredecessor": secret is not key.now}
            for who in mine
            for kind, key in who.keys.items()
            for secret in (key.now, key.before)
            if secret and (secret.text == body.get("key") or secret.text[-5:] == body.get("last5"))
        ]
        return Outcome(200, found)

    def account(self) -> Outcome:
        account = self.by.who.account
        told = {**self.book.fixed(account), **self.book.settings(account), **self.book.counts(account)}
        return Outcome(200, told)

    def events(self) -> Outcome:
        mine = [it for it in self.book.records if it.account == self.by.who.account]
        return Outcome(200, [{"action": it.action} for it in reversed(mine[-5:])])


class Door(NamedTuple):
    """One of the two ways to somebody's keys: their own, or a Service User's."""

    own: bool
    name: str
    path: str

    @property
    def guard(self) -> Callable[[Caller], None]:
        return Caller.manages if self.own else Caller.staff

    def then(
        self, plan: Callable[[Desk, Someone], Outcome], *, handing_out: bool = False
    ) -> Callable[[Desk], Outcome]:
        """Return a plan that first finds the holder of the keys."""
        if self.own:
            return lambda it: plan(it, it.book.own(it.by, self.name))
        return lambda it: plan(it, it.book.holder(it.by, self.name, handing_out=handing_out))


class Listener(logging.Handler):
    """Hears everything that is logged, and fails on a secret."""

    def emit(self, record: logging.LogRecord) -> None:
        assert not SECRET.search(str(vars(record))), "a secret is logged"


FLAWS = ["unknown field", "wrong type", "not an object", "not JSON"]


def _flawed(path: str, body: Any, flaw: str) -> tuple[str, Any, str | None]:
    """Return a call's path, body and raw body with one flaw of form."""
    match flaw:
        case "query":
            return f"{path}{'&' if '?' in path else '?'}surprise=1", body, None
        case "unknown field":
            return path, {**body, "surprise": 1}, None
        case "wrong type":
            # Of what GET gave, the unchangeable is compared, and only for whoever may change the rest.
            names = [name for name in body if name in CHANGEABLE] or [*body, "surprise"]
            return path, {**body, names[0]: {"a": 1}}, None
        case "not an object":
            return path, [body], None
        case "not JSON":
            return path, NO_BODY, json.dumps(body)[:-1]
    return path, body, None


def _case(data: st.DataObject, name: str) -> str:
    return data.draw(st.sampled_from([name, name, name.upper(), name.title()]), "case")


def _caller(fields: dict[str, Any]) -> tuple[str, ...]:
    return fields["username"], fields["role"], fields["keyType"]


def _refused_from(whom: Someone, key: Held) -> tuple[str, ...]:
    """Return the addresses from which a key that works is refused."""
    if whom.suspended is not None:
        return AT_THE_OFFICE, ELSEWHERE
    return (ELSEWHERE,) if OFFICE in key.offices else ()


def _authorized(authorization: str, source_ip: str) -> Any:
    """Return the caller that the authorizer of an HTTP API finds, or the status that API Gateway returns."""
    event = {
        "version": "2.0",
        "type": "REQUEST",
        "rawPath": "/",
        "headers": {"authorization": authorization},
        "requestContext": {
            "apiId": "example",
            "stage": "$default",
            "http": {"method": "GET", "sourceIp": source_ip},
        },
    }
    try:
        decision = application.authorizer(event, None)
    except Exception as refused:  # API Gateway has no other way to learn of a 401
        if str(refused) != "Unauthorized":
            raise
        return 401
    return _caller(decision["context"]) if "context" in decision else 403


def _anybody(caller: Caller) -> None:
    """Let everybody pass who signed in."""


def _nobody() -> Caller:
    raise Refused(401)


def _formed(flaw: str | bool) -> None:
    if flaw:
        raise Refused(400)


def _is_problem(response: Response) -> None:
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json.keys() >= {"type", "title", "status", "detail", "requestId"}
    assert response.json["status"] == response.status
    assert ("WWW-Authenticate" in response.headers) is (response.status == 401)


def _includes(said: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert isinstance(said, dict)
        for name, it in expected.items():
            assert name in said
            _includes(said[name], it)
    elif isinstance(expected, list):
        assert len(said) == len(expected), (said, expected)
        for one, other in zip(said, expected, strict=True):
            _includes(one, other)
    else:
        assert said == expected, (said, expected)
