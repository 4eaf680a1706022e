"""``/v1/users``: the Users of an account, and their own keys."""

from chalice.app import Response

from chalicelib.http import bodies, keys, responses, validation
from chalicelib.http.call import Call, nothing, reply
from chalicelib.http.service_users import NAME_FORM
from chalicelib.rules import permissions, users

PATH = "/v1/users"


def invite(call: Call) -> Response:
    """Invite a User; respond with them. The token is only in the email."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    body = call.body(bodies.InviteUser)
    invited = users.invite(
        call.directory, auth, body.username, body.email, body.role, keys.or_default(body.display_name, "")
    )
    return reply(201, responses.user(invited), {"Location": call.address(f"{PATH}/{invited.username}")})


def listing(call: Call) -> Response:
    """Respond with a page of Users by username."""
    auth = call.authenticate(permissions.require_can_list_users)
    query = call.query("limit", "cursor")
    paging = call.paging(query, NAME_FORM)
    page, after = users.listing(call.directory, auth, paging.limit, paging.after)
    return reply(200, tuple(responses.user(it) for it in page), call.next_page(PATH, after, query))


def read(call: Call, username: str) -> Response:
    """Respond with a User."""
    auth = call.authenticate(permissions.require_can_list_users)
    call.query()
    return reply(200, responses.user(users.read(call.directory, auth, username)))


def update(call: Call, username: str) -> Response:
    """Change a User; respond with them."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    body = call.body(bodies.UpdateUser)
    changed = users.update(
        call.directory,
        auth,
        username,
        keys.or_default(body.role, None),
        keys.or_default(body.display_name, None),
    )
    return reply(200, responses.user(changed))


def revoke(call: Call, username: str) -> Response:
    """Revoke a User, with their keys and Administrator links."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    users.revoke(call.directory, auth, username)
    return nothing()


def invite_again(call: Call, username: str) -> Response:
    """Send a User a new invitation, which revokes their earlier tokens and keys; respond with them."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    return reply(200, responses.user(users.invite_again(call.directory, auth, username)))


def activate(call: Call) -> Response:
    """Activate a User; respond with the secrets of their first keys."""
    call.query()
    body = call.body(bodies.ActivateUser, validation.ACTIVATION_LARGEST)
    user, shown = users.activate(call.directory, body.username, body.token, call.origin)
    return reply(200, responses.activated(user, call.origin.now, shown))


def list_keys(call: Call, username: str) -> Response:
    """Respond with the caller's own keys, masked."""
    auth = call.authenticate(permissions.require_management_key)
    call.query()
    return reply(200, responses.api_keys(users.own(auth, username), call.origin.now))


def generate_key(call: Call, username: str) -> Response:
    """Generate a key for the caller; respond with its secret."""
    return keys.generate(call, _own_keys(username))


def revoke_key(call: Call, username: str) -> Response:
    """Revoke a key of the caller."""
    return keys.revoke(call, _own_keys(username))


def restrict_key(call: Call, username: str) -> Response:
    """Change the restrictions of a key of the caller; respond with the key, masked."""
    return keys.restrict(call, _own_keys(username))


def rotate_key(call: Call, username: str) -> Response:
    """Rotate a key of the caller; respond with the new secret."""
    return keys.rotate(call, _own_keys(username))


def _own_keys(username: str) -> keys.KeyHolderLookup:
    return keys.KeyHolderLookup(
        permissions.require_management_key, lambda _call, auth: users.own(auth, username)
    )
