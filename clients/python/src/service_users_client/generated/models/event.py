from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.credential import Credential
    from ..models.field_change import FieldChange
    from ..models.key_change import KeyChange
    from ..models.mail import Mail
    from ..models.who import Who


T = TypeVar("T", bound="Event")


@_attrs_define
class Event:
    """One event of the audit trail.

    Attributes:
        id (str): The event's id; ids sort by time.
        at (datetime.datetime): RFC 3339, UTC.
        action (str): What happened. Open set: one of the examples, or a value added later.
        actor (Who): The actor or subject of an event.
        credential (Credential | None):
        subject (Who): The actor or subject of an event.
        keys (list[KeyChange]):
        changes (list[FieldChange]):
        reason (None | str): Why it happened, if the action does not say it.
        source_ip (None | str): The IP address of the call.
        request_id (None | str): The `requestId` of the call.
        mail (Mail): Who has been notified of an event. `waiting` is true while a recipient has still to be notified.
    """

    id: str
    at: datetime.datetime
    action: str
    actor: Who
    credential: Credential | None
    subject: Who
    keys: list[KeyChange]
    changes: list[FieldChange]
    reason: None | str
    source_ip: None | str
    request_id: None | str
    mail: Mail
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.credential import Credential

        id = self.id

        at = self.at.isoformat()

        action = self.action

        actor = self.actor.to_dict()

        credential: dict[str, Any] | None
        if isinstance(self.credential, Credential):
            credential = self.credential.to_dict()
        else:
            credential = self.credential

        subject = self.subject.to_dict()

        keys = []
        for keys_item_data in self.keys:
            keys_item = keys_item_data.to_dict()
            keys.append(keys_item)

        changes = []
        for changes_item_data in self.changes:
            changes_item = changes_item_data.to_dict()
            changes.append(changes_item)

        reason: None | str
        reason = self.reason

        source_ip: None | str
        source_ip = self.source_ip

        request_id: None | str
        request_id = self.request_id

        mail = self.mail.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "at": at,
                "action": action,
                "actor": actor,
                "credential": credential,
                "subject": subject,
                "keys": keys,
                "changes": changes,
                "reason": reason,
                "sourceIp": source_ip,
                "requestId": request_id,
                "mail": mail,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.credential import Credential
        from ..models.field_change import FieldChange
        from ..models.key_change import KeyChange
        from ..models.mail import Mail
        from ..models.who import Who

        d = dict(src_dict)
        id = d.pop("id")

        at = datetime.datetime.fromisoformat(d.pop("at"))

        action = d.pop("action")

        actor = Who.from_dict(d.pop("actor"))

        def _parse_credential(data: object) -> Credential | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                credential_type_0 = Credential.from_dict(data)

                return credential_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Credential | None, data)

        credential = _parse_credential(d.pop("credential"))

        subject = Who.from_dict(d.pop("subject"))

        keys = []
        _keys = d.pop("keys")
        for keys_item_data in _keys:
            keys_item = KeyChange.from_dict(keys_item_data)

            keys.append(keys_item)

        changes = []
        _changes = d.pop("changes")
        for changes_item_data in _changes:
            changes_item = FieldChange.from_dict(changes_item_data)

            changes.append(changes_item)

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        def _parse_source_ip(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        source_ip = _parse_source_ip(d.pop("sourceIp"))

        def _parse_request_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        request_id = _parse_request_id(d.pop("requestId"))

        mail = Mail.from_dict(d.pop("mail"))

        event = cls(
            id=id,
            at=at,
            action=action,
            actor=actor,
            credential=credential,
            subject=subject,
            keys=keys,
            changes=changes,
            reason=reason,
            source_ip=source_ip,
            request_id=request_id,
            mail=mail,
        )

        event.additional_properties = d
        return event

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
