from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Mail")


@_attrs_define
class Mail:
    """Who has been notified of an event. `waiting` is true while a recipient has still to be notified.

    Attributes:
        waiting (bool):
        told (list[str]): Usernames of those who were notified.
        undeliverable (list[str]): Usernames of those whose address rejects email.
    """

    waiting: bool
    told: list[str]
    undeliverable: list[str]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        waiting = self.waiting

        told = self.told

        undeliverable = self.undeliverable

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "waiting": waiting,
                "told": told,
                "undeliverable": undeliverable,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        waiting = d.pop("waiting")

        told = cast(list[str], d.pop("told"))

        undeliverable = cast(list[str], d.pop("undeliverable"))

        mail = cls(
            waiting=waiting,
            told=told,
            undeliverable=undeliverable,
        )

        mail.additional_properties = d
        return mail

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
