"""``/v1/service-users``: Service Users and their keys."""

from chalice.app import Response

from chalicelib.http import bodies, keys, responses, validation
from chalicelib.http.call import Call, conditional, etag, nothing, reply
from chalicelib.rules import permissions, service_users
from chalicelib.rules.api_keys import IssuedKey
from chalicelib.rules.service_users import NewServiceUser, ServiceUserUpdate, View

PATH = "/v1/service-users"
NAME_FORM = r"[a-z0-9._-]{3,64}"


def create(call: Call) -> Response:
    """201, the Service User with its new keys in the clear, once."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    body = call.body(bodies.CreateServiceUser)
    asked = NewServiceUser(
        username=body.username,
        email=body.email,
        role=body.effective_role,
        display_name=keys.or_default(body.display_name, ""),
        key_types=keys.or_default(body.key_types, None),
        restrictions=keys.key_restrictions(body),
    )
    view, shown = service_users.create(call.directory, auth, asked)
    location = call.address(f"{PATH}/{view.service_user.username}")
    return _reply(call, 201, view, shown, {"Location": location})


def listing(call: Call) -> Response:
    """200, an array of Service Users by username, keys masked; ``Link`` while there is more."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    query = call.query("limit", "cursor")
    paging = call.paging(query, NAME_FORM)
    views, after = service_users.listing(call.directory, auth, paging.limit, paging.after)
    page = tuple(responses.service_user(view, call.origin.now) for view in views)
    return reply(200, page, call.next_page(PATH, after, query))


def read(call: Call, username: str) -> Response:
    """200, a Service User, with its ``ETag``."""
    auth = call.authenticate()
    call.query()
    return _reply(call, 200, service_users.read(call.directory, auth, username))


@conditional
def update(call: Call, username: str) -> Response:
    """200, the Service User as it is now. Honours ``If-Match``."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    body = call.body(bodies.UpdateServiceUser)
    wanted = ServiceUserUpdate(
        keys.or_default(body.display_name, None),
        keys.or_default(body.role, None),
        keys.or_default(body.administrators, None),
    )
    view = service_users.update(call.directory, auth, username, wanted, call.if_match())
    return _reply(call, 200, view)


@conditional
def delete(call: Call, username: str) -> Response:
    """204; every key of it is dead when the answer arrives. Honours ``If-Match``."""
    auth = call.authenticate(permissions.require_can_manage_service_users)
    call.query()
    call.body_or_none(validation.Body)  # Whoever sends a key type means that key, and not the whole.
    service_users.delete(call.directory, auth, username, call.if_match())
    return nothing()


@conditional
def generate_key(call: Call, username: str) -> Response:
    """201, a key of a type the Service User has none of, in the clear, once."""
    return keys.generate(call, _door(username, issuing=True))


@conditional
def revoke_key(call: Call, username: str) -> Response:
    """204; the key is dead when the answer arrives."""
    return keys.revoke(call, _door(username, issuing=False))


@conditional
def restrict_key(call: Call, username: str) -> Response:
    """200, the key as it is now, masked."""
    return keys.restrict(call, _door(username, issuing=False))


@conditional
def rotate_key(call: Call, username: str) -> Response:
    """200, the new key in the clear, once."""
    return keys.rotate(call, _door(username, issuing=True))


def _door(username: str, *, issuing: bool) -> keys.KeyHolderLookup:
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
