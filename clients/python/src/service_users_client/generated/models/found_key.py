from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.found_key_kind import FoundKeyKind
from ..models.role import Role

if TYPE_CHECKING:
    from ..models.api_key import ApiKey


T = TypeVar("T", bound="FoundKey")


@_attrs_define
class FoundKey:
    """A key that was found, and whose it is.

    Attributes:
        username (str):
        kind (FoundKeyKind):
        role (Role): What a principal may do, lowest first.
        display_name (str): Display name.
        is_predecessor (bool): Whether it is the key that `apiKey` replaced, its `predecessor`.
        api_key (ApiKey): An API key, masked to its last five characters; only the response that issues it has the
            secret.
    """

    username: str
    kind: FoundKeyKind
    role: Role
    display_name: str
    is_predecessor: bool
    api_key: ApiKey
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        username = self.username

        kind = self.kind.value

        role = self.role.value

        display_name = self.display_name

        is_predecessor = self.is_predecessor

        api_key = self.api_key.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "username": username,
                "kind": kind,
                "role": role,
                "displayName": display_name,
                "isPredecessor": is_predecessor,
                "apiKey": api_key,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.api_key import ApiKey

        d = dict(src_dict)
        username = d.pop("username")

        kind = FoundKeyKind(d.pop("kind"))

        role = Role(d.pop("role"))

        display_name = d.pop("displayName")

        is_predecessor = d.pop("isPredecessor")

        api_key = ApiKey.from_dict(d.pop("apiKey"))

        found_key = cls(
            username=username,
            kind=kind,
            role=role,
            display_name=display_name,
            is_predecessor=is_predecessor,
            api_key=api_key,
        )

        found_key.additional_properties = d
        return found_key

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
