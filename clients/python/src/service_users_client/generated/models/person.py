from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.invitation_state import InvitationState
from ..models.person_status import PersonStatus
from ..models.role import Role

if TYPE_CHECKING:
    from ..models.email_failure import EmailFailure


T = TypeVar("T", bound="Person")


@_attrs_define
class Person:
    """A User of the account, with what has become of their invitation.

    Attributes:
        account (UUID): The account's id.
        username (str):
        display_name (str): Display name.
        email (str): The email address.
        role (Role): What a principal may do, lowest first.
        status (PersonStatus):
        invited_by (None | str): The username of whoever invited them; null for the first OWNER.
        created_at (datetime.datetime): RFC 3339, UTC.
        suspended_at (datetime.datetime | None): Since when it is suspended: refused wherever it signs in; else null.
        suspended_by (None | str): The username of whoever suspended it.
        email_failure (EmailFailure | None): The last failure of emails to the address; null if none is known.
        invitation (InvitationState | None):
    """

    account: UUID
    username: str
    display_name: str
    email: str
    role: Role
    status: PersonStatus
    invited_by: None | str
    created_at: datetime.datetime
    suspended_at: datetime.datetime | None
    suspended_by: None | str
    email_failure: EmailFailure | None
    invitation: InvitationState | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.email_failure import EmailFailure

        account = str(self.account)

        username = self.username

        display_name = self.display_name

        email = self.email

        role = self.role.value

        status = self.status.value

        invited_by: None | str
        invited_by = self.invited_by

        created_at = self.created_at.isoformat()

        suspended_at: None | str
        if isinstance(self.suspended_at, datetime.datetime):
            suspended_at = self.suspended_at.isoformat()
        else:
            suspended_at = self.suspended_at

        suspended_by: None | str
        suspended_by = self.suspended_by

        email_failure: dict[str, Any] | None
        if isinstance(self.email_failure, EmailFailure):
            email_failure = self.email_failure.to_dict()
        else:
            email_failure = self.email_failure

        invitation: None | str
        if isinstance(self.invitation, InvitationState):
            invitation = self.invitation.value
        else:
            invitation = self.invitation

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "account": account,
                "username": username,
                "displayName": display_name,
                "email": email,
                "role": role,
                "status": status,
                "invitedBy": invited_by,
                "createdAt": created_at,
                "suspendedAt": suspended_at,
                "suspendedBy": suspended_by,
                "emailFailure": email_failure,
                "invitation": invitation,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.email_failure import EmailFailure

        d = dict(src_dict)
        account = UUID(d.pop("account"))

        username = d.pop("username")

        display_name = d.pop("displayName")

        email = d.pop("email")

        role = Role(d.pop("role"))

        status = PersonStatus(d.pop("status"))

        def _parse_invited_by(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        invited_by = _parse_invited_by(d.pop("invitedBy"))

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        def _parse_suspended_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                suspended_at_type_0 = datetime.datetime.fromisoformat(data)

                return suspended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        suspended_at = _parse_suspended_at(d.pop("suspendedAt"))

        def _parse_suspended_by(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        suspended_by = _parse_suspended_by(d.pop("suspendedBy"))

        def _parse_email_failure(data: object) -> EmailFailure | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                email_failure_type_0 = EmailFailure.from_dict(data)

                return email_failure_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EmailFailure | None, data)

        email_failure = _parse_email_failure(d.pop("emailFailure"))

        def _parse_invitation(data: object) -> InvitationState | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                invitation_type_0 = InvitationState(data)

                return invitation_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(InvitationState | None, data)

        invitation = _parse_invitation(d.pop("invitation"))

        person = cls(
            account=account,
            username=username,
            display_name=display_name,
            email=email,
            role=role,
            status=status,
            invited_by=invited_by,
            created_at=created_at,
            suspended_at=suspended_at,
            suspended_by=suspended_by,
            email_failure=email_failure,
            invitation=invitation,
        )

        person.additional_properties = d
        return person

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
