"""What the types do not say of the API's calls: one entry per view of ``app.py``, by its name.

``contract.document`` writes the OpenAPI document from this, the types and the routes; the summary of a call
is the docstring of its view in ``app.py``. The tests check every entry against what the API does.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from chalicelib.http import bodies, responses, system, validation
from chalicelib.rules.key_search import MAX_FOUND
from chalicelib.rules.leaked_keys import MAX_REPORTED
from chalicelib.rules.roles import KeyType
from chalicelib.rules.selection import EXAMINED
from chalicelib.rules.users import InvitationState
from contract import examples


class Tag(Enum):
    """The sections of the API reference, with their descriptions."""

    SERVICE_USERS = (
        "Service Users",
        "Machine identities with API keys, administered by Users.",
    )
    CALLER = ("The caller", "Calls of any principal about itself, with a key of any type.")
    # Generated clients name their classes after tags, so a released name stays.
    USERS = ("People", "The Users of the account, and the keys that each of them manages.")
    ACCOUNT = ("The account", "Its name, its policy on keys, and its audit trail.")
    SYSTEM = ("The API itself", "For anyone, without sign-in.")


class Query(Enum):
    """The query parameters."""

    LIMIT = "limit"
    CURSOR = "cursor"
    SORT = "sort"
    PREFIX = "prefix"
    ROLE = "role"
    ADMINISTRATOR = "administrator"
    LABEL = "label"
    NEVER_USED = "neverUsed"
    WITHOUT_NETWORKS = "withoutNetworks"
    UNUSED_FOR_DAYS = "unusedForDays"
    ENDING_WITHIN_DAYS = "endingWithinDays"
    STATUS = "status"
    SUSPENDED = "suspended"
    USERNAME = "username"
    ACTOR = "actor"
    ACTION = "action"
    SINCE = "since"
    UNTIL = "until"
    ORDER = "order"
    KEY_TYPE = "keyType"
    REVOKE_USER = "revokeUser"
    EVEN_IF_LOCKED_OUT = "evenIfLockedOut"
    CHECK = "check"


class Header(Enum):
    """The response headers that only some calls have."""

    ETAG = "ETag"
    LOCATION = "Location"
    LINK = "Link"
    NEXT_CURSOR = "Next-Cursor"
    SECURITY = "Content-Security-Policy"
    OPENER = "Cross-Origin-Opener-Policy"
    NO_SNIFFING = "X-Content-Type-Options"
    VARY = "Vary"


class Example(NamedTuple):
    """A call as Ada, an OWNER, makes it, and the body of its response."""

    title: str
    response: Any
    body: dict[str, Any] | list[dict[str, Any]] | None = None
    username: str | None = None
    query: dict[str, str] = {}
    key_type: KeyType | None = None


class Operation(NamedTuple):
    """A call of the API: what the routes and the types of bodies and responses do not say.

    ``status`` and ``success`` are the status and the description of its success, ``response`` the type of
    its body. ``permission`` says who may make the call, and ``notes`` what else a client has to know.
    ``refusals`` are the statuses beside those that follow from signing in, from taking a body and from
    reading tables; ``other_media_types`` are what ``Accept`` may ask for instead, each with its description;
    ``no_body`` is for a call that refuses a body where others ignore it. ``leads_to`` names
    the calls that take the username in the response.
    """

    tag: Tag
    status: int
    success: str
    response: Any
    examples: tuple[Example, ...]
    permission: str = ""
    notes: str = ""
    body: type[validation.Body] | None = None
    body_required: bool = True
    body_list: int = 0
    query: tuple[Query, ...] = ()
    headers: tuple[Header, ...] = ()
    refusals: tuple[int, ...] = ()
    signs_in: bool = True
    reads: bool = True
    if_match: bool = False
    no_body: bool = False
    media_type: str = "application/json"
    other_media_types: Mapping[str, str] = {}
    leads_to: tuple[str, ...] = ()

    @property
    def statuses(self) -> tuple[int, ...]:
        """Return every status the API may respond with, but for the one of success; 500 may always happen.

        Those of the gateway in front of it are in ``examples.OF_THE_GATEWAY``.
        """
        found = {400, 500, *self.refusals}
        if self.signs_in:
            found |= {401, 403}
        if self.reads:
            found.add(503)
        if self.body is not None or self.no_body:
            found |= {413, 415}
        if self.if_match:
            found.add(412)
        return tuple(sorted(found))


# Who may make a call. The guards in chalicelib/rules/permissions.py decide it; this is how customers read it.
_MANAGES_SERVICE_USERS = "Requires a User with the role OWNER or CLUSTER_ADMIN, and a USER_MANAGEMENT key."
_ADMINISTERS = "Requires a USER_MANAGEMENT key of an OWNER User, or of an Administrator of the Service User."
_GRANTS_NO_HIGHER_ROLE = "The role given must not be higher than the caller's."
_ISSUES_KEYS = (
    f"{_ADMINISTERS} The Service User's role must not be higher than the caller's: "
    "a key carries its holder's role."
)
_RESUMES = f"{_ADMINISTERS} The Service User's role must not be higher than the caller's."
_MANAGES_USERS = "Requires the role OWNER (a User or a Service User) and a USER_MANAGEMENT key."
_SEES_SHOWN_KEYS = "Requires a User with the role OWNER, and a USER_MANAGEMENT key."
_READS = "Requires the role OWNER or CLUSTER_ADMIN (a User or a Service User) and a USER_MANAGEMENT key."
_OWN_KEYS = "Requires a USER_MANAGEMENT key of the User themselves: nobody manages the keys of another User."
_READS_ACCOUNT = _MANAGES_SERVICE_USERS
_CHANGES_ACCOUNT = "Requires a User with the role OWNER, and a USER_MANAGEMENT key."

_PAGE = (Query.LIMIT, Query.CURSOR)
_EXAMINED = (
    f"With a condition, at most {EXAMINED} members are read for a page: it can have fewer than `limit`, or "
    "none, although `Link` says that there are more."
)
_EITHER_WAY = (
    "Give the fields in the body or in the query, for clients that cannot send a body. "
    "A field in both must not differ."
)

_SAME_TYPE = "No body is needed; one with the fields of the call that names the type in its body is taken."
_WITH_PREDECESSOR = "During the overlap of a rotation, the key has its predecessor with it."

_BOT = "metrics-bot"
_OF_SERVICE_USER = (
    "read_service_user",
    "list_service_user_keys",
    "update_service_user",
    "delete_service_user",
    "generate_service_user_key",
    "rotate_service_user_key",
    "restrict_service_user_key",
    "revoke_service_user_key",
    "suspend_service_user",
    "resume_service_user",
)
_OF_USER = (
    "read_user",
    "update_user",
    "invite_user_again",
    "revoke_user",
    "suspend_user",
    "resume_user",
)

OPERATIONS: dict[str, Operation] = {
    "create_service_user": Operation(
        tag=Tag.SERVICE_USERS,
        status=201,
        success="The Service User with its new keys; the only response with their secrets.",
        response=responses.ServiceUserResponse,
        examples=(
            Example(
                "One key, the only one that the machine needs",
                examples.PROBE_BOT,
                {
                    "username": "probe-bot",
                    "email": "probe-bot@machines.example",
                    "role": "READ_ONLY",
                    "keyTypes": [examples.READS.value],
                },
            ),
            Example(
                "One key, for two networks and until a date",
                examples.DEPLOY_BOT,
                {
                    "username": "deploy-bot",
                    "email": "deploy-bot@machines.example",
                    "profile": "CLUSTER_ADMIN",
                    "displayName": "Deployments",
                    "keyTypes": [examples.CHANGES.value],
                    "allowedNetworks": ["203.0.113.0/24", "2001:db8::/32"],
                    "expiresAt": examples.LATER,
                },
            ),
            Example(
                "A Service User with a key of every type its role allows",
                examples.REPORT_BOT,
                {"username": "report-bot", "email": "report-bot@machines.example", "role": "READ_ONLY"},
            ),
        ),
        permission=f"{_MANAGES_SERVICE_USERS} {_GRANTS_NO_HIGHER_ROLE}",
        body=bodies.CreateServiceUser,
        headers=(Header.LOCATION, Header.ETAG),
        refusals=(409, 429),
        leads_to=_OF_SERVICE_USER,
        notes=(
            "Whoever creates a Service User becomes its Administrator. Name the key types that the machine "
            "needs (`keyTypes`); without that it gets a key of every type that its role allows."
        ),
    ),
    "list_service_users": Operation(
        tag=Tag.SERVICE_USERS,
        status=200,
        success="An array of Service Users by username, keys masked; `Link` if there are more.",
        response=tuple[responses.ServiceUserResponse, ...],
        examples=(
            Example("The first page", (examples.BACKUP_BOT,), query={"limit": "1"}),
            Example(
                "Those with a key that was never used and works from every address",
                (examples.BACKUP_BOT,),
                query={"neverUsed": "true", "withoutNetworks": "true", "limit": "1"},
            ),
            Example("Those whose names begin alike", (examples.METRICS_BOT,), query={"prefix": "metrics-"}),
            Example("The newest", (examples.METRICS_BOT,), query={"sort": "newest", "limit": "1"}),
        ),
        permission=_READS,
        query=(
            *_PAGE,
            Query.SORT,
            Query.PREFIX,
            Query.ROLE,
            Query.ADMINISTRATOR,
            Query.LABEL,
            Query.NEVER_USED,
            Query.WITHOUT_NETWORKS,
            Query.UNUSED_FOR_DAYS,
            Query.ENDING_WITHIN_DAYS,
        ),
        headers=(Header.LINK, Header.NEXT_CURSOR),
        notes=(
            "The conditions are combined; those on keys must hold for one and the same key that has not "
            f"expired. They read what the list reads: {_EXAMINED} `prefix` alone reads only what it finds. "
            "Sorted by creation, the list takes no condition, and a page can have fewer members too. "
            "Uses are recorded to the hour."
        ),
    ),
    "read_service_user": Operation(
        tag=Tag.SERVICE_USERS,
        status=200,
        success="A Service User, with its `ETag`.",
        response=responses.ServiceUserResponse,
        examples=(Example("A Service User", examples.METRICS_BOT, username=_BOT),),
        permission=_READS,
        headers=(Header.ETAG,),
        refusals=(404,),
        notes="A Service User may read itself, with a key of any type.",
    ),
    "update_service_user": Operation(
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The changed Service User.",
        response=responses.ServiceUserResponse,
        examples=(
            Example(
                "A new display name, a higher role and a second Administrator",
                examples.METRICS_BOT_CHANGED,
                {
                    "displayName": "Metrics and backups",
                    "role": "CLUSTER_ADMIN",
                    "administrators": ["ada", "grace"],
                },
                _BOT,
            ),
            Example(
                "A description and labels",
                examples.METRICS_BOT_DESCRIBED,
                {
                    "description": "Reads the metrics of every cluster for the dashboards.",
                    "labels": {"team": "payments", "environment": "production"},
                },
                _BOT,
            ),
        ),
        permission=f"{_ADMINISTERS} {_GRANTS_NO_HIGHER_ROLE}",
        body=bodies.UpdateServiceUser,
        headers=(Header.ETAG,),
        refusals=(404, 409, 429),
        if_match=True,
        notes=(
            "Changing the role or the Administrators of a Service User whose role is above the caller's is "
            "refused. Keys that a lower role may not hold are revoked in the same write."
        ),
    ),
    "delete_service_user": Operation(
        tag=Tag.SERVICE_USERS,
        status=204,
        success="The Service User is deleted; its keys no longer work.",
        response=None,
        examples=(Example("A Service User", None, username=_BOT),),
        permission=_ADMINISTERS,
        refusals=(404, 409),
        if_match=True,
        no_body=True,
    ),
    "suspend_service_user": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The suspended Service User. Its keys no longer work.",
        response=responses.ServiceUserResponse,
        examples=(Example("A Service User", examples.METRICS_BOT_SUSPENDED, username=_BOT),),
        permission=_ADMINISTERS,
        refusals=(404, 409),
        no_body=True,
        notes=(
            "Its keys are kept, and refused until it is resumed: with 403 and the reason for whoever has a "
            "right key, as a wrong key for everybody else. One that is suspended already stays as it is."
        ),
    ),
    "resume_service_user": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The resumed Service User. Its keys work again, each until its expiry.",
        response=responses.ServiceUserResponse,
        examples=(Example("A Service User", examples.METRICS_BOT, username=_BOT),),
        permission=_RESUMES,
        refusals=(404, 409, 429),
        no_body=True,
        notes="One that is not suspended stays as it is.",
    ),
    "list_service_user_keys": Operation(
        headers=(Header.ETAG,),
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The key types that its role allows, and its keys, masked.",
        response=responses.ApiKeysResponse,
        examples=(Example("A Service User's", examples.METRICS_BOT.api_keys, username=_BOT),),
        permission=_READS,
        refusals=(404,),
        notes="A Service User may list its own keys, with a key of any type.",
    ),
    "generate_service_user_key": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=201,
        success="The new key; the only response with its secret.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "A key for one network",
                examples.key(
                    "backup-bot",
                    examples.READS_TOO,
                    examples.KEY,
                    networks=("203.0.113.0/24",),
                ),
                {"keyType": examples.READS_TOO.value, "allowedNetworks": ["203.0.113.0/24"]},
                "backup-bot",
            ),
        ),
        permission=_ISSUES_KEYS,
        body=bodies.GenerateKey,
        refusals=(404, 409, 429),
    ),
    "revoke_service_user_key": Operation(
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=204,
        success="The key is revoked and no longer works.",
        response=None,
        examples=(
            Example("With a body", None, {"keyType": examples.READS.value}, _BOT),
            Example("Without", None, username=_BOT, query={"keyType": examples.READS.value}),
        ),
        permission=_ADMINISTERS,
        body=bodies.RevokeKey,
        body_required=False,
        query=(Query.KEY_TYPE, Query.EVEN_IF_LOCKED_OUT),
        refusals=(404, 409),
        notes=_EITHER_WAY,
    ),
    "restrict_service_user_key": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The changed key, masked.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "Two networks",
                examples.key(_BOT, examples.READS, networks=("203.0.113.0/24", "2001:db8::/32")),
                {"keyType": examples.READS.value, "allowedNetworks": ["203.0.113.0/24", "2001:db8::/32"]},
                _BOT,
            ),
        ),
        permission=_ADMINISTERS,
        body=bodies.RestrictKey,
        refusals=(404, 409, 429),
    ),
    "rotate_service_user_key": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The new key; the only response with its secret.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "With a day to deploy the new key",
                examples.key(_BOT, examples.READS, examples.KEY, rotated=True, overlapping=True),
                {"keyType": examples.READS.value, "overlapSeconds": 86400},
                _BOT,
            ),
        ),
        permission=_ISSUES_KEYS,
        body=bodies.RotateKey,
        refusals=(404, 409, 429),
        notes="Without `overlapSeconds` the old key no longer works once the response arrives.",
    ),
    "read_service_user_key": Operation(
        headers=(Header.ETAG,),
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The key, masked.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "A Service User's",
                examples.METRICS_BOT.api_keys.api_keys[0],
                username=_BOT,
                key_type=examples.READS,
            ),
        ),
        permission=_READS,
        refusals=(404,),
        notes=f"A Service User may read its own keys, with a key of any type. {_WITH_PREDECESSOR}",
    ),
    "restrict_service_user_key_of_type": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=200,
        success="The changed key, masked.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "One network",
                examples.key(_BOT, examples.READS, networks=("203.0.113.0/24",)),
                {"allowedNetworks": ["203.0.113.0/24"]},
                _BOT,
                key_type=examples.READS,
            ),
        ),
        permission=_ADMINISTERS,
        body=bodies.KeyRestrictions,
        refusals=(404, 409, 429),
        notes=f"{_WITH_PREDECESSOR} Both are restricted.",
    ),
    "revoke_service_user_key_of_type": Operation(
        if_match=True,
        tag=Tag.SERVICE_USERS,
        status=204,
        success="The key is revoked and no longer works.",
        response=None,
        examples=(Example("A Service User's", None, username=_BOT, key_type=examples.READS),),
        permission=_ADMINISTERS,
        query=(Query.EVEN_IF_LOCKED_OUT,),
        refusals=(404, 409),
        no_body=True,
        notes=f"{_WITH_PREDECESSOR} Both are revoked. {_SAME_TYPE}",
    ),
    "rotate_own_key": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.CALLER,
        status=200,
        success="The key that replaces the one used to sign in; the only response with its secret.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "At once",
                examples.key("ada", KeyType.USER_MANAGEMENT, examples.KEY, by=None, rotated=True),
            ),
            Example(
                "With a day to deploy the new key",
                examples.key(
                    "ada",
                    KeyType.USER_MANAGEMENT,
                    examples.KEY,
                    by=None,
                    used=examples.NOW,
                    rotated=True,
                    overlapping=True,
                ),
                {"overlapSeconds": 86400},
            ),
        ),
        body=bodies.RotateOwnKey,
        body_required=False,
        refusals=(409, 429),
        notes=(
            "For any principal, with a key of any type. Without `overlapSeconds` the old key no longer works "
            "once the response arrives; with it, a caller that lost the response can rotate again."
        ),
    ),
    "find_key": Operation(
        tag=Tag.ACCOUNT,
        status=200,
        success="An array of the keys that match, masked, with their holders; empty if none does.",
        response=tuple[responses.FoundKeyResponse, ...],
        examples=(Example("By its last five characters", (examples.FOUND,), {"last5": examples.KEY[-5:]}),),
        permission=_READS,
        body=bodies.FindKey,
        refusals=(429,),
        notes=(
            "Finds the holder of a leaked key. Its value matches one key at most; its last five characters "
            f"match up to {MAX_FOUND}, in the order of usernames. A key of another account is not found, "
            "nor one with a wrong checksum, which is mistyped."
        ),
    ),
    "whoami": Operation(
        tag=Tag.CALLER,
        status=200,
        success="The caller, and the key used to sign in.",
        response=responses.WhoamiResponse,
        examples=(Example("Ada", examples.WHOAMI),),
        notes="For any principal, with a key of any type.",
    ),
    "invite_user": Operation(
        tag=Tag.USERS,
        status=201,
        success="The invited User. The token is only in the email to them.",
        response=responses.PersonResponse,
        examples=(
            Example(
                "A READ_ONLY User",
                examples.person(examples.KATHERINE, InvitationState.OPEN),
                {
                    "username": "katherine",
                    "email": "katherine@people.example",
                    "role": "READ_ONLY",
                    "displayName": "Katherine",
                },
            ),
        ),
        permission=f"{_MANAGES_USERS} {_GRANTS_NO_HIGHER_ROLE}",
        body=bodies.InviteUser,
        headers=(Header.ETAG, Header.LOCATION),
        refusals=(409, 429),
        leads_to=_OF_USER,
    ),
    "list_users": Operation(
        tag=Tag.USERS,
        status=200,
        success="An array of Users by username; `Link` if there are more.",
        response=tuple[responses.PersonResponse, ...],
        examples=(
            Example(
                "The first page",
                (examples.person(examples.ADA), examples.person(examples.GRACE)),
                query={"limit": "2"},
            ),
        ),
        permission=_READS,
        query=(*_PAGE, Query.ROLE, Query.STATUS, Query.SUSPENDED),
        headers=(Header.LINK, Header.NEXT_CURSOR),
        notes=f"The conditions are combined. {_EXAMINED}",
    ),
    "activate_user": Operation(
        tag=Tag.USERS,
        status=200,
        success="The User with their first keys; the only response with their secrets.",
        response=responses.ActivatedResponse,
        examples=(
            Example(
                "With the token from the email",
                examples.JOAN_ACTIVE,
                {"username": "joan", "token": examples.TOKEN},
            ),
        ),
        body=bodies.ActivateUser,
        refusals=(403, 409),
        signs_in=False,
        notes="For whoever has the one-time token of an invitation email, which is valid for 72 hours.",
    ),
    "read_user": Operation(
        headers=(Header.ETAG,),
        tag=Tag.USERS,
        status=200,
        success="A User.",
        response=responses.PersonResponse,
        examples=(
            Example(
                "A User who has not activated",
                examples.person(examples.JOAN, InvitationState.OPEN),
                username="joan",
            ),
        ),
        permission=_READS,
        refusals=(404,),
    ),
    "update_user": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The changed User.",
        response=responses.UserResponse,
        examples=(Example("A role", examples.GRACE_PROMOTED, {"role": "OWNER"}, "grace"),),
        permission=_MANAGES_USERS,
        body=bodies.UpdateUser,
        refusals=(404, 409, 429),
        notes=(
            "Nobody changes their own role, and an account keeps at least one OWNER. Keys that a lower role "
            "may not hold are revoked in the same write; the role READ_ONLY ends every Administrator link."
        ),
    ),
    "revoke_user": Operation(
        if_match=True,
        tag=Tag.USERS,
        status=204,
        success="The User is revoked; their keys and Administrator links no longer work.",
        response=None,
        examples=(Example("A User", None, username="grace"),),
        permission=_MANAGES_USERS,
        refusals=(404, 409),
        no_body=True,
        notes="An account keeps at least one OWNER.",
    ),
    "invite_user_again": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The User, who is sent a new token. Earlier tokens and keys no longer work.",
        response=responses.PersonResponse,
        examples=(Example("A User", examples.person(examples.JOAN, InvitationState.OPEN), username="joan"),),
        permission=_MANAGES_USERS,
        refusals=(404, 409, 429),
        no_body=True,
        notes="For an invitation that expired, and for a User who lost their keys.",
    ),
    "suspend_user": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The suspended User. Their keys, passkeys and sessions no longer work.",
        response=responses.UserResponse,
        examples=(Example("A User", examples.GRACE_SUSPENDED, username="grace"),),
        permission=_MANAGES_USERS,
        refusals=(404, 409),
        no_body=True,
        notes=(
            "Their keys, passkeys and Administrator links are kept, and work again once they are resumed; "
            "sessions end. Nobody suspends themselves, a User who has not activated, or the account's last "
            "OWNER. One who is suspended already stays so."
        ),
    ),
    "resume_user": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The resumed User. Their keys and passkeys work again.",
        response=responses.UserResponse,
        examples=(Example("A User", examples.GRACE, username="grace"),),
        permission=_SEES_SHOWN_KEYS,
        refusals=(404, 409, 429),
        no_body=True,
        notes="One who is not suspended stays as they are.",
    ),
    "list_shown_keys": Operation(
        tag=Tag.USERS,
        status=200,
        success="Working keys of Service Users that the person was the last to be shown.",
        response=tuple[responses.ShownKeyResponse, ...],
        examples=(Example("The keys that Grace knows", (examples.GRACE_KNOWS,), username="grace"),),
        permission=_SEES_SHOWN_KEYS,
        query=_PAGE,
        headers=(Header.LINK, Header.NEXT_CURSOR),
        refusals=(404,),
        notes=(
            "The person need not be in the account any more. `limit` is the number of Service Users looked "
            "at, so a page may have fewer keys, or none, and still have a next one. A machine that rotates "
            "its own key is the last to be shown it."
        ),
    ),
    "end_shown_keys": Operation(
        tag=Tag.USERS,
        status=200,
        success="The revoked keys. They no longer work.",
        response=responses.EndedKeysResponse,
        examples=(
            Example("The keys that Grace knows", examples.ENDED, username="grace"),
            Example(
                "Grace's access, and the keys she knows",
                examples.ENDED,
                username="grace",
                query={"revokeUser": "true"},
            ),
        ),
        permission=_SEES_SHOWN_KEYS,
        query=(Query.REVOKE_USER, Query.CURSOR),
        headers=(Header.LINK, Header.NEXT_CURSOR),
        refusals=(404, 409),
        no_body=True,
        notes=(
            "With `revokeUser=true` the person is first revoked from the account, whatever becomes of the "
            "keys. A call ends the keys of 25 Service Users at most: while `complete` is false, follow the "
            "`Link` by DELETE. Repeating a call does no harm. Of a predecessor, only that ends."
        ),
    ),
    "list_own_keys": Operation(
        headers=(Header.ETAG,),
        tag=Tag.USERS,
        status=200,
        success="The caller's own keys, masked.",
        response=responses.ApiKeysResponse,
        examples=(Example("Ada's", examples.ADAS_KEYS, username="ada"),),
        permission=_OWN_KEYS,
        refusals=(404,),
    ),
    "generate_own_key": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=201,
        success="The new key; the only response with its secret.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "A key with an expiry",
                examples.key("ada", examples.CHANGES, examples.KEY, expires=examples.LATER),
                {"keyType": examples.CHANGES.value, "expiresAt": examples.LATER},
                "ada",
            ),
        ),
        permission=_OWN_KEYS,
        body=bodies.GenerateKey,
        refusals=(404, 409, 429),
    ),
    "revoke_own_key": Operation(
        if_match=True,
        tag=Tag.USERS,
        status=204,
        success="The key is revoked and no longer works.",
        response=None,
        examples=(
            Example("With a body", None, {"keyType": examples.READS.value}, "ada"),
            Example("Without", None, username="ada", query={"keyType": examples.READS.value}),
        ),
        permission=_OWN_KEYS,
        body=bodies.RevokeKey,
        body_required=False,
        query=(Query.KEY_TYPE, Query.EVEN_IF_LOCKED_OUT),
        refusals=(404, 409),
        notes=_EITHER_WAY,
    ),
    "restrict_own_key": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The changed key, masked.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "A network",
                examples.key("ada", examples.READS, networks=("198.51.100.0/24",)),
                {"keyType": examples.READS.value, "allowedNetworks": ["198.51.100.0/24"]},
                "ada",
            ),
        ),
        permission=_OWN_KEYS,
        body=bodies.RestrictKey,
        refusals=(404, 409, 429),
    ),
    "rotate_own_key_of_type": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The new key; the only response with its secret.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "At once",
                examples.key("ada", examples.READS, examples.KEY, rotated=True),
                {"keyType": examples.READS.value},
                "ada",
            ),
        ),
        permission=_OWN_KEYS,
        body=bodies.RotateKey,
        refusals=(404, 409, 429),
        notes="Without `overlapSeconds` the old key no longer works once the response arrives.",
    ),
    "read_own_key": Operation(
        headers=(Header.ETAG,),
        tag=Tag.USERS,
        status=200,
        success="The key, masked.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "Ada's",
                examples.ADAS_KEYS.api_keys[0],
                username="ada",
                key_type=examples.ADAS_KEYS.api_keys[0].key_type,
            ),
        ),
        permission=_OWN_KEYS,
        refusals=(404,),
        notes=_WITH_PREDECESSOR,
    ),
    "restrict_own_key_of_type": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.USERS,
        status=200,
        success="The changed key, masked.",
        response=responses.ApiKeyResponse,
        examples=(
            Example(
                "One network",
                examples.key("ada", examples.READS, networks=("198.51.100.0/24",)),
                {"allowedNetworks": ["198.51.100.0/24"]},
                "ada",
                key_type=examples.READS,
            ),
        ),
        permission=_OWN_KEYS,
        body=bodies.KeyRestrictions,
        refusals=(404, 409, 429),
        notes=f"{_WITH_PREDECESSOR} Both are restricted.",
    ),
    "revoke_own_key_of_type": Operation(
        if_match=True,
        tag=Tag.USERS,
        status=204,
        success="The key is revoked and no longer works.",
        response=None,
        examples=(Example("One of Ada's", None, username="ada", key_type=examples.READS),),
        permission=_OWN_KEYS,
        query=(Query.EVEN_IF_LOCKED_OUT,),
        refusals=(404, 409),
        no_body=True,
        notes=f"{_WITH_PREDECESSOR} Both are revoked. {_SAME_TYPE}",
    ),
    "read_account": Operation(
        headers=(Header.ETAG,),
        tag=Tag.ACCOUNT,
        status=200,
        success="The account's name, OWNERs and policy.",
        response=responses.AccountResponse,
        examples=(Example("Ada's", examples.ACCOUNT_OF_ADA),),
        permission=_READS_ACCOUNT,
    ),
    "update_account": Operation(
        headers=(Header.ETAG,),
        if_match=True,
        tag=Tag.ACCOUNT,
        status=200,
        success="The changed account.",
        response=responses.AccountResponse,
        examples=(
            Example("Keys expire after half a year", examples.ACCOUNT_CHANGED, {"maxKeyAgeDays": 180}),
        ),
        permission=_CHANGES_ACCOUNT,
        body=bodies.UpdateAccount,
        refusals=(409, 429),
        notes=(
            "`pciCompliance` sets both limits to 90 days, or leaves them lower, and needs two OWNERs who "
            "are activated and not suspended. A daily run revokes expired keys, after notices 10 days and 1 "
            "day before."
        ),
    ),
    "list_events": Operation(
        tag=Tag.ACCOUNT,
        status=200,
        success="An array of events, newest first by default; `Link` if there are more.",
        response=tuple[responses.EventResponse, ...],
        examples=(Example("The events of one Service User", (examples.EVENT,), query={"username": _BOT}),),
        permission=_READS,
        query=(
            Query.USERNAME,
            Query.ACTOR,
            Query.ACTION,
            Query.SINCE,
            Query.UNTIL,
            Query.ORDER,
            *_PAGE,
        ),
        headers=(Header.LINK, Header.NEXT_CURSOR),
        other_media_types={
            "application/x-ndjson": "One event a line, each the JSON object of the array.",
            "text/csv": (
                "A line of column names, then one event a line. In `changes` are the old and the new value "
                'of each field as JSON, as in `name: "a" -> "b"; …`.'
            ),
        },
        notes=(
            "The filters are combined. With `action`, or with both `username` and `actor`, at most 500 "
            "events are read for a page: it can have fewer members than `limit`, or none, although "
            "`Link` says that there are more. A collector asks with `order=oldest`, keeps the last `Link` "
            "and resumes there. `Accept: application/x-ndjson` or `text/csv` returns the page in that form."
        ),
    ),
    "report_leaked_keys": Operation(
        tag=Tag.SYSTEM,
        status=200,
        success="That the report was taken: the same whatever is in it.",
        response=responses.ReceivedResponse,
        examples=(
            Example(
                "As secret scanning reports it",
                responses.ReceivedResponse(received=1),
                [
                    {
                        "token": examples.KEY,
                        "type": "service_users_api_key",
                        "url": "https://github.com/acme/app/blob/main/.env",
                    }
                ],
            ),
        ),
        body=bodies.LeakedKey,
        body_list=MAX_REPORTED,
        signs_in=False,
        refusals=(429,),
        notes=(
            "For anybody. Keys that work are revoked at once, unless the account's policy "
            "(`revokeLeakedKeys`) says only to notify; Administrators, or the person, and OWNERs are mailed. "
            f"At most {MAX_REPORTED} entries."
        ),
    ),
    "health": Operation(
        tag=Tag.SYSTEM,
        status=200,
        success="The API is healthy.",
        response=system.Health,
        examples=(
            Example("Healthy", examples.HEALTH),
            Example("Tables", examples.HEALTH_AND_TABLES, query={"check": "state"}),
        ),
        notes="For monitors. Reads no table; with `check=state` both of them, once in ten seconds at most.",
        query=(Query.CHECK,),
        refusals=(503,),
        signs_in=False,
        reads=False,
    ),
    "openapi": Operation(
        tag=Tag.SYSTEM,
        status=200,
        success="This document, with the API's public address.",
        response=dict[str, Any],
        examples=(),
        headers=(Header.NO_SNIFFING, Header.VARY),
        signs_in=False,
        reads=False,
    ),
    "docs": Operation(
        tag=Tag.SYSTEM,
        status=200,
        success="The API reference as a page, which loads nothing from another host.",
        response=str,
        examples=(),
        headers=(Header.SECURITY, Header.OPENER, Header.NO_SNIFFING, Header.VARY),
        signs_in=False,
        reads=False,
        media_type="text/html",
    ),
}

PARTS_OF_THE_PAGE = frozenset({"docs_asset"})
"""Views that serve the files of the page ``/docs``. They are not in the document."""
