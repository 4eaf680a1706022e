from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.key_type import KeyType

T = TypeVar("T", bound="Credential")


@_attrs_define
class Credential:
    """The credential that the actor of an event used.

    Attributes:
        kind (str): `API_KEY`: a call with that key. `SESSION`: in the console, in a session that the passkey started.
            `PASSKEY`: the sign-in to the console. `INVITATION`: an invitation's token. `CODE`: a code for a passkey, which
            was mailed for an API key. Open set: one of these, or a value added later.
        key_type (KeyType | None):
        key (None | str): A key, masked to its last five characters.
        last5 (None | str): The last five characters of the key, by which people tell keys apart.
        passkey (None | str): The name of the passkey, if there still was one.
    """

    kind: str
    key_type: KeyType | None
    key: None | str
    last5: None | str
    passkey: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind

        key_type: None | str
        if isinstance(self.key_type, KeyType):
            key_type = self.key_type.value
        else:
            key_type = self.key_type

        key: None | str
        key = self.key

        last5: None | str
        last5 = self.last5

        passkey: None | str
        passkey = self.passkey

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "kind": kind,
                "keyType": key_type,
                "key": key,
                "last5": last5,
                "passkey": passkey,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        kind = d.pop("kind")

        def _parse_key_type(data: object) -> KeyType | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                key_type_type_0 = KeyType(data)

                return key_type_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(KeyType | None, data)

        key_type = _parse_key_type(d.pop("keyType"))

        def _parse_key(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        key = _parse_key(d.pop("key"))

        def _parse_last5(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        last5 = _parse_last5(d.pop("last5"))

        def _parse_passkey(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        passkey = _parse_passkey(d.pop("passkey"))

        credential = cls(
            kind=kind,
            key_type=key_type,
            key=key,
            last5=last5,
            passkey=passkey,
        )

        credential.additional_properties = d
        return credential

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
