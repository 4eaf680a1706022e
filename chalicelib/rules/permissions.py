"""Who may do what, one function for each rule. ``require_…`` raises Forbidden with the reason.

``contract/operations.py`` says the same to customers, call by call.
"""

from collections.abc import Mapping

from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Forbidden
from chalicelib.rules.model import Account, Event, Principal, ServiceUser, User, UserSummary
from chalicelib.rules.names import fold_username, with_article
from chalicelib.rules.roles import KeyType, Role

MACHINES_DO_NOT_MANAGE_OWNERS = (
    "A Service User may not invite, change or revoke an OWNER. An OWNER User can do it, or let Service Users "
    "do it: PUT /v1/account with 'machinesManageOwners'."
)

# Who may administer a Service User is decided here only: for the guards below, for the Administrators that a
# Service User shows and is given (service_users), and for the recipients of emails (notifications). Every
# write checks it again: with AuthContext.still_entitled, the store commits only if the caller's account,
# role, membership and key have not changed; with Replace and Remove, only if the Service User has not.


def can_administer(user: User | UserSummary, target: ServiceUser | Event) -> bool:
    """Return whether a User may administer a Service User: any OWNER of its account, or an Administrator."""
    return (user.account == target.account and user.role is Role.OWNER) or is_administrator(user, target)


def is_administrator(user: User | UserSummary, target: ServiceUser | Event) -> bool:
    """Return whether a User is an Administrator of a Service User now.

    They are one if the Service User lists them with their current membership, in the same account, and their
    role is CLUSTER_ADMIN or OWNER (product page: revoked-administrator). A User who is sent a new invitation
    keeps their membership, and so stays an Administrator. One who was revoked and is invited again gets a new
    membership, and does not. For an event, the list is the one that it recorded.
    """
    return _is_linked(user, target.account, target.administrators, Role.CLUSTER_ADMIN)


def can_become_administrator(user: User, target: ServiceUser) -> bool:
    """Return whether a User may be listed as an Administrator.

    They must be an activated CLUSTER_ADMIN or OWNER of the same account, and not suspended. A current
    Administrator may be listed again even so, so that a caller can write back the list they read.
    """
    eligible = user.account == target.account and user.role.covers(Role.CLUSTER_ADMIN)
    can_sign_in = user.invitation is None and user.suspended_at is None
    return eligible and (can_sign_in or is_administrator(user, target))


def is_owner(user: User | UserSummary, account: str, owners: Mapping[str, str]) -> bool:
    """Return whether a User is one of an account's OWNERs who can act (``Account.owners``)."""
    return _is_linked(user, account, owners, Role.OWNER)


def require_management_key(auth: AuthContext) -> None:
    """Requires a USER_MANAGEMENT key."""
    if auth.key_type is not KeyType.USER_MANAGEMENT:
        raise Forbidden(
            "This call needs a USER_MANAGEMENT key; you signed in with "
            f"{with_article(auth.key_type.value)} key."
        )


def require_can_manage_service_users(auth: AuthContext) -> User:
    """Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key.

    Returns that User. A Service User never manages Service Users.
    """
    return _require_user(auth, "Managing Service Users", Role.CLUSTER_ADMIN)


def require_administers(auth: AuthContext, target: ServiceUser) -> None:
    """Requires a USER_MANAGEMENT key of an OWNER User, or of an Administrator of the Service User."""
    user = require_can_manage_service_users(auth)
    if not can_administer(user, target):
        raise Forbidden(
            f"You are not an Administrator of '{target.username}'. "
            "Ask one of its Administrators, or an OWNER, to add you."
        )


def require_can_grant(auth: AuthContext, role: Role) -> None:
    """Requires that the role to give is not higher than the caller's."""
    if not auth.role.covers(role):
        raise Forbidden(f"The role {role.value} is above your own, {auth.role.value}.")


def require_can_issue_keys(auth: AuthContext, target: ServiceUser) -> None:
    """Requires a role that is not below the Service User's.

    So whoever is shown a key is shown no more power than they have themselves.
    """
    if not auth.role.covers(target.role):
        raise Forbidden(
            f"'{target.username}' has the role {target.role.value}, above your own, "
            f"{auth.role.value}. Ask an OWNER to generate or rotate its keys."
        )


def require_can_change_rights(auth: AuthContext, target: ServiceUser) -> None:
    """Requires a role that is not below the Service User's.

    It is needed to change its role or Administrators, to loosen a key, or to resume it. A caller with a lower
    role may still revoke its keys, suspend and delete it, because that gives nobody more rights.
    """
    if not auth.role.covers(target.role):
        raise Forbidden(
            f"'{target.username}' has the role {target.role.value}, above your own, {auth.role.value}. "
            "You can revoke its keys, suspend it or delete it. Ask an OWNER to change its role or "
            "Administrators, to loosen the restrictions of its keys, or to resume it."
        )


def require_can_read_service_users(auth: AuthContext) -> None:
    """Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key.

    A Service User may read Service Users but not change them, so that an inventory needs no person's key.
    """
    _require_role(auth, "Reading Service Users", Role.CLUSTER_ADMIN)


def require_can_find_keys(auth: AuthContext) -> None:
    """Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key.

    Everybody who may read Service Users, Users and events may find a key's holder, because whoever is on call
    has to know it at once. Revoking the key takes another permission.
    """
    _require_role(auth, "Finding keys", Role.CLUSTER_ADMIN)


def require_can_list_users(auth: AuthContext) -> None:
    """Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key.

    CLUSTER_ADMIN Users list the Users of the account to choose Administrators.
    """
    _require_role(auth, "Listing Users", Role.CLUSTER_ADMIN)


def require_can_manage_users(auth: AuthContext) -> None:
    """Requires the role OWNER (a User or a Service User) and a USER_MANAGEMENT key."""
    require_management_key(auth)
    if auth.role is not Role.OWNER:
        raise Forbidden(
            f"Managing Users requires the role OWNER; your role is {auth.role.value}. "
            "Ask an OWNER of the account."
        )


def require_can_resume_users(auth: AuthContext) -> None:
    """Requires a User with the role OWNER, and a USER_MANAGEMENT key.

    Somebody who is suspended may know the key of a machine, and must not resume themselves with it.
    """
    _require_user(auth, "Resuming Users", Role.OWNER)


def require_machines_manage_owners(account: Account | None) -> None:
    """Requires that the account lets machines manage OWNERs: a Service User is about to manage one."""
    if account is None or not account.machines_manage_owners:
        raise Forbidden(MACHINES_DO_NOT_MANAGE_OWNERS)


def require_can_see_shown_keys(auth: AuthContext) -> User:
    """Requires a User with the role OWNER, and a USER_MANAGEMENT key.

    Returns that User.
    """
    return _require_user(auth, "Seeing and ending the keys that somebody was shown", Role.OWNER)


def require_own_keys(auth: AuthContext, username: str) -> None:
    """Requires a USER_MANAGEMENT key of the User themselves: nobody manages the keys of another User."""
    require_management_key(auth)
    if not _is_named(auth.caller, username):
        raise Forbidden(
            "Users manage only their own keys. An OWNER can revoke a User, or send them a new invitation."
        )


def require_can_read_account(auth: AuthContext) -> User:
    """Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key.

    Returns that User.
    """
    return _require_user(auth, "Reading the account", Role.CLUSTER_ADMIN)


def require_can_change_account(auth: AuthContext) -> User:
    """Requires a User with the role OWNER, and a USER_MANAGEMENT key.

    Returns that User.
    """
    return _require_user(auth, "Changing the account", Role.OWNER)


def require_can_read_events(auth: AuthContext) -> None:
    """Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key."""
    _require_role(auth, "Reading events", Role.CLUSTER_ADMIN)


def is_same_principal(one: Principal, other: Principal) -> bool:
    """Return whether two principals are the same one."""
    return _is_named(one, other.username)


def _is_named(principal: Principal, username: str) -> bool:
    return fold_username(principal.username) == fold_username(username)


def _is_linked(user: User | UserSummary, account: str, links: Mapping[str, str], lowest: Role) -> bool:
    """Return whether ``links`` (folded usernames to memberships) name a User with at least a role."""
    return (
        user.account == account
        and user.role.covers(lowest)
        and links.get(fold_username(user.username)) == user.membership
    )


def _require_user(auth: AuthContext, what: str, lowest: Role) -> User:
    """Return the caller if they are a User with at least a role, signed in with a USER_MANAGEMENT key."""
    require_management_key(auth)
    caller = auth.caller
    if not isinstance(caller, User):
        raise Forbidden(f"{what} requires a User; a Service User cannot do it.")
    _require_role(auth, what, lowest)
    return caller


def _require_role(auth: AuthContext, what: str, lowest: Role) -> None:
    """Requires a caller with at least a role, signed in with a USER_MANAGEMENT key."""
    require_management_key(auth)
    if not auth.role.covers(lowest):
        roles = " or ".join(role.value for role in reversed(Role) if role.covers(lowest))
        raise Forbidden(f"{what} requires the role {roles}; your role is {auth.role.value}.")
