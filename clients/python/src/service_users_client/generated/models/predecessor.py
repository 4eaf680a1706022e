from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Predecessor")


@_attrs_define
class Predecessor:
    """The key that a rotation replaced, during the overlap in which both work.

    Attributes:
        key (str): A key, masked to its last five characters.
        last5 (str): The last five characters of the key, by which people tell keys apart.
        valid_until (datetime.datetime): When it stops working.
        last_used_at (datetime.datetime | None): Last use, to the hour.
        shown_to (None | str): The username of who was shown it; null where that was not kept.
    """

    key: str
    last5: str
    valid_until: datetime.datetime
    last_used_at: datetime.datetime | None
    shown_to: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        key = self.key

        last5 = self.last5

        valid_until = self.valid_until.isoformat()

        last_used_at: None | str
        if isinstance(self.last_used_at, datetime.datetime):
            last_used_at = self.last_used_at.isoformat()
        else:
            last_used_at = self.last_used_at

        shown_to: None | str
        shown_to = self.shown_to

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "key": key,
                "last5": last5,
                "validUntil": valid_until,
                "lastUsedAt": last_used_at,
                "shownTo": shown_to,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        key = d.pop("key")

        last5 = d.pop("last5")

        valid_until = datetime.datetime.fromisoformat(d.pop("validUntil"))

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

        def _parse_shown_to(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        shown_to = _parse_shown_to(d.pop("shownTo"))

        predecessor = cls(
            key=key,
            last5=last5,
            valid_until=valid_until,
            last_used_at=last_used_at,
            shown_to=shown_to,
        )

        predecessor.additional_properties = d
        return predecessor

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
