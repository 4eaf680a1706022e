from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.key_type import KeyType
from ..types import UNSET, Unset

T = TypeVar("T", bound="RevokeKey")


@_attrs_define
class RevokeKey:
    """A key to revoke.

    Attributes:
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        even_if_locked_out (bool | Unset): Whether to do it even if it locks the caller out, or takes the only OWNER's
            USER_MANAGEMENT key; without it, that is refused (409). Of no effect on keys of Service Users.
    """

    key_type: KeyType
    even_if_locked_out: bool | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        key_type = self.key_type.value

        even_if_locked_out = self.even_if_locked_out

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "keyType": key_type,
            }
        )
        if even_if_locked_out is not UNSET:
            field_dict["evenIfLockedOut"] = even_if_locked_out

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        key_type = KeyType(d.pop("keyType"))

        even_if_locked_out = d.pop("evenIfLockedOut", UNSET)

        revoke_key = cls(
            key_type=key_type,
            even_if_locked_out=even_if_locked_out,
        )

        return revoke_key
