"""What the types do not say of the API's calls, one entry per view of ``app.py``, by its name.

The OpenAPI document is written from this, the types and the routes (``openapi``), and the tests hold
every entry against what the API does. Nothing that serves a request imports this.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from chalice.app import Response

from chalicelib.http import account, answers, bodies, examples, keys, people, service_users, system
from chalicelib.rules import access
from chalicelib.rules.roles import KeyType


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
    body: type[bodies.Body] | None = None
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


_CHANGE = (access.manage_anything, access.change)
_HAND_OUT = (*_CHANGE, access.hand_out_keys)
_OWN = (access.own_keys,)
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
        answers.ServiceUserAnswer,
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
        (access.manage_anything, access.see_service_users, access.grant),
        body=bodies.CreateServiceUser,
        headers=(Header.LOCATION, Header.ETAG),
        refusals=(409,),
        leads_to=_OF_SERVICE_USER,
        more="Whoever makes a Service User becomes its Administrator.",
    ),
    "list_service_users": Operation(
        Tag.SERVICE_USERS,
        service_users.listing,
        tuple[answers.ServiceUserAnswer, ...],
        (Asked("The first page", (examples.BACKUP_BOT,), query={"limit": "1"}),),
        (access.manage_anything, access.see_service_users),
        query=_LISTED,
        headers=(Header.LINK,),
    ),
    "read_service_user": Operation(
        Tag.SERVICE_USERS,
        service_users.read,
        answers.ServiceUserAnswer,
        (Asked("A Service User", examples.METRICS_BOT, username=_BOT),),
        (access.see_service_users,),
        headers=(Header.ETAG,),
        refusals=(404,),
        more="A Service User may read itself, with a key of any type.",
    ),
    "update_service_user": Operation(
        Tag.SERVICE_USERS,
        service_users.update,
        answers.ServiceUserAnswer,
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
        (*_CHANGE, access.grant),
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
        answers.ApiKeyAnswer,
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
        answers.ApiKeyAnswer,
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
        answers.ApiKeyAnswer,
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
        answers.ApiKeyAnswer,
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
        answers.WhoamiAnswer,
        (Asked("Ada", examples.WHOAMI),),
        more="For any principal, with a key of any type.",
    ),
    "invite_user": Operation(
        Tag.PEOPLE,
        people.invite,
        answers.UserAnswer,
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
        (access.run_people, access.grant),
        body=bodies.InviteUser,
        headers=(Header.LOCATION,),
        refusals=(409,),
        leads_to=_OF_USER,
    ),
    "list_users": Operation(
        Tag.PEOPLE,
        people.listing,
        tuple[answers.UserAnswer, ...],
        (Asked("The first page", (examples.ADA, examples.GRACE), query={"limit": "2"}),),
        (access.see_people,),
        query=_LISTED,
        headers=(Header.LINK,),
    ),
    "activate_user": Operation(
        Tag.PEOPLE,
        people.activate,
        answers.ActivatedAnswer,
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
        people.read,
        answers.UserAnswer,
        (Asked("A person who has not activated", examples.JOAN, username="joan"),),
        (access.see_people,),
        refusals=(404,),
    ),
    "update_user": Operation(
        Tag.PEOPLE,
        people.update,
        answers.UserAnswer,
        (Asked("A role", examples.GRACE_PROMOTED, {"role": "OWNER"}, "grace"),),
        (access.run_people,),
        body=bodies.UpdateUser,
        refusals=(404, 409),
        more=(
            "Nobody changes their own role, and an account keeps an OWNER. Keys that a lower role may not "
            "hold are revoked in the same write; falling to READ_ONLY ends every Administrator link."
        ),
    ),
    "revoke_user": Operation(
        Tag.PEOPLE,
        people.revoke,
        None,
        (Asked("A person", None, username="grace"),),
        (access.run_people,),
        refusals=(404, 409),
        no_body=True,
        more="An account keeps an OWNER.",
    ),
    "invite_user_again": Operation(
        Tag.PEOPLE,
        people.invite_again,
        answers.UserAnswer,
        (Asked("A person", examples.JOAN, username="joan"),),
        (access.run_people,),
        refusals=(404, 409),
        no_body=True,
        more="For an invitation that ran out, and for a person who lost their keys.",
    ),
    "list_own_keys": Operation(
        Tag.PEOPLE,
        people.list_keys,
        answers.ApiKeysAnswer,
        (Asked("Ada's", examples.ADAS_KEYS, username="ada"),),
        _OWN,
        refusals=(404,),
    ),
    "generate_own_key": Operation(
        Tag.PEOPLE,
        people.generate_key,
        answers.ApiKeyAnswer,
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
        people.revoke_key,
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
        people.restrict_key,
        answers.ApiKeyAnswer,
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
        people.rotate_key,
        answers.ApiKeyAnswer,
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
        answers.AccountAnswer,
        (Asked("Ada's", examples.ACCOUNT_OF_ADA),),
        (access.see_account,),
    ),
    "update_account": Operation(
        Tag.ACCOUNT,
        account.update,
        answers.AccountAnswer,
        (Asked("Keys end after half a year", examples.ACCOUNT_CHANGED, {"maxKeyAgeDays": 180}),),
        (access.run_account,),
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
        tuple[answers.EventAnswer, ...],
        (Asked("What was done to one Service User", (examples.EVENT,), query={"username": _BOT}),),
        (access.see_account,),
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
