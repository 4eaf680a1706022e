"""The calls of the pages' script about passkeys: to get a challenge, or to send what a passkey signed."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from chalice.app import Response
from msgspec import Meta

from chalicelib.console import webauthn
from chalicelib.console.visit import NO_STORE, Visit, respond
from chalicelib.console.webauthn import AssertionBody, RegistrationBody, base64url
from chalicelib.http.problems import headers_of, problem_of
from chalicelib.rules import key_format, passkeys, sessions
from chalicelib.rules.errors import ApiError, NotFound, Unauthenticated, ValidationError
from chalicelib.rules.model import Passkey, User
from chalicelib.rules.passkeys import CHALLENGE_SECONDS, Assertion, BrowserChallenge, Registration

Name = Annotated[str, Meta(max_length=64)]


class InvitationBody(msgspec.Struct, frozen=True):
    """An invitation to accept."""

    username: Annotated[str, Meta(max_length=64)]
    token: Annotated[str, Meta(max_length=100)]


class Activation(msgspec.Struct, frozen=True):
    """The first passkey of an invited person."""

    token: Annotated[str, Meta(max_length=100)]
    name: Name
    passkey: RegistrationBody


class CodeBody(msgspec.Struct, frozen=True):
    """A mailed code, and whose it is."""

    username: Annotated[str, Meta(max_length=64)]
    code: Annotated[str, Meta(max_length=100)]


class EnrolmentBody(msgspec.Struct, frozen=True):
    """The first passkey of a person with a code."""

    code: Annotated[str, Meta(max_length=100)]
    name: Name
    passkey: RegistrationBody


class Addition(msgspec.Struct, frozen=True):
    """One more passkey of a person."""

    name: Name
    passkey: RegistrationBody


def call(visit: Visit, step: str) -> Response:
    """Respond to the page's script with JSON; refuse in the API's own words."""
    view = _STEPS.get(step)
    if view is None:
        raise NotFound("There is no such step.")
    try:
        return view(visit)
    except ApiError as error:
        problem = problem_of(error, visit.origin.request_id)
        # Not WWW-Authenticate: browsers would ask for a username and a password.
        headers = {} if isinstance(error, Unauthenticated) else headers_of(error)
        return _reply({"detail": problem.detail}, problem.status, headers)


def begin_sign_in(visit: Visit) -> Response:
    """Respond with a challenge for a sign-in."""
    browser_challenge = passkeys.begin_sign_in(visit.directory, visit.origin)
    return _challenge(visit, browser_challenge, _request(visit, browser_challenge, ()))


def finish_sign_in(visit: Visit) -> Response:
    """Sign in, and set the session's cookie.

    Responds with what a page needs that is still open from before, so that nothing typed in it is lost.
    """
    body = visit.json(AssertionBody)
    entry = passkeys.sign_in(
        visit.directory,
        visit.challenge_secret(),
        webauthn.credential_id(body),
        _assertion(visit, body),
        visit.origin,
        visit.browser(),
    )
    page = {
        "username": entry.user.username,
        "csrf": sessions.csrf_token(entry.secret),
        "left": sessions.IDLE_SECONDS,
        "longest": sessions.MAX_SECONDS,
        "confirmed": sessions.CONFIRMED_SECONDS,
    }
    return _reply(page, headers=visit.session_header(entry))


def begin_activation(visit: Visit) -> Response:
    """Respond with a challenge for the first passkey of an invited person."""
    body = visit.json(InvitationBody)
    browser_challenge, user = passkeys.begin_activation(
        visit.directory, body.username, body.token, visit.origin
    )
    return _challenge(visit, browser_challenge, _creation(visit, browser_challenge, user))


def finish_activation(visit: Visit) -> Response:
    """Accept an invitation with a passkey, and sign in."""
    body = visit.json(Activation)
    entry = passkeys.activate(
        visit.directory,
        visit.challenge_secret(),
        body.token,
        _name(visit, body.name),
        _registration(visit, body.passkey),
        visit.origin,
        visit.browser(),
    )
    return _reply({}, headers=visit.session_header(entry))


def begin_enrolment(visit: Visit) -> Response:
    """Respond with a challenge for the passkey of a person with a mailed code."""
    body = visit.json(CodeBody)
    browser_challenge, user = passkeys.begin_enrolment(
        visit.directory, body.username, body.code, visit.enrolment_secret(), visit.origin
    )
    return _challenge(visit, browser_challenge, _creation(visit, browser_challenge, user))


def finish_enrolment(visit: Visit) -> Response:
    """Register a passkey with a mailed code, and sign in."""
    body = visit.json(EnrolmentBody)
    entry = passkeys.enrol(
        visit.directory,
        visit.challenge_secret(),
        body.code,
        visit.enrolment_secret(),
        _name(visit, body.name),
        _registration(visit, body.passkey),
        visit.origin,
        visit.browser(),
    )
    return _reply({}, headers=visit.session_header(entry))


def begin_confirmation(visit: Visit) -> Response:
    """Respond with a challenge to confirm a session with."""
    auth = _signed_in(visit)
    browser_challenge = passkeys.begin_confirmation(visit.directory, auth)
    return _challenge(
        visit, browser_challenge, _request(visit, browser_challenge, tuple(visit.user.passkeys.values()))
    )


def finish_confirmation(visit: Visit) -> Response:
    """Confirm a session; respond with the seconds for which it may issue keys."""
    auth = _signed_in(visit)
    body = visit.json(AssertionBody)
    passkeys.confirm(
        visit.directory,
        auth,
        visit.challenge_secret(),
        webauthn.credential_id(body),
        _assertion(visit, body),
    )
    return _reply({"seconds": sessions.CONFIRMED_SECONDS})


def begin_addition(visit: Visit) -> Response:
    """Respond with a challenge for one more passkey."""
    browser_challenge, user = passkeys.begin_addition(visit.directory, _signed_in(visit))
    return _challenge(visit, browser_challenge, _creation(visit, browser_challenge, user))


def finish_addition(visit: Visit) -> Response:
    """Add a passkey."""
    auth = _signed_in(visit)
    body = visit.json(Addition)
    check = _registration(visit, body.passkey)
    passkeys.add(visit.directory, auth, visit.challenge_secret(), _name(visit, body.name), check)
    return _reply({})


_STEPS: dict[str, Callable[[Visit], Response]] = {
    "sign-in-begin": begin_sign_in,
    "sign-in-finish": finish_sign_in,
    "activate-begin": begin_activation,
    "activate-finish": finish_activation,
    "enrol-begin": begin_enrolment,
    "enrol-finish": finish_enrolment,
    "confirm-begin": begin_confirmation,
    "confirm-finish": finish_confirmation,
    "add-begin": begin_addition,
    "add-finish": finish_addition,
}


def _signed_in(visit: Visit) -> Any:
    auth = visit.sign_in()
    visit.require_form_token(visit.header("x-form-token"))
    return auth


def _assertion(visit: Visit, body: AssertionBody) -> passkeys.CheckAssertion:
    def check(challenge: bytes, passkey: Passkey) -> Assertion:
        return webauthn.check_assertion(body, challenge, passkey, visit.party)

    return check


def _registration(visit: Visit, body: RegistrationBody) -> passkeys.CheckRegistration:
    def check(challenge: bytes) -> Registration:
        return webauthn.check_registration(body, challenge, visit.party)

    return check


def _name(visit: Visit, given: str) -> str:
    """Return the name of a passkey: the given one, or that of the browser."""
    name = " ".join(given.split())
    if not name.isprintable():
        raise ValidationError("The name of a passkey has no control characters.")
    if key_format.contains_secret(name):
        raise ValidationError(
            "The name of the passkey has an API key or another secret in it, and would be shown, mailed and "
            "recorded. Choose another name, and revoke the key if it works."
        )
    return name or visit.browser()


def _request(
    visit: Visit, browser_challenge: BrowserChallenge, allowed: tuple[Passkey, ...]
) -> dict[str, Any]:
    return {
        "challenge": base64url(browser_challenge.challenge.challenge),
        "rpId": visit.party.id,
        "timeout": CHALLENGE_SECONDS * 1000,
        "userVerification": "required",
        "allowCredentials": [_descriptor(it) for it in allowed],
    }


def _creation(visit: Visit, browser_challenge: BrowserChallenge, user: User) -> dict[str, Any]:
    return {
        "challenge": base64url(browser_challenge.challenge.challenge),
        "rp": {"id": visit.party.id, "name": visit.settings.name},
        "user": {
            "id": base64url(passkeys.handle(user, browser_challenge.challenge)),
            "name": user.username,
            "displayName": user.display_name or user.username,
        },
        "pubKeyCredParams": [{"type": "public-key", "alg": it} for it in webauthn.ALGORITHMS],
        "timeout": CHALLENGE_SECONDS * 1000,
        "excludeCredentials": [_descriptor(it) for it in user.passkeys.values()],
        "authenticatorSelection": {"residentKey": "required", "userVerification": "required"},
        "attestation": "none",
    }


def _descriptor(passkey: Passkey) -> dict[str, Any]:
    return {
        "type": "public-key",
        "id": base64url(passkey.credential_id),
        "transports": list(passkey.transports),
    }


def _challenge(visit: Visit, browser_challenge: BrowserChallenge, options: dict[str, Any]) -> Response:
    return _reply(options, headers=visit.challenge_cookie.set(browser_challenge.secret, CHALLENGE_SECONDS))


def _reply(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return respond(
        msgspec.json.encode(body).decode(),
        status,
        {
            "Content-Type": "application/json",
            "X-Content-Type-Options": "nosniff",
            **NO_STORE,
            **(headers or {}),
        },
    )
