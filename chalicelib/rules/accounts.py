"""Accounts: creating one with its first OWNER, recovering an OWNER, and changing name and policy."""

import uuid
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from chalicelib.rules import api_keys, limits, permissions, sessions
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import caller_as_actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import (
    Conflict,
    FieldError,
    NotFound,
    concurrent_change,
    validation_error_of,
)
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.lifetimes import PCI_BROKEN, PCI_DAYS, exceeds_pci_limit
from chalicelib.rules.model import Account, Action, Actor, Cause, Kind, Policy, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import AddAccount, Directory, Replace, UpdateAccount
from chalicelib.rules.preconditions import IfMatch, require_match
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.suspension import OPERATOR
from chalicelib.rules.users import check_username
from chalicelib.rules.writes import add_first_principal, until_revoked

T = TypeVar("T")

PCI_OWNERS = 2
"""Activated OWNERs an account needs to turn ``pciCompliance`` on."""


class NewAccount(NamedTuple):
    """The input of :func:`create`: the account's name and its first OWNER."""

    name: str
    username: str
    email: str
    display_name: str


def create(directory: Directory, wanted: NewAccount, origin: Origin) -> tuple[User, IssuedKey]:
    """Create an account with its first OWNER. Return that User and their USER_MANAGEMENT key.

    Raises ValidationError for a reserved username, and Conflict if the username is taken.
    """
    check_username(wanted.username)
    now = origin.second
    membership = new_id()
    account = Account(
        id=str(uuid.uuid4()),
        name=wanted.name,
        version=new_version(),
        created_at=now,
        owners={fold_username(wanted.username): membership},
        user_count=1,
        counted=True,
    )
    owner = User(
        username=wanted.username,
        account=account.id,
        email=wanted.email,
        role=Role.OWNER,
        version=new_version(),
        created_at=now,
        display_name=wanted.display_name or wanted.username,
        membership=membership,
        email_by_account=True,
    )
    owner, issued, change = api_keys.generate(owner, KeyType.USER_MANAGEMENT, KeyRestrictions(), "", now)
    event = new_event(
        origin, Actor(Kind.OPERATOR), Action.ACCOUNT_CREATED, owner, (change,), cause=Cause.OPERATOR
    )
    directory.commit(event, add_first_principal(owner), AddAccount(account, concurrent_change()))
    return owner, issued


def recover(directory: Directory, username: str, origin: Origin) -> tuple[User, IssuedKey]:
    """Issue a replacement USER_MANAGEMENT key to an OWNER who is locked out. Return the User and the key.

    The new key has no restrictions, because those may be what locked the OWNER out; their other keys stay.
    Their passkeys, sessions and mailed code end: they may be somebody else's, who took the OWNER's place.
    With the new key and a mailed code the OWNER adds a passkey again.

    Raises NotFound if there is no such User, and Conflict if they are not an activated OWNER, or suspended.
    """
    recovered: list[tuple[User, IssuedKey]] = []

    def attempt(*, any_version: bool) -> None:  # noqa: ARG001 - each try reads the version that there is
        recovered.append(_recover(directory, username, origin))

    until_revoked(attempt)  # somebody who signs in again and again must not prevent it
    return recovered[0]


def _recover(directory: Directory, username: str, origin: Origin) -> tuple[User, IssuedKey]:
    old = directory.principal(username)
    if not isinstance(old, User):
        raise NotFound(f"There is no User '{username}'.")
    if old.role is not Role.OWNER or old.invitation is not None:
        raise Conflict(f"'{old.username}' is not an activated OWNER. An OWNER can send them an invitation.")
    if old.suspended_at is not None:
        if old.suspended_by == OPERATOR:
            raise Conflict(
                f"The operator has suspended '{old.username}' with the account: resume that first."
            )
        raise Conflict(f"'{old.username}' is suspended. Another OWNER can resume them; recover that one.")
    key_type, now = KeyType.USER_MANAGEMENT, origin.second
    key = old.keys.get(key_type)
    if key is None:
        action = Action.API_KEY_GENERATED
        new, issued, change = api_keys.generate(old, key_type, KeyRestrictions(), "", now)
    else:
        action = Action.API_KEY_ROTATED
        unrestricted = api_keys.with_revoked_predecessor(
            replace(key, networks=(), expires_at=None), key.digest
        )
        holder = replace(old, keys={**old.keys, key_type: unrestricted})
        new, issued, change, _ = api_keys.rotate(holder, key_type, 0, now)
        # A key of its own, no successor: what was invited with any secret of the old one is withdrawn.
        key = new.keys[key_type]
        key = replace(key, created_at=now, first=api_keys.beginning(key.digest))
        new = replace(new, keys={**new.keys, key_type: key})
    new = replace(new, passkeys={}, sessions={}, enrolment=None)
    event = new_event(origin, Actor(Kind.OPERATOR), action, old, (change,), cause=Cause.OPERATOR)
    directory.commit(event, Replace(old, new, concurrent_change()), patient=True)
    return new, issued


def read(directory: Directory, auth: AuthContext) -> Account:
    """Return the caller's account."""
    permissions.require_can_read_account(auth)
    return _find(directory, auth)


class PolicyUpdate(NamedTuple):
    """The input of :func:`update`. Fields that are UNSET stay as they are."""

    name: str | UnsetType = UNSET
    max_key_age_days: int | UnsetType | None = UNSET
    revoke_inactive_after_days: int | UnsetType | None = UNSET
    pci_compliance: bool | UnsetType = UNSET
    machines_manage_owners: bool | UnsetType = UNSET
    revoke_leaked_keys: bool | UnsetType = UNSET


def policy_with(account: Account, wanted: PolicyUpdate) -> Policy:
    """Return the policy that an update gives an account. Raises ValidationError."""
    return _policy(account.policy, wanted)


def update(
    directory: Directory,
    auth: AuthContext,
    wanted: PolicyUpdate,
    if_match: IfMatch | None,
    check: Callable[[Account], None],
) -> Account:
    """Change the account's name and policy, and return the account.

    ``check`` is called with the account as it was, before anything is changed, and may raise.

    ``pciCompliance`` sets both limits to 90 days (or leaves them lower), keeps them there, and requires two
    OWNERs who are activated and not suspended. Raises Conflict if there are fewer, and TooManyRequests if the
    account was changed too often, unless the change only makes the policy stricter.
    """
    permissions.require_can_change_account(auth)
    sessions.require_confirmed(auth)
    old = _find(directory, auth)
    require_match(if_match, old.version, old.name)
    check(old)
    policy = policy_with(old, wanted)
    new = replace(
        old,
        name=_or_old(wanted.name, old.name),
        policy=policy,
        machines_manage_owners=_or_old(wanted.machines_manage_owners, old.machines_manage_owners),
        version=new_version(),
    )
    changes = _changes(old, new)
    if not changes:
        return old
    turned_on = policy.pci_compliance and not old.policy.pci_compliance
    owners = PCI_OWNERS if turned_on else 0
    if len(old.owners) < owners:
        raise Conflict(
            "pciCompliance needs two OWNERs who are activated and not suspended. Invite or resume another, "
            "then turn it on."
        )
    if not _only_stricter(old, new):
        new = limits.spend(new, directory.limits, auth.origin.second)
    event = new_event(
        auth.origin, caller_as_actor(auth), Action.ACCOUNT_UPDATED, old, changes=changes, new=new
    )
    directory.commit(
        event,
        UpdateAccount(old, new, owners, concurrent_change()),
        auth.still_entitled(),
    )
    return new


def _find(directory: Directory, auth: AuthContext) -> Account:
    account = directory.account(auth.caller.account)
    if account is None:
        raise LookupError(f"account {auth.caller.account} of {auth.caller.username} is missing")
    return account


def _policy(old: Policy, wanted: PolicyUpdate) -> Policy:
    age = _or_old(wanted.max_key_age_days, old.max_key_age_days)
    inactivity = _or_old(wanted.revoke_inactive_after_days, old.revoke_inactive_after_days)
    keep_leaked = not _or_old(wanted.revoke_leaked_keys, not old.keep_leaked_keys)
    if not _or_old(wanted.pci_compliance, old.pci_compliance):
        return Policy(age, inactivity, False, keep_leaked)
    errors = [
        FieldError(pointer, PCI_BROKEN)
        for pointer, days in (
            ("/maxKeyAgeDays", wanted.max_key_age_days),
            ("/revokeInactiveAfterDays", wanted.revoke_inactive_after_days),
        )
        if days is not UNSET and exceeds_pci_limit(days)
    ]
    if errors:
        raise validation_error_of(errors)
    return Policy(min(age or PCI_DAYS, PCI_DAYS), min(inactivity or PCI_DAYS, PCI_DAYS), True, keep_leaked)


def _or_old(value: T | UnsetType, old: T) -> T:
    return old if value is UNSET else value


def _changes(old: Account, new: Account) -> dict[str, tuple[str, str]]:
    was, now = old.policy, new.policy
    pairs = {
        "name": (old.name, new.name),
        "maxKeyAgeDays": (was.max_key_age_days, now.max_key_age_days),
        "revokeInactiveAfterDays": (was.revoke_inactive_after_days, now.revoke_inactive_after_days),
        "pciCompliance": (was.pci_compliance, now.pci_compliance),
        "machinesManageOwners": (old.machines_manage_owners, new.machines_manage_owners),
        "revokeLeakedKeys": (not was.keep_leaked_keys, not now.keep_leaked_keys),
    }
    return {field: (_text(one), _text(other)) for field, (one, other) in pairs.items() if one != other}


def _only_stricter(old: Account, new: Account) -> bool:
    """Return whether a change of an account only makes its policy stricter."""
    was, now = old.policy, new.policy
    return (
        new.name == old.name
        and _no_longer(was.max_key_age_days, now.max_key_age_days)
        and _no_longer(was.revoke_inactive_after_days, now.revoke_inactive_after_days)
        and was.pci_compliance <= now.pci_compliance
        and old.machines_manage_owners >= new.machines_manage_owners
        and was.keep_leaked_keys >= now.keep_leaked_keys
    )


def _no_longer(was: int | None, now: int | None) -> bool:
    return was is None or (now is not None and now <= was)


def _text(value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
