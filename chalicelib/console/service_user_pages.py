"""Service Users: the list, each with its keys, Administrators and history, and the forms that change them."""

import io
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chalice.app import Response

from chalicelib.console import forms, key_pages
from chalicelib.console.forms import submit
from chalicelib.console.key_pages import Lookup
from chalicelib.console.pages import page, require_role
from chalicelib.console.visit import NO_STORE, Visit, check_fields, respond
from chalicelib.http import bodies, keys
from chalicelib.http.responses import maybe
from chalicelib.http.service_users import NAME_FORM, wanted_update
from chalicelib.rules import permissions, service_users
from chalicelib.rules.api_keys import is_expired
from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import NotFound, validation_error
from chalicelib.rules.lifetimes import DAY
from chalicelib.rules.model import ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.ports import EventQuery
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.selection import is_ending_within, is_unused_for
from chalicelib.rules.service_users import NewServiceUser, View

PAGE = 50
"""Service Users on a page: more rows would be slow to render and to read."""

MAX_READ = 1000
"""The most Service Users to read for a filter that has no index."""

PREFIX_FORM = re.compile(r"[a-z0-9._-]{0,64}")

FILTERS = ("prefix", "role", "attention", "format")
"""The query parameters of the list that its next part has, too."""

ENDS_SOON = 14 * DAY
UNUSED = 90 * DAY


def listing(visit: Visit) -> Response:
    """Show the account's Service Users, filtered if asked for, as a page or as CSV."""
    auth = visit.sign_in()
    require_role(visit, Role.CLUSTER_ADMIN, "The list of Service Users")
    query = visit.query()
    prefix = fold_username(query.get("prefix", "").strip())
    role = next((it for it in Role if it.value == query.get("role")), None)
    attention = query.get("attention") == "1"
    start = query.get("after")
    if start is not None and not _is_name(start):
        start = None
    if PREFIX_FORM.fullmatch(prefix):
        views, after, complete = _picked(visit, auth, prefix, role, attention, start)
    else:  # no username begins so, and DynamoDB takes no key of over 1,024 bytes
        views, after, complete = [], None, True
    now = visit.origin.second
    reasons = {view.service_user.username: needs_attention(view, now) for view in views}
    if query.get("format") == "csv":
        return _csv(visit, views, reasons, after)
    return page(
        visit,
        "service-users.html",
        views=views,
        reasons=reasons,
        after=after,
        complete=complete,
        roles=list(reversed(Role)),
        searched=MAX_READ,
        asked={
            "prefix": prefix,
            "role": role.value if role else "",
            "attention": "1" if attention else "",
            "after": start or "",
        },
        done=query.get("done", ""),
    )


def needs_attention(view: View, now: int) -> tuple[str, ...]:
    """Return the reasons why somebody should look at a Service User; empty if there is none."""
    found: list[str] = []
    if view.service_user.suspended_at is not None:
        found.append("suspended")
    if not view.administrators:
        found.append("no Administrator left")
    for key_type, key in view.service_user.keys.items():
        name = key_type.value
        if is_expired(key, now):
            found.append(f"{name} has expired")
        elif is_ending_within(key, ENDS_SOON, now):
            found.append(f"{name} ends within 14 days")
        if key.last_used_at is None and is_unused_for(key, DAY, now):
            found.append(f"{name} was never used")
        elif key.last_used_at is not None and is_unused_for(key, UNUSED, now):
            found.append(f"{name} unused for 90 days")
    return tuple(found)


def detail(visit: Visit, username: str) -> Response:
    """Show a Service User."""
    auth = visit.sign_in()
    require_role(visit, Role.CLUSTER_ADMIN, "Service Users")
    view = service_users.read(visit.directory, auth, username)
    it = view.service_user
    history = visit.trail.events(it.account, EventQuery(username=it.username), 10, None).events
    return page(
        visit,
        "service-user.html",
        view=view,
        it=it,
        reasons=needs_attention(view, visit.origin.second),
        history=history,
        administers=permissions.can_administer(visit.user, it),
        covers=auth.role.covers(it.role),
        done=visit.query().get("done", ""),
    )


def create(visit: Visit) -> Response:
    """Show the form that creates a Service User, or create it."""
    auth = visit.sign_in()
    require_role(visit, Role.CLUSTER_ADMIN, "Creating Service Users")
    values: dict[str, Any] = {
        "roles": [role for role in Role if auth.role.covers(role)],
        "key_groups": _key_groups(),
        "preset": Role.READ_ONLY.default_key_types()[0].value,
        "lookup": Lookup(lambda _issuing: visit.user, "service-users", ""),
    }
    if visit.method == "GET":
        return page(visit, "service-user-create.html", **values)

    def act() -> Response:
        fields: dict[str, Any] = {
            name: value
            for name in ("username", "email", "displayName", "description")
            if (value := visit.field(name))
        }
        fields["labels"] = forms.labels(visit.field("labels"))
        fields |= {"role": visit.field("role"), "keyTypes": visit.form().get("keyTypes", [])}
        if named := forms.lines(visit.field("administrators")):
            fields["administrators"] = named
        fields |= forms.restrictions(visit)
        body = check_fields(bodies.CreateServiceUser, fields, visit.origin.now)
        wanted = NewServiceUser(
            username=body.username,
            email=body.email,
            role=body.effective_role,
            display_name=keys.or_default(body.display_name, ""),
            key_types=keys.or_default(body.key_types, None),
            restrictions=keys.key_restrictions(body),
            administrators=keys.or_default(body.administrators, None),
            description=keys.or_default(body.description, None) or "",
            labels=keys.or_default(body.labels, {}),
        )
        view, issued = service_users.create(visit.directory, auth, wanted)
        made = view.service_user.username
        if not issued:
            return visit.redirect_to(f"service-users/{made}?done=created")
        lookup = Lookup(
            lambda _issuing: view.service_user, f"service-users/{made}", f"../service-users/{made}"
        )
        return key_pages.show(visit, made, lookup, issued, "created")

    return submit(visit, "service-user-create.html", act, **values)


def edit(visit: Visit, username: str) -> Response:
    """Show the form that changes a Service User, or change it."""
    auth = visit.sign_in()
    it = _administered(visit, auth, username)
    values: dict[str, Any] = {
        "it": it,
        "roles": [role for role in Role if auth.role.covers(role) or role is it.role],
        "covers": auth.role.covers(it.role),
        "listed": permissions.is_administrator(visit.user, it),
    }
    if visit.method == "GET":
        view = service_users.read(visit.directory, auth, username)
        typed = {
            "displayName": it.display_name,
            "role": it.role.value,
            "administrators": "\n".join(view.administrators),
            "description": it.description,
            "labels": "\n".join(service_users.labels_text(it.labels).split()),
            "was": urlencode(forms.states_of_view(view)),
        }
        return page(visit, "service-user-edit.html", **{**values, "form": typed})

    def act() -> Response:
        fields: dict[str, Any] = {"displayName": visit.field("displayName") or it.username}
        if "description" in visit.form():
            fields["description"] = visit.field("description") or None
        if "labels" in visit.form():
            fields["labels"] = forms.labels(visit.field("labels"))
        # By what the form had, not by what it would have now: a change that may not be made is refused.
        if "role" in visit.form():
            fields["role"] = visit.field("role")
        if "administrators" in visit.form():
            fields["administrators"] = forms.lines(visit.field("administrators"))
        shown = dict(parse_qsl(visit.field("was")))
        changed = {name: it for name, it in fields.items() if forms.state_of_field(it) != shown.get(name)}
        if not changed:
            return visit.redirect_to(f"service-users/{it.username}")
        body = check_fields(bodies.UpdateServiceUser, changed, visit.origin.now)

        def check(old: View) -> None:
            now = forms.states_of_view(old)
            if any(now[name] != shown.get(name) for name in ("id", *changed)):
                raise forms.changed_since()

        service_users.update(visit.directory, auth, username, wanted_update(body), check=check)
        return visit.redirect_to(f"service-users/{it.username}?done=changed")

    return submit(visit, "service-user-edit.html", act, **values)


def delete(visit: Visit, username: str) -> Response:
    """Show the page that deletes a Service User, or delete it."""
    auth = visit.sign_in()
    it = _administered(visit, auth, username)
    if visit.method == "GET":
        return page(visit, "service-user-delete.html", it=it)

    def act() -> Response:
        if visit.field("name") != it.username:
            raise validation_error("/name", f"Type {it.username}, exactly as it is written there.")
        service_users.delete(visit.directory, auth, username)
        return visit.redirect_to("service-users?done=deleted")

    return submit(visit, "service-user-delete.html", act, it=it)


def suspend(visit: Visit, username: str) -> Response:
    """Show the page that suspends a Service User, or suspend it."""
    return _switch(visit, username, "suspend")


def resume(visit: Visit, username: str) -> Response:
    """Show the page that resumes a Service User, or resume it."""
    return _switch(visit, username, "resume")


def _switch(visit: Visit, username: str, action: str) -> Response:
    auth = visit.sign_in()
    it = _administered(visit, auth, username)
    values: dict[str, Any] = {
        "it": it,
        "action": action,
        "person": False,
        "was": forms.state_of_principal(it),
    }
    if visit.method == "GET":
        return page(visit, "suspend.html", **values)

    def act() -> Response:
        if action == "suspend":  # which, like a revocation, is done whatever has changed
            service_users.suspend(visit.directory, auth, username)
        else:
            forms.require_as_shown(visit, values["was"])
            service_users.resume(visit.directory, auth, username, lambda version: version == it.version)
        return visit.redirect_to(f"service-users/{it.username}?done={action}")

    return submit(visit, "suspend.html", act, **values)


def key_form(visit: Visit, username: str, action: str) -> Response:
    """Show a form about a Service User, or submit it."""
    if action in _OTHER_FORMS:
        return _OTHER_FORMS[action](visit, username)
    if action not in _KEY_FORMS:
        raise NotFound("There is no such page in the console.")
    auth = visit.sign_in()
    require_role(visit, Role.CLUSTER_ADMIN, "Service Users")

    def find(issuing: bool) -> ServiceUser | User:
        return service_users.key_holder(visit.directory, auth, username, issuing=issuing)

    return _KEY_FORMS[action](visit, auth, Lookup(find, f"service-users/{username}", "./"))


_KEY_FORMS = {
    "generate": key_pages.generate,
    "rotate": key_pages.rotate,
    "restrict": key_pages.restrict,
    "revoke": key_pages.revoke,
}
_OTHER_FORMS = {"edit": edit, "delete": delete, "suspend": suspend, "resume": resume}


def _key_groups() -> list[tuple[tuple[Role, ...], list[KeyType]]]:
    """Return the key types, grouped by the roles that may hold them; those for every role come first."""
    groups: dict[tuple[Role, ...], list[KeyType]] = {}
    for key_type in KeyType:
        roles = tuple(role for role in Role if key_type in role.key_types())
        groups.setdefault(roles, []).append(key_type)
    return sorted(groups.items(), key=lambda group: -len(group[0]))


def _administered(visit: Visit, auth: AuthContext, username: str) -> ServiceUser:
    require_role(visit, Role.CLUSTER_ADMIN, "Service Users")
    return service_users.key_holder(visit.directory, auth, username, issuing=False)


def _picked(
    visit: Visit, auth: AuthContext, prefix: str, role: Role | None, attention: bool, after: str | None
) -> tuple[list[View], str | None, bool]:
    """Return a page of Service Users, where the next page starts, and whether the search was complete."""
    found: list[View] = []
    walked = 0
    while True:
        views, after = service_users.listing(visit.directory, auth, PAGE, after, prefix)
        walked += len(views)
        for view in views:
            fits = role is None or view.service_user.role is role
            if fits and (not attention or needs_attention(view, visit.origin.second)):
                found.append(view)
        filtered = role is not None or attention
        if after is None or not filtered or len(found) >= PAGE:
            return found, after, True
        if walked >= MAX_READ:
            return found, after, False


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_FORM, text) is not None


def _csv(
    visit: Visit, views: Iterable[View], reasons: dict[str, tuple[str, ...]], after: str | None
) -> Response:
    """Return Service Users as CSV, a line for each key. No cell starts a formula in a spreadsheet.

    If there are more, the last line says so in the place of a username, which no username can be taken for,
    and the header ``Link`` has the address of the next part.
    """
    import csv  # only here: the two take a tenth of the time in which all pages are imported

    from chalicelib.http.event_formats import cell

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        [
            *("username", "displayName", "email", "role", "administrators", "keyType", "key"),
            *(
                "createdAt",
                "createdBy",
                "rotatedAt",
                "lastUsedAt",
                "expiresAt",
                "allowedNetworks",
                "attention",
                "description",
                "labels",
            ),
        ]
    )
    for view in views:
        it = view.service_user
        head = [it.username, it.display_name, it.email, it.role.value, " ".join(view.administrators)]
        why = "; ".join(reasons[it.username])
        about = (it.description, service_users.labels_text(it.labels))
        rows: list[list[str | None]] = [
            [
                *(key_type.value, key.last5, maybe(key.created_at), key.created_by, maybe(key.rotated_at)),
                *(maybe(key.last_used_at), maybe(key.expires_at), " ".join(key.networks)),
            ]
            for key_type, key in it.keys.items()
        ]
        for row in rows or [[""] * 8]:
            writer.writerow([cell(value) for value in (*head, *row, why, *about)])
    more: dict[str, str] = {}
    if after is not None:
        said = f"(more follow: the next part has the same address, with after={after})"
        writer.writerow([said, *[""] * 15])
        known = {name: value for name, value in visit.query().items() if name in FILTERS}
        query = urlencode({**known, "after": after})
        more = {"Link": f'<{visit.home}/service-users?{query}>; rel="next"'}
    headers = {
        **NO_STORE,
        **more,
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="service-users.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    return respond(text.getvalue(), 200, headers)
