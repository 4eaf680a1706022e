"""Keys: generating, rotating, restricting and revoking them, of Service Users and one's own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from chalice.app import Response
from msgspec import UNSET

from chalicelib.console import forms
from chalicelib.console.forms import submit
from chalicelib.console.pages import page
from chalicelib.console.visit import TYPED_BY, Visit, check_fields
from chalicelib.http import bodies, keys
from chalicelib.rules import api_keys, key_operations
from chalicelib.rules.api_keys import IssuedKey
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Conflict
from chalicelib.rules.model import ServiceUser, User

if TYPE_CHECKING:
    from chalicelib.rules.roles import KeyType


class Lookup(NamedTuple):
    """How a page finds the holder of the keys, with the permission check, and where it shows them.

    ``find`` takes whether the caller is about to issue keys. ``home`` is the holder's page below the
    console's root, and ``back`` the relative link to it from the forms.
    """

    find: Callable[[bool], ServiceUser | User]
    home: str
    back: str


def generate(visit: Visit, auth: AuthContext, lookup: Lookup) -> Response:
    """Show the form that generates a key, or generate it."""
    holder = lookup.find(True)
    kind = forms.key_type(visit.query().get("key") or (visit.field("type") if visit.method == "POST" else ""))
    values: dict[str, Any] = {
        "holder": holder,
        "type": kind,
        "lookup": lookup,
        "address": visit.origin.source_ip,
        # A confirmation between showing and sending makes a new version of the person, but not of a machine.
        "was": holder.version if isinstance(holder, ServiceUser) else forms.state_of_credentials(holder),
    }
    if visit.method == "GET":
        return page(visit, "key-generate.html", **values)

    def act() -> Response:
        forms.require_unchanged(visit, values["was"])
        fields = {"keyType": kind.value, **forms.restrictions(visit)}
        body = check_fields(bodies.GenerateKey, fields, visit.origin.now)
        made, issued = key_operations.generate(
            visit.directory, auth, holder, kind, keys.key_restrictions(body)
        )
        return show(visit, made.username, lookup, (issued,), "generated")

    return submit(visit, "key-generate.html", act, **values)


def rotate(visit: Visit, auth: AuthContext, lookup: Lookup) -> Response:
    """Show the form that rotates a key, or rotate it."""
    holder = lookup.find(True)
    values = _of_key(visit, holder, lookup)
    kind: KeyType = values["type"]
    if visit.method == "GET":
        api_keys.find_usable(holder, kind, visit.origin.second)
        return page(visit, "key-rotate.html", **values)

    def act() -> Response:
        forms.require_unchanged(visit, values["was"])
        overlap = visit.field("overlapSeconds")
        fields = {
            "keyType": kind.value,
            "overlapSeconds": int(overlap) if forms.is_number(overlap) else overlap,
        }
        body = check_fields(bodies.RotateKey, fields, visit.origin.now)
        made, issued = key_operations.rotate(visit.directory, auth, holder, kind, body.overlap_seconds)
        old = api_keys.current_predecessor(made.keys[kind], visit.origin.second)
        replaced = values["key"].last5
        ends = old.until if old is not None and old.last5 == replaced else None
        return show(visit, made.username, lookup, (issued,), "rotated", replaced=replaced, replaced_ends=ends)

    return submit(visit, "key-rotate.html", act, **values)


def restrict(visit: Visit, auth: AuthContext, lookup: Lookup) -> Response:
    """Show the form that restricts a key, or restrict it."""
    holder = lookup.find(False)
    values = _of_key(visit, holder, lookup)
    kind: KeyType = values["type"]
    if visit.method == "GET":
        key = api_keys.find_usable(holder, kind, visit.origin.second)
        typed = {"allowedNetworks": "\n".join(key.networks), "expiry": "keep"}
        return page(visit, "key-restrict.html", **{**values, "form": typed})

    def act() -> Response:
        forms.require_unchanged(visit, values["was"])
        fields = {"keyType": kind.value, **forms.restrictions(visit, keep=True)}
        body = check_fields(bodies.RestrictKey, fields, visit.origin.now)
        terms = keys.key_restrictions(body)
        expires_at = UNSET if body.expires_at is UNSET else terms.expires_at
        key_operations.restrict(
            visit.directory,
            auth,
            holder,
            kind,
            terms.networks,
            expires_at,
            even_if_locked_out=_means_it(visit),
        )
        return visit.redirect_to(f"{lookup.home}?done=restricted")

    return submit(visit, "key-restrict.html", act, **values)


def revoke(visit: Visit, auth: AuthContext, lookup: Lookup) -> Response:
    """Show the page that revokes a key, or revoke it."""
    holder = lookup.find(False)
    values = _of_key(visit, holder, lookup)
    kind: KeyType = values["type"]
    # Only the key's creation: rotating or restricting it again and again keeps nobody from revoking it.
    key = values["key"]
    values["was"] = f"{key.created_at} {key.first.hex()}".strip() if key else ""
    if visit.method == "GET":
        api_keys.find(holder, kind)
        return page(visit, "key-revoke.html", **values)

    stale = (
        "This key was revoked already; another may have been generated since. Nothing was done now. "
        "Open the page again to revoke that one."
    )
    is_stale = visit.field("was") != values["was"]
    if is_stale and visit.field(TYPED_BY):  # the form comes back after a sign-in, and shows the other key
        values["errors"] = {"": [stale]}

    def act() -> Response:
        if is_stale:
            raise Conflict(stale)
        found = [holder]  # the first try uses what was just read; later ones read the holder again

        def find() -> ServiceUser | User:
            return found.pop() if found else lookup.find(False)

        key_operations.revoke(visit.directory, auth, find, kind, even_if_locked_out=_means_it(visit))
        return visit.redirect_to(f"{lookup.home}?done=revoked")

    return submit(visit, "key-revoke.html", act, **values)


def show(
    visit: Visit,
    username: str,
    lookup: Lookup,
    issued: tuple[IssuedKey, ...],
    done: str,
    *,
    replaced: str = "",
    replaced_ends: int | None = None,
) -> Response:
    """Show the secrets of new keys, once."""
    return page(
        visit,
        "keys.html",
        username=username,
        lookup=lookup,
        issued=issued,
        done=done,
        replaced=replaced,
        replaced_ends=replaced_ends,
        try_it=visit.call.address("/v1/whoami"),
    )


def _means_it(visit: Visit) -> bool:
    """Return whether the person confirmed that they may lock themselves out."""
    return visit.field("evenIfLockedOut") == "yes"


def _of_key(visit: Visit, holder: ServiceUser | User, lookup: Lookup) -> dict[str, Any]:
    """Return the template variables of the forms about an existing key."""
    given = visit.query().get("key") or (visit.field("type") if visit.method == "POST" else "")
    kind = forms.key_type(given, holder)
    key = holder.keys.get(kind)
    return {
        "holder": holder,
        "type": kind,
        "key": key,
        "was": forms.state_of(key),
        "lookup": lookup,
    }
