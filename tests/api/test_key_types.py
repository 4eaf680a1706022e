"""What a catalogue decides about keys: their longest life, networks, and types that it has no more."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.http import responses
from chalicelib.rules import roles
from tests.support.accounts import PATH, service_user_body
from tests.support.api_client import Clock, Key, Stack
from tests.support.mail import MailFixture
from tests.support.openapi_assertions import ResponseChecker

START = 1_900_000_000  # 2030-03-17T17:46:40Z
DAY = 86_400
KEYS = f"{PATH}/bot/api-keys"
OFFICE = ["203.0.113.0/24"]

Edit = Callable[..., None]


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Change a key type as an edit of the catalogue does: ``edit("MONITORING", max_life_days=30)``."""

    def change(name: str, **fields: Any) -> None:
        entry = replace(roles._ENTRIES[name], **fields)
        monkeypatch.setattr(roles, "_ENTRIES", {**roles._ENTRIES, name: entry})
        monkeypatch.setattr(
            roles,
            "_HELD_BY",
            {role: tuple(it for it in roles.KeyType if role.covers(it.least_role)) for role in roles.Role},
        )

    return change


@pytest.fixture
def remove(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Take a key type out of the catalogue."""

    def change(name: str) -> None:
        left = {it: entry for it, entry in roles._ENTRIES.items() if it != name}
        monkeypatch.setattr(roles, "_ENTRIES", left)
        held = {role: tuple(it for it in types if it.value != name) for role, types in roles._HELD_BY.items()}
        monkeypatch.setattr(roles, "_HELD_BY", held)

    return change


def key_of(stack: Stack, by: Key, key_type: str = "MONITORING") -> dict[str, Any]:
    found: dict[str, Any] = stack.call("GET", f"{KEYS}/{key_type}", by).json
    return found


# The longest life


def test_a_key_without_an_expiry_gets_the_longest_life_of_its_type(
    stack: Stack, owner: Key, edit: Edit
) -> None:
    edit("MONITORING", max_life_days=30)
    stack.service_user(owner, "bot")
    assert key_of(stack, owner)["expiresAt"] == "2030-04-16T17:46:40Z"
    assert key_of(stack, owner, "PROVISIONING_READONLY")["expiresAt"] is None
    assert stack.call("DELETE", f"{KEYS}/MONITORING", owner).status == 204
    made = stack.call("POST", KEYS, owner, {"keyType": "MONITORING"})
    assert (made.status, made.json["expiresAt"]) == (201, "2030-04-16T17:46:40Z")


def test_a_rotation_begins_a_life_that_nobody_chose_anew(
    stack: Stack, owner: Key, edit: Edit, clock: Clock
) -> None:
    edit("MONITORING", max_life_days=30)
    bot = stack.service_user(owner, "bot")["MONITORING"]
    clock.forward(20 * DAY)
    rotated = stack.call("POST", "/v1/api-keys/rotate", bot, {"overlapSeconds": 3600})
    assert (rotated.status, rotated.json["expiresAt"]) == (200, "2030-05-06T17:46:40Z")
    edit("MONITORING", max_life_days=7)
    again = stack.call("POST", "/v1/api-keys/rotate", Key("bot", rotated.json["key"]))
    assert again.json["expiresAt"] == "2030-04-13T17:46:40Z", "a shorter life holds from the next secret on"
    edit("MONITORING", max_life_days=None)
    last = stack.call("POST", "/v1/api-keys/rotate", Key("bot", again.json["key"]))
    assert last.json["expiresAt"] == "2030-04-13T17:46:40Z", "and no later catalogue gives a longer one"
    clock.forward(7 * DAY)
    assert not stack.signs_in(Key("bot", last.json["key"]))


def test_an_expiry_that_somebody_chose_stays_in_a_rotation(stack: Stack, owner: Key, edit: Edit) -> None:
    edit("MONITORING", max_life_days=30)
    stack.service_user(owner, "bot")
    chosen = {"keyType": "MONITORING", "expiresAt": "2030-03-20T00:00:00Z"}
    assert stack.call("PATCH", KEYS, owner, chosen).status == 200
    rotated = stack.call("POST", f"{KEYS}/rotate", owner, {"keyType": "MONITORING"})
    assert rotated.json["expiresAt"] == "2030-03-20T00:00:00Z"


@pytest.mark.parametrize("ends", ["2030-04-16T17:46:41Z", None])
def test_no_call_gives_a_longer_life(stack: Stack, owner: Key, edit: Edit, ends: str | None) -> None:
    edit("MONITORING", max_life_days=30)
    stack.service_user(owner, "bot")
    refused = stack.call("PATCH", KEYS, owner, {"keyType": "MONITORING", "expiresAt": ends})
    assert (refused.status, refused.pointers) == (400, ["/expiresAt"])
    assert key_of(stack, owner)["expiresAt"] == "2030-04-16T17:46:40Z"
    if ends is not None:
        stack.call("DELETE", f"{KEYS}/MONITORING", owner)
        for method, path, body in (
            ("POST", KEYS, {"keyType": "MONITORING", "expiresAt": ends}),
            ("POST", PATH, service_user_body("other", expiresAt=ends)),
        ):
            refused = stack.call(method, path, owner, body)
            assert (refused.status, refused.pointers) == (400, ["/expiresAt"])


def test_a_key_from_before_a_longest_life_keeps_what_it_has(
    stack: Stack, owner: Key, bot: Key, edit: Edit, clock: Clock
) -> None:
    edit("MONITORING", max_life_days=30)
    clock.forward(40 * DAY)
    assert stack.signs_in(bot)
    far = {"keyType": "MONITORING", "expiresAt": "2031-01-01T00:00:00Z"}
    assert stack.call("PATCH", KEYS, owner, far).status == 200, "which is less than it had"
    less = {"keyType": "MONITORING", "expiresAt": "2030-12-01T00:00:00Z"}
    assert stack.call("PATCH", KEYS, owner, less).status == 200
    assert stack.call("PATCH", KEYS, owner, far).pointers == ["/expiresAt"]
    same: dict[str, object] = {"keyType": "MONITORING", **less, "allowedNetworks": []}
    assert stack.call("PATCH", KEYS, owner, same).status == 200
    rotated = stack.call("POST", "/v1/api-keys/rotate", bot)
    assert (rotated.status, rotated.json["expiresAt"]) == (200, "2030-12-01T00:00:00Z")


# Networks


def test_a_type_that_requires_networks_is_made_only_for_some(stack: Stack, owner: Key, edit: Edit) -> None:
    edit("MONITORING", requires_networks=True)
    refused = stack.call("POST", PATH, owner, service_user_body("bot"))
    assert (refused.status, refused.pointers) == (400, ["/allowedNetworks"])
    assert "MONITORING" in refused.json["errors"][0]["detail"]
    body = service_user_body("bot", allowedNetworks=OFFICE)
    assert stack.call("POST", PATH, owner, body).status == 201
    everything: tuple[list[str], ...] = (
        [],
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        [*OFFICE, "::/1", "8000::/1"],
    )
    for networks in (*everything, ["203.0.113.0/24", "198.51.100.0/24"]):
        body = {"keyType": "MONITORING", "allowedNetworks": networks}
        changed = stack.call("PATCH", KEYS, owner, body)
        assert changed.status == (400 if networks in everything else 200), networks
    stack.call("DELETE", f"{KEYS}/MONITORING", owner)
    for more, status in (({}, 400), ({"allowedNetworks": []}, 400), ({"allowedNetworks": OFFICE}, 201)):
        assert stack.call("POST", KEYS, owner, {"keyType": "MONITORING", **more}).status == status


def test_a_key_from_before_networks_were_required_keeps_working(
    stack: Stack, owner: Key, bot: Key, edit: Edit
) -> None:
    edit("MONITORING", requires_networks=True)
    assert stack.signs_in(bot)
    rotated = stack.call("POST", "/v1/api-keys/rotate", bot)
    assert rotated.status == 200
    assert stack.signs_in(Key("bot", rotated.json["key"]))


def test_every_fault_of_a_new_key_is_named_at_once(stack: Stack, owner: Key, edit: Edit) -> None:
    edit("PROVISIONING", requires_networks=True, max_life_days=1)
    stack.service_user(owner, "bot")
    body = {"keyType": "PROVISIONING", "expiresAt": "2031-01-01T00:00:00Z"}
    refused = stack.call("POST", KEYS, owner, body)
    assert (refused.status, refused.pointers) == (400, ["/keyType", "/allowedNetworks", "/expiresAt"])


# What is made by default, and the least role


def test_a_type_that_is_not_made_by_default_is_made_when_it_is_named(
    stack: Stack, owner: Key, edit: Edit
) -> None:
    edit("PROVISIONING_READONLY", by_default=False)
    assert stack.service_user(owner, "bot").keys() == {"MONITORING"}
    named = stack.service_user(owner, "other", keyTypes=["PROVISIONING_READONLY"])
    assert named.keys() == {"PROVISIONING_READONLY"}
    reader = stack.user(owner, "reader", "READ_ONLY")
    assert stack.call("GET", "/v1/whoami", reader).json["keyType"] == "MONITORING"


def test_a_person_gets_no_key_of_a_type_that_requires_networks(stack: Stack, owner: Key, edit: Edit) -> None:
    edit("PROVISIONING_READONLY", requires_networks=True)
    stack.user(owner, "reader", "READ_ONLY")
    assert stack.stored_keys("reader").keys() == {"MONITORING"}


def test_a_stricter_least_role_is_for_new_keys(stack: Stack, owner: Key, bot: Key, edit: Edit) -> None:
    edit("MONITORING", least_role="OWNER")
    assert stack.signs_in(bot), "a catalogue revokes nothing"
    rotated = stack.call("POST", "/v1/api-keys/rotate", bot)
    assert rotated.status == 200
    refused = stack.call("POST", PATH, owner, service_user_body("other", keyTypes=["MONITORING"]))
    assert refused.pointers == ["/keyTypes/0"]
    raised = stack.call("PUT", f"{PATH}/bot", owner, {"role": "CLUSTER_ADMIN"})
    assert [it["keyType"] for it in raised.json["apiKeys"]["apiKeys"]] == ["MONITORING"]
    lowered = stack.call("PUT", f"{PATH}/bot", owner, {"role": "READ_ONLY"})
    assert lowered.json["apiKeys"]["apiKeys"] == []


def test_a_looser_least_role_widens_no_key(stack: Stack, owner: Key, edit: Edit) -> None:
    """A key acts with the lower of its holder's role and its ceiling, whatever its type allows."""
    admin = stack.user(owner, "admin", "CLUSTER_ADMIN")
    bot = stack.service_user(admin, "bot", "CLUSTER_ADMIN")["PROVISIONING"]
    assert stack.call("PUT", f"{PATH}/bot", owner, {"role": "OWNER"}).status == 200
    before = stack.call("GET", "/v1/whoami", bot).json["role"]
    edit("PROVISIONING", least_role="READ_ONLY")
    assert stack.call("GET", "/v1/whoami", bot).json["role"] == before == "CLUSTER_ADMIN"


# Types that the catalogue has no more


def test_a_key_of_a_removed_type_signs_in_to_nothing(
    stack: Stack, owner: Key, bot: Key, remove: Callable[[str], None]
) -> None:
    assert stack.signs_in(bot)
    remove("MONITORING")
    for path in ("/v1/whoami", f"{PATH}/bot"):
        assert stack.call("GET", path, bot).status == 401
        assert stack.call("GET", path, headers=bot.bearer).status == 401
    assert stack.call("POST", "/v1/api-keys/rotate", bot).status == 401


def test_a_key_of_a_removed_type_is_shown_and_can_only_be_revoked(
    stack: Stack, owner: Key, bot: Key, remove: Callable[[str], None]
) -> None:
    remove("MONITORING")
    shown = stack.call("GET", f"{PATH}/bot", owner).json["apiKeys"]
    assert [it["keyType"] for it in shown["apiKeys"]] == ["MONITORING"]
    assert "MONITORING" not in [it["name"] for it in shown["allowedApiKeyTypes"]]
    assert stack.call("GET", PATH, owner).status == 200
    assert stack.call("GET", "/v1/events", owner).status == 200
    for method, path in (("POST", KEYS), ("PATCH", KEYS), ("POST", f"{KEYS}/rotate")):
        refused = stack.call(method, path, owner, {"keyType": "MONITORING"})
        assert (refused.status, refused.pointers) == (400, ["/keyType"])
    assert stack.call("PATCH", f"{KEYS}/MONITORING", owner, {"allowedNetworks": OFFICE}).status == 404
    refused = stack.call("POST", PATH, owner, service_user_body("other", keyTypes=["MONITORING"]))
    assert refused.pointers == ["/keyTypes/0"]
    assert stack.call("DELETE", f"{KEYS}/NO_TYPE", owner).status == 404
    assert stack.call("DELETE", f"{KEYS}/MONITORING", owner).status == 204
    assert stack.call("GET", f"{PATH}/bot", owner).json["apiKeys"]["apiKeys"] == []
    assert stack.call("DELETE", f"{KEYS}/MONITORING", owner).status == 404


@pytest.mark.parametrize("own", [False, True])
def test_what_was_stored_under_an_earlier_catalogue_stays_readable(
    stack: Stack, owner: Key, bot: Key, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Only the contract of a stack that never was given a catalogue does not allow it."""
    monkeypatch.setattr(responses, "CATALOGUE", None if own else responses.DEFAULT)
    if own:
        monkeypatch.setattr(ResponseChecker, "check", lambda *_args: None)
    found = stack.client.get_item(TableName=stack.tables.directory, Key={"pk": {"S": "USER#bot"}})
    item: dict[str, Any] = dict(found["Item"])
    item["keys"]["M"]["OLD"] = item["keys"]["M"].pop("MONITORING")
    stack.client.put_item(TableName=stack.tables.directory, Item=item)
    shown = stack.call("GET", f"{PATH}/bot", owner).json["apiKeys"]["apiKeys"]
    assert [it["keyType"] for it in shown] == (["OLD"] if own else [])
    assert not stack.signs_in(bot)
    assert stack.call("DELETE", f"{KEYS}/OLD", owner).status == (204 if own else 404)
    if not own:
        assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204
    events = stack.call("GET", "/v1/events?username=bot", owner).json
    [revoked] = [it for it in events if it["action"] in ("API_KEY_REVOKED", "SERVICE_USER_DELETED")]
    assert [it["keyType"] for it in revoked["keys"]] == (["OLD"] if own else [])


def test_a_lower_role_and_a_deletion_end_keys_of_removed_types(
    stack: Stack, owner: Key, remove: Callable[[str], None]
) -> None:
    for username in ("bot", "other"):
        stack.service_user(owner, username, "CLUSTER_ADMIN", keyTypes=["PROVISIONING", "MONITORING"])
    remove("PROVISIONING")
    raised = stack.call("PUT", f"{PATH}/bot", owner, {"role": "OWNER"}).json["apiKeys"]["apiKeys"]
    assert [it["keyType"] for it in raised] == ["MONITORING", "PROVISIONING"]
    stack.call("PUT", f"{PATH}/bot", owner, {"role": "READ_ONLY"})
    assert stack.stored_keys("bot").keys() == {"MONITORING"}
    assert stack.call("DELETE", f"{PATH}/other", owner).status == 204
    [deleted] = stack.events("SERVICE_USER_DELETED")
    assert [it["keyType"] for it in deleted["keys"]] == ["MONITORING", "PROVISIONING"]


def test_a_leaked_key_of_a_removed_type_is_revoked_and_mailed(
    stack: Stack, owner: Key, bot: Key, remove: Callable[[str], None]
) -> None:
    remove("MONITORING")
    report = [{"token": bot.secret, "type": "service_users_api_key", "url": "https://code.example/a"}]
    assert stack.call("POST", "/v1/leaked-keys", None, report).status == 200
    assert stack.stored_keys("bot") == {}
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.notify_records([])
    mail.resend()
    assert [it for it in stack.events() if "waiting" in it] == []
