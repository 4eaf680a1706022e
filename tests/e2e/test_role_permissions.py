"""Each function's role allows exactly the AWS calls that the function makes on every path through it."""

from collections.abc import Iterator
from copy import copy
from typing import Any

import pytest

from local.iam import Permission, Reading, iam_requests, permissions, permissions_for
from local.package.emulator import SENDER, ApiResponse, Emulator, Key
from local.package.template import ACCOUNT, FUNCTIONS, REGION
from tests.e2e.conftest import checked_emulator
from tests.e2e.test_customer_journey import authorize, invite, keys_of, mails
from tests.e2e.test_killed_environments import make_pending_due, ses_is_unavailable
from tests.e2e.visitor import Visitor

# Used by Lambda in the function's name, not by the function.
BY_LAMBDA = {
    "WriteItsLog": {"logs:CreateLogStream", "logs:PutLogEvents"},
    "ReadTheStream": {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"},
    "ListStreams": {"dynamodb:ListStreams"},
    "LeaveDeadLetters": {"sqs:SendMessage"},
}
DAY = 86_400
TOLD_OF = {"keyType": "MONITORING"}


@pytest.fixture(scope="module")
def exercised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator of its own in which every path through every function has been taken."""
    with checked_emulator(tmp_path_factory.mktemp("logs")) as emulator:
        exercise_every_path(emulator)
        yield emulator


def exercise_every_path(emulator: Emulator) -> None:
    owner = emulator.create_account(username="owner")
    # Users: an invitation that is sent at once, twice; one that is sent late; roles.
    admin = invite(emulator, owner, "admin", "CLUSTER_ADMIN")
    invite(emulator, owner, "second", "OWNER")
    with emulator.proxies["Notify"].ses.hooked(before=ses_is_unavailable):
        late = {"username": "late", "email": "late@people.example", "role": "OWNER"}
        expect(201, emulator.call("POST", "/v1/users", owner, late))
        emulator.deliver_stream()
    make_pending_due(emulator)
    emulator.run_schedule("Resend")
    expect(200, emulator.call("POST", "/v1/users/late/invitation", owner))
    expect(200, emulator.call("PUT", "/v1/users/second", owner, {"role": "READ_ONLY"}))
    expect(204, emulator.call("DELETE", "/v1/users/second", owner))
    expect(200, emulator.call("GET", "/v1/users", owner))
    expect(200, emulator.call("GET", "/v1/users/admin", owner))
    own = "/v1/users/owner/api-keys"
    expect(200, emulator.call("GET", own, owner))
    expect(201, emulator.call("POST", own, owner, {"keyType": "MONITORING"}))
    expect(
        200,
        emulator.call("PATCH", own, owner, {"keyType": "MONITORING", "allowedNetworks": ["127.0.0.1/32"]}),
    )
    expect(200, emulator.call("POST", f"{own}/rotate", owner, {"keyType": "MONITORING"}))
    expect(204, emulator.call("DELETE", own, owner, {"keyType": "MONITORING"}))
    # Service Users.
    body = {"username": "bot", "email": "bot@machines.example", "role": "READ_ONLY"}
    bot = keys_of(emulator.call("POST", "/v1/service-users", admin, body))
    path = "/v1/service-users/bot"
    expect(200, emulator.call("GET", "/v1/service-users", owner))
    expect(200, emulator.call("GET", path, owner))
    expect(
        200, emulator.call("PUT", path, owner, {"displayName": "Bot", "administrators": ["owner", "admin"]})
    )
    elsewhere = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    expect(200, emulator.call("PATCH", f"{path}/api-keys", owner, elsewhere))
    expect(403, emulator.call("GET", "/v1/whoami", bot["MONITORING"]))  # refused, and recorded as an event
    expect(200, emulator.call("POST", f"{path}/api-keys/rotate", owner, {"keyType": "MONITORING"}))
    expect(204, emulator.call("DELETE", f"{path}/api-keys", owner, {"keyType": "MONITORING"}))
    expect(201, emulator.call("POST", f"{path}/api-keys", owner, {"keyType": "MONITORING"}))
    rotated = emulator.call(
        "POST", "/v1/api-keys/rotate", bot["PROVISIONING_READONLY"], {"overlapSeconds": 600}
    )
    restrictions = {"keyType": "PROVISIONING_READONLY", "allowedNetworks": ["203.0.113.0/24"]}
    expect(200, emulator.call("PATCH", f"{path}/api-keys", owner, restrictions))
    authorize(emulator, Key("bot", rotated.json["key"]))  # refused too
    expect(200, emulator.call("GET", "/v1/account", owner))
    verify_in_every_way(emulator, owner)
    # An email of a kind that can be folded, sent late.
    with emulator.proxies["Notify"].ses.hooked(before=ses_is_unavailable):
        expect(200, emulator.call("POST", f"{path}/api-keys/rotate", owner, TOLD_OF))
        emulator.deliver_stream()
    # And one sent at once: what the operator does later is never folded.
    expect(200, emulator.call("POST", f"{path}/api-keys/rotate", owner, TOLD_OF))
    emulator.deliver_stream()
    visit_the_console(emulator, owner)
    let_keys_expire(emulator)
    expect(204, emulator.call("DELETE", path, owner))
    expect(200, emulator.call("GET", "/v1/events", owner))
    expect(200, emulator.call("GET", "/v1/events?username=bot", owner))
    expect(200, emulator.call("GET", "/v1/events?actor=owner", owner))
    emulator.recover_owner("owner")
    emulator.deliver_stream()


def verify_in_every_way(emulator: Emulator, owner: Key) -> None:
    """Ask ``verify`` about a key that is let in, one that nobody has, and one used from elsewhere."""
    body = {"username": "probe", "email": "probe@machines.example", "role": "READ_ONLY"}
    keys = keys_of(emulator.call("POST", "/v1/service-users", owner, body))
    elsewhere = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    expect(200, emulator.call("PATCH", "/v1/service-users/probe/api-keys", owner, elsewhere))
    question = {"sourceIp": "198.51.100.7", "method": "GET", "path": "/provisioning/v1/clusters"}
    for key, status in ((keys["PROVISIONING_READONLY"], 200), (keys["MONITORING"], 403), (None, 401)):
        authorization = f"Bearer {key.secret}" if key is not None else "Bearer suk_nobody"
        decision = emulator.functions["Verify"].invoke({**question, "authorization": authorization})
        assert decision["status"] == status, decision


def visit_the_console(emulator: Emulator, owner: Key) -> None:
    """Get a passkey by a code that is mailed at once, and one by a code mailed late; sign in and out."""
    ada, late = Visitor(emulator), Visitor(emulator)
    ada.enrol(owner)
    assert ada.sign_in().status == 200
    assert ada.confirm().status == 200
    for page in ("service-users", "service-users/bot", "people", "events", "account", "you"):
        assert ada.open(page).status == 200, page
    admin = {"username": "visitor", "email": "visitor@people.example", "role": "CLUSTER_ADMIN"}
    assert ada.post("create/user", admin).status == 303
    assert ada.add_passkey().status == 200
    emulator.deliver_stream()
    with emulator.proxies["Notify"].ses.hooked(before=ses_is_unavailable):
        visitor = keys_of(
            emulator.call(
                "POST",
                "/v1/users/activate",
                None,
                {"username": "visitor", "token": mails(emulator, "visitor@people.example")[0].token},
            )
        )["USER_MANAGEMENT"]
        assert late.ask_for_code(visitor).status == 200
        emulator.deliver_stream()
    make_pending_due(emulator)
    emulator.run_schedule("Resend")
    assert late.enrol_by_code("visitor", late.mailed_code("visitor@people.example")).status == 200
    assert ada.post("sign-out").status == 303


def expect(status: int, response: ApiResponse) -> None:
    assert response.status == status, response.body


def let_keys_expire(emulator: Emulator) -> None:
    """Let days pass for an account with a policy: expiry notices, then its keys and passkeys are revoked."""
    owner = emulator.create_account(username="strict")
    invite(emulator, owner, "strict-too", "OWNER")
    emulator.call("PUT", "/v1/account", owner, {"maxKeyAgeDays": 90, "revokeInactiveAfterDays": 90})
    person = {"username": "idle", "email": "idle@people.example", "role": "CLUSTER_ADMIN"}
    expect(201, emulator.call("POST", "/v1/users", owner, person))
    emulator.deliver_stream()
    assert Visitor(emulator).activate("idle", mails(emulator, "idle@people.example")[0].token).status == 200
    body = {"username": "old", "email": "old@machines.example", "role": "READ_ONLY"}
    authorize(emulator, keys_of(emulator.call("POST", "/v1/service-users", owner, body))["MONITORING"])
    emulator.deliver_stream()
    account = emulator.call("GET", "/v1/whoami", owner).json["account"]
    forget_pointers(emulator, "probe")
    for days in (81, 9, 2):
        age(emulator, account, days)
        emulator.run_schedule("EnforcePolicies")
        emulator.deliver_stream()
        reset_the_sweep(emulator)
    trail = [
        item["action"]["S"] for item in emulator.items(emulator.events) if item["account"]["S"] == account
    ]
    assert {"API_KEY_ENDING", "API_KEY_REVOKED", "PASSKEY_ENDING", "PASSKEY_REMOVED"} <= set(trail)


def forget_pointers(emulator: Emulator, username: str) -> None:
    """Leave a principal's keys as version 1.0 stored them, which had no pointers."""
    for item in emulator.items(emulator.directory):
        if item["pk"]["S"] == f"USER#{username}":
            for key in item["keys"]["M"].values():
                key["M"].pop("hasPointer")
            emulator.dynamodb.put_item(TableName=emulator.directory, Item=item)
        if item["pk"]["S"].startswith("KEY#") and item["username"]["S"] == username:
            emulator.dynamodb.delete_item(TableName=emulator.directory, Key={"pk": item["pk"]})


def age(emulator: Emulator, account: str, days: int) -> None:
    """Make all items of an account so many days older."""
    for table in (emulator.directory, emulator.events):
        for item in emulator.items(table):
            if account in (item.get("account", {}).get("S"), item.get("pk", {}).get("S", "")[8:]):
                emulator.dynamodb.put_item(TableName=table, Item=older(item, days * DAY))


def older(attribute: Any, seconds: int) -> Any:
    """Return attributes with every time in them moved back; all other numbers are small."""
    if isinstance(attribute, list):
        return [older(one, seconds) for one in attribute]
    if not isinstance(attribute, dict):
        return attribute
    if attribute.keys() == {"N"}:
        number = int(attribute["N"])
        return {"N": str(number - seconds if number > 1_000_000_000 else number)}
    return {name: older(one, seconds) for name, one in attribute.items()}


def reset_the_sweep(emulator: Emulator) -> None:
    """Let the sweep run as if on another day."""
    emulator.dynamodb.update_item(
        TableName=emulator.directory,
        Key={"pk": {"S": "SWEEP#"}},
        UpdateExpression="SET #day = :day",
        ExpressionAttributeNames={"#day": "day"},
        ExpressionAttributeValues={":day": {"N": "1"}},
    )


def statements(emulator: Emulator, function: str, **parameters: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role, which is its own, with further parameters."""
    role = f"{function}Role"
    assert emulator.template.resources[function]["Properties"]["Role"] == {"Fn::GetAtt": [role, "Arn"]}
    template = copy(emulator.template)
    template.parameters = {**template.parameters, **parameters}
    [policy] = template.properties(role)["Policies"]
    listed: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    assert all(one["Effect"] == "Allow" for one in listed)
    return listed


@pytest.mark.parametrize(
    ("conditions", "reading"),
    [
        ("on", Reading.TOP_LEVEL),
        ("on", Reading.PATH),
        # The way out, if AWS turns out to read nested attributes in another way.
        ("off", Reading.TOP_LEVEL),
        ("off", Reading.PATH),
        ("off", Reading.NAMES),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_exactly_what_its_function_calls(
    exercised: Emulator, function: str, conditions: str, reading: Reading
) -> None:
    allowed = statements(exercised, function, AttributeConditions=conditions)
    used: set[Permission] = set()
    for proxy in exercised.proxies[function]:
        for call in proxy.calls:
            asked = iam_requests(call.operation, call.input, region=REGION, account=ACCOUNT, reading=reading)
            for request in asked:
                allowing = permissions_for(allowed, request)
                assert allowing, f"{function} may not: {request}"
                used |= allowing
    by_lambda = {Permission(sid, action) for sid, actions in BY_LAMBDA.items() for action in actions}
    if_published = {Permission("MarkThemToBePublished", "dynamodb:PutItem")}  # this stack publishes nothing
    assert permissions(allowed) - used - by_lambda - if_published == set()


DENIED_BY_ATTRIBUTES = [
    ("Authorizer", "SET #r = :r", {"#r": "role"}),
    ("Notify", "SET #k.#t.#d = :d", {"#k": "keys", "#t": "MONITORING", "#d": "digest"}),
    ("Resend", "SET administrators = :a", {}),
    ("EnforcePolicies", "SET #r = :r", {"#r": "role"}),
    ("RecoverOwner", "REMOVE administrators", {}),
]


@pytest.mark.parametrize("reading", Reading)
@pytest.mark.parametrize(("function", "update", "names"), DENIED_BY_ATTRIBUTES)
def test_a_role_denies_other_attributes_under_every_reading(
    exercised: Emulator, function: str, update: str, names: dict[str, str], reading: Reading
) -> None:
    call = {
        "TableName": exercised.directory,
        "Key": {"pk": {"S": "USER#bot"}},
        "UpdateExpression": update,
        "ExpressionAttributeNames": names,
    }
    for request in iam_requests("UpdateItem", call, region=REGION, account=ACCOUNT, reading=reading):
        assert permissions_for(statements(exercised, function), request) == set()


def test_no_mailer_may_send_in_anothers_name(exercised: Emulator) -> None:
    call = {"FromEmailAddress": "ceo@example.com", "Destination": {"ToAddresses": ["ann@example.com"]}}
    for function in ("Notify", "Resend"):
        for request in iam_requests(
            "SendEmail", call, region=REGION, account=ACCOUNT, reading=Reading.TOP_LEVEL
        ):
            assert permissions_for(statements(exercised, function), request) == set()


def test_no_role_has_further_wildcards(exercised: Emulator) -> None:
    for function in FUNCTIONS:
        for statement in statements(exercised, function):
            listed = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not any("*" in action for action in listed)
            resources = (
                statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            )
            for resource in resources:
                # The names of log streams and table streams are not known beforehand. SES may ask for the
                # recipient's identity and a configuration set as well; the sender is held by a condition.
                assert resource != "*"
                known = (":*", "/stream/*", ":identity/*", ":configuration-set/*")
                assert resource.count("*") == (1 if resource.endswith(known) else 0)
                if ":ses:" in resource:
                    assert statement["Condition"] == {"StringEquals": {"ses:FromAddress": SENDER}}


def test_the_slim_package_can_call_exactly_what_is_called(exercised: Emulator) -> None:
    from deploy.slim import OPERATIONS

    called = {
        call.operation for proxies in exercised.proxies.values() for proxy in proxies for call in proxy.calls
    }
    # Of the functions that a stack has by its parameters, no path is taken here: tests/publishing.
    optional = {"BatchWriteItem"} | OPERATIONS["events"] | OPERATIONS["s3"]
    assert called | optional == frozenset().union(*OPERATIONS.values())
    assert not called & optional
