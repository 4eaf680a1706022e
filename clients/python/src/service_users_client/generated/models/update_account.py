from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="UpdateAccount")


@_attrs_define
class UpdateAccount:
    """Changes to an account; fields not given stay, null removes a limit. All that was read may be sent.

    Attributes:
        account (Any | Unset): Read-only: as it was read, or left out.
        owners (Any | Unset): Read-only: as it was read, or left out.
        created_at (Any | Unset): Read-only: as it was read, or left out.
        user_count (Any | Unset): Read-only: may be sent, and is not compared.
        service_user_count (Any | Unset): Read-only: may be sent, and is not compared.
        name (str | Unset): Display name, without control characters, line ends and characters that change the direction
            of text.
        max_key_age_days (int | None | Unset): Days; null for no limit. At most 90 with `pciCompliance`.
        revoke_inactive_after_days (int | None | Unset): Days; null for no limit. At most 90 with `pciCompliance`.
        pci_compliance (bool | Unset):
        machines_manage_owners (bool | Unset): Whether a Service User with the role OWNER may invite, change and revoke
            OWNERs. Without it, only OWNER Users can.
        revoke_leaked_keys (bool | Unset): Whether a key that somebody reports as leaked is revoked at once. Without it,
            the people concerned are only notified.
    """

    account: Any | Unset = UNSET
    owners: Any | Unset = UNSET
    created_at: Any | Unset = UNSET
    user_count: Any | Unset = UNSET
    service_user_count: Any | Unset = UNSET
    name: str | Unset = UNSET
    max_key_age_days: int | None | Unset = UNSET
    revoke_inactive_after_days: int | None | Unset = UNSET
    pci_compliance: bool | Unset = UNSET
    machines_manage_owners: bool | Unset = UNSET
    revoke_leaked_keys: bool | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        account = self.account

        owners = self.owners

        created_at = self.created_at

        user_count = self.user_count

        service_user_count = self.service_user_count

        name = self.name

        max_key_age_days: int | None | Unset
        if isinstance(self.max_key_age_days, Unset):
            max_key_age_days = UNSET
        else:
            max_key_age_days = self.max_key_age_days

        revoke_inactive_after_days: int | None | Unset
        if isinstance(self.revoke_inactive_after_days, Unset):
            revoke_inactive_after_days = UNSET
        else:
            revoke_inactive_after_days = self.revoke_inactive_after_days

        pci_compliance = self.pci_compliance

        machines_manage_owners = self.machines_manage_owners

        revoke_leaked_keys = self.revoke_leaked_keys

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if account is not UNSET:
            field_dict["account"] = account
        if owners is not UNSET:
            field_dict["owners"] = owners
        if created_at is not UNSET:
            field_dict["createdAt"] = created_at
        if user_count is not UNSET:
            field_dict["userCount"] = user_count
        if service_user_count is not UNSET:
            field_dict["serviceUserCount"] = service_user_count
        if name is not UNSET:
            field_dict["name"] = name
        if max_key_age_days is not UNSET:
            field_dict["maxKeyAgeDays"] = max_key_age_days
        if revoke_inactive_after_days is not UNSET:
            field_dict["revokeInactiveAfterDays"] = revoke_inactive_after_days
        if pci_compliance is not UNSET:
            field_dict["pciCompliance"] = pci_compliance
        if machines_manage_owners is not UNSET:
            field_dict["machinesManageOwners"] = machines_manage_owners
        if revoke_leaked_keys is not UNSET:
            field_dict["revokeLeakedKeys"] = revoke_leaked_keys

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        account = d.pop("account", UNSET)

        owners = d.pop("owners", UNSET)

        created_at = d.pop("createdAt", UNSET)

        user_count = d.pop("userCount", UNSET)

        service_user_count = d.pop("serviceUserCount", UNSET)

        name = d.pop("name", UNSET)

        def _parse_max_key_age_days(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_key_age_days = _parse_max_key_age_days(d.pop("maxKeyAgeDays", UNSET))

        def _parse_revoke_inactive_after_days(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        revoke_inactive_after_days = _parse_revoke_inactive_after_days(
            d.pop("revokeInactiveAfterDays", UNSET)
        )

        pci_compliance = d.pop("pciCompliance", UNSET)

        machines_manage_owners = d.pop("machinesManageOwners", UNSET)

        revoke_leaked_keys = d.pop("revokeLeakedKeys", UNSET)

        update_account = cls(
            account=account,
            owners=owners,
            created_at=created_at,
            user_count=user_count,
            service_user_count=service_user_count,
            name=name,
            max_key_age_days=max_key_age_days,
            revoke_inactive_after_days=revoke_inactive_after_days,
            pci_compliance=pci_compliance,
            machines_manage_owners=machines_manage_owners,
            revoke_leaked_keys=revoke_leaked_keys,
        )

        return update_account
