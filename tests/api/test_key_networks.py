"""Networks a key may be used from: how they are written, and who is refused."""

import threading
from typing import Any

import pytest

from chalicelib.rules import networks
from tests.support.api_client import Key, Stack

PATH = "/v1/service-users/bot/api-keys"


def restrict(stack: Stack, by: Key, *cidrs: Any) -> Any:
    return stack.call("PATCH", PATH, by, {"keyType": "MONITORING", "allowedNetworks": list(cidrs)})


# How they are written


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7/32", "203.0.113.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:0DB8:0000::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("::ffff:cb00:7107/128", "203.0.113.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/96", "::/96"),
    ],
)
def test_a_network_is_kept_in_its_one_spelling(
    stack: Stack, owner: Key, bot: Key, given: str, kept: str
) -> None:
    response = restrict(stack, owner, given)
    assert (response.status, response.json["allowedNetworks"]) == (200, [kept])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("203.0.113.7/24", "'203.0.113.7/24' has host bits set; the network is probably '203.0.113.0/24'."),
        ("2001:db8::1/64", "'2001:db8::1/64' has host bits set; the network is probably '2001:db8::/64'."),
        ("203.0.113.7", "'203.0.113.7' names one address; write it as the network '203.0.113.7/32'."),
        ("2001:db8::1", "'2001:db8::1' names one address; write it as the network '2001:db8::1/128'."),
        ("010.0.0.0/8", "is not a network in CIDR form"),
        ("10.0.0.0/08", "is not a network in CIDR form"),
        ("10.0.0.0/255.0.0.0", "is not a network in CIDR form"),
        ("10.0.0.0/0.255.255.255", "is not a network in CIDR form"),
        ("10.0.0.1/255.0.0.0", "is not a network in CIDR form"),
        ("10.0.0.0/33", "is not a network in CIDR form"),
        ("10.0.0.0/-1", "is not a network in CIDR form"),
        ("10.0.0.0/" + "9" * 5000, "is not a network in CIDR form"),
        ("10.0.0.0/8 ", "is not a network in CIDR form"),
        (" 10.0.0.0/8", "is not a network in CIDR form"),
        ("10.0.0.0/8\n", "is not a network in CIDR form"),
        ("10.0.0.0/\uff18", "is not a network in CIDR form"),
        ("\uff11\uff10.0.0.0/8", "is not a network in CIDR form"),
        ("10.0.0.0/\u0668", "is not a network in CIDR form"),
        ("10.0/8", "is not a network in CIDR form"),
        ("10.0.0.0.0/8", "is not a network in CIDR form"),
        ("0x0a.0.0.0/8", "is not a network in CIDR form"),
        ("167772160/8", "is not a network in CIDR form"),
        ("203.0.113.256", "is not a network in CIDR form"),
        ("10.0.0.0/8/8", "is not a network in CIDR form"),
        ("/8", "is not a network in CIDR form"),
        ("10.0.0.0/", "is not a network in CIDR form"),
        ("/", "is not a network in CIDR form"),
        ("", "is not a network in CIDR form"),
        ("*", "is not a network in CIDR form"),
        ("localhost/32", "is not a network in CIDR form"),
        ("fe80::%eth0/64", "is not a network in CIDR form"),
        ("fe80::1%1/128", "is not a network in CIDR form"),
        ("fe80::1%eth0", "is not a network in CIDR form"),
        ("2001:db8::/129", "is not a network in CIDR form"),
        ("2001:db8:::/32", "is not a network in CIDR form"),
        ("[2001:db8::]/32", "is not a network in CIDR form"),
        ("::ffff:203.0.113.7/120", "has host bits set"),
        ("\u0000/8", "is not a network in CIDR form"),
        (7, "This must be a string."),
        (None, "This must be a string."),
        (["10.0.0.0/8"], "This must be a string."),
    ],
)
def test_an_invalid_network_is_refused_with_its_pointer(
    stack: Stack, owner: Key, bot: Key, given: object, said: str
) -> None:
    response = restrict(stack, owner, "192.0.2.0/24", given)
    assert (response.status, response.pointers) == (400, ["/allowedNetworks/1"])
    detail = response.json["errors"][0]["detail"]
    assert said in detail
    assert len(detail) < 300
    assert (
        stack.call("GET", "/v1/service-users/bot", owner).json["apiKeys"]["apiKeys"][0]["allowedNetworks"]
        == []
    )


def test_a_key_has_up_to_fifty_networks(stack: Stack, owner: Key, bot: Key) -> None:
    fifty = [f"10.{number}.0.0/16" for number in range(50)]
    assert restrict(stack, owner, *fifty).status == 200
    assert stack.sign_in(bot, source_ip="10.49.1.1") == 200
    response = restrict(stack, owner, *fifty, "192.0.2.0/24")
    assert (response.status, response.pointers) == (400, ["/allowedNetworks"])
    assert "50" in response.json["errors"][0]["detail"]


def test_one_network_under_two_spellings_is_named_twice(stack: Stack, owner: Key, bot: Key) -> None:
    response = restrict(stack, owner, "203.0.113.0/24", "::ffff:203.0.113.0/120")
    assert (response.status, response.pointers) == (400, ["/allowedNetworks/1"])


def test_networks_are_read_alike_when_creating_generating_and_restricting(stack: Stack, owner: Key) -> None:
    made = stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])
    for key in made.values():
        assert (
            stack.sign_in(key, source_ip="203.0.113.1"),
            stack.sign_in(key, source_ip="198.51.100.1"),
        ) == (200, 403)
    assert stack.call("DELETE", PATH, owner, {"keyType": "MONITORING"}).status == 204
    key = stack.key(owner, "bot", "MONITORING", allowedNetworks=["2001:db8::/32"])
    assert (stack.sign_in(key, source_ip="2001:db8::1"), stack.sign_in(key, source_ip="203.0.113.1")) == (
        200,
        403,
    )
    assert restrict(stack, owner).status == 200
    assert stack.sign_in(key, source_ip="203.0.113.1") == 200


# Who is refused


@pytest.mark.parametrize(
    ("network", "admitted", "refused"),
    [
        (
            "203.0.113.0/24",
            ["203.0.113.0", "203.0.113.255", "::ffff:203.0.113.9"],
            ["203.0.112.255", "203.0.114.0"],
        ),
        ("::ffff:203.0.113.0/120", ["203.0.113.9", "::ffff:203.0.113.9"], ["2001:db8::1"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:DB8:FFFF::1"], ["2001:db9::1", "203.0.113.9"]),
        ("::/0", ["2001:db8::1"], ["203.0.113.9", "::ffff:203.0.113.9"]),
        (
            "0.0.0.0/0",
            ["203.0.113.9", "::ffff:203.0.113.9"],
            ["2001:db8::1", "", "unknown", "203.0.113.9, 10.0.0.1"],
        ),
    ],
)
def test_a_call_is_admitted_from_an_address_within_the_network(
    stack: Stack, owner: Key, bot: Key, network: str, admitted: list[str], refused: list[str]
) -> None:
    assert restrict(stack, owner, network).status == 200
    assert [stack.sign_in(bot, source_ip=address) for address in admitted] == [200] * len(admitted)
    assert [stack.sign_in(bot, source_ip=address) for address in refused] == [403] * len(refused)


def test_no_header_changes_the_source_address(stack: Stack, owner: Key, bot: Key) -> None:
    assert restrict(stack, owner, "203.0.113.0/24").status == 200
    headers = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"), "203.0.113.9")
    assert stack.call("GET", "/v1/whoami", bot, headers=headers, source_ip="198.51.100.7").status == 403


def test_a_refusal_names_the_callers_address_only_to_the_keys_holder(
    stack: Stack, owner: Key, bot: Key
) -> None:
    assert restrict(stack, owner, "203.0.113.0/24").status == 200
    response = stack.call("GET", "/v1/whoami", bot, source_ip="198.51.100.7")
    assert "198.51.100.7" in response.json["detail"]
    assert "203.0.113" not in response.text
    wrong = Key("bot", owner.secret)
    assert stack.call("GET", "/v1/whoami", wrong, source_ip="198.51.100.7").status == 401


def refusals(stack: Stack, owner: Key) -> list[Any]:
    events = stack.call("GET", "/v1/events?username=bot", owner).json
    return [event for event in events if event["action"] == "API_KEY_REFUSED"]


def test_many_refusals_by_network_write_one_event_an_hour(stack: Stack, owner: Key, bot: Key) -> None:
    assert restrict(stack, owner, "203.0.113.0/24").status == 200
    assert stack.sign_in(bot, source_ip="198.51.100.7") == 403
    [event] = refusals(stack, owner)
    assert event["reason"] == "198.51.100.7 is in none of the key's allowed networks"
    assert event["mail"]["waiting"] is False
    before = stack.snapshot()
    with stack.counted() as calls:
        for number in range(100):
            assert stack.sign_in(bot, source_ip=f"198.51.100.{number}") == 403
    assert stack.snapshot() == before
    assert calls == {"GetItem": 100}
    stack.clock.forward(3599)
    assert stack.sign_in(bot, source_ip="198.51.100.7") == 403
    assert len(refusals(stack, owner)) == 1
    stack.clock.forward(1)
    assert stack.sign_in(bot, source_ip="198.51.100.7") == 403
    assert len(refusals(stack, owner)) == 2


def test_refusals_of_a_predecessor_count_with_those_of_its_successor(
    stack: Stack, owner: Key, bot: Key
) -> None:
    assert restrict(stack, owner, "203.0.113.0/24").status == 200
    response = stack.call("POST", "/v1/api-keys/rotate", bot, {"overlapSeconds": 60}, source_ip="203.0.113.1")
    new = Key("bot", response.json["key"])
    assert [stack.sign_in(key, source_ip="198.51.100.7") for key in (bot, new)] == [403, 403]
    [event] = refusals(stack, owner)
    assert event["keys"][0]["key"].endswith(bot.secret[-5:]), "the one that was presented"


@pytest.mark.engine
def test_concurrent_refusals_by_network_write_one_event(stack: Stack, owner: Key, bot: Key) -> None:
    from chalicelib.rules.authentication import sign_in
    from chalicelib.rules.context import Origin
    from chalicelib.rules.errors import Forbidden

    assert restrict(stack, owner, "203.0.113.0/24").status == 200
    barrier = threading.Barrier(8)
    seen: list[str] = []

    def call() -> None:
        barrier.wait()
        for _ in range(5):
            try:
                sign_in(
                    stack.service.directory, "bot", bot.secret, Origin("198.51.100.7", "r", stack.clock())
                )
            except Forbidden:
                seen.append("403")

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert len(refusals(stack, owner)) == 1


def test_a_refused_call_changes_nothing_and_does_not_count_as_a_use(
    stack: Stack, owner: Key, bot: Key
) -> None:
    assert restrict(stack, owner, "203.0.113.0/24").status == 200
    assert stack.call("POST", "/v1/api-keys/rotate", bot).status == 403
    [key] = stack.call("GET", "/v1/service-users/bot", owner).json["apiKeys"]["apiKeys"]
    assert (key["lastUsedAt"], key["rotatedAt"]) == (None, None)


def test_every_address_is_in_the_network_of_itself() -> None:
    for address in ("203.0.113.7", "2001:db8::1", "::1", "::ffff:192.0.2.1"):
        bits = 128 if ":" in address else 32
        assert networks.admits((networks.parse(f"{address}/{bits}"),), address)
