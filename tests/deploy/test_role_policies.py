"""What the roles of functions that need not make keys allow them, checked as IAM would.

That each role allows all that its function calls, and nothing that it never calls, is tested on the package
(``tests/e2e/test_role_permissions.py``); here, that what they allow makes no key and overwrites no event.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.mail.notify import MAX_FAILURES_IN_A_ROW
from chalicelib.rules import key_format
from chalicelib.rules.notifications import FAILING
from chalicelib.rules.publications import Marker
from chalicelib.store.items import to_attribute
from local.iam import Reading, iam_requests, permissions_for
from tests.policies.test_sweep import _store_as_before_pointers as store_as_before_pointers
from tests.support.accounts import Accounts
from tests.support.api_client import Stack
from tests.support.browser import Browser
from tests.support.feedback import COMPLAINT, Feedback
from tests.support.mail import MailFixture
from tests.support.policies import policy_account
from tests.support.publishing import Publishing

DENIED = "AccessDeniedException"
TEMPLATE = Path(__file__).resolve().parents[2] / ".chalice" / "resources.json"
REGION, ACCOUNT = "eu-central-1", "123456789012"
KEY = {"pk": {"S": "USER#owner"}}
DIGEST = {"B": b"d" * 32}
NAMES = {"#keys": "keys", "#role": "role", "#used": "used_00", "#type": "MONITORING"}


def statements(role: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role on the two tables."""
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    [policy] = template["Resources"][f"{role}Role"]["Properties"]["Policies"]
    found = []
    for statement in policy["PolicyDocument"]["Statement"]:
        resource = statement["Resource"]
        name = resource.get("Fn::GetAtt", [""])[0] if isinstance(resource, dict) else ""
        if name in ("Directory", "Events"):
            table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
            condition = statement.get("Condition", {})
            if "Fn::If" in condition:
                name, condition, _ = condition["Fn::If"]
                assert name == "ChecksAttributes"
            found.append({**statement, "Resource": table, "Condition": condition})
    return found


def allowed(role: str, operation: str, parameters: dict[str, Any]) -> bool:
    """Return whether a role allows a call, all of it; asserts that every reading agrees."""
    responses = set()
    for reading in Reading:
        requests = list(iam_requests(operation, parameters, region=REGION, account=ACCOUNT, reading=reading))
        assert requests
        responses.add(all(permissions_for(statements(role), request) for request in requests))
    [response] = responses
    return response


@contextmanager
def recorded(stack: Stack) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Record the calls to DynamoDB, with the tables' names as in the template."""
    calls: list[tuple[str, dict[str, Any]]] = []
    names = {stack.tables.directory: "Directory", stack.tables.events: "Events"}

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(name, name): named(one) for name, one in value.items()}
        if isinstance(value, list):
            return [named(one) for one in value]
        return names.get(value, value) if isinstance(value, str) else value

    def record(params: dict[str, Any], model: Any, **_more: Any) -> None:
        calls.append((model.name, named(params)))

    events = stack.client.meta.events
    events.register("provide-client-params.dynamodb", record)
    try:
        yield calls
    finally:
        events.unregister("provide-client-params.dynamodb", record)


def update(expression: str, *, condition: str = "attribute_exists(pk)", **values: Any) -> dict[str, Any]:
    return {
        "TableName": "Directory",
        "Key": KEY,
        "UpdateExpression": expression,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {
            "#keys": "keys",
            "#role": "role",
            "#used": "used_00",
            "#type": "MONITORING",
        },
        "ExpressionAttributeValues": values,
    }


def event(**more: Any) -> dict[str, Any]:
    item = {"account": {"S": "one"}, "id": {"S": "0" * 28}, "action": {"S": "API_KEY_REFUSED"}, **more}
    return {"TableName": "Events", "Item": item}


_NO_MAP: dict[str, Any] = {":d": {"M": {}}}

TAKING_OVER = {
    "a digest": ("UpdateItem", update("SET #keys.#type.digest = :d", **{":d": DIGEST})),  # type: ignore[arg-type]
    "a key": ("UpdateItem", update("SET #keys.#type = :d", **{":d": {"M": {"digest": DIGEST}}})),  # type: ignore[arg-type]
    "every key": ("UpdateItem", update("SET #keys = :d", **{":d": {"M": {}}})),  # type: ignore[arg-type]
    "a key's networks": ("UpdateItem", update("REMOVE #keys.#type.networks")),
    "a key beside a note": (
        "UpdateItem",
        update("SET #used = :d, #keys.#type.digest = :d", **{":d": DIGEST}),  # type: ignore[arg-type]
    ),
    "a condition that tells of keys": (
        "UpdateItem",
        update("SET #used = :d", condition="#keys.#type.digest = :d", **{":d": DIGEST}),
    ),
    "a role": ("UpdateItem", update("SET #role = :d", **{":d": {"S": "OWNER"}})),  # type: ignore[arg-type]
    "a session": ("UpdateItem", update("SET sessions = :d", **{":d": {"M": {}}})),  # type: ignore[arg-type]
    "an address": ("UpdateItem", update("SET email = :d", **{":d": {"S": "me@evil.example"}})),  # type: ignore[arg-type]
    **{
        f"{what} {field}": ("UpdateItem", update(expression.format(field), condition=condition, **values))
        for field in ("invitation", "enrolment")
        for what, expression, condition, values in (
            ("an", "SET {} = :d", "attribute_exists(pk)", _NO_MAP),
            ("a digest in an", "SET {}.digests = :d", "attribute_exists(pk)", _NO_MAP),
            ("the removal of an", "REMOVE {}", "attribute_exists(pk)", {}),
            ("a mailed token beside an", "SET mailed_00 = :d, {} = :d", "attribute_exists(pk)", _NO_MAP),
            ("a condition that tells of an", "SET mailed_00 = :d", f"{field}.id = :d", _NO_MAP),
        )
    },
    "a version": ("UpdateItem", update("SET version = :d, mailed_00 = :d", **{":d": {"S": "0"}})),  # type: ignore[arg-type]
    "a person": ("PutItem", {"TableName": "Directory", "Item": {**KEY, "keys": {"M": {}}}}),
    "the removal of a person": ("DeleteItem", {"TableName": "Directory", "Key": KEY}),
    "an account's OWNERs": (
        "UpdateItem",
        {**update("SET owners = :d", **{":d": {"M": {}}}), "Key": {"pk": {"S": "ACCOUNT#one"}}},  # type: ignore[arg-type]
    ),
    "a change of an event": (
        "UpdateItem",
        {**update("SET #used = :d", **{":d": {"N": "1"}}), "TableName": "Events", "Key": event()["Item"]},  # type: ignore[arg-type]
    ),
    "a passkey's credential": (
        "PutItem",
        {"TableName": "Directory", "Item": {"pk": {"S": "CREDENTIAL#0"}, "username": {"S": "x"}}},
    ),
    "somebody's pointer as a person": (
        "PutItem",
        {"TableName": "Directory", "Item": {"pk": {"S": "USER#KEY#"}, "username": {"S": "x"}}},
    ),
    "the removal of an event": ("DeleteItem", {"TableName": "Events", "Key": event()["Item"]}),
}


@pytest.mark.parametrize("role", ["Authorizer", "EnforcePolicies", "Feedback"])
@pytest.mark.parametrize("what", TAKING_OVER)
def test_roles_that_do_not_need_to_write_keys_cannot(role: str, what: str) -> None:
    operation, parameters = TAKING_OVER[what]
    assert not allowed(role, operation, parameters)
    transaction = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}[operation]
    assert not allowed(role, "TransactWriteItems", {"TransactItems": [{transaction: parameters}]})


@pytest.mark.parametrize("role", ["Notify", "Resend"])
@pytest.mark.parametrize("what", TAKING_OVER)
def test_the_mailers_role_cannot_write_keys_or_invite(role: str, what: str) -> None:
    if what != "a change of an event":
        assert not allowed(role, *TAKING_OVER[what])


@pytest.mark.parametrize("role", ["Authorizer", "Verify", "EnforcePolicies", "Feedback", "Publish"])
def test_only_the_mailers_note_what_they_mail(role: str) -> None:
    noted = update("SET mailed_00 = :d", **{":d": {"L": []}})  # type: ignore[arg-type]
    noted["ExpressionAttributeNames"] = {}
    assert not allowed(role, "UpdateItem", noted)
    assert allowed("Notify", "UpdateItem", noted)


@pytest.mark.parametrize(
    "put",
    [
        event(),
        event(account={"S": "one#REFUSED#"}),
        event(account={"S": "REFUSED#one"}, waiting={"S": "1"}, dueAt={"N": "1"}),
        event(account={"S": "REFUSED#one"}, audience={"S": "ADMINISTRATORS"}),
        event(account={"S": "REFUSED#one"}, told={"M": {}}),
    ],
)
def test_the_authorizer_writes_no_event_but_refusals(put: dict[str, Any]) -> None:
    assert not allowed("Authorizer", "PutItem", put)
    assert allowed("Authorizer", "PutItem", event(account={"S": "REFUSED#one"}))


def test_the_authorizer_may_do_what_signing_in_does(stack: Stack) -> None:
    accounts = Accounts(stack)
    keys = stack.service_user(accounts["owner"], "bot")
    with recorded(stack) as calls:
        assert stack.sign_in(keys["MONITORING"]) == 200
        assert stack.sign_in(keys["MONITORING"], headers={}) == 200
    path = "/v1/service-users/bot/api-keys"
    restriction = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    assert accounts.call("PATCH", path, "owner", restriction).status == 200
    with recorded(stack) as refused:
        assert stack.sign_in(keys["MONITORING"]) == 403
    made = [*calls, *refused]
    assert [operation for operation, _ in made] == [
        "GetItem",
        "UpdateItem",
        "GetItem",
        "GetItem",
        "TransactWriteItems",
    ]
    for operation, parameters in made:
        assert allowed("Authorizer", operation, parameters), operation


def test_publish_may_do_what_it_does_and_touches_no_event(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = Publishing(stack, monkeypatch)
    stack.account()
    with recorded(stack) as calls:
        publishing.run()
        publishing.publisher.store.done([Marker("nobody", "0" * 28)])
    used = {operation for operation, _ in calls}
    assert used == {"Query", "BatchGetItem", "BatchWriteItem"}
    for operation, parameters in calls:
        if operation == "Query":
            assert parameters["ExpressionAttributeValues"][":shard"]["S"].startswith("PUBLISH#")
            parameters = {
                "TableName": "Events",
                "Key": {"account": parameters["ExpressionAttributeValues"][":shard"]},
            }
        assert allowed("Publish", operation, parameters), operation
    for request in ({"DeleteRequest": {"Key": event()["Item"]}}, {"PutRequest": {"Item": event()["Item"]}}):
        assert not allowed("Publish", "BatchWriteItem", {"RequestItems": {"Events": [request]}})
    assert not allowed("Publish", "Query", {"TableName": "Events", "Key": event()["Item"]})
    for what in TAKING_OVER.values():
        assert not allowed("Publish", *what)


def test_the_authorizer_may_mark_the_refusals_that_it_puts_on_record(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = Publishing(stack, monkeypatch)
    owner = stack.account()
    key = stack.service_user(owner, "bot", allowedNetworks=["203.0.113.0/24"])["MONITORING"]
    with recorded(stack) as calls:
        assert stack.sign_in(key) == 403
    assert [operation for operation, _ in calls] == ["GetItem", "TransactWriteItems"]
    assert len(calls[1][1]["TransactItems"]) == 3
    for role in ("Authorizer", "Verify"):
        for operation, parameters in calls:
            assert allowed(role, operation, parameters), operation
    assert len(publishing.markers()) == 3


WRITING_AS_FEEDBACK: dict[str, tuple[str, dict[str, Any]]] = {
    "an event": ("PutItem", event()),
    "an event in another's partition": ("PutItem", event(account={"S": "one#REFUSED#"})),
    "keys in an event": ("PutItem", event(account={"S": "REFUSED#one"}, keys={"L": []})),
    "marks in an event": ("PutItem", event(account={"S": "REFUSED#one"}, told={"M": {}})),
    **{
        f"{field} of an event": (
            "UpdateItem",
            {
                "TableName": "Events",
                "Key": {"account": {"S": "one"}, "id": {"S": "0" * 28}},
                "UpdateExpression": f"SET #outcome = :new, {field} = :new",
                "ConditionExpression": "attribute_exists(id)",
                "ExpressionAttributeNames": {"#outcome": "feedback_ann"},
                "ExpressionAttributeValues": {":new": {"S": "x"}},
            },
        )
        for field in ("reason", "told", "waiting", "subject", "sourceIp", "administrators")
    },
    "the address of a person": (
        "UpdateItem",
        update("SET emailFailure = :d, email = :d", condition="version = :d", **{":d": {"S": "x"}}),
    ),
}


@pytest.mark.parametrize("what", WRITING_AS_FEEDBACK)
def test_feedback_writes_outcomes_and_events_about_failures_alone(what: str) -> None:
    operation, parameters = WRITING_AS_FEEDBACK[what]
    assert not allowed("Feedback", operation, parameters)
    assert allowed("Feedback", "PutItem", event(account={"S": "REFUSED#one"}))


@pytest.mark.parametrize(
    "asked",
    [
        {"TableName": "Directory", "Key": KEY},
        {"TableName": "Directory", "Key": KEY, "ProjectionExpression": "pk, sessions"},
        {"TableName": "Directory", "Key": {"pk": {"S": "ACCOUNT#one"}}, "ProjectionExpression": "pk"},
        {"TableName": "Events", "Key": event()["Item"]},
        {"TableName": "Events", "Key": {"account": {"S": "one"}}, "ProjectionExpression": "sourceIp"},
    ],
)
def test_feedback_reads_no_more_than_it_needs(asked: dict[str, Any]) -> None:
    names = {"#keys": "keys"} if "#keys" in asked.get("ProjectionExpression", "") else {}
    assert not allowed("Feedback", "GetItem", {**asked, "ExpressionAttributeNames": names})


@pytest.mark.parametrize("publishes", [True, False])
def test_feedback_may_do_what_it_does(stack: Stack, publishes: bool) -> None:
    stack.service_user(stack.account(), "bot")
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    feedback = Feedback(mail, publishes=publishes)
    mail.resend()
    with recorded(stack) as calls:
        assert feedback.fails("owner@people.example") == []
        stack.clock.forward(FAILING + 1)
        assert feedback.fails("owner@people.example", COMPLAINT) == []
    assert [operation for operation, _ in calls] == 2 * [
        "GetItem",
        "UpdateItem",
        "GetItem",
        "TransactWriteItems",
    ]
    for operation, parameters in calls:
        assert allowed("Feedback", operation, parameters), operation


def test_the_sweep_may_do_what_it_does(stack: Stack) -> None:
    account = policy_account(stack)
    stack.service_user(account.owner, "bot")
    account.set_policy(maxKeyAgeDays=30)
    with recorded(stack) as calls:
        for day in (20, 29, 31):
            account.go_to(day)
    assert not account.key_types("bot")
    made = [it for operation, it in calls if operation == "TransactWriteItems"]
    assert len(made) >= 3
    for parameters in made:
        assert allowed("EnforcePolicies", "TransactWriteItems", parameters)


def test_the_sweep_may_end_passkeys(stack: Stack) -> None:
    account = policy_account(stack)
    ann = Browser(stack)
    invited = {"username": "ann", "email": "ann@demo.example", "role": "READ_ONLY"}
    assert stack.call("POST", "/v1/users", account.owner, invited).status == 201
    assert ann.activate("ann").status == 200
    account.set_policy(revokeInactiveAfterDays=30)
    account.send_mail()
    with recorded(stack) as calls:
        for day in (20, 29, 31):
            account.go_to(day)
    assert ann.sign_in().status == 401
    made = [it for operation, it in calls if operation == "TransactWriteItems"]
    deleted = [it["Delete"]["Key"]["pk"] for one in made for it in one["TransactItems"] if "Delete" in it]
    assert deleted
    for parameters in made:
        assert allowed("EnforcePolicies", "TransactWriteItems", parameters)


def test_the_sweep_may_write_the_pointers_that_keys_of_version_1_0_lack(stack: Stack) -> None:
    account = policy_account(stack)
    stack.service_user(account.owner, "bot")
    store_as_before_pointers(stack)
    with recorded(stack) as calls:
        assert account.sweep()["pointers"] == 2
    made = [it for operation, it in calls if operation == "TransactWriteItems"]
    assert made
    for parameters in made:
        assert allowed("EnforcePolicies", "TransactWriteItems", parameters)


@pytest.mark.parametrize("role", ["Notify", "Resend"])
def test_the_mailers_may_read_all_that_they_read_of_recipients(stack: Stack, role: str) -> None:
    """One attribute that the role leaves out, and no email is sent at all."""
    stack.service_user(stack.account(), "bot")
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    with recorded(stack) as calls:
        mail.resend()
    assert mail.ses.addresses
    reads = [parameters for operation, parameters in calls if operation == "BatchGetItem"]
    assert reads
    assert all(allowed(role, "BatchGetItem", parameters) for parameters in reads)


@pytest.mark.parametrize("role", ["Notify", "Resend"])
def test_the_mailers_may_mail_tokens_and_codes(stack: Stack, role: str) -> None:
    owner = stack.account()
    MailFixture(stack.client, stack.tables, stack.clock).resend()
    invited = {"username": "zoe", "email": "zoe@demo.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, invited).status == 201
    asked = Browser(stack).post("enrol", {"username": "owner", "key": owner.secret}, csrf="")
    assert asked.status == 200
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    with recorded(stack) as calls:
        mail.resend()
    assert sorted(set(mail.ses.addresses)) == ["owner@people.example", "zoe@demo.example"]
    written = [it for operation, it in calls if operation == "UpdateItem" and it["TableName"] == "Directory"]
    assert len(written) == 2
    for operation, parameters in calls:
        if parameters.get("IndexName") is None:
            assert allowed(role, operation, parameters), operation


@pytest.mark.parametrize("role", ["Notify", "Resend"])
def test_whoever_takes_over_a_mailer_becomes_nobody_who_is_not_invited(stack: Stack, role: str) -> None:
    """They can note a token's digest for any id, but no function of theirs can open an invitation."""
    stack.account()
    token = key_format.new_token()
    secret = {"digest": {"B": key_format.digest(token)}, "until": {"N": str(int(stack.clock()) + 3600)}}
    noted = {
        "Key": KEY,
        "UpdateExpression": "SET mailed_i = :noted",
        "ExpressionAttributeValues": {":noted": {"L": [{"M": secret}]}},
    }
    invitation = {**noted, "UpdateExpression": "SET mailed_i = :noted, invitation = :i"}
    invitation["ExpressionAttributeValues"] = {":noted": {"L": []}, ":i": {"M": {"id": {"S": "i"}}}}
    assert not allowed(role, "UpdateItem", {**invitation, "TableName": "Directory"})
    assert allowed(role, "UpdateItem", {**noted, "TableName": "Directory"})
    stack.client.update_item(TableName=stack.tables.directory, **noted)
    before = stack.snapshot()
    body = {"username": "owner", "token": token}
    assert stack.call("POST", "/v1/users/activate", body=body).status == 400
    assert Browser(stack).activate("owner", token).status == 400
    assert stack.snapshot() == before


def test_whoever_takes_over_the_sweep_is_mailed_nobodys_token(stack: Stack) -> None:
    """They read the ids of open invitations and write events, but a token is mailed to its person alone."""
    owner = stack.account()
    invited = {"username": "zoe", "email": "zoe@demo.example", "role": "OWNER"}
    assert stack.call("POST", "/v1/users", owner, invited).status == 201
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    mail.resend()
    mail.ses.sent.clear()
    zoe, now = stack.item("zoe"), int(stack.clock())
    subject = {"kind": "USER", "username": "zoe", "email": "thief@evil.example"}
    forgeries: list[dict[str, Any]] = [
        {"audience": "PERSON"},
        {"audience": "PERSON_AND_OWNERS"},
        {"audience": "ADMINISTRATORS", "administrators": {"owner": stack.item("owner")["membership"]}},
        {"audience": "PERSON", "account": "elsewhere"},
    ]
    for number, more in enumerate(forgeries):
        fields = {
            "account": zoe["account"],
            "id": f"{now * 1000:012x}{number:016x}",
            "at": now,
            "action": "USER_INVITED",
            "actor": {"kind": "USER", "username": "owner"},
            "subject": subject,
            "invitation": zoe["invitation"]["id"],
            "waiting": "0",
            "dueAt": now,
            **more,
        }
        forged = {name: to_attribute(value) for name, value in fields.items()}
        assert allowed("EnforcePolicies", "PutItem", {"TableName": "Events", "Item": forged})
        stack.client.put_item(TableName=stack.tables.events, Item=forged)
    mail.resend()
    with_token = {to for to, message in mail.ses.sent if key_format.TOKEN_PREFIX in message.as_string()}
    assert with_token == {"zoe@demo.example"}
    assert "thief@evil.example" not in mail.ses.addresses


MARKER = {"account": {"S": "PUBLISH#0"}, "id": {"S": "one#0"}, "at": {"N": "1"}, "ttl": {"N": "1"}}


@pytest.mark.parametrize("role", ["Authorizer", "Verify", "Feedback"])
@pytest.mark.parametrize("field", ["action", "waiting", "dueAt", "subject", "subjectKey", "actor", "keys"])
def test_a_marker_has_nothing_of_an_event(role: str, field: str) -> None:
    """Not even when it is written: neither the mailers nor a restore take one for an event."""
    table = {"TableName": "Events"}
    assert allowed(role, "PutItem", {**table, "Item": MARKER})
    assert not allowed(role, "PutItem", {**table, "Item": {**MARKER, field: {"S": "x"}}})
    assert not allowed(role, "PutItem", {**table, "Item": {**MARKER, "account": {"S": "one"}}})
    assert not allowed(role, "UpdateItem", {**table, "Key": MARKER, "UpdateExpression": "SET waiting = id"})


@contextmanager
def under_role(stack: Stack, role: str) -> Iterator[None]:
    """Refuse the updates of events that a role's policy refuses, as AWS does."""

    def check(params: dict[str, Any], **_more: Any) -> None:
        is_event = params["TableName"] == stack.tables.events
        if is_event and not allowed(role, "UpdateItem", {**params, "TableName": "Events"}):
            raise ClientError({"Error": {"Code": DENIED, "Message": "not authorized"}}, "UpdateItem")

    events = stack.client.meta.events
    events.register("provide-client-params.dynamodb.UpdateItem", check)
    try:
        yield
    finally:
        events.unregister("provide-client-params.dynamodb.UpdateItem", check)


@pytest.mark.parametrize("partition", ["PUBLISH#{}", "DELETED#{}", "elsewhere{}", "REFUSED#one#{}"])
def test_what_waits_elsewhere_holds_up_nobodys_email(
    stack: Stack, partition: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The mailers may not even claim some of it."""
    stack.account()
    for number in range(4 * MAX_FAILURES_IN_A_ROW):
        forged = {
            "account": {"S": partition.format(number)},
            "id": {"S": f"{number:028x}"},
            "action": {"S": "EMAIL_BOUNCED"},
            "waiting": {"S": "owners"},
            "dueAt": {"N": "1"},
        }
        assert not allowed("Feedback", "PutItem", {"TableName": "Events", "Item": forged}) or (
            partition.startswith("REFUSED#")
        )
        assert allowed("EnforcePolicies", "PutItem", {"TableName": "Events", "Item": forged})
        stack.client.put_item(TableName=stack.tables.events, Item=forged)
    mail = MailFixture(stack.client, stack.tables, stack.clock)
    with under_role(stack, "Resend"):
        counts = mail.resend()
    assert mail.ses.addresses == ["owner@people.example"]
    assert "store_failed" not in counts
    said = [it for it in caplog.records if it.levelname == "ERROR"]
    assert len(said) == 1 if "#" in partition else {it.__dict__["code"] for it in said} == {DENIED}
