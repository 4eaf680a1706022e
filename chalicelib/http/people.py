"""``/v1/users``: the people of an account, and their own keys."""

from chalice.app import Response

from chalicelib.http import answers, bodies, keys
from chalicelib.http.calls import Call, nothing, reply
from chalicelib.http.service_users import NAME_FORM
from chalicelib.rules import access, people

PATH = "/v1/users"


def invite(call: Call) -> Response:
    """201, the invited User; the token goes to them by email and nowhere else."""
    act = call.act(access.run_people)
    call.query()
    body = call.body(bodies.InviteUser)
    made = people.invite(
        call.directory, act, body.username, body.email, body.role, keys.given(body.display_name, "")
    )
    return reply(201, answers.user(made), {"Location": call.address(f"{PATH}/{made.username}")})


def listing(call: Call) -> Response:
    """200, an array of Users by username; ``Link`` while there is more."""
    act = call.act(access.see_people)
    query = call.query("limit", "cursor")
    paging = call.paging(query, NAME_FORM)
    users, after = people.listing(call.directory, act, paging.limit, paging.after)
    return reply(200, tuple(answers.user(it) for it in users), call.next_page(PATH, after, query))


def read(call: Call, username: str) -> Response:
    """200, a User."""
    act = call.act(access.see_people)
    call.query()
    return reply(200, answers.user(people.read(call.directory, act, username)))


def update(call: Call, username: str) -> Response:
    """200, the User as they are now."""
    act = call.act(access.run_people)
    call.query()
    body = call.body(bodies.UpdateUser)
    changed = people.update(
        call.directory,
        act,
        username,
        keys.given(body.role, None),
        keys.given(body.display_name, None),
    )
    return reply(200, answers.user(changed))


def revoke(call: Call, username: str) -> Response:
    """204; the person's keys and Administrator links are dead when the answer arrives."""
    act = call.act(access.run_people)
    call.query()
    call.body_or_none(bodies.Body)
    people.revoke(call.directory, act, username)
    return nothing()


def invite_again(call: Call, username: str) -> Response:
    """200, the User, who is sent a fresh token; former tokens and keys are dead when the answer arrives."""
    act = call.act(access.run_people)
    call.query()
    call.body_or_none(bodies.Body)
    return reply(200, answers.user(people.invite_again(call.directory, act, username)))


def activate(call: Call) -> Response:
    """200, the User with their first keys in the clear, once."""
    call.query()
    body = call.body(bodies.ActivateUser)
    user, shown = people.activate(call.directory, body.username, body.token, call.origin)
    return reply(200, answers.activated(user, call.origin.now, shown))


def list_keys(call: Call, username: str) -> Response:
    """200, the caller's own keys, masked."""
    act = call.act(access.manage_anything)
    call.query()
    return reply(200, answers.api_keys(people.own(act, username), call.origin.now))


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


def _own(username: str) -> keys.Door:
    return keys.Door(access.manage_anything, lambda _call, act: people.own(act, username))
