from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.role import Role
from ..types import UNSET, Unset

T = TypeVar("T", bound="InviteUser")


@_attrs_define
class InviteUser:
    """A User to invite.

    Attributes:
        username (str): 3 to 64 of the letters a to z in either case, digits, '.', '_' and '-'; unique without regard to
            case.
        email (str): An email address, such as bot@example.com; unique in the account after folding case, '+tag's and
            Gmail's dots.
        role (Role): What a principal may do, lowest first.
        display_name (str | Unset): Display name, without control characters, line ends and characters that change the
            direction of text; the username if not given.
    """

    username: str
    email: str
    role: Role
    display_name: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        username = self.username

        email = self.email

        role = self.role.value

        display_name = self.display_name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "username": username,
                "email": email,
                "role": role,
            }
        )
        if display_name is not UNSET:
            field_dict["displayName"] = display_name

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        username = d.pop("username")

        email = d.pop("email")

        role = Role(d.pop("role"))

        display_name = d.pop("displayName", UNSET)

        invite_user = cls(
            username=username,
            email=email,
            role=role,
            display_name=display_name,
        )

        return invite_user
