"""No key is ended without an event and an email that name it, also one that ends with another."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.rules.key_format import digest
from chalicelib.store.pointers import name
from tests.support.api_client import Key, Stack
from tests.support.dynamodb_faults import before_next_call
from tests.support.mail import MailFixture
from tests.support.reference_model import moment

SERVICE_USER = "/v1/service-users/bot"
KEYS = f"{SERVICE_USER}/api-keys"


@pytest.fixture
def owner(stack: Stack) -> Key:
    return stack.account()


@pytest.fixture
def eve(stack: Stack, owner: Key) -> Key:
    return stack.user(owner, "eve", "OWNER")


@pytest.fixture
def old(stack: Stack, owner: Key) -> Key:
    return stack.service_user(owner, "bot", "CLUSTER_ADMIN", keyTypes=["PROVISIONING"])["PROVISIONING"]


def mailed(stack: Stack) -> str:
    """Mail the pending events; return the texts."""
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    parts = [message.get_body(("plain",)) for _, message in mail.ses.sent]
    return "\n".join(" ".join(part.get_content().split()) for part in parts if part is not None)


def rotate(stack: Stack, by: Key, overlap: int = 3600) -> str:
    stack.clock.forward(1)  # events of one second have no order
    body = {"keyType": "PROVISIONING", "overlapSeconds": overlap}
    response = stack.call("POST", f"{KEYS}/rotate", by, body)
    assert response.status == 200
    return str(response.json["key"])


def revoke(stack: Stack, owner: Key) -> None:
    assert stack.call("DELETE", f"{KEYS}?keyType=PROVISIONING", owner).status == 204


def delete(stack: Stack, owner: Key) -> None:
    assert stack.call("DELETE", SERVICE_USER, owner).status == 204


def lower(stack: Stack, owner: Key) -> None:
    assert stack.call("PUT", SERVICE_USER, owner, {"role": "READ_ONLY"}).status == 200


def offboard(stack: Stack, owner: Key) -> None:
    """The owner was shown the predecessor, and eve the key."""
    assert stack.call("DELETE", "/v1/users/eve/shown-keys?revokeUser=true", owner).json["complete"]


@pytest.mark.parametrize("end", [revoke, delete, lower, offboard])
@pytest.mark.parametrize("later", [3599, 3600])
def test_what_ends_a_key_names_the_one_that_ends_with_it(
    stack: Stack,
    owner: Key,
    eve: Key,
    old: Key,
    end: Callable[[Stack, Key], None],
    later: int,
) -> None:
    new = rotate(stack, eve)
    stack.clock.forward(later)
    end(stack, owner)
    assert stack.sign_in(old) == 401
    found = stack.call("GET", "/v1/events?username=bot&limit=1", owner).json[0]
    [change] = found["keys"]
    assert (change["change"], change["last5"]) == ("REVOKED", new[-5:])
    if later == 3600:  # it had ended by itself
        assert change["alsoEnded"] is None
    else:
        assert change["alsoEnded"] == old.secret[-5:]
        assert f"…{old.secret[-5:]}" in mailed(stack)


def test_a_report_of_the_successor_names_its_predecessor(stack: Stack, owner: Key, old: Key) -> None:
    new = rotate(stack, owner)
    stack.clock.forward(1)
    found = [{"token": new, "type": "service_users_api_key", "url": ""}]
    assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    [change] = stack.call("GET", "/v1/events?username=bot&limit=1", owner).json[0]["keys"]
    assert (change["last5"], change["alsoEnded"]) == (new[-5:], old.secret[-5:])


@pytest.mark.parametrize("overlap", [0, 60])
def test_a_second_rotation_names_the_oldest_of_three(
    stack: Stack, owner: Key, old: Key, overlap: int
) -> None:
    second = rotate(stack, owner)
    third = rotate(stack, owner, overlap)
    found = stack.call("GET", "/v1/events?username=bot&limit=1", owner).json[0]
    [change] = found["keys"]
    named = (change["last5"], change["previousLast5"], change["alsoEnded"])
    assert named == (third[-5:], second[-5:], old.secret[-5:])
    assert f"Another key of the type, …{old.secret[-5:]}, stopped working at once" in mailed(stack)


def test_the_key_of_a_lost_response_is_named(stack: Stack, owner: Key, old: Key) -> None:
    """Whoever has the predecessor can end the key that an Administrator was just shown."""
    lost = rotate(stack, owner)
    stack.clock.forward(1)
    response = stack.call("POST", "/v1/api-keys/rotate", old, {"overlapSeconds": 60})
    assert response.status == 200
    [change] = stack.call("GET", "/v1/events?username=bot&limit=1", owner).json[0]["keys"]
    assert (change["previousLast5"], change["alsoEnded"]) == (old.secret[-5:], lost[-5:])


def test_a_key_that_is_generated_names_the_expired_one_that_it_replaces(
    stack: Stack, owner: Key, old: Key
) -> None:
    soon: dict[str, Any] = {"keyType": "PROVISIONING", "expiresAt": moment(int(stack.clock()) + 60)}
    soon["allowedNetworks"] = ["203.0.113.0/24"]
    assert stack.call("PATCH", KEYS, owner, soon).status == 200
    stack.clock.forward(61)
    new = stack.call("POST", KEYS, owner, {"keyType": "PROVISIONING"})
    assert new.status == 201
    [change] = stack.call("GET", "/v1/events?username=bot&limit=1", owner).json[0]["keys"]
    assert (change["change"], change["previousLast5"]) == ("GENERATED", old.secret[-5:])
    texts = mailed(stack)
    assert f"replaces …{old.secret[-5:]}" in texts
    assert "Allowed networks: 203.0.113.0/24 → every address" in texts, "it is wider than what it replaces"


@pytest.mark.parametrize("presented", ["key", "predecessor"])
def test_revoking_ones_own_key_names_the_one_that_a_rotation_has_put_there(
    stack: Stack, owner: Key, presented: str
) -> None:
    """A thief who rotates it at that moment must not have the event name a key that was dead by then."""
    eve = stack.user(owner, "eve", "CLUSTER_ADMIN")
    path = "/v1/users/eve/api-keys"
    assert stack.call("POST", path, eve, {"keyType": "PROVISIONING"}).status == 201
    new: list[str] = []

    def rotate_meanwhile() -> None:
        stack.clock.forward(1)
        response = stack.call("POST", f"{path}/rotate", eve, {"keyType": "PROVISIONING"})
        new.append(response.json["key"])
        if presented == "predecessor":
            body = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 60}
            assert stack.call("POST", f"{path}/rotate", eve, body).status == 200
        stack.clock.forward(1)

    with before_next_call(stack, "TransactWriteItems", rotate_meanwhile):
        assert stack.call("DELETE", f"{path}?keyType=PROVISIONING", eve).status == 204
    events = stack.call("GET", "/v1/events?username=eve&action=API_KEY_REVOKED", owner).json
    assert [it["keys"][0]["last5"] for it in events] == [new[0][-5:]]
    pointers = {it["pk"] for it in stack.items(stack.tables.directory)}
    assert name(digest(new[0])) not in pointers
