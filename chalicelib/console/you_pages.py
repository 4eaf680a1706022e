"""The caller's own keys, passkeys and sessions."""

from typing import Any, NamedTuple

from chalice.app import Response

from chalicelib.console import key_pages
from chalicelib.console.forms import submit
from chalicelib.console.key_pages import Lookup
from chalicelib.console.pages import page
from chalicelib.console.visit import Visit
from chalicelib.rules import accounts, api_keys, passkeys, permissions, service_users, sessions, users
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import NotFound, validation_error
from chalicelib.rules.model import ShownKey, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import Role
from chalicelib.rules.service_users import View

PAGE = 500
MAX_PAGES = 4
"""The most pages of Service Users to read for what somebody who leaves should hand over."""


_KEY_FORMS = {
    "generate": key_pages.generate,
    "rotate": key_pages.rotate,
    "restrict": key_pages.restrict,
    "revoke": key_pages.revoke,
}


class Handover(NamedTuple):
    """A Service User that somebody who leaves should hand over: they administer it, or know keys of it."""

    view: View
    administers: bool
    shown: tuple[ShownKey, ...]


def show(visit: Visit) -> Response:
    """Show the caller's keys, passkeys and sessions."""
    auth = visit.sign_in()
    user, _ = sessions.current(auth)
    live = {id_: it for id_, it in user.sessions.items() if not sessions.is_over(it, visit.origin.now)}
    return page(
        visit,
        "you.html",
        user=user,
        live=sorted(live.items(), key=lambda entry: entry[1].seen_at, reverse=True),
        this=sessions.id_of(auth),
        most=passkeys.MAX_PASSKEYS,
        done=visit.query().get("done", ""),
    )


def form(visit: Visit, action: str) -> Response:
    """Show a form about the caller, or submit it."""
    if action in _KEY_FORMS:
        auth = visit.sign_in()

        def find(_issuing: bool) -> User:
            return users.own(auth, auth.caller.username)

        return _KEY_FORMS[action](visit, auth, Lookup(find, "you", "./"))
    act = {
        "passkey": _remove_passkey,
        "session": _end_session,
        "sessions": _end_all,
        "leave": _leave,
    }.get(action)
    if act is None:
        raise NotFound("There is no such page in the console.")
    return act(visit)


def _remove_passkey(visit: Visit) -> Response:
    auth = visit.sign_in()
    passkey_id = visit.query().get("id", "")
    passkey = visit.user.passkeys.get(passkey_id)
    if passkey is None:
        raise NotFound("You have no such passkey; it may have been removed already.")
    values: dict[str, Any] = {"passkey": passkey, "id": passkey_id, "only": len(visit.user.passkeys) == 1}
    if visit.method == "GET":
        return page(visit, "you-passkey.html", **values)

    def act() -> Response:
        passkeys.remove(visit.directory, auth, passkey_id)
        return visit.redirect_to("you?done=removed")

    return submit(visit, "you-passkey.html", act, **values)


def _leave(visit: Visit) -> Response:
    """Show how the caller leaves the account and what they hand over first; an OWNER leaves by themselves."""
    auth = visit.sign_in()
    user = visit.user
    manages, owns = auth.role.covers(Role.CLUSTER_ADMIN), auth.role is Role.OWNER
    if visit.method == "GET":
        owners = set(accounts.read(visit.directory, auth).owners) if manages else set()
        handovers, complete = _handovers(visit, auth) if manages else ([], True)
        return page(
            visit,
            "you-leave.html",
            others=sorted(owners - {fold_username(user.username)}),
            leaves=owns and len(owners) > 1,
            handovers=handovers,
            complete=complete,
        )
    permissions.require_can_manage_users(auth)

    def act() -> Response:
        if visit.field("name") != user.username:
            raise validation_error("/name", f"Type {user.username}, as it stands there.")
        users.revoke(visit.directory, auth, user.username)
        return visit.sign_out_redirect("left")

    return submit(visit, "you-leave.html", act, others=[], leaves=True, handovers=[], complete=True)


def _handovers(visit: Visit, auth: AuthContext) -> tuple[list[Handover], bool]:
    """Return what the caller should hand over, and whether the whole account was searched."""
    found: list[Handover] = []
    after: str | None = None
    name = fold_username(visit.user.username)
    for _ in range(MAX_PAGES):
        views, after = service_users.listing(visit.directory, auth, PAGE, after)
        for view in views:
            it = view.service_user
            administers = permissions.is_administrator(visit.user, it)
            shown = api_keys.shown_keys(it, name, visit.origin.now)
            if administers or shown:
                found.append(Handover(view, administers, shown))
        if after is None:
            return found, True
    return found, False


def _end_session(visit: Visit) -> Response:
    auth = visit.sign_in()
    session_id = visit.query().get("id", "")
    if visit.method == "GET":
        return visit.redirect_to("you")
    visit.require_form_token(visit.field("csrf"))
    sessions.end(visit.directory, auth, session_id)
    return visit.redirect_to("you?done=ended")


def _end_all(visit: Visit) -> Response:
    auth = visit.sign_in()
    if visit.method == "GET":
        return visit.redirect_to("you")
    still = "You are still signed in. Open 'You', and sign out everywhere there."
    visit.require_form_token(visit.field("csrf"), still)
    sessions.end_all(visit.directory, auth)
    return visit.sign_out_redirect()
