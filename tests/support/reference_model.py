"""The rules, told a second time and small: what the machine holds the API against.

It shares no line with the product. It knows no DynamoDB and no HTTP, keeps secrets as they are, and
says of each call what status it is answered with, which keys are made, and what is recorded.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.support.catalogue import DISPLAY_NAMES as TYPES
from tests.support.catalogue import LIFE_DAYS, MADE, MAY_HOLD, NEEDS_NETWORKS, ROLES

OFFICE = "203.0.113.0/24"
AT_THE_OFFICE, ELSEWHERE = "203.0.113.9", "198.51.100.7"

MINUTE, HOUR, DAY = 60, 3600, 86_400
IDLE, LONGEST = 15 * MINUTE, 8 * HOUR
"""A session ends after so long without use, and after so long however much it is used."""
PROOF = 5 * MINUTE
"""For so long after a touch of the passkey, a session may do what changes who can do what."""
TOUCH_PAUSE = 30
"""Seconds for which a use of a passkey is paid for."""
CHALLENGE, CODE = 5 * MINUTE, 15 * MINUTE
"""How long there is to touch the passkey, and to use a mailed code."""
MAX_PASSKEYS = MAX_SESSIONS = 5
SOON = 5 * MINUTE
"""A key that ends within this time is as good as revoked."""


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(eq=False)
class Secret:
    """A key's secret, learnt from the one response that shows it."""

    text: str = ""
    used: int | None = None
    seen_by: str | None = None
    """The role of whoever was shown it: it never acts above that. None where only its holder was."""
    shown_to: str = ""
    """Who was shown it."""
    made: int = 0
    leaked: int | None = None
    """When it was last told of a leak that ended nothing."""


@dataclass(eq=False)
class Held:
    """A key somebody has: ``before`` goes on working until ``before_until``."""

    kind: str
    now: Secret
    ends: int | None = None
    born: int = 0
    offices: list[str] = field(default_factory=list)
    before: Secret | None = None
    before_until: int = 0
    refused: int | None = None
    life: int | None = None
    """Days after which it ends, because its kind lives no longer: they begin anew with a new secret."""

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
    """An invitation, good while its inviter is an OWNER in the time of being there that they sent it in.

    And while they have the key they had, which was ``born`` then and may have been rotated; or the passkey.
    Neither is asked for of who invited themselves.
    """

    inviter: "Someone"
    stay: Stay
    born: int | None = None
    passkey: "Passkey | None" = None
    tokens: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Told:
    """An email that has to be sent, and when it was."""

    mailed: int | None = None

    def ago(self, now: int) -> float:
        """How long it is known to whom it is for: less than no time, while it is not."""
        return -1 if self.mailed is None else now - self.mailed


@dataclass(eq=False)
class Announced:
    """The end of a passkey that is not used, as its person is notified: twice, before it comes."""

    ends: int
    first: Told
    last: Told | None = None


@dataclass(eq=False)
class Passkey:
    """What a person signs in to the console with. ``counter`` is what the authenticator counted up to."""

    counter: int
    made: int
    used: int | None = None
    announced: Announced | None = None
    paid: int = 0


@dataclass(eq=False)
class Session:
    """A browser in which a person is signed in; its secret is learnt from the cookie."""

    passkey: Passkey
    started: int
    seen: int
    proved: int
    text: str = ""

    def over(self, at: float) -> bool:
        return at >= min(self.seen + IDLE, self.started + LONGEST)


@dataclass(eq=False)
class Challenge:
    """What a browser asks its passkey to sign: once, soon, for one purpose, of one person or session."""

    purpose: str
    until: int
    whom: "Someone | None" = None
    stay: Stay | None = None
    proof: Any = None
    used: bool = False


@dataclass(eq=False)
class Wish:
    """A person's wish for a passkey, good while the key works with which it was made."""

    key: Secret
    asked: int
    codes: dict[str, int] = field(default_factory=dict)


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
    renamed: list[int] = field(default_factory=list)
    """When each change was paid for, as if they came no faster than they are earned."""
    passkeys: list[Passkey] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    """Those that nobody ended. What is over may stay here, and is as good as ended."""
    wish: Wish | None = None
    created: int = 0
    invited_by: str | None = None
    suspended: int | None = None
    """Since when they are suspended: what they have is kept, and refused."""
    suspended_by: str | None = None
    about: str | None = None
    """What a machine is for, as people say."""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.username.lower()

    @property
    def owner(self) -> bool:
        may_act = self.open is None and self.suspended is None
        return not self.machine and self.role == "OWNER" and may_act

    def at_least(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass
class Allowance:
    """How often keys and an account change, an inbox is mailed to, keys are looked for or told of, and of
    whom an account has how many."""

    pause: int
    """Seconds in which a principal earns another change."""
    burst: int
    a_minute: int
    invitation_pause: int
    invitations_a_day: int
    invitations_of_all: int
    code_pause: int
    codes_a_day: int
    touches: int
    searches: int
    reports: int
    people: int
    owners: int
    machines: int


SHOWN = {"SIGNED_IN": "PASSKEY", "USER_ACTIVATED": "INVITATION", "PASSKEY_ADDED": "CODE"}
"""What somebody shows with whom a session starts, by the event of that."""


@dataclass
class Record:
    """What the trail says of an act."""

    account: str
    action: str
    actor: str
    subject: str
    keys: list[tuple[str, str]] = field(default_factory=list)
    by: str = ""
    """The credential that was used, with the end of a key."""


@dataclass
class Outcome:
    """How a call that is not refused is answered. ``made`` are the keys its response shows."""

    status: int
    response: Any = None
    made: list[Held] = field(default_factory=list)
    record: Record | None = None
    of: Someone | None = None


@dataclass
class Caller:
    """Somebody who signed in, and the key or the session they did it with.

    A session may do what a USER_MANAGEMENT key may, and never has a ceiling.
    """

    who: Someone
    kind: str
    secret: Secret
    source_ip: str = ""
    session: Session | None = None

    @property
    def shown(self) -> str:
        """What they signed in with, as the trail has it."""
        return "SESSION" if self.session is not None else f"API_KEY {self.kind} {self.secret.text[-5:]}"

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

    def prove(self, at: float) -> None:
        """By a session, a touch of the passkey must have been within five minutes."""
        if self.session is not None and at >= self.session.proved + PROOF:
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
    """Everybody there is. A method is a call, made at ``now``: it raises Refused or returns the Outcome."""

    def __init__(self) -> None:
        self.all: dict[str, Someone] = {}
        self.accounts: dict[str, str] = {}
        self.records: list[Record] = []
        self.now = 0.0
        self.allowed: Allowance | None = None
        self.minutes: dict[tuple[str, int], int] = {}
        self.invited: dict[tuple[str, str], list[int]] = {}
        self.coded: dict[tuple[str, str], list[int]] = {}
        self.asked: dict[tuple[str, int], int] = {}
        """How often somebody looked for keys, or an address told of leaked ones, in a minute."""
        self.account_changes: dict[str, list[int]] = {}
        self.unused_days: dict[str, int | None] = {}
        """After how many days an account ends what is not used."""
        self.machines_run_owners: set[str] = set()
        """Accounts that let machines invite, change and revoke OWNERs."""
        self.opened: dict[str, int] = {}
        """When each account was created."""
        self.leaked_keys_stay: set[str] = set()
        """Accounts whose leaked keys are notified, and not revoked."""

    @property
    def second(self) -> int:
        return int(self.now)

    def owners(self, account: str) -> list[str]:
        return sorted(it.name for it in self.all.values() if it.owner and it.account == account)

    def members(self, account: str, *, machines: bool) -> list[Someone]:
        mine = [it for it in self.all.values() if it.account == account and it.machine is machines]
        return sorted(mine, key=lambda it: it.name)

    def listed(self, whom: Someone, asked: dict[str, str]) -> bool:
        """Whether somebody is in a list with these conditions."""
        if asked.get("role", whom.role) != whom.role or ("suspended" in asked and whom.suspended is None):
            return False
        if "status" in asked and (asked["status"] == "INVITED") is not (whom.open is not None):
            return False
        if "label" in asked:
            name, value = asked["label"].split(":")
            if whom.labels.get(name) != value:
                return False
        if "administrator" in asked and asked["administrator"] not in self.administrators(whom):
            return False
        of_keys = {"neverUsed", "withoutNetworks", "unusedForDays", "endingWithinDays"}
        return not of_keys & asked.keys() or any(self._listed_key(key, asked) for key in whom.keys.values())

    def _listed_key(self, key: Held, asked: dict[str, str]) -> bool:
        used, ends = key.now.used, key.ends
        since = key.now.made if used is None else used
        holds = {
            "neverUsed": used is None,
            "withoutNetworks": key.offices == [],
            "unusedForDays": since <= self.second - int(asked.get("unusedForDays", 1)) * DAY,
            "endingWithinDays": ends is not None
            and ends <= self.second + int(asked.get("endingWithinDays", 1)) * DAY,
        }
        return not key.over(self.second) and all(holds.get(name, True) for name in asked)

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
                if who.suspended is not None or (OFFICE in key.offices and source_ip != AT_THE_OFFICE):
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
                return Caller(who, key.kind, it, source_ip)
        raise Refused(401)

    # Service Users

    def create(self, by: Caller, body: dict[str, Any]) -> Outcome:
        self._may_grant(by, body["role"])
        by.prove(self.now)
        kinds = body.get("keyTypes", MADE[body["role"]])
        for kind in kinds:
            self._may_be_so(kind, body, self.second)
        made = Someone(
            body["username"],
            by.who.account,
            body["email"],
            body["role"],
            True,
            body.get("displayName", body["username"]),
            created=self.second,
            about=body.get("description"),
            labels=body.get("labels", {}),
        )
        made.links = {by.who.name: by.who.stay}
        if "administrators" in body:
            made.links = self._links(by, replace(made, links={}), body["administrators"])
        self._names_free(body, by.who.account)
        self._room(by.who.account, machines=True)
        self._pay_account(by.who.account)
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

    def update(
        self, by: Caller, name: str, body: dict[str, Any], read: dict[str, Any] | None = None
    ) -> Outcome:
        machine = self._mine(by, name)
        if body.get("role", machine.role) != machine.role:
            self._may_grant(by, body["role"])
        self._as_read(read, self.read_only(machine))
        links = machine.links
        shown = [it.lower() for it in self.administrators(machine)]
        if "administrators" in body and sorted(it.lower() for it in body["administrators"]) != shown:
            links = self._links(by, machine, body["administrators"])
        said = (machine.display, machine.about, machine.labels)
        saying = (
            body.get("displayName", machine.display),
            body.get("description", machine.about),
            body.get("labels", machine.labels),
        )
        same = links == machine.links and saying == said
        if same and body.get("role", machine.role) == machine.role:
            return Outcome(200, of=machine)
        if links != machine.links or body.get("role", machine.role) != machine.role:
            self._may_grant(by, machine.role)
            by.prove(self.now)
        raised = ROLES.index(body.get("role", machine.role)) > ROLES.index(machine.role)
        joined = any(machine.links.get(name) is not stay for name, stay in links.items())
        gone = any(links.get(name) is not stay for name, stay in machine.links.items())
        self._pay_all(
            machine,
            own=raised or (joined and not gone),
            account=raised or joined,
            names=saying != said,
        )
        machine.links = links
        machine.display, machine.about, machine.labels = saying
        lost = self._lower(machine, body.get("role", machine.role))
        return self._done(200, by, "SERVICE_USER_UPDATED", machine, lost, of=machine)

    def _links(self, by: Caller, machine: Someone, names: list[str]) -> dict[str, Stay]:
        links: dict[str, Stay] = {}
        for each in names:
            person = self.all.get(each.lower())
            if (
                person is None
                or person.machine
                or person.account != by.who.account
                or not person.at_least("CLUSTER_ADMIN")
                or (
                    (person.open or person.suspended is not None)
                    and machine.links.get(person.name) is not person.stay
                )
                or person.name in links
            ):
                raise Refused(400)
            links[person.name] = person.stay
        if not links:
            raise Refused(400)
        return links

    def read_only(self, whom: Someone) -> dict[str, Any]:
        """What is shown of somebody, and cannot be changed with their name and role."""
        shown = {
            "account": whom.account,
            "username": whom.username,
            "email": whom.email,
            "createdAt": moment(whom.created),
            "suspendedAt": moment(whom.suspended),
            "suspendedBy": whom.suspended_by,
        }
        if not whom.machine:
            return {**shown, "status": "INVITED" if whom.open else "ACTIVE", "invitedBy": whom.invited_by}
        keys = {}
        for kind, key in whom.keys.items():
            before = key.beside(self.now)
            until = min(key.before_until, key.ends or key.before_until)
            keys[kind] = [key.now, key.ends, [*key.offices], before and (before, until)]
        return {**shown, "fit": MAY_HOLD[whom.role], "below": self.below(whom), "keys": keys}

    def below(self, machine: Someone) -> list[str]:
        """The kinds of keys of a machine that may do less than its role."""
        ceilings = {kind: machine.keys[kind].now.seen_by for kind in TYPES if kind in machine.keys}
        rank = ROLES.index(machine.role)
        return [kind for kind, ceiling in ceilings.items() if ROLES.index(ceiling or "OWNER") < rank]

    def _as_read(self, read: dict[str, Any] | None, now: dict[str, Any]) -> None:
        """Refuse what was read and is different now, but for an overlap that has ended by itself."""
        for key in (read or {}).get("keys", {}).values():
            if key[3] and key[3][1] <= self.second:
                key[3] = None
        if read is not None and {**now, **read} != now:
            raise Refused(400)

    def delete(self, by: Caller, name: str) -> Outcome:
        machine = self._mine(by, name)
        by.prove(self.now)
        del self.all[machine.name]
        return self._done(
            204, by, "SERVICE_USER_DELETED", machine, [("REVOKED", kind) for kind in machine.keys]
        )

    def suspend(self, by: Caller, name: str) -> Outcome:
        machine = self._mine(by, name)
        if machine.suspended is not None:
            return Outcome(200, of=machine)
        machine.suspended, machine.suspended_by = self.second, by.who.username
        return self._done(200, by, "SERVICE_USER_SUSPENDED", machine)

    def resume(self, by: Caller, name: str) -> Outcome:
        machine = self._mine(by, name)
        self._may_grant(by, machine.role)
        by.prove(self.now)
        if machine.suspended is None:
            return Outcome(200, of=machine)
        self._pay_resumption(by)
        machine.suspended = machine.suspended_by = None
        return self._done(200, by, "SERVICE_USER_RESUMED", machine)

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
        by.prove(self.now)
        if kind not in MAY_HOLD[holder.role]:
            raise Refused(400)
        self._may_be_so(kind, body, self.second)
        if kind in holder.keys and not holder.keys[kind].over(self.second):
            raise Refused(409)
        self._pay(holder)
        key = self._give(holder, kind, body, by.role if holder.machine else None, by.who.username)
        return self._done(201, by, "API_KEY_GENERATED", holder, [("GENERATED", kind)], [key])

    def revoke(self, by: Caller, holder: Someone, kind: str, *, meant: bool = True) -> Outcome:
        if meant:
            by.prove(self.now)
        if kind not in holder.keys:
            raise Refused(404)
        if not meant:
            self._keeps_a_way_in(by, holder, holder.keys[kind], None, gone=True)
        del holder.keys[kind]
        return self._done(204, by, "API_KEY_REVOKED", holder, [("REVOKED", kind)])

    def _keeps_a_way_in(
        self, by: Caller, holder: Someone, key: Held, ends: int | None, *, gone: bool, offices: Any = ()
    ) -> None:
        """Refuse that somebody revokes, by accident, the key they sign in with.

        That is the key they signed in with. Who is in a session needs none, but for the only OWNER of an
        account, whom only their USER_MANAGEMENT key lets in when the passkey is lost.
        """
        if holder is not by.who or key.kind != by.kind:
            return
        sooner = ends is not None and (key.ends is None or ends < key.ends)
        ended = gone or (sooner and ends is not None and ends <= self.second + SOON)
        if by.session is not None:
            alone = self.owners(holder.account) == [holder.name]
            if ended and alone and not key.over(self.second):
                raise Refused(409)
        elif ended or (OFFICE in offices and by.source_ip != AT_THE_OFFICE):
            raise Refused(409)

    def restrict(self, by: Caller, holder: Someone, body: dict[str, Any], *, meant: bool = True) -> Outcome:
        if meant:
            by.prove(self.now)
        key = self._living(holder, body["keyType"])
        ends = body.get("ends", key.ends)
        offices = body.get("allowedNetworks", key.offices)
        if key.kind in NEEDS_NETWORKS and key.offices and not offices:
            raise Refused(400)
        if key.kind in LIFE_DAYS and key.ends is not None and (ends is None or ends > key.ends):
            self._may_be_so(key.kind, {"ends": ends or 10**12, "allowedNetworks": [OFFICE]}, key.now.made)
        if (ends, offices) == (key.ends, key.offices):
            return Outcome(200, of=holder, response=key)
        longer = key.ends is not None and (ends is None or ends > key.ends)
        looser = longer or (key.offices and key.offices != offices)
        left = None if ends is None else ends - self.second
        halved = (left is not None and (key.ends is None or 2 * left <= key.ends - self.second)) or (
            bool(offices) and not key.offices
        )
        halved = bool(halved and ((ends, offices) != (key.ends, key.offices)))
        if looser:
            if holder.machine:
                self._may_grant(by, holder.role)
            by.prove(self.now)
        if not meant and by.session is None:
            self._keeps_a_way_in(by, holder, key, ends, gone=False, offices=offices)
        if looser or not halved:
            self._earned(holder.changes)
        if not meant:
            self._keeps_a_way_in(by, holder, key, ends, gone=False, offices=offices)
        if looser or not halved:
            self._pay(holder)
        if ends != key.ends:
            key.life = None
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
        by.prove(self.now)
        key = self._living(holder, kind)
        self._pay(holder)
        older = key.beside(self.second)
        if overlap and older and by.secret is older and key.now.used is None:
            pass  # the response with the newer one was lost: the older goes on as it was
        elif overlap:
            until = self.second + overlap
            key.before, key.before_until = key.now, until if key.ends is None else min(until, key.ends)
        else:
            key.before = None
        seen_by = by.secret.seen_by if holder is by.who else by.role
        seen_by = seen_by if holder.machine else None
        key.now = Secret(seen_by=seen_by, shown_to=by.who.username, made=self.second)
        key.refused = None
        if key.life is not None:
            key.ends = self.second + key.life * DAY
        return self._done(200, by, "API_KEY_ROTATED", holder, [("ROTATED", kind)], [key])

    def leaked(self, texts: list[str], source_ip: str) -> None:
        """End the keys that somebody found, with each successor that its finder may have been shown.

        Where the account keeps them, they are only told of, once a day.
        """
        if self.allowed:
            self._ask(source_ip, self.allowed.reports)
        for text in dict.fromkeys(texts):
            for holder in self.all.values():
                for key in list(holder.keys.values()):
                    if text not in [it.text for it in key.works(self.now)]:
                        continue
                    if holder.account in self.leaked_keys_stay:
                        (found,) = [it for it in key.works(self.now) if it.text == text]
                        if found.leaked is None or self.second - found.leaked >= DAY:
                            found.leaked = self.second
                            told = [("LEAKED", key.kind)]
                            self._put(Record(holder.account, "API_KEY_LEAKED", "", holder.name, told))
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
        by.prove(self.now)
        if body["username"].lower() == "activate":
            raise Refused(400)
        self._may_touch(by, body["role"])
        self._names_free(body, by.who.account)
        made = Someone(
            body["username"],
            by.who.account,
            body["email"],
            body["role"],
            False,
            body.get("displayName", body["username"]),
            open=_invitation(by, body["username"].lower()),
            created=self.second,
            invited_by=by.who.username,
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

    def change(
        self,
        by: Caller,
        name: str,
        body: dict[str, Any],
        read: dict[str, Any] | None = None,
        *,
        stale: bool = False,
    ) -> Outcome:
        """Change somebody's name and role, but not by a form of the console that is ``stale``."""
        person = self.person(by, name)
        role = body.get("role", person.role)
        self._may_touch(by, person.role, role)
        by.prove(self.now)
        self._as_read(read, self.read_only(person))
        if stale:
            raise Refused(409)
        display = body.get("displayName", person.display)
        if role != person.role:
            if person is by.who:
                raise Refused(403)
            if role != "OWNER":
                self._not_the_last(person)
        if (role, display) == (person.role, person.display):
            return Outcome(200, of=person)
        raised = ROLES.index(role) > ROLES.index(person.role)
        if raised:
            self._earned(person.changes)
        if display != person.display:
            self._earned(person.renamed)
        if raised and role == "OWNER" and not person.open:
            self._owner_fits(person.account)
        self._pay_all(person, own=raised, account=raised, names=display != person.display)
        if role == "READ_ONLY" != person.role:
            person.stay = Stay()
        if role != person.role:
            person.wish = None
        person.display = display
        lost = self._lower(person, role)
        return self._done(200, by, "USER_UPDATED", person, lost, of=person)

    def expel(self, by: Caller, name: str) -> Outcome:
        person = self.person(by, name)
        self._may_touch(by, person.role)
        by.prove(self.now)
        self._not_the_last(person)
        del self.all[person.name]
        return self._done(204, by, "USER_REVOKED", person, [("REVOKED", kind) for kind in person.keys])

    def suspend_person(self, by: Caller, name: str) -> Outcome:
        person = self.person(by, name)
        self._may_touch(by, person.role)
        by.prove(self.now)
        if person is by.who or person.open:
            raise Refused(409)
        if person.suspended is not None:
            return Outcome(200, of=person)
        self._not_the_last(person)
        person.suspended, person.suspended_by = self.second, by.who.username
        person.sessions, person.wish = [], None
        return self._done(200, by, "USER_SUSPENDED", person)

    def resume_person(self, by: Caller, name: str) -> Outcome:
        if by.who.machine:
            raise Refused(403)
        person = self.person(by, name)
        self._may_touch(by, person.role)
        by.prove(self.now)
        if person.suspended is None:
            return Outcome(200, of=person)
        if person.role == "OWNER":
            self._owner_fits(person.account)
        self._pay_resumption(by)
        person.suspended = person.suspended_by = None
        return self._done(200, by, "USER_RESUMED", person)

    def known(self, by: Caller, name: str) -> list[tuple[Someone, Held, Secret]]:
        """The working keys of machines that somebody was the last to be shown."""
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
            self._put(Record(by.who.account, "API_KEY_REVOKED", by.who.name, machine_name, changes, by.shown))
        return Outcome(200, {"ended": told, "complete": True})

    def _shown(self, machine: Someone, key: Held, secret: Secret) -> dict[str, Any]:
        until = min(key.before_until, key.ends or key.before_until) if secret is key.before else None
        return {
            "username": machine.username,
            "keyType": key.kind,
            "key": f"•••…{secret.text[-5:]}",
            "last5": secret.text[-5:],
            "validUntil": moment(until),
        }

    def invite_again(self, by: Caller, name: str) -> Outcome:
        person = self.person(by, name)
        self._may_touch(by, person.role)
        by.prove(self.now)
        if person.suspended is not None:
            raise Refused(409)
        self._not_the_last(person)
        invitation = _invitation(by, person.name)
        self._send_invitation(person)
        lost = [("REVOKED", kind) for kind in person.keys]
        person.keys, person.open = {}, invitation
        person.invited_by = by.who.username
        person.passkeys, person.sessions, person.wish = [], [], None
        return self._done(200, by, "USER_INVITED", person, lost, of=person)

    def activate(self, name: str, token: str) -> Outcome:
        person = self._invited(name, token)
        self._may_take_up(person)
        person.open = None
        manages = person.role != "READ_ONLY"
        keys = [
            self._give(person, kind, {})
            for kind in (["USER_MANAGEMENT"] if manages else MADE["READ_ONLY"])
            if kind not in NEEDS_NETWORKS
        ]
        made = [("GENERATED", key.kind) for key in keys]
        outcome = Outcome(200, made=keys, of=person)
        outcome.record = Record(
            person.account, "USER_ACTIVATED", person.name, person.name, made, "INVITATION"
        )
        self._put(outcome.record)
        return outcome

    def _invited(self, name: str, token: str) -> Someone:
        """Who is let in by a token."""
        person = self.all.get(name.lower())
        if person is None or person.machine or person.open is None:
            raise Refused(400)
        if self.now >= person.open.tokens.get(token, 0):
            raise Refused(400)
        return person

    def invitation_of(self, person: Someone) -> str | None:
        """What is shown of an invitation that is not taken up: whether its newest token lets them in."""
        if person.open is None:
            return None
        if self._is_withdrawn(person, person.open):
            return "WITHDRAWN"
        until = person.open.tokens.values()
        return "EXPIRED" if until and max(until) <= self.now else "OPEN"

    def _may_take_up(self, person: Someone) -> None:
        assert person.open is not None
        if self._is_withdrawn(person, person.open):
            raise Refused(400)
        if person.role == "OWNER":
            self._owner_fits(person.account)

    def _is_withdrawn(self, person: Someone, invitation: Invitation) -> bool:
        inviter = invitation.inviter
        return (
            self.all.get(inviter.name) is not inviter
            or inviter.role != "OWNER"
            or inviter.stay is not invitation.stay
            or inviter.suspended is not None
            or (invitation.born is not None and self._is_over(inviter, invitation.born))
            or (invitation.passkey is not None and invitation.passkey not in inviter.passkeys)
            or (inviter.machine and person.role == "OWNER" and person.account not in self.machines_run_owners)
        )

    def _is_over(self, inviter: Someone, born: int) -> bool:
        key = inviter.keys.get("USER_MANAGEMENT")
        return key is None or key.born != born or key.over(self.now)

    # The console: people alone, with passkeys

    def enter(self, session: Session | None) -> Caller:
        """Open a page with a session's cookie, which keeps the session going."""
        for who in self.all.values():
            if session is not None and session in who.sessions and not session.over(self.now):
                if self.second - session.seen >= MINUTE:
                    session.seen = self.second
                return Caller(who, "USER_MANAGEMENT", Secret(), session=session)
        raise Refused(401)

    def begin_sign_in(self) -> Challenge:
        return self._challenge("SIGN_IN")

    def finish_sign_in(
        self, asked: Challenge | None, signed: Challenge | None, passkey: Passkey, counter: int
    ) -> Session:
        """Sign in with what a passkey made of the challenge ``signed`` in a browser that was ``asked``."""
        challenge = self._good(asked, "SIGN_IN")
        holders = [it for it in self.all.values() if passkey in it.passkeys]
        if not holders:
            raise Refused(401)
        self._right(challenge, signed, passkey, counter)
        if holders[0].suspended is not None:
            raise Refused(403)
        self._touched(challenge, signed, passkey, counter)
        return self._start(holders[0], passkey, "SIGNED_IN")

    def begin_confirmation(self, by: Caller) -> Challenge:
        return self._challenge("CONFIRM", by.who, by.session)

    def confirm(
        self, by: Caller, asked: Challenge | None, signed: Challenge | None, passkey: Passkey, counter: int
    ) -> None:
        challenge = self._own(by, asked, "CONFIRM")
        if passkey not in by.who.passkeys or by.session is None:
            raise Refused(401)
        self._touched(challenge, signed, passkey, counter)
        by.session.proved = self.second

    def begin_activation(self, name: str, token: str) -> Challenge:
        return self._challenge("ACTIVATE", self._invited(name, token), token)

    def activate_in_browser(self, asked: Challenge | None, token: str, counter: int) -> Session:
        """Take an invitation up with a new passkey: a session, and no API key."""
        challenge = self._good(asked, "ACTIVATE")
        if challenge.proof != token or challenge.whom is None:
            raise Refused(400)
        person = self._invited(challenge.whom.name, token)
        self._may_take_up(person)
        person.open = None
        challenge.used = True
        person.passkeys = [Passkey(counter, self.second)]
        return self._start(person, person.passkeys[0], "USER_ACTIVATED")

    def ask_for_code(self, username: str, secret: str, source_ip: str) -> Wish:
        """Have a code mailed, by a key that manages; a machine is told what a wrong key is, and no more."""
        who = self.all.get(username.lower())
        if who is not None and who.machine:
            raise Refused(401)
        by = self.sign_in(username, secret, source_ip)
        if "USER_MANAGEMENT" in MAY_HOLD[by.who.role]:
            by.manages()
        if self.allowed:
            sent = self.coded.setdefault((by.who.account, fold(by.who.email)), [])
            self._inbox(sent, self.allowed.code_pause, self.allowed.codes_a_day)
            sent.append(self.second)
        by.who.wish = Wish(by.secret, self.second)
        self._put(Record(by.who.account, "PASSKEY_CODE_REQUESTED", by.who.name, by.who.name, by=by.shown))
        return by.who.wish

    def begin_enrolment(self, name: str, code: str, wish: Wish | None, source_ip: str) -> Challenge:
        """Begin in the browser in which ``wish`` was the last that was made."""
        person = self._wishes(name, code, wish, source_ip)
        self._has_room(person)
        return self._challenge("ENROL", person, code)

    def enrol(
        self, asked: Challenge | None, code: str, wish: Wish | None, counter: int, source_ip: str
    ) -> Session:
        """Turn a mailed code into a passkey and a session."""
        challenge = self._good(asked, "ENROL")
        assert challenge.whom is not None
        person = self._wishes(challenge.whom.name, code, wish, source_ip)
        if challenge.proof != code or challenge.stay is not person.stay:
            raise Refused(400)
        self._has_room(person)
        person.wish = None
        challenge.used = True
        person.passkeys.append(Passkey(counter, self.second))
        return self._start(person, person.passkeys[-1], "PASSKEY_ADDED")

    def _wishes(self, name: str, code: str, wish: Wish | None, source_ip: str) -> Someone:
        """Who is let in by a code: it takes the code, the browser that asked and a key that works."""
        person = self.all.get(name.lower())
        if person is None or person.wish is None or person.wish is not wish:
            raise Refused(400)
        open_here = [
            it for it in person.keys.values() if OFFICE not in it.offices or source_ip == AT_THE_OFFICE
        ]
        works = [it for key in open_here for it in key.works(self.now)]
        if self.now >= person.wish.codes.get(code, 0) or person.wish.key not in works:
            raise Refused(400)
        return person

    def begin_addition(self, by: Caller) -> Challenge:
        by.prove(self.now)
        self._has_room(by.who)
        return self._challenge("ADD", by.who, by.session)

    def add_passkey(self, by: Caller, asked: Challenge | None, counter: int) -> Passkey:
        challenge = self._own(by, asked, "ADD")
        by.prove(self.now)
        self._has_room(by.who)
        self._pay(by.who)
        challenge.used = True
        made = Passkey(counter, self.second)
        by.who.passkeys.append(made)
        self._put(Record(by.who.account, "PASSKEY_ADDED", by.who.name, by.who.name, by=by.shown))
        return made

    def remove_passkey(self, by: Caller, passkey: Passkey) -> Outcome:
        """Remove a passkey, and end the sessions that it started but for the one it is done in."""
        if passkey not in by.who.passkeys:
            raise Refused(404)
        by.prove(self.now)
        if len(by.who.passkeys) == 1:
            raise Refused(409)
        by.who.passkeys.remove(passkey)
        by.who.sessions = [it for it in by.who.sessions if it.passkey is not passkey or it is by.session]
        return self._of_oneself(by, "PASSKEY_REMOVED")

    def sign_out(self, by: Caller, session: Session | None) -> Outcome:
        """End one of the caller's sessions."""
        if session is not by.session:
            by.prove(self.now)
        if session is None or session not in by.who.sessions:
            raise Refused(404)
        by.who.sessions.remove(session)
        return self._of_oneself(by, "SIGNED_OUT")

    def sign_out_everywhere(self, by: Caller) -> Outcome:
        by.who.sessions = []
        return self._of_oneself(by, "SIGNED_OUT")

    def _of_oneself(self, by: Caller, action: str) -> Outcome:
        record = Record(by.who.account, action, by.who.name, by.who.name, by=by.shown)
        self._put(record)
        return Outcome(200, record=record)

    def _challenge(self, purpose: str, whom: Someone | None = None, proof: Any = None) -> Challenge:
        return Challenge(purpose, self.second + CHALLENGE, whom, whom.stay if whom else None, proof)

    def _good(self, asked: Challenge | None, purpose: str) -> Challenge:
        if asked is None or asked.used or asked.purpose != purpose or self.now >= asked.until:
            raise Refused(400)
        return asked

    def _own(self, by: Caller, asked: Challenge | None, purpose: str) -> Challenge:
        challenge = self._good(asked, purpose)
        if challenge.proof is not by.session or challenge.stay is not by.who.stay:
            raise Refused(400)
        return challenge

    def _right(self, asked: Challenge, signed: Challenge | None, passkey: Passkey, counter: int) -> None:
        """Refuse a signature that is of another challenge. One whose counter has not risen is by a copy."""
        if signed is not asked or ((counter or passkey.counter) and counter <= passkey.counter):
            raise Refused(401)

    def _touched(self, asked: Challenge, signed: Challenge | None, passkey: Passkey, counter: int) -> None:
        """Use a signature up. Each use of a passkey is paid for half a minute, and not too far ahead."""
        self._right(asked, signed, passkey, counter)
        paid = max(passkey.paid, self.second) + TOUCH_PAUSE
        if self.allowed and paid > self.second + TOUCH_PAUSE * self.allowed.touches:
            raise Refused(429)
        passkey.paid = paid
        passkey.counter = counter
        passkey.used = self.second
        asked.used = True

    def _has_room(self, person: Someone) -> None:
        if len(person.passkeys) >= MAX_PASSKEYS:
            raise Refused(409)

    def _start(self, who: Someone, passkey: Passkey, action: str) -> Session:
        """Sign somebody in. With one browser more than five, another is signed out: one of the same passkey,
        or where it has none, any; the one used the longest ago.
        """
        new = Session(passkey, self.second, self.second, self.second)
        live = sorted((it for it in who.sessions if not it.over(self.now)), key=lambda it: it.seen)
        if len(live) == MAX_SESSIONS:
            live.remove(next((it for it in live if it.passkey is passkey), live[0]))
        who.sessions = [*live, new]
        self._put(Record(who.account, action, who.name, who.name, by=SHOWN[action]))
        return new

    # Accounts

    def open_account(self, account: str, body: dict[str, Any]) -> Outcome:
        self._names_free(body, account)
        owner = Someone(body["username"], account, body["email"], "OWNER", False, body["username"])
        key = self._give(owner, "USER_MANAGEMENT", {})
        self.all[owner.name] = owner
        owner.created = self.opened[account] = self.second
        self.accounts[account] = body["accountName"]
        outcome = Outcome(200, made=[key], of=owner)
        self._put(Record(account, "ACCOUNT_CREATED", "", owner.name, [("GENERATED", "USER_MANAGEMENT")]))
        return outcome

    def change_account(
        self, by: Caller, body: dict[str, Any], read: dict[str, Any] | None = None, *, stale: bool = False
    ) -> Outcome:
        """Change an account's name, switches and policy; only what loosens nothing is always possible."""
        by.prove(self.now)
        account = by.who.account
        self._as_read(read, self.fixed(account))
        if stale:
            raise Refused(409)
        old = self.settings(account)
        new = {**old, **body}
        if new == old:
            return Outcome(200, old)
        looser = (new["machinesManageOwners"] and not old["machinesManageOwners"]) or (
            old["revokeLeakedKeys"] and not new["revokeLeakedKeys"]
        )
        before, after = old["revokeInactiveAfterDays"], new["revokeInactiveAfterDays"]
        looser = looser or (before is not None and (after is None or after > before))
        if looser or new["name"] != old["name"]:
            paid = self.account_changes.setdefault(account, [])
            paid.append(self._earned(paid))
        self.accounts[account] = new["name"]
        for accounts, there in (
            (self.machines_run_owners, new["machinesManageOwners"]),
            (self.leaked_keys_stay, not new["revokeLeakedKeys"]),
        ):
            (accounts.add if there else accounts.discard)(account)
        self.unused_days[account] = after
        record = Record(account, "ACCOUNT_UPDATED", by.who.name, "", by=by.shown)
        self._put(record)
        return Outcome(200, new, record=record)

    def fixed(self, account: str) -> dict[str, Any]:
        """What is shown of an account, and cannot be changed with its settings."""
        return {
            "account": account,
            "owners": self.owners(account),
            "createdAt": moment(self.opened[account]),
        }

    def counts(self, account: str) -> dict[str, int]:
        """How many of each an account has."""
        people, machines = (len(self.members(account, machines=machines)) for machines in (False, True))
        return {"userCount": people, "serviceUserCount": machines}

    def settings(self, account: str) -> dict[str, Any]:
        return {
            "name": self.accounts[account],
            "machinesManageOwners": account in self.machines_run_owners,
            "revokeLeakedKeys": account not in self.leaked_keys_stay,
            "revokeInactiveAfterDays": self.unused_days.get(account),
        }

    # The policy on what is not used: a passkey ends by it, once its person was notified twice

    def sweep_passkeys(self) -> None:
        """Do what the daily function does about passkeys. About keys it is told nowhere here."""
        for who in self.all.values():
            for passkey in list(who.passkeys):
                self._sweep_passkey(who, passkey, self.unused_days.get(who.account))

    def mail_goes_out(self) -> None:
        """Send what people have to be notified about ends."""
        for who in self.all.values():
            for passkey in who.passkeys:
                for told in (passkey.announced.first, passkey.announced.last) if passkey.announced else ():
                    if told is not None and told.mailed is None:
                        told.mailed = self.second

    def _sweep_passkey(self, who: Someone, passkey: Passkey, days: int | None) -> None:
        now, said = self.second, passkey.announced
        due = None if days is None else max(passkey.made, passkey.used or 0) + days * DAY
        if said is not None and (due is None or due > said.ends + DAY):
            said = passkey.announced = None  # it was used, or the policy is another: all starts anew
        if due is None:
            return
        if said is None:
            ends = max(due, now + 10 * DAY)
            if ends < now + 11 * DAY:  # by tomorrow it would be too late
                passkey.announced = Announced(ends, Told())
                self._put(Record(who.account, "PASSKEY_ENDING", "", who.name))
            return
        ends = max(due, said.ends)
        if said.last is None:
            if ends < now + 2 * DAY:
                said.ends, said.last = max(ends, now + DAY), Told()
                self._put(Record(who.account, "PASSKEY_ENDING", "", who.name))
        elif now >= ends and said.first.ago(now) >= 10 * DAY - HOUR and said.last.ago(now) >= DAY - HOUR:
            who.passkeys.remove(passkey)
            self._put(Record(who.account, "PASSKEY_REMOVED", "", who.name))

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
        self._pay_all(holder, own=True, account=True, names=False)

    def _pay_all(self, holder: Someone, *, own: bool, account: bool, names: bool) -> None:
        """Pay for a change from the budgets that it has to do with: all of them, or none.

        Names for people have budgets of their own, a fifth as large for an account.
        """
        spent = [it for it, counts in ((holder.changes, own), (holder.renamed, names)) if counts]
        until = [self._earned(it) for it in spent]
        self._pay_account(holder.account, account=account, names=names)
        for paid, then in zip(spent, until, strict=True):
            paid.append(then)

    def _pay_account(self, account_id: str, *, account: bool = True, names: bool = False) -> None:
        if not self.allowed:
            return
        most = {"": self.allowed.a_minute, "names": max(self.allowed.a_minute // 5, 1)}
        counted = [it for it, counts in (("", account), ("names", names)) if counts]
        minutes = {it: (account_id + it, self.second // 60) for it in counted}
        if any(self.minutes.get(minute, 0) >= most[it] for it, minute in minutes.items()):
            raise Refused(429)
        for minute in minutes.values():
            self.minutes[minute] = self.minutes.get(minute, 0) + 1

    def _pay_resumption(self, by: Caller) -> None:
        """Pay for it from the account's budget and, ten in a minute, from that of whoever resumes."""
        mine = (f"{by.who.account} resumed by {by.who.name}", self.second // 60)
        if self.minutes.get(mine, 0) >= 10:
            raise Refused(429)
        self._pay_account(by.who.account)
        self.minutes[mine] = self.minutes.get(mine, 0) + 1

    def _send_invitation(self, person: Someone) -> None:
        sent = self.invited.setdefault((person.account, fold(person.email)), [])
        if self.allowed is None:
            return
        self._inbox(sent, self.allowed.invitation_pause, self.allowed.invitations_a_day)
        to_all = [
            at for (account, _), each in self.invited.items() if account == person.account for at in each
        ]
        if len(self._today(to_all)) >= self.allowed.invitations_of_all:
            raise Refused(429)
        self._pay_account(person.account)
        sent.append(self.second)

    def _inbox(self, sent: list[int], pause: int, a_day: int) -> None:
        if (sent and self.second - sent[-1] < pause) or len(self._today(sent)) >= a_day:
            raise Refused(429)

    def _today(self, times: list[int]) -> list[int]:
        return [at for at in times if at // DAY == self.second // DAY]

    def _ask(self, who: str, most: int) -> None:
        minute = (who, self.second // 60)
        if self.asked.get(minute, 0) >= most:
            raise Refused(429)
        self.asked[minute] = self.asked.get(minute, 0) + 1

    def searches(self, by: Caller) -> None:
        """Count that somebody looks for a key."""
        if self.allowed:
            self._ask(f"{by.who.account} {by.who.name}", self.allowed.searches)

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

    def _may_touch(self, by: Caller, *roles: str) -> None:
        """A machine changes no OWNER, unless the account lets machines do so."""
        if by.who.machine and "OWNER" in roles and by.who.account not in self.machines_run_owners:
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
            Secret(seen_by=seen_by, shown_to=shown_to, made=self.second),
            ends=body.get("ends"),
            born=self.second,
            offices=list(body.get("allowedNetworks", [])),
        )
        if key.ends is None and kind in LIFE_DAYS:
            key.life = LIFE_DAYS[kind]
            key.ends = self.second + key.life * DAY
        holder.keys[kind] = key
        return key

    def _may_be_so(self, kind: str, body: dict[str, Any], since: int) -> None:
        """Refuse a key that works from everywhere or for longer than one of its kind may."""
        if kind in NEEDS_NETWORKS and not body.get("allowedNetworks"):
            raise Refused(400)
        ends = body.get("ends")
        if ends is not None and kind in LIFE_DAYS and ends > since + LIFE_DAYS[kind] * DAY:
            raise Refused(400)

    def _lower(self, holder: Someone, role: str) -> list[tuple[str, str]]:
        lower = ROLES.index(role) < ROLES.index(holder.role)
        lost = [kind for kind in holder.keys if lower and kind not in MAY_HOLD[role]]
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
        record = Record(subject.account, action, by.who.name, subject.name, changes or [], by.shown)
        self._put(record)
        return Outcome(status, made=made or [], record=record, of=of or subject)

    def _put(self, record: Record) -> None:
        self.records.append(record)


def _born(inviter: Someone) -> int | None:
    key = inviter.keys.get("USER_MANAGEMENT")
    return key.born if key is not None else None


def _invitation(by: Caller, whom: str) -> Invitation:
    if by.who.name == whom:
        return Invitation(by.who, by.who.stay)
    if by.session is not None:
        if by.session.passkey not in by.who.passkeys:
            raise Refused(409)
        return Invitation(by.who, by.who.stay, passkey=by.session.passkey)
    return Invitation(by.who, by.who.stay, born=_born(by.who))
