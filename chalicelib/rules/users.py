"""Users: invite, activate, list, read, update and revoke them."""

import hmac
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, key_format, limits, permissions, sessions, suspension
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import actor, caller_as_actor, new_event, update_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.credentials import PresentedSession
from chalicelib.rules.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Unavailable,
    ValidationError,
    concurrent_change,
    validation_error,
)
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.model import (
    Account,
    Action,
    Cause,
    CredentialKind,
    Event,
    Invitation,
    Inviter,
    KeyChange,
    Principal,
    ServiceUser,
    UsedCredential,
    User,
)
from chalicelib.rules.names import fold_username, reserved_username_error
from chalicelib.rules.ports import (
    Directory,
    GainOwner,
    InviterIsOwner,
    LoseOwner,
    MachineMayManageOwners,
    Page,
    Remove,
    Replace,
    Write,
)
from chalicelib.rules.preconditions import IfMatch, require_match
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.selection import EVERYBODY, EXAMINED, PeopleSelection
from chalicelib.rules.writes import add_principal_by, until_revoked

MAX_SHOWN_KEYS = 20
"""The most keys of Service Users that a revocation's email names; another call lists them all."""

SHOWN_KEYS_PAGE = 1000
"""The most Service Users in which a revocation looks for such keys: one Query, of at most a megabyte."""

INVITATION_SECONDS = 72 * 3600
"""How long a mailed token is valid."""

_NOT_VALID = (
    "The username or the token is not valid, or the token was used or is older than 72 hours. "
    "Take both from the invitation's email; or ask an OWNER of the account for a new invitation."
)
_LAST_OWNER = (
    "An account needs at least one activated OWNER who is not suspended. Make another User an OWNER first."
)


class InvitationState(str, Enum):
    """What has become of an invitation that nobody activated with."""

    OPEN = "OPEN"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


class Person(NamedTuple):
    """A User, and the state of their invitation; None once they have activated."""

    user: User
    invitation: InvitationState | None


def invite(
    directory: Directory, auth: AuthContext, username: str, email: str, role: Role, display_name: str
) -> Person:
    """Add a User to the account, and mail them a token with which to activate.

    Returns the User with their invitation.

    Raises Forbidden if the caller may not, and ValidationError for a reserved username. Raises Conflict if
    the username is taken, the account has a principal with this email, or it is at its quota. Raises
    TooManyRequests if a budget is used up.
    """
    permissions.require_can_manage_users(auth)
    sessions.require_confirmed(auth)
    check_username(username)
    machine_condition = _require_may_manage_owners(directory, auth, role)
    new = User(
        username=username,
        account=auth.caller.account,
        email=email,
        role=role,
        version=new_version(),
        created_at=auth.origin.second,
        display_name=display_name or username,
        membership=new_id(),
        invitation=_invitation(auth, username),
        invited_by=auth.caller.username,
        email_by_account=True,
    )
    directory.commit(
        _invitation_event(auth, new),
        add_principal_by(auth, new),
        auth.still_entitled(),
        *machine_condition,
        limits.added(new, directory.limits),
        *_invitation_budgets(directory, auth, new),
    )
    return Person(new, InvitationState.OPEN)


def invite_again(
    directory: Directory,
    auth: AuthContext,
    username: str,
    if_match: IfMatch | None = None,
    check: Callable[[User], None] | None = None,
) -> Person:
    """Mail a User a new token, and return the User with the new invitation.

    Earlier tokens, and the User's keys, passkeys and sessions, are refused once this returns. Administrator
    links stay. ``check`` is called with the User as they were, before anything is changed, and may raise.

    Retries if the User signs in meanwhile, so that nobody who does so again and again with a stolen passkey
    keeps it; not if their role, keys, passkeys or invitation changed. Raises Forbidden, NotFound, Conflict if
    the User is suspended or the last OWNER, and TooManyRequests if a budget is used up.
    """
    permissions.require_can_manage_users(auth)
    first: User | None = None
    new: User | None = None

    def attempt(*, any_version: bool) -> None:
        nonlocal auth, first, new
        if any_version and fold_username(username) == fold_username(auth.caller.username):
            auth = auth.read_again(directory.principal(username))
        old = _find(directory, auth, username)
        require_match(if_match, old.version, old.username)
        machine_condition = _require_may_manage_owners(directory, auth, old.role)
        sessions.require_confirmed(auth)
        if check is not None:
            check(old)
        first = first or old
        if _decided(old) != _decided(first):
            raise concurrent_change()
        if old.suspended_at is not None:
            raise Conflict(f"'{old.username}' is suspended. Resume them first, then send the invitation.")
        new = replace(
            old,
            keys={},
            passkeys={},
            sessions={},
            enrolment=None,
            version=new_version(),
            invitation=_invitation(auth, old.username, again=old.invitation is None or old.invitation.again),
            invited_by=auth.caller.username,
        )
        event = _invitation_event(auth, new, api_keys.revoke_all(old, auth.origin.now))
        replaced = Replace(old, new, concurrent_change())
        writes = [replaced, *_owner_writes(directory, old, new), *machine_condition]
        _commit(
            directory, auth, old, event, [*writes, *_invitation_budgets(directory, auth, new)], patient=True
        )

    until_revoked(attempt)
    assert new is not None  # noqa: S101 - for mypy; every attempt sets it
    return Person(new, InvitationState.OPEN)


def _decided(user: User) -> tuple[object, ...]:
    """Return what somebody has decided about a User, which their use of keys and passkeys does not change."""
    return (
        user.account,
        user.membership,
        user.role,
        user.suspended_at,
        user.invitation.id if user.invitation else None,
        {key.digest for key in user.keys.values()},
        {passkey.credential_id for passkey in user.passkeys.values()},
    )


def activate(
    directory: Directory, username: str, token: str, origin: Origin
) -> tuple[User, tuple[IssuedKey, ...]]:
    """Turn a token into a User's first keys, once. Return the User and the keys with their secrets.

    A CLUSTER_ADMIN or OWNER gets a USER_MANAGEMENT key, with which to generate the others. A READ_ONLY User
    may not hold one, and gets a key of each type that the role allows, that is made by default, and that
    requires no networks. Raises ValidationError, in the same words whatever is wrong, and Conflict if the
    account has as many OWNERs as its quota allows.
    """
    user = open_invitation(directory, username, token, origin)
    key_types = tuple(it for it in user.role.default_key_types() if not it.requires_networks)
    if KeyType.USER_MANAGEMENT in user.role.key_types():
        key_types = (KeyType.USER_MANAGEMENT,)
    new = replace(user, invitation=None)
    issued: list[IssuedKey] = []
    changes: list[KeyChange] = []
    for key_type in key_types:
        new, key, change = api_keys.generate(new, key_type, KeyRestrictions(), user.username, origin.second)
        issued.append(key)
        changes.append(change)
    by = actor(user, UsedCredential(CredentialKind.INVITATION))
    event = new_event(origin, by, Action.USER_ACTIVATED, user, tuple(changes))
    writes: list[Write] = [
        Replace(user, new, concurrent_change()),
        *activation_writes(directory, user, new, origin),
    ]
    try:
        directory.commit(event, *writes)
    except Conflict:
        # If a concurrent call used the token, refuse in the words of a token that was used before.
        current = directory.principal(username)
        if isinstance(current, User) and _is_valid(current.invitation, token, origin):
            raise
        raise ValidationError(_NOT_VALID) from None
    return new, tuple(issued)


def open_invitation(directory: Directory, username: str, token: str, origin: Origin) -> User:
    """Return the User whose invitation a token is valid for.

    Raises ValidationError in the same words whatever is wrong.
    """
    user = directory.principal(username) if key_format.well_formed(token, key_format.TOKEN_PREFIX) else None
    if not isinstance(user, User) or not _is_valid(user.invitation, token, origin):
        raise ValidationError(_NOT_VALID)
    return user


def activation_writes(directory: Directory, old: User, new: User, origin: Origin) -> list[Write]:
    """Return the writes and conditions of an activation, without the write of the User.

    The conditions are that whoever sent the invitation is still an OWNER (a Service User also with the key
    it had) and, if a Service User invited an OWNER, that the account still lets Service Users do so. Raises
    ValidationError if the User invited themselves and is no longer an OWNER.
    """
    writes: list[Write] = [*_owner_writes(directory, old, new)]
    inviter = old.invitation.inviter if old.invitation else None
    if inviter is None:
        return writes
    refused = ValidationError(_NOT_VALID)
    if not inviter.machine and fold_username(inviter.username) == fold_username(old.username):
        # Checked here and not by a condition: a transaction may name an item only once, and the write of
        # the User, which is conditional on the version read, names this one.
        if (old.role, old.membership) != (Role.OWNER, inviter.id):
            raise refused
        return writes
    writes.append(InviterIsOwner(old.account, inviter, origin.second, refused))
    if _needs_machines_manage_owners(old):
        writes.append(MachineMayManageOwners(old.account, refused))
    return writes


def listing(
    directory: Directory,
    auth: AuthContext,
    limit: int,
    after: str | None,
    selection: PeopleSelection = EVERYBODY,
) -> tuple[tuple[Person, ...], str | None]:
    """Return a page of the account's Users by username, and where the next page starts.

    Only those that are selected: at most ``EXAMINED`` are read for a page, so it can have fewer members than
    ``limit``, or none, and still have a next one.
    """
    permissions.require_can_list_users(auth)
    page = directory.page(auth.caller.account, User, limit if selection.is_empty else EXAMINED, after)
    members = tuple(it for it in page.members if selection.selects(it))
    end = page.after
    if len(members) > limit:
        members = members[:limit]
        end = fold_username(members[-1].username)
    return _persons(directory, auth, members), end


def read(directory: Directory, auth: AuthContext, username: str) -> Person:
    """Return a User of the account. Raises Forbidden or NotFound."""
    permissions.require_can_list_users(auth)
    return _persons(directory, auth, (_find(directory, auth, username),))[0]


def update(
    directory: Directory,
    auth: AuthContext,
    username: str,
    role: Role | None,
    display_name: str | None,
    if_match: IfMatch | None,
    check: Callable[[User], None],
) -> User:
    """Change a User's role or display name, and return the User. None leaves a field as it is.

    ``check`` is called with the User as they were, before anything is changed, and may raise.

    The same write revokes the keys that a lower role may not hold, and ends the User's Administrator links if
    the new role is READ_ONLY. A code for a passkey ends with any change of the role. Raises Forbidden and
    NotFound; Conflict if the User is the last OWNER, or would be one more than the account's quota;
    TooManyRequests if the budget is used up, unless the change only lowers the role.
    """
    permissions.require_can_manage_users(auth)
    old = _find(directory, auth, username)
    require_match(if_match, old.version, old.username)
    machine_condition = _require_may_manage_owners(directory, auth, old.role, role)
    sessions.require_confirmed(auth)
    check(old)
    new = old
    revoked_keys: tuple[KeyChange, ...] = ()
    changes: dict[str, tuple[str, str]] = {}
    if display_name is not None and display_name != old.display_name:
        changes["displayName"] = (old.display_name, display_name)
        new = replace(new, display_name=display_name)
    if role is not None and role is not old.role:
        if permissions.is_same_principal(auth.caller, old):
            raise Forbidden("You cannot change your own role. Ask another OWNER.")
        changes["role"] = (old.role.value, role.value)
        new, revoked_keys = api_keys.change_role(new, role, auth.origin.now)
        # A code for a passkey was asked for with a key that may be too little for the new role.
        new = replace(new, enrolment=None)
        if role is Role.READ_ONLY:
            # Links name the membership, so a new one voids them all, as in `revoke`.
            new = replace(new, membership=new_id())
    if not changes:
        return old
    new = replace(new, version=new_version())
    counted: list[Write] = []
    now = auth.origin.second
    if not old.role.covers(new.role):  # a budget never refuses a change that only withdraws rights
        new = limits.spend(new, directory.limits, now)
        counted.append(limits.account_change(new.account, directory.limits, now))
    if "displayName" in changes:
        new = limits.spend_on_names(new, directory.limits, now)
        counted.append(limits.account_names(new.account, directory.limits, now))
    event = update_event(auth, Action.USER_UPDATED, old, new, changes, revoked_keys)
    writes = [Replace(old, new, concurrent_change()), *_owner_writes(directory, old, new), *machine_condition]
    _commit(directory, auth, old, event, [*writes, *counted])
    return new


def revoke(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> None:
    """Revoke a User from the account. Their keys, invitations and Administrator links end with this write.

    Retries if a concurrent call changes the User, until the User is revoked. Raises Forbidden, NotFound, and
    Conflict if the User is the last OWNER.
    """
    permissions.require_can_manage_users(auth)
    service_users: Page[ServiceUser] | None = None

    def attempt(*, any_version: bool) -> None:
        nonlocal service_users
        old = _find(directory, auth, username, again=any_version)
        require_match(if_match, old.version, old.username)
        machine_condition = _require_may_manage_owners(directory, auth, old.role)
        sessions.require_confirmed(auth)
        if service_users is None and not machine_condition:  # a machine's call has read the account instead
            with suppress(Unavailable):  # the list is for an email only: without it, revoke nevertheless
                service_users = directory.page(old.account, ServiceUser, SHOWN_KEYS_PAGE, None)
        members = service_users.members if service_users else ()
        name = fold_username(old.username)
        known = [key for it in members for key in api_keys.shown_keys(it, name, auth.origin.now)]
        event = new_event(
            auth.origin,
            caller_as_actor(auth),
            Action.USER_REVOKED,
            old,
            api_keys.revoke_all(old, auth.origin.now),
            changes={"role": (old.role.value, "")},
            cause=Cause.USER_REVOKED,
            reason="The User was revoked from the account",
            shown_keys=tuple(known[:MAX_SHOWN_KEYS]),
            more_shown_keys=(
                len(known) > MAX_SHOWN_KEYS or service_users is None or service_users.after is not None
            ),
        )
        is_caller = permissions.is_same_principal(auth.caller, old)
        caller_condition = auth.still_entitled() if is_caller else None
        # Links name the membership; removing the User voids them all, with no link to remove
        # (docs/design.md, "Administrators are links to memberships"; permissions.is_administrator).
        removal = Remove(old, concurrent_change(), any_version and if_match is None, caller_condition)
        count = limits.removed(old)
        writes = [removal, *_owner_writes(directory, old, None), *machine_condition, count]
        _commit(directory, auth, old, event, writes, patient=True)

    until_revoked(attempt)


def suspend(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> User:
    """Suspend a User, and return them. Their keys, passkeys and sessions are refused once this returns.

    Their keys, passkeys and Administrator links are kept; their sessions end. Whoever is suspended stays so.
    Concurrent changes do not stop it, unless ``if_match`` names a version. Raises Forbidden, NotFound, or
    Conflict for oneself, for a User who has not activated, and for the last OWNER.
    """
    permissions.require_can_manage_users(auth)
    new: User | None = None

    def attempt(*, any_version: bool) -> None:
        nonlocal new
        old = new = _find(directory, auth, username)
        require_match(if_match, old.version, old.username)
        machine_condition = _require_may_manage_owners(directory, auth, old.role)
        sessions.require_confirmed(auth)
        _require_can_be_suspended(auth, old)
        if suspension.is_by_account(old):
            return
        new = suspension.suspended(old, auth.caller, auth.origin.second)
        write = suspension.write_of(old, new, any_version=any_version and if_match is None)
        writes = [write, *_owner_writes(directory, old, new), *machine_condition]
        _commit(directory, auth, old, suspension.event_of(auth, old, new), writes, patient=True)

    until_revoked(attempt)
    assert new is not None  # noqa: S101 - for mypy; every attempt sets it
    return new


def _require_can_be_suspended(auth: AuthContext, old: User) -> None:
    if permissions.is_same_principal(auth.caller, old):
        raise Conflict(
            "You cannot suspend yourself: you could not resume yourself. Have another OWNER do it or, if "
            "somebody else has your key, rotate it."
        )
    if old.invitation is not None:
        raise Conflict(
            f"'{old.username}' has not activated, and has nothing to suspend. Revoke them, which ends their "
            "invitation."
        )


def resume(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> User:
    """Resume a suspended User, and return them. Their keys and passkeys work again; nobody else's change.

    Raises Forbidden, NotFound, Conflict for one OWNER more than the account's quota, or TooManyRequests if
    the budget of changes is used up.
    """
    permissions.require_can_resume_users(auth)
    old = _find(directory, auth, username)
    require_match(if_match, old.version, old.username)
    sessions.require_confirmed(auth)
    if old.suspended_at is None:
        return old
    new = suspension.resumed(old)
    writes = [Replace(old, new, concurrent_change()), *_owner_writes(directory, old, new)]
    # Not the User's own budget, which whoever suspended them could use up.
    now = auth.origin.second
    counted = [
        limits.account_change(new.account, directory.limits, now),
        limits.resumption(auth.caller, now),
    ]
    _commit(directory, auth, old, suspension.event_of(auth, old, new), [*writes, *counted])
    return new


def check_username(username: str) -> None:
    """Raise ValidationError for a username that no User may have."""
    if error := reserved_username_error(username):
        raise validation_error("/username", error)


def own(auth: AuthContext, username: str, if_match: IfMatch | None = None) -> User:
    """Return the caller as the holder of their own keys; with ``if_match``, in the version that it names.

    Raises Forbidden for another User's keys, and NotFound for a Service User, which is not a User.
    """
    permissions.require_own_keys(auth, username)
    if not isinstance(auth.caller, User):
        raise _not_found(username)
    require_match(if_match, auth.caller.version, auth.caller.username)
    return auth.caller


def _persons(directory: Directory, auth: AuthContext, users: tuple[User, ...]) -> tuple[Person, ...]:
    """Return Users with the states of their invitations.

    Reads the principals who sent the invitations that nobody has activated with, all in one call.
    """
    caller = fold_username(auth.caller.username)
    names = {
        fold_username(it.invitation.inviter.username)
        for it in users
        if it.invitation is not None and it.invitation.inviter is not None
    }
    inviters: dict[str, Principal] = {caller: auth.caller}
    if others := names - {caller}:
        inviters |= directory.principals(frozenset(others))
    account = (
        directory.account(auth.caller.account) if any(map(_needs_machines_manage_owners, users)) else None
    )
    return tuple(Person(it, _invitation_state(it, inviters, account, auth.origin)) for it in users)


def _needs_machines_manage_owners(user: User) -> bool:
    """Return whether a User's invitation is valid only while the account lets machines manage OWNERs."""
    inviter = user.invitation.inviter if user.invitation else None
    return inviter is not None and inviter.machine and user.role is Role.OWNER


def _invitation_state(
    user: User, inviters: dict[str, Principal], account: Account | None, origin: Origin
) -> InvitationState | None:
    """Return the state of a User's invitation. It is open until its email is sent, and 72 hours from then."""
    invitation = user.invitation
    if invitation is None:
        return None
    inviter = invitation.inviter
    if inviter is not None:
        found = inviters.get(fold_username(inviter.username))
        if found is None or not _is_inviter(found, inviter, user.account, origin):
            return InvitationState.WITHDRAWN
    if _needs_machines_manage_owners(user) and not (account and account.machines_manage_owners):
        return InvitationState.WITHDRAWN
    if invitation.digests and max(invitation.digests.values()) <= origin.now:
        return InvitationState.EXPIRED
    return InvitationState.OPEN


def _is_inviter(found: Principal, inviter: Inviter, account: str, origin: Origin) -> bool:
    """Return whether a principal sent an invitation and may still invite: what ``InviterIsOwner`` requires.

    A username may belong to another principal by now, so the id decides; of a User, the membership.
    """
    return (
        found.account == account
        and found.role is Role.OWNER
        and found.suspended_at is None
        and isinstance(found, ServiceUser) is inviter.machine
        and _id_of(found) == inviter.id
        and _has_credential_of(found, inviter, origin)
    )


def _id_of(principal: Principal) -> str:
    """Return what tells a principal from a later one with the username; of a User, the membership."""
    if isinstance(principal, ServiceUser):
        return principal.id
    return principal.membership if isinstance(principal, User) else ""


def _has_credential_of(principal: Principal, inviter: Inviter, origin: Origin) -> bool:
    """Return whether what somebody invited with has not ended; a key may have been rotated."""
    if inviter.passkey:
        return isinstance(principal, User) and inviter.passkey in principal.passkeys
    if inviter.key_created_at is None:
        return True
    key = principal.keys.get(KeyType.USER_MANAGEMENT)
    return (
        key is not None
        and key.created_at == inviter.key_created_at
        and inviter.key_first in (b"", key.first)
        and inviter.key not in key.revoked_predecessors
        and not api_keys.is_expired(key, origin.now)
    )


def _find(directory: Directory, auth: AuthContext, username: str, *, again: bool = False) -> User:
    """Return a User of the account. Raises NotFound.

    For the caller's own username returns the caller as read at sign-in; with ``again``, reads them again.
    """
    found = auth.caller
    if again or fold_username(username) != fold_username(found.username):
        other = directory.principal(username)
        if other is None:
            raise _not_found(username)
        found = other
    if not isinstance(found, User) or found.account != auth.caller.account:
        raise _not_found(username)
    return found


def _not_found(username: str) -> NotFound:
    return NotFound(f"There is no User '{username}' in the account.")


def _invitation_event(auth: AuthContext, user: User, revoked_keys: tuple[KeyChange, ...] = ()) -> Event:
    again = user.invitation is not None and user.invitation.again
    return new_event(
        auth.origin,
        caller_as_actor(auth),
        Action.USER_INVITED,
        user,
        revoked_keys,
        changes={"role": ("", user.role.value)},
        cause=Cause.USER_INVITED_AGAIN if again else None,
        invitation=user.invitation.id if user.invitation else "",
    )


def _is_valid(invitation: Invitation | None, token: str, origin: Origin) -> bool:
    """Return whether a token is valid for an invitation. Compares every digest, in constant time."""
    if invitation is None:
        return False
    digest = key_format.digest(token).hex()
    valid = False
    for other, until in invitation.digests.items():
        valid |= hmac.compare_digest(other, digest) and origin.now < until
    return valid


def _invitation(auth: AuthContext, username: str, *, again: bool = False) -> Invitation:
    """Return a new invitation of a User from the caller.

    It is valid only while the caller is an OWNER, and has the credential that they sent it with. Somebody
    who invites themselves has no credential any more. Raises Conflict for a session whose passkey the caller
    has removed.
    """
    caller, credential = auth.caller, auth.credential
    inviter = Inviter(isinstance(caller, ServiceUser), caller.username, _id_of(caller))
    if fold_username(username) == fold_username(caller.username):
        return Invitation(new_id(), inviter=inviter, again=again)
    if isinstance(credential, PresentedSession):
        user, session = sessions.current(auth)
        if session.passkey and session.passkey not in user.passkeys:  # the link of "make run" needs none
            raise Conflict(
                "You have removed the passkey that you signed in with, and invitations sent with it are not "
                "valid. Sign in again, then send it."
            )
        inviter = replace(inviter, passkey=session.passkey)
    else:
        key = caller.keys[KeyType.USER_MANAGEMENT]  # with which they have signed in
        presented = api_keys.beginning(credential.digest)
        inviter = replace(inviter, key_created_at=key.created_at, key_first=key.first, key=presented)
    return Invitation(new_id(), inviter=inviter, again=again)


def _require_may_manage_owners(
    directory: Directory, auth: AuthContext, *roles: Role | None
) -> tuple[MachineMayManageOwners, ...]:
    """Require that the caller may manage OWNERs, if one of ``roles`` is OWNER.

    ``roles`` are those of the User before and after the change.

    If a Service User manages an OWNER, reads whether the account allows that, and returns it as a condition
    for the transaction. Otherwise returns no condition.
    """
    if Role.OWNER not in roles or isinstance(auth.caller, User):
        return ()
    account = auth.caller.account
    permissions.require_machines_manage_owners(directory.account(account))
    return (MachineMayManageOwners(account, Forbidden(permissions.MACHINES_DO_NOT_MANAGE_OWNERS)),)


def _invitation_budgets(directory: Directory, auth: AuthContext, user: User) -> tuple[Write, ...]:
    """Return the writes that count an invitation against the address and the account."""
    now = auth.origin.second
    return (
        *limits.invitation(user.account, user.email, directory.limits, now),
        limits.account_change(user.account, directory.limits, now),
    )


def _owner_writes(directory: Directory, old: User, new: User | None) -> list[Write]:
    """Return the writes that update ``Account.owners``.

    It has the activated OWNERs who are not suspended. Those whom the operator suspended with their account
    stay in it: they come back with the account, and somebody has to be its last OWNER meanwhile.

    ``LoseOwner`` is refused for the last OWNER (product page: last-owner).
    """
    was_owner = _counts_as_owner(old)
    is_owner = new is not None and _counts_as_owner(new)
    if was_owner and not is_owner:
        return [LoseOwner(old, Conflict(_LAST_OWNER))]
    if new is not None and is_owner and not was_owner:
        return [
            GainOwner(new, concurrent_change(), directory.limits.owners, limits.owners_full(directory.limits))
        ]
    return []


def _counts_as_owner(user: User) -> bool:
    """Return whether a User is in ``Account.owners``: an activated OWNER whom nobody of it has suspended."""
    return user.role is Role.OWNER and user.invitation is None and not suspension.is_by_account(user)


def _commit(
    directory: Directory,
    auth: AuthContext,
    old: User,
    event: Event,
    writes: list[Write],
    *,
    patient: bool = False,
) -> None:
    if not permissions.is_same_principal(auth.caller, old):
        writes.append(auth.still_entitled())
    directory.commit(event, *writes, patient=patient)
