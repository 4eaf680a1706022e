"""The machine of ``random_calls``, whose people visit the console too: passkeys, sessions, and its forms.

Three browsers, each with its cookies, and every passkey that was ever made. Each step of a browser is held
against the rulebook as each call is; after it, a session that ended is refused at the very next page.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from chalicelib.rules import key_format
from tests.concurrency.random_calls import (
    MACHINES,
    PEOPLE,
    SECRET,
    TICK,
    Desk,
    Machine,
    _anybody,
)
from tests.support.api_client import Key
from tests.support.browser import Browser, Page
from tests.support.passkeys import SoftPasskey
from tests.support.reference_model import (
    AT_THE_OFFICE,
    DAY,
    ELSEWHERE,
    MAY_HOLD,
    OFFICE,
    ROLES,
    TYPES,
    Caller,
    Challenge,
    Outcome,
    Passkey,
    Refused,
    Secret,
    Session,
    Someone,
    Wish,
)

Plan = Callable[[Desk], Outcome]
Guard = Callable[[Caller], None]


@dataclass(eq=False)
class Seat:
    """A browser, with the session, the challenge and the wish for a passkey that its cookies have."""

    browser: Browser
    session: Session | None = None
    challenge: Challenge | None = None
    wish: Wish | None = None
    asked: str = ""
    """What the challenge is, as the browser was told."""


@dataclass(eq=False)
class Touch:
    """What a passkey made of a challenge."""

    passkey: Passkey
    challenge: Challenge | None
    counter: int
    sent: dict[str, Any]


class Visits(Machine):
    """Calls and visits at random."""

    def __init__(self) -> None:
        super().__init__()
        self.seats = [Seat(Browser(self.stack, source_ip=ip)) for ip in (ELSEWHERE, ELSEWHERE, AT_THE_OFFICE)]
        self.soft: dict[Passkey, SoftPasskey] = {}
        self.touches: list[Touch] = []
        self.codes: list[tuple[str, str]] = []
        self.wishes: list[tuple[Someone, Wish]] = []
        self.cookies: dict[Session, str] = {}
        """The cookie of every session there ever was."""
        self.open: set[Session] = set()

    @initialize(tight=st.booleans())
    def begin(self, tight: bool) -> None:
        super().begin(tight)
        for seat, username in zip(self.seats, ("ada", "ben", "zoe"), strict=True):
            key = next(it for it in self.made if it.username == username)
            self.ask(seat, key)
            self.mail_code(-1)
            self.enrol(seat, *self.codes[-1], counts=username == "ben")

    # Getting in

    @rule(
        data=st.data(),
        odd=st.sampled_from([*[""] * 8, "late", "again", "copy", "elsewhere", "without asking"]),
    )
    def sign_in(self, data: st.DataObject, odd: str) -> None:
        seat, passkey = self.seat(data), self.passkey(data)
        if odd != "without asking":
            self.ask_browser(seat, "sign-in-begin", {}, self.book.begin_sign_in)
        touch = self.touch(data, seat, passkey, odd)
        if odd == "elsewhere":
            seat = self.seat(data)
        self.finish_sign_in(seat, touch)
        if odd == "again":
            self.finish_sign_in(seat, touch)

    def finish_sign_in(self, seat: Seat, touch: Touch) -> None:
        self.enters(
            seat,
            "sign-in-finish",
            touch.sent,
            lambda: self.book.finish_sign_in(seat.challenge, touch.challenge, touch.passkey, touch.counter),
        )

    @rule(data=st.data(), odd=st.sampled_from([*[""] * 8, "late", "again", "copy", "another's"]))
    def confirm(self, data: st.DataObject, odd: str) -> None:
        seat = self.signed_in(data, _anybody)
        passkey = self.passkey(data, self.whose(seat) if odd != "another's" else None)
        begun = self.ask_browser(
            seat, "confirm-begin", {}, lambda: self.book.begin_confirmation(self.book.enter(seat.session))
        )
        if begun is None and odd != "again":
            return
        touch = self.touch(data, seat, passkey, odd)
        for _ in range(2 if odd == "again" else 1):
            self.finish(
                seat,
                "confirm-finish",
                touch.sent,
                lambda: self.book.confirm(
                    self.book.enter(seat.session),
                    seat.challenge,
                    touch.challenge,
                    touch.passkey,
                    touch.counter,
                ),
            )

    @rule(data=st.data(), late=st.sampled_from([*[0] * 8, 300]), counts=st.booleans())
    def activate_in_browser(self, data: st.DataObject, late: int, counts: bool) -> None:
        """Take an invitation up with a passkey: one that is open, most often."""
        opened = {name: it.open for name, it in self.book.all.items() if it.open}
        good = [(name, it) for name, it in self.tokens if name in opened and it in opened[name].tokens]
        tokens = [*good * 8, *self.tokens, ("cal", key_format.new_token())]
        username, token = data.draw(st.sampled_from(tokens), "token")
        seat = self.seat(data)
        begun = self.ask_browser(
            seat,
            "activate-begin",
            {"username": username, "token": token},
            lambda: self.book.begin_activation(username, token),
        )
        if begun is None:
            return
        self.stack.clock.forward(late)
        if data.draw(st.integers(0, 9), "another token") == 9:
            token = data.draw(st.sampled_from(tokens), "other token")[1]
        soft = self.new_passkey(counts)
        self.enters(
            seat,
            "activate-finish",
            {"token": token, "name": "", "passkey": soft.create(begun)},
            lambda: self.book.activate_in_browser(seat.challenge, token, soft.counter),
            soft,
        )

    @rule(data=st.data())
    def ask_for_code(self, data: st.DataObject) -> None:
        """Ask for a code by any key: of a person or a machine, that manages or does not."""
        live = [it for it in self.made if it in self.living]
        people = [it for it in live if not self.book.all[it.username.lower()].machine]
        wrong = Key("ada", key_format.new_key())
        key = data.draw(st.sampled_from([*people * 3, *live, *self.dead[-3:], wrong]), "key")
        seat = self.seat(data)
        asked = self.ask(seat, key)
        if asked and data.draw(st.integers(0, 3), "mailed at once"):
            self.mail_code(-1)
            if data.draw(st.booleans(), "used at once"):
                self.enrol(seat, *self.codes[-1], counts=data.draw(st.booleans(), "counts"))

    @rule(data=st.data(), newest=st.booleans())
    def mail_a_code(self, data: st.DataObject, newest: bool) -> None:
        last = len(self.wishes) - 1
        self.mail_code(last if newest else data.draw(st.integers(0, last)))

    @rule(data=st.data(), late=st.sampled_from([*[0] * 8, 300]))
    def enrol_by_code(self, data: st.DataObject, late: int) -> None:
        wished = {it.name: it.wish for it in self.book.all.values() if it.wish}
        good = [(name, it) for name, it in self.codes if name in wished and it in wished[name].codes]
        wrong = ("ada", key_format.new_secret(key_format.CODE_PREFIX))
        username, code = data.draw(st.sampled_from([*good * 8, *self.codes[-5:], wrong]), "code")
        if data.draw(st.integers(0, 9), "of another") == 9:
            username = data.draw(st.sampled_from([*PEOPLE, *MACHINES]))
        counts = data.draw(st.booleans(), "counts")
        asked_in = [it for it in self.seats if it.wish is not None and it.wish is wished.get(username)]
        seat = data.draw(st.sampled_from([*asked_in * 6, *self.seats]), "browser")
        self.enrol(seat, username, code, counts=counts, late=late)

    def ask(self, seat: Seat, key: Key) -> bool:
        """Ask for a code to be mailed, as the form of the page does."""
        before = self.begins()
        wish: Wish | None = None
        try:
            wish = self.book.ask_for_code(key.username, key.secret, seat.browser.source_ip)
            expected = 200
        except Refused as refused:
            expected = refused.status
        fields = {"username": key.username, "key": key.secret}
        page = seat.browser.post("enrol", fields, csrf="")
        assert page.status == expected, (key, page.words)
        self.judge_page(page, None, before)
        if wish is not None:
            seat.wish = wish
            self.wishes.append((self.book.all[key.username.lower()], wish))
        return wish is not None

    def mail_code(self, which: int) -> None:
        """Do as the mailer does with a wish: make a code, and keep its digest while it is wished for."""
        person, wish = self.wishes[which]
        found = [
            it
            for it in self.stack.items(self.stack.tables.directory)
            if it["pk"] == f"USER#{person.name}" and "enrolment" in it
        ]
        code, until = key_format.new_secret(key_format.CODE_PREFIX), int(self.stack.clock()) + 900
        is_wished = self.book.all.get(person.name) is person and person.wish is wish
        assert not is_wished or found, "a wish is kept until it is fulfilled"
        if is_wished:
            enrolment = found[0]["enrolment"]["id"]
            assert self.outbox.note_mailed(person.name, enrolment, key_format.digest(code), until)
            wish.codes[code] = until
        self.codes.append((person.name, code))

    def enrol(self, seat: Seat, username: str, code: str, *, counts: bool, late: int = 0) -> None:
        begun = self.ask_browser(
            seat,
            "enrol-begin",
            {"username": username, "code": code},
            lambda: self.book.begin_enrolment(username, code, seat.wish, seat.browser.source_ip),
        )
        if begun is None:
            return
        self.stack.clock.forward(late)
        soft = self.new_passkey(counts)
        self.enters(
            seat,
            "enrol-finish",
            {"code": code, "name": "", "passkey": soft.create(begun)},
            lambda: self.book.enrol(seat.challenge, code, seat.wish, soft.counter, seat.browser.source_ip),
            soft,
        )

    # One's own passkeys and sessions

    @rule(data=st.data(), late=st.sampled_from([*[0] * 8, 300]), counts=st.booleans())
    def add_passkey(self, data: st.DataObject, late: int, counts: bool) -> None:
        seat = self.signed_in(data, _anybody)
        begun = self.ask_browser(
            seat, "add-begin", {}, lambda: self.book.begin_addition(self.book.enter(seat.session))
        )
        if begun is None:
            return
        self.stack.clock.forward(late)
        soft = self.new_passkey(counts)
        made: list[Passkey] = []
        self.finish(
            seat,
            "add-finish",
            {"name": "", "passkey": soft.create(begun)},
            lambda: made.append(
                self.book.add_passkey(self.book.enter(seat.session), seat.challenge, soft.counter)
            ),
        )
        self.soft |= dict.fromkeys(made, soft)

    @rule(data=st.data())
    def remove_passkey(self, data: st.DataObject) -> None:
        seat = self.signed_in(data, _anybody)
        passkey = self.passkey(data, self.whose(seat))
        credential = self.soft[passkey].credential_id
        who = self.whose(seat)
        stored = self.stack.item(who.name).get("passkeys", {}) if who else {}
        ids = [id_ for id_, it in stored.items() if it["credentialId"] == credential]
        path = f"you/passkey?id={ids[0] if ids else 'none'}"
        self.press(seat, path, {}, _anybody, lambda it: it.remove_passkey(passkey))

    def state_of(self, name: str) -> str:
        """Return what a form is shown for: whatever others may have decided about a principal meanwhile."""
        it = self.stack.item(name)
        invited = "invited" if it.get("invitation") else ""
        since = it.get("suspendedAt") or invited
        return f"{it['role']} {since} {it['createdAt']} {it['displayName']}"

    def state_of_credentials(self, name: str) -> str:
        """Return what a form is shown for that ends credentials, or makes one."""
        it = self.stack.item(name)
        ids = [key["digest"] for key in it.get("keys", {}).values()]
        ids += [passkey["credentialId"] for passkey in it.get("passkeys", {}).values()]
        ids += [it["invitation"]["id"].encode()] if it.get("invitation") else []
        hashed = sha256(b"".join(sha256(one).digest() for one in sorted(map(bytes, ids)))).hexdigest()
        return f"{self.state_of(name)} {hashed[:32]}"

    def state_of_machine(self, name: str) -> str:
        """Return what the form is shown for that changes a Service User: each field that it shows."""
        it = self.stack.item(name)
        shown = {
            "id": it["id"],
            "displayName": it["displayName"],
            "description": it.get("description", ""),
            "labels": " ".join(f"{label}={value}" for label, value in sorted(it.get("labels", {}).items())),
            "role": it["role"],
            "administrators": " ".join(sorted(self.book.administrators(self.book.all[name]))),
        }
        return urlencode({field: sha256(text.encode()).hexdigest()[:16] for field, text in shown.items()})

    @rule(data=st.data(), how=st.sampled_from(["here", "here", "one of them", "everywhere"]))
    def sign_out(self, data: st.DataObject, how: str) -> None:
        seat = self.signed_in(data, _anybody)
        here = seat.session
        if how == "one of them":
            who = self.whose(seat)
            other = data.draw(st.sampled_from(who.sessions if who else [None]), "which")
            digest = sha256(other.text.encode()).digest() if other else b""
            stored = self.stack.item(who.name)["sessions"] if who else {}
            ids = [id_ for id_, it in stored.items() if it["digest"] == digest]
            path = f"you/session?id={ids[0] if ids else 'none'}"
            # What is over may be gone already: then there is no such session.
            there = other if ids else None
            self.press(seat, path, {}, _anybody, lambda it: it.sign_out(there))
            return
        path = "sign-out" if how == "here" else "you/sessions"
        page = self.press(
            seat,
            path,
            {},
            _anybody,
            lambda it: it.sign_out(here) if how == "here" else it.sign_out_everywhere(),
        )
        if page.status == 303:
            assert "__Host-session" not in seat.browser.cookies
            seat.session = None

    @rule(data=st.data(), rounds=st.sampled_from([1, 2, 4, 33]))
    def stay_signed_in(self, data: st.DataObject, rounds: int) -> None:
        """Let hours go by, in which somebody is seen every quarter of an hour."""
        seat = self.signed_in(data, _anybody)
        for _ in range(rounds):
            self.stack.clock.forward(880)
            self.visit(seat, "you", _anybody, lambda it: Outcome(200))

    @rule(seconds=st.sampled_from([59, 61, 298, 301, 840, 899, 900]))
    def sit_idle(self, seconds: int) -> None:
        self.stack.clock.forward(seconds)
        self.bury()

    # What the forms do

    @rule(
        data=st.data(),
        action=st.sampled_from(["generate", "rotate", "rotate", "restrict", "revoke"]),
        own=st.booleans(),
    )
    def change_key(self, data: st.DataObject, action: str, own: bool) -> None:
        guard = _anybody if own else Caller.staff
        seat = self.ready(data, guard)
        who = self.whose(seat)
        name = (who.name if who else "ada") if own else self.machine_of(data, who)
        whose = self.book.all.get(name)
        likely = [kind for kind in TYPES if whose and (kind in whose.keys) is (action != "generate")]
        kind = data.draw(st.sampled_from([*likely * 4, *TYPES]), "key type")
        held = whose.keys.get(kind) if whose else None
        was = f"{held.now.text[-5:]} {held.ends or ''} {' '.join(held.offices)}".strip() if held else ""
        if action == "revoke":
            key = self.stack.item(name)["keys"][kind] if held else {}
            was = f"{key['createdAt']} {bytes(key['first']).hex()}" if held else ""
        if action == "generate" and whose:
            was = (
                self.state_of_credentials(name)
                if own
                else self.stack.item(name)["version"]
                if whose.machine
                else ""
            )
        stale = data.draw(st.integers(0, 9), "stale") == 9
        meant = data.draw(st.booleans(), "meant")
        offices = data.draw(st.sampled_from([[], [OFFICE]]), "offices")
        expiry = data.draw(st.sampled_from(["keep", "never", "30"]), "expiry")
        overlap = data.draw(st.sampled_from([0, 30, 3600]), "overlap")
        fields: dict[str, Any] = {"type": kind, "was": "another" if stale else was}
        fields |= {"evenIfLockedOut": "yes"} if meant else {}
        if action in ("generate", "restrict"):
            expiry = "never" if (action, expiry) == ("generate", "keep") else expiry
            fields |= {"allowedNetworks": "\n".join(offices), "expiry": expiry}
        if action == "rotate":
            fields["overlapSeconds"] = str(overlap)

        def plan(it: Desk) -> Outcome:
            book, by = it.book, it.by
            issuing = action in ("generate", "rotate")
            holder = by.who if own else book.holder(by, name, handing_out=issuing)
            if stale:
                raise Refused(409)
            body: dict[str, Any] = {"keyType": kind, "allowedNetworks": offices}
            if expiry != "keep":
                body["ends"] = None if expiry == "never" else book.second + 30 * DAY
            match action:
                case "generate":
                    return book.generate(by, holder, body)
                case "rotate":
                    return book.rotate(by, holder, kind, overlap)
                case "restrict":
                    return book.restrict(by, holder, body, meant=meant)
            return book.revoke(by, holder, kind, meant=meant)

        self.press(seat, f"{'you' if own else f'service-users/{name}'}/{action}", fields, guard, plan)

    @rule(data=st.data(), action=st.sampled_from(["create", "edit", "edit", "delete", "suspend", "resume"]))
    def change_service_user(self, data: st.DataObject, action: str) -> None:
        seat = self.ready(data, Caller.staff)
        who = self.whose(seat)
        role = data.draw(st.sampled_from(ROLES), "role")
        if action == "create":
            username, email = self.names(data, MACHINES, ["ada"])
            body: dict[str, Any] = {"username": username, "email": email, "role": role}
            body["keyTypes"] = data.draw(st.sampled_from([[], MAY_HOLD[role][:1]]), "key types")
            fields = {**body, "expiry": "never"}
            self.press(seat, "create/service-user", fields, Caller.staff, lambda it: it.create(body))
            return
        name = self.machine_of(data, who)
        machine = self.book.all.get(name)
        there = machine is not None and machine.machine
        if action == "delete":
            typed = {"name": machine.username if machine else name}
            path = f"service-users/{name}/delete"
            self.press(seat, path, typed, Caller.staff, lambda it: it.delete(name))
            return
        if action in ("suspend", "resume"):
            path = f"service-users/{name}/{action}"
            shown = {"was": self.state_of(name) if there else ""}
            self.press(seat, path, shown, Caller.staff, lambda it: getattr(it, action)(name))
            return
        fit = [it.username for it in self.people_of(who) if it.role != "READ_ONLY"]
        some = st.lists(st.sampled_from([*fit * 4, "cal", "yan"]), min_size=1, max_size=2, unique=True)
        change = {
            "displayName": data.draw(st.sampled_from(["Worker", "Bot"]), "display name"),
            "role": role,
            "administrators": data.draw(some, "administrators"),
        }
        was = self.state_of_machine(name) if there else ""
        fields = {**change, "administrators": "\n".join(change["administrators"]), "was": was}

        def edit(it: Desk) -> Outcome:
            stored = it.book.machine(it.by, name)
            sent = {**change}  # the form sends only what is changed in it
            if change["role"] == stored.role:
                del sent["role"]
            if sorted(change["administrators"]) == sorted(self.book.administrators(stored)):
                del sent["administrators"]
            return it.update(name, sent)

        self.press(seat, f"service-users/{name}/edit", fields, Caller.staff, edit)

    @rule(
        data=st.data(),
        action=st.sampled_from(["invite", "edit", "revoke", "invite-again", "suspend", "resume"]),
    )
    def change_people(self, data: st.DataObject, action: str) -> None:
        seat = self.ready(data, Caller.runs_people)
        role = data.draw(st.sampled_from(ROLES), "role")
        if action == "invite":
            username, email = self.names(data, PEOPLE, ["bot"])
            body = {"username": username, "email": email, "role": role}
            self.press(seat, "create/user", body, Caller.runs_people, lambda it: it.invite(body))
            self.mail_at_once(data)
            return
        there = [it.name for it in self.people_of(self.whose(seat))]
        name = data.draw(st.sampled_from([*there * 6, *PEOPLE, "bot"]), "whom")
        person = self.book.all.get(name)
        display = data.draw(st.sampled_from(["A. Person", "B. Person"]), "display name")
        stale = data.draw(st.integers(0, 9), "stale") == 9
        now = self.state_of(name) if person else ""
        was = "another" if stale else now

        def edit(it: Desk) -> Outcome:
            return it.change(name, {"displayName": display, "role": role}, stale=stale)

        plans: dict[str, tuple[dict[str, str], Plan]] = {
            "edit": ({"displayName": display, "role": role, "was": was}, edit),
            "revoke": ({"name": person.username if person else name}, lambda it: it.expel(name)),
            "invite-again": (
                {"was": self.state_of_credentials(name) if person else ""},
                lambda it: it.invite_again(name),
            ),
            "suspend": ({}, lambda it: it.suspend_person(name)),
            "resume": ({"was": now}, lambda it: it.resume_person(name)),
        }
        fields, plan = plans[action]
        myself = self.whose(seat)
        leaves = action == "revoke" and myself is not None and myself.name == name
        path = "you/leave" if leaves else f"people/{name}/{action}"  # where the page of people leads to
        self.press(seat, path, fields, Caller.runs_people, plan)
        self.mail_at_once(data)

    @rule(data=st.data(), name=st.sampled_from(["Acme", "Ajax"]), switch=st.booleans(), leaks=st.booleans())
    def change_account_in_browser(self, data: st.DataObject, name: str, switch: bool, leaks: bool) -> None:
        seat = self.ready(data, Caller.runs_account)
        body = {"name": name, "machinesManageOwners": switch, "revokeLeakedKeys": leaks}
        stale = data.draw(st.integers(0, 9), "stale") == 9
        who = self.whose(seat)
        now = self.book.settings(who.account) if who else defaultdict(str)
        shown = (
            *(None, now["revokeInactiveAfterDays"], False),  # nobody sets an age or pciCompliance here
            *(not now["revokeLeakedKeys"], now["machinesManageOwners"], now["name"]),
        )
        fields = {"name": name, "was": "another" if stale else " ".join(map(str, shown))}
        fields |= {field: "yes" for field in ("machinesManageOwners", "revokeLeakedKeys") if body[field]}

        def plan(it: Desk) -> Outcome:
            return it.change_account(body, stale=stale)

        self.press(seat, "account", fields, Caller.runs_account, plan)

    @rule(data=st.data(), what=st.sampled_from(["you", "service-users", "a machine", "people", "events"]))
    def look_in_browser(self, data: st.DataObject, what: str) -> None:
        guard = {"you": _anybody, "service-users": Caller.staff, "a machine": Caller.staff}.get(
            what, Caller.reads
        )
        seat = self.signed_in(data, guard)
        name = self.machine_of(data, self.whose(seat))
        path = f"service-users/{name}" if what == "a machine" else what

        def plan(it: Desk) -> Outcome:
            return it.machine(name) if what == "a machine" else Outcome(200)

        self.visit(seat, path, guard, plan)

    # A request, and judging it

    def begins(self) -> int:
        """Let a second go by, so that no two sessions are used at the same; return what is recorded."""
        self.stack.clock.forward(1 - TICK)
        self.tick()
        return len(self.book.records)

    def ask_browser(
        self, seat: Seat, step: str, body: dict[str, str], act: Callable[[], Challenge]
    ) -> str | None:
        """Have a browser ask for a challenge; return it, None where that is refused."""
        before = self.begins()
        challenge: Challenge | None = None
        try:
            challenge = act()
            expected = 200
        except Refused as refused:
            expected = refused.status
        page = seat.browser.call(step, body)
        assert page.status == expected, (step, body, page.text)
        self.judge_page(page, None, before)
        if challenge is None:
            return None
        seat.challenge, seat.asked = challenge, page.json["challenge"]
        return seat.asked

    def finish(self, seat: Seat, step: str, body: dict[str, Any], act: Callable[[], object]) -> Page:
        """Have a browser send what a passkey made."""
        before = self.begins()
        try:
            act()
            expected = 200
        except Refused as refused:
            expected = refused.status
        page = seat.browser.call(step, body)
        assert page.status == expected, (step, page.text)
        self.after = before
        if "Set-Cookie" not in page.headers:
            self.judge_page(page, None, before)
        return page

    def enters(
        self,
        seat: Seat,
        step: str,
        body: dict[str, Any],
        act: Callable[[], Session],
        soft: SoftPasskey | None = None,
    ) -> None:
        """Have a browser send what signs it in, and take the cookie's secret over."""
        entered: list[Session] = []
        page = self.finish(seat, step, body, lambda: entered.append(act()))
        for session in entered:
            username, _, session.text = seat.browser.cookies["__Host-session"].rpartition(".")
            assert session.text not in self.seen, "no session is given twice"
            self.seen.add(session.text)
            self.cookies[session] = f"{username}.{session.text}"
            if soft is not None:
                self.soft[session.passkey] = soft
            seat.session = session
            self.judge_page(page, None, self.after)

    def press(self, seat: Seat, path: str, fields: dict[str, Any], guard: Guard, plan: Plan) -> Page:
        """Send a form: the next page, or the page that shows a key, or a refusal.

        Who is not signed in any more can still sign out.
        """
        ended = 303 if path == "sign-out" else 401
        return self.go_to(seat, guard, plan, 303, lambda: seat.browser.post(path, fields), ended)

    def visit(self, seat: Seat, path: str, guard: Guard, plan: Plan) -> Page:
        """Open a page; who is not signed in is led to the sign-in."""
        return self.go_to(seat, guard, plan, 200, lambda: seat.browser.open(path, follow=False), 303)

    def go_to(
        self, seat: Seat, guard: Guard, plan: Plan, done: int, request: Callable[[], Page], ended: int
    ) -> Page:
        before = self.begins()
        outcome: Outcome | None = None
        try:
            caller = self.book.enter(seat.session)
            caller.source_ip = seat.browser.source_ip
            guard(caller)
            outcome = plan(Desk(self.book, caller, self))
            expected = 200 if outcome.made else done
        except Refused as refused:
            expected = ended if refused.status == 401 else refused.status
        page = request()
        assert page.status == expected, (page.status, expected, page.headers.get("Location"), page.words)
        self.judge_page(page, outcome, before)
        return page

    def judge_page(self, page: Page, outcome: Outcome | None, before: int) -> None:
        assert page.headers["Cache-Control"] == "no-store"
        shown = sorted(set(SECRET.findall(page.text)))
        made = outcome.made if outcome else []
        assert len(shown) == len(made) <= 1, "the keys a page shows are the keys it made"
        for key, secret in zip(made, shown, strict=True):
            assert outcome is not None
            assert outcome.of is not None
            assert secret not in self.seen, "a secret is shown once"
            key.now.text = secret
            self.seen.add(secret)
            self.made.append(Key(outcome.of.username, secret))
        self.check_tables(self.book.records[before:])
        self.bury()

    def bury(self) -> None:
        """See, too, that a session that has just ended opens nothing more."""
        super().bury()
        live = {
            session
            for who in self.book.all.values()
            for session in who.sessions
            if not session.over(self.book.now)
        }
        for ended in sorted(self.open - live, key=lambda it: it.text):
            there = Browser(self.stack, cookies={"__Host-session": self.cookies[ended]})
            assert there.open("you", follow=False).status == 303, "a session goes on after its end"
        self.open = live

    # Whom and what a visit is about

    def seat(self, data: st.DataObject) -> Seat:
        return data.draw(st.sampled_from(self.seats), "browser")

    def signed_in(self, data: st.DataObject, guard: Guard) -> Seat:
        """Choose a browser: most often one in which somebody is signed in who may do it.

        Where there is none, somebody who may signs in, if anybody who may has a passkey.
        """
        able = [it for it in self.seats if (who := self.whose(it)) and self.lets(guard, who)]
        if not able and data.draw(st.integers(0, 4), "signs in"):
            fit = [
                passkey for who in self.book.all.values() for passkey in who.passkeys if self.lets(guard, who)
            ]
            if fit:
                seat = self.seat(data)
                self.ask_browser(seat, "sign-in-begin", {}, self.book.begin_sign_in)
                passkey = data.draw(st.sampled_from(fit), "passkey")
                self.finish_sign_in(seat, self.touch(data, seat, passkey, ""))
                return seat
        some = [it for it in self.seats if self.whose(it)]
        crowds = [it for it in [able] * 8 + [some] + [self.seats] if it]
        crowd: list[Seat] = data.draw(st.sampled_from(crowds), "browsers")
        return data.draw(st.sampled_from(crowd), "browser")

    def ready(self, data: st.DataObject, guard: Guard) -> Seat:
        """Choose a browser, most often one whose person has just proved that it is them."""
        seat = self.signed_in(data, guard)
        who = self.whose(seat)
        if who is None or seat.session is None or data.draw(st.integers(0, 2), "proved") == 0:
            return seat
        if self.book.now < seat.session.proved + 290:
            return seat
        passkey = who.passkeys[0]
        begun = self.ask_browser(
            seat, "confirm-begin", {}, lambda: self.book.begin_confirmation(self.book.enter(seat.session))
        )
        if begun is not None:
            touch = self.touch(data, seat, passkey, "")
            self.finish(
                seat,
                "confirm-finish",
                touch.sent,
                lambda: self.book.confirm(
                    self.book.enter(seat.session), seat.challenge, touch.challenge, passkey, touch.counter
                ),
            )
        return seat

    def whose(self, seat: Seat) -> Someone | None:
        """Return who is signed in in a browser, without a visit."""
        for who in self.book.all.values():
            if (
                seat.session in who.sessions
                and seat.session
                and not seat.session.over(self.stack.clock() + 1)
            ):
                return who
        return None

    def lets(self, guard: Guard, who: Someone) -> bool:
        try:
            guard(Caller(who, "USER_MANAGEMENT", Secret()))
        except Refused:
            return False
        return True

    def passkey(self, data: st.DataObject, who: Someone | None = None) -> Passkey:
        """Choose a passkey: of one person, if they have any, or most often one that signs in."""
        if who is not None and who.passkeys:
            return data.draw(st.sampled_from(who.passkeys), "passkey")
        live = [it for person in self.book.all.values() for it in person.passkeys]
        return data.draw(st.sampled_from([*live * 4, *self.soft]), "passkey")

    def new_passkey(self, counts: bool) -> SoftPasskey:
        return SoftPasskey(counter=7 if counts else 0)

    def touch(self, data: st.DataObject, seat: Seat, passkey: Passkey, odd: str) -> Touch:
        """Have a passkey sign what a browser was asked last; ``odd`` says what is wrong with it."""
        soft = self.soft[passkey]
        real = soft.counter
        if odd == "copy":
            soft.counter = max(soft.counter - data.draw(st.integers(1, 3), "behind"), 0)
        sent = soft.get(seat.asked)
        counter, soft.counter = soft.counter, max(real, soft.counter)
        if odd == "late":
            self.stack.clock.forward(300)
        if odd == "without asking" and self.touches:
            return data.draw(st.sampled_from(self.touches[-4:]), "an old signature")
        touch = Touch(passkey, seat.challenge, counter, sent)
        self.touches.append(touch)
        return touch

    def machine_of(self, data: st.DataObject, who: Someone | None) -> str:
        there = [
            it.name for it in self.book.all.values() if it.machine and (not who or it.account == who.account)
        ]
        return data.draw(st.sampled_from([*there * 8, *MACHINES]), "machine")

    def people_of(self, who: Someone | None) -> list[Someone]:
        return [
            it
            for it in self.book.all.values()
            if not it.machine and (who is None or it.account == who.account)
        ]
