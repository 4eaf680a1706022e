"""Budgets and quotas, which the operator sets so that no caller can use up the capacity of the others.

A budget limits how often something is done that costs others: keys change, emails are sent to an address
that the caller chose, keys are looked up. A caller past a budget gets 429 with the time to wait. A quota
limits how much an account holds. A caller at a quota gets 409. Neither refuses a change that only withdraws
rights: revoking, deleting, lowering a role, tightening the restrictions of a key.

A principal's budget is a token bucket, stored as one number: the time at which it is full again
(``Principal.budget_full_at``). The change that spends it also stores it. So it needs no read or write of its
own, and it is exact under concurrency, because the change is conditional on the version that was read. The
other budgets are counters in items of their own (:mod:`chalicelib.store.counters`).

docs/security.md lists what has which budget, and what has none.
"""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from chalicelib.rules.errors import Conflict, TooManyRequests
from chalicelib.rules.model import Account, Passkey, Principal, ServiceUser, User
from chalicelib.rules.names import fold_email, fold_username
from chalicelib.rules.networks import sender
from chalicelib.rules.ports import Count, CountCall, CountChange, CountEmail, Emails

Holder = TypeVar("Holder", bound=Principal | Account)
PrincipalT = TypeVar("PrincipalT", bound=Principal)

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Limits(NamedTuple):
    """The limits that the operator set. :data:`VARIABLES` names the environment variable of each field."""

    key_changes_per_hour: int = 120
    key_change_burst: int = 10
    """Changes of one principal's keys that are possible at once, when the budget is full."""
    account_changes_per_minute: int = 300
    invitation_pause: int = 300
    """Seconds between two invitations to one address."""
    invitations_per_day: int = 10
    account_invitations_per_day: int = 200
    """Invitations of one account to all addresses together."""
    passkey_code_pause: int = 60
    """Seconds between two mailed codes for one person's passkey."""
    passkey_codes_per_day: int = 10
    key_searches_per_minute: int = 60
    """Searches for a key's holder by one caller."""
    leak_reports_per_minute: int = 60
    """Reports of leaked keys from one address, or one IPv6 network of /64."""
    mails_per_hour: int = 4
    """Emails of one kind about one principal to one recipient, before they are folded into a digest email."""
    users: int = 1_000
    owners: int = 50
    service_users: int = 10_000


DEFAULT = Limits()


class Variable(NamedTuple):
    """How a limit is set: an environment variable, and the range of whole numbers that it may have."""

    name: str
    least: int
    most: int


VARIABLES: Mapping[str, Variable] = {
    "key_changes_per_hour": Variable("KEY_CHANGES_PER_HOUR", 1, 3_600),
    "key_change_burst": Variable("KEY_CHANGE_BURST", 4, 1_000),
    "account_changes_per_minute": Variable("ACCOUNT_CHANGES_PER_MINUTE", 1, 100_000),
    "invitation_pause": Variable("INVITATION_PAUSE_SECONDS", 0, 86_400),
    "invitations_per_day": Variable("INVITATIONS_PER_DAY", 1, 1_000),
    "account_invitations_per_day": Variable("ACCOUNT_INVITATIONS_PER_DAY", 1, 100_000),
    "passkey_code_pause": Variable("PASSKEY_CODE_PAUSE_SECONDS", 0, 86_400),
    "passkey_codes_per_day": Variable("PASSKEY_CODES_PER_DAY", 1, 1_000),
    "key_searches_per_minute": Variable("KEY_SEARCHES_PER_MINUTE", 1, 100_000),
    "leak_reports_per_minute": Variable("LEAK_REPORTS_PER_MINUTE", 1, 100_000),
    "mails_per_hour": Variable("MAILS_PER_HOUR", 1, 1_000),
    "users": Variable("MAX_USERS", 2, 100_000),
    "owners": Variable("MAX_OWNERS", 2, 1_000),
    "service_users": Variable("MAX_SERVICE_USERS", 1, 1_000_000),
}
"""``MAX_OWNERS`` is bounded because the OWNERs are a map in the account's item (at most 400 KB) and in the
response of ``GET /v1/account`` (at most 1 MB). ``KEY_CHANGE_BURST`` leaves room to retry a lost response."""


def read_limits(environment: Mapping[str, str]) -> Limits:
    """Return the limits that environment variables set, and the defaults of the others.

    Raises ValueError for a variable that is out of its range.
    """
    found: dict[str, int] = {}
    for field, (name, least, most) in VARIABLES.items():
        text = environment.get(name, "")
        if not text:
            continue
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"{name} must be a whole number from {least} to {most}, not {text!r}.")
        found[field] = int(text)
    return Limits(**found)


def spend(holder: Holder, limits: Limits, now: int) -> Holder:
    """Return a principal or account whose budget has paid for one more change.

    Raises TooManyRequests, with the seconds to wait, if its budget is used up.
    """
    who = f"'{holder.name if isinstance(holder, Account) else holder.username}' has"
    return replace(holder, budget_full_at=_spend(holder.budget_full_at, who, limits, now))


def spend_on_names(principal: PrincipalT, limits: Limits, now: int) -> PrincipalT:
    """Return a principal whose budget of names for people has paid for one more change of them.

    It is a budget of its own: nobody is mailed of such a change, so it must not use up what rotates keys,
    brings back or puts another Administrator in charge. Raises TooManyRequests like :func:`spend`.
    """
    who = f"The display name, description and labels of '{principal.username}' have"
    return replace(principal, names_full_at=_spend(principal.names_full_at, who, limits, now))


def _spend(full_at: int | None, who: str, limits: Limits, now: int) -> int:
    """Return when a budget is full again that pays for one more change. Raises TooManyRequests."""
    interval = HOUR / limits.key_changes_per_hour
    after = _full_at(full_at, interval, now)
    wait = after - now - ceil(interval * limits.key_change_burst)
    if wait > 0:
        raise TooManyRequests(
            f"{who} been changed too often ({limits.key_changes_per_hour} changes an hour, "
            f"{limits.key_change_burst} at once); nothing was done. Wait {wait} seconds, as Retry-After "
            "says, and send it again. Revoking and deleting are always possible.",
            wait,
        )
    return after


def _full_at(before: int | None, interval: float, now: int) -> int:
    """Return when a token bucket is full again that pays once more: a token each ``interval`` seconds."""
    return max(before or 0, now) + ceil(interval)


SIGN_IN_EMAILS_PER_HOUR = 10
"""The most emails in an hour to one person about sign-ins from other addresses."""


def pay_for_sign_in_email(user: User, now: int) -> User:
    """Return a User whose budget has paid for an email about a sign-in; the same User if it is used up.

    The sign-in itself is never refused.
    """
    full_at = _full_at(user.sign_in_emails_full_at, HOUR / SIGN_IN_EMAILS_PER_HOUR, now)
    return user if full_at > now + HOUR else replace(user, sign_in_emails_full_at=full_at)


PASSKEY_USES_PER_HOUR = 120
PASSKEY_USE_BURST = 30
"""Sign-ins and confirmations with one passkey: in an hour, and at once when its budget is full."""


def pay_for_passkey_use(passkey: Passkey, now: int) -> Passkey:
    """Return a passkey whose budget has paid for one more sign-in or confirmation.

    Each one changes its User. So without a budget, whoever signs in again and again with one passkey could
    keep the person from signing in with another one, and from every change that is made to the User as read.
    Raises TooManyRequests, with the seconds to wait, if the budget is used up; that writes nothing.
    """
    interval = HOUR / PASSKEY_USES_PER_HOUR
    full_at = _full_at(passkey.budget_full_at, interval, now)
    wait = full_at - now - ceil(interval * PASSKEY_USE_BURST)
    if wait > 0:
        raise TooManyRequests(
            f"This passkey was used too often ({PASSKEY_USES_PER_HOUR} times an hour, {PASSKEY_USE_BURST} at "
            f"once). Wait {wait} seconds, or use another. If it was not you, somebody else has it: remove "
            "it, or ask an OWNER of the account for a new invitation.",
            wait,
        )
    return replace(passkey, budget_full_at=full_at)


def account_change(account: str, limits: Limits, now: int) -> CountChange:
    """Return the write that counts a change against the budget of the whole account."""
    return _account_change(account, limits.account_changes_per_minute, now, "changes")


def account_names(account: str, limits: Limits, now: int) -> CountChange:
    """Return the write that counts a change of names for people, of which an account may make a fifth."""
    most = max(limits.account_changes_per_minute // 5, 1)
    return _account_change(account, most, now, "changes of names, descriptions and labels", "NAMES#")


RESUMPTIONS_PER_MINUTE = 10
"""How many principals one caller may resume in a minute. All OWNERs are mailed of most of them."""


def resumption(caller: Principal, now: int) -> CountChange:
    """Return the write that counts a resumption against the budget of the caller.

    It is the caller's, so that whoever suspends somebody again and again keeps no OWNER from resuming them.
    """
    most, wait = RESUMPTIONS_PER_MINUTE, MINUTE - now % MINUTE
    return CountChange(
        caller.account,
        now // MINUTE,
        most,
        TooManyRequests(
            f"You have resumed {most} Users or Service Users in this minute, as many as you may. Wait {wait} "
            "seconds, as Retry-After says, and send it again.",
            wait,
        ),
        f"RESUME#{fold_username(caller.username)}#",
    )


def _account_change(account: str, most: int, now: int, what: str, kind: str = "") -> CountChange:
    wait = MINUTE - now % MINUTE
    return CountChange(
        account,
        now // MINUTE,
        most,
        TooManyRequests(
            f"The account has made more than {most} {what} in this minute; nothing was done. Wait {wait} "
            "seconds, as Retry-After says, and send it again. Revoking and deleting are always possible.",
            wait,
        ),
        kind,
    )


def invitation(account: str, email: str, limits: Limits, now: int) -> tuple[CountEmail, CountEmail]:
    """Return the writes that count an invitation against the budgets of its address and of the account.

    The first budget belongs to the address and not to the User: somebody who is revoked and invited again has
    the same inbox. The second bounds the strangers to whom a thief of an OWNER's key can have emails sent.
    """
    pause, most = limits.invitation_pause, limits.invitations_per_day
    in_all = limits.account_invitations_per_day

    def refused(last: int, today: int) -> TooManyRequests:
        wait = _wait(now, last + pause, today >= most)
        return TooManyRequests(
            f"'{email}' was invited a moment ago, or often today (once in {pause} seconds, {most} times a "
            f"day); nothing was mailed. Wait {wait} seconds, as Retry-After says, and send it again.",
            wait,
        )

    def account_refused(_last: int, _today: int) -> TooManyRequests:
        wait = _wait(now, 0, True)
        return TooManyRequests(
            f"The account has sent {in_all} invitations today, as many as it may; nothing was mailed. "
            f"Wait {wait} seconds, as Retry-After says, or ask the operator to raise the budget.",
            wait,
        )

    return (
        CountEmail(account, Emails.INVITATION, fold_email(email), now, pause, most, refused),
        CountEmail(account, Emails.ACCOUNT_INVITATIONS, "", now, 0, in_all, account_refused),
    )


def passkey_code(account: str, email: str, limits: Limits, now: int) -> CountEmail:
    """Return the write that counts a mailed code against the budget of the address."""
    pause, most = limits.passkey_code_pause, limits.passkey_codes_per_day

    def refused(last: int, today: int) -> TooManyRequests:
        wait = _wait(now, last + pause, today >= most)
        return TooManyRequests(
            f"A code was mailed a moment ago, or often today (once in {pause} seconds, {most} times a day); "
            "none was mailed now. Use the last one, in the browser that asked for it, or wait "
            f"{wait} seconds and ask again. If somebody else asks for them, they have your key: rotate it.",
            wait,
        )

    return CountEmail(account, Emails.PASSKEY_CODE, fold_email(email), now, pause, most, refused)


def _wait(now: int, after_pause: int, day_is_full: bool) -> int:
    """Return the seconds until the pause is over and, if the day is full, the next day (UTC) begins."""
    return max(after_pause - now, DAY - now % DAY if day_is_full else 0, 1)


def key_search(caller: Principal, limits: Limits, now: int) -> CountCall:
    """Return the count of a caller's search for a key's holder."""
    most, wait = limits.key_searches_per_minute, MINUTE - now % MINUTE
    return CountCall(
        f"{caller.account}#SEARCH#{fold_username(caller.username)}",
        now // MINUTE,
        most,
        TooManyRequests(
            f"You have searched for keys {most} times in this minute, as often as you may. Wait "
            f"{wait} seconds, as Retry-After says, and send it again.",
            wait,
        ),
    )


def leak_report(source_ip: str, limits: Limits, now: int) -> CountCall:
    """Return the count of a report of leaked keys against the budget of the address it comes from.

    It is the sender's, and nobody else's: a budget for all would let one sender silence the others.
    """
    most, wait = limits.leak_reports_per_minute, MINUTE - now % MINUTE
    return CountCall(
        f"REPORT#{sender(source_ip)}",
        now // MINUTE,
        most,
        TooManyRequests(
            f"Your address has sent {most} reports in this minute, as many as it may; nothing was done with "
            f"this one. Wait {wait} seconds, as Retry-After says, and send it again; a report takes up to "
            "100 keys.",
            wait,
        ),
    )


def added(principal: Principal, limits: Limits) -> Count:
    """Return the write that counts a new principal against its account's quota."""
    kind = type(principal)
    most, what, go_on = (
        (limits.service_users, "Service Users", "Delete one that is not needed")
        if isinstance(principal, ServiceUser)
        else (limits.users, "Users", "Revoke one who is not needed")
    )
    return Count(
        principal.account,
        kind,
        1,
        most,
        Conflict(
            f"The account has reached its quota of {what} ({most}). {go_on}, or ask the operator of this "
            "service to raise the quota."
        ),
    )


def removed(principal: Principal) -> Count:
    """Return the write that counts a removed principal; it is never refused."""
    return Count(principal.account, type(principal), -1, 0, Conflict("The account is missing."))


def owners_full(limits: Limits) -> Conflict:
    """Return the error of one more OWNER in an account that is at its quota of OWNERs."""
    return Conflict(
        f"The account has reached its quota of OWNERs ({limits.owners}). Lower or revoke one, or ask the "
        "operator of this service to raise the quota."
    )
