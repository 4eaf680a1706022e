"""What each function asks of AWS, all ways through it taken, is what its role allows: no less and no more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.package.emulator import Answer, Cloud, Key
from local.package.iam import Grant, allowing, grants, questions
from local.package.template import FUNCTIONS
from tests.e2e.conftest import ENGINE, PACKAGE
from tests.e2e.test_customer_journey import ask_authorizer, invite, keys_of
from tests.e2e.test_killed_environments import ses_is_away, time_passes

# Asked by Lambda in a function's name, not by the function.
BY_LAMBDA = {
    "WriteItsLog": {"logs:CreateLogStream", "logs:PutLogEvents"},
    "ReadTheStream": {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"},
    "ListStreams": {"dynamodb:ListStreams"},
    "LeaveDeadLetters": {"sqs:SendMessage"},
}
DAY = 86_400


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A stack of its own in which every way through every function has been taken."""
    with Cloud(Path(PACKAGE).absolute(), ENGINE, tmp_path_factory.mktemp("logs")) as cloud:
        walk(cloud)
        yield cloud
        cloud.find_nothing_wrong()


def walk(cloud: Cloud) -> None:
    owner = cloud.account(username="owner")
    # People: an invitation that goes out at once, twice; one that goes out late; roles.
    admin = invite(cloud, owner, "admin", "CLUSTER_ADMIN")
    invite(cloud, owner, "second", "OWNER")
    with cloud.proxies["Notify"][1].hooked(before=ses_is_away):
        late = {"username": "late", "email": "late@people.example", "role": "OWNER"}
        does(201, cloud.call("POST", "/v1/users", owner, late))
        cloud.stream()
    time_passes(cloud)
    cloud.schedule("Resend")
    does(200, cloud.call("POST", "/v1/users/late/invitation", owner))
    does(200, cloud.call("PUT", "/v1/users/second", owner, {"role": "READ_ONLY"}))
    does(204, cloud.call("DELETE", "/v1/users/second", owner))
    does(200, cloud.call("GET", "/v1/users", owner))
    does(200, cloud.call("GET", "/v1/users/admin", owner))
    own = "/v1/users/owner/api-keys"
    does(200, cloud.call("GET", own, owner))
    does(201, cloud.call("POST", own, owner, {"keyType": "MONITORING"}))
    does(200, cloud.call("PATCH", own, owner, {"keyType": "MONITORING", "allowedNetworks": ["127.0.0.1/32"]}))
    does(200, cloud.call("POST", f"{own}/rotate", owner, {"keyType": "MONITORING"}))
    does(204, cloud.call("DELETE", own, owner, {"keyType": "MONITORING"}))
    # Service Users.
    body = {"username": "bot", "email": "bot@machines.example", "role": "READ_ONLY"}
    bot = keys_of(cloud.call("POST", "/v1/service-users", admin, body))
    path = "/v1/service-users/bot"
    does(200, cloud.call("GET", "/v1/service-users", owner))
    does(200, cloud.call("GET", path, owner))
    does(200, cloud.call("PUT", path, owner, {"displayName": "Bot", "administrators": ["owner", "admin"]}))
    elsewhere = {"keyType": "MONITORING", "allowedNetworks": ["203.0.113.0/24"]}
    does(200, cloud.call("PATCH", f"{path}/api-keys", owner, elsewhere))
    does(403, cloud.call("GET", "/v1/whoami", bot["MONITORING"]))  # refused, and put on record
    does(200, cloud.call("POST", f"{path}/api-keys/rotate", owner, {"keyType": "MONITORING"}))
    does(204, cloud.call("DELETE", f"{path}/api-keys", owner, {"keyType": "MONITORING"}))
    does(201, cloud.call("POST", f"{path}/api-keys", owner, {"keyType": "MONITORING"}))
    rotated = cloud.call("POST", "/v1/api-keys/rotate", bot["PROVISIONING_READONLY"], {"overlapSeconds": 600})
    terms = {"keyType": "PROVISIONING_READONLY", "allowedNetworks": ["203.0.113.0/24"]}
    does(200, cloud.call("PATCH", f"{path}/api-keys", owner, terms))
    ask_authorizer(cloud, Key("bot", rotated.json["key"]))  # refused too
    does(200, cloud.call("GET", "/v1/account", owner))
    keys_come_to_their_end(cloud)
    does(204, cloud.call("DELETE", path, owner))
    does(200, cloud.call("GET", "/v1/events", owner))
    does(200, cloud.call("GET", "/v1/events?username=bot", owner))
    cloud.recover("owner")
    cloud.stream()


def does(status: int, answer: Answer) -> None:
    assert answer.status == status, answer.body


def keys_come_to_their_end(cloud: Cloud) -> None:
    """An account with a policy, and more and more days on it: notices, then the keys are revoked."""
    owner = cloud.account(username="strict")
    invite(cloud, owner, "strict-too", "OWNER")
    cloud.call("PUT", "/v1/account", owner, {"maxKeyAgeDays": 90, "revokeInactiveAfterDays": None})
    body = {"username": "old", "email": "old@machines.example", "role": "READ_ONLY"}
    ask_authorizer(cloud, keys_of(cloud.call("POST", "/v1/service-users", owner, body))["MONITORING"])
    cloud.stream()
    account = cloud.call("GET", "/v1/whoami", owner).json["account"]
    for days in (81, 9, 2):
        days_pass(cloud, account, days)
        cloud.schedule("EnforcePolicies")
        cloud.stream()
        forget_the_sweep(cloud)
    trail = [item["action"]["S"] for item in cloud.items(cloud.events) if item["account"]["S"] == account]
    assert {"API_KEY_ENDING", "API_KEY_REVOKED"} <= set(trail)


def days_pass(cloud: Cloud, account: str, days: int) -> None:
    """Have everything that an account keeps be so many days older."""
    for table in (cloud.directory, cloud.events):
        for item in cloud.items(table):
            if account in (item.get("account", {}).get("S"), item.get("pk", {}).get("S", "")[8:]):
                cloud.dynamodb.put_item(TableName=table, Item=older(item, days * DAY))


def older(attribute: Any, seconds: int) -> Any:
    """Answer attributes with every time in them moved back; other numbers are small."""
    if isinstance(attribute, list):
        return [older(one, seconds) for one in attribute]
    if not isinstance(attribute, dict):
        return attribute
    if attribute.keys() == {"N"}:
        number = int(attribute["N"])
        return {"N": str(number - seconds if number > 1_000_000_000 else number)}
    return {name: older(one, seconds) for name, one in attribute.items()}


def forget_the_sweep(cloud: Cloud) -> None:
    """Have it be another day for the sweep."""
    cloud.dynamodb.update_item(
        TableName=cloud.directory,
        Key={"pk": {"S": "SWEEP#"}},
        UpdateExpression="SET #day = :day",
        ExpressionAttributeNames={"#day": "day"},
        ExpressionAttributeValues={":day": {"N": "1"}},
    )


def statements(cloud: Cloud, function: str) -> list[dict[str, Any]]:
    """Answer what a function's role allows; that it is its own role is asserted."""
    role = f"{function}Role"
    assert cloud.template.resources[function]["Properties"]["Role"] == {"Fn::GetAtt": [role, "Arn"]}
    [policy] = cloud.template.properties(role)["Policies"]
    listed: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    assert all(one["Effect"] == "Allow" for one in listed)
    return listed


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_what_its_function_asks_and_nothing_else(walked: Cloud, function: str) -> None:
    allowed = statements(walked, function)
    used: set[Grant] = set()
    for call in [*walked.proxies[function][0].calls, *walked.proxies[function][1].calls]:
        for question in questions(call):
            by = allowing(allowed, question)
            assert by, f"{function} may not: {question}"
            used |= by
    by_lambda = {Grant(sid, action) for sid, actions in BY_LAMBDA.items() for action in actions}
    assert grants(allowed) - used - by_lambda == set()


def test_no_role_reaches_further_than_named(walked: Cloud) -> None:
    for function in FUNCTIONS:
        for statement in statements(walked, function):
            listed = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not any("*" in action for action in listed)
            resources = (
                statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            )
            for resource in resources:
                # A log group's streams and a table's streams have names that are not known beforehand.
                assert resource != "*"
                assert resource.count("*") == (1 if resource.endswith((":*", "/stream/*")) else 0)


def test_what_the_slim_package_can_call_is_what_is_called(walked: Cloud) -> None:
    from deploy.slim import OPERATIONS

    called = {
        call.operation for proxies in walked.proxies.values() for proxy in proxies for call in proxy.calls
    }
    assert called == OPERATIONS["dynamodb"] | OPERATIONS["sesv2"]
