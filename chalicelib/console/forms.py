"""Forms: a page's fields as bodies of the API, and the page shown again with its errors."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from chalice.app import Response

from chalicelib.console.pages import page
from chalicelib.console.visit import SHOWN_TO, TYPED_BY, Visit
from chalicelib.http.call import log_refused_sign_in
from chalicelib.http.problems import headers_of, status_of
from chalicelib.http.responses import moment
from chalicelib.rules.errors import (
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    ValidationError,
    validation_error,
)
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import ApiKey, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import KeyType
from chalicelib.rules.service_users import View, labels_text

_FIELDS = (("The username '", "username"), ("The email '", "email"), ("The role ", "role"))
"""Errors of the API about a whole call, by their first words, and the field to show each at."""

Act = Callable[[], Response]
Values = Callable[[], dict[str, Any]]


def submit(visit: Visit, template: str, act: Act, late: Values | None = None, **values: Any) -> Response:
    """Submit a form. If that is refused, show it again with what was typed, and the errors.

    ``late`` returns further variables of the template, which are read only if it is shown.

    A form that was sent after its session had ended comes back here once its person has signed in again
    (:func:`chalicelib.console.pages.sign_in_again`): it is shown with what was typed, and nothing is done.
    Raises Forbidden for a form that was shown to somebody else who used this browser: what they typed is not
    shown.
    """
    _require_shown_to_caller(visit)
    typed = {name: "\n".join(given) for name, given in visit.form().items()}

    def show(status: int = 200, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
        return page(visit, template, status, headers, **values, **(late() if late else {}), **more)

    if typed_by := visit.field(TYPED_BY):
        # This does nothing, so it needs no token: the person signed in after they had sent the form.
        if fold_username(typed_by) != fold_username(visit.user.username):
            return visit.redirect_to("")
        return show(form=typed, restored=True)
    try:
        visit.require_form_token(visit.field("csrf"))
        return act()
    except (ValidationError, Conflict, PreconditionFailed, TooManyRequests, Forbidden) as error:
        log_refused_sign_in(error, visit.origin.request_id)
        status, headers = status_of(error), headers_of(error)
        return show(status, headers, errors=errors_of(error), form=typed)


def _require_shown_to_caller(visit: Visit) -> None:
    """Raise Forbidden for a form with the token of another session, if somebody else was shown it.

    The name that it has is not verified: it decides only whether the form is shown again to whoever sent it.
    """
    if visit.auth is None or visit.field(TYPED_BY):
        return
    try:
        visit.require_form_token(visit.field("csrf"))
    except Forbidden:
        if fold_username(visit.field(SHOWN_TO)) != fold_username(visit.user.username):
            raise


def errors_of(error: ApiError) -> dict[str, list[str]]:
    """Return the messages of an error by field; under '' those about no single field."""
    if not isinstance(error, ValidationError) or not error.errors:
        name = next((name for start, name in _FIELDS if error.detail.startswith(start)), "")
        return {name: [error.detail]}
    found: dict[str, list[str]] = {}
    for field in error.errors:
        texts = found.setdefault(field.pointer.strip("/").partition("/")[0], [])
        if field.detail not in texts:  # two entries of a field may have the same error
            texts.append(field.detail)
    return found


def lines(text: str) -> list[str]:
    """Return the entries of a field, which are separated by lines or commas."""
    return [it for line in text.replace(",", "\n").splitlines() if (it := line.strip())]


def labels(text: str) -> dict[str, str]:
    """Return the labels of a field, ``name=value`` on each line. Raise ValidationError for another form."""
    found: dict[str, str] = {}
    for line in lines(text):
        name, separator, value = (part.strip() for part in line.partition("="))
        if not separator or name in found:
            why = "is given twice" if name in found else "has no '='"
            raise validation_error("/labels", f"'{line}' {why}. Write name=value, each name once.")
        found[name] = value
    return found


def is_number(text: str) -> bool:
    """Return whether a field has a whole number of up to eight digits; int() refuses thousands of them."""
    return text.isascii() and text.isdecimal() and len(text) < 9


def restrictions(visit: Visit, *, keep: bool = False) -> dict[str, Any]:
    """Return a key's restrictions as fields of the API's body; ``keep`` lets it keep the expiry that it has.

    Raises ValidationError if no expiry was chosen: a key without one must be a deliberate choice.
    """
    networks = {"allowedNetworks": lines(visit.field("allowedNetworks"))}
    if visit.field("expiresAt") and visit.field("expiry") != "date":
        raise validation_error(
            "/expiry", "You gave a last day: choose the end of that day here, or leave the day empty."
        )
    match visit.field("expiry"):
        case "keep" if keep:
            return networks
        case "never":
            return {**networks, "expiresAt": None}
        case "date":
            return {**networks, "expiresAt": f"{visit.field('expiresAt')}T23:59:59Z"}
        case "30" | "90" | "365" as days:
            return {**networks, "expiresAt": moment(visit.origin.second + int(days) * DAY)}
    raise validation_error("/expiry", "Choose when the key ends.")


def key_type(given: str, holder: ServiceUser | User | None = None) -> KeyType:
    """Return a key type by its name. Raises NotFound, unless the ``holder`` has a key of it."""
    found = KeyType(given)
    if found.is_listed or (holder is not None and found in holder.keys):
        return found
    raise NotFound("There is no such type of key.")


def state_of(key: ApiKey | None) -> str:
    """Return a text that changes whenever the key does: its last five, expiry and networks."""
    return "" if key is None else f"{key.last5} {key.expires_at or ''} {' '.join(key.networks)}".strip()


def states_of_view(view: View) -> dict[str, str]:
    """Return, of each field of a Service User's form, a text that changes with it; under "id", with its id.

    A form changes only the fields that were changed in it, and only those must be as they were shown. So
    whoever changes its labels again and again keeps nobody from lowering its role, or from removing them as
    an Administrator.
    """
    it = view.service_user
    return {
        "id": state_of_field(it.id),
        "displayName": state_of_field(it.display_name),
        "description": state_of_field(it.description),
        "labels": state_of_field(it.labels),
        "role": state_of_field(it.role.value),
        "administrators": state_of_field(list(view.administrators)),
    }


def state_of_field(value: str | list[str] | dict[str, str] | None) -> str:
    """Return a short hash of a field's value; of a list whatever its order and case, as of usernames."""
    if isinstance(value, dict):
        value = labels_text(value)
    elif isinstance(value, list):
        value = " ".join(sorted(fold_username(it) for it in value))
    return hashlib.sha256((value or "").encode()).hexdigest()[:16]


def state_of_principal(it: ServiceUser | User) -> str:
    """Return a text that changes whenever somebody else has decided about a User or a Service User.

    Its role, whether and since when it is suspended or invited, its display name, and when it was created: a
    username may belong to somebody else by now.
    """
    invited = "invited" if isinstance(it, User) and it.invitation is not None else ""
    return f"{it.role.value} {it.suspended_at or invited} {it.created_at} {it.display_name}".strip()


def state_of_credentials(it: User) -> str:
    """Return a text that also changes whenever a credential is made or ends: a key, passkey or invitation.

    Signing in and confirming do not change it. It has a hash of the keys' digests, so nothing of a key.
    """
    ids = [key.digest for key in it.keys.values()]
    ids += [passkey.credential_id for passkey in it.passkeys.values()]
    ids += [it.invitation.id.encode()] if it.invitation is not None else []
    total = hashlib.sha256(b"".join(hashlib.sha256(it).digest() for it in sorted(ids)))
    return f"{state_of_principal(it)} {total.hexdigest()[:32]}"


def require_as_shown(visit: Visit, state: str) -> None:
    """Raise Conflict if what a form changes is not as the form was shown for, by its field ``was``.

    Otherwise a tab that was left open would undo what somebody else has changed since.
    """
    if visit.field("was") != state.strip():
        raise changed_since()


def changed_since() -> Conflict:
    """Return the refusal of a form whose subject somebody else has changed since it was shown."""
    return Conflict(
        "Somebody else has changed this since the page was opened; nothing was done now. "
        "Open the page again, and make your change there."
    )


def require_unchanged(visit: Visit, state: str) -> None:
    """Raise Conflict if a key has changed since the form was shown, so that nothing is done twice."""
    if visit.field("was") != state.strip():
        raise Conflict(
            "This was done already, or somebody else has changed the key since; nothing was done now. "
            "A new key is shown once: if it was lost, rotate the key again."
        )
