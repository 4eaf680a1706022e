"""``/v1/account``, ``/v1/events`` and ``/v1/whoami``: the account, its events, the caller."""

import re

from chalice.app import Response

from chalicelib.http import bodies, responses
from chalicelib.http.call import Call, reply
from chalicelib.rules import accounts, permissions
from chalicelib.rules.accounts import PolicyUpdate
from chalicelib.rules.errors import ValidationError
from chalicelib.rules.names import USERNAME

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
    return reply(200, responses.account(accounts.read(call.directory, auth)))


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
    )
    return reply(200, responses.account(accounts.update(call.directory, auth, changes)))


def events(call: Call) -> Response:
    """Respond with a page of events, newest first."""
    auth = call.authenticate(permissions.require_can_read_events)
    query = call.query("username", "limit", "cursor")
    username = query.get("username")
    if username is not None and not re.match(USERNAME, username):
        raise ValidationError("'username' must be 3 to 64 letters, digits, '.', '_' or '-'.")
    paging = call.paging(query, EVENT_FORM)
    page = call.trail.events(auth.caller.account, username, paging.limit, paging.after)
    listed = tuple(responses.event(it) for it in page.events)
    return reply(200, listed, call.next_page("/v1/events", page.after, query))
