from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.key_type import KeyType

T = TypeVar("T", bound="AllowedKeyType")


@_attrs_define
class AllowedKeyType:
    """A key type that the holder's role allows.

    Attributes:
        name (KeyType): What an API key may be used for. Each deployment has its own key types, those of its catalogue.
        display_name (str): Display name.
    """

    name: KeyType
    display_name: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name.value

        display_name = self.display_name

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "displayName": display_name,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        name = KeyType(d.pop("name"))

        display_name = d.pop("displayName")

        allowed_key_type = cls(
            name=name,
            display_name=display_name,
        )

        allowed_key_type.additional_properties = d
        return allowed_key_type

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
