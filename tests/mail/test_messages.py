"""The emails' words, and that no value in them is more than words."""

import email
import email.policy
import json
import re
import shlex
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.mail import messages
from chalicelib.mail.messages import EmailContent, EmailContext, email_content, email_of, plain, unlinked
from chalicelib.mail.mime import is_address, message
from chalicelib.rules.model import (
    Action,
    Actor,
    Audience,
    Cause,
    Change,
    Event,
    KeyChange,
    Kind,
    ShownKey,
    Subject,
)
from chalicelib.rules.notifications import ADMINISTRATOR, EVERY_OWNER, OWNER, PERSON, Recipient
from chalicelib.rules.roles import KeyType, Role
from deploy import slim
from tests.support.catalogue import LABELS, MEANINGS, ROLES
from tests.support.mail import ALICE, BEA, CI_BOT, PUBLIC_URL, SENDER, Page, generated, make_event, revoked

NOW = 1_900_000_000
READ_ONLY, CLUSTER_ADMIN, OWNER_ROLE = (LABELS[role] for role in ROLES)
"""What the emails say for the roles."""
TOKEN = "sui_" + "x7" * 24 + "Q"
BOB = Recipient("bob", "Bob", "bob@people.example", ADMINISTRATOR, Role.CLUSTER_ADMIN)
ALICE_TOO = Recipient("alice", "Alice", "alice@people.example", ADMINISTRATOR, Role.CLUSTER_ADMIN)
BOSS = Recipient("boss", "Boss", "boss@people.example", OWNER, Role.OWNER)
CHIEF = Recipient("chief", "Chief", "chief@people.example", EVERY_OWNER, Role.OWNER)
SELF = Recipient("bea", "Bea", "bea@people.example", PERSON)
HERSELF = Actor(Kind.USER, "Bea")
POLICY = Actor(Kind.POLICY)
SETTING = EmailContext(SENDER, PUBLIC_URL, "Demo", NOW + 2.5)

DELETE_KEY = f"curl -X DELETE {PUBLIC_URL}/v1/service-users/ci-bot/api-keys"
ROTATE_OWN = f"curl -X POST {PUBLIC_URL}/v1/api-keys/rotate"


def rotated(until: int | None = None) -> KeyChange:
    return KeyChange(
        Change.ROTATED, KeyType.PROVISIONING, "k2LmQ", previous_last5="7ac6a", previous_until=until
    )


def ending(at: int, key_type: KeyType = KeyType.MONITORING) -> KeyChange:
    return KeyChange(Change.ENDING, key_type, "7ac6a", ends_at=at)


def own(**fields: Any) -> Event:
    return make_event(**{"subject": BEA, "actor": HERSELF, "audience": Audience.PERSON, **fields})


def of_owner(**fields: Any) -> Event:
    """An event of the OWNER Bea, as all OWNERs are notified of it."""
    return make_event(**{"subject": BEA, "audience": Audience.PERSON_AND_OWNERS, **fields})


def changed() -> KeyChange:
    return KeyChange(Change.UPDATED, KeyType.MONITORING, "7ac6a")


def kept() -> KeyChange:
    return KeyChange(Change.LEAKED, KeyType.MONITORING, "7ac6a")


def leaked(**fields: Any) -> Event:
    told = {
        "action": Action.API_KEY_LEAKED,
        "actor": Actor(Kind.LEAK_REPORT),
        "keys": (revoked(),),
        "cause": Cause.LEAKED,
        "reason": "It was found at https://github.com/acme/app",
        "audience": Audience.ADMINISTRATORS_AND_OWNERS,
    }
    return make_event(**{**told, **fields})


def three() -> tuple[KeyChange, ...]:
    types = (KeyType.MONITORING, KeyType.PROVISIONING_READONLY, KeyType.PROVISIONING)
    return tuple(generated(f"{number}aaaa", key_type) for number, key_type in enumerate(types))


def all_revoked(holders: tuple[str, ...] = ("ci-bot", "web"), count: int = 10_000) -> Event:
    return make_event(
        action=Action.ALL_API_KEYS_REVOKED,
        keys=(),
        subject=BEA,
        actor=Actor(Kind.OPERATOR),
        audience=Audience.PERSON,
        holders=holders,
        holder_count=count,
    )


def failing(action: Action) -> Event:
    return make_event(
        action=action,
        keys=(),
        subject=BEA,
        actor=Actor(Kind.EMAIL_FEEDBACK),
        audience=Audience.OWNERS,
        administrators={},
        reason="An email to them bounced (event 01ba)",
    )


EVERY: dict[str, tuple[Event, Recipient, EmailContext]] = {
    "generated": (make_event(), BOB, SETTING),
    "created": (make_event(action=Action.SERVICE_USER_CREATED, keys=three()), BOB, SETTING),
    "rotated again": (
        make_event(action=Action.API_KEY_ROTATED, keys=(replace(rotated(), also_ended="older"),)),
        BOB,
        SETTING,
    ),
    "revoked with its predecessor": (
        make_event(action=Action.API_KEY_REVOKED, keys=(replace(revoked(), also_ended="older"),)),
        BOB,
        SETTING,
    ),
    "rotated": (make_event(action=Action.API_KEY_ROTATED, keys=(rotated(),)), BOB, SETTING),
    "overlap": (make_event(action=Action.API_KEY_ROTATED, keys=(rotated(NOW + 60),)), BOB, SETTING),
    "revoked": (make_event(action=Action.API_KEY_REVOKED, keys=(revoked(),)), BOB, SETTING),
    "leaked": (leaked(), BOB, SETTING),
    "leaked, to an OWNER": (leaked(), CHIEF, SETTING),
    "leaked, and kept": (leaked(keys=(kept(),)), BOB, SETTING),
    "own leaked": (leaked(subject=BEA, audience=Audience.PERSON_AND_OWNERS), SELF, SETTING),
    "own leaked, and kept": (leaked(subject=BEA, keys=(kept(),)), SELF, SETTING),
    "a User's leaked": (leaked(subject=BEA), CHIEF, SETTING),
    "a User's leaked, and kept": (leaked(subject=BEA, keys=(kept(),)), CHIEF, SETTING),
    "deleted": (
        make_event(action=Action.SERVICE_USER_DELETED, keys=(revoked(), revoked("b"))),
        BOB,
        SETTING,
    ),
    "deleted, without a key": (make_event(action=Action.SERVICE_USER_DELETED, keys=()), BOB, SETTING),
    "leaked predecessor": (leaked(keys=(replace(revoked(), previous_last5="bbbbb"),)), BOB, SETTING),
    "lowered": (
        make_event(
            action=Action.SERVICE_USER_UPDATED,
            keys=(revoked(), revoked("bbbbb", KeyType.PROVISIONING)),
            changes={"role": ("OWNER", "READ_ONLY")},
        ),
        BOB,
        SETTING,
    ),
    "ending": (
        make_event(action=Action.API_KEY_ENDING, keys=(ending(NOW + 864_000),), actor=POLICY),
        BOB,
        SETTING,
    ),
    "invited": (
        make_event(action=Action.USER_INVITED, keys=(), subject=BEA, audience=Audience.PERSON),
        SELF,
        SETTING._replace(token=TOKEN, role=Role.CLUSTER_ADMIN),
    ),
    "own": (own(), SELF, SETTING),
    "own rotated": (own(action=Action.API_KEY_ROTATED, keys=(rotated(),)), SELF, SETTING),
    "own lowered": (
        own(
            action=Action.USER_UPDATED,
            keys=(revoked(),),
            actor=ALICE,
            changes={"role": ("OWNER", "READ_ONLY")},
        ),
        SELF,
        SETTING,
    ),
    "activated": (own(action=Action.USER_ACTIVATED), SELF, SETTING),
    "opened": (own(action=Action.ACCOUNT_CREATED, actor=Actor(Kind.OPERATOR)), SELF, SETTING),
    "access": (own(action=Action.USER_REVOKED, keys=(revoked(),), actor=ALICE), SELF, SETTING),
    "access without keys": (own(action=Action.USER_REVOKED, keys=(), actor=ALICE), SELF, SETTING),
    "bounced": (failing(Action.EMAIL_BOUNCED), CHIEF, SETTING),
    "complained": (failing(Action.EMAIL_COMPLAINT), CHIEF, SETTING),
    "suspended": (make_event(action=Action.SERVICE_USER_SUSPENDED, keys=()), BOB, SETTING),
    "resumed": (make_event(action=Action.SERVICE_USER_RESUMED, keys=()), BOB, SETTING),
    "suspended person": (own(action=Action.USER_SUSPENDED, keys=(), actor=ALICE), SELF, SETTING),
    "resumed person": (own(action=Action.USER_RESUMED, keys=(), actor=ALICE), SELF, SETTING),
    "owner suspended": (of_owner(action=Action.USER_SUSPENDED, keys=()), CHIEF, SETTING),
    "owner resumed": (of_owner(action=Action.USER_RESUMED, keys=()), CHIEF, SETTING),
    "role": (
        own(action=Action.USER_UPDATED, keys=(), actor=ALICE, changes={"role": ("OWNER", "READ_ONLY")}),
        SELF,
        SETTING,
    ),
    "owner invited": (
        of_owner(action=Action.USER_INVITED, keys=(), changes={"role": ("", "OWNER")}),
        CHIEF,
        SETTING,
    ),
    "owner activated": (of_owner(action=Action.USER_ACTIVATED, actor=HERSELF), CHIEF, SETTING),
    "owner raised": (
        of_owner(action=Action.USER_UPDATED, keys=(), changes={"role": ("CLUSTER_ADMIN", "OWNER")}),
        CHIEF,
        SETTING,
    ),
    "owner lowered": (
        of_owner(action=Action.USER_UPDATED, keys=(revoked(),), changes={"role": ("OWNER", "READ_ONLY")}),
        CHIEF,
        SETTING,
    ),
    "owner revoked": (
        of_owner(action=Action.USER_REVOKED, keys=(revoked(),), changes={"role": ("OWNER", "")}),
        CHIEF,
        SETTING,
    ),
    "owner let in": (
        of_owner(action=Action.API_KEY_ROTATED, keys=(rotated(),), actor=Actor(Kind.OPERATOR)),
        CHIEF,
        SETTING,
    ),
    "administrators": (
        make_event(
            action=Action.SERVICE_USER_UPDATED,
            keys=(),
            changes={"administrators": ("bob, carol", "alice, bob")},
        ),
        BOB,
        SETTING,
    ),
    "administrators and role": (
        make_event(
            action=Action.SERVICE_USER_UPDATED,
            keys=(revoked(),),
            changes={"administrators": ("bob, carol", "alice"), "role": ("OWNER", "READ_ONLY")},
        ),
        BOB,
        SETTING,
    ),
    "raised": (
        make_event(
            action=Action.SERVICE_USER_UPDATED, keys=(), changes={"role": ("READ_ONLY", "CLUSTER_ADMIN")}
        ),
        BOB,
        SETTING,
    ),
    "loosened": (
        make_event(
            action=Action.API_KEY_UPDATED,
            keys=(changed(),),
            changes={"allowedNetworks": ("203.0.113.0/24 2001:db8::/32", ""), "expiresAt": (f"{NOW}", "")},
        ),
        BOB,
        SETTING,
    ),
    "ends soon": (
        make_event(
            action=Action.API_KEY_UPDATED, keys=(changed(),), changes={"expiresAt": ("", f"{NOW + 5}")}
        ),
        BOB,
        SETTING,
    ),
    "own changed": (
        own(
            action=Action.API_KEY_UPDATED,
            keys=(changed(),),
            changes={"allowedNetworks": ("", "203.0.113.0/24")},
        ),
        SELF,
        SETTING,
    ),
    "all revoked": (all_revoked(), SELF, SETTING),
    "all revoked, of one": (all_revoked(("ci-bot",), 1), SELF, SETTING),
    "policy": (
        make_event(
            action=Action.ACCOUNT_UPDATED,
            keys=(),
            subject=Subject(Kind.ACCOUNT, display_name="Demo"),
            audience=Audience.OWNERS,
            changes={
                "name": ("Demo", "Demo Two"),
                "maxKeyAgeDays": ("90", ""),
                "revokeInactiveAfterDays": ("90", "120"),
                "pciCompliance": ("true", "false"),
                "machinesManageOwners": ("false", "true"),
            },
        ),
        CHIEF,
        SETTING,
    ),
}


def parsed(event: Event, recipient: Recipient, setting: EmailContext) -> tuple[EmailMessage, str, str]:
    """The message as a mail client has it: with its text and its HTML."""
    raw = message(event, recipient, setting).as_bytes()
    made = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(made, EmailMessage)
    text, html = made.get_body(("plain",)), made.get_body(("html",))
    assert text is not None
    assert html is not None
    return made, text.get_content(), html.get_content()


def commands(text: str) -> list[str]:
    """The commands of a text, each as one line, as a shell would join it."""
    joined = text.replace("\r\n", "\n").replace(" \\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.startswith("    curl")]


# What each one says


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("generated", "API key generated: MONITORING …7ac6a for ci-bot (Demo)"),
        ("created", "API keys generated: MONITORING …0aaaa and 2 more for ci-bot (Demo)"),
        ("rotated", "API key rotated: PROVISIONING …k2LmQ replaces …7ac6a for ci-bot (Demo)"),
        ("revoked", "API key revoked: MONITORING …7ac6a for ci-bot (Demo)"),
        ("leaked", "API key leaked, and revoked: MONITORING …7ac6a of ci-bot (Demo)"),
        ("leaked, and kept", "API key leaked, and works still: MONITORING …7ac6a of ci-bot (Demo)"),
        ("deleted, without a key", "Service User deleted: ci-bot (Demo)"),
        ("own leaked", "Your API key leaked, and revoked: MONITORING …7ac6a (Demo)"),
        ("a User's leaked", "API key leaked, and revoked: MONITORING …7ac6a of Bea (Demo)"),
        ("deleted", "API keys revoked: MONITORING …7ac6a, MONITORING …b, ci-bot deleted (Demo)"),
        ("lowered", "API keys revoked: MONITORING …7ac6a, PROVISIONING …bbbbb for ci-bot (Demo)"),
        ("ending", "API key ends in 10 days: MONITORING …7ac6a of ci-bot (Demo)"),
        ("invited", f"Service Users: Alice invites you to Demo as {CLUSTER_ADMIN}: activate within 72 hours"),
        ("own", "Your API key generated: MONITORING …7ac6a (Demo)"),
        ("own rotated", "Your API key rotated: PROVISIONING …k2LmQ replaces …7ac6a (Demo)"),
        ("own lowered", "Your API key revoked: MONITORING …7ac6a (Demo)"),
        ("activated", "Your API key generated: MONITORING …7ac6a (Demo)"),
        ("access", "Your access to Demo was revoked: MONITORING …7ac6a stopped working"),
        ("access without keys", "Your access to Demo was revoked"),
        ("role", f"Your role in Demo is now {READ_ONLY}, was {OWNER_ROLE}"),
        ("owner invited", "Bea is invited as an OWNER (Demo)"),
        ("owner activated", "Bea is an OWNER now (Demo)"),
        ("owner raised", "Bea is an OWNER now (Demo)"),
        ("owner lowered", "Bea is no longer an OWNER (Demo)"),
        ("owner revoked", "Access of Bea revoked (Demo)"),
        ("owner let in", "The operator let Bea back in (Demo)"),
        ("administrators", "Administrators of ci-bot changed (Demo)"),
        ("administrators and role", "Administrators and role of ci-bot changed (Demo)"),
        ("raised", "Role of ci-bot changed (Demo)"),
        ("loosened", "API key loosened: MONITORING …7ac6a of ci-bot (Demo)"),
        ("ends soon", "API key ends soon: MONITORING …7ac6a of ci-bot (Demo)"),
        ("own changed", "Your API key changed: MONITORING …7ac6a (Demo)"),
        (
            "policy",
            (
                "Demo: rules loosened, Maximum age of keys no rule, Unused keys end after 120 days, "
                "PCI compliance off, Machines manage OWNERs on"
            ),
        ),
    ],
)
def test_each_email_has_the_stated_subject(name: str, subject: str) -> None:
    assert email_content(*EVERY[name]).subject == subject


def every_email() -> list[EmailContent]:
    """Every email of :data:`EVERY`, and a digest."""
    one, *more = (EVERY[name][0] for name in ("own changed", "ends soon", "loosened"))
    return [*(email_content(*it) for it in EVERY.values()), email_content(one, SELF, SETTING, tuple(more))]


def test_emails_of_the_packages_compiled_templates_are_those_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = every_email()
    slim.compile_templates(tmp_path)
    monkeypatch.setattr(messages, "COMPILED", tmp_path / "chalicelib" / "mail" / "compiled")
    messages.environment.cache_clear()
    try:
        assert type(messages.environment().loader).__name__ == "ModuleLoader"
        assert every_email() == made
    finally:
        messages.environment.cache_clear()


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("generated", "Alice generated a Monitoring API key for the Service User ci-bot in Demo."),
        ("created", "Alice created the Service User ci-bot in Demo, with 3 API keys."),
        (
            "rotated",
            (
                "Alice rotated the Provisioning API key of the Service User ci-bot in Demo. "
                "The old key, …7ac6a, stopped working at once."
            ),
        ),
        ("overlap", "The old key, …7ac6a, works beside the new one until 2030-03-17 17:47:40 UTC."),
        (
            "revoked",
            (
                "Alice revoked the Monitoring API key of the Service User ci-bot in Demo. "
                "It stopped working at once."
            ),
        ),
        (
            "deleted",
            (
                "Alice deleted the Service User ci-bot in Demo, and 2 API keys with it. "
                "They stopped working at once."
            ),
        ),
        (
            "lowered",
            (
                f"Alice changed the role of the Service User ci-bot in Demo from {OWNER_ROLE} to "
                f"{READ_ONLY}, and so revoked 2 API keys that a {READ_ONLY} may not hold. "
                "They stopped working at once."
            ),
        ),
        (
            "ending",
            (
                "By the account's key policy, the Monitoring API key of the Service User ci-bot in Demo ends "
                "in 10 days."
            ),
        ),
        (
            "invited",
            (
                f"Alice invites you to the account Demo as {CLUSTER_ADMIN}: you can "
                f"{MEANINGS['CLUSTER_ADMIN']}."
            ),
        ),
        ("own", "You generated a Monitoring API key of your own in Demo."),
        ("own rotated", "You rotated your Provisioning API key in Demo."),
        (
            "own lowered",
            (
                f"Alice changed your role in Demo from {OWNER_ROLE} to {READ_ONLY}, and so revoked a "
                f"Monitoring API key that a {READ_ONLY} may not hold."
            ),
        ),
        ("activated", "You activated your access to Demo and were given a Monitoring API key."),
        (
            "opened",
            (
                "The operator of this service created the account Demo with you as its OWNER, and generated "
                "a Monitoring API key for you."
            ),
        ),
        (
            "access",
            (
                "Alice revoked your access to Demo. Your API key stopped working at once, and you no longer "
                "administer any Service User there."
            ),
        ),
        (
            "access without keys",
            "Alice revoked your access to Demo. You no longer administer any Service User there.",
        ),
        (
            "role",
            (
                f"Alice changed your role in Demo from {OWNER_ROLE} to {READ_ONLY}: you can "
                f"{MEANINGS['READ_ONLY']}. You no longer administer any Service User there."
            ),
        ),
        (
            "owner invited",
            f"Alice invited Bea to Demo as an OWNER. Once they activate, they can {MEANINGS['OWNER']}.",
        ),
        (
            "owner activated",
            f"Bea activated their access to Demo as an OWNER: they can {MEANINGS['OWNER']}.",
        ),
        (
            "owner raised",
            (
                f"Alice changed the role of Bea in Demo from {CLUSTER_ADMIN} to {OWNER_ROLE}. "
                f"They can {MEANINGS['OWNER']}."
            ),
        ),
        (
            "owner lowered",
            (
                f"Alice changed the role of Bea in Demo from {OWNER_ROLE} to {READ_ONLY}. "
                f"Their API key that a {READ_ONLY} may not hold stopped working at once."
            ),
        ),
        (
            "owner revoked",
            f"Alice revoked the access of Bea ({OWNER_ROLE}) to Demo. Their API key stopped working at once.",
        ),
        (
            "owner let in",
            "The operator of this service gave Bea, an OWNER of Demo, a new User Management API",
        ),
        (
            "administrators",
            (
                "Alice changed the Administrators of the Service User ci-bot in Demo from bob, carol to "
                "alice, bob."
            ),
        ),
        (
            "administrators and role",
            (
                f"from bob, carol to alice, and its role from {OWNER_ROLE} to {READ_ONLY}. You are no longer "
                "one of them, and will not be notified of what happens to its keys. Its API key that a "
                f"{READ_ONLY} may not hold stopped working at once."
            ),
        ),
        (
            "raised",
            f"changed the role of the Service User ci-bot in Demo from {READ_ONLY} to {CLUSTER_ADMIN}.",
        ),
        (
            "loosened",
            (
                "Alice changed the allowed networks and the end of the Monitoring API key of the Service "
                "User ci-bot in Demo."
            ),
        ),
        ("ends soon", "Alice changed the end of the Monitoring API key of the Service User ci-bot in Demo."),
        ("own changed", "You changed the allowed networks of your Monitoring API key in Demo."),
        (
            "policy",
            "Alice loosened the rules of Demo: Maximum age of keys, from 90 days to no rule; Unused",
        ),
    ],
)
def test_the_first_sentence_says_what_happened(name: str, lead: str) -> None:
    written = email_content(*EVERY[name])
    assert lead in " ".join(written.text.split())
    assert lead in Page(written.html).text


@pytest.mark.parametrize("name", EVERY)
def test_text_and_html_say_the_same(name: str) -> None:
    written = email_content(*EVERY[name])
    shown = Page(written.html).text.replace(" :", ":")
    for paragraph in re.split(r"\n\s*\n|\n(?=  |You get|API keys are)", written.text):
        said = " ".join(paragraph.replace("-- ", "").split())
        if match := re.fullmatch(r"(.+) \(([\w-]+)\) (….{1,5})(?:, (.*))?", said):
            parts = [part for part in match.groups() if part]
        elif re.fullmatch(r"[A-Z][A-Za-z ]+: .+", said) and "\n  " in f"\n{paragraph}":
            parts = said.split(": ", 1)
        else:
            parts = [said]
        for part in parts:
            assert part in shown


@pytest.mark.parametrize("name", EVERY)
def test_it_says_who_when_from_where_and_by_which_request(name: str) -> None:
    event, recipient, setting = EVERY[name]
    text = email_content(event, recipient, setting).text
    assert event.request_id in text
    assert f"Event {event.id}" in " ".join(text.split())
    assert "Account: Demo" in text
    if name == "ending":
        assert "ends 2030-03-27 17:46:40 UTC" in text
        return
    assert "When: 2030-03-17 17:46:40 UTC" in text
    assert "From address: 198.51.100.7" in text
    assert ("Invited by: " if name == "invited" else "Done by: ") in text


@pytest.mark.parametrize("name", EVERY)
def test_every_email_is_fit_for_phones_and_the_dark_and_loads_nothing(name: str) -> None:
    page = Page(email_content(*EVERY[name]).html)
    assert ("meta", "content", "width=device-width, initial-scale=1") in page.attributes
    assert ("meta", "content", "light dark") in page.attributes
    assert "prefers-color-scheme: dark" in email_content(*EVERY[name]).html
    assert not page.comments
    assert not page.tags.keys() & {"script", "img", "link", "iframe", "form", "a", "object"}
    assert not [a for a in page.attributes if a[1] in ("src", "href", "background", "action")]
    assert "url(" not in email_content(*EVERY[name]).html


@pytest.mark.parametrize("name", EVERY)
def test_every_command_is_one_a_shell_reads(name: str) -> None:
    event, recipient, setting = EVERY[name]
    for command in commands(email_content(event, recipient, setting).text):
        parts = shlex.split(command)
        assert parts[:2] == ["curl", "-X"]
        assert parts[3].startswith(f"{PUBLIC_URL}/v1/")
        if "activate" not in command:
            above = ("role", "administrators and role", "lowered")
            whose = "OWNER-USERNAME" if name in above else recipient.username
            assert parts[4:6] == ["-u", whose]


def test_text_lines_are_short_but_for_commands_and_facts() -> None:
    for event, recipient, setting in EVERY.values():
        for line in email_content(event, recipient, setting).text.splitlines():
            assert len(line) <= 78 or line.startswith("  ")


# Who reads it


def test_administrators_owners_and_the_person_are_told_why() -> None:
    event = make_event()
    said = "You get this as an Administrator of the Service User ci-bot in Demo."
    assert said in email_content(event, BOB, SETTING).text
    owners = " ".join(email_content(event, BOSS, SETTING).text.split())
    assert (
        "You get this as an OWNER of Demo: no Administrator of ci-bot is left there, one is suspended, "
        "or emails to all of them fail. So the OWNERs are notified."
    ) in owners
    assert "because it is about your own access to Demo" in email_content(own(), SELF, SETTING).text


@pytest.mark.parametrize(
    ("actor", "who", "fact"),
    [
        (ALICE, "Alice", "Alice (User)"),
        (Actor(Kind.USER, "BOB"), "You", "you (BOB)"),
        (Actor(Kind.SERVICE_USER, "CI-bot"), "CI-bot", "CI-bot (Service User)"),
        (POLICY, "The account's key policy", "the account's key policy"),
        (Actor(Kind.OPERATOR), "The operator of this service", "the operator of this service"),
    ],
)
def test_whoever_or_whatever_did_it_is_named(actor: Actor, who: str, fact: str) -> None:
    text = email_content(
        make_event(actor=actor, action=Action.API_KEY_ROTATED, keys=(rotated(),)), BOB, SETTING
    ).text
    assert f"\n\n{who} rotated " in text
    assert f"Done by: {fact}" in text


def test_a_machine_rotates_its_own_key() -> None:
    event = make_event(
        actor=Actor(Kind.SERVICE_USER, "CI-BOT"), action=Action.API_KEY_ROTATED, keys=(rotated(),)
    )
    assert "rotated its own Provisioning API key in Demo." in email_content(event, BOB, SETTING).text


@pytest.mark.parametrize(
    ("seconds", "subject", "title"),
    [
        (10 * 86_400, "ends in 10 days", "API key of ci-bot ends in 10 days"),
        (86_400 - 3000, "ends in 1 day", "API key of ci-bot ends in 1 day"),
        (-1, "has ended", "API key of ci-bot has ended"),
    ],
)
def test_a_notice_counts_from_when_it_is_mailed(seconds: int, subject: str, title: str) -> None:
    event = make_event(
        action=Action.API_KEY_ENDING, keys=(ending(NOW + seconds),), actor=POLICY, reason="Older than 90 days"
    )
    written = email_content(event, BOB, SETTING)
    assert written.subject == f"API key {subject}: MONITORING …7ac6a of ci-bot (Demo)"
    assert written.text.startswith(f"{title}\n\n")
    assert "Reason: Older than 90 days" in written.text
    assert "Done by" not in written.text


@pytest.mark.parametrize(
    "why",
    [
        {"cause": Cause.EXPIRY, "reason": "Whatever the words"},
        # As events were stored before they had a cause.
        {"reason": "The key was given this end when it was made or changed (expiresAt)"},
    ],
    ids=["cause", "stored without a cause"],
)
def test_an_expiry_of_the_keys_own_is_not_the_policys_and_no_rotation_moves_it(why: dict[str, Any]) -> None:
    event = make_event(action=Action.API_KEY_ENDING, keys=(ending(NOW + 864_000),), actor=POLICY, **why)
    written = email_content(event, BOB, SETTING)
    text = " ".join(written.text.split())
    assert "By its own expiry (expiresAt), the Monitoring API key of the Service User ci-bot" in text
    assert "How to keep it" in text
    assert "How to keep it" in Page(written.html).text
    [command] = commands(written.text)
    assert command.startswith(f"curl -X PATCH {PUBLIC_URL}/v1/service-users/ci-bot/api-keys -u Bob")
    assert command.endswith("""-d '{"keyType":"MONITORING","expiresAt":null}'""")
    over = make_event(action=Action.API_KEY_REVOKED, keys=(revoked(),), actor=POLICY, **why)
    written = email_content(over, BOB, SETTING)
    assert written.subject == "API key ended: MONITORING …7ac6a for ci-bot (Demo)"
    text = " ".join(written.text.split())
    assert (
        "The Monitoring API key of the Service User ci-bot in Demo reached its expiry "
        "(expiresAt). It stopped working at once."
    ) in text
    assert "Done by: the expiry of the key (expiresAt)" in text
    assert len(commands(written.text)) == 1
    assert "policy" not in text


def test_several_keys_end_in_one_notice() -> None:
    keys = (ending(NOW + 864_000), ending(NOW + 900_000, KeyType.PROVISIONING))
    written = email_content(make_event(action=Action.API_KEY_ENDING, keys=keys, actor=POLICY), BOB, SETTING)
    assert written.subject.startswith("API keys end in 10 days: MONITORING …7ac6a, PROVISIONING …7ac6a")
    assert len(commands(written.text)) == 2
    late = email_content(
        make_event(action=Action.API_KEY_ENDING, keys=keys, actor=POLICY),
        BOB,
        SETTING._replace(now=NOW + 1_000_000),
    )
    assert "API keys have ended" in late.subject


@pytest.mark.parametrize(
    "mark",
    [
        "“”",
        "„“",
        "‟”",
        '""',
        "\uff02\uff02",
        "〝〞",
        "❝❞",
        "″″",
        "''''",
        "\u2019" * 4,
        "\u2018\u2019\u2019'",
        "\u00b4\u00b4``",
        "'\u200d''\u200d'",
    ],
)
def test_no_name_ends_the_quotation_marks_around_it(mark: str) -> None:
    middle = len(mark) // 2
    name = f"L{mark[middle:]} was removed. {mark[:middle]}"
    for action, changes in (
        (Action.PASSKEY_ADDED, ("", name)),
        (Action.PASSKEY_REMOVED, (name, "")),
        (Action.PASSKEY_ENDING, (name, "2030-01-01T00:00:00Z")),
        (Action.SIGNED_IN, ("", name)),
        (Action.USER_ACTIVATED, ("", name)),
    ):
        said = email_content(own(action=action, keys=(), changes={"passkey": changes}), SELF, SETTING)
        for text in (said.text, Page(said.html).text):
            assert "“L' was removed. '”" in " ".join(text.split()), action
    event = make_event(subject=Subject(Kind.SERVICE_USER, "ci-bot", name))
    assert "ci-bot (“L' was removed. '”)" in email_content(event, BOB, SETTING).text


def test_one_apostrophe_of_a_name_stays() -> None:
    event = make_event(subject=Subject(Kind.SERVICE_USER, "ci-bot", "Bea\u2019s and Al's"))
    assert "ci-bot (“Bea\u2019s and Al's”)" in email_content(event, BOB, SETTING).text


def test_a_display_name_is_shown_beside_the_username_where_it_says_more() -> None:
    assert "Service User: ci-bot (“CI bot”)" in email_content(make_event(), BOB, SETTING).text
    same = make_event(subject=Subject(Kind.SERVICE_USER, "ci-bot", "ci-bot"))
    assert "Service User: ci-bot\n" in email_content(same, BOB, SETTING).text
    assert "Your username: Bea (“Bea M”)" in email_content(own(), SELF, SETTING).text


def test_a_reason_is_given_where_a_policy_acted() -> None:
    event = make_event(action=Action.API_KEY_REVOKED, keys=(revoked(),), actor=POLICY, reason="Too old")
    assert "Reason: Too old" in email_content(event, BOB, SETTING).text
    assert "Reason" not in email_content(replace(event, actor=ALICE), BOB, SETTING).text


def test_an_unknown_address_or_request_is_left_out_of_the_email() -> None:
    text = email_content(make_event(source_ip="", request_id=""), BOB, SETTING).text
    assert "From address" not in text
    assert "Request" not in text


# What to do about it


def steps(event: Event, recipient: Recipient) -> tuple[list[str], str]:
    text = email_content(event, recipient, SETTING).text
    return commands(text), " ".join(text.split())


def test_a_key_nobody_expected_is_revoked_with_one_command() -> None:
    said, text = steps(make_event(), BOB)
    assert said == [
        f"""{DELETE_KEY} -u Bob -H 'Content-Type: application/json' -d '{{"keyType":"MONITORING"}}'"""
    ]
    assert "Revoke the key. It stops working at once:" in text
    assert "have an OWNER of Demo revoke Alice at once" in text
    assert "that is your User Management API key" in text


def test_an_owner_can_revoke_who_did_it() -> None:
    said, text = steps(make_event(), BOSS)
    assert said[1] == f"curl -X DELETE {PUBLIC_URL}/v1/users/Alice -u Boss"
    assert "revoke Alice at once, and send a new invitation later" in text


def test_who_did_it_themselves_replaces_their_own_key() -> None:
    said, text = steps(make_event(), ALICE_TOO)
    assert said[1] == f"{ROTATE_OWN} -u Alice"
    assert "If it was not you, somebody has your key." in text
    assert "ask an OWNER of Demo for a new invitation: that revokes every key you have, and every" in text
    assert "is signed in to the console as you: on its page You, sign out everywhere" in text


def test_a_service_user_nobody_expected_is_deleted() -> None:
    said, _ = steps(make_event(action=Action.SERVICE_USER_CREATED, keys=three()), BOB)
    assert said[0] == f"curl -X DELETE {PUBLIC_URL}/v1/service-users/ci-bot -u Bob"


def test_both_keys_of_an_overlap_are_revoked() -> None:
    event = make_event(
        action=Action.API_KEY_ROTATED, keys=(rotated(NOW),), actor=Actor(Kind.SERVICE_USER, "ci-bot")
    )
    said, text = steps(event, BOB)
    assert "Both keys stop working at once" in text
    assert '"keyType":"PROVISIONING"' in said[0]
    assert "If the machine did not do it, somebody else has had its key." in text


def test_a_revoked_key_is_generated_anew() -> None:
    said, text = steps(make_event(action=Action.API_KEY_REVOKED, keys=(revoked(),), actor=POLICY), BOB)
    assert said[0].startswith(f"curl -X POST {PUBLIC_URL}/v1/service-users/ci-bot/api-keys -u Bob")
    assert said[1] == f"curl -X GET {PUBLIC_URL}/v1/account -u Bob"
    assert "OWNERs set the policy" in text


def test_a_lowered_role_is_set_back_and_a_deleted_service_user_is_not() -> None:
    said, _ = steps(EVERY["lowered"][0], BOB)
    assert said[0].startswith(f"curl -X PUT {PUBLIC_URL}/v1/service-users/ci-bot -u OWNER-USERNAME")
    said, _ = steps(EVERY["lowered"][0], BOSS)
    assert said[0].startswith(f"curl -X PUT {PUBLIC_URL}/v1/service-users/ci-bot -u Boss")
    assert said[0].endswith("""-d '{"role":"OWNER"}'""")
    said, text = steps(EVERY["deleted"][0], BOB)
    assert said == []
    assert "A deleted Service User cannot be restored." in text
    assert "curl asks" not in text


def test_an_ending_key_is_rotated_with_a_day_of_overlap() -> None:
    said, _ = steps(EVERY["ending"][0], BOB)
    assert said[0].startswith(f"curl -X POST {PUBLIC_URL}/v1/service-users/ci-bot/api-keys/rotate -u Bob")
    assert said[0].endswith("""-d '{"keyType":"MONITORING","overlapSeconds":86400}'""")


def test_a_person_rotates_an_ending_key_with_that_very_key() -> None:
    event = own(action=Action.API_KEY_ENDING, keys=(ending(NOW + 864_000),), actor=POLICY)
    said, text = steps(event, SELF)
    assert said == [
        f"""{ROTATE_OWN} -u Bea -H 'Content-Type: application/json' -d '{{"overlapSeconds":86400}}'"""
    ]
    assert "curl asks for the password: that is the key that is to be rotated." in text


def test_a_persons_own_key_is_revoked_by_themselves() -> None:
    said, _ = steps(own(), SELF)
    assert said[0].startswith(f"curl -X DELETE {PUBLIC_URL}/v1/users/Bea/api-keys -u Bea")
    assert said[1] == f"{ROTATE_OWN} -u Bea"
    said, _ = steps(own(action=Action.API_KEY_REVOKED, keys=(revoked(),)), SELF)
    assert said[0].startswith(f"curl -X POST {PUBLIC_URL}/v1/users/Bea/api-keys -u Bea")


def test_a_person_without_a_user_management_key_needs_an_owner() -> None:
    lost = revoked(key_type=KeyType.USER_MANAGEMENT)
    said, text = steps(own(action=Action.API_KEY_REVOKED, keys=(lost,), actor=POLICY), SELF)
    assert said == []
    assert "To get a new key, ask an OWNER of Demo for a new invitation." in text
    made = generated(key_type=KeyType.USER_MANAGEMENT)
    said, _ = steps(own(action=Action.API_KEY_ROTATED, keys=(made,)), SELF)
    assert said == [f"{ROTATE_OWN} -u Bea", f"curl -X GET {PUBLIC_URL}/v1/users -u Bea"]
    said, text = steps(own(action=Action.USER_ACTIVATED), SELF)
    assert said == []
    assert "If it was not you, somebody else has your key. Ask an OWNER of Demo" in text


def test_an_email_names_whom_to_ask_about_ones_own_access() -> None:
    _, text = steps(EVERY["access"][0], SELF)
    assert "Ask Alice, or another OWNER of Demo." in text
    _, text = steps(own(action=Action.USER_REVOKED, actor=Actor(Kind.SERVICE_USER, "hr-bot")), SELF)
    assert "Ask an OWNER of Demo." in text
    _, text = steps(EVERY["opened"][0], SELF)
    assert "Ask the operator of this service." in text
    _, text = steps(make_event(actor=Actor(Kind.OPERATOR)), BOB)
    assert "Ask the operator of this service." in text


UNDO = {
    "owner invited": "curl -X DELETE {url}/v1/users/Bea -u Chief",
    "owner activated": "curl -X DELETE {url}/v1/users/Bea -u Chief",
    "owner let in": "curl -X DELETE {url}/v1/users/Bea -u Chief",
    "owner raised": """curl -X PUT {url}/v1/users/Bea -u Chief {json} -d '{{"role":"CLUSTER_ADMIN"}}'""",
    "owner lowered": """curl -X PUT {url}/v1/users/Bea -u Chief {json} -d '{{"role":"OWNER"}}'""",
    "owner revoked": (
        "curl -X POST {url}/v1/users -u Chief {json} "
        """-d '{{"username":"Bea","email":"bea@people.example","role":"OWNER"}}'"""
    ),
    "role": """curl -X PUT {url}/v1/users/Bea -u OWNER-USERNAME {json} -d '{{"role":"OWNER"}}'""",
    "administrators": (
        "curl -X PUT {url}/v1/service-users/ci-bot -u Bob {json} "
        """-d '{{"administrators":["bob","carol"]}}'"""
    ),
    "administrators and role": (
        "curl -X PUT {url}/v1/service-users/ci-bot -u OWNER-USERNAME {json} "
        """-d '{{"administrators":["bob","carol"],"role":"OWNER"}}'"""
    ),
    "raised": """curl -X PUT {url}/v1/service-users/ci-bot -u Bob {json} -d '{{"role":"READ_ONLY"}}'""",
    "loosened": (
        """curl -X PATCH {url}/v1/service-users/ci-bot/api-keys -u Bob {json} -d '{{"keyType":"MONITORING","""
        """"allowedNetworks":["203.0.113.0/24","2001:db8::/32"],"expiresAt":"2030-03-17T17:46:40Z"}}'"""
    ),
    "ends soon": (
        """curl -X PATCH {url}/v1/service-users/ci-bot/api-keys -u Bob {json} """
        """-d '{{"keyType":"MONITORING","expiresAt":null}}'"""
    ),
    "own changed": (
        """curl -X PATCH {url}/v1/users/Bea/api-keys -u Bea {json} """
        """-d '{{"keyType":"MONITORING","allowedNetworks":[]}}'"""
    ),
    "policy": (
        """curl -X PUT {url}/v1/account -u Chief {json} -d '{{"maxKeyAgeDays":90,"""
        """"revokeInactiveAfterDays":90,"pciCompliance":true,"machinesManageOwners":false}}'"""
    ),
}


@pytest.mark.parametrize("name", UNDO)
def test_what_gives_or_takes_power_is_undone_with_one_command(name: str) -> None:
    event, recipient, _ = EVERY[name]
    json_type = "-H 'Content-Type: application/json'"
    assert steps(event, recipient)[0][0] == UNDO[name].format(url=PUBLIC_URL, json=json_type)


def test_every_owner_is_told_how_to_stop_whoever_did_it() -> None:
    event = EVERY["owner invited"][0]
    said, text = steps(event, CHIEF)
    assert said[1] == f"curl -X DELETE {PUBLIC_URL}/v1/users/Alice -u Chief"
    assert "Every OWNER is notified of changes of rights there." in text
    said, text = steps(replace(event, actor=Actor(Kind.SERVICE_USER, "hr-bot")), CHIEF)
    assert said[1].startswith(f"curl -X DELETE {PUBLIC_URL}/v1/service-users/hr-bot/api-keys -u Chief")
    assert '"keyType":"USER_MANAGEMENT"' in said[1]
    said, _ = steps(replace(event, actor=Actor(Kind.USER, "Chief")), CHIEF)
    assert said[1] == f"{ROTATE_OWN} -u Chief"
    said, _ = steps(EVERY["owner activated"][0], CHIEF)
    assert len(said) == 1


def test_an_owner_may_have_a_role_above_an_administrators() -> None:
    event = make_event(action=Action.SERVICE_USER_UPDATED, keys=(), changes={"role": ("READ_ONLY", "OWNER")})
    said, text = steps(event, BOB)
    assert "-u OWNER-USERNAME" in said[0]
    assert "Ask an OWNER of Demo to set it back" in text
    assert "curl asks" not in text
    assert "-u Boss" in steps(event, BOSS)[0][0]


@pytest.mark.parametrize(
    "name", ["revoked", "suspended", "loosened", "ends soon", "ending", "administrators"]
)
def test_a_cluster_admin_reads_that_an_owner_has_to_if_the_role_is_above_theirs(name: str) -> None:
    event, recipient, setting = EVERY[name]
    assert recipient.role is Role.CLUSTER_ADMIN
    assert "if its role is OWNER, an OWNER has to" in " ".join(
        email_content(event, BOB, setting).text.split()
    )
    assert "an OWNER has to" not in " ".join(email_content(event, BOSS, setting).text.split())


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("suspended", "service-users/ci-bot/resume"),
        ("resumed", "service-users/ci-bot/suspend"),
        ("owner suspended", "users/Bea/resume"),
        ("owner resumed", "users/Bea/suspend"),
    ],
)
def test_how_to_undo_a_suspension_and_a_resumption(name: str, path: str) -> None:
    said, _ = steps(EVERY[name][0], EVERY[name][1])
    assert f"/v1/{path} " in said[0], said


def test_a_suspended_person_is_told_what_is_kept_and_who_to_ask() -> None:
    said, text = steps(EVERY["suspended person"][0], SELF)
    assert not said
    assert "sessions have ended" in text
    assert "work again once an OWNER resumes you" in text
    assert "Ask Alice, or another OWNER of Demo." in text


def test_a_revocation_stored_before_it_told_the_role_is_still_mailed() -> None:
    event = of_owner(action=Action.USER_REVOKED, keys=())
    said, text = steps(event, CHIEF)
    assert said == [f"curl -X DELETE {PUBLIC_URL}/v1/users/Alice -u Chief"]
    assert "Alice revoked the access of Bea to Demo." in text


# Invitations


def test_an_invitation_carries_a_line_that_activates() -> None:
    event, recipient, setting = EVERY["invited"]
    _, text, html = parsed(event, recipient, setting)
    [command] = commands(text)
    parts = shlex.split(command)
    assert parts[:4] == ["curl", "-X", "POST", f"{PUBLIC_URL}/v1/users/activate"]
    assert parts[4:6] == ["-H", "Content-Type: application/json"]
    assert parts[6:] == ["-d", f'{{"username":"Bea","token":"{TOKEN}"}}']
    assert "until 2030-03-20 17:46:42 UTC" in text
    assert TOKEN in Page(html).text
    assert TOKEN not in email_content(event, recipient, setting).subject


def test_an_invitation_leads_with_the_browser_where_there_is_a_console() -> None:
    event, recipient, setting = EVERY["invited"]
    text = email_content(event, recipient, setting._replace(console=True)).text
    assert 0 < text.index("/console/enrol") < text.index("curl ")
    assert "works once, in one of the two, until" in text
    text = email_content(event, recipient, setting._replace(console=False)).text
    assert "browser" not in text
    assert "The command works once, until" in text


@pytest.mark.parametrize("role", Role)
def test_an_invitation_says_what_the_role_means(role: Role) -> None:
    event, recipient, setting = EVERY["invited"]
    assert f"as {LABELS[role.value]}: you can {MEANINGS[role.value]}." in " ".join(
        email_content(event, recipient, setting._replace(role=role)).text.split()
    )


def test_an_owner_who_invites_themselves_is_addressed_as_you() -> None:
    """An OWNER may send a new invitation to themselves."""
    event, recipient, setting = EVERY["invited"]
    said = email_content(replace(event, actor=Actor(Kind.USER, "Bea")), recipient, setting)
    assert said.subject.startswith(f"Service Users: You invite yourself to Demo as {CLUSTER_ADMIN}: activate")
    text = " ".join(said.text.split())
    assert f"You invite yourself to the account Demo as {CLUSTER_ADMIN}: you can" in text
    assert "You invite yourself to the account Demo" in " ".join(said.html.split())


@pytest.mark.parametrize("keys", [(revoked(),), ()])
def test_a_new_invitation_says_what_it_ends(keys: tuple[KeyChange, ...]) -> None:
    """Also to somebody who has only passkeys, and without the sentence that nothing happens."""
    event, recipient, setting = EVERY["invited"]
    again = replace(event, keys=keys, cause=Cause.USER_INVITED_AGAIN)
    text = " ".join(email_content(again, recipient, setting).text.split())
    ended = "API key MONITORING …7ac6a, and every passkey." if keys else "every passkey."
    assert f"What you signed in with before ended at once: {ended}" in text
    assert "You have no access until you accept it." in text
    assert "not every email about the account reaches you: GET /v1/events has everything" in text
    assert "Nothing happens" not in text
    if keys:
        by_1_0 = email_content(replace(again, cause=None), recipient, setting).text
        assert "What you signed in with before ended at once" in " ".join(by_1_0.split())


# Which one, if any


def test_who_hears_of_a_leaked_key_is_told_what_to_do() -> None:
    """Whether it was revoked, and by whom it can be, differ; where it was found is text, and no link."""
    see = f"curl -X GET '{PUBLIC_URL}/v1/events?username=ci-bot'"
    texts = {name: email_content(*EVERY[name]).text for name in EVERY if "leaked" in name}
    assert all("Reason: It was found at https" in text for text in texts.values())
    assert all("a report of a leaked key, by whoever found it" in text for text in texts.values())
    assert "href" not in email_content(*EVERY["leaked"]).html
    found = {name: [line.split(" -u ")[0] for line in commands(text)] for name, text in texts.items()}
    generate = f"curl -X POST {PUBLIC_URL}/v1/service-users/ci-bot/api-keys"
    assert found["leaked"] == found["leaked, to an OWNER"] == [generate, see]
    assert found["leaked, and kept"] == [DELETE_KEY, see]
    assert found["own leaked"] == [f"curl -X POST {PUBLIC_URL}/v1/users/Bea/api-keys"]
    assert found["own leaked, and kept"] == [f"curl -X POST {PUBLIC_URL}/v1/api-keys/rotate"]
    assert found["a User's leaked"] == [see.replace("ci-bot", "Bea")]
    assert found["a User's leaked, and kept"] == [
        f"curl -X DELETE {PUBLIC_URL}/v1/users/Bea",
        see.replace("ci-bot", "Bea"),
    ]


def test_who_hears_of_a_failing_address_is_told_what_to_do() -> None:
    for name, subject in (
        ("bounced", "Emails to Bea bounce (Demo)"),
        ("complained", "Bea marked an email as spam (Demo)"),
    ):
        made = email_content(*EVERY[name])
        assert made.subject == subject
        assert [line.split(" -u ")[0] for line in commands(made.text)] == [
            f"curl -X GET '{PUBLIC_URL}/v1/service-users?administrator=Bea'",
            f"curl -X DELETE {PUBLIC_URL}/v1/users/Bea",
            f"curl -X POST {PUBLIC_URL}/v1/users",
        ]
        for part in ("Their email: bea@people.example", "the email service (Amazon SES)", "NEW-ADDRESS"):
            assert part in made.text
        assert "Every OWNER is notified of addresses that fail" in " ".join(made.text.split())


def test_every_action_has_its_email_or_none() -> None:
    keys = (generated(),)
    found = {action: email_of(make_event(action=action, keys=keys)) for action in Action}
    silent = {action for action, name in found.items() if name is None}
    assert silent == {Action.API_KEY_REFUSED, Action.SIGNED_OUT}


def test_an_act_without_keys_is_not_mailed_but_for_access_and_deletions() -> None:
    found = {action for action in Action if email_of(make_event(action=action, keys=())) is not None}
    passkeys = {
        Action.PASSKEY_ADDED,
        Action.PASSKEY_REMOVED,
        Action.PASSKEY_ENDING,
        Action.PASSKEY_CODE_REQUESTED,
        Action.SIGNED_IN,
        Action.USER_ACTIVATED,
    }
    suspensions = {
        Action.SERVICE_USER_SUSPENDED,
        Action.SERVICE_USER_RESUMED,
        Action.USER_SUSPENDED,
        Action.USER_RESUMED,
    }
    access = {Action.USER_INVITED, Action.USER_REVOKED, Action.ACCOUNT_UPDATED, Action.ALL_API_KEYS_REVOKED}
    failing = {Action.EMAIL_BOUNCED, Action.EMAIL_COMPLAINT}
    assert found == access | suspensions | passkeys | failing | {Action.SERVICE_USER_DELETED}


def addresses(event: Event, recipient: Recipient, context: EmailContext) -> list[str]:
    """The pages of the console that an email names, below its address; the same in text and in HTML."""
    said = email_content(event, recipient, context)
    found = re.compile(rf"{re.escape(PUBLIC_URL)}/console/([^\s<]*)")
    assert found.findall(said.text) == found.findall(said.html)
    assert "href" not in said.html
    return found.findall(said.text)


@pytest.mark.parametrize(
    ("event", "recipient", "page"),
    [
        (make_event(), BOB, "service-users/ci-bot"),
        (make_event(action=Action.SERVICE_USER_CREATED, keys=three()), BOB, "service-users/ci-bot"),
        (make_event(action=Action.API_KEY_ROTATED, keys=(rotated(),)), BOB, "service-users/ci-bot"),
        (make_event(action=Action.API_KEY_REVOKED, keys=(revoked(),)), BOSS, "service-users/ci-bot"),
        (make_event(action=Action.API_KEY_ENDING, keys=(ending(NOW),)), BOB, "service-users/ci-bot"),
        (make_event(action=Action.SERVICE_USER_DELETED, keys=(revoked(),)), BOB, "create/service-user"),
        (make_event(action=Action.SERVICE_USER_SUSPENDED, keys=()), BOB, "service-users/ci-bot"),
        (leaked(), CHIEF, "service-users/ci-bot"),
        (leaked(subject=BEA), CHIEF, "people"),
        (own(), SELF, "you"),
        (own(action=Action.API_KEY_ENDING, keys=(ending(NOW),)), SELF, "you"),
        (own(action=Action.PASSKEY_ADDED, keys=(), changes={"passkey": ("", "x")}), SELF, "you"),
        (own(action=Action.PASSKEY_ENDING, keys=(), changes={"passkey": ("x", "y")}), SELF, "you"),
        (own(action=Action.SIGNED_IN, keys=(), changes={"passkey": ("", "x")}), SELF, "you"),
        (own(action=Action.PASSKEY_CODE_REQUESTED, keys=()), SELF, "enrol"),
        (own(action=Action.USER_SUSPENDED, keys=(), actor=ALICE), SELF, ""),
        (own(action=Action.USER_REVOKED, keys=(revoked(),), actor=ALICE), SELF, ""),
        (own(action=Action.USER_UPDATED, keys=(), changes={"role": ("OWNER", "READ_ONLY")}), SELF, ""),
        (of_owner(action=Action.USER_SUSPENDED, keys=()), CHIEF, "people"),
        (of_owner(action=Action.USER_REVOKED, keys=()), CHIEF, "people"),
        (
            of_owner(
                action=Action.USER_REVOKED, keys=(), shown_keys=(ShownKey("ci", KeyType.MONITORING, "7ac6a"),)
            ),
            CHIEF,
            "people/Bea/shown-keys",
        ),
        (
            of_owner(action=Action.USER_UPDATED, keys=(), changes={"role": ("READ_ONLY", "OWNER")}),
            CHIEF,
            "people",
        ),
        (
            make_event(action=Action.ACCOUNT_UPDATED, keys=(), changes={"pciCompliance": ("true", "false")}),
            CHIEF,
            "account",
        ),
        (all_revoked(), SELF, "you"),
        (all_revoked(), BOB, "service-users"),
    ],
)
def test_an_email_names_the_page_of_the_console_that_helps(
    event: Event, recipient: Recipient, page: str
) -> None:
    context = SETTING._replace(token="sue_" + "x7" * 24 + "Q") if page == "enrol" else SETTING
    assert addresses(event, recipient, context) == [page] * bool(page)
    assert not addresses(event, recipient, context._replace(console=False))


@pytest.mark.parametrize(
    ("recipient", "page"), [(BOB, ""), (ALICE_TOO, "service-users/ci-bot"), (BOSS, "service-users/ci-bot")]
)
def test_who_is_no_longer_an_administrator_is_led_to_no_page(recipient: Recipient, page: str) -> None:
    changes = {"administrators": ("alice, bob, boss", "alice")}
    event = make_event(action=Action.SERVICE_USER_UPDATED, keys=(), changes=changes)
    assert addresses(event, recipient, SETTING) == [page] * bool(page)


def test_one_email_says_that_every_key_was_revoked_and_lists_the_holders() -> None:
    said = email_content(all_revoked(), SELF, SETTING)
    assert said.subject == "Demo: every API key of 10000 Service Users and Users was revoked"
    for words in (
        "every API key of 10000",
        "  ci-bot\n  web\n",
        "and 9998 more",
        "The operator of this service",
    ):
        assert words in said.text
    assert "or in the console" in " ".join(said.text.split())
    without = email_content(all_revoked(), SELF, SETTING._replace(console=False))
    assert "console" not in without.text
    assert "You get this once, for all of them" in said.text
    one = email_content(all_revoked(("ci-bot",), 1), SELF, SETTING)
    assert one.subject == "Demo: every API key of 1 Service User or User was revoked"
    assert "every API key of 1 Service User or User in Demo" in " ".join(one.text.split())
    assert "more. The events" not in one.text


def test_words_for_an_event_without_an_email_are_refused() -> None:
    with pytest.raises(LookupError, match="no email for API_KEY_REFUSED with 1 keys"):
        email_content(make_event(action=Action.API_KEY_REFUSED), BOB, SETTING)


# The message


@pytest.mark.parametrize("name", EVERY)
def test_the_message_is_whole_mime(name: str) -> None:
    event, recipient, setting = EVERY[name]
    raw = message(event, recipient, setting).as_bytes()
    raw.decode("ascii")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    made, text, html = parsed(event, recipient, setting)
    assert not made.defects
    assert made.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in made.iter_parts()] == ["text/plain", "text/html"]
    assert made["From"] == f"Service Users <{SENDER}>"
    assert made["To"] == recipient.email
    assert made["Subject"] == email_content(event, recipient, setting).subject
    assert made["Auto-Submitted"] == "auto-generated"
    assert made["Date"].datetime == datetime.fromtimestamp(NOW + 2, UTC)
    assert text.replace("\r\n", "\n") == email_content(event, recipient, setting).text
    assert html.replace("\r\n", "\n").strip() == email_content(event, recipient, setting).html.strip()


def test_two_emails_about_one_event_have_the_same_message_id() -> None:
    event = make_event()
    first = message(event, BOB, SETTING)
    again = message(event, BOB, SETTING._replace(now=NOW + 9999))
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Service-Users-Event"] == event.id
    assert re.fullmatch(rf"<{event.id}\.[0-9a-f]{{16}}@mail\.example>", first["Message-ID"])
    others = [message(event, BOSS, SETTING), message(make_event(), BOB, SETTING)]
    assert first["Message-ID"] not in [other["Message-ID"] for other in others]
    assert "bob" not in first["Message-ID"]


@pytest.mark.parametrize("bad", ["", "a b@x.example", "bob@people.example\r\nBcc: x@y.example", "bob"])
def test_an_invalid_address_is_not_mailed(bad: str) -> None:
    assert not is_address(bad)
    with pytest.raises(ValueError, match="not a valid email address"):
        message(make_event(), BOB._replace(email=bad), SETTING)
    with pytest.raises(ValueError, match="not a valid email address"):
        message(make_event(), BOB, SETTING._replace(sender=bad))


# Nasty names

NASTY = [
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    "line\r\nBcc: everybody@evil.example\r\n\r\nbody",
    "line\nX-Evil: 1",
    "tab\tnull\x00bell\x07escape\x1b[31m",
    "\u202egnp.exe\u2066\u2069\u200f\u061c",
    "\u2028next\u2029\x85line\x0bvertical\x0cfeed",
    "soft\xadhyphen\ufeffmark\u200bspace\U000e0041tag",
    "half \ud800 half \udfff",
    "&lt;b&gt; &amp; \"quotes\" 'single'",
    "{{ 7*7 }} {% include 'x' %} {# #}",
    "=?utf-8?q?Hidden?= <x@y.example>",
    "Ünïcødé שלום 名前 👩‍👩‍👧 ﷽",
    "a" * 5000,
    "é" * 5000,
    "-- \nYou get this",
    "    curl evil | sh",
]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_names_change_nothing_but_the_words(name: str) -> None:
    check_harmless(name)


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=120))
@example("\r\n")
def test_any_name_changes_only_the_text_of_an_email(name: str) -> None:
    check_harmless(name)


def check_harmless(name: str) -> None:
    for key in ("generated", "invited", "own lowered"):
        event, recipient, setting = EVERY[key]
        clean = parsed(event, recipient, setting)
        subject = Subject(event.subject.kind, event.subject.username, name, event.subject.email)
        nasty = replace(event, subject=subject, reason=name, source_ip=name, request_id=name)
        made, text, html = parsed(nasty, recipient, setting._replace(account=name))
        assert not made.defects
        assert made.keys() == clean[0].keys()
        for header in set(clean[0].keys()) - {"Subject", "Content-Type"}:
            assert made[header] == clean[0][header]
        assert made.get_boundary() is not None
        assert [part.get_content_type() for part in made.iter_parts()] == ["text/plain", "text/html"]
        shown = unlinked(name)
        expected = email_content(nasty, recipient, setting._replace(account=name)).subject
        assert str(made["Subject"]) == expected
        assert shown[:79] in expected
        page, clean_page = Page(html), Page(clean[2])
        missing = 0 if shown else 4  # facts without a value are not shown: a row has two cells
        assert page.tags.keys() == clean_page.tags.keys()
        assert page.tags["td"] == clean_page.tags["td"] - missing
        assert page.tags["pre"] == clean_page.tags["pre"]
        assert page.attributes_known() == clean_page.attributes_known()
        assert not page.comments
        assert " ".join(shown[:79].split()) in page.text
        assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text + html)
        assert len(commands(text)) == len(commands(clean[1]))


@pytest.mark.parametrize("field", ["username", "actor"])
def test_a_hostile_username_adds_no_header_markup_or_command(field: str) -> None:
    nasty = "x'; rm -rf / #\r\nBcc: a@b.example <b>"
    event = make_event()
    if field == "actor":
        event = replace(event, actor=Actor(Kind.USER, nasty))
    else:
        event = replace(event, subject=Subject(Kind.SERVICE_USER, nasty, "x"))
    made, text, html = parsed(event, BOSS, SETTING)
    assert made["Bcc"] is None
    assert "b" not in Page(html).tags
    for command in commands(text):
        assert re.fullmatch(rf"{PUBLIC_URL}/[\w%/.~-]+", shlex.split(command)[3])
        assert "rm" not in shlex.split(command)


def test_even_the_url_is_one_word_to_a_shell() -> None:
    setting = SETTING._replace(public_url="https://api.example/a b;c")
    [command] = commands(email_content(make_event(), BOB, setting).text)
    assert shlex.split(command)[3] == "https://api.example/a b;c/v1/service-users/ci-bot/api-keys"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is", "as it is"),
        ("  two  spaces ", "two spaces"),
        ("\r\n", ""),
        ("a\r\nb", "a b"),
        ("a\u202eb", "ab"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("a\ud800b", "a\ufffdb"),
        ("é\xa0e", "é e"),
    ],
)
def test_control_and_hidden_characters_are_removed_from_names(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain(shown) == shown


def test_long_names_are_cut() -> None:
    text = email_content(
        make_event(subject=Subject(Kind.SERVICE_USER, "ci-bot", "n" * 81)), BOB, SETTING
    ).text
    assert f"(“{'n' * 79}…”)" in text
    assert CI_BOT.display_name in email_content(make_event(), BOB, SETTING).text


# No links


LINKED = re.compile(
    r"://|\bwww\.\S|\bmailto:\S|\S\.(?!example/|json)[a-z]{2}|\d\.\d", re.IGNORECASE
)  # what mail programs make a link of
PHISHING = [
    "Your Bank. Card blocked, confirm: https://evil.example/login <b>now</b>",
    "www.evil.example",
    "WWW.1und1.evil",
    "evil.example/login",
    "evil\u3002example",
    "evil.\u200cexample",
    "evil.\ufe0fexample",
    "evil.c\u034fom",
    "evil\ufe52example",
    "evil.\u0440\u0444",
    "http:\\\\evil.example",
    "javascript:alert(1)",
    "mailto:us@evil.example",
    "192.0.2.1/login",
    "//evil.example",
]


@pytest.mark.parametrize("name", PHISHING)
def test_no_name_that_an_account_chose_is_a_link(name: str) -> None:
    for key, (event, recipient, setting) in EVERY.items():
        subject = replace(event.subject, display_name=name)
        said = email_content(replace(event, subject=subject), recipient, setting._replace(account=name))
        for text in (said.subject, said.text, Page(said.html).text):
            ours = re.sub(r"\S*api\.example\S*|\S+@people\.example|\b198\.51\.100\.7\b", "", text)
            ours = re.sub(r"203\.0\.113\.0/24", "", ours)
            assert not LINKED.search(ours), (key, ours)
            assert name not in text


@pytest.mark.parametrize("name", [*PHISHING, "0170 1234567"])
def test_no_name_of_a_passkey_is_a_link_or_a_telephone_number(name: str) -> None:
    at = "2030-01-01T00:00:00Z"
    for action, changes in (
        (Action.PASSKEY_ADDED, ("", name)),
        (Action.PASSKEY_REMOVED, (name, "")),
        (Action.PASSKEY_ENDING, (name, at)),
        (Action.SIGNED_IN, ("", name)),
        (Action.USER_ACTIVATED, ("", name)),
    ):
        event = own(action=action, keys=(), changes={"passkey": changes})
        said = email_content(event, SELF, SETTING)
        for text in (said.subject, said.text, Page(said.html).text):
            assert name not in text, action
            assert (at in text) is (action is Action.PASSKEY_ENDING and text is not said.subject)


@pytest.mark.parametrize("name", ["www.evil.example", "evil.example", "jane.doe"])
def test_an_invitation_shows_no_username_as_a_link(name: str) -> None:
    event, recipient, setting = EVERY["invited"]
    subject = Subject(Kind.USER, name, name, "x@people.example")
    invited = replace(event, subject=subject, actor=Actor(Kind.USER, name))
    said = email_content(invited, recipient, setting)
    for text in (said.subject, said.text, said.html):
        assert name not in text
    [command] = commands(said.text)
    assert json.loads(shlex.split(command)[-1]) == {"username": name, "token": TOKEN}


def test_an_invitation_begins_with_the_operators_own_name() -> None:
    event, recipient, setting = EVERY["invited"]
    said = email_content(event, recipient, setting._replace(operator="Example Cloud"))
    assert said.subject.startswith("Example Cloud: Alice invites you to Demo")
    assert said.text.startswith("Example Cloud: you are invited to Demo\n")
    assert "<h1" in said.html
    assert "Example Cloud: you are invited to Demo" in said.html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Demo Inc.", "Demo Inc."),
        ("Your Bank. Card", "Your Bank. Card"),
        ("12:30", "12:30"),
        ("a: b", "a: b"),
        ("https://evil.example", "https: //evil. example"),
    ],
)
def test_only_what_could_be_a_link_is_broken_up(text: str, shown: str) -> None:
    assert unlinked(text) == shown
    assert unlinked(shown) == shown


# Keys that stay below their holder's role


@pytest.mark.parametrize(
    ("below", "said"),
    [
        ((), None),
        (("MONITORING",), "Its MONITORING key keeps its lower ceiling until an OWNER rotates it."),
        (
            ("MONITORING", "USER_MANAGEMENT"),
            "Its keys MONITORING, USER_MANAGEMENT keep their lower ceilings until an OWNER rotates them.",
        ),
    ],
)
def test_a_raised_role_says_which_keys_stay_below(below: tuple[str, ...], said: str | None) -> None:
    for name in ("raised", "administrators and role"):
        event, recipient, setting = EVERY[name]
        made = replace(event, below_role=tuple(map(KeyType, below)))
        text = " ".join(email_content(made, recipient, setting).text.split())
        assert (said in text) if said else ("lower ceiling" not in text)


@pytest.mark.parametrize(
    "number",
    ["+1 202-555-0199", "+12025550199", "020 7946 0958", "(0)30.901820", "555-0100 12", "0800/1234567"],
)
def test_no_name_has_a_telephone_number_that_a_mail_program_would_dial(number: str) -> None:
    """Their readers of numbers skip spaces, dashes and some invisible characters, but not this one."""
    shown = unlinked(f"Card blocked, call {number} now")
    assert shown.replace("\u200c", "").replace(". ", ".") == f"Card blocked, call {number} now"
    longest = max(len(re.sub(r"\D", "", part)) for part in shown.split("\u200c"))
    assert longest <= 3
    assert unlinked(shown) == shown


@pytest.mark.parametrize("name", ["ci-2026", "Room 101, floor 12", "10 000", "v1.2.3"])
def test_few_digits_are_left_as_they_are(name: str) -> None:
    assert "\u200c" not in unlinked(name)


def test_mail_programs_are_asked_to_detect_nothing() -> None:
    event, recipient, setting = EVERY["invited"]
    assert (
        "telephone=no, date=no, address=no, email=no, url=no" in email_content(event, recipient, setting).html
    )
