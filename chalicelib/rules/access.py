"""Who may do what: one function a rule, each raises Forbidden with the reason (product page; DESIGN)."""

from chalicelib.rules.acts import Act
from chalicelib.rules.faults import Forbidden
from chalicelib.rules.model import Principal, ServiceUser, User
from chalicelib.rules.names import fold_username
from chalicelib.rules.roles import KeyType, Role


def manage_anything(act: Act) -> None:
    """Management calls need a USER_MANAGEMENT key."""
    if act.key_type is not KeyType.USER_MANAGEMENT:
        raise Forbidden(
            f"This call needs a USER_MANAGEMENT key; you signed in with a {act.key_type.value} key."
        )


def see_service_users(act: Act) -> User:
    """OWNER and CLUSTER_ADMIN Users see and create Service Users; Service Users never do."""
    return _staff(act, "Service Users are managed by OWNER and CLUSTER_ADMIN Users")


def see_people(act: Act) -> None:
    """OWNERs, and CLUSTER_ADMIN Users (who pick Administrators), see the people of the account."""
    manage_anything(act)
    if act.caller.role is Role.OWNER:
        return
    _staff(act, "People are listed by OWNERs and CLUSTER_ADMIN Users")


def run_people(act: Act) -> None:
    """OWNERs, Users and Service Users alike, invite, change and revoke people."""
    manage_anything(act)
    if act.caller.role is not Role.OWNER:
        raise Forbidden(
            f"People are run by OWNERs; your role is {act.caller.role.value}. Ask an OWNER of the account."
        )


def see_account(act: Act) -> User:
    """OWNER and CLUSTER_ADMIN Users see the account's settings and its events."""
    return _staff(act, "The account is seen by OWNER and CLUSTER_ADMIN Users")


def run_account(act: Act) -> User:
    """OWNER Users change the account's name and policy."""
    user = _staff(act, "The account is run by OWNER Users")
    if user.role is not Role.OWNER:
        raise Forbidden(f"The account is run by OWNER Users; your role is {user.role.value}.")
    return user


def change(act: Act, target: ServiceUser) -> None:
    """OWNER Users change any Service User of the account, CLUSTER_ADMIN Users those they administer."""
    user = see_service_users(act)
    if user.role is not Role.OWNER and not administers(user, target):
        raise Forbidden(
            f"You are not an Administrator of '{target.username}'. "
            "Ask one of its Administrators, or an OWNER, to add you."
        )


def administers(user: User, target: ServiceUser) -> bool:
    """Answer whether a User is listed as an Administrator with the membership they have now."""
    return target.administrators.get(fold_username(user.username)) == user.membership


def grant(act: Act, role: Role) -> None:
    """Nobody grants a role above their own."""
    if not act.caller.role.covers(role):
        raise Forbidden(f"The role {role.value} is above your own, {act.caller.role.value}.")


def hand_out_keys(act: Act, target: ServiceUser) -> None:
    """A key hands out its holder's role, so nobody is handed one of a Service User above their own role."""
    if not act.caller.role.covers(target.role):
        raise Forbidden(
            f"'{target.username}' has the role {target.role.value}, above your own, {act.caller.role.value}: "
            "its keys are for an OWNER to generate and rotate."
        )


def own_keys(act: Act, username: str) -> None:
    """People manage their own keys and nobody else's."""
    manage_anything(act)
    if fold_username(act.caller.username) != fold_username(username):
        raise Forbidden(
            "People manage their own keys only. An OWNER revokes a person, or sends them a fresh invitation."
        )


def same_person(one: Principal, other: Principal) -> bool:
    """Answer whether two Principals are one and the same."""
    return fold_username(one.username) == fold_username(other.username)


def _staff(act: Act, rule: str) -> User:
    manage_anything(act)
    caller = act.caller
    if not isinstance(caller, User):
        raise Forbidden(f"{rule}; a Service User cannot.")
    if not caller.role.covers(Role.CLUSTER_ADMIN):
        raise Forbidden(f"{rule}; your role is {caller.role.value}.")
    return caller
