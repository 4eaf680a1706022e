"""People: inviting, activating, changing and revoking the Users of an account."""

import hmac

from msgspec.structs import replace

from chalicelib.rules import api_keys, key_format, permissions
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import Conflict, Forbidden, NotFound, ValidationError, validation_error
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.key_operations import concurrent_change
from chalicelib.rules.model import Action, Event, Invitation, KeyChange, User
from chalicelib.rules.names import fold_username, not_for_people
from chalicelib.rules.ports import Directory, GainOwner, LoseOwner, Remove, Replace, Write
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.service_users import add

INVITATION_SECONDS = 72 * 3600
"""How long a mailed token is good for."""

_NOT_GOOD = (
    "The username or the token is not valid, or the token was used or is older than 72 hours. "
    "Ask an OWNER of the account for a fresh invitation."
)
_LAST_OWNER = "An account keeps at least one OWNER who has activated; make another User OWNER first."


def invite(
    directory: Directory, auth: AuthContext, username: str, email: str, role: Role, display_name: str
) -> User:
    """Invite a person; they are mailed a token with which they activate. Answers the invited User.

    Raises Forbidden, Invalid for a reserved username, or Conflict where the username or the email is taken.
    """
    permissions.require_can_manage_users(auth)
    permissions.require_can_grant(auth, role)
    check_username(username)
    made = User(
        username=username,
        account=auth.caller.account,
        email=email,
        role=role,
        version=new_version(),
        created_at=auth.origin.second,
        display_name=display_name or username,
        membership=new_id(),
        invitation=Invitation(new_id()),
    )
    directory.commit(_invited(auth, made), add(auth, made), auth.still_entitled())
    return made


def invite_again(directory: Directory, auth: AuthContext, username: str) -> User:
    """Send a person a fresh token. Former tokens, and the keys they had, are dead when this answers."""
    permissions.require_can_manage_users(auth)
    old = _find(directory, auth, username)
    lost = api_keys.revoke_all(old)
    new = replace(old, keys={}, version=new_version(), invitation=Invitation(new_id()))
    writes = [Replace(old, new, concurrent_change()), *_owners(old, new)]
    _commit(directory, auth, old, _invited(auth, new, lost), writes)
    return new


def activate(
    directory: Directory, username: str, token: str, origin: Origin
) -> tuple[User, tuple[IssuedKey, ...]]:
    """Turn a token into a person's first key, once. Answers the User and the keys in the clear.

    That is a USER_MANAGEMENT key, with which they generate the others; a READ_ONLY person, who may not
    hold one, gets a key of each type they may hold. Raises Invalid, in the same words whatever is wrong.
    """
    user = directory.principal(username) if key_format.well_formed(token, key_format.TOKEN_PREFIX) else None
    if not isinstance(user, User) or user.invitation is None or not _good(user.invitation, token, origin):
        raise ValidationError(_NOT_GOOD)
    key_types = user.role.key_types()
    if KeyType.USER_MANAGEMENT in key_types:
        key_types = (KeyType.USER_MANAGEMENT,)
    new = replace(user, invitation=None)
    shown: list[IssuedKey] = []
    changes: list[KeyChange] = []
    for key_type in key_types:
        new, key, change = api_keys.generate(new, key_type, KeyRestrictions(), user.username, origin.second)
        shown.append(key)
        changes.append(change)
    record = new_event(origin, actor(user), Action.USER_ACTIVATED, user, tuple(changes), mailed=True)
    try:
        directory.commit(record, Replace(user, new, concurrent_change()), *_owners(user, new))
    except Conflict:
        # Whoever was overtaken by another with the same token is told what they would be a moment later.
        now = directory.principal(username)
        if isinstance(now, User) and now.invitation is not None and _good(now.invitation, token, origin):
            raise
        raise ValidationError(_NOT_GOOD) from None
    return new, tuple(shown)


def listing(
    directory: Directory, auth: AuthContext, limit: int, after: str | None
) -> tuple[tuple[User, ...], str | None]:
    """Answer a page of the account's Users by username, and where the next one starts."""
    permissions.require_can_list_users(auth)
    page = directory.page(auth.caller.account, User, limit, after)
    return page.members, page.after


def read(directory: Directory, auth: AuthContext, username: str) -> User:
    """Answer a User of the account."""
    permissions.require_can_list_users(auth)
    return _find(directory, auth, username)


def update(
    directory: Directory, auth: AuthContext, username: str, role: Role | None, display_name: str | None
) -> User:
    """Change a person's role or display name.

    Falling to READ_ONLY ends their Administrator links, and the keys they may no longer hold are
    revoked, in the same write. Raises Conflict where they are the last OWNER.
    """
    permissions.require_can_manage_users(auth)
    old = _find(directory, auth, username)
    new = old
    lost: tuple[KeyChange, ...] = ()
    changes: dict[str, tuple[str, str]] = {}
    if display_name is not None and display_name != old.display_name:
        changes["displayName"] = (old.display_name, display_name)
        new = replace(new, display_name=display_name)
    if role is not None and role is not old.role:
        if permissions.is_same_principal(auth.caller, old):
            raise Forbidden("Nobody changes their own role. Ask another OWNER.")
        changes["role"] = (old.role.value, role.value)
        new, lost = api_keys.lower(new, role)
        if role is Role.READ_ONLY:
            new = replace(new, membership=new_id())
    if not changes:
        return old
    new = replace(new, version=new_version())
    record = new_event(
        auth.origin,
        actor(auth.caller),
        Action.USER_UPDATED,
        old,
        lost,
        mailed=bool(lost),
        changes=changes,
        reason=f"The role is now {new.role.value}" if lost else "",
    )
    _commit(directory, auth, old, record, [Replace(old, new, concurrent_change()), *_owners(old, new)])
    return new


def revoke(directory: Directory, auth: AuthContext, username: str) -> None:
    """Take a person out of the account: keys and Administrator links end with this one write.

    Raises Conflict where they are the last OWNER.
    """
    permissions.require_can_manage_users(auth)
    old = _find(directory, auth, username)
    lost = api_keys.revoke_all(old)
    record = new_event(
        auth.origin,
        actor(auth.caller),
        Action.USER_REVOKED,
        old,
        lost,
        mailed=bool(lost),
        reason="The person was revoked from the account",
    )
    _commit(directory, auth, old, record, [Remove(old, concurrent_change()), *_owners(old, None)])


def check_username(username: str) -> None:
    """Refuse a person's username that is a word of the API's own paths: nobody could revoke them."""
    if why := not_for_people(username):
        raise validation_error("/username", why)


def own(auth: AuthContext, username: str) -> User:
    """Answer the caller as the holder of the keys they manage.

    Raises NotFound for a Service User, which is no User, and Forbidden for another's keys.
    """
    permissions.require_own_keys(auth, username)
    if not isinstance(auth.caller, User):
        raise NotFound(f"There is no User '{username}' in the account.")
    return auth.caller


def _find(directory: Directory, auth: AuthContext, username: str) -> User:
    found = auth.caller
    if fold_username(username) != fold_username(found.username):
        other = directory.principal(username)
        if other is None:
            raise _missing(username)
        found = other
    if not isinstance(found, User) or found.account != auth.caller.account:
        raise _missing(username)
    return found


def _missing(username: str) -> NotFound:
    return NotFound(f"There is no User '{username}' in the account.")


def _invited(auth: AuthContext, user: User, lost: tuple[KeyChange, ...] = ()) -> Event:
    invitation = user.invitation.id if user.invitation else ""
    return new_event(
        auth.origin,
        actor(auth.caller),
        Action.USER_INVITED,
        user,
        lost,
        mailed=True,
        changes={"role": ("", user.role.value)},
        invitation=invitation,
    )


def _good(invitation: Invitation, token: str, origin: Origin) -> bool:
    wanted = key_format.digest(token).hex()
    good = False
    for digest, until in invitation.digests.items():
        good |= hmac.compare_digest(digest, wanted) and origin.now < until
    return good


def _owners(old: User, new: User | None) -> list[Write]:
    """Answer the writes that keep count of the OWNERs who have activated."""
    was = old.role is Role.OWNER and old.invitation is None
    is_now = new is not None and new.role is Role.OWNER and new.invitation is None
    if was and not is_now:
        return [LoseOwner(old, Conflict(_LAST_OWNER))]
    if new is not None and is_now and not was:
        return [GainOwner(new, concurrent_change())]
    return []


def _commit(directory: Directory, auth: AuthContext, old: User, record: Event, writes: list[Write]) -> None:
    if not permissions.is_same_principal(auth.caller, old):
        writes.append(auth.still_entitled())
    directory.commit(record, *writes)
