from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.shown_key import ShownKey


T = TypeVar("T", bound="EndedKeys")


@_attrs_define
class EndedKeys:
    """The keys that a call ended. Unless `complete`, call again by the `Link` to end the rest.

    Attributes:
        ended (list[ShownKey]):
        complete (bool): Whether all Service Users were looked at.
    """

    ended: list[ShownKey]
    complete: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        ended = []
        for ended_item_data in self.ended:
            ended_item = ended_item_data.to_dict()
            ended.append(ended_item)

        complete = self.complete

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "ended": ended,
                "complete": complete,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.shown_key import ShownKey

        d = dict(src_dict)
        ended = []
        _ended = d.pop("ended")
        for ended_item_data in _ended:
            ended_item = ShownKey.from_dict(ended_item_data)

            ended.append(ended_item)

        complete = d.pop("complete")

        ended_keys = cls(
            ended=ended,
            complete=complete,
        )

        ended_keys.additional_properties = d
        return ended_keys

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
