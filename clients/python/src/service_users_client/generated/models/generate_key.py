from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.key_type import KeyType
from ..types import UNSET, Unset

T = TypeVar("T", bound="GenerateKey")


@_attrs_define
class GenerateKey:
    """A key to generate, of a type of which the holder has none.

    Attributes:
        key_type (KeyType): What an API key may be used for. Each deployment has its own key types, those of its
            catalogue.
        allowed_networks (list[str] | Unset): IPv4 and IPv6 networks from which the key works; an empty list allows
            every address.
        expires_at (datetime.datetime | None | Unset): Expiry of the key: a time in the future (RFC 3339); null for no
            expiry.
    """

    key_type: KeyType
    allowed_networks: list[str] | Unset = UNSET
    expires_at: datetime.datetime | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        key_type = self.key_type.value

        allowed_networks: list[str] | Unset = UNSET
        if not isinstance(self.allowed_networks, Unset):
            allowed_networks = self.allowed_networks

        expires_at: None | str | Unset
        if isinstance(self.expires_at, Unset):
            expires_at = UNSET
        elif isinstance(self.expires_at, datetime.datetime):
            expires_at = self.expires_at.isoformat()
        else:
            expires_at = self.expires_at

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "keyType": key_type,
            }
        )
        if allowed_networks is not UNSET:
            field_dict["allowedNetworks"] = allowed_networks
        if expires_at is not UNSET:
            field_dict["expiresAt"] = expires_at

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        key_type = KeyType(d.pop("keyType"))

        allowed_networks = cast(list[str], d.pop("allowedNetworks", UNSET))

        def _parse_expires_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                expires_at_type_0 = datetime.datetime.fromisoformat(data)

                return expires_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        expires_at = _parse_expires_at(d.pop("expiresAt", UNSET))

        generate_key = cls(
            key_type=key_type,
            allowed_networks=allowed_networks,
            expires_at=expires_at,
        )

        return generate_key
