"""Accounts: making one with its first OWNER, and its name and policy."""

import uuid
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from chalicelib.rules import api_keys, permissions
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import Conflict, FieldError, NotFound, validation_error_of
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.key_operations import concurrent_change
from chalicelib.rules.lifetimes import PCI_BROKEN, PCI_DAYS, exceeds_pci_limit
from chalicelib.rules.model import Account, Action, Actor, Kind, Policy, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Add, AddAccount, Directory, Replace, UpdateAccount
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.users import check_username

T = TypeVar("T")

PCI_OWNERS = 2
"""OWNERs an account needs before it can turn ``pciCompliance`` on."""


class NewAccount(NamedTuple):
    """What ``create_account`` is asked for: the account's name and its first OWNER."""

    name: str
    username: str
    email: str
    display_name: str


def create(directory: Directory, asked: NewAccount, origin: Origin) -> tuple[User, IssuedKey]:
    """Make an account with its first OWNER. Answers that User and their USER_MANAGEMENT key, once.

    Raises Invalid for a reserved username, and Conflict where the username or the email is taken.
    """
    check_username(asked.username)
    now = origin.second
    membership = new_id()
    account = Account(
        id=str(uuid.uuid4()),
        name=asked.name,
        version=new_version(),
        created_at=now,
        owners={fold_username(asked.username): membership},
    )
    owner = User(
        username=asked.username,
        account=account.id,
        email=asked.email,
        role=Role.OWNER,
        version=new_version(),
        created_at=now,
        display_name=asked.display_name or asked.username,
        membership=membership,
    )
    owner, shown, change = api_keys.generate(owner, KeyType.USER_MANAGEMENT, KeyRestrictions(), "", now)
    record = new_event(origin, Actor(Kind.OPERATOR), Action.ACCOUNT_CREATED, owner, (change,), mailed=True)
    directory.commit(
        record,
        Add(
            owner,
            Conflict(f"The username '{owner.username}' is taken. Choose another."),
            Conflict(f"The email '{owner.email}' is taken. Choose another."),
        ),
        AddAccount(account, concurrent_change()),
    )
    return owner, shown


def recover(directory: Directory, username: str, origin: Origin) -> tuple[User, IssuedKey]:
    """Give an OWNER who has lost their way in a new USER_MANAGEMENT key in place of the one they had.

    Answers the User and the key in the clear, once. The key is good from every address and has no end,
    whatever shut the OWNER out before; their other keys stay. Raises NotFound where there is no such
    User, and Conflict where they are no OWNER who has activated.
    """
    old = directory.principal(username)
    if not isinstance(old, User):
        raise NotFound(f"There is no User '{username}'.")
    if old.role is not Role.OWNER or old.invitation is not None:
        raise Conflict(
            f"'{old.username}' is no OWNER who has activated. An OWNER can send them an invitation."
        )
    key_type, now = KeyType.USER_MANAGEMENT, origin.second
    had = old.keys.get(key_type)
    if had is None:
        action = Action.API_KEY_GENERATED
        new, shown, change = api_keys.generate(old, key_type, KeyRestrictions(), "", now)
    else:
        action = Action.API_KEY_ROTATED
        bare = replace(old, keys={**old.keys, key_type: replace(had, networks=(), expires_at=None)})
        new, shown, change = api_keys.rotate(bare, key_type, 0, now)
    record = new_event(origin, Actor(Kind.OPERATOR), action, old, (change,), mailed=True)
    directory.commit(record, Replace(old, new, concurrent_change()))
    return new, shown


def read(directory: Directory, auth: AuthContext) -> Account:
    """Answer the caller's account to OWNER and CLUSTER_ADMIN Users."""
    permissions.require_can_read_account(auth)
    return _find(directory, auth)


class PolicyUpdate(NamedTuple):
    """What an account is to be from now on; Unset stays as it is."""

    name: str | api_keys.Unset = api_keys.UNSET
    max_key_age_days: int | api_keys.Unset | None = api_keys.UNSET
    revoke_inactive_after_days: int | api_keys.Unset | None = api_keys.UNSET
    pci_compliance: bool | api_keys.Unset = api_keys.UNSET


def update(directory: Directory, auth: AuthContext, wanted: PolicyUpdate) -> Account:
    """Change the account's name and policy.

    ``pciCompliance`` brings both ages to 90 days (or leaves them lower) and keeps them there, and needs
    two OWNERs who have activated. Raises Conflict where there are fewer.
    """
    permissions.require_can_change_account(auth)
    old = _find(directory, auth)
    policy = _policy(old.policy, wanted)
    name = old.name if isinstance(wanted.name, api_keys.Unset) else wanted.name
    changes = _changes(old, name, policy)
    if not changes:
        return old
    turned_on = policy.pci_compliance and not old.policy.pci_compliance
    owners = PCI_OWNERS if turned_on else 0
    if len(old.owners) < owners:
        raise Conflict("pciCompliance needs two OWNERs who have activated. Invite another, then turn it on.")
    new = replace(old, name=name, policy=policy, version=new_version())
    record = new_event(auth.origin, actor(auth.caller), Action.ACCOUNT_UPDATED, new, changes=changes)
    directory.commit(
        record,
        UpdateAccount(old, new.name, new.policy, new.version, owners, concurrent_change()),
        auth.still_entitled(),
    )
    return new


def _find(directory: Directory, auth: AuthContext) -> Account:
    account = directory.account(auth.caller.account)
    if account is None:
        raise LookupError(f"account {auth.caller.account} of {auth.caller.username} is gone")
    return account


def _policy(old: Policy, wanted: PolicyUpdate) -> Policy:
    age = _given(wanted.max_key_age_days, old.max_key_age_days)
    idle = _given(wanted.revoke_inactive_after_days, old.revoke_inactive_after_days)
    pci = _given(wanted.pci_compliance, old.pci_compliance)
    if not pci:
        return Policy(age, idle, False)
    faults = [
        FieldError(pointer, PCI_BROKEN)
        for pointer, days in (
            ("/maxKeyAgeDays", wanted.max_key_age_days),
            ("/revokeInactiveAfterDays", wanted.revoke_inactive_after_days),
        )
        if not isinstance(days, api_keys.Unset) and exceeds_pci_limit(days)
    ]
    if faults:
        raise validation_error_of(faults)
    return Policy(min(age or PCI_DAYS, PCI_DAYS), min(idle or PCI_DAYS, PCI_DAYS), True)


def _given(value: T | api_keys.Unset, old: T) -> T:
    return old if isinstance(value, api_keys.Unset) else value


def _changes(old: Account, name: str, policy: Policy) -> dict[str, tuple[str, str]]:
    pairs = {
        "name": (old.name, name),
        "maxKeyAgeDays": (old.policy.max_key_age_days, policy.max_key_age_days),
        "revokeInactiveAfterDays": (old.policy.revoke_inactive_after_days, policy.revoke_inactive_after_days),
        "pciCompliance": (old.policy.pci_compliance, policy.pci_compliance),
    }
    return {field: (_text(was), _text(now)) for field, (was, now) in pairs.items() if was != now}


def _text(value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
