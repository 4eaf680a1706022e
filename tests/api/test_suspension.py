"""Suspending and resuming Service Users and Users: who is refused, in which words, and what is kept."""

from itertools import count
from typing import Any

import pytest

from chalicelib.functions.authorizer import verify_function
from chalicelib.rules import accounts as account_rules
from chalicelib.rules.context import Origin
from chalicelib.rules.errors import Conflict
from tests.support.accounts import PATH
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.mail import MailFixture

USERS = "/v1/users"


def act(stack: Stack, by: Key, who: str, what: str, **more: Any) -> Response:
    return stack.call("POST", f"{who}/{what}", by, NO_BODY, **more)


def done(stack: Stack, by: Key, who: str, what: str) -> dict[str, Any]:
    response = act(stack, by, who, what)
    assert response.status == 200, response.text
    shown: dict[str, Any] = response.json
    return shown


def whoami(stack: Stack, key: Key) -> Response:
    return stack.call("GET", "/v1/whoami", key)


def mailed(stack: Stack, words: str) -> list[str]:
    """Mail the pending events; return the recipients of emails with these words in the subject."""
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    return sorted(to.partition("@")[0] for to, it in mail.ses.sent if words in str(it["Subject"]))


@pytest.fixture
def owner(stack: Stack) -> Key:
    return stack.account()


@pytest.fixture
def bot(stack: Stack, owner: Key) -> Key:
    return stack.service_user(owner, "bot", keyTypes=["MONITORING"])["MONITORING"]


def test_a_suspended_service_users_key_is_refused_with_the_reason_and_works_again(
    stack: Stack, owner: Key, bot: Key
) -> None:
    shown = done(stack, owner, f"{PATH}/bot", "suspend")
    assert shown["suspendedBy"] == "owner"
    assert shown["suspendedAt"] == shown["createdAt"]  # the clock of the tests stands still

    refused = whoami(stack, bot)
    assert refused.status == 403
    assert "suspended" in refused.json["detail"]
    assert "Administrators" in refused.json["detail"]
    alone = stack.call("GET", "/v1/whoami", None, headers=bot.bearer)
    assert (alone.status, alone.json["detail"]) == (403, refused.json["detail"])
    assert stack.call("POST", "/v1/api-keys/rotate", bot).status == 403

    assert done(stack, owner, f"{PATH}/bot", "resume")["suspendedAt"] is None
    assert whoami(stack, bot).status == 200


def test_a_wrong_key_of_a_suspended_one_is_refused_in_the_words_of_any_wrong_key(
    stack: Stack, owner: Key, bot: Key
) -> None:
    wrong = Key("bot", owner.secret)
    before = whoami(stack, wrong).json["detail"]
    done(stack, owner, f"{PATH}/bot", "suspend")
    after = whoami(stack, wrong)
    assert (after.status, after.json["detail"]) == (401, before)


def test_a_wrong_key_comes_before_the_network_and_the_network_before_the_suspension(
    stack: Stack, owner: Key, bot: Key
) -> None:
    body = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    assert stack.call("PATCH", f"{PATH}/bot/api-keys", owner, body).status == 200
    done(stack, owner, f"{PATH}/bot", "suspend")

    assert whoami(stack, Key("bot", owner.secret)).status == 401
    elsewhere = whoami(stack, bot)
    assert (elsewhere.status, "may not be used from" in elsewhere.json["detail"]) == (403, True)
    within = stack.call("GET", "/v1/whoami", bot, source_ip="203.0.113.7")
    assert (within.status, "suspended" in within.json["detail"]) == (403, True)


def test_verify_refuses_a_suspended_service_user(stack: Stack, owner: Key, bot: Key) -> None:
    asked = {
        "sourceIp": "198.51.100.7",
        "method": "GET",
        "path": "/monitoring",
        "authorization": bot.bearer["authorization"],
    }
    done(stack, owner, f"{PATH}/bot", "suspend")
    decision = verify_function(asked, None, stack.service)
    assert (decision["allowed"], decision["status"]) == (False, 403)
    assert "suspended" in decision["reason"]


def test_suspending_twice_and_resuming_twice_changes_nothing_and_is_one_event_each(
    stack: Stack, owner: Key, bot: Key
) -> None:
    for what in ("suspend", "suspend", "resume", "resume"):
        done(stack, owner, f"{PATH}/bot", what)
    actions = [it["action"] for it in stack.call("GET", "/v1/events?username=bot", owner).json]
    assert sorted(actions) == ["SERVICE_USER_CREATED", "SERVICE_USER_RESUMED", "SERVICE_USER_SUSPENDED"]
    stack.user(owner, "ann", "READ_ONLY")
    for what in ("suspend", "suspend", "resume", "resume"):
        done(stack, owner, f"{USERS}/ann", what)
    actions = [it["action"] for it in stack.call("GET", "/v1/events?username=ann", owner).json]
    assert sorted(actions) == ["USER_ACTIVATED", "USER_INVITED", "USER_RESUMED", "USER_SUSPENDED"]


def test_the_use_of_a_suspended_key_is_on_record_once_an_hour(stack: Stack, owner: Key, bot: Key) -> None:
    done(stack, owner, f"{PATH}/bot", "suspend")
    for _ in range(3):
        assert whoami(stack, bot).status == 403
    events = stack.call("GET", "/v1/events?username=bot&action=API_KEY_REFUSED", owner).json
    assert [it["reason"] for it in events] == ["Its holder is suspended"]
    assert stack.call("GET", f"{PATH}/bot", owner).json["apiKeys"]["apiKeys"][0]["lastUsedAt"] is None


def test_keys_of_a_suspended_service_user_are_still_changed(stack: Stack, owner: Key, bot: Key) -> None:
    done(stack, owner, f"{PATH}/bot", "suspend")
    body = {"keyType": "MONITORING"}
    rotated = stack.call("POST", f"{PATH}/bot/api-keys/rotate", owner, body)
    assert rotated.status == 200
    new = Key("bot", rotated.json["key"])
    assert whoami(stack, new).status == 403
    assert stack.call("PUT", f"{PATH}/bot", owner, {"displayName": "Bot"}).json["suspendedBy"] == "owner"
    read = stack.call("GET", f"{PATH}/bot", owner).json
    assert stack.call("PUT", f"{PATH}/bot", owner, read).status == 200
    assert stack.call("PUT", f"{PATH}/bot", owner, {**read, "suspendedAt": None}).status == 400
    done(stack, owner, f"{PATH}/bot", "resume")
    assert whoami(stack, new).status == 200
    assert whoami(stack, bot).status == 401
    done(stack, owner, f"{PATH}/bot", "suspend")
    assert stack.call("DELETE", f"{PATH}/bot", owner).status == 204


def test_a_suspended_person_is_refused_and_nothing_of_them_is_lost(stack: Stack, owner: Key) -> None:
    ann = stack.user(owner, "ann", "CLUSTER_ADMIN")
    stack.service_user(ann, "hers", keyTypes=["MONITORING"])
    assert done(stack, owner, f"{USERS}/ann", "suspend")["suspendedBy"] == "owner"
    refused = whoami(stack, ann)
    assert (refused.status, "You are suspended" in refused.json["detail"]) == (403, True)
    listed = {it["username"]: it["suspendedAt"] for it in stack.call("GET", USERS, owner).json}
    assert listed["owner"] is None
    assert listed["ann"] is not None

    done(stack, owner, f"{USERS}/ann", "resume")
    assert stack.call("PUT", f"{PATH}/hers", ann, {"displayName": "Hers"}).status == 200


def test_nobody_suspends_themselves(stack: Stack, owner: Key) -> None:
    stack.user(owner, "ann", "OWNER")
    refused = act(stack, owner, f"{USERS}/OWNER", "suspend")
    assert (refused.status, "another OWNER" in refused.json["detail"]) == (409, True)
    assert whoami(stack, owner).status == 200


def test_the_last_owner_who_is_not_suspended_is_never_suspended(stack: Stack, owner: Key) -> None:
    ann = stack.user(owner, "ann", "OWNER")
    machine = stack.service_user(owner, "ops", "OWNER", keyTypes=["USER_MANAGEMENT"])["USER_MANAGEMENT"]
    assert stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": True}).status == 200
    done(stack, ann, f"{USERS}/owner", "suspend")
    for by, method, path, body in (
        (machine, "POST", f"{USERS}/ann/suspend", NO_BODY),
        (machine, "DELETE", f"{USERS}/ann", NO_BODY),
        (machine, "PUT", f"{USERS}/ann", {"role": "READ_ONLY"}),
        (machine, "POST", f"{USERS}/ann/invitation", NO_BODY),
        (ann, "POST", f"{USERS}/ann/suspend", NO_BODY),
    ):
        refused = stack.call(method, path, by, body)
        assert refused.status == 409, refused.text
    done(stack, ann, f"{USERS}/owner", "resume")
    assert whoami(stack, owner).status == 200
    done(stack, owner, f"{USERS}/ann", "suspend")
    assert stack.call("DELETE", f"{USERS}/ann", owner).status == 204  # who is suspended counts no more


def test_a_machine_suspends_no_owner_unless_the_account_allows_it(stack: Stack, owner: Key) -> None:
    machine = stack.service_user(owner, "ops", "OWNER", keyTypes=["USER_MANAGEMENT"])["USER_MANAGEMENT"]
    stack.user(owner, "ann", "OWNER")
    stack.user(owner, "ben", "CLUSTER_ADMIN")
    assert act(stack, machine, f"{USERS}/ann", "suspend").status == 403
    done(stack, machine, f"{USERS}/ben", "suspend")


def test_nobody_resumes_themselves_with_a_machines_key(stack: Stack, owner: Key) -> None:
    """They may have been shown it, and rotate it with itself; the account's switch changes nothing."""
    eve = stack.user(owner, "eve", "OWNER")
    machine = stack.service_user(eve, "ops", "OWNER", keyTypes=["USER_MANAGEMENT"])["USER_MANAGEMENT"]
    for name in ("eve", "ben"):
        if name == "ben":
            stack.user(owner, "ben", "CLUSTER_ADMIN")
            assert stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": True}).status == 200
        done(stack, owner, f"{USERS}/{name}", "suspend")
        refused = act(stack, machine, f"{USERS}/{name}", "resume")
        assert refused.status == 403
        assert "a Service User cannot do it" in refused.json["detail"]
    assert whoami(stack, eve).status == 403


def test_who_has_not_activated_is_not_suspended_and_who_is_suspended_not_invited(
    stack: Stack, owner: Key
) -> None:
    body = {"username": "eve", "email": "eve@people.example", "role": "OWNER"}
    assert stack.call("POST", USERS, owner, body).status == 201
    refused = act(stack, owner, f"{USERS}/eve", "suspend")
    assert (refused.status, "has not activated" in refused.json["detail"]) == (409, True)
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    done(stack, owner, f"{USERS}/ann", "suspend")
    refused = stack.call("POST", f"{USERS}/ann/invitation", owner)
    assert (refused.status, "Resume them first" in refused.json["detail"]) == (409, True)


def test_the_operator_recovers_no_suspended_owner(stack: Stack, owner: Key) -> None:
    stack.user(owner, "ann", "OWNER")
    done(stack, owner, f"{USERS}/ann", "suspend")
    with pytest.raises(Conflict, match="is suspended"):
        account_rules.recover(stack.service.directory, "ann", Origin("", "", stack.clock()))


def test_an_invitation_waits_while_its_inviter_is_suspended(stack: Stack, owner: Key) -> None:
    ann = stack.user(owner, "ann", "OWNER")
    body = {"username": "eve", "email": "eve@people.example", "role": "READ_ONLY"}
    assert stack.call("POST", USERS, ann, body).status == 201
    accept = {"username": "eve", "token": stack.token("eve")}
    done(stack, owner, f"{USERS}/ann", "suspend")
    assert stack.call("GET", f"{USERS}/eve", owner).json["invitation"] == "WITHDRAWN"
    assert stack.call("POST", f"{USERS}/activate", None, accept).status == 400
    done(stack, owner, f"{USERS}/ann", "resume")
    assert stack.call("GET", f"{USERS}/eve", owner).json["invitation"] == "OPEN"
    assert stack.call("POST", f"{USERS}/activate", None, accept).status == 200


def test_a_suspended_person_becomes_no_administrator_and_stays_one(stack: Stack, owner: Key) -> None:
    ann = stack.user(owner, "ann", "CLUSTER_ADMIN")
    stack.service_user(ann, "hers", keyTypes=["MONITORING"])
    stack.service_user(owner, "ours", keyTypes=["MONITORING"])
    done(stack, owner, f"{USERS}/ann", "suspend")
    both = {"administrators": ["ann", "owner"]}
    assert stack.call("PUT", f"{PATH}/ours", owner, both).status == 400
    assert stack.call("PUT", f"{PATH}/hers", owner, both).json["administrators"] == ["ann", "owner"]


def test_administrators_are_mailed_of_a_service_user_and_owners_of_an_owner(
    stack: Stack, owner: Key, bot: Key
) -> None:
    ann = stack.user(owner, "ann", "OWNER")
    stack.user(owner, "ben", "READ_ONLY")
    mailed(stack, "")
    done(stack, ann, f"{PATH}/bot", "suspend")
    assert mailed(stack, "bot is suspended") == ["owner"]
    done(stack, ann, f"{PATH}/bot", "resume")
    assert mailed(stack, "bot is resumed") == ["ann", "owner"], "whoever suspended it is told as well"
    done(stack, owner, f"{USERS}/ben", "suspend")
    assert mailed(stack, "suspended") == ["ben"]
    done(stack, ann, f"{USERS}/owner", "suspend")
    assert mailed(stack, "suspended") == ["ann", "owner"]
    stack.call("POST", f"{PATH}/bot/api-keys/rotate", ann, {"keyType": "MONITORING"})
    assert mailed(stack, "") == ["ann"]  # the suspended Administrator is not told; OWNERs stand in


def test_owners_are_mailed_in_place_of_a_suspended_administrator(stack: Stack, owner: Key, bot: Key) -> None:
    mal = stack.user(owner, "mal", "OWNER")
    stack.user(owner, "ann", "CLUSTER_ADMIN")
    both = {"administrators": ["ann", "mal"]}
    assert stack.call("PUT", f"{PATH}/bot", owner, both).status == 200
    mailed(stack, "")
    rotation = {"keyType": "MONITORING"}
    stack.call("POST", f"{PATH}/bot/api-keys/rotate", mal, rotation)
    assert mailed(stack, "rotated") == ["ann", "mal"]
    done(stack, mal, f"{USERS}/ann", "suspend")
    stack.call("POST", f"{PATH}/bot/api-keys/rotate", mal, rotation)
    done(stack, mal, f"{PATH}/bot", "suspend")
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    told = [(to.partition("@")[0], str(it["Subject"]).partition(" (")[0][:14]) for to, it in mail.ses.sent]
    assert sorted(told) == [
        ("ann", "You are suspen"),
        *(("mal", it) for it in ("API key rotate", "bot is suspend")),
        *(("owner", it) for it in ("API key rotate", "bot is suspend")),
    ]
    done(stack, mal, f"{USERS}/ann", "resume")
    mail.resend()
    to, resumed = mail.ses.sent[-1]
    assert to == "ann@people.example"
    text = resumed.get_body(("plain",))
    assert text is not None
    assert "GET /v1/events has all of it" in " ".join(text.get_content().split())
    stack.call("POST", f"{PATH}/bot/api-keys/rotate", mal, rotation)
    assert mailed(stack, "rotated") == ["ann", "mal"]


@pytest.mark.parametrize("way", ["raised again", "invited anew"])
def test_who_becomes_an_owner_is_told_that_they_were_not_mailed_before(
    stack: Stack, owner: Key, way: str
) -> None:
    """Or whoever lowers the other OWNERs for five seconds could add another in those, with nobody told."""
    mal = stack.user(owner, "mal", "OWNER")
    stack.user(owner, "ann", "OWNER")
    if way == "raised again":
        for role in ("CLUSTER_ADMIN", "OWNER"):
            assert stack.call("PUT", f"{USERS}/ann", mal, {"role": role}).status == 200
            stack.clock.forward(1)
    else:
        assert stack.call("DELETE", f"{USERS}/ann", mal).status == 204
        stack.user(mal, "ann", "OWNER")
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    hint = "What the OWNERs were mailed until now, you were not"
    told = [
        str(it["Subject"])
        for to, it in mail.ses.sent
        if to == "ann@people.example"
        and (part := it.get_body(("plain",)))
        and hint in " ".join(part.get_content().split())
    ]
    activated, raised = "Your API key generated", "Your role in "
    expected = [activated, raised] if way == "raised again" else [activated, activated]
    assert [it.startswith(begin) for it, begin in zip(sorted(told), expected, strict=True)] == [True, True]


def test_an_administrator_below_suspends_and_does_not_resume(stack: Stack, owner: Key) -> None:
    ann = stack.user(owner, "ann", "CLUSTER_ADMIN")
    stack.service_user(owner, "boss", "OWNER", keyTypes=["MONITORING"])
    both = {"administrators": ["ann", "owner"]}
    assert stack.call("PUT", f"{PATH}/boss", owner, both).status == 200
    done(stack, ann, f"{PATH}/boss", "suspend")
    assert act(stack, ann, f"{PATH}/boss", "resume").status == 403
    done(stack, owner, f"{PATH}/boss", "resume")


@pytest.mark.parametrize("who", [f"{PATH}/bot", f"{USERS}/ann"])
def test_a_concurrent_change_does_not_stop_a_suspension(
    stack: Stack, owner: Key, bot: Key, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.user(owner, "ann", "OWNER")
    write = stack.client.transact_write_items
    name = who.rpartition("/")[2]
    numbers = count()

    def late(**parameters: Any) -> Any:
        item = stack.item(name)
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": item["pk"]}},
            UpdateExpression="SET version = :another",
            ExpressionAttributeValues={":another": {"S": f"another-{next(numbers)}"}},
        )
        return write(**parameters)

    monkeypatch.setattr(stack.client, "transact_write_items", late)
    tag = stack.call("GET", who, owner).headers["ETag"]
    assert act(stack, owner, who, "suspend", headers={"if-match": tag}).status in (409, 412)
    assert stack.item(name).get("suspendedAt") is None
    done(stack, owner, who, "suspend")
    assert stack.item(name)["suspendedBy"] == "owner"


def test_if_match_is_honoured(stack: Stack, owner: Key, bot: Key) -> None:
    tag = stack.call("GET", f"{PATH}/bot", owner).headers["ETag"]
    stack.call("PUT", f"{PATH}/bot", owner, {"displayName": "Bot"})
    assert act(stack, owner, f"{PATH}/bot", "suspend", headers={"if-match": tag}).status == 412
    assert whoami(stack, bot).status == 200
