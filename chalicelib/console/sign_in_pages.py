"""Signing in and out, and the page on which a person gets their first passkey."""

from contextlib import suppress

from chalice.app import Response

from chalicelib.console.forms import submit
from chalicelib.console.pages import page
from chalicelib.console.visit import NO_STORE, Visit, respond
from chalicelib.http.call import log_refused_sign_in
from chalicelib.http.problems import headers_of
from chalicelib.rules import passkeys, sessions
from chalicelib.rules.errors import TooManyRequests, Unauthenticated
from chalicelib.rules.passkeys import CODE_SECONDS
from chalicelib.rules.roles import Role

_ENROLMENT_SECONDS = 4 * CODE_SECONDS
"""How long a browser may use a code that it asked for: the email may be late, and then the code begins."""
_SAID = {
    "out": "You are signed out.",
    "left": "You have left the account. Your keys, passkeys and sessions stopped working at once.",
}
"""What the sign-in says of how its visitor came there, by the name of the query parameter."""


def first(visit: Visit) -> Response:
    """Redirect to the caller's first page, or to the sign-in."""
    auth = visit.sign_in()
    return visit.redirect_to("service-users" if auth.role.covers(Role.CLUSTER_ADMIN) else "you")


def sign_in(visit: Visit) -> Response:
    """Show the sign-in. Redirects a person who is already signed in to the page they wanted."""
    try:
        visit.sign_in()
    except Unauthenticated:
        said = next((text for name, text in _SAID.items() if visit.query().get(name)), "")
        return page(visit, "sign-in.html", next_page=visit.next_page(), said=said)
    return visit.redirect_to(visit.next_page())


def enrol(visit: Visit) -> Response:
    """Show the forms to get a passkey: with an invitation, or with an API key and a mailed code."""
    if visit.method == "GET":
        asked = bool(visit.enrolment_secret()) and not visit.query().get("anew")
        return page(visit, "enrol.html", mailed="", asked=asked)

    def act() -> Response:
        username, key = visit.field("username"), visit.field("key")
        user, secret = passkeys.ask_for_code(visit.directory, username, key, visit.origin)
        cookie = visit.enrolment_cookie.set(secret, _ENROLMENT_SECONDS)
        form = {"username": user.username}
        return page(visit, "enrol.html", headers=cookie, mailed=user.username, form=form)

    def ask() -> Response:
        try:
            return act()
        except (
            TooManyRequests
        ) as refused:  # the last code may still be good here: show the form that takes it
            typed = visit.field("username") if visit.enrolment_secret() else ""
            errors = {"": [refused.detail]}
            return page(visit, "enrol.html", 429, headers_of(refused), mailed=typed, errors=errors)

    try:
        return submit(visit, "enrol.html", ask, mailed="")
    except Unauthenticated as refused:
        log_refused_sign_in(refused, visit.origin.request_id)
        typed = {"username": visit.field("username")}
        return page(visit, "enrol.html", 401, mailed="", errors={"": [refused.detail]}, form=typed)


def sign_out(visit: Visit) -> Response:
    """End this session, and clear the browser's cache and storage, even if it has ended already."""
    with suppress(Unauthenticated):
        auth = visit.sign_in()
        still = "You are still signed in: to end that, choose 'Sign out' on this page."
        visit.require_form_token(visit.field("csrf"), still)
        sessions.end(visit.directory, auth, sessions.id_of(auth))
    return visit.sign_out_redirect()


def seen(visit: Visit) -> Response:
    """Keep a session alive: the page's script calls this when the person says that they are still there."""
    visit.sign_in()
    visit.require_form_token(visit.header("x-form-token"))
    return respond("", 204, dict(NO_STORE))
