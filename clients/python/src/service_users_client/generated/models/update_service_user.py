from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.role import Role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.update_service_user_labels import UpdateServiceUserLabels


T = TypeVar("T", bound="UpdateServiceUser")


@_attrs_define
class UpdateServiceUser:
    """Changes to a Service User; fields not given stay. All that was read may be sent back.

    Attributes:
        account (Any | Unset): Read-only: as it was read, or left out.
        username (Any | Unset): Read-only: as it was read, or left out.
        email (Any | Unset): Read-only: as it was read, or left out.
        created_at (Any | Unset): Read-only: as it was read, or left out.
        api_keys (Any | Unset): Read-only: as it was read, or left out.
        keys_below_role (Any | Unset): Read-only: as it was read, or left out.
        suspended_at (Any | Unset): Read-only: as it was read, or left out.
        suspended_by (Any | Unset): Read-only: as it was read, or left out.
        display_name (str | Unset): Display name, without control characters, line ends and characters that change the
            direction of text; the username if not given.
        role (Role | Unset): What a principal may do, lowest first.
        administrators (list[str] | Unset): Usernames of OWNER or CLUSTER_ADMIN Users of the account; at least one,
            unless none is left. At a creation, the caller if not given.
        description (None | str | Unset): What it is for: a text of the characters that a display name may have; null
            for none.
        labels (UpdateServiceUserLabels | Unset): Labels, values by name, to find Service Users by. A name has 1 to 63
            letters, digits, '.', '_', '/' and '-', a value up to 63 letters, digits, '.', '_' and '-'; both begin and end
            with a letter or digit. Case counts.
    """

    account: Any | Unset = UNSET
    username: Any | Unset = UNSET
    email: Any | Unset = UNSET
    created_at: Any | Unset = UNSET
    api_keys: Any | Unset = UNSET
    keys_below_role: Any | Unset = UNSET
    suspended_at: Any | Unset = UNSET
    suspended_by: Any | Unset = UNSET
    display_name: str | Unset = UNSET
    role: Role | Unset = UNSET
    administrators: list[str] | Unset = UNSET
    description: None | str | Unset = UNSET
    labels: UpdateServiceUserLabels | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        account = self.account

        username = self.username

        email = self.email

        created_at = self.created_at

        api_keys = self.api_keys

        keys_below_role = self.keys_below_role

        suspended_at = self.suspended_at

        suspended_by = self.suspended_by

        display_name = self.display_name

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role.value

        administrators: list[str] | Unset = UNSET
        if not isinstance(self.administrators, Unset):
            administrators = self.administrators

        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        labels: dict[str, Any] | Unset = UNSET
        if not isinstance(self.labels, Unset):
            labels = self.labels.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if account is not UNSET:
            field_dict["account"] = account
        if username is not UNSET:
            field_dict["username"] = username
        if email is not UNSET:
            field_dict["email"] = email
        if created_at is not UNSET:
            field_dict["createdAt"] = created_at
        if api_keys is not UNSET:
            field_dict["apiKeys"] = api_keys
        if keys_below_role is not UNSET:
            field_dict["keysBelowRole"] = keys_below_role
        if suspended_at is not UNSET:
            field_dict["suspendedAt"] = suspended_at
        if suspended_by is not UNSET:
            field_dict["suspendedBy"] = suspended_by
        if display_name is not UNSET:
            field_dict["displayName"] = display_name
        if role is not UNSET:
            field_dict["role"] = role
        if administrators is not UNSET:
            field_dict["administrators"] = administrators
        if description is not UNSET:
            field_dict["description"] = description
        if labels is not UNSET:
            field_dict["labels"] = labels

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.update_service_user_labels import UpdateServiceUserLabels

        d = dict(src_dict)
        account = d.pop("account", UNSET)

        username = d.pop("username", UNSET)

        email = d.pop("email", UNSET)

        created_at = d.pop("createdAt", UNSET)

        api_keys = d.pop("apiKeys", UNSET)

        keys_below_role = d.pop("keysBelowRole", UNSET)

        suspended_at = d.pop("suspendedAt", UNSET)

        suspended_by = d.pop("suspendedBy", UNSET)

        display_name = d.pop("displayName", UNSET)

        _role = d.pop("role", UNSET)
        role: Role | Unset
        if isinstance(_role, Unset):
            role = UNSET
        else:
            role = Role(_role)

        administrators = cast(list[str], d.pop("administrators", UNSET))

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        _labels = d.pop("labels", UNSET)
        labels: UpdateServiceUserLabels | Unset
        if isinstance(_labels, Unset):
            labels = UNSET
        else:
            labels = UpdateServiceUserLabels.from_dict(_labels)

        update_service_user = cls(
            account=account,
            username=username,
            email=email,
            created_at=created_at,
            api_keys=api_keys,
            keys_below_role=keys_below_role,
            suspended_at=suspended_at,
            suspended_by=suspended_by,
            display_name=display_name,
            role=role,
            administrators=administrators,
            description=description,
            labels=labels,
        )

        return update_service_user
