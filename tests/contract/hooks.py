"""What Schemathesis cannot know about the API: who calls, what a CIDR is, what OpenAPI cannot express.

The calls are Ada's, an OWNER whom the demo account's owner has invited. Generated calls rotate and
revoke her keys, lock her out by network, or revoke her altogether; then the owner restores her access.
"""

import hashlib
import itertools
import json
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response

HOME = Path(os.environ["CONTRACT_HOME"])
OWNER = json.loads((HOME / "owner.json").read_text(encoding="utf-8"))
URL = OWNER["baseUrl"]
ADA = "ada"
SECONDS_FOR_AN_EMAIL = 90.0
CALLS_BETWEEN_TENDING = 50
FINDINGS = "findings.txt"
"""In CONTRACT_HOME: the good requests that were refused, which a log cut to its end would not show."""

# Values of formats

_NETWORKS = st.one_of(
    st.ip_addresses(v=4).map(lambda it: f"{it}/32"),
    st.ip_addresses(v=6).map(lambda it: f"{it}/128"),
    st.integers(0, 255).map(lambda it: f"{it}.0.0.0/8"),
)
schemathesis.openapi.format("cidr", _NETWORKS)
# Made from the pattern alone, most would be thrown away for its look ahead.
_ADDRESSES = st.from_regex(
    r"\A[a-z0-9!#$%&'*/=?^_`{|}~-]{1,20}(\+[a-z]{1,5})?@([a-z0-9]{1,9}\.){1,3}[a-z]{2,9}\Z"
)
schemathesis.openapi.format("email", _ADDRESSES)
# An end of a key is a time to come, which no schema can say.
_TIMES_TO_COME = st.datetimes(min_value=datetime(2100, 1, 1)).map(lambda it: f"{it:%Y-%m-%dT%H:%M:%SZ}")  # noqa: DTZ001
schemathesis.openapi.format("date-time", _TIMES_TO_COME)


# Who calls


def _owner(method: str, path: str, body: Any = None) -> requests.Response:
    return requests.request(
        method, URL + path, json=body, auth=(OWNER["username"], OWNER["apiKey"]), timeout=30
    )


class Caller:
    """Ada and the key she has now, if she has one."""

    def __init__(self) -> None:
        self.key: str | None = None

    def current(self) -> str:
        """Return a key of Ada's that works as far as we know."""
        if self.key is None:
            self.key = self._let_in()
        return self.key

    def _let_in(self) -> str:
        outbox = HOME / "outbox"
        tried = {file.name for file in outbox.glob("*.eml")}
        person = {"username": ADA, "email": f"{ADA}@people.example", "role": "OWNER"}
        if _owner("POST", "/v1/users", person).status_code == 409:
            _owner("PUT", f"/v1/users/{ADA}", {"role": "OWNER"}).raise_for_status()
            _owner("POST", f"/v1/users/{ADA}/invitation").raise_for_status()
        end = time.monotonic() + SECONDS_FOR_AN_EMAIL
        while time.monotonic() < end:
            for file in sorted(outbox.glob("*.eml")):
                if file.name not in tried:
                    tried.add(file.name)
                    if key := self._activated(file.read_text(encoding="utf-8").replace("=\n", "")):
                        return key
            time.sleep(0.02)
        raise TimeoutError("no email has brought a token for Ada that works")

    def _activated(self, email: str) -> str | None:
        """Return the key that an email's token activates, or None for the token of a former invitation."""
        token = re.search(r"sui_[0-9A-Za-z]{49}", email)
        if token is None:
            return None
        body = {"username": ADA, "token": token[0]}
        made = requests.post(f"{URL}/v1/users/activate", json=body, timeout=30)
        return str(made.json()["apiKeys"]["apiKeys"][0]["key"]) if made.status_code == 200 else None


def tend() -> None:
    """Create the Service Users and users that examples and dictionaries name."""
    for name in ("metrics-bot", "backup-bot", "report-bot"):
        body = {"username": name, "email": f"{name}@machines.example", "role": "CLUSTER_ADMIN"}
        _owner("POST", "/v1/service-users", body)
    for name in ("grace", "joan"):
        body = {"username": name, "email": f"{name}@people.example", "role": "CLUSTER_ADMIN"}
        _owner("POST", "/v1/users", body)


CALLER = Caller()
CALLS = itertools.count()


@schemathesis.auth(refresh_interval=None)
class SignIn:
    """Signs Ada in."""

    def get(self, _case: Case, _context: Any) -> str:
        """Return her key."""
        return CALLER.current()

    def set(self, case: Case, data: str, _context: Any) -> None:
        """Put it in the header of HTTP Basic."""
        case.headers = case.headers or {}
        case.headers["Authorization"] = requests.auth._basic_auth_str(ADA, data)


@schemathesis.hook
def after_call(_context: HookContext, _case: Case, response: Response) -> None:
    """Record that Ada has another key or none that works; now and then recreate whoever was deleted."""
    if next(CALLS) % CALLS_BETWEEN_TENDING == 0:
        tend()
    if CALLER.key is None:
        return
    sent = response.request.headers.get("Authorization")
    if sent != requests.auth._basic_auth_str(ADA, CALLER.key):
        return
    if response.status_code == 200 and "/rotate" in response.request.url:
        made = response.json()
        if (made["username"], made["keyType"]) == (ADA, "USER_MANAGEMENT"):
            CALLER.key = made["key"]
    elif response.status_code == 401 or (
        response.status_code == 403 and "may not be used from" in response.text
    ):
        CALLER.key = None


@schemathesis.hook
def filter_case(_context: HookContext, case: Case) -> bool:
    """Skip calls about the owner, who restores Ada's access."""
    username = str((case.path_parameters or {}).get("username", ""))
    return case.method == "GET" or username.casefold() != OWNER["username"]


@schemathesis.hook
def map_case(_context: HookContext, case: Case) -> Case:
    """Give whoever is to be created an unused name and address, two times out of three."""
    made = case.method == "POST" and case.operation.path in ("/v1/service-users", "/v1/users")
    if made and case.meta and case.meta.generation.mode.is_positive and isinstance(case.body, dict):
        mark = hashlib.sha256(repr(case.body).encode()).hexdigest()[:12]  # the same for the same body
        if int(mark, 16) % 3:
            case.body = {**case.body, "username": f"g-{mark}", "email": f"g-{mark}@generated.example"}
    return case


# What OpenAPI cannot say

_REFUSED_FOR_WHAT_IS_THERE = {
    # The account's policy may want an earlier end; two spellings can be one network; a type of the operator's
    # may require networks. Version 1.0 published no
    # pattern of display names, so that none may be published later; yet control characters are refused.
    ("POST", "/v1/service-users"): (
        r"/expiresAt|/allowedNetworks(/\d+)?|/displayName|/description|/administrators(/\d+)?"
    ),
    ("POST", "/v1/users"): r"/displayName",
    ("PUT", "/v1/users/{username}"): r"/displayName",
    ("POST", "/v1/service-users/{username}/api-keys"): r"/keyType|/expiresAt|/allowedNetworks(/\d+)?",
    ("POST", "/v1/users/{username}/api-keys"): r"/keyType|/expiresAt|/allowedNetworks(/\d+)?",
    ("PATCH", "/v1/service-users/{username}/api-keys"): r"/expiresAt|/allowedNetworks(/\d+)?",
    # The type may be in the body too, and does not differ from that in the path.
    (
        "PATCH",
        "/v1/service-users/{username}/api-keys/{keyType}",
    ): r"/keyType|/expiresAt|/allowedNetworks(/\d+)?",
    ("PATCH", "/v1/users/{username}/api-keys/{keyType}"): r"/keyType|/expiresAt|/allowedNetworks(/\d+)?",
    ("PATCH", "/v1/users/{username}/api-keys"): r"/expiresAt|/allowedNetworks(/\d+)?",
    # Whoever is no OWNER or CLUSTER_ADMIN of the account cannot be an Administrator; one has to be there.
    ("PUT", "/v1/service-users/{username}"): r"/administrators(/\d+)?|/displayName|/description",
    # With pciCompliance, given now or before, both are at most 90 days.
    ("PUT", "/v1/account"): r"/maxKeyAgeDays|/revokeInactiveAfterDays|/name",
    # The type is in the body or in the query, and does not differ where it is in both.
    ("DELETE", "/v1/service-users/{username}/api-keys"): r"/keyType",
    ("DELETE", "/v1/users/{username}/api-keys"): r"/keyType",
}
_OTHERWISE = (
    "The username or the token is not valid",  # an invitation that was never made
    "'cursor' is invalid",  # a generated one never is
    "The body and the query differ in",
    "'sort=oldest' takes no condition",  # no schema can say that two parameters exclude each other
    "'sort=newest' takes no condition",
    "'until' must be later than 'since'",  # nor how two parameters compare
    "'label' has one name twice",  # nor that names in a string differ
    "'If-Match' must be '*' or quoted entity tags",  # a body can be right beside a header that is not
)


def _by_the_document(case: Case) -> bool:
    """Return whether every part is; a case that is called positive can have a header that is not."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return False
    return all(part.mode.is_positive for part in case.meta.components.values())


@schemathesis.check
def refused_for_what_is_there(_ctx: Any, response: Response, case: Case) -> None:
    """A request that the document allows is refused (400) only for what no schema can express."""
    if response.status_code != 400 or not _by_the_document(case):
        return
    problem = response.json()
    if problem["detail"].startswith(_OTHERWISE):
        return
    allowed = _REFUSED_FOR_WHAT_IS_THERE.get((case.method, case.operation.path))
    pointers = [error["pointer"] for error in problem.get("errors", ())]
    if not pointers or allowed is None or not all(re.fullmatch(allowed, it) for it in pointers):
        sent = f"{case.method} {response.request.url} {response.request.body!r}"
        with (HOME / FINDINGS).open("a", encoding="utf-8") as findings:
            findings.write(f"{sent}\n  {response.text}\n")
        raise AssertionError(f"A good request is refused: {sent} {response.text}")
