from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="EmailFailure")


@_attrs_define
class EmailFailure:
    """That emails to a User fail, as their account's OWNERs were last notified of it.

    Attributes:
        outcome (str): `PERMANENT_BOUNCE`: the address rejects emails. `COMPLAINT`: one was marked as spam. Open set:
            one of these, or a value added later.
        at (datetime.datetime): RFC 3339, UTC.
    """

    outcome: str
    at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        outcome = self.outcome

        at = self.at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "outcome": outcome,
                "at": at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        outcome = d.pop("outcome")

        at = datetime.datetime.fromisoformat(d.pop("at"))

        email_failure = cls(
            outcome=outcome,
            at=at,
        )

        email_failure.additional_properties = d
        return email_failure

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
