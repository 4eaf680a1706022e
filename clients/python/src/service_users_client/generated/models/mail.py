from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.feedback import Feedback


T = TypeVar("T", bound="Mail")


@_attrs_define
class Mail:
    """Who has been notified of an event. `waiting` is true while a recipient has still to be notified.

    Attributes:
        waiting (bool):
        told (list[str]): Usernames of those who were notified.
        undeliverable (list[str]): Usernames of those whose address rejects email.
        feedback (list[Feedback]): What became of emails that were not simply delivered, for each recipient.
    """

    waiting: bool
    told: list[str]
    undeliverable: list[str]
    feedback: list[Feedback]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        waiting = self.waiting

        told = self.told

        undeliverable = self.undeliverable

        feedback = []
        for feedback_item_data in self.feedback:
            feedback_item = feedback_item_data.to_dict()
            feedback.append(feedback_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "waiting": waiting,
                "told": told,
                "undeliverable": undeliverable,
                "feedback": feedback,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.feedback import Feedback

        d = dict(src_dict)
        waiting = d.pop("waiting")

        told = cast(list[str], d.pop("told"))

        undeliverable = cast(list[str], d.pop("undeliverable"))

        feedback = []
        _feedback = d.pop("feedback")
        for feedback_item_data in _feedback:
            feedback_item = Feedback.from_dict(feedback_item_data)

            feedback.append(feedback_item)

        mail = cls(
            waiting=waiting,
            told=told,
            undeliverable=undeliverable,
            feedback=feedback,
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
