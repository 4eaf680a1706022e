"""What a leaver knows: the keys of Service Users they were shown are told, listed and ended."""

from collections import Counter
from typing import Any

import pytest

from chalicelib.rules import offboarding
from chalicelib.rules.errors import Unavailable, concurrent_change
from tests.support.accounts import PATH
from tests.support.api_client import Key, Response, Stack
from tests.support.mail import MailFixture

USERS = "/v1/users"
MONITORING = {"keyType": "MONITORING"}


def shown(stack: Stack, owner: Key, name: str = "eve") -> list[tuple[str, str]]:
    keys = stack.call("GET", f"{USERS}/{name}/shown-keys", owner).json
    return [(it["username"], it["keyType"]) for it in keys]


def end(stack: Stack, owner: Key, name: str = "eve", query: str = "?revokeUser=true") -> Response:
    return stack.call("DELETE", f"{USERS}/{name}/shown-keys{query}", owner)


def ended(response: Response) -> list[tuple[str, str]]:
    assert response.status == 200, response.text
    return [(it["username"], it["keyType"]) for it in response.json["ended"]]


def rotate(stack: Stack, by: Key, name: str, overlap: int = 0) -> Key:
    body = {**MONITORING, "overlapSeconds": overlap}
    made = stack.call("POST", f"{PATH}/{name}/api-keys/rotate", by, body)
    assert made.status == 200, made.text
    return Key(name, made.json["key"])


def mails(stack: Stack) -> list[tuple[str, Any]]:
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    sent: list[tuple[str, Any]] = mail.ses.sent
    return sent


@pytest.fixture
def owner(stack: Stack) -> Key:
    return stack.account()


@pytest.fixture
def eve(stack: Stack, owner: Key) -> Key:
    return stack.user(owner, "eve", "OWNER")


def test_a_revoked_owner_does_not_return_with_a_machines_key(stack: Stack, owner: Key, eve: Key) -> None:
    """An OWNER made a machine, was revoked, and made themselves an OWNER again with the machine's key."""
    stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": True})
    machine = stack.service_user(eve, "eve-bot", "OWNER")["USER_MANAGEMENT"]
    kinds = ["MONITORING", "PROVISIONING_READONLY", "PROVISIONING", "USER_MANAGEMENT"]
    assert ended(end(stack, owner)) == [("eve-bot", kind) for kind in kinds]
    body = {"username": "eve", "email": "eve@people.example", "role": "OWNER"}
    assert stack.call("POST", USERS, machine, body).status == 401
    assert not stack.signs_in(eve)
    assert stack.call("GET", f"{USERS}/eve", owner).status == 404


def test_a_key_is_known_to_whoever_was_shown_it_last(stack: Stack, owner: Key, eve: Key) -> None:
    first = stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]
    assert shown(stack, owner) == []
    assert shown(stack, owner, "OWNER") == [("bot", "MONITORING")]
    second = rotate(stack, eve, "bot")
    assert shown(stack, owner) == [("bot", "MONITORING")]
    assert shown(stack, owner, "owner") == []
    third = stack.call("POST", "/v1/api-keys/rotate", second, {"overlapSeconds": 60})
    (known,) = stack.call("GET", f"{USERS}/eve/shown-keys", owner).json
    assert (known["key"][-5:], known["validUntil"] is None) == (second.secret[-5:], False)
    assert third.json["rotatedBy"] == "bot"
    assert third.json["predecessor"]["shownTo"] == "eve"
    stack.clock.forward(60)
    assert shown(stack, owner) == []
    assert not stack.signs_in(first)


def test_of_a_predecessor_only_that_ends(stack: Stack, owner: Key, eve: Key) -> None:
    stack.service_user(owner, "bot", keyTypes=["MONITORING"])
    known = rotate(stack, eve, "bot")
    now = rotate(stack, owner, "bot", overlap=600)
    assert ended(end(stack, owner)) == [("bot", "MONITORING")]
    assert not stack.signs_in(known)
    assert stack.signs_in(now)
    (event,) = stack.events("API_KEY_REVOKED")
    assert (event["cause"], event["keys"][0]["last5"]) == ("SHOWN_KEYS_ENDED", known.secret[-5:])


def test_both_keys_of_an_overlap_end_where_both_were_shown(stack: Stack, owner: Key, eve: Key) -> None:
    known = stack.service_user(eve, "bot", keyTypes=["MONITORING"])["MONITORING"]
    now = rotate(stack, eve, "bot", overlap=600)
    assert ended(end(stack, owner)) == [("bot", "MONITORING")] * 2
    assert not stack.signs_in(known)
    assert not stack.signs_in(now)


def test_a_former_predecessor_counts_as_shown_to_who_generated_the_key(
    stack: Stack, owner: Key, eve: Key
) -> None:
    """It was stored before it was kept whom it was shown to."""
    stack.service_user(eve, "bot", keyTypes=["MONITORING"])
    rotate(stack, owner, "bot", overlap=600)
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": "USER#bot"}},
        UpdateExpression="REMOVE #keys.#type.predecessor.shownTo",
        ExpressionAttributeNames={"#keys": "keys", "#type": "MONITORING"},
    )
    assert shown(stack, owner) == [("bot", "MONITORING")]


def test_expired_keys_and_those_of_another_account_are_not_listed(stack: Stack, owner: Key, eve: Key) -> None:
    other = stack.account("other")
    stack.service_user(other, "foreign", keyTypes=["MONITORING"])
    stack.service_user(eve, "short", keyTypes=["MONITORING"], expiresAt="2030-03-17T18:46:40Z")
    assert shown(stack, owner) == [("short", "MONITORING")]
    assert shown(stack, owner, "other") == []
    assert end(stack, owner, "other").status == 404
    stack.clock.forward(3600)
    assert shown(stack, owner) == []


def test_ending_shown_keys_continues_over_several_calls(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offboarding, "MAX_SERVICE_USERS_CHANGED", 2)
    monkeypatch.setattr(offboarding, "PAGE", 2)
    monkeypatch.setattr(offboarding, "MAX_PAGES", 2)
    keys = [
        stack.service_user(eve if number % 2 else owner, f"bot-{number:02}", keyTypes=["MONITORING"])
        for number in range(11)
    ]
    response = end(stack, owner)
    found = [ended(response)]
    assert response.json["complete"] is False
    assert "revokeUser" not in str(response.next_path)
    while response.next_path:
        response = stack.call("DELETE", response.next_path, owner)
        found.append(ended(response))
    assert response.json["complete"] is True
    assert [name for page in found for name, _ in page] == [f"bot-{number:02}" for number in range(1, 11, 2)]
    assert max(map(len, found)) <= 2
    alive = [stack.signs_in(it["MONITORING"]) for it in keys]
    assert alive == [number % 2 == 0 for number in range(11)]


def test_a_call_ends_the_keys_of_so_many_and_the_next_goes_on_in_the_same_page(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offboarding, "MAX_SERVICE_USERS_CHANGED", 2)
    names = [f"bot-{number}" for number in range(5)]
    keys = [stack.service_user(eve, name, keyTypes=["MONITORING"])["MONITORING"] for name in names]
    response = end(stack, owner)
    found = [ended(response)]
    assert response.json["complete"] is False
    assert [stack.signs_in(key) for key in keys] == [False, False, True, True, True]
    while response.next_path:
        response = stack.call("DELETE", response.next_path, owner)
        found.append(ended(response))
    assert found == [[(name, "MONITORING") for name in part] for part in (names[:2], names[2:4], names[4:])]
    assert response.json["complete"] is True
    assert not any(map(stack.signs_in, keys))


def test_a_call_costs_two_calls_to_dynamodb_for_each_service_user(stack: Stack, owner: Key, eve: Key) -> None:
    for number in range(3):
        stack.service_user(eve, f"bot-{number}", keyTypes=["MONITORING", "PROVISIONING_READONLY"])
    with stack.counted() as calls:
        end(stack, owner)
    wanted = {"GetItem": 2 + 3, "Query": 2, "TransactWriteItems": 1 + 3}
    assert calls == Counter(wanted)


def test_the_user_is_revoked_even_if_the_keys_cannot_be_ended(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = stack.service_user(eve, "bot", keyTypes=["MONITORING"])["MONITORING"]
    directory = stack.service.directory
    principal = directory.principal

    def fail(username: str) -> Any:
        if username == "bot":
            raise Unavailable("The store did not respond in time.")
        return principal(username)

    with monkeypatch.context() as patch:
        patch.setattr(type(directory), "principal", lambda _, username: fail(username))
        response = end(stack, owner)
        assert (response.status, response.json) == (200, {"ended": [], "complete": False})
        assert not stack.signs_in(eve)
        assert stack.call("DELETE", str(response.next_path), owner).status == 503
        assert end(stack, owner).status == 503
    assert ended(stack.call("DELETE", str(response.next_path), owner)) == [("bot", "MONITORING")]
    assert not stack.signs_in(machine)
    assert end(stack, owner).status == 404


@pytest.mark.parametrize("revoke_user", [True, False])
def test_a_service_user_that_somebody_keeps_changing_holds_up_no_other(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch, revoke_user: bool
) -> None:
    names = ("a-bot", "b-bot", "c-bot")
    keys = [stack.service_user(eve, name, keyTypes=["MONITORING"])["MONITORING"] for name in names]
    path = f"{USERS}/eve/shown-keys?revokeUser={str(revoke_user).lower()}"
    commit = type(stack.service.directory).commit

    def contested(self: Any, event: Any, *writes: Any, **more: Any) -> Any:
        if event is not None and event.subject.username == "a-bot":
            raise concurrent_change()
        return commit(self, event, *writes, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(stack.service.directory), "commit", contested)
        response = stack.call("DELETE", path, owner)
        assert ended(response) == [("b-bot", "MONITORING"), ("c-bot", "MONITORING")]
        assert response.json["complete"] is False
        assert [stack.signs_in(key) for key in keys] == [True, False, False]
        assert stack.call("DELETE", str(response.next_path), owner).status == 409
    assert ended(stack.call("DELETE", str(response.next_path), owner)) == [("a-bot", "MONITORING")]
    assert not any(map(stack.signs_in, keys))


def test_a_service_user_that_is_gone_or_changed_meanwhile_is_left(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-bot", "b-bot"):
        stack.service_user(eve, name, keyTypes=["MONITORING"])
    directory = stack.service.directory
    page = directory.page

    def stale(self: Any, *asked: Any) -> Any:
        found = page(*asked)
        if asked[2] == offboarding.PAGE and stack.call("DELETE", f"{PATH}/a-bot", owner).status == 204:
            rotate(stack, owner, "b-bot")
        return found

    monkeypatch.setattr(type(directory), "page", stale)
    assert ended(end(stack, owner, query="")) == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_concurrent_change_is_tried_again_and_at_last_left(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    stack.service_user(eve, "bot", keyTypes=["MONITORING"])
    directory = stack.service.directory
    principal = directory.principal
    left = [*range(times)]

    def renamed_meanwhile(_: Any, username: str) -> Any:
        found = principal(username)
        if username == "bot" and left:
            body = {"displayName": f"Bot {left.pop()}"}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(directory), "principal", lambda _, name: principal(name))
                assert stack.call("PUT", f"{PATH}/bot", owner, body).status == 200
        return found

    monkeypatch.setattr(type(directory), "principal", renamed_meanwhile)
    response = end(stack, owner, query="")
    assert response.status == (200 if times == 1 else 409)


def test_nobody_revokes_themselves_with_it(stack: Stack, owner: Key, eve: Key) -> None:
    assert end(stack, eve).status == 403
    assert stack.signs_in(eve)
    stack.service_user(eve, "bot", keyTypes=["MONITORING"])
    assert ended(end(stack, eve, query="?revokeUser=false")) == [("bot", "MONITORING")]


@pytest.mark.parametrize("query", ["?revokeUser=yes", "?limit=2", "?cursor=x", "?surprise=1"])
def test_a_wrong_query_ends_nothing(stack: Stack, owner: Key, eve: Key, query: str) -> None:
    assert end(stack, owner, query=query).status == 400
    assert stack.signs_in(eve)


def test_the_last_owner_keeps_their_keys(stack: Stack, owner: Key, eve: Key) -> None:
    """The one who asks is an OWNER; so the last one cannot be revoked by another."""
    assert end(stack, owner, "nobody").status == 404
    assert stack.call("DELETE", f"{USERS}/owner", owner).status == 204
    assert end(stack, eve, "eve").status == 403


def test_owners_are_mailed_the_keys_that_a_revoked_user_was_shown(stack: Stack, owner: Key) -> None:
    dan = stack.user(owner, "dan", "CLUSTER_ADMIN")
    key = stack.service_user(dan, "bot", keyTypes=["MONITORING"])["MONITORING"]
    mails(stack)
    assert stack.call("DELETE", f"{USERS}/dan", owner).status == 204
    said = dict(mails(stack))
    assert said.keys() == {"dan@people.example", "owner@people.example"}
    text = said["owner@people.example"].get_body(("plain",)).get_content()
    assert f"Key they know: bot MONITORING …{key.secret[-5:]}" in text
    assert "They know 1 key of Service Users, which worked at that time." in " ".join(text.split())
    assert "curl -X DELETE https://api.example/v1/users/dan/shown-keys" in text
    assert "bot" not in said["dan@people.example"].get_body(("plain",)).get_content()


def test_owners_are_not_mailed_of_a_person_who_knows_nothing(stack: Stack, owner: Key) -> None:
    stack.user(owner, "dan", "CLUSTER_ADMIN")
    mails(stack)
    assert stack.call("DELETE", f"{USERS}/dan", owner).status == 204
    assert [to for to, _ in mails(stack)] == ["dan@people.example"]


def test_the_mail_of_a_person_who_knows_much_says_that_there_is_more(
    stack: Stack, owner: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.rules.users.MAX_SHOWN_KEYS", 2)
    dan = stack.user(owner, "dan", "CLUSTER_ADMIN")
    stack.service_user(dan, "bot", "CLUSTER_ADMIN")
    mails(stack)
    assert stack.call("DELETE", f"{USERS}/dan", owner).status == 204
    said = dict(mails(stack))["owner@people.example"]
    text = said.get_body(("plain",)).get_content()
    assert "They know 2 or more keys of Service Users" in " ".join(text.split())


def test_a_machine_that_may_revoke_owners_does_so_within_the_budget(
    stack: Stack, owner: Key, eve: Key
) -> None:
    stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": True})
    machine = stack.service_user(owner, "hr-bot", "OWNER")["USER_MANAGEMENT"]
    stack.signs_in(machine)
    mails(stack)
    with stack.counted() as calls:
        assert stack.call("DELETE", f"{USERS}/eve", machine).status == 204
    assert calls == Counter({"GetItem": 3, "TransactWriteItems": 1})
    said = dict(mails(stack))["owner@people.example"]
    assert "They may know keys of Service Users" in " ".join(said.get_body(("plain",)).get_content().split())


def test_a_person_is_revoked_also_where_the_list_for_the_mail_cannot_be_read(
    stack: Stack, owner: Key, eve: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise Unavailable("The store did not respond in time.")

    monkeypatch.setattr(type(stack.service.directory), "page", fail)
    assert stack.call("DELETE", f"{USERS}/eve", owner).status == 204
    assert stack.events("USER_REVOKED")[-1]["moreShownKeys"] is True


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_nobody_can_be_called_was_shown_nothing(stack: Stack, owner: Key, method: str) -> None:
    for username in ("x", "a%20b", "x" * 65):
        response = stack.call(method, f"/v1/users/{username}/shown-keys", owner)
        assert response.status == 404
        assert "Nobody can have this username" in response.json["detail"]
    assert stack.call(method, "/v1/users/who-has-left/shown-keys", owner).status == 200
