"""A secret never acts above those who were shown it, whatever becomes of its holder's role."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.rules import api_keys, networks
from chalicelib.rules.model import ApiKey, Predecessor, ServiceUser
from chalicelib.rules.roles import KeyType, Role
from tests.support.accounts import PATH, Accounts, assert_problem
from tests.support.api_client import Key, Response

USERS = "/v1/users"


def invites_a_user(accounts: Accounts, key: Key) -> int:
    """Return the status of inviting a User, which takes the role OWNER."""
    body = {"username": "evil-1", "email": "evil-1@people.example", "role": "CLUSTER_ADMIN"}
    status = accounts.stack.call("POST", USERS, key, body).status
    if status == 201:
        assert accounts.call("DELETE", f"{USERS}/evil-1", "owner").status == 204
    return status


def role_of(accounts: Accounts, key: Key) -> str:
    return str(accounts.stack.call("GET", "/v1/whoami", key).json["role"])


def change(accounts: Accounts, caller: str, name: str, **body: Any) -> Response:
    return accounts.call("PUT", f"{PATH}/{name}", caller, body)


def rotate(accounts: Accounts, caller: str, name: str, overlap: int = 0) -> Response:
    body = {"keyType": "USER_MANAGEMENT", "overlapSeconds": overlap}
    return accounts.call("POST", f"{PATH}/{name}/api-keys/rotate", caller, body)


def rotate_own(accounts: Accounts, key: Key, overlap: int = 0) -> Key:
    made = accounts.stack.call("POST", "/v1/api-keys/rotate", key, {"overlapSeconds": overlap})
    assert made.status == 200
    return Key(key.username, made.json["key"])


def ceilings(accounts: Accounts, name: str) -> dict[str, str]:
    shown = accounts.call("GET", f"{PATH}/{name}", "owner").json["apiKeys"]["apiKeys"]
    return {key["keyType"]: key["ceiling"] for key in shown}


@pytest.fixture
def made_by_admin(accounts: Accounts) -> dict[str, Key]:
    """The keys of a CLUSTER_ADMIN Service User that a CLUSTER_ADMIN was shown."""
    return accounts.service_user("CLUSTER_ADMIN")


def test_raising_a_service_user_does_not_raise_a_key_that_a_lower_person_was_shown(
    accounts: Accounts, made_by_admin: dict[str, Key]
) -> None:
    key = made_by_admin["USER_MANAGEMENT"]
    assert invites_a_user(accounts, key) == 403
    raised = change(accounts, "owner", key.username, role="OWNER")
    assert raised.status == 200
    assert {it["ceiling"] for it in raised.json["apiKeys"]["apiKeys"]} == {"CLUSTER_ADMIN"}
    assert raised.json["keysBelowRole"] == [*made_by_admin]
    (event,) = accounts.stack.events("SERVICE_USER_UPDATED")
    assert event["belowRole"] == [*made_by_admin]
    assert invites_a_user(accounts, key) == 403
    assert role_of(accounts, key) == "CLUSTER_ADMIN"
    assert accounts.call("GET", f"{PATH}/{key.username}", "owner").json["role"] == "OWNER"


def test_the_key_an_owner_rotates_rises_and_the_others_stay(
    accounts: Accounts, made_by_admin: dict[str, Key]
) -> None:
    name = made_by_admin["USER_MANAGEMENT"].username
    assert change(accounts, "owner", name, role="OWNER").status == 200
    made = Key(name, rotate(accounts, "owner", name).json["key"])
    assert invites_a_user(accounts, made) == 201
    assert role_of(accounts, made) == "OWNER"
    listed = accounts.call("GET", PATH, "owner").json
    (shown,) = [it for it in listed if it["username"] == name]
    assert shown["keysBelowRole"] == ["MONITORING", "PROVISIONING_READONLY", "PROVISIONING"]
    assert ceilings(accounts, name) == {
        "MONITORING": "CLUSTER_ADMIN",
        "PROVISIONING_READONLY": "CLUSTER_ADMIN",
        "PROVISIONING": "CLUSTER_ADMIN",
        "USER_MANAGEMENT": "OWNER",
    }


def test_a_key_that_an_owner_was_shown_rises_at_once(accounts: Accounts) -> None:
    keys = accounts.stack.service_user(accounts["owner"], "riser-1", "CLUSTER_ADMIN")
    assert invites_a_user(accounts, keys["USER_MANAGEMENT"]) == 403
    assert change(accounts, "owner", "riser-1", role="OWNER").status == 200
    assert invites_a_user(accounts, keys["USER_MANAGEMENT"]) == 201


@pytest.mark.parametrize("overlap", [0, 60])
def test_a_key_that_rotates_itself_passes_its_ceiling_on(
    accounts: Accounts, made_by_admin: dict[str, Key], overlap: int
) -> None:
    key = made_by_admin["USER_MANAGEMENT"]
    assert change(accounts, "owner", key.username, role="OWNER").status == 200
    for _ in range(3):
        key = rotate_own(accounts, key, overlap)
        assert invites_a_user(accounts, key) == 403
    assert ceilings(accounts, key.username)["USER_MANAGEMENT"] == "CLUSTER_ADMIN"


@pytest.mark.parametrize("used", [False, True])
def test_a_predecessor_does_not_rotate_itself_into_the_ceiling_of_its_successor(
    accounts: Accounts, made_by_admin: dict[str, Key], used: bool
) -> None:
    """Whoever knows the replaced key must not learn one that only an OWNER was shown."""
    former = made_by_admin["USER_MANAGEMENT"]
    assert change(accounts, "owner", former.username, role="OWNER").status == 200
    new = Key(former.username, rotate(accounts, "owner", former.username, overlap=600).json["key"])
    if used:
        assert invites_a_user(accounts, new) == 201
    assert role_of(accounts, former) == "CLUSTER_ADMIN"
    stolen = rotate_own(accounts, former, 60)
    assert invites_a_user(accounts, stolen) == 403
    assert role_of(accounts, stolen) == "CLUSTER_ADMIN"


def test_a_lower_person_rotates_an_owners_key_down(accounts: Accounts) -> None:
    accounts.stack.service_user(accounts["owner"], "mixed-1", "CLUSTER_ADMIN")
    assert change(accounts, "owner", "mixed-1", administrators=[accounts["admin"].username]).status == 200
    made = Key("mixed-1", rotate(accounts, "admin", "mixed-1", overlap=600).json["key"])
    assert change(accounts, "owner", "mixed-1", role="OWNER").status == 200
    assert invites_a_user(accounts, made) == 403
    generated = accounts.call("DELETE", f"{PATH}/mixed-1/api-keys?keyType=USER_MANAGEMENT", "owner")
    assert generated.status == 204
    body = {"keyType": "USER_MANAGEMENT"}
    again = accounts.call("POST", f"{PATH}/mixed-1/api-keys", "owner", body)
    assert invites_a_user(accounts, Key("mixed-1", again.json["key"])) == 201


def test_an_administrator_cannot_take_over_an_owner_service_user(accounts: Accounts) -> None:
    """An Administrator below an OWNER Service User takes it over, lowers it, and is handed its key."""
    accounts.stack.service_user(accounts["owner"], "prov-1", "OWNER")
    owner, admin = accounts["owner"].username, accounts["admin"].username
    assert change(accounts, "owner", "prov-1", administrators=[owner, admin]).status == 200
    assert_problem(rotate(accounts, "admin", "prov-1"), 403)
    assert_problem(change(accounts, "admin", "prov-1", administrators=[admin]), 403)
    assert_problem(change(accounts, "admin", "prov-1", role="CLUSTER_ADMIN"), 403)
    kept = accounts.call("GET", f"{PATH}/prov-1", "owner").json
    assert (kept["role"], sorted(kept["administrators"])) == ("OWNER", sorted([owner, admin]))
    # Even if an OWNER lowers it, and an accomplice is handed a key meanwhile:
    assert change(accounts, "owner", "prov-1", role="CLUSTER_ADMIN").status == 200
    handed = Key("prov-1", rotate(accounts, "admin", "prov-1", overlap=604_800).json["key"])
    assert change(accounts, "owner", "prov-1", role="OWNER").status == 200
    assert invites_a_user(accounts, handed) == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"displayName": "Another"}, 200),
        ({"role": "OWNER"}, 200),  # as it is: whoever sends back what they read grants nothing
        ({"role": "CLUSTER_ADMIN"}, 403),
        ({"role": "READ_ONLY", "displayName": "Another"}, 403),
        ({"administrators": ["admin"]}, 403),
    ],
)
def test_what_an_administrator_below_a_service_user_may_change(
    accounts: Accounts, body: dict[str, Any], status: int
) -> None:
    name = accounts.service_user("OWNER")["MONITORING"].username
    if "administrators" in body:
        body = {"administrators": [accounts["owner"].username, accounts["admin"].username]}
    assert change(accounts, "admin", name, **body).status == status


def test_an_administrator_below_may_still_revoke_and_delete(accounts: Accounts) -> None:
    name = accounts.service_user("OWNER")["MONITORING"].username
    assert accounts.call("DELETE", f"{PATH}/{name}/api-keys?keyType=MONITORING", "admin").status == 204
    assert accounts.call("DELETE", f"{PATH}/{name}", "admin").status == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"allowedNetworks": []}, 403),
        ({"allowedNetworks": ["203.0.113.0/23"]}, 400),
        ({"allowedNetworks": ["203.0.112.0/23"]}, 403),
        ({"allowedNetworks": ["203.0.113.0/24", "198.51.100.0/24"]}, 403),
        ({"allowedNetworks": ["2001:db8::/32"]}, 403),
        ({"allowedNetworks": ["203.0.113.128/25"]}, 200),
        ({"expiresAt": None}, 403),
        ({"expiresAt": "2030-06-02T00:00:00Z"}, 403),
        ({"expiresAt": "2030-05-31T00:00:00Z"}, 200),
        ({"expiresAt": "2030-05-31T00:00:00Z", "allowedNetworks": []}, 403),
    ],
)
def test_an_administrator_below_tightens_a_key_and_does_not_loosen_it(
    accounts: Accounts, body: dict[str, Any], status: int
) -> None:
    limits = {"allowedNetworks": ["203.0.113.0/24"], "expiresAt": "2030-06-01T00:00:00Z"}
    name = accounts.service_user("OWNER", **limits)["MONITORING"].username
    path = f"{PATH}/{name}/api-keys"
    assert accounts.call("PATCH", path, "admin", {"keyType": "MONITORING", **body}).status == status
    if status == 403:
        assert accounts.call("PATCH", path, "owner", {"keyType": "MONITORING", **body}).status == 200


def test_a_users_own_keys_rise_with_them(accounts: Accounts) -> None:
    assert (
        accounts.call("PUT", f"{USERS}/{accounts['bystander'].username}", "owner", {"role": "OWNER"}).status
        == 200
    )
    assert invites_a_user(accounts, accounts["bystander"]) == 201


def test_keys_stored_before_ceilings_stay_at_the_role_they_had() -> None:
    former = Predecessor(b"f", "fffff", 9)
    key = ApiKey(b"k", "kkkkk", 1, "ann", predecessor=former)
    other = ApiKey(b"o", "ooooo", 1, "ann", ceiling=Role.OWNER)
    old = ServiceUser(
        username="bot",
        account="a",
        email="e",
        role=Role.READ_ONLY,
        version="v",
        created_at=1,
        id="i",
        keys={KeyType.MONITORING: key, KeyType.PROVISIONING_READONLY: other},
    )
    new, revoked = api_keys.change_role(old, Role.OWNER, 0)
    assert revoked == ()
    assert new.keys == {
        KeyType.MONITORING: replace(
            key, ceiling=Role.READ_ONLY, predecessor=replace(former, ceiling=Role.READ_ONLY)
        ),
        KeyType.PROVISIONING_READONLY: other,
    }
    assert api_keys.change_role(new, Role.READ_ONLY, 0)[0].keys == new.keys


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ((), (), True),
        (("10.0.0.0/8",), (), True),
        ((), ("10.0.0.0/8",), False),
        (("10.1.0.0/16",), ("10.0.0.0/8",), True),
        (("10.0.0.0/8",), ("10.1.0.0/16",), False),
        (("10.1.0.0/16", "11.0.0.0/8"), ("10.0.0.0/8",), False),
        (("10.1.0.0/16", "2001:db8:1::/48"), ("2001:db8::/32", "10.0.0.0/8"), True),
        (("::/0",), ("0.0.0.0/0",), False),
        (("0.0.0.0/0",), ("::/0",), False),
    ],
)
def test_networks_within_others(inner: tuple[str, ...], outer: tuple[str, ...], within: bool) -> None:
    assert networks.within(inner, outer) is within
