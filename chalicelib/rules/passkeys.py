"""Passkeys: how people get one, sign in to the console with it, and confirm a session with it.

``chalicelib.console.webauthn`` checks what a browser sends; the rules are here. Each browser that asks gets a
challenge of its own, and the transaction that acts on it uses it up. A Service User has no passkeys and no
sessions.
"""

import hmac
import secrets
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.rules import authentication, key_format, limits, permissions, sessions, suspension
from chalicelib.rules.audit import actor, caller_as_actor, new_event
from chalicelib.rules.context import AuthContext, Origin
from chalicelib.rules.errors import (
    ConcurrentChange,
    Conflict,
    NotFound,
    Unauthenticated,
    ValidationError,
    concurrent_change,
)
from chalicelib.rules.identifiers import new_id, new_version
from chalicelib.rules.model import (
    Action,
    Challenge,
    CredentialKind,
    Enrolment,
    Event,
    Passkey,
    Purpose,
    UsedCredential,
    User,
)
from chalicelib.rules.ports import Directory, Replace, UseChallenge
from chalicelib.rules.roles import KeyType
from chalicelib.rules.sessions import Entry
from chalicelib.rules.users import activation_writes, open_invitation

MAX_PASSKEYS = 5
CHALLENGE_SECONDS = 5 * 60
TRIES = 3
"""How often a sign-in is tried if concurrent calls change the User."""

_NOT_KNOWN = (
    "This passkey is not known here, was removed, or did not confirm who you are. Try again, "
    "sign in with another one, or ask an OWNER of the account for a new invitation."
)
CODE_SECONDS = 15 * 60
"""How long a mailed code is valid."""

_CODE_NOT_VALID = (
    "The username or the code is not valid, or the code was used, is older than 15 minutes, was asked for in "
    "another browser or with a key that may not be used from here, or was mailed before your role changed. "
    "Ask for a new one in this browser."
)
_EXPIRED = "This took longer than five minutes, or was done already. Start again."


class Registration(NamedTuple):
    """A new passkey, after its check."""

    credential_id: bytes
    public_key: bytes
    algorithm: int
    counter: int
    backed_up: bool
    transports: tuple[str, ...]


class Assertion(NamedTuple):
    """A signature by a passkey, after its check."""

    counter: int
    backed_up: bool


CheckRegistration = Callable[[bytes], Registration]
"""Checks what a browser sent against a challenge; raises ValidationError."""

CheckAssertion = Callable[[bytes, Passkey], Assertion]
"""Checks what a browser sent against a challenge and a public key; raises Unauthenticated."""


class BrowserChallenge(NamedTuple):
    """A stored challenge, and the secret of the cookie of the browser that it is for."""

    secret: str
    challenge: Challenge


def begin_sign_in(directory: Directory, origin: Origin) -> BrowserChallenge:
    """Store a challenge for a sign-in, and return it."""
    return _begin(directory, origin, Challenge(purpose=Purpose.SIGN_IN, challenge=b"", ends_at=0))


def sign_in(
    directory: Directory,
    secret: str,
    credential_id: bytes,
    check: CheckAssertion,
    origin: Origin,
    browser: str,
) -> Entry:
    """Sign a person in with a passkey, and return their new session.

    Raises Unauthenticated in the same words for every passkey that is not valid, Forbidden for the valid
    passkey of a suspended User, and TooManyRequests if the budget of its uses is used up.
    """
    kept, username = _find(directory, secret, credential_id, Purpose.SIGN_IN, origin)
    for last in (*(False,) * (TRIES - 1), True):
        user = directory.principal(username or "")
        if not isinstance(user, User):
            raise Unauthenticated(_NOT_KNOWN)
        passkey_id, passkey = _find_passkey(user, credential_id)
        try:
            assertion = check(kept.challenge, passkey)
        except Unauthenticated:  # in the words for one that is not known: nobody learns whether it is
            raise Unauthenticated(_NOT_KNOWN) from None
        used = _after_use(passkey, assertion, origin)
        suspension.require_not_suspended(user)
        new = _with_passkey(user, passkey_id, limits.pay_for_passkey_use(used, origin.second))
        if used.last_ip != passkey.last_ip:
            new = limits.pay_for_sign_in_email(new, origin.second)
        entry = sessions.start(new, passkey_id, origin, browser)
        changes = {"passkey": ("", passkey.name), "browser": ("", browser)}
        by = actor(user, UsedCredential(CredentialKind.PASSKEY, passkey=passkey.name))
        event = new_event(origin, by, Action.SIGNED_IN, user, changes=changes, new=entry.user)
        try:
            directory.commit(event, Replace(user, entry.user, concurrent_change()), _use_challenge(secret))
        except ConcurrentChange:
            if last:
                raise
            continue
        return entry
    raise AssertionError  # pragma: no cover - the last try returns or raises


def begin_confirmation(directory: Directory, auth: AuthContext) -> BrowserChallenge:
    """Store a challenge to confirm a session with, and return it."""
    return _begin(directory, auth.origin, _own_challenge(auth, Purpose.CONFIRM))


def confirm(
    directory: Directory, auth: AuthContext, secret: str, credential_id: bytes, check: CheckAssertion
) -> None:
    """Confirm a session with one of the person's passkeys: for 5 minutes it may issue keys and grant rights.

    Raises Unauthenticated for any other passkey, ValidationError for a challenge of another session, and
    TooManyRequests if the budget of the passkey's uses is used up.
    """
    kept = _find_own(directory, auth, secret, Purpose.CONFIRM)

    def attempt(auth: AuthContext) -> None:
        user, session = sessions.current(auth)
        passkey_id, passkey = _find_passkey(user, credential_id)
        assertion = check(kept.challenge, passkey)
        confirmed = replace(session, confirmed_at=auth.origin.second)
        # Only a sign-in is mailed of, so only a sign-in makes an address one that the passkey was used from.
        used = replace(_after_use(passkey, assertion, auth.origin), last_ip=passkey.last_ip)
        new = _with_passkey(user, passkey_id, limits.pay_for_passkey_use(used, auth.origin.second))
        new = replace(new, sessions={**user.sessions, sessions.id_of(auth): confirmed}, version=new_version())
        directory.commit(None, Replace(user, new, concurrent_change()), _use_challenge(secret))

    sessions.until_done(directory, auth, attempt)


def begin_activation(
    directory: Directory, username: str, token: str, origin: Origin
) -> tuple[BrowserChallenge, User]:
    """Store a challenge for the passkey of an invited person, and return it with the User.

    Raises ValidationError in the same words whatever is wrong with the token.
    """
    user = open_invitation(directory, username, token, origin)
    return _begin(directory, origin, _challenge_for(user, Purpose.ACTIVATE, token_digest(token))), user


def activate(
    directory: Directory,
    secret: str,
    token: str,
    name: str,
    check: CheckRegistration,
    origin: Origin,
    browser: str,
) -> Entry:
    """Activate a User with a token: register their first passkey, and sign them in. They get no API key.

    Raises ValidationError for a token, a challenge or a passkey that is not valid.
    """
    kept, _ = _find(directory, secret, None, Purpose.ACTIVATE, origin)
    if kept.proof != token_digest(token):
        raise ValidationError(_EXPIRED)
    user = open_invitation(directory, kept.username, token, origin)
    passkey_id, passkey = _new_passkey(check(kept.challenge), name, origin)
    new = replace(user, invitation=None, passkeys={passkey_id: passkey}, handle=handle(user, kept))
    entry = sessions.start(new, passkey_id, origin, browser)
    changes = {"passkey": ("", passkey.name)}
    by = actor(user, UsedCredential(CredentialKind.INVITATION))
    event = new_event(origin, by, Action.USER_ACTIVATED, user, changes=changes)
    writes = [_with_new_passkey(user, entry.user), *activation_writes(directory, user, entry.user, origin)]
    directory.commit(event, *writes, _use_challenge(secret))
    return entry


def ask_for_code(directory: Directory, username: str, key: str, origin: Origin) -> tuple[User, str]:
    """Have a code mailed to a User with an API key, with which they can get a passkey.

    Return the User, and a secret for the cookie of the browser that asked. The code is valid with that secret
    alone: so both the key and the code are needed, a leaked key alone gives no access, and neither does an
    inbox that somebody else reads. The key must be a USER_MANAGEMENT key if the User's role may hold one.

    Raises Unauthenticated in the words of a wrong key, for a Service User too, Forbidden, and TooManyRequests
    if a code was mailed a moment ago, or often today: the key may be stolen.
    """
    auth = authentication.sign_in(directory, username, key, origin, people_only=True)
    user = auth.caller
    assert isinstance(user, User)  # noqa: S101 - for mypy; nobody else signs in here
    if KeyType.USER_MANAGEMENT in user.role.key_types():
        permissions.require_management_key(auth)
    secret = key_format.new_secret(key_format.CHALLENGE_PREFIX)
    browser = key_format.digest(secret)
    enrolment = Enrolment(id=new_id(), key=auth.digest, asked_at=origin.second, browser=browser)
    new = replace(user, enrolment=enrolment, version=new_version())
    by = caller_as_actor(auth)
    event = new_event(origin, by, Action.PASSKEY_CODE_REQUESTED, user, invitation=enrolment.id)
    counted = limits.passkey_code(user.account, user.email, directory.limits, origin.second)
    directory.commit(event, Replace(user, new, concurrent_change()), counted)
    return new, secret


def begin_enrolment(
    directory: Directory, username: str, code: str, asked: str, origin: Origin
) -> tuple[BrowserChallenge, User]:
    """Store a challenge for the passkey of a User with a mailed code, and return it with the User.

    ``asked`` is the secret of the browser, from :func:`ask_for_code`. Raises ValidationError in the same
    words whatever is wrong with the code or the browser, and Conflict for too many passkeys.
    """
    user = _find_by_code(directory, username, code, asked, origin)
    _require_room(user)
    return _begin(directory, origin, _challenge_for(user, Purpose.ENROL, token_digest(code))), user


def enrol(
    directory: Directory,
    secret: str,
    code: str,
    asked: str,
    name: str,
    check: CheckRegistration,
    origin: Origin,
    browser: str,
) -> Entry:
    """Register a passkey for a User with a mailed code, in the browser that ``asked``, and sign them in.

    Raises ValidationError for a code, a challenge or a passkey that is not valid, and Conflict for too many.
    """
    kept, _ = _find(directory, secret, None, Purpose.ENROL, origin)
    user = _find_by_code(directory, kept.username, code, asked, origin)
    if (kept.proof, kept.membership) != (token_digest(code), user.membership):
        raise ValidationError(_EXPIRED)
    _require_room(user)
    passkey_id, passkey = _new_passkey(check(kept.challenge), name, origin)
    new = replace(_with_passkey(user, passkey_id, passkey), enrolment=None, handle=handle(user, kept))
    entry = sessions.start(new, passkey_id, origin, browser)
    changes = {"passkey": ("", passkey.name)}
    by = actor(user, UsedCredential(CredentialKind.CODE))
    event = new_event(origin, by, Action.PASSKEY_ADDED, user, changes=changes)
    directory.commit(event, _with_new_passkey(user, entry.user), _use_challenge(secret))
    return entry


def _find_by_code(directory: Directory, username: str, code: str, asked: str, origin: Origin) -> User:
    """Return the User with a mailed code, in the browser and while the key is valid with which they asked."""
    user = directory.principal(username) if key_format.well_formed(code, key_format.CODE_PREFIX) else None
    enrolment = user.enrolment if isinstance(user, User) else None
    if not isinstance(user, User) or enrolment is None:
        raise ValidationError(_CODE_NOT_VALID)
    digest = token_digest(code)
    valid = any(
        hmac.compare_digest(other, digest) and origin.now < until
        for other, until in enrolment.digests.items()
    )
    valid &= hmac.compare_digest(enrolment.browser, key_format.digest(asked))
    if not valid or not authentication.is_valid(user, enrolment.key, origin):
        raise ValidationError(_CODE_NOT_VALID)
    return user


def begin_addition(directory: Directory, auth: AuthContext) -> tuple[BrowserChallenge, User]:
    """Store a challenge for one more passkey of the caller, and return it with the User.

    Raises ConfirmationNeeded, or Conflict for too many.
    """
    user, _ = sessions.current(auth)
    sessions.require_confirmed(auth)
    _require_room(user)
    return _begin(directory, auth.origin, _own_challenge(auth, Purpose.ADD)), user


def add(directory: Directory, auth: AuthContext, secret: str, name: str, check: CheckRegistration) -> Passkey:
    """Add a passkey to the caller, and return it.

    Raises ConfirmationNeeded, Conflict, ValidationError for a passkey that is not valid, and TooManyRequests
    if the budget of changes is used up.
    """
    kept = _find_own(directory, auth, secret, Purpose.ADD)
    user, _ = sessions.current(auth)
    sessions.require_confirmed(auth)
    _require_room(user)
    passkey_id, passkey = _new_passkey(check(kept.challenge), name, auth.origin)
    new = replace(_with_passkey(user, passkey_id, passkey), handle=handle(user, kept))
    now = auth.origin.second
    new = limits.spend(new, directory.limits, now)
    counted = limits.account_change(user.account, directory.limits, now)
    event = _change(auth, user, Action.PASSKEY_ADDED, "", passkey.name)
    directory.commit(event, _with_new_passkey(user, new), _use_challenge(secret), counted)
    return passkey


def remove(directory: Directory, auth: AuthContext, passkey_id: str) -> None:
    """Remove one of the caller's passkeys, and end the sessions that it started, except for this one.

    Tried again if a concurrent call changes the User, such as a sign-in with that passkey. Raises
    ConfirmationNeeded, NotFound, or Conflict for the last one.
    """

    def attempt(auth: AuthContext) -> None:
        user, _ = sessions.current(auth)
        sessions.require_confirmed(auth)
        passkey = user.passkeys.get(passkey_id)
        if passkey is None:
            raise NotFound("You have no such passkey; it may have been removed already.")
        if len(user.passkeys) == 1:
            raise Conflict("This is your only passkey; add another one first.")
        left = {id_: it for id_, it in user.passkeys.items() if id_ != passkey_id}
        this = sessions.id_of(auth)
        kept = {id_: it for id_, it in user.sessions.items() if it.passkey != passkey_id or id_ == this}
        new = replace(user, passkeys=left, sessions=kept, version=new_version())
        event = _change(auth, user, Action.PASSKEY_REMOVED, passkey.name, "")
        directory.commit(event, Replace(user, new, concurrent_change()), patient=True)

    sessions.until_done(directory, auth, attempt)


def _with_new_passkey(old: User, new: User) -> Replace:
    """Return the write that adds a passkey. A credential id belongs to one passkey: it says who signs in.

    Raises Conflict if the User has it already; the write is refused if somebody else has.
    """
    taken = Conflict(
        "This passkey is registered here already, for you or for somebody else; nothing was done. Use "
        "another one, or remove it first where it is."
    )
    ids = [it.credential_id for it in new.passkeys.values()]
    if len(set(ids)) < len(ids):
        raise taken
    return Replace(old, new, concurrent_change(), passkey_taken=taken)


def handle(user: User, challenge: Challenge) -> bytes:
    """Return the id by which authenticators know a User: random bytes, from the first passkey's challenge."""
    return user.handle or challenge.challenge[:16]


def token_digest(token: str) -> str:
    """Return the digest of a token or code as challenges store it."""
    return key_format.digest(token).hex()


def _begin(directory: Directory, origin: Origin, wanted: Challenge) -> BrowserChallenge:
    """Store a challenge with random bytes and an expiry, and return it."""
    secret = key_format.new_secret(key_format.CHALLENGE_PREFIX)
    new = replace(wanted, challenge=secrets.token_bytes(32), ends_at=origin.second + CHALLENGE_SECONDS)
    directory.store_challenge(key_format.digest(secret), new)
    return BrowserChallenge(secret, new)


def _challenge_for(user: User, purpose: Purpose, proof: str) -> Challenge:
    """Return a challenge for a User, to be completed by :func:`_begin`."""
    return Challenge(
        purpose=purpose,
        challenge=b"",
        ends_at=0,
        username=user.username,
        membership=user.membership,
        proof=proof,
    )


def _own_challenge(auth: AuthContext, purpose: Purpose) -> Challenge:
    user, _ = sessions.current(auth)
    return _challenge_for(user, purpose, sessions.id_of(auth))


def _find(
    directory: Directory, secret: str, credential_id: bytes | None, purpose: Purpose, origin: Origin
) -> tuple[Challenge, str | None]:
    """Return a challenge and the username of a credential. Raises ValidationError if it is not valid."""
    if not key_format.well_formed(secret, key_format.CHALLENGE_PREFIX):
        raise ValidationError(_EXPIRED)
    kept, username = directory.challenge(key_format.digest(secret), credential_id)
    if kept is None or kept.purpose is not purpose or origin.now >= kept.ends_at:
        raise ValidationError(_EXPIRED)
    return kept, username


def _find_own(directory: Directory, auth: AuthContext, secret: str, purpose: Purpose) -> Challenge:
    kept, _ = _find(directory, secret, None, purpose, auth.origin)
    own = _own_challenge(auth, purpose)
    if (kept.username, kept.membership, kept.proof) != (own.username, own.membership, own.proof):
        raise ValidationError(_EXPIRED)
    return kept


def _use_challenge(secret: str) -> UseChallenge:
    return UseChallenge(key_format.digest(secret), ValidationError(_EXPIRED))


def _find_passkey(user: User, credential_id: bytes) -> tuple[str, Passkey]:
    for passkey_id, passkey in user.passkeys.items():
        if passkey.credential_id == credential_id:
            return passkey_id, passkey
    raise Unauthenticated(_NOT_KNOWN)


def _after_use(passkey: Passkey, assertion: Assertion, origin: Origin) -> Passkey:
    """Return a passkey as it is to be stored after a signature.

    Raises Unauthenticated if its counter has not risen, because it may have been copied (WebAuthn, 7.2 step
    22).
    """
    if (assertion.counter or passkey.counter) and assertion.counter <= passkey.counter:
        raise Unauthenticated(_NOT_KNOWN)
    return replace(
        passkey,
        counter=assertion.counter,
        backed_up=assertion.backed_up,
        last_used_at=origin.second,
        last_ip=origin.source_ip,
    )


def _new_passkey(registration: Registration, name: str, origin: Origin) -> tuple[str, Passkey]:
    """Return a new id, and the passkey of a registration."""
    passkey = Passkey(
        credential_id=registration.credential_id,
        public_key=registration.public_key,
        algorithm=registration.algorithm,
        name=name,
        created_at=origin.second,
        counter=registration.counter,
        backed_up=registration.backed_up,
        transports=registration.transports,
        last_ip=origin.source_ip,
    )
    return new_id(), passkey


def _with_passkey(user: User, passkey_id: str, passkey: Passkey) -> User:
    return replace(user, passkeys={**user.passkeys, passkey_id: passkey}, version=new_version())


def _require_room(user: User) -> None:
    if len(user.passkeys) >= MAX_PASSKEYS:
        raise Conflict(f"You have {MAX_PASSKEYS} passkeys, as many as one may have; remove one first.")


def _change(auth: AuthContext, user: User, action: Action, old: str, new: str) -> Event:
    return new_event(auth.origin, caller_as_actor(auth), action, user, changes={"passkey": (old, new)})
