"""The examples of the API reference: one story, as requests and the responses to them.

Ada owns the account "Analytical Engines", Grace is its CLUSTER_ADMIN, Joan has been invited, and Ada has
created the Service Users ``backup-bot`` and ``metrics-bot``. The keys cannot work: their checksums are wrong.
The tests make each request and compare the response.
"""

from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from chalicelib.http import problems, responses
from chalicelib.http.responses import MASK
from chalicelib.http.system import Health, TableStates
from chalicelib.rules.errors import FieldError
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.users import InvitationState
from chalicelib.version import VERSION

KEY = "suk_" + "Example" * 7
TOKEN = "sui_" + "Example" * 7
MASKED = MASK + KEY[-5:]
NOW = "2026-03-02T09:30:00Z"
TOMORROW = "2026-03-03T09:30:00Z"
LATER = "2035-01-01T00:00:00Z"
ACCOUNT = "0b6f5d4e-6a57-4a0c-9f53-6c2b1c6f8f1d"
REQUEST_ID = "3f0c8a52-8a8e-4c0e-9d0a-52f5f6a4b7c1"
EVENT_ID = "019cae0a3cc0" + "5f2a9c81d7e64b03"
TAG = '"9b1f6c03d2a84e75"'


def _picked(role: Role, place: int) -> KeyType:
    """Return a key type for the examples: of those that a role and no lower one may hold, or the last one."""
    held = [kind for kind in role.key_types() if kind.least_role is role]
    plain = [kind for kind in held if not kind.requires_networks and kind.max_life_days is None]
    simple = [kind for kind in plain if kind.by_default] or plain
    found = [kind for kind in simple if kind != KeyType.USER_MANAGEMENT] or simple or held
    return found[min(place, len(found) - 1)]


READS = _picked(Role.READ_ONLY, 0)
READS_TOO = _picked(Role.READ_ONLY, 1)
CHANGES = _picked(Role.CLUSTER_ADMIN, 0)
"""The key types of the story: two that a READ_ONLY may hold, if there are, and one for a higher role."""


class Refused(NamedTuple):
    """A request of Ada's that the API refuses, and the problem in the response."""

    method: str
    path: str
    body: Any
    problem: problems.Problem
    content_type: str = "application/json"
    if_match: str | None = None
    signed_in: bool = True
    during: str = ""
    """What fails during the call: "an outage" of the database, or "a bug" of the service."""


def key(
    holder: str,
    key_type: KeyType,
    text: str = MASKED,
    *,
    by: str | None = "ada",
    networks: tuple[str, ...] = (),
    expires: str | None = None,
    used: str | None = None,
    rotated: bool = False,
    overlapping: bool = False,
) -> responses.ApiKeyResponse:
    """Return an API key, masked unless ``text`` is given."""
    before = responses.PredecessorResponse(
        key=MASKED, last5=MASKED[-5:], valid_until=TOMORROW, last_used_at=used, shown_to=by
    )
    return responses.ApiKeyResponse(
        account=ACCOUNT,
        key_type=key_type,
        username=holder,
        key=text,
        last5=text[-5:],
        created_at=NOW,
        created_by=by,
        rotated_at=NOW if rotated else None,
        rotated_by="ada" if rotated else None,
        expires_at=expires,
        last_used_at=None if rotated else used,
        allowed_networks=networks,
        predecessor=before if overlapping else None,
        ceiling=Role.OWNER if holder.endswith("-bot") else None,
    )


def _keys(role: Role, *keys: responses.ApiKeyResponse) -> responses.ApiKeysResponse:
    allowed = tuple(
        responses.AllowedKeyType(name=kind, display_name=kind.display_name) for kind in role.key_types()
    )
    return responses.ApiKeysResponse(allowed_api_key_types=allowed, api_keys=keys)


def _service_user(
    username: str, role: Role, *keys: responses.ApiKeyResponse, name: str = "", by: tuple[str, ...] = ("ada",)
) -> responses.ServiceUserResponse:
    return responses.ServiceUserResponse(
        account=ACCOUNT,
        username=username,
        display_name=name or username,
        email=f"{username}@machines.example",
        role=role,
        administrators=by,
        created_at=NOW,
        api_keys=_keys(role, *keys),
        keys_below_role=tuple(
            it.key_type for it in keys if it.ceiling is not None and not it.ceiling.covers(role)
        ),
        suspended_at=None,
        suspended_by=None,
        description=None,
        labels={},
    )


def _user(username: str, role: Role, status: Any, name: str) -> responses.UserResponse:
    return responses.UserResponse(
        account=ACCOUNT,
        username=username,
        display_name=name,
        email=f"{username}@people.example",
        role=role,
        status=status,
        invited_by=None if username == "ada" else "ada",
        created_at=NOW,
        suspended_at=None,
        suspended_by=None,
        email_failure=None,
    )


def person(
    user: responses.UserResponse, invitation: InvitationState | None = None
) -> responses.PersonResponse:
    """Return a User as the list shows them."""
    return responses.PersonResponse(**asdict(user), invitation=invitation)


_BOT_KEYS = tuple(key("metrics-bot", kind) for kind in dict.fromkeys((READS, READS_TOO)))
ADAS_KEY = key("ada", KeyType.USER_MANAGEMENT, by=None, used=NOW)

METRICS_BOT = _service_user("metrics-bot", Role.READ_ONLY, *_BOT_KEYS, name="Metrics")
METRICS_BOT_CHANGED = _service_user(
    "metrics-bot", Role.CLUSTER_ADMIN, *_BOT_KEYS, name="Metrics and backups", by=("ada", "grace")
)
METRICS_BOT_SUSPENDED = replace(METRICS_BOT, suspended_at=NOW, suspended_by="ada")
BACKUP_BOT = _service_user("backup-bot", Role.READ_ONLY, key("backup-bot", READS), name="Backups")
PROBE_BOT = _service_user("probe-bot", Role.READ_ONLY, key("probe-bot", READS, KEY))
REPORT_BOT = _service_user(
    "report-bot",
    Role.READ_ONLY,
    *(key("report-bot", kind, KEY) for kind in Role.READ_ONLY.default_key_types()),
)
METRICS_BOT_DESCRIBED = replace(
    METRICS_BOT,
    description="Reads the metrics of every cluster for the dashboards.",
    labels={"environment": "production", "team": "payments"},
)
DEPLOY_BOT = _service_user(
    "deploy-bot",
    Role.CLUSTER_ADMIN,
    key("deploy-bot", CHANGES, KEY, networks=("203.0.113.0/24", "2001:db8::/32"), expires=LATER),
    name="Deployments",
)
FOUND = responses.FoundKeyResponse(
    username="metrics-bot",
    kind="SERVICE_USER",
    role=Role.READ_ONLY,
    display_name="Metrics",
    is_predecessor=False,
    api_key=_BOT_KEYS[0],
)

GRACE_KNOWS = responses.ShownKeyResponse(
    username="grace-bot", key_type=READS, key=MASKED, last5=MASKED[-5:], valid_until=None
)
ENDED = responses.EndedKeysResponse(ended=(GRACE_KNOWS,), complete=True)

ADA = _user("ada", Role.OWNER, "ACTIVE", "Ada")
GRACE = _user("grace", Role.CLUSTER_ADMIN, "ACTIVE", "Grace")
GRACE_PROMOTED = _user("grace", Role.OWNER, "ACTIVE", "Grace")
GRACE_SUSPENDED = replace(GRACE, suspended_at=NOW, suspended_by="ada")
JOAN = _user("joan", Role.READ_ONLY, "INVITED", "Joan")
KATHERINE = _user("katherine", Role.READ_ONLY, "INVITED", "Katherine")
JOAN_ACTIVE = responses.ActivatedResponse(
    account=ACCOUNT,
    username="joan",
    display_name="Joan",
    email="joan@people.example",
    role=Role.READ_ONLY,
    status="ACTIVE",
    invited_by="ada",
    created_at=NOW,
    suspended_at=None,
    suspended_by=None,
    email_failure=None,
    api_keys=_keys(
        Role.READ_ONLY,
        *(key("joan", kind, KEY, by="joan") for kind in Role.READ_ONLY.default_key_types()),
    ),
)
ADAS_KEYS = _keys(Role.OWNER, key("ada", READS), ADAS_KEY)

WHOAMI = responses.WhoamiResponse(
    account=ACCOUNT,
    username="ada",
    kind="USER",
    role=Role.OWNER,
    display_name="Ada",
    email="ada@people.example",
    key_type=KeyType.USER_MANAGEMENT,
    key=ADAS_KEY,
)

ACCOUNT_OF_ADA = responses.AccountResponse(
    account=ACCOUNT,
    name="Analytical Engines",
    owners=("ada",),
    created_at=NOW,
    max_key_age_days=None,
    revoke_inactive_after_days=None,
    pci_compliance=False,
    machines_manage_owners=False,
    revoke_leaked_keys=True,
    user_count=3,
    service_user_count=3,
)
ACCOUNT_CHANGED = responses.AccountResponse(
    account=ACCOUNT,
    name="Analytical Engines",
    owners=("ada",),
    created_at=NOW,
    max_key_age_days=180,
    revoke_inactive_after_days=None,
    pci_compliance=False,
    machines_manage_owners=False,
    revoke_leaked_keys=True,
    user_count=3,
    service_user_count=3,
)

EVENT = responses.EventResponse(
    id=EVENT_ID,
    at=NOW,
    action="SERVICE_USER_CREATED",
    actor=responses.Who(kind="USER", username="ada", display_name="Ada", id="5c1de0f7b2a94836"),
    credential=responses.CredentialResponse(
        kind="API_KEY", key_type=KeyType.USER_MANAGEMENT, key=MASKED, last5=MASKED[-5:], passkey=None
    ),
    subject=responses.Who(
        kind="SERVICE_USER", username="metrics-bot", display_name="Metrics", id="0f3b9d2c81e7465a"
    ),
    keys=tuple(
        responses.KeyChangeResponse(
            change="GENERATED",
            key_type=kind,
            key=MASKED,
            last5=MASKED[-5:],
            previous_key=None,
            previous_last5=None,
            previous_valid_until=None,
            also_ended=None,
            ends_at=None,
        )
        for kind in Role.READ_ONLY.default_key_types()
    ),
    changes=(
        responses.FieldChange(field="role", old="", new="READ_ONLY", old_value=None, new_value="READ_ONLY"),
    ),
    reason=None,
    source_ip="198.51.100.7",
    request_id=REQUEST_ID,
    mail=responses.MailResponse(waiting=True, told=(), undeliverable=(), feedback=()),
)

HEALTH = Health("ok", VERSION)
HEALTH_AND_TABLES = Health("ok", VERSION, tables=TableStates("ok", "ok"))


def _problem(status: int, detail: str, *errors: tuple[str, str]) -> problems.Problem:
    return problems.problem(status, detail, REQUEST_ID, tuple(FieldError(*it) for it in errors))


_EMAIL_FORM = (
    "an email address, such as bot@example.com; unique in the account after folding case, '+tag's and "
    "Gmail's dots."
)
_NEW = {"username": "metrics-bot", "email": "metrics-bot@machines.example", "role": "READ_ONLY"}

REFUSALS: dict[int, Refused] = {
    400: Refused(
        "POST",
        "/v1/service-users",
        {"username": "m", "email": "metrics-bot", "role": "READ_ONLY"},
        _problem(
            400,
            "The request is invalid; 'errors' lists what to correct.",
            ("/username", "This must have at least 3 characters."),
            (
                "/email",
                f"This must be: {_EMAIL_FORM}",
            ),
        ),
    ),
    401: Refused(
        "GET",
        "/v1/whoami",
        None,
        _problem(
            401,
            "Sign in by HTTP Basic with a username and one of its API keys (curl -u USERNAME:API_KEY …), "
            "or with the key alone as 'Authorization: Bearer API_KEY'.",
        ),
        signed_in=False,
    ),
    403: Refused(
        "POST",
        "/v1/users/grace/api-keys",
        {"keyType": READS.value},
        _problem(
            403,
            "Users manage only their own keys. An OWNER can revoke a User, or send them a new invitation.",
        ),
    ),
    404: Refused(
        "GET",
        "/v1/service-users/lost-bot",
        None,
        _problem(404, "There is no Service User 'lost-bot' in the account."),
    ),
    409: Refused(
        "POST",
        "/v1/service-users",
        _NEW,
        _problem(
            409,
            "The username 'metrics-bot' is taken (case does not count). Choose another. If you created it "
            "and the response was lost: GET /v1/service-users/metrics-bot, then rotate its keys, or delete "
            "it and create it again.",
        ),
    ),
    412: Refused(
        "DELETE",
        "/v1/service-users/metrics-bot",
        None,
        _problem(
            412,
            "'metrics-bot' has changed since you read it. Read it again, then decide.",
        ),
        if_match='"1f0e5d2c7b3a4968"',
    ),
    413: Refused(
        "POST",
        "/v1/service-users",
        {"username": "m" * 70_000},
        _problem(413, "The body has 70016 bytes; the limit is 65536."),
    ),
    415: Refused(
        "POST",
        "/v1/service-users",
        _NEW,
        _problem(415, "The body must be JSON. Send it with 'Content-Type: application/json'."),
        content_type="text/plain",
    ),
    429: Refused(
        "POST",
        "/v1/api-keys/rotate",
        None,
        _problem(
            429,
            "'ada' has been changed too often (120 changes an hour, 10 at once); nothing was done. Wait 30 "
            "seconds, as Retry-After says, and send it again. Revoking and deleting are always possible.",
        ),
        during="a flood",
    ),
    500: Refused(
        "GET",
        "/v1/whoami",
        None,
        _problem(500, "An internal error occurred and was logged. Report it with its requestId."),
        during="a bug",
    ),
    503: Refused(
        "POST",
        "/v1/api-keys/rotate",
        None,
        _problem(
            503,
            "The database did not respond in time. The change may or may not have been made: "
            "read before you try again.",
        ),
        during="an outage",
    ),
}
"""One refused request for each status."""

OF_THE_GATEWAY: dict[int, problems.Problem] = {
    429: _problem(429, "Too many calls at once. Wait a second and ask again."),
    502: _problem(
        502,
        "The service did not respond as it should. A change may have been made: read before you ask again.",
    ),
    504: _problem(
        504, "The service did not respond in time. A change may have been made: read before you ask again."
    ),
}
"""What the gateway in front of the API responds by itself to any call, as the stack's template has it."""
