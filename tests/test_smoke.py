"""The thinnest real path: a customer creates a Service User and its keys work."""

from tests.customer import Key, Stack


def test_a_customer_creates_a_service_user_and_its_keys_work(stack: Stack) -> None:
    owner = stack.account()

    made = stack.call(
        "POST",
        "/v1/service-users",
        owner,
        {"username": "metrics-bot", "email": "bot@example.com", "role": "READ_ONLY"},
    )

    assert made.status == 201
    keys = {it["keyType"]: it["key"] for it in made.json["apiKeys"]["apiKeys"]}
    assert list(keys) == ["MONITORING", "PROVISIONING_READONLY"]
    first = Key("metrics-bot", keys["MONITORING"])
    assert stack.call("GET", "/v1/whoami", first).json["role"] == "READ_ONLY"
    rotated = stack.call("POST", "/v1/api-keys/rotate", first)
    assert rotated.status == 200
    assert stack.call("GET", "/v1/whoami", first).status == 401
    assert stack.call("GET", "/v1/whoami", Key("metrics-bot", rotated.json["key"])).status == 200
