"""What the types do not say of the API's calls, one entry per view of ``app.py``, by its name.

The OpenAPI document is written from this, the types and the routes (``openapi``), and the tests hold
every entry against what the API does. Nothing that serves a request imports this.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from chalice.app import Response

from chalicelib.http import account, bodies, keys, responses, service_users, system, users, validation
from chalicelib.rules import permissions
from chalicelib.rules.roles import KeyType
from contract import examples


class Tag(Enum):
    """The sections of the reference, and what they are about."""

    SERVICE_USERS = (
        "Service Users",
        "Machine identities with API keys, administered by people.",
    )
    CALLER = ("The caller", "What any principal, with a key of any type, may ask and do about itself.")
    PEOPLE = ("People", "The Users of the account, and the keys each manages for themselves.")
    ACCOUNT = ("The account", "Its name, its policy on keys, and the record of what happened in it.")
    SYSTEM = ("The API itself", "For anyone, without signing in.")


class Query(Enum):
    """The query parameters there are."""

    LIMIT = "limit"
    CURSOR = "cursor"
    USERNAME = "username"
    KEY_TYPE = "keyType"


class Header(Enum):
    """The headers answers have beside those that every answer has."""

    ETAG = "ETag"
    LOCATION = "Location"
    LINK = "Link"
    SECURITY = "Content-Security-Policy"
    NO_SNIFFING = "X-Content-Type-Options"


class Asked(NamedTuple):
    """An example: a request of Ada's, and its answer."""

    title: str
    answer: Any
    body: dict[str, Any] | None = None
    username: str | None = None
    query: dict[str, str] = {}


class Operation(NamedTuple):
    """A call. ``view``'s docstring tells status and answer, the guards' who may; 500 may always happen.

    ``refusals`` are the statuses beside those that follow from signing in, from taking a body and from
    reading tables; ``no_body`` is for a call that refuses one where others do not look. ``leads_to`` are
    the calls that the username in the answer is good for.
    """

    tag: Tag
    view: Callable[..., Response]
    answer: Any
    asked: tuple[Asked, ...]
    guards: tuple[Callable[..., Any], ...] = ()
    body: type[validation.Body] | None = None
    body_required: bool = True
    query: tuple[Query, ...] = ()
    headers: tuple[Header, ...] = ()
    refusals: tuple[int, ...] = ()
    signs_in: bool = True
    reads: bool = True
    if_match: bool = False
    no_body: bool = False
    media_type: str = "application/json"
    leads_to: tuple[str, ...] = ()
    more: str = ""

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status the call may answer with, but for the one of success."""
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


_CHANGE = (permissions.require_administers,)
_HAND_OUT = (*_CHANGE, permissions.require_can_issue_keys)
_OWN = (permissions.require_own_keys,)
_LISTED = (Query.LIMIT, Query.CURSOR)
_EITHER_WAY = (
    "Give `keyType` in the body or in the query, for clients that cannot send a body; never in both."
)

_BOT = "metrics-bot"
_OF_SERVICE_USER = (
    "read_service_user",
    "update_service_user",
    "delete_service_user",
    "generate_service_user_key",
    "rotate_service_user_key",
    "restrict_service_user_key",
    "revoke_service_user_key",
)
_OF_USER = ("read_user", "update_user", "invite_user_again", "revoke_user")

OPERATIONS: dict[str, Operation] = {
    "create_service_user": Operation(
        Tag.SERVICE_USERS,
        service_users.create,
        responses.ServiceUserAnswer,
        (
            Asked(
                "A Service User with a key of every type its role allows",
                examples.REPORT_BOT,
                {"username": "report-bot", "email": "report-bot@machines.example", "role": "READ_ONLY"},
            ),
            Asked(
                "One key, for two networks and until a date",
                examples.DEPLOY_BOT,
                {
                    "username": "deploy-bot",
                    "email": "deploy-bot@machines.example",
                    "profile": "CLUSTER_ADMIN",
                    "displayName": "Deployments",
                    "keyTypes": ["PROVISIONING"],
                    "allowedNetworks": ["203.0.113.0/24", "2001:db8::/32"],
                    "expiresAt": examples.LATER,
                },
            ),
        ),
        (permissions.require_can_manage_service_users, permissions.require_can_grant),
        body=bodies.CreateServiceUser,
        headers=(Header.LOCATION, Header.ETAG),
        refusals=(409,),
        leads_to=_OF_SERVICE_USER,
        more="Whoever makes a Service User becomes its Administrator.",
    ),
    "list_service_users": Operation(
        Tag.SERVICE_USERS,
        service_users.listing,
        tuple[responses.ServiceUserAnswer, ...],
        (Asked("The first page", (examples.BACKUP_BOT,), query={"limit": "1"}),),
        (permissions.require_can_manage_service_users,),
        query=_LISTED,
        headers=(Header.LINK,),
    ),
    "read_service_user": Operation(
        Tag.SERVICE_USERS,
        service_users.read,
        responses.ServiceUserAnswer,
        (Asked("A Service User", examples.METRICS_BOT, username=_BOT),),
        (permissions.require_can_manage_service_users,),
        headers=(Header.ETAG,),
        refusals=(404,),
        more="A Service User may read itself, with a key of any type.",
    ),
    "update_service_user": Operation(
        Tag.SERVICE_USERS,
        service_users.update,
        responses.ServiceUserAnswer,
        (
            Asked(
                "Another name, a higher role and a second Administrator",
                examples.METRICS_BOT_CHANGED,
                {
                    "displayName": "Metrics and backups",
                    "role": "CLUSTER_ADMIN",
                    "administrators": ["ada", "grace"],
                },
                _BOT,
            ),
        ),
        (*_CHANGE, permissions.require_can_grant),
        body=bodies.UpdateServiceUser,
        headers=(Header.ETAG,),
        refusals=(404, 409),
        if_match=True,
        more="Keys that a lower role may not hold are revoked in the same write.",
    ),
    "delete_service_user": Operation(
        Tag.SERVICE_USERS,
        service_users.delete,
        None,
        (Asked("A Service User", None, username=_BOT),),
        _CHANGE,
        refusals=(404, 409),
        if_match=True,
        no_body=True,
    ),
    "generate_service_user_key": Operation(
        Tag.SERVICE_USERS,
        service_users.generate_key,
        responses.ApiKeyAnswer,
        (
            Asked(
                "A key for one network",
                examples.key(
                    "backup-bot",
                    KeyType.PROVISIONING_READONLY,
                    examples.KEY,
                    networks=("203.0.113.0/24",),
                ),
                {"keyType": "PROVISIONING_READONLY", "allowedNetworks": ["203.0.113.0/24"]},
                "backup-bot",
            ),
        ),
        _HAND_OUT,
        body=bodies.GenerateKey,
        refusals=(404, 409),
    ),
    "revoke_service_user_key": Operation(
        Tag.SERVICE_USERS,
        service_users.revoke_key,
        None,
        (
            Asked("With a body", None, {"keyType": "MONITORING"}, _BOT),
            Asked("Without", None, username=_BOT, query={"keyType": "MONITORING"}),
        ),
        _CHANGE,
        body=bodies.RevokeKey,
        body_required=False,
        query=(Query.KEY_TYPE,),
        refusals=(404, 409),
        more=_EITHER_WAY,
    ),
    "restrict_service_user_key": Operation(
        Tag.SERVICE_USERS,
        service_users.restrict_key,
        responses.ApiKeyAnswer,
        (
            Asked(
                "Two networks",
                examples.key(_BOT, KeyType.MONITORING, networks=("203.0.113.0/24", "2001:db8::/32")),
                {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24", "2001:db8::/32"]},
                _BOT,
            ),
        ),
        _CHANGE,
        body=bodies.RestrictKey,
        refusals=(404, 409),
    ),
    "rotate_service_user_key": Operation(
        Tag.SERVICE_USERS,
        service_users.rotate_key,
        responses.ApiKeyAnswer,
        (
            Asked(
                "With a day to bring the new key out in",
                examples.key(_BOT, KeyType.MONITORING, examples.KEY, rotated=True, overlapping=True),
                {"keyType": "MONITORING", "overlapSeconds": 86400},
                _BOT,
            ),
        ),
        _HAND_OUT,
        body=bodies.RotateKey,
        refusals=(404, 409),
        more="Without `overlapSeconds` the old key is dead when the answer arrives.",
    ),
    "rotate_own_key": Operation(
        Tag.CALLER,
        keys.rotate_own,
        responses.ApiKeyAnswer,
        (
            Asked(
                "At once",
                examples.key("ada", KeyType.USER_MANAGEMENT, examples.KEY, by=None, rotated=True),
            ),
            Asked(
                "With a day to bring the new key out in",
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
        refusals=(409,),
        more=(
            "For any principal, with a key of any type. Without `overlapSeconds` the old key is dead when "
            "the answer arrives; with it, an answer that was lost can be asked for again."
        ),
    ),
    "whoami": Operation(
        Tag.CALLER,
        account.whoami,
        responses.WhoamiAnswer,
        (Asked("Ada", examples.WHOAMI),),
        more="For any principal, with a key of any type.",
    ),
    "invite_user": Operation(
        Tag.PEOPLE,
        users.invite,
        responses.UserAnswer,
        (
            Asked(
                "A person who may look",
                examples.KATHERINE,
                {
                    "username": "katherine",
                    "email": "katherine@people.example",
                    "role": "READ_ONLY",
                    "displayName": "Katherine",
                },
            ),
        ),
        (permissions.require_can_manage_users, permissions.require_can_grant),
        body=bodies.InviteUser,
        headers=(Header.LOCATION,),
        refusals=(409,),
        leads_to=_OF_USER,
    ),
    "list_users": Operation(
        Tag.PEOPLE,
        users.listing,
        tuple[responses.UserAnswer, ...],
        (Asked("The first page", (examples.ADA, examples.GRACE), query={"limit": "2"}),),
        (permissions.require_can_list_users,),
        query=_LISTED,
        headers=(Header.LINK,),
    ),
    "activate_user": Operation(
        Tag.PEOPLE,
        users.activate,
        responses.ActivatedAnswer,
        (
            Asked(
                "With the token of the email",
                examples.JOAN_ACTIVE,
                {"username": "joan", "token": examples.TOKEN},
            ),
        ),
        body=bodies.ActivateUser,
        refusals=(409,),
        signs_in=False,
        more="For whoever has the one-time token of an invitation email, which is good for 72 hours.",
    ),
    "read_user": Operation(
        Tag.PEOPLE,
        users.read,
        responses.UserAnswer,
        (Asked("A person who has not activated", examples.JOAN, username="joan"),),
        (permissions.require_can_list_users,),
        refusals=(404,),
    ),
    "update_user": Operation(
        Tag.PEOPLE,
        users.update,
        responses.UserAnswer,
        (Asked("A role", examples.GRACE_PROMOTED, {"role": "OWNER"}, "grace"),),
        (permissions.require_can_manage_users,),
        body=bodies.UpdateUser,
        refusals=(404, 409),
        more=(
            "Nobody changes their own role, and an account keeps an OWNER. Keys that a lower role may not "
            "hold are revoked in the same write; falling to READ_ONLY ends every Administrator link."
        ),
    ),
    "revoke_user": Operation(
        Tag.PEOPLE,
        users.revoke,
        None,
        (Asked("A person", None, username="grace"),),
        (permissions.require_can_manage_users,),
        refusals=(404, 409),
        no_body=True,
        more="An account keeps an OWNER.",
    ),
    "invite_user_again": Operation(
        Tag.PEOPLE,
        users.invite_again,
        responses.UserAnswer,
        (Asked("A person", examples.JOAN, username="joan"),),
        (permissions.require_can_manage_users,),
        refusals=(404, 409),
        no_body=True,
        more="For an invitation that ran out, and for a person who lost their keys.",
    ),
    "list_own_keys": Operation(
        Tag.PEOPLE,
        users.list_keys,
        responses.ApiKeysAnswer,
        (Asked("Ada's", examples.ADAS_KEYS, username="ada"),),
        _OWN,
        refusals=(404,),
    ),
    "generate_own_key": Operation(
        Tag.PEOPLE,
        users.generate_key,
        responses.ApiKeyAnswer,
        (
            Asked(
                "A key that ends by itself",
                examples.key("ada", KeyType.PROVISIONING, examples.KEY, expires=examples.LATER),
                {"keyType": "PROVISIONING", "expiresAt": examples.LATER},
                "ada",
            ),
        ),
        _OWN,
        body=bodies.GenerateKey,
        refusals=(404, 409),
    ),
    "revoke_own_key": Operation(
        Tag.PEOPLE,
        users.revoke_key,
        None,
        (
            Asked("With a body", None, {"keyType": "MONITORING"}, "ada"),
            Asked("Without", None, username="ada", query={"keyType": "MONITORING"}),
        ),
        _OWN,
        body=bodies.RevokeKey,
        body_required=False,
        query=(Query.KEY_TYPE,),
        refusals=(404, 409),
        more=_EITHER_WAY,
    ),
    "restrict_own_key": Operation(
        Tag.PEOPLE,
        users.restrict_key,
        responses.ApiKeyAnswer,
        (
            Asked(
                "A network",
                examples.key("ada", KeyType.MONITORING, networks=("198.51.100.0/24",)),
                {"keyType": "MONITORING", "allowedNetworks": ["198.51.100.0/24"]},
                "ada",
            ),
        ),
        _OWN,
        body=bodies.RestrictKey,
        refusals=(404, 409),
    ),
    "rotate_own_key_of_type": Operation(
        Tag.PEOPLE,
        users.rotate_key,
        responses.ApiKeyAnswer,
        (
            Asked(
                "At once",
                examples.key("ada", KeyType.MONITORING, examples.KEY, rotated=True),
                {"keyType": "MONITORING"},
                "ada",
            ),
        ),
        _OWN,
        body=bodies.RotateKey,
        refusals=(404, 409),
        more="Without `overlapSeconds` the old key is dead when the answer arrives.",
    ),
    "read_account": Operation(
        Tag.ACCOUNT,
        account.read,
        responses.AccountAnswer,
        (Asked("Ada's", examples.ACCOUNT_OF_ADA),),
        (permissions.require_can_read_account,),
    ),
    "update_account": Operation(
        Tag.ACCOUNT,
        account.update,
        responses.AccountAnswer,
        (Asked("Keys end after half a year", examples.ACCOUNT_CHANGED, {"maxKeyAgeDays": 180}),),
        (permissions.require_can_change_account,),
        body=bodies.UpdateAccount,
        refusals=(409,),
        more=(
            "`pciCompliance` brings both ages to 90 days, or leaves them lower, and needs two OWNERs who "
            "have activated. What is over is revoked daily, after emails 10 days and 1 day before."
        ),
    ),
    "list_events": Operation(
        Tag.ACCOUNT,
        account.events,
        tuple[responses.EventAnswer, ...],
        (Asked("What was done to one Service User", (examples.EVENT,), query={"username": _BOT}),),
        (permissions.require_can_read_events,),
        query=(Query.USERNAME, *_LISTED),
        headers=(Header.LINK,),
    ),
    "health": Operation(
        Tag.SYSTEM,
        system.health,
        system.Health,
        (Asked("It answers", examples.HEALTH),),
        signs_in=False,
        reads=False,
    ),
    "openapi": Operation(
        Tag.SYSTEM,
        system.openapi,
        dict[str, Any],
        (),
        headers=(Header.NO_SNIFFING,),
        signs_in=False,
        reads=False,
    ),
    "docs": Operation(
        Tag.SYSTEM,
        system.docs,
        str,
        (),
        headers=(Header.SECURITY, Header.NO_SNIFFING),
        signs_in=False,
        reads=False,
        media_type="text/html",
    ),
}

PARTS_OF_THE_PAGE = frozenset({"docs_asset"})
"""Views that serve what ``/docs`` is made of, and are no calls."""
