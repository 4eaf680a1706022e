from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.allowed_key_type import AllowedKeyType
    from ..models.api_key import ApiKey


T = TypeVar("T", bound="ApiKeys")


@_attrs_define
class ApiKeys:
    """The key types that the role allows, and the keys.

    Attributes:
        allowed_api_key_types (list[AllowedKeyType]):
        api_keys (list[ApiKey]):
    """

    allowed_api_key_types: list[AllowedKeyType]
    api_keys: list[ApiKey]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        allowed_api_key_types = []
        for allowed_api_key_types_item_data in self.allowed_api_key_types:
            allowed_api_key_types_item = allowed_api_key_types_item_data.to_dict()
            allowed_api_key_types.append(allowed_api_key_types_item)

        api_keys = []
        for api_keys_item_data in self.api_keys:
            api_keys_item = api_keys_item_data.to_dict()
            api_keys.append(api_keys_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "allowedApiKeyTypes": allowed_api_key_types,
                "apiKeys": api_keys,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.allowed_key_type import AllowedKeyType
        from ..models.api_key import ApiKey

        d = dict(src_dict)
        allowed_api_key_types = []
        _allowed_api_key_types = d.pop("allowedApiKeyTypes")
        for allowed_api_key_types_item_data in _allowed_api_key_types:
            allowed_api_key_types_item = AllowedKeyType.from_dict(
                allowed_api_key_types_item_data
            )

            allowed_api_key_types.append(allowed_api_key_types_item)

        api_keys = []
        _api_keys = d.pop("apiKeys")
        for api_keys_item_data in _api_keys:
            api_keys_item = ApiKey.from_dict(api_keys_item_data)

            api_keys.append(api_keys_item)

        api_keys = cls(
            allowed_api_key_types=allowed_api_key_types,
            api_keys=api_keys,
        )

        api_keys.additional_properties = d
        return api_keys

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
