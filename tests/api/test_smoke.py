"""The thinnest real path: a customer creates a Service User and its keys work."""

from tests.support.api_client import Key, Stack


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


def test_networks_and_ends_given_over_http_are_kept(stack: Stack) -> None:
    owner = stack.account()
    terms = {"allowedNetworks": ["203.0.113.0/24", "2001:db8::/32"], "expiresAt": "2031-01-01T00:00:00Z"}

    made = stack.call(
        "POST",
        "/v1/service-users",
        owner,
        {"username": "bot", "email": "bot@example.com", "role": "READ_ONLY"} | terms,
    )
    changed = stack.call(
        "PATCH",
        "/v1/service-users/bot/api-keys",
        owner,
        {"keyType": "MONITORING", "allowedNetworks": [], "expiresAt": None},
    )

    assert made.status == 201
    kept = made.json["apiKeys"]["apiKeys"][0]
    assert {name: kept[name] for name in terms} == terms
    assert changed.status == 200
    assert (changed.json["allowedNetworks"], changed.json["expiresAt"]) == ([], None)
