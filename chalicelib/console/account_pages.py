"""The account: its events, name and policy, and which keys a new policy will revoke, and when."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from chalice.app import Response

from chalicelib.console.forms import is_number, require_as_shown, submit
from chalicelib.console.pages import page, quoted, require_role
from chalicelib.console.visit import Visit, check_fields
from chalicelib.http import bodies
from chalicelib.http.account import EVENT_FORM
from chalicelib.rules import accounts, permissions, policies
from chalicelib.rules.accounts import PolicyUpdate
from chalicelib.rules.model import Account, Action, Policy, Principal, ServiceUser, User
from chalicelib.rules.names import USERNAME
from chalicelib.rules.policies import Expiry
from chalicelib.rules.ports import EventQuery
from chalicelib.rules.roles import Role

PAGE = 50
MAX_READ = 500
"""The most Service Users, and the most Users, to read in the search for keys that a policy will revoke."""


class Ending(NamedTuple):
    """A key or a passkey that a policy will end, and the earliest time."""

    username: str
    what: str
    at: int
    reason: str


def events(visit: Visit) -> Response:
    """Show the account's events, and who was notified of them."""
    auth = visit.sign_in()
    permissions.require_can_read_events(auth)
    query = visit.query()
    username, actor = query.get("username", "").strip(), query.get("actor", "").strip()
    wanted = next((it for it in Action if it.value == query.get("action")), None)
    after = query.get("after", "")
    wanted_events = EventQuery(
        username=username if re.match(USERNAME, username) else None,
        actor=actor if re.match(USERNAME, actor) else None,
        action=wanted.value if wanted else None,
    )
    after = after if re.fullmatch(EVENT_FORM, after) else ""
    found = visit.trail.events(auth.caller.account, wanted_events, PAGE, after or None)
    return page(
        visit,
        "events.html",
        events=found.events,
        after=found.after,
        actions=list(Action),
        asked={"username": username, "actor": actor, "action": wanted.value if wanted else ""},
    )


def show(visit: Visit) -> Response:
    """Show the account's name and policy, or change them. Shows first which keys a change will revoke."""
    auth = visit.sign_in()
    require_role(visit, Role.CLUSTER_ADMIN, "The account")
    account = accounts.read(visit.directory, auth)
    values: dict[str, Any] = {
        "account": account,
        "endings": None,
        "complete": True,
        "sure": "",
        "was": _state_of(account),
    }
    if visit.method == "GET":
        typed = {
            "name": account.name,
            "maxKeyAgeDays": account.policy.max_key_age_days or "",
            "revokeInactiveAfterDays": account.policy.revoke_inactive_after_days or "",
            "pciCompliance": "yes" if account.policy.pci_compliance else "",
            "machinesManageOwners": "yes" if account.machines_manage_owners else "",
            "revokeLeakedKeys": "" if account.policy.keep_leaked_keys else "yes",
        }
        return page(visit, "account.html", **{**values, "form": typed}, done=visit.query().get("done", ""))
    permissions.require_can_change_account(auth)
    values["done"] = ""

    def act() -> Response:
        fields = _fields(visit)
        body = check_fields(bodies.UpdateAccount, fields, visit.origin.now)
        wanted = PolicyUpdate(
            body.name,
            body.max_key_age_days,
            body.revoke_inactive_after_days,
            body.pci_compliance,
            body.machines_manage_owners,
            body.revoke_leaked_keys,
        )
        policy = accounts.policy_with(account, wanted)
        shown_for = f"{policy.max_key_age_days} {policy.revoke_inactive_after_days}"
        if visit.field("sure") != shown_for and _is_shorter(account.policy, policy):
            endings, complete = _endings(visit, account, policy)
            if endings or not complete:
                typed = {name: "\n".join(given) for name, given in visit.form().items()}
                shown = {**values, "form": typed, "endings": endings, "complete": complete, "sure": shown_for}
                return page(visit, "account.html", **shown)

        def check(old: Account) -> None:
            require_as_shown(visit, _state_of(old))

        accounts.update(visit.directory, auth, wanted, None, check)
        return visit.redirect_to("account?done=changed")

    return submit(visit, "account.html", act, **values)


def _state_of(account: Account) -> str:
    """Return a text that changes whenever what the form of an account changes does."""
    it = account.policy
    numbers = (it.max_key_age_days, it.revoke_inactive_after_days)
    switches = (it.pci_compliance, it.keep_leaked_keys, account.machines_manage_owners)
    return " ".join(map(str, (*numbers, *switches, account.name)))


def _fields(visit: Visit) -> dict[str, Any]:
    def days(name: str) -> int | str | None:
        given = visit.field(name)
        return int(given) if is_number(given) else given or None

    fields: dict[str, Any] = {
        "name": visit.field("name"),
        "pciCompliance": visit.field("pciCompliance") == "yes",
        "machinesManageOwners": visit.field("machinesManageOwners") == "yes",
        "revokeLeakedKeys": visit.field("revokeLeakedKeys") == "yes",
    }
    for name in ("maxKeyAgeDays", "revokeInactiveAfterDays"):
        if not (fields["pciCompliance"] and not visit.field(name)):  # that sets both by itself
            fields[name] = days(name)
    return fields


def _is_shorter(old: Policy, new: Policy) -> bool:
    """Return whether a policy can end a key or a passkey earlier than another does."""
    limits = (
        (old.max_key_age_days, new.max_key_age_days),
        (old.revoke_inactive_after_days, new.revoke_inactive_after_days),
    )
    return any(now is not None and (was is None or now < was) for was, now in limits)


def _endings(visit: Visit, account: Account, policy: Policy) -> tuple[list[Ending], bool]:
    """Return the keys and passkeys that only the new policy will end, soonest first, and whether all."""
    found: list[Ending] = []
    complete = True
    for kind in (ServiceUser, User):
        after: str | None = None
        walked = 0
        while walked < MAX_READ:
            part = visit.directory.page(account.id, kind, 100, after)
            walked += len(part.members)
            now = visit.origin.second
            found += [it for member in part.members for it in _of(member, account, policy, now)]
            after = part.after
            if after is None:
                break
        else:
            complete = False
    return sorted(found, key=lambda it: it.at), complete


def _of(principal: Principal, account: Account, policy: Policy, now: int) -> list[Ending]:
    def ends(by: Policy) -> Iterator[tuple[str, Expiry | None]]:
        for key_type, key in principal.keys.items():
            yield f"{key_type.value} …{key.last5}", policies.planned_end(key, by, now)
        for passkey in principal.passkeys.values() if isinstance(principal, User) else ():
            yield f"passkey {quoted(passkey.name)}", policies.planned_passkey_end(passkey, by, now)

    return [
        Ending(principal.username, what, then.at, then.reason)
        for (what, then), (_, today) in zip(ends(policy), ends(account.policy), strict=True)
        if then is not None and (today is None or then.at < today.at)
    ]
