"""Who may do what: one function a rule, each raises Forbidden with the reason (product page; DESIGN)."""

from chalicelib.rules.context import AuthContext
from chalicelib.rules.errors import Forbidden
from chalicelib.rules.model import Principal, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import KeyType, Role


def require_management_key(auth: AuthContext) -> None:
    """Management calls need a USER_MANAGEMENT key."""
    if auth.key_type is not KeyType.USER_MANAGEMENT:
        raise Forbidden(
            f"This call needs a USER_MANAGEMENT key; you signed in with a {auth.key_type.value} key."
        )


def require_can_manage_service_users(auth: AuthContext) -> User:
    """OWNER and CLUSTER_ADMIN Users see and create Service Users; Service Users never do."""
    return _staff(auth, "Service Users are managed by OWNER and CLUSTER_ADMIN Users")


def require_can_list_users(auth: AuthContext) -> None:
    """OWNERs, and CLUSTER_ADMIN Users (who pick Administrators), see the people of the account."""
    require_management_key(auth)
    if auth.caller.role is Role.OWNER:
        return
    _staff(auth, "People are listed by OWNERs and CLUSTER_ADMIN Users")


def require_can_manage_users(auth: AuthContext) -> None:
    """OWNERs, Users and Service Users alike, invite, change and revoke people."""
    require_management_key(auth)
    if auth.caller.role is not Role.OWNER:
        raise Forbidden(
            f"People are run by OWNERs; your role is {auth.caller.role.value}. Ask an OWNER of the account."
        )


def require_can_read_account(auth: AuthContext) -> User:
    """OWNER and CLUSTER_ADMIN Users see the account's settings and its events."""
    return _staff(auth, "The account is seen by OWNER and CLUSTER_ADMIN Users")


def require_can_change_account(auth: AuthContext) -> User:
    """OWNER Users change the account's name and policy."""
    user = _staff(auth, "The account is run by OWNER Users")
    if user.role is not Role.OWNER:
        raise Forbidden(f"The account is run by OWNER Users; your role is {user.role.value}.")
    return user


def require_administers(auth: AuthContext, target: ServiceUser) -> None:
    """OWNER Users change any Service User of the account, CLUSTER_ADMIN Users those they administer."""
    user = require_can_manage_service_users(auth)
    if user.role is not Role.OWNER and not administers(user, target):
        raise Forbidden(
            f"You are not an Administrator of '{target.username}'. "
            "Ask one of its Administrators, or an OWNER, to add you."
        )


def administers(user: User, target: ServiceUser) -> bool:
    """Answer whether a User is listed as an Administrator with the membership they have now."""
    return target.administrators.get(fold_username(user.username)) == user.membership


def require_can_grant(auth: AuthContext, role: Role) -> None:
    """Nobody grants a role above their own."""
    if not auth.caller.role.covers(role):
        raise Forbidden(f"The role {role.value} is above your own, {auth.caller.role.value}.")


def require_can_issue_keys(auth: AuthContext, target: ServiceUser) -> None:
    """A key hands out its holder's role, so nobody is handed one of a Service User above their own role."""
    if not auth.caller.role.covers(target.role):
        raise Forbidden(
            f"'{target.username}' has the role {target.role.value}, above your own, "
            f"{auth.caller.role.value}: its keys are for an OWNER to generate and rotate."
        )


def require_own_keys(auth: AuthContext, username: str) -> None:
    """People manage their own keys and nobody else's."""
    require_management_key(auth)
    if fold_username(auth.caller.username) != fold_username(username):
        raise Forbidden(
            "People manage their own keys only. An OWNER revokes a person, or sends them a fresh invitation."
        )


def is_same_principal(one: Principal, other: Principal) -> bool:
    """Answer whether two Principals are one and the same."""
    return fold_username(one.username) == fold_username(other.username)


def _staff(auth: AuthContext, rule: str) -> User:
    require_management_key(auth)
    caller = auth.caller
    if not isinstance(caller, User):
        raise Forbidden(f"{rule}; a Service User cannot.")
    if not caller.role.covers(Role.CLUSTER_ADMIN):
        raise Forbidden(f"{rule}; your role is {caller.role.value}.")
    return caller
