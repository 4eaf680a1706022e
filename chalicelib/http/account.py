"""``/v1/account``, ``/v1/events`` and ``/v1/whoami``: the caller's account, its trail, and the caller."""

import re

from chalice.app import Response

from chalicelib.http import answers, bodies
from chalicelib.http.calls import Call, reply
from chalicelib.http.keys import given
from chalicelib.rules import access, accounts
from chalicelib.rules.accounts import WantedPolicy
from chalicelib.rules.api_keys import UNSET as NOT_GIVEN
from chalicelib.rules.faults import Invalid
from chalicelib.rules.names import USERNAME

EVENT_FORM = r"[0-9a-f]{28}"


def whoami(call: Call) -> Response:
    """200, who signed in and with what."""
    act = call.act()
    call.query()
    return reply(200, answers.whoami(act))


def read(call: Call) -> Response:
    """200, the account's name, OWNERs and policy."""
    act = call.act(access.see_account)
    call.query()
    return reply(200, answers.account(accounts.read(call.directory, act)))


def update(call: Call) -> Response:
    """200, the account as it is now."""
    act = call.act(access.run_account)
    call.query()
    body = call.body(bodies.UpdateAccount)
    wanted = WantedPolicy(
        given(body.name, NOT_GIVEN),
        given(body.max_key_age_days, NOT_GIVEN),
        given(body.revoke_inactive_after_days, NOT_GIVEN),
        given(body.pci_compliance, NOT_GIVEN),
    )
    return reply(200, answers.account(accounts.update(call.directory, act, wanted)))


def events(call: Call) -> Response:
    """200, an array of events, newest first; ``Link`` while there is more."""
    act = call.act(access.see_account)
    query = call.query("username", "limit", "cursor")
    username = query.get("username")
    if username is not None and not re.match(USERNAME, username):
        raise Invalid("'username' is 3 to 64 of letters, digits, '.', '_', '-'.")
    paging = call.paging(query, EVENT_FORM)
    page = call.trail.events(act.caller.account, username, paging.limit, paging.after)
    listed = tuple(answers.event(it) for it in page.events)
    return reply(200, listed, call.next_page("/v1/events", page.after, query))
