from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="RotateOwnKey")


@_attrs_define
class RotateOwnKey:
    """How to rotate the key used to sign in.

    Attributes:
        overlap_seconds (int | Unset): Seconds for which the predecessor (the old key) keeps working beside the new one,
            at most 604800 (7 days); 0 revokes it at once. Default: 0.
    """

    overlap_seconds: int | Unset = 0

    def to_dict(self) -> dict[str, Any]:
        overlap_seconds = self.overlap_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if overlap_seconds is not UNSET:
            field_dict["overlapSeconds"] = overlap_seconds

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        overlap_seconds = d.pop("overlapSeconds", UNSET)

        rotate_own_key = cls(
            overlap_seconds=overlap_seconds,
        )

        return rotate_own_key
