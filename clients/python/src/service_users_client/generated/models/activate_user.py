from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="ActivateUser")


@_attrs_define
class ActivateUser:
    """An invitation to accept.

    Attributes:
        username (str):
        token (str):
    """

    username: str
    token: str

    def to_dict(self) -> dict[str, Any]:
        username = self.username

        token = self.token

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "username": username,
                "token": token,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        username = d.pop("username")

        token = d.pop("token")

        activate_user = cls(
            username=username,
            token=token,
        )

        return activate_user
