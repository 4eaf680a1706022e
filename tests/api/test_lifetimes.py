"""How long a key works, and what the API shows of it: expiry, age, use."""

import itertools
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

import app
from chalicelib.rules import lifetimes
from chalicelib.rules.authentication import sign_in
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import ValidationError
from chalicelib.store import client as store_client
from chalicelib.store.directory import DynamoDirectory
from tests.support.api_client import Clock, Key, Response, Stack
from tests.support.mail import Faults

START = 1_900_000_000  # 2030-03-17T17:46:40Z
DAY = 86_400
PATH = "/v1/service-users/bot/api-keys"


@pytest.fixture
def clock() -> Clock:
    """A clock at the start of a second: expiries are whole seconds."""
    return Clock(START)


def end_at(stack: Stack, by: Key, moment: object) -> Response:
    return stack.call("PATCH", PATH, by, {"keyType": "MONITORING", "expiresAt": moment})


# Ends


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2030-03-18T00:00:00Z", "2030-03-18T00:00:00Z"),
        ("2030-03-18t00:00:00z", "2030-03-18T00:00:00Z"),
        ("2030-03-18T02:00:00+02:00", "2030-03-18T00:00:00Z"),
        ("2030-03-17T18:30:00-05:30", "2030-03-18T00:00:00Z"),
        ("2030-03-18T00:00:00.000000Z", "2030-03-18T00:00:00Z"),
        ("2030-03-18T00:00:00.999Z", "2030-03-18T00:00:00Z"),
        ("2030-03-18T00:00:00-00:00", "2030-03-18T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("2032-02-29T00:00:00Z", "2032-02-29T00:00:00Z"),
        (None, None),
    ],
)
def test_an_expiry_is_an_rfc_3339_time(
    stack: Stack, owner: Key, bot: Key, given: str | None, kept: str | None
) -> None:
    response = end_at(stack, owner, given)
    assert (response.status, response.json["expiresAt"]) == (200, kept)


@pytest.mark.parametrize(
    "given",
    [
        "2030-03-18",
        "2030-03-18T00:00:00",
        "2030-03-18T00:00Z",
        "2030-03-18 00:00:00Z",
        "2030-03-18T24:00:00Z",
        "2030-02-30T00:00:00Z",
        "2031-02-29T00:00:00Z",
        "2030-03-18T00:00:00+24:00",
        "2030-03-18T00:00:00+0200",
        "2030-03-18T00:00:00 Z",
        "20300318T000000Z",
        "2030-W12-1T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "9999-12-31T23:00:00-01:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1900000060",
        1_900_000_060,
        "tomorrow",
        "",
        True,
        {},
        "2030-03-18T00:00:60Z",
        "\uff12030-03-18T00:00:00Z",
    ],
)
def test_an_expiry_in_another_form_is_refused(stack: Stack, owner: Key, bot: Key, given: object) -> None:
    assert stack.sign_in(owner) == 200
    before = stack.snapshot()
    response = end_at(stack, owner, given)
    assert (response.status, response.pointers) == (400, ["/expiresAt"])
    assert stack.snapshot() == before


@pytest.mark.parametrize("given", ["2030-03-17T17:46:40Z", "2030-03-17T17:46:39Z", "1970-01-01T00:00:00Z"])
def test_an_expiry_must_be_in_the_future(stack: Stack, owner: Key, bot: Key, given: str) -> None:
    for response in (
        end_at(stack, owner, given),
        stack.call("POST", PATH, owner, {"keyType": "PROVISIONING_READONLY", "expiresAt": given}),
        stack.call(
            "POST",
            "/v1/service-users",
            owner,
            {"username": "new", "email": "n@x.example", "role": "READ_ONLY", "expiresAt": given},
        ),
    ):
        assert (response.status, response.pointers) == (400, ["/expiresAt"])
        assert "must be in the future" in response.json["errors"][0]["detail"]


def test_an_expiry_must_still_be_in_the_future_when_it_is_written(stack: Stack, owner: Key) -> None:
    """Whoever calls the rules: the second of the call is over when it is asked for."""
    origin = Origin("198.51.100.7", "r", START + 0.5)
    auth = sign_in(stack.service.directory, owner.username, owner.secret, origin)
    with pytest.raises(ValidationError) as refused:
        lifetimes.require_valid_expiry(stack.service.directory, auth, START, START)
    assert refused.value.errors[0].pointer == "/expiresAt"


def test_an_expired_key_is_refused_at_its_second(stack: Stack, owner: Key) -> None:
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:00:00Z")[
        "MONITORING"
    ]
    expiry = START + 800
    for step, answered in ((-1.0, 200), (-0.001, 200), (0.0, 401), (0.001, 401), (1.0, 401), (DAY, 401)):
        stack.clock.at = expiry + step
        assert stack.sign_in(key) == answered
    assert stack.only_key(owner)["expiresAt"] == "2030-03-17T18:00:00Z"


def test_an_expired_key_can_be_replaced_but_not_extended(stack: Stack, owner: Key) -> None:
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:00:00Z")[
        "MONITORING"
    ]
    stack.clock.at = START + 800
    for body in ({"expiresAt": None}, {"expiresAt": "2031-01-01T00:00:00Z"}, {"allowedNetworks": []}):  # type: ignore[var-annotated]
        response = stack.call("PATCH", PATH, owner, {"keyType": "MONITORING", **body})
        assert response.status == 404
        assert "Generate a new one" in response.json["detail"]
    assert stack.call("POST", f"{PATH}/rotate", owner, {"keyType": "MONITORING"}).status == 404
    assert stack.call("POST", "/v1/api-keys/rotate", key).status == 401
    fresh = stack.key(owner, "bot", "MONITORING")
    assert (stack.sign_in(key), stack.sign_in(fresh)) == (401, 200)
    assert stack.only_key(owner)["expiresAt"] is None


def test_an_expired_key_can_be_revoked(stack: Stack, owner: Key) -> None:
    stack.service_user(owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:00:00Z")
    stack.clock.at = START + 800
    assert stack.call("DELETE", PATH, owner, {"keyType": "MONITORING"}).status == 204
    assert stack.call("DELETE", PATH, owner, {"keyType": "MONITORING"}).status == 404


def test_rotation_keeps_the_expiry(stack: Stack, owner: Key) -> None:
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:00:00Z")[
        "MONITORING"
    ]
    response = stack.call("POST", "/v1/api-keys/rotate", key)
    new = Key("bot", response.json["key"])
    assert response.json["expiresAt"] == "2030-03-17T18:00:00Z"
    stack.clock.at = START + 800
    assert stack.sign_in(new) == 401


def test_an_expiry_that_is_removed_in_time_ends_nothing(stack: Stack, owner: Key) -> None:
    key = stack.service_user(owner, "bot", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:00:00Z")[
        "MONITORING"
    ]
    stack.clock.at = START + 799.999
    assert end_at(stack, owner, None).status == 200
    stack.clock.at = START + 800
    assert stack.sign_in(key) == 200


# Ends and the policy


def set_policy(stack: Stack, by: Key, **fields: Any) -> None:
    response = stack.call("PUT", "/v1/account", by, fields)
    assert response.status == 200, response.text


def test_an_expiry_is_no_later_than_the_policys_maximum_age(stack: Stack, owner: Key, bot: Key) -> None:
    set_policy(stack, owner, maxKeyAgeDays=30)
    assert end_at(stack, owner, "2030-04-16T17:46:40Z").status == 200
    late = end_at(stack, owner, "2030-04-16T17:46:41Z")
    assert (late.status, late.pointers) == (400, ["/expiresAt"])
    assert "30 days" in late.json["errors"][0]["detail"]
    # Counted from when the present secret was made.
    stack.clock.at = START + 10 * DAY
    assert end_at(stack, owner, "2030-04-16T17:46:41Z").status == 400
    assert stack.call("POST", f"{PATH}/rotate", owner, {"keyType": "MONITORING"}).status == 200
    assert end_at(stack, owner, "2030-04-26T17:46:40Z").status == 200
    assert end_at(stack, owner, "2030-04-26T17:46:41Z").status == 400


def test_the_maximum_age_limits_the_expiry_of_new_keys_too(stack: Stack, owner: Key) -> None:
    set_policy(stack, owner, maxKeyAgeDays=30)
    body = {"username": "bot", "email": "bot@x.example", "role": "READ_ONLY", "keyTypes": []}
    late, fine = "2030-04-16T17:46:41Z", "2030-04-16T17:46:40Z"
    refused = stack.call("POST", "/v1/service-users", owner, {**body, "expiresAt": late})
    assert (refused.status, refused.pointers) == (400, ["/expiresAt"])
    assert stack.call("POST", "/v1/service-users", owner, body).status == 201
    assert stack.call("POST", PATH, owner, {"keyType": "MONITORING", "expiresAt": late}).status == 400
    assert stack.call("POST", PATH, owner, {"keyType": "MONITORING", "expiresAt": fine}).status == 201
    assert end_at(stack, owner, None).status == 200


@pytest.mark.parametrize("days", [13, 0, -1, 3651, 14.5, "30", True])
@pytest.mark.parametrize("field", ["maxKeyAgeDays", "revokeInactiveAfterDays"])
def test_a_policys_days_are_within_limits(stack: Stack, owner: Key, field: str, days: object) -> None:
    response = stack.call("PUT", "/v1/account", owner, {field: days})
    assert (response.status, response.pointers) == (400, [f"/{field}"])


def test_pci_compliance_needs_two_owners_and_keeps_both_ages(stack: Stack, owner: Key) -> None:
    refused = stack.call("PUT", "/v1/account", owner, {"pciCompliance": True})
    assert refused.status == 409
    assert "two OWNERs who are activated and not suspended" in refused.json["detail"]
    body = {"username": "otto", "email": "otto@people.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, body).status == 201
    assert stack.call("PUT", "/v1/account", owner, {"pciCompliance": True}).status == 409  # not activated
    stack.activate("otto")
    response = stack.call("PUT", "/v1/account", owner, {"pciCompliance": True})
    assert response.status == 200
    assert (response.json["maxKeyAgeDays"], response.json["revokeInactiveAfterDays"]) == (90, 90)
    for field, days in itertools.product(("maxKeyAgeDays", "revokeInactiveAfterDays"), (91, None)):
        assert stack.call("PUT", "/v1/account", owner, {field: days}).status == 400
    set_policy(stack, owner, maxKeyAgeDays=30)
    set_policy(stack, owner, pciCompliance=False, maxKeyAgeDays=365, revokeInactiveAfterDays=None)


# Use


def test_a_use_is_recorded_at_most_once_an_hour(stack: Stack, owner: Key, bot: Key) -> None:
    assert stack.only_key(owner)["lastUsedAt"] is None
    writes = 0
    for minute in range(0, 240, 12):
        stack.clock.at = START + minute * 60
        with stack.counted() as calls:
            assert stack.sign_in(bot) == 200
        writes += calls["UpdateItem"]
        assert calls["GetItem"] == 1
        noted = stack.call("GET", "/v1/service-users/bot", bot).json["apiKeys"]["apiKeys"][0]["lastUsedAt"]
        assert noted is not None
        seconds = int(stack.clock.at) - _seconds(noted)
        assert 0 <= seconds < 3600
    assert writes == 4


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_of_many_uses_at_once_one_is_written(stack: Stack, owner: Key, bot: Key) -> None:
    """Two calls that both read the key unused both try; the second finds the first one's note."""
    principal = stack.service.directory.principal("bot")
    assert principal is not None
    [key_type] = principal.keys
    digest = principal.keys[key_type].digest
    stack.service.directory.record_use(principal, digest, START)
    stack.service.directory.record_use(principal, digest, START + 3599)
    assert stack.only_key(owner)["lastUsedAt"] == "2030-03-17T17:46:40Z"
    stack.service.directory.record_use(principal, digest, START + 3600)
    assert stack.only_key(owner)["lastUsedAt"] == "2030-03-17T18:46:40Z"


def test_a_late_record_of_use_does_not_apply_to_the_successor(stack: Stack, owner: Key, bot: Key) -> None:
    principal = stack.service.directory.principal("bot")
    assert principal is not None
    [key] = principal.keys.values()
    assert stack.call("POST", f"{PATH}/rotate", owner, {"keyType": "MONITORING"}).status == 200
    stack.service.directory.record_use(principal, key.digest, START)
    assert stack.only_key(owner)["lastUsedAt"] is None
    assert stack.call("DELETE", PATH, owner, {"keyType": "MONITORING"}).status == 204
    stack.service.directory.record_use(principal, key.digest, START)
    assert stack.call("GET", "/v1/service-users/bot", owner).json["apiKeys"]["apiKeys"] == []


def test_a_failure_to_record_a_use_does_not_fail_the_sign_in(
    stack: Stack, owner: Key, bot: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = stack.tables

    def directory(failure: Any) -> DynamoDirectory:
        notes = Faults(failure).wrap(stack.client)
        return DynamoDirectory(stack.client, tables.directory, tables.events, 400, lambda: notes)

    def hang(_number: int, operation: str) -> str:
        raise ReadTimeoutError(endpoint_url="https://dynamodb.example")

    def lose(_number: int, operation: str) -> str:
        raise ConnectionClosedError(endpoint_url="https://dynamodb.example")

    for failure in (hang, lose, lambda *_: "throttled"):
        service = stack.service._replace(directory=directory(failure))
        monkeypatch.setattr(app.api, "service", lambda service=service: service)
        assert stack.sign_in(bot) == 200
    assert end_networks(stack, owner).status == 200
    assert stack.sign_in(bot) == 403


def end_networks(stack: Stack, by: Key) -> Response:
    return stack.call("PATCH", PATH, by, {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]})


def test_recording_a_use_is_tried_once_with_a_short_timeout() -> None:
    store_client.notes.cache_clear()
    try:
        config = store_client.notes().meta.config
        assert config.retries["total_max_attempts"] == 1
        assert config.connect_timeout + config.read_timeout <= 0.6
        assert store_client.notes() is store_client.notes()
    finally:
        store_client.notes.cache_clear()


def test_a_use_and_a_refusal_are_recorded_by_the_client_with_short_timeouts(
    stack: Stack, owner: Key, bot: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for nothing goes by the client that waits for nothing: the note, and the refusal."""
    operations: list[str] = []
    tables = stack.tables
    notes = Faults(lambda _number, operation: operations.append(operation) or "").wrap(stack.client)  # type: ignore[func-returns-value]
    directory = DynamoDirectory(stack.client, tables.directory, tables.events, 400, lambda: notes)
    service = stack.service._replace(directory=directory)
    monkeypatch.setattr(app.api, "service", lambda: service)
    assert stack.sign_in(bot) == 200
    assert end_networks(stack, owner).status == 200
    assert stack.sign_in(bot) == 403
    assert operations == ["update_item", "transact_write_items"]


# What the API shows of a key


def test_a_key_shows_its_creation_rotation_use_and_expiry(stack: Stack, owner: Key) -> None:
    carl = stack.user(owner, "carl", "CLUSTER_ADMIN")
    stack.service_user(carl, "bot", keyTypes=[])
    stack.clock.at = START + 60
    key = stack.key(owner, "bot", "MONITORING", expiresAt="2031-01-01T00:00:00Z")
    told = stack.only_key(carl)
    assert told["createdAt"] == "2030-03-17T17:47:40Z"
    assert told["createdBy"] == "owner"
    assert (told["rotatedAt"], told["lastUsedAt"], told["predecessor"]) == (None, None, None)
    stack.clock.at = START + 120
    assert stack.sign_in(key) == 200
    stack.clock.at = START + 180
    assert stack.call("POST", f"{PATH}/rotate", carl, {"keyType": "MONITORING"}).status == 200
    told = stack.only_key(carl)
    assert told["createdAt"] == "2030-03-17T17:47:40Z"
    assert told["createdBy"] == "owner"
    assert told["rotatedAt"] == "2030-03-17T17:49:40Z"
    assert told["lastUsedAt"] is None
    assert told["expiresAt"] == "2031-01-01T00:00:00Z"
