"""Who is notified of an event by email, and when to retry.

``NOTIFIED`` decides the recipients of an event when it is written. :func:`administrators`, :func:`owners`
and :func:`person` decide who of them is still entitled when the email is sent.

The events are their own outbox. An event is pending until every recipient has been notified. A mailer first
claims it for a limited time (a lease), then marks each recipient as notified.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from chalicelib.rules import permissions
from chalicelib.rules.api_keys import is_looser
from chalicelib.rules.lifetimes import DAY, HOUR
from chalicelib.rules.model import (
    Account,
    AccountSummary,
    Action,
    Actor,
    Audience,
    EmailFailure,
    Event,
    KeyChange,
    Kind,
    Principal,
    ServiceUser,
    User,
    UserSummary,
)
from chalicelib.rules.names import fold_username
from chalicelib.rules.policies import FIRST_NOTICE
from chalicelib.rules.roles import Role

SHARDS = tuple("01234567")
"""The values of ``waiting``: the partitions of the index of pending events."""

FIRST_SHARD = "owners"
"""The value of ``waiting`` of events that are mailed before the others of their account: see
:func:`comes_first`."""

HELD_SHARDS = ("held0", "held1")
"""The values of ``waiting`` of events that are held for a digest email, which do not count as late."""

LEASE = 120
"""Seconds for which a claimed event belongs to the mailer that claimed it; each mark renews the lease."""

FAILING = 30 * DAY
"""Seconds for which an address counts as failing after it failed, and in which the OWNERs are not notified of
it again."""

FIRST_PAUSE = 60
MAX_PAUSE = 21_600
"""Seconds between two tries: one minute, doubled at each try, up to six hours."""


class Occurrence(NamedTuple):
    """The input of an AudienceRule.

    ``subject`` is the one before the change (as created, if it is new), ``keys`` what happened to its keys,
    ``new`` the subject after the change (None if it was removed or not changed), ``actor`` who did it,
    ``knows_keys`` whether a revoked User may know keys of Service Users, and ``at`` when it happened.
    """

    subject: Principal | Account
    keys: tuple[KeyChange, ...]
    new: Principal | Account | None = None
    actor: Actor | None = None
    knows_keys: bool = False
    at: int = 0


class Recipients(NamedTuple):
    """Who is to be notified of an event. ``administrators`` maps folded usernames to membership ids."""

    audience: Audience
    administrators: dict[str, str] = {}


AudienceRule = Callable[[Occurrence], Recipients]
"""Decides who is notified of one action."""


def nobody(_occurrence: Occurrence) -> Recipients:
    """Notify nobody."""
    return Recipients(Audience.NOBODY)


def administrators_or_person(occurrence: Occurrence) -> Recipients:
    """Notify the Administrators of a Service User, or the User whom the event is about."""
    subject = occurrence.subject
    if isinstance(subject, ServiceUser):
        return Recipients(Audience.ADMINISTRATORS, subject.administrators)
    return Recipients(Audience.PERSON)


def administrators_or_person_if_keys_changed(occurrence: Occurrence) -> Recipients:
    """Notify like :func:`administrators_or_person`, but only if keys were issued or revoked."""
    return administrators_or_person(occurrence) if occurrence.keys else nobody(occurrence)


def person_if_signed_in_elsewhere(occurrence: Occurrence) -> Recipients:
    """Notify a User of a sign-in with a passkey from an address other than its last one.

    Only if the budget of such emails has paid for it (``limits.pay_for_sign_in_email``).
    """
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, User) and isinstance(new, User):
        paid = old.sign_in_emails_full_at != new.sign_in_emails_full_at
        return administrators_or_person(occurrence) if paid else nobody(occurrence)
    return nobody(occurrence)


def administrators_or_person_and_owners_if_by_operator(occurrence: Occurrence) -> Recipients:
    """Notify like :func:`administrators_or_person`; all OWNERs too, if the operator did it for an OWNER."""
    if occurrence.actor is not None and occurrence.actor.kind is Kind.OPERATOR:
        return Recipients(Audience.PERSON_AND_OWNERS)
    return administrators_or_person(occurrence)


def administrators_or_person_and_owners(occurrence: Occurrence) -> Recipients:
    """Notify like :func:`administrators_or_person`, and all OWNERs too."""
    recipients = administrators_or_person(occurrence)
    by_audience = {
        Audience.PERSON: Audience.PERSON_AND_OWNERS,
        Audience.ADMINISTRATORS: Audience.ADMINISTRATORS_AND_OWNERS,
    }
    return recipients._replace(audience=by_audience[recipients.audience])


def key_holder_if_loosened_or_ending(occurrence: Occurrence) -> Recipients:
    """Notify a User of a change to the restrictions of their own key, and Administrators of some.

    Those are looser restrictions, and an earlier expiry that leaves no time for the first notice: without
    this email, the Administrators would be notified when the key has stopped working. Nobody is notified of
    an expiry that is hardly earlier, or a key that ends a second earlier at each call would be a flood.
    """
    subject, new = occurrence.subject, occurrence.new
    if isinstance(subject, Account) or isinstance(new, Account) or new is None:
        return nobody(occurrence)
    for key_type in subject.keys.keys() & new.keys.keys():
        before, after = subject.keys[key_type], new.keys[key_type]
        earlier = _is_noticeably_earlier(before.expires_at, after.expires_at, occurrence.at)
        if isinstance(subject, User):
            earlier = earlier or before.networks != after.networks
        elif after.expires_at is not None:
            earlier = earlier and after.expires_at <= occurrence.at + FIRST_NOTICE + DAY
        if is_looser(before, after) or earlier:
            return administrators_or_person(occurrence)
    return nobody(occurrence)


def _is_noticeably_earlier(old: int | None, new: int | None, now: int) -> bool:
    """Return whether a key gets an expiry that is on an earlier day; if near, in earlier hours or minutes.

    One that is too far ahead for that must be at about half the time.
    """
    if new is None or old is None:
        return new is not None
    left, before = new - now, old - now
    if left > FIRST_NOTICE + DAY:
        return left.bit_length() < before.bit_length()
    if before > FIRST_NOTICE + DAY:
        return True
    step = DAY if left > 2 * DAY else HOUR if left > HOUR else HOUR // 6
    return new // step < old // step


def administrators_before_and_after(occurrence: Occurrence) -> Recipients:
    """Notify the Administrators before and after the change of another role or other Administrators.

    So nobody is removed as an Administrator without being notified.
    """
    old, new = occurrence.subject, occurrence.new
    if not isinstance(old, ServiceUser) or not isinstance(new, ServiceUser):
        return administrators_or_person_if_keys_changed(occurrence)
    if (old.role, old.administrators) == (new.role, new.administrators):
        return nobody(occurrence)
    return Recipients(Audience.ADMINISTRATORS, {**old.administrators, **new.administrators})


def administrators_of_creation(occurrence: Occurrence) -> Recipients:
    """Notify the Administrators of a new Service User, and its creator, of its keys.

    Without keys, only if it has other Administrators than its creator, who are to know that they are.
    """
    before, after = (
        it.administrators if isinstance(it, ServiceUser) else {}
        for it in (occurrence.subject, occurrence.new or occurrence.subject)
    )
    if before != after:
        return Recipients(Audience.ADMINISTRATORS, {**before, **after})
    return administrators_or_person_if_keys_changed(occurrence)


def person_and_owners_if_owner(occurrence: Occurrence) -> Recipients:
    """Notify a User who gets or loses rights; all OWNERs too, if the User is an OWNER or becomes one."""
    return Recipients(Audience.PERSON_AND_OWNERS if _is_owner(occurrence.subject) else Audience.PERSON)


def member_if_role_changed(occurrence: Occurrence) -> Recipients:
    """Notify a User of another role; all OWNERs too, if they become an OWNER or were one.

    A User who never activated is not notified.
    """
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, User) and isinstance(new, User) and old.role is not new.role:
        return _unless_never_activated(occurrence, owners=_is_owner(old) or _is_owner(new))
    return administrators_or_person_if_keys_changed(occurrence)


def member_on_revocation(occurrence: Occurrence) -> Recipients:
    """Notify a revoked User, unless they never activated.

    Notify all OWNERs too, if the User was an OWNER, knows keys of Service Users, or was suspended: they could
    be invited again at once, by a machine whose key they know, although no machine resumes them.
    """
    subject = occurrence.subject
    was_suspended = isinstance(subject, User) and subject.suspended_at is not None
    owners = _is_owner(subject) or occurrence.knows_keys or was_suspended
    return _unless_never_activated(occurrence, owners=owners)


def _unless_never_activated(occurrence: Occurrence, *, owners: bool) -> Recipients:
    """Notify a User, unless they never activated, and all OWNERs if ``owners``.

    Somebody who never activated may be a stranger to the account: the only emails that an account can have
    sent to them are invitations, which have a budget of their own.
    """
    subject = occurrence.subject
    invitation = subject.invitation if isinstance(subject, User) else None
    if invitation is not None and not invitation.again and not occurrence.keys:
        return Recipients(Audience.OWNERS) if owners else nobody(occurrence)
    return Recipients(Audience.PERSON_AND_OWNERS if owners else Audience.PERSON)


def owners_if_loosened(occurrence: Occurrence) -> Recipients:
    """Notify all OWNERs if the account's policy becomes looser."""
    old, new = occurrence.subject, occurrence.new
    if isinstance(old, Account) and isinstance(new, Account) and is_policy_looser(old, new):
        return Recipients(Audience.OWNERS)
    return nobody(occurrence)


def owners_of_account(_occurrence: Occurrence) -> Recipients:
    """Notify all OWNERs, but the one whom the event is about (see :func:`owners`)."""
    return Recipients(Audience.OWNERS)


def is_policy_looser(old: Account, new: Account) -> bool:
    """Return whether keys (also leaked ones) may work longer now, or machines may now manage OWNERs."""
    was, now = old.policy, new.policy
    return (
        _is_longer(was.max_key_age_days, now.max_key_age_days)
        or _is_longer(was.revoke_inactive_after_days, now.revoke_inactive_after_days)
        or (was.pci_compliance and not now.pci_compliance)
        or (new.machines_manage_owners and not old.machines_manage_owners)
        or (now.keep_leaked_keys and not was.keep_leaked_keys)
    )


def _is_longer(old: int | None, new: int | None) -> bool:
    return old is not None and (new is None or new > old)


def _is_owner(subject: Principal | Account) -> bool:
    return isinstance(subject, User) and subject.role is Role.OWNER


def for_every_action(rules: Mapping[Action, AudienceRule]) -> Mapping[Action, AudienceRule]:
    """Return ``rules``. Raises ValueError if an action has no rule, so that none is forgotten."""
    if missing := [action.value for action in Action if action not in rules]:
        raise ValueError(f"NOTIFIED has no entry for {', '.join(missing)}")
    return rules


NOTIFIED = for_every_action(
    {
        Action.ACCOUNT_CREATED: administrators_or_person,
        Action.ACCOUNT_UPDATED: owners_if_loosened,
        Action.ALL_API_KEYS_REVOKED: administrators_or_person,
        Action.SERVICE_USER_CREATED: administrators_of_creation,
        Action.SERVICE_USER_UPDATED: administrators_before_and_after,
        Action.SERVICE_USER_DELETED: administrators_or_person,
        Action.SERVICE_USER_SUSPENDED: administrators_or_person,
        Action.SERVICE_USER_RESUMED: administrators_or_person_and_owners,
        Action.API_KEY_GENERATED: administrators_or_person_and_owners_if_by_operator,
        Action.API_KEY_ROTATED: administrators_or_person_and_owners_if_by_operator,
        Action.API_KEY_REVOKED: administrators_or_person,
        Action.API_KEY_UPDATED: key_holder_if_loosened_or_ending,
        Action.API_KEY_REFUSED: nobody,
        Action.API_KEY_ENDING: administrators_or_person,
        Action.API_KEY_LEAKED: administrators_or_person_and_owners,
        Action.USER_INVITED: person_and_owners_if_owner,
        Action.USER_ACTIVATED: person_and_owners_if_owner,
        Action.USER_UPDATED: member_if_role_changed,
        Action.USER_REVOKED: member_on_revocation,
        Action.USER_SUSPENDED: person_and_owners_if_owner,
        Action.USER_RESUMED: person_and_owners_if_owner,
        Action.PASSKEY_ADDED: administrators_or_person,
        Action.PASSKEY_REMOVED: administrators_or_person,
        Action.PASSKEY_ENDING: administrators_or_person,
        Action.PASSKEY_CODE_REQUESTED: administrators_or_person,
        Action.SIGNED_IN: person_if_signed_in_elsewhere,
        Action.SIGNED_OUT: nobody,
        Action.EMAIL_BOUNCED: owners_of_account,
        Action.EMAIL_COMPLAINT: owners_of_account,
    }
)
"""Who is notified of each action (product page: who-is-notified).

To notify somebody else, add a rule above and name it here.
An action whose rule notifies anybody also needs an email in ``chalicelib.mail.messages``.
"""


def recipients(action: Action, occurrence: Occurrence) -> Recipients:
    """Return who is to be notified of an event."""
    return NOTIFIED[action](occurrence)


ASIDE = "REFUSED#"
"""What the partition begins with that has those events of an account which the authorizer and ``feedback``
write; the account follows. They may write no event of another partition."""


ABOUT_FAILURES = frozenset({Action.EMAIL_BOUNCED, Action.EMAIL_COMPLAINT})
"""The actions whose events are about a person's address that fails."""

_ASIDE_ACTIONS = frozenset({Action.API_KEY_REFUSED, *ABOUT_FAILURES})


class EventKey(NamedTuple):
    """The key of an event. Its ``partition`` is its account, or that account's partition ``ASIDE``."""

    partition: str
    id: str

    @property
    def account(self) -> str:
        """The account of the event."""
        return self.partition.removeprefix(ASIDE)

    @property
    def is_of_account(self) -> bool:
        """Whether the partition is an account's id, or ``ASIDE`` and one. Others have a ``#`` elsewhere."""
        return "#" not in self.account


def key_of(event: Event) -> EventKey:
    """Return the key of an event."""
    return EventKey(f"{ASIDE}{event.account}" if is_aside(event.action) else event.account, event.id)


def is_aside(action: str) -> bool:
    """Return whether events with an action are in their account's partition ``ASIDE``."""
    return action in _ASIDE_ACTIONS


class RecipientLookup(NamedTuple):
    """Users by folded username and accounts by id, from a strongly consistent read."""

    people: dict[str, UserSummary]
    accounts: dict[str, AccountSummary]


class RecipientReason(NamedTuple):
    """Why somebody is notified."""

    owner: bool = False
    """They are an OWNER, and the Service User has no Administrator left, or one is suspended."""
    person: bool = False
    """It is about themselves."""
    every_owner: bool = False
    """They are an OWNER, and every OWNER is notified."""


ADMINISTRATOR = RecipientReason()
OWNER = RecipientReason(owner=True)
PERSON = RecipientReason(person=True)
EVERY_OWNER = RecipientReason(every_owner=True)


class Recipient(NamedTuple):
    """Somebody to be notified. ``name`` is their folded username, under which the event records them.

    ``role`` decides what the email tells an Administrator or OWNER to do; None for the person it is about.
    """

    name: str
    username: str
    email: str
    why: RecipientReason
    role: Role | None = None


class Outbox(Protocol):
    """The events as an outbox. ``chalicelib.store`` implements it on DynamoDB.

    ``lease`` is the time at which a claim ends, which also identifies the claim. A method returns False if
    the event has another claim by now, and then leaves the event to it. Marks are set nevertheless, because
    the recipient has been notified.
    """

    def claim(self, key: EventKey, now: int, lease: int, *, held: bool = False) -> Event | None:
        """Claim a pending event that is due, until ``lease``; None if it is not pending, or not due.

        With ``held``, also one that is held for a digest email and not due yet. A claim ends the hold.
        """
        ...

    def mark_notified(self, key: EventKey, name: str, now: int, lease: int, renewed: int | None) -> bool:
        """Mark a recipient as notified, and renew the lease; with None the event is no longer pending."""
        ...

    def mark_undeliverable(self, key: EventKey, name: str, why: str, lease: int, renewed: int | None) -> bool:
        """Mark a recipient as undeliverable, and renew the lease as :meth:`mark_notified` does."""
        ...

    def postpone(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Release a claimed event, to be retried at ``due_at``."""
        ...

    def hold(self, key: EventKey, lease: int, due_at: int) -> bool:
        """Release a claimed event, to be sent in a digest email at ``due_at``."""
        ...

    def held(self, event: Event, limit: int) -> list[EventKey]:
        """Return up to ``limit`` held events about the same subject that may be folded.

        Eventually consistent.
        """
        ...

    def notified_since(self, event: Event, since: int) -> dict[str, list[int]] | None:
        """Return the times at which each recipient was notified of events like this one, from ``since`` on.

        Those are events with the same action and subject; None if there are more than are read. Eventually
        consistent.
        """
        ...

    def finish(self, key: EventKey, lease: int) -> bool:
        """Finish a claimed event of which everybody has been notified: it is no longer pending."""
        ...

    def due(
        self, shard: str, since: int, now: int, limit: int, after: object
    ) -> tuple[list[EventKey], object]:
        """Return up to ``limit`` pending events of a shard that became due from ``since`` to ``now``.

        Longest due first, and with a position. Pass the position as ``after`` to get the next page. It is
        None at the end.
        """
        ...

    def read(self, names: frozenset[str], accounts: frozenset[str]) -> RecipientLookup:
        """Return Users by folded username, and accounts by id, strongly consistent."""
        ...

    def note_mailed(self, name: str, request: str, digest: bytes, until: int) -> bool:
        """Note the digest of a token or code that is mailed for an invitation or enrolment with this id.

        It is valid until then, and only while the User has that one. Return False if they are gone.
        """
        ...


def administrators(event: Event, directory: RecipientLookup) -> list[Recipient]:
    """Return the Administrators whom an event names and who are still entitled, by username.

    A suspended one is not, until they are resumed.
    """
    return [
        Recipient(name, user.username, user.email, ADMINISTRATOR, user.role)
        for name, user in _found(event.administrators, directory)
        if permissions.is_administrator(user, event) and user.suspended_at is None
    ]


def owners_stand_in(
    event: Event,
    administrators: list[Recipient],
    directory: RecipientLookup,
    now: float,
    refused: Collection[str] = (),
) -> bool:
    """Return whether the OWNERs are notified, because no entitled Administrator is left or one is suspended.

    Otherwise whoever suspends an Administrator for a minute could act in that minute with nobody notified.
    They also are if the addresses of all who are left fail, who may never see their emails, or if emails to
    them about this very event were ``refused``. If the event changed the Administrators, those before the
    change count: whoever was notified until then is notified of the change too.
    """
    named = _found(event.administrators, directory)
    if any(permissions.is_administrator(user, event) and user.suspended_at is not None for _, user in named):
        return True
    if "administrators" not in event.changes:
        concerned = administrators
    else:
        before = event.changes["administrators"][0].split(", ")
        concerned = [one for one in administrators if one.name in before]
    return all(
        one.name in refused or is_failing(directory.people[one.name].email_failure, now) for one in concerned
    )


def is_failing(failure: EmailFailure | None, now: float) -> bool:
    """Return whether a person's address counts as failing: it has failed within ``FAILING``."""
    return failure is not None and failure.at > now - FAILING


def owners(event: Event, directory: RecipientLookup, why: RecipientReason = OWNER) -> list[Recipient]:
    """Return the OWNERs of an event's account, by username; ``why`` says why they are notified.

    The User whom the event is about is not among them if they are notified as that person, or if emails to
    them are what fails.
    """
    account = directory.accounts.get(event.account)
    links = account.owners if account else {}
    leaves_out = event.audience is Audience.PERSON_AND_OWNERS or event.action in ABOUT_FAILURES
    about = fold_username(event.subject.username) if leaves_out else ""
    return [
        Recipient(name, user.username, user.email, why, user.role)
        for name, user in _found(links, directory)
        if name != about and permissions.is_owner(user, event.account, links)
    ]


def changes_owners(event: Event) -> bool:
    """Return whether an event changes who is an OWNER, or gives one a new key. The operator gets an alarm.

    That is: an OWNER invited, activated, raised, lowered, revoked, suspended or resumed, or recovered by the
    operator.
    """
    if event.action in (Action.USER_INVITED, Action.USER_UPDATED, Action.USER_REVOKED):
        return Role.OWNER.value in event.changes.get("role", ())
    if event.action is Action.ACCOUNT_CREATED:
        return True
    return event.audience is Audience.PERSON_AND_OWNERS and event.action is not Action.API_KEY_LEAKED


def comes_first(event: Event) -> bool:
    """Return whether an event that waits is mailed before the others of its account, however many they are.

    Those are the changes of who is an OWNER, and of the account's policy.
    """
    return changes_owners(event) or event.action is Action.ACCOUNT_UPDATED


def adds_owner(event: Event) -> bool:
    """Return whether a User becomes an OWNER by an event: activated or raised, or with a new account."""
    if event.action is Action.USER_ACTIVATED:
        return event.audience is Audience.PERSON_AND_OWNERS
    if event.action is Action.USER_UPDATED:
        return event.changes.get("role", ())[1:] == (Role.OWNER.value,)
    return event.action is Action.ACCOUNT_CREATED


def person(event: Event) -> list[Recipient]:
    """Return the User whom an event is about, even if just revoked, at the address they had then."""
    subject = event.subject
    return [Recipient(fold_username(subject.username), subject.username, subject.email, PERSON)]


def has_requested(user: UserSummary, event: Event) -> bool:
    """Return whether a User has the open invitation, or the request for a passkey, that an event is about.

    Otherwise its email is void: it was taken up, ended or replaced by another one.
    """
    if user.account != event.account:
        return False
    request = user.invitation if event.action is Action.USER_INVITED else user.enrolment
    return request is not None and request.id == event.invitation


def may_be_mailed(key: EventKey, event: Event) -> bool:
    """Return whether an event is one that belongs under its key.

    The function that writes what is mailed of a partition ``ASIDE`` may write no other email: the OWNERs are
    notified of a failing address, and nobody of anything else.
    """
    if key != key_of(event):
        return False
    about_failures = event.action in ABOUT_FAILURES and event.audience is Audience.OWNERS
    return about_failures or not is_aside(event.action)


def retry_delay(attempts: int, chance: float) -> int:
    """Return the seconds to wait after so many tries; ``chance``, in [0, 1), adds jitter.

    It is between three quarters of the pause and all of it, so that events that failed together are not
    retried together.
    """
    longest = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(max(attempts, 1) - 1, 16))
    return int(longest * (0.75 + 0.25 * chance))


def _found(links: Mapping[str, str], directory: RecipientLookup) -> Iterator[tuple[str, UserSummary]]:
    for name in sorted(links):
        if (user := directory.people.get(name)) is not None:
            yield name, user
