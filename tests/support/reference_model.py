"""The rules, told a second time and small: what the machine holds the API against.

It shares no line with the product. It knows no DynamoDB and no HTTP, keeps secrets in the clear, and
says of each call what status it is answered with, which keys are made, and what goes on record.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ROLES = ["READ_ONLY", "CLUSTER_ADMIN", "OWNER"]
TYPES = {
    "MONITORING": "Monitoring",
    "PROVISIONING_READONLY": "Read Only Provisioning",
    "PROVISIONING": "Provisioning",
    "USER_MANAGEMENT": "User Management",
}
MAY_HOLD = {"READ_ONLY": list(TYPES)[:2], "CLUSTER_ADMIN": list(TYPES), "OWNER": list(TYPES)}
OFFICE = "203.0.113.0/24"
AT_THE_OFFICE, ELSEWHERE = "203.0.113.9", "198.51.100.7"


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(eq=False)
class Secret:
    """A key's secret, learnt from the one answer that shows it."""

    text: str = ""
    used: int | None = None
    seen_by: str | None = None
    """The role of whoever was shown it: it never acts above that. None where only its holder was."""
    shown_to: str = ""
    """Who was shown it."""


@dataclass(eq=False)
class Held:
    """A key somebody has: ``before`` goes on working until ``before_until``."""

    kind: str
    now: Secret
    ends: int | None = None
    offices: list[str] = field(default_factory=list)
    before: Secret | None = None
    before_until: int = 0
    refused: int | None = None

    def over(self, at: float) -> bool:
        return self.ends is not None and at >= self.ends

    def beside(self, at: float) -> Secret | None:
        return self.before if at < self.before_until and not self.over(at) else None

    def works(self, at: float) -> list[Secret]:
        if self.over(at):
            return []
        return [it for it in (self.now, self.beside(at)) if it]


@dataclass(eq=False)
class Stay:
    """The time a person is in the account and fit to administer: links hold on to it."""


@dataclass(eq=False)
class Invitation:
    """An invitation, good while its inviter is an OWNER in the time of being there that they sent it in."""

    inviter: "Someone"
    stay: Stay
    tokens: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Someone:
    username: str
    account: str
    email: str
    role: str
    machine: bool
    display: str
    keys: dict[str, Held] = field(default_factory=dict)
    open: Invitation | None = None
    stay: Stay = field(default_factory=Stay)
    links: dict[str, Stay] = field(default_factory=dict)
    changes: list[int] = field(default_factory=list)
    """When each change was paid for, as if they came no faster than they are earned."""

    @property
    def name(self) -> str:
        return self.username.lower()

    @property
    def owner(self) -> bool:
        return not self.machine and self.role == "OWNER" and self.open is None

    def at_least(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass
class Allowance:
    """How often keys and an account change and an inbox is invited, and how many of whom an account has."""

    pause: int
    """Seconds in which a principal earns another change."""
    burst: int
    a_minute: int
    invitation_pause: int
    invitations_a_day: int
    people: int
    owners: int
    machines: int


@dataclass
class Record:
    """What the trail says of an act."""

    account: str
    action: str
    actor: str
    subject: str
    keys: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Outcome:
    """How a call that is not refused is answered. ``made`` are the keys its answer shows."""

    status: int
    response: Any = None
    made: list[Held] = field(default_factory=list)
    record: Record | None = None
    of: Someone | None = None


@dataclass
class Caller:
    """Somebody who signed in, and the key they did it with."""

    who: Someone
    kind: str
    secret: Secret

    @property
    def role(self) -> str:
        """What the call is made as."""
        return min(self.who.role, self.secret.seen_by or "OWNER", key=ROLES.index)

    def at_least(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def manages(self) -> None:
        if self.kind != "USER_MANAGEMENT":
            raise Refused(403)

    def staff(self) -> None:
        self.manages()
        if self.who.machine or not self.at_least("CLUSTER_ADMIN"):
            raise Refused(403)

    def runs_people(self) -> None:
        self.manages()
        if self.role != "OWNER":
            raise Refused(403)

    def may_touch(self, *roles: str) -> None:
        """A machine changes no OWNER: no account of the model lets machines do so."""
        if self.who.machine and "OWNER" in roles:
            raise Refused(403)

    def reads(self) -> None:
        """Look at people, Service Users and events, as machines may too."""
        self.manages()
        if not self.at_least("CLUSTER_ADMIN"):
            raise Refused(403)

    def runs_account(self) -> None:
        self.staff()
        if self.role != "OWNER":
            raise Refused(403)


def fold(email: str) -> str:
    name, domain = email.lower().split("@")
    name = name.split("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        return name.replace(".", "") + "@gmail.com"
    return f"{name}@{domain}"


def moment(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ReferenceModel:
    """Everybody there is. A method is a call, made at ``now``: it raises Refused or answers the Outcome."""

    def __init__(self) -> None:
        self.all: dict[str, Someone] = {}
        self.accounts: dict[str, str] = {}
        self.records: list[Record] = []
        self.now = 0.0
        self.allowed: Allowance | None = None
        self.minutes: dict[tuple[str, int], int] = {}
        self.invited: dict[tuple[str, str], list[int]] = {}
        self.account_changes: dict[str, list[int]] = {}

    @property
    def second(self) -> int:
        return int(self.now)

    def owners(self, account: str) -> list[str]:
        return sorted(it.name for it in self.all.values() if it.owner and it.account == account)

    def members(self, account: str, *, machines: bool) -> list[Someone]:
        mine = [it for it in self.all.values() if it.account == account and it.machine is machines]
        return sorted(mine, key=lambda it: it.name)

    def administrators(self, machine: Someone) -> list[str]:
        """Those who administer it still, as they write their names."""
        return [
            self.all[name].username
            for name in sorted(machine.links)
            if name in self.all and not self.all[name].machine and self.all[name].stay is machine.links[name]
        ]

    # Signing in

    def sign_in(self, username: str, secret: str, source_ip: str, *, noted: bool = True) -> Caller:
        who = self.all.get(username.lower())
        for key in who.keys.values() if who else ():
            for it in key.works(self.now):
                if it.text != secret or who is None:
                    continue
                if OFFICE in key.offices and source_ip != AT_THE_OFFICE:
                    if key.refused is None or key.refused <= self.second - 3600:
                        key.refused = self.second
                        self._put(
                            Record(
                                who.account, "API_KEY_REFUSED", who.name, who.name, [("REFUSED", key.kind)]
                            )
                        )
                    raise Refused(403)
                if noted:
                    self._note(it)
                return Caller(who, key.kind, it)
        raise Refused(401)

    # Service Users

    def create(self, by: Caller, body: dict[str, Any]) -> Outcome:
        self._may_grant(by, body["role"])
        self._names_free(body, by.who.account)
        made = Someone(
            body["username"],
            by.who.account,
            body["email"],
            body["role"],
            True,
            body.get("displayName", body["username"]),
        )
        self._room(by.who.account, machines=True)
        self._pay_account(by.who.account)
        made.links = {by.who.name: by.who.stay}
        kinds = body.get("keyTypes", MAY_HOLD[made.role])
        keys = [self._give(made, kind, body, by.role, by.who.username) for kind in kinds]
        self.all[made.name] = made
        return self._done(201, by, "SERVICE_USER_CREATED", made, made=keys, of=made)

    def machine(self, by: Caller, name: str) -> Someone:
        found = self.all.get(name.lower())
        if found is None or not found.machine or found.account != by.who.account:
            raise Refused(404)
        return found

    def _mine(self, by: Caller, name: str) -> Someone:
        machine = self.machine(by, name)
        if by.who.role != "OWNER" and machine.links.get(by.who.name) is not by.who.stay:
            raise Refused(403)
        return machine

    def update(self, by: Caller, name: str, body: dict[str, Any]) -> Outcome:
        machine = self._mine(by, name)
        if "role" in body:
            self._may_grant(by, body["role"])
        links = machine.links
        if "administrators" in body:
            links = {}
            for each in body["administrators"]:
                person = self.all.get(each.lower())
                if (
                    person is None
                    or person.machine
                    or person.account != by.who.account
                    or not person.at_least("CLUSTER_ADMIN")
                    or (person.open and machine.links.get(person.name) is not person.stay)
                    or person.name in links
                ):
                    raise Refused(400)
                links[person.name] = person.stay
        same = links == machine.links and body.get("displayName", machine.display) == machine.display
        if same and body.get("role", machine.role) == machine.role:
            return Outcome(200, of=machine)
        if links != machine.links or body.get("role", machine.role) != machine.role:
            self._may_grant(by, machine.role)
        raised = ROLES.index(body.get("role", machine.role)) > ROLES.index(machine.role)
        if raised or any(machine.links.get(name) is not stay for name, stay in links.items()):
            self._pay(machine)
        machine.links = links
        machine.display = body.get("displayName", machine.display)
        lost = self._lower(machine, body.get("role", machine.role))
        return self._done(200, by, "SERVICE_USER_UPDATED", machine, lost, of=machine)

    def delete(self, by: Caller, name: str) -> Outcome:
        machine = self._mine(by, name)
        del self.all[machine.name]
        return self._done(
            204, by, "SERVICE_USER_DELETED", machine, [("REVOKED", kind) for kind in machine.keys]
        )

    def holder(self, by: Caller, name: str, *, handing_out: bool) -> Someone:
        """Whose keys ``/v1/service-users/{name}/api-keys`` changes."""
        machine = self._mine(by, name)
        if handing_out:
            self._may_grant(by, machine.role)
        return machine

    # Keys, whoever holds them

    def own(self, by: Caller, name: str) -> Someone:
        """Whose keys ``/v1/users/{name}/api-keys`` changes."""
        if by.who.name != name.lower():
            raise Refused(403)
        if by.who.machine:
            raise Refused(404)
        return by.who

    def generate(self, by: Caller, holder: Someone, body: dict[str, Any]) -> Outcome:
        kind = body["keyType"]
        if kind not in MAY_HOLD[holder.role]:
            raise Refused(400)
        if kind in holder.keys and not holder.keys[kind].over(self.second):
            raise Refused(409)
        self._pay(holder)
        key = self._give(holder, kind, body, by.role if holder.machine else None, by.who.username)
        return self._done(201, by, "API_KEY_GENERATED", holder, [("GENERATED", kind)], [key])

    def revoke(self, by: Caller, holder: Someone, kind: str) -> Outcome:
        if kind not in holder.keys:
            raise Refused(404)
        del holder.keys[kind]
        return self._done(204, by, "API_KEY_REVOKED", holder, [("REVOKED", kind)])

    def restrict(self, by: Caller, holder: Someone, body: dict[str, Any]) -> Outcome:
        key = self._living(holder, body["keyType"])
        ends = body.get("ends", key.ends)
        offices = body.get("allowedNetworks", key.offices)
        if (ends, offices) == (key.ends, key.offices):
            return Outcome(200, of=holder, response=key)
        longer = key.ends is not None and (ends is None or ends > key.ends)
        if holder.machine and (longer or (key.offices and key.offices != offices)):
            self._may_grant(by, holder.role)
        self._pay(holder)
        key.ends, key.offices = ends, offices
        outcome = self._done(200, by, "API_KEY_UPDATED", holder, [("UPDATED", key.kind)], of=holder)
        outcome.response = key
        return outcome

    def rotate_own(self, by: Caller, overlap: int) -> Outcome:
        used = by.secret.used
        self._note(by.secret)
        try:
            return self.rotate(by, by.who, by.kind, overlap)
        except Refused:
            by.secret.used = used  # the rotation would have noted it
            raise

    def _note(self, secret: Secret) -> None:
        if secret.used is None or self.second - secret.used >= 3600:
            secret.used = self.second

    def rotate(self, by: Caller, holder: Someone, kind: str, overlap: int) -> Outcome:
        key = self._living(holder, kind)
        self._pay(holder)
        older = key.beside(self.second)
        if overlap and older and by.secret is older and key.now.used is None:
            pass  # the answer with the newer one was lost: the older goes on as it was
        elif overlap:
            until = self.second + overlap
            key.before, key.before_until = key.now, until if key.ends is None else min(until, key.ends)
        else:
            key.before = None
        seen_by = by.secret.seen_by if holder is by.who else by.role
        key.now, key.refused = (
            Secret(seen_by=seen_by if holder.machine else None, shown_to=by.who.username),
            None,
        )
        return self._done(200, by, "API_KEY_ROTATED", holder, [("ROTATED", kind)], [key])

    def leaked(self, texts: list[str]) -> None:
        """End the keys that somebody found, with each successor that its finder may have been shown."""
        for text in dict.fromkeys(texts):
            for holder in self.all.values():
                for key in list(holder.keys.values()):
                    if text not in [it.text for it in key.works(self.now)]:
                        continue
                    if key.now.text == text or key.now.shown_to.lower() in ("", holder.name):
                        del holder.keys[key.kind]
                    else:
                        key.before = None
                    self._put(
                        Record(holder.account, "API_KEY_LEAKED", "", holder.name, [("REVOKED", key.kind)])
                    )

    # People

    def invite(self, by: Caller, body: dict[str, Any]) -> Outcome:
        if body["username"].lower() == "activate":
            raise Refused(400)
        by.may_touch(body["role"])
        self._names_free(body, by.who.account)
        made = Someone(
            body["username"],
            by.who.account,
            body["email"],
            body["role"],
            False,
            body.get("displayName", body["username"]),
            open=Invitation(by.who, by.who.stay),
        )
        self._room(by.who.account, machines=False)
        self._send_invitation(made)
        self.all[made.name] = made
        return self._done(201, by, "USER_INVITED", made, of=made)

    def person(self, by: Caller, name: str) -> Someone:
        found = self.all.get(name.lower())
        if found is None or found.machine or found.account != by.who.account:
            raise Refused(404)
        return found

    def change(self, by: Caller, name: str, body: dict[str, Any]) -> Outcome:
        person = self.person(by, name)
        role = body.get("role", person.role)
        by.may_touch(person.role, role)
        display = body.get("displayName", person.display)
        if role != person.role:
            if person is by.who:
                raise Refused(403)
            if role != "OWNER":
                self._not_the_last(person)
        if (role, display) == (person.role, person.display):
            return Outcome(200, of=person)
        if ROLES.index(role) > ROLES.index(person.role):
            self._earned(person.changes)
            if role == "OWNER" and not person.open:
                self._owner_fits(person.account)
            self._pay(person)
        if role == "READ_ONLY" != person.role:
            person.stay = Stay()
        person.display = display
        lost = self._lower(person, role)
        return self._done(200, by, "USER_UPDATED", person, lost, of=person)

    def expel(self, by: Caller, name: str) -> Outcome:
        person = self.person(by, name)
        by.may_touch(person.role)
        self._not_the_last(person)
        del self.all[person.name]
        return self._done(204, by, "USER_REVOKED", person, [("REVOKED", kind) for kind in person.keys])

    def known(self, by: Caller, name: str) -> list[tuple[Someone, Held, Secret]]:
        """The living keys of machines that somebody was the last to be shown."""
        return [
            (machine, machine.keys[kind], secret)
            for machine in self.members(by.who.account, machines=True)
            for kind in TYPES
            if kind in machine.keys
            for secret in machine.keys[kind].works(self.now)
            if secret.shown_to.lower() == name.lower()
        ]

    def list_known(self, by: Caller, name: str) -> Outcome:
        return Outcome(200, [self._shown(*it) for it in self.known(by, name)])

    def end_known(self, by: Caller, name: str, *, revoke: bool) -> Outcome:
        missing = False
        if revoke:
            if name.lower() == by.who.name:
                raise Refused(403)
            try:
                self.expel(by, name)
            except Refused as refused:
                if refused.status != 404:
                    raise
                missing = True
        known = self.known(by, name)
        if missing and not known:
            raise Refused(404)
        told = [self._shown(*it) for it in known]
        changed: dict[str, list[tuple[str, str]]] = {}
        for machine, key, secret in known:
            changed.setdefault(machine.name, []).append(("REVOKED", key.kind))
            if secret is key.before:
                key.before = None
            else:
                del machine.keys[key.kind]
        for machine_name, changes in changed.items():
            self._put(Record(by.who.account, "API_KEY_REVOKED", by.who.name, machine_name, changes))
        return Outcome(200, {"ended": told, "complete": True})

    def _shown(self, machine: Someone, key: Held, secret: Secret) -> dict[str, Any]:
        until = min(key.before_until, key.ends or key.before_until) if secret is key.before else None
        return {
            "username": machine.username,
            "keyType": key.kind,
            "key": f"•••…{secret.text[-5:]}",
            "validUntil": moment(until),
        }

    def invite_again(self, by: Caller, name: str) -> Outcome:
        person = self.person(by, name)
        by.may_touch(person.role)
        self._not_the_last(person)
        self._send_invitation(person)
        lost = [("REVOKED", kind) for kind in person.keys]
        person.keys, person.open = {}, Invitation(by.who, by.who.stay)
        return self._done(200, by, "USER_INVITED", person, lost, of=person)

    def activate(self, name: str, token: str) -> Outcome:
        person = self.all.get(name.lower())
        if person is None or person.machine or person.open is None:
            raise Refused(400)
        if self.now >= person.open.tokens.get(token, 0):
            raise Refused(400)
        inviter = person.open.inviter
        if (
            self.all.get(inviter.name) is not inviter
            or inviter.role != "OWNER"
            or inviter.stay is not person.open.stay
        ):
            raise Refused(400)
        if person.role == "OWNER":
            self._owner_fits(person.account)
        person.open = None
        manages = person.role != "READ_ONLY"
        keys = [
            self._give(person, kind, {})
            for kind in (["USER_MANAGEMENT"] if manages else MAY_HOLD["READ_ONLY"])
        ]
        made = [("GENERATED", key.kind) for key in keys]
        outcome = Outcome(200, made=keys, of=person)
        outcome.record = Record(person.account, "USER_ACTIVATED", person.name, person.name, made)
        self._put(outcome.record)
        return outcome

    # Accounts

    def open_account(self, account: str, body: dict[str, Any]) -> Outcome:
        self._names_free(body, account)
        owner = Someone(body["username"], account, body["email"], "OWNER", False, body["username"])
        key = self._give(owner, "USER_MANAGEMENT", {})
        self.all[owner.name] = owner
        self.accounts[account] = body["accountName"]
        outcome = Outcome(200, made=[key], of=owner)
        self._put(Record(account, "ACCOUNT_CREATED", "", owner.name, [("GENERATED", "USER_MANAGEMENT")]))
        return outcome

    def rename(self, by: Caller, name: str) -> Outcome:
        account = by.who.account
        if self.accounts[account] == name:
            return Outcome(200)
        paid = self.account_changes.setdefault(account, [])
        paid.append(self._earned(paid))
        self.accounts[account] = name
        record = Record(account, "ACCOUNT_UPDATED", by.who.name, "")
        self._put(record)
        return Outcome(200, record=record)

    # Budgets and quotas

    def _earned(self, paid: list[int]) -> int:
        """Return for when one more change is paid: a pause after the last one, and not too far ahead."""
        if self.allowed is None:
            return self.second
        ahead = max(paid[-1], self.second) if paid else self.second
        ahead += self.allowed.pause
        if ahead > self.second + self.allowed.pause * self.allowed.burst:
            raise Refused(429)
        return ahead

    def _pay(self, holder: Someone) -> None:
        until = self._earned(holder.changes)
        self._pay_account(holder.account)
        holder.changes.append(until)

    def _pay_account(self, account: str) -> None:
        minute = (account, self.second // 60)
        if self.allowed and self.minutes.get(minute, 0) >= self.allowed.a_minute:
            raise Refused(429)
        if self.allowed:
            self.minutes[minute] = self.minutes.get(minute, 0) + 1

    def _send_invitation(self, person: Someone) -> None:
        sent = self.invited.setdefault((person.account, fold(person.email)), [])
        if self.allowed is None:
            return
        today = [at for at in sent if at // 86_400 == self.second // 86_400]
        soon = sent and self.second - sent[-1] < self.allowed.invitation_pause
        if soon or len(today) >= self.allowed.invitations_a_day:
            raise Refused(429)
        self._pay_account(person.account)
        sent.append(self.second)

    def _room(self, account: str, *, machines: bool) -> None:
        if self.allowed:
            most = self.allowed.machines if machines else self.allowed.people
            if len(self.members(account, machines=machines)) >= most:
                raise Refused(409)

    def _owner_fits(self, account: str) -> None:
        if self.allowed and len(self.owners(account)) >= self.allowed.owners:
            raise Refused(409)

    # What they share

    def _may_grant(self, by: Caller, role: str) -> None:
        if not by.at_least(role):
            raise Refused(403)

    def _names_free(self, body: dict[str, Any], account: str) -> None:
        if body["username"].lower() in self.all:
            raise Refused(409)
        if fold(body["email"]) in {fold(it.email) for it in self.all.values() if it.account == account}:
            raise Refused(409)

    def _not_the_last(self, person: Someone) -> None:
        if person.owner and len(self.owners(person.account)) == 1:
            raise Refused(409)

    def _living(self, holder: Someone, kind: str) -> Held:
        key = holder.keys.get(kind)
        if key is None or key.over(self.second):
            raise Refused(404)
        return key

    def _give(
        self,
        holder: Someone,
        kind: str,
        body: dict[str, Any],
        seen_by: str | None = None,
        shown_to: str = "",
    ) -> Held:
        key = Held(
            kind,
            Secret(seen_by=seen_by, shown_to=shown_to),
            ends=body.get("ends"),
            offices=list(body.get("allowedNetworks", [])),
        )
        holder.keys[kind] = key
        return key

    def _lower(self, holder: Someone, role: str) -> list[tuple[str, str]]:
        lost = [kind for kind in holder.keys if kind not in MAY_HOLD[role]]
        holder.role = role
        for kind in lost:
            del holder.keys[kind]
        return [("REVOKED", kind) for kind in lost]

    def _done(
        self,
        status: int,
        by: Caller,
        action: str,
        subject: Someone,
        changes: list[tuple[str, str]] | None = None,
        made: list[Held] | None = None,
        of: Someone | None = None,
    ) -> Outcome:
        if action == "SERVICE_USER_CREATED":
            changes = [("GENERATED", key.kind) for key in made or []]
        record = Record(subject.account, action, by.who.name, subject.name, changes or [])
        self._put(record)
        return Outcome(status, made=made or [], record=record, of=of or subject)

    def _put(self, record: Record) -> None:
        self.records.append(record)
