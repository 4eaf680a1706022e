"""A customer's steps with a Python client that a public generator made from the OpenAPI document.

    walk.py FOLDER-OF-THE-CLIENT OWNER.JSON

Nothing here knows a path, a header or a field but by the client's own names.
"""

import json
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

import httpx
from service_users_client import Client
from service_users_client.api.people import invite_user, list_users
from service_users_client.api.service_users import (
    create_service_user,
    delete_service_user,
    generate_service_user_key,
    list_service_users,
    read_service_user,
    restrict_service_user_key,
    revoke_service_user_key,
    rotate_service_user_key,
    update_service_user,
)
from service_users_client.api.the_account import list_events, read_account, update_account
from service_users_client.api.the_api_itself import health
from service_users_client.api.the_caller import rotate_own_key, whoami
from service_users_client.models import (
    CreateServiceUser,
    GenerateKey,
    InviteUser,
    KeyType,
    Problem,
    RestrictKey,
    RevokeKey,
    Role,
    RotateKey,
    RotateOwnKey,
    UpdateAccount,
    UpdateServiceUser,
)

OWNER = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))


def signed_in(username: str, key: str) -> Client:
    """Return a client that signs in by HTTP Basic."""
    return Client(OWNER["baseUrl"], httpx_args={"auth": httpx.BasicAuth(username, key)})


def check(response: Any, status: HTTPStatus) -> Any:
    """Return the parsed response; fail if the status is another or the client could not parse it."""
    assert response.status_code is status, response.content
    assert response.parsed is not None or not response.content, response.content
    return response.parsed


def walk() -> None:
    """Create a Service User, rotate its key, and delete everything again."""
    owner = signed_in(OWNER["username"], OWNER["apiKey"])
    assert check(health.sync_detailed(client=Client(OWNER["baseUrl"])), HTTPStatus.OK).status == "ok"
    assert check(whoami.sync_detailed(client=owner), HTTPStatus.OK).role is Role.OWNER

    asked = CreateServiceUser(
        username="walk-bot",
        email="walk-bot@demo.example",
        role=Role.READ_ONLY,
        key_types=[KeyType.MONITORING],
    )
    made = check(create_service_user.sync_detailed(client=owner, body=asked), HTTPStatus.CREATED)
    assert made.administrators == [OWNER["username"]]
    bot = signed_in("walk-bot", made.api_keys.api_keys[0].key)
    taken = check(create_service_user.sync_detailed(client=owner, body=asked), HTTPStatus.CONFLICT)
    assert isinstance(taken, Problem)
    assert taken.status == 409

    assert check(whoami.sync_detailed(client=bot), HTTPStatus.OK).kind == "SERVICE_USER"
    assert (
        check(read_service_user.sync_detailed("walk-bot", client=bot), HTTPStatus.OK).role is Role.READ_ONLY
    )
    refused = check(list_service_users.sync_detailed(client=bot), HTTPStatus.FORBIDDEN)
    assert "USER_MANAGEMENT" in refused.detail

    rotated = check(
        rotate_own_key.sync_detailed(client=bot, body=RotateOwnKey(overlap_seconds=60)), HTTPStatus.OK
    )
    check(whoami.sync_detailed(client=bot), HTTPStatus.OK)
    bot = signed_in("walk-bot", rotated.key)
    again = check(whoami.sync_detailed(client=bot), HTTPStatus.OK)
    assert again.key.predecessor is not None

    of_type = RotateKey(key_type=KeyType.MONITORING)
    check(rotate_service_user_key.sync_detailed("walk-bot", client=owner, body=of_type), HTTPStatus.OK)
    check(whoami.sync_detailed(client=bot), HTTPStatus.UNAUTHORIZED)

    key_type = KeyType.PROVISIONING_READONLY
    more = GenerateKey(key_type=key_type, allowed_networks=["203.0.113.0/24"])
    other = check(
        generate_service_user_key.sync_detailed("walk-bot", client=owner, body=more), HTTPStatus.CREATED
    )
    shut_out = check(whoami.sync_detailed(client=signed_in("walk-bot", other.key)), HTTPStatus.FORBIDDEN)
    assert "allowed networks" in shut_out.detail
    open_again = RestrictKey(key_type=key_type, allowed_networks=[])
    check(restrict_service_user_key.sync_detailed("walk-bot", client=owner, body=open_again), HTTPStatus.OK)
    check(whoami.sync_detailed(client=signed_in("walk-bot", other.key)), HTTPStatus.OK)
    gone = check(
        revoke_service_user_key.sync_detailed("walk-bot", client=owner, body=RevokeKey(key_type=key_type)),
        HTTPStatus.NO_CONTENT,
    )
    assert gone is None

    person = InviteUser(username="walker", email="walker@demo.example", role=Role.CLUSTER_ADMIN)
    assert check(invite_user.sync_detailed(client=owner, body=person), HTTPStatus.CREATED).status == "INVITED"
    assert {it.username for it in check(list_users.sync_detailed(client=owner), HTTPStatus.OK)} >= {"walker"}
    wrong = UpdateServiceUser(administrators=["nobody"])
    found = check(
        update_service_user.sync_detailed("walk-bot", client=owner, body=wrong), HTTPStatus.BAD_REQUEST
    )
    assert found.errors[0].pointer == "/administrators/0"
    named = UpdateServiceUser(display_name="Walks")
    changed = check(update_service_user.sync_detailed("walk-bot", client=owner, body=named), HTTPStatus.OK)
    assert changed.display_name == "Walks"
    listed = check(list_service_users.sync_detailed(client=owner, limit=1), HTTPStatus.OK)
    assert len(listed) == 1

    policy = UpdateAccount(max_key_age_days=365)
    assert (
        check(update_account.sync_detailed(client=owner, body=policy), HTTPStatus.OK).max_key_age_days == 365
    )
    assert check(read_account.sync_detailed(client=owner), HTTPStatus.OK).owners == [OWNER["username"]]
    events = check(list_events.sync_detailed(client=owner, username="walk-bot"), HTTPStatus.OK)
    assert events[0].action == "SERVICE_USER_UPDATED"
    assert events[-1].action == "SERVICE_USER_CREATED"

    check(delete_service_user.sync_detailed("walk-bot", client=owner), HTTPStatus.NO_CONTENT)
    check(read_service_user.sync_detailed("walk-bot", client=owner), HTTPStatus.NOT_FOUND)


if __name__ == "__main__":
    walk()
    print("The generated client went through the walk.")
