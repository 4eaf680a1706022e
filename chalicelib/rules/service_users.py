"""Service Users: create, list, read, update, delete, and their keys (product page)."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, lifetimes, permissions
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import actor, new_event
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import (
    Conflict,
    FieldError,
    NotFound,
    PreconditionFailed,
    validation_error,
    validation_error_of,
)
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.key_operations import concurrent_change
from chalicelib.rules.model import Action, KeyChange, Principal, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Add, Directory, Remove, Replace
from chalicelib.rules.roles import KeyType, Role

MOST_ADMINISTRATORS = 20
"""Administrators of one Service User: so many can be told of every key change and read in one call."""


IfMatch = Callable[[str], bool]
"""Answers whether a version is one the caller's ``If-Match`` names."""


class View(NamedTuple):
    """A Service User with the usernames of the Administrators who are still entitled."""

    service_user: ServiceUser
    administrators: tuple[str, ...]


class NewServiceUser(NamedTuple):
    """What a Service User is asked to be. ``key_types`` None means every type the role allows."""

    username: str
    email: str
    role: Role
    display_name: str
    key_types: tuple[KeyType, ...] | None
    terms: KeyRestrictions


def create(
    directory: Directory, auth: AuthContext, asked: NewServiceUser
) -> tuple[View, tuple[IssuedKey, ...]]:
    """Make a Service User with its keys; the caller becomes its Administrator. Answers the keys in the clear.

    Raises Forbidden, Invalid, or Conflict where the username or the email is taken.
    """
    creator = permissions.require_can_manage_service_users(auth)
    permissions.require_can_grant(auth, asked.role)
    now = auth.origin.second
    lifetimes.require_valid_expiry(directory, auth, asked.terms.expires_at, now)
    made = ServiceUser(
        id=new_id(),
        username=asked.username,
        account=creator.account,
        email=asked.email,
        role=asked.role,
        version=new_version(),
        created_at=now,
        display_name=asked.display_name or asked.username,
        administrators={fold_username(creator.username): creator.membership},
    )
    key_types = asked.role.key_types() if asked.key_types is None else asked.key_types
    shown: list[IssuedKey] = []
    changes: list[KeyChange] = []
    for key_type in key_types:
        made, key, change = api_keys.generate(made, key_type, asked.terms, creator.username, now)
        shown.append(key)
        changes.append(change)
    record = new_event(
        auth.origin, actor(creator), Action.SERVICE_USER_CREATED, made, tuple(changes), mailed=bool(changes)
    )
    directory.commit(record, add(auth, made), auth.still_entitled())
    return View(made, (creator.username,)), tuple(shown)


def listing(
    directory: Directory, auth: AuthContext, limit: int, after: str | None
) -> tuple[tuple[View, ...], str | None]:
    """Answer a page of the account's Service Users by username, and where the next one starts.

    A page ends early where its Administrators would not fit one read.
    """
    caller = permissions.require_can_manage_service_users(auth)
    page = directory.page(caller.account, ServiceUser, limit, after)
    members: list[ServiceUser] = []
    names: set[str] = set()
    for member in page.members:
        if len(names | member.administrators.keys()) > 100:
            return _views(directory, members, names), fold_username(members[-1].username)
        names |= member.administrators.keys()
        members.append(member)
    return _views(directory, members, names), page.after


def read(directory: Directory, auth: AuthContext, username: str) -> View:
    """Answer a Service User to OWNER and CLUSTER_ADMIN Users, or to itself with any key."""
    caller = auth.caller
    if isinstance(caller, ServiceUser) and fold_username(username) == fold_username(caller.username):
        return _view(directory, caller)
    permissions.require_can_manage_service_users(auth)
    return _view(directory, _find(directory, auth, username))


class ServiceUserUpdate(NamedTuple):
    """What a Service User is to be from now on; None stays as it is."""

    display_name: str | None = None
    role: Role | None = None
    administrators: tuple[str, ...] | None = None


def update(
    directory: Directory,
    auth: AuthContext,
    username: str,
    wanted: ServiceUserUpdate,
    if_match: IfMatch | None = None,
) -> View:
    """Change a Service User's display name, role or Administrators.

    Keys that a lower role may not hold are revoked in the same write. Raises Invalid for an
    Administrator who is not an OWNER or CLUSTER_ADMIN User of the account who has activated.
    """
    old = _changeable(directory, auth, username, if_match)
    if wanted.role is not None:
        permissions.require_can_grant(auth, wanted.role)
    new = old
    lost: tuple[KeyChange, ...] = ()
    changes: dict[str, tuple[str, str]] = {}
    named = frozenset(
        old.administrators if wanted.administrators is None else map(fold_username, wanted.administrators)
    )
    people = directory.users(named)
    if wanted.administrators is not None:
        links = _links(old, wanted.administrators, people)
        if links != old.administrators:
            new = replace(new, administrators=links)
            changes["administrators"] = (", ".join(sorted(old.administrators)), ", ".join(sorted(links)))
    if wanted.display_name is not None and wanted.display_name != old.display_name:
        changes["displayName"] = (old.display_name, wanted.display_name)
        new = replace(new, display_name=wanted.display_name)
    if wanted.role is not None and wanted.role is not old.role:
        changes["role"] = (old.role.value, wanted.role.value)
        new, lost = api_keys.lower(new, wanted.role)
    if changes:
        new = replace(new, version=new_version())
        record = new_event(
            auth.origin,
            actor(auth.caller),
            Action.SERVICE_USER_UPDATED,
            old,
            lost,
            mailed=bool(lost),
            changes=changes,
            reason=f"The role is now {new.role.value}" if lost else "",
        )
        directory.commit(record, Replace(old, new, concurrent_change()), auth.still_entitled())
    return View(new, _entitled(new, people))


def delete(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> None:
    """Take a Service User away, with every key it has."""
    old = _changeable(directory, auth, username, if_match)
    lost = api_keys.revoke_all(old)
    record = new_event(
        auth.origin,
        actor(auth.caller),
        Action.SERVICE_USER_DELETED,
        old,
        lost,
        mailed=bool(lost),
        reason="The Service User was deleted",
    )
    directory.commit(record, Remove(old, concurrent_change()), auth.still_entitled())


def holder(directory: Directory, auth: AuthContext, username: str, *, handing_out: bool) -> ServiceUser:
    """Answer the Service User whose keys the caller may change, or be handed (``handing_out``)."""
    target = _changeable(directory, auth, username)
    if handing_out:
        permissions.require_can_issue_keys(auth, target)
    return target


def add(auth: AuthContext, made: Principal) -> Add:
    """Answer the write of a new Principal, and what to say where its names are taken.

    Raises Conflict for the caller's own username: one transaction cannot look at an item twice.
    """
    taken = Conflict(f"The username '{made.username}' is taken (case does not count). Choose another.")
    if permissions.is_same_principal(auth.caller, made):
        raise taken
    return Add(
        made,
        taken,
        Conflict(
            f"The email '{made.email}' is taken (case, '+tag's and Gmail's dots do not count). "
            "Choose another."
        ),
    )


def _changeable(
    directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None
) -> ServiceUser:
    permissions.require_can_manage_service_users(auth)
    target = _find(directory, auth, username)
    permissions.require_administers(auth, target)
    if if_match is not None and not if_match(target.version):
        raise PreconditionFailed(
            f"'{target.username}' has changed since you read it. "
            "Read it again and decide on what is there now."
        )
    return target


def _find(directory: Directory, auth: AuthContext, username: str) -> ServiceUser:
    found = directory.principal(username)
    if not isinstance(found, ServiceUser) or found.account != auth.caller.account:
        raise NotFound(f"There is no Service User '{username}' in the account.")
    return found


def _view(directory: Directory, service_user: ServiceUser) -> View:
    return _views(directory, [service_user], set(service_user.administrators))[0]


def _views(directory: Directory, members: list[ServiceUser], names: set[str]) -> tuple[View, ...]:
    people = directory.users(frozenset(names))
    return tuple(View(member, _entitled(member, people)) for member in members)


def _entitled(service_user: ServiceUser, people: dict[str, User]) -> tuple[str, ...]:
    return tuple(
        people[name].username
        for name in sorted(service_user.administrators)
        if name in people and permissions.administers(people[name], service_user)
    )


def _links(old: ServiceUser, asked: tuple[str, ...], people: dict[str, User]) -> dict[str, str]:
    """Answer folded usernames and membership ids of those asked for; raises Invalid with every fault.

    Who was sent a fresh invitation stays an Administrator: those a caller has read, they can write back.
    """
    if not asked:
        raise validation_error(
            "/administrators", "A Service User keeps at least one Administrator; name one."
        )
    if len(asked) > MOST_ADMINISTRATORS:
        raise validation_error(
            "/administrators", f"A Service User has at most {MOST_ADMINISTRATORS} Administrators."
        )
    faults: list[FieldError] = []
    links: dict[str, str] = {}
    for place, username in enumerate(asked):
        name = fold_username(username)
        user = people.get(name)
        if name in links:
            faults.append(FieldError(f"/administrators/{place}", f"'{username}' is named twice."))
        elif (
            user is None
            or user.account != old.account
            or not user.role.covers(Role.CLUSTER_ADMIN)
            or (user.invitation is not None and not permissions.administers(user, old))
        ):
            faults.append(
                FieldError(
                    f"/administrators/{place}",
                    f"'{username}' is not an OWNER or CLUSTER_ADMIN User of the account who has activated.",
                )
            )
        else:
            links[name] = user.membership
    if faults:
        raise validation_error_of(faults)
    return links
