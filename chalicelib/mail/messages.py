"""The text of the emails: which email an event needs, and what it says.

Each email is a folder of ``templates``: ``subject.txt``, ``body.txt`` and ``body.html``. Every value passes
:func:`plain`, and is also escaped in HTML, so that a name cannot change more than the words that are shown.
No value here contains an API key, so no email does.
"""

import json
import re
import shlex
import textwrap
import unicodedata
from datetime import UTC, datetime
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, ModuleLoader, StrictUndefined, select_autoescape

from chalicelib.rules import folding, notifications
from chalicelib.rules.audit import cause_of
from chalicelib.rules.model import Action, Cause, Change, Event, KeyChange, Kind
from chalicelib.rules.names import fold_username, with_article
from chalicelib.rules.notifications import Recipient
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.users import INVITATION_SECONDS

TEMPLATES = Path(__file__).parent / "templates"
COMPILED = Path(__file__).parent / "compiled"
"""The templates as modules, which are in the package alone, whose Jinja2 cannot compile any."""

_EMAILS = {
    Action.SERVICE_USER_CREATED: "api-key-generated",
    Action.API_KEY_GENERATED: "api-key-generated",
    Action.USER_ACTIVATED: "api-key-generated",
    Action.ACCOUNT_CREATED: "api-key-generated",
    Action.API_KEY_ROTATED: "api-key-rotated",
    Action.API_KEY_REVOKED: "api-key-revoked",
    Action.SERVICE_USER_UPDATED: "api-key-revoked",
    Action.SERVICE_USER_DELETED: "api-key-revoked",
    Action.SERVICE_USER_SUSPENDED: "suspension",
    Action.SERVICE_USER_RESUMED: "suspension",
    Action.USER_SUSPENDED: "suspension",
    Action.USER_RESUMED: "suspension",
    Action.USER_UPDATED: "api-key-revoked",
    Action.USER_REVOKED: "access-revoked",
    Action.API_KEY_ENDING: "api-key-ending",
    Action.USER_INVITED: "invitation",
    Action.PASSKEY_ADDED: "console-access",
    Action.PASSKEY_REMOVED: "console-access",
    Action.PASSKEY_ENDING: "console-access",
    Action.PASSKEY_CODE_REQUESTED: "console-access",
    Action.SIGNED_IN: "console-access",
    Action.API_KEY_UPDATED: "api-key-changed",
    Action.ACCOUNT_UPDATED: "policy-loosened",
    Action.API_KEY_LEAKED: "api-key-leaked",
    Action.ALL_API_KEYS_REVOKED: "all-keys-revoked",
    Action.EMAIL_BOUNCED: "address-failing",
    Action.EMAIL_COMPLAINT: "address-failing",
}
_WITHOUT_KEYS = (
    "access-revoked",
    "invitation",
    "policy-loosened",
    "console-access",
    "all-keys-revoked",
    "suspension",
    "address-failing",
)
_TO_EVERY_OWNER = "user-changed"
_THE_SAME_TO_OWNERS = (None, "policy-loosened", "api-key-leaked", "suspension", "address-failing")
_OWNER = "OWNER-USERNAME"
"""Placeholder in a command for the OWNER whom the reader has to ask."""
_NEW_ADDRESS, _ROLE = "NEW-ADDRESS", "ROLE"
"""Placeholders in a command for what the reader knows."""
_ACCESS = {
    Action.PASSKEY_ADDED: (
        "A passkey was added for you",
        "The passkey “{new}” was added to your own. It signs you in to the console.",
    ),
    Action.PASSKEY_REMOVED: (
        "A passkey of yours was removed",
        "The passkey “{old}” was removed. It signs nobody in any more.",
    ),
    Action.PASSKEY_ENDING: (
        "A passkey of yours ends soon",
        "The passkey “{old}” ends on {new}, because it is not used. Sign in with it once, and it stays.",
    ),
    Action.PASSKEY_CODE_REQUESTED: (
        "Your code for a passkey",
        "A passkey was asked for with one of your API keys. This code gets it, once, within 15 minutes.",
    ),
    Action.SIGNED_IN: (
        "You signed in from another address",
        "Your passkey “{new}” signed in to the console from another address than the last time.",
    ),
    Action.USER_ACTIVATED: (
        "Your invitation was taken up",
        "The passkey “{new}” was made with your invitation. You have no API keys until you generate one.",
    ),
}
"""Subject and sentence of the emails about passkeys."""


OPERATOR = "Service Users"
"""The name of the service in invitations, unless the stack sets another."""

_SETTINGS = {
    "maxKeyAgeDays": "Maximum age of keys",
    "revokeInactiveAfterDays": "Unused keys end after",
    "pciCompliance": "PCI compliance",
    "machinesManageOwners": "Machines manage OWNERs",
    "revokeLeakedKeys": "Leaked keys are revoked",
}
_RESTRICTIONS = {"allowedNetworks": "Allowed networks", "expiresAt": "Ends"}
_NO_SETTING = {"allowedNetworks": "every address", "expiresAt": "never"}
_MANAGEMENT = KeyType.USER_MANAGEMENT.display_name
_EXAMPLE = Role.READ_ONLY.key_types()[0]  # a key type that every Service User may hold
_DAY = 86_400
LINE_WIDTH = 78
"""The longest line of text, in characters (RFC 5322, 2.1.1)."""

_SHOWN = 80  # characters of a chosen name that are shown: enough to recognise it


class EmailContext(NamedTuple):
    """What an email needs beside the event and the recipient.

    ``account`` is the account's name, and ``operator`` the name of the service. ``token`` and ``role`` are an
    invitation's. ``console`` says whether the stack has a console.
    """

    sender: str
    public_url: str
    account: str
    now: float
    token: str = ""
    role: Role | None = None
    operator: str = OPERATOR
    console: bool = True


class Step(NamedTuple):
    """Something to do, and the lines of its command, if it has one."""

    text: str
    command: tuple[str, ...] = ()


class EmailContent(NamedTuple):
    """The subject, text and HTML of an email."""

    subject: str
    text: str
    html: str


def email_of(event: Event) -> str | None:
    """Return the name of the email that an event needs; None if it needs none.

    For an event about a User it is the User's own email. The one to all OWNERs is :data:`_TO_EVERY_OWNER`.
    """
    name = _EMAILS.get(event.action)
    if event.action is Action.USER_ACTIVATED and not event.keys:
        return "console-access"
    created_with_keys = event.action is Action.SERVICE_USER_CREATED and event.keys
    if "administrators" in event.changes and not created_with_keys:
        return "service-user-changed"
    if event.keys or name in _WITHOUT_KEYS or event.action is Action.SERVICE_USER_DELETED:
        return name
    if "role" in event.changes:
        return {
            Action.SERVICE_USER_UPDATED: "service-user-changed",
            Action.USER_UPDATED: "role-changed",
        }.get(event.action)
    return None


def _email_for(event: Event, recipient: Recipient) -> str | None:
    """Return the name of the email that one recipient gets."""
    name = email_of(event)
    return _TO_EVERY_OWNER if recipient.why.every_owner and name not in _THE_SAME_TO_OWNERS else name


def email_content(
    event: Event, recipient: Recipient, context: EmailContext, more: tuple[Event, ...] = ()
) -> EmailContent:
    """Return the content of the email that notifies one recipient of an event.

    With ``more`` events, of the digest email of all of them.

    Raises LookupError if the event needs no email.
    """
    name = _email_for(event, recipient)
    if name is None:
        raise LookupError(f"There is no email for {event.action.value} with {len(event.keys)} keys.")
    if more:
        name = "digest"
        view = _digest_variables((event, *more), recipient, context)
    else:
        view = _View(event, recipient, context).variables(name)
    templates = environment()
    subject, text, html = (
        templates.get_template(f"{name}/{part}").render(view)
        for part in ("subject.txt", "body.txt", "body.html")
    )
    return EmailContent(plain(subject), _wrapped(text), html)


def plain(text: str) -> str:
    """Return text as one line of harmless characters.

    Line ends and other control characters become spaces. Format characters, which reorder, join or hide
    others, are removed, except for the two joiners that some scripts and emoji need. Surrogates become
    U+FFFD.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join("".join(_harmless(character) for character in text).split())


def _harmless(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cf":
            return character if character in "\u200c\u200d" else ""
        case "Cs":
            return "\ufffd"
    return character


# Invisible characters, which a mail program may ignore in what it takes for an address.
_INVISIBLE = "[\u034f\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]*"
_DOT = "[.\u3002\ufe52\uff0e\uff61\u2024]"
# What mail programs turn into a link: a scheme before ':', 'www.', a dot before a possible top-level domain
# (also the dots of other scripts, and one with invisible characters after it), and the dots of an IPv4
# address.
_LINK = re.compile(
    rf"(?<=[^\W\d_]):(?=\S)|:(?=/)|(?<=\bwww){_DOT}(?=\S)"
    rf"|(?<=\S){_DOT}(?={_INVISIBLE}[^\W\d_]{_INVISIBLE}[^\W\d_])|(?<=\d)\.(?={_INVISIBLE}\d)",
    re.IGNORECASE,
)


# What mail programs take for a telephone number: seven digits or more, with little between them.
_PHONE = re.compile(r"\d(?:[^\w\n]{0,4}\d){6,}")
_DIGITS = re.compile(r"((?:\d[^\d]*){2}\d)(?=[^\d]*\d)")


def unlinked(text: str) -> str:
    """Return a chosen name with a space wherever a mail program might turn it into a link.

    The digits of what may be a telephone number are separated by a zero-width non-joiner, three by three.
    """
    spaced = _LINK.sub(lambda found: f"{found[0]} ", plain(text))
    return _PHONE.sub(lambda found: _DIGITS.sub("\\1\u200c", found[0].replace("\u200c", "")), spaced)


def _digest_variables(
    events: tuple[Event, ...], recipient: Recipient, context: EmailContext
) -> dict[str, Any]:
    """Return the variables of a digest email's templates. Its steps are those of the newest event."""
    events = tuple(sorted(events, key=lambda event: event.id))
    newest = _View(events[-1], recipient, context)
    return {
        **newest.variables("digest"),
        "count": len(events),
        "first": _when(events[0].at),
        "last": _when(events[-1].at),
        "entries": [_View(event, recipient, context).entry() for event in events],
        "event_id": events[0].id,
    }


_NEW_KEYS = (Action.SERVICE_USER_CREATED, Action.API_KEY_GENERATED)
_WHOLE_LIFE = (Action.SERVICE_USER_CREATED, Action.SERVICE_USER_DELETED)
"""The actions whose events have the role that a Service User was created or deleted with."""
_NOT_MAILED_BEFORE = (
    "What the OWNERs were mailed until now, you were not: who became or ceased to be an OWNER, and which "
    "rules were loosened. GET /v1/events has all of it."
)
_DONE = {Action.API_KEY_GENERATED: "generated", Action.API_KEY_ROTATED: "rotated"}


class _View:
    """The variables of the templates, as text."""

    def __init__(self, event: Event, recipient: Recipient, context: EmailContext) -> None:
        self.event = event
        self.recipient = recipient
        self.context = context
        self.account = _name(context.account)
        self.subject = event.subject.username
        self.person = recipient.why.person
        self.one = len(event.keys) == 1
        # Version 1.0 recorded no cause; it revoked keys only by inviting somebody again.
        self.again = event.cause is Cause.USER_INVITED_AGAIN or bool(
            event.action is Action.USER_INVITED and event.keys
        )
        self.given_end = cause_of(event) is Cause.EXPIRY

    def variables(self, name: str) -> dict[str, Any]:
        """Return the variables of the templates by name."""
        event = self.event
        steps = [*self._steps(name), *self._in_the_console(name)]
        role = self.context.role
        return {
            "account": self.account,
            "operator": _short(self.context.operator),
            "subject": self.subject,
            "Who": self._who(),
            "Who_invites": (
                "You invite yourself" if self._by_recipient() else f"{unlinked(self._who())} invites you"
            ),
            "person": self.person,
            "created": event.action is Action.SERVICE_USER_CREATED,
            "activated": event.action is Action.USER_ACTIVATED,
            "opened": event.action is Action.ACCOUNT_CREATED,
            "deleted": event.action is Action.SERVICE_USER_DELETED,
            "suspended": self._is_suspension(),
            "complained": event.action is Action.EMAIL_COMPLAINT,
            "by_operator": self.event.actor.kind is Kind.OPERATOR,
            "subject_kind": self._kind(),
            "lowered": _role_labels(event),
            "role_change": _role_labels(event),
            "may_not_hold": _may_not_hold(event),
            "reads_only": event.changes.get("role", ("", ""))[1] == Role.READ_ONLY.value,
            "administrators": event.changes.get("administrators"),
            "below_role": self._below_role(),
            "dropped": self._is_dropped(),
            "invited": event.action is Action.USER_INVITED,
            "again": self.again,
            "revoked": event.action is Action.USER_REVOKED,
            "raised": self._is_raised(),
            "email": event.subject.email,
            "had_role": (_role_labels(event) or ("",))[0],
            "changed_fields": self._changed_fields(),
            "looser": folding.is_looser(event.changes),
            "kept": any(key.change is Change.LEAKED for key in event.keys),
            "whose": "your" if self.person else f"the {self._kind()} {self.subject}'s",
            "knows": self._knows(),
            "given_end": self.given_end,
            "gone": "ended" if self.given_end else "revoked",
            "keys": [self._key(key) for key in event.keys],
            "noun": "API key" if self.one else "API keys",
            "keys_line": self._keys_line(),
            "a_key": self._a_key(),
            "the_key": self._the_key(),
            "The_key": self._the_key()[:1].upper() + self._the_key()[1:],
            "stopped": self._stopped(),
            "ends": self._ends(),
            "facts": self._facts(name),
            "steps": steps,
            "asks": self._asks(name, steps),
            "activate": self._activation(),
            "token": self.context.token,
            "console": f"{self.context.public_url}/console" if self.context.console else "",
            "hours": INVITATION_SECONDS // 3600,
            "until": _when(int(self.context.now) + INVITATION_SECONDS),
            "role": role.label if role else "",
            "role_means": _meaning(role) if role else "",
            "new_role_means": self._new_role_means(),
            "owner_means": Role.OWNER.meaning,
            "management": _MANAGEMENT,
            "holders": list(event.holders),
            "holder_count": event.holder_count,
            "more_holders": event.holder_count - len(event.holders),
            "access": self._access(),
            "why": self._why(),
            "event_id": event.id,
        }

    def entry(self) -> dict[str, str]:
        """Return the event as a line of a digest email."""
        done = _DONE.get(self.event.action, "changed")
        keys = [
            f"{key.key_type.value} …{key.last5} {done}"
            + (f", replaces …{key.previous_last5}" if key.previous_last5 else "")
            + (f", ends …{key.also_ended}" if key.also_ended else "")
            for key in self.event.keys
        ]
        return {
            "when": _when(self.event.at),
            "what": "; ".join(keys),
            "who": self._actor(),
            "address": self.event.source_ip,
            "event_id": self.event.id,
        }

    def _access(self) -> dict[str, str]:
        """Return the texts of an email about a passkey."""
        subject, text = _ACCESS.get(self.event.action, ("", ""))
        old, new = self.event.changes.get("passkey", ("", ""))
        old = _quotable(old)
        if self.event.action is not Action.PASSKEY_ENDING:  # there it is a time
            new = _quotable(new)
        return {"subject": subject, "text": text.format(old=old, new=new), "code": self.context.token}

    # Who, and which keys

    def _who(self) -> str:
        """Return the actor, as the start of a sentence."""
        actor = self.event.actor
        if self._by_recipient():
            return "You"
        if actor.kind is Kind.POLICY:
            return "The account's key policy"
        return actor.username or "The operator of this service"

    def _by_recipient(self) -> bool:
        actor = self.event.actor
        return actor.kind is Kind.USER and fold_username(actor.username) == self.recipient.name

    def _kind(self) -> str:
        return "User" if self.event.subject.kind is Kind.USER else "Service User"

    def _by_subject(self) -> bool:
        """Return whether the actor and the subject are the same."""
        actor = self.event.actor
        return bool(self.subject) and fold_username(actor.username) == fold_username(self.subject)

    def _is_dropped(self) -> bool:
        """Return whether the recipient is no longer an Administrator."""
        before, after = self.event.changes.get("administrators", ("", ""))
        name = self.recipient.name
        return name in before.split(", ") and name not in after.split(", ")

    def _knows(self) -> str:
        """Return how many keys of Service Users a revoked User still knows, as far as the event says."""
        count = len(self.event.shown_keys)
        if not count:
            return "They may know keys of Service Users" if self.event.more_shown_keys else ""
        more = " or more" if self.event.more_shown_keys else ""
        return f"They know {count}{more} {'key' if count == 1 else 'keys'} of Service Users"

    def _is_suspension(self) -> bool:
        return self.event.action in (Action.SERVICE_USER_SUSPENDED, Action.USER_SUSPENDED)

    def _below_role(self) -> str:
        """Return a sentence about the keys that a higher role does not raise, and how to raise them."""
        types = [key_type.value for key_type in self.event.below_role]
        if not types:
            return ""
        if len(types) == 1:
            return f"Its {types[0]} key keeps its lower ceiling until an OWNER rotates it."
        return f"Its keys {', '.join(types)} keep their lower ceilings until an OWNER rotates them."

    def _is_raised(self) -> bool:
        old, new = self.event.changes.get("role", ("", ""))
        return bool(old and new) and Role(new).covers(Role(old))

    def _new_role_means(self) -> str:
        change = self.event.changes.get("role")
        return _meaning(Role(change[1])) if change and change[1] else ""

    def _changed_fields(self) -> list[tuple[str, str, str]]:
        """Return the changed settings or restrictions: name, old value, new value."""
        shown = {**_SETTINGS, **_RESTRICTIONS}
        return [
            (shown[field], _setting(field, old), _setting(field, new))
            for field, (old, new) in self.event.changes.items()
            if field in shown
        ]

    def _a_key(self) -> str:
        keys = self.event.keys
        return (
            f"{with_article(keys[0].key_type.display_name)} API key" if self.one else f"{len(keys)} API keys"
        )

    def _the_key(self) -> str:
        keys = self.event.keys
        which = f"{keys[0].key_type.display_name} API key" if self.one else f"{len(keys)} API keys"
        if self.person:
            return f"your {which}"
        actor = self.event.actor
        if actor.kind is Kind.SERVICE_USER and fold_username(actor.username) == fold_username(self.subject):
            return f"its own {which}"
        return f"the {which} of the Service User {self.subject}"

    def _stopped(self) -> str:
        also_ended = self.event.keys[0].also_ended if self.one else ""
        if also_ended:
            return f"It stopped working at once, and so did …{also_ended}, which it had replaced."
        return "It stopped working at once." if self.one else "They stopped working at once."

    def _keys_line(self) -> str:
        keys = self.event.keys
        shown = keys if len(keys) <= 2 else keys[:1]
        line = ", ".join(f"{key.key_type.value} …{key.last5}" for key in shown)
        return line if len(keys) <= 2 else f"{line} and {len(keys) - 1} more"

    def _key(self, key: KeyChange) -> dict[str, str]:
        note = ""
        if key.previous_last5:
            note = f"replaces …{key.previous_last5}"
        if key.also_ended:
            note = f"{note}, ends …{key.also_ended}" if note else f"with …{key.also_ended}"
        if key.ends_at is not None:
            note = f"ends {_when(key.ends_at)}"
        return {
            "name": key.key_type.display_name,
            "type": key.key_type.value,
            "last5": key.last5,
            "previous_last5": key.previous_last5,
            "also_ended": key.also_ended,
            "previous_until": "" if key.previous_until is None else _when(key.previous_until),
            "note": note,
        }

    def _ends(self) -> str:
        """Return when the keys expire, relative to now, because the email may have been delayed."""
        times = [key.ends_at for key in self.event.keys if key.ends_at is not None]
        if not times:
            return ""
        days = ceil((min(times) - self.context.now) / _DAY)
        if days < 1:
            return "has ended" if self.one else "have ended"
        return f"{'ends' if self.one else 'end'} in {days} {'day' if days == 1 else 'days'}"

    # What stands below

    def _facts(self, name: str) -> list[tuple[str, str]]:
        event = self.event
        subject = event.subject
        shown = _quotable(subject.display_name)
        named = (
            self.subject
            if shown == "" or subject.display_name == self.subject
            else f"{self.subject} (“{shown}”)"
        )
        if name == "invitation":  # its recipient need not know either of them
            named = unlinked(named)
        facts = [("Account", self.account)]
        if self.subject:
            about_user = name in (_TO_EVERY_OWNER, "address-failing")
            facts.append(("Your username" if self.person else self._kind(), named))
            if about_user:
                facts.append(("Their email", _short(subject.email)))
        if name == "digest":
            return [(label, value) for label, value in facts if value]
        if name == _TO_EVERY_OWNER:
            facts += [
                ("Key they know", f"{key.username} {key.key_type.value} …{key.last5}")
                for key in event.shown_keys
            ]
        if event.action is Action.SERVICE_USER_CREATED and "role" in event.changes:
            facts += [("Role", Role(event.changes["role"][1]).label)]
        is_new = event.action in _NEW_KEYS and not any(key.previous_last5 for key in event.keys)
        facts += [(label, new if is_new else f"{old} → {new}") for label, old, new in self._changed_fields()]
        if name != "api-key-ending":
            facts += [
                ("Invited by", unlinked(self._actor()))
                if name == "invitation"
                else ("Done by", self._actor()),
                ("When", _when(event.at)),
                ("From address", event.source_ip),
            ]
        reason = event.reason if event.actor.kind in (Kind.POLICY, Kind.EMAIL_FEEDBACK) else ""
        if event.actor.kind is Kind.LEAK_REPORT:
            reason = unlinked(event.reason)  # the reporter of the key chose the URL in it
        facts += [("Reason", _short(reason, 200)), ("Request", _short(event.request_id))]
        if self.person and notifications.adds_owner(event) and event.action is not Action.ACCOUNT_CREATED:
            facts += [("Before this", _NOT_MAILED_BEFORE)]
        return [(label, value) for label, value in facts if value]

    def _actor(self) -> str:
        actor = self.event.actor
        if self._by_recipient():
            return f"you ({actor.username})"
        match actor.kind:
            case Kind.USER:
                return f"{actor.username} (User)"
            case Kind.SERVICE_USER:
                return f"{actor.username} (Service User)"
            case Kind.POLICY:
                return "the expiry of the key (expiresAt)" if self.given_end else "the account's key policy"
            case Kind.LEAK_REPORT:
                return "a report of a leaked key, by whoever found it"
            case Kind.EMAIL_FEEDBACK:
                return "the email service (Amazon SES)"
        return "the operator of this service"

    def _why(self) -> str:
        if self.recipient.why.owner and "administrators" in self.event.changes:
            return f"You get this as an OWNER of {self.account}: {self.subject} had no Administrator there."
        if self.recipient.why.owner:
            return (
                f"You get this as an OWNER of {self.account}: no Administrator of {self.subject} is left "
                "there, one is suspended, or emails to all of them fail. So the OWNERs are notified."
            )
        if self.event.action is Action.ALL_API_KEYS_REVOKED:
            return (
                f"You get this once, for all of them: you are an OWNER of {self.account}, an Administrator "
                "of those listed, or one of them."
            )
        if self.person:
            return f"You get this because it is about your own access to {self.account}."
        if self.recipient.why.every_owner:
            what = {
                Action.API_KEY_LEAKED: "leaked keys",
                Action.EMAIL_BOUNCED: "addresses that fail",
                Action.EMAIL_COMPLAINT: "addresses that fail",
            }.get(self.event.action, "changes of rights")
            return f"You get this as an OWNER of {self.account}. Every OWNER is notified of {what} there."
        if self._is_dropped():
            return f"You get this because you were an Administrator of {self.subject} in {self.account}."
        return f"You get this as an Administrator of the Service User {self.subject} in {self.account}."

    # What to do

    def _steps(self, name: str) -> list[Step]:
        match name:
            case "api-key-ending":
                return [self._prolong(key) for key in self.event.keys]
            case "invitation":
                if self.again:
                    return [Step(f"You have no access until you accept it. {self._ask()}")]
                return [Step(f"Leave it. Nothing happens unless somebody uses the token. {self._ask()}")]
            case "access-revoked":
                return [Step(self._ask()), *self._invite_back(_OWNER)]
            case "console-access":
                return [
                    Step(
                        f"Ask an OWNER of {self.account} for a new invitation at once. "
                        "It ends your API keys, your passkeys and every session."
                    )
                ]
            case "role-changed":
                return [Step(self._ask()), *self._set_role_back(_OWNER)]
            case "service-user-changed":
                return [*self._restore_service_user(), *self._mend()]
            case "api-key-changed":
                return [*self._restore_restrictions(), *self._mend()]
            case "api-key-leaked":
                return self._after_a_leak()
            case "policy-loosened":
                return [*self._restore_policy(), *self._mend()]
            case "suspension":
                return [Step(self._ask())] if self.person else [*self._undo_suspension(), *self._mend()]
            case "all-keys-revoked":
                return [self._generate_again(), Step("To find out why, ask the operator of this service.")]
            case "address-failing":
                return self._replace_address()
            case "user-changed":
                return [*self._restore_user(), *self._mend()]
            case "api-key-revoked":
                return [*self._restore(), *self._mend()]
        return [*self._undo(), *self._mend()]

    def _in_the_console(self, name: str) -> list[Step]:
        """Return the page of the console on which the recipient can do the same, or look, if there is one.

        Its address is text to read, as in an invitation, and the page asks for the recipient's passkey.
        """
        page = self._page(name)
        if not page or not self.context.console:
            return []
        text = "The page of the console that helps:"
        if name == "console-access":
            text = "Your passkeys and signed-in browsers are on this page of the console:"
        return [Step(text, (f"{self.context.public_url}/console/{page}",))]

    def _page(self, name: str) -> str:
        """Return the page about an email below the console's address; empty if none is of use."""
        action, role = self.event.action, self.recipient.role
        if name in ("access-revoked", "invitation", "role-changed"):
            return ""
        if name == "all-keys-revoked":
            return "service-users" if role is not None and role.covers(Role.CLUSTER_ADMIN) else "you"
        if self.person:
            # A code has its own page, and a suspended person none.
            return "" if name == "suspension" or action is Action.PASSKEY_CODE_REQUESTED else "you"
        if name == "policy-loosened":
            return "account"
        if self._kind() == "User":
            if action is Action.USER_REVOKED and self._end_shown_keys():
                return f"people/{quote(self.subject, safe='')}/shown-keys"
            return "people"
        if action is Action.SERVICE_USER_DELETED:
            return "create/service-user"
        if self._is_dropped() and role is not Role.OWNER:
            return ""
        return f"service-users/{quote(self.subject, safe='')}"

    def _undo(self) -> list[Step]:
        if self._locked_out() or self.event.action is Action.USER_ACTIVATED:
            return []
        if self.event.action is Action.SERVICE_USER_CREATED:
            return [
                Step(
                    "Delete the Service User. Its keys stop working at once:",
                    self._curl("DELETE", self._path()),
                )
            ]
        stops = "It stops" if self.event.keys[0].previous_until is None else "Both keys stop"
        return [
            Step(
                f"Revoke the key. {stops} working at once:",
                self._curl("DELETE", self._path("api-keys"), self._key_type()),
            )
        ]

    def _locked_out(self) -> bool:
        """Return whether the event is about the key that the User would need to undo it."""
        return self.person and any(key.key_type is KeyType.USER_MANAGEMENT for key in self.event.keys)

    def _restore(self) -> list[Step]:
        role = self.event.changes.get("role")
        if self.event.action is Action.SERVICE_USER_DELETED:
            return [Step("A deleted Service User cannot be restored. If it is needed, create it again.")]
        if self._locked_out():
            return [Step(f"To get a new key, ask an OWNER of {self.account} for a new invitation.")]
        if role is None:
            return [
                Step(
                    f"If the key is still needed, generate a new one{self._unless_owner()}:",
                    self._curl("POST", self._path("api-keys"), self._key_type()),
                )
            ]
        if self.person:
            return []
        mine = self.recipient.role
        able = mine is not None and mine.covers(Role(role[0]))
        who = "set it back" if able else f"ask an OWNER of {self.account} to set it back"
        return [
            Step(
                f"If it should keep its earlier role, {who}, and generate the keys again:",
                self._curl("PUT", self._path(), {"role": role[0]}, "" if able else _OWNER),
            )
        ]

    def _generate_again(self) -> Step:
        return Step(
            "Where a key is still needed, generate a new one by this command"
            f"{', or in the console' if self.context.console else ''}. If your own API key was revoked, ask "
            f"an OWNER of {self.account} for a new invitation.",
            self._curl(
                "POST",
                "/v1/service-users/USERNAME/api-keys",
                {"keyType": _EXAMPLE.value},
            ),
        )

    def _after_a_leak(self) -> list[Step]:
        """Return the steps after a leak: revoke the key if it works, and find out what was done with it."""
        look = Step(
            "See what was done with it: what was rotated or changed, when, and from which address:",
            self._curl("GET", f"/v1/events?username={quote(self.subject, safe='')}"),
        )
        last = Step(self._ask()) if self.person else look
        of_other = self._kind() == "User" and not self.person
        if not any(key.change is Change.LEAKED for key in self.event.keys):
            again = [] if of_other else self._restore()
            return [Step("Find where it was stored, before a new one is put there."), *again, last]
        if of_other:
            return [
                Step(
                    f"{self.subject} has to revoke the key. To do it for them, revoke their access:",
                    self._curl("DELETE", self._user_path(self.subject)),
                ),
                last,
            ]
        if self.person:  # a READ_ONLY User has no other way
            instead = "Replace the key, with the key itself. The old one stops working at once:"
            return [Step(instead, self._curl("POST", "/v1/api-keys/rotate")), last]
        return [
            Step(
                "Revoke the key. It stops working at once:",
                self._curl("DELETE", self._path("api-keys"), self._key_type()),
            ),
            last,
        ]

    def _replace_address(self) -> list[Step]:
        """Return the steps after emails to a User fail, for an OWNER."""
        subject = self.event.subject
        listing = f"/v1/service-users?administrator={quote(subject.username, safe='')}"
        anew: dict[str, object] = {"username": subject.username, "email": _NEW_ADDRESS, "role": _ROLE}
        return [
            Step(
                f"See which Service Users {subject.username} administers. Where nobody else does, add "
                "another Administrator:",
                self._curl("GET", listing),
            ),
            Step(
                f"If the address is wrong or gone, revoke {subject.username}. This ends their access, their "
                "keys and their links to Service Users:",
                self._curl("DELETE", self._user_path(subject.username)),
            ),
            Step(
                "Then invite them at another address, and name them as Administrator again:",
                self._curl("POST", "/v1/users", anew),
            ),
            Step(
                "If the address is right, ask the operator of this service to remove it from the suppression "
                "list of SES, which sends nothing to it until then."
            ),
        ]

    def _restore_user(self) -> list[Step]:
        """Return the steps by which an OWNER undoes a change of a User."""
        if self.event.action is Action.USER_REVOKED:
            return [*self._end_shown_keys(), *self._invite_back()]
        role = self.event.changes.get("role")
        if self.event.action is Action.USER_UPDATED and role and role[0] == Role.OWNER.value:
            return self._set_role_back()
        steps = [
            Step(
                f"If {self.subject} should not be an OWNER, revoke them. Their keys, their links and the "
                "invitations they sent end at once:",
                self._curl("DELETE", self._user_path(self.subject)),
            )
        ]
        return [*self._set_role_back(), *steps] if self.event.action is Action.USER_UPDATED else steps

    def _end_shown_keys(self) -> list[Step]:
        if not self.event.shown_keys and not self.event.more_shown_keys:
            return []
        path = f"{self._user_path(self.subject)}/shown-keys"
        return [
            Step("This lists every such key that still works:", self._curl("GET", path)),
            Step("This ends them all at once:", self._curl("DELETE", path)),
        ]

    def _set_role_back(self, by: str = "") -> list[Step]:
        role = self.event.changes["role"][0]
        who = "An OWNER sets" if by else "If it should be as before, set"
        return [
            Step(
                f"{who} the role back by this command:",
                self._curl("PUT", self._user_path(self.subject), {"role": role}, by),
            )
        ]

    def _invite_back(self, by: str = "") -> list[Step]:
        subject = self.event.subject
        role = self.event.changes.get("role", ("",))[0]
        if not role:  # stored before events recorded it
            return []
        body: dict[str, object] = {"username": subject.username, "email": subject.email, "role": role}
        who = "An OWNER invites you" if by else f"If {self.subject} should have access, invite them"
        return [Step(f"{who} again by this command:", self._curl("POST", "/v1/users", body, by))]

    def _unless_owner(self) -> str:
        """Return who has to do it if the Service User has a higher role than the Administrator who reads.

        The event does not have that role, and no Administrator has a lower role than CLUSTER_ADMIN.
        """
        return " (if its role is OWNER, an OWNER has to)" if self.recipient.role is Role.CLUSTER_ADMIN else ""

    def _restore_service_user(self) -> list[Step]:
        changes, role = self.event.changes, _changed_role(self.event)
        body: dict[str, object] = {}
        hint = ""
        if "administrators" in changes:
            before = changes["administrators"][0]
            # A Service User keeps at least one, so that there was none cannot be set back.
            body["administrators"] = before.split(", ") if before else [self.recipient.username]
            hint = " (leave out Administrators who have left)" if before else " (it had none; this names you)"
        if role:
            body["role"] = role[0]
        needed = [Role(name) for name in role or ()]
        mine = self.recipient.role
        able = mine is Role.OWNER or (
            mine is not None and not self._is_dropped() and all(mine.covers(role) for role in needed)
        )
        who = "Set it back" if able else f"Ask an OWNER of {self.account} to set it back"
        anew = " Then generate the revoked keys again." if self.event.keys else ""
        return [
            Step(
                f"{who}{hint}{self._unless_owner() if able and not role else ''}.{anew}",
                self._curl("PUT", self._path(), body, "" if able else _OWNER),
            )
        ]

    def _undo_suspension(self) -> list[Step]:
        path = self._user_path(self.subject) if self._kind() == "User" else self._path()
        if self._is_suspension():
            command = self._curl("POST", f"{path}/resume")
            who = self._unless_owner()
            return [Step(f"If it should not be, resume it{who}. What is kept works again at once:", command)]
        command = self._curl("POST", f"{path}/suspend")
        return [Step("If it should not be, suspend it again. What it has is refused at once:", command)]

    def _restore_restrictions(self) -> list[Step]:
        changes = self.event.changes
        body: dict[str, object] = dict(self._key_type())
        if "allowedNetworks" in changes:
            body["allowedNetworks"] = changes["allowedNetworks"][0].split()
        if "expiresAt" in changes:
            former = changes["expiresAt"][0]
            body["expiresAt"] = f"{utc(int(former)):%Y-%m-%dT%H:%M:%SZ}" if former else None
        who = self._unless_owner()
        return [Step(f"Set it back as it was{who}:", self._curl("PATCH", self._path("api-keys"), body))]

    def _restore_policy(self) -> list[Step]:
        former = {field: old for field, (old, _) in self.event.changes.items() if field in _SETTINGS}
        body: dict[str, object] = {field: json.loads(old or "null") for field, old in former.items()}
        return [Step("Set it back as it was:", self._curl("PUT", "/v1/account", body))]

    def _prolong(self, key: KeyChange) -> Step:
        if self.given_end:
            return Step(
                f"Take the end of the {key.key_type.display_name} key away, or put a later one for "
                f"null{self._unless_owner()}:",
                self._curl(
                    "PATCH", self._path("api-keys"), {"keyType": key.key_type.value, "expiresAt": None}
                ),
            )
        day = {"overlapSeconds": _DAY}
        if self.person:  # they may have no key for management
            return Step(
                f"Rotate the {key.key_type.display_name} key, signed in with that key, with a day in which "
                "both work:",
                self._curl("POST", "/v1/api-keys/rotate", {**day}),
            )
        return Step(
            f"Rotate the {key.key_type.display_name} key, with a day in which both "
            f"work{self._unless_owner()}:",
            self._curl("POST", self._path("api-keys/rotate"), {"keyType": key.key_type.value, **day}),
        )

    def _mend(self) -> list[Step]:
        """Return the steps against an actor who should not have done it."""
        actor = self.event.actor
        if self.person and not self._by_recipient():
            return [Step(self._ask())]
        if self._by_recipient():
            return self._replace_own()
        if self._by_subject() and self.recipient.why.every_owner:  # the step before revokes the actor
            return []
        match actor.kind:
            case Kind.SERVICE_USER if self.recipient.why.every_owner:
                return [
                    Step(
                        f"If the Service User {actor.username} should not have done it, somebody has its "
                        "key. Revoke that at once:",
                        self._curl(
                            "DELETE",
                            f"/v1/service-users/{quote(actor.username, safe='')}/api-keys",
                            {"keyType": KeyType.USER_MANAGEMENT.value},
                        ),
                    )
                ]
            case Kind.SERVICE_USER:
                return [
                    Step(
                        "If the machine did not do it, somebody else has had its key. Find out where it was "
                        "stored before you issue another."
                    )
                ]
            case Kind.POLICY if self.given_end:
                return []
            case Kind.POLICY:
                return [Step("OWNERs set the policy. This shows it:", self._curl("GET", "/v1/account"))]
            case Kind.OPERATOR:
                return [Step(self._ask())]
        if self.recipient.role is Role.OWNER:
            return [
                Step(
                    f"Ask {actor.username}. If it was not them, somebody has their key: revoke "
                    f"{actor.username} at once, and send a new invitation later:",
                    self._curl("DELETE", self._user_path(actor.username)),
                )
            ]
        return [
            Step(
                f"Ask {actor.username}. If it was not them, somebody has their key: have an OWNER of "
                f"{self.account} revoke {actor.username} at once."
            )
        ]

    def _replace_own(self) -> list[Step]:
        fresh = f"an OWNER of {self.account} for a new invitation: that revokes every key you have" + (
            ", and every passkey and session." if self.context.console else "."
        )
        if self.event.action is Action.USER_ACTIVATED:
            return [Step(f"If it was not you, somebody else has your key. Ask {fresh}")]
        return [
            Step(
                "If it was not you, somebody has your key. Replace it; the old one stops working at once:",
                self._curl("POST", "/v1/api-keys/rotate"),
            ),
            Step(
                "If you may invite people: what that key invited stays open. Look through the invitations, "
                "and revoke those that you did not send:",
                self._curl("GET", "/v1/users"),
            ),
            *([_SESSIONS] if self.context.console else []),
            Step(f"If you have no {_MANAGEMENT} key, or it is refused, ask {fresh}"),
        ]

    def _asks(self, name: str, steps: list[Step]) -> str:
        """Return the sentence that says which password curl asks for; empty if it asks for none."""
        lines = [line for step in steps for line in step.command if line.startswith("-u ")]
        if not lines or all(line.startswith(f"-u {_OWNER}") for line in lines):
            return ""
        own = name == "api-key-ending" and self.person and not self.given_end
        key = "the key that is to be rotated" if own else f"your {_MANAGEMENT} API key"
        return f"curl asks for the password: that is {key}."

    def _ask(self) -> str:
        actor = self.event.actor
        if actor.kind is Kind.OPERATOR:
            return "Ask the operator of this service."
        if actor.kind is Kind.USER and not self._by_recipient():
            name = unlinked(actor.username) if self.event.action is Action.USER_INVITED else actor.username
            return f"Ask {name}, or another OWNER of {self.account}."
        return f"Ask an OWNER of {self.account}."

    # Commands

    def _path(self, more: str = "") -> str:
        kind = "users" if self.person else "service-users"
        return f"/v1/{kind}/{quote(self.subject, safe='')}" + (f"/{more}" if more else "")

    def _user_path(self, username: str) -> str:
        return f"/v1/users/{quote(username, safe='')}"

    def _key_type(self) -> dict[str, object]:
        return {"keyType": self.event.keys[0].key_type.value}

    def _activation(self) -> tuple[str, ...]:
        """Return the command that activates. A username that could become a link is escaped."""
        if not self.person:
            return ()
        body: dict[str, object] = {"username": self.subject, "token": self.context.token}
        command = self._curl("POST", "/v1/users/activate", body)
        if unlinked(self.subject) == self.subject:
            return command
        written = json.dumps(self.subject)
        return (*command[:-1], command[-1].replace(written, written.replace(".", r"\u002e"), 1))

    def _curl(
        self, method: str, path: str, body: dict[str, object] | None = None, by: str = ""
    ) -> tuple[str, ...]:
        """Return the lines of a command for the recipient, or for ``by``.

        curl asks for the password, so that no key is left in a shell's history.
        """
        lines = [f"curl -X {method} {shlex.quote(self.context.public_url + path)}"]
        if path != "/v1/users/activate":
            lines.append(f"-u {shlex.quote(by or self.recipient.username)}")
        if body is not None:
            json_type = "-H 'Content-Type: application/json'"
            lines[1:] = [" ".join((*lines[1:], json_type))]
            lines.append(f"-d {shlex.quote(json.dumps(body, separators=(',', ':')))}")
        return tuple(lines)


_SESSIONS = Step(
    "Or somebody is signed in to the console as you: on its page You, sign out everywhere, sign in again, "
    "and remove the passkeys that you do not know."
)


@cache
def environment() -> Environment:
    """Return the environment of the emails' templates."""
    return Environment(
        loader=ModuleLoader(COMPILED) if COMPILED.exists() else FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(("html",), default=False),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _finalize(value: Any) -> Any:
    """Pass every value of a template through :func:`plain`, except for markup that the templates made."""
    return value if hasattr(value, "__html__") else plain(str(value))


def _setting(field: str, value: str) -> str:
    """Return the value of a changed field in words, from its text in an event."""
    if not value:
        return _NO_SETTING.get(field, "no rule")
    match field:
        case "expiresAt":
            return _when(int(value))
        case "maxKeyAgeDays" | "revokeInactiveAfterDays":
            return f"{value} days"
        case "allowedNetworks":
            return _short(value, 200)
    return {"true": "on", "false": "off"}.get(value, value)


def _name(text: str) -> str:
    return _short(unlinked(text))


_QUOTES = re.compile(
    '["\u02ba\u02dd\u02ee\u02f5\u02f6\u05f4\u201c-\u201f\u2033\u2034\u2036\u2037\u2057\u275d\u275e\u2760\u3003'
    "\u301d-\u301f\uff02\U0001f676-\U0001f678]"
    f"|(?:['`\u00b4\u02b9-\u02bd\u02c8\u02ca\u02cb\u05f3\u2018-\u201b\u2032\u2035\u275b\u275c\uff07\uff40]{_INVISIBLE}){{2,}}"
)
"""Quotation marks, and what looks like one; of two apostrophes, also with what nobody sees between them."""


def _quotable(text: str) -> str:
    """Return a chosen name that stands between quotation marks, with none of its own that would end them."""
    return _short(_QUOTES.sub("'", unlinked(text)))


def _changed_role(event: Event) -> tuple[str, str] | None:
    """Return the old and the new role of an event; None if it changed no role."""
    return None if event.action in _WHOLE_LIFE else event.changes.get("role")


def _role_labels(event: Event) -> tuple[str, ...] | None:
    """Return the old and the new role of an event as people read them; None if it changed no role."""
    change = _changed_role(event)
    return None if change is None else tuple(Role(name).label if name else "" for name in change)


def _may_not_hold(event: Event) -> str:
    """Return why keys were revoked with a role, as the end of a sentence; empty if the role is the same."""
    labels = _role_labels(event)
    return f"that {with_article(labels[1])} may not hold" if labels and labels[1] else ""


def _meaning(role: Role) -> str:
    """Return what a role means, as a part of a sentence."""
    return f"you can {role.meaning}"


def _short(text: str, most: int = _SHOWN) -> str:
    shown = plain(text)
    return shown if len(shown) <= most else f"{shown[: most - 1].rstrip()}…"


def _wrapped(text: str) -> str:
    """Return text with wrapped paragraphs; indented lines (commands and tables) stay as they are."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        keep = line.startswith((" ", "-- ")) or len(line) <= LINE_WIDTH
        lines += (
            [line]
            if keep
            else textwrap.wrap(line, LINE_WIDTH, break_long_words=False, break_on_hyphens=False)
        )
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _when(second: int) -> str:
    return f"{utc(second):%Y-%m-%d %H:%M:%S} UTC"


def utc(seconds: float) -> datetime:
    """Return a time, in seconds since 1970, as a datetime."""
    return datetime.fromtimestamp(seconds, UTC)
