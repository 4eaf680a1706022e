from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Account")


@_attrs_define
class Account:
    """An account: its name, its OWNERs (activated and not suspended), and its policy on keys.

    Attributes:
        account (UUID): The account's id.
        name (str):
        owners (list[str]): The usernames of its OWNERs, in lower case.
        created_at (datetime.datetime): RFC 3339, UTC.
        max_key_age_days (int | None): Days; null for no limit.
        revoke_inactive_after_days (int | None): Days; null for no limit.
        pci_compliance (bool):
        machines_manage_owners (bool): Whether a Service User with the role OWNER may invite, change and revoke OWNERs.
        revoke_leaked_keys (bool): Whether a reported leaked key is revoked; if not, people are only notified.
        user_count (int | None): How many Users it has. Null until an account from before 1.1 is counted, which its next
            change of them does.
        service_user_count (int | None): How many Service Users it has. Null until an account from before 1.1 is
            counted, which its next change of them does.
    """

    account: UUID
    name: str
    owners: list[str]
    created_at: datetime.datetime
    max_key_age_days: int | None
    revoke_inactive_after_days: int | None
    pci_compliance: bool
    machines_manage_owners: bool
    revoke_leaked_keys: bool
    user_count: int | None
    service_user_count: int | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        account = str(self.account)

        name = self.name

        owners = self.owners

        created_at = self.created_at.isoformat()

        max_key_age_days: int | None
        max_key_age_days = self.max_key_age_days

        revoke_inactive_after_days: int | None
        revoke_inactive_after_days = self.revoke_inactive_after_days

        pci_compliance = self.pci_compliance

        machines_manage_owners = self.machines_manage_owners

        revoke_leaked_keys = self.revoke_leaked_keys

        user_count: int | None
        user_count = self.user_count

        service_user_count: int | None
        service_user_count = self.service_user_count

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "account": account,
                "name": name,
                "owners": owners,
                "createdAt": created_at,
                "maxKeyAgeDays": max_key_age_days,
                "revokeInactiveAfterDays": revoke_inactive_after_days,
                "pciCompliance": pci_compliance,
                "machinesManageOwners": machines_manage_owners,
                "revokeLeakedKeys": revoke_leaked_keys,
                "userCount": user_count,
                "serviceUserCount": service_user_count,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        account = UUID(d.pop("account"))

        name = d.pop("name")

        owners = cast(list[str], d.pop("owners"))

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        def _parse_max_key_age_days(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_key_age_days = _parse_max_key_age_days(d.pop("maxKeyAgeDays"))

        def _parse_revoke_inactive_after_days(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        revoke_inactive_after_days = _parse_revoke_inactive_after_days(
            d.pop("revokeInactiveAfterDays")
        )

        pci_compliance = d.pop("pciCompliance")

        machines_manage_owners = d.pop("machinesManageOwners")

        revoke_leaked_keys = d.pop("revokeLeakedKeys")

        def _parse_user_count(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        user_count = _parse_user_count(d.pop("userCount"))

        def _parse_service_user_count(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        service_user_count = _parse_service_user_count(d.pop("serviceUserCount"))

        account = cls(
            account=account,
            name=name,
            owners=owners,
            created_at=created_at,
            max_key_age_days=max_key_age_days,
            revoke_inactive_after_days=revoke_inactive_after_days,
            pci_compliance=pci_compliance,
            machines_manage_owners=machines_manage_owners,
            revoke_leaked_keys=revoke_leaked_keys,
            user_count=user_count,
            service_user_count=service_user_count,
        )

        account.additional_properties = d
        return account

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
