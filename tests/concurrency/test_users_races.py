"""Calls at the same moment, on the real engine: an account always keeps an OWNER who has activated.

Each race is run several times: threads start together and DynamoDB decides. Whichever wins, the tables
agree with the responses.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.support.api_client import NO_BODY, Key, Response, Stack

pytestmark = pytest.mark.engine

USERS = "/v1/users"
ROUNDS = 6


def at_once(*calls: Callable[[], Response]) -> list[Response]:
    """Make calls concurrently, each in its own thread."""
    barrier = Barrier(len(calls))

    def make(call: Callable[[], Response]) -> Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


def statuses(responses: list[Response]) -> list[int]:
    return [response.status for response in responses]


class TwoOwners:
    """An account whose only OWNERs are ``a-N`` and ``b-N``, and their calls about each other."""

    def __init__(self, stack: Stack, number: int) -> None:
        self.stack = stack
        self.names = (f"a-{number}", f"b-{number}")
        a = stack.account(self.names[0])
        self.keys = (a, stack.user(a, self.names[1], "OWNER"))

    def by(self, who: int, method: str, body: Any = NO_BODY, more: str = "") -> Callable[[], Response]:
        """Return a call by one of them on the other."""
        path = f"{USERS}/{self.names[1 - who]}{more}"
        return lambda: self.stack.call(method, path, self.keys[who], body)

    def owners(self) -> list[str]:
        """Return the activated OWNERs, and check that all items agree on them."""
        items = self.stack.items(self.stack.tables.directory)
        people = {it["username"] for it in items if _is_owner(it) and it["username"] in self.names}
        accounts = [it["owners"] for it in items if it["pk"].startswith("ACCOUNT#")]
        (counted,) = [set(names) for names in accounts if names.keys() & set(self.names)]
        assert people == counted
        return sorted(people)


def _is_owner(item: dict[str, Any]) -> bool:
    may_act = "invitation" not in item and "suspendedAt" not in item
    return item.get("kind") == "USER" and item["role"] == "OWNER" and may_act


REMOVE = ("DELETE", NO_BODY, "")
LOWER = ("PUT", {"role": "READ_ONLY"}, "")
INVITE_AGAIN = ("POST", NO_BODY, "/invitation")
SUSPEND = ("POST", NO_BODY, "/suspend")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (REMOVE, REMOVE),
        (LOWER, LOWER),
        (INVITE_AGAIN, INVITE_AGAIN),
        (REMOVE, LOWER),
        (LOWER, INVITE_AGAIN),
        (SUSPEND, SUSPEND),
        (SUSPEND, REMOVE),
        (SUSPEND, LOWER),
    ],
    ids=[
        *("revoke-revoke", "lower-lower", "again-again", "revoke-lower", "lower-again"),
        *("suspend-suspend", "suspend-revoke", "suspend-lower"),
    ],
)
def test_the_last_two_owners_against_each_other_leave_one(stack: Stack, one: Any, other: Any) -> None:
    for number in range(ROUNDS):
        two_owners = TwoOwners(stack, number)

        responses = statuses(at_once(two_owners.by(0, *one), two_owners.by(1, *other)))

        won = [who for who, status in enumerate(responses) if status < 300]
        assert len(won) == 1, responses
        assert responses[1 - won[0]] in (401, 403, 409)
        assert two_owners.owners() == [two_owners.names[won[0]]]
        assert stack.call("GET", "/v1/account", two_owners.keys[won[0]]).status == 200
        lost = 403 if (one, other)[won[0]] is SUSPEND else 401
        assert stack.call("GET", "/v1/whoami", two_owners.keys[1 - won[0]]).status == lost


def test_a_person_who_is_suspended_and_calls_at_once_changes_nothing_afterwards(stack: Stack) -> None:
    for number in range(ROUNDS):
        two_owners = TwoOwners(stack, number)
        body = {"username": f"eve-{number}", "email": f"eve-{number}@a.example", "role": "OWNER"}
        suspended, invited = at_once(
            two_owners.by(0, *SUSPEND),
            lambda two_owners=two_owners, body=body: stack.call("POST", USERS, two_owners.keys[1], body),
        )
        assert suspended.status == 200
        assert invited.status in (201, 401, 403)
        assert stack.call("POST", USERS, two_owners.keys[1], body).status == 403
        assert two_owners.owners() == [two_owners.names[0]]


def test_many_who_suspend_one_at_once_are_one_suspension(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    call = lambda: stack.call("POST", "/v1/service-users/bot/suspend", owner)  # noqa: E731
    assert set(statuses(at_once(*[call] * 6))) <= {200, 409}
    events = stack.call("GET", "/v1/events?action=SERVICE_USER_SUSPENDED", owner).json
    assert len(events) == 1


def test_two_who_go_by_themselves_leave_one(stack: Stack) -> None:
    for number in range(ROUNDS):
        two_owners = TwoOwners(stack, number)

        def leave(who: int, two_owners: TwoOwners = two_owners) -> Callable[[], Response]:
            return lambda: stack.call("DELETE", f"{USERS}/{two_owners.names[who]}", two_owners.keys[who])

        responses = statuses(at_once(leave(0), leave(1)))

        assert sorted(responses) == [204, 409]
        assert two_owners.owners() == [two_owners.names[responses.index(409)]]


def test_many_owners_who_all_go_at_once_leave_one(stack: Stack) -> None:
    first = stack.account("o-0")
    keys = [first, *(stack.user(first, f"o-{number}", "OWNER") for number in range(1, 6))]

    def leave(key: Key) -> Callable[[], Response]:
        return lambda: stack.call("DELETE", f"{USERS}/{key.username}", key)

    for _ in range(10):
        responses = statuses(at_once(*map(leave, keys)))
        assert set(responses) <= {204, 409}
        keys = [key for key, status in zip(keys, responses, strict=True) if status == 409]
        assert keys, "nobody is left"
        if len(keys) == 1:
            break

    owners = [it["username"] for it in stack.items(stack.tables.directory) if _is_owner(it)]
    assert owners == [keys[0].username]
    assert stack.call("GET", "/v1/account", keys[0]).json["owners"] == owners


def test_a_token_taken_up_twice_at_once_gives_one_key(stack: Stack) -> None:
    owner = stack.account()
    for number in range(ROUNDS):
        name = f"bea-{number}"
        body = {"username": name, "email": f"{name}@people.example", "role": "OWNER"}
        assert stack.call("POST", USERS, owner, body).status == 201
        taken = {"username": name, "token": stack.token(name)}

        responses = at_once(*[lambda taken=taken: stack.call("POST", f"{USERS}/activate", body=taken)] * 3)

        (won,) = [response for response in responses if response.status == 200]
        assert sorted(statuses(responses))[1:] == [400, 400]
        (key,) = won.json["apiKeys"]["apiKeys"]
        assert stack.call("GET", "/v1/whoami", Key(name, key["key"])).status == 200
        (item,) = [it for it in stack.items(stack.tables.directory) if it["pk"] == f"USER#{name}"]
        assert list(item["keys"]) == ["USER_MANAGEMENT"]
        made = [it for it in stack.items(stack.tables.events) if it["action"] == "USER_ACTIVATED"]
        assert [it["subject"]["username"] for it in made].count(name) == 1


@pytest.mark.parametrize("same", ["username", "email"])
def test_two_invitations_of_the_same_name_or_address_make_one_person(stack: Stack, same: str) -> None:
    """A username is unique across accounts, an email within one."""
    owner = stack.account()
    other = stack.account("stranger") if same == "username" else owner
    for number in range(ROUNDS):
        bodies = [
            {"username": f"bea{it}-{number}", "email": f"bea{it}-{number}@people.example", "role": "OWNER"}
            for it in ("", "h")
        ]
        bodies[1][same] = bodies[0][same].upper()

        responses = at_once(
            lambda body=bodies[0]: stack.call("POST", USERS, owner, body),
            lambda body=bodies[1]: stack.call("POST", USERS, other, body),
        )

        assert sorted(statuses(responses)) == [201, 409]
        ends = (f"-{number}", f"-{number}@people.example")
        names = [it["pk"] for it in stack.items(stack.tables.directory) if it["pk"].endswith(ends)]
        kinds = sorted(
            name.partition("#")[0] for name in names if name.startswith(("USER#bea", "ACCOUNT_EMAIL#"))
        )
        assert kinds == ["ACCOUNT_EMAIL", "USER"]


def test_pci_compliance_against_an_owner_who_goes(stack: Stack) -> None:
    for number in range(ROUNDS):
        two_owners = TwoOwners(stack, number)

        on, gone = statuses(
            at_once(
                lambda two_owners=two_owners: stack.call(
                    "PUT", "/v1/account", two_owners.keys[0], {"pciCompliance": True}
                ),
                two_owners.by(0, *REMOVE),
            )
        )

        assert gone == 204
        assert on in (200, 409)
        assert two_owners.owners() == [two_owners.names[0]]
        account = stack.call("GET", "/v1/account", two_owners.keys[0]).json
        assert account["pciCompliance"] is (on == 200)
        events = sorted(stack.items(stack.tables.events), key=lambda it: str(it["id"]))
        assert [it["account"] for it in events if it["action"] == "ACCOUNT_UPDATED"].count(
            account["account"]
        ) == (on == 200)


def test_a_promotion_against_a_revocation(stack: Stack) -> None:
    owner = stack.account()
    for number in range(ROUNDS):
        name = f"bea-{number}"
        bea = stack.user(owner, name, "CLUSTER_ADMIN")

        raised, revoked = statuses(
            at_once(
                lambda name=name: stack.call("PUT", f"{USERS}/{name}", owner, {"role": "OWNER"}),
                lambda name=name: stack.call("DELETE", f"{USERS}/{name}", owner),
            )
        )

        owners = stack.call("GET", "/v1/account", owner).json["owners"]
        there = stack.call("GET", f"{USERS}/{name}", owner)
        if revoked == 204:
            assert raised in (200, 404, 409)
            assert there.status == 404
            assert name not in owners
            assert stack.call("GET", "/v1/whoami", bea).status == 401
        else:
            assert (raised, revoked) == (200, 409)
            assert there.json["role"] == "OWNER"
            assert name in owners


def test_a_call_against_the_revocation_of_its_caller(stack: Stack) -> None:
    """Either the call was first, or it changed nothing."""
    owner = stack.account()
    for number in range(ROUNDS):
        bea = stack.user(owner, f"bea-{number}", "OWNER")
        new = {"username": f"cal-{number}", "email": f"cal-{number}@people.example", "role": "OWNER"}

        invited, revoked = statuses(
            at_once(
                lambda bea=bea, new=new: stack.call("POST", USERS, bea, new),
                lambda bea=bea: stack.call("DELETE", f"{USERS}/{bea.username}", owner),
            )
        )

        assert revoked == 204
        assert invited in (201, 401)
        there = stack.call("GET", f"{USERS}/cal-{number}", owner).status
        assert there == (200 if invited == 201 else 404)
        assert stack.call("POST", USERS, bea, {**new, "username": "dan"}).status == 401
