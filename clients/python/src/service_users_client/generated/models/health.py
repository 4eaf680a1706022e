from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.table_states import TableStates


T = TypeVar("T", bound="Health")


@_attrs_define
class Health:
    """The health of the API, and its version.

    Attributes:
        status (str): Health status.
        version (str): The version of the contract that this stack serves.
        release (str | Unset): The deployed release: the version, and the commit if it is not a tag.
        tables (TableStates | Unset): The state of the tables.
    """

    status: str
    version: str
    release: str | Unset = UNSET
    tables: TableStates | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        version = self.version

        release = self.release

        tables: dict[str, Any] | Unset = UNSET
        if not isinstance(self.tables, Unset):
            tables = self.tables.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "version": version,
            }
        )
        if release is not UNSET:
            field_dict["release"] = release
        if tables is not UNSET:
            field_dict["tables"] = tables

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.table_states import TableStates

        d = dict(src_dict)
        status = d.pop("status")

        version = d.pop("version")

        release = d.pop("release", UNSET)

        _tables = d.pop("tables", UNSET)
        tables: TableStates | Unset
        if isinstance(_tables, Unset):
            tables = UNSET
        else:
            tables = TableStates.from_dict(_tables)

        health = cls(
            status=status,
            version=version,
            release=release,
            tables=tables,
        )

        health.additional_properties = d
        return health

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
