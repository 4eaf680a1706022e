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
    from ..models.predecessor import Predecessor


T = TypeVar("T", bound="ApiKey")


@_attrs_define
class ApiKey:
    """An API key, masked to its last five characters; only the response that issues it has the secret.

    Attributes:
        account (UUID): The account's id.
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        username (str): The holder's username.
        key (str): The secret, or the key masked to its last five characters.
        last5 (str): The last five characters of the key, by which people tell keys apart.
        created_at (datetime.datetime): When a key of this type was generated for the holder.
        created_by (None | str): The username of whoever generated it; null for the operator.
        rotated_at (datetime.datetime | None): When the last rotation replaced the secret.
        rotated_by (None | str): The username of whoever rotated it last.
        expires_at (datetime.datetime | None): Expiry; null for no expiry.
        last_used_at (datetime.datetime | None): Last use, to the hour; null until the first.
        allowed_networks (list[str]): CIDRs from which the key works; an empty list allows every address.
        predecessor (None | Predecessor):
        ceiling (None | Role):
    """

    account: UUID
    key_type: KeyType
    username: str
    key: str = _attrs_field(repr=False)
    last5: str
    created_at: datetime.datetime
    created_by: None | str
    rotated_at: datetime.datetime | None
    rotated_by: None | str
    expires_at: datetime.datetime | None
    last_used_at: datetime.datetime | None
    allowed_networks: list[str]
    predecessor: None | Predecessor
    ceiling: None | Role
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.predecessor import Predecessor

        account = str(self.account)

        key_type = self.key_type.value

        username = self.username

        key = self.key

        last5 = self.last5

        created_at = self.created_at.isoformat()

        created_by: None | str
        created_by = self.created_by

        rotated_at: None | str
        if isinstance(self.rotated_at, datetime.datetime):
            rotated_at = self.rotated_at.isoformat()
        else:
            rotated_at = self.rotated_at

        rotated_by: None | str
        rotated_by = self.rotated_by

        expires_at: None | str
        if isinstance(self.expires_at, datetime.datetime):
            expires_at = self.expires_at.isoformat()
        else:
            expires_at = self.expires_at

        last_used_at: None | str
        if isinstance(self.last_used_at, datetime.datetime):
            last_used_at = self.last_used_at.isoformat()
        else:
            last_used_at = self.last_used_at

        allowed_networks = self.allowed_networks

        predecessor: dict[str, Any] | None
        if isinstance(self.predecessor, Predecessor):
            predecessor = self.predecessor.to_dict()
        else:
            predecessor = self.predecessor

        ceiling: None | str
        if isinstance(self.ceiling, Role):
            ceiling = self.ceiling.value
        else:
            ceiling = self.ceiling

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "account": account,
                "keyType": key_type,
                "username": username,
                "key": key,
                "last5": last5,
                "createdAt": created_at,
                "createdBy": created_by,
                "rotatedAt": rotated_at,
                "rotatedBy": rotated_by,
                "expiresAt": expires_at,
                "lastUsedAt": last_used_at,
                "allowedNetworks": allowed_networks,
                "predecessor": predecessor,
                "ceiling": ceiling,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.predecessor import Predecessor

        d = dict(src_dict)
        account = UUID(d.pop("account"))

        key_type = KeyType(d.pop("keyType"))

        username = d.pop("username")

        key = d.pop("key")

        last5 = d.pop("last5")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        def _parse_created_by(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        created_by = _parse_created_by(d.pop("createdBy"))

        def _parse_rotated_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                rotated_at_type_0 = datetime.datetime.fromisoformat(data)

                return rotated_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        rotated_at = _parse_rotated_at(d.pop("rotatedAt"))

        def _parse_rotated_by(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        rotated_by = _parse_rotated_by(d.pop("rotatedBy"))

        def _parse_expires_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                expires_at_type_0 = datetime.datetime.fromisoformat(data)

                return expires_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        expires_at = _parse_expires_at(d.pop("expiresAt"))

        def _parse_last_used_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_used_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_used_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        last_used_at = _parse_last_used_at(d.pop("lastUsedAt"))

        allowed_networks = cast(list[str], d.pop("allowedNetworks"))

        def _parse_predecessor(data: object) -> None | Predecessor:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                predecessor_type_0 = Predecessor.from_dict(data)

                return predecessor_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Predecessor, data)

        predecessor = _parse_predecessor(d.pop("predecessor"))

        def _parse_ceiling(data: object) -> None | Role:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ceiling_type_0 = Role(data)

                return ceiling_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Role, data)

        ceiling = _parse_ceiling(d.pop("ceiling"))

        api_key = cls(
            account=account,
            key_type=key_type,
            username=username,
            key=key,
            last5=last5,
            created_at=created_at,
            created_by=created_by,
            rotated_at=rotated_at,
            rotated_by=rotated_by,
            expires_at=expires_at,
            last_used_at=last_used_at,
            allowed_networks=allowed_networks,
            predecessor=predecessor,
            ceiling=ceiling,
        )

        api_key.additional_properties = d
        return api_key

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
