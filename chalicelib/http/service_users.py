"""``/v1/service-users``: Service Users and their keys."""

import re
from collections.abc import Callable

from chalice.app import Response
from msgspec import UNSET

from chalicelib.http import bodies, keys, responses, selections, validation
from chalicelib.http.call import Call, conditional, etag, fit, nothing, reply
from chalicelib.http.read_only import require_unchanged
from chalicelib.rules import permissions, service_users
from chalicelib.rules.api_keys import IssuedKey
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import ValidationError
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import Creation
from chalicelib.rules.service_users import NewServiceUser, ServiceUserUpdate, View

PATH = "/v1/service-users"
NAME_FORM = r"[a-z0-9._-]{3,64}"
_CREATION_FORM = rf"[0-9]{{1,12}}:{NAME_FORM}"


def create(call: Call) -> Response:
    """Create a Service User; respond with it and the secrets of its keys."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    body = call.body(bodies.CreateServiceUser)
    new = NewServiceUser(
        username=body.username,
        email=body.email,
        role=body.effective_role,
        display_name=keys.or_default(body.display_name, ""),
        key_types=keys.or_default(body.key_types, None),
        restrictions=keys.key_restrictions(body),
        administrators=keys.or_default(body.administrators, None),
        description=keys.or_default(body.description, None) or "",
        labels=keys.or_default(body.labels, {}),
    )
    view, shown = service_users.create(call.directory, auth, new)
    location = call.address(f"{PATH}/{view.service_user.username}")
    return _reply(call, 201, view, shown, {"Location": location})


def listing(call: Call) -> Response:
    """Respond with a page of Service Users by username or by creation, keys masked."""
    auth = call.authenticate(permissions.require_can_read_service_users)
    query = call.query("limit", "cursor", "sort", "prefix", *selections.OF_SERVICE_USERS)
    sort = selections.sort_of(query)
    if sort != selections.BY_USERNAME:
        return _listing_by_creation(call, auth, query, newest_first=sort == selections.NEWEST)
    paging = call.paging(query, NAME_FORM)
    selection = selections.of_service_users(query)
    prefix = query.get("prefix", "")
    if "prefix" in query and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", prefix):
        raise ValidationError("'prefix' must be 1 to 64 letters, digits, '.', '_' or '-'.")
    views, after = service_users.listing(
        call.directory, auth, paging.limit, paging.after, fold_username(prefix), selection
    )
    members = [
        (fold_username(view.service_user.username), responses.service_user(view, call.origin.now))
        for view in views
    ]
    page, after = fit(members, after)
    return reply(200, page, call.next_page(PATH, after, query))


def _listing_by_creation(
    call: Call, auth: AuthContext, query: dict[str, str], *, newest_first: bool
) -> Response:
    paging = call.paging(query, _CREATION_FORM)
    start: Creation | None = None
    if paging.after is not None:
        at, _, username = paging.after.partition(":")
        start = Creation(int(at), username)
    views, end = service_users.listing_by_creation(
        call.directory, auth, paging.limit, start, newest_first=newest_first
    )
    members = [
        (
            f"{view.service_user.created_at}:{fold_username(view.service_user.username)}",
            responses.service_user(view, call.origin.now),
        )
        for view in views
    ]
    page, after = fit(members, None if end is None else f"{end.at}:{end.username}")
    return reply(200, page, call.next_page(PATH, after, query))


def read(call: Call, username: str) -> Response:
    """Respond with a Service User and its ``ETag``."""
    auth = call.authenticate()
    call.query()
    return _reply(call, 200, service_users.read(call.directory, auth, username))


@conditional
def update(call: Call, username: str) -> Response:
    """Change a Service User, if ``If-Match`` holds; respond with it."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    body = call.body(bodies.UpdateServiceUser)
    changes = wanted_update(body)

    def check(before: View) -> None:
        now = auth.origin.now
        require_unchanged(body, responses.service_user(before, now), now)

    view = service_users.update(call.directory, auth, username, changes, call.if_match(), check)
    return _reply(call, 200, view)


def wanted_update(body: bodies.UpdateServiceUser) -> ServiceUserUpdate:
    """Return the changes that a body asks for."""
    return ServiceUserUpdate(
        keys.or_default(body.display_name, None),
        keys.or_default(body.role, None),
        keys.or_default(body.administrators, None),
        None if body.description is UNSET else body.description or "",
        keys.or_default(body.labels, None),
    )


@conditional
def delete(call: Call, username: str) -> Response:
    """Delete a Service User, if ``If-Match`` holds."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    call.body_or_none(
        validation.Body
    )  # A body with a key type was meant for a key, not for the Service User.
    service_users.delete(call.directory, auth, username, call.if_match())
    return nothing()


@conditional
def suspend(call: Call, username: str) -> Response:
    """Suspend a Service User, if ``If-Match`` holds; respond with it."""
    return _switch(call, username, service_users.suspend)


@conditional
def resume(call: Call, username: str) -> Response:
    """Resume a Service User, if ``If-Match`` holds; respond with it."""
    return _switch(call, username, service_users.resume)


def _switch(call: Call, username: str, rule: Callable[..., View]) -> Response:
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    call.body_or_none(validation.Body)
    return _reply(call, 200, rule(call.directory, auth, username, call.if_match()))


def list_keys(call: Call, username: str) -> Response:
    """Respond with the keys of a Service User, masked."""
    auth = call.authenticate()
    call.query()
    found = service_users.find(call.directory, auth, username)
    return reply(200, responses.api_keys(found, call.origin.now), {"ETag": etag(found.version)})


@conditional
def generate_key(call: Call, username: str) -> Response:
    """Generate a key for a Service User; respond with its secret."""
    return keys.generate(call, _lookup(username, issuing=True))


@conditional
def revoke_key(call: Call, username: str) -> Response:
    """Revoke a Service User's key."""
    return keys.revoke(call, _lookup(username, issuing=False))


@conditional
def restrict_key(call: Call, username: str) -> Response:
    """Change the restrictions of a Service User's key; respond with the key, masked."""
    return keys.restrict(call, _lookup(username, issuing=False))


def read_key(call: Call, username: str, key_type: str) -> Response:
    """Respond with a Service User's key of a type, masked."""
    auth = call.authenticate()
    call.query()
    return keys.read_of_type(call, service_users.find(call.directory, auth, username), key_type)


@conditional
def revoke_key_of_type(call: Call, username: str, key_type: str) -> Response:
    """Revoke a Service User's key of a type."""
    return keys.revoke_of_type(call, _lookup(username, issuing=False), key_type)


@conditional
def restrict_key_of_type(call: Call, username: str, key_type: str) -> Response:
    """Change the restrictions of a Service User's key of a type; respond with the key, masked."""
    return keys.restrict_of_type(call, _lookup(username, issuing=False), key_type)


@conditional
def rotate_key(call: Call, username: str) -> Response:
    """Rotate a Service User's key; respond with the new secret."""
    return keys.rotate(call, _lookup(username, issuing=True))


def _lookup(username: str, *, issuing: bool) -> keys.KeyHolderLookup:
    return keys.KeyHolderLookup(
        permissions.require_can_manage_service_users,
        lambda call, auth: service_users.key_holder(
            call.directory, auth, username, call.if_match(), issuing=issuing
        ),
    )


def _reply(
    call: Call,
    status: int,
    view: View,
    shown: tuple[IssuedKey, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    tag = {"ETag": etag(view.service_user.version)}
    return reply(status, responses.service_user(view, call.origin.now, shown), {**tag, **(headers or {})})
