"""The caller's own keys, passkeys and sessions."""

from typing import Any

from chalice.app import Response

from chalicelib.console import key_pages
from chalicelib.console.forms import submit
from chalicelib.console.key_pages import Lookup
from chalicelib.console.pages import page
from chalicelib.console.visit import Visit
from chalicelib.rules import passkeys, sessions, users
from chalicelib.rules.errors import NotFound
from chalicelib.rules.model import User

_KEY_FORMS = {
    "generate": key_pages.generate,
    "rotate": key_pages.rotate,
    "restrict": key_pages.restrict,
    "revoke": key_pages.revoke,
}


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
        this=getattr(auth.credential, "id", ""),
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
    act = {"passkey": _remove_passkey, "session": _end_session, "sessions": _end_all}.get(action)
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
    visit.require_form_token(visit.field("csrf"))
    sessions.end_all(visit.directory, auth)
    return visit.sign_out_redirect()
