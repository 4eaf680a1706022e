from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.role import Role
from ..types import UNSET, Unset

T = TypeVar("T", bound="UpdateUser")


@_attrs_define
class UpdateUser:
    """Changes to a User; fields not given stay. All that was read may be sent back.

    Attributes:
        account (Any | Unset): Read-only: as it was read, or left out.
        username (Any | Unset): Read-only: as it was read, or left out.
        email (Any | Unset): Read-only: as it was read, or left out.
        status (Any | Unset): Read-only: as it was read, or left out.
        invited_by (Any | Unset): Read-only: as it was read, or left out.
        created_at (Any | Unset): Read-only: as it was read, or left out.
        invitation (Any | Unset): Read-only: as it was read, or left out.
        suspended_at (Any | Unset): Read-only: as it was read, or left out.
        suspended_by (Any | Unset): Read-only: as it was read, or left out.
        email_failure (Any | Unset): Read-only: as it was read, or left out.
        role (Role | Unset): What a principal may do, lowest first.
        display_name (str | Unset): Display name, without control characters, line ends and characters that change the
            direction of text; the username if not given.
    """

    account: Any | Unset = UNSET
    username: Any | Unset = UNSET
    email: Any | Unset = UNSET
    status: Any | Unset = UNSET
    invited_by: Any | Unset = UNSET
    created_at: Any | Unset = UNSET
    invitation: Any | Unset = UNSET
    suspended_at: Any | Unset = UNSET
    suspended_by: Any | Unset = UNSET
    email_failure: Any | Unset = UNSET
    role: Role | Unset = UNSET
    display_name: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        account = self.account

        username = self.username

        email = self.email

        status = self.status

        invited_by = self.invited_by

        created_at = self.created_at

        invitation = self.invitation

        suspended_at = self.suspended_at

        suspended_by = self.suspended_by

        email_failure = self.email_failure

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role.value

        display_name = self.display_name

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if account is not UNSET:
            field_dict["account"] = account
        if username is not UNSET:
            field_dict["username"] = username
        if email is not UNSET:
            field_dict["email"] = email
        if status is not UNSET:
            field_dict["status"] = status
        if invited_by is not UNSET:
            field_dict["invitedBy"] = invited_by
        if created_at is not UNSET:
            field_dict["createdAt"] = created_at
        if invitation is not UNSET:
            field_dict["invitation"] = invitation
        if suspended_at is not UNSET:
            field_dict["suspendedAt"] = suspended_at
        if suspended_by is not UNSET:
            field_dict["suspendedBy"] = suspended_by
        if email_failure is not UNSET:
            field_dict["emailFailure"] = email_failure
        if role is not UNSET:
            field_dict["role"] = role
        if display_name is not UNSET:
            field_dict["displayName"] = display_name

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        account = d.pop("account", UNSET)

        username = d.pop("username", UNSET)

        email = d.pop("email", UNSET)

        status = d.pop("status", UNSET)

        invited_by = d.pop("invitedBy", UNSET)

        created_at = d.pop("createdAt", UNSET)

        invitation = d.pop("invitation", UNSET)

        suspended_at = d.pop("suspendedAt", UNSET)

        suspended_by = d.pop("suspendedBy", UNSET)

        email_failure = d.pop("emailFailure", UNSET)

        _role = d.pop("role", UNSET)
        role: Role | Unset
        if isinstance(_role, Unset):
            role = UNSET
        else:
            role = Role(_role)

        display_name = d.pop("displayName", UNSET)

        update_user = cls(
            account=account,
            username=username,
            email=email,
            status=status,
            invited_by=invited_by,
            created_at=created_at,
            invitation=invitation,
            suspended_at=suspended_at,
            suspended_by=suspended_by,
            email_failure=email_failure,
            role=role,
            display_name=display_name,
        )

        return update_user
