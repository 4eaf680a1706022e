from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="FindKey")


@_attrs_define
class FindKey:
    """A key to find the holder of: by its value, or by its last five characters.

    Attributes:
        key (str | Unset): A whole API key: 'suk_' and 49 letters and digits.
        last5 (str | Unset): The last five characters of a key, as emails, events and lists show them.
    """

    key: str | Unset = UNSET
    last5: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        key = self.key

        last5 = self.last5

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if key is not UNSET:
            field_dict["key"] = key
        if last5 is not UNSET:
            field_dict["last5"] = last5

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        key = d.pop("key", UNSET)

        last5 = d.pop("last5", UNSET)

        find_key = cls(
            key=key,
            last5=last5,
        )

        return find_key
