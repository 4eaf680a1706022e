from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.key_type import KeyType
from ..models.role import Role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.create_service_user_labels import CreateServiceUserLabels


T = TypeVar("T", bound="CreateServiceUser")


@_attrs_define
class CreateServiceUser:
    """A Service User to create. `role` and `profile` are one field under two names; give either.

    Attributes:
        username (str): 3 to 64 of the letters a to z in either case, digits, '.', '_' and '-'; unique without regard to
            case.
        email (str): An email address, such as bot@example.com; unique in the account after folding case, '+tag's and
            Gmail's dots.
        allowed_networks (list[str] | Unset): IPv4 and IPv6 networks from which the key works; an empty list allows
            every address.
        expires_at (datetime.datetime | None | Unset): Expiry of the key: a time in the future (RFC 3339); null for no
            expiry.
        role (Role | Unset): What a principal may do, lowest first.
        profile (Role | Unset): What a principal may do, lowest first.
        display_name (str | Unset): Display name, without control characters, line ends and characters that change the
            direction of text; the username if not given.
        key_types (list[KeyType] | Unset): The types of keys to generate: name only those that the machine needs. If not
            given, every type that its role allows.
        administrators (list[str] | Unset): Usernames of OWNER or CLUSTER_ADMIN Users of the account; at least one,
            unless none is left. At a creation, the caller if not given.
        description (None | str | Unset): What it is for: a text of the characters that a display name may have; null
            for none.
        labels (CreateServiceUserLabels | Unset): Labels, values by name, to find Service Users by. A name has 1 to 63
            letters, digits, '.', '_', '/' and '-', a value up to 63 letters, digits, '.', '_' and '-'; both begin and end
            with a letter or digit. Case counts.
    """

    username: str
    email: str
    allowed_networks: list[str] | Unset = UNSET
    expires_at: datetime.datetime | None | Unset = UNSET
    role: Role | Unset = UNSET
    profile: Role | Unset = UNSET
    display_name: str | Unset = UNSET
    key_types: list[KeyType] | Unset = UNSET
    administrators: list[str] | Unset = UNSET
    description: None | str | Unset = UNSET
    labels: CreateServiceUserLabels | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        username = self.username

        email = self.email

        allowed_networks: list[str] | Unset = UNSET
        if not isinstance(self.allowed_networks, Unset):
            allowed_networks = self.allowed_networks

        expires_at: None | str | Unset
        if isinstance(self.expires_at, Unset):
            expires_at = UNSET
        elif isinstance(self.expires_at, datetime.datetime):
            expires_at = self.expires_at.isoformat()
        else:
            expires_at = self.expires_at

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role.value

        profile: str | Unset = UNSET
        if not isinstance(self.profile, Unset):
            profile = self.profile.value

        display_name = self.display_name

        key_types: list[str] | Unset = UNSET
        if not isinstance(self.key_types, Unset):
            key_types = []
            for key_types_item_data in self.key_types:
                key_types_item = key_types_item_data.value
                key_types.append(key_types_item)

        administrators: list[str] | Unset = UNSET
        if not isinstance(self.administrators, Unset):
            administrators = self.administrators

        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        labels: dict[str, Any] | Unset = UNSET
        if not isinstance(self.labels, Unset):
            labels = self.labels.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "username": username,
                "email": email,
            }
        )
        if allowed_networks is not UNSET:
            field_dict["allowedNetworks"] = allowed_networks
        if expires_at is not UNSET:
            field_dict["expiresAt"] = expires_at
        if role is not UNSET:
            field_dict["role"] = role
        if profile is not UNSET:
            field_dict["profile"] = profile
        if display_name is not UNSET:
            field_dict["displayName"] = display_name
        if key_types is not UNSET:
            field_dict["keyTypes"] = key_types
        if administrators is not UNSET:
            field_dict["administrators"] = administrators
        if description is not UNSET:
            field_dict["description"] = description
        if labels is not UNSET:
            field_dict["labels"] = labels

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.create_service_user_labels import CreateServiceUserLabels

        d = dict(src_dict)
        username = d.pop("username")

        email = d.pop("email")

        allowed_networks = cast(list[str], d.pop("allowedNetworks", UNSET))

        def _parse_expires_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                expires_at_type_0 = datetime.datetime.fromisoformat(data)

                return expires_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        expires_at = _parse_expires_at(d.pop("expiresAt", UNSET))

        _role = d.pop("role", UNSET)
        role: Role | Unset
        if isinstance(_role, Unset):
            role = UNSET
        else:
            role = Role(_role)

        _profile = d.pop("profile", UNSET)
        profile: Role | Unset
        if isinstance(_profile, Unset):
            profile = UNSET
        else:
            profile = Role(_profile)

        display_name = d.pop("displayName", UNSET)

        _key_types = d.pop("keyTypes", UNSET)
        key_types: list[KeyType] | Unset = UNSET
        if _key_types is not UNSET:
            key_types = []
            for key_types_item_data in _key_types:
                key_types_item = KeyType(key_types_item_data)

                key_types.append(key_types_item)

        administrators = cast(list[str], d.pop("administrators", UNSET))

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        _labels = d.pop("labels", UNSET)
        labels: CreateServiceUserLabels | Unset
        if isinstance(_labels, Unset):
            labels = UNSET
        else:
            labels = CreateServiceUserLabels.from_dict(_labels)

        create_service_user = cls(
            username=username,
            email=email,
            allowed_networks=allowed_networks,
            expires_at=expires_at,
            role=role,
            profile=profile,
            display_name=display_name,
            key_types=key_types,
            administrators=administrators,
            description=description,
            labels=labels,
        )

        return create_service_user
