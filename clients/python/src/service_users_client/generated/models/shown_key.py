from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.key_type import KeyType

T = TypeVar("T", bound="ShownKey")


@_attrs_define
class ShownKey:
    """A working key of a Service User whose secret somebody was the last to be shown.

    Attributes:
        username (str): The Service User.
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        key (str): A key, masked to its last five characters.
        last5 (str): The last five characters of the key, by which people tell keys apart.
        valid_until (datetime.datetime | None): For a predecessor, when its overlap ends; null for a current key.
    """

    username: str
    key_type: KeyType
    key: str
    last5: str
    valid_until: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        username = self.username

        key_type = self.key_type.value

        key = self.key

        last5 = self.last5

        valid_until: None | str
        if isinstance(self.valid_until, datetime.datetime):
            valid_until = self.valid_until.isoformat()
        else:
            valid_until = self.valid_until

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "username": username,
                "keyType": key_type,
                "key": key,
                "last5": last5,
                "validUntil": valid_until,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        username = d.pop("username")

        key_type = KeyType(d.pop("keyType"))

        key = d.pop("key")

        last5 = d.pop("last5")

        def _parse_valid_until(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                valid_until_type_0 = datetime.datetime.fromisoformat(data)

                return valid_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        valid_until = _parse_valid_until(d.pop("validUntil"))

        shown_key = cls(
            username=username,
            key_type=key_type,
            key=key,
            last5=last5,
            valid_until=valid_until,
        )

        shown_key.additional_properties = d
        return shown_key

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
