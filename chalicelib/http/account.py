"""``/v1/account``, ``/v1/events`` and ``/v1/whoami``: the account, its events, the caller."""

import re

from chalice.app import Response

from chalicelib.http import bodies, responses, validation
from chalicelib.http.call import Call, conditional, etag, fit, reply, reply_as_text
from chalicelib.http.read_only import require_unchanged
from chalicelib.rules import accounts, permissions
from chalicelib.rules.accounts import PolicyUpdate
from chalicelib.rules.errors import ValidationError
from chalicelib.rules.model import Account
from chalicelib.rules.names import USERNAME
from chalicelib.rules.ports import EventQuery

EVENT_FORM = r"[0-9a-f]{28}"


def whoami(call: Call) -> Response:
    """Respond with the caller and the key used to sign in."""
    auth = call.authenticate()
    call.query()
    return reply(200, responses.whoami(auth))


def read(call: Call) -> Response:
    """Respond with the account's name, OWNERs and policy."""
    auth = call.authenticate(permissions.require_can_read_account)
    call.query()
    return _reply(accounts.read(call.directory, auth))


@conditional
def update(call: Call) -> Response:
    """Change the account; respond with it."""
    auth = call.authenticate(permissions.require_can_change_account)
    call.query()
    body = call.body(bodies.UpdateAccount)
    changes = PolicyUpdate(
        body.name,
        body.max_key_age_days,
        body.revoke_inactive_after_days,
        body.pci_compliance,
        body.machines_manage_owners,
        body.revoke_leaked_keys,
    )

    def check(before: Account) -> None:
        require_unchanged(body, responses.account(before), auth.origin.now)

    return _reply(accounts.update(call.directory, auth, changes, call.if_match(), check))


def events(call: Call) -> Response:
    """Respond with a page of events, in the format that the ``Accept`` header asks for."""
    auth = call.authenticate(permissions.require_can_read_events)
    query = call.query("username", "actor", "action", "since", "until", "order", "limit", "cursor")
    paging = call.paging(query, EVENT_FORM)
    page = call.trail.events(auth.caller.account, _event_query(query), paging.limit, paging.after)
    shown = map(responses.event, page.events)
    listed, after = fit([(event.id, event) for event in shown], page.after)
    headers = call.next_page("/v1/events", after, query)
    accept = call.header("accept")
    if accept is not None and ("csv" in accept or "ndjson" in accept):
        from chalicelib.http import event_formats  # Here, since few calls ask for them.

        match event_formats.preferred_format(accept):
            case event_formats.NDJSON:
                return reply_as_text(event_formats.ndjson(listed), event_formats.NDJSON, headers)
            case event_formats.CSV:
                media_type = f"{event_formats.CSV}; charset=utf-8"
                return reply_as_text(event_formats.csv_table(listed), media_type, headers)
    return reply(200, listed, headers)


def _event_query(query: dict[str, str]) -> EventQuery:
    for name in ("username", "actor"):
        if name in query and not re.match(USERNAME, query[name]):
            raise ValidationError(f"'{name}' must be 3 to 64 letters, digits, '.', '_' or '-'.")
    if not re.fullmatch(r"[A-Z_]{1,64}", query.get("action", "ANY")):
        raise ValidationError("'action' must be the name of an action, such as API_KEY_ROTATED.")
    if query.get("order", "newest") not in ("newest", "oldest"):
        raise ValidationError("'order' must be 'newest' or 'oldest': which events come first.")
    since, until = (_second(query, name) for name in ("since", "until"))
    if since is not None and until is not None and since >= until:
        raise ValidationError("'until' must be later than 'since'.")
    return EventQuery(
        username=query.get("username"),
        actor=query.get("actor"),
        action=query.get("action"),
        since=since,
        until=until,
        oldest_first=query.get("order") == "oldest",
    )


def _second(query: dict[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return validation.to_moment(query[name])
    except ValueError as error:
        raise ValidationError(f"'{name}': {error}") from None


def _reply(account: Account) -> Response:
    return reply(200, responses.account(account), {"ETag": etag(account.version)})
