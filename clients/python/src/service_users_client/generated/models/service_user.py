from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.key_type import KeyType
from ..models.role import Role

if TYPE_CHECKING:
    from ..models.api_keys import ApiKeys
    from ..models.service_user_labels import ServiceUserLabels


T = TypeVar("T", bound="ServiceUser")


@_attrs_define
class ServiceUser:
    """A Service User. If none of its Administrators is left, the OWNERs administer it.

    Attributes:
        account (UUID): The account's id.
        username (str):
        display_name (str): Display name.
        email (str): The email address.
        role (Role): What a principal may do, lowest first.
        administrators (list[str]): Usernames of the Administrators who are still entitled.
        created_at (datetime.datetime): RFC 3339, UTC.
        api_keys (ApiKeys): The key types that the role allows, and the keys.
        keys_below_role (list[KeyType]): The types of its keys whose `ceiling` is below its role: they act with the
            ceiling until an OWNER rotates them.
        suspended_at (datetime.datetime | None): Since when it is suspended: refused wherever it signs in; else null.
        suspended_by (None | str): The username of whoever suspended it.
        description (None | str): What it is for; null for none.
        labels (ServiceUserLabels): Its labels, values by name.
    """

    account: UUID
    username: str
    display_name: str
    email: str
    role: Role
    administrators: list[str]
    created_at: datetime.datetime
    api_keys: ApiKeys
    keys_below_role: list[KeyType]
    suspended_at: datetime.datetime | None
    suspended_by: None | str
    description: None | str
    labels: ServiceUserLabels
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        account = str(self.account)

        username = self.username

        display_name = self.display_name

        email = self.email

        role = self.role.value

        administrators = self.administrators

        created_at = self.created_at.isoformat()

        api_keys = self.api_keys.to_dict()

        keys_below_role = []
        for keys_below_role_item_data in self.keys_below_role:
            keys_below_role_item = keys_below_role_item_data.value
            keys_below_role.append(keys_below_role_item)

        suspended_at: None | str
        if isinstance(self.suspended_at, datetime.datetime):
            suspended_at = self.suspended_at.isoformat()
        else:
            suspended_at = self.suspended_at

        suspended_by: None | str
        suspended_by = self.suspended_by

        description: None | str
        description = self.description

        labels = self.labels.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "account": account,
                "username": username,
                "displayName": display_name,
                "email": email,
                "role": role,
                "administrators": administrators,
                "createdAt": created_at,
                "apiKeys": api_keys,
                "keysBelowRole": keys_below_role,
                "suspendedAt": suspended_at,
                "suspendedBy": suspended_by,
                "description": description,
                "labels": labels,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.api_keys import ApiKeys
        from ..models.service_user_labels import ServiceUserLabels

        d = dict(src_dict)
        account = UUID(d.pop("account"))

        username = d.pop("username")

        display_name = d.pop("displayName")

        email = d.pop("email")

        role = Role(d.pop("role"))

        administrators = cast(list[str], d.pop("administrators"))

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        api_keys = ApiKeys.from_dict(d.pop("apiKeys"))

        keys_below_role = []
        _keys_below_role = d.pop("keysBelowRole")
        for keys_below_role_item_data in _keys_below_role:
            keys_below_role_item = KeyType(keys_below_role_item_data)

            keys_below_role.append(keys_below_role_item)

        def _parse_suspended_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                suspended_at_type_0 = datetime.datetime.fromisoformat(data)

                return suspended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        suspended_at = _parse_suspended_at(d.pop("suspendedAt"))

        def _parse_suspended_by(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        suspended_by = _parse_suspended_by(d.pop("suspendedBy"))

        def _parse_description(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        description = _parse_description(d.pop("description"))

        labels = ServiceUserLabels.from_dict(d.pop("labels"))

        service_user = cls(
            account=account,
            username=username,
            display_name=display_name,
            email=email,
            role=role,
            administrators=administrators,
            created_at=created_at,
            api_keys=api_keys,
            keys_below_role=keys_below_role,
            suspended_at=suspended_at,
            suspended_by=suspended_by,
            description=description,
            labels=labels,
        )

        service_user.additional_properties = d
        return service_user

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
