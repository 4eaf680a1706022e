"""``/v1/account``, ``/v1/events`` and ``/v1/whoami``: the caller's account, its trail, and the caller."""

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
    """200, who signed in and with what."""
    auth = call.authenticate()
    call.query()
    return reply(200, responses.whoami(auth))


def read(call: Call) -> Response:
    """200, the account's name, OWNERs and policy."""
    auth = call.authenticate(permissions.require_can_read_account)
    call.query()
    return reply(200, responses.account(accounts.read(call.directory, auth)))


def update(call: Call) -> Response:
    """200, the account as it is now."""
    auth = call.authenticate(permissions.require_can_change_account)
    call.query()
    body = call.body(bodies.UpdateAccount)
    wanted = PolicyUpdate(
        body.name,
        body.max_key_age_days,
        body.revoke_inactive_after_days,
        body.pci_compliance,
        body.machines_manage_owners,
        body.revoke_leaked_keys,
    )
    return reply(200, responses.account(accounts.update(call.directory, auth, wanted)))


def events(call: Call) -> Response:
    """200, an array of events, newest first; ``Link`` while there is more."""
    auth = call.authenticate(permissions.require_can_read_events)
    query = call.query("username", "limit", "cursor")
    username = query.get("username")
    if username is not None and not re.match(USERNAME, username):
        raise ValidationError("'username' is 3 to 64 of letters, digits, '.', '_', '-'.")
    paging = call.paging(query, EVENT_FORM)
    page = call.trail.events(auth.caller.account, username, paging.limit, paging.after)
    listed = tuple(responses.event(it) for it in page.events)
    return reply(200, listed, call.next_page("/v1/events", page.after, query))
