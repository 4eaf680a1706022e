"""Contains all the data models used in inputs/outputs"""

from .account import Account
from .activate_user import ActivateUser
from .activated import Activated
from .activated_status import ActivatedStatus
from .allowed_key_type import AllowedKeyType
from .api_key import ApiKey
from .api_keys import ApiKeys
from .create_service_user import CreateServiceUser
from .create_service_user_labels import CreateServiceUserLabels
from .credential import Credential
from .email_failure import EmailFailure
from .end_shown_keys_revoke_user import EndShownKeysRevokeUser
from .ended_keys import EndedKeys
from .error_detail import ErrorDetail
from .event import Event
from .feedback import Feedback
from .field_change import FieldChange
from .find_key import FindKey
from .found_key import FoundKey
from .found_key_kind import FoundKeyKind
from .generate_key import GenerateKey
from .health import Health
from .health_check import HealthCheck
from .invitation_state import InvitationState
from .invite_user import InviteUser
from .key_change import KeyChange
from .key_restrictions import KeyRestrictions
from .key_type import KeyType
from .leaked_key import LeakedKey
from .list_events_order import ListEventsOrder
from .list_service_users_never_used import ListServiceUsersNeverUsed
from .list_service_users_sort import ListServiceUsersSort
from .list_service_users_without_networks import ListServiceUsersWithoutNetworks
from .list_users_status import ListUsersStatus
from .list_users_suspended import ListUsersSuspended
from .mail import Mail
from .openapi_response_200 import OpenapiResponse200
from .person import Person
from .person_status import PersonStatus
from .predecessor import Predecessor
from .problem import Problem
from .received import Received
from .restrict_key import RestrictKey
from .revoke_key import RevokeKey
from .revoke_own_key_even_if_locked_out import RevokeOwnKeyEvenIfLockedOut
from .revoke_own_key_of_type_even_if_locked_out import RevokeOwnKeyOfTypeEvenIfLockedOut
from .revoke_service_user_key_even_if_locked_out import (
    RevokeServiceUserKeyEvenIfLockedOut,
)
from .revoke_service_user_key_of_type_even_if_locked_out import (
    RevokeServiceUserKeyOfTypeEvenIfLockedOut,
)
from .role import Role
from .rotate_key import RotateKey
from .rotate_own_key import RotateOwnKey
from .service_user import ServiceUser
from .service_user_labels import ServiceUserLabels
from .shown_key import ShownKey
from .table_states import TableStates
from .update_account import UpdateAccount
from .update_service_user import UpdateServiceUser
from .update_service_user_labels import UpdateServiceUserLabels
from .update_user import UpdateUser
from .user import User
from .user_status import UserStatus
from .who import Who
from .whoami import Whoami
from .whoami_kind import WhoamiKind

__all__ = (
    "Account",
    "ActivateUser",
    "Activated",
    "ActivatedStatus",
    "AllowedKeyType",
    "ApiKey",
    "ApiKeys",
    "CreateServiceUser",
    "CreateServiceUserLabels",
    "Credential",
    "EmailFailure",
    "EndShownKeysRevokeUser",
    "EndedKeys",
    "ErrorDetail",
    "Event",
    "Feedback",
    "FieldChange",
    "FindKey",
    "FoundKey",
    "FoundKeyKind",
    "GenerateKey",
    "Health",
    "HealthCheck",
    "InvitationState",
    "InviteUser",
    "KeyChange",
    "KeyRestrictions",
    "KeyType",
    "LeakedKey",
    "ListEventsOrder",
    "ListServiceUsersNeverUsed",
    "ListServiceUsersSort",
    "ListServiceUsersWithoutNetworks",
    "ListUsersStatus",
    "ListUsersSuspended",
    "Mail",
    "OpenapiResponse200",
    "Person",
    "PersonStatus",
    "Predecessor",
    "Problem",
    "Received",
    "RestrictKey",
    "RevokeKey",
    "RevokeOwnKeyEvenIfLockedOut",
    "RevokeOwnKeyOfTypeEvenIfLockedOut",
    "RevokeServiceUserKeyEvenIfLockedOut",
    "RevokeServiceUserKeyOfTypeEvenIfLockedOut",
    "Role",
    "RotateKey",
    "RotateOwnKey",
    "ServiceUser",
    "ServiceUserLabels",
    "ShownKey",
    "TableStates",
    "UpdateAccount",
    "UpdateServiceUser",
    "UpdateServiceUserLabels",
    "UpdateUser",
    "User",
    "UserStatus",
    "Who",
    "Whoami",
    "WhoamiKind",
)
