"""``/v1/users``: the Users of an account, and their own keys."""

import re
from collections.abc import Callable
from urllib.parse import quote

from chalice.app import Response

from chalicelib.http import bodies, keys, responses, selections, validation
from chalicelib.http.call import Call, conditional, etag, fit, nothing, reply
from chalicelib.http.read_only import require_same_user
from chalicelib.http.service_users import NAME_FORM
from chalicelib.rules import offboarding, permissions, users
from chalicelib.rules.errors import NotFound, ValidationError
from chalicelib.rules.model import User
from chalicelib.rules.names import USERNAME, fold_username
from chalicelib.rules.users import Person

PATH = "/v1/users"


def invite(call: Call) -> Response:
    """Invite a User; respond with them. The token is only in the email."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    body = call.body(bodies.InviteUser)
    invited = users.invite(
        call.directory, auth, body.username, body.email, body.role, keys.or_default(body.display_name, "")
    )
    location = call.address(f"{PATH}/{invited.user.username}")
    return _reply_person(201, invited, {"Location": location})


def listing(call: Call) -> Response:
    """Respond with a page of Users by username."""
    auth = call.authenticate(permissions.require_can_list_users)
    query = call.query("limit", "cursor", *selections.OF_USERS)
    paging = call.paging(query, NAME_FORM)
    selection = selections.of_users(query)
    found, after = users.listing(call.directory, auth, paging.limit, paging.after, selection)
    page, after = fit([(fold_username(it.user.username), responses.person(it)) for it in found], after)
    return reply(200, page, call.next_page(PATH, after, query))


def read(call: Call, username: str) -> Response:
    """Respond with a User."""
    auth = call.authenticate(permissions.require_can_list_users)
    call.query()
    person = users.read(call.directory, auth, username)
    return _reply_person(200, person)


@conditional
def update(call: Call, username: str) -> Response:
    """Change a User; respond with them."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    body = call.body(bodies.UpdateUser)

    def check(before: User) -> None:
        require_same_user(body, responses.user(before), auth.origin.now)

    changed = users.update(
        call.directory,
        auth,
        username,
        keys.or_default(body.role, None),
        keys.or_default(body.display_name, None),
        call.if_match(),
        check,
    )
    return _reply(200, changed)


@conditional
def revoke(call: Call, username: str) -> Response:
    """Revoke a User, with their keys and Administrator links."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    users.revoke(call.directory, auth, username, call.if_match())
    return nothing()


@conditional
def suspend(call: Call, username: str) -> Response:
    """Suspend a User, if ``If-Match`` holds; respond with them."""
    return _switch(call, username, users.suspend)


@conditional
def resume(call: Call, username: str) -> Response:
    """Resume a User, if ``If-Match`` holds; respond with them."""
    return _switch(call, username, users.resume)


def _switch(call: Call, username: str, rule: Callable[..., User]) -> Response:
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    return _reply(200, rule(call.directory, auth, username, call.if_match()))


def list_shown_keys(call: Call, username: str) -> Response:
    """Respond with a page of the working keys of Service Users that somebody was shown."""
    auth = call.authenticate(permissions.require_can_see_shown_keys)
    _require_username(username)
    query = call.query("limit", "cursor")
    paging = call.paging(query, NAME_FORM)
    found, after = offboarding.listing(call.directory, auth, username, paging.limit, paging.after)
    return reply(200, tuple(map(responses.shown_key, found)), call.next_page(_shown(username), after, query))


def end_shown_keys(call: Call, username: str) -> Response:
    """Revoke the keys that somebody was shown; respond with them, and a ``Link`` if there are more.

    With ``revokeUser``, revoke the User from the account first.
    """
    auth = call.authenticate(permissions.require_can_see_shown_keys)
    _require_username(username)
    query = call.query("revokeUser", "cursor")
    paging = call.paging(query, NAME_FORM)
    if query.get("revokeUser", "false") not in ("true", "false"):
        raise ValidationError("'revokeUser' is true or false.")
    call.body_or_none(validation.Body)
    ended = offboarding.end(
        call.directory, auth, username, paging.after, revoke_user=query.get("revokeUser") == "true"
    )
    more: dict[str, str] = {}
    if ended.left:  # the next call must not revoke the User, who may have been invited again by then
        more = call.next_page(_shown(username), ended.after, {})
        more = more or {"Link": f'<{call.address(_shown(username))}>; rel="next"'}
    return reply(200, responses.ended_keys(ended), more)


def _require_username(username: str) -> None:
    """Raise NotFound for an invalid username. Somebody who has left has no item that could be looked up."""
    if not re.match(USERNAME, username):
        raise NotFound("Nobody can have this username: it is 3 to 64 of letters, digits, '.', '_', '-'.")


def _shown(username: str) -> str:
    return f"{PATH}/{quote(username, safe='')}/shown-keys"


@conditional
def invite_again(call: Call, username: str) -> Response:
    """Send a User a new invitation, which revokes their earlier tokens and keys; respond with them."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    return _reply_person(200, users.invite_again(call.directory, auth, username, call.if_match()))


def activate(call: Call) -> Response:
    """Activate a User; respond with the secrets of their first keys."""
    call.query()
    body = call.body(bodies.ActivateUser, validation.MAX_ACTIVATION_BYTES)
    user, shown = users.activate(call.directory, body.username, body.token, call.origin)
    return reply(200, responses.activated(user, call.origin.now, shown))


def list_keys(call: Call, username: str) -> Response:
    """Respond with the caller's own keys, masked."""
    auth = call.authenticate(permissions.require_management_key)
    call.query()
    user = users.own(auth, username)
    return reply(200, responses.api_keys(user, call.origin.now), {"ETag": etag(user.version)})


@conditional
def generate_key(call: Call, username: str) -> Response:
    """Generate a key for the caller; respond with its secret."""
    return keys.generate(call, _own_keys(username))


@conditional
def revoke_key(call: Call, username: str) -> Response:
    """Revoke a key of the caller."""
    return keys.revoke(call, _own_keys(username))


@conditional
def restrict_key(call: Call, username: str) -> Response:
    """Change the restrictions of a key of the caller; respond with the key, masked."""
    return keys.restrict(call, _own_keys(username))


def read_key(call: Call, username: str, key_type: str) -> Response:
    """Respond with the caller's key of a type, masked."""
    auth = call.authenticate(permissions.require_management_key)
    call.query()
    return keys.read_of_type(call, users.own(auth, username), key_type)


@conditional
def revoke_key_of_type(call: Call, username: str, key_type: str) -> Response:
    """Revoke the caller's key of a type."""
    return keys.revoke_of_type(call, _own_keys(username), key_type)


@conditional
def restrict_key_of_type(call: Call, username: str, key_type: str) -> Response:
    """Change the restrictions of the caller's key of a type; respond with the key, masked."""
    return keys.restrict_of_type(call, _own_keys(username), key_type)


@conditional
def rotate_key(call: Call, username: str) -> Response:
    """Rotate a key of the caller; respond with the new secret."""
    return keys.rotate(call, _own_keys(username))


def _own_keys(username: str) -> keys.KeyHolderLookup:
    return keys.KeyHolderLookup(
        permissions.require_management_key, lambda call, auth: users.own(auth, username, call.if_match())
    )


def _reply(status: int, user: User, headers: dict[str, str] | None = None) -> Response:
    return reply(status, responses.user(user), {"ETag": etag(user.version), **(headers or {})})


def _reply_person(status: int, person: Person, headers: dict[str, str] | None = None) -> Response:
    return reply(status, responses.person(person), {"ETag": etag(person.user.version), **(headers or {})})
