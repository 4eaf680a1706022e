from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="FieldChange")


@_attrs_define
class FieldChange:
    """A field that an update changed.

    Attributes:
        field (str):
        old (str): As text; empty if there is none.
        new (str): As text; empty if there is none.
        old_value (bool | int | list[str] | None | str): The value as the field has it elsewhere: an array for
            `allowedNetworks` and `administrators`, a time (RFC 3339) for `expiresAt`, a number or a boolean for the policy;
            null for none. `labels` are an array of `name=value`.
        new_value (bool | int | list[str] | None | str): The value as the field has it elsewhere: an array for
            `allowedNetworks` and `administrators`, a time (RFC 3339) for `expiresAt`, a number or a boolean for the policy;
            null for none. `labels` are an array of `name=value`.
    """

    field: str
    old: str
    new: str
    old_value: bool | int | list[str] | None | str
    new_value: bool | int | list[str] | None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        field = self.field

        old = self.old

        new = self.new

        old_value: bool | int | list[str] | None | str
        if isinstance(self.old_value, list):
            old_value = self.old_value

        else:
            old_value = self.old_value

        new_value: bool | int | list[str] | None | str
        if isinstance(self.new_value, list):
            new_value = self.new_value

        else:
            new_value = self.new_value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "field": field,
                "old": old,
                "new": new,
                "oldValue": old_value,
                "newValue": new_value,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        field = d.pop("field")

        old = d.pop("old")

        new = d.pop("new")

        def _parse_old_value(data: object) -> bool | int | list[str] | None | str:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                old_value_type_3 = cast(list[str], data)

                return old_value_type_3
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(bool | int | list[str] | None | str, data)

        old_value = _parse_old_value(d.pop("oldValue"))

        def _parse_new_value(data: object) -> bool | int | list[str] | None | str:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                new_value_type_3 = cast(list[str], data)

                return new_value_type_3
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(bool | int | list[str] | None | str, data)

        new_value = _parse_new_value(d.pop("newValue"))

        field_change = cls(
            field=field,
            old=old,
            new=new,
            old_value=old_value,
            new_value=new_value,
        )

        field_change.additional_properties = d
        return field_change

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
