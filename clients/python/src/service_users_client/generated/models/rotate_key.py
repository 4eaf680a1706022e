from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.key_type import KeyType
from ..types import UNSET, Unset

T = TypeVar("T", bound="RotateKey")


@_attrs_define
class RotateKey:
    """A key to rotate.

    Attributes:
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        overlap_seconds (int | Unset): Seconds for which the predecessor (the old key) keeps working beside the new one,
            at most 604800 (7 days); 0 revokes it at once. Default: 0.
    """

    key_type: KeyType
    overlap_seconds: int | Unset = 0

    def to_dict(self) -> dict[str, Any]:
        key_type = self.key_type.value

        overlap_seconds = self.overlap_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "keyType": key_type,
            }
        )
        if overlap_seconds is not UNSET:
            field_dict["overlapSeconds"] = overlap_seconds

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        key_type = KeyType(d.pop("keyType"))

        overlap_seconds = d.pop("overlapSeconds", UNSET)

        rotate_key = cls(
            key_type=key_type,
            overlap_seconds=overlap_seconds,
        )

        return rotate_key
