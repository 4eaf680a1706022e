"""Service Users: create, list, read, update and delete them, and find the holder of keys to change."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import api_keys, lifetimes, limits, permissions, sessions, suspension
from chalicelib.rules.api_keys import IssuedKey, KeyRestrictions
from chalicelib.rules.audit import caller_as_actor, new_event, update_event
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import (
    FieldError,
    NotFound,
    ValidationError,
    concurrent_change,
    validation_error,
    validation_error_of,
)
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.model import Action, Cause, KeyChange, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Creation, Directory, Remove, Replace, Write
from chalicelib.rules.preconditions import IfMatch, require_match
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.selection import EVERY_ONE, EXAMINED, NO_POLICY, Selection
from chalicelib.rules.writes import add_principal_by, until_revoked

MAX_ADMINISTRATORS = 20
"""The most Administrators of a Service User: few enough to read in one call and to notify of every change."""

MAX_USERS_READ = 100
"""Users that ``Directory.users`` reads in one call."""


MAX_LABELS = 20
"""The most labels of a Service User."""

_NAMES_FOR_PEOPLE = frozenset({"displayName", "description", "labels"})


class View(NamedTuple):
    """A Service User with the usernames of the Administrators who are still entitled."""

    service_user: ServiceUser
    administrators: tuple[str, ...]


class NewServiceUser(NamedTuple):
    """The input of :func:`create`.

    ``key_types`` None means every type that the role allows and that is made by default; ``administrators``
    None, the caller.
    """

    username: str
    email: str
    role: Role
    display_name: str
    key_types: tuple[KeyType, ...] | None
    restrictions: KeyRestrictions
    administrators: tuple[str, ...] | None = None
    description: str = ""
    labels: dict[str, str] = {}


def create(
    directory: Directory, auth: AuthContext, wanted: NewServiceUser
) -> tuple[View, tuple[IssuedKey, ...]]:
    """Create a Service User with its keys. Return both.

    Its Administrators are those wanted, as :func:`update` takes them, or else the caller. Raises Forbidden,
    ValidationError, Conflict if the username or, in the account, the email is taken or the account is at its
    quota, or TooManyRequests if the account's budget of changes is used up.
    """
    creator = permissions.require_can_manage_service_users(auth)
    permissions.require_can_grant(auth, wanted.role)
    sessions.require_confirmed(auth)
    now = auth.origin.second
    key_types = wanted.role.default_key_types() if wanted.key_types is None else wanted.key_types
    errors = lifetimes.expiry_errors(directory, auth, wanted.restrictions.expires_at, now)
    for key_type in key_types:
        errors += api_keys.restriction_errors(key_type, wanted.restrictions, now)
    if errors:
        raise validation_error_of(errors)
    new = ServiceUser(
        id=new_id(),
        username=wanted.username,
        account=creator.account,
        email=wanted.email,
        role=wanted.role,
        version=new_version(),
        created_at=now,
        display_name=wanted.display_name or wanted.username,
        administrators={fold_username(creator.username): creator.membership},
        email_by_account=True,
        description=wanted.description,
        labels=wanted.labels,
    )
    issued: list[IssuedKey] = []
    changes: list[KeyChange] = []
    for key_type in key_types:
        new, key, change = api_keys.generate(
            new, key_type, wanted.restrictions, creator.username, now, auth.role
        )
        issued.append(key)
        changes.append(change)
    by_default = new
    shown: tuple[str, ...] = (creator.username,)
    recorded = {"role": ("", new.role.value)}
    if key_types:
        recorded |= api_keys.changed_restrictions(wanted.restrictions)
    if wanted.administrators is not None:
        links, shown = _first_administrators(directory, creator, new, wanted.administrators)
        new = replace(new, administrators=links)
        if links != by_default.administrators:
            recorded["administrators"] = (fold_username(creator.username), ", ".join(sorted(links)))
    event = new_event(
        auth.origin,
        caller_as_actor(auth),
        Action.SERVICE_USER_CREATED,
        by_default,
        tuple(changes),
        changes=recorded,
        new=new,
    )
    directory.commit(
        event,
        add_principal_by(auth, new),
        auth.still_entitled(),
        limits.added(new, directory.limits),
        limits.account_change(new.account, directory.limits, now),
    )
    return View(new, shown), tuple(issued)


def _first_administrators(
    directory: Directory, creator: User, new: ServiceUser, wanted: tuple[str, ...]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the links to the wanted Administrators of a new Service User, and their usernames.

    The creator is not read again. Raises ValidationError with every error.
    """
    users = {fold_username(creator.username): creator}
    if others := frozenset(map(fold_username, wanted)) - users.keys():
        users |= directory.users(others)
    links = _links(replace(new, administrators={}), wanted, users)
    return links, tuple(users[name].username for name in sorted(links))


def listing(
    directory: Directory,
    auth: AuthContext,
    limit: int,
    after: str | None,
    prefix: str = "",
    selection: Selection = EVERY_ONE,
) -> tuple[tuple[View, ...], str | None]:
    """Return a page of the account's Service Users by username, and where the next page starts.

    Only those whose folded username begins with ``prefix``, and that are selected. A page costs the same with
    any selection: at most ``EXAMINED`` are read for it, so it can have fewer members than ``limit``, or none,
    and still have a next one. It also ends early if one read could not take all its Administrators. That read
    takes the account too if a condition depends on its policy.
    """
    permissions.require_can_read_service_users(auth)
    if after is not None and not after.startswith(prefix):
        raise ValidationError("'cursor' is of a list with another 'prefix'. Follow the Link header as it is.")
    now = auth.origin.second
    to_read = limit if selection.is_empty else EXAMINED
    page = directory.page(auth.caller.account, ServiceUser, to_read, after, prefix)
    end = page.after
    before_policy = selection.without_policy()
    most, most_names = (EXAMINED, MAX_USERS_READ - 1) if selection.needs_policy else (limit, MAX_USERS_READ)
    members: list[ServiceUser] = []
    names: set[str] = set()
    for member in page.members:
        if not before_policy.selects(member, now):
            continue
        if len(members) == most or len(names | member.administrators.keys()) > most_names:
            end = fold_username(members[-1].username)
            break
        names |= member.administrators.keys()
        members.append(member)
    if selection.needs_policy and members:
        account, users = directory.account_and_users(auth.caller.account, frozenset(names))
        policy = account.policy if account is not None else NO_POLICY
        members = [it for it in members if selection.selects(it, now, policy)]
        if len(members) > limit:
            members = members[:limit]
            end = fold_username(members[-1].username)
    else:
        users = directory.users(frozenset(names))
    views = tuple(View(member, _administrators(member, users)) for member in members)
    if selection.administrator is not None:
        # A link alone is not enough: it may be of an earlier stay in the account.
        entitled = selection.administrator
        views = tuple(view for view in views if entitled in map(fold_username, view.administrators))
    return views, end


def listing_by_creation(
    directory: Directory, auth: AuthContext, limit: int, after: Creation | None, *, newest_first: bool
) -> tuple[tuple[View, ...], Creation | None]:
    """Return a page of the account's Service Users by creation, and where the next page starts.

    A page costs the same wherever it is: one read of the index by creation, which also has the account's
    Users, so a page can have fewer members than ``limit``, or none, and still have a next one.
    """
    permissions.require_can_read_service_users(auth)
    account = auth.caller.account
    found, end = directory.creations(account, ServiceUser, EXAMINED, after, newest_first=newest_first)
    if len(found) > limit:
        found = found[:limit]
        end = found[-1]
    read = directory.principals(frozenset(it.username for it in found))
    members: list[ServiceUser] = []
    names: set[str] = set()
    for creation in found:
        member = read.get(creation.username)
        # The index is behind: by now the username may be nobody's, or somebody else's.
        if not isinstance(member, ServiceUser) or member.account != account:
            continue
        if len(names | member.administrators.keys()) > MAX_USERS_READ:
            end = Creation(members[-1].created_at, fold_username(members[-1].username))
            break
        names |= member.administrators.keys()
        members.append(member)
    return _views(directory, members, names), end


def read(directory: Directory, auth: AuthContext, username: str) -> View:
    """Return a Service User; it may read itself with any key. Raises Forbidden or NotFound."""
    return _view(directory, find(directory, auth, username))


def find(directory: Directory, auth: AuthContext, username: str) -> ServiceUser:
    """Return a Service User without its Administrators, for whoever may read it: see :func:`read`."""
    caller = auth.caller
    if isinstance(caller, ServiceUser) and fold_username(username) == fold_username(caller.username):
        return caller
    permissions.require_can_read_service_users(auth)
    return _find(directory, auth, username)


class ServiceUserUpdate(NamedTuple):
    """The input of :func:`update`. Fields that are None stay; an empty description is none."""

    display_name: str | None = None
    role: Role | None = None
    administrators: tuple[str, ...] | None = None
    description: str | None = None
    labels: dict[str, str] | None = None


def update(
    directory: Directory,
    auth: AuthContext,
    username: str,
    wanted: ServiceUserUpdate,
    if_match: IfMatch | None = None,
    check: Callable[[View], None] | None = None,
) -> View:
    """Change a Service User's names for people, role or Administrators, and return it.

    Those names are its display name, description and labels.

    ``check`` is called with the Service User as it was, before anything is changed, and may raise.

    Keys that a lower role may not hold are revoked in the same write. After a change to a higher role, each
    key keeps its ceiling, so only keys that an OWNER was shown rise to any role. Raises Forbidden, NotFound,
    PreconditionFailed, ValidationError for a username that cannot become an Administrator, and
    TooManyRequests if the budget is used up, unless the change only withdraws rights.
    """
    old = _find_administered(directory, auth, username, if_match)
    if wanted.role is not None and wanted.role is not old.role:  # to send back what was read grants nothing
        permissions.require_can_grant(auth, wanted.role)
    new = old
    revoked_keys: tuple[KeyChange, ...] = ()
    changes: dict[str, tuple[str, str]] = {}
    asked = frozenset(map(fold_username, wanted.administrators or ()))
    users = directory.users(asked | old.administrators.keys())
    before = View(old, _administrators(old, users))
    if check is not None:
        check(before)
    # Whoever is no longer entitled is not shown, and stays linked where what is shown is sent back.
    if wanted.administrators is not None and asked != frozenset(map(fold_username, before.administrators)):
        links = _links(old, wanted.administrators, users)
        new = replace(new, administrators=links)
        # Of the links before, those that still give rights: a name whose link has ended is added anew.
        entitled = map(fold_username, before.administrators)
        changes["administrators"] = (", ".join(sorted(entitled)), ", ".join(sorted(links)))
    if wanted.display_name is not None and wanted.display_name != old.display_name:
        changes["displayName"] = (old.display_name, wanted.display_name)
        new = replace(new, display_name=wanted.display_name)
    if wanted.description is not None and wanted.description != old.description:
        changes["description"] = (old.description, wanted.description)
        new = replace(new, description=wanted.description)
    if wanted.labels is not None and wanted.labels != old.labels:
        changes["labels"] = (labels_text(old.labels), labels_text(wanted.labels))
        new = replace(new, labels=wanted.labels)
    if wanted.role is not None and wanted.role is not old.role:
        changes["role"] = (old.role.value, wanted.role.value)
        new, revoked_keys = api_keys.change_role(new, wanted.role, auth.origin.now)
    if changes.keys() & {"role", "administrators"}:
        permissions.require_can_change_rights(auth, old)
        sessions.require_confirmed(auth)
    if changes:
        new = replace(new, version=new_version())
        counted: tuple[Write, ...] = ()
        now = auth.origin.second
        added = new.administrators.items() - old.administrators.items()
        removed = old.administrators.items() - new.administrators.items()
        raised = not old.role.covers(new.role)
        if raised or (added and not removed):
            # A budget never refuses a change that only withdraws rights.
            new = limits.spend(new, directory.limits, now)
        if raised or added:
            # Nor does the Service User's refuse to put somebody else in the place of its only Administrator,
            # who could use it up.
            counted += (limits.account_change(new.account, directory.limits, now),)
        if changes.keys() & _NAMES_FOR_PEOPLE:
            new = limits.spend_on_names(new, directory.limits, now)
            counted += (limits.account_names(new.account, directory.limits, now),)
        event = update_event(auth, Action.SERVICE_USER_UPDATED, old, new, changes, revoked_keys)
        directory.commit(event, Replace(old, new, concurrent_change()), auth.still_entitled(), *counted)
    return View(new, _administrators(new, users))


def labels_text(labels: dict[str, str]) -> str:
    """Return labels as text, as an event records them: ``name=value`` by name, separated by a space."""
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def delete(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> None:
    """Delete a Service User and revoke its keys, even if concurrent calls change it.

    With ``if_match``, only the version that it names. Raises Forbidden, NotFound or PreconditionFailed.
    """

    def attempt(*, any_version: bool) -> None:
        old = _find_administered(directory, auth, username, if_match)
        sessions.require_confirmed(auth)
        event = new_event(
            auth.origin,
            caller_as_actor(auth),
            Action.SERVICE_USER_DELETED,
            old,
            api_keys.revoke_all(old, auth.origin.now),
            changes={"role": (old.role.value, "")},
            cause=Cause.SERVICE_USER_DELETED,
            reason="The Service User was deleted",
        )
        any_version = any_version and if_match is None
        removal = Remove(old, concurrent_change(), any_version)
        directory.commit(event, removal, auth.still_entitled(), limits.removed(old), patient=True)

    until_revoked(attempt)


def suspend(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> View:
    """Suspend a Service User, and return it. Its keys are refused once this returns, and kept.

    One that is suspended stays so. Like a revocation, it needs no confirmation in a session and no budget,
    and concurrent changes do not stop it, unless ``if_match`` names a version. Raises Forbidden, NotFound or
    PreconditionFailed.
    """
    new: ServiceUser | None = None

    def attempt(*, any_version: bool) -> None:
        nonlocal new
        old = new = _find_administered(directory, auth, username, if_match)
        if suspension.is_by_account(old):
            return
        new = suspension.suspended(old, auth.caller, auth.origin.second)
        write = suspension.write_of(old, new, any_version=any_version and if_match is None)
        event = suspension.event_of(auth, old, new)
        directory.commit(event, write, auth.still_entitled(), patient=True)

    until_revoked(attempt)
    assert new is not None  # noqa: S101 - for mypy; every attempt sets it
    return _view(directory, new)


def resume(directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None) -> View:
    """Resume a suspended Service User, and return it. Its keys work again, each until its expiry.

    Raises Forbidden (also for a Service User above the caller's role, as for generating a key), NotFound,
    PreconditionFailed, or TooManyRequests if the budget of changes is used up.
    """
    old = _find_administered(directory, auth, username, if_match)
    permissions.require_can_change_rights(auth, old)
    sessions.require_confirmed(auth)
    if old.suspended_at is None:
        return _view(directory, old)
    new = suspension.resumed(old)
    # Not the Service User's own budget, which whoever suspended it could use up.
    directory.commit(
        suspension.event_of(auth, old, new),
        Replace(old, new, concurrent_change()),
        auth.still_entitled(),
        limits.account_change(new.account, directory.limits, auth.origin.second),
        limits.resumption(auth.caller, auth.origin.second),
    )
    return _view(directory, new)


def key_holder(
    directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None, *, issuing: bool
) -> ServiceUser:
    """Return a Service User whose keys the caller may restrict and revoke or, if ``issuing``, also issue.

    With ``if_match``, only in the version that it names. Raises Forbidden, NotFound or PreconditionFailed.
    """
    target = _find_administered(directory, auth, username, if_match)
    if issuing:
        permissions.require_can_issue_keys(auth, target)
    return target


def _find_administered(
    directory: Directory, auth: AuthContext, username: str, if_match: IfMatch | None = None
) -> ServiceUser:
    permissions.require_can_manage_service_users(auth)
    target = _find(directory, auth, username)
    permissions.require_administers(auth, target)
    require_match(if_match, target.version, target.username)
    return target


def _find(directory: Directory, auth: AuthContext, username: str) -> ServiceUser:
    found = directory.principal(username)
    if not isinstance(found, ServiceUser) or found.account != auth.caller.account:
        raise NotFound(f"There is no Service User '{username}' in the account.")
    return found


def _view(directory: Directory, service_user: ServiceUser) -> View:
    return _views(directory, [service_user], set(service_user.administrators))[0]


def _views(directory: Directory, members: list[ServiceUser], names: set[str]) -> tuple[View, ...]:
    users = directory.users(frozenset(names))
    return tuple(View(member, _administrators(member, users)) for member in members)


def _administrators(service_user: ServiceUser, users: dict[str, User]) -> tuple[str, ...]:
    """Return the usernames of the Administrators who are still entitled."""
    return tuple(
        users[name].username
        for name in sorted(service_user.administrators)
        if name in users and permissions.is_administrator(users[name], service_user)
    )


def _links(old: ServiceUser, wanted: tuple[str, ...], users: dict[str, User]) -> dict[str, str]:
    """Return the links to the wanted Administrators: folded usernames to membership ids.

    Raises ValidationError with every error.
    """
    if not wanted:
        raise validation_error(
            "/administrators", "A Service User keeps at least one Administrator; name one."
        )
    if len(wanted) > MAX_ADMINISTRATORS:
        raise validation_error(
            "/administrators", f"A Service User has at most {MAX_ADMINISTRATORS} Administrators."
        )
    errors: list[FieldError] = []
    links: dict[str, str] = {}
    for index, username in enumerate(wanted):
        name = fold_username(username)
        user = users.get(name)
        if name in links:
            errors.append(FieldError(f"/administrators/{index}", f"'{username}' is given twice."))
        elif user is None or not permissions.can_become_administrator(user, old):
            errors.append(
                FieldError(
                    f"/administrators/{index}",
                    f"'{username}' is not an activated OWNER or CLUSTER_ADMIN User of the account, "
                    "or is suspended.",
                )
            )
        else:
            links[name] = user.membership
    if errors:
        raise validation_error_of(errors)
    return links
