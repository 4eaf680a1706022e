from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.key_type import KeyType

T = TypeVar("T", bound="KeyChange")


@_attrs_define
class KeyChange:
    """A change of one key, which is identified by its last five characters.

    Attributes:
        change (str): The change. Open set: one of the examples, or a value added later.
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        key (str): A key, masked to its last five characters.
        last5 (str): The last five characters of the key, by which people tell keys apart.
        previous_key (None | str): The key that this one replaced, masked.
        previous_last_5 (None | str): The last five characters of that key.
        previous_valid_until (datetime.datetime | None): Until when that key keeps working; null if it does not.
        also_ended (None | str): The last five characters of another key of the type that stopped working with the
            change: the one that the key had replaced and that still worked, or one whose response was lost. Null if there
            is none, and in events from before 1.1.
        ends_at (datetime.datetime | None): The expiry that an expiry notice announces.
    """

    change: str
    key_type: KeyType
    key: str
    last5: str
    previous_key: None | str
    previous_last_5: None | str
    previous_valid_until: datetime.datetime | None
    also_ended: None | str
    ends_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        change = self.change

        key_type = self.key_type.value

        key = self.key

        last5 = self.last5

        previous_key: None | str
        previous_key = self.previous_key

        previous_last_5: None | str
        previous_last_5 = self.previous_last_5

        previous_valid_until: None | str
        if isinstance(self.previous_valid_until, datetime.datetime):
            previous_valid_until = self.previous_valid_until.isoformat()
        else:
            previous_valid_until = self.previous_valid_until

        also_ended: None | str
        also_ended = self.also_ended

        ends_at: None | str
        if isinstance(self.ends_at, datetime.datetime):
            ends_at = self.ends_at.isoformat()
        else:
            ends_at = self.ends_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "change": change,
                "keyType": key_type,
                "key": key,
                "last5": last5,
                "previousKey": previous_key,
                "previousLast5": previous_last_5,
                "previousValidUntil": previous_valid_until,
                "alsoEnded": also_ended,
                "endsAt": ends_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        change = d.pop("change")

        key_type = KeyType(d.pop("keyType"))

        key = d.pop("key")

        last5 = d.pop("last5")

        def _parse_previous_key(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        previous_key = _parse_previous_key(d.pop("previousKey"))

        def _parse_previous_last_5(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        previous_last_5 = _parse_previous_last_5(d.pop("previousLast5"))

        def _parse_previous_valid_until(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                previous_valid_until_type_0 = datetime.datetime.fromisoformat(data)

                return previous_valid_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        previous_valid_until = _parse_previous_valid_until(d.pop("previousValidUntil"))

        def _parse_also_ended(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        also_ended = _parse_also_ended(d.pop("alsoEnded"))

        def _parse_ends_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ends_at_type_0 = datetime.datetime.fromisoformat(data)

                return ends_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        ends_at = _parse_ends_at(d.pop("endsAt"))

        key_change = cls(
            change=change,
            key_type=key_type,
            key=key,
            last5=last5,
            previous_key=previous_key,
            previous_last_5=previous_last_5,
            previous_valid_until=previous_valid_until,
            also_ended=also_ended,
            ends_at=ends_at,
        )

        key_change.additional_properties = d
        return key_change

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
