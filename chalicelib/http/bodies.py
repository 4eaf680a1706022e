"""Request bodies: the fields that each call takes, and the rules between them.

The types are the contract: ``validation`` checks requests against them, and the
OpenAPI document is written from them.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from chalicelib.http.validation import Body, Cidr, Moment, list_names
from chalicelib.rules import networks
from chalicelib.rules.api_keys import MAX_OVERLAP
from chalicelib.rules.errors import FieldError
from chalicelib.rules.key_format import SHAPE
from chalicelib.rules.lifetimes import (
    EXPIRY_IN_THE_PAST,
    MAX_POLICY_DAYS,
    MIN_POLICY_DAYS,
    PCI_BROKEN,
    exceeds_pci_limit,
)
from chalicelib.rules.names import EMAIL, LABEL_NAME, LABEL_VALUE, USERNAME, reserved_username_error
from chalicelib.rules.roles import KeyType, Role
from chalicelib.rules.service_users import MAX_ADMINISTRATORS, MAX_LABELS

Username = Annotated[
    str,
    Meta(
        pattern=USERNAME,
        min_length=3,
        max_length=64,
        description=(
            "3 to 64 of the letters a to z in either case, digits, '.', '_' and '-'; "
            "unique without regard to case."
        ),
        examples=["metrics-bot"],
    ),
]
Email = Annotated[
    str,
    Meta(
        pattern=EMAIL,
        max_length=254,
        description=(
            "an email address, such as bot@example.com; unique in the account after folding case, '+tag's "
            "and Gmail's dots."
        ),
        examples=["metrics-bot@example.com"],
        extra_json_schema={"format": "email"},
    ),
]
_NAME = "Display name, without control characters, line ends and characters that change the direction of text"
DisplayName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description=f"{_NAME}; the username if not given.",
    ),
]
_ONCE_EACH = {"uniqueItems": True}

AllowedNetworks = Annotated[
    tuple[Cidr, ...],
    Meta(
        max_length=networks.MAX_NETWORKS,
        description="IPv4 and IPv6 networks from which the key works; an empty list allows every address.",
        extra_json_schema=_ONCE_EACH,
    ),
]
ExpiresAt = Annotated[
    Moment, Meta(description="Expiry of the key: a time in the future (RFC 3339); null for no expiry.")
]
OverlapSeconds = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_OVERLAP,
        description=(
            "Seconds for which the predecessor (the old key) keeps working beside the new one, at most "
            "604800 (7 days); 0 revokes it at once."
        ),
    ),
]
PolicyDays = Annotated[
    int,
    Meta(
        ge=MIN_POLICY_DAYS,
        le=MAX_POLICY_DAYS,
        description="Days; null for no limit. At most 90 with `pciCompliance`.",
    ),
]
EvenIfLockedOut = Annotated[
    bool,
    Meta(
        description=(
            "Whether to do it even if it locks the caller out, or takes the only OWNER's USER_MANAGEMENT "
            "key; without it, that is refused (409). Of no effect on keys of Service Users."
        )
    ),
]
Administrators = Annotated[
    tuple[Username, ...],
    Meta(
        max_length=MAX_ADMINISTRATORS,
        description=(
            "Usernames of OWNER or CLUSTER_ADMIN Users of the account; at least one, unless none is left. "
            "At a creation, the caller if not given."
        ),
        extra_json_schema=_ONCE_EACH,
    ),
]
Description = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=500,
        description="What it is for: a text of the characters that a display name may have; null for none.",
    ),
]
Labels = Annotated[
    dict[
        Annotated[
            str,
            Meta(
                pattern=rf"^{LABEL_NAME}\Z",
                description=(
                    "a name of 1 to 63 letters, digits, '.', '_', '/' and '-', with a letter or digit at "
                    "both ends."
                ),
            ),
        ],
        Annotated[
            str,
            Meta(
                pattern=rf"^{LABEL_VALUE}\Z",
                description=(
                    "a value of up to 63 letters, digits, '.', '_' and '-', with a letter or digit at both "
                    "ends."
                ),
            ),
        ],
    ],
    Meta(
        max_length=MAX_LABELS,
        description=(
            "Labels, values by name, to find Service Users by. A name has 1 to 63 letters, digits, '.', '_', "
            "'/' and '-', a value up to 63 letters, digits, '.', '_' and '-'; both begin and end with a "
            "letter or digit. Case counts."
        ),
        examples=[{"team": "payments", "environment": "production"}],
    ),
]
AccountName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description=f"{_NAME}.",
    ),
]


class KeyTerms(Body, frozen=True, kw_only=True):
    """The restrictions of a key."""

    allowed_networks: AllowedNetworks | UnsetType = UNSET
    expires_at: ExpiresAt | UnsetType | None = UNSET

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Require an expiry in the future, and each network once."""
        yield from super().cross(given, names, now)
        ends = given.get("expiresAt")
        if isinstance(ends, int) and ends <= now:
            yield FieldError("/expiresAt", EXPIRY_IN_THE_PAST)
        allowed = given.get("allowedNetworks", ())
        for place, network in enumerate(allowed):
            if network in allowed[:place]:
                yield FieldError(f"/allowedNetworks/{place}", f"'{network}' is given twice.")


class CreateServiceUser(KeyTerms, frozen=True, kw_only=True):
    """A Service User to create. ``role`` and ``profile`` are one field under two names; give either."""

    username: Username
    email: Email
    role: Role | UnsetType = UNSET
    profile: Role | UnsetType = UNSET
    display_name: DisplayName | UnsetType = UNSET
    key_types: (
        Annotated[
            tuple[KeyType, ...],
            Meta(
                max_length=len(KeyType),
                description=(
                    "The types of keys to generate: name only those that the machine needs. If not given, "
                    "every type that its role allows."
                ),
                extra_json_schema=_ONCE_EACH,
            ),
        ]
        | UnsetType
    ) = UNSET

    administrators: Administrators | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    labels: Labels | UnsetType = UNSET

    @property
    def effective_role(self) -> Role:
        """The requested role, from ``role`` or ``profile``."""
        return next(role for role in (self.role, self.profile) if isinstance(role, Role))

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Require one role, key types that it may hold, and Administrators, each once."""
        yield from super().cross(given, names, now)
        yield from _administrators_once(given)
        role, profile = given.get("role"), given.get("profile")
        if "role" not in names and "profile" not in names:
            yield FieldError("/role", "This field is required (or 'profile', its other name).")
        if role is not None and profile is not None and role is not profile:
            yield FieldError(
                "/profile", "'profile' is another name of 'role', and the two differ. Give one of them."
            )
        key_types: tuple[KeyType, ...] = given.get("keyTypes", ())
        holder = role or profile
        for place, key_type in enumerate(key_types):
            if key_type in key_types[:place]:
                yield FieldError(f"/keyTypes/{place}", f"{key_type.value} is given twice.")
            elif holder is not None and key_type not in holder.key_types():
                yield FieldError(
                    f"/keyTypes/{place}", f"A {holder.value} may hold {list_names(holder.key_types())}."
                )

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        """Return schemas for one role under either name, and for the key types that it may hold."""
        one_role = [
            {
                "properties": {
                    "role": {"const": role.value},
                    "profile": {"const": role.value},
                    "keyTypes": {"items": {"enum": [key_type.value for key_type in role.key_types()]}},
                }
            }
            for role in Role
        ]
        return [{"anyOf": [{"required": ["role"]}, {"required": ["profile"]}]}, {"anyOf": one_role}]


_READ_ONLY = "Read-only: as it was read, or left out."
ReadOnly = Annotated[Any, Meta(description=_READ_ONLY, extra_json_schema={"readOnly": True})]
"""A field of the response, so that a client may send back what it read. It cannot be changed."""


Counted = Annotated[
    Any,
    Meta(description="Read-only: may be sent, and is not compared.", extra_json_schema={"readOnly": True}),
]
"""A number in the response that changes with the calls of others."""


class UpdateServiceUser(Body, frozen=True, kw_only=True):
    """Changes to a Service User; fields not given stay. All that was read may be sent back."""

    account: ReadOnly | UnsetType = UNSET
    username: ReadOnly | UnsetType = UNSET
    email: ReadOnly | UnsetType = UNSET
    created_at: ReadOnly | UnsetType = UNSET
    api_keys: ReadOnly | UnsetType = UNSET
    keys_below_role: ReadOnly | UnsetType = UNSET
    suspended_at: ReadOnly | UnsetType = UNSET
    suspended_by: ReadOnly | UnsetType = UNSET
    display_name: DisplayName | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    administrators: Administrators | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    labels: Labels | UnsetType = UNSET

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Require each Administrator once."""
        yield from super().cross(given, names, now)
        yield from _administrators_once(given)


class GenerateKey(KeyTerms, frozen=True, kw_only=True):
    """A key to generate, of a type of which the holder has none."""

    key_type: KeyType


class RestrictKey(KeyTerms, frozen=True, kw_only=True):
    """New restrictions of a key; fields not given stay, and ``expiresAt`` null removes the expiry."""

    key_type: KeyType
    even_if_locked_out: EvenIfLockedOut | UnsetType = UNSET


SameKeyType = Annotated[KeyType, Meta(description="The type in the path. It need not be given.")]


class KeyRestrictions(KeyTerms, frozen=True, kw_only=True):
    """New restrictions of the key in the path; fields not given stay, ``expiresAt`` null removes it."""

    key_type: SameKeyType | UnsetType = UNSET
    even_if_locked_out: EvenIfLockedOut | UnsetType = UNSET


class RevokeKeyOfType(Body, frozen=True, kw_only=True):
    """What may be said of the revocation of the key in the path."""

    key_type: SameKeyType | UnsetType = UNSET
    even_if_locked_out: EvenIfLockedOut | UnsetType = UNSET


class RevokeKey(Body, frozen=True, kw_only=True):
    """A key to revoke."""

    key_type: KeyType
    even_if_locked_out: EvenIfLockedOut | UnsetType = UNSET


class RotateKey(Body, frozen=True, kw_only=True):
    """A key to rotate."""

    key_type: KeyType
    overlap_seconds: OverlapSeconds = 0


class RotateOwnKey(Body, frozen=True, kw_only=True):
    """How to rotate the key used to sign in."""

    overlap_seconds: OverlapSeconds = 0


class FindKey(Body, frozen=True, kw_only=True):
    """A key to find the holder of: by its value, or by its last five characters."""

    key: (
        Annotated[
            str,
            Meta(pattern=rf"^{SHAPE}\Z", description="a whole API key: 'suk_' and 49 letters and digits."),
        ]
        | UnsetType
    ) = UNSET
    last5: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9A-Za-z]{5}\Z",
                description="the last five characters of a key, as emails, events and lists show them.",
                examples=["VOQuO"],
            ),
        ]
        | UnsetType
    ) = UNSET

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Also: one of the two."""
        yield from super().cross(given, names, now)
        if ("key" in names) is ("last5" in names):
            yield FieldError("/key", "Give either the key or its last five characters ('last5').")

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        """One of the two."""
        return [{"oneOf": [{"required": ["key"]}, {"required": ["last5"]}]}]


class InviteUser(Body, frozen=True, kw_only=True):
    """A User to invite."""

    username: Username
    email: Email
    role: Role
    display_name: DisplayName | UnsetType = UNSET

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Require a username that a User may have."""
        yield from super().cross(given, names, now)
        yield from _username_of_user(given)


class UpdateUser(Body, frozen=True, kw_only=True):
    """Changes to a User; fields not given stay. All that was read may be sent back."""

    account: ReadOnly | UnsetType = UNSET
    username: ReadOnly | UnsetType = UNSET
    email: ReadOnly | UnsetType = UNSET
    status: ReadOnly | UnsetType = UNSET
    invited_by: ReadOnly | UnsetType = UNSET
    created_at: ReadOnly | UnsetType = UNSET
    invitation: ReadOnly | UnsetType = UNSET
    suspended_at: ReadOnly | UnsetType = UNSET
    suspended_by: ReadOnly | UnsetType = UNSET
    email_failure: ReadOnly | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    display_name: DisplayName | UnsetType = UNSET


class ActivateUser(Body, frozen=True, kw_only=True):
    """An invitation to accept."""

    username: str
    token: str


class UpdateAccount(Body, frozen=True, kw_only=True):
    """Changes to an account; fields not given stay, null removes a limit. All that was read may be sent."""

    account: ReadOnly | UnsetType = UNSET
    owners: ReadOnly | UnsetType = UNSET
    created_at: ReadOnly | UnsetType = UNSET
    user_count: Counted | UnsetType = UNSET
    service_user_count: Counted | UnsetType = UNSET
    name: AccountName | UnsetType = UNSET
    max_key_age_days: PolicyDays | UnsetType | None = UNSET
    revoke_inactive_after_days: PolicyDays | UnsetType | None = UNSET
    pci_compliance: bool | UnsetType = UNSET
    machines_manage_owners: (
        Annotated[
            bool,
            Meta(
                description=(
                    "Whether a Service User with the role OWNER may invite, change and revoke OWNERs. "
                    "Without it, only OWNER Users can."
                )
            ),
        ]
        | UnsetType
    ) = UNSET

    revoke_leaked_keys: (
        Annotated[
            bool,
            Meta(
                description=(
                    "Whether a key that somebody reports as leaked is revoked at once. Without it, the "
                    "people concerned are only notified."
                )
            ),
        ]
        | UnsetType
    ) = UNSET

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Require limits that ``pciCompliance`` allows, if both are given."""
        yield from super().cross(given, names, now)
        if given.get("pciCompliance") is True:
            for name in ("maxKeyAgeDays", "revokeInactiveAfterDays"):
                if name in given and exceeds_pci_limit(given[name]):
                    yield FieldError(f"/{name}", PCI_BROKEN)


class LeakedKey(Body, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A key that somebody found. Fields that secret scanners add are not looked at."""

    token: Annotated[str, Meta(max_length=1000, description="What was found.")]
    type: Annotated[str, Meta(max_length=200, description="What the finder calls it.")] | UnsetType = UNSET
    url: Annotated[str, Meta(max_length=2000, description="Where it was found.")] | UnsetType = UNSET


class CreateAccount(Body, frozen=True, kw_only=True):
    """An account to create, with its first OWNER."""

    account_name: AccountName
    username: Username
    email: Email
    display_name: DisplayName | UnsetType = UNSET

    @classmethod
    def cross(cls, given: Mapping[str, Any], names: Collection[str], now: float) -> Iterator[FieldError]:
        """Require a username that a User may have."""
        yield from super().cross(given, names, now)
        yield from _username_of_user(given)


class RecoverOwner(Body, frozen=True, kw_only=True):
    """An OWNER who is locked out."""

    username: Username


def _username_of_user(given: Mapping[str, Any]) -> Iterator[FieldError]:
    if why := reserved_username_error(given.get("username", "")):
        yield FieldError("/username", why)


def _administrators_once(given: Mapping[str, Any]) -> Iterator[FieldError]:
    asked = given.get("administrators", ())
    for place, username in enumerate(asked):
        if username in asked[:place]:
            yield FieldError(f"/administrators/{place}", f"'{username}' is given twice.")
