"""People: inviting, activating, changing and revoking them, and what is left of it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest

from chalicelib.rules import accounts, key_format
from chalicelib.rules.context import Origin
from tests.support.api_client import NO_BODY, Key, Response, Stack
from tests.support.dynamodb_faults import before_commit
from tests.support.mail import MailFixture

USERS, SERVICE_USERS = "/v1/users", "/v1/service-users"
TOKEN = r"sui_[0-9A-Za-z]{49}"
HOURS_72 = 72 * 3600

pytestmark = pytest.mark.in_memory


def invite(stack: Stack, by: Key, username: str, role: str = "CLUSTER_ADMIN", **more: Any) -> Response:
    body = {"username": username, "email": f"{username.lower()}@people.example", "role": role, **more}
    return stack.call("POST", USERS, by, body)


def activate(stack: Stack, username: str, token: str) -> Response:
    return stack.call("POST", f"{USERS}/activate", body={"username": username, "token": token})


def administrators(stack: Stack, by: Key, username: str) -> list[str]:
    found: list[str] = stack.call("GET", f"{SERVICE_USERS}/{username}", by).json["administrators"]
    return found


def key_changes(event: dict[str, Any]) -> set[tuple[str, str]]:
    changes = [(key["change"], key["keyType"]) for key in event.get("keys", [])]
    assert len(set(changes)) == len(changes)
    return set(changes)


def mails(stack: Stack) -> list[tuple[str, EmailMessage]]:
    """Return what the mailer sends of all that waits."""
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    sent: list[tuple[str, EmailMessage]] = mail.ses.sent
    return sent


def body_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def one_write(stack: Stack, call: Callable[[], Response]) -> Response:
    """Make a call, and see that it wrote once: one transaction, and nothing before or after it."""
    with stack.counted() as counter:
        response = call()
    writes = {name: n for name, n in counter.items() if name not in ("GetItem", "BatchGetItem", "Query")}
    assert writes == {"TransactWriteItems": 1}
    assert sum(counter.values()) <= 4
    return response


# Inviting


def test_an_invited_user_is_listed_and_has_no_keys(stack: Stack) -> None:
    owner = stack.account()

    made = invite(stack, owner, "Bea", "READ_ONLY", displayName="Bea M")

    assert made.status == 201
    assert made.headers["Location"] == "https://api.example/v1/users/Bea"
    assert made.json == {
        "account": stack.call("GET", "/v1/account", owner).json["account"],
        "username": "Bea",
        "displayName": "Bea M",
        "email": "bea@people.example",
        "role": "READ_ONLY",
        "status": "INVITED",
        "invitedBy": "owner",
        "createdAt": "2030-03-17T17:46:40Z",
        "suspendedAt": None,
        "suspendedBy": None,
        "emailFailure": None,
        "invitation": "OPEN",
    }
    assert stack.call("GET", f"{USERS}/bea", owner).json == made.json
    assert "keys" not in stack.item("bea")


def test_a_person_without_a_display_name_is_called_by_their_username(stack: Stack) -> None:
    assert invite(stack, stack.account(), "Bea").json["displayName"] == "Bea"


@pytest.mark.parametrize(
    ("username", "email", "taken"),
    [
        ("BEA", "new@people.example", "The username 'BEA' is taken"),
        ("Worker", "new@people.example", "The username 'Worker' is taken"),
        ("stranger", "new@people.example", "The username 'stranger' is taken"),
        ("Owner", "new@people.example", "The username 'Owner' is taken"),
        ("new", "Bea+x@PEOPLE.example", "The email 'Bea+x@PEOPLE.example' is taken"),
        ("new", "g.mail+x@googlemail.com", "The email 'g.mail+x@googlemail.com' is taken"),
        ("new", "worker@machines.example", "The email 'worker@machines.example' is taken"),
        ("new", "owner@people.example", "The email 'owner@people.example' is taken"),
    ],
)
def test_a_taken_name_or_address_is_refused(stack: Stack, username: str, email: str, taken: str) -> None:
    owner = stack.account()
    stack.account("stranger")
    invite(stack, owner, "bea")
    invite(stack, owner, "gina", email="gmail@gmail.com")
    stack.service_user(owner, "worker")
    before = stack.snapshot()

    response = invite(stack, owner, username, email=email)

    assert response.status == 409
    assert response.json["detail"].startswith(taken)
    assert stack.snapshot() == before


@pytest.mark.parametrize("username", ["activate", "Activate", "ACTIVATE"])
def test_nobody_is_named_like_a_path_under_which_none_could_revoke_them(stack: Stack, username: str) -> None:
    response = invite(stack, stack.account(), username)

    assert response.status == 400
    assert response.pointers == ["/username"]


def test_every_error_in_an_invitation_is_reported(stack: Stack) -> None:
    owner = stack.account()
    assert stack.sign_in(owner) == 200
    before = stack.snapshot()

    response = stack.call(
        "POST", USERS, owner, {"username": "b", "email": "bea", "role": "KING", "displayName": "", "x": 1}
    )

    assert response.status == 400
    assert sorted(response.pointers) == ["/displayName", "/email", "/role", "/username", "/x"]
    assert stack.snapshot() == before


# The token


def test_a_token_is_only_in_its_email(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "bea", "READ_ONLY")

    (message,) = [message for to, message in mails(stack) if to == "bea@people.example"]

    text = body_of(message)
    (token,) = set(re.findall(TOKEN, text.replace("\\\n", "")))
    assert "Account of owner" in text
    assert "owner invites you" in text
    assert "READ_ONLY" in text
    assert f"{stack.service.public_url}/v1/users/activate" in text
    item = stack.item("bea")
    assert item[f"mailed_{item['invitation']['id']}"] == [
        {"digest": key_format.digest(token), "until": int(stack.clock()) + HOURS_72}
    ]
    assert token not in str(stack.snapshot())
    assert token not in str(stack.items(stack.tables.events))
    assert activate(stack, "bea", token).status == 200


def test_a_token_has_256_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    import secrets as random_source

    asked: list[int] = []

    def bytes_of(number: int) -> bytes:
        asked.append(number)
        return b"\xff" * number

    monkeypatch.setattr(random_source, "token_bytes", bytes_of)
    highest = key_format.new_token()
    monkeypatch.setattr(random_source, "token_bytes", lambda number: bytes(number - 1) + b"\x01")

    assert asked == [32]
    assert re.fullmatch(TOKEN, highest)
    assert highest[4:47] != key_format.new_token()[4:47] != "0" * 43


def test_a_token_works_for_72_hours(stack: Stack) -> None:
    owner = stack.account()
    for name in ("bea", "cal"):
        invite(stack, owner, name)
    tokens = {name: stack.token(name) for name in ("bea", "cal")}

    stack.clock.forward(HOURS_72 - 1)
    assert activate(stack, "bea", tokens["bea"]).status == 200

    stack.clock.forward(1)
    assert activate(stack, "cal", tokens["cal"]).status == 400
    assert "keys" not in stack.item("cal")


def test_a_token_works_once(stack: Stack) -> None:
    invite(stack, stack.account(), "bea")
    token = stack.token("bea")
    key = activate(stack, "bea", token).json["apiKeys"]["apiKeys"][0]["key"]
    before = stack.snapshot()

    assert activate(stack, "bea", token).status == 400
    assert stack.snapshot() == before
    assert stack.sign_in(Key("bea", key)) == 200


def test_every_invalid_token_gets_the_same_response(stack: Stack) -> None:
    owner = stack.account()
    for name in ("bea", "cal", "dan", "eve", "fay"):
        invite(stack, owner, name)
    stack.service_user(owner, "worker")
    used, former, good = (stack.token(name) for name in ("bea", "dan", "eve"))
    assert activate(stack, "bea", used).status == 200
    assert stack.call("POST", f"{USERS}/dan/invitation", owner).status == 200
    stack.token("dan")
    old = stack.token("fay")
    stack.clock.forward(HOURS_72)
    eve, others = stack.token("eve"), stack.token("cal")
    before = stack.snapshot()

    tries = {
        "wrong": ("eve", key_format.new_token()),
        "used": ("bea", used),
        "of another person": ("eve", others),
        "of a former invitation": ("dan", former),
        "of a former email, over": ("eve", good),
        "old": ("fay", old),
        "an API key": ("eve", owner.secret),
        "mistyped": ("eve", eve[:-1] + ("a" if eve[-1] != "a" else "b")),
        "cut off": ("eve", eve[:-1]),
        "not ASCII": ("eve", "sui_" + "ä" * 49),
        "empty": ("eve", ""),
        "of somebody active": ("owner", key_format.new_token()),
        "of nobody": ("nobody", key_format.new_token()),
        "of a Service User": ("worker", key_format.new_token()),
        "of no username": ("", key_format.new_token()),
        "of an endless username": ("x" * 900, key_format.new_token()),
        "of a look-alike": ("\N{KELVIN SIGN}arl", key_format.new_token()),
    }
    responses = {}
    for what, (username, token) in tries.items():
        response = activate(stack, username, token)
        problem = {name: it for name, it in response.json.items() if name != "requestId"}
        responses[what] = (response.status, str(sorted(response.headers.items())), str(problem))

    assert len(set(responses.values())) == 1, responses
    assert responses["wrong"][0] == 400
    assert "ask an OWNER of the account for a new invitation" in responses["wrong"][2]
    assert stack.snapshot() == before
    assert activate(stack, "eve", eve).status == 200


def test_a_mistyped_token_costs_no_read(stack: Stack) -> None:
    with stack.counted() as counter:
        activate(stack, "bea", "sui_" + "0" * 49)

    assert not counter


@pytest.mark.parametrize("role", ["OWNER", "CLUSTER_ADMIN"])
def test_activating_returns_a_key_that_can_generate_the_others(stack: Stack, role: str) -> None:
    invite(stack, stack.account(), "Bea", role)

    response = activate(stack, "BEA", stack.token("bea"))

    assert response.json["status"] == "ACTIVE"
    (shown,) = response.json["apiKeys"]["apiKeys"]
    assert (shown["keyType"], shown["username"], shown["createdBy"]) == ("USER_MANAGEMENT", "Bea", "Bea")
    key = Key("bea", shown["key"])
    assert stack.own_key(key, "PROVISIONING").secret
    assert shown["key"] not in stack.call("GET", f"{USERS}/bea/api-keys", key).text


def test_a_reader_gets_a_key_of_each_type_they_may_hold(stack: Stack) -> None:
    invite(stack, stack.account(), "bea", "READ_ONLY")

    response = activate(stack, "bea", stack.token("bea"))

    keys = {it["keyType"]: Key("bea", it["key"]) for it in response.json["apiKeys"]["apiKeys"]}
    assert list(keys) == ["MONITORING", "PROVISIONING_READONLY"]
    assert {stack.sign_in(key) for key in keys.values()} == {200}


def test_activating_has_an_event_with_its_keys_and_is_mailed_to_the_user(stack: Stack) -> None:
    invite(stack, stack.account(), "bea")
    stack.activate("bea")

    (event,) = stack.events("USER_ACTIVATED")
    assert event["actor"].items() >= {"kind": "USER", "username": "bea"}.items()
    assert key_changes(event) == {("GENERATED", "USER_MANAGEMENT")}
    assert event["subject"]["email"] == "bea@people.example"
    assert event["audience"] == "PERSON"


def test_an_activation_counts_the_owner_and_an_invitation_does_not(stack: Stack) -> None:
    owner = stack.account()

    invite(stack, owner, "Bea", "OWNER")
    assert stack.call("GET", "/v1/account", owner).json["owners"] == ["owner"]

    stack.activate("bea")
    assert [name.lower() for name in stack.call("GET", "/v1/account", owner).json["owners"]] == [
        "bea",
        "owner",
    ]


def mailed(stack: Stack, username: str) -> list[str]:
    return [name for name in stack.item(username) if name.startswith("mailed_")]


@pytest.mark.parametrize("who", ["invited", "activated"])
def test_a_token_noted_for_another_invitation_lets_nobody_in(stack: Stack, who: str) -> None:
    """The function that mails tokens can note one under any id; only the API opens an invitation."""
    owner = stack.account()
    invite(stack, owner, "bea", "OWNER")
    former = stack.item("bea")["invitation"]["id"]
    if who == "invited":
        assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200
    else:
        stack.activate("bea")
    tokens = [key_format.new_token() for _ in range(3)]
    for request, token in zip((former, "0" * 16, ""), tokens, strict=True):
        stack.note_mailed("bea", request, token, HOURS_72)
    before = stack.snapshot()
    assert [activate(stack, "bea", token).status for token in tokens] == [400] * 3
    assert stack.snapshot() == before
    assert len(mailed(stack, "bea")) == 3
    assert stack.call("PUT", f"{USERS}/bea", owner, {"displayName": "Bea B"}).status == 200
    assert mailed(stack, "bea") == [], "the next change removes them"


def test_a_token_lives_through_a_change_of_the_role_and_ends_with_its_invitation(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "bea")
    tokens = [stack.token("bea"), stack.token("bea")]
    noted = mailed(stack, "bea")
    assert len(noted) == 1
    assert len(stack.item("bea")[noted[0]]) == 2
    assert stack.call("PUT", f"{USERS}/bea", owner, {"role": "READ_ONLY"}).status == 200
    assert mailed(stack, "bea") == noted
    assert activate(stack, "bea", tokens[1]).status == 200
    assert mailed(stack, "bea") == []
    assert activate(stack, "bea", tokens[0]).status == 400
    assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200
    third = stack.token("bea")
    assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200
    assert mailed(stack, "bea") == []
    assert activate(stack, "bea", third).status == 400
    assert stack.signs_in(stack.activate("bea"))


@pytest.mark.parametrize("how", ["changed", "invited again", "activated"])
def test_a_token_noted_during_a_change_is_kept_unless_its_invitation_ends(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It makes no new version, so the change is made; what it ends has no token left, whoever read it."""
    owner = stack.account()
    invite(stack, owner, "bea")
    first = stack.token("bea") if how == "activated" else key_format.new_token()
    second = key_format.new_token()
    invitation = stack.item("bea")["invitation"]["id"]
    before_commit(stack, monkeypatch, lambda: stack.note_mailed("bea", invitation, second, HOURS_72))
    if how == "changed":
        assert stack.call("PUT", f"{USERS}/bea", owner, {"role": "READ_ONLY"}).status == 200
        assert mailed(stack, "bea") == [f"mailed_{invitation}"]
        assert activate(stack, "bea", second).status == 200
    elif how == "activated":
        assert activate(stack, "bea", first).status == 200
    else:
        assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200
    assert mailed(stack, "bea") == []
    assert {activate(stack, "bea", token).status for token in (first, second)} == {400}


def test_the_tokens_that_an_invitation_of_version_1_0_holds_are_valid(stack: Stack) -> None:
    owner = stack.account()
    for name in ("bea", "cal"):
        invite(stack, owner, name)
    tokens = {name: key_format.new_token() for name in ("bea", "cal")}
    for name, token in tokens.items():
        stack.client.update_item(
            TableName=stack.tables.directory,
            Key={"pk": {"S": f"USER#{name}"}},
            UpdateExpression="SET invitation.digests = :digests",
            ExpressionAttributeValues={
                ":digests": {"M": {key_format.digest(token).hex(): {"N": str(int(stack.clock()) + HOURS_72)}}}
            },
        )
    more = stack.token("cal")
    assert stack.call("PUT", f"{USERS}/bea", owner, {"role": "READ_ONLY"}).status == 200
    assert activate(stack, "bea", tokens["bea"]).status == 200
    stack.clock.forward(HOURS_72 - 1)
    assert stack.call("GET", f"{USERS}/cal", owner).json["invitation"] == "OPEN"
    assert activate(stack, "cal", tokens["cal"]).status == 200
    assert activate(stack, "cal", more).status == 400


def test_whoever_is_invited_anew_is_not_let_in_by_a_note_about_whom_they_follow(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "bea")
    token, invitation = stack.token("bea"), stack.item("bea")["invitation"]["id"]
    assert stack.call("DELETE", f"{USERS}/bea", owner).status == 204
    stack.clock.forward(300)
    invite(stack, owner, "bea")
    assert mailed(stack, "bea") == []
    stack.note_mailed("bea", invitation, token, HOURS_72)
    assert activate(stack, "bea", token).status == 400


# A new invitation


def test_a_new_invitation_ends_earlier_keys_and_tokens(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    monitoring = stack.own_key(bea, "MONITORING")
    rotated = stack.call(
        "POST", f"{USERS}/bea/api-keys/rotate", bea, {"keyType": "MONITORING", "overlapSeconds": 600}
    )
    newer = Key("bea", rotated.json["key"])
    assert [stack.sign_in(key) for key in (owner, bea, monitoring, newer)] == [200] * 4

    response = one_write(stack, lambda: stack.call("POST", f"{USERS}/bea/invitation", owner))

    assert response.json["status"] == "INVITED"
    assert response.json["invitation"] == "OPEN"
    assert [stack.sign_in(key) for key in (bea, monitoring, newer)] == [401] * 3
    (event,) = [it for it in stack.events("USER_INVITED") if "keys" in it]
    assert key_changes(event) == {("REVOKED", "MONITORING"), ("REVOKED", "USER_MANAGEMENT")}
    first = stack.token("bea")
    assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200
    assert activate(stack, "bea", first).status == 400
    back = stack.activate("bea")
    assert stack.sign_in(back) == 200
    assert [it["keyType"] for it in stack.call("GET", f"{USERS}/bea/api-keys", back).json["apiKeys"]] == [
        "USER_MANAGEMENT"
    ]


def test_a_person_who_lost_their_key_administers_on_when_they_are_back(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    stack.service_user(bea, "worker")

    stack.call("POST", f"{USERS}/bea/invitation", owner)
    back = stack.activate("bea")

    assert administrators(stack, owner, "worker") == ["bea"]
    assert stack.call("PUT", f"{SERVICE_USERS}/worker", back, {"displayName": "R"}).status == 200


@pytest.mark.parametrize("then", ["revoked", "invited again"])
def test_a_user_whose_new_invitation_is_void_is_notified_of_the_keys_it_ended(
    stack: Stack, then: str
) -> None:
    """The mail of an invitation that is void tells of the keys it ended: that is no less true."""
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    mails(stack)
    assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200
    if then == "revoked":
        assert stack.call("DELETE", f"{USERS}/bea", owner).status == 204
    else:
        assert stack.call("POST", f"{USERS}/bea/invitation", owner).status == 200

    told = [message for to, message in mails(stack) if to == "bea@people.example"]

    [revoked] = [message for message in told if bea.secret[-5:] in message["Subject"]]
    assert "Your API key revoked" in revoked["Subject"]
    assert "owner (User)" in body_of(revoked)
    [other] = [message for message in told if message is not revoked]
    assert ("Your access to" if then == "revoked" else "invites you") in other["Subject"]
    assert mails(stack) == []


def test_a_new_invitation_takes_an_empty_object_and_no_field(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "bea")

    assert stack.call("POST", f"{USERS}/bea/invitation", owner, {}).status == 200
    assert stack.call("POST", f"{USERS}/bea/invitation", owner, {"role": "OWNER"}).status == 400


def test_a_person_who_has_not_activated_cannot_be_made_an_administrator(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "worker")
    invite(stack, owner, "bea")
    stack.user(owner, "cal", "CLUSTER_ADMIN")
    stack.call("POST", f"{USERS}/cal/invitation", owner)

    response = stack.call(
        "PUT", f"{SERVICE_USERS}/worker", owner, {"administrators": ["owner", "bea", "cal"]}
    )

    assert response.status == 400
    assert response.pointers == ["/administrators/1", "/administrators/2"]


# Revoking and lowering


def test_revoking_a_person_ends_keys_and_links_in_one_write(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    monitoring = stack.own_key(bea, "MONITORING")
    for number in range(3):
        stack.service_user(bea, f"worker-{number}")
    assert [stack.sign_in(key) for key in (owner, bea, monitoring)] == [200] * 3

    response = one_write(stack, lambda: stack.call("DELETE", f"{USERS}/bea", owner))

    assert (response.status, response.text) == (204, "")
    assert [stack.sign_in(key) for key in (bea, monitoring)] == [401, 401]
    assert [administrators(stack, owner, f"worker-{number}") for number in range(3)] == [[], [], []]
    assert stack.call("GET", f"{USERS}/bea", owner).status == 404
    (event,) = stack.events("USER_REVOKED")
    assert key_changes(event) == {("REVOKED", "MONITORING"), ("REVOKED", "USER_MANAGEMENT")}
    assert event["subject"]["email"] == "bea@people.example"


def test_revoking_somebody_who_never_activated_frees_their_names(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "bea")
    token = stack.token("bea")

    assert stack.call("DELETE", f"{USERS}/Bea", owner).status == 204

    assert activate(stack, "bea", token).status == 400
    assert invite(stack, owner, "bea").status == 201


@pytest.mark.parametrize(
    ("username", "email"),
    [
        ("bea", "bea@people.example"),
        ("BEA", "bea@people.example"),
        ("bea", "other@people.example"),
        ("bea-again", "bea@people.example"),
        ("bea-again", "Bea+again@People.example"),
    ],
)
def test_invited_again_after_being_revoked_they_start_with_nothing(
    stack: Stack, username: str, email: str
) -> None:
    owner = stack.account()
    former = stack.user(owner, "bea", "CLUSTER_ADMIN")
    monitoring = stack.own_key(former, "MONITORING")
    worker = stack.service_user(former, "worker")["MONITORING"]
    stack.call("POST", f"{USERS}/bea/invitation", owner)
    token = stack.token("bea")
    assert activate(stack, "bea", token).status == 200
    stack.call("DELETE", f"{USERS}/bea", owner)

    assert invite(stack, owner, username, email=email).status == 201
    assert administrators(stack, owner, "worker") == []
    assert activate(stack, username, token).status == 400
    back = stack.activate(username)

    for name in {"bea", username}:
        for old in (former, monitoring):
            assert stack.sign_in(Key(name, old.secret)) == 401
    assert administrators(stack, owner, "worker") == []
    for call, body in (("PUT", {"displayName": "Mine"}), ("DELETE", NO_BODY)):
        assert stack.call(call, f"{SERVICE_USERS}/worker", back, body).status == 403
    for call in ("POST", "DELETE", "PATCH"):
        body = {"keyType": "MONITORING"}
        assert stack.call(call, f"{SERVICE_USERS}/worker/api-keys", back, body).status == 403
    assert len(stack.call("GET", f"{USERS}/{username}/api-keys", back).json["apiKeys"]) == 1
    assert stack.sign_in(worker) == 200


def test_somebody_in_another_account_who_takes_a_freed_name_gets_nothing(stack: Stack) -> None:
    owner, stranger = stack.account(), stack.account("stranger")
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    stack.service_user(bea, "worker")
    stack.call("DELETE", f"{USERS}/bea", owner)

    other = stack.user(stranger, "bea", "CLUSTER_ADMIN")

    assert administrators(stack, owner, "worker") == []
    assert stack.call("GET", f"{SERVICE_USERS}/worker", other).status == 404
    assert stack.call("PUT", f"{SERVICE_USERS}/worker", other, {"displayName": "Mine"}).status == 404


def test_lowering_to_read_only_ends_keys_and_links_in_one_write(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    keys = {
        kind: stack.own_key(bea, kind) for kind in ("MONITORING", "PROVISIONING", "PROVISIONING_READONLY")
    }
    stack.service_user(bea, "worker")
    assert [stack.sign_in(key) for key in (owner, bea, *keys.values())] == [200] * 5

    response = one_write(stack, lambda: stack.call("PUT", f"{USERS}/bea", owner, {"role": "READ_ONLY"}))

    assert response.json["role"] == "READ_ONLY"
    assert stack.sign_in(bea) == 401
    assert {kind: stack.sign_in(key) for kind, key in keys.items()} == {
        "MONITORING": 200,
        "PROVISIONING": 401,
        "PROVISIONING_READONLY": 200,
    }
    assert administrators(stack, owner, "worker") == []
    (event,) = stack.events("USER_UPDATED")
    assert key_changes(event) == {("REVOKED", "PROVISIONING"), ("REVOKED", "USER_MANAGEMENT")}
    assert event["changes"] == {"role": ["CLUSTER_ADMIN", "READ_ONLY"]}
    assert event["audience"] == "PERSON"


def test_raising_a_lowered_user_restores_nothing(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    stack.service_user(bea, "worker")
    for role in ("READ_ONLY", "OWNER", "CLUSTER_ADMIN"):
        assert stack.call("PUT", f"{USERS}/bea", owner, {"role": role}).status == 200

    assert stack.sign_in(bea) == 401
    assert administrators(stack, owner, "worker") == []
    stack.call("POST", f"{USERS}/bea/invitation", owner)
    back = stack.activate("bea")
    assert stack.call("PUT", f"{SERVICE_USERS}/worker", back, {"displayName": "Mine"}).status == 403
    stack.call("PUT", f"{SERVICE_USERS}/worker", owner, {"administrators": ["bea"]})
    assert stack.call("PUT", f"{SERVICE_USERS}/worker", back, {"displayName": "Mine"}).status == 200


def test_an_owner_lowered_to_cluster_admin_keeps_what_those_may_have(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    stack.service_user(bea, "hers")
    stack.service_user(owner, "his")
    assert stack.call("PUT", f"{SERVICE_USERS}/his", bea, {"displayName": "X"}).status == 200

    assert stack.call("PUT", f"{USERS}/bea", owner, {"role": "CLUSTER_ADMIN"}).status == 200

    assert stack.call("PUT", f"{SERVICE_USERS}/hers", bea, {"displayName": "X"}).status == 200
    assert stack.call("PUT", f"{SERVICE_USERS}/his", bea, {"displayName": "Y"}).status == 403
    assert invite(stack, bea, "cal").status == 403
    assert stack.call("PUT", "/v1/account", bea, {"name": "Hers"}).status == 403
    assert stack.call("GET", "/v1/account", owner).json["owners"] == ["owner"]
    assert "keys" not in stack.events("USER_UPDATED")[0]
    told = {to for to, it in mails(stack) if "no longer an OWNER" in it["Subject"] or "now" in it["Subject"]}
    assert told == {"bea@people.example", "owner@people.example"}


def test_lowering_somebody_who_has_not_activated_counts_for_their_token(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "bea", "OWNER")
    assert stack.call("PUT", f"{USERS}/bea", owner, {"role": "READ_ONLY"}).status == 200

    response = activate(stack, "bea", stack.token("bea"))

    assert response.json["role"] == "READ_ONLY"
    assert stack.call("GET", "/v1/account", owner).json["owners"] == ["owner"]


def test_a_service_user_whose_last_administrator_is_gone_is_run_by_the_owners(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    cal = stack.user(owner, "cal", "CLUSTER_ADMIN")
    stack.user(owner, "dan", "OWNER")
    invite(stack, owner, "eve", "OWNER")
    worker = stack.service_user(bea, "worker")["MONITORING"]
    mails(stack)
    stack.call("DELETE", f"{USERS}/bea", owner)
    mails(stack)

    assert administrators(stack, owner, "worker") == []
    assert stack.call("GET", f"{SERVICE_USERS}/worker", worker).json["administrators"] == []
    (listed,) = stack.call("GET", SERVICE_USERS, cal).json
    assert listed["administrators"] == []
    assert stack.sign_in(worker) == 200
    assert stack.call("PUT", f"{SERVICE_USERS}/worker", cal, {"administrators": ["cal"]}).status == 403
    rotate = f"{SERVICE_USERS}/worker/api-keys/rotate"
    assert stack.call("POST", rotate, owner, {"keyType": "MONITORING"}).status == 200
    assert sorted(to for to, _ in mails(stack)) == ["dan@people.example", "owner@people.example"]
    assert stack.call("PUT", f"{SERVICE_USERS}/worker", owner, {"administrators": ["cal"]}).status == 200
    assert stack.call("POST", rotate, cal, {"keyType": "MONITORING"}).status == 200
    assert sorted((to, str(it["Subject"])[:14]) for to, it in mails(stack)) == [
        ("cal@people.example", "API key rotate"),
        ("cal@people.example", "Administrators"),
        ("dan@people.example", "Administrators"),
        ("owner@people.example", "Administrators"),
    ]


def test_people_are_mailed_of_their_own_keys_even_as_they_are_revoked(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    mails(stack)

    stack.own_key(bea, "MONITORING")
    stack.call("DELETE", f"{USERS}/bea/api-keys?keyType=MONITORING", bea)
    stack.call("DELETE", f"{USERS}/bea", owner)

    assert [to for to, _ in mails(stack)] == ["bea@people.example"] * 3


# Machines and OWNERs


def let_machines_manage_owners(stack: Stack, owner: Key, let: bool = True) -> None:
    """Switch ``machinesManageOwners`` on or off."""
    response = stack.call("PUT", "/v1/account", owner, {"machinesManageOwners": let})
    assert (response.status, response.json["machinesManageOwners"]) == (200, let)


TOUCHING_AN_OWNER: dict[str, tuple[str, str, Any]] = {
    "invite as OWNER": ("POST", USERS, {"username": "eve", "email": "eve@people.example", "role": "OWNER"}),
    "raise to OWNER": ("PUT", f"{USERS}/cal", {"role": "OWNER"}),
    "raise the invited to OWNER": ("PUT", f"{USERS}/ida", {"role": "OWNER"}),
    "lower": ("PUT", f"{USERS}/bea", {"role": "READ_ONLY"}),
    "rename": ("PUT", f"{USERS}/bea", {"displayName": "Bea"}),
    "revoke": ("DELETE", f"{USERS}/bea", NO_BODY),
    "invite again": ("POST", f"{USERS}/bea/invitation", NO_BODY),
    "lower the invited": ("PUT", f"{USERS}/fay", {"role": "CLUSTER_ADMIN"}),
    "revoke the invited": ("DELETE", f"{USERS}/fay", NO_BODY),
    "invite the invited again": ("POST", f"{USERS}/fay/invitation", NO_BODY),
}


def account_with_a_machine(stack: Stack) -> tuple[Key, Key]:
    """Return the keys of an OWNER and of an OWNER Service User, "worker".

    Beside them: "bea" (OWNER), "cal" (CLUSTER_ADMIN), and the invited "fay" (OWNER) and "ida" (READ_ONLY).
    """
    owner = stack.account()
    worker = stack.service_user(owner, "worker", "OWNER")["USER_MANAGEMENT"]
    stack.user(owner, "bea", "OWNER")
    stack.user(owner, "cal", "CLUSTER_ADMIN")
    invite(stack, owner, "fay", "OWNER")
    invite(stack, owner, "ida", "READ_ONLY")
    assert [stack.sign_in(key) for key in (owner, worker)] == [200, 200]
    return owner, worker


@pytest.mark.parametrize("name", TOUCHING_AN_OWNER)
def test_a_machine_changes_no_owner_unless_the_account_allows_it(stack: Stack, name: str) -> None:
    method, path, body = TOUCHING_AN_OWNER[name]
    owner, worker = account_with_a_machine(stack)
    before = stack.snapshot()

    response = stack.call(method, path, worker, body)

    assert response.status == 403
    assert "machinesManageOwners" in response.json["detail"]
    assert stack.snapshot() == before
    let_machines_manage_owners(stack, owner)
    assert stack.call(method, path, worker, body).status < 300


@pytest.mark.parametrize("name", TOUCHING_AN_OWNER)
def test_a_machine_changes_no_owner_once_the_switch_is_off(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also where it is switched off between the machine's reading and its writing."""
    method, path, body = TOUCHING_AN_OWNER[name]
    owner, worker = account_with_a_machine(stack)
    let_machines_manage_owners(stack, owner)
    after: list[Any] = []

    def switch_off() -> None:
        let_machines_manage_owners(stack, owner, let=False)
        after.append(stack.snapshot())

    before_commit(stack, monkeypatch, switch_off)
    assert stack.call(method, path, worker, body).status in (403, 409)
    assert [stack.snapshot()] == after


def test_a_machine_manages_users_below_owner(stack: Stack) -> None:
    _, worker = account_with_a_machine(stack)

    assert invite(stack, worker, "gus", "CLUSTER_ADMIN").status == 201
    assert stack.call("PUT", f"{USERS}/gus", worker, {"role": "READ_ONLY"}).status == 200
    assert stack.call("POST", f"{USERS}/cal/invitation", worker).status == 200
    assert stack.call("DELETE", f"{USERS}/gus", worker).status == 204


@pytest.mark.parametrize("caller", ["admin", "machine"])
def test_only_an_owner_user_allows_machines_to_manage_owners(stack: Stack, caller: str) -> None:
    owner, worker = account_with_a_machine(stack)
    admin = stack.user(owner, "admin", "CLUSTER_ADMIN")
    key = worker if caller == "machine" else admin

    assert stack.call("PUT", "/v1/account", key, {"machinesManageOwners": True}).status == 403
    assert stack.call("GET", "/v1/account", owner).json["machinesManageOwners"] is False
    let_machines_manage_owners(stack, owner)
    assert stack.events("ACCOUNT_UPDATED")[-1]["changes"] == {"machinesManageOwners": ["false", "true"]}


# An invitation is as good as whoever sent it


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", f"{USERS}/bea", NO_BODY),
        ("PUT", f"{USERS}/bea", {"role": "CLUSTER_ADMIN"}),
        ("DELETE", f"{SERVICE_USERS}/worker", NO_BODY),
        ("PUT", f"{SERVICE_USERS}/worker", {"role": "CLUSTER_ADMIN"}),
    ],
)
def test_an_invitation_ends_when_its_inviter_is_no_longer_an_owner(
    stack: Stack, method: str, path: str, body: Any
) -> None:
    """And a person or machine made again under the name does not bring it back; a fresh one does."""
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    worker = stack.service_user(owner, "worker", "OWNER")["USER_MANAGEMENT"]
    inviter = worker if path.endswith("worker") else bea
    assert invite(stack, inviter, "dan", "READ_ONLY").json["invitedBy"] == inviter.username
    token = stack.token("dan")
    assert _invitation(stack, owner, "dan") == "OPEN"
    assert stack.call(method, path, owner, body).status < 300
    assert _invitation(stack, owner, "dan") == "WITHDRAWN"

    activation = {"username": "dan", "token": token}
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400
    if method == "DELETE" and inviter is bea:
        stack.user(owner, "bea", "OWNER")
        assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400
        assert _invitation(stack, owner, "dan") == "WITHDRAWN"
    assert stack.call("POST", f"{USERS}/dan/invitation", owner).json["invitedBy"] == "owner"
    assert _invitation(stack, owner, "dan") == "OPEN"
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400
    stack.activate("dan")
    assert _invitation(stack, owner, "dan") is None
    listed = {it["username"]: it["invitedBy"] for it in stack.call("GET", USERS, owner).json}
    assert (listed["owner"], listed["dan"]) == (None, "owner")


def test_a_machines_invitation_ends_with_the_key_that_sent_it(stack: Stack) -> None:
    """Whoever revokes a key that somebody else knows ends what was sent with it; a rotation ends nothing."""
    owner, worker = account_with_a_machine(stack)
    for name in ("eve", "gus"):
        assert invite(stack, worker, name, "CLUSTER_ADMIN").status == 201
    assert stack.call("POST", "/v1/api-keys/rotate", worker).status == 200
    assert stack.signs_in(stack.activate("eve"))
    assert _invitation(stack, owner, "gus") == "OPEN"
    body = {"keyType": "USER_MANAGEMENT"}
    assert stack.call("DELETE", f"{SERVICE_USERS}/worker/api-keys", owner, body).status == 204
    activation = {"username": "gus", "token": stack.token("gus")}
    stack.clock.forward(1)
    for again in (False, True):
        if again:
            assert stack.call("POST", f"{SERVICE_USERS}/worker/api-keys", owner, body).status == 201
        assert _invitation(stack, owner, "gus") == "WITHDRAWN"
        assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400


@pytest.mark.parametrize("how", ["leaked", "offboarded"])
@pytest.mark.parametrize("sent", ["before the rotation", "with the predecessor"])
def test_an_invitation_ends_with_the_predecessor_that_sent_it(stack: Stack, how: str, sent: str) -> None:
    """What was sent with the key that replaced it stays, and so does the key."""
    owner = stack.account()
    eve = stack.user(owner, "eve", "OWNER")
    first = stack.service_user(eve, "worker", "OWNER")["USER_MANAGEMENT"]
    if sent == "before the rotation":
        assert invite(stack, first, "gus", "CLUSTER_ADMIN").status == 201
    body = {"keyType": "USER_MANAGEMENT", "overlapSeconds": 3600}
    rotated = stack.call("POST", f"{SERVICE_USERS}/worker/api-keys/rotate", owner, body)
    second = Key("worker", rotated.json["key"])
    if sent == "with the predecessor":
        assert invite(stack, first, "gus", "CLUSTER_ADMIN").status == 201
    assert invite(stack, second, "hal", "CLUSTER_ADMIN").status == 201
    if how == "leaked":
        found = [{"token": first.secret, "type": "service_users_api_key", "url": ""}]
        assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    else:
        assert stack.call("DELETE", f"{USERS}/eve/shown-keys?revokeUser=true", owner).status == 200
    assert (stack.signs_in(first), stack.signs_in(second)) == (False, True)
    assert [_invitation(stack, owner, name) for name in ("gus", "hal")] == ["WITHDRAWN", "OPEN"]
    activation = {"username": "gus", "token": stack.token("gus")}
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400
    assert stack.signs_in(stack.activate("hal"))


@pytest.mark.parametrize("how", ["revoked", "leaked", "invited again", "recovered", "expired"])
def test_a_persons_invitation_ends_with_the_key_that_sent_it(stack: Stack, how: str) -> None:
    """A thief has invited somebody with it: whatever ends the key ends that, too."""
    owner = stack.account()
    eve = stack.user(owner, "eve", "OWNER")
    assert invite(stack, eve, "gus", "CLUSTER_ADMIN").status == 201
    activation = {"username": "gus", "token": stack.token("gus")}
    rotated = eve
    if how != "recovered":
        rotated = Key("eve", stack.call("POST", "/v1/api-keys/rotate", eve).json["key"])
    assert _invitation(stack, owner, "gus") == "OPEN", "a rotation is no matter"
    stack.clock.forward(1)
    if how == "revoked":
        path = f"{USERS}/eve/api-keys?keyType=USER_MANAGEMENT&evenIfLockedOut=true"
        assert stack.call("DELETE", path, rotated).status == 204
    elif how == "leaked":
        found = [{"token": rotated.secret, "type": "service_users_api_key", "url": ""}]
        assert stack.call("POST", "/v1/leaked-keys", None, found).status == 200
    elif how == "recovered":
        accounts.recover(stack.service.directory, "eve", Origin("", "", stack.clock()))
    elif how == "expired":
        ends = datetime.fromtimestamp(stack.clock() + 90, UTC).isoformat(timespec="seconds")
        body = {"keyType": "USER_MANAGEMENT", "expiresAt": ends, "evenIfLockedOut": True}
        assert stack.call("PATCH", f"{USERS}/eve/api-keys", rotated, body).status == 200
        stack.clock.forward(89)
        assert _invitation(stack, owner, "gus") == "OPEN"
        stack.clock.forward(2)
    else:
        assert stack.call("POST", f"{USERS}/eve/invitation", owner).status == 200
        assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400
        eve = stack.activate("eve")
    assert _invitation(stack, owner, "gus") == "WITHDRAWN"
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400


@pytest.mark.parametrize("recorded", ["keyCreatedAt", "keyFirst"])
def test_a_machines_invitation_from_before_its_key_was_recorded_is_valid(stack: Stack, recorded: str) -> None:
    owner, worker = account_with_a_machine(stack)
    assert invite(stack, worker, "eve", "READ_ONLY").status == 201
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": "USER#eve"}},
        UpdateExpression=f"REMOVE invitation.inviter.{recorded}",
    )
    assert _invitation(stack, owner, "eve") == "OPEN"
    assert stack.signs_in(stack.activate("eve"))


def test_an_invitation_does_not_outlive_a_key_that_was_replaced_in_the_same_second(stack: Stack) -> None:
    owner = stack.account()
    stack.service_user(owner, "worker", "OWNER", keyTypes=["MONITORING"])
    path = "/v1/service-users/worker/api-keys"
    body = {"keyType": "USER_MANAGEMENT"}
    first = Key("worker", stack.call("POST", path, owner, body).json["key"])
    assert invite(stack, first, "gus", "CLUSTER_ADMIN").status == 201
    activation = {"username": "gus", "token": stack.token("gus")}
    assert stack.call("DELETE", f"{path}?keyType=USER_MANAGEMENT", owner).status == 204
    assert stack.call("POST", path, owner, body).status == 201
    assert _invitation(stack, owner, "gus") == "WITHDRAWN"
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400


def test_offboarding_ends_what_a_leaver_invited_with_a_machines_key(stack: Stack) -> None:
    owner = stack.account()
    eve = stack.user(owner, "eve", "OWNER")
    worker = stack.service_user(eve, "worker", "OWNER")["USER_MANAGEMENT"]
    assert invite(stack, worker, "gus", "CLUSTER_ADMIN").status == 201
    ended = stack.call("DELETE", f"{USERS}/eve/shown-keys?revokeUser=true", owner)
    assert (ended.status, ended.json["complete"]) == (200, True)
    assert _invitation(stack, owner, "gus") == "WITHDRAWN"
    activation = {"username": "gus", "token": stack.token("gus")}
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400


def test_who_never_activated_is_mailed_their_invitation_alone(stack: Stack) -> None:
    """Or an account could have mail sent to a stranger as often as it changes their role."""
    owner = stack.account()
    assert invite(stack, owner, "gus", "READ_ONLY").status == 201
    for role in ("CLUSTER_ADMIN", "READ_ONLY", "OWNER", "CLUSTER_ADMIN"):
        stack.clock.forward(1)
        assert stack.call("PUT", f"{USERS}/gus", owner, {"role": role}).status == 200
    changed = [(it["changes"]["role"][1], it.get("audience")) for it in stack.events("USER_UPDATED")]
    assert changed == [
        ("CLUSTER_ADMIN", None),
        ("READ_ONLY", None),
        ("OWNER", "OWNERS"),
        ("CLUSTER_ADMIN", "OWNERS"),
    ]
    assert [to for to, _ in mails(stack)].count("gus@people.example") == 1


def test_who_was_invited_again_and_then_revoked_is_notified(stack: Stack) -> None:
    """They had access before; somebody who never activated is not."""
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")
    assert invite(stack, owner, "new", "CLUSTER_ADMIN").status == 201
    for name in ("bea", "bea", "new"):
        assert stack.call("POST", f"{USERS}/{name}/invitation", owner).status == 200
    for name in ("bea", "new"):
        assert stack.call("DELETE", f"{USERS}/{name}", owner).status == 204
    revoked = {it["subject"]["username"]: it.get("audience") for it in stack.events("USER_REVOKED")}
    assert revoked == {"bea": "PERSON", "new": None}


def _invitation(stack: Stack, by: Key, username: str) -> str | None:
    """Return the state of an invitation, after checking that the list and the single User show the same."""
    (listed,) = [it for it in stack.call("GET", USERS, by).json if it["username"] == username]
    assert stack.call("GET", f"{USERS}/{username}", by).json == listed
    assert listed["status"] == ("ACTIVE" if listed["invitation"] is None else "INVITED")
    found: str | None = listed["invitation"]
    return found


def test_an_expired_invitation_is_shown_as_expired(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    invite(stack, bea, "dan", "READ_ONLY")
    stack.clock.forward(100 * 3600)
    assert _invitation(stack, owner, "dan") == "OPEN", "its 72 hours begin with its email"
    stack.token("dan")
    stack.clock.forward(72 * 3600 - 1)
    assert _invitation(stack, owner, "dan") == "OPEN"
    stack.clock.forward(1)
    assert _invitation(stack, owner, "dan") == "EXPIRED"
    assert stack.call("POST", f"{USERS}/dan/invitation", owner).status == 200
    assert _invitation(stack, owner, "dan") == "OPEN"


def test_an_invitation_of_somebody_who_is_elsewhere_by_now_is_withdrawn(stack: Stack) -> None:
    """The username of the inviter may belong to another account, or to a machine, by now."""
    owner, stranger = stack.account(), stack.account("stranger")
    for number in range(2):
        invite(stack, stack.user(owner, f"bea-{number}", "OWNER"), f"dan-{number}", "READ_ONLY")
        assert stack.call("DELETE", f"{USERS}/bea-{number}", owner).status == 204
    stack.user(stranger, "bea-0", "OWNER")
    stack.service_user(owner, "bea-1", "OWNER")
    assert [_invitation(stack, owner, f"dan-{number}") for number in range(2)] == ["WITHDRAWN"] * 2


def test_an_owner_who_invites_themselves_again_activates(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    assert stack.call("POST", f"{USERS}/BEA/invitation", bea).json["invitedBy"] == "bea"
    assert not stack.signs_in(bea)
    assert stack.signs_in(stack.activate("bea"))
    assert "bea" in stack.call("GET", "/v1/account", owner).json["owners"]


@pytest.mark.parametrize("roles", [("CLUSTER_ADMIN",), ("READ_ONLY",), ("READ_ONLY", "OWNER")])
def test_an_owner_who_invited_themselves_and_was_lowered_does_not_activate(
    stack: Stack, roles: tuple[str, ...]
) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    assert stack.call("POST", f"{USERS}/bea/invitation", bea).status == 200
    for role in roles:
        assert stack.call("PUT", f"{USERS}/bea", owner, {"role": role}).status == 200
    activation = {"username": "bea", "token": stack.token("bea")}
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400


def test_a_machines_invitation_of_an_owner_ends_with_the_switch(stack: Stack) -> None:
    """That of somebody below OWNER does not, and a new invitation by an OWNER User needs no switch."""
    owner, worker = account_with_a_machine(stack)
    let_machines_manage_owners(stack, owner)
    assert invite(stack, worker, "eve", "OWNER").status == 201
    assert invite(stack, worker, "gus", "CLUSTER_ADMIN").status == 201
    assert [_invitation(stack, owner, name) for name in ("eve", "gus")] == ["OPEN", "OPEN"]
    let_machines_manage_owners(stack, owner, let=False)
    assert [_invitation(stack, owner, name) for name in ("eve", "gus")] == ["WITHDRAWN", "OPEN"]
    activation = {"username": "eve", "token": stack.token("eve")}
    before = stack.snapshot()
    assert stack.call("POST", f"{USERS}/activate", None, activation).status == 400
    assert stack.snapshot() == before
    assert stack.signs_in(stack.activate("gus"))
    assert stack.call("POST", f"{USERS}/eve/invitation", owner).status == 200
    assert stack.signs_in(stack.activate("eve"))


def test_a_machines_invitation_of_an_owner_is_good_while_the_switch_is_on(stack: Stack) -> None:
    owner, worker = account_with_a_machine(stack)
    let_machines_manage_owners(stack, owner)
    assert invite(stack, worker, "eve", "OWNER").status == 201
    assert stack.signs_in(stack.activate("eve"))


def test_an_invitation_stored_without_its_inviter_is_valid(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "dan", "READ_ONLY")
    item = stack.item("dan")
    stack.client.update_item(
        TableName=stack.tables.directory,
        Key={"pk": {"S": item["pk"]}},
        UpdateExpression="REMOVE invitation.inviter, invitedBy",
    )
    assert stack.call("GET", f"{USERS}/dan", owner).json["invitation"] == "OPEN"
    assert stack.signs_in(stack.activate("dan"))
    assert stack.call("GET", f"{USERS}/dan", owner).json["invitedBy"] is None


# The last OWNER


@pytest.mark.parametrize(
    ("method", "path", "body", "by_worker"),
    [
        ("DELETE", f"{USERS}/owner", NO_BODY, False),
        ("DELETE", f"{USERS}/OWNER", NO_BODY, True),
        ("POST", f"{USERS}/owner/invitation", NO_BODY, False),
        ("POST", f"{USERS}/owner/invitation", NO_BODY, True),
        ("PUT", f"{USERS}/owner", {"role": "CLUSTER_ADMIN"}, True),
        ("PUT", f"{USERS}/owner", {"role": "READ_ONLY"}, True),
    ],
)
def test_the_last_owner_cannot_be_revoked_or_lowered(
    stack: Stack, method: str, path: str, body: Any, by_worker: bool
) -> None:
    owner = stack.account()
    worker = stack.service_user(owner, "worker", "OWNER")["USER_MANAGEMENT"]
    let_machines_manage_owners(stack, owner)
    stack.user(owner, "bea", "OWNER")
    invite(stack, owner, "cal", "OWNER")
    stack.call("POST", f"{USERS}/bea/invitation", owner)
    assert [stack.sign_in(key) for key in (owner, worker)] == [200, 200]
    before = stack.snapshot()

    response = stack.call(method, path, worker if by_worker else owner, body)

    assert response.status == 409
    assert "An account needs at least one activated OWNER" in response.json["detail"]
    assert stack.snapshot() == before
    assert stack.sign_in(owner) == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("DELETE", f"{USERS}/owner", 204), ("POST", f"{USERS}/owner/invitation", 200)],
)
def test_an_owner_may_go_while_another_stays(stack: Stack, method: str, path: str, status: int) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    assert stack.sign_in(owner) == 200

    assert one_write(stack, lambda: stack.call(method, path, owner)).status == status

    assert stack.sign_in(owner) == 401
    assert stack.call("GET", "/v1/account", bea).json["owners"] == ["bea"]
    assert stack.call("DELETE", f"{USERS}/bea", bea).status == 409


def test_nobody_changes_their_own_role(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "OWNER")
    before = stack.call("GET", "/v1/users/owner", owner).json

    response = stack.call("PUT", f"{USERS}/Owner", owner, {"role": "CLUSTER_ADMIN", "displayName": "Me"})

    assert response.status == 403
    assert response.json["detail"] == "You cannot change your own role. Ask another OWNER."
    assert stack.call("GET", "/v1/users/owner", owner).json == before
    same = stack.call("PUT", f"{USERS}/owner", owner, {"role": "OWNER", "displayName": "Me"})
    assert (same.status, same.json["displayName"]) == (200, "Me")


def test_an_update_that_changes_nothing_writes_nothing(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")
    before = stack.snapshot()[1]

    for body in ({}, {"role": "CLUSTER_ADMIN"}, {"displayName": "bea"}):
        assert stack.call("PUT", f"{USERS}/bea", owner, body).status == 200

    assert stack.snapshot()[1] == before


# Seeing people


def test_people_are_listed_by_username_page_by_page(stack: Stack) -> None:
    owner, stranger = stack.account(), stack.account("stranger")
    for name in ("Zac", "bea", "Cal"):
        invite(stack, owner, name)
    invite(stack, stranger, "dan")
    stack.service_user(owner, "worker")

    pages, path = [], f"{USERS}?limit=2"
    while path:
        response = stack.call("GET", path, owner)
        pages.append([it["username"] for it in response.json])
        path = response.next_path or ""

    assert pages == [["bea", "Cal"], ["owner", "Zac"]]
    assert [it["username"] for it in stack.call("GET", USERS, stranger).json] == ["dan", "stranger"]


def test_a_very_long_username_is_not_found(stack: Stack) -> None:
    owner = stack.account()
    endless = "x" * 3000

    for method, path, body in (
        ("GET", f"{USERS}/{endless}", NO_BODY),
        ("PUT", f"{USERS}/{endless}", {"role": "OWNER"}),
        ("DELETE", f"{USERS}/{endless}", NO_BODY),
        ("POST", f"{USERS}/{endless}/invitation", NO_BODY),
        ("GET", f"{SERVICE_USERS}/{endless}", NO_BODY),
    ):
        assert stack.call(method, path, owner, body).status == 404


def test_a_lookalike_of_a_username_is_not_found(stack: Stack) -> None:
    owner = stack.account()
    invite(stack, owner, "karl")

    assert stack.call("GET", f"{USERS}/%E2%84%AAarl", owner).status == 404  # the Kelvin sign folds to k


# One's own keys


def test_people_manage_their_own_keys_as_service_users_keys_are_managed(stack: Stack) -> None:
    bea = stack.user(stack.account(), "bea", "CLUSTER_ADMIN")
    path = f"{USERS}/Bea/api-keys"
    asked = {
        "keyType": "MONITORING",
        "allowedNetworks": ["203.0.113.0/24"],
        "expiresAt": "2040-01-01T00:00:00Z",
    }

    made = stack.call("POST", path, bea, asked)
    again = stack.call("POST", path, bea, asked)
    restricted = stack.call("PATCH", path, bea, {"keyType": "MONITORING", "allowedNetworks": []})
    rotated = stack.call("POST", f"{path}/rotate", bea, {"keyType": "MONITORING", "overlapSeconds": 60})

    assert (made.status, again.status, restricted.status, rotated.status) == (201, 409, 200, 200)
    first, second = Key("bea", made.json["key"]), Key("bea", rotated.json["key"])
    assert [stack.sign_in(key) for key in (first, second)] == [200, 200]
    listed = stack.call("GET", path, bea).json["apiKeys"]
    assert [(it["keyType"], it["expiresAt"]) for it in listed] == [
        ("MONITORING", "2040-01-01T00:00:00Z"),
        ("USER_MANAGEMENT", None),
    ]
    assert listed[0]["key"] == "•••…" + second.secret[-5:]
    stack.clock.forward(60)
    assert [stack.sign_in(key) for key in (first, second)] == [401, 200]
    assert stack.call("DELETE", path, bea, {"keyType": "MONITORING"}).status == 204
    assert stack.sign_in(second) == 401
    assert stack.call("DELETE", path, bea, {"keyType": "MONITORING"}).status == 404


def test_a_call_that_ends_its_own_key_takes_effect_with_its_response(stack: Stack) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "CLUSTER_ADMIN")
    cal = stack.user(owner, "cal", "CLUSTER_ADMIN")
    kind = {"keyType": "USER_MANAGEMENT"}

    rotated = stack.call("POST", f"{USERS}/bea/api-keys/rotate", bea, kind)
    meant = {**kind, "evenIfLockedOut": True}
    assert stack.call("DELETE", f"{USERS}/cal/api-keys", cal, meant).status == 204

    assert [stack.sign_in(key) for key in (bea, cal)] == [401, 401]
    assert stack.sign_in(Key("bea", rotated.json["key"])) == 200


def test_nobody_manages_the_keys_of_another_person(stack: Stack) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")
    worker = stack.service_user(owner, "worker", "OWNER")["USER_MANAGEMENT"]
    before = [stack.sign_in(key) for key in (owner, worker)], stack.snapshot()

    for key in (owner, worker):
        for path in (f"{USERS}/bea/api-keys", f"{USERS}/nobody/api-keys"):
            for method in ("POST", "DELETE", "PATCH"):
                assert stack.call(method, path, key, {"keyType": "MONITORING"}).status == 403
            assert stack.call("GET", path, key).status == 403
            assert stack.call("POST", f"{path}/rotate", key, {"keyType": "USER_MANAGEMENT"}).status == 403

    assert ([200, 200], stack.snapshot()) == before


# OWNER Service Users


def test_an_owner_service_user_manages_users_and_no_service_user(stack: Stack) -> None:
    owner = stack.account()
    worker = stack.service_user(owner, "worker", "OWNER")["USER_MANAGEMENT"]
    stack.service_user(owner, "other", "READ_ONLY", keyTypes=["MONITORING"])
    let_machines_manage_owners(stack, owner)

    assert invite(stack, worker, "bea", "OWNER").status == 201
    bea = stack.activate("bea")
    assert stack.call("PUT", f"{USERS}/bea", worker, {"role": "CLUSTER_ADMIN"}).status == 200
    assert stack.call("POST", f"{USERS}/bea/invitation", worker).status == 200
    assert stack.sign_in(bea) == 401
    assert [it["username"] for it in stack.call("GET", USERS, worker).json] == ["bea", "owner"]
    assert stack.call("DELETE", f"{USERS}/bea", worker).status == 204
    assert {event["actor"]["kind"] for event in stack.events("USER_REVOKED")} == {"SERVICE_USER"}

    before = stack.snapshot()
    kind = {"keyType": "MONITORING"}
    for name in ("other", "worker"):
        path = f"{SERVICE_USERS}/{name}"
        assert stack.call("PUT", path, worker, {"displayName": "X"}).status == 403
        assert stack.call("DELETE", path, worker).status == 403
        for method in ("POST", "DELETE", "PATCH"):
            assert stack.call(method, f"{path}/api-keys", worker, kind).status == 403
        assert stack.call("POST", f"{path}/api-keys/rotate", worker, kind).status == 403
    body = {"username": "third", "email": "third@machines.example", "role": "READ_ONLY"}
    assert stack.call("POST", SERVICE_USERS, worker, body).status == 403
    assert stack.call("GET", f"{SERVICE_USERS}/worker", worker).status == 200
    assert stack.snapshot() == before


@pytest.mark.parametrize("role", ["OWNER", "CLUSTER_ADMIN"])
def test_a_machine_reads_service_users_people_and_events_and_changes_no_service_user(
    stack: Stack, role: str
) -> None:
    owner = stack.account()
    keys = stack.service_user(owner, "collector", role)
    collector = keys["USER_MANAGEMENT"]
    stack.service_user(owner, "other", "OWNER")
    stack.service_user(stack.account("zoe"), "foreign")

    listed = stack.call("GET", SERVICE_USERS, collector).json
    assert [it["username"] for it in listed] == ["collector", "other"]
    assert listed == stack.call("GET", SERVICE_USERS, owner).json
    assert stack.call("GET", f"{SERVICE_USERS}/other", collector).json["administrators"] == ["owner"]
    assert stack.call("GET", f"{SERVICE_USERS}/foreign", collector).status == 404
    assert [it["username"] for it in stack.call("GET", USERS, collector).json] == ["owner"]
    assert stack.call("GET", f"{USERS}/owner", collector).status == 200
    assert len(stack.call("GET", "/v1/events", collector).json) == 3
    assert stack.call("GET", "/v1/account", collector).status == 403
    for path in (SERVICE_USERS, f"{SERVICE_USERS}/other", USERS, "/v1/events"):
        assert stack.call("GET", path, keys["MONITORING"]).status == 403, "not with any key"

    before = stack.snapshot()
    assert stack.call("PUT", f"{SERVICE_USERS}/other", collector, {"displayName": "X"}).status == 403
    assert stack.call("DELETE", f"{SERVICE_USERS}/other", collector).status == 403
    path = f"{SERVICE_USERS}/collector/api-keys"
    assert stack.call("PATCH", path, collector, {"keyType": "MONITORING", "expiresAt": None}).status == 403
    assert stack.snapshot() == before


def test_a_machines_key_reads_no_more_than_its_ceiling(stack: Stack) -> None:
    owner = stack.account()
    admin = stack.user(owner, "admin", "CLUSTER_ADMIN")
    key = stack.service_user(admin, "collector", "CLUSTER_ADMIN")["USER_MANAGEMENT"]
    assert stack.call("PUT", f"{USERS}/admin", owner, {"role": "READ_ONLY"}).status == 200
    assert stack.call("GET", SERVICE_USERS, key).status == 200
    assert stack.call("PUT", f"{SERVICE_USERS}/collector", owner, {"role": "READ_ONLY"}).status == 200
    assert stack.call("GET", SERVICE_USERS, key).status == 401


# What happens while a call is under way


def test_a_call_whose_caller_is_revoked_meanwhile_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")
    stack.user(owner, "cal", "CLUSTER_ADMIN")
    calls = [
        ("POST", USERS, {"username": "dan", "email": "dan@people.example", "role": "OWNER"}),
        ("PUT", f"{USERS}/cal", {"role": "OWNER"}),
        ("DELETE", f"{USERS}/cal", NO_BODY),
        ("POST", f"{USERS}/cal/invitation", NO_BODY),
        ("PUT", f"{USERS}/bea", {"displayName": "Still here"}),
        ("PUT", "/v1/account", {"name": "Mine"}),
    ]
    for method, path, body in calls:
        before_commit(stack, monkeypatch, lambda: stack.call("DELETE", f"{USERS}/bea", owner))
        response = stack.call(method, path, bea, body)

        assert response.status == (409 if path.endswith("bea") else 401), response.text
        assert stack.call("GET", f"{USERS}/dan", owner).status == 404
        assert stack.call("GET", f"{USERS}/bea", owner).status == 404
        assert stack.call("GET", f"{USERS}/cal", owner).json["role"] == "CLUSTER_ADMIN"
        assert stack.call("GET", f"{USERS}/cal", owner).json["status"] == "ACTIVE"
        assert stack.call("GET", "/v1/account", owner).json["name"] == "Account of owner"
        bea = stack.user(owner, "bea", "OWNER")


@pytest.mark.parametrize(
    "end",
    [
        ("PUT", f"{USERS}/bea", {"role": "CLUSTER_ADMIN"}),
        ("POST", f"{USERS}/bea/invitation", NO_BODY),
    ],
)
def test_a_call_whose_caller_loses_the_right_meanwhile_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, end: tuple[str, str, Any]
) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")

    before_commit(stack, monkeypatch, lambda: stack.call(end[0], end[1], owner, end[2]))
    response = invite(stack, bea, "cal", "OWNER")

    assert response.status == 401
    assert stack.call("GET", f"{USERS}/cal", owner).status == 404


def test_a_call_whose_key_is_rotated_meanwhile_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")

    before_commit(stack, monkeypatch, lambda: stack.call("POST", "/v1/api-keys/rotate", bea))

    assert invite(stack, bea, "cal", "OWNER").status == 401


def test_the_last_two_owners_who_remove_each_other_at_once_leave_one(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    bea = stack.user(owner, "bea", "OWNER")

    before_commit(stack, monkeypatch, lambda: stack.call("DELETE", f"{USERS}/owner", bea))
    response = stack.call("DELETE", f"{USERS}/bea", owner)

    assert response.status == 409
    assert stack.call("GET", "/v1/account", bea).json["owners"] == ["bea"]


def test_a_promotion_does_not_restore_a_user_who_was_revoked_concurrently(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    stack.user(owner, "bea", "CLUSTER_ADMIN")

    before_commit(stack, monkeypatch, lambda: stack.call("DELETE", f"{USERS}/bea", owner))
    response = stack.call("PUT", f"{USERS}/bea", owner, {"role": "OWNER"})

    assert response.status == 409
    assert stack.call("GET", f"{USERS}/bea", owner).status == 404
    assert stack.call("GET", "/v1/account", owner).json["owners"] == ["owner"]


def test_an_invitation_that_became_void_concurrently_is_not_accepted(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    invite(stack, owner, "bea", "OWNER")
    token = stack.token("bea")

    before_commit(stack, monkeypatch, lambda: stack.call("POST", f"{USERS}/bea/invitation", owner))
    response = activate(stack, "bea", token)

    assert (response.status, response.json["detail"]) == (
        400,
        activate(stack, "bea", "sui_wrong").json["detail"],
    )
    assert activate(stack, "bea", token).status == 400
    assert stack.call("GET", "/v1/account", owner).json["owners"] == ["owner"]


def test_an_invitation_still_valid_after_a_concurrent_change_is_accepted_on_retry(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stack.account()
    invite(stack, owner, "bea", "OWNER")
    token = stack.token("bea")

    before_commit(
        stack, monkeypatch, lambda: stack.call("PUT", f"{USERS}/bea", owner, {"displayName": "Bea B"})
    )

    assert activate(stack, "bea", token).status == 409
    assert activate(stack, "bea", token).status == 200
