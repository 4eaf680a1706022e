"""People: the list, and the forms that invite them, change their role and revoke them."""

import re
from typing import Any
from urllib.parse import urlencode

from chalice.app import Response

from chalicelib.console.forms import require_as_shown, state_of_credentials, state_of_principal, submit
from chalicelib.console.pages import page, require_role
from chalicelib.console.visit import Visit, check_fields
from chalicelib.http import bodies, keys
from chalicelib.http.service_users import NAME_FORM
from chalicelib.rules import offboarding, permissions, users
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import NotFound, validation_error
from chalicelib.rules.model import User
from chalicelib.rules.roles import Role

PAGE = 50


def listing(visit: Visit) -> Response:
    """Show the account's people."""
    auth = visit.sign_in()
    require_role(visit, Role.CLUSTER_ADMIN, "The list of people")
    after = visit.query().get("after")
    if after is not None and not re.fullmatch(NAME_FORM, after):
        after = None
    people, after = users.listing(visit.directory, auth, PAGE, after)
    return page(visit, "people.html", people=people, after=after, done=visit.query().get("done", ""))


def invite(visit: Visit) -> Response:
    """Show the form that invites somebody, or invite them."""
    auth = visit.sign_in()
    permissions.require_can_manage_users(auth)
    values: dict[str, Any] = {"roles": list(Role)}
    if visit.method == "GET":
        return page(visit, "people-invite.html", **values)

    def act() -> Response:
        fields: dict[str, Any] = {
            name: value
            for name in ("username", "email", "role", "displayName")
            if (value := visit.field(name))
        }
        body = check_fields(bodies.InviteUser, fields, visit.origin.now)
        display_name = keys.or_default(body.display_name, "")
        users.invite(visit.directory, auth, body.username, body.email, body.role, display_name)
        return visit.redirect_to("people?done=invited")

    return submit(visit, "people-invite.html", act, **values)


def form(visit: Visit, username: str, action: str) -> Response:
    """Show a form about a User, or submit it."""
    if action == "shown-keys":
        return _shown_keys(visit, username)
    forms = {
        "edit": _edit,
        "revoke": _revoke,
        "invite-again": _invite_again,
        "suspend": _suspend,
        "resume": _resume,
    }
    act = forms.get(action)
    if act is None:
        raise NotFound("There is no such page in the console.")
    auth = visit.sign_in()
    permissions.require_can_manage_users(auth)
    return act(visit, auth, users.read(visit.directory, auth, username).user)


def _edit(visit: Visit, auth: AuthContext, person: User) -> Response:
    values: dict[str, Any] = {
        "person": person,
        "roles": list(Role),
        "myself": permissions.is_same_principal(person, auth.caller),
        "was": state_of_principal(person),
    }
    if visit.method == "GET":
        typed = {"displayName": person.display_name, "role": person.role.value}
        return page(visit, "people-edit.html", **{**values, "form": typed})

    def act() -> Response:
        fields = {
            "displayName": visit.field("displayName") or person.username,
            "role": visit.field("role") or person.role.value,
        }
        body = check_fields(bodies.UpdateUser, fields, visit.origin.now)
        role, display_name = keys.or_default(body.role, None), keys.or_default(body.display_name, None)

        def check(old: User) -> None:
            require_as_shown(visit, state_of_principal(old))

        users.update(visit.directory, auth, person.username, role, display_name, None, check)
        return visit.redirect_to("people?done=changed")

    return submit(visit, "people-edit.html", act, **values)


def _revoke(visit: Visit, auth: AuthContext, person: User) -> Response:
    if permissions.is_same_principal(person, auth.caller):
        return visit.redirect_to("you/leave")
    if visit.method == "GET":
        return page(visit, "people-revoke.html", person=person)

    def act() -> Response:
        if visit.field("name") != person.username:
            raise validation_error("/name", f"Type {person.username}, exactly as it is written there.")
        users.revoke(visit.directory, auth, person.username)
        return visit.redirect_to(f"people/{person.username}/shown-keys?done=revoked")

    return submit(visit, "people-revoke.html", act, person=person)


def _shown_keys(visit: Visit, username: str) -> Response:
    """Show the keys of Service Users that somebody was shown, who may have left already, or revoke them."""
    auth = visit.sign_in()
    permissions.require_can_see_shown_keys(auth)
    start = visit.query().get("after", "") if visit.method == "GET" else visit.field("after")
    if not re.fullmatch(NAME_FORM, start):
        start = ""

    def show() -> dict[str, Any]:
        shown, after = offboarding.search(visit.directory, auth, username, start or None)
        return {
            "username": username,
            "shown": shown,
            "start": start,
            "after": after,
            "most": offboarding.MAX_SERVICE_USERS_CHANGED,
        }

    if visit.method == "GET":
        return page(visit, "people-shown-keys.html", **show(), done=visit.query().get("done", ""))

    def act() -> Response:
        if visit.field("ends") != "yes":
            raise validation_error("/ends", "Tick this to revoke the keys.")
        ended = offboarding.end(visit.directory, auth, username, start or None, revoke_user=False)
        query = {"done": "ended"} if ended.keys else {}
        if ended.left and ended.after is not None:
            query["after"] = ended.after
        asked = f"?{urlencode(query)}" if query else ""
        return visit.redirect_to(f"people/{username}/shown-keys{asked}")

    return submit(visit, "people-shown-keys.html", act, late=show)


def _invite_again(visit: Visit, auth: AuthContext, person: User) -> Response:
    values: dict[str, Any] = {"person": person, "was": state_of_credentials(person)}
    if visit.method == "GET":
        return page(visit, "people-invite-again.html", **values)

    def act() -> Response:
        def check(old: User) -> None:
            require_as_shown(visit, state_of_credentials(old))

        users.invite_again(visit.directory, auth, person.username, check=check)
        return visit.redirect_to("people?done=invited")

    return submit(visit, "people-invite-again.html", act, **values)


def _suspend(visit: Visit, auth: AuthContext, person: User) -> Response:
    return _switch(visit, auth, person, "suspend")


def _resume(visit: Visit, auth: AuthContext, person: User) -> Response:
    return _switch(visit, auth, person, "resume")


def _switch(visit: Visit, auth: AuthContext, person: User, action: str) -> Response:
    values: dict[str, Any] = {
        "it": person,
        "action": action,
        "person": True,
        "was": state_of_principal(person),
    }
    if visit.method == "GET":
        return page(visit, "suspend.html", **values)

    def act() -> Response:
        if action == "suspend":  # which, like a revocation, is done whatever has changed
            users.suspend(visit.directory, auth, person.username)
        else:
            require_as_shown(visit, values["was"])
            users.resume(visit.directory, auth, person.username, lambda version: version == person.version)
        return visit.redirect_to(f"people?done={action}")

    return submit(visit, "suspend.html", act, **values)
