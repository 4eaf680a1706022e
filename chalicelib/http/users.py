"""``/v1/users``: the people of an account, and their own keys."""

from urllib.parse import quote

from chalice.app import Response

from chalicelib.http import bodies, keys, responses, validation
from chalicelib.http.call import Call, nothing, reply
from chalicelib.http.service_users import NAME_FORM
from chalicelib.rules import offboarding, permissions, users
from chalicelib.rules.errors import ValidationError

PATH = "/v1/users"


def invite(call: Call) -> Response:
    """201, the invited User; the token goes to them by email and nowhere else."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    body = call.body(bodies.InviteUser)
    made = users.invite(
        call.directory, auth, body.username, body.email, body.role, keys.or_default(body.display_name, "")
    )
    return reply(201, responses.user(made), {"Location": call.address(f"{PATH}/{made.username}")})


def listing(call: Call) -> Response:
    """200, an array of Users by username; ``Link`` while there is more."""
    auth = call.authenticate(permissions.require_can_list_users)
    query = call.query("limit", "cursor")
    paging = call.paging(query, NAME_FORM)
    page, after = users.listing(call.directory, auth, paging.limit, paging.after)
    return reply(200, tuple(responses.user(it) for it in page), call.next_page(PATH, after, query))


def read(call: Call, username: str) -> Response:
    """200, a User."""
    auth = call.authenticate(permissions.require_can_list_users)
    call.query()
    return reply(200, responses.user(users.read(call.directory, auth, username)))


def update(call: Call, username: str) -> Response:
    """200, the User as they are now."""
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
    """204; the person's keys and Administrator links are dead when the answer arrives."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    users.revoke(call.directory, auth, username)
    return nothing()


def list_shown_keys(call: Call, username: str) -> Response:
    """200, an array of the keys that somebody was shown and that still work; ``Link`` while there is more."""
    auth = call.authenticate(permissions.require_can_see_shown_keys)
    query = call.query("limit", "cursor")
    paging = call.paging(query, NAME_FORM)
    found, after = offboarding.listing(call.directory, auth, username, paging.limit, paging.after)
    return reply(200, tuple(map(responses.shown_key, found)), call.next_page(_shown(username), after, query))


def end_shown_keys(call: Call, username: str) -> Response:
    """200, the keys that were ended; ``Link`` to the call that ends the rest.

    With ``revokeUser`` the person is revoked from the account first.
    """
    auth = call.authenticate(permissions.require_can_see_shown_keys)
    query = call.query("revokeUser", "cursor")
    paging = call.paging(query, NAME_FORM)
    if query.get("revokeUser", "false") not in ("true", "false"):
        raise ValidationError("'revokeUser' is true or false.")
    call.body_or_none(validation.Body)
    ended = offboarding.end(
        call.directory, auth, username, paging.after, revoke_user=query.get("revokeUser") == "true"
    )
    more: dict[str, str] = {}
    if ended.left:  # to go on needs no revocation: they may be invited anew by then
        more = call.next_page(_shown(username), ended.after, {})
        more = more or {"Link": f'<{call.address(_shown(username))}>; rel="next"'}
    return reply(200, responses.ended_keys(ended), more)


def _shown(username: str) -> str:
    return f"{PATH}/{quote(username, safe='')}/shown-keys"


def invite_again(call: Call, username: str) -> Response:
    """200, the User, who is sent a fresh token; former tokens and keys are dead when the answer arrives."""
    auth = call.authenticate(permissions.require_can_manage_users)
    call.query()
    call.body_or_none(validation.Body)
    return reply(200, responses.user(users.invite_again(call.directory, auth, username)))


def activate(call: Call) -> Response:
    """200, the User with their first keys in the clear, once."""
    call.query()
    body = call.body(bodies.ActivateUser, validation.ACTIVATION_LARGEST)
    user, shown = users.activate(call.directory, body.username, body.token, call.origin)
    return reply(200, responses.activated(user, call.origin.now, shown))


def list_keys(call: Call, username: str) -> Response:
    """200, the caller's own keys, masked."""
    auth = call.authenticate(permissions.require_management_key)
    call.query()
    return reply(200, responses.api_keys(users.own(auth, username), call.origin.now))


def generate_key(call: Call, username: str) -> Response:
    """201, a key of a type the caller has none of, in the clear, once."""
    return keys.generate(call, _own(username))


def revoke_key(call: Call, username: str) -> Response:
    """204; the key is dead when the answer arrives."""
    return keys.revoke(call, _own(username))


def restrict_key(call: Call, username: str) -> Response:
    """200, the key as it is now, masked."""
    return keys.restrict(call, _own(username))


def rotate_key(call: Call, username: str) -> Response:
    """200, the new key in the clear, once."""
    return keys.rotate(call, _own(username))


def _own(username: str) -> keys.KeyHolderLookup:
    return keys.KeyHolderLookup(
        permissions.require_management_key, lambda _call, auth: users.own(auth, username)
    )
