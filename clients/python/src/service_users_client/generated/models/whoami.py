from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.key_type import KeyType
from ..models.role import Role
from ..models.whoami_kind import WhoamiKind

if TYPE_CHECKING:
    from ..models.api_key import ApiKey


T = TypeVar("T", bound="Whoami")


@_attrs_define
class Whoami:
    """The caller, and the key used to sign in.

    Attributes:
        account (UUID): The account's id.
        username (str):
        kind (WhoamiKind):
        role (Role): What a principal may do, lowest first.
        display_name (str): Display name.
        email (str): The email address.
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        key (ApiKey): An API key, masked to its last five characters; only the response that issues it has the secret.
    """

    account: UUID
    username: str
    kind: WhoamiKind
    role: Role
    display_name: str
    email: str
    key_type: KeyType
    key: ApiKey
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        account = str(self.account)

        username = self.username

        kind = self.kind.value

        role = self.role.value

        display_name = self.display_name

        email = self.email

        key_type = self.key_type.value

        key = self.key.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "account": account,
                "username": username,
                "kind": kind,
                "role": role,
                "displayName": display_name,
                "email": email,
                "keyType": key_type,
                "key": key,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.api_key import ApiKey

        d = dict(src_dict)
        account = UUID(d.pop("account"))

        username = d.pop("username")

        kind = WhoamiKind(d.pop("kind"))

        role = Role(d.pop("role"))

        display_name = d.pop("displayName")

        email = d.pop("email")

        key_type = KeyType(d.pop("keyType"))

        key = ApiKey.from_dict(d.pop("key"))

        whoami = cls(
            account=account,
            username=username,
            kind=kind,
            role=role,
            display_name=display_name,
            email=email,
            key_type=key_type,
            key=key,
        )

        whoami.additional_properties = d
        return whoami

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
